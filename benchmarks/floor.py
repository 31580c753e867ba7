"""The floor: only the matrix products that the shared computation cannot do without, forward and backward.

No attention sums, LayerNorm, softmax, gathers, optimizer or autograd: `torch.mm` into memory that is there already. A path that
shares as `model/batched.py` does cannot be faster with the products of torch's matrix library; one with faster products can.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch

from groklab.config.run import Run
from groklab.training.batches import batch_size, network


class Product(NamedTuple):
    """One X · Wᵀ: X has ``rows`` rows of ``inputs`` numbers, W ``outputs`` rows."""

    name: str
    rows: int
    inputs: int
    outputs: int


def products(n: int, batch: int, width: int, mlp_width: int, layers: int = 2) -> list[Product]:
    """The products of one forward pass over ``batch`` examples in which n elements occur.

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


def shared_products(run: Run) -> list[Product]:
    """The products at the sizes of this run; no row for elements that a batch, on average, does not hold."""
    table, split, _ = network(run)
    values, batch = run.resolved(), batch_size(run, len(split.train))
    occurring = round(table.n * (1 - (1 - 1 / table.n) ** batch))
    found = products(occurring, batch, values["width"], values["mlp_width"], values["layers"])
    return [*found[:-1], found[-1]._replace(outputs=table.n)]


def multiply_adds(of: Sequence[Product]) -> int:
    """Multiply-adds of one forward pass; the backward pass has twice as many."""
    return sum(p.rows * p.inputs * p.outputs for p in of)


class Floor:
    """These products on random numbers: the product itself, the gradient to its input, the gradient to its weight.

    Where a number of runs is given, they make each product in one call, `torch.bmm`.
    """

    def __init__(self, of: Sequence[Product], *, device: str = "cpu", runs: int | None = None) -> None:
        several = () if runs is None else (runs,)
        self.multiply = torch.bmm if several else torch.mm

        def numbers(rows: int, columns: int) -> torch.Tensor:
            return torch.randn(*several, rows, columns, device=device)

        self.buffers = [
            (
                numbers(p.rows, p.inputs),
                numbers(p.outputs, p.inputs),
                numbers(p.rows, p.outputs),
                numbers(p.rows, p.outputs),
                numbers(p.rows, p.inputs),
                numbers(p.outputs, p.inputs),
            )
            for p in of
        ]

    @torch.no_grad()
    def update(self) -> None:
        """All products forward, then backward in reverse order."""
        for x, weight, _, product, _, _ in self.buffers:
            self.multiply(x, weight.mT, out=product)
        for x, weight, gradient, _, to_input, to_weight in reversed(self.buffers):
            self.multiply(gradient, weight, out=to_input)
            self.multiply(gradient.mT, x, out=to_weight)
