"""An accuracy is written on the side of its run's own threshold on which it lies, wherever people read it."""

import io
import re
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import polars as pl
import pytest
from rich.console import Console

from groklab.analysis.statistics import summarize, thresholds_of
from groklab.commands.complete import verdict_of
from groklab.completion.votes import Evidence
from groklab.config.experiments import settings_of
from groklab.config.run import Run
from groklab.display import notebook
from groklab.display import sweep as sweep_display
from groklab.display.tables import runs_columns, settings_screen, with_thresholds
from groklab.display.terminal import Display
from groklab.laboratory.runs import Progress
from groklab.replication.evidence import thresholds_of as thresholds_of_experiment
from groklab.replication.words import spread_of
from groklab.text.numbers import percent
from groklab.workers.tally import Job, Tally

THRESHOLDS = (0.95, 0.99, 0.999)
near = pytest.mark.parametrize(
    ("threshold", "share"), [(threshold, threshold + off) for threshold in THRESHOLDS for off in (-4e-4, -3e-7, 0.0, 3e-7, 4e-4)]
)


def percentages(text):
    return [float(number) for number in re.findall(r"([\d.]+) %(?! interval)", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text))]


def is_true(text, share, threshold, *, times):
    """Whether a text has so many percentages, all near this share and on its side of the threshold."""
    said = percentages(text)
    return len(said) == times and all(
        (number >= 100 * threshold) == (share >= threshold) and abs(number - 100 * share) < 0.06 for number in said
    )


def evaluation(share, step=7):
    return {
        "step": step,
        "train_accuracy": share,
        "validation_accuracy": share,
        "train_loss": 1.0,
        "validation_loss": 1.0,
        "wall_time": 0.1,
    }


def run_of(threshold):
    return Run.of(modulus=5, width=16, heads=2, layers=1, steps=100, threshold=threshold)


def written(screen):
    stream = io.StringIO()
    Console(file=stream, width=200).print(screen)
    return stream.getvalue()


def runs_with(*rows):
    """A table of runs with these thresholds and accuracies, a setting each."""
    found = [
        {"optimizer": name, "threshold": threshold, "memorized_at": 5, "generalized_at": None, "steps": 100,
         "best_validation_accuracy": share, "validation_accuracy": share}
        for name, threshold, share in rows
    ]  # fmt: skip
    return pl.DataFrame(found, schema_overrides={"generalized_at": pl.Int64})


# — tables of settings —


@near
def test_a_table_of_settings_rounds_by_the_threshold_of_its_runs(threshold, share):
    table = runs_with(("adam", threshold, share))
    rows = with_thresholds(summarize(table, ["optimizer"]).to_dicts(), table)
    assert is_true(written(settings_screen(rows)), share, threshold, times=2)
    assert is_true(written(settings_screen(rows, "generalized_at")), share, threshold, times=2)


def test_each_setting_has_the_thresholds_of_its_own_runs_and_a_setting_of_several_keeps_to_all():
    table = runs_with(("adam", 0.95, 0.9496), ("sgd", 0.99, 0.9496), ("sgd", 0.95, 0.9496), ("muon", 0.99, 0.9496))
    assert thresholds_of(table, ["optimizer"]) == [(0.95,), (0.99, 0.95), (0.99,)]
    told = written(settings_screen(with_thresholds(summarize(table, ["optimizer"]).to_dicts(), table)))
    assert percentages(told) == [94.96, 94.96, 94.96, 94.96, 95.0, 95.0]
    assert thresholds_of(table.drop("threshold"), ["optimizer"]) == [(0.99,)] * 3


def test_what_machines_read_of_settings_has_no_column_more():
    table = runs_with(("adam", 0.95, 0.9496))
    assert "thresholds" not in summarize(table, ["optimizer"]).columns


@near
def test_a_notebook_rounds_a_sweep_s_table_by_the_threshold(threshold, share):
    class Stored:
        table, failed = runs_with(("adam", threshold, share)), {}

        def __len__(self):
            return 1

        def summary(self):
            return summarize(self.table, ["optimizer"])

    body = notebook.sweep_html(Stored()).split("<table")[1].split("</table>")[0]
    assert is_true(body, share, threshold, times=2)


# — reports —


