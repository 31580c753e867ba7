"""Whether two quantities of runs rise and fall together."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

RESAMPLES = 2000


def rank_correlation(x: Values, y: Values, *, level: float = 0.9, seed: int = 0) -> tuple[float, float, float] | None:
    """Spearman's ρ and the ends of its percentile bootstrap interval over runs; None for fewer than five or where one does not vary.

    The interval is of the runs drawn again in which both vary. Where more draws than it leaves out at an end are of runs of which one does not, and
    so show no correlation, it includes 0: else a single run that differs would be certain. ValueError where a number is not finite.
    """
    from scipy.stats import rankdata

    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("rank_correlation: got numbers that are not finite; expected both quantities of every run. Leave out the others.")
    if len(x) < 5 or len(np.unique(x)) < 2 or len(np.unique(y)) < 2:
        return None

    def rho(a: Values, b: Values) -> Values:
        ranks = [rankdata(values, axis=1) for values in (a, b)]
        first, second = (values - values.mean(axis=1, keepdims=True) for values in ranks)
        return (first * second).sum(axis=1) / np.sqrt((first**2).sum(axis=1) * (second**2).sum(axis=1))

    rows = np.random.default_rng(seed).integers(0, len(x), (RESAMPLES, len(x)))
    varies = np.all([values[rows].min(axis=1) < values[rows].max(axis=1) for values in (x, y)], axis=0)
    drawn = rho(x[rows[varies]], y[rows[varies]])
    outside = (1 - level) / 2
    low, high = (float(end) for end in np.quantile(drawn, [outside, 1 - outside]))
    if RESAMPLES - len(drawn) > outside * RESAMPLES:
        low, high = min(low, 0.0), max(high, 0.0)
    return float(rho(x[None], y[None])[0]), low, high
