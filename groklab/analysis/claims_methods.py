"""Claims of Power et al. 2022 about ways of optimizing: C13 to C17."""

from __future__ import annotations

from typing import Any

import polars as pl

from groklab.analysis.claims import (
    SIGNIFICANT,
    Judgment,
    Verdict,
    all_of,
    center,
    in_range,
    largest,
    part,
    seeds_in,
    sooner,
    told_median,
    told_p,
    told_percent,
    told_steps,
    undecided,
)
from groklab.analysis.efficiency import data_efficiency
from groklab.analysis.statistics import sample_of
from groklab.config.run import Run
from groklab.registry import claim

PAPER = "Power et al. 2022"
DECAY, TO_INITIAL, PLAIN = "AdamW, decay 1", "AdamW, decay 1 to initial", "Adam"
METHODS = (
    DECAY, TO_INITIAL, PLAIN, "Adam, rate 3·10⁻⁴", "Adam, rate 3·10⁻³", "Adam, weight noise", "Adam, dropout 0.1", "Adam, full batch",
    "Adam, full batch, noise",
)  # fmt: skip
COMPARED, WITHIN = 0.9, 20_000
"""Fraction of S₅ and steps at which decays are compared."""
MEMORIZING = 0.5
"""Fraction of S₅ at which all methods are watched memorizing."""


def _is_way(run: Run, *interventions: str) -> bool:
    """Whether a run is at the fraction where ways are compared, at the usual rate and with one of these interventions, "" being none."""
    own = "".join(call.partition("(")[0] for call in run.training.interventions)
    return run.task.train_fraction == COMPARED and run.training.learning_rate is None and own in interventions


@claim(
    id="C13", paper=PAPER, place="Figure 2 left", experiment="figure2_left", published="less than half", runs=lambda run: run.budget.steps >= 100_000,
    expects=lambda run: {"generalized_at": 5_000 if run.task.train_fraction >= (0.2 if run.training.optimizer == "adamw" else 0.8) else None},
)  # fmt: skip
def weight_decay_more_than_halves_the_data(table: pl.DataFrame) -> Judgment:
    """Weight decay more than halves the data that is needed, compared with most other ways of optimizing (Power et al. 2022).

    Rule, product in S₅: the train fraction from which half of the seeds generalize (``efficiency``), AdamW with decay 1 against every other way.
    Reproduced if for most of the eight others twice the upper end of AdamW's 90 % interval is at most their lower end; not reproduced if for
    most of them twice its lower end is above their upper end. Five fractions and three seeds each or more.
    """
    lines: list[str] = []
    needed: dict[str, tuple[float | None, float | None, float | None]] = {}
    for method in METHODS:
        runs = part(table, setting=method)
        counts = runs.group_by("train_fraction").agg(pl.col("seed").n_unique()).filter(pl.col("seed") >= 3) if runs.height else runs
        if not runs.height or counts.height < 5:
            continue
        found = data_efficiency(runs, method="bootstrap")
        needed[method] = found.fraction, found.interval.lower, found.interval.upper
        known = "beyond the fractions tried" if found.fraction is None else f"{told_percent(found.fraction)} of the table"
        lines.append(f"{method}: {known}")
    facts: dict[str, Any] = {"quantity": "train fraction needed by AdamW, decay 1", "runs": table.height, "details": tuple(lines)}
    if DECAY not in needed or len(needed) < len(METHODS):
        return undecided(f"{len(needed)} of the nine ways have five fractions with three seeds each", **facts)
    fraction, low, high = needed[DECAY]
    facts |= {"value": fraction, "interval": (low, high)}
    others = [ends for method, ends in needed.items() if method != DECAY]
    halves = sum(high is not None and (lower or 0.0) >= 2 * high for _, lower, _ in others)
    not_halves = sum(low is not None and upper is not None and 2 * low > upper for _, _, upper in others)
    told = f"AdamW needs less than half of the data for {halves} of 8 others, more than half for {not_halves}"
    if halves > 4:
        return Judgment(verdict="reproduced", reason=told, **facts)
    return Judgment(verdict="not reproduced", reason=told, **facts) if not_halves > 4 else undecided(told, **facts)


