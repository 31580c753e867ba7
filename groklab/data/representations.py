"""All real irreducible representations of a finite group, computed from its multiplication table.

A random symmetric element of the algebra that commutes with all left translations of functions on the group has, with
probability one, eigenspaces that are irreducible and as many of each kind as there must be: functions on the group are a sum of
matrix algebras over the reals, the complex numbers and the quaternions (Serre 1977, §13.2), and a hermitian matrix over any of
them has as many distinct eigenvalues as it has rows. So one decomposition of a symmetric matrix finds everything; what it found
is then verified. Representations follow the groups' convention: ρ(x·y) = ρ(x) ρ(y), where x, which acts first, is the left
matrix, so that matrices act on rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from groklab.data.groups import FiniteGroup
from groklab.data.properties import is_associative, is_latin_square
from groklab.data.streams import stream
from groklab.text.values import shown

#: elements of the largest group that is decomposed: eigenvectors are a second's work there, and eight times that at twice the order
ORDER_LIMIT = 1_000
_TOLERANCE = 1e-7
_ATTEMPTS = 5

Integers = npt.NDArray[np.int64]
Reals = npt.NDArray[np.float64]
Kind = Literal["real", "complex", "quaternionic"]

#: dimension of the algebra of matrices that commute with the representation -> its kind and its Frobenius–Schur sum
_KINDS: dict[int, tuple[Kind, int]] = {1: ("real", 1), 2: ("complex", 0), 4: ("quaternionic", -2)}


@dataclass(frozen=True, eq=False)
class Irreducible:
    """One real irreducible representation ρ of a group of N elements, of dimension d."""

    name: str
    """trivial, sign, standard, frequency_3 … where the character tells, else the dimension and a letter: 5a, 5b."""
    kind: Kind
    """Frobenius–Schur: over the complex numbers ρ stays irreducible (real), becomes ψ + ψ̄ (complex) or 2 ψ (quaternionic)."""
    matrices: Reals
    """ρ(g) for every element g, (N, d, d), orthogonal; determined up to an orthogonal change of basis."""
    character: Reals
    """tr ρ(g), (N,)."""
    basis: Reals
    """Orthonormal basis, (N, d²/e), of the functions on the group that the entries of ρ span; e as in `commuting`."""

    @property
    def dimension(self) -> int:
        """Real dimension, d."""
        return self.matrices.shape[1]

    @property
    def commuting(self) -> int:
        """Dimension e of the matrices that commute with ρ: 1, 2 or 4 for the real, complex and quaternionic kind."""
        return next(e for e, (kind, _) in _KINDS.items() if kind == self.kind)


@dataclass(frozen=True, eq=False)
class Representations:
    """The real irreducible representations of a group, by dimension and then by character, the trivial one first."""

    group: FiniteGroup
    irreducibles: tuple[Irreducible, ...]
    classes: Integers
    """Number of every element's conjugacy class, (N,); classes are numbered by their first elements, the identity's is 0."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the irreducible representations."""
        return tuple(irreducible.name for irreducible in self.irreducibles)

    @cached_property
    def characters(self) -> Reals:
        """Character table over the reals: (representations, conjugacy classes)."""
        first = _first(self.classes)
        return np.stack([irreducible.character[first] for irreducible in self.irreducibles])

    def __getitem__(self, name: str) -> Irreducible:
        for irreducible in self.irreducibles:
            if irreducible.name == name:
                return irreducible
        raise ValueError(f"representation {shown(name)}: {self.group.name} has none of that name. Known: {', '.join(self.names)}.")


def conjugacy_classes(group: FiniteGroup) -> Integers:
    """Number of every element's conjugacy class, (N,), in the order of the classes' first elements but for the identity's, which is 0."""
    number = np.arange(group.order)
    conjugates = group.table[group.table[group.inverse(number)], number[:, None]]  # row g, column x: g⁻¹·x·g
    first = conjugates.min(axis=0)
    first[group.identity] = -1
    return np.unique(first, return_inverse=True)[1].reshape(-1).astype(np.int64)


def order_problem(name: str, order: int | float) -> str | None:
    """Why a group of that order is not decomposed; None where it is."""
    if order <= ORDER_LIMIT:
        return None
    return (
        f"{name} has {order:,} elements; expected at most {ORDER_LIMIT:,}, for its representations come from the eigenvectors of a "
        f"matrix with a row and a column for each. Choose a smaller group."
    )


