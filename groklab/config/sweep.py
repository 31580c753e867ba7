"""Many runs from one: any field of a run may have several values, crossed with each other or taken side by side.

    sweep_of(operation=["addition", "subtraction"], seed=range(3), weight_decay=[0, 1])

is twelve runs. A value of a field that is itself a list (interventions, measures, betas, decay_parameters) is one alternative: a
tuple, or text with its parts joined by ``+``, and ``none`` for the empty one.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from groklab import registry
from groklab.config.checks import FieldError, RunError, field_problems
from groklab.config.fields import GROUPS, leaves
from groklab.config.run import Run
from groklab.registry.signatures import matches
from groklab.text.values import LONGEST, as_python, shown

MOST = 1_000_000
"""Runs of a sweep."""


@dataclass(frozen=True)
class Sweep:
    """A run and the alternatives of some of its fields."""

    start: Run
    axes: Mapping[str, tuple[Any, ...]]
    """Field to its values, in the order in which they vary: the last one fastest."""
    zipped: tuple[str, ...] = ()
    """Fields whose values belong together, first with first, second with second."""

    def runs(self) -> list[Run]:
        """Every run once, in the order of the axes; RunError names the fields, or the run, of which something is wrong."""
        problems = list(self._problems())
        if problems:
            raise RunError(problems)
        found: dict[str, Run] = {}
        right = set[tuple[int, ...]]()
        for values in self.settings():
            run = self.start.replace(**values)
            # Runs that differ in their seeds alone are right together, if their seeds are: sweeps and experiments have thousands of them.
            alike = tuple(id(value) for name, value in values.items() if leaves()[name] != "seeds")  # the values of the axes themselves
            wrong = field_problems(run.seeds) if alike in right else run.problems()
            if not wrong:
                right.add(alike)
            if wrong:
                told = ", ".join(f"{name} {_named(value)}" for name, value in values.items() if len(self.axes[name]) > 1) or "these fields"
                problems += [FieldError(p.field, p.value, p.expected, p.advice, f"{_sentence(p)} (in the run with {told})") for p in wrong]
            else:
                found.setdefault(run.id, run)
        if problems:
            raise RunError(_without_repetition(problems))
        return list(found.values())

    @property
    def varying(self) -> list[str]:
        """The fields that have several values, seeds apart: what makes a setting."""
        return [name for name, values in self.axes.items() if len(values) > 1 and leaves()[name] != "seeds"]

    def settings(self) -> list[dict[str, Any]]:
        """The values of the axes for every run."""
        groups: list[list[dict[str, Any]]] = []
        for name, values in self.axes.items():
            if name not in self.zipped:
                groups.append([{name: value} for value in values])
            elif name == next(other for other in self.axes if other in self.zipped):
                together = [other for other in self.axes if other in self.zipped]
                groups.append(
                    [dict(zip(together, row, strict=True)) for row in zip(*(self.axes[other] for other in together), strict=True)]
                )
        return [{name: value for part in parts for name, value in part.items()} for parts in itertools.product(*groups)]

    def _count(self) -> int:
        """How many settings there are, counted before any is listed; fields that are taken side by side count once."""
        lengths = {name: _length(values) for name, values in self.axes.items()}
        return math.prod(length for name, length in lengths.items() if name not in self.zipped) * max(
            (lengths[name] for name in self.zipped if name in lengths), default=1
        )

    def _problems(self) -> Iterable[FieldError]:
        for name, values in self.axes.items():
            if name not in leaves():
                yield FieldError(name, values, "a field of a run", registry.nearest(name, list(leaves())))
            elif not values:
                yield FieldError(name, values, "at least one value", "Leave the field out to have its default.")
            elif leaves()[name] == "budget" and len(values) > 1:
                advice = "It does not belong to what a run is, so that runs which differ in it alone are one. Give one value."
                yield FieldError(name, list(values[:100]), "one value for all runs", advice)
        if (count := self._count()) > MOST:
            yield FieldError(
                "sweep", problem=f"got {shown(count)} runs; expected at most {MOST:,}. Give its fields fewer values.", value=None
            )
        for name in self.zipped:
            if name not in self.axes:
                yield FieldError("zip", name, "fields that the sweep gives values", f"It gives {', '.join(self.axes) or 'none'}.")
        lengths = {name: len(self.axes[name]) for name in self.zipped if name in self.axes}
        if len(set(lengths.values())) > 1:
            told = ", ".join(f"{name} has {length}" for name, length in lengths.items())
            yield FieldError("zip", self.zipped, problem=f"got fields of different lengths ({told}); expected as many values for each.")
        if len(self.zipped) == 1:
            yield FieldError("zip", self.zipped[0], "two fields or more", "One alone is crossed with the others anyway.")


def sweep_of(start: Run | None = None, /, *, zip: str | Sequence[str] = (), **fields: Any) -> Sweep:
    """A sweep from the names of a run's leaves; a list, tuple or range gives alternatives, anything else a value for all runs."""
    axes = {name: _alternatives(name, value) for name, value in fields.items()}
    return Sweep(start or Run(), axes, (zip,) if isinstance(zip, str) else tuple(zip))


