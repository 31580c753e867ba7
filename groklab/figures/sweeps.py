"""Many runs against one field: steps until they memorize and generalize, their accuracies, their losses.

A row of the table is a run (``analysis.tables.runs_table``), its setting named by the column ``setting`` if there are several. A run that did
not get there is never left out and never drawn as if it had: it is an open triangle at the step up to which it was watched, and
medians are those of the product-limit estimator, missing where fewer than half of the runs got there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator
from numpy.typing import NDArray

from groklab.analysis.statistics import WATCHED, fit_steps, sample_of, with_results
from groklab.analysis.survival import middle, shown_median
from groklab.figures import style
from groklab.registry import figure
from groklab.text.numbers import GROKKED, change, given
from groklab.text.values import shown

Values = NDArray[np.float64]

_WIDTH, _HEIGHT, _LEFT, _RIGHT = 4.8, 2.6, 0.8, 0.2
"""Inches of a figure with one panel, and of the margins beside it."""
_PAGE, _PANEL = 6.9, 1.15
"""Inches of a page and the height of a small panel."""
_ONE_PANEL = 4
"""Up to so many settings share a panel; more have one each."""
_STEPS = ("memorized_at", "generalized_at", "steps")
_ENDS = ("train_accuracy", "validation_accuracy", "train_loss", "validation_loss")
_LABEL, _SHORT_LABEL = 46, 28
"""Letters of a label in the legend: at most, and where two stand side by side."""
_NAMES = {"train_fraction": "share of the table shown"}


class Setting(NamedTuple):
    """The runs of one setting."""

    label: str
    runs: pl.DataFrame


@figure(needs=_STEPS, takes="runs", source="Power et al. 2022, Figure 1 center")
def steps_against(table: pl.DataFrame, *, x: str = "train_fraction") -> Figure:
    """Steps until runs memorized and generalized against a field of theirs, censored runs drawn as such (Power et al. 2022, Figure 1 center).

    One setting in the two colors of train and validation, or up to 8 in a color each (memorized dashed). Against the train fraction
    of one setting the exponential law is fitted and told.
    """
    style.check_table("steps_against", table, (*_STEPS, x))
    known = with_results(table)
    # A logarithmic axis has no step 0: a run that has made no step yet is censored at the first.
    settings = _settings("steps_against", known.with_columns(pl.col(WATCHED).clip(1)), x, at_most=len(style.GROUPS))
    one = len(settings) == 1
    with style.publication():
        law = _law(settings[0].runs) if one and x == "train_fraction" else None
        caption = [_dots(settings, x), *([law[1]] if law else [])]
        drawing, axes, free = _one_panel(
            _title(table, settings), caption, legend=1 if one else math.ceil((len(settings) + 3) / _legend_columns(settings))
        )
        handles: list[Line2D] = []
        names = style.labels([setting.label for setting in settings], _LABEL)
        for number, setting in enumerate(settings):
            colors = (style.TRAIN, style.VALIDATION) if one else (style.GROUPS[number],) * 2
            for quantity, color, line in (("memorized_at", colors[0], "-" if one else "--"), ("generalized_at", colors[1], "-")):
                _draw_steps(axes, setting.runs, x, quantity, color, line)
            if not one:
                handles.append(Line2D([], [], color=colors[1], label=names[number]))
        if law is not None:
            axes.plot(*law[0], ":", color=style.INK, lw=1.1, zorder=2.5)
        _set_field_axis(axes, x, table[x])
        _set_steps_axis(axes, [setting.runs for setting in settings])
        if one:
            handles = [
                Line2D([], [], color=color, marker="o", ms=3, label=label)
                for color, label in ((style.TRAIN, "memorized"), (style.VALIDATION, "generalized"))
            ]
        else:
            handles += [Line2D([], [], color=style.INK, ls=line, label=text) for line, text in (("--", "memorized"), ("-", "generalized"))]
        if any(setting.runs["generalized_at"].null_count() for setting in settings):
            handles.append(Line2D([], [], color=style.QUIET, marker="^", mfc="white", ls="", ms=4.5, label="not within the budget"))
        axes.set_ylabel("step")
        _legend(drawing, handles, free, columns=3 if one else _legend_columns(settings))
    return drawing


@figure(needs=("best_validation_accuracy",), takes="runs", of_ends=True, source="Power et al. 2022, Figure 2")
def accuracy_against(table: pl.DataFrame, *, x: str = "train_fraction", quantity: str = "best_validation_accuracy") -> Figure:
    """Best validation accuracy of runs against a field of theirs, by setting; more than 4 settings have a panel each (Power et al. 2022, Figure 2).

    A full dot is a run that reached the threshold, an open one a run that did not within its budget. In the figures of experiments runs that
    stop once they have memorized are left out.
    """
    style.check_table("accuracy_against", table, (quantity, x))
    settings = _settings("accuracy_against", table.filter(pl.col(quantity).is_not_null()), x, at_most=24)
    with style.publication():
        caption = [_dots(settings, x) + "; open: below the threshold within the budget"]
        if len(settings) <= _ONE_PANEL:
            drawing, axes, free = _one_panel(_title(table, settings), caption, legend=math.ceil(len(settings) / _legend_columns(settings)))
            for setting, color in zip(settings, style.GROUPS, strict=False):
                _draw_accuracy(axes, setting.runs, x, quantity, color)
            names = style.labels([setting.label for setting in settings], _LABEL)
            handles = [Line2D([], [], color=color, marker="o", ms=3, label=name) for name, color in zip(names, style.GROUPS, strict=False)]
            _set_field_axis(axes, x, table[x])
            axes.set_ylabel(_name(quantity))
            if len(settings) > 1:
                _legend(drawing, handles, free, columns=_legend_columns(settings))
            return drawing
        caption[0] += "; gray: the other settings"
        return _small_panels(table, settings, x, quantity, caption)


@figure(needs=_ENDS, takes="runs", source="Nakkiran et al. 2020, Figure 1")
def losses_against(table: pl.DataFrame, *, x: str = "width") -> Figure:
    """Accuracies and losses at the end of training against a field such as the width, of one setting (after Nakkiran et al. 2020)."""
    style.check_table("losses_against", table, (*_ENDS, x))
    settings = _settings("losses_against", table.filter(pl.col("validation_loss").is_not_null()), x, at_most=1)
    runs = settings[0].runs
    with style.publication():
        steps = runs["steps"].unique().to_list() if "steps" in runs.columns else []
        after = f"after {style.count(steps[0])} steps; " if len(steps) == 1 else ""
        caption = [after + _dots(settings, x)]
        drawing, axes, free = _one_panel(_title(table, settings), caption, legend=1, panels=2)
        for panel, kind in zip(axes.figure.axes, ("accuracy", "loss"), strict=True):
            for split, color in (("train", style.TRAIN), ("validation", style.VALIDATION)):
                where, values = _columns(runs, x, f"{split}_{kind}")
                panel.plot(where, values, "o", color=color, ms=2.4, alpha=0.55, mew=0)
                places = np.unique(where)
                panel.plot(places, [middle(values[where == place]) for place in places], color=color)
            _set_field_axis(panel, x, runs[x])
            panel.set_ylabel("loss (nats)" if kind == "loss" else "accuracy")
        upper, lower = axes.figure.axes
        upper.set(ylim=(-0.03, 1.03), xlabel="")
        upper.tick_params(axis="x", which="both", labelbottom=False, length=0)
        style.set_log(lower)
        style.widen_loss_axis(lower)
        drawing.align_ylabels([upper, lower])
        handles = [
            Line2D([], [], color=color, marker="o", ms=3, label=name)
            for name, color in (("train", style.TRAIN), ("validation", style.VALIDATION))
        ]
        _legend(drawing, handles, free, columns=2)
    return drawing


# — what is drawn —


def _draw_steps(axes: Axes, runs: pl.DataFrame, x: str, quantity: str, color: str, line: str) -> None:
    """Every run, and the line of medians, which has a gap where the median is beyond the budget."""
    where, at = _columns(runs, x, quantity)
    watched = runs[WATCHED].cast(pl.Float64).to_numpy()
    reached = np.isfinite(at)
    axes.plot(where[reached], at[reached], "o", color=color, ms=2.8, alpha=0.6, mew=0, zorder=3)
    if not reached.all():
        axes.plot(where[~reached], watched[~reached], "^", mec=color, mfc="white", ms=4.5, mew=0.9, zorder=3, clip_on=False)
    for place, end in {(float(p), float(w)) for p, w in zip(where[~reached], watched[~reached], strict=True)}:
        together = int(((where == place) & (watched == end) & ~reached).sum())
        if together > 1:
            axes.annotate(f"{together}", (place, end), (4, 2), textcoords="offset points", size=style.SMALL_SIZE, color=color)
    places = np.unique(where)
    medians = [shown_median(sample_of(runs.filter(pl.Series(where == place)), quantity)) for place in places]  # pyright: ignore[reportArgumentType]
    axes.plot(places, [math.nan if value is None else value for value in medians], line, color=color, zorder=2.8)


def _law(runs: pl.DataFrame) -> tuple[tuple[Values, Values], str] | None:
    """The exponential law as a line, and in words; None where the runs do not allow one."""
    try:
        fit = fit_steps(runs)
    except ValueError:
        return None
    fractions = np.linspace(float(runs["train_fraction"].min()), float(runs["train_fraction"].max()), 50)  # pyright: ignore[reportArgumentType]
    interval = fit.factor_interval()
    ends = [change(end - 1) for end in (interval.lower, interval.upper) if end is not None]
    spread = f" ({given(interval.level)}: {ends[0].removesuffix(' %')} to {ends[1]})" if len(ends) == 2 else ""
    told = f"dotted: exponential law, {change(fit.factor() - 1)}{spread} steps to generalize for every percent of data less"
    return (fractions, np.array([fit.steps(f) for f in fractions])), told


def _draw_accuracy(axes: Axes, runs: pl.DataFrame, x: str, quantity: str, color: str) -> None:
    where, values = _columns(runs, x, quantity)
    full = (runs["generalized_at"].is_not_null() if "generalized_at" in runs.columns else runs[quantity] >= GROKKED).to_numpy()
    _draw_median(axes, where, values, color=color, lw=1.6, zorder=2.8)
    for which, face in ((full, color), (~full, "white")):
        if which.any():
            axes.plot(where[which], values[which], "o", mec=color, mfc=face, ms=3.2, mew=0.8, zorder=3, clip_on=False)
    axes.set(ylim=(-0.03, 1.03), yticks=[0, 0.5, 1], yticklabels=["0", "0.5", "1"])


def _draw_median(axes: Axes, where: Values, values: Values, **look: Any) -> None:
    places = np.unique(where)
    axes.plot(places, [middle(values[where == place]) for place in places], **look)


def _small_panels(table: pl.DataFrame, settings: Sequence[Setting], x: str, quantity: str, caption: Sequence[str]) -> Figure:
    """A panel for every setting, with the medians of the others behind it."""
    columns = 3 if len(settings) in (5, 6, 9) else 4
    rows = math.ceil(len(settings) / columns)
    title = style.lines_of(str(style.constant(table, "title") or ""), _PAGE - 0.2)
    lines = [line for part in caption for line in style.lines_of(part, _PAGE - 0.2, style.SMALL_SIZE)]
    above, below, between, left = 0.3 + 0.21 * len(title), 0.5 + style.LINE_HEIGHT * len(lines), 0.36, 0.6
    height = above + rows * _PANEL + (rows - 1) * between + below
    width = (_PAGE - left - 0.12 - (columns - 1) * 0.16) / columns
    drawing = Figure(figsize=(_PAGE, height))
    names = style.headings([setting.label for setting in settings], width + 0.1, style.SMALL_SIZE)
    for number, setting in enumerate(settings):
        row, column = divmod(number, columns)
        bottom = height - above - row * (_PANEL + between) - _PANEL
        axes = drawing.add_axes(((left + column * (width + 0.16)) / _PAGE, bottom / height, width / _PAGE, _PANEL / height))
        for other in settings:
            if other is not setting:
                _draw_median(axes, *_columns(other.runs, x, quantity), color="#D0D0D0", lw=0.7, zorder=1)
        _draw_accuracy(axes, setting.runs, x, quantity, style.VALIDATION)
        _set_field_axis(axes, x, table[x], ticks=3)
        if x == "train_fraction":  # the sign of percent stands at the axis' name, or neighbors would touch
            axes.xaxis.set_major_formatter(FuncFormatter(_bare_percent))
        axes.set_title(names[number], size=style.SMALL_SIZE, pad=4)
        axes.set_xlabel("")
        if column:
            axes.set_yticklabels([])
        if number + columns < len(settings):
            axes.set_xticklabels([])
    drawing.text(
        0.5,
        (0.12 + style.LINE_HEIGHT * len(lines)) / height,
        _name(x) + (" (%)" if x == "train_fraction" else ""),
        ha="center",
        va="bottom",
    )
    drawing.text(0.1 / _PAGE, (below + height - above) / 2 / height, _name(quantity), rotation=90, ha="left", va="center")
    drawing.text(0.1 / _PAGE, 1 - 0.07 / height, "\n".join(title), size=style.TITLE_SIZE, va="top")
    drawing.text(0.1 / _PAGE, 0.06 / height, "\n".join(lines), size=style.SMALL_SIZE, color=style.QUIET, va="bottom")
    return drawing


# — axes —


def _set_field_axis(axes: Axes, x: str, values: pl.Series, *, ticks: int = 8) -> None:
    """Shares as percent on a linear axis; sizes such as modulus and width on a logarithmic one, with their own values as ticks."""
    places = values.cast(pl.Float64).unique().sort().to_numpy()
    if x == "train_fraction" or places[0] <= 0 or places[-1] / places[0] < 4:
        room = 0.04 * (places[-1] - places[0]) or (0.05 if x == "train_fraction" else 0.2 * abs(places[0]) or 1)
        axes.set_xlim(places[0] - room, places[-1] + room)
        if len(places) == 1:
            axes.xaxis.set_major_locator(FixedLocator(list(places)))
        if x == "train_fraction":
            step = next(s for s in (0.05, 0.1, 0.2, 0.3, 0.5, 1.0) if (places[-1] - places[0]) / s <= ticks)
            # From the smallest share on where it is a multiple of 5 %, so that 30, 50, 70, 90 % are told as such.
            first = places[0] if abs(places[0] * 20 - round(places[0] * 20)) < 1e-9 else math.ceil(places[0] / step) * step
            axes.xaxis.set_major_locator(FixedLocator(list(np.arange(first, places[-1] + 1e-9, step))))
            axes.xaxis.set_major_formatter(FuncFormatter(_percent))
    else:
        style.set_log(axes, "x")
        axes.set_xlim(places[0] / 1.08, places[-1] * 1.08)
        shown = places[:: math.ceil(len(places) / ticks)]
        axes.xaxis.set_major_locator(FixedLocator(list(shown)))
        axes.xaxis.set_major_formatter(FuncFormatter(_plain))
        axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel(_name(x))


def _percent(value: float, _: int | None) -> str:
    return given(value)


def _bare_percent(value: float, _: int | None) -> str:
    return given(value, sign="")


def _plain(value: float, _: int | None) -> str:
    return style.count(value) if value >= 1 else f"{value:g}"


def _set_steps_axis(axes: Axes, tables: Sequence[pl.DataFrame]) -> None:
    """A logarithmic axis over everything that is drawn, at least a decade."""
    drawn = pl.concat(
        [pl.concat([table[name].cast(pl.Float64) for name in ("memorized_at", "generalized_at", WATCHED)]) for table in tables]
    )
    known = drawn.drop_nulls().filter(drawn.drop_nulls() > 0).to_numpy()
    low, high = (float(known.min()), float(known.max())) if len(known) else (1.0, 10.0)
    room = max(1.25, math.sqrt(10 * low / high))
    style.set_log(axes)
    axes.set_ylim(low / room, high * room)
    axes.yaxis.set_major_formatter(FuncFormatter(_plain))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _one_panel(title: str, caption: Sequence[str], *, legend: int, panels: int = 1) -> tuple[Figure, Axes, float]:
    """A figure with one panel (or two, one below the other), its title and caption; the panel, and the top of the place for a legend."""
    heading = style.lines_of(title, _WIDTH - _LEFT - _RIGHT)
    lines = [line for part in caption for line in style.lines_of(part, _WIDTH - 0.25, style.SMALL_SIZE, at_most=3)]
    above, below = 0.14 + 0.21 * len(heading) + 0.19 * legend, 0.47 + style.LINE_HEIGHT * len(lines)
    each = _HEIGHT if panels == 1 else 1.5
    height = above + panels * each + (panels - 1) * 0.16 + below
    drawing = Figure(figsize=(_WIDTH, height))
    for panel in range(panels):
        bottom = below + (panels - 1 - panel) * (each + 0.16)
        drawing.add_axes((_LEFT / _WIDTH, bottom / height, (_WIDTH - _LEFT - _RIGHT) / _WIDTH, each / height))
    drawing.text(_LEFT / _WIDTH, 1 - 0.07 / height, "\n".join(heading), size=style.TITLE_SIZE, va="top", linespacing=1.25)
    drawing.text(0.1 / _WIDTH, 0.06 / height, "\n".join(lines), size=style.SMALL_SIZE, color=style.QUIET, va="bottom")
    return drawing, drawing.axes[0], 1 - (0.07 + 0.21 * len(heading)) / height


def _legend(drawing: Figure, handles: Sequence[Line2D], top: float, *, columns: int) -> None:
    drawing.legend(
        handles=list(handles), ncols=columns, handlelength=1.8, columnspacing=1.5, loc="upper left",
        bbox_to_anchor=(_LEFT / _WIDTH, top), borderaxespad=0, borderpad=0,
    )  # fmt: skip


# — what the table says —


def _settings(name: str, table: pl.DataFrame, x: str, *, at_most: int) -> list[Setting]:
    """The settings in the order of the table; ValueError where there are none or too many."""
    known = table.filter(pl.col(x).is_not_null())
    if known.is_empty():
        raise ValueError(f"figure {shown(name)}: got no run with results and a {x}; expected at least one.")
    if not known.schema[x].is_numeric():
        raise ValueError(
            f"figure {shown(name)}: got x={shown(x)}, a field of {known.schema[x]} values; expected one of numbers, such as train_fraction."
        )
    if "setting" not in known.columns:
        return [Setting("", known)]
    parts = known.partition_by("setting", maintain_order=True)
    if len(parts) > at_most:
        raise ValueError(f"figure {shown(name)}: got {len(parts)} settings; expected at most {at_most}. Draw fewer at once.")
    return [Setting(str(part["setting"][0]), part) for part in parts]


def _legend_columns(settings: Sequence[Setting]) -> int:
    """Labels of the legend side by side, while they are short."""
    return 2 if all(len(setting.label) <= _SHORT_LABEL for setting in settings) else 1


def _title(table: pl.DataFrame, settings: Sequence[Setting]) -> str:
    return str(style.constant(table, "title") or (settings[0].label if len(settings) == 1 else ""))


def _dots(settings: Sequence[Setting], x: str) -> str:
    """What lines and dots are, and how many runs there are at a place."""
    counts = [len(part) for setting in settings for part in setting.runs.partition_by(x)]
    many = str(max(counts)) if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"
    return "dots: one run each, joined" if max(counts) == 1 else f"line: median of {many} runs; dots: each"


def _columns(runs: pl.DataFrame, x: str, y: str) -> tuple[Values, Values]:
    where, values = (runs[name].cast(pl.Float64).fill_null(float("nan")).to_numpy() for name in (x, y))
    return where, values


def _name(field: str) -> str:
    return _NAMES.get(field, field.replace("_", " "))
