"""`groklab check`: the parts that files of one's own register, tried as groklab's own are in its tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.table import Table as Screen
from rich.text import Text

from groklab import registry
from groklab.arguments.parsing import parse
from groklab.arguments.reading import CheckArguments
from groklab.display.tables import print_screen
from groklab.laboratory.conformance import problems_of, untested_of
from groklab.outside.printable import printable
from groklab.outside.streams import say, write_json

_NOTHING = 'it registers nothing; expected functions below decorators such as @operation(symbol="x + y"), from groklab.'


def check(words: list[str]) -> int:
    """Load each file in a registry of its own and try what it registers; 1 where something is wrong."""
    asked = parse(CheckArguments, "check", words)
    if not asked.files:
        raise ValueError("FILE.py: got none; expected Python files that register parts of your own.")
    found = [_of_file(file) for file in asked.files]
    is_right = all(not file["problems"] and not any(part["problems"] for part in file["parts"]) for file in found)
    if asked.json:
        write_json({"files": found, "is_right": is_right})
    else:
        for file in found:
            _tell(file)
    return 0 if is_right else 1


def _of_file(file: Path) -> dict[str, Any]:
    """What a file registers, and what is wrong with each; ValueError where it cannot be loaded."""
    with registry.isolated():
        registry.forget_plugins()  # what another file registered is not there for this one
        path = registry.load_plugin(file)
        parts = [entry for kind in registry.HOMES for entry in registry.entries(kind).values() if entry.plugin == path]
        tried: list[dict[str, Any]] = []
        for entry in parts:
            untested = untested_of(entry)
            tried.append(
                {
                    "kind": entry.kind,
                    "name": entry.name,
                    "description": entry.description,
                    "problems": untested or problems_of(entry),
                }
            )
    return {"file": str(file), "parts": tried, "problems": [] if tried else [_NOTHING]}


def _tell(file: dict[str, Any]) -> None:
    say(printable(file["file"]))
    for problem in file["problems"]:
        say(f"  {problem}")
    screen = Screen(box=None, padding=(0, 2, 0, 2), show_header=False)
    screen.add_column(no_wrap=True)
    screen.add_column(no_wrap=True, style="bold")
    screen.add_column()
    for part in file["parts"]:
        told = Text("\n".join(map(printable, part["problems"])), "red") if part["problems"] else Text("ok", "green")
        screen.add_row(part["kind"], part["name"], told)
    wrong = sum(bool(part["problems"]) for part in file["parts"])
    count = len(file["parts"])
    if count:
        print_screen(screen)
        say(f"  {count} part{'s' * (count != 1)} tried, " + (f"{wrong} to put right" if wrong else "all as they must be"))
