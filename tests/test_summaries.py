"""Tables of runs become tables of settings: what counts as censored, and what is left out."""

import math

import numpy as np
import polars as pl
import pytest

from benchmarks.yardstick import yardsticks
from groklab.analysis.statistics import compare, sample_of, summarize, with_results
from groklab.analysis.survival import Sample
from groklab.analysis.tables import runs_table
from groklab.config.run import Run
from groklab.results.store import RunFolder


def table_of(*rows, steps=1000):
    """Runs, each (setting, memorized at, generalized at) and what differs from complete runs of one budget."""
    filled = [
        {
            "setting": setting,
            "seed": seed,
            "status": "complete",
            "memorized_at": memorized,
            "generalized_at": generalized,
            "steps": steps,
            "evaluated_at": steps,
            "validation_accuracy": 1.0 if generalized else 0.3,
            "best_validation_accuracy": 1.0 if generalized else 0.4,
            **(more[0] if more else {}),
        }
        for seed, (setting, memorized, generalized, *more) in enumerate(rows)
    ]
    return pl.DataFrame(filled, infer_schema_length=None)


DIVERGED = {"status": "diverged", "steps": 50, "evaluated_at": 46, "validation_accuracy": math.nan, "best_validation_accuracy": 0.1}
UNTRIED = dict.fromkeys(("steps", "evaluated_at", "validation_accuracy", "best_validation_accuracy"))


def test_a_row_for_every_setting():
    table = table_of(
        ("b", 100, 400), ("b", 200, 300), ("b", 100, None), ("b", 100, 500), ("b", 50, 200), ("a", 100, None), ("a", None, None)
    )
    b, a = summarize(table, ["setting"]).iter_rows(named=True)
    assert b == {
        "setting": "b",
        "runs": 5,
        "left_out": 0,
        "diverged": 0,
        "memorized_at_reached": 5,
        "memorized_at_censored": 0,
        "memorized_at_median": 100,
        "memorized_at_lower": 50,
        "memorized_at_upper": 200,
        "memorized_at_min": 50,
        "memorized_at_max": 200,
        "generalized_at_reached": 4,
        "generalized_at_censored": 1,
        "generalized_at_median": 400,
        "generalized_at_lower": 200,
        "generalized_at_upper": None,
        "generalized_at_min": 200,
        "generalized_at_max": None,
        "delay_reached": 4,
        "delay_censored": 1,
        "delay_median": 4,
        "delay_lower": 1.5,
        "delay_upper": None,
        "delay_min": 1.5,
        "delay_max": None,
        "best_validation_accuracy": 1.0,
        "best_validation_accuracy_min": 0.4,
        "best_validation_accuracy_max": 1.0,
        "validation_accuracy": 1.0,
        "validation_accuracy_min": 0.3,
        "validation_accuracy_max": 1.0,
    }
    assert (a["setting"], a["runs"], a["generalized_at_censored"], a["generalized_at_median"]) == ("a", 2, 2, None)
    assert (a["memorized_at_median"], a["delay_reached"], a["delay_censored"]) == (100, 0, 1)


def test_all_runs_are_one_setting_and_settings_may_be_missing_values():
    table = table_of(("a", 10, 100), (None, 10, 200), (None, 10, 300))
    assert summarize(table)["generalized_at_median"].to_list() == [200]
    assert summarize(table, ["setting", "steps"]).select("setting", "steps", "runs").rows() == [("a", 1000, 1), (None, 1000, 2)]


def test_a_diverged_run_never_gets_there():
    """Two of three runs diverge: the setting does not generalize in most cases, and is not as quick as its third run."""
    table = table_of(("hot", 20, 300), ("hot", None, None, DIVERGED), ("hot", 30, None, DIVERGED), ("cold", 50, 900))
    hot = summarize(table, ["setting"]).row(0, named=True)
    assert (hot["diverged"], hot["generalized_at_reached"], hot["generalized_at_censored"]) == (2, 1, 2)
    assert hot["generalized_at_median"] is None
    assert hot["memorized_at_median"] == 30, "what it reached before it diverged, it reached"
    assert (hot["validation_accuracy"], hot["validation_accuracy_min"], hot["best_validation_accuracy_min"]) == (1, 1, 0.1)
    assert sample_of(table).steps.tolist() == [300, 1000, 1000, 900]


def test_a_run_in_progress_is_censored_where_it_was_last_looked_at():
    table = table_of(("a", 10, None, {"status": "running", "steps": 700, "evaluated_at": 692}), ("a", 10, 800))
    assert sample_of(table).steps.tolist() == [692, 800]
    assert sample_of(table.drop("evaluated_at", "status")).steps.tolist() == [700, 800]
    assert sample_of(table, "delay").steps.tolist() == [69.2, 80]


def test_runs_without_results_are_left_out_and_counted():
    table = table_of(
        ("a", 10, 100), ("a", None, None, {"status": "damaged", **UNTRIED}), ("b", None, None, {"status": "running", **UNTRIED})
    )
    rows = summarize(table, ["setting"])
    assert rows.select("setting", "runs", "left_out").rows() == [("a", 1, 1), ("b", 0, 1)]
    assert rows["generalized_at_median"].to_list() == [100, None]
    assert rows["validation_accuracy"].to_list() == [1.0, None]
    with pytest.raises(ValueError, match="no run with results"):
        sample_of(table.filter(setting="b"))
    with pytest.raises(ValueError, match="expected one of memorized_at"):
        sample_of(table, "forgotten_at")


def test_delays_of_runs_that_have_not_memorized_are_unknown():
    table = table_of(("a", 10, 100), ("a", None, None), ("a", 0, 50), ("a", 20, None))
    assert sample_of(table, "delay").steps.tolist() == [10, 50]
    assert sample_of(table, "delay").reached.tolist() == [True, False]


