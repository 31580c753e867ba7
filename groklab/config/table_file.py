"""The file that a task's table comes from, as the id of a run knows it: by its content, and by the reader that it needs."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from groklab import registry
from groklab.outside.files import read_regular

LARGEST = 400_000_000
"""Bytes of a table's file."""
READERS = 2
"""Versions of the reader: 1 takes names as they stand; 2 knows separators, matrices, marks of blanks, and 3.0 for 3."""


@dataclass(frozen=True)
class TableFile:
    """What an id depends on."""

    hash: str
    """SHA-256 of the content."""
    reader: int
    """Version of the reader whose reading it is; 1 wherever a newer one finds the same elements and cells."""

    def canonical(self) -> dict[str, Any]:
        """What the id is the hash of; the first reader is not named, for there was no other."""
        return {"file": self.hash} | ({"reader": self.reader} if self.reader != 1 else {})


def content_of(file: str | Path) -> bytes:
    """The bytes of a table's file, a regular one of at most ``LARGEST`` bytes; OSError otherwise."""
    return read_regular(file, LARGEST)


def table_file(file: str | Path, reader: int | None) -> TableFile:
    """Content and reader of a file; ``reader`` is the version that was asked for, None for the newest. OSError as for ``content_of``."""
    content = content_of(file)
    needed = 1 if reader == 1 else registry.look_up("operation", "from_file").facts["reader_of"](content)
    return TableFile(hashlib.sha256(content).hexdigest(), needed)


def as_stored(tree: Mapping[str, Any]) -> Mapping[str, Any]:
    """The tree of a stored run: where it names no reader of its file, that was the first."""
    task = tree.get("task")
    if isinstance(task, Mapping) and task.get("file") is not None and "reader" not in task:
        return {**tree, "task": {**task, "reader": 1}}
    return tree
