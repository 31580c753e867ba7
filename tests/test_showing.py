"""Many runs as one table: filtered, summarized, fitted and compared, for people, as JSON and into files."""

import json
import math
import subprocess
import sys

import polars as pl
import pytest

from benchmarks.yardstick import yardsticks
from groklab.analysis.distinctions import differing, distinguishing
from groklab.analysis.efficiency import data_efficiency, efficiencies
from groklab.analysis.selection import Condition, select, value_in
from groklab.analysis.statistics import compare, fit_steps, laws, summarize
from groklab.analysis.tables import MIXED, runs_table
from groklab.cli import main
from groklab.config.run import Run
from groklab.config.steps import steps_up_to
from groklab.results.store import RunFolder
from groklab.stored.run import StoredRun, stored_runs

BUDGET = 10_000


def store(root, run, memorized=100, generalized=None, steps=BUDGET, status="complete"):
    """A run's folder as training leaves it, with a history made up from the steps at which it got there."""
    folder = RunFolder(root / run.id)
    folder.create(run, {"total": 400_000, "non_embedding": 390_000})
    lines = []
    for step in steps_up_to(steps, run.budget.evaluations_per_decade):
        knows, sees = (at is not None and step >= at for at in (generalized, memorized))
        row = {"step": step, "train_loss": 2.5 / (step + 1), "validation_loss": 3.123456789 + 1 / (step + 1)}
        row |= {"train_accuracy": 1.0 if sees else 0.1, "validation_accuracy": 1.0 if knows else 0.05, "weight_norm": 45.6 + step / 7}
        lines.append(json.dumps({**row, "wall_time": round(step / 97, 3)}) + "\n")
    (folder.path / "history.jsonl").write_text("".join(lines), encoding="utf-8")
    segment = {"from_step": 0, "groklab": "0.1.0", "torch": "2.13.0", "device": "cpu", "path": "compiled", "began": "2026-01-01T00:00:00"}
    folder.update(status=status, segments=[segment])
    return folder


