"""Rank correlations rest on all runs: what one of them says is not certain."""

import math

import numpy as np
import pytest

from groklab.analysis.correlations import rank_correlation


def test_one_run_that_differs_does_not_exclude_zero():
    _, low, high = rank_correlation(np.arange(10.0), np.array([1.0] * 9 + [0.5]))
    assert low <= 0 <= high, "a third of the draws lack the run that differs, and show nothing"


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_numbers_that_are_not_finite_are_refused(value):
    numbers = np.arange(10.0)
    for x, y in ((numbers, np.append(numbers[:9], value)), (np.append(numbers[:9], value), numbers)):
        with pytest.raises(ValueError, match="not finite"):
            rank_correlation(x, y)
