"""What can be said of a square table of products: Latin, associative.

``product[i, j]`` is the number of the product of elements i and j, all from 0 to n−1.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

#: products compared before associativity is given up as undecided; groups need a few million, seconds lie far beyond
_COMPARISONS = 400_000_000
_SCREENED = 4096


def is_latin_square(product: npt.NDArray[np.integer]) -> bool:
    """Whether every row and every column holds each element exactly once."""
    n = len(product)
    rows, columns = np.zeros((n, n), dtype=bool), np.zeros((n, n), dtype=bool)
    number = np.arange(n)
    rows[number[:, None], product] = True
    columns[product, number] = True
    return bool(rows.all() and columns.all())


def is_associative(product: npt.NDArray[np.integer]) -> bool | None:
    """Whether (x·y)·z = x·(y·z) for all elements, by Light's test; None where that would take too long.

    The elements y that satisfy it for all x and z are closed under products (Clifford and Preston 1961, §1.2), so that it is
    enough to try generators: a group of order n has at most log₂ n of them. Some random triples come first, since most tables
    that are not associative fail there.
    """
    n = len(product)
    x, y, z = np.random.Generator(np.random.Philox(0)).integers(0, n, (3, _SCREENED))
    if (product[product[x, y], z] != product[x, product[y, z]]).any():
        return False
    compared = 0
    reached = np.zeros(n, dtype=bool)
    generators: list[int] = []
    while not reached.all():
        generator = int(np.argmin(reached))
        if compared > _COMPARISONS:
            return None
        compared += n * n
        if not np.array_equal(product[product[:, generator], :], product[:, product[generator, :]]):
            return False
        generators.append(generator)
        reached[generator] = True
        fresh = np.flatnonzero(reached)
        while fresh.size:
            made = np.unique(product[fresh[:, None], np.array(generators)])
            fresh = made[~reached[made]]
            reached[fresh] = True
    return True


def neutral_element(product: npt.NDArray[np.integer]) -> int | None:
    """The number of the element e with e·x = x·e = x for all x; None where there is none."""
    number = np.arange(len(product))
    found = np.flatnonzero((product == number).all(axis=1) & (product == number[:, None]).all(axis=0))
    return int(found[0]) if found.size else None


def has_inverses(product: npt.NDArray[np.integer]) -> bool:
    """Whether there is a neutral element e, and for every x a y with x·y = y·x = e."""
    neutral = neutral_element(product)
    if neutral is None:
        return False
    makes_neutral = product == neutral
    return bool((makes_neutral & makes_neutral.T).any(axis=1).all())
