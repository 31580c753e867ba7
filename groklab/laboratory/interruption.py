"""Ctrl-C and a notebook's stop button, as a wish that training asks for after every update."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Generator
from typing import Any


@contextlib.contextmanager
def stop_requests(also: Callable[[], bool] | None = None) -> Generator[Callable[[], bool]]:
    """Within it, SIGINT and SIGTERM ask for a stop after the current step, and so does ``also``; a second signal stops at once.

    In a thread that gets no signals only ``also`` asks.
    """
    asked: list[int] = []
    other = also or (lambda: False)
    if threading.current_thread() is not threading.main_thread():
        yield other
        return

    def note(number: int, frame: Any) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(asked) or other()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
