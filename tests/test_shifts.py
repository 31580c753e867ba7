"""How much more data one task needs than another: planted differences are recovered, and what runs cannot tell is said to be unknown."""

import math

import numpy as np
import polars as pl
import pytest

from groklab.analysis.shifts import fraction_shift


def task(at, *, watched=10_000, **columns):
    """A row per run from the steps at each fraction, a seed for each place; None: not reached within ``watched`` steps."""
    rows = [(fraction, seed, steps) for fraction, several in at.items() for seed, steps in enumerate(several)]
    whole = dict.fromkeys(("generalized_at", "memorized_at", "steps", "evaluated_at"), pl.Int64)
    table = pl.DataFrame(
        {
            "train_fraction": [fraction for fraction, _, _ in rows],
            "seed": [seed for _, seed, _ in rows],
            "generalized_at": [steps for _, _, steps in rows],
            "memorized_at": 10,
            "steps": watched,
            "evaluated_at": watched,
            "status": "complete",
        },
        schema_overrides=whole,
    )
    return table.with_columns(pl.Series(name, values, dtype=table.schema[name]) for name, values in columns.items())


def two_lines(shift, *, scatter, count, seed=0, watched=10_000):
    """Two tasks at two fractions, the first needing ``shift`` more of the table."""
    stream, sides = np.random.default_rng(seed), []
    for more in (shift, 0.0):
        at = {}
        for fraction in (0.5, 0.7):
            log_steps = np.log(4000) - 3.0 * (fraction - more - 0.5) + scatter * stream.standard_normal(count)
            steps = np.exp(log_steps).round().astype(int).tolist()
            at[fraction] = [step if step <= watched else None for step in steps]
        sides.append(task(at, watched=watched))
    return sides


QUICK, SLOW, NEVER = [950, 980, 1000, 1020, 1050], [3800, 3900, 4000, 4100, 4200], [None] * 5


@pytest.mark.parametrize("shift", [-0.04, 0.0, 0.1])
def test_a_planted_shift_is_recovered(shift):
    found = fraction_shift(*two_lines(shift, scatter=0.05, count=20))
    assert found.fraction == pytest.approx(shift, abs=0.02)
    assert found.rate == pytest.approx(3.0, abs=0.4)


@pytest.mark.medium
def test_the_interval_of_a_shift_covers_it_about_as_often_as_it_says():
    covered = 0
    for seed in range(40):
        found = fraction_shift(*two_lines(0.02, scatter=0.1, count=5, seed=seed), resamples=100)
        covered += found.interval.lower <= 0.02 <= found.interval.upper
    assert covered >= 33, "of 40 at 90 %: fewer in two of a hundred such tests"


def test_a_line_needs_two_fractions_at_which_steps_fall():
    one = task({0.5: QUICK})
    with pytest.raises(ValueError, match="two or more"):
        fraction_shift(one, one)
    with pytest.raises(ValueError, match="do not fall"):
        fraction_shift(task({0.5: QUICK, 0.7: SLOW}), task({0.5: QUICK, 0.7: QUICK}))


def test_runs_that_generalize_at_one_fraction_only_do_not_tell_how_steps_fall():
    with pytest.raises(ValueError, match="at one fraction only"):
        fraction_shift(task({0.5: NEVER, 0.7: QUICK}), task({0.5: NEVER, 0.7: SLOW}))


def test_tasks_that_generalize_at_different_fractions_only_cannot_be_told_apart_from_them():
    with pytest.raises(ValueError, match="each task's at another"):
        fraction_shift(task({0.5: NEVER, 0.7: QUICK}), task({0.5: SLOW, 0.7: NEVER}))


def test_seeds_drawn_again_that_tell_nothing_open_both_ends():
    first, second = task({0.5: [None] * 4 + [8000], 0.7: QUICK}), task({0.5: [None] * 4 + [9000], 0.7: SLOW})
    found = fraction_shift(first, second, resamples=100)
    assert math.isfinite(found.fraction)
    assert found.interval[:2] == (None, None), "two draws in three lack the one seed that generalizes at 0.5"


def test_where_no_seeds_drawn_again_tell_anything_both_ends_are_open():
    first, second = task({0.5: [8000, None], 0.7: [None, 1000]}), task({0.5: [9000, None], 0.7: [None, 2000]})
    assert fraction_shift(first, second, resamples=20).interval[:2] == (None, None)


def test_a_run_that_was_looked_at_before_its_first_update_only_says_nothing():
    first, second = two_lines(0.02, scatter=0.05, count=5)
    unseen = task({0.5: [None]}, watched=0)
    assert fraction_shift(pl.concat([first, unseen]), second, resamples=20) == fraction_shift(first, second, resamples=20)


def test_diverged_runs_of_both_tasks_never_get_there_however_long_the_other_was_watched():
    stopped = task({0.5: [3000, 3300, None], 0.7: [1000, 1100, None]}, watched=3400)
    stopped = stopped.with_columns(status=pl.when(pl.col("generalized_at").is_null()).then(pl.lit("diverged")).otherwise("status"))
    longer = task({0.5: [6000, 6600, None], 0.7: [2000, 2200, None]}, watched=100_000)
    found = fraction_shift(stopped, longer, resamples=20).fraction
    assert found == fraction_shift(stopped.with_columns(steps=100_000, evaluated_at=100_000), longer, resamples=20).fraction
