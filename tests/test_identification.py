"""Groups are recognized under other names and in another order, and what has no name here is not given one."""

import itertools

import numpy as np
import pytest

from groklab.data.groups import FiniteGroup, group_named
from groklab.data.identification import identify, isomorphism
from groklab.data.properties import is_associative, is_latin_square


def renamed(group, seed=0):
    """The same group with its elements in another order."""
    order = np.random.default_rng(seed).permutation(group.order)
    place = np.argsort(order)
    return FiniteGroup("renamed", tuple(f"e{i}" for i in range(group.order)), place[group.table[np.ix_(order, order)]])


def semidirect(n, m, power):
    """Z_n ⋊ Z_m, in which the generator of Z_m raises those of Z_n to a power: (a, b)·(c, d) = (a + power^b·c, b + d)."""
    a, b = np.divmod(np.arange(n * m), m)
    factor = np.array([pow(power, int(k), n) for k in range(m)])
    table = ((a[:, None] + factor[b][:, None] * a) % n) * m + (b[:, None] + b) % m
    assert is_latin_square(table)
    assert is_associative(table)
    return FiniteGroup(f"semidirect({n}, {m})", tuple(map(str, range(n * m))), table)


NAMES = [
    "cyclic(1)", "cyclic(2)", "cyclic(6)", "cyclic(23)", "product(cyclic(2), cyclic(2))", "product(cyclic(2), cyclic(2), cyclic(12))",
    "dihedral(3)", "dihedral(4)", "dihedral(12)", "dihedral(97)", "quaternion()", "alternating(4)", "symmetric(4)", "alternating(5)", "symmetric(5)",
    "product(alternating(4), cyclic(2))", "product(dihedral(4), cyclic(3))", "product(quaternion(), cyclic(2), cyclic(2))",
    "product(dihedral(3), dihedral(3))", "product(symmetric(4), cyclic(5))", "product(alternating(5), cyclic(2))",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_group_is_recognized_under_other_names(name):
    group = renamed(group_named(name))
    assert identify(group) == name
    images = isomorphism(group, group_named(name))
    assert images is not None
    assert sorted(images) == list(range(group.order))
    named = group_named(name).table
    assert (images[group.table] == named[images[:, None], images]).all()


@pytest.mark.parametrize(
    ("name", "same"),
    [
        ("product(cyclic(3), cyclic(2))", "cyclic(6)"),
        ("symmetric(3)", "dihedral(3)"),
        ("product(dihedral(3), cyclic(2))", "dihedral(6)"),
        ("product(cyclic(4), cyclic(6))", "product(cyclic(2), cyclic(12))"),
        ("product(cyclic(2), product(quaternion(), cyclic(3)))", "product(quaternion(), cyclic(6))"),
        ("product(cyclic(2), symmetric(4))", "product(symmetric(4), cyclic(2))"),
    ],
)
def test_of_several_names_the_shortest_is_given(name, same):
    assert identify(renamed(group_named(name))) == same


def test_groups_of_one_order_are_told_apart():
    names = [name for name in NAMES if group_named(name).order == 24]
    assert len(names) >= 4
    for one, other in itertools.combinations(names, 2):
        assert isomorphism(renamed(group_named(one)), group_named(other)) is None


def test_groups_of_equal_fingerprints_are_told_apart_by_the_search():
    """The Heisenberg group mod 3 and Z₃³ are both of exponent 3; Z₉ ⋊ Z₃ and Z₉ × Z₃ have as many elements of every order."""
    heisenberg = semidirect(9, 3, 4)
    assert identify(heisenberg) is None
    assert isomorphism(heisenberg, group_named("product(cyclic(9), cyclic(3))")) is None
    assert isomorphism(heisenberg, renamed(heisenberg, 3)) is not None


@pytest.mark.parametrize(("n", "m", "power"), [(3, 4, 2), (5, 4, 2), (7, 3, 2), (8, 2, 3), (8, 2, 5), (13, 12, 2)])
def test_what_has_no_name_is_given_none(n, m, power):
    group = semidirect(n, m, power)
    assert identify(renamed(group)) is None
    assert isomorphism(renamed(group), group) is not None
