"""`--dry-run` of sweeps and replications: what would be trained, in which batches, and what that would cost at most."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from groklab.arguments.training import ReplicateArguments, SweepArguments
from groklab.config.run import Run
from groklab.outside.streams import say, write_json
from groklab.text.numbers import duration
from groklab.workers.forecast import forecast


def dry_run(asked: SweepArguments | ReplicateArguments, runs: Sequence[Run]) -> int:
    """Print it; the exit status."""
    found = forecast(runs, asked.options)
    if asked.where.json:
        write_json(found)
        return 0
    told = [f"{found['runs']:,} runs, {found['stored']:,} of them stored, {found['missing']:,} to train"]
    if found["missing"]:
        told += [
            _packing(found),
            f"disk: about {found['disk_bytes'] / 1e6:,.1f} MB",
            f"time: at most {duration(found['seconds_at_most'])}{' on one core' if asked.ray is not None else ''}, if no run ends "
            f"before its budget ({_shapes(found['calibrated_shapes'])} measured here)",
        ]
    say("\n".join(told))
    return 0


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
