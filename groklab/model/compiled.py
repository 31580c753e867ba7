"""`kernels.c` with `products.h`, compiled once for the machine at hand and kept; where that cannot be, one line says why and nothing else changes.

What `compiler.py` makes is kept as `cache.py` keeps it, under a name that depends on the source, the compiler and the processor, so
that machines that share a home folder do not share what only one of them can run. It is tried in a process of its own first: a
library for another processor would end this one.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import platform
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np

from groklab.model import cache
from groklab.model.compiler import UnavailableError, compile_to, compiler, run, version
from groklab.outside.printable import printable

SOURCES = [Path(__file__).with_name(name) for name in ("kernels.c", "products.h")]
REALS = {"float32": "float", "float64": "double"}
FLAGS = (
    "-std=gnu11",
    "-O3",
    "-fPIC",
    "-shared",
    "-ffp-contract=fast",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-fassociative-math",
    "-fno-signed-zeros",
)
"""Sums may be taken in another order, as vector units need; nan and infinity stay what they are."""

FUNCTIONS = (
    *("embed", "add_rows", "fill_zero", "sum_rows", "add_stream", "layer_norm", "layer_norm_backward", "activate", "multiply"),
    *("attend", "attend_backward", "cross_entropy", "answers", "adam", "distinct", "vector_bits", "matmul"),
)
"""What a library must have."""

TO_TRY = 60.0
"""Seconds that the first use of a library may take; it takes a fiftieth of one."""

_TRIAL = """
import ctypes, sys
try:
    library = ctypes.CDLL(sys.argv[1])
    library.matmul
except (OSError, AttributeError):
    sys.exit()  # which shows where it is to be used as well
