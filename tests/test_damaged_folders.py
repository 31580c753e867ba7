"""A folder of three runs of which one is damaged, or is no file at all: the other two are listed, shown and drawn as ever."""

import json
import os
import shutil
import socket

import pytest

from groklab.analysis.tables import runs_table
from groklab.cli import main
from groklab.config.run import Run
from groklab.dashboard.catalog import Catalog
from groklab.results.files import DamagedError, StoreError
from groklab.results.finding import find, folders
from groklab.results.history import HISTORY_LIMIT
from groklab.results.store import RunFolder
from groklab.stored.run import load, stored_runs

TINY = {"operation": "addition", "modulus": 5, "steps": 100}
SEGMENT = {"from_step": 0, "began": "2026-01-01T00:00:00+00:00", "groklab": "0.1.0", "torch": "2.6", "device": "cpu", "path": "compiled"}


def stored(root, seed):
    run = Run.of(**TINY, seed=seed)
    folder = RunFolder(root / run.id)
    folder.create(run, {"total": 10, "non_embedding": 5})
    folder.begin(run, SEGMENT)
    for step, accuracy in ((0, 0.1), (10, 0.5), (100, 1.0)):
        losses = {"train_loss": 1.0, "validation_loss": 1.5, "train_accuracy": accuracy, "validation_accuracy": accuracy}
        folder.append({"step": step, **losses, "wall_time": 0.1})
    folder.update(status="complete")
    return folder


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    root = tmp_path_factory.mktemp("three") / "runs"
    for seed in range(3):
        stored(root, seed)
    return root


@pytest.fixture
def runs(three, tmp_path):
    shutil.copytree(three, tmp_path / "runs")
    return tmp_path / "runs"


def replaced(path, make):
    path.unlink()
    make(path)


def bound(path):
    here = os.getcwd()
    os.chdir(path.parent)  # a socket's path is short
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(path.name)
    os.chdir(here)


def changed(path, **parts):
    content = json.loads(path.read_text(encoding="utf-8"))
    for name, value in parts.items():
        content = {key: part for key, part in content.items() if key != name} if value is ... else content | {name: value}
    path.write_text(json.dumps(content), encoding="utf-8")


def added(path, line):
    path.write_bytes(path.read_bytes() + line)


def in_run(path, group, **fields):
    content = json.loads(path.read_text(encoding="utf-8"))
    content["run"][group] |= fields
    path.write_text(json.dumps(content), encoding="utf-8")


KINDS = {
    "folder": lambda path: replaced(path, os.mkdir),
    "loop of links": lambda path: replaced(path, lambda p: os.symlink(p, p)),
    "link to nothing": lambda path: replaced(path, lambda p: os.symlink("nowhere", p)),
    "pipe": lambda path: replaced(path, os.mkfifo),
    "link to a pipe": lambda path: replaced(path, lambda p: (os.mkfifo(f"{p}.pipe"), os.symlink(f"{p}.pipe", p))),
    "device": lambda path: replaced(path, lambda p: os.symlink("/dev/zero", p)),
    "socket": lambda path: replaced(path, bound),
    "large": lambda path: os.truncate(path, 100_000_000),
}
"""What is no file of bounded size, in the place of a file."""

CONTENTS = {
    "empty": b"",
    "not UTF-8": b"\xff\xfe{\x00}\x00",
    "cut off": b'{"format": 1, "id": "a',
    "deep": b'{"format": 1, "run": ' + b"[" * 100_000,
    "NaN": b'{"format": NaN}',
    "no object": b"[1, 2]",
    "huge number": b'{"format": ' + b"1" * 5000 + b"}",
    "large format": b'{"format": 1' + b"0" * 4000 + b"}",
    "format true": b'{"format": true}',
    "zeros": b"\0" * 1000,
}

