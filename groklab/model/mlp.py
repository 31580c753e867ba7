"""Networks without attention: two tokens side by side through a multilayer perceptron (Gromov 2023, Chughtai et al. 2023, Prieto et al. 2025).

``inputs`` says how the elements a and b enter:

    concatenated   an embedding for each place, side by side (Chughtai et al. 2023)
    summed         an embedding for each place, added
    one_hot        no embedding: the first hidden layer reads both as one-hot vectors (Gromov 2023, Prieto et al. 2025)

`forward` is the reference for one run; `batched_forward` computes R runs, the first layer once per element and not per example.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

from jaxtyping import Float, Int

from groklab import registry
from groklab.config.fields import Model
from groklab.config.run import Run
from groklab.model.batched import Examples, linear
from groklab.model.parameters import Entry, Layout
from groklab.model.torch_later import F, Tensor, torch
from groklab.model.transformer import See, activation, unchanged
from groklab.registry import architecture
from groklab.text.values import shown

INPUTS = ("concatenated", "summed", "one_hot")

#: Fields of a model that mean something for an MLP; the others must stay as they are.
USED = ("architecture", "layers", "width", "mlp_width", "activation", "biases", "initialization", "initial_scale")


def _problems(settings: Mapping[str, Any], *, run: Run | None = None, **context: Any) -> Iterator[str]:
    if settings["inputs"] not in INPUTS:
        yield f"inputs: got {shown(settings['inputs'])}; expected one of {', '.join(INPUTS)}."
    if run is None:
        return
    for field in fields(Model):
        value = getattr(run.model, field.name)
        if field.name not in USED and value != field.default:
            yield f"got {field.name} {shown(value)}; expected none, for an MLP has no {field.name}. Leave it out, or choose transformer."
    if run.model.initialization == "nanda":
        yield "got initialization 'nanda', which is of a transformer; expected torch, normal or gromov."
    if settings["inputs"] == "one_hot" and run.model.width != Model.width:
        yield f"got width {shown(run.model.width)} with one_hot inputs, which have no embedding; expected none. Set mlp_width instead."


def _unused(settings: Mapping[str, Any]) -> list[str]:
    """Fields of a model that mean nothing here."""
    unused = [field.name for field in fields(Model) if field.name not in USED]
    return [*unused, "width"] if settings["inputs"] == "one_hot" else unused


def settings_of(model: Model) -> dict[str, Any]:
    """Settings of the architecture's call, with defaults."""
    return registry.settings_of("architecture", model.architecture)


@architecture(
    source="Chughtai et al. 2023; Gromov 2023",
    reference="groklab.model.mlp:forward",
    forward="groklab.model.mlp:batched_forward",
    check=_problems,
    unused=_unused,
    initializations=("torch", "normal", "gromov"),
)
def mlp(run: Run, n: int, *, inputs: str = "concatenated") -> Layout:
    """Multilayer perceptron on two embedded or one-hot tokens, with ``layers`` hidden layers of ``mlp_width`` (Chughtai et al. 2023, Gromov 2023)."""
    model = run.model
    E, hidden = model.width, run.resolved()["mlp_width"]
    entries: dict[str, Entry] = {}

    def matrix(name: str, outputs: int, inputs: int, *, fan_in: int, is_embedding: bool = False) -> None:
        entries[name] = Entry((outputs, inputs), *_distribution(model, fan_in, hidden), is_embedding)
        if model.biases:
            entries[f"{name}_bias"] = Entry(
                (outputs,), "zeros" if model.initialization != "torch" else "uniform", 1 / math.sqrt(fan_in), is_embedding
            )

    if inputs == "one_hot":
        reads = n
    else:
        for side in ("left", "right"):
            spread = 1.0 if model.initialization == "torch" else 1 / math.sqrt(E)
            entries[f"embedding.{side}"] = Entry((n, E), "normal", spread, is_embedding=True)
        reads = E
    is_sum = inputs == "summed"
    for layer in range(model.layers):
        if layer == 0 and not is_sum:
            reads_symbols = inputs == "one_hot"  # then this layer is the embedding
            entries["layers.0.left"] = Entry((hidden, reads), *_distribution(model, 2 * reads, hidden), reads_symbols)
            matrix("layers.0.right", hidden, reads, fan_in=2 * reads, is_embedding=reads_symbols)
        else:
            width = reads if layer == 0 else hidden
            matrix(f"layers.{layer}", hidden, width, fan_in=width)
    matrix("output", n, hidden, fan_in=hidden, is_embedding=True)
    return Layout(entries)


