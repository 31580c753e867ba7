"""The page of all runs: a table to filter, sort and group, with what is running and how far it is."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import numpy as np
import polars as pl

from groklab.analysis.distinctions import alongside, distinguishing
from groklab.analysis.statistics import summarize
from groklab.config.fields import leaves
from groklab.config.sweep import is_several
from groklab.dashboard.address import Address, Chosen, condition_of, filtered, value_text
from groklab.dashboard.catalog import Entry
from groklab.dashboard.controls import (
    Page,
    Piece,
    Results,
    View,
    command,
    dcc,
    empty,
    filter_box,
    html,
    notice,
    part,
    percent,
    picker,
    setting_name,
    short,
    whole,
)
from groklab.dashboard.theme import Theme
from groklab.outside.printable import command as shell_command
from groklab.text import numbers
from groklab.text.labels import apart

PAGE_SIZE = 50
"""Rows of one page of the table."""
_LETTERS = 15
"""Letters of a value for which such a column has room."""
_FIELDS_SHOWN = 3
"""Fields in which the runs differ that have a column of their own."""
_RESULTS = (
    "steps",
    "memorized_at",
    "generalized_at",
    "delay",
    "train_accuracy",
    "validation_accuracy",
    "best_validation_accuracy",
    "validation_loss",
)
_IN_ID = ("operation", "modulus", "group", "train_fraction", "seed")
"""Fields that an id tells already."""
_SHOWN = {
    "steps": "steps",
    "train_accuracy": "train",
    "validation_accuracy": "validation",
    "memorized_at": "memorized at",
    "generalized_at": "generalized at",
}


def layout(results: Results, address: Address) -> Piece:
    """The controls, and places for the table."""
    fields = [("", "nothing"), *((name, name.replace("_", " ")) for name in ("status", *leaves()))]
    sorts = [(sign + name, f"{text}{' ↓' if sign else ''}") for name, text in _sortable() for sign in ("", "-")]
    sort = address.one("sort", "-changed", among=[value for value, _ in sorts])
    return [
        html.H1("Runs", className="visually-hidden"),
        html.Div(
            [
                filter_box(address),
                picker("group", "group by", fields, address.one("group", among=[name for name, _ in fields])),
                picker("sort", "sort by", sorts, sort),
            ],
            className="controls",
        ),
        part("summary", "summary"),
        part("table"),
    ]


def _sortable() -> list[tuple[str, str]]:
    names = ["changed", "id", "status", *_RESULTS, *leaves()]
    return [(name, {"changed": "last written", "id": "run"}.get(name, name.replace("_", " "))) for name in dict.fromkeys(names)]


def stamp(results: Results, address: Address) -> str:
    """Anything of any run: the rate of one that is training is of its last evaluations, and changes with them."""
    results.catalog.look()
    return f"{results.catalog.version} {results.catalog.unread}"


def view(results: Results, address: Address, theme: Theme) -> View:
    """The table as it is now."""
    everything = results.catalog.entries()
    if not everything and not results.catalog.unread:
        return View({}, {"table": _nothing(results), "summary": ""}, address)
    chosen = filtered(results.catalog, address.one("filter"))
    group = address.one("group", among=("status", *leaves()))
    ordered = _ordered(results, chosen, address.one("sort", "-changed"), group)
    pages = max(1, math.ceil(len(ordered) / PAGE_SIZE))
    page = min(max(address.number("page") or 1, 1), pages)
    shown = ordered[(page - 1) * PAGE_SIZE : page * PAGE_SIZE]
    fields, further = _fields(results, chosen.entries, address)
    told = {field: _told(field, shown) for field in fields}
    body: list[Piece] = []
    previous: Any = object()
    picked = set(address.many("run"))
    heads = _group_heads(results, chosen.entries, group) if group else {}
    for entry in shown:
        if group and entry.row.get(group) != previous:
            previous = entry.row.get(group)
            body.append(
                html.Tr(
                    html.Th(_group_head(group, previous, heads.get(previous), address), colSpan=len(fields) + 8, scope="rowgroup"),
                    className="group",
                )
            )
        body.append(_row(entry, told, theme, picked=entry.id in picked))
    table = html.Table([html.Thead(_head(fields, address)), html.Tbody(body)], className="runs")
    address = address.with_values(sort=None if address.one("sort") == "-changed" else address.one("sort"))
    pieces = [
        notice(chosen.problem) if chosen.problem else None,
        html.Div(table, className="scroll", tabIndex="0", role="region", **{"aria-label": "table of runs"}) if shown else None,
        None if shown or chosen.problem else empty("No run fits", "Take something out of the filter to see more."),
        html.P(f"These runs also differ in {', '.join(name.replace('_', ' ') for name in further)}.", className="quiet")
        if shown and further
        else None,
        _pages(page, pages, address),
    ]
    return View({}, {"table": [piece for piece in pieces if piece is not None], "summary": _summary(results, chosen, address)}, address)


def data(results: Results, address: Address) -> dict[str, Any]:
    """The runs that satisfy the filter, a row each, with what is said of damaged ones."""
    chosen = filtered(results.catalog, address.one("filter"))
    rows = [
        {**entry.row, "message": entry.message, "written": entry.changed}
        for entry in _ordered(results, chosen, address.one("sort", "-changed"), address.one("group", among=("status", *leaves())))
    ]
    return {"runs": rows, "count": len(rows), "unread": results.catalog.unread} | ({"problem": chosen.problem} if chosen.problem else {})


def rows(results: Results, address: Address) -> list[dict[str, Any]]:
    """The same for CSV."""
    return data(results, address)["runs"]


def _ordered(results: Results, chosen: Chosen, sort: str, group: str) -> list[Entry]:
    """Runs in the order that is asked for, those of a group together; what is not there comes last."""
    name, down = sort.removeprefix("-"), sort.startswith("-")
    ids = {entry.id: entry for entry in chosen.entries}
    table = results.catalog.table().filter(pl.col("id").is_in(list(ids)))
    table = table.with_columns(changed=pl.Series([ids[i].changed for i in table["id"]], dtype=pl.Float64))
    keys = [*([group] if group else []), name if name in table.columns else "changed"]
    table = table.sort(keys, descending=[*([False] if group else []), down], nulls_last=True, maintain_order=True)
    return [ids[i] for i in table["id"]]


def _fields(results: Results, entries: Sequence[Entry], address: Address) -> tuple[list[str], list[str]]:
    """The fields that have a column: those in which the runs differ and that their ids do not tell, and the one that they are sorted by.

    Behind them those for which there is no room.
    """
    known = [entry.id for entry in entries if entry.run is not None]
    table = results.catalog.table().filter(pl.col("id").is_in(known))
    found = [name for name in alongside(table, distinguishing(table)) if name not in _IN_ID]
    sort = address.one("sort").removeprefix("-")
    first = [sort] if sort in (*leaves(), *_RESULTS) and sort not in _SHOWN else []
    fields = [name for name in dict.fromkeys([*first, *found]) if name != address.one("group")]
    return fields[:_FIELDS_SHOWN], fields[_FIELDS_SHOWN:]


def _head(fields: Sequence[str], address: Address) -> Piece:
    current = address.one("sort", "-changed")

    def head(name: str, text: str, kind: str = "") -> Piece:
        # Results are looked for at their best or newest, fields from their smallest.
        first = f"-{name}" if name in ("changed", "validation_accuracy", "train_accuracy", "steps") else name
        turned = first.removeprefix("-") if current == first and first.startswith("-") else f"-{name}" if current == first else first
        arrow = "" if current.removeprefix("-") != name else " ↓" if current.startswith("-") else " ↑"
        order = {" ↓": "descending", " ↑": "ascending"}.get(arrow, "none")
        link = dcc.Link(text + arrow, href="/" + address.with_values(sort=turned, page=None).search)
        return html.Th(link, scope="col", className=kind, **{"aria-sort": order})

    return html.Tr(
        [
            html.Th(html.Span("select", className="visually-hidden"), scope="col"),
            head("status", "status"),
            head("id", "run"),
            html.Th("curve", scope="col", className="curve"),
            *[head(name, text, "number") for name, text in _SHOWN.items()],
            *[head(name, name.replace("_", " "), _kind(place)) for place, name in enumerate(fields)],
            head("changed", "written", "number late"),
        ]
    )


def _row(entry: Entry, fields: Mapping[str, Mapping[str, str]], theme: Theme, *, picked: bool) -> Piece:
    """A line of the table; ``fields`` say how the values of each are written where there is little room."""
    label = html.Span(f"select {entry.id}", className="visually-hidden")
    pick = dcc.Checklist([{"label": label, "value": "on"}], ["on"] if picked else [], id={"pick": entry.id}, className="pick")
    name = dcc.Link(entry.id, href=f"/curves?run={quote(entry.id)}") if entry.run is not None else html.Span(entry.id)
    if entry.run is None:
        told = html.Td([html.Span(entry.id), html.Small(entry.message)], colSpan=len(fields) + 7, className="name told")
        return html.Tr(
            [html.Td(""), html.Td(_status(entry)), told, html.Td(_ago(entry.changed), className="number late")], className="damaged"
        )
    return html.Tr(
        [
            html.Td(pick),
            html.Td(_status(entry)),
            html.Td(name, className="name"),
            html.Td(html.Img(src=_sparkline(entry, theme), alt=""), className="curve"),
            html.Td(whole(entry.row.get("steps")), className="number"),
            html.Td(percent(entry.row.get("train_accuracy"), threshold=entry.row.get("threshold")), className="number"),
            html.Td(percent(entry.row.get("validation_accuracy"), threshold=entry.row.get("threshold")), className="number"),
            html.Td(whole(entry.row.get("memorized_at")), className="number"),
            html.Td(whole(entry.row.get("generalized_at")), className="number"),
            *[
                html.Td(told[whole_value], className=_kind(place), title=whole_value)
                for place, (field, told) in enumerate(fields.items())
                for whole_value in [_written(field, entry)]
            ],
            html.Td(_ago(entry.changed), className="number late"),
        ]
    )


def _told(field: str, entries: Sequence[Entry]) -> dict[str, str]:
    """The values of a field as the table writes them: short, and those that differ differently."""
    values = list(dict.fromkeys(_written(field, entry) for entry in entries if entry.run is not None))
    return dict(zip(values, apart(values, _LETTERS), strict=True))


def _written(field: str, entry: Entry) -> str:
    """A field's value in a few letters, a list as on the command line."""
    value = entry.row.get(field)
    return value_text(field, value) if is_several(field) and value is not None else short(value)


