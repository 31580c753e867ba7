"""Where a network puts the elements, in two and three dimensions, in which colors, and with which line through them."""

from __future__ import annotations

import math
import multiprocessing
import os
import threading
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from plotly.colors import sample_colorscale
from threadpoolctl import threadpool_limits

from groklab.analysis.cosets import check_has_cosets, search_cosets
from groklab.analysis.elements import matrix_of, order_of
from groklab.analysis.projections import Numbers, finite_rows, pca, tsne
from groklab.analysis.structure import NumberLine, circularity, number_line
from groklab.dashboard.catalog import Entry
from groklab.dashboard.network import elements_at, finite_group_of, order_of_elements, remembered
from groklab.dashboard.theme import Theme
from groklab.data.groups import FiniteGroup
from groklab.text.numbers import explained

_PERMUTATIONS = 99
"""Pictures are judged by eye here; `groklab figure number_line` has p values."""
_WAIT = 0.5
"""Seconds that a page waits for t-SNE before it shows the rest without it."""
_PICTURES = 300
"""t-SNE pictures that are kept."""
PHASE = ("#5b8ff0", "#a06be0", "#e0569c", "#e8743b", "#c9a227", "#5fb04a", "#22b4a8", "#5b8ff0")
"""Colors around a circle: the end is the beginning, and all are seen on white and on black."""


class Place(NamedTuple):
    """A layer of a run at a checkpoint."""

    entry: Entry
    step: int
    layer: str

    @property
    def key(self) -> tuple[Any, ...]:
        """What it is, for what is remembered of it."""
        return (str(self.entry.folder.path), self.step, self.layer)

    @property
    def table(self) -> pl.DataFrame:
        """A row per element."""
        return elements_at(self.entry, self.step, self.layer)

    @property
    def matrix(self) -> Numbers:
        """(N, E)"""
        return remembered(("matrix", *self.key), lambda: finite_rows(matrix_of(self.table)))


class Shown(NamedTuple):
    """Points, and what they show."""

    points: Numbers
    told: str
    is_ready: bool = True


def components(place: Place, axes_of: Place) -> Shown:
    """Three principal components, of this checkpoint or along the axes of another: seen from one side while it moves."""
    matrix = place.matrix
    count = min(3, *matrix.shape)
    if axes_of.key == place.key:
        found = remembered(("pca", *place.key), lambda: pca(matrix, count))
        return Shown(_three(found.points), f"{explained(found.explained.sum())} of the variance")
    axes = remembered(("axes", *axes_of.key), lambda: _axes(axes_of.matrix, count))
    centered = matrix - matrix.mean(axis=0)
    points = centered @ axes
    whole = float((centered**2).sum())
    share = float((points**2).sum()) / whole if whole else 0.0
    return Shown(_three(points), f"{explained(share)} of the variance, along the axes of step {axes_of.step:,}")


def _axes(matrix: Numbers, count: int) -> Numbers:
    axes = np.linalg.svd(matrix - matrix.mean(axis=0), full_matrices=False)[2][:count]
    signs = np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)])
    return (axes * signs[:, None]).T


def _three(points: Numbers) -> Numbers:
    return np.pad(points, ((0, 0), (0, 3 - points.shape[1])))


def circle(place: Place, axes_of: Place) -> Shown:
    """The plane of the strongest circle in the cyclic order of another checkpoint; ValueError where there is no such order."""
    order = order_of(axes_of.table)
    if order is None or len(order) < 5:
        raise ValueError("This table has no cyclic group of at least 5 elements, and so no circle to look at. Choose t-SNE or components.")
    frequency, n = strongest(axes_of), len(order)
    angle = 2 * np.pi * frequency * np.arange(n) / n
    final = axes_of.matrix - axes_of.matrix.mean(axis=0)
    plane = np.linalg.qr(final[order].T @ np.stack([np.cos(angle), np.sin(angle)], axis=1))[0]
    matrix = place.matrix - place.matrix.mean(axis=0)
    points = matrix @ plane
    whole = float((matrix**2).sum())
    return Shown(
        points, f"{explained(float((points**2).sum()) / whole if whole else 0.0)} of the variance, circle of frequency {frequency}"
    )


def strongest(place: Place) -> int:
    """The frequency of most power in the cyclic order."""
    order = order_of(place.table)
    assert order is not None
    return remembered(("circle", *place.key), lambda: circularity(place.matrix, order, permutations=_PERMUTATIONS)).strongest


def _prepare() -> None:
    """A process for t-SNE: one thread, and after everything else."""
    os.nice(10)
    threadpool_limits(1)


