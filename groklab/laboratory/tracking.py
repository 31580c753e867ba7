"""Trackers beside the training: every one in a thread of its own, behind a queue that never makes the training wait.

What a tracker does or fails to do changes neither a history nor, but for what its library computes, the time of a run: an error is
told once, and the run goes on without that tracker. How much of a run a tracker has, and at which place, is kept in
``runs/trackers/sent``: a continued run goes on there, also after a kill, and a stored one is passed on when it is asked for with a tracker
that does not have it.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from groklab.config.fields import leaves
from groklab.config.run import Run
from groklab.laboratory.progress import Interrupted, Outcome, Progress, Telling
from groklab.laboratory.trackers import Channel, Opening, Tracker, named, names_of
from groklab.outside.streams import aside
from groklab.results.files import make_folder, read_json, write_json
from groklab.stored.run import StoredRun

WAITING = 10_000
"""Records that may wait for a tracker; those beyond are dropped. A run has about 125 for every five decades of steps."""
PATIENCE = 30.0
"""Seconds that the end of a training waits for one call of a tracker."""
FAILURES = 3
"""Runs in a row for which a tracker fails before it is asked no more."""
NOT_A_NUMBER_OF_THE_RUN = ("step", "extra")
"""Columns of the history that are not passed on as numbers."""


def to_standard_error(text: str) -> None:
    """Tell the user something beside what is printed."""
    aside(f"groklab: {text}")


@dataclass
class _Followed:
    """A run that a tracker follows."""

    channel: Channel
    place: str
    sent: int
    """The last step that it was given."""


class Follower:
    """One tracker in its thread."""

    def __init__(self, name: str, tracker: Tracker, root: Path, report: Callable[[str], object]) -> None:
        self.name, self.tracker, self.root, self.report = name, tracker, root / "trackers", report
        self.followed: dict[str, _Followed] = {}
        self.waiting: queue.Queue[Callable[[], object] | None] = queue.Queue(WAITING)
        self.failures = self.dropped = 0
        self.moved = time.monotonic()
        self.is_asked = False
        self.told: set[str] = set()
        self.thread = threading.Thread(target=self._work, name=f"groklab-{name}", daemon=True)
        self.thread.start()

    def do(self, act: Callable[[], object], *, patience: float = 0.0) -> None:
        """Have something done in the thread, if there is room in its queue, or will be in so many seconds."""
        patience = 0.0 if self.dropped else patience  # what does not move once is not waited for again
        try:
            self.waiting.put(act, patience > 0, patience)
        except queue.Full:
            self.dropped += 1
            self._tell("behind", f"tracker {self.name} is slower than the training; records are left out.")

    def finish(self) -> None:
        """Ask the thread to end after what waits for it, if there is room to ask."""
        if not self.is_asked:
            with contextlib.suppress(queue.Full):
                self.waiting.put_nowait(None)
                self.is_asked = True

    def close(self, since: float) -> None:
        """Wait until everything is passed on, or nothing has moved for ``PATIENCE`` seconds, those before ``since`` not counted."""
        while self.thread.is_alive() and time.monotonic() - max(since, self.moved) < PATIENCE:
            self.finish()
            self.thread.join(0.05)
        if self.thread.is_alive():
            self._tell("late", f"tracker {self.name} did not come to an end within {PATIENCE:g} s; what it has not written is lost to it.")

    def _work(self) -> None:
        while (act := self.waiting.get()) is not None:
            if self.failures < FAILURES:
                self._try(act)
            self.moved = time.monotonic()

    def _try(self, act: Callable[[], object]) -> None:
        try:
            act()
        except ModuleNotFoundError as error:
            self.failures = FAILURES
            self._tell("failed", f"tracker {self.name} is not installed ({error}); the training goes on without it. {_INSTALL}")
        except BaseException as error:  # of whatever kind: it is the tracker's and not the training's
            self.failures += 1
            reason = " ".join((str(error) or type(error).__name__).split())
            self._tell("failed", f"tracker {self.name} failed ({type(error).__name__}: {reason}); the training goes on without it.")

    def _tell(self, about: str, text: str) -> None:
        if about not in self.told:
            self.told.add(about)
            self.report(text)

    # — in the thread —

    def begin(self, run: Run, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Open a run and pass on what is stored of it and not there yet."""
        if name in self.followed:  # its batch had failed and goes on in halves
            return
        place = self.tracker.goes_to(self.root)
        sent, _ = self._sent(name, place)
        make_folder(self._marker(name).parent)
        budget = tuple(leaf for leaf, part in leaves().items() if part == "budget")
        channel = self.tracker.opens(Opening(name, run.resolved(), budget, self.root, sent))
        self.followed[name] = _Followed(channel, place, sent)
        self._tell(channel.place, f"{self.name} has it too: {channel.place}")
        for row in rows:
            self.record(name, row)

    def record(self, name: str, row: Mapping[str, Any]) -> None:
        """Pass on an evaluation."""
        followed = self.followed.get(name)
        if followed is None or row["step"] <= followed.sent:
            return
        numbers = {k: v for k, v in row.items() if k not in NOT_A_NUMBER_OF_THE_RUN and isinstance(v, (int, float))}
        try:
            followed.channel.record(row["step"], numbers)
        except BaseException:
            del self.followed[name]  # it is not asked again for this run
            raise
        followed.sent = row["step"]
        self._note(name, followed, has_ended=False)

    def end(self, name: str, status: str, result: StoredRun | None) -> None:
        """Pass on what has become of a run, and take note of how much of it is there."""
        followed = self.followed.pop(name, None)
        if followed is None:
            return
        told = {} if result is None else result.summary.to_dict()
        wanted = ("memorized_at", "generalized_at", "delay")
        results = {"steps": told.get("steps", followed.sent)} | {k: told[k] for k in wanted if told.get(k) is not None}
        followed.channel.close(status if result is None or status else result.status, results)
        self.failures = 0
        self._note(name, followed, has_ended=status in ("", "failed"))

    def stored(self, result: StoredRun) -> None:
        """Pass on a run that was stored before, as far as it is not there."""
        sent, has_ended = self._sent(result.id, self.tracker.goes_to(self.root))
        rows = result.rows
        if rows and (sent < rows[-1]["step"] or not has_ended):
            self.begin(result.run, result.id, rows)
            self.end(result.id, "", result)

    def _sent(self, name: str, place: str) -> tuple[int, bool]:
        """The last step of a run that a place has, −1 for none, and whether it has the run's end."""
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            known = read_json(self._marker(name))
            if known["place"] == place:
                return int(known["step"]), bool(known["ended"])
        return -1, False

    def _note(self, name: str, followed: _Followed, *, has_ended: bool) -> None:
        # After every record: a process that is killed leaves behind what the tracker has, and nothing is there twice.
        write_json(self._marker(name), {"place": followed.place, "step": followed.sent, "ended": has_ended})

    def _marker(self, name: str) -> Path:
        return self.root / "sent" / self.name / f"{name}.json"


