"""Learning curves: accuracy and loss against step, with the two moments between which a network groks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import polars
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from groklab.analysis.survival import Sample, shown_median
from groklab.figures import style
from groklab.registry import figure
from groklab.text.numbers import GROKKED
from groklab.text.values import shown

Values = NDArray[np.float64]

_NEEDS = ("run", "step", "train_accuracy", "validation_accuracy", "train_loss", "validation_loss")
_WIDTH, _PANEL_HEIGHTS, _LEFT, _RIGHT, _BETWEEN = 4.8, (1.75, 1.35), 0.62, 0.34, 0.16
"""Inches: the figure, its two panels, the margins beside them and the gap between them."""
FEW = 5
"""Up to so many runs a group's runs are drawn one by one, and its band is their range: quantiles would pretend to more."""


class Group(NamedTuple):
    """The runs of one setting."""

    label: str
    runs: list[dict[str, Values]]
    noun: str
    """What its runs are: seeds of the setting, or just runs where the table does not say."""
    diverged: list[bool]
    """Which of them diverged, as far as the table says."""


class Moment(NamedTuple):
    """When the runs of a group first reached the threshold."""

    step: float | None
    """The median step; None where it is not known."""
    reached: int
    runs: int
    budget: int
    """The step up to which the longest run was watched."""


@figure(needs=_NEEDS, takes="history", source="Power et al. 2022, Figure 1")
def learning_curves(history: polars.DataFrame, *, threshold: float = GROKKED) -> Figure:
    """Accuracy and loss of train and validation cells against step, and when they were memorized and generalized (Power et al. 2022).

    One run, the seeds of one setting (median and band), or up to 8 settings named by the column ``group``.
    """
    style.check_table("learning_curves", history, _NEEDS)
    if not 0 < threshold <= 1:
        raise ValueError(f"figure 'learning_curves': got threshold={shown(threshold)}; expected an accuracy in (0, 1].")
    groups = _groups(history)
    if len(groups) > len(style.GROUPS):
        raise ValueError(
            f"figure 'learning_curves': got {len(groups)} groups; expected at most {len(style.GROUPS)}. Draw fewer settings at once."
        )
    with style.publication():
        title = style.lines_of(str(style.constant(history, "title") or ""), _WIDTH - _LEFT - _RIGHT)
        caption = _caption(groups)
        one = len(groups) == 1
        above = len(title) * 0.21 + (0.66 if one else 0.43)
        below = 0.47 + style.LINE_HEIGHT * (len(caption) + (0 if one else len(groups) + 1.5))
        drawing, accuracy, loss = _panels(above, below)
        last = int(max(run["step"][-1] for group in groups for run in group.runs))
        for axes in (accuracy, loss):
            style.set_step_axis(axes, last)
        if one:
            _draw(accuracy, loss, groups[0], (style.TRAIN, style.VALIDATION), "-")
            _mark_moments(accuracy, loss, groups[0], threshold, last)
        else:
            for group, color in zip(groups, style.GROUPS, strict=False):
                _draw(accuracy, loss, group, (color, color), "--")
            _list_groups(drawing, accuracy, groups, threshold, last, bottom=below - 0.47)
        height = drawing.get_figheight()
        style.widen_loss_axis(loss)
        drawing.text(_LEFT / _WIDTH, 1 - 0.07 / height, "\n".join(title), size=style.TITLE_SIZE, va="top", linespacing=1.25)
        drawing.text(0.1 / _WIDTH, 0.06 / height, "\n".join(caption), size=style.SMALL_SIZE, color=style.QUIET, va="bottom")
        _legend(drawing, one, 1 - (0.08 + len(title) * 0.21) / height)
    return drawing


def _groups(history: polars.DataFrame) -> list[Group]:
    grouped = "group" in history.columns
    labels = polars.col("group").cast(polars.String).fill_null("unnamed") if grouped else polars.lit("")
    diverged = polars.col("diverged") if "diverged" in history.columns else polars.lit(value=False)
    table = history.select(labels.alias("group"), diverged.alias("diverged"), *_NEEDS)
    groups: dict[str, list[dict[str, Values]]] = {}
    have_diverged: dict[str, list[bool]] = {}
    for part in table.partition_by("group", "run", maintain_order=True):
        rows = part.sort("step")
        values = {name: rows[name].cast(polars.Float64).to_numpy() for name in _NEEDS if name != "run"}
        groups.setdefault(part["group"][0], []).append(values)
        have_diverged.setdefault(part["group"][0], []).append(bool(part["diverged"].any()))
    return [Group(label, runs, "seeds" if grouped else "runs", have_diverged[label]) for label, runs in groups.items()]


