"""The page of the operation table: what the network was shown, and what it answers everywhere else, checkpoint by checkpoint."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import plotly.graph_objects as go
import polars as pl

from groklab.dashboard import theme as look
from groklab.dashboard.address import Address
from groklab.dashboard.catalog import Entry
from groklab.dashboard.controls import (
    Page,
    Piece,
    Results,
    View,
    choice,
    command,
    dcc,
    downloads,
    empty,
    facts,
    frames_of,
    graph,
    html,
    labelled,
    notice,
    part,
    percent,
    picker,
    player,
    run_picker,
    whole,
)  # fmt: skip
from groklab.dashboard.network import cells_at, shown_run, steps_of, stored_stamp, table_in
from groklab.dashboard.orders import order_for, orders_for
from groklab.dashboard.theme import Theme, escaped

_WINDOW = 300
"""Rows and columns of a large table that are shown at once."""
_NAMED = 24
"""Up to so many elements their names stand in the cells."""

TRAINED, UNTRAINED, RIGHT, WRONG, UNKNOWN, HIDDEN = range(6)
STATES = (
    "training cell, answered as trained",
    "training cell, not yet",
    "hidden cell, right",
    "hidden cell, wrong",
    "answer unknown",
    "hidden cell",
)
COLORS = {"": "right and wrong", "answer": "answers", "probability": "certainty"}


def layout(results: Results, address: Address) -> Piece:
    """The controls, and places for the table and what is said of it."""
    entry = shown_run(results.catalog, address, "answers")
    if entry is None:
        return empty("No runs yet", "The table fills in here while a network is trained:", command("groklab train --operation addition"))
    orders: dict[str, str] = {"": "as it is"}
    problem = ""
    try:
        orders = orders_for(entry)
    except ValueError as error:
        problem = str(error)
    order = address.one("order", among=orders)
    return [
        html.H1("Table", className="visually-hidden"),
        html.Div(
            [
                run_picker(results.catalog.entries(), entry),
                picker("order", "rows and columns", list(orders.items()), order),
                choice("color", "color", COLORS, address),
                _place("top", "from row", address),
                _place("left", "from column", address),
            ],
            className="controls",
        ),
        part("told"),
        player(None if problem else frames_of(steps_of(entry, "answers"), address)),
        html.Div(
            [
                graph("table", label="the operation table with the network's answers", kind="square"),
                html.Div(
                    [
                        part("facts"),
                        part("key"),
                        graph("course", label="accuracies up to this checkpoint", height=190),
                        downloads("table", "table"),
                    ]
                ),
            ],
            className="side",
        ),
    ]


def _place(name: str, label: str, address: Address) -> Piece:
    """The first row or column of a table that is shown in part, counted from 1; for others the style hides it."""
    box = dcc.Input(
        id={"control": name}, value=address.number(name) or 1, type="number", min=1, step=1, debounce=0.5, className="text narrow place",
    )  # fmt: skip
    return labelled(label, box)


def stamp(results: Results, address: Address) -> str:
    """The run and its stored answers."""
    return stored_stamp(shown_run(results.catalog, address, "answers"))


def view(results: Results, address: Address, theme: Theme) -> View:
    """The table at the chosen checkpoint."""
    entry = shown_run(results.catalog, address, "answers")
    if entry is None:
        return View({}, {}, address)
    table = table_in(entry)
    steps = steps_of(entry, "answers")
    frames = frames_of(steps, address)
    step = None if frames is None else frames.steps[frames.shown]
    cells = cells_at(entry, step)
    order = order_for(entry, address.one("order"))
    window = _window(address, cells)
    told: list[Piece] = []
    if frames is None:
        told.append(
            notice("No answers are stored of this run yet; they come with its checkpoints. Its training cells are gray.", kind="aside")
        )
    if window is not None:
        told.append(
            notice(
                f"Rows {window[0] + 1:,} to {window[0] + _WINDOW:,} and columns {window[1] + 1:,} to {window[1] + _WINDOW:,} of {table.n:,} are shown.",
                kind="aside windowed",
            )
        )
    drawing = figure(cells, order, table.symbol, address.one("color", among=COLORS), theme, window)
    top, left = (None, None) if window is None else (place + 1 if place else None for place in window)
    shown = address.with_values(step=None if frames is None or frames.shown == len(steps) - 1 else step, top=top, left=left)
    parts = {
        "told": told,
        "facts": _facts(entry, cells, step, table.symbol),
        "key": _key(address.one("color", among=COLORS), cells, theme),
        "step": [] if frames is None else [html.Span(f"step {frames.steps[frames.shown]:,}", **{"data-place": str(frames.shown)})],
    }
    return View({"table": drawing, "course": course(entry, step, theme)}, parts, shown, frames)


def _window(address: Address, cells: pl.DataFrame) -> tuple[int, int] | None:
    n = cells["x"].n_unique()
    if n <= _WINDOW:
        return None
    most = n - _WINDOW
    top, left = (min(max((address.number(name) or 1) - 1, 0), most) for name in ("top", "left"))
    return top, left


def figure(
    cells: pl.DataFrame, order: np.ndarray, symbol: str, color: str, theme: Theme, window: tuple[int, int] | None = None
) -> go.Figure:
    """The cells as squares, x down and y across, as in a written table."""
    places = np.empty(len(order), dtype=np.int64)
    places[order] = np.arange(len(order))
    x, y = (places[cells[name].to_numpy()] for name in ("x", "y"))
    rows, columns = np.unique(x), np.unique(y)
    if np.isin(rows, columns).any():  # one set of elements on both sides
        rows = columns = np.union1d(rows, columns)
    if window is not None:
        rows, columns = rows[window[0] : window[0] + _WINDOW], columns[window[1] : window[1] + _WINDOW]
        inside = np.isin(x, rows) & np.isin(y, columns)
        cells, x, y = cells.filter(pl.Series(inside)), x[inside], y[inside]
    down, across = np.searchsorted(rows, x), np.searchsorted(columns, y)
    names = {int(number): name for side in ("x", "y") for number, name in cells.select(side, f"{side}_name").unique().iter_rows()}
    row_names, column_names = ([escaped(names.get(int(order[k]), "")) for k in places_] for places_ in (rows, columns))
    values, colors, scale = _values(cells, color, theme)
    shape = (len(rows), len(columns))
    z = np.full(shape, np.nan)
    z[down, across] = values
    parts, template = _hover(cells, symbol)
    hover = np.zeros((*shape, parts.shape[1]), dtype=parts.dtype)
    hover[down, across] = parts
    states = np.full(shape, "", dtype=object)
    states[down, across] = _state_words(cells)
    small = max(shape) <= _NAMED
    if small:
        written = cells["answer_name"] if "answer_name" in cells.columns else cells["z_name"]
        names_in_cells = np.full((*shape, 1), "", dtype=object)
        names_in_cells[down, across, 0] = [escaped(_cut(name)) for name in written.to_list()]
        hover = np.concatenate([hover.astype(object), names_in_cells], axis=2)
    trace = go.Heatmap(
        z=z.astype(np.float32), customdata=hover.tolist() if hover.dtype == object else hover, text=states.tolist(), colorscale=colors, showscale=False,
        zmin=scale[0], zmax=scale[1], xgap=1 if max(shape) <= 60 else 0, ygap=1 if max(shape) <= 60 else 0, hoverongaps=False,
        hovertemplate=template, texttemplate=f"%{{customdata[{hover.shape[2] - 1}]}}" if small else None,
    )  # fmt: skip
    ticks = {"showgrid": False, "ticks": "", "constrain": "domain", "showline": False}
    return look.figure(
        theme, [trace], plot_bgcolor=theme.absent, margin={"l": 46, "r": 8, "t": 44, "b": 8}, revision=f"{symbol} {len(rows)} {window}",
        xaxis=look.axis(theme, title="y →", side="top", **ticks, **_ticks(column_names)),
        yaxis=look.axis(theme, title="x ↓", autorange="reversed", scaleanchor="x", scaleratio=1, **ticks, **_ticks(row_names)),
    )  # fmt: skip


def _cut(name: str | None) -> str:
    text = name or ""
    return text if len(text) <= 5 else text[:4] + "…"


def _ticks(names: list[str]) -> dict[str, Any]:
    apart = 1 if len(names) <= _NAMED else next(d for d in (5, 10, 20, 25, 50, 100) if len(names) / d <= 13 or d == 100)
    places = list(range(0, len(names), apart))
    return {"tickmode": "array", "tickvals": places, "ticktext": [names[place] for place in places]}


def _states(cells: pl.DataFrame) -> np.ndarray:
    """The state of every cell, a place in ``STATES``."""
    z, label, split = cells["z"].to_numpy(), cells["label"].to_numpy(), cells["split"].to_numpy()
    answered = "answer" in cells.columns
    answer = cells["answer"].to_numpy() if answered else np.full(len(z), -1)
    train, validation = split == "train", split == "validation"
    hidden = np.where(answer == z, RIGHT, WRONG) if answered else np.full(len(z), HIDDEN)
    shown = np.where(answer == label, TRAINED, UNTRAINED) if answered else np.full(len(z), TRAINED)
    return np.where(train, shown, np.where(validation, hidden, UNKNOWN))


def _values(cells: pl.DataFrame, color: str, theme: Theme) -> tuple[np.ndarray, Any, tuple[float, float]]:
    """A number for every cell, the colors of the numbers, and their range."""
    if color == "answer":
        numbers = (cells["answer"] if "answer" in cells.columns else cells["z"]).to_numpy().astype(np.float64)
        return np.where(numbers < 0, np.nan, numbers), "Viridis", (0.0, max(float(numbers.max()), 1.0))
    if color == "probability" and "probability" in cells.columns:
        return cells["probability"].to_numpy(), "Cividis", (0.0, 1.0)
    palette = _palette(theme)
    steps = [[edge / len(palette), shade] for number, shade in enumerate(palette) for edge in (number, number + 1)]
    return _states(cells).astype(np.float64), steps, (-0.5, len(palette) - 0.5)


def _palette(theme: Theme) -> tuple[str, ...]:
    return (theme.trained, theme.untrained, theme.right, theme.wrong, theme.absent, theme.absent)


def _hover(cells: pl.DataFrame, symbol: str) -> tuple[np.ndarray, str]:
    """What each cell says when it is pointed at, (cells, parts), and the template by which the browser puts it together.

    The parts are the elements of the equation, the answer and its probability. Where all elements are numbers, as in modular tables, so are
    the parts: a large table then is a tenth of what its sentences would be.
    """
    sign = re.match(r"x ([^\sxy]) y\b", symbol)
    between = escaped(sign[1] if sign else "∘")
    columns = ["x_name", "y_name", "z_name", *(["answer_name"] if "answer" in cells.columns else [])]
    names = [cells[column] for column in columns]
    numbers = [name.cast(pl.UInt16, strict=False) for name in names]
    parts: list[np.ndarray]
    if all(number.null_count() == 0 and (number.cast(pl.String) == name).all() for number, name in zip(numbers, names, strict=True)):
        parts = [number.to_numpy() for number in numbers]
    else:
        parts = [np.array(["?" if text is None else escaped(text) for text in name.to_list()], dtype=object) for name in names]
    template = f"<b>%{{customdata[0]}} {between} %{{customdata[1]}} = %{{customdata[2]}}</b>"
    if "answer" in cells.columns:
        parts.append(cells["probability"].to_numpy().astype(object if parts[0].dtype == object else np.float32))
        template += "<br>answer %{customdata[3]}, probability %{customdata[4]:.3f}"
    return np.stack(parts, axis=1), f"{template}<br>%{{text}}<extra></extra>"


def _state_words(cells: pl.DataFrame) -> np.ndarray:
    """What each cell is to the network, in words."""
    words = np.array([*STATES, *(f"{state}, label changed" for state in STATES)], dtype=object)
    return words[_states(cells) + len(STATES) * cells["corrupted"].to_numpy()]


def _key(color: str, cells: pl.DataFrame, theme: Theme) -> Piece:
    if color == "answer":
        return html.P("Colors run over the elements in their order: equal answers have one color.", className="quiet")
    if color == "probability" and "probability" in cells.columns:
        return html.P("The brighter, the surer of its answer, right or wrong.", className="quiet")
    present = set(_states(cells).tolist())
    return html.Div(
        [
            html.Span(
                [html.Span(className="swatch", style={"background": shade, "border": f"1px solid {theme.grid}"}), words], className="item"
            )
            for number, (shade, words) in enumerate(zip(_palette(theme), STATES, strict=True))
            if number in present
        ],
        className="key",
    )


def _shares(cells: pl.DataFrame) -> dict[str, float | None]:
    """Shares of the cells that are right, those of training by their labels."""
    states = _states(cells)
    found: dict[str, float | None] = {}
    for name, good, bad in (("validation", RIGHT, WRONG), ("train", TRAINED, UNTRAINED)):
        right, all_of = int((states == good).sum()), int(np.isin(states, (good, bad)).sum())
        found[name] = right / all_of if all_of and "answer" in cells.columns else None
    return found


def _facts(entry: Entry, cells: pl.DataFrame, step: int | None, symbol: str) -> Piece:
    shares = _shares(cells)
    hidden = int((cells["split"] == "validation").sum())
    return [
        html.P([html.Strong(symbol), html.Br(), html.Span(f"{cells.height:,} cells, {hidden:,} of them hidden", className="quiet")]),
        facts(
            ("hidden cells right", percent(shares["validation"], threshold=entry.row.get("threshold"))),
            ("training cells right", percent(shares["train"], threshold=entry.row.get("threshold"))),
            ("memorized at", whole(entry.row.get("memorized_at"))),
            ("generalized at", whole(entry.row.get("generalized_at"))),
        ),
    ]


def course(entry: Entry, step: int | None, theme: Theme) -> go.Figure:
    """Both accuracies of the whole run, small, with a line at the step that is shown."""
    history = entry.history
    if not len(history.step):
        return look.empty_figure(theme)
    traces = [
        go.Scatter(
            x=np.maximum(history.step, 1).tolist(), y=history.columns[f"{split}_accuracy"].tolist(), mode="lines", name=split,
            line={"color": shade, "width": 1.8}, hovertemplate=f"{split} %{{y:{look.SHARE}}}<br>step %{{x:,}}<extra></extra>",
        )
        for split, shade in (("train", theme.train), ("validation", theme.validation))
    ]  # fmt: skip
    at = max(step or 1, 1)
    line = {"type": "line", "x0": at, "x1": at, "y0": 0, "y1": 1, "yref": "paper", "line": {"color": theme.ink, "width": 1.2}}
    end = float(np.log10(max(int(history.step[-1]), 10)))
    return look.figure(
        theme, traces, shapes=[line] if step is not None else [], margin={"l": 38, "r": 10, "t": 22, "b": 40}, revision=entry.id,
        xaxis=look.axis(theme, title="step", type="log", range=[-0.03, end * 1.01], dtick=1, separatethousands=True, tickformat="~s"),
        yaxis=look.axis(theme, range=[-0.04, 1.06], tickvals=[0, 0.5, 1], tickformat=".0%"),
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "font": {"size": 12, "color": theme.ink}},
    )  # fmt: skip


def data(results: Results, address: Address) -> dict[str, Any]:
    """The cells of the run's table at the chosen checkpoint, as columns."""
    entry = shown_run(results.catalog, address, "answers")
    if entry is None:
        return {"run": None, "cells": []}
    table, steps = table_in(entry), steps_of(entry, "answers")
    frames = frames_of(steps, address)
    step = None if frames is None else frames.steps[frames.shown]
    cells = cells_at(entry, step)
    shares = _shares(cells)
    return {
        "run": entry.id, "symbol": table.symbol, "step": step, "steps": steps, "elements": list(table.elements),
        "order": order_for(entry, address.one("order")).tolist(), "validation_right": shares["validation"], "train_right": shares["train"],
        "cells": cells.drop("step", strict=False).to_dict(as_series=False),
    }  # fmt: skip


def rows(results: Results, address: Address) -> list[dict[str, Any]]:
    """The same cells, a row each."""
    found = data(results, address)
    columns: dict[str, list[Any]] = found["cells"] or {}
    names = [name for name in ("x_name", "y_name", "z_name", "split", "corrupted", "answer_name", "probability") if name in columns]
    return [dict(zip(names, row, strict=True)) for row in zip(*(columns[name] for name in names), strict=True)]


PAGE = Page("table", "Table", layout, view, data, stamp, rows)
