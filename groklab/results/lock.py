"""One process per run: a lock file with a heartbeat, which also works on filesystems that several machines share.

A dead owner is noticed at once on its own machine, and elsewhere when its heartbeat is older than a minute. An owner that was
only asleep, and whose lock was taken over, finds out before its next write.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import threading
import time
from pathlib import Path
from types import TracebackType

from groklab.outside.files import parsed_json, read_regular
from groklab.results.files import StoreError, unwritable

HEARTBEAT = 5.0
"""Seconds between two signs of life."""
STALE = 60.0
"""Seconds without a sign of life after which an owner elsewhere counts as dead."""
LOCK_LIMIT = 10_000
"""Bytes of a lock, which names its owner."""


class InProgressError(StoreError):
    """Another process is training this run."""


class LostError(StoreError):
    """The folder of a run is no longer the one in which its training began: it was removed, moved, or has another in its place."""


class Lock:
    """Owns ``folder/lock`` between enter and exit; InProgressError where another process does."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "lock"
        self._token = secrets.token_hex(8)
        self._ended = threading.Event()
        self._beating: threading.Thread | None = None
        self._place: tuple[int, int] | None = None
        """Device and number of the folder that is owned, which stay with it wherever it is moved."""

    def __enter__(self) -> Lock:
        for _ in range(20):
            if self._create():
                self._place = _place_of(self.path.parent)
                self._beating = threading.Thread(target=self._beat, name="groklab lock", daemon=True)
                self._beating.start()
                return self
            owner = owner_of(self.path.parent)
            if owner is not None:
                raise InProgressError(f"{self.path.parent.name} is being trained by {owner}.")
            self._clear_away()
            time.sleep(0.05)
        raise InProgressError(f"{self.path.parent.name} is being taken over by several processes at once; try again.")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.release()

    def release(self) -> None:
        """Own the folder no longer; nothing where it was released before."""
        self._ended.set()
        if self._beating is not None:
            self._beating.join()
        if self.is_ours():
            self.path.unlink(missing_ok=True)

    def is_ours(self) -> bool:
        """Whether this process still owns the lock."""
        try:
            return parsed_json(read_regular(self.path, LOCK_LIMIT))["token"] == self._token
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def confirm(self) -> None:
        """Nothing where the lock is still ours; InProgressError where another process took it over while this one slept.

        LostError where the folder itself is gone, or another one lies there.
        """
        if not self.is_ours():
            place, folder = _place_of(self.path.parent), self.path.parent
            if place is None:
                raise LostError(f"the folder {folder} has disappeared: it was removed or moved")
            if place != self._place:
                raise LostError(f"another folder lies in the place of {folder}")
            if not os.path.lexists(folder / "run.json") and not os.path.lexists(self.path):
                raise LostError(f"the files in the folder {folder} were removed")
            raise InProgressError(
                f"{self.path.parent.name} was taken over by another process while this one was asleep; nothing more is written."
            )

    def _create(self) -> bool:
        content = {"host": socket.gethostname(), "process": os.getpid(), "started": _start_of(os.getpid()), "token": self._token}
        beside = self.path.with_name(f".lock.{self._token}.tmp")
        try:
            beside.write_text(json.dumps(content), encoding="utf-8")
            try:
                os.link(beside, self.path)  # unlike open(…, "x") the file is never seen empty
            except FileExistsError:
                return False
            except OSError:  # a filesystem without hard links, such as exFAT: an empty lock counts as that of a living process
                with open(self.path, "x", encoding="utf-8") as file:
                    file.write(json.dumps(content))
            finally:
                beside.unlink(missing_ok=True)
        except FileExistsError:
            return False
        except OSError as error:
            raise unwritable(self.path, error) from error
        return True

    def _clear_away(self) -> None:
        """Remove a dead owner's lock, one process at a time, and only if it is still that one."""
        gate = self.path.with_name("lock.takeover")
        with contextlib.suppress(OSError):
            if time.time() - gate.stat().st_mtime > STALE:
                gate.unlink()
        try:
            gate.touch(exist_ok=False)
        except OSError:
            return
        try:
            # The clock of the filesystem, by which the heartbeat is dated, decides; that of this machine may be minutes off.
            if owner_of(self.path.parent, now=gate.stat().st_mtime) is None:
                self.path.unlink(missing_ok=True)
        finally:
            gate.unlink(missing_ok=True)

    def _beat(self) -> None:
        while not self._ended.wait(HEARTBEAT):
            with contextlib.suppress(OSError):
                if self.is_ours():
                    os.utime(self.path)


def _place_of(folder: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(folder)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def owner_of(folder: Path, *, now: float | None = None) -> str | None:
    """The living process that trains the run in this folder, in words; None where there is none."""
    path = folder / "lock"
    try:
        age = (time.time() if now is None else now) - path.stat().st_mtime
        content = parsed_json(read_regular(path, LOCK_LIMIT))
        host, process, started = str(content["host"]), int(content["process"]), content["started"]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        return None if _age(path) > STALE else "an unknown process"
    if host == socket.gethostname():
        is_alive = _is_alive(process) and (started is None or started == _start_of(process))
        return f"process {process} on this machine" if is_alive else None
    return f"process {process} on {host}" if age <= STALE else None


def _age(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return 0.0


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _start_of(process: int) -> str | None:
    """When a process began, as the kernel counts it, so that a reused number is not taken for the owner; None where unknown."""
    try:
        return Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace").rsplit(")", 1)[1].split()[19]
    except (OSError, IndexError):
        return None
