"""A replication's report as Markdown."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from groklab.claims.rules import told_settled
from groklab.replication import words
from groklab.replication.evidence import thresholds_of


def markdown_of(found: Mapping[str, Any]) -> str:
    """The report as Markdown; its figures are the files beside it. What names and messages hold of HTML is text."""
    found = without_html(found)
    lines = [f"# Replication, scale {found['scale']}", "", found["summary"], "", f"groklab {found['groklab']}, {found['date']}.", ""]
    for title, claims in words.scorecards(found["claims"]):
        lines += [f"## {title}", "", "| | claim | paper | measured | verdict |", "|---|---|---|---|---|"]
        for claim in claims:
            row = (
                claim["id"],
                f"{claim['sentence']} *{words.place_of(claim)}*",
                claim["paper"],
                words.told_value(claim),
                f"**{claim['verdict']}**: {claim['reason']}" + (f" ({settled})" if (settled := told_settled(claim.get("settled"))) else ""),
            )
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |")
        lines.append("")
        for claim in claims:
            lines += [f"- {claim['id']}: to decide, {claim['price']}"] if claim["price"] else []
            lines += [f"- {claim['id']}: {note}" for note in claim.get("notes", ())]
        lines.append("")
    if found.get("withdrawn"):
        lines += ["## Withdrawn", "", words.WITHDRAWN, ""]
        lines += [f"- **{entry['id']}** {words.told_withdrawal(entry)}" for entry in found["withdrawn"]]
        lines.append("")
    lines += ["## Figures", ""]
    for part in found["experiments"]:
        lines += [f"### {part['title']}", "", part["about"], ""]
        picture = next((file for file in part["files"] if file.endswith(".png")), None)
        lines += [f"![{part['experiment']}]({picture})" if picture else f"No figure: {part.get('message', '')}", ""]
        lines += [
            words.facts_of(part),
            "",
            *(line for note in words.notes_of(part) for line in (note, "")),
            *_spread(part, found["scale"]),
            f"`{part['command']}`",
            "",
        ]
    lines += ["## Rules", "", f"Written {words.WHEN}.", ""]
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
    head, *rows = words.spread_of(part, thresholds_of(part["experiment"], scale)) or [()]
    if not rows:
        return []
    table = ["| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *rows)]
    return ["<details>", f"<summary>{words.SPREAD}</summary>", "", *table, "", "</details>", ""]
