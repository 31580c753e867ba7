"""Which of two settings gets there sooner: the log-rank test, stratified, with exact p values for few runs.

Sources: Mantel 1966 (the test, its strata and its variance with ties), Peto & Peto 1972 (its scores and their permutations), Phipson
& Smyth 2010 (p values of random permutations are never 0).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from groklab.analysis.survival import Numbers, Sample
from groklab.text.values import shown

Alternative = Literal["two-sided", "sooner", "later"]
Method = Literal["auto", "asymptotic", "permutation"]

EXACT_UP_TO = 100_000
"""Permutations that are all gone through; where there are more, some are drawn."""

PERMUTED_UP_TO = 100
"""Runs in all up to which permutations are drawn by default; with more, the normal approximation is as good."""


@dataclass(frozen=True)
class Comparison:
    """A log-rank test of whether the first of two settings gets there sooner or later than the second."""

    p_value: float
    """Chance, if the settings do not differ, of a difference at least as large."""
    z: float
    """(observed − expected) / √variance; positive: the first gets there sooner. 0 where nothing can be compared."""
    observed: int
    """Runs of the first setting that got there."""
    expected: float
    """As many as would have, had both settings the same chance at every step."""
    variance: float
    """Of observed − expected: Σ d (n − d) n₁ n₂ / (n² (n − 1)) over steps at which d of n runs at risk got there."""
    method: str
    """exact | approximate | monte_carlo | asymptotic; approximate: all permutations, of settings that were censored at different steps."""
    permutations: int
    """How many the p value is made of; 0: asymptotic."""


def log_rank(
    first: Sample,
    second: Sample,
    *,
    alternative: Alternative = "two-sided",
    method: Method = "auto",
    exact_up_to: int = EXACT_UP_TO,
    draws: int = 20_000,
    seed: int = 0,
) -> Comparison:
    """The log-rank test of two settings (Mantel 1966); see ``stratified_log_rank``.

    >>> fast, slow = Sample.of([100, 200, 300], 1000), Sample.of([400, 500, None], 1000)
    >>> log_rank(fast, slow, alternative="sooner").p_value
    0.05
    """
    return stratified_log_rank([(first, second)], alternative=alternative, method=method, exact_up_to=exact_up_to, draws=draws, seed=seed)


def stratified_log_rank(
    strata: Sequence[tuple[Sample, Sample]],
    *,
    alternative: Alternative = "two-sided",
    method: Method = "auto",
    exact_up_to: int = EXACT_UP_TO,
    draws: int = 20_000,
    seed: int = 0,
) -> Comparison:
    """The log-rank test over strata, such as train fractions, in which both settings were tried: runs are compared within each only.

    ``sooner`` and ``later`` are about the first of each pair. The statistic is U = Σ (observed − expected) over all strata; a run of
    the first setting adds to it its score, 1 if it got there, minus Σ d/n over the steps up to its own, d of n runs at risk getting
    there (Peto & Peto 1972). ``permutation`` asks how many ways of dealing out the labels within every stratum make U as large: all
    of them where there are at most ``exact_up_to``, the p value then is exact whatever the distributions; otherwise ``draws`` random
    ones, the same for the same ``seed``, and p = (1 + those as large) / (1 + draws). Labels can be dealt out anew exactly only if both
    settings have the same budget: where one was censored, before the last run got there, at steps at which the other was not, p is called
    *approximate*. (Of exponential times watched for 0.3 to 1.5 on one side and 5 on the other it is small less often than it says, the
    asymptotic one more often.) ``asymptotic`` takes U / √variance as normal. ``auto`` is ``permutation`` for up to 100 runs and
    wherever it is exact: of three runs against three, the approximation finds p ≤ 0.05 twice as often as it should. (With so few the
    smallest exact p is 1/20, two-sided 1/10; a second stratum of the same size makes it 1/400.)
    """
    if not strata:
        raise ValueError("log_rank: got no strata; expected at least one pair of samples.")
    if alternative not in ("two-sided", "sooner", "later"):
        raise ValueError(f"log_rank: got alternative {shown(alternative)}; expected two-sided, sooner or later.")
    if method not in ("auto", "asymptotic", "permutation"):
        raise ValueError(f"log_rank: got method {shown(method)}; expected auto, asymptotic or permutation.")
    parts = [_stratum(first, second) for first, second in strata]
    difference = math.fsum(part.difference for part in parts)
    variance = math.fsum(part.variance for part in parts)
    z = difference / math.sqrt(variance) if variance > 0 else 0.0
    ways = math.prod(math.comb(len(part.scores), part.labeled) for part in parts)
    if method == "auto":
        method = "permutation" if ways <= exact_up_to or sum(len(part.scores) for part in parts) <= PERMUTED_UP_TO else "asymptotic"
    permutations, chosen = 0, "asymptotic"
    if method == "asymptotic":
        p_value = _normal_tail(z, alternative) if variance > 0 else 1.0
    elif ways <= exact_up_to:
        sums = _all_differences(parts)
        permutations, chosen = ways, "exact" if all(part.is_censored_alike for part in parts) else "approximate"
        p_value = _as_large(sums, difference, alternative) / ways
    else:
        sums = _random_differences(parts, draws, np.random.default_rng(seed))
        permutations, chosen = draws, "monte_carlo"
        p_value = (1 + _as_large(sums, difference, alternative)) / (1 + draws)
    observed = sum(int(first.reached.sum()) for first, _ in strata)
    return Comparison(p_value, z, observed, observed - difference, variance, chosen, permutations)


@dataclass(frozen=True)
class _Stratum:
    """What one stratum adds to the test."""

    scores: Numbers
    """Of the runs of both settings, the first setting's first; their sum is 0."""
    labeled: int
    """Runs of the first setting."""
    variance: float
    is_censored_alike: bool
    """Whether runs of both settings were censored between the same steps at which others got there. After the last of them it makes no difference."""

    @property
    def difference(self) -> float:
        """Observed − expected of the first setting."""
        return math.fsum(self.scores[: self.labeled])


