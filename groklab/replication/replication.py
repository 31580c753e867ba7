"""Replications: the runs of experiments as they are stored, drawn, with their claims judged, and reported.

What is written, into a folder of the scale:

    NAME.png, NAME.csv, NAME.parquet    of each experiment: its figure, a row per setting and place on the axis, a row per run
    NAME.drawn.parquet                  what the figure was drawn from, where that is not the table of runs
    report.html, report.md, report.json the scorecard and the figures, in three forms
    findings.json                       what takes seconds to find in a layer, kept
    pictures.json                       from what each picture was drawn, so that only what has changed is drawn again
    runs.tar.xz                         with --archive: the results from which all of the above can be made again

What a report in that folder says of experiments that are not asked for stays in it, and of each it remembers where its runs are.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Generator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from groklab import registry
from groklab.config.experiments import Settings, cheapest_decision_first, settings_of
from groklab.config.run import Run
from groklab.outside.files import parsed_json, read_regular
from groklab.outside.printable import command
from groklab.replication import archive as archives
from groklab.replication.evidence import Findings, is_finished, left_out_of, results_of, stored_of, table_for_figure
from groklab.replication.pictures import Pictures
from groklab.replication.scorecard import claims_about, report_of, runs_for, write_report
from groklab.results.files import REPORT_LIMIT, StoreError
from groklab.results.history import kept_histories
from groklab.results.store import RunFolder

if TYPE_CHECKING:
    import polars


def report_again(folder: Path, runs: Path | None = None) -> dict[str, Any]:
    """The report of one folder from the runs that it was made from, or from ``runs``, a folder or an archive; files are replaced."""
    try:
        kept = parsed_json(read_regular(folder / "report.json", REPORT_LIMIT))
        scale, origins = str(kept["scale"]), {str(part["experiment"]): _from(kept, part) for part in kept["experiments"]}
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"{folder / 'report.json'} is damaged ({error}). Make it anew with `groklab replicate … {command('--output', folder)}`."
        ) from error
    found: dict[str, Any] = kept
    for origin in dict.fromkeys(origins.values()):
        place = folder / origin if runs is None else runs
        names = [name for name in origins if runs is not None or origins[name] == origin]
        with _unpacked(place) as there:
            found = written({name: settings_of(name, scale) for name in names}, there, folder, scale, origin=_origin(place, folder))
        if runs is not None:
            break
    return found


def _from(report: Mapping[str, Any], part: Mapping[str, Any]) -> str:
    """Where the runs of an experiment are, as seen from its report; older ones say it of all experiments at once."""
    return str(part.get("origin", report["runs"]))


@contextlib.contextmanager
def _unpacked(place: Path) -> Generator[Path]:
    """The folder of runs of a place that is one, or an archive; StoreError where there is nothing."""
    if place.name == archives.NAME:
        with tempfile.TemporaryDirectory() as scratch:
            yield archives.unpack(place, Path(scratch))
    elif place.is_dir():
        yield place
    else:
        raise StoreError(
            f"{place}: the runs of the report were there, and are not any more. Name their folder with `groklab report --runs DIR`."
        )


def experiments_named(names: Sequence[str]) -> list[str]:
    """The experiments that the words mean, each once; ValueError where one is unknown."""
    if not names:
        known = ", ".join(registry.entries("experiment"))
        raise ValueError(f"NAME: got none; expected names of experiments, or all. Known: {known}.")
    if "all" in names:
        return list(registry.entries("experiment"))
    return list(dict.fromkeys(registry.look_up("experiment", name).name for name in names))


def in_order(settings: Mapping[str, Settings], runs: Path) -> list[Run]:
    """The runs of experiments once each, those first whose claim is decided at the lowest cost by what is not stored yet."""
    groups = [runs_for(entry, settings[entry.facts["experiment"]]) for entry in claims_about(list(settings)) if entry.facts["experiment"]]
    there = {found.id for part in settings.values() for _, found in stored_of(part, runs) if is_finished(found)}
    every = (run for part in settings.values() for members in part.values() for run in members)
    return cheapest_decision_first(groups, every, free=there)


def written(settings: Mapping[str, Settings], runs: Path, output: Path, scale: str, *, origin: str | None = None) -> dict[str, Any]:
    """The files of some experiments and their report, from what is stored of them; the report as it stands in its JSON.

    What a report of this scale in the same folder says of other experiments stays. ``origin``: what it says of where the runs are, the
    folder ``runs`` unless given.
    """

    with kept_histories():
        return _all_written(settings, runs, output, scale, origin)


def _all_written(settings: Mapping[str, Settings], runs: Path, output: Path, scale: str, origin: str | None) -> dict[str, Any]:
    known, pictures = Findings.kept_in(output / "findings.json"), Pictures.kept_in(output / "pictures.json")
    parts: list[dict[str, Any]] = []
    tables: dict[str, polars.DataFrame] = {}
    for name, asked in settings.items():
        facts = registry.look_up("experiment", name).facts
        columns = {kind: facts.get(kind, ()) for kind in ("results", "measures", "findings")}
        tables[name] = results_of(asked, runs=runs, known=known, **columns)
        parts.append(_written(name, asked, tables[name], runs, output, pictures))
    known.save()
    pictures.save()
    origin = _origin(runs, output) if origin is None else origin
    found = report_of(settings, tables, parts, runs=runs, scale=scale, origin=origin, earlier=_earlier(output, scale))
    write_report(found, output)
    return found


def _origin(runs: Path, output: Path) -> str:
    """Where the runs are, as a report remembers it: their folder, or the archive beside it, as seen from there."""
    return Path(os.path.relpath(runs, output)).as_posix()


def _earlier(output: Path, scale: str) -> dict[str, Any]:
    """The report of this scale that is in a folder already; one that cannot be read is made anew."""
    try:
        kept = parsed_json(read_regular(output / "report.json", REPORT_LIMIT))
        same = kept["scale"] == scale and all(part["experiment"] and _from(kept, part) for part in kept["experiments"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return kept if same and "claims" in kept else {}


def _written(name: str, settings: Settings, table: polars.DataFrame, runs: Path, output: Path, pictures: Pictures) -> dict[str, Any]:
    """The files of one experiment from its table of runs; what there is, by name."""
    import polars

    from groklab.analysis.statistics import summarize
    from groklab.results.tables import write_table

    asked = len({run.id for members in settings.values() for run in members})
    there = {found.id for _, found in stored_of(settings, runs) if is_finished(found)}
    found: dict[str, Any] = {"experiment": name, "runs": asked, "stored": len(there), "settings": [], "files": []}
    if table.is_empty():
        return found | {"message": "no run is stored"}
    # Unfinished runs are evidence of a time, censored, but not of what becomes of a run.
    table = table.filter("as_asked")
    if table.is_empty():
        return found | {"message": "no run is complete"}
    place = axis_of(name)
    place = place if place in table.columns else "train_fraction"
    summary = summarize(table, by=["setting", place]).sort("setting", place, maintain_order=True)
    write_table(table, output / f"{name}.parquet")
    write_table(summary, output / f"{name}.csv")
    found |= {"settings": summary.to_dicts(), "files": [f"{name}.csv", f"{name}.parquet"]}
    measures = registry.look_up("experiment", name).facts.get("measures", ())
    found["notes"] = [_unknown(measure, table) for measure in measures if table[registry.parse_call(measure).name].null_count()]
    found["not_drawn"] = left_out_of(name, settings, table)
    try:
        drawn = table_for_figure(name, settings, table, runs)
        if drawn is not None:
            write_table(drawn, output / f"{name}.drawn.parquet")
            found["files"].append(f"{name}.drawn.parquet")
        source, picture = table if drawn is None else drawn, output / f"{name}.png"
        pictures.draw(registry.look_up("experiment", name).facts["figure"], source, picture, partial(draw, name, source, picture))
        found["files"].insert(0, f"{name}.png")
    except (ValueError, polars.exceptions.PolarsError) as error:
        found["message"] = str(error)
    return found


def _unknown(measure: str, table: polars.DataFrame) -> str:
    """Which runs a measure could not be taken of."""
    ids = table.filter(table[registry.parse_call(measure).name].is_null())["id"].to_list()
    named = ", ".join(ids[:3]) + (" …" if len(ids) > 3 else "")
    return (
        f"{measure}: unknown for {len(ids):,} of {table.height:,} runs, which diverged, are unfinished, or whose last checkpoint is not "
        f"stored: {named}. They are left out of the figure; `groklab remove` one to have it trained again."
    )


def axis_of(name: str) -> str:
    """The field that an experiment's figure has on its axis."""
    call = registry.parse_call(registry.look_up("experiment", name).facts["figure"])
    entry = registry.look_up("figure", call.name)
    return str((entry.settings | dict(call.settings)).get("x", entry.facts.get("x", "train_fraction")))


