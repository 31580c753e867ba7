"""The network of Power et al. (2022), one run, written to be read: the reference that `batched.py` must equal.

A decoder-only transformer reads ``a ∘ b =`` and answers at ``=``. Tokens are the N elements, then ∘, =, and the begin token where
there is one. Axis letters: B examples, T tokens, H heads, E width, F MLP width, N elements, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from jaxtyping import Float, Int

from groklab.config.checks import FieldError, field_problems
from groklab.config.fields import Model
from groklab.config.run import Run
from groklab.model.parameters import Entry, Layout
from groklab.model.torch_later import F, Tensor, torch
from groklab.registry import architecture

See = Callable[[str, Tensor], Tensor]
"""Sees every named activation and gives back what the network goes on with: recording, ablation and patching in one."""


def unchanged(name: str, activation: Tensor) -> Tensor:
    """The ``See`` that only lets pass."""
    return activation


def recorder(into: dict[str, Tensor]) -> See:
    """A ``See`` that keeps every activation under its name."""

    def see(name: str, activation: Tensor) -> Tensor:
        into[name] = activation
        return activation

    return see


def _problems(settings: Mapping[str, Any], *, run: Run | None = None, **context: Any) -> Iterator[str | FieldError]:
    if run is None or field_problems(run.model):
        return
    model = run.model
    if model.width % model.heads:
        divisors = [h for h in range(1, model.width + 1) if model.width % h == 0][:8]
        yield FieldError("heads", model.heads, f"a divisor of the width {model.width}", f"Try one of {divisors}, or change the width.")
    if model.positions == "sinusoidal" and model.width % 2:
        yield FieldError("width", model.width, "an even number with sinusoidal positions", "Add 1, or choose positions learned or none.")
    if model.initialization == "gromov":
        yield "got initialization 'gromov', which is of an MLP; expected torch, normal or nanda."
    if model.biases and model.mlp_biases:
        yield "got biases and mlp_biases; expected one of them, for biases has those of the MLPs."


def _frozen(model: Model) -> list[str]:
    """Parameters that stay as they began."""
    return ["blocks.*.attention.query*", "blocks.*.attention.key*"] if model.attention == "frozen" else []


@architecture(
    source="Power et al. 2022",
    reference="groklab.model.transformer:of_equations",
    forward="groklab.model.batched:forward",
    compiled="groklab.model.fused:Fused",
    check=_problems,
    initializations=("torch", "normal", "nanda"),
    frozen=_frozen,
    activations=True,
)
def transformer(run: Run, n: int) -> Layout:
    """Decoder-only causal transformer, the paper's network unless a field says otherwise (Power et al. 2022, A.1.2)."""
    model = run.model
    E, F_ = model.width, run.resolved()["mlp_width"]
    vocabulary = n + 1 + model.operator_token + model.begin_token
    spread = 1.0 if model.initialization == "torch" else 1 / math.sqrt(E)
    entries = {"embedding": Entry((vocabulary, E), "normal", spread, is_embedding=True)}
    if model.positions == "learned":
        entries["positions"] = Entry((3 + model.operator_token + model.begin_token, E), "normal", spread, is_embedding=True)

    def linear(name: str, outputs: int, inputs: int, *, biases: bool, fan_in: int | None = None, is_embedding: bool = False) -> None:
        bound = 1 / math.sqrt(fan_in or inputs)
        entries[name] = Entry((outputs, inputs), "uniform" if model.initialization == "torch" else "normal", bound, is_embedding)
        if biases:
            entries[f"{name}_bias"] = Entry((outputs,), "uniform" if model.initialization == "torch" else "zeros", bound, is_embedding)

    def norm(name: str) -> None:
        entries[f"{name}.gain"] = Entry((E,), "ones")
        entries[f"{name}.bias"] = Entry((E,), "zeros")

    is_nanda = model.initialization == "nanda"
    for layer in range(model.layers):
        for name in ("value", "output") if model.attention == "uniform" else ("query", "key", "value", "output"):
            linear(f"blocks.{layer}.attention.{name}", E, E, biases=model.biases)
        if model.norm != "none":
            norm(f"blocks.{layer}.attention_norm")
        linear(f"blocks.{layer}.mlp.in", F_, E, biases=model.biases or model.mlp_biases)
        linear(f"blocks.{layer}.mlp.out", E, F_, biases=model.biases or model.mlp_biases, fan_in=E if is_nanda else None)
        if model.norm != "none":
            norm(f"blocks.{layer}.mlp_norm")
    if model.norm == "pre":
        norm("output_norm")
    linear("output", n, E, biases=model.biases, fan_in=vocabulary if is_nanda else None, is_embedding=True)
    return Layout(entries)


