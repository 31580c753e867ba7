"""`groklab table`: the cells of an operation and its properties."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from groklab.arguments.parsing import fields_in, parse
from groklab.arguments.reading import TableArguments
from groklab.commands.plugins import load_plugins
from groklab.config.checks import RunError
from groklab.config.consistency import task_problems
from groklab.config.fields import Task
from groklab.config.run import Run
from groklab.data.tables import properties, table_of
from groklab.display.notes import tell_notes
from groklab.outside.streams import console, say, write_data, write_json


def table(words: list[str]) -> int:
    """The table of an operation: x, y, z of every cell, or a picture in characters with its properties."""
    load_plugins(words)
    asked = parse(TableArguments, "table", words)
    fields = {name: getattr(asked, name) for name in ("operation", "modulus", "group", "expression", "file", "reader")}
    run = Run(task=Task(**fields)).implied(fields_in(words))
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
