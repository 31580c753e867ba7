"""Claims of work that came after the paper: progress measures, representations, accelerators, norms, networks solved by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl

from groklab.analysis.claims import (
    Judgment,
    Verdict,
    all_of,
    center,
    finished,
    in_range,
    largest,
    part,
    sooner,
    told_p,
    told_steps,
    undecided,
)
from groklab.analysis.statistics import sample_of
from groklab.config.run import Run
from groklab.registry import claim

NANDA, CHUGHTAI, GROKFAST = "Nanda et al. 2023", "Chughtai et al. 2023", "Lee et al. 2024"
MUON, OMNIGROK, DOSHI = "Tveit et al. 2025", "Liu et al. 2023", "Doshi et al. 2023"


def _numbers(table: pl.DataFrame, column: str) -> list[float]:
    if column not in table.columns:
        return []
    return [float(value) for value in table.filter(pl.col("generalized_at").is_not_null())[column].drop_nulls()]


def _expect_circuit(run: Run) -> dict[str, float]:
    return {"generalized_at": 9_000, "key_frequencies": 4.0, "restricted_loss": 1e-5, "excluded_loss": 4.0, "validation_loss": 2e-5}


@claim(id="N1", paper=NANDA, place="§4", experiment="nanda_progress_measures", published="3 to 5", expects=_expect_circuit)
def few_key_frequencies(table: pl.DataFrame) -> Judgment:
    """A network that has generalized addition mod 113 uses a handful of key frequencies (Nanda et al. 2023).

    Rule: of three generalized networks or more, the number of key frequencies (rule of their neurons) is within a factor of two of 3 to 5 in
    most (reproduced), or outside in most.
    """
    counts = sorted(_numbers(table, "key_frequencies"))
    facts: dict[str, Any] = {
        "value": counts[len(counts) // 2] if counts else None,
        "quantity": "key frequencies, median of networks",
        "runs": len(counts),
        "details": (f"in {len(counts)} networks: {', '.join(f'{count:.0f}' for count in counts)}",) if counts else (),
    }
    if len(counts) < 3:
        return undecided(f"{len(counts)} generalized networks have been measured; three decide", **facts)
    inside = sum(1.5 <= count <= 10 for count in counts)
    verdict: Verdict = "reproduced" if inside > len(counts) / 2 else "not reproduced"
    return Judgment(verdict=verdict, reason=f"{inside} of {len(counts)} networks have 2 to 10", **facts)


@claim(
    id="N2",
    paper=NANDA,
    place="Figure 7",
    experiment="nanda_progress_measures",
    published="restricted below full, excluded far above",
    expects=_expect_circuit,
)
def the_loss_rests_on_the_key_frequencies(table: pl.DataFrame) -> Judgment:
    """Restricted to the key frequencies the network loses nothing, and without them it knows nothing (Nanda et al. 2023).

    Rule: in most of three generalized networks or more, the restricted loss (all cells) is at most 1.5 times the validation loss plus 10⁻⁴ and the
    excluded loss (training cells) is above 1 nat; not reproduced if in most one of the two fails.
    """
    known = table.filter(pl.col("generalized_at").is_not_null())
    names = ("restricted_loss", "excluded_loss")
    known = (
        known.filter(pl.all_horizontal([pl.col(name).is_not_null() for name in names]))
        if set(names) <= set(known.columns)
        else known.clear()
    )
    holds = known.filter((pl.col("restricted_loss") <= 1.5 * pl.col("validation_loss") + 1e-4) & (pl.col("excluded_loss") > 1))
    excluded = sorted(_numbers(known, "excluded_loss"))
    facts: dict[str, Any] = {
        "value": excluded[len(excluded) // 2] if excluded else None,
        "quantity": "excluded loss in nats, median",
        "runs": known.height,
        "details": tuple(
            f"seed {row['seed']}: restricted {row['restricted_loss']:.2e}, validation {row['validation_loss']:.2e}, excluded {row['excluded_loss']:.2f}"
            for row in known.iter_rows(named=True)
        ),
    }
    if known.height < 3:
        return undecided(f"{known.height} generalized networks have been measured; three decide", **facts)
    verdict: Verdict = "reproduced" if holds.height > known.height / 2 else "not reproduced"
    return Judgment(verdict=verdict, reason=f"holds in {holds.height} of {known.height} networks", **facts)


def _expect_chughtai(run: Run) -> dict[str, float]:
    return {"memorized_at": 340, "generalized_at": 90_000}


@claim(id="R1", paper=CHUGHTAI, place="committed runs", experiment="chughtai_s5", published="329 to 346 updates", expects=_expect_chughtai)
def the_mlp_of_s5_memorizes_at_once(table: pl.DataFrame) -> Judgment:
    """The MLP of composition in S₅ at 40 % memorizes at 329 to 346 updates (Chughtai et al. 2023, 50 seeds).

    Rule: the median of five seeds or more lies within a factor of two of that.
    """
    found = in_range(sample_of(table, "memorized_at"), 329, 346, fewest=5)
    reason = f"median {told_steps(found.center.median)} of {found.runs} seeds"
    return Judgment(
        verdict=found.verdict,
        reason=reason,
        value=found.center.median,
        interval=found.center[1:],
        quantity="steps to 99 % train accuracy",
        runs=found.runs,
    )


@claim(
    id="R2",
    paper=CHUGHTAI,
    place="committed runs",
    experiment="chughtai_s5",
    published="38,675 to 218,023 updates",
    expects=_expect_chughtai,
)
def the_mlp_of_s5_groks_in_every_seed(table: pl.DataFrame) -> Judgment:
    """… and every seed groks, at 38,675 to 218,023 updates (Chughtai et al. 2023, 50 seeds).

    Rule: of five seeds or more, all generalize within 2.5·10⁵ updates and their median lies within a factor of two of that range.
    """
    full = part(table, budget=250_000)
    found = in_range(sample_of(full), 38_675, 218_023, fewest=5) if full.height else None
    lost = full.filter(pl.col("generalized_at").is_null()).height
    facts: dict[str, Any] = {"quantity": "steps to 99 % validation accuracy", "runs": full.height}
    if found is None or full.height < 5:
        return undecided(f"{full.height} seeds have 2.5·10⁵ updates or have generalized; five decide", **facts)
    facts |= {"value": found.center.median, "interval": found.center[1:]}
    verdict = all_of([found.verdict, "not reproduced" if lost else "reproduced"])
    return Judgment(verdict=verdict, reason=f"{full.height - lost} of {full.height} seeds generalized", **facts)


def _expect_grokfast(run: Run) -> dict[str, float]:
    return {"generalized_at": 900 if run.training.interventions else 39_890}


def _with(filtered: str) -> Callable[[Run], bool]:
    """Whether a run is of one of the two settings that are compared: with a filter, or without one and the decay of the other side."""
    return lambda run: (
        run.training.interventions[0].startswith(filtered) if run.training.interventions else run.training.weight_decay == 0.005
    )


@claim(
    id="F1", paper=GROKFAST, place="Table 3", experiment="grokfast_table", published="910 against 39,890 updates",
    runs=_with("grokfast_ema"), expects=_expect_grokfast,
)  # fmt: skip
def amplifying_slow_gradients_generalizes_sooner(table: pl.DataFrame) -> Judgment:
    """On multiplication mod 97 Grokfast's fading average of gradients brings Adam with little decay to generalize sooner (Lee et al. 2024).

    Rule: five seeds a side within 5,000 updates, validation accuracy 95 %, by the exact log-rank test. Both sides have decay 0.005; Adam with
    other decays is shown beside them and decides nothing.
    """
    return _against(table, "with Grokfast (EMA)", "Adam, decay 0.005", 5_000)


@claim(
    id="F2", paper=GROKFAST, place="Table 3", experiment="grokfast_table", published="790 against 39,890 updates",
    runs=_with("grokfast_ma"), expects=_expect_grokfast,
)  # fmt: skip
def amplifying_a_window_of_gradients_generalizes_sooner(table: pl.DataFrame) -> Judgment:
    """… and so does the average over a window of 100 gradients, with decay 0.01 (Lee et al. 2024).

    Rule: as F1; the other side has decay 0.005.
    """
    return _against(table, "with Grokfast (MA), decay 0.01", "Adam, decay 0.005", 5_000)


def _against(table: pl.DataFrame, first: str, second: str, budget: int) -> Judgment:
    """Whether one setting generalizes sooner than another within a budget."""
    sides = [part(table, setting=name, budget=budget) for name in (first, second)]
    found = sooner([(sides[0], sides[1])])
    centers = [center(sample_of(side)) if side.height else None for side in sides]
    medians = [told_steps(one.median) if one else "no run" for one in centers]
    own = centers[0]
    beside = [(name, part(table, setting=name, budget=budget)) for name in ("Adam, decay 0.01", "Adam, no decay")]
    return Judgment(
        details=tuple(
            f"{name}: median {told_steps(center(sample_of(side)).median)} ({side.height} seeds)" for name, side in beside if side.height
        ),
        verdict=found.verdict,
        reason=f"median {medians[0]} against {medians[1]} within {budget:,} updates ({found.fewest} seeds a side): {told_p(found.p_value)}",
        value=own.median if own else None,
        interval=own[1:] if own else None,
        quantity=f"steps to generalize, {first}",
        runs=sum(side.height for side in sides),
    )


@claim(
    id="M1", paper=MUON, place="abstract", experiment="muon_table", published="102.9 against 153.1 epochs",
    expects=lambda run: {"generalized_at": 3_000 if run.training.optimizer == "adamw" else 300},
)  # fmt: skip
def muon_generalizes_sooner(table: pl.DataFrame) -> Judgment:
    """Muon generalizes sooner than AdamW (Tveit et al. 2025).

    Rule: addition and division mod 97 at 50 %, both optimizers with decay 1, five seeds a side, within 10⁴ updates; the exact log-rank
    test stratified by task. Rates: AdamW 10⁻³, its usual one, not tuned; Muon 0.02 for the hidden matrices and 3·10⁻³, three times AdamW's, for all else.
    """
    strata: list[tuple[pl.DataFrame, pl.DataFrame]] = []
    lines: list[str] = []
    for task in ("x + y", "x / y"):
        sides = [part(table, setting=f"{task}, {kind}", budget=10_000) for kind in ("Muon", "AdamW")]
        if all(side.height for side in sides):
            strata.append((sides[0], sides[1]))
            medians = [told_steps(center(sample_of(side)).median) for side in sides]
            lines.append(f"{task}: median {medians[0]} with Muon, {medians[1]} with AdamW ({sides[0].height} and {sides[1].height} seeds)")
    found = sooner(strata)
    verdict: Verdict = found.verdict if len(strata) == 2 else "undecided"
    return Judgment(
        verdict=verdict, reason="; ".join(lines) + f"; {told_p(found.p_value)}" if lines else "no task has runs of both", value=found.p_value,
        quantity="one-sided exact p of the stratified log-rank test", runs=sum(a.height + b.height for a, b in strata), details=tuple(lines),
    )  # fmt: skip


@claim(
    id="O1", paper=OMNIGROK, place="§4", experiment="omnigrok_norms", published="no delay",
    expects=lambda run: {"memorized_at": 150, "generalized_at": 160 if run.training.interventions else 9_000},
)  # fmt: skip
def holding_the_norm_undoes_grokking(table: pl.DataFrame) -> Judgment:
    """With smaller initial weights whose norm is held fixed validation follows training without the usual delay (Liu et al. 2023).

    Rule: five seeds a side, the delay is smaller by the exact log-rank test and its median is at most 2 (reproduced); not reproduced if delays are
    larger or the interval of that median lies above 2.
    """
    sides = [part(table, setting=name) for name in ("norm held fixed", "usual")]
    budget = int(min(largest(side["evaluated_at" if "evaluated_at" in side.columns else "steps"]) or 0 for side in sides))  # one for both
    held, usual = (part(side, budget=budget).filter(pl.col("memorized_at").is_not_null()) for side in sides)
    if not (held.height and usual.height):
        return undecided("not both have runs that memorized", runs=table.height)
    close = in_range(sample_of(held, "delay"), 1, 1, fewest=5)
    order = sooner([(held, usual)], "delay")
    medians = [center(sample_of(side, "delay")).median for side in (held, usual)]
    told = ["more than seen" if one is None else f"{one:.1f}" for one in medians]
    return Judgment(
        verdict=all_of([close.verdict, order.verdict]), reason=f"median delay {told[0]} against {told[1]} ({held.height} and {usual.height} seeds), {told_p(order.p_value)}",
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

    Rule: of five seeds or more, the 90 % interval of the median step of 99 % lies below 100 (reproduced) or above (not reproduced).
    """
    runs = part(table, setting="decay 5")
    if not runs.height:
        return undecided("no run is stored")
    found = center(sample_of(runs))
    facts: dict[str, Any] = {
        "value": found.median, "interval": found[1:], "quantity": "updates to 99 % validation accuracy", "runs": runs.height,
    }  # fmt: skip
    if found.upper is not None and found.lower is not None and found.upper <= 100:
        return Judgment(verdict="reproduced", reason=f"{runs.height} seeds, their median by update {found.upper:.0f}", **facts)
    if found.lower is not None and found.lower > 100:
        return Judgment(verdict="not reproduced", reason=f"{runs.height} seeds, their median not before update {found.lower:.0f}", **facts)
    return undecided(f"{runs.height} seeds; five have an interval", **facts)