def draw(name: str, table: polars.DataFrame, path: Path) -> None:
    """The figure of an experiment from its table, such as a NAME.parquet or NAME.drawn.parquet that was kept."""
    from groklab.figures.style import save

    call = registry.parse_call(registry.look_up("experiment", name).facts["figure"])
    save(registry.look_up("figure", call.name).function(table, **dict(call.settings)), path)


def archive(report: Mapping[str, Any], output: Path) -> None:
    """Keep the results of all runs of a report in one file, with the layers of those whose experiment's figure or claims look at one.

    Of experiments that were not asked for again they are taken from where they were, the archive that is replaced if it was that.
    """
    origins = {part["experiment"]: output / _from(report, part) for part in report["experiments"]}
    folders, pictured = dict[str, RunFolder](), list[str]()
    with contextlib.ExitStack() as stack:
        there = {place: stack.enter_context(_unpacked(place)) for place in dict.fromkeys(origins.values())}
        for name, place in sorted(origins.items(), key=lambda pair: pair[1].name == archives.NAME):
            found = [run for _, run in stored_of(settings_of(name, report["scale"]), there[place])]
            folders = {run.id: run.folder for run in found} | folders
            pictured += [run.id for run in found if _looks_inside(name)]
        archives.pack(folders.values(), pictured, output / archives.NAME)


def _looks_inside(name: str) -> bool:
    call = registry.parse_call(registry.look_up("experiment", name).facts["figure"])
    return registry.look_up("figure", call.name).facts["takes"] in ("elements", "cells")
