"""Results are read where torch is not installed, and where it is nothing that only reads imports it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import groklab
from groklab import cli, registry
from groklab.config.run import Run
from groklab.laboratory.runs import train

ROOT = Path(groklab.__file__).parent.parent

BLOCKED = """
import sys

class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "torch":
            raise ModuleNotFoundError("No module named 'torch'", name=name)

sys.meta_path.insert(0, NoTorch())
"""
"""Importing torch raises, as where it is not installed."""

NEVER = """
assert "torch" not in sys.modules
"""


def in_a_fresh_process(code, folder):
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", BLOCKED + code + NEVER],
        cwd=folder, capture_output=True, text=True, encoding="utf-8", env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with two runs, and a report with its archive."""
    folder = tmp_path_factory.mktemp("reading")
    small = {"operation": "addition", "modulus": 7, "width": 16, "heads": 2, "layers": 1, "stop": "never", "runs": folder / "runs"}
    first = train(**small, steps=40)
    train(**small, steps=40, seed=1)
    first.measure("weight_norm", "effective_ranks")
    made = ["replicate", "width_sweep", "--scale", "smoke", "--workers", "1", "--archive", "--runs", str(folder / "replicated")]
    assert cli.main([*made, "--output", str(folder / "report"), "--json"]) == 0
    return folder, first.id


def test_what_is_registered_is_listed_named_and_checked(tmp_path):
    code = """
import json
from groklab import registry
from groklab.config.presets import preset_named
from groklab.config.run import Run
found = {kind: list(registry.entries(kind)) for kind in registry.HOMES}
presets = {name: (preset_named(name).id, [str(problem) for problem in preset_named(name).problems()]) for name in found["preset"]}
wrong = [str(problem) for problem in Run.of(optimizer="adamw(rho=1)", heads=3, interventions=("weight_nois",)).problems()]
print(json.dumps([found, presets, wrong]))
"""
    found, presets, wrong = json.loads(in_a_fresh_process(code, tmp_path))
    ours = {kind: [entry for entry in registry.entries(kind).values() if entry.source_hash is None] for kind in registry.HOMES}
    assert found == {kind: [entry.name for entry in entries] for kind, entries in ours.items()}
    from groklab.config.presets import preset_named

    assert presets == {name: [preset_named(name).id, []] for name in found["preset"]}
    bad = Run.of(optimizer="adamw(rho=1)", heads=3, interventions=("weight_nois",))
    assert wrong == [str(problem) for problem in bad.problems()]
    assert len(wrong) == 3


@pytest.mark.medium
def test_every_verb_that_reads_does_so_without_torch(place):
    folder, identity = place
    commands = [
        *(["list", kind] for kind in ("runs", *registry.KINDS)),
        *(["list", kind, "--json"] for kind in ("runs", *registry.KINDS)),
        ["list", "runs", "--filter", "seed=1"],
        ["list", "presets", "--diff", "power_default", "quick_transformer"],
        ["show", identity],
        ["show", "latest", "--json"],
        ["show", "--table"],
        ["show", "--table", "--by", "operation"],
        ["show", "--table", "--statistic", "law", "--output", "law.csv"],
        ["show", "--table", "--compare", "seed", "0", "1"],
        ["table", "--operation", "division", "--modulus", "7"],
        ["table", "--group", "symmetric(3)", "--json"],
        ["figure", "learning_curves", identity, "--output", "curves.png"],
        ["figure", "operation_table", identity, "--output", "table.svg"],
        ["figure", "embeddings", identity, "--output", "embeddings.pdf"],
        ["figure", "measures", identity, "--output", "measures.png"],
        ["figure", "film", identity, "--output", "film.gif"],
        ["measure", "weight_norm", identity, "--checkpoint", "40"],
        ["report", "report"],
        ["remove", "addition-7-f0.50-s1", "--yes"],
        ["remove", "--prune", "--yes"],
    ]
    code = f"""
import contextlib, io, json
from groklab.cli import main
found = []
for words in {commands!r}:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main(words)
    found.append([words, status, out.getvalue(), err.getvalue()])
print(json.dumps(found))
"""
    found = json.loads(in_a_fresh_process(code, folder))
    assert [(words, error) for words, status, _, error in found if status != 0] == []
    told = {" ".join(words): text for words, _, text, _ in found}
    assert identity in told["list runs"]
    assert "grokfast_ema" in told["list interventions"]
    assert "adamw" in told["list optimizers"]
    assert "quick_transformer" in told["list presets --diff power_default quick_transformer"]
    assert "weight_norm" in told["list measures"]
    assert "report.html" in told["report report"]
    assert "removed addition-7-f0.50-s1" in told["remove addition-7-f0.50-s1 --yes"]
    assert all((folder / name).stat().st_size > 500 for name in ("curves.png", "table.svg", "embeddings.pdf", "measures.png", "film.gif"))


@pytest.mark.medium
def test_every_page_of_the_dashboard_is_served_without_torch(place):
    pytest.importorskip("dash", reason="the extra dashboard is not installed")
    folder, identity = place
    code = f"""
import json
from pathlib import Path
from groklab.dashboard.access import Guard
from groklab.dashboard.address import Address
from groklab.dashboard.app import make_app, pages
from groklab.dashboard.catalog import Catalog
from groklab.dashboard.computing import Computing
from groklab.dashboard.controls import Results
from groklab.dashboard.theme import LIGHT
results = Results(Catalog(Path("runs")), Computing())
made = make_app(results, Guard.of("127.0.0.1", 1)).server.test_client()
for page in pages():
    address = Address.of("?run={identity}")
    page.layout(results, address)
    page.view(results, address, LIGHT)
    answer = made.get("/api/" + page.name + "?run={identity}")
    print(page.name, answer.status_code, len(answer.data))
    assert answer.status_code == 200, answer.text
"""
    told = in_a_fresh_process(code, folder)
    assert len(told.splitlines()) >= 6
