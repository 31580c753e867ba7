"""The look that all figures share, what they ask of their tables, and how a drawn figure becomes a file.

Sizes are for one paper column or half a slide. The two colors of train and validation mean the same in every figure; they are the
orange and the blue of Okabe and Ito (2008), which readers with any color vision tell apart. Settings that are compared take
their colors from the muted scheme of Paul Tol (2021), which contains neither.
"""

from __future__ import annotations

import io
import math
import os
import re
import textwrap
import threading
import uuid
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib.style
import polars
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextToPath
from matplotlib.ticker import FixedLocator, FuncFormatter, LogFormatterSciNotation, NullFormatter

from groklab.figures import letters
from groklab.text.labels import apart, without_middle
from groklab.text.numbers import GROKKED
from groklab.text.values import shown

TRAIN = "#D55E00"
VALIDATION = "#0072B2"
GROUPS = ("#332288", "#CC6677", "#44AA99", "#999933", "#882255", "#88CCEE", "#117733", "#AA4499")
INK = "#222222"
QUIET = "#666666"
GRID = "#E4E4E4"

TITLE_SIZE, TEXT_SIZE, SMALL_SIZE = 10.0, 9.0, 8.0
_SHORTEST = 8
"""Characters to which a title is shortened at least."""
DOTS_PER_INCH = 200
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
LINE_HEIGHT = 0.17
"""Inches that a line of small text takes."""

