"""Claims of Power et al. 2022 about when networks memorize and when they generalize: C1 to C7 and C21."""

from __future__ import annotations

import math
from typing import Any

import polars as pl

from groklab.analysis.claims import (
    Judgment,
    all_of,
    center,
    finished,
    in_range,
    largest,
    part,
    seeds_in,
    sooner,
    told_p,
    told_percent,
    told_steps,
    undecided,
)
from groklab.analysis.statistics import fit_steps, sample_of
from groklab.analysis.survival import Sample
from groklab.config.run import Run
from groklab.registry import claim

PAPER = "Power et al. 2022"
ADAM = "Adam, no decay"
SMALL, LARGE, WITHIN = 0.5, 0.8, 6_000
"""Fractions of S₅ between which less and more data are compared, and the steps up to which."""


def _is_adam(run: Run) -> bool:
    return run.training.optimizer == "adam"


@claim(
    id="C1", paper=PAPER, place="Figure 1 left", experiment="figure1_left", published="before 10³ updates", runs=_is_adam,
    expects=lambda run: {"memorized_at": 500},
)  # fmt: skip
def adam_memorizes_within_a_thousand_steps(table: pl.DataFrame) -> Judgment:
    """On division mod 97, half of the table shown, Adam without decay has near perfect train accuracy before 10³ updates (Power et al. 2022).

    Rule: of five or more seeds, the 90 % interval of the median step of 99 % train accuracy lies below 1,000 (reproduced) or above
    it (not reproduced).
    """
    runs = part(table, setting=ADAM)
    if not runs.height:
        return undecided("no run of Adam without decay is stored")
    sample = sample_of(runs, "memorized_at")
    found = center(sample)
    facts: dict[str, Any] = {
        "value": found.median,
        "interval": (found.lower, found.upper),
        "quantity": "steps to 99 % train accuracy",
        "runs": len(sample),
    }
    if found.lower is None or found.upper is None:
        return undecided(f"{len(sample)} seeds have no 90 % interval of the median; five have one", **facts)
    if found.upper <= 1_000:
        return Judgment(
            verdict="reproduced",
            reason=f"{len(sample)} seeds, their median by step {told_steps(found.upper)}{_slowest(sample)}",
            **facts,
        )
    if found.lower > 1_000:
        return Judgment(
            verdict="not reproduced", reason=f"{len(sample)} seeds, their median not before step {told_steps(found.lower)}", **facts
        )
    return undecided("the interval of the median includes 1,000", **facts)


def _slowest(sample: Sample) -> str:
    """What the interval of a median does not tell: the slowest run, or that some never got there."""
    censored = int((~sample.reached).sum())
    return f"; {censored} did not get there" if censored else f"; the slowest took {told_steps(float(sample.steps.max()))}"


@claim(
    id="C2", paper=PAPER, place="Figure 1 left", experiment="figure1_left", published="little before 10⁵, near perfect close to 10⁶",
    runs=lambda run: _is_adam(run) and run.seeds.seed < 5 and run.budget.steps > 2_000,
    expects=lambda run: {"generalized_at": 600_000, "best_validation_accuracy_to_100000": 0.05},
)  # fmt: skip
def adam_generalizes_only_near_a_million_steps(table: pl.DataFrame) -> Judgment:
    """… and its validation accuracy shows very little before 10⁵ updates and is near perfect close to 10⁶ (Power et al. 2022).

    Rule: of five or more seeds trained for 10⁶ updates or until they generalize, the best validation accuracy up to 10⁵ is below 20 % in
    each, and the 90 % interval of the median step of 99 % lies between 10⁵ and 2·10⁶. Not reproduced: that interval lies before 10⁵, or
    all have been trained for 10⁶ and most are below 50 %.
    """
    runs = part(table, setting=ADAM)
    if not runs.height:
        return undecided("no run of Adam without decay is stored")
    sample = sample_of(runs, "generalized_at")
    found = center(sample)
    name = "best_validation_accuracy_to_100000"
    early = runs[name].drop_nulls() if name in runs.columns else pl.Series(dtype=pl.Float64)
    best = largest(early)
    facts: dict[str, Any] = {
        "value": found.median,
        "interval": (found.lower, found.upper),
        "quantity": "steps to 99 % validation accuracy",
        "runs": len(sample),
    }
    if found.upper is not None and found.upper < 100_000:
        return Judgment(
            verdict="not reproduced",
            reason=f"{len(sample)} seeds, their median by step {told_steps(found.upper)}{_slowest(sample)}",
            **facts,
        )
    full = part(runs, budget=1_000_000)
    if full.height >= 5 and len(early) >= 5 and best is not None:
        lower, upper = found.lower or 0.0, found.upper or math.inf
        if lower >= 100_000 and upper <= 2_000_000 and best < 0.2:
            return Judgment(verdict="reproduced", reason=f"median {told_steps(found.median)} steps of {full.height} seeds", **facts)
        if full.filter(pl.col("best_validation_accuracy") < 0.5).height > full.height / 2:
            return Judgment(verdict="not reproduced", reason="most seeds are below 50 % after 10⁶ updates", **facts)
    longest = largest(runs["steps"]) or 0
    seen = "" if best is None else f"; up to 10⁵ updates the best validation accuracy of {len(early)} seeds was {told_percent(best, '.1f')}"
    return undecided(f"the longest of {runs.height} runs has {longest:,.0f} of 10⁶ updates{seen}", **facts)


