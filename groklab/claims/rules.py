"""The sentences of a paper that can be right or wrong, and how each is decided from results.

A claim is a registered function from the results of one experiment to a ``Judgment``: *reproduced*, *not reproduced* or *undecided*, with
the value that was measured. The rule stands in its docstring, under the sentence, and was written before any run was judged; seed 0 of
some was known by then. What all rules have in common:

- no verdict without runs: what is missing makes a claim undecided, and the reason says what is missing;
- runs that did not get there are censored, never left out;
- runs of one seed are one network: a verdict that falls without those that were trained again is undecided (``judge``); numbers that are not
  finite are unknown;
- a run that diverged never got there, but no comparison rests on such runs alone: it must hold without those of the slower side too;
- a part of which too few seeds are known decides nothing, but where it is the other way round at p < 0.05 no claim is reproduced;
- every part of a sentence (a pair, a task, a fraction, a way of optimizing) bears its own share: each is tested at its level, none is hidden
  in a sum, and one in which nobody got there carries nothing;
- one part that is significantly the other way round counts against the whole, at a level divided by how many are looked at;
- that one setting is sooner than another is decided by the exact log-rank test at p < 0.05 (``sooner``), from five runs a side at a
  fraction chosen beforehand or three at each of three fractions, in strata;
- a range of steps that the paper gives holds if the runs lie within a factor of two of it (``in_range``): the median, by its interval, and four of
  five runs;
- runs with less than the paper's budget decide only what more steps could not turn (``budgets.joined``);
- *not reproduced* is as strong a statement as *reproduced*, and needs the same evidence.

A results table is one of ``groklab replicate``: a row per run with its ``setting``, fields and results, and what an experiment's
``findings`` found. The fact ``expects`` of a claim says what a run would give if the sentence were right (``expectations.py``): with it the
rule itself tells which runs can decide.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from groklab import registry
from groklab.analysis.comparisons import stratified_log_rank
from groklab.analysis.statistics import WATCHED, Quantity, sample_of, with_results
from groklab.analysis.survival import LEVEL, Sample, quantile_interval, shown_median
from groklab.claims.budgets import Verdict, completed, is_open, sample_completed
from groklab.text.numbers import change, percent

VERDICTS: tuple[Verdict, ...] = ("reproduced", "not reproduced", "undecided")

SIGNIFICANT = 0.05
"""p values below it decide."""

FEWEST = 5
"""Runs a side that decide at one fraction; at three or more fractions it is three runs at each."""


USUAL = 0.8
"""Share of the runs that must lie where their median is said to lie: of many runs the interval of the median alone lets go of nearly half."""


@dataclass(frozen=True, kw_only=True)
class Judgment:
    """What results say about a claim."""

    verdict: Verdict
    reason: str
    """Why, in a sentence with the numbers that decided; of *undecided* what is missing."""
    value: float | None = None
    """The number that the claim is about, as measured; its meaning is ``quantity``."""
    interval: tuple[float | None, float | None] | None = None
    """Its 90 % confidence interval; an end that is None is open."""
    quantity: str = ""
    """What the value is, with its unit."""
    runs: int = 0
    """Runs that the judgment rests on."""
    settled: bool | None = None
    """Whether no further steps of the same runs could turn it; None where it does not rest on a budget."""
    details: tuple[str, ...] = field(default=())
    """More numbers, a line each."""

    def to_dict(self) -> dict[str, Any]:
        """As it stands in a report's JSON: numbers to nine digits, as the last of sixteen are the processor's."""
        interval = None if self.interval is None else [_digits(end) for end in self.interval]
        return asdict(self) | {"value": _digits(self.value), "interval": interval, "details": list(self.details)}


def _digits(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.9g}")


def undecided(reason: str, **more: Any) -> Judgment:
    """A claim that the results at hand do not decide."""
    return Judgment(verdict="undecided", reason=reason, **more)


def judge(entry: registry.Entry, table: pl.DataFrame | None) -> Judgment:
    """What a registered claim says of the results of its experiment; None or an empty table: no runs, unless it is one of arithmetic."""
    if entry.facts.get("experiment") is None:
        return entry.function()
    if table is None or table.is_empty():
        return undecided("no run of its experiment is stored")
    floats = [name for name, kind in table.schema.items() if kind.is_float()]
    known = table.with_columns(pl.when(pl.col(name).is_finite()).then(name).alias(name) for name in floats)
    known = known.unique(maintain_order=True)  # a run that is told twice is one run
    found, networks = entry.function(known), _networks(known)
    if found.verdict == "undecided" or networks.height == known.height or entry.function(networks).verdict == found.verdict:
        return found
    reason = f"{known.height - networks.height} of {known.height} runs are of a seed that is there already, and without them it is not decided alike"
    return replace(found, verdict="undecided", reason=f"{reason}; {found.reason}", settled=None)


_APART = (
    "setting", "seed", "operation", "modulus", "group", "train_fraction", "outliers", "learning_rate", "weight_decay", "optimizer", "batch_size",
)  # fmt: skip
"""Columns in which different networks of an experiment differ; those that a table lacks are alike in it."""


def _networks(table: pl.DataFrame) -> pl.DataFrame:
    """A row per network: of a seed that was trained more than once the run that stands furthest; of two such that which got there later or never."""
    order = [name for name in ("steps", "generalized_at", "memorized_at") if name in table.columns]
    furthest = table.sort(order, descending=True, nulls_last=[name == "steps" for name in order], maintain_order=True)
    return furthest.unique([name for name in _APART if name in table.columns], keep="first", maintain_order=True)


def told_settled(settled: bool | None) -> str:
    """Whether more steps could turn a verdict, for people; nothing where it does not rest on a budget."""
    return "" if settled is None else "settled: more steps cannot turn it" if settled else "not settled: more steps could turn it"


def ordered(entries: Sequence[registry.Entry]) -> list[registry.Entry]:
    """Claims by paper in the order of their registration's papers, then by number: C2 before C10."""
    return sorted(
        entries, key=lambda entry: (str(entry.facts["paper"]) != "Power et al. 2022", str(entry.facts["id"])[0], number_of(entry))
    )


