"""What an embedding shows, in numbers: circles and number lines (Power et al. 2022, Figure 3 right).

The matrix is (N, E), a row for each element; a picture of few dimensions (``analysis.projections``) can be given in its place.

``order`` says which rows follow each other along the cyclic group: ``order[j]`` is the row of the element that is j times the generator. It
is 0 … N−1 for addition and subtraction mod N (the default), and that of ``data.cyclic.powers_of_root`` for multiplication and division mod a prime. Rows
that it does not name are left out, as that of 0 where the operation is division.

Chance is judged by permutation: rows are given to elements at random, which keeps the picture and destroys its relation to the group.
p values count the picture itself among the permutations (Phipson & Smyth 2010) and are never 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import pdist, squareform

from groklab.analysis.projections import Numbers, centered_rows, finite_rows, pca
from groklab.text.values import shown

Rows = NDArray[np.int64]

PERMUTATIONS = 1_999
"""Default number of permutations: p values in steps of 1/2,000."""

TIE = 1e-9
"""Relative difference below which a permutation counts as being as good as the picture: some change nothing but the rounding."""

Variant = Literal["circles", "components"]


# — circles —


@dataclass(frozen=True, eq=False)
class Circularity:
    """Whether elements lie on circles in the order of a cyclic group."""

    score: float
    """In [0, 1]; see ``circularity``."""
    chance: float
    """Its mean over permutations of the rows."""
    p_value: float
    variant: Variant
    strongest: int
    """The frequency of most power: from one element of the order to the next the circle is turned by strongest / n of a full turn."""
    frequencies: pl.DataFrame
    """A row per frequency 1 … ⌊n/2⌋, strongest first: ``frequency``, ``share`` of the variance, ``roundness`` (1: a circle, 0: a line),
    ``points``, the number of places on the circle, n / gcd(n, frequency)."""
    permutations: int

    @property
    def adjusted(self) -> float:
        """(score − chance) / (1 − chance), at least 0: 0 by chance, 1 for perfect circles."""
        return max(0.0, (self.score - self.chance) / (1 - self.chance)) if self.chance < 1 else 0.0


def circularity(
    matrix: ArrayLike,
    order: Sequence[int] | Rows | None = None,
    *,
    variant: Variant = "circles",
    frequencies: int | None = None,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> Circularity:
    """Share of an embedding that lies on circles which the cyclic group turns, against chance.

    With F_k = Σ_j x_j·exp(−2πi·jk/n) in C^E of the centered rows, the part of frequency k is an ellipse; Σ_e |F_ke|² is its power and
    Σ_e |F_ke|² − |Σ_e F_ke²| that of the largest circle inside, which is 0 for a line (and for k = n/2) and all of it for a circle.

    - ``circles``: the power of the inscribed circles of the strongest frequencies, over all power. ``frequencies`` is how many of
      them count; by default 5, as networks use a few (Nanda et al. 2023), but at most a fourth of all. 1 asks for one circle.
    - ``components``: of each of the first four principal components the power share of its strongest frequency, on average
      (Zhong et al. 2023). It counts a line as it does a circle, takes each axis for as important as the others, and is low for circles
      of about the same size, which principal components mix.

    The circle is seen in any orientation in E dimensions and under noise, which lowers the score by its share of the variance but hardly
    the power of the test: judge *whether* by the p value and *how much* by score and chance. A cylinder has a score below one: its axis
    is the missing share, and where the axis is a slow function of the order it shows as another, less round frequency. It does not
    tell several circles in one plane from circles in planes of their own (a torus), does not see circles in another order than the given
    one, and sees curves that are no circles, as t-SNE draws them, by their strongest frequencies only. Of a frequency that shares a
    divisor with n, several elements lie on each of its few ``points``: such a circle is one of cosets.
    """
    centered, _ = _in_order(matrix, order)
    n, total = len(centered), float((centered**2).sum())
    check_permutations(permutations)
    limit = n // 2
    if frequencies is not None and (variant != "circles" or not 1 <= frequencies <= limit):
        raise ValueError(f"frequencies: got {frequencies} with variant {shown(variant)}; expected 1 to {limit}, and the variant circles.")
    count = min(5, max(1, limit // 4)) if frequencies is None else frequencies
    # Coordinates in the span of the rows: as good as the E of them, and often fewer.
    components = pca(centered, min(centered.shape)).points
    match variant:
        case "circles":
            coordinates = components
        case "components":
            coordinates = components[:, :4]
            coordinates = coordinates[:, (coordinates**2).sum(axis=0) > TIE * total]
        case _:
            raise ValueError(f"variant: got {shown(variant)}; expected circles or components.")

    def score(points: Numbers) -> float:
        power, round_power = _spectrum(points)
        if variant == "components":
            return float((power.max(axis=0) / power.sum(axis=0)).mean())
        strongest = np.argpartition(power.sum(axis=1), -count)[-count:]
        return float(round_power[strongest].sum() / total)

    found = score(coordinates)
    stream = np.random.default_rng(seed)
    drawn = np.array([score(coordinates[stream.permutation(n)]) for _ in range(permutations)])
    power, round_power = _spectrum(components)
    shares = power.sum(axis=1)
    number = np.arange(1, limit + 1)
    table = pl.DataFrame(
        {
            "frequency": number,
            "share": shares / total,
            "roundness": np.divide(round_power, shares, out=np.zeros(limit), where=shares > TIE * total),
            "points": n // np.gcd(number, n),
        }
    ).sort("share", descending=True, maintain_order=True)
    return Circularity(
        found, float(drawn.mean()), _p_value(found, drawn), variant, int(table["frequency"][0]), table, permutations=permutations
    )


def _spectrum(points: Numbers) -> tuple[Numbers, Numbers]:
    """Power of each frequency 1 … ⌊n/2⌋ and coordinate, and the power of each frequency's inscribed circle; all power sums to Σ x²."""
    n = len(points)
    transformed = np.fft.rfft(points, axis=0)[1:]
    # A frequency and its negative share one row, but that of n/2 is its own negative.
    weights = np.full(len(transformed), 2.0 / n)
    weights[-1] = 1.0 / n if n % 2 == 0 else 2.0 / n
    power = weights[:, None] * np.abs(transformed) ** 2
    return power, np.maximum(0.0, power.sum(axis=1) - weights * np.abs((transformed**2).sum(axis=1)))


