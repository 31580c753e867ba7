"""The gradient of the training loss at a checkpoint, over the whole training set."""

from __future__ import annotations

from groklab import registry
from groklab.measures.margins import CHUNK
from groklab.measures.task import MeasuredTask
from groklab.model.batched import examples
from groklab.model.parameters import Parameters
from groklab.model.passes import pass_of
from groklab.model.torch_later import torch
from groklab.registry import measure


@measure(label="gradient of the training loss", source="Thilak et al. 2022")
def training_gradient(parameters: Parameters, task: MeasuredTask) -> dict[str, float]:
    """Gradient of the run's loss over all training cells: Euclidean ``norm``, and ``cosine_with_weights`` (after Thilak et al. 2022).

    Without decay, interventions and frozen parameters, in the run's precision: cells whose loss rounding has swallowed count as
    they do in training. A negative cosine means that a step down the gradient makes the weights grow along themselves. Where
    the gradient is exactly zero, or all weights are, there is no cosine and it is left out.
    """
    gradient = gradient_of(parameters, task).flat
    weights = parameters.flat.detach().cpu().double()
    norm, size = float(gradient.norm()), float(weights.norm())
    found = {"norm": norm}
    if norm > 0 and size > 0:
        found["cosine_with_weights"] = float((gradient / norm * (weights / size)).sum())
    return found


def gradient_of(parameters: Parameters, task: MeasuredTask) -> Parameters:
    """Gradient of the mean loss over the training cells of one run, (1, P), summed in float64 on the CPU; zero where parameters are frozen."""
    run, split, table = task.run, task.split, task.table
    entry = registry.look_up("architecture", registry.parse_call(run.model.architecture).name)
    call = registry.parse_call(run.training.loss)
    loss, settings = registry.look_up("loss", call.name).function, registry.settings_of("loss", run.training.loss)
    forward, device = pass_of(entry), parameters.flat.device
    total = Parameters(parameters.layout, torch.zeros(parameters.flat.shape, dtype=torch.float64))
    leaves = {name: view.detach().requires_grad_() for name, view in parameters.items()}
    columns = [torch.from_numpy(side[split.train]).to(torch.int64) for side in (table.x, table.y, split.labels)]
    for piece in zip(*(column.split(CHUNK) for column in columns), strict=True):
        a, b, labels = (side[None].to(device) for side in piece)
        with torch.enable_grad():
            logits = forward(leaves, run.model, examples(a, b, table.n), table.n)
            summed = loss(logits, labels, **settings).sum() / len(split.train)
            gradients = torch.autograd.grad(summed, list(leaves.values()), allow_unused=True, materialize_grads=True)
        for name, gradient in zip(leaves, gradients, strict=True):
            total[name].add_(gradient.cpu().double())
    frozen = entry.facts["frozen"](run.model) if "frozen" in entry.facts else ()
    if frozen:
        total.flat.mul_(1 - parameters.layout.mask(frozen).double())
    return total
