"""Many runs from one: crossed, side by side, each once, and every mistake with the run that has it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from groklab.config.checks import RunError
from groklab.config.run import Run
from groklab.config.sweep import sweep_of


def test_values_are_crossed_and_the_last_axis_varies_fastest():
    runs = sweep_of(operation=["addition", "subtraction"], seed=range(3), weight_decay=[0.0, 1.0], steps=100).runs()
    told = [(run.task.operation, run.seeds.seed, run.training.weight_decay) for run in runs]
    assert told == [(o, s, w) for o in ("addition", "subtraction") for s in range(3) for w in (0.0, 1.0)]
    assert {run.budget.steps for run in runs} == {100}


def test_values_side_by_side():
    runs = sweep_of(zip=("optimizer", "learning_rate"), optimizer=["adam", "muon"], seed=[0, 1], learning_rate=[0.001, 0.02]).runs()
    told = [(run.training.optimizer, run.training.learning_rate, run.seeds.seed) for run in runs]
    assert told == [("adam", 0.001, 0), ("adam", 0.001, 1), ("muon", 0.02, 0), ("muon", 0.02, 1)]


def test_the_same_run_is_there_once():
    assert len(sweep_of(seed=[0, 0, 1]).runs()) == 2
    assert len(sweep_of(weight_decay=[None, 1.0]).runs()) == 1  # AdamW's own decay, written in two ways
    assert [run.id for run in sweep_of().runs()] == [Run().id]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["none", "sam"], [(), ("sam",)]),
        (["grokfast_ema(alpha=0.98)+weight_noise(std=1e-2)"], [("grokfast_ema(alpha=0.98)", "weight_noise(std=1e-2)")]),
        ([(), ("sam", "gradient_noise")], [(), ("sam", "gradient_noise")]),
        ("sam+gradient_noise", [("sam", "gradient_noise")]),
    ],
)
def test_alternatives_of_a_list(given, expected):
    assert [run.training.interventions for run in sweep_of(interventions=given).runs()] == expected


def test_betas_are_pairs():
    assert [run.training.betas for run in sweep_of(betas=["0.9+0.98", (0.9, 0.999)]).runs()] == [(0.9, 0.98), (0.9, 0.999)]
    with pytest.raises(RunError, match="betas: got 0.9; expected 2 values"):
        sweep_of(betas=(0.9, 0.98)).runs()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"seed": []}, "seed: got (); expected at least one value"),
        ({"modulos": [3, 5]}, "modulos: got (3, 5); expected a field of a run. Did you mean 'modulus'"),
        ({"steps": [100, 200]}, "steps: got [100, 200]; expected one value for all runs"),
        ({"zip": ("seed",), "seed": [1, 2]}, "zip: got 'seed'; expected two fields or more"),
        ({"zip": ("seed", "layers"), "seed": [1, 2]}, "zip: got 'layers'; expected fields that the sweep gives values"),
        ({"zip": ("seed", "layers"), "seed": [1, 2], "layers": [1, 2, 3]}, "different lengths (seed has 2, layers has 3)"),
        ({"operation": ["addition", "division"], "modulus": [7, 8]}, "in the run with operation division, modulus 8"),
        ({"learning_rate": [0.1, -1.0]}, "learning_rate: got -1.0; expected a number above 0 (in the run with learning_rate -1.0)"),
    ],
)
def test_mistakes_are_named(fields, message):
    with pytest.raises(RunError) as error:
        sweep_of(**fields).runs()
    assert message in str(error.value)


def test_a_wrong_value_is_told_once():
    with pytest.raises(RunError) as error:
        sweep_of(seed=range(50), learning_rate=[0.1, -1.0]).runs()
    assert len(error.value.problems) == 1


@given(
    st.lists(st.sampled_from(["addition", "subtraction"]), min_size=1, max_size=2, unique=True),
    st.lists(st.integers(0, 9), min_size=1, max_size=4, unique=True),
)
def test_there_are_as_many_runs_as_combinations(operations, seeds):
    assert len(sweep_of(operation=operations, seed=seeds).runs()) == len(operations) * len(seeds)


def test_arrays_hold_alternatives():
    made = sweep_of(seed=np.arange(2), train_fraction=np.array([0.3, 0.5]), betas=np.array([[0.9, 0.99]]))
    assert made.axes == {"seed": (0, 1), "train_fraction": (0.3, 0.5), "betas": ((0.9, 0.99),)}
    assert [type(value) for value in made.axes["train_fraction"]] == [float, float]
    assert len(made.runs()) == 4
    assert len(sweep_of(modulus=[np.int64(7), np.int64(11)]).runs()) == 2


def test_a_text_where_several_are_expected_is_one():
    assert sweep_of(seed=[0, 1], zip="seed").zipped == ("seed",)
