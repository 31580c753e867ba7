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
from groklab.laboratory import Interrupted, check, say_nothing, stored_as_asked
from groklab.results.files import StoreError
from groklab.tally import REPORTS, Job, Order, Reporter, Tally, advance, attempt, finish, settle


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
    tell, stop = on_progress or say_nothing, should_stop or (lambda: False)
    order = Order(tally, Path(folder), keep_state, [str(Path(plugin).resolve()) for plugin in plugins], tell, stop)
    missing = tally.count("waiting")
    if workers is not None and workers < 1:
        raise ValueError(f"workers: got {workers}; expected a number of processes from 1 on.")
    if workers is not None and ray is not None:
        raise ValueError("workers and ray: got both; expected one of them. A cluster decides for itself how many processes it has.")
    count = min(missing, workers or os.cpu_count() or 1)
    tell(tally)
    if ray is not None and missing:
        from groklab.cluster import Cluster

        Cluster(order).work(ray)
    elif count == 1:
        _train_here(order)
    elif count > 1:
        Crew(order).work(count)
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


def _train_here(order: Order) -> None:
    """One run after another in this process."""
    tally = order.tally
    queue = deque(job for job in tally.jobs if job.status == "waiting")
    while queue:
        job = queue.popleft()
        while time.monotonic() < job.not_before:
            if order.stop():
                raise KeyboardInterrupt
            time.sleep(min(REPORTS, 0.05))

        def report(step: int, row: dict[str, Any] | None, job: Job = job) -> None:
            advance(tally, job, step, row)
            order.tell(tally)

        job.status = "running"
        try:
            what, message = attempt(job.run, order.folder, order.keep_state, Reporter(report).hear, order.stop)
        except Interrupted as interruption:
            job.status, job.step = "waiting", interruption.step
            raise KeyboardInterrupt from None
        settle(tally, job, order.folder, what, message)
        if what == "busy":
            queue.append(job)
        order.tell(tally)