@claim(
    id="D2", paper=DOSHI, place="notebooks", experiment="gromov_mlp", published="0.654 train, 1.00 validation with decay 15",
    runs=lambda run: bool(run.task.outliers) and run.training.weight_decay == 15,
    expects=lambda run: {"generalized_at": 40, "validation_accuracy": 1.0, "train_accuracy": 0.65},
)  # fmt: skip
def strong_decay_forgets_wrong_labels(table: pl.DataFrame) -> Judgment:
    """With 35 % of the labels wrong, strong decay (15) unlearns them: the labels as trained are not fitted, and the rule is found (Doshi et al. 2023).

    Rule: in all of five seeds or more validation accuracy ends at 99 % or more and train accuracy, on the labels as trained, below 75 %; not reproduced if
    most fail.
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
    if runs.height < 5:
        return undecided(f"{runs.height} seeds; five decide", **facts)
    if holds.height == runs.height:
        return Judgment(verdict="reproduced", reason=f"all {runs.height} seeds", **facts)
    fails = holds.height < runs.height / 2
    return Judgment(verdict="not reproduced" if fails else "undecided", reason=f"{holds.height} of {runs.height} seeds", **facts)


def _median(runs: pl.DataFrame, column: str) -> str:
    value = runs[column].median() if runs.height else None
    return f"{value:.3f}" if isinstance(value, (int, float)) else "no run"
