"""Streams that are written to and never end what is being done: terminals, pipes and files of all kinds, or none at all.

A stream may lack a character that is written, its reader may be gone (``| head -1``), its disk full, it may be closed or not there.
A training goes on all the same: `Safe` writes what the stream can take, keeps the first failure, and is silent from then on. The
command line asks at its end whether everything was written. What programs read, JSON and CSV, is written unchanged by
`write_json` and `write_data`: no character of it has another in its place.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import warnings
from collections.abc import Callable, Generator, Iterable
from typing import TYPE_CHECKING, Any, cast

from groklab.outside.printable import plain, printable

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult

_PIPED_WIDTH = 200
"""Columns of a table whose output is piped."""
_ENDED = (OSError, ValueError, AttributeError, RuntimeError)
"""What a stream raises that is full, closed, taken away, or less of a stream than it looks."""


class Safe:
    """A stream around another one, or around none: writing to it never raises."""

    def __init__(self, stream: Any) -> None:
        self.stream: Any = stream.stream if isinstance(stream, Safe) else stream
        self.failure: Exception | None = None
        """Why nothing is written any more."""
        self.told: set[str] = set()
        """Warnings that have been written."""

    @property
    def encoding(self) -> str:
        """That of the stream; UTF-8 where it names none."""
        return str(getattr(self.stream, "encoding", None) or "utf-8")

    @property
    def is_unicode(self) -> bool:
        """Whether it takes every character as UTF-8."""
        return self.encoding.lower().replace("-", "").replace("_", "") in ("utf8", "cp65001", "utf8sig")

    def write(self, text: str) -> int:
        """Write what the stream can take; the number of characters that were given."""
        if self.stream is not None and self.failure is None:
            try:
                self._write(text)
            except BlockingIOError:
                pass  # a terminal that takes nothing at this moment
            except _ENDED as error:
                self.failure = error
        return len(text)

    def _write(self, text: str) -> None:
        try:
            self.stream.write(plain(text, self.encoding))
        except UnicodeError:  # it says another encoding than it has, or none
            self.stream.write(plain(text, "ascii"))

    def writelines(self, lines: Iterable[str]) -> None:
        """Write one after the other."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Have everything written that can be."""
        if self.stream is not None and self.failure is None:
            try:
                self.stream.flush()
            except BlockingIOError:
                pass
            except _ENDED as error:
                self.failure = error

    def isatty(self) -> bool:
        """Whether a person looks at it."""
        try:
            return self.stream is not None and self.failure is None and bool(self.stream.isatty())
        except _ENDED:
            return False

    def writable(self) -> bool:
        """It always is."""
        return True

    @property
    def closed(self) -> bool:
        """Whether the stream is closed or absent."""
        return self.stream is None or bool(getattr(self.stream, "closed", False))

    def fileno(self) -> int:
        """The number of its file; OSError where it has none."""
        try:
            return int(self.stream.fileno())
        except (AttributeError, ValueError):
            raise OSError("this stream has no file") from None

    def give_up(self) -> None:
        """Where writing has failed, have the process's own file lead nowhere, so that its last flush does not fail once more."""
        if self.failure is not None:
            with contextlib.suppress(OSError):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, self.fileno())
                os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        if name in ("stream", "failure", "told"):
            raise AttributeError(name)
        return getattr(self.stream, name)


