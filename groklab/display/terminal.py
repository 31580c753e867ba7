"""What training looks like in a terminal: a live panel, or plain lines where the output is piped."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from types import TracebackType
from typing import Any, TextIO

from rich.console import Group
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from groklab.analysis.grokking import first_reaching
from groklab.laboratory.progress import Progress
from groklab.outside import streams as terminal
from groklab.outside.printable import printable
from groklab.outside.streams import Safe, console, drawn, output
from groklab.text.numbers import percent, steps_per_second, time_left

TRAIN, VALIDATION = "cyan", "magenta"
_BLOCKS = " ▁▂▃▄▅▆▇█"
_CURVE_WIDTH = 60
_FRAME = 4
"""Columns that the panel's border and padding take."""


def sparkline(values: list[float], low: float = 0.0, high: float = 1.0) -> str:
    """Values as a line of blocks."""
    span = (high - low) or 1.0
    return "".join(_BLOCKS[min(8, max(0, round(8 * (value - low) / span)))] for value in values)


class Display:
    """Shows the progress of one run on a stream; a context manager that leaves the last picture standing."""

    def __init__(self, stream: TextIO | Safe | None = None, *, is_live: bool | None = None) -> None:
        self.stream = output() if stream is None else Safe(stream)
        self.console = console(self.stream)
        self.is_live = terminal.is_live(self.stream) if is_live is None else is_live
        self.rows: list[dict[str, Any]] = []
        self._live: Live | None = None
        self._drawn = self._printed = 0.0
        self._pending: Progress | None = None
        self._head_is_printed = False
        self.path = ""

    def __enter__(self) -> Display:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._live is not None:
            self._draw(self._pending)
            self._end_picture()
        elif self._pending is not None and self._pending.row is not None:
            self._line(self._pending)

    def begin(self, rows: list[dict[str, Any]], segment: Mapping[str, Any] | None = None) -> None:
        """Start from the evaluations that are stored already; the new segment says by which path training computes."""
        self.rows = [row for row in rows if not row.get("extra")]
        self.path = _path_told((segment or {}).get("path", ""))
        if self.is_live and self.path:
            self.console.print(f"path: {self.path}", style="dim", soft_wrap=True)

    def __call__(self, progress: Progress) -> None:
        """Take note of an update or an evaluation; draws at most eight times a second, prints at most once a second."""
        now = time.monotonic()
        if progress.warning:
            self.console.print(f"warning: {progress.warning}", style="yellow", soft_wrap=True)
        if progress.row is not None:
            self.rows.append(progress.row)
        if self.is_live:
            self._pending = progress
            if now - self._drawn >= 0.125:
                self._drawn = now
                self._draw(progress)
        elif progress.row is not None:
            self._pending = progress
            if now - self._printed >= 1.0:
                self._line(progress)
                self._printed, self._pending = now, None

    def _draw(self, progress: Progress | None) -> None:
        """Draw the panel; lines from now on where that fails."""
        if progress is not None and not drawn(partial(self._replace, progress), self.stream):
            self.is_live = False
            self._end_picture()

    def _replace(self, progress: Progress) -> None:
        if self._live is None:
            self._live = Live(console=self.console, auto_refresh=False, transient=False)
            self._live.start()
        self._live.update(self._panel(progress), refresh=True)

    def _end_picture(self) -> None:
        if self._live is not None:
            drawn(self._live.stop, self.stream)
            self._live = None

    def _line(self, progress: Progress) -> None:
        row = progress.row or {}
        if not self._head_is_printed:
            self.stream.write(printable(progress.run.id) + (f"\npath: {printable(self.path)}" if self.path else "") + "\n")
            self._head_is_printed = True
        speed, left = self._pace(progress)
        train, validation = (
            percent(row[f"{side}_accuracy"], threshold=progress.run.budget.threshold).rjust(7) for side in ("train", "validation")
        )
        self.stream.write(
            f"step {progress.step:>9,}   train {train} loss {row['train_loss']:.3g}   "
            f"validation {validation} loss {row['validation_loss']:.3g}   {speed}, {left}\n"
        )
        self.stream.flush()

    def _pace(self, progress: Progress) -> tuple[str, str]:
        """Steps per second, and the time to the end of the budget."""
        made = progress.step - progress.began_at
        if made < 1 or progress.seconds <= 0:
            return steps_per_second(None), "starting"
        speed = made / progress.seconds
        left = (progress.run.budget.steps - progress.step) / speed
        ends_early = progress.run.budget.stop.split("(")[0] != "never"
        return steps_per_second(speed), time_left(left, at_most=ends_early and left > 0)

    def _panel(self, progress: Progress) -> Panel:
        run, row = progress.run, self.rows[-1] if self.rows else {}
        threshold = run.budget.threshold
        grid = Table.grid(padding=(0, 2))
        for _ in range(4):
            grid.add_column(no_wrap=True)
        grid.add_row("", Text("accuracy", "dim"), Text("loss", "dim"), Text(f"0 → step {row.get('step', 0):,}, logarithmic", "dim"))
        for side, color, word in (("train", TRAIN, "memorized"), ("validation", VALIDATION, "generalized")):
            reached = first_reaching(self.rows, f"{side}_accuracy", threshold)
            grid.add_row(
                Text(side, color),
                Text(percent(row.get(f"{side}_accuracy"), threshold=threshold).rjust(7), f"bold {color}"),
                f"{row.get(f'{side}_loss', float('nan')):.3g}",
                Text(sparkline(self._curve(f"{side}_accuracy")), color),
            )
            told = f"{word} at step {reached:,}" if reached is not None else f"not yet {word}"
            grid.add_row("", "", "", Text(told, color if reached is not None else "dim"))
        reached, pace = f"step {progress.step:,} of {run.budget.steps:,}", ", ".join(self._pace(progress))
        free = self.console.width - len(reached) - len(pace) - _FRAME - 4
        bar = Table.grid(padding=(0, 2))
        for _ in range(3):
            bar.add_column(no_wrap=True)
        bar.add_row(reached, ProgressBar(total=run.budget.steps, completed=progress.step, width=max(4, min(30, free))), Text(pace, "dim"))
        return Panel(Group(grid, Text(), bar), title=Text(run.id), title_align="left", expand=False, border_style="dim")

    def _curve(self, column: str) -> list[float]:
        """The last value at or before each of a row of logarithmically spaced places."""
        last = max(self.rows[-1]["step"], 1) if self.rows else 1
        width = min(_CURVE_WIDTH, max(10, self.console.width - 40))
        values: list[float] = []
        position = 0
        for place in range(width):
            step = (last + 1) ** (place / (width - 1)) - 1
            while position + 1 < len(self.rows) and self.rows[position + 1]["step"] <= step + 1e-9:
                position += 1
            values.append(self.rows[position][column] if self.rows else 0.0)
        return values


def _path_told(path: str) -> str:
    """The path that training takes and, where its kernels could not be kept as asked, why."""
    if path != "compiled":
        return path
    from groklab.model import compiled

    return f"{path} ({remark})" if (remark := compiled.remark()) else path
