"""The rows of a layer as a table of elements, with their order in the cyclic group or their finite group."""

import shutil

import numpy as np
import pytest

from groklab import cli, registry
from groklab.analysis.elements import elements_table, matrix_of, order_of
from groklab.config.run import Run
from groklab.laboratory.runs import train
from groklab.measures import activations, patterns
from groklab.measures.activations import activations_of, all_pairs
from groklab.measures.patterns import attention_patterns, neuron_maps
from groklab.results.files import StoreError
from groklab.stored.drawing import drawn, filmed
from groklab.stored.measurements import checkpoint_of, measure

TINY = dict(width=8, heads=2, layers=1, train_fraction=0.6, steps=20, stop="never", checkpoints_per_decade=1)


@pytest.fixture
def trained(tmp_path):
    def made(**fields):
        usual = {name: value for name, value in TINY.items() if "architecture" not in fields or name not in ("heads", "width")}
        return train(**usual | fields, runs=tmp_path / "runs")

    return made


def test_the_output_layer_and_the_embedding(trained):
    run = trained(operation="addition", modulus=7)
    arrays = run.folder.read_step("checkpoints")[1]
    output = elements_table(run.folder, run.run)
    assert np.allclose(matrix_of(output), arrays["output"])
    assert output["place"].to_list() == list(range(7))
    assert output["step"].unique().to_list() == [20]
    embedding = elements_table(run.folder, run.run, 0, layer="embedding")
    assert np.allclose(matrix_of(embedding), run.folder.read_step("checkpoints", 0)[1]["embedding"][:7])
    with pytest.raises(ValueError, match="expected output or embedding"):
        elements_table(run.folder, run.run, layer="logits")


def test_multiplication_is_in_the_order_of_powers_and_division_leaves_zero_out(trained):
    run = trained(operation="multiplication", modulus=7)
    table = elements_table(run.folder, run.run)
    assert [table["name"][int(row)] for row in order_of(table)] == ["1", "3", "2", "6", "4", "5"]
    run = trained(operation="division", modulus=7)
    table = elements_table(run.folder, run.run)
    assert table["place"][table["name"].to_list().index("0")] is None
    assert len(order_of(table)) == 6


def test_a_finite_group_has_its_name_and_no_order(trained):
    run = trained(operation="group_product", group="symmetric(3)")
    table = elements_table(run.folder, run.run)
    assert table["group"].unique().to_list() == ["symmetric(3)"]
    assert order_of(table) is None


@pytest.mark.parametrize(
    ("inputs", "fields", "columns"), [("one_hot", {}, 32), ("concatenated", {"width": 8}, 16), ("summed", {"width": 8}, 16)]
)
def test_both_sides_of_an_mlp(trained, inputs, fields, columns):
    run = trained(operation="addition", modulus=5, architecture=f"mlp(inputs='{inputs}')", mlp_width=16, **fields)
    assert matrix_of(elements_table(run.folder, run.run, layer="embedding")).shape == (5, columns)


def test_a_layer_without_a_known_name_is_said(trained):
    run = trained(operation="addition", modulus=5)
    run.folder.write_step("checkpoints", 20, {"other": np.zeros(3)})
    with pytest.raises(StoreError, match="has no output of a known name; it has other"):
        elements_table(run.folder, run.run)


@pytest.mark.medium
def test_every_figure_of_a_run_is_drawn_from_the_command_line(trained, tmp_path):
    run = trained(operation="addition", modulus=7)
    measure(["gini", "restricted_loss"], run)
    for name in (
        "embeddings",
        "number_line(permutations=99)",
        "spectra",
        "neurons",
        "attention",
        "measures",
        "embeddings(layer='embedding')",
    ):
        picture = tmp_path / "a.png"
        assert cli.main(["figure", name, run.id, "--runs", str(tmp_path / "runs"), "--output", str(picture)]) == 0, name
        assert picture.stat().st_size > 5_000
        picture.unlink()
    assert cli.main(["figure", "film", run.id, "--runs", str(tmp_path / "runs")]) == 0
    assert (run.folder.path / "figures" / "film.gif").stat().st_size > 5_000
    assert cli.main(["figure", "film", run.id, run.id, "--runs", str(tmp_path / "runs")]) == 2
    with pytest.raises(ValueError, match="it is a film"):
        drawn("film", [run])
    other = trained(operation="group_product", group="symmetric(3)")
    assert list(filmed("film", other))
    assert drawn("cosets", [other]).axes
    assert drawn("attention", [run], checkpoint=0).axes


