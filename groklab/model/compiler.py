"""The machine's C compiler: the one that the environment variable CC names, or ``cc``, run with bounds on its time and its words.

Whatever CC names, a list of words with an open quote, a folder, a program that never ends or prints without end, the answer is a
library or UnavailableError with the reason in a few words.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from groklab.outside.printable import printable

MOST_WORDS = 1 << 20
"""Bytes that a compiler may print."""

TO_ANSWER = 10.0
"""Seconds in which a compiler must say its version."""

TO_COMPILE = 90.0
"""Seconds that a compilation may take; it takes three on a slow core."""


class UnavailableError(RuntimeError):
    """The kernels cannot be compiled or do not work here; the text says why."""


def compiler() -> list[str]:
    """The words of the compiler's command; UnavailableError where there is none."""
    named = os.environ.get("CC", "")
    try:
        words = shlex.split(named) or ["cc"]
    except ValueError as error:
        raise UnavailableError(f"no C compiler: CC is {_told(named)}, which is no command ({str(error).lower()})") from None
    if shutil.which(words[0]) is None:
        why = "is no program that can be run" if os.path.exists(words[0]) else "was not found"
        raise UnavailableError(f"no C compiler: {_told(words[0]) or 'the empty name'} {why}")
    return words


def version(words: Sequence[str]) -> bytes:
    """What the compiler says of itself, which need not be text."""
    return run([*words, "--version"], f"the C compiler {_told(words[0])}", seconds=TO_ANSWER)


def compile_to(path: Path, words: Sequence[str], last: Sequence[str]) -> None:
    """Run ``words``, which compile, with their result at the path; what else the compiler writes lies beside it."""
    # It is asked for English, in which its first error is found.
    surroundings = os.environ | {"TMPDIR": str(path.parent), "LC_ALL": "C", "LANGUAGE": ""}
    command = [*words, "-o", str(path), *last]
    run(command, f"the C compiler {_told(words[0])}", seconds=TO_COMPILE, surroundings=surroundings)
    if not path.exists():
        raise UnavailableError(f"the C compiler {_told(words[0])} left no library")


def run(command: Sequence[str], what: str, *, seconds: float, surroundings: Mapping[str, str] | None = None) -> bytes:
    """What a command prints; UnavailableError where it fails, takes longer, or prints more than a megabyte.

    It reads nothing, and ends with all that it has started.
    """
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=surroundings,
            start_new_session=True,
        )
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise UnavailableError(f"{what} did not run: {getattr(error, 'strerror', None) or printable(error, limit=200)}") from error
    has_ended = False
    try:
        said = _said(process, what, seconds)
        has_ended = True
    finally:
        if not has_ended:
            with contextlib.suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)
        assert process.stdout is not None
        process.stdout.close()
        process.wait()
    if process.returncode:
        raise UnavailableError(f"{what} failed: {_first_error(said, process.returncode)}")
    return said


def _said(process: subprocess.Popen[bytes], what: str, seconds: float) -> bytes:
    """Everything that a process prints until it has ended, whoever else may have its output open."""
    said, until = b"", time.monotonic() + seconds
    assert process.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            was_over = process.poll() is not None
            if selector.select(0.05):
                piece = os.read(process.stdout.fileno(), 1 << 16)
                said += piece
                if not piece:
                    break
            elif was_over:
                return said
            if len(said) > MOST_WORDS:
                raise UnavailableError(f"{what} printed more than a megabyte")
            if time.monotonic() > until:
                raise UnavailableError(f"{what} took more than {seconds:.0f} seconds")
    try:
        process.wait(max(0.0, until - time.monotonic()))
    except subprocess.TimeoutExpired:
        raise UnavailableError(f"{what} took more than {seconds:.0f} seconds") from None
    return said


def _first_error(said: bytes, status: int) -> str:
    if status < 0:
        with contextlib.suppress(ValueError):
            return f"it was ended by {signal.Signals(-status).name}"
    lines = said.decode(errors="replace").splitlines()
    return printable(next((line for line in lines if "error" in line.lower()), "it gave no message").strip(), limit=200)


def _told(word: str) -> str:
    return printable(word, limit=60)
