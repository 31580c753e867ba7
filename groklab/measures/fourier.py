"""Fourier transforms over a cyclic group: real, orthonormal, for every order, odd and even (Nanda et al. 2023).

The basis of M elements is the constant, then cos and sin of w_k x with w_k = 2πk / M for each frequency k, and for even M last the
frequency M / 2, which has a cosine alone. Frequencies are 0 (the constant), 1 … K with K = M // 2. Axis letters besides the usual:
M elements of the group, K frequencies without the constant, D any features.
"""

from __future__ import annotations

from functools import lru_cache

from jaxtyping import Float, Int

from groklab.model.torch_later import Tensor, torch


@lru_cache(maxsize=16)
def fourier_basis(n: int) -> Float[Tensor, "M M"]:
    """Orthonormal rows, float64, not to be changed: 1/√n, then cos(2πkx/n) and sin(2πkx/n) by k, each divided by its norm."""
    if n < 1:
        raise ValueError(f"fourier_basis: got {n} elements; expected at least 1.")
    x = torch.arange(n, dtype=torch.int64)
    rows = [torch.ones(n, dtype=torch.float64)]
    for k in range(1, n // 2 + 1):
        angle = 2 * torch.pi * (k * x % n).double() / n  # reduced first, so that large k lose no digits
        rows += [angle.cos()] if 2 * k == n else [angle.cos(), angle.sin()]
    basis = torch.stack(rows)
    return basis / basis.norm(dim=1, keepdim=True)


@lru_cache(maxsize=16)
def frequency_of_row(n: int) -> Int[Tensor, " M"]:
    """The frequency of each row of the basis: 0, 1, 1, 2, 2, …; not to be changed."""
    return (torch.arange(n) + 1) // 2


def rows_of(n: int, frequency: int) -> Float[Tensor, "rows M"]:
    """The rows of one frequency: cos and sin, or one row for the constant and for frequency n / 2; ValueError outside 0 … n // 2."""
    if not 0 <= frequency <= n // 2:
        raise ValueError(f"got the frequency {frequency}; expected 0 to {n // 2} for {n} elements.")
    return fourier_basis(n)[frequency_of_row(n) == frequency]


def transform(values: Float[Tensor, "M *features"]) -> Float[Tensor, "M *features"]:
    """Components of functions of one element, in float64: F X."""
    n = values.shape[0]
    return (fourier_basis(n) @ values.double().reshape(n, -1)).reshape(values.shape)


def transform_pairs(values: Float[Tensor, "M M *features"]) -> Float[Tensor, "M M *features"]:
    """Components of functions of two elements, in float64: Σ_ab F_ia F_jb X_ab."""
    return _both_axes(fourier_basis(values.shape[0]), values)


def inverse_pairs(components: Float[Tensor, "M M *features"]) -> Float[Tensor, "M M *features"]:
    """The functions of two elements that have these components."""
    return _both_axes(fourier_basis(components.shape[0]).T, components)


def _both_axes(matrix: Tensor, values: Tensor) -> Tensor:
    n = matrix.shape[0]
    first = (matrix @ values.double().reshape(n, -1)).reshape(n, n, -1)
    return torch.matmul(matrix, first).reshape(values.shape)


def by_frequency(power: Float[Tensor, "M *features"]) -> Float[Tensor, "frequencies *features"]:
    """Power of the rows of a basis added up by frequency, the constant first: (K + 1, …)."""
    n = power.shape[0]
    return power.new_zeros(n // 2 + 1, *power.shape[1:]).index_add_(0, frequency_of_row(n), power)


def power_spectrum(values: Float[Tensor, "M *features"]) -> Float[Tensor, "frequencies *features"]:
    """Squared components of functions of one element by frequency, (K + 1, …); over frequencies they add up to the sum of squares."""
    return by_frequency(transform(values).square())


def sum_directions(n: int, frequency: int, sign: int = 1) -> Float[Tensor, "directions M M"]:
    """The functions cos w_k(a + b) and sin w_k(a + b) of two elements, each of norm 1 (Nanda et al. 2023).

    They are (cos⊗cos − sin⊗sin)/√2 and (sin⊗cos + cos⊗sin)/√2. ``sign=-1`` gives those of a − b; frequency n / 2 has the cosine alone.
    """
    rows = rows_of(n, frequency)
    if len(rows) == 1:
        return torch.einsum("a,b->ab", rows[0], rows[0])[None]
    cos, sin = rows
    together = torch.outer(cos, cos) - sign * torch.outer(sin, sin)
    across = torch.outer(sin, cos) + sign * torch.outer(cos, sin)
    return torch.stack([together, across]) / 2**0.5


def mean_by_sum(values: Float[Tensor, "M M D"], sign: int = 1) -> Float[Tensor, "M D"]:
    """Mean of a function of a and b over the pairs of equal a + b (a − b for ``sign=-1``).

    What the function has along the sum directions of frequency k is what these means, as a function of the sum, have along the rows
    of frequency k: projections on sum directions are transforms of one variable.
    """
    n = values.shape[0]
    total = torch.zeros(n, values.shape[2], dtype=torch.float64)
    for a in range(n):
        # Row a has the sum a + b at place b, or the difference a − b, which is −(b − a).
        row = values[a] if sign == 1 else values[a].flip(0).roll(1, 0)
        total += row.roll(a, 0)
    return total / n


def along(means: Float[Tensor, "M D"], frequencies: list[int]) -> Float[Tensor, "M D"]:
    """The part of functions of one element that is of some frequencies."""
    n = means.shape[0]
    chosen = torch.isin(frequency_of_row(n), torch.tensor(frequencies, dtype=torch.int64))
    rows = fourier_basis(n)[chosen]
    return rows.T @ (rows @ means.double())


def block_power(values: Float[Tensor, "M M D"]) -> Float[Tensor, "frequencies D"]:
    """Squared components in the block {1, cos w_k, sin w_k} ⊗ {1, cos w_k, sin w_k} of every frequency k, (K + 1, D); row 0 is the constant's.

    The block of k is spanned by the waves of a alone, of b alone, of a + b and of a − b (eight directions, and the constant, which
    is left out of k ≥ 1), so that four transforms of one variable give it.
    """
    n = values.shape[0]
    alone = power_spectrum(values.mean(1)) + power_spectrum(values.mean(0))
    of_difference = power_spectrum(mean_by_sum(values, -1))
    if n % 2 == 0:  # (−1)^(a+b) and (−1)^(a−b) are one direction
        of_difference[-1] = 0
    power = n * (alone + power_spectrum(mean_by_sum(values)) + of_difference)
    power[0] /= 4  # each of the four has the constant
    return power
