"""Claims of Power et al. 2022 about which tables need how much data, C8 to C12, and about the size of the network, C22."""

from __future__ import annotations

import math
from typing import Any

import polars as pl

from groklab.analysis.claims import (
    FEWEST,
    Judgment,
    center,
    largest,
    part,
    seeds_in,
    sooner,
    told_median,
    told_p,
    told_percent,
    told_steps,
    undecided,
)
from groklab.analysis.shifts import fraction_shift
from groklab.analysis.statistics import sample_of
from groklab.config.run import Run
from groklab.registry import claim

PAPER = "Power et al. 2022"

PAIRS: tuple[tuple[str, str, float, int], ...] = (
    ("x + y", "x − y", 0.5, 6_000),
    ("x · y", "x / y", 0.5, 6_000),
    ("x² + xy + y²", "x² + xy + y² + x", 0.9, 6_000),
)
"""A symmetric operation, its asymmetric counterpart, the fraction at which they are compared and the steps, chosen beforehand."""

MARGIN = 0.05
"""Two tasks need the same data if the interval of the difference lies within this much of the table."""

_OPERATIONS = {
    "x + y": "addition", "x − y": "subtraction", "x · y": "multiplication", "x / y": "division",
    "x² + xy + y²": "quadratic_form", "x² + xy + y² + x": "quadratic_form_plus_x",
}  # fmt: skip


_SYMMETRIC = ("addition", "multiplication", "quadratic_form")


def _in_a_pair(run: Run) -> bool:
    return any(run.task.operation in (_OPERATIONS[a], _OPERATIONS[b]) and run.task.train_fraction == f for a, b, f, _ in PAIRS)


