"""Local processes that train runs side by side, one thread each.

Every process takes one run after another and trains it through the laboratory, into the same results folder; locks see to it that
no run is trained twice, by these processes or by others. A process that dies has its run continued by another from the last
state; one whose parent has died saves what it has and ends.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from groklab.config.run import Run
from groklab.spawning import check_script, without_script
from groklab.tally import REPORTS, Job, Order, Reporter, advance, attempt, settle

DEATHS = 3
"""Processes that may die while they train the same run before it counts as failed."""


@dataclass
class _Worker:
    process: Any
    connection: Connection
    job: Job | None = None


class Crew:
    """Local processes, and who of them trains what."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.waiting = deque(job for job in order.tally.jobs if job.status == "waiting")
        self.workers: list[_Worker] = []
        # A fresh interpreter: one that is forked from a process in which torch has run may hang.
        self.context = multiprocessing.get_context("spawn")

    def work(self, count: int) -> None:
        """Train until no run is left."""
        check_script()
        try:
            self.workers = [self._hired() for _ in range(count)]
            while self.waiting or any(worker.job for worker in self.workers):
                if self.order.stop():
                    raise KeyboardInterrupt
                self._hand_out()
                by_end: dict[Any, _Worker] = {}
                for worker in self.workers:
                    by_end[worker.connection] = by_end[worker.process.sentinel] = worker
                for worker in {id(by_end[end]): by_end[end] for end in wait(list(by_end), timeout=REPORTS)}.values():
                    self._listen(worker)
                self.order.tell(self.order.tally)
        except KeyboardInterrupt:
            self._dismiss(patience=60.0)
            raise
        self._dismiss(patience=10.0)

    def _hired(self) -> _Worker:
        ours, theirs = self.context.Pipe()
        process = self.context.Process(
            target=_serve, args=(theirs, self.order.folder, self.order.keep_state, self.order.plugins), daemon=False
        )
        with without_script():
            process.start()
        theirs.close()  # so that the end of the process is the end of the pipe
        return _Worker(process, ours)

    def _hand_out(self) -> None:
        now = time.monotonic()
        for worker in self.workers:
            ready = next((job for job in self.waiting if job.not_before <= now), None)
            if worker.job is None and ready is not None:
                self.waiting.remove(ready)
                ready.status, worker.job = "running", ready
                with contextlib.suppress(OSError):  # a dead worker is noticed when it is listened to
                    worker.connection.send(ready.run.to_dict())

    def _listen(self, worker: _Worker) -> None:
        """Everything that a worker has to say; its death, once it has said all."""
        try:
            while worker.connection.poll():
                self._hear(worker, *worker.connection.recv())
        except (EOFError, OSError):
            self._bury(worker)
            return
        if not worker.process.is_alive() and not worker.connection.poll():
            self._bury(worker)

    def _hear(self, worker: _Worker, what: str, *content: Any) -> None:
        job = worker.job
        if job is None:
            return
        if what == "at":
            advance(self.order.tally, job, *content)
            return
        worker.job = None
        settle(self.order.tally, job, self.order.folder, what, *content)
        if job.status == "waiting":
            self.waiting.append(job)

    def _bury(self, worker: _Worker) -> None:
        """A worker has died: its run goes to another, unless it is the run that kills them."""
        self.workers.remove(worker)
        worker.connection.close()
        worker.process.join()
        job = worker.job
        if job is not None:
            job.deaths += 1
            if job.deaths < DEATHS:
                job.status = "waiting"
                self.waiting.appendleft(job)
            else:
                status = worker.process.exitcode
                how = f"signal {-status}" if status is not None and status < 0 else f"status {status}"
                job.status, job.message = "failed", f"{DEATHS} processes died while they trained it, the last one by {how}"
        if self.waiting:
            self.workers.append(self._hired())

    def _dismiss(self, patience: float) -> None:
        """Have all processes save what they have and end; those that do not in time are ended."""
        for worker in self.workers:
            with contextlib.suppress(OSError):
                worker.connection.send(None)
        until = time.monotonic() + patience
        for worker in self.workers:
            # What they still say is heard: a full pipe would keep them from ending.
            while worker.process.is_alive() and time.monotonic() < until:
                with contextlib.suppress(EOFError, OSError):
                    if worker.connection.poll(0.05):
                        worker.connection.recv()
                worker.process.join(0.01)
            if worker.process.is_alive():
                worker.process.kill()
            worker.process.join()
            worker.connection.close()
            if worker.job is not None:
                worker.job.status = "waiting"


def _serve(connection: Connection, folder: Path, keep_state: bool, plugins: Sequence[str]) -> None:
    """What a process does: train the runs that come through the pipe, until None comes or the other end is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent tells what to do
    from groklab import registry

    for plugin in plugins:
        registry.load_plugin(plugin)
    looked = 0.0
    is_over = False

    def should_stop() -> bool:
        nonlocal looked, is_over
        now = time.monotonic()
        if not is_over and now - looked >= REPORTS:
            looked = now
            with contextlib.suppress(EOFError, OSError):
                is_over = connection.poll() and connection.recv() is None
                return is_over
            is_over = True  # the parent has died
        return is_over

    def say(*words: Any) -> None:
        with contextlib.suppress(OSError):
            connection.send(words)

    while not is_over:
        try:
            asked = connection.recv()
        except (EOFError, OSError):
            return
        if asked is None:
            return
        reporter = Reporter(lambda step, row: say("at", step, row))
        try:
            say(*attempt(Run.from_dict(asked), folder, keep_state, reporter.hear, should_stop))
        except KeyboardInterrupt:
            return
