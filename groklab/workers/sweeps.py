"""`gl.sweep`: many runs from Python, trained as far as they are not stored yet, with their table and their medians."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from groklab import registry
from groklab.config.options import Options, RunsPerBatch
from groklab.config.run import Run
from groklab.config.sweep import Sweep, sweep_of
from groklab.laboratory.progress import opened
from groklab.outside.streams import warn
from groklab.registry.signatures import checked
from groklab.results.store import RunFolder
from groklab.stored.drawing import drawn
from groklab.stored.run import StoredRun
from groklab.workers.pool import train_all
from groklab.workers.tally import Tally

if TYPE_CHECKING:
    import polars
    from matplotlib.figure import Figure


class SweepDisplay(AbstractContextManager[Any], Protocol):
    """Shows many runs while they are trained: a context that is told how far they are, and is asked whether to stop."""

    should_stop: Callable[[], bool]

    def __call__(self, tally: Tally) -> None:
        """Take note of how far they are."""
        ...


@dataclass(frozen=True, repr=False)
class StoredSweep:
    """The runs of a sweep with their results."""

    asked: Sweep
    """The run that they were made from, and the alternatives of its fields."""
    folder: Path
    """Of the results."""
    tally: Tally
    """What became of each run; ``tally.count("complete")`` and so on."""

    @cached_property
    def runs(self) -> list[StoredRun]:
        """Those with results, in the order of the sweep; runs that failed are in ``failed``."""
        return [
            StoredRun(RunFolder(self.folder / job.run.id), job.run) for job in self.tally.jobs if job.status in ("complete", "diverged")
        ]

    @cached_property
    def table(self) -> polars.DataFrame:
        """A row for each of these runs: id, status, results up to the budget that was asked for, and every field."""
        from groklab.analysis.tables import runs_table

        return runs_table([run.folder for run in self.runs], [run.run for run in self.runs])

    @property
    def counts(self) -> dict[str, int]:
        """How many runs there are, were stored before, were trained now, have diverged, and have failed."""
        complete = [job for job in self.tally.jobs if job.status in ("complete", "diverged")]
        stored = sum(job.was_stored for job in complete)
        numbers = {"runs": len(self.tally.jobs), "stored": stored, "trained": len(complete) - stored}
        return numbers | {"diverged": self.tally.count("diverged"), "failed": self.tally.count("failed")}

    @property
    def failed(self) -> dict[str, str]:
        """Id and reason of the runs without results."""
        return {job.run.id: job.message for job in self.tally.jobs if job.status == "failed"}

    @property
    def varying(self) -> list[str]:
        """The fields that have several values, seeds apart: what makes a setting."""
        return self.asked.varying

    @checked
    def summary(self, by: Sequence[str] | None = None, *, level: float | None = None) -> polars.DataFrame:
        """A row for every setting, by default of the fields that vary: ``analysis.statistics.summarize``.

        Fields that differ with these without having been asked for, as the decay does with the optimizer, have columns behind them.
        """
        from groklab.analysis.distinctions import alongside
        from groklab.analysis.statistics import summarize
        from groklab.analysis.survival import LEVEL

        names = alongside(self.table, self.varying if by is None else by)
        return summarize(self.table, names, level=LEVEL if level is None else level)

    @checked
    def plot(self, name: str = "learning_curves") -> Figure:
        """The learning curves of its runs, or another figure of many, such as ``sweep.plot("steps_against")``."""
        return drawn(name, self.runs)

    def __len__(self) -> int:
        return len(self.runs)

    def __repr__(self) -> str:
        from groklab.analysis.distinctions import following, table_of_values

        numbers = self.counts
        told = [f"{numbers['trained']} trained, {numbers['stored']} stored before"]
        told += [f"{numbers[what]} {what}" for what in ("diverged", "failed") if numbers[what]]
        over = ", ".join(f"{name} ({len(values)})" for name, values in self.asked.axes.items() if len(values) > 1)
        found = table_of_values(job.run.resolved() for job in self.tally.jobs)
        follow = following(found, self.varying)
        over += f", and with it {', '.join(follow)}" if over and follow else ""
        return f"<sweep of {numbers['runs']} runs in {self.folder}: {', '.join(told)}{f'; over {over}' if over else ''}>"


@checked
def sweep(
    start: Run | None = None,
    /,
    *,
    runs: str | Path = "runs",
    workers: int | None = None,
    ray: str | None = None,
    runs_per_batch: RunsPerBatch = "auto",
    zip: str | Sequence[str] = (),
    plugins: str | Path | Sequence[str | Path] = (),
    track: str | Sequence[str] = (),
    keep_state: bool = False,
    on_progress: Callable[[Tally], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
    display: Callable[[Callable[[], bool] | None], SweepDisplay] | None = None,
    **fields: Any,
) -> StoredSweep:
    """Train what is missing of many runs, and give all of them with their results.

        gl.sweep(operation=["addition", "division"], train_fraction=[0.4, 0.5], seed=range(5)).summary()

    A list, tuple or range holds alternatives of a field, all crossed with each other; ``zip`` names fields whose values are taken side by
    side (``config.sweep.sweep_of``). ``start`` is the run from which the fields depart. Without one, only the ends of
    checkpoints are kept unless ``checkpoints_per_decade`` is given. ``plugins`` are files with functions of your own, ``track`` names trackers. See ``config.options.Options`` for ``workers``, ``ray``,
    ``runs_per_batch`` and ``keep_state``; ``should_stop`` is asked several times a second, and a true answer saves every state and raises
    KeyboardInterrupt. In a notebook the runs are shown while they are trained, unless
    ``on_progress`` is given; ``display`` shows them elsewhere or otherwise, see ``display.notebook.LiveSweep``. A run that diverges or
    fails does not end the others; of failed ones a warning tells.
    """
    registry.load_plugins(plugins)
    if start is None:
        fields.setdefault("checkpoints_per_decade", 0)
    asked = sweep_of(start, zip=zip, **fields)
    with contextlib.ExitStack() as shown:
        if display is not None and on_progress is None:
            on_progress = live = shown.enter_context(opened(display, should_stop))
            should_stop = live.should_stop
        options = Options(Path(runs), workers, ray, runs_per_batch, keep_state, plugins, track)
        tally = train_all(asked.runs(), options, on_progress=on_progress, should_stop=should_stop)
    made = StoredSweep(asked, Path(runs), tally)
    if made.failed:
        name, reason = next(iter(made.failed.items()))
        warn(f"{len(made.failed)} of {len(tally.jobs)} runs failed; {name}: {reason}", stacklevel=2)
    return made
