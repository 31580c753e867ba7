"""An attack on every verb and every public function: hostile words, settings, sizes, objects, damaged folders and odd requests.

One oracle judges all of it (`complaints`): exit status 2 or 1 and one clear message, no traceback and none of Python's own words, nothing a
terminal would obey, under ten seconds of processor time and two gigabytes, nothing executed, and the other runs as they were.
The cases are made from the verbs, flags and registered functions that there are (`hostile.py`), in one process. ``make test`` takes a
sample that is drawn with a fixed seed, ``make slow`` all of them.
"""

import contextlib
import gc
import hashlib
import io
import itertools
import json
import os
import random
import re
import resource
import shutil
import signal
import time
import traceback
import warnings
from pathlib import Path
from typing import NamedTuple

import hostile
import pytest

import groklab as gl
from groklab import cli, registry
from groklab.outside.printable import printable
from groklab.results.files import StoreError

pytestmark = pytest.mark.medium

SAMPLE = 160
"""Cases of each kind that `make test` takes."""
MOST = 500
"""Cases of each kind that `make slow` takes where there are more: a few minutes of one core for all kinds together."""
SECONDS, HANGS, BYTES = 10.0, 60, 2 << 30

NET = ["--operation", "addition", "--modulus", "7", "--width", "8", "--heads", "1", "--layers", "1", "--steps", "5"]
LAB = '''from groklab import stop


@stop()
def never_in_this_lab(history, threshold):
    """Stops nothing (of a test)."""
    return None
'''

RIGHT = {
    "train": [*NET, "--no-figures"],
    "sweep": [*NET, "--workers", "1"],
    "replicate": ["figure1_left", "--dry-run"],
    "report": ["nothing"],
    "complete": ["table.csv", "--steps", "5", "--seeds", "1", "--workers", "1", "--preset", "gromov"],
    "continue": ["latest", "--no-figures"],
    "check": ["lab.py"],
    "show": ["latest"],
    "list": ["runs"],
    "table": ["--operation", "addition", "--modulus", "5"],
    "measure": ["weight_norm", "latest"],
    "figure": ["learning_curves", "latest"],
    "dashboard": ["--no-browser", "--port", "0"],
    "remove": ["latest"],
    "export": ["latest", "--to", "safetensors", "--output", "out.safetensors"],
    "import": ["net.safetensors"],
}
"""Words with which a verb has little to do; a verb that is not here is attacked without any."""

HARMLESS = re.compile(
    r"""\w+\ --(runs|into)\ folder$              # an empty folder is a folder
    | \w+\ --(runs|into|output|which)\ escapes$  # so is one of any name, which is shown as it is written in Python
    | (table|replicate|export)\ --runs           # nothing is read or written there
    | \w+\ --config\ big\.json$                  # its operation is not the one that is asked for
    | sweep\ --[\w-]+\ number$                   # fields of which an alternative may be a number
    | \w+\ --workers\ huge$ | \w+\ --runs-per-batch\ huge$   # at most as many as there are runs
    | \w+\ --checkpoint\ number$ | replicate\ --output
    | import\ --(step)\ huge$
    | \w+\ --plugin\ (empty|list)\.json$   # a Python file that registers nothing
    | dashboard\ --folder\ escapes$
    """,
    re.VERBOSE,
)
"""Cases that are right all the same, whatever comes of them."""

