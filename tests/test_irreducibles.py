"""Irreducible representations against the character tables of the textbooks."""

import itertools
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from groklab.data.groups import FiniteGroup, group_named
from groklab.data.representations import ORDER_LIMIT, conjugacy_classes, representations_of

golden = (1 + np.sqrt(5)) / 2


def cosines(n: int, k: int, count: int) -> list[float]:
    return [2 * np.cos(2 * np.pi * k * j / n) for j in range(count)]


# group -> one element of each class (of each class and its inverse's, over the reals), and the rows in our order, with names
TABLES = {
    "symmetric(3)": (
        "012 102 120",
        {"trivial": [1, 1, 1], "sign": [1, -1, 1], "standard": [2, 0, -1]},
    ),
    "symmetric(4)": (
        "0123 1023 1032 1203 1230",
        {
            "trivial": [1, 1, 1, 1, 1],
            "sign": [1, -1, 1, 1, -1],
            "2": [2, 0, 2, -1, 0],
            "standard": [3, 1, -1, 0, -1],
            "standard⊗sign": [3, -1, -1, 0, 1],
        },
    ),
    "symmetric(5)": (
        "01234 10234 10324 12034 12043 12304 12340",
        {
            "trivial": [1, 1, 1, 1, 1, 1, 1],
            "sign": [1, -1, 1, 1, -1, -1, 1],
            "standard": [4, 2, 0, 1, -1, 0, -1],
            "standard⊗sign": [4, -2, 0, 1, 1, 0, -1],
            "5a": [5, 1, 1, -1, 1, -1, 0],
            "5b": [5, -1, 1, -1, -1, 1, 0],
            "6": [6, 0, -2, 0, 0, 0, 1],
        },
    ),
    "alternating(5)": (
        "01234 10324 12034 12340 23401",
        {
            "trivial": [1, 1, 1, 1, 1],
            "3a": [3, -1, 0, golden, 1 - golden],
            "3b": [3, -1, 0, 1 - golden, golden],
            "standard": [4, 0, 1, -1, -1],
            "5": [5, 1, -1, 0, 0],
        },
    ),
    "dihedral(7)": (
        "r0 r1 r2 r3 s0",
        {
            "trivial": [1, 1, 1, 1, 1],
            "sign": [1, 1, 1, 1, -1],
            **{f"2{letter}": [*cosines(7, k, 4), 0] for k, letter in ((1, "a"), (2, "b"), (3, "c"))},
        },
    ),
    "quaternion()": (
        "1 -1 i j k",
        {
            "trivial": [1, 1, 1, 1, 1],
            "1a": [1, 1, 1, -1, -1],
            "1b": [1, 1, -1, 1, -1],
            "1c": [1, 1, -1, -1, 1],
            "4": [4, -4, 0, 0, 0],
        },
    ),
    "cyclic(7)": (
        "0 1 2 3",
        {"trivial": [1, 1, 1, 1], **{f"frequency_{k}": cosines(7, k, 4) for k in (1, 2, 3)}},
    ),
    "product(cyclic(3), symmetric(3))": (
        "0|012 1|012 0|102 1|102 0|120 1|120",
        {
            "trivial": [1, 1, 1, 1, 1, 1],
            "sign": [1, 1, -1, -1, 1, 1],
            "2a": [2, 2, 0, 0, -1, -1],
            "2b": [2, -1, 2, -1, 2, -1],
            "2c": [2, -1, -2, 1, 2, -1],
            "4": [4, -2, 0, 0, -2, 1],
        },
    ),
}
OTHERS = [
    "cyclic(1)",
    "cyclic(12)",
    "dihedral(6)",
    "alternating(4)",
    "product(cyclic(3), quaternion())",
    "product(quaternion(), quaternion())",
]


@pytest.mark.parametrize("text", TABLES)
def test_the_character_tables_of_the_textbooks(text: str) -> None:
    group = group_named(text)
    written, rows = TABLES[text]
    found = representations_of(group)
    chosen = [group.elements.index(element) for element in written.split()]
    # Equal characters have no natural order within a dimension; the names say which is which.
    assert sorted(found.names) == sorted(rows)
    assert found.names[0] == "trivial"
    assert [i.dimension for i in found.irreducibles] == sorted(row[0] for row in rows.values())
    by_values = {name: tuple(np.round(found[name].character[chosen], 6) + 0.0) for name in found.names}
    if text == "product(cyclic(3), symmetric(3))":
        assert sorted(by_values.values()) == sorted(tuple(map(float, row)) for row in rows.values())
    else:
        for name, row in rows.items():
            np.testing.assert_allclose(found[name].character[chosen], row, atol=1e-9, err_msg=name)


