"""Runs with their results, as they lie in a folder: what is read, drawn and compared, where torch need not be installed."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from groklab import registry
from groklab.analysis.distinctions import labels_of, table_of_values
from groklab.analysis.grokking import Summary, summary
from groklab.analysis.tables import runs_table
from groklab.config.run import Run, leaves
from groklab.config.stops import end_of
from groklab.data.tables import notes_of
from groklab.registry.signatures import checked
from groklab.results.finding import find, folders
from groklab.results.history import in_sequence
from groklab.results.plugins import Trust, check_known, restore_known
from groklab.results.store import RunFolder
from groklab.stored.ends import measures_at_the_end, results_at_the_end
from groklab.text.numbers import given
from groklab.text.values import shown

if TYPE_CHECKING:
    import polars
    from matplotlib.figure import Figure

    from groklab.model.parameters import Parameters
    from groklab.stored.measurements import Measurement


@dataclass(frozen=True)
class StoredRun:
    """A run with its results."""

    folder: RunFolder
    run: Run
    """As asked for, with the budget up to which the results are reported."""

    @property
    def id(self) -> str:
        """The run's id."""
        return self.folder.id

    @property
    def values(self) -> dict[str, Any]:
        """Task, model and training field by field, with the values that unset ones stood for; read, not computed."""
        resolved = self.folder.description()["resolved"]
        asked = {name: value for name, value in self.run.flat().items() if leaves()[name] not in ("seeds", "budget")}
        return {name: resolved.get(name) if value is None or name == "file" else value for name, value in asked.items()}

    def check_known(self) -> None:
        """ValueError where its table or network is of a plugin that is not loaded here, or of another version of it."""
        check_known(self.run, self.id, self.folder.description()["plugins"])

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Evaluations within the budget, one dictionary each."""
        return self.folder.history(self.steps)

    @property
    def steps(self) -> int:
        """Updates made, or the end of the budget where more are stored."""
        ended, reached = end_and_reached(self.folder, self.run)
        return reached if ended is None else ended

    @property
    def history(self) -> polars.DataFrame:
        """Evaluations within the budget as a table, one row each."""
        from groklab.results.tables import history_table

        return history_table({self.id: self.rows})

    @property
    def measured(self) -> polars.DataFrame:
        """Numbers that ``groklab measure`` has kept of its checkpoints: a row per step, a column ``measure`` or ``measure.part`` for each.

        Of a measure with other settings than the usual ones the settings stand behind its name, ``restricted_loss.variant=blocks``.
        """
        import polars

        from groklab.results.measures import kept_numbers

        rows: dict[int, dict[str, Any]] = {}
        for name, by_step in kept_numbers(self.folder).items():
            _, _, settings = name.partition("-")
            for step, values in by_step.items():
                named = {column + (f".{settings}" if settings else ""): value for column, value in values.items()}
                rows.setdefault(step, {"step": step}).update(named)
        return polars.DataFrame([rows[step] for step in sorted(rows)], infer_schema_length=None)

    @checked
    def measure(self, *names: str, steps: Sequence[int] | None = None, trust_plugins: bool = False) -> list[Measurement]:
        """Measures of its checkpoints, such as ``run.measure("weight_norm")``, by default of all within the budget, taken where they are not kept already."""
        from groklab.stored.measurements import measure

        return measure(names, self, steps=steps or self.stored_steps("checkpoints"), trust_plugins=trust_plugins)

    @property
    def summary(self) -> Summary:
        """Memorized at, generalized at, delay, and the last accuracies and losses."""
        return summary(self.rows, steps=self.steps, threshold=self.run.budget.threshold)

    @property
    def status(self) -> str:
        """running | interrupted | complete | diverged | damaged; complete also where a smaller budget's end is stored."""
        stored = self.folder.status()
        if stored not in ("running", "interrupted", "diverged"):
            return stored
        ended, reached = end_and_reached(self.folder, self.run)
        return "complete" if ended is not None and (ended < reached or stored != "running") else stored

    @property
    def lacks(self) -> list[str]:
        """What was asked for and was not stored when the run was trained: denser evaluations or checkpoints, more measures; in words."""
        asked, stored = self.run.budget, self.folder.settings().budget
        spacings = ("evaluations_per_decade", "checkpoints_per_decade")
        told = [(name, getattr(asked, name), getattr(stored, name)) for name in spacings]
        lacking = [f"{name} {wanted} (stored: {there})" for name, wanted, there in told if wanted > there]
        return lacking + [f"measure {name}" for name in asked.measures if name not in stored.measures]

    @checked
    def stored_steps(self, kind: str) -> list[int]:
        """Steps of the stored ``checkpoints`` or ``answers`` within the budget, rising."""
        steps = self.steps
        return [step for step in self.folder.steps_of(kind) if step <= steps]

    def last_step(self, kind: str) -> int | None:
        """The last of them; None where there is none."""
        return next(reversed(self.stored_steps(kind)), None)

    @checked
    def answers(self, step: int | None = None) -> polars.DataFrame:
        """The table's cells with the network's answers at a checkpoint, by default the last within the budget."""
        from groklab.analysis.tables import cells_table

        self.check_known()
        return cells_table(self.folder, self.run, self.last_step("answers") if step is None else step)

    @checked
    def model(self, step: int | None = None) -> Parameters:
        """The parameters of a checkpoint, by default the last within the budget, with a run axis of one."""
        from groklab.model.parameters import parameters_from
        from groklab.training.batches import DTYPES, network

        self.check_known()
        _, _, layout = network(self.run)
        chosen, arrays = self.folder.read_step("checkpoints", self.last_step("checkpoints") if step is None else step)
        of = f"{self.id}, checkpoint at step {chosen:,}: "
        return parameters_from(layout, arrays, dtype=DTYPES[self.run.training.precision], of=of)

    @checked
    def plot(self, name: str = "learning_curves", *, checkpoint: int | None = None) -> Figure:
        """Its learning curves, or another figure of one run, such as ``run.plot("operation_table")``."""
        return drawn(name, [self], checkpoint=checkpoint)

    def _repr_html_(self) -> str:
        """As a notebook shows it."""
        from groklab.display.notebook import run_html

        return run_html(self)

    def to_dict(self) -> dict[str, Any]:
        """What ``groklab train --json`` prints."""
        result = {"id": self.id, "status": self.status, **self.summary.to_dict()}
        message = self.folder.description().get("message", "")
        notes = {"notes": list(notes_of(self.run.task))} if self.run.task.file is not None else {}
        return result | ({"message": message} if message else {}) | notes | {"folder": str(self.folder.path)}


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


