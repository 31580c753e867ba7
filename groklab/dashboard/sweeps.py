"""The page of sweeps: steps and accuracies against a field of the runs, those that never got there counted as such."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import plotly.graph_objects as go
import polars as pl

from groklab.analysis.distinctions import differing, following
from groklab.analysis.statistics import WATCHED, sample_of, with_results
from groklab.analysis.survival import middle, quantile_interval, shown_median
from groklab.config.fields import leaves
from groklab.dashboard import theme as look
from groklab.dashboard.address import Address, chosen_runs
from groklab.dashboard.claims import scorecard, scorecard_stamp, scorecards
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
    setting_name,
    short,
    whole,
)  # fmt: skip
from groklab.dashboard.theme import Theme, escaped

MOST_GROUPS = 8
QUANTITIES = {"": "generalized", "memorized_at": "memorized", "delay": "delay"}
_ACCURACIES = ("best_validation_accuracy", "validation_accuracy", "train_accuracy")
ACCURACIES = {"": "best validation", "validation_accuracy": "last validation", "train_accuracy": "last train"}


class Setting(NamedTuple):
    """The runs of one line: those that agree in the field that colors them."""

    name: str
    """Field and value."""
    value: str
    runs: pl.DataFrame


class Sweep(NamedTuple):
    """Runs against a field."""

    field: str
    by: str
    settings: list[Setting]
    is_ordered: bool
    """Whether the field is a number."""
    told: str


def layout(results: Results, address: Address) -> Piece:
    """The controls, and places for both pictures and the scorecard."""
    table = with_results(results.catalog.table())
    varying = [name for name in leaves() if name in table.columns and table[name].n_unique() > 1]
    fields = [(name, name.replace("_", " ")) for name in (*varying, *(name for name in leaves() if name not in varying))]
    found = sweep_of(results, address)
    return [
        html.H1("Sweeps", className="visually-hidden"),
        html.Div(
            [
                filter_box(address),
                picker("x", "against", fields, found.field),
                picker("by", "one line for each", [("none", "nothing"), *fields], found.by or "none"),
                choice("quantity", "steps until", QUANTITIES, address),
                choice("accuracy", "accuracy", ACCURACIES, address),
                choice("scale", "field axis", {"": "auto", "log": "log", "linear": "linear"}, address),
            ],
            className="controls",
        ),
        part("told"),
        part("legend"),
        html.Div(
            [
                html.Div(
                    [
                        html.H2(part("steps-title")),
                        graph("steps", label="steps against the field", kind="half"),
                        downloads("sweeps", "steps"),
                    ],
                    className="card",
                ),
                html.Div(
                    [
                        html.H2(part("accuracy-title")),
                        graph("accuracy", label="accuracies against the field", kind="half"),
                        downloads("sweeps", "accuracy", csv=False, json=False),
                    ],
                    className="card",
                ),
            ],
            className="pair",
        ),
        part("key", "quiet small"),
        part("claims"),
    ]


def stamp(results: Results, address: Address) -> str:
    """Anything of any run, and the reports of replications."""
    results.catalog.look()
    return f"{results.catalog.version} {scorecard_stamp(results.catalog)}"


def sweep_of(results: Results, address: Address) -> Sweep:
    """The runs that an address asks about, and the field that they are seen against."""
    chosen = chosen_runs(results.catalog, address)
    ids = [entry.id for entry in chosen.entries if entry.run is not None]
    table = with_results(results.catalog.table().filter(pl.col("id").is_in(ids)))
    told = [chosen.problem] if chosen.problem else []
    known = list(leaves())
    x = address.one("x", among=known) or _usual_field(table)
    by = address.one("by", among=[*known, "none"]) or _usual_line(table, x)
    by = "" if by in ("none", x) else by
    follow = following(table, [by]) if by else []
    groups = (
        [Setting("all runs", "", table)]
        if not by
        else [
            Setting(setting_name(row, by, follow), short(row[by]), table.filter(pl.col(by).eq_missing(row[by])))
            for row in table.unique(by, maintain_order=True).sort(by).iter_rows(named=True)
        ]
    )
    if len(groups) > MOST_GROUPS:
        kept = {group.name for group in sorted(groups, key=lambda group: -group.runs.height)[:MOST_GROUPS]}
        told.append(f"The {MOST_GROUPS} largest of {len(groups)} groups are drawn. Filter the runs to see the others.")
        groups = [group for group in groups if group.name in kept]
    ordered = x in table.columns and table.schema[x].is_numeric()
    return Sweep(x, by, [group for group in groups if group.runs.height], ordered, " ".join(told))


def _usual_field(table: pl.DataFrame) -> str:
    """What was swept: the field, seeds and budgets apart, with the most values."""
    names = differing(table)
    numeric = [name for name in names if table.schema[name].is_numeric()]
    return max(numeric or names, key=lambda name: table[name].n_unique(), default="train_fraction")


def _usual_line(table: pl.DataFrame, x: str) -> str:
    """The next field in which runs differ that agree in the first."""
    names = [name for name in differing(table, within=[x]) if name != x] if table.height and x in table.columns else []
    if "operation" in names:
        return "operation"
    few = [name for name in names if table[name].n_unique() <= MOST_GROUPS]
    return max(few, key=lambda name: table[name].n_unique(), default=names[0] if names else "")


def view(results: Results, address: Address, theme: Theme) -> View:
    """Both pictures, and the scorecard where there is one."""
    found = sweep_of(results, address)
    claims = scorecard(results.catalog)
    if address.one("x") == found.field and not _was_chosen(results, address, "x", found):
        address = address.with_values(x=None)
    if address.one("by") == (found.by or "none") and not _was_chosen(results, address, "by", found):
        address = address.with_values(by=None)
    if not found.settings:
        blank = look.empty_figure(theme)
        told = notice(found.told) if found.told else _nothing(results)
        return View(
            {"steps": blank, "accuracy": blank},
            {"told": told, "steps-title": "", "accuracy-title": "", "legend": "", "key": "", "claims": claims},
            address,
        )
    quantity = address.one("quantity", "generalized_at", among=("memorized_at", "delay"))
    accuracy = address.one("accuracy", "best_validation_accuracy", among=("validation_accuracy", "train_accuracy"))
    field = found.field.replace("_", " ")
    runs = sum(setting.runs.height - setting.runs[found.field].null_count() for setting in found.settings)
    missed = sum(int(setting.runs["generalized_at" if quantity == "delay" else quantity].null_count()) for setting in found.settings)
    word = {"generalized_at": "generalize", "memorized_at": "memorize", "delay": "generalize, as a multiple of those to memorize"}[quantity]
    parts = {
        "told": notice(found.told, kind="aside") if found.told else "",
        "legend": _legend(found, theme),
        "steps-title": f"Steps to {word} against {field}",
        "accuracy-title": f"{'Best' if accuracy.startswith('best') else 'Last'} {'train' if 'train' in accuracy else 'validation'} accuracy against {field}",
        "key": f"{whole(runs)} runs; {whole(missed)} did not get there: △ at the step up to which each was watched. Lines are medians that count them as later (product limit), with a gap where fewer than half got there; bars are 90 % intervals where the runs are enough for one.",
        "claims": claims,
    }  # fmt: skip
    graphs = {
        "steps": _steps(found, quantity, address.one("scale"), theme),
        "accuracy": _accuracies(found, accuracy, address.one("scale"), theme),
    }
    return View(graphs, parts, address)


def _was_chosen(results: Results, address: Address, name: str, found: Sweep) -> bool:
    """Whether a field is in the address because somebody chose it, and not because it is the usual one."""
    usual = sweep_of(results, address.with_values(**{name: None}))
    return getattr(usual, {"x": "field"}.get(name, name)) != getattr(found, {"x": "field"}.get(name, name))


def _color(place: int, found: Sweep, theme: Theme) -> str:
    return theme.validation if len(found.settings) == 1 else theme.groups[place % len(theme.groups)]


def _legend(found: Sweep, theme: Theme) -> Piece:
    """The colors of the settings, once for both pictures: in them it would leave little room where there are many."""
    if len(found.settings) < 2:
        return ""
    items = [
        html.Span([html.Span(className="swatch", style={"background": _color(place, found, theme)}), setting.value], className="item")
        for place, setting in enumerate(found.settings)
    ]
    return html.Div([html.Span(found.by.replace("_", " ")), *items], className="key legend")


def _places(found: Sweep, runs: pl.DataFrame) -> list[Any]:
    return runs[found.field].to_list() if found.is_ordered else [escaped(short(value)) for value in runs[found.field].to_list()]


def _hover(runs: pl.DataFrame) -> list[str]:
    return [escaped(name) for name in runs["id"].to_list()]


def _steps(found: Sweep, quantity: str, scale: str, theme: Theme) -> go.Figure:
    """A dot for a run that got there, a triangle for one that did not, the median of each setting."""
    traces: list[Any] = []
    for place, setting in enumerate(found.settings):
        color = _color(place, found, theme)
        runs = setting.runs.filter(pl.col(found.field).is_not_null())
        if quantity == "delay":
            runs = runs.filter(pl.col("memorized_at") > 0)
        watched = runs[WATCHED].cast(pl.Float64).clip(1)
        if quantity == "delay":
            watched = watched / runs["memorized_at"]
        at = runs[quantity].cast(pl.Float64)
        for reached in (True, False):
            which = at.is_not_null() if reached else at.is_null()
            part_of = runs.filter(which)
            if part_of.is_empty():
                continue
            marker: dict[str, Any] = (
                {"color": look.faint(color, 0.65), "size": 7}
                if reached
                else {"color": color, "size": 9, "symbol": "triangle-up-open", "line": {"width": 1.4}}
            )
            said = "%{y:,.4~g}" if reached else "not within %{y:,.4~g}"
            traces.append(
                go.Scatter(
                    x=_places(found, part_of), y=(at if reached else watched).filter(which).to_list(), mode="markers", marker=marker, customdata=_hover(part_of), showlegend=False,
                    hovertemplate=f"%{{customdata}}<br>%{{x}}: {said}<extra></extra>",
                )
            )  # fmt: skip
        traces.append(_medians(found, setting, runs, quantity, color))
    axis = look.axis(
        theme, title="× memorized at" if quantity == "delay" else "step", type="log", range=_decades(traces), dtick=1, separatethousands=True,
        tickformat=",~g", minor={"dtick": "D1", "ticks": "outside", "ticklen": 2, "tickcolor": theme.grid},
    )  # fmt: skip
    return _figure(found, traces, axis, scale, theme, "steps")


def _decades(traces: list[Any]) -> list[float]:
    """The exponents between which a logarithmic axis runs: around all values, and over at least one power of ten."""
    values = [float(value) for trace in traces for value in trace.y if value is not None and value > 0]
    low, high = (np.log10(min(values)), np.log10(max(values))) if values else (0.0, 1.0)
    low, high = low - 0.08, high + 0.08
    if np.floor(high) < np.ceil(low):  # no power of ten between them: the nearer one comes in
        low, high = (np.floor(low) - 0.02, high) if low - np.floor(low) < np.ceil(high) - high else (low, np.ceil(high) + 0.02)
    return [float(low), float(high)]


def _medians(found: Sweep, setting: Setting, runs: pl.DataFrame, quantity: str, color: str) -> Any:
    """The line of medians with their intervals."""
    x: list[Any] = []
    middle: list[float | None] = []
    above: list[float] = []
    below: list[float] = []
    for value, part_of in _by_place(found, runs):
        sample = sample_of(part_of, quantity)  # pyright: ignore[reportArgumentType]
        at, interval = shown_median(sample), quantile_interval(sample)
        x.append(value)
        middle.append(at)
        above.append(0.0 if at is None or interval.upper is None else interval.upper - at)
        below.append(0.0 if at is None or interval.lower is None else at - interval.lower)
    return go.Scatter(
        x=x, y=middle, mode="lines+markers", name=escaped(setting.name), showlegend=len(found.settings) > 1, line={"color": color, "width": 2}, connectgaps=False,
        marker={"size": 5, "color": color}, error_y={"type": "data", "array": above, "arrayminus": below, "symmetric": False, "thickness": 1.2, "width": 4, "color": color},
        hovertemplate=f"{escaped(setting.name)}<br>%{{x}}: median %{{y:,.4~g}}<extra></extra>",
    )  # fmt: skip


def _by_place(found: Sweep, runs: pl.DataFrame) -> list[tuple[Any, pl.DataFrame]]:
    parts = runs.sort(found.field).partition_by(found.field, maintain_order=True)
    return [(_places(found, part_of)[0], part_of) for part_of in parts]


def _accuracies(found: Sweep, quantity: str, scale: str, theme: Theme) -> go.Figure:
    """A full dot for a run that generalized, an open one for one that did not, and the medians."""
    traces: list[Any] = []
    for place, setting in enumerate(found.settings):
        color = _color(place, found, theme)
        runs = setting.runs.filter(pl.col(found.field).is_not_null() & pl.col(quantity).is_not_null())
        for full in (True, False):
            part_of = runs.filter(pl.col("generalized_at").is_not_null() if full else pl.col("generalized_at").is_null())
            if part_of.is_empty():
                continue
            traces.append(
                go.Scatter(
                    x=_places(found, part_of), y=part_of[quantity].to_list(), mode="markers", customdata=_hover(part_of), showlegend=False,
                    marker={"color": color, "size": 7, "symbol": "circle" if full else "circle-open", "opacity": 0.75, "line": {"width": 1.4, "color": color}},
                    hovertemplate=f"%{{customdata}}<br>%{{x}}: %{{y:{look.SHARE}}}<extra></extra>",
                )
            )  # fmt: skip
        medians = [(value, middle(part_of[quantity].to_numpy())) for value, part_of in _by_place(found, runs)]
        traces.append(
            go.Scatter(
                x=[value for value, _ in medians], y=[value for _, value in medians], mode="lines", line={"color": color, "width": 2}, name=escaped(setting.name), showlegend=len(found.settings) > 1,
                hovertemplate=f"{escaped(setting.name)}<br>%{{x}}: median %{{y:{look.SHARE}}}<extra></extra>",
            )
        )  # fmt: skip
    axis = look.axis(theme, title="accuracy", range=[-0.03, 1.05], tickformat=".0%", nticks=6)
    return _figure(found, traces, axis, scale, theme, "accuracy")


def _figure(found: Sweep, traces: list[Any], axis: dict[str, Any], scale: str, theme: Theme, name: str) -> go.Figure:
    places = [value for setting in found.settings for value in setting.runs[found.field].drop_nulls().to_list()]
    field: dict[str, Any] = {"type": "category"}
    if found.is_ordered and places:
        low, high = min(places), max(places)
        wide = found.field != "train_fraction" and low > 0 and high / low >= 8
        is_log = low > 0 and (scale == "log" or (scale != "linear" and wide))
        field = (
            {"type": "log", "tickformat": "~g"}
            if is_log
            else {"type": "linear", **({"tickformat": ".0%"} if found.field == "train_fraction" else {})}
        )
        distinct = sorted(set(places))
        if len(distinct) <= 8:
            field |= {"tickmode": "array", "tickvals": distinct}
    return look.figure(
        theme, traces, margin={"l": 64, "r": 14, "t": 8, "b": 46}, revision=f"{found.field} {found.by} {scale} {name}",
        xaxis=look.axis(theme, title=escaped({"train_fraction": "share of the table shown"}.get(found.field, found.field.replace("_", " "))), **field), yaxis=axis, showlegend=False,
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0, "font": {"size": 12, "color": theme.ink}},  # of a saved picture
    )  # fmt: skip


def _nothing(results: Results) -> Piece:
    if any(entry.run is not None for entry in results.catalog.entries()):
        return empty("No results yet", "None of the chosen runs has been evaluated yet.")
    return empty(
        "No runs yet",
        "Fields of many runs are compared here:",
        command("groklab sweep --operation addition --modulus 23 --width 64 --train-fraction 0.5 0.6 0.7 --seed 0 1 2"),
    )


def data(results: Results, address: Address) -> dict[str, Any]:
    """The settings with their runs and medians, and the claims of a replication."""
    found = sweep_of(results, address)
    settings: list[dict[str, Any]] = []
    for setting in found.settings:
        runs = setting.runs.filter(pl.col(found.field).is_not_null())
        medians = [
            {
                "value": part_of[found.field][0],
                "runs": part_of.height,
                "generalized": part_of.height - part_of["generalized_at"].null_count(),
                "median": shown_median(sample_of(part_of)),
            }
            for _, part_of in _by_place(found, runs)
        ]
        settings.append({"name": setting.name, "medians": medians, "runs": rows_of(found, setting)})
    return {"field": found.field, "by": found.by or None, "settings": settings, "replications": scorecards(results.catalog)}


def rows_of(found: Sweep, setting: Setting) -> list[dict[str, Any]]:
    """The runs of a setting, a row each."""
    fields = [found.field, *([found.by] if found.by else [])]
    names = dict.fromkeys(["id", "status", *fields, "memorized_at", "generalized_at", "delay", WATCHED, *_ACCURACIES])
    return setting.runs.select(list(names)).to_dicts()


def rows(results: Results, address: Address) -> list[dict[str, Any]]:
    """The runs, a row each."""
    found = sweep_of(results, address)
    return [row for setting in found.settings for row in rows_of(found, setting)]


PAGE = Page("sweeps", "Sweeps", layout, view, data, stamp, rows)
