"""Where runs are trained: in this process, in local processes (one thread each, one per core or per GPU), or on a cluster."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from groklab import registry
from groklab.config.checks import RunError
from groklab.config.run import Run
from groklab.laboratory.runs import RunsPerBatch, check, check_runs_per_batch, say_nothing, stored_as_asked
from groklab.laboratory.trackers import names_of
from groklab.laboratory.tracking import Tracking, tracking
from groklab.results.files import StoreError
from groklab.results.store import RunFolder
from groklab.stored.run import StoredRun
from groklab.text.values import shown
from groklab.workers.batches import Waiting, places, processes_on
from groklab.workers.processes import Crew
from groklab.workers.tally import REPORTS, Job, Order, Tally, attempt, finish, hear


def train_all(
    runs: Iterable[Run],
    *,
    folder: str | Path = "runs",
    workers: int | None = None,
    ray: str | None = None,
    runs_per_batch: RunsPerBatch = "auto",
    keep_state: bool = False,
    plugins: str | Path | Sequence[str | Path] = (),
    track: str | Sequence[str] = (),
    on_progress: Callable[[Tally], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Tally:
    """Train what is missing of many runs; all are checked before the first begins.

    ``workers`` is the number of processes (for each device, where runs ask for several), by default one per core of a CPU and one
    per GPU; 1 trains in this process. ``ray`` is the address of a Ray cluster that trains instead, or ``auto`` for the one that is
    running. ``runs_per_batch`` runs of one shape are trained side by side by one process; ``auto`` is one on the CPU and, on a
    GPU, as many as its memory holds. ``plugins`` are files that this process imports first;
    the others import what this one has imported, as it was then. ``track`` names trackers that are told as
    well (laboratory/tracking.py). ``should_stop`` is asked several times a second; a true answer has every process save its state, and
    raises KeyboardInterrupt. Runs that diverge or fail are in the tally, and the others go on.
    """
    asked = list(runs)
    registry.load_plugins(plugins)
    check_all(asked, workers=workers, ray=ray, runs_per_batch=runs_per_batch)
    tally = Tally([_job(run, Path(folder)) for run in asked])
    tell, stop = on_progress or say_nothing, should_stop or (lambda: False)
    names = names_of(track)
    order = Order(tally, Path(folder), keep_state, runs_per_batch, registry.plugins(), tell, stop, names)
    with tracking(names, folder, tally.note) as trackers:
        trackers.stored([StoredRun(RunFolder(Path(folder) / job.run.id), job.run) for job in tally.jobs if job.was_stored])
        _train(order, ray, workers, trackers)
    return tally


def _train(order: Order, ray: str | None, workers: int | None, trackers: Tracking) -> None:
    """What is missing, on the cluster, in this process or in others."""
    tally, tell, runs_per_batch = order.tally, order.tell, order.runs_per_batch
    tell(tally)
    if ray is not None and tally.count("waiting"):
        from groklab.workers.cluster import Cluster

        Cluster(order).work(ray)
    elif tally.count("waiting"):
        waiting = waiting_runs(tally.jobs, runs_per_batch, workers)
        found = places(waiting.batches_on(), workers=workers)
        if workers == 1 or len(found) == 1:
            _train_here(order, waiting, trackers)
        else:
            Crew(order, waiting).work(found)
    tell(tally)


def waiting_runs(jobs: Sequence[Job], runs_per_batch: RunsPerBatch, workers: int | None) -> Waiting:
    """The runs that are missing, as the processes of this machine take them."""
    from groklab.training.engine import device_of

    missing = [job for job in jobs if job.status == "waiting"]
    return Waiting(missing, runs_per_batch, device_of=device_of, processes_on=partial(processes_on, workers=workers))


def check_all(runs: Sequence[Run], *, workers: int | None = None, ray: str | None = None, runs_per_batch: RunsPerBatch = "auto") -> None:
    """Whether ``train_all`` would take these runs and settings; ValueError otherwise, with the first run of which something is wrong."""
    if workers is not None and workers < 1:
        raise ValueError(f"workers: got {workers}; expected a number of processes from 1 on.")
    if workers is not None and ray is not None:
        raise ValueError("workers and ray: got both; expected one of them. A cluster decides for itself how many processes it has.")
    if ray is not None and not re.fullmatch(r"(ray://)?[\w.:\[\]-]{1,300}", ray):
        raise ValueError(f"ray: got {shown(ray)}; expected auto, or the address of a cluster as host:port.")
    check_runs_per_batch(runs_per_batch)
    looked_at: set[Any] = set()
    for number, run in enumerate(runs, 1):
        try:
            check(run, looked_at)
        except RunError as error:
            if len(runs) == 1:
                raise
            raise ValueError(f"run {number} of {len(runs)}{_named(run)}: {error}") from error


def _named(run: Run) -> str:
    """The id of a run, if it is not too wrong to have one."""
    try:
        return f", {run.id}"
    except (ValueError, TypeError, OSError):
        return ""


def _job(run: Run, folder: Path) -> Job:
    """A run to be trained, or found as it was asked for."""
    try:
        found = stored_as_asked(run, runs=folder)
    except StoreError as error:
        return Job(run, status="failed", message=str(error))
    if found is None:
        return Job(run)
    job = Job(run, was_stored=True)
    finish(job, found)
    return job


def _train_here(order: Order, waiting: Waiting, trackers: Tracking) -> None:
    """One batch after another in this process."""
    tally, told = order.tally, 0.0
    while waiting:
        jobs = waiting.take(None, time.monotonic())
        if not jobs:
            if order.stop():
                raise KeyboardInterrupt
            time.sleep(0.05)
            continue

        def say(what: str, position: int, *content: Any, jobs: Sequence[Job] = jobs) -> None:
            nonlocal told
            hear(tally, jobs[position], order.folder, what, *content)
            if what != "at" or time.monotonic() - told >= REPORTS:
                told = time.monotonic()
                order.tell(tally)

        attempt([job.run for job in jobs], order.folder, order.keep_state, order.runs_per_batch, say, order.stop, trackers)
        waiting.put(job for job in jobs if job.status == "waiting")
