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

from groklab.cluster import Board
from groklab.results.store import RunFolder

FLAGS = ["--modulus", "7", "--width", "16", "--layers", "1", "--stop", "never", "--operation", "addition", "--json"]
has_ray = importlib.util.find_spec("ray") is not None
needs_ray = pytest.mark.skipif(not has_ray, reason="ray is not installed")


def sweep(runs, *flags, **options):
    words = [sys.executable, "-m", "groklab", "sweep", *FLAGS, "--runs", str(runs), *flags]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def finished(process, status=0):
    out, err = process.communicate(timeout=60)
    assert process.returncode == status, err
    return json.loads(out) if out else err


def histories(folder):
    return {
        path.name: [{name: value for name, value in row.items() if name != "wall_time"} for row in RunFolder(path).rows()]
        for path in sorted(Path(folder).iterdir())
    }


def workers_of_ray():
    """Processes that train at this moment: a task's process bears its name."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if path.read_bytes().startswith(b"ray::groklab"):
                found.append(int(path.parent.name))
        except OSError:
            continue
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
    subprocess.run(started, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=120)
    yield f"127.0.0.1:{port}"
    subprocess.run([ray, "stop", "--force"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60)


@pytest.mark.slow
@needs_ray
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds processes in /proc")
def test_a_cluster_whose_worker_is_killed_gives_the_same_histories(tmp_path, cluster):
    flags = ["--steps", "12000", "--seed", "0", "1", "2", "3"]
    process = sweep(tmp_path / "runs", *flags, "--ray", cluster)
    end = time.monotonic() + 120
    while not (workers_of_ray() and list(tmp_path.glob("runs/*/history.jsonl"))):
        assert time.monotonic() < end, "no task began in time"
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    time.sleep(0.5)
    os.kill(workers_of_ray()[0], signal.SIGKILL)
    found = finished(process)
    assert [run["status"] for run in found["runs"]] == ["complete"] * 4
    segments = [len(json.loads(path.read_text())["segments"]) for path in tmp_path.glob("runs/*/run.json")]
    assert sorted(segments) == [1, 1, 1, 2]  # one was killed in the middle, and begun again
    finished(sweep(tmp_path / "undisturbed", *flags, "--workers", "1"))
    assert histories(tmp_path / "runs") == histories(tmp_path / "undisturbed")
    again = finished(sweep(tmp_path / "runs", *flags, "--ray", cluster))
    assert (again["trained"], again["stored"]) == (0, 4)


@pytest.mark.slow
@needs_ray
def test_ctrl_c_on_a_cluster_leaves_everything_resumable(tmp_path, cluster):
    flags = ["--steps", "20000", "--seed", "0", "1", "2"]
    process = sweep(tmp_path / "runs", *flags, "--ray", cluster, start_new_session=True)
    end = time.monotonic() + 120
    while not list(tmp_path.glob("runs/*/history.jsonl")):
        assert time.monotonic() < end, "no task began in time"
        time.sleep(0.05)
    time.sleep(1.0)
    process.send_signal(signal.SIGINT)
    found = finished(process, status=130)
    assert found["waiting"] >= 1
    assert not list(tmp_path.glob("runs/*/lock"))
    assert finished(sweep(tmp_path / "runs", *flags, "--ray", cluster))["waiting"] == 0
