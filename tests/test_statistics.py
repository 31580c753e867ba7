"""Samples in which some runs never got there: against worked examples, scipy, lifelines and simulation."""

import math
import subprocess
import sys

import numpy as np
import pytest
from censored import CONTROL, TREATED, drawn, samples
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from benchmarks.yardstick import yardsticks
from groklab.analysis.survival import Sample, median, order_ranks, product_limit, quantile_interval

shares = st.sampled_from([0.1, 0.25, 1 / 3, 0.5, 0.75, 0.9])


# — the product-limit estimator —


def test_the_textbook_example():
    curve = product_limit(TREATED)
    assert curve.steps.tolist() == [6, 7, 10, 13, 16, 22, 23]
    assert curve.at_risk.tolist() == [21, 17, 15, 12, 11, 7, 6]
    assert curve.share == pytest.approx([0.857, 0.807, 0.753, 0.690, 0.627, 0.538, 0.448], abs=5e-4)
    assert (median(TREATED), median(CONTROL)) == (23, 8)
    assert [curve.at(step) for step in (5, 6, 6.5, 100)] == pytest.approx([1, 6 / 7, 6 / 7, 0.448], abs=5e-4)
    assert curve.last == 35


@pytest.mark.parametrize("grid", [None, 5])
@pytest.mark.parametrize("runs", [1, 2, 7, 60])
def test_the_curve_and_its_band_are_those_of_scipy(runs, grid):
    sample = drawn(np.random.default_rng(runs), runs, grid=grid)
    curve = product_limit(sample)
    data = stats.CensoredData.right_censored(sample.steps, ~sample.reached)
    theirs = stats.ecdf(data).sf
    assert np.interp(curve.steps, theirs.quantiles, theirs.probabilities) == pytest.approx(curve.share, abs=1e-12)
    if curve.share.size and curve.share[-1] > 0:
        band = theirs.confidence_interval(0.8, method="log-log")
        at = np.searchsorted(theirs.quantiles, curve.steps)
        for ours, limit in zip(curve.band(0.8), (band.low, band.high), strict=True):
            assert ours == pytest.approx(limit.probabilities[at], abs=1e-12)


@pytest.mark.medium
@pytest.mark.parametrize("grid", [None, 5])
def test_the_median_and_its_interval_are_those_of_lifelines(grid):
    import lifelines
    from lifelines.utils import median_survival_times

    stream = np.random.default_rng(3)
    for runs in (3, 8, 20, 50, 50):
        sample = drawn(stream, runs, grid=grid)
        fitter = lifelines.KaplanMeierFitter(alpha=0.1).fit(sample.steps, sample.reached)
        assert (median(sample) or math.inf) == pytest.approx(fitter.median_survival_time_, nan_ok=False)
        interval = quantile_interval(sample, method="brookmeyer_crowley")
        low, high = median_survival_times(fitter.confidence_interval_).to_numpy()[0]
        assert interval.lower == pytest.approx(min(low, sample.steps.max()))
        assert (interval.upper or math.inf) == pytest.approx(high)


@given(samples, shares, st.permutations(range(12)))
def test_estimates_do_not_depend_on_the_order_of_runs(sample, share, permutation):
    order = [place for place in permutation if place < len(sample)]
    shuffled = Sample(sample.steps[order], sample.reached[order])
    assert product_limit(shuffled).quantile(share) == product_limit(sample).quantile(share)
    for method in ("exact", "brookmeyer_crowley"):
        assert quantile_interval(shuffled, share, method=method) == quantile_interval(sample, share, method=method)


@given(samples, shares)
def test_ten_times_slower_runs_have_ten_times_larger_quantiles(sample, share):
    slower = Sample(10 * sample.steps, sample.reached)
    for method in ("exact", "brookmeyer_crowley", "bootstrap"):
        one, ten = (quantile_interval(s, share, method=method, resamples=50) for s in (sample, slower))
        assert [None if end is None else 10 * end for end in one[:2]] == list(ten[:2])
    quantile = product_limit(sample).quantile(share)
    assert product_limit(slower).quantile(share) == (None if quantile is None else 10 * quantile)


@given(samples, shares)
def test_without_censoring_quantiles_are_the_ordinary_ones(sample, share):
    everything = Sample(sample.steps, np.ones(len(sample), dtype=bool))
    assert product_limit(everything).quantile(share) == np.quantile(sample.steps, share, method="inverted_cdf")


@given(samples, shares)
def test_to_watch_longer_can_only_raise_a_quantile_that_was_not_reached(sample, share):
    longer = Sample(np.where(sample.reached, sample.steps, 1000), sample.reached)
    quantile = product_limit(longer).quantile(share)
    before = product_limit(sample).quantile(share)
    assert before is None or quantile is None or quantile >= before


@pytest.mark.parametrize("method", ["auto", "exact", "brookmeyer_crowley", "bootstrap"])
def test_where_no_run_got_there_only_a_lower_end_is_known(method):
    nobody = Sample.of([None] * 6, [100, 200, 300, 400, 500, 600])
    assert median(nobody) is None
    assert product_limit(nobody).steps.size == 0
    assert product_limit(nobody).at(10_000) == 1
    assert quantile_interval(nobody, method=method) == (100, None, 0.9, "exact")


def test_one_run_has_a_median_and_no_interval():
    one = Sample.of([700], 1000)
    assert median(one) == 700
    assert quantile_interval(one)[:2] == (None, None)
    assert median(Sample.of([None], 1000)) is None


def test_half_of_an_even_number_is_enough_for_the_median():
    assert median(Sample.of([100, 200, None, None], 1000)) == 200
    assert median(Sample.of([100, None, None, None], 1000)) is None


