"""What a measure may know besides the parameters, and the one way in which measures are taken."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from groklab import registry
from groklab.config.run import Run
from groklab.data.splits import Split
from groklab.data.streams import stream
from groklab.data.table import Table
from groklab.model.parameters import Parameters


@dataclass(frozen=True)
class MeasuredTask:
    """The surroundings of one measurement of one run."""

    run: Run
    table: Table
    split: Split
    initial: Parameters
    """The initial parameters, (1, P)."""
    step: int
    """The step at which the parameters stand."""

    def randomness(self, name: str) -> np.random.Generator:
        """A stream of the measure's own, the same whenever it is taken at this step of this run."""
        return stream(f"measure {name}", self.run.seeds.of("noise"), self.step)


def take(names: tuple[str, ...], parameters: Parameters, task: MeasuredTask) -> dict[str, float]:
    """Numbers of several measures of one run, (1, P); one that gives several is written as ``measure.part``."""
    return {name: float(value) for text in names for name, value in take_one(text, parameters, task).items()}


def take_one(text: str, parameters: Parameters, task: MeasuredTask) -> dict[str, Any]:
    """One measure of one run: its number under its name, its numbers as ``measure.part``, or its arrays under their own names."""
    call = registry.parse_call(text)
    entry = registry.look_up("measure", call.name)
    result: Any = entry.function(parameters, task, **dict(call.settings))
    if not isinstance(result, dict):
        return {call.name: float(result)}
    return result if entry.facts.get("arrays") else {f"{call.name}.{part}": float(value) for part, value in result.items()}
