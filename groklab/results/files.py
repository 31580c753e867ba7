"""Whole files, written beside and renamed, so that a killed process leaves the old file or the new one and never a part.

Arrays are kept as safetensors with a checksum of their bytes; nothing here is pickled.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import tempfile
import zlib
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from groklab.outside.files import check_safetensors, parsed_json, read_regular
from groklab.outside.printable import command, path_in
from groklab.text.values import shown

JSON_LIMIT = 8_000_000
"""Bytes of a file that is read as one JSON value: a run.json has a few thousand."""
REPORT_LIMIT = 64_000_000
"""Bytes of a report, or of what was found for it, that is read as one JSON value."""
ARRAYS_LIMIT = 16 << 30
"""Bytes of a file of arrays; states are the largest, of a network and a hundred of its gradients."""


class StoreError(RuntimeError):
    """Results that cannot be written or read; what was stored before is untouched."""


class DamagedError(StoreError):
    """A stored file that does not hold what it should."""


class InaccessibleError(StoreError):
    """A stored file that cannot be read as things stand, whatever it holds: another kind of file, too large, or of somebody else."""


def damaged(path: Path, what: str) -> DamagedError:
    """The error for a damaged file, with what to do about it."""
    folder = path.parent if path.parent.name not in ("checkpoints", "answers") else path.parent.parent
    return DamagedError(
        f"{path} is damaged: {what.rstrip('.')}. Nothing was changed. Restore it from a copy, or remove the run with "
        f"`{command('groklab', 'remove', folder)}` and train it again."
    )


def unreadable(path: Path, error: OSError) -> InaccessibleError:
    """The error for a file that cannot be read, with the reason."""
    return InaccessibleError(f"{path_in(path)} cannot be read: {error.strerror or error}. Nothing was changed.")


def unwritable(path: Path, error: OSError) -> StoreError:
    """The error for a place that cannot be written, with what to do about it."""
    reasons = {
        errno.ENOSPC: "no space is left on the device. Free some and run the same command again",
        errno.EROFS: "the file system is read-only. Choose another folder with --runs",
        errno.EACCES: "permission was denied. Choose another folder with --runs, or change its permissions",
        errno.EPERM: "permission was denied. Choose another folder with --runs, or change its permissions",
        errno.ENOTDIR: "a part of the path is a file and not a folder. Choose another folder with --runs",
        errno.ENOENT: "the folder has disappeared: it was removed or moved. Look for it, or run the same command again",
        errno.EEXIST: "a file of that name is in the way. Choose another folder with --runs",
        errno.EDQUOT: "the disk quota is used up. Free some space and run the same command again",
    }
    reason = reasons.get(error.errno or 0, f"{error.strerror or error}. Choose another folder with --runs")
    return StoreError(f"While writing {path_in(path)}: {reason}. What was stored is intact.")


def check_output(flag: str, path: Path, endings: Sequence[str]) -> None:
    """A file that could not be written is found before hours of training, not after; ValueError names the flag that asks for it."""
    if path.suffix.lower() not in endings:
        raise ValueError(f"{flag}: got {shown(str(path))}; expected a file that ends in {', '.join(endings[:-1])} or {endings[-1]}.")
    if path.is_dir():
        raise ValueError(f"{flag}: got {shown(str(path))}, a folder; expected a file.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise ValueError(f"{flag}: got {shown(str(path))}; expected a place that can be written ({error.strerror or error}).") from None


def make_folder(path: Path) -> None:
    """Create a folder and its parents; StoreError where that cannot be."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(path, error) from error


def make_part(path: Path) -> None:
    """Create a folder in a run's folder, and never that one again; StoreError where that cannot be, as where it has disappeared."""
    try:
        path.mkdir(exist_ok=True)
    except OSError as error:
        raise unwritable(path, error) from error


def write_whole(path: Path, content: bytes) -> None:
    """Replace a file at once: write beside, flush to the disk, rename; StoreError where that cannot be."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        with open(beside, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
        raise unwritable(path, error) from error


def write_json(path: Path, value: Any) -> None:
    """Replace a JSON file at once."""
    write_whole(path, (json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode())


def read_json(path: Path) -> Any:
    """The value in a JSON file of at most ``JSON_LIMIT`` bytes; DamagedError where there is none, StoreError where it cannot be read."""
    content = read_stored(path, JSON_LIMIT)
    try:
        return parsed_json(content)
    except ValueError as error:
        raise damaged(path, f"it is not JSON ({error})") from error


def read_stored(path: Path, limit: int) -> bytes:
    """A stored file of at most ``limit`` bytes; FileNotFoundError where there is none, StoreError where it cannot be read."""
    try:
        return read_regular(path, limit)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise unreadable(path, error) from error


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray], facts: Mapping[str, str] | None = None) -> None:
    """Replace a safetensors file at once; ``facts`` and a checksum go into its header."""
    whole = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    write_whole(path, save(whole, metadata={**(facts or {}), "checksum": _checksum(whole, facts or {})}))


def read_arrays(path: Path, *, limit: int = ARRAYS_LIMIT) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Arrays and facts of a safetensors file of at most ``limit`` bytes; DamagedError where its bytes are not those that were written.

    FileNotFoundError where there is none, StoreError where it cannot be read.
    """
    with _opened(path, limit) as file:
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
        facts: dict[str, str] = file.metadata() or {}
    if facts.pop("checksum", None) != _checksum(arrays, facts):
        raise damaged(path, "its checksum does not fit its content")
    return arrays, facts


def read_facts(path: Path) -> dict[str, str]:
    """The facts of a safetensors file alone, its arrays unread; errors as for ``read_arrays``."""
    with _opened(path, ARRAYS_LIMIT) as file:
        return file.metadata() or {}


@contextlib.contextmanager
def _opened(path: Path, limit: int) -> Generator[Any]:
    try:
        check_safetensors(path, limit)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise unreadable(path, error) from error
    except ValueError as error:
        raise damaged(path, f"it is not a safetensors file ({error})") from error
    try:
        with safe_open(path, framework="numpy") as file:
            yield file
    except FileNotFoundError:
        raise
    except (SafetensorError, OSError, ValueError, TypeError, KeyError) as error:
        raise damaged(path, f"it is not a safetensors file ({error})") from error


def _checksum(arrays: Mapping[str, np.ndarray], facts: Mapping[str, str]) -> str:
    value = zlib.crc32(json.dumps(dict(sorted(facts.items()))).encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        value = zlib.crc32(array.tobytes(), zlib.crc32(f"{name} {array.dtype} {array.shape}".encode(), value))
    return f"crc32:{value:08x}"


def check_folder(field: str, path: Path) -> None:
    """ValueError where no folder is or can be made at a path, as it or what it would lie in is a file."""
    place = path
    while not os.path.lexists(place) and place != place.parent:
        place = place.parent
    if not place.is_dir():
        raise ValueError(f"{field}: got {shown(str(path))}; expected a folder, or a place for one. {shown(str(place))} is no folder.")
