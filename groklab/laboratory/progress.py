"""What is told of runs while they are trained, and what becomes of them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from groklab.config.run import Run
from groklab.stored.run import StoredRun
from groklab.text.values import shown


@dataclass(frozen=True)
class Progress:
    """What is told of a run while it is trained."""

    run: Run
    step: int
    row: dict[str, Any] | None
    """The evaluation just made, if one was."""
    began_at: int
    """The step from which this call trains."""
    seconds: float
    """Time since then."""
    warning: str = ""
    """Something that the user should know, told once."""


class Interrupted(KeyboardInterrupt):
    """Training was stopped by the user after its state was saved."""

    def __init__(self, run: StoredRun, step: int) -> None:
        super().__init__(f"stopped after step {step:,}; `groklab continue {run.id}` goes on from there")
        self.run, self.step = run, step


Outcome = StoredRun | Exception | KeyboardInterrupt
"""What becomes of a run: its results, the error that kept it from them, or that it was stopped."""


class Telling(NamedTuple):
    """Whom to tell what while runs are trained; a run is meant by its position among those that were asked for."""

    begin: Callable[[int, list[dict[str, Any]], dict[str, Any]], None]
    """Told the evaluations that are stored already and the segment that begins."""
    progress: Callable[[int, Progress], None]
    end: Callable[[int, Outcome], None]
    """Told what has become of a run, once."""
    should_stop: Callable[[], bool]


class Display(AbstractContextManager[Any], Protocol):
    """Shows one run while it is trained: a context that is told what happens, and is asked whether to stop."""

    should_stop: Callable[[], bool]

    def begin(self, rows: list[dict[str, Any]], segment: dict[str, Any]) -> None:
        """Start from the evaluations that are stored; ``segment`` says on which machine and path the training goes on."""
        ...

    def __call__(self, progress: Progress) -> None:
        """Take note of an update or an evaluation."""
        ...

    def wait(self, text: str) -> None:
        """Say that another process trains the run."""
        ...


def opened(display: Callable[..., Any], *given: Any) -> Any:
    """A display that was asked for, called with what it shows; TypeError where it is no display."""
    made = None
    with contextlib.suppress(TypeError):  # of what takes other arguments
        made = display(*given)
    if not all(callable(getattr(made, name, None)) for name in ("__enter__", "__exit__", "__call__")):
        expected = "a function of what is trained and whether to stop, which gives a context such as display.notebook.LiveRun or LiveSweep"
        raise TypeError(f"display: got {shown(display)}; expected {expected}.")
    return made
