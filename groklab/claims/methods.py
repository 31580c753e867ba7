"""Claims of Power et al. 2022 about ways of optimizing: C13 to C17."""

from __future__ import annotations

from typing import Any

import polars as pl

from groklab.analysis.efficiency import data_efficiency
from groklab.analysis.statistics import sample_of
from groklab.claims.budgets import PAPER as BUDGET
from groklab.claims.budgets import Count, Part, count, joined
from groklab.claims.rules import (
    FEWEST,
    SIGNIFICANT,
    Judgment,
    Pair,
    center,
    in_range,
    leans_back,
    part,
    seeds_in,
    sooner,
    told_median,
    told_p,
    told_percent,
    told_steps,
    undecided,
    without_diverged,
)
from groklab.config.run import Run
from groklab.registry import claim

PAPER = "Power et al. 2022"
DECAY, TO_INITIAL, PLAIN = "AdamW, decay 1", "AdamW, decay 1 to initial", "Adam"
METHODS = (
    DECAY, TO_INITIAL, PLAIN, "Adam, rate 3·10⁻⁴", "Adam, rate 3·10⁻³", "Adam, weight noise", "Adam, dropout 0.1", "Adam, full batch",
    "Adam, full batch, noise",
)  # fmt: skip
COMPARED = 0.9
"""Fraction of S₅ at which decays are compared."""
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
    most of them twice its lower end is above their upper end. Five fractions and three seeds each or more, of 10⁵ updates or until they generalized.

    Parts: "most" of the eight others, each counted by itself, an unknown one as neither. A run that stopped before 10⁵ updates without having generalized
    has not shown that it needs more data: its fraction does not count, nor does one at which half of the runs diverged. "The data that is needed" is enough
    at every larger fraction: where AdamW fails in most runs at one, the claim is undecided, and another way that does is unknown.
    """
    lines: list[str] = []
    lapses: dict[str, float] = {}
    needed: dict[str, tuple[float | None, float | None, float | None]] = {}
    for method in METHODS:
        runs = _known(part(table, setting=method))
        counts = runs.group_by("train_fraction").agg(pl.col("seed").n_unique()).filter(pl.col("seed") >= 3) if runs.height else runs
        if not runs.height or counts.height < 5:
            continue
        found = data_efficiency(runs, within=BUDGET, method="bootstrap")
        needed[method] = found.fraction, found.interval.lower, found.interval.upper
        lapse = _lapse(runs, found.fraction)
        if lapse is not None:
            lapses[method] = lapse
        known = "beyond the fractions tried" if found.fraction is None else f"{told_percent(found.fraction)} of the table"
        lines.append(f"{method}: {known}")
    facts: dict[str, Any] = {"quantity": "train fraction needed by AdamW, decay 1", "runs": table.height, "details": tuple(lines)}
    if DECAY not in needed or len(needed) < len(METHODS):
        short = table.height > sum(_known(part(table, setting=method)).height for method in METHODS)
        told = f"{len(needed)} of the nine ways have five fractions with three seeds each of 10⁵ updates"
        return undecided(told, settled=False if short else None, **facts)
    fraction, low, high = needed[DECAY]
    facts |= {"value": fraction, "interval": (low, high)}
    if DECAY in lapses:
        return undecided(f"{DECAY} fails again at {told_percent(lapses[DECAY])}", **facts)
    others = [ends for method, ends in needed.items() if method != DECAY and method not in lapses]
    halves = sum(high is not None and (lower or 0.0) >= 2 * high for _, lower, _ in others)
    not_halves = sum(low is not None and upper is not None and 2 * low > upper for _, _, upper in others)
    told = f"AdamW needs less than half of the data for {halves} of 8 others, more than half for {not_halves}"
    if halves > 4:
        return Judgment(verdict="reproduced", reason=told, settled=True, **facts)
    return Judgment(verdict="not reproduced", reason=told, settled=True, **facts) if not_halves > 4 else undecided(told, **facts)


def _lapse(runs: pl.DataFrame, needed: float | None) -> float | None:
    """A fraction above the one that is needed at which most runs do not generalize."""
    above = [at for at in sorted(set(runs["train_fraction"].to_list())) if needed is not None and at > needed + 1e-9]
    return next((at for at in above if count(part(runs, train_fraction=at), BUDGET).is_not_most), None)


def _known(runs: pl.DataFrame) -> pl.DataFrame:
    """The runs at those fractions at which all of them have had 10⁵ updates, have generalized or diverged, and most have not diverged."""
    places = sorted(set(runs["train_fraction"].to_list())) if runs.height else []
    cells = {at: part(runs, train_fraction=at) for at in places}
    known = [at for at, cell in cells.items() if not count(cell, BUDGET).open and without_diverged(cell).height > cell.height / 2]
    return part(runs, train_fraction=tuple(known)) if known else runs.clear()


def _fractions(first: pl.DataFrame, second: pl.DataFrame) -> list[float]:
    """The fractions at which both sides of a comparison have five seeds, rising."""
    shared = sorted(set(first["train_fraction"].to_list()) & set(second["train_fraction"].to_list()))
    return [at for at in shared if all(seeds_in(part(one, train_fraction=at)) >= FEWEST for one in (first, second))]


def _leaning(first: pl.DataFrame, second: pl.DataFrame) -> list[float]:
    """The fractions of fewer than five seeds a side at which the second seems sooner."""
    shared = sorted(set(first["train_fraction"].to_list()) & set(second["train_fraction"].to_list()))
    few = [at for at in shared if at not in _fractions(first, second)]
    return [at for at in few if leans_back(*_at((first, second), at))]


def _at(pair: Pair, fraction: float) -> Pair:
    first, second = (part(one, train_fraction=fraction, budget=BUDGET) for one in pair)
    return first, second


@claim(
    id="C14", paper=PAPER, place="Figure 2 left", experiment="figure2_left", published="helps, less than towards zero",
    runs=lambda run: _is_way(run, "", "decay_towards_initial") and run.training.batch_size != "full",
    expects=lambda run: {"generalized_at": 1_000 if run.training.optimizer == "adamw" else 3_000 if run.training.interventions else None},
)  # fmt: skip
def decay_towards_the_initial_weights_helps_less(table: pl.DataFrame) -> Judgment:
    """Weight decay towards the initial weights helps, but less than decay towards zero (Power et al. 2022).

    Rule, product in S₅, 90 % of the table, as far as the runs went and 10⁵ steps at most, five seeds a side, both by the exact log-rank test at p < 0.025:
    it generalizes sooner than Adam without decay, and later than AdamW. A first look, after 10⁴ steps, could not tell; hence half of the usual level.

    Parts: two, "helps" and "less than towards zero", each at its level; at other fractions neither may be the other way round, with
    fewer than five seeds a side at p < 0.05. Below 10⁵ steps a part counts only if more steps cannot turn it: that one side has not generalized yet may be the budget's doing.
    """
    sides = {name: part(table, setting=name) for name in (DECAY, TO_INITIAL, PLAIN)}
    pairs = {"helps": (sides[TO_INITIAL], sides[PLAIN]), "less": (sides[DECAY], sides[TO_INITIAL])}
    looks = sum(len(_fractions(*pair)) for pair in pairs.values()) or 1
    found = {name: sooner([_at(pair, COMPARED)], significant=SIGNIFICANT / 2, looks=looks) for name, pair in pairs.items()}
    parts = [Part(one.verdict, one.settled) for one in found.values()]
    back = [
        f"{name}: the other way round at {told_percent(at)}"
        for name, pair in pairs.items()
        for at in _fractions(*pair)
        if abs(at - COMPARED) > 1e-9 and sooner([_at(pair, at)], looks=looks).verdict == "not reproduced"
    ]
    back += [f"{name}: seems the other way round at {told_percent(at)}" for name, pair in pairs.items() for at in _leaning(*pair)]
    parts += [Part("undecided")] if back else []
    cells = {name: part(runs, train_fraction=COMPARED, budget=BUDGET) for name, runs in sides.items()}
    is_cut = any(count(runs, BUDGET).open for runs in cells.values())
    verdict, settled = joined(parts, cut=is_cut)
    centers = {name: center(sample_of(runs)) for name, runs in cells.items() if runs.height}
    medians = {name: told_steps(one.median) for name, one in centers.items()}
    own = centers.get(TO_INITIAL)
    reason = f"sooner than without decay: {told_p(found['helps'].p_value)}; later than towards zero: {told_p(found['less'].p_value)}"
    decided = joined(parts).verdict
    reason += "".join(f"; {line}" for line in back) + (
        f"; more steps of runs that have not generalized could turn {decided}" if decided != verdict else ""
    )
    return Judgment(
        verdict=verdict,
        settled=settled,
        reason=reason,
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

    Rule, product in S₅, at the largest fraction at which both sides of a pair have five seeds, as far as the runs went: minibatches against full
    batches, noise on weights against none, noise on updates against none, by the exact log-rank test. Reproduced if one is sooner at p < 0.05 / 3 and none
    later, at any fraction; not reproduced if all three are later.

    Parts: "some" of three kinds: one is enough, and its level is divided by three. A kind that is significantly later, or of fewer
    than five seeds at p < 0.05, counts against. That none is
    significantly sooner is no evidence that none helps. Below 10⁵ steps a kind counts only if more steps cannot turn it.
    """
    pairs = {
        "minibatches": (PLAIN, "Adam, full batch"), "noise on weights": ("Adam, weight noise", PLAIN),
        "noise on updates": ("Adam, full batch, noise", "Adam, full batch"),
    }  # fmt: skip
    lines: list[str] = []
    p_values: list[float] = []
    helps: list[Part] = []
    harms: list[Part] = []
    unsure: list[str] = []
    unsettled = False
    for name, settings in pairs.items():
        sides = (part(table, setting=settings[0]), part(table, setting=settings[1]))
        fractions = _fractions(*sides)
        if not fractions:
            lines.append(f"{name}: no fraction has five seeds on both sides")
            continue
        at = {fraction: _at(sides, fraction) for fraction in fractions}
        tests = {fraction: sooner([pair], significant=SIGNIFICANT / 3) for fraction, pair in at.items()}
        found = tests[fractions[-1]]
        is_cut = any(count(side, BUDGET).open for side in at[fractions[-1]])
        p_values += [] if found.p_value is None else [found.p_value]
        later = [
            fraction for fraction, pair in at.items() if sooner([pair], significant=SIGNIFICANT, looks=len(at)).verdict == "not reproduced"
        ]
        unsettled |= found.settled is False
        leaning = _leaning(*sides)
        if leaning:
            unsure.append(name)
        if later:
            harms.append(Part("not reproduced", sooner([at[later[0]]]).settled))
        elif found.verdict == "reproduced":
            helps.append(joined([Part(found.verdict, found.settled)], cut=is_cut))
        lines.append(
            f"{name} at {told_percent(fractions[-1])}: sooner, {told_p(found.p_value)}"
            + (f", but later at {', '.join(map(told_percent, later))}" if later else "")
        )
    facts: dict[str, Any] = {
        "value": min(p_values, default=None), "quantity": "smallest of three one-sided exact p values", "runs": table.height, "details": tuple(lines),
    }  # fmt: skip
    sure = [one for one in helps if one.verdict == "reproduced"]
    if sure and not harms and not unsure:
        return Judgment(
            verdict="reproduced",
            reason="at least one kind of noise is sooner",
            settled=any(one.settled is not False for one in sure),
            **facts,
        )
    if len(harms) == 3 and all(one.settled for one in harms):
        return Judgment(verdict="not reproduced", reason="every kind of noise is later", settled=True, **facts)
    facts["settled"] = False if unsettled or len(helps) > len(sure) else None
    if sure and unsure and not harms:
        return undecided(f"one kind is sooner, but with few seeds it seems later for {', '.join(unsure)}", **facts)
    if len(p_values) < 3:
        return undecided("; ".join(lines), **facts)
    return undecided("one kind is sooner, another later" if helps and harms else "the difference is too small", **facts)


