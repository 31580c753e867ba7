"""What a replication found, as one JSON object, one Markdown page (`markdown.py`) and one self-contained HTML page (`page.py`).

The same results give the same three files, byte for byte except the date.
"""

from __future__ import annotations

import datetime
import inspect
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from groklab import registry
from groklab.claims.amendments import told_amendment
from groklab.claims.expectations import can_decide
from groklab.claims.rules import VERDICTS, Judgment, judge, ordered
from groklab.claims.withdrawals import withdrawn_of
from groklab.config.experiments import SCALES, Settings, once_each, price, settings_of
from groklab.config.run import Run
from groklab.replication.evidence import is_finished, stored_of
from groklab.replication.markdown import markdown_of
from groklab.replication.page import page_of
from groklab.replication.words import hours, many
from groklab.results.files import make_folder, write_whole
from groklab.version import __version__

if TYPE_CHECKING:
    import polars

SECONDS_A_STEP = 0.013
"""Of one core for the paper's network at its usual batch, as docs/performance.md measured it: what prices are told in where no run is stored."""

Report = dict[str, Any]
"""What stands in a report.json."""


def report_of(
    settings: Mapping[str, Settings],
    tables: Mapping[str, polars.DataFrame],
    parts: Sequence[Mapping[str, Any]],
    *,
    runs: Path,
    scale: str,
    origin: str,
    earlier: Mapping[str, Any] | None = None,
) -> Report:
    """The report of some experiments: the scorecard first, then each experiment with what it cost.

    ``tables`` are their results, ``parts`` what was written of each, ``origin`` where the runs are, as seen from the report. What ``earlier``,
    a report of the same scale, says of other experiments is kept.
    """

    notes = {part["experiment"]: part.get("notes", []) for part in parts}
    claims = [_claim(entry, settings, tables, runs, scale, notes) for entry in claims_about(list(settings))]
    told = [
        _experiment(part, settings[part["experiment"]], runs, scale)
        | {"origin": origin, "versions": _versions(settings[part["experiment"]], runs)}
        for part in parts
    ]
    claims, told = _with_earlier(claims, told, earlier or {})
    counted = [claim for claim in claims if not claim["apart"] and claim["source"] == "Power et al. 2022"]
    return {
        "scale": scale,
        "date": datetime.date.today().isoformat(),
        "groklab": __version__,
        "runs": origin,
        "summary": summary_of(counted, scale),
        "claims": claims,
        "withdrawn": withdrawn_of(claims, earlier or {}),
        "experiments": told,
        "versions": sorted({version for part in told for version in part["versions"]}),
    }


def _with_earlier(claims: list[Report], parts: list[Report], earlier: Mapping[str, Any]) -> tuple[list[Report], list[Report]]:
    """Claims and experiments with those of an earlier report that are about other experiments, in the order of reports."""
    names = {part["experiment"] for part in parts}
    others = registry.entries("experiment").keys() - names
    kept = [part for part in earlier.get("experiments", ()) if part["experiment"] in others]
    usual = {"origin": earlier.get("runs"), "versions": earlier.get("versions", [])}  # of reports that did not say it of each experiment
    parts = sorted([*parts, *(usual | part for part in kept)], key=_place_in_report)
    order = [entry.facts["id"] for entry in ordered(list(registry.entries("claim").values()))]
    about = {part["experiment"] for part in kept}
    claims = [*claims, *(claim for claim in earlier.get("claims", ()) if claim["experiment"] in about and claim["id"] in order)]
    return sorted(claims, key=lambda claim: order.index(claim["id"])), parts


def claims_about(names: Sequence[str]) -> list[registry.Entry]:
    """The claims that these experiments decide, those of arithmetic with them, in the order of their numbers."""
    every = registry.entries("claim").values()
    return ordered([entry for entry in every if entry.facts["experiment"] is None or entry.facts["experiment"] in names])


def runs_for(entry: registry.Entry, settings: Settings) -> list[Run]:
    """The runs of an experiment that a claim rests on."""
    return [run for members in settings.values() for run in members if entry.facts["runs"](run)]


def summary_of(claims: Sequence[Mapping[str, Any]], scale: str) -> str:
    """The scorecard in one line."""
    counts = {verdict: sum(claim["verdict"] == verdict for claim in claims) for verdict in VERDICTS}
    told = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    return f"Of {len(claims)} claims of Power et al. 2022, at the scale {scale}: {told}."


