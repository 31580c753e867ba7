"""From the words of a command line to the dataclass of its verb, by tyro; what the verbs have in common."""

from __future__ import annotations

import ast
import contextlib
import inspect
import io
import itertools
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import tyro

from groklab.arguments.words import checked_words
from groklab.config import fields
from groklab.outside.printable import printable
from groklab.outside.streams import errors

Runs = Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
Filter = Annotated[tuple[str, ...], tyro.conf.arg(metavar="FIELD=VALUE")]
Fields = Annotated[tuple[str, ...], tyro.conf.arg(metavar="FIELD")]
Parsed = TypeVar("Parsed")


@dataclass(frozen=True)
class Where:
    """Where results are."""

    runs: Path = Path("runs")
    """Folder of the results."""
    json: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Print one JSON object on standard output and nothing else."""


def field_words() -> dict[str, str]:
    """What stands under every field of a run in the source of `config/fields.py`."""
    found: dict[str, str] = {}
    for part in ast.walk(ast.parse(inspect.getsource(fields))):
        if isinstance(part, ast.ClassDef):
            for one, below in itertools.pairwise(part.body):
                if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name) and isinstance(below, ast.Expr):
                    found[one.target.id] = str(ast.literal_eval(below.value))
    return found


def parse(kind: type[Parsed], verb: str, given: Sequence[str], default: Any = None) -> Parsed:
    """The flags of one verb; RunError where one is wrong, and an exit with status 2 and a message where the parser takes the words for others."""
    words = checked_words(kind, _together("--plugin", given), none_is_empty=verb != "sweep")
    found, told = _parsed(kind, verb, words, default)
    if found is None:
        short = [printable(word, limit=_LONGEST_WORD) for word in words]
        errors().write((_parsed(kind, verb, short, default)[1] if short != words else told) or told)
        raise SystemExit(2)
    return found[0]


_LONGEST_WORD = 80
"""Characters of a word in what the parser says of it."""


def _parsed(kind: type[Parsed], verb: str, words: Sequence[str], default: Any) -> tuple[tuple[Parsed] | None, str]:
    """What the words say, or, where they say nothing, the parser's message."""
    marked = tyro.conf.OmitArgPrefixes[kind]  # pyright: ignore[reportInvalidTypeArguments]
    options: dict[str, Any] = {} if default is None else {"default": default}
    told = io.StringIO()
    try:
        with contextlib.redirect_stderr(told):
            found = tyro.cli(marked, args=words, prog=f"groklab {verb}", use_underscores=False, console_outputs=True, **options)
    except SystemExit as end:
        if not end.code:  # after the help
            raise
        return None, told.getvalue()
    return (found,), ""


def value_of(flag: str, given: Sequence[str]) -> list[str]:
    """Values of a flag that has to be known before the parser is built (--preset, --config, --plugin)."""
    return _apart(flag, given)[0]


def _together(flag: str, given: Sequence[str]) -> list[str]:
    """The words with a flag that is given several times given once, with all of its values: the parser would take the last ones alone."""
    if sum(word.split("=", 1)[0] == flag for word in given) < 2:
        return list(given)
    values, others = _apart(flag, given)
    return [*others, flag, *values]


def _apart(flag: str, given: Sequence[str]) -> tuple[list[str], list[str]]:
    """The values of a flag, wherever it stands, and the words that are neither the flag nor a value of it.

    argparse's parse_known_args would not do: behind ``--plugin a.py`` it takes the one word ``--expression=x + y`` for a second value,
    because it holds a space.
    """
    values, others, is_value = list[str](), list[str](), False
    for word in given:
        name, is_inline, value = word.partition("=")
        if name == flag:
            is_value = not is_inline
            values += [value] if is_inline else []
        elif is_value and not word.startswith("--"):
            values.append(word)
        else:
            is_value = False
            others.append(word)
    return values, others


def fields_in(given: Sequence[str]) -> set[str]:
    """The fields of a run, and whatever else, that flags among these words name."""
    return {word.split("=", 1)[0].removeprefix("--").replace("-", "_").removeprefix("no_") for word in given if word.startswith("--")}


def is_terminal() -> bool:
    """Whether a person is at the keyboard, to be asked."""
    return sys.stdin is not None and sys.stdin.isatty()
