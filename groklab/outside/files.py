"""Files that come from outside: only a regular file is read, and never more of it than was allowed beforehand.

A results folder, a table or a network may come from anybody. What has its name may be a folder, a pipe (which would wait for ever), a
device (which never ends) or a link to one of them, and a text of a few bytes may be nested so deeply that its reader gives up.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import stat
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

DEEPEST = 50
"""Levels of brackets in a JSON text; what groklab writes has fewer than ten."""
HEADER_LIMIT = 8_000_000
"""Bytes of the header of a safetensors file, which names its arrays."""

_KINDS = (
    (stat.S_ISDIR, errno.EISDIR, "it is a folder, not a file"),
    (stat.S_ISFIFO, errno.EINVAL, "it is a pipe, not a file"),
    (stat.S_ISSOCK, errno.EINVAL, "it is a socket, not a file"),
    (stat.S_ISCHR, errno.EINVAL, "it is a device, not a file"),
    (stat.S_ISBLK, errno.EINVAL, "it is a device, not a file"),
)
_PIECE = 1 << 20
_NO_BRACKETS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"?|[^][{}"]+', re.DOTALL)
"""Texts of JSON, of which the last may have no end, and what lies between brackets."""


class UnreadableError(OSError):
    """What lies at a path is no regular file, or too large; ``strerror`` says it in words that go behind the path."""

    def __str__(self) -> str:
        return f"{self.filename}: {self.strerror}"


def check_regular(path: str | Path, limit: int) -> int:
    """The size of a regular file in bytes; UnreadableError where it is none or larger than ``limit``, OSError where it cannot be looked at."""
    try:
        return _checked(os.stat(path), path, limit)
    except ValueError:  # of a zero byte
        raise UnreadableError(errno.EINVAL, "its name holds a zero byte", str(path)) from None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise UnreadableError(errno.ELOOP, "it is a link that leads back to itself", str(path)) from None
        raise


@contextlib.contextmanager
def open_regular(path: str | Path, limit: int) -> Generator[BinaryIO]:
    """A regular file of at most ``limit`` bytes, open for reading; UnreadableError and OSError as for ``check_regular``."""
    check_regular(path, limit)  # before it is opened: to open a device may already do something
    flags = os.O_RDONLY | sum(getattr(os, name, 0) for name in ("O_NONBLOCK", "O_CLOEXEC", "O_NOCTTY", "O_BINARY"))
    with os.fdopen(os.open(path, flags), "rb") as file:
        _checked(os.fstat(file.fileno()), path, limit)  # which is another one where it was replaced just now
        yield file


def read_regular(path: str | Path, limit: int) -> bytes:
    """The content of a regular file of at most ``limit`` bytes; UnreadableError and OSError as for ``check_regular``."""
    pieces: list[bytes] = []
    length = 0
    with open_regular(path, limit) as file:
        while piece := file.read(min(_PIECE, limit - length + 1)):
            length += len(piece)
            if length > limit:  # files of the kernel, and those that grow, have more than their size says
                raise UnreadableError(errno.EFBIG, f"it has more than {limit:,} bytes, and no more are read", str(path))
            pieces.append(piece)
    return b"".join(pieces)


def check_safetensors(path: str | Path, limit: int) -> None:
    """Whether a file of at most ``limit`` bytes may be handed to the reader of safetensors, which takes whatever length its header claims.

    ValueError where the header is longer than the file or than ``HEADER_LIMIT``; otherwise as for ``check_regular``. That arrays fill the
    rest of the file exactly, the reader itself checks.
    """
    with open_regular(path, limit) as file:
        first, size = file.read(8), os.fstat(file.fileno()).st_size
    length = int.from_bytes(first, "little")
    if len(first) < 8 or length > size - 8:
        raise ValueError("its header is cut off")
    if length > HEADER_LIMIT:
        raise ValueError(f"its header claims {length:,} bytes; at most {HEADER_LIMIT:,} are read")


def parsed_json(content: bytes, *, deepest: int = DEEPEST) -> Any:
    """The value of a JSON text in UTF-8; ValueError for anything else, for NaN and infinities, and for more levels than ``deepest``."""
    if content.count(b"[") + content.count(b"{") > deepest:  # only then can it be too deep
        _check_depth(content, deepest)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start} is not UTF-8") from None
    try:
        return json.loads(text, parse_constant=_no_constant)
    except json.JSONDecodeError:
        raise
    except ValueError as error:
        if "digits" not in str(error):
            raise
        raise ValueError(f"it holds a whole number of more than {sys.get_int_max_str_digits():,} digits") from None
    except RecursionError:
        raise ValueError(f"it is nested more than {deepest} levels deep") from None


def _checked(found: os.stat_result, path: str | Path, limit: int) -> int:
    for is_kind, number, words in _KINDS:
        if is_kind(found.st_mode):
            raise UnreadableError(number, words, str(path))
    if found.st_size > limit:
        raise UnreadableError(errno.EFBIG, f"it has {found.st_size:,} bytes; at most {limit:,} are read", str(path))
    return found.st_size


def _check_depth(content: bytes, deepest: int) -> None:
    """ValueError where brackets outside of texts are nested too deeply, whatever is between them."""
    depth = 0
    for bracket in _NO_BRACKETS.sub(b"", content):
        depth += 1 if bracket in b"[{" else -1
        if depth > deepest:
            raise ValueError(f"it is nested more than {deepest} levels deep")


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"it holds {name}, which is no number of JSON")
