"""`gl.sweep`: many runs from Python, and from scripts that start several processes."""

import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

import groklab as gl
from groklab import registry
from groklab.analysis.statistics import summarize
from groklab.workers.interpreters import check_script, without_script

TINY = {"modulus": 7, "width": 16, "heads": 2, "layers": 1, "stop": "never"}


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr("groklab.results.files.os.fsync", lambda descriptor: None)


def test_what_is_missing_is_trained_and_all_runs_are_there(tmp_path):
    told = []
    fields = {"operation": ["addition", "subtraction"], "train_fraction": [0.5, 0.6], **TINY, "steps": 20}
    first = gl.sweep(**fields, seed=range(2), runs=tmp_path, workers=1, on_progress=lambda tally: told.append(tally.count("complete")))
    assert first.counts == {"runs": 8, "stored": 0, "trained": 8, "diverged": 0, "failed": 0}
    assert told[-1] == len(first) == 8
    again = gl.sweep(**fields, seed=range(3), runs=tmp_path, workers=1)
    assert again.counts == {"runs": 12, "stored": 8, "trained": 4, "diverged": 0, "failed": 0}
    assert repr(again).endswith("4 trained, 8 stored before; over operation (2), train_fraction (2), seed (3)>")
    assert [run.run.seeds.seed for run in again.runs] == [0, 1, 2] * 4
    assert all(isinstance(run, gl.StoredRun) and run.steps == 20 and run.status == "complete" for run in again.runs)
    assert again.table["id"].to_list() == [run.id for run in again.runs]
    assert again.runs[0].folder.steps_of("checkpoints") == [0, 20]
    assert not (again.runs[0].folder.path / "state.safetensors").exists()


def test_the_summary_is_of_the_fields_that_vary(tmp_path):
    made = gl.sweep(operation=["addition", "subtraction"], **TINY, steps=5, seed=range(2), runs=tmp_path, workers=1)
    found = made.summary(level=0.8)
    assert found.columns[:2] == ["operation", "runs"]
    assert found["runs"].to_list() == [2, 2]
    assert found.equals(summarize(made.table, ["operation"], level=0.8))
    assert made.summary(by=["operation", "seed"]).height == 4
    assert made.summary(by=[]).height == 1
    assert made.varying == ["operation"]


def test_results_are_up_to_the_budget_that_was_asked_for(tmp_path):
    longer = gl.sweep(gl.Run.of(**TINY), operation="addition", seed=range(2), steps=40, keep_state=True, runs=tmp_path, workers=1)
    assert longer.runs[0].folder.steps_of("checkpoints")[1:-1], "a run to start from has checkpoints of its own"
    shorter = gl.sweep(operation="addition", **TINY, seed=range(2), steps=10, runs=tmp_path, workers=1)
    assert shorter.counts["trained"] == 0
    assert shorter.table["steps"].to_list() == shorter.table["evaluated_at"].to_list() == [10, 10]


def test_values_side_by_side(tmp_path):
    made = gl.sweep(
        operation="addition", weight_decay=[0.5, 1.0], seed=[3, 4], zip=("weight_decay", "seed"), **TINY, steps=3, runs=tmp_path, workers=1
    )
    assert made.table.select("weight_decay", "seed").rows() == [(0.5, 3), (1.0, 4)]


def test_mistakes_are_told_before_anything_is_trained(tmp_path):
    with pytest.raises(ValueError, match="operaton: got"):
        gl.sweep(operaton=["addition"], runs=tmp_path)
    with pytest.raises(ValueError, match="workers: got 0"):
        gl.sweep(operation="addition", **TINY, workers=0, runs=tmp_path)
    assert not list(tmp_path.iterdir())