@claim(
    id="C14", paper=PAPER, place="Figure 2 left", experiment="figure2_left", published="helps, less than towards zero",
    runs=lambda run: _is_way(run, "", "decay_towards_initial") and run.training.batch_size != "full",
    expects=lambda run: {"generalized_at": 1_000 if run.training.optimizer == "adamw" else 3_000 if run.training.interventions else None},
)  # fmt: skip
def decay_towards_the_initial_weights_helps_less(table: pl.DataFrame) -> Judgment:
    """Weight decay towards the initial weights helps, but less than decay towards zero (Power et al. 2022).

    Rule, product in S₅, 90 % of the table, 2·10⁴ steps, five seeds a side, both by the exact log-rank test at p < 0.025: it generalizes sooner
    than Adam without decay, and later than AdamW. A first look, after 10⁴ steps, could not tell; hence half of the usual level.
    """
    cells = {name: part(table, setting=name, train_fraction=COMPARED, budget=WITHIN) for name in (DECAY, TO_INITIAL, PLAIN)}
    helps = sooner([(cells[TO_INITIAL], cells[PLAIN])], significant=SIGNIFICANT / 2)
    less = sooner([(cells[DECAY], cells[TO_INITIAL])], significant=SIGNIFICANT / 2)
    centers = {name: center(sample_of(runs)) for name, runs in cells.items() if runs.height}
    medians = {name: told_steps(found.median) for name, found in centers.items()}
    own = centers.get(TO_INITIAL)
    return Judgment(
        verdict=all_of([helps.verdict, less.verdict]),
        reason=f"sooner than without decay: {told_p(helps.p_value)}; later than towards zero: {told_p(less.p_value)}",
        value=own.median if own else None,
        interval=own[1:] if own else None,
        quantity="steps to generalize, decay towards the initial weights",
        runs=sum(runs.height for runs in cells.values()),
        details=tuple(f"{name}: median {medians.get(name, 'no run')}, {cells[name].height} seeds" for name in cells),
    )


@claim(
    id="C15", paper=PAPER, place="Figure 2 left", experiment="figure2_left", published="helps",
    runs=lambda run: _is_way(run, "", "weight_noise", "update_noise") and run.training.optimizer == "adam",
    expects=lambda run: {"generalized_at": None if run.training.batch_size == "full" and not run.training.interventions else 5_000},
)  # fmt: skip
def some_noise_helps(table: pl.DataFrame) -> Judgment:
    """Some noise, from minibatches, on the weights or on the updates, helps generalization (Power et al. 2022).

    Rule, product in S₅, at the largest fraction at which both sides of a pair have five seeds: minibatches against full batches, noise on weights
    against none, noise on updates against none, by the exact log-rank test. Reproduced if one is sooner at p < 0.05 / 3 and none later; not
    reproduced if all three have five seeds and generalized in most runs without any being sooner at p < 0.05.
    """
    pairs = {
        "minibatches": (PLAIN, "Adam, full batch"), "noise on weights": ("Adam, weight noise", PLAIN),
        "noise on updates": ("Adam, full batch, noise", "Adam, full batch"),
    }  # fmt: skip
    lines: list[str] = []
    p_values: list[float] = []
    opposite, generalized = False, 0
    for name, (noisy, quiet) in pairs.items():
        tables = [part(table, setting=setting) for setting in (noisy, quiet)]
        fractions = [
            f for f in set(tables[0]["train_fraction"].to_list()) if all(seeds_in(part(one, train_fraction=f)) >= 5 for one in tables)
        ]
        if not fractions:
            lines.append(f"{name}: no fraction has five seeds on both sides")
            continue
        at = [part(one, train_fraction=max(fractions)) for one in tables]
        budget = int(min(largest(one["steps"]) or 0 for one in at))
        found = sooner([(part(at[0], budget=budget), part(at[1], budget=budget))])
        if found.p_value is not None:
            p_values.append(found.p_value)
        opposite |= found.verdict == "not reproduced"
        reached = sum(one.height - one["generalized_at"].null_count() for one in at)
        generalized += reached > sum(one.height for one in at) / 2
        lines.append(
            f"{name} at {told_percent(max(fractions))}: sooner, {told_p(found.p_value)}"
            + (", but later" if found.verdict == "not reproduced" else "")
        )
    facts: dict[str, Any] = {
        "value": min(p_values, default=None), "quantity": "smallest of three one-sided exact p values", "runs": table.height, "details": tuple(lines),
    }  # fmt: skip
    if p_values and min(p_values) < SIGNIFICANT / 3 and not opposite:
        return Judgment(verdict="reproduced", reason="at least one kind of noise is sooner", **facts)
    if len(p_values) == generalized == 3 and min(p_values) >= SIGNIFICANT:
        return Judgment(verdict="not reproduced", reason="no kind of noise is sooner", **facts)
    if len(p_values) < 3:
        return undecided("; ".join(lines), **facts)
    why = "one kind is sooner, another later" if opposite and min(p_values) < SIGNIFICANT / 3 else "the difference is too small"
    return undecided(why if generalized == 3 else f"most runs generalized in {generalized} of 3 comparisons", **facts)


