"""Finite groups by name: ``symmetric(5)``, ``dihedral(12)``, ``product(cyclic(3), quaternion())``.

A group is its written elements and its multiplication table; the left factor acts first. A registered constructor states its
order without building anything, so that a group that is too large is refused at once.
"""

from __future__ import annotations

import inspect
import itertools
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from groklab import registry
from groklab.data.properties import is_associative, is_latin_square
from groklab.registry import Call, Entry, group
from groklab.text.values import shown

#: cells of the largest table that can be asked for (design §10): 2,000 elements
CELL_LIMIT = 4_000_000
_NESTING_LIMIT = 20

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class FiniteGroup:
    """A finite group: its elements as they are written, and the table of their products."""

    name: str
    elements: tuple[str, ...]
    table: npt.NDArray[np.int64]
    """``table[i, j]`` is the number of the product of elements i and j; i acts first."""

    def __post_init__(self) -> None:
        shape = (len(self.elements), len(self.elements))
        if self.table.shape != shape or not shape[0]:
            raise ValueError(
                f"group {self.name}: got a table of shape {self.table.shape}; expected one row and column for each of {shape[0]} elements."
            )
        if len(set(self.elements)) != shape[0]:
            raise ValueError(f"group {self.name}: got an element written twice; expected distinct names.")
        self.table.setflags(write=False)

    @property
    def order(self) -> int:
        """Number of elements."""
        return len(self.elements)

    @cached_property
    def identity(self) -> int:
        """Number of the neutral element."""
        return int(np.flatnonzero((self.table == np.arange(self.order)).all(axis=1))[0])

    @cached_property
    def _inverses(self) -> Indices:
        return np.argmax(self.table == self.identity, axis=1)

    def multiply(self, left: Indices | int, right: Indices | int) -> Indices:
        """Numbers of the products; the left factor acts first."""
        return self.table[left, right]

    def inverse(self, elements: Indices | int) -> Indices:
        """Numbers of the inverses."""
        return self._inverses[elements]


# — checks —


def group_problems(call: Call) -> list[str]:
    """What is wrong with a group's name, found without building it; empty where it can be built."""
    depth = _nesting(call)
    if depth > _NESTING_LIMIT:
        return [f"{call.name}: got groups nested {depth} deep; expected at most {_NESTING_LIMIT}."]
    problems = [problem for part in _parts(call) for problem in _argument_problems(part)]
    if problems:
        return problems
    order = order_of(call)
    if order is not None and order * order > CELL_LIMIT:
        return [
            f"{_short(call)} has {about(order)} elements, so its table has {about(order * order)} cells; expected at most "
            f"{CELL_LIMIT:,} cells, a group of order {math.isqrt(CELL_LIMIT):,}. Choose a smaller group."
        ]
    return []


def order_of(call: Call) -> int | float | None:
    """The order of a group, without building it; infinity where it is beyond counting, None where its constructor does not say."""
    entry = registry.look_up("group", call.name)
    order = entry.facts.get("order")
    inside = [order_of(a) if isinstance(a, Call) else a for a in call.arguments]
    if order is None or any(a is None for a in inside):
        return None
    return order(*inside, **dict(call.settings))


def _nesting(call: Call) -> int:
    depth, level = 0, [call]
    while level:
        depth += 1
        level = [a for c in level for a in c.arguments if isinstance(a, Call)]
    return depth


def _parts(call: Call) -> Iterator[Call]:
    yield call
    for argument in call.arguments:
        if isinstance(argument, Call):
            yield from _parts(argument)


def _short(call: Call) -> str:
    written = str(call)
    return written if len(written) <= 60 else written[:57] + "…"


def about(number: int | float) -> str:
    """A count in words: exact where it can be read, a power of ten beyond."""
    if number == math.inf:
        return "more than 10^800"
    return f"{number:,}" if number < 10**15 else f"about 10^{int(math.log10(number))}"


