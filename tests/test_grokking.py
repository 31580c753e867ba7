"""Real trainings on the cheapest task that groks: what the laboratory is for."""

import pytest

import groklab as gl
from groklab.cli import main
from groklab.config.presets import preset_named

pytestmark = pytest.mark.slow

CHEAP = dict(operation="addition", modulus=31, train_fraction=0.6, layers=1, width=64, learning_rate=0.003)
"""Most seeds generalize between 1,500 and 5,000 updates; rounding alone moves a seed by that much, so that the budget is generous."""


@pytest.mark.parametrize("seed", [0, 1])
def test_a_network_memorizes_first_and_understands_much_later(tmp_path, seed):
    run = gl.train(runs=tmp_path, seed=seed, steps=30_000, **CHEAP)
    assert run.status == "complete"
    assert run.summary.memorized_at < 500
    assert run.summary.delay > 3
    assert run.summary.validation_accuracy >= 0.99
    norms = run.history["weight_norm"]
    assert norms[-1] < norms.max(), "decay shrinks the weights as generalization comes"
    cells = run.answers()
    assert cells.filter(split="validation").select((cells["answer"] == cells["z"]).mean()).item() >= 0.99


def test_without_decay_the_same_budget_is_not_enough(tmp_path):
    run = gl.train(runs=tmp_path, optimizer="adam", weight_decay=0.0, steps=6_000, **CHEAP)
    assert run.summary.memorized_at < 1000
    assert run.summary.generalized_at is None
    assert run.summary.steps == 6_000


def test_orthograd_generalizes_in_hundreds_of_updates(tmp_path):
    run = gl.train(preset_named("prieto_orthograd"), runs=tmp_path)
    assert run.summary.generalized_at <= 500


def test_the_command_line_says_that_it_grokked_and_leaves_a_picture(tmp_path, capsys):
    words = [
        "--operation",
        "addition",
        "--modulus",
        "31",
        "--train-fraction",
        "0.6",
        "--layers",
        "1",
        "--width",
        "64",
        "--learning-rate",
        "0.003",
    ]
    picture = tmp_path / "curves.png"
    assert main(["train", *words, "--runs", str(tmp_path / "runs"), "--picture", str(picture)]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[-1].startswith("grokked: memorized at step ")
    assert "times later)" in told[-1]
    assert picture.stat().st_size > 20_000
