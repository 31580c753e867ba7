"""The scorecard of a replication: the claims of a paper, each with its verdict, as a report.json tells them.

Reports are looked for in the results folder, as report.json, and in ./replication/*/. They are read as they come: what is missing is
left blank, what is no report is passed over.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from groklab.dashboard.access import check_file
from groklab.dashboard.catalog import Catalog
from groklab.dashboard.controls import Piece, html
from groklab.outside.files import parsed_json, read_regular
from groklab.results.files import REPORT_LIMIT, StoreError

_LARGEST = 8_000_000
"""Bytes of a report that is read."""
_DEEPEST = 40


def _files(catalog: Catalog) -> Iterator[tuple[Path, str, int]]:
    """Reports that are there, with their names for people and when they were written, in nanoseconds; no link leads to another place."""
    here = Path.cwd() / "replication"
    for root, pattern, name in ((catalog.root, "report.json", ""), (here.resolve(), "*/report.json", "replication/")):
        for path in sorted(root.glob(pattern)):
            try:
                found = check_file(root, path)
                check_file(root, path.parent)
            except (StoreError, OSError):
                continue
            if found is not None and found.st_size <= _LARGEST:
                yield path, f"{name}{path.relative_to(root)}", found.st_mtime_ns


def scorecard_stamp(catalog: Catalog) -> str:
    """Changes when a report does."""
    return " ".join(f"{path} {changed}" for path, _, changed in _files(catalog))


def scorecards(catalog: Catalog) -> list[dict[str, Any]]:
    """Every report: its file and its claims."""
    found: list[dict[str, Any]] = []
    for path, name, _ in _files(catalog):
        try:
            content: Any = parsed_json(read_regular(path, REPORT_LIMIT))
            json.dumps(content, ensure_ascii=False).encode()  # half a character is no text that a page can hold
        except (OSError, ValueError, RecursionError):
            continue
        if not _is_shallow(content):
            continue
        listed: Any = content.get("claims") if isinstance(content, dict) else None  # pyright: ignore[reportUnknownMemberType]
        claims: list[dict[str, Any]] = [dict(claim) for claim in listed if isinstance(claim, dict)] if isinstance(listed, list) else []  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
        if claims:
            summary: Any = content.get("summary")
            found.append(
                {"file": name, "scale": content.get("scale"), "summary": summary if isinstance(summary, str) else None, "claims": claims}
            )
    return found


def _is_shallow(value: Any, depth: int = 0) -> bool:
    """Whether lists and dictionaries are in each other a few times at most, as in a report: others would end Python's own stack."""
    parts: Iterable[Any] = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return depth < _DEEPEST and all(_is_shallow(part, depth + 1) for part in parts)


def scorecard(catalog: Catalog) -> Piece:
    """The claims as tables, one for each report; nothing where there is none."""
    return [_table(report) for report in scorecards(catalog)]


def _table(report: dict[str, Any]) -> Piece:
    head = html.Tr([html.Th(name, scope="col") for name in ("claim", "what the paper says", "verdict", "measured", "published")])
    rows = [
        html.Tr(
            [
                html.Th(_text(claim.get("id")), scope="row"),
                html.Td(
                    [
                        _text(claim.get("sentence") or claim.get("claim")),
                        html.Br() if claim.get("reason") else None,
                        html.Span(_text(claim.get("reason")), className="quiet small"),
                    ]
                ),
                html.Td([_verdict(claim.get("verdict")), html.Br(), html.Span(_settled(claim.get("settled")), className="quiet small")]),
                html.Td([_text(claim.get("value")), html.Br(), html.Span(_interval(claim.get("interval")), className="quiet small")]),
                html.Td(_text(claim.get("paper"))),
            ]
        )
        for claim in report["claims"]
    ]
    told = report["summary"] or f"{len(report['claims'])} claims"
    body = html.Div(html.Table([html.Thead(head), html.Tbody(rows)], className="claims"), className="wide-table", tabIndex="0")
    return html.Section(
        [html.H2("Scorecard of the replication"), html.P([told, " ", html.Code(report["file"])], className="quiet"), body],
        className="scorecard",
    )


_SIGNS = {"reproduced": "✓", "not reproduced": "✗", "undecided": "?"}


def _verdict(verdict: Any) -> Piece:
    text = _text(verdict)
    return html.Span(f"{_SIGNS.get(text, '·')} {text}", className=f"verdict {text.split(' ', maxsplit=1)[0] if text in _SIGNS else ''}")


def _settled(settled: Any) -> str:
    """Whether more steps could turn it; older reports do not say."""
    return "settled" if settled is True else "not settled: more steps could turn it" if settled is False else ""


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (int, float)):
        try:
            return f"{value:,.4g}"
        except OverflowError:
            return "∞" if value > 0 else "−∞"  # a whole number that is larger than any float
    if isinstance(value, dict):
        return ", ".join(f"{name} {_text(part)}" for name, part in value.items())  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, (list, tuple)):
        return ", ".join(_text(part) for part in value)  # pyright: ignore[reportUnknownVariableType]
    return str(value)


def _interval(interval: Any) -> str:
    if isinstance(interval, (list, tuple)) and len(interval) >= 2:  # pyright: ignore[reportUnknownArgumentType]
        low, high = ("…" if end is None else _text(end) for end in interval[:2])  # pyright: ignore[reportUnknownVariableType]
        return f"{low} to {high}"
    return _text(interval)
