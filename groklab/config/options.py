"""How runs are trained: where their results go, by which processes, what is kept and who is told.

One frozen value goes from whoever asks (`gl.sweep`, the command line, a completion) down to the process that trains.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from groklab.text.values import shown

RunsPerBatch = int | Literal["auto"]
"""How many runs of one shape are trained side by side."""


@dataclass(frozen=True)
class Options:
    """How many runs are trained; nothing of it changes a history on the CPU."""

    folder: Path = Path("runs")
    """Of the results."""
    workers: int | None = None
    """Processes (for each device, where runs ask for several); by default one per core of a CPU and one per GPU, and 1 is this process."""
    ray: str | None = None
    """Address of a Ray cluster that trains instead, or ``auto`` for the one that is running."""
    runs_per_batch: RunsPerBatch = "auto"
    """Runs of one shape that a process trains side by side; ``auto`` is one on the CPU, and on a GPU as many as its memory holds."""
    keep_state: bool = False
    """Whether complete runs keep their full training state, from which they can be trained on."""
    plugins: str | Path | Sequence[str | Path] = ()
    """Files that this process imports first; the others import what this one has imported, as it was then."""
    track: str | Sequence[str] = ()
    """Trackers that are told as well, by name."""

    def check(self) -> None:
        """ValueError where one of them is wrong, or two contradict each other."""
        if self.workers is not None and self.workers < 1:
            raise ValueError(f"workers: got {self.workers}; expected a number of processes from 1 on.")
        if self.workers is not None and self.ray is not None:
            raise ValueError("workers and ray: got both; expected one of them. A cluster decides for itself how many processes it has.")
        if self.ray is not None and not re.fullmatch(r"(ray://)?[\w.:\[\]-]{1,300}", self.ray):
            raise ValueError(f"ray: got {shown(self.ray)}; expected auto, or the address of a cluster as host:port.")
        check_runs_per_batch(self.runs_per_batch)


def check_runs_per_batch(value: object) -> None:
    """ValueError where a value is not a number of runs per batch."""
    if value != "auto" and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
        raise ValueError(
            f"runs_per_batch: got {shown(value)}; expected auto or a whole number from 1 on. "
            "auto is one run at a time on the CPU, and on a GPU as many as its memory holds."
        )
