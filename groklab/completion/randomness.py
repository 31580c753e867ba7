"""Whether the known cells of a table are a random part of it: what a share of right answers carries over to blanks under.

The known cells are compared with as many cells drawn at random, in several ways at once: how they are spread over rows and columns, over
both sides of the diagonal, over mirror images, diagonals, blocks and neighbors, and whether they come at regular distances. Every way is
a number, taken as its distance from the draws' mean in standard deviations, and the largest distance of all is compared with
the largest ones of the draws (Westfall and Young 1993, Resampling-based multiple testing), so that looking in many ways is paid for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

DRAWS = 999
"""Random tables with which one is compared."""
FEWEST_DRAWS = 199
WORK = 20_000_000
"""Cells of all draws together above which fewer are made."""
PIECE = 2_000_000
"""Cells of the draws that are looked at together."""
BLOCKS = 4
"""Blocks along each side."""

Grid = npt.NDArray[np.bool_]
Reals = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Departure:
    """One way in which the known cells are no random part of a table."""

    way: str
    """Which: rows, columns, lines, differences, sums, diagonal, sides, mirror, neighbors, blocks, rectangles, steps, stripes."""
    distance: float
    """From the mean of random tables, in their standard deviations. Below zero: less of it than by chance, such as rows all alike."""
    p: float
    """Share of random tables that lie as far out in any way."""


def departures(known: Grid, inside: Grid, mirror: Grid | None, *, level: float) -> list[Departure]:
    """In which ways known cells are no random part of the cells inside, farthest first; [] where the largest is no rarer than the level.

    ``known`` and ``inside`` are (rows, columns), in the order of the elements. ``mirror`` says of every cell whether its mirror image
    is the cell on the other side of the diagonal, (rows, columns), and is None where rows and columns are of different elements.
    """
    cells = int(inside.sum())
    count = int((known & inside).sum())
    if not 0 < count < cells:
        return []
    draws = int(min(DRAWS, max(FEWEST_DRAWS, WORK // inside.size)))
    parts = [_ways(np.where(inside, masks - count / cells, 0.0), mirror) for masks in _masks(known, inside, count, draws)]
    names = list(parts[0])
    values = np.stack([np.concatenate([part[name] for part in parts]) for name in names], axis=1)
    spread = values.std(axis=0)
    # The table itself is among its draws: all are then treated alike, and the rank of the largest distance is exact.
    distances = (values - values.mean(axis=0)) / np.where(spread > 1e-9 * (1 + np.abs(values).max(axis=0)), spread, np.inf)
    largest = np.abs(distances).max(axis=1)
    found = [Departure(name, float(far), float((largest >= abs(far)).mean())) for name, far in zip(names, distances[0], strict=True)]
    return sorted((way for way in found if way.p <= level), key=lambda way: -abs(way.distance))


def _masks(known: Grid, inside: Grid, count: int, draws: int) -> Iterator[Reals]:
    """The known cells themselves, then as many drawn at random inside: (some, rows, columns) at a time."""
    places = np.flatnonzero(inside)
    stream = np.random.Generator(np.random.Philox(0))
    yield (known & inside)[None].astype(float)
    size = max(1, PIECE // inside.size)
    for start in range(0, draws, size):
        some = min(size, draws - start)
        chosen = np.argpartition(stream.random((some, len(places)), dtype=np.float32), count - 1, axis=1)[:, :count]
        masks = np.zeros((some, inside.size))
        np.put_along_axis(masks, places[chosen], 1.0, axis=1)
        yield masks.reshape(some, *inside.shape)


def _ways(centered: Reals, mirror: Grid | None) -> dict[str, Reals]:
    """Each way as a number for each table; centered: known less the share that is known, 0 outside, (tables, rows, columns)."""
    tables, rows, columns = centered.shape
    flat = centered.reshape(tables, -1)
    i, j = np.indices((rows, columns))
    longest = max(rows, columns)
    across, down = (np.minimum(place * BLOCKS // size, BLOCKS - 1) for place, size in ((i, rows), (j, columns)))
    by_rows, by_columns = ((centered.sum(axis=axis) ** 2).sum(axis=1) for axis in (2, 1))
    ways = {
        "rows": by_rows,
        "columns": by_columns,
        "lines": by_rows / columns + by_columns / rows,
        "differences": _classes(flat, (i - j) % longest),
        "sums": _classes(flat, (i + j) % longest),
        "blocks": _classes(flat, across * BLOCKS + down),
        "neighbors": _products(centered[:, 1:], centered[:, :-1])
        + _products(centered[:, :, 1:], centered[:, :, :-1])
        + _products(centered[:, 1:, 1:], centered[:, :-1, :-1])
        + _products(centered[:, 1:, :-1], centered[:, :-1, 1:]),
        "rectangles": _rectangles(centered),
        "steps": _largest_period(np.abs(np.fft.rfft(flat, axis=1))),
        "stripes": _largest_period(np.abs(np.fft.rfft2(centered)).reshape(tables, -1)),
    }
    if mirror is not None and mirror.any():
        other = np.where(mirror, np.swapaxes(centered, 1, 2), 0.0)
        ways["mirror"] = _products(centered, other * (i != j))
        ways["sides"] = (centered * np.sign(j - i) * mirror).sum(axis=(1, 2))
        ways["diagonal"] = (centered * (i == j) * mirror).sum(axis=(1, 2))
    return ways


def _classes(flat: Reals, number: npt.NDArray[np.int64]) -> Reals:
    """How unevenly classes of cells are known, by the sum of their squares: (tables, cells) to (tables,)."""
    order = np.argsort(number.ravel(), kind="stable")
    starts = np.unique(number.ravel()[order], return_index=True)[1]
    return (np.add.reduceat(flat[:, order], starts, axis=1) ** 2).sum(axis=1)


def _products(first: Reals, second: Reals) -> Reals:
    """How far cells and others in the same place are known together."""
    return (first * second).sum(axis=(1, 2))


def _rectangles(centered: Reals) -> Reals:
    """How alike rows are: large where blanks fill the crossings of some rows with some columns, whatever the order of both."""
    shorter = centered if centered.shape[1] <= centered.shape[2] else np.swapaxes(centered, 1, 2)
    return ((shorter @ np.swapaxes(shorter, 1, 2)) ** 2).sum(axis=(1, 2))


def _largest_period(strength: Reals) -> Reals:
    """The strongest regular distance; the mean, which is the same for all, is left out."""
    return strength[:, 1:].max(axis=1) ** 2
