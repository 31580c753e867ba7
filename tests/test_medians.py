"""One median for the same runs, wherever it is said: table, sweep, legend, figure, dashboard page, report, claim."""

import json
import re

import numpy as np
import polars as pl
import pytest

from groklab.analysis.statistics import sample_of, summarize
from groklab.analysis.survival import middle, shown_median
from groklab.claims.rules import center
from groklab.cli import main
from groklab.figures import curves, style, sweeps
from groklab.replication.words import spread_of


def table_of(generalized, ends, status=None):
    """A table of runs that memorized at once and generalized at these steps, None: not, each looked at until its end."""
    rows = [
        {
            "run": f"r{k}", "id": f"r{k}", "setting": "one", "train_fraction": 0.5, "seed": k, "memorized_at": 1, "generalized_at": at, "steps": end,
            "evaluated_at": end, "validation_accuracy": 1.0 if at else 0.3, "best_validation_accuracy": 1.0 if at else 0.3, "status": of,
        }
        for k, (at, end, of) in enumerate(zip(generalized, ends, status or ["complete"] * len(ends), strict=True))
    ]  # fmt: skip
    return pl.DataFrame(rows, schema_overrides={"generalized_at": pl.Int64}, infer_schema_length=None)


def histories_of(table):
    """Evaluations that fit such a table."""
    rows = []
    for run in table.iter_rows(named=True):
        steps = sorted({1, run["steps"], *([run["generalized_at"]] if run["generalized_at"] else [])})
        for step in steps:
            right = run["generalized_at"] is not None and step >= run["generalized_at"]
            rows.append(
                {"run": run["run"], "group": "one", "step": step, "train_accuracy": 1.0, "validation_accuracy": 1.0 if right else 0.3}
                | {"train_loss": 0.1, "validation_loss": 0.5, "diverged": run["status"] == "diverged"}
            )
    return pl.DataFrame(rows)


def said_by_figure(history):
    drawing = curves.learning_curves(history)
    texts = [text.get_text() for axes in drawing.axes for text in axes.texts] + [text.get_text() for text in drawing.texts]
    found = re.search(r"generalized at ([\d,]+)", " ".join(texts))
    return None if found is None else float(found[1].replace(",", ""))


CASES = {
    "two runs": ([83, 91], [100, 100], None),
    "four runs": ([10, 20, 30, 40], [100] * 4, None),
    "half of four": ([10, 20, None, None], [100] * 4, None),
    "one of three": ([83, None, None], [100, 50, 60], None),
    "one ended before": ([50, 70, None], [100, 100, 20], None),
    "one diverged before": ([50, 70, None], [100, 100, 20], ["complete", "complete", "diverged"]),
    "three of six, watched for different times": ([30, 60, 90, None, None, None], [100, 100, 100, 20, 40, 95], None),
    "none": ([None, None], [100, 100], None),
}


@pytest.mark.parametrize("case", CASES)
def test_table_legend_figure_report_and_claim_give_one_median(case):
    table = table_of(*CASES[case])
    row = summarize(table, by=["setting", "train_fraction"]).to_dicts()[0]
    expected = row["generalized_at_median"]
    assert said_by_figure(histories_of(table)) == expected
    assert center(sample_of(table)).median == expected
    assert shown_median(sample_of(table)) == expected
    lines = sweeps.steps_against(table).axes[0].lines
    line = next(line for line in lines if line.get_linestyle() == "-" and line.get_color() == style.VALIDATION)
    assert np.array_equal(line.get_ydata(), [np.nan if expected is None else expected], equal_nan=True)
    told = spread_of({"settings": [row]})[1][4]
    assert told.startswith(f"{expected:,} (") if expected is not None else told.startswith("(") or told == "none"


def test_random_runs_have_one_median_in_table_and_legend():
    stream = np.random.default_rng(3)
    for _ in range(25):
        count = int(stream.integers(2, 8))
        ends = stream.integers(20, 120, count)
        at = [
            int(step) if step <= end and stream.random() < 0.8 else None
            for step, end in zip(stream.integers(2, 120, count), ends, strict=True)
        ]
        status = ["diverged" if step is None and stream.random() < 0.3 else "complete" for step in at]
        table = table_of(at, [int(end) for end in ends], status)
        assert said_by_figure(histories_of(table)) == summarize(table, by=["setting"])["generalized_at_median"][0], (at, ends, status)


def test_the_middle_of_an_even_number_of_values_is_one_that_occurs():
    assert middle(np.array([0.98, 0.996])) == 0.98
    assert middle(np.array([3.0, 1.0, 2.0])) == 2.0
    table = table_of([83, None], [100, 100])
    assert summarize(table, by=["setting"])["best_validation_accuracy"][0] == 0.3
    steps, values = curves.on_common_steps([{"step": np.array([1.0]), "a": np.array([v])} for v in (0.2, 0.4)], "a")
    assert curves.quantiles(values, (0.0, 0.5, 1.0))[:, 0].tolist() == [0.2, 0.2, 0.4]
    assert steps.tolist() == [1.0]


@pytest.mark.medium
def test_the_commands_give_one_median(tmp_path, monkeypatch, capsys):
    """Two seeds that generalize at different steps: sweep, show --table, its JSON, and the legend of the figure."""
    monkeypatch.chdir(tmp_path)
    flags = ["--operation", "addition", "--modulus", "5", "--width", "16", "--layers", "1", "--train-fraction", "0.8", "--threshold", "0.3"]
    assert main(["sweep", *flags, "--steps", "60", "--seed", "0", "1", "2", "3", "--workers", "1", "--json"]) == 0
    expected = json.loads(capsys.readouterr().out)["settings"][0]["memorized_at_median"]
    assert main(["show", "--table", "--by", "train_fraction", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["settings"][0]["memorized_at_median"] == expected
    from groklab.stored.drawing import drawn
    from groklab.stored.run import StoredRun, stored_runs

    drawing = drawn("learning_curves", [StoredRun(folder, folder.run()) for folder in stored_runs("runs")])
    texts = " ".join(text.get_text() for axes in drawing.axes for text in axes.texts)
    assert f"memorized at {expected:,} (median; 4 of 4" in texts
