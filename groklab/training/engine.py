"""Training: ``train`` yields what happens, and never writes, prints or draws.

For every run it yields an ``Evaluated`` at each step of the fixed sequence of evaluations, a ``Checkpoint`` at each step of that
of checkpoints, an ``Advanced`` after each update, from which the full state can be taken at any moment, and one ``Ended``. Who
stores what is yielded can stop at any ``Advanced`` and go on later from its state with the same history.
"""

from __future__ import annotations

import ctypes
import platform
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np
import torch

import groklab
from groklab import registry
from groklab.config.checks import FieldError
from groklab.config.run import Run
from groklab.config.steps import Ahead
from groklab.config.stops import end_of
from groklab.data.splits import Split
from groklab.data.tables import Table
from groklab.measures.task import MeasuredTask, take
from groklab.training.batches import Answers, Batch, State, batch_size, network, shape_of
from groklab.training.optimizers import decay_problems
from groklab.training.paths import path_of


@dataclass(frozen=True)
class Evaluated:
    """One evaluation of one run: a row of its history, without the wall time."""

    run: int
    """Position of the run in the list that was given to ``train``."""
    row: dict[str, Any]


@dataclass(frozen=True)
class Checkpoint:
    """Parameters of one run and its answers in all cells."""

    run: int
    step: int
    parameters: dict[str, np.ndarray]
    answer: np.ndarray
    probability: np.ndarray


@dataclass(frozen=True)
class Advanced:
    """One update was made; everything yielded before belongs to steps up to this one."""

    run: int
    step: int
    state: Callable[[], State]


@dataclass(frozen=True)
class Ended:
    """A run is complete or has diverged."""

    run: int
    step: int
    status: Literal["complete", "diverged"]
    message: str = ""


@dataclass(frozen=True)
class Noted:
    """Something about a run that its user should know; training goes on."""

    run: int
    step: int
    message: str


Event = Evaluated | Checkpoint | Advanced | Noted | Ended


@dataclass
class Past:
    """Where a run stands when training begins: nowhere, or at a stored state with its history."""

    state: State | None = None
    rows: list[dict[str, Any]] = field(default_factory=lambda: list[dict[str, Any]]())
    """Evaluations of the fixed sequence so far, up to the state's step."""


def device_of(run: Run) -> str:
    """The device that a run trains on; ValueError where it asks for one that is not there."""
    asked = run.budget.device
    if asked == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if asked.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(f"device: got {asked!r}; expected a device of this machine. No CUDA device is present; use cpu or auto.")
    if asked == "mps" and not torch.backends.mps.is_available():
        raise ValueError(f"device: got {asked!r}; expected a device of this machine. MPS is not present; use cpu or auto.")
    return asked


def prepare_process() -> None:
    """Settings of a training process: one thread, no denormal numbers, large blocks of memory kept.

    One thread, because two OpenMP threads beside other work are many times slower than one, and because the order of sums would
    depend on their number. Denormals, because Adam's moments of idle units decay into them and slow every update down. Kept
    memory, because glibc otherwise gives the large temporaries of every step back to the kernel and faults them in again.
    """
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    if sys.platform == "linux":
        try:
            libc = ctypes.CDLL("libc.so.6")
            trim_threshold, mmap_threshold, one_gibibyte = -1, -3, 1 << 30
            libc.mallopt(mmap_threshold, one_gibibyte)
            libc.mallopt(trim_threshold, one_gibibyte)
        except (OSError, AttributeError):  # a libc that is not glibc: nothing to set
            pass


def train(
    runs: Sequence[Run],
    *,
    pasts: Sequence[Past] | None = None,
    runs_per_batch: int | Literal["auto"] = "auto",
    together: bool | None = None,
) -> Iterator[Event]:
    """Train runs, each from where it stands, and yield what happens.

    Runs whose shapes agree advance side by side, up to ``runs_per_batch`` (auto: one on the CPU, all on a GPU). ``together``
    says whether they share every call; by default they do on a GPU only, because on the CPU sharing gains nothing and would
    let a run's rounding depend on its neighbours.
    """
    prepare_process()
    given = list(pasts) if pasts is not None else [Past() for _ in runs]
    for members in _batches(runs, given, runs_per_batch):
        device = device_of(runs[members[0]])
        shared = together if together is not None else device != "cpu"
        groups = [members] if shared else [[member] for member in members]
        lanes = [_advance(group, [runs[m] for m in group], [given[m] for m in group], device, len(runs)) for group in groups]
        while lanes:
            for lane in list(lanes):
                for event in lane:
                    yield event
                    if isinstance(event, Advanced):
                        break
                else:
                    lanes.remove(lane)


def _batches(runs: Sequence[Run], pasts: Sequence[Past], runs_per_batch: int | Literal["auto"]) -> Iterator[list[int]]:
    """Positions of runs that advance side by side, in the order given."""
    families: dict[Any, list[int]] = {}
    for position, (run, past) in enumerate(zip(runs, pasts, strict=True)):
        step = 0 if past.state is None else past.state.step
        families.setdefault((shape_of(run), step), []).append(position)
    for members in families.values():
        on_cpu = device_of(runs[members[0]]) == "cpu"
        most = (1 if on_cpu else len(members)) if runs_per_batch == "auto" else runs_per_batch
        for start in range(0, len(members), most):
            yield members[start : start + most]


