"""Every claim is decided by its rule: synthetic results of all three kinds, and what no results may decide."""

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from groklab import cli, registry
from groklab.analysis.claims import Judgment, all_of, in_range, judge, ordered, part, sooner, told_percent
from groklab.analysis.expectations import can_decide, expected_table
from groklab.analysis.findings import OF_HISTORY, OF_LAYER
from groklab.analysis.statistics import compare, sample_of
from groklab.analysis.survival import Sample
from groklab.analysis.tables import runs_table
from groklab.config.experiments import SCALES, settings_of
from groklab.config.run import Run
from groklab.laboratory import train

CLAIMS = {entry.facts["id"]: entry for entry in registry.entries("claim").values()}


def runs(setting="x", *, generalized=(), memorized=None, watched=10_000, **columns):
    """A row per run; None: not reached within ``watched`` steps."""
    count = len(generalized) or len(memorized)
    generalized = list(generalized) or [None] * count
    memorized = [100] * count if memorized is None else list(memorized)
    best = [1.0 if at is not None else 0.02 for at in generalized]
    rows = {
        "setting": [setting] * count, "seed": list(range(count)), "status": ["complete"] * count, "memorized_at": memorized,
        "generalized_at": generalized, "steps": [watched] * count, "evaluated_at": [watched] * count,
        "best_validation_accuracy": best, "validation_accuracy": best, "train_fraction": [0.5] * count,
    }  # fmt: skip
    for name, value in columns.items():
        rows[name] = list(value) if isinstance(value, (list, tuple)) else [value] * count
    whole = dict.fromkeys(("memorized_at", "generalized_at", "steps", "evaluated_at"), pl.Int64)
    return pl.DataFrame(rows, schema_overrides=whole)


def together(*tables):
    return pl.concat(tables, how="diagonal_relaxed")


QUICK, SLOW, NEVER = [1000, 1100, 1200, 1300, 1400], [3000, 3300, 3600, 3900, 4200], [None] * 5
ADAM, ADAMW = "Adam, no decay", "AdamW, decay 1"
METHODS = (
    ADAMW, "AdamW, decay 1 to initial", "Adam", "Adam, rate 3·10⁻⁴", "Adam, rate 3·10⁻³", "Adam, weight noise", "Adam, dropout 0.1",
    "Adam, full batch", "Adam, full batch, noise",
)  # fmt: skip


def adam(generalized, early=0.05, watched=1_000_000):
    return runs(ADAM, generalized=generalized, watched=watched, best_validation_accuracy_to_100000=early)


def losses(first, peak, after, generalized=NEVER[:3]):
    return runs(
        ADAM, generalized=generalized, watched=100_000, loss_at_first=first, loss_at_peak=peak, step_of_peak=500.0, loss_after_peak=after
    )


def growing(factor, fractions=(0.25, 0.27, 0.3), count=4):
    """Steps that grow by a factor for every percent of data less, nearly without scatter."""
    parts = []
    for fraction in fractions:
        at = [round(20_000 * factor ** (100 * (0.3 - fraction)) * scatter) for scatter in (0.97, 0.99, 1.01, 1.03)[:count]]
        parts.append(runs("x · y in S₅", generalized=at, watched=1_000_000, train_fraction=fraction))
    return together(*parts)


def s5(few, many, *, generalized_few=NEVER, generalized_many=SLOW):
    return together(
        runs("x · y in S₅", memorized=few, generalized=generalized_few, train_fraction=0.5),
        runs("x · y in S₅", memorized=many, generalized=generalized_many, train_fraction=0.8),
    )


def final(accuracies, fractions=(0.6, 0.7, 0.8), count=5):
    """Fractions, sooner with more data, that end at these accuracies."""
    parts = []
    for fraction, accuracy in zip(fractions, accuracies, strict=True):
        at = [round(9000 - 10_000 * (fraction - 0.5)) + 100 * seed for seed in range(count)]
        parts.append(runs("x · y in S₅", generalized=at, train_fraction=fraction, validation_accuracy=accuracy))
    return together(*parts)


