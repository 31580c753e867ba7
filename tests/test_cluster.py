"""Runs on a real Ray cluster on this machine: none lost when a worker is killed."""

import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from groklab.results.store import RunFolder
from groklab.workers.cluster import Board

FLAGS = ["--modulus", "7", "--width", "16", "--layers", "1", "--stop", "never", "--operation", "addition", "--json"]
has_ray = importlib.util.find_spec("ray") is not None
needs_ray = pytest.mark.skipif(not has_ray, reason="ray is not installed")


def sweep(runs, *flags, **options):
    words = [sys.executable, "-m", "groklab", "sweep", *FLAGS, "--runs", str(runs), *flags]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options, encoding="utf-8")


def finished(process, status=0):
    out, err = process.communicate(timeout=300)
    assert process.returncode == status, err
    return json.loads(out) if out else err


def histories(folder):
    return {
        path.name: [{name: value for name, value in row.items() if name != "wall_time"} for row in RunFolder(path).rows()]
        for path in sorted(Path(folder).iterdir())
    }


def tasks():
    """Processes that train at this moment, by the id of their run, which a task's process bears as its name."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().replace(b"\0", b" ").decode(errors="replace").split()
        except OSError:
            continue
        if words[:1] == ["ray::groklab"]:
            found[words[1]] = int(path.parent.name)
    return found


def until(condition, process, seconds=300):
    """What a condition gives once it is true."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it did not happen in time"
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    return found


def test_the_board_tells_once_and_remembers_the_stop():
    board = Board()
    board.at("a", 3, None)
    board.at("a", 4, {"step": 4})
    assert board.all() == {"a": (4, {"step": 4})}
    assert board.all() == {}
    assert not board.is_over()
    board.stop()
    assert board.is_over()


@pytest.mark.medium
def test_without_a_cluster_the_error_says_what_to_do(tmp_path):
    told = finished(sweep(tmp_path / "runs", "--steps", "5", "--ray", "127.0.0.1:1"), status=2)
    expected = "expected a running Ray cluster" if has_ray else "pip install 'groklab[cluster]'"
    assert expected in told
    assert not (tmp_path / "runs").exists()
    told = finished(sweep(tmp_path / "runs", "--steps", "5", "--ray", "auto", "--workers", "2"), status=2)
    assert "workers and ray: got both" in told


@pytest.fixture(scope="module")
def cluster():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ray = Path(sys.executable).with_name("ray")
    started = [ray, "start", "--head", f"--port={port}", "--num-cpus=2", "--include-dashboard=false", "--disable-usage-stats"]
    # No pipes: the cluster's processes would keep them open.
    subprocess.run(started, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=300)
    yield f"127.0.0.1:{port}"
    subprocess.run([ray, "stop", "--force"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=300)


@pytest.mark.slow
@needs_ray
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds processes in /proc")
def test_a_cluster(tmp_path, cluster):
    """One test, because a machine holds one cluster and the others run beside each other."""
    a_worker_is_killed(tmp_path / "killed", cluster)
    a_batch_is_killed(tmp_path / "batch", cluster)
    ctrl_c(tmp_path / "stopped", cluster)


def a_worker_is_killed(folder, cluster):
    """All runs complete, and each history is that of an undisturbed run."""
    flags = ["--steps", "20000", "--seed", "0", "1", "2", "3"]
    process = sweep(folder / "runs", *flags, "--ray", cluster)

    def in_the_middle():
        """A task that has made evaluations and is far from its end."""
        for run, task in tasks().items():
            history = folder / "runs" / run / "history.jsonl"
            if history.exists() and 5 < len(history.read_bytes().splitlines()) < 80:
                return task
        return None

    os.kill(until(in_the_middle, process), signal.SIGKILL)
    found = finished(process)
    assert [run["status"] for run in found["runs"]] == ["complete"] * 4
    segments = [len(json.loads(path.read_text(encoding="utf-8"))["segments"]) for path in folder.glob("runs/*/run.json")]
    assert sorted(segments) == [1, 1, 1, 2]  # one was killed in the middle, and begun again
    finished(sweep(folder / "undisturbed", *flags, "--workers", "1"))
    assert histories(folder / "runs") == histories(folder / "undisturbed")
    again = finished(sweep(folder / "runs", *flags, "--ray", cluster))
    assert (again["trained"], again["stored"]) == (0, 4)


def a_batch_is_killed(folder, cluster):
    """A task of three runs: all of them go on, and each history is that of an undisturbed run."""
    flags = ["--steps", "6000", "--seed", "0", "1", "2"]
    process = sweep(folder / "runs", *flags, "--ray", cluster, "--runs-per-batch", "3")

    def in_the_middle():
        lines = [len(path.read_bytes().splitlines()) for path in folder.glob("runs/*/history.jsonl")]
        return next(iter(tasks().values()), None) if len(lines) == 3 and min(lines) > 5 else None

    os.kill(until(in_the_middle, process), signal.SIGKILL)
    assert [run["status"] for run in finished(process)["runs"]] == ["complete"] * 3
    segments = [len(json.loads(path.read_text(encoding="utf-8"))["segments"]) for path in folder.glob("runs/*/run.json")]
    assert segments == [2, 2, 2]
    finished(sweep(folder / "undisturbed", *flags, "--workers", "1"))
    assert histories(folder / "runs") == histories(folder / "undisturbed")


def ctrl_c(folder, cluster):
    """It leaves everything resumable."""
    flags = ["--steps", "20000", "--seed", "0", "1", "2"]
    process = sweep(folder / "runs", *flags, "--ray", cluster, start_new_session=True)
    until(lambda: list(folder.glob("runs/*/history.jsonl")), process)
    process.send_signal(signal.SIGINT)
    found = finished(process, status=130)
    assert found["waiting"] >= 1
    assert not list(folder.glob("runs/*/lock"))
    assert finished(sweep(folder / "runs", *flags, "--ray", cluster))["waiting"] == 0
