"""What the attack of `test_attack.py` is made of: hostile words, values and files, and the places where they can stand.

Verbs come from the table of the command line, their flags from the dataclasses by which they are parsed, public functions from
``groklab.__all__``: what is added there is attacked with no edit here.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import math
import os
import random
import types
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import tyro

ESCAPES = "\x1b[31mred\x1b]0;title\x07\x9b2J\r\u202eback"
"""What a terminal would obey: colors, a title, a cleared screen, a line written over, text turned round."""
LONG = "x" * 5000
DEEP = "(" * 3000 + ")" * 3000
BRACKETS = "[" * 100_000


@dataclass(frozen=True)
class Flag:
    """One flag or positional word of a verb."""

    name: str
    hint: Any
    is_positional: bool = False
    is_switch: bool = False


@dataclass(frozen=True)
class Case:
    """One attack on the command line: the words, and the exit statuses that are right."""

    verb: str
    what: str
    words: tuple[str, ...]
    statuses: frozenset[int] = frozenset({1, 2})

    def __str__(self) -> str:
        return f"{self.verb} {self.what}"


# — verbs and flags —


class _ParsedError(Exception):
    """The dataclass with which a verb would have parsed its words."""


def arguments_of(verb: str, monkeypatch: Any) -> type:
    """The dataclass of a verb's arguments, as the verb itself gives it to the parser."""
    from groklab import cli
    from groklab.arguments import parsing

    def stop(kind: type, *_: Any, **__: Any) -> Any:
        raise _ParsedError(kind)

    with monkeypatch.context() as patched:
        patched.setattr(parsing, "checked_words", stop)
        try:
            cli.VERBS[verb].does([])
        except _ParsedError as found:
            return found.args[0]
    raise AssertionError(f"the verb {verb} does not check its words by arguments.parsing.checked_words")


def flags_of(kind: type) -> Iterator[Flag]:
    """All flags and positional words of a dataclass of arguments."""
    hints = typing.get_type_hints(kind, include_extras=True)
    for leaf in dataclasses.fields(kind):
        hint, marks = hints[leaf.name], ()
        if hasattr(hint, "__metadata__"):
            hint, marks = typing.get_args(hint)[0], hint.__metadata__
        if dataclasses.is_dataclass(hint):
            yield from flags_of(hint)
        else:
            positional = any(mark is tyro.conf._markers.Positional or "Positional" in str(mark) for mark in marks)
            yield Flag("--" + leaf.name.replace("_", "-"), hint, positional, hint is bool)


def options(hint: Any) -> tuple[Any, ...]:
    """The types of a union, or the one type."""
    return typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)


def scalar(hint: Any) -> Any:
    """The type of one word of a flag: that of a tuple's items."""
    found = next(option for option in options(hint) if option is not type(None))
    if typing.get_origin(found) is tuple:
        return typing.get_args(found)[0]
    return found


NOT_NUMBERS = {
    "word": "x",
    "empty": "",
    "escapes": ESCAPES,
    "long": LONG,
    "digits": "9" * 5000,
    "zero byte": "5\0",
    "undecodable": "5\udcff",
}
NOT_WHOLE = {"decimal": "1.5", "exponent": "1e5", "nan": "nan", "infinite": "inf", "minus": "-5", "huge": "9" * 40}
NOT_DECIMAL = {"nan": "nan", "infinite": "inf", "beyond": "1e999", "minus": "-1"}
NOT_NAMES = {
    "empty": "", "escapes": ESCAPES, "long": LONG, "deep": DEEP, "half": "adamw(", "twice": "a(b=1, b=2)", "attribute": "os.system('x')",
    "import": "__import__('os').system('touch executed')", "lambda": "(lambda: 0)()", "newline": "a\nb", "up": "../../x", "zero byte": "a\0b",
    "undecodable": "a\udcff", "number": "5", "huge setting": "adamw(eps=" + "9" * 400 + ")", "wrong setting": "adamw(eps='x')",
}  # fmt: skip
FILES = (
    "fifo",
    "device",
    "full",
    "folder",
    "loop",
    "dangling",
    "deep.json",
    "big.json",
    "binary",
    "empty.json",
    "list.json",
    "pickle.pt",
    "sparse",
)


def words_for(hint: Any, files: Path) -> dict[str, str]:
    """Hostile words for one type, by what they are; none of them is right for any flag of that type."""
    kind = scalar(hint)
    if typing.get_origin(kind) is Literal:
        return {"unknown": "nope", "empty": "", "escapes": ESCAPES, "long": LONG}
    if kind is int:
        return NOT_NUMBERS | NOT_WHOLE
    if kind is float:
        return NOT_NUMBERS | NOT_DECIMAL
    if kind is Path:
        return {name: str(files / name) for name in FILES} | {
            "empty": "",
            "long": LONG,
            "zero byte": "a\0b",
            "escapes": f"no\x1b[31m/{ESCAPES[:9]}",
        }
    return NOT_NAMES


# — files —


