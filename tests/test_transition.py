"""The fit of the transition: planted ones are recovered within their errors, and none is found where there is none."""

import math

import numpy as np
import polars as pl
import pytest
from scipy.special import erf

from groklab.analysis.transition import Transition, fit_transition, gaps, transitions

LOGARITHMIC = np.unique(np.round(np.geomspace(1, 1e5, 126)))
LINEAR = np.linspace(0, 1e4, 101)
PLANTED = [("log10", LOGARITHMIC, 3.2, 5.0), ("steps", LINEAR, 4000.0, 1 / 700)]


def curve(steps, scale, center, sharpness, amplitude=0.45, offset=0.5):
    x = np.log10(np.maximum(steps, 1e-9)) if scale == "log10" else steps
    return amplitude * erf(sharpness * (x - center)) + offset


@pytest.mark.parametrize(("scale", "steps", "center", "sharpness"), PLANTED)
def test_a_planted_transition_without_noise_is_recovered(scale, steps, center, sharpness):
    y = curve(steps, scale, center, sharpness)
    found = fit_transition(steps, y, scale=scale)
    assert found.found
    assert found.why is None
    assert found.center == pytest.approx(center, rel=1e-5)
    assert found.sharpness == pytest.approx(sharpness, rel=1e-4)
    assert found.step == pytest.approx(10**center if scale == "log10" else center, rel=1e-4)
    assert (found.amplitude, found.offset) == pytest.approx((0.45, 0.5), rel=1e-5)
    assert found.residual < 1e-5
    np.testing.assert_allclose(found.at(steps[1:]), y[1:], atol=1e-5)


@pytest.mark.medium
@pytest.mark.parametrize(("scale", "steps", "center", "sharpness"), PLANTED)
def test_errors_are_those_of_repeated_noise(scale, steps, center, sharpness):
    random, off = np.random.default_rng(0), {"center": [], "sharpness": [], "amplitude": [], "offset": []}
    truth = {"center": center, "sharpness": sharpness, "amplitude": 0.4, "offset": 0.5}
    for _ in range(100):
        y = curve(steps, scale, center, sharpness, amplitude=0.4) + 0.02 * random.normal(size=len(steps))
        found = fit_transition(steps, y, scale=scale)
        assert found.found
        for name in off:
            off[name].append((getattr(found, name) - truth[name]) / getattr(found, f"{name}_error"))
    for name, values in off.items():
        assert abs(np.mean(values)) < 0.4, name
        assert 0.75 < np.std(values) < 1.3, name  # a standard error of 0.07 at 100 repetitions


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("scale", "steps", "center", "sharpness"), PLANTED)
def test_a_noisy_transition_from_chance_to_all_is_recovered_within_its_errors(scale, steps, center, sharpness, seed):
    noise = 0.01 * np.random.default_rng(seed).normal(size=len(steps))
    y = np.clip(curve(steps, scale, center, sharpness, amplitude=0.49, offset=0.505) + noise, 0, 1)
    found = fit_transition(steps, y, scale=scale)
    assert abs(found.center - center) < 4 * found.center_error
    assert abs(found.sharpness - sharpness) < 4 * found.sharpness_error
    assert found.center_error < 0.05 * (center if scale == "steps" else 1)


def test_the_error_of_the_step_is_that_of_its_logarithm():
    y = curve(LOGARITHMIC, "log10", 3.0, 5.0) + 0.01 * np.sin(np.arange(len(LOGARITHMIC)))
    found = fit_transition(LOGARITHMIC, y)
    assert found.step == pytest.approx(10**found.center)
    assert found.step_error == pytest.approx((10 ** (found.center + 1e-6) - 10 ** (found.center - 1e-6)) / 2e-6 * found.center_error)


def test_a_jump_between_two_evaluations_has_a_place_and_no_sharpness():
    steps = np.arange(0.0, 3000, 100)
    found = fit_transition(steps, np.where(steps < 1450, 0.01, 1.0), scale="steps")
    assert 1400 <= found.step <= 1500
    assert found.step_error == pytest.approx(100 / math.sqrt(12))
    assert found.sharpness is None
    assert "between evaluations" in found.why
    with pytest.raises(ValueError, match="no curve to draw: the rise lies between"):
        found.at([1.0])


def test_step_zero_has_no_logarithm_and_order_does_not_matter():
    steps = np.concatenate([[0.0], LOGARITHMIC])
    y = curve(steps, "log10", 3.2, 5.0)
    found = fit_transition(steps, y)
    assert found.evaluations == len(LOGARITHMIC)
    assert fit_transition(steps[::-1], y[::-1]) == found


# — none —


