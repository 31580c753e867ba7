"""The page of curves: accuracies, losses and measures against step, of one run or many, with the moments of grokking."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go

from groklab.config.fields import leaves
from groklab.dashboard import theme as look
from groklab.dashboard.address import Address, chosen_runs
from groklab.dashboard.controls import (
    Page,
    Piece,
    Results,
    View,
    choice,
    command,
    downloads,
    empty,
    filter_box,
    graph,
    html,
    notice,
    part,
    picker,
    whole,
)
from groklab.dashboard.curves import Curves, Line, columns_in, curves_of, data, listed, measures_of, panels_of, rows
from groklab.dashboard.theme import Theme, escaped

_LEGEND = 62
"""Pixels of three rows of names: more are scrolled, as the curves need the room and the table below has all of them."""
_NAMES = {"accuracy": "accuracy", "loss": "loss (nats)"}


def layout(results: Results, address: Address) -> Piece:
    """The controls, and a place for the curves."""
    entries = results.catalog.entries()
    options = [(entry.id, entry.id) for entry in sorted(entries, key=lambda entry: -entry.changed) if entry.run is not None]
    measures = measures_of(chosen_runs(results.catalog, address).entries)
    panels = [("accuracy", "accuracy"), ("loss", "loss"), *((name, name.replace("_", " ")) for name in measures)]
    fields = [("", "as the runs differ"), ("all", "all together"), *((name, name.replace("_", " ")) for name in ("status", *leaves()))]
    group = address.one("group", among=[name for name, _ in fields])
    return [
        html.H1("Curves", className="visually-hidden"),
        html.Div(
            [
                picker("run", "runs", options, address.many("run"), several=True, wide=True, placeholder="all that fit the filter"),
                filter_box(address) if not address.many("run") else None,
                picker("panel", "panels", panels, panels_of(address), several=True),
                choice("draw", "draw", {"": "auto", "runs": "each run", "median": "medians"}, address),
                picker("group", "group by", fields, group),
                choice("steps", "steps", {"": "log", "linear": "linear"}, address),
                choice("values", "losses", {"": "log", "linear": "linear"}, address),
            ],
            className="controls",
        ),
        part("told"),
        graph("curves", label="curves against step", kind="tall"),
        html.Div([part("moments", "moments"), downloads("curves", "curves")], className="below"),
    ]


def stamp(results: Results, address: Address) -> str:
    """The newest version of the chosen runs, and how many they are."""
    entries = chosen_runs(results.catalog, address).entries
    return f"{max((entry.version for entry in entries), default=0)} {len(entries)} {[results.computing.stamp(entry.id) for entry in entries[:60]]}"


def view(results: Results, address: Address, theme: Theme) -> View:
    """The curves and the table of their moments."""
    panels = panels_of(address)
    if panels == ["accuracy", "loss"]:
        address = address.with_values(panel=None)
    found = curves_of(results, address, panels)
    if not found.lines:
        return View({"curves": look.empty_figure(theme)}, {"told": _nothing(results, found), "moments": ""}, address)
    there = {column for line in found.lines for column in line.step}
    shown = [panel for panel in panels if there.intersection(columns_in(panel))]
    missing = [panel.replace("_", " ") for panel in panels if panel not in shown]
    told = " ".join([found.told, f"None of these runs has {', '.join(missing)}." if missing else ""]).strip()
    drawing = figure(found, shown, address, theme) if shown else look.empty_figure(theme)
    pieces = {"told": notice(told, kind="aside") if told else "", "moments": _moments(found, shown, theme)}
    return View({"curves": drawing}, pieces, address)


def figure(found: Curves, panels: list[str], address: Address, theme: Theme) -> go.Figure:
    """A panel above another with one axis of steps; each panel is of something that some run has."""
    one = len(found.lines) == 1
    steps = "linear" if address.one("steps") == "linear" else "log"
    values = "linear" if address.one("values") == "linear" else "log"
    traces: list[Any] = []
    layout: dict[str, Any] = {}
    weights = [1.3 if panel == "accuracy" else 1.0 for panel in panels]
    gap = 0.05 if len(panels) < 4 else 0.03
    room = (1 - gap * (len(panels) - 1)) / sum(weights)
    top = 1.0
    for number, panel in enumerate(panels, 1):
        bottom = max(0.0, top - room * weights[number - 1])
        name = "yaxis" + ("" if number == 1 else str(number))
        layout[name] = look.axis(
            theme, title=escaped(_NAMES.get(panel, panel.replace("_", " "))), domain=[bottom, top], **_scale(panel, found, values)
        )
        top = bottom - gap
        for place, line in enumerate(found.lines):
            traces += _traces(line, place, panel, number, found, theme, first=number == 1)
    last = max((float(line.step[column][-1]) for line in found.lines for column in line.step), default=1.0)
    bottom_axis = f"y{len(panels)}" if len(panels) > 1 else "y"
    ticks: dict[str, Any] = (
        {"dtick": 1, "minor": {"ticks": "outside", "dtick": "D1", "ticklen": 2, "tickcolor": theme.grid}} if steps == "log" else {}
    )
    wide = [0, float(np.log10(max(last, 10)) * 1.01)] if steps == "log" else [0, last * 1.01]
    layout["xaxis"] = look.axis(
        theme, title="step", type=steps, anchor=bottom_axis, range=wide, separatethousands=True, exponentformat="none", hoverformat=",d",
        showspikes=True, spikemode="across", spikethickness=1, spikedash="dot", spikecolor=theme.quiet, spikesnap="data", **ticks,
    )  # fmt: skip
    shapes, labels = _marks(found, theme, steps) if one else ([], [])
    revision = f"{address.one('steps')} {address.one('values')} {panels}"
    return look.figure(
        theme, traces, **layout, shapes=shapes, annotations=labels, revision=revision, hovermode="x unified" if one else "closest",
        margin={"l": 70, "r": 18, "t": 46 if one else 12, "b": 48}, showlegend=True,
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0, "xanchor": "left", "maxheight": _LEGEND, "font": {"color": theme.ink, "size": 12}} if not one
        else {"orientation": "h", "y": -0.11, "yanchor": "top", "x": 1, "xanchor": "right", "font": {"color": theme.ink, "size": 12}},
    )  # fmt: skip


def _scale(panel: str, found: Curves, values: str) -> dict[str, Any]:
    """Accuracies from 0 to 1; losses, and measures that span decades, on a logarithmic axis where one is asked for."""
    if panel == "accuracy":
        return {"range": [-0.03, 1.04], "tickformat": ".0%", "nticks": 5}
    numbers = np.concatenate([line.middle[column] for line in found.lines for column in columns_in(panel) if column in line.middle])
    known = numbers[np.isfinite(numbers)]
    positive = len(known) > 0 and float(known.min()) > 0
    spans = positive and float(known.max()) / float(known.min()) > 50
    if values == "log" and positive and (panel == "loss" or spans):
        return look.loss_axis(known.tolist())
    return {"nticks": 5, "tickformat": "~g"}


def _traces(line: Line, place: int, panel: str, number: int, found: Curves, theme: Theme, *, first: bool) -> list[Any]:
    one, color = len(found.lines) == 1, theme.groups[place % len(theme.groups)]
    axis = "y" if number == 1 else f"y{number}"
    traces: list[Any] = []
    for column in columns_in(panel):
        if column not in line.step:
            continue
        is_train = column.startswith("train_")
        split = "train" if is_train else "validation" if column.startswith("validation_") else column.replace("_", " ")
        shade = (theme.train if is_train else theme.validation) if one else color
        x = line.step[column].tolist()
        if column in line.low:
            band = [*listed(line.high[column]), *listed(line.low[column])[::-1]]
            if not is_train or one:
                traces.append(
                    go.Scatter(
                        x=[*x, *x[::-1]],
                        y=band,
                        yaxis=axis,
                        fill="toself",
                        fillcolor=look.faint(shade, 0.16),
                        line={"width": 0},
                        hoverinfo="skip",
                        showlegend=False,
                        legendgroup=line.name,
                        mode="lines",
                    )
                )
        dash = "dot" if is_train and not one else "solid"
        if not one and place >= len(theme.groups):
            dash = "dash" if not is_train else "dashdot"
        value = f"%{{y:{look.SHARE}}}" if panel == "accuracy" else "%{y:.4g}"
        title = split if one else f"{escaped(line.name)}, {split}"
        hover = value if one else f"%{{customdata[0]}}<br>step %{{x:,}}: {value}"
        shown = (one and (first or panel not in ("accuracy", "loss"))) or (not one and first and not is_train)
        traces.append(
            go.Scatter(
                x=x,
                y=listed(line.middle[column]),
                yaxis=axis,
                mode="lines+markers" if len(x) == 1 else "lines",
                name=title if one else escaped(line.name),
                line={"color": shade, "width": 2 if one or not is_train else 1.2, "dash": dash},
                legendgroup=split if one else line.name,
                showlegend=shown,
                customdata=None if one else [[title]] * len(x),
                hovertemplate=hover + ("" if one else "<extra></extra>"),
                connectgaps=False,
            )
        )
    if not one and panel == "accuracy":
        traces += [_moment(line, word, at, axis, color, theme) for word, at in _moments_of(line)]
    return traces


def _moments_of(line: Line) -> list[tuple[str, float]]:
    """The steps at which a line memorized and generalized, as far as it did, with their names."""
    return [(word, at) for word, at in (("memorized", line.memorized_at), ("generalized", line.generalized_at)) if at is not None]


def _moment(line: Line, word: str, at: float, axis: str, color: str, theme: Theme) -> Any:
    """A triangle above the accuracies: full where a line generalized, open where it memorized."""
    open_at = word == "memorized"
    return go.Scatter(
        x=[at], y=[1.02], yaxis=axis, mode="markers", showlegend=False, legendgroup=line.name, cliponaxis=False,
        marker={
            "symbol": "triangle-down-open" if open_at else "triangle-down", "size": 8 if open_at else 10, "color": color,
            "line": {"width": 1.3 if open_at else 1, "color": color if open_at else theme.ground},
        },
        customdata=[[f"{escaped(line.name)} {word}"]], hovertemplate="%{customdata[0]}<br>step %{x:,}<extra></extra>",
    )  # fmt: skip


def _marks(found: Curves, theme: Theme, steps: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Lines at the steps where the one curve memorized and generalized, with their names above."""
    line = found.lines[0]
    several = len(line.runs) > 1
    shapes: list[dict[str, Any]] = []
    labels: list[dict[str, Any]] = []
    flags = [("memorized", line.memorized_at, theme.train), ("generalized", line.generalized_at, theme.validation)]
    known = [flag for flag in flags if flag[1] is not None]
    close = len(known) == 2 and _nearness(known[0][1] or 1, known[1][1] or 1, line, steps) < 0.16
    for row, (word, at, color) in enumerate(known):
        if at is None or at <= 0:
            continue
        shapes.append(
            {"type": "line", "x0": at, "x1": at, "y0": 0, "y1": 1, "yref": "paper", "line": {"color": color, "width": 1.2, "dash": "dot"}}
        )
        place = float(np.log10(at)) if steps == "log" else at
        text = f"{word}{' (median)' if several else ''} at {at:,.0f}"
        anchor = (
            "right"
            if (close and row == 0) or (not close and _nearness(at, float(line.step[next(iter(line.step))][-1]), line, steps) < 0.12)
            else "left"
        )
        labels.append(
            {
                "text": text,
                "x": place,
                "y": 1.0,
                "yref": "paper",
                "yanchor": "bottom",
                "xanchor": anchor,
                "showarrow": False,
                "font": {"color": color, "size": 12},
                "yshift": 4,
            }
        )
    return shapes, labels