def number_of(entry: registry.Entry) -> int:
    """The number in a claim's id."""
    return int("".join(letter for letter in str(entry.facts["id"]) if letter.isdigit()))


# — samples —


def part(table: pl.DataFrame, *, budget: int | None = None, **fields: Any) -> pl.DataFrame:
    """The runs with these values (a tuple: any of them), their results as they were after ``budget`` steps.

    Runs that were stopped before the budget are censored where they stand: leaving them out would keep only the quick ones.
    """
    chosen = table
    for name, value in fields.items():
        if name not in chosen.columns:
            return chosen.clear()
        values = value if isinstance(value, tuple) else (value,)
        numbers = chosen.schema[name].is_float()
        condition = [(pl.col(name) - v).abs() < 1e-9 if numbers and isinstance(v, (int, float)) else pl.col(name) == v for v in values]
        chosen = chosen.filter(pl.any_horizontal(condition))
    return chosen if budget is None else _after(chosen, budget)


def _after(table: pl.DataFrame, budget: int) -> pl.DataFrame:
    known = with_results(table)
    cut = [pl.when(pl.col(name) <= budget).then(name).alias(name) for name in ("memorized_at", "generalized_at")]
    last = pl.min_horizontal(pl.col(WATCHED), pl.lit(budget))
    return known.with_columns(*cut, last.alias("evaluated_at"), last.alias("steps")).drop(WATCHED)


def seeds_in(table: pl.DataFrame) -> int:
    """How many different seeds a table has."""
    return table["seed"].n_unique() if table.height else 0


def finished(table: pl.DataFrame) -> pl.DataFrame:
    """The runs that reach as far as they were asked for: others tell a time, censored, but not what becomes of a run."""
    return table.filter(pl.col("as_asked")) if "as_asked" in table.columns else table


