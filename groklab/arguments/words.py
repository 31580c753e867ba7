"""The words of a command line, looked at before they are parsed: what is missing, said twice, or of a wrong kind is named flag by flag.

The parser takes a flag of several values without any for an empty one, and forgets those that were given before; what it says of a
wrong value are Python's own words. Of a flag of one value the last counts, as everywhere in a shell.
"""

from __future__ import annotations

import dataclasses
import re
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import tyro

from groklab import registry
from groklab.config.checks import FieldError, RunError
from groklab.registry.signatures import described, options_of

SEVERAL_TIMES = ("--plugin",)
"""Flags that may be given several times, all of their values counting."""
_LONGEST_NAME = 60
"""Characters of a flag's name that are looked at."""
_LONGEST_PATH = 4000
"""Characters of a path: file systems take no more."""


@dataclass(frozen=True)
class Flag:
    """What a verb's dataclass says of one flag."""

    name: str
    hint: Any
    """Its annotation, without the parser's marks."""

    @property
    def values(self) -> int | None:
        """How many words stand behind it; None: one or more."""
        if self.hint is bool:
            return 0
        found = _tuple_in(self.hint)
        if found is None:
            return 1
        return None if found[-1] is Ellipsis else len(found)

    @property
    def item(self) -> Any:
        """The annotation of each of these words; of a union with several words, its first tuple's."""
        found = _tuple_in(self.hint)
        return self.hint if found is None else found[0]


@dataclass
class _Given:
    """A flag as it stands among the words."""

    flag: Flag
    values: list[str] = field(default_factory=list[str])


@lru_cache(maxsize=32)
def flags_of(kind: type) -> dict[str, Flag]:
    """The flags of a verb's dataclass by name, those of the dataclasses in it included; positional words have none."""
    hints = typing.get_type_hints(kind, include_extras=True)
    found: dict[str, Flag] = {}
    for leaf in dataclasses.fields(kind):
        hint, marks = hints[leaf.name], ()
        if hasattr(hint, "__metadata__"):
            hint, marks = typing.get_args(hint)[0], hint.__metadata__
        if dataclasses.is_dataclass(hint):
            found |= flags_of(typing.cast("type", hint))
        elif tyro.conf.Positional not in marks:
            name = f"--{leaf.name.replace('_', '-')}"
            found[name] = Flag(name, hint)
    return found


def checked_words(kind: type, given: Sequence[str], *, none_is_empty: bool = True) -> list[str]:
    """The words as the parser may have them; RunError names every flag that is wrong.

    ``none_is_empty``: behind a flag of any number of words the one word ``none`` stands for no words, and is taken out.
    """
    if any(word in ("-h", "--help") for word in given):
        return list(given)
    flags, problems, kept = flags_of(kind), list[FieldError](), list[str]()
    present: dict[str, _Given] = {}
    current: _Given | None = None
    for word in given:
        if "\0" in word:
            problems.append(FieldError("flags", word, "words without a zero byte"))
        if not word.startswith("--"):
            if current is not None and _takes_more(current):
                current.values.append(word)
            kept.append(word)
            continue
        name, is_inline, value = word.partition("=")
        flag = _named(name.replace("_", "-"), flags)
        current = None
        kept.append(word)
        if flag is None:
            problems.append(
                FieldError(name[:_LONGEST_NAME], problem=f"unknown flag. {registry.nearest(name[:_LONGEST_NAME], list(flags))}", value=None)
            )
            continue
        if flag.name in present and flag.values is None and flag.name not in SEVERAL_TIMES:
            problems.append(FieldError(flag.name, problem="got it twice; expected it once, with all of its values behind it.", value=None))
        current = present[flag.name] = _Given(flag, [value] if is_inline else [])
    for one in present.values():
        problems += _problems(one)
    if problems:
        raise RunError(problems)
    if not none_is_empty:
        return kept
    return _without_none(kept, [name for name, one in present.items() if _is_none(one)])


def _named(name: str, flags: Mapping[str, Flag]) -> Flag | None:
    """The flag of that name, or the switch that ``--no-`` turns off."""
    found = flags.get(name)
    if found is None and name.startswith("--no-"):
        found = flags.get(f"--{name.removeprefix('--no-')}")
        return found if found is not None and found.values == 0 else None
    return found


def _takes_more(given: _Given) -> bool:
    return given.flag.values is None or len(given.values) < given.flag.values


def _problems(given: _Given) -> Iterator[FieldError]:
    flag, values = given.flag, given.values
    if flag.values == 0:
        if values:
            yield FieldError(flag.name, values[0], f"no value: write {flag.name} or leave it out")
        return
    if not values and flag.values is None:
        yield FieldError(flag.name, problem="got no value; expected one or more behind it, or none.", value=None)
    elif len(values) < (flag.values or 1):
        counted = "a value" if flag.values == 1 else f"{flag.values} values"
        yield FieldError(
            flag.name, problem=f"got {len(values) or 'no'} value{'s' * (len(values) > 1)}; expected {counted} behind it.", value=None
        )
    else:
        yield from (FieldError(flag.name, value, told) for value in values if not _is_none(given) and (told := _expected(value, flag.item)))


def _is_none(given: _Given) -> bool:
    """Whether a flag of any number of words is given the one that stands for nothing; a table's filter has words of its own."""
    return given.flag.values is None and given.values == ["none"] and given.flag.item is str


def _without_none(words: Sequence[str], names: Sequence[str]) -> list[str]:
    left: list[str] = []
    for word in words:
        if word == "none" and left and left[-1] in names:
            continue
        left.append(word.partition("=")[0] if word.partition("=")[0] in names else word)
    return left


def _expected(word: str, hint: Any) -> str | None:
    """What was expected where a word is wrong for an annotation; None where it is right."""
    options = options_of(hint)
    if any(_fits(word, option) for option in options):
        return None
    if Path in options:
        return "a path" if word else "the path of a file or folder"
    told = described(hint)
    return told if len(told) < 300 else f"one of {told[:300]} …"


def _fits(word: str, kind: Any) -> bool:
    if typing.get_origin(kind) is Literal:
        return word in map(str, typing.get_args(kind))
    if kind is type(None):
        return word == "None"
    if kind is int:
        return len(word) <= 4000 and re.fullmatch(r"[+-]?[0-9](_?[0-9])*", word) is not None
    if kind is float:
        try:
            float(word)
        except ValueError:
            return False
        return len(word) <= 4000
    if kind is Path:
        return 0 < len(word) <= _LONGEST_PATH
    return True


def _tuple_in(hint: Any) -> tuple[Any, ...] | None:
    found = next((option for option in options_of(hint) if typing.get_origin(option) is tuple), None)
    return None if found is None else typing.get_args(found)
