"""Who is compared: the peer, the three paths of this package and the floor, at the sizes of one run."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch

from benchmarks.floor import Floor, shared_products
from benchmarks.peer import Peer
from benchmarks.timing import Contender
from groklab.config.run import Run
from groklab.training import memory
from groklab.training.batches import Batch
from groklab.training.capture import WARM_UPS


def seeds(run: Run, count: int) -> list[Run]:
    """The same run with ``count`` different seeds."""
    return [run.replace(seed=seed) for seed in range(count)]


def peer(run: Run) -> Contender:
    """What a user of PyTorch would write."""
    return Contender("peer", Peer(run).update)


def reference(run: Run, device: str = "cpu") -> Contender:
    """The network as it is written to be read, under autograd."""
    batch = Batch([run.replace(path="reference")], device=device, capture=False)
    return Contender("reference", batch.update, 1, _finish(device))


def batched(run: Run, count: int = 1) -> Contender:
    """The batched network under autograd; several runs share every call."""
    batch = Batch(seeds(run.replace(path="batched"), count), device="cpu")
    return Contender(f"batched, R = {count}", batch.update, count)


def fast(run: Run, count: int = 1, device: str = "cpu") -> Contender:
    """The path that is taken where nobody says another, named by what it is; several runs share every call."""
    batch = Batch(seeds(run, count), device=device)
    for _ in range(0 if device == "cpu" else WARM_UPS + 2):  # on a device the first are made call by call, and then one is recorded
        batch.update()
    return Contender(f"{batch.path}, R = {count}", batch.update, count, _finish(device))


def floor(run: Run, count: int = 1, device: str = "cpu") -> Contender:
    """The products alone; on the CPU those of one run, because several runs there would make them one after the other."""
    made = Floor(shared_products(run), device=device, runs=None if device == "cpu" else count)
    return Contender("floor", made.update, 1 if device == "cpu" else count, _finish(device))


def that_fit(run: Run, counts: Sequence[int], device: str) -> list[int]:
    """Those numbers of runs that the memory of a device holds at once; all of them on the CPU."""
    if device == "cpu":
        return list(counts)
    most = memory.runs_that_fit(run, memory.free_bytes(device))
    return [count for count in counts if count <= most]


def _finish(device: str) -> partial[None] | None:
    return None if device == "cpu" else partial(torch.cuda.synchronize, device)