_INSTALL = "Install it with pip install 'groklab[track]'."


class Tracking:
    """Tells trackers what happens to runs."""

    def __init__(self, names: str | Sequence[str], root: Path, report: Callable[[str], object] = to_standard_error) -> None:
        self.names = names_of(names)
        self.followers = [Follower(name, tracker, root, report) for name, tracker in named(self.names).items()]

    def close(self) -> None:
        """Wait for what is not passed on yet."""
        since = time.monotonic()  # the same for all: several that hang cost no more than one
        for follower in self.followers:
            follower.finish()
        for follower in self.followers:
            follower.close(since)

    def around(self, tell: Telling, runs: Sequence[Run]) -> Telling:
        """``tell``, with the trackers told as well; positions are those in ``runs``."""
        if not self.followers:
            return tell
        begun: set[int] = set()

        def begin(position: int, rows: list[dict[str, Any]], segment: dict[str, Any]) -> None:
            run, stored = runs[position], list(rows)
            begun.add(position)
            for follower in self.followers:
                follower.do(partial(follower.begin, run, run.id, stored))
            tell.begin(position, rows, segment)

        def progress(position: int, told: Progress) -> None:
            if told.row is not None:
                name = runs[position].id
                for follower in self.followers:
                    follower.do(partial(follower.record, name, told.row))
            tell.progress(position, told)

        def end(position: int, outcome: Outcome) -> None:
            if position in begun:
                begun.discard(position)
                self._end(runs[position].id, outcome)
            elif isinstance(outcome, StoredRun):
                self.stored([outcome])
            tell.end(position, outcome)

        return Telling(begin, progress, end, tell.should_stop)

    def _end(self, name: str, outcome: Outcome) -> None:
        result = outcome if isinstance(outcome, StoredRun) else outcome.run if isinstance(outcome, Interrupted) else None
        status = "" if isinstance(outcome, StoredRun) else "interrupted" if isinstance(outcome, KeyboardInterrupt) else "failed"
        for follower in self.followers:
            follower.do(partial(follower.end, name, status, result))

    def stored(self, results: Sequence[StoredRun]) -> None:
        """Pass on runs that were stored before, as far as the trackers do not have them."""
        for follower in self.followers:
            for result in results:
                follower.do(partial(follower.stored, result), patience=PATIENCE)


Trackers = str | Sequence[str] | Tracking
"""Trackers by name, or those that are at work already."""


@contextlib.contextmanager
def tracking(track: Trackers, root: str | Path, report: Callable[[str], object] = to_standard_error) -> Generator[Tracking]:
    """Trackers at work; at its end everything is passed on, unless they were at work before."""
    if isinstance(track, Tracking):
        yield track
        return
    made = Tracking(track, Path(root), report)
    try:
        yield made
    finally:
        made.close()
