"""Splits, outliers and batch orders: nested, disjoint, covering, and functions of the seed alone."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groklab.config.run import Run
from groklab.data.splits import Split, split_of
from groklab.data.streams import batch_order, permutation, stream, stream_seed
from groklab.data.tables import table_of


def split(**fields: object) -> Split:
    return split_of(Run.of(**{"operation": "addition", "modulus": 11, **fields}).check())


fractions = st.floats(0.02, 0.98)
seeds = st.integers(0, 2**63 - 1)
pairings = st.sampled_from(["apart", "together"])


@settings(max_examples=60, deadline=None)
@given(fractions, seeds, pairings)
def test_sides_are_disjoint_and_cover_the_known_cells(fraction: float, seed: int, pairing: str) -> None:
    made = split(train_fraction=fraction, seed=seed, mirror_pairs=pairing)
    assert sorted([*made.train.tolist(), *made.validation.tolist()]) == list(range(121))
    assert (np.diff(made.train) > 0).all()
    assert (np.diff(made.validation) > 0).all()
    wanted = round(fraction * 121)
    assert len(made.train) == wanted if pairing == "apart" else wanted - 1 <= len(made.train) <= wanted


@settings(max_examples=60, deadline=None)
@given(fractions, fractions, seeds, pairings)
def test_splits_of_a_seed_are_nested(one: float, other: float, seed: int, pairing: str) -> None:
    small, large = (split(train_fraction=f, seed=seed, mirror_pairs=pairing) for f in sorted((one, other)))
    assert set(small.train.tolist()) <= set(large.train.tolist())


def test_seeds_differ_and_only_the_split_seed_counts() -> None:
    assert not np.array_equal(split(seed=0).train, split(seed=1).train)
    assert np.array_equal(split(seed=0).train, split(seed=7, split_seed=0).train)
    assert np.array_equal(split(seed=0).train, split(weights_seed=3, labels_seed=4, order_seed=5, noise_seed=6).train)


def test_the_default_split_has_the_papers_sizes() -> None:
    made = split_of(Run())
    assert (len(made.train), len(made.validation)) == (4656, 4656)
    assert (made.labels == table_of(Run().task).z).all()
    assert len(made.corrupted) == 0


def test_released_streams_never_change() -> None:
    assert permutation("split", 0, size=8).tolist() == [2, 5, 0, 1, 4, 7, 6, 3]
    assert batch_order(3, 5, 0, 12).tolist() == [4, 3, 0, 1, 2, 4, 2, 1, 0, 3, 4, 1]
    assert stream_seed("weights", 1) == 2_015_144_759_134_775_516


# — unknown cells —


def test_only_known_cells_are_split(tmp_path: Path) -> None:
    file = tmp_path / "table.csv"
    file.write_text("x,y,z\n" + "\n".join(f"{x},{y},{(x + y) % 4 if x != 1 else ''}" for x in range(4) for y in range(4)), encoding="utf-8")
    for pairing in ("apart", "together"):
        run = Run.of(file=str(file), train_fraction=0.5, mirror_pairs=pairing, outliers=2).check()
        made, table = split_of(run), table_of(run.task)
        both = np.concatenate([made.train, made.validation])
        assert sorted(both.tolist()) == np.flatnonzero(table.known).tolist()
        assert len(both) == 12
        assert (made.labels[~table.known] == -1).all()


# — mirrors —


@settings(max_examples=30, deadline=None)
@given(fractions, seeds)
def test_mirrored_cells_are_those_whose_mirror_is_trained(fraction: float, seed: int) -> None:
    made = split(train_fraction=fraction, seed=seed)
    trained = set(made.train.tolist())
    expected = [(cell % 11) * 11 + cell // 11 in trained and cell % 11 != cell // 11 for cell in made.validation.tolist()]
    assert made.mirrored.tolist() == expected


def test_a_mirror_that_does_not_exist_is_not_trained() -> None:
    run = Run.of(operation="division", modulus=7, train_fraction=0.9)
    made, table = split_of(run), table_of(run.task)
    zero_row = table.x[made.validation] == table.elements.index("0")
    assert not made.mirrored[zero_row].any()


@settings(max_examples=30, deadline=None)
@given(fractions, seeds)
def test_pairs_stay_together(fraction: float, seed: int) -> None:
    made = split(train_fraction=fraction, seed=seed, mirror_pairs="together")
    trained = set(made.train.tolist())
    assert all((cell % 11) * 11 + cell // 11 in trained for cell in trained)
    assert not made.mirrored.any()


def test_an_empty_side_is_a_problem_of_pairs_too() -> None:
    found = {
        len(Run.of(operation="addition", modulus=2, train_fraction=0.25, mirror_pairs="together", seed=s).problems()) for s in range(20)
    }
    assert found == {0, 1}


# — outliers —


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 60), st.integers(0, 60), seeds)
def test_outliers_are_wrong_and_nested(one: int, other: int, seed: int) -> None:
    table = table_of(Run.of(operation="addition", modulus=11).task)
    small, large = (split(outliers=k, seed=seed) for k in sorted((one, other)))
    for made, count in ((small, min(one, other)), (large, max(one, other))):
        assert len(made.corrupted) == count
        assert set(made.corrupted.tolist()) <= set(made.train.tolist())
        assert (made.labels[made.corrupted] != table.z[made.corrupted]).all()
        assert ((made.labels >= 0) & (made.labels < 11)).all()
        untouched = np.setdiff1d(np.arange(121), made.corrupted)
        assert (made.labels[untouched] == table.z[untouched]).all()
    assert set(small.corrupted.tolist()) <= set(large.corrupted.tolist())
    assert (large.labels[small.corrupted] == small.labels[small.corrupted]).all()


def test_wrong_answers_are_uniform() -> None:
    run = Run.of(operation="addition", modulus=97, train_fraction=0.99, outliers=9000)
    made, table = split_of(run), table_of(run.task)
    shift = (made.labels[made.corrupted] - table.z[made.corrupted]) % 97
    counts = np.bincount(shift, minlength=97)
    assert counts[0] == 0
    # 9,000 draws over 96 answers: 93.75 expected, standard deviation 9.6.
    assert abs(counts[1:] - 93.75).max() < 5 * 9.7


def test_shares_of_outliers() -> None:
    assert len(split(outliers=0.1).corrupted) == round(0.1 * len(split().train))
    assert len(split(outliers=0.001).corrupted) == 0
    assert not np.array_equal(split(outliers=20).corrupted, split(outliers=20, labels_seed=5).corrupted)
    assert np.array_equal(split(outliers=20).corrupted, split(outliers=20, weights_seed=5).corrupted)


# — streams —


@settings(max_examples=60, deadline=None)
@given(seeds, st.integers(1, 40), st.integers(0, 300), st.integers(0, 120), st.integers(0, 60))
def test_a_batch_order_does_not_depend_on_where_it_is_begun(seed: int, size: int, start: int, count: int, cut: int) -> None:
    whole = batch_order(seed, size, start, count)
    cut = min(cut, count)
    assert np.array_equal(whole, np.concatenate([batch_order(seed, size, start, cut), batch_order(seed, size, start + cut, count - cut)]))
    assert len(whole) == count


def test_a_batch_order_is_successive_permutations() -> None:
    row = batch_order(0, 50, 0, 500).reshape(10, 50)
    assert (np.sort(row, axis=1) == np.arange(50)).all()
    assert len({tuple(r) for r in row.tolist()}) == 10


def test_streams_are_functions_of_their_place() -> None:
    drawn = {
        tuple(stream(name, seed, *place).integers(0, 2**63, 3))
        for name in ("split", "noise")
        for seed in (0, 1, 2**32, 2**63 - 1)
        for place in ((), (0,), (1,), (0, 0), (2**32,))
    }
    assert len(drawn) == 40
    assert (stream("noise", 1, 2).random(5) == stream("noise", 1, 2).random(5)).all()
    assert 0 <= stream_seed("noise", 1, 2) < 2**63


def test_wrong_places_in_streams_are_explained() -> None:
    with pytest.raises(ValueError, match="got -1; expected seeds and positions"):
        stream("noise", -1)
    with pytest.raises(ValueError, match="expected a size above 0"):
        batch_order(0, 0, 0, 1)


@pytest.mark.parametrize(("seed", "cells"), [(0, [0, 1, 2, 5, 9, 15, 17, 19, 22, 23]), (1, [4, 6, 7, 9, 12, 13, 14, 15, 16, 23])])
def test_the_cells_of_a_seed_never_change(seed: int, cells: list[int]) -> None:
    """Stored runs are continued by later versions, whose split has to be the one that they began with."""
    assert split(modulus=5, train_fraction=0.4, seed=seed).train.tolist() == cells
