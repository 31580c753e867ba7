"""A film of a training: the table filling in and the elements finding their places, a frame for every checkpoint."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import matplotlib
import numpy as np
import polars as pl
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure

from groklab.analysis.elements import matrix_of, order_of
from groklab.analysis.projections import Numbers
from groklab.analysis.structure import circularity
from groklab.figures import style
from groklab.figures.cells import read, show
from groklab.registry import figure
from groklab.text.numbers import percent

_NEEDS = ("step", "train_accuracy", "validation_accuracy")
_WIDTH, _HEIGHT, _SIDE, _CURVE = 7.2, 4.7, 2.7, 0.75
"""Inches: a frame, the side of its two panels, and the height of the curves under them."""
_RIGHT, _WRONG, _TRAIN_RIGHT, _TRAIN_WRONG, _UNKNOWN = style.VALIDATION, "#F2B84B", "#DCDCDC", "#969696", "#EADCF4"


@figure(needs=_NEEDS, takes="film", animated=True, source="Power et al. 2022, Figures 1 and 3")
def film(history: pl.DataFrame, cells: Sequence[pl.DataFrame], elements: Sequence[pl.DataFrame]) -> Iterator[Figure]:
    """The table filling in and the output layer taking shape, a frame for every checkpoint, with the accuracies up to it.

    ``cells`` and ``elements`` are tables as ``operation_table`` and ``embeddings`` take them, one of each for every checkpoint. All
    frames show the elements from the same side: the plane in which the last checkpoint's strongest circle lies, or else its first
    two principal components.
    """
    style.check_table("film", history, _NEEDS)
    if not cells or len(cells) != len(elements):
        raise ValueError(
            f"figure 'film': got {len(cells)} tables of cells and {len(elements)} of elements; expected one of each for every checkpoint."
        )
    matrices = [matrix_of(table) for table in elements]
    plane, colors, seen = _side(elements[-1], matrices[-1])
    points = [(matrix - matrix.mean(axis=0)) @ plane for matrix in matrices]
    reach = 1.08 * max(float(np.abs(shown).max()) for shown in points[-max(1, len(points) // 3) :])
    title, threshold = str(style.constant(history, "title") or ""), style.threshold_of(history)
    for table, shown in zip(cells, points, strict=True):
        yield _frame(history, table, shown, colors, title=title, seen=seen, reach=reach, threshold=threshold)


def _frame(
    history: pl.DataFrame, cells: pl.DataFrame, points: Numbers, colors: list[str], *, title: str, seen: str, reach: float, threshold: float
) -> Figure:
    step = int(cells["step"][0])
    with style.publication():
        drawing = Figure(figsize=(_WIDTH, _HEIGHT))
        drawing.text(0.12 / _WIDTH, 1 - 0.08 / _HEIGHT, "\n".join(style.lines_of(title, _WIDTH - 0.24)), size=style.TITLE_SIZE, va="top")
        bottom, size = (_HEIGHT - 0.62 - _SIDE) / _HEIGHT, (_SIDE / _WIDTH, _SIDE / _HEIGHT)
        left = drawing.add_axes((0.5 / _WIDTH, bottom, *size))
        table = read(cells)
        left.set(xlim=(-0.5, table.shape[1] - 0.5), ylim=(table.shape[0] - 0.5, -0.5), xticks=[], yticks=[])
        left.grid(visible=False)
        validation, right = table.split == "validation", table.answer == table.z
        trained = np.where(table.answer == table.label, _TRAIN_RIGHT, _TRAIN_WRONG)
        names = np.where(validation, np.where(right, _RIGHT, _WRONG), np.where(table.split == "train", trained, _UNKNOWN))
        show(left, table, np.array([to_rgb(name) for name in names]))
        share = (
            f"{percent(float(right[validation].mean()), threshold=threshold)} of the hidden cells right"
            if validation.any()
            else "no hidden cells"
        )
        left.set_title(f"step {style.count(step)}: {share}", size=style.SMALL_SIZE, loc="left", pad=4)
        other = drawing.add_axes(((_WIDTH - 0.5 - _SIDE) / _WIDTH, bottom, *size))
        other.scatter(*points.T, c=colors, s=14, linewidths=0)
        other.set(xlim=(-reach, reach), ylim=(-reach, reach), xticks=[], yticks=[])
        other.grid(visible=False)
        for spine in (*left.spines.values(), *other.spines.values()):
            spine.set(visible=True, color=style.GRID)
        other.set_title(f"output layer, {seen}", size=style.SMALL_SIZE, loc="left", pad=4)
        curve = drawing.add_axes((0.5 / _WIDTH, 0.36 / _HEIGHT, (_WIDTH - 1.0) / _WIDTH, _CURVE / _HEIGHT))
        so_far = history.filter(pl.col("step") <= step)
        for split, color in (("train", style.TRAIN), ("validation", style.VALIDATION)):
            known = so_far.select("step", f"{split}_accuracy").drop_nulls()
            curve.plot(known["step"], known[f"{split}_accuracy"], color=color, label=split)
            curve.plot(known["step"].tail(1), known[f"{split}_accuracy"].tail(1), "o", color=color, ms=3, clip_on=False)
        style.set_step_axis(curve, int(history["step"].max()))  # pyright: ignore[reportArgumentType]
        curve.set(ylim=(-0.03, 1.03), yticks=[0, 1], ylabel="accuracy")
        curve.legend(loc="upper left", fontsize=6.5, handlelength=1.2, borderaxespad=0.2)
    return drawing


def _side(elements: pl.DataFrame, matrix: Numbers) -> tuple[Numbers, list[str], str]:
    """The plane from which the elements are seen, (E, 2), their colors, and what it is."""
    centered = matrix - matrix.mean(axis=0)
    order = order_of(elements)
    if order is None or len(order) < 5:
        axes = np.linalg.svd(centered, full_matrices=False)[2][:2].T
        return axes, [style.VALIDATION] * len(matrix), "2 principal components"
    frequency, n = circularity(matrix, order, permutations=99).strongest, len(order)
    angle = 2 * np.pi * frequency * np.arange(n) / n
    # The directions along which the circle's cosine and sine lie in E.
    axes = np.linalg.qr(centered[order].T @ np.stack([np.cos(angle), np.sin(angle)], axis=1))[0]
    colors = [style.QUIET] * len(matrix)
    for place, row in enumerate(order):
        colors[row] = to_hex(matplotlib.colormaps["twilight_shifted"](((place * frequency) % n + 0.5) / n))
    return axes, colors, f"circle of frequency {frequency}"
