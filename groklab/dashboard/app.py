"""The pages put together: what stays around them, and the one callback by which each shows what its address says.

An address is written into the page's controls when it is opened; what the controls say is written back into the address. A clock
asks every two seconds whether what is shown has changed, which costs nothing while it has not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import dash
from dash import ALL, Dash, Input, Output, State, ctx
from dash.exceptions import PreventUpdate

from groklab.dashboard import cells, circuit_page, curves_page, embedding, runs, sweeps
from groklab.dashboard import theme as look
from groklab.dashboard.access import Guard
from groklab.dashboard.address import Address
from groklab.dashboard.api import add_routes
from groklab.dashboard.controls import PROBLEMS, Page, Piece, Results, dcc, empty, html, marks_of, notice, said
from groklab.dashboard.requests import refuse_odd_requests

_EVERY = 2000
"""Milliseconds between two looks."""


def pages() -> list[Page]:
    """All pages, in the order of the navigation."""
    return [runs.PAGE, curves_page.PAGE, cells.PAGE, embedding.PAGE, circuit_page.PAGE, sweeps.PAGE]


def path_of(page: Page) -> str:
    """Where a page is; the first one at the root."""
    return "/" if page.name == "runs" else f"/{page.name}"


def make_app(results: Results, guard: Guard) -> Dash:
    """The application over a folder of results."""
    known = pages()
    app = Dash(
        "groklab", title="groklab", update_title="", assets_folder=str(Path(__file__).parent / "assets"), serve_locally=True,
        suppress_callback_exceptions=True, add_log_handler=False, include_pages_meta=False,
        meta_tags=[{"name": "color-scheme", "content": "light dark"}],
    )  # fmt: skip
    app.index_string = _INDEX
    app.layout = _frame(results, known)
    _add_callbacks(app, results, known)
    add_routes(app.server, results, known)
    guard.watch(app.server, app.csp_hashes())
    refuse_odd_requests(app)
    return app


_INDEX = """<!DOCTYPE html>
<html lang="en">
<head>{%metas%}<title>{%title%}</title><link rel="icon" href="/assets/icon.svg" type="image/svg+xml">{%css%}</head>
<body>{%app_entry%}<footer>{%config%}{%scripts%}{%renderer%}</footer></body>
</html>"""


def _frame(results: Results, known: Sequence[Page]) -> Piece:
    """What stays around every page."""
    switch = html.Button("◐", id="switch", title="light or dark", type="button", **{"aria-label": "switch between light and dark"})
    folder = "/".join(results.catalog.root.parts[-2:])
    return html.Div(
        [
            dcc.Location(id="location", refresh=False),
            dcc.Interval(id="tick", interval=_EVERY),
            *[dcc.Store(id=name) for name in ("visited", "query", "address", "shown", "theme", "written", "typed", "asked")],
            html.A("Skip to the page", href="#page", className="skip"),
            html.Header(
                [
                    dcc.Link([html.Img(src="/assets/icon.svg", alt="", width="22", height="22"), "groklab"], href="/", className="brand"),
                    html.Nav([dcc.Link(page.title, href=path_of(page)) for page in known], id="navigation", **{"aria-label": "pages"}),
                    html.Div(
                        [html.Span(folder, className="folder", title=f"results: {results.catalog.root}"), html.Span(id="live"), switch],
                        className="aside",
                    ),
                ]
            ),
            html.Main(id="page", tabIndex="-1"),
        ],
        id="frame",
    )


def _add_callbacks(app: Dash, results: Results, known: Sequence[Page]) -> None:
    @app.callback(Output("page", "children"), Output("query", "data"), Input("visited", "data"), prevent_initial_call=True)
    def opened(visited: dict[str, Any]) -> tuple[Piece, dict[str, str]]:
        """The page that an address names, with its controls as the address says."""
        path, search = visited["path"], visited["search"]
        page = _page_at(known, path)
        if page is None:
            return empty("There is no such page", dcc.Link("All runs", href="/")), {"path": path or "/", "search": ""}
        try:
            body = page.layout(results, Address.of(search))
        except PROBLEMS as error:
            body = notice(said(error, results))
        return html.Div(body, className=f"page {page.name}"), {"path": path_of(page), "search": search or ""}

    @app.callback(
        Output({"graph": ALL}, "figure"),
        Output({"part": ALL}, "children"),
        Output({"frame": ALL}, "max"),
        Output({"frame": ALL}, "marks"),
        Output({"frame": ALL}, "value"),
        Output("address", "data"),
        Output("shown", "data"),
        Input({"control": ALL}, "value"),
        Input({"pick": ALL}, "value"),
        Input({"frame": ALL}, "value"),
        Input("tick", "n_intervals"),
        Input("theme", "data"),
        Input("asked", "data"),
        State("query", "data"),
        State("shown", "data"),
        State({"frame": ALL}, "max"),
    )
    def show(
        controls: list[Any], picks: list[Any], places: list[int], tick: int, theme: str | None, asked: str | None, query: dict[str, str] | None,
        shown: dict[str, Any] | None, ends: list[int],
    ) -> tuple[Any, ...]:  # fmt: skip
        """What a page shows for what its controls say."""
        page = None if query is None else _page_at(known, query["path"])
        if query is None or page is None or theme is None:
            raise PreventUpdate
        address = _address(Address.of(query["search"]), ctx.inputs_list, shown, query, places, ends)
        stamp = [query["path"], address.search, theme]
        graphs, parts = (_ids(listed) for listed in ctx.outputs_list[:2])
        frames = range(len(ctx.outputs_list[2]))
        at = {"path": query["path"], "search": address.search}
        try:
            stamp.append(page.stamp(results, address))
            if _is_idle(ctx.triggered_prop_ids, shown, stamp):
                raise PreventUpdate
            made = page.view(results, address, look.named(theme))
        except PROBLEMS as error:
            # The slider stays where it is, and the address with it: what is wrong now may be right at the next look.
            told = said(error, results)
            stamp.append(told)
            if _is_idle(ctx.triggered_prop_ids, shown, stamp):
                raise PreventUpdate from None
            before = shown if shown is not None and shown["at"] == query else {"steps": [], "place": 0}
            same = [dash.no_update for _ in frames]
            place = "told" if "told" in parts else next(iter(parts), "")
            pieces = [notice(told) if name == place else dash.no_update for name in parts]
            return [dash.no_update for _ in graphs], pieces, same, same, same, at, {**before, "stamp": stamp, "at": query}
        steps = [] if made.frames is None else made.frames.steps
        place = 0 if made.frames is None else made.frames.shown
        return (
            [made.graphs.get(name, dash.no_update) for name in graphs],
            [made.parts.get(name, dash.no_update) for name in parts],
            [max(len(steps) - 1, 0) for _ in frames],
            [marks_of(steps) for _ in frames],
            [place for _ in frames],
            {**at, "search": made.address.search},
            {"stamp": stamp, "steps": steps, "place": place, "at": query},
        )

    @app.callback(
        Output("navigation", "children"),
        Output("live", "children"),
        Input("address", "data"),
        Input("query", "data"),
        Input("tick", "n_intervals"),
        State("written", "data"),
    )
    def around(address: dict[str, str] | None, query: dict[str, str] | None, tick: int, written: Any) -> tuple[Piece, Piece]:
        """Links to the other pages that keep the runs and the filter, and how many runs are being trained."""
        where = (query or {}).get("path", "/")
        said = Address.of(address["search"] if address and address["path"] == where else (query or {}).get("search"))
        kept = Address({name: values for name, values in said.values.items() if name in ("run", "filter")}).search
        links = [dcc.Link(page.title, href=path_of(page) + kept, className="here" if path_of(page) == where else "") for page in known]
        running = sum(entry.status == "running" for entry in results.catalog.entries())
        return links, html.Span([html.Span(className="dot"), f"{running} running"], className="status running") if running else ""

    @app.callback(Output("asked", "data"), Input({"ask": ALL}, "n_clicks"), State("address", "data"), prevent_initial_call=True)
    def asked(clicks: list[int | None], address: dict[str, str] | None) -> str:
        """Have another process compute what a button asks for."""
        wanted = ctx.triggered_id
        if address is None or not wanted or not any(clicks):
            raise PreventUpdate
        try:
            circuit_page.ask(results, Address.of(address["search"]), str(wanted["ask"]))
        except PROBLEMS as error:
            return said(error, results)
        return str(wanted["ask"])

    # The address in the browser follows the controls; it is replaced, so that Back leads to the page before. What was written so is no visit.
    app.clientside_callback(
        "function (path, search) { return groklab.visit(path, search); }",
        Output("visited", "data"),
        Input("location", "pathname"),
        Input("location", "search"),
    )
    app.clientside_callback("function (address) { return groklab.write(address); }", Output("written", "data"), Input("address", "data"))
    app.clientside_callback(
        "function (texts, controls) { return groklab.typed(texts, controls); }",
        Output("typed", "data"),
        Input({"typed": ALL}, "value"),
        State({"control": ALL}, "value"),
    )
    app.clientside_callback("function (clicks) { return groklab.theme(clicks); }", Output("theme", "data"), Input("switch", "n_clicks"))


def _page_at(known: Sequence[Page], path: str | None) -> Page | None:
    wanted = "/" + (path or "/").strip("/")
    return next((page for page in known if path_of(page) == wanted or f"/{page.name}" == wanted), None)


def _ids(listed: Sequence[Mapping[str, Any]]) -> list[str]:
    return [next(iter(one["id"].values())) for one in listed]


def _address(
    address: Address, inputs: Sequence[Any], shown: Mapping[str, Any] | None, query: Mapping[str, str], places: Sequence[int], ends: Sequence[int]
) -> Address:  # fmt: skip
    """The address that a page was opened at, with what its controls, boxes and slider say now."""
    controls, picks = inputs[0], inputs[1]
    for control in controls:
        address = address.with_values(**{control["id"]["control"]: control.get("value")})
    if picks:
        there = {pick["id"]["pick"]: bool(pick.get("value")) for pick in picks}
        kept = [name for name in address.many("run") if there.get(name, True)]
        address = address.with_values(run=[*kept, *(name for name, on in there.items() if on and name not in kept)])
    # The slider speaks of checkpoints that were there when it was drawn; at its end it follows those to come.
    if places and shown is not None and shown["steps"] and shown["at"] == query:
        steps = shown["steps"]
        place = min(max(int(places[0] or 0), 0), len(steps) - 1)
        address = address.with_values(step=None if place == len(steps) - 1 else steps[place])
    return address


def _is_idle(triggered: Mapping[str, Any], shown: Mapping[str, Any] | None, stamp: Sequence[str]) -> bool:
    """Whether nothing but the clock asks, and what is shown is still so."""
    return set(triggered) == {"tick.n_intervals"} and shown is not None and list(shown["stamp"]) == list(stamp)
