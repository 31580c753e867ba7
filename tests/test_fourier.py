"""Fourier transforms over cyclic groups of odd and even order, against their definitions."""

import math

import pytest
import torch

from groklab.measures.fourier import (
    along,
    block_power,
    by_frequency,
    fourier_basis,
    frequency_of_row,
    inverse_pairs,
    mean_by_sum,
    power_spectrum,
    rows_of,
    sum_directions,
    transform,
    transform_pairs,
)
from groklab.measures.spectra import gini_coefficient

ORDERS = [3, 4, 7, 8]


def random(*shape):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("n", [1, 2, *ORDERS, 113])
def test_the_basis_is_orthonormal(n):
    basis = fourier_basis(n)
    torch.testing.assert_close(basis @ basis.T, torch.eye(n, dtype=torch.float64))
    assert frequency_of_row(n).max() == n // 2


def test_the_last_row_of_an_even_order_alternates():
    torch.testing.assert_close(fourier_basis(6)[-1] * math.sqrt(6), torch.tensor([1.0, -1, 1, -1, 1, -1], dtype=torch.float64))
    assert len(rows_of(6, 3)) == 1
    assert len(rows_of(7, 3)) == 2
    with pytest.raises(ValueError, match="expected 0 to 3 for 6 elements"):
        rows_of(6, 4)


def test_a_planted_wave_is_found_at_its_frequency():
    x = torch.arange(10).double()
    wave = 3 * torch.cos(2 * torch.pi * 4 * x / 10 + 0.7)[:, None]
    power = power_spectrum(wave)[:, 0]
    torch.testing.assert_close(power, torch.tensor([0, 0, 0, 0, 9 * 10 / 2, 0], dtype=torch.float64))


@pytest.mark.parametrize("n", ORDERS)
def test_power_adds_up_and_transforms_can_be_undone(n):
    one, two = random(n, 5), random(n, n, 5)
    torch.testing.assert_close(power_spectrum(one).sum(0), one.square().sum(0))
    torch.testing.assert_close(transform(one), fourier_basis(n) @ one)
    components = transform_pairs(two)
    torch.testing.assert_close(components, torch.einsum("xyd,ix,jy->ijd", two, fourier_basis(n), fourier_basis(n)))
    torch.testing.assert_close(inverse_pairs(components), two)


@pytest.mark.parametrize("n", ORDERS)
@pytest.mark.parametrize("sign", [1, -1])
def test_sum_directions_are_waves_of_the_sum(n, sign):
    a, b = torch.meshgrid(torch.arange(n), torch.arange(n), indexing="ij")
    found = []
    for k in range(n // 2 + 1):
        angle = 2 * torch.pi * k * (a + sign * b).double() / n
        waves = [angle.cos()] + [angle.sin()] * (0 < 2 * k < n)
        expected = torch.stack([wave / wave.norm() for wave in waves])
        torch.testing.assert_close(sum_directions(n, k, sign), expected)
        found += list(expected)
    together = torch.stack(found).flatten(1)
    torch.testing.assert_close(together @ together.T, torch.eye(n, dtype=torch.float64))


@pytest.mark.parametrize("n", ORDERS)
@pytest.mark.parametrize("sign", [1, -1])
def test_projections_on_sum_directions_are_transforms_of_the_means_by_sum(n, sign):
    values = random(n, n, 3)
    a, b = torch.meshgrid(torch.arange(n), torch.arange(n), indexing="ij")
    means = mean_by_sum(values, sign)
    for k in range(n // 2 + 1):
        directions = sum_directions(n, k, sign)
        projected = torch.einsum("iab,ixy,xyd->abd", directions, directions, values)
        torch.testing.assert_close(along(means, [k])[(a + sign * b) % n], projected)


@pytest.mark.parametrize("n", ORDERS)
def test_the_power_of_a_block_is_that_of_its_components(n):
    values = random(n, n, 4) + 2
    components, frequency = transform_pairs(values).square(), frequency_of_row(n)
    power = block_power(values)
    torch.testing.assert_close(power[0], components[0, 0])
    for k in range(1, n // 2 + 1):
        rows = (frequency == 0) | (frequency == k)
        torch.testing.assert_close(power[k], components[rows][:, rows].sum((0, 1)) - components[0, 0])


def test_rows_add_up_by_frequency():
    power = torch.tensor([1.0, 2, 3, 4, 5, 6])
    assert by_frequency(power).tolist() == [1, 5, 9, 6]


def test_gini_by_hand():
    assert gini_coefficient(torch.full((7,), 2.0)) == pytest.approx(0)
    assert gini_coefficient(torch.eye(5)[2]) == pytest.approx(1 - 1 / 5)
    assert gini_coefficient(torch.tensor([3.0, 1.0])) == pytest.approx(0.25)
    assert gini_coefficient(torch.zeros(3)) == 0