def laws(kind, tasks=4):
    """Tasks whose steps follow one of the two laws over a wide range of fractions."""
    parts = []
    for task in range(tasks):
        for fraction in (0.2, 0.35, 0.5, 0.7, 0.9):
            steps = 1000 * np.exp(-9 * (fraction - 0.9)) if kind == "exponential" else 1000 * (fraction / 0.9) ** -4
            at = [round(steps * scatter) for scatter in (0.97, 1.0, 1.03)]
            parts.append(runs(f"task {task}", generalized=at, watched=10**7, train_fraction=fraction))
    return together(*parts)


def pairs(symmetric, asymmetric):
    named = (("x + y", "x − y", 0.5), ("x · y", "x / y", 0.5), ("x² + xy + y²", "x² + xy + y² + x", 0.9))
    parts = []
    for first, second, fraction in named:
        parts += [
            runs(first, generalized=symmetric, train_fraction=fraction),
            runs(second, generalized=asymmetric, train_fraction=fraction),
        ]
    return together(*parts)


def two_lines(shift, scatter=0.02, count=5, seed=0):
    """x − y and x / y at two fractions, the first needing ``shift`` more of the table."""
    stream, parts = np.random.default_rng(seed), []
    for name, more in (("x − y", shift), ("x / y", 0.0)):
        for fraction in (0.5, 0.7):
            log_steps = np.log(4000) - 3.0 * (fraction - more - 0.5) + scatter * stream.standard_normal(count)
            parts.append(runs(name, generalized=np.exp(log_steps).round().astype(int).tolist(), train_fraction=fraction))
    return together(*parts)


def cubic(generalized, fraction=0.95):
    return runs("x³ + xy² + y", generalized=generalized, watched=100_000, train_fraction=fraction)


def parity(generalized, watched=100_000):
    return runs("x / y if y is odd, else x − y", generalized=generalized, watched=watched, train_fraction=0.9)


def needing(decay, others):
    """Nine methods at nine fractions, each generalizing from a fraction on."""
    parts = []
    for method in METHODS:
        needed = decay if method == ADAMW else others
        for fraction in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9):
            parts.append(runs(method, generalized=[5000] * 3 if fraction >= needed - 1e-9 else [None] * 3, train_fraction=fraction))
    return together(*parts)


def decays(zero, initial, none):
    named = zip(METHODS[:3], (zero, initial, none), strict=True)
    return together(*(runs(name, generalized=at, watched=20_000, train_fraction=0.9) for name, at in named))


def noises(noisy, quiet):
    sides = {"Adam": noisy, "Adam, full batch": quiet, "Adam, weight noise": noisy, "Adam, full batch, noise": noisy}
    return together(*(runs(name, generalized=at, train_fraction=0.9) for name, at in sides.items()))


def rates(*working):
    every = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
    return together(
        *(
            runs("AdamW", generalized=[4000, 4200] if rate in working else [None, None], watched=20_000, learning_rate=rate)
            for rate in every
        )
    )


def memorizing(*steps):
    at = list(steps) + [2000] * (9 - len(steps))
    return together(*(runs(method, memorized=[one, one, one]) for method, one in zip(METHODS, at, strict=True)))


def circles(circle_p, line_p, count=3):
    values = {"circle_score": 0.7, "circle_chance": 0.1, "circle_p": circle_p, "line_step": 8.0, "line_score": 0.7, "line_p": line_p}
    return runs(ADAMW, generalized=[3000] * count, **values)


def cosets(kind, number, p, count=3):
    values = {"coset_type": kind, "cosets": float(number), "coset_side": "xH", "coset_share": 0.4, "coset_chance": 0.1, "coset_p": p}
    return runs(ADAMW, generalized=[3000] * count, **values)


