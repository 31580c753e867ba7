"""Subgroups against known counts, brute force and the definitions; cosets against theirs."""

import itertools

import numpy as np
import pytest

from benchmarks.yardstick import yardsticks
from groklab.data.groups import FiniteGroup, group_named
from groklab.data.subgroups import Subgroup, all_subgroups, subgroup_classes

COUNTS = {
    "cyclic(1)": (1, 1),
    "cyclic(12)": (6, 6),
    "cyclic(97)": (2, 2),
    "dihedral(7)": (4, 10),
    "quaternion()": (6, 6),
    "alternating(4)": (5, 10),
    "symmetric(4)": (11, 30),
    "alternating(5)": (9, 59),
    "symmetric(5)": (19, 156),
    "symmetric(6)": (56, 1455),
    "product(cyclic(2), cyclic(2), cyclic(2), cyclic(2))": (67, 67),
}
"""Classes and subgroups, as tables of groups have them."""


@pytest.mark.parametrize("name", COUNTS)
def test_known_counts(name):
    classes = subgroup_classes(group_named(name))
    assert (len(classes), sum(map(len, classes))) == COUNTS[name]
    assert classes[0][0].order == 1
    assert classes[-1][0].index == 1


def closure(group, generators):
    inside = {group.identity, *generators}
    while len(grown := inside | {int(group.table[x, y]) for x in inside for y in inside}) > len(inside):
        inside = grown
    return tuple(sorted(inside))


@pytest.mark.parametrize("name", ["symmetric(4)", "dihedral(6)", "quaternion()", "product(cyclic(2), dihedral(4))", "alternating(4)"])
def test_every_set_that_three_elements_generate_is_found(name):
    """No subgroup of these groups needs more than three generators."""
    group = group_named(name)
    expected = {closure(group, generators) for generators in itertools.combinations_with_replacement(range(group.order), 3)}
    found = [subgroup.elements for subgroup in all_subgroups(group)]
    assert set(found) == expected
    assert len(found) == len(expected)


@pytest.mark.parametrize("name", ["symmetric(5)", "dihedral(12)", "product(symmetric(3), quaternion())"])
def test_classes_are_those_of_conjugation(name):
    group = group_named(name)
    for members in subgroup_classes(group):
        conjugates = {
            tuple(sorted(int(group.table[group.table[group.inverse(g), h], g]) for h in members[0].elements)) for g in range(group.order)
        }
        assert {subgroup.elements for subgroup in members} == conjugates
        assert members[-1].conjugates == members
        assert all(subgroup.is_normal == (len(members) == 1) for subgroup in members)


@pytest.mark.parametrize("name", ["symmetric(5)", "dihedral(12)", "product(cyclic(2), cyclic(2), cyclic(3))"])
def test_a_name_is_enough_to_make_the_subgroup(name):
    group = group_named(name)
    for subgroup in all_subgroups(group):
        assert Subgroup.generated(group, subgroup.generators) == subgroup
        assert Subgroup.generated(group, subgroup.written_generators) == subgroup
        assert all(written in subgroup.name for written in subgroup.written_generators)
        assert len(subgroup.generators) <= 3


def test_isomorphism_types():
    types = sorted(members[0].type for members in subgroup_classes(group_named("symmetric(5)")))
    assert types == sorted(
        [
            *("cyclic(1)", "cyclic(2)", "cyclic(2)", "cyclic(3)", "cyclic(4)", "cyclic(5)", "cyclic(6)"),
            *("product(cyclic(2), cyclic(2))", "product(cyclic(2), cyclic(2))", "dihedral(3)", "dihedral(3)", "dihedral(4)"),
            *("dihedral(5)", "dihedral(6)", "alternating(4)", "order 20", "symmetric(4)", "alternating(5)", "symmetric(5)"),
        ]
    )


@pytest.mark.parametrize(
    "name",
    [
        *("cyclic(12)", "dihedral(4)", "dihedral(9)", "quaternion()", "alternating(4)", "symmetric(4)", "alternating(5)"),
        *("product(cyclic(2), cyclic(4))", "product(cyclic(3), cyclic(6), cyclic(12))", "product(cyclic(5), cyclic(5))"),
    ],
)
def test_a_group_is_of_its_own_type(name):
    group = group_named(name)
    assert Subgroup.generated(group, range(group.order)).type == name


