"""Runs trained on a Ray cluster, which sees to machines, resources and retries.

Every machine must have groklab installed and see the same results folder under the same path. A batch of runs, by default of one
run, is one task of one core; where runs ask for CUDA a task has one GPU, and by default an even share of them. A task whose
process or machine dies is begun again elsewhere and goes on from the last states.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from groklab.config.options import Options
from groklab.config.run import Run
from groklab.laboratory.tracking import tracking
from groklab.text.values import shown
from groklab.workers.batches import Waiting
from groklab.workers.processes import DEATHS
from groklab.workers.tally import BUSY_PAUSE, REPORTS, Job, Order, advance, attempt, settle, told_of

LOOKS = 1.0
"""Seconds between two looks of a task whether to stop."""


class Board:
    """Where tasks write how far they are, and read whether to stop; one for each sweep, as an actor of the cluster."""

    def __init__(self) -> None:
        self.places: dict[str, tuple[int, dict[str, Any] | None]] = {}
        self.ends: dict[str, tuple[str, str]] = {}
        self.notes: list[str] = []
        self.over = False

    def at(self, run: str, step: int, row: dict[str, Any] | None) -> None:
        """A run is so far."""
        self.places[run] = (step, row)

    def all(self) -> dict[str, tuple[int, dict[str, Any] | None]]:
        """How far all runs are, told once."""
        told, self.places = self.places, {}
        return told

    def end(self, run: str, what: str, message: str = "") -> None:
        """What has become of a run."""
        self.ends[run] = (what, message)

    def all_ends(self) -> dict[str, tuple[str, str]]:
        """What has become of runs, told once."""
        told, self.ends = self.ends, {}
        return told

    def note(self, text: str) -> None:
        """Something that the user should know."""
        self.notes.append(text)

    def all_notes(self) -> list[str]:
        """What the user should know, told once."""
        told, self.notes = self.notes, []
        return told

    def stop(self) -> None:
        """Ask all tasks to save and end."""
        self.over = True

    def is_over(self) -> bool:
        """Whether they were asked."""
        return self.over


def train_task(runs: Sequence[Run], options: Options, sources: Sequence[tuple[Path, bytes]], board: Any) -> dict[int, tuple[str, str]]:
    """What a task does: one batch of runs; what became of each, by position, and a message."""
    import ray

    from groklab import registry

    for path, source in sources:
        registry.load_source(path, source)
    looked = time.monotonic()
    names = [run.id for run in runs]
    ends: dict[int, tuple[str, str]] = {}

    def should_stop() -> bool:
        nonlocal looked
        if time.monotonic() - looked < LOOKS:
            return False
        looked = time.monotonic()
        return bool(ray.get(board.is_over.remote()))

    def say(what: str, position: int, *content: Any) -> None:
        if what == "at":
            board.at.remote(names[position], *content)
            return
        ends[position] = (what, content[0] if what == "failed" else "")
        if what in _FINAL:
            board.end.remote(names[position], *ends[position])

    with tracking(options.track, options.folder, lambda text: board.note.remote(text)) as trackers, contextlib.suppress(KeyboardInterrupt):
        attempt(runs, options, say, should_stop, trackers)
    return ends


_FINAL = ("ended", "failed")
"""What becomes of a run that is not asked for again."""


class Cluster:
    """A Ray cluster at work on many runs."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.options = replace(order.options, folder=order.options.folder.resolve())  # tasks have other working directories

    def work(self, address: str) -> None:
        """Train until no run is left, on the cluster at an address, or on the one that ``auto`` finds."""
        ray = _connected(address)
        # Ray writes of dying workers to standard output, which may be asked to be JSON and nothing else.
        with contextlib.ExitStack() as session:
            session.callback(ray.shutdown)
            session.enter_context(contextlib.redirect_stdout(sys.stderr))
            board = ray.remote(num_cpus=0)(Board).remote()
            task = ray.remote(max_retries=DEATHS - 1)(train_task)
            pending: dict[Any, list[Job]] = {}
            gpus = max(1, int(ray.cluster_resources().get("GPU", 0)))
            jobs = [job for job in self.order.tally.jobs if job.status == "waiting"]
            waiting = Waiting(jobs, self.options.runs_per_batch, device_of=_device_of, processes_on=lambda device: gpus)
            while waiting or pending:
                if self.order.stop():
                    self._end(ray, board, pending)
                    raise KeyboardInterrupt
                while batch := waiting.take(None, time.monotonic()):
                    pending[self._begun(task, batch, board)] = batch
                waiting.put(self._take(ray, pending, timeout=REPORTS))
                self._look(ray, board)
                self.order.tell(self.order.tally)

    def _begun(self, task: Any, batch: Sequence[Job], board: Any) -> Any:
        """A task that trains a batch, or will."""
        first, order = batch[0].run, self.order
        name = f"groklab {first.id}" + (f" and {len(batch) - 1} more" if len(batch) > 1 else "")
        resources = {"num_cpus": 1, "num_gpus": 1 if _device_of(first) == "cuda" else 0, "name": name}
        portable = [_portable(job.run) for job in batch]
        return task.options(**resources).remote(portable, self.options, order.sources, board)

    def _take(self, ray: Any, pending: dict[Any, list[Job]], timeout: float) -> list[Job]:
        """Settle the tasks that have ended; those of their runs that must be asked for again."""
        if not pending:
            time.sleep(min(timeout, BUSY_PAUSE))
            return []
        again: list[Job] = []
        ended, _ = ray.wait(list(pending), num_returns=len(pending), timeout=timeout)
        for reference in ended:
            batch = pending.pop(reference)
            try:
                ends: dict[int, tuple[str, str]] = ray.get(reference)
            except ray.exceptions.RayError as error:
                ends = self._ends_of_failed(batch, _reason(ray, error))
            for position, job in enumerate(batch):
                if job.status in ("waiting", "running"):
                    settle(self.order.tally, job, self.options.folder, *ends.get(position, ("busy", "")))
            again += [job for job in batch if job.status == "waiting"]
        return again

    def _ends_of_failed(self, batch: Sequence[Job], reason: str) -> dict[int, tuple[str, str]]:
        """Runs whose task failed for good: one has failed; several, of which one may be the cause, are tried again in halves."""
        if len(batch) == 1:
            return {0: ("failed", reason)}
        for job in batch:
            job.most_together = (len(batch) + 1) // 2
        return {}

    def _look(self, ray: Any, board: Any) -> None:
        open_jobs = {job.run.id: job for job in self.order.tally.jobs if job.status in ("waiting", "running")}
        places, ends, notes = ray.get([board.all.remote(), board.all_ends.remote(), board.all_notes.remote()])
        for note in notes:
            self.order.tally.note(note)
        for name, (step, row) in places.items():
            if name in open_jobs:
                advance(self.order.tally, open_jobs[name], step, row)
        for name, (what, message) in ends.items():
            if name in open_jobs:
                settle(self.order.tally, open_jobs[name], self.options.folder, what, message)

    def _end(self, ray: Any, board: Any, pending: dict[Any, list[Job]], patience: float = 60.0) -> None:
        """Have all tasks save what they have and end; those that have not begun are not begun."""
        ray.get(board.stop.remote())
        running = [reference for reference, batch in pending.items() if any(job.status == "running" for job in batch)]
        for reference in pending:
            if reference not in running:
                ray.cancel(reference)
        ray.wait(running, num_returns=len(running), timeout=patience) if running else None
        for batch in pending.values():
            for job in batch:
                job.status = "waiting" if job.status == "running" else job.status