@claim(
    id="C3", paper=PAPER, place="Figure 4", experiment="figure4", published="rises, then falls again",
    runs=lambda run: run.seeds.seed < 3,
    expects=lambda run: {"loss_at_first": 5.0, "loss_at_peak": 15.0, "step_of_peak": 500.0, "loss_after_peak": 6.0},
)  # fmt: skip
def validation_loss_rises_and_falls(table: pl.DataFrame) -> Judgment:
    """The validation loss of that run rises and then falls again: double descent in steps (Power et al. 2022).

    Rule: a run rises if its validation loss becomes 1.5 times what it was at first, and falls if it becomes half of its peak later.
    Reproduced if three seeds or more were trained for 10⁵ updates or until they generalized and all of them do both; not
    reproduced if most of these never rise, or most have generalized without falling.
    """
    if "loss_at_peak" not in table.columns:
        return undecided("no run has a history of its validation loss")
    long = part(table, setting=ADAM).filter(pl.col("loss_at_peak").is_not_null())
    long = long.filter((pl.col("steps") >= 100_000) | pl.col("generalized_at").is_not_null())
    rises, falls = (pl.col("loss_at_peak") >= 1.5 * pl.col("loss_at_first")), (pl.col("loss_after_peak") <= 0.5 * pl.col("loss_at_peak"))
    judged = long.with_columns(rises=rises, falls=falls)
    ratio = (judged["loss_after_peak"] / judged["loss_at_peak"]).median() if judged.height else None
    facts: dict[str, Any] = {
        "value": ratio,
        "quantity": "smallest validation loss after the peak ÷ peak, median over seeds",
        "runs": judged.height,
    }
    details = tuple(
        f"seed {row['seed']}: {row['loss_at_first']:.2f} at first, {row['loss_at_peak']:.2f} at step {row['step_of_peak']:,.0f}, "
        f"down to {row['loss_after_peak']:.2f} by step {row['steps']:,}"
        for row in judged.sort("seed").iter_rows(named=True)
    )
    up, down = int(judged["rises"].sum()), int(judged["falls"].sum())
    told = f"of {judged.height} seeds with 10⁵ updates {up} rise and {down} fall to half of the peak"
    if judged.height < 3:
        return undecided(f"{told}; three seeds decide", details=details, **facts)
    if up == down == judged.height:
        return Judgment(verdict="reproduced", reason=told, details=details, **facts)
    stayed = int((judged["generalized_at"].is_not_null() & ~judged["falls"]).sum())
    if up < judged.height / 2 or stayed > judged.height / 2:
        return Judgment(verdict="not reproduced", reason=told, details=details, **facts)
    return undecided(f"{told}; the others may fall later, so the budget is too small", details=details, **facts)


