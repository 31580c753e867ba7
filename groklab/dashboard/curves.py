"""The data of the curves: histories of the chosen runs and their measures, one by one or as the median and band of each group."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import polars as pl

from groklab.analysis.distinctions import distinguishing, following
from groklab.analysis.statistics import sample_of
from groklab.analysis.survival import shown_median
from groklab.config.fields import leaves
from groklab.dashboard.access import check_file, check_inside
from groklab.dashboard.address import Address, chosen_runs
from groklab.dashboard.catalog import Entry
from groklab.dashboard.computing import cache_of
from groklab.dashboard.controls import Results, setting_name, short
from groklab.dashboard.network import Memory, remembered
from groklab.figures.curves import FEW, on_common_steps, quantiles
from groklab.results.files import StoreError
from groklab.results.measures import kept_numbers
from groklab.results.store import RunFolder

Values = np.ndarray

ONE_BY_ONE = 12
"""Up to so many runs are drawn each unless something else is asked for."""
MOST_RUNS = 60
"""Curves that can be told apart at all, and that a browser draws quickly."""
MOST_GROUPS = 8
"""Groups for which there are colors."""
_lines = Memory(4 * MOST_RUNS)


class Line(NamedTuple):
    """The curves of one run, or of one group of runs."""

    name: str
    runs: list[str]
    step: dict[str, Values]
    """Panel column -> steps; measures of checkpoints have their own."""
    middle: dict[str, Values]
    low: dict[str, Values]
    high: dict[str, Values]
    memorized_at: float | None
    generalized_at: float | None
    """Of a group the median, runs that did not get there censored."""
    reached: int
    """Runs that generalized."""
    is_running: bool


class Curves(NamedTuple):
    """What is drawn."""

    lines: list[Line]
    is_grouped: bool
    group: str
    measures: list[str]
    """All columns that the runs have besides accuracies and losses."""
    told: str
    """What was left out, and why."""


def curves_of(results: Results, address: Address, panels: Sequence[str]) -> Curves:
    """The curves that an address asks for; ``panels``: accuracy, loss and names of measures."""
    chosen = chosen_runs(results.catalog, address)
    entries = [entry for entry in chosen.entries if len(entry.history.step)]
    measures, table = measures_of(entries), results.catalog.table()
    told = [chosen.problem] if chosen.problem else []
    group = address.one("group", among=("", "all", "status", *leaves()))
    draw = address.one("draw", among=("runs", "median"))
    grouped = draw == "median" or bool(group and draw != "runs") or (not draw and len(entries) > ONE_BY_ONE)
    if not grouped:
        if len(entries) > MOST_RUNS:
            told.append(f"The first {MOST_RUNS} of {len(entries):,} runs are drawn. Filter them, or draw medians.")
        kept = entries[:MOST_RUNS]
        names = names_of(kept)
        return Curves([_line(table, names[entry.id], [entry], panels) for entry in kept], False, "", measures, " ".join(told))
    group = group or _usual_group(table, entries)
    groups: dict[str, list[Entry]] = {}
    drawn = table.filter(pl.col("id").is_in([entry.id for entry in entries if entry.run is not None]))
    follow = following(drawn, [group]) if group in leaves() else []
    for entry in entries:
        name = "all runs" if group in ("", "all") else setting_name(entry.row, group, follow)
        groups.setdefault(name, []).append(entry)
    largest = sorted(groups, key=lambda name: -len(groups[name]))[:MOST_GROUPS]
    if len(groups) > MOST_GROUPS:
        told.append(f"The {MOST_GROUPS} largest of {len(groups)} groups are drawn. Filter the runs to see the others.")
    order = sorted(largest, key=lambda name: _place(groups[name][0], group))
    return Curves([_line(table, name, groups[name], panels) for name in order], True, group, measures, " ".join(told))


def _place(entry: Entry, group: str) -> tuple[int, float, str]:
    """Numbers by size, then words."""
    value = entry.row.get(group)
    return (0, float(value), "") if isinstance(value, (int, float)) else (1, 0.0, str(value))


def _usual_group(table: pl.DataFrame, entries: Sequence[Entry]) -> str:
    """The first field, seeds apart, in which the runs differ."""
    found = distinguishing(table.filter(pl.col("id").is_in([entry.id for entry in entries])))
    return found[0] if found else "all"


def names_of(entries: Sequence[Entry]) -> dict[str, str]:
    """What tells runs apart in a legend: the fields in which they differ, or their ids."""
    if len(entries) < 2:
        return {entry.id: entry.id for entry in entries}
    fields = [name for name, part in leaves().items() if part != "budget" and len({str(entry.row.get(name)) for entry in entries}) > 1]
    names = {entry.id: ", ".join(f"{field.replace('_', ' ')} {short(entry.row.get(field))}" for field in fields[:4]) for entry in entries}
    return names if len(set(names.values())) == len(entries) else {entry.id: entry.id for entry in entries}


def measures_of(entries: Sequence[Entry]) -> list[str]:
    """Columns of the histories that are measures, and numbers that were taken of checkpoints."""
    found: dict[str, None] = {}
    for entry in entries[:200]:
        found |= dict.fromkeys(entry.history.measures())
    for entry in entries[:MOST_RUNS]:
        found |= dict.fromkeys(numbers_of(entry))
    return list(found)


def numbers_of(entry: Entry) -> dict[str, tuple[Values, Values]]:
    """Numbers taken of checkpoints, kept with the run or in the cache: column name to steps and values; read where a file has changed."""
    mark = _measured_mark(entry)
    return remembered(("numbers", entry.folder.path, mark), lambda: _read_numbers(entry), is_small=True) if mark else {}


def _measured_mark(entry: Entry) -> tuple[tuple[str, int, int], ...]:
    """Names, sizes and times of the files that hold numbers of a run's checkpoints; nothing where there are none."""
    found: list[tuple[str, int, int]] = []
    for folder in (cache_of(entry), entry.folder):
        with contextlib.suppress(OSError), os.scandir(folder.path / "measures") as files:
            for file in files:
                if file.name.endswith(".jsonl"):
                    about = file.stat()
                    found.append((file.path, about.st_size, about.st_mtime_ns))
    return tuple(sorted(found))


