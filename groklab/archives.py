"""The results of many runs as one small file: histories of all, and of those behind a picture what the picture is drawn from."""

from __future__ import annotations

import contextlib
import io
import json
import lzma
import tarfile
import tempfile
from collections.abc import Iterable
from pathlib import Path

from groklab.results.files import StoreError, make_folder, write_arrays, write_whole
from groklab.results.store import RunFolder

DRAWN = ("output", "embedding", "embedding.left", "embedding.right")
"""Arrays of a checkpoint that pictures of elements are drawn from."""

NAME = "runs.tar.xz"


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
    found = [(name, (folder.path / name).read_bytes()) for name in names if (folder.path / name).is_file()]
    if with_layer:
        for kind in ("checkpoints", "answers"):
            for step in folder.steps_of(kind)[-1:]:
                name = f"{kind}/step_{step:09d}.safetensors"
                with contextlib.suppress(StoreError, OSError):
                    found.append((name, _reduced(folder, step) if kind == "checkpoints" else (folder.path / name).read_bytes()))
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
    """The folder of runs of an archive, unpacked; StoreError where it is not one."""
    try:
        with tarfile.open(path, mode="r:xz") as archive:
            archive.extractall(into, filter="data")
    except (tarfile.TarError, lzma.LZMAError, EOFError, OSError) as error:
        raise StoreError(
            f"{path} cannot be unpacked: {error}. Get the file again, or make it anew with `groklab replicate … --archive`."
        ) from error
    return into / "runs"
