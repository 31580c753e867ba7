"""How good a network is with its key frequencies alone and without them, and how much of its logits they explain (Nanda et al. 2023).

Sources disagree on what is kept, what is removed and which cells are asked, so every form has the name of its variant. Losses are
means of the cross-entropy in nats, in float64, over all elements of the table; projections are over all pairs, whatever the cells.
Publications take the key frequencies of the final network for every checkpoint: give them as ``frequencies=(14, 35, 41)``. Without
them they are those of the checkpoint itself by ``rule`` (`key_frequencies_of`). "The sum directions" are cos w_k(a ± b) and
sin w_k(a ± b): of the difference where the answer is one (subtraction, division).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from groklab.config.run import Run
from groklab.measures.activations import activations_of, in_pieces, is_transformer, logits_of, put_at_equals
from groklab.measures.fourier import along, fourier_basis, frequency_of_row, inverse_pairs
from groklab.measures.frequencies import DEFAULT_RULE, chosen_frequencies, frequency_problems
from groklab.measures.responses import (
    Cells,
    Responses,
    cells_of,
    hidden_name,
    response_problems,
    responses_of,
)
from groklab.measures.task import MeasuredTask
from groklab.model.parameters import Parameters
from groklab.model.torch_later import F, Tensor, torch
from groklab.registry import measure
from groklab.text.values import shown

RESTRICTED = ("sum_directions", "blocks", "wide_blocks", "activations")
EXCLUDED = ("all", "per_frequency", "largest", "activations")
WITHOUT_KEYS = ("per_frequency", "largest")


def _variant_problems(known: tuple[str, ...]) -> Callable[..., list[str]]:
    def check(settings: Mapping[str, Any], *, run: Run | None = None, **context: Any) -> list[str]:
        if settings["variant"] not in known:
            return [f"variant: got {shown(settings['variant'])}; expected one of {', '.join(known)}."]
        given = settings["frequencies"] is not None or settings["rule"] != DEFAULT_RULE
        if settings["variant"] in WITHOUT_KEYS and given:
            return [f"variant: got {settings['variant']} with a rule or frequencies; expected neither, for it is of every frequency."]
        return frequency_problems(settings, run=run) or response_problems(settings, run=run)

    return check


def _unknown(measure_name: str, variant: str, known: tuple[str, ...]) -> ValueError:
    return ValueError(f"{measure_name}: variant: got {shown(variant)}; expected one of {', '.join(known)}.")


@measure(label="restricted loss", source="Nanda et al. 2023", check=_variant_problems(RESTRICTED))
def restricted_loss(
    parameters: Parameters,
    task: MeasuredTask,
    *,
    variant: str = "sum_directions",
    rule: str = DEFAULT_RULE,
    frequencies: tuple[int, ...] | None = None,
) -> float:
    """Loss of a network that has only its key frequencies (Nanda et al. 2023), in nats.

    sum_directions  of the logits the two sum directions of each key frequency and the mean over all pairs; all pairs (their code,
                    where it is "trig loss")
    blocks          of the logits the four products {cos, sin} ⊗ {cos, sin} of each key frequency and the constant; all pairs (their
                    §5.1 by the letter: "the constant term and the 20 terms")
    wide_blocks     of the logits the blocks {1, cos, sin} ⊗ {1, cos, sin} of each key frequency; all pairs (their §4.4, 40 components)
    activations     of the last MLP's activations the sum directions and the mean, what else reaches the output at its mean over all
                    pairs; validation cells (the TransformerLens demonstration, which adds the mean of the logits)
    """
    if variant not in RESTRICTED:
        raise _unknown("restricted_loss", variant, RESTRICTED)
    keys = chosen_frequencies(parameters, task, rule, frequencies)
    responses = responses_of(parameters, task)
    group = responses.group
    if variant == "activations":
        cells = cells_of(task, group, "validation")
        return _loss(_restricted_activations(parameters, task, responses, keys, cells), cells)
    cells = cells_of(task, group, "all")
    if variant == "sum_directions":
        by_answer = along(responses.logits_by_answer, [0, *keys])
        return _loss(by_answer[_answers(cells, responses)], cells)
    return _loss(_blocks(responses, keys, with_linear=variant == "wide_blocks"), cells)


@measure(label="excluded loss", source="Nanda et al. 2023", check=_variant_problems(EXCLUDED))
def excluded_loss(
    parameters: Parameters,
    task: MeasuredTask,
    *,
    variant: str = "all",
    rule: str = DEFAULT_RULE,
    frequencies: tuple[int, ...] | None = None,
) -> float | dict[str, float]:
    """Loss on the training cells of a network without its key frequencies (Nanda et al. 2023), in nats.

    all             the logits without the sum directions of all key frequencies together (their Figure 7)
    per_frequency   a loss for every frequency of the group, ``k1``, ``k2``, …: the logits without its sum directions alone (their
                    code, and Figure 15, for the key frequencies); it takes neither ``rule`` nor ``frequencies``
    largest         the largest of these (their appendix C.2, footnote 3, which needs no key frequencies)
    activations     the last MLP's activations without the sum directions of all key frequencies, all else as it is: what the
                    attention writes past the MLP is kept (the TransformerLens demonstration)
    """
    if variant not in EXCLUDED:
        raise _unknown("excluded_loss", variant, EXCLUDED)
    if variant in WITHOUT_KEYS and (frequencies is not None or rule != DEFAULT_RULE):
        raise ValueError(
            f"excluded_loss: got variant {variant} with a rule or frequencies; expected neither, for it is of every frequency."
        )
    responses = responses_of(parameters, task)
    cells = cells_of(task, responses.group, "train")
    if variant in WITHOUT_KEYS:
        losses = _without_each(responses, cells)
        return float(losses.max()) if variant == "largest" else {f"k{k}": float(loss) for k, loss in enumerate(losses, start=1)}
    keys = chosen_frequencies(parameters, task, rule, frequencies)
    if variant == "activations":
        removed = along(responses.hidden_by_answer, keys)
        return _loss(_with_hidden(parameters, task, responses, cells, removed, is_removed=True), cells)
    removed = along(responses.logits_by_answer, keys)
    return _loss(responses.logits[cells.a, cells.b] - removed[_answers(cells, responses)], cells)


def _loss(logits: Float[Tensor, "B N"] | Float[Tensor, "M M N"], cells: Cells) -> float:
    return float(F.cross_entropy(logits.reshape(len(cells.answers), -1), cells.answers))


def _answers(cells: Cells, responses: Responses) -> Tensor:
    """The group's element a ± b of each cell, whatever its label."""
    return (cells.a + responses.group.sign * cells.b) % responses.group.order


