"""The interventions of a batch of runs at work: which are switched on, with which settings and memories, at which point."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from groklab import registry
from groklab.config.run import Run
from groklab.training.moments import Moment

Numbers = Callable[[Sequence[Any]], Any]


class Acting:
    """One intervention of R runs, with its memory."""

    def __init__(self, calls: Sequence[registry.Call], numbers: Numbers) -> None:
        self.entry = registry.look_up("intervention", calls[0].name)
        settings = [self.entry.settings | dict(call.settings) for call in calls]
        merged = {name: numbers([s[name] for s in settings]) for name in settings[0]}
        self.start, self.stop = merged.pop("start"), merged.pop("stop")
        self.settings = merged
        self.at: str = self.entry.facts["at"]
        parameters = inspect.signature(self.entry.function).parameters
        self.wants = {name for name in ("moment", "name") if name in parameters}
        positional = [p for p in parameters.values() if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        self.remembers = len([p for p in positional if p.name not in self.wants]) > 1
        self.memory: Any = None
        self.keeps_place = False
        """Whether the memory stays in its place, as a recording of the update needs it, instead of being replaced."""

    @property
    def name(self) -> str:
        """The intervention's registered name."""
        return self.entry.name

    @property
    def is_capturable(self) -> bool:
        """Whether one recording of its calls serves every step."""
        return bool(self.entry.facts.get("capturable"))

    def is_on(self, step: int) -> bool:
        """Whether it acts on update ``step``, counted from 1."""
        return self.start <= step and (self.stop is None or step < self.stop)

    def act(self, value: Tensor, moment: Moment, activation_name: str = "") -> Tensor:
        """What becomes of a value."""
        offered = {"moment": replace(moment, name=self.name, age=moment.step - max(self.start, 1) + 1), "name": activation_name}
        options = self.settings | {name: offered[name] for name in self.wants}
        if not self.remembers:
            return self.entry.function(value, **options)
        if self.memory is None:
            self.memory = _kept(self.first_memory(value), value)
        result, memory = self.entry.function(value, self.memory, **options)
        kept = _kept(memory, value)
        if self.keeps_place:
            _put(kept, self.memory)
        else:
            self.memory = kept
        return result

    def first_memory(self, value: Tensor) -> Any:
        """What it remembers before its first value, made from that."""
        rule = self.entry.facts.get("memory", "first")
        if callable(rule):
            return rule(value, self.settings)
        return torch.zeros_like(value) if rule == "zeros" else value.clone()

    # — state, one run at a time —

    def state(self, r: int) -> dict[str, np.ndarray]:
        """Run r's memory, as arrays."""
        if self.memory is None:
            return {}
        return {f"interventions/{self.name}/{key}": part[r].cpu().numpy().copy() for key, part in _parts(self.memory).items()}

    def load(self, arrays: Sequence[Mapping[str, np.ndarray]], device: str) -> None:
        """Restore the memories of all runs from what ``state`` gave for each."""
        prefix = f"interventions/{self.name}/"
        keys = [name.removeprefix(prefix) for name in arrays[0] if name.startswith(prefix)]
        if keys:
            parts = {key: torch.from_numpy(np.stack([a[prefix + key] for a in arrays])).to(device) for key in keys}
            self.memory = parts["memory"] if keys == ["memory"] else tuple(parts[str(i)] for i in range(len(keys)))


def _kept(memory: Any, value: Tensor) -> Any:
    """A memory with nothing in the block of the value, which training overwrites: ``return …, gradient`` remembers this gradient."""
    if isinstance(memory, Tensor):
        return memory.clone() if memory.untyped_storage().data_ptr() == value.untyped_storage().data_ptr() else memory
    if not (isinstance(memory, tuple) and all(isinstance(part, Tensor) for part in memory)):
        raise TypeError(f"got a memory of type {type(memory).__name__}; expected a tensor or a tuple of tensors, each with a run axis.")
    return tuple(_kept(part, value) for part in memory)


def _put(memory: Any, place: Any) -> None:
    """Write a memory where the one before lies; what lies there and is to be moved within it is copied first."""
    new, old = list(_parts(memory).values()), list(_parts(place).values())
    assert [part.shape for part in new] == [part.shape for part in old], "a memory keeps its shape"
    blocks = {part.untyped_storage().data_ptr() for part in old}
    new = [n if n is o or n.untyped_storage().data_ptr() not in blocks else n.clone() for n, o in zip(new, old, strict=True)]
    for n, o in zip(new, old, strict=True):
        if n is not o:
            o.copy_(n)


def _parts(memory: Any) -> dict[str, Tensor]:
    """A memory as named tensors: it is one tensor, or a tuple of tensors, each with a leading run axis."""
    return {"memory": memory} if isinstance(memory, Tensor) else {str(i): part for i, part in enumerate(memory)}


def acting_for(runs: Sequence[Run], numbers: Numbers) -> list[Acting]:
    """The interventions of runs that name the same ones in the same order."""
    calls = [[registry.parse_call(text) for text in run.training.interventions] for run in runs]
    return [Acting([of_run[i] for of_run in calls], numbers) for i in range(len(calls[0]))]


def shared_settings(kind: str, text: str) -> tuple[Any, ...]:
    """What runs must agree in to share one batch: the name, and every setting that is not a decimal number."""
    call = registry.parse_call(text)
    defaults = registry.look_up(kind, call.name).settings

    def is_decimal(name: str, value: Any) -> bool:
        return isinstance(value, float) or (isinstance(defaults[name], float) and type(value) is int)

    return call.name, *((name, value) for name, value in registry.settings_of(kind, text).items() if not is_decimal(name, value))