# — number lines —


@dataclass(frozen=True, eq=False)
class NumberLine:
    """The step k for which connecting each element with the k-th after it looks most like a line."""

    step: int
    """k, at most half of n: −k is the same line backwards."""
    score: float
    """In [0, 1]; see ``number_line``."""
    chance: float
    """Mean over permutations of the rows of the score of *their* best step."""
    p_value: float
    """Of the best step, the search over all steps counted."""
    steps: pl.DataFrame
    """A row per step, best first: ``step``, ``score``, ``straightness``, ``loops`` = gcd(n, step), the number of closed lines."""
    order: Rows
    """(n,): the rows in the cyclic order."""
    permutations: int

    def walks(self, step: int | None = None) -> list[Rows]:
        """Rows in the order of the walk, for each closed line; the last is connected with the first."""
        n, step = len(self.order), self.step if step is None else step
        loops = math.gcd(n, step)
        return [self.order[(start + step * np.arange(n // loops)) % n] for start in range(loops)]

    def residues(self, step: int | None = None) -> Rows:
        """(n,): for each place of the order its residue mod k, the colors of Power et al. 2022, Figure 3 right."""
        return np.arange(len(self.order)) % (self.step if step is None else step)


def number_line(
    matrix: ArrayLike, order: Sequence[int] | Rows | None = None, *, permutations: int = PERMUTATIONS, seed: int = 0
) -> NumberLine:
    """For every step k how good a line i → i+k → i+2k … is, the best k, and whether so good a one comes by chance.

    With D_k the mean distance from an element to the k-th after it and D the mean distance of all pairs,

        score = 1 − D_k / min(D, reach), at least 0;    reach: the largest D_jk, how far the walk takes one.

    It is 1 − π² / 2n or so for a circle of n points at the right k, near 0 for random rows, and low for elements that lie close to
    the k-th after them because they all lie in one cluster, as those of a coset do: there a walk of short steps gets nowhere.
    ``straightness``, D_2k / D_k − 1 between 0 and 1, says how well single steps follow each other: 1 where two get twice as far as one,
    √2 − 1 for a random walk, less where noise hides the single steps of a line that shows as a whole.

    Lines are seen, not what they form: a circle, a cylinder and a spiral score alike. Where noise is much larger than the
    steps, a small multiple of k can do as well as k. Points close together in many dimensions need not be so in a picture; give the
    picture to judge the picture. n / 2 is no step, as two of it lead nowhere. Time grows with n² · permutations.
    """
    centered, rows = _in_order(matrix, order)
    n = len(rows)
    check_permutations(permutations)
    distances = squareform(pdist(centered))
    mean = float(distances.sum() / (n * (n - 1)))
    number = np.arange(n)
    later = (number[:, None] + number) % n
    step = np.arange(1, (n + 1) // 2)
    loops = np.gcd(step, n)

    def lags(permutation: Rows) -> Numbers:
        return sums_over_translates(distances, permutation, later) / n

    def score(lengths: Numbers) -> Numbers:
        # The multiples of k are those of gcd(k, n).
        reach = {loop: lengths[loop::loop].max() for loop in np.unique(loops).tolist()}
        scale = np.minimum(mean, [reach[loop] for loop in loops.tolist()])
        return np.maximum(0.0, 1 - np.divide(lengths[step], scale, out=np.ones(len(step)), where=scale > TIE * mean))

    lengths = lags(number)
    scores = score(lengths)
    best = int(np.argmax(scores))
    stream = np.random.default_rng(seed)
    drawn = np.array([score(lags(stream.permutation(n))).max() for _ in range(permutations)])
    once, twice = lengths[step], lengths[2 * step]
    further = np.divide(twice, once, out=np.ones(len(step)), where=once > TIE * mean) - 1
    table = pl.DataFrame({"step": step, "score": scores, "straightness": np.clip(further, 0.0, 1.0), "loops": loops}).sort(
        "score", descending=True, maintain_order=True
    )
    return NumberLine(
        int(step[best]),
        float(scores[best]),
        float(drawn.mean()),
        _p_value(float(scores[best]), drawn),
        table,
        rows,
        permutations=permutations,
    )


def sums_over_translates(values: Numbers, permutation: Rows, table: Rows) -> Numbers:
    """Σ_x V[π(x), π(x·g)] for every g, with ``table[x, g]`` the number of x·g: every coset sum of a permuted V is a sum of these."""
    permuted = values[permutation[:, None], permutation]
    return np.take_along_axis(permuted, table, axis=1).sum(axis=0)


# — checks —


def _order_of(order: Sequence[int] | Rows | None, n: int) -> Rows:
    if order is None:
        return np.arange(n)
    rows = np.asarray(order)
    whole = rows.ndim == 1 and np.issubdtype(rows.dtype, np.integer)
    if not whole or len(np.unique(rows)) != len(rows) or rows.min(initial=0) < 0 or rows.max(initial=0) >= n:
        raise ValueError(f"order: got {shown(order)}; expected distinct numbers of rows, 0 to {n - 1}.")
    return rows.astype(np.int64)


def _in_order(matrix: ArrayLike, order: Sequence[int] | Rows | None) -> tuple[Numbers, Rows]:
    """The rows of an order, centered, and their numbers."""
    given = finite_rows(matrix)
    rows = _order_of(order, len(given))
    if len(rows) < 5:
        raise ValueError(f"order: got {len(rows)} elements; expected at least 5, fewer of which lie on a circle in any order.")
    return centered_rows(given[rows]), rows


def check_permutations(permutations: int) -> None:
    """ValueError for too few permutations to say anything."""
    if permutations < 99:
        raise ValueError(f"permutations: got {permutations}; expected at least 99, for p values down to 0.01.")


def _p_value(found: float, drawn: Numbers) -> float:
    return float((1 + (drawn >= found - TIE * abs(found)).sum()) / (1 + len(drawn)))
