"""What a preset or another run says of fields that do not apply to what is asked for yields; what was asked for too is refused."""

import json

import pytest

import groklab as gl
from groklab import registry
from groklab.cli import main
from groklab.config.checks import RunError
from groklab.config.presets import preset_named
from groklab.config.run import Run
from groklab.config.sweep import sweep_of
from groklab.laboratory.checks import check

CELLS = "x,y,z\n" + "".join(f"{x},{y},{(x + 2 * y) % 5}\n" for x in range(5) for y in range(5))
SOURCES = [
    {"group": "symmetric(4)"},
    {"operation": "s5_product"},
    {"file": "table.csv"},
    {"expression": "x*y + 1"},
    {"operation": "subtraction"},
]


@pytest.fixture(autouse=True)
def _in_a_folder_with_a_table(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "table.csv").write_text(CELLS)


@pytest.mark.parametrize("fields", SOURCES, ids=str)
@pytest.mark.parametrize("preset", registry.entries("preset"))
def test_every_preset_can_be_given_another_table(preset, fields):
    run = preset_named(preset).replace(**fields)
    assert not run.problems()
    assert (
        sweep_of(preset_named(preset), **{name: [value] for name, value in fields.items()}, seed=range(2)).runs()[0].id
        == run.replace(seed=0).id
    )


@pytest.mark.parametrize("first", SOURCES, ids=str)
@pytest.mark.parametrize("then", SOURCES, ids=str)
def test_a_table_asked_for_takes_the_place_of_another(first, then):
    start = Run.of(modulus=31, **{"operation": "addition"}).replace(**first)
    found = start.replace(**then)
    assert not found.problems()
    assert found.id == Run.of(**then, **({"modulus": 31} if found.task.modulus else {})).id


def test_a_modulus_that_applies_stays_and_one_that_is_given_beside_a_group_is_refused():
    recipe = preset_named("quick_transformer")
    assert recipe.replace(operation="subtraction").task.modulus == 31
    assert recipe.replace(expression="x + 2*y").task.modulus == 31
    assert "modulus: got 7" in str(*recipe.replace(group="symmetric(4)", modulus=7).problems())
    assert "modulus: got 31" in str(*Run.of(modulus=31, operation="s5_product").problems())
    assert "group: got 'cyclic(5)'" in str(*recipe.replace(group="cyclic(5)", operation="division").problems())


@pytest.mark.parametrize("optimizer", registry.entries("optimizer"))
@pytest.mark.parametrize("preset", registry.entries("preset"))
def test_every_preset_can_be_given_another_optimizer(preset, optimizer):
    assert not preset_named(preset).replace(optimizer=optimizer).problems()


def test_betas_yield_to_an_optimizer_without_any_unless_they_are_given():
    recipe = Run.of(betas=(0.5, 0.9))
    assert recipe.replace(optimizer="lion").training.betas == (0.5, 0.9)
    assert recipe.replace(optimizer="sgd(momentum=0.9)").training.betas == (0.9, 0.98)
    assert "betas" in str(*recipe.replace(optimizer="sgd", betas=(0.5, 0.9)).problems())
    assert "betas" in str(*Run.of(optimizer="sgd", betas=(0.5, 0.9)).problems())


@pytest.mark.parametrize("architecture", ["transformer", "mlp", "mlp(inputs='one_hot')", "mlp(inputs='summed')"])
@pytest.mark.parametrize("preset", registry.entries("preset"))
def test_every_preset_can_be_given_another_network(preset, architecture):
    run = preset_named(preset).replace(architecture=architecture)
    if (preset, architecture) == ("quick_transformer", "mlp(inputs='one_hot')"):  # its optimizer is for matrices between others
        with pytest.raises(RunError, match="a network without hidden matrices"):
            check(run)
    else:
        check(run)


def test_fields_of_a_network_yield_unless_they_are_given():
    assert preset_named("nanda").replace(architecture="mlp").model.norm == Run().model.norm
    assert preset_named("gromov").replace(architecture="transformer").model.initialization == "torch"
    assert preset_named("gromov").replace(architecture="transformer").model.activation == "quadratic"
    told = str(RunError(preset_named("nanda").replace(architecture="mlp", norm="none").problems()))
    assert "got norm 'none'" in told
    assert "positions" not in told
    assert preset_named("nanda").replace(biases=True).model.mlp_biases is False
    assert preset_named("nanda").replace(biases=True, mlp_biases=True).problems()


def test_presets_that_say_what_is_usual_for_their_optimizer_leave_another_its_own():
    assert preset_named("muon").replace(optimizer="adamw").resolved()["learning_rate"] == 0.001
    assert preset_named("power_figure1_left").replace(optimizer="adamw").resolved()["weight_decay"] == 1.0
    assert (preset_named("muon").id, preset_named("power_figure1_left").id) == (
        "division-97-f0.50-s0-3f7acbe0",
        "division-97-f0.50-s0-093a6d64",
    )


def test_what_nobody_knows_is_left_to_the_checks():
    start = preset_named("prieto_orthograd")
    for wrong in (
        {"operation": "nothing"},
        {"operation": 3},
        {"optimizer": "sgd("},
        {"optimizer": None},
        {"architecture": "mlp(inputs=3)"},
        {"architecture": 5},
    ):
        assert start.replace(**wrong).problems()


@pytest.mark.medium
def test_tables_given_beside_a_preset_or_a_stored_run_train(capsys):
    small = ["--layers", "1", "--width", "8", "--mlp-width", "8", "--steps", "3", "--no-figures", "--json"]
    assert gl.train(preset_named("quick_transformer"), group="symmetric(3)", steps=2).id.startswith("group_product-symmetric_3-")
    capsys.readouterr()
    for words in (["--group", "symmetric(3)"], ["--file", "table.csv"], ["--operation", "s5_product", "--train-fraction", "0.01"]):
        assert main(["train", "--preset", "quick_transformer", *words, *small]) == 0, capsys.readouterr().err
        found = json.loads(capsys.readouterr().out)
        other = ["--operation", "addition", "--modulus", "5", "--train-fraction", "0.5"]
        assert main(["train", "--config", f"runs/{found['id']}/run.json", *other, *small]) == 0
        assert json.loads(capsys.readouterr().out)["id"].startswith("addition-5-")
    groups = ["--group", "symmetric(3)", "cyclic(5)"]
    assert main(["sweep", "--preset", "quick_transformer", *groups, *small[:-2], "--json", "--workers", "1"]) == 0
    assert json.loads(capsys.readouterr().out)["count"] == 2