def _stratum(first: Sample, second: Sample) -> _Stratum:
    steps, reached = np.concatenate([first.steps, second.steps]), np.concatenate([first.reached, second.reached])
    events, d = np.unique(steps[reached], return_counts=True)
    early = [np.searchsorted(events, sample.steps[~sample.reached], side="right") for sample in (first, second)]
    one, other = (set(places[places < len(events)].tolist()) for places in early)
    n1, n2 = (len(sample) - np.searchsorted(np.sort(sample.steps), events, side="left") for sample in (first, second))
    n = n1 + n2
    hazard = np.concatenate([[0.0], np.cumsum(d / n)])
    scores = reached - hazard[np.searchsorted(events, steps, side="right")]
    variance = d * (n - d) * n1 * n2 / (n**2 * np.maximum(n - 1, 1))
    return _Stratum(scores, len(first), math.fsum(variance), one == other)


def _all_differences(parts: Sequence[_Stratum]) -> Numbers:
    """U of every way of dealing out the labels."""
    totals = np.zeros(1)
    for part in parts:
        fewer = min(part.labeled, len(part.scores) - part.labeled)
        chosen = np.array(list(itertools.combinations(range(len(part.scores)), fewer)), dtype=np.int64)
        sums = part.scores[chosen].sum(axis=1) * (1 if fewer == part.labeled else -1)  # the scores of both settings add up to 0
        totals = np.add.outer(totals, sums).ravel()
    return totals


def _random_differences(parts: Sequence[_Stratum], draws: int, stream: np.random.Generator) -> Numbers:
    totals = np.zeros(draws)
    for part in parts:
        dealt: NDArray[np.int64] = stream.random((draws, len(part.scores))).argsort(axis=1)[:, : part.labeled]
        totals += part.scores[dealt].sum(axis=1)
    return totals


def _as_large(differences: Numbers, observed: float, alternative: Alternative) -> int:
    """How many are at least as large; sums of the same scores in another order count as equal."""
    rounding = 1e-9 * (1 + abs(observed))
    if alternative == "two-sided":
        return int((np.abs(differences) >= abs(observed) - rounding).sum())
    sign = 1 if alternative == "sooner" else -1
    return int((sign * differences >= sign * observed - rounding).sum())


def _normal_tail(z: float, alternative: Alternative) -> float:
    from scipy.special import ndtr  # which the exact test does without

    if alternative == "two-sided":
        return 2 * float(ndtr(-abs(z)))
    return float(ndtr(-z if alternative == "sooner" else z))