PARTS = {
    "status unknown": {"status": "perfect"},
    "status a list": {"status": []},
    "run a text": {"run": "addition"},
    "run missing": {"run": ...},
    "plugins a text": {"plugins": "x.py"},
    "segments missing": {"segments": ...},
    "segments of numbers": {"segments": [1, 2]},
    "segment from a text": {"segments": [SEGMENT | {"from_step": "0"}]},
    "segment without words": {"segments": [SEGMENT | {"device": None}]},
    "parameters of texts": {"parameters": {"total": "many"}},
    "message a number": {"message": 5},
    "warnings a text": {"warnings": "of something"},
    "imported a list": {"imported": []},
    "resolved a list": {"resolved": []},
}

FIELDS = {
    "operation a list": ("task", {"operation": ["addition"]}),
    "operation an object": ("task", {"operation": {}}),
    "modulus a text": ("task", {"modulus": "5"}),
    "steps a decimal": ("budget", {"steps": 1.5}),
    "threshold a text": ("budget", {"threshold": "high"}),
    "unknown field": ("model", {"wide": 5}),
    "stop no call": ("budget", {"stop": "1 + 1"}),
    "stop with a text": ("budget", {"stop": "generalized(confirmations='a')"}),
    "stop with a setting": ("budget", {"stop": "never(now=1)"}),
    "measures a number": ("budget", {"measures": 5}),
}

LINES = {
    "no number": b'{"step": 200, "train_loss": "low"}\n',
    "a list": b"[1, 2]\n",
    "not JSON": b"loss 0.5\n",
    "deep": b'{"step": ' + b"[" * 100_000 + b"\n",
    "step before": b'{"step": 1, "train_loss": 1.0, "validation_loss": 1.0, "train_accuracy": 0.5, "validation_accuracy": 0.5}\n',
    "within": b'{"step": 200, "train_loss": 1.0, "validation_loss": 1.0, "train_accuracy": 0.5, "validation_accuracy": 0.5, "x": [{}]}\n',
    "zeros": b"\0" * 100 + b"\n",
}


def damages():
    for name, make in KINDS.items():
        yield f"run.json: {name}", lambda folder, make=make: make(folder / "run.json")
        if name != "link to nothing":  # which is as good as no history
            yield f"history: {name}", lambda folder, make=make: make(folder / "history.jsonl")
    for name, content in CONTENTS.items():
        yield f"run.json: {name}", lambda folder, content=content: (folder / "run.json").write_bytes(content)
    for name, parts in PARTS.items():
        yield f"run.json: {name}", lambda folder, parts=parts: changed(folder / "run.json", **parts)
    for name, (group, fields) in FIELDS.items():
        yield f"run.json: {name}", lambda folder, group=group, fields=fields: in_run(folder / "run.json", group, **fields)
    for name, line in LINES.items():
        yield f"history: {name}", lambda folder, line=line: added(folder / "history.jsonl", line)


DAMAGES = dict(damages())


@pytest.mark.parametrize("name", DAMAGES)
def test_one_bad_run_hides_no_other(runs, name, capsys):
    bad, *good = sorted(folder.path for folder in folders(runs))
    DAMAGES[name](bad)

    assert [folder.id for folder in stored_runs(runs)] == [bad.name, *(path.name for path in good)]
    rows = {row["id"]: row for row in runs_table(stored_runs(runs)).to_dicts()}
    assert rows[bad.name]["status"] in ("damaged", "unreadable")
    assert all(rows[path.name]["status"] == "complete" and rows[path.name]["steps"] == 100 for path in good)
    for verb in (["list", "runs"], ["show", "--table"]):
        assert main([*verb, "--runs", str(runs)]) == 0
        assert main([*verb, "--json", "--runs", str(runs)]) == 0
        printed = capsys.readouterr().out
        told = json.loads(printed.splitlines()[-1])
        assert list(told["problems"]) == [bad.name]
        assert told["problems"][bad.name].split()[0] in printed.splitlines()[1]
    assert main(["show", "--table", "--by", "operation", "--runs", str(runs)]) == 0
    assert load(good[0].name, runs=runs).summary.generalized_at == 100
    assert {entry.id: entry.status for entry in Catalog(runs).entries()}[good[1].name] == "complete"

    capsys.readouterr()
    status = main(["show", bad.name, "--runs", str(runs)])
    told = capsys.readouterr().err
    assert status in (1, 2)
    assert told.count("\n") == 1, told
    assert "Traceback" not in told

    assert main(["remove", "--prune", "--yes", "--runs", str(runs)]) == 0
    assert all(path.exists() for path in good)
    assert bad.exists() == (rows[bad.name]["status"] == "unreadable")  # what cannot be looked into may be whole
    assert find(runs, "latest").path in good or bad.exists()


