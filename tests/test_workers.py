"""Many runs in many processes: none twice, none lost, whatever dies."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from groklab.config.options import Options
from groklab.config.run import Run
from groklab.config.sweep import sweep_of
from groklab.results.store import RunFolder
from groklab.workers import pool as workers
from groklab.workers.processes import DEATHS
from groklab.workers.tally import Tally

needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds processes in /proc")

TINY = {"operation": "addition", "modulus": 7, "width": 16, "layers": 1, "stop": "never", "checkpoints_per_decade": 0}
FLAGS = ["--modulus", "7", "--width", "16", "--layers", "1", "--stop", "never", "--operation", "addition"]


def histories(folder):
    """Every run's history without its wall times, by id."""
    found = {}
    for path in sorted(Path(folder).iterdir()):
        rows = RunFolder(path).rows()
        found[path.name] = [{name: value for name, value in row.items() if name != "wall_time"} for row in rows]
    return found


def undisturbed(tmp_path, *flags):
    """Histories of the same runs, trained one after another in one process that nothing happens to."""
    words = [sys.executable, "-m", "groklab", "sweep", *FLAGS, "--runs", str(tmp_path / "undisturbed"), "--workers", "1", "--json", *flags]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    return histories(tmp_path / "undisturbed")


THREE = ["--steps", "4000", "--seed", "0", "1", "2"]


@pytest.fixture(scope="module")
def three_undisturbed(tmp_path_factory):
    """What three runs come to if nothing happens to them."""
    return undisturbed(tmp_path_factory.mktemp("three"), *THREE)


