"""Claims of Power et al. 2022 about what trained networks look like, C18 to C20, and the two of its appendix, C23 and C24."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from groklab.analysis.claims import SIGNIFICANT, Judgment, finished, part, seeds_in, told_percent, told_steps, undecided
from groklab.registry import claim

PAPER = "Power et al. 2022"
APPENDIX = "appendix, reported, not re-read"


def _generalized(table: pl.DataFrame, column: str) -> pl.DataFrame:
    """Runs that generalized and of which a finding is known."""
    if column not in table.columns:
        return table.clear()
    return table.filter(pl.col("generalized_at").is_not_null() & pl.col(column).is_not_null())


@claim(
    id="C18", paper=PAPER, place="Figure 3 right", experiment="figure3_right", published="circle or cylinder, +8",
    runs=lambda run: run.training.optimizer == "adamw",
    expects=lambda run: {
        "generalized_at": 3_000, "circle_score": 0.7, "circle_chance": 0.1, "circle_p": 0.001, "line_step": 8.0, "line_score": 0.7, "line_p": 0.001,
    },
)  # fmt: skip
def addition_is_a_circle_with_a_number_line(table: pl.DataFrame) -> Judgment:
    """The output layer of a network of modular addition is a circle or cylinder on which adding a number (8 in the paper) walks along a line (Power et al. 2022).

    Rule: in three generalized networks or more, circles in the order of the group (``structure.circularity``) and a line of some +k
    (``structure.number_line``, the search over k corrected), each at p < 0.05 against permuted elements, in the layer itself and not in a
    picture of it. Reproduced if most networks have both, not reproduced if most have neither. Which k is a network's own.
    """
    runs = _generalized(part(table, setting="AdamW, decay 1"), "circle_p")
    both = runs.filter((pl.col("circle_p") < SIGNIFICANT) & (pl.col("line_p") < SIGNIFICANT))
    neither = runs.filter((pl.col("circle_p") >= SIGNIFICANT) & (pl.col("line_p") >= SIGNIFICANT))
    score = runs["circle_score"].median() if runs.height else None
    facts: dict[str, Any] = {
        "value": float(score) if isinstance(score, (int, float)) else None,
        "quantity": "share of the layer's variance on its five strongest circles, median",
        "runs": runs.height,
        "details": tuple(
            f"seed {row['seed']}: circles {row['circle_score']:.2f} (chance {row['circle_chance']:.2f}, p = {row['circle_p']:.2g}), "
            f"line +{row['line_step']:.0f} in the layer itself (score {row['line_score']:.2f}, p = {row['line_p']:.2g})"
            for row in runs.sort("seed").iter_rows(named=True)
        ),
    }
    told = f"{both.height} of {runs.height} generalized networks have circles and a line, {neither.height} neither"
    if runs.height < 3:
        return undecided(f"{told}; three networks decide", **facts)
    if both.height > runs.height / 2:
        return Judgment(verdict="reproduced", reason=told, **facts)
    return Judgment(verdict="not reproduced", reason=told, **facts) if neither.height > runs.height / 2 else undecided(told, **facts)


@claim(
    id="C19", paper=PAPER, place="Figure 3 left", experiment="figure3_left", published="12 cosets of a dihedral subgroup of order 10",
    runs=lambda run: run.training.optimizer == "adamw",
    expects=lambda run: {
        "generalized_at": 3_000, "coset_type": "dihedral(5)", "cosets": 12.0, "coset_side": "xH", "coset_share": 0.4, "coset_chance": 0.1,
        "coset_p": 0.001,
    },
)  # fmt: skip
def s5_clusters_are_cosets(table: pl.DataFrame) -> Judgment:
    """Clusters of the output layer of a network of S₅ are the cosets of ⟨(0,3)(1,4), (1,2)(3,4)⟩, dihedral of order 10, or of a conjugate (Power et al. 2022).

    Rule: in three generalized networks or more the search over all 156 subgroups and both sides (``cosets.search_cosets``) finds one of these six
    conjugate subgroups, with p < 0.05 corrected for the search. Reproduced if it does in most, not reproduced if another kind of subgroup
    wins at p < 0.05 in most.
    """
    runs = _generalized(part(table, setting="AdamW, decay 1"), "coset_p")
    sure = runs.filter(pl.col("coset_p") < SIGNIFICANT) if runs.height else runs
    same = sure.filter((pl.col("cosets") == 12) & pl.col("coset_type").str.starts_with("dihedral")) if sure.height else sure
    share = same["coset_share"].median() if same.height else None
    facts: dict[str, Any] = {
        "value": float(share) if isinstance(share, (int, float)) else None,
        "quantity": "share of the layer's variance between the 12 cosets, median where found",
        "runs": runs.height,
        "details": tuple(
            f"seed {row['seed']}: {row['coset_type']}, {row['cosets']:.0f} cosets {row['coset_side']}, share {row['coset_share']:.2f} "
            f"(chance {row['coset_chance']:.2f}), p = {row['coset_p']:.2g}"
            for row in runs.sort("seed").iter_rows(named=True)
        ),
    }
    told = f"{same.height} of {runs.height} generalized networks have the paper's kind of subgroup, {sure.height - same.height} another"
    if runs.height:
        after = sorted((runs["steps"] - runs["generalized_at"]).to_list())
        told += f"; trained for {told_steps(after[0])} to {told_steps(after[-1])} steps after they generalized"
    if runs.height < 3:
        return undecided(f"{told}; three networks decide", **facts)
    if same.height > runs.height / 2:
        return Judgment(verdict="reproduced", reason=told, **facts)
    return (
        Judgment(verdict="not reproduced", reason=told, **facts)
        if sure.height - same.height > runs.height / 2
        else undecided(told, **facts)
    )


@claim(
    id="C20", paper=PAPER, place="§3.4", experiment="figure3_right", published="more apparent", runs=lambda run: True,
    expects=lambda run: {"generalized_at": 3_000, "circle_adjusted": 0.8 if run.training.optimizer == "adamw" else 0.2},
)  # fmt: skip
def structure_is_clearer_with_weight_decay(table: pl.DataFrame) -> Judgment:
    """That structure is more apparent in networks trained with weight decay (Power et al. 2022).

    Rule, addition mod 97: adjusted circularity of the output layer of generalized networks, AdamW with decay against Adam without, five
    networks a side, by the exact rank-sum test at p < 0.05 in either direction.
    """
    from scipy.stats import mannwhitneyu

    sides = [_generalized(part(table, setting=name), "circle_adjusted") for name in ("AdamW, decay 1", "Adam")]
    with_decay, without = (side["circle_adjusted"].to_list() if side.height else [] for side in sides)
    facts: dict[str, Any] = {"quantity": "one-sided exact p of the rank-sum test", "runs": len(with_decay) + len(without)}
    if min(len(with_decay), len(without)) < 5:
        return undecided(
            f"{len(with_decay)} networks with decay and {len(without)} without have generalized and kept their last checkpoint; five a side decide",
            **facts,
        )
    clearer, less = (float(mannwhitneyu(with_decay, without, alternative=side, method="exact").pvalue) for side in ("greater", "less"))
    facts["value"] = clearer
    if clearer < SIGNIFICANT:
        return Judgment(verdict="reproduced", reason=f"clearer with decay, p = {clearer:.2g}", **facts)
    return (
        Judgment(verdict="not reproduced", reason=f"less clear with decay, p = {less:.2g}", **facts)
        if less < SIGNIFICANT
        else undecided("no difference", **facts)
    )


@claim(
    id="C23", paper=PAPER, place=APPENDIX, experiment="outliers", published="up to a point", apart=True,
    runs=lambda run: run.task.outliers in (200, 2000),
    expects=lambda run: {"generalized_at": 3_000 if run.task.outliers == 200 else None},
)  # fmt: skip
def outliers_are_memorized_beside_the_rule(table: pl.DataFrame) -> Judgment:
    """With wrong answers among the training cells a network can memorize them and still generalize, up to a point (Power et al. 2022, appendix).

    Rule, division mod 97 at 50 %: at some number of outliers, three seeds or more, most runs reach 99 % on the labels as trained and 99 % on the
    validation cells; and at the largest number tried most stay below 50 % validation accuracy. Not reproduced if most of three seeds of every number do
    both at none or generalize at all numbers.
    """
    wrong = finished(table.filter(pl.col("outliers") > 0)) if "outliers" in table.columns else table.clear()
    lines: list[str] = []
    good: list[float] = []
    bad: list[float] = []
    generalizing: list[float] = []
    few = 0
    counts = sorted(set(wrong["outliers"].to_list())) if wrong.height else []
    for count in counts:
        at = part(wrong, outliers=count)
        few += seeds_in(at) < 3
        both = at.filter(pl.col("memorized_at").is_not_null() & pl.col("generalized_at").is_not_null()).height
        low = at.filter(pl.col("best_validation_accuracy") < 0.5).height
        lines.append(
            f"{count:.0f} outliers: {both} of {at.height} seeds reach 99 % on both, best validation {told_percent(float(np.median(at['best_validation_accuracy'].drop_nulls().to_numpy())), '.1f')}"
        )
        if seeds_in(at) < 3:
            continue
        if both > at.height / 2:
            good.append(count)
        if low > at.height / 2:
            bad.append(count)
        if at["generalized_at"].null_count() < at.height / 2:
            generalizing.append(count)
    facts: dict[str, Any] = {
        "value": max(good, default=None),
        "quantity": "most outliers beside which networks generalize",
        "runs": wrong.height,
        "details": tuple(lines),
    }
    if good and bad and max(bad) == counts[-1]:
        return Judgment(verdict="reproduced", reason=f"up to {max(good):.0f} outliers, not at {max(bad):.0f}", **facts)
    if counts and not few and len(generalizing) == len(counts):
        reason = "networks generalize beside all of the numbers tried" + ("" if good else ", without memorizing any")
        return Judgment(verdict="not reproduced", reason=reason, **facts)
    if counts and not few and not good:
        return Judgment(verdict="not reproduced", reason="networks memorize and generalize at none of the numbers tried", **facts)
    return undecided("numbers of outliers with three seeds on both sides of the point are missing", **facts)


@claim(
    id="C24", paper=PAPER, place=APPENDIX, experiment="sharpness", published="negative", apart=True, runs=lambda run: True,
    expects=lambda run: {"sharpness": 1 - run.task.train_fraction - run.seeds.seed / 100, "validation_accuracy": run.task.train_fraction},
)  # fmt: skip
def flatter_minima_generalize_better(table: pl.DataFrame) -> Judgment:
    """Sharpness of the minimum (Keskar et al. 2017) and validation accuracy are negatively rank-correlated across runs on S₅ (Power et al. 2022, appendix).

    Rule: Spearman's correlation over ten runs or more, of three settings or more and 80 % of the stored runs, and its 90 % bootstrap interval:
    below zero (reproduced), above (not reproduced).
    """
    from groklab.analysis.correlations import rank_correlation

    known = (
        table.filter(pl.all_horizontal(pl.col("sharpness", "validation_accuracy").cast(pl.Float64).is_finite()))
        if "sharpness" in table.columns
        else table.clear()
    )
    facts: dict[str, Any] = {"quantity": "Spearman's rank correlation", "runs": known.height}
    found = rank_correlation(known["sharpness"].to_numpy(), known["validation_accuracy"].to_numpy()) if known.height else None
    if found is None or known.height < 10:
        return undecided(f"{known.height} runs have a sharpness; ten decide", **facts)
    rho, low, high = found
    facts |= {"value": rho, "interval": (low, high)}
    settings, stored = known["setting"].n_unique(), finished(table).height
    if settings < 3 or known.height < 0.8 * stored:
        reason = (
            f"sharpness is known of {known.height} of {stored} stored runs, of {settings} setting{'s' * (settings != 1)}; "
            "80 % of them and three settings decide"
        )
        return undecided(reason, **facts)
    if high < 0 or low > 0:
        return Judgment(verdict="reproduced" if high < 0 else "not reproduced", reason=f"{known.height} runs: {rho:+.2f}", **facts)
    return undecided("the interval includes zero", **facts)
