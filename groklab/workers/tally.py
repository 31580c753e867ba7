"""Many runs at a glance: which are done, how far the others are, and how long it may take."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

from groklab.analysis.grokking import summary
from groklab.config.options import Options
from groklab.config.run import Run
from groklab.laboratory.progress import Interrupted, Outcome, Progress
from groklab.laboratory.runs import stored_as_asked, train_together
from groklab.laboratory.tracking import Trackers, to_standard_error
from groklab.results.files import StoreError
from groklab.results.lock import InProgressError
from groklab.stored.run import StoredRun

REPORTS = 0.25
"""Seconds between two reports on a run."""
REPORTS_A_SECOND = 100
"""Reports on all runs of a batch together, at most; those of large batches are told less often."""
BUSY_PAUSE = 1.0
"""Seconds until a run that another process was training is asked for again."""

Status = Literal["waiting", "running", "complete", "diverged", "failed"]


@dataclass
class Job:
    """One run of many, and what has become of it."""

    run: Run
    status: Status = "waiting"
    was_stored: bool = False
    """Whether its results were there before anything was trained."""
    step: int = 0
    row: dict[str, Any] | None = None
    """Its newest evaluation in this training."""
    has_generalized: bool = False
    """Whether it has, by its results."""
    message: str = ""
    """Why it diverged or failed."""
    deaths: int = 0
    """Processes that died while they trained it."""
    most_together: float = math.inf
    """How many runs may be trained together with it, itself included; fewer once processes have died with several."""
    not_before: float = 0.0


@dataclass
class Tally:
    """Many runs at a glance."""

    jobs: Sequence[Job]
    began: float = field(default_factory=time.monotonic)
    steps_made: int = 0
    """Updates since the beginning, of all runs together."""
    notes: list[str] = field(default_factory=list[str])
    """What the user should know of the trackers, each told once on standard error, whichever process finds it."""

    def note(self, text: str) -> None:
        """Tell the user something, once."""
        if text not in self.notes:
            self.notes.append(text)
            to_standard_error(text)

    def count(self, *statuses: Status) -> int:
        """Runs with one of these statuses."""
        return sum(job.status in statuses for job in self.jobs)

    @property
    def seconds(self) -> float:
        """Time since the beginning."""
        return time.monotonic() - self.began

    @property
    def speed(self) -> float:
        """Updates a second, of all runs together."""
        return self.steps_made / self.seconds if self.seconds > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """At most, since runs may end before their budget; None before there is a speed."""
        left = sum(max(job.run.budget.steps - job.step, 0) for job in self.jobs if job.status in ("waiting", "running"))
        return left / self.speed if self.speed else None


@dataclass(frozen=True)
class Order:
    """What whoever trains many runs is given: here, local processes, or a cluster."""

    tally: Tally
    options: Options
    sources: Sequence[tuple[Path, bytes]]
    """What other processes import first: files with their sources, which are executed as they were here, whatever the files hold by then."""
    tell: Callable[[Tally], None]
    stop: Callable[[], bool]


def attempt(
    runs: Sequence[Run],
    options: Options,
    say: Callable[..., object],
    should_stop: Callable[[], bool],
    track: Trackers = (),
) -> None:
    """Train runs together, and say what ``hear`` takes note of, with a run's position behind the first word.

    KeyboardInterrupt where they are to stop, after their states are saved.
    """
    pause = max(REPORTS, len(runs) / REPORTS_A_SECOND)
    reporters = [Reporter(partial(say, "at", position), pause) for position in range(len(runs))]

    def end(position: int, outcome: Outcome) -> None:
        if isinstance(outcome, StoredRun):
            say("ended", position)
        elif isinstance(outcome, InProgressError):
            say("busy", position)
        elif isinstance(outcome, KeyboardInterrupt):
            say("stopped", position, *([outcome.step] if isinstance(outcome, Interrupted) else []))
        else:
            say("failed", position, told_of(outcome))

    outcomes = train_together(
        runs,
        runs=options.folder,
        runs_per_batch=options.runs_per_batch,
        on_progress=lambda position, progress: reporters[position].hear(progress),
        on_end=end,
        should_stop=should_stop,
        keep_state=options.keep_state,
        track=track,
    )
    if any(isinstance(outcome, KeyboardInterrupt) for outcome in outcomes):
        raise KeyboardInterrupt


def hear(tally: Tally, job: Job, folder: Path, what: str, *content: Any) -> None:
    """Take note of what is said of a run: how far it is, that it has ended or failed, was busy elsewhere, or was stopped."""
    if what == "at":
        advance(tally, job, *content)
    elif what == "stopped":
        job.status, job.step = "waiting", *(content or (job.step,))
    else:
        settle(tally, job, folder, what, *content)


def finish(job: Job, found: StoredRun) -> None:
    """A run has its results."""
    rows = found.rows
    job.step, job.row = found.steps, rows[-1] if rows else None
    job.has_generalized = summary(rows, steps=job.step, threshold=job.run.budget.threshold).generalized_at is not None
    is_diverged = found.status == "diverged"
    job.status = "diverged" if is_diverged else "complete"
    job.message = found.folder.description().get("message", "") if is_diverged else ""


def advance(tally: Tally, job: Job, step: int, row: dict[str, Any] | None) -> None:
    """A run is trained, and so far."""
    job.status = "running"
    if job.step:
        tally.steps_made += max(step - job.step, 0)
    job.step, job.row = step, row or job.row


def settle(tally: Tally, job: Job, folder: Path, what: str, message: str = "") -> None:
    """A run has ended, failed, or was busy elsewhere (then it waits to be asked for again)."""
    if what == "ended":
        before = job.step
        try:
            found = stored_as_asked(job.run, runs=folder)
            if found is None:
                job.status, job.message = "failed", "its results are not there"
                return
            finish(job, found)
        except StoreError as error:  # what was written can no longer be read; the others go on
            job.status, job.message = "failed", told_of(error)
            return
        tally.steps_made += max(job.step - before, 0) if before else 0
    elif what == "failed":
        job.status, job.message = "failed", message
    else:
        job.status, job.not_before = "waiting", time.monotonic() + BUSY_PAUSE


def told_of(error: BaseException) -> str:
    """An error in words."""
    return str(error) or type(error).__name__


class Reporter:
    """Passes on the progress of a run a few times a second."""

    def __init__(self, report: Callable[[int, dict[str, Any] | None], object], pause: float = REPORTS) -> None:
        self.report, self.pause = report, pause
        self.row: dict[str, Any] | None = None
        self.last = 0.0

    def hear(self, progress: Progress) -> None:
        """Pass it on if it is time."""
        self.row = progress.row or self.row
        now = time.monotonic()
        if now - self.last >= self.pause:
            self.last = now
            self.report(progress.step, self.row)
