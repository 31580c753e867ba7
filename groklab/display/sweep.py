"""What many runs look like in a terminal while they are trained."""

from __future__ import annotations

import time
from functools import partial
from typing import Any, TextIO

from rich.console import Group
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table as RichTable
from rich.text import Text

from groklab.outside.streams import Safe, console, drawn, is_live
from groklab.text.numbers import percent, steps_per_second, time_left
from groklab.workers.tally import Tally

_LINES = 2.0
"""Seconds between two lines where the output is no terminal."""
_SHOWN = 8
"""Running runs that the panel names."""


class TerminalSweep:
    """Shows the progress of many runs on a stream: a live panel, or a line now and then where the output is piped."""

    def __init__(self, stream: TextIO | Safe | None, title: str = "sweep") -> None:
        self.stream, self.title = Safe(stream), title
        self.console = console(self.stream)
        self.is_live = is_live(self.stream)
        self.tally: Tally | None = None
        self._live: Live | None = None
        self._printed = -_LINES
        self._told = ""

    def __enter__(self) -> TerminalSweep:
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None and self.tally is not None:
            drawn(partial(self._replace, self.tally), self.stream)
            drawn(self._live.stop, self.stream)
        elif self.tally is not None:
            self._line(self.tally)

    def __call__(self, tally: Tally) -> None:
        """Take note of how far the runs are."""
        self.tally = tally
        if self.is_live:
            if not drawn(partial(self._replace, tally), self.stream):
                self.is_live = False
        elif time.monotonic() - self._printed >= _LINES:
            self._printed = time.monotonic()
            self._line(tally)

    def _replace(self, tally: Tally) -> None:
        if self._live is None:
            self._live = Live(console=self.console, auto_refresh=False, transient=False)
            self._live.start()
        self._live.update(panel(tally, self.console.width, self.title), refresh=True)

    def _line(self, tally: Tally) -> None:
        told = ", ".join([*counts_of(tally), *_pace(tally)])
        if told != self._told:
            self.stream.write(f"{told}\n")
            self.stream.flush()
            self._told = told


def counts_of(tally: Tally) -> list[str]:
    """How many runs are where, in words; what there is none of is left out."""
    generalized = sum(job.has_generalized for job in tally.jobs if job.status == "complete")
    complete = tally.count("complete")
    parts = [
        (complete, f"{complete:,} of {len(tally.jobs):,} done"),
        (generalized, f"{generalized:,} generalized"),
        (tally.count("running"), f"{tally.count('running'):,} running"),
        (tally.count("diverged"), f"{tally.count('diverged'):,} diverged"),
        (tally.count("failed"), f"{tally.count('failed'):,} failed"),
    ]
    return [parts[0][1], *(told for number, told in parts[1:] if number)]


def _pace(tally: Tally) -> list[str]:
    left = tally.seconds_left
    if not tally.count("waiting", "running") or left is None:
        return []
    return [steps_per_second(tally.speed), time_left(left)]


def panel(tally: Tally, width: int, title: str = "sweep") -> Panel:
    """All runs at a glance, and the ones that are being trained."""
    ended = tally.count("complete", "diverged", "failed")
    bar = RichTable.grid(padding=(0, 2))
    bar.add_row(ProgressBar(total=max(len(tally.jobs), 1), completed=ended, width=30), ", ".join(counts_of(tally)))
    grid = RichTable.grid(padding=(0, 2))
    for column in range(4):
        grid.add_column(no_wrap=True, overflow="ellipsis", justify="left" if column == 0 else "right")
    running = [job for job in tally.jobs if job.status == "running"]
    for job in running[:_SHOWN]:
        row, threshold = job.row or {}, job.run.budget.threshold
        grid.add_row(
            Text(job.run.id, "dim"),
            f"step {job.step:,}",
            Text(f"train {percent(row.get('train_accuracy'), threshold=threshold)}", "cyan"),
            Text(f"validation {percent(row.get('validation_accuracy'), threshold=threshold)}", "magenta"),
        )
    parts: list[Any] = [bar, grid] if running else [bar]
    if len(running) > _SHOWN:
        parts.append(Text(f"and {len(running) - _SHOWN} more", "dim"))
    pace = _pace(tally)
    if pace:
        parts.append(Text(", ".join(pace), "dim"))
    return Panel(Group(*parts), title=title, title_align="left", expand=False, border_style="dim", width=min(width, 110))