INTERNAL = re.compile(
    r"Traceback|has no attribute|NoneType|invalid literal|could not convert|codec can't|unsupported operand|not subscriptable|index out of range|"
    r"to unpack|broadcast|positional argument|keyword argument|<class|object at 0x|embedded null|\[Errno|dtype|Exceeds the limit|"
    r"object is not|cannot be interpreted|maximum recursion|not enough memory|NotImplemented"
)
"""Python's own words, which a scientist cannot use."""
OBEYED = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""What acts on a terminal."""


class HangsError(BaseException):
    """A case took longer than any that works."""


class Outcome(NamedTuple):
    """What came of a case."""

    status: int | str
    out: str
    err: str
    seconds: float
    bytes: int
    trace: str


class World(NamedTuple):
    """Three runs that must survive, and what is thrown at them."""

    path: Path
    files: Path
    marker: Path
    runs: dict[str, str]
    """Fingerprint of each run by its id."""


def fingerprint(folder: Path) -> str:
    """Of all that lies in a folder."""
    told = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        told.update(f"{path.relative_to(folder)} {os.lstat(path).st_mode} ".encode())
        told.update(path.read_bytes() if path.is_file() and not path.is_symlink() else b"")
    return told.hexdigest()


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """The folder in which all cases take place; what would serve or open something for ever does nothing."""
    path = tmp_path_factory.mktemp("attack")
    before, patch = Path.cwd(), pytest.MonkeyPatch()
    os.chdir(path)
    patch.setattr("jaxtyping.config.jaxtyping_disable", True)
    with contextlib.suppress(ImportError):
        patch.setattr("werkzeug.serving.BaseWSGIServer.serve_forever", lambda *_: None)
    marker, files = path / "executed", path / "files"
    patch.setattr("webbrowser.open", lambda *_: marker.touch())
    hostile.make_files(files, marker)
    for seed in ("0", "1", "2"):
        assert quietly(lambda seed=seed: cli.main(["train", *NET, "--seed", seed, "--no-figures"])) == 0
    shutil.copytree("runs", "kept")
    known = "".join(f"{x},{y},{(x + y) % 6 if (x, y) != (1, 2) else ''}\n" for x in range(6) for y in range(6))
    Path("table.csv").write_text(f"x,y,z\n{known}", encoding="utf-8")
    Path("lab.py").write_text(LAB, encoding="utf-8")
    assert quietly(lambda: cli.main(["export", "latest", "--to", "safetensors", "--output", "net.safetensors"])) == 0
    yield World(path, files, marker, {folder.name: fingerprint(folder) for folder in Path("kept").iterdir()})
    os.chdir(before)
    patch.undo()


def quietly(function):
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        return function()


@pytest.fixture(autouse=True)
def _bounded():
    """Memory beyond the bound fails at once instead of taking the machine; a case that waits for ever is ended."""
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (_status("VmData") + BYTES + (1 << 30), hard))
    before = signal.signal(signal.SIGALRM, _hangs)
    yield
    signal.signal(signal.SIGALRM, before)
    resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _hangs(*_):
    raise HangsError


def _status(name):
    return int(re.search(rf"{name}:\s+(\d+)", Path("/proc/self/status").read_text(encoding="utf-8"))[1]) * 1024


def outcome_of(function):
    """What becomes of one attack in this process; ``function`` gives an exit status, or raises."""
    out, err, trace = io.StringIO(), io.StringIO(), ""
    gc.collect(0)
    with open("/proc/self/clear_refs", "w", encoding="utf-8") as peak:
        peak.write("5")  # the peak of memory begins anew
    before, began = _status("VmHWM"), time.process_time()
    signal.alarm(HANGS)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            status = function()
        except SystemExit as end:
            status = end.code
        except BaseException as error:
            status, trace = type(error).__name__, traceback.format_exc()
        finally:
            signal.alarm(0)
    return Outcome(status, out.getvalue(), err.getvalue(), time.process_time() - began, _status("VmHWM") - before, trace)


def complaints(found: Outcome, world: World, *, statuses=(1, 2), others=()):
    """All that is wrong with what came of a case; ``others``: runs that must be as they were."""
    told = found.out + found.err
    wrong = []
    if found.status not in statuses:
        wrong.append(f"exit status {found.status}; {(found.trace or told)[-900:]}")
    if internal := INTERNAL.search(told):
        wrong.append(f"says {internal[0]!r}")
    if obeyed := OBEYED.search(told):
        wrong.append(f"prints {obeyed[0]!r}")
    if found.status != 0 and not told.strip():
        wrong.append("says nothing")
    if found.status == 2 and len(re.findall("^groklab: ", found.err, re.MULTILINE)) > 1:
        wrong.append("has several messages")
    if len(found.err) > 4000:
        wrong.append(f"has a message of {len(found.err):,} characters")
    if found.seconds > SECONDS:
        wrong.append(f"took {found.seconds:.1f} s")
    if found.bytes > BYTES:
        wrong.append(f"took {found.bytes / 1e9:.1f} GB")
    if world.marker.exists():
        world.marker.unlink()
        wrong.append("executed something")
    wrong += [f"changed {name}" for name in others if fingerprint(world.path / "runs" / name) != world.runs[name]]
    return [f"{one} | {found.err[-400:] or found.out[-200:]!r}" for one in wrong]


def fresh(world, keep=()):
    """The three runs as they were, the last one the latest."""
    shutil.rmtree("runs", ignore_errors=True)
    shutil.copytree("kept", "runs", symlinks=True)
    for age, folder in enumerate(sorted(Path("runs").iterdir(), reverse=True)):
        stamp = time.time() - 100 * age
        os.utime(folder / "run.json", (stamp, stamp))
    return sorted(folder.name for folder in Path("runs").iterdir())


def chosen(cases, is_all, seed, size=SAMPLE):
    """All cases, or the sample of `make test`: spread over the whole list, drawn with a fixed seed. Of many thousands, `MOST` are all."""
    cases = list(cases)
    size = MOST if is_all else size
    return cases if len(cases) <= size else random.Random(seed + 100 * is_all).sample(cases, size)


EXTENT = [pytest.param(False, id="sample"), pytest.param(True, id="all", marks=pytest.mark.slow)]


def judged(problems, count, least):
    """No problem, in as many cases as there should be."""
    assert count >= least, f"only {count} cases were made"
    assert not problems, f"{len(problems)} of {count} cases:\n" + "\n".join(problems[:60])


# — words of the command line —


def _without(words, flag):
    """Words without a flag and its values: what is given once more would count instead."""
    left, is_value = [], False
    for word in words:
        is_value = word == flag or (is_value and not word.startswith("--"))
        if not is_value:
            left.append(word)
    return left


def word_cases(files):
    patch = pytest.MonkeyPatch()
    for verb in cli.VERBS:
        for flag in hostile.flags_of(hostile.arguments_of(verb, patch)):
            base = _without(RIGHT.get(verb, []), flag.name)
            if flag.is_switch:
                yield hostile.Case(verb, f"{flag.name} value", (verb, *base, f"{flag.name}=maybe"))
                continue
            for what, word in hostile.words_for(flag.hint, files).items():
                words = (verb, word, *base) if flag.is_positional else (verb, *base, flag.name, word)
                case = hostile.Case(verb, f"{flag.name} {what}", words)
                yield case if not HARMLESS.match(str(case)) else hostile.Case(verb, case.what, words, frozenset({0, 1, 2}))
            if not flag.is_positional:
                yield hostile.Case(verb, f"{flag.name} without a value", (verb, *base, flag.name))
        for what, words in (
            ("unknown flag", ("--nonsense", "1")),
            ("escapes", (f"--{hostile.ESCAPES}",)),
            ("long", (f"--{hostile.LONG}",)),
        ):
            yield hostile.Case(verb, what, (verb, *RIGHT.get(verb, []), *words))


@pytest.mark.parametrize("is_all", EXTENT)
def test_hostile_words(world, is_all):
    cases, problems = chosen(word_cases(world.files), is_all, 1, 250), []
    fresh(world)
    for case in cases:
        names = sorted(world.runs)[:2]
        found = outcome_of(lambda case=case: cli.main(list(case.words)))
        wrong = complaints(found, world, statuses=case.statuses, others=names)
        problems += [f"{case}: {one}" for one in wrong]
        if any("changed" in one for one in wrong):
            fresh(world)
    judged(problems, len(cases), 250)


ONCE_WRONG = [
    ["list", "--runs", "files/dangling"], ["dashboard", "--no-browser", "--port", "0", "--runs", "files/loop"], ["sweep", *NET, "--plugin", "5\0"],
    ["replicate", "figure1_left", "--dry-run", "--ray", ""], ["replicate", "figure1_left", "--dry-run", "--ray", hostile.ESCAPES],
    ["show", "latest", "--by", hostile.DEEP], ["figure", "steps_against(x='nope')", "latest", "--output", "drawn.png"],
]  # fmt: skip
"""Words of which something else came than one message; the sample may miss them."""


def test_words_that_were_once_taken_or_failed_otherwise(world):
    fresh(world)
    problems = []
    for words in ONCE_WRONG:
        found = outcome_of(lambda words=words: cli.main(words))
        problems += [f"{' '.join(words)[:80]}: {one}" for one in complaints(found, world, others=sorted(world.runs))]
    judged(problems, len(ONCE_WRONG), 7)


@pytest.mark.parametrize("track", [range(10**12), iter(int, 1), [None], ["x"] * 10**6])
def test_trackers_that_nobody_has_are_refused_before_they_are_listed(world, track):
    for verb in (gl.sweep, gl.train):
        found = outcome_of(lambda verb=verb: verb(operation="addition", modulus=7, width=8, heads=1, layers=1, steps=5, track=track))
        assert found.status in ("ValueError", "TypeError"), found
        assert "track: got" in found.trace


def test_the_words_that_the_attack_departs_from_are_right(world):
    for verb in cli.VERBS:
        if verb not in ("report", "remove"):
            fresh(world)
            found = outcome_of(lambda verb=verb: cli.main([verb, *RIGHT.get(verb, [])]))
            assert found.status == (1 if verb == "complete" else 0), f"{verb}: {found}"


# — settings and sizes —

SETTINGS = {
    "text": "'x'", "escapes": repr(hostile.ESCAPES), "long": repr("x" * 1500), "minus": "-1", "huge": "9" * 30, "decimal": "0.123", "nothing": "None", "true": "True",
    "beyond": "1e999", "list": "(1, 'a', None)", "empty": "()", "many": "(" + "1, " * 300 + ")", "bytes": "b'x'", "complex": "1j", "dict": "{}", "call": "f()", "zero": "0",
}  # fmt: skip
FLAG_OF = {
    "architecture": "--architecture", "optimizer": "--optimizer", "schedule": "--schedule", "loss": "--loss", "intervention": "--interventions", "stop": "--stop",
    "measure": "--measures", "group": "--group",
}  # fmt: skip
"""Where a registered function of a kind is named among the flags of train."""


def setting_cases():
    """Every setting of every registered function with every hostile value, in a training or, for figures and measures, of a stored run."""
    for kind in registry.HOMES:
        for name, entry in registry.entries(kind).items():
            for setting in [*entry.settings, "no_such_setting"]:
                for what, value in SETTINGS.items():
                    call = f"{name}({setting}={value})"
                    told = f"{kind} {name} {setting}={what}"
                    if kind == "figure":
                        yield hostile.Case(
                            "figure",
                            told,
                            ("figure", call, "latest", "--output", "drawn.gif" if name == "film" else "drawn.png"),
                            frozenset({0, 1, 2}),
                        )
                    elif kind in FLAG_OF:
                        yield hostile.Case("train", told, ("train", *RIGHT["train"], FLAG_OF[kind], call), frozenset({0, 1, 2}))
                        if kind == "measure":
                            yield hostile.Case("measure", told, ("measure", call, "latest", "--into", "into"), frozenset({0, 1, 2}))


def _is_harmless(case):
    """Whether a value is of the kind of the setting's default, so that it may be right: then the verb may do what is asked."""
    return not any(
        word in case.what for word in ("no_such_setting", "=text", "=escapes", "=long", "=bytes", "=complex", "=dict", "=call", "=beyond")
    )