@lru_cache(maxsize=16)
def representations_of(group: FiniteGroup) -> Representations:
    """All real irreducible representations of a group, verified; ValueError where it is too large or its table is no group's."""
    problem = order_problem(group.name, group.order)
    if problem is not None:
        raise ValueError(f"representations: {problem}")
    if not is_latin_square(group.table) or is_associative(group.table) is not True:
        raise ValueError(f"representations: got {group.name}, whose table is not that of a group; expected an associative Latin square.")
    classes = conjugacy_classes(group)
    for attempt in range(_ATTEMPTS):
        parts = _parts(group, classes, attempt)
        found = [part for part in parts if part is not None]
        # A random matrix whose eigenvalues lie too close to tell them apart fails here, and the next one is tried.
        if len(found) == len(parts) and _is_complete(found, group.order):
            # Rounded, so that neither the last digits nor the sign of a zero decide the order.
            found.sort(key=lambda part: (part.dimension, tuple(-np.round(part.character[_first(classes)], 6) + 0.0)))
            names = _names(group, found)
            return Representations(group, tuple(_named(part, name) for part, name in zip(found, names, strict=True)), classes)
    raise AssertionError(f"{group.name}: {_ATTEMPTS} random matrices gave no complete set of representations")


def _first(classes: Integers) -> Integers:
    """The first element of every class."""
    return np.unique(classes, return_index=True)[1]


# — decomposition —


class _Part(NamedTuple):
    kind: Kind
    matrices: Reals
    character: Reals
    basis: Reals

    @property
    def dimension(self) -> int:
        return self.matrices.shape[1]


def _named(part: _Part, name: str) -> Irreducible:
    for array in (part.matrices, part.character, part.basis):
        array.setflags(write=False)
    return Irreducible(name, part.kind, part.matrices, part.character, part.basis)


def _parts(group: FiniteGroup, classes: Integers, attempt: int) -> list[_Part | None]:
    """Candidates, one for each character that occurs; None for one that does not verify."""
    n = group.order
    number = np.arange(n)
    inverse = group.inverse(number)
    coefficients = stream("representations", 0, attempt).standard_normal(n)
    coefficients = coefficients + coefficients[inverse]
    # M[x, y] = c(x⁻¹·y) commutes with left translations; c(g) = c(g⁻¹) makes it symmetric.
    values, vectors = np.linalg.eigh(coefficients[group.table[inverse]])
    ends = np.flatnonzero(np.diff(values) > 1e-9 * np.abs(values).max()) + 1
    spaces = np.split(vectors, ends, axis=1)
    # The projection on such a space is convolution with its row at the identity, and the trace of a translation in it the sum of
    # that row over conjugates: N times its mean over the element's class.
    kernels = np.stack([space @ space[group.identity] for space in spaces])
    sizes = np.bincount(classes)
    indicator = (classes[:, None] == np.arange(len(sizes))) / sizes
    characters = n * (kernels @ indicator)[:, classes]
    plan = _plan(group)
    parts: list[_Part | None] = []
    left = list(range(len(spaces)))
    while left:
        same = [k for k in left if np.abs(characters[k] - characters[left[0]]).max() < _TOLERANCE * n]
        left = [k for k in left if k not in same]
        parts.append(_verified(group, spaces[same[0]], np.hstack([spaces[k] for k in same]), plan))
    return parts


class _Step(NamedTuple):
    """One step of reaching all elements: those at ``sources`` times ``factor`` are those at ``targets``."""

    factor: int
    sources: Integers
    targets: Integers


def _plan(group: FiniteGroup) -> list[_Step]:
    """Products that reach every element from the identity, each step about as many as were reached before."""
    reached = np.zeros(group.order, dtype=bool)
    reached[group.identity] = True
    steps: list[_Step] = []
    while not reached.all():
        factor = int(np.argmin(reached))
        sources = np.flatnonzero(reached)
        targets = group.table[sources, factor]
        is_new = ~reached[targets]
        reached[targets] = True
        steps.append(_Step(factor, sources[is_new], targets[is_new]))
    return steps


