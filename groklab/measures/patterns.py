"""What a network's attention and its neurons do on every pair of elements: the maps behind the pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from groklab import registry
from groklab.config.run import Run
from groklab.measures.activations import activations_of, all_pairs
from groklab.measures.task import MeasuredTask
from groklab.model.parameters import Parameters
from groklab.registry import measure

LARGEST = 50_000_000
"""Numbers in the maps of all pairs beyond which they are not computed."""


def _is_transformer(run: Run) -> bool:
    return registry.parse_call(run.model.architecture).name == "transformer"


def _attention_problems(settings: Mapping[str, Any], *, run: Run) -> list[str]:
    if not _is_transformer(run):
        return [f"got the architecture {run.model.architecture}, which has no attention; expected transformer."]
    return []


def _neuron_problems(settings: Mapping[str, Any], *, run: Run) -> list[str]:
    count = settings["count"]
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        return [f"count: got {count!r}; expected a whole number of neurons from 1 on."]
    if registry.parse_call(run.model.architecture).name not in ("transformer", "mlp"):
        return [f"got the architecture {run.model.architecture}, whose neurons have no known name; expected transformer or mlp."]
    return []


@measure(label="attention patterns", source="Power et al. 2022; Nanda et al. 2023", check=_attention_problems, arrays=True)
def attention_patterns(parameters: Parameters, task: MeasuredTask) -> dict[str, np.ndarray]:
    """Attention that ``=`` pays to each token, for every head and pair of elements, as arrays ``blocks.L`` (H, T, N, N) (after Nanda et al. 2023, Figure 3).

    The last two axes are a and b, the second the tokens in their order: begin if there is one, a, ∘ if there is one, b, =.
    """
    run, n = task.run, task.table.n
    layers, heads = run.model.layers, run.model.heads
    if layers * heads * 5 * n * n > LARGEST:
        raise ValueError(
            f"attention_patterns: got a table of {n} elements and {layers * heads} heads; too much to keep. Choose a smaller table."
        )
    names = [f"blocks.{layer}.attn.hook_pattern" for layer in range(layers)]
    seen = activations_of(parameters, task, names, all_pairs(task))
    return {
        f"blocks.{layer}": seen[name][:, :, -1].permute(1, 2, 0).unflatten(-1, (n, n)).float().cpu().numpy()
        for layer, name in enumerate(names)
    }


@measure(label="neurons on all pairs", source="Nanda et al. 2023; Gromov 2023", check=_neuron_problems, arrays=True)
def neuron_maps(parameters: Parameters, task: MeasuredTask, *, count: int = 8) -> dict[str, np.ndarray]:
    """Activations of the last hidden layer's neurons at ``=`` on all pairs, of those that vary most, as arrays (after Nanda et al. 2023, Figure 3).

    ``neuron`` (C,), which they are, by falling variance; ``activation`` (C, N, N), a and b the last two axes; ``share`` (C,), of the
    variance of the layer.
    """
    run, n = task.run, task.table.n
    last = run.model.layers - 1
    name = f"blocks.{last}.mlp.hook_post" if _is_transformer(run) else f"layers.{last}.hook_post"
    hidden = activations_of(parameters, task, [name], all_pairs(task))[name]
    hidden = hidden[:, -1] if hidden.ndim == 3 else hidden
    variance = hidden.double().var(0, correction=0)
    chosen = variance.argsort(descending=True, stable=True)[:count]
    total = float(variance.sum())
    return {
        "neuron": chosen.cpu().numpy(),
        "activation": hidden[:, chosen].T.unflatten(-1, (n, n)).float().cpu().numpy().copy(),
        "share": (variance[chosen] / total).cpu().numpy() if total > 0 else np.zeros(len(chosen)),
    }
