"""In what runs differ: the fields that tell settings apart, and those that differ with them without having been asked for.

A sweep over optimizers changes the decay too, as each has its usual one. Tables, comparisons and legends take from here what they show of a
setting, from values that stand for what was left open (``Run.resolved``), so that whatever differs is shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import polars as pl

from groklab.config.fields import leaves

IMPLIED = ("modulus", "mlp_width", "learning_rate", "weight_decay")
"""Fields that have a value of their own for each operation, width or optimizer unless they are given one."""

_SPOKEN = {"learning_rate": "rate", "weight_decay": "decay"}
"""Shorter words for what follows an optimizer, beside its name."""


def differing(table: pl.DataFrame, *, within: Sequence[str] = ()) -> list[str]:
    """Fields, seeds and budgets apart, in which runs differ that agree in the columns ``within``; of no columns, all runs."""
    if table.is_empty():
        return []
    names = [name for name, part in leaves().items() if part not in ("seeds", "budget") and name in table.columns and name not in within]
    counts = pl.col(names).n_unique()
    found = table.group_by(within).agg(counts).select(pl.col(names).max()) if within else table.select(counts)
    return [name for name in names if found[name][0] > 1]


def following(table: pl.DataFrame, by: Sequence[str], *, within: Sequence[str] = ()) -> list[str]:
    """What differs with the columns ``by`` without having been asked for, as the decay does with the optimizer: one value for each of theirs.

    ``within``: of runs that agree in these columns too.
    """
    if not by:
        return []
    apart = differing(table, within=[*within, *by])
    return [name for name in differing(table, within=within) if name not in by and name not in apart]


def alongside(table: pl.DataFrame, by: Sequence[str]) -> list[str]:
    """The columns ``by``, and behind them those that follow them."""
    return [*by, *following(table, by)]


def told_following(table: pl.DataFrame, field: str, values: Sequence[Any], *, within: Sequence[str] = ()) -> str | None:
    """What follows ``field`` and differs between runs with these values of it, in words: ``weight_decay 1 against 0``; None: nothing."""
    sides = [table.filter(pl.col(field).eq_missing(pl.lit(value))) for value in values]
    found = following(pl.concat(sides), [field], within=within)
    of_each = {name: [_several(side[name].unique(maintain_order=True).to_list()) for side in sides] for name in found}
    return ", ".join(f"{name} {' against '.join(told)}" for name, told in of_each.items()) or None


def _several(values: Sequence[Any]) -> str:
    return "/".join(map(_short, values[:3])) + ("/…" if len(values) > 3 else "")


def distinguishing(table: pl.DataFrame, *, within: Sequence[str] = ()) -> list[str]:
    """The fields of ``differing`` without those whose usual value follows from the others, as the decay does from the optimizer."""
    found = differing(table, within=within)
    for name in IMPLIED:
        others = [other for other in found if other not in IMPLIED]
        if name in found and others and name not in differing(table, within=[*within, *others]):
            found.remove(name)
    return found


def table_of_values(settings: Iterable[Mapping[str, Any]]) -> pl.DataFrame:
    """Settings, resolved, as a table to look for differences in: what is not the same is written differently."""
    rows = [{name: _short(value) for name, value in values.items()} for values in settings]
    return pl.DataFrame(rows, schema=dict.fromkeys(rows[0] if rows else (), pl.String))


def labels_of(table: pl.DataFrame, *, within: Sequence[str] = ()) -> list[str]:
    """What tells the setting of each row from those of the others in few words, as in a legend; one empty text for each where none differ.

    The field that differs, or of several those in which a setting departs from most, which are then the baseline; behind them the
    fields that follow, such as the decay that an optimizer brings along.
    """
    leading = distinguishing(table, within=within)
    follow = [name for name in differing(table, within=within) if name not in leading]
    rows = [{name: _short(value) for name, value in row.items()} for row in table.select(*leading, *follow).to_dicts()]
    if not leading:
        return [""] * table.height
    usual = {name: max((row[name] for row in rows), key=[row[name] for row in rows].count) for name in leading}
    of_each = {name: [other for other in following(table, [name], within=within) if other in follow] for name in leading}
    of_several = [name for name in follow if not any(name in found for found in of_each.values())]

    def behind(row: Mapping[str, str], name: str) -> list[str]:
        """What follows a field, as far as it departs from the baseline too."""
        if len(leading) == 1 or row[name] == usual[name]:
            return of_each[name]
        there = [other for other in rows if other[name] == usual[name]]
        return [follower for follower in of_each[name] if {other[follower] for other in there} != {row[follower]}]

    def label(row: Mapping[str, str]) -> str:
        departing = leading if len(leading) == 1 else [name for name in leading if row[name] != usual[name]]
        told = departing or [name for name in leading if of_each[name]]
        words = [_told(row, name, behind(row, name)) for name in told] + [f"{name} {row[name]}" for name in of_several]
        return ", ".join(words) if departing else f"baseline: {', '.join(words)}" if words else "baseline"

    return [label(row) for row in rows]


def _told(row: Mapping[str, str], name: str, follow: Sequence[str]) -> str:
    """A field and what follows it, short enough for a legend: ``sgd (decay 0, rate 0.1)``."""
    value = f"{name} {row[name]}"
    if not follow:
        return value
    spoken = [f"{_SPOKEN.get(other, other)} {row[other]}" for other in reversed(follow)]
    return f"{row[name] if name == 'optimizer' else value} ({', '.join(spoken)})"


def _short(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return " + ".join(map(str, value)) or "none"
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)