real = {"float32": ctypes.c_float, "float64": ctypes.c_double}[sys.argv[2]]
a, b, c = ((real * size)() for size in (37 * 300, 300 * 67, 37 * 67))
given = [37, 67, 300, a, 300, 1, b, 67, 1, c, 67, 0, None, None]
library.matmul(*(ctypes.c_int64(x) if isinstance(x, int) else x for x in given))
"""
"""A library loaded and used by a process of its own, which may end by it."""


class _Found(NamedTuple):
    """What a process knows of the kernels of one precision."""

    library: ctypes.CDLL | None
    reason: str
    """Why there is none."""
    problems: tuple[str, ...]
    """What was in the way of keeping it where it was asked to be kept."""


_known: dict[str, _Found] = {}
"""Found once for each process: otherwise the compiler would be asked again for every run."""


def kernels(precision: str) -> ctypes.CDLL:
    """The compiled kernels for float32 or float64; UnavailableError with the reason where there are none."""
    if precision not in _known:
        _known[precision] = _found(precision)
    library, reason, _ = _known[precision]
    if library is None:
        raise UnavailableError(reason)
    return library


def remark() -> str:
    """Why the kernels that this process uses are not kept where they were asked to be, in one line; empty where they are."""
    return next((f"kept elsewhere than asked: {found.problems[0]}" for found in _known.values() if found.library and found.problems), "")


def _found(precision: str) -> _Found:
    problems: list[str] = []
    try:
        library = _loaded(precision, problems)
        _check(library, precision)
        if vector_bits(library) < 256 and platform.machine() in ("x86_64", "AMD64"):
            # Measured: with registers of 128 bits they are slower than torch's own products, which have kernels for these processors.
            raise UnavailableError("the processor has no vector registers of 256 bits")
    except UnavailableError as error:
        return _Found(None, str(error), tuple(problems))
    return _Found(library, "", tuple(problems))


def _loaded(precision: str, problems: list[str]) -> ctypes.CDLL:
    """The kernels that are kept, or else compiled: where a folder cannot be used or its disk is full, in the next."""
    if os.name != "posix":
        raise UnavailableError("the kernels are compiled on Linux and macOS alone")
    command, last, name = _work(precision)
    made = b""
    for find in cache.PLACES:
        try:
            folder = find()
        except OSError as error:
            if isinstance(error, cache.UnsafeError) or os.environ.get("GROKLAB_CACHE", "").strip():
                problems.append(_told(error))
            continue
        kept = cache.kept(folder, name)
        if kept is not None:
            with contextlib.suppress(OSError, AttributeError):
                return _opened(folder, name, kept)
        try:
            made = made or _compiled(folder, command, last)
            library = _tried(folder, made, precision)
        except OSError as error:  # of the folder or its disk, or because nothing may be run from there
            problems.append(f"{_told(folder)} cannot be used ({_told(error)})")
            continue
        with contextlib.suppress(OSError):  # next time, then
            cache.keep(folder, name, made)
        return library
    if made:
        raise UnavailableError(f"what was compiled cannot be loaded ({problems[-1]})")
    raise UnavailableError(
        f"no folder was found in which compiled kernels can be kept for this user alone{f' ({problems[0]})' if problems else ''}; "
        "name one with GROKLAB_CACHE"
    )


def _opened(folder: Path, name: str, content: bytes) -> ctypes.CDLL:
    """What is kept, from a copy that nobody can cut off; where none can be written, from where it lies."""
    try:
        with cache.copied(folder, content) as path:
            return _bound(path)
    except OSError:
        return _bound(folder / name)


def _tried(folder: Path, content: bytes, precision: str) -> ctypes.CDLL:
    """What was just compiled, once another process has used it; OSError where it cannot be loaded from this folder."""
    with cache.copied(folder, content) as path:
        try:
            if sys.executable and not getattr(sys, "frozen", False):
                run([sys.executable, "-I", "-S", "-c", _TRIAL, str(path), precision], "its trial", seconds=TO_TRY)
            return _bound(path)
        except (UnavailableError, AttributeError) as error:
            raise UnavailableError(f"what the C compiler made cannot be used: {_told(error)}") from error


def _bound(path: Path) -> ctypes.CDLL:
    library = ctypes.CDLL(str(path))
    for function in FUNCTIONS:
        getattr(library, function)  # AttributeError where it is another library
    library.distinct.restype = ctypes.c_int64
    return library


def why_not(precision: str) -> str:
    """Why there are no compiled kernels here, in a few words; empty where there are."""
    try:
        kernels(precision)
    except UnavailableError as error:
        return str(error)
    return ""


def vector_bits(library: ctypes.CDLL) -> int:
    """Width of the vector registers that the kernels use, in bits."""
    return int(library.vector_bits())


def _work(precision: str) -> tuple[list[str], list[str], str]:
    """The command that compiles, its last words, and the name under which its result is kept."""
    words = compiler()
    target = ["-mcpu=native"] if platform.machine() == "arm64" and sys.platform == "darwin" else ["-march=native"]
    command = [*words, *FLAGS, *target, f"-DREAL={REALS[precision]}"]
    last = ["-framework", "Accelerate"] if sys.platform == "darwin" else ["-lm"]
    parts = [*(source.read_bytes() for source in SOURCES), *map(os.fsencode, command), version(words), _processor()]
    key = hashlib.sha256(b"\0".join(parts)).hexdigest()[:24]
    return [*command, str(SOURCES[0])], last, f"kernels-{precision}-{key}.so"


def _compiled(folder: Path, command: list[str], last: list[str]) -> bytes:
    """The library that a compiler makes; OSError where the folder has no room for it."""
    with cache.workshop(folder) as workshop:
        path = workshop / "kernels.so"
        try:
            compile_to(path, command, last)
            path.chmod(0o600)
            content = cache.content_of(path)
        except UnavailableError:
            cache.check_room(workshop)
            raise
        except OSError as error:
            cache.check_room(workshop)
            raise UnavailableError(f"what the C compiler made cannot be read: {_told(error)}") from error
    if not content:
        raise UnavailableError("what the C compiler made is empty")
    return content


def _told(what: object) -> str:
    """A folder or an error in one line."""
    if isinstance(what, OSError) and what.strerror:
        return printable(f"{what.filename}: {what.strerror}" if what.filename else what.strerror, limit=200)
    return printable(what, limit=200)


def _processor() -> bytes:
    """What decides which instructions there are."""
    try:
        lines = Path("/proc/cpuinfo").read_bytes().splitlines()
        return b"\n".join(
            sorted({line for line in lines if line.startswith((b"flags", b"Features", b"model name", b"cpu family", b"CPU part"))})
        )
    except OSError:
        return (platform.processor() + platform.machine() + platform.release()).encode()


def _check(library: ctypes.CDLL, precision: str) -> None:
    """One product of awkward sizes, compared with numpy: what a compiler or processor gets wrong must not train anything."""
    random = np.random.default_rng(0)
    a, b = (random.standard_normal(shape).astype(precision) for shape in ((37, 300), (300, 67)))
    c = np.zeros((37, 67), precision)
    numbers = [37, 67, 300, a, 300, 1, b, 67, 1, c, 67, 0, None, None]
    library.matmul(
        *(
            ctypes.c_void_p(x.ctypes.data) if isinstance(x, np.ndarray) else ctypes.c_void_p(0) if x is None else ctypes.c_int64(x)
            for x in numbers
        )
    )
    if not np.allclose(c, a.astype(np.float64) @ b, atol=1e-3 if precision == "float32" else 1e-10):
        raise UnavailableError("the compiled kernels give wrong products on this processor")