def test_kinds() -> None:
    def kinds(text: str) -> dict[str, str]:
        return {i.name: i.kind for i in representations_of(group_named(text)).irreducibles}

    assert set(kinds("symmetric(5)").values()) == {"real"}
    assert kinds("quaternion()") == {"trivial": "real", "1a": "real", "1b": "real", "1c": "real", "4": "quaternionic"}
    assert kinds("cyclic(7)") == {"trivial": "real"} | {f"frequency_{k}": "complex" for k in (1, 2, 3)}
    assert kinds("cyclic(8)")["frequency_4"] == "real"
    # A central cube root of unity makes the quaternionic representation a complex one.
    assert sorted(k for k in kinds("product(cyclic(3), quaternion())").values()) == ["complex"] * 5 + ["quaternionic"] + ["real"] * 4


@pytest.mark.parametrize("text", [*TABLES, *OTHERS])
def test_all_pairs_multiply_and_bases_are_what_the_entries_span(text: str) -> None:
    group = group_named(text)
    n = group.order
    found = representations_of(group)
    for rho in found.irreducibles:
        products = np.einsum("xij,yjk->xyik", rho.matrices, rho.matrices)
        np.testing.assert_allclose(products, rho.matrices[group.table], atol=1e-9)
        np.testing.assert_allclose(rho.matrices[group.inverse(np.arange(n))], rho.matrices.mT, atol=1e-9)
        width = rho.dimension**2 // rho.commuting
        np.testing.assert_allclose(rho.basis.T @ rho.basis, np.eye(width), atol=1e-9)
        entries = rho.matrices.reshape(n, -1)
        np.testing.assert_allclose(rho.basis @ (rho.basis.T @ entries), entries, atol=1e-9)
        assert np.linalg.matrix_rank(entries, tol=1e-6) == width
        np.testing.assert_allclose(rho.character @ rho.character, n * rho.commuting, atol=1e-8)
    assert sum(rho.basis.shape[1] for rho in found.irreducibles) == n
    for one, other in itertools.combinations(found.irreducibles, 2):
        assert abs(one.character @ other.character) < 1e-8


def test_conjugacy_classes_and_the_character_table() -> None:
    group = group_named("symmetric(5)")
    found = representations_of(group)
    assert sorted(np.bincount(found.classes).tolist()) == [1, 10, 15, 20, 20, 24, 30]
    assert found.characters.shape == (7, 7)
    weights = np.bincount(found.classes)
    np.testing.assert_allclose(found.characters @ np.diag(weights) @ found.characters.T, 120 * np.eye(7), atol=1e-8)
    assert conjugacy_classes(group_named("cyclic(5)")).tolist() == [0, 1, 2, 3, 4]
    assert representations_of(group_named("cyclic(5)")).characters.shape == (3, 5)


def test_relabeled_elements_have_the_same_characters() -> None:
    group = group_named("symmetric(4)")
    order = np.random.default_rng(0).permutation(24)
    place = np.argsort(order)
    relabeled = FiniteGroup("symmetric(4)", tuple(group.elements[i] for i in order), place[group.table[np.ix_(order, order)]])
    found, expected = representations_of(relabeled), representations_of(group)
    for name in ("trivial", "sign", "2", "standard", "standard⊗sign"):
        np.testing.assert_allclose(found[name].character, expected[name].character[order], atol=1e-9)


def test_the_same_numbers_every_time() -> None:
    group = group_named("alternating(5)")
    first = representations_of(group)
    assert representations_of(group) is first
    representations_of.cache_clear()
    again = representations_of(group)
    assert again.names == first.names
    for one, other in zip(first.irreducibles, again.irreducibles, strict=True):
        np.testing.assert_array_equal(one.matrices, other.matrices)
        with pytest.raises(ValueError, match="read-only"):
            one.matrices[0, 0, 0] = 2.0


SPENT = """
import sys
from benchmarks.yardstick import yardsticks
from groklab.data.groups import group_named
from groklab.data.representations import representations_of
group = group_named(sys.argv[1])
print(yardsticks(lambda: representations_of.__wrapped__(group)))
found = representations_of(group)
assert sum(rho.basis.shape[1] for rho in found.irreducibles) == group.order
"""


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.parametrize(("text", "seconds"), [("symmetric(5)", 1.0), ("alternating(6)", 3.0), ("cyclic(360)", 3.0)])
def test_no_group_of_ordinary_size_keeps_anybody_waiting(text: str, seconds: float) -> None:
    alone = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    words, root = [sys.executable, "-c", SPENT, text], Path(__file__).parents[1]
    process = subprocess.run(words, env=alone, cwd=root, capture_output=True, text=True, check=True, encoding="utf-8")
    assert float(process.stdout) < 10 * seconds


def test_what_is_too_large_or_no_group_is_refused() -> None:
    with pytest.raises(ValueError, match=rf"cyclic\(1001\) has 1,001 elements; expected at most {ORDER_LIMIT:,}.*Choose a smaller group"):
        representations_of(group_named("cyclic(1001)"))
    i = np.arange(5)
    with pytest.raises(ValueError, match="subtraction, whose table is not that of a group"):
        representations_of(FiniteGroup("subtraction", tuple("01234"), (i[:, None] - i) % 5))
    with pytest.raises(ValueError, match="symmetric\\(3\\) has none of that name. Known: trivial, sign, standard"):
        representations_of(group_named("symmetric(3)"))["standart"]
