"""The results of many runs as one small file: histories of all, and of those behind a picture what the picture is drawn from."""

from __future__ import annotations

import contextlib
import io
import json
import lzma
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO, BinaryIO, cast

from groklab.outside.files import open_regular, read_regular
from groklab.results.files import StoreError, make_folder, write_arrays, write_whole
from groklab.results.store import RunFolder
from groklab.text.values import shown

DRAWN = ("output", "embedding", "embedding.left", "embedding.right")
"""Arrays of a checkpoint that pictures of elements are drawn from."""

NAME = "runs.tar.xz"

LARGEST = 1 << 30
"""Bytes of an archive."""
RATIO = 100
"""Bytes that an archive may hold for each of its own; histories are packed to a tenth."""
_ALWAYS = 64_000_000
"""Bytes that any archive may hold, however small it is."""
_LARGEST_FILE = 64_000_000
_MOST_FILES = 200_000
_DICTIONARY = 200_000_000
"""Bytes of memory for unpacking; what groklab writes asks for 65 million."""


def pack(folders: Iterable[RunFolder], pictured: Iterable[str], path: Path) -> None:
    """Write run.json, history, numbers measured and plugins of each run; of the runs in ``pictured`` also the last answers and output layer.

    The same results give the same bytes. A run whose history cannot be read is left out, and so is a layer that cannot.
    """
    shown, buffer = set(pictured), io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for folder in sorted(folders, key=lambda folder: folder.id):
            try:
                files = _files_of(folder, with_layer=folder.id in shown)
            except OSError:
                continue
            for name, content in files:
                entry = tarfile.TarInfo(f"runs/{folder.id}/{name}")
                entry.size, entry.mode = len(content), 0o644
                archive.addfile(entry, io.BytesIO(content))
    make_folder(path.parent)
    write_whole(path, lzma.compress(buffer.getvalue(), preset=9))


def _files_of(folder: RunFolder, *, with_layer: bool) -> list[tuple[str, bytes]]:
    names = ["run.json", "history.jsonl", *(f"measures/{path.name}" for path in sorted((folder.path / "measures").glob("*.jsonl")))]
    names += [
        path.relative_to(folder.path).as_posix() for path in sorted([*folder.path.glob("plugins/*"), *folder.path.glob("table.csv*")])
    ]
    found = [(name, read_regular(folder.path / name, _LARGEST_FILE)) for name in names if os.path.lexists(folder.path / name)]
    if with_layer:
        for kind in ("checkpoints", "answers"):
            for step in folder.steps_of(kind)[-1:]:
                name = f"{kind}/step_{step:09d}.safetensors"
                with contextlib.suppress(StoreError, OSError):
                    found.append(
                        (name, _reduced(folder, step) if kind == "checkpoints" else read_regular(folder.path / name, _LARGEST_FILE))
                    )
    return found


def _reduced(folder: RunFolder, step: int) -> bytes:
    """A checkpoint with the output layer and the embedding alone."""
    _, arrays = folder.read_step("checkpoints", step)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "reduced.safetensors"
        write_arrays(path, {name: array for name, array in arrays.items() if name in DRAWN}, {"step": str(step)})
        return _in_one_order(path.read_bytes())


def _in_one_order(file: bytes) -> bytes:
    """A safetensors file with its header sorted: its writer puts the facts in an order that differs from time to time."""
    length = int.from_bytes(file[:8], "little")
    header = json.dumps(json.loads(file[8 : 8 + length]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + file[8 + length :]


def unpack(path: Path, into: Path) -> Path:
    """The folder of runs of an archive, unpacked; StoreError where it is not one.

    Only plain files in folders of runs are written, and no more of them than an archive of this size may hold: see ``RATIO``.
    """
    try:
        with open_regular(path, LARGEST) as file:
            content = _Unpacked(file, allowed=max(_ALWAYS, RATIO * os.fstat(file.fileno()).st_size))
            with tarfile.open(fileobj=cast(IO[bytes], content), mode="r|", bufsize=1 << 16) as archive:
                for number, member in enumerate(archive, 1):
                    _check_member(member, number)
                    _write_member(archive, member, into)
    except (tarfile.TarError, lzma.LZMAError, EOFError, OSError, ValueError, MemoryError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise StoreError(
            f"{path} cannot be unpacked: {reason}. Get the file again, or make it anew with `groklab replicate … --archive`."
        ) from error
    return into / "runs"


class _Unpacked:
    """The content of an xz file, piece by piece: never more than a piece in memory, nor more than is allowed in all."""

    def __init__(self, file: BinaryIO, *, allowed: int) -> None:
        self._file, self._left, self._allowed = file, allowed, allowed
        self._decompressor = lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=_DICTIONARY)

    def read(self, size: int) -> bytes:
        """At most so many bytes more, fewer at the end alone; ValueError where the archive holds more than is allowed."""
        pieces: list[bytes] = []
        wanted = size
        while wanted > 0 and not self._decompressor.eof:
            given = self._file.read(1 << 16) if self._decompressor.needs_input else b""
            if not given and self._decompressor.needs_input:
                raise EOFError("it is cut off")
            piece = self._decompressor.decompress(given, max_length=wanted)
            wanted -= len(piece)
            pieces.append(piece)
        content = b"".join(pieces)
        self._left -= len(content)
        if self._left < 0:
            raise ValueError(f"it unpacks to more than {self._allowed:,} bytes, which no archive of its size does")
        return content


def _check_member(member: tarfile.TarInfo, number: int) -> None:
    """ValueError where an entry is anything but a plain file of a run of a size that such files have."""
    if number > _MOST_FILES:
        raise ValueError(f"it holds more than {_MOST_FILES:,} files")
    parts = member.name.split("/")
    is_plain = member.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and not member.issparse()
    is_inside = 3 <= len(parts) <= 5 and parts[0] == "runs" and not any(part in ("", ".", "..") or "\\" in part for part in parts)
    if not is_plain or not is_inside or "\0" in member.name:
        raise ValueError(f"{shown(member.name)} is not a plain file of a run")
    if member.size > _LARGEST_FILE:
        raise ValueError(f"{shown(member.name)} has {member.size:,} bytes; expected at most {_LARGEST_FILE:,}")


def _write_member(archive: tarfile.TarFile, member: tarfile.TarInfo, into: Path) -> None:
    content = archive.extractfile(member)
    assert content is not None
    place = into.joinpath(*member.name.split("/"))
    place.parent.mkdir(parents=True, exist_ok=True)
    with open(place, "xb") as file:  # an archive has each file once, and writes over none
        shutil.copyfileobj(content, file)
