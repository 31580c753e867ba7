"""The binary operations that can be learned: the paper's twelve, products in any group, formulas and files.

A modular operation is ``(x, y, n) -> z`` on int64 arrays with answers 0 … n−1, exact for every n up to 2,000. An operation on
a group is ``(x, y, group) -> z`` on the numbers of elements. Facts: ``over`` (what the elements are: modulus, group, fixed
group or file), ``symbol``, ``domain`` ((x, y, n) -> bool array), ``requires`` (n -> what is expected of it, where it is wrong),
``commutative`` and ``group`` (declared, and verified by the tests for primes).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from groklab.data.arithmetic import power
from groklab.data.checks import task_problems
from groklab.data.expressions import evaluate, parse
from groklab.data.files import reader_of
from groklab.data.groups import FiniteGroup
from groklab.registry import operation

Integers = npt.NDArray[np.int64]
Truths = npt.NDArray[np.bool_]


def is_prime(n: int) -> bool:
    """Whether a number is prime."""
    return n > 1 and all(n % divisor for divisor in range(2, int(n**0.5) + 1))


def prime(n: int) -> tuple[str, str] | None:
    """What is expected of a modulus that must be a prime, and the nearest ones; None where it is one."""
    if is_prime(n):
        return None
    below = next((p for p in range(n - 1, 1, -1) if is_prime(p)), None)
    above = next(p for p in range(max(n, 1) + 1, 2 * max(n, 1) + 2) if is_prime(p))
    return "a prime", f"The nearest are {below} and {above}." if below else f"The nearest is {above}."


def _nonzero_divisor(x: Integers, y: Integers, n: int) -> Truths:
    return y != 0


def _both_nonzero(x: Integers, y: Integers, n: int) -> Truths:
    return (x != 0) & (y != 0)


# — modular —


@operation(symbol="x + y (mod n)", commutative=True, group=True, check=task_problems)
def addition(x: Integers, y: Integers, n: int) -> Integers:
    """Addition of residues (Power et al. 2022)."""
    return (x + y) % n


@operation(symbol="x - y (mod n)", commutative=False, group=False, check=task_problems)
def subtraction(x: Integers, y: Integers, n: int) -> Integers:
    """Subtraction of residues (Power et al. 2022)."""
    return (x - y) % n


@operation(symbol="x * y (mod n)", domain=_both_nonzero, requires=prime, commutative=True, group=True, check=task_problems)
def multiplication(x: Integers, y: Integers, n: int) -> Integers:
    """Multiplication of nonzero residues, n prime: addition mod n−1 with renamed elements (Power et al. 2022, §3.2)."""
    return x * y % n


@operation(symbol="x / y (mod n)", domain=_nonzero_divisor, requires=prime, commutative=False, check=task_problems)
def division(x: Integers, y: Integers, n: int) -> Integers:
    """Division by nonzero residues, n prime (Power et al. 2022)."""
    return x * power(y, n - 2, n) % n  # Fermat: the inverse of y is y^(n−2)


@operation(symbol="x / y if y is odd, otherwise x - y (mod n)", requires=prime, commutative=False, group=False, check=task_problems)
def division_or_subtraction(x: Integers, y: Integers, n: int) -> Integers:
    """Division by odd y and subtraction of even y, n prime (Power et al. 2022)."""
    return np.where(y % 2 == 1, x * power(y, n - 2, n), x - y) % n


@operation(symbol="x^2 + y^2 (mod n)", commutative=True, group=False, check=task_problems)
def sum_of_squares(x: Integers, y: Integers, n: int) -> Integers:
    """Sum of squares of residues (Power et al. 2022)."""
    return (x * x + y * y) % n


@operation(symbol="x^2 + xy + y^2 (mod n)", commutative=True, group=False, check=task_problems)
def quadratic_form(x: Integers, y: Integers, n: int) -> Integers:
    """The symmetric quadratic form x² + xy + y² (Power et al. 2022)."""
    return (x * x + x * y + y * y) % n


@operation(symbol="x^2 + xy + y^2 + x (mod n)", commutative=False, group=False, check=task_problems)
def quadratic_form_plus_x(x: Integers, y: Integers, n: int) -> Integers:
    """The quadratic form x² + xy + y² + x, whose last term breaks the symmetry (Power et al. 2022)."""
    return (x * x + x * y + y * y + x) % n


@operation(symbol="x^3 + xy (mod n)", commutative=False, group=False, check=task_problems)
def cubic_xy(x: Integers, y: Integers, n: int) -> Integers:
    """The cubic x³ + xy (Power et al. 2022)."""
    return (x * x * x + x * y) % n


@operation(symbol="x^3 + xy^2 + y (mod n)", commutative=False, group=False, check=task_problems)
def cubic_xyy_plus_y(x: Integers, y: Integers, n: int) -> Integers:
    """The cubic x³ + xy² + y, which the paper's network does not learn within 10⁵ updates (Power et al. 2022)."""
    return (x * x * x + x * y * y + y) % n


