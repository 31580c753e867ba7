"""Settings that differ look different wherever there is little room: in legends, in the tables of a sweep and in the list of runs."""

import io
import json
import re

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from groklab.analysis.distinctions import alongside
from groklab.analysis.statistics import summarize
from groklab.analysis.tables import runs_table
from groklab.config.run import Run
from groklab.config.sweep import sweep_of
from groklab.display.tables import settings_screen
from groklab.figures import appendix, curves, settings, sweeps, transitions
from groklab.results.store import RunFolder
from groklab.text.labels import apart
from tests.test_figures import history, named, said, texts

FAR = [f"baseline: optimizer muon(momentum={m}, other_learning_rate=0.01, nesterov=True), noise 0.1" for m in (0.9, 0.95, 0.99)]
MUON = [
    "muon", "muon(momentum=0.9, other_learning_rate=0.01)", "muon(momentum=0.9, other_learning_rate=0.02)",
    "muon(momentum=0.95, other_learning_rate=0.01)",
]  # fmt: skip


# — shortening —


@given(st.lists(st.text("ab1.", max_size=30), min_size=1, max_size=8), st.integers(8, 40))
def test_what_differs_is_written_differently_and_fits(names, length):
    told = apart(names, length)
    assert all(len(text) <= length for text in told)
    assert len(set(told)) == len(set(names))
    assert all(
        text == name for text, name in zip(told, names, strict=True) if len(name) <= length and told.count(text) == names.count(name)
    )


@pytest.mark.parametrize("length", [28, 34, 35, 46])
def test_what_is_cut_is_not_what_tells_settings_apart(length):
    for text, value in zip(apart(FAR, length), ("0.9", "0.95", "0.99"), strict=True):
        assert re.search(rf"momentum={re.escape(value)}(?![\d.])|momentum={re.escape(value)}…", text), text
    assert apart(FAR[:1], 200) == FAR[:1]


def test_names_that_differ_in_too_many_places_are_numbered():
    names = [f"{'a' * 30}{first}{'b' * 40}{second}{'c' * 30}" for first in "12" for second in "12"]
    assert apart(names, 14) == [f"aaaaa…cccc ({number})" for number in (1, 2, 3, 4)]


# — legends —


def values_told(figure):
    return [text for text in texts(figure) if "…" in text]


def test_the_list_below_learning_curves_tells_long_settings_apart():
    figure = curves.learning_curves(pl.concat([history(k, group=name) for k, name in enumerate(FAR)]))
    assert len(set(values_told(figure))) == len(FAR)


def test_the_headings_of_settings_side_by_side_tell_them_apart():
    figure = settings.curves_by_setting(pl.concat([history(k, group=name) for k, name in enumerate(FAR)]))
    headings = [axes.get_title(loc="left") for axes in figure.axes if axes.get_title(loc="left")]
    assert len(set(headings)) == len(headings) == len(FAR)


def test_transitions_of_several_runs_tell_them_apart():
    long = [name.replace("noise", "with dropout 0.1 and with noise") for name in FAR]
    figure = transitions.transition(pl.concat([history(k, group=name) for k, name in enumerate(long)]))
    assert all(said(figure).count(name) == 1 for name in apart(long, 70))


@pytest.mark.parametrize("draw", [sweeps.steps_against, sweeps.accuracy_against])
def test_the_legends_of_sweeps_tell_long_settings_apart(draw):
    figure = draw(named(**{name: 1 + k for k, name in enumerate(FAR)}))
    assert len(set(values_told(figure))) == len(FAR)


def test_the_panels_of_many_settings_tell_long_ones_apart():
    many = [f"the optimizer muon with a momentum of {0.9 + k / 100:g} and without anything else that would be new here" for k in range(6)]
    figure = sweeps.accuracy_against(named(**{name: 1 + k / 4 for k, name in enumerate(many)}))
    titles = [axes.get_title() for axes in figure.axes]
    assert len(set(titles)) == len(many)


def test_sharpness_by_setting_tells_long_settings_apart():
    rows = [{"setting": name, "sharpness": 1.0 + k, "validation_accuracy": 0.9} for k, name in enumerate(FAR * 2)]
    figure = appendix.sharpness(pl.DataFrame(rows))
    assert len(set(values_told(figure))) == len(FAR)


