"""Learning curves of several settings side by side, each in the two colors of train and validation."""

from __future__ import annotations

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from groklab.figures import style
from groklab.registry import figure
from groklab.text.numbers import GROKKED, given
from groklab.text.values import shown

Values = NDArray[np.float64]

_NEEDS = ("run", "step", "train_accuracy", "validation_accuracy", "train_loss", "validation_loss")
_PANEL, _HEIGHTS, _LEFT, _RIGHT, _GAP, _BETWEEN = 2.95, (1.6, 1.25), 0.62, 0.34, 0.22, 0.14
"""Inches: width of a panel, heights of the rows, outer margins, the gaps between columns and rows."""
_COLUMNS, _HEADING, _AXIS = 2, (0.4, 0.24), 0.45
"""Settings side by side; inches above a panel of accuracy (with its marks) and of loss alone, and below the last panel of a setting."""
_QUANTITIES = ("both", "accuracy", "loss")


@figure(needs=_NEEDS, takes="history", source="Power et al. 2022, Figures 1 left and 4")
def curves_by_setting(
    history: pl.DataFrame, *, quantity: str = "both", threshold: float = GROKKED, loss_name: str = "loss (nats)"
) -> Figure:
    """Accuracy and loss against step of up to six settings, two side by side, a thin line per seed (Power et al. 2022, Figures 1 left and 4).

    The settings are those of the column ``group``; without it all runs are one. ``quantity`` is both, accuracy or loss, ``loss_name`` what the loss is.
    """
    style.check_table("curves_by_setting", history, _NEEDS)
    if quantity not in _QUANTITIES:
        raise ValueError(f"figure 'curves_by_setting': got quantity={shown(quantity)}; expected one of {', '.join(_QUANTITIES)}.")
    label = pl.col("group").cast(pl.String).fill_null("unnamed") if "group" in history.columns else pl.lit("")
    named = history.with_columns(label.alias("group"))
    settings = named["group"].unique(maintain_order=True).to_list()
    if len(settings) > 6:
        raise ValueError(f"figure 'curves_by_setting': got {len(settings)} settings; expected at most 6. Draw fewer at once.")
    kinds = ("accuracy", "loss") if quantity == "both" else (quantity,)
    last = int(named["step"].max())  # pyright: ignore[reportArgumentType]
    with style.publication():
        drawing, panels = _sheet(len(settings), kinds, str(style.constant(history, "title") or ""), threshold)
        names = style.labels(settings, 34)
        for number, setting in enumerate(settings):
            runs = [part.sort("step") for part in named.filter(pl.col("group") == setting).partition_by("run", maintain_order=True)]
            for axes, kind in zip(panels[number], kinds, strict=True):
                style.set_step_axis(axes, last)
                for run in runs:
                    _draw(axes, run, kind, thin=len(runs) > 1)
                if kind == "accuracy":
                    _mark(axes, runs, threshold)
            panels[number][0].set_title(
                _heading(names[number], runs), loc="left", fontsize=style.TEXT_SIZE, pad=18 if kinds[0] == "accuracy" else 5
            )
        for row, kind in enumerate(kinds):
            _share_height([of_setting[row] for of_setting in panels], kind, loss_name)
    return drawing


def _heading(name: str, runs: list[pl.DataFrame]) -> str:
    seeds = "" if len(runs) == 1 else f" ({len(runs)} seeds)"
    return name + seeds if name else seeds.strip(" ()")


def _draw(axes: Axes, run: pl.DataFrame, kind: str, *, thin: bool) -> None:
    for split, color in (("train", style.TRAIN), ("validation", style.VALIDATION)):
        values = run[f"{split}_{kind}"].cast(pl.Float64).to_numpy()
        if kind == "loss":
            values = np.where(values > 0, values, np.nan)
        axes.plot(run["step"].to_numpy(), values, color=color, lw=1.0 if thin else 1.6, alpha=0.8 if thin else 1, zorder=3)


