"""`groklab sweep --dry-run` and `groklab replicate --dry-run`: what would be trained, in which batches, and what that would cost at most."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from groklab.arguments.training import ReplicateArguments, SweepArguments
from groklab.config.run import Run
from groklab.laboratory.runs import stored_as_asked
from groklab.outside.streams import say, write_json
from groklab.text.numbers import duration
from groklab.workers.tally import Job

_CALIBRATED = 12
"""Shapes of runs whose speed is measured."""


def dry_run(asked: SweepArguments | ReplicateArguments, runs: Sequence[Run]) -> int:
    """Print it; the exit status."""
    from groklab.workers.pool import check_all

    check_all(runs, workers=asked.workers, ray=asked.ray, runs_per_batch=asked.runs_per_batch)
    missing = [run for run in runs if stored_as_asked(run, runs=asked.where.runs) is None]
    batches, places = _batches(asked, missing)
    seconds, measured = _cost(batches)
    found: dict[str, Any] = {
        "runs": len(runs),
        "stored": len(runs) - len(missing),
        "missing": len(missing),
        "workers": None if asked.ray is not None else len(places),
        "places": places,
        "batches": len(batches),
        "runs_per_batch": max(map(len, batches), default=0),
        "disk_bytes": sum(map(_disk_bytes, missing)),
        "seconds_at_most": seconds / max(1, len(places)),
        "calibrated_shapes": measured,
    }
    if asked.where.json:
        write_json(found)
        return 0
    told = [f"{found['runs']:,} runs, {found['stored']:,} of them stored, {found['missing']:,} to train"]
    if missing:
        told += [
            _packing(found),
            f"disk: about {found['disk_bytes'] / 1e6:,.1f} MB",
            f"time: at most {duration(found['seconds_at_most'])}{' on one core' if asked.ray is not None else ''}, if no run ends "
            f"before its budget ({_shapes(measured)} measured here)",
        ]
    say("\n".join(told))
    return 0


def _batches(asked: SweepArguments | ReplicateArguments, missing: Sequence[Run]) -> tuple[list[list[Run]], list[str]]:
    """The runs that are trained side by side, and the devices of the processes that do it; none of these on a cluster."""
    from groklab.training.engine import runs_at_once
    from groklab.workers.batches import places
    from groklab.workers.pool import waiting_runs

    waiting = waiting_runs([Job(run) for run in missing], asked.runs_per_batch, asked.workers)
    batches: list[list[Run]] = []
    for jobs in waiting.batches():
        runs = [job.run for job in jobs]
        size = runs_at_once(runs[0], len(runs)) if asked.runs_per_batch == "auto" else len(runs)
        batches += [runs[start : start + size] for start in range(0, len(runs), size)]
    return batches, [] if asked.ray is not None else places(waiting.batches_on(), workers=asked.workers)


def _packing(found: dict[str, Any]) -> str:
    """Who trains what, in words, such as "2 processes of one thread, up to 3 runs at a time each: 4 batches"."""
    size, batches, count = found["runs_per_batch"], found["batches"], found["workers"]
    together = "a run at a time" if size == 1 else f"up to {size:,} runs at a time"
    in_all = "" if size == 1 else f": {batches:,} batch{'es' * (batches > 1)}"
    if count is None:
        return f"{batches:,} task{'s' * (batches > 1)} of one core on the cluster, {together} each{in_all}"
    devices = sorted(set(found["places"]) - {"cpu"})
    where = f" on {', '.join(devices)}" if devices else ""
    return f"{count} process{'es' * (count > 1)} of one thread{where}, {together} each{in_all}"


def _shapes(count: int) -> str:
    return "the speed of one shape of run" if count == 1 else f"the speeds of {count} shapes of runs"


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
