"""Whether a run can be trained here: all that is wrong with it, told before anything is written."""

from __future__ import annotations

import contextlib
from typing import Any

from groklab.config.checks import RunError, type_problems
from groklab.config.fields import leaves
from groklab.config.run import Run


def check(run: Run, looked_at: set[Any] | None = None) -> None:
    """All that can be wrong with a run, before anything is written; RunError with every problem.

    ``looked_at`` remembers the networks of many runs, so that what a network's layout tells is asked once of those that differ in seed and
    steps alone.
    """
    problems = run.problems()
    if not any(leaves().get(problem.field) in ("task", "model") for problem in problems):
        from groklab.training.engine import run_problems

        if problems:
            # What the network's layout tells can be asked wherever there is one, so that all mistakes come together.
            with contextlib.suppress(ValueError, TypeError):
                problems += [] if type_problems(run) else run_problems(run)
        else:
            key = tuple(str(value) for name, value in run.resolved().items() if name not in ("seed", "steps"))
            if looked_at is None or key not in looked_at:
                problems += run_problems(run)
            if looked_at is not None:
                looked_at.add(key)
    if problems:
        raise RunError(problems)
