"""Values as messages show them: as Python writes them, and never longer than a line of text.

What a user, a file or a browser gave may have five thousand characters, hold the commands of a terminal, or be an object that
cannot even be written. A message names it all the same.
"""

from __future__ import annotations

import difflib
import reprlib
from typing import Any

LONGEST = 80
"""Characters of a value that a message shows."""
_DIGITS = 40
"""Digits of a whole number that a message shows."""


class _Short(reprlib.Repr):
    """Lists and the like with their first items only."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel, self.maxtuple, self.maxlist, self.maxdict, self.maxset, self.maxfrozenset = 3, 8, 8, 6, 8, 8
        self.fillvalue = "…"

    def repr_str(self, x: str, level: int) -> str:
        return _text(x)

    def repr_int(self, x: int, level: int) -> str:
        return _whole(x)

    def repr_type(self, x: type, level: int) -> str:
        return f"the type {x.__name__}"

    def repr_instance(self, x: object, level: int) -> str:
        try:
            return _cut(repr(x))
        except Exception:  # of an object of somebody else's, which a message must survive
            return f"a {type(x).__name__}"


_short = _Short()


def shown(value: Any) -> str:
    """A value as a message shows it.

    >>> shown("additon"), shown(0.5), shown("x" * 5000)
    ("'additon'", '0.5', "'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…xxxxxxxxxxxxxxxxxxxx' (5,000 characters)")
    >>> shown(10**5000), shown([1] * 1000)
    ('a whole number of more than 40 digits', '[1, 1, 1, 1, 1, 1, 1, 1, …]')
    """
    if isinstance(value, str):
        return _text(value)
    return _cut(_short.repr(value))


def nearest(name: str, known: list[str]) -> str:
    """``Did you mean …?`` for an unknown name, or the list of all where nothing is near."""
    name = name[:LONGEST]
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    near += [other for other in known if other not in near and (name in other or other in name) and name][: 3 - len(near)]
    if near:
        return "Did you mean " + " or ".join(repr(n) for n in near) + "?"
    return "Known: " + ", ".join(known) + "." if known else "None is registered."


def _text(value: str) -> str:
    if len(value) <= LONGEST:
        return repr(str(value))
    return f"{value[:30] + '…' + value[-20:]!r} ({len(value):,} characters)"


def _whole(value: int) -> str:
    if abs(value) < 10**_DIGITS:
        return repr(value)
    return f"a whole number of more than {_DIGITS} digits"


def _cut(written: str) -> str:
    return written if len(written) <= 3 * LONGEST else f"{written[: 2 * LONGEST]}… ({len(written):,} characters)"


def as_python(value: Any) -> Any:
    """A number or an array of numpy's (or torch's) as Python's own; anything else as it is."""
    return value.tolist() if hasattr(value, "tolist") else value
