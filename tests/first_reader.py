"""The first reader of tables, as it was released: whatever it read, and a newer one reads alike, keeps its id."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from groklab.data.groups import CELL_LIMIT
from groklab.text.values import shown

_LONGEST_NAME = 1000
_FEWEST_KNOWN = 4
_SHOWN = 5


@dataclass(frozen=True, eq=False)
class FileCells:
    """The cells of a file in row-major order; x, y and z are places in ``elements``, z is −1 where unknown."""

    elements: tuple[str, ...]
    x: npt.NDArray[np.int64]
    y: npt.NDArray[np.int64]
    z: npt.NDArray[np.int64]


@dataclass(frozen=True)
class _Row:
    line: int
    x: str
    y: str
    z: str


def cells_of(content: bytes) -> FileCells:
    rows = list(_rows(_text(content)))
    _check_rows(rows)
    across, down = {row.x for row in rows}, {row.y for row in rows}
    if not across.isdisjoint(down):
        across = down = across | down
    if len(across) * len(down) > CELL_LIMIT:
        raise ValueError(
            f"{len(across):,} names of x and {len(down):,} of y make {len(across) * len(down):,} cells; expected at most {CELL_LIMIT:,}."
        )
    known = sum(bool(row.z) for row in rows)
    if known < _FEWEST_KNOWN:
        raise ValueError(f"got {known} cells with a known z; expected at least {_FEWEST_KNOWN}.")
    elements = sorted_names(across | down | {row.z for row in rows if row.z})
    place = {name: number for number, name in enumerate(elements)}
    x_places, y_places = sorted(place[name] for name in across), sorted(place[name] for name in down)
    row_of = {number: i for i, number in enumerate(x_places)}
    column_of = {number: i for i, number in enumerate(y_places)}
    z = np.full((len(x_places), len(y_places)), -1, dtype=np.int64)
    for row in rows:
        if row.z:
            z[row_of[place[row.x]], column_of[place[row.y]]] = place[row.z]
    x, y = np.repeat(x_places, len(y_places)), np.tile(y_places, len(x_places))
    return FileCells(elements, x, y, z.ravel())


def _text(content: bytes) -> str:
    if not content.strip():
        raise ValueError("empty; expected a header with the columns x, y, z and one row for each cell.")
    if b"\x00" in content:
        line = content.count(b"\n", 0, content.index(b"\x00")) + 1
        raise ValueError(f"line {line}: a zero byte; expected text. If it comes from a spreadsheet, save it as CSV in UTF-8.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(f"line {line}, byte {error.start}: not UTF-8. Save the file as CSV in UTF-8.") from None


def _rows(text: str) -> Iterator[_Row]:
    """The rows of a file with the line on which each ends; rows without any text are passed over."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    places: dict[str, int] | None = None
    width = count = 0
    try:
        for fields in reader:
            values = [field.strip() for field in fields]
            if not any(values):
                continue
            if places is None:
                places, width = _header(values, reader.line_num), len(values)
                continue
            if len(values) != width:
                raise ValueError(f"line {reader.line_num}: got {len(values)} fields; expected {width}, as in the header.")
            count += 1
            if count > CELL_LIMIT:
                raise ValueError(f"line {reader.line_num}: more than {CELL_LIMIT:,} rows; a table has at most {CELL_LIMIT:,} cells.")
            yield _Row(reader.line_num, *(values[places[name]] for name in "xyz"))
    except csv.Error as error:
        raise ValueError(f"line {reader.line_num}: not a row of a CSV file: {error}.") from None


def _header(names: list[str], line: int) -> dict[str, int]:
    missing = [name for name in "xyz" if name not in names]
    repeated = [name for name in "xyz" if names.count(name) > 1]
    shown = ", ".join(repr(name[:40]) for name in names[:10]) + (", …" if len(names) > 10 else "")
    if missing:
        advice = " Separate the columns with commas." if len(names) == 1 and re.search(r"[;\t]", names[0]) else ""
        raise ValueError(
            f"line {line}: no column {' and no column '.join(missing)}; found {shown}. The first line must name the columns x, y, z.{advice}"
        )
    if repeated:
        raise ValueError(f"line {line}: column {' and column '.join(repeated)} more than once; found {shown}.")
    return {name: names.index(name) for name in "xyz"}


def _check_rows(rows: list[_Row]) -> None:
    if not rows:
        raise ValueError("no rows below the header; expected one for each cell.")
    problems: list[str] = []
    first: dict[tuple[str, str], _Row] = {}
    for row in rows:
        problems += [f"line {row.line}: {name} is empty; expected the name of an element." for name in "xy" if not getattr(row, name)]
        problems += [
            f"line {row.line}: a name of {len(value):,} characters; expected at most {_LONGEST_NAME:,}."
            for value in (row.x, row.y, row.z)
            if len(value) > _LONGEST_NAME
        ]
        earlier = first.setdefault((row.x, row.y), row)
        if earlier is not row and row.x and row.y:
            answers = f"both with z = {shown(row.z)}" if earlier.z == row.z else f"with z = {shown(earlier.z)} and z = {shown(row.z)}"
            problems.append(
                f"lines {earlier.line} and {row.line}: the cell ({row.x}, {row.y}) is given twice, {answers}; expected it once."
            )
        if len(problems) > _SHOWN:
            break
    if problems:
        raise ValueError(" ".join(problems[:_SHOWN]) + (" And more." if len(problems) > _SHOWN else ""))


def sorted_names(names: set[str]) -> tuple[str, ...]:
    """Names in the order of their numbers where all are whole numbers, otherwise in natural order (a2 before a10)."""
    if all(re.fullmatch(r"[+-]?[0-9]+", name) for name in names):
        return tuple(sorted(names, key=lambda name: (int(name), name)))
    return tuple(sorted(names, key=lambda name: (_natural(name), name)))


def _natural(name: str) -> list[tuple[int, int, str]]:
    """Runs of digits compare as numbers and come before text."""
    return [(0, int(part), "") if part.isascii() and part.isdigit() else (1, 0, part) for part in re.split(r"([0-9]+)", name) if part]
