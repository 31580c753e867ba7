"""Local processes that train runs side by side, one thread each.

Every process takes one batch of runs after another and trains it through the laboratory, into the same results folder; locks see
to it that no run is trained twice, by these processes or by others. A process that dies has its runs continued by another from
the last states; one whose parent has died saves what it has and ends.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from groklab.config.options import Options
from groklab.laboratory.tracking import PATIENCE, tracking
from groklab.workers.batches import Waiting
from groklab.workers.interpreters import check_script, without_script
from groklab.workers.tally import REPORTS, Job, Order, attempt, hear

DEATHS = 3
"""Processes that may die while they train the same run, the last one it alone, before it counts as failed."""


@dataclass
class _Worker:
    process: Any
    connection: Connection
    place: str
    """The device that it trains on."""
    jobs: dict[int, Job] = field(default_factory=lambda: dict[int, Job]())
    """Its batch: what has not ended yet, by position."""


class Crew:
    """Local processes, and who of them trains what."""

    def __init__(self, order: Order, waiting: Waiting) -> None:
        self.order, self.waiting = order, waiting
        self.workers: list[_Worker] = []
        # A fresh interpreter: one that is forked from a process in which torch has run may hang.
        self.context = multiprocessing.get_context("spawn")

    def work(self, places: Sequence[str]) -> None:
        """Train with a process for every place until no run is left."""
        check_script()
        for_trackers = 2 * PATIENCE if self.order.options.track else 0.0
        try:
            for place in places:
                self.workers.append(self._hired(place))
            while self.waiting or any(worker.jobs for worker in self.workers):
                if self.order.stop():
                    raise KeyboardInterrupt
                self._hand_out()
                by_end: dict[Any, _Worker] = {}
                for worker in self.workers:
                    by_end[worker.connection] = by_end[worker.process.sentinel] = worker
                for worker in {id(by_end[end]): by_end[end] for end in wait(list(by_end), timeout=REPORTS)}.values():
                    self._listen(worker)
                self.order.tell(self.order.tally)
        except BaseException:  # Ctrl-C, or an error of whoever is told: no process is left behind
            self._dismiss(patience=60.0 + for_trackers)
            raise
        self._dismiss(patience=10.0 + for_trackers)

    def _hired(self, place: str) -> _Worker:
        ours, theirs = self.context.Pipe()
        order = self.order
        given = (theirs, place, order.options, order.sources)
        process = self.context.Process(target=_serve, args=given, daemon=False)
        with without_script():
            process.start()
        theirs.close()  # so that the end of the process is the end of the pipe
        return _Worker(process, ours, place)

    def _hand_out(self) -> None:
        for worker in self.workers:
            if not worker.jobs and (jobs := self.waiting.take(worker.place, time.monotonic())):
                worker.jobs = dict(enumerate(jobs))
                with contextlib.suppress(OSError):  # a dead worker is noticed when it is listened to
                    worker.connection.send([job.run for job in jobs])

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

    def _hear(self, worker: _Worker, what: str, position: int, *content: Any) -> None:
        if what == "note":
            self.order.tally.note(*content)
            return
        job = worker.jobs[position]
        hear(self.order.tally, job, self.order.options.folder, what, *content)
        if what != "at":
            del worker.jobs[position]
        if what == "busy":
            self.waiting.put([job])

    def _bury(self, worker: _Worker) -> None:
        """A worker has died: its runs go to another, unless it is one run that kills them.

        Which of several that is shows when they are trained in smaller batches: after a second death each time in halves.
        """
        self.workers.remove(worker)
        worker.connection.close()
        worker.process.join()
        jobs = list(worker.jobs.values())
        for job in jobs:
            job.deaths += 1
            job.status = "waiting"
            if len(jobs) > 1 and job.deaths > 1:
                job.most_together = (len(jobs) + 1) // 2
        if len(jobs) == 1 and jobs[0].deaths >= DEATHS:
            status = worker.process.exitcode
            how = f"signal {-status}" if status is not None and status < 0 else f"status {status}"
            jobs[0].status = "failed"
            jobs[0].message = f"{jobs[0].deaths} processes died while they trained it, the last one by {how}"
            jobs = []
        self.waiting.put(jobs, first=True)
        if self.waiting:
            self.workers.append(self._hired(worker.place))

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
                        self._hear(worker, *worker.connection.recv())
                worker.process.join(0.01)
            if worker.process.is_alive():
                worker.process.kill()
            worker.process.join()
            worker.connection.close()
            for job in worker.jobs.values():
                job.status = "waiting"


def _serve(connection: Connection, place: str, options: Options, sources: Sequence[tuple[Path, bytes]]) -> None:
    """What a process does: train the batches that come through the pipe, until None comes or the other end is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent tells what to do
    from groklab import registry

    for path, source in sources:
        registry.load_source(path, source)
    if place.startswith("cuda:"):
        import torch

        torch.cuda.set_device(place)  # the GPU that runs of device cuda are trained on
    looked = 0.0
    is_over = False
    speaking = threading.Lock()  # trackers speak from their threads

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
        with speaking, contextlib.suppress(OSError):
            connection.send(words)

    with tracking(options.track, options.folder, lambda text: say("note", 0, text)) as trackers:
        while not is_over:
            try:
                asked = connection.recv()
            except (EOFError, OSError):
                return
            if asked is None:
                return
            try:
                attempt(asked, options, say, should_stop, trackers)
            except KeyboardInterrupt:
                return
