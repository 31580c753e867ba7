"""The dashboard without a browser: who may look, at which files, and what it says of runs that grow, vanish or are damaged."""

import hashlib
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest

pytest.importorskip("dash", reason="the extra dashboard is not installed")

from benchmarks.yardstick import yardsticks
from groklab import registry
from groklab.cli import main
from groklab.config.run import Run
from groklab.config.steps import steps_up_to
from groklab.dashboard import cells, circuit_page, curves_page, maps, runs, sweeps
from groklab.dashboard.access import Guard
from groklab.dashboard.address import Address, condition_of, conditions_in, filtered
from groklab.dashboard.app import make_app, pages
from groklab.dashboard.catalog import Catalog
from groklab.dashboard.circuit import LOSSES, measured_checkpoints
from groklab.dashboard.computing import Computing, cache_of
from groklab.dashboard.controls import Results, marks_of, percent
from groklab.dashboard.server import name_for, opened_as
from groklab.dashboard.theme import LIGHT, escaped
from groklab.results.answers import packed_answers
from groklab.results.measures import Measured
from groklab.results.store import RunFolder

SECRET = "the-secret-outside"
EVIL = "<script>window.stolen = 1</script>"


@pytest.fixture(autouse=True)
def _quick(monkeypatch, tmp_path):
    monkeypatch.setattr("groklab.results.files.os.fsync", lambda descriptor: None)
    monkeypatch.setattr("groklab.dashboard.catalog.PAUSE", 0.0)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True, scope="module")
def _ended():
    yield
    maps.close()


def row(step, *, validation=0.1, train=1.0):
    return {
        "step": step,
        "train_loss": 2.0 / (step + 1),
        "validation_loss": 3.0,
        "train_accuracy": train,
        "validation_accuracy": validation,
        "weight_norm": 40.0 + step,
        "wall_time": step / 100,
    }


def stored(root, *, steps=100, status="complete", **fields):
    """A run's folder as training leaves it, without answers and checkpoints."""
    run = Run.of(**{"operation": "addition", "modulus": 7, "steps": 100, **fields})
    folder = RunFolder(root / run.id)
    folder.create(run, {"total": 10, "non_embedding": 5})
    lines = [json.dumps(row(step, validation=1.0 if step > 50 else 0.1)) + "\n" for step in sorted({*steps_up_to(steps, 25), steps})]
    (folder.path / "history.jsonl").write_text("".join(lines), encoding="utf-8")
    folder.update(
        status=status, segments=[{"from_step": 0, "began": "2026-01-01", "groklab": "0", "torch": "0", "device": "cpu", "path": "batched"}]
    )
    return folder


def with_answers(folder, step=100):
    """Answers and a checkpoint of a table mod 7."""
    cells = 49
    folder.write_step("answers", step, packed_answers(np.arange(cells) % 7, np.full(cells, 0.5)))
    generator = np.random.default_rng(step)
    folder.write_step(
        "checkpoints",
        step,
        {"output": generator.normal(size=(7, 16)).astype("f4"), "embedding": generator.normal(size=(9, 16)).astype("f4")},
    )
    return folder


def trained(root):
    """A run that was trained for some steps, with its checkpoints."""
    from groklab.laboratory.runs import train

    fields = {"width": 16, "heads": 2, "layers": 1, "mlp_width": 32, "checkpoints_per_decade": 1}
    return train(operation="addition", modulus=7, steps=20, stop="never", runs=root, **fields).folder


def results(root, **options):
    return Results(Catalog(root), Computing(**options))


def client(root, host="127.0.0.1", *, seen=None):
    made = make_app(seen or results(root), Guard.of(host, 8050)).server.test_client()
    made.environ_base["HTTP_HOST"] = "localhost:8050"
    return made


def shown_at(made, path, search, *, parts=("told",), frames=1, shown=None, clock=False):
    """What the callback answers that fills a page, for a slider at its third place: 204 where nothing has changed."""
    listed = made.get("/_dash-dependencies").get_json()
    output = next(callback["output"] for callback in listed if '"graph":["ALL"]' in callback["output"])
    frame = [{"id": {"frame": "step"}, "property": "value", "value": 2} for _ in range(frames)]
    inputs = [
        [], [], frame, {"id": "tick", "property": "n_intervals", "value": 1}, {"id": "theme", "property": "data", "value": "light"},
        {"id": "asked", "property": "data", "value": None},
    ]  # fmt: skip
    query = {"path": path, "search": search}
    states = [{"id": "query", "property": "data", "value": query}, {"id": "shown", "property": "data", "value": shown}, []]
    outputs = [
        [], [{"id": {"part": name}, "property": "children"} for name in parts],
        *[[{"id": {"frame": "step"}, "property": name} for _ in range(frames)] for name in ("max", "marks", "value")],
        {"id": "address", "property": "data"}, {"id": "shown", "property": "data"},
    ]  # fmt: skip
    asked = {"output": output, "outputs": outputs, "inputs": inputs, "state": states}
    asked["changedPropIds"] = ["tick.n_intervals"] if clock else ["theme.data"]
    return made.post("/_dash-update-component", json=asked)


def get_well(made, path):
    assert made.get(path).status_code == 200


def get(made, path):
    answer = made.get(path)
    assert answer.status_code == 200, answer.text
    return answer.get_json()


# — who may look —


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8050", "[::1]:8050", "LOCALHOST:1"])
def test_this_machine_is_answered_by_its_own_names(tmp_path, host):
    assert client(tmp_path).get("/api", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:8050", "evil.example:8050", "192.168.1.7:8050"]
)
@pytest.mark.parametrize("path", ["/", "/api/runs", "/assets/style.css", "/_dash-layout"])
def test_a_name_that_was_made_to_point_here_is_refused(tmp_path, host, path):
    """DNS rebinding: the browser of somebody who visits evil.example would send its name."""
    answer = client(tmp_path).get(path, headers={"Host": host})
    assert answer.status_code == 403
    assert "evil" not in answer.text


