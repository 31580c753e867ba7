"""Where a network puts the elements: circles, number lines and cosets (Power et al. 2022, Figure 3)."""

from __future__ import annotations

from typing import Any

import matplotlib
import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from numpy.typing import NDArray

from groklab.analysis import projections
from groklab.analysis.cosets import check_has_cosets, search_cosets
from groklab.analysis.elements import matrix_of, order_of
from groklab.analysis.projections import Numbers
from groklab.analysis.structure import circularity
from groklab.analysis.structure import number_line as line_of
from groklab.data.groups import group_named
from groklab.figures import letters, style
from groklab.registry import figure
from groklab.text.numbers import explained
from groklab.text.values import shown

_NEEDS = ("element", "name", "vector", "place", "group")
_PAGE, _SIDE, _EDGE, _WIDTH = 6.9, 2.05, 0.12, 4.8
"""Inches: a page, the side of one of its three panels, the margin, and the width of a figure with one panel."""
METHODS = ("tsne", "pca", "scaling")
_METHOD_NAMES = {"tsne": "t-SNE", "pca": "principal components", "scaling": "classical scaling"}
_SHOWN = 12
"""Cosets of which the legend names the elements."""


@figure(needs=_NEEDS, takes="elements", source="Power et al. 2022, Figure 3")
def embeddings(table: pl.DataFrame, *, layer: str = "output") -> Figure:
    """The elements as rows of the output layer (or of the embedding): principal components in two and three dimensions, and t-SNE.

    Colors run around the cyclic group behind a modular table; in other groups they are the orders of the elements.
    """
    style.check_table("embeddings", table, _NEEDS)
    matrix = matrix_of(table)
    _check_points("embeddings", matrix, 4)
    colors, meaning = _colors(table, matrix)
    components = min(3, *matrix.shape)
    flat, deep = projections.pca(matrix, 2), projections.pca(matrix, components)
    with style.publication():
        told = [_what(table, layer), meaning, _circle(table, matrix)]
        drawing, bottom = _sheet(table, [line for line in told if line], _SIDE, _PAGE)
        height = drawing.get_figheight()
        places = [(_EDGE + k * (_SIDE + 0.22)) / _PAGE for k in range(3)]
        size = (_SIDE / _PAGE, _SIDE / height)
        first = drawing.add_axes((places[0], bottom, *size))
        _scatter(first, flat.points, colors, table)
        first.set_title(f"2 principal components, {explained(flat.explained.sum())}", size=style.SMALL_SIZE)
        if components == 3:
            space: Any = drawing.add_axes((places[1], bottom, *size), projection="3d")
            space.scatter(*deep.points.T, c=colors, s=9, depthshade=False, linewidths=0)
            space.set(xticklabels=[], yticklabels=[], zticklabels=[])
            space.tick_params(length=0, pad=-6)
            for axis in (space.xaxis, space.yaxis, space.zaxis):
                axis.pane.set_facecolor("white")
                axis.pane.set_edgecolor(style.GRID)
                axis._axinfo["grid"]["color"] = style.GRID
            space.set_title(f"3 principal components, {explained(deep.explained.sum())}", size=style.SMALL_SIZE)
        last = drawing.add_axes((places[2], bottom, *size))
        _scatter(last, projections.tsne(matrix), colors, table)
        last.set_title("t-SNE", size=style.SMALL_SIZE)
    return drawing


