"""Which group a table is, up to isomorphism: a name that can be asked for, and the isomorphism itself, element by element.

Abelian groups are named by their invariant factors at any order, dihedral ones by their rotations. Of the others, the named groups of
the same order are candidates: symmetric, alternating, dihedral and quaternion groups and their direct products. A candidate whose
elements agree in what no isomorphism can change is searched for an isomorphism: images of generators are tried one after the other,
and each choice is extended to the subgroup that they generate, or found not to extend.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from groklab.data.groups import FiniteGroup, Indices, group_named
from groklab.data.properties import has_inverses, neutral_element
from groklab.data.representations import conjugacy_classes
from groklab.data.subgroups import Subgroup, element_orders
from groklab.data.table import Table
from groklab.data.tables import properties

NAMED_LIMIT = 200
"""Order of the largest group that is compared with named ones; abelian and dihedral groups are named at any order."""


TRIPLES_LIMIT = 128
"""Elements of the largest table whose share of associative triples is counted."""


@dataclass(frozen=True)
class Structure:
    """What a table with all its cells known is. None: it does not apply, since x, y and z are not of one set, or is not known."""

    commutative: bool | None
    commutative_share: float | None
    """Of the pairs x ≠ y, how many have x·y = y·x."""
    associative: bool | None
    associative_share: float | None
    """Of all triples, how many have (x·y)·z = x·(y·z); None for large tables."""
    latin_square: bool | None
    """Whether every answer stands once in every row and column."""
    neutral_element: str | None
    inverses: bool | None
    """Whether there is a neutral element and every element has an inverse."""
    group: bool | None
    isomorphic_to: str | None
    """The name of a group; None where it is none, or has no name here."""
    isomorphism: dict[str, str] | None
    """Every element's counterpart in the group of that name."""

    def to_dict(self) -> dict[str, Any]:
        """All of it by name."""
        return asdict(self)


def structure_of(table: Table) -> Structure:
    """What a table is, its unknown cells apart; the isomorphism is searched up to the order ``NAMED_LIMIT``."""
    known = properties(table)
    pairs = (table.mirror >= 0) & (table.x != table.y) & table.known & table.known[table.mirror]
    commuting = float((table.z[pairs] == table.z[table.mirror[pairs]]).mean()) if pairs.any() else None
    if table.cells != table.n**2 or not table.known.all():
        return Structure(known["commutative"], commuting, None, None, known["latin_square"], None, None, None, None, None)
    product = table.z.reshape(table.n, table.n).astype(np.int64)
    neutral, share = neutral_element(product), None
    if table.n <= TRIPLES_LIMIT:
        share = float((product[product] == product[:, product]).mean())
    name, images = None, None
    if known["group"]:
        group = FiniteGroup("the table", table.elements, product)
        name = identify(group)
        if name is not None and table.n <= NAMED_LIMIT:
            named = group_named(name)
            found = isomorphism(group, named)
            images = None if found is None else {x: named.elements[image] for x, image in zip(table.elements, found, strict=True)}
    return Structure(
        known["commutative"], commuting, known["associative"], share, known["latin_square"],
        None if neutral is None else table.elements[neutral], has_inverses(product), known["group"], name, images,
    )  # fmt: skip


def identify(group: FiniteGroup) -> str | None:
    """The name of a group that is isomorphic to this one, such as ``product(dihedral(4), cyclic(3))``; None where none is known.

    Of several names the one with the fewest factors is given, so the symmetries of the hexagon are dihedral(6) and not
    product(dihedral(3), cyclic(2)). Of the five groups of order 12 one has no name here, Z₃ ⋊ Z₄.

    >>> identify(group_named("product(cyclic(3), cyclic(2))"))
    'cyclic(6)'
    """
    own = Subgroup(group, tuple(range(group.order))).type
    if not own.startswith("order "):
        return own
    if group.order > NAMED_LIMIT:
        return None
    return next((name for name in _candidates(group.order) if isomorphism(group, group_named(name)) is not None), None)


