"""Writes beside the computation, one after another in the order in which they were asked for."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Hashable
from types import TracebackType

WAITING = 16
"""Writes that may wait unless more are allowed; who asks for another waits with them, so that a slow disk does not fill the memory."""


class Writer:
    """A thread that writes; a context manager that leaves nothing unwritten.

    A write that fails ends all writing: what comes after it is not written, so that what is stored is always what a process
    killed at that moment would have left, and the error is raised where the next write, or the end of all, is asked for. Where
    several write (``of``, such as the runs of a batch), an error ends the writing of the one it belongs to, and only they are told.
    """

    def __init__(self, waiting: int = WAITING) -> None:
        self._queue: queue.Queue[tuple[Callable[[], object], Hashable] | None] = queue.Queue(waiting)
        self._error: BaseException | None = None
        self._errors: dict[Hashable, Exception] = {}
        self._thread = threading.Thread(target=self._work, name="groklab writer", daemon=True)
        self._thread.start()

    def do(self, write: Callable[[], object], of: Hashable = None) -> None:
        """Have something written soon; raises the error of an earlier write."""
        self._raise(of)
        self._queue.put((write, of))

    def drain(self) -> None:
        """Wait until everything asked for is written; raises the error of a write, unless it is of one of several."""
        self._queue.join()
        self._raise(None)

    def failure(self, of: Hashable) -> Exception | None:
        """The error that ended the writing of one of several."""
        return self._errors.get(of)

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._queue.put(None)
        self._thread.join()
        if error is None:
            self._raise(None)

    def _raise(self, of: Hashable) -> None:
        error = self._error or self._errors.get(of)
        if error is not None:
            raise error

    def _work(self) -> None:
        while True:
            asked = self._queue.get()
            try:
                if asked is None:
                    return
                write, of = asked
                if self._error is None and of not in self._errors:
                    self._write(write, of)
            finally:
                self._queue.task_done()

    def _write(self, write: Callable[[], object], of: Hashable) -> None:
        try:
            write()
        except BaseException as error:  # raised again in the thread that trains
            if of is not None and isinstance(error, Exception):
                self._errors[of] = error
            else:
                self._error = error
