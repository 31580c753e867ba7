"""Every claim is decided by its rule: synthetic results of all three kinds, and what no results may decide."""

import json
from dataclasses import replace

import polars as pl
import pytest
from claim_tables import (
    ADAMW,
    CASES,
    EQUAL,
    FILTER,
    METHODS,
    NEVER,
    PLAIN,
    QUICK,
    SLOW,
    WINDOW,
    against,
    changed,
    cubic,
    delays,
    final,
    frequencies,
    memorized,
    memorizing,
    noises,
    pairs,
    parity,
    rates,
    runs,
    sharp,
    together,
    unlearned,
    wrong,
)  # fmt: skip

from groklab import cli, registry
from groklab.analysis.statistics import compare, sample_of
from groklab.analysis.survival import Sample
from groklab.analysis.tables import runs_table
from groklab.claims.expectations import can_decide, expected_table
from groklab.claims.findings import OF_HISTORY, OF_LAYER
from groklab.claims.rules import Judgment, all_of, in_range, judge, ordered, part, sooner, told_percent
from groklab.config.experiments import SCALES, settings_of
from groklab.config.run import Run
from groklab.laboratory.runs import train

CLAIMS = {entry.facts["id"]: entry for entry in registry.entries("claim").values()}


BY_ARITHMETIC = ("C12", "C22")


def test_every_claim_of_the_paper_is_registered_and_has_its_cases():
    assert {f"C{number}" for number in range(1, 25)} <= set(CLAIMS)
    assert set(CASES) | set(BY_ARITHMETIC) == set(CLAIMS)


@pytest.mark.parametrize("verdict", ["reproduced", "not reproduced", "undecided"])
@pytest.mark.parametrize("identity", CASES)
def test_a_claim_is_decided_by_its_rule(identity, verdict):
    table = CASES[identity][("reproduced", "not reproduced", "undecided").index(verdict)]
    found = judge(CLAIMS[identity], table)
    assert found.verdict == verdict, found
    assert found.reason
    told = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert set(told) >= {"verdict", "value", "interval", "reason"}
    assert judge(CLAIMS[identity], table) == found, "the same results, the same judgment"
    shuffled = table.sample(fraction=1.0, shuffle=True, seed=1)
    assert judge(CLAIMS[identity], shuffled).verdict == verdict, "whatever the order of the runs"


@pytest.mark.parametrize("identity", CASES)
def test_no_runs_no_verdict(identity):
    assert judge(CLAIMS[identity], None).verdict == "undecided"
    assert judge(CLAIMS[identity], CASES[identity][0].clear()).verdict == "undecided"
    one = CASES[identity][0].head(1)
    assert judge(CLAIMS[identity], one).verdict == "undecided", "one run decides nothing"


@pytest.mark.parametrize(("identity", "first", "equal", "decay"), [("F1", FILTER, PLAIN, 0.005), ("F2", WINDOW, EQUAL, 0.01)])
def test_a_filter_is_compared_with_adam_of_its_own_decay_and_other_decays_decide_nothing(identity, first, equal, decay):
    compared = against(first, QUICK, equal, NEVER)
    alone = judge(CLAIMS[identity], compared)
    other = EQUAL if equal == PLAIN else PLAIN
    found = judge(
        CLAIMS[identity],
        together(compared, runs("Adam, no decay", generalized=NEVER, watched=5_000), runs(other, generalized=QUICK[:3], watched=5_000)),
    )
    assert alone.details == ()
    assert found.details == (f"{other}: median 1,100 (3 seeds)", "Adam, no decay: median not reached (5 seeds)")
    assert replace(found, details=()) == alone
    deciding = [
        run for members in settings_of("grokfast_table", "laptop").values() for run in members if CLAIMS[identity].facts["runs"](run)
    ]
    assert len(deciding) == 10
    assert {run.training.weight_decay for run in deciding} == {decay}


@pytest.mark.parametrize("identity", BY_ARITHMETIC)
def test_arithmetic_needs_no_runs(identity):
    found = judge(CLAIMS[identity], None)
    assert found.verdict == "reproduced"
    assert found.value


def test_the_counted_parameters_are_those_of_the_network():
    from groklab.training.batches import network

    _, _, layout = network(Run())
    assert judge(CLAIMS["C22"], None).value == layout.non_embedding == 394_240


