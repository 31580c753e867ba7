"""Sizes of the parameters: what weight decay pulls on, and what falls when generalization comes."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from groklab.measures.task import MeasuredTask
from groklab.model.parameters import Parameters
from groklab.registry import measure


@measure(label="weight norm", source="Liu et al. 2023")
def weight_norm(parameters: Parameters, task: MeasuredTask) -> float:
    """Euclidean norm of all parameters together (Liu et al. 2023, Omnigrok), summed in float64."""
    return _norm(parameters.flat)


@measure(label="norms of the single parameters", source="Nanda et al. 2023")
def matrix_norms(parameters: Parameters, task: MeasuredTask) -> dict[str, float]:
    """Frobenius norm of every parameter tensor by name (Nanda et al. 2023 follow their squares), summed in float64."""
    return {name: _norm(tensor) for name, tensor in parameters.items()}


def _norm(tensor: Float[Tensor, "..."]) -> float:
    return float(tensor.cpu().double().square().sum().sqrt())
