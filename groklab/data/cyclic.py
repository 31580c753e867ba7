"""Tables that are addition or subtraction in a cyclic group under other names, which is what Fourier analysis needs.

The nonzero residues of a prime p are the powers of a primitive root: multiplication is addition of their discrete logarithms
mod p − 1, and division is subtraction of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from groklab.data.table import Table

Integers = npt.NDArray[np.int64]

#: operation -> whether its elements are renamed by the discrete logarithm, and the sign of b in a ± b
OPERATIONS: dict[str, tuple[bool, int]] = {
    "addition": (False, 1),
    "subtraction": (False, -1),
    "multiplication": (True, 1),
    "division": (True, -1),
}


@dataclass(frozen=True, eq=False)
class CyclicTask:
    """c = a + b or a − b in the cyclic group of M elements, and where these are among the elements of a table."""

    order: int
    """Number of elements of the group (M): n for addition and subtraction, n − 1 for multiplication and division."""
    sign: int
    """1 where answers are sums in the group, −1 where they are differences."""
    places: Integers
    """(M,) the place in the table's elements of every element of the group: 0, 1, … or the powers 1, g, g², … of the primitive root."""

    @property
    def answers(self) -> Integers:
        """(M, M) the group's element c for every a and b."""
        number = np.arange(self.order)
        return (number[:, None] + self.sign * number) % self.order


def operation_problem(operation: str) -> str | None:
    """Why an operation has no Fourier analysis over a cyclic group; None where it has one."""
    if operation in OPERATIONS:
        return None
    return f"got the operation {operation}; expected addition, subtraction, multiplication or division, which are of a cyclic group."


def cyclic_task(table: Table) -> CyclicTask:
    """The cyclic group behind a table; ValueError for an operation that has none, or a group of fewer than three elements.

    Where 0 is an element without a place in the group (x = 0 in division) its cells are left out.
    """
    problem = operation_problem(table.operation)
    if problem is not None:
        raise ValueError(f"Fourier analysis: {problem}")
    is_multiplicative, sign = OPERATIONS[table.operation]
    residues = np.array([int(element) for element in table.elements])
    n = int(residues.max()) + 1
    order = n - 1 if is_multiplicative else n
    if order < 3:
        raise ValueError(f"Fourier analysis: got {order} elements of the group; expected at least 3. Choose a larger modulus.")
    names = powers_of_root(n) if is_multiplicative else np.arange(n)
    return CyclicTask(order, sign, np.searchsorted(residues, names))


def primitive_root(p: int) -> int:
    """The smallest number whose powers are all nonzero residues of a prime p."""
    return next(g for g in range(1, p) if len(np.unique(_powers(g, p))) == p - 1)


@lru_cache(maxsize=16)
def powers_of_root(p: int) -> Integers:
    """(p − 1,) the residues 1, g, g², … for the smallest primitive root g of a prime p: group element -> residue."""
    powers = _powers(primitive_root(p), p)
    powers.setflags(write=False)
    return powers


def _powers(g: int, p: int) -> Integers:
    powers = np.ones(p - 1, dtype=np.int64)
    for exponent in range(1, p - 1):
        powers[exponent] = powers[exponent - 1] * g % p
        if powers[exponent] == 1:  # the order of g is smaller: what follows repeats
            return powers[:exponent]
    return powers
