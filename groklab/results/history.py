"""history.jsonl: one line per evaluation, read as a whole and never trusted.

A thousand histories of a hundred lines are read whenever runs are listed, so that what is asked of every line is asked cheaply.
"""

from __future__ import annotations

import contextlib
import math
import zlib
from collections.abc import Generator, Sequence
from contextvars import ContextVar
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from groklab.outside.files import parsed_json
from groklab.results.files import StoreError, damaged, read_facts, read_stored

HISTORY_LIMIT = 64_000_000
"""Bytes of a history; one of ten thousand evaluations has a few million."""

_LONGEST_LINE = 1_000_000
"""Bytes of a line that is read by itself."""

Row = dict[str, Any]

_values = itemgetter("train_loss", "validation_loss", "train_accuracy", "validation_accuracy")
_NUMBERS = frozenset((float, int))
"""Types of a number: True and False are none."""


class Saved(NamedTuple):
    """Where the training state stands, and how many evaluations had been made by then."""

    step: int
    evaluations: int
    history: str
    """Checksum of their lines."""


class Evaluations(NamedTuple):
    """What is stored of a run's history."""

    rows: list[Row]
    """All evaluations in the order of their steps."""
    reached: int
    """Updates that are stored: the step of the last evaluation, or of the training state where that is further."""


def read_evaluations(folder: Path) -> Evaluations:
    """The evaluations in a run's folder; a half-written last line is left out, anything else that is wrong is named.

    StoreError where the history cannot be read, and DamagedError where it does not hold evaluations.
    """
    kept = _KEPT.get()
    if kept is None:
        return _read(folder)
    key = tuple(_mark(folder / name) for name in ("history.jsonl", "state.safetensors"))
    known = kept.get(folder)
    if known is None or known[0] != key:
        known = kept[folder] = key, _read(folder)
    rows, reached = known[1]
    return Evaluations([dict(row) for row in rows], reached)  # whoever reads may change what is theirs


_KEPT: ContextVar[dict[Path, tuple[object, Evaluations]] | None] = ContextVar("histories that are kept", default=None)


@contextlib.contextmanager
def kept_histories() -> Generator[None]:
    """Inside, a history that has not changed on the disk is read once, however often it is asked for: reports ask thousands of times."""
    before = _KEPT.set(_KEPT.get() or {})
    try:
        yield
    finally:
        _KEPT.reset(before)


def _mark(path: Path) -> tuple[int, int, int] | None:
    """What changes when a file does; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _read(folder: Path) -> Evaluations:
    path = folder / "history.jsonl"
    saved = saved_in(folder)  # before the history, which another process may be writing: it is never behind the state
    try:
        content = read_stored(path, HISTORY_LIMIT)
    except FileNotFoundError:
        content = b""
    lines = content[: content.rfind(b"\n") + 1].splitlines(keepends=True)
    rows = rows_in(path, lines)
    if saved is not None and checksum(lines[: saved.evaluations]) != saved.history:
        raise damaged(path, f"its evaluations up to step {saved.step:,} are not the {saved.evaluations} that were written")
    return Evaluations(rows, max(rows[-1]["step"] if rows else 0, 0 if saved is None else saved.step))


def rows_in(path: Path, lines: Sequence[bytes], *, known: int = 0, after: float = -math.inf) -> list[Row]:
    """The evaluations in whole lines of a history, those behind its ``known`` first lines and step ``after``; DamagedError for anything else."""
    rows = _parsed(path, lines, known)
    for number, row in enumerate(rows, known + 1):
        if not _is_evaluation(row):
            raise damaged(path, f"line {number} is not an evaluation")
        if row["step"] <= after:
            raise damaged(path, f"line {number} does not follow the line before it")
        after = row["step"]
    return rows


def saved_in(folder: Path) -> Saved | None:
    """What the training state says of itself; None where there is none, or none that can be read."""
    try:
        facts = read_facts(folder / "state.safetensors")
        return Saved(int(facts["step"]), int(facts["evaluations"]), facts["history"])
    except (OSError, StoreError, KeyError, ValueError):
        return None


def checksum(lines: Sequence[bytes]) -> str:
    """Of lines as they lie on the disk."""
    return f"crc32:{zlib.crc32(b''.join(lines)):08x}"


def within(rows: Sequence[Row], steps: int | None = None) -> list[Row]:
    """Evaluations up to a step: those of the fixed sequence, and the last one of all.

    The end of a smaller budget lies outside the sequence; once training has gone on it is left out, so that a history does
    not depend on the pieces in which it was computed.
    """
    rows = [row for row in rows if steps is None or row["step"] <= steps]
    kept = [*in_sequence(rows[:-1]), *rows[-1:]]
    if steps is not None and kept and kept[-1].get("extra") and kept[-1]["step"] != steps:
        kept.pop()
    return kept


def in_sequence(rows: Sequence[Row]) -> list[Row]:
    """Evaluations of the fixed sequence, without the ends of budgets that lie beside it."""
    return [row for row in rows if not row.get("extra")]


def _parsed(path: Path, lines: Sequence[bytes], known: int) -> list[Any]:
    """A value for every line, by one call of a fast parser for all of them; what it does not take is read line by line, to be named.

    So is what may hold values within values: no evaluation does, and they take fifty times their text in memory.
    """
    if not any(line.count(b"{") != 1 or b"[" in line for line in lines):
        with contextlib.suppress(ValueError, RecursionError):
            rows = orjson.loads(b"[" + b",".join(lines) + b"]")
            if len(rows) == len(lines):
                return rows
    return [_parsed_line(path, line, number) for number, line in enumerate(lines, known + 1)]


def _parsed_line(path: Path, line: bytes, number: int) -> Any:
    try:
        row = parsed_json(line) if len(line) <= _LONGEST_LINE else None
    except ValueError as error:
        raise damaged(path, f"line {number} is not an evaluation") from error
    if not isinstance(row, dict) or any(isinstance(value, (dict, list)) for value in row.values()):
        raise damaged(path, f"line {number} is not an evaluation")
    return row


def _is_evaluation(row: Any) -> bool:
    """Whether a line is a step with its losses and accuracies, all of them finite."""
    if type(row) is not dict or type(row.get("step")) is not int:
        return False
    try:
        values = _values(row)
        return _NUMBERS.issuperset(map(type, values)) and all(map(math.isfinite, values))
    except (KeyError, OverflowError):  # a column is missing, or a whole number is larger than any float
        return False
