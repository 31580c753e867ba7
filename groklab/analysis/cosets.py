"""Which subgroup's cosets explain the clusters of an embedding (Power et al. 2022, Figure 3 left: S₅).

For a subgroup H of order m with k = N / m cosets of one side, ``share`` is the part of the variance of the rows that lies between
cosets, as in an analysis of variance. It cannot be compared as it is: more cosets explain more of anything, (k − 1) / (N − 1) of it on
average over all N! ways to give the rows to the elements, and with few cosets chance strays further. So each share is put in the place
that it has among those ways. Their mean and variance are exact (Mantel 1967) and depend on the sizes of the blocks alone, hence are the same for
all subgroups of one order; the beta distribution (a, b) with that mean and variance describes them well (Pitman 1938), and

    z: a standard normal number is larger as rarely as a share under chance: Φ(−z) = P(Beta(a, b) > share).

It orders the subgroups of one order as the F statistic share / (1 − share) · b / a does, and compares those of different orders by how
far beyond chance they are. The standardized share (share − mean) / deviation would not do: it rewards a coarse partition for one strong
direction, such as the sign of a permutation, more than the fine one that explains this direction and everything else.

How good the beta distribution is matters to the ranking only. The p value of the search compares the *largest* z over all candidates with
the largest under the same permutation of the rows (Westfall & Young 1993), and holds whatever the score.

Nested subgroups explain the same clusters. For clusters that are the cosets of H and lie anywhere, the smaller subgroups explain as much with
more blocks, the larger ones less; z is largest at H, and that is how nesting is resolved. Where the clusters are themselves
grouped by the cosets of a larger subgroup and noise hides the rest, that one is found. Subgroups of H or over it, and those that
share much with it, have small p values too, corrected or not: their structure is real, but it is H's. A p value says that chance does
not explain a share, not that the best subgroup is better than the second: conjugates and sides can come close to each other, as they do
where a network holds whole representations of the group, each of which all conjugates explain alike. Look at the z of the next rows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import ArrayLike
from scipy import special

from groklab.analysis.projections import Numbers, centered_rows
from groklab.analysis.structure import PERMUTATIONS, TIE, Rows, check_permutations, sums_over_translates
from groklab.data.groups import FiniteGroup
from groklab.data.subgroups import Side, Subgroup, subgroup_classes

BOTH = "xH = Hx"
"""Side of a normal subgroup, of which left and right cosets are the same."""

_CHUNK = 4_000_000
"""Shares of permutations that are held at once."""

_SMALLEST = 1e-250
"""Probability below which logarithms are computed without it."""


@dataclass(frozen=True)
class CosetFit:
    """How well the cosets of one subgroup explain an embedding."""

    subgroup: Subgroup
    side: str
    """xH, Hx, or ``BOTH`` for a normal subgroup."""
    share: float
    """Of the variance, between cosets; in [0, 1]."""
    expected: float
    """The share by chance, (cosets − 1) / (N − 1)."""
    z: float
    """How far beyond chance the share is, as a standard normal number; see the module."""
    p_value: float
    """Of this subgroup and side alone, had it been named beforehand."""
    p_corrected: float
    """Corrected for the search over all subgroups and sides: the chance that any of them has so large a z."""
    permutations: int

    def labels(self) -> Rows:
        """(N,): the number of each element's coset, such as for colors."""
        side: Side = "Hx" if self.side == "Hx" else "xH"
        return self.subgroup.cosets(side)


class CosetSearch(NamedTuple):
    """The best of all subgroups and sides, and all of them."""

    best: CosetFit
    table: pl.DataFrame
    """A row each, largest z first: ``subgroup``, ``generators``, ``type``, ``side``, ``order``, ``cosets``, ``conjugates`` (how many the
    subgroup has), ``share``, ``expected``, ``z``, ``p_value``, ``p_corrected``."""


