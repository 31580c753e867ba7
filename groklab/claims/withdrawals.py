"""Verdicts that an earlier report gave and that no longer stand: what was said, and why it fell.

They are kept in the report itself. Whenever a report is made again in its folder, a claim that was reproduced or not reproduced and now has another
verdict is entered; an entry goes when the claim has that verdict once more.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Any

from groklab.claims.amendments import AMENDMENTS

DECIDED = ("reproduced", "not reproduced")

_FIELDS = ("id", "sentence", "verdict", "said", "reported", "withdrawn", "reason")


def withdrawn_of(claims: Sequence[Mapping[str, Any]], earlier: Mapping[str, Any]) -> list[dict[str, str]]:
    """The withdrawn verdicts of a report: those of an earlier one of the same folder that fall now, and those that had fallen by then.

    ``claims`` are those of the new report, in their order.
    """
    before = {claim["id"]: claim for claim in _dictionaries(earlier.get("claims")) if "id" in claim}
    entries = {
        entry["id"]: {name: str(entry[name]) for name in _FIELDS}
        for entry in _dictionaries(earlier.get("withdrawn"))
        if set(_FIELDS) <= set(entry)
    }
    for claim in claims:
        was = before.get(claim["id"])
        if was is not None and was.get("verdict") in DECIDED and was["verdict"] != claim["verdict"]:
            entries[claim["id"]] = _entry(claim, was, str(earlier.get("date", "")))
    stands = {claim["id"]: claim["verdict"] for claim in claims}
    return [entries[identity] for identity in stands if identity in entries and entries[identity]["verdict"] != stands[identity]]


def _entry(claim: Mapping[str, Any], was: Mapping[str, Any], reported: str) -> dict[str, str]:
    amendment = AMENDMENTS.get(claim["id"])
    is_new_rule = amendment is not None and was.get("rule") != claim["rule"]
    why = f"by the rule as it was, {amendment.why}" if is_new_rule and amendment is not None else "other results"
    return {
        "id": str(claim["id"]),
        "sentence": str(claim["sentence"]),
        "verdict": str(was["verdict"]),
        "said": str(was.get("reason", "")),
        "reported": reported,
        "withdrawn": datetime.date.today().isoformat(),
        "reason": f"{why}. Now {claim['verdict']}: {claim['reason']}",
    }


def _dictionaries(value: Any) -> list[dict[str, Any]]:
    """The members of a list that are dictionaries; a report is a file, and may have been changed by hand."""
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []  # pyright: ignore[reportUnknownVariableType]
