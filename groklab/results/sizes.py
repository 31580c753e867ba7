"""How many bytes a run's files of arrays can have: what its own network needs, generously, so that a file of more is not even read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from groklab.results.files import ARRAYS_LIMIT

_SLACK = 16_000_000
"""Bytes that any file may have: its header, and arrays that do not grow with the network."""
_NUMBER = 16
"""Bytes of a parameter: four or eight are written."""
_BLOCKS = 16
"""Numbers per parameter in a training state: the parameters and their moments. Three or four are written."""
_REMEMBERED = 256
"""Gradients that interventions may remember where they do not say how many: grokfast_ma remembers a hundred."""
_UNKNOWN = 1 << 30
"""Bytes of a file where the run's description does not say how large its network is."""


def checkpoint_limit(description: Mapping[str, Any] | None) -> int:
    """Bytes that a checkpoint can have; ``description`` is what run.json holds, None where it cannot be read."""
    return _limit(description, 1)


def state_limit(description: Mapping[str, Any] | None) -> int:
    """Bytes that a training state can have; interventions may remember as many gradients as any of their settings says."""
    training: Any = {} if description is None else description["run"].get("training")
    asked: Any = training.get("interventions") if isinstance(training, dict) else None
    if not asked:
        return _limit(description, _BLOCKS)
    windows = sum(int(number) for number in re.findall(r"(?<![\d.])\d{1,5}(?![\d.])", str(asked)))
    return _limit(description, _BLOCKS + _REMEMBERED + windows)


def _limit(description: Mapping[str, Any] | None, blocks: int) -> int:
    count = None if description is None else description["parameters"].get("total")
    if not isinstance(count, int):
        return _UNKNOWN
    return min(ARRAYS_LIMIT, _SLACK + _NUMBER * blocks * count)
