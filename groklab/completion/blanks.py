"""Which blanks of a table the known cells can speak for, and why not for the others.

What networks get right of held-out cells carries over to blanks if blanks are like known cells: if the known cells are a random part of the
table. Rows and columns whose share of known cells is far from that of the others are left out first, so that a promise can be made for
the rest; what remains is compared with random tables (``randomness``). An answer that is never seen, or far less often than the table's
own form asks for, is a reason to promise nothing, for blanks may have been chosen by their answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.stats import hypergeom

from groklab.completion.randomness import Departure, departures
from groklab.data.table import Table
from groklab.text.numbers import percent
from groklab.text.values import LONGEST, shown

LEVEL = 0.01
"""How rare among random tables a departure must be to count, for each of the looks at a table together."""
LINE_LEVEL = 0.05
"""How rare a row or column must be, among all rows and columns together, to be left out. A line lost costs little."""
MOST_LINES = 0.25
"""Share of the rows, or of the columns, with known cells that may be left out; where more are unlike, the pattern is of the whole table."""
SHOWN = 5
"""Names of a list."""
WAYS = 2
"""Departures that are told."""

Bools = npt.NDArray[np.bool_]
Cells = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Line:
    """A row or column of a table that is left out, as its share of known cells is far from that of others."""

    place: Literal["x", "y"]
    """x for a row, y for a column."""
    element: str
    known: int
    cells: int

    def __str__(self) -> str:
        return f"{self.place} = {_short(self.element)} ({self.known:,} of {self.cells:,} known)"


@dataclass(frozen=True, eq=False)
class Blanks:
    """The blanks of one table, as far as that can be told before any network is trained."""

    table: Table
    lines: tuple[Line, ...]
    """Rows and columns left out."""
    alike: Bools
    """Which cells, known or not, lie in the other rows and columns, (cells,)."""
    departures: tuple[Departure, ...]
    """In which ways the known cells of those are no random part of them."""
    rare: tuple[str, ...]
    """Answers seen never, or far more seldom than by chance."""
    hidden: int
    """How many answers a Latin square of this size would have that are not seen at all, where the table goes on as one."""

    @cached_property
    def compared(self) -> Cells:
        """The blanks that are like known cells as far as can be seen; none where there is a reason for none."""
        if self.departures or self.rare or self.hidden:
            return np.empty(0, dtype=np.int64)
        return np.flatnonzero(self.alike & ~self.table.known)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why nothing is promised for some or all blanks, a sentence each."""
        told: list[str] = []
        unseen = [line for line in self.lines if not line.known]
        for place in ("x", "y"):
            names = [line.element for line in unseen if line.place == place]
            if names:
                told.append(f"No cell with {place} = {_few(names)} is known, so that nothing is known of {_it(names)} in that place.")
        others = [line for line in self.lines if line.known]
        if others:
            share = self.table.known[self.alike].mean() if self.alike.any() else self.table.known.mean()
            told.append(
                f"Of {_few([str(line) for line in others])}, far from the {percent(share, places=0, threshold=())} of other rows and columns."
            )
        largest = max((abs(way.distance) for way in self.departures), default=0.0)
        ways = [way for way in self.departures if abs(way.distance) >= 0.4 * largest]
        told += [_SENTENCES[way.way][way.distance < 0] for way in sorted(ways, key=lambda way: list(_SENTENCES).index(way.way))[:WAYS]]
        if self.rare:
            answer, verb = ("answer", "is") if len(self.rare) == 1 else ("answers", "are")
            told.append(
                f"The {answer} {_few(self.rare)} {verb} seen never, or too seldom for blanks that have nothing to do with their answers: "
                "cells with such an answer may all be blank."
            )
        if self.hidden:
            told.append(
                f"No answer comes twice in a row or column, but there are {self.hidden:,} fewer answers than a full row needs: "
                "cells with other answers may all be blank."
            )
        return tuple(told)

    @cached_property
    def question(self) -> str | None:
        """What would settle blanks without evidence, if the user knows it: that x and y may change places. None where that is not likely."""
        table = self.table
        other = (table.mirror >= 0) & (table.x != table.y)
        mirrored = other & table.known[table.mirror]
        both = mirrored & table.known
        settled = int((mirrored & ~table.known).sum())
        left = np.ones(table.cells, dtype=bool)
        left[self.compared] = False
        if not (mirrored & ~table.known & left).any() or (table.z[both] != table.z[table.mirror[both]]).any():
            return None
        pairs = int(both.sum()) // 2
        seen = f"all {pairs:,} pairs (x, y), (y, x) that are known agree" if pairs else "no pair (x, y), (y, x) is known on both sides"
        return (
            f"Is the table commutative? Its known cells do not tell: {seen}. If you know that it is, add the cells (y, x) of all known "
            f"cells (x, y) to the table: that settles {settled:,} blanks."
        )


