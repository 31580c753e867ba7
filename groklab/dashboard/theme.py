"""The look of the pages: the palette of the figures, light and dark, and Plotly's figures in it.

Train and validation have the orange and the blue of Okabe and Ito (2008), settings the muted scheme of Paul Tol (2021), as in every
printed figure; on a dark ground each is lightened, so that it keeps its hue and stands out as much.
"""

from __future__ import annotations

import html
from typing import Any, NamedTuple

import plotly.graph_objects as go

from groklab.figures import style
from groklab.outside.printable import printable

SHARE = ".4~%"
"""How a share is told at a point, in the words of d3: so many decimals that no share of cells is rounded to the threshold or to all."""

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
"""What the machine itself writes in: nothing is fetched."""


class Theme(NamedTuple):
    """Colors of a figure."""

    name: str
    ground: str
    ink: str
    quiet: str
    grid: str
    train: str
    validation: str
    groups: tuple[str, ...]
    right: str
    """A right answer in a hidden cell."""
    wrong: str
    """A wrong answer in a hidden cell."""
    trained: str
    """A training cell that is answered as trained."""
    untrained: str
    """A training cell that is not."""
    absent: str
    """Where a table has no cell."""


LIGHT = Theme(
    "light", "#ffffff", style.INK, "#5c636a", "#e6e8eb", style.TRAIN, style.VALIDATION, style.GROUPS,
    right=style.VALIDATION, wrong="#F2B84B", trained="#d5d8dc", untrained="#8d949b", absent="#f4f5f6",
)  # fmt: skip
DARK = Theme(
    "dark", "#16191d", "#e6e8ea", "#9aa2aa", "#2a2f36", "#f2853d", "#5aaee0",
    ("#8f8ae6", "#e58b98", "#5fc9b6", "#c8c85c", "#cf6aa0", "#a9dff5", "#55b56e", "#d084cf"),
    right="#4aa3dc", wrong="#e0a53a", trained="#3d434b", untrained="#767e87", absent="#1d2126",
)  # fmt: skip


def named(name: str | None) -> Theme:
    """The theme of a name; light unless it is dark."""
    return DARK if name == "dark" else LIGHT


def escaped(text: object) -> str:
    """A name from the disk as Plotly shows it: as text, where it would take tags for markup and ``%{`` for a template.

    >>> escaped("<b>a</b>")
    '&lt;b&gt;a&lt;/b&gt;'
    """
    return html.escape(printable(text), quote=False).replace("%{", "%&#123;")


def faint(color: str, share: float) -> str:
    """A color of which that much is seen, ``#0072B2`` as rgba.

    >>> faint("#0072B2", 0.2)
    'rgba(0,114,178,0.2)'
    """
    red, green, blue = (int(color[k : k + 2], 16) for k in (1, 3, 5))
    return f"rgba({red},{green},{blue},{share:g})"


def axis(theme: Theme, **more: Any) -> dict[str, Any]:
    """An axis: thin, with a quiet grid."""
    look: dict[str, Any] = {"gridcolor": theme.grid, "linecolor": theme.quiet, "zeroline": False, "ticks": "outside", "ticklen": 4}
    look |= {"tickcolor": theme.quiet, "tickfont": {"color": theme.quiet, "size": 12}, "automargin": True}
    title = more.pop("title", None)
    if title is not None:
        look["title"] = {"text": title, "font": {"color": theme.ink, "size": 13}, "standoff": 8}
    return look | more


def loss_axis(values: Any) -> dict[str, Any]:
    """A logarithmic axis over some numbers: its powers of ten, and over less than two of them also twice and five times these."""
    known = [float(value) for value in values if value is not None and 0 < value < float("inf")]
    spans = bool(known) and max(known) / min(known) > 50
    return {"type": "log", "dtick": 1 if spans else "D2", "tickformat": "~g"}


def figure(theme: Theme, traces: list[Any] | None = None, **layout: Any) -> go.Figure:
    """A Plotly figure in the theme; ``revision`` keeps what the user has zoomed to while it stays the same."""
    look: dict[str, Any] = {
        "template": "none",
        "paper_bgcolor": theme.ground,
        "plot_bgcolor": theme.ground,
        "font": {"family": FONT, "size": 13, "color": theme.ink},
        "margin": {"l": 60, "r": 18, "t": 12, "b": 48},
        "hoverlabel": {
            "bgcolor": theme.ground,
            "bordercolor": theme.grid,
            "font": {"color": theme.ink, "family": FONT, "size": 13},
            "align": "left",
        },
        "legend": {"bgcolor": "rgba(0,0,0,0)", "font": {"color": theme.ink}, "itemclick": "toggle", "tracegroupgap": 2},
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": theme.quiet, "activecolor": theme.ink},
        "uirevision": layout.pop("revision", None),
        "hovermode": "closest",
    }
    return go.Figure(data=traces or [], layout=look | layout)


def empty_figure(theme: Theme, text: str = "") -> go.Figure:
    """A figure without axes, with a sentence where there is something to say."""
    drawing = figure(theme, xaxis={"visible": False}, yaxis={"visible": False})
    if text:
        drawing.add_annotation(text=escaped(text), showarrow=False, font={"color": theme.quiet, "size": 14}, xref="paper", yref="paper")
    return drawing