@pytest.mark.parametrize("is_all", EXTENT)
def test_hostile_settings(world, is_all):
    cases, problems = chosen(setting_cases(), is_all, 2), []
    for case in cases:
        fresh(world)
        found = outcome_of(lambda case=case: cli.main(list(case.words)))
        statuses = {0, 1, 2} if _is_harmless(case) or "names=" in case.what or "parameters=" in case.what else {1, 2}
        problems += [f"{case}: {one}" for one in complaints(found, world, statuses=statuses, others=sorted(world.runs)[:1])]
    judged(problems, len(cases), 100)


SIZES = ["9" * 9, "9999999999", "9" * 18, "9" * 30]
GROUPS = [
    "symmetric(50)", "cyclic(999999999999)", "symmetric(999999999)", "product(cyclic(999999), cyclic(999999))", "dihedral(99999999999)", "cyclic(-5)", "cyclic(0)",
    "alternating(10000)", "product(" * 300 + "cyclic(2)" + ", cyclic(2))" * 300, "product()", "cyclic('a')", "cyclic(2.5)", "cyclic(cyclic(3))", "cyclic(n=3)", "quaternion(99999999999)",
]  # fmt: skip
BIG_WIDTHS = ["--width", "8192", "--mlp-width", "99999999", "--layers", "60"]


