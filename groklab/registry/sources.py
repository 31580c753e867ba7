"""Where a registered function comes from, and the hash by which the ids of runs know a user's own."""

from __future__ import annotations

import hashlib
import inspect
import re
import textwrap
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

SOURCE_LIMIT = 2_000_000
"""Bytes of a plugin."""


def is_built_in(function: Callable[..., Any]) -> bool:
    """Whether a function is groklab's own; modules of plugins are named ``groklab_plugin_…``."""
    return function.__module__.startswith("groklab.")


def hash_of(content: bytes) -> str:
    """16 hexadecimal digits that change with the content."""
    return hashlib.sha256(content).hexdigest()[:16]


def source_hash_of(function: Callable[..., Any]) -> str:
    """Hash of a function's source, its decorator included; of its compiled code where there is no source to read."""
    try:
        source = inspect.getsource(function if hasattr(function, "__code__") else type(function))
        return hash_of(textwrap.dedent(source).encode())
    except (OSError, TypeError):
        code = getattr(function, "__code__", None)
        return hash_of(repr((function.__module__, _told(code))).encode())


def _told(constant: Any) -> Any:
    """A constant of a function's code in a form that does not depend on the process: code without addresses, sets in order."""
    if isinstance(constant, types.CodeType):
        return constant.co_code, constant.co_names, constant.co_varnames, tuple(map(_told, constant.co_consts))
    if isinstance(constant, tuple):
        items: tuple[Any, ...] = constant
        return tuple(map(_told, items))
    return sorted(map(repr, constant)) if isinstance(constant, frozenset) else constant


_COPY = r"-[0-9a-f]{16}$"
"""What stands behind the name of a plugin in the copies of it that runs keep."""


def plugin_stem(path: Path) -> str:
    """Name of a plugin without its ending and without the hash that copies of it carry."""
    return re.sub(_COPY, "", path.stem)


def is_same_plugin(one: Path, other: Path) -> bool:
    """Whether two files are versions of one plugin: the same file, or one of them a run's copy of a file of that name."""
    is_copy = any(re.search(_COPY, path.stem) for path in (one, other))
    return plugin_stem(one) == plugin_stem(other) if is_copy else one == other
