"""Claims of Power et al. 2022 about how steps depend on the share of the table that is shown: C4 to C6 and C21."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import polars as pl

from groklab.analysis.statistics import fit_steps, sample_of
from groklab.claims.budgets import PAPER as BUDGET
from groklab.claims.budgets import Part, count, is_open, is_settled, joined
from groklab.claims.rules import (
    FEWEST,
    SIGNIFICANT,
    Judgment,
    Verdict,
    center,
    finished,
    in_range,
    leans_back,
    part,
    seeds_in,
    sooner,
    told_p,
    told_percent,
    told_steps,
    undecided,
)
from groklab.registry import claim

PAPER = "Power et al. 2022"
SMALL, LARGE, WITHIN = 0.5, 0.8, 6_000
"""Fractions of S₅ between which less and more data are compared, and the steps up to which."""
WHOLE = 0.995
"""Validation accuracy that is 100 % to the percent."""
NEAR = 0.1
"""Share of the table within which a fraction is near another."""


def _by_fraction(table: pl.DataFrame, fewest: int) -> dict[float, pl.DataFrame]:
    """The runs of every fraction that has so many seeds, by fraction, rising."""
    every = {fraction: part(table, train_fraction=fraction) for fraction in sorted(set(table["train_fraction"].to_list()))}
    return {fraction: runs for fraction, runs in every.items() if seeds_in(runs) >= fewest}


@claim(
    id="C4", paper=PAPER, place="Figure 1 center", experiment="figure1_center", published="40 to 50 % a percent",
    runs=lambda run: run.task.train_fraction <= 0.3,
    expects=lambda run: {"generalized_at": 20_000 * 1.45 ** (100 * (0.3 - run.task.train_fraction))},
)  # fmt: skip
def a_percent_less_data_costs_half_as_many_steps_again(table: pl.DataFrame) -> Judgment:
    """On the product in S₅, near 25 to 30 % of the table, one percent of data less costs 40 to 50 % more median steps to generalize (Power et al. 2022).

    Rule: the exponential law fitted to runs at 25 to 30 %, three fractions and ten runs that generalized or more; the 90 % interval of the
    increase lies within 30 to 60 % (reproduced) or outside of it (not reproduced).

    Parts: every step between two neighboring fractions. None of them alone may lie outside of 30 to 60 %, by an interval whose level is
    divided by their number; where one does the claim is undecided, whatever the law over all of them.
    """
    near = table.filter(pl.col("train_fraction").is_between(0.2499, 0.3001))
    reached = near.filter(pl.col("generalized_at").is_not_null())
    quantity = "increase of median steps for one percent of data less"
    try:
        anywhere, smallest = fit_steps(table), float(table["train_fraction"].to_numpy().min())
        known = f"; from {told_percent(smallest)} on it is {told_percent(anywhere.factor() - 1, '+.1f')}"
    except ValueError:
        known = ""
    if reached.height < 10 or reached["train_fraction"].n_unique() < 3:
        return undecided(
            f"{reached.height} runs at 25 to 30 % have generalized; ten at three fractions decide{known}",
            quantity=quantity,
            runs=near.height,
        )
    law = fit_steps(near)
    low, high, *_ = law.factor_interval()
    verdict, bends = _increase(near), _bends(near)
    settled = is_settled(near, _increase, verdict)
    facts: dict[str, Any] = {
        "value": law.factor() - 1,
        "interval": (low and low - 1, high and high - 1),
        "quantity": quantity,
        "runs": near.height,
        "settled": settled,
    }
    if verdict == "reproduced":
        return Judgment(verdict=verdict, reason="the interval lies within 30 to 60 %", **facts)
    if verdict == "not reproduced":
        return Judgment(verdict=verdict, reason="the interval lies outside 30 to 60 %", **facts)
    facts |= {"settled": None if settled else False}
    return undecided(f"the steps from {bends} lie outside 30 to 60 % a percent" if bends else "the interval is too wide", **facts)


def _increase(near: pl.DataFrame) -> Verdict:
    low, high, *_ = fit_steps(near).factor_interval()
    if (low is not None and low > 1.6) or (high is not None and high < 1.3):
        return "not reproduced"
    inside = low is not None and high is not None and low >= 1.3 and high <= 1.6
    return "reproduced" if inside and not _bends(near) else "undecided"


def _bends(near: pl.DataFrame) -> str:
    """Two neighboring fractions between which the increase surely lies outside of the range, in words; "" where there are none."""
    places = list(pairwise(sorted(set(near["train_fraction"].to_list()))))
    for less, more in places:
        runs = part(near, train_fraction=(less, more))
        reached = runs.filter(pl.col("generalized_at").is_not_null())
        if reached.height < 3 or reached["train_fraction"].n_unique() < 2:
            continue
        low, high, *_ = fit_steps(runs, level=1 - 2 * SIGNIFICANT / len(places)).factor_interval()
        if (low is not None and low > 1.6) or (high is not None and high < 1.3):
            return f"{told_percent(less)} to {told_percent(more)}"
    return ""


@claim(
    id="C5", paper=PAPER, place="§3.1.1", experiment="figure1_center", published="10³ to 10⁴ steps, fewer with less data",
    runs=lambda run: run.task.train_fraction in (SMALL, 0.6, 0.7, LARGE),
    expects=lambda run: {"memorized_at": 900 * math.exp(5 * (run.task.train_fraction - SMALL))},
)  # fmt: skip
def memorizing_takes_thousands_of_steps_and_fewer_with_less_data(table: pl.DataFrame) -> Judgment:
    """… while the steps to 99 % train accuracy stay within 10³ to 10⁴ and become fewer with less data (Power et al. 2022).

    Rule: at 50 %, 80 % and one fraction more, of five seeds each, the 90 % interval of the median lies within a factor of two of 10³ to 10⁴, and
    memorizing is sooner at 50 than at 80 % by the exact log-rank test, these two within 6,000 steps. Not reproduced if an interval lies outside or an order
    is the opposite.

    Parts: every fraction with five seeds for "stay within", and every two neighbors of them for "fewer with less data": a trend has three
    places or more, and at none of its steps may less data significantly take longer. Levels of a no are divided by the number of parts. Fractions
    with fewer seeds decide nothing, but one with a run outside, or with p < 0.05 the other way round beside a neighbor, leaves it undecided.
    """
    many = _by_fraction(table, FEWEST)
    runs = sum(one.height for one in many.values())
    places = list(many)
    if not any(abs(at - SMALL) < 1e-9 for at in places) or not any(abs(at - LARGE) < 1e-9 for at in places):
        return undecided("50 and 80 % do not both have five seeds", runs=runs)
    looks = 2 * len(places)
    ranges = {at: in_range(sample_of(one, "memorized_at"), 1e3, 1e4, fewest=FEWEST, looks=looks) for at, one in many.items()}
    cut = {at: part(one, budget=WITHIN) for at, one in many.items()}
    every = _by_fraction(table, 1)
    few = {at: one for at, one in every.items() if at not in many}
    small, large = (min(places, key=lambda at: abs(at - wanted)) for wanted in (SMALL, LARGE))
    ends = sooner([(cut[small], cut[large])], "memorized_at", looks=looks)
    steps = {(less, more): sooner([(many[less], many[more])], "memorized_at", looks=looks) for less, more in pairwise(places)}
    back = [
        f"{told_percent(less)} takes longer than {told_percent(more)}"
        for (less, more), one in steps.items()
        if one.verdict == "not reproduced"
    ]
    parts = [Part(one.verdict, one.settled) for one in (*ranges.values(), ends)]
    parts += [Part(one.verdict, one.settled) for one in steps.values() if one.verdict == "not reproduced"]
    leaning = [f"{told_percent(at)}, with few seeds, is outside" for at, one in few.items() if _is_outside(one)]
    leaning += [
        f"{told_percent(less)} seems to take longer than {told_percent(more)}"
        for less, more in pairwise(every)
        if (less in few or more in few) and leans_back(every[less], every[more], "memorized_at")
    ]
    parts += [Part("undecided")] if len(places) < 3 or leaning else []
    verdict, settled = joined(parts)
    single = table.filter(~pl.col("train_fraction").is_in(places) & pl.col("memorized_at").is_not_null())
    seen = ", ".join(
        f"{told_percent(row['train_fraction'])} {row['memorized_at']:,}"
        for row in single.sort("train_fraction", "seed").iter_rows(named=True)
    )
    reason = f"medians {told_steps(ranges[small].center.median)} and {told_steps(ranges[large].center.median)} at 50 and 80 % ({ranges[small].runs} and {ranges[large].runs} seeds), sooner with less data: {told_p(ends.p_value)}"
    reason += "".join(f"; {one}" for one in (*back, *leaning)) + (
        "; two fractions are no trend, a third with five seeds decides" if len(places) < 3 else ""
    )
    return Judgment(
        verdict=verdict, settled=settled, reason=reason, value=ranges[small].center.median, interval=ranges[small].center[1:],
        quantity="steps to 99 % train accuracy at 50 %", runs=runs,
        details=tuple(
            f"{told_percent(at)}: median {told_steps(found.center.median)}, 90 % interval {told_steps(found.center.lower)} to {told_steps(found.center.upper)}"
            for at, found in ranges.items()
        ) + ((f"single runs: {seen}",) if seen else ()),
    )  # fmt: skip


def _is_outside(runs: pl.DataFrame) -> bool:
    """Whether a run memorized outside of a factor of two of 10³ to 10⁴ steps, or has not after them."""
    sample = sample_of(runs, "memorized_at")
    return bool(((sample.steps > 2e4) | (sample.reached & (sample.steps < 500))).any())


@claim(
    id="C6", paper=PAPER, place="§3.1.1", experiment="figure1_center", published="100 %",
    runs=lambda run: run.task.train_fraction in (0.6, 0.7, 0.8),
    expects=lambda run: {"generalized_at": 3_000 * math.exp(10 * (0.8 - run.task.train_fraction))},
)  # fmt: skip
def final_accuracy_is_perfect_over_a_range_of_fractions(table: pl.DataFrame) -> Judgment:
    """… and final validation accuracy stays at 100 % over a range of train fractions, in which only the time grows (Power et al. 2022).

    Rule: over three neighboring fractions or more, a fifth of the table apart, with three seeds or more at each, all runs end at 100 % to
    the percent, 99.5 % or more, and generalizing is sooner at the largest than at the smallest (exact log-rank). A run tells where it ends if it was trained for twice the
    steps in which it generalized. Not reproduced if at every such range most runs of some fraction that had reached 99 % end below it, after 10⁵
    updates or more.

    Parts: every run at every fraction within the range, those at fractions with fewer seeds too; and "time grows": of no two neighbors in it is the one
    with more data significantly later, nor, where seeds are few, at p < 0.05. A run that stops once it has generalized ends at 99 % because it stops, and carries nothing.
    """
    table = finished(table)
    enough = _by_fraction(table, 3)
    reached = table.filter(pl.col("generalized_at").is_not_null())
    lost = reached.filter(pl.col("validation_accuracy") < 0.99).height
    told = f"{lost} of the {reached.height} runs that reached 99 % end below it"
    facts: dict[str, Any] = {
        "value": 1 - lost / reached.height if reached.height else None,
        "quantity": "share of generalized runs that end at 99 % or more",
        "runs": table.height,
    }
    ranges = _ranges(list(enough))
    if not ranges:
        return undecided(f"{len(enough)} fractions have three seeds; three of them, 20 % of the table apart, decide. {told}", **facts)
    stays = (pl.col("validation_accuracy") >= WHOLE).fill_null(value=False)
    long = (pl.col("steps") >= 2 * pl.col("generalized_at")).fill_null(value=False)

    def within(fractions: list[float]) -> pl.DataFrame:
        return table.filter(pl.col("train_fraction").is_between(fractions[0] - 1e-9, fractions[-1] + 1e-9))

    perfect = [fractions for fractions in ranges if not within(fractions).filter(~stays).height]
    short = [fractions for fractions in perfect if within(fractions).filter(~long).height]
    tests = [(fractions, _grows(within(fractions))) for fractions in perfect if fractions not in short]
    if tests:  # the widest of those that hold, or else of all
        tests.sort(key=lambda pair: (pair[1].verdict == "reproduced", pair[0][-1] - pair[0][0]))
        fractions, grows = tests[-1]
        ends = sooner([(enough[fractions[-1]], enough[fractions[0]])])
        reason = f"all runs at {told_percent(fractions[0])} to {told_percent(fractions[-1])} end at 99.5 % or more; sooner with more data: {told_p(ends.p_value)}"
        if grows.verdict != "undecided":
            return Judgment(verdict=grows.verdict, reason=reason, settled=grows.settled, **facts)
        return undecided(f"{reason} ({ends.fewest} seeds a side; five decide)", **facts)
    if short:
        return undecided(
            "runs that end at 99.5 % stopped because they had reached 99 %; twice the steps tell whether they stay", settled=False, **facts
        )
    lost_at = {fraction for fraction, runs in enough.items() if _most_are_lost(runs)}
    everywhere = all(lost_at.intersection(fractions) for fractions in ranges)
    if not everywhere:
        return undecided(told, **facts)
    if reached.filter((pl.col("validation_accuracy") < 0.99) & (pl.col("steps") < BUDGET)).height:
        return undecided(f"{told}, in fewer than 10⁵ updates", settled=False, **facts)
    return Judgment(verdict="not reproduced", reason=told, settled=True, **facts)


def _grows(runs: pl.DataFrame) -> Part:
    """Whether runs generalize sooner at the largest of some fractions than at the smallest, and at no neighbors the other way round."""
    every, enough = _by_fraction(runs, 1), list(_by_fraction(runs, 3).values())
    steps = [sooner([(more, less)], looks=len(enough)) for less, more in pairwise(enough)]
    ends = sooner([(enough[-1], enough[0])])
    parts = [ends, *(step for step in steps if step.verdict == "not reproduced")]
    few = any(leans_back(more, less) for less, more in pairwise(every.values()) if min(seeds_in(less), seeds_in(more)) < FEWEST)
    return joined([*(Part(one.verdict, one.settled) for one in parts), *([Part("undecided")] if few else [])])


def _ranges(fractions: list[float]) -> list[list[float]]:
    """Every range of three neighboring fractions or more that lie a fifth of the table apart."""
    found = [fractions[low:high] for low in range(len(fractions)) for high in range(low + 3, len(fractions) + 1)]
    return [some for some in found if some[-1] - some[0] >= 0.1999]


def _most_are_lost(runs: pl.DataFrame) -> bool:
    """Whether most of the runs that had reached 99 % end below it."""
    reached = runs.filter(pl.col("generalized_at").is_not_null())
    return reached.filter(pl.col("validation_accuracy") < 0.99).height > reached.height / 2


@claim(
    id="C21", paper=PAPER, place="§3.1", experiment="figure1_center", published="largest near the smallest fraction that generalizes",
    runs=lambda run: run.task.train_fraction in (0.25, 0.3, SMALL, LARGE),
    expects=lambda run: {"generalized_at": None if run.task.train_fraction < 0.3 else 1_500 * math.exp(6 * (LARGE - run.task.train_fraction))},
)  # fmt: skip
def the_delay_is_large_where_data_are_few(table: pl.DataFrame) -> Judgment:
    """With more data train and validation curves track each other closely; the delay is largest near the smallest fraction that generalizes (Power et al. 2022).

    Rule, product in S₅, fractions with five seeds: at 80 % of the table the 90 % interval of the median delay (step of 99 % validation ÷ step of 99 %
    train accuracy) is at most 2, and delays are smaller there than at the smallest fraction at which most runs generalize, by the exact log-rank test.
    Not reproduced if the interval at 80 % lies above 2, or delays are significantly larger at 80 % or at another fraction.

    Parts: "closely", at 80 % and above, and not at the smallest fraction, where the interval lies above 2. "Near the smallest fraction that generalizes": the fraction with the largest delay must generalize in most runs, and within a
    tenth of the table below it most of three seeds must not, in 10⁵ updates. "Largest": at no other fraction, a tenth of the table or more above it, are
    delays significantly larger; with fewer seeds, at p < 0.05, it is undecided. Levels of a no are divided by the number of parts.
    """
    many = _by_fraction(table, FEWEST)
    runs = sum(one.height for one in many.values())
    large = next((at for at in many if abs(at - LARGE) < 1e-9), None)
    counts = {at: count(one, BUDGET) for at, one in _by_fraction(table, 3).items()}
    least = next((at for at in many if counts[at].is_most), None)
    if large is None or not count(many[large], BUDGET).is_most:
        return undecided("at 80 % there are no five seeds of which most generalized", runs=runs)
    told_many = {at: told for at, one in many.items() if (told := _told_delay(one))}
    close = in_range(sample_of(many[large], "delay"), 1.0, 1.0, fewest=FEWEST, looks=1 + len(many))
    beyond = [in_range(sample_of(one, "delay"), 1.0, 1.0, fewest=FEWEST, looks=1 + len(many)) for at, one in many.items() if at > large]
    facts: dict[str, Any] = {
        "value": close.center.median, "interval": close.center[1:], "quantity": "median delay at 80 %", "runs": runs,
        "details": tuple(f"{told_percent(at)}: median delay {told}" for at, told in told_many.items()),
    }  # fmt: skip
    told = f"median delay {'not reached' if close.center.median is None else f'{close.center.median:.2f}'} at 80 % ({close.runs} seeds)"
    parts = [Part(one.verdict, one.settled) for one in (close, *beyond)]
    if least is None or least > LARGE - NEAR - 1e-9:
        lacking = "no smaller fraction has five seeds of which most generalized"
        verdict, settled = joined([*parts, Part("undecided", settled=False if any(is_open(one) for one in many.values()) else None)])
        return Judgment(verdict=verdict, reason=f"{told}; {lacking}", settled=settled, **facts)
    below = [at for at, found in counts.items() if least - NEAR - 1e-9 <= at < least and found.is_not_most]
    others = [at for at in many if at >= least + NEAR - 1e-9]
    orders = {at: sooner([(many[at], many[least])], "delay", looks=1 + len(many)) for at in others}
    parts.append(Part(orders[large].verdict, orders[large].settled))
    parts += [Part(one.verdict, one.settled) for one in orders.values() if one.verdict == "not reproduced"]
    parts += [] if below else [Part("undecided")]
    apart = center(sample_of(many[least], "delay")).lower
    parts += [Part("undecided")] if apart is None or apart <= 2 else []
    every = {at: one for at, one in _by_fraction(table, 1).items() if one.filter(pl.col("memorized_at") > 0).height}
    seems = [at for at, one in every.items() if at not in many and at >= least + NEAR - 1e-9 and leans_back(one, many[least], "delay")]
    parts += [Part("undecided")] if seems else []
    verdict, settled = joined(parts)
    told += f", {told_many.get(least, 'unknown')} at {told_percent(least)}, smaller with more data: {told_p(orders[large].p_value)}"
    told += "".join(f"; larger at {told_percent(at)}" for at, one in orders.items() if one.verdict == "not reproduced")
    told += "".join(f"; seems larger at {told_percent(at)}, with few seeds" for at in seems)
    told += "" if below else f"; that {told_percent(least)} is near the smallest fraction that generalizes is not known"
    return Judgment(verdict=verdict, reason=told, settled=settled, **facts)


def _told_delay(runs: pl.DataFrame) -> str:
    """The median delay where half of the runs got there. Elsewhere the estimate, where there is one, is the delay of a few runs that were watched longest."""
    memorized = runs.filter(pl.col("memorized_at") > 0)
    if not memorized.height:
        return ""
    sample = sample_of(memorized, "delay")
    found = center(sample).median
    if found is not None and 2 * int(sample.reached.sum()) >= len(sample):
        return f"{found:.1f}"
    return f"more than {float(sample.steps[~sample.reached].min()):.1f}"
