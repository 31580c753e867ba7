"""No rule says *reproduced* of results that contradict its sentence in one part, however well all other parts support it."""

import dataclasses
import random

import polars as pl
import pytest
from claim_tables import (
    ADAM,
    CASES,
    CONTRADICTIONS,
    EXPONENTIAL,
    LATE,
    NEVER,
    PAIRS,
    QUICK,
    SLOW,
    adam,
    decays,
    laws,
    pairs,
    rates,
    runs,
    together,
)

from groklab import registry
from groklab.claims import tasks as claims_tasks
from groklab.claims.budgets import completed
from groklab.claims.rules import judge
from groklab.config.run import Run
from groklab.data import tables

CLAIMS = {entry.facts["id"]: entry for entry in registry.entries("claim").values()}
OF_RUNS = [identity for identity, entry in CLAIMS.items() if entry.facts["experiment"]]
BY_WHOLE_TABLE = ("C4", "C5", "C6", "C7", "C16", "C21", "C23", "C24", "N1", "N2", "R1", "R2")
"""Claims whose experiment has nothing but what they rest on: every row of its table counts."""


def _wider(monkeypatch):
    usual = Run.resolved
    monkeypatch.setattr(Run, "resolved", lambda self: usual(self) | {"width": 144})


def _deeper(monkeypatch):
    usual = Run.resolved
    monkeypatch.setattr(Run, "resolved", lambda self: usual(self) | {"layers": 3})


def _one_wrong_cell(operation, modulus):
    def change(monkeypatch):
        usual = tables.table_of

        def table_of(task):
            found = usual(task)
            if (task.operation, task.modulus) != (operation, modulus):
                return found
            z = found.z.copy()
            z[-1] = (z[-1] + 1) % found.n
            return dataclasses.replace(found, z=z)

        monkeypatch.setattr(tables, "table_of", table_of)

    return change


WORLDS = {
    "C12": {
        "one wrong cell of a sum": _one_wrong_cell("addition", 88),
        "one wrong cell of a product": _one_wrong_cell("multiplication", 3),
    },
    "C22": {"a wider network": _wider, "a deeper network": _deeper},
}
"""Of claims of arithmetic: worlds in which their sentence is wrong in one place."""


def test_every_claim_has_two_contradictions_and_results_that_reproduce_it():
    """A claim that is added must bring its own."""
    contradicted = {identity: {**CONTRADICTIONS.get(identity, {}), **WORLDS.get(identity, {})} for identity in CLAIMS}
    assert {identity for identity, found in contradicted.items() if len(found) < 2} == set()
    assert set(CASES) == set(OF_RUNS)
    assert set(CONTRADICTIONS) | set(WORLDS) == set(CLAIMS)


def test_every_rule_says_what_its_sentence_promises_of_each_part():
    for identity, entry in CLAIMS.items():
        _, *rest = entry.function.__doc__.split("\n\n")
        starts = [paragraph.split()[0].strip(":,") for paragraph in rest]
        assert starts == ["Rule", "Parts"], identity


def told_anew(table, draw, identity):
    """The same results, told in another order, under other seeds and ids, some of them twice, and beside runs that are of no matter."""
    offset = draw.randrange(100)
    seeds = pl.col("seed") + offset if draw.random() < 0.5 else offset + 40 - pl.col("seed")
    found = table.with_columns(seed=seeds, note=pl.lit(draw.choice(["a", "b"])))
    if identity not in BY_WHOLE_TABLE:
        found = together(found, runs("of no matter", generalized=QUICK, note="a"))
    found = together(found, found.head(draw.randrange(4)))
    return found.sample(fraction=1.0, shuffle=True, seed=draw.randrange(1000))


SLOW_RULES = {"C7": 2, "C8": 2, "C9": 1, "C13": 1}
"""Those that draw thousands of samples: fewer tables of each."""

MADE = [(identity, name) for identity, found in CONTRADICTIONS.items() for name in found]


@pytest.mark.parametrize(("identity", "name"), MADE)
def test_a_contradiction_in_one_part_is_never_reproduced(identity, name):
    for number in range(SLOW_RULES.get(identity, 3)):
        draw = random.Random(f"{identity} {name} {number}")
        table = CONTRADICTIONS[identity][name](draw)
        found = judge(CLAIMS[identity], table)
        assert found.verdict != "reproduced", found
        assert found.reason
        again = judge(CLAIMS[identity], told_anew(table, draw, identity))
        assert again.verdict == found.verdict, "whatever the order of the runs, and however often one is told"


@pytest.mark.parametrize("identity", OF_RUNS)
@pytest.mark.parametrize("place", [0, 1], ids=["supported", "refuted"])
def test_what_every_part_says_is_decided_however_it_is_told(identity, place):
    draw = random.Random(identity)
    found = judge(CLAIMS[identity], told_anew(CASES[identity][place], draw, identity))
    assert found.verdict == ("reproduced", "not reproduced")[place]
    assert found.settled in (True, None), "in as many steps as the paper has, it does not hang on more"