@checked
def drawn(name: str, chosen: Sequence[StoredRun], *, checkpoint: int | None = None) -> Figure:
    """A registered figure of stored runs, with settings if it is written as a call, ``steps_against(x='modulus')``.

    ValueError where it does not take so many runs, has no such setting, or lacks what it needs.
    """
    problems = [str(problem) for problem in registry.call_problems("figure", name)]
    if problems:
        raise ValueError(f"figure: {' '.join(problems)}")
    if "IPython" in sys.modules:
        from groklab.display.notebook import show_figures

        show_figures()
    call = registry.parse_call(name)
    entry, settings = registry.look_up("figure", call.name), dict(call.settings)
    takes = entry.facts["takes"]
    if entry.facts.get("animated"):
        raise ValueError(
            f"figure {shown(call.name)}: it is a film; expected a figure of one picture. `groklab figure {call.name} RUN --output F.gif` writes it."
        )
    if takes in ("history", "runs") and checkpoint is not None:
        raise ValueError(f"--checkpoint: got {checkpoint}; expected none: {call.name} shows the whole history.")
    if takes == "history":
        known = {"threshold": chosen[0].run.budget.threshold}
        settings = {name: value for name, value in known.items() if name in entry.settings} | settings
        return entry.function(history_of(chosen), **settings)
    if takes == "runs":
        columns = {kind: entry.facts.get(kind, ()) for kind in ("results", "measures")}
        return entry.function(results_table(chosen, apart=str((entry.settings | settings).get("x", "")), **columns), **settings)
    if len(chosen) != 1:
        raise ValueError(f"figure {shown(call.name)}: got {len(chosen)} runs; expected one, which it shows.")
    import polars

    table = _table_for(entry, chosen[0], checkpoint, entry.settings | settings)
    of_table = entry.facts.get("more_settings", {})  # those that say what is measured, not how it is drawn
    settings = {name: value for name, value in settings.items() if name not in of_table}
    return entry.function(table.with_columns(title=polars.lit(title_of(chosen[0]))), **settings)


