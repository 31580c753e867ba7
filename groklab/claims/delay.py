"""Claims of Power et al. 2022 about when networks memorize and when they generalize at one fraction: C1 to C3."""

from __future__ import annotations

from typing import Any

import polars as pl

from groklab.analysis.statistics import sample_of
from groklab.analysis.survival import Sample
from groklab.claims.budgets import watched
from groklab.claims.rules import (
    Judgment,
    center,
    is_usual,
    largest,
    part,
    told_percent,
    told_steps,
    undecided,
)
from groklab.config.run import Run
from groklab.registry import claim

PAPER = "Power et al. 2022"
ADAM = "Adam, no decay"
LITTLE = 0.2
"""Validation accuracy that is still very little."""


def _is_adam(run: Run) -> bool:
    return run.training.optimizer == "adam"


@claim(
    id="C1", paper=PAPER, place="Figure 1 left", experiment="figure1_left", published="before 10³ updates", runs=_is_adam,
    expects=lambda run: {"memorized_at": 500},
)  # fmt: skip
def adam_memorizes_within_a_thousand_steps(table: pl.DataFrame) -> Judgment:
    """On division mod 97, half of the table shown, Adam without decay has near perfect train accuracy before 10³ updates (Power et al. 2022).

    Rule: of five or more seeds, the 90 % interval of the median step of 99 % train accuracy lies below 1,000 (reproduced) or above
    it (not reproduced); for a yes four of five seeds lie below it too.

    Parts: one, "before": the upper end of the interval decides, with runs that never got there counted as later than all.
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
    if found.lower is None:
        return undecided(f"{len(sample)} seeds have no 90 % interval of the median; five have one", **facts)
    if found.upper is not None and found.upper <= 1_000 and is_usual(sample, 0, 1_000):
        reason = f"{len(sample)} seeds, their median by step {told_steps(found.upper)}{_slowest(sample)}"
        return Judgment(verdict="reproduced", reason=reason, settled=True, **facts)
    if found.lower > 1_000:
        reason = f"{len(sample)} seeds, their median not before step {told_steps(found.lower)}"
        return Judgment(verdict="not reproduced", reason=reason, settled=True, **facts)
    early = bool((~sample.reached & (sample.steps < 1_000)).any())
    beyond = found.upper is None or found.upper > 1_000
    reason = "the interval of the median includes 1,000" if beyond else "the median lies below 1,000, but less than four of five seeds do"
    return undecided(reason, settled=False if early else None, **facts)


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

    Rule: of five or more seeds trained for 10⁵ updates or until they generalize, the best validation accuracy up to 10⁵ is below 20 % in
    each, and the 90 % interval of the median step of 99 % lies within a factor of two of 10⁶. Not reproduced: that interval ends before
    5·10⁵, the interval of the median of that accuracy lies above 20 %, or of five seeds that have had 10⁶ updates or have generalized that of the
    best accuracy lies below 50 %.

    Parts: two, and each decides alone. "Very little before 10⁵" is promised of every seed; one that generalizes before 10⁵ has all of it. "Near
    perfect close to 10⁶" is promised of the median, and of four of five seeds.
    """
    name = "best_validation_accuracy_to_100000"
    runs = watched(part(table, setting=ADAM), 100_000)
    longest = largest(part(table, setting=ADAM)["steps"]) or 0
    if not runs.height:
        return undecided(f"no run of Adam without decay has 10⁵ updates; the longest has {longest:,.0f}")
    told = pl.col(name) if name in runs.columns else pl.lit(None, dtype=pl.Float64)
    runs = runs.with_columns(early=pl.when(pl.col("generalized_at") <= 100_000).then(1.0).otherwise(told))
    sample = sample_of(runs, "generalized_at")
    found = center(sample)
    early = [float(value) for value in runs["early"].drop_nulls()]
    facts: dict[str, Any] = {
        "value": found.median,
        "interval": (found.lower, found.upper),
        "quantity": "steps to 99 % validation accuracy",
        "runs": len(sample),
    }
    seen = f"up to 10⁵ updates the best validation accuracy of {len(early)} seeds was {told_percent(max(early), '.1f')}" if early else ""
    usual = _interval(early)
    if usual is not None and usual[0] >= LITTLE:
        reason = f"up to 10⁵ updates validation accuracy reaches {told_percent(usual[0])} or more in {len(early)} seeds"
        return Judgment(verdict="not reproduced", reason=reason, settled=True, **facts)
    full = watched(runs, 1_000_000)
    ends = _interval([float(value) for value in full["best_validation_accuracy"].drop_nulls()])
    if ends is not None and ends[1] < 0.5:
        return Judgment(verdict="not reproduced", reason=f"{full.height} seeds are below 50 % after 10⁶ updates", settled=True, **facts)
    if found.lower is not None and found.upper is not None and found.upper < 500_000:
        reason = f"the median of {runs.height} seeds is near perfect by step {told_steps(found.upper)}, long before 10⁶"
        return Judgment(verdict="not reproduced", reason=reason, settled=True, **facts)
    is_late = found.lower is not None and found.upper is not None and found.lower >= 500_000 and found.upper <= 2_000_000
    if len(early) == runs.height and is_late and max(early) < LITTLE and is_usual(sample, 5e5, 2e6):
        reason = f"median {told_steps(found.median)} steps of {runs.height} seeds; {seen}"
        return Judgment(verdict="reproduced", reason=reason, settled=True, **facts)
    short = runs.height - full.height
    return undecided(
        f"{full.height} of {runs.height} seeds have generalized or have 10⁶ updates, the longest {longest:,.0f}" + (f"; {seen}" if seen else ""),
        settled=False if short else None, **facts,
    )  # fmt: skip