def on_common_steps(runs: Sequence[dict[str, Values]], column: str) -> tuple[Values, Values]:
    """Steps that all runs share, and the values there, one row a run.

    A run that was stopped early keeps its last value: most stop because they have generalized, and to leave them out would turn
    the median into that of the slow runs, with a jump at every stop.
    """
    ends = [run["step"][-1] for run in runs]
    every = np.unique(np.concatenate([run["step"] for run in runs]))
    shared = np.all([np.isin(every, run["step"]) | (every > end) for run, end in zip(runs, ends, strict=True)], axis=0)
    steps = every[shared]
    rows = [run[column][np.searchsorted(run["step"], steps, side="right") - 1] for run in runs]
    return steps, np.stack(rows)


def quantiles(values: Values, shares: Sequence[float]) -> Values:
    """Quantiles over runs, one row a share, each a value that occurs (``survival.middle``); NaN where no run has a value."""
    result = np.full((len(shares), values.shape[1]), np.nan)
    present = np.isfinite(values).any(axis=0)
    if present.any():
        result[:, present] = np.nanquantile(values[:, present], shares, axis=0, method="inverted_cdf")
    return result


def _draw(accuracy: Axes, loss: Axes, group: Group, colors: tuple[str, str], train_line: str) -> None:
    """The curves of one group: median, band and, where they are few, its runs; the band of train only where its color is its own."""
    few = len(group.runs) <= FEW
    own_color = colors[0] != colors[1]
    for split, color, line in (("train", colors[0], train_line), ("validation", colors[1], "-")):
        strong = own_color or split == "validation"
        for axes, kind in ((accuracy, "accuracy"), (loss, "loss")):
            steps, values = on_common_steps(group.runs, f"{split}_{kind}")
            values = np.where(np.isfinite(values) & ((kind == "accuracy") | (values > 0)), values, np.nan)  # the loss axis is a logarithm
            low, middle, high = quantiles(values, (0.0, 0.5, 1.0) if few else (0.1, 0.5, 0.9))
            dot = "o" if len(steps) == 1 else ""
            axes.plot(
                steps,
                middle,
                line,
                color=color,
                lw=1.7 if strong else 1.0,
                marker=dot,
                ms=4 if split == "validation" else 7,
                clip_on=not dot,
                zorder=3,
                alpha=1 if strong else 0.8,
            )
            if len(group.runs) > 1 and strong:
                axes.fill_between(steps, low, high, color=color, alpha=0.16 if own_color else 0.13, lw=0, zorder=1)
                for row in values if few else ():
                    axes.plot(steps, row, line, color=color, lw=0.6, alpha=0.55, zorder=2)


def _moment(group: Group, column: str, threshold: float, last: float) -> Moment | None:
    """When a group reached the threshold; None where it has no such cells.

    The median is that of tables and pages (``survival.median``): runs that did not reach it are censored where they were last looked at, and
    those that diverged before, at the last step of all.
    """
    watched = [run["step"][-1] for run in group.runs]
    if not any(np.isfinite(run[column]).any() for run in group.runs):
        return None
    at = [run["step"][run[column] >= threshold] for run in group.runs]
    first = [float(steps[0]) if len(steps) else None for steps in at]
    ends = [last if diverged else float(end) for end, diverged in zip(watched, group.diverged, strict=True)]
    step = shown_median(Sample.of(first, ends))
    return Moment(step, len(first) - first.count(None), len(first), int(max(watched)))