def largest(values: pl.Series) -> float | None:
    """The largest of a column's numbers; None where it has none."""
    known = values.drop_nulls()
    return float(np.max(known.to_numpy())) if len(known) else None


class Center(NamedTuple):
    """The median of a sample and its interval."""

    median: float | None
    lower: float | None
    upper: float | None


def center(sample: Sample) -> Center:
    """Median and exact 90 % interval; three or four runs have no interval, five have [smallest, largest]."""
    interval = quantile_interval(sample, level=LEVEL, method="exact")
    return Center(shown_median(sample), interval.lower, interval.upper)


def told_steps(value: float | None) -> str:
    """A number of steps for people; None: longer than anything seen."""
    return "not reached" if value is None else f"{value:,.0f}"


def told_median(value: float | None) -> str:
    """A median of steps for people; None: fewer than half got there."""
    return "median not reached" if value is None else f"median {told_steps(value)} steps"


def told_percent(share: float, form: str = ".0f") -> str:
    """A share for people: its number of percent in a format such as ``.1f`` or ``+.1f``, or with more decimals where these would round it across a threshold.

    >>> told_percent(0.5), told_percent(0.9896), told_percent(0.069, "+.1f")
    ('50 %', '98.96 %', '+6.9 %')
    """
    if form.startswith("+"):  # a change, which no threshold bounds
        return change(share, places=int(form.strip("+.f")))
    return percent(share, places=int(form.strip(".f")))


# — rules —


class Range(NamedTuple):
    """Whether a sample lies in a range."""

    verdict: Verdict
    center: Center
    runs: int
    settled: bool


def in_range(sample: Sample, low: float, high: float, *, factor: float = 2.0, fewest: int = 3, looks: int = 1) -> Range:
    """Whether the steps of a sample lie within a factor of a range: the whole 90 % interval of their median and four of five runs, or of
    three and four runs all of them.

    *Not reproduced* where the interval lies outside; three and four runs have none. ``looks``: in how many parts an answer of no is looked for,
    by which its level is divided.
    """
    found, verdict = center(sample), _in_range(sample, low / factor, high * factor, fewest, looks)
    extremes = [sample_completed(sample, at_once=at_once) for at_once in (True, False)]
    settled = all(_in_range(extreme, low / factor, high * factor, fewest, looks) == verdict for extreme in extremes)
    return Range(verdict, found, len(sample), settled)


def is_usual(sample: Sample, low: float, high: float) -> bool:
    """Whether four of five runs got there within a range of steps."""
    return float((sample.reached & (sample.steps >= low) & (sample.steps <= high)).mean()) >= USUAL


def _in_range(sample: Sample, low: float, high: float, fewest: int, looks: int) -> Verdict:
    if len(sample) < fewest:
        return "undecided"
    found = center(sample)
    lower, upper = found.lower, found.upper
    if len(sample) < FEWEST and bool(sample.reached.all()):
        lower, upper = float(sample.steps.min()), float(sample.steps.max())
    inside = found.median is not None and lower is not None and upper is not None and low <= lower and upper <= high
    if inside and is_usual(sample, low, high):
        return "reproduced"
    sure = quantile_interval(sample, level=1 - 2 * SIGNIFICANT / looks, method="exact")
    beyond = sure.lower is not None and sure.lower > high
    before = sure.upper is not None and sure.upper < low
    return "not reproduced" if beyond or before else "undecided"


class Sooner(NamedTuple):
    """Whether the first of two settings gets there sooner, over strata."""

    verdict: Verdict
    p_value: float | None
    """One-sided, exact."""
    fewest: int
    """Seeds of the smaller side of the smallest stratum."""
    strata: int
    settled: bool | None
    """Whether more steps could not turn it; of *undecided*: None where they could not decide it either."""


Pair = tuple[pl.DataFrame, pl.DataFrame]


