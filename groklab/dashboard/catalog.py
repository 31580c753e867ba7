"""The runs of a folder as they are now: each file read once, and of a history that grows only what was added.

A look at the folder asks the filesystem for the sizes and times of a few files of each run and reads those that changed. It takes
no lock and writes nothing, so that no training ever waits for it. Where much is new, a look ends after a moment and the next
one goes on, so that a page answers at once however many runs there are.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from groklab.analysis.tables import row_of, table_of_rows
from groklab.config.run import Run
from groklab.dashboard.access import check_file, check_inside
from groklab.results.files import InaccessibleError, StoreError
from groklab.results.history import HISTORY_LIMIT, Evaluations, Row, in_sequence, rows_in, saved_in
from groklab.results.lock import owner_of
from groklab.results.store import Reading, RunFolder

PAUSE = 0.5
"""Seconds for which a look at the folder holds."""
_WATCHED = ("run.json", "history.jsonl", "state.safetensors", "table.csv", "lock")

Values = np.ndarray
Mark = tuple[int, int, int]
"""What tells a file's versions apart: inode, size, time of the last change in nanoseconds."""


class History(NamedTuple):
    """Evaluations as columns; a measure that was not taken, or is not finite, is nan."""

    step: Values
    columns: dict[str, Values]

    @classmethod
    def of(cls, rows: Sequence[Row]) -> History:
        """The evaluations of the fixed sequence and the last one."""
        kept = [*in_sequence(rows[:-1]), *rows[-1:]]
        names = dict.fromkeys(name for row in kept for name, value in row.items() if _is_number(value))
        names.pop("step", None)
        columns = {name: np.array([_number(row.get(name)) for row in kept], dtype=np.float64) for name in names}
        return cls(np.array([row["step"] for row in kept], dtype=np.int64), columns)

    def measures(self) -> list[str]:
        """Names of the columns that are neither accuracies nor losses."""
        results = ("train_", "validation_", "corrupted_", "mirrored_", "unmirrored_")
        return [name for name in self.columns if not name.startswith(results) and name not in ("wall_time", "extra")]


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _number(value: Any) -> float:
    return float(value) if _is_number(value) else float("nan")


@dataclass(frozen=True)
class Entry:
    """What is known of one run."""

    folder: RunFolder
    row: dict[str, Any]
    """Its row in the table of runs: id, status, results, fields."""
    version: int
    """Of the look at which it last changed."""
    description: dict[str, Any] = field(default_factory=lambda: dict[str, Any]())
    run: Run | None = None
    rows: list[Row] = field(default_factory=lambda: list[Row]())
    """Evaluations as they were read, while it runs; to be added to."""
    history: History = field(default_factory=lambda: History(np.zeros(0, np.int64), {}))
    message: str = ""
    """Why it cannot be read, where it cannot, or what the run says of itself."""
    marks: tuple[Mark | None, ...] = ()

    @property
    def id(self) -> str:
        """The run's id."""
        return self.folder.id

    @property
    def status(self) -> str:
        """running | interrupted | complete | diverged | damaged | unreadable."""
        return str(self.row["status"])

    @property
    def changed(self) -> float:
        """When something of it was last written, in seconds since 1970."""
        return max((mark[2] / 1e9 for mark in self.marks[:2] if mark is not None), default=0.0)

    @property
    def values(self) -> dict[str, Any]:
        """Its fields as they were resolved when it began."""
        return dict(self.description.get("resolved", {}))


