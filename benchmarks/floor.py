"""The floor: only the matrix products that the shared computation cannot do without, forward and backward.

No attention sums, LayerNorm, softmax, gathers, optimizer or autograd: `torch.mm` into memory that is there already. A path that
shares as `model/batched.py` does cannot be faster with these products; a path that shares more can.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch


class Product(NamedTuple):
    """One X · Wᵀ: X has ``rows`` rows of ``inputs`` numbers, W ``outputs`` rows."""

    name: str
    rows: int
    inputs: int
    outputs: int


def products(n: int, batch: int, width: int, mlp_width: int, layers: int = 2) -> list[Product]:
    """The products of one forward pass over ``batch`` examples of a table with n elements, all of which have rows.

    Of ``a ∘ b =``, positions a and ∘ have n rows each, b and = one for each example. First-layer queries, keys, values and
    values · output are tables over the 2n + 2 tokens at their places; in the last layer only = asks and goes on.
    """
    tokens, rows = 2 * n + 2, 2 * batch + 2 * n
    found: list[Product] = []
    for layer in range(layers):
        going_on = batch if layer == layers - 1 else rows
        if layer == 0:
            asking = 1 if layers == 1 else tokens
            own = {"query": asking, "key": tokens, "value": tokens, "output": tokens}
        else:
            own = {"query": going_on, "key": rows, "value": rows, "output": going_on}
        found += [Product(f"{layer}.{name}", count, width, width) for name, count in own.items()]
        found += [Product(f"{layer}.mlp.in", going_on, width, mlp_width), Product(f"{layer}.mlp.out", going_on, mlp_width, width)]
    return [*found, Product("logits", batch, width, n)]


def multiply_adds(of: Sequence[Product]) -> int:
    """Multiply-adds of one forward pass; the backward pass has twice as many."""
    return sum(p.rows * p.inputs * p.outputs for p in of)


class Floor:
    """These products on random numbers: the product itself, the gradient to its input, the gradient to its weight."""

    def __init__(self, of: Sequence[Product]) -> None:
        self.buffers = [
            (
                torch.randn(p.rows, p.inputs),
                torch.randn(p.outputs, p.inputs),
                torch.randn(p.rows, p.outputs),
                torch.empty(p.rows, p.outputs),
                torch.empty(p.rows, p.inputs),
                torch.empty(p.outputs, p.inputs),
            )
            for p in of
        ]

    @torch.no_grad()
    def update(self) -> None:
        """All products forward, then backward in reverse order."""
        for x, weight, _, product, _, _ in self.buffers:
            torch.mm(x, weight.T, out=product)
        for x, weight, gradient, _, to_input, to_weight in reversed(self.buffers):
            torch.mm(gradient, weight, out=to_input)
            torch.mm(gradient.T, x, out=to_weight)
