"""One registered function, with what is known of it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

Function = Callable[..., Any]

#: kind -> the packages that define its built-in entries; imported at the first look-up of that kind, not before
HOMES: dict[str, tuple[str, ...]] = {
    "operation": ("groklab.data",),
    "group": ("groklab.data",),
    "architecture": ("groklab.model",),
    "optimizer": ("groklab.training",),
    "schedule": ("groklab.training",),
    "loss": ("groklab.model",),
    "intervention": ("groklab.training",),
    "stop": ("groklab.config",),
    "measure": ("groklab.measures",),
    "figure": ("groklab.figures",),
    "preset": ("groklab.config",),
    "experiment": ("groklab.config",),
    "claim": ("groklab.claims",),
}


@dataclass(frozen=True)
class Entry:
    """One registered function: what it is called, what it does, and what it may be given."""

    kind: str
    name: str
    function: Function
    facts: Mapping[str, Any] = field(default_factory=lambda: dict[str, Any]())
    """What the decorator declared: an operation's symbol and domain, a figure's columns, a check, …"""
    plugin: Path | None = None
    """The user's file that defined it; None for groklab's own, and for what a script or notebook has defined."""
    source_hash: str | None = None
    """Hash of that file, or of the function of a script or notebook, so that a run's id depends on it; None for groklab's own."""

    @cached_property
    def description(self) -> str:
        """First paragraph of the docstring, on one line."""
        return " ".join((inspect.getdoc(self.function) or "").split("\n\n")[0].split()).replace("``", "")

    @property
    def settings(self) -> dict[str, Any]:
        """Keyword-only parameters with their defaults; ``inspect.Parameter.empty`` where one must be given."""
        return dict(self._settings)

    @cached_property
    def _settings(self) -> dict[str, Any]:  # a signature is taken apart once: the runs of a report ask for it a hundred thousand times
        hidden = self.facts.get("not_settings", ())
        return {
            name: parameter.default
            for name, parameter in inspect.signature(self.function).parameters.items()
            if parameter.kind is inspect.Parameter.KEYWORD_ONLY and name not in hidden
        } | dict(self.facts.get("more_settings", {}))
