"""`groklab replicate`: train the runs of an experiment as far as they are missing, and draw its figure.

What is written per experiment, into a folder of the scale: NAME.png, NAME.csv (a row per setting and place on the axis, with medians,
intervals and censoring) and NAME.parquet (a row per run, from which figure and statistics can be made again without the runs).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from groklab import registry
from groklab.config.experiments import Settings, by_seed, settings_of
from groklab.config.run import Run, leaves
from groklab.laboratory import stored_as_asked

if TYPE_CHECKING:
    import polars

    from groklab.arguments.training import ReplicateArguments
    from groklab.stored import StoredRun
    from groklab.tally import Tally


def replicate(asked: ReplicateArguments, should_stop: Callable[[], bool]) -> int:
    """Do what the flags ask for; the exit status."""
    names = experiments_named(asked.names)
    settings = {name: settings_of(name, asked.scale) for name in names}
    runs = by_seed(list(settings.values()))
    for run in runs:
        run.check()
    if asked.dry_run:
        from groklab.forecast import dry_run

        return dry_run(asked, runs)
    tally, was_stopped = _trained(asked, runs, should_stop) if asked.train else (None, False)
    output = asked.output or Path("replication") / asked.scale
    found = [_written(name, settings[name], asked.where.runs, output) for name in names]
    if asked.where.json:
        print(json.dumps({"scale": asked.scale, "experiments": found}, allow_nan=False))  # noqa: T201
    else:
        _tell(found, tally, was_stopped)
    if was_stopped:
        return 130
    return 1 if tally is not None and tally.count("failed") else 0


def experiments_named(names: Sequence[str]) -> list[str]:
    """The experiments that the words mean, each once; ValueError where one is unknown."""
    if not names:
        known = ", ".join(registry.entries("experiment"))
        raise ValueError(f"NAME: got none; expected names of experiments, or all. Known: {known}.")
    if "all" in names:
        return list(registry.entries("experiment"))
    return list(dict.fromkeys(registry.look_up("experiment", name).name for name in names))


def _trained(asked: ReplicateArguments, runs: Sequence[Run], should_stop: Callable[[], bool]) -> tuple[Tally | None, bool]:
    """Train what is missing, its progress shown; how it went, and whether the user stopped it."""
    from groklab.sweeping import Screen
    from groklab.workers import train_all

    with Screen(sys.stderr if asked.where.json else sys.stdout, title="replicate") as screen:
        try:
            return train_all(
                runs,
                folder=asked.where.runs,
                workers=asked.workers,
                ray=asked.ray,
                runs_per_batch=asked.runs_per_batch,
                plugins=asked.plugin,
                on_progress=screen,
                should_stop=should_stop,
            ), False
        except KeyboardInterrupt:
            return screen.tally, True


def results_of(
    settings: Settings, *, runs: str | Path = "runs", results: Sequence[str] = (), measures: Sequence[str] = ()
) -> polars.DataFrame:
    """The stored runs of an experiment as a table: its setting by name, results within each run's budget, and the fields that say something.

    These are the fields in which the runs differ from each other or from the default recipe. ``results`` are more columns of the last
    evaluation, ``measures`` are taken of the last checkpoint. Runs that are not there yet are left out.
    """
    import polars

    from groklab.analysis.tables import runs_table

    asked = [(label, run, stored_as_asked(run, runs=runs)) for label, members in settings.items() for run in members]
    there = [(label, run, found) for label, run, found in asked if found is not None]
    table = runs_table([found.folder for _, _, found in there], [run for _, run, _ in there])
    left_out = set(leaves()) - _told_fields(settings) - {"steps"}
    more = {name: [(found.rows or [{}])[-1].get(name) for _, _, found in there] for name in results}
    for measure in measures:
        name = registry.parse_call(measure).name
        more[name] = [_at_the_end(found, measure) for _, _, found in there]
    if "outliers" not in left_out:  # a column of text, for it may be a share; numbers are told in their order
        table = table.with_columns(polars.col("outliers").cast(polars.Float64, strict=False))
    return table.select(
        polars.Series("setting", [label for label, _, _ in there], dtype=polars.String),
        polars.exclude(*left_out),
        *(polars.Series(name, values, dtype=polars.Float64) for name, values in more.items()),
    )


def _at_the_end(found: StoredRun, measure: str) -> float | None:
    """A measure of one number, of a run's last checkpoint; None where the run diverged before it had one."""
    steps = found.folder.steps_of("checkpoints")
    if not steps or found.status == "diverged":
        return None
    values = found.measure(measure, steps=[steps[-1]])[0].values
    return next((float(value) for value in values.values() if value is not None), None)


def _told_fields(settings: Settings) -> set[str]:
    default = Run().resolved()
    every = [run.resolved() for members in settings.values() for run in members]
    told = {name for name in leaves() if any(values[name] != default[name] for values in every)}
    return (told | {"operation", "train_fraction", "seed"}) - {"steps", "checkpoints_per_decade"}


def _written(name: str, settings: Settings, runs: Path, output: Path) -> dict[str, Any]:
    """The files of one experiment from what is stored of it; what there is, by name."""
    from groklab.analysis.statistics import summarize
    from groklab.results.tables import write_table

    asked = sum(len(members) for members in settings.values())
    facts = registry.look_up("experiment", name).facts
    table = results_of(settings, runs=runs, results=facts.get("results", ()), measures=facts.get("measures", ()))
    found: dict[str, Any] = {"experiment": name, "runs": asked, "stored": table.height, "settings": [], "files": []}
    if table.is_empty():
        return found
    place = axis_of(name)
    summary = summarize(table, by=["setting", place]).sort("setting", place, maintain_order=True)
    files = {suffix: output / f"{name}{suffix}" for suffix in (".png", ".csv", ".parquet")}
    write_table(table, files[".parquet"])
    write_table(summary, files[".csv"])
    found |= {"settings": summary.to_dicts(), "files": [str(files[".csv"]), str(files[".parquet"])]}
    try:
        draw(name, table, files[".png"])
        found["files"].insert(0, str(files[".png"]))
    except ValueError as error:
        found["message"] = str(error)
    return found


def axis_of(name: str) -> str:
    """The field that an experiment's figure has on its axis."""
    call = registry.parse_call(registry.look_up("experiment", name).facts["figure"])
    entry = registry.look_up("figure", call.name)
    return str((entry.settings | dict(call.settings)).get("x", entry.facts.get("x", "train_fraction")))


def draw(name: str, table: polars.DataFrame, path: Path) -> None:
    """The figure of an experiment from its table of runs, such as a NAME.parquet that was kept."""
    from groklab.figures.style import save

    call = registry.parse_call(registry.look_up("experiment", name).facts["figure"])
    save(registry.look_up("figure", call.name).function(table, **dict(call.settings)), path)


def _tell(found: Sequence[Mapping[str, Any]], tally: Tally | None, was_stopped: bool) -> None:
    for job in tally.jobs if tally is not None else ():
        if job.status in ("diverged", "failed"):
            print(f"{job.status}: {job.run.id}: {job.message}", file=sys.stderr)  # noqa: T201
    for part in found:
        print(f"{part['experiment']}: {part['stored']:,} of {part['runs']:,} runs are there")  # noqa: T201
        for file in part["files"]:
            print(f"  {file}")  # noqa: T201
        if "message" in part:
            print(f"  no figure: {part['message']}")  # noqa: T201
    if was_stopped:
        print("stopped; every run's state is saved. The same command goes on from there.")  # noqa: T201
