"""Laws of steps against train fraction, and how much data a task needs: against planted truths, scipy and lifelines."""

import math

import numpy as np
import polars as pl
import pytest
from scipy import stats

from groklab.analysis.efficiency import data_efficiency, efficiency_difference
from groklab.analysis.fits import fit_law, fit_laws
from groklab.analysis.statistics import fit_steps
from groklab.analysis.survival import Sample

FRACTIONS = np.repeat([0.25, 0.275, 0.3, 0.35], 5)


def planted(seed, *, rate=35.0, sigma=0.4, budget=math.inf, fractions=FRACTIONS):
    """Runs that follow the exponential law: at 30 % half of them take e^6.5 = 665 steps or more."""
    steps = np.exp(17 - rate * fractions + sigma * np.random.default_rng(seed).normal(size=len(fractions)))
    return Sample(np.minimum(steps, budget), steps <= budget)


def test_without_censoring_it_is_the_ordinary_line_and_its_interval():
    sample = planted(0)
    for law, x in (("exponential", FRACTIONS), ("power", np.log(FRACTIONS))):
        fit, line = fit_law(FRACTIONS, sample, law, level=0.8), stats.linregress(x, np.log(sample.steps))
        half = stats.t.ppf(0.9, len(sample) - 2) * line.stderr
        assert fit.rate == pytest.approx(-line.slope, rel=1e-5)
        assert math.log(fit.amplitude) == pytest.approx(line.intercept, rel=1e-5)
        assert fit.rate_interval[:2] == pytest.approx((-line.slope - half, -line.slope + half), rel=1e-5)
        residuals = np.log(sample.steps) - line.intercept - line.slope * x
        assert fit.sigma == pytest.approx(residuals.std(), rel=1e-5)
        assert fit.log_likelihood == pytest.approx(stats.norm(0, residuals.std()).logpdf(residuals).sum())


@pytest.mark.medium
def test_with_censoring_it_is_the_fit_of_lifelines():
    import lifelines

    sample = planted(1, budget=2000)
    assert 0 < sample.reached.sum() < len(sample)
    data = pl.DataFrame({"x": FRACTIONS, "steps": sample.steps, "reached": sample.reached}).to_dict(as_series=False)
    import pandas

    theirs = lifelines.LogNormalAFTFitter().fit(pandas.DataFrame(data), "steps", "reached")
    ours = fit_law(FRACTIONS, sample)
    assert ours.rate == pytest.approx(-theirs.params_["mu_"]["x"], rel=1e-3)
    assert math.log(ours.amplitude) == pytest.approx(theirs.params_["mu_"]["Intercept"], rel=1e-3)
    assert ours.sigma == pytest.approx(math.exp(theirs.params_["sigma_"]["Intercept"]), rel=1e-3)
    of_steps = ours.log_likelihood - np.log(sample.steps[sample.reached]).sum()  # theirs is the density of steps, ours of log steps
    assert of_steps == pytest.approx(theirs.log_likelihood_, abs=1e-3)
    assert ours.log_likelihood >= theirs.log_likelihood_ + np.log(sample.steps[sample.reached]).sum() - 1e-9


def test_to_leave_out_censored_runs_would_flatten_the_law():
    fraction = np.repeat([0.25, 0.275, 0.3, 0.35], 100)
    sample = planted(2, budget=2000, fractions=fraction)
    there = sample.reached
    assert fit_law(fraction, sample).rate == pytest.approx(35, abs=1.5)
    assert fit_law(fraction[there], Sample(sample.steps[there], there[there])).rate_interval.upper < 35


def test_the_factor_per_percent_of_data():
    fit = fit_law(FRACTIONS, planted(3))
    assert fit.factor() == pytest.approx(math.exp(fit.rate / 100))
    assert fit.factor(0.3) == pytest.approx(fit.steps(0.29) / fit.steps(0.3)) == fit.factor(0.7)
    assert fit.factor_interval()[:2] == pytest.approx([math.exp(rate / 100) for rate in fit.rate_interval[:2]])
    power = fit_law(FRACTIONS, planted(3), "power")
    assert power.factor(0.3, less=0.02) == pytest.approx(power.steps(0.28) / power.steps(0.3))
    low, high, *_ = power.factor_interval(0.3)
    assert low < power.factor(0.3) < high


