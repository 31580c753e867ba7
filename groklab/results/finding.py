"""The runs below a folder: all of them, and the one that is meant."""

from __future__ import annotations

import os
import re
from pathlib import Path

from groklab import registry
from groklab.results.files import StoreError
from groklab.results.store import RunFolder
from groklab.values import shown

_LEFT = ("history.jsonl", "checkpoints", "answers", "measures", "state.safetensors", "table.csv", "plugins", "figures", "again")


def folders(root: Path) -> list[RunFolder]:
    """The runs stored below a folder, by id."""
    if not root.is_dir():
        return []
    return [RunFolder(path.parent) for path in sorted(root.glob("*/run.json"))]


def empty_folders(root: Path) -> list[RunFolder]:
    """Folders that a run killed at its beginning, or half removed, has left: named by an id, without run.json or anything not of a run."""
    if not root.is_dir():
        return []
    left = (
        path
        for path in sorted(root.iterdir())
        if path.is_dir() and re.search(r"-f[0-9.e-]+-s[0-9]+-(?:[0-9a-f]{8}|[0-9a-f]{12})$", path.name)
    )
    return [
        RunFolder(path)
        for path in left
        if all(file.name in _LEFT or file.suffix == ".tmp" or file.stem == "lock" for file in path.iterdir())
    ]


class UnknownRunError(StoreError):
    """A run that was named and is not stored."""


def find(root: Path, text: str) -> RunFolder:
    """The run that is meant by an id, a unique prefix of one, a path, or ``latest``; UnknownRunError otherwise."""
    stored = folders(root)
    if text == "latest":
        if not stored:
            raise UnknownRunError(f"{root} holds no runs yet. `groklab train` makes one.")
        return max(stored, key=lambda folder: (folder.path / "run.json").stat().st_mtime)
    if "/" in text or os.sep in text or (Path(text) / "run.json").exists():
        folder = RunFolder(Path(text).resolve() if text.endswith("run.json") is False else Path(text).resolve().parent)
        if folder.exists:
            return folder
        raise UnknownRunError(f"{text} holds no run: there is no run.json in it.")
    matching = [folder for folder in stored if folder.id == text] or [folder for folder in stored if folder.id.startswith(text)]
    if len(matching) == 1:
        return matching[0]
    if matching:
        raise UnknownRunError(
            f"{shown(text)} is the beginning of {len(matching)} runs: {', '.join(f.id for f in matching[:5])}. Write more of it."
        )
    raise UnknownRunError(f"no run {shown(text)} in {root}. {registry.nearest(text, [f.id for f in stored])}")
