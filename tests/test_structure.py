"""Circles and number lines planted in an embedding are seen, random matrices show none; pictures are what they say."""

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.distance import pdist, squareform

from groklab.analysis.projections import classical_scaling, pca, tsne
from groklab.analysis.structure import circularity, number_line
from groklab.data.cyclic import powers_of_root


def circles(n, frequencies, *, width, noise=0.0, seed=0, radii=None):
    """Circles of several frequencies, each in a plane of its own, rotated into E dimensions."""
    stream = np.random.default_rng(seed)
    planes = np.linalg.qr(stream.standard_normal((width, 2 * len(frequencies))))[0]
    turns = 2 * np.pi * np.outer(np.arange(n), frequencies) / n
    sizes = np.ones(len(frequencies)) if radii is None else np.array(radii)
    points = np.stack([np.cos(turns) * sizes, np.sin(turns) * sizes], axis=-1).reshape(n, -1)
    return points @ planes.T + noise * stream.standard_normal((n, width))


def random(seed, n=97, width=16):
    return np.random.default_rng(seed).standard_normal((n, width))


# — projections —


def test_principal_components():
    matrix = random(0) * np.arange(1, 17) + 5
    found, all_of_them = pca(matrix, 3), pca(matrix, 16)
    assert found.points.shape == (97, 3)
    assert np.array_equal(found.points, all_of_them.points[:, :3])
    values = np.linalg.eigvalsh(np.cov(matrix.T))[::-1]
    assert found.points.var(axis=0, ddof=1) == pytest.approx(values[:3])
    assert found.explained == pytest.approx(values[:3] / values.sum())
    assert all_of_them.explained.sum() == pytest.approx(1)
    assert pdist(all_of_them.points) == pytest.approx(pdist(matrix))
    assert np.array_equal(pca(matrix.astype(np.float32)).points, pca(matrix.astype(np.float32).tolist()).points)


def test_classical_scaling_of_euclidean_distances_is_pca():
    matrix = random(1, n=20, width=4)
    found, expected = classical_scaling(squareform(pdist(matrix)), 3), pca(matrix, 3)
    assert np.abs(found.points) == pytest.approx(np.abs(expected.points), abs=1e-9)
    assert found.explained == pytest.approx(expected.explained)


def test_classical_scaling_of_distances_of_no_points():
    # Four leaves at distance 2 through a center at distance 1: a star has no place in the plane or in space.
    star = 2.0 * (1 - np.eye(5))
    star[0, 1:] = star[1:, 0] = 1.0
    found = classical_scaling(star, 5)
    assert found.explained.sum() < 0.99
    assert not found.points[:, 4].any()
    with pytest.raises(ValueError, match="expected it square, symmetric"):
        classical_scaling(random(0, n=5, width=5))


@pytest.mark.medium
def test_tsne():
    pytest.importorskip("sklearn")
    matrix = circles(97, [12], width=32, noise=0.02)
    one, again = tsne(matrix), tsne(matrix)
    assert one.dtype == np.float64
    assert one.shape == (97, 2)
    assert np.array_equal(one, again)
    drawn = tsne(matrix, 1)
    assert np.array_equal(drawn, tsne(matrix, 1))
    assert not np.allclose(drawn, tsne(matrix, 2))
    assert number_line(one).step == 8
    assert number_line(one).p_value < 0.001
    assert tsne(matrix, components=3).shape == (97, 3)
    for few in (4, 7, 12):
        assert np.isfinite(tsne(random(0, n=few, width=8))).all()


def test_tsne_refuses_what_makes_no_sense():
    with pytest.raises(ValueError, match="got 3 rows; expected at least 4"):
        tsne(np.eye(3))
    with pytest.raises(ValueError, match=r"perplexity: got 10\.0; expected 1 to less than the 10 rows"):
        tsne(np.eye(10), perplexity=10.0)


# — circles —


