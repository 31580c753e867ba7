"""Tables from CSV files: a row for each cell, or a matrix; any names are elements, an empty z is an answer to be found.

What is certain is read, what is likely is said in notes, and what can be read in two ways is an error that names both. The reader has
versions: the first took every name as it stands, and what it read alike keeps its number, so that runs of old keep their ids.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from groklab.config.table_file import READERS, content_of
from groklab.data.forms import BOTH_FORMS, NoFormError, Written, form_with, plain_rows, refuse, separators_of
from groklab.data.groups import CELL_LIMIT
from groklab.data.lookalikes import similar_looks
from groklab.data.rows import NAMED, Text, has_spaced_quotes, plain_text, rows_of, text_of
from groklab.data.spellings import blanks_in, written_alike
from groklab.outside.files import UnreadableError
from groklab.outside.printable import path_in
from groklab.text.values import shown

_FEWEST_KNOWN = 4
_SHOWN = 5
_KEPT = 4
"""Files whose reading is kept."""


@dataclass(frozen=True, eq=False)
class FileCells:
    """The cells of a file in row-major order; x, y and z are places in ``elements``, z is −1 where unknown."""

    elements: tuple[str, ...]
    x: npt.NDArray[np.int64]
    y: npt.NDArray[np.int64]
    z: npt.NDArray[np.int64]
    notes: tuple[str, ...] = ()
    """What was done to read it, and what may be meant otherwise: sentences."""
    reader: int = 1
    """Version of the reader that is needed for this reading."""


def read_cells(file: str | Path, reader: int | None = None) -> FileCells:
    """Read a table from a CSV file; ValueError with the line numbers of what is wrong. The same content is read once.

    ``reader`` is the version of the reader, the newest unless given; the first takes every name as it stands.
    """
    try:
        return cells_of(_content(file), reader)
    except ValueError as error:
        raise ValueError(f"file {path_in(file)}: {error}") from None


def _content(file: str | Path) -> bytes:
    expected = "Give the path of a CSV file with columns x, y, z."
    try:
        return content_of(file)
    except FileNotFoundError:
        raise ValueError(f"no such file. {expected}") from None
    except UnreadableError as error:
        raise ValueError(f"{error.strerror}. {expected}") from None
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror or error}.") from None


_cells: dict[tuple[str, int], FileCells] = {}


def cells_of(content: bytes, reader: int | None = None) -> FileCells:
    """The cells in the content of a file, as ``read_cells``."""
    key = (hashlib.sha256(content).hexdigest(), READERS if reader is None else reader)
    found = _cells.pop(key, None)
    if found is None:
        found = _plain(content) if reader == 1 else _newest(content)
    _cells[key] = found  # the newest stands last
    while len(_cells) > _KEPT:
        _cells.pop(next(iter(_cells)), None)
    return found


def reader_of(content: bytes) -> int:
    """The oldest version of the reader that reads a file as the newest does; the newest for what cannot be read."""
    try:
        return cells_of(content).reader
    except ValueError:
        return READERS


def _plain(content: bytes) -> FileCells:
    cells = plain_rows(plain_text(content))
    refuse(_repeated(cells, both=True))
    return _cells_from(cells)


def _newest(content: bytes) -> FileCells:
    text = text_of(content)
    separator, cells = _in_one_form(text)
    cells = _alike(_with_blanks(_without_headers(cells)), separator)
    found = _cells_from(_each_once(cells))
    _check_corner(cells, found)
    return found


# — one reading —


def _in_one_form(text: Text) -> tuple[str, Written]:
    """The separator and the cells of a file that has one reading; ValueError names two, or says why there is none."""
    found: dict[str, Written] = {}
    reasons: list[str] = []
    for separator in separators_of(text):
        try:
            found[separator] = _quoted(text, separator)
        except NoFormError as error:
            reasons.append(str(error))
    if len(found) > 1:
        told = " or ".join(f"by {NAMED[separator]} ({len(set(cells.x.tolist())):,} names of x)" for separator, cells in found.items())
        raise ValueError(f"its columns may be separated {told}; expected one reading. Put a line such as sep=; in front of the header.")
    if found:
        return next(iter(found.items()))
    if reasons:
        raise ValueError(reasons[0])
    first = next(rows_of(text, ","), None)
    if first is None:
        raise ValueError(f"empty; expected a table. {BOTH_FORMS}")
    raise ValueError(f"line {first[0]}: no column x and no column y and no column z; found {shown(first[1][0][:40])}. {BOTH_FORMS}")


def _quoted(text: Text, separator: str) -> Written:
    """The cells, with quotes behind a separator and spaces taken as quotes where that makes a table."""
    if not has_spaced_quotes(text, separator):
        return form_with(text, separator)
    try:
        spaced = form_with(text, separator, spaced=True).noted()
    except ValueError:
        return form_with(text, separator)
    try:
        plain = form_with(text, separator)
    except ValueError:
        return spaced
    return plain if list(plain.names) == list(spaced.names) else spaced


# — what is certain —


def _without_headers(cells: Written) -> Written:
    """Without rows that repeat the header, as in files put one behind the other."""
    if cells.corner is not None or any(name not in cells.names for name in cells.header):
        return cells
    own = [cells.names.index(name) for name in cells.header]
    columns = (cells.x, cells.y, cells.z)
    are_repeated = np.logical_and.reduce([column == name for column, name in zip(columns, own, strict=True)])
    if not are_repeated.any() or are_repeated.all() or any(np.isin(column[~are_repeated], own).any() for column in columns):
        return cells
    told = f"the header is repeated {_times(int(are_repeated.sum()))} below; these lines are passed over."
    return cells.at(~are_repeated).noted(told)


def _with_blanks(cells: Written) -> Written:
    """With marks of a blank, such as NA, as blanks."""
    answers = [cells.name(place) for place in np.unique(cells.z)]
    arguments = {cells.name(place) for place in np.union1d(cells.x, cells.y)}
    blanks, notes = blanks_in(answers, arguments)
    cells = cells.noted(*notes, is_new=False)
    if not blanks:
        return cells
    are_blank = np.isin(cells.z, [cells.names.index(name) for name in blanks])
    told = ", ".join(map(repr, blanks[:_SHOWN])) + (", …" if len(blanks) > _SHOWN else "")
    count = int(are_blank.sum())
    note = f"{told} in {count:,} answer{'s' * (count != 1)} {'is' if len(blanks) == 1 else 'are'} read as {'a blank' if count == 1 else 'blanks'}."
    return replace(cells, z=np.where(are_blank, 0, cells.z)).noted(note)


def _alike(cells: Written, separator: str) -> Written:
    """With one spelling of every whole number, unless that makes cells contradict each other."""
    used = np.union1d(np.union1d(cells.x, cells.y), cells.z)
    spelled, note = written_alike([cells.name(place) for place in used], with_comma=separator != ",")
    if not spelled:
        return cells.noted(note, is_new=False) if note else cells
    places = {name: place for place, name in enumerate(cells.names)}
    names = list(cells.names)
    into = np.arange(len(names), dtype=np.int32)
    for name, usual in spelled.items():
        if usual not in places:
            places[usual] = len(names)
            names.append(usual)
        into[places[name]] = places[usual]
    merged = replace(cells, names=names, x=into[cells.x], y=into[cells.y], z=into[cells.z])
    if _repeated(merged) and not _repeated(cells):
        told = note.replace("are read as one element", "are two elements all the same: as one their cells would contradict each other")
        return cells.noted(told, is_new=False)
    return merged.noted(note)


def _each_once(cells: Written) -> Written:
    """With every cell once; ValueError where two rows contradict each other."""
    refuse(_repeated(cells))
    order = np.lexsort((cells.z == 0, _keys(cells)))  # of equal cells one with an answer is first
    keys = _keys(cells)[order]
    is_first = np.ones(len(order), dtype=bool)
    is_first[1:] = keys[1:] != keys[:-1]
    if is_first.all():
        return cells
    kept = np.zeros(len(order), dtype=bool)
    kept[order[is_first]] = True
    count = int((~kept).sum())
    told = f"{count:,} row{'s' * (count != 1)} {'repeats a cell' if count == 1 else 'repeat cells'} given already, and "
    return cells.at(kept).noted(told + ("agrees." if count == 1 else "agree."))


def _keys(cells: Written) -> npt.NDArray[np.int64]:
    return cells.x.astype(np.int64) * len(cells.names) + cells.y


def _repeated(cells: Written, *, both: bool = False) -> list[str]:
    """Cells that are given twice with different answers, or ``both`` ways, a few of them with their lines."""
    keys = _keys(cells)
    order = np.lexsort((cells.lines, keys))
    if not both:  # a blank contradicts nothing
        order = order[cells.z[order] != 0]
    is_again = keys[order][1:] == keys[order][:-1]
    if not both:
        is_again &= cells.z[order][1:] != cells.z[order][:-1]
    problems: list[tuple[int, str]] = []
    for place in np.flatnonzero(is_again)[: _SHOWN + 1] + 1:
        earlier, later = order[place - 1], order[place]
        old, new = cells.name(cells.z[earlier]), cells.name(cells.z[later])
        answers = f"both with z = {shown(old)}" if old == new else f"with z = {shown(old)} and z = {shown(new)}"
        x, y = cells.name(cells.x[later]), cells.name(cells.y[later])
        told = f"lines {cells.lines[earlier]} and {cells.lines[later]}: the cell ({x[:40]}, {y[:40]}) is given twice, {answers}; expected it once."
        problems.append((int(cells.lines[later]), told))
    return [told for _, told in sorted(problems)]


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count:,} times"


def _check_corner(cells: Written, found: FileCells) -> None:
    """ValueError where the first cell of a matrix says that it may be meant otherwise."""
    corner = cells.corner
    if corner is None:
        return
    answers = {found.elements[place] for place in np.unique(found.z[found.z >= 0])}
    arguments = {found.elements[place] for place in np.unique(found.x)}
    if corner in answers - arguments:
        raise ValueError(
            f"a matrix whose first cell, {shown(corner)}, is an answer too. Either it is a title, or the matrix has no names, and its first row "
            f"and column are those of a neutral element {shown(corner)}; expected one reading. Leave the first cell empty, or write the elements "
            "above and to the left of the matrix."
        )
    n = len(arguments)
    square = found.z.reshape(n, n)
    if corner not in arguments and re.fullmatch(r"y\s*(?:[\\/|,;:∘*·. ]\s*x)?", corner, re.IGNORECASE) and (square != square.T).any():
        raise ValueError(
            f"a matrix whose first cell is {shown(corner)}: either its rows are y, or they are x as usual; expected one reading. Leave the first "
            "cell empty where rows are x; otherwise exchange rows and columns."
        )


# — cells —


def _cells_from(cells: Written) -> FileCells:
    """The table of all cells, sorted; ValueError where it is too large or has too few answers."""
    names = cells.names
    across, down = np.unique(cells.x), np.unique(cells.y)
    if np.intersect1d(across, down).size:
        across = down = np.union1d(across, down)
    if len(across) * len(down) > CELL_LIMIT:
        raise ValueError(
            f"{len(across):,} names of x and {len(down):,} of y make {len(across) * len(down):,} cells; expected at most {CELL_LIMIT:,}."
        )
    is_known = cells.z != 0
    known = int(is_known.sum())
    if known < _FEWEST_KNOWN:
        told = "".join(f" Note: {note}" for note in cells.notes)
        raise ValueError(f"got {known} cells with a known z; expected at least {_FEWEST_KNOWN}.{told}")
    used = np.union1d(np.union1d(across, down), cells.z[is_known])
    elements = sorted_names({cells.name(place) for place in used})
    number = {name: place for place, name in enumerate(elements)}
    place_of = np.full(len(names), -1, dtype=np.int64)
    place_of[used] = [number[cells.name(place)] for place in used]
    x_places, y_places = np.sort(place_of[across]), np.sort(place_of[down])
    z = np.full((len(x_places), len(y_places)), -1, dtype=np.int64)
    row, column = np.searchsorted(x_places, place_of[cells.x]), np.searchsorted(y_places, place_of[cells.y])
    z[row[is_known], column[is_known]] = place_of[cells.z[is_known]]
    x, y = np.repeat(x_places, len(y_places)), np.tile(y_places, len(x_places))
    similar = similar_looks(elements)
    notes = (*cells.notes, *([similar] if similar else []))
    return FileCells(elements, x, y, z.ravel(), notes, READERS if cells.is_new else 1)


def sorted_names(names: set[str]) -> tuple[str, ...]:
    """Names in the order of their numbers where all are whole numbers, otherwise in natural order (a2 before a10)."""
    if all(re.fullmatch(r"[+-]?[0-9]+", name) for name in names):
        return tuple(sorted(names, key=lambda name: (int(name), name)))
    return tuple(sorted(names, key=lambda name: (_natural(name), name)))


def _natural(name: str) -> list[tuple[int, int, str]]:
    """Runs of digits compare as numbers and come before text."""
    return [(0, int(part), "") if part.isascii() and part.isdigit() else (1, 0, part) for part in re.split(r"([0-9]+)", name) if part]