def _reason(ray: Any, error: Exception) -> str:
    """Why a task failed for good: by an error of its own, which Ray hands on at once, or by the deaths of its processes."""
    if isinstance(error, ray.exceptions.RayTaskError):
        cause = getattr(error, "cause", None) or error  # the text of Ray's own begins with a coloured heading
        return f"its task failed on the cluster: {type(cause).__name__}: {told_of(cause)}"
    return f"its task died {DEATHS} times on the cluster: {told_of(error).splitlines()[0]}"


def _device_of(run: Run) -> str:
    """The device that a run's task is given; what ``auto`` would be on another machine is not known here."""
    return "cuda" if run.budget.device.startswith("cuda") else "cpu"


def _portable(run: Run) -> Run:
    """A run whose table's file is found from any working directory."""
    return run if run.task.file is None else run.at(str(Path(run.task.file).resolve()))


def _connected(address: str) -> Any:
    """Ray, connected to a running cluster; ValueError with what to do where that cannot be."""
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # tasks without a GPU keep the variables as they are
    if (Path.home() / ".ray" / "auth_token").exists():
        # Where a token is kept, `auto` sends it by itself, and an address does not; a cluster without tokens does not mind one.
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    try:
        import ray
    except ImportError:
        raise ValueError("--ray: Ray is not installed. Install it with pip install 'groklab[cluster]'.") from None
    try:
        if address != "auto":
            _knock(address)
        with contextlib.redirect_stdout(None):
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, ValueError, RuntimeError) as error:
        advice = "Start one with `ray start --head`, or name its address, such as 10.0.0.1:6379."
        reason = told_of(error).splitlines()[0].rstrip(".")
        raise ValueError(f"--ray: got {shown(address)}; expected a running Ray cluster ({reason}). {advice}") from None
    return ray


def _knock(address: str) -> None:
    """OSError at once where nobody listens at an address; Ray itself keeps trying for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        raise ValueError("an address is HOST:PORT, or auto")
    with socket.create_connection((host, int(port)), timeout=5):
        pass
