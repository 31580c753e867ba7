"""Where runs are trained: in this process, or in local processes of one thread each, one per core."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from groklab.config.checks import RunError
from groklab.config.run import Run
from groklab.crew import Crew
from groklab.laboratory import Interrupted, Progress, check, stored_as_asked, train
from groklab.results.files import StoreError
from groklab.results.lock import InProgressError
from groklab.tally import BUSY_PAUSE, REPORTS, Job, Reporter, Tally, advance, finish, told_of


def _say_nothing(tally: Tally) -> None:
    """Tell nobody."""


def train_all(
    runs: Iterable[Run],
    *,
    folder: str | Path = "runs",
    workers: int | None = None,
    ray: str | None = None,
    keep_state: bool = False,
    plugins: Sequence[str | Path] = (),
    on_progress: Callable[[Tally], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Tally:
    """Train what is missing of many runs; all are checked before the first begins.

    ``workers`` is the number of processes, by default one per core; 1 trains in this process. ``ray`` is the address of a Ray
    cluster that trains instead, or ``auto`` for the one that is running. ``plugins`` are files that the
    processes import first. ``should_stop`` is asked several times a second; a true answer has every process save its state, and
    raises KeyboardInterrupt. Runs that diverge or fail are in the tally, and the others go on.
    """
    asked = list(runs)
    _check_all(asked)
    tally = Tally([_job(run, Path(folder)) for run in asked])
    tell, stop = on_progress or _say_nothing, should_stop or (lambda: False)
    missing = tally.count("waiting")
    if workers is not None and workers < 1:
        raise ValueError(f"workers: got {workers}; expected a number of processes from 1 on.")
    if workers is not None and ray is not None:
        raise ValueError("workers and ray: got both; expected one of them. A cluster decides for itself how many processes it has.")
    count = min(missing, workers or os.cpu_count() or 1)
    tell(tally)
    if ray is not None and missing:
        from groklab.cluster import Cluster

        Cluster(tally, Path(folder), keep_state, plugins, tell, stop).work(ray)
    elif count == 1:
        _train_here(tally, Path(folder), keep_state, tell, stop)
    elif count > 1:
        Crew(tally, Path(folder), keep_state, plugins, tell, stop).work(count)
    tell(tally)
    return tally


def _check_all(runs: Sequence[Run]) -> None:
    """Every mistake of every run, each with the first run that has it; what runs have in common is looked at once."""
    seen: set[Any] = set()
    for number, run in enumerate(runs, 1):
        values = run.resolved()
        key = tuple(str(value) for name, value in values.items() if name not in ("seed", "steps"))
        if key in seen:
            continue
        seen.add(key)
        try:
            check(run)
        except RunError as error:
            if len(runs) == 1:
                raise
            raise ValueError(f"run {number} of {len(runs)}, {run.id}: {error}") from error


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


def _train_here(tally: Tally, folder: Path, keep_state: bool, tell: Callable[[Tally], None], stop: Callable[[], bool]) -> None:
    """One run after another in this process."""
    queue = deque(job for job in tally.jobs if job.status == "waiting")
    while queue:
        job = queue.popleft()
        while time.monotonic() < job.not_before:
            if stop():
                raise KeyboardInterrupt
            time.sleep(min(REPORTS, 0.05))
        reporter = Reporter(lambda step, row, job=job: advance(tally, job, step, row))
        job.status = "running"

        def told(progress: Progress, reporter: Reporter = reporter) -> None:
            if reporter.take(progress):
                tell(tally)

        try:
            finish(job, train(job.run, runs=folder, wait=False, keep_state=keep_state, on_progress=told, should_stop=stop))
        except InProgressError:
            job.status, job.not_before = "waiting", time.monotonic() + BUSY_PAUSE
            queue.append(job)
        except Interrupted as interruption:
            job.status, job.step = "waiting", interruption.step
            raise KeyboardInterrupt from None
        except Exception as error:  # of one run; the others go on
            job.status, job.message = "failed", told_of(error)
        tell(tally)
