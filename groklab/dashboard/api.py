"""The data behind every page as JSON and, where it is a table, as CSV, at the page's own address below /api."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from flask import Flask, Response, request

from groklab.dashboard.address import Address
from groklab.dashboard.controls import PROBLEMS, Page, Results, said
from groklab.outside.spreadsheets import as_text
from groklab.text.values import shown


def add_routes(server: Flask, results: Results, pages: Sequence[Page]) -> None:
    """Answer /api, /api/PAGE and /api/PAGE.csv."""
    known = {page.name: page for page in pages}

    def index() -> Response:
        listed = [f"/api/{page.name}" for page in pages] + [f"/api/{page.name}.csv" for page in pages if page.table is not None]
        return _json({"pages": listed, "runs": str(results.catalog.shown_root)})

    def one(name: str) -> Response:
        wanted, _, ending = name.partition(".")
        page = known.get(wanted)
        if page is None or ending not in ("", "csv") or (ending == "csv" and page.table is None):
            return _json({"error": f"there is no {shown(name)} here; /api lists what there is."}, 404)
        address = Address.of(request.query_string.decode("utf-8", "replace"))
        try:
            if ending == "csv" and page.table is not None:
                return _csv(page.table(results, address), name)
            return _json(page.data(results, address))
        except PROBLEMS as error:
            return _json({"error": said(error, results)}, 400)

    def nothing(name: str) -> Response:
        return _json({"error": f"there is no {shown(name)} here; /api lists what there is."}, 404)

    server.add_url_rule("/api", "api", index)
    server.add_url_rule("/api/<name>", "api page", one)
    server.add_url_rule("/api/<path:name>", "api other", nothing)


def _json(value: Mapping[str, Any], status: int = 200) -> Response:
    return Response(json.dumps(finite(value), ensure_ascii=False, allow_nan=False), status, mimetype="application/json")


def _csv(rows: Sequence[Mapping[str, Any]], name: str) -> Response:
    columns = list(dict.fromkeys(column for row in rows for column in row))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(as_text, columns))
    writer.writerows([as_text(value) if isinstance(value := row.get(column), str) else value for column in columns] for row in rows)
    return Response(text.getvalue(), mimetype="text/csv", headers={"Content-Disposition": f'attachment; filename="groklab-{name}"'})


def finite(value: Any) -> Any:
    """A value as JSON can hold it: what is nan or infinite is null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(name): finite(part) for name, part in value.items()}  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, (list, tuple)):
        return [finite(part) for part in value]  # pyright: ignore[reportUnknownVariableType]
    return value
