"""groklab: the laboratory for grokking.

    import groklab as gl
    run = gl.train(operation="division", train_fraction=0.5)
    run.summary.generalized_at
    run.plot()

Read the package in the order of the data:

    config/fields → config/run → data/operations → data/tables → data/splits → model/transformer → model/losses → measures/* →
    training/optimizers → training/interventions → training/engine → results/store → analysis/grokking → figures/* →
    laboratory → cli

Axis letters, everywhere: R runs, B examples, T tokens, H heads, E width, F MLP width, N elements, V vocabulary, P parameters.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from typing import TYPE_CHECKING, Any

from groklab.version import __version__ as __version__

if TYPE_CHECKING:
    from groklab.api import StoredRun, StoredSweep, continued, load, stored_runs, sweep, table, train
    from groklab.completion.completion import Completion, complete
    from groklab.config.run import Run
    from groklab.registry import (
        architecture,
        claim,
        experiment,
        figure,
        group,
        intervention,
        loss,
        measure,
        operation,
        optimizer,
        preset,
        schedule,
        stop,
    )

_HOMES = {
    "groklab.api": ("StoredRun", "StoredSweep", "continued", "load", "stored_runs", "sweep", "table", "train"),
    "groklab.completion.completion": ("Completion", "complete"),
    "groklab.config.run": ("Run",),
    "groklab.registry": (
        "architecture",
        "claim",
        "experiment",
        "figure",
        "group",
        "intervention",
        "loss",
        "measure",
        "operation",
        "optimizer",
        "preset",
        "schedule",
        "stop",
    ),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Completion",
    "Run",
    "StoredRun",
    "StoredSweep",
    "architecture",
    "claim",
    "complete",
    "continued",
    "experiment",
    "figure",
    "group",
    "intervention",
    "load",
    "loss",
    "measure",
    "operation",
    "optimizer",
    "preset",
    "schedule",
    "stop",
    "stored_runs",
    "sweep",
    "table",
    "train",
]


def __getattr__(name: str) -> Any:
    """Public names are fetched when they are asked for, so that importing groklab imports nothing."""
    if name in _HOME_OF:
        return getattr(import_module(_HOME_OF[name]), name)
    raise AttributeError(f"module 'groklab' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])


# — modules that users import, in the places where they were before —

_FORMER_HOMES = {
    "groklab.analysis.claims": "groklab.claims.rules",
    "groklab.exchanging": "groklab.laboratory.networks",
    "groklab.measuring": "groklab.stored.measurements",
}
"""As the documentation of 0.1 named them: plugins that lie with stored results import them from there, and must go on to work."""


class _FormerHomes(MetaPathFinder, Loader):
    """Finds a module that has moved under the name that it had."""

    def find_spec(self, name: str, path: Any, target: Any = None) -> ModuleSpec | None:
        return ModuleSpec(name, self) if name in _FORMER_HOMES else None

    def create_module(self, spec: ModuleSpec) -> Any:
        module = import_module(_FORMER_HOMES[spec.name])
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module: Any) -> None:
        module.__spec__ = module.__spec__.loader_state  # the machinery has put the former name there


sys.meta_path.append(_FormerHomes())