def test_other_sites_may_link_here_and_nothing_else(tmp_path):
    made = client(tmp_path)
    assert made.get("/", headers={"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}).status_code == 200
    assert made.get("/api/runs", headers={"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}).status_code == 403
    assert made.post("/_dash-update-component", json={}, headers={"Origin": "http://evil.example"}).status_code == 403
    assert (
        made.post("/_dash-update-component", data="{}", headers={"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}).status_code
        == 403
    )


def test_nothing_is_loaded_from_elsewhere_and_no_page_may_frame_it(tmp_path):
    answer = client(tmp_path).get("/")
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe-inline" not in policy.split("script-src")[1].split(";")[0]
    assert "unsafe-eval" not in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert 'src="http' not in answer.text
    assert 'href="http' not in answer.text


def test_elsewhere_a_token_is_demanded(tmp_path):
    guard = Guard.of("0.0.0.0", 8050)
    assert guard.token is not None
    assert len(guard.token) >= 32
    assert Guard.of("0.0.0.0", 8050).token != guard.token
    server = make_app(results(tmp_path), guard).server
    for path in ("/", "/api/runs", "/assets/style.css", "/_dash-layout", "/_dash-dependencies", "/curves"):
        answer = server.test_client().get(path)
        assert answer.status_code == 401, path
        assert guard.token not in answer.text
    other = "x" if guard.token[-1] != "x" else "y"
    wrong = server.test_client().get(f"/?token={guard.token[:-1]}{other}")
    assert wrong.status_code == 401
    made = server.test_client()
    answer = made.get(f"/curves?run=a&token={guard.token}")
    assert answer.status_code == 302
    assert answer.headers["Location"] == "/curves?run=a"
    assert "HttpOnly" in answer.headers["Set-Cookie"]
    assert "SameSite=Strict" in answer.headers["Set-Cookie"]
    assert made.get("/api/runs").status_code == 200
    assert server.test_client().get("/api/runs", headers={"Authorization": f"Bearer {guard.token}"}).status_code == 200
    assert server.test_client().get("/api/runs", headers={"Authorization": "Bearer é"}).status_code == 401


def test_a_browser_is_started_without_the_token_in_its_words():
    """Everybody with an account on the machine sees with which words a program runs."""
    with opened_as("http://host:8050/?token=abc&x") as place:
        path = Path(unquote(urlsplit(place).path))
        assert "abc" not in place
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.parent.stat().st_mode & 0o777 == 0o700
        assert 'content="0;url=http://host:8050/?token=abc&amp;x"' in path.read_text(encoding="utf-8")
    assert not path.parent.exists()
    with opened_as("http://127.0.0.1:8050/") as place:
        assert place == "http://127.0.0.1:8050/"


def test_who_comes_from_a_file_is_led_on_by_a_page_of_this_site(tmp_path):
    guard = Guard.of("0.0.0.0", 8050)
    made = make_app(results(tmp_path), guard).server.test_client()
    visit = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    answer = made.get(f"/curves?run=%22%3E&token={guard.token}", headers=visit)
    assert answer.status_code == 200
    assert 'content="0;url=/curves?run=%22%3E"' in answer.text
    assert "SameSite=Strict" in answer.headers["Set-Cookie"]
    assert guard.token not in answer.text


def test_all_addresses_of_a_machine_are_called_by_its_name():
    assert name_for("::") == name_for("0.0.0.0") == socket.gethostname()
    assert (name_for("::1"), name_for("127.0.0.1"), name_for("example.org")) == ("[::1]", "127.0.0.1", "example.org")


@pytest.mark.parametrize("path", ["//evil.example", "/%2Fevil.example", "/\\evil.example"])
def test_the_way_to_the_page_without_token_stays_here(tmp_path, path):
    guard = Guard.of("0.0.0.0", 8050)
    answer = make_app(results(tmp_path), guard).server.test_client().get(f"{path}?token={guard.token}")
    location = answer.headers.get("Location", "/")
    assert location.startswith("/")
    assert not location.startswith(("//", "/\\"))


def test_loopback_needs_no_token_unless_it_is_asked_for():
    for host in ("127.0.0.1", "localhost", "::1", "127.8.8.8"):
        assert Guard.of(host, 1).token is None
    for host in ("0.0.0.0", "::", "192.168.1.7", "example.org", ""):
        assert Guard.of(host, 1).token is not None
    assert Guard.of("127.0.0.1", 1, with_token=True).token is not None


# — at which files —

EVERYWHERE = [f"/api/{page.name}" for page in pages()] + [f"/api/{page.name}.csv" for page in pages() if page.table is not None]


@pytest.mark.parametrize(
    "path",
    [
        "/api/../../{name}", "/api/%2e%2e/%2e%2e/{name}", "/assets/../../../../../../{full}", "/assets/%2e%2e/%2e%2e/{name}",
        "/assets/..%2f..%2f{name}", "/_dash-component-suites/dash/../../../../../../{full}", "//{full}", "/{full}", "/static/../{name}",
        "/assets//{full}", "/_dash-component-suites/groklab/{full}",
    ],
)  # fmt: skip
def test_no_address_leads_out_of_the_results(tmp_path, path):
    outside = tmp_path / "secret.txt"
    outside.write_text(SECRET, encoding="utf-8")
    stored(tmp_path / "runs")
    answer = client(tmp_path / "runs").get(path.format(name=outside.name, full=str(outside).lstrip("/")))
    assert SECRET not in answer.text


@pytest.mark.parametrize("run", ["../outside", "..%2Foutside", "%2e%2e/outside", "{full}", "./", "..", "", "a\x00b", "runs/../../outside"])
def test_a_run_is_a_name_and_never_a_path(tmp_path, run):
    inside = with_answers(stored(tmp_path / "runs"))
    outside = with_answers(stored(tmp_path, modulus=7, seed=5))
    outside.path.rename(tmp_path / "outside")
    made = client(tmp_path / "runs")
    for path in EVERYWHERE:
        answer = made.get(path, query_string={"run": run.format(full=tmp_path / "outside")})
        assert answer.status_code in (200, 400), path
        assert "s5" not in answer.text.replace(inside.id, ""), path


def test_links_out_of_the_results_are_not_followed(tmp_path):
    root, outside = tmp_path / "runs", tmp_path / "outside"
    with_answers(stored(root))
    secret = with_answers(stored(outside, seed=1234))
    (secret.path / "measures").mkdir()
    (secret.path / "measures" / "restricted_loss.jsonl").write_text(
        json.dumps({"step": 100, "values": {"restricted_loss": 98765.5}}) + "\n",
        encoding="utf-8",
    )
    (root / "linked").symlink_to(secret.path)
    for number, part in enumerate(("run.json", "history.jsonl", "answers", "checkpoints", "measures", "state.safetensors", "table.csv")):
        folder = with_answers(stored(root, seed=100 + number)).path
        target = folder / part
        if target.is_dir():
            target.rename(tmp_path / f"moved{number}")
        target.unlink(missing_ok=True)
        target.symlink_to(secret.path / part if (secret.path / part).exists() else secret.path / "run.json")
    made = client(root)
    listed = {entry["id"]: entry for entry in get(made, "/api/runs")["runs"]}
    assert listed["linked"]["status"] == "unreadable"
    assert "outside the results folder" in listed["linked"]["message"]
    for name in listed:
        for path in EVERYWHERE:
            answer = made.get(path, query_string={"run": name})
            assert answer.status_code in (200, 400)
            assert "98765.5" not in answer.text
            assert "s1234" not in answer.text
    for number, path in ((2, "table"), (3, "embedding")):
        name = next(name for name in listed if f"s{100 + number}-" in name)
        answer = made.get(f"/api/{path}?run={name}")
        assert answer.status_code == 400
        assert "link" in answer.get_json()["error"]


def test_a_results_folder_that_is_itself_a_link_is_read(tmp_path):
    stored(tmp_path / "real")
    (tmp_path / "runs").symlink_to(tmp_path / "real")
    assert get(client(tmp_path / "runs"), "/api/runs")["count"] == 1


def test_a_pipe_in_the_place_of_a_file_holds_nothing_up(tmp_path):
    stored(tmp_path)
    other = stored(tmp_path, seed=1)
    (other.path / "history.jsonl").unlink()
    os.mkfifo(other.path / "history.jsonl")
    states = {entry["id"]: entry["status"] for entry in get(client(tmp_path), "/api/runs")["runs"]}
    assert states[other.id] == "unreadable"
    assert sorted(states.values()) == ["complete", "unreadable"]


def test_looking_changes_nothing(tmp_path):
    folder = with_answers(stored(tmp_path / "runs"))

    def state():
        return {str(path): (path.stat().st_mtime_ns, path.stat().st_size) for path in (tmp_path / "runs").rglob("*")}

    before = state()
    made = client(tmp_path / "runs")
    for path in EVERYWHERE:
        assert made.get(f"{path}?run={folder.id}").status_code == 200, path
    assert state() == before


def test_a_runs_own_copy_of_a_plugin_is_never_executed(tmp_path):
    folder = with_answers(stored(tmp_path / "runs"))
    (folder.path / "plugins").mkdir()
    (folder.path / "plugins" / "mine-0123456789abcdef.py").write_text(f"open({str(tmp_path / 'executed')!r}, 'w')", encoding="utf-8")
    content = folder.description()
    content["run"]["task"]["operation"] = "mine"
    folder.update(run=content["run"], plugins=["mine-0123456789abcdef.py"])
    made = client(tmp_path / "runs")
    for path in EVERYWHERE:
        answer = made.get(f"{path}?run={folder.id}")
        assert answer.status_code in (200, 400)
    assert "--plugin" in made.get(f"/api/table?run={folder.id}").get_json()["error"]
    assert len(get(made, f"/api/curves?run={folder.id}")["curves"]) == 1
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("hash_in_name", ["0123456789abcdef", "given"])
def test_a_button_executes_no_plugin_that_lies_in_the_results(tmp_path, monkeypatch, hash_in_name):
    """Neither one that was not given, nor one that bears the name and hash of one that was."""
    mine = tmp_path / "mine.py"
    mine.write_text("MINE = 1\n", encoding="utf-8")
    registry.load_plugin(mine)
    given = hashlib.sha256(mine.read_bytes()).hexdigest()[:16]
    folder = trained(tmp_path / "runs")
    name = f"mine-{given if hash_in_name == 'given' else hash_in_name}.py"
    (folder.path / "plugins").mkdir()
    (folder.path / "plugins" / name).write_text(f"open({str(tmp_path / 'executed')!r}, 'w')", encoding="utf-8")
    folder.update(plugins=[name])
    made = results(tmp_path / "runs", plugins=[mine])
    address = Address.of(f"run={folder.id}")
    if hash_in_name == "given":
        circuit_page.ask(made, address, "losses")
        while any(job.state in ("waiting", "working") for job in made.computing.jobs):
            time.sleep(0.1)
        assert [job.message for job in made.computing.jobs] == [""]
        entry = made.catalog.get(folder.id)
        assert measured_checkpoints(entry, LOSSES[False]) == len(folder.steps_of("checkpoints"))
    else:
        with pytest.raises(ValueError, match="does not execute"):
            circuit_page.ask(made, address, "losses")
        assert made.computing.jobs == []
        told = str(circuit_page.view(made, address, LIGHT).parts["ask-losses"])
        assert name in told
        assert "Compute" not in told
    assert not (tmp_path / "executed").exists()


def test_measures_are_offered_until_each_is_taken_of_all_checkpoints(tmp_path):
    folder = with_answers(with_answers(stored(tmp_path), 10))
    entry = results(tmp_path).catalog.get(folder.id)
    Measured(cache_of(entry), "restricted_loss").keep_numbers({10: {"restricted_loss": 1.0}, 100: {"restricted_loss": 1.0}})
    Measured(cache_of(entry), "excluded_loss(variant='blocks')").keep_numbers({10: {"excluded_loss": 1.0}, 100: {"excluded_loss": 1.0}})
    assert measured_checkpoints(entry, LOSSES[False]) == 0
    Measured(cache_of(entry), "excluded_loss").keep_numbers({100: {"excluded_loss": 1.0}})
    assert measured_checkpoints(entry, LOSSES[False]) == 1
    assert "Compute at 1 checkpoint'" in str(
        circuit_page.view(results(tmp_path), Address.of(f"run={folder.id}"), LIGHT).parts["ask-losses"]
    )


# — names are text —


def test_names_from_the_disk_are_shown_as_text():
    assert escaped(EVIL) == "&lt;script&gt;window.stolen = 1&lt;/script&gt;"
    assert "%{" not in escaped("%{customdata}")


def test_a_csv_with_tags_in_its_names_stays_text_in_every_figure(tmp_path):
    names = [EVIL, "<b>bold</b>", "<a href='javascript:alert(1)'>x</a>", "%{x}"]
    table = tmp_path / "table.csv"
    lines = [f'"{a}","{b}","{names[(i + j) % 4]}"' for i, a in enumerate(names) for j, b in enumerate(names)]
    table.write_text("x,y,z\n" + "\n".join(lines) + "\n", encoding="utf-8")
    folder = stored(tmp_path / "runs", operation="from_file", modulus=None, file=str(table))
    folder.write_step("answers", 100, packed_answers(np.arange(16) % 4, np.full(16, 0.25)))
    generator = np.random.default_rng(0)
    folder.write_step("checkpoints", 100, {"output": generator.normal(size=(4, 8)).astype("f4"), "<i>odd</i>": np.ones((2, 2), "f4")})
    from groklab.dashboard.theme import LIGHT

    made = results(tmp_path / "runs")
    for page in pages():
        shown = page.view(made, Address.of(f"run={folder.id}"), LIGHT)
        for graph in shown.graphs.values():
            drawn = graph.to_json()
            for tag in ("<script", "<a href", "<i>", '%{x}"'):
                assert tag not in drawn.replace("\\u003c", "<"), page.name
    assert get(client(tmp_path / "runs"), f"/api/table?run={folder.id}")["elements"].count(EVIL) == 1


def test_a_spreadsheet_takes_no_name_for_a_formula(tmp_path):
    table = tmp_path / "table.csv"
    table.write_text("x,y,z\n=cmd(),a,a\na,=cmd(),a\na,a,a\n=cmd(),=cmd(),a\n", encoding="utf-8")
    folder = stored(tmp_path / "runs", operation="from_file", modulus=None, file=str(table))
    text = client(tmp_path / "runs").get(f"/api/table.csv?run={folder.id}").text
    assert "\n=cmd()" not in text
    assert "'=cmd()" in text


# — runs that grow, vanish, are damaged —


def test_a_damaged_run_is_listed_as_damaged_and_everything_else_works(tmp_path):
    good = with_answers(stored(tmp_path))
    broken = [stored(tmp_path, seed=seed) for seed in (1, 2, 3, 4)]
    (broken[0].path / "run.json").write_text("{", encoding="utf-8")
    (broken[1].path / "history.jsonl").write_text(json.dumps(row(0)) + "\nnonsense\n", encoding="utf-8")
    (broken[2].path / "run.json").write_text('{"format": 99}', encoding="utf-8")
    (broken[3].path / "history.jsonl").write_bytes(b"\xff\xfe\n")
    (tmp_path / "not a run").mkdir()
    (tmp_path / "a file").write_text("", encoding="utf-8")
    made = client(tmp_path)
    states = {entry["id"]: entry for entry in get(made, "/api/runs")["runs"]}
    assert [states[folder.id]["status"] for folder in broken] == ["damaged", "damaged", "unreadable", "damaged"]
    assert "line 2 is not an evaluation" in states[broken[1].id]["message"]
    assert str(tmp_path) not in json.dumps(states)
    assert states[good.id]["status"] == "complete"
    for path in EVERYWHERE:
        assert made.get(path).status_code == 200, path
    assert made.get(f"/api/table?run={broken[0].id}").status_code == 400


@pytest.mark.parametrize(
    ("part", "old", "new"),
    [
        ("history.jsonl", '"step": 100', f'"step": {10**30}'),
        ("history.jsonl", '"train_loss": 2.0', f'"train_loss": {10**400}'),
        ("history.jsonl", '"weight_norm": 40.0', f'"weight_norm": {10**400}'),
        ("run.json", '"modulus": 7', f'"modulus": {10**400}'),
        ("run.json", '"message": ""', '"message": "\\ud800"'),
        ("run.json", '"operation": "addition"', '"operation": "\\udcff"'),
    ],
)
def test_numbers_and_letters_that_nothing_can_hold_damage_their_own_run_alone(tmp_path, part, old, new):
    broken = stored(tmp_path, seed=1)
    text = (broken.path / part).read_text(encoding="utf-8")
    assert old in text
    (broken.path / part).write_text(text.replace(old, new), encoding="utf-8")
    stored(tmp_path)
    made = client(tmp_path)
    for page in pages():
        assert made.get(f"/api/{page.name}").status_code == 200, page.name
        page.view(results(tmp_path), Address({}), LIGHT)
    states = {entry["id"]: entry["status"] for entry in get(made, "/api/runs")["runs"]}
    assert states[broken.id] in ("damaged", "complete")  # a modulus that no column holds leaves a gap in its table
    assert sorted(states.values())[0] == "complete"


def test_a_folder_whose_name_is_no_text_is_listed_as_unreadable(tmp_path):
    folder = stored(tmp_path, seed=1)
    os.rename(folder.path, os.fsencode(tmp_path) + b"/bad\xff")
    good = stored(tmp_path)
    made = client(tmp_path)
    for path in EVERYWHERE:
        assert made.get(path).status_code == 200, path
    listed = {entry["id"]: entry for entry in get(made, "/api/runs")["runs"]}
    assert {name: entry["status"] for name, entry in listed.items()} == {good.id: "complete", "bad\ufffd": "unreadable"}
    assert "UTF-8" in listed["bad\ufffd"]["message"]


def test_a_run_that_may_not_be_read_is_unreadable_until_it_may(tmp_path, monkeypatch):
    folder = stored(tmp_path)
    refuse = lambda path: (_ for _ in ()).throw(PermissionError(13, "Permission denied", str(path)))  # noqa: E731 - also for root
    monkeypatch.setattr("groklab.results.store.read_json", refuse)
    catalog = Catalog(tmp_path)
    (entry,) = catalog.entries()
    assert entry.status == "unreadable"
    assert "Permission denied" in entry.message
    assert catalog.entries() == [entry]
    assert catalog.version == 1
    monkeypatch.undo()
    monkeypatch.setattr("groklab.dashboard.catalog.PAUSE", 0.0)
    catalog._looked = float("-inf")
    assert catalog.entries()[0].status == "complete"
    assert folder.exists


def test_a_damaged_checkpoint_or_answer_is_named(tmp_path):
    folder = with_answers(stored(tmp_path))
    for kind, path in (("answers", "table"), ("checkpoints", "embedding")):
        file = folder.path / kind / "step_000000100.safetensors"
        content = bytearray(file.read_bytes())
        content[-1] ^= 1
        file.write_bytes(content)
        answer = client(tmp_path).get(f"/api/{path}?run={folder.id}")
        assert answer.status_code == 400
        assert "checksum" in answer.get_json()["error"]


def test_a_history_that_grows_is_read_from_where_it_ended(tmp_path, monkeypatch):
    folder = stored(tmp_path, steps=50, status="running")
    monkeypatch.setattr("groklab.dashboard.catalog.owner_of", lambda path: "somebody")
    catalog = Catalog(tmp_path)
    monkeypatch.setattr("groklab.results.store.owner_of", lambda path: "somebody")
    (entry,) = catalog.entries()
    assert entry.status == "running"
    assert entry.history.step[-1] == 50
    monkeypatch.setattr(RunFolder, "reading", lambda self: pytest.fail("the whole run was read again"))
    with open(folder.path / "history.jsonl", "a", encoding="utf-8") as file:
        file.write(json.dumps(row(60)) + "\n" + json.dumps(row(70))[:20])
    (grown,) = catalog.entries()
    assert grown.history.step[-1] == 60
    assert grown.version > entry.version
    assert grown.row["steps"] == 60
    (same,) = catalog.entries()
    assert same.version == grown.version
    with open(folder.path / "history.jsonl", "a", encoding="utf-8") as file:
        file.write(json.dumps(row(70, validation=1.0))[20:] + "\n")
    (whole,) = catalog.entries()
    assert whole.history.step.tolist()[-2:] == [60, 70]
    assert whole.row["generalized_at"] == 70


def test_a_run_that_grew_while_it_was_read_is_not_damaged(tmp_path, monkeypatch):
    """Its size is asked for, then a line is added, then it is read: the next line does not begin where that size ended."""
    folder = stored(tmp_path, steps=50, status="running")
    for place in ("groklab.dashboard.catalog.owner_of", "groklab.results.store.owner_of"):
        monkeypatch.setattr(place, lambda path: "somebody")

    def add(step):
        with open(folder.path / "history.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(row(step)) + "\n")

    reading = RunFolder.reading
    monkeypatch.setattr(RunFolder, "reading", lambda self: (add(60), reading(self))[1])
    catalog = Catalog(tmp_path)
    assert catalog.entries()[0].history.step[-1] == 60
    monkeypatch.setattr(RunFolder, "reading", reading)
    add(70)
    (entry,) = catalog.entries()
    assert entry.status == "running"
    assert entry.history.step.tolist()[-2:] == [60, 70]


def test_a_history_that_was_cut_is_read_anew(tmp_path):
    folder = stored(tmp_path)
    catalog = Catalog(tmp_path)
    assert catalog.entries()[0].history.step[-1] == 100
    folder.cut_history(48)
    assert catalog.entries()[0].history.step[-1] == 48
    stored(tmp_path, seed=1)
    assert len(catalog.entries()) == 2
    folder.remove()
    assert [entry.row["seed"] for entry in catalog.entries()] == [1]


def test_the_rows_are_those_of_the_table_of_runs(tmp_path):
    from groklab.analysis.tables import runs_table
    from groklab.results.finding import folders

    for seed in range(3):
        stored(tmp_path, seed=seed, steps=20 + 40 * seed, status="interrupted")
    (stored(tmp_path, seed=9).path / "run.json").write_text("", encoding="utf-8")
    assert Catalog(tmp_path).table().equals(runs_table(folders(tmp_path)))


def test_the_end_of_a_budget_beside_the_sequence_is_left_out_once_training_went_on(tmp_path):
    folder = stored(tmp_path, steps=20)
    with open(folder.path / "history.jsonl", "a", encoding="utf-8") as file:
        file.write(json.dumps(row(22) | {"extra": True}) + "\n" + json.dumps(row(30)) + "\n")
    steps = Catalog(tmp_path).entries()[0].history.step.tolist()
    assert 22 not in steps
    assert steps[-1] == 30


def test_many_new_runs_do_not_keep_a_page_waiting(tmp_path):
    for seed in range(30):
        stored(tmp_path, seed=seed)
    catalog = Catalog(tmp_path)
    catalog.look(seconds=0.0)
    assert catalog.unread >= 29
    while catalog.unread:
        catalog.look(seconds=0.02)
        time.sleep(0.06)
    assert len(catalog.entries()) == 30


def test_without_a_folder_or_runs_pages_say_what_to_do(tmp_path):
    from groklab.dashboard.theme import LIGHT

    for root in (tmp_path, tmp_path / "none"):
        for page in pages():
            assert page.layout(results(root), Address({})) is not None
            page.view(results(root), Address({}), LIGHT)
            assert page.data(results(root), Address({})) is not None


# — addresses —


def test_an_address_is_read_and_written_alike():
    address = Address.of("?run=a&run=b&filter=operation%3Daddition&x=%3Cb%3E")
    assert address.many("run") == ("a", "b")
    assert Address.of(address.search) == address
    assert address.with_values(run=["c"], x=None).search == "?filter=operation%3Daddition&run=c"
    assert address.one("x", "y", among=("y", "z")) == "y"
    assert Address.of("step=" + "9" * 30).number("step") is None


def test_a_filter_names_fields_words_or_both(tmp_path):
    assert conditions_in("add train_fraction >= 0.3") == (["train_fraction>=0.3"], ["add"])
    for seed in range(4):
        stored(tmp_path, seed=seed, train_fraction=0.3 + 0.1 * (seed % 2))
    catalog = Catalog(tmp_path)
    assert len(filtered(catalog, "addition train_fraction>0.35").entries) == 2
    assert len(filtered(catalog, "seed=1, train_fraction=0.4").entries) == 1
    assert len(filtered(catalog, "S3-").entries) == 1
    wrong = filtered(catalog, "sead=1")
    assert wrong.entries == []
    assert "'seed'" in wrong.problem
    assert filtered(catalog, "seed<").problem
    assert filtered(catalog, "operation<3").problem


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"operation": "expression", "expression": "x**2 + x*y"}, "expression"),
        ({"interventions": ("sam", "orthograd")}, "interventions"),
        ({"interventions": ()}, "interventions"),
        ({"interventions": ("weight_noise(std=0.01, start=5)",)}, "interventions"),
        ({"betas": (0.9, 0.9)}, "betas"),
        ({"operation": "from_file", "modulus": None, "file": 'my "own" table, it\'s (1.csv'}, "file"),
        ({"train_fraction": 0.1 + 0.2}, "train_fraction"),
        ({"modulus": None, "operation": "group_product", "group": "product(cyclic(3), cyclic(2))"}, "group"),
    ],
)  # fmt: skip
def test_the_link_of_a_group_finds_its_runs(tmp_path, fields, name):
    if fields.get("file"):
        (tmp_path / fields["file"]).write_text("x,y,z\n" + "".join(f"{a},{b},{a}\n" for a in "abcd" for b in "abcd"), encoding="utf-8")
        fields = {**fields, "file": str(tmp_path / fields["file"])}
    folder = stored(tmp_path / "runs", **fields)
    stored(tmp_path / "runs", seed=1, modulus=11, interventions=("grokfast_ema",), betas=(0.9, 0.95))
    catalog = Catalog(tmp_path / "runs")
    text = f"{condition_of(name, catalog.get(folder.id).row[name])} steps=100"
    assert [entry.id for entry in filtered(catalog, text).entries] == [folder.id], text
    assert filtered(catalog, text).problem == ""


def test_quotes_and_brackets_keep_a_condition_together():
    assert conditions_in("a = 'b c' d") == (["a=b c"], ["d"])
    assert conditions_in("'two words' \"a=b\" it's") == ([], ["two words", "a=b", "it's"])
    assert conditions_in('a="say ""so""",b=[1, 2]') == (['a=say "so"', "b=[1, 2]"], [])
    assert conditions_in("m=f(kind='x, y', n = 3)") == (["m=f(kind='x, y', n=3)"], [])
    assert conditions_in('a="not closed b=1') == (["a=not closed b=1"], [])
    assert conditions_in(") a<=1 ,, !x") == (["a<=1"], [")", "!x"])
    assert conditions_in("") == ([], [])


def test_a_long_filter_is_refused_or_read(tmp_path):
    """Hours, if time grew with the square of a filter's length."""
    stored(tmp_path)
    for text in (" " * 100_000, "a=" + " " * 50_000 + "b", "'" * 99_999, "(" * 50_000, "a,b " * 25_000, "seed=0 " * 20_000):
        assert "characters" in filtered(Catalog(tmp_path), text).problem
    for text in (" " * 2_000, '"' * 1_999, "(" * 2_000, "= " * 1_000):
        conditions_in(text)


def test_an_unknown_page_run_or_field_is_said(tmp_path):
    stored(tmp_path)
    made = client(tmp_path)
    assert made.get("/api/none").status_code == 404
    assert made.get("/api/runs.xml").status_code == 404
    assert "no run 'nobody'" in made.get("/api/table?run=nobody").get_json()["error"]
    assert "told" in get(made, "/api/curves?run=nobody")
    shown = curves_page.view(results(tmp_path), Address.of("panel=nonsense"), LIGHT)
    assert "None of these runs has nonsense." in str(shown.parts["told"])
    assert get(made, "/api/runs?sort=nonsense&group=nonsense&page=x")["count"] == 1
    assert get(made, "/api/sweeps?x=nonsense&by=nonsense")["field"] == "train_fraction"
    assert made.get("/nowhere").status_code == 200  # the page says that there is none


def test_what_cannot_be_shown_is_said_once_and_the_slider_stays(tmp_path):
    """A page whose run has gone is looked at by the clock every two seconds: no error of the server, and no new answer each time."""
    made = client(tmp_path)
    stored(tmp_path)
    for path in ("/table", "/embedding", "/circuit"):
        first = shown_at(made, path, "?run=nobody")
        assert first.status_code == 200, path
        answer = first.get_json()["response"]
        assert "no run 'nobody' here" in json.dumps(answer)
        assert answer["address"]["data"] == {"path": path, "search": "?run=nobody"}
        assert '{"frame":"step"}' not in answer
        again = shown_at(made, path, "?run=nobody", shown=answer["shown"]["data"], clock=True)
        assert again.status_code == 204, path


def test_answers_in_a_file_of_another_name_are_said_to_be_missing(tmp_path):
    folder = with_answers(stored(tmp_path))
    (folder.path / "answers" / "step_000000100.safetensors").rename(folder.path / "answers" / "step_200.safetensors")
    (folder.path / "checkpoints" / "step_000000100.safetensors").rename(folder.path / "checkpoints" / "step_200.safetensors")
    made = client(tmp_path)
    for path in ("/api/table", "/api/table.csv", "/api/embedding"):
        answer = made.get(path)
        assert answer.status_code == 400, path
        assert "step 200" in answer.get_json()["error"]
    assert made.get("/api/circuit").status_code in (200, 400)
    assert shown_at(made, "/table", f"?run={folder.id}").status_code == 200


def test_marks_and_shares_are_written_as_people_read_them():
    assert (
        marks_of([0, 1, 10, 13, 100, 4365]) == {0: "0", 2: "10", 4: "100", 5: "4,365"} or marks_of([0, 1, 10, 13, 100, 4365])[5] == "4,365"
    )
    assert marks_of([]) == {}
    assert percent(1.0) == "100 %"
    assert (percent(0.99999), percent(0.9896), percent(0.00004)) == ("99.999 %", "98.96 %", "0.004 %")
    assert percent(None) == "–"


# — pages —


def test_the_median_step_is_the_same_on_every_page(tmp_path):
    """A diverged run is known never to generalize; it does not count as one that was watched for its few steps only."""
    ends = {0: 60, 1: 70, 2: 80, 3: 90}
    for seed, at in ends.items():
        folder = stored(tmp_path, seed=seed)
        lines = [json.dumps(row(step, validation=1.0 if step >= at else 0.1)) + "\n" for step in range(0, 101, 10)]
        (folder.path / "history.jsonl").write_text("".join(lines), encoding="utf-8")
    for seed in (4, 5, 6):
        stored(tmp_path, seed=seed, steps=5, status="diverged")
    made = client(tmp_path)
    (curve,) = get(made, "/api/curves?draw=median&group=operation")["curves"]
    (setting,) = get(made, "/api/sweeps?x=modulus&by=none")["settings"]
    heads = json.dumps(str(runs.view(results(tmp_path), Address.of("group=operation"), LIGHT).parts["table"]))
    assert curve["generalized_at"] == setting["medians"][0]["median"] == 90
    assert "median step 90" in heads


def test_moments_of_several_runs_are_marked_above_the_accuracies_alone(tmp_path):
    for seed in range(2):
        stored(tmp_path, seed=seed)
    for search, axes in (("", {"y"}), ("panel=loss&panel=weight_norm", set()), ("panel=loss&panel=accuracy", {"y2"})):
        shown = curves_page.view(results(tmp_path), Address.of(search), LIGHT)
        marks = [trace for trace in shown.graphs["curves"].data if trace.mode == "markers"]
        assert {trace.yaxis for trace in marks} == axes, search
        assert len(marks) == (4 if axes else 0)
        assert ("▽" in str(shown.parts["moments"])) == bool(axes)
    symbols = {trace.marker.symbol for trace in marks}
    assert symbols == {"triangle-down", "triangle-down-open"}


def test_curves_are_computed_anew_for_what_has_changed_alone(tmp_path, monkeypatch):
    from groklab.dashboard import curves

    for seed in range(3):
        stored(tmp_path, seed=seed, train_fraction=0.3 + 0.1 * seed)
    made = results(tmp_path)
    address, made_lines, line = Address.of("draw=median&group=train_fraction&panel=restricted_loss"), [], curves._made_line
    monkeypatch.setattr(curves, "_made_line", lambda table, name, *rest: (made_lines.append(name), line(table, name, *rest))[1])
    curves_page.view(made, address, LIGHT)
    curves_page.view(made, address, LIGHT)
    assert len(made_lines) == 3
    changed = RunFolder(made.catalog.entries()[0].folder.path)
    with open(changed.path / "history.jsonl", "a", encoding="utf-8") as file:
        file.write(json.dumps(row(130)) + "\n")
    curves_page.view(made, address, LIGHT)
    assert made_lines[3:] == ["train fraction 0.3"]
    Measured(RunFolder(made.catalog.entries()[1].folder.path), "restricted_loss").keep_numbers({10: {"restricted_loss": 1.0}})
    (found,) = (found for found in curves.data(made, address)["curves"] if found["columns"])
    assert found["name"] == "train fraction 0.4"
    assert made_lines[4:] == ["train fraction 0.4"]


def test_measures_are_read_once_until_a_file_changes(tmp_path, monkeypatch):
    from groklab.dashboard import curves

    folder = stored(tmp_path)
    entry = results(tmp_path).catalog.get(folder.id)
    kept, read = Measured(folder, "restricted_loss"), []
    kept.keep_numbers({10: {"restricted_loss": 1.0}})
    numbers = curves.kept_numbers
    monkeypatch.setattr(curves, "kept_numbers", lambda one: (read.append(one), numbers(one))[1])
    for _ in range(3):
        assert curves.numbers_of(entry)["restricted_loss"][1].tolist() == [1.0]
    assert len(read) == 2  # the cache, and the run's own
    kept.keep_numbers({20: {"restricted_loss": 2.0}})
    assert curves.numbers_of(entry)["restricted_loss"][1].tolist() == [1.0, 2.0]


def test_a_large_table_is_shown_in_part_with_controls_that_move_it(tmp_path):
    folder = stored(tmp_path, modulus=311)
    made = results(tmp_path)
    shown = cells.view(made, Address.of(f"run={folder.id}"), LIGHT)
    assert "Rows 1 to 300 and columns 1 to 300 of 311" in str(shown.parts["told"])
    shown = cells.view(made, Address.of(f"run={folder.id}&top=5&left=999"), LIGHT)
    assert "Rows 5 to 304 and columns 12 to 311" in str(shown.parts["told"])
    assert shown.address.search == f"?run={folder.id}&top=5&left=12"
    assert cells.view(made, Address.of(f"run={folder.id}&top=1&left=0"), LIGHT).address.search == f"?run={folder.id}"
    controls = [str(part) for part in cells.layout(made, Address.of(f"run={folder.id}&top=5"))]
    assert any("{'control': 'top'}" in part and "value=5" in part for part in controls)


def test_a_scorecard_is_read_as_it_comes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    stored(tmp_path / "runs")
    (tmp_path / "replication" / "laptop").mkdir(parents=True)
    claims = [
        {
            "id": "C1",
            "verdict": "reproduced",
            "value": 3.2,
            "interval": [1.0, None],
            "paper": "1.4",
            "reason": EVIL,
            "sentence": "It groks.",
            "settled": False,
        },
        {"id": 2, "value": 10**400, "settled": [True]},
        "odd",
    ]
    (tmp_path / "replication" / "laptop" / "report.json").write_text(json.dumps({"claims": claims, "summary": ["odd"]}), encoding="utf-8")
    (tmp_path / "runs" / "report.json").write_text("{", encoding="utf-8")
    (tmp_path / "replication" / "away").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "report.json").write_text(json.dumps({"claims": [{"id": SECRET}]}), encoding="utf-8")
    for name, content in (("deep", '{"claims": [{"id": ' + "[" * 900 + "]" * 900 + "}]}"), ("half", '{"claims": [{"id": "\\ud800"}]}')):
        (tmp_path / "replication" / name).mkdir()
        (tmp_path / "replication" / name / "report.json").write_text(content, encoding="utf-8")
    shown = str(sweeps.view(results(tmp_path / "runs"), Address({}), LIGHT).parts["claims"])
    assert shown.count("not settled: more steps could turn it") == 1
    found = get(client(tmp_path / "runs"), "/api/sweeps")["replications"]
    assert [report["file"] for report in found] == ["replication/laptop/report.json"]
    assert [claim["id"] for claim in found[0]["claims"]] == ["C1", 2]


# — the verb —


@pytest.mark.parametrize("missing", ["dash", "flask", "plotly"])
def test_the_extra_that_is_missing_is_named_in_one_line(missing):
    code = f"import sys; sys.modules[{missing!r}] = None; from groklab.cli import main; sys.exit(main(['dashboard', '--no-browser']))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parent.parent, encoding="utf-8")
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert "pip install 'groklab[dashboard]'" in ended.stderr


def test_a_port_that_is_taken_and_a_file_are_refused(tmp_path, capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert main(["dashboard", str(tmp_path), "--no-browser", "--port", str(taken.getsockname()[1])]) == 2
        assert "another program uses it" in capsys.readouterr().err
    (tmp_path / "file").write_text("", encoding="utf-8")
    assert main(["dashboard", str(tmp_path / "file"), "--no-browser"]) == 2
    assert main(["dashboard", "a", "--runs", "b", "--no-browser"]) == 2
    assert main(["dashboard", str(tmp_path), "--no-browser", "--port", "70000"]) == 2
    assert main(["dashboard", str(tmp_path), "--no-browser", "--host", "no.such.host.invalid"]) == 2


def test_the_reading_side_serves_every_page_without_torch(tmp_path):
    folder = with_answers(stored(tmp_path))
    code = f"""
import sys
sys.modules["torch"] = None
from pathlib import Path
from groklab.dashboard import maps
from groklab.dashboard.access import Guard
from groklab.dashboard.app import make_app, pages
from groklab.dashboard.catalog import Catalog
from groklab.dashboard.computing import Computing
from groklab.dashboard.controls import Results
made = make_app(Results(Catalog(Path({str(tmp_path)!r})), Computing()), Guard.of("127.0.0.1", 1)).server.test_client()
for page in pages():
    answer = made.get("/api/" + page.name + "?run={folder.id}&map=plane")
    assert answer.status_code == 200, (page.name, answer.text)
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parent.parent)


@pytest.mark.slow
@pytest.mark.alone
def test_with_a_thousand_runs_every_page_answers_in_under_a_second(tmp_path, monkeypatch):
    """The first look at all of them is in pieces."""
    monkeypatch.setattr("groklab.dashboard.catalog.PAUSE", 0.5)
    root = tmp_path / "runs"
    first = stored(root, operation="addition", steps=20_000)
    text = (first.path / "run.json").read_text(encoding="utf-8")
    for number in range(1000):
        folder = root / f"addition-7-f{0.3 + 0.1 * (number % 5):.2f}-s{number}-{number:08x}"
        folder.mkdir()
        fraction = f'"train_fraction": {0.3 + 0.1 * (number % 5):.1f}'
        (folder / "run.json").write_text(
            text.replace('"train_fraction": 0.5', fraction).replace('"seed": 0', f'"seed": {number}'), encoding="utf-8"
        )
        (folder / "history.jsonl").write_bytes((first.path / "history.jsonl").read_bytes())
    with_answers(RunFolder(folder))
    seen = results(root)
    made = client(root, seen=seen)
    while get(made, "/api/runs")["unread"]:
        time.sleep(0.06)
    assert get(made, "/api/runs")["count"] == 1001
    made.get("/api/embedding")  # what is imported at the first call of a page
    for path in EVERYWHERE:
        assert yardsticks(lambda path=path: get_well(made, path)) < 10, path
    address = Address({})
    for page in pages():
        page.view(seen, address, LIGHT)  # what is remembered from then on
        for what, call in (("layout", page.layout), ("stamp", page.stamp), ("view", lambda *given, page=page: page.view(*given, LIGHT))):
            assert yardsticks(lambda call=call: call(seen, address)) < 8, (page.name, what)  # with a look at the files of all runs


def test_a_large_table_is_sent_as_numbers(tmp_path):
    """Of 293² cells the sentences that the browser makes would be 11 MB for each frame."""
    shown = {}
    for modulus in (293, 7):
        folder = stored(tmp_path, modulus=modulus)
        cells_ = np.arange(modulus**2)
        folder.write_step("answers", 100, packed_answers(cells_ % modulus, np.full(len(cells_), 0.25)))
        shown[modulus] = cells.view(results(tmp_path), Address.of(f"run={folder.id}"), LIGHT).graphs["table"]
    assert len(shown[293].to_json()) < 5_500_000
    (small,), (large,) = shown[7].data, shown[293].data
    assert [*map(str, small.customdata[3][5][:4]), small.customdata[3][5][5]] == ["3.0", "5.0", "1.0", "5.0", "5"]
    assert small.texttemplate == "%{customdata[5]}"
    assert np.asarray(large.customdata)[3, 5, :4].tolist() == [3, 5, 8, 5]
    assert large.text[3][5] in ("hidden cell, wrong", "training cell, not yet")
    assert large.hovertemplate.startswith("<b>%{customdata[0]} + %{customdata[1]} = %{customdata[2]}</b>")


@pytest.mark.medium
def test_measures_are_kept_elsewhere_where_that_is_asked_for(tmp_path, capsys):
    words = "--operation addition --modulus 7 --width 16 --heads 2 --layers 1 --steps 20 --checkpoints-per-decade 1 --no-figures"
    assert main(["train", *words.split(), "--runs", str(tmp_path / "runs")]) == 0
    before = sorted(map(str, (tmp_path / "runs").rglob("*")))
    into = tmp_path / "elsewhere"
    assert main(["measure", "matrix_norms", "latest", "--runs", str(tmp_path / "runs"), "--into", str(into)]) == 0
    assert sorted(map(str, (tmp_path / "runs").rglob("*"))) == before
    kept = (into / "measures" / "matrix_norms.jsonl").read_text(encoding="utf-8")
    assert main(["measure", "matrix_norms", "latest", "--runs", str(tmp_path / "runs")]) == 0
    assert next((tmp_path / "runs").rglob("matrix_norms.jsonl")).read_text(encoding="utf-8") == kept
    assert main(["train", *words.split(), "--seed", "1", "--runs", str(tmp_path / "runs")]) == 0
    both = ["addition-7-f0.50-s0", "addition-7-f0.50-s1"]
    assert main(["measure", "matrix_norms", *both, "--runs", str(tmp_path / "runs"), "--into", str(into)]) == 2
    assert "--into" in capsys.readouterr().err