#: (operation, train fraction) -> the step at which each of five seeds generalizes; None: not within the budget
REACHED = {
    ("addition", 0.3): (2754, None, 5248, None, None),
    ("addition", 0.4): (1000, 1202, 1445, 1738, None),
    ("addition", 0.5): (301, 331, 363, 398, 437),
    ("subtraction", 0.3): (None, None, None, None, None),
    ("subtraction", 0.4): (3020, 3311, 3631, 3981, None),
    ("subtraction", 0.5): (525, 575, 631, 692, 759),
}


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr("groklab.results.files.os.fsync", lambda descriptor: None)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Thirty runs: two operations, three fractions, five seeds; not to be changed."""
    folder = tmp_path_factory.mktemp("thirty") / "runs"
    for (operation, fraction), steps in REACHED.items():
        for seed, at in enumerate(steps):
            memorized = 110 + 10 * seed
            store(folder, Run.of(operation=operation, train_fraction=fraction, seed=seed, steps=BUDGET), memorized, at)
    return folder


@pytest.fixture(scope="module")
def table(root):
    return runs_table(stored_runs(root))


@pytest.fixture
def show(root, capsys, monkeypatch):
    """Runs `groklab show --table`: exit status, standard output, standard error."""
    monkeypatch.chdir(root.parent)
    capsys.readouterr()

    def command(*words, verb=("show", "--table")):
        try:
            status = main([*verb, *map(str, words)])
        except SystemExit as end:
            status = end.code
        return status, *capsys.readouterr()

    return command


def answered(answer):
    status, out, err = answer
    assert status == 0, err
    assert out.count("\n") == 1, "one JSON object and nothing else"
    return json.loads(out)


# — the table of runs —


def test_fields_that_were_left_open_have_the_values_that_they_stood_for(table):
    row = table.row(0, named=True)
    assert (row["modulus"], row["weight_decay"], row["learning_rate"], row["mlp_width"]) == (97, 1.0, 0.001, 512)
    assert (row["interventions"], row["batch_size"], row["outliers"], row["group"]) == ("()", "half", "0", None)


def test_the_columns_are_the_same_whatever_is_stored(table, tmp_path):
    assert runs_table([]).schema == table.schema
    damaged = store(tmp_path, Run.of(seed=7))
    (damaged.path / "run.json").write_text("{", encoding="utf-8")
    unlike = store(tmp_path, Run.of(outliers=0.1, batch_size=32, group="symmetric(3)", operation="group_product"))
    found = runs_table([damaged, unlike])
    assert found.schema == table.schema
    assert found["status"].to_list() == ["damaged", "complete"]
    assert found.row(1, named=True)["outliers"] == "0.1"
    assert {name for name in MIXED if found.schema[name] == pl.String} == set(MIXED)


def test_what_a_column_cannot_hold_does_not_end_the_table(tmp_path):
    edited, whole = (store(tmp_path, Run.of(seed=seed)) for seed in (1, 2))
    edited.update(resolved={**edited.description()["resolved"], "learning_rate": "quick", "modulus": 2**70})
    found = runs_table([edited, whole])
    assert found["learning_rate"].to_list() == [None, 0.001]
    assert found["modulus"].to_list() == [None, 97]
    assert found["seed"].to_list() == [1, 2]


def test_results_up_to_the_budget_that_was_asked_for(tmp_path):
    run = Run.of(seed=1, steps=BUDGET, stop="never")
    folder = store(tmp_path, run, memorized=110, generalized=5248)
    for asked in (run, run.replace(steps=1000), run.replace(threshold=0.05), run.replace(stop="generalized(confirmations=2)")):
        row = runs_table([folder], [asked]).row(0, named=True)
        there = StoredRun(folder, asked)
        assert {name: row[name] for name in there.summary.to_dict()} == there.summary.to_dict()
        assert row["status"] == there.status
    assert runs_table([folder], [run.replace(steps=1000)])["generalized_at"].to_list() == [None]
    assert runs_table([folder])["generalized_at"].to_list() == [5248]


@pytest.mark.parametrize("status", ["complete", "running", "interrupted", "diverged"])
def test_a_run_is_complete_as_far_as_it_was_asked_for(tmp_path, status):
    folder = store(tmp_path, Run.of(seed=1, steps=BUDGET), steps=2000, status=status)
    for steps in (1000, 2000, BUDGET):
        asked = Run.of(seed=1, steps=steps)
        assert runs_table([folder], [asked])["status"].to_list() == [StoredRun(folder, asked).status]


# — which runs —


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        (["operation=addition"], lambda r: r["operation"] == "addition"),
        (["operation!=addition", "seed<2"], lambda r: r["operation"] == "subtraction" and r["seed"] < 2),
        (["train-fraction >= 0.4"], lambda r: r["train_fraction"] >= 0.4),
        (["train_fraction==0.30"], lambda r: r["train_fraction"] == 0.3),
        (["train_fraction>0.4"], lambda r: r["train_fraction"] == 0.5),
        (["train_fraction<=0.4"], lambda r: r["train_fraction"] < 0.45),
        (["generalized_at=none"], lambda r: r["generalized_at"] is None),
        (["generalized_at!=none"], lambda r: r["generalized_at"] is not None),
        (["generalized_at>1e3"], lambda r: (r["generalized_at"] or 0) > 1000),
        (["generalized_at!=1000"], lambda r: r["generalized_at"] != 1000),
        (["weight_decay=1", "betas=0.9+0.98", "interventions=none", "biases=false"], lambda r: True),
        (["interventions!=sam", "batch_size=half", "outliers<1", "group=none"], lambda r: True),
        (["interventions=sam"], lambda r: False),
        (["status=complete", f"id={Run.of(operation='addition', train_fraction=0.3, seed=3).id}"], lambda r: r["id"].startswith("addition-97-f0.30-s3")),
        (["delay>=4"], lambda r: (r["delay"] or 0) >= 4),
    ],
)  # fmt: skip
def test_runs_are_selected(table, conditions, expected):
    rows = [row for row in table.iter_rows(named=True) if expected(row)]
    assert select(table, conditions).to_dicts() == rows


def test_conditions_with_values_of_python(table):
    assert select(table, [Condition("train_fraction", ">", 0.1 + 0.2)])["train_fraction"].unique().sort().to_list() == [0.4, 0.5]
    assert select(table, [Condition("generalized_at", "=", None)]).height == 10
    assert (
        select(table, [Condition("betas", "=", (0.9, 0.98)), Condition("interventions", "=", ()), Condition("biases", "=", False)]).height
        == 30
    )
    with pytest.raises(ValueError, match="got the operator '~' in seed~3; expected one of <= >="):
        select(table, [Condition("seed", "~", 3)])


def test_lists_words_and_numbers_of_mixed_columns(tmp_path):
    runs = [Run.of(batch_size=32), Run.of(batch_size="full"), Run.of(interventions=("sam", "weight_noise(std=0.01)"), outliers=0.25)]
    found = runs_table([store(tmp_path, run) for run in runs])
    for text, height in (
        ("batch_size<=32", 1),
        ("batch_size=32.0", 1),
        ("batch_size!=full", 2),
        ("outliers>0.2", 1),
        ("interventions=sam+weight_noise(std=0.01)", 1),
        ("interventions=sam", 0),
        ("interventions!=none", 1),
    ):
        assert select(found, [text]).height == height, text


def test_seeds_of_nineteen_digits_are_told_apart(tmp_path):
    found = runs_table([store(tmp_path, Run.of(seed=2**63 - one)) for one in (1, 2)])
    assert select(found, [f"seed={2**63 - 1}"])["seed"].to_list() == [2**63 - 1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("operaton=addition", "got 'operaton'; expected a column of the table of runs. Did you mean 'operation'"),
        ("operation", "got 'operation'; expected FIELD=VALUE"),
        ("seed>", "got 'seed>'; expected FIELD=VALUE"),
        ("=3", "got '=3'; expected FIELD=VALUE"),
        ("operation>addition", "got 'operation>addition'; expected = or !=, as operation holds no numbers"),
        ("operation<3", "expected = or !=, as operation holds no numbers"),
        ("seed=first", "got 'seed=first'; expected a number, as seed is one"),
        ("train_fraction>half", "got 'train_fraction>half'; expected a number"),
        ("steps>10_000", "expected a number"),
        ("delay<inf", "expected a number"),
        ("generalized_at>none", "Only = and != compare with none"),
        ("biases=maybe", "expected biases=true or biases=false"),
        ("biases>false", "expected biases=true or biases=false"),
    ],
)
def test_conditions_that_mean_nothing_are_explained(table, text, message):
    with pytest.raises(ValueError, match="filter: got") as error:
        select(table, [text])
    assert message in str(error.value)


def test_the_fields_in_which_runs_differ(table, tmp_path):
    assert differing(table) == ["operation", "train_fraction"]
    assert differing(table, within=["operation"]) == ["train_fraction"]
    assert differing(table.head(1)) == differing(table.clear()) == []
    runs = [Run.of(optimizer="adam"), Run.of(optimizer="adamw"), Run.of(optimizer="adamw", width=64)]
    found = runs_table([store(tmp_path, run) for run in runs])
    assert differing(found) == ["width", "mlp_width", "optimizer", "weight_decay"]
    assert distinguishing(found) == ["width", "optimizer"], "the MLP's width and the decay follow from them"
    assert value_in("compare", found, "weight_decay", "1") == 1.0
    with pytest.raises(ValueError, match="compare: got width 3, which none of these runs has; expected one of 128, 64"):
        value_in("compare", found, "width", "3")


# — statistics in Python —


def test_laws_are_fitted_for_each_setting(table):
    found = laws(table, ["operation"], level=0.8)
    assert found["operation"].to_list() == ["addition", "subtraction"]
    for row in found.iter_rows(named=True):
        part = select(table, [f"operation={row['operation']}"])
        exponential, power = (fit_steps(part, law, level=0.8) for law in ("exponential", "power"))
        assert row["exponential_rate"] == pytest.approx(exponential.rate)
        assert (row["power_rate_lower"], row["power_rate_upper"]) == pytest.approx(power.rate_interval[:2])
        assert row["factor"] == pytest.approx(math.exp(exponential.rate / 100))
        assert row["factor_upper"] == pytest.approx(math.exp(exponential.rate_interval.upper / 100))
        assert row["aic_difference"] == pytest.approx(power.aic - exponential.aic)
        assert (row["runs"], row["reached"], row["fractions"], row["why"]) == (15, part["generalized_at"].count(), 3, None)


def test_a_planted_law_is_found():
    fractions = [0.3, 0.4, 0.5, 0.6] * 4
    scatter = [1.0, 1.1, 0.9, 1.05, 0.95, 1.02, 0.98, 1.0] * 2
    steps = [round(1e6 * math.exp(-12 * f) * s) for f, s in zip(fractions, scatter, strict=True)]
    table = pl.DataFrame({"train_fraction": fractions, "memorized_at": 10, "generalized_at": steps, "steps": 100_000, "setting": "a"})
    row = laws(table, ["setting"]).row(0, named=True)
    assert row["exponential_rate_lower"] < 12 < row["exponential_rate_upper"]
    assert row["exponential_rate"] == pytest.approx(12, abs=0.5)
    assert row["aic_difference"] > 4


def test_a_law_that_cannot_be_fitted_says_why(table):
    found = laws(table, ["operation", "seed"]).filter(pl.col("operation") == "subtraction", pl.col("seed") == 4).row(0, named=True)
    assert found["exponential_rate"] is found["factor"] is found["aic_difference"] is None
    assert "got 1 runs that got there, at 1 fractions; expected three or more" in found["why"]
    with pytest.raises(ValueError, match="over the train fractions of a setting"):
        laws(table, ["train_fraction"])
    with pytest.raises(ValueError, match="got quantity 'grokked'; expected one of memorized_at"):
        laws(table, quantity="grokked")
    with pytest.raises(ValueError, match="level: got 90"):
        laws(table, level=90)


def test_efficiencies_are_those_of_each_setting(table):
    found = efficiencies(table, ["operation"])
    for row in found.iter_rows(named=True):
        alone = data_efficiency(select(table, [f"operation={row['operation']}"]))
        assert (row["fraction"], row["above"], row["up_to"]) == (alone.fraction, *alone.bracket)
        assert (row["lower"], row["upper"]) == alone.interval[:2]
        assert (row["runs"], row["seeds"], row["fractions"], row["smallest"], row["largest"], row["why"]) == (15, 5, 3, 0.3, 0.5, None)


def test_an_efficiency_outside_of_what_was_tried_or_of_several_settings_says_why(table):
    easy = efficiencies(select(table, ["train_fraction>=0.4"]), ["operation"])
    assert easy["why"].to_list() == ["50 % of seeds or more generalize at the smallest fraction tried, 0.4"] * 2
    hard = efficiencies(select(table, ["train_fraction=0.3"]), ["operation"])
    assert hard["why"].to_list() == ["less than 50 % of seeds generalize at the largest fraction tried, 0.3"] * 2
    assert hard["fraction"].to_list() == [None, None]
    pooled = efficiencies(table).row(0, named=True)
    assert "several runs of fraction 0.3 and seed 0" in pooled["why"]
    with pytest.raises(ValueError, match="over the fractions of a setting"):
        efficiencies(table, ["train_fraction"])


# — in a terminal, as JSON, into files —


def test_runs_are_filtered_on_the_command_line(show):
    found = answered(show("--filter", "operation=addition", "train_fraction>=0.4", "generalized_at=none", "--json"))["runs"]
    assert [row["id"][:19] for row in found] == ["addition-97-f0.40-s"]
    _, out, _ = show("--filter", "seed=0", "operation=addition")
    assert len(out.splitlines()) == 4
    _, out, _ = show("--filter", "seed=9")
    assert out == "none of 30 runs satisfies seed=9.\n"
    assert answered(show("--filter", "seed=9", "--by", "operation", "--json")) == {"settings": []}
    listed = answered(show("--filter", "seed=0", "operation=addition", "--json", verb=("list", "runs")))["runs"]
    assert [row["seed"] for row in listed] == [0, 0, 0]
    assert show("--filter", "seed=9", verb=("list", "runs"))[1] == "no run satisfies seed=9.\n"


def test_a_row_for_every_setting(show, table):
    found = answered(show("--by", "operation", "train-fraction", "--json"))["settings"]
    assert found == summarize(table.sort("operation", "train_fraction", maintain_order=True), ["operation", "train_fraction"]).to_dicts()
    hard = found[3]
    assert (hard["runs"], hard["generalized_at_reached"], hard["generalized_at_median"]) == (5, 0, None)
    status, out, _ = show("--by", "operation", "train_fraction")
    assert status == 0
    lines = out.splitlines()
    assert max(map(len, lines)) <= 120
    assert "…" not in out
    assert lines[0].split("  ")[0].strip() == "operation"
    rows = [line.split() for line in lines[1:7]]
    assert [row[:2] for row in rows] == [[o, f] for o in ("addition", "subtraction") for f in ("0.3", "0.4", "0.5")]
    assert "not reached (2 of 5)" in lines[1]
    assert "1,445 (4 of 5)" in lines[2]
    assert "over 1,000" in lines[2]
    assert "302 to 437" in lines[3]
    assert "not reached (0 of 5)" in lines[4]
    assert "over 10,000" in lines[4]
    assert "(2 of 5): so many runs got there" in out
    assert "not reached: " in out
    assert "over, up to: an interval with one end" in out


def test_notes_are_about_what_occurs(show):
    _, out, _ = show("--by", "operation", "--filter", "train_fraction=0.5")
    assert len(out.splitlines()) == 3, out
    _, out, _ = show("--by", "operation")
    assert "Runs of one row differ in train_fraction: --by tells them apart" in out


def test_the_settings_are_found_if_none_are_named(show):
    found = answered(show("--statistic", "summary", "--json"))["settings"]
    assert list(found[0])[:3] == ["operation", "train_fraction", "runs"]
    assert len(found) == 6


def test_one_quantity_of_a_summary(show):
    found = answered(show("--by", "operation", "--quantity", "delay", "--level", 0.8, "--json"))["settings"]
    assert not [name for name in found[0] if name.startswith(("memorized_at", "generalized_at"))]
    _, out, _ = show("--by", "operation", "--quantity", "delay", "--level", 0.8)
    assert "80 % interval" in out
    assert "quickest" in out
    assert "×" in out


def test_the_data_that_each_setting_needs(show, table):
    found = answered(show("--statistic", "efficiency", "--by", "operation", "--json"))["settings"]
    assert found == efficiencies(table, ["operation"]).to_dicts()
    _, out, _ = show("--statistic", "efficiency")
    lines = out.splitlines()
    assert "3, 0.3 to 0.5" in lines[1]
    assert max(map(len, lines)) <= 120
    _, out, _ = show("--statistic", "efficiency", "--filter", "train_fraction=0.3")
    assert "over 0.3" in out.splitlines()[1]
    _, out, _ = show("--statistic", "efficiency", "--by", "layers")
    assert "2: data_efficiency: got several runs of fraction 0.3 and seed 0; expected one." in out
    assert "Runs of one row differ in operation" in out


def test_laws_for_each_setting(show, table):
    found = answered(show("--statistic", "law", "--level", 0.95, "--json"))["settings"]
    assert found == laws(table, ["operation"], level=0.95).to_dicts()
    _, out, _ = show("--statistic", "law")
    assert max(map(len, out.splitlines())) <= 120
    assert "11 of 15" in out
    assert "exponential law" in out
    _, out, _ = show("--statistic", "law", "--filter", "operation=subtraction", "seed=4", "--by", "operation")
    assert "subtraction: fit: got 1 runs that got there" in out


def test_two_values_are_compared(show, table):
    by_fraction = ("--compare", "operation", "addition", "subtraction", "--by", "train_fraction")
    found = answered(show(*by_fraction, "--json"))["comparisons"]
    assert found == compare(table, "operation", "addition", "subtraction", by=["train_fraction"]).to_dicts()
    assert found[2]["p_value"] == 2 / math.comb(10, 5), "all of the one before all of the other"
    _, out, _ = show(*by_fraction)
    assert max(map(len, out.splitlines())) <= 120
    assert "363 (5 of 5)" in out
    assert "– (0 of 5)" in out
    assert "0.00794" in out
    stratified = answered(show("--compare", "operation", "addition", "subtraction", "--strata", "train_fraction", "--json"))["comparisons"]
    assert len(stratified) == 1
    assert stratified[0]["p_value"] < found[2]["p_value"]
    _, out, _ = show("--compare", "operation", "addition", "subtraction", "--strata", "train_fraction")
    assert "within each value of train_fraction only" in out
    assert "Runs of one row differ in" not in out
    _, out, _ = show("--compare", "train_fraction", "0.30", "0.5", "--quantity", "delay")
    assert "delay, train_fraction 0.3 against 0.5" in out
    assert "Runs of one row differ in operation: --strata or --by" in out


@pytest.mark.parametrize(
    "words", [["--by", "operation"], ["--statistic", "law"], ["--compare", "operation", "addition", "subtraction"], []]
)
def test_what_is_shown_is_what_is_written(show, tmp_path, words):
    found = next(iter(answered(show(*words, "--json")).values()))
    for name, read in (("t.csv", pl.read_csv), ("t.parquet", pl.read_parquet)):
        assert show(*words, "--output", tmp_path / name)[:2] == (0, f"{tmp_path / name}\n")
        there = read(tmp_path / name)
        assert there.columns == list(found[0])
        assert there.height == len(found)
    assert pl.read_parquet(tmp_path / "t.parquet").to_dicts() == found


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--by operaton", "--by: got 'operaton'; expected a column of the table of runs. Did you mean 'operation'"),
        ("--by train_fraction --statistic law", "it is over the train_fractions of a setting"),
        ("--by train_fraction --statistic efficiency", "it is over the train_fractions of a setting"),
        (
            "--compare operation addition divison",
            "got operation divison, which none of these runs has; expected one of addition, subtraction",
        ),
        ("--compare operatio addition division", "--compare: got 'operatio'"),
        ("--compare seed one two", "got 'seed=one'; expected a number"),
        ("--compare seed 1 1", "got seed 1 twice"),
        ("--compare operation addition subtraction --by operation", "--by: got operation, which is compared"),
        ("--compare operation addition subtraction --strata operation", "--strata: got operation, which is compared"),
        ("--compare operation addition subtraction --strata fraction", "--strata: got 'fraction'"),
        ("--compare operation addition subtraction --level 0.9", "--level: got 0.9 with --compare"),
        ("--compare operation addition subtraction --statistic law", "--statistic: got law with --compare"),
        ("--compare operation addition", "--compare"),
        ("--strata train_fraction", "--strata: got train_fraction without --compare"),
        ("--strata train_fraction --by operation", "--strata: got train_fraction without --compare"),
        ("--quantity delay", "--quantity: got delay without --by, --statistic or --compare"),
        ("--level 0.95", "--level: got 0.95 without --by or --statistic"),
        ("--level 95 --by operation", "--level: got 95.0; expected a number between 0 and 1"),
        ("--statistic efficiency --quantity delay", "--quantity: got delay with --statistic efficiency"),
        ("--filter seed>first", "filter: got 'seed>first'; expected a number"),
        ("--filter seed=9 --compare operation addition subtraction", "got operation addition, and no runs"),
        ("--statistic mean", "statistic"),
        ("--by operation --output t.xlsx", "ends in .csv or .parquet"),
    ],
)
def test_bad_input_is_explained(show, words, message):
    status, out, err = show(*words.split())
    assert status == 2
    assert message in err
    assert out == ""


@pytest.mark.parametrize(
    "words",
    ["--filter seed=1", "--by operation", "--statistic law", "--compare operation a b", "--strata seed", "--quantity delay", "--level 0.5"],
)
def test_flags_of_the_table_need_it(show, words):
    status, _, err = show(*words.split(), verb=("show",))
    assert status == 2
    assert "without --table; expected them together" in err
    assert show("--filter", "seed=1", verb=("list", "operations"))[0] == 2


def test_what_cannot_be_read_is_in_no_setting(tmp_path, capsys):
    for seed in range(3):
        store(tmp_path, Run.of(seed=seed), generalized=1000)
    (tmp_path / Run.of(seed=0).id / "run.json").write_text("{", encoding="utf-8")
    assert main(["show", "--table", "--by", "operation", "--runs", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert len(out.splitlines()) == 4
    assert "left out: 1 run that cannot be read" in out
    assert main(["show", "--table", "--filter", "status=damaged", "--runs", str(tmp_path), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["runs"]) == 1
    assert main(["show", "--table", "--by", "operation", "--runs", str(tmp_path / "nothing")]) == 0
    assert "no runs are stored here yet" in capsys.readouterr().out


# — what it costs —


@pytest.mark.slow
@pytest.mark.alone
def test_a_thousand_runs_are_listed_filtered_and_summarized_in_less_than_two_seconds(tmp_path, capsys):
    operations, fractions = ("addition", "subtraction", "multiplication", "division"), (0.3, 0.35, 0.4, 0.5, 0.6)
    for operation in operations:
        for fraction in fractions:
            for seed in range(50):
                run = Run.of(operation=operation, train_fraction=fraction, seed=seed, checkpoints_per_decade=0)
                at = round(3000 * (0.7 / fraction) ** 3 + 31 * seed) if seed % 9 else None
                store(tmp_path, run, memorized=525, generalized=at, steps=100_000)
    assert len(RunFolder(tmp_path / run.id).rows()) > 100
    listed = ["list", "runs"], ["show", "--table", "--filter", "operation=addition"], ["show", "--table", "--by", "operation"]
    for words in listed:
        assert yardsticks(lambda words=words: main([*words, "--runs", str(tmp_path), "--json"])) < 20, words
        assert main([*words, "--runs", str(tmp_path), "--json"]) == 0
        capsys.readouterr()
    command = [sys.executable, "-m", "groklab", "show", "--table", "--by", "operation", "train_fraction", "--runs", str(tmp_path)]
    told = []
    assert yardsticks(lambda: told.append(subprocess.run(command, capture_output=True, text=True, check=True, encoding="utf-8"))) < 20
    assert len(told[0].stdout.splitlines()) >= 1 + 20