@operation(symbol="formula (mod n)", not_settings=("formula",), check=task_problems)
def expression(x: Integers, y: Integers, n: int, *, formula: str) -> Integers:
    """A formula in x, y and n that is given as text, such as x**2 + 3*x*y + 5."""
    return evaluate(parse(formula), x, y, n)


# — groups —


@operation(over="group", symbol="x · y in G", group=True, check=task_problems)
def group_product(x: Integers, y: Integers, group: FiniteGroup) -> Integers:
    """Product in a finite group, the left factor acting first (Power et al. 2022, for S₅)."""
    return group.multiply(x, y)


@operation(over="group", symbol="x · y · x⁻¹ in G", check=task_problems)
def group_conjugation(x: Integers, y: Integers, group: FiniteGroup) -> Integers:
    """Conjugation x·y·x⁻¹ in a finite group (Power et al. 2022, for S₅)."""
    return group.multiply(group.multiply(x, y), group.inverse(x))


@operation(over="group", symbol="x · y · x in G", check=task_problems)
def group_sandwich(x: Integers, y: Integers, group: FiniteGroup) -> Integers:
    """The product x·y·x in a finite group (Power et al. 2022, for S₅)."""
    return group.multiply(group.multiply(x, y), x)


_S5 = "symmetric(5)"


@operation(
    over="fixed group", on=_S5, same_as=("group_product", _S5), symbol="x · y in S₅", commutative=False, group=True, check=task_problems
)
def s5_product(x: Integers, y: Integers, group: FiniteGroup) -> Integers:
    """Product of permutations of five things, the left factor acting first (Power et al. 2022)."""
    return group_product(x, y, group)


@operation(
    over="fixed group",
    on=_S5,
    same_as=("group_conjugation", _S5),
    symbol="x · y · x⁻¹ in S₅",
    commutative=False,
    group=False,
    check=task_problems,
)
def s5_conjugation(x: Integers, y: Integers, group: FiniteGroup) -> Integers:
    """Conjugation x·y·x⁻¹ of permutations of five things (Power et al. 2022)."""
    return group_conjugation(x, y, group)


@operation(
    over="fixed group",
    on=_S5,
    same_as=("group_sandwich", _S5),
    symbol="x · y · x in S₅",
    commutative=False,
    group=False,
    check=task_problems,
)
def s5_sandwich(x: Integers, y: Integers, group: FiniteGroup) -> Integers:
    """The product x·y·x of permutations of five things (Power et al. 2022)."""
    return group_sandwich(x, y, group)


# — files —


@operation(over="file", symbol="x ∘ y", check=task_problems, reader_of=reader_of)
def from_file(x: Integers, y: Integers, n: int) -> Integers:
    """The table in a CSV file, with columns x, y and z or as a matrix; an empty answer is to be found."""
    raise AssertionError("a table from a file is read, not computed")
