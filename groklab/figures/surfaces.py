"""The loss around a network: heat maps of the plane of two random directions with the norms of its own filters (Li et al. 2018)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import polars as pl
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter
from numpy.typing import NDArray

from groklab.figures import style
from groklab.figures.circuits import arrays_in
from groklab.registry import figure
from groklab.text.values import shown

Grid = NDArray[np.float64]

_NEEDS = ("name", "shape", "values", "at_step")
_PANELS = 6
_WIDTH, _LEFT, _RIGHT, _GAP, _HEAD, _BELOW = 6.9, 0.62, 0.95, 0.3, 0.42, 0.44
"""Inches: the page, the margins beside the panels (that on the right has the color bar), between them, above and below each."""
_LARGEST = 2.35
_SHADES = 40
_COLORS = ListedColormap([colormaps["viridis"](place) for place in np.linspace(0, 0.86, 256)])
"""Without its brightest yellow, on which the white lines could not be seen."""
_LEAST = 1e-12
"""Losses below are drawn as this one: a logarithm needs them above zero."""


class Surface(NamedTuple):
    """The losses around one checkpoint."""

    step: int
    moment: str
    """What the network was at this step, such as memorized; or nothing."""
    alpha: Grid
    beta: Grid
    loss: Grid
    """(A, A), in nats; nan where it is not finite."""

    @property
    def here(self) -> float:
        """The loss of the network itself, in the middle of the grid."""
        return float(self.loss[len(self.alpha) // 2, len(self.beta) // 2])


@figure(
    needs=_NEEDS,
    takes="checkpoints",
    measure="loss_surface",
    more_settings={"count": 17, "radius": 0.5, "steps": ()},
    source="Li et al. 2018",
)
def loss_surface(table: pl.DataFrame, *, side: str = "train") -> Figure:
    """The loss around a memorizing and a generalizing network, in the plane of two random directions with the norms of their filters (Li et al. 2018).

    A panel for each checkpoint, up to 6, all on one logarithmic scale of colors; the network itself and, where it is another one, the lowest point are
    marked. By default the checkpoints are the first one that had memorized and not yet generalized, and the last; ``steps=(…)`` chooses others.
    ``count`` points along each direction from −``radius`` to ``radius``: with 17 the paper's network takes about a minute a
    checkpoint on one core, a picture to publish wants 51. ``side`` is train or validation.
    """
    style.check_table("loss_surface", table, _NEEDS)
    if side not in ("train", "validation"):
        raise ValueError(f"figure 'loss_surface': side: got {shown(side)}; expected train or validation.")
    surfaces = [_surface(part, side) for part in table.partition_by("at_step", maintain_order=True)]
    if len(surfaces) > _PANELS:
        raise ValueError(f"figure 'loss_surface': got {len(surfaces)} checkpoints; expected at most {_PANELS}. Choose with steps=(…).")
    norm = _common_norm(surfaces)
    columns = min(3, len(surfaces))
    rows = math.ceil(len(surfaces) / columns)
    size = min(_LARGEST, (_WIDTH - _LEFT - _RIGHT - (columns - 1) * _GAP) / columns)
    with style.publication():
        title = style.lines_of(str(style.constant(table, "title") or ""), _WIDTH - 0.2)
        told = _told(side, any(_lowest(surface) is not None for surface in surfaces))
        top, bottom = 0.12 + 0.21 * len(title), 0.1 + style.LINE_HEIGHT * len(told)
        height = top + rows * (_HEAD + size) + _BELOW + bottom
        drawing = Figure(figsize=(_WIDTH, height))
        drawing.text(0.12 / _WIDTH, 1 - 0.07 / height, "\n".join(title), size=style.TITLE_SIZE, va="top", linespacing=1.25)
        drawing.text(0.12 / _WIDTH, 0.06 / height, "\n".join(told), size=style.SMALL_SIZE, color=style.QUIET, va="bottom")
        panels: list[Axes] = []
        for number, surface in enumerate(surfaces):
            row, column = divmod(number, columns)
            y = height - top - (row + 1) * (_HEAD + size)
            axes = drawing.add_axes(((_LEFT + column * (size + _GAP)) / _WIDTH, y / height, size / _WIDTH, size / height))
            _draw(axes, surface, norm)
            axes.set_ylabel("second direction" if column == 0 else "")
            axes.tick_params(labelleft=column == 0, labelbottom=number + columns >= len(surfaces))
            axes.set_xlabel("first direction" if number + columns >= len(surfaces) else "")
            panels.append(axes)
        _color_bar(drawing, panels, norm, side)
    return drawing


def _surface(part: pl.DataFrame, side: str) -> Surface:
    arrays = arrays_in("loss_surface", part)
    missing = [name for name in ("alpha", "beta", side) if name not in arrays]
    if missing:
        raise ValueError(f"figure 'loss_surface': got arrays {', '.join(arrays)}; expected also {', '.join(missing)}.")
    alpha, beta, loss = arrays["alpha"], arrays["beta"], arrays[side]
    if loss.shape != (len(alpha), len(beta)) or min(loss.shape) < 3:
        raise ValueError(
            f"figure 'loss_surface': got losses of shape {loss.shape} for {len(alpha)} by {len(beta)} points; expected one each, 3 by 3 or more."
        )
    kept = np.where(np.isfinite(loss), np.maximum(loss, _LEAST), np.nan)
    if not np.isfinite(kept).any():
        raise ValueError(f"figure 'loss_surface': got no finite {side} loss at step {part['at_step'][0]:,}; expected at least one.")
    return Surface(int(part["at_step"][0]), str(style.constant(part, "moment") or ""), alpha, beta, kept)


def _common_norm(surfaces: Sequence[Surface]) -> LogNorm:
    """One scale of colors for all panels, of at least a factor of two: what is flat must not look steep."""
    low, high = (float(find([find(surface.loss) for surface in surfaces])) for find in (np.nanmin, np.nanmax))
    middle = math.sqrt(low * high)
    return LogNorm(min(low, middle / math.sqrt(2)), max(high, middle * math.sqrt(2)))


def _lowest(surface: Surface) -> tuple[float, float] | None:
    """Where the loss of the grid is lowest; None where that is the network itself."""
    i, j = np.unravel_index(int(np.nanargmin(surface.loss)), surface.loss.shape)
    is_here = float(surface.loss[i, j]) >= surface.here
    return None if is_here else (float(surface.alpha[i]), float(surface.beta[j]))


def _draw(axes: Axes, surface: Surface, norm: LogNorm) -> None:
    """One checkpoint: shades, lines of equal loss, and the marks."""
    losses = np.ma.masked_invalid(surface.loss.T)  # alpha runs along the first axis, which is drawn to the right
    low, high = float(norm.vmin or 0), float(norm.vmax or 0)
    axes.contourf(surface.alpha, surface.beta, losses, levels=np.geomspace(low, high, _SHADES + 1), norm=norm, cmap=_COLORS)
    levels = [level for level in _round_levels(low, high) if losses.min() < level < losses.max()]
    if levels:
        lines = axes.contour(surface.alpha, surface.beta, losses, levels=levels, colors="white", linewidths=0.6, alpha=0.85)
        axes.clabel(lines, fmt=_plain, fontsize=6.5, inline_spacing=2)
    lowest = _lowest(surface)
    if lowest is not None:
        axes.plot(*lowest, "X", color="white", mec=style.INK, mew=0.8, ms=7, zorder=4)
    axes.plot(0, 0, "o", color="white", mec=style.INK, mew=0.8, ms=6, zorder=5)
    reach = (float(surface.alpha[0]), float(surface.alpha[-1]))
    axes.set(xlim=reach, ylim=(float(surface.beta[0]), float(surface.beta[-1])))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
        axis.set_major_formatter(_plain)
    axes.grid(visible=False)
    axes.set_title(f"step {style.count(surface.step)}" + (f", {surface.moment}" if surface.moment else ""), loc="left", pad=16)
    axes.text(0, 1.025, f"loss {surface.here:.3g}", transform=axes.transAxes, size=style.SMALL_SIZE, color=style.QUIET, va="bottom")


def _round_levels(low: float, high: float) -> list[float]:
    """Losses of whole decades, or 1, 2, 5 of each where there are few."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1,) if math.log10(high / low) > 2.5 else (1, 2, 5)
    return [float(f"{factor}e{decade}") for decade in decades for factor in factors]