FORMATS: dict[str, dict[str, Any]] = {".png": {"Software": None}, ".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
"""Suffix -> metadata without dates and versions: the same table gives the same file."""

STYLE: dict[str, Any] = {
    # The family by its own name: a generic one is looked up when the figure is drawn, in the settings of whoever draws it.
    "font.family": [letters.FAMILY],
    "text.parse_math": False,  # a name such as $_$ is a name
    "font.size": TEXT_SIZE,
    "axes.titlesize": TEXT_SIZE,
    "axes.labelsize": TEXT_SIZE,
    "xtick.labelsize": SMALL_SIZE,
    "ytick.labelsize": SMALL_SIZE,
    "legend.fontsize": SMALL_SIZE,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": QUIET,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.linewidth": 0.7,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "xtick.minor.width": 0.4,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.6,
    "lines.solid_capstyle": "round",
    "legend.frameon": False,
    "figure.dpi": 100,
    "savefig.dpi": DOTS_PER_INCH,
    # Letters as paths: the drawing looks the same where DejaVu Sans is not installed.
    "svg.fonttype": "path",
    "svg.hashsalt": "groklab",
    "pdf.fonttype": 42,
}

# matplotlib's settings are global to the process: two threads that draw (a dashboard) must not restore each other's.
_drawing = threading.RLock()


@contextmanager
def publication() -> Generator[None]:
    """Within this context matplotlib draws in the style of the package, whatever the user's own settings are."""
    with _drawing:
        letters.begin()
        try:
            with matplotlib.style.context(STYLE | {"font.family": letters.families()}, after_reset=True):
                yield
        finally:
            letters.end()


def check_table(name: str, table: polars.DataFrame, needs: Sequence[str]) -> None:
    """ValueError where a figure's table lacks a column or has no rows."""
    missing = [column for column in needs if column not in table.columns]
    if missing:
        wanted = ", ".join(repr(column) for column in missing)
        raise ValueError(f"figure {shown(name)} needs {wanted}; this table has {', '.join(table.columns) or 'no columns'}.")
    if table.is_empty():
        raise ValueError(f"figure {shown(name)}: got a table without rows; expected at least one. Has anything been recorded yet?")


def constant(table: polars.DataFrame, column: str) -> Any:
    """The one value of a column that is the same in all rows; None where the column is absent, null or differs."""
    if column not in table.columns:
        return None
    values = table[column].drop_nulls().unique()
    return values[0] if len(values) == 1 else None


def threshold_of(table: polars.DataFrame) -> float:
    """The accuracy by which the run of a table is judged, of its optional column ``threshold``; the usual one without."""
    found = constant(table, "threshold")
    return GROKKED if found is None else float(found)


def count(number: float) -> str:
    """A whole number as it is written in the figures.

    >>> count(3770.0)
    '3,770'
    """
    return f"{number:,.0f}"


def shortened(text: str, length: int) -> str:
    """At most ``length`` characters of a name, in letters that there are; see ``labels.without_middle``."""
    return without_middle(letters.legible(text), length)


def labels(texts: Sequence[str], length: int) -> list[str]:
    """Texts of a legend, of so many characters at most, that differ where the texts do.

    Matplotlib leaves out what begins with an underscore, but for a space before it.
    """
    written = apart([letters.legible(text) for text in texts], length)
    return [f"\u200a{text}" if text.startswith("_") else text for text in written]


def headings(texts: Sequence[str], width: float, size: float = TITLE_SIZE) -> list[str]:
    """Titles of panels, as many lines as fit so many inches; shortened further where those of two would look the same otherwise."""
    written = ["\n".join(lines_of(text, width, size)) for text in texts]
    for room in range(max(map(len, written)), _SHORTEST, -2):
        if len(set(written)) == len(set(texts)):
            break
        written = ["\n".join(lines_of(text, width, size)) for text in labels(texts, room)]
    return written


def lines_of(text: str, width: float, size: float = TITLE_SIZE, *, at_most: int = 2) -> list[str]:
    """Text broken into lines that fit so many inches; what does not fit in the last line is cut off."""
    if not text.strip():
        return []
    text = letters.legible(text)
    font = FontProperties(family=letters.families(), size=size)
    points, _, _ = TextToPath().get_text_width_height_descent(text, font, ismath=False)
    # 0.95: a line may hold wider letters than the whole text has on average
    characters = max(8, int(0.95 * len(text) * width * 72 / points)) if points > width * 72 else len(text)
    return textwrap.wrap(text, characters, max_lines=at_most, placeholder=" …")


def set_step_axis(axes: Axes, last: int) -> None:
    """A logarithmic step axis that has a place for step 0: linear up to step 10 (to step 1 in short histories), then logarithmic.

    Step 0 stands at the left edge. The first ten steps hold only chance accuracy, so they get half a decade of room.
    """
    linear = 10 if last >= 1000 else 1
    axes.set_xscale("symlog", base=10, linthresh=linear, linscale=0.5)
    axes.set_xlim(0, max(last, 1))
    decades = range(int(math.log10(linear)), int(math.log10(max(last, 1))) + 1)
    major = [0, *(10**k for k in decades if 10**k <= last)]
    minor = [m * 10**k for k in decades for m in range(2, 10) if m * 10**k < last]
    if 1 < last < 10:
        major, minor = [0, 1, last], [m for m in minor if m < last]
    axes.xaxis.set_major_locator(FixedLocator(major))
    axes.xaxis.set_minor_locator(FixedLocator(minor))
    # Numbers of six digits would touch each other, and at the right edge the next panel.
    axes.xaxis.set_major_formatter(FuncFormatter(_step_power if last >= 100_000 else _step_text))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _step_text(step: float, _: int | None) -> str:
    return count(step)


def _step_power(step: float, _: int | None) -> str:
    return count(step) if step < 100 else f"10{raised(round(math.log10(step)))}"


def raised(exponent: int) -> str:
    """A power as it is written behind its base.

    >>> "10" + raised(-5)
    '10⁻⁵'
    """
    return str(exponent).translate(_RAISED)


class Powers(LogFormatterSciNotation):
    """The labels of a logarithmic axis, 10⁻³ or 2×10⁻³, as text: no text of a figure is read as a formula."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        """The label of a place."""
        written = str(super().__call__(x, pos))
        if not written.startswith("$"):
            return written
        inside = written.removeprefix(r"$\mathdefault{").removesuffix("}$").replace(r"\times", "×")
        return re.sub(r"\^\{(-?\d+)\}", lambda power: raised(int(power[1])), inside)


def set_log(axes: Axes, side: str = "y") -> None:
    """A logarithmic axis: ``x`` or ``y``."""
    axes.set(**{f"{side}scale": "log"})
    axis = axes.yaxis if side == "y" else axes.xaxis
    axis.set_major_formatter(Powers())
    axis.set_minor_formatter(Powers(labelOnlyBase=False, minor_thresholds=(1, 0.4)))


def widen_loss_axis(axes: Axes) -> None:
    """A logarithmic axis of less than two decades becomes whole decades: it has labels, and does not magnify nothing."""
    low, high = (math.log10(limit) for limit in axes.get_ylim())
    if high - low < 2:
        bottom = math.floor(low + 0.02)
        axes.set_ylim(10.0**bottom, 10.0 ** max(math.ceil(high - 0.02), bottom + 1))
    axes.yaxis.set_minor_formatter(NullFormatter())


def save(figure: Figure, path: str | Path) -> Path:
    """Write a figure as PNG (200 dots an inch), SVG or PDF, by the suffix; the file is there whole or not at all."""
    target = Path(path)
    suffix = target.suffix.lower()
    if suffix not in FORMATS:
        raise ValueError(f"While saving a figure: got {shown(str(path))}; expected a name that ends in {', '.join(FORMATS)}.")
    beside = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with publication():
            figure.savefig(beside, format=suffix[1:], dpi=DOTS_PER_INCH, metadata=FORMATS[suffix])
        os.replace(beside, target)
    except OSError as error:
        reason = error.strerror or str(error)
        raise OSError(f"While saving a figure as {target}: cannot write there ({reason}). Choose another file or folder.") from error
    finally:
        if beside.exists():
            beside.unlink()
    return target


def save_film(frames: Iterable[Figure], path: str | Path, *, seconds: float = 0.4, last: float = 3.0) -> Path:
    """Write figures as an animated GIF (100 dots an inch) that repeats, the last frame shown longer; there whole or not at all."""
    from PIL import Image

    target = Path(path)
    if target.suffix.lower() != ".gif":
        raise ValueError(f"While saving a film: got {shown(str(path))}; expected a name that ends in .gif.")
    pictures: list[Image.Image] = []
    for frame in frames:
        buffer = io.BytesIO()
        with publication():
            frame.savefig(buffer, format="png", dpi=DOTS_PER_INCH // 2, metadata=FORMATS[".png"])
        pictures.append(Image.open(buffer).convert("RGB").quantize(128, dither=Image.Dither.NONE))
    if not pictures:
        raise ValueError("While saving a film: got no frames; expected at least one.")
    beside = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.part")
    durations = [int(1000 * seconds)] * (len(pictures) - 1) + [int(1000 * last)]
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        pictures[0].save(beside, format="GIF", save_all=True, append_images=pictures[1:], duration=durations, loop=0, optimize=True)
        os.replace(beside, target)
    except OSError as error:
        reason = error.strerror or str(error)
        raise OSError(f"While saving a film as {target}: cannot write there ({reason}). Choose another file or folder.") from error
    finally:
        if beside.exists():
            beside.unlink()
    return target