@lru_cache(maxsize=4)
def blanks_of(table: Table, *, answers_seen: bool = False) -> Blanks:
    """Look at where the blanks of a table are, once for each. ``answers_seen``: the user says that every answer that occurs is among the known ones."""
    rows, columns = np.unique(table.x), np.unique(table.y)
    known = table.known.reshape(len(rows), len(columns))
    mirror = np.ones_like(known) if np.array_equal(rows, columns) else None
    kept_rows, kept_columns = _kept(known)
    inside = kept_rows[:, None] & kept_columns
    seen_rows, seen_columns = np.asarray(known.any(axis=1)), np.asarray(known.any(axis=0))
    lost = [1 - kept.sum() / seen.sum() for kept, seen in ((kept_rows, seen_rows), (kept_columns, seen_columns))]
    if max(lost) > MOST_LINES:
        # What is unlike in so many lines is the pattern of all of them: tell that, not the lines.
        seen = seen_rows[:, None] & seen_columns
        if found := departures(known, seen, mirror, level=LEVEL):
            kept_rows, kept_columns, inside = seen_rows, seen_columns, seen
    else:
        found = departures(known, inside, mirror, level=LEVEL)
    rare, hidden = _rare_answers(table, answers_seen)
    return Blanks(table, _lines(table, known, kept_rows, kept_columns), inside.ravel(), tuple(found), rare, hidden)