@pytest.mark.parametrize("frequencies", [[1], [12], [5, 17, 30], [48]])
@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_planted_circles(frequencies, noise):
    found = circularity(circles(97, frequencies, width=32, noise=noise))
    assert found.score > 0.97
    assert found.chance < 0.2
    assert found.adjusted > 0.96
    assert found.p_value == 1 / 2000
    strongest = found.frequencies.head(len(frequencies))
    assert sorted(strongest["frequency"].to_list()) == frequencies
    assert strongest["roundness"].min() > 0.97
    assert strongest["share"].to_numpy() == pytest.approx(1 / len(frequencies), abs=0.02)
    assert found.frequencies["share"].sum() == pytest.approx(1)


def test_a_circle_under_much_noise_is_still_seen():
    found = circularity(circles(97, [12], width=64, noise=0.2), frequencies=1)
    assert 0.2 < found.score < 0.4
    assert found.p_value < 0.001
    assert found.strongest == 12


def test_one_circle_and_several():
    matrix = circles(97, [5, 17, 30], width=32, radii=[3, 2, 1])
    assert circularity(matrix, frequencies=1).score == pytest.approx(9 / 14)
    assert circularity(matrix, frequencies=2).score == pytest.approx(13 / 14)
    assert circularity(matrix, frequencies=1).frequencies["frequency"].to_list()[:3] == [5, 17, 30]


def test_a_line_is_no_circle():
    wave = np.outer(np.cos(2 * np.pi * 5 * np.arange(60) / 60), np.ones(8))
    assert circularity(wave).score == pytest.approx(0, abs=1e-9)
    assert circularity(wave).frequencies["roundness"][0] == pytest.approx(0, abs=1e-9)
    assert circularity(wave, variant="components").score == pytest.approx(1)
    signs = np.outer((-1.0) ** np.arange(60), np.ones(8))
    assert circularity(signs, frequencies=30).score == pytest.approx(0, abs=1e-9)
    assert circularity(signs).strongest == 30


def test_a_cylinder():
    """A circle along an axis of random heights: the axis is the missing share."""
    axis = np.random.default_rng(0).standard_normal(97)
    matrix = np.column_stack([circles(97, [12], width=2), axis / axis.std() / np.sqrt(2)])
    found = circularity(matrix, frequencies=1)
    assert found.score == pytest.approx(2 / 3, abs=0.05)
    assert found.p_value < 0.001


def test_components():
    found = circularity(circles(97, [5, 17], width=32, radii=[2, 1]), variant="components")
    assert found.score == pytest.approx(1)
    assert found.p_value < 0.001
    four = pca(noisy := circles(97, [5, 17], width=32, noise=0.1), 4).points
    power = np.abs(np.fft.fft(four, axis=0)) ** 2
    assert circularity(noisy, variant="components").score == pytest.approx((2 * power.max(axis=0) / power.sum(axis=0)).mean())


@pytest.mark.parametrize("variant", ["circles", "components"])
def test_random_matrices_show_no_circles(variant):
    found = [circularity(random(seed), variant=variant, permutations=199, seed=seed) for seed in range(40)]
    assert found[0].p_value > 0.05
    assert stats.kstest([one.p_value for one in found], "uniform").pvalue > 0.05
    assert np.mean([one.score - one.chance for one in found]) == pytest.approx(0, abs=0.01)


def test_cosets_are_circles_of_few_points():
    found = circularity(circles(96, [8], width=8))
    assert (found.strongest, found.frequencies["points"][0]) == (8, 12)


# — number lines —


@pytest.mark.parametrize(("frequency", "step"), [(12, 8), (1, 1), (48, 2), (85, 8)])
def test_the_step_of_a_planted_circle(frequency, step):
    for noise in (0.0, 0.05):
        found = number_line(circles(97, [frequency], width=2, noise=noise))
        assert found.step == step
        assert found.p_value < 0.001
        assert found.score > 0.9
        assert found.chance < 0.2
        assert found.steps["step"].sort().to_list() == list(range(1, 49))
    in_many = number_line(circles(97, [frequency], width=64, noise=0.02))
    assert (in_many.step, in_many.p_value) == (step, 1 / 2000)


def test_the_score_of_a_circle_and_how_straight_it_is():
    best = number_line(circles(97, [12], width=8)).steps.row(0, named=True)
    assert best["score"] == pytest.approx(1 - np.pi**2 / (2 * 97), abs=2e-3)
    assert best["straightness"] == pytest.approx(2 * np.cos(np.pi / 97) - 1)
    assert best["loops"] == 1


