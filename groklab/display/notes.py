"""What was done to read the table of a file, told once before anything is computed."""

from __future__ import annotations

from collections.abc import Iterable

from groklab.config.run import Run
from groklab.data.tables import notes_of
from groklab.outside.streams import aside


def tell_notes(runs: Iterable[Run]) -> None:
    """Say on standard error how the files of runs are read where that is not as they stand, each file once."""
    for task in {run.task.file: run.task for run in runs if run.task.file is not None}.values():
        for note in notes_of(task):
            aside(f"note: {task.file}: {note}")