@pytest.mark.parametrize(
    ("steps", "reached", "message"),
    [
        ([], [], "no runs"),
        ([1.0, 2.0], [True], "one of each"),
        ([-1.0], [True], "negative or not finite"),
        ([math.nan], [False], "negative or not finite"),
    ],
)
def test_what_is_no_sample_is_refused(steps, reached, message):
    with pytest.raises(ValueError, match=message):
        Sample(np.array(steps), np.array(reached))


@pytest.mark.parametrize("share", [0, 1, 50, math.nan])
def test_shares_and_levels_lie_between_0_and_1(share):
    with pytest.raises(ValueError, match="between 0 and 1"):
        product_limit(TREATED).quantile(share)
    with pytest.raises(ValueError, match="between 0 and 1"):
        quantile_interval(TREATED, level=share)
    with pytest.raises(ValueError, match="expected auto"):
        quantile_interval(TREATED, method="normal")
    with pytest.raises(ValueError, match="expected auto"):
        quantile_interval(Sample.of([None], 100), method="normal")


def test_a_sample_cannot_be_changed():
    with pytest.raises(ValueError, match="read-only"):
        TREATED.steps[0] = 1


# — intervals —


def test_few_runs_say_openly_what_they_do_not_know():
    five = Sample.of([300, 100, 200, 500, 400], 1000)
    assert quantile_interval(five) == (100, 500, 0.9, "exact")
    assert quantile_interval(five, level=0.95)[:2] == (None, None)
    assert quantile_interval(Sample.of([100, 200, 300], 1000))[:2] == (None, None)
    assert quantile_interval(Sample.of([100, 200, 300], 1000), level=0.75)[:2] == (100, 300)
    assert quantile_interval(Sample.of([300, 100, 200, 400, None], 1000))[:2] == (100, None)


def test_a_run_that_was_watched_for_long_enough_does_not_open_the_interval():
    eight = Sample.of([100, 200, 300, 400, 500, 600, 700, None], 800)
    assert quantile_interval(eight)[:2] == (200, 700)
    interrupted = Sample.of([None, 200, 300, 400, 500, 600, 700, 800], [50, *[1000] * 7])
    assert quantile_interval(interrupted)[:2] == (200, 800), "it may have been the slowest, or got there at step 51"


@pytest.mark.parametrize("share", [0.25, 0.5, 0.9])
@pytest.mark.parametrize("runs", [1, 3, 6, 19, 40])
def test_ranks_are_the_closest_that_keep_the_level(runs, share):
    low, high = order_ranks(runs, share, 0.8)
    binomial = stats.binom(runs, share)
    assert binomial.cdf(low - 1) <= 0.1 < binomial.cdf(low)
    assert binomial.sf(high - 1) <= 0.1 < binomial.sf(high - 2)


def test_thousands_of_runs_have_ranks():
    low, high = order_ranks(20_000, 0.5, 0.95)
    assert 9_850 < low < 9_870
    assert low + high == 20_001


def test_many_runs_have_the_large_sample_interval():
    sample = drawn(np.random.default_rng(0), 30)
    assert quantile_interval(sample) == quantile_interval(sample, method="brookmeyer_crowley")
    one, other = (quantile_interval(sample, method="bootstrap", seed=seed) for seed in (0, 0))
    assert one == other
    assert one.method == "bootstrap"


@pytest.mark.parametrize("method", ["auto", "exact", "brookmeyer_crowley", "bootstrap"])
def test_one_run_that_was_watched_for_longer_does_not_say_how_long_the_others_take(method):
    sample = Sample.of([50, *[None] * 30], [*[100] * 30, 100_000])
    assert quantile_interval(sample, method=method)[:2] == (100, None)


def test_the_steps_watched_may_be_a_number_of_any_kind():
    for watched in (1000, 1000.0, np.int64(1000), np.float32(1000), [1000, 1000]):
        assert Sample.of([1, None], watched).steps.tolist() == [1, 1000]


@pytest.mark.medium
@pytest.mark.parametrize(
    ("method", "runs", "at_least", "at_most"),
    [("exact", 5, 0.9, 1), ("exact", 12, 0.9, 1), ("brookmeyer_crowley", 40, 0.87, 0.94), ("bootstrap", 40, 0.85, 0.94)],
)
@pytest.mark.parametrize("budget", [1.0, math.inf])
def test_intervals_cover_what_they_say(method, runs, at_least, at_most, budget):
    stream, repeats = np.random.default_rng(7), 600
    covered = 0
    for _ in range(repeats):
        times = stream.exponential(size=runs)
        sample = Sample(np.minimum(times, min(budget, 1e9)), times <= budget)
        low, high, *_ = quantile_interval(sample, method=method, resamples=200)
        covered += (low or 0) <= math.log(2) <= (math.inf if high is None else high)
    noise = 2 * math.sqrt(0.09 / repeats)
    assert at_least - noise <= covered / repeats <= at_most + noise


def test_the_command_line_does_not_import_what_fits_need():
    code = """
import sys, groklab.cli, groklab.analysis.statistics, groklab.analysis.fits, groklab.analysis.efficiency
try:
    groklab.cli.main(["--help"])
except SystemExit:
    pass
assert not {name.split(".")[0] for name in sys.modules} & {"scipy", "pandas", "torch"}
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


@pytest.mark.slow
@pytest.mark.alone
def test_a_median_and_its_interval_take_less_than_a_millisecond():
    sample = drawn(np.random.default_rng(0), 5)
    assert yardsticks(lambda: [(median(sample), quantile_interval(sample)) for _ in range(100)]) < 1
