"""`groklab remove`: delete stored runs, or those that are damaged or diverged."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from groklab.analysis.tables import runs_table
from groklab.arguments.parsing import is_terminal, parse
from groklab.arguments.reading import RemoveArguments
from groklab.outside.streams import aside, say, write_json
from groklab.results.files import StoreError
from groklab.results.finding import empty_folders, find
from groklab.results.store import RunFolder
from groklab.stored.run import stored_runs


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


def remove(words: list[str]) -> int:
    """Delete runs, after asking."""
    asked = parse(RemoveArguments, "remove", words)
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