def sooner(strata: Sequence[Pair], quantity: Quantity = "generalized_at", *, significant: float = SIGNIFICANT, looks: int = 1) -> Sooner:
    """Whether the first of each pair gets there sooner than the second: *not reproduced* if the second is significantly sooner.

    Both tables of a pair must be of one budget (``part(…, budget=)``). Pairs of which a side has no runs are left out. ``looks``: in how
    many parts of a sentence an answer of no is looked for, by which its level is divided.
    """
    full = [(first, second) for first, second in strata if first.height and second.height]
    if not full:
        return Sooner("undecided", None, 0, 0, None)
    fewest = min(min(seeds_in(first), seeds_in(second)) for first, second in full)
    enough = fewest >= FEWEST or (len(full) >= 3 and fewest >= 3)

    def tested(pairs: Sequence[Pair]) -> tuple[Verdict, float]:
        samples = [(sample_of(first, quantity, beside=second), sample_of(second, quantity, beside=first)) for first, second in pairs]
        p_sooner, p_later = (stratified_log_rank(samples, alternative=side).p_value for side in ("sooner", "later"))
        if enough and p_sooner < significant and _holds_without_diverged(pairs, quantity, 1, significant):
            return "reproduced", p_sooner
        is_later = enough and p_later < significant / looks and _holds_without_diverged(pairs, quantity, 0, significant / looks)
        return "not reproduced" if is_later else "undecided", p_sooner

    verdict, p_value = tested(full)
    settled: bool | None = True
    if any(is_open(side, quantity) for pair in full for side in pair):
        extremes = {
            tested([(completed(a, quantity, at_once=first), completed(b, quantity, at_once=not first)) for a, b in full])[0]
            for first in (True, False)
        }
        settled = extremes == {verdict}
    if verdict == "undecided":
        settled = False if enough and not settled else None
    return Sooner(verdict, p_value, fewest, len(full), settled)


def _holds_without_diverged(pairs: Sequence[Pair], quantity: Quantity, slower: int, significant: float) -> bool:
    """Whether one side is sooner too if the diverged runs of the slower one (0 or 1) are left out: they tell nothing about when it gets there."""
    kept = [tuple(without_diverged(side) if place == slower else side for place, side in enumerate(pair)) for pair in pairs]
    if all(a.height + b.height == c.height + d.height for (a, b), (c, d) in zip(kept, pairs, strict=True)):
        return True
    samples = [
        (sample_of(first, quantity, beside=second), sample_of(second, quantity, beside=first))
        for first, second in kept
        if first.height and second.height
    ]
    return bool(samples) and stratified_log_rank(samples, alternative="sooner" if slower else "later").p_value < significant


def without_diverged(runs: pl.DataFrame) -> pl.DataFrame:
    """The runs that did not diverge before they generalized."""
    return runs.filter((pl.col("status") != "diverged") | pl.col("generalized_at").is_not_null()) if "status" in runs.columns else runs


def leans_back(first: pl.DataFrame, second: pl.DataFrame, quantity: Quantity = "generalized_at") -> bool:
    """Whether the second of two settings is sooner at p < 0.05, however few their runs: too little for a no, and enough against a yes."""
    if not first.height or not second.height:
        return False
    samples = [(sample_of(first, quantity, beside=second), sample_of(second, quantity, beside=first))]
    return stratified_log_rank(samples, alternative="later").p_value < SIGNIFICANT


def all_of(verdicts: Sequence[Verdict]) -> Verdict:
    """Of a claim with several parts: reproduced if all are, not reproduced if one is not."""
    if "not reproduced" in verdicts:
        return "not reproduced"
    return "reproduced" if verdicts and all(verdict == "reproduced" for verdict in verdicts) else "undecided"


def told_p(value: float | None) -> str:
    """A p value for people."""
    return "no test" if value is None else f"p = {value:.2g}" if value >= 1e-4 else f"p = {value:.0e}"
