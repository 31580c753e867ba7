"""The pictures of the circuit: a spectrum, spectra over training, norms, losses, and attention maps."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go

from groklab.dashboard import theme as look
from groklab.dashboard.address import Address
from groklab.dashboard.catalog import Entry
from groklab.dashboard.circuit import Course, Weights, attention_at, attention_steps, losses_of, tokens_of
from groklab.dashboard.curves import listed
from groklab.dashboard.theme import Theme, escaped

_NAMED = 8
"""Strongest frequencies whose names stand at their bars, and matrices that have a line of their own."""


def spectrum(weights: Weights, layer: str, group: bool, theme: Theme) -> tuple[str, go.Figure]:
    """Shares by frequency or representation at one checkpoint, in words and as bars."""
    if layer not in weights.shares:
        return _no_spectrum(layer), look.empty_figure(theme)
    share = weights.shares[layer]
    strongest = sorted(np.argsort(share)[::-1][:_NAMED].tolist())
    keys = [k for k in strongest if share[k] > 2.0 / len(share)]
    names = [escaped(name) for name in weights.names]
    word = "representation" if group else "frequency"
    bars = go.Bar(
        x=names, y=share.tolist(), marker={"color": [theme.validation if k in keys else look.faint(theme.validation, 0.45) for k in range(len(share))], "line": {"width": 0}},
        text=[names[k] if k in keys and not group else "" for k in range(len(share))], textposition="outside", constraintext="none", textangle=0, textfont={"size": 11, "color": theme.ink}, cliponaxis=False,
        hovertemplate=f"{word} %{{x}}: %{{y:{look.SHARE}}}<extra></extra>",
    )  # fmt: skip
    drawing = look.figure(
        theme, [bars], margin={"l": 56, "r": 8, "t": 16, "b": 44}, bargap=0.25, revision=layer,
        xaxis=look.axis(theme, title=word, type="category", showgrid=False, nticks=12, tickangle=0 if not group else None),
        yaxis=look.axis(theme, tickformat=".0%", nticks=4, rangemode="tozero"),
    )  # fmt: skip
    most = ", ".join(weights.names[k] for k in np.argsort(share)[::-1][:5] if k in keys)
    return f"Share of the layer's {'squares' if group else 'power'} by {word}" + (
        f"; strongest: {most}" if most else "; none stands out"
    ), drawing


def _no_spectrum(layer: str) -> str:
    return (
        "This table has no known group behind it, and so no spectrum."
        if layer == "output"
        else "This network has no embedding of a known name, or its table no group."
    )


def spectra(course: Course, layer: str, step: int, group: bool, theme: Theme) -> tuple[str, go.Figure]:
    """The same at every checkpoint, as a map."""
    known = [(at, weights) for at, weights in zip(course.steps, course.weights, strict=True) if layer in weights.shares]
    if not known:
        return "", look.empty_figure(theme)
    names = known[0][1].names
    z = np.stack([weights.shares[layer] for _, weights in known], axis=1)
    steps = [f"{at:,}" for at, _ in known]
    ground = [[0, theme.ground], [0.35, look.faint(theme.validation, 0.55)], [1, theme.validation if theme.name == "light" else "#bfe3fb"]]
    heat = go.Heatmap(
        z=z.tolist(), x=steps, y=[escaped(name) for name in names], colorscale=ground, showscale=False, zmin=0, hoverongaps=False,
        hovertemplate=f"step %{{x}}<br>{'representation' if group else 'frequency'} %{{y}}: %{{z:{look.SHARE}}}<extra></extra>",
    )  # fmt: skip
    shapes = []
    if f"{step:,}" in steps:
        place = steps.index(f"{step:,}")
        shapes = [
            {
                "type": "rect",
                "x0": place - 0.5,
                "x1": place + 0.5,
                "y0": 0,
                "y1": 1,
                "yref": "paper",
                "line": {"color": theme.ink, "width": 1},
            }
        ]
    drawing = look.figure(
        theme, [heat], margin={"l": 56, "r": 8, "t": 10, "b": 44}, shapes=shapes, revision=layer,
        xaxis=look.axis(theme, title="step", type="category", showgrid=False, nticks=7, tickangle=0),
        yaxis=look.axis(theme, type="category", showgrid=False, nticks=10),
    )  # fmt: skip
    return (
        "The same at every checkpoint; the darker, the more"
        if theme.name == "light"
        else "The same at every checkpoint; the brighter, the more",
        drawing,
    )


def norms(course: Course, step: int, theme: Theme) -> go.Figure:
    """Norms of all matrices against step, the largest ones named."""
    if not course.steps:
        return look.empty_figure(theme)
    last = course.weights[-1].norms
    matrices = sorted((name for name in last if not name.endswith((".gain", ".bias"))), key=lambda name: -last[name])
    traces: list[Any] = []
    x = [max(at, 0.7) for at in course.steps]
    for place, name in enumerate(matrices):
        named = place < _NAMED
        traces.append(
            go.Scatter(
                x=x, y=[weights.norms.get(name) for weights in course.weights], mode="lines", name=escaped(name), showlegend=named, customdata=course.steps,
                line={"color": theme.groups[place] if named else look.faint(theme.quiet, 0.4), "width": 1.8 if named else 1},
                hovertemplate=f"{escaped(name)}<br>step %{{customdata:,}}: %{{y:.4g}}<extra></extra>",
            )
        )  # fmt: skip
    return _against_step(traces, step, theme, title="norm", legend=True)


def losses(entry: Entry, step: int, group: bool, theme: Theme) -> tuple[str, go.Figure]:
    """Losses of the run, and those with and without the key frequencies as far as they were taken."""
    known = losses_of(entry)
    traces: list[Any] = []
    history = entry.history
    for split, color in (("train", theme.train), ("validation", theme.validation)):
        if f"{split}_loss" in history.columns:
            traces.append(_line(history.step.tolist(), history.columns[f"{split}_loss"].tolist(), split, color, "solid", 1.2))
    for number, (column, (steps, values)) in enumerate(sorted(known.items())):
        word = "without the key ones" if "excluded" in column else "key ones alone"
        rest = column.partition("loss")[2].lstrip(".")
        color = theme.groups[(2 if "excluded" in column else 4) if not rest else number % len(theme.groups)]
        traces.append(_line(steps.tolist(), values.tolist(), f"{word} {escaped(rest)}".strip(), color, "dash", 2))
    told = (
        f"Key {'representations' if group else 'frequencies'} alone: restricted; training cells without them: excluded (Nanda et al. 2023)"
    )
    return told, _against_step(traces, step, theme, title="loss (nats)", log=True, legend=True)


def _line(steps: list[int], values: list[float], name: str, color: str, dash: str, width: float) -> Any:
    y = [value if np.isfinite(value) and value > 0 else None for value in values]
    return go.Scatter(
        x=[max(at, 0.7) for at in steps], y=y, mode="lines", name=name, customdata=steps, line={"color": color, "width": width, "dash": dash},
        hovertemplate=f"{name}<br>step %{{customdata:,}}: %{{y:.4g}}<extra></extra>",
    )  # fmt: skip


def _against_step(traces: list[Any], step: int, theme: Theme, *, title: str, log: bool = False, legend: bool = False) -> go.Figure:
    at = max(step, 0.7)
    mark = {"type": "line", "x0": at, "x1": at, "y0": 0, "y1": 1, "yref": "paper", "line": {"color": theme.ink, "width": 1}}
    scale: dict[str, Any] = look.loss_axis([y for trace in traces for y in trace.y]) if log else {"rangemode": "tozero", "nticks": 5}
    return look.figure(
        theme, traces, shapes=[mark], margin={"l": 60, "r": 8, "t": 10, "b": 44}, showlegend=legend, revision=title,
        xaxis=look.axis(theme, title="step", type="log", dtick=1, tickformat="~s"), yaxis=look.axis(theme, title=title, **scale),
        legend={"font": {"size": 11, "color": theme.ink}, "x": 1.0, "xanchor": "left", "y": 1},
    )  # fmt: skip


def attention(entry: Entry, step: int, address: Address, theme: Theme) -> tuple[str, go.Figure]:
    """Attention of ``=`` to one token over all pairs, a map for each head."""
    found = attention_at(entry, step)
    tokens = tokens_of(entry)
    if found is None:
        near = sorted(attention_steps(entry), key=lambda at: abs(at - step))
        words = f"It was taken at {', '.join(f'step {at:,}' for at in sorted(near[:4]))}." if near else ""
        return words, look.empty_figure(theme)
    name = f"blocks.{address.one('block', '0')}"
    array = found.get(name, next(iter(found.values())))
    token = tokens.index(address.one("token", tokens[0], among=tokens))
    heads = array.shape[0]
    traces: list[Any] = []
    layout: dict[str, Any] = {}
    labels: list[dict[str, Any]] = []
    gap = 0.03
    wide = (1 - gap * (heads - 1)) / heads
    for head in range(heads):
        number = "" if head == 0 else str(head + 1)
        z = array[head, min(token, array.shape[1] - 1)]
        traces.append(
            go.Heatmap(
                z=[listed(row) for row in z], xaxis=f"x{number}", yaxis=f"y{number}", zmin=0, zmax=1, colorscale="Cividis", showscale=head == heads - 1,
                colorbar={"thickness": 10, "outlinewidth": 0, "tickfont": {"color": theme.quiet}, "nticks": 3}, hoverongaps=False,
                hovertemplate=f"head {head + 1}: x %{{y}}, y %{{x}}<br>attention %{{z:.3f}}<extra></extra>",
            )
        )  # fmt: skip
        left = head * (wide + gap)
        bare = {"showticklabels": False, "ticks": "", "showgrid": False, "showline": False, "constrain": "domain"}
        layout[f"xaxis{number}"] = look.axis(theme, domain=[left, left + wide], anchor=f"y{number}", **bare)
        layout[f"yaxis{number}"] = look.axis(theme, anchor=f"x{number}", autorange="reversed", scaleanchor=f"x{number}", **bare)
        means = " ".join(f"{escaped(word)} {float(np.nanmean(array[head, k])):.2f}" for k, word in enumerate(tokens[: array.shape[1]]))
        labels.append(
            {
                "text": f"head {head + 1}<br>{means}",
                "x": left + wide / 2,
                "y": 1.0,
                "yref": "paper",
                "xref": "paper",
                "yanchor": "bottom",
                "showarrow": False,
                "font": {"size": 11.5, "color": theme.ink},
            }
        )
    told = f"Attention that = pays to {tokens[token]} for every pair, x down and y across; above, the mean to each token"
    return told, look.figure(theme, traces, **layout, annotations=labels, margin={"l": 10, "r": 10, "t": 48, "b": 6}, revision=name)
