"""How spread the attention is with which ``=`` reads the equation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from groklab.config.run import Run
from groklab.measures.activations import activations_of, in_pieces, is_transformer
from groklab.measures.task import MeasuredTask
from groklab.model.parameters import Parameters
from groklab.model.torch_later import torch
from groklab.registry import measure


def _problems(settings: Mapping[str, Any], *, run: Run | None = None, **context: Any) -> list[str]:
    if run is None or is_transformer(run):
        return []
    return [f"got the architecture {run.model.architecture}, which has no attention; expected transformer."]


@measure(label="entropy of the attention at =", source="Zhai et al. 2023", check=_problems)
def attention_entropy(parameters: Parameters, task: MeasuredTask) -> dict[str, float]:
    """Entropy −Σ p log p, in nats, of the attention that ``=`` pays to the tokens, mean over heads and cells, by layer ``blocks.L`` (Zhai et al. 2023).

    Over all cells of the table, in both halves of the split. Between 0 (one token is read) and log T (all T tokens alike, ``=``
    itself and the begin token included).
    """
    names = [f"blocks.{layer}.attn.hook_pattern" for layer in range(task.run.model.layers)]
    x, y = (torch.from_numpy(side.astype(np.int64)) for side in (task.table.x, task.table.y))
    totals = dict.fromkeys(names, 0.0)
    for piece in in_pieces((x, y)):
        seen = activations_of(parameters, task, names, piece)
        for name in names:
            at_equals = seen[name][:, :, -1].detach().cpu().double()  # (B, H, T)
            totals[name] += float(torch.special.entr(at_equals).sum(-1).mean(1).sum())
    return {f"blocks.{layer}": totals[name] / task.table.cells for layer, name in enumerate(names)}