# — tables —


def stored(root, run):
    """A run's folder with two evaluations."""
    folder = RunFolder(root / run.id)
    folder.create(run, {"total": 10, "non_embedding": 5})
    sides = ("train", "validation", "corrupted")
    rows = [
        {"step": step, "wall_time": 0.1, **{f"{side}_{kind}": float(step > 0) for side in sides for kind in ("accuracy", "loss")}}
        for step in (0, 10)
    ]
    (folder.path / "history.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    segment = {"from_step": 0, "began": "2026-01-01", "groklab": "0", "torch": "0", "device": "cpu", "path": "batched"}
    folder.update(status="complete", segments=[segment])
    return folder


def closing_table(root, columns, **fields):
    """The table at the end of a sweep, as a terminal of that width writes it: a text for each column of each line."""
    made = sweep_of(modulus=7, steps=10, seed=[0, 1], **fields)
    runs = made.runs()
    table = runs_table([stored(root, run) for run in runs], runs)
    rows = summarize(table, by=alongside(table, made.varying)).to_dicts()
    stream = io.StringIO()
    Console(file=stream, width=columns).print(settings_screen(rows))
    return rows, stream.getvalue()


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_the_closing_table_of_a_sweep_over_settings_of_muon_shows_each_of_them(tmp_path, width):
    rows, told = closing_table(tmp_path, width, optimizer=MUON)
    assert [row["optimizer"] for row in rows] == MUON
    assert {row["runs"] for row in rows} == {2}
    lines = told.splitlines()
    at = next(line.index(" runs") for line in lines if " runs" in line)
    values = []
    for line in lines[next(number for number, line in enumerate(lines) if " runs" in line) + 1 :]:
        if line[at:].split():
            values += [""] if line[at : at + 5].strip() == "2" else []
        if values:
            values[-1] += line[:at].replace(" ", "")
    assert values == [name.replace(" ", "") for name in MUON]
    assert "…" not in told


def test_the_closing_table_has_what_varies_and_what_follows_it(tmp_path):
    rows, told = closing_table(tmp_path, 200, optimizer=["adam", "sgd"], width=[16, 32])
    names = list(rows[0])[: list(rows[0]).index("runs")]
    assert names[:2] == ["optimizer", "width"]
    assert "learning_rate" in names
    assert len({tuple(row[name] for name in names) for row in rows}) == 4
    assert all(name in told.splitlines()[0] for name in names)


def test_the_list_of_runs_shows_what_differs_between_them(tmp_path):
    pytest.importorskip("dash")
    from groklab.dashboard import runs
    from groklab.dashboard.address import Address
    from groklab.dashboard.catalog import Catalog
    from groklab.dashboard.controls import Computing, Results, html
    from groklab.dashboard.theme import LIGHT

    for name in MUON:
        stored(tmp_path, Run.of(modulus=7, steps=10, optimizer=name))
    page = runs.view(Results(Catalog(tmp_path), Computing()), Address.of(""), LIGHT).parts["table"]
    cells = [piece for piece in flat(page) if isinstance(piece, html.Td) and getattr(piece, "className", "").startswith("value")]
    assert sorted(cell.title for cell in cells) == sorted(MUON)
    assert len({cell.children for cell in cells}) == len(MUON)
    assert all(len(cell.children) <= 15 for cell in cells)
    for width, layers, loss in ((16, 1, "squared_error"), (32, 2, "cross_entropy")):
        stored(tmp_path, Run.of(modulus=7, steps=10, width=width, layers=layers, loss=loss, warmup=width))
    page = runs.view(Results(Catalog(tmp_path), Computing()), Address.of(""), LIGHT).parts["table"]
    (more,) = [str(piece.children) for piece in flat(page) if str(getattr(piece, "children", "")).startswith("These runs also differ in")]
    heads = str(next(piece for piece in flat(page) if getattr(piece, "className", "") == "runs").children[0])
    assert all(field in more or field in heads for field in ("optimizer", "width", "layers", "loss", "warmup"))


def flat(piece):
    """A piece of a page and all within it."""
    yield piece
    children = piece if isinstance(piece, list) else getattr(piece, "children", None)
    for child in children if isinstance(children, list) else [children] if hasattr(children, "children") else []:
        yield from flat(child)
