"""Cosets planted in an embedding are found by name and side, and nothing is found where nothing is."""

import numpy as np
import polars as pl
import pytest
from scipy import special, stats

from benchmarks.yardstick import yardsticks
from groklab.analysis.cosets import BOTH, _deviation, _normal_score, check_has_cosets, search_cosets
from groklab.analysis.projections import centered_rows
from groklab.data.groups import group_named
from groklab.data.subgroups import Subgroup, all_subgroups
from groklab.figures import embeddings

S5 = group_named("symmetric(5)")
PAPER = Subgroup.generated(S5, ["34201", "02143"])
"""⟨(0,3)(1,4), (1,2)(3,4)⟩, Power et al. 2022, Figure 3 left."""


def planted(subgroup, side, *, noise, width=32, seed=0):
    stream = np.random.default_rng(seed)
    centers = stream.standard_normal((subgroup.index, width))
    return centers[subgroup.cosets(side)] + noise * stream.standard_normal((subgroup.group.order, width))


@pytest.mark.parametrize("side", ["xH", "Hx"])
@pytest.mark.parametrize("noise", [0.0, 0.5, 2.0])
def test_the_cosets_of_the_paper_are_found(side, noise):
    found = search_cosets(planted(PAPER, side, noise=noise), S5)
    assert found.best.subgroup == PAPER
    assert found.best.side == side
    assert found.best.p_corrected < 0.001
    assert found.best.p_value < 0.001
    assert np.array_equal(found.best.labels(), PAPER.cosets(side))
    row = found.table.row(0, named=True)
    assert (row["type"], row["side"], row["order"], row["cosets"], row["conjugates"]) == ("dihedral(5)", side, 10, 12, 6)
    assert Subgroup.generated(S5, row["generators"]) == PAPER
    assert found.table["z"].is_sorted(descending=True)


@pytest.mark.medium
def test_conjugates_are_told_apart_in_the_plane():
    for place, conjugate in enumerate(PAPER.conjugates):
        best = search_cosets(planted(conjugate, "xH", noise=0.2, width=2, seed=place), S5).best
        assert (best.subgroup, best.side) == (conjugate, "xH")
        assert best.p_corrected < 0.001


def test_a_strong_coarse_direction_does_not_hide_the_fine_structure():
    """The sign of a permutation is constant on the cosets, which lie in even and odd halves: they explain it too."""
    even = Subgroup.generated(S5, ["12034", "12340"]).cosets("xH")
    matrix = np.column_stack([planted(PAPER, "xH", noise=0.5), 6.0 * even])
    found = search_cosets(matrix, S5)
    assert found.best.subgroup == PAPER
    halves = found.table.filter(found.table["order"] == 60).row(0, named=True)
    assert halves["side"] == BOTH
    assert halves["p_corrected"] < 0.001


@pytest.mark.parametrize(
    ("name", "generators", "side"), [("dihedral(6)", ["s1"], "xH"), ("dihedral(6)", ["s1"], "Hx"), ("symmetric(4)", ["0213", "3120"], "Hx")]
)
def test_small_groups(name, generators, side):
    group = group_named(name)
    subgroup = Subgroup.generated(group, generators)
    best = search_cosets(planted(subgroup, side, noise=0.3, seed=1), group).best
    assert (best.subgroup, best.side) == (subgroup, side)
    assert best.p_corrected < 0.001


def test_a_normal_subgroup_has_one_side():
    group = group_named("cyclic(12)")
    found = search_cosets(planted(Subgroup.generated(group, ["4"]), "xH", noise=0.3), group)
    assert (found.best.subgroup.order, found.best.side) == (3, BOTH)
    assert found.table["side"].unique().to_list() == [BOTH]
    assert found.table["order"].sort().to_list() == [2, 3, 4, 6]


@pytest.mark.medium
def test_nothing_is_found_in_random_embeddings():
    assert search_cosets(np.random.default_rng(0).standard_normal((120, 16)), S5).best.p_corrected > 0.05
    matrices = [np.random.default_rng(seed).standard_normal((120, 16)) for seed in range(20)]
    found = [search_cosets(matrix, S5, permutations=499, seed=seed).best.p_corrected for seed, matrix in enumerate(matrices)]
    assert stats.kstest(found, "uniform").pvalue > 0.05


def test_p_values_of_a_small_group_are_uniform():
    group = group_named("dihedral(4)")
    found = [search_cosets(np.random.default_rng(seed).standard_normal((8, 3)), group, permutations=199, seed=seed) for seed in range(100)]
    assert stats.kstest([search.best.p_corrected for search in found], "uniform").pvalue > 0.05
    assert stats.kstest([search.table.sort("subgroup", "side")["p_value"][0] for search in found], "uniform").pvalue > 0.05


def test_scores_are_those_of_an_analysis_of_variance():
    group = group_named("symmetric(4)")
    matrix = np.random.default_rng(3).standard_normal((24, 5)) ** 3
    centered, rows = centered_rows(matrix), search_cosets(matrix, group, permutations=99).table.rows(named=True)
    subgroups = {subgroup.name: subgroup for subgroup in all_subgroups(group)}
    assert len(rows) == sum(1 if s.is_normal else 2 for s in subgroups.values() if 1 < s.order < 24)
    for row in rows:
        labels = subgroups[row["subgroup"]].cosets("Hx" if row["side"] == "Hx" else "xH")
        means = np.stack([centered[labels == coset].mean(axis=0) for coset in labels])
        assert row["share"] == pytest.approx((means**2).sum() / (centered**2).sum())
        assert row["expected"] == pytest.approx((row["cosets"] - 1) / 23)


