"""Checks of single fields, and the one form in which a wrong field is reported."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from groklab.registry.signatures import described, is_finite, matches, options_of
from groklab.text.values import shown


@dataclass(frozen=True)
class FieldError:
    """One thing that is wrong with what was asked: the field, its value, what was expected, what to do."""

    field: str
    value: Any
    expected: str = ""
    advice: str = ""
    problem: str = ""
    """A sentence of its own, used instead of expected and advice."""

    def __str__(self) -> str:
        if self.problem:
            return f"{self.field}: {self.problem}"
        return f"{self.field}: got {shown(self.value)}; expected {self.expected}." + (f" {self.advice}" if self.advice else "")


class RunError(ValueError):
    """A run that cannot be trained, with all of its problems."""

    def __init__(self, problems: Sequence[FieldError]) -> None:
        self.problems = tuple(problems)
        lines = "\n".join(f"  {problem}" for problem in self.problems)
        super().__init__(f"{len(self.problems)} thing{'s' * (len(self.problems) > 1)} to put right:\n{lines}")


#: A check gives the words for what it expects where a value is wrong, and nothing where it is right.
Check = Callable[[Any], str | None]


def at_least(low: float) -> Check:
    """A finite number that is not below ``low``."""
    return lambda value: None if is_finite(value) and value >= low else f"at least {low:,}"


def between(low: int, high: int) -> Check:
    """A number from ``low`` to ``high``, both included."""
    return lambda value: None if low <= value <= high else f"a number from {low:,} to {high:,}"


def positive() -> Check:
    """A finite number above zero."""
    return lambda value: None if is_finite(value) and value > 0 else "a number above 0"


def fraction(*, one_allowed: bool = False) -> Check:
    """A number in (0, 1), or in (0, 1]."""
    if one_allowed:
        return lambda value: None if 0 < value <= 1 else "a number in (0, 1]"
    return lambda value: None if 0 < value < 1 else "a number in (0, 1)"


def field_problems(part: Any) -> list[FieldError]:
    """Fields of a dataclass whose type or range is wrong; a field's range is the ``check`` in its metadata."""
    problems = type_problems(part)
    wrong = {problem.field for problem in problems}
    for leaf in dataclasses.fields(part):
        if leaf.name in wrong:
            continue
        value = getattr(part, leaf.name)
        check: Check | None = leaf.metadata.get("check")
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        expected = check(value) if check is not None and is_number else None
        if expected:
            problems.append(FieldError(leaf.name, value, expected))
    return problems


def type_problems(part: Any) -> list[FieldError]:
    """Fields of a dataclass, and of those that it holds, whose type is wrong."""
    problems: list[FieldError] = []
    for name, hint, sure in _leaves(type(part)):
        value = getattr(part, name)
        if type(value) in sure:
            continue
        if dataclasses.is_dataclass(value):
            problems += type_problems(value)
        elif not matches(value, hint):
            problems.append(FieldError(name, value, described(hint)))
    return problems


@lru_cache
def _leaves(kind: type) -> list[tuple[str, Any, frozenset[type]]]:
    """Name, annotation and ``_sure`` types of a dataclass's fields, found once: evaluating annotations takes longer than all checks."""
    hints = typing.get_type_hints(kind)
    return [(leaf.name, hints[leaf.name], _sure(hints[leaf.name])) for leaf in dataclasses.fields(kind)]


def _sure(hint: Any) -> frozenset[type]:
    """Types of which every value matches an annotation: a thousand runs have 50,000 fields, and most need no closer look."""
    return frozenset(option for option in options_of(hint) if option in (int, str, bool, types.NoneType))
