"""Data flows one way: a stage imports only earlier stages, and the reading half never meets torch."""

import ast
import importlib
import itertools
import re
import subprocess
import sys
from pathlib import Path

import pytest

import groklab

PACKAGE = Path(groklab.__file__).parent

ROOMS = (
    ("text",),
    ("outside",),
    ("version",),
    ("registry",),
    ("config",),
    ("data", "results"),
    ("model", "analysis", "arguments"),
    ("measures", "figures", "claims"),
    ("training", "dashboard"),
    ("stored",),
    ("laboratory",),
    ("workers",),
    ("completion", "replication"),
    ("display",),
    ("api",),
    ("commands",),
    ("cli",),
    ("__init__", "__main__"),
)
"""Every folder of the package and every module at its top, in the order in which they import: from the lines above their own, never from beside."""

WITHOUT_TORCH = ("text", "outside", "registry", "config", "data", "results", "analysis", "figures", "claims", "dashboard")

ISLANDS = ({"model", "measures", "training"}, {"results", "analysis", "figures", "claims", "dashboard"})
"""The side that computes and the side that reads: neither imports from the other, nor what verbs take, though the order would let it."""

FILES = {".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path for path in PACKAGE.rglob("*.py")}
PLACE = {room: number for number, beside in enumerate(ROOMS) for room in beside}


def room_of(name: str) -> str:
    return name.split(".")[0]


def imported(path: Path) -> set[str]:
    """Whatever a file imports, at its top, in a function, or for its types alone."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def files_behind(path: Path) -> set[str]:
    """The files of the package that a file imports, or imports something from."""
    found = set()
    for name in imported(path):
        if name.split(".")[0] == "groklab":
            inside = name.split(".")[1:]
            found |= {
                ".".join(inside[:n]) for n in (2, 1) if ".".join(inside[:n]) in FILES and (n == 2 or ".".join(inside[:2]) not in FILES)
            }
    return found


IMPORTS = {name: files_behind(path) - {name} for name, path in FILES.items()}


def test_every_room_is_in_the_table_and_at_most_five_modules_are_at_the_top():
    assert {room_of(name) for name in FILES} == set(PLACE)
    assert len(list(PACKAGE.glob("*.py"))) <= 5


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_room_imports_only_earlier_rooms(name):
    against = {other for other in IMPORTS[name] if room_of(other) != room_of(name) and PLACE[room_of(other)] >= PLACE[room_of(name)]}
    assert not against
    for island, other_island in (ISLANDS, ISLANDS[::-1]):
        if room_of(name) in island:
            assert not (other_island | {"arguments"}) & {room_of(other) for other in IMPORTS[name]}
    if room_of(name) in WITHOUT_TORCH:
        assert not any(other.split(".")[0] == "torch" for other in imported(FILES[name]))


def test_no_files_import_each_other_in_a_circle():
    reached = {name: set(others) for name, others in IMPORTS.items()}
    for middle in FILES:
        for others in reached.values():
            if middle in others:
                others |= reached[middle]
    circles = {frozenset(other for other in FILES if other in reached[name] and name in reached[other]) for name in FILES} - {frozenset()}
    assert not circles


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_no_file_is_over_400_lines(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400


def test_no_file_has_a_name_that_hides_what_it_is():
    hiding = {"utils", "common", "base", "helpers", "misc"}
    assert not [path for path in PACKAGE.rglob("*.py") if path.stem in hiding]


def test_importing_the_package_imports_nothing_heavy():
    code = "import groklab, sys; assert not {'torch', 'numpy', 'polars', 'matplotlib'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("former", "name"), [("analysis.claims", "sooner"), ("exchanging", "import_network"), ("measuring", "checkpoint_of")]
)
def test_modules_that_users_import_are_found_where_they_were_before(former, name):
    module = importlib.import_module(f"groklab.{former}")
    home = importlib.import_module(module.__name__)
    assert module is home
    assert home.__spec__.name == home.__name__ != f"groklab.{former}"
    assert callable(getattr(home, name))
    sys.modules.pop(f"groklab.{former}")


def test_a_module_that_never_was_is_not_found():
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("groklab.nowhere")


DESIGN = PACKAGE.parent / "docs" / "design.md"
WALKS = re.findall(r"^\*\*([^*]+)\*\*, `groklab (\w+)`:\n\n((?:\d+\. .+\n(?:   .+\n)*)+)", DESIGN.read_text(encoding="utf-8"), re.MULTILINE)


def test_the_design_has_four_walks():
    assert [verb for _, verb, _ in WALKS] == ["train", "sweep", "replicate", "dashboard"]


@pytest.mark.parametrize(("name", "verb", "steps"), WALKS, ids=[verb for _, verb, _ in WALKS])
def test_a_walk_names_what_there_is_follows_imports_and_enters_each_room_once(name, verb, steps):
    places = re.findall(r"^\d+\. `([\w/]+)\.py: ([\w.]+)`", steps, re.MULTILINE)
    assert len(places) == len(re.findall(r"^\d+\. ", steps, re.MULTILINE)) >= 8, "every step names a file and a function"
    modules = [file.replace("/", ".") for file, _ in places]
    for module, thing in zip(modules, (thing for _, thing in places), strict=True):
        body = ast.parse(FILES[module].read_text(encoding="utf-8")).body
        for part in thing.split("."):
            found = [node for node in body if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name == part]
            assert len(found) == 1, f"{module} has no {thing}"
            body = found[0].body
    for place, module in enumerate(modules[1:], 1):
        assert any(module in IMPORTS[earlier] for earlier in modules[:place]), f"nothing before {module} imports it"
    entered = [room for room, _ in itertools.groupby(map(room_of, modules))]
    assert len(entered) == len(set(entered)), f"a room is entered twice: {entered}"


PATCHED = {
    ("test_dashboard.py", "_made_line"),
    ("test_kernel_cache.py", "_known"),
    ("test_laboratory.py", "_stored"),
    ("test_letters.py", "_family_with"),
    ("test_letters.py", "_in_use"),
    ("test_packing.py", "_gpus"),
    ("test_packing.py", "_hired"),
    ("test_terminal.py", "_panel"),
    ("test_together.py", "_stored"),
}
"""Private names of the package that tests replace: they ask for more than behaviour. Nothing is added here."""


def test_tests_replace_no_private_names_but_these():
    found = set()
    for path in Path(__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in ("setattr", "setitem", "patch", "object")
            ):
                names = [
                    part.value.rpartition(".")[2]
                    for part in node.args[:2]
                    if isinstance(part, ast.Constant) and isinstance(part.value, str)
                ]
                found |= {(path.name, name) for name in names if name.startswith("_") and not name.startswith("__")}
    assert found == PATCHED
