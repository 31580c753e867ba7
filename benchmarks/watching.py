"""What it costs to watch a run: evaluations, checkpoints, the saved state, its history and its progress, beside its updates."""

from __future__ import annotations

import io
import math
import tempfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks.timing import Contender, interleaved, spread
from groklab.config.run import Run
from groklab.config.steps import steps_up_to
from groklab.display.terminal import Display
from groklab.laboratory.runs import STATE_INTERVAL, Progress
from groklab.measures.task import MeasuredTask, take
from groklab.results.answers import packed_answers
from groklab.results.store import RunFolder
from groklab.training import engine
from groklab.training.answering import evaluation
from groklab.training.batches import Batch, State
from groklab.training.devices import arrays_of
from groklab.training.engine import Advanced, Past, parameter_counts

TOLD = 200
"""Steps after which it is timed what telling of them costs."""

Figures = dict[str, Any]


def watching(run: Run, *, steps: int, rounds: int, seconds: float) -> Figures:
    """Cost of each of them in milliseconds and in steps, how often it is due in so many steps, and the share of all in the run's time.

    Files are written here by the process that trains; a run has them written by a thread, which costs it less where a core is free.
    """
    with tempfile.TemporaryDirectory() as path:
        acts = _acts(run, Path(path), steps)
        contenders = [Contender(name, act) for name, act in acts.items()]
        measured = interleaved(contenders, rounds=rounds, seconds=seconds)
    measured["telling of a step"] = _between(run, TOLD)
    updates, update = measured["update"], spread(measured["update"])["median"]
    budget = run.budget
    counts = {
        "evaluation": _due(budget.evaluations_per_decade, steps),
        "line of the history": _due(budget.evaluations_per_decade, steps),
        "checkpoint": _due(budget.checkpoints_per_decade, steps),
        "telling of a step": steps,
        "saved state": 1 + math.floor(steps * update / 1e3 / STATE_INTERVAL),
    }
    kinds = {
        name: {
            "milliseconds": spread(measured[name]),
            "in_steps": spread([time / update for time in measured[name]]),
            "count": count,
            "share_of_updates": spread(measured[name])["median"] * count / (update * steps),
        }
        for name, count in counts.items()
    }
    spent = sum(kind["share_of_updates"] for kind in kinds.values())
    return {"steps": steps, "update_milliseconds": spread(updates), "kinds": kinds, "share": spent / (1 + spent)}


def _due(per_decade: int, steps: int) -> int:
    """Members of a sequence of steps up to the last one, which is always one of them."""
    return len({*steps_up_to(steps, per_decade), steps})


def _acts(run: Run, path: Path, steps: int) -> dict[str, Callable[[], object]]:
    """What the engine and the laboratory do, by name."""
    batch, looked = Batch([run], device="cpu"), Batch([run], device="cpu")
    folder, lines = RunFolder(path / run.id), RunFolder(path / "lines")
    for one in (folder, lines):
        one.create(run, parameter_counts(run))
    table, split = looked.tables[0], looked.splits[0]

    def evaluate() -> dict[str, Any]:
        row = evaluation(run, table, split, looked.look([0]).answers[0], 0)
        task = MeasuredTask(run, table, split, looked.initial.of_run(0), 0)
        return row | take(run.budget.measures, looked.parameters.of_run(0), task)

    row, answers = evaluate(), looked.look([0]).answers[0]

    def line() -> None:
        lines.append(row)

    def checkpoint() -> None:
        folder.write_step("answers", 0, packed_answers(answers.answer, answers.probability))
        folder.write_step("checkpoints", 0, arrays_of(looked.parameters, 0))

    def state() -> None:
        folder.write_state(steps, looked.state(0).arrays)

    for step in range(_due(run.budget.evaluations_per_decade, steps)):  # a state is saved with a checksum of the lines before it
        folder.append(row | {"step": step})
    return {"update": batch.update, "evaluation": evaluate, "line of the history": line, "checkpoint": checkpoint, "saved state": state}


def _between(run: Run, count: int) -> list[float]:
    """Milliseconds between one update and the next where nothing is due: the engine's event and the display that hears of it.

    Taken in a training as it goes, because after an update the caches hold other things.
    """
    clock: list[tuple[float, float]] = []

    class Timed(Batch):
        def update(self, moment: Any = None) -> None:
            began = perf_counter()
            super().update(moment)
            clock.append((began, perf_counter()))

    far = 10**9 + 1  # no evaluation for the next hundred million steps
    endless = run.replace(steps=10**10, stop="never")
    display, used = Display(io.StringIO()), engine.Batch
    engine.Batch = Timed
    try:
        for event in engine.train([endless], pasts=[Past(State(far, Batch([run], device="cpu").state(0).arrays))]):
            if isinstance(event, Advanced):
                display(Progress(endless, event.step, None, far, 1.0))
            if len(clock) > count:
                break
    finally:
        engine.Batch = used
    return [1e3 * (after[0] - before[1]) for before, after in pairwise(clock)]
