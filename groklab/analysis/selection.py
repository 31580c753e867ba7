"""Which runs of a table are meant: conditions on its columns.

    select(runs_table(stored), ["operation=addition", "train_fraction>=0.3", "generalized_at!=none"])

are the runs of addition at 30 % or more that generalized.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import polars as pl

from groklab import registry
from groklab.config.sweep import is_several, sweep_of, written
from groklab.text.values import shown

OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "<=": lambda column, value: (column < value) | _equal(column, value),
    ">=": lambda column, value: (column > value) | _equal(column, value),
    "!=": lambda column, value: ~_equal(column, value),
    "=": lambda column, value: _equal(column, value),
    "<": lambda column, value: (column < value) & ~_equal(column, value),
    ">": lambda column, value: (column > value) & ~_equal(column, value),
}
"""What stands between a column and a value; the longer ones first, as they are looked for."""

SAME = 1e-9
"""Decimals that differ by a smaller part of themselves are equal: 0.3 and 0.1 + 0.2."""

_WRITTEN = re.compile(rf"\s*([A-Za-z][\w-]*)\s*({'|'.join(OPERATORS)})=?\s*(.*?)\s*", re.DOTALL)


class Condition(NamedTuple):
    """What a column is asked for."""

    field: str
    operator: str
    """One of = != < <= > >=."""
    value: Any
    """A number, a word, a list of parts, None for what is not there, or any of these as it is written on the command line."""

    @classmethod
    def of(cls, text: str) -> Condition:
        """From ``FIELD=VALUE``, with any of the operators; ``none`` is the value that is not there.

        >>> Condition.of("train-fraction >= 0.3")
        Condition(field='train_fraction', operator='>=', value='0.3')
        """
        found = _WRITTEN.fullmatch(text)
        if found is None or not found[3]:
            raise ValueError(
                f"filter: got {shown(text)}; expected FIELD=VALUE, or another of {' '.join(OPERATORS)} between them. "
                "Quote what holds < or > in a shell, as in 'train_fraction>=0.3'."
            )
        return cls(found[1].replace("-", "_"), found[2], found[3])

    def __str__(self) -> str:
        return f"{self.field}{self.operator}{'none' if self.value is None else written(self.value)}"


def select(table: pl.DataFrame, conditions: Iterable[str | Condition]) -> pl.DataFrame:
    """The rows of a table that satisfy all conditions, in their order.

    Columns of numbers compare as numbers, columns of text by = and !=, and by < and > where they hold numbers (outliers, batch_size).
    A field that is a list is written as on the command line, ``interventions=sam+weight_noise(std=0.01)``, ``interventions=none``
    for an empty one. What is not there (``generalized_at`` of a run that did not get there) equals ``none`` only, differs
    from every value, and is neither above nor below any. ValueError for an unknown column or a value that does not compare.
    """
    for condition in conditions:
        asked = Condition.of(condition) if isinstance(condition, str) else condition
        if asked.operator not in OPERATORS:
            raise ValueError(f"filter: got the operator {shown(asked.operator)} in {asked}; expected one of {' '.join(OPERATORS)}.")
        table = table.filter(_holds(table, asked).fill_null(value=False))
    return table


def check_columns(what: str, names: Iterable[str], table: pl.DataFrame) -> None:
    """ValueError with the nearest names for a column that a table has not."""
    for name in names:
        if name not in table.columns:
            raise ValueError(f"{what}: got {shown(name)}; expected a column of the table of runs. {registry.nearest(name, table.columns)}")


def value_in(what: str, table: pl.DataFrame, name: str, value: Any) -> Any:
    """The value of a column that is meant by a text, as the column holds it; ValueError names those that are there."""
    check_columns(what, [name], table)
    found = select(table, [Condition(name, "=", value)])[name].head(1).to_list()
    if table.is_empty():
        raise ValueError(f"{what}: got {name} {value}, and no runs; expected runs that have it.")
    if not found:
        there = [written_in(name, other) for other in table[name].unique(maintain_order=True).to_list()]
        some = ", ".join(there[:10]) + (" …" if len(there) > 10 else "")
        raise ValueError(f"{what}: got {name} {value}, which none of these runs has; expected one of {some}.")
    return found[0]


def written_in(name: str, value: Any) -> str:
    """A value of a column as it is written on the command line: lists with + between their parts, ``none`` for nothing."""
    if value is None:
        return "none"
    if is_several(name) and isinstance(value, str):
        return written(tuple(ast.literal_eval(value)))
    return str(value)


def _holds(table: pl.DataFrame, asked: Condition) -> pl.Expr:
    check_columns("filter", [asked.field], table)
    kind = table.schema[asked.field]
    column = pl.col(asked.field) if kind.is_numeric() or kind == pl.Boolean else pl.col(asked.field).cast(pl.String)
    is_empty_list = is_several(asked.field) and kind == pl.String  # which is a value, and not the lack of one
    if (asked.value is None or asked.value == "none") and not is_empty_list:
        if asked.operator not in ("=", "!="):
            raise ValueError(f"filter: got '{asked}'; expected a value. Only = and != compare with none.")
        return column.is_null() if asked.operator == "=" else column.is_not_null()
    number = _number(asked.value)
    if kind == pl.Boolean:
        truth = {"true": True, "false": False}.get(str(asked.value).lower())
        if truth is None or asked.operator not in ("=", "!="):
            raise ValueError(f"filter: got '{asked}'; expected {asked.field}=true or {asked.field}=false.")
        return column.eq_missing(pl.lit(truth)) if asked.operator == "=" else column.ne_missing(pl.lit(truth))
    if kind.is_numeric():
        if number is None:
            raise ValueError(
                f"filter: got '{asked}'; expected a number, as {asked.field} is one, such as {asked.field}{asked.operator}1000."
            )
        return _compared(column, asked.operator, number)
    if asked.operator in ("=", "!="):
        same = column.is_in(_texts(asked.field, asked.value))
        if number is not None:
            same = same | _equal(column.cast(pl.Float64, strict=False), number).fill_null(value=False)
        return same.fill_null(value=False) if asked.operator == "=" else ~same.fill_null(value=False)
    numbers = table[asked.field].cast(pl.Float64, strict=False)
    if number is None or (numbers.is_null().all() and not table[asked.field].is_null().all()):
        raise ValueError(f"filter: got '{asked}'; expected = or !=, as {asked.field} holds no numbers here.")
    return _compared(column.cast(pl.Float64, strict=False), asked.operator, number)


def _compared(column: pl.Expr, operator: str, number: int | float) -> pl.Expr:
    found = OPERATORS[operator](column, number)
    return found | column.is_null() if operator == "!=" else found


def _equal(column: pl.Expr, number: int | float) -> pl.Expr:
    """Equal as far as decimals can be; whole numbers exactly, as seeds may have 19 digits."""
    if isinstance(number, int):
        return column == number
    return (column.cast(pl.Float64) - number).abs() <= SAME * abs(number)


def _number(value: Any) -> int | float | None:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return value if math.isfinite(value) else None
    for kind in (int, float):
        try:
            found = kind(str(value).replace("_", "x"))  # 1_000 is Python's way of writing, not ours
        except ValueError:
            continue
        return found if math.isfinite(found) else None
    return None


def _texts(name: str, value: Any) -> list[str]:
    """How a value may stand in a column of text: as it is given, and, of a field that is a list, as the list that is meant."""
    return [str(value), *map(str, sweep_of(**{name: [value]}).axes[name])] if is_several(name) else [str(value)]
