"""What runs say within a budget, and what more steps of the same runs could turn.

A run that has not got there is open: with more steps it may get there at once, or never. A verdict that is the same in both cases is
*settled*. Runs that diverged are not open: they never get there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Literal, NamedTuple

import numpy as np
import polars as pl

from groklab.analysis.statistics import WATCHED, Quantity, with_results
from groklab.analysis.survival import Sample

Verdict = Literal["reproduced", "not reproduced", "undecided"]

NEVER = 10**12
"""Steps that no run has: one that is watched for so long and has not got there never does."""

PAPER = 100_000
"""Updates of the paper's runs, those of its Figure 1 aside, which have ten times as many."""


class Count(NamedTuple):
    """How many runs have got there within a budget, how many certainly have not, and how many stopped before it without an answer."""

    reached: int
    failed: int
    open: int

    @property
    def runs(self) -> int:
        """All of them."""
        return self.reached + self.failed + self.open

    @property
    def is_most(self) -> bool:
        """Whether more than half have got there, whatever the open ones do."""
        return 2 * self.reached > self.runs

    @property
    def is_not_most(self) -> bool:
        """Whether at least half have not, whatever the open ones do."""
        return bool(self.runs) and 2 * self.failed >= self.runs


def count(runs: pl.DataFrame, budget: int, quantity: Quantity = "generalized_at") -> Count:
    """How many runs got there within a budget; one that diverged has not."""
    if not runs.height:
        return Count(0, 0, 0)
    known = with_results(runs)
    reached = known.filter(pl.col(quantity) <= budget).height
    failed = known.filter((pl.col(quantity).is_null() | (pl.col(quantity) > budget)) & (_diverged(known) | (pl.col(WATCHED) >= budget)))
    return Count(reached, failed.height, runs.height - reached - failed.height)


def _diverged(table: pl.DataFrame) -> pl.Expr:
    return pl.col("status") == "diverged" if "status" in table.columns else pl.lit(value=False)


def watched(runs: pl.DataFrame, budget: int, quantity: Quantity = "generalized_at") -> pl.DataFrame:
    """The runs of which is known whether they got there within a budget: those that have, that were watched for it, or that diverged."""
    if not runs.height:
        return runs
    known = with_results(runs)
    return known.filter((pl.col(WATCHED) >= budget) | pl.col(quantity).is_not_null() | _diverged(known)).drop(WATCHED)


def _column(quantity: Quantity) -> str:
    return "memorized_at" if quantity == "memorized_at" else "generalized_at"


def is_open(table: pl.DataFrame, quantity: Quantity = "generalized_at") -> bool:
    """Whether a run may still get there."""
    return bool(table.height) and table.filter(pl.col(_column(quantity)).is_null() & ~_diverged(table)).height > 0


def completed(table: pl.DataFrame, quantity: Quantity = "generalized_at", *, at_once: bool) -> pl.DataFrame:
    """As if every open run got there at once, one after the other, or never did."""
    if not table.height:
        return table
    name = _column(quantity)
    ends = [column for column in ("evaluated_at", "steps") if column in table.columns]
    open_run = pl.col(name).is_null() & ~_diverged(table)
    seen = pl.col(ends[0]).cast(pl.Int64)
    soon = seen + 1 + open_run.cum_sum().cast(pl.Int64)
    if at_once:
        return table.with_columns(
            pl.when(open_run).then(soon).otherwise(name).cast(pl.Int64).alias(name),
            *(pl.when(open_run).then(soon).otherwise(column).cast(pl.Int64).alias(column) for column in ends),
        )
    return table.with_columns(pl.when(open_run).then(pl.lit(NEVER)).otherwise(column).cast(pl.Int64).alias(column) for column in ends)


def is_settled(table: pl.DataFrame, rule: Callable[[pl.DataFrame], Verdict], now: Verdict) -> bool:
    """Whether a rule says what it says now of a table if all runs that may still generalize do so at once, and if none ever does."""
    return not is_open(table) or all(rule(completed(table, at_once=at_once)) == now for at_once in (True, False))


def sample_completed(sample: Sample, *, at_once: bool) -> Sample:
    """A sample as if every censored run got there at once, or never did."""
    if at_once:
        return Sample(np.where(sample.reached, sample.steps, sample.steps + 1), np.ones_like(sample.reached))
    return Sample(np.where(sample.reached, sample.steps, NEVER), sample.reached)


class Part(NamedTuple):
    """What the runs say of one part of a sentence: a pair, a task, a rate, a fraction, a way of optimizing."""

    verdict: Verdict
    settled: bool | None = None
    """Whether more steps could not turn it; None: the part does not rest on a budget."""


def joined(parts: Iterable[Part], *, cut: bool = False) -> Part:
    """A sentence of several parts: reproduced if every part is, not reproduced if one is not.

    ``cut``: the runs were given less than the paper's budget. Then only what more steps cannot turn is decided.
    """
    every: Sequence[Part] = list(parts)
    against = [part for part in every if part.verdict == "not reproduced"]
    if against:
        found = Part("not reproduced", any(part.settled is not False for part in against))
    elif every and all(part.verdict == "reproduced" for part in every):
        found = Part("reproduced", all(part.settled is not False for part in every))
    else:
        could = any(part.verdict == "undecided" and part.settled is False for part in every)
        return Part("undecided", False if could else None)
    return Part("undecided", settled=False) if cut and not found.settled else found