def _kind(place: int) -> str:
    """The class of a field's column; the last of three has room on a wide screen only."""
    return "value wide" if place == _FIELDS_SHOWN - 1 else "value"


def _status(entry: Entry) -> Piece:
    """A word with a dot, and while a run is trained how far it is."""
    dot = html.Span(
        [html.Span(className="dot"), html.Span(entry.status, className="word")],
        className=f"status {entry.status}",
        title=entry.message or None,
    )
    if entry.status != "running" or entry.run is None:
        return dot
    budget, step = entry.run.budget.steps, int(entry.row.get("steps") or 0)
    share = min(1.0, step / budget)
    bar = html.Div(
        html.Div(style={"width": f"{100 * share:.1f}%"}),
        className="bar",
        role="progressbar",
        **{"aria-valuenow": f"{100 * share:.0f}", "aria-valuemin": "0", "aria-valuemax": "100", "aria-label": "share of the budget"},
    )
    return html.Div([dot, bar, html.Small(_rate(entry, budget - step))])


def _rate(entry: Entry, left: int) -> str:
    """Steps a second over the last evaluations, and how long the budget would last at that."""
    times = entry.history.columns.get("wall_time")
    if times is None or len(times) < 2:
        return ""
    back = max(0, len(times) - 6)
    seconds = float(times[-1] - times[back])
    steps = int(entry.history.step[-1] - entry.history.step[back])
    if not math.isfinite(seconds) or seconds <= 0 or steps <= 0:
        return ""
    rate = steps / seconds
    return f"{numbers.steps_per_second(rate)}, ≤ {numbers.duration(left / rate, units=1)}"