def size_cases(verb):
    patch, base = pytest.MonkeyPatch(), RIGHT[verb]
    for flag in hostile.flags_of(hostile.arguments_of(verb, patch)):
        if int in hostile.options(flag.hint) and flag.name not in ("--steps", "--seed", "--warmup") and not flag.name.endswith("-seed"):
            for size in SIZES:
                yield hostile.Case(verb, f"{flag.name} {size}", (verb, *_without(base, flag.name), flag.name, size))
    for group in GROUPS:
        yield hostile.Case(verb, f"--group {group[:40]}", (verb, *_without(_without(base, "--modulus"), "--operation"), "--group", group))
    words = _without(_without(_without(base, "--width"), "--layers"), "--steps")
    for more in (BIG_WIDTHS, ["--width", "16384", "--layers", "64"], ["--width", "16384", "--mlp-width", "999999"]):
        yield hostile.Case(verb, " ".join(more), (verb, *words, *more, "--steps", "5"))
    for text in ("x**1000*" * 200 + "y", "x**1000**1000", "9" * 4000 + "*x", "(" * 90 + "x" + ")" * 90, "x" + "+x" * 900):
        yield hostile.Case(
            verb, f"--expression {text[:30]}", (verb, *_without(base, "--operation"), "--expression", text), frozenset({0, 2})
        )


