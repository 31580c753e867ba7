"""How steps grow as the data shrink: the exponential law and its rival, fitted with censored runs.

Both laws are straight lines for the logarithm of steps, with normal scatter between runs:

    exponential   log steps = log A − B·f + σ·ε
    power         log steps = log A − B·log f + σ·ε          f: train fraction, ε: standard normal

and a run that did not get there adds the chance to take longer than it was watched (Tobin 1958). Leaving such runs out would flatten
the law, as they are most at the small fractions.

Sources: Tobin 1958 (the likelihood), Olsen 1978 (in γ = β/σ and h = 1/σ it is concave: one maximum), Akaike 1974.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from groklab.analysis.survival import LEVEL, Interval, Numbers, Sample, check_share
from groklab.text.values import shown

Law = Literal["exponential", "power"]

EVALUATIONS_PER_DECADE = 25
"""Usual spacing of evaluations, which is how exactly steps are known."""


@dataclass(frozen=True)
class Fit:
    """A law of steps against train fraction. ``steps`` and ``factor`` are about medians, which is what exp(log steps) is the mean of."""

    law: Law
    log_amplitude: float
    """log A (natural logarithm): A itself may be larger than any number has room for, where fractions lie close together."""
    rate: float
    """B: per unit of train fraction (exponential), or the exponent (power)."""
    rate_interval: Interval
    """By profile likelihood; an open end: the runs do not bound it."""
    sigma: float
    """Standard deviation of log steps (natural logarithm) between runs of one fraction, of greatest likelihood: low for few runs."""
    log_likelihood: float
    """Of log steps, in nats."""
    runs: int
    reached: int

    @property
    def amplitude(self) -> float:
        """A, in steps: where the law would be at no data (exponential) or with the whole table (power); infinite beyond all numbers."""
        return _exponential(self.log_amplitude)

    def steps(self, fraction: float) -> float:
        """Median steps at a train fraction."""
        return _exponential(self.log_amplitude - self.rate * _abscissa(self.law, fraction))

    def factor(self, fraction: float = 0.3, *, less: float = 0.01) -> float:
        """By what the median steps are multiplied if that much of the table less is trained on; exp(B · less) of the exponential law.

        At which fraction matters to the power law only. ValueError where that law would be left without data.
        """
        return _exponential(self.rate * self._shift(fraction, less))

    def factor_interval(self, fraction: float = 0.3, *, less: float = 0.01) -> Interval:
        """The interval of ``factor``."""
        low, high, level, method = self.rate_interval
        shift = self._shift(fraction, less)
        lower, upper = (None if rate is None else _exponential(rate * shift) for rate in (low, high))
        return Interval(lower, upper, level, method)

    @property
    def aic(self) -> float:
        """Akaike's criterion, 2·3 − 2·log likelihood: of two laws the lower describes better."""
        return 6 - 2 * self.log_likelihood

    def _shift(self, fraction: float, less: float) -> float:
        if self.law == "power" and less >= fraction:
            raise ValueError(
                f"factor: got {less} less at a fraction of {fraction}; expected less than the fraction, as no data have no power law."
            )
        return _abscissa(self.law, fraction) - _abscissa(self.law, fraction - less)


class Laws(NamedTuple):
    """Both laws, fitted to the same runs."""

    exponential: Fit
    power: Fit

    @property
    def log_likelihood_difference(self) -> float:
        """Exponential − power, in nats. Positive: the exponential describes better; below about 2, hardly."""
        return self.exponential.log_likelihood - self.power.log_likelihood

    @property
    def aic_difference(self) -> float:
        """AIC of the power law − AIC of the exponential: twice the difference of log likelihoods, as both laws have three parameters."""
        return self.power.aic - self.exponential.aic


def fit_laws(
    fractions: Sequence[float] | Numbers, sample: Sample, *, level: float = LEVEL, evaluations_per_decade: int = EVALUATIONS_PER_DECADE
) -> Laws:
    """The exponential and the power law, to be compared."""
    exponential, power = (
        fit_law(fractions, sample, law, level=level, evaluations_per_decade=evaluations_per_decade) for law in ("exponential", "power")
    )
    return Laws(exponential, power)


