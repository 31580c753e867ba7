"""What something costs, in yardsticks: a tenth of a second of this processor, by a piece of Python and numpy that never changes.

A promise in seconds is one about the machine as well. As a multiple of what the same process does before and after it, in processor
time, it is one about the program: a slow processor and busy neighbors lengthen both.
"""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Callable

import numpy as np

_TIMES = 16


def yardstick() -> None:
    """About a tenth of a second on a server's core of 2022: texts taken apart and put together, dictionaries, sorting.

    No products of matrices: how many threads they take, and how these wait for one another, differs between processes.
    """
    numbers = np.random.default_rng(0).standard_normal(25_600)
    text = json.dumps([{"name": f"run {k}", "at": k / 7, "is_there": k % 2 == 0} for k in range(300)])
    for _ in range(_TIMES):
        rows = json.loads(text)
        by_name = {row["name"]: row["at"] for _ in range(20) for row in rows}
        sorted(by_name, key=lambda name: (by_name[name] % 1, name))
        total = 0
        for k in range(60_000):
            total += k * k % 7
        np.sort(numbers)


def yardsticks(work: Callable[[], object], *, rounds: int = 3) -> float:
    """Processor time of ``work`` and of the processes that it starts and waits for, in yardsticks; the least of some rounds."""
    found: list[float] = []
    for _ in range(rounds):
        before = _spent(yardstick)
        spent = _spent(work)
        found.append(spent / ((before + _spent(yardstick)) / 2))
    return min(found)


def _spent(work: Callable[[], object]) -> float:
    began = _seconds()
    work()
    return _seconds() - began


def _seconds() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime
