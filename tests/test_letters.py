"""Names of elements and settings in figures: whatever they are, they are drawn as they are, or as code points where no font has them."""

from __future__ import annotations

import re
import warnings

import polars as pl
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from test_figures import FIGURES, cells, fixture_of, history, texts

from groklab.figures import curves, letters, style, tables
from groklab.outside.streams import Note

ODD = [
    "$_$",
    "$\\alpha",
    "\\",
    "^",
    "_",
    "%",
    "{}",
    "<b>",
    "[red]",
    "$x",
    "$$",
    "\\$",
    "a$b$c",
    "#",
    "&",
    "~",
    "é",
    "∘",
    "_x",
    "$\\frac{1}{2}$",
]
HIDDEN = ["\x1b[2J", "a\nb", "\u202eb", "a\u200bb", "a\tb", "\x07"]
CHINESE = "中文"


def drawn(figure: Figure) -> list[str]:
    """The texts of a figure, which is drawn first: any warning is an error here."""
    FigureCanvasAgg(figure).draw()
    return texts(figure)


def with_names(table: pl.DataFrame, names: list[str]) -> pl.DataFrame:
    """The table with odd beginnings of everything that a user names."""
    columns = [c for c in table.columns if c in ("title", "x_name", "y_name", "z_name", "answer_name")]
    columns += ["name"] if "element" in table.columns else []
    columns += ["group"] if {"run", "group"} <= set(table.columns) else []
    values = sorted({value for column in columns for value in table[column].drop_nulls().cast(pl.String).to_list()})
    odd = {value: f"{names[k % len(names)]}{k}" for k, value in enumerate(values)}
    return table.with_columns(pl.col(column).cast(pl.String).replace(odd) for column in columns)


@pytest.mark.parametrize("situation", ["one run", "three runs"])
@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_draws_every_name_and_none_as_a_formula(name, situation):
    for names in (ODD, HIDDEN):
        figure = FIGURES[name].function(with_names(fixture_of(FIGURES[name], situation), names))
        said = drawn(figure)
        assert said
        assert not [text for text in said if re.search(r"mathdefault|[\x00-\x09\x0b-\x1f\u200b\u202e]", text)]
        assert not any(text.get_parse_math() for text in figure.texts)


@pytest.mark.parametrize("name", ODD)
def test_a_name_stands_in_the_figure_as_it_is(name):
    figure = tables.operation_table(cells(5).with_columns(pl.lit(name).alias("title"), pl.col("x_name").replace({"0": name})))
    said = drawn(figure)
    assert style.shortened(name, 12) in said
    assert any(text.startswith(name.split()[0]) for text in said)


def test_a_name_that_begins_with_an_underscore_is_in_the_legend():
    runs = pl.concat([history(0, group="_first"), history(1, group="$_$")])
    assert {"\u200a_first".strip(), "$_$"} <= {text.strip() for text in drawn(curves.learning_curves(runs))}


def test_what_no_font_has_is_named_by_its_code_point_and_said_once(monkeypatch):
    monkeypatch.setattr(letters, "_family_with", lambda one: None)
    table = cells(5).with_columns(pl.col("x_name").replace({"0": CHINESE, "1": "日", "2": "👩\u200d🚀"}), pl.lit(CHINESE).alias("title"))
    with pytest.warns(Note, match="no font of this machine") as told:
        figure = tables.operation_table(table)
    assert "U+4E2DU+6587" in drawn(figure)
    (warning,) = told
    words = str(warning.message)
    assert re.match(r"no font of this machine has 中 \(U\+4E2D\), 文 \(U\+6587\), 日 \(U\+65E5\)", words)
    assert "Install a font" in words
    assert "\n" not in words
    assert "/" not in words


def test_a_font_of_the_machine_is_used_where_it_has_the_letter(monkeypatch):
    monkeypatch.setattr(letters, "_in_use", [])
    monkeypatch.setattr(letters, "_family_with", lambda one: "Liberation Sans" if one == "中" else None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = tables.operation_table(cells(5).with_columns(pl.col("x_name").replace({"0": "中"})))
    named = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert "中" in named
    label = next(label for label in figure.axes[0].get_yticklabels() if label.get_text() == "中")
    assert label.get_fontfamily() == ["DejaVu Sans", "Liberation Sans"]


def test_the_search_looks_into_the_fonts_themselves():
    assert letters._family_with("\U0010fffd") is None
    family = letters._family_with("a")
    assert family is not None
    assert letters.legible("a – é ∘ ⋊ 10⁻⁵") == "a – é ∘ ⋊ 10⁻⁵"
    assert letters.legible("\x1b\u200b") == "\\x1b\\u200b"


@pytest.mark.parametrize(("value", "label"), [(1e-3, "10⁻³"), (1.0, "10⁰"), (100.0, "10²"), (1e12, "10¹²")])
def test_labels_of_logarithmic_axes_are_text(value, label):
    axes = Figure().add_subplot()
    style.set_log(axes)
    axes.set_ylim(value / 50, value * 50)
    assert axes.yaxis.get_major_formatter()(value) == label
