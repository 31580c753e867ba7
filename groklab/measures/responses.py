"""What a network answers on all pairs of a cyclic group, computed once per checkpoint, and the linear maps at its two ends.

All Fourier measures of a checkpoint share one forward pass. Elements are in the order of the group (for multiplication and
division that of the powers of the primitive root), so that answers are a ± b mod M. Axis letters as in `fourier.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from jaxtyping import Float, Int

from groklab.config.run import Run
from groklab.data.cyclic import OPERATIONS, CyclicTask, cyclic_task, operation_problem
from groklab.measures.activations import Pairs, activations_of, at_equals, in_pieces, is_transformer, last_hidden
from groklab.measures.fourier import block_power, mean_by_sum, transform_pairs
from groklab.measures.newest import newest_kept
from groklab.measures.task import MeasuredTask
from groklab.model.parameters import Parameters
from groklab.model.torch_later import Tensor, torch

LARGEST = 200_000_000
"""Numbers in the hidden activations or logits of all pairs beyond which they are not computed (1.6 GB in float64)."""


class NeuronFrequencies(NamedTuple):
    """The frequency of whose block each neuron has most of its variance over all pairs."""

    frequency: Int[Tensor, " F"]
    """1 … M // 2; 0 for a neuron that does not vary."""
    score: Float[Tensor, " F"]
    """The share of its variance in that block, {1, cos, sin} ⊗ {1, cos, sin}; 0 for a neuron that does not vary."""


@dataclass(frozen=True, eq=False)
class Responses:
    """Logits and last hidden activations of one network on all pairs, in float64 on the CPU."""

    group: CyclicTask
    logits: Float[Tensor, "M M N"]
    """For every a and b of the group, over all elements of the table, in the order of the table."""
    hidden: Float[Tensor, "M M F"]
    """Activations of the last MLP's neurons at ``=``."""

    @cached_property
    def logits_by_answer(self) -> Float[Tensor, "M N"]:
        """Mean logits of the pairs with the same answer."""
        return mean_by_sum(self.logits, self.group.sign)

    @cached_property
    def hidden_by_answer(self) -> Float[Tensor, "M F"]:
        """Mean activations of the pairs with the same answer."""
        return mean_by_sum(self.hidden, self.group.sign)

    @cached_property
    def logit_components(self) -> Float[Tensor, "M M N"]:
        """Two-dimensional transform of the logits over a and b."""
        return transform_pairs(self.logits)

    @cached_property
    def hidden_power(self) -> Float[Tensor, "frequencies F"]:
        """Power of each neuron in the block of each frequency, (K + 1, F)."""
        return block_power(self.hidden)

    @cached_property
    def neuron_frequencies(self) -> NeuronFrequencies:
        """Frequency and score of every neuron (the code of Nanda et al. 2023, which does not try the last frequency)."""
        mean = self.hidden.mean((0, 1))
        total = (self.hidden - mean).square().sum((0, 1))
        # What a constant neuron varies by is the rounding of float32, a ten-millionth of it.
        varies = total > 1e-12 * self.group.order**2 * mean.square()
        share = torch.where(varies, self.hidden_power[1:] / torch.where(varies, total, 1), 0.0)
        score, best = share.max(0)
        return NeuronFrequencies(torch.where(varies, best + 1, 0), score)


@newest_kept
def responses_of(parameters: Parameters, task: MeasuredTask) -> Responses:
    """Responses of one run's network, (1, P); ValueError where the task is not of a cyclic group, or too large."""
    group = cyclic_task(task.table)
    problem = size_problem(task.run, group.order, task.table.n)
    if problem is not None:
        raise ValueError(f"Fourier analysis: {problem}")
    places = torch.from_numpy(group.places)
    M = group.order
    a, b = places.repeat_interleave(M), places.repeat(M)
    name = hidden_name(task.run)
    logits, hidden = [], []
    for piece in in_pieces((a, b)):
        seen = activations_of(parameters, task, [name, "hook_logits"], piece)
        logits.append(seen["hook_logits"].cpu().double())
        hidden.append(at_equals(seen[name]).cpu().double())
    return Responses(group, torch.cat(logits).unflatten(0, (M, M)), torch.cat(hidden).unflatten(0, (M, M)))


def hidden_name(run: Run) -> str:
    """Name of the activations of a network's last hidden neurons; ValueError where it is neither a transformer nor an MLP."""
    name = last_hidden(run)
    if name is None:
        raise ValueError(f"Fourier analysis: {architecture_problem(run)}")
    return name


def require_names(run: Run) -> None:
    """ValueError where a run's network has no parts of known names."""
    hidden_name(run)


@dataclass(frozen=True, eq=False)
class Cells:
    """Some cells of a table whose inputs are in its group."""

    a: Int[Tensor, " B"]
    """Elements of the group."""
    b: Int[Tensor, " B"]
    answers: Int[Tensor, " B"]
    """Elements of the table."""

    def pairs(self, group: CyclicTask) -> Pairs:
        """a and b as elements of the table."""
        places = torch.from_numpy(group.places)
        return places[self.a], places[self.b]