def test_runs_that_fail_or_diverge_do_not_end_the_others(tmp_path, monkeypatch):
    asked = gl.Run.of(operation="addition", **TINY, steps=5, seed=1, checkpoints_per_decade=0)
    (tmp_path / asked.id).mkdir()
    (tmp_path / asked.id / "run.json").write_text("{", encoding="utf-8")
    with pytest.warns(UserWarning, match=f"1 of 3 runs failed; {asked.id}: .* is damaged"):
        made = gl.sweep(operation="addition", **TINY, steps=5, seed=range(3), runs=tmp_path, workers=1)
    assert list(made.failed) == [asked.id]
    assert [run.run.seeds.seed for run in made.runs] == [0, 2]
    assert "1 failed" in repr(made)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        wild = gl.sweep(operation="addition", **TINY, norm="none", learning_rate=[1e30, 1e-3], warmup=0, steps=30, runs=tmp_path, workers=1)
    assert wild.counts["diverged"] == 1
    assert wild.table["status"].to_list() == ["diverged", "complete"]


# — from scripts —

PLAIN = f"""
import groklab as gl

print("begins", __name__)
made = gl.sweep(operation=["addition", "subtraction"], seed=range(2), steps=30, workers=2, **{TINY!r})
print(made.counts, made.summary().height)
"""

OWN = f"""
import groklab as gl

@gl.operation(symbol="2x + y (mod n)")
def my_sum(x, y, n):
    \"\"\"A sum of one's own.\"\"\"
    return (2 * x + y) % n

made = gl.sweep(operation="my_sum", seed=range(2), steps=30, workers=2, **{TINY!r})
print(made.counts)
"""

GUARDED = OWN.replace("made =", 'if __name__ == "__main__":\n    made =').replace("print(", "    print(")


def run_script(folder, text):
    (folder / "script.py").write_text(text, encoding="utf-8")
    path = os.pathsep.join(filter(None, [str(Path(gl.__file__).parent.parent), os.environ.get("PYTHONPATH")]))
    return subprocess.run(
        [sys.executable, "script.py"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": path},
        encoding="utf-8",
    )


@pytest.mark.medium
def test_a_script_without_a_guard_trains_in_several_processes(tmp_path):
    done = run_script(tmp_path, PLAIN)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["begins __main__", "{'runs': 4, 'stored': 0, 'trained': 4, 'diverged': 0, 'failed': 0} 2"]
    assert done.stderr == ""


@pytest.mark.medium
def test_a_script_with_an_operation_of_its_own_needs_a_guard(tmp_path):
    done = run_script(tmp_path, OWN)
    assert done.returncode == 1
    assert "ValueError: workers: got several processes and operation 'my_sum' of a script; expected `if __name__" in done.stderr
    assert not list(tmp_path.glob("runs/*"))
    done = run_script(tmp_path, GUARDED)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "{'runs': 2, 'stored': 0, 'trained': 2, 'diverged': 0, 'failed': 0}\n"


def test_the_script_is_imported_only_for_what_it_has_registered(own_registry):
    main = sys.modules["__main__"]
    with without_script():
        assert sys.modules["__main__"] is not main
    assert sys.modules["__main__"] is main

    @registry.preset()
    def my_recipe():
        """A recipe of one's own."""
        return gl.Run()

    assert [entry.name for entry in registry.from_scripts()] == ["my_recipe"]
    with without_script():
        assert sys.modules["__main__"] is main
    check_script()  # of what runs the tests, which is a module and has a guard


def test_an_operation_from_a_plugin(tmp_path, own_registry):
    plugin = tmp_path / "my_lab.py"
    plugin.write_text(
        'from groklab import operation\n\n@operation(symbol="3x + y")\ndef my_other_sum(x, y, n):\n    """Mine."""\n    return (3 * x + y) % n\n',
        encoding="utf-8",
    )
    made = gl.sweep(operation="my_other_sum", **TINY, steps=5, seed=range(2), plugins=[plugin], runs=tmp_path / "runs", workers=1)
    assert made.counts["trained"] == 2
    assert registry.from_scripts() == []
