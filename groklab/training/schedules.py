"""How the learning rate runs: factors on it as functions of the step.

A schedule is ``(step, *, settings) -> factor``, the step counted from 1. One that declares ``not_settings=("full_at",)`` is also given
``full_at``: the update at which the warm-up ends, the first at the full rate.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from groklab.registry import schedule
from groklab.text.values import shown


def _horizon(settings: Mapping[str, Any], **context: Any) -> list[str]:
    horizon, floor = settings["horizon"], settings["floor"]
    problems: list[str] = []
    if not isinstance(horizon, int) or isinstance(horizon, bool) or horizon < 1:
        problems.append(f"horizon: got {shown(horizon)}; expected a whole number of steps, at least 1.")
    if not isinstance(floor, (int, float)) or isinstance(floor, bool) or not 0 <= floor <= 1:
        problems.append(f"floor: got {shown(floor)}; expected a number in [0, 1].")
    if not isinstance(settings["after_warmup"], bool):
        problems.append(f"after_warmup: got {shown(settings['after_warmup'])}; expected True or False.")
    return problems


def _share(step: int, horizon: int, first: int) -> float:
    """How much of the way down is behind, in [0, 1]."""
    return min(max(step - first, 0) / horizon, 1.0)


@schedule(source="Power et al. 2022")
def constant(step: int) -> float:
    """The rate stays what it is after the warm-up (Power et al. 2022)."""
    return 1.0


@schedule(source="Loshchilov & Hutter 2017; the official implementation of Power et al. 2022", check=_horizon, not_settings=("full_at",))
def cosine(step: int, *, horizon: int, floor: float = 0.0, after_warmup: bool = False, full_at: int = 0) -> float:
    """Half a cosine from the full rate down to ``floor`` of it over ``horizon`` steps, then constant (Loshchilov & Hutter 2017).

    It begins at step 0, beside the warm-up, or with ``after_warmup=True`` at the first update at the full rate. The official implementation's
    ``--anneal_lr`` is ``cosine(horizon=100000, floor=0.1, after_warmup=True)`` with ``--warmup-from-zero``.
    """
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * _share(step, horizon, full_at if after_warmup else 0)))


@schedule(source="Goyal et al. 2017", check=_horizon, not_settings=("full_at",))
def linear(step: int, *, horizon: int, floor: float = 0.0, after_warmup: bool = False, full_at: int = 0) -> float:
    """A straight line from the full rate down to ``floor`` of it over ``horizon`` steps, then constant.

    It begins at step 0, beside the warm-up, or with ``after_warmup=True`` at the first update at the full rate.
    """
    return floor + (1 - floor) * (1 - _share(step, horizon, full_at if after_warmup else 0))


def warmed_up(step: int, warmup: int, *, from_zero: bool) -> float:
    """Factor on the rate of update ``step``, counted from 1: linear up to 1; ``from_zero`` as the official implementation rises."""
    return 1.0 if warmup == 0 else min(1.0, (step - from_zero) / warmup)
