"""A table of an operation on paper: its cells as arrays, and panels in which each cell is a crisp square of color."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import matplotlib
import numpy as np
import polars
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from groklab.figures import letters, style
from groklab.text.values import shown

Numbers = NDArray[np.int64]
Colors = NDArray[np.float64]

SPLITS = ("train", "validation", "unknown")
ABSENT, HATCH = "#F1F1F1", "/////"
"""Where the table has no cell."""
SLOT, EDGE = 2.6, 0.12
"""Inches: the least width of a panel with what is written under it, and the margin of the figure."""
_BETWEEN = 0.3
_PANEL_PIXELS, _LARGEST_PANEL_PIXELS = 520, 1040
"""The longer side of a panel at the saved resolution, as near as whole pixels a cell come to it, and what large tables may take."""


class Table(NamedTuple):
    """The cells as arrays, with their places in the picture."""

    rows: Numbers
    columns: Numbers
    row_names: list[str]
    column_names: list[str]
    z: Numbers
    label: Numbers
    answer: Numbers
    """-1 where the network has not answered."""
    split: NDArray[np.str_]
    corrupted: NDArray[np.bool_]
    elements: Numbers
    """Every element that is a result, a label or an answer, in order; the colors run over them."""
    names: dict[int, str]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the picture."""
        return len(self.row_names), len(self.column_names)


def read(cells: polars.DataFrame) -> Table:
    """A table of cells, checked, as arrays; ValueError where its rows are not the cells of one table."""
    strange = sorted(set(cells["split"].unique().to_list()) - set(SPLITS), key=str)
    if strange:
        raise ValueError(f"figure 'operation_table': got split {shown(strange[0])}; expected {', '.join(SPLITS)}.")
    twice = cells.height - cells.select("x", "y").n_unique()
    if twice:
        raise ValueError(f"figure 'operation_table': {twice} cells occur more than once; expected the cells of one run at one step.")
    x, y, z, label = (_numbers(cells, name) for name in ("x", "y", "z", "label"))
    answer = _numbers(cells, "answer") if "answer" in cells.columns else np.full(cells.height, -1, dtype=np.int64)
    row_elements, column_elements = np.unique(x), np.unique(y)
    if np.isin(row_elements, column_elements).any():  # one set of elements on both sides: a missing row or column is a gap, not shorter
        row_elements = column_elements = np.union1d(row_elements, column_elements)
    names: dict[int, str] = {}
    for numbers, column in ((z, "z_name"), (y, "y_name"), (x, "x_name")):
        names |= {
            int(n): letters.legible(str(t)) for n, t in zip(numbers, cells[column].to_list(), strict=True) if t is not None and n >= 0
        }
    return Table(
        np.searchsorted(row_elements, x),
        np.searchsorted(column_elements, y),
        [names.get(int(n), str(n)) for n in row_elements],
        [names.get(int(n), str(n)) for n in column_elements],
        z,
        label,
        answer,
        cells["split"].to_numpy().astype(str),
        cells["corrupted"].fill_null(False).to_numpy().astype(bool),
        np.unique(np.concatenate([values[values >= 0] for values in (z, label, answer)])),
        names,
    )


def _numbers(cells: polars.DataFrame, column: str) -> Numbers:
    return cells[column].cast(polars.Int64).fill_null(-1).to_numpy()


def panels(table: Table, number: int, *, title: str, below: float) -> tuple[Figure, list[Axes]]:
    """Panels side by side whose cells are whole pixels of the saved picture: no cell is wider than its neighbor or blurred.

    ``below`` is the room under them in inches.
    """
    pixel = 1 / style.DOTS_PER_INCH

    def whole(inches: float) -> float:
        return math.ceil(inches / pixel - 1e-6) * pixel

    longer = max(table.shape)
    cell = max(1, round(_PANEL_PIXELS / longer)) if longer <= _LARGEST_PANEL_PIXELS else _LARGEST_PANEL_PIXELS / longer
    height, width = (max(1, round(cell * n)) * pixel for n in table.shape)
    left = whole(max(0.44, 0.24 + 0.068 * max(len(name) for _, name in _ticks(table.row_names))))
    upright = _names_stand(table.column_names, width)
    header = whole(0.45 + (0.068 * max(len(name) for _, name in _ticks(table.column_names)) if upright else 0.12))
    slot, between = whole(max(width, SLOT)), whole(_BETWEEN)
    total = left + number * slot + (number - 1) * between + whole(EDGE)
    lines = style.lines_of(title, total - left - EDGE)
    below = whole(below)
    full = whole(0.08 + 0.21 * len(lines)) + header + height + below
    drawing = Figure(figsize=(total, full))
    drawing.text(left / total, 1 - 0.08 / full, "\n".join(lines), size=style.TITLE_SIZE, va="top", linespacing=1.25)
    places = [(left + k * (slot + between)) / total for k in range(number)]
    axes = [drawing.add_axes((place, below / full, width / total, height / full)) for place in places]
    for k, panel in enumerate(axes):
        _dress(panel, table, upright=upright, first=k == 0)
    return drawing, axes


