"""Runs of one shape trained side by side, and what the engine yields for them stored.

One run is the batch of one. Whatever is written is written beside the computation, and so that a process killed at any moment
leaves every run able to go on to the same history.
"""

from __future__ import annotations

import contextlib
import gc
import re
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from groklab.config.run import Run
from groklab.laboratory.progress import Interrupted, Progress, Telling
from groklab.results.answers import packed_answers
from groklab.results.files import StoreError, damaged, make_folder
from groklab.results.history import in_sequence
from groklab.results.lock import Lock, LostError
from groklab.results.store import RunFolder
from groklab.results.writer import WAITING, Writer
from groklab.stored.results import end_and_reached
from groklab.stored.run import StoredRun, results_as_asked

if TYPE_CHECKING:
    from groklab.training import engine
    from groklab.training.batches import State
    from groklab.training.engine import Past


def train_batch(asked: Sequence[tuple[int, Run]], root: Path, tell: Telling, rounds: Rounds, keep_state: bool) -> None:
    """Train what is missing of runs of one shape side by side, and tell what becomes of each.

    Each has its own lock, past, recorder and segment. Where the computation of several fails, the run that it failed for is not
    known: they go on from their last states in two halves, one after the other, until only that run fails.
    """
    recorders: list[Recorder] = []
    with contextlib.ExitStack() as locks, Writer(max(WAITING, 2 * len(asked))) as writer:
        for position, run in asked:
            try:
                begun = _begun(position, run, root, tell, keep_state, locks, writer, rounds)
            except Exception as error:  # of one run; the others go on
                tell.end(position, error)
                continue
            if isinstance(begun, Recorder):
                recorders.append(begun)
            else:
                tell.end(position, begun)
        left, failure = _record(recorders, writer, tell) if recorders else ([], None)
    if failure is not None and len(left) == 1:
        tell.end(left[0].position, failure)
    elif failure is not None:
        again = [(recorder.position, recorder.run) for recorder in left]
        del failure, recorders, left
        gc.collect()  # the traceback held the batch
        middle = (len(again) + 1) // 2
        for half in (again[:middle], again[middle:]):
            train_batch(half, root, tell, rounds, keep_state)


def _begun(
    position: int, asked: Run, root: Path, tell: Telling, keep_state: bool, locks: contextlib.ExitStack, writer: Writer, rounds: Rounds
) -> Recorder | StoredRun:
    """A run made ready to be trained from where it stands, its lock held; its results where nothing is missing after all."""
    from groklab.training import engine
    from groklab.training.states import state_problem

    folder = RunFolder(root / asked.id)
    make_folder(folder.path)
    with contextlib.ExitStack() as held:
        lock = held.enter_context(Lock(folder.path))
        _check_table(asked)
        done = results_as_asked(folder, asked)
        if done is not None:  # another process came to the end between our look and our lock
            return done
        folder.clean()
        into, past, stored = _past(folder)
        problem = None if past.state is None else state_problem(asked, past.state)
        if problem is not None:
            raise damaged(into.path / "state.safetensors", problem)
        if not folder.exists:
            folder.create(asked, engine.parameter_counts(asked))
        segment = engine.segment(asked, past.state.step if past.state is not None else 0)
        folder.begin(asked, segment)
        tell.begin(position, stored, segment)
        locks.push(held.pop_all())
    return Recorder(position, asked, folder, into, lock, past, stored, writer, rounds, keep_state)


def _check_table(run: Run) -> None:
    """ValueError where the file of a run's table is another than when the run was asked for: its results would lie under the wrong id."""
    if run.task.file is not None and Run(task=run.task).table_file != run.table_file:
        raise ValueError(f"file {run.task.file}: it was changed while {run.id} waited to be trained. Ask again to train what it holds now.")


def _record(recorders: Sequence[Recorder], writer: Writer, tell: Telling) -> tuple[list[Recorder], Exception | None]:
    """Train runs and record them to their ends; those that are left where the computation failed, and the error."""
    from groklab.training import engine

    live, ending = dict(enumerate(recorders)), deque[Recorder]()
    is_stopping, failure = False, None
    pasts = [recorder.past for recorder in recorders]
    for clock in (*recorders, *{recorder.rounds for recorder in recorders}):
        clock.start()
    with contextlib.closing(engine.train([r.run for r in recorders], pasts=pasts, runs_per_batch=len(recorders))) as events:
        while live:
            try:
                event = next(events)
            except Exception as error:
                failure = error
                break
            recorder = live.get(event.run)
            if recorder is None:
                if isinstance(event, engine.Advanced):
                    event.drop()
                continue
            try:
                progress = recorder.take(event)
            except Exception as error:  # of one run; the others go on
                recorder.failure = error
                ending.append(live.pop(event.run))
                continue
            if progress is not None:
                tell.progress(recorder.position, progress)
            if isinstance(event, engine.Ended):
                ending.append(live.pop(event.run))
            elif isinstance(event, engine.Advanced) and (is_stopping or tell.should_stop()):
                is_stopping = True
                ending += _interrupted(live, recorder, writer)
            while ending and _tell_end(ending[0], writer, tell):
                ending.popleft()
    writer.drain()
    for recorder in ending:
        _tell_end(recorder, writer, tell)
    return list(live.values()), failure


