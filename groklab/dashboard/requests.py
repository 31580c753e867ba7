"""Requests that no page of ours makes: refused in a line before anything of them is computed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dash import Dash
from dash.exceptions import DependencyException
from flask import Response, request

from groklab.outside.files import parsed_json
from groklab.text.values import shown

LONGEST = 2_000_000
"""Bytes of a request."""
_PLACES = ("visited", "query", "address")
_TEXTS = ("theme", "asked")


def refuse_odd_requests(app: Dash) -> None:
    """Answer 400, 404 or 413 with one sentence where the body of a request is none that a page sends."""

    served = app.callback_map  # filled at the first request

    def before() -> Response | None:
        if (request.content_length or 0) > LONGEST:
            return _refused(413, f"the request has {request.content_length:,} bytes; at most {LONGEST:,} are read.")
        if request.method != "POST" or request.path != "/_dash-update-component":
            return None
        try:
            wrong = _problem(parsed_json(request.get_data()), served)
        except ValueError as error:
            wrong = f"the request is not JSON: {error}."
        return None if wrong is None else _refused(400, wrong)

    def unknown(_: Exception) -> Response:
        return _refused(404, "there is no such file.")

    app.server.before_request(before)
    app.server.register_error_handler(DependencyException, unknown)


def _problem(body: Any, known: Mapping[str, Any]) -> str | None:
    """Why a body is none that a page sends; None where it may be one."""
    if not isinstance(body, dict):
        return f"got {shown(body)}; expected an object."
    output = body.get("output")
    if not isinstance(output, str) or "callback" not in known.get(output, {}):
        return f"output: got {shown(output)}; expected one of a page."
    inputs, state, changed = (_listed(body.get(name)) for name in ("inputs", "state", "changedPropIds"))
    if inputs is None or state is None or changed is None or not isinstance(body.get("outputs"), (list, dict)):
        return "inputs, outputs, state and changedPropIds: expected lists."
    if not all(isinstance(name, str) and "." in name for name in changed):
        return "changedPropIds: expected names of properties."
    for one in [*inputs, *state]:
        for item in _listed(one) or [one]:
            if not isinstance(item, dict) or not isinstance(item.get("id"), (str, dict)) or not isinstance(item.get("property"), str):
                if item == []:
                    continue
                return f"inputs: got {shown(item)}; expected an id and a property."
            if not _fits(item["id"], item.get("value")):
                return f"{shown(item['id'])}: got {shown(item.get('value'))}; expected what a page keeps there."
    return None


def _listed(value: Any) -> list[Any] | None:
    """A list, none where nothing is said; None for anything else."""
    return [] if value is None else value if isinstance(value, list) else None


def _fits(name: Any, value: Any) -> bool:
    if name in _TEXTS:
        return value is None or isinstance(value, str)
    if name == "visited":
        return _is_place(value)
    if name in _PLACES:
        return value is None or _is_place(value)
    if name == "shown":
        return value is None or (
            isinstance(value, dict) and {"at", "stamp", "steps", "place"} <= value.keys() and isinstance(value["steps"], list)
        )
    return True


def _is_place(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and isinstance(value.get("path"), str)
        and isinstance(value.get("search", ""), (str, type(None)))
        and "search" in value
    )


def _refused(status: int, told: str) -> Response:
    return Response(f"groklab: {told}\n", status, mimetype="text/plain")