def _dress(axes: Axes, table: Table, *, upright: bool, first: bool) -> None:
    """Rows and columns as in a written table: the first row on top, the names of columns above."""
    axes.set(xlim=(-0.5, table.shape[1] - 0.5), ylim=(table.shape[0] - 0.5, -0.5))
    axes.grid(visible=False)
    axes.xaxis.set_ticks_position("top")
    axes.xaxis.set_label_position("top")
    axes.tick_params(length=2, pad=2)
    columns, rows = _ticks(table.column_names), _ticks(table.row_names)
    axes.set_xticks([place for place, _ in columns], [name for _, name in columns], rotation=90 if upright else 0)
    axes.set_yticks([place for place, _ in rows], [name if first else "" for _, name in rows])
    axes.set_xlabel("y →", labelpad=4)
    if first:  # in the corner of the table, where it is not taken for the name of a row
        axes.annotate("x ↓", (0, 1), (-7, 6), xycoords="axes fraction", textcoords="offset points", size=style.TEXT_SIZE, ha="right")
    for side in axes.spines.values():
        side.set(visible=True, color="#B0B0B0", linewidth=0.6)


def _tick_name(name: str) -> str:
    return style.shortened(name, 12)


def _ticks(names: Sequence[str]) -> list[tuple[int, str]]:
    """All names of a small table, of a large one about six at round distances."""
    apart = 1 if len(names) <= 12 else next(d for d in (5, 10, 20, 25, 50, 100, 200, 250, 500, 1000) if len(names) / d <= 7)
    return [(place, _tick_name(names[place])) for place in range(0, len(names), apart)]


def _names_stand(names: Sequence[str], width: float) -> bool:
    """Whether the names of columns are written upright, because side by side they would touch."""
    ticks = _ticks(names)
    return max(len(name) for _, name in ticks) * 0.085 > 0.9 * width / len(ticks)


def colors_of(table: Table, numbers: Numbers) -> Colors:
    """A color for each element, in order: sequential, because equal steps look equal and none is as light as a blank cell."""
    places = np.searchsorted(table.elements, numbers)
    return matplotlib.colormaps["viridis"](places / max(len(table.elements) - 1, 1))[:, :3]


def show(axes: Axes, table: Table, painted: Colors) -> None:
    """Cells in their colors; where the table has no cell, the hatched ground shows."""
    image = np.zeros((*table.shape, 4))
    image[table.rows, table.columns, :3] = painted
    image[table.rows, table.columns, 3] = 1
    axes.set_facecolor(ABSENT)
    axes.patch.set(hatch=HATCH, edgecolor="#C4C4C4", linewidth=0)
    axes.imshow(image, interpolation="nearest", aspect="auto", zorder=1, extent=(-0.5, table.shape[1] - 0.5, table.shape[0] - 0.5, -0.5))
    if max(table.shape) <= 24:  # thin gaps between cells that are large enough to be counted
        for draw, size in ((axes.axvline, table.shape[1]), (axes.axhline, table.shape[0])):
            for place in range(1, size):
                draw(place - 0.5, color="#D0D0D0", lw=0.5, zorder=2)


def write_names(axes: Axes, table: Table, numbers: Numbers, painted: Colors) -> None:
    """The names of elements inside their cells, where they fit at a size that can be read."""
    places = np.flatnonzero(numbers >= 0)
    names = [style.shortened(table.names.get(int(numbers[k]), str(numbers[k])), 6) for k in places]
    if not names:
        return
    cell = cell_size(axes, table)
    size = min(11.0, 0.5 * cell, 0.85 * cell / (0.64 * max(len(name) for name in names)))
    if size < 4:
        return
    for k, name in zip(places, names, strict=True):
        red, green, blue = painted[k]
        light = 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.5
        axes.text(
            table.columns[k], table.rows[k], name, size=size, ha="center", va="center", color=style.INK if light else "white", zorder=3
        )


def cell_size(axes: Axes, table: Table) -> float:
    """The side of a cell in points."""
    drawing = axes.get_figure(root=True)
    assert drawing is not None
    return axes.get_position().width * drawing.get_figwidth() * 72 / table.shape[1]
