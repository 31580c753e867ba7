"""Claims of work that came after the paper about how it is trained: accelerators, norms, networks solved by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl

from groklab.analysis.statistics import sample_of
from groklab.claims.budgets import Part, count, joined
from groklab.claims.rules import (
    FEWEST,
    Judgment,
    center,
    finished,
    in_range,
    is_usual,
    largest,
    part,
    seeds_in,
    sooner,
    told_p,
    told_steps,
    undecided,
)
from groklab.config.run import Run
from groklab.registry import claim

GROKFAST = "Lee et al. 2024"
MUON, OMNIGROK, DOSHI = "Tveit et al. 2025", "Liu et al. 2023", "Doshi et al. 2023"


def _expect_grokfast(run: Run) -> dict[str, float]:
    return {"generalized_at": 900 if run.training.interventions else 39_890}


def _with(filtered: str, decay: float) -> Callable[[Run], bool]:
    """Whether a run is of one of the two settings that are compared: with a filter, or without one and with the same decay."""
    return lambda run: (
        run.training.interventions[0].startswith(filtered) if run.training.interventions else run.training.weight_decay == decay
    )


@claim(
    id="F1", paper=GROKFAST, place="Table 3", experiment="grokfast_table", published="910 against 39,890 updates",
    runs=_with("grokfast_ema", 0.005), expects=_expect_grokfast,
)  # fmt: skip
def amplifying_slow_gradients_generalizes_sooner(table: pl.DataFrame) -> Judgment:
    """On multiplication mod 97 Grokfast's fading average of gradients brings Adam with little decay to generalize sooner (Lee et al. 2024).

    Rule: five seeds a side, validation accuracy 95 %, as far as the runs went and 3·10⁵ updates at most, by the exact log-rank test. Both sides have
    decay 0.005; Adam with other decays is shown beside them and decides nothing.

    Parts: one comparison, of sides that differ in the filter alone. Below the published 3·10⁵ updates only what more steps cannot turn decides.
    """
    return _against(table, "with Grokfast (EMA)", "Adam, decay 0.005")


@claim(
    id="F2", paper=GROKFAST, place="Table 3", experiment="grokfast_table", published="790 against 39,890 updates",
    runs=_with("grokfast_ma", 0.01), expects=_expect_grokfast,
)  # fmt: skip
def amplifying_a_window_of_gradients_generalizes_sooner(table: pl.DataFrame) -> Judgment:
    """… and so does the average over a window of 100 gradients, with decay 0.01 (Lee et al. 2024).

    Rule: as F1; both sides have decay 0.01.

    Parts: one comparison, of sides that differ in the filter alone. Adam with a smaller decay, the filter's side with its own, differ in the decay too.
    """
    return _against(table, "with Grokfast (MA), decay 0.01", "Adam, decay 0.01")


GROKFAST_UPDATES, OMNIGROK_UPDATES = 300_000, 15_000
"""Of the published runs."""


def _against(table: pl.DataFrame, first: str, second: str) -> Judgment:
    """Whether one setting generalizes sooner than another that differs in one thing."""
    sides = [part(table, setting=name, budget=GROKFAST_UPDATES) for name in (first, second)]
    found = sooner([(sides[0], sides[1])])
    is_cut = any(count(side, GROKFAST_UPDATES).open for side in sides)
    verdict, settled = joined([Part(found.verdict, found.settled)], cut=is_cut)
    centers = [center(sample_of(side)) if side.height else None for side in sides]
    medians = [told_steps(one.median) if one else "no run" for one in centers]
    own = centers[0]
    beside = [
        (name, part(table, setting=name, budget=GROKFAST_UPDATES))
        for name in ("Adam, decay 0.005", "Adam, decay 0.01", "Adam, no decay")
        if name != second
    ]
    seen = max((int(largest(side.filter(pl.col("generalized_at").is_null())["steps"]) or 0) for side in sides if side.height), default=0)
    within = f" within {seen:,} updates" if is_cut else ""
    turned = f"; more steps could turn {found.verdict}" if verdict != found.verdict else ""
    return Judgment(
        details=tuple(
            f"{name}: median {told_steps(center(sample_of(side)).median)} ({side.height} seeds)" for name, side in beside if side.height
        ),
        verdict=verdict,
        settled=settled,
        reason=f"median {medians[0]} against {medians[1]}{within} ({sides[0].height} and {sides[1].height} seeds): {told_p(found.p_value)}{turned}",
        value=own.median if own else None,
        interval=own[1:] if own else None,
        quantity=f"steps to generalize, {first}",
        runs=sum(side.height for side in sides),
    )


@claim(
    id="M1", paper=MUON, place="abstract", experiment="muon_table", published="102.9 against 153.1 epochs",
    expects=lambda run: {"generalized_at": 300 if run.training.optimizer != "adamw" else 1_500 if run.training.learning_rate else 3_000},
)  # fmt: skip
def muon_generalizes_sooner(table: pl.DataFrame) -> Judgment:
    """Muon generalizes sooner than AdamW (Tveit et al. 2025).

    Rule: addition and division mod 97 at 50 %, all with decay 1, five seeds a side, within 10⁵ updates or as far as the runs went; the exact log-rank test.
    Rates: Muon 0.02 for the hidden matrices and 3·10⁻³ for all else; AdamW at 10⁻³, its usual one, and at 3·10⁻³.

    Parts: both tasks and both rates of AdamW, each comparison at p < 0.05 of its own. With AdamW at 10⁻³ alone the rate of all else would differ too. The level
    of a no is divided by four. Below 10⁵ updates only what more steps cannot turn decides.
    """
    parts: list[Part] = []
    lines: list[str] = []
    p_values: list[float] = []
    is_cut = False
    runs = 0
    for task in ("x + y", "x / y"):
        muon = part(table, setting=f"{task}, Muon", budget=100_000)
        runs += muon.height
        for kind in ("AdamW", "AdamW at 3·10⁻³"):
            other = part(table, setting=f"{task}, {kind}", budget=100_000)
            runs += other.height
            found = sooner([(muon, other)], looks=4)
            parts.append(Part(found.verdict, found.settled))
            if found.p_value is None:
                lines.append(f"{task}, Muon against {kind}: not both have been run")
                continue
            p_values.append(found.p_value)
            is_cut |= any(count(side, 100_000).open for side in (muon, other))
            medians = [told_steps(center(sample_of(side)).median) for side in (muon, other)]
            lines.append(
                f"{task}: median {medians[0]} with Muon, {medians[1]} with {kind} ({muon.height} and {other.height} seeds), {told_p(found.p_value)}"
            )
    verdict, settled = joined(parts, cut=is_cut)
    return Judgment(
        verdict=verdict, settled=settled, reason="; ".join(lines) if p_values else "no task has runs of both", value=max(p_values) if len(p_values) == 4 else None,
        quantity="largest one-sided exact p of the four comparisons", runs=runs, details=tuple(lines),
    )  # fmt: skip


@claim(
    id="O1", paper=OMNIGROK, place="§4", experiment="omnigrok_norms", published="no delay",
    expects=lambda run: {"memorized_at": 150, "generalized_at": 160 if run.training.interventions else 9_000},
)  # fmt: skip
def holding_the_norm_undoes_grokking(table: pl.DataFrame) -> Judgment:
    """With smaller initial weights whose norm is held fixed validation follows training without the usual delay (Liu et al. 2023).

    Rule: five seeds a side, the delay is smaller by the exact log-rank test and the 90 % interval of its median is at most 2 (reproduced); not reproduced if
    delays are larger, the interval of that median lies above 2, or most of five seeds with the norm held fixed do not memorize.

    Parts: "follows at once", of the runs with the norm held fixed, all of which must have memorized; and "the usual delay", which the usual recipe must show: the interval of its median lies above 2.
    The usual recipe decays its weights instead of holding their norm, and differs in precision and warm-up as well. Levels of a no are divided by two.
    """
    sides = [part(table, setting=name) for name in ("norm held fixed", "usual")]
    if not all(side.height for side in sides):
        return undecided("not both have been run", runs=table.height)
    budget = int(min(largest(side["evaluated_at" if "evaluated_at" in side.columns else "steps"]) or 0 for side in sides))  # one for both
    is_cut = budget < OMNIGROK_UPDATES
    memorized = count(sides[0], budget, "memorized_at")
    held, usual = (part(side, budget=budget).filter(pl.col("memorized_at").is_not_null()) for side in sides)
    if seeds_in(sides[0]) >= FEWEST and memorized.failed > memorized.runs / 2:
        reason = f"with the norm held fixed {memorized.failed} of {memorized.runs} seeds did not memorize in {budget:,} updates"
        if is_cut:
            return undecided(f"{reason}, fewer than the published", runs=table.height, settled=False)
        return Judgment(verdict="not reproduced", reason=reason, runs=table.height, settled=True)
    if not (held.height and usual.height):
        return undecided("not both have runs that memorized", runs=table.height)
    close = in_range(sample_of(held, "delay"), 1, 1, fewest=FEWEST, looks=2)
    order = sooner([(held, usual)], "delay", looks=2)
    medians = [center(sample_of(side, "delay")).median for side in (held, usual)]
    told = ["more than seen" if one is None else f"{one:.1f}" for one in medians]
    lost = memorized.runs - memorized.reached
    parts = [Part(close.verdict, close.settled), Part(order.verdict, order.settled), *([Part("undecided")] if lost else [])]
    usually = center(sample_of(sides[1].filter(pl.col("memorized_at").is_not_null()), "delay")).lower
    is_delayed = usually is not None and usually > 2
    parts += [] if is_delayed else [Part("undecided")]
    verdict, settled = joined(parts, cut=is_cut)
    reason = f"median delay {told[0]} against {told[1]} ({held.height} and {usual.height} seeds), {told_p(order.p_value)}"
    return Judgment(
        verdict=verdict, settled=settled, reason=reason + (f"; {lost} with the norm held fixed did not memorize" if lost else "")
        + ("" if is_delayed else "; that the usual recipe has a delay is not known"),
        value=medians[0], interval=close.center[1:], quantity="median delay, norm held fixed", runs=held.height + usual.height,
    )  # fmt: skip


@claim(
    id="D1",
    paper=DOSHI,
    place="notebooks",
    experiment="gromov_mlp",
    published="within 100 updates",
    runs=lambda run: not run.task.outliers,
    expects=lambda run: {"generalized_at": 40},
)
def a_quadratic_layer_generalizes_within_a_hundred_updates(table: pl.DataFrame) -> Judgment:
    """One quadratic layer with squared error and decay 5 has all validation cells of addition mod 97 right within 100 full-batch updates (Doshi et al. 2023).

    Rule: of five seeds or more, the 90 % interval of the median step of 99 % lies below 100 (reproduced, if four of five seeds do) or above
    (not reproduced).

    Parts: "within": the upper end decides. "All validation cells": in each run the best validation accuracy is 99.5 % or more, else undecided.
    """
    runs = part(table, setting="decay 5")
    if not runs.height:
        return undecided("no run is stored")
    found = center(sample_of(runs))
    facts: dict[str, Any] = {
        "value": found.median, "interval": found[1:], "quantity": "updates to 99 % validation accuracy", "runs": runs.height,
    }  # fmt: skip
    least = runs.filter(pl.col("generalized_at") <= 100)["best_validation_accuracy"].fill_null(0.0)
    whole = bool(len(least)) and bool((least >= 0.995).all())
    usual = is_usual(sample_of(runs), 0, 100)
    if found.upper is not None and found.lower is not None and found.upper <= 100 and whole and usual:
        reason = f"{runs.height} seeds, their median by update {found.upper:.0f}"
        return Judgment(verdict="reproduced", reason=reason, settled=True, **facts)
    if found.lower is not None and found.lower > 100:
        reason = f"{runs.height} seeds, their median not before update {found.lower:.0f}"
        return Judgment(verdict="not reproduced", reason=reason, settled=True, **facts)
    settled = False if count(runs, 100).open else None
    return undecided(f"{runs.height} seeds" + ("; five have an interval" if runs.height < FEWEST else ""), settled=settled, **facts)


@claim(
    id="D2", paper=DOSHI, place="notebooks", experiment="gromov_mlp", published="0.654 train, 1.00 validation with decay 15",
    runs=lambda run: bool(run.task.outliers) and run.training.weight_decay == 15,
    expects=lambda run: {"generalized_at": 40, "validation_accuracy": 1.0, "train_accuracy": 0.65},
)  # fmt: skip
def strong_decay_forgets_wrong_labels(table: pl.DataFrame) -> Judgment:
    """With 35 % of the labels wrong, strong decay (15) unlearns them: the labels as trained are not fitted, and the rule is found (Doshi et al. 2023).

    Rule: in all of five seeds or more validation accuracy ends at 99 % or more and train accuracy, on the labels as trained, below 75 %; not reproduced if
    most fail.

    Parts: two, "not fitted" and "the rule is found", both in the same run, and every run. "Strong": where runs without decay are stored, they must fit the
    labels; if half or more do not either, it is not the decay that unlearns them, and the claim is undecided.
    """
    table = finished(table)
    runs = part(table, setting="35 % wrong, decay 15")
    holds = runs.filter((pl.col("validation_accuracy") >= 0.99) & (pl.col("train_accuracy") < 0.75)) if runs.height else runs
    median = runs["train_accuracy"].median() if runs.height else None
    facts: dict[str, Any] = {
        "value": float(median) if isinstance(median, (int, float)) else None,
        "quantity": "train accuracy on the labels as trained, median",
        "runs": runs.height,
        "details": tuple(
            f"decay {decay}: train {_median(part(table, setting=f'35 % wrong, decay {decay}'), 'train_accuracy')}, "
            f"validation {_median(part(table, setting=f'35 % wrong, decay {decay}'), 'validation_accuracy')}"
            for decay in ("0", "5", "15")
        ),
    }
    if seeds_in(runs) < FEWEST:
        return undecided(f"{runs.height} seeds; five decide", **facts)
    plain = part(table, setting="35 % wrong, decay 0")
    unfitted = plain.filter(pl.col("train_accuracy") < 0.75).height if plain.height else 0
    if holds.height == runs.height and plain.height and 2 * unfitted >= plain.height:
        return undecided(f"all {runs.height} seeds, but without decay {unfitted} of {plain.height} do not fit the labels either", **facts)
    if holds.height == runs.height:
        return Judgment(verdict="reproduced", reason=f"all {runs.height} seeds", **facts)
    known = runs.drop_nulls(["validation_accuracy", "train_accuracy"]).height
    fails = known - holds.height > runs.height / 2
    return Judgment(verdict="not reproduced" if fails else "undecided", reason=f"{holds.height} of {runs.height} seeds", **facts)


def _median(runs: pl.DataFrame, column: str) -> str:
    value = runs[column].median() if runs.height else None
    return f"{value:.3f}" if isinstance(value, (int, float)) else "no run"