@figure(needs=_NEEDS, takes="elements", source="Power et al. 2022, Figure 3 right")
def number_line(
    table: pl.DataFrame, *, layer: str = "output", method: str = "tsne", k: int | None = None, permutations: int = 1999
) -> Figure:
    """The elements of a modular table with a line from each to the k-th after it, colored by residue mod k (Power et al. 2022, Figure 3 right).

    k is the step whose line shows best, unless it is given. For multiplication and division the order is that of the powers of the
    smallest primitive root.
    """
    style.check_table("number_line", table, _NEEDS)
    order = order_of(table)
    if order is None:
        raise ValueError("figure 'number_line': got a table without a cyclic order; expected one of residues. For a group, draw cosets.")
    matrix = matrix_of(table)
    _check_points("number_line", matrix[order], 7)
    points = _picture(matrix, method)
    line = line_of(points, order, permutations=permutations)
    step = line.step if k is None else k
    scores = {int(row["step"]): float(row["score"]) for row in line.steps.iter_rows(named=True)}
    if step not in scores:
        raise ValueError(f"figure 'number_line': k: got {k}; expected a step from 1 to {max(scores)}.")
    with style.publication():
        found = f"adding {step}: score in this picture {scores[step]:.2f}" + (
            f" (best; by chance {line.chance:.2f}, p = {line.p_value:.2g})" if k is None else ""
        )
        told = [f"{_what(table, layer)}, {_METHOD_NAMES[method]}", f"{found}; colors: residue mod {step}", _circle(table, matrix)]
        side = _WIDTH - 2 * _EDGE
        drawing, bottom = _sheet(table, [line for line in told if line], side * 0.8, _WIDTH)
        axes = drawing.add_axes((_EDGE / _WIDTH, bottom, side / _WIDTH, side * 0.8 / drawing.get_figheight()))
        residues = np.full(len(points), -1)
        residues[line.order] = line.residues(step)
        colors = [_hue(residue, step) if residue >= 0 else style.QUIET for residue in residues]
        for walk in line.walks(step):
            closed = np.append(walk, walk[0])
            axes.plot(*points[closed].T, color="#BBBBBB", lw=0.7, zorder=1)
        axes.scatter(*points.T, c=colors, s=52, linewidths=0, zorder=2)
        _names(axes, points, table["name"].to_list(), 5.5)
        _bare(axes)
    return drawing


@figure(needs=_NEEDS, takes="elements", source="Power et al. 2022, Figure 3 left")
def cosets(table: pl.DataFrame, *, layer: str = "output", method: str = "tsne", permutations: int = 1999) -> Figure:
    """The elements of a group, colored by the cosets of the subgroup that explains where they lie better than any other (Power et al. 2022, Figure 3 left).

    The search goes over all subgroups and both sides in the full space of the layer, its p value corrected for that. A modular table is taken as
    the cyclic group behind it, its elements alone: of division the dividends that are not 0.
    """
    style.check_table("cosets", table, _NEEDS)
    name = style.constant(table, "group")
    if name is None:
        order = order_of(table)
        if order is None:
            raise ValueError(
                "figure 'cosets': got a table behind which no group is known; expected a product, conjugation or sandwich in a group, or a modular "
                "table with a cyclic group behind it, such as addition mod 12."
            )
        table, name = table[order], f"cyclic({len(order)})"
    group = group_named(name)
    matrix = matrix_of(table)
    try:
        check_has_cosets(group)
    except ValueError as error:
        raise ValueError(f"figure 'cosets': {error} The figure number_line shows the order of a cyclic group.") from None
    found = search_cosets(matrix, group, permutations=permutations)
    best = found.best
    labels = best.labels()
    with style.publication():
        told = [
            f"{_what(table, layer)}, {_METHOD_NAMES[_known(method)]}",
            f"colors: cosets {best.side} of {best.subgroup.name}, {best.subgroup.type}, order {best.subgroup.order}, {best.subgroup.index} cosets",
            f"{explained(best.share)} of the variance between them, {explained(best.expected)} by chance; p = {best.p_corrected:.2g} among all subgroups",
        ]
        side = _WIDTH - 2 * _EDGE
        drawing, bottom = _sheet(table, told, side * 0.8, _WIDTH)
        axes = drawing.add_axes((_EDGE / _WIDTH, bottom, side / _WIDTH, side * 0.8 / drawing.get_figheight()))
        points = _picture(matrix, method)
        colors = [_hue(label, best.subgroup.index) for label in labels]
        axes.scatter(*points.T, c=colors, s=26, linewidths=0)
        if len(points) <= 60:
            _names(axes, points, table["name"].to_list(), 5.0)
        _bare(axes)
    return drawing


# — what they share —


def _known(method: str) -> str:
    if method not in METHODS:
        raise ValueError(f"method: got {shown(method)}; expected {', '.join(METHODS)}.")
    return method


def _picture(matrix: Numbers, method: str) -> Numbers:
    if _known(method) == "tsne":
        return projections.tsne(matrix)
    if method == "pca":
        return projections.pca(matrix, 2).points
    difference = matrix[:, None] - matrix[None]
    return projections.classical_scaling(np.sqrt((difference**2).sum(-1)), 2).points


def _check_points(name: str, matrix: NDArray[np.float64], least: int) -> None:
    if len(matrix) < least or min(matrix.shape) < 2:
        raise ValueError(
            f"figure {shown(name)}: got {len(matrix)} elements in {matrix.shape[1]} dimensions; expected at least {least} in 2."
        )


