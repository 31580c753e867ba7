"""Which runs are trained together, and by how many processes on which devices."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from groklab.config.run import Run
from groklab.laboratory.runs import RunsPerBatch
from groklab.workers.tally import Job


def processes_on(device: str, *, workers: int | None = None, cores: int | None = None, gpus: int | None = None) -> int:
    """How many processes train on a device at most.

    ``device`` is ``cpu``, ``mps``, ``cuda`` (any of the machine's GPUs) or ``cuda:N``. By default one per core of a CPU, because
    each has one thread, and one per GPU, because runs that share its calls are faster than processes that share its time.
    """
    if workers is not None:
        return workers
    if device == "cpu":
        return cores or os.cpu_count() or 1
    if device == "cuda":
        return max(1, _gpus() if gpus is None else gpus)
    return 1


def places(batches: Mapping[str, int], *, workers: int | None = None, cores: int | None = None, gpus: int | None = None) -> list[str]:
    """The device of every process for so many batches on each device; of ``cuda`` one GPU each in turn, such as ``cuda:0``."""
    found: list[str] = []
    for device, count in batches.items():
        processes = min(count, processes_on(device, workers=workers, cores=cores, gpus=gpus))
        present = max(1, _gpus() if gpus is None else gpus) if device == "cuda" else 1
        found += [f"cuda:{k % present}" if device == "cuda" else device for k in range(processes)]
    return found


def _gpus() -> int:
    import torch

    return torch.cuda.device_count()


class _Kind(NamedTuple):
    """What runs must agree in to be trained together."""

    device: str
    shape: Any
    """None where each is trained alone anyway."""


class Waiting:
    """Runs that wait to be trained, and which of them are trained together next."""

    def __init__(
        self, jobs: Iterable[Job], runs_per_batch: RunsPerBatch, *, device_of: Callable[[Run], str], processes_on: Callable[[str], int]
    ) -> None:
        """Batches are of ``runs_per_batch`` runs of one shape; ``auto`` is one run on the CPU, elsewhere an even share for each process."""
        self._jobs = {id(job): job for job in jobs}
        self._kinds = {key: _kind(job.run, device_of(job.run), runs_per_batch) for key, job in self._jobs.items()}
        self._most = {
            kind: _most(count, kind, runs_per_batch, processes_on(kind.device)) for kind, count in Counter(self._kinds.values()).items()
        }

    def __len__(self) -> int:
        return len(self._jobs)

    def put(self, jobs: Iterable[Job], *, first: bool = False) -> None:
        """Have runs that were taken wait again, behind the others or in front of them."""
        again = {id(job): job for job in jobs}
        self._jobs = again | self._jobs if first else self._jobs | again

    def take(self, place: str | None, now: float) -> list[Job]:
        """The next runs to train together at a place (None: anywhere), first come first; none where all must wait."""
        taken: list[Job] = []
        most = math.inf
        for key, job in self._jobs.items():
            if len(taken) >= most:
                break
            kind = self._kinds[key]
            is_alike = not taken or (kind == self._kinds[id(taken[0])] and len(taken) < job.most_together)
            if is_alike and job.not_before <= now and _fits(kind.device, place):
                taken.append(job)
                most = min(most, self._most[kind], job.most_together)
        for job in taken:
            del self._jobs[id(job)]
        return taken

    def batches(self) -> list[list[Job]]:
        """All runs as they are trained together if nothing happens to them."""
        batches: list[list[Job]] = []
        newest: dict[_Kind, list[Job]] = {}
        for key, job in self._jobs.items():
            kind = self._kinds[key]
            if kind not in newest or len(newest[kind]) >= self._most[kind]:
                newest[kind] = []
                batches.append(newest[kind])
            newest[kind].append(job)
        return batches

    def batches_on(self) -> Counter[str]:
        """How many batches each device has."""
        return Counter(self._kinds[id(batch[0])].device for batch in self.batches())


def _kind(run: Run, device: str, runs_per_batch: RunsPerBatch) -> _Kind:
    if runs_per_batch == 1 or (runs_per_batch == "auto" and device == "cpu"):
        return _Kind(device, None)
    from groklab.training.batches import shape_of

    return _Kind(device, shape_of(run))


def _most(count: int, kind: _Kind, runs_per_batch: RunsPerBatch, processes: int) -> int:
    if runs_per_batch != "auto":
        return runs_per_batch
    return 1 if kind.device == "cpu" else -(-count // processes)


def _fits(device: str, place: str | None) -> bool:
    """Whether a run of a device is trained at a place."""
    return place is None or device == place or (device == "cuda" and place.startswith("cuda"))
