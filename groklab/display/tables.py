"""Tables of runs and of settings as people read them: at 120 columns, with what is censored or open said in words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table as Screen
from rich.text import Text

from groklab.analysis.selection import written_in
from groklab.analysis.survival import LEVEL
from groklab.outside.streams import console, say
from groklab.text.numbers import GROKKED, given, percent

if TYPE_CHECKING:
    import polars

    from groklab.analysis.statistics import Quantity

Row = dict[str, Any]
Cell = Callable[[Row], str]
Columns = dict[str, Cell]
"""Heading to what stands below it for a row."""


def print_screen(screen: Screen, notes: Sequence[str] = ()) -> None:
    """A table for people, with notes below."""
    writer = console()
    writer.print(screen)
    for note in notes:
        writer.print(Text(f" {note}", "dim"))


def print_runs(
    table: polars.DataFrame,
    nothing: str = "no runs are stored here yet; `groklab train` makes one.",
    *,
    problems: Mapping[str, str] | None = None,
) -> None:
    """Runs in a terminal, a line each, or a sentence where there are none; ``problems`` as for ``runs_screen``."""
    if table.is_empty():
        say(nothing)
    else:
        print_screen(runs_screen(table, problems))


def runs_screen(table: polars.DataFrame, problems: Mapping[str, str] | None = None) -> Screen:
    """Rows of ``tables.runs_table``: what became of each run; ``problems`` say by id why runs cannot be read."""
    columns = runs_columns()
    if problems:
        columns["why"] = lambda row: problems.get(row["id"], "")
    screen = screen_of(columns, table.iter_rows(named=True), left=("id", "status", "why"))
    if problems:
        screen.columns[-1].no_wrap = False
    return screen


def runs_columns() -> Columns:
    """What is told of each run."""
    return {
        "id": lambda row: row["id"],
        "status": lambda row: row["status"],
        "steps": lambda row: number(row["steps"]),
        "memorized": lambda row: number(row["memorized_at"]),
        "generalized": lambda row: number(row["generalized_at"]),
        "delay": lambda row: times(row["delay"]),
        "validation": lambda row: percent(row["validation_accuracy"], threshold=row.get("threshold") or GROKKED),
    }


def settings_screen(settings: Sequence[Row], quantity: Quantity | None = None, *, level: float = LEVEL) -> Screen:
    """Rows of ``statistics.summarize``: medians, and behind them how many runs got there where not all did; or one quantity with its range.

    Accuracies are rounded by what a row holds as ``thresholds`` (``with_thresholds``), otherwise by the usual threshold.
    """
    columns = settings_columns(settings, quantity, level=level)
    return screen_of(columns, settings, left=names_before("runs", settings), folded=columns)


def settings_columns(settings: Sequence[Row], quantity: Quantity | None = None, *, level: float = LEVEL) -> Columns:
    """What is told of each setting."""
    names = names_before("runs", settings)
    told: Quantity = quantity or "generalized_at"
    unit = times if told == "delay" else number
    interval = interval_head(level)
    columns: Columns = {**setting_columns(names), "runs": lambda row: number(row["runs"])}
    if quantity is None:
        columns |= {"memorized at": lambda row: reached(row, "memorized_at")}
    columns |= {told.replace("_", " "): lambda row: reached(row, told), interval: lambda row: ends(row, told, unit)}
    if quantity is None:
        columns |= {"delay": lambda row: times(row["delay_median"])}
    else:
        columns |= {"quickest": lambda row: unit(row[f"{told}_min"]), "slowest": lambda row: unit(row[f"{told}_max"])}
    columns |= {
        "best validation": lambda row: percent(row["best_validation_accuracy"], threshold=row.get("thresholds", GROKKED)),
        "last": lambda row: percent(row["validation_accuracy"], threshold=row.get("thresholds", GROKKED)),
    }
    return columns


def with_thresholds(settings: Sequence[Row], table: polars.DataFrame) -> list[Row]:
    """Rows of ``statistics.summarize`` for people, with the thresholds of the runs that they sum up; ``table`` holds these runs."""
    from groklab.analysis.statistics import thresholds_of

    found = thresholds_of(table, names_before("runs", settings)) if settings else []
    return [row | {"thresholds": thresholds} for row, thresholds in zip(settings, found, strict=True)]


def settings_notes(settings: Sequence[Row], quantity: Quantity | None = None) -> list[str]:
    """What the reader of that table has to know, of what occurs in it."""
    shown: tuple[Quantity, ...] = ("memorized_at", "generalized_at") if quantity is None else (quantity,)
    notes: list[str] = []
    if any(row[f"{name}_censored"] for row in settings for name in shown):
        notes.append("(2 of 5): so many runs got there; the others take longer than they were trained, and the median counts them so.")
    if any(row[f"{name}_median"] is None and row[f"{name}_censored"] for row in settings for name in shown):
        notes.append("not reached: so few runs got there that the median lies beyond what was trained.")
    return notes + open_ends_note((row[f"{shown[-1]}_lower"], row[f"{shown[-1]}_upper"]) for row in settings)


def open_ends_note(intervals: Iterable[tuple[float | None, float | None]]) -> list[str]:
    """What an open end of an interval means, where there is one."""
    if all(low is not None and high is not None for low, high in intervals):
        return []
    return ["over, up to: an interval with one end, – with none: these runs are too few for it, or too few of them got there."]


# — cells —


def screen_of(columns: Columns, rows: Iterable[Row], *, left: Iterable[str], folded: Iterable[str] = ()) -> Screen:
    """A table of these columns; those named in ``left`` hold words, the others numbers. Where the screen is narrow those in ``folded`` go on
    in the next line, as what tells two rows apart may stand at their end; the others are cut."""
    screen = Screen(box=None, padding=(0, 1))
    for head in columns:
        side = "left" if head in left else "right"
        screen.add_column(head.strip(), justify=side, no_wrap=head not in folded, overflow="fold" if head in folded else "ellipsis")
    for row in rows:
        screen.add_row(*(Text(cell(row)) for cell in columns.values()))
    return screen


def names_before(end: str, rows: Sequence[Row]) -> list[str]:
    """The columns that tell a setting: all before the first that tells a result."""
    return list(rows[0])[: list(rows[0]).index(end)] if rows else []


def setting_columns(names: Iterable[str]) -> Columns:
    """The values of the fields that make a setting."""

    def cell_of(name: str) -> Cell:
        return lambda row: written_in(name, row[name])

    return {name: cell_of(name) for name in names}


def interval_head(level: float) -> str:
    """The heading of intervals of this confidence level."""
    return f"{given(level)} interval"


def reached(row: Row, quantity: Quantity) -> str:
    """A median, and behind it how many runs got there where not all did."""
    median, censored = row[f"{quantity}_median"], row[f"{quantity}_censored"]
    if median is None:
        told = "not reached" if censored else "–"
    else:
        told = times(median) if quantity == "delay" else number(median)
    there = row[f"{quantity}_reached"]
    return f"{told} ({there} of {there + censored})" if censored else told


def ends(row: Row, name: str, unit: Callable[[Any], str]) -> str:
    """The interval in the columns ``name_lower`` and ``name_upper``; null: open."""
    return between(row[f"{name}_lower"], row[f"{name}_upper"], unit)


def between(low: float | None, high: float | None, unit: Callable[[Any], str]) -> str:
    """Two ends, of which each may be open."""
    if low is None and high is None:
        return "–"
    if high is None:
        return f"over {unit(low)}"
    return f"up to {unit(high)}" if low is None else f"{unit(low)} to {unit(high)}"


def number(value: float | None) -> str:
    """A whole number."""
    return "–" if value is None else f"{value:,.0f}"


def times(value: float | None) -> str:
    """A delay."""
    return "–" if value is None else f"{value:.1f}×"


def factor(value: float | None) -> str:
    """A factor near 1."""
    return "–" if value is None else f"{value:.3g}×"


def decimal(value: float | None) -> str:
    """A number to three digits."""
    return "–" if value is None else f"{value:.3g}"
