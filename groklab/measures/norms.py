"""Sizes and shapes of the parameters: what weight decay pulls on, and what falls when generalization comes.

Everything is computed in float64 on the CPU. A *matrix* is a parameter tensor of two dimensions, embeddings included.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jaxtyping import Float

from groklab import registry
from groklab.config.run import Run
from groklab.measures.task import MeasuredTask
from groklab.model.parameters import Parameters
from groklab.model.torch_later import Tensor, torch
from groklab.registry import measure


@measure(label="weight norm", source="Liu et al. 2023")
def weight_norm(parameters: Parameters, task: MeasuredTask) -> float:
    """Euclidean norm of all parameters together (Liu et al. 2023, Omnigrok), summed in float64."""
    return _norm(parameters.flat)


@measure(label="norms of the single parameters", source="Nanda et al. 2023")
def matrix_norms(parameters: Parameters, task: MeasuredTask) -> dict[str, float]:
    """Frobenius norm of every parameter tensor by name (Nanda et al. 2023 follow their squares), summed in float64."""
    return {name: _norm(tensor) for name, tensor in parameters.items()}


@measure(label="spectral norms of the matrices", source="Yoshida & Miyato 2017")
def spectral_norms(parameters: Parameters, task: MeasuredTask) -> dict[str, float]:
    """Largest singular value of every matrix by name (Yoshida & Miyato 2017): by how much it stretches a vector at most."""
    return {name: float(values[0]) for name, values in singular_values(parameters).items()}


@measure(label="effective ranks of the matrices", source="Roy & Vetterli 2007")
def effective_ranks(parameters: Parameters, task: MeasuredTask) -> dict[str, float]:
    """exp of the entropy of the normalized singular values, −Σ p log p with p = σ/Σσ, of every matrix by name (Roy & Vetterli 2007).

    Between 1 and the smaller side: r for r equal singular values. 0 for a matrix of zeros.
    """
    return {name: effective_rank(values) for name, values in singular_values(parameters).items()}


@measure(label="stable ranks of the matrices", source="Rudelson & Vershynin 2007")
def stable_ranks(parameters: Parameters, task: MeasuredTask) -> dict[str, float]:
    """‖W‖_F² / ‖W‖₂² of every matrix by name (Rudelson & Vershynin 2007, their numerical rank).

    Between 1 and the rank; small singular values hardly count. 0 for a matrix of zeros.
    """
    return {name: stable_rank(values) for name, values in singular_values(parameters).items()}


@measure(label="distance from the initial weights", source="Nagarajan & Kolter 2019", needs_initial=True)
def distance_from_initial(parameters: Parameters, task: MeasuredTask) -> dict[str, float]:
    """Euclidean distance from the initial parameters: ``total``, and of every parameter tensor by name (Nagarajan & Kolter 2019)."""
    moved = Parameters(parameters.layout, parameters.flat.cpu().double() - task.initial.flat.cpu().double())
    return {"total": _norm(moved.flat)} | {name: _norm(tensor) for name, tensor in moved.items()}


def _gain_problems(settings: Mapping[str, Any], *, run: Run | None = None, **context: Any) -> list[str]:
    if run is None:
        return []
    if registry.parse_call(run.model.architecture).name != "transformer":
        return [f"got the architecture {run.model.architecture}, which has no LayerNorm; expected transformer."]
    return ["got norm 'none', under which there are no gains; expected post or pre."] if run.model.norm == "none" else []


@measure(label="gains of the LayerNorms", source="Ba et al. 2016", check=_gain_problems)
def layernorm_gains(parameters: Parameters, task: MeasuredTask) -> dict[str, float]:
    """Root mean square of the gains of every LayerNorm by its name (Ba et al. 2016): 1 at the beginning, whatever the width.

    What a LayerNorm puts out has this size per entry whatever the weights before it are, so that decay shrinks logits through it.
    """
    gains = {name.removesuffix(".gain"): tensor for name, tensor in parameters.items() if name.endswith(".gain")}
    return {name: float(tensor.detach().double().square().mean().sqrt()) for name, tensor in gains.items()}


# — singular values —


def singular_values(parameters: Parameters) -> dict[str, Float[Tensor, " K"]]:
    """Singular values of every matrix of one run, (1, P), by name: falling, float64, K the smaller side."""
    return {name: torch.linalg.svdvals(tensor[0].detach().cpu().double()) for name, tensor in parameters.items() if tensor.ndim == 3}


def effective_rank(values: Float[Tensor, " K"]) -> float:
    """exp of the entropy of singular values divided by their sum (Roy & Vetterli 2007, Definition 1); 0 where all are zero."""
    total = values.sum()
    return float(torch.special.entr(values / total).sum().exp()) if total > 0 else 0.0


def stable_rank(values: Float[Tensor, " K"]) -> float:
    """Σσ² / max σ² of singular values; 0 where all are zero."""
    largest = values.max()
    return float((values / largest).square().sum()) if largest > 0 else 0.0


def _norm(tensor: Float[Tensor, "..."]) -> float:
    return float(tensor.detach().cpu().double().square().sum().sqrt())