def test_maps_are_of_the_pairs_in_their_order(trained):

    run = trained(operation="addition", modulus=5, begin_token=True)
    parameters, task = checkpoint_of(run, 20)
    seen = activations_of(parameters, task, ["blocks.0.attn.hook_pattern", "blocks.0.mlp.hook_post"], all_pairs(task))
    attention = measure(["attention_patterns"], run, steps=[20])[0].values["blocks.0"]
    assert attention.shape == (2, 5, 5, 5)
    assert np.allclose(attention.sum(1), 1, atol=1e-6)
    assert attention[1, 2, 3, 4] == pytest.approx(float(seen["blocks.0.attn.hook_pattern"][3 * 5 + 4, 1, -1, 2]))
    maps = measure(["neuron_maps(count=3)"], run, steps=[20])[0].values
    assert maps["activation"].shape == (3, 5, 5)
    neuron = int(maps["neuron"][0])
    assert maps["activation"][0, 3, 4] == pytest.approx(float(seen["blocks.0.mlp.hook_post"][3 * 5 + 4, -1, neuron]))
    assert list(maps["share"]) == sorted(maps["share"], reverse=True)


def test_maps_are_the_same_in_small_pieces_and_refused_where_they_are_too_large(trained, monkeypatch):
    run = trained(operation="addition", modulus=5)
    names = ["attention_patterns", "neuron_maps"]
    whole = [found.values for found in measure(names, run, steps=[20])]
    monkeypatch.setattr(activations, "PIECE", 7)
    parameters, task = checkpoint_of(run, 20)
    for values, function in zip(whole, (attention_patterns, neuron_maps), strict=True):
        again = function(parameters, task)
        assert again.keys() == values.keys()
        assert all(np.allclose(again[name], values[name], atol=1e-6) for name in values)
        monkeypatch.setattr(patterns, "LARGEST", 30)
        with pytest.raises(ValueError, match=r"got a table of 5 elements and .*too much to keep"):
            function(parameters, task)
        monkeypatch.setattr(patterns, "LARGEST", 10_000)


@pytest.mark.parametrize(
    ("name", "fields", "told"),
    [
        ("attention_patterns", {"architecture": "mlp"}, "has no attention"),
        ("neuron_maps(count=0)", {}, "expected a whole number of neurons"),
    ],
)
def test_where_maps_do_not_apply(trained, name, fields, told):
    run = trained(operation="addition", modulus=5, **fields)
    with pytest.raises(ValueError, match=told):
        measure([name], run)
    assert Run().budget.measures == ("weight_norm",)


# — figures of the ends of many runs —


def test_outliers_of_ones_own_runs_are_told_apart(trained):
    runs = [trained(operation="addition", modulus=7, outliers=count, seed=seed) for count in (0, 4, 8) for seed in (0, 1)]
    figure = drawn("outliers", runs)
    (axes,) = figure.axes
    told = {text.get_text() for text in figure.legends[0].get_texts()}
    assert told == {"validation cells, true answer", "clean training cells", "corrupted cells, as labeled", "corrupted cells, truly"}
    dots = {tuple(line.get_ydata()) for line in axes.lines if line.get_linestyle() == "None"}
    last = [run.rows[-1] for run in runs]
    assert tuple(row["train_accuracy_corrupted"] for row in last[2:]) in dots
    assert tuple(row["train_accuracy"] for row in last[:2]) + tuple(row["train_accuracy_clean"] for row in last[2:]) in dots
    clean = drawn("outliers", runs[:2])
    assert {text.get_text() for text in clean.legends[0].get_texts()} == {"validation cells, true answer", "clean training cells"}


def test_sharpness_of_ones_own_runs_is_measured_where_it_is_not_kept(trained, capsys):
    runs = [trained(operation="addition", modulus=7, seed=seed) for seed in range(3)]
    expected = [measure(["sharpness"], run, steps=[20])[0].values["sharpness"] for run in runs[:2]]
    (axes,) = drawn("sharpness", runs).axes
    (dots,) = axes.lines
    assert list(dots.get_xdata())[:2] == pytest.approx(expected)
    assert list(dots.get_ydata()) == [run.summary.validation_accuracy for run in runs]
    shutil.rmtree(runs[2].folder.path / "measures")
    shutil.rmtree(runs[2].folder.path / "checkpoints")
    with pytest.raises(ValueError, match="of 1 runs none has a sharpness and an accuracy"):
        drawn("sharpness", runs[2:])


def test_experiments_keep_what_their_figures_draw():
    for name, entry in registry.entries("experiment").items():
        drawn_of = registry.look_up("figure", registry.parse_call(entry.facts["figure"]).name).facts
        for kind in ("results", "measures"):
            assert set(drawn_of.get(kind, ())) <= set(entry.facts.get(kind, ())), (name, kind)