def tokens(
    a: Int[Tensor, " B"], b: Int[Tensor, " B"], n: int, *, begin_token: bool = False, operator_token: bool = True
) -> Int[Tensor, "B T"]:
    """The sequence ``[begin] a ∘ b =`` of every example; the tokens after the elements are ∘ if there is one, =, begin if there is one."""
    equals, begin = (torch.full_like(a, n + operator_token + k) for k in range(2))
    operator = [torch.full_like(a, n)] if operator_token else []
    return torch.stack([*([begin] if begin_token else []), a, *operator, b, equals], dim=1)


@lru_cache(maxsize=64)
def sinusoidal(length: int, width: int) -> Float[Tensor, "T E"]:
    """Fixed positions, float64, not to be changed: sin(t / 10000^(i/d)) at even i, cos(t / 10000^((i−1)/d)) at odd i (the official implementation)."""
    i = torch.arange(width, dtype=torch.float64)
    angle = torch.arange(length, dtype=torch.float64)[:, None] / 10000 ** ((i - i % 2) / width)
    return torch.where(i % 2 == 0, angle.sin(), angle.cos())


def activation(name: str, x: Tensor, *, inplace: bool = False) -> Tensor:
    """The MLP's nonlinearity: relu, gelu (exact) or quadratic (x², Gromov 2023)."""
    if name == "relu":
        return F.relu(x, inplace=inplace)
    return F.gelu(x) if name == "gelu" else x.square()


def forward(
    parameters: Mapping[str, Float[Tensor, "..."]],
    model: Model,
    sequence: Int[Tensor, "B T"],
    *,
    see: See = unchanged,
) -> Float[Tensor, "B N"]:
    """Logits over the elements at ``=``. Activations pass through ``see`` under the field's usual names."""
    p = parameters
    T, E, H = sequence.shape[1], model.width, model.heads

    def linear(x: Tensor, name: str) -> Tensor:
        return F.linear(x, p[name], p.get(f"{name}_bias"))

    def norm(x: Tensor, name: str, *, when: str) -> Tensor:
        if model.norm != when:
            return x
        return see(f"{name}.hook_normalized", F.layer_norm(x, (E,), p[f"{name}.gain"], p[f"{name}.bias"], eps=1e-5))

    def split(h: Tensor, block: str, name: str) -> Tensor:
        return see(f"{block}.attn.hook_{name[0]}", linear(h, f"{block}.attention.{name}").unflatten(-1, (H, E // H)))

    x = see("hook_embed", p["embedding"][sequence])
    if model.positions != "none":
        positions = p["positions"] if model.positions == "learned" else sinusoidal(T, E).to(x)
        x = x + see("hook_pos_embed", positions)
    future = torch.ones(T, T, dtype=torch.bool, device=x.device).triu(1)
    for layer in range(model.layers):
        block = f"blocks.{layer}"
        x = see(f"{block}.hook_resid_pre", x)
        h = norm(x, f"{block}.attention_norm", when="pre")
        if model.attention == "uniform":
            scores = torch.zeros(sequence.shape[0], H, T, T).to(x)
        else:
            scores = torch.einsum("bqhe,bkhe->bhqk", split(h, block, "query"), split(h, block, "key")) / math.sqrt(E // H)
        scores = see(f"{block}.attn.hook_attn_scores", scores.masked_fill(future, -torch.inf))
        pattern = see(f"{block}.attn.hook_pattern", scores.softmax(-1))
        v = split(h, block, "value")
        z = see(f"{block}.attn.hook_z", torch.einsum("bhqk,bkhe->bqhe", pattern, v))
        x = x + see(f"{block}.hook_attn_out", linear(z.flatten(-2), f"{block}.attention.output"))
        x = see(f"{block}.hook_resid_mid", norm(x, f"{block}.attention_norm", when="post"))
        h = norm(x, f"{block}.mlp_norm", when="pre")
        hidden = see(f"{block}.mlp.hook_pre", linear(h, f"{block}.mlp.in"))
        hidden = see(f"{block}.mlp.hook_post", activation(model.activation, hidden))
        x = x + see(f"{block}.hook_mlp_out", linear(hidden, f"{block}.mlp.out"))
        x = see(f"{block}.hook_resid_post", norm(x, f"{block}.mlp_norm", when="post"))
    x = norm(x, "output_norm", when="pre")
    return see("hook_logits", linear(x[:, -1], "output"))


def of_equations(
    parameters: Mapping[str, Float[Tensor, "..."]],
    model: Model,
    a: Int[Tensor, " B"],
    b: Int[Tensor, " B"],
    n: int,
    *,
    see: See = unchanged,
) -> Float[Tensor, "B N"]:
    """Logits for ``a ∘ b =``, one run: what every architecture's reference is called with."""
    sequence = tokens(a, b, n, begin_token=model.begin_token, operator_token=model.operator_token)
    return forward(parameters, model, sequence, see=see)