def test_what_a_line_looks_like():
    line = number_line(circles(97, [12], width=2), permutations=99)
    (walk,) = line.walks()
    assert walk[:3].tolist() == [0, 8, 16]
    assert sorted(walk) == list(range(97))
    assert line.residues()[:10].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 0, 1]
    assert [loop.tolist() for loop in number_line(circles(12, [1], width=2)).walks(4)] == [[0, 4, 8], [1, 5, 9], [2, 6, 10], [3, 7, 11]]


def test_a_number_line_with_ends():
    """Elements along a straight line by multiples of 8: its ends are far apart, and one step leads from end to end."""
    place = np.arange(97) * 85 % 97  # 85 = 1/8 mod 97
    found = number_line(np.outer(place, [1.0, 2.0]) + 0.1 * random(0, width=2))
    assert (found.step, found.p_value) == (8, 1 / 2000)
    assert found.score > 0.9


def test_clusters_of_cosets_are_no_line():
    """Elements are close to the 24th after them, as all of a coset lie in one cluster; the walk of short steps gets nowhere."""
    stream = np.random.default_rng(0)
    clusters = 10 * stream.standard_normal((24, 2))[np.arange(96) % 24] + 0.1 * stream.standard_normal((96, 2))
    found = number_line(clusters)
    assert found.steps.filter(found.steps["step"] == 24)["score"].item() < 0.2
    assert found.score < 0.5


def test_random_matrices_show_no_line():
    assert number_line(random(1)).p_value > 0.05
    found = [number_line(random(seed, width=2), permutations=199, seed=seed) for seed in range(40)]
    assert stats.kstest([one.p_value for one in found], "uniform").pvalue > 0.05


# — orders —


def test_the_order_of_multiplication():
    """Rows by element, 1 … 96; on the circle they lie by discrete logarithm."""
    order = powers_of_root(97) - 1
    assert [(order[j] + 1) * 5 % 97 for j in range(95)] == (order[1:] + 1).tolist()
    by_logarithm = circles(96, [5], width=16, noise=0.01)
    by_element = np.empty_like(by_logarithm)
    by_element[order] = by_logarithm
    assert circularity(by_element, order).strongest == 5
    assert circularity(by_element, order).p_value < 0.001
    assert circularity(by_element).p_value > 0.05
    assert number_line(by_element, order).step == 19  # 19 · 5 = −1 mod 96
    assert number_line(by_element, order).walks()[0][:2].tolist() == [order[0], order[19]]


def test_rows_that_the_order_does_not_name_are_left_out():
    order = powers_of_root(97)
    matrix = np.zeros((97, 8))
    matrix[order], matrix[0] = circles(96, [5], width=8), 1e6
    assert circularity(matrix, order, permutations=99).score == pytest.approx(1)
    assert number_line(matrix, order, permutations=99).step == 19


def test_bad_input():
    for function in (circularity, number_line):
        with pytest.raises(ValueError, match="order: got .*; expected distinct numbers of rows, 0 to 9"):
            function(random(0, n=10), [0, 1, 1])
        with pytest.raises(ValueError, match="order: got .*; expected distinct numbers of rows"):
            function(random(0, n=10), range(11))
        with pytest.raises(ValueError, match="order: got 4 elements; expected at least 5"):
            function(random(0, n=10), range(4))
        with pytest.raises(ValueError, match=r"matrix: got shape \(5,\)"):
            function(np.arange(5))
        with pytest.raises(ValueError, match="all equal"):
            function(np.full((10, 3), 0.1))
        with pytest.raises(ValueError, match="permutations: got 0"):
            function(random(0), permutations=0)
    with pytest.raises(ValueError, match="variant: got 'pizza'; expected circles or components"):
        circularity(random(0), variant="pizza")
    with pytest.raises(ValueError, match="frequencies: got 49 with variant 'circles'; expected 1 to 48"):
        circularity(random(0), frequencies=49)
    with pytest.raises(ValueError, match="frequencies: got 3 with variant 'components'"):
        circularity(random(0), variant="components", frequencies=3)
    with pytest.raises(ValueError, match="components: got 17; expected 1 to 16"):
        pca(random(0), 17)