def _argument_problems(call: Call) -> list[str]:
    try:
        entry = registry.look_up("group", call.name)
    except ValueError as error:
        return [str(error)]
    signature = inspect.signature(entry.function)
    try:
        bound = signature.bind(*call.arguments, **dict(call.settings))
    except TypeError:
        return [f"{_short(call)}: expected {call.name}{_written_signature(signature)}."]
    problems: list[str] = []
    for name, value in bound.arguments.items():
        parameter = signature.parameters[name]
        values = value if parameter.kind is inspect.Parameter.VAR_POSITIONAL else (value,)
        problems += [f"{call.name}: {problem}" for v in values if (problem := _type_problem(str(parameter.annotation), v))]
    return problems


def _written_signature(signature: inspect.Signature) -> str:
    names = [("*" if p.kind is inspect.Parameter.VAR_POSITIONAL else "") + name for name, p in signature.parameters.items()]
    return f"({', '.join(names)})"


def _type_problem(annotation: str, value: Any) -> str | None:
    if "FiniteGroup" in annotation:
        return None if isinstance(value, Call) else f"got {shown(value)}; expected a group such as cyclic(3)."
    whole = isinstance(value, int) and not isinstance(value, bool)
    if annotation in ("int", "<class 'int'>") and not (whole and value >= 1):
        written = str(value) if isinstance(value, Call) else repr(value)
        return f"got {written}; expected a positive whole number."
    return None


# — by name —


def group_named(text: str) -> FiniteGroup:
    """The group that a call such as ``"dihedral(5)"`` names, built once; ValueError with everything that is wrong."""
    call = registry.parse_call(text)
    problems = group_problems(call)
    if problems:
        raise ValueError("group: " + " ".join(problems))
    return _known(registry.canonical_call("group", text), call)


@lru_cache(maxsize=32)
def _known(canonical: str, call: Call) -> FiniteGroup:
    """A group by its canonical call, in which the hash of its source stands: one that is edited and loaded again is another."""
    return _built(call)


def _built(call: Call) -> FiniteGroup:
    entry = registry.look_up("group", call.name)
    arguments = [_built(a) if isinstance(a, Call) else a for a in call.arguments]
    if entry.source_hash is None:
        return entry.function(*arguments, **dict(call.settings))
    try:
        made = entry.function(*arguments, **dict(call.settings))
    except Exception as error:
        raise ValueError(f"group {call}: {type(error).__name__}: {error}.") from error
    return _verified(made, call, entry)


def _verified(made: Any, call: Call, entry: Entry) -> FiniteGroup:
    """A user's own group, once it has proved to be one: others rely on inverses and on the stated order."""
    if not isinstance(made, FiniteGroup):
        raise ValueError(f"group {call}: got {type(made).__name__} from {entry.name}; expected a FiniteGroup.")
    stated = order_of(call)
    if stated is not None and stated != made.order:
        raise ValueError(f"group {call}: its order= says {stated}, but it has {made.order} elements.")
    if made.order**2 > CELL_LIMIT:
        raise ValueError(f"group {call}: got {made.order:,} elements; expected at most {math.isqrt(CELL_LIMIT):,}.")
    if not np.issubdtype(made.table.dtype, np.integer) or made.table.min() < 0 or made.table.max() >= made.order:
        raise ValueError(f"group {call}: its table holds numbers that are not those of its elements, 0 to {made.order - 1}.")
    if not is_latin_square(made.table):
        raise ValueError(f"group {call}: an element occurs twice in a row or column of its table, so it is not a group.")
    if not is_associative(made.table):
        raise ValueError(f"group {call}: its multiplication is not associative, so it is not a group.")
    return made


# — the groups —


def _itself(n: int) -> int:
    return n


def _twice(n: int) -> int:
    return 2 * n


def _factorial(n: int) -> int | float:
    return math.factorial(n) if n <= 400 else math.inf


def _half_factorial(n: int) -> int | float:
    return _factorial(n) if n < 2 or n > 400 else math.factorial(n) // 2


