"""`groklab measure`: take measures of the checkpoints of stored runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from rich.table import Table as Screen

from groklab import registry
from groklab.arguments.parsing import parse
from groklab.arguments.reading import MeasureArguments
from groklab.commands.plugins import load_plugins, trust_of
from groklab.outside.streams import console, say, write_json
from groklab.results.files import check_folder
from groklab.results.finding import find
from groklab.stored.measurements import Measurement, calls_of, measure
from groklab.stored.run import StoredRun
from groklab.text.values import shown


def measure_checkpoints(words: list[str]) -> int:
    """Take the measures that the words name of the runs that they name."""
    load_plugins(words)
    asked = parse(MeasureArguments, "measure", words)
    names, wanted = _apart(asked.what)
    steps = _steps(asked.checkpoint)
    # An id and `latest` may be one run.
    folders = list({folder.path.resolve(): folder for folder in (find(asked.where.runs, text) for text in wanted)}.values())
    trust = trust_of(asked.trust_plugins)
    runs = [StoredRun(folder, folder.run(trust) if asked.stored_plugins else folder.settings()) for folder in folders]
    if asked.into is not None:
        check_folder("--into", asked.into)
        if len(runs) > 1:
            raise ValueError(f"--into: got {asked.into} for {len(runs)} runs; expected one run. Each needs a folder of its own.")
    for run in runs:  # all that can be wrong is found before anything is computed
        run.check_known()
        calls_of(names, run)
        for step in steps or ():
            run.folder.read_step("checkpoints", step)
    found: list[Measurement] = []
    for run in runs:
        found += measure(names, run, steps=steps, into=asked.into)
    if asked.where.json:
        write_json({"measures": [one.to_dict() for one in found]})
        return 0
    for run in runs:
        for call in calls_of(names, run):
            _print([one for one in found if one.run == run.id and one.measure == call])
    return 0


def _apart(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Measures and runs among the words: measures are those that are registered, or written as a call."""
    known = registry.entries("measure")
    names = [word for word in words if word.split("(")[0] in known]
    runs = [word for word in words if word not in names]
    if not names:
        near = registry.nearest(words[0].split("(")[0], list(known)) if words else ""
        raise ValueError(f"NAME: got no measure; expected names of measures, then runs. {near} `groklab list measures` shows all.")
    if not runs:
        raise ValueError("RUN: got none; expected ids, unique prefixes, paths, or latest. `groklab list runs` shows what is stored.")
    unknown = [word for word in runs if "(" in word]
    if unknown:
        raise ValueError(f"NAME: unknown measure {shown(unknown[0])}. {registry.nearest(unknown[0].split('(')[0], list(known))}")
    return names, runs


def _steps(text: str) -> list[int] | None:
    if text == "all":
        return None
    try:
        return [int(text.replace(",", ""))]
    except ValueError:
        raise ValueError(f"--checkpoint: got {shown(text)}; expected a step, or all.") from None


def _print(found: Sequence[Measurement]) -> None:
    """One measure of one run as a table, a row a checkpoint."""
    if found[0].has_arrays:
        shapes = ", ".join(f"{name} {np.asarray(value).shape}" for name, value in found[-1].values.items())
        steps = f"step {found[0].step:,}" if len(found) == 1 else f"{len(found)} checkpoints"
        say(f"{found[0].measure} of {found[0].run}, {steps}: {shapes}\n  {found[0].file.parent}")
        return
    columns = list(dict.fromkeys(name for one in found for name in one.values))
    say(f"{found[0].measure} of {found[0].run}")
    screen = Screen(box=None, padding=(0, 2, 0, 2))
    screen.add_column("step", justify="right")
    for name in columns[:_COLUMNS]:
        screen.add_column(name.removeprefix(f"{name.split('.')[0]}."), justify="right")
    for one in found:
        screen.add_row(f"{one.step:,}", *(_number(one.values.get(name)) for name in columns[:_COLUMNS]))
    console(width=160).print(screen)
    more = f"{len(columns) - _COLUMNS} more columns in " if len(columns) > _COLUMNS else ""
    say(f"  {more}{found[0].file}")


_COLUMNS = 7
"""Numbers of one measure that a terminal shows."""


def _number(value: Any) -> str:
    return "–" if value is None else f"{value:.5g}"
