"""What training many runs would take: in which batches, by how many processes, and what that would cost at most."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from groklab.config.options import Options
from groklab.config.run import Run
from groklab.laboratory.runs import stored_as_asked
from groklab.workers.batches import places
from groklab.workers.pool import check_all, waiting_runs
from groklab.workers.tally import Job

_CALIBRATED = 12
"""Shapes of runs whose speed is measured."""


def forecast(runs: Sequence[Run], options: Options) -> dict[str, Any]:
    """What training these runs would take: how many are missing, in which batches and processes, bytes on the disk, seconds at most."""
    check_all(runs, options)
    missing = [run for run in runs if stored_as_asked(run, runs=options.folder) is None]
    batches, found_places = _batches(missing, options)
    seconds, measured = _cost(batches)
    return {
        "runs": len(runs),
        "stored": len(runs) - len(missing),
        "missing": len(missing),
        "workers": None if options.ray is not None else len(found_places),
        "places": found_places,
        "batches": len(batches),
        "runs_per_batch": max(map(len, batches), default=0),
        "disk_bytes": sum(map(_disk_bytes, missing)),
        "seconds_at_most": seconds / max(1, len(found_places)),
        "calibrated_shapes": measured,
    }


def _batches(missing: Sequence[Run], options: Options) -> tuple[list[list[Run]], list[str]]:
    """The runs that are trained side by side, and the devices of the processes that do it; none of these on a cluster."""
    from groklab.training.engine import runs_at_once

    waiting = waiting_runs([Job(run) for run in missing], options)
    batches: list[list[Run]] = []
    for jobs in waiting.batches():
        runs = [job.run for job in jobs]
        size = runs_at_once(runs[0], len(runs)) if options.runs_per_batch == "auto" else len(runs)
        batches += [runs[start : start + size] for start in range(0, len(runs), size)]
    return batches, [] if options.ray is not None else places(waiting.batches_on(), workers=options.workers)


def _cost(batches: Sequence[Sequence[Run]]) -> tuple[float, int]:
    """Seconds of one process for all updates and evaluations of these runs, from a few updates of some of their shapes."""
    from groklab.config.steps import steps_up_to
    from groklab.training.batches import shape_of
    from groklab.training.engine import prepare_process

    prepare_process()
    by_shape: dict[Any, list[Sequence[Run]]] = {}
    for batch in batches:
        by_shape.setdefault(shape_of(batch[0]), []).append(batch)
    total, speeds = 0.0, list[tuple[float, float]]()
    for number, alike in enumerate(by_shape.values()):
        if number < _CALIBRATED:
            speeds.append(_speed(alike[0]))
        update, look = speeds[-1] if number < _CALIBRATED else tuple(sum(part) / len(speeds) for part in zip(*speeds, strict=True))
        for run in (run for batch in alike for run in batch):
            total += update * run.budget.steps + look * len(steps_up_to(run.budget.steps, run.budget.evaluations_per_decade))
    return total, len(speeds)


def _speed(runs: Sequence[Run]) -> tuple[float, float]:
    """Seconds of an update and of an evaluation of one run, where these are trained side by side."""
    import torch

    from groklab.training.batches import Batch
    from groklab.training.engine import device_of

    device = device_of(runs[0])
    together = runs if device != "cpu" else runs[:1]  # runs on the CPU share no calls
    batch = Batch(together, device=device)

    def update() -> None:
        batch.update()
        if device.startswith("cuda"):  # which otherwise has been told, and has not done it
            torch.cuda.synchronize(device)

    return _timed(update) / len(together), _timed(batch.answers) / len(together)


def _timed(call: Callable[[], object], seconds: float = 0.2) -> float:
    """Seconds a call, without the first one."""
    call()
    began, calls = time.perf_counter(), 0
    while calls < 3 or (time.perf_counter() - began < seconds and calls < 200):
        call()
        calls += 1
    return (time.perf_counter() - began) / calls


def _disk_bytes(run: Run) -> int:
    """What the results of a run take: checkpoints with answers, and the history."""
    from groklab.config.steps import steps_up_to
    from groklab.training.batches import DTYPES, network

    table, _, layout = network(run)
    checkpoints = len({*steps_up_to(run.budget.steps, run.budget.checkpoints_per_decade), run.budget.steps})
    rows = len(steps_up_to(run.budget.steps, run.budget.evaluations_per_decade))
    return checkpoints * (DTYPES[run.training.precision].itemsize * layout.size + 4 * len(table.x)) + 350 * rows + 4096
