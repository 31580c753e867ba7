"""Numbers as people read them, rounded so that what is said stays true.

98.96 % is not "99.0 %" beside *not generalized*, 99.973 % is not "100.0 %" and one cell in ten thousand is not "0.0 %": a share that lies
on one side of none, of the threshold or of all is written with as many digits as keep it there.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, ROUND_UP, Decimal

GROKKED = 0.99
"""The accuracy that counts as memorized and as generalized unless a run says otherwise."""

_MINUTE, _HOUR, _DAY = 60, 3600, 86400

MOST = 6
"""Decimals of a percentage at most, unless none of so few keeps it on its side; what these cannot tell from a bound is rounded away from it."""


Threshold = float | Iterable[float]
"""What a share is judged by: the threshold of its run, or those of all runs that it is of."""


def percent(share: float | None, *, places: int = 1, threshold: Threshold = GROKKED, whole: bool = False) -> str:
    """A share in [0, 1] as percent with so many decimals, or more where these would round it across 0, a threshold or 1; a dash for None.

    ``whole``: all and none are written 100 % and 0 % without decimals.

    >>> percent(0.9896), percent(0.99973), percent(0.5), percent(1.0)
    ('98.96 %', '99.97 %', '50.0 %', '100.0 %')
    >>> percent(0.9896, threshold=0.95), percent(0.0001, places=0), percent(1.0, whole=True)
    ('99.0 %', '0.01 %', '100 %')
    >>> percent(0.9496, threshold=0.95), percent(0.9896, threshold=(0.95, 0.99))
    ('94.96 %', '98.96 %')
    """
    return "–" if share is None else f"{percentage(share, places=places, threshold=threshold, whole=whole)} %"


def explained(share: float) -> str:
    """A share of variance as percent without decimals, unless these would make it none or all; computed, and so all up to a millionth.

    >>> explained(0.423), explained(0.9971), explained(0.99999999), explained(0.002)
    ('42 %', '99.7 %', '100 %', '0.2 %')
    """
    return percent(round(float(share), 6), places=0, threshold=1.0)


def given(share: float, sign: str = " %") -> str:
    """A share that somebody chose, such as a level, a threshold or a fraction of cells: with its own digits, and four decimals where it has more.

    >>> given(0.9), given(0.925), given(0.99999), given(1 / 3), given(0.3 + 1e-16)
    ('90 %', '92.5 %', '99.999 %', '33.3333 %', '30 %')
    """
    written = percentage(round(float(share), 12), places=4, threshold=())
    return (written.rstrip("0").rstrip(".") if "." in written else written) + sign


def change(ratio: float, *, places: int = 1) -> str:
    """A growth or a decrease as percent with its sign, such as 0.08 for what is 1.08 times as large; never none where there is some.

    >>> change(0.08), change(-0.004), change(0.0003), change(0.0)
    ('+8.0 %', '-0.4 %', '+0.03 %', '+0.0 %')
    """
    for digits in range(places, MOST + 1):
        written = f"{100 * ratio:+.{digits}f}"
        if float(written) or not ratio:
            return f"{written} %"
    return f"{100 * ratio:+.{places}e} %"


def percentage(share: float, *, places: int = 1, threshold: Threshold = GROKKED, whole: bool = False) -> str:
    """The number of ``percent`` without its sign, as at the ticks of an axis that says it once."""
    if not 0 <= share <= 1:  # nan, or no share
        return f"{100 * share:.{places}f}"
    if whole and share in (0, 1):
        return f"{100 * share:.0f}"
    thresholds = (threshold,) if isinstance(threshold, (int, float)) else threshold
    exact = Decimal(repr(float(share))) * 100
    bounds = [Decimal(repr(float(bound))) * 100 for bound in (0.0, *thresholds, 1.0)]
    nearest = [exact.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_EVEN) for digits in range(places, MOST + 1)]
    beside = [exact.quantize(Decimal(1).scaleb(-MOST), way) for way in (ROUND_DOWN, ROUND_UP)]
    return f"{next((rounded for rounded in (*nearest, *beside) if _stays(rounded, exact, bounds)), exact):f}"


def _stays(rounded: Decimal, exact: Decimal, bounds: Iterable[Decimal]) -> bool:
    """Whether it lies where the exact value does; what is just above a threshold may be written as the threshold, which it reaches."""
    return all(_side(rounded, bound) == _side(exact, bound) or (exact > bound > 0 and rounded == bound) for bound in bounds)


def duration(seconds: float, *, units: int = 2) -> str:
    """A time for people, in its two largest units or the largest alone, cut off and not rounded up; a dash where it is not known.

    >>> duration(59.9), duration(3599), duration(9000), duration(9000, units=1), duration(3e5)
    ('59 s', '59 min 59 s', '2 h 30 min', '2 h', '3 d 11 h')
    """
    if not math.isfinite(seconds):
        return "–"
    whole = max(0, int(seconds))
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        large, small = f"{whole // _MINUTE} min", f"{whole % _MINUTE:02d} s"
    elif whole < 2 * _DAY:
        large, small = f"{whole // _HOUR} h", f"{whole % _HOUR // _MINUTE:02d} min"
    else:
        large, small = f"{whole // _DAY:,} d", f"{whole % _DAY // _HOUR:02d} h"
    return large if units == 1 else f"{large} {small}"


def time_left(seconds: float, *, at_most: bool = True) -> str:
    """How long it may still take; ``at_most`` where it may end before its budget.

    >>> time_left(9000), time_left(5, at_most=False)
    ('at most 2 h 30 min left', '5 s left')
    """
    return f"{'at most ' if at_most else ''}{duration(seconds)} left"


def steps_per_second(rate: float | None) -> str:
    """A speed of training, never none where there is some; a dash where it is not known.

    >>> steps_per_second(1234.5), steps_per_second(2.25), steps_per_second(0.0412), steps_per_second(None)
    ('1,234 steps/s', '2.2 steps/s', '0.041 steps/s', '– steps/s')
    """
    if rate is None or not math.isfinite(rate):
        return "– steps/s"
    if rate >= 10 or rate <= 0:
        return f"{rate:,.0f} steps/s"
    return f"{rate:.1f} steps/s" if rate >= 1 else f"{rate:.2g} steps/s"


def _side(value: Decimal, bound: Decimal) -> int:
    return (value > bound) - (value < bound)
