"""What rounding does to the loss: how many training cells have stopped teaching (Prieto et al. 2025)."""

from __future__ import annotations

from collections.abc import Callable

from groklab.measures.margins import logits_of_cells
from groklab.measures.task import MeasuredTask
from groklab.model.parameters import Parameters
from groklab.model.torch_later import Tensor
from groklab.registry import measure


@measure(label="share of training cells in softmax collapse", source="Prieto et al. 2025")
def softmax_collapse(parameters: Parameters, task: MeasuredTask) -> float:
    """Share of the training cells where Σ exp(z − max z) is exactly 1 in the run's precision, so that their gradient is lost (Prieto et al. 2025)."""
    return _share(parameters, task, lambda logits, _: (logits - logits.amax(-1, keepdim=True)).exp().sum(-1) == 1)


@measure(label="share of training cells without loss", source="Prieto et al. 2025")
def zero_loss_share(parameters: Parameters, task: MeasuredTask) -> float:
    """Share of the training cells whose cross-entropy is exactly zero in the run's precision (Prieto et al. 2025)."""
    return _share(parameters, task, lambda logits, labels: -logits.log_softmax(-1).gather(-1, labels[:, None])[:, 0] == 0)


def _share(parameters: Parameters, task: MeasuredTask, holds: Callable[[Tensor, Tensor], Tensor]) -> float:
    """Share of the training cells of which something is true of their logits, (B, N), and labels, (B,)."""
    pieces = logits_of_cells(parameters, task, task.split.train)
    return sum(int(holds(logits, labels).sum()) for logits, labels in pieces) / len(task.split.train)
