"""Percentages say what is true: none is rounded across nothing, the threshold, or all."""

import re
from pathlib import Path

import numpy as np
import pytest

from groklab.analysis.grokking import summary, told
from groklab.claims.rules import told_percent
from groklab.dashboard.controls import percent as cell
from groklab.dashboard.theme import SHARE
from groklab.replication.words import spread_of
from groklab.text import numbers
from groklab.text.numbers import change, duration, explained, given, percent, percentage, steps_per_second, time_left


@pytest.mark.parametrize(
    ("share", "told"),
    [
        (0.9896, "98.96 %"), (0.98999, "98.999 %"), (0.99, "99.0 %"), (0.9901, "99.0 %"), (0.9949, "99.5 %"), (0.99973, "99.97 %"), (0.99999, "99.999 %"),
        (1.0, "100.0 %"), (0.0, "0.0 %"), (0.0003, "0.03 %"), (1e-9, "0.000001 %"), (1 - 1e-9, "99.999999 %"), (0.99 - 1e-10, "98.999999 %"),
        (0.5, "50.0 %"), (0.12345, "12.3 %"), (None, "–"),
    ],
)  # fmt: skip
def test_a_percentage_stays_on_its_side(share, told):
    assert percent(share) == told


def test_the_threshold_is_the_run_s_own():
    assert percent(0.9496, threshold=0.95) == "94.96 %"
    assert percent(0.9896, threshold=0.95) == "99.0 %"
    assert percent(0.98996, threshold=1.0) == "99.0 %"


def test_whole_numbers_and_ticks():
    assert percent(0.997, places=0) == "99.7 %"
    assert percent(0.5, places=0) == "50 %"
    assert percent(1.0, whole=True) == "100 %"
    assert percentage(0.9996, places=0) == "99.96"
    assert percent(float("nan")) == "nan %"
    assert percent(1.25) == "125.0 %"


def test_no_share_is_told_on_another_side_than_it_is():
    stream = np.random.default_rng(0)
    near = np.concatenate([bound + sign * 10.0 ** stream.uniform(-12, -1, 150) for bound in (0, 0.9, 0.99, 1) for sign in (1, -1)])
    for share in (float(value) for value in near if 0 <= value <= 1):
        for threshold in (0.9, 0.99):
            for places in (0, 1, 2):
                said = float(percent(share, places=places, threshold=threshold).removesuffix(" %"))
                assert (said >= 100) == (share >= 1), share
                assert (said > 0) == (share > 0), share
                assert (said >= 100 * threshold) == (share >= threshold), (share, said)
                assert abs(said - 100 * share) <= 0.5 * 10**-places + 1e-6


def test_beside_not_generalized_the_best_accuracy_lies_below_the_threshold():
    rows = [
        {"step": step, "train_accuracy": 1.0, "validation_accuracy": share, "train_loss": 0, "validation_loss": 0}
        for step, share in ((1, 0.1), (9, 0.9896))
    ]
    assert told(summary(rows, steps=9, threshold=0.99)).endswith("(best validation accuracy 98.96 %)")


def test_the_dashboard_rounds_as_the_terminal_does():
    controls = pytest.importorskip("groklab.dashboard.controls")
    for share in (0.0003, 0.5, 0.9896, 0.99973, None):
        assert controls.percent(share) == percent(share)
    assert controls.percent(1.0) == "100 %"


def test_a_run_s_own_threshold_bounds_what_is_told_of_it():
    rows = [
        {"step": 0, "train_accuracy": 0.0, "validation_accuracy": 0.0},
        {"step": 5, "train_accuracy": 1.0, "validation_accuracy": 0.9496},
    ]
    assert told(summary(rows, steps=9, threshold=0.95), threshold=0.95).endswith("(best validation accuracy 94.96 %)")
    assert told(summary(rows, steps=9, threshold=0.99)).endswith("(best validation accuracy 95.0 %)")


