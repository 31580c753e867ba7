"""`groklab sweep`: train many runs, show how far they are, and what came of each setting."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from groklab.arguments.parsing import parse
from groklab.arguments.start import starting_run
from groklab.arguments.training import SweepArguments, sweep_arguments
from groklab.commands.dry_run import dry_run
from groklab.commands.plugins import load_plugins, trust_of
from groklab.config.fields import leaves
from groklab.config.run import Run
from groklab.config.sweep import Sweep, sweep_of
from groklab.display.notes import tell_notes
from groklab.display.sweep import TerminalSweep
from groklab.display.tables import print_screen, settings_notes, settings_screen, with_thresholds
from groklab.laboratory.interruption import stop_requests
from groklab.laboratory.runs import stored_as_asked
from groklab.laboratory.trackers import named
from groklab.outside.streams import aside, say, write_json
from groklab.workers.pool import train_all
from groklab.workers.tally import Job, Tally

if TYPE_CHECKING:
    import polars


def sweep(words: list[str]) -> int:
    """Train the runs that the flags name, all crossed with each other."""
    load_plugins(words)
    asked = parse(sweep_arguments(), "sweep", words)
    with stop_requests() as should_stop:
        return _sweep(asked, starting_run(words, trust_of), should_stop)


def _sweep(asked: SweepArguments, start: Run, should_stop: Callable[[], bool]) -> int:
    """Do what the flags ask for; the exit status."""
    named(asked.track)
    made = _sweep_of(asked, start)
    runs = made.runs()
    tell_notes(runs)
    if asked.dry_run:
        return dry_run(asked, runs)
    stream = sys.stderr if asked.where.json else sys.stdout
    with TerminalSweep(stream) as screen:
        try:
            tally = train_all(runs, asked.options, on_progress=screen, should_stop=should_stop)
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
