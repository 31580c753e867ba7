"""What a replication found, as one JSON object, one Markdown page and one self-contained HTML page (`page.py`).

The same results give the same three files, byte for byte except the date.
"""

from __future__ import annotations

import datetime
import inspect
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from groklab import registry
from groklab.claims.amendments import told_amendment
from groklab.claims.expectations import can_decide
from groklab.claims.rules import VERDICTS, Judgment, judge, ordered, told_settled
from groklab.claims.withdrawals import withdrawn_of
from groklab.config.experiments import SCALES, Settings, once_each, price, settings_of
from groklab.replication.evidence import is_finished, stored_of, thresholds_of
from groklab.results.files import make_folder, write_whole
from groklab.text.numbers import GROKKED, percent

if TYPE_CHECKING:
    import polars

SECONDS_A_STEP = 0.013
"""Of one core for the paper's network at its usual batch, as docs/performance.md measured it: what prices are told in where no run is stored."""

WHEN = "before any run was judged, seed 0 of some being known by then, and those marked as amended were made stricter afterwards"
"""When the rules were written."""

SPREAD = "steps by setting: median, quickest and slowest run, and how many did not get there"

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
    from groklab import __version__
    from groklab.replication.replication import claims_about

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
    from groklab.replication.replication import runs_for

    name = str(entry.facts["experiment"])
    for larger in SCALES[SCALES.index(scale) :]:  # pyright: ignore[reportArgumentType]
        if not can_decide(entry, larger):
            continue
        every = settings if larger == scale else settings_of(name, larger)
        asked = once_each(runs_for(entry, every))
        there = {found.id for _, found in stored_of({"": list(asked)}, runs) if is_finished(found)}
        missing = [run for run in asked if run.id not in there]
        if missing:
            hours = sum(map(price, missing)) * _seconds_a_step(every, runs) / 3600
            return f"{_many(len(missing), 'run')}, at most {_hours(hours)} of one core: groklab replicate {name} --scale {larger}"
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


def _hours(hours: float) -> str:
    if hours >= 1:
        return f"{hours:,.0f} hours" if hours >= 10 else f"{hours:.1f} hours"
    return _many(max(1, round(60 * hours)), "minute")


