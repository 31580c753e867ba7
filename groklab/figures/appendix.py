"""The two questions of the paper's appendix: can wrong answers be memorized beside the rule, and are minima that generalize flatter?"""

from __future__ import annotations

import math

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullFormatter
from numpy.typing import NDArray

from groklab.analysis.correlations import rank_correlation
from groklab.analysis.survival import middle
from groklab.figures import style
from groklab.registry import figure

Values = NDArray[np.float64]

_WIDTH, _HEIGHT, _LEFT, _RIGHT = 4.8, 2.6, 0.66, 0.2
"""Inches of the figure, its panel and the margins beside it."""
_KINDS = {
    "validation_accuracy": ("validation cells, true answer", style.VALIDATION),
    "train_accuracy_clean": ("clean training cells", style.TRAIN),
    "train_accuracy_corrupted": ("corrupted cells, as labeled", style.GROUPS[4]),
    "corrupted_cells_answered_truly": ("corrupted cells, truly", style.GROUPS[2]),
}


@figure(
    needs=("outliers", "validation_accuracy", "train_accuracy"),
    takes="runs",
    x="outliers",
    results=("train_accuracy_clean", "train_accuracy_corrupted", "corrupted_cells_answered_truly"),
    source="Power et al. 2022, appendix",
)
def outliers(table: pl.DataFrame) -> Figure:
    """Accuracy at the end on validation, clean and corrupted training cells against the number of outliers (Power et al. 2022, appendix).

    Of runs without outliers all training cells are clean.
    """
    style.check_table("outliers", table, ("outliers", "validation_accuracy", "train_accuracy"))
    known = table.with_columns(outliers=pl.col("outliers").cast(pl.Float64, strict=False)).filter(pl.col("outliers").is_not_null())
    if known.is_empty():
        raise ValueError("figure 'outliers': got no run with a number of outliers; expected at least one.")
    clean = pl.col("train_accuracy_clean") if "train_accuracy_clean" in known.columns else pl.lit(None, dtype=pl.Float64)
    known = known.with_columns(train_accuracy_clean=pl.when(pl.col("outliers") == 0).then("train_accuracy").otherwise(clean))
    with style.publication():
        counts = known.group_by("outliers").len()["len"]
        many = str(counts.max()) if counts.min() == counts.max() else f"{counts.min()} to {counts.max()}"
        caption = "dots: one run each, joined" if counts.max() == 1 else f"line: median of {many} runs; dots: each"
        kinds = {column: looks for column, looks in _KINDS.items() if column in known.columns and known[column].count()}
        drawing, place, top = _sheet(known, caption, rows=math.ceil(len(kinds) / 2))
        axes = drawing.add_axes(place)
        handles: list[Line2D] = []
        for column, (label, color) in kinds.items():
            some = known.filter(pl.col(column).is_not_null()).sort("outliers")
            x, y = (some[name].cast(pl.Float64).to_numpy() for name in ("outliers", column))
            places = np.unique(x)
            axes.plot(x, y, "o", color=color, ms=2.8, alpha=0.6, mew=0)
            axes.plot(places, [middle(y[x == p]) for p in places], color=color)
            handles.append(Line2D([], [], color=color, marker="o", ms=3, label=label))
        places = known["outliers"].unique().sort().to_numpy()
        _set_counts(axes, places)
        axes.set(ylim=(-0.03, 1.03), xlabel="outliers among the training cells", ylabel="accuracy at the end")
        _legend(drawing, handles, top)
    return drawing


