"""Data flows one way: a stage imports only earlier stages, and the reading half never meets torch."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import groklab

PACKAGE = Path(groklab.__file__).parent

EARLIER = {
    "outside": set(),
    "values": set(),
    "spreadsheets": set(),
    "text": set(),
    "signatures": set(),
    "printable": set(),
    "terminal": {"printable"},
    "calls": set(),
    "entries": set(),
    "sources": set(),
    "windows": set(),
    "registry": {"calls", "entries", "sources", "windows"},
    "config": {"registry"},
    "data": {"registry", "config"},
    "model": {"registry", "config", "data"},
    "measures": {"registry", "config", "data", "model"},
    "training": {"registry", "config", "data", "model", "measures"},
    "results": {"registry", "sources", "config"},
    "analysis": {"registry", "config", "data", "results"},
    "figures": {"registry", "config", "data", "results", "analysis"},
    "dashboard": {"registry", "config", "data", "results", "analysis", "figures"},
}
"""What each stage may import besides itself and EVERYWHERE (docs/design.md); modules at the top of the package may import everything."""

EVERYWHERE = ("outside", "printable", "terminal", "text", "values", "signatures", "spreadsheets")
"""What comes from outside is hostile until it is bounded, and until it is made fit to be shown; and how things are worded for people."""

WITHOUT_TORCH = (*EVERYWHERE, "calls", "entries", "sources", "registry", "config", "data", "results", "analysis", "figures", "dashboard")


def stage_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_stage_imports_only_earlier_stages(path):
    stage = stage_of(path)
    if stage not in EARLIER:
        return
    allowed = EARLIER[stage] | set(EVERYWHERE) | {stage, "__version__"}
    used = {name.split(".")[1] for name in imported(path) if name.startswith("groklab.")}
    assert used <= allowed, f"{stage} may not import {sorted(used - allowed)}"
    if stage in WITHOUT_TORCH:
        assert not any(name.split(".")[0] == "torch" for name in imported(path))


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
    with pytest.warns(DeprecationWarning, match=f"groklab.{former} is groklab"):
        module = importlib.import_module(f"groklab.{former}")
    home = importlib.import_module(module.__name__)
    assert module is home
    assert home.__spec__.name == home.__name__ != f"groklab.{former}"
    assert callable(getattr(home, name))
    sys.modules.pop(f"groklab.{former}")


def test_a_module_that_never_was_is_not_found():
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("groklab.nowhere")
