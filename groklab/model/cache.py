"""Where compiled kernels are kept: in folders that are this user's alone, each file with its size and its hash beside it.

To load a library is to run what is in it. So nothing is loaded from a folder in which somebody else could have put it: the
folder and the file belong to this user and nobody else can write to them, and every folder above is one in which nobody but this
user and root can exchange what leads there. What was cut off or changed on the disk shows in its size or hash, and is made again.
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import hashlib
import os
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Generator
from pathlib import Path

from groklab.text.values import shown

INHERITED = "GROKLAB_PRIVATE_CACHE"
"""The environment variable by which a process tells those that it starts of the folder that it had to make for itself."""

MOST = 1 << 24
"""Bytes of a library; one has 80 thousand."""

LEFT_BEHIND = 3600.0
"""Seconds after which what a killed process left unfinished is taken away."""


class UnsafeError(OSError):
    """A folder or file that somebody else could have filled or could exchange; the text says which and why."""


def kept(folder: Path, name: str) -> bytes | None:
    """A file's content, if it is there, this user's, and as it was when it was kept."""
    try:
        content, record = content_of(folder / name), content_of(folder / _record_of(name))
    except OSError:
        return None
    return content if record == _record(content) else None


def keep(folder: Path, name: str, content: bytes) -> None:
    """Keep a file with its size and hash, both on the disk before they have their names; OSError where that cannot be."""
    for which, what in ((name, content), (_record_of(name), _record(content))):
        with copied(folder, what, flush=True) as beside:
            try:
                os.replace(beside, folder / which)
            except IsADirectoryError:
                os.rename(folder / which, folder / f"{which}.{secrets.token_hex(4)}.aside")  # whoever made it may want it
                os.replace(beside, folder / which)
    with contextlib.suppress(OSError):  # not every file system can do this
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    _tidy(folder)


@contextlib.contextmanager
def copied(folder: Path, content: bytes, *, flush: bool = False) -> Generator[Path]:
    """A file of one's own with this content, which is gone afterwards unless it was renamed.

    What is loaded from it stays what it was, whatever happens to the file that is kept: a file that is cut off while it is
    in use ends its process.
    """
    path = folder / f".{os.getpid()}.{secrets.token_hex(8)}.part"
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(handle, 0o600)  # whatever the mask says
            file.write(content)
            file.flush()
            if flush:
                os.fsync(handle)
        yield path
    finally:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def workshop(folder: Path) -> Generator[Path]:
    """A folder inside of a kept one in which a compiler may leave what it likes; it is gone afterwards."""
    made = Path(tempfile.mkdtemp(prefix=".making-", dir=folder))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def check_room(folder: Path) -> None:
    """OSError where a megabyte cannot be written there."""
    with copied(folder, bytes(1 << 20), flush=True):
        pass


def content_of(path: Path) -> bytes:
    """The content of a file of this user that nobody else can write; OSError for anything else, a link or a pipe included."""
    # O_NONBLOCK: a pipe without a writer would be waited for.
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as file:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022 or found.st_size > MOST:
            raise UnsafeError(f"{shown(str(path))} is no file of this user alone")
        return file.read(MOST)


def checked(path: Path) -> Path:
    """A folder's path without links and made where it is missing; UnsafeError where somebody else could exchange a part of it.

    Every step from the root on is looked at after the one before it, in which by then nobody else can change anything. A
    folder in which everybody may write is a step only if it is sticky, as /tmp is: there everybody can exchange only what is theirs.
    """
    at, names, links = Path("/"), list(Path(os.path.abspath(path)).parts[1:]), 0
    _check_step(at, os.lstat(at))
    while names:
        here, names = at / names[0], names[1:]
        if here.name == "..":
            at = at.parent
            continue
        try:
            found = os.lstat(here)
        except FileNotFoundError:
            with contextlib.suppress(FileExistsError):
                os.mkdir(here, 0o700)
            found = os.lstat(here)
        _check_step(here, found)
        if not stat.S_ISLNK(found.st_mode):
            at = here
            continue
        links += 1
        if links > 40:
            raise UnsafeError(f"{shown(str(path))} is a loop of links")
        target = Path(os.readlink(here))
        at, names = (Path("/") if target.is_absolute() else at), [*target.parts[target.is_absolute() :], *names]
    return at


def _check_step(path: Path, found: os.stat_result) -> None:
    if found.st_uid not in (os.geteuid(), 0, os.lstat("/").st_uid):  # in some containers root has another number
        raise UnsafeError(f"{shown(str(path))} belongs to another user")
    if stat.S_ISLNK(found.st_mode):
        return
    if not stat.S_ISDIR(found.st_mode):
        raise UnsafeError(f"{shown(str(path))} is a file, not a folder")
    if found.st_mode & 0o022 and not found.st_mode & stat.S_ISVTX:
        raise UnsafeError(f"other users can write to {shown(str(path))}")


def _is_private(folder: Path) -> bool:
    found = os.lstat(folder)
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o022


def _private(path: Path) -> Path:
    """The folder at a path; the one of this user in it where several share it. UnsafeError, or OSError where it cannot be made."""
    folder = checked(path)
    if not _is_private(folder):
        folder = checked(folder / f"user-{os.geteuid()}")
    if not _is_private(folder):
        raise UnsafeError(f"{shown(str(folder))} does not belong to this user alone")
    return folder


def asked() -> Path:
    """The folder that GROKLAB_CACHE names, or groklab's in the user's caches."""
    named = os.environ.get("GROKLAB_CACHE", "")
    if named.strip():
        path = os.path.expanduser(named)
        if path.startswith("~"):
            raise UnsafeError(f"{shown(named)} begins with the home folder of nobody known")
        return _private(Path(path))
    caches = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if not caches.is_absolute():  # its standard says to ignore it then
        caches = Path(_home()) / ".cache"
    return _private(caches / "groklab")


def _home() -> str:
    """The user's home folder by HOME, else by the list of users."""
    import pwd

    home = os.environ.get("HOME", "")
    if not os.path.isabs(home):
        try:
            home = pwd.getpwuid(os.geteuid()).pw_dir
        except KeyError:
            home = ""
    if not os.path.isabs(home) or not os.path.isdir(home):
        raise FileNotFoundError(errno.ENOENT, "there is no home folder")
    return home


