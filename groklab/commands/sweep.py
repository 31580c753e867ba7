"""`groklab sweep`: what many runs look like in a terminal, while and after they are trained."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from rich.console import Group
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from groklab.arguments.start import tell_notes
from groklab.arguments.training import SweepArguments
from groklab.config.run import Run, leaves
from groklab.config.sweep import Sweep, sweep_of
from groklab.display.tables import print_screen, settings_notes, settings_screen, with_thresholds
from groklab.laboratory.runs import stored_as_asked
from groklab.laboratory.trackers import named
from groklab.outside.streams import Safe, aside, console, drawn, is_live, say, write_json
from groklab.text.numbers import percent, steps_per_second, time_left
from groklab.workers.forecast import dry_run
from groklab.workers.tally import Job, Tally

if TYPE_CHECKING:
    import polars

_LINES = 2.0
"""Seconds between two lines where the output is no terminal."""
_SHOWN = 8
"""Running runs that the panel names."""


def sweep(asked: SweepArguments, start: Run, should_stop: Callable[[], bool]) -> int:
    """Do what the flags ask for; the exit status."""
    from groklab.workers.pool import train_all

    named(asked.track)
    made = _sweep_of(asked, start)
    runs = made.runs()
    tell_notes(runs)
    if asked.dry_run:
        return dry_run(asked, runs)
    stream = sys.stderr if asked.where.json else sys.stdout
    with Screen(stream) as screen:
        try:
            tally = train_all(
                runs,
                folder=asked.where.runs,
                workers=asked.workers,
                ray=asked.ray,
                runs_per_batch=asked.runs_per_batch,
                keep_state=asked.keep_state,
                plugins=asked.plugin,
                track=asked.track,
                on_progress=screen,
                should_stop=should_stop,
            )
            was_stopped = False
        except KeyboardInterrupt:
            tally, was_stopped = screen.tally, True
    if tally is None:
        return 130
    _report(asked, made, tally, was_stopped)
    if was_stopped:
        return 130
    return 1 if tally.count("failed", "diverged") else 0


def _sweep_of(asked: SweepArguments, start: Run) -> Sweep:
    """The flags that were given, as a sweep; of a sweep's run only the ends are kept unless the flags say otherwise."""
    fields = {name: list(getattr(asked, name)) for name in leaves() if getattr(asked, name) != ()}
    if "checkpoints_per_decade" not in fields:
        fields["checkpoints_per_decade"] = [0]
    return sweep_of(start, zip=[name.replace("-", "_") for name in asked.zip], **fields)


# — while —


class Screen:
    """Shows the progress of many runs on a stream: a live panel, or a line now and then where the output is piped."""

    def __init__(self, stream: TextIO | Safe | None, title: str = "sweep") -> None:
        self.stream, self.title = Safe(stream), title
        self.console = console(self.stream)
        self.is_live = is_live(self.stream)
        self.tally: Tally | None = None
        self._live: Live | None = None
        self._printed = -_LINES
        self._told = ""

    def __enter__(self) -> Screen:
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
        told = ", ".join([*_counts(tally), *_pace(tally)])
        if told != self._told:
            self.stream.write(f"{told}\n")
            self.stream.flush()
            self._told = told


def _counts(tally: Tally) -> list[str]:
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
    bar = Table.grid(padding=(0, 2))
    bar.add_row(ProgressBar(total=max(len(tally.jobs), 1), completed=ended, width=30), ", ".join(_counts(tally)))
    grid = Table.grid(padding=(0, 2))
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


# — after —


def _report(asked: SweepArguments, made: Sweep, tally: Tally, was_stopped: bool) -> None:
    table = _ended(tally, asked.where.runs)
    settings = [] if table is None else _settings(made, table)
    trained = sum(job.status == "complete" and not job.was_stored for job in tally.jobs)
    stored = sum(job.was_stored for job in tally.jobs)
    if asked.where.json:
        found = [_facts(job, asked.where.runs) for job in tally.jobs]
        trouble = {status: tally.count(status) for status in ("diverged", "failed", "waiting")}
        counts = {"count": len(found), "trained": trained, "stored": stored, **trouble}
        write_json({**counts, "runs": found, "settings": settings})
        return
    for job in tally.jobs:
        if job.status in ("diverged", "failed"):
            aside(f"{job.status}: {job.run.id}: {job.message}")
    if table is not None:
        print_screen(settings_screen(with_thresholds(settings, table)), settings_notes(settings))
    further = any(job.was_stored and _stands_further(job, asked.where.runs) for job in tally.jobs)
    told = f"{stored:,} were stored" + (" (some for more steps than asked; results are within those asked)" if further else "")
    say(f"trained {trained:,} runs, {told}; results: {asked.where.runs}")
    if was_stopped:
        say("stopped; every run's state is saved. The same command goes on from there.")


def _ended(tally: Tally, folder: Path) -> polars.DataFrame | None:
    """The table of the runs that ended with results; None where there is none."""
    from groklab.analysis.tables import runs_table
    from groklab.results.store import RunFolder

    ended = [job.run for job in tally.jobs if job.status in ("complete", "diverged")]
    return runs_table([RunFolder(folder / run.id) for run in ended], ended) if ended else None


def _settings(made: Sweep, table: polars.DataFrame) -> list[dict[str, Any]]:
    """A row for every combination of the fields that vary, seeds apart: its runs, and their medians with intervals."""
    from groklab.analysis.distinctions import alongside
    from groklab.analysis.statistics import summarize

    return summarize(table, by=alongside(table, made.varying)).to_dicts()


def _stands_further(job: Job, folder: Path) -> bool:
    """Whether more of a run is stored than it was asked for."""
    found = stored_as_asked(job.run, runs=folder)
    return found is not None and found.steps < found.folder.reached()


def _facts(job: Job, folder: Path) -> dict[str, Any]:
    """A run with its results, as JSON tells it."""
    found = stored_as_asked(job.run, runs=folder) if job.status in ("complete", "diverged") else None
    known = found.to_dict() if found is not None else {"id": job.run.id, "steps": job.step, "message": job.message}
    return {**known, "status": job.status}