@pytest.mark.parametrize(("identity", "name"), [(identity, name) for identity, found in WORLDS.items() for name in found])
def test_arithmetic_is_refuted_where_it_is_wrong(identity, name, monkeypatch):
    assert judge(CLAIMS[identity], None).verdict == "reproduced"
    WORLDS[identity][name](monkeypatch)
    assert judge(CLAIMS[identity], None).verdict == "not reproduced"


# — the examples from which this began —


def verdict(identity, table):
    return judge(CLAIMS[identity], table).verdict


def test_one_pair_the_other_way_round_is_not_hidden_by_two():
    symmetric, other = [1000 + 10 * k for k in range(10)], [3000 + 10 * k for k in range(10)]
    reversed_third = pairs((symmetric, other), (symmetric, other), (other, symmetric))
    assert verdict("C8", reversed_third) == "not reproduced"
    assert verdict("C8", pairs((symmetric, other), (symmetric, other), (symmetric, other))) == "reproduced"


def test_a_pair_of_which_none_generalized_carried_nothing():
    found = judge(CLAIMS["C8"], pairs((QUICK, SLOW), (QUICK, SLOW), (NEVER, NEVER), watched=6_000))
    assert (found.verdict, found.settled) == ("undecided", False)
    assert found.reason.startswith(
        f"symmetric sooner in 2 of 3 pairs (x + y, x · y); nothing is known from {PAIRS[2][0]}, of whose 10 runs none"
    )


def test_a_power_law_on_one_task_is_not_made_up_for_by_three_others():
    assert verdict("C7", laws(*EXPONENTIAL[:3], "power")) == "not reproduced"


def test_a_range_of_rates_is_not_narrowed_by_a_small_budget():
    steps = {"at": (50_000, 15_000, 5_000, 5_000)}
    assert verdict("C16", rates(1e-4, 3e-4, 1e-3, 3e-3, **steps)) == "not reproduced"
    cut = judge(CLAIMS["C16"], rates(3e-4, 1e-3, 3e-3, at=(15_000, 5_000, 5_000), watched=20_000))
    assert (cut.verdict, cut.settled) == ("undecided", False)
    assert "0.0001, 0.01 may with more than the steps that they had" in cut.reason


def test_much_before_a_hundred_thousand_steps_refutes_very_little():
    found = judge(CLAIMS["C2"], adam([600_000] * 6, early=0.6))
    assert (found.verdict, found.settled) == ("not reproduced", True)


def test_more_steps_can_turn_what_rests_on_runs_that_have_not_got_there():
    cut = judge(CLAIMS["C14"], decays(QUICK, [6918, 8318, 17378, 19055, None], NEVER, watched=20_000))
    assert (cut.verdict, cut.settled) == ("undecided", False)
    assert "more steps" in cut.reason
    surely = judge(CLAIMS["C14"], decays(QUICK, SLOW, NEVER, watched=20_000))
    assert (surely.verdict, surely.settled) == ("reproduced", True), "all of one side had got there, whatever the other does later"
    assert judge(CLAIMS["C14"], decays(QUICK, SLOW, LATE)).settled is True


def test_runs_that_stopped_early_are_not_left_out():
    """Those that had got there by then stay, and left alone would be the quick ones."""
    few = runs("x + y", generalized=[500] * 6 + [None] * 9, watched=600, seed=list(range(15)), train_fraction=0.5)
    table = together(
        pairs((QUICK, SLOW)).filter(pl.col("setting") != "x + y"), few.with_columns(steps=pl.lit(600), evaluated_at=pl.lit(600))
    )
    assert judge(CLAIMS["C8"], table).runs == 15 + 25


def test_open_runs_are_completed_either_way():
    table = runs(generalized=[3000, None, None], watched=5000).with_columns(status=pl.Series(["complete", "complete", "diverged"]))
    soon, never = (completed(table, at_once=at_once) for at_once in (True, False))
    assert soon["generalized_at"].to_list() == [3000, 5002, None]
    assert never["generalized_at"].to_list() == [3000, None, None]
    assert never["evaluated_at"].to_list()[1] > 10**9


def test_a_claim_of_adam_is_settled_by_what_it_has_seen():
    late = judge(CLAIMS["C1"], runs(ADAM, memorized=[None] * 5, watched=2_000))
    assert (late.verdict, late.settled) == ("not reproduced", True)
    early = judge(CLAIMS["C1"], runs(ADAM, memorized=[None] * 5, watched=500))
    assert (early.verdict, early.settled) == ("undecided", False)


def test_the_pairs_of_the_rule_are_those_of_its_sentence():
    assert claims_tasks.PAIRS == PAIRS
    assert SLOW[0] > QUICK[-1]
