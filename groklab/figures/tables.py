"""The table itself as a picture: which cells were shown, what the network answers, and where it is right."""

from __future__ import annotations

import numpy as np
import polars
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from groklab.figures import style
from groklab.figures.cells import (
    ABSENT,
    HATCH,
    SLOT,
    SPLITS,
    Colors,
    Numbers,
    Table,
    cell_size,
    colors_of,
    panels,
    read,
    show,
    write_names,
)
from groklab.registry import figure
from groklab.text.numbers import percent

Row = tuple[str | None, str]
"""Of a legend: a color, a mark by its name or nothing, and the text beside it."""

_NEEDS = ("x", "y", "z", "split", "corrupted", "label", "x_name", "y_name", "z_name")
_RIGHT, _WRONG, _CORRUPTED = style.VALIDATION, "#F2B84B", "#882255"
_SHOWN, _NOT_LEARNED, _UNKNOWN, _BLANK = "#DCDCDC", "#969696", "#EADCF4", "#FFFFFF"


@figure(needs=_NEEDS, takes="cells", source="Power et al. 2022, Figure 1 (right)")
def operation_table(cells: polars.DataFrame, *, names_up_to: int = 12) -> Figure:
    """The table of an operation, rows x and columns y: its training cells, or the network's answers and their verdict (Power et al. 2022).

    Answers are drawn where the columns ``answer`` and, if wished, ``probability`` are there and not all null. The names of
    elements are written into the cells of tables of up to ``names_up_to`` rows and columns. ``title``, ``step`` and
    ``threshold`` are optional.
    """
    style.check_table("operation_table", cells, _NEEDS)
    table = read(cells)
    answered = bool((table.answer >= 0).any())
    names_fit = max(table.shape) <= names_up_to
    shown = table.answer if answered else np.where(table.split == "train", table.label, -1)
    painted = _colors_of_elements(table, shown)
    title = str(style.constant(cells, "title") or "")
    with style.publication():
        if answered:
            verdict, heading, legend = _verdict(table, style.threshold_of(cells))
            notes = _confidence(cells, table)
            below = 0.3 + style.LINE_HEIGHT * max(len(legend), 2.5 + len(notes))
            drawing, (left, right) = panels(table, 2, title=title, below=below)
            step = style.constant(cells, "step")
            left.set_title("answers" if step is None else f"answers at step {style.count(step)}", loc="left", pad=6)
            right.set_title(heading, loc="left", pad=6)
            show(right, table, verdict)
            _list(right, legend)
            _color_key(left, table, notes)
        else:
            legend = _kinds_of_cells(table)
            key_room = 0.0 if names_fit else 1.8
            drawing, (left,) = panels(table, 1, title=title, below=0.3 + style.LINE_HEIGHT * (len(legend) + key_room))
            left.set_title("training cells", loc="left", pad=6)
            _mark_corrupted(left, table)
            _list(left, legend)
            if not names_fit:
                _color_key(left, table, [], after=len(legend))
        show(left, table, painted)
        if names_fit:
            write_names(left, table, shown, painted)
    return drawing


def _colors_of_elements(table: Table, numbers: Numbers) -> Colors:
    """Cells that hold an element in its color, the others blank."""
    painted = np.tile(to_rgb(_BLANK), (len(numbers), 1))
    painted[table.split == "unknown"] = to_rgb(_UNKNOWN)
    painted[numbers >= 0] = colors_of(table, numbers[numbers >= 0])
    return painted


def _verdict(table: Table, threshold: float) -> tuple[Colors, str, list[Row]]:
    """The colors of right and wrong, the heading and the rows of the legend."""
    answered = table.answer >= 0
    train = (table.split == "train") & ~table.corrupted
    validation = (table.split == "validation") & ~table.corrupted
    as_label, as_truth = answered & (table.answer == table.label), answered & (table.answer == table.z)
    kinds = [
        (validation & as_truth, _RIGHT, "validation, right"),
        (validation & answered & ~as_truth, _WRONG, "validation, wrong"),
        (train & (as_label | ~answered), _SHOWN, "train, right" if (train & answered).any() else "train"),
        (train & answered & ~as_label, _NOT_LEARNED, "train, wrong"),
        (table.corrupted, _CORRUPTED, "train, on a wrong label"),
        (table.split == "unknown", _UNKNOWN, "unknown"),
        (validation & ~answered, _BLANK, "not answered"),
    ]
    painted = np.tile(to_rgb(_BLANK), (len(table.z), 1))
    legend: list[Row] = []
    for where, color, text in kinds:
        painted[where] = to_rgb(color)
        number = int(where.sum())
        if number:
            legend.append((color, f"{text}: {style.count(number)}"))
        if number and color == _CORRUPTED:
            followed, true = int((where & as_label).sum()), int((where & as_truth).sum())
            legend.append((None, f"answered as labeled: {style.count(followed)}, truly: {style.count(true)}"))
    if int(np.prod(table.shape)) > len(table.z):
        legend.append(("absent", "not in the table"))
    asked = int((validation & answered).sum())
    heading = (
        f"validation: {percent(int((validation & as_truth).sum()) / asked, threshold=threshold)} right" if asked else "no validation cells"
    )
    return painted, heading, legend