@pytest.mark.parametrize("verb", ["train", "table"])
def test_sizes_that_nobody_can_pay_for_are_refused_before_a_folder_is_made(world, verb):
    problems, cases = (
        [],
        list(size_cases(verb))
        if verb == "train"
        else [case for case in size_cases(verb) if "--group" in case.what or "modulus" in case.what],
    )
    fresh(world)
    names = sorted(os.listdir("runs"))
    for case in cases:
        found = outcome_of(lambda case=case: cli.main(list(case.words)))
        problems += [f"{case}: {one}" for one in complaints(found, world, statuses=case.statuses, others=names)]
        if sorted(os.listdir("runs")) != names and found.status != 0:
            problems.append(f"{case}: left a folder")
            fresh(world)
        elif found.status == 0:
            fresh(world)
    judged(problems, len(cases), 15)


# — public functions —


def function_cases(files):
    """Every parameter of every public function, and of the methods of stored runs, with every hostile object."""
    run = gl.load("latest")
    functions = {name: getattr(gl, name) for name in gl.__all__ if not isinstance(getattr(gl, name), type)}
    functions |= {f"StoredRun.{name}": getattr(run, name) for name in dir(run) if not name.startswith("_") and callable(getattr(run, name))}
    functions |= {"Run.of": gl.Run.of, "Run.from_dict": gl.Run.from_dict, "Run.replace": gl.Run().replace, "Run.at": gl.Run().at}
    for name, function in functions.items():
        for parameter in hostile.parameters_of(function):
            for what, value in hostile.objects(files).items():
                yield name, function, parameter, what, value
    for name in ("train", "sweep", "table", "complete"):
        for field in ("operation", "modulus", "width", "betas", "measures", "seed", "train_fraction", "batch_size", "device", "nonsense"):
            for what, value in hostile.objects(files).items():
                yield name, functions[name], field, what, value


