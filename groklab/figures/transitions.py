"""Where accuracies rise and how sharply: the fitted error functions, and the spikes of the training loss below them (Miller et al. 2024)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from groklab.analysis.events import UNMIRRORED, Events, events_of, told_gap, told_spikes, told_transition
from groklab.analysis.transition import Scale, Transition
from groklab.figures import style
from groklab.registry import figure
from groklab.text.values import shown

_NEEDS = ("run", "step", "train_accuracy", "validation_accuracy", "train_loss")
_WIDTH, _LEFT, _RIGHT, _HEIGHTS, _BETWEEN = 6.4, 0.62, 0.2, (1.9, 1.0), 0.16
"""Inches: the figure, its margins, its two panels and the gap between them."""
_RUNS = 8
_SIDES = (("train", style.TRAIN), ("validation", style.VALIDATION))


class Fitted(NamedTuple):
    """One run: its evaluations and what is found in them."""

    label: str
    rows: pl.DataFrame
    events: Events

    @property
    def fits(self) -> tuple[tuple[str, str, Transition], ...]:
        """Column, color and transition of the training cells and of the validation cells, mirror images apart where there are some."""
        events = self.events
        validation = ("validation_accuracy", events.validation)
        if events.validation.step is None and events.unmirrored is not None and events.unmirrored.step is not None:
            validation = (UNMIRRORED, events.unmirrored)
        return ("train_accuracy", style.TRAIN, events.train), (validation[0], style.VALIDATION, validation[1])


@figure(needs=_NEEDS, takes="history", source="Miller et al. 2024; Thilak et al. 2022")
def transition(history: pl.DataFrame, *, scale: Scale = "log10", factor: float = 5.0) -> Figure:
    """Accuracies with the error functions fitted to them, where these lie and how sharp they are, and spikes of the training loss (Miller et al. 2024).

    Dots are evaluations, curves the fits, dashed lines t* with its standard error as a band. ``scale`` is that of the fit: log10, with
    a sharpness per decade, or steps, as Miller et al. have it. A spike is where the training loss rises to more than ``factor`` times its running
    median and falls again. One run, or up to 8, with the numbers of each below. Of symmetric operations, where mirror images of training cells are
    known before the rule is, the other validation cells are shown if all of them together make no transition.
    """
    style.check_table("transition", history, _NEEDS)
    if scale not in ("log10", "steps"):
        raise ValueError(f"figure 'transition': scale: got {shown(scale)}; expected log10 or steps.")
    runs = [_fitted(part, scale, factor) for part in history.partition_by("run", maintain_order=True)]
    if len(runs) > _RUNS:
        raise ValueError(f"figure 'transition': got {len(runs)} runs; expected at most {_RUNS}. Draw fewer at once.")
    with style.publication():
        title = style.lines_of(str(style.constant(history, "title") or ""), _WIDTH - _LEFT - _RIGHT)
        names = style.labels([run.label for run in runs], 70)
        lines = [line for run, name in zip(runs, names, strict=True) for line in _told(run, name, alone=len(runs) == 1)]
        above, below = 0.12 + 0.21 * len(title) + 0.22, 0.5 + style.LINE_HEIGHT * len(lines)
        height = above + sum(_HEIGHTS) + _BETWEEN + below
        drawing = Figure(figsize=(_WIDTH, height))
        width = (_WIDTH - _LEFT - _RIGHT) / _WIDTH
        loss = drawing.add_axes((_LEFT / _WIDTH, below / height, width, _HEIGHTS[1] / height))
        accuracy = drawing.add_axes((_LEFT / _WIDTH, (below + _HEIGHTS[1] + _BETWEEN) / height, width, _HEIGHTS[0] / height))
        last = int(max(run.rows["step"].max() for run in runs))  # pyright: ignore[reportArgumentType, reportCallIssue]
        for axes in (accuracy, loss):
            style.set_step_axis(axes, last)
        for run in runs:
            _draw(accuracy, loss, run, last, alone=len(runs) == 1)
        accuracy.set(ylabel="accuracy", ylim=(-0.03, 1.03), yticks=[0, 0.25, 0.5, 0.75, 1], yticklabels=["0", "", "0.5", "", "1"])
        accuracy.tick_params(axis="x", which="both", labelbottom=False, length=0)
        loss.set(ylabel="train loss (nats)", xlabel="step")
        style.set_log(loss)
        style.widen_loss_axis(loss)
        drawing.align_ylabels([accuracy, loss])
        drawing.text(_LEFT / _WIDTH, 1 - 0.07 / height, "\n".join(title), size=style.TITLE_SIZE, va="top", linespacing=1.25)
        for number, (text, color) in enumerate(lines):
            y = (0.06 + style.LINE_HEIGHT * (len(lines) - number - 1)) / height
            drawing.text(0.12 / _WIDTH, y, text, size=style.SMALL_SIZE, color=color, va="bottom")
        _legend(drawing, any(run.events.spikes.height for run in runs), 1 - (0.1 + 0.21 * len(title)) / height)
    return drawing


def _fitted(rows: pl.DataFrame, scale: Scale, factor: float) -> Fitted:
    rows = rows.sort("step")
    label = str(rows["group"][0]) if "group" in rows.columns else str(rows["run"][0])
    return Fitted(label, rows, events_of(rows.drop("run"), scale=scale, factor=factor))


def _draw(accuracy: Axes, loss: Axes, run: Fitted, last: int, *, alone: bool) -> None:
    steps = run.rows["step"].cast(pl.Float64).to_numpy()
    fine = np.unique(np.concatenate([np.geomspace(1, max(last, 1), 600), steps[steps > 0]]))
    for column, color, fit in run.fits:
        values = run.rows[column].cast(pl.Float64).to_numpy()
        accuracy.plot(steps, values, "o", color=color, ms=2.6 if alone else 1.6, alpha=0.55, mew=0, zorder=2)
        if fit.step is None:
            continue
        if fit.sharpness is not None:
            accuracy.plot(fine, fit.at(fine), color=color, lw=1.5 if alone else 1.0, zorder=3)
        for axes in (accuracy, loss) if alone else (accuracy,):
            axes.axvline(fit.step, color=color, lw=0.9, ls=(0, (3, 2)), zorder=1)
        error = fit.step_error or 0.0
        if alone and error:
            accuracy.axvspan(max(fit.step - error, 0), fit.step + error, color=color, alpha=0.18, lw=0, zorder=0)
    losses = run.rows["train_loss"].cast(pl.Float64).to_numpy()
    loss.plot(
        steps, np.where(losses > 0, losses, np.nan), color=style.TRAIN, lw=1.3 if alone else 0.9, marker="" if len(steps) > 1 else "o"
    )
    loss.plot(run.events.spikes["step"], run.events.spikes["height"], "v", color=style.INK, ms=4.5, mew=0, zorder=4)


def _told(run: Fitted, name: str, *, alone: bool) -> list[tuple[str, str]]:
    """What is found in a run, as lines with their colors; of several runs each begins with its name."""
    lines: list[tuple[str, str]] = [] if alone else [(name, style.INK)]
    names = {
        "train_accuracy": "train",
        "validation_accuracy": "validation",
        UNMIRRORED: "validation, unmirrored",
    }
    for column, color, fit in run.fits:
        wrapped = style.lines_of(f"{names[column]}: {told_transition(fit)}", _WIDTH - 0.25, style.SMALL_SIZE)
        lines += [(line, color) for line in wrapped]
    if run.fits[1][0] == UNMIRRORED:
        lines.append(("unmirrored: the validation cells (x, y) whose mirror image (y, x) is no training cell", style.QUIET))
    gap = told_gap(run.fits[0][2], run.fits[1][2])
    rest = [gap, told_spikes(run.events.spikes)]
    for text in rest if alone else ["; ".join(fact for fact in rest if fact)]:
        lines += [(line, style.QUIET) for line in style.lines_of(text, _WIDTH - 0.25, style.SMALL_SIZE)]
    return lines


def _legend(drawing: Figure, has_spikes: bool, top: float) -> None:
    handles = [Line2D([], [], color=color, marker="o", ms=3, lw=1.5, label=side) for side, color in _SIDES]
    handles.append(Line2D([], [], color=style.QUIET, lw=0.9, ls=(0, (3, 2)), label="t*"))
    if has_spikes:
        handles.append(Line2D([], [], color=style.INK, marker="v", ms=4.5, ls="", label="spike"))
    drawing.legend(
        handles=handles, ncols=4, handlelength=1.8, columnspacing=1.4, loc="upper left",
        bbox_to_anchor=(_LEFT / _WIDTH, top), borderaxespad=0, borderpad=0,
    )  # fmt: skip
