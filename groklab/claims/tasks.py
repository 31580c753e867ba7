"""Claims of Power et al. 2022 about which tables need how much data, C8 to C12, and about the size of the network, C22."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import polars as pl

from groklab.analysis.shifts import Shift, fraction_shift
from groklab.analysis.statistics import sample_of
from groklab.claims.budgets import PAPER as BUDGET
from groklab.claims.budgets import Part, Verdict, count, is_settled, joined
from groklab.claims.rules import (
    FEWEST,
    SIGNIFICANT,
    Judgment,
    center,
    largest,
    leans_back,
    part,
    seeds_in,
    sooner,
    told_median,
    told_p,
    told_percent,
    told_steps,
    undecided,
)
from groklab.config.run import Run
from groklab.registry import claim

PAPER = "Power et al. 2022"

PAIRS: tuple[tuple[str, str, float], ...] = (
    ("x + y", "x − y", 0.5),
    ("x · y", "x / y", 0.5),
    ("x² + xy + y²", "x² + xy + y² + x", 0.9),
)
"""A symmetric operation, its asymmetric counterpart, and the fraction at which they are compared, chosen beforehand."""

MARGIN = 0.05
"""Two tasks need the same data if the interval of the difference lies within this much of the table."""

_OPERATIONS = {
    "x + y": "addition", "x − y": "subtraction", "x · y": "multiplication", "x / y": "division",
    "x² + xy + y²": "quadratic_form", "x² + xy + y² + x": "quadratic_form_plus_x",
}  # fmt: skip


_SYMMETRIC = ("addition", "multiplication", "quadratic_form")


def _in_a_pair(run: Run) -> bool:
    return any(run.task.operation in (_OPERATIONS[a], _OPERATIONS[b]) and run.task.train_fraction == f for a, b, f in PAIRS)


@claim(
    id="C8", paper=PAPER, place="Figure 2 right", experiment="figure2_right", published="less data", runs=_in_a_pair,
    expects=lambda run: {"generalized_at": 1_000 if run.task.operation in _SYMMETRIC else 3_000},
)  # fmt: skip
def symmetric_operations_need_less_data(table: pl.DataFrame) -> Judgment:
    """Symmetric operations need less data than their asymmetric counterparts (Power et al. 2022).

    Rule: x + y against x − y and x·y against x/y at 50 % of the table, x² + xy + y² against x² + xy + y² + x at 90 %, within 10⁵ steps or as far as the
    runs went, five seeds a side: the symmetric one generalizes sooner by the exact log-rank test. Not reproduced if a pair is significantly the other
    way round. x² + y² has no counterpart of its own and is told beside them.

    Parts: every pair, each at p < 0.05 of its own. A pair in which no run generalized carries nothing. At other fractions with five seeds a side a pair
    may not be the other way round either; with fewer seeds, at p < 0.05, it is undecided. The level of a no is divided by the number of comparisons.
    """
    cells = {
        (pair, at): [part(table, setting=name, train_fraction=at, budget=BUDGET) for name in pair[:2]]
        for pair in PAIRS
        for at in sorted({pair[2], *part(table, setting=pair[0])["train_fraction"].to_list()})
    }
    looks = sum(all(seeds_in(side) >= FEWEST for side in sides) for sides in cells.values()) or 1
    lines: list[str] = []
    parts: list[Part] = []
    sooner_in: list[str] = []
    silent: list[str] = []
    later_in: list[str] = []
    p_values: list[float] = []
    for (pair, at), (first, second) in cells.items():
        named = f"{pair[0]} against {pair[1]} at {told_percent(at)}"
        found = sooner([(first, second)], looks=looks)
        if found.verdict == "not reproduced":
            later_in.append(named)
        if at != pair[2]:
            parts += [Part(found.verdict, found.settled)] if found.verdict == "not reproduced" else []
            continue
        parts.append(Part(found.verdict, found.settled))
        if found.p_value is None:
            lines.append(f"{named}: not both have been run")
            continue
        p_values.append(found.p_value)
        sooner_in += [pair[0]] if found.verdict == "reproduced" else []
        none = not any(count(side, BUDGET).reached for side in (first, second))
        silent += [f"{pair[0]}, of whose {first.height + second.height} runs none generalized"] if none else []
        medians = [told_steps(center(sample_of(side)).median) for side in (first, second)]
        lines.append(
            f"{named}: median {medians[0]} against {medians[1]} ({first.height} and {second.height} seeds), {told_p(found.p_value)}"
        )
    squares = part(table, setting="x² + y²", train_fraction=0.5, budget=BUDGET)
    if squares.height:
        lines.append(f"x² + y² at 50 %: median {told_steps(center(sample_of(squares)).median)} ({squares.height} seeds)")
    leaning = [
        f"{pair[0]} against {pair[1]} at {told_percent(at)}"
        for (pair, at), (first, second) in cells.items()
        if min(seeds_in(first), seeds_in(second)) < FEWEST and leans_back(first, second)
    ]
    parts += [Part("undecided")] if leaning else []
    verdict, settled = joined(parts)
    reason = f"symmetric sooner in {len(sooner_in)} of {len(PAIRS)} pairs" + (f" ({', '.join(sooner_in)})" if sooner_in else "")
    reason += "".join(f"; nothing is known from {one}" for one in silent) + "".join(f"; later in {one}" for one in later_in)
    reason += "".join(f"; seems later, with few seeds, in {one}" for one in leaning)
    return Judgment(
        verdict=verdict,
        settled=settled,
        reason=reason + ("" if verdict != "undecided" else "; five seeds a side of all three pairs decide, where some generalize"),
        value=max(p_values) if len(p_values) == len(PAIRS) else None,
        quantity="largest one-sided exact p of the three pairs",
        runs=sum(side.height for (pair, at), sides in cells.items() if at == pair[2] for side in sides),
        details=tuple(lines),
    )


@claim(
    id="C9", paper=PAPER, place="Figure 2 right", experiment="figure2_right", published="about the same",
    runs=lambda run: run.task.operation in ("subtraction", "division") and run.task.train_fraction in (0.5, 0.7),
    expects=lambda run: {"generalized_at": 4_000 * math.exp(-3 * (run.task.train_fraction - 0.5))},
)  # fmt: skip
def subtraction_and_division_need_the_same_data(table: pl.DataFrame) -> Judgment:
    """x − y and x / y need about the same data (Power et al. 2022).

    Rule: the difference of the train fractions at which both take as many steps to generalize (``shifts.fraction_shift``, five seeds or more at 50 and at 70 %,
    bootstrap over seeds). Reproduced if its 90 % interval lies within ±0.05 of the table, not reproduced if it lies outside.

    Parts: both fractions. A difference at one may not make up for the opposite one at the other: at each the ratio of medians alone says within ±0.05
    of the table too, by the rate that both fractions share. One beyond, and significant at half of the level, is not reproduced, else undecided.
    Another fraction with three seeds a side that lies beyond, by the same rate and at p < 0.05, leaves it undecided.
    """
    both = [part(table, setting=name, train_fraction=(0.5, 0.7)) for name in ("x − y", "x / y")]
    runs = both[0].height + both[1].height
    quantity = "train fraction that x − y needs more than x / y"
    seeds = [seeds_in(part(one, train_fraction=fraction)) for one in both for fraction in (0.5, 0.7)]
    try:
        found = fraction_shift(*both)
    except ValueError as error:
        return undecided(str(error), quantity=quantity, runs=runs)
    low, high = found.interval.lower, found.interval.upper
    facts: dict[str, Any] = {"value": found.fraction, "interval": (low, high), "quantity": quantity, "runs": runs}
    if min(seeds) < 5:
        return undecided(f"{min(seeds)} seeds at one of the fractions; five decide", **facts)
    at_each = [_alone(both, at, found.rate) for at in (0.5, 0.7)]
    elsewhere = _apart_elsewhere(table, found.rate)
    told = ", ".join(
        f"{'unknown' if one.shift is None else f'{one.shift:+.3f}'} at {told_percent(at)} alone"
        for at, one in zip((0.5, 0.7), at_each, strict=True)
    )
    facts["details"] = (told,)
    whole = pl.concat([one.with_columns(side=pl.lit(place)) for place, one in enumerate(both)], how="diagonal_relaxed")
    verdict = _same_data(found, at_each)
    settled = is_settled(whole, _shifted, verdict)
    facts["settled"] = settled if verdict != "undecided" else None if settled else False
    if verdict == "reproduced" and elsewhere:
        return undecided(
            f"about the same at 50 and 70 %, but not at {', '.join(map(told_percent, elsewhere))}", **(facts | {"settled": None})
        )
    if verdict == "reproduced":
        return Judgment(verdict=verdict, reason="the interval lies within ±0.05, and so does each fraction alone", **facts)
    if verdict == "not reproduced":
        outside = [at for at, one in zip((0.5, 0.7), at_each, strict=True) if one.is_apart]
        reason = f"the tasks differ at {' and '.join(map(told_percent, outside))}" if outside else "the interval lies outside ±0.05"
        return Judgment(verdict=verdict, reason=reason, **facts)
    return undecided(f"the interval is too wide, or one fraction says otherwise ({told})", **facts)


class _Alone(NamedTuple):
    """What one fraction says of the difference in data between two tasks."""

    shift: float | None
    """Of the table; None where a median was not reached."""
    is_apart: bool
    """Whether it lies beyond the margin, and surely."""


def _alone(both: Sequence[pl.DataFrame], fraction: float, rate: float) -> _Alone:
    first, second = (part(one, train_fraction=fraction) for one in both)
    medians = [center(sample_of(one)).median for one in (first, second)]
    shift = None if medians[0] is None or medians[1] is None else math.log(medians[0] / medians[1]) / rate
    level = SIGNIFICANT / 4  # two fractions, two directions
    # As if the second needed the margin more of the table, or less: a first that is still later, or sooner, lies beyond it.
    more, less = (_slowed(second, math.exp(direction * rate * MARGIN)) for direction in (1, -1))
    beyond = sooner([(more, first)], significant=level).verdict == "reproduced"
    return _Alone(shift, beyond or sooner([(first, less)], significant=level).verdict == "reproduced")


def _apart_elsewhere(table: pl.DataFrame, rate: float) -> list[float]:
    """Fractions besides the two at which the tasks lie further apart than the margin."""
    found: list[float] = []
    for at in sorted(set(table["train_fraction"].to_list())):
        first, second = (part(table, setting=name, train_fraction=at) for name in ("x − y", "x / y"))
        if min(abs(at - 0.5), abs(at - 0.7)) < 1e-9 or min(seeds_in(first), seeds_in(second)) < 3:
            continue
        more, less = (_slowed(second, math.exp(direction * rate * MARGIN)) for direction in (1, -1))
        found += [at] if leans_back(first, more) or leans_back(less, first) else []
    return found


def _slowed(runs: pl.DataFrame, factor: float) -> pl.DataFrame:
    names = [name for name in ("generalized_at", "evaluated_at", "steps") if name in runs.columns]
    return runs.with_columns(((pl.col(name) * factor).round().cast(pl.Int64)).alias(name) for name in names)


def _same_data(found: Shift, at_each: Sequence[_Alone]) -> Verdict:
    low, high = found.interval.lower, found.interval.upper
    if any(one.is_apart for one in at_each) or (low is not None and low > MARGIN) or (high is not None and high < -MARGIN):
        return "not reproduced"
    inside = low is not None and high is not None and low >= -MARGIN and high <= MARGIN
    return "reproduced" if inside and all(one.shift is not None and abs(one.shift) <= MARGIN for one in at_each) else "undecided"


def _shifted(whole: pl.DataFrame) -> Verdict:
    both = [whole.filter(pl.col("side") == place) for place in (0, 1)]
    try:
        found = fraction_shift(*both)
    except ValueError:
        return "undecided"
    return _same_data(found, [_alone(both, at, found.rate) for at in (0.5, 0.7)])


@claim(
    id="C10", paper=PAPER, place="Figure 2 right", experiment="figure2_right", published="at no fraction within 10⁵",
    runs=lambda run: run.task.operation == "cubic_xyy_plus_y" and run.task.train_fraction >= 0.95,
    expects=lambda run: {},
)  # fmt: skip
def one_cubic_is_never_learned(table: pl.DataFrame) -> Judgment:
    """x³ + xy² + y (mod 97) does not generalize within 10⁵ updates at any fraction up to 95 % (Power et al. 2022).

    Rule: at 95 %, where it would if anywhere, three seeds of 10⁵ updates: none reaches 99 %, nor 50 % (reproduced). Not reproduced if two seeds or
    more, at any fraction up to 95 %, reach 99 %.

    Parts: "at any fraction": no run at any fraction up to 95 % may reach half of the validation cells; what was only tried for less than 10⁵ updates
    says nothing for it, and may say something against it. A run that diverged is no evidence of a task that is not learned.
    """
    runs = part(table, setting="x³ + xy² + y")
    runs = runs.filter(pl.col("train_fraction") <= 0.95 + 1e-9)
    reached = runs.filter(pl.col("generalized_at") <= BUDGET)
    value = largest(runs["best_validation_accuracy"])
    facts: dict[str, Any] = {"value": value, "quantity": "best validation accuracy of any run", "runs": runs.height}
    if seeds_in(reached) >= 2:
        fractions = ", ".join(map(told_percent, sorted(set(reached["train_fraction"].to_list()))))
        reason = f"{reached.height} runs generalized, at {fractions}"
        return Judgment(verdict="not reproduced", reason=reason, settled=True, **facts)
    at_most = part(runs, train_fraction=0.95)
    full = at_most.filter((pl.col("steps") >= BUDGET) & (pl.col("status") != "diverged"))
    unknown = runs["best_validation_accuracy"].null_count()
    if seeds_in(full) >= 3 and not reached.height and value is not None and value < 0.5 and not unknown:
        reason = f"none of {full.height} seeds at 95 % generalized in 10⁵ updates"
        return Judgment(verdict="reproduced", reason=reason, settled=True, **facts)
    most = largest(at_most["steps"]) or 0
    told = f"{seeds_in(full)} of 3 seeds at 95 % have 10⁵ updates (the longest {most:,.0f}), {reached.height} generalized"
    told += f"; the best validation accuracy of {unknown} is not known" if unknown else ""
    told += f"; the best validation accuracy is {told_percent(value)}" if value is not None and value >= 0.5 else ""
    return undecided(told, settled=False if at_most.height > full.height else None, **facts)


@claim(
    id="C11", paper=PAPER, place="§3.2", experiment="figure2_right", published="generalizes",
    runs=lambda run: run.task.operation == "division_or_subtraction" and run.task.train_fraction == 0.9,
    expects=lambda run: {"generalized_at": 5_000},
)  # fmt: skip
def division_or_subtraction_generalizes(table: pl.DataFrame) -> Judgment:
    """x / y if y is odd, otherwise x − y, does generalize (Power et al. 2022).

    Rule: at one fraction, most of three seeds or more generalize within 10⁵ updates (reproduced). Not reproduced if at 90 % or more three seeds or more have
    10⁵ updates and most have not.

    Parts: one fraction is enough, but "most" is of all runs there, those that stopped early too; and with more data it may not stop to
    generalize: a larger fraction at which most of two seeds have not, in 10⁵ updates, leaves it undecided.
    """
    runs = part(table, setting="x / y if y is odd, else x − y")
    counts = {
        at: count(part(runs, train_fraction=at), BUDGET) for at in (sorted(set(runs["train_fraction"].to_list())) if runs.height else [])
    }
    lines = tuple(
        f"{told_percent(at)}: {found.reached} of {found.runs} seeds, {told_median(center(sample_of(part(runs, train_fraction=at))).median)}"
        for at, found in counts.items()
    )
    facts: dict[str, Any] = {"quantity": "steps to 99 % validation accuracy", "runs": runs.height, "details": lines}
    enough = {at: found for at, found in counts.items() if seeds_in(part(runs, train_fraction=at)) >= 3}
    works = [at for at, found in enough.items() if found.is_most]
    fails = [at for at, found in enough.items() if found.failed > found.runs / 2]
    lost_beyond = [at for at, found in counts.items() if found.failed >= 2 and found.failed > found.runs / 2]
    if works and not any(at > works[0] for at in lost_beyond):
        at = works[0]
        found = center(sample_of(part(runs, train_fraction=at)))
        reason = f"{counts[at].reached} of {counts[at].runs} seeds at {told_percent(at)} generalized"
        return Judgment(verdict="reproduced", reason=reason, settled=True, value=found.median, interval=(found.lower, found.upper), **facts)
    lost = [at for at in fails if at >= 0.9 - 1e-9]
    if lost and not works:
        reason = f"{counts[lost[-1]].failed} of {counts[lost[-1]].runs} seeds at {told_percent(lost[-1])} did not within 10⁵ updates"
        return Judgment(verdict="not reproduced", reason=reason, settled=True, **facts)
    settled = False if any(found.open for found in counts.values()) else None
    if works:
        return undecided("most generalize at one fraction and most do not at a larger one; " + "; ".join(lines), settled=settled, **facts)
    told = "; ".join(lines) or "none was run"
    return undecided(f"no fraction has three seeds of which most generalized; {told}", settled=settled, **facts)


@claim(id="C12", paper=PAPER, place="§3.2", experiment=None, published="the same task")
def multiplication_is_addition_renamed() -> Judgment:
    """Addition mod p − 1 and multiplication mod p are the same task up to the names of their elements (Power et al. 2022).

    Rule, by arithmetic, for every odd prime p up to 97: with g a primitive root, naming k mod p − 1 by g^k mod p turns the table of addition into that
    of multiplication, cell by cell.

    Parts: every prime, and every cell of its table.
    """
    from groklab.data.cyclic import powers_of_root
    from groklab.data.tables import table_of

    primes = [p for p in range(3, 98) if all(p % q for q in range(2, int(p**0.5) + 1))]
    cells = 0
    for p in primes:
        addition, multiplication = (
            table_of(Run.of(operation=name, modulus=n).task) for name, n in (("addition", p - 1), ("multiplication", p))
        )
        product = {
            (multiplication.elements[x], multiplication.elements[y]): multiplication.elements[z]
            for x, y, z in zip(multiplication.x, multiplication.y, multiplication.z, strict=True)
        }
        names = {str(k): str(power) for k, power in enumerate(powers_of_root(p).tolist())}
        renamed = {
            (names[addition.elements[x]], names[addition.elements[y]]): names[addition.elements[z]]
            for x, y, z in zip(addition.x, addition.y, addition.z, strict=True)
        }
        if renamed != product:
            return Judgment(verdict="not reproduced", reason=f"the tables differ at p = {p}", quantity="cells that agree")
        cells += len(product)
    return Judgment(
        verdict="reproduced", reason=f"all {cells:,} cells of {len(primes)} primes agree", value=float(cells), quantity="cells that agree"
    )


@claim(id="C22", paper=PAPER, place="A.1.2", experiment=None, published="4·10⁵")
def the_network_has_four_hundred_thousand_parameters() -> Judgment:
    """The network has about 4·10⁵ parameters besides embeddings (Power et al. 2022).

    Rule, by arithmetic: the count of the default run, embedding and output layer left out, lies within 5 % of 4·10⁵.

    Parts: one, a number.
    """
    values = Run().resolved()
    width, hidden = values["width"], values["mlp_width"]
    count = values["layers"] * (4 * width**2 + 2 * width * hidden + 2 * 2 * width)
    near = abs(count - 4e5) <= 0.05 * 4e5
    reason = f"{values['layers']} blocks of 4·{width}² (attention), 2·{width}·{hidden} (MLP) and 4·{width} (LayerNorm) parameters"
    return Judgment(
        verdict="reproduced" if near else "not reproduced",
        reason=reason,
        value=float(count),
        quantity="parameters without embedding and output layer",
    )