def _read_numbers(entry: Entry) -> dict[str, tuple[Values, Values]]:
    found: dict[str, dict[int, float]] = {}
    for folder in (cache_of(entry), entry.folder):
        try:
            measures = _numbers_in(entry, folder)
        except (StoreError, OSError):
            continue  # the page of the circuit says what is wrong
        for name, by_step in measures.items():
            settings = name.partition("-")[2]
            for step, values in by_step.items():
                for column, value in values.items():
                    if isinstance(value, (int, float)):
                        found.setdefault(column + (f".{settings}" if settings else ""), {})[step] = float(value)
    return {name: (np.array(sorted(by_step)), np.array([by_step[step] for step in sorted(by_step)])) for name, by_step in found.items()}


def _numbers_in(entry: Entry, folder: RunFolder) -> dict[str, dict[int, dict[str, float | None]]]:
    if folder is entry.folder:
        root = folder.path.parent
        if check_file(root, folder.path / "measures") is None:
            return {}
        check_inside(root, folder.path / "measures")
        for file in (folder.path / "measures").glob("*.jsonl"):
            check_file(root, file)
    return kept_numbers(folder)


def columns_in(panel: str) -> tuple[str, ...]:
    """The columns that a panel shows: both splits of accuracies and losses, or a measure."""
    return (f"train_{panel}", f"validation_{panel}") if panel in ("accuracy", "loss") else (panel,)


def _line(table: pl.DataFrame, name: str, entries: Sequence[Entry], panels: Sequence[str]) -> Line:
    """The curves of some runs, computed anew where one of the runs, or a measure that was taken of it, is another than before."""
    is_measured = not set(panels) <= {"accuracy", "loss"}
    versions = tuple((entry.folder.path, entry.version, _measured_mark(entry) if is_measured else ()) for entry in entries)
    return _lines.get((name, tuple(panels), versions), lambda: _made_line(table, name, entries, panels))