def _interrupted(live: dict[int, Recorder], newest: Recorder, writer: Writer) -> list[Recorder]:
    """Runs that are saved and left where they are, taken from the live ones: those that stand where the newest does.

    The others of its batch will come to that step before any makes another update. When none of them is left, runs that stood
    elsewhere at the beginning, and wait for a batch of their own, are left there.
    """
    writer.drain()
    level = {k: recorder for k, recorder in live.items() if recorder.newest is not None and recorder.reached == newest.reached}
    stopped = [k for k, recorder in level.items() if end_and_reached(recorder.into, recorder.run)[0] is None]  # others are about to end
    if all(k in stopped or (recorder.newest is None and recorder.began_at != newest.began_at) for k, recorder in live.items()):
        stopped = list(live)
    for k in stopped:
        live[k].interrupt()
    return [live.pop(k) for k in stopped]


def _tell_end(recorder: Recorder, writer: Writer, tell: Telling) -> bool:
    """Tell what has become of a run, if everything of it is written or its writing failed."""
    failure = recorder.failure or writer.failure(of=recorder)
    if failure is None and not recorder.is_closed:
        return False
    recorder.lock.release()
    stored = StoredRun(recorder.folder, recorder.run)
    tell.end(recorder.position, failure or (Interrupted(stored, recorder.reached) if recorder.is_interrupted else stored))
    return True


class Standing(NamedTuple):
    """Where a run stands when its training begins, and where what comes is written."""

    into: RunFolder
    """Its own folder; or the one inside, where it has results and no state, for these must not be lost before they are computed again."""
    past: Past
    stored: list[dict[str, Any]]
    """All evaluations that are kept."""


def _past(folder: RunFolder) -> Standing:
    """Where training goes on: at the stored state, with the history up to it; at the beginning where there is none."""
    from groklab.training.batches import State
    from groklab.training.engine import Past

    if not folder.exists:
        return Standing(folder, Past(), [])
    if not (folder.again.path / "history.jsonl").exists():
        folder.take_over()
    into, state = folder, folder.state()
    if state is None and folder.rows():
        into = folder.again
        make_folder(into.path)
        state = into.state()
    rows = into.cut_history(None if state is None else state[0])
    return Standing(into, Past() if state is None else Past(State(*state), in_sequence(rows)), rows)


class Rounds:
    """When states are stored: those of runs that advance side by side all at the same step, so that they can go on together."""

    def __init__(self, interval: float, share: float) -> None:
        """``interval`` seconds apart, or ``share`` times what storing the states of all the runs took where that is longer."""
        self.interval, self.share = interval, share
        self.pause, self.seconds = interval, 0.0
        self.step, self.is_on = -1, False
        self.start()

    def start(self) -> None:
        """Count the time from now on."""
        self.began = time.perf_counter()

    def includes(self, step: int, now: float) -> bool:
        """Whether states are stored at this step; the first run that comes to it decides for all."""
        if step != self.step:
            self.step, self.is_on = step, now - self.began > self.pause
            if self.is_on:
                self.began, self.seconds = now, 0.0
        return self.is_on

    def took(self, seconds: float) -> None:
        """A state of this round was stored."""
        self.seconds += seconds
        self.pause = max(self.interval, self.share * self.seconds)


