"""The network of `transformer.py` for R runs at once, without computing what the table's structure makes redundant.

Attention is causal, so what happens at ``a`` and ``∘`` depends on ``a`` alone: with n elements there are n distinct rows and not
one per example. In the first layer queries, keys and values are of single tokens: 2n + 2 distinct rows. In the last layer only
``=`` needs a query, an MLP and logits. So a position's *rows* are its distinct activations, and an *index* says which row
belongs to which example. Rows of all positions lie in one matrix, (R, M, E): one product serves them all.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from jaxtyping import Float, Int

from groklab.config.fields import Model
from groklab.model.torch_later import F, Tensor, torch
from groklab.model.transformer import See, activation, sinusoidal, unchanged


@dataclass(frozen=True)
class Examples:
    """Which elements have rows, and which row each example uses."""

    a: Int[Tensor, "R A"]
    """Elements that have a row at position a."""
    a_index: Int[Tensor, "R B"] | None
    """None: every example has rows of its own."""
    b: Int[Tensor, "R A2"]
    b_index: Int[Tensor, "R B"] | None
    count: int
    """B."""


def examples(a: Int[Tensor, "R B"], b: Int[Tensor, "R B"], n: int, *, shared: bool = True) -> Examples:
    """Rows for the elements of these examples: all n, or, for one run and few examples, those that occur.

    The choice depends on the examples alone, so that a run's numbers do not depend on its neighbours. Without sharing every
    example has rows of its own at every position, as dropout needs them.
    """
    B = a.shape[1]
    if not shared:
        return Examples(a, None, b, None, B)
    if a.shape[0] == 1 and a.shape[1] < 3 * n:
        (a_rows, a_index), (b_rows, b_index) = (torch.unique(side, return_inverse=True) for side in (a, b))
        return Examples(a_rows[None], a_index, b_rows[None], b_index, B)
    every = torch.arange(n, device=a.device).expand(a.shape[0], n)
    return Examples(every, a, every, b, B)


@dataclass(frozen=True)
class _Position:
    """One position's share of the stacked matrix."""

    rows: int
    index: Tensor | None
    """(R, B), the row of each example; None where there is one row for all examples, or one for each."""


_Positions = dict[str, _Position]


def _stack(parts: list[tuple[str, Tensor, Tensor | None]]) -> tuple[Tensor, _Positions]:
    """Rows of several positions in one matrix."""
    return torch.cat([rows for _, rows, _ in parts], dim=1), {name: _Position(rows.shape[1], index) for name, rows, index in parts}


def _apart(x: Tensor, positions: _Positions) -> dict[str, Tensor]:
    """The stacked matrix taken apart again; one split, whose gradient is one concatenation, instead of many slices."""
    return dict(zip(positions, x.split([position.rows for position in positions.values()], dim=1), strict=True))


def _for_examples(rows: Tensor, position: _Position, count: int) -> Tensor:
    """The rows of one position, (R, rows, E), as seen by ``count`` examples, (R, count, E)."""
    if position.index is None:
        return _for_prefix(rows, count)
    R, m = rows.shape[:2]
    if R == 1:
        return rows.squeeze(0).index_select(0, position.index.squeeze(0))[None]
    offset = torch.arange(R, device=rows.device)[:, None] * m
    return rows.flatten(0, 1).index_select(0, (position.index + offset).flatten()).unflatten(0, (R, count))


def _as_seen(rows: Tensor, position: _Position, count: int) -> Tensor:
    """The rows of one position as keys or values of ``count`` examples; one row for all stays one."""
    return rows if position.index is None else _for_examples(rows, position, count)


def _for_prefix(rows: Tensor, count: int) -> Tensor:
    """One row for all, repeated, or one row each, as it is."""
    return rows.expand(-1, count, -1) if rows.shape[1] == 1 else rows


def linear(p: Mapping[str, Tensor], x: Float[Tensor, "R M I"], name: str) -> Float[Tensor, "R M O"]:
    """x Wᵀ + bias for every run."""
    weight, bias = p[name], p.get(f"{name}_bias")
    if x.shape[0] == 1:
        # A plain matrix product is faster than a batch of one; squeeze, because the gradient of [0] fills a block with zeros.
        return F.linear(x.squeeze(0), weight.squeeze(0), None if bias is None else bias.squeeze(0))[None]
    product = x @ weight.transpose(1, 2)
    return product if bias is None else product + bias[:, None]


def norm(p: Mapping[str, Tensor], x: Float[Tensor, "R M E"], name: str) -> Float[Tensor, "R M E"]:
    """LayerNorm with every run's own gain and bias."""
    gain, bias = p[f"{name}.gain"], p[f"{name}.bias"]
    if x.shape[0] == 1:
        return F.layer_norm(x, x.shape[-1:], gain.squeeze(0), bias.squeeze(0), eps=1e-5)
    return F.layer_norm(x, x.shape[-1:], eps=1e-5) * gain[:, None] + bias[:, None]