@claim(
    id="C16", paper=PAPER, place="§3.3", experiment="learning_rates", published="about one order of magnitude", runs=lambda run: run.task.train_fraction == 0.5,
    expects=lambda run: {"generalized_at": 4_000 if 2e-4 < float(run.resolved()["learning_rate"]) < 5e-3 else None},
)  # fmt: skip
def the_learning_rate_must_lie_within_one_order_of_magnitude(table: pl.DataFrame) -> Judgment:
    """The learning rate must lie within about one order of magnitude (Power et al. 2022).

    Rule, division mod 97 at 50 %, AdamW, 10⁵ steps, five rates from 10⁻⁴ to 10⁻², two seeds or more each: a rate works if more than half of its seeds
    generalize, and fails if half or more have not in 10⁵ steps. Reproduced if the largest working rate is at most ten times the smallest, all rates
    between them work, and the next ones on both sides fail; not reproduced if it is more than ten times. Known to the spacing of the rates.

    Parts: every rate, of one seed too: where that generalizes more than ten times away, the claim is undecided. One that has not generalized in fewer steps than the paper's 10⁵ is neither working nor failing: slow rates need more steps, and
    a small budget would narrow the range by itself. One that diverged fails.
    """
    lines: list[str] = []
    counts: dict[float, Count] = {}
    for rate in sorted(set(table["learning_rate"].to_list())):
        runs = part(table, learning_rate=rate, budget=BUDGET)
        if seeds_in(runs) >= 2:
            counts[rate] = count(runs, BUDGET)
            short = f", {counts[rate].open} stopped before 10⁵ steps" if counts[rate].open else ""
            lines.append(f"{rate:g}: {counts[rate].reached} of {runs.height} seeds{short}, {told_median(center(sample_of(runs)).median)}")
    works = [rate for rate, found in counts.items() if found.is_most]
    is_open = [rate for rate, found in counts.items() if not found.is_most and not found.is_not_most]
    span = max(works) / min(works) if works else None
    value = span if len(counts) >= 5 else None  # the ratio of a few rates that were tried says nothing
    facts: dict[str, Any] = {
        "value": value,
        "quantity": "largest ÷ smallest rate that works",
        "runs": table.height,
        "details": tuple(lines),
    }
    if span is not None and span > 10.01:
        return Judgment(verdict="not reproduced", reason=_told_rates(works, counts), settled=True, **facts)
    settled = False if is_open else None
    if len(counts) < 5 or not works:
        return undecided(f"{len(counts)} of five rates have two seeds, {len(works)} work", settled=settled, **facts)
    told = _told_rates(works, counts)
    beyond = [
        rate
        for rate in sorted(set(table["learning_rate"].to_list()) - set(counts))
        if max(rate / min(works), max(works) / rate) > 10.01 and count(part(table, learning_rate=rate), BUDGET).reached
    ]
    if beyond:
        return undecided(f"{told}; one seed at {', '.join(f'{rate:g}' for rate in beyond)} generalizes too", settled=settled, **facts)
    if is_open:
        return undecided(
            f"{told}; {', '.join(f'{rate:g}' for rate in is_open)} may with more than the steps that they had", settled=settled, **facts
        )
    if any(2 * found.reached == found.runs for found in counts.values()):
        return undecided(f"{told}; of another, half of the seeds", **facts)
    if min(works) == min(counts) or max(works) == max(counts):
        return undecided(f"{told}; on one side no rate was seen to fail", **facts)
    if any(min(works) < rate < max(works) and not found.is_most for rate, found in counts.items()):
        return undecided(f"{told}; one between them does not", **facts)
    return Judgment(verdict="reproduced", reason=told, settled=True, **facts)