@dataclass(eq=False)
class Recorder:
    """Has written what the engine yields for one run, beside the computation and in its order."""

    position: int
    """Of the run among those that were asked for."""
    run: Run
    folder: RunFolder
    into: RunFolder
    """Where its history, checkpoints, answers and state go: into its folder, or beside what they will replace."""
    lock: Lock
    past: Past
    stored: Sequence[dict[str, Any]]
    """Its evaluations so far."""
    writer: Writer
    rounds: Rounds
    keep_state: bool

    def __post_init__(self) -> None:
        self.wall_before = self.stored[-1].get("wall_time", 0.0) if self.stored else 0.0
        self.evaluated_at = self.stored[-1]["step"] if self.stored else -1
        self.to_pass = self.folder.reached() if self.into is not self.folder else -1
        self.began_at = 0 if self.past.state is None else self.past.state.step
        self.newest: engine.Advanced | None = None
        self.failure: Exception | None = None
        """What kept its results from being stored."""
        self.written: dict[Path, int] = {}
        """Bytes of the history as it was left, by the folder in which it lies."""
        self.is_interrupted = False
        """Whether it was asked to save its state and end."""
        self.is_closed = False
        """Whether everything is written and the lock released."""
        self.start()

    def start(self) -> None:
        """Count the time from now on."""
        self.began = time.perf_counter()

    def take(self, event: engine.Event) -> Progress | None:
        """Have one event stored; what to tell of it."""
        from groklab.training import engine

        now = time.perf_counter()
        if isinstance(event, engine.Advanced):
            self.newest = event
            if self.rounds.includes(event.step, now):
                self._save(event)
            return Progress(self.run, event.step, None, self.began_at, now - self.began)
        if isinstance(event, engine.Evaluated):
            row = event.row | {"wall_time": round(self.wall_before + now - self.began, 3)}
            self._write(partial(self._write_evaluation, row))
            return Progress(self.run, event.row["step"], row, self.began_at, now - self.began)
        if isinstance(event, engine.Checkpoint):
            self._write(partial(self._write_checkpoint, event))
            return None
        if isinstance(event, engine.Noted):
            self._write(partial(self._write_warning, event.message))
            return Progress(self.run, event.step, None, self.began_at, now - self.began, event.message)
        if self.newest is not None and event.status == "complete" and self.keep_state:
            self._save(self.newest)
        self._write(self._take_over)
        self._write(partial(self.folder.update, status=event.status, message=event.message))
        if not self.keep_state:
            self._write(self.folder.remove_state)
        self._write(self._close)
        return None

    def interrupt(self) -> None:
        """Have the state at the newest step stored, and the run left there."""
        self.is_interrupted = True
        try:
            if self.newest is not None:
                self._save(self.newest)
            self._write(partial(self.folder.update, status="interrupted"))
            self._write(self._close)
        except Exception as error:  # of one run; the others are saved
            self.failure = error

    @property
    def reached(self) -> int:
        """The newest step."""
        return self.began_at if self.newest is None else self.newest.step

    def _save(self, event: engine.Advanced) -> None:
        self._write(partial(self._write_state, event.state()))  # the state as it is now; it may be written later

    def _write(self, write: Callable[[], object]) -> None:
        self.writer.do(partial(self._confirmed, write), of=self)

    def _confirmed(self, write: Callable[[], object]) -> None:
        self._confirm()
        try:
            write()
        except StoreError:
            self._confirm()  # a folder that vanished since is the reason, whatever the write says of it
            raise

    def _confirm(self) -> None:
        """Nothing where the folder is still this run's; LostError with what to do where it disappeared."""
        try:
            self.lock.confirm()
        except LostError as error:
            raise LostError(
                f"{self.run.id}: at step {self.reached:,} {error}. Nothing was made anew, and nothing more is written. Put the "
                "folder back to go on from what is in it, or run the same command again to begin at step 0."
            ) from error

    def _close(self) -> None:
        self.lock.release()
        self.is_closed = True

    def _write_evaluation(self, row: dict[str, Any]) -> None:
        if row["step"] <= self.evaluated_at:  # of a run that stood at its end, where it is looked at once more
            return
        # The size that is expected belongs to one place: a computation that begins again moves to the folder when it has passed what is there.
        behind = self.written.get(self.into.path)
        self.written = {self.into.path: self.into.append(row, behind=behind)}
        if row["step"] > self.to_pass:
            self._take_over()

    def _take_over(self) -> None:
        if self.into is not self.folder:
            self.folder.take_over()
            self.into = self.folder

    def _write_checkpoint(self, event: engine.Checkpoint) -> None:
        self.into.write_step("answers", event.step, packed_answers(event.answer, event.probability))
        self.into.write_step("checkpoints", event.step, event.parameters)

    def _write_warning(self, message: str) -> None:
        told = self.folder.description().get("warnings", [])
        if _kind_of(message) not in map(_kind_of, told):  # each once, and not again whenever the run is continued
            self.folder.update(warnings=[*told, message])

    def _write_state(self, state: State) -> None:
        began = time.perf_counter()
        self.into.write_state(state.step, state.arrays)
        self.rounds.took(time.perf_counter() - began)


def _kind_of(warning: str) -> str:
    """What a warning is about: its words without the step and other numbers."""
    return re.sub(r"[0-9,]+", "", warning)
