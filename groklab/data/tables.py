"""A task as a table: all its cells (x, y), their answers z, and the elements that x, y and z are.

Everything downstream sees the table only: numbers of elements, in row-major order, whatever operation, group or file they
came from.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from groklab import registry
from groklab.config.fields import Task
from groklab.data.files import read_cells
from groklab.data.groups import CELL_LIMIT, FiniteGroup, group_named
from groklab.data.properties import is_associative, is_latin_square
from groklab.data.table import Integers, Table
from groklab.text.values import shown

_USUAL_MODULUS = 97


def table_of(task: Task) -> Table:
    """The table of a task; ValueError where it cannot be made. Equal tasks share one table."""
    entry = registry.look_up("operation", task.operation)
    match entry.facts.get("over", "modulus"):
        case "modulus":
            # The functions are part of the key: a plugin that is edited and loaded again has a table of its own.
            modulus = _USUAL_MODULUS if task.modulus is None else task.modulus
            return _modular(entry.name, entry.function, entry.facts.get("domain"), modulus, task.expression)
        case "group" | "fixed group" as over:
            group = task.group if over == "group" else entry.facts.get("on")
            if group is None:
                raise ValueError(f"operation {entry.name}: got no group; expected one such as symmetric(4).")
            return _of_group(entry.name, entry.function, str(registry.parse_call(group)), group_named(group))
        case "file":
            if task.file is None:
                raise ValueError(f"operation {entry.name}: got no file; expected a CSV file with a table.")
            cells = read_cells(task.file, task.reader)
            return _of_file(entry.name, cells)
        case over:
            raise ValueError(f"operation {entry.name}: got over={shown(over)}; expected modulus, group, fixed group or file.")


def symbol_of(entry: registry.Entry, **places: Any) -> str:
    """How an operation is written, with the modulus or the group put in."""
    symbol = str(entry.facts.get("symbol", f"{entry.name}(x, y)"))
    if "modulus" in places:
        symbol = symbol.replace("(mod n)", f"(mod {places['modulus']})")
    if "group" in places:
        symbol = symbol.replace(" in G", f" in {places['group']}")
    return symbol.replace("formula", places["formula"]) if places.get("formula") else symbol


@lru_cache(maxsize=16)
def _modular(name: str, function: Callable[..., Any], domain: Callable[..., Any] | None, n: int, formula: str | None) -> Table:
    if n < 2 or n * n > CELL_LIMIT:
        raise ValueError(
            f"operation {name}: got the modulus {n}; expected 2 to {int(CELL_LIMIT**0.5):,}, so that the table has at most {CELL_LIMIT:,} cells."
        )
    x, y = _all_pairs(n)
    if domain is not None:
        inside = _answer(name, "its domain", domain, x, y, n)
        if inside.dtype != bool:
            raise ValueError(f"operation {name}: got {inside.dtype} from its domain; expected an array of true and false.")
        x, y = x[inside], y[inside]
        if not len(x):
            raise ValueError(f"operation {name}: its domain mod {n} is empty; expected at least one cell.")
    settings = {"formula": formula} if name == "expression" else {}
    z = _whole(name, _answer(name, "its function", function, x, y, n, **settings), x, y, n)
    present = np.unique(np.concatenate([np.unique(x), np.unique(y), np.unique(z)]))
    place = np.searchsorted(present, np.arange(n))
    entry = registry.look_up("operation", name)
    return Table(
        name, symbol_of(entry, modulus=n, formula=formula), tuple(map(str, present.tolist())), *_columns(place[x], place[y], place[z])
    )


@lru_cache(maxsize=16)
def _of_group(name: str, function: Callable[..., Any], group_name: str, group: FiniteGroup) -> Table:
    x, y = _all_pairs(group.order)
    z = _whole(name, _answer(name, "its function", function, x, y, group), x, y, group.order)
    return Table(name, symbol_of(registry.look_up("operation", name), group=group_name), group.elements, *_columns(x, y, z))


@lru_cache(maxsize=4)
def _of_file(name: str, cells: Any) -> Table:
    return Table(
        name, symbol_of(registry.look_up("operation", name)), cells.elements, *_columns(cells.x, cells.y, cells.z), notes=cells.notes
    )


def notes_of(task: Task) -> tuple[str, ...]:
    """What is to be said of how a task's file is read; nothing of a table that comes from none, or cannot be read."""
    try:
        return table_of(task).notes if task.file is not None else ()
    except ValueError:
        return ()