def _called(name, function, parameter, value, folder):
    """A public function with one hostile argument, the others being the least that it takes; 0 where it takes it, 2 where it says why not."""
    field = parameter if isinstance(parameter, str) else parameter.name
    tiny = {"operation": "addition", "modulus": 7, "width": 8, "heads": 1, "layers": 1, "steps": 5}
    named = (
        dict(tiny)
        if name in ("train", "sweep")
        else {"operation": "addition", "modulus": 5}
        if name == "table"
        else {"steps": 5}
        if name == "complete"
        else {}
    )
    given = []
    for other in hostile.parameters_of(function):
        if other.name != field and other.default is other.empty:
            given.append({"text": "latest", "path": "table.csv", "many": [], "asked": []}.get(other.name, "latest"))
    if not isinstance(parameter, str) and parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
        given.insert(0, value) if parameter.default is parameter.empty or parameter.kind is parameter.POSITIONAL_ONLY else named.update(
            {field: value}
        )
    else:
        named[field] = value
    if name in ("train", "sweep", "complete") and "workers" in [other.name for other in hostile.parameters_of(function)]:
        named.setdefault("workers", 1)
    try:
        function(*given, **named)
    except (ValueError, TypeError, StoreError, OSError) as error:
        print(f"groklab: {printable(error, lines=True)}", file=cli.sys.stderr)
        return 2
    return 0


@pytest.mark.parametrize("is_all", EXTENT)
def test_hostile_objects(world, is_all):
    fresh(world)
    cases, problems = chosen(function_cases(world.files), is_all, 3, 300), []
    for name, function, parameter, what, value in cases:
        field = parameter if isinstance(parameter, str) else parameter.name
        found = outcome_of(lambda case=(name, function, parameter, value): _called(*case, world.path))
        wrong = complaints(found, world, statuses=(0, 2), others=sorted(world.runs)[:2])
        problems += [f"{name}({field}={what}): {one}" for one in wrong]
        if found.status == 0:
            fresh(world)
    judged(problems, len(cases), 250)


# — damaged folders —

READERS = {
    "list": ["list", "runs"], "table": ["show", "--table"], "show": ["show", "latest"], "named": ["show", "{id}"], "figure": ["figure", "learning_curves", "latest", "--output", "a.png"],
    "cells": ["figure", "operation_table", "latest", "--output", "b.png"], "measure": ["measure", "weight_norm", "latest", "--into", "into"],
    "export": ["export", "latest", "--to", "safetensors", "--output", "c.safetensors"], "continue": ["continue", "latest", "--steps", "7", "--no-figures"],
    "config": ["train", "--config", "runs/{id}", "--no-figures", "--steps", "6"], "again": ["train", *NET, "--seed", "{seed}", "--steps", "6", "--no-figures"],
    "prune": ["remove", "--prune"], "remove": ["remove", "{id}"],
}  # fmt: skip
"""Verbs over a results folder of which one run, the latest, is damaged."""


def damage_cases(files):
    sample = next(iter(sorted(Path("kept").iterdir(), reverse=True)))
    names = [path.relative_to(sample).as_posix() for path in sorted(sample.rglob("*")) if path.is_file()]
    readers = itertools.cycle(READERS.items())  # thirteen, and sixteen damages: every file and every damage meets several of them
    for name in [*names, "lock", "plugins/x.py", "measures/weight_norm.jsonl", "lock.takeover"]:
        for what, damage in hostile.damages(files).items():
            reader, words = next(readers)
            yield f"{name} {what}, {reader}", name, damage, words


def _victim():
    return sorted(Path("runs").iterdir(), reverse=True)[0]


def attacked(words, victim):
    told = [word.replace("{id}", victim.name).replace("{seed}", re.search(r"-s(\d)-", victim.name)[1]) for word in words]
    return outcome_of(lambda: cli.main(told))