def of_this_user() -> Path:
    """What all processes of this user share in the folder for temporary files, unless somebody was there first."""
    path = checked(Path(tempfile.gettempdir())) / f"groklab-{os.geteuid()}"
    with contextlib.suppress(FileExistsError):
        path.mkdir(0o700)
    if not _is_private(path):
        raise UnsafeError(f"{shown(str(path))} does not belong to this user alone")
    return path


def inherited() -> Path:
    """What the process that started this one has made for itself, while that is there."""
    path = Path(os.environ.get(INHERITED, ""))
    if not path.is_absolute() or not path.is_dir():
        raise FileNotFoundError(errno.ENOENT, "there is none")
    return _private(path)


def fresh() -> Path:
    """A folder for this process and those that it starts."""
    parent, mine = checked(Path(tempfile.gettempdir())), f"groklab-{os.geteuid()}-"
    for other in parent.glob(f"{mine}*"):  # what a killed process could not take away
        owner = other.name.removeprefix(mine).split("-")[0]
        with contextlib.suppress(OSError):
            if owner.isdecimal() and _is_private(other) and not _is_alive(int(owner)):
                shutil.rmtree(other, ignore_errors=True)
    made = Path(tempfile.mkdtemp(prefix=f"{mine}{os.getpid()}-", dir=parent))
    os.environ[INHERITED] = str(made)
    atexit.register(_take_away, made, os.getpid())
    return made


def _take_away(folder: Path, owner: int) -> None:
    if os.getpid() == owner:  # and no fork of it
        shutil.rmtree(folder, ignore_errors=True)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def _record_of(name: str) -> str:
    return f"{name}.sha256"


def _record(content: bytes) -> bytes:
    return f"{hashlib.sha256(content).hexdigest()} {len(content)}\n".encode()


def _tidy(folder: Path) -> None:
    """Take away what killed processes left unfinished."""
    before = time.time() - LEFT_BEHIND
    for path in [*folder.glob(".*.part"), *folder.glob(".making-*")]:
        with contextlib.suppress(OSError):
            if path.lstat().st_mtime < before:
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


PLACES: tuple[Callable[[], Path], ...] = (asked, of_this_user, inherited, fresh)
"""Where kernels may be kept, the first that can be used: each makes its folder or finds it, or raises OSError with the reason.

The processes that this one starts share the third with it, which is its fourth and goes when it ends.
"""
