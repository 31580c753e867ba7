"""What only a process that has done nothing else can tell; `processes.py` starts it: `python -m benchmarks.fresh WHAT …`.

Each prints one JSON object: seconds until the first update, peak memory of a short training, or the shares of a stored run.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def peak_memory() -> float:
    """The most memory that this process has held so far, in MB (10⁶ bytes).

    On Linux not by ``getrusage``, where a process begins with the peak of the one that started it.
    """
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = (line for line in status.read_text(encoding="utf-8").splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / 1e6


def train(*words: str) -> None:
    """`groklab train` with these words, unheard."""
    from groklab.cli import main

    with contextlib.redirect_stdout(io.StringIO()):
        status = main(["train", *words])
    assert status == 0, f"groklab train {' '.join(words)} ended with {status}"


def first_update(began: str, *words: str) -> None:
    """Seconds from ``began``, on the clock of the machine, until `groklab train` has made its first update; ends there."""
    from groklab.training.batches import Batch

    update = Batch.update

    def made(batch: Batch) -> None:
        update(batch)
        os.write(1, json.dumps({"seconds": time.monotonic() - float(began)}).encode())
        os._exit(0)

    Batch.update = made
    train(*words)


def memory(*words: str) -> None:
    """Peak memory after `groklab train`, its pictures drawn."""
    train(*words)
    print(json.dumps({"megabytes": peak_memory()}))


def stored_run(*words: str) -> None:
    """A run of `groklab train`: the time inside of its updates, and all from the first of them to the end of its training."""
    from groklab.laboratory import runs as laboratory
    from groklab.training.batches import Batch

    began: list[float] = []
    inside, update, whole = 0.0, Batch.update, laboratory.train
    told: dict[str, Any] = {}

    def timed(batch: Batch) -> None:
        nonlocal inside
        start = time.perf_counter()
        if not began:
            began.append(start)
        update(batch)
        inside += time.perf_counter() - start

    def timed_training(*arguments: Any, **named: Any) -> Any:
        stored = whole(*arguments, **named)
        wall = time.perf_counter() - began[0]
        told.update(steps=stored.steps, seconds=wall, in_updates=inside, share=1 - inside / wall)
        told.update(evaluations=len(stored.history), checkpoints=len(stored.folder.steps_of("checkpoints")))
        told.update(path=stored.folder.description()["segments"][-1]["path"])
        return stored

    Batch.update, laboratory.train = timed, timed_training
    train(*words)
    print(json.dumps(told))


WHAT: dict[str, Callable[..., None]] = {"first_update": first_update, "memory": memory, "stored_run": stored_run}

if __name__ == "__main__":
    WHAT[sys.argv[1]](*sys.argv[2:])
