"""Which frequencies a network uses, by the three rules of the literature, and which neuron uses which (Nanda et al. 2023)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from groklab.config.run import Run
from groklab.data.cyclic import OPERATIONS
from groklab.measures.fourier import frequency_of_row, power_spectrum, transform
from groklab.measures.responses import embedding_of, neuron_logit_map, problems, response_problems, responses_of
from groklab.measures.task import MeasuredTask
from groklab.model.parameters import Parameters
from groklab.model.torch_later import torch
from groklab.registry import measure
from groklab.text.values import shown

RULES = ("neurons", "output", "embedding")
DEFAULT_RULE = "neurons"


def key_frequencies_of(parameters: Parameters, task: MeasuredTask, *, rule: str = DEFAULT_RULE) -> list[int]:
    """The key frequencies of one run's network, (1, P), ascending, among 1 … M // 2; ValueError for an unknown rule.

    neurons     of each neuron of the last MLP the frequency whose block {1, cos, sin} ⊗ {1, cos, sin} holds most of its variance
                over all pairs; all that some neuron has (the code of Nanda et al. 2023, which tries 1 … p//2 − 1, one frequency
                fewer; a neuron that does not vary has none, where the code has −1)
    output      those of which W_L, the map from neurons to logits, has components along the logit axis of more than a quarter of the
                largest frequency's norm (Nanda et al. 2023, appendix C.2, which gives no number: the quarter is ours)
    embedding   those of which a cosine or sine component of the embedding has more than a quarter of the largest component's norm,
                the constant's included (the TransformerLens demonstration)
    """
    match rule:
        case "neurons":
            frequency, score = responses_of(parameters, task).neuron_frequencies
            return torch.unique(frequency[score > 0]).tolist()
        case "output":
            norm = power_spectrum(neuron_logit_map(parameters, task)).sum(1).sqrt()[1:]
            return (1 + torch.nonzero(norm > norm.max() / 4)[:, 0]).tolist()
        case "embedding":
            norm = transform(torch.cat([*embedding_of(parameters, task).values()], 1)).norm(dim=1)
            large = (norm > norm.max() / 4) & (frequency_of_row(len(norm)) > 0)
            return torch.unique(frequency_of_row(len(norm))[large]).tolist()
        case _:
            raise ValueError(f"key frequencies: got the rule {shown(rule)}; expected one of {', '.join(RULES)}.")


# — what is checked of settings —


def rule_problems(settings: Mapping[str, Any], *, run: Run | None = None, **context: Any) -> list[str]:
    """What is wrong with a rule, and with a run for which it is asked."""
    if settings["rule"] not in RULES:
        return [f"rule: got {shown(settings['rule'])}; expected one of {', '.join(RULES)}."]
    return response_problems(settings, run=run) if settings["rule"] == "neurons" else problems(settings, run=run)


def frequency_problems(settings: Mapping[str, Any], *, run: Run | None = None, **context: Any) -> list[str]:
    """What is wrong with a rule or with frequencies that are given."""
    given, found = settings["frequencies"], rule_problems(settings, run=run)
    if given is None or found:
        return found
    if settings["rule"] != DEFAULT_RULE:
        return [f"frequencies: got {shown(given)} and the rule {settings['rule']}; expected one of the two."]
    if not isinstance(given, tuple) or not given or not all(type(k) is int for k in given):
        return [f"frequencies: got {shown(given)}; expected whole numbers such as (14, 35, 41), or None for those of the rule."]
    if run is None:
        return []
    order = run.resolved()["modulus"] - OPERATIONS[run.task.operation][0]
    outside = [k for k in given if not 1 <= k <= order // 2]
    return [f"frequencies: got {outside[0]}; expected 1 to {order // 2} for {order} elements of the group."] if outside else []


def _threshold_problems(settings: Mapping[str, Any], *, run: Run | None = None, **context: Any) -> list[str]:
    threshold = settings["threshold"]
    if not isinstance(threshold, (int, float)) or isinstance(threshold, bool) or not 0 < threshold <= 1:
        return [f"threshold: got {shown(threshold)}; expected a share of the variance in (0, 1]."]
    return response_problems(settings, run=run)


def chosen_frequencies(parameters: Parameters, task: MeasuredTask, rule: str, given: tuple[int, ...] | None) -> list[int]:
    """The frequencies that are given, or those of the rule; ValueError for both, or where they do not exist in the group."""
    if given is None:
        return key_frequencies_of(parameters, task, rule=rule)
    if rule != DEFAULT_RULE:
        raise ValueError(f"frequencies: got {shown(given)} and the rule {shown(rule)}; expected one of the two.")
    order = responses_of(parameters, task).group.order
    for k in given:
        if type(k) is not int or not 1 <= k <= order // 2:
            raise ValueError(f"frequencies: got {shown(k)}; expected 1 to {order // 2} for {order} elements of the group.")
    return sorted(set(given))


# — measures —


@measure(label="key frequencies", source="Nanda et al. 2023", check=rule_problems)
def key_frequencies(parameters: Parameters, task: MeasuredTask, *, rule: str = DEFAULT_RULE) -> dict[str, float]:
    """How many key frequencies the network has by a published rule, and how much of what the rule looks at is theirs (Nanda et al. 2023).

    ``count``; ``share`` of the power at all frequencies, constant excluded, in the activations of the neurons (blocks), W_L or the
    embedding; ``strongest``, the frequency of most power, and ``strongest_share``. Rules: see `key_frequencies_of`, which gives the
    frequencies themselves.
    """
    keys = key_frequencies_of(parameters, task, rule=rule)
    if rule == "neurons":
        power = responses_of(parameters, task).hidden_power.sum(1)[1:]
    elif rule == "output":
        power = power_spectrum(neuron_logit_map(parameters, task)).sum(1)[1:]
    else:
        power = power_spectrum(torch.cat([*embedding_of(parameters, task).values()], 1)).sum(1)[1:]
    total = float(power.sum()) or 1.0  # all zero: no frequency has a share
    return {
        "count": float(len(keys)),
        "share": float(power[[k - 1 for k in keys]].sum()) / total,
        "strongest": float(power.argmax()) + 1,
        "strongest_share": float(power.max()) / total,
    }


@measure(label="neurons of a single frequency", source="Nanda et al. 2023", check=_threshold_problems)
def single_frequency_neurons(parameters: Parameters, task: MeasuredTask, *, threshold: float = 0.85) -> dict[str, float]:
    """Neurons of the last MLP of which one frequency's block holds at least ``threshold`` of the variance over all pairs (Nanda et al. 2023).

    ``count``, their ``share`` of all neurons, and the number of ``frequencies`` that they have; theirs are 433 of 512 neurons and 5.
    """
    frequency, score = responses_of(parameters, task).neuron_frequencies
    assigned = frequency[score >= threshold]
    return {
        "count": float(len(assigned)),
        "share": len(assigned) / len(frequency),
        "frequencies": float(len(assigned.unique())),
    }


@measure(label="frequency of each neuron", source="Nanda et al. 2023", check=_threshold_problems, arrays=True)
def neuron_frequencies(parameters: Parameters, task: MeasuredTask, *, threshold: float = 0.85) -> dict[str, np.ndarray]:
    """The frequency of each neuron of the last MLP and the share of its variance there, as arrays (Nanda et al. 2023).

    ``frequency`` (F,), the best of 1 … M // 2, and 0 for a neuron that does not vary; ``score`` (F,); ``count`` (K + 1,), how many
    neurons of a score of at least ``threshold`` each frequency has, at place 0 how many neurons are below it.
    """
    frequency, score = responses_of(parameters, task).neuron_frequencies
    order = responses_of(parameters, task).group.order
    assigned = torch.where(score >= threshold, frequency, 0)
    return {
        "frequency": frequency.numpy(),
        "score": score.numpy(),
        "count": torch.bincount(assigned, minlength=order // 2 + 1).numpy(),
    }
