"""The page of the embedding: the elements as the network sees them, in three dimensions and on a map, checkpoint by checkpoint."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import plotly.graph_objects as go

from groklab.analysis.elements import LAYERS
from groklab.dashboard import maps
from groklab.dashboard import theme as look
from groklab.dashboard.address import Address
from groklab.dashboard.catalog import Entry
from groklab.dashboard.controls import (
    Page,
    Piece,
    Results,
    View,
    choice,
    command,
    dcc,
    downloads,
    empty,
    frames_of,
    graph,
    html,
    labelled,
    notice,
    part,
    player,
    run_picker,
)  # fmt: skip
from groklab.dashboard.maps import Colors, Place, Shown
from groklab.dashboard.network import elements_at, shown_run, steps_of, stored_stamp
from groklab.dashboard.theme import Theme, escaped
from groklab.results.files import StoreError

_NAMED = 30
"""Up to so many elements their names are written beside their dots."""
MAPS = {"circle": "circle", "tsne": "t-SNE", "plane": "components"}
"""A circle can be looked for where there is a cyclic group; elsewhere the map is t-SNE unless something else is asked for."""
_TITLES = {"circle": "The strongest circle", "tsne": "t-SNE", "plane": "First two components"}


def layout(results: Results, address: Address) -> Piece:
    """The controls, and places for both pictures."""
    entry = shown_run(results.catalog, address, "checkpoints")
    if entry is None:
        return empty("No runs yet", "Circles form here while a network is trained:", command("groklab train --operation addition"))
    steps = steps_of(entry, "checkpoints")
    kinds = {"": "frequency", "residue": "residue", "coset": "coset"}
    if steps:
        with contextlib.suppress(ValueError, StoreError):  # the page itself says what is wrong
            kinds = maps.kinds_for(entry, elements_at(entry, steps[-1], LAYERS[0]))
    step_box = dcc.Input(
        id={"control": "k"},
        value=address.one("k"),
        type="text",
        debounce=0.5,
        className="text narrow",
        placeholder="best",
        inputMode="numeric",
    )
    return [
        html.H1("Embedding", className="visually-hidden"),
        html.Div(
            [
                run_picker(results.catalog.entries(), entry),
                choice("layer", "layer", {"": "output", "embedding": "embedding"}, address),
                choice("color", "color by", kinds, address),
                choice("map", "map", MAPS if "residue" in kinds else {name: MAPS[name] for name in ("tsne", "plane")}, address),
                choice("axes", "seen from", {"": "the last checkpoint", "own": "each its own"}, address),
                choice("line", "line i → i + k", {"": "show", "none": "hide"}, address),
                labelled("k", step_box),
            ],
            className="controls",
        ),
        part("told"),
        player(frames_of(steps, address)),
        html.Div(
            [
                html.Div(
                    [
                        html.H2("Principal components"),
                        part("space", "told"),
                        graph("space", label="elements in three dimensions", kind="half"),
                        downloads("embedding", "space"),
                    ],
                    className="card",
                ),
                html.Div(
                    [
                        html.H2(part("title")),
                        part("map", "told"),
                        graph("map", label="elements on a map", kind="half"),
                        downloads("embedding", "map", csv=False, json=False),
                    ],
                    className="card",
                ),
            ],
            className="pair",
        ),
    ]


def _map_of(entry: Entry, place: Place, address: Address) -> str:
    """The map that is asked for, else the one that shows most."""
    usual = "circle" if "residue" in maps.kinds_for(entry, place.table) else "tsne"
    return address.one("map", usual, among=MAPS)


def _places(entry: Entry, address: Address) -> tuple[Place, Place, Any] | None:
    """The checkpoint that is shown, the last one, and the slider; None where none is stored."""
    steps = steps_of(entry, "checkpoints")
    frames = frames_of(steps, address)
    if frames is None:
        return None
    layer = address.one("layer", LAYERS[0], among=LAYERS)
    return Place(entry, steps[frames.shown], layer), Place(entry, steps[-1], layer), frames


def stamp(results: Results, address: Address) -> str:
    """The run, its checkpoints, and whether t-SNE is ready."""
    entry = shown_run(results.catalog, address, "checkpoints")
    found = None if entry is None else _places(entry, address)
    return f"{stored_stamp(entry)} {found is not None and maps.is_ready(found[0])}"


def view(results: Results, address: Address, theme: Theme) -> View:
    """Both pictures at the chosen checkpoint."""
    entry = shown_run(results.catalog, address, "checkpoints")
    found = None if entry is None else _places(entry, address)
    if entry is None:
        return View({}, {}, address)
    if found is None:
        blank = look.empty_figure(theme)
        told = notice(
            "This run has no stored checkpoints, so its embedding cannot be seen. `groklab train` stores 8 a decade, `groklab sweep` the last.",
            kind="aside",
        )
        return View({"space": blank, "map": blank}, {"told": told, "space": "", "map": "", "title": ""}, address)
    place, final, frames = found
    axes_of = place if address.one("axes") == "own" else final
    deep = maps.components(place, axes_of)
    kind = _map_of(entry, place, address)
    flat = _flat(kind, place, axes_of, deep)
    line = maps.line_of(flat.points, place) if flat.is_ready else None
    k = address.number("k")
    best = k if k and line is not None and k in set(line.steps["step"].to_list()) else None if line is None else line.step
    colors = maps.colors_for(place, final, address.one("color"), best, theme)
    walks = [] if line is None or best is None or address.one("line") == "none" else [walk.tolist() for walk in line.walks(best)]
    names = place.table["name"].to_list()
    step = frames.steps[frames.shown]
    parts = {
        "told": ""
        if not k or line is None or best == k
        else notice(f"k: got {k}; expected 1 to {max(line.steps['step'].to_list())}. The best one is shown.", kind="aside"),
        "step": [html.Span(f"step {step:,}", **{"data-place": str(frames.shown)})],
        "space": f"{deep.told}; colors: {colors.told}",
        "title": _TITLES[kind],
        "map": flat.told + (_line_told(line, best) if line is not None and walks else ""),
    }
    graphs = {
        "space": _space(deep, colors, names, walks, theme, f"{entry.id} {place.layer} {address.one('axes')}"),
        "map": _map(
            flat, colors, names, walks, theme, kind, maps.components(final, final).points if kind == "plane" and axes_of is final else None
        ),
    }
    usual = kind == _map_of(entry, place, address.with_values(map=None))
    shown = address.with_values(step=None if frames.shown == len(frames.steps) - 1 else step, map=None if usual else kind)
    return View(graphs, parts, shown, frames)


def _flat(kind: str, place: Place, axes_of: Place, deep: Shown) -> Shown:
    if kind == "plane":
        return Shown(deep.points[:, :2], deep.told)
    return maps.circle(place, axes_of) if kind == "circle" else maps.neighbors(place)


def _line_told(line: Any, k: int | None) -> str:
    scores = {int(row["step"]): float(row["score"]) for row in line.steps.iter_rows(named=True)}
    best = " (best of all k)" if k == line.step else ""
    return f"; line: adding {k}{best}, score {scores.get(k or 0, 0):.2f}, by chance {line.chance:.2f}"


def _hover(colors: Colors, names: list[str]) -> list[str]:
    return [f"<b>{escaped(name)}</b><br>{escaped(words)}" for name, words in zip(names, colors.classes, strict=True)]


def _space(shown: Shown, colors: Colors, names: list[str], walks: list[list[int]], theme: Theme, revision: str) -> go.Figure:
    x, y, z = shown.points.T.tolist()
    traces: list[Any] = []
    if walks:
        path = [row for walk in walks for row in (*walk, walk[0], None)]
        lines = [[None if row is None else axis[row] for row in path] for axis in (x, y, z)]
        traces.append(
            go.Scatter3d(
                x=lines[0], y=lines[1], z=lines[2], mode="lines", line={"color": theme.quiet, "width": 1.5}, opacity=0.3, hoverinfo="skip"
            )
        )
    few = len(names) <= _NAMED
    traces.append(
        go.Scatter3d(
            x=x, y=y, z=z, mode="markers+text" if few else "markers", text=[escaped(name) for name in names] if few else None, customdata=_hover(colors, names),
            textfont={"color": theme.ink, "size": 11}, marker={"color": colors.colors, "size": 6 if few else 4.5, "line": {"width": 0}},
            hovertemplate="%{customdata}<extra></extra>",
        )
    )  # fmt: skip
    axis = {
        "showticklabels": False,
        "title": {"text": ""},
        "gridcolor": theme.grid,
        "zerolinecolor": theme.grid,
        "backgroundcolor": theme.ground,
        "showspikes": False,
    }
    scene = {"xaxis": axis, "yaxis": axis, "zaxis": axis, "aspectmode": "data", "camera": {"eye": {"x": 1.25, "y": 1.25, "z": 0.9}}}
    return look.figure(theme, traces, scene=scene, margin={"l": 0, "r": 0, "t": 0, "b": 0}, showlegend=False, revision=revision)


def _map(
    shown: Shown, colors: Colors, names: list[str], walks: list[list[int]], theme: Theme, kind: str, reach: np.ndarray | None
) -> go.Figure:
    if not shown.is_ready:
        return look.empty_figure(theme, "t-SNE is being computed …")
    points = shown.points
    traces: list[Any] = []
    for walk in walks:
        path = points[[*walk, walk[0]]]
        traces.append(
            go.Scatter(
                x=path[:, 0].tolist(),
                y=path[:, 1].tolist(),
                mode="lines",
                line={"color": theme.quiet, "width": 1},
                opacity=0.45,
                hoverinfo="skip",
            )
        )
    few = len(names) <= _NAMED
    traces.append(
        go.Scatter(
            x=points[:, 0].tolist(), y=points[:, 1].tolist(), mode="markers+text" if few else "markers", customdata=_hover(colors, names),
            text=[escaped(name) for name in names] if few else None, textposition="top center", textfont={"color": theme.ink, "size": 11},
            marker={"color": colors.colors, "size": 12 if few else 9, "line": {"width": 1, "color": theme.ground}}, hovertemplate="%{customdata}<extra></extra>",
        )
    )  # fmt: skip
    bare = {"visible": False, "scaleanchor": None}
    room: dict[str, Any] = {}
    if reach is not None:
        most = 1.1 * float(np.abs(reach[:, :2]).max())
        room = {"range": [-most, most]}
    return look.figure(
        theme, traces, showlegend=False, margin={"l": 8, "r": 8, "t": 8, "b": 8}, revision=kind,
        xaxis={**bare, **room}, yaxis={"visible": False, "scaleanchor": "x", "scaleratio": 1, **room},
    )  # fmt: skip


def data(results: Results, address: Address) -> dict[str, Any]:
    """Elements with their vectors, components and place on the map."""
    entry = shown_run(results.catalog, address, "checkpoints")
    found = None if entry is None else _places(entry, address)
    if entry is None or found is None:
        return {"run": None if entry is None else entry.id, "steps": [], "elements": []}
    place, final, frames = found
    axes_of = place if address.one("axes") == "own" else final
    deep = maps.components(place, axes_of)
    flat = _flat(_map_of(entry, place, address), place, axes_of, deep)
    table = place.table
    listed = [
        {"element": int(row["element"]), "name": row["name"], "place": row["place"], "components": deep.points[k].tolist(),
         "map": flat.points[k].tolist() if flat.is_ready else None, "vector": row["vector"]}
        for k, row in enumerate(table.iter_rows(named=True))
    ]  # fmt: skip
    return {"run": entry.id, "layer": place.layer, "step": place.step, "steps": frames.steps, "elements": listed}


def rows(results: Results, address: Address) -> list[dict[str, Any]]:
    """The same, a row per element, without the vectors."""
    found: list[dict[str, Any]] = []
    for element in data(results, address)["elements"]:
        row = {name: element[name] for name in ("element", "name", "place")}
        row |= {f"component_{k + 1}": value for k, value in enumerate(element["components"])}
        found.append(row | {f"map_{axis}": value for axis, value in zip("xy", element["map"] or (None, None), strict=True)})
    return found


PAGE = Page("embedding", "Embedding", layout, view, data, stamp, rows)
