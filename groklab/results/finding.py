"""The runs below a folder: all of them, and the one that is meant."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from groklab import registry
from groklab.results.files import StoreError
from groklab.results.store import RunFolder
from groklab.text.values import shown

_LEFT = ("history.jsonl", "checkpoints", "answers", "measures", "state.safetensors", "table.csv", "plugins", "figures", "again")


def folders(root: Path) -> list[RunFolder]:
    """The runs stored below a folder, by id; those that cannot be read too. ValueError where it is no folder, or may not be read."""
    return [RunFolder(path) for path in _inside(root) if os.path.lexists(path / "run.json")]


def empty_folders(root: Path) -> list[RunFolder]:
    """Folders that a run killed at its beginning, or half removed, has left: named by an id, without run.json or anything not of a run."""
    named = (path for path in _inside(root) if re.search(r"-f[0-9.e-]+-s[0-9]+-(?:[0-9a-f]{8}|[0-9a-f]{12})$", path.name))
    return [RunFolder(path) for path in named if not path.is_symlink() and _is_left_over(path)]


def _inside(root: Path) -> list[Path]:
    """The folders in a folder, by name; none where there is no such folder."""
    try:
        with os.scandir(root) as entries:
            return [Path(root, entry.name) for entry in sorted(entries, key=lambda entry: entry.name) if _is_folder(entry)]
    except FileNotFoundError:
        if os.path.lexists(root):
            raise ValueError(f"--runs: got {shown(str(root))}, a link that leads nowhere; expected a folder of results.") from None
        return []
    except (OSError, ValueError) as error:
        reason = "a file" if isinstance(error, NotADirectoryError) else getattr(error, "strerror", None) or error
        raise ValueError(f"--runs: got {shown(str(root))}; expected a folder of results that can be read ({reason}).") from None


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads back to itself
        return False


def _is_left_over(path: Path) -> bool:
    try:
        return all(file.name in _LEFT or file.suffix == ".tmp" or file.stem == "lock" for file in path.iterdir())
    except OSError:
        return False


class UnknownRunError(StoreError):
    """A run that was named and is not stored."""


def find(root: Path, text: str) -> RunFolder:
    """The run that is meant by an id, a unique prefix of one, a path, or ``latest``; UnknownRunError otherwise."""
    stored = folders(root)
    if text == "latest":
        dated = [(written, folder) for folder in stored if (written := _written(folder)) is not None]
        if not dated:
            raise UnknownRunError(f"{root} holds no runs yet. `groklab train` makes one.")
        return max(dated, key=lambda pair: pair[0])[1]
    if "\0" not in text and ("/" in text or os.sep in text or RunFolder(Path(text)).exists):
        named = Path(os.path.realpath(text))
        folder = RunFolder(named.parent if text.endswith("run.json") else named)
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


def _written(folder: RunFolder) -> int | None:
    """When a run's description was last written, in nanoseconds; None where it is no file, which cannot be the latest run."""
    try:
        found = os.stat(folder.path / "run.json")
    except OSError:
        return None
    return found.st_mtime_ns if stat.S_ISREG(found.st_mode) else None
