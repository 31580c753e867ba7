"""Writes beside the computation, one after another in the order in which they were asked for."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from types import TracebackType

WAITING = 16
"""Writes that may wait; who asks for another waits with them, so that a slow disk does not fill the memory."""


class Writer:
    """A thread that writes; a context manager that leaves nothing unwritten.

    A write that fails ends all writing: what comes after it is not written, so that what is stored is always what a process
    killed at that moment would have left, and the error is raised where the next write, or the end of all, is asked for.
    """

    def __init__(self) -> None:
        self._queue: queue.Queue[Callable[[], object] | None] = queue.Queue(WAITING)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="groklab writer", daemon=True)
        self._thread.start()

    def do(self, write: Callable[[], object]) -> None:
        """Have something written soon; raises the error of an earlier write."""
        self._raise()
        self._queue.put(write)

    def drain(self) -> None:
        """Wait until everything asked for is written; raises the error of a write."""
        self._queue.join()
        self._raise()

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._queue.put(None)
        self._thread.join()
        if error is None:
            self._raise()

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _work(self) -> None:
        while True:
            write = self._queue.get()
            try:
                if write is None:
                    return
                if self._error is None:
                    write()
            except BaseException as error:  # raised again in the thread that trains
                self._error = error
            finally:
                self._queue.task_done()