def _made_line(table: pl.DataFrame, name: str, entries: Sequence[Entry], panels: Sequence[str]) -> Line:
    step: dict[str, Values] = {}
    middle: dict[str, Values] = {}
    low: dict[str, Values] = {}
    high: dict[str, Values] = {}
    for column in (column for panel in panels for column in columns_in(panel)):
        runs = [found for entry in entries if (found := _column(entry, column)) is not None]
        if not runs:
            continue
        if len(entries) == 1:
            step[column], middle[column] = runs[0]["step"], runs[0][column]
            continue
        steps, values = on_common_steps(runs, column)
        shares = (0.0, 0.5, 1.0) if len(runs) <= FEW else (0.1, 0.5, 0.9)
        step[column] = steps
        low[column], middle[column], high[column] = quantiles(values, shares)
    memorized, generalized = (_median_at(table, entries, which) for which in ("memorized_at", "generalized_at"))
    reached = sum(entry.row.get("generalized_at") is not None for entry in entries)
    running = any(entry.status == "running" for entry in entries)
    return Line(name, [entry.id for entry in entries], step, middle, low, high, memorized, generalized, reached, running)


def _column(entry: Entry, column: str) -> dict[str, Values] | None:
    if column in entry.history.columns:
        return {"step": entry.history.step.astype(np.float64), column: entry.history.columns[column]}
    found = numbers_of(entry).get(column)
    return None if found is None or not len(found[0]) else {"step": found[0].astype(np.float64), column: found[1]}


def _median_at(table: pl.DataFrame, entries: Sequence[Entry], which: Literal["memorized_at", "generalized_at"]) -> float | None:
    """The step of one run, the median of several as the other pages have it: from their rows of the table of runs."""
    if len(entries) == 1:
        return entries[0].row.get(which)
    return shown_median(sample_of(table.filter(pl.col("id").is_in([entry.id for entry in entries])), which))


def data(results: Results, address: Address) -> dict[str, Any]:
    """The curves as lists, a nan as null."""
    found = curves_of(results, address, panels_of(address))
    return {
        "drawn": "median" if found.is_grouped else "runs",
        "group": found.group or None,
        "measures": found.measures,
        "curves": [
            {
                "name": line.name,
                "runs": line.runs,
                "memorized_at": line.memorized_at,
                "generalized_at": line.generalized_at,
                "generalized": line.reached,
                "columns": {
                    column: {"step": line.step[column].tolist(), "value": listed(line.middle[column])}
                    | ({"low": listed(line.low[column]), "high": listed(line.high[column])} if column in line.low else {})
                    for column in line.step
                },
            }
            for line in found.lines
        ],
    } | ({"told": found.told} if found.told else {})


def rows(results: Results, address: Address) -> list[dict[str, Any]]:
    """The curves as rows: name, step, a column each, with ``_low`` and ``_high`` behind those that are medians."""
    found: dict[tuple[str, float], dict[str, Any]] = {}
    for line in curves_of(results, address, panels_of(address)).lines:
        for column, steps in line.step.items():
            for kind, values in (("", line.middle), ("_low", line.low), ("_high", line.high)):
                for step, value in zip(steps.tolist(), listed(values[column]) if column in values else [], strict=False):
                    found.setdefault((line.name, step), {"name": line.name, "step": int(step)})[column + kind] = value
    return [found[key] for key in sorted(found)]


def panels_of(address: Address) -> list[str]:
    """The panels that an address asks for: accuracy and loss without a word."""
    return list(dict.fromkeys(address.many("panel"))) or ["accuracy", "loss"]


def listed(values: Values) -> list[float | None]:
    """Numbers as JSON can hold them."""
    return [float(value) if np.isfinite(value) else None for value in values]