@pytest.mark.parametrize("identity", [name for name in CLAIMS if name not in BY_ARITHMETIC])
def test_a_claim_names_an_experiment_and_runs_of_it_and_has_a_rule(identity):
    entry = CLAIMS[identity]
    assert "Rule" in entry.function.__doc__
    every = [run for scale in SCALES[1:] for members in settings_of(entry.facts["experiment"], scale).values() for run in members]
    assert any(entry.facts["runs"](run) for run in every)


def test_claims_are_in_the_order_of_their_numbers():
    ids = [entry.facts["id"] for entry in ordered(list(CLAIMS.values()))]
    assert ids[:24] == [f"C{number}" for number in range(1, 25)]


def test_a_claim_without_its_facts_is_refused():
    with pytest.raises(TypeError, match="experiment"):
        registry.claim(id="X1", paper="mine", place="p. 1", published="1")


def test_results_within_a_budget():
    table = together(runs(generalized=[3000, 9000, None]), runs(generalized=[None], watched=2000), runs(generalized=[1500], watched=2000))
    cut = part(table, budget=5000)
    assert sorted(cut["generalized_at"].to_list(), key=str) == [1500, 3000, None, None, None]
    assert sorted(sample_of(cut).steps) == [1500, 2000, 3000, 5000, 5000], "what ended earlier is censored where it stands"
    assert sample_of(cut).steps.max() == 5000


def test_a_diverged_run_never_gets_there():
    table = runs(generalized=[3000, None], watched=6000).with_columns(
        status=pl.Series(["complete", "diverged"]), evaluated_at=pl.Series([6000, 40]), steps=pl.Series([6000, 40])
    )
    cut = part(table, budget=5000)
    assert cut.height == 2
    assert sample_of(cut).steps.tolist() == [3000, 5000]


def test_a_range_holds_within_a_factor_of_two():
    assert in_range(Sample.of([600, 700, 800], 1000), 1e3, 1e4).verdict == "reproduced"
    assert in_range(Sample.of([100] * 5, 1000), 1e3, 1e4).verdict == "not reproduced"
    assert in_range(Sample.of([400, 450, 480, 490, 600], 1000), 1e3, 1e4).verdict == "undecided", "its interval reaches inside"
    assert in_range(Sample.of([None] * 5, 1000), 1e3, 1e4).verdict == "undecided"


def test_few_runs_at_one_fraction_do_not_decide_but_three_at_three_do():
    pair = (runs(generalized=QUICK[:3]), runs(generalized=SLOW[:3]))
    assert sooner([pair]).verdict == "undecided"
    assert sooner([pair] * 3).verdict == "reproduced"
    assert all_of(["reproduced", "undecided"]) == "undecided"
    assert all_of([]) == "undecided"


def test_runs_that_diverged_are_compared_as_never_getting_there():
    """However early their own side stopped."""
    quick = runs(generalized=[300, 310, 320, None, None, None], watched=330).with_columns(
        status=pl.Series(["complete"] * 3 + ["diverged"] * 3),
        evaluated_at=pl.Series([330] * 3 + [50] * 3),
        steps=pl.Series([330] * 3 + [50] * 3),
    )
    slow = runs("y", generalized=[400, 500, 600, 700, 800, 900], watched=910)
    both = compare(together(quick, slow), "setting", "x", "y", alternative="sooner")
    assert sooner([(quick, slow)]).p_value == both["p_value"].item() > 0.5