@figure(
    needs=("sharpness", "validation_accuracy"),
    takes="runs",
    measures=("sharpness",),
    source="Power et al. 2022, appendix; Keskar et al. 2017",
)
def sharpness(table: pl.DataFrame) -> Figure:
    """Validation accuracy against the sharpness of the minimum, a dot per run, with Spearman's rank correlation (Power et al. 2022, appendix).

    The interval of the correlation is of the bootstrap over runs. Settings, up to 8, are colors. Sharpness is measured where it is not
    kept, seconds to a minute a run; runs without one, because they diverged or their last checkpoint is not stored, are counted and left out.
    """
    style.check_table("sharpness", table, ("sharpness", "validation_accuracy"))
    known = table.filter(pl.all_horizontal(pl.col("sharpness", "validation_accuracy").cast(pl.Float64).is_finite()))
    if known.is_empty():
        raise ValueError(
            f"figure 'sharpness': of {table.height} runs none has a sharpness and an accuracy; expected at least one whose last checkpoint is stored."
        )
    settings = known["setting"].unique(maintain_order=True).to_list() if "setting" in known.columns else [""]
    colored = 1 < len(settings) <= len(style.GROUPS)
    unknown = table.height - known.height
    left_out = f"; {unknown} more left out, whose sharpness is unknown" if unknown else ""
    x, y = (known[name].cast(pl.Float64).to_numpy() for name in ("sharpness", "validation_accuracy"))
    with style.publication():
        drawing, place, top = _sheet(known, _correlation(x, y) + left_out, rows=math.ceil(len(settings) / 2) if colored else 0)
        axes = drawing.add_axes(place)
        handles: list[Line2D] = []
        names = style.labels([str(setting) for setting in settings], 28)
        for number, setting in enumerate(settings):
            of_setting = np.array([name == setting for name in known["setting"]]) if colored else np.ones(len(x), dtype=bool)
            color = style.GROUPS[number] if colored else style.VALIDATION
            axes.plot(x[of_setting], y[of_setting], "o", color=color, ms=4, alpha=0.85, mew=0)
            handles.append(Line2D([], [], color=color, marker="o", ms=4, ls="", label=names[number]))
            if not colored:
                break
        if x.min() > 0 and x.max() / x.min() > 20:
            style.set_log(axes, "x")
            axes.xaxis.set_minor_formatter(NullFormatter())
        else:
            axes.xaxis.set_major_locator(MaxNLocator(5))  # sharpnesses are small: labels of many digits
        axes.set(ylim=(-0.03, 1.03), xlabel="sharpness φ", ylabel="validation accuracy")
        if colored:
            _legend(drawing, handles, top)
    return drawing


def _correlation(x: Values, y: Values) -> str:
    found = rank_correlation(x, y)
    if found is None:
        return f"{len(x)} runs; too few, or all alike, for a rank correlation"
    rho, low, high = (f"{value:+.2f}".replace("-", "−") for value in found)
    return f"{len(x)} runs; rank correlation {rho} (90 %: {low} to {high})"


def _set_counts(axes: Axes, places: Values) -> None:
    """An axis of counts that begins at 0: linear up to the first count, then logarithmic."""
    positive = places[places > 0]
    if len(positive) and positive[-1] / positive[0] > 10:
        axes.set_xscale("symlog", linthresh=float(positive[0]), linscale=0.4)
        axes.set_xlim(0 if places[0] == 0 else float(positive[0]) / 1.1, float(positive[-1]) * 1.1)
        axes.xaxis.set_major_locator(FixedLocator(list(places)))
        axes.xaxis.set_minor_locator(FixedLocator([]))
    axes.xaxis.set_major_formatter(FuncFormatter(_whole))


def _whole(value: float, _: int | None) -> str:
    return style.count(value)


def _sheet(table: pl.DataFrame, caption: str, *, rows: int) -> tuple[Figure, tuple[float, float, float, float], float]:
    """A figure with title, room for a legend of some rows, and a caption; the place of its panel, and the top of the legend."""
    title = str(style.constant(table, "title") or (style.constant(table, "setting") if "setting" in table.columns else "") or "")
    heading = style.lines_of(title, _WIDTH - _LEFT - _RIGHT)
    lines = style.lines_of(caption, _WIDTH - 0.25, style.SMALL_SIZE)
    above, below = 0.14 + 0.21 * len(heading) + 0.19 * rows, 0.47 + style.LINE_HEIGHT * len(lines)
    height = above + _HEIGHT + below
    drawing = Figure(figsize=(_WIDTH, height))
    drawing.text(_LEFT / _WIDTH, 1 - 0.07 / height, "\n".join(heading), size=style.TITLE_SIZE, va="top", linespacing=1.25)
    drawing.text(0.1 / _WIDTH, 0.06 / height, "\n".join(lines), size=style.SMALL_SIZE, color=style.QUIET, va="bottom")
    place = (_LEFT / _WIDTH, below / height, (_WIDTH - _LEFT - _RIGHT) / _WIDTH, _HEIGHT / height)
    return drawing, place, 1 - (0.07 + 0.21 * len(heading)) / height


def _legend(drawing: Figure, handles: list[Line2D], top: float) -> None:
    drawing.legend(
        handles=handles, ncols=2, handlelength=1.4, columnspacing=1.2, loc="upper left",
        bbox_to_anchor=(_LEFT / _WIDTH, top), borderaxespad=0, borderpad=0,
    )  # fmt: skip