def test_claims_reports_and_variances_round_nothing_to_all():
    assert (told_percent(0.9997), told_percent(0.9896, ".1f"), told_percent(0.45), told_percent(-0.004, "+.1f")) == (
        "99.97 %", "98.96 %", "45 %", "-0.4 %",
    )  # fmt: skip
    steps = {f"{name}_{end}": 0 for name in ("memorized_at", "generalized_at") for end in ("reached", "censored")}
    steps |= {f"{name}_{end}": None for name in ("memorized_at", "generalized_at") for end in ("median", "min", "max")}
    row = {"setting": "a", "train_fraction": 0.5, "runs": 2, **steps}
    row |= {"best_validation_accuracy": 0.9997, "best_validation_accuracy_min": 0.9896, "best_validation_accuracy_max": 1.0}
    assert spread_of({"settings": [row]})[1][-1] == "99.97 % (98.96 % to 100.0 %)"
    assert (explained(0.423), explained(0.9996), explained(np.float64(1.0000001)), explained(0.0)) == ("42 %", "99.96 %", "100 %", "0 %")


def test_pages_of_the_dashboard_round_to_the_threshold_of_the_run():
    assert (cell(0.9496, threshold=0.95), cell(0.9496), cell(0.9896, threshold=None), cell(1.0, threshold=0.95)) == (
        "94.96 %", "95.0 %", "98.96 %", "100 %",
    )  # fmt: skip
    assert SHARE == ".4~%", "d3: at most four decimals, without zeros at the end"


def test_a_time_is_told_in_its_largest_units_and_never_more_than_it_is():
    seconds = (0, 59.9, 60, 3599, 3600, 100_000, 3e5, float("inf"), float("nan"))
    assert [duration(s) for s in seconds] == [
        "0 s", "59 s", "1 min 00 s", "59 min 59 s", "1 h 00 min", "27 h 46 min", "3 d 11 h", "–", "–",
    ]  # fmt: skip
    assert [duration(s, units=1) for s in seconds[:7]] == ["0 s", "59 s", "1 min", "59 min", "1 h", "27 h", "3 d"]
    assert time_left(9000) == "at most 2 h 30 min left"
    assert time_left(9000, at_most=False) == "2 h 30 min left"


def test_a_speed_is_never_none_where_there_is_some():
    rates = (None, 0.0, 0.0412, 0.5, 9.94, 10, 12_345.6)
    assert [steps_per_second(rate).removesuffix(" steps/s") for rate in rates] == ["–", "0", "0.041", "0.5", "9.9", "10", "12,346"]


def test_what_somebody_chose_keeps_its_digits_and_a_change_its_sign():
    shares = (0.9, 0.925, 0.95, 0.999, 0.99999, 1 / 3, 0.1 + 0.2, 0.0, 1.0, 1e-5)
    assert [given(share).removesuffix(" %") for share in shares] == [
        "90", "92.5", "95", "99.9", "99.999", "33.3333", "30", "0", "100", "0.001",
    ]  # fmt: skip
    assert given(0.35, sign="") == "35"
    assert [change(ratio) for ratio in (0.069, -0.004, 0.0003, -0.00003, 0.0, 1.5)] == [
        "+6.9 %", "-0.4 %", "+0.03 %", "-0.003 %", "+0.0 %", "+150.0 %",
    ]  # fmt: skip
    assert change(1e-12) == "+1.0e-10 %"


def test_no_file_writes_percentages_speeds_or_times_left_by_itself():
    root = Path(numbers.__file__).parents[1]
    own = re.compile(r"\{[^{}]*:[.,+\d]*[fg]\} %|\{[^{}]*:[.+\d]*%\}|\{[^{}]*\} steps/s|\{duration\([^{}]*\} left")
    assert all(own.search(line) for line in ("{100 * x:.0f} %", "{x:.1%}", "{speed:,.0f} steps/s", "{duration(left / 2)} left"))
    found = [
        f"{file.relative_to(root)}: {line.strip()}"
        for file in sorted(root.rglob("*.py"))
        if file.name != "numbers.py"
        for line in file.read_text(encoding="utf-8").splitlines()
        if own.search(line)
    ]
    assert found == []