class _Neighbors:
    """t-SNE takes a second or so: another process makes one at a time, and each once."""

    def __init__(self) -> None:
        self._process: ProcessPoolExecutor | None = None
        self._made: dict[tuple[Any, ...], Future[Numbers]] = {}
        self._lock = threading.Lock()

    def of(self, place: Place) -> Future[Numbers]:
        with self._lock:
            if place.key not in self._made:
                while len(self._made) > _PICTURES:
                    self._made.pop(next(iter(self._made)))
                if self._process is None:
                    self._process = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), _prepare)
                try:
                    self._made[place.key] = self._process.submit(tsne, place.matrix)
                except BrokenExecutor:  # somebody has ended it
                    self._process = None
                    raise ValueError("The process that makes t-SNE pictures has ended. Ask again.") from None
            return self._made[place.key]

    def is_ready(self, place: Place) -> bool:
        found = self._made.get(place.key)
        return found is not None and found.done()

    def close(self) -> None:
        with self._lock:
            if self._process is not None:
                self._process.shutdown(wait=False, cancel_futures=True)
            self._process = None
            self._made.clear()


_neighbors = _Neighbors()


def neighbors(place: Place) -> Shown:
    """t-SNE, or nothing yet where it takes longer than a page should."""
    try:
        points = _neighbors.of(place).result(timeout=_WAIT)
    except TimeoutError:
        return Shown(np.zeros((0, 2)), "being computed …", is_ready=False)
    except BrokenExecutor:
        _neighbors.close()
        raise ValueError("The process that makes t-SNE pictures has ended. Ask again.") from None
    return Shown(points, "neighbors are kept, distances are not")


def close() -> None:
    """End the process that makes t-SNE pictures, if there is one."""
    _neighbors.close()


def is_ready(place: Place) -> bool:
    """Whether t-SNE of a checkpoint is there."""
    return _neighbors.is_ready(place)


# — the line that adds k —


def line_of(points: Numbers, place: Place) -> NumberLine | None:
    """How good a line each step makes of some points; None where there is no cyclic order of seven elements."""
    order = order_of(place.table)
    if order is None or len(order) < 7:
        return None
    try:
        return number_line(points, order, permutations=_PERMUTATIONS)
    except ValueError:  # points that are all equal
        return None


# — colors —


class Colors(NamedTuple):
    """A color for every element, and what it means."""

    colors: list[str]
    told: str
    classes: list[str]
    """The class of every element, in words."""


def kinds_for(entry: Entry, table: pl.DataFrame) -> dict[str, str]:
    """What elements of a run can be colored by."""
    if order_of(table) is not None:
        return {"": "frequency", "residue": "residue", "coset": "residue mod k"}
    group = finite_group_of(entry)
    if group is None:
        return {"": "element"}
    return {"": "order", "coset": "coset"} if _has_cosets(group) else {"": "order"}


def _has_cosets(group: FiniteGroup) -> bool:
    try:
        check_has_cosets(group)
    except ValueError:
        return False
    return True


def colors_for(place: Place, final: Place, kind: str, k: int | None, theme: Theme) -> Colors:
    """Colors that stay the same over all checkpoints, because they are those of the last."""
    table = place.table
    order, names = order_of(table), table["name"].to_list()
    if order is not None and len(order) >= 5:
        return _cyclic(final, order, names, kind, k, theme)
    group = finite_group_of(place.entry)
    if group is None:
        return Colors(_sequence(range(len(names)), len(names)), "elements in their order", names)
    if kind == "coset" and _has_cosets(group):
        found = remembered(("cosets", *final.key), lambda: search_cosets(final.matrix, group, permutations=_PERMUTATIONS).best)
        labels = found.labels().tolist()
        told = f"cosets {found.side} of {found.subgroup.name}, {found.subgroup.type}, which hold {explained(found.share)} of the variance ({explained(found.expected)} by chance)"
        return Colors([_class(label, found.subgroup.index, theme) for label in labels], told, [f"coset {label + 1}" for label in labels])
    orders = order_of_elements(group)
    distinct = sorted(set(orders))
    return Colors(
        [theme.groups[distinct.index(o) % len(theme.groups)] for o in orders], "order of the element", [f"order {o}" for o in orders]
    )


def _cyclic(final: Place, order: np.ndarray, names: list[str], kind: str, k: int | None, theme: Theme) -> Colors:
    n = len(order)
    colors, classes = [theme.quiet] * len(names), ["outside the group"] * len(names)
    frequency = strongest(final) if kind == "" else 0
    for place, row in enumerate(order.tolist()):
        if kind == "":
            turn = (place * frequency) % n / n
            colors[row], classes[row] = _sampled(list(PHASE), turn), f"{turn:.2f} of a turn"
        elif kind == "coset":
            by = k or 2
            colors[row], classes[row] = _class(place % by, by, theme), f"{place} mod {by} = {place % by}"
        else:
            colors[row], classes[row] = _sequence([place], n)[0], f"place {place}"
    told = {"": f"place on the circle of frequency {frequency}", "coset": f"residue mod {k or 2}"}.get(kind, "residue, dark to bright")
    return Colors(colors, told, classes)


def _sequence(numbers: Any, of: int) -> list[str]:
    return [_sampled("Viridis", 0.08 + 0.84 * number / max(of - 1, 1)) for number in numbers]


def _sampled(scale: Any, place: float) -> str:
    return str(sample_colorscale(scale, [place], colortype="rgb")[0])


def _class(number: int, of: int, theme: Theme) -> str:
    if of <= len(theme.groups):
        return theme.groups[number]
    return _sampled(list(PHASE), math.fmod(number / of, 1.0))