def test_fractions_that_lie_close_together_have_laws_that_no_number_has_room_for():
    sample = Sample.of([33_000, 33_100, 310, 312], 100_000)
    for fit in fit_laws([0.94, 0.94, 0.943, 0.943], sample):
        assert fit.steps(0.94) == pytest.approx(33_050, rel=0.01)
        assert fit.factor(0.943, less=0.003) == pytest.approx(106, rel=0.01)
        assert fit.factor(0.943, less=0.9) == math.inf
        assert fit.factor_interval(0.943, less=0.9)[:2] == (math.inf, math.inf)
    with pytest.raises(ValueError, match=r"got 0\.01 less at a fraction of 0\.01"):
        fit_laws([0.94, 0.94, 0.943, 0.943], sample).power.factor(0.01, less=0.01)


def test_the_law_that_was_planted_describes_better():
    fraction = np.repeat(np.linspace(0.2, 0.8, 7), 10)
    laws = fit_laws(fraction, planted(4, rate=10, fractions=fraction))
    assert laws.log_likelihood_difference > 5
    assert laws.aic_difference == pytest.approx(2 * laws.log_likelihood_difference)
    steps = 100 * fraction**-4 * np.exp(0.3 * np.random.default_rng(0).normal(size=len(fraction)))
    assert fit_laws(fraction, Sample(steps, np.ones(len(steps), bool))).aic_difference < -5


def test_runs_that_agree_by_chance_do_not_make_the_law_certain():
    fraction = np.array([0.25, 0.3, 0.35, 0.4])
    fit = fit_law(fraction, planted(0, sigma=0, fractions=fraction))
    assert fit.rate == pytest.approx(35, abs=1e-3)
    assert fit.sigma == pytest.approx(math.log(10) / 25 / math.sqrt(12))
    low, high, *_ = fit.rate_interval
    assert high - 35 == pytest.approx(35 - low, rel=1e-3)
    assert 0.5 < high - 35 < 2


@pytest.mark.parametrize("budget", [3000, 700])
def test_a_fraction_at_which_no_run_gets_there_bounds_the_rate_from_below(budget):
    fraction = np.repeat([0.2, 0.3, 0.35], 6)
    sample = planted(1, budget=budget, fractions=fraction)
    assert not sample.reached[:6].any()
    with_it, without = fit_law(fraction, sample), fit_law(fraction[6:], Sample(sample.steps[6:], sample.reached[6:]))
    low, high, *_ = with_it.rate_interval
    assert low < with_it.rate < high
    assert low >= without.rate_interval.lower - 1e-6
    assert with_it.log_likelihood <= without.log_likelihood + 1e-9


@pytest.mark.parametrize(
    ("fractions", "reached_at", "message"),
    [
        ([0.3, 0.4], [100, 50], "got 2 runs that got there, at 2 fractions"),
        ([0.3, 0.4, 0.4, 0.4], [None, 50, 60, 70], "at 1 fractions"),
        ([0.3, 0.4, 0.5], [None] * 3, "larger budget"),
        ([0.3, 0.4, 0.5], [100, 50, 0], "0 steps"),
        ([30, 40, 50], [100, 50, 20], "outside"),
        ([0.3, 0.4], [100, 50, 20], "one for each"),
    ],
)
def test_what_cannot_be_fitted_is_refused(fractions, reached_at, message):
    with pytest.raises(ValueError, match=message):
        fit_law(fractions, Sample.of(reached_at, 1000))


def test_unknown_laws_and_levels_are_refused():
    with pytest.raises(ValueError, match="exponential or power"):
        fit_law(FRACTIONS, planted(0), "logistic")
    with pytest.raises(ValueError, match="between 0 and 1"):
        fit_law(FRACTIONS, planted(0), level=90)


@pytest.mark.medium
def test_the_interval_of_the_rate_covers_what_it_says():
    repeats = 150
    found = [fit_law(FRACTIONS, planted(seed, budget=2500)).rate_interval for seed in range(repeats)]
    covered = np.mean([(i.lower or -math.inf) <= 35 <= (i.upper or math.inf) for i in found])
    assert covered == pytest.approx(0.9, abs=2 * math.sqrt(0.09 / repeats))


