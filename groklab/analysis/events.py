"""What happened in a history, as facts and in words: its transitions, the spikes of its training loss, and which of these are slingshots."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import polars as pl

from groklab.analysis.spikes import slingshots, spikes
from groklab.analysis.transition import Gaps, Scale, Transition, fit_transition, gaps
from groklab.text.values import shown

NORMS = ("matrix_norms.output", "weight_norm")
"""Columns that may tell slingshots from other spikes, the one of Thilak et al. (2022) first."""
UNMIRRORED = "validation_accuracy_unmirrored"
_NAMED = 4
"""Spikes that are named by their steps."""


@dataclass(frozen=True)
class Events:
    """What happened in one history."""

    train: Transition
    validation: Transition
    unmirrored: Transition | None
    """Of the validation cells (x, y) whose mirror image (y, x) is no training cell; None where there are no others."""
    spikes: pl.DataFrame
    """The table of `spikes`, or of `slingshots` where the history has a norm."""

    @property
    def gaps(self) -> Gaps:
        """How much later validation cells make their transition than training cells."""
        return gaps(self.train, self.validation)

    def to_dict(self) -> dict[str, Any]:
        """All of it by name, with None for numbers that are not finite."""
        unmirrored = None if self.unmirrored is None else _finite(asdict(self.unmirrored))
        sides = {"train": _finite(asdict(self.train)), "validation": _finite(asdict(self.validation)), "unmirrored": unmirrored}
        return {"transitions": sides | self.gaps._asdict(), "spikes": [_finite(row) for row in self.spikes.to_dicts()]}


def events_of(history: pl.DataFrame, *, scale: Scale = "log10", factor: float = 5.0) -> Events:
    """The events of one run's history; ``scale`` is that of the fits, ``factor`` that of the spikes.

    ValueError where the history lacks steps, accuracies or the training loss.
    """
    train, validation = (_fit(history, f"{side}_accuracy", scale) for side in ("train", "validation"))
    is_apart = UNMIRRORED in history.columns and not history.filter(pl.col(UNMIRRORED) != pl.col("validation_accuracy")).is_empty()
    unmirrored = _fit(history, UNMIRRORED, scale) if is_apart else None
    norm = next((name for name in NORMS if name in history.columns and _are_positive(history[name])), None)
    found = spikes(history, factor=factor) if norm is None else slingshots(history, norm=norm, factor=factor)
    return Events(train, validation, unmirrored, found)


def _fit(history: pl.DataFrame, column: str, scale: Scale) -> Transition:
    if column not in history.columns:
        raise ValueError(f"history: got no column {shown(column)}; expected one of {', '.join(history.columns)}.")
    known = history.select("step", pl.col(column).cast(pl.Float64)).drop_nulls().filter(pl.col(column).is_not_nan())
    return fit_transition(known["step"].to_numpy(), known[column].to_numpy(), scale=scale)


def _are_positive(values: pl.Series) -> bool:
    known = values.drop_nulls()
    return len(known) > 0 and bool((known > 0).all())


def _finite(values: dict[str, Any]) -> dict[str, Any]:
    return {name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in values.items()}


# — in words —


def told_events(found: Events) -> dict[str, str]:
    """What happened, a heading with a line for people each; cells without a mirror image are told where they behave in their own way."""
    lines = {"train rises": told_transition(found.train), "validation rises": told_transition(found.validation)}
    if found.unmirrored is not None and _differ(found.unmirrored, found.validation):
        lines["unmirrored rises"] = told_transition(found.unmirrored)
    gap = told_gap(found.train, found.validation)
    return lines | ({"gap": gap} if gap else {}) | {"spikes": told_spikes(found.spikes)}


def told_transition(found: Transition) -> str:
    """A transition in a line for people, with its standard errors, or why there is none.

    >>> told_transition(Transition("log10", why="flat: the accuracy changes by 0.020, less than 0.1"))
    'no transition: flat: the accuracy changes by 0.020, less than 0.1'
    """
    if found.step is None:
        return f"no transition: {found.why}"
    place = f"t* = {_with_error(found.step, found.step_error)} steps"
    if found.sharpness is None:
        return f"{place}; {found.why}"
    per = "decade" if found.scale == "log10" else "step"
    return f"{place}, sharpness s = {_with_error(found.sharpness, found.sharpness_error)} per {per}"


def _differ(one: Transition, other: Transition) -> bool:
    """Whether one of two transitions is there and the other is not, or they lie three standard errors apart."""
    if one.center is None or other.center is None:
        return one.center is not None
    return abs(one.center - other.center) > 3 * math.hypot(one.center_error or 0, other.center_error or 0)


def told_gap(train: Transition, validation: Transition) -> str:
    """How much later one transition is than the other, in words; nothing where one of them is not there."""
    gap = gaps(train, validation)
    if gap.relative_gap is None or gap.gap is None:
        return ""
    return f"t* of validation is {gap.relative_gap + 1:.2f} times that of train ({gap.gap:+.2f} decades)"


def told_spikes(found: pl.DataFrame) -> str:
    """How many spikes of the training loss there are, and where."""
    if found.is_empty():
        return "no spikes of the training loss"
    told = f"{_counted(found.height, 'spike')} of the training loss, at {_steps(found)}"
    if "is_slingshot" not in found.columns:
        return told
    slung = found.filter(pl.col("is_slingshot").fill_null(value=False))
    return told + (f"; {_counted(slung.height, 'slingshot')}, at {_steps(slung)}" if slung.height else "; none of them a slingshot")


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number > 1)}"


def _steps(found: pl.DataFrame) -> str:
    steps = [f"{step:,}" for step in found["step"].to_list()]
    shown = steps if len(steps) <= _NAMED else [*steps[: _NAMED - 1], "…"]
    return f"step{'s' * (len(steps) > 1)} {', '.join(shown)}"


_DIGITS = 5
"""Of a value that is told."""


def _with_error(value: float, error: float | None) -> str:
    """A value to the place where its error has two digits, and never more digits than anybody reads.

    >>> _with_error(3127.38, 41.7), _with_error(0.0123456, 0.00021), _with_error(200.0000001, 1e-6), _with_error(12.0, None)
    ('3,127 ± 42', '0.01235 ± 0.00021', '200.00', '12.000')
    """
    most = max(0, _DIGITS - 1 - math.floor(math.log10(abs(value)))) if value else 0
    if error is None or not math.isfinite(error) or error < 0.5 * 10.0**-most:
        return f"{value:,.{most}f}"
    places = min(most, max(0, 1 - math.floor(math.log10(error))))
    return f"{value:,.{places}f} ± {error:,.{places}f}"
