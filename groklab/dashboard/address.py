"""The address of a page: its state as a query string, and the runs that it is about.

    /curves?run=addition-97-f0.40-s0-19bc2288&steps=linear
    /sweeps?filter=operation%3Daddition&x=train_fraction

Everything that a page shows follows from its address and the results; the data behind it have the same address below /api.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlencode

import polars as pl

from groklab.analysis.selection import OPERATORS, select, written_in
from groklab.dashboard.catalog import Catalog, Entry
from groklab.text.values import shown

_LONGEST = 100_000
"""Characters of a query string that are read."""
_LONGEST_FILTER = 2_000
"""Characters of a filter: each condition is a pass over the table of runs."""


@dataclass(frozen=True)
class Address:
    """What a query string says: names with one or several values each, in their order."""

    values: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, search: str | None) -> Address:
        """From a query string, with or without its question mark."""
        found: dict[str, tuple[str, ...]] = {}
        for name, value in parse_qsl((search or "").removeprefix("?")[:_LONGEST], keep_blank_values=False):
            found[name] = (*found.get(name, ()), value)
        return cls(found)

    def one(self, name: str, default: str = "", *, among: Iterable[str] | None = None) -> str:
        """The last value of a name, or the default where there is none or none of those that are expected."""
        value = self.values.get(name, (default,))[-1]
        return value if among is None or value in among else default

    def many(self, name: str) -> tuple[str, ...]:
        """All values of a name."""
        return self.values.get(name, ())

    def number(self, name: str) -> int | None:
        """The last value of a name as a whole number; None where it is none."""
        text = self.one(name)
        return int(text) if re.fullmatch(r"\d{1,12}", text) else None

    def with_values(self, **changes: Any) -> Address:
        """Some values replaced: None or nothing takes a name out, a list gives it several values."""
        values = dict(self.values)
        for name, change in changes.items():
            several = change if isinstance(change, (list, tuple)) else [change]
            kept = tuple(str(value) for value in several if value is not None and value != "")  # pyright: ignore[reportUnknownVariableType]
            values.pop(name, None)
            if kept:
                values[name] = kept
        return Address(values)

    @property
    def search(self) -> str:
        """As it stands in an address, with its question mark; nothing where nothing is said."""
        pairs = [(name, value) for name, several in self.values.items() for value in several]
        return f"?{urlencode(pairs)}" if pairs else ""


class Chosen(NamedTuple):
    """The runs that an address is about."""

    entries: list[Entry]
    problem: str
    """What is wrong with how they were asked for; nothing where nothing is."""


def chosen_runs(catalog: Catalog, address: Address) -> Chosen:
    """The runs that are named, or those that satisfy the filter: all without one."""
    named = address.many("run")
    if named:
        found = [(name, catalog.get(name)) for name in dict.fromkeys(named)]
        missing = [name for name, entry in found if entry is None]
        told = (
            f"no run {shown(missing[0])} here" + (f", nor {len(missing) - 1} others" if len(missing) > 1 else "") + "." if missing else ""
        )
        return Chosen([entry for _, entry in found if entry is not None], told)
    return filtered(catalog, address.one("filter"))


def chosen_run(catalog: Catalog, address: Address, *, least: str = "") -> Chosen:
    """The one run that a page shows: the first that is named, else the one last written to that has a folder ``least``, if any."""
    named = address.many("run")
    if named:
        found = catalog.get(named[0])
        return Chosen([] if found is None else [found], "" if found else f"no run {shown(named[0])} here.")
    candidates = sorted((entry for entry in catalog.entries() if entry.run is not None), key=lambda entry: -entry.changed)
    for entry in candidates[:200]:
        if not least or (entry.folder.path / least).is_dir():
            return Chosen([entry], "")
    return Chosen(candidates[:1], "")


def filtered(catalog: Catalog, text: str) -> Chosen:
    """The runs that satisfy conditions such as ``operation=addition train_fraction>=0.3``, or whose ids hold a word."""
    entries = catalog.entries()
    if len(text) > _LONGEST_FILTER:
        return Chosen([], f"the filter has {len(text):,} characters; up to {_LONGEST_FILTER:,} are read.")
    conditions, words = conditions_in(text)
    kept = [entry for entry in entries if all(word.lower() in entry.id.lower() for word in words)]
    if not conditions:
        return Chosen(kept, "")
    try:
        ids = set(select(catalog.table(), conditions)["id"].to_list())
    except (ValueError, pl.exceptions.PolarsError) as error:
        return Chosen([], str(error).removeprefix("filter: "))
    return Chosen([entry for entry in kept if entry.id in ids], "")


def conditions_in(text: str) -> tuple[list[str], list[str]]:
    """The conditions and the bare words of a filter; blanks and commas inside brackets and quotes do not part them.

    >>> conditions_in("addition train_fraction >= 0.3, interventions=weight_noise(std=0.01, start=5)")
    (['train_fraction>=0.3', 'interventions=weight_noise(std=0.01, start=5)'], ['addition'])
    >>> conditions_in('expression="x**2 + x*y" seed=1')
    (['expression=x**2 + x*y', 'seed=1'], [])
    """
    parts = _parts(text)
    return [part for part, is_condition in parts if is_condition], [part for part, is_condition in parts if not is_condition]


_PIECE = re.compile(r"\s+|[,;]|<=|>=|!=|[=<>]|[(\[]|[)\]]|[^\s,;=<>!()\[\]\"']+|.", re.DOTALL)
_QUOTED = re.compile(r""""((?:[^"]|"")*)"?|'((?:[^']|'')*)'?""")


def _parts(text: str) -> list[tuple[str, bool]]:
    """The parts of a filter, each with whether it is a condition, in one pass from left to right.

    Quotes around a word or value are taken off, and two of them inside it are one; inside brackets they stay, as they belong to a call.
    """
    parts: list[tuple[str, bool]] = []
    part, is_condition, gap, is_after_operator, depth, place = "", False, "", False, 0, 0
    while place < len(text):
        is_begun = bool(part) and not (gap and not depth)
        opens = text[place] in "\"'" and (depth > 0 or is_after_operator or not is_begun)
        found = (_QUOTED if opens else _PIECE).match(text, place)
        assert found is not None
        piece, place = found[0], found.end()
        if piece.isspace():
            gap = piece
        elif piece in OPERATORS and not opens:
            part, is_condition, gap, is_after_operator = part + piece, is_condition or not depth, "", True
        elif piece in (",", ";") and not depth:
            parts, part, is_condition, gap, is_after_operator = [*parts, (part, is_condition)], "", False, "", False
        else:
            if gap and not is_after_operator and not depth:
                parts, part, is_condition = [*parts, (part, is_condition)], "", False
            elif gap and not is_after_operator:
                part += gap
            depth = max(0, depth + (piece in ("(", "[")) - (piece in (")", "]")))
            part += (found[1] or found[2] or "").replace(2 * piece[0], piece[0]) if opens and not depth else piece
            gap, is_after_operator = "", False
    return [pair for pair in [*parts, (part, is_condition)] if pair[0]]


def value_text(name: str, value: Any) -> str:
    """A field's value as it is written on the command line; as it stands in the table where that holds what somebody wrote there by hand."""
    try:
        return written_in(name, value)
    except (ValueError, SyntaxError, TypeError):
        return str(value)


def condition_of(name: str, value: Any) -> str:
    """The condition that a field has this value, as a filter is written: in quotes where it would come apart without them."""
    text = value_text(name, value)
    bare = f"{name}={text}"
    if conditions_in(bare) == ([bare], []):
        return bare
    return f"{name}=" + '"' + text.replace('"', '""') + '"'