def children(process):
    """The processes that a process has started to train."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[1])
            words = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if parent == process and b"spawn_main" in words:
            found.append(int(folder.name))
    return found


def start(folder, *flags):
    words = [sys.executable, "-m", "groklab", "sweep", *FLAGS, "--runs", str(folder), "--workers", "2", "--json", *flags]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True, encoding="utf-8")


def finished(process, status=0):
    out, err = process.communicate(timeout=300)
    assert process.returncode == status, err
    return json.loads(out)


def until(condition, seconds=300):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def test_in_this_process(tmp_path):
    runs = sweep_of(**TINY, steps=20, seed=range(3)).runs()
    told = []
    tally = workers.train_all(runs, Options(tmp_path, workers=1), on_progress=lambda t: told.append(t.count("complete")))
    assert tally.count("complete") == 3
    assert not any(job.was_stored for job in tally.jobs)
    assert told[0] == 0
    assert told[-1] == 3
    again = workers.train_all(runs, Options(tmp_path, workers=1))
    assert all(job.was_stored for job in again.jobs)


def test_a_run_that_diverges_does_not_stop_the_others(tmp_path):
    runs = sweep_of(**TINY, optimizer="sgd", norm="none", steps=60, learning_rate=[1e9, 0.01]).runs()
    tally = workers.train_all(runs, Options(tmp_path, workers=1))
    assert [job.status for job in tally.jobs] == ["diverged", "complete"]
    assert "loss is not finite" in tally.jobs[0].message
    again = workers.train_all(runs, Options(tmp_path, workers=1))
    assert [job.status for job in again.jobs] == ["diverged", "complete"]
    assert "loss is not finite" in again.jobs[0].message


def test_a_mistake_in_one_run_is_found_before_any_is_trained(tmp_path):
    runs = [Run.of(**TINY, steps=5), Run.of(**TINY, steps=5, decay_parameters=("nothing*",))]
    with pytest.raises(ValueError, match=r"(?s)run 2 of 2, addition-7.*decay_parameters"):
        workers.train_all(runs, Options(tmp_path))
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match="workers: got 0"):
        workers.train_all(runs[:1], Options(tmp_path, workers=0))


def test_time_left_is_at_most_what_the_budgets_take(monkeypatch):
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    jobs = [workers.Job(Run.of(steps=1000), step=400, status="running"), workers.Job(Run.of(steps=1000))]
    tally = Tally(jobs, began=now - 10, steps_made=200)
    assert tally.speed == pytest.approx(20, rel=0.01)
    assert tally.seconds_left == pytest.approx(80, rel=0.01)


@pytest.mark.medium
def test_a_grid_from_the_command_line_and_again(tmp_path):
    flags = ["sweep", "--operation", "addition", "subtraction", "--modulus", "23", "--train-fraction", "0.5", "0.7"]
    flags += ["--seed", "0", "1", "--steps", "30", "--width", "32", "--workers", "2", "--runs", str(tmp_path), "--json"]
    told = []
    for _ in range(2):
        done = subprocess.run([sys.executable, "-m", "groklab", *flags], capture_output=True, text=True, timeout=300, encoding="utf-8")
        assert done.returncode == 0, done.stderr
        told.append(json.loads(done.stdout))
    first, second = told
    assert (first["count"], first["trained"], first["stored"]) == (8, 8, 0)
    assert (second["count"], second["trained"], second["stored"]) == (8, 0, 8)
    assert [run["id"] for run in first["runs"]] == [run["id"] for run in second["runs"]]
    assert len({run["id"] for run in first["runs"]}) == 8
    assert all(run["status"] == "complete" and run["steps"] == 30 for run in first["runs"])
    assert [(row["operation"], row["train_fraction"], row["runs"]) for row in first["settings"]] == [
        (operation, fraction, 2) for operation in ("addition", "subtraction") for fraction in (0.5, 0.7)
    ]
    assert all(row["generalized_at_censored"] == 2 and row["generalized_at_median"] is None for row in first["settings"])
    assert first["settings"] == second["settings"]


@needs_proc
@pytest.mark.medium
def test_an_error_of_who_is_told_leaves_no_process_behind(tmp_path):
    told = []

    def tell(tally):
        told.append(children(os.getpid()))
        if len(told) == 3:
            raise ArithmeticError

    with pytest.raises(ArithmeticError):
        workers.train_all(sweep_of(**TINY, seed=[0, 1], steps=100_000).runs(), Options(tmp_path, workers=2), on_progress=tell)
    assert len(told[-1]) == 2
    assert children(os.getpid()) == []


@pytest.mark.medium
def test_a_dry_run_trains_nothing(tmp_path):
    flags = [*FLAGS, "--seed", "0", "1", "2", "--steps", "1000", "--runs", str(tmp_path), "--dry-run", "--workers", "2"]
    done = subprocess.run(
        [sys.executable, "-m", "groklab", "sweep", *flags, "--json"], capture_output=True, text=True, timeout=300, encoding="utf-8"
    )
    found = json.loads(done.stdout)
    assert (found["runs"], found["stored"], found["missing"], found["workers"]) == (3, 0, 3, 2)
    assert found["seconds_at_most"] > 0
    assert not list(tmp_path.iterdir())
    workers.train_all(sweep_of(**TINY, steps=1000).runs(), Options(tmp_path, workers=1))
    promised = found["disk_bytes"] / 3
    taken = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    assert taken == pytest.approx(promised, rel=0.25)
    done = subprocess.run([sys.executable, "-m", "groklab", "sweep", *flags], capture_output=True, text=True, timeout=300, encoding="utf-8")
    assert "3 runs, 1 of them stored, 2 to train" in done.stdout


@pytest.mark.medium
@needs_proc
def test_a_killed_process_has_its_run_continued(tmp_path, three_undisturbed):
    process = start(tmp_path / "runs", *THREE)
    until(lambda: list(tmp_path.glob("runs/*/history.jsonl")))
    time.sleep(0.3)
    os.kill(children(process.pid)[0], signal.SIGKILL)
    found = finished(process)
    assert found["trained"] == 3
    assert histories(tmp_path / "runs") == three_undisturbed


@pytest.mark.medium
def test_a_run_that_kills_its_processes_fails_and_the_others_go_on(tmp_path):
    plugin = tmp_path / "deadly.py"
    plugin.write_text(
        "import os\nfrom groklab import measure\n\n@measure()\ndef deadly(parameters, task):\n"
        '    """End the process at the last step of seed 1 (my own)."""\n'
        "    if task.run.seeds.seed == 1 and task.step:\n        os._exit(9)\n    return 0.0\n",
        encoding="utf-8",
    )
    flags = ["--steps", "50", "--seed", "0", "1", "2", "--plugin", str(plugin), "--measures", "deadly"]
    found = finished(start(tmp_path / "runs", *flags), status=1)
    assert [run["status"] for run in found["runs"]] == ["complete", "failed", "complete"]
    assert f"{DEATHS} processes died" in found["runs"][1]["message"]


@pytest.mark.medium
def test_ctrl_c_leaves_everything_resumable(tmp_path, three_undisturbed):
    process = start(tmp_path / "runs", *THREE)
    until(lambda: list(tmp_path.glob("runs/*/history.jsonl")))
    time.sleep(0.3)
    os.killpg(process.pid, signal.SIGINT)
    found = finished(process, status=130)
    assert found["trained"] + found["waiting"] == 3
    assert not list(tmp_path.glob("runs/*/lock"))
    assert all(
        json.loads(path.read_text(encoding="utf-8"))["status"] in ("interrupted", "complete") for path in tmp_path.glob("runs/*/run.json")
    )
    assert finished(start(tmp_path / "runs", *THREE))["waiting"] == 0
    assert histories(tmp_path / "runs") == three_undisturbed


@pytest.mark.medium
@needs_proc
def test_when_the_parent_is_killed_its_processes_end(tmp_path):
    process = start(tmp_path / "runs", "--steps", "1000000", "--seed", "0", "1")
    until(lambda: len(list(tmp_path.glob("runs/*/history.jsonl"))) == 2)
    orphans = children(process.pid)
    assert len(orphans) == 2
    process.kill()
    process.communicate()
    until(lambda: not any(Path(f"/proc/{orphan}").exists() for orphan in orphans))
    assert not list(tmp_path.glob("runs/*/lock"))


@pytest.mark.medium
def test_two_sweeps_share_the_work(tmp_path):
    flags = ["--steps", "4000", "--seed", "0", "1", "2", "3"]
    both = [start(tmp_path / "runs", *flags) for _ in range(2)]
    found = [finished(process) for process in both]
    assert all(run["status"] == "complete" for one in found for run in one["runs"])
    segments = [len(json.loads(path.read_text(encoding="utf-8"))["segments"]) for path in tmp_path.glob("runs/*/run.json")]
    assert segments == [1, 1, 1, 1]  # each trained once, by one of them


@pytest.mark.slow
@needs_proc
def test_the_whole_sweep_killed_five_times(tmp_path):
    import random

    flags = ["--steps", "20000", "--seed", "0", "1", "2", "3"]
    for kill in range(5):
        process = start(tmp_path / "runs", *flags)
        time.sleep(random.Random(kill).uniform(2.0, 6.0))
        with_children = children(process.pid)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        assert process.returncode != 0 or not with_children
    assert finished(start(tmp_path / "runs", *flags))["waiting"] == 0
    assert histories(tmp_path / "runs") == undisturbed(tmp_path, *flags)


def test_every_run_is_checked_whatever_it_has_in_common_with_the_first(tmp_path):
    runs = sweep_of(**TINY, steps=5).runs()
    with pytest.raises(ValueError, match=r"(?s)run 2 of 2.*steps: got 0; expected"):
        workers.train_all([runs[0], runs[0].replace(steps=0)], Options(tmp_path, workers=1))
    with pytest.raises(ValueError, match=r"(?s)run 2 of 2.*seed: got -1; expected"):
        workers.train_all([runs[0], runs[0].replace(seed=-1)], Options(tmp_path, workers=1))
    with pytest.raises(ValueError, match=r"(?s)run 2 of 2.*optimizer: got 3; expected text"):
        workers.train_all([runs[0], runs[0].replace(optimizer=3)], Options(tmp_path, workers=1))
    assert not list(tmp_path.iterdir())


def test_one_plugin_may_be_named_without_a_list(tmp_path):
    (tmp_path / "empty_lab.py").write_text("", encoding="utf-8")
    assert workers.train_all([], Options(tmp_path, plugins=str(tmp_path / "empty_lab.py"))).jobs == []