@near
def test_the_table_of_a_report_rounds_by_the_threshold_of_the_setting(threshold, share):
    steps = {f"{name}_{end}": 0 for name in ("memorized_at", "generalized_at") for end in ("reached", "censored")}
    accuracies = {f"best_validation_accuracy{end}": share for end in ("", "_min", "_max")}
    rows = [{"setting": name, "train_fraction": 0.5, "runs": 2, **steps, **accuracies} for name in ("own", "unknown")]
    _, own, unknown = spread_of({"settings": rows}, {"own": {threshold}})
    assert is_true(own[-1], share, threshold, times=3)
    assert is_true(unknown[-1], share, 0.99, times=3)


def test_a_report_knows_the_thresholds_of_its_experiments():
    runs = settings_of("figure1_left", "laptop")
    assert thresholds_of_experiment("figure1_left", "laptop") == {name: {0.99} for name in runs}
    assert {0.95} in thresholds_of_experiment("grokfast_table", "laptop").values()
    assert thresholds_of_experiment("of_a_plugin_that_is_not_here", "laptop") == {}


# — while it is trained —


@near
def test_lines_and_panel_of_a_terminal_round_by_the_threshold(threshold, share):
    progress, stream = Progress(run_of(threshold), 7, evaluation(share), 0, 0.1), io.StringIO()
    with Display(stream) as display:
        display(progress)
    assert is_true(stream.getvalue(), share, threshold, times=2)
    assert is_true(written(display._panel(progress)), share, threshold, times=2)


@near
def test_the_panel_of_a_sweep_rounds_by_the_threshold_of_each_run(threshold, share):
    job = Job(run_of(threshold), "running", step=7, row=evaluation(share))
    assert is_true(written(sweep_display.panel(Tally([job]), 110)), share, threshold, times=2)
    body = notebook.LiveSweep._picture(notebook.LiveSweep.__new__(notebook.LiveSweep), Tally([job]))
    assert is_true(body, share, threshold, times=1)


@near
def test_the_line_of_accuracies_in_a_notebook_rounds_by_the_threshold(threshold, share):
    assert is_true(notebook._accuracies(evaluation(share), threshold), share, threshold, times=2)


@near
def test_a_notebook_s_live_run_rounds_by_the_threshold(threshold, share):
    live = notebook.LiveRun.__new__(notebook.LiveRun)
    live.run, live.rows, live.notes = run_of(threshold), [evaluation(share)], []
    picture = re.sub(r"<svg.*?</svg>", "", live._picture(Progress(live.run, 7, evaluation(share), 0, 0.1)), flags=re.DOTALL)
    assert is_true(picture, share, threshold, times=2)


@near
def test_the_list_of_runs_rounds_by_the_threshold(threshold, share):
    assert is_true(runs_columns()["validation"]({"validation_accuracy": share, "threshold": threshold}), share, threshold, times=1)


# — completing a table —


@pytest.mark.parametrize("required", [0.9, *THRESHOLDS])
@pytest.mark.parametrize("off", [-4, -1, 0, 1, 4])
def test_what_is_promised_of_blanks_is_rounded_by_what_is_asked_for(required, off):
    right = round(10_000 * required) + off
    evidence = Evidence(
        "undecided", 3, ("a", "b"), held_out=10_000, right=right, promised=10_000, promised_right=right, likely=0.9, required=required,
        commonest="0", by_guessing=0.2, reasons=(),
    )  # fmt: skip
    known = SimpleNamespace(known=np.zeros(10_000, dtype=bool))
    said = verdict_of(cast(Any, SimpleNamespace(evidence=evidence, known=known)))
    got, promised, sure, asked = percentages(said)
    assert (got, sure) == (promised, 95.0)
    assert asked == pytest.approx(100 * required, abs=1e-9)
    assert (got >= asked) == (off >= 0)


# — any threshold —


@pytest.mark.parametrize("threshold", [0.3, 1 / 3, 0.5, 0.123456789, 2 / 3, 0.95, 1.0])
@pytest.mark.parametrize("off", [-1e-3, -1e-9, -1e-12, 0.0, 1e-12, 1e-9, 1e-3])
def test_of_any_threshold_a_share_is_told_on_its_side(threshold, off):
    share = threshold + off
    if share <= 1:
        said = float(percent(share, threshold=threshold).removesuffix(" %"))
        assert (said >= 100 * threshold) == (share >= threshold), said
        assert abs(said - 100 * share) <= 0.06
