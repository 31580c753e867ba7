"""Which of two settings gets there sooner: against worked examples, scipy, lifelines, all permutations and simulation."""

import itertools
import math

import numpy as np
import pytest
from censored import CONTROL, TREATED, drawn, samples
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from groklab.analysis.comparisons import log_rank, stratified_log_rank
from groklab.analysis.survival import Sample


def test_the_textbook_comparison():
    found = log_rank(TREATED, CONTROL, method="asymptotic")
    assert found.z**2 == pytest.approx(16.79, abs=0.005)
    assert (found.observed, found.expected) == (9, pytest.approx(19.25, abs=0.005))
    assert found.z < 0, "the treated fall ill later"
    assert log_rank(CONTROL, TREATED, method="asymptotic").z == pytest.approx(-found.z)


@pytest.mark.parametrize("grid", [None, 4])
@pytest.mark.parametrize("runs", [(1, 1), (3, 5), (30, 20)])
def test_the_log_rank_test_is_that_of_scipy(runs, grid):
    stream = np.random.default_rng(5)
    for _ in range(5):
        pair = [drawn(stream, number, grid=grid) for number in runs]
        if not any(sample.reached.any() for sample in pair):
            continue
        ours = log_rank(*pair, method="asymptotic")
        data = [stats.CensoredData.right_censored(sample.steps, ~sample.reached) for sample in pair]
        if not ours.variance:
            assert (ours.z, ours.p_value) == (0, 1)
            continue
        for alternative, theirs in (("two-sided", "two-sided"), ("sooner", "greater"), ("later", "less")):
            p_value = log_rank(*pair, alternative=alternative, method="asymptotic").p_value
            other = stats.logrank(*data, alternative=theirs)
            assert p_value == pytest.approx(other.pvalue)
            assert abs(ours.z) == pytest.approx(abs(other.statistic))


@pytest.mark.medium
def test_the_log_rank_test_is_that_of_lifelines():
    from lifelines.statistics import logrank_test

    found = logrank_test(TREATED.steps, CONTROL.steps, TREATED.reached, CONTROL.reached)
    assert log_rank(TREATED, CONTROL, method="asymptotic").p_value == pytest.approx(found.p_value)


def by_hand(strata, alternative):
    """The exact p value, each way of dealing out the labels computed from the definition: a stratum's O − E at every step."""

    def difference(pairs):
        total = 0.0
        for first, second in pairs:
            for step in {s for s, r in first + second if r}:
                n1, n2 = (sum(s >= step for s, _ in side) for side in (first, second))
                d1, d2 = (sum(s == step and r for s, r in side) for side in (first, second))
                total += d1 - (d1 + d2) * n1 / (n1 + n2)
        return total

    strata = [tuple(list(zip(s.steps, s.reached, strict=True)) for s in pair) for pair in strata]
    ways = []
    for first, second in strata:
        pool = first + second
        ways.append(
            [
                ([pool[i] for i in chosen], [pool[i] for i in range(len(pool)) if i not in chosen])
                for chosen in itertools.combinations(range(len(pool)), len(first))
            ]
        )
    sums, seen = [difference(pairs) for pairs in itertools.product(*ways)], difference(strata)
    size = {"two-sided": abs, "sooner": lambda u: u, "later": lambda u: -u}[alternative]
    return sum(size(u) >= size(seen) - 1e-9 for u in sums) / len(sums)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(samples, samples), min_size=1, max_size=2), st.sampled_from(["two-sided", "sooner", "later"]))
def test_exact_p_values_are_those_of_all_permutations(strata, alternative):
    strata = [(Sample(a.steps[:3], a.reached[:3]), Sample(b.steps[:4], b.reached[:4])) for a, b in strata]
    found = stratified_log_rank(strata, alternative=alternative)
    assert found.method in ("exact", "approximate")
    assert found.p_value == pytest.approx(by_hand(strata, alternative))
    swapped = stratified_log_rank(
        [(b, a) for a, b in strata], alternative={"sooner": "later", "later": "sooner"}.get(alternative, alternative)
    )
    assert swapped.p_value == pytest.approx(found.p_value)


def test_three_seeds_at_three_fractions():
    pair = Sample.of([100, 200, 300], 1000), Sample.of([400, 500, None], 1000)
    assert log_rank(*pair, alternative="sooner").p_value == 1 / 20
    assert log_rank(*pair).p_value == 2 / 20
    three = stratified_log_rank([pair] * 3, alternative="sooner")
    assert (three.p_value, three.method, three.permutations) == (1 / 8000, "exact", 8000)
    assert three.z == pytest.approx(math.sqrt(3) * log_rank(*pair).z)