def fit_law(
    fractions: Sequence[float] | Numbers,
    sample: Sample,
    law: Law = "exponential",
    *,
    level: float = LEVEL,
    evaluations_per_decade: int = EVALUATIONS_PER_DECADE,
) -> Fit:
    """The law of greatest likelihood, and the interval of its rate B by profile likelihood.

    ``fractions`` holds the train fraction of each run of the sample. The interval holds the rates B with

        2·(log likelihood − its maximum over A and σ at B) ≤ r·log(1 + t² / (r − 2)),

    r runs that got there, t the (1 + level) / 2 quantile of Student's distribution with r − 2 degrees of freedom. Without censoring that is
    exactly the usual interval of a slope; for many runs it is the χ² one, which is too narrow for few. σ is never taken to be
    below what the spacing of evaluations leaves open (log 10 / evaluations_per_decade / √12), else runs that agree by chance would
    make the law certain. ValueError where fewer than three runs got there, or all of them at one fraction.
    """
    from scipy.optimize import brentq
    from scipy.special import stdtrit

    x, reached = np.asarray(fractions, dtype=np.float64), sample.reached
    _check(x, sample, law, level)
    x = np.log(x) if law == "power" else x
    middle, spread = float(x.mean()), float(x.std())
    u, y = (x - middle) / spread, np.log(sample.steps)
    offset = float(y.mean())
    least = least_scatter(evaluations_per_decade)
    ones = np.ones_like(u)
    best = maximum(y - offset, reached, np.stack([ones, u], axis=1), least)
    intercept, slope = best.coefficients
    degrees = int(reached.sum()) - 2
    allowed = (degrees + 2) * math.log1p(float(stdtrit(degrees, (1 + level) / 2)) ** 2 / degrees)

    def excess(candidate: float) -> float:
        at_most = maximum(y - offset - candidate * u, reached, ones[:, None], least).log_likelihood
        return 2 * (best.log_likelihood - at_most) - allowed

    def find(low: float, high: float) -> float:
        return cast(float, brentq(excess, low, high, xtol=1e-9 * (1 + abs(slope))))

    ends = [_crossing(excess, find, slope, direction * best.sigma / math.sqrt(degrees + 2)) for direction in (1, -1)]
    low, high = (None if end is None else -end / spread for end in ends)  # log steps fall by B: the upper slope is the lower rate
    rate = -slope / spread
    return Fit(
        law=law,
        log_amplitude=offset + intercept + rate * middle,
        rate=rate,
        rate_interval=Interval(low, high, level, "profile_likelihood"),
        sigma=best.sigma,
        log_likelihood=best.log_likelihood,
        runs=len(sample),
        reached=degrees + 2,
    )


def least_scatter(evaluations_per_decade: int = EVALUATIONS_PER_DECADE) -> float:
    """Standard deviation of log steps (natural logarithm) that the spacing of evaluations leaves open: of a uniform distribution that wide."""
    return math.log(10) / evaluations_per_decade / math.sqrt(12)


def _crossing(excess: Callable[[float], float], find: Callable[[float, float], float], start: float, step: float) -> float | None:
    """Where the profile leaves the interval in one direction; None where it does not within 10⁶ standard errors."""
    inner = start
    for _ in range(20):
        outer = inner + step
        if excess(outer) > 0:
            return find(*sorted((inner, outer)))
        inner, step = outer, 2 * step
    return None


_HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


class Maximum(NamedTuple):
    """Where a censored normal likelihood is largest."""

    coefficients: tuple[float, ...]
    sigma: float
    log_likelihood: float


