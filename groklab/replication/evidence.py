"""What an experiment's figure and claims rest on: its stored runs as a table, and what was found in single runs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from groklab import registry
from groklab.claims.findings import OF_HISTORY, OF_LAYER
from groklab.config.experiments import Settings, settings_of
from groklab.config.fields import leaves
from groklab.config.run import Run
from groklab.outside.files import parsed_json, read_regular
from groklab.results.files import REPORT_LIMIT, StoreError, make_folder, write_whole
from groklab.results.store import RunFolder
from groklab.stored.ends import measures_at_the_end, results_at_the_end
from groklab.stored.run import StoredRun, results_as_asked
from groklab.stored.tables import symbol_of
from groklab.text.numbers import given
from groklab.text.values import shown

if TYPE_CHECKING:
    import polars

_UNFINISHED = ("running", "interrupted")


@dataclass
class Findings:
    """Findings of layers, which take seconds each, kept in a file: by name, run and step."""

    path: Path
    known: dict[str, dict[str, dict[str, Any]]] = field(default_factory=lambda: dict[str, dict[str, dict[str, Any]]]())
    is_new: bool = False

    @classmethod
    def kept_in(cls, path: Path) -> Findings:
        """Those of a file; an unreadable one is as good as none, since everything in it can be found again."""
        try:
            content = parsed_json(read_regular(path, REPORT_LIMIT))
        except (OSError, ValueError):
            content = {}
        return cls(path, content if isinstance(content, dict) else {})

    def of(self, name: str, run: StoredRun) -> dict[str, Any]:
        """One finding of the last checkpoint within a run's budget, that of its beginning aside; nothing where there is none or it cannot be found."""
        steps = [step for step in run.stored_steps("checkpoints") if step]
        of_run = self.known.setdefault(name, {})
        if not steps or run.status == "diverged":
            kept = [int(key.rpartition("@")[2]) for key in of_run if key.startswith(f"{run.id}@")]
            last = max((step for step in kept if step <= run.steps), default=None)
            return {} if last is None else of_run[f"{run.id}@{last}"]
        key = f"{run.id}@{steps[-1]}"
        if key not in of_run:
            try:
                of_run[key] = OF_LAYER[name](RunFolder(run.folder.path), run.run, steps[-1])
            except (ValueError, StoreError):  # too few elements for a circle, no layer of a known name
                return {}
            self.is_new = True
        return of_run[key]

    def save(self) -> None:
        """Write what was found, if anything is new."""
        if self.is_new:
            make_folder(self.path.parent)
            write_whole(self.path, (json.dumps(self.known, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode())
            self.is_new = False


def stored_of(settings: Settings, runs: str | Path) -> list[tuple[str, StoredRun]]:
    """The runs of an experiment of which there are results, with their settings by name; unfinished ones too, as far as they are."""
    asked = [(label, RunFolder(Path(runs) / run.id), run) for label, members in settings.items() for run in members]
    found = [(label, results_as_asked(folder, run) or _unfinished(folder, run)) for label, folder, run in asked]
    return [(label, run) for label, run in found if run is not None]


def is_finished(run: StoredRun) -> bool:
    """Whether a run reaches as far as it was asked for."""
    return results_as_asked(run.folder, run.run) is not None


def _unfinished(folder: RunFolder, run: Run) -> StoredRun | None:
    """A run that has been looked at after its beginning: it is censored where it stands."""
    return StoredRun(folder, run) if folder.exists and folder.reached() > 0 else None


def results_of(
    settings: Settings,
    *,
    runs: str | Path = "runs",
    results: Sequence[str] = (),
    measures: Sequence[str] = (),
    findings: Sequence[str] = (),
    known: Findings | None = None,
) -> polars.DataFrame:
    """The stored runs of an experiment as a table: its setting by name, results within each run's budget, and the fields that say something.

    These are the fields in which the runs differ from each other or from the default recipe. ``results`` are more columns of the last
    evaluation, ``measures`` are taken of its checkpoint and null where that is not stored, ``findings`` are those of `claims/findings.py`, looked up in ``known`` or
    found. Runs that have not begun are left out; unfinished ones, whose ``as_asked`` is false, are censored where they stand.
    """
    import polars

    from groklab.analysis.tables import runs_table

    there = stored_of(settings, runs)
    table = runs_table([found.folder for _, found in there], [found.run for _, found in there])
    # Of an unfinished run only what was evaluated is known for good: its state, which may be a little further, is not kept in archives.
    table = table.with_columns(polars.when(polars.col("status").is_in(_UNFINISHED)).then("evaluated_at").otherwise("steps").alias("steps"))
    left_out = set(leaves()) - _told_fields(settings) - {"steps"}
    found_runs = [found for _, found in there]
    more: dict[str, list[Any]] = {**results_at_the_end(results, found_runs), **measures_at_the_end(measures, found_runs)}
    text = dict[str, list[Any]]()
    for finding in findings:
        values = [_found(finding, run, known or Findings(Path())) for _, run in there]
        for name in dict.fromkeys(name for row in values for name in row):
            column = [row.get(name) for row in values]
            (text if any(isinstance(value, str) for value in column) else more)[name] = column
    if "outliers" not in left_out:  # a column of text, for it may be a share; numbers are told in their order
        table = table.with_columns(polars.col("outliers").cast(polars.Float64, strict=False))
    return table.select(
        polars.Series("setting", [label for label, _ in there], dtype=polars.String),
        polars.Series("as_asked", [is_finished(found) for _, found in there], dtype=polars.Boolean),
        polars.exclude(*left_out),
        *(polars.Series(name, values, dtype=polars.Float64) for name, values in more.items()),
        *(polars.Series(name, values, dtype=polars.String) for name, values in text.items()),
    )


def _found(name: str, run: StoredRun, known: Findings) -> Mapping[str, Any]:
    return OF_HISTORY[name](run.rows) if name in OF_HISTORY else known.of(name, run)


def _told_fields(settings: Settings) -> set[str]:
    default = Run().resolved()
    every = [run.resolved() for members in settings.values() for run in members]
    told = {name for name in leaves() if any(values[name] != default[name] for values in every)}
    return (told | {"operation", "train_fraction", "seed"}) - {
        "steps",
        "checkpoints_per_decade",
        "stop",
        "measures",
        "evaluations_per_decade",
    }


def table_for_figure(name: str, settings: Settings, table: polars.DataFrame, runs: str | Path) -> polars.DataFrame | None:
    """What the figure of an experiment is drawn from, if not its table of runs: histories, the elements or cells of one run, or some of the runs.

    The one run is the first that generalized and kept its last checkpoint, in the order of its experiment. ValueError where there is none.
    """
    import polars

    from groklab.analysis.elements import elements_table
    from groklab.results.tables import history_table

    call = registry.parse_call(registry.look_up("experiment", name).facts["figure"])
    entry = registry.look_up("figure", call.name)
    takes = entry.facts["takes"]
    if takes == "runs":
        cut_short = _stopping_when_memorized(settings) if entry.facts.get("of_ends") else set[str]()
        return table.filter(~polars.col("id").is_in(list(cut_short))) if cut_short & set(table["id"]) else None
    there = stored_of(settings, runs)
    if takes == "history":
        histories, groups = {found.id: found.rows for _, found in there}, {found.id: label for label, found in there}
        titles = {f"{symbol_of(found)}, {given(found.run.task.train_fraction)} shown" for _, found in there}
        title = titles.pop() if len(titles) == 1 else ""
        return history_table(histories, groups=groups).select("run", "group", *_CURVES, polars.lit(title).alias("title"))
    kind = "answers" if takes == "cells" else "checkpoints"
    able = [(label, run) for label, run in there if any(run.stored_steps(kind))]
    able.sort(key=lambda pair: pair[1].summary.generalized_at is None)
    if not able:
        raise ValueError(
            f"figure {shown(call.name)}: no run of {name} has its last {kind}; expected one. Train it, or unpack those that were kept."
        )
    label, run = able[0]
    layer = str((entry.settings | dict(call.settings)).get("layer", "output"))
    drawn = run.answers() if takes == "cells" else elements_table(run.folder, run.run, run.last_step(kind), layer=layer)
    return drawn.with_columns(
        title=polars.lit(f"{symbol_of(run)}, {given(run.run.task.train_fraction)} shown — {label}, seed {run.run.seeds.seed}")
    )


def _stopping_when_memorized(settings: Settings) -> set[str]:
    """Ids of the runs of which nothing is known after they have memorized, since they are asked to stop there."""
    return {run.id for members in settings.values() for run in members if run.budget.stop.startswith("memorized")}


def thresholds_of(name: str, scale: str) -> dict[str, set[float]]:
    """The thresholds of the runs of an experiment by setting; none where it is not known here, as that of a plugin in an earlier report."""
    try:
        return {label: {run.budget.threshold for run in members} for label, members in settings_of(name, scale).items()}
    except ValueError:
        return {}


def left_out_of(name: str, settings: Settings, table: polars.DataFrame) -> list[str]:
    """What an experiment's figure does not show, in words: settings without a run, and runs that stop too soon for it."""
    unrun = [label for label in settings if label not in set(table["setting"])]
    told = [f"Not in the figure, for want of a run: {'; '.join(unrun)}."] if unrun else []
    entry = registry.look_up("figure", registry.parse_call(registry.look_up("experiment", name).facts["figure"]).name)
    cut_short = _stopping_when_memorized(settings) & set(table["id"]) if entry.facts.get("of_ends") else set[str]()
    return told + ([f"Not in the figure: runs that stop once they have memorized, {len(cut_short)}."] if cut_short else [])


_CURVES = ("step", "train_accuracy", "validation_accuracy", "train_loss", "validation_loss")