def _plain(value: float, _: float = 0) -> str:
    return f"{value:g}".replace("-", "−")


def _color_bar(drawing: Figure, panels: Sequence[Axes], norm: LogNorm, side: str) -> None:
    first, last = panels[0].get_position(), panels[-1].get_position()
    right = max(axes.get_position().x1 for axes in panels)
    place = drawing.add_axes((right + 0.14 / _WIDTH, last.y0, 0.12 / _WIDTH, first.y1 - last.y0))
    bar = drawing.colorbar(ScalarMappable(norm=norm, cmap=_COLORS), cax=place)
    bar.set_label(f"{side} loss (nats)")
    is_wide = math.log10(float(norm.vmax or 1) / float(norm.vmin or 1)) > 1.5
    bar.ax.yaxis.set_major_locator(LogLocator(subs=(1.0,) if is_wide else (1.0, 2.0, 5.0)))
    bar.ax.yaxis.set_major_formatter(_plain)
    bar.ax.yaxis.set_minor_formatter(NullFormatter())
    bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]


def _told(side: str, has_lower: bool) -> list[str]:
    lower = "; cross: the lowest point, where it is lower" if has_lower else ", the lowest point of each"
    text = (
        f"mean {side} loss of the weights + a · first + b · second direction; dot: the network itself{lower}. The directions are random, "
        "and at 1 every filter has moved by its own length."
    )
    return style.lines_of(text, _WIDTH - 0.25, style.SMALL_SIZE, at_most=3)
