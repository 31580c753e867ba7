"""Experiments ask for the runs that they promise; replicating one trains what is missing, and draws and keeps what is there."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from benchmarks.yardstick import yardsticks
from groklab import cli, registry
from groklab.config import experiments
from groklab.config.power_experiments import OPERATIONS
from groklab.config.run import Run
from groklab.laboratory.checks import check
from groklab.laboratory.runs import train
from groklab.replication import replication as replicating
from groklab.replication.scorecard import SECONDS_A_STEP
from groklab.stored.drawing import drawn
from groklab.stored.run import load

NAMES = list(registry.entries("experiment"))


@pytest.mark.parametrize("scale", experiments.SCALES)
@pytest.mark.parametrize("name", NAMES)
def test_every_run_of_an_experiment_can_be_trained(name, scale):
    settings = experiments.settings_of(name, scale)
    for runs in settings.values():
        assert runs
        for run in (runs[0], runs[-1]):
            check(run)
    assert replicating.axis_of(name) in Run().flat()


@pytest.mark.parametrize("name", NAMES)
def test_scales_grow_and_the_docstring_tells_command_and_cost(name):
    by_scale = [
        experiments.once_each(run for runs in experiments.settings_of(name, scale).values() for run in runs) for scale in experiments.SCALES
    ]
    steps = [sum(run.budget.steps for run in runs) for runs in by_scale]
    assert steps == sorted(steps)
    assert steps[0] <= 1500
    told = " ".join(registry.entries("experiment")[name].function.__doc__.split())
    assert f"groklab replicate {name}" in told
    laptop = re.search(r"Cost: laptop at most ([\d.]+) core hours?", told)
    paper = re.search(r"paper at most ([\d.]+)|paper the same", told)
    for found, runs in ((laptop, by_scale[1]), (paper if paper[1] else laptop, by_scale[2])):
        hours = sum(map(experiments.price, runs)) * SECONDS_A_STEP / 3600
        assert hours <= float(found[1]) <= 1.3 * hours + 0.2


def test_the_paper_is_asked_as_it_was():
    left = experiments.settings_of("figure2_left", "paper")
    assert len(left) == 9
    assert {run.budget.steps for runs in left.values() for run in runs} == {100_000}
    decays = {label: runs[0].resolved()["weight_decay"] for label, runs in left.items()}
    assert [label for label, decay in decays.items() if decay] == ["AdamW, decay 1"]
    assert left["Adam, full batch, noise"][0].training.interventions == ("update_noise(std=1.0)",)
    right = experiments.settings_of("figure2_right", "paper")
    assert set(OPERATIONS) | {"x · y"} == set(right)
    assert {run.task.train_fraction for run in right["x³ + xy² + y"]} >= {0.05, 0.5, 0.95}


def test_what_is_decided_at_the_lowest_cost_is_trained_first():
    cheap, shared, dear = (Run.of(operation="addition", modulus=5, seed=seed, steps=steps) for seed, steps in ((3, 10), (2, 50), (1, 1000)))
    rest = Run.of(operation="addition", modulus=5, seed=0, steps=5)
    order = experiments.cheapest_decision_first([[dear], [shared, dear.replace(steps=900)], [cheap]], [rest, shared])
    assert [run.seeds.seed for run in order] == [3, 1, 2, 0]
    assert order[1].budget.steps == 1000
    free = experiments.cheapest_decision_first([[dear], [shared], [cheap]], [rest], free={dear.id})
    assert [run.seeds.seed for run in free] == [1, 3, 2, 0]


def test_a_run_that_is_asked_for_twice_is_trained_as_far_as_both_say():
    run = Run.of(operation="addition", modulus=5, steps=100, stop="memorized", checkpoints_per_decade=0)
    once = experiments.once_each([run, run.replace(steps=50, stop="generalized(confirmations=1)"), run.replace(seed=1)])
    assert [(r.seeds.seed, r.budget.steps, r.budget.stop) for r in once] == [
        (0, 100, "generalized(confirmations=1)"),
        (1, 100, "memorized"),
    ]

    other = run.replace(threshold=0.95, evaluations_per_decade=50)
    for pair in ([run, other], [other, run]):
        (both,) = experiments.once_each(pair)
        assert (both.budget.threshold, both.budget.evaluations_per_decade) == (0.99, 50)


def runs_in(*names, scale):
    """The runs of several experiments once each."""
    return experiments.once_each(run for name in names for runs in experiments.settings_of(name, scale).values() for run in runs)


def test_runs_of_two_experiments_are_trained_once():
    runs = runs_in("figure2_left", "figure1_center", scale="laptop")
    assert len({run.id for run in runs}) == len(runs)
    shared = Run.of(operation="s5_product", train_fraction=0.5)
    assert next(run for run in runs if run.id == shared.id).budget.steps == 50_000, "the longer of two budgets"


@pytest.mark.medium
def test_replicating_everything_draws_every_figure_and_then_trains_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["replicate", "all", "--workers", "1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["experiments"]
    assert sorted(part["experiment"] for part in found) == NAMES
    assert found[0]["experiment"] == "figure1_center", "the paper's figures come first"
    for part in found:
        assert part["stored"] == part["runs"]
        assert [Path(file).suffix for file in part["files"]][:3] == [".png", ".csv", ".parquet"], part
        assert all(Path(file).stat().st_size > 500 for file in part["files"])
        assert pl.read_parquet(part["files"][2])["id"].n_unique() == part["runs"]
        replicating.draw(part["experiment"], pl.read_parquet(part["files"][-1]), tmp_path / "again.png")
        assert (tmp_path / "again.png").read_bytes() == Path(part["files"][0]).read_bytes(), "the kept table is all that the figure needs"
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "runs").rglob("history.jsonl")}
    monkeypatch.setattr(replicating, "draw", lambda *given: None)  # as it was drawn twice above
    assert cli.main(["replicate", "all", "--json"]) == 0
    assert {file: file.stat().st_mtime_ns for file in before} == before


@pytest.mark.slow
@pytest.mark.alone
def test_smoke_takes_at_most_fifteen_seconds(tmp_path):
    """As a user starts it, with its processes; the slowest of the experiments. Fifteen seconds are thirty of two cores."""
    command = [sys.executable, "-m", "groklab", "replicate", "figure2_right", "--scale", "smoke"]
    told = []
    spent = yardsticks(
        lambda: told.append(subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, encoding="utf-8")), rounds=1
    )
    assert "24 of 24 runs are there" in told[0].stdout
    assert spent < 300


PLUGIN = '''
from groklab import experiment
from groklab.config.run import Run

@experiment(figure="steps_against(x='width')", source="mine")
def my_widths(scale):
    """How long two widths take on a small table (mine)."""
    made = [Run.of(operation="addition", modulus=5, layers=1, heads=2, width=w, steps=s, train_fraction=0.6) for w, s in ((8, 30), (16, 20))]
    return {"x + y": made}
'''


def test_a_plugins_experiment_within_its_budgets(tmp_path, capsys, own_registry):
    plugin = tmp_path / "my_lab.py"
    plugin.write_text(PLUGIN, encoding="utf-8")
    registry.load_plugin(plugin)
    longer = experiments.settings_of("my_widths", "smoke")["x + y"][0].replace(steps=60)
    train(longer, runs=tmp_path / "runs")
    words = ["--plugin", str(plugin), "--runs", str(tmp_path / "runs"), "--output", str(tmp_path / "out"), "--json"]
    assert cli.main(["replicate", "my_widths", "--no-train", *words]) == 0
    part = json.loads(capsys.readouterr().out)["experiments"][0]
    assert (part["stored"], part["runs"]) == (1, 2)
    assert cli.main(["replicate", "my_widths", "--workers", "1", *words]) == 0
    capsys.readouterr()
    table = pl.read_parquet(tmp_path / "out" / "my_widths.parquet")
    assert table.select("width", "steps").rows() == [(8, 30), (16, 20)], "the longer training is reported up to what was asked"
    assert set(table.columns) >= {"setting", "seed", "memorized_at", "generalized_at", "modulus"}
    assert "norm" not in table.columns, "what is as always is left out"
    (tmp_path / "out" / "my_widths.png").unlink()
    summary = pl.read_csv(tmp_path / "out" / "my_widths.csv")
    assert summary["runs"].to_list() == [1, 1]


def test_nothing_stored_is_said_and_nothing_is_drawn(tmp_path, capsys):
    words = ["--no-train", "--runs", str(tmp_path / "runs"), "--output", str(tmp_path / "out")]
    assert cli.main(["replicate", "width_sweep", *words]) == 0
    assert "0 of 4 runs are there" in capsys.readouterr().out
    assert not list((tmp_path / "out").glob("width_sweep*")), "a report that says so is all there is"


def test_sharpness_asks_for_networks_that_other_experiments_train():
    for scale in experiments.SCALES:
        trained = {run.id: run for run in runs_in("figure2_left", "figure1_center", scale=scale)}
        for run in runs_in("sharpness", scale=scale):
            assert run.budget.steps == trained[run.id].budget.steps, "its last checkpoint is the one that is there"


@pytest.mark.medium
def test_runs_whose_last_checkpoint_is_missing_are_left_out_and_named(tmp_path, capsys):
    """One without checkpoints, as where only histories were kept, one with a damaged one, one trained further than is asked."""
    words = ["replicate", "sharpness", "--runs", str(tmp_path / "runs"), "--output", str(tmp_path / "out"), "--json"]
    first, second, third, *rest = sorted(runs_in("sharpness", scale="smoke"), key=lambda run: run.seeds.seed)
    assert cli.main([*words, "--workers", "1"]) == 0
    (part,) = json.loads(capsys.readouterr().out)["experiments"]
    assert (part["notes"], len(part["files"])) == ([], 3)
    whole = pl.read_parquet(tmp_path / "out" / "sharpness.parquet")
    assert whole["sharpness"].null_count() == 0
    shutil.rmtree(tmp_path / "runs" / first.id / "checkpoints")
    for run in (first, second, third):
        shutil.rmtree(tmp_path / "runs" / run.id / "measures")
    damaged = max((tmp_path / "runs" / second.id / "checkpoints").iterdir())
    damaged.write_bytes(damaged.read_bytes()[:-9])
    max((tmp_path / "runs" / third.id / "checkpoints").iterdir()).unlink()
    assert cli.main(words) == 0
    told = capsys.readouterr()
    (part,) = json.loads(told.out)["experiments"]
    assert f"sharpness: unknown for 3 of {len(rest) + 3} runs" in part["notes"][0]
    assert all(run.id in part["notes"][0] for run in (first, second, third))
    assert "is damaged" in told.err
    table = pl.read_parquet(tmp_path / "out" / "sharpness.parquet")
    assert set(table.filter(table["sharpness"].is_null())["id"]) == {first.id, second.id, third.id}
    kept = ~table["id"].is_in([first.id, second.id, third.id])
    assert table.filter(kept).equals(whole.filter(kept))
    for run in rest:
        shutil.rmtree(tmp_path / "runs" / run.id / "measures")
        shutil.rmtree(tmp_path / "runs" / run.id / "checkpoints")
    assert cli.main(words[:-1]) == 0
    assert "has a sharpness and an accuracy; expected at least one whose last checkpoint is stored" in capsys.readouterr().out


def test_a_dry_run_counts_and_trains_nothing(tmp_path, capsys):
    assert cli.main(["replicate", "width_sweep", "--dry-run", "--runs", str(tmp_path / "runs"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["runs"], found["stored"]) == (4, 0)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["replicate"], "NAME: got none"),
        (["replicate", "figure1_centre"], "Did you mean 'figure1_center'"),
        (["replicate", "width_sweep", "--workers", "0"], "expected a number of processes"),
    ],
)
def test_bad_words_are_answered(words, told, tmp_path, capsys):
    assert cli.main([*words, "--runs", str(tmp_path / "runs")]) == 2
    assert told in capsys.readouterr().err


def test_an_unknown_scale_is_refused():
    with pytest.raises(ValueError, match="expected one of smoke, laptop, paper"):
        experiments.settings_of("width_sweep", "poster")


def test_stored_runs_are_drawn_against_a_field(tmp_path):
    for width in (8, 16):
        train(operation="addition", modulus=5, layers=1, heads=2, width=width, steps=20, runs=tmp_path)
    chosen = [load(folder.name, runs=tmp_path) for folder in sorted(tmp_path.iterdir())]
    assert drawn("losses_against(x='width')", chosen).axes[0].lines
    assert drawn("steps_against(x='width')", chosen).axes
    with pytest.raises(ValueError, match="unknown setting 'y'"):
        drawn("steps_against(y='width')", chosen)
    with pytest.raises(ValueError, match="--checkpoint: got 20"):
        drawn("steps_against", chosen, checkpoint=20)
    picture = tmp_path / "a.png"
    assert (
        cli.main(["figure", "steps_against(x='width')", *(run.id for run in chosen), "--runs", str(tmp_path), "--output", str(picture)])
        == 0
    )
    assert picture.stat().st_size > 5_000
