"""How long runs take, where some never get there: the product-limit estimator, its quantiles and their intervals.

A run that has not memorized or generalized within its budget says something all the same: that it takes longer. Leaving such runs
out, or taking their budget for their time, makes every average too small; here they count as *censored* at the last step at which
they were looked at. What can be said of such samples without assuming a distribution are shares and quantiles, not means.

Steps are known to the spacing of the evaluations only (25 a decade: a step stands for the 9 % below it). All estimators here take
them as they are; quantiles are always steps that occur, and equal steps are treated as such.

Sources: Kaplan & Meier 1958 (the estimator), Greenwood 1926 (its variance), Brookmeyer & Crowley 1982 (intervals of quantiles),
Borgan & Liestøl 1990 (their log-log transform), David & Nagaraja 2003, §7.1 (order statistics), Efron 1981 (the bootstrap).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from groklab.text.values import shown

Numbers = NDArray[np.float64]
Method = Literal["auto", "exact", "brookmeyer_crowley", "bootstrap"]

LEVEL = 0.9
"""Confidence level unless another is asked for: the highest round one that five runs can give an interval of the median for."""

FEW = 30
"""Samples of fewer runs have exact intervals by default; the large-sample ones are too narrow there."""

ROUNDING = 1e-9
"""Shares that differ by less are the same share, computed in another order."""


@dataclass(frozen=True, eq=False)
class Sample:
    """Steps that some runs took to reach something, each reached or censored."""

    steps: Numbers
    """Steps at which it was reached or, where it was not, up to which the run was watched; for delays a ratio instead of steps."""
    reached: NDArray[np.bool_]
    """False: censored; the time is longer than ``steps``."""

    def __post_init__(self) -> None:
        steps, reached = np.array(self.steps, dtype=np.float64), np.array(self.reached, dtype=np.bool_)
        if steps.ndim != 1 or steps.shape != reached.shape:
            raise ValueError(
                f"sample: got steps of shape {steps.shape} and reached of {reached.shape}; expected one of each for every run."
            )
        if not len(steps):
            raise ValueError("sample: got no runs; expected at least one.")
        if not np.isfinite(steps).all() or (steps < 0).any():
            raise ValueError("sample: got steps that are negative or not finite; expected the steps of every run, censored ones too.")
        steps.flags.writeable = reached.flags.writeable = False
        object.__setattr__(self, "steps", steps)
        object.__setattr__(self, "reached", reached)

    @classmethod
    def of(cls, reached_at: Sequence[float | None], watched: Sequence[float] | float | np.number) -> Sample:
        """From the steps at which it was reached, None where it was not, and those up to which each run, or every run, was watched.

        >>> Sample.of([300, None], 1000).steps
        array([ 300., 1000.])
        """
        ends = np.asarray(watched, dtype=np.float64)
        ends = ends if ends.ndim else np.full(len(reached_at), ends)
        pairs = list(zip(reached_at, ends, strict=True))
        steps = [end if at is None else at for at, end in pairs]
        return cls(np.array(steps, dtype=np.float64), np.array([at is not None for at in reached_at], dtype=np.bool_))

    def __len__(self) -> int:
        return len(self.steps)


class Interval(NamedTuple):
    """A confidence interval; an end that is None is open."""

    lower: float | None
    """None: these runs are too few for a lower end."""
    upper: float | None
    """None: these runs are too few for an upper end, or it lies beyond their budget."""
    level: float
    """Confidence level, in (0, 1)."""
    method: str
    """How it was made."""


@dataclass(frozen=True, eq=False)
class Survival:
    """The product-limit estimate of the share S(t) of runs that take longer than t: S(t) = Π over steps s ≤ t of (1 − d/n)."""

    steps: Numbers
    """Distinct steps at which some run got there, rising."""
    at_risk: NDArray[np.int64]
    """n: runs watched up to that step that had not got there before; one censored at that very step still counts."""
    reached: NDArray[np.int64]
    """d: runs that got there at that step."""
    share: Numbers
    """S from that step on; before the first it is 1."""
    last: float
    """The largest step up to which any run was watched: nothing is known beyond."""

    def at(self, step: float) -> float:
        """S at a step."""
        place = int(np.searchsorted(self.steps, step, side="right"))
        return float(self.share[place - 1]) if place else 1.0

    def quantile(self, share: float = 0.5) -> float | None:
        """The first step by which at least this share of runs has got there, None where it is not reached: inf {t: S(t) ≤ 1 − share}.

        Without censoring it is numpy's quantile of the method "inverted_cdf". For the median of an even number of runs that is the
        lower of the two in the middle, and not their mean: it is a step that occurs, it does not depend on whether steps or their
        logarithms are averaged, and it is known also where the upper of the two is censored.
        """
        check_share("share", share)
        return _first(self.steps, self.share <= 1 - share + ROUNDING)

    def band(self, level: float = LEVEL) -> tuple[Numbers, Numbers]:
        """Pointwise confidence limits of S, S^exp(±z·σ), by Greenwood's variance of log(−log S) (Borgan & Liestøl 1990).

        From the step on at which the last run got there, S is 0 and the upper limit is unknown: it is given as 1.
        """
        check_share("level", level)
        z = NormalDist().inv_cdf((1 + level) / 2)
        inside = self.share > ROUNDING
        left = np.where(inside, self.at_risk - self.reached, 1)
        variance = np.cumsum(self.reached / (self.at_risk * left))
        logarithm = np.log(np.where(inside, self.share, 0.5))
        sigma = np.sqrt(variance) / np.abs(logarithm)
        lower, upper = (np.exp(logarithm * np.exp(np.minimum(sign * z * sigma, 700))) for sign in (1, -1))
        return np.where(inside, lower, 0.0), np.where(inside, upper, 1.0)


def product_limit(sample: Sample) -> Survival:
    """The product-limit estimate (Kaplan & Meier 1958).

    >>> product_limit(Sample.of([100, 200, None, 300], 250)).share
    array([0.75, 0.5 , 0.  ])
    """
    events, counts = np.unique(sample.steps[sample.reached], return_counts=True)
    at_risk = len(sample) - np.searchsorted(np.sort(sample.steps), events, side="left")
    return Survival(
        steps=events,
        at_risk=at_risk.astype(np.int64),
        reached=counts.astype(np.int64),
        share=np.cumprod(1 - counts / at_risk, dtype=np.float64),
        last=float(sample.steps.max()),
    )


def median(sample: Sample) -> float | None:
    """The first step by which at least half of the runs have got there; None: not reached within the budget."""
    return product_limit(sample).quantile()


def shown_median(sample: Sample) -> float | None:
    """The median of steps as tables, legends, figures, pages and reports all give it; None where it is not known.

    It is that of the product-limit estimator: of an even number of runs the lower of the two in the middle, runs that did not get there
    counted as later. Where fewer than half of the runs got there none is given: runs that were watched for different times would
    leave it to the few that were watched longest.

    >>> shown_median(Sample.of([83, 91], 1000)), shown_median(Sample.of([83, None, None], [1000, 50, 60]))
    (83.0, None)
    """
    return median(sample) if 2 * int(sample.reached.sum()) >= len(sample) else None


def middle(values: Numbers) -> float:
    """The median of values of which all are known, accuracies or losses: like ``median`` one that occurs, the lower of two in the middle.

    >>> middle(np.array([0.9, 0.2, 1.0, 0.5]))
    0.5
    """
    return float(np.quantile(values, 0.5, method="inverted_cdf"))


def quantile_interval(
    sample: Sample, share: float = 0.5, *, level: float = LEVEL, method: Method = "auto", resamples: int = 2000, seed: int = 0
) -> Interval:
    """Confidence interval of the step by which a share of runs has got there.

    ``exact``: two order statistics, by the binomial distribution of the number of runs before the quantile. It holds for any
    distribution, any number of runs and any censoring, because a censored run is taken at its worst on both sides: as having got
    there at once for the lower end, as never getting there for the upper. Where nothing is censored before the upper end, it is the
    usual interval. It is never narrower than it says, and says openly what few runs cannot: at 90 % three or four runs have no
    interval of the median, five have [smallest, largest]. (Of n runs, [smallest, largest] covers it with 1 − 2^(1−n): 75 % for three.)

    ``brookmeyer_crowley``: the steps at which the band of S includes 1 − share (Brookmeyer & Crowley 1982, log-log transform). It also
    uses what runs censored before the quantile have to say, but only for many runs does it cover what it should.

    ``bootstrap``: percentiles of the quantile over runs drawn again with replacement (Efron 1981), the same for the same ``seed``.

    Where the lower end of these two lies beyond the last step at which a run got there, the exact one is given: how long the quantile is then,
    is not for the one run to say that was watched the longest.

    ``auto`` is ``exact`` for fewer than 30 runs, as there nearly always are, and ``brookmeyer_crowley`` otherwise. Where no run got
    there, only ``exact`` says anything, and it is taken.
    """
    check_share("share", share)
    check_share("level", level)
    ends = {
        "exact": lambda: _exact(sample, share, level),
        "brookmeyer_crowley": lambda: _brookmeyer_crowley(sample, share, level),
        "bootstrap": lambda: _bootstrap(sample, share, level, resamples, seed),
    }
    chosen = method if method != "auto" else "exact" if len(sample) < FEW else "brookmeyer_crowley"
    if chosen not in ends:
        raise ValueError(f"quantile_interval: got method {shown(method)}; expected auto, {', '.join(ends)}.")
    if not sample.reached.any():
        chosen = "exact"
    return Interval(*ends[chosen](), level, chosen)


def _exact(sample: Sample, share: float, level: float) -> tuple[float | None, float | None]:
    low, high = order_ranks(len(sample), share, level)
    at_once, never = np.sort(sample.steps), np.sort(np.where(sample.reached, sample.steps, np.inf))
    return (float(at_once[low - 1]) if low else None, finite(never[high - 1]) if high <= len(sample) else None)


@lru_cache(maxsize=1024)
def order_ranks(runs: int, share: float, level: float) -> tuple[int, int]:
    """Ranks, counted from 1, of the order statistics that enclose a quantile; 0 and runs + 1 where there is none.

    The number K of runs at or before the quantile is binomial(runs, share). The lower rank l is the largest with P(K < l), the
    upper rank u the smallest with P(K ≥ u), at most (1 − level) / 2.

    >>> order_ranks(5, 0.5, 0.9), order_ranks(3, 0.5, 0.9), order_ranks(20, 0.5, 0.95)
    ((1, 5), (0, 4), (6, 15))
    """
    tail = (1 - level) / 2 + 1e-12
    k = np.arange(runs + 1)
    logarithms = [math.lgamma(runs + 1) - math.lgamma(i + 1) - math.lgamma(runs - i + 1) for i in range(runs + 1)]
    chances = np.exp(np.array(logarithms) + k * math.log(share) + (runs - k) * math.log1p(-share))
    low = int((np.cumsum(chances) <= tail).sum())  # P(K < l) of l = 1, 2, …
    high = runs + 1 - int((np.cumsum(chances[::-1]) <= tail).sum())  # P(K ≥ u) of u = runs, runs − 1, …
    return low, high


def _brookmeyer_crowley(sample: Sample, share: float, level: float) -> tuple[float | None, float | None]:
    curve = product_limit(sample)
    lower, upper = (_first(curve.steps, limit <= 1 - share + ROUNDING) for limit in curve.band(level))
    return (_exact(sample, share, level)[0] if lower is None else lower), upper


def _bootstrap(sample: Sample, share: float, level: float, resamples: int, seed: int) -> tuple[float | None, float | None]:
    quantiles = np.sort(_resampled_quantiles(sample, share, resamples, np.random.default_rng(seed)))
    lower, upper = percentiles(quantiles, level)
    return (_exact(sample, share, level)[0] if np.isinf(lower) else lower), finite(upper)


def _resampled_quantiles(sample: Sample, share: float, resamples: int, stream: np.random.Generator) -> Numbers:
    """The quantile of each sample drawn with replacement, infinite where it is not reached.

    Each row counts how often every run was drawn. Runs are in the order of their steps, those that got there before those censored
    at the same step, so that the factors of equal steps multiply to the one of the estimator: (1 − a/n)·(1 − b/(n − a)) = 1 − (a + b)/n.
    """
    runs = len(sample)
    order = np.lexsort((~sample.reached, sample.steps))
    steps, reached = sample.steps[order], sample.reached[order]
    drawn = stream.multinomial(runs, np.full(runs, 1 / runs), size=resamples)
    at_risk = np.cumsum(drawn[:, ::-1], axis=1)[:, ::-1]
    curves = np.cumprod(1 - np.where(reached, drawn, 0) / np.maximum(at_risk, 1), axis=1)
    low_enough = curves <= 1 - share + ROUNDING
    return np.where(low_enough.any(axis=1), steps[low_enough.argmax(axis=1)], np.inf)


def percentiles(rising: Numbers, level: float) -> tuple[float, float]:
    """The two members of a sorted array that leave (1 − level) / 2 of it on either side; infinite ones are members like others."""
    outside = int((1 - level) / 2 * len(rising) + ROUNDING)
    return float(rising[outside]), float(rising[len(rising) - 1 - outside])


def _first(steps: Numbers, where: NDArray[np.bool_]) -> float | None:
    return float(steps[where.argmax()]) if where.any() else None


def finite(value: float) -> float | None:
    """An end of an interval, None where it is open: infinite or not a number."""
    return float(value) if np.isfinite(value) else None


def check_share(name: str, value: float) -> None:
    """ValueError unless it is a share or a confidence level, between 0 and 1."""
    if not 0 < value < 1:
        raise ValueError(f"{name}: got {shown(value)}; expected a number between 0 and 1.")
