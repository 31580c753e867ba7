"""The steps between which an intervention acts: its settings ``start`` and ``stop``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from groklab.text.values import shown


def window_problems(settings: Mapping[str, Any]) -> list[str]:
    """What is wrong with the steps at which an intervention is switched on and off."""
    start, stop_at = settings["start"], settings["stop"]
    problems = [
        f"{name}: got {shown(value)}; expected a whole number of steps, at least 0."
        for name, value in (("start", start), ("stop", stop_at))
        if not (name == "stop" and value is None) and (not isinstance(value, int) or isinstance(value, bool) or value < 0)
    ]
    if not problems and stop_at is not None and stop_at <= max(start, 1):
        problems.append(f"stop: got {stop_at}; expected a step after start={max(start, 1)}, at which it is switched on.")
    return problems
