"""What the known cells of a table rule out, whatever its blanks are: that it is commutative, associative, a Latin square, a group.

A property that holds on all known cells may hold of the whole table, or not. One that fails there fails, whoever fills in the rest.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from groklab.data.identification import TRIPLES_LIMIT, Structure
from groklab.data.table import Integers, Table
from groklab.data.tables import properties

SAMPLE = 400_000
"""Triples of a larger table that are looked at, drawn at random."""


@dataclass(frozen=True)
class Contradictions:
    """How often the known cells contradict a property; None where they cannot, since x, y and z are not of one set."""

    pairs: int
    """Pairs (x, y), (y, x) of two known cells with x ≠ y."""
    unequal: int
    """Those with two answers: the table is not commutative."""
    triples: int | None
    """Triples of which (x·y)·z and x·(y·z) are both known; of large tables among 400,000 drawn at random."""
    broken: int | None
    """Those where they differ: the table is not associative."""
    repeats: bool
    """Whether an answer comes twice in a row or column, so that the table is no Latin square."""
    is_neutral_possible: bool | None
    """Whether there is an element e such that no known cell contradicts e·x = x·e = x."""

    @property
    def is_group_possible(self) -> bool | None:
        """Whether the blanks can perhaps be filled in so that the table is of a group, by what is counted here."""
        return None if self.broken is None else not (self.broken or self.repeats or not self.is_neutral_possible)


def contradictions_of(table: Table) -> Contradictions:
    """What the known cells of a table rule out."""
    pairs = (table.mirror >= 0) & (table.x != table.y) & table.known & table.known[table.mirror]
    unequal = int((table.z[pairs] != table.z[table.mirror[pairs]]).sum()) // 2
    repeats = properties(table)["latin_square"] is False
    if table.cells != table.n**2:
        return Contradictions(int(pairs.sum()) // 2, unequal, None, None, repeats, None)
    # An unknown product is one more element, whose products are unknown.
    n = table.n
    product = np.full((n + 1, n + 1), n, dtype=np.int64)
    product[:n, :n] = np.where(table.known, table.z, n).reshape(n, n)
    triples, broken = _triples(product, n)
    number = np.arange(n)
    left, right = product[:n, :n], product[:n, :n].T
    fits = [((side == number) | (side == n)).all(axis=1) for side in (left, right)]
    return Contradictions(int(pairs.sum()) // 2, unequal, triples, broken, repeats, bool((fits[0] & fits[1]).any()))


def _triples(product: Integers, n: int) -> tuple[int, int]:
    """Triples whose products are known either way, and those where they differ."""
    if n <= TRIPLES_LIMIT:
        x, y, z = np.indices((n, n, n)).reshape(3, -1)
    else:
        x, y, z = np.random.Generator(np.random.Philox(0)).integers(0, n, (3, SAMPLE))
    first, second = product[product[x, y], z], product[x, product[y, z]]
    known = (first < n) & (second < n)
    return int(known.sum()), int((known & (first != second)).sum())


def as_far_as_ruled_out(structure: Structure, known: Contradictions) -> Structure:
    """What a completed table is, where filled cells may be wrong: what it lacks is open (None) unless the known cells rule it out."""
    lost = {
        "commutative": not known.unequal,
        "associative": not known.broken,
        "latin_square": not known.repeats,
        "inverses": bool(known.is_neutral_possible),
        "group": bool(known.is_group_possible),
    }
    return replace(structure, **{name: None for name, is_open in lost.items() if is_open and getattr(structure, name) is False})