def _all_pairs(n: int) -> tuple[Integers, Integers]:
    number = np.arange(n, dtype=np.int64)
    return np.repeat(number, n), np.tile(number, n)


def _columns(*columns: Integers) -> tuple[npt.NDArray[np.int32], ...]:
    return tuple(column.astype(np.int32) for column in columns)


def _answer(name: str, which: str, function: Callable[..., Any], x: Integers, y: Integers, over: Any, **settings: Any) -> npt.NDArray[Any]:
    """What a registered function answers on all cells; its exceptions and a wrong shape are reported in its name."""
    try:
        with np.errstate(divide="raise", invalid="raise"):
            # Copies, so that a function that works in place does not change the table's own columns.
            answer = np.asarray(function(x.copy(), y.copy(), over, **settings))
    except Exception as error:
        if settings:  # a formula explains itself
            raise
        raise ValueError(f"operation {name}: {which} failed with {type(error).__name__}: {error}.") from error
    if answer.shape != x.shape:
        raise ValueError(f"operation {name}: got shape {answer.shape} from {which}; expected {x.shape}, one value for each cell.")
    return answer


def _whole(name: str, z: npt.NDArray[Any], x: Integers, y: Integers, n: int) -> Integers:
    if not np.issubdtype(z.dtype, np.integer):
        raise ValueError(f"operation {name}: got values of type {z.dtype}; expected whole numbers (use // rather than /).")
    outside = np.flatnonzero((z < 0) | (z >= n))
    if outside.size:
        first = outside[0]
        raise ValueError(
            f"operation {name}: got {z[first]} at x = {x[first]}, y = {y[first]}, and {outside.size:,} of {len(z):,} answers outside "
            f"0 … {n - 1}. Reduce in the function, as in `return z % n`."
        )
    return z.astype(np.int64)


# — properties —


def properties(table: Table) -> dict[str, bool | None]:
    """Whether an operation is commutative, associative, a Latin square, a group.

    True is verified on every cell, False has a counterexample; None where the table is partial, has unknown answers, or
    (associativity) where the proof would take too long.
    """
    square = _product_matrix(table)
    latin = _is_latin(table) if square is None else is_latin_square(square)
    associative = None if square is None else is_associative(square)
    # A finite associative Latin square has an identity and inverses: every equation a·x = b and x·a = b has a solution.
    together = None if square is None else False if latin is False or associative is False else associative and latin
    return {"commutative": _is_commutative(table), "associative": associative, "latin_square": latin, "group": together}


def _product_matrix(table: Table) -> npt.NDArray[np.int32] | None:
    """Answers as an N × N matrix; None unless every pair of elements has a known answer."""
    total = table.cells == table.n**2 and bool(table.known.all())
    return table.z.reshape(table.n, table.n) if total else None


def _is_commutative(table: Table) -> bool | None:
    mirrored = table.mirror
    both = (mirrored >= 0) & table.known & table.known[mirrored]
    if (table.z[both] != table.z[mirrored[both]]).any():
        return False
    return True if both.all() else None


def _is_latin(table: Table) -> bool | None:
    """Of a table that is not total and closed: False where a row or column repeats an answer, True if it is Latin with other names."""
    known = np.flatnonzero(table.known)
    z = table.z[known].astype(np.int64)
    for line in (table.x, table.y):
        if len(np.unique(line[known] * np.int64(table.n) + z)) < len(known):
            return False
    sizes = {len(np.unique(column)) for column in (table.x, table.y, table.z)}
    total = len(known) == table.cells and len(sizes) == 1 and table.cells == sizes.pop() ** 2
    return True if total else None
