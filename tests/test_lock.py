"""The lock of a run: one owner, found dead at once on its own machine and after a minute elsewhere."""

import errno
import json
import multiprocessing
import os
import socket
import subprocess
import sys
import threading
import time

import pytest

from groklab.results import lock as lock_module
from groklab.results.files import StoreError
from groklab.results.lock import STALE, InProgressError, Lock, owner_of


def lock_of(folder, *, host=None, process=1, started=None, age=0.0):
    path = folder / "lock"
    content = {"host": host or socket.gethostname(), "process": process, "started": started, "token": "other"}
    path.write_text(json.dumps(content), encoding="utf-8")
    os.utime(path, (time.time() - age,) * 2)
    return path


def dead_process():
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def test_a_folder_without_lock_has_no_owner(tmp_path):
    assert owner_of(tmp_path) is None
    assert owner_of(tmp_path / "nowhere") is None


def test_a_lock_is_owned_between_enter_and_exit(tmp_path):
    with Lock(tmp_path) as lock:
        assert owner_of(tmp_path) == f"process {os.getpid()} on this machine"
        assert lock.is_ours()
        lock.confirm()
        with pytest.raises(InProgressError, match=f"is being trained by process {os.getpid()} on this machine"), Lock(tmp_path):
            pass
        assert lock.is_ours()
    assert owner_of(tmp_path) is None
    assert list(tmp_path.iterdir()) == []


def test_an_error_inside_gives_the_lock_back(tmp_path):
    with pytest.raises(ZeroDivisionError), Lock(tmp_path):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_the_lock_of_a_dead_process_is_taken_over_at_once(tmp_path, monkeypatch):
    lock_of(tmp_path, process=dead_process())
    waited = []
    monkeypatch.setattr(lock_module.time, "sleep", waited.append)
    with Lock(tmp_path) as lock:
        assert lock.is_ours()
    assert sum(waited) < 1


def test_a_process_number_that_is_used_again_is_not_the_owner(tmp_path):
    lock_of(tmp_path, process=os.getpid(), started="1")
    assert owner_of(tmp_path) is None


def test_a_silent_process_of_this_machine_is_alive_as_long_as_it_exists(tmp_path):
    lock_of(tmp_path, process=os.getppid(), age=10 * STALE)
    assert owner_of(tmp_path) == f"process {os.getppid()} on this machine"


def test_an_owner_elsewhere_is_alive_while_its_heart_beats(tmp_path):
    lock_of(tmp_path, host="elsewhere", age=STALE / 2)
    assert owner_of(tmp_path) == "process 1 on elsewhere"
    with pytest.raises(InProgressError, match="process 1 on elsewhere"), Lock(tmp_path):
        pass
    lock_of(tmp_path, host="elsewhere", age=2 * STALE)
    assert owner_of(tmp_path) is None
    with Lock(tmp_path) as lock:
        assert lock.is_ours()


def test_the_clock_of_the_filesystem_decides_on_a_takeover(tmp_path, monkeypatch):
    lock_of(tmp_path, host="elsewhere", age=0)
    now = time.time()
    monkeypatch.setattr(lock_module.time, "time", lambda: now + 10 * STALE)  # a clock that is ahead by minutes
    monkeypatch.setattr(lock_module.time, "sleep", lambda seconds: None)
    with pytest.raises(InProgressError), Lock(tmp_path):
        pass
    assert json.loads((tmp_path / "lock").read_text(encoding="utf-8"))["token"] == "other"


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"host": 1}', "\xff"])
def test_a_lock_that_cannot_be_read_counts_while_it_is_fresh(tmp_path, content):
    path = tmp_path / "lock"
    path.write_bytes(content.encode("latin-1"))
    assert owner_of(tmp_path) == "an unknown process"
    os.utime(path, (time.time() - 2 * STALE,) * 2)
    assert owner_of(tmp_path) is None
    with Lock(tmp_path) as lock:
        assert lock.is_ours()


def test_an_owner_that_slept_finds_out_that_it_was_robbed(tmp_path):
    with Lock(tmp_path) as lock:
        other = lock_of(tmp_path, host="elsewhere")
        with pytest.raises(InProgressError, match="taken over by another process while this one was asleep"):
            lock.confirm()
    assert other.exists(), "and leaves the lock of the other alone"


def test_the_heart_beats(tmp_path, monkeypatch):
    monkeypatch.setattr(lock_module, "HEARTBEAT", 0.01)
    with Lock(tmp_path):
        path = tmp_path / "lock"
        os.utime(path, (0, 0))
        deadline = time.monotonic() + 120
        while path.stat().st_mtime == 0 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert path.stat().st_mtime > 0


def test_a_takeover_gate_left_by_a_dead_process_does_not_last(tmp_path):
    lock_of(tmp_path, process=dead_process())
    gate = tmp_path / "lock.takeover"
    gate.touch()
    os.utime(gate, (time.time() - 2 * STALE,) * 2)
    with Lock(tmp_path) as lock:
        assert lock.is_ours()
    assert not gate.exists()


def _contend(folder, dead, results):
    """Take the lock once, see that nobody else has it, and give it back."""
    try:
        with Lock(folder):
            mark = folder / "inside"
            mark.touch(exist_ok=False)
            time.sleep(0.02)
            mark.unlink()
            results.append("owned")
    except InProgressError:
        results.append("told")


@pytest.mark.parametrize("dead", [False, True])
def test_of_many_at_once_one_owns_it(tmp_path, dead):
    if dead:
        lock_of(tmp_path, process=dead_process())
    results = []
    threads = [threading.Thread(target=_contend, args=(tmp_path, dead, results)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 8, "no two were inside at once"
    assert "owned" in results


def _hold(folder, ready):
    with Lock(folder):
        ready.set()
        time.sleep(60)


@pytest.mark.medium
def test_a_killed_process_frees_its_lock(tmp_path):
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    child = context.Process(target=_hold, args=(tmp_path, ready))
    child.start()
    assert ready.wait(300)
    assert owner_of(tmp_path) == f"process {child.pid} on this machine"
    child.kill()
    child.join()
    assert owner_of(tmp_path) is None
    with Lock(tmp_path) as lock:
        assert lock.is_ours()


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOTSUP, errno.EMLINK])
def test_a_filesystem_without_hard_links_has_locks_all_the_same(tmp_path, monkeypatch, number):
    def link(source, target):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", link)
    with Lock(tmp_path) as lock:
        assert lock.is_ours()
        with pytest.raises(InProgressError, match="is being trained by process"), Lock(tmp_path):
            pass
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(StoreError, match="While writing .*lock"), Lock(tmp_path / "nowhere"):
        pass
