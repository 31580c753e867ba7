"""Rules that were changed after their runs had been judged: when, and why. Each became stricter or truer to its sentence.

A report tells it beside the rule, and beside a verdict that fell by it (``withdrawals.py``).
"""

from __future__ import annotations

from typing import NamedTuple


class Amendment(NamedTuple):
    """A change of a rule."""

    date: str
    """Of the change, YYYY-MM-DD."""
    why: str
    """What was wrong with the rule before, in a sentence without its full stop."""


_EVERY_NETWORK = "the sentence is about a network, and the rule was content with most networks"
_DATE = "2026-12-01"

AMENDMENTS: dict[str, Amendment] = {
    identity: Amendment(_DATE, why)
    for identity, why in {
        "C1": "runs that never got there could not refute it",
        "C2": "much before 10⁵ updates could not refute “very little before 10⁵”, and near perfect at 1.2·10⁵ counted as close to 10⁶",
        "C3": "10⁵ of 10⁶ updates without a rise or a fall counted as a refutation, and seeds that diverged were left out",
        "C4": "one law over all fractions hid steps between two of them that contradict it",
        "C5": "two fractions are no trend, and what lies between them was not looked at",
        "C6": "runs that stop once they have generalized end at 99 % because they stop, and fractions of few seeds within the range were passed over",
        "C7": "log likelihoods were added up, so that three tasks could outvote a fourth, where the sentence says every task",
        "C8": "pairs were tested together, so that one in which no run generalized, or one the other way round, was carried by the others",
        "C9": "opposite differences at the two fractions could cancel",
        "C10": "runs that diverged, and runs that nearly generalize, counted as tasks that are not learned",
        "C11": "a larger fraction at which it fails did not count against it",
        "C13": "other ways with fewer than the paper's 10⁵ updates counted as needing more data, and that AdamW fails again with more data did not count",
        "C14": "2·10⁴ updates are a fifth of the paper's, and that Adam without decay has not generalized in them may be their doing",
        "C15": "three differences that are not significant counted as evidence that no noise helps, and a small budget could favor it",
        "C16": "rates that do not generalize in 2·10⁴ updates, a fifth of the paper's, counted as rates that fail",
        "C17": "three seeds outside were enough for a no, although nine ways are looked at and each has one chance in eight",
        "C18": _EVERY_NETWORK,
        "C19": "networks that stopped when they had generalized refuted it, although the paper's were trained on, and seed 0, trained longer, has the paper's kind",
        "C20": "ties counted for it",
        "C21": "at the smaller fraction most runs had not generalized, no smaller one was compared, and no other fraction was looked at for a larger delay",
        "C23": "wrong answers beside which 10⁴ updates are too few counted as too many",
        "C24": "settings that differ could together show what none of them shows",
        "D1": "all validation cells were promised, and 99 % were enough",
        "D2": "runs without decay that do not fit the labels either did not count against it",
        "F1": "a budget below the published one could decide it while more steps could turn it",
        "F2": "the side without the filter had another decay",
        "M1": "tasks were tested together, and AdamW had a third of the rate that Muon's side gives to all that is no hidden matrix",
        "N1": _EVERY_NETWORK,
        "N2": _EVERY_NETWORK,
        "O1": "runs that do not memorize with the norm held fixed were left out, and a usual recipe without a delay was good enough",
        "R1": "the median alone decided, however far its interval reached",
        "R2": "runs that stopped early were left out, and each seed's own steps were not looked at",
    }.items()
}


def told_amendment(identity: str) -> str | None:
    """When and why the rule of a claim was changed; None: it stands as it was written."""
    found = AMENDMENTS.get(identity)
    return None if found is None else f"{found.date}, after its runs: {found.why}"