def _moment_text(moment: Moment | None, verb: str, noun: str) -> str:
    if moment is None:
        return "no validation cells" if verb == "generalized" else "no train cells"
    seeds = f"{moment.reached} of {moment.runs} {noun}"
    if moment.step is not None:
        return f"{verb} at {style.count(moment.step)}" + (f" (median; {seeds})" if moment.runs > 1 else "")
    if moment.runs == 1:
        return f"not {verb} within {style.count(moment.budget)} steps" if moment.budget else f"not {verb} at step 0"
    return f"{verb}: {seeds} within {style.count(moment.budget)} steps"


def _mark_moments(accuracy: Axes, loss: Axes, group: Group, threshold: float, last: float) -> None:
    """Two flags above the panels, each in its own row, and the delay between them."""
    moments = [_moment(group, f"{split}_accuracy", threshold, last) for split in ("train", "validation")]
    for row, (moment, verb, color) in enumerate(zip(moments, ("memorized", "generalized"), (style.TRAIN, style.VALIDATION), strict=True)):
        height = 1 + (0.12 + row * style.LINE_HEIGHT) / _PANEL_HEIGHTS[0]
        text = _moment_text(moment, verb, group.noun)
        step = None if moment is None else moment.step
        if step is None:
            accuracy.text(1, height, text, transform=accuracy.transAxes, size=style.SMALL_SIZE, color=color, ha="right", va="center")
            continue
        across = accuracy.get_xaxis_transform()
        for axes, top in ((accuracy, height + 0.04), (loss, 1 + _BETWEEN / _PANEL_HEIGHTS[1])):
            axes.plot(
                [step, step], [0, top], transform=axes.get_xaxis_transform(), color=color, lw=0.9, ls=(0, (3, 2)), clip_on=False, zorder=2
            )
        ground = {"facecolor": "white", "edgecolor": "none", "pad": 0.0}
        flag = accuracy.text(step, height, f" {text} ", transform=across, size=style.SMALL_SIZE, color=color, va="center", bbox=ground)
        box, frame = flag.get_window_extent(), accuracy.get_window_extent()
        if row == 0 and box.x0 - box.width > 0:
            flag.set_horizontalalignment("right")  # away from the line of the flag to come
        elif box.x1 > frame.x1 + 0.1 * box.height:
            flag.set_horizontalalignment("right")
            if box.x0 - box.width < 0:  # too long on either side of its line
                flag.set(x=1, horizontalalignment="right", transform=accuracy.transAxes)
    memorized, generalized = (None if moment is None else moment.step for moment in moments)
    if len(group.runs) == 1 and memorized and generalized and generalized > memorized:
        rising = group.runs[0]["step"][group.runs[0]["validation_accuracy"] >= min(0.6, threshold)]
        _write_delay(accuracy, memorized, generalized, free_until=float(rising[0]) if rising[0] > 1.5 * memorized else generalized)


def _write_delay(axes: Axes, memorized: float, generalized: float, *, free_until: float) -> None:
    """An arrow from one moment to the other and their ratio, left of the curve that rises between them."""
    delay = generalized / memorized
    height = 0.62
    scale = axes.xaxis.get_transform()
    middle = scale.inverted().transform(scale.transform(np.array([memorized, free_until])).mean())
    arrow = {"arrowstyle": "<->", "color": style.INK, "lw": 0.8, "shrinkA": 0, "shrinkB": 0, "mutation_scale": 7}
    axes.annotate("", xy=(generalized, height), xytext=(memorized, height), arrowprops=arrow, zorder=4)
    text = f"{delay:.1f}×" if delay < 99.95 else f"{style.count(delay)}×"
    ground = {"facecolor": "white", "edgecolor": "none", "pad": 1.0}
    axes.text(float(middle), height + 0.05, text, size=style.TEXT_SIZE, ha="center", va="bottom", bbox=ground, zorder=1.5)