def clearer(with_decay, without):
    return together(
        runs(ADAMW, generalized=QUICK, circle_adjusted=with_decay), runs("Adam", generalized=QUICK[: len(without)], circle_adjusted=without)
    )


def wrong(at_200, at_2000):
    parts = [runs("x / y", generalized=[at] * 3, outliers=count) for count, at in ((200.0, at_200), (2000.0, at_2000))]
    return together(*parts)


def sharp(slope, count=12):
    accuracy = np.linspace(0.1, 0.9, count)
    table = runs("Adam", generalized=[None] * count, sharpness=(5 + slope * accuracy).tolist(), validation_accuracy=accuracy.tolist())
    return table.with_columns(setting=pl.Series([METHODS[number % 3] for number in range(count)]))


def frequencies(count, restricted=1e-5, excluded=4.0, networks=3):
    values = {"key_frequencies": float(count), "restricted_loss": restricted, "excluded_loss": excluded, "validation_loss": 2e-5}
    return runs("one layer", generalized=[5000] * networks, **values)


def against(first, at, second, other):
    return together(runs(first, generalized=at), runs(second, generalized=other))


def muons(muon, adamw):
    parts = [runs(f"{task}, {kind}", generalized=at) for task in ("x + y", "x / y") for kind, at in (("Muon", muon), ("AdamW", adamw))]
    return together(*parts)


def norms(held, usual):
    """Delays of five runs a side, memorized at 100."""
    sides = (("norm held fixed", held), ("usual", usual))
    return together(*(runs(name, generalized=[round(100 * delay) + k for k in range(5)], memorized=[100] * 5) for name, delay in sides))


def unlearned(validation, train):
    return runs("35 % wrong, decay 15", generalized=QUICK, validation_accuracy=validation, train_accuracy=train)


FILTER, PLAIN = "with Grokfast (EMA)", "Adam, decay 0.005"
WINDOW = "with Grokfast (MA), decay 0.01"