def _advance(positions: Sequence[int], runs: Sequence[Run], pasts: Sequence[Past], device: str, of: int) -> Iterator[Event]:
    """Train one batch of runs to the end of its last; a run that has ended keeps its place, and nothing more is said of it."""
    batch = Batch(runs, device=device, states=[past.state for past in pasts])
    watches = [_Watch(position, run, past, batch, r) for r, (position, run, past) in enumerate(zip(positions, runs, pasts, strict=True))]
    on_cpu = device == "cpu"
    if batch.step == 0 and all(past.state is None for past in pasts):
        for watch in watches:
            yield from watch.look(of)
            yield watch.advanced()
    while any(not watch.has_ended for watch in watches):
        batch.update()
        looks = [watch for watch in watches if not watch.has_ended and watch.is_due(batch.step)]
        # On a GPU asking whether a loss was finite waits for it, so it is asked only when evaluating.
        if on_cpu or looks:
            bad = batch.first_bad_step.tolist()
            for watch in watches:
                if bad[watch.r] and not watch.has_ended:
                    yield watch.diverged(bad[watch.r], of)
        for watch in watches:
            if not watch.has_ended:
                if watch in looks:
                    yield from watch.look(of)
                if not watch.has_ended:
                    yield watch.advanced()


class _Watch:
    """What one run of a batch is asked, and when."""

    def __init__(self, position: int, run: Run, past: Past, batch: Batch, r: int) -> None:
        self.position, self.run, self.batch, self.r = position, run, batch, r
        self.rows = list(past.rows)
        self.evaluations = Ahead(run.budget.evaluations_per_decade)
        self.checkpoints = Ahead(run.budget.checkpoints_per_decade)
        self.has_ended = self.has_warned = False

    def is_due(self, step: int) -> bool:
        return self.evaluations.reaches(step) or self.checkpoints.reaches(step) or step >= self.run.budget.steps

    def look(self, of: int) -> Iterator[Event]:
        """Evaluation, checkpoint and end, as far as they are due at the batch's step."""
        step, batch = self.batch.step, self.batch
        answers = batch._answers_of(self.r)
        in_sequence = self.evaluations.reaches(step)
        row = evaluation(self.run, batch.tables[self.r], batch.splits[self.r], answers, step)
        if not all(np.isfinite(row[name]) for name in ("train_loss", "validation_loss")):
            yield self.diverged(step, of)
            return
        initial, parameters = batch.initial.of_run(self.r), batch.parameters.of_run(self.r)
        task = MeasuredTask(self.run, batch.tables[self.r], batch.splits[self.r], initial, step)
        row |= take(self.run.budget.measures, parameters, task)
        is_last = step >= self.run.budget.steps
        if in_sequence:
            self.rows.append(row)
            is_last = is_last or end_of(self.run, self.rows, step) is not None
        if batch.has_vanished(self.r) and not self.has_warned:
            self.has_warned = True
            yield Noted(self.position, step, VANISHED.format(step=step))
        if in_sequence or is_last:
            yield Evaluated(self.position, row if in_sequence else row | {"extra": True})
        if self.checkpoints.reaches(step) or is_last:
            yield Checkpoint(self.position, step, batch.parameters.to_numpy(self.r), answers.answer, answers.probability)
        if is_last:
            yield self.advanced()
            self.has_ended = True
            yield Ended(self.position, step, "complete")

    def advanced(self) -> Advanced:
        return Advanced(self.position, self.batch.step, lambda: self.batch.state(self.r))

    def diverged(self, step: int, of: int) -> Ended:
        self.has_ended = True
        values = self.run.resolved()
        told = f"seed {values['seed']}, learning_rate {values['learning_rate']}, weight_decay {values['weight_decay']}"
        which = f"run {self.position + 1} of {of}" if of > 1 else "the run"
        return Ended(self.position, step, "diverged", f"{which} ({told}): loss is not finite at step {step:,}")


VANISHED = (
    "at step {step:,} every entry of the gradient is zero in this precision: weight decay and momentum still move the weights, the loss "
    "does not (softmax collapse, Prieto et al. 2025). Try --precision float64 or --loss stablemax."
)


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


def run_problems(run: Run) -> Iterator[FieldError]:
    """What only the network's layout and the machine can tell of a run that is otherwise right."""
    _, split, layout = network(run)
    yield from decay_problems(run.training.decay_parameters, list(layout.entries))
    calls = [("optimizer", "optimizer", run.training.optimizer)]
    calls += [("interventions", "intervention", text) for text in run.training.interventions]
    for field_name, kind, text in calls:
        call = registry.parse_call(text)
        entry = registry.look_up(kind, call.name)
        if "layout_check" in entry.facts:
            for problem in entry.facts["layout_check"](layout, registry.settings_of(kind, text)):
                yield FieldError(field_name, text, problem=f"{call.name}: {problem}")
    size = batch_size(run, len(split.train))
    if size > len(split.train):
        advice = "Choose fewer, or full."
        yield FieldError("batch_size", run.training.batch_size, f"at most the {len(split.train):,} training cells", advice)
    try:
        device_of(run)
    except ValueError as error:
        yield FieldError("device", run.budget.device, problem=str(error).removeprefix("device: "))
        return
    try:
        path_of(run, device_of(run))
    except ValueError as error:
        yield FieldError("path", run.budget.path, problem=str(error).removeprefix("path: "))


def parameter_counts(run: Run) -> dict[str, int]:
    """Numbers of parameters: all, and those outside embedding and output layer."""
    _, _, layout = network(run)
    return {"total": layout.size, "non_embedding": layout.non_embedding}


def segment(run: Run, first_step: int) -> dict[str, Any]:
    """What the numbers from this step on were computed with; histories of different segments may differ by rounding."""
    return {
        "from_step": first_step,
        "began": datetime.now(UTC).isoformat(timespec="seconds"),
        "groklab": groklab.__version__,
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "machine": platform.node(),
        "processor": platform.processor() or platform.machine(),
        "system": platform.platform(),
        "device": device_of(run),
        "path": str(path_of(run, device_of(run))),
    }
