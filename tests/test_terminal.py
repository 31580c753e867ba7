"""No stream ends what is being done: terminals and pipes without a character, without a reader, without room, or not there at all."""

from __future__ import annotations

import ast
import errno
import io
import json
import os
import subprocess
import sys
import types
import warnings
from pathlib import Path

import pytest

import groklab
from groklab import cli
from groklab.config.run import Run
from groklab.data.files import read_cells
from groklab.display.sweep import TerminalSweep
from groklab.display.terminal import Display
from groklab.laboratory import runs as laboratory
from groklab.laboratory.progress import Progress
from groklab.outside.streams import Note, Safe, aside, console, drawn, ended, safe_streams, say, warn, write_data, write_json

ROOT = Path(groklab.__file__).parent.parent
TEXT = "loss 2×10⁻³ – a ∘ b ≤ 中"
SMALL = ["--operation", "addition", "--modulus", "5", "--width", "8", "--heads", "2", "--layers", "1", "--train-fraction", "0.6"]
LATIN, ASCII = {"PYTHONIOENCODING": "latin-1"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


class Failing(io.StringIO):
    """A stream that fails as it is told, and counts how often it is tried."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error, self.tried = error, 0

    def write(self, text: str) -> int:
        self.tried += 1
        raise self.error

    def isatty(self) -> bool:
        raise self.error


def encoded(encoding: str, errors: str = "strict") -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors=errors, write_through=True)


def closed() -> io.StringIO:
    stream = io.StringIO()
    stream.close()
    return stream


BROKEN = {
    "none": lambda: None,
    "closed": closed,
    "full": lambda: Failing(OSError(errno.ENOSPC, "No space left on device")),
    "pipe": lambda: Failing(BrokenPipeError(errno.EPIPE, "Broken pipe")),
    "detached": lambda: Failing(ValueError("underlying buffer has been detached")),
    "no stream": lambda: object(),
    "blocking": lambda: Failing(BlockingIOError(errno.EAGAIN, "unavailable")),
    "without encoding": lambda: types.SimpleNamespace(write=lambda text: len(text.encode("ascii")), flush=lambda: None),
    "lies": lambda: types.SimpleNamespace(write=lambda text: len(text.encode("ascii")), flush=lambda: None, encoding="utf-8"),
    "unknown": lambda: types.SimpleNamespace(write=len, flush=lambda: None, encoding="no-such"),
    "ascii": lambda: encoded("ascii"),
    "cp1252": lambda: encoded("cp1252"),
}


def progress(step: int, **row: float) -> Progress:
    run = Run.of(operation="addition", modulus=5, steps=100)
    told = {"step": step, "train_accuracy": 0.5, "validation_accuracy": 0.2, "train_loss": 1.0, "validation_loss": 2.0} | row
    return Progress(run, step, told, 0, 1.0, "a warning – ∘ 中")


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("is_live", [False, True])
def test_no_stream_stops_a_display(name, is_live):
    with Display(BROKEN[name](), is_live=is_live) as display:
        display.begin([], {"path": "compiled – ∘"})
        for step in (0, 1, 100):
            display(progress(step))


@pytest.mark.parametrize("name", BROKEN)
def test_no_stream_stops_what_is_said(name, monkeypatch):
    monkeypatch.setattr(sys, "stdout", BROKEN[name]())
    monkeypatch.setattr(sys, "stderr", BROKEN[name]())
    say(TEXT)
    aside(TEXT)
    write_json({"text": TEXT})
    write_data(f"x,y,z\n{TEXT}\n")
    console().print(TEXT)
    with safe_streams() as (output, errors):
        print(TEXT)
        assert ended(0, output, errors, is_own_process=False) in (0, 1)


def test_a_stream_that_failed_is_not_tried_again():
    stream = Failing(OSError(errno.ENOSPC, "No space left on device"))
    safe = Safe(stream)
    for _ in range(5):
        assert safe.write(TEXT) == len(TEXT)
    assert stream.tried == 1
    assert safe.failure is stream.error


@pytest.mark.parametrize(
    ("encoding", "written"),
    [
        ("ascii", "loss 2x10^-3 - a o b <= \\u4e2d"),
        ("latin-1", "loss 2×10^-3 - a o b <= \\u4e2d"),
        ("cp1252", "loss 2×10^-3 – a o b <= \\u4e2d"),
        ("utf-8", TEXT),
    ],
)
def test_what_is_said_to_people_has_other_characters_where_some_are_missing(encoding, written, monkeypatch):
    stream = encoded(encoding)
    monkeypatch.setattr(sys, "stdout", stream)
    say(TEXT)
    assert stream.buffer.getvalue().decode(encoding) == written + "\n"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8", "utf-16"])
def test_json_and_csv_keep_every_character(encoding, monkeypatch, tmp_path):
    value = {"é": TEXT, "lone": "\ud800", "name": "\x1b[2J"}
    monkeypatch.setattr(sys, "stdout", stream := encoded(encoding))
    write_json(value)
    raw = stream.buffer.getvalue()
    assert json.loads(raw.decode("utf-16") if encoding == "utf-16" else raw) == value
    monkeypatch.setattr(sys, "stdout", stream := encoded(encoding))
    write_data(TEXT)
    assert stream.buffer.getvalue() == TEXT.encode()


def test_a_table_of_odd_names_is_read_back_from_a_terminal_of_few_characters(tmp_path, monkeypatch):
    names = ["中", "é", "∘"]
    table = tmp_path / "table.csv"
    table.write_text("x,y,z\n" + "".join(f"{a},{b},{a}\n" for a in names for b in names), encoding="utf-8")
    monkeypatch.setattr(sys, "stdout", stream := encoded("latin-1"))
    assert cli.main(["table", "--operation", "from_file", "--file", str(table), "--format", "csv"]) == 0
    (tmp_path / "again.csv").write_bytes(stream.buffer.getvalue())
    assert read_cells(tmp_path / "again.csv").elements == read_cells(table).elements
    assert sys.stdout is stream, "whoever calls has the streams that were there"


def test_a_command_says_that_its_result_was_not_written_unless_nobody_wants_more(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdout", BROKEN["full"]())
    assert cli.main(["list", "groups"]) == 1
    assert capsys.readouterr().err == (
        "groklab: standard output cannot be written to: [Errno 28] No space left on device. What was stored is intact.\n"
    )
    monkeypatch.setattr(sys, "stdout", BROKEN["pipe"]())
    assert cli.main(["list", "groups"]) == 1
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys, "stdout", None)
    assert cli.main(["list", "groups"]) == 0


@pytest.mark.parametrize("width", [1, 2, 3, 8, 20, 81])
def test_a_terminal_may_be_as_narrow_as_it_likes(width, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    stream = io.StringIO()
    stream.isatty = lambda: True
    with Display(stream) as display:
        assert display.is_live
        for step in (0, 1, 100):
            display._drawn = 0.0
            display(progress(step))
    assert "the display failed" not in stream.getvalue()


@pytest.mark.parametrize(("kind", "is_live"), [("dumb", False), ("unknown", False), ("xterm", True), ("", True)])
def test_a_terminal_that_cannot_move_its_cursor_gets_lines(kind, is_live, monkeypatch):
    monkeypatch.setenv("TERM", kind)
    stream = io.StringIO()
    stream.isatty = lambda: True
    assert Display(stream).is_live is is_live
    assert TerminalSweep(stream).is_live is is_live


def test_a_picture_that_cannot_be_drawn_gives_way_to_lines(monkeypatch):
    monkeypatch.setattr(Display, "_panel", lambda self, progress: 1 / 0)
    stream = io.StringIO()
    with Display(stream, is_live=True) as display:
        for step in (0, 1, 100):
            display._drawn = display._printed = 0.0
            display(progress(step))
    assert stream.getvalue().count("the display failed (ZeroDivisionError: division by zero); what it shows goes on.") == 1
    assert "step       100" in stream.getvalue()
    assert not drawn(lambda: 1 / 0, Safe(None))


def test_what_is_drawn_takes_no_markup_and_lets_no_escape_sequence_through():
    stream = io.StringIO()
    console(stream).print("[red]x[/red] :smile: \x1b[2J a\u202e")
    assert stream.getvalue() == "[red]x[/red] :smile: \\x1b[2J a\\u202e\n"


def test_a_warning_is_a_line_on_the_command_line_and_ends_nothing_where_it_cannot_be_written(monkeypatch, capsys):
    with safe_streams():
        for _ in range(2):
            warn("careful \x1b – 中")
    assert capsys.readouterr().err == "groklab: careful \\x1b – 中\n"
    with pytest.warns(Note, match="careful"):
        warn("careful")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        monkeypatch.setattr(sys, "stderr", BROKEN["closed"]())
        monkeypatch.setattr(warnings, "showwarning", lambda *told: sys.stderr.write("x"))
        warn("nobody hears it")


def test_files_that_are_closed_are_opened_before_a_run_is_in_their_place(tmp_path):
    code = "from groklab.outside.streams import open_what_is_closed; open_what_is_closed(); import os; print(os.open(os.devnull, 0) > 2)"
    done = subprocess.run(["sh", "-c", f'exec "{sys.executable}" -c "{code}" <&- 2>&-'], stdout=subprocess.PIPE, encoding="utf-8")
    assert done.stdout == "True\n"


def source_calls():
    for root in ("groklab", "tools", "benchmarks"):
        for path in sorted((ROOT / root).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call):
                    yield path.relative_to(ROOT), node


def _name(node: ast.Call) -> str:
    return node.func.id if isinstance(node.func, ast.Name) else node.func.attr if isinstance(node.func, ast.Attribute) else ""


def _is_text(node: ast.Call) -> bool:
    """Whether a call reads or writes text in an encoding that it does not name."""
    name, named = _name(node), {keyword.arg for keyword in node.keywords}
    if "encoding" in named or None in named:
        return False
    if name in ("run", "Popen", "check_output", "check_call"):
        return bool(named & {"text", "universal_newlines"})
    if name == "write_text" or (name == "read_text" and not node.args):
        return True
    if name not in ("open", "fdopen", "TemporaryFile", "NamedTemporaryFile"):
        return False
    owner = node.func.value if isinstance(node.func, ast.Attribute) else None
    if isinstance(owner, ast.Name) and owner.id in ("os", "Image", "tarfile", "webbrowser") and name == "open":
        return False
    given = [*node.args, *(keyword.value for keyword in node.keywords if keyword.arg == "mode")]
    modes = [way for one in given for way in ((one.body, one.orelse) if isinstance(one, ast.IfExp) else (one,))]
    written = [one.value for one in modes if isinstance(one, ast.Constant) and isinstance(one.value, str)]
    is_binary = any("b" in mode and len(mode) <= 3 for mode in written)
    return not is_binary and (bool(written) or name == "open")


def test_every_file_and_process_names_its_encoding():
    assert not [f"{path}:{node.lineno}" for path, node in source_calls() if _is_text(node)]


def test_nothing_is_printed_but_through_the_safe_streams():
    ways = [(path, node) for path, node in source_calls() if path.parts[0] == "groklab" and path.name != "streams.py"]
    assert not [f"{path}:{node.lineno}" for path, node in ways if isinstance(node.func, ast.Name) and node.func.id in ("print", "Console")]
    written = ("sys.stdout.write", "sys.stderr.write", "warnings.warn")
    assert not [f"{path}:{node.lineno}" for path, node in ways if ast.unparse(node.func) in written]


# — processes —


def groklab_in(folder: Path, *words: str, environment: dict[str, str], **options) -> subprocess.CompletedProcess[bytes]:
    surroundings = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG", "PYTHONIO", "PYTHONUTF8"))}
    own = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "error", "-m", "groklab", *words]
    return subprocess.run(command, cwd=folder, env=surroundings | own | environment, timeout=300, **options)


@pytest.mark.medium
@pytest.mark.parametrize("environment", [LATIN, ASCII, {"PYTHONIOENCODING": "cp1252"}], ids=["latin-1", "C", "cp1252"])
def test_trainings_and_their_tables_in_terminals_of_few_characters(environment, tmp_path):
    names = ["中", "é", "$_$", "\u202ex", "∘"]
    cells = "".join(f"{a},{b},{names[(i + j) % 5]}\n" for i, a in enumerate(names) for j, b in enumerate(names))
    (tmp_path / "t.csv").write_text("x,y,z\n" + cells, encoding="utf-8")
    file = ["--operation", "from_file", "--file", "t.csv", "--width", "8", "--heads", "2", "--layers", "1", "--train-fraction", "0.6"]
    for words in (["sweep", *file, "--steps", "20", "--seed", "0", "1", "--workers", "2"], ["show", "latest"], ["show", "--table"]):
        done = groklab_in(tmp_path, *words, environment=environment, capture_output=True)
        assert done.returncode == 0, done.stderr
        assert done.stdout
        assert b"Traceback" not in done.stderr
        assert b"\xe2\x80\xae" not in done.stdout
    done = groklab_in(tmp_path, "table", *file[:4], "--json", environment=environment, capture_output=True)
    assert set(json.loads(done.stdout)["elements"]) == set(names)
    done = groklab_in(tmp_path, "train", *file, "--steps", "30", "--seed", "7", environment=environment, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count(b"no font of this machine") <= 1


@pytest.mark.medium
@pytest.mark.parametrize(("redirection", "status"), [("> /dev/full", 1), ("| head -1", 0), (">&- 2>&-", 0), ("> /dev/full 2>&1", 1)])
def test_a_training_ends_well_where_nobody_can_read_of_it(redirection, status, tmp_path):
    words = " ".join([*SMALL, "--steps", "200", "--seed", "3"])
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PY": sys.executable}
    done = subprocess.run(
        ["bash", "-c", f'"$PY" -m groklab train {words} {redirection}'], cwd=tmp_path, env=environment, capture_output=True, timeout=300
    )
    assert done.returncode == status, done.stderr
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr
    (run,) = laboratory.stored_runs(tmp_path / "runs")
    assert run.status() == "complete"
    assert run.steps_of("checkpoints")[-1] == 200


@pytest.mark.medium
def test_a_library_call_in_such_a_stream_trains_and_leaves_the_streams_alone(tmp_path):
    code = (
        "import sys, io, groklab as gl\n"
        "sys.stdout = out = io.TextIOWrapper(io.BytesIO(), encoding='ascii'); sys.stderr = None\n"
        "run = gl.train(operation='addition', modulus=5, width=8, heads=2, layers=1, train_fraction=0.6, steps=30, runs='r',\n"
        "    on_progress=gl.display.Display(sys.stdout))\n"
        "assert sys.stdout is out and sys.stderr is None and out.encoding == 'ascii' and out.errors == 'strict'\n"
        "gl.sweep(operation='addition', modulus=5, width=8, heads=2, layers=1, train_fraction=0.6, steps=30, runs='r', seed=[1, 2], workers=1)\n"
        "sys.__stdout__.write(run.status)\n"
    ).replace("gl.display.Display", "__import__('groklab.display.terminal').display.terminal.Display")
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=os.environ | ASCII | {"PYTHONPATH": str(ROOT)}, capture_output=True, timeout=300
    )
    assert done.stdout == b"complete", done.stderr