def test_a_table_of_runs_is_fitted_with_its_censored_ones():
    sample = planted(1, budget=2000)
    reached_at = [round(s) if r else None for s, r in zip(sample.steps, sample.reached, strict=True)]
    table = pl.DataFrame({"train_fraction": FRACTIONS, "memorized_at": 100, "generalized_at": reached_at, "steps": 2000})
    fit = fit_steps(table)
    assert (fit.runs, fit.reached) == (20, int(sample.reached.sum()))
    assert fit.rate == pytest.approx(fit_law(FRACTIONS, sample).rate, rel=0.01)
    assert fit_steps(table, quantity="delay").rate == pytest.approx(fit.rate, rel=1e-6)


# — data efficiency —

GRID = [0.2, 0.3, 0.4, 0.5, 0.6]


def tried(*outcomes, fractions=GRID, seeds=None, **columns):
    """One string per seed, a letter per fraction: x generalized at step 500, · did not within 1,000, blank was not tried."""
    rows = [
        {"train_fraction": fraction, "seed": seed, "memorized_at": 10, "generalized_at": 500 if mark == "x" else None, "steps": 1000}
        for seed, marks in zip(seeds or range(len(outcomes)), outcomes, strict=True)
        for fraction, mark in zip(fractions, marks, strict=True)
        if mark != " "
    ]
    return pl.DataFrame(rows, infer_schema_length=None, schema_overrides={"generalized_at": pl.Int64}).with_columns(**columns)


def test_the_fraction_from_which_half_of_the_seeds_generalize():
    found = data_efficiency(tried("··xxx", "···xx", "··xxx"))
    assert found.bracket == (0.3, 0.4)
    assert found.fraction == pytest.approx(0.3 + 0.1 * 0.5 / (2 / 3))
    assert found.shares.to_dict(as_series=False) == {
        "train_fraction": GRID,
        "seeds": [3] * 5,
        "generalized": [0, 0, 2, 3, 3],
        "share": pytest.approx([0, 0, 2 / 3, 1, 1]),
    }
    assert found.interval[:2] == (0.3, 0.5)
    assert data_efficiency(tried("··xxx", "···xx", "··xxx"), share=0.9).bracket == (0.4, 0.5)


def test_one_lucky_seed_does_not_decide():
    found = data_efficiency(tried("x··xx", "···xx", "···xx"))
    assert found.bracket == (0.4, 0.5)
    assert found.shares["share"].to_list() == pytest.approx([1 / 9] * 3 + [1, 1])


def test_seeds_that_agree_do_not_make_the_fraction_certain():
    found = data_efficiency(tried("··xxx", "··xxx", "··xxx"))
    assert found.fraction == pytest.approx(0.35)
    assert found.interval[:2] == (0.3, 0.4)


@pytest.mark.parametrize(("outcomes", "bracket"), [("xxxxx", (None, 0.2)), ("·····", (0.6, None))])
def test_below_and_above_all_fractions(outcomes, bracket):
    found = data_efficiency(tried(*[outcomes] * 3))
    assert found.fraction is None
    assert found.bracket == bracket
    assert found.interval[:2] == bracket


def test_exact_intervals_need_five_seeds():
    assert data_efficiency(tried(*["··xxx"] * 4), method="exact").interval[:2] == (None, None)
    assert data_efficiency(tried(*["··xxx"] * 5), method="exact").interval[:2] == (0.3, 0.4)
    assert data_efficiency(tried(*["··xxx"] * 5), method="exact", level=0.95).interval[:2] == (None, None)
    one_lucky = data_efficiency(tried(*["··xxx"] * 5, "x·xxx"), method="exact")
    assert one_lucky.interval[:2] == (None, 0.4), "tests go upwards from the smallest fraction"


@pytest.mark.medium
@pytest.mark.parametrize(("method", "seeds", "at_least"), [("exact", 6, 0.9), ("bootstrap", 10, 0.85)])
def test_intervals_of_data_efficiency_cover_what_they_say(method, seeds, at_least):
    stream, repeats, covered = np.random.default_rng(0), 200, 0
    fractions = np.round(np.arange(0.2, 0.62, 0.02), 2)
    for _ in range(repeats):
        own = stream.normal(0.41, 0.06, size=seeds)
        marks = ["".join("x" if f >= needed else "·" for f in fractions) for needed in own]
        low, high, *_ = data_efficiency(tried(*marks, fractions=fractions), method=method, resamples=200).interval
        covered += (low or 0) <= 0.41 <= (high or 1)
    assert covered / repeats >= at_least - 2 * math.sqrt(0.09 / repeats)