class Catalog:
    """All runs below a folder."""

    def __init__(self, root: Path) -> None:
        self.root = Path(os.path.realpath(root))
        self.shown_root = root
        self.version = 0
        self.unread = 0
        """Runs that the last look had no time for."""
        self._entries: dict[str, Entry] = {}
        self._table: tuple[int, pl.DataFrame] | None = None
        self._lock = threading.RLock()
        self._looked = float("-inf")

    def look(self, seconds: float = 0.4) -> None:
        """See what is new, for at most so long; nothing where the last look was a moment ago."""
        with self._lock:
            if time.monotonic() - self._looked < (0.05 if self.unread else PAUSE):
                return
            self._look(time.monotonic() + seconds)
            self._looked = time.monotonic()

    def _look(self, until: float) -> None:
        present = self._folders()
        changed = [name for name in self._entries if name not in present]
        for name in changed:
            del self._entries[name]
        changes, self.unread = len(changed), 0
        for name, problem in present.items():
            known = self._entries.get(name)
            if time.monotonic() > until and known is None:
                self.unread += 1
                continue
            found = self._entry(name, problem, known)
            self._entries[name] = found
            changes += known is None or found.version != known.version
        if changes:
            self.version += 1
            self._entries = dict(sorted(self._entries.items()))

    def _folders(self) -> dict[str, str]:
        """Names of the folders that hold runs, with what keeps the dashboard from reading each, if something does.

        A name that is no text, as other systems make them, stands with a mark for each byte that is none: neither JSON nor a page can hold it.
        """
        found: dict[str, str] = {}
        try:
            with os.scandir(self.root) as entries:
                for entry in entries:
                    if entry.is_dir() and not entry.name.startswith(".") and os.path.lexists(os.path.join(entry.path, "run.json")):
                        shown = entry.name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
                        if shown != entry.name:
                            found.setdefault(shown, "the name of its folder is not UTF-8. Rename the folder to look at the run.")
                            continue
                        try:
                            check_inside(self.root, Path(entry.path))
                            found[entry.name] = ""
                        except StoreError as error:
                            found[entry.name] = str(error)
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            pass
        return dict(sorted(found.items()))

    def _entry(self, name: str, problem: str, known: Entry | None) -> Entry:
        """A run as it is now; the very same value where nothing has changed."""
        folder = RunFolder(self.root / name)
        if problem:
            return self._unreadable(folder, known, problem, (), "unreadable")
        try:
            marks = tuple(self._mark(folder.path / part) for part in _WATCHED)
        except StoreError as error:
            return self._unreadable(folder, known, str(error), (), "unreadable")
        except OSError as error:
            return self._unreadable(folder, known, error.strerror or str(error), (), "unreadable")
        if known is not None and known.marks[:4] == marks[:4]:
            return self._with_status(known, marks)
        try:
            return self._changed(folder, known, marks)
        except InaccessibleError as error:  # without marks, so that it is tried again: permissions and disks change while a file does not
            return self._unreadable(folder, known, str(error), (), "unreadable")
        except StoreError as error:
            return self._unreadable(folder, known, str(error), marks, folder.status())
        except OSError as error:
            return self._unreadable(folder, known, f"it cannot be read: {error}", (), "unreadable")
        except (ValueError, TypeError, KeyError, OverflowError) as error:
            return self._unreadable(folder, known, f"it cannot be read: {error}", marks, "damaged")

    def _changed(self, folder: RunFolder, known: Entry | None, marks: tuple[Mark | None, ...]) -> Entry:
        """A run of which a file is another one than at the last look, or that is new."""
        is_same = known is not None and known.run is not None and bool(known.rows) and known.marks[0] == marks[0]
        if known is not None and is_same and marks[1] is not None and marks[1][1] <= HISTORY_LIMIT and _has_grown(known.marks[1], marks[1]):
            # What was read may hold more than the size that was asked for just before: then the new lines are not where they were expected.
            with contextlib.suppress(StoreError):
                return self._grown(known, marks)
        return self._read(folder, marks)

    def _mark(self, path: Path) -> Mark | None:
        found = check_file(self.root, path)
        return None if found is None else (found.st_ino, found.st_size, found.st_mtime_ns)

    def _read(self, folder: RunFolder, marks: tuple[Mark | None, ...]) -> Entry:
        reading = folder.reading()
        message = str(reading.description.get("message", ""))
        rows = reading.evaluations.rows
        row = row_of(folder.id, reading)
        # Half a character, which JSON can write, would end the table of all runs: UnicodeEncodeError, here and of this run alone.
        json.dumps([reading.description, *rows[-1:]], ensure_ascii=False).encode()
        # What ended is read as a whole should it go on, so that its lines need not be kept.
        kept = rows if row["status"] == "running" else []
        return Entry(folder, row, self.version + 1, reading.description, reading.run, kept, History.of(rows), message, marks)

    def _grown(self, known: Entry, marks: tuple[Mark | None, ...]) -> Entry:
        """A run whose history has new lines, of which nothing else is read again; a half-written last line waits for its end."""
        before, now = known.marks[1], marks[1]
        assert before is not None
        assert now is not None
        assert known.run is not None
        with open(known.folder.path / "history.jsonl", "rb") as file:
            file.seek(before[1])
            content = file.read(now[1] - before[1])
        whole = content[: content.rfind(b"\n") + 1]
        marks = (marks[0], (now[0], before[1] + len(whole), now[2]), *marks[2:])
        last = known.rows[-1]["step"]
        new = rows_in(known.folder.path / "history.jsonl", whole.splitlines(keepends=True), known=len(known.rows), after=last)
        if not new:
            return replace(known, marks=marks)
        rows = [*known.rows, *new]
        saved = saved_in(known.folder.path)
        reached = max(rows[-1]["step"], 0 if saved is None else saved.step)
        reading = Reading(known.description, known.run, Evaluations(rows, reached), self._status(known))
        return replace(known, row=row_of(known.id, reading), version=self.version + 1, rows=rows, history=History.of(rows), marks=marks)

    def _with_status(self, known: Entry, marks: tuple[Mark | None, ...]) -> Entry:
        """A run of which nothing was written: whether the process that trains it still lives."""
        if known.run is None or known.description.get("status") != "running":
            return known
        status = self._status(known)
        return known if status == known.status else replace(known, row={**known.row, "status": status}, version=self.version + 1)

    def _status(self, known: Entry) -> str:
        status = str(known.description["status"])
        return "interrupted" if status == "running" and owner_of(known.folder.path) is None else status

    def _unreadable(self, folder: RunFolder, known: Entry | None, message: str, marks: tuple[Mark | None, ...], status: str) -> Entry:
        """A run that cannot be read; the very same value where that was so for the same reason."""
        row = {"id": folder.id, "status": status if status in ("damaged", "unreadable") else "damaged"}
        told = self.relative(message)
        if known is not None and known.run is None and (known.row, known.message, known.marks) == (row, told, marks):
            return known
        return Entry(folder, row, self.version + 1, message=told, marks=marks)

    # — what pages ask for —

    def relative(self, message: str) -> str:
        """A message with its paths as they are below the folder."""
        return message.replace(f"{self.root}{os.sep}", "").replace(str(self.root), "the results folder")

    def entries(self) -> list[Entry]:
        """All runs, by id."""
        self.look()
        with self._lock:
            return list(self._entries.values())

    def get(self, name: str) -> Entry | None:
        """The run of that id, which is a name in a dictionary and never a part of a path."""
        self.look()
        return self._entries.get(name)

    def table(self) -> pl.DataFrame:
        """The table of runs, a row each."""
        self.look()
        with self._lock:
            if self._table is None or self._table[0] != self.version:
                self._table = self.version, table_of_rows([entry.row for entry in self._entries.values()])
            return self._table[1]


def _has_grown(before: Mark | None, now: Mark | None) -> bool:
    """Whether a file is the same one with more at its end; one that was written anew has another inode."""
    return before is not None and now is not None and before[0] == now[0] and now[1] > before[1]
