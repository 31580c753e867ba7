"""How a replication's report words what it says: the same in Markdown and on the page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from groklab.text.numbers import GROKKED, percent

WHEN = "before any run was judged, seed 0 of some being known by then, and those marked as amended were made stricter afterwards"
"""When the rules were written."""

SPREAD = "steps by setting: median, quickest and slowest run, and how many did not get there"

WITHDRAWN = "Verdicts that an earlier report gave and that no longer stand."


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
        f"{part['stored']:,} of {part['runs']:,} runs complete, {many(part['seeds'], 'seed')}, {part['steps']:,} updates, {part['core_hours']:.2f} core hours; "
        f"{part['generalized']:,} generalized, {part['censored']:,} censored."
    )


def hours(number: float) -> str:
    """Hours of a core, or minutes where it is less than one."""
    if number >= 1:
        return f"{number:,.0f} hours" if number >= 10 else f"{number:.1f} hours"
    return many(max(1, round(60 * number)), "minute")


def many(number: int, noun: str) -> str:
    """A number with its noun."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