def open_what_is_closed() -> None:
    """Have files 0, 1 and 2 of a process lead nowhere where they are closed: the next file that it opens would take their place."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


@contextlib.contextmanager
def safe_streams() -> Generator[tuple[Safe, Safe]]:
    """Within it, standard output and standard error are safe ones, and warnings are lines; whoever calls gets theirs back as they were."""
    output, errors = Safe(sys.stdout), Safe(sys.stderr)
    with contextlib.redirect_stdout(cast(Any, output)), contextlib.redirect_stderr(cast(Any, errors)):
        yield output, errors


def ended(status: int, output: Safe, errors: Safe, *, is_own_process: bool) -> int:
    """The exit status of a command, once everything is written that can be: 1 where standard output did not take all of a result."""
    output.flush()
    if output.failure is not None:
        status = status or 1
        if not isinstance(output.failure, BrokenPipeError):  # where the reader of a pipe, such as head, has enough, that is no news
            reason = printable(output.failure).rstrip(".")
            errors.write(f"groklab: standard output cannot be written to: {reason}. What was stored is intact.\n")
    errors.flush()
    if is_own_process:
        output.give_up()
        errors.give_up()
    return status


def output() -> Safe:
    """Standard output as it is now."""
    return sys.stdout if isinstance(sys.stdout, Safe) else Safe(sys.stdout)


def errors() -> Safe:
    """Standard error as it is now."""
    return sys.stderr if isinstance(sys.stderr, Safe) else Safe(sys.stderr)


def say(text: object = "", *, end: str = "\n") -> None:
    """Lines on standard output for a person."""
    _write(output(), f"{text}{end}")


def aside(text: object, *, end: str = "\n") -> None:
    """Lines on standard error for a person."""
    _write(errors(), f"{text}{end}")


def _write(stream: Safe, text: str) -> None:
    stream.write(printable(text, lines=True))
    stream.flush()


class Note(UserWarning):
    """What a user should know, and what ends nothing."""


def warn(text: str, *, stacklevel: int = 1) -> None:
    """A Python warning, or on the command line a line that comes once; a standard error that takes no text does not make it an error."""
    shown = printable(text, lines=True)
    if isinstance(sys.stderr, Safe):
        if shown not in sys.stderr.told:
            sys.stderr.told.add(shown)
            aside(f"groklab: {shown}")
        return
    with contextlib.suppress(OSError, ValueError):  # of the stream that the warning was to be written to
        warnings.warn(shown, Note, stacklevel=stacklevel + 1)


# — what programs read —


def write_json(value: Any) -> None:
    """One JSON object on standard output and nothing else; escaped where the stream would not write it as UTF-8."""
    stream = output()
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    if not stream.is_unicode or not _is_unicode(text):
        text = json.dumps(value, allow_nan=False)
    stream.write(f"{text}\n")


def write_data(text: str) -> None:
    """Text that a program or a file gets on standard output, such as CSV: as UTF-8, whatever the encoding of the terminal."""
    stream = output()
    if stream.is_unicode or text.isascii():
        stream.write(text)
        return
    stream.flush()
    buffer = getattr(stream.stream, "buffer", None)
    if buffer is None:
        stream.write(text)
        return
    try:
        buffer.write(text.encode("utf-8", "surrogateescape"))
        buffer.flush()
    except _ENDED as error:
        stream.failure = stream.failure or error


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


# — drawing —


def console(stream: Any = None, *, width: int | None = None) -> Console:
    """A console for tables and panels that takes all text as it is, without markup, and shows of it what is printable.

    Whole lines are kept where the output is piped: at ``width`` columns there, 200 unless said.
    """
    from rich.console import Console

    safe = output() if stream is None else stream if isinstance(stream, Safe) else Safe(stream)
    is_screen = safe.isatty()
    made = Console(
        file=cast(Any, safe),
        highlight=False,
        markup=False,
        emoji=False,
        soft_wrap=not is_screen,
        width=None if is_screen else width or _PIPED_WIDTH,
    )
    made.push_render_hook(cast(Any, _Printable()))
    return made


class _Printable:
    """Has everything that is drawn show only what is printable."""

    def process_renderables(self, renderables: list[Any]) -> list[Any]:
        return [one if _is_control(one) else Shown(one) for one in renderables]


def _is_control(one: Any) -> bool:
    from rich.control import Control

    return isinstance(one, Control)


class Shown:
    """Something drawn, with all of its text printable."""

    def __init__(self, inside: RenderableType) -> None:
        self.inside = inside

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.segment import Segment

        for segment in console.render(self.inside, options):
            yield segment if segment.control else Segment(printable(segment.text, lines=True), segment.style)


def drawn(draw: Callable[[], object], stream: Safe) -> bool:
    """Whether a picture could be drawn; where not, that is told on the stream, and what the picture is of goes on."""
    try:
        draw()
    except Exception as error:
        stream.write(f"groklab: the display failed ({type(error).__name__}: {printable(error, limit=200)}); what it shows goes on.\n")
        return False
    return True


def is_live(stream: Any) -> bool:
    """Whether pictures on a stream can be replaced by newer ones."""
    return Safe(stream).isatty() and os.environ.get("TERM", "").lower() not in ("dumb", "unknown")
