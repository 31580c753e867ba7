"""Keeps the newest look at a network, so that all measures of one checkpoint share one forward pass."""

from __future__ import annotations

import functools
import hashlib
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from groklab import registry
from groklab.measures.task import MeasuredTask
from groklab.model.parameters import Parameters

Look = TypeVar("Look")


@dataclass(frozen=True)
class _Kept(Generic[Look]):
    """A look, what it is of, and the task that it lives as long as."""

    of: tuple[object, ...]
    look: Look
    task: weakref.ref[MeasuredTask]


def newest_kept(function: Callable[[Parameters, MeasuredTask], Look]) -> Callable[[Parameters, MeasuredTask], Look]:
    """Gives what a function of a network has made before, where all that it may depend on is the same: parameters, network, table.

    The parameters count by their values, so that training on in the same memory is noticed. One look is kept, and no longer than
    the last task that it was given for lives: it may take gigabytes.
    """
    kept: list[_Kept[Look]] = []

    @functools.wraps(function)
    def of(parameters: Parameters, task: MeasuredTask) -> Look:
        key = _everything(parameters, task)
        if kept and kept[0].of == key:
            look = kept[0].look
        else:
            kept.clear()  # before the next is made, for two may not fit
            look = function(parameters, task)
        # A reference that is replaced calls nothing, so that what goes with an earlier task is never a later look.
        kept[:] = [_Kept(key, look, weakref.ref(task, lambda _: kept.clear()))]
        return look

    return of


def _everything(parameters: Parameters, task: MeasuredTask) -> tuple[object, ...]:
    flat, run = parameters.flat, task.run
    values = hashlib.blake2b(flat.detach().cpu().contiguous().numpy().tobytes()).digest()
    network = registry.look_up("architecture", registry.parse_call(run.model.architecture).name).function
    return values, flat.dtype, flat.device, run.model, network, run.task, task.table