def _ago(then: float) -> str:
    if not then:
        return "–"
    seconds = max(0.0, time.time() - then)
    return "now" if seconds < 10 else f"{numbers.duration(seconds, units=1)} ago"


def _sparkline(entry: Entry, theme: Theme) -> str:
    """Both accuracies against the logarithm of the step, as a small picture."""
    width, height = 96, 22
    steps = entry.history.step
    if len(steps) < 2:
        return "data:image/svg+xml," + quote(f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"/>')
    places = np.log10(np.maximum(steps, 1))
    x = 1 + (width - 2) * places / max(float(places[-1]), 1e-9)
    lines = ""
    for name, color in (("train_accuracy", theme.train), ("validation_accuracy", theme.validation)):
        y = 2 + (height - 4) * (1 - np.clip(np.nan_to_num(entry.history.columns[name]), 0, 1))
        # Where steps share a pixel the last one is enough.
        kept = np.append(np.diff(np.rint(x)) > 0, True)
        points = " ".join(f"{a:.0f},{b:.1f}" for a, b in zip(x[kept], y[kept], strict=True))
        lines += f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="1.5" stroke-linejoin="round"/>'
    return "data:image/svg+xml," + quote(f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}">{lines}</svg>')


def _group_heads(results: Results, entries: Sequence[Entry], group: str) -> dict[Any, dict[str, Any]]:
    known = results.catalog.table().filter(pl.col("id").is_in([entry.id for entry in entries if entry.run is not None]))
    by = alongside(known, [group]) if group in leaves() else [group]
    return {row[group]: row for row in summarize(known, by).iter_rows(named=True)} if known.height else {}


def _group_head(group: str, value: Any, summary: dict[str, Any] | None, address: Address) -> Piece:
    follow = list(summary)[1 : list(summary).index("runs")] if summary is not None else []
    words = [html.Strong(setting_name(summary or {group: value}, group, follow))]
    if summary is not None and summary["runs"]:
        reached, runs = summary["generalized_at_reached"], summary["runs"]
        middle = summary["generalized_at_median"]
        told = f"{reached} of {runs} generalized" + (f", median step {whole(middle)}" if middle is not None else "")
        words.append(html.Span(told))
    if value is not None:
        both = " ".join(text for text in (address.one("filter"), condition_of(group, value)) if text)
        words.append(dcc.Link("curves", href="/curves" + Address.of("").with_values(filter=both).search))
    return html.Div(words)


def _pages(page: int, pages: int, address: Address) -> Piece | None:
    if pages == 1:
        return None

    def link(to: int, text: str) -> Piece:
        if not 1 <= to <= pages:
            return html.Span(text, className="quiet")
        return dcc.Link(text, href="/" + address.with_values(page=None if to == 1 else to).search)

    return html.Nav(
        [link(page - 1, "← previous"), html.Span(f"page {page:,} of {pages:,}"), link(page + 1, "next →")],
        className="pages",
        **{"aria-label": "pages"},
    )


def _summary(results: Results, chosen: Chosen, address: Address) -> Piece:
    everything = results.catalog.entries()
    states = [entry.status for entry in everything]
    counts = [
        f"{states.count(state):,} {state}" for state in ("running", "interrupted", "diverged", "damaged", "unreadable") if state in states
    ]
    shown = (
        f"{len(chosen.entries):,} of {len(everything):,} runs"
        if len(chosen.entries) != len(everything)
        else f"{len(everything):,} run{'s' * (len(everything) != 1)}"
    )
    unread = [f"reading {results.catalog.unread:,} more …"] if results.catalog.unread else []
    words: list[Piece] = [html.P(" · ".join([shown, *counts, *unread]))]
    picked = address.many("run")
    if picked:
        here = Address.of("").with_values(run=picked).search
        several = f"{len(picked)} selected"
        compare = dcc.Link("compare their curves" if len(picked) > 1 else "its curves", href=f"/curves{here}", className="button")
        words.append(
            html.Div([html.Span(several), compare, dcc.Link("clear", href="/" + address.with_values(run=None).search)], className="picked")
        )
    return words


def _nothing(results: Results) -> Piece:
    where = str(results.catalog.shown_root)
    return empty(
        "No runs yet" if results.catalog.root.is_dir() else "There is no such folder yet",
        html.P(["The results folder is ", html.Code(where), ". Train something, and it appears here within seconds:"]),
        command(
            f"groklab train --operation addition --modulus 23 --width 64 --train-fraction 0.8{'' if where == 'runs' else ' ' + shell_command('--runs', where)}"
        ),
        "Another folder is shown by: groklab dashboard FOLDER",
    )


PAGE = Page("runs", "Runs", layout, view, data, stamp, rows)
