"""Cyclic groups behind tables: primitive roots, discrete logarithms, and the order in which Fourier analysis sees the elements."""

import numpy as np
import pytest

from groklab.config.fields import Task
from groklab.data.cyclic import cyclic_task, powers_of_root, primitive_root
from groklab.data.tables import table_of


@pytest.mark.parametrize(("p", "root"), [(2, 1), (3, 2), (5, 2), (7, 3), (23, 5), (41, 6), (97, 5), (113, 3), (191, 19)])
def test_the_smallest_primitive_roots_are_those_of_the_tables(p, root):
    assert primitive_root(p) == root


@pytest.mark.parametrize("p", [3, 5, 23, 97])
def test_powers_turn_sums_into_products(p):
    powers = powers_of_root(p)
    assert sorted(powers) == list(range(1, p))
    a, b = np.meshgrid(np.arange(p - 1), np.arange(p - 1))
    assert np.array_equal(powers[(a + b) % (p - 1)], powers[a] * powers[b] % p)


@pytest.mark.parametrize(
    ("operation", "n", "order"),
    [("addition", 12, 12), ("addition", 7, 7), ("subtraction", 9, 9), ("multiplication", 23, 22), ("division", 23, 22)],
)
def test_answers_of_the_table_are_sums_or_differences_in_the_group(operation, n, order):
    table = table_of(Task(operation=operation, modulus=n))
    group = cyclic_task(table)
    assert group.order == order
    a, b = np.meshgrid(np.arange(order), np.arange(order), indexing="ij")
    cells = table.find(group.places[a], group.places[b])
    assert (cells >= 0).all()
    assert np.array_equal(table.z[cells], group.places[group.answers])


def test_only_four_operations_have_a_cyclic_group():
    with pytest.raises(ValueError, match=r"sum_of_squares; expected addition, subtraction, multiplication or division"):
        cyclic_task(table_of(Task(operation="sum_of_squares", modulus=7)))
    with pytest.raises(ValueError, match=r"got 2 elements of the group; expected at least 3"):
        cyclic_task(table_of(Task(operation="multiplication", modulus=3)))
