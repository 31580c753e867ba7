"""Rank correlations rest on all runs: what one of them says is not certain."""

import math

import numpy as np
import pytest
from scipy.stats import spearmanr

from groklab.analysis.correlations import rank_correlation


def test_one_run_that_differs_does_not_exclude_zero():
    _, low, high = rank_correlation(np.arange(10.0), np.array([1.0] * 9 + [0.5]))
    assert low <= 0 <= high, "a third of the draws lack the run that differs, and show nothing"


def test_the_interval_is_that_of_spearman_over_the_runs_drawn_again():
    stream = np.random.default_rng(5)
    x = stream.integers(0, 4, 9).astype(float)  # with ties
    y = x + stream.normal(0, 2, 9)
    rows = np.random.default_rng(0).integers(0, 9, (2000, 9))
    drawn = [spearmanr(x[row], y[row])[0] for row in rows if len(set(x[row])) > 1]
    found = rank_correlation(x, y, level=0.8)
    assert found == pytest.approx((spearmanr(x, y)[0], *np.quantile(drawn, [0.1, 0.9])))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_numbers_that_are_not_finite_are_refused(value):
    numbers = np.arange(10.0)
    for x, y in ((numbers, np.append(numbers[:9], value)), (np.append(numbers[:9], value), numbers)):
        with pytest.raises(ValueError, match="not finite"):
            rank_correlation(x, y)
