"""An architecture's passes, found by the names under which it registered them."""

from __future__ import annotations

import importlib
from collections.abc import Callable

from torch import Tensor

from groklab.registry import Entry


def pass_of(architecture: Entry, kind: str = "forward") -> Callable[..., Tensor]:
    """The ``forward`` pass for R runs or the ``reference`` for one; the fact is a function, or the place of one, ``module:function``."""
    place = architecture.facts[kind]
    if isinstance(place, str):
        module, name = place.split(":")
        return getattr(importlib.import_module(module), name)
    return place
