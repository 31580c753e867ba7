"""The claim of Power et al. 2022 about the law by which steps grow as data shrink, C7."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import polars as pl

from groklab.analysis.statistics import fit_steps, sample_of
from groklab.claims.budgets import Part, is_settled, joined
from groklab.claims.rules import Judgment, Verdict, part, told_percent, undecided
from groklab.registry import claim

PAPER = "Power et al. 2022"


@claim(
    id="C7", paper=PAPER, place="§3.1.1", experiment="figure2_right", published="exponential on every task",
    runs=lambda run: run.task.operation in ("addition", "subtraction", "division", "sum_of_squares", "s5_product"),
    expects=lambda run: {"generalized_at": 1_000 * math.exp(9 * (0.9 - run.task.train_fraction))},
)  # fmt: skip
def steps_grow_exponentially_as_data_shrink(table: pl.DataFrame) -> Judgment:
    """The growth of steps to generalize as data shrink is exponential on every task that generalizes (Power et al. 2022).

    Rule: on every task with four fractions of three seeds or more at which runs generalized, the exponential is fitted to all runs, censored ones
    too, and so are two power laws: of the share that is shown, which bends upwards, and of the share that is not, which bends downwards. Reproduced if
    there are four such tasks and on each the log likelihood favors the exponential over both by 2 nats and steps grow as data shrink; not reproduced if
    on one of them it favors a power law by 2 nats and the logarithm of the number of tasks, or steps fall.

    Parts: every task alone, nothing is added up. A task of which some run generalized, but that has fewer than four fractions of three such seeds, is
    not known to be exponential: with one such the claim is undecided, unless another task refutes it.
    """
    lines: list[str] = []
    differences: list[float] = []
    parts: list[Part] = []
    unknown: list[str] = []
    tasks = sorted(set(table["setting"].to_list()))
    by_task = {setting: part(table, setting=setting) for setting in tasks}
    able = {setting: _fractions_that_generalize(runs) for setting, runs in by_task.items()}
    judged = [setting for setting in tasks if able[setting] >= 4]
    for setting in judged:
        runs = by_task[setting]
        difference, increase = _difference(runs)
        verdict = _law(runs, len(judged))
        settled = is_settled(runs, lambda one: _law(one, len(judged)), verdict)
        parts.append(Part(verdict, settled if verdict != "undecided" or settled else False))
        differences.append(difference)
        lines.append(f"{setting}: {difference:+.1f} nats, {told_percent(increase - 1, '+.1f')} steps a percent less")
    unknown = [setting for setting in tasks if able[setting] < 4 and by_task[setting]["generalized_at"].drop_nulls().len()]
    facts: dict[str, Any] = {
        "value": min(differences, default=None),
        "quantity": "log likelihood of the exponential − better power law, nats, of the task where it is least",
        "runs": table.height,
        "details": tuple(lines),
    }
    if unknown or len(judged) < 4:
        parts.append(Part("undecided"))
    verdict, settled = joined(parts)
    told = "; ".join(lines)
    if verdict == "undecided":
        missing = f"{len(judged)} tasks have four fractions with three seeds that generalized; four tasks decide"
        less = (
            f"too few fractions of {', '.join(unknown)}"
            if unknown
            else f"the laws describe a task of {len(judged)} tasks equally well: {told}"
        )
        return undecided(missing if len(judged) < 4 else less, settled=settled, **facts)
    return Judgment(verdict=verdict, reason=f"{len(judged)} tasks: {told}", settled=settled, **facts)


def _fractions_that_generalize(runs: pl.DataFrame) -> int:
    """At how many fractions three seeds or more have generalized."""
    counts = runs.filter(pl.col("generalized_at").is_not_null()).group_by("train_fraction").agg(pl.col("seed").n_unique())
    return counts.filter(pl.col("seed") >= 3).height


def _difference(runs: pl.DataFrame) -> tuple[float, float]:
    """By how many nats the exponential describes a task better than either power law, and by what it multiplies steps for a percent of data less."""
    from groklab.analysis.fits import fit_law, fit_laws

    shown, sample = runs["train_fraction"].to_numpy(), sample_of(runs)
    laws, of_hidden = fit_laws(shown, sample), fit_law(np.maximum(1 - shown, 1e-6), sample, "power")
    return laws.exponential.log_likelihood - max(laws.power.log_likelihood, of_hidden.log_likelihood), laws.exponential.factor()


def _law(runs: pl.DataFrame, tasks: int) -> Verdict:
    difference, increase = _difference(runs)
    if difference < -2 - math.log(tasks) or (increase < 1 and _falls(runs)):
        return "not reproduced"
    return "reproduced" if difference >= 2 and increase > 1 else "undecided"


def _falls(runs: pl.DataFrame) -> bool:
    """Whether steps surely become fewer as data shrink."""
    high = fit_steps(runs).factor_interval().upper
    return high is not None and high < 1