@claim(
    id="C16", paper=PAPER, place="§3.3", experiment="learning_rates", published="about one order of magnitude", runs=lambda run: run.task.train_fraction == 0.5,
    expects=lambda run: {"generalized_at": 4_000 if 2e-4 < float(run.resolved()["learning_rate"]) < 5e-3 else None},
)  # fmt: skip
def the_learning_rate_must_lie_within_one_order_of_magnitude(table: pl.DataFrame) -> Judgment:
    """The learning rate must lie within about one order of magnitude (Power et al. 2022).

    Rule, division mod 97 at 50 %, AdamW, 2·10⁴ steps, five rates from 10⁻⁴ to 10⁻², two seeds or more each: a rate works if more than half of its seeds
    generalize. Reproduced if the largest working rate is at most ten times the smallest, and fails on both sides have been seen; not
    reproduced if it is more than ten times; undecided if a rate has exactly half.
    """
    lines: list[str] = []
    shares: dict[float, float] = {}
    for rate in sorted(set(table["learning_rate"].to_list())):
        runs = part(table, learning_rate=rate, budget=20_000)
        if seeds_in(runs) >= 2:
            reached = runs.height - runs["generalized_at"].null_count()
            shares[rate] = reached / runs.height
            lines.append(f"{rate:g}: {reached} of {runs.height} seeds, {told_median(center(sample_of(runs)).median)}")
    works = [rate for rate, share in shares.items() if share > 0.5]
    span = max(works) / min(works) if works else None
    value = span if len(shares) >= 5 else None  # the ratio of a few rates that were tried says nothing
    facts: dict[str, Any] = {
        "value": value,
        "quantity": "largest ÷ smallest rate that works",
        "runs": table.height,
        "details": tuple(lines),
    }
    if len(shares) < 5 or not works:
        return undecided(f"{len(shares)} of five rates have two seeds, {len(works)} work", **facts)
    told = f"{len(works)} of {len(shares)} rates work, from {min(works):g} to {max(works):g}"
    if span is not None and span > 10.01:
        return Judgment(verdict="not reproduced", reason=told, **facts)
    if any(share == 0.5 for share in shares.values()):
        return undecided(f"{told}; of another, half of the seeds", **facts)
    if min(works) == min(shares) or max(works) == max(shares):
        return undecided(f"{told}; on one side no rate was seen to fail", **facts)
    return Judgment(verdict="reproduced", reason=told, **facts)


def _memorizes(run: Run) -> bool:
    return run.task.train_fraction == MEMORIZING


@claim(
    id="C17", paper=PAPER, place="Figure 2 left", experiment="figure2_left", published="10³ to 10⁴ updates", runs=_memorizes, expects=lambda run: {"memorized_at": 2_000},
)  # fmt: skip
def every_method_memorizes_in_thousands_of_steps(table: pl.DataFrame) -> Judgment:
    """Train accuracy reaches 100 % after 10³ to 10⁴ updates with every way of optimizing (Power et al. 2022).

    Rule, product in S₅ at 50 %: the median step of 99 % train accuracy of three seeds or more lies within a factor of two of 10³ to 10⁴ for each of the
    nine ways. Not reproduced if the interval of one (or, of three and four seeds, which have none, all of them) lies outside.
    """
    lines: list[str] = []
    verdicts: list[Verdict] = []
    medians: list[float] = []
    outside: dict[str, float | None] = {}
    for method in METHODS:
        runs = part(table, setting=method, train_fraction=MEMORIZING)
        if not runs.height:
            lines.append(f"{method}: no run")
            verdicts.append("undecided")
            continue
        sample = sample_of(runs, "memorized_at")
        found = in_range(sample, 1e3, 1e4)
        verdict = found.verdict
        too_soon, too_late = bool(sample.reached.all()) and sample.steps.max() < 500, sample.steps.min() > 20_000  # censored ones too
        if found.runs >= 3 and verdict == "undecided" and (too_soon or too_late):
            verdict = "not reproduced"
        if verdict == "not reproduced":
            outside[method] = found.center.median
        verdicts.append(verdict)
        if found.center.median is not None:
            medians.append(found.center.median)
        lines.append(f"{method}: {told_median(found.center.median)}, {found.runs} seeds")
    facts: dict[str, Any] = {
        "value": max(medians) if len(medians) == len(METHODS) else None,
        "quantity": "slowest median of the nine ways", "runs": table.height, "details": tuple(lines),
    }  # fmt: skip
    inside = verdicts.count("reproduced")
    told = f"{inside} of nine ways lie in the range"
    if outside:
        told += "; outside: " + ", ".join(f"{method} ({told_median(at)})" for method, at in outside.items())
        facts |= {"value": next(iter(outside.values())), "quantity": f"median steps of {next(iter(outside))}"}
    return Judgment(verdict=all_of(verdicts), reason=told, **facts)