def _nearness(a: float, b: float, line: Line, steps: str) -> float:
    """How far two steps lie from each other, as a share of the axis."""
    last = max(float(values[-1]) for values in line.step.values())
    if steps == "linear":
        return abs(a - b) / max(last, 1)
    return abs(np.log10(max(a, 1)) - np.log10(max(b, 1))) / max(np.log10(max(last, 10)), 1e-9)


def _moments(found: Curves, panels: list[str], theme: Theme) -> Piece:
    """When each memorized and generalized, in words and numbers."""
    head = html.Tr(
        [
            html.Th(""),
            html.Th("memorized at", className="number"),
            html.Th("generalized at", className="number"),
            html.Th("delay", className="number"),
            html.Th("generalized" if found.is_grouped else "", className="number"),
        ]
    )
    body: list[Piece] = []
    for place, line in enumerate(found.lines):
        one = len(found.lines) == 1
        swatch = html.Span(className="swatch", style={"background": theme.validation if one else theme.groups[place % len(theme.groups)]})
        delay = f"{line.generalized_at / line.memorized_at:.1f}×" if line.generalized_at and line.memorized_at else "–"
        count = f"{line.reached} of {len(line.runs)}" if found.is_grouped else "running" if line.is_running else ""
        body.append(
            html.Tr(
                [
                    html.Th([swatch, line.name], scope="row"),
                    html.Td(whole(line.memorized_at), className="number"),
                    html.Td(whole(line.generalized_at), className="number"),
                    html.Td(delay, className="number"),
                    html.Td(count, className="number"),
                ]
            )
        )
    several, is_marked = len(found.lines) > 1, len(found.lines) > 1 and "accuracy" in panels
    step = "median step to" if found.is_grouped else "step at which it"
    told = (
        "Solid: validation, dotted: train" if several else "",
        "Lines are medians, bands the range of up to 5 runs or 10–90 % of more" if found.is_grouped else "",
        f"▽ {step} memorize{'d' * (not found.is_grouped)}, ▼ {step} generalize{'d' * (not found.is_grouped)}" if is_marked else "",
    )
    words = ". ".join(text for text in told if text)
    return [html.Table([html.Thead(head), html.Tbody(body)], className="plain"), html.P(f"{words}.", className="quiet") if words else None]


def _nothing(results: Results, found: Curves) -> Piece:
    if found.told:
        return notice(found.told)
    if any(entry.run is not None for entry in results.catalog.entries()):
        return empty("No curves", "None of the chosen runs has been evaluated yet.")
    return empty(
        "No runs yet", "Curves grow here while a network is trained:", command("groklab train --operation addition --modulus 23 --width 64")
    )


PAGE = Page("curves", "Curves", layout, view, data, stamp, rows)