def test_strata_compare_like_with_like():
    """The first setting is sooner at either fraction, though slower over all, as it was mostly tried at the harder one."""
    easy = Sample.of([100], 9999), Sample.of([200, 210, 220, 230, 240], 9999)
    hard = Sample.of([2000, 2100, 2200, 2300, 2400], 9999), Sample.of([3000], 9999)
    assert stratified_log_rank([easy, hard]).z > 1.5
    pooled = [Sample(np.concatenate([e.steps, h.steps]), np.concatenate([e.reached, h.reached])) for e, h in zip(easy, hard, strict=True)]
    assert log_rank(*pooled).z < 0


def test_where_there_are_too_many_permutations_some_are_drawn():
    exact = log_rank(TREATED, Sample.of([5, 6, 12], 100))
    some = log_rank(TREATED, Sample.of([5, 6, 12], 100), exact_up_to=10)
    assert (exact.method, some.method, some.permutations) == ("approximate", "monte_carlo", 20_000)
    assert some.p_value == pytest.approx(exact.p_value, abs=0.01)
    assert some == log_rank(TREATED, Sample.of([5, 6, 12], 100), exact_up_to=10)
    assert log_rank(TREATED, CONTROL).p_value == pytest.approx(1 / 20_001, abs=2e-4)
    assert log_rank(drawn(np.random.default_rng(0), 200), CONTROL).method == "asymptotic"


@pytest.mark.parametrize(
    ("first", "second", "method"),
    [
        (([100, 200, None], 1000), ([300, None, None], 1000), "exact"),
        (([100, 200, 300], 1000), ([400, None, None], 5000), "exact"),  # one that got there never was censored
        (([100, 200, None], 1000), ([300, None, None], 5000), "exact"),  # both watched beyond the last that got there
        (([100, None, None], 1000), ([1500, 2000, None], 5000), "approximate"),
        (([1500, 2000, None], 5000), ([100, None, None], 1000), "approximate"),
        (([100, None, 1200], [1000, 1000, 2000]), ([200, None, 1300], [1000, 1000, 2000]), "exact"),
    ],
)
def test_p_values_of_settings_that_were_not_watched_alike_are_not_called_exact(first, second, method):
    assert log_rank(Sample.of(*first), Sample.of(*second)).method == method


@pytest.mark.parametrize("alternative", ["two-sided", "sooner", "later"])
def test_approximate_p_values_are_small_no_more_often_than_they_say(alternative):
    stream, repeats = np.random.default_rng(2), 300
    budgets = np.repeat([0.7, 5.0], 5)
    times = stream.exponential(size=(repeats, 10))
    pairs = [(Sample(s[:5], r[:5]), Sample(s[5:], r[5:])) for s, r in zip(np.minimum(times, budgets), times <= budgets, strict=True)]
    rare = sum(log_rank(*pair, alternative=alternative).p_value <= 0.1 for pair in pairs)
    assert rare / repeats <= 0.1 + 2 * math.sqrt(0.09 / repeats)


def test_where_nobody_got_there_nothing_differs():
    nobody = Sample.of([None, None], 100)
    for alternative in ("two-sided", "sooner", "later"):
        assert log_rank(nobody, nobody, alternative=alternative, method="asymptotic").p_value == 1
    found = log_rank(nobody, nobody)
    assert (found.p_value, found.z, found.observed) == (1, 0, 0)
    with pytest.raises(ValueError, match="no strata"):
        stratified_log_rank([])
    with pytest.raises(ValueError, match="sooner or later"):
        log_rank(nobody, nobody, alternative="greater")
    with pytest.raises(ValueError, match="asymptotic or permutation"):
        log_rank(nobody, nobody, method="exact")


@pytest.mark.medium
def test_p_values_of_equal_settings_are_small_as_rarely_as_they_say():
    stream, repeats = np.random.default_rng(11), 500
    found = [log_rank(drawn(stream, 5), drawn(stream, 5)).p_value for _ in range(repeats)]
    assert np.mean(np.array(found) <= 0.1) <= 0.1 + 2 * math.sqrt(0.09 / repeats)
    assert np.mean(np.array(found) <= 0.1) >= 0.05


# — what it costs —
