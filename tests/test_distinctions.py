"""What differs between runs is shown, also where it was not asked for: the decay and the rate of an optimizer."""

from types import SimpleNamespace

import polars as pl
import pytest

import groklab as gl
from groklab.analysis.distinctions import alongside, following, labels_of, table_of_values, told_following
from groklab.config.run import Run
from groklab.dashboard.address import Address
from groklab.dashboard.catalog import Catalog
from groklab.dashboard.controls import setting_name
from groklab.stored.tables import history_of, results_table

USUAL = {"adamw": ("0.001", "1.0"), "adam": ("0.001", "0.0"), "sgd": ("0.1", "0.0")}


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    return gl.sweep(
        operation="addition", modulus=5, width=8, heads=1, layers=1, steps=2, optimizer=list(USUAL), train_fraction=[0.5, 0.7],
        runs=tmp_path_factory.mktemp("runs"), workers=1,
    )  # fmt: skip


def settings(*runs: Run) -> pl.DataFrame:
    return table_of_values(run.resolved() for run in runs)


def test_what_has_one_value_for_each_setting_follows_it():
    table = pl.DataFrame({"optimizer": ["adam", "adamw"], "weight_decay": [0.0, 1.0], "betas": ["a", "b"], "width": [8, 8]})
    assert alongside(table, ["optimizer"]) == ["optimizer", "weight_decay", "betas"]
    assert alongside(table, ["optimizer", "weight_decay"]) == ["optimizer", "weight_decay", "betas"]
    assert alongside(table, []) == []
    mixed = pl.concat([table, table.with_columns(betas=pl.lit("c"))])
    assert following(mixed, ["optimizer"]) == ["weight_decay"], "the others differ within an optimizer"
    assert told_following(mixed, "optimizer", ("adamw", "adam")) == "weight_decay 1 against 0"
    assert told_following(mixed, "optimizer", ("adam",)) is None


def test_labels_tell_the_decay_of_an_optimizer_and_of_the_baseline():
    assert labels_of(settings(Run.of(), Run.of(seed=1))) == ["", ""]
    assert labels_of(settings(Run.of(), Run.of(optimizer="adam"))) == ["adamw (decay 1)", "adam (decay 0)"]
    assert labels_of(settings(Run.of(), Run.of(optimizer="adam", weight_decay=1.0))) == ["optimizer adamw", "optimizer adam"]
    assert labels_of(settings(Run.of(), Run.of(optimizer="sgd"))) == ["adamw (decay 1, rate 0.001)", "sgd (decay 0, rate 0.1)"]
    assert labels_of(settings(Run.of(), Run.of(width=64))) == ["width 128 (mlp_width 512)", "width 64 (mlp_width 256)"]
    assert labels_of(settings(Run.of(), Run.of(optimizer="adam"), Run.of(train_fraction=0.3), Run.of())) == [
        "baseline: adamw (decay 1)", "adam (decay 0)", "train_fraction 0.3", "baseline: adamw (decay 1)",
    ]  # fmt: skip
    assert labels_of(settings(Run.of(), Run.of(heads=2), Run.of(train_fraction=0.3), Run.of())) == [
        "baseline", "heads 2", "train_fraction 0.3", "baseline",
    ]  # fmt: skip


def test_the_table_of_a_sweep_and_its_words_name_what_follows(swept):
    for found in (swept.summary(), swept.summary(by=["optimizer"])):
        told = {row["optimizer"]: (str(row["learning_rate"]), str(row["weight_decay"])) for row in found.to_dicts()}
        assert told == USUAL
    assert repr(swept).endswith("over optimizer (3), train_fraction (2), and with it learning_rate, weight_decay>")
    assert all(f">{name}</th>" in swept._repr_html_() for name in ("optimizer", "learning_rate", "weight_decay"))


@pytest.mark.parametrize(
    "asked", [("--by", "optimizer"), ("--statistic", "summary"), ("--statistic", "law"), ("--statistic", "efficiency")]
)
def test_tables_of_show_have_columns_for_what_follows(swept, capsys, asked):
    assert gl_main("show", "--runs", str(swept.folder), "--table", *asked) == 0
    head = capsys.readouterr().out.split("\n")[0].split()
    assert [name for name in head if name in ("optimizer", "learning_rate", "weight_decay")] == [
        "optimizer",
        "learning_rate",
        "weight_decay",
    ]


@pytest.mark.parametrize("asked", [("--strata", "train_fraction"), ("--by", "train_fraction")])
def test_a_comparison_names_what_differs_besides(swept, capsys, asked):
    assert gl_main("show", "--runs", str(swept.folder), "--table", "--compare", "optimizer", "adamw", "adam", *asked) == 0
    out = capsys.readouterr().out
    assert "also differs" in out
    assert out.count("weight_decay 1 against 0") == (2 if asked[0] == "--by" else 1)
    assert gl_main("show", "--runs", str(swept.folder), "--table", "--compare", "train_fraction", "0.5", "0.7", "--by", "optimizer") == 0
    assert "also differs" not in capsys.readouterr().out


def test_legends_name_what_follows(swept):
    table = results_table(swept.runs, apart="train_fraction")
    assert table["setting"].unique(maintain_order=True).to_list() == [
        "adamw (decay 1, rate 0.001)", "adam (decay 0, rate 0.001)", "sgd (decay 0, rate 0.1)",
    ]  # fmt: skip
    groups = history_of([run for run in swept.runs if run.run.task.train_fraction == 0.5])["group"].unique(maintain_order=True)
    assert groups.to_list() == table["setting"].unique(maintain_order=True).to_list()
    assert history_of(swept.runs)["group"].unique(maintain_order=True).to_list() == [
        "baseline: adamw (decay 1, rate 0.001)", "train_fraction 0.7", "adam (decay 0)", "train_fraction 0.7, adam (decay 0)",
        "sgd (decay 0, rate 0.1)", "train_fraction 0.7, sgd (decay 0, rate 0.1)",
    ]  # fmt: skip
    legend = [text.get_text() for text in swept.plot("accuracy_against").legends[0].get_texts()]
    assert legend == groups.to_list()


def test_the_dashboard_names_what_follows(swept):
    from groklab.dashboard import curves, runs, sweeps

    catalog = Catalog(swept.folder)
    catalog.look()
    results = SimpleNamespace(catalog=catalog)
    names = {f"optimizer {name}, learning rate {float(rate):g}, weight decay {float(decay):g}" for name, (rate, decay) in USUAL.items()}
    drawn = curves.curves_of(results, Address.of("").with_values(group="optimizer"), ["accuracy"])
    assert {line.name for line in drawn.lines} == names
    assert {setting.name for setting in sweeps.sweep_of(results, Address.of("").with_values(by="optimizer")).settings} == names
    heads = runs._group_heads(results, catalog.entries(), "optimizer")
    assert all({"learning_rate", "weight_decay"} <= set(head) for head in heads.values())
    assert setting_name({"a": 1, "b": 2, "c": 3, "d": 4, "e": 5}, "a", ["b", "c", "d", "e"]) == "a 1, b 2, c 3, d 4, 1 more"


def gl_main(*words: str) -> int:
    from groklab.cli import main

    return main(list(words)) or 0