def _order_of_product(*orders: int | float) -> int | float:
    # Python refuses to multiply infinity by a whole number beyond the range of decimals.
    return math.inf if math.inf in orders or sum(int(o).bit_length() for o in orders) > 3300 else math.prod(orders)


@group(order=_itself, check=group_problems)
def cyclic(n: int, /) -> FiniteGroup:
    """The residues 0 … n−1 under addition mod n."""
    i = np.arange(n)
    return FiniteGroup(f"cyclic({n})", tuple(map(str, range(n))), (i[:, None] + i) % n)


@group(order=_twice, check=group_problems)
def dihedral(n: int, /) -> FiniteGroup:
    """The 2n symmetries of the n-gon: rotations r0 …, then reflections s0 … with sk = rk·s0 and s0·rk = r(−k)·s0."""
    i = np.arange(n)
    total, difference = (i[:, None] + i) % n, (i[:, None] - i) % n
    table = np.block([[total, total + n], [difference + n, difference]])
    return FiniteGroup(f"dihedral({n})", tuple(f"r{k}" for k in range(n)) + tuple(f"s{k}" for k in range(n)), table)


@group(order=_factorial, check=group_problems)
def symmetric(n: int, /) -> FiniteGroup:
    """All permutations of n things, written 20134: the image of 0, of 1, …; (x·y)[i] = y[x[i]] (Power et al. 2022)."""
    return _of_permutations(f"symmetric({n})", itertools.permutations(range(n)))


@group(order=_half_factorial, check=group_problems)
def alternating(n: int, /) -> FiniteGroup:
    """The even permutations of n things, written and multiplied as in symmetric(n)."""
    even = (p for p in itertools.permutations(range(n)) if sum(a > b for a, b in itertools.combinations(p, 2)) % 2 == 0)
    return _of_permutations(f"alternating({n})", even)


def _of_permutations(name: str, permutations: Iterable[tuple[int, ...]]) -> FiniteGroup:
    images = np.array(list(permutations), dtype=np.int64)
    size = images.shape[1]
    # The digits of a permutation in base n number it uniquely and in lexicographic order.
    weights = size ** np.arange(size)[::-1]
    numbers = images @ weights
    rows = [np.searchsorted(numbers, images[:, x] @ weights) for x in images]
    return FiniteGroup(name, tuple("".join(map(str, image)) for image in images.tolist()), np.stack(rows))


@group(order=lambda: 8, check=group_problems)
def quaternion() -> FiniteGroup:
    """The quaternion group of order 8: 1, −1, i, −i, j, −j, k, −k with i·j = k (Hamilton 1843)."""
    unit = np.array([[0, 1, 2, 3], [1, 0, 3, 2], [2, 3, 0, 1], [3, 2, 1, 0]])
    negative = np.array([[0, 0, 0, 0], [0, 1, 0, 1], [0, 1, 1, 0], [0, 0, 1, 1]])
    number = np.arange(8)
    left, right = number[:, None], number[None, :]
    sign = (left + right + negative[left // 2, right // 2]) % 2
    return FiniteGroup("quaternion()", ("1", "-1", "i", "-i", "j", "-j", "k", "-k"), 2 * unit[left // 2, right // 2] + sign)


@group(order=_order_of_product, check=group_problems)
def product(first: FiniteGroup, second: FiniteGroup, /, *others: FiniteGroup) -> FiniteGroup:
    """The direct product of two or more groups, its elements written a|b."""
    factors = (first, second, *others)
    elements, table = factors[0].elements, factors[0].table
    for factor in factors[1:]:
        elements = tuple(f"{a}|{b}" for a in elements for b in factor.elements)
        table = (table[:, None, :, None] * factor.order + factor.table[None, :, None, :]).reshape(len(elements), len(elements))
    return FiniteGroup(f"product({', '.join(f.name for f in factors)})", elements, table)