@claim(
    id="C4", paper=PAPER, place="Figure 1 center", experiment="figure1_center", published="40 to 50 % a percent",
    runs=lambda run: run.task.train_fraction <= 0.3,
    expects=lambda run: {"generalized_at": 20_000 * 1.45 ** (100 * (0.3 - run.task.train_fraction))},
)  # fmt: skip
def a_percent_less_data_costs_half_as_many_steps_again(table: pl.DataFrame) -> Judgment:
    """On the product in S₅, near 25 to 30 % of the table, one percent of data less costs 40 to 50 % more median steps to generalize (Power et al. 2022).

    Rule: the exponential law fitted to runs at 25 to 30 %, three fractions and ten runs that generalized or more; the 90 % interval of the
    increase lies within 30 to 60 % (reproduced) or outside of it (not reproduced).
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
    facts: dict[str, Any] = {
        "value": law.factor() - 1,
        "interval": (low and low - 1, high and high - 1),
        "quantity": quantity,
        "runs": near.height,
    }
    if low is not None and high is not None and low >= 1.3 and high <= 1.6:
        return Judgment(verdict="reproduced", reason="the interval lies within 30 to 60 %", **facts)
    if (low is not None and low > 1.6) or (high is not None and high < 1.3):
        return Judgment(verdict="not reproduced", reason="the interval lies outside 30 to 60 %", **facts)
    return undecided("the interval is too wide", **facts)


@claim(
    id="C5", paper=PAPER, place="§3.1.1", experiment="figure1_center", published="10³ to 10⁴ steps, fewer with less data",
    runs=lambda run: run.task.train_fraction in (SMALL, LARGE),
    expects=lambda run: {"memorized_at": 900 if run.task.train_fraction == SMALL else 4_000},
)  # fmt: skip
def memorizing_takes_thousands_of_steps_and_fewer_with_less_data(table: pl.DataFrame) -> Judgment:
    """… while the steps to 99 % train accuracy stay within 10³ to 10⁴ and become fewer with less data (Power et al. 2022).

    Rule: at 50 and at 80 % of the table the median of five seeds lies within a factor of two of 10³ to 10⁴, and memorizing is sooner
    at 50 % by the exact log-rank test, both within 6,000 steps. Not reproduced if an interval lies outside or the order is the opposite.
    """
    few, many = (part(table, train_fraction=fraction) for fraction in (SMALL, LARGE))
    if not (few.height and many.height):
        return undecided("there are no runs at both 50 and 80 %", runs=few.height + many.height)
    ranges = [in_range(sample_of(runs, "memorized_at"), 1e3, 1e4, fewest=5) for runs in (few, many)]
    order = sooner([(part(few, budget=WITHIN), part(many, budget=WITHIN))], "memorized_at")
    medians = " and ".join(told_steps(found.center.median) for found in ranges)
    return Judgment(
        verdict=all_of([*(found.verdict for found in ranges), order.verdict]),
        reason=f"medians {medians} at 50 and 80 % ({ranges[0].runs} and {ranges[1].runs} seeds), sooner with less data: {told_p(order.p_value)}",
        value=ranges[0].center.median,
        interval=ranges[0].center[1:],
        quantity="steps to 99 % train accuracy at 50 %",
        runs=few.height + many.height,
        details=tuple(
            f"{told_percent(fraction)}: median {told_steps(found.center.median)}, 90 % interval {told_steps(found.center.lower)} to {told_steps(found.center.upper)}"
            for fraction, found in zip((SMALL, LARGE), ranges, strict=True)
        ),
    )


@claim(
    id="C6", paper=PAPER, place="§3.1.1", experiment="figure1_center", published="100 %",
    runs=lambda run: run.task.train_fraction in (0.6, 0.7, 0.8),
    expects=lambda run: {"generalized_at": 3_000 * math.exp(10 * (0.8 - run.task.train_fraction))},
)  # fmt: skip
def final_accuracy_is_perfect_over_a_range_of_fractions(table: pl.DataFrame) -> Judgment:
    """… and final validation accuracy stays at 100 % over a range of train fractions, in which only the time grows (Power et al. 2022).

    Rule: over three neighboring fractions or more, a fifth of the table apart, with three seeds or more at each, all runs end at 99 % or
    more, and generalizing is sooner at the largest than at the smallest (exact log-rank). Not reproduced
    if at every such range most runs of some fraction that had reached 99 % end below it.
    """
    table = finished(table)
    by_fraction = {fraction: part(table, train_fraction=fraction) for fraction in sorted(set(table["train_fraction"].to_list()))}
    enough = {fraction: runs for fraction, runs in by_fraction.items() if seeds_in(runs) >= 3}
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
    perfect = {fraction for fraction, runs in enough.items() if bool((runs["validation_accuracy"] >= 0.99).all())}
    tests = [(fractions, sooner([(enough[fractions[-1]], enough[fractions[0]])])) for fractions in ranges if perfect.issuperset(fractions)]
    if tests:  # the widest of those that hold, or else of all
        tests.sort(key=lambda pair: (pair[1].verdict == "reproduced", pair[0][-1] - pair[0][0]))
        fractions, grows = tests[-1]
        reason = f"all runs at {told_percent(fractions[0])} to {told_percent(fractions[-1])} end at 99 % or more; sooner with more data: {told_p(grows.p_value)}"
        if grows.verdict == "reproduced":
            return Judgment(verdict="reproduced", reason=reason, **facts)
        return undecided(f"{reason} ({grows.fewest} seeds a side; five decide)", **facts)
    lost_at = {fraction for fraction, runs in enough.items() if _most_are_lost(runs)}
    everywhere = all(lost_at.intersection(fractions) for fractions in ranges)
    return Judgment(verdict="not reproduced", reason=told, **facts) if everywhere else undecided(told, **facts)


def _ranges(fractions: list[float]) -> list[list[float]]:
    """Every range of three neighboring fractions or more that lie a fifth of the table apart."""
    found = [fractions[low:high] for low in range(len(fractions)) for high in range(low + 3, len(fractions) + 1)]
    return [some for some in found if some[-1] - some[0] >= 0.1999]


def _most_are_lost(runs: pl.DataFrame) -> bool:
    """Whether most of the runs that had reached 99 % end below it."""
    reached = runs.filter(pl.col("generalized_at").is_not_null())
    return reached.filter(pl.col("validation_accuracy") < 0.99).height > reached.height / 2


@claim(
    id="C7", paper=PAPER, place="§3.1.1", experiment="figure2_right", published="exponential on every task",
    runs=lambda run: run.task.operation in ("addition", "subtraction", "division", "sum_of_squares", "s5_product"),
    expects=lambda run: {"generalized_at": 1_000 * math.exp(9 * (0.9 - run.task.train_fraction))},
)  # fmt: skip
def steps_grow_exponentially_as_data_shrink(table: pl.DataFrame) -> Judgment:
    """The growth of steps to generalize as data shrink is exponential on every task that generalizes (Power et al. 2022).

    Rule: on every task with four fractions of three seeds or more at which runs generalized, the exponential and the power law are fitted to
    all runs, censored ones too. Reproduced if there are four such tasks and the summed log likelihood favors the exponential by 2 nats;
    not reproduced if it favors the power law by 2.
    """
    from groklab.analysis.fits import fit_laws

    lines: list[str] = []
    total, tasks = 0.0, 0
    for setting in table["setting"].unique(maintain_order=True).to_list():
        runs = part(table, setting=setting)
        counts = runs.filter(pl.col("generalized_at").is_not_null()).group_by("train_fraction").agg(pl.col("seed").n_unique())
        if counts.filter(pl.col("seed") >= 3).height < 4:
            continue
        laws = fit_laws(runs["train_fraction"].to_list(), sample_of(runs))
        tasks, total = tasks + 1, total + laws.log_likelihood_difference
        lines.append(
            f"{setting}: {laws.log_likelihood_difference:+.1f} nats, {told_percent(laws.exponential.factor() - 1, '+.1f')} steps a percent less"
        )
    facts: dict[str, Any] = {
        "value": total if tasks else None,
        "quantity": "log likelihood of the exponential − power law, nats",
        "runs": table.height,
        "details": tuple(lines),
    }
    if tasks < 4:
        return undecided(f"{tasks} tasks have four fractions with three seeds that generalized; four tasks decide", **facts)
    if abs(total) < 2:
        return undecided(f"the laws describe {tasks} tasks equally well", **facts)
    return Judgment(verdict="reproduced" if total > 0 else "not reproduced", reason=f"{total:+.1f} nats over {tasks} tasks", **facts)


@claim(
    id="C21", paper=PAPER, place="§3.1", experiment="figure1_center", published="largest near the smallest fraction that generalizes",
    runs=lambda run: run.task.train_fraction in (SMALL, LARGE),
    expects=lambda run: {"generalized_at": 5_000 if run.task.train_fraction == SMALL else 1_500},
)  # fmt: skip
def the_delay_is_large_where_data_are_few(table: pl.DataFrame) -> Judgment:
    """With more data train and validation curves track each other closely; the delay is largest near the smallest fraction that generalizes (Power et al. 2022).

    Rule, product in S₅: at 80 % of the table the median delay (step of 99 % validation ÷ step of 99 % train accuracy) of five seeds is at most
    2, and delays are smaller at 80 than at 50 % by the exact log-rank test within 6,000 steps. Not reproduced if the interval at 80 % lies
    above 2 or the order is the opposite.
    """
    few, many = (part(table, train_fraction=fraction) for fraction in (SMALL, LARGE))
    if not (few.height and many.height):
        return undecided("there are no runs at both 50 and 80 %", runs=few.height + many.height)
    close = in_range(sample_of(many, "delay"), 1.0, 1.0, fewest=5)
    cut = [part(runs, budget=WITHIN).filter(pl.col("memorized_at").is_not_null()) for runs in (many, few)]
    order = sooner([(cut[0], cut[1])], "delay") if all(runs.height for runs in cut) else sooner([])
    told = "not reached" if close.center.median is None else f"{close.center.median:.2f}"
    return Judgment(
        verdict=all_of([close.verdict, order.verdict]),
        reason=f"median delay {told} at 80 % ({close.runs} seeds), {_told_delay(sample_of(few, 'delay'))} at 50 % ({few.height} seeds), smaller with more data: {told_p(order.p_value)}",
        value=close.center.median,
        interval=close.center[1:],
        quantity="median delay at 80 %",
        runs=few.height + many.height,
    )


def _told_delay(sample: Sample) -> str:
    """The median delay where half of the runs got there. Elsewhere the estimate, where there is one, is the delay of a few runs that were watched longest."""
    found = center(sample).median
    if found is not None and 2 * int(sample.reached.sum()) >= len(sample):
        return f"{found:.1f}"
    return f"more than {float(sample.steps[~sample.reached].min()):.1f}"