def check_has_cosets(group: FiniteGroup) -> None:
    """ValueError where a group has no subgroup but the trivial one and itself: exactly those of prime order, and of one element (Lagrange, Cauchy)."""
    n = group.order
    if all(n % divisor for divisor in range(2, math.isqrt(n) + 1)):
        why = f"{n} is prime" if n > 1 else "it has one alone"
        raise ValueError(
            f"group {group.name}: got no subgroup between the trivial one and all {n} elements, for {why}, and so no cosets; expected a group "
            "whose number of elements is not prime."
        )


def search_cosets(matrix: ArrayLike, group: FiniteGroup, *, permutations: int = PERMUTATIONS, seed: int = 0) -> CosetSearch:
    """Search all subgroups, conjugates included, and both sides for the cosets that explain the rows of a matrix best.

    ``matrix`` is (N, E) or a picture (N, 2), row i for element i of the group. The trivial subgroup and the whole group are left out.
    S₅ takes about a second; time grows with N² · permutations. See the module for the score and for what it can tell apart.
    """
    centered = centered_rows(matrix)
    n = group.order
    if len(centered) != n:
        raise ValueError(f"matrix: got {len(centered)} rows; expected {n}, one for each element of {group.name}.")
    check_permutations(permutations)
    check_has_cosets(group)
    candidates = [
        (subgroup, side)
        for members in subgroup_classes(group)
        for subgroup in members
        if 1 < subgroup.order < n
        for side in ((BOTH,) if len(members) == 1 else ("xH", "Hx"))
    ]
    shares = _Shares(centered, group, candidates)
    share = shares.of(np.arange(n)[None])
    z = shares.standardized(share)[0]
    atleast, largest = np.zeros(len(candidates), dtype=np.int64), list[Numbers]()
    # Candidates come by order, and z grows with the share within an order: the largest z is that of the largest share of some order.
    first = np.flatnonzero(np.diff(shares.order, prepend=0))
    stream = np.random.default_rng(seed)
    chunk = max(1, min(permutations, _CHUNK // len(candidates)))
    for start in range(0, permutations, chunk):
        drawn = shares.of(np.stack([stream.permutation(n) for _ in range(min(chunk, permutations - start))]))
        atleast += (drawn >= share - TIE).sum(axis=0)
        largest.append(shares.standardized(np.maximum.reduceat(drawn, first, axis=1), first).max(axis=1))
    above = permutations - np.searchsorted(np.sort(np.concatenate(largest)), z - TIE * np.abs(z))
    # Of equal z the larger subgroup comes first, then the order of the classes decides.
    fits = [
        CosetFit(
            *candidates[i],
            share=float(share[0, i]),
            expected=float(shares.expected[i]),
            z=float(z[i]),
            p_value=float((1 + atleast[i]) / (1 + permutations)),
            p_corrected=float((1 + above[i]) / (1 + permutations)),
            permutations=permutations,
        )
        for i in np.lexsort((-shares.order, -z))
    ]
    return CosetSearch(fits[0], _table(fits))


class _Shares:
    """Shares of variance between the cosets of many subgroups and sides, for many permutations of the rows."""

    def __init__(self, centered: Numbers, group: FiniteGroup, candidates: list[tuple[Subgroup, str]]) -> None:
        # Products of trace 1, so that the sum of squares between cosets is their share.
        self._products = centered @ centered.T
        self._products /= np.trace(self._products)
        self._tables = {"xH": group.table, "Hx": group.table.T}
        self._columns: dict[str, Rows] = {}
        self._members: dict[str, Numbers] = {}
        for side in self._tables:
            columns = [i for i, (_, there) in enumerate(candidates) if there == side or (side == "xH" and there == BOTH)]
            members = np.zeros((group.order, len(columns)))
            for column, i in enumerate(columns):
                members[list(candidates[i][0].elements), column] = 1.0 / candidates[i][0].order
            self._columns[side], self._members[side] = np.array(columns, dtype=np.int64), members
        self.order: Rows = np.array([subgroup.order for subgroup, _ in candidates])
        self.expected: Numbers = (group.order // self.order - 1) / (group.order - 1)
        self._deviation = _deviation(self._products, self.order)

    def of(self, permutations: Rows) -> Numbers:
        """(draws, candidates), for permutations (draws, N).

        The sum of squares between the cosets xH is Σ_h∈H (Σ_x ⟨row x, row x·h⟩) / m, and so N sums over x serve all subgroups at once.
        """
        shares = np.empty((len(permutations), len(self.order)))
        for side, table in self._tables.items():
            if self._columns[side].size:
                sums = np.stack([sums_over_translates(self._products, permutation, table) for permutation in permutations])
                shares[:, self._columns[side]] = sums @ self._members[side]
        return shares

    def standardized(self, shares: Numbers, which: Rows | slice = slice(None)) -> Numbers:
        """z of shares (draws, candidates) of some of the candidates."""
        expected, deviation = self.expected[which], self._deviation[which]
        # Rows that are equally far from each other, as one-hot rows are, tell nothing about any subgroup.
        telling = deviation > TIE
        total = np.maximum(TIE, expected * (1 - expected) / np.where(telling, deviation, 1.0) ** 2 - 1)
        return np.where(telling, _normal_score(shares, expected * total, (1 - expected) * total), 0.0)


def _normal_score(shares: Numbers, a: Numbers, b: Numbers) -> Numbers:
    """z with Φ(−z) = P(Beta(a, b) > share), also where that is too small for a float."""
    # A share of one would be infinitely far for every subgroup of the right one; rounding must not decide between them.
    x = np.clip(shares, 1e-12, 1 - 1e-12)
    a, b = np.broadcast_to(a, x.shape), np.broadcast_to(b, x.shape)
    tail = special.betaincc(a, b, x)
    log_tail = np.log(np.maximum(tail, _SMALLEST))
    far = tail < _SMALLEST
    if far.any():
        log_tail[far] = _log_tail(x[far], a[far], b[far])
    return -special.ndtri_exp(log_tail)


def _log_tail(x: Numbers, a: Numbers, b: Numbers) -> Numbers:
    """log P(Beta(a, b) > x) by its series in 1 − x (Abramowitz & Stegun 1964, 26.5.4), which converges quickly far above the mean."""
    term = np.ones_like(x)
    total, i = term.copy(), 0
    while (term > 1e-12 * total).any():
        term = term * (1 - x) * (a + b + i) / (b + 1 + i)
        total += term
        i += 1
    return b * np.log1p(-x) + a * np.log(x) - np.log(b) - special.betaln(a, b) + np.log(total)


def _deviation(products: Numbers, order: Rows) -> Numbers:
    """Standard deviation of the share between blocks of that many rows over all permutations, exactly (Mantel 1967, with Σ_i≠j a_ij b_π(i)π(j)).

    The products are of centered rows and of trace 1: a row of them sums to zero.
    """
    n, others = len(products), order - 1
    diagonal = np.diag(products)
    total, squares, rows = -1.0, 2 * ((products**2).sum() - (diagonal**2).sum()), 4 * (diagonal**2).sum()
    blocks, block_squares, block_rows = n * others, 2 * n * others, 4 * n * others**2
    second = (
        squares * block_squares / (2 * n * (n - 1))
        + (rows - 2 * squares) * (block_rows - 2 * block_squares) / (4 * n * (n - 1) * (n - 2))
        + (total**2 + squares - rows) * (blocks**2 + block_squares - block_rows) / (n * (n - 1) * (n - 2) * (n - 3))
    )
    mean = total * blocks / (n * (n - 1))
    return np.sqrt(np.maximum(0.0, second - mean**2)) / order


def _table(fits: list[CosetFit]) -> pl.DataFrame:
    rows = [
        {
            "subgroup": fit.subgroup.name,
            "generators": list(fit.subgroup.written_generators),
            "type": fit.subgroup.type,
            "side": fit.side,
            "order": fit.subgroup.order,
            "cosets": fit.subgroup.index,
            "conjugates": 1 if fit.side == BOTH else len(fit.subgroup.conjugates),
            **{name: getattr(fit, name) for name in ("share", "expected", "z", "p_value", "p_corrected")},
        }
        for fit in fits
    ]
    return pl.DataFrame(rows, schema_overrides={"generators": pl.List(pl.String)})
