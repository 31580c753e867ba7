"""An architecture's passes, found by the names under which it registered them."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from groklab.registry import Entry


def pass_of(architecture: Entry, kind: str = "forward") -> Callable[..., Any]:
    """The ``forward`` pass for R runs, the ``reference`` for one, or the ``compiled`` network; the fact is the thing or its place, ``module:name``."""
    place = architecture.facts[kind]
    if isinstance(place, str):
        module, name = place.split(":")
        return getattr(importlib.import_module(module), name)
    return place
