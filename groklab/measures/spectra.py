"""Weights and activations in the Fourier basis: power by frequency, and how sparse it is (Nanda et al. 2023, Doshi et al. 2023)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from groklab import registry
from groklab.config.run import Run
from groklab.measures.fourier import by_frequency, power_spectrum, transform
from groklab.measures.responses import embedding_of, neuron_logit_map, output_of, problems, response_problems, responses_of
from groklab.measures.task import MeasuredTask
from groklab.model.parameters import Parameters
from groklab.model.torch_later import Tensor, torch
from groklab.registry import measure
from groklab.text.values import shown


@measure(label="Fourier spectra", source="Nanda et al. 2023", check=response_problems, arrays=True)
def fourier_spectra(parameters: Parameters, task: MeasuredTask) -> dict[str, np.ndarray]:
    """Power by frequency of embedding, output layer, neurons and logits, as arrays (Nanda et al. 2023).

    ``embedding``, or ``left`` and ``right`` where each place has its own, ``output`` (the output layer) and ``neuron_logit_map``
    (W_L): (K + 1,), the squared norm of the matrix in each frequency, the constant first. ``neurons`` (K + 1, F): power of each
    neuron over all pairs in the block {1, cos, sin} ⊗ {1, cos, sin}. ``logits`` (K + 1, K + 1): power over all pairs by the
    frequency in a and the one in b.
    """
    responses = responses_of(parameters, task)
    matrices = {**embedding_of(parameters, task), "output": output_of(parameters, task)}
    matrices["neuron_logit_map"] = neuron_logit_map(parameters, task)
    spectra = {name: power_spectrum(matrix).sum(1) for name, matrix in matrices.items()}
    of_pairs = responses.logit_components.square().sum(-1)
    spectra |= {"neurons": responses.hidden_power, "logits": by_frequency(by_frequency(of_pairs).T).T}
    return {name: np.ascontiguousarray(power.numpy()) for name, power in spectra.items()}


def gini_coefficient(values: Float[Tensor, " D"]) -> float:
    """Gini coefficient of numbers that are not negative: 1 − 2 Σ c₍ᵢ₎/‖c‖₁ · (n − i + ½)/n, ascending (Hurley & Rickard 2009).

    0 where all are equal (and where all are zero), 1 − 1/n where all but one are zero.
    """
    ascending = values.double().sort().values
    n, total = len(ascending), ascending.sum()
    if total == 0:
        return 0.0
    weight = (n - torch.arange(1, n + 1, dtype=torch.float64) + 0.5) / n
    return float(1 - 2 * (ascending / total * weight).sum())


@measure(label="Gini coefficients in the Fourier basis", source="Nanda et al. 2023; Hurley & Rickard 2009", check=problems)
def gini(parameters: Parameters, task: MeasuredTask) -> dict[str, float]:
    """Sparsity in the Fourier basis: Gini coefficient of the norms of the M components of embedding and of W_L (Nanda et al. 2023, §5.1).

    ``embedding`` (both sides together where each place has its own) and ``output`` (W_L, the map from neurons to logits).
    """
    embedding = torch.cat([*embedding_of(parameters, task).values()], 1)
    matrices = {"embedding": embedding, "output": neuron_logit_map(parameters, task)}
    return {name: gini_coefficient(transform(matrix).norm(dim=1)) for name, matrix in matrices.items()}


def _one_hidden_layer(settings: Mapping[str, Any], *, run: Run | None = None, **context: Any) -> list[str]:
    found = problems(settings, run=run)
    if run is None or found:
        return found
    if registry.parse_call(run.model.architecture).name != "mlp":
        found.append(
            f"got the architecture {run.model.architecture}; expected an mlp, whose neurons read a and b by one row of weights each."
        )
    elif run.model.layers != 1:
        found.append(
            f"got {shown(run.model.layers)} layers; expected 1, so that the neurons that read a and b are those that write the answer."
        )
    return found


@measure(label="inverse participation ratio", source="Doshi et al. 2023", check=_one_hidden_layer)
def inverse_participation_ratio(parameters: Parameters, task: MeasuredTask) -> float:
    """How periodic neurons are: Σ (û/‖û‖)⁴ with û = |rfft u|, mean over a neuron's row of U, row of V and column of W, and over neurons (Doshi et al. 2023).

    U and V are the neuron's input weights by element, through the embedding where there is one. 1 where every row is of one
    frequency, about 2/K for random weights. It is of an MLP with one hidden layer; ValueError for other networks.
    """
    wrong = _one_hidden_layer({}, run=task.run)
    if wrong:
        raise ValueError(f"inverse_participation_ratio: {wrong[0]}")
    sides = embedding_of(parameters, task)
    if "embedding.left" in parameters:
        first = {"left": "layers.0.left", "right": "layers.0.right"} if "layers.0.left" in parameters else dict.fromkeys(sides, "layers.0")
        sides = {side: sides[side] @ parameters[name][0].detach().cpu().double().T for side, name in first.items()}
    ratios = [_participation(matrix) for matrix in (*sides.values(), output_of(parameters, task))]
    return float(torch.stack(ratios).mean())


def _participation(matrix: Float[Tensor, "M F"]) -> Float[Tensor, " F"]:
    """Inverse participation ratio of each column; 0 where it is zero."""
    power = torch.fft.rfft(matrix, dim=0).abs().square()
    total = power.sum(0)
    return (power / torch.where(total > 0, total, 1)).square().sum(0)
