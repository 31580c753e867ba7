r"""Names of elements that nobody can tell apart: composed and decomposed letters, characters that are not seen, letters of other alphabets.

A table in which ``é`` is written in two ways has two elements where its owner has one, and a network learns another operation. Names
that look the same are refused when a run is asked for; names that differ by letters of two alphabets alone, such as ``a`` and the
Cyrillic ``а``, may be meant, and are told. Names themselves are never changed: a table's id is that of its content.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable

from groklab.outside.printable import printable

_SHOWN = 3
_LIKE = {
    "A": "АΑ", "B": "ВΒ", "C": "СϹ", "E": "ЕΕ", "H": "НΗ", "I": "ІΙӀ", "J": "Ј", "K": "КΚK", "M": "МΜ", "N": "Ν",
    "O": "ОΟ", "P": "РΡ", "S": "Ѕ", "T": "ТΤ", "X": "ХΧ", "Y": "УΥ", "Z": "Ζ", "a": "а", "c": "сϲ", "d": "ԁ", "e": "е",
    "h": "һ", "i": "іι", "j": "ј", "l": "ӏ", "o": "оο", "p": "рρ", "q": "ԛ", "s": "ѕ", "v": "ν", "w": "ԝ", "x": "х",
    "y": "у", "-": "−‐‑‒–—", "'": "’‘ʼ′", "/": "∕⁄", ":": "∶", "*": "∗⁎",
}  # fmt: skip
"""Characters of other alphabets, and signs, that look like one of ASCII in most fonts (after the confusables of Unicode's TR 39)."""
_TWINS = {twin: one for one, twins in _LIKE.items() for twin in twins}
_FORMS = ("<wide>", "<narrow>", "<compat>", "<font>")
"""Forms of a character that Unicode keeps apart, such as the letters of full width; raised and lowered ones look different."""


def looks(name: str) -> str:
    """What is seen of a name: characters composed, those that are not seen left out, any white space as one space."""
    seen = "".join(one for one in name if one.isspace() or printable(one) == one)
    return unicodedata.normalize("NFC", re.sub(r"\s+", " ", seen).strip())


def same_looks(names: Iterable[str]) -> str | None:
    """What is wrong where some of the names look the same, in words; None where all look different."""
    alike = _alike(names, looks)
    if not alike:
        return None
    more = f", and {len(alike) - _SHOWN:,} more" if len(alike) > _SHOWN else ""
    pairs = "; ".join(f"{told(first)} and {told(second)}" for first, second in alike[:_SHOWN])
    return f"elements that look the same and are not: {pairs}{more}. Write each in one way, or give what differs another name."


def similar_looks(names: Iterable[str]) -> str | None:
    """A note where names differ by letters of two alphabets that look alike; None where they do not."""
    alike = [pair for pair in _alike(names, _twins) if looks(pair[0]) != looks(pair[1])]
    if not alike:
        return None
    more = f", and {len(alike) - _SHOWN:,} more" if len(alike) > _SHOWN else ""
    pairs = "; ".join(f"{told(first)} and {told(second)}" for first, second in alike[:_SHOWN])
    return f"elements that look alike, and are taken as different: {pairs}{more}."


def told(name: str) -> str:
    r"""A name with the code points of what is not ASCII in it.

    >>> told("cafe\u0301"), told("a\u200b")
    ("'café' (U+0301)", "'a\\u200b' (U+200B)")
    """
    odd = [f"U+{ord(one):04X}" for one in name if not one.isascii() or not one.isprintable()]
    shown = ", ".join(odd[:6]) + (", …" if len(odd) > 6 else "")
    return f"{printable(name, limit=40)!r}".replace("\\\\", "\\") + (f" ({shown})" if odd else "")


def _twins(name: str) -> str:
    return "".join(_TWINS.get(one) or _form(one) for one in looks(name))


def _form(one: str) -> str:
    return unicodedata.normalize("NFKC", one) if unicodedata.decomposition(one).startswith(_FORMS) else one


def _alike(names: Iterable[str], key: Callable[[str], str]) -> list[tuple[str, str]]:
    """Pairs of names with the same key, each name with the first that has it."""
    listed = list(names)
    text = "".join(listed)
    if text.isascii() and text.isprintable() and " " not in text:
        return []
    first: dict[str, str] = {}
    return [(found, name) for name in listed if (found := first.setdefault(key(name), name)) != name]