CASES = {
    "C1": (runs(ADAM, memorized=[500, 520, 540, 560, 580]), runs(ADAM, memorized=[2000] * 5), runs(ADAM, memorized=[500] * 4)),
    "C2": (adam([600_000] * 5), adam([50_000] * 5), adam([None] * 5, watched=100_000)),
    "C3": (losses(5.0, 15.0, 6.0), losses(5.0, 6.0, 5.0), losses(5.0, 15.0, 14.0)),
    "C4": (growing(1.45), growing(1.05), growing(1.45, count=1)),
    "C5": (s5([900] * 5, [4000] * 5), s5([4000] * 5, [900] * 5), s5([900] * 4, [4000] * 4, generalized_few=NEVER[:4], generalized_many=SLOW[:4])),
    "C6": (final((1.0, 0.999, 1.0)), final((0.1, 1.0, 1.0)), final((1.0, 0.999, 1.0), count=4)),
    "C7": (laws("exponential"), laws("power"), laws("exponential", tasks=2)),
    "C8": (pairs(QUICK, SLOW), pairs(SLOW, QUICK), pairs(QUICK[:2], SLOW[:2])),
    "C9": (two_lines(0.01), two_lines(0.15), two_lines(0.05, scatter=0.3)),
    "C10": (cubic([None] * 3), cubic([5000] * 3), cubic([None] * 2)),
    "C11": (parity([5000, 6000, None]), parity([None] * 3), parity([None] * 3, watched=20_000)),
    "C13": (needing(0.2, 0.8), needing(0.5, 0.6), needing(0.5, 0.6).filter(pl.col("train_fraction") < 0.4)),
    "C14": (decays(QUICK, SLOW, NEVER), decays(SLOW, QUICK, NEVER), decays(QUICK, NEVER, NEVER)),
    "C15": (noises(QUICK, SLOW), noises(SLOW, QUICK), noises(NEVER, NEVER)),
    "C16": (rates(3e-4, 1e-3, 3e-3), rates(1e-4, 3e-4, 1e-3, 3e-3), rates(1e-4, 3e-4, 1e-3)),
    "C17": (memorizing(900), memorizing(100), memorizing(900).filter(pl.col("setting") != "Adam, full batch")),
    "C18": (circles(0.001, 0.001), circles(0.4, 0.5), circles(0.001, 0.001, count=2)),
    "C19": (cosets("dihedral(5)", 12, 0.001), cosets("cyclic(2)", 60, 0.001), cosets("dihedral(5)", 12, 0.3)),
    "C20": (
        clearer([0.5, 0.6, 0.7, 0.8, 0.9], [0.1, 0.2, 0.3, 0.35, 0.4]), clearer([0.1, 0.2, 0.3, 0.35, 0.4], [0.5, 0.6, 0.7, 0.8, 0.9]),
        clearer([0.5, 0.6, 0.7, 0.8, 0.9], [0.1, 0.2]),
    ),
    "C21": (
        s5([900] * 5, [3000] * 5), s5([900] * 5, [900] * 5, generalized_few=[1000] * 5, generalized_many=[5500] * 5),
        s5([900] * 4, [3000] * 4, generalized_few=NEVER[:4], generalized_many=SLOW[:4]),
    ),
    "C23": (wrong(5000, None), wrong(None, None), wrong(5000, None).filter(pl.col("seed") < 2)),
    "C24": (sharp(-4.0), sharp(4.0), sharp(-4.0, count=8)),
    "N1": (frequencies(5), frequencies(40), frequencies(5, networks=2)),
    "N2": (frequencies(5), frequencies(5, excluded=0.1), frequencies(5, networks=2)),
    "R1": (runs("MLP", memorized=[330, 335, 340, 345, 350]), runs("MLP", memorized=[5000] * 5), runs("MLP", memorized=[330] * 2)),
    "R2": (
        runs("MLP", generalized=[40_000, 80_000, 90_000, 120_000, 200_000], watched=250_000), runs("MLP", generalized=[40_000, 80_000, 90_000, 120_000, None], watched=250_000),
        runs("MLP", generalized=[None] * 5, watched=1_000),
    ),
    "F1": (against(FILTER, QUICK, PLAIN, NEVER), against(FILTER, NEVER, PLAIN, QUICK), against(FILTER, NEVER, PLAIN, NEVER)),
    "F2": (against(WINDOW, QUICK, PLAIN, NEVER), against(WINDOW, NEVER, PLAIN, QUICK), against(WINDOW, QUICK[:2], PLAIN, NEVER[:2])),
    "M1": (muons(QUICK, SLOW), muons(SLOW, QUICK), muons(QUICK[:2], SLOW[:2])),
    "O1": (norms(1.2, 30), norms(30, 1.2), norms(1.2, 1.2)),
    "D1": (
        runs("decay 5", generalized=[38, 39, 40, 41, 42]), runs("decay 5", generalized=[200, 210, 220, 230, 240]), runs("decay 5", generalized=[38, 39]),
    ),
    "D2": (unlearned(1.0, 0.65), unlearned(0.5, 0.65), unlearned([1.0, 1.0, 1.0, 0.9, 0.9], 0.65)),
}  # fmt: skip
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


