"""A replication's report as one HTML page that needs nothing beside it: figures are inline, there is no script and no network."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from groklab.claims.rules import told_settled
from groklab.replication import words
from groklab.replication.evidence import thresholds_of

_STYLE = """
:root { color-scheme: light dark; --ink: #1d1d1f; --quiet: #63636b; --ground: #ffffff; --card: #f6f6f8; --line: #dedee3;
  --yes: #0072b2; --no: #b3400f; --open: #6b6b73; --wash-yes: #e3f0f9; --wash-no: #fbe8df; --wash-open: #ededf0; }
@media (prefers-color-scheme: dark) { :root { --ink: #e9e9ee; --quiet: #a0a0aa; --ground: #141416; --card: #1d1d21; --line: #34343b;
  --yes: #6bbcf0; --no: #f2a27c; --open: #b4b4be; --wash-yes: #14303f; --wash-no: #40251a; --wash-open: #2b2b31; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 62rem; padding: 2.5rem 1.25rem 5rem; background: var(--ground); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; }
h1 { font-size: 1.7rem; margin: 0 0 .4rem; letter-spacing: -.01em; } h2 { font-size: 1.25rem; margin: 3rem 0 .8rem; }
h3 { font-size: 1.02rem; margin: 0 0 .5rem; line-height: 1.4; } p { margin: .5rem 0; } .quiet { color: var(--quiet); font-size: .9rem; }
.lead { font-size: 1.1rem; } .tally { display: flex; flex-wrap: wrap; gap: .6rem; margin: 1.2rem 0 0; padding: 0; list-style: none; }
.tally li { padding: .5rem .9rem; border-radius: .5rem; font-weight: 600; } .tally b { font-size: 1.35rem; margin-right: .35rem; }
.claim { display: grid; grid-template-columns: 3.2rem minmax(0, 1fr) 9.5rem; gap: .2rem 1rem; padding: .9rem 0; border-top: 1px solid var(--line); }
.claim .id { font-weight: 650; } .claim .verdict { justify-self: end; align-self: start; white-space: nowrap; padding: .12rem .6rem;
  border-radius: 1rem; font-size: .85rem; font-weight: 600; } .claim .body { grid-column: 2; } .claim .more { grid-column: 2 / 4; }
.reproduced { color: var(--yes); background: var(--wash-yes); } .not-reproduced { color: var(--no); background: var(--wash-no); }
.undecided { color: var(--open); background: var(--wash-open); }
dl { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: .1rem .8rem; margin: .4rem 0 0; font-size: .9rem; }
dt { color: var(--quiet); } dd { margin: 0; } details { margin-top: .35rem; font-size: .9rem; } summary { cursor: pointer; color: var(--quiet); }
details ul { margin: .3rem 0; padding-left: 1.2rem; } code { font: .86em ui-monospace, "DejaVu Sans Mono", monospace; background: var(--card); padding: .1em .35em;
  border-radius: .25rem; overflow-wrap: anywhere; } figure { margin: 1.2rem 0 2.4rem; padding: 1.2rem; background: var(--card); border-radius: .7rem; }
figure img { display: block; max-width: 100%; height: auto; margin: .8rem auto; background: #fff; border-radius: .4rem; padding: .4rem; }
.wide { overflow-x: auto; } table { border-collapse: collapse; } th, td { padding: .15rem .7rem .15rem 0; text-align: left; white-space: nowrap; }
@media (max-width: 40rem) { .claim { grid-template-columns: 2.6rem minmax(0, 1fr); } .claim .verdict { grid-column: 2; justify-self: start; }
  .claim .body, .claim .more { grid-column: 1 / -1; } dl { grid-template-columns: minmax(0, 1fr); } dd { margin-bottom: .3rem; } figure { padding: .8rem; } }
"""


def page_of(found: Mapping[str, Any], output: Path) -> str:
    """The page of a report whose figures lie in ``output``."""
    body = [
        f"<h1>Grokking, replicated <span class='quiet'>scale {escape(found['scale'])}</span></h1>",
        f"<p class='lead'>{escape(found['summary'])}</p>",
        _tally(found),
        f"<p class='quiet'>A claim is decided by a rule that was written {words.WHEN}. <em>Undecided</em> means that these runs are too few "
        f"or too short, and says what deciding would cost. groklab {escape(found['groklab'])}, {escape(found['date'])}.</p>",
    ]
    for title, claims in words.scorecards(found["claims"]):
        body.append(f"<h2>{escape(title)}</h2>")
        if title == "Reported, not re-read":
            body.append("<p class='quiet'>The paper's appendix is told here from memory; these are not in the summary line.</p>")
        body += [_claim(claim) for claim in claims]
    if found.get("withdrawn"):
        entries = "".join(f"<li><b>{escape(entry['id'])}</b> {escape(words.told_withdrawal(entry))}</li>" for entry in found["withdrawn"])
        body.append(f"<h2>Withdrawn</h2><p class='quiet'>{words.WITHDRAWN}</p><ul id='withdrawn'>{entries}</ul>")
    body.append("<h2>Figures</h2>")
    body += [_figure(part, output, found["scale"]) for part in found["experiments"]]
    body.append("<h2>Versions</h2><ul class='quiet'>" + "".join(f"<li>{escape(line)}</li>" for line in found["versions"]) + "</ul>")
    return (
        "<!doctype html>\n<html lang='en'>\n<head>\n<meta charset='utf-8'>\n<meta name='viewport' content='width=device-width, initial-scale=1'>\n"
        f"<title>Grokking, replicated: {escape(found['scale'])}</title>\n<link rel='icon' href='data:,'>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(body)
        + "\n</body>\n</html>\n"
    )


def _tally(found: Mapping[str, Any]) -> str:
    blocks = words.scorecards(found["claims"])
    counted = blocks[0][1] if blocks and blocks[0][0] == "Scorecard" else []
    verdicts = ("reproduced", "not reproduced", "undecided")
    items = [
        f"<li class='{_class(verdict)}'><b>{sum(claim['verdict'] == verdict for claim in counted)}</b>{verdict}</li>"
        for verdict in verdicts
    ]
    return f"<ul class='tally'>{''.join(items)}</ul>" if counted else ""


def _class(verdict: str) -> str:
    return verdict.replace(" ", "-")


def _claim(claim: Mapping[str, Any]) -> str:
    facts = [("paper", claim["paper"]), ("measured", _measured(claim))]
    facts.append(("because", claim["reason"]))
    if told_settled(claim.get("settled")):
        facts.append(("budget", told_settled(claim.get("settled"))))
    if claim["price"]:
        facts.append(("to decide", claim["price"]))
    facts += [("note", note) for note in claim.get("notes", ())]
    rows = "".join(f"<dt>{name}</dt><dd>{escape(value)}</dd>" for name, value in facts)
    details = "".join(f"<li>{escape(line)}</li>" for line in claim["details"])
    amended = f"<p>Amended {escape(claim['amended'])}.</p>" if claim.get("amended") else ""
    rule = f"<p>{escape(claim['rule'])}</p>{amended}" + (f"<ul>{details}</ul>" if details else "")
    rests = f"{claim['runs']:,} runs" if claim["experiment"] else "arithmetic"
    return (
        f"<article class='claim' id='{escape(claim['id'])}'><span class='id'>{escape(claim['id'])}</span>"
        f"<div>{escape(claim['sentence'])} <span class='quiet'>{escape(words.place_of(claim))}</span></div>"
        f"<span class='verdict {_class(claim['verdict'])}'>{escape(claim['verdict'])}</span>"
        f"<div class='more'><dl>{rows}</dl><details><summary>rule and numbers ({rests})</summary>{rule}</details></div></article>"
    )


def _measured(claim: Mapping[str, Any]) -> str:
    return words.told_value(claim) + (f" — {claim['quantity']}" if claim["quantity"] and claim["value"] is not None else "")


def _figure(part: Mapping[str, Any], output: Path, scale: str) -> str:
    file = next((file for file in part["files"] if file.endswith(".png")), None)
    if file is None:
        picture = f"<p class='quiet'>No figure: {escape(part.get('message', ''))}</p>"
    else:
        content = base64.b64encode((output / file).read_bytes()).decode()
        picture = f"<img alt='{escape(part['title'], quote=True)}' width='{_width(output / file)}' src='data:image/png;base64,{content}'>"
    notes = "".join(f"<p>{escape(note)}</p>" for note in words.notes_of(part))
    return (
        f"<figure id='{escape(part['experiment'])}'><h3>{escape(part['title'])}</h3><p>{escape(part['about'])}</p>{picture}"
        f"<figcaption class='quiet'><p>{escape(words.facts_of(part))}</p>{notes}{_spread(part, scale)}<p><code>{escape(part['command'])}</code></p></figcaption></figure>"
    )


def _spread(part: Mapping[str, Any], scale: str) -> str:
    rows = words.spread_of(part, thresholds_of(part["experiment"], scale))
    if not rows:
        return ""
    cells = [(kind, row) for kind, row in zip(["th", *["td"] * (len(rows) - 1)], rows, strict=True)]
    table = "".join("<tr>" + "".join(f"<{kind}>{escape(cell)}</{kind}>" for cell in row) + "</tr>" for kind, row in cells)
    return f"<details><summary>{words.SPREAD}</summary><div class='wide'><table>{table}</table></div></details>"


def _width(path: Path) -> int:
    """Width in CSS pixels: figures have 200 dots an inch, a page 96; the size at which they are read, a little enlarged."""
    header = path.read_bytes()[16:20]
    return round(int.from_bytes(header, "big") / 200 * 96 * 1.25)