def test_a_damaged_run_says_in_a_few_words_what_is_wrong(runs):
    bad = folders(runs)[0]
    (bad.path / "run.json").write_bytes(b"[" * 100_000)
    with pytest.raises(DamagedError, match=r"run\.json is damaged: it is not JSON \(it is nested more than 50 levels deep\)"):
        bad.description()
    os.remove(bad.path / "run.json")
    os.mkfifo(bad.path / "run.json")
    with pytest.raises(StoreError, match=r"run\.json cannot be read: it is a pipe, not a file\. Nothing was changed"):
        bad.description()


def test_what_is_no_file_is_never_the_latest_run(runs):
    newest = folders(runs)[2]
    os.remove(newest.path / "run.json")
    os.mkfifo(newest.path / "run.json")
    assert find(runs, "latest").id != newest.id


def test_names_that_are_no_text_or_have_two_lines_hide_nothing(runs, capsys):
    first, second, third = (folder.path for folder in folders(runs))
    os.rename(first, runs / "two\nlines")
    os.rename(second, os.fsencode(runs) + b"/no\xfftext")
    assert main(["list", "runs", "--json", "--runs", str(runs)]) == 0
    assert {row["id"] for row in json.loads(capsys.readouterr().out)["runs"]} == {"two\nlines", "no\ufffdtext", third.name}
    assert main(["show", "--table", "--runs", str(runs)]) == 0


@pytest.mark.parametrize("name", ["file", "loop", "pipe"])
@pytest.mark.parametrize("verb", [["list", "runs"], ["show", "--table"], ["show"], ["remove", "--prune", "--yes"]], ids=" ".join)
def test_a_folder_of_runs_that_is_none_is_said(tmp_path, name, verb, capsys):
    place = tmp_path / name
    {"file": lambda: place.write_text("x", encoding="utf-8"), "loop": lambda: place.symlink_to(place), "pipe": lambda: os.mkfifo(place)}[
        name
    ]()
    assert main([*verb, "--runs", str(place)]) == 2
    assert "expected a folder of results that can be read" in capsys.readouterr().err


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="needs root, to become another user")
def test_what_another_user_may_not_read_hides_nothing(runs, capsys):
    bad = folders(runs)[0].path
    mine = [path for path in runs.parents if "pytest" in str(path)]  # pytest's own folders, and nothing above them
    for path in (runs, *runs.iterdir(), *mine):
        os.chmod(path, 0o755)
    os.chmod(bad / "run.json", 0o600)
    os.seteuid(65534)
    try:
        assert main(["list", "runs", "--runs", str(runs)]) == 0
        assert main(["show", bad.name, "--runs", str(runs)]) == 1
    finally:
        os.seteuid(0)
    listed, told = capsys.readouterr()
    assert listed.count("complete") == 2
    assert "run.json cannot be read: Permission denied" in listed
    assert "cannot be read: Permission denied" in told


def test_a_history_of_values_within_values_is_refused_before_it_fills_the_memory(runs):
    folder = folders(runs)[0]
    with open(folder.path / "history.jsonl", "ab") as file:
        file.write(b'{"step": 200, "x": [' + b"[]," * 1_000_000 + b"[]]}\n")
    with pytest.raises(DamagedError, match="line 4 is not an evaluation"):
        folder.evaluations()
    os.truncate(folder.path / "history.jsonl", HISTORY_LIMIT + 1)
    with pytest.raises(StoreError, match="at most 64,000,000 are read"):
        folder.evaluations()
