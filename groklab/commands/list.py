"""`groklab list`: stored runs, or what is registered under a kind."""

from __future__ import annotations

import inspect
from typing import Any

from rich.table import Table as Screen
from rich.text import Text

from groklab import registry
from groklab.analysis.selection import select
from groklab.analysis.tables import problems_of, runs_table
from groklab.arguments.parsing import parse
from groklab.arguments.reading import ListArguments
from groklab.commands.plugins import load_plugins
from groklab.config.fields import leaves
from groklab.config.presets import preset_named
from groklab.display.tables import print_runs
from groklab.outside.streams import console, say, write_json
from groklab.stored.run import stored_runs


def list_kind(words: list[str]) -> int:
    """The entries of one registry, or the stored runs."""
    load_plugins(words)
    asked = parse(ListArguments, "list", words)
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