def _table_for(entry: registry.Entry, run: StoredRun, checkpoint: int | None, settings: Mapping[str, Any]) -> polars.DataFrame:
    """What a figure of one run takes: the cells of its table, its elements, arrays of a measure, or its history with measures."""
    import polars

    match entry.facts["takes"]:
        case "cells":
            return run.answers(checkpoint)
        case "elements":
            from groklab.analysis.elements import elements_table

            run.check_known()
            step = run.last_step("checkpoints") if checkpoint is None else checkpoint
            return elements_table(run.folder, run.run, step, layer=str(settings.get("layer", "output")))
        case "arrays":
            from groklab.results.tables import arrays_table

            step = run.last_step("checkpoints") if checkpoint is None else checkpoint
            found = run.measure(entry.facts["measure"], steps=None if step is None else [step])[-1]
            return arrays_table(dict(found.values)).with_columns(at_step=polars.lit(found.step))
        case "checkpoints":
            return _checkpoints_table(entry, run, checkpoint, settings)
        case "measures":
            if checkpoint is not None:
                raise ValueError(f"--checkpoint: got {checkpoint}; expected none: {entry.name} shows the whole history.")
            kept = run.measured
            if kept.is_empty():
                return run.history
            new = [name for name in kept.columns if name not in run.history.columns]
            return run.history.join(kept.select("step", *new), on="step", how="full", coalesce=True).sort("step")
        case other:
            raise ValueError(
                f"figure {shown(entry.name)}: it takes {other}, which no stored run has; expected history, runs, cells, elements, arrays, checkpoints or measures."
            )


def _checkpoints_table(entry: registry.Entry, run: StoredRun, checkpoint: int | None, settings: Mapping[str, Any]) -> polars.DataFrame:
    """Arrays of a measure of several checkpoints, with ``at_step`` and ``moment``; its settings are those of the figure that it shares."""
    import polars

    from groklab.results.tables import arrays_table

    chosen = settings["steps"]
    steps = [chosen] if isinstance(chosen, int) else chosen
    if not (isinstance(steps, (tuple, list)) and all(isinstance(step, int) and step >= 0 for step in steps)):
        raise ValueError(f"figure {shown(entry.name)}: steps: got {shown(chosen)}; expected steps of checkpoints, such as (100, 1000).")
    if checkpoint is not None:
        if steps:
            raise ValueError(f"--checkpoint: got {checkpoint} and steps={tuple(steps)}; expected one of them.")
        steps = [checkpoint]
    measure = entry.facts["measure"]
    shared = [name for name in registry.look_up("measure", measure).settings if name in settings]
    call = f"{measure}({', '.join(f'{name}={settings[name]!r}' for name in shared)})"
    found = run.measure(call, steps=sorted(set(steps)) or landmarks(run))
    tables = [
        arrays_table(dict(one.values)).with_columns(at_step=polars.lit(one.step), moment=polars.lit(moment_of(run, one.step)))
        for one in found
    ]
    return polars.concat(tables)