def _attend(q: Tensor | None, keys: list[Tensor], values: list[Tensor], heads: int) -> Tensor:
    """Softmax-weighted sum over a handful of positions: q (R, M, E), keys and values (R, M or 1, E), one per position; no query: the mean.

    Position by position, so that nothing is stacked and a row that all examples share is not repeated.
    """
    if len(values) == 1:
        return values[0]
    if q is None:
        return torch.stack(torch.broadcast_tensors(*values)).mean(0)
    query = (q / math.sqrt(q.shape[-1] // heads)).unflatten(-1, (heads, -1))
    scores = [(query * k.unflatten(-1, (heads, -1))).sum(-1, keepdim=True) for k in keys]
    weights = torch.cat(scores, -1).softmax(-1).split(1, -1)
    total = weights[0] * values[0].unflatten(-1, (heads, -1))
    for weight, v in zip(weights[1:], values[1:], strict=True):
        total = torch.addcmul(total, weight, v.unflatten(-1, (heads, -1)))
    return total.flatten(-2)


def forward(p: Mapping[str, Tensor], model: Model, given: Examples, n: int, *, see: See = unchanged) -> Float[Tensor, "R B N"]:
    """Logits over the elements at ``=`` for every example of every run; equal to `transformer.forward` run by run.

    ``p`` holds the parameters with a leading run axis. What the sublayers add to the residual stream passes through ``see``,
    rows of all positions in one matrix; it may differ between examples only where their rows are not shared.
    """
    x, positions = _embedded(p, model, given, n)
    for layer in range(model.layers):
        block = f"blocks.{layer}"
        h = norm(p, x, f"{block}.attention_norm") if model.norm == "pre" else x
        x, attended, positions = _attention(p, model, block, x, h, positions, given, is_last=layer == model.layers - 1)
        x = x + see(f"{block}.hook_attn_out", linear(p, attended, f"{block}.attention.output"))
        x = norm(p, x, f"{block}.attention_norm") if model.norm == "post" else x
        h = norm(p, x, f"{block}.mlp_norm") if model.norm == "pre" else x
        hidden = activation(model.activation, linear(p, h, f"{block}.mlp.in"), inplace=True)
        x = x + see(f"{block}.hook_mlp_out", linear(p, hidden, f"{block}.mlp.out"))
        x = norm(p, x, f"{block}.mlp_norm") if model.norm == "post" else x
    x = norm(p, x, "output_norm") if model.norm == "pre" else x
    return linear(p, x, "output")


def _attention(
    p: Mapping[str, Tensor], model: Model, block: str, x: Tensor, h: Tensor, positions: _Positions, given: Examples, *, is_last: bool
) -> tuple[Tensor, Tensor, _Positions]:
    """Residual stream and attention, before its output matrix, of the rows that go on, stacked: all positions, or ``=`` in the last layer."""
    B, names = given.count, list(positions)
    xs, hs = _apart(x, positions), _apart(h, positions)
    vs = _apart(linear(p, h, f"{block}.attention.value"), positions)
    qs: Mapping[str, Tensor] = {}
    ks = vs
    if model.attention != "uniform":
        ks = _apart(linear(p, h, f"{block}.attention.key"), positions)
        if is_last:
            qs = {"=": linear(p, hs["="], f"{block}.attention.query")}
        else:
            qs = _apart(linear(p, h, f"{block}.attention.query"), positions)
    going_on: list[tuple[str, Tensor, Tensor | None]] = []
    attended: list[Tensor] = []
    if not is_last:
        for name in names[: names.index("b")]:  # begin has one row, a and ∘ one for each element at a
            is_one = name == "begin" and given.a_index is not None
            count, index = (1, None) if is_one else (given.a.shape[1], given.a_index)
            seen = names[: names.index(name) + 1]
            keys, values = ([side[other] for other in seen] for side in (ks, vs))
            query = _for_prefix(qs[name], count) if qs else None
            attended.append(_for_prefix(_attend(query, keys, values, model.heads), count))
            going_on.append((name, _for_prefix(xs[name], count), index))
    keys, values = ([_as_seen(side[name], positions[name], B) for name in names] for side in (ks, vs))
    for name in ["="] if is_last else ["b", "="]:
        seen_count = names.index(name) + 1
        query = _for_examples(qs[name], positions[name], B) if qs else None
        attended.append(_for_prefix(_attend(query, keys[:seen_count], values[:seen_count], model.heads), B))
        going_on.append((name, _for_examples(xs[name], positions[name], B), None))
    stream, going_on_positions = _stack(going_on)
    return stream, torch.cat(attended, 1), going_on_positions


def _embedded(p: Mapping[str, Tensor], model: Model, given: Examples, n: int) -> tuple[Tensor, _Positions]:
    """The distinct tokens with their positions: begin, the elements at a, ∘, the elements at b, and =."""
    elements, *marks = p["embedding"].split([n] + [1] * (p["embedding"].shape[1] - n), dim=1)
    operator = [("∘", marks.pop(0), None)] if model.operator_token else []
    equals, *begin = marks

    def rows(chosen: Tensor) -> Tensor:
        return _for_examples(elements, _Position(n, chosen), chosen.shape[1])

    parts: list[tuple[str, Tensor, Tensor | None]] = [("begin", token, None) for token in begin]
    parts += [("a", rows(given.a), given.a_index), *operator, ("b", rows(given.b), given.b_index), ("=", equals, None)]
    if model.positions != "none":
        place = p["positions"] if model.positions == "learned" else sinusoidal(len(parts), model.width).to(elements)[None]
        parts = [(name, row + place[:, t : t + 1], index) for t, (name, row, index) in enumerate(parts)]
    return _stack(parts)
