"""Whether two quantities of runs rise and fall together."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

RESAMPLES = 2000


def rank_correlation(x: Values, y: Values, *, level: float = 0.9, seed: int = 0) -> tuple[float, float, float] | None:
    """Spearman's ρ and the ends of its percentile bootstrap interval over runs; None for fewer than five or where one does not vary.

    The interval is of the runs drawn again in which both vary. Where more draws than it leaves out at an end are of runs of which one does not, and
    so show no correlation, it includes 0: else a single run that differs would be certain. ValueError where a number is not finite.
    """
    from scipy.stats import pearsonr, rankdata, spearmanr

    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("rank_correlation: got numbers that are not finite; expected both quantities of every run. Leave out the others.")
    if len(x) < 5 or len(np.unique(x)) < 2 or len(np.unique(y)) < 2:
        return None

    rows = np.random.default_rng(seed).integers(0, len(x), (RESAMPLES, len(x)))
    varies = np.all([values[rows].min(axis=1) < values[rows].max(axis=1) for values in (x, y)], axis=0)
    # Spearman's ρ of every draw at once: scipy's function for it takes one pair of samples at a time.
    ranks = (rankdata(values[rows[varies]], axis=1) for values in (x, y))
    drawn = np.asarray(pearsonr(*ranks, axis=1)[0])
    outside = (1 - level) / 2
    low, high = (float(end) for end in np.quantile(drawn, [outside, 1 - outside]))
    if RESAMPLES - len(drawn) > outside * RESAMPLES:
        low, high = min(low, 0.0), max(high, 0.0)
    found: Any = spearmanr(x, y)
    return float(found[0]), low, high