def _verified(group: FiniteGroup, space: Reals, basis: Reals, plan: list[_Step]) -> _Part | None:
    """The representation by left translations in an invariant space, if it proves to be an irreducible one by orthogonal matrices."""
    n, d = space.shape
    matrices = np.empty((n, d, d))
    matrices[group.identity] = np.eye(d)
    for factor, sources, targets in plan:
        translated = space[group.table[group.inverse(factor)]]  # (L_g f)(x) = f(g⁻¹·x)
        matrices[targets] = matrices[sources] @ (space.T @ translated)
    # The factors of the plan generate the group: what holds for every x and each of them holds for every pair.
    is_homomorphism = all(np.allclose(matrices[group.table[:, s.factor]], matrices @ matrices[s.factor], atol=_TOLERANCE) for s in plan)
    is_orthogonal = np.allclose(matrices @ matrices.mT, np.eye(d), atol=_TOLERANCE)
    character = np.einsum("gii->g", matrices)
    commuting = round(float(character @ character) / n)
    if not is_homomorphism or not is_orthogonal or commuting not in _KINDS:
        return None
    kind, indicator = _KINDS[commuting]
    number = np.arange(n)
    squares = character[group.table[number, number]].sum() / n
    if (
        abs(character @ character / n - commuting) > _TOLERANCE
        or abs(squares - indicator) > _TOLERANCE
        or basis.shape[1] * commuting != d * d
    ):
        return None
    return _Part(kind, matrices, character, basis)


def _is_complete(parts: list[_Part], order: int) -> bool:
    """Whether characters are orthogonal and Σ d²/e is the order, so that none is missing and none is there twice."""
    characters = np.stack([part.character for part in parts])
    products = characters @ characters.T / order
    are_orthogonal = np.abs(products - np.diag(np.diag(products))).max() < _TOLERANCE
    return bool(are_orthogonal) and sum(part.basis.shape[1] for part in parts) == order


# — names —


def _names(group: FiniteGroup, parts: list[_Part]) -> list[str]:
    """What the representations are usually called, as far as their characters tell, else the dimension and a letter."""
    characters = [part.character for part in parts]
    names: dict[int, str] = {0: "trivial"}

    def name(character: Reals, called: str) -> None:
        for k, own in enumerate(characters):
            if k not in names and np.allclose(own, character, atol=1e-6):
                names[k] = called

    generator = _generator(group)
    if generator is not None and group.order > 2:
        for k, part in enumerate(parts[1:], start=1):
            angle = np.arccos(np.clip(part.character[generator] / part.dimension, -1, 1))
            names[k] = f"frequency_{round(angle * group.order / (2 * np.pi))}"
    one_dimensional = [k for k, part in enumerate(parts) if part.dimension == 1 and k]
    if len(one_dimensional) == 1:
        names.setdefault(one_dimensional[0], "sign")
    if group.name.startswith(("symmetric(", "alternating(")):
        fixed = np.array([sum(image == str(i) for i, image in enumerate(element)) for element in group.elements])
        standard = fixed - 1.0
        name(standard, "standard")
        if len(one_dimensional) == 1:
            name(standard * characters[one_dimensional[0]], "standard⊗sign")
    unnamed = [part.dimension for k, part in enumerate(parts) if k not in names]
    for k, part in enumerate(parts):
        if k not in names:
            earlier = sum(parts[j].dimension == part.dimension and names[j][0].isdigit() for j in range(k))
            names[k] = f"{part.dimension}{_letters(earlier) if unnamed.count(part.dimension) > 1 else ''}"
    return [names[k] for k in range(len(parts))]


def _letters(number: int) -> str:
    """a … z, aa, ab …"""
    return (_letters(number // 26 - 1) if number >= 26 else "") + chr(ord("a") + number % 26)


def _generator(group: FiniteGroup) -> int | None:
    """The first element whose powers are the whole group; None where it is not cyclic."""
    if not np.array_equal(group.table, group.table.T):
        return None
    number = np.arange(group.order)
    power, orders = number.copy(), np.ones(group.order, dtype=np.int64)
    while (power != group.identity).any():
        orders += power != group.identity
        power = np.where(power == group.identity, power, group.table[power, number])
    whole = np.flatnonzero(orders == group.order)
    return int(whole[0]) if whole.size else None
