"""Names of settings where there is little room, shortened so that those that differ still look different."""

from __future__ import annotations

from collections.abc import Callable, Sequence

CUT = "…"

Parts = list[tuple[int, int]]
"""What stays of a text: from where to where, in order."""
Way = Callable[[str], Parts]
"""A way to shorten texts."""


def apart(texts: Sequence[str], length: int) -> list[str]:
    """Texts of at most ``length`` characters each, in which two that differ are written differently.

    A long text loses its middle. Where this leaves nothing of what tells several apart, all of these are cut elsewhere, alike: nearer to an
    end, or so that only a part from within stays, if possible not within a number. Where they differ in too many places for that, they are
    numbered.

    >>> apart(["muon(momentum=0.9, steps=5)", "muon(momentum=0.9, steps=6)", "sgd"], 16)
    ['muon(mom…teps=5)', 'muon(mom…teps=6)', 'sgd']
    >>> apart(["width 128, decay 0.1 and dropout 0.2", "width 128, decay 0.3 and dropout 0.2"], 16)
    ['…ecay 0.1 and d…', '…ecay 0.3 and d…']
    """
    usual = {text: without_middle(text, length) for text in texts}
    found = dict(usual)
    for shown in dict.fromkeys(usual.values()):
        alike = [text for text in usual if usual[text] == shown]
        if len(alike) > 1:
            found |= _told_apart(alike, length, taken={told for text, told in found.items() if text not in alike})
    return [found[text] for text in texts]


def without_middle(text: str, length: int) -> str:
    """At most ``length`` characters; a longer text loses its middle, because names often differ only at their ends.

    >>> without_middle("rotation by 120", 9)
    'rota… 120'
    """
    kept = max(length - 1, 2)
    return _written(text, _ends((kept + 1) // 2, kept)(text))


def _told_apart(alike: Sequence[str], length: int, *, taken: set[str]) -> dict[str, str]:
    """These texts, which without their middle look the same, each written as no other is."""
    ways = [*_cuts(length), *_windows(alike, length)]
    whole = [way for way in ways if not any(_splits_number(text, way(text)) for text in alike)]
    for way in (*whole, *ways):
        told = {text: _written(text, way(text)) for text in alike}
        if len(set(told.values())) == len(alike) and not taken & set(told.values()):
            return told
    told, number = dict[str, str](), 0
    for text in alike:
        while text not in told or told[text] in taken:
            number += 1
            end = f" ({number})"
            told[text] = without_middle(text, length - len(end)) + end
    return told


def _ends(first: int, kept: int) -> Way:
    """Of a text that is longer the first characters and the last, ``kept`` together."""
    return lambda text: [(0, len(text))] if len(text) <= kept + 1 else [(0, first), (len(text) - (kept - first), len(text))]


def _cuts(length: int) -> list[Way]:
    """Those that leave a beginning and an end, those that cut near the middle first."""
    kept = max(length - 1, 2)
    return [_ends(first, kept) for first in sorted(range(1, kept + 1), key=lambda first: (abs(2 * first - kept), first))]


def _windows(alike: Sequence[str], length: int) -> list[Way]:
    """Those that leave a part from within, the same place of all; the parts in the midst of which the first difference lies come first."""
    kept, longest = max(length - 2, 1), max(map(len, alike))
    differing = next((place for place, letters in enumerate(zip(*alike, strict=False)) if len(set(letters)) > 1), min(map(len, alike)))

    def window(start: int) -> Way:
        return lambda text: [(min(start, len(text)), min(start + kept, len(text)))]

    starts = sorted(range(1, longest - kept + 1), key=lambda start: (abs(start + kept // 2 - differing), start))
    return [window(start) for start in starts]


def _written(text: str, parts: Parts) -> str:
    """What stays, with a sign wherever something is missing."""
    pieces = [text[start:end] for start, end in parts]
    head = CUT if parts[0][0] > 0 else ""
    tail = CUT if parts[-1][1] < len(text) else ""
    return head + CUT.join(piece.rstrip() if number < len(pieces) - 1 else piece for number, piece in enumerate(pieces)) + tail


def _splits_number(text: str, parts: Parts) -> bool:
    """Whether something missing begins or ends within a number, whose rest would read as another one."""
    edges = [edge for part in parts for edge in part if 0 < edge < len(text)]
    return any(text[edge - 1] in _DIGITS and text[edge] in _DIGITS for edge in edges)


_DIGITS = frozenset("0123456789.")