def others_complaints(world, victim):
    """What is wrong with the runs that were not damaged: each is listed, shown and loaded, and as it was."""
    names = [name for name in sorted(world.runs) if name != victim.name]
    listed = outcome_of(lambda: cli.main(["list", "runs"]))
    wrong = [f"does not list {name}: {listed.err or listed.trace[-300:]}" for name in names if name not in listed.out]
    for name in names:
        shown = outcome_of(lambda name=name: cli.main(["show", name]))
        wrong += [f"does not show {name}: {shown.err}"] if shown.status != 0 else []
    return wrong + [f"changed {name}" for name in names if fingerprint(world.path / "runs" / name) != world.runs[name]]


@pytest.mark.parametrize("is_all", EXTENT)
def test_damaged_files_of_one_run(world, is_all):
    cases, problems = chosen(damage_cases(world.files), is_all, 4, 60), []
    for told, name, damage, words in cases:
        fresh(world)
        victim = _victim()
        (victim / name).parent.mkdir(exist_ok=True)
        if not (victim / name).exists():
            (victim / name).write_text("{}", encoding="utf-8")
        damage(victim / name)
        if name.startswith("lock") and os.path.lexists(victim / name):  # one that is fresh may be somebody's, and is waited for
            os.utime(victim / name, (0, 0), follow_symlinks=False)
        found = attacked(words, victim)
        problems += [f"{told}: {one}" for one in complaints(found, world, statuses=(0, 1, 2)) + others_complaints(world, victim)]
    judged(problems, len(cases), 60)


def description_cases():
    sample = sorted(Path("kept").iterdir(), reverse=True)[0]
    content = json.loads((sample / "run.json").read_text(encoding="utf-8"))
    readers = itertools.cycle(READERS.items())
    for seed, plugins in enumerate((["../../../evil.py"], [])):
        for what, text in hostile.wrong_descriptions(content | {"plugins": plugins}, seed):
            reader, words = next(readers)
            yield f"run.json {what}, {reader}", text, words


@pytest.mark.parametrize("is_all", EXTENT)
def test_descriptions_of_one_run_with_wrong_fields(world, is_all):
    Path("evil.py").write_text(f"open({str(world.marker)!r}, 'w').close()\n", encoding="utf-8")
    cases, problems = chosen(description_cases(), is_all, 5, 60), []
    for told, text, words in cases:
        fresh(world)
        victim = _victim()
        (victim / "run.json").write_text(text, encoding="utf-8")
        found = attacked(words, victim)
        problems += [f"{told}: {one}" for one in complaints(found, world, statuses=(0, 1, 2)) + others_complaints(world, victim)]
    judged(problems, len(cases), 60)


HISTORY = [
    {"step": "x"}, {"step": -1}, {"step": 10**30}, {"train_loss": "a"}, {"train_loss": None}, {"train_accuracy": 5}, {"extra": "yes"}, {"extra": []}, {"wall_time": "soon"},
    {"weight_norm": {}}, {"weight_norm": hostile.ESCAPES}, {hostile.ESCAPES: 1}, {"step": 1.5}, {"validation_loss": True}, {"new": [[[]]]}, {"run": 5}, {"group": None}, {"title": 3},
]  # fmt: skip


@pytest.mark.parametrize("is_all", EXTENT)
def test_histories_of_one_run_with_wrong_fields(world, is_all):
    cases, problems = chosen(itertools.product(HISTORY, READERS.items()), is_all, 6, 80), []
    for change, (reader, words) in cases:
        fresh(world)
        victim = _victim()
        (victim / "state.safetensors").unlink()  # which holds the checksum of the history
        rows = [json.loads(line) for line in (victim / "history.jsonl").read_text(encoding="utf-8").splitlines()]
        rows[-1] |= change
        (victim / "history.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        found = attacked(words, victim)
        told = f"history {change!r}, {reader}"
        problems += [f"{told}: {one}" for one in complaints(found, world, statuses=(0, 1, 2)) + others_complaints(world, victim)]
    judged(problems, len(cases), 80)
