"""`groklab figure`: draw stored runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from groklab.arguments.parsing import parse
from groklab.arguments.reading import FigureArguments
from groklab.commands.plugins import load_plugins
from groklab.outside.printable import printable
from groklab.outside.streams import say, write_json
from groklab.registry import look_up, parse_call
from groklab.stored.drawing import drawn, filmed
from groklab.stored.run import StoredRun, load
from groklab.text.values import shown


def figure(words: list[str]) -> int:
    """Draw stored runs into a file."""

    load_plugins(words)
    asked = parse(FigureArguments, "figure", words)
    entry = look_up("figure", parse_call(asked.name).name)
    chosen = [load(text, runs=asked.where.runs) for text in asked.which]
    if not chosen:
        raise ValueError("RUN: got none; expected ids, unique prefixes, paths, or latest. `groklab list runs` shows what is stored.")
    suffix = ".gif" if entry.facts.get("animated") else ".png"
    output = asked.output or chosen[0].folder.path / "figures" / f"{entry.name}{suffix}"
    draw(asked.name, chosen, output, asked.checkpoint)
    if asked.where.json:
        write_json({"figure": asked.name, "runs": [run.id for run in chosen], "output": str(output)})
    else:
        say(printable(output))
    return 0


def draw(name: str, chosen: Sequence[StoredRun], output: Path, checkpoint: int | None) -> None:
    """A registered figure of stored runs into a file; a film where it is one."""
    from groklab.figures.style import save, save_film

    if not look_up("figure", parse_call(name).name).facts.get("animated"):
        save(drawn(name, chosen, checkpoint=checkpoint), output)
    elif len(chosen) != 1 or checkpoint is not None:
        raise ValueError(
            f"figure {shown(name)}: got {len(chosen)} runs and checkpoint {checkpoint}; expected one run and all its checkpoints."
        )
    else:
        save_film(filmed(name, chosen[0]), output)
