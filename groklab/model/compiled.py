"""`kernels.c` with `products.h`, compiled once for the machine at hand and kept; where that cannot be, one line says why and nothing else changes.

The compiler is the one that the environment variable CC names, or ``cc``. What it makes is kept in ``$GROKLAB_CACHE``, or in
``groklab`` under ``$XDG_CACHE_HOME`` or ``~/.cache``, under a name that depends on the source, the compiler and the processor, so
that machines that share a home folder do not share what only one of them can run.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from functools import lru_cache
from pathlib import Path

import numpy as np

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


class UnavailableError(RuntimeError):
    """The kernels cannot be compiled or do not work here; the text says why."""


def kernels(precision: str) -> ctypes.CDLL:
    """The compiled kernels for float32 or float64; UnavailableError with the reason, found once for each process."""
    found = _found(precision)
    if isinstance(found, str):
        raise UnavailableError(found)
    return found


@lru_cache
def _found(precision: str) -> ctypes.CDLL | str:
    """The kernels, or why there are none: an error would not be remembered, and the compiler asked again for every run."""
    try:
        library = _loaded(precision)
        _check(library, precision)
        if vector_bits(library) < 256 and platform.machine() in ("x86_64", "AMD64"):
            # Measured: with registers of 128 bits they are slower than torch's own products, which have kernels for these processors.
            return "the processor has no vector registers of 256 bits"
        return library
    except UnavailableError as error:
        return str(error)


def _loaded(precision: str) -> ctypes.CDLL:
    """The kernels; what was kept and cannot be loaded, such as a file cut off by a full disk, is compiled once more."""
    path = _library(precision)
    try:
        return _opened(path)
    except (OSError, AttributeError):
        with contextlib.suppress(OSError):
            path.unlink()
    path = _library(precision)
    try:
        return _opened(path)
    except (OSError, AttributeError) as error:
        raise UnavailableError(
            f"what was compiled cannot be loaded from {path.parent} ({error}); name another folder with GROKLAB_CACHE"
        ) from error


def _opened(path: Path) -> ctypes.CDLL:
    library = ctypes.CDLL(str(path))
    library.distinct.restype = ctypes.c_int64  # AttributeError where it is another library
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


def _library(precision: str) -> Path:
    compiler = _compiler()
    target = ["-mcpu=native"] if platform.machine() == "arm64" and sys.platform == "darwin" else ["-march=native"]
    command = [*compiler, *FLAGS, *target, f"-DREAL={REALS[precision]}"]
    last = ["-framework", "Accelerate"] if sys.platform == "darwin" else ["-lm"]
    key = hashlib.sha256(
        "\0".join([*(source.read_text() for source in SOURCES), *command, _version(compiler), _processor()]).encode()
    ).hexdigest()[:24]
    for folder in _folders():
        path = folder / f"kernels-{precision}-{key}.so"
        if path.exists():
            return path
        try:
            folder.mkdir(parents=True, exist_ok=True)
            # Beside and renamed: another process may be compiling the same.
            handle, beside = tempfile.mkstemp(prefix=path.stem, suffix=".part", dir=folder)
            os.close(handle)
        except OSError:
            continue
        try:
            _run([*command, str(SOURCES[0]), "-o", beside, *last])
            os.replace(beside, path)
        finally:
            Path(beside).unlink(missing_ok=True)
        return path
    raise UnavailableError("no folder can be written to for the compiled kernels; name one with GROKLAB_CACHE")


def _compiler() -> list[str]:
    asked = shlex.split(os.environ.get("CC", "")) or ["cc"]
    if shutil.which(asked[0]) is None:
        raise UnavailableError(f"no C compiler: {asked[0]} was not found")
    return asked


def _version(compiler: list[str]) -> str:
    return _run([*compiler, "--version"])


def _run(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    except (OSError, subprocess.SubprocessError) as error:
        raise UnavailableError(f"the C compiler {command[0]} did not run: {error}") from error
    if done.returncode:
        first = next((line for line in (done.stderr + done.stdout).splitlines() if "error" in line.lower()), "it gave no message")
        raise UnavailableError(f"the C compiler {command[0]} failed: {first.strip()[:200]}")
    return done.stdout


def _processor() -> str:
    """What decides which instructions there are."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return "\n".join(sorted({line for line in lines if line.startswith(("flags", "Features", "model name", "cpu family", "CPU part"))}))
    except OSError:
        return platform.processor() + platform.machine() + platform.release()


def _folders() -> list[Path]:
    """Where compiled kernels may be kept, the first that can be written to."""
    asked = os.environ.get("GROKLAB_CACHE")
    if asked:
        return [Path(asked)]
    caches = os.environ.get("XDG_CACHE_HOME")
    home = [Path(caches)] if caches else [Path(os.path.expanduser("~")) / ".cache"]
    return [*(folder / "groklab" for folder in home), Path(tempfile.gettempdir()) / f"groklab-{os.getuid()}"]


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
