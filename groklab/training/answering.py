"""What networks answer in every cell of their tables, and the row of a history that it makes.

On the CPU every run is asked by itself, so that its numbers do not depend on its neighbors. On a device all runs of a batch are
asked together, and all that is wanted of them comes to the host in one transfer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from groklab import registry
from groklab.config.run import Run
from groklab.data.splits import Split
from groklab.data.table import Table
from groklab.model.batched import examples
from groklab.model.parameters import Parameters
from groklab.training.devices import Forward, all_rows

#: Cells per forward pass of an evaluation: large enough for full speed, small enough for the cache.
EVALUATION_CHUNK = 1024


class Answers(NamedTuple):
    """What one run's network answers in every cell of its table."""

    answer: np.ndarray
    """(cells,) the element with the highest logit."""
    probability: np.ndarray
    """(cells,) its probability, in float64."""
    loss: np.ndarray
    """(cells,) float64, against the label as trained; nan where there is none."""


class Looked(NamedTuple):
    """What a look at a batch of runs tells."""

    answers: dict[int, Answers]
    """Of every run that was asked, by its place in the batch."""
    has_vanished: dict[int, bool]
    """Whether every entry of its last gradient, before any intervention, was zero: training goes on, learning does not."""
    first_bad_step: list[int]
    """Of all runs: the first update whose loss was not finite; 0 where there was none."""


def answers_of(run: Run, table: Table, split: Split, parameters: Parameters, forward: Forward) -> Answers:
    """What one run answers in every cell: logits in the run's precision, log-softmax and sums in float64."""
    call = registry.parse_call(run.training.loss)
    loss_of = registry.look_up("loss", call.name).function
    device = parameters.flat.device
    parts: list[Answers] = []
    for start in range(0, len(table.x), EVALUATION_CHUNK):
        cells = slice(start, start + EVALUATION_CHUNK)
        a, b, labels = (torch.from_numpy(side[cells].astype(np.int64)) for side in (table.x, table.y, split.labels))
        given = examples(a[None].to(device), b[None].to(device), table.n)
        logits = forward(parameters, run.model, given, table.n)[0].cpu().double()
        probability, answer = logits.log_softmax(-1).max(-1)
        loss = loss_of(logits, labels.clamp(min=0), **dict(call.settings)).masked_fill(labels < 0, torch.nan)
        parts.append(Answers(answer.numpy(), probability.exp().numpy(), loss.numpy()))
    return Answers(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


class Questions:
    """All cells of R runs, padded to the largest table, (R, cells), on a device."""

    def __init__(self, tables: Sequence[Table], splits: Sequence[Split], device: str) -> None:
        self.n, self.counts = tables[0].n, [len(table.x) for table in tables]

        def padded(rows: Sequence[np.ndarray], value: int) -> Tensor:
            data = np.full((len(rows), max(self.counts)), value, np.int64)
            for r, row in enumerate(rows):
                data[r, : len(row)] = row
            return torch.from_numpy(data).to(device)

        self.a, self.b = padded([table.x for table in tables], 0), padded([table.y for table in tables], 0)
        self.labels = padded([split.labels for split in splits], -1)
        self.exact = torch.empty(0, dtype=torch.float64, device="cpu" if device.startswith("mps") else device)
        """Of the kind in which log-softmax and loss are taken: float64, on the device, or on the CPU where it has none (MPS)."""

    @torch.no_grad()
    def ask(
        self, forward: Forward, run: Run, parameters: Parameters, loss: Callable[..., Tensor], settings: Mapping[str, Any]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Answer, its probability and loss in every cell of every run, (R, cells), as `answers_of` has them; still on the device."""
        parts: list[tuple[Tensor, Tensor, Tensor]] = []
        for start in range(0, max(self.counts), EVALUATION_CHUNK):
            cells = slice(start, start + EVALUATION_CHUNK)
            a, b, labels = self.a[:, cells], self.b[:, cells], self.labels[:, cells].to(self.exact.device)
            logits = forward(parameters, run.model, all_rows(a, b, self.n), self.n).to(self.exact.device).double()
            probability, answer = logits.log_softmax(-1).max(-1)
            parts.append((answer, probability.exp(), loss(logits, labels.clamp(min=0), **settings).masked_fill(labels < 0, torch.nan)))
        answer, probability, losses = (torch.cat(columns, dim=1) for columns in zip(*parts, strict=True))
        return answer, probability, losses

    def apart(self, answer: np.ndarray, probability: np.ndarray, loss: np.ndarray) -> list[Answers]:
        """The answers of every run, without the padding."""
        return [Answers(answer[r, :count], probability[r, :count], loss[r, :count]) for r, count in enumerate(self.counts)]


def evaluation(run: Run, table: Table, split: Split, answers: Answers, step: int) -> dict[str, Any]:
    """A row of the history: losses in nats, accuracies in [0, 1], the latter also apart for mirrored and for corrupted cells."""
    right = answers.answer == split.labels
    corrupted = np.isin(split.train, split.corrupted)
    row: dict[str, Any] = {
        "step": step,
        "train_loss": float(answers.loss[split.train].mean()),
        "validation_loss": float(answers.loss[split.validation].mean()),
        "train_accuracy": float(right[split.train].mean()),
        "validation_accuracy": float(right[split.validation].mean()),
        "validation_accuracy_mirrored": _mean(right[split.validation][split.mirrored]),
        "validation_accuracy_unmirrored": _mean(right[split.validation][~split.mirrored]),
    }
    if len(split.corrupted):
        row["train_accuracy_clean"] = _mean(right[split.train][~corrupted])
        row["train_accuracy_corrupted"] = _mean(right[split.train][corrupted])
        row["corrupted_cells_answered_truly"] = _mean(answers.answer[split.corrupted] == table.z[split.corrupted])
    return row


def _mean(values: np.ndarray) -> float | None:
    """The share of true values; None where there are none to count."""
    return float(values.mean()) if len(values) else None
