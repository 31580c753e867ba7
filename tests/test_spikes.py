"""Spikes and slingshots that were planted in a history are found, and none where there are none."""

import numpy as np
import polars as pl
import pytest

from groklab.analysis.spikes import slingshots, spikes

STEPS = np.arange(0, 4000, 100)


def history(losses, **columns):
    return pl.DataFrame({"step": STEPS[: len(losses)], "train_loss": losses, **columns})


def falling():
    return 4 * np.exp(-STEPS / 600) + 0.01


def test_a_planted_spike_is_found_where_it_is_as_high_and_as_wide_as_it_is():
    losses = falling()
    losses[25:28] = [0.9, 2.5, 1.1]
    found = spikes(history(losses))
    assert found.height == 1
    spike = found.to_dicts()[0]
    assert (spike["started"], spike["step"], spike["ended"], spike["width"]) == (2500, 2600, 2800, 300)
    assert spike["height"] == 2.5
    assert spike["baseline"] == pytest.approx(np.median(losses[20:25]))
    assert spike["ratio"] == pytest.approx(2.5 / spike["baseline"])


def test_a_monotone_history_has_none():
    assert spikes(history(falling())).is_empty()
    assert spikes(history(np.full(40, 0.2))).is_empty()
    assert spikes(history(falling()[::-1].copy())).is_empty(), "what only rises does not fall again"


def test_several_spikes_do_not_hide_each_other():
    losses = falling()
    for i in (20, 22, 24, 26, 28, 30, 35):
        losses[i] = 3.0
    found = spikes(history(losses))
    assert found["step"].to_list() == [2000, 2200, 2400, 2600, 2800, 3000, 3500]
    assert found["width"].to_list() == [100] * 7


def test_a_change_of_level_is_no_spike_and_spikes_on_the_new_level_are_found():
    losses = np.full(40, 0.01)
    losses[15:] = 1.0
    assert spikes(history(losses)).is_empty()
    losses[30] = 20.0
    assert spikes(history(losses))["step"].to_list() == [3000]


def test_rises_of_what_is_nearly_zero_are_no_spikes():
    losses = np.full(40, 1e-8)
    losses[20], losses[30] = 1e-5, 0.5
    assert spikes(history(losses))["step"].to_list() == [3000]
    assert spikes(history(losses), floor=1e-9)["step"].to_list() == [2000, 3000]
    losses[:] = 0.0
    assert spikes(history(losses)).is_empty()


def test_runs_are_apart_and_unknown_losses_are_left_out():
    losses = falling()
    losses[30] = 2.0
    with_spike, without = history(losses), history(falling())
    both = pl.concat([frame.with_columns(run=pl.lit(name)) for name, frame in (("a", without), ("b", with_spike))])
    found = spikes(both)
    assert found.select("run", "step").rows() == [("b", 3000)]
    assert found.columns[0] == "run"
    unknown = both.with_columns(train_loss=pl.when(pl.col("step") == 3000).then(None).otherwise("train_loss"))
    assert spikes(unknown).is_empty()
    assert spikes(unknown).schema == found.schema


def test_the_factor_and_the_window_count():
    losses = falling()
    losses[30] = 6 * 0.05
    table = history(losses)
    assert spikes(table).height == 1
    assert spikes(table, factor=50.0).is_empty()
    assert spikes(table, window=35).is_empty(), "too few evaluations before it"


def slung(*, growth=0.3, after=0.0):
    """A burst of growth of the norm that ends with a spike, and what follows."""
    losses, logs = falling(), np.full(40, np.log(30.0))
    losses[25] = 3.0
    logs[20:27] += growth * np.linspace(0, 1, 7)
    logs[27:] += growth + after * np.linspace(0, 1, 13)
    return history(losses, weight_norm=np.exp(logs))


def test_a_burst_of_growth_a_spike_and_a_plateau_are_a_slingshot():
    found = slingshots(slung())
    assert found["is_slingshot"].to_list() == [True]
    assert found["growth"].item() == pytest.approx(0.3, abs=0.01)
    assert found["growth_after"].item() == pytest.approx(0.0, abs=0.01)


@pytest.mark.parametrize("table", [slung(growth=-0.3), slung(growth=0.001), slung(growth=0.1, after=0.5)])
def test_without_the_burst_or_without_the_plateau_it_is_only_a_spike(table):
    found = slingshots(table)
    assert found["step"].to_list() == [2500]
    assert found["is_slingshot"].to_list() == [False]


def test_what_follows_the_last_evaluation_is_unknown():
    found = slingshots(slung().head(27))
    assert found["is_slingshot"].to_list() == [None]
    assert found["growth_after"].to_list() == [None]


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"factor": 1.0}, "factor: got 1.0; expected a number above 1"),
        ({"window": 0}, "window: got 0; expected a whole number"),
        ({"window": 2.5}, "window: got 2.5"),
        ({"floor": 0.0}, "floor: got 0.0; expected a positive loss"),
        ({"column": "loss"}, "got no column 'loss'; expected one of step, train_loss"),
    ],
)
def test_settings_out_of_range_are_refused(settings, told):
    with pytest.raises(ValueError, match=told):
        spikes(history(falling()), **settings)


def test_a_norm_that_is_not_there_or_not_positive_is_refused():
    with pytest.raises(ValueError, match=r"got no column 'matrix_norms.output'.*groklab measure"):
        slingshots(slung(), norm="matrix_norms.output")
    with pytest.raises(ValueError, match="weight_norm: got values that are not positive"):
        slingshots(slung().with_columns(weight_norm=0.0))
    with pytest.raises(ValueError, match="least_growth: got -1"):
        slingshots(slung(), least_growth=-1)