def make_files(folder: Path, marker: Path) -> None:
    """One file of every kind that a reader should not trust."""
    folder.mkdir()
    os.mkfifo(folder / "fifo")
    (folder / "device").symlink_to("/dev/zero")
    (folder / "full").symlink_to("/dev/full")
    (folder / "folder").mkdir()
    (folder / "loop").symlink_to(folder / "loop")
    (folder / "dangling").symlink_to(folder / "nowhere")
    (folder / "deep.json").write_text(BRACKETS, encoding="utf-8")
    (folder / "big.json").write_text(json.dumps({"task": {"operation": "y" * 3_000_000}}), encoding="utf-8")
    (folder / "binary").write_bytes(random.Random(0).randbytes(5000))
    (folder / "empty.json").write_bytes(b"")
    (folder / "list.json").write_text("[1, 2, 3]", encoding="utf-8")
    (folder / "pickle.pt").write_bytes(b"cos\nsystem\n(S'touch " + str(marker).encode() + b"'\ntR.")
    with open(folder / "sparse", "wb") as sparse:
        sparse.truncate(20 << 30)


def damages(folder: Path) -> dict[str, Callable[[Path], None]]:
    """Ways in which one file of a run can be damaged; each is given its path."""

    def as_link(name: str) -> Callable[[Path], None]:
        return lambda path: (_away(path), path.symlink_to(folder / name))[0]

    def with_bytes(content: bytes) -> Callable[[Path], None]:
        return lambda path: (_away(path), path.write_bytes(content))[0]

    return {
        "missing": _away,
        "empty": with_bytes(b""),
        "cut": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]) and None,
        "garbage": with_bytes(random.Random(1).randbytes(3000)),
        "brackets": with_bytes(BRACKETS.encode()),
        "closed brackets": with_bytes(BRACKETS.encode() + BRACKETS.replace("[", "]").encode() + b"\n"),
        "null": with_bytes(b"null\n"),
        "escapes": with_bytes(json.dumps({"format": 1, "status": ESCAPES}).encode() + b"\n"),
        "huge number": with_bytes(b'{"format": 1, "step": ' + b"9" * 10_000 + b"}\n"),
        "not UTF-8": with_bytes(b'{"format": "\xff\xfe"}\n'),
        "a folder": lambda path: (_away(path), path.mkdir())[0],
        "a pipe": lambda path: (_away(path), os.mkfifo(path))[0],
        "a device": as_link("device"),
        "a loop": as_link("loop"),
        "dangling": as_link("dangling"),
        "20 GB": as_link("sparse"),
    }


def _away(path: Path) -> None:
    path.unlink(missing_ok=True)


WRONG = [None, 5, -1, 2.5, True, "x", ESCAPES, [], {}, [[[[]]]], LONG, 10**30, {"a": {"b": []}}, math.nan]
"""Values of a wrong type or range for a field of JSON."""


def wrong_descriptions(content: dict[str, Any], seed: int = 0) -> Iterator[tuple[str, str]]:
    """A run.json with one field at a time left out or of a wrong type: what was done, and the text."""
    chosen = random.Random(seed)
    for place in _places(content):
        yield f"without {'.'.join(map(str, place))}", json.dumps(_changed(content, place, ...))
        for value in chosen.sample(WRONG, 3):
            told = "LONG" if value is LONG else repr(value)
            yield f"{'.'.join(map(str, place))} = {told}", json.dumps(_changed(content, place, value))


def _places(value: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, part in items:
        yield (*before, name)
        yield from _places(part, (*before, name))


def _changed(content: Any, place: tuple[Any, ...], value: Any) -> Any:
    copy = json.loads(json.dumps(content))
    part = copy
    for name in place[:-1]:
        part = part[name]
    if value is ...:
        del part[place[-1]]
    else:
        part[place[-1]] = value
    return copy


# — Python —


class Broken:
    """An object that cannot even be written."""

    def __repr__(self) -> str:
        raise RuntimeError("no")

    __str__ = __repr__


def _nested() -> list[Any]:
    deep: list[Any] = []
    for _ in range(2000):
        deep = [deep]
    return deep


def objects(files: Path) -> dict[str, Any]:
    """Hostile values for the parameters of public functions."""
    return {
        "None": None, "5": 5, "-1": -1, "1.5": 1.5, "nan": math.nan, "huge": 10**5000, "True": True, "empty": "", "long": LONG, "escapes": ESCAPES,
        "bytes": b"x", "list": [], "numbers": [1, "a", None], "dict": {}, "object": Broken(), "function": len, "type": int, "deep": _nested(),
        "zero byte": "a\0b", "undecodable": "a\udcff", "missing": files / "nowhere", "fifo": files / "fifo", "device": files / "device",
        "range": range(10**12), "complex": 1j,
    }  # fmt: skip


def parameters_of(function: Callable[..., Any]) -> list[inspect.Parameter]:
    """The parameters of a public function that can be given by name or place."""
    kinds = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    return [p for p in inspect.signature(function).parameters.values() if p.kind not in kinds]


__all__ = [name for name in dir() if not name.startswith("_")] + ["field"]
