"""What is trained and read from Python: ``gl.train`` and its companions, as ``import groklab as gl`` gives them.

They are the functions of the laboratory and of its workers. Here alone is asked whether this is a notebook: there, a training is shown below
its cell while it lasts, and runs, sweeps and tables show themselves as the value of a cell.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from groklab.data.markup import table_html
from groklab.data.table import Table
from groklab.display.notebook import LiveRun, LiveSweep, in_notebook, run_html, show_figures, sweep_html
from groklab.laboratory import runs as laboratory
from groklab.laboratory.runs import table
from groklab.stored.run import StoredRun, load, stored_runs
from groklab.workers import sweeps
from groklab.workers.sweeps import StoredSweep

P = ParamSpec("P")
R = TypeVar("R")


def _displayed(function: Callable[P, R], live: Callable[..., Any]) -> Callable[P, R]:
    """A function that trains, shown in a notebook while it does, unless the caller says how it is to be shown."""

    @wraps(function)
    def called(*given: P.args, **named: P.kwargs) -> R:
        if in_notebook():
            named.setdefault("display", live)
        return function(*given, **named)

    return called


train = _displayed(laboratory.train, LiveRun)
continued = _displayed(laboratory.continued, LiveRun)
sweep = _displayed(sweeps.sweep, LiveSweep)


def _shows_itself(kind: Any, html: Callable[[Any], str]) -> None:
    """Have a notebook show values of a class, which itself knows no display."""
    kind._repr_html_ = html


_shows_itself(Table, table_html)
_shows_itself(StoredRun, run_html)
_shows_itself(StoredSweep, sweep_html)
show_figures()

__all__ = ["StoredRun", "StoredSweep", "continued", "load", "stored_runs", "sweep", "table", "train"]
