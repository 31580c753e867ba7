"""What a network's attention and its neurons do on every pair of elements: the maps behind the pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from groklab.config.run import Run
from groklab.measures.activations import activations_of, all_pairs, at_equals, in_pieces, is_transformer, last_hidden
from groklab.measures.task import MeasuredTask
from groklab.model.parameters import Parameters
from groklab.model.torch_later import torch
from groklab.registry import measure
from groklab.text.values import shown

LARGEST = 50_000_000
"""Numbers in the maps of all pairs beyond which they are not computed."""


def _attention_problems(settings: Mapping[str, Any], *, run: Run) -> list[str]:
    if not is_transformer(run):
        return [f"got the architecture {run.model.architecture}, which has no attention; expected transformer."]
    return []


def _neuron_problems(settings: Mapping[str, Any], *, run: Run) -> list[str]:
    count = settings["count"]
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        return [f"count: got {shown(count)}; expected a whole number of neurons from 1 on."]
    if last_hidden(run) is None:
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
    seen = [activations_of(parameters, task, names, piece) for piece in in_pieces(all_pairs(task))]
    patterns = (torch.cat([piece[name][:, :, -1].float().cpu() for piece in seen]) for name in names)  # (N², H, T) each
    return {f"blocks.{layer}": found.permute(1, 2, 0).unflatten(-1, (n, n)).numpy() for layer, found in enumerate(patterns)}


@measure(label="neurons on all pairs", source="Nanda et al. 2023; Gromov 2023", check=_neuron_problems, arrays=True)
def neuron_maps(parameters: Parameters, task: MeasuredTask, *, count: int = 8) -> dict[str, np.ndarray]:
    """Activations of the last hidden layer's neurons at ``=`` on all pairs, of those that vary most, as arrays (after Nanda et al. 2023, Figure 3).

    ``neuron`` (C,), which they are, by falling variance; ``activation`` (C, N, N), a and b the last two axes; ``share`` (C,), of the
    variance of the layer.
    """
    name, n, width = last_hidden(task.run), task.table.n, task.run.resolved()["mlp_width"]
    if name is None:
        raise ValueError(f"neuron_maps: {_neuron_problems({'count': count}, run=task.run)[0]}")
    if width * n * n > LARGEST:
        raise ValueError(f"neuron_maps: got a table of {n} elements and {width} neurons; too much to keep. Choose a smaller table.")
    pieces = (activations_of(parameters, task, [name], piece)[name] for piece in in_pieces(all_pairs(task)))
    hidden = torch.cat([at_equals(piece).cpu() for piece in pieces])
    variance = hidden.double().var(0, correction=0)
    chosen = variance.argsort(descending=True, stable=True)[:count]
    total = float(variance.sum())
    return {
        "neuron": chosen.numpy(),
        "activation": hidden[:, chosen].T.unflatten(-1, (n, n)).float().numpy().copy(),
        "share": (variance[chosen] / total).numpy() if total > 0 else np.zeros(len(chosen)),
    }
