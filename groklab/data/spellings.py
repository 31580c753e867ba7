"""How one name is written in several ways, and which marks stand for a blank."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from groklab.text.values import shown

MARKS = frozenset(
    [
        *("na", "n/a", "#n/a", "#n/a n/a", "#na", "#nv", "<na>", "nan", "-nan", "+nan", "1.#qnan", "-1.#qnan", "1.#ind", "-1.#ind"),
        *("null", "(null)", "<null>", "nil", "none", "<none>", "\\n", "missing", "nat", "nothing"),
        *("?", "??", "???", "-", "--", "---", "–", "—", ".", "..", "...", "…", "_", "__", "___", "·", "''", '""'),
    ]
)
"""What pandas, R, Julia, databases, spreadsheets and people write for an empty cell, in lower case."""

_WHOLE = re.compile(r"(?P<whole>-?(?:0|[1-9][0-9]*))(?:[.](?P<zeros>0*))?")
_WITH_COMMA = re.compile(r"(?P<whole>-?(?:0|[1-9][0-9]*))(?:[.,](?P<zeros>0*))?")
_GROUP = 3
"""Digits between the separators of thousands."""


def whole(name: str) -> str:
    """A whole number as it is usually written; anything else as it is.

    >>> whole("3.0"), whole("3"), whole("-0.00"), whole("3.5"), whole("03")
    ('3', '3', '0', '3.5', '03')
    """
    match = _WHOLE.fullmatch(name)
    return name if match is None else _plain(match)


def _plain(match: re.Match[str]) -> str:
    return "0" if match["whole"] == "-0" else match["whole"]


def written_alike(names: Iterable[str], *, with_comma: bool) -> tuple[dict[str, str], str]:
    """For names that are all whole numbers, some of them in two spellings: each name -> its usual spelling, and a note of it.

    Nothing where that is not certain, with a note where two names look like one number. ``with_comma``: a comma may be a decimal one.
    """
    many = [name for name in names if name]
    pattern = _WITH_COMMA if with_comma else _WHOLE
    matches = {name: pattern.fullmatch(name) for name in many}
    found = {name: _plain(match) for name, match in matches.items() if match is not None}
    pair = _two_spellings(found)
    if pair is None:
        return {}, ""
    told = f"{shown(pair[0])} and {shown(pair[1])}"
    if len(found) < len(many):
        other = next(name for name in many if name not in found)
        return (
            {},
            f"{told} are two elements, though likely one number: not all names are whole numbers ({shown(other[:40])}). Write them alike.",
        )
    zeros = [(match["whole"], match["zeros"]) for match in matches.values() if match is not None and match["zeros"]]
    if zeros and all(len(after) == _GROUP and before.lstrip("-") != "0" for before, after in zeros):
        return {}, f"{told} are two elements: whether zeros are decimals or thousands is not certain. Write numbers alike."
    return found, f"whole numbers are written in two ways; {told} are read as one element."


def _two_spellings(found: Mapping[str, str]) -> tuple[str, str] | None:
    first: dict[str, str] = {}
    for name in sorted(found, key=len):
        earlier = first.setdefault(found[name], name)
        if earlier != name:
            return earlier, name
    return None


def blanks_in(answers: Sequence[str], arguments: Iterable[str]) -> tuple[list[str], list[str]]:
    """Marks of a blank among the answers z that are no element of x or y; and notes of those that may be, or be not, meant so."""
    others = {name.casefold() for name in arguments}
    marks = [name for name in answers if name.casefold() in MARKS]
    blanks = [name for name in marks if name.casefold() not in others and not _is_sign(name, answers)]
    notes = [
        f"{shown(name)} is read as an element, for it is one in x or y too. If it marks a blank, leave the cell empty."
        if name.casefold() in others
        else f"{shown(name)} is read as an element, for '+' is one too. If it marks a blank, leave the cell empty."
        for name in marks
        if name not in blanks
    ]
    told = {name.casefold() for name in marks}
    words = sorted(name for name in set(arguments) if name.casefold() in MARKS - told and any(letter.isalpha() for letter in name))
    notes += [f"{shown(name)} in x or y is read as an element. If it marks a blank, remove its rows." for name in words]
    return blanks, notes


def _is_sign(name: str, answers: Sequence[str]) -> bool:
    """Whether a minus may be one: it stands beside a plus."""
    return name in ("-", "–", "—") and "+" in answers
