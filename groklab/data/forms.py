"""The two forms of a table in a file: a row for each cell with its x, y and z, or a matrix with the elements above and to the left."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from groklab.data.groups import CELL_LIMIT
from groklab.data.rows import NAMED, Text, rows_of
from groklab.data.spellings import whole
from groklab.outside.spreadsheets import bare
from groklab.text.values import shown

LONGEST_NAME = 1000
MOST_NAMES = 1_000_000
"""Names of a table; a network has a row of numbers for each of them."""
BOTH_FORMS = (
    "Expected a header x, y, z and a row for each cell; or a matrix, whose first row and first column name the same elements, "
    "the row being x and the column y."
)
NAMELESS = "the first column has no name in the header, and is not read: it looks like the numbers or names of the rows."
COMPLETED = frozenset(("filled", "confidence", "agreement"))
"""Columns by which a file is known that `groklab complete` wrote."""
_SHOWN = 5
PIECE = 100_000

Codes = npt.NDArray[np.int32]


class NoFormError(ValueError):
    """A file, read with one separator, that has neither form."""


@dataclass(frozen=True, eq=False)
class Written:
    """What a file says, cell by cell, before its names are understood: places in ``names``, of which 0 is an empty field."""

    names: Sequence[str]
    x: Codes
    y: Codes
    z: Codes
    lines: Codes
    """The line that each cell is on."""
    notes: tuple[str, ...] = field(default=(), kw_only=True)
    is_new: bool = field(default=False, kw_only=True)
    """Whether the first reader would have read it otherwise, or not at all."""
    corner: str | None = field(default=None, kw_only=True)
    """What a matrix holds in its first cell; None in the other form."""
    header: tuple[str, str, str] = field(default=("x", "y", "z"), kw_only=True)
    """The names of the columns as they are written."""

    def name(self, place: Any) -> str:
        """The name at a place, a number of any kind."""
        return self.names[int(place)]

    def noted(self, *notes: str, is_new: bool = True) -> Written:
        """With notes of what was done."""
        return replace(self, notes=(*self.notes, *notes), is_new=self.is_new or is_new)

    def at(self, which: npt.NDArray[np.bool_]) -> Written:
        """Some of its cells."""
        return replace(self, x=self.x[which], y=self.y[which], z=self.z[which], lines=self.lines[which])


@dataclass
class _Names:
    """Names and their places, in the order in which they come."""

    places: dict[str, int] = field(default_factory=lambda: {"": 0})

    def __call__(self, name: str) -> int:
        return self.places.setdefault(name, len(self.places))


# — a row for each cell —


def plain_rows(text: Text) -> Written:
    """A file as the first reader takes it: columns x, y and z between commas, every name as it stands."""
    rows = rows_of(text, ",")
    header = next(rows, None)
    if header is None:
        raise ValueError("empty; expected a header with the columns x, y, z and one row for each cell.")
    line, names = header
    missing = [name for name in "xyz" if name not in names]
    if missing:
        told = f"no column {' and no column '.join(missing)}; found {_listed(names)}"
        raise ValueError(f"line {line}: {told}. The first line must name the columns x, y, z.")
    return _cells_in(_even(rows, len(names)), _places(names, line, str))


def _places(names: Sequence[str], line: int, spelled: Callable[[str], str]) -> tuple[int, int, int]:
    """Where x, y and z are in a header that has them; ValueError where it has one of them twice."""
    written = [spelled(name) for name in names]
    repeated = [name for name in "xyz" if written.count(name) > 1]
    if repeated:
        raise ValueError(f"line {line}: column {' and column '.join(repeated)} more than once; found {_listed(names)}.")
    x, y, z = (written.index(name) for name in "xyz")
    return x, y, z


def _even(rows: Iterator[tuple[int, list[str]]], width: int) -> Iterator[tuple[int, list[str]]]:
    for line, values in rows:
        if len(values) != width:
            advice = " Decimal commas need another separator, such as semicolons." if len(values) == 2 * width else ""
            raise ValueError(f"line {line}: got {len(values):,} fields; expected {width:,}, as in the header.{advice}")
        yield line, values


def _cells_in(rows: Iterator[tuple[int, list[str]]], places: tuple[int, int, int]) -> Written:
    at_x, at_y, at_z = places
    named = _Names()
    x, y, z, lines = array("i"), array("i"), array("i"), array("i")
    across, down = set[int](), set[int]()
    for number, (line, values) in enumerate(rows, 1):
        x.append(named(values[at_x]))
        y.append(named(values[at_y]))
        z.append(named(values[at_z]))
        lines.append(line)
        if number % PIECE == 0:
            if len(named.places) > MOST_NAMES:
                raise ValueError(f"more than {MOST_NAMES:,} names in the first {number:,} rows; expected at most {MOST_NAMES:,}.")
            across.update(x[-PIECE:])
            down.update(y[-PIECE:])
            if len(across) * len(down) > CELL_LIMIT:  # found before all of the names are held
                raise ValueError(
                    f"{len(across):,} names of x and {len(down):,} of y in the first {number:,} rows make "
                    f"{len(across) * len(down):,} cells; expected at most {CELL_LIMIT:,}."
                )
    if not x:
        raise ValueError("no rows below the header; expected one for each cell.")
    return _checked(Written(list(named.places), *(np.array(column, dtype=np.int32) for column in (x, y, z, lines))))


def _checked(cells: Written) -> Written:
    """The cells, if every one has an x and a y, and no name is too long; ValueError names the lines."""
    too_long = np.array([len(name) > LONGEST_NAME for name in cells.names])
    problems: list[tuple[int, str]] = []
    for letter, column in (("x", cells.x), ("y", cells.y)):
        told = f"{letter} is empty; expected the name of an element."
        problems += [(int(line), told) for line in cells.lines[column == 0][: _SHOWN + 1]]
    for column in (cells.x, cells.y, cells.z):
        for place in np.flatnonzero(too_long[column])[: _SHOWN + 1].tolist():
            told = f"a name of {len(cells.name(column[place])):,} characters; expected at most {LONGEST_NAME:,}."
            problems.append((int(cells.lines[place]), told))
    refuse([f"line {line}: {told}" for line, told in sorted(problems, key=lambda problem: problem[0])])
    return cells


def refuse(problems: Sequence[str]) -> None:
    """ValueError with the first of the problems, if there are any."""
    if problems:
        raise ValueError(" ".join(problems[:_SHOWN]) + (" And more." if len(problems) > _SHOWN else ""))


def _listed(names: Sequence[str]) -> str:
    return ", ".join(shown(name[:40]) for name in names[:10]) + (", …" if len(names) > 10 else "")


# — either form —


def form_with(text: Text, separator: str, *, spaced: bool = False) -> Written:
    """A file read with one separator; NoFormError where it has neither form, ValueError where it is clear which form it should have."""
    rows = rows_of(text, separator, spaced=spaced)
    line, header = next(rows)
    names = [_column(name) for name in header]
    given = [name for name in names if name]
    is_exact = sorted(given) == ["x", "y", "z"]
    is_long = {"x", "y", "z"} <= set(names)
    if not is_exact or len(header) > 3 or names[0] == "":  # a matrix of the elements x, y and z has such a header as well
        matrix, reason = _matrix(text, separator, header, spaced)
        if matrix is None and len(header) > 1:  # R writes matrices without a first cell
            matrix, _ = _matrix(text, separator, ["", *header], spaced)
        if matrix is not None:
            return matrix
        if not is_long:
            missing = [name for name in "xyz" if name not in names]
            found = f"line {line}: no column {' and no column '.join(missing)}; found {_listed(header)}"
            raise NoFormError(f"{found}, and as a matrix {reason}. {BOTH_FORMS}")
    elif (short := _matrix(text, separator, ["", *header], spaced)[0]) is not None:
        return short
    return _as_it_was(_long(text, separator, header, line, spaced), header)


def _as_it_was(cells: Written, header: Sequence[str]) -> Written:
    """A completed table, which groklab wrote, with its names as they were before they were marked for spreadsheets."""
    if not COMPLETED.issubset(header):
        return cells
    names = [bare(name) for name in cells.names]
    return cells if names == list(cells.names) else replace(cells, names=names, is_new=True)


def _column(name: str) -> str:
    """What a column is called: in any case, and without the comment mark that some programs set in front of a header."""
    folded = name.lstrip("#% ").casefold()
    return folded if folded in ("x", "y", "z") else name


def _long(text: Text, separator: str, header: list[str], line: int, spaced: bool) -> Written:
    is_exact = all(name in header for name in "xyz")
    places = at = _places(header, line, str if is_exact else _column)
    rows = rows_of(text, separator, spaced=spaced)
    next(rows)
    first = next(rows, None)
    width, notes = len(header), list[str]()
    is_new = not is_exact or separator != "," or not text.is_plain
    if first is not None and len(first[1]) != width:
        shift = _shift(text, separator, width, spaced)
        is_new = is_new or shift is not None
        if shift:
            notes.append(NAMELESS)
            at = (places[0] + 1, places[1] + 1, places[2] + 1)
        if shift is not None:
            width += shift
    rows = rows_of(text, separator, spaced=spaced)
    next(rows)
    trimmed = _Trimmed(rows, width)
    cells = _cells_in(_even(iter(trimmed), width), at)
    notes += _unread([name for place, name in enumerate(header) if place not in places], is_first=header[0] == "")
    x, y, z = (header[place] for place in places)
    return replace(cells, notes=tuple(notes), is_new=is_new or trimmed.has_cut, header=(x, y, z))


@dataclass
class _Trimmed:
    """Rows without the empty fields that stand behind the last column."""

    rows: Iterator[tuple[int, list[str]]]
    width: int
    has_cut: bool = False

    def __iter__(self) -> Iterator[tuple[int, list[str]]]:
        for line, values in self.rows:
            if len(values) > self.width and not any(values[self.width :]):
                self.has_cut = True
                yield line, values[: self.width]
            else:
                yield line, values


def _shift(text: Text, separator: str, width: int, spaced: bool) -> int | None:
    """1 where every row has a name in front that the header lacks, 0 where only empty fields are too many; None otherwise."""
    rows = rows_of(text, separator, spaced=spaced)
    next(rows)
    is_named, has_more = True, False
    for _, values in rows:
        is_named = is_named and len(values) == width + 1 and values[0] != ""
        has_more = has_more or any(values[width:])
        if has_more and not is_named:
            return None
    return 1 if has_more else 0


def _unread(others: Sequence[str], *, is_first: bool) -> list[str]:
    named = [name for name in others if name]
    notes = (
        [f"columns that are not read: {', '.join(shown(name[:40]) for name in named[:5])}{', …' if len(named) > 5 else ''}."]
        if named
        else []
    )
    return [*notes, NAMELESS] if is_first else notes


# — a matrix —


def _matrix(text: Text, separator: str, header: Sequence[str], spaced: bool) -> tuple[Written | None, str]:
    """The cells of a square matrix whose rows and columns have the same names; None and the reason where it is none."""
    largest = math.isqrt(CELL_LIMIT)
    corner, *names = header
    while names and not names[-1]:
        names.pop()
    width = len(names) + 1
    if width < 3:
        return None, f"it has {_counted(len(names), 'column')}"
    if width > largest + 1:
        return None, f"it has {width - 1:,} columns, of at most {largest:,}"
    if "" in names or len(set(names)) < len(names):
        return None, "the first row " + ("has an empty name" if "" in names else "names an element twice")
    rows = rows_of(text, separator, spaced=spaced)
    next(rows)
    named = _Names()
    z, lines, down = array("i"), array("i"), list[str]()
    try:
        for line, values in rows:
            if len(values) < width or any(values[width:]):
                return None, f"line {line} has {len(values)} fields, not {width}"
            if len(down) == width - 1:
                return None, f"it has more rows than its {width - 1:,} columns"
            down.append(values[0])
            lines.append(line)
            z.extend(map(named, values[1:width]))
    except ValueError as error:
        return None, str(error).rstrip(".")
    if len(down) < width - 1:
        return None, f"it has {_counted(len(down), 'row')} and {_counted(width - 1, 'column')}"
    if "" in down or len(set(down)) < len(down):
        return None, "the first column " + ("has an empty name" if "" in down else "names an element twice")
    if set(names) != set(down):
        above, beside = [whole(name) for name in names], [whole(name) for name in down]
        if set(above) != set(beside):
            return None, _unlike(above, beside)
        names, down = above, beside
    n = width - 1
    x = np.repeat(np.array([named(name) for name in down], dtype=np.int32), n)
    y = np.tile(np.array([named(name) for name in names], dtype=np.int32), n)
    at = np.repeat(np.array(lines, dtype=np.int32), n)
    told = "it is a matrix: rows are x, columns are y."
    cells = Written(list(named.places), x, y, np.array(z, dtype=np.int32), at, notes=(told,), is_new=True, corner=corner)
    return cells, ""


def _unlike(above: Sequence[str], beside: Sequence[str]) -> str:
    """How the names of rows and columns differ."""
    only = [
        ("above", [name for name in above if name not in set(beside)]),
        ("to the left", [name for name in beside if name not in set(above)]),
    ]
    return " and ".join(f"{_listed(names[:3])} {'is' if len(names) == 1 else 'are'} only {where}" for where, names in only if names)


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"


def separators_of(text: Text) -> list[str]:
    """Separators by which the first row has columns at all: those of spreadsheets, else spaces."""
    if text.declared is not None:
        return [text.declared]
    found = [separator for separator in NAMED if separator != " " and _width(text, separator) > 1]
    return found or ([" "] if _width(text, " ") > 1 else [])


def _width(text: Text, separator: str) -> int:
    try:
        return len(next(rows_of(text, separator), (0, []))[1])
    except ValueError:  # of a quote that this separator makes no sense of
        return 0