@pytest.mark.parametrize("scale", ["log10", "steps"])
@pytest.mark.parametrize(
    ("accuracy", "why"),
    [
        (np.full(126, 0.01), "flat"),
        (np.linspace(0.01, 0.06, 126), "flat"),
        (np.linspace(0.9, 0.1, 126), "falls"),
    ],
)
def test_flat_and_falling_histories_have_none(scale, accuracy, why):
    steps = LOGARITHMIC
    found = fit_transition(steps, np.interp(np.arange(len(steps)), np.arange(126), accuracy), scale=scale)
    assert not found.found
    assert why in found.why
    assert found == Transition(scale, evaluations=len(steps), why=found.why)


def test_noise_is_no_transition():
    random = np.random.default_rng(1)
    for _ in range(60):
        steps = np.unique(np.round(np.geomspace(1, 1e4, random.integers(6, 100))))
        accuracy = np.clip(0.4 + 0.15 * random.normal(size=len(steps)), 0, 1)
        found = fit_transition(steps, accuracy)
        assert not found.found, (len(steps), found)


def test_a_rise_that_is_not_finished_is_none():
    y = curve(LOGARITHMIC, "log10", 4.6, 2.0, amplitude=0.5, offset=0.5)
    found = fit_transition(LOGARITHMIC, y)
    assert not found.found
    assert "not finished" in found.why


def test_too_few_evaluations_are_none():
    found = fit_transition([1, 10, 100], [0, 0.5, 1])
    assert found.why == "got 3 evaluations; a fit needs 6 or more"
    assert fit_transition([], []).evaluations == 0


# — many runs —


def histories():
    def rows(name, train, validation):
        return pl.DataFrame({"run": name, "step": LOGARITHMIC.astype(int), "train_accuracy": train, "validation_accuracy": validation})

    memorizes = curve(LOGARITHMIC, "log10", 2.0, 6.0)
    return pl.concat(
        [
            rows("groks", memorizes, curve(LOGARITHMIC, "log10", 3.5, 8.0)),
            rows("never", memorizes, np.full(len(LOGARITHMIC), 0.01)),
        ]
    )


def test_many_runs_are_a_row_each_with_their_gaps():
    table = transitions(histories())
    groks, never = table.to_dicts()
    assert (groks["run"], never["run"]) == ("groks", "never")
    assert groks["train_step"] == pytest.approx(100, rel=1e-3)
    assert groks["validation_sharpness"] == pytest.approx(8, rel=1e-3)
    assert groks["gap"] == pytest.approx(1.5, abs=1e-4)
    assert groks["relative_gap"] == pytest.approx(10**1.5 - 1, rel=1e-3)
    assert never["train_step"] == pytest.approx(100, rel=1e-3)
    assert never["validation_step"] is never["relative_gap"] is never["gap"] is None
    assert never["validation_why"].startswith("flat")
    assert table["validation_why"].to_list()[0] is None


def test_the_scale_of_steps_is_named_and_one_run_needs_no_name():
    one = histories().filter(run="groks").drop("run")
    table = transitions(one, scale="steps")
    assert table["scale"].to_list() == ["steps"]
    assert "run" not in table.columns
    assert table["validation_center"].item() == table["validation_step"].item()
    assert transitions(histories().clear()).is_empty()


def test_unknown_accuracies_are_left_out():
    table = histories().with_columns(validation_accuracy=pl.when(pl.col("step") % 2 == 0).then(None).otherwise("validation_accuracy"))
    found = transitions(table).row(0, named=True)
    assert found["validation_evaluations"] < found["train_evaluations"]
    assert found["gap"] == pytest.approx(1.5, abs=1e-3)


def test_no_gap_without_both():
    here = Transition("log10", step=100.0)
    assert gaps(here, Transition("log10")) == (None, None)
    assert gaps(here, Transition("log10", step=1000.0)) == pytest.approx((9.0, 1.0))


@pytest.mark.parametrize(
    ("steps", "accuracy", "settings", "told"),
    [
        ([1, 2], [0.1], {}, "expected one accuracy for each step"),
        ([1, -2], [0.1, 0.2], {}, "steps: got values that are negative"),
        ([1, 2], [10, 90], {}, "expected shares, not percentages"),
        ([1, 2], [0.1, math.nan], {}, "accuracy: got values outside"),
        ([1, 2], [0.1, 0.2], {"scale": "ln"}, "scale: got 'ln'; expected log10 or steps"),
        ([1, 2], [0.1, 0.2], {"least_rise": 0}, "least_rise: got 0"),
    ],
)
def test_what_is_no_history_is_refused(steps, accuracy, settings, told):
    with pytest.raises(ValueError, match=told):
        fit_transition(steps, accuracy, **settings)


def test_a_missing_column_is_named():
    with pytest.raises(ValueError, match="got no column 'validation_accuracy'; expected step, train_accuracy, validation_accuracy"):
        transitions(histories().drop("validation_accuracy"))
