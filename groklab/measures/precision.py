"""What rounding does to the loss: how many training cells have stopped teaching (Prieto et al. 2025)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from groklab import registry
from groklab.measures.task import MeasuredTask
from groklab.model.batched import examples
from groklab.model.parameters import Parameters
from groklab.model.passes import pass_of
from groklab.registry import measure


@measure(label="share of training cells in softmax collapse", source="Prieto et al. 2025")
def softmax_collapse(parameters: Parameters, task: MeasuredTask) -> float:
    """Share of the training cells where Σ exp(z − max z) is exactly 1 in the run's precision, so that their gradient is lost (Prieto et al. 2025)."""
    logits = training_logits(parameters, task)
    return float(((logits - logits.amax(-1, keepdim=True)).exp().sum(-1) == 1).cpu().double().mean())


@measure(label="share of training cells without loss", source="Prieto et al. 2025")
def zero_loss_share(parameters: Parameters, task: MeasuredTask) -> float:
    """Share of the training cells whose cross-entropy is exactly zero in the run's precision (Prieto et al. 2025)."""
    logits = training_logits(parameters, task)
    labels = torch.from_numpy(task.split.labels[task.split.train]).to(logits.device, torch.int64)
    return float((-logits.log_softmax(-1).gather(-1, labels[:, None]) == 0).cpu().double().mean())


def training_logits(parameters: Parameters, task: MeasuredTask) -> Float[Tensor, "C N"]:
    """Logits of the training cells, in the run's precision; C cells."""
    entry = registry.look_up("architecture", registry.parse_call(task.run.model.architecture).name)
    cells = task.split.train
    device = parameters.flat.device
    a, b = (torch.from_numpy(side[cells]).to(device, torch.int64)[None] for side in (task.table.x, task.table.y))
    with torch.no_grad():
        return pass_of(entry)(parameters, task.run.model, examples(a, b, task.table.n), task.table.n)[0]
