"""A replication's report as one HTML page that needs nothing beside it: figures are inline, there is no script and no network."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from functools import partial
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from groklab.claims.rules import told_settled
from groklab.replication import words
from groklab.replication.evidence import thresholds_of

_VERDICTS = ("reproduced", "not reproduced", "undecided")


class Picture(NamedTuple):
    """A figure as a page has it."""

    content: str
    """The PNG file in base 64."""
    width: int
    """In CSS pixels."""


def page_of(found: Mapping[str, Any], output: Path) -> str:
    """The page of a report whose figures lie in ``output``."""
    blocks = words.scorecards(found["claims"])
    first = blocks[0][1] if blocks and blocks[0][0] == "Scorecard" else []
    counted = [(verdict, sum(claim["verdict"] == verdict for claim in first)) for verdict in _VERDICTS] if first else []
    template = _environment().from_string((Path(__file__).parent / "page.html").read_text(encoding="utf-8"))
    return template.render(
        found=found,
        words=words,
        scorecards=blocks,
        counted=counted,
        facts=_facts,
        rests=_rests,
        picture_of=partial(_picture_of, output=output),
        spread_of=partial(_spread_of, scale=found["scale"]),
    )


def _environment() -> Environment:
    """Whatever stands between double braces is escaped, as ``html.escape`` does it, so that a page stays the same to the byte."""

    def escaped(value: Any) -> Markup:
        return value if isinstance(value, Markup) else Markup(escape(str(value)))

    return Environment(autoescape=True, finalize=escaped, undefined=StrictUndefined, keep_trailing_newline=True)


def _facts(claim: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What a claim's entry says, line by line."""
    facts = [("paper", claim["paper"]), ("measured", _measured(claim)), ("because", claim["reason"])]
    if settled := told_settled(claim.get("settled")):
        facts.append(("budget", settled))
    if claim["price"]:
        facts.append(("to decide", claim["price"]))
    return facts + [("note", note) for note in claim.get("notes", ())]


def _rests(claim: Mapping[str, Any]) -> str:
    return f"{claim['runs']:,} runs" if claim["experiment"] else "arithmetic"


def _measured(claim: Mapping[str, Any]) -> str:
    return words.told_value(claim) + (f" — {claim['quantity']}" if claim["quantity"] and claim["value"] is not None else "")


def _spread_of(part: Mapping[str, Any], scale: str) -> list[list[str]]:
    return words.spread_of(part, thresholds_of(part["experiment"], scale))


def _picture_of(part: Mapping[str, Any], output: Path) -> Picture | None:
    """The figure of an experiment; None where it has none.

    Figures have 200 dots an inch, a page 96: the width is the size at which they are read, a little enlarged.
    """
    file = next((file for file in part["files"] if file.endswith(".png")), None)
    if file is None:
        return None
    content = (output / file).read_bytes()
    return Picture(base64.b64encode(content).decode(), round(int.from_bytes(content[16:20], "big") / 200 * 96 * 1.25))
