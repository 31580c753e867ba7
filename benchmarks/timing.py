"""Milliseconds a step of several contenders, side by side in one process.

On a shared machine the clock and the neighbours change from second to second. So contenders take short turns, round after round,
each round begins with another of them, and a ratio is taken within its round: what slows one down slows the others too.
"""

from __future__ import annotations

import gc
import math
import statistics
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import NamedTuple

WARMUP_STEPS = 3
SHORTEST_TURN = 0.04
"""Seconds; a turn is one step or, for short steps, as many as fill this."""


class Contender(NamedTuple):
    """Something that makes a step, for ``runs`` runs at once."""

    name: str
    step: Callable[[], object]
    runs: int = 1
    finish: Callable[[], object] | None = None
    """Waits, at the end of a turn, for what a device has not finished."""


def interleaved(contenders: Sequence[Contender], *, rounds: int, seconds: float = math.inf) -> dict[str, list[float]]:
    """Milliseconds a step and run in every round, by name; after ``seconds`` no new round begins, but there are always three."""
    turns = [_steps_of_a_turn(contender) for contender in contenders]
    milliseconds: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        began = perf_counter()
        for round_ in range(rounds):
            if round_ >= 3 and perf_counter() - began > seconds:
                break
            for k in range(len(contenders)):
                at = (round_ + k) % len(contenders)
                contender, steps = contenders[at], turns[at]
                milliseconds[contender.name].append(_time(contender, steps) * 1e3 / contender.runs)
    finally:
        if was_enabled:
            gc.enable()
    return milliseconds


def _time(contender: Contender, steps: int) -> float:
    """Seconds a step."""
    start = perf_counter()
    for _ in range(steps):
        contender.step()
    if contender.finish is not None:
        contender.finish()
    return (perf_counter() - start) / steps


def _steps_of_a_turn(contender: Contender) -> int:
    for _ in range(WARMUP_STEPS):
        seconds = _time(contender, 1)
    return max(1, min(1000, math.ceil(SHORTEST_TURN / seconds)))


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, smallest and largest."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def ratio(above: Sequence[float], below: Sequence[float]) -> dict[str, float]:
    """Spread of the ratios of the same rounds."""
    return spread([a / b for a, b in zip(above, below, strict=True)])
