"""When a run may end before its budget: rules over the evaluations made so far.

A rule sees the history as (step, train accuracy, validation accuracy) and answers with the step at which training may end, or
None. It is a function of the history alone, so that a continued run ends where an undisturbed one does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from groklab import registry
from groklab.config.run import Run
from groklab.registry import stop
from groklab.text.values import as_python, shown

Rows = Sequence[Mapping[str, Any]]


def _at_least_zero(settings: Mapping[str, Any]) -> list[str]:
    value = settings["confirmations"]
    whole = isinstance(value, int) and not isinstance(value, bool)
    return [] if whole and value >= 0 else [f"confirmations: got {shown(value)}; expected a whole number, at least 0."]


@stop()
def never(history: Rows, threshold: float) -> int | None:
    """Train for the whole budget."""
    return None


@stop(check=_at_least_zero)
def generalized(history: Rows, threshold: float, *, confirmations: int = 3) -> int | None:
    """End once validation accuracy has reached the threshold and some further evaluations have confirmed it.

    The evaluations need not follow each other: with strong decay the loss spikes now and then, and a network that has understood
    is back a few updates later.
    """
    return _confirmed(history, "validation_accuracy", threshold, confirmations)


@stop(check=_at_least_zero)
def memorized(history: Rows, threshold: float, *, confirmations: int = 0) -> int | None:
    """End once train accuracy has reached the threshold, for questions about memorizing alone, and some further evaluations have confirmed it."""
    return _confirmed(history, "train_accuracy", threshold, confirmations)


def _confirmed(history: Rows, column: str, threshold: float, confirmations: int) -> int | None:
    """The step at which a column is at the threshold for the time after its confirmations."""
    reached = [row["step"] for row in history if row[column] is not None and row[column] >= threshold]
    return int(reached[confirmations]) if len(reached) > confirmations else None


def laxer(first: str, second: str) -> str:
    """Of two rules the one that ends a run later, `never` where they cannot be compared: a run that is asked for with both reaches what each asks."""
    if first == second:
        return first
    order = ("memorized", "generalized")
    calls = [registry.parse_call(text) for text in (first, second)]
    if any(call.name not in order for call in calls):
        return "never"
    if calls[0].name != calls[1].name:
        return first if order.index(calls[0].name) > order.index(calls[1].name) else second
    confirmations = [registry.settings_of("stop", text)["confirmations"] for text in (first, second)]
    return first if confirmations[0] > confirmations[1] else second


def end_of(run: Run, history: Rows, reached: int) -> int | None:
    """The step at which this run is complete, given its history up to step ``reached``; None where more has to be trained.

    ``history`` holds the evaluations of the fixed sequence; those after the budget do not count, so that a smaller budget
    finds its own end in a longer history. A rule of a plugin that is not loaded, whose code reading does not execute, ends nothing before the
    budget. ValueError where the rule answers with anything but an evaluated step or None.
    """
    within = [row for row in history if row["step"] <= run.budget.steps]
    call = registry.parse_call(run.budget.stop)
    rule = registry.entries("stop").get(call.name)
    if rule is None:
        return run.budget.steps if reached >= run.budget.steps else None
    ended = as_python(rule.function(within, run.budget.threshold, **dict(call.settings)))
    if ended is not None:
        if isinstance(ended, bool) or ended not in [row["step"] for row in within]:
            told = f"got {shown(ended)} from {run.budget.stop} after step {reached:,}; expected the step of one of the evaluations it is given, or None"
            raise ValueError(f'stop: {told}. Return row["step"] of the row at which training may end.')
        return int(ended)
    return run.budget.steps if reached >= run.budget.steps else None