def test_claims_are_listed(capsys):
    assert cli.main(["list", "claims", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["claims"]
    assert {"symmetric_operations_need_less_data", "flatter_minima_generalize_better"} <= {row["name"] for row in told}


def test_a_judgment_as_json():
    told = Judgment(verdict="undecided", reason="none", interval=(1.0, None)).to_dict()
    assert told["interval"] == [1.0, None]
    assert told["details"] == []


def test_a_judgment_is_the_same_on_processors_that_round_differently():
    one, other = (
        Judgment(verdict="reproduced", reason="", value=value, interval=(value, 2 * value)).to_dict() for value in (1 / 3, 1 / 3 + 1e-15)
    )
    assert one == other
    assert one["value"] == pytest.approx(1 / 3, abs=1e-9)
    assert Judgment(verdict="reproduced", reason="", value=394_240).to_dict()["value"] == 394_240


# — rules, case by case: their edges, unfinished runs, and which runs can decide —

OF_RUNS = {identity: entry for identity, entry in CLAIMS.items() if entry.facts["experiment"]}


def verdict(identity, table):
    return judge(CLAIMS[identity], table).verdict


@pytest.mark.medium
@pytest.mark.parametrize("identity", OF_RUNS)
def test_some_scale_can_decide_a_claim_and_the_paper_whatever_the_laptop_can(identity):
    able = [scale for scale in SCALES if can_decide(OF_RUNS[identity], scale)]
    assert able, "complete, its runs decide it where they are as the sentence says"
    assert able[-1] == "paper"
    assert "smoke" not in able


def test_what_a_sentence_promises_reproduces_it():
    for entry in OF_RUNS.values():
        if can_decide(entry, "laptop"):
            assert judge(entry, expected_table(entry, "laptop")).verdict == "reproduced", entry.name


def test_every_column_that_a_claim_reads_is_one_of_its_experiment(tmp_path):
    found = {name: set(function([])) for name, function in OF_HISTORY.items()}
    for name, function in OF_LAYER.items():
        group = (
            {"operation": "group_product", "group": "symmetric(3)"}
            if name == "cosets_of_output"
            else {"operation": "addition", "modulus": 7}
        )
        stored = train(**group, layers=1, heads=2, width=8, steps=5, train_fraction=0.6, runs=tmp_path)
        found[name] = set(function(stored.folder, stored.run, 5))
    of_every_run = set(runs_table([]).columns)
    for identity, entry in OF_RUNS.items():
        facts = registry.look_up("experiment", entry.facts["experiment"]).facts
        there = of_every_run | set(facts.get("results", ())) | {registry.parse_call(call).name for call in facts.get("measures", ())}
        there |= set().union(*(found[name] for name in facts.get("findings", ())))
        scale = next(scale for scale in SCALES if not expected_table(entry, scale).is_empty())
        promised = entry.facts["expects"](next(run for run in runs_of(entry, scale)))
        assert set(promised) <= there, identity


def runs_of(entry, scale):
    return [run for members in settings_of(entry.facts["experiment"], scale).values() for run in members if entry.facts["runs"](run)]


def test_runs_that_generalized_are_not_counted_as_those_that_did_not():
    few = together(parity([5000, 6000]), parity([7000]).with_columns(train_fraction=pl.lit(0.95)))
    assert verdict("C11", few) == "undecided", "three seeds, at two fractions"
    half = parity([5000, 6000, None, None])
    assert verdict("C11", half) == "undecided", "two of four are not most"


@pytest.mark.parametrize(
    ("accuracies", "fractions", "told"),
    [
        ((1.0, 0.1, 0.1, 1.0, 1.0), (0.5, 0.6, 0.65, 0.7, 0.75), "not reproduced"),
        ((1.0, 1.0, 1.0, 0.1, 0.1), (0.5, 0.6, 0.7, 0.75, 0.8), "reproduced"),
        ((1.0, 0.1, 1.0, 1.0, 1.0), (0.4, 0.5, 0.6, 0.7, 0.8), "reproduced"),
        ((1.0, 0.1, 1.0), (0.6, 0.7, 0.8), "not reproduced"),
        ((1.0, 1.0, 1.0), (0.6, 0.65, 0.7), "undecided"),
    ],
)
def test_perfect_fractions_must_be_neighbors(accuracies, fractions, told):
    assert verdict("C6", final(accuracies, fractions)) == told


def test_unfinished_runs_do_not_tell_what_becomes_of_a_run():
    short = {"as_asked": False}
    assert verdict("C6", final((1.0, 0.999, 1.0)).with_columns(**{k: pl.lit(v) for k, v in short.items()})) == "undecided"
    begun = wrong({200: None, 2000: None}).with_columns(as_asked=pl.lit(value=False), evaluated_at=pl.lit(5))
    assert verdict("C23", begun) == "undecided"
    assert verdict("D2", unlearned(0.1, 0.3).with_columns(as_asked=pl.lit(value=False))) == "undecided"
    assert verdict("D2", unlearned(0.1, 0.3).with_columns(as_asked=pl.lit(value=True))) == "not reproduced"


def test_three_seeds_of_three_pairs_are_not_the_five_that_the_rule_wants():
    assert verdict("C8", pairs((QUICK[:3], SLOW[:3]))) == "undecided"
    assert verdict("C8", pairs((QUICK, SLOW))) == "reproduced"


def test_one_seed_at_two_fractions_is_one_seed():
    assert verdict("C10", together(cubic([5000], 0.9), cubic([5000], 0.95))) == "undecided"
    assert verdict("C10", cubic([5000, 6000])) == "not reproduced"


def test_one_noise_that_helps_and_one_that_harms_decide_nothing():
    both = together(*(runs(name, generalized=at, train_fraction=0.9) for name, at in zip(METHODS[2:], (SLOW, *[QUICK] * 6), strict=True)))
    both = both.filter(~(pl.col("setting") == "Adam, full batch, noise"))
    both = together(both, runs("Adam, full batch, noise", generalized=SLOW, train_fraction=0.9))
    found = judge(CLAIMS["C15"], both)
    assert found.verdict == "undecided"
    assert "another later" in found.reason
    assert verdict("C15", noises([5000, *NEVER[:4]], *[NEVER] * 3)) == "undecided", "most runs did not generalize"


def test_never_memorizing_is_outside_of_thousands_of_steps_if_eight_seeds_say_so():
    """Nine ways are looked at: three seeds outside are one chance in eight each."""
    late = memorizing(900).filter(pl.col("setting") != "Adam, full batch")
    for count, watched, told in ((8, 100_000, "not reproduced"), (3, 100_000, "undecided"), (8, 15_000, "undecided")):
        never = runs("Adam, full batch", memorized=[None] * count, watched=watched)
        assert verdict("C17", together(late, never)) == told


def test_outliers_up_to_a_point():
    counts = {50: 5000, 200: None, 2000: None}
    middling = wrong(counts).with_columns(best_validation_accuracy=pl.lit(0.7))
    assert verdict("C23", middling) == "undecided", "neither generalized nor far from it"
    unlearned_all = wrong({200: 5000, 2000: 5000}).with_columns(memorized_at=pl.lit(None, dtype=pl.Int64))
    found = judge(CLAIMS["C23"], unlearned_all)
    assert (found.verdict, "memorize and generalize at none" in found.reason) == ("not reproduced", True)


def test_reasons_tell_what_was_seen():
    one_late = runs("Adam, no decay", memorized=[*[300] * 8, 1900])
    assert judge(CLAIMS["C1"], one_late).reason == "9 seeds, their median by step 300; the slowest took 1,900"
    one_of_five = changed(delays({0.5: None, 0.8: 1.2}, watched=6_000), "generalized_at", 5_500, seed=0, train_fraction=0.5)
    assert "50 %: median delay more than 6.0" in judge(CLAIMS["C21"], one_of_five).details, "one of five is no median"
    assert "trained for" in judge(CLAIMS["C19"], expected_table(CLAIMS["C19"], "laptop")).reason


def test_numbers_stand_where_they_say_something():
    assert judge(CLAIMS["C17"], memorizing(900).filter(pl.col("setting") == ADAMW)).value is None
    assert judge(CLAIMS["C17"], memorizing(900)).interval is None, "a range of ways is no confidence interval"
    assert judge(CLAIMS["N1"], frequencies(5)).interval is None
    assert judge(CLAIMS["C16"], rates(1e-3).filter(pl.col("learning_rate") > 5e-4)).value is None
    assert told_percent(0.5) == "50 %"
    assert not any("  %" in line for line in judge(CLAIMS["C5"], memorized(900, 2000, 4000)).details)


def test_a_correlation_of_one_setting_or_of_few_of_the_runs_decides_nothing():
    assert verdict("C24", sharp(-4.0).with_columns(setting=pl.lit(ADAMW))) == "undecided"
    unknown = runs("Adam", generalized=[None] * 8, sharpness=[None] * 8)
    found = judge(CLAIMS["C24"], together(sharp(-4.0), unknown))
    assert (found.verdict, "12 of 20 stored runs" in found.reason) == ("undecided", True)


def test_delays_are_compared_within_one_budget():
    held = runs("norm held fixed", generalized=[120] * 5, watched=5_000)
    usual = runs("usual", generalized=[110, 9000, 9000, 9000, 9000], watched=15_000)
    cut = usual.with_columns(pl.when(pl.col("generalized_at") > 5000).then(None).otherwise("generalized_at").alias("generalized_at"))
    cut = cut.with_columns(evaluated_at=pl.lit(5000), steps=pl.lit(5000))
    assert judge(CLAIMS["O1"], together(held, usual)).reason == judge(CLAIMS["O1"], together(held, cut)).reason