def isomorphism(first: FiniteGroup, second: FiniteGroup) -> Indices | None:
    """An isomorphism from one group onto another, as the number of every element's image, (N,); None where there is none.

    The search is exhaustive, so that None is a proof. It is quick where few elements have the order and class size of a generator.
    """
    if first.order != second.order:
        return None
    marks = _fingerprints(first), _fingerprints(second)
    if sorted(marks[0]) != sorted(marks[1]):
        return None
    generators = Subgroup(first, tuple(range(first.order))).generators
    classes = conjugacy_classes(second)
    choices: list[list[int]] = []
    for place, generator in enumerate(generators):
        alike = [element for element in range(second.order) if marks[1][element] == marks[0][generator]]
        # Followed by a conjugation of the second group an isomorphism is another one: of a class, one first image is enough.
        choices.append(list({int(classes[e]): e for e in reversed(alike)}.values()) if place == 0 else alike)
    return _search(first, second, generators, choices, [])


def _search(
    first: FiniteGroup, second: FiniteGroup, generators: Sequence[int], choices: Sequence[Sequence[int]], chosen: list[int]
) -> Indices | None:
    """The first choice of images, one for each generator, that is an isomorphism, by depth."""
    images = _extension(first, second, generators[: len(chosen)], chosen)
    if images is None or len(chosen) == len(generators):
        return images
    for image in choices[len(chosen)]:
        found = _search(first, second, generators, choices, [*chosen, image])
        if found is not None:
            return found
    return None


def _extension(first: FiniteGroup, second: FiniteGroup, generators: Sequence[int], chosen: Sequence[int]) -> Indices | None:
    """Images of the subgroup that some generators generate, −1 elsewhere; None unless the chosen images make an injective homomorphism."""
    images = np.full(first.order, -1, dtype=np.int64)
    images[first.identity] = second.identity
    reached = [first.identity]
    for element in reached:  # grows while it is gone through
        for generator, image in zip(generators, chosen, strict=True):
            product, expected = first.table[element, generator], second.table[images[element], image]
            if images[product] < 0:
                images[product] = expected
                reached.append(int(product))
            elif images[product] != expected:
                return None
    return images if len(np.unique(images[reached])) == len(reached) else None


class _Fingerprint(NamedTuple):
    """What an isomorphism leaves as it is."""

    order: int
    class_size: int
    square_roots: int


def _fingerprints(group: FiniteGroup) -> list[_Fingerprint]:
    classes, number = conjugacy_classes(group), np.arange(group.order)
    sizes = np.bincount(classes)[classes]
    roots = np.bincount(group.table[number, number], minlength=group.order)
    columns = (element_orders(group), sizes, roots)
    return [_Fingerprint(*values) for values in zip(*(column.tolist() for column in columns), strict=True)]


# — candidates —


def _candidates(order: int) -> Iterator[str]:
    """Names of the groups of an order that are not abelian, those of fewer factors first."""
    found: dict[str, int] = {}
    for factors in _products_of_atoms(order, 6):
        rest = order // math.prod(size for size, _ in factors)
        for invariants in _invariant_factors(rest):
            names = [name for _, name in factors] + [f"cyclic({n})" for n in invariants]
            found[names[0] if len(names) == 1 else f"product({', '.join(names)})"] = len(names)
    return iter(sorted(found, key=lambda name: found[name]))


def _products_of_atoms(order: int, least: int) -> Iterator[list[tuple[int, str]]]:
    """Sets of one or more groups that are not abelian whose orders have a product that divides an order, smallest first."""
    for size in range(least, order + 1):
        if order % size == 0:
            for name in _atoms(size):
                yield [(size, name)]
                yield from ([(size, name), *others] for others in _products_of_atoms(order // size, size))


def _atoms(order: int) -> list[str]:
    """The named groups of an order that are neither abelian nor a product; symmetric(3) is dihedral(3)."""
    names = [f"symmetric({n})" for n in (4, 5) if math.factorial(n) == order]
    names += [f"alternating({n})" for n in (4, 5) if math.factorial(n) == 2 * order]
    names += [f"dihedral({order // 2})"] if order % 2 == 0 and order >= 6 else []
    return names + (["quaternion()"] if order == 8 else [])


def _invariant_factors(order: int, divisor: int = 1) -> Iterator[list[int]]:
    """Every way to write an order as n₁ · n₂ · … of factors above 1, each a divisor of the next: the abelian groups of that order."""
    if order == 1:
        yield []
    for first in range(2, order + 1):
        if order % first == 0 and first % divisor == 0:
            yield from ([first, *others] for others in _invariant_factors(order // first, first))