def _kept(known: Bools) -> tuple[Bools, Bools]:
    """Rows and columns that are as well known as others: those without a known cell go first, then the farthest from what is expected."""
    rows, columns = np.asarray(known.any(axis=1)), np.asarray(known.any(axis=0))
    while rows.any() and columns.any():
        inside = known & rows[:, None] & columns
        cells, count = int(rows.sum() * columns.sum()), int(inside.sum())
        rarity = np.concatenate(
            [
                np.where(rows, _rarity(inside.sum(axis=1), int(columns.sum()), count, cells), 1.0),
                np.where(columns, _rarity(inside.sum(axis=0), int(rows.sum()), count, cells), 1.0),
            ]
        )
        far = np.flatnonzero(rarity < LINE_LEVEL / (rows.sum() + columns.sum()))
        if not far.size:
            break
        # A few at a time: what is far from the others depends on who they are.
        for line in far[np.argsort(rarity[far], kind="stable")][: max(1, len(far) // 10)].tolist():
            side, place = (rows, line) if line < len(rows) else (columns, line - len(rows))
            side[place] = False
    return rows, columns


def _rarity(counts: Cells, size: int, known: int, cells: int) -> npt.NDArray[np.float64]:
    """Probability of a count as far from the expected one among random tables, on either side."""
    return np.minimum(1.0, 2 * np.minimum(hypergeom.cdf(counts, cells, known, size), hypergeom.sf(counts - 1, cells, known, size)))


def _lines(table: Table, known: Bools, rows: Bools, columns: Bools) -> tuple[Line, ...]:
    """The rows and columns that are not kept."""
    across, down = np.unique(table.x), np.unique(table.y)
    lost_rows, lost_columns = np.flatnonzero(~rows), np.flatnonzero(~columns)
    return (
        *(Line("x", table.elements[across[i]], int(known[i].sum()), len(down)) for i in lost_rows.tolist()),
        *(Line("y", table.elements[down[j]], int(known[:, j].sum()), len(across)) for j in lost_columns.tolist()),
    )


def _rare_answers(table: Table, answers_seen: bool) -> tuple[tuple[str, ...], int]:
    """Answers that blanks may have been chosen by: seen never, or too seldom for a Latin square, and how many of one have no name here.

    An element that is x or y but never an answer is one, where all answers are such elements. A table that goes on as a Latin square has each
    answer once in every row, so that its known answers are as many as chance makes them.
    """
    known = table.known
    x, y, z = (column[known].astype(np.int64) for column in (table.x, table.y, table.z))
    sides, answers = np.union1d(table.x, table.y), np.unique(z)
    counts = np.bincount(z, minlength=table.n)
    is_closed = bool(np.isin(answers, sides).all())
    candidates = sides if is_closed else answers
    rows, columns = len(np.unique(table.x)), len(np.unique(table.y))
    is_latin = rows == columns and all(len(np.unique(line * table.n + z)) == len(z) for line in (x, y))
    rare = np.zeros(len(candidates), dtype=bool)
    if is_latin and len(candidates) == rows:
        rare |= hypergeom.cdf(counts[candidates], table.cells, len(z), rows) < LEVEL / rows
    if is_closed and not answers_seen:
        rare |= counts[candidates] == 0
    hidden = max(0, rows - len(answers)) if is_latin and not is_closed and not answers_seen else 0
    return tuple(table.elements[number] for number in candidates[rare].tolist()), hidden


def _few(names: Sequence[str]) -> str:
    return ", ".join(_short(name) for name in names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")


def _short(name: str) -> str:
    return name if len(name) <= LONGEST else shown(name)


def _it(names: Sequence[str]) -> str:
    return "it" if len(names) == 1 else "them"


_SENTENCES: dict[str, tuple[str, str]] = {
    "mirror": (
        "Cells (x, y) and (y, x) are known together, or blank together, more often than by chance.",
        "Of the pairs (x, y), (y, x) one alone is known more often than by chance.",
    ),
    "sides": (
        "One side of the diagonal, where y comes after x in the order of the elements, is known much better than the other.",
        "One side of the diagonal, where x comes after y in the order of the elements, is known much better than the other.",
    ),
    "diagonal": (
        "The cells (x, x) are known much better than others.",
        "The cells (x, x) are known much less well than others.",
    ),
    "rows": (
        "Some rows (x) are known much better than others.",
        "The blanks are spread over the rows (x) more evenly than chance would spread them.",
    ),
    "columns": (
        "Some columns (y) are known much better than others.",
        "The blanks are spread over the columns (y) more evenly than chance would spread them.",
    ),
    "lines": (
        "Some rows and columns are known much better than others.",
        "The blanks are spread over rows and columns more evenly than chance would spread them.",
    ),
    "sums": (
        "The blanks lie along the other diagonals (x + y alike, in the order of the elements).",
        "The blanks are spread over the other diagonals (x + y alike) more evenly than chance would spread them.",
    ),
    "differences": (
        "The blanks lie along diagonals, in the order of the elements.",
        "The blanks are spread over the diagonals more evenly than chance would spread them.",
    ),
    "rectangles": (
        "The blanks fill the crossings of certain rows with certain columns.",
        "The blanks of different rows lie in different columns more often than by chance.",
    ),
    "blocks": (
        "Some parts of the table, in the order of the elements, are known much better than others.",
        "The blanks are spread over the parts of the table more evenly than chance would spread them.",
    ),
    "steps": ("The blanks come at regular distances, row after row.", "The blanks avoid every regular distance."),
    "neighbors": (
        "The blanks lie side by side, in the order of the elements.",
        "The blanks keep apart from each other, in the order of the elements.",
    ),
    "stripes": ("The blanks make a regular pattern, in the order of the elements.", "The blanks avoid every regular pattern."),
}
"""What a departure is in words, more than by chance and less; what says most comes first."""
