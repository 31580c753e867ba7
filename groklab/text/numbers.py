"""Numbers as people read them, rounded so that what is said stays true.

98.96 % is not "99.0 %" beside *not generalized*, 99.973 % is not "100.0 %" and one cell in ten thousand is not "0.0 %": a share that lies
on one side of none, of the threshold or of all is written with as many digits as keep it there.
"""

from __future__ import annotations

from decimal import ROUND_DOWN, ROUND_HALF_EVEN, ROUND_UP, Decimal

GROKKED = 0.99
"""The accuracy that counts as memorized and as generalized unless a run says otherwise."""

MOST = 6
"""Decimals of a percentage at most; what these cannot tell from a threshold is rounded away from it."""


def percent(share: float | None, *, places: int = 1, threshold: float = GROKKED, whole: bool = False) -> str:
    """A share in [0, 1] as percent with so many decimals, or more where these would round it across 0, the threshold or 1; a dash for None.

    ``whole``: all and none are written 100 % and 0 % without decimals.

    >>> percent(0.9896), percent(0.99973), percent(0.5), percent(1.0)
    ('98.96 %', '99.97 %', '50.0 %', '100.0 %')
    >>> percent(0.9896, threshold=0.95), percent(0.0001, places=0), percent(1.0, whole=True)
    ('99.0 %', '0.01 %', '100 %')
    """
    return "–" if share is None else f"{percentage(share, places=places, threshold=threshold, whole=whole)} %"


def explained(share: float) -> str:
    """A share of variance as percent without decimals, unless these would make it none or all; computed, and so all up to a millionth.

    >>> explained(0.423), explained(0.9971), explained(0.99999999), explained(0.002)
    ('42 %', '99.7 %', '100 %', '0.2 %')
    """
    return percent(round(float(share), 6), places=0, threshold=1.0)


def percentage(share: float, *, places: int = 1, threshold: float = GROKKED, whole: bool = False) -> str:
    """The number of ``percent`` without its sign, as at the ticks of an axis that says it once."""
    if not 0 <= share <= 1:  # nan, or no share
        return f"{100 * share:.{places}f}"
    if whole and share in (0, 1):
        return f"{100 * share:.0f}"
    exact = Decimal(repr(float(share))) * 100
    bounds = [Decimal(repr(float(bound))) * 100 for bound in (0.0, threshold, 1.0)]
    for digits in range(places, MOST + 1):
        rounded = exact.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_EVEN)
        if all(_side(rounded, bound) == _side(exact, bound) or (exact > bound > 0 and rounded == bound) for bound in bounds):
            return f"{rounded:f}"
    return f"{exact.quantize(Decimal(1).scaleb(-MOST), ROUND_DOWN if exact >= 50 else ROUND_UP):f}"


def _side(value: Decimal, bound: Decimal) -> int:
    return (value > bound) - (value < bound)
