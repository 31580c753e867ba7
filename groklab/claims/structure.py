"""Claims of Power et al. 2022 about what trained networks look like, C18 to C20, and the two of its appendix, C23 and C24."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from groklab.claims.budgets import PAPER as BUDGET
from groklab.claims.budgets import count
from groklab.claims.rules import SIGNIFICANT, Judgment, finished, part, seeds_in, told_percent, told_steps, undecided, without_diverged
from groklab.registry import claim

PAPER = "Power et al. 2022"
APPENDIX = "appendix, reported, not re-read"


NEARLY_ALL = 0.9
"""Share of the networks that have to have what a sentence says of a network: of up to nine all of them."""


def trained_out(runs: pl.DataFrame, budget: int = BUDGET) -> bool:
    """Whether all networks had the steps that the paper gave its own: what one has learned may change as long as it is trained."""
    return bool(runs.height) and runs.filter(pl.col("steps") < budget).height == 0


def unmeasured(table: pl.DataFrame, *columns: str) -> int:
    """How many runs generalized of which a finding is not known: a sentence of every network is not known of them."""
    generalized = table.filter(pl.col("generalized_at").is_not_null()) if table.height else table
    lacking = [name for name in columns if name not in table.columns]
    return generalized.height if lacking else generalized.filter(pl.any_horizontal(pl.col(*columns).is_null())).height


def told_unmeasured(unknown: int) -> str:
    """How many networks generalized and were not measured, in words; nothing where all were."""
    return f"; {unknown} more generalized and {'was' if unknown == 1 else 'were'} not measured" if unknown else ""


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
    picture of it. Reproduced if nine of ten networks have both, not reproduced if most have neither. Which k is a network's own.

    Parts: circle and line, both, and every network, as the sentence is about a network and not about most. Settled where all were trained for 10⁵
    updates: before that a network may change.
    """
    networks = part(table, setting="AdamW, decay 1")
    unknown = unmeasured(networks, "circle_p", "line_p")
    runs = _generalized(networks, "circle_p").drop_nulls(["line_p", "circle_score", "circle_chance", "line_step", "line_score"])
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
    told = f"{both.height} of {runs.height} generalized networks have circles and a line, {neither.height} neither" + told_unmeasured(
        unknown
    )
    if runs.height < 3:
        return undecided(f"{told}; three networks decide", **facts)
    facts["settled"] = trained_out(runs)
    if both.height >= NEARLY_ALL * (runs.height + unknown):
        return Judgment(verdict="reproduced", reason=told, **facts)
    if neither.height > runs.height / 2:
        return Judgment(verdict="not reproduced", reason=told, **facts)
    return undecided(told, **(facts | {"settled": None if facts["settled"] else False}))


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
    conjugate subgroups, with p < 0.05 corrected for the search. Reproduced if it does in nine of ten, not reproduced if another kind of subgroup
    wins at p < 0.05 in most and all networks were trained for 10⁵ updates, as the paper's were.

    Parts: kind of subgroup and number of cosets, both, and every network. Of networks that stopped when they had generalized, another kind is no
    refutation: which subgroup wins may change as they are trained on.
    """
    networks = part(table, setting="AdamW, decay 1")
    unknown = unmeasured(networks, "coset_p")
    runs = _generalized(networks, "coset_p")
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
    told += told_unmeasured(unknown)
    if runs.height < 3:
        return undecided(f"{told}; three networks decide", **facts)
    facts["settled"] = trained_out(runs)
    if same.height >= NEARLY_ALL * (runs.height + unknown):
        return Judgment(verdict="reproduced", reason=told, **facts)
    if sure.height - same.height > runs.height / 2 and facts["settled"]:
        return Judgment(verdict="not reproduced", reason=told, **facts)
    return undecided(told, **(facts | {"settled": None if facts["settled"] else False}))


@claim(
    id="C20", paper=PAPER, place="§3.4", experiment="figure3_right", published="more apparent", runs=lambda run: True,
    expects=lambda run: {"generalized_at": 3_000, "circle_adjusted": 0.8 if run.training.optimizer == "adamw" else 0.2},
)  # fmt: skip
def structure_is_clearer_with_weight_decay(table: pl.DataFrame) -> Judgment:
    """That structure is more apparent in networks trained with weight decay (Power et al. 2022).

    Rule, addition mod 97: adjusted circularity of the output layer of generalized networks, AdamW with decay against Adam without, five
    networks a side, by the exact rank-sum test at p < 0.05 in either direction, ties counted against it.

    Parts: one comparison, of networks that generalized on both sides. Both are as old as their experiment trains them, as only decay is to differ.
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
    against = {"greater": -1e-9, "less": 1e-9}  # the exact distribution knows no ties
    clearer, less = (
        float(mannwhitneyu([value + shift for value in with_decay], without, alternative=side, method="exact").pvalue)
        for side, shift in against.items()
    )
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
    validation cells; and at the largest number tried most of three seeds stay below 50 % validation accuracy in 10⁵ updates. Not reproduced if at every number
    tried half of three seeds or more do not do both in 10⁵ updates.

    Parts: "memorize and still generalize", both, in the same runs; and "up to a point": no number above one that fails may work again, and none below one that
    works may fail, of fewer seeds neither. What diverged, or has not generalized in fewer steps than 10⁵, does not show a point; more wrong answers take longer.
    """
    wrong = finished(table.filter(pl.col("outliers") > 0)) if "outliers" in table.columns else table.clear()
    lines: list[str] = []
    works: list[float] = []
    fails: list[float] = []
    lacks: list[float] = []
    works_few: list[float] = []
    lacks_few: list[float] = []
    few = False
    is_open = False
    counts = sorted(set(wrong["outliers"].to_list())) if wrong.height else []
    for number in counts:
        at = part(wrong, outliers=number)
        both = at.filter(pl.col("memorized_at").is_not_null() & pl.col("generalized_at").is_not_null()).height
        over = count(at, BUDGET)
        full = at.filter(pl.col("steps") >= BUDGET)
        low = without_diverged(full).filter(pl.col("best_validation_accuracy") < 0.5).height
        lacking = full.filter(pl.col("memorized_at").is_null() | pl.col("generalized_at").is_null()).height
        best = at["best_validation_accuracy"].drop_nulls()
        lines.append(
            f"{number:.0f} outliers: {both} of {at.height} seeds reach 99 % on both, best validation {told_percent(float(np.median(best.to_numpy())), '.1f') if len(best) else 'unknown'}"
            + (f", {over.open} stopped before 10⁵ updates" if over.open else "")
        )
        is_open |= over.open > 0
        if seeds_in(at) < 3:
            few = True
            lacks_few += [number] if lacking > at.height / 2 else []
            works_few += [number] if both > at.height / 2 else []
            continue
        works += [number] if both > at.height / 2 else []
        fails += [number] if low > at.height / 2 else []
        lacks += [number] if 2 * lacking >= at.height else []
    facts: dict[str, Any] = {
        "value": max(works, default=None),
        "quantity": "most outliers beside which networks generalize",
        "runs": wrong.height,
        "details": tuple(lines),
    }
    in_order = bool(works) and not any(below < above for below in lacks + lacks_few for above in works + works_few)
    if in_order and fails and max(fails) == counts[-1]:
        return Judgment(verdict="reproduced", reason=f"up to {max(works):.0f} outliers, not at {max(fails):.0f}", settled=True, **facts)
    if counts and not few and len(lacks) == len(counts):
        reason = "networks memorize and generalize at none of the numbers tried"
        return Judgment(verdict="not reproduced", reason=reason, settled=True, **facts)
    facts["settled"] = False if is_open else None
    if works and not in_order:
        return undecided("networks generalize beside more outliers where they do not beside fewer", **facts)
    if works and not fails:
        above = "no number tried was seen to be too many in 10⁵ updates"
        return undecided(f"up to {max(works):.0f} outliers; {above}", **facts)
    return undecided("numbers of outliers with three seeds and 10⁵ updates on both sides of the point are missing", **facts)


@claim(
    id="C24", paper=PAPER, place=APPENDIX, experiment="sharpness", published="negative", apart=True, runs=lambda run: True,
    expects=lambda run: {"sharpness": 1 - run.task.train_fraction - run.seeds.seed / 100, "validation_accuracy": run.task.train_fraction},
)  # fmt: skip
def flatter_minima_generalize_better(table: pl.DataFrame) -> Judgment:
    """Sharpness of the minimum (Keskar et al. 2017) and validation accuracy are negatively rank-correlated across runs on S₅ (Power et al. 2022, appendix).

    Rule: Spearman's correlation over ten runs or more, of three settings or more and 80 % of the stored runs, and its 90 % bootstrap interval:
    below zero (reproduced), above (not reproduced).

    Parts: "across runs", of every setting too: in none with five runs or more may the correlation be surely positive, by an interval whose level is
    divided by their number, nor four runs all rise (one chance in 24). Settings that differ may show together what none of them shows.
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
    by_setting = {name: part(known, setting=name) for name in sorted(set(known["setting"].to_list()))}
    many = {name: runs for name, runs in by_setting.items() if runs.height >= 5}
    opposed: list[str] = []
    for name, runs in many.items():
        own = rank_correlation(runs["sharpness"].to_numpy(), runs["validation_accuracy"].to_numpy(), level=1 - 2 * SIGNIFICANT / len(many))
        opposed += [f"{name} {own[0]:+.2f}"] if own is not None and own[1] > 0 else []
    opposed += [f"{name} (four runs)" for name, runs in by_setting.items() if runs.height == 4 and _rises(runs)]
    told = f"{known.height} runs: {rho:+.2f}"
    if high < 0 and opposed:
        return undecided(f"{told}, but within {', '.join(opposed)}", **facts)
    if high < 0 or low > 0:
        return Judgment(verdict="reproduced" if high < 0 else "not reproduced", reason=told, **facts)
    return undecided("the interval includes zero", **facts)


def _rises(runs: pl.DataFrame) -> bool:
    """Whether accuracy rises with sharpness from each run to the next."""
    ordered = runs.sort("sharpness")
    return all(bool((ordered[name].diff().drop_nulls() > 0).all()) for name in ("sharpness", "validation_accuracy"))
