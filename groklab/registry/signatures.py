"""What a function's annotations say of its arguments, so that a wrong one is named before anything is done."""

from __future__ import annotations

import collections.abc
import functools
import inspect
import math
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, ParamSpec, TypeVar

from groklab.text.values import as_python, shown

Given = ParamSpec("Given")
Answer = TypeVar("Answer")

_MOST_BITS = 1000
"""Of a whole number; what is larger is a mistake, and cannot even be written."""
_LOOKED_AT = 10_000
"""Items of a list that are looked at."""


def checked(function: Callable[Given, Answer]) -> Callable[Given, Answer]:
    """A public function whose arguments are held against its annotations first: TypeError names each that is of another kind."""

    @functools.wraps(function)
    def call(*given: Given.args, **named: Given.kwargs) -> Answer:
        wrong = list(wrong_arguments(function, given, named))
        if wrong:
            raise TypeError(f"{function.__qualname__}: {' '.join(wrong)}")
        return function(*given, **named)

    return call


def by_name_only(function: Callable[Given, Answer]) -> Callable[Given, Answer]:
    """A decorator's function that takes its facts by name: TypeError where something stands there without, as below a bare ``@measure``."""

    @functools.wraps(function)
    def call(*given: Given.args, **named: Given.kwargs) -> Answer:
        if given:
            name = function.__name__
            raise TypeError(f"{name}: got {shown(given[0])}; expected facts by name, or none: write @{name}() above a function.")
        return function(*given, **named)

    return call


def wrong_arguments(function: Callable[..., Any], given: Sequence[Any], named: Mapping[str, Any]) -> Iterator[str]:
    """A sentence for every argument that is not of the annotated kind; TypeError of Python's own where there are too few or too many."""
    signature = inspect.signature(function)
    for name, value in signature.bind(*given, **named).arguments.items():
        kind = signature.parameters[name].kind
        if kind is inspect.Parameter.VAR_KEYWORD or name == "self":
            continue
        hint = hints_of(function).get(name)
        for one in value if kind is inspect.Parameter.VAR_POSITIONAL else (value,):
            if hint is not None and not matches(as_python(one), hint):
                yield f"{name}: got {shown(one)}; expected {described(hint)}."


def wrong_settings(function: Callable[..., Any], settings: Mapping[str, Any]) -> Iterator[str]:
    """The same for keyword settings of a registered function, as they were written in a call."""
    hints = hints_of(function)
    for name, value in settings.items():
        if name in hints and not matches(value, hints[name]):
            yield f"{name}: got {shown(value)}; expected {described(hints[name])}."


@lru_cache(maxsize=1024)
def hints_of(function: Callable[..., Any]) -> dict[str, Any]:
    """Parameter -> annotation, without those whose names are known to type checkers alone."""
    found: dict[str, Any] = {}
    for name, written in getattr(function, "__annotations__", {}).items():
        holder = type("holder", (), {"__annotations__": {name: written}})
        try:
            found |= typing.get_type_hints(holder, globalns=getattr(function, "__globals__", {}))
        except (NameError, AttributeError, TypeError):
            continue
    found.pop("return", None)
    return found


# — annotations —


def is_finite(value: float) -> bool:
    """Whether a number is neither nan nor beyond the range of decimals, as infinity is, and a whole number such as 10**400."""
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def options_of(hint: Any) -> tuple[Any, ...]:
    """The types between which an annotation leaves the choice: those of a union, or the one that it is."""
    origin, arguments = _apart(hint)
    return arguments if origin in (typing.Union, types.UnionType) else (hint,)


@lru_cache(maxsize=256)
def _apart(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    """Origin and arguments of an annotation, found once: a thousand runs ask for the same fifty."""
    return typing.get_origin(hint), typing.get_args(hint)


def matches(value: Any, hint: Any) -> bool:
    """Whether a value has the annotated type; whole numbers count as decimals, True and False not as numbers, text not as a list of letters."""
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool) and value.bit_length() <= _MOST_BITS
    if hint is str:
        return isinstance(value, str) and "\0" not in value
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and is_finite(value)
    origin, arguments = _apart(hint)
    if origin is Literal:
        return any(type(value) is type(option) and value == option for option in arguments)
    if origin in (typing.Union, types.UnionType):
        return any(matches(value, option) for option in arguments)
    if origin is tuple:
        return _matches_tuple(value, arguments)
    if origin is None:
        return hint is Any or not isinstance(hint, type) or isinstance(value, hint)  # a name may stand for any type
    if origin is collections.abc.Callable:
        return callable(value)
    if not isinstance(origin, type) or (isinstance(value, (str, bytes)) and origin is not type):
        return not isinstance(origin, type)
    return isinstance(value, origin) and _items_match(value, origin, arguments)


def _matches_tuple(value: Any, arguments: tuple[Any, ...]) -> bool:
    if not isinstance(value, tuple):
        return False
    items: tuple[Any, ...] = value
    if arguments and arguments[-1] is Ellipsis:
        return all(matches(item, arguments[0]) for item in items[:_LOOKED_AT])
    return len(items) == len(arguments) and all(map(matches, items, arguments))


def _items_match(value: Any, origin: type, arguments: tuple[Any, ...]) -> bool:
    if isinstance(value, range) and len(arguments) == 1:  # of a billion numbers, perhaps: one stands for all
        return matches(0, arguments[0])
    if len(arguments) != 1 or not issubclass(origin, collections.abc.Iterable) or not isinstance(value, (list, tuple)):
        return True
    items: Sequence[Any] = value
    return all(matches(as_python(item), arguments[0]) for item in items[:_LOOKED_AT])


def described(hint: Any) -> str:
    """An annotation in words."""
    origin, arguments = _apart(hint)
    if origin is Literal:
        return " or ".join(map(str, arguments))
    if origin in (typing.Union, types.UnionType):
        return " or ".join(dict.fromkeys(described(option) for option in arguments if option is not type(None)))
    if origin is tuple:
        several = not arguments or arguments[-1] is Ellipsis
        return f"several of: {described(arguments[0])}" if several else f"{len(arguments)} values, each {described(arguments[0])}"
    if origin is collections.abc.Callable:
        return "a function"
    if isinstance(origin, type) and len(arguments) == 1:
        return f"several of: {described(arguments[0])}"
    known = {int: "a whole number", float: "a number", str: "text", bool: "true or false", Path: "a path"}
    return known.get(hint) or (f"a {hint.__name__}" if isinstance(hint, type) else str(hint))