def cells_of(task: MeasuredTask, group: CyclicTask, side: str) -> Cells:
    """Training cells with the labels as trained, validation cells, or all pairs (``side="all"``) with their answers.

    Cells with an input that is not in the group, x = 0 in division, are left out; ValueError where none remains.
    """
    if side == "all":
        number = torch.arange(group.order)
        answers = torch.from_numpy(group.places[group.answers].ravel())
        return Cells(number.repeat_interleave(group.order), number.repeat(group.order), answers)
    element = torch.full((task.table.n,), -1, dtype=torch.int64)
    element[torch.from_numpy(group.places)] = torch.arange(group.order)
    chosen = task.split.train if side == "train" else task.split.validation
    labels = task.split.labels if side == "train" else task.table.z
    x, y, z = (torch.from_numpy(column[chosen]).long() for column in (task.table.x, task.table.y, labels))
    inside = (element[x] >= 0) & (element[y] >= 0)
    if not inside.any():
        raise ValueError(f"Fourier analysis: none of the {len(chosen)} {side} cells has both inputs in the group. Take a larger table.")
    return Cells(element[x[inside]], element[y[inside]], z[inside])


# — linear maps —


def embedding_of(parameters: Parameters, task: MeasuredTask) -> dict[str, Float[Tensor, "M D"]]:
    """What reads the elements, a row for each of the group's, float64: ``embedding``, or one for each place, ``left`` and ``right``.

    An MLP on one-hot inputs reads them with its first layer.
    """
    require_names(task.run)
    if is_transformer(task.run):
        found = {"embedding": parameters["embedding"][0]}
    elif "embedding.left" in parameters:
        found = {side: parameters[f"embedding.{side}"][0] for side in ("left", "right")}
    else:
        found = {side: parameters[f"layers.0.{side}"][0].T for side in ("left", "right")}
    return {name: _of_group(matrix, task) for name, matrix in found.items()}


def output_of(parameters: Parameters, task: MeasuredTask) -> Float[Tensor, "M D"]:
    """The output layer, a row for each of the group's elements, float64."""
    return _of_group(parameters["output"][0], task)


def neuron_logit_map(parameters: Parameters, task: MeasuredTask) -> Float[Tensor, "M F"]:
    """The linear map W_L from the last hidden neurons to the logits of the group's elements, float64 (Nanda et al. 2023).

    An MLP's is its output layer. A transformer's is output · mlp.out; what a norm between the two subtracts and its gains are
    part of it, the division by the standard deviation, which depends on the input, is not.
    """
    require_names(task.run)
    if not is_transformer(task.run):
        return output_of(parameters, task)
    model, last = task.run.model, task.run.model.layers - 1
    output, out = output_of(parameters, task), parameters[f"blocks.{last}.mlp.out"][0].cpu().double()
    if model.norm != "none":
        gain = parameters["output_norm.gain" if model.norm == "pre" else f"blocks.{last}.mlp_norm.gain"][0].cpu().double()
        output, out = output * gain, out - out.mean(0)
    return output @ out


def _of_group(matrix: Tensor, task: MeasuredTask) -> Tensor:
    return matrix.detach().cpu().double()[torch.from_numpy(cyclic_task(task.table).places)]


# — checks —


def architecture_problem(run: Run) -> str | None:
    """Why a run's network has no named embedding, hidden layer and output; None for a transformer or an MLP."""
    if last_hidden(run) is not None:
        return None
    return f"got the architecture {run.model.architecture}; expected transformer or mlp, whose activations have names."


def size_problem(run: Run, order: int, elements: int) -> str | None:
    """Why the responses to all pairs would not fit into memory; None where they do."""
    width = max(run.resolved()["mlp_width"], elements)
    if order**2 * width <= LARGEST:
        return None
    return f"got {order:,}² pairs times {width:,} neurons or logits; expected at most {LARGEST:,} numbers. Choose a smaller modulus or mlp_width."


def problems(settings: Mapping[str, Any], *, run: Run | None = None, **context: Any) -> list[str]:
    """Why a measure of weights in the Fourier basis does not apply to a run: its operation, its group or its network."""
    if run is None:
        return []
    found = [operation_problem(run.task.operation), architecture_problem(run)]
    n = run.resolved()["modulus"]
    if found[0] is None and n is not None:
        order = n - OPERATIONS[run.task.operation][0]
        found.append(None if order >= 3 else f"got {order} elements of the group; expected at least 3. Choose a larger modulus.")
    return [problem for problem in found if problem is not None]


def response_problems(settings: Mapping[str, Any], *, run: Run | None = None, **context: Any) -> list[str]:
    """The same for a measure of activations and logits on all pairs."""
    found = problems(settings, run=run)
    if run is None or found:
        return found
    n = run.resolved()["modulus"]
    too_large = size_problem(run, n - OPERATIONS[run.task.operation][0], n)
    return [] if too_large is None else [too_large]