def test_the_deviation_is_that_of_permutations():
    stream = np.random.default_rng(0)
    centered = centered_rows(stream.standard_normal((12, 2)) ** 3)
    products = centered @ centered.T / (centered**2).sum()
    order = np.array([2, 3, 6])
    blocks = [np.kron(np.eye(12 // m), np.full((m, m), 1 / m)) for m in order]
    drawn = np.array(
        [[(products[np.ix_(p, p)] * block).sum() for block in blocks] for p in (stream.permutation(12) for _ in range(20_000))]
    )
    assert drawn.mean(axis=0) == pytest.approx((12 // order - 1) / 11, rel=0.02)
    assert drawn.std(axis=0) == pytest.approx(_deviation(products, order), rel=0.02)


def test_normal_scores_of_shares():
    shares = np.array([0.01, 0.1, 0.3, 0.9])
    assert special.ndtr(-_normal_score(shares, np.array(3.0), np.array(20.0))) == pytest.approx(stats.beta.sf(shares, 3, 20), rel=1e-9)
    # On both sides of where probabilities are too small for a float, and where P(Beta(1, b) > x) = (1 − x)^b is known.
    for b, x in ((80.0, 0.99), (200.0, 0.9), (400.0, 0.9), (5000.0, 0.99), (900.0, 1.0)):
        log_tail = b * np.log1p(-min(x, 1 - 1e-12))
        assert special.log_ndtr(-_normal_score(np.array([x]), np.array(1.0), np.array(b)))[0] == pytest.approx(log_tail, rel=1e-6)


def test_what_does_not_matter():
    matrix = planted(PAPER, "xH", noise=1.0)
    turned = 1e-6 * matrix @ np.linalg.qr(np.random.default_rng(9).standard_normal((32, 32)))[0] + 1e-3
    one, other = search_cosets(matrix, S5, permutations=199), search_cosets(turned, S5, permutations=199)
    assert one.table["z"].to_numpy() == pytest.approx(other.table["z"].to_numpy(), rel=1e-5, abs=1e-5)
    assert one.table["p_corrected"].to_list() == search_cosets(matrix, S5, permutations=199).table["p_corrected"].to_list()


def test_rows_that_are_equally_far_apart_tell_nothing():
    best = search_cosets(np.eye(24), group_named("symmetric(4)")).best
    assert (best.z, best.p_value, best.p_corrected) == (0.0, 1.0, 1.0)


@pytest.mark.slow
@pytest.mark.alone
def test_it_takes_seconds():
    matrix = np.random.default_rng(0).standard_normal((120, 128))
    assert yardsticks(lambda: search_cosets(matrix, S5)) < 50  # five seconds


def test_bad_input():
    with pytest.raises(ValueError, match=r"matrix: got 10 rows; expected 120, one for each element of symmetric\(5\)"):
        search_cosets(np.eye(10), S5)
    with pytest.raises(ValueError, match="nan or infinite"):
        search_cosets(np.full((120, 2), np.nan), S5)
    with pytest.raises(ValueError, match="all equal"):
        search_cosets(np.full((120, 2), 0.1), S5)
    with pytest.raises(ValueError, match="permutations: got 3; expected at least 99"):
        search_cosets(np.eye(120), S5, permutations=3)
    with pytest.raises(ValueError, match=r"group cyclic\(7\): got no subgroup between"):
        search_cosets(np.eye(7), group_named("cyclic(7)"))


def elements(n, *, place=True, group=None):
    """A table of elements as the figure takes it, on a circle."""
    angle = 2 * np.pi * np.arange(n) / n
    vectors = np.stack([np.cos(3 * angle), np.sin(3 * angle), np.cos(angle), np.sin(angle)], axis=1) + 0.01 * np.arange(n)[:, None]
    return pl.DataFrame(
        {
            "element": range(n), "name": [str(k) for k in range(n)], "order": [1] * n, "vector": vectors.tolist(), "place": list(range(n)) if place else [None] * n,
            "group": pl.Series([group] * n, dtype=pl.String), "step": [10] * n, "title": ["t"] * n,
        }
    )  # fmt: skip


def test_a_modular_table_of_prime_order_is_told_to_have_no_subgroups():
    with pytest.raises(
        ValueError, match=r"cyclic\(31\): got no subgroup between the trivial one and all 31 elements, for 31 is prime"
    ) as told:
        embeddings.cosets(elements(31))
    assert "no finite group" not in str(told.value)
    assert "number_line" in str(told.value)


def test_a_modular_table_of_composite_order_shows_the_cosets_of_its_cyclic_group():
    drawing = embeddings.cosets(elements(12), method="pca", permutations=99)
    texts = " ".join(text.get_text() for text in drawing.texts)
    assert "cosets" in texts
    assert "in the order" not in texts


def test_a_table_behind_which_no_group_is_known_is_told_so():
    with pytest.raises(ValueError, match="got a table behind which no group is known"):
        embeddings.cosets(elements(6, place=False))


@pytest.mark.parametrize(
    ("name", "has"),
    [("cyclic(1)", False), ("cyclic(2)", False), ("cyclic(97)", False), ("cyclic(4)", True), ("symmetric(3)", True), ("cyclic(49)", True)],
)
def test_groups_of_prime_order_have_no_cosets(name, has):
    if has:
        check_has_cosets(group_named(name))
    else:
        with pytest.raises(ValueError, match="no subgroup between"):
            check_has_cosets(group_named(name))
