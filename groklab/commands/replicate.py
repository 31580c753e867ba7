"""`groklab replicate` and `groklab report`: published experiments trained, drawn and judged, and their reports made again."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from groklab.arguments.parsing import parse
from groklab.arguments.reading import ReportArguments
from groklab.arguments.training import ReplicateArguments
from groklab.claims.rules import told_settled
from groklab.commands.dry_run import dry_run
from groklab.commands.plugins import load_plugins
from groklab.config.experiments import settings_of
from groklab.config.run import Run
from groklab.display.sweep import TerminalSweep
from groklab.laboratory.interruption import stop_requests
from groklab.outside.printable import printable
from groklab.outside.streams import aside, say, write_json
from groklab.replication.archive import NAME as ARCHIVE
from groklab.replication.replication import archive, experiments_named, in_order, report_again, written
from groklab.results.files import check_folder
from groklab.text.values import shown
from groklab.workers.pool import train_all
from groklab.workers.tally import Tally


def replicate(words: list[str]) -> int:
    """Train the runs of experiments as far as they are missing, draw them, judge the claims, report."""
    load_plugins(words)
    asked = parse(ReplicateArguments, "replicate", words)
    with stop_requests() as should_stop:
        return _replicate(asked, should_stop)


def _replicate(asked: ReplicateArguments, should_stop: Callable[[], bool]) -> int:
    names = experiments_named(asked.names)
    settings = {name: settings_of(name, asked.scale) for name in names}
    runs = in_order(settings, asked.where.runs)
    for run in runs:
        run.check()
    output = asked.output or Path("replication") / asked.scale
    check_folder("--output", output)
    if asked.dry_run:
        return dry_run(asked, runs)
    tally, was_stopped = _trained(asked, runs, should_stop) if asked.train else (None, False)
    found = written(settings, asked.where.runs, output, asked.scale)
    if asked.archive:  # after what it keeps has been measured; the report is then of what is kept, while other processes may train on
        archive(found, output)
        found = report_again(output, output / ARCHIVE)
    if asked.where.json:
        write_json(_in_short(found, output))
    else:
        _tell(found, output, tally, was_stopped)
    if was_stopped:
        return 130
    return 1 if tally is not None and tally.count("failed") else 0


def _trained(asked: ReplicateArguments, runs: Sequence[Run], should_stop: Callable[[], bool]) -> tuple[Tally | None, bool]:
    """Train what is missing, its progress shown; how it went, and whether the user stopped it."""
    with TerminalSweep(sys.stderr if asked.where.json else sys.stdout, title="replicate") as screen:
        try:
            return train_all(runs, asked.options, on_progress=screen, should_stop=should_stop), False
        except KeyboardInterrupt:
            return screen.tally, True


def _in_short(found: Mapping[str, Any], output: Path) -> dict[str, Any]:
    """What --json prints: the report, its files with the folder that they are in."""
    experiments = [part | {"files": [str(output / file) for file in part["files"]]} for part in found["experiments"]]
    return {**found, "experiments": experiments, "report": [str(output / f"report.{suffix}") for suffix in ("html", "md", "json")]}


def _tell(found: Mapping[str, Any], output: Path, tally: Tally | None, was_stopped: bool) -> None:
    for job in tally.jobs if tally is not None else ():
        if job.status in ("diverged", "failed"):
            aside(f"{job.status}: {job.run.id}: {job.message}")
    for part in found["experiments"]:
        say(f"{part['experiment']}: {part['stored']:,} of {part['runs']:,} runs are there")
        for file in part["files"]:
            say(f"  {printable(output / file)}")
        for note in part.get("notes", ()):
            say(f"  {note}")
        if "message" in part:
            say(f"  no figure: {part['message']}")
    for claim in found["claims"]:
        settled = told_settled(claim.get("settled"))
        say(f"{claim['id']:>4}  {claim['verdict']:<15} {claim['reason']}" + (f" ({settled})" if settled else ""))
    for entry in found.get("withdrawn", ()):
        say(f"{entry['id']:>4}  withdrawn: was {entry['verdict']} on {entry['reported']}; {entry['reason']}")
    say(found["summary"])
    say(f"report: {printable(output / 'report.html')}")
    if was_stopped:
        say("stopped; every run's state is saved. The same command goes on from there.")


def report(words: list[str]) -> int:
    """Make the reports of a replication again from its results."""
    load_plugins(words)
    asked = parse(ReportArguments, "report", words)
    folders = _replications(asked.folder)
    found = [report_again(folder, asked.runs) for folder in folders]
    if asked.json:
        whole = found[0] if len(found) == 1 else {"reports": found}
        write_json(whole)
        return 0
    for folder, one in zip(folders, found, strict=True):
        _tell(one, folder, None, was_stopped=False)
    return 0


def _replications(folder: Path) -> list[Path]:
    if (folder / "report.json").is_file():
        return [folder]
    below = sorted(path.parent for path in folder.glob("*/report.json"))
    if not below:
        raise ValueError(
            f"DIR: got {shown(str(folder))}; expected a folder that `groklab replicate` wrote, or one with such folders in it."
        )
    return below