def _mark_corrupted(axes: Axes, table: Table) -> None:
    """A dot on every training cell whose label is wrong."""
    if table.corrupted.any():
        cell = cell_size(axes, table)
        size = min(5.0, max(1.6, 0.3 * cell))
        away = 0.34 if cell > 14 else 0.0  # beside the name that is written in a large cell
        place = table.columns[table.corrupted] + away, table.rows[table.corrupted] - away
        axes.plot(*place, "o", ms=size, color="white", mec=_CORRUPTED, mew=0.4 * size, zorder=4)


def _confidence(cells: polars.DataFrame, table: Table) -> list[str]:
    if "probability" not in cells.columns:
        return []
    probability = cells["probability"].cast(polars.Float64).to_numpy()
    means = [(split, probability[(table.split == split) & np.isfinite(probability)]) for split in SPLITS]
    written = ", ".join(f"{split} {values.mean():.2f}" for split, values in means if len(values))
    return ["mean probability of the answers:", written] if written else []


def _kinds_of_cells(table: Table) -> list[Row]:
    counts = {split: int((table.split == split).sum()) for split in SPLITS}
    legend: list[Row] = [("colors", f"train: {style.count(counts['train'])}")]
    if table.corrupted.any():
        legend.append(("dot", f"of them on a wrong label: {style.count(int(table.corrupted.sum()))}"))
    legend += [
        (color, f"{split}: {style.count(counts[split])}")
        for split, color in (("validation", _BLANK), ("unknown", _UNKNOWN))
        if counts[split]
    ]
    return [*legend, ("absent", "not in the table")] if int(np.prod(table.shape)) > len(table.z) else legend


def _list(axes: Axes, legend: list[Row]) -> None:
    """A legend under a panel, one row below the other from the panel's left edge."""
    drawing, x, y = _corner(axes)
    width, height = drawing.get_figwidth(), drawing.get_figheight()
    side = 0.1
    for number, (mark, text) in enumerate(legend):
        top = y - 0.12 - number * style.LINE_HEIGHT
        drawing.text((x + 0.17) / width, top / height, text, size=style.SMALL_SIZE, va="top")
        box = ((x / width, (top - side - 0.01) / height), side / width, side / height)
        if mark == "dot":
            center = [(x + side / 2) / width], [(top - 0.01 - side / 2) / height]
            drawing.add_artist(Line2D(*center, marker="o", ms=4, color="white", mec=_CORRUPTED, mew=1.6))
        elif mark == "absent":
            drawing.add_artist(Rectangle(*box, facecolor=ABSENT, edgecolor="#B0B0B0", hatch=2 * HATCH, lw=0.5))
        elif mark == "colors":
            for part, color in enumerate(("#440154", "#21918C", "#FDE725")):
                strip = ((x + part * side / 3) / width, box[0][1])
                drawing.add_artist(Rectangle(strip, side / 3 / width, box[2], facecolor=color, lw=0))
        elif mark is not None:
            drawing.add_artist(Rectangle(*box, facecolor=mark, edgecolor="#B0B0B0", lw=0.5))


def _color_key(axes: Axes, table: Table, notes: list[str], *, after: int = 0) -> None:
    """Under a panel the colors of the elements in their order, the first and the last named; notes below."""
    drawing, x, y = _corner(axes)
    width, height = drawing.get_figwidth(), drawing.get_figheight()
    top = y - 0.14 - after * style.LINE_HEIGHT
    long = SLOT - 0.3
    bar = drawing.add_axes((x / width, (top - 0.1) / height, long / width, 0.1 / height))
    bar.imshow(colors_of(table, table.elements)[None], aspect="auto", interpolation="nearest")
    bar.set_axis_off()
    ends = [style.shortened(table.names.get(int(n), str(n)), 14) for n in table.elements[[0, -1]]]
    for place, text, side in ((x, f"z = {ends[0]}", "left"), (x + long, ends[1], "right")):
        drawing.text(place / width, (top - 0.14) / height, text, size=style.SMALL_SIZE, va="top", ha=side)
    for number, note in enumerate(notes):
        drawing.text(
            x / width, (top - 0.36 - number * style.LINE_HEIGHT) / height, note, size=style.SMALL_SIZE, color=style.QUIET, va="top"
        )


def _corner(axes: Axes) -> tuple[Figure, float, float]:
    """The figure of a panel, and its lower left corner in inches."""
    drawing = axes.get_figure(root=True)
    assert drawing is not None
    box = axes.get_position()
    return drawing, box.x0 * drawing.get_figwidth(), box.y0 * drawing.get_figheight()