def _list_groups(drawing: Figure, accuracy: Axes, groups: Sequence[Group], threshold: float, last: float, *, bottom: float) -> None:
    """Below the panels one row a group: its color, its name, and when it memorized and generalized."""
    height = drawing.get_figheight()
    columns = [position / _WIDTH for position in (0.1, 0.42, 2.62, 3.66)]
    top = bottom / height
    step = style.LINE_HEIGHT / height
    for x, text in zip(columns[2:], ("memorized at", "generalized at"), strict=True):
        drawing.text(x, top, text, size=style.SMALL_SIZE, color=style.QUIET, va="top")
    names = style.labels([group.label for group in groups], 35)
    for number, (group, name, color) in enumerate(zip(groups, names, style.GROUPS, strict=False), start=1):
        y = top - number * step
        drawing.add_artist(Line2D([columns[0], columns[1] - 0.015], [y - 0.38 * step] * 2, color=color, lw=2.2))
        drawing.text(columns[1], y, name, size=style.SMALL_SIZE, va="top")
        for x, split in zip(columns[2:], ("train", "validation"), strict=True):
            moment = _moment(group, f"{split}_accuracy", threshold, last)
            drawing.text(x, y, _cell_text(moment), size=style.SMALL_SIZE, va="top")
            if split == "validation" and moment is not None and moment.step is not None:
                accuracy.plot(
                    [moment.step], [1.05], "v", color=color, ms=5, clip_on=False, transform=accuracy.get_xaxis_transform(), zorder=5
                )


def _cell_text(moment: Moment | None) -> str:
    if moment is None:
        return "no cells"
    seeds = f"{moment.reached} of {moment.runs}"
    if moment.step is not None:
        return style.count(moment.step) + (f" ({seeds})" if moment.runs > 1 else "")
    return f"{seeds} in {style.count(moment.budget)}" if moment.runs > 1 else f"not in {style.count(moment.budget)}"


def _caption(groups: Sequence[Group]) -> list[str]:
    """What lines, bands and marks mean, as far as this figure has them."""
    noun = groups[0].noun
    sizes = {len(group.runs) for group in groups}
    parts: list[str] = []
    if len(groups) == 1 and groups[0].label:
        parts.append(groups[0].label)
    if max(sizes) > 1:
        many = str(max(sizes)) if len(sizes) == 1 else f"{min(sizes)} to {max(sizes)}"
        bands = {"range" if size <= FEW else "10–90 %" for size in sizes if size > 1}
        band = bands.pop() if len(bands) == 1 else f"10–90 % (range up to {FEW})"
        thin = "; thin: each" if max(sizes) <= FEW else ""
        parts.append(f"line: median of {many} {noun}; band: {band}{thin}")
    if len(groups) > 1:
        parts.append(f"▼ generalized: median ({noun} that reached it)" if max(sizes) > 1 else "▼ generalized")
    return [line for part in parts for line in style.lines_of(part, _WIDTH - 0.1, style.SMALL_SIZE)]


def _legend(drawing: Figure, one: bool, top: float) -> None:
    colors = (style.TRAIN, style.VALIDATION) if one else (style.INK, style.INK)
    handles = [Line2D([], [], color=colors[0], ls="-" if one else "--", lw=1.7 if one else 1.0), Line2D([], [], color=colors[1], lw=1.7)]
    corner = (_LEFT / _WIDTH, top)
    names = ["train", "validation"]
    drawing.legend(
        handles, names, ncols=2, handlelength=1.8, columnspacing=1.5, loc="upper left", bbox_to_anchor=corner, borderaxespad=0, borderpad=0
    )


def _panels(above: float, below: float) -> tuple[Figure, Axes, Axes]:
    height = above + sum(_PANEL_HEIGHTS) + _BETWEEN + below
    drawing = Figure(figsize=(_WIDTH, height))
    width = (_WIDTH - _LEFT - _RIGHT) / _WIDTH
    loss = drawing.add_axes((_LEFT / _WIDTH, below / height, width, _PANEL_HEIGHTS[1] / height))
    bottom = (below + _PANEL_HEIGHTS[1] + _BETWEEN) / height
    accuracy = drawing.add_axes((_LEFT / _WIDTH, bottom, width, _PANEL_HEIGHTS[0] / height))
    accuracy.set(ylabel="accuracy", ylim=(-0.03, 1.03), yticks=[0, 0.25, 0.5, 0.75, 1], yticklabels=["0", "", "0.5", "", "1"])
    accuracy.tick_params(axis="x", which="both", labelbottom=False, length=0)
    loss.set(ylabel="loss (nats)", xlabel="step")
    style.set_log(loss)
    drawing.align_ylabels([accuracy, loss])
    return drawing, accuracy, loss