@pytest.mark.parametrize(("identity", "first"), [("F1", FILTER), ("F2", WINDOW)])
def test_adam_with_other_decays_stands_beside_the_filters_and_decides_nothing(identity, first):
    compared = against(first, QUICK, PLAIN, NEVER)
    alone = judge(CLAIMS[identity], compared)
    found = judge(
        CLAIMS[identity], together(compared, runs("Adam, no decay", generalized=NEVER), runs("Adam, decay 0.01", generalized=QUICK[:3]))
    )
    assert alone.details == ()
    assert found.details == ("Adam, decay 0.01: median 1,100 (3 seeds)", "Adam, no decay: median not reached (5 seeds)")
    assert replace(found, details=()) == alone
    deciding = [
        run for members in settings_of("grokfast_table", "laptop").values() for run in members if CLAIMS[identity].facts["runs"](run)
    ]
    assert len(deciding) == 10
    assert {run.training.weight_decay for run in deciding if not run.training.interventions} == {0.005}


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
    assert sorted(cut["generalized_at"].to_list(), key=str) == [1500, 3000, None, None], (
        "what ended earlier says nothing, unless it got there"
    )
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
    begun = wrong(None, None).with_columns(as_asked=pl.lit(value=False), evaluated_at=pl.lit(5))
    assert verdict("C23", begun) == "undecided"
    assert verdict("D2", unlearned(0.1, 0.3).with_columns(as_asked=pl.lit(value=False))) == "undecided"
    assert verdict("D2", unlearned(0.1, 0.3).with_columns(as_asked=pl.lit(value=True))) == "not reproduced"


def test_three_seeds_of_three_pairs_are_not_the_five_that_the_rule_wants():
    assert verdict("C8", pairs(QUICK[:3], SLOW[:3])) == "undecided"
    assert verdict("C8", pairs(QUICK, SLOW)) == "reproduced"


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
    assert verdict("C15", noises([5000, *NEVER[:4]], NEVER)) == "undecided", "most runs did not generalize"


def test_never_memorizing_is_outside_of_thousands_of_steps():
    late = memorizing(900).filter(pl.col("setting") != "Adam, full batch")
    never = runs("Adam, full batch", memorized=[None] * 3, watched=100_000)
    assert verdict("C17", together(late, never)) == "not reproduced"
    assert verdict("C17", together(late, runs("Adam, full batch", memorized=[None] * 3, watched=15_000))) == "undecided"


def test_outliers_up_to_a_point():
    counts = {50: 5000, 200: None, 2000: None}
    middling = together(
        *(runs("x / y", generalized=[at] * 3, outliers=float(count), best_validation_accuracy=0.7) for count, at in counts.items())
    )
    assert verdict("C23", middling) == "undecided", "neither beside all of them nor beside none"
    unlearned_all = together(*(runs("x / y", generalized=[5000] * 3, memorized=[None] * 3, outliers=count) for count in (200.0, 2000.0)))
    found = judge(CLAIMS["C23"], unlearned_all)
    assert (found.verdict, "beside all" in found.reason) == ("not reproduced", True)


def test_reasons_tell_what_was_seen():
    one_late = runs("Adam, no decay", memorized=[*[300] * 8, 1900])
    assert judge(CLAIMS["C1"], one_late).reason == "9 seeds, their median by step 300; the slowest took 1,900"
    one_of_five = s5([900] * 5, [3000] * 5, generalized_few=[9000, *NEVER[:4]]).with_columns(
        evaluated_at=pl.when(pl.col("generalized_at").is_null()).then(6000).otherwise("evaluated_at")
    )
    assert "more than 6.7 at 50 %" in judge(CLAIMS["C21"], one_of_five).reason, "one of five is no median"
    assert "trained for" in judge(CLAIMS["C19"], expected_table(CLAIMS["C19"], "laptop")).reason


def test_numbers_stand_where_they_say_something():
    assert judge(CLAIMS["C17"], memorizing(900).filter(pl.col("setting") == ADAMW)).value is None
    assert judge(CLAIMS["C17"], memorizing(900)).interval is None, "a range of ways is no confidence interval"
    assert judge(CLAIMS["N1"], frequencies(5)).interval is None
    assert judge(CLAIMS["C16"], rates(1e-3).filter(pl.col("learning_rate") > 5e-4)).value is None
    assert told_percent(0.5) == "50 %"
    assert not any("  %" in line for line in judge(CLAIMS["C5"], s5([900] * 5, [4000] * 5)).details)


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


def test_little_before_a_hundred_thousand_steps_is_part_of_the_claim():
    assert verdict("C2", adam([600_000] * 5, early=0.3)) == "undecided"
