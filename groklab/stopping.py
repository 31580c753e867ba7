"""Ctrl-C and a notebook's stop button, as a wish that training asks for after every update."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Generator
from typing import Any


@contextlib.contextmanager
def stop_requests() -> Generator[Callable[[], bool]]:
    """Within it, SIGINT and SIGTERM ask for a stop after the current step; a second one stops at once.

    In a thread that gets no signals nobody asks.
    """
    asked: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return

    def note(number: int, frame: Any) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