def _claim(
    entry: registry.Entry,
    settings: Mapping[str, Settings],
    tables: Mapping[str, polars.DataFrame],
    runs: Path,
    scale: str,
    notes: Mapping[str, Sequence[str]],
) -> Report:
    facts, name = entry.facts, entry.facts["experiment"]
    found: Judgment = judge(entry, tables.get(name) if name else None)
    documentation = inspect.cleandoc(entry.function.__doc__ or "").split("\n\n")
    told = {
        "id": facts["id"],
        "claim": entry.name,
        "sentence": " ".join(documentation[0].split()).replace(f" ({facts['paper']}).", "."),
        "rule": " ".join(" ".join(documentation[1:]).split()).replace("``", ""),
        "amended": told_amendment(str(facts["id"])),
        "place": facts["place"],
        "source": facts["paper"],
        "apart": bool(facts.get("apart")),
        "paper": facts["published"],
        "experiment": name,
        **found.to_dict(),
        "price": None,
        "notes": list(notes.get(name, ())),
    }
    if found.verdict == "undecided" and name is not None:
        told["price"] = _price(entry, settings[name], runs, scale)
    return told


def _price(entry: registry.Entry, settings: Settings, runs: Path, scale: str) -> str:
    """What it would take to decide: the runs that are missing at the smallest scale whose runs can, from this one on."""

    name = str(entry.facts["experiment"])
    for larger in SCALES[SCALES.index(scale) :]:  # pyright: ignore[reportArgumentType]
        if not can_decide(entry, larger):
            continue
        every = settings if larger == scale else settings_of(name, larger)
        asked = once_each(runs_for(entry, every))
        there = {found.id for _, found in stored_of({"": list(asked)}, runs) if is_finished(found)}
        missing = [run for run in asked if run.id not in there]
        if missing:
            needed = sum(map(price, missing)) * _seconds_a_step(every, runs) / 3600
            return f"{many(len(missing), 'run')}, at most {hours(needed)} of one core: groklab replicate {name} --scale {larger}"
    return "more seeds or steps than any scale asks for"


def _seconds_a_step(settings: Settings, runs: Path) -> float:
    """Of one core for a step of the usual batch: as the stored runs of an experiment took them, or else as it was measured once."""
    seconds = steps = 0.0
    for found in {found.id: found for _, found in stored_of(settings, runs)}.values():
        last = found.rows[-1] if found.rows else {}
        if last.get("wall_time") and last["step"]:
            seconds += float(last["wall_time"])
            steps += price(found.run) * int(last["step"]) / found.run.budget.steps
    return seconds / steps if steps else SECONDS_A_STEP


def _experiment(part: Mapping[str, Any], settings: Settings, runs: Path, scale: str) -> Report:
    entry = registry.look_up("experiment", part["experiment"])
    documentation = inspect.cleandoc(entry.function.__doc__ or "").split("\n\n")
    stored = {found.id: found for _, found in stored_of(settings, runs)}
    last = [found.rows[-1] for found in stored.values() if found.rows]
    seconds = sum(float(row.get("wall_time") or 0.0) for row in last)
    summaries = [found.summary for found in stored.values()]
    return {
        **part,
        "title": " ".join(documentation[0].split()),
        "about": _about(documentation[1:]),
        "source": entry.facts["source"],
        "command": f"groklab replicate {entry.name} --scale {scale}",
        "seeds": len({found.run.seeds.seed for found in stored.values()}),
        "steps": sum(int(row["step"]) for row in last),
        "core_hours": round(seconds / 3600, 3),
        "generalized": sum(found.generalized_at is not None for found in summaries),
        "censored": sum(found.generalized_at is None for found in summaries),
    }


def _place_in_report(part: Mapping[str, Any]) -> tuple[int, str]:
    """The paper's numbered figures first, then what is asked about it, then later work."""
    source = str(registry.look_up("experiment", part["experiment"]).facts["source"])
    return (0 if source.startswith("Power et al. 2022, Figure") else 1 if "Power et al. 2022" in source else 2, part["experiment"])


def _about(paragraphs: Sequence[str]) -> str:
    """What an experiment's docstring says besides its title, without the command and the cost, which are told apart."""
    text = " ".join(" ".join(paragraphs).split())
    text = text.partition("Cost:")[0].strip()
    if text.startswith("``groklab replicate"):
        text = text.partition(".")[2].strip()
    return text.replace("``", "")


def _versions(settings: Settings, runs: Path) -> list[str]:
    """Versions and processors that the runs were trained with, as their segments say."""
    segments = [segment for _, found in stored_of(settings, runs) for segment in found.folder.description()["segments"]]
    return sorted({", ".join(f"{name} {segment[name]}" for name in _TOLD if segment.get(name)) for segment in segments})


_TOLD = ("groklab", "torch", "python", "path", "device")


def write_report(found: Mapping[str, Any], output: Path) -> None:
    """The three files of a report."""
    files = {
        "report.json": json.dumps(found, indent=1, ensure_ascii=False, allow_nan=False) + "\n",
        "report.md": markdown_of(found),
        "report.html": page_of(found, output),
    }
    make_folder(output)
    for name, text in files.items():
        write_whole(output / name, text.encode())
