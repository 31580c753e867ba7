"""Where runs are trained: in this process, in local processes (one thread each, one per core or per GPU), or on a cluster."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from groklab import registry
from groklab.config.checks import RunError
from groklab.config.options import Options
from groklab.config.run import Run
from groklab.laboratory.checks import check
from groklab.laboratory.runs import say_nothing, stored_as_asked
from groklab.laboratory.trackers import names_of
from groklab.laboratory.tracking import Tracking, tracking
from groklab.results.files import StoreError
from groklab.results.store import RunFolder
from groklab.stored.run import StoredRun
from groklab.workers.batches import Waiting, places, processes_on
from groklab.workers.processes import Crew
from groklab.workers.tally import REPORTS, Job, Order, Tally, attempt, finish, hear


def train_all(
    runs: Iterable[Run],
    options: Options = Options(),  # noqa: B008 (a frozen value)
    *,
    on_progress: Callable[[Tally], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Tally:
    """Train what is missing of many runs; all are checked before the first begins.

    ``should_stop`` is asked several times a second; a true answer has every process save its state, and raises KeyboardInterrupt. Runs that
    diverge or fail are in the tally, and the others go on.
    """
    asked = list(runs)
    registry.load_plugins(options.plugins)
    check_all(asked, options)
    tally = Tally([_job(run, options.folder) for run in asked])
    tell, stop = on_progress or say_nothing, should_stop or (lambda: False)
    names = names_of(options.track)
    order = Order(tally, replace(options, plugins=(), track=names), registry.plugins(), tell, stop)
    with tracking(names, options.folder, tally.note) as trackers:
        trackers.stored([StoredRun(RunFolder(options.folder / job.run.id), job.run) for job in tally.jobs if job.was_stored])
        _train(order, trackers)
    return tally


def _train(order: Order, trackers: Tracking) -> None:
    """What is missing, on the cluster, in this process or in others."""
    tally, tell, options = order.tally, order.tell, order.options
    tell(tally)
    if options.ray is not None and tally.count("waiting"):
        from groklab.workers.cluster import Cluster

        Cluster(order).work(options.ray)
    elif tally.count("waiting"):
        waiting = waiting_runs(tally.jobs, options)
        found = places(waiting.batches_on(), workers=options.workers)
        if options.workers == 1 or len(found) == 1:
            _train_here(order, waiting, trackers)
        else:
            Crew(order, waiting).work(found)
    tell(tally)


def waiting_runs(jobs: Sequence[Job], options: Options) -> Waiting:
    """The runs that are missing, as the processes of this machine take them."""
    from groklab.training.engine import device_of

    missing = [job for job in jobs if job.status == "waiting"]
    return Waiting(missing, options.runs_per_batch, device_of=device_of, processes_on=partial(processes_on, workers=options.workers))


def check_all(runs: Sequence[Run], options: Options) -> None:
    """Whether ``train_all`` would take these runs and options; ValueError otherwise, with the first run of which something is wrong."""
    options.check()
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
            hear(tally, jobs[position], order.options.folder, what, *content)
            if what != "at" or time.monotonic() - told >= REPORTS:
                told = time.monotonic()
                order.tell(tally)

        attempt([job.run for job in jobs], order.options, say, order.stop, trackers)
        waiting.put(job for job in jobs if job.status == "waiting")
