"""Measures of stored checkpoints: taken once, kept with the run, refused where they do not apply."""

import json
import math
import shutil

import numpy as np
import pytest

from groklab import cli, registry
from groklab.laboratory.runs import train
from groklab.results.files import DamagedError, StoreError
from groklab.results.measures import Measured, file_name
from groklab.stored.drawing import drawn
from groklab.stored.measurements import measure
from groklab.stored.results import landmarks
from groklab.stored.run import load

TINY = dict(operation="addition", modulus=5, width=8, heads=2, layers=1, train_fraction=0.6, steps=30, stop="never")


@pytest.fixture
def run(tmp_path):
    return train(**TINY, checkpoints_per_decade=4, measures=("weight_norm",), runs=tmp_path / "runs")


@pytest.fixture
def parts(own_registry):
    """Measures of this test: one that counts how often it is taken, one of arrays, one that applies to no run but larger ones."""
    taken = []

    @registry.measure(label="largest weight")
    def largest_weight(parameters, task, *, power=1.0):
        """Largest weight to a power (of a test)."""
        taken.append(task.step)
        return float(parameters.flat.abs().max()) ** power

    @registry.measure(label="spectrum", arrays=True)
    def spectrum(parameters, task):
        """Singular values of the embedding (of a test)."""
        return {"values": np.linalg.svd(parameters["embedding"][0].numpy(), compute_uv=False)}

    @registry.measure(label="undefined")
    def undefined(parameters, task):
        """Not a number (of a test)."""
        return {"a": math.nan, "b": 2.0}

    @registry.measure(label="large", check=lambda settings, *, run: [] if run.model.layers > 1 else ["got layers 1; expected at least 2"])
    def large_only(parameters, task):
        """Only of large networks (of a test)."""
        return 1.0

    return taken


def test_a_measure_of_all_checkpoints_is_what_training_recorded(run):
    found = measure(["weight_norm"], run)
    recorded = {row["step"]: row["weight_norm"] for row in run.rows}
    assert [one.step for one in found] == run.folder.steps_of("checkpoints")
    assert len(found) > 3
    assert all(one.values["weight_norm"] == recorded[one.step] for one in found if one.step in recorded)
    assert run.measured.select("step", "weight_norm").rows() == [(one.step, one.values["weight_norm"]) for one in found]


def test_what_is_kept_is_not_taken_again(run, parts):
    measure(["largest_weight"], run, steps=[0])
    measure(["largest_weight", "largest_weight(power=1.0)"], run)
    assert sorted(parts) == run.folder.steps_of("checkpoints")
    measure(["largest_weight(power=2.0)"], run, steps=[0, 30])
    squares = run.measured["largest_weight.power=2.0"].drop_nulls()
    plain = run.measured.filter(run.measured["step"].is_in([0, 30]))["largest_weight"]
    assert squares.to_list() == pytest.approx((plain**2).to_list())


def test_arrays_are_kept_step_by_step(run, parts):
    found = measure(["spectrum"], run, steps=[0, 30])
    kept = Measured(run.folder, registry.canonical_call("measure", "spectrum"))
    assert kept.array_steps() == [0, 30]
    assert all(np.array_equal(kept.arrays(one.step)["values"], one.values["values"]) for one in found)
    assert found[0].to_dict()["arrays"] == {"values": [7 if kept.arrays(0)["values"].shape == (7,) else len(kept.arrays(0)["values"])]}


def test_a_number_that_is_none_is_null(run, parts):
    assert dict(measure(["undefined"], run, steps=[30])[0].values) == {"undefined.a": None, "undefined.b": 2.0}


def test_arrays_are_not_for_the_history(parts):
    with pytest.raises(ValueError, match="this one gives arrays"):
        train(**TINY, measures=("spectrum",), runs="never")


def test_a_measure_that_does_not_apply_says_so_and_names_those_that_do(run, parts):
    with pytest.raises(ValueError, match=r"got layers 1; expected at least 2 .*that apply to addition-5.*weight_norm"):
        measure(["large_only"], run)


def test_a_missing_checkpoint_names_the_nearest(run):
    with pytest.raises(StoreError, match="no checkpoints at step 29; the nearest are at"):
        measure(["weight_norm"], run, steps=[29])


def test_a_checkpoint_of_another_network_is_named(run):
    arrays = run.folder.read_step("checkpoints", 30)[1]
    arrays["output"] = arrays["output"][:, :4]
    run.folder.write_step("checkpoints", 30, arrays)
    with pytest.raises(
        ValueError, match=r"at step 30: these parameters are of another network: output has shape \(5, 4\), expected \(5, 8\)"
    ):
        measure(["weight_norm"], run)


@pytest.mark.parametrize("measure_name", ["weight_norm", "spectral_norms", "matrix_norms"])
def test_a_checkpoint_of_weights_that_are_not_finite_is_refused_by_every_measure(run, measure_name):
    arrays = run.folder.read_step("checkpoints", 30)[1]
    arrays["output"] = arrays["output"].copy()
    arrays["output"][0, :2] = np.nan, np.inf
    run.folder.write_step("checkpoints", 30, arrays)
    with pytest.raises(ValueError, match="at step 30: 2 of its weights are not finite"):
        measure([measure_name], run)


def test_damaged_measurements_are_named(run):
    measure(["weight_norm"], run)
    kept = Measured(run.folder, "weight_norm")
    kept.file.write_text('{"step": 1}\n', encoding="utf-8")
    with pytest.raises(DamagedError, match="line 1 is not a measurement"):
        measure(["weight_norm"], run)


