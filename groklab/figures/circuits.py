"""What a network computes with: spectra, neurons and attention over all pairs of elements, and measures against step.

The first three take named arrays as they are kept by ``groklab measure``: a row per array with its ``name``, ``shape`` and ``values``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from groklab.figures import style
from groklab.registry import figure
from groklab.text.numbers import percent
from groklab.text.values import shown

_ARRAYS = ("name", "shape", "values")
_PAGE, _EDGE = 6.9, 0.12
"""Inches: a page, and its margin."""
_MARKED = 8
"""Frequencies of a spectrum that are named."""
_HISTORY = ("step", "train_accuracy", "validation_accuracy")
_MEASURES = 8
"""Panels of measures in one figure."""


@figure(needs=_ARRAYS, takes="arrays", measure="fourier_spectra", source="Nanda et al. 2023, Figures 3 and 4")
def spectra(table: pl.DataFrame) -> Figure:
    """Power by frequency of embedding, output layer and neurons, its strongest frequencies named (Nanda et al. 2023)."""
    arrays = arrays_in("spectra", table)
    parts = {name: array for name, array in arrays.items() if name in _SPECTRA}
    if not parts:
        raise ValueError(f"figure 'spectra': got arrays {', '.join(arrays)}; expected spectra: {', '.join(_SPECTRA)}.")
    with style.publication():
        height, between = 0.95, 0.42
        drawing, top = _sheet(
            table, ["power by frequency, as a share of all but the constant"], len(parts) * height + (len(parts) - 1) * between
        )
        for number, (name, array) in enumerate(parts.items()):
            y = top - number * (height + between) - height
            axes = drawing.add_axes(
                (0.62 / _PAGE, y / drawing.get_figheight(), (_PAGE - 0.62 - _EDGE) / _PAGE, height / drawing.get_figheight())
            )
            power = np.atleast_2d(array.T).sum(axis=0)[1:]  # neurons: all of them together; the constant stands first
            share = power / power.sum() if power.sum() > 0 else power
            frequency = np.arange(1, len(share) + 1)
            axes.bar(frequency, share, width=0.8, color=style.VALIDATION)
            for k in np.argsort(share)[::-1][:_MARKED]:
                if share[k] > 3 / len(share):  # what stands out of an even spectrum
                    axes.annotate(str(k + 1), (float(k + 1), float(share[k])), (0, 1.5), textcoords="offset points", ha="center", size=6.5)
            axes.set(xlim=(0.2, len(share) + 0.8), ylim=(0, max(float(share.max()) * 1.25, 1e-9)), ylabel="share")
            axes.xaxis.set_major_locator(MaxNLocator(12, integer=True))
            axes.yaxis.set_major_locator(MaxNLocator(3))
            axes.set_title(_SPECTRA[name], size=style.SMALL_SIZE, loc="left", pad=3)
        drawing.axes[-1].set_xlabel("frequency")
    return drawing


_SPECTRA = {
    "embedding": "embedding",
    "left": "embedding of x",
    "right": "embedding of y",
    "output": "output layer",
    "neuron_logit_map": "map from neurons to logits",
    "neurons": "neurons of the last hidden layer, over all pairs",
}


@figure(needs=_ARRAYS, takes="arrays", measure="neuron_maps", source="Nanda et al. 2023, Figure 3; Gromov 2023")
def neurons(table: pl.DataFrame) -> Figure:
    """Activations of the neurons that vary most on all pairs of elements, a map each, x down and y across (after Nanda et al. 2023)."""
    arrays = arrays_in("neurons", table)
    missing = [name for name in ("neuron", "activation", "share") if name not in arrays]
    if missing:
        raise ValueError(f"figure 'neurons': got arrays {', '.join(arrays)}; expected also {', '.join(missing)}.")
    titles = [f"neuron {int(n)}, {percent(s, threshold=())}" for n, s in zip(arrays["neuron"], arrays["share"], strict=True)]
    told = ["percent: of the variance of the layer; x down, y across; each map from its least (light) to its largest value (dark)"]
    return _maps(table, list(arrays["activation"]), titles, told, columns=min(4, len(titles)), common=False)


@figure(needs=_ARRAYS, takes="arrays", measure="attention_patterns", source="Nanda et al. 2023, Figure 3")
def attention(table: pl.DataFrame) -> Figure:
    """Attention that = pays to the first element, for every head of every layer and pair of elements (after Nanda et al. 2023)."""
    arrays = arrays_in("attention", table)
    maps: list[NDArray[np.float64]] = []
    titles: list[str] = []
    patterns = {name: array for name, array in arrays.items() if name.startswith("blocks.") and array.ndim == 4}
    if not patterns:
        raise ValueError(f"figure 'attention': got arrays {', '.join(arrays)}; expected patterns blocks.0, blocks.1, … (H, T, N, N).")
    for name, array in patterns.items():
        first = array.shape[1] - 4 if array.shape[1] >= 4 else 0  # begin a ∘ b =, a ∘ b =, or a b =
        maps += list(array[:, first])
        titles += [f"layer {name.rsplit('.', 1)[-1]}, head {head}" for head in range(array.shape[0])]
    heads = next(iter(patterns.values())).shape[0]
    told = ["share of the attention of = that goes to x, white 0, dark 1; x down, y across"]
    return _maps(table, maps, titles, told, columns=min(heads, 4), common=True)


@figure(needs=_HISTORY, takes="measures", source="Nanda et al. 2023, Figure 7")
def measures(table: pl.DataFrame, *, names: tuple[str, ...] = ()) -> Figure:
    """Measures against step, a panel each, below the accuracies and on their step axis (after Nanda et al. 2023, Figure 7).

    All numeric columns besides accuracies and losses are measures; ``names`` chooses some. Those of the form ``measure.part`` share a panel.
    """
    style.check_table("measures", table, _HISTORY)
    panels = _panels(table, names)
    if not panels:
        raise ValueError(
            "figure 'measures': got no column of a measure; expected one. `groklab measure NAME RUN` takes it of stored checkpoints."
        )
    with style.publication():
        height, between = 0.95, 0.26
        drawing, top = _sheet(table, [], (1 + len(panels)) * height + len(panels) * between)
        total, last = drawing.get_figheight(), int(table["step"].max())  # pyright: ignore[reportArgumentType]
        for number, (name, columns) in enumerate([("accuracy", ["train_accuracy", "validation_accuracy"]), *panels]):
            y = top - number * (height + between) - height
            axes = drawing.add_axes((0.78 / _PAGE, y / total, (_PAGE - 0.78 - 1.15) / _PAGE, height / total))
            colors = (style.TRAIN, style.VALIDATION) if number == 0 else style.GROUPS
            labels = [column.removesuffix("_accuracy") for column in columns] if number == 0 else _parts(columns)
            for column, label, color in zip(columns, labels, colors, strict=False):
                known = table.select("step", column).drop_nulls()
                dots = "o" if known.height <= 60 and number else ""
                axes.plot(known["step"], known[column], color=color, marker=dots, ms=2.2, lw=1.4, label=label)
            style.set_step_axis(axes, last)
            if number:
                _scale(axes, table, columns)
            else:
                axes.set(ylim=(-0.03, 1.03), yticks=[0, 0.5, 1])
            axes.set_title(name, size=style.SMALL_SIZE, loc="left", pad=3)
            if len(columns) > 1:
                axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=6.5, handlelength=1.2, borderaxespad=0)
            if number < len(panels):
                axes.tick_params(axis="x", which="both", labelbottom=False)
            else:
                axes.set_xlabel("step")
    return drawing


# — what they share —


def arrays_in(figure: str, table: pl.DataFrame) -> dict[str, NDArray[np.float64]]:
    """The arrays of such a table by name."""
    style.check_table(figure, table, _ARRAYS)
    rows = table.select(*_ARRAYS).iter_rows()
    return {name: np.array(values, dtype=np.float64).reshape(shape) for name, shape, values in rows}


def _maps(
    table: pl.DataFrame, maps: Sequence[NDArray[np.float64]], titles: Sequence[str], told: Sequence[str], *, columns: int, common: bool
) -> Figure:
    """Square maps in a grid; with ``common`` all on the scale from 0 to 1, else each on its own."""
    rows = math.ceil(len(maps) / columns)
    gap, head = 0.14, 0.2
    side = min(2.2, (_PAGE - 2 * _EDGE - (columns - 1) * gap) / columns)
    with style.publication():
        drawing, top = _sheet(table, told, rows * (side + head) + (rows - 1) * gap, axis=0.1)
        total = drawing.get_figheight()
        for number, (values, title) in enumerate(zip(maps, titles, strict=True)):
            row, column = divmod(number, columns)
            y = top - row * (side + head + gap) - head - side
            axes = drawing.add_axes(((_EDGE + column * (side + gap)) / _PAGE, y / total, side / _PAGE, side / total))
            low, high = (0.0, 1.0) if common else (float(values.min()), float(values.max()))
            axes.imshow(values, cmap="Blues", vmin=low, vmax=high if high > low else low + 1, interpolation="nearest", aspect="auto")
            axes.set(xticks=[], yticks=[])
            axes.grid(visible=False)
            axes.spines[:].set_visible(False)
            axes.set_title(title, size=style.SMALL_SIZE, pad=3)
    return drawing


def _sheet(table: pl.DataFrame, told: Sequence[str], panels: float, *, axis: float = 0.42) -> tuple[Figure, float]:
    """A page with a title and lines below, and room for the name of an axis; the top of the place for panels, in inches."""
    heading = str(style.constant(table, "title") or "")
    step = style.constant(table, "at_step")
    heading += f", step {style.count(step)}" if heading and step is not None else ""
    title = style.lines_of(heading, _PAGE - 0.2)
    lines = [line for part in told for line in style.lines_of(part, _PAGE - 0.25, style.SMALL_SIZE)]
    above, below = (
        0.3 + 0.21 * len(title),
        axis + 0.1 + style.LINE_HEIGHT * len(lines),
    )
    height = above + panels + below
    drawing = Figure(figsize=(_PAGE, height))
    drawing.text(_EDGE / _PAGE, 1 - 0.07 / height, "\n".join(title), size=style.TITLE_SIZE, va="top", linespacing=1.25)
    drawing.text(_EDGE / _PAGE, 0.06 / height, "\n".join(lines), size=style.SMALL_SIZE, color=style.QUIET, va="bottom")
    return drawing, height - above


_NOT_MEASURES = {"step", "wall_time", "extra", "run", "group", "title", "at_step"}


def _panels(table: pl.DataFrame, names: Sequence[str]) -> list[tuple[str, list[str]]]:
    """The measures of a table, their parts together; ValueError for a name that is none, or for too many."""
    found: dict[str, list[str]] = {}
    for column in table.columns:
        is_result = column.startswith(("train_", "validation_", "mirrored_", "unmirrored_", "corrupted_")) or column in _NOT_MEASURES
        if not is_result and table.schema[column].is_numeric() and table[column].null_count() < table.height:
            found.setdefault(column.split(".")[0], []).append(column)
    unknown = [name for name in names if name not in found]
    if unknown:
        raise ValueError(f"figure 'measures': got {shown(unknown[0])}; expected one of {', '.join(found) or 'none'}.")
    chosen = {name: found[name] for name in names} if names else found
    if len(chosen) > _MEASURES:
        raise ValueError(f"figure 'measures': got {len(chosen)} measures; expected at most {_MEASURES}. Choose with names=(…).")
    return [(name.replace("_", " "), columns[: len(style.GROUPS)]) for name, columns in chosen.items()]


def _parts(columns: Sequence[str]) -> list[str]:
    return style.labels([column.split(".", 1)[-1] for column in columns], 20)


def _scale(axes: Axes, table: pl.DataFrame, columns: Sequence[str]) -> None:
    """Losses and whatever else spans decades on a logarithmic axis."""
    values = pl.concat([table[column].cast(pl.Float64).drop_nulls() for column in columns])
    known = values.filter(values.is_finite())
    if len(known) and known.min() > 0 and known.max() / known.min() > 50:  # pyright: ignore[reportOptionalOperand, reportOperatorIssue]
        style.set_log(axes)
    else:
        axes.yaxis.set_major_locator(MaxNLocator(4))