@claim(
    id="C8", paper=PAPER, place="Figure 2 right", experiment="figure2_right", published="less data", runs=_in_a_pair,
    expects=lambda run: {"generalized_at": 1_000 if run.task.operation in _SYMMETRIC else 3_000},
)  # fmt: skip
def symmetric_operations_need_less_data(table: pl.DataFrame) -> Judgment:
    """Symmetric operations need less data than their asymmetric counterparts (Power et al. 2022).

    Rule: x + y against x − y and x·y against x/y at 50 % of the table, x² + xy + y² against x² + xy + y² + x at 90 %, within 6,000 steps, five
    seeds a side; the exact log-rank test stratified by pair. x² + y² has no counterpart of its own and is told beside them.
    """
    strata: list[tuple[pl.DataFrame, pl.DataFrame]] = []
    lines: list[str] = []
    for first, second, fraction, budget in PAIRS:
        runs = [part(table, setting=name, train_fraction=fraction, budget=budget) for name in (first, second)]
        if not all(one.height for one in runs):
            lines.append(f"{first} against {second} at {told_percent(fraction)}: not both have been run")
            continue
        strata.append((runs[0], runs[1]))
        alone = sooner([strata[-1]])
        medians = [told_steps(center(sample_of(one)).median) for one in runs]
        lines.append(
            f"{first} against {second} at {told_percent(fraction)}: median {medians[0]} against {medians[1]} ({runs[0].height} and {runs[1].height} seeds), {told_p(alone.p_value)}"
        )
    squares = part(table, setting="x² + y²", train_fraction=0.5, budget=6_000)
    if squares.height:
        lines.append(f"x² + y² at 50 %: median {told_steps(center(sample_of(squares)).median)} ({squares.height} seeds)")
    found = sooner(strata)
    runs_in_all = sum(a.height + b.height for a, b in strata)
    complete = len(strata) == len(PAIRS) and found.fewest >= FEWEST
    return Judgment(
        verdict=found.verdict if complete else "undecided",
        reason=f"symmetric sooner in {len(strata)} pairs of {found.fewest} seeds or more a side: {told_p(found.p_value)}"
        + ("" if complete else "; five seeds a side of all three pairs decide"),
        value=found.p_value,
        quantity="one-sided exact p of the stratified log-rank test",
        runs=runs_in_all,
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
    if low is not None and high is not None and low >= -MARGIN and high <= MARGIN:
        return Judgment(verdict="reproduced", reason="the interval lies within ±0.05", **facts)
    if (low is not None and low > MARGIN) or (high is not None and high < -MARGIN):
        return Judgment(verdict="not reproduced", reason="the interval lies outside ±0.05", **facts)
    return undecided("the interval is too wide", **facts)


@claim(
    id="C10", paper=PAPER, place="Figure 2 right", experiment="figure2_right", published="at no fraction within 10⁵",
    runs=lambda run: run.task.operation == "cubic_xyy_plus_y" and run.task.train_fraction >= 0.95,
    expects=lambda run: {},
)  # fmt: skip
def one_cubic_is_never_learned(table: pl.DataFrame) -> Judgment:
    """x³ + xy² + y (mod 97) does not generalize within 10⁵ updates at any fraction up to 95 % (Power et al. 2022).

    Rule: at 95 %, where it would if anywhere, three seeds of 10⁵ updates: none reaches 99 % (reproduced). Not reproduced if two seeds or more,
    at any fraction, do.
    """
    runs = part(table, setting="x³ + xy² + y")
    reached = runs.filter(pl.col("generalized_at") <= 100_000)
    value = largest(runs["best_validation_accuracy"])
    facts: dict[str, Any] = {"value": value, "quantity": "best validation accuracy of any run", "runs": runs.height}
    if seeds_in(reached) >= 2:
        fractions = ", ".join(map(told_percent, sorted(set(reached["train_fraction"].to_list()))))
        return Judgment(verdict="not reproduced", reason=f"{reached.height} runs generalized, at {fractions}", **facts)
    full = part(runs, train_fraction=0.95, budget=100_000) if runs.height else runs
    if seeds_in(full) >= 3 and not reached.height:
        return Judgment(verdict="reproduced", reason=f"none of {full.height} seeds at 95 % generalized in 10⁵ updates", **facts)
    longest = part(runs, train_fraction=0.95)
    most = largest(longest["steps"]) or 0
    return undecided(
        f"{seeds_in(full)} of 3 seeds at 95 % have 10⁵ updates (the longest {most:,.0f}), {reached.height} generalized", **facts
    )


@claim(
    id="C11", paper=PAPER, place="§3.2", experiment="figure2_right", published="generalizes",
    runs=lambda run: run.task.operation == "division_or_subtraction" and run.task.train_fraction == 0.9,
    expects=lambda run: {"generalized_at": 5_000},
)  # fmt: skip
def division_or_subtraction_generalizes(table: pl.DataFrame) -> Judgment:
    """x / y if y is odd, otherwise x − y, does generalize (Power et al. 2022).

    Rule: at one fraction, most of three seeds or more generalize within 10⁵ updates (reproduced). Not reproduced if at 90 % or more three seeds or more have
    10⁵ updates and most have not.
    """
    runs = part(table, setting="x / y if y is odd, else x − y")
    lines: list[str] = []
    shares: list[tuple[float, int, int]] = []
    for fraction in sorted(set(runs["train_fraction"].to_list())) if runs.height else []:
        at = part(runs, train_fraction=fraction)
        reached = at.filter(pl.col("generalized_at") <= 100_000).height
        shares.append((fraction, reached, at.height))
        lines.append(f"{told_percent(fraction)}: {reached} of {at.height} seeds, {told_median(center(sample_of(at)).median)}")
    facts: dict[str, Any] = {"quantity": "steps to 99 % validation accuracy", "runs": runs.height, "details": tuple(lines)}
    for fraction, reached, asked in shares:
        if asked >= 3 and reached > asked / 2:
            found = center(sample_of(part(runs, train_fraction=fraction)))
            return Judgment(
                verdict="reproduced", reason=f"{reached} of {asked} seeds at {told_percent(fraction)} generalized",
                value=found.median, interval=(found.lower, found.upper), **facts,
            )  # fmt: skip
    for fraction in (f for f, _, _ in shares if f >= 0.9 - 1e-9):
        full = part(runs, train_fraction=fraction, budget=100_000)
        lost = full["generalized_at"].null_count()
        if seeds_in(full) >= 3 and lost > full.height / 2:
            reason = f"{lost} of {full.height} seeds at {told_percent(fraction)} did not within 10⁵ updates"
            return Judgment(verdict="not reproduced", reason=reason, **facts)
    return undecided("no fraction has three seeds of which most generalized; " + ("; ".join(lines) or "none was run"), **facts)


@claim(id="C12", paper=PAPER, place="§3.2", experiment=None, published="the same task")
def multiplication_is_addition_renamed() -> Judgment:
    """Addition mod p − 1 and multiplication mod p are the same task up to the names of their elements (Power et al. 2022).

    Rule, by arithmetic, for every odd prime p up to 97: with g a primitive root, naming k mod p − 1 by g^k mod p turns the table of addition into that
    of multiplication, cell by cell.
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
