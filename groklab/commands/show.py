"""`groklab show`: stored runs one after the other, what happened, what differs from the default, what it was computed with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table as Screen

from groklab.analysis.grokking import told
from groklab.arguments.parsing import parse
from groklab.arguments.reading import ShowArguments
from groklab.commands.show_table import check_table_flags, show_table
from groklab.config.run import Run
from groklab.outside.streams import console, write_json
from groklab.stored.run import StoredRun, load
from groklab.text.numbers import percent

if TYPE_CHECKING:
    from groklab.analysis.events import Events


def show(words: list[str]) -> int:
    """Stored runs with settings and results, one after the other or as one table."""
    asked = parse(ShowArguments, "show", words)
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