def test_tables_that_lack_a_column_are_refused():
    table = table_of(("a", 10, 100))
    with pytest.raises(ValueError, match="without best_validation_accuracy, width"):
        summarize(table.drop("best_validation_accuracy"), ["width"])
    with pytest.raises(ValueError, match="without generalized_at"):
        with_results(table.drop("generalized_at"))


def test_a_table_without_runs_has_no_settings():
    empty = table_of(("a", 10, 100)).clear()
    assert summarize(empty, ["setting"]).shape == (0, 31)
    assert summarize(empty)["runs"].to_list() == [0]


def stored(folder, *, steps, status="complete", generalizes=True, **fields):
    """A run's folder with a history in which it memorizes at step 10 and, perhaps, generalizes at the last."""
    run = Run.of(operation="addition", modulus=7, steps=steps, **fields)
    found = RunFolder(folder / run.id)
    found.path.mkdir(parents=True)
    found.create(run, {"total": 1, "non_embedding": 1})
    for step in (0, 10, steps):
        reached = 1.0 if generalizes and step == steps else 0.2
        found.append(
            {"step": step, "train_accuracy": float(step >= 10), "validation_accuracy": reached, "train_loss": 1.0, "validation_loss": 1.0}
        )
    found.update(status=status)
    return found


def test_stored_runs_are_summarized(tmp_path):
    folders = [
        stored(tmp_path, steps=100, seed=0),
        stored(tmp_path, steps=100, seed=1, generalizes=False),
        stored(tmp_path, steps=30, seed=2, generalizes=False, status="diverged"),
        stored(tmp_path, steps=100, seed=0, weight_decay=0.0, generalizes=False),
    ]
    rows = summarize(runs_table(folders), ["operation", "weight_decay"])
    assert rows.select("runs", "diverged", "memorized_at_median", "generalized_at_reached", "generalized_at_censored").rows() == [
        (3, 1, 10, 1, 2),
        (1, 0, 10, 0, 1),
    ]
    assert sample_of(runs_table(folders)).steps.tolist() == [100] * 4


@pytest.mark.slow
@pytest.mark.alone
def test_a_thousand_runs_take_a_moment():
    stream = np.random.default_rng(0)
    rows = [(f"{k % 200}", 100, None if at > 1000 else int(at)) for k, at in enumerate(stream.exponential(900, size=1000))]
    table = table_of(*rows)
    assert summarize(table, ["setting"])["runs"].sum() == 1000
    assert yardsticks(lambda: summarize(table, ["setting"])) < 5  # half a second


# — comparisons —


def test_two_settings_are_compared():
    rows = [("fast", 10, at) for at in (100, 200, 300)] + [("slow", 10, at) for at in (400, 500, None)]
    found = compare(table_of(*rows), "setting", "fast", "slow", alternative="sooner").row(0, named=True)
    assert found["p_value"] == pytest.approx(1 / 20)
    assert (found["first"], found["runs_first"], found["reached_first"], found["median_first"]) == ("fast", 3, 3, 200)
    assert (found["second"], found["runs_second"], found["reached_second"], found["median_second"]) == ("slow", 3, 2, 500)
    assert (found["method"], found["permutations"]) == ("exact", 20)
    assert found["z"] > 0
    same = compare(table_of(*rows), "setting", "fast", "slow", quantity="memorized_at")
    assert same["p_value"].to_list() == [1]


def test_settings_are_compared_within_strata_or_each_by_itself():
    rows = [
        (name, 10, at, {"train_fraction": fraction, "width": 8})
        for fraction in (0.3, 0.4, 0.5)
        for name, steps in (("fast", (100, 200, 300)), ("slow", (400, 500, None)))
        for at in steps
    ]
    table = table_of(*rows, ("fast", 10, 50, {"train_fraction": 0.9, "width": 8}))
    one = compare(table, "setting", "fast", "slow", by=["width"], strata=["train_fraction"], alternative="sooner")
    assert one.select("width", "runs_first", "runs_second", "median_first", "permutations").rows() == [(8, 9, 9, None, 8000)]
    assert one["p_value"].item() == pytest.approx(1 / 8000)
    each = compare(table, "setting", "fast", "slow", by=["train_fraction"])
    assert each["train_fraction"].to_list() == [0.3, 0.4, 0.5, 0.9]
    assert each["p_value"].to_list() == [pytest.approx(0.1)] * 3 + [None]


def test_runs_that_diverged_are_compared_as_never_getting_there():
    rows = [("cold", 10, at) for at in (600, 700, 800)] + [("hot", 10, 100)] + [("hot", None, None, DIVERGED)] * 2
    found = compare(table_of(*rows), "setting", "cold", "hot")
    z = found["z"].item()
    never = Sample.of([100, None, None], 1000)
    from groklab.analysis.comparisons import log_rank

    assert z == pytest.approx(log_rank(Sample.of([600, 700, 800], 1000), never).z)
    assert z > 0


def test_values_that_no_run_has_are_named():
    table = table_of(("a", 10, 100), ("b", 10, 100))
    with pytest.raises(ValueError, match="got setting='c', which no run with results has; expected one of 'a', 'b'"):
        compare(table, "setting", "a", "c")
    with pytest.raises(ValueError, match="got setting=1, "):
        compare(table, "setting", 1, "a")
    with pytest.raises(ValueError, match="without width"):
        compare(table, "width", 1, 2)
    with pytest.raises(ValueError, match="got setting='a' twice"):
        compare(table, "setting", "a", "a")
