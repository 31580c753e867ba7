"""A stored run: its results, and what is measured and drawn of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from groklab.config.run import Run
from groklab.registry.signatures import checked
from groklab.results.finding import find, folders
from groklab.results.plugins import Trust, restore_known
from groklab.results.store import RunFolder
from groklab.stored.drawing import drawn
from groklab.stored.measurements import Measurement, measure, parameters_at
from groklab.stored.results import StoredResults, end_and_reached

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from groklab.model.parameters import Parameters


@dataclass(frozen=True)
class StoredRun(StoredResults):
    """A run with its results."""

    @checked
    def measure(self, *names: str, steps: Sequence[int] | None = None, trust_plugins: bool = False) -> list[Measurement]:
        """Measures of its checkpoints, such as ``run.measure("weight_norm")``, by default of all within the budget, taken where they are not kept already."""
        return measure(names, self, steps=steps or self.stored_steps("checkpoints"), trust_plugins=trust_plugins)

    @checked
    def model(self, step: int | None = None) -> Parameters:
        """The parameters of a checkpoint, by default the last within the budget, with a run axis of one."""
        return parameters_at(self, step)

    @checked
    def plot(self, name: str = "learning_curves", *, checkpoint: int | None = None) -> Figure:
        """Its learning curves, or another figure of one run, such as ``run.plot("operation_table")``."""
        return drawn(name, [self], checkpoint=checkpoint)


@checked
def load(text: str, *, runs: str | Path = "runs", trust_plugins: Trust = False) -> StoredRun:
    """A stored run by id, unique prefix, path, or ``latest``.

    Code that lies with the results, the copies of plugins that the run was trained with, is executed only with ``trust_plugins``; its
    history, figures and parameters can be read without.
    """
    folder = find(Path(runs), text)
    if trust_plugins:
        return StoredRun(folder, folder.run(trust_plugins))
    run = folder.settings()
    restore_known(folder.path, folder.description()["plugins"])
    return StoredRun(folder, run)


@checked
def stored_runs(runs: str | Path = "runs") -> list[RunFolder]:
    """All runs below a folder."""
    return folders(Path(runs))


def results_as_asked(folder: RunFolder, asked: Run) -> StoredRun | None:
    """The stored results, if they reach as far as asked."""
    if not folder.exists:
        return None
    status = folder.description()["status"]
    ended, reached = end_and_reached(folder, asked)
    if status == "diverged" or (status == "complete" and ended is not None):
        return StoredRun(folder, asked)
    if ended is None:
        return None
    # Where a process is at the end just now, or was killed there, the last checkpoint may still be missing.
    is_whole = ended < reached or (status == "interrupted" and ended in folder.steps_of("checkpoints"))
    return StoredRun(folder, asked) if is_whole else None
