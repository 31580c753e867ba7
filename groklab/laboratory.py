"""The laboratory: ask for a run, and get its results, trained now or long ago.

``train`` is the bridge between the computing side and the reading side: it finds what is stored, has the engine compute what is
missing, and stores it so that a process killed at any moment loses nothing but seconds.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from groklab.config.checks import RunError
from groklab.config.run import Run, leaves
from groklab.config.stops import end_of
from groklab.results.files import StoreError
from groklab.results.history import in_sequence
from groklab.results.lock import InProgressError, Lock
from groklab.results.store import RunFolder, packed_answers
from groklab.results.writer import Writer
from groklab.stored import StoredRun, drawn, end_and_reached, load, stored_runs

if TYPE_CHECKING:
    from groklab.training import engine
    from groklab.training.batches import State
    from groklab.training.engine import Past

STATE_INTERVAL = 10.0
"""Seconds of training that a killed process may lose."""
SAVING_PAUSE = 20
"""Or so many times what saving took, where that is longer: a state may be large (grokfast_ma keeps a hundred gradients)."""


@dataclass(frozen=True)
class Progress:
    """What ``train`` tells while it works."""

    run: Run
    step: int
    row: dict[str, Any] | None
    """The evaluation just made, if one was."""
    began_at: int
    """The step from which this call trains."""
    seconds: float
    """Time since then."""
    warning: str = ""
    """Something that the user should know, told once."""


class Interrupted(KeyboardInterrupt):
    """Training was stopped by the user after its state was saved."""

    def __init__(self, run: StoredRun, step: int) -> None:
        super().__init__(f"stopped after step {step:,}; `groklab continue {run.id}` goes on from there")
        self.run, self.step = run, step


def check(run: Run) -> None:
    """All that can be wrong with a run, before anything is written; RunError with every problem."""
    problems = run.problems()
    if not any(leaves().get(problem.field) in ("task", "model") for problem in problems):
        from groklab.training.engine import run_problems

        # What the network's layout tells can be asked wherever there is one, so that all mistakes come together.
        with contextlib.suppress(*([ValueError] if problems else [])):
            problems += run_problems(run)
    if problems:
        raise RunError(problems)


def train(
    run: Run | None = None,
    /,
    *,
    runs: str | Path = "runs",
    on_progress: Callable[[Progress], None] | None = None,
    on_begin: Callable[[list[dict[str, Any]], dict[str, Any]], None] | None = None,
    on_wait: Callable[[str], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
    wait: bool = True,
    keep_state: bool = True,
    **fields: Any,
) -> StoredRun:
    """Results of a run, trained as far as they are not stored yet.

    ``fields`` are the leaves of a run by name. Asking again finds what is stored; a larger budget goes on from it, a smaller
    one reports the results up to there. A run that another process trains is waited for, or InProgressError with
    ``wait=False``. ``should_stop`` is asked after every update; a true answer saves the state and raises ``Interrupted``.
    """
    asked = Run.of(run, **fields)
    check(asked)
    folder = RunFolder(Path(runs) / asked.id)
    tell = Telling(on_begin or say_nothing, on_progress or say_nothing, should_stop or (lambda: False))
    has_told = False
    while True:
        done = _stored(folder, asked)
        if done is not None:
            return done
        try:
            return _train_missing(folder, asked, tell, keep_state)
        except InProgressError as error:
            if not wait:
                raise
            if tell.should_stop():
                raise KeyboardInterrupt from None
            if on_wait is not None and not has_told:
                on_wait(f"{error} Waiting for it.")
                has_told = True
            time.sleep(0.5)


def stored_as_asked(run: Run, *, runs: str | Path = "runs") -> StoredRun | None:
    """The results of a run, where they reach as far as it asks; None where something is missing."""
    return _stored(RunFolder(Path(runs) / run.id), run)


def _stored(folder: RunFolder, asked: Run) -> StoredRun | None:
    """The stored results, if they reach as far as asked."""
    if not folder.exists:
        return None
    status = folder.description()["status"]
    ended, reached = end_and_reached(folder, asked)
    if status == "diverged" or (status == "complete" and ended is not None):
        return StoredRun(folder, asked)
    # Where a process is at the end just now, or was killed there, the last checkpoint may still be missing.
    return StoredRun(folder, asked) if ended is not None and ended < reached else None


def say_nothing(*told: Any) -> None:
    """Tell nobody."""


class Telling(NamedTuple):
    """Whom to tell what while training."""

    begin: Callable[[list[dict[str, Any]], dict[str, Any]], None]
    """Told the evaluations that are stored already and the segment that begins."""
    progress: Callable[[Progress], None]
    should_stop: Callable[[], bool]


def _train_missing(folder: RunFolder, asked: Run, tell: Telling, keep_state: bool) -> StoredRun:
    from groklab.results.files import make_folder
    from groklab.training import engine

    make_folder(folder.path)
    with Lock(folder.path) as lock:
        done = _stored(folder, asked)
        if done is not None:  # another process came to the end between our look and our lock
            return done
        folder.clean()
        past = _past(folder)
        began_at = past.state.step if past.state is not None else 0
        if past.state is not None and end_of(asked, past.rows, began_at) is not None:
            if end_of(folder.run(), past.rows, began_at) is not None:  # killed before it could say that it was complete
                folder.update(status="complete")
            return StoredRun(folder, asked)
        stored = folder.rows()
        wall_before = stored[-1].get("wall_time", 0.0) if stored else 0.0
        if not folder.exists:
            folder.create(asked, engine.parameter_counts(asked))
        folder.update_budget(asked)
        segment = engine.segment(asked, began_at)
        tell.begin(stored, segment)
        folder.update(status="running", message="", segments=[*folder.description()["segments"], segment])
        with Writer() as writer:
            recorder = _Recorder(folder, lock, writer, began_at, wall_before, keep_state)
            for event in engine.train([asked], pasts=[past]):
                progress = recorder.take(event, asked)
                if progress is not None:
                    tell.progress(progress)
                if isinstance(event, engine.Advanced) and tell.should_stop():
                    writer.drain()
                    if end_and_reached(folder, asked)[0] is None:
                        recorder.save(event)
                        writer.drain()
                        folder.update(status="interrupted")
                        raise Interrupted(StoredRun(folder, asked), event.step)
    return StoredRun(folder, asked)


def _past(folder: RunFolder) -> Past:
    """Where training goes on: at the stored state, with the history up to it; at the beginning where there is none."""
    from groklab.training.batches import State
    from groklab.training.engine import Past

    if not folder.exists:
        return Past()
    stored = folder.state()
    rows = folder.cut_history(None if stored is None else stored[0])
    if stored is None:
        return Past()
    return Past(State(*stored), in_sequence(rows))


class _Recorder:
    """Has written what the engine yields for one run, beside the computation and in its order."""

    def __init__(self, folder: RunFolder, lock: Lock, writer: Writer, began_at: int, wall_before: float, keep_state: bool) -> None:
        self.folder, self.lock, self.writer, self.began_at = folder, lock, writer, began_at
        self.wall_before, self.keep_state = wall_before, keep_state
        self.began = self.saved = time.perf_counter()
        self.newest: engine.Advanced | None = None
        self.pause = STATE_INTERVAL

    def take(self, event: engine.Event, run: Run) -> Progress | None:
        """Have one event stored; what to tell of it."""
        from groklab.training import engine

        now = time.perf_counter()
        if isinstance(event, engine.Evaluated):
            row = event.row | {"wall_time": round(self.wall_before + now - self.began, 3)}
            self._write(partial(self.folder.append, row))
            return Progress(run, event.row["step"], row, self.began_at, now - self.began)
        if isinstance(event, engine.Checkpoint):
            self._write(partial(self._write_checkpoint, event))
            return None
        if isinstance(event, engine.Advanced):
            self.newest = event
            if now - self.saved > self.pause:
                self.save(event)
            return Progress(run, event.step, None, self.began_at, now - self.began)
        if isinstance(event, engine.Noted):
            self._write(partial(self._write_warning, event.message))
            return Progress(run, event.step, None, self.began_at, now - self.began, event.message)
        if self.newest is not None and event.status == "complete" and self.keep_state:
            self.save(self.newest)
        self._write(partial(self.folder.update, status=event.status, message=event.message))
        if event.status == "complete" and not self.keep_state:
            self._write(self.folder.remove_state)
        return None

    def save(self, event: engine.Advanced) -> None:
        """Have the full state at this step stored."""
        self.saved = time.perf_counter()  # now the state is taken; it may be written later
        self._write(partial(self._write_state, event.state()))

    def _write(self, write: Callable[[], object]) -> None:
        def confirmed() -> None:
            self.lock.confirm()
            write()

        self.writer.do(confirmed)

    def _write_checkpoint(self, event: engine.Checkpoint) -> None:
        self.folder.write_step("answers", event.step, packed_answers(event.answer, event.probability))
        self.folder.write_step("checkpoints", event.step, event.parameters)

    def _write_warning(self, message: str) -> None:
        if not self.folder.description().get("warnings"):  # told once, and not again whenever the run is continued
            self.folder.update(warnings=[message])

    def _write_state(self, state: State) -> None:
        began = time.perf_counter()
        self.folder.write_state(state.step, state.arrays)
        self.pause = max(STATE_INTERVAL, SAVING_PAUSE * (time.perf_counter() - began))


def continued(text: str, *, runs: str | Path = "runs", steps: int | None = None, **options: Any) -> StoredRun:
    """A stored run trained on: to its own budget, or to another number of steps."""
    stored = load(text, runs=runs)
    if "imported" in stored.folder.description():
        raise StoreError(
            f"{stored.id} was imported: it has parameters, but no state of training to go on from. Nothing was changed. Train the same "
            f"settings from the beginning with `groklab train --config {stored.folder.path}`."
        )
    if stored.run.id != stored.id:
        raise StoreError(
            f"{stored.folder.path} holds the results of {stored.id}, but its settings, table and plugins are those of {stored.run.id}: one "
            "of them was changed. Nothing was changed now. Restore them, or train the other run on its own."
        )
    root = stored.folder.path.parent
    run = stored.run if steps is None else stored.run.replace(steps=steps, stop=_stop_for(stored, steps))
    return train(run, runs=root, **options)


def _stop_for(stored: StoredRun, steps: int) -> str:
    """More steps for a run that its stop rule has already ended means: go on all the same."""
    ended, reached = end_and_reached(stored.folder, stored.run.replace(steps=steps))
    return "never" if ended is not None and ended <= reached < steps else stored.run.budget.stop


__all__ = ["Interrupted", "Progress", "StoredRun", "check", "continued", "drawn", "load", "stored_runs", "train"]
