"""Requests that no page makes: one clear answer of 400, 404 or 413, and nothing in the log."""

import io
import json
import logging

import pytest

pytest.importorskip("dash")

from groklab.dashboard.access import Guard
from groklab.dashboard.app import make_app
from groklab.dashboard.catalog import Catalog
from groklab.dashboard.computing import Computing
from groklab.dashboard.controls import Results

UPDATE = "/_dash-update-component"
BODIES = {
    "empty": b"", "malformed": b"{", "null": b"null", "list": b"[]", "number": b"5", "text": b'"x"', "deep": b"[" * 100_000, "not UTF-8": b"\xff\xfe", "huge": b'"' + b"x" * 3_000_000 + b'"',
    "unknown output": b'{"output": "nope.children", "outputs": [], "inputs": []}', "output of a list": b'{"output": [1]}', "of the browser": b'{"output": "visited.data", "outputs": [], "inputs": []}',
}  # fmt: skip


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    results = Results(Catalog(tmp_path_factory.mktemp("runs")), Computing(()))
    app = make_app(results, Guard.of("127.0.0.1", 8050))
    found = app.server.test_client()
    assert found.get("/").status_code == 200
    yield found
    results.computing.close()


@pytest.fixture
def logged():
    told = io.StringIO()
    handler = logging.StreamHandler(told)
    logging.getLogger().addHandler(handler)
    yield told
    logging.getLogger().removeHandler(handler)
    assert "Traceback" not in told.getvalue()


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_body_that_no_page_sends_is_refused(client, logged, body):
    answer = client.post(UPDATE, data=body, content_type="application/json")
    assert answer.status_code in (400, 413)
    told = answer.get_data(as_text=True)
    assert told.startswith("groklab: ")
    assert len(told) < 500


@pytest.mark.parametrize("value", [5, "x", [], {}, {"path": 5, "search": []}, "x" * 100_000], ids=range(6))
def test_places_that_no_page_keeps_are_refused(client, logged, value):
    refused = 0
    for callback in json.loads(client.get("/_dash-dependencies").get_data()):
        parts = [{"id": part["id"], "property": part["property"], "value": value} for part in [*callback["inputs"], *callback["state"]]]
        body = {"output": callback["output"], "outputs": [], "inputs": parts, "state": [], "changedPropIds": []}
        if any(part["id"] in ("visited", "query", "address") for part in parts) or callback["output"] == "visited.data":
            assert client.post(UPDATE, json=body).status_code == 400
            refused += 1
    assert refused >= 4


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("PUT", "/", 405), ("DELETE", "/api/runs", 405), ("POST", "/api/runs", 405), ("FOO", "/", 405), ("GET", "/api/nope", 404), ("GET", "/assets/../../app.py", 404),
     ("GET", "/_dash-component-suites/x/../../y.js", 404), ("GET", "/api/..%2f..%2fetc", 404)],
)  # fmt: skip
def test_wrong_methods_and_places_are_refused(client, logged, method, path, status):
    assert client.open(path, method=method).status_code == status