def _told_rates(works: list[float], counts: dict[float, Count]) -> str:
    return f"{len(works)} of {len(counts)} rates work, from {min(works):g} to {max(works):g}"


def _memorizes(run: Run) -> bool:
    return run.task.train_fraction == MEMORIZING


@claim(
    id="C17", paper=PAPER, place="Figure 2 left", experiment="figure2_left", published="10³ to 10⁴ updates", runs=_memorizes, expects=lambda run: {"memorized_at": 2_000},
)  # fmt: skip
def every_method_memorizes_in_thousands_of_steps(table: pl.DataFrame) -> Judgment:
    """Train accuracy reaches 100 % after 10³ to 10⁴ updates with every way of optimizing (Power et al. 2022).

    Rule, product in S₅ at 50 %: for each of the nine ways the 90 % interval of the median step of 99 % train accuracy, or of three and four seeds all of them,
    lie within a factor of two of 10³ to 10⁴. Not reproduced if the interval of one lies outside, at a level divided by nine.

    Parts: every way. Each bears its own share of a yes; for a no one is enough, which takes eight seeds outside or more, as nine are looked at.
    """
    lines: list[str] = []
    parts: list[Part] = []
    medians: list[float] = []
    outside: dict[str, float | None] = {}
    unsure: list[str] = []
    for method in METHODS:
        runs = part(table, setting=method, train_fraction=MEMORIZING)
        if not runs.height:
            lines.append(f"{method}: no run")
            parts.append(Part("undecided"))
            continue
        found = in_range(sample_of(runs, "memorized_at"), 1e3, 1e4, looks=len(METHODS))
        enough = seeds_in(runs) >= 3
        parts.append(Part(found.verdict if enough else "undecided", found.settled if enough else None))
        if found.verdict == "not reproduced":
            outside[method] = found.center.median
        elif found.verdict == "undecided" and enough:
            unsure.append(f"{method} ({told_median(found.center.median)}, {found.runs} seeds)")
        if found.center.median is not None:
            medians.append(found.center.median)
        lines.append(f"{method}: {told_median(found.center.median)}, {found.runs} seeds")
    facts: dict[str, Any] = {
        "value": max(medians) if len(medians) == len(METHODS) else None,
        "quantity": "slowest median of the nine ways", "runs": table.height, "details": tuple(lines),
    }  # fmt: skip
    verdict, settled = joined(parts)
    inside = sum(one.verdict == "reproduced" for one in parts)
    told = f"{inside} of nine ways lie in the range"
    told += f"; not surely: {', '.join(unsure)}" if unsure else ""
    if outside:
        told += "; outside: " + ", ".join(f"{method} ({told_median(at)})" for method, at in outside.items())
        facts |= {"value": next(iter(outside.values())), "quantity": f"median steps of {next(iter(outside))}"}
    return Judgment(verdict=verdict, reason=told, settled=settled, **facts)