def _mark(axes: Axes, runs: list[pl.DataFrame], threshold: float) -> None:
    """Above the panel a triangle for every seed where it memorized and where it generalized."""
    for split, color, height in (("train", style.TRAIN, 1.06), ("validation", style.VALIDATION, 1.06)):
        for run in runs:
            reached = run.filter(pl.col(f"{split}_accuracy") >= threshold)
            if reached.height:
                axes.plot(
                    [reached["step"][0]],
                    [height],
                    "v",
                    color=color,
                    ms=4.5,
                    mew=0,
                    alpha=0.85,
                    clip_on=False,
                    transform=axes.get_xaxis_transform(),
                )


def _share_height(row: list[Axes], kind: str, loss_name: str) -> None:
    """The same scale for all panels of a kind, numbers on the first of each line only."""
    if kind == "loss":
        for axes in row:
            style.set_log(axes)
        limits = [axes.get_ylim() for axes in row]
        for axes in row:
            axes.set_ylim(min(low for low, _ in limits), max(high for _, high in limits))
            style.widen_loss_axis(axes)
    for number, axes in enumerate(row):
        if kind == "accuracy":
            axes.set(ylim=(-0.03, 1.03), yticks=[0, 0.25, 0.5, 0.75, 1], yticklabels=["0", "", "0.5", "", "1"])
        if number % _COLUMNS:
            axes.tick_params(axis="y", which="both", labelleft=False, length=0)
        else:
            axes.set_ylabel("accuracy" if kind == "accuracy" else loss_name)


def _sheet(settings: int, kinds: tuple[str, ...], title: str, threshold: float) -> tuple[Figure, list[list[Axes]]]:
    """A figure and its panels, of each setting those of its kinds."""
    columns, lines = min(settings, _COLUMNS), -(-settings // _COLUMNS)
    room = _HEADING[0] if "accuracy" in kinds else _HEADING[1]
    heights = [_HEIGHTS[0] if kind == "accuracy" else _HEIGHTS[1] if len(kinds) == 2 else _HEIGHTS[0] for kind in kinds]
    width = _LEFT + columns * _PANEL + (columns - 1) * _GAP + _RIGHT
    heading = style.lines_of(title, width - _LEFT - _RIGHT)
    above, below = 0.27 + 0.21 * len(heading), style.LINE_HEIGHT
    each = room + sum(heights) + _BETWEEN * (len(kinds) - 1) + _AXIS
    height = above + lines * each + below
    drawing = Figure(figsize=(width, height))
    drawing.text(_LEFT / width, 1 - 0.07 / height, "\n".join(heading), size=style.TITLE_SIZE, va="top", linespacing=1.25)
    handles = [Line2D([], [], color=color, lw=1.7) for color in (style.TRAIN, style.VALIDATION)]
    drawing.legend(
        handles, ["train", "validation"], ncols=2, handlelength=1.8, columnspacing=1.5, loc="upper left",
        bbox_to_anchor=(_LEFT / width, 1 - (0.08 + 0.21 * len(heading)) / height), borderaxespad=0, borderpad=0,
    )  # fmt: skip
    caption = "a line: one run" + (f"; ▼ memorized, generalized at {given(threshold)}" if "accuracy" in kinds else "")
    drawing.text(0.1 / width, 0.06 / height, caption, size=style.SMALL_SIZE, color=style.QUIET, va="bottom")
    panels: list[list[Axes]] = []
    for number in range(settings):
        line, column = divmod(number, _COLUMNS)
        top, left = height - above - line * each - room, (_LEFT + column * (_PANEL + _GAP)) / width
        panels.append([])
        for row, high in enumerate(heights):
            axes = drawing.add_axes((left, (top - high) / height, _PANEL / width, high / height))
            if row < len(heights) - 1:
                axes.tick_params(axis="x", which="both", labelbottom=False, length=0)
            else:
                axes.set_xlabel("step")
            panels[-1].append(axes)
            top -= high + _BETWEEN
    return drawing, panels
