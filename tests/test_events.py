"""What happened in a history: transitions and spikes as facts, in words, on the command line and in the figure."""

import json
import math

import numpy as np
import polars as pl
import pytest
from matplotlib.text import Text
from scipy.special import erf

from groklab import cli
from groklab.analysis.events import events_of, told_events, told_spikes
from groklab.figures.transitions import transition
from groklab.laboratory.runs import train

STEPS = np.array(sorted({0, *(round(10 ** (k / 25)) for k in range(101))}), dtype=float)


def rise(center, sharpness, low=0.0, high=1.0):
    with np.errstate(divide="ignore"):
        x = np.where(STEPS > 0, np.log10(np.maximum(STEPS, 0.5)), -1)
    return np.clip(low + (high - low) * (1 + erf(sharpness * (x - math.log10(center)))) / 2, 0, 1)


def history(*, spikes=(), **columns):
    """A run that memorizes at 200 and generalizes at 3,000 steps, with spikes of the training loss at some evaluations."""
    loss = np.full(len(STEPS), 0.1)
    for place in spikes:
        loss[place] = 3.0
    planted = {"train_accuracy": rise(200, 4.0), "validation_accuracy": rise(3000, 8.0), "train_loss": loss, "validation_loss": loss}
    return pl.DataFrame({"step": STEPS.astype(int)} | planted | columns)


def said(figure):
    return " | ".join(text.get_text() for text in figure.findobj(Text)).replace("\n", " ")


def test_planted_transitions_and_spikes_are_told():
    found = events_of(history(spikes=(60, 61, 80)))
    assert (found.train.step, found.train.sharpness) == (pytest.approx(200, rel=1e-3), pytest.approx(4, rel=1e-2))
    assert (found.validation.step, found.validation.sharpness) == (pytest.approx(3000, rel=1e-3), pytest.approx(8, rel=1e-2))
    assert found.gaps.relative_gap == pytest.approx(14, rel=1e-2)
    assert found.unmirrored is None
    assert found.spikes["step"].to_list() == [int(STEPS[60]), int(STEPS[80])]
    told = told_events(found)
    assert list(told) == ["train rises", "validation rises", "gap", "spikes"]
    assert told["train rises"].startswith("t* = 200")
    assert "per decade" in told["validation rises"]
    assert told["gap"] == "t* of validation is 15.00 times that of train (+1.18 decades)"
    assert told["spikes"] == f"2 spikes of the training loss, at steps {int(STEPS[60]):,}, {int(STEPS[80]):,}"


def test_on_the_scale_of_steps_the_sharpness_is_per_step():
    found = events_of(history(), scale="steps")
    assert found.validation.sharpness < 0.1
    assert told_events(found)["validation rises"].endswith("per step")


def test_mirror_images_are_told_apart_where_there_are_some():
    twice = (rise(300, 5.0) + rise(3000, 8.0)) / 2
    mirrored = history(validation_accuracy=twice, validation_accuracy_unmirrored=rise(3000, 8.0))
    found = events_of(mirrored)
    assert found.unmirrored.step == pytest.approx(3000, rel=1e-3)
    assert "unmirrored rises" in told_events(found)
    near = history(validation_accuracy_unmirrored=np.clip(rise(3000, 8.0) + 0.02 * np.sin(STEPS), 0, 1))
    assert events_of(near).unmirrored.step == pytest.approx(3000, rel=0.02)
    assert "unmirrored rises" not in told_events(events_of(near)), "nothing new"
    same = history(validation_accuracy_unmirrored=rise(3000, 8.0))
    assert events_of(same).unmirrored is None
    assert events_of(history(validation_accuracy_unmirrored=pl.Series([None] * len(STEPS), dtype=pl.Float64))).unmirrored is None


def test_a_norm_tells_slingshots_the_output_layer_first():
    growing = np.where(np.arange(len(STEPS)) < 60, 1.0, 2.0)
    plain = events_of(history(spikes=(60,), weight_norm=np.ones(len(STEPS))))
    slung = events_of(history(spikes=(60,), weight_norm=np.ones(len(STEPS)), **{"matrix_norms.output": growing}))
    assert told_spikes(plain.spikes).endswith("none of them a slingshot")
    assert told_spikes(slung.spikes).endswith(f"1 slingshot, at step {int(STEPS[60]):,}")
    assert "growth" not in events_of(history(spikes=(60,), weight_norm=np.zeros(len(STEPS)))).spikes.columns, "no norm of a network"