def _interval(values: list[float]) -> tuple[float, float] | None:
    """The exact 90 % interval of a median; None for fewer than five."""
    found = center(Sample.of(values, 1.0)) if values else None
    return None if found is None or found.lower is None or found.upper is None else (found.lower, found.upper)


@claim(
    id="C3", paper=PAPER, place="Figure 4", experiment="figure4", published="rises, then falls again",
    runs=lambda run: run.seeds.seed < 3,
    expects=lambda run: {"loss_at_first": 5.0, "loss_at_peak": 15.0, "step_of_peak": 500.0, "loss_after_peak": 6.0},
)  # fmt: skip
def validation_loss_rises_and_falls(table: pl.DataFrame) -> Judgment:
    """The validation loss of that run rises and then falls again: double descent in steps (Power et al. 2022).

    Rule: a run rises if its validation loss becomes 1.5 times what it was at first, and falls if it becomes half of its peak later.
    Reproduced if three seeds or more were trained for 10⁵ updates or until they generalized and all of them do both; not
    reproduced if most of three seeds that had 10⁶ updates or generalized never rise, or do not fall.

    Parts: two, "rises" and "falls again", promised of each seed, one that diverged or whose losses are not known among them. What 10⁵ updates do not show may still come: only the whole budget says no.
    """
    if "loss_at_peak" not in table.columns:
        return undecided("no run has a history of its validation loss")
    long = watched(part(table, setting=ADAM), 100_000)
    rises, falls = (pl.col("loss_at_peak") >= 1.5 * pl.col("loss_at_first")), (pl.col("loss_after_peak") <= 0.5 * pl.col("loss_at_peak"))
    judged = long.with_columns(rises=rises.fill_null(value=False), falls=falls.fill_null(value=False))
    unknown = judged.filter(pl.any_horizontal(pl.col("loss_at_first", "loss_at_peak", "loss_after_peak").is_null())).height
    ratio = (judged["loss_after_peak"] / judged["loss_at_peak"]).median() if judged.height else None
    facts: dict[str, Any] = {
        "value": ratio,
        "quantity": "smallest validation loss after the peak ÷ peak, median over seeds",
        "runs": judged.height,
    }
    details = tuple(
        f"seed {row['seed']}: {row['loss_at_first']:.2f} at first, {row['loss_at_peak']:.2f} at step {row['step_of_peak']:,.0f}, "
        f"down to {row['loss_after_peak']:.2f} by step {row['steps']:,}"
        for row in judged.drop_nulls(["loss_at_first", "loss_at_peak", "step_of_peak", "loss_after_peak"])
        .sort("seed")
        .iter_rows(named=True)
    )
    up, down = int(judged["rises"].sum()), int(judged["falls"].sum())
    told = f"of {judged.height} seeds with 10⁵ updates {up} rise and {down} fall to half of the peak"
    told += f"; of {unknown} the losses are not known" if unknown else ""
    if judged.height < 3:
        return undecided(f"{told}; three seeds decide", details=details, **facts)
    if int((judged["rises"] & judged["falls"]).sum()) == judged.height:
        return Judgment(verdict="reproduced", reason=told, details=details, settled=True, **facts)
    over = watched(judged, 1_000_000)
    fails = over.filter(~(pl.col("rises") & pl.col("falls")) & pl.col("loss_after_peak").is_not_null()).height
    if over.height >= 3 and fails > over.height / 2:
        return Judgment(verdict="not reproduced", reason=told, details=details, settled=True, **facts)
    return undecided(f"{told}; the others may still, as not all have 10⁶ updates", details=details, settled=False, **facts)
