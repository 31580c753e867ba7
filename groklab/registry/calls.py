"""A name with settings, written as a call and read from its syntax tree, never evaluated."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from groklab.text.values import shown


@dataclass(frozen=True)
class Call:
    """A name with settings, as in ``grokfast_ema(alpha=0.98)``; arguments are literals or calls."""

    name: str
    arguments: tuple[Any, ...] = ()
    settings: tuple[tuple[str, Any], ...] = ()

    def __str__(self) -> str:
        inside = [_written(a) for a in self.arguments] + [f"{k}={_written(v)}" for k, v in self.settings]
        return f"{self.name}({', '.join(inside)})" if inside else self.name


def _written(value: Any) -> str:
    return str(value) if isinstance(value, Call) else repr(value)


def parse_call(text: str) -> Call:
    """Read ``name`` or ``name(…)`` from its syntax tree; ValueError for anything else.

    >>> parse_call("product(cyclic(3), dihedral(4))").arguments[0]
    Call(name='cyclic', arguments=(3,), settings=())
    """
    if len(text) > 2000:
        raise ValueError(f"got {len(text)} characters; expected a name or a call of at most 2,000 characters.")
    return _parsed(text)


@lru_cache(maxsize=4096)
def _parsed(text: str) -> Call:
    """Calls are values that nothing changes, and the same few are read for every run of many."""
    try:
        tree = ast.parse(text.strip(), mode="eval").body
        return _call(tree, text)
    except (SyntaxError, RecursionError, MemoryError, ValueError) as error:
        if isinstance(error, ValueError) and "expected" in str(error):
            raise
        raise ValueError(f"got {shown(text)}; expected a name or a call such as name(setting=1).") from None


def _call(node: ast.expr, text: str) -> Call:
    if isinstance(node, ast.Name):
        return Call(node.id)
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
        raise ValueError(f"got {shown(text)}; expected a name or a call such as name(setting=1).")
    names = [keyword.arg for keyword in node.keywords]
    if None in names or len(set(names)) != len(names):
        raise ValueError(f"got {shown(text)}; expected each setting once, by name.")
    arguments = tuple(_argument(a, text) for a in node.args)
    settings = tuple(sorted((str(k.arg), _argument(k.value, text)) for k in node.keywords))
    return Call(node.func.id, arguments, settings)


def _argument(node: ast.expr, text: str) -> Any:
    if isinstance(node, ast.Call):
        return _call(node, text)
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError):
        if isinstance(node, ast.Name):
            wanted = f"expected settings that are numbers, strings or registered calls, such as {node.id}()"
            raise ValueError(f"got {shown(text)}; {wanted}.") from None
        raise ValueError(f"got {shown(text)}; expected settings that are numbers, strings or registered calls.") from None
    if isinstance(value, list):
        value = tuple(value)
    if not isinstance(value, (int, float, str, bool, tuple, type(None))):
        raise ValueError(f"got {shown(text)}; expected settings that are numbers, strings or registered calls.")
    return value