@pytest.mark.parametrize(
    ("name", "type"),
    [
        ("product(cyclic(4), cyclic(9))", "cyclic(36)"),
        ("product(cyclic(6), cyclic(4))", "product(cyclic(2), cyclic(12))"),
        ("product(cyclic(2), alternating(4))", "order 24"),
        ("product(cyclic(2), alternating(5))", "order 120"),
        ("product(cyclic(2), quaternion())", "order 16"),
        ("product(cyclic(2), dihedral(3))", "dihedral(6)"),
        ("symmetric(3)", "dihedral(3)"),
    ],
)
def test_types_of_products(name, type):
    group = group_named(name)
    assert Subgroup.generated(group, range(group.order)).type == type


def test_the_subgroup_of_the_paper():
    group = group_named("symmetric(5)")
    found = Subgroup.generated(group, ["34201", "02143"])
    assert (found.order, found.index, found.type, found.is_normal, len(found.conjugates)) == (10, 12, "dihedral(5)", False, 6)


@pytest.mark.parametrize("name", ["symmetric(4)", "dihedral(5)", "quaternion()", "product(cyclic(2), dihedral(3))"])
def test_cosets_partition_the_group(name):
    group = group_named(name)
    for subgroup in all_subgroups(group):
        inside = set(subgroup.elements)
        for side in ("xH", "Hx"):
            labels = subgroup.cosets(side)
            assert np.bincount(labels).tolist() == [subgroup.order] * subgroup.index
            assert list(dict.fromkeys(labels.tolist())) == list(range(subgroup.index))
            for x, y in itertools.product(range(group.order), repeat=2):
                # y = x·h, or y = h·x
                quotient = group.table[group.inverse(x), y] if side == "xH" else group.table[y, group.inverse(x)]
                assert (labels[x] == labels[y]) == (int(quotient) in inside)
        assert np.array_equal(subgroup.cosets("xH"), subgroup.cosets("Hx")) == subgroup.is_normal


def test_sides_of_permutations():
    """x·h is first x, then h: with the h that fix 0, an xH holds what sends the same thing to 0, an Hx what sends 0 to the same thing."""
    group = group_named("symmetric(4)")
    fixing = Subgroup.generated(group, ["0231", "0213"])
    assert fixing.order == 6
    sent_to_zero = [written.index("0") for written in group.elements]
    image_of_zero = [int(written[0]) for written in group.elements]
    for side, same in (("xH", sent_to_zero), ("Hx", image_of_zero)):
        assert len(set(zip(fixing.cosets(side).tolist(), same, strict=True))) == 4


@pytest.mark.slow
@pytest.mark.alone
def test_it_is_fast():
    group = group_named("symmetric(5)")
    assert yardsticks(lambda: subgroup_classes.__wrapped__(FiniteGroup("fresh", group.elements, group.table.copy()))) < 20  # two seconds


def test_what_is_too_large_is_refused():
    with pytest.raises(ValueError, match="more than 10,000 subgroups; expected at most that many"):
        subgroup_classes(group_named(f"product({', '.join(['cyclic(2)'] * 8)})"))


def test_bad_input():
    group = group_named("dihedral(3)")
    with pytest.raises(ValueError, match=r"element of dihedral\(3\): got 'r9'; expected a number from 0 to 5 or a name such as 's2'"):
        Subgroup.generated(group, ["r9"])
    with pytest.raises(ValueError, match="got 6; expected a number from 0 to 5"):
        Subgroup.generated(group, [6])
    for elements in ((), (0, 1), (1, 0, 2), (0, 6), (0, 0)):
        with pytest.raises(ValueError, match=r"elements: got \(.*expected a subgroup of dihedral\(3\)"):
            Subgroup(group, elements)
    with pytest.raises(ValueError, match="side: got 'left'; expected xH"):
        Subgroup.generated(group, ["r1"]).cosets("left")