def test_names_of_files():
    assert file_name("weight_norm") == "weight_norm"
    assert file_name("a(frequencies=(1, 2), rule='x')") == "a-frequencies=1,2,rule=x"
    assert file_name("a(parameters='blocks.*')") != file_name("a(parameters='blocks.')")
    assert file_name("a(parameters='blocks.*')").startswith("a-parameters=blocks.-")
    long = file_name(f"a(b='{'x' * 300}')")
    assert len(long) <= 100
    assert long != file_name(f"a(b='{'x' * 301}')")


def test_the_command(run, tmp_path, capsys):
    where = ["--runs", str(tmp_path / "runs")]
    assert cli.main(["measure", "weight_norm", "matrix_norms", "latest", *where]) == 0
    told = capsys.readouterr().out
    assert f"weight_norm of {run.id}" in told
    assert "embedding" in told
    assert cli.main(["measure", "weight_norm", run.id, "--checkpoint", "30", "--json", *where]) == 0
    found = json.loads(capsys.readouterr().out)["measures"]
    assert [(one["run"], one["measure"], one["step"]) for one in found] == [(run.id, "weight_norm", 30)]
    assert found[0]["values"]["weight_norm"] == load(run.id, runs=tmp_path / "runs").rows[-1]["weight_norm"]


def test_what_is_named_twice_is_measured_and_told_once(run, tmp_path, capsys):
    words = ["weight_norm", "weight_norm", "weight_norm()", run.id, "latest", "--runs", str(tmp_path / "runs")]
    assert cli.main(["measure", *words, "--json"]) == 0
    steps = [one["step"] for one in json.loads(capsys.readouterr().out)["measures"]]
    assert steps == run.folder.steps_of("checkpoints")
    assert cli.main(["measure", *words]) == 0
    assert capsys.readouterr().out.count(f"weight_norm of {run.id}") == 1


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (["weight_nrm", "latest"], 2, "Did you mean 'weight_norm'"),
        (["weight_norm"], 2, "RUN: got none"),
        (["weight_norm", "latest", "--checkpoint", "last"], 2, "expected a step, or all"),
        (["weight_norm(x=1)", "latest"], 2, "unknown setting 'x'"),
        (["weight_norm", "latest", "--checkpoint", "7"], 1, "the nearest are at"),
    ],
)
def test_bad_words(run, words, status, told, tmp_path, capsys):
    assert cli.main(["measure", *words, "--runs", str(tmp_path / "runs")]) == status
    assert told in capsys.readouterr().err


@pytest.mark.medium
def test_the_loss_around_a_run_is_measured_where_it_is_drawn(run, tmp_path, capsys):
    words = ["latest", "--runs", str(tmp_path / "runs"), "--output", str(tmp_path / "a.png")]
    assert cli.main(["figure", "loss_surface(count=3)", *words]) == 0
    assert (tmp_path / "a.png").stat().st_size > 5_000
    assert Measured(run.folder, "loss_surface(count=3, radius=0.5)").array_steps() == landmarks(run) == [30]
    titles = [axes.get_title(loc="left") for axes in drawn("loss_surface(count=3, radius=1.0, steps=(30, 0, 30))", [run]).axes[:-1]]
    assert titles == ["step 0", "step 30"]
    assert [axes.get_title(loc="left") for axes in drawn("loss_surface(count=3)", [run], checkpoint=10).axes[:-1]] == ["step 10"]
    capsys.readouterr()
    for call, told in (
        ("loss_surface(count=4)", "count: got 4; expected an odd number"),
        ("loss_surface(radius=-1)", "radius: got -1; expected a finite number above 0"),
        ("loss_surface(steps=7)", "the nearest are at"),
        ("loss_surface(steps='all')", "steps: got 'all'; expected steps of checkpoints"),
        ("loss_surface(size=3)", "unknown setting 'size'"),
    ):
        assert cli.main(["figure", call, *words]) in (1, 2)
        assert told in capsys.readouterr().err


def test_landmarks_are_memorized_and_the_last(run, monkeypatch):
    def at(memorized, generalized):
        rows = [
            {"step": step, "train_accuracy": float(step >= memorized), "validation_accuracy": float(step >= generalized)}
            for step in range(31)
        ]
        monkeypatch.setattr(type(run), "rows", property(lambda self: rows))
        return landmarks(run)

    steps = run.folder.steps_of("checkpoints")
    assert at(2, 20) == [next(step for step in steps if step >= 2), 30]
    assert at(2, 99) == [next(step for step in steps if step >= 2), 30]
    assert at(99, 99) == at(5, 5) == [30]


def test_a_run_without_checkpoints_is_refused_once(run, tmp_path, capsys):
    shutil.rmtree(run.folder.path / "checkpoints")
    for words in (["measure", "sharpness"], ["measure", "hessian_trace", "loss_line"], ["figure", "loss_surface"], ["figure", "spectra"]):
        assert cli.main([*words, "latest", "--runs", str(tmp_path / "runs")]) == 1
        told = capsys.readouterr().err
        assert (
            told
            == f"groklab: {run.id} has no stored checkpoints. Measures are taken of them; copy them into its folder, or remove the run and train it again.\n"
        )


def test_a_measure_of_a_plugin_is_kept_under_the_hash_of_its_source(run, tmp_path, parts):
    found = []
    for factor in (1, 2):
        (tmp_path / "lab.py").write_text(
            'from groklab import measure\n\n@measure()\ndef of_a_plugin(parameters, task, *, power=1.0):\n    """Mine."""\n'
            f"    return {factor}.0 * power\n",
            encoding="utf-8",
        )
        registry.load_plugin(tmp_path / "lab.py")
        found += run.measure("of_a_plugin(power=3.0)", steps=[0])
    assert [one.values for one in found] == [{"of_a_plugin": 3.0}, {"of_a_plugin": 6.0}]
    assert run.measure("of_a_plugin(power=3.0)", steps=[0])[0].values == {"of_a_plugin": 6.0}