def maximum(y: Numbers, reached: NDArray[np.bool_], design: Numbers, least: float) -> Maximum:
    """The maximum over coefficients and σ ≥ least of Σ log(h·φ(r)) over runs that got there + Σ log Φ(−r) over the others.

    r = h·y − design·γ with γ = coefficients·h and h = 1/σ. As it is concave in (γ, h), a maximum that lies beyond the largest h
    allowed is found at that h.
    """
    coefficients = np.linalg.lstsq(design, y, rcond=None)[0]
    start = np.append(coefficients, 1.0) / max(float((y - design @ coefficients).std()), least)
    best = _climb(y, reached, design, start, free=len(start), stop_at=1e3 / least)
    if best[-1] > 1 / least:
        best = _climb(y, reached, design, best / (best[-1] * least), free=len(start) - 1, stop_at=math.inf)
    h = float(best[-1])
    return Maximum(tuple(float(value) / h for value in best[:-1]), 1 / h, _log_likelihood(best, y, reached, design))


def _climb(y: Numbers, reached: NDArray[np.bool_], design: Numbers, point: Numbers, *, free: int, stop_at: float) -> Numbers:
    """Newton's method with halved steps in the first ``free`` of (γ, h); given up where h passes ``stop_at``, as on a line without scatter."""
    number, residual = int(reached.sum()), np.column_stack([-design, y])
    value = _log_likelihood(point, y, reached, design)
    for _ in range(200):
        r, h = residual @ point, point[-1]
        hazard = np.exp(-0.5 * r**2 - _HALF_LOG_2PI - _log_tail(r))  # φ(r) / Φ(−r); the quotient itself would be 0 / 0
        slope = -residual.T @ np.where(reached, r, hazard)
        bend = residual.T @ (residual * np.where(reached, 1.0, np.clip(hazard * (hazard - r), 0, 1))[:, None])
        slope[-1] += number / h
        bend[-1, -1] += number / h**2
        step = np.zeros_like(point)
        step[:free] = np.linalg.lstsq(bend[:free, :free], slope[:free], rcond=None)[0]
        gain = float(slope[:free] @ step[:free])
        while gain > 1e-13 * (1 + abs(value)):
            tried = point + step
            if tried[-1] > 0 and (reaches := _log_likelihood(tried, y, reached, design)) >= value + 1e-4 * gain:
                point, value = tried, reaches
                break
            step, gain = step / 2, gain / 2
        else:
            break
        if point[-1] > stop_at:
            break
    return point


def _log_likelihood(point: Numbers, y: Numbers, reached: NDArray[np.bool_], design: Numbers) -> float:
    r = point[-1] * y - design @ point[:-1]
    return math.fsum(np.where(reached, math.log(point[-1]) - _HALF_LOG_2PI - 0.5 * r**2, _log_tail(r)))


def _log_tail(r: Numbers) -> Numbers:
    """log Φ(−r)."""
    from scipy.special import log_ndtr

    return log_ndtr(-r)


def _exponential(logarithm: float) -> float:
    """exp, infinite where a number has no room for it."""
    return math.exp(logarithm) if logarithm < math.log(sys.float_info.max) else math.inf


def _abscissa(law: Law, fraction: float) -> float:
    return math.log(fraction) if law == "power" else fraction


def _check(x: Numbers, sample: Sample, law: str, level: float) -> None:
    if law not in ("exponential", "power"):
        raise ValueError(f"fit: got law {shown(law)}; expected exponential or power.")
    if x.shape != sample.steps.shape:
        raise ValueError(f"fit: got {x.size} fractions for {len(sample)} runs; expected one for each.")
    if not ((x > 0) & (x <= 1)).all():
        raise ValueError("fit: got fractions outside (0, 1]; expected the train fraction of each run.")
    check_share("level", level)
    if (sample.steps <= 0).any():
        raise ValueError("fit: got a run of 0 steps, which has no logarithm; expected runs that were watched for a step or more.")
    number, places = int(sample.reached.sum()), len(np.unique(x[sample.reached]))
    if number < 3 or places < 2:
        raise ValueError(
            f"fit: got {number} runs that got there, at {places} fractions; expected three or more, at two fractions or more. "
            "Train with a larger budget or at larger fractions."
        )
