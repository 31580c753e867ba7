"""What a page is made of: its two functions, and the controls, labels and pieces that pages share.

A control's value is what stands in the address under its name; its first choice is the usual one and is left out of the address.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import plotly.graph_objects as go
from dash import dcc as dash_core
from dash import html as dash_html

from groklab.dashboard.address import Address
from groklab.dashboard.catalog import Catalog, Entry
from groklab.dashboard.computing import Computing
from groklab.dashboard.theme import Theme
from groklab.results.files import StoreError
from groklab.text import numbers

# Attributes such as aria-label are no Python names, and the type checker does not see them in a component's signature.
dcc: Any = dash_core
html: Any = dash_html

PROBLEMS = (ValueError, StoreError, OSError, OverflowError, MemoryError)
"""What results that are damaged, vanish or hold more than this machine can raise: a sentence on the page, and not its end."""

Piece = Any
"""A Dash component, a text, or a list of them."""


class Results(NamedTuple):
    """What pages read from."""

    catalog: Catalog
    computing: Computing


class Frames(NamedTuple):
    """The checkpoints over which a slider runs."""

    steps: list[int]
    shown: int
    """Place among the steps."""


@dataclass(frozen=True)
class View:
    """What a page shows."""

    graphs: Mapping[str, go.Figure] = field(default_factory=lambda: dict[str, go.Figure]())
    parts: Mapping[str, Piece] = field(default_factory=lambda: dict[str, Piece]())
    address: Address = field(default_factory=lambda: Address({}))
    """The page's state, as the browser is to show it."""
    frames: Frames | None = None


@dataclass(frozen=True)
class Page:
    """One page: the pieces that stay, what they show, and the data behind it."""

    name: str
    title: str
    layout: Callable[[Results, Address], Piece]
    view: Callable[[Results, Address, Theme], View]
    data: Callable[[Results, Address], dict[str, Any]]
    stamp: Callable[[Results, Address], str]
    """A text that changes when what is shown may have."""
    table: Callable[[Results, Address], list[dict[str, Any]]] | None = None
    """The data as rows, for CSV."""


def said(error: Exception, results: Results) -> str:
    """What went wrong in words, with paths as they are below the results folder."""
    text = str(error) or ("this machine has not enough memory for it." if isinstance(error, MemoryError) else type(error).__name__)
    return results.catalog.relative(text)


def labelled(label: str, control: Piece, *, wide: bool = False) -> Piece:
    """A control with its name above."""
    return html.Div([html.Span(label, className="label"), control], className="field wide" if wide else "field")


def choice(name: str, label: str, options: Sequence[tuple[str, str]] | Mapping[str, str], address: Address) -> Piece:
    """One of a few values, side by side."""
    pairs = list(options.items()) if isinstance(options, Mapping) else list(options)
    value = address.one(name, pairs[0][0], among=[value for value, _ in pairs])
    listed = [{"label": text, "value": value} for value, text in pairs]
    return labelled(label, dcc.RadioItems(listed, value, id={"control": name}, className="choice", inline=True))


def picker(
    name: str, label: str, options: Sequence[tuple[str, str]], value: str | Sequence[str] | None, *,
    several: bool = False, placeholder: str = "", wide: bool = False,
) -> Piece:  # fmt: skip
    """One or several of many values."""
    listed = [{"label": text, "value": value} for value, text in options]
    chosen: Any = list(value or ()) if several else value
    box = dcc.Dropdown(
        options=listed, value=chosen, id={"control": name}, multi=several, placeholder=placeholder, clearable=several,
        searchable=len(listed) > 8, className="picker",
    )  # fmt: skip
    return labelled(label, box, wide=wide)


def run_picker(entries: Sequence[Entry], shown: Entry | None) -> Piece:
    """The run that a page shows."""
    options = [(entry.id, entry.id) for entry in sorted(entries, key=lambda entry: -entry.changed) if entry.run is not None]
    return picker("run", "run", options, None if shown is None else shown.id, wide=True, placeholder="choose a run")


def filter_box(address: Address) -> Piece:
    """A line of conditions on the fields of runs."""
    # Dash's own pause after typing puts the cursor back to where it was, late: letters typed in between change places. So each
    # letter is taken at once by a box without a pause, and the browser hands the text on when nothing more is typed.
    text = address.one("filter")
    typed = dcc.Input(
        id={"typed": "filter"}, value=text, debounce=False, type="text", className="text", autoComplete="off",
        placeholder="addition  train_fraction>=0.4  generalized_at!=none", spellCheck="false",
    )  # fmt: skip
    box = html.Div([typed, dcc.Input(id={"control": "filter"}, value=text, type="hidden", style={"display": "none"})])
    return labelled("filter", box, wide=True)


def player(frames: Frames | None) -> Piece:
    """A slider over checkpoints, with a button that plays them."""
    steps = frames.steps if frames is not None else []
    shown = frames.shown if frames is not None else 0
    slider = dcc.Slider(
        min=0, max=max(len(steps) - 1, 0), step=1, value=shown, marks=marks_of(steps), id={"frame": "step"}, allow_direct_input=False,
        tooltip=None, included=True, className="slider",
    )  # fmt: skip
    button = html.Button("▶", id="play", className="play", title="play the checkpoints (space)", **{"aria-label": "play the checkpoints"})
    return html.Div(
        [button, html.Div(slider, className="track"), html.Output(id={"part": "step"}, className="step")],
        className="player", hidden=len(steps) < 2,
    )  # fmt: skip


