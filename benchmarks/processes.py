"""What whole processes cost: training on all cores at once, start-up, memory, and a stored run from end to end."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

from benchmarks.timing import ratio, spread
from groklab.config.run import Run
from groklab.training.batches import Batch
from groklab.training.engine import prepare_process

ROOT = Path(__file__).parents[1]
PATIENCE = 300.0
"""Seconds after which processes that wait for each other give up."""

Figures = dict[str, Any]


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# — throughput —


def throughput(run: Run, *, processes: int, turns: int, seconds: float) -> Figures:
    """Steps per second of one training process alone and of one on every core at the same time, in turns.

    ``busy`` is the processor's time that a process had in a second when all were at work: below 1 something else was at work too.
    """
    spawning = multiprocessing.get_context("spawn")
    barrier, told = spawning.Barrier(processes), spawning.Queue()
    workers = [
        spawning.Process(target=_work, args=(run.replace(seed=k), k, processes, turns, seconds, barrier, told), daemon=True)
        for k in range(processes)
    ]
    for worker in workers:
        worker.start()
    try:
        found = [told.get(timeout=PATIENCE) for _ in workers]
    finally:
        for worker in workers:
            worker.join(timeout=5)
            worker.kill()
    one = [next(turn[0] for turn in turns_ if turn) for turns_ in zip(*(f["alone"] for f in found), strict=True)]
    every = [sum(turn[0] for turn in turns_) for turns_ in zip(*(f["together"] for f in found), strict=True)]
    busy = [turn[1] for f in found for turn in f["together"]]
    return {
        "processes": processes,
        "one": spread(one),
        "all": spread(every),
        "times_one": ratio(every, one),
        "busy": spread(busy),
    }


def _work(run: Run, mine: int, processes: int, turns: int, seconds: float, barrier: Barrier, told: Queue[Figures]) -> None:
    """One process: it takes its turns alone when they come, and all turns together; in others' turns it waits."""
    prepare_process()
    batch = Batch([run], device="cpu")
    for _ in range(3):
        batch.update()
    alone: list[tuple[float, float] | None] = []
    together: list[tuple[float, float]] = []
    for turn in range(turns):
        barrier.wait(PATIENCE)
        alone.append(_speed(batch, seconds) if turn % processes == mine else None)
        barrier.wait(PATIENCE)
        together.append(_speed(batch, seconds))
    told.put({"alone": alone, "together": together})


def _speed(batch: Batch, seconds: float) -> tuple[float, float]:
    """Steps per second, and the processor's share of the time."""
    made, began, worked = 0, time.perf_counter(), time.process_time()
    while (passed := time.perf_counter() - began) < seconds:
        batch.update()
        made += 1
    return made / passed, (time.process_time() - worked) / passed


# — fresh processes —


def first_update(words: Sequence[str] = (), *, times: int = 3) -> dict[str, float]:
    """Seconds from the start of a process to the first update of `groklab train`.

    The clock is the machine's own, read here before the process is started and there when ``Batch.update`` has returned for the
    first time; nothing of the command is left out. The kernels are there already.
    """
    return spread([_first_update(words) for _ in range(times)])


def first_update_ever(words: Sequence[str] = ()) -> float:
    """The same where the kernels are not there and are compiled first."""
    with tempfile.TemporaryDirectory() as cache:
        return _first_update(words, {"GROKLAB_CACHE": cache})


def _first_update(words: Sequence[str], surroundings: Mapping[str, str] | None = None) -> float:
    with tempfile.TemporaryDirectory() as folder:
        return _fresh("first_update", repr(time.monotonic()), "--runs", folder, *words, surroundings=surroundings)["seconds"]


def help_text(times: int = 3) -> dict[str, float]:
    """Seconds that `groklab --help` takes, from start to end."""

    def once() -> float:
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", "groklab", "--help"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - began

    return spread([once() for _ in range(times)])


def memory(words: Sequence[str] = (), *, steps: int = 30) -> float:
    """Peak memory, in MB, of a process that trains some steps by `groklab train`, looks, stores and draws, and does nothing else."""
    with tempfile.TemporaryDirectory() as folder:
        return _fresh("memory", "--runs", folder, "--steps", str(steps), *words)["megabytes"]


def stored_run(steps: int, words: Sequence[str] = ()) -> Figures:
    """A run of so many steps, stored in a folder that is removed again: its time inside of updates and in all."""
    with tempfile.TemporaryDirectory() as folder:
        return _fresh("stored_run", "--runs", folder, "--steps", str(steps), "--stop", "never", "--no-figures", *words)


def _fresh(*words: str, surroundings: Mapping[str, str] | None = None) -> Figures:
    """What `benchmarks.fresh` prints."""
    command = [sys.executable, "-m", "benchmarks.fresh", *words]
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=os.environ | (surroundings or {}), capture_output=True, check=True, text=True, encoding="utf-8"
        )
    except subprocess.CalledProcessError as error:
        raise RuntimeError(f"{' '.join(command)} failed:\n{error.stderr}") from error
    return json.loads(done.stdout)
