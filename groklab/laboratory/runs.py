"""The laboratory: ask for a run, and get its results, trained now or long ago.

``train`` is the bridge between the computing side and the reading side: it finds what is stored, has the engine compute what is
missing, and stores it so that a process killed at any moment loses nothing but seconds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from groklab.config.checks import RunError
from groklab.config.fields import Task, leaves
from groklab.config.options import RunsPerBatch, check_runs_per_batch
from groklab.config.run import Run
from groklab.laboratory.batch import Rounds, train_batch
from groklab.laboratory.checks import check
from groklab.laboratory.progress import Display, Interrupted, Outcome, Progress, Telling, opened
from groklab.laboratory.tracking import Trackers, tracking
from groklab.outside.printable import command
from groklab.registry.signatures import checked
from groklab.results.files import StoreError
from groklab.results.finding import find
from groklab.results.lock import InProgressError
from groklab.results.plugins import Trust
from groklab.results.store import RunFolder
from groklab.stored.drawing import drawn
from groklab.stored.results import end_and_reached
from groklab.stored.run import StoredRun, load, stored_runs
from groklab.stored.run import results_as_asked as _stored

if TYPE_CHECKING:
    from groklab.data.table import Table

STATE_INTERVAL = 10.0
"""Seconds of training that a killed process may lose."""
SAVING_PAUSE = 20
"""Or so many times what saving took, where that is longer: a state may be large (grokfast_ma keeps a hundred gradients)."""


@checked
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
    track: Trackers = (),
    display: Callable[[Run, Callable[[], bool] | None], Display] | None = None,
    **fields: Any,
) -> StoredRun:
    """Results of a run, trained as far as they are not stored yet.

    ``fields`` are the leaves of a run by name. Asking again finds what is stored; a larger budget goes on from it, a smaller
    one reports the results up to there. A run that another process trains is waited for, or InProgressError with
    ``wait=False``. ``should_stop`` is asked after every update; a true answer saves the state and raises ``Interrupted``.
    In a notebook the run is shown while it is trained, unless ``on_progress`` or ``on_begin`` is given; ``display`` shows it elsewhere or
    otherwise, see ``display.notebook.LiveRun``.
    ``track`` names trackers that are told as well, tensorboard, wandb, mlflow or trackio (see laboratory/tracking.py).
    """
    asked = Run.of(run, **fields)
    if asked.problems() or stored_as_asked(asked, runs=runs) is None:  # results that are there need neither the device nor the path
        check(asked)
    if display is not None and on_progress is None and on_begin is None:
        with opened(display, asked, should_stop) as live:
            options: dict[str, Any] = {"wait": wait, "keep_state": keep_state, "track": track, "should_stop": live.should_stop}
            return train(asked, runs=runs, on_progress=live, on_begin=live.begin, on_wait=on_wait or live.wait, **options)
    tell_begin, tell_progress, ended = on_begin or say_nothing, on_progress or say_nothing, list[Outcome]()

    def begin(position: int, rows: list[dict[str, Any]], segment: dict[str, Any]) -> None:
        tell_begin(rows, segment)

    def progress(position: int, told: Progress) -> None:
        tell_progress(told)

    def end(position: int, outcome: Outcome) -> None:
        ended.append(outcome)

    tell = Telling(begin, progress, end, should_stop or (lambda: False))
    has_told = False
    with tracking(track, runs) as trackers:
        tell = trackers.around(tell, [asked])
        while True:
            done = stored_as_asked(asked, runs=runs)
            if done is not None:
                trackers.stored([done])
                return done
            train_batch([(0, asked)], Path(runs), tell, Rounds(STATE_INTERVAL, SAVING_PAUSE), keep_state)
            outcome = ended.pop()
            if isinstance(outcome, StoredRun):
                return outcome
            if not isinstance(outcome, InProgressError) or not wait:
                raise outcome
            if tell.should_stop():
                raise KeyboardInterrupt
            if on_wait is not None and not has_told:
                on_wait(f"{outcome} Waiting for it.")
                has_told = True
            time.sleep(0.5)


@checked
def train_together(
    asked: Iterable[Run],
    /,
    *,
    runs: str | Path = "runs",
    runs_per_batch: RunsPerBatch = "auto",
    on_progress: Callable[[int, Progress], None] | None = None,
    on_end: Callable[[int, Outcome], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
    keep_state: bool = True,
    track: Trackers = (),
) -> list[Outcome]:
    """What becomes of each of many runs, trained as far as they are not stored yet, those of one shape side by side.

    ``runs_per_batch`` of them advance together; ``auto`` is one on the CPU, and on a GPU as many as its free memory holds when
    they begin. An outcome is the run's results (a run that diverges has some), ``Interrupted`` or KeyboardInterrupt where
    ``should_stop`` asked to stop, and otherwise the error: InProgressError where another process trains it, which is not waited
    for. ``track`` names trackers, as for ``train``. A run's error does not stop the others. Histories are those of ``train``: on the CPU bit for bit, on a GPU, where the
    runs of a batch share every call, to rounding. The callbacks are given a run's position in ``asked``.
    """
    many = list(asked)
    check_runs_per_batch(runs_per_batch)
    outcomes: dict[int, Outcome] = {}
    tell_end, stop = on_end or say_nothing, should_stop or (lambda: False)

    def end(position: int, outcome: Outcome) -> None:
        outcomes[position] = outcome
        tell_end(position, outcome)

    with tracking(track, runs) as trackers:
        tell = trackers.around(Telling(say_nothing, on_progress or say_nothing, end, stop), many)
        _train_by_shape(many, Path(runs), runs_per_batch, tell, keep_state)
    return [outcomes[position] for position in range(len(many))]


def _train_by_shape(many: Sequence[Run], runs: Path, runs_per_batch: RunsPerBatch, tell: Telling, keep_state: bool) -> None:
    by_shape: dict[Any, list[tuple[int, Run]]] = {}
    for position, run in enumerate(many):
        try:
            done = stored_as_asked(run, runs=runs)
            if done is None:
                check(run)
                by_shape.setdefault(_shape_of(run), []).append((position, run))
                continue
        except Exception as error:  # of one run; the others go on
            done = error
        tell.end(position, done)
    for alike in by_shape.values():
        while alike and not tell.should_stop():
            size = _batch_size(alike[0][1], len(alike), runs_per_batch)
            batch, alike[:] = alike[:size], alike[size:]
            train_batch(batch, runs, tell, Rounds(STATE_INTERVAL, SAVING_PAUSE), keep_state)
        for position, _ in alike:
            tell.end(position, KeyboardInterrupt())


def _shape_of(run: Run) -> Any:
    from groklab.training.batches import shape_of

    return shape_of(run)


def _batch_size(run: Run, count: int, runs_per_batch: RunsPerBatch) -> int:
    from groklab.training.engine import runs_at_once

    return runs_at_once(run, count) if runs_per_batch == "auto" else min(count, runs_per_batch)


def stored_as_asked(run: Run, *, runs: str | Path = "runs") -> StoredRun | None:
    """The results of a run, where they reach as far as it asks; None where something is missing."""
    return _stored(RunFolder(Path(runs) / run.id), run)


@checked
def table(task: Task | None = None, /, **fields: Any) -> Table:
    """The table of an operation: ``table(operation="addition", modulus=7)``; ``fields`` are those of a run's task.

    RunError where it cannot be made.
    """
    from groklab.config.consistency import task_problems
    from groklab.data.tables import table_of

    elsewhere = [name for name in fields if leaves().get(name, "task") != "task"]
    if elsewhere:
        raise ValueError(f"table: got {', '.join(elsewhere)}; expected fields of a task, which a table depends on.")
    run = Run.of(None if task is None else Run(task=task), **fields)
    problems = task_problems(run)
    if problems:
        raise RunError(problems)
    return table_of(run.task)


def say_nothing(*told: Any) -> None:
    """Tell nobody."""


@checked
def continued(
    text: str,
    *,
    runs: str | Path = "runs",
    steps: int | None = None,
    device: str | None = None,
    path: Literal["auto", "compiled", "batched", "reference"] | None = None,
    trust_plugins: Trust = False,
    **options: Any,
) -> StoredRun:
    """A stored run trained on: to its own budget, or to another number of steps; on its own device and path, or on others.

    A plugin that it was trained with is executed from the copy in its folder only with ``trust_plugins``, unless this process has loaded it.
    One that stands at so many steps already, or further, is given back as it stands, and nothing is changed.
    """
    folder = find(Path(runs), text)
    stored = StoredRun(folder, folder.run(trust_plugins))
    if "imported" in stored.folder.description():
        raise StoreError(
            f"{stored.id} was imported: it has parameters, but no state of training to go on from. Nothing was changed. Train the same "
            f"settings from the beginning with `{command('groklab', 'train', '--config', stored.folder.path)}`."
        )
    if stored.run.id != stored.id:
        raise StoreError(
            f"{stored.folder.path} holds the results of {stored.id}, but its settings, table and plugins are those of {stored.run.id}: one "
            "of them was changed. Nothing was changed now. Restore them, or train the other run on its own."
        )
    root = stored.folder.path.parent
    if steps is not None and 0 < steps <= stored.folder.reached():
        stored.run.replace(steps=steps).check()
        with tracking(options.get("track", ()), root) as trackers:
            trackers.stored([stored])
        return stored
    run = stored.run if steps is None else stored.run.replace(steps=steps, stop=_stop_for(stored, steps))
    run = run.replace(**{name: value for name, value in (("device", device), ("path", path)) if value is not None})
    return train(run, runs=root, **options)


def _stop_for(stored: StoredRun, steps: int) -> str:
    """More steps for a run that its stop rule has already ended means: go on all the same."""
    ended, reached = end_and_reached(stored.folder, stored.run.replace(steps=steps))
    return "never" if ended is not None and ended <= reached < steps else stored.run.budget.stop


__all__ = [
    "Interrupted",
    "Progress",
    "StoredRun",
    "check",
    "continued",
    "drawn",
    "load",
    "stored_runs",
    "table",
    "train",
    "train_together",
]