def _many(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


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
    from groklab.replication.page import page_of

    files = {
        "report.json": json.dumps(found, indent=1, ensure_ascii=False, allow_nan=False) + "\n",
        "report.md": markdown_of(found),
        "report.html": page_of(found, output),
    }
    make_folder(output)
    for name, text in files.items():
        write_whole(output / name, text.encode())


# — words —


def told_value(claim: Mapping[str, Any]) -> str:
    """The measured value of a claim with its interval, short."""
    if claim["value"] is None:
        return "not measured"
    told = number(claim["value"])
    if claim["interval"] and any(end is not None for end in claim["interval"]):
        low, high = (("…" if end is None else number(end)) for end in claim["interval"])
        told += f" [{low}, {high}]"
    return told


def number(value: float) -> str:
    """A number with three digits, whole ones in full.

    >>> number(4365.0), number(0.0213), number(1.7e-6)
    ('4,365', '0.0213', '1.7e-06')
    """
    if float(value).is_integer() and abs(value) < 1e9:
        return f"{value:,.0f}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def markdown_of(found: Mapping[str, Any]) -> str:
    """The report as Markdown; its figures are the files beside it. What names and messages hold of HTML is text."""
    found = without_html(found)
    lines = [f"# Replication, scale {found['scale']}", "", found["summary"], "", f"groklab {found['groklab']}, {found['date']}.", ""]
    for title, claims in scorecards(found["claims"]):
        lines += [f"## {title}", "", "| | claim | paper | measured | verdict |", "|---|---|---|---|---|"]
        for claim in claims:
            row = (
                claim["id"],
                f"{claim['sentence']} *{place_of(claim)}*",
                claim["paper"],
                told_value(claim),
                f"**{claim['verdict']}**: {claim['reason']}" + (f" ({settled})" if (settled := told_settled(claim.get("settled"))) else ""),
            )
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |")
        lines.append("")
        for claim in claims:
            lines += [f"- {claim['id']}: to decide, {claim['price']}"] if claim["price"] else []
            lines += [f"- {claim['id']}: {note}" for note in claim.get("notes", ())]
        lines.append("")
    if found.get("withdrawn"):
        lines += ["## Withdrawn", "", WITHDRAWN, ""]
        lines += [f"- **{entry['id']}** {told_withdrawal(entry)}" for entry in found["withdrawn"]]
        lines.append("")
    lines += ["## Figures", ""]
    for part in found["experiments"]:
        lines += [f"### {part['title']}", "", part["about"], ""]
        picture = next((file for file in part["files"] if file.endswith(".png")), None)
        lines += [f"![{part['experiment']}]({picture})" if picture else f"No figure: {part.get('message', '')}", ""]
        lines += [
            facts_of(part),
            "",
            *(line for note in notes_of(part) for line in (note, "")),
            *_spread(part, found["scale"]),
            f"`{part['command']}`",
            "",
        ]
    lines += ["## Rules", "", f"Written {WHEN}.", ""]
    lines += [
        f"- **{claim['id']}** {claim['rule']}" + (f" *Amended {claim['amended']}.*" if claim.get("amended") else "")
        for claim in found["claims"]
    ]
    lines += ["", "## Versions", "", *(f"- {version}" for version in found["versions"]), ""]
    return "\n".join(lines)


def without_html(value: Any) -> Any:
    """The same with tags in its texts written so that Markdown shows them, on one line each; ``p < 0.01`` stays as it is.

    >>> without_html({"a": ["<b>x</b>", "p < 0.01"]})
    {'a': ['\\\\<b>x\\\\</b>', 'p < 0.01']}
    """
    if isinstance(value, str):
        return _TAG.sub(r"\\<", value).replace("\n", " ")
    if isinstance(value, Mapping):
        parts: Mapping[Any, Any] = value
        return {name: without_html(part) for name, part in parts.items()}
    if isinstance(value, (list, tuple)):
        items: Sequence[Any] = value
        return [without_html(part) for part in items]
    return value


_TAG = re.compile(r"<(?=[A-Za-z/!?])")


def _spread(part: Mapping[str, Any], scale: str) -> list[str]:
    head, *rows = spread_of(part, thresholds_of(part["experiment"], scale)) or [()]
    if not rows:
        return []
    table = ["| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *rows)]
    return ["<details>", f"<summary>{SPREAD}</summary>", "", *table, "", "</details>", ""]


WITHDRAWN = "Verdicts that an earlier report gave and that no longer stand."


def told_withdrawal(entry: Mapping[str, str]) -> str:
    """What was said of a claim, when, and why it fell."""
    return f"was {entry['verdict']} on {entry['reported']} (“{entry['said']}”); withdrawn on {entry['withdrawn']}: {entry['reason']}."


def place_of(claim: Mapping[str, Any]) -> str:
    """Where a claim stands: the place in the paper, and which paper where it is another."""
    return claim["place"] if claim["source"] == "Power et al. 2022" else f"{claim['source']}, {claim['place']}"


def scorecards(claims: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[Mapping[str, Any]]]]:
    """Claims in blocks: those of the paper, those of its appendix apart, those of later work; empty blocks are left out."""
    own = [claim for claim in claims if claim["source"] == "Power et al. 2022"]
    blocks = [
        ("Scorecard", [claim for claim in own if not claim["apart"]]),
        ("Reported, not re-read", [claim for claim in own if claim["apart"]]),
        ("Later work", [claim for claim in claims if claim["source"] != "Power et al. 2022"]),
    ]
    return [(title, block) for title, block in blocks if block]


def spread_of(part: Mapping[str, Any], thresholds: Mapping[str, Iterable[float]] | None = None) -> list[list[str]]:
    """A row for every setting and place on the axis of an experiment, under a heading: runs, and of steps median, quickest and slowest.

    ``thresholds`` of the runs of each setting: accuracies are rounded so that it shows on which side of them they lie.
    """
    settings = part["settings"]
    if not settings:
        return []
    axis = next(name for name in settings[0] if name != "setting")
    rows = [["setting", axis.replace("_", " "), "runs", "memorized", "generalized", "best validation accuracy"]]
    for row in settings:
        accuracy, low, high = (row.get(f"best_validation_accuracy{end}") for end in ("", "_min", "_max"))
        shares = [percent(share, threshold=(thresholds or {}).get(row["setting"], GROKKED)) for share in (accuracy, low, high)]
        told = "" if accuracy is None else f"{shares[0]} ({shares[1]} to {shares[2]})"
        place = row[axis]
        steps = [_steps(row, quantity) for quantity in ("memorized_at", "generalized_at")]
        rows.append([row["setting"], number(place) if isinstance(place, (int, float)) else str(place), str(row["runs"]), *steps, told])
    return rows


def _steps(row: Mapping[str, Any], quantity: str) -> str:
    """A median, where it is known, with the quickest and the slowest, and how many did not."""
    reached, censored = (int(row[f"{quantity}_{name}"]) for name in ("reached", "censored"))
    if not reached:
        return "none" if censored else ""
    low, median, high = (row[f"{quantity}_{name}"] for name in ("min", "median", "max"))
    known = "" if median is None else f"{median:,} "
    return f"{known}({low:,} to {'…' if high is None else f'{high:,}'})" + (f", {censored} not" if censored else "")


def notes_of(part: Mapping[str, Any]) -> list[str]:
    """What the reader of an experiment's figure has to know: what could not be measured, and what is not drawn."""
    return [*part.get("notes", ()), *part.get("not_drawn", ())]


def facts_of(part: Mapping[str, Any]) -> str:
    """In a line: runs, seeds, censoring, cost."""
    return (
        f"{part['stored']:,} of {part['runs']:,} runs complete, {_many(part['seeds'], 'seed')}, {part['steps']:,} updates, {part['core_hours']:.2f} core hours; "
        f"{part['generalized']:,} generalized, {part['censored']:,} censored."
    )