def test_a_smaller_budget_needs_more_data():
    table = tried("··xxx", "··xxx", "··xxx").with_columns(
        generalized_at=pl.when(pl.col("train_fraction") < 0.5).then(pl.col("generalized_at")).otherwise(200)
    )
    assert data_efficiency(table).bracket == (0.3, 0.4)
    assert data_efficiency(table, within=300).bracket == (0.4, 0.5)
    with pytest.raises(ValueError, match="no run with results"):
        data_efficiency(tried("·" * 5), within=2000)


def test_a_run_that_has_not_had_the_budget_is_left_out_unless_it_diverged():
    table = tried("··xxx", "··xxx", "··xxx")
    ended = pl.when((pl.col("seed") == 2) & (pl.col("train_fraction") == 0.4)).then(50).otherwise(1000)
    unfinished = table.with_columns(
        steps=ended, generalized_at=pl.when(ended == 50).then(None).otherwise("generalized_at"), status=pl.lit("interrupted")
    )
    assert data_efficiency(unfinished, within=1000).shares["seeds"].to_list() == [3, 3, 2, 3, 3]
    diverged = unfinished.with_columns(status=pl.lit("diverged"))
    assert data_efficiency(diverged, within=1000).shares["generalized"].to_list() == [0, 0, 2, 3, 3]
    assert data_efficiency(diverged, within=1000).shares["seeds"].to_list() == [3] * 5


@pytest.mark.parametrize("status", ["running", "interrupted"])
def test_a_run_that_is_still_going_does_not_count_as_one_that_does_not_generalize(status):
    going = pl.when((pl.col("seed") == 2) & (pl.col("train_fraction") >= 0.4)).then(pl.lit(status)).otherwise(pl.lit("complete"))
    table = tried("··xxx", "··xxx", "···x·").with_columns(status=going)
    shares = data_efficiency(table).shares
    assert shares["seeds"].to_list() == [3, 3, 2, 3, 2]
    assert shares["generalized"].to_list() == [0, 0, 2, 3, 2], "one that has got there counts, ended or not"


def test_not_every_seed_need_be_tried_everywhere():
    found = data_efficiency(tried("· xxx", " ·xx ", "··· x"))
    assert found.shares["seeds"].to_list() == [2, 2, 3, 2, 2]
    assert found.bracket == (0.3, 0.4)
    assert found.interval.lower in (0.2, 0.3)


def test_the_difference_of_two_tasks():
    needs_less, needs_more = tried("·xxxx", "·xxxx", "·xxxx"), tried("···xx", "···xx", "···xx")
    found = efficiency_difference(needs_less, needs_more)
    assert found.fraction == pytest.approx(-0.2)
    assert found.interval[:2] == pytest.approx((-0.3, -0.1))
    same = efficiency_difference(needs_less, needs_less)
    assert same.fraction == 0
    assert same.interval[:2] == pytest.approx((-0.1, 0.1)), "the same to the distance of fractions"
    never = efficiency_difference(needs_less, tried("·····", "·····", "·····"))
    assert never.fraction is None
    assert never.interval.lower is None
    assert never.interval.upper == pytest.approx(0.3 - 0.6)


def test_seeds_that_both_tasks_share_are_drawn_together():
    """Where slow seeds are slow at both, the difference is known better than either."""
    outcomes = ["·xxxx", "··xxx", "···xx", "····x", "·xxxx", "····x"]
    paired = efficiency_difference(tried(*outcomes), tried(*outcomes)).interval
    apart = efficiency_difference(tried(*outcomes), tried(*outcomes, seeds=range(10, 16))).interval
    assert paired.upper - paired.lower < apart.upper - apart.lower


def test_tables_of_several_settings_and_without_seeds_are_refused():
    table = tried("··xxx")
    with pytest.raises(ValueError, match=r"several runs of fraction 0\.2 and seed 0"):
        data_efficiency(pl.concat([table, table]))
    with pytest.raises(ValueError, match="without seed"):
        data_efficiency(table.drop("seed"))
    with pytest.raises(ValueError, match="bootstrap or exact"):
        data_efficiency(table, method="guess")
    with pytest.raises(ValueError, match="share"):
        data_efficiency(table, share=50)