def _blocks(responses: Responses, keys: list[int], *, with_linear: bool) -> Float[Tensor, "M M N"]:
    """The logits' components in the blocks of the key frequencies and the constant."""
    frequency = frequency_of_row(responses.group.order)
    kept = torch.zeros(len(frequency), len(frequency), dtype=torch.bool)
    kept[0, 0] = True
    for k in keys:
        rows = (frequency == k) | (frequency == 0) if with_linear else frequency == k
        kept |= rows[:, None] & rows
    return inverse_pairs(responses.logit_components * kept[..., None])


def _without_each(responses: Responses, cells: Cells) -> Float[Tensor, " K"]:
    """Loss of the logits without the sum directions of each frequency in turn.

    What is removed depends on the answer alone, P_k(s): with e_c = exp(z_c − max z) the sum over c of exp(z_c − P_k(s)_c) is a matrix
    product of e and exp(−P_k(s)) for all cells of one answer, in the place of an exponential per cell, frequency and element.
    """
    order = responses.group.order
    removed = torch.stack([along(responses.logits_by_answer, [k]) for k in range(1, order // 2 + 1)], 1)  # (M, K, N)
    logits, sums = responses.logits[cells.a, cells.b], _answers(cells, responses)
    largest = logits.amax(-1, keepdim=True)
    right = logits.gather(1, cells.answers[:, None]) - removed[sums, :, cells.answers]
    if max(float((largest - logits).max()), float(removed.abs().max())) < 300:  # so that no exponential vanishes or overflows
        factors, exponentials = (-removed).exp(), (logits - largest).exp()
        total = torch.empty_like(right)
        for s in range(order):
            of_sum = sums == s
            total[of_sum] = exponentials[of_sum] @ factors[s].T
        return (total.log() + largest - right).mean(0)
    pieces = [(logits - removed[sums, k]).logsumexp(-1) - right[:, k] for k in range(removed.shape[1])]
    return torch.stack(pieces).mean(1)


# — activations —


def _restricted_activations(
    parameters: Parameters, task: MeasuredTask, responses: Responses, keys: list[int], cells: Cells
) -> Float[Tensor, "B N"]:
    return _with_hidden(parameters, task, responses, cells, along(responses.hidden_by_answer, [0, *keys]), is_removed=False)


def _with_hidden(
    parameters: Parameters, task: MeasuredTask, responses: Responses, cells: Cells, by_answer: Float[Tensor, "M F"], *, is_removed: bool
) -> Float[Tensor, "B N"]:
    """Logits of cells with a function of the answer taken from the last hidden activations, or put in their place.

    In their place also means that the residual stream before the MLP is held at its mean over all pairs. Where no norm follows, the
    logits are linear in both, and W_L tells the change; else the network is run with the activations replaced.
    """
    sums = _answers(cells, responses)
    if not is_transformer(task.run) or task.run.model.norm == "none":
        weights = _output_of_neurons(parameters, task)
        if is_removed:
            return responses.logits[cells.a, cells.b] - (by_answer @ weights.T)[sums]
        change = (by_answer - responses.hidden.mean((0, 1))) @ weights.T
        return responses.logits.mean((0, 1)) + change[sums]
    name = hidden_name(task.run)
    there = responses.hidden[cells.a, cells.b]
    replaced = {name: _at_equals(there - by_answer[sums] if is_removed else by_answer[sums])}
    if not is_removed:
        before = name.replace("mlp.hook_post", "hook_resid_mid")
        every = cells_of(task, responses.group, "all").pairs(responses.group)
        pieces = (activations_of(parameters, task, [before], piece)[before][:, -1] for piece in in_pieces(every))
        stream = torch.stack([piece.double().sum(0) for piece in pieces]).sum(0) / len(every[0])
        replaced[before] = _at_equals(stream)
    return logits_of(parameters, task, cells.pairs(responses.group), replace=replaced).cpu()


def _at_equals(rows: Tensor) -> Callable[[Tensor], Tensor]:
    """Puts rows in the place of an activation at the last token."""
    return lambda activation: put_at_equals(rows, activation)


def _output_of_neurons(parameters: Parameters, task: MeasuredTask) -> Float[Tensor, "N F"]:
    """W_L over all elements of the table, in its order; without a norm."""
    output = parameters["output"][0].detach().cpu().double()
    if not is_transformer(task.run):
        return output
    return output @ parameters[f"blocks.{task.run.model.layers - 1}.mlp.out"][0].detach().cpu().double()


# — what the logits are made of —


def _cosine_components(responses: Responses) -> Float[Tensor, " K"]:
    """⟨logits, cos w_k(a ± b − c)/‖·‖⟩ over all a, b and c of the group, for each frequency 1 … M // 2."""
    order = responses.group.order
    means = responses.logits_by_answer[:, torch.from_numpy(responses.group.places)]
    s = torch.arange(order)
    by_distance = torch.stack([means[(s + d) % order, s].sum() for d in range(order)])  # s here is c, d = a ± b − c
    # The cosines are every other row. One has norm 1 over d and M over all a, b and c; each mean stands for M pairs.
    return fourier_basis(order)[1::2] @ by_distance


def _share_problems(settings: Mapping[str, Any], *, run: Run | None = None, **context: Any) -> list[str]:
    return frequency_problems(settings, run=run) or response_problems(settings, run=run)


@measure(label="share of the logits in cos w(a + b − c)", source="Nanda et al. 2023", check=_share_problems)
def trig_share(
    parameters: Parameters, task: MeasuredTask, *, rule: str = DEFAULT_RULE, frequencies: tuple[int, ...] | None = None
) -> dict[str, float]:
    """Share of the variance of the logits over all pairs that Σ α_k cos w_k(a ± b − c) explains, α by least squares (Nanda et al. 2023, §4.2).

    ``keys`` over the key frequencies, 0.95 for their network, and ``all`` over all frequencies. Logits are those of the group's
    elements less their means over all pairs, class by class, as in their code. ``keys_within_pairs`` takes away the mean over the
    classes of each pair too: a number that is added to all logits of a pair, which the softmax does not see, lowers the other two.
    """
    keys = chosen_frequencies(parameters, task, rule, frequencies)
    responses = responses_of(parameters, task)
    logits = responses.logits[..., torch.from_numpy(responses.group.places)]
    logits = logits - logits.mean((0, 1))
    explained = _cosine_components(responses).square()
    of_keys = float(explained[[k - 1 for k in keys]].sum())
    # Logits that do not vary have nothing to explain.
    variation = float(logits.square().sum()) or 1.0
    within = float((logits - logits.mean(-1, keepdim=True)).square().sum()) or 1.0
    return {"keys": of_keys / variation, "all": float(explained.sum()) / variation, "keys_within_pairs": of_keys / within}


@measure(label="coefficients of cos w(a + b − c)", source="Nanda et al. 2023", check=response_problems, arrays=True)
def cosine_coefficients(parameters: Parameters, task: MeasuredTask) -> dict[str, np.ndarray]:
    """The α_k of logits ≈ Σ α_k cos w_k(a ± b − c) for every frequency, as arrays (Nanda et al. 2023, Figure 14).

    ``frequency`` (K,), 1 … M // 2; ``projection`` (K,), the inner product with the cosine divided by its norm, as in their code;
    ``coefficient`` (K,), α_k by least squares: the projection divided by the norm, in logits.
    """
    responses = responses_of(parameters, task)
    order = responses.group.order
    projection = _cosine_components(responses)
    frequency = torch.arange(1, order // 2 + 1)
    # A wave's square is 1/2 on average; at frequency M / 2, where it alternates, it is 1.
    norm = (order**3 * torch.where(2 * frequency == order, 1.0, 0.5).double()).sqrt()
    return {"frequency": frequency.numpy(), "projection": projection.numpy(), "coefficient": (projection / norm).numpy()}
