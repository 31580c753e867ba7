"""The network of Power et al. (2022), one run, written to be read: the reference that `batched.py` must equal.

A decoder-only transformer reads ``a ∘ b =`` and answers at ``=``. Tokens are the N elements, then ∘, =, and the begin token where
there is one. Axis letters: B examples, T tokens, H heads, E width, F MLP width, N elements, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from groklab.config.run import Model, Run
from groklab.model.parameters import Entry, Layout
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


@architecture(batched="groklab.model.batched")
def transformer(run: Run, n: int) -> Layout:
    """Decoder-only causal transformer, the paper's network unless a field says otherwise (Power et al. 2022, A.1.2)."""
    model = run.model
    E, F_ = model.width, run.resolved()["mlp_width"]
    entries = {"embedding": Entry((n + 2 + model.begin_token, E), "normal", is_embedding=True)}
    if model.positions == "learned":
        entries["positions"] = Entry((4 + model.begin_token, E), "normal", is_embedding=True)

    def linear(name: str, outputs: int, inputs: int, *, is_embedding: bool = False) -> None:
        bound = 1 / math.sqrt(inputs)
        entries[name] = Entry((outputs, inputs), "uniform", bound, is_embedding)
        if model.biases:
            entries[f"{name}_bias"] = Entry((outputs,), "uniform", bound, is_embedding)

    def norm(name: str) -> None:
        entries[f"{name}.gain"] = Entry((E,), "ones")
        entries[f"{name}.bias"] = Entry((E,), "zeros")

    for layer in range(model.layers):
        for name in ("query", "key", "value", "output"):
            linear(f"blocks.{layer}.attention.{name}", E, E)
        if model.norm != "none":
            norm(f"blocks.{layer}.attention_norm")
        linear(f"blocks.{layer}.mlp.in", F_, E)
        linear(f"blocks.{layer}.mlp.out", E, F_)
        if model.norm != "none":
            norm(f"blocks.{layer}.mlp_norm")
    if model.norm == "pre":
        norm("output_norm")
    linear("output", n, E, is_embedding=True)
    return Layout(entries)


def tokens(a: Int[Tensor, " B"], b: Int[Tensor, " B"], n: int, *, begin_token: bool) -> Int[Tensor, "B T"]:
    """The sequence ``[begin] a ∘ b =`` of every example."""
    operator, equals, begin = (torch.full_like(a, n + k) for k in range(3))
    return torch.stack(([begin] if begin_token else []) + [a, operator, b, equals], dim=1)


def sinusoidal(length: int, width: int) -> Float[Tensor, "T E"]:
    """Fixed positions: sin(t / 10000^(i/d)) at even i, cos(t / 10000^((i−1)/d)) at odd i (the official implementation)."""
    i = torch.arange(width, dtype=torch.float64)
    angle = torch.arange(length, dtype=torch.float64)[:, None] / 10000 ** ((i - i % 2) / width)
    return torch.where(i % 2 == 0, angle.sin(), angle.cos())


def activation(name: str, x: Tensor) -> Tensor:
    """The MLP's nonlinearity: relu, gelu (exact) or quadratic (x², Gromov 2023)."""
    return {"relu": torch.relu, "gelu": F.gelu, "quadratic": torch.square}[name](x)


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

    x = see("hook_embed", p["embedding"][sequence])
    if model.positions != "none":
        positions = p["positions"] if model.positions == "learned" else sinusoidal(T, E).to(x)
        x = x + see("hook_pos_embed", positions)
    future = torch.ones(T, T, dtype=torch.bool, device=x.device).triu(1)
    for layer in range(model.layers):
        block = f"blocks.{layer}"
        x = see(f"{block}.hook_resid_pre", x)
        h = norm(x, f"{block}.attention_norm", when="pre")
        q, k, v = (
            see(f"{block}.attn.hook_{name[0]}", linear(h, f"{block}.attention.{name}").unflatten(-1, (H, E // H)))
            for name in ("query", "key", "value")
        )
        scores = torch.einsum("bqhe,bkhe->bhqk", q, k) / math.sqrt(E // H)
        scores = see(f"{block}.attn.hook_attn_scores", scores.masked_fill(future, -torch.inf))
        pattern = see(f"{block}.attn.hook_pattern", scores.softmax(-1))
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
