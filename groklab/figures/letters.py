"""Letters of every script in figures: in a font of this machine that has them, and where there is none as their code points.

DejaVu Sans, which matplotlib brings along, has Latin, Greek, Cyrillic and the signs of mathematics. Names in Chinese, Japanese or
pictures need another font. What no font has would be an empty box; it is written ``U+4E2D`` instead, and said once for a figure.
Text is taken as it is: a name with dollar signs is no formula.
"""

from __future__ import annotations

import threading
from functools import cache
from typing import Any

import matplotlib
from matplotlib import font_manager
from matplotlib.ft2font import FT2Font

from groklab.outside.printable import printable
from groklab.outside.streams import warn

FAMILY = "DejaVu Sans"
_FIRST = ("Noto Sans", "Source Han Sans", "WenQuanYi", "Droid Sans", "PingFang", "Hiragino", "Microsoft YaHei", "Yu Gothic", "Malgun")
"""Beginnings of the families that are looked through before all others: without serifs, and with many letters."""
_NO_LETTERS = ("LastResort", "Last Resort", "Adobe Blank")
"""Families that have something for every character, and letters for none."""
_NORMAL = (400, 500, "normal", "regular", "book", "medium")


class _State(threading.local):
    """What is drawn in this thread."""

    depth = 0
    """How many figures are being drawn, one within the other."""

    def __init__(self) -> None:
        self.missing: dict[str, None] = {}
        """Characters without a font that have not been told yet."""


_state = _State()
_in_use: list[str] = []
"""Families besides DejaVu Sans that figures of this process have needed."""


def families() -> list[str]:
    """The families that text is drawn in; of each letter the first that has it."""
    return [FAMILY, *_in_use]


def begin() -> None:
    """A figure is being drawn from now on, in this thread."""
    _state.depth += 1


def end() -> None:
    """It is drawn; a warning where letters of it have no font here."""
    _state.depth -= 1
    if _state.depth == 0 and _state.missing:
        missing, _state.missing = list(_state.missing), {}
        shown = ", ".join(f"{one} ({_code_point(one)})" for one in missing[:5])
        more = f" and {len(missing) - 5:,} more" if len(missing) > 5 else ""
        warn(
            f"no font of this machine has {shown}{more}; the figure names code points instead. "
            "Install a font that has them, such as one of the Noto Sans families."
        )


def legible(text: str) -> str:
    """Text as a figure can show it; fonts that it needs are among ``families`` from then on."""
    shown = printable(text)
    if shown.isascii() or all(ord(one) in _letters_of(font_manager.findfont(FAMILY)) for one in shown):
        return shown
    return "".join(_legible(one) for one in shown)


def _legible(one: str) -> str:
    if ord(one) in _letters_of(font_manager.findfont(FAMILY)):
        return one
    family = _family_with(one)
    if family is None:
        if one in "\u200d\ufe0f":  # joins pictures that are not shown
            return ""
        _state.missing[one] = None
        return _code_point(one)
    if family not in _in_use:
        _in_use.append(family)
    if _state.depth:
        matplotlib.rcParams["font.family"] = families()
    return one


def _code_point(one: str) -> str:
    return f"U+{ord(one):04X}"


@cache
def _family_with(one: str) -> str | None:
    """A family of this machine that has a character."""
    return next((entry.name for entry in _fonts() if ord(one) in _letters_of(entry.fname)), None)


@cache
def _fonts() -> tuple[Any, ...]:
    upright = [
        entry
        for entry in font_manager.fontManager.ttflist
        if entry.style == "normal" and entry.weight in _NORMAL and entry.size == "scalable" and not entry.name.startswith(_NO_LETTERS)
    ]
    return tuple(sorted(upright, key=lambda entry: (not entry.name.startswith(_FIRST), entry.name, entry.fname)))


@cache
def _letters_of(file: str) -> frozenset[int]:
    try:
        return frozenset(FT2Font(file).get_charmap())
    except Exception:  # of a font that matplotlib lists and cannot read, such as one of colored pictures
        return frozenset()