def landmarks(run: StoredRun) -> list[int]:
    """Steps of the checkpoints that tell a run's story: the first that had memorized and not yet generalized, if there is one, and the last."""
    steps = run.stored_steps("checkpoints")
    memorized = [step for step in steps[:-1] if moment_of(run, step) == "memorized"]
    return memorized[:1] + steps[-1:]


def moment_of(run: StoredRun, step: int) -> str:
    """What a run had done by a step: memorized, generalized, or nothing."""
    result = run.summary
    if result.generalized_at is not None and step >= result.generalized_at:
        return "generalized"
    return "memorized" if result.memorized_at is not None and step >= result.memorized_at else ""


def filmed(name: str, run: StoredRun) -> Iterator[Figure]:
    """The frames of a registered film of a run, one for each of its checkpoints."""
    import polars

    from groklab.analysis.elements import elements_table

    problems = [str(problem) for problem in registry.call_problems("figure", name)]
    if problems:
        raise ValueError(f"figure: {' '.join(problems)}")
    entry = registry.look_up("figure", registry.parse_call(name).name)
    steps = run.stored_steps("answers")
    if not steps:
        raise ValueError(f"figure {shown(entry.name)}: {run.id} has no stored answers; expected at least those of one checkpoint.")
    history = run.history.with_columns(title=polars.lit(title_of(run)))
    cells = [run.answers(step) for step in steps]
    return entry.function(history, cells, [elements_table(run.folder, run.run, step) for step in steps])


def results_table(
    chosen: Sequence[StoredRun], *, apart: str = "", results: Sequence[str] = (), measures: Sequence[str] = ()
) -> polars.DataFrame:
    """Results of runs within their budgets, a row each; those that differ in more than seeds and the field ``apart`` are in groups.

    ``results`` are more columns of the last evaluation, ``measures`` are taken of its checkpoint and null where that is not stored.
    """
    import polars

    table = runs_table([run.folder for run in chosen], [run.run for run in chosen])
    more = results_at_the_end(results, chosen) | measures_at_the_end(measures, chosen)
    table = table.with_columns(polars.Series(name, values, dtype=polars.Float64) for name, values in more.items())
    labels = labels_of(table, within=[apart] if apart in table.columns else [])
    return table.with_columns(setting=polars.Series(labels)) if any(labels) else table


def history_of(chosen: Sequence[StoredRun]) -> polars.DataFrame:
    """Histories of several runs as one table; runs that differ in more than their seeds are in groups named by the difference."""
    import polars

    from groklab.results.tables import history_table

    histories = {run.id: run.rows for run in chosen}
    labels = labels_of(table_of_values(run.values for run in chosen))
    diverged = polars.col("run").is_in([run.id for run in chosen if run.status == "diverged"]).alias("diverged")
    if not any(labels):
        return history_table(histories).with_columns(diverged, title=polars.lit(title_of(chosen[0])))
    groups = {run.id: label for run, label in zip(chosen, labels, strict=True)}
    return history_table(histories, groups=groups).with_columns(diverged)


def title_of(run: StoredRun) -> str:
    """A heading for pictures: the operation as it is written, the share of cells shown, the optimizer and its decay."""
    values = run.values
    share = f"{given(values['train_fraction'])} of the cells shown"
    decay = (
        f", weight decay {values['weight_decay']:g}" if isinstance(values["weight_decay"], (int, float)) and values["weight_decay"] else ""
    )
    return f"{symbol_of(run)} — {share}, {values['optimizer']}{decay}"


def symbol_of(run: StoredRun) -> str:
    """The operation as it is written; its name where it is of a plugin that is not loaded."""
    from groklab.data.tables import table_of

    try:
        run.check_known()
        return table_of(run.run.task).symbol
    except ValueError:
        return run.run.task.operation


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


def end_and_reached(folder: RunFolder, run: Run) -> tuple[int | None, int]:
    """Where a run ends in what is stored of it, if it does, and how far that reaches."""
    rows, reached = folder.evaluations()
    return end_of(run, in_sequence(rows), reached) if rows else None, reached