def test_many_spikes_are_counted_and_the_first_named():
    found = events_of(history(spikes=range(20, 80, 10)))
    assert told_spikes(found.spikes).startswith("6 spikes of the training loss, at steps ")
    assert told_spikes(found.spikes).endswith(", …")
    assert told_spikes(found.spikes.head(0)) == "no spikes of the training loss"


def test_facts_are_json_and_a_missing_column_is_named():
    nothing = events_of(history().head(1)).to_dict()
    assert "got 0 evaluations" in nothing["transitions"]["train"]["why"]
    whole = events_of(history(spikes=(60,))).to_dict()
    assert json.loads(json.dumps(whole, allow_nan=False)) == whole
    with pytest.raises(ValueError, match="got no column 'validation_accuracy'"):
        events_of(history().drop("validation_accuracy"))


# — the figure —


def test_the_figure_draws_fits_and_marks_spikes():
    drawn = transition(history(spikes=(60,)).with_columns(run=pl.lit("a")))
    loss, accuracy = drawn.axes
    assert "train: t* = 200" in said(drawn)
    assert "validation: t* = 3,000" in said(drawn)
    centers = sorted({float(line.get_xdata()[0]) for line in accuracy.lines if line.get_ls() == "--"})
    assert centers == pytest.approx([200, 3000], rel=1e-3)
    marks = [line for line in loss.lines if line.get_marker() == "v"]
    assert marks[0].get_xydata().tolist() == [[int(STEPS[60]), 3.0]]
    curve = next(line for line in accuracy.lines if len(line.get_xdata()) > 500)
    assert np.interp(200, *curve.get_data()) == pytest.approx(0.5, abs=1e-2)


def test_the_figure_of_symmetric_operations_leaves_mirror_images_out_where_all_make_no_transition():
    late = history(validation_accuracy=rise(300, 5.0, high=0.08), validation_accuracy_unmirrored=rise(3000, 8.0)).with_columns(
        run=pl.lit("a")
    )
    assert "validation, unmirrored: t* = 3,000" in said(transition(late))
    both = late.with_columns(validation_accuracy=pl.Series(rise(2000, 6.0)))
    assert "validation: t* = 2,000" in said(transition(both))


def test_several_runs_have_their_numbers_below_each_other_and_nine_are_too_many():
    both = pl.concat([history().with_columns(run=pl.lit(name)) for name in ("first-run", "second-run")])
    told = said(transition(both))
    assert told.count("validation: t* = 3,000") == 2
    assert "first-run" in told
    with pytest.raises(ValueError, match="got 9 runs; expected at most 8"):
        transition(pl.concat([history().with_columns(run=pl.lit(str(k))) for k in range(9)]))
    with pytest.raises(ValueError, match="scale: got 'log'; expected log10 or steps"):
        transition(both, scale="log")
    with pytest.raises(ValueError, match="factor: got 1.0; expected a number above 1"):
        transition(both, factor=1.0)


# — show —


def test_show_tells_what_happened(tmp_path, capsys):
    tiny = dict(operation="addition", modulus=5, width=8, heads=2, layers=1, train_fraction=0.6)
    train(**tiny, steps=30, runs=tmp_path)
    assert cli.main(["show", "latest", "--runs", str(tmp_path)]) == 0
    told = capsys.readouterr().out
    assert "validation rises" in told
    assert "spikes" in told
    assert cli.main(["show", "latest", "--runs", str(tmp_path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found["transitions"]) == {"train", "validation", "unmirrored", "relative_gap", "gap"}
    assert isinstance(found["spikes"], list)
    train(**tiny, steps=1, seed=1, runs=tmp_path)
    assert cli.main(["show", "latest", "--runs", str(tmp_path)]) == 0
    assert "no transition: got 1 evaluations" in capsys.readouterr().out