def _distribution(model: Model, fan_in: int, hidden: int) -> tuple[Any, float]:
    """How a matrix's initial values are drawn."""
    if model.initialization == "torch":
        return "uniform", 1 / math.sqrt(fan_in)
    return "normal", 0.5 / (2 * hidden) ** (1 / 3) if model.initialization == "gromov" else 1 / math.sqrt(fan_in)


def forward(
    p: Mapping[str, Tensor], model: Model, a: Int[Tensor, " B"], b: Int[Tensor, " B"], n: int, *, see: See = unchanged
) -> Float[Tensor, "B N"]:
    """Logits over the elements, one run, written to be read."""
    inputs = settings_of(model)["inputs"]
    if inputs == "one_hot":
        left, right = F.one_hot(a, n).to(p["output"].dtype), F.one_hot(b, n).to(p["output"].dtype)
    else:
        left, right = see("hook_embed_left", p["embedding.left"][a]), see("hook_embed_right", p["embedding.right"][b])
    x = left + right if inputs == "summed" else torch.cat([left, right], dim=-1)
    for layer in range(model.layers):
        weight = p[f"layers.{layer}"] if f"layers.{layer}" in p else torch.cat([p["layers.0.left"], p["layers.0.right"]], dim=1)
        bias = p.get(f"layers.{layer}_bias", p.get("layers.0.right_bias") if layer == 0 else None)
        hidden = see(f"layers.{layer}.hook_pre", F.linear(x, weight, bias))
        x = see(f"layers.{layer}.hook_post", activation(model.activation, hidden))
    return see("hook_logits", F.linear(x, p["output"], p.get("output_bias")))


def batched_forward(p: Mapping[str, Tensor], model: Model, given: Examples, n: int, *, see: See = unchanged) -> Float[Tensor, "R B N"]:
    """Logits over the elements for every example of every run; equal to `forward` run by run. ``p`` has a leading run axis."""
    inputs = settings_of(model)["inputs"]
    if inputs == "one_hot":
        left, right = p["layers.0.left"].mT, p["layers.0.right"].mT
        if "layers.0.right_bias" in p:
            right = right + p["layers.0.right_bias"][:, None]
    else:
        left, right = p["embedding.left"], p["embedding.right"]
        if inputs == "concatenated":
            left, right = linear(p, left, "layers.0.left"), linear(p, right, "layers.0.right")
    x = _chosen(left, given.a, given.a_index) + _chosen(right, given.b, given.b_index)
    first = 0
    if inputs != "summed":
        x, first = activation(model.activation, x), 1
    for layer in range(first, model.layers):
        x = activation(model.activation, linear(p, x, f"layers.{layer}"))
    return linear(p, x, "output")


def _chosen(table: Float[Tensor, "R N F"], elements: Int[Tensor, "R A"], index: Int[Tensor, "R B"] | None) -> Float[Tensor, "R B F"]:
    """The rows of each example's element."""
    which = elements if index is None else elements.gather(1, index)
    R, N = table.shape[:2]
    if R == 1:
        return table.squeeze(0).index_select(0, which.squeeze(0))[None]
    offset = torch.arange(R, device=table.device)[:, None] * N
    return table.flatten(0, 1).index_select(0, (which + offset).flatten()).unflatten(0, which.shape)