def _colors(table: pl.DataFrame, matrix: Numbers) -> tuple[list[str], str]:
    """A color for every element, and what it means."""
    order = order_of(table)
    if order is not None and len(order) >= 5:
        # Around the circle that is there: a frequency of 21 puts neighbors on it 21 / n of a turn apart.
        frequency, n = circularity(matrix, order, permutations=99).strongest, len(order)
        colors = [style.QUIET] * table.height
        for place, row in enumerate(order):
            colors[row] = to_hex(matplotlib.colormaps["twilight_shifted"](((place * frequency) % n + 0.5) / n))
        return colors, f"colors: place on the circle of frequency {frequency}, dark to dark"
    name = style.constant(table, "group")
    if name is None:
        return [style.VALIDATION] * table.height, ""
    orders = _orders(name)
    distinct = sorted(set(orders))
    palette = dict(zip(distinct, [style.GROUPS[k % len(style.GROUPS)] for k in range(len(distinct))], strict=True))
    return [palette[order] for order in orders], "colors: order of the element (" + ", ".join(map(str, distinct)) + ")"


def _hue(number: int, of: int) -> str:
    """One of so many colors, dark enough for white letters."""
    if of <= 10:
        return to_hex(matplotlib.colormaps["tab10"](number))
    if of <= 20:
        return to_hex(matplotlib.colormaps["tab20"](number))
    red, green, blue, _ = matplotlib.colormaps["hsv"](number / of)
    return to_hex((0.8 * red, 0.62 * green, 0.85 * blue))


def _orders(name: str) -> list[int]:
    """The order of every element of a group."""
    group = group_named(name)
    orders = np.ones(group.order, dtype=np.int64)
    power = np.arange(group.order)
    while (pending := power != group.identity).any():
        orders[pending] += 1
        power = np.where(pending, group.table[power, np.arange(group.order)], power)
    return orders.tolist()


def _circle(table: pl.DataFrame, matrix: Numbers) -> str:
    """How circular the order of the cyclic group is in the full space, in words."""
    order = order_of(table)
    if order is None or len(order) < 5:
        return ""
    found = circularity(matrix, order, permutations=199)
    return f"circularity {found.score:.2f} (by chance {found.chance:.2f}), strongest frequency {found.strongest}"


def _what(table: pl.DataFrame, layer: str) -> str:
    step = style.constant(table, "step")
    return f"{layer if layer == 'embedding' else 'output layer'}" + (f" at step {style.count(step)}" if step is not None else "")


def _sheet(table: pl.DataFrame, told: list[str], panel: float, width: float) -> tuple[Figure, float]:
    """A figure with a title and lines below; the bottom of its panels, as a share of its height."""
    title = style.lines_of(str(style.constant(table, "title") or ""), width - 0.2)
    lines = [line for part in told for line in style.lines_of(part, width - 0.25, style.SMALL_SIZE, at_most=3)]
    above, below = (0.32 if width > 5 else 0.16) + 0.21 * len(title), 0.2 + style.LINE_HEIGHT * len(lines)
    height = above + panel + below
    drawing = Figure(figsize=(width, height))
    drawing.text(_EDGE / width, 1 - 0.07 / height, "\n".join(title), size=style.TITLE_SIZE, va="top", linespacing=1.25)
    drawing.text(_EDGE / width, 0.06 / height, "\n".join(lines), size=style.SMALL_SIZE, color=style.QUIET, va="bottom")
    return drawing, below / height


def _scatter(axes: Axes, points: Numbers, colors: list[str], table: pl.DataFrame) -> None:
    if len(points) <= 30:
        axes.scatter(*points.T, c=colors, s=60, linewidths=0)
        _names(axes, points, table["name"].to_list(), 5.5)
    else:
        axes.scatter(*points.T, c=colors, s=12, linewidths=0)
    _bare(axes)


def _names(axes: Axes, points: Numbers, names: list[str], size: float) -> None:
    """The elements' names in their dots, where they fit."""
    if max(map(len, names)) > 3 or max(len(letters.legible(name)) for name in names) > 3:
        return
    for (x, y), name in zip(points, map(letters.legible, names), strict=True):
        axes.text(float(x), float(y), name, size=size, ha="center", va="center", color="white", clip_on=True)


def _bare(axes: Axes) -> None:
    """A picture whose axes mean nothing."""
    axes.set(xticks=[], yticks=[])
    axes.grid(visible=False)
    axes.set_aspect("equal", adjustable="datalim")
    for side in axes.spines.values():
        side.set(visible=True, color=style.GRID)
