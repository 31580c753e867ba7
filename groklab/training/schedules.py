"""How the learning rate runs: factors on it as functions of the step."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from groklab.registry import schedule
from groklab.values import shown


def _horizon(settings: Mapping[str, Any], **context: Any) -> list[str]:
    horizon, floor = settings["horizon"], settings["floor"]
    problems: list[str] = []
    if not isinstance(horizon, int) or isinstance(horizon, bool) or horizon < 1:
        problems.append(f"horizon: got {shown(horizon)}; expected a whole number of steps, at least 1.")
    if not isinstance(floor, (int, float)) or isinstance(floor, bool) or not 0 <= floor <= 1:
        problems.append(f"floor: got {shown(floor)}; expected a number in [0, 1].")
    return problems


@schedule(source="Power et al. 2022")
def constant(step: int) -> float:
    """The rate stays what it is after the warm-up (Power et al. 2022)."""
    return 1.0


@schedule(source="Loshchilov & Hutter 2017; the official implementation of Power et al. 2022", check=_horizon)
def cosine(step: int, *, horizon: int, floor: float = 0.0) -> float:
    """Half a cosine from the full rate down to ``floor`` of it over ``horizon`` steps, then constant (Loshchilov & Hutter 2017)."""
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(step / horizon, 1.0)))


@schedule(source="Goyal et al. 2017", check=_horizon)
def linear(step: int, *, horizon: int, floor: float = 0.0) -> float:
    """A straight line from the full rate down to ``floor`` of it over ``horizon`` steps, then constant."""
    return floor + (1 - floor) * (1 - min(step / horizon, 1.0))


def warmed_up(step: int, warmup: int, *, from_zero: bool) -> float:
    """Factor on the rate of update ``step``, counted from 1: linear up to 1; ``from_zero`` as the official implementation rises."""
    return 1.0 if warmup == 0 else min(1.0, (step - from_zero) / warmup)
