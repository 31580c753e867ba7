"""Runs trained on a Ray cluster, which sees to machines, resources and retries.

Every machine must have groklab installed and see the same results folder under the same path. A run is one task of one core (and
one GPU where it asks for CUDA); a task whose process or machine dies is begun again elsewhere and goes on from the last state.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from groklab.config.run import Run
from groklab.crew import DEATHS
from groklab.tally import BUSY_PAUSE, REPORTS, Job, Order, Reporter, advance, attempt, settle, told_of

LOOKS = 1.0
"""Seconds between two looks of a task whether to stop."""


class Board:
    """Where tasks write how far they are, and read whether to stop; one for each sweep, as an actor of the cluster."""

    def __init__(self) -> None:
        self.places: dict[str, tuple[int, dict[str, Any] | None]] = {}
        self.over = False

    def at(self, run: str, step: int, row: dict[str, Any] | None) -> None:
        """A run is so far."""
        self.places[run] = (step, row)

    def all(self) -> dict[str, tuple[int, dict[str, Any] | None]]:
        """How far all runs are, told once."""
        told, self.places = self.places, {}
        return told

    def stop(self) -> None:
        """Ask all tasks to save and end."""
        self.over = True

    def is_over(self) -> bool:
        """Whether they were asked."""
        return self.over


def train_task(tree: dict[str, Any], folder: str, keep_state: bool, plugins: Sequence[str], board: Any) -> tuple[str, str]:
    """What a task does: one run; what became of it, and a message."""
    import ray

    from groklab import registry

    for plugin in plugins:
        registry.load_plugin(plugin)
    run, looked = Run.from_dict(tree), time.monotonic()
    name = run.id

    def should_stop() -> bool:
        nonlocal looked
        if time.monotonic() - looked < LOOKS:
            return False
        looked = time.monotonic()
        return bool(ray.get(board.is_over.remote()))

    reporter = Reporter(lambda step, row: board.at.remote(name, step, row))
    try:
        return attempt(run, folder, keep_state, reporter.hear, should_stop)
    except KeyboardInterrupt:
        return "stopped", ""


class Cluster:
    """A Ray cluster at work on many runs."""

    def __init__(self, order: Order) -> None:
        self.order, self.folder = order, order.folder.resolve()

    def work(self, address: str) -> None:
        """Train until no run is left, on the cluster at an address, or on the one that ``auto`` finds."""
        ray = _connected(address)
        # Ray writes of dying workers to standard output, which may be asked to be JSON and nothing else.
        with contextlib.ExitStack() as session:
            session.callback(ray.shutdown)
            session.enter_context(contextlib.redirect_stdout(sys.stderr))
            board = ray.remote(num_cpus=0)(Board).remote()
            task = ray.remote(max_retries=DEATHS - 1)(train_task)
            pending: dict[Any, Job] = {}
            waiting = [job for job in self.order.tally.jobs if job.status == "waiting"]
            while waiting or pending:
                if self.order.stop():
                    self._end(ray, board, pending)
                    raise KeyboardInterrupt
                now = time.monotonic()
                for job in [job for job in waiting if job.not_before <= now]:
                    waiting.remove(job)
                    gpus = 1 if job.run.budget.device.startswith("cuda") else 0
                    arguments = (_portable(job.run), str(self.folder), self.order.keep_state, self.order.plugins, board)
                    pending[task.options(num_cpus=1, num_gpus=gpus, name=f"groklab {job.run.id}").remote(*arguments)] = job
                waiting += self._take(ray, pending, timeout=REPORTS)
                self._look(ray, board)
                self.order.tell(self.order.tally)

    def _take(self, ray: Any, pending: dict[Any, Job], timeout: float) -> list[Job]:
        """The tasks that have ended; those of their runs that must be asked for again."""
        if not pending:
            time.sleep(min(timeout, BUSY_PAUSE))
            return []
        again: list[Job] = []
        ended, _ = ray.wait(list(pending), num_returns=len(pending), timeout=timeout)
        for reference in ended:
            job = pending.pop(reference)
            try:
                what, message = ray.get(reference)
            except ray.exceptions.RayError as error:
                what, message = "failed", f"its task failed {DEATHS} times on the cluster: {told_of(error).splitlines()[0]}"
            settle(self.order.tally, job, self.folder, what, message)
            if job.status == "waiting":
                again.append(job)
        return again

    def _look(self, ray: Any, board: Any) -> None:
        by_name = {job.run.id: job for job in self.order.tally.jobs if job.status in ("waiting", "running")}
        for name, (step, row) in ray.get(board.all.remote()).items():
            if name in by_name:
                by_name[name].status = "running"
                advance(self.order.tally, by_name[name], step, row)

    def _end(self, ray: Any, board: Any, pending: dict[Any, Job], patience: float = 60.0) -> None:
        """Have all tasks save what they have and end; those that have not begun are not begun."""
        ray.get(board.stop.remote())
        running = [reference for reference, job in pending.items() if job.status == "running"]
        for reference, job in pending.items():
            if job.status != "running":
                ray.cancel(reference)
        ray.wait(running, num_returns=len(running), timeout=patience) if running else None
        for job in pending.values():
            job.status = "waiting"


def _portable(run: Run) -> dict[str, Any]:
    """A run as a tree whose table's file is found from any working directory."""
    return (run if run.task.file is None else run.replace(file=str(Path(run.task.file).resolve()))).to_dict()


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
        raise ValueError(f"--ray: got {address!r}; expected a running Ray cluster ({reason}). {advice}") from None
    return ray


def _knock(address: str) -> None:
    """OSError at once where nobody listens at an address; Ray itself keeps trying for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        raise ValueError("an address is HOST:PORT, or auto")
    with socket.create_connection((host, int(port)), timeout=5):
        pass
