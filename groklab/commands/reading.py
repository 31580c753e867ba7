"""The verbs that read: ``show``, ``list``, ``table`` and ``remove``, in a terminal, as JSON or into a file. None needs torch to run a network."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table as Screen
from rich.text import Text

from groklab import registry
from groklab.analysis.grokking import told
from groklab.analysis.selection import select
from groklab.analysis.tables import problems_of, runs_table
from groklab.arguments.parsing import is_terminal
from groklab.arguments.reading import DashboardArguments, ListArguments, RemoveArguments, ShowArguments, TableArguments
from groklab.arguments.start import tell_notes
from groklab.commands.show import check_table_flags, show_table
from groklab.config.checks import RunError
from groklab.config.consistency import task_problems
from groklab.config.presets import preset_named
from groklab.config.run import Run, Task, leaves
from groklab.display.tables import print_runs
from groklab.outside.streams import aside, console, say, write_data, write_json
from groklab.results.files import StoreError
from groklab.results.finding import empty_folders, find
from groklab.results.store import RunFolder
from groklab.stored.run import StoredRun, load, stored_runs
from groklab.text.numbers import percent

if TYPE_CHECKING:
    from groklab.analysis.events import Events


# — show —


def show(asked: ShowArguments) -> int:
    """Stored runs with settings and results, one after the other or as one table."""
    if asked.table or asked.output is not None:
        return show_table(asked)
    check_table_flags(asked)
    chosen = [load(text, runs=asked.where.runs) for text in asked.which or ("latest",)]
    if asked.where.json:
        found = [{**run.to_dict(), **_stored_facts(run)} for run in chosen]
        write_json(found[0] if len(found) == 1 else {"runs": found})
        return 0
    for run in chosen:
        console().print(_sheet(run))
    return 0


def _stored_facts(run: StoredRun) -> dict[str, Any]:
    description, events = run.folder.description(), _events(run)
    return {
        "run": description["run"],
        "parameters": description["parameters"],
        "segments": description["segments"],
        "checkpoints": run.folder.steps_of("checkpoints"),
    } | ({"transitions": None, "spikes": []} if events is None else events.to_dict())


def _events(run: StoredRun) -> Events | None:
    """Transitions and spikes; None where nothing has been evaluated."""
    from groklab.analysis.events import events_of

    return events_of(run.history.drop("run")) if run.rows else None


def _sheet(run: StoredRun) -> Screen:
    """One run on a screen: what happened, then what differs from the default, then what it was computed with."""
    from groklab.analysis.events import told_events

    screen = Screen(title=run.id, title_justify="left", show_header=False, box=None, padding=(0, 2))
    facts = _stored_facts(run)
    result, threshold = run.summary, run.run.budget.threshold
    screen.add_row("result", told(result, threshold=threshold))
    screen.add_row("status", run.status + (f": {run.folder.description()['message']}" if run.folder.description().get("message") else ""))
    screen.add_row("steps", f"{result.steps:,} of {run.run.budget.steps:,}")
    screen.add_row("train", f"accuracy {percent(result.train_accuracy, threshold=threshold)}, loss {_loss(result.train_loss)}")
    screen.add_row(
        "validation", f"accuracy {percent(result.validation_accuracy, threshold=threshold)}, loss {_loss(result.validation_loss)}"
    )
    events = _events(run)
    for heading, line in told_events(events).items() if events is not None else ():
        screen.add_row(heading, line)
    default = Run().flat()
    changed = {name: value for name, value in run.run.flat().items() if value != default[name]}
    screen.add_row("run", ", ".join(f"{name} {value}" for name, value in changed.items()) or "the default recipe, power_default")
    screen.add_row("parameters", _counts(facts["parameters"]))
    screen.add_row("checkpoints", _few(facts["checkpoints"]))
    for segment in facts["segments"][-3:]:
        screen.add_row(
            f"from step {segment.get('from_step', 0):,}",
            ", ".join(f"{before}{segment.get(name, '–')}" for name, before in _COMPUTED_WITH.items()),
        )
    for warning in run.folder.description().get("warnings", []):
        screen.add_row("warning", warning)
    screen.add_row("folder", str(run.folder.path))
    return screen


def _counts(parameters: Mapping[str, int]) -> str:
    """Numbers of parameters, of which a run.json of somebody else may lack some."""
    return ", ".join(f"{count:,}" + ("" if name == "total" else f" {name.replace('_', '-')}") for name, count in parameters.items())


_COMPUTED_WITH = {"groklab": "groklab ", "torch": "torch ", "device": "", "path": "path ", "began": ""}
"""What is told of a segment, and the words before it."""


def _loss(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"


def _few(steps: Sequence[int]) -> str:
    if not steps:
        return "none"
    shown = [f"{s:,}" for s in steps]
    return f"{len(steps)}, at steps " + ", ".join(shown if len(shown) <= 6 else [*shown[:3], "…", *shown[-2:]])


# — list —


def list_kind(asked: ListArguments) -> int:
    """The entries of one registry, or the stored runs."""
    if asked.diff is not None:
        return _presets_diff(asked)
    if asked.filter and asked.kind != "runs":
        raise ValueError(f"--filter: got it with {asked.kind}; expected runs. Use `groklab list runs --filter FIELD=VALUE`.")
    if asked.kind == "runs":
        stored = stored_runs(asked.where.runs)
        table = select(runs_table(stored), asked.filter)
        problems = problems_of(stored, table)
        if asked.where.json:
            write_json({"runs": table.to_dicts()} | ({"problems": problems} if problems else {}))
        else:
            print_runs(table, *([f"no run satisfies {' and '.join(asked.filter)}."] if asked.filter else []), problems=problems)
        return 0
    entries = registry.entries(registry.KINDS[asked.kind])
    if asked.where.json:
        write_json({asked.kind: [_told(entry) for entry in entries.values()]})
        return 0
    if not entries:
        say(f"no {asked.kind} are registered yet.")
        return 0
    screen = Screen(box=None, padding=(0, 2, 0, 0))
    screen.add_column("name", no_wrap=True, style="bold")
    screen.add_column("what it is")
    for entry in entries.values():
        what = Text(entry.description)
        for extra in _extras(entry):
            what.append(f"\n{extra}", style="dim")
        screen.add_row(entry.name, what)
    console().print(screen)
    return 0


def _extras(entry: registry.Entry) -> list[str]:
    written = []
    if "at" in entry.facts:
        written.append(f"at: {entry.facts['at']}")
    if "symbol" in entry.facts:
        written.append(str(entry.facts["symbol"]))
    if entry.settings:
        written.append("settings: " + ", ".join(_setting(name, value) for name, value in entry.settings.items()))
    if "source" in entry.facts:
        written.append(f"source: {entry.facts['source']}")
    if entry.plugin is not None:
        written.append(f"plugin: {entry.plugin}")
    return written


def _setting(name: str, default: Any) -> str:
    return name if default is inspect.Parameter.empty else f"{name}={default!r}"


def _told(entry: registry.Entry) -> dict[str, Any]:
    settings = {name: None if value is inspect.Parameter.empty else value for name, value in entry.settings.items()}
    facts = {name: value for name, value in entry.facts.items() if isinstance(value, (str, bool, int, float))}
    return {"name": entry.name, "description": entry.description, "settings": settings, **facts}


def _presets_diff(asked: ListArguments) -> int:
    if asked.kind != "presets":
        raise ValueError(f"--diff: got it with {asked.kind}; expected presets. Use `groklab list presets --diff A B`.")
    assert asked.diff is not None
    first, second = (preset_named(name).resolved() for name in asked.diff)
    different = {name: (first[name], second[name]) for name in leaves() if first[name] != second[name]}
    if asked.where.json:
        write_json({"presets": list(asked.diff), "differences": {name: list(pair) for name, pair in different.items()}})
        return 0
    screen = Screen(box=None, padding=(0, 3, 0, 0))
    for head in ("field", *asked.diff):
        screen.add_column(head)
    for name, pair in different.items():
        screen.add_row(name, *map(_written, pair))
    console().print(screen if different else "They do not differ.")
    return 0


def _written(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


# — table —


def table(asked: TableArguments, given: Collection[str]) -> int:
    """The table of an operation: x, y, z of every cell, or a picture in characters with its properties; ``given`` are the fields that flags name."""
    from groklab.data.tables import properties, table_of

    fields = {name: getattr(asked, name) for name in ("operation", "modulus", "group", "expression", "file", "reader")}
    run = Run(task=Task(**fields)).implied(given)
    problems = task_problems(run)
    if problems:
        raise RunError(problems)
    cells = table_of(run.task)
    if not asked.where.json and asked.format != "json":
        tell_notes([run])
    form = "json" if asked.where.json else asked.format
    names = (*cells.elements, "")
    if form == "csv":
        _print_csv(zip(*((names[i] for i in column) for column in (cells.x, cells.y, cells.z)), strict=True))
        return 0
    facts = properties(cells)
    if form == "json":
        listed = [
            {"x": names[x], "y": names[y], "z": names[z] if z >= 0 else None} for x, y, z in zip(cells.x, cells.y, cells.z, strict=True)
        ]
        write_json(
            {
                "operation": cells.operation,
                "elements": list(cells.elements),
                "cells": listed,
                "count": len(listed),
                "properties": facts,
                "notes": list(cells.notes),
            }
        )
        return 0
    _print_grid(cells, names)
    unknown = int((cells.z < 0).sum())
    say(f"\n{cells.symbol}: {len(cells.x):,} cells, {cells.n:,} elements" + (f", {unknown:,} cells unknown" if unknown else ""))
    say(", ".join(f"{name.replace('_', ' ')}: {_verdict(value)}" for name, value in facts.items()))
    return 0


def _print_csv(rows: Any) -> None:
    import csv
    import io

    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow(("x", "y", "z"))
    writer.writerows(rows)
    write_data(written.getvalue())


def _verdict(value: bool | None) -> str:
    return {True: "yes", False: "no", None: "undefined"}[value]


def _print_grid(cells: Any, names: Sequence[str]) -> None:
    """The upper left corner that fits a screen, rows x and columns y."""
    xs, ys = list(dict.fromkeys(cells.x.tolist())), list(dict.fromkeys(cells.y.tolist()))
    width = max(3, *(len(name) + 1 for name in names))
    across = max(1, min(len(ys), (min(console().width, 120) - width - 2) // width))
    down = min(len(xs), 24)
    answers: Mapping[tuple[int, int], int] = {
        (x, y): z for x, y, z in zip(cells.x.tolist(), cells.y.tolist(), cells.z.tolist(), strict=True)
    }
    say(f"{'x∘y':>{width}} │" + "".join(f"{names[y]:>{width}}" for y in ys[:across]) + (" …" if across < len(ys) else ""))
    say("─" * (width + 1) + "┼" + "─" * (width * across))
    for x in xs[:down]:
        line = "".join(f"{_cell(answers, names, x, y):>{width}}" for y in ys[:across])
        say(f"{names[x]:>{width}} │{line}")
    if down < len(xs):
        say(f"{'⋮':>{width}} │")


def _cell(answers: Mapping[tuple[int, int], int], names: Sequence[str], x: int, y: int) -> str:
    if (x, y) not in answers:
        return "·"
    return names[answers[x, y]] if answers[x, y] >= 0 else "?"


# — dashboard —


def dashboard(asked: DashboardArguments) -> int:
    """Serve the pages over a folder of results; StoreError where their libraries are not installed."""
    try:
        from groklab.dashboard.server import serve
    except ModuleNotFoundError as error:
        if str(error.name).split(".")[0] not in ("dash", "plotly", "flask", "werkzeug"):
            raise
        raise StoreError("the dashboard needs dash and plotly, which are not installed: pip install 'groklab[dashboard]'") from None
    return serve(asked.root(), host=asked.host, port=asked.port, with_token=asked.token, with_browser=asked.browser, plugins=asked.plugin)


# — remove —


def _is_agreed(chosen: Sequence[RunFolder]) -> bool:
    """Whether the user wants these runs removed, asked on standard error."""
    if not is_terminal():
        raise ValueError(f"remove: got {_counted(chosen)} and nobody to ask; expected --yes. Nothing was removed.")
    for folder in chosen:
        aside(f"  {folder.id} ({folder.status()})")
    aside(f"Remove {_counted(chosen)} for good? [y/N] ", end="")
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _counted(chosen: Sequence[RunFolder]) -> str:
    return f"{len(chosen)} run{'s' * (len(chosen) != 1)}"


def remove(asked: RemoveArguments) -> int:
    """Delete runs, after asking."""
    if not asked.which and not asked.prune:
        raise ValueError("RUN: got none; expected ids, unique prefixes, paths, or --prune.")
    chosen = [find(asked.where.runs, text) for text in asked.which]
    if asked.prune:
        stored = stored_runs(asked.where.runs)
        states = runs_table(stored)["status"]
        chosen += [folder for folder, state in zip(stored, states, strict=True) if state in ("damaged", "diverged")]
        chosen += empty_folders(asked.where.runs)
    chosen = list({folder.path.resolve(): folder for folder in chosen}.values())
    if not asked.yes and chosen and not _is_agreed(chosen):
        chosen = []
    removed: list[str] = []
    refused: list[str] = []
    for folder in chosen:
        try:
            folder.remove()
            removed.append(folder.id)
        except StoreError as error:
            refused.append(str(error))
    if asked.where.json:
        write_json({"removed": removed, "refused": refused})
    else:
        say("\n".join(f"removed {name}" for name in removed) or "nothing was removed.")
    if refused:
        raise StoreError("; ".join(refused))
    return 0