def _length(values: Sequence[Any]) -> int:
    """How many values there are, of a range too that is longer than Python's ``len`` can tell."""
    if isinstance(values, range):
        return max(0, (values.stop - values.start + values.step - (1 if values.step > 0 else -1)) // values.step)
    return len(values)


def is_several(name: str) -> bool:
    """Whether a field's value is itself a list."""
    return typing.get_origin(hints().get(name)) is tuple


@lru_cache(maxsize=1)
def hints() -> dict[str, Any]:
    """Annotation of every leaf of a run."""
    parts = {f.name: f.default_factory for f in dataclasses.fields(Run) if f.name in GROUPS}
    return {leaf: hint for part in parts.values() for leaf, hint in typing.get_type_hints(part).items()}


def written(value: Any) -> str:
    """A value as it is written on the command line."""
    return "+".join(map(str, value)) or "none" if isinstance(value, tuple) else str(value)


def _named(value: Any) -> str:
    """A value as it is written on the command line, where it can be and is short."""
    is_plain = isinstance(value, (str, bool, float, tuple, type(None))) or (isinstance(value, int) and abs(value) < 10**20)
    told = written(value) if is_plain and matches(value, Plain) else shown(value)
    return told if len(told) <= LONGEST else shown(value)


Plain = str | bool | int | float | None | tuple[str | int | float, ...]


def _alternatives(name: str, value: Any) -> tuple[Any, ...]:
    value = as_python(value)
    if isinstance(value, range) and _length(value) > MOST:
        return value  # pyright: ignore[reportReturnType] - which `_problems` refuses before anybody lists it
    given = tuple(map(as_python, value)) if isinstance(value, (list, tuple, range)) else (value,)
    return tuple(_one_of_several(name, item) for item in given) if is_several(name) else given


def _one_of_several(name: str, value: Any) -> Any:
    """One alternative of a field that is a list: ``a(x=1)+b`` is two interventions, ``0.9+0.98`` two betas, ``none`` nothing."""
    if isinstance(value, (list, tuple)):
        return tuple(value)
    if not isinstance(value, str):
        return value
    parts = [] if value.strip() == "none" else _apart(value)
    if name != "betas":
        return tuple(parts)
    try:
        return tuple(float(part) for part in parts)
    except ValueError:
        return tuple(parts)


def _apart(text: str) -> list[str]:
    """Parts of a text between the plus signs outside its brackets; one that belongs to a number, as in 1e+3, stays."""
    parts, depth = [""], 0
    for position, character in enumerate(text):
        depth += (character in "([{") - (character in ")]}")
        is_exponent = position >= 2 and text[position - 1] in "eE" and text[position - 2].isdigit()
        if character == "+" and depth == 0 and not is_exponent:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]


def _sentence(problem: FieldError) -> str:
    return str(problem).removeprefix(f"{problem.field}: ").rstrip(".")


def _without_repetition(problems: Sequence[FieldError]) -> list[FieldError]:
    """Each mistake once, in the first run that has it: a wrong value of one axis is wrong in all runs of the others."""
    first: dict[tuple[str, str], FieldError] = {}
    for problem in problems:
        first.setdefault((problem.field, shown(problem.value)), problem)
    return list(first.values())