def marks_of(steps: Sequence[int]) -> dict[int, str]:
    """Names under a slider for the checkpoints that come first at each power of ten, and the last."""
    marks: dict[int, str] = {}
    for place, step in enumerate(steps):
        before = steps[place - 1] if place else -1
        if step == 0 or (len(str(step)) > len(str(max(before, 0))) and step >= 10):
            marks[place] = f"{step:,}"
    last = len(steps) - 1
    if last > 0:
        near = [place for place in marks if place != last and last - place < max(2, len(steps) / 9)]
        for place in near:
            del marks[place]
        marks[last] = f"{steps[-1]:,}"
    return marks


def frames_of(steps: Sequence[int], address: Address) -> Frames | None:
    """The checkpoint that an address asks for, or the nearest; the last without one."""
    if not steps:
        return None
    asked = address.number("step")
    shown = len(steps) - 1 if asked is None else min(range(len(steps)), key=lambda place: abs(steps[place] - asked))
    return Frames(list(steps), shown)


def graph(name: str, *, label: str, height: int | None = None, kind: str = "") -> Piece:
    """A figure with the buttons that save it; ``label`` is what those read who do not see it."""
    config: dict[str, Any] = {
        "displaylogo": False,
        "responsive": True,
        "displayModeBar": "hover",
        "modeBarButtonsToRemove": ["sendChartToCloud", "toImage", "select2d", "lasso2d", "autoScale2d", "toggleSpikelines"],
        "plotlyServerURL": "",
        "showLink": False,
        "showTips": False,
    }
    drawn = dcc.Graph(id={"graph": name}, config=config, className="graph", figure=_blank())  # as large as the place around it
    style = {} if height is None else {"height": f"{height}px"}
    return html.Div(drawn, className=f"drawing {kind}", style=style, role="group", **{"aria-label": label})


def _blank() -> dict[str, Any]:
    nothing = {"visible": False}
    return {"data": [], "layout": {"xaxis": nothing, "yaxis": nothing, "paper_bgcolor": "rgba(0,0,0,0)", "plot_bgcolor": "rgba(0,0,0,0)"}}


def downloads(page: str, name: str, *, csv: bool = True, json: bool = True) -> Piece:
    """Buttons for the picture of a graph, links to the data behind it."""
    buttons = [
        html.Button(kind.upper(), type="button", className="save", **{"data-graph": name, "data-format": kind}) for kind in ("png", "svg")
    ]
    links = [
        html.A(kind.upper(), href=f"/api/{page}{'.csv' if kind == 'csv' else ''}", className="save", **{"data-api": "", "data-kind": kind})
        for kind, wanted in (("csv", csv), ("json", json))
        if wanted
    ]
    return html.Div([html.Span("save", className="label"), *buttons, *links], className="downloads")


def part(name: str, className: str = "") -> Piece:
    """A place for words that change with what is shown."""
    return html.Div(id={"part": name}, className=className)


def notice(text: str, *, kind: str = "problem") -> Piece:
    """A sentence that stands out: what is wrong, or what is to be known."""
    return html.P(text, className=f"notice {kind}", role="status")


def empty(title: str, *lines: Piece) -> Piece:
    """What stands where there is nothing to show yet, and what to do about it."""
    return html.Div([html.H2(title), *[html.P(line) if isinstance(line, str) else line for line in lines]], className="empty")


def command(text: str) -> Piece:
    """A command to be typed."""
    return html.Pre(html.Code(text), className="command")


def facts(*pairs: tuple[str, Piece]) -> Piece:
    """Numbers with their names, in a row."""
    return html.Dl([html.Div([html.Dt(name), html.Dd(value)]) for name, value in pairs if value is not None], className="facts")


def whole(number: float | None) -> str:
    """A whole number as it is written in the figures, or a dash."""
    return "–" if number is None else f"{number:,.0f}"


_FOLLOWING = 3
"""Fields that follow another one and are named with it."""


def percent(share: float | None, *, threshold: float | None = None) -> str:
    """A share as percent, or a dash; what is not all, or not at the threshold, is never rounded to it."""
    return "100 %" if share == 1 else numbers.percent(share, threshold=threshold or numbers.GROKKED)


def setting_name(row: Mapping[str, Any], field: str, follow: Sequence[str] = ()) -> str:
    """The setting of a run as a legend tells it: a field, and behind it what ``follow``s it, as the decay does the optimizer."""
    more = f", {len(follow) - _FOLLOWING:,} more" if len(follow) > _FOLLOWING else ""
    return ", ".join(f"{name.replace('_', ' ')} {short(row.get(name))}" for name in (field, *follow[:_FOLLOWING])) + more


def short(value: Any) -> str:
    """A field's value in a few letters."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        told = f"{value:g}"
        return told if float(told) == value or value != value else str(value)
    if isinstance(value, int):
        return f"{value:,}"
    text = str(value)
    return {"[]": "none", "()": "none"}.get(text, text)
