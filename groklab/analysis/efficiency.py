"""How much data a task needs: the train fraction from which on half of the seeds generalize within the budget.

The share of seeds that generalize is taken to rise with the train fraction (isotonic regression: Ayer et al. 1955, Barlow et al. 1972),
so that one lucky seed at a small fraction does not decide. The splits of one seed are nested across fractions, and a seed that is
slow at one tends to be slow at the next: what is independent is seeds, not cells, and seeds are what is drawn again for intervals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from groklab.analysis.statistics import WATCHED, rows_by_setting, with_results
from groklab.analysis.survival import LEVEL, ROUNDING, Interval, Numbers, check_share, finite, order_ranks, percentiles
from groklab.text.numbers import given
from groklab.text.values import shown

Method = Literal["bootstrap", "exact"]


class Bracket(NamedTuple):
    """Two neighboring fractions that were tried, between which the share of seeds crosses the one asked for."""

    above: float | None
    """The largest at which too few seeds generalize; None: enough do at the smallest that was tried."""
    up_to: float | None
    """The smallest at which enough do; None: too few do at the largest that was tried."""


@dataclass(frozen=True)
class Efficiency:
    """How much data a task needs."""

    fraction: float | None
    """Where the isotonic share crosses the one asked for, linearly between the fractions tried; None: below or above all of them."""
    bracket: Bracket
    """The fractions tried on either side; which of them is None tells on which side of all of them the needed one lies."""
    interval: Interval
    """Confidence interval, its ends fractions that were tried; None: below the smallest or above the largest, or too few seeds."""
    shares: pl.DataFrame
    """A row per fraction: ``train_fraction``, ``seeds``, ``generalized`` (how many), ``share`` (isotonic)."""
    seeds: int


class Difference(NamedTuple):
    """By how much two tasks differ in the data that they need."""

    fraction: float | None
    """The first's − the second's; None where one of them is not known."""
    interval: Interval
    """An open end: one of them lies above all fractions that were tried."""


@dataclass(frozen=True)
class _Grid:
    """Outcomes as a matrix, seeds by fractions."""

    fractions: Numbers
    seeds: list[Any]
    tried: NDArray[np.bool_]
    generalized: NDArray[np.bool_]

    def crossings(self, drawn: NDArray[np.int64], share: float) -> NDArray[np.int64]:
        """For each row of how often every seed is drawn: how many fractions lie below the needed one."""
        return np.array([int((self.isotonic(row)[1] < share - ROUNDING).sum()) for row in drawn], dtype=np.int64)

    def isotonic(self, drawn: NDArray[np.int64]) -> tuple[Numbers, Numbers]:
        """Seeds at each fraction, and the rising share of them that generalizes; a fraction that none tried goes with the one below."""
        from scipy.optimize import isotonic_regression

        seeds, successes = drawn @ self.tried, drawn @ (self.tried & self.generalized)
        some = seeds > 0
        rising = np.zeros(len(seeds))
        rising[some] = isotonic_regression(successes[some] / seeds[some], weights=seeds[some].astype(np.float64)).x
        return seeds.astype(np.float64), np.maximum.accumulate(rising)

    def ends(self, crossings: NDArray[np.int64]) -> tuple[Numbers, Numbers]:
        """The fractions around each crossing; 0 below the smallest and infinite above the largest."""
        around = np.concatenate([[0.0], self.fractions, [np.inf]])
        return around[crossings], around[crossings + 1]


def data_efficiency(
    table: pl.DataFrame,
    *,
    share: float = 0.5,
    within: int | None = None,
    level: float = LEVEL,
    method: Method = "bootstrap",
    resamples: int = 2000,
    seed: int = 0,
) -> Efficiency:
    """The smallest train fraction at which a share of seeds generalizes within the budget.

    The table holds the runs of one task: one row for each ``train_fraction`` and ``seed``, and the columns of ``analysis.statistics``. ``within``
    is the budget in steps, if it is not the one the runs were trained with; runs that ended before it, neither generalized nor
    diverged, are left out. Without it, runs that are still going or were interrupted are, unless they have generalized.

    ``bootstrap``: percentiles of the bracket over seeds drawn again; the lower end is a bracket's lower, the upper its upper fraction,
    so that an interval is never finer than the fractions that were tried. Three to five seeds are few to draw from: where the fractions
    lie closer together than the seeds' own thresholds, it covers less than it says.
    ``exact``: fractions are tested from the smallest upwards, by the binomial distribution, as long as so few seeds would generalize in at
    most (1 − level) / 2 of cases if the share were large enough; the last of them is the lower end, and the upper is found likewise from
    above. Each end errs in one test at most, so that the level holds for any number of seeds; fewer than five have no end at 90 %.
    """
    if method not in ("bootstrap", "exact"):
        raise ValueError(f"data_efficiency: got method {shown(method)}; expected bootstrap or exact.")
    check_share("share", share)
    check_share("level", level)
    grid = _grid(table, within)
    once = np.ones((1, len(grid.seeds)), dtype=np.int64)
    crossing = int(grid.crossings(once, share)[0])
    seeds, rising = grid.isotonic(once[0])
    below, above = grid.ends(np.array([crossing]))
    if method == "exact":
        low, high = _tested(grid, share, level)
    else:
        drawn = _draws(len(grid.seeds), resamples, np.random.default_rng(seed))
        lower, upper = grid.ends(_distinct_crossings(grid, drawn, share))
        low, high = percentiles(np.sort(lower), level)[0], percentiles(np.sort(upper), level)[1]
    return Efficiency(
        fraction=_interpolated(grid.fractions, rising, crossing, share),
        bracket=Bracket(float(below[0]) or None, finite(above[0])),
        interval=Interval(low or None, finite(high), level, method),
        shares=pl.DataFrame(
            {
                "train_fraction": grid.fractions,
                "seeds": seeds.astype(np.int64),
                "generalized": (grid.tried & grid.generalized).sum(axis=0),
                "share": rising,
            }
        ),
        seeds=len(grid.seeds),
    )


def efficiencies(
    table: pl.DataFrame,
    by: Sequence[str] = (),
    *,
    share: float = 0.5,
    within: int | None = None,
    level: float = LEVEL,
    method: Method = "bootstrap",
) -> pl.DataFrame:
    """How much data each setting needs, a row each: ``data_efficiency`` of its runs.

    ``runs``, ``seeds`` and ``fractions`` are how many there are, ``smallest`` and ``largest`` the ends of the fractions that were tried.
    ``fraction`` is what is needed, ``above`` and ``up_to`` its bracket, ``lower`` and ``upper`` its confidence interval (null: open).
    Where there is no number, ``why`` says why: it lies outside the fractions that were tried, or cannot be computed.
    """
    if "train_fraction" in by:
        raise ValueError("efficiencies: got by train_fraction; expected other columns, as efficiency is over the fractions of a setting.")
    missing = [name for name in ("train_fraction", "seed", *by) if name not in table.columns]
    if missing:
        raise ValueError(f"efficiencies: got a table without {', '.join(missing)}; expected one row per run with these columns.")
    check_share("share", share)
    check_share("level", level)
    rows: list[dict[str, Any]] = []
    for key, which in rows_by_setting(table, by).items():
        row: dict[str, Any] = {**dict(zip(by, key, strict=True)), "runs": len(which)}
        try:
            found = data_efficiency(table[which], share=share, within=within, level=level, method=method)
        except ValueError as error:
            rows.append(row | {"why": str(error)})
            continue
        tried = found.shares["train_fraction"].to_list()
        row |= {"runs": found.shares["seeds"].sum(), "seeds": found.seeds, "fractions": len(tried)}
        row |= {"smallest": tried[0], "largest": tried[-1], "fraction": found.fraction}
        row |= {"above": found.bracket.above, "up_to": found.bracket.up_to}
        rows.append(row | {"lower": found.interval.lower, "upper": found.interval.upper, "why": _why_outside(found, share)})
    schema: dict[str, Any] = {name: table.schema[name] for name in by} | dict.fromkeys(("runs", "seeds", "fractions"), pl.Int64)
    schema |= dict.fromkeys(("smallest", "largest", "fraction", "above", "up_to", "lower", "upper"), pl.Float64)
    return pl.DataFrame(rows, schema={**schema, "why": pl.String})


def _why_outside(found: Efficiency, share: float) -> str | None:
    """In words that the needed fraction lies outside all that were tried; None where it does not."""
    tried = found.shares["train_fraction"]
    if found.bracket.up_to is None:
        return f"less than {given(share)} of seeds generalize at the largest fraction tried, {tried[-1]:g}"
    if found.bracket.above is None:
        return f"{given(share)} of seeds or more generalize at the smallest fraction tried, {tried[0]:g}"
    return None


def efficiency_difference(
    first: pl.DataFrame,
    second: pl.DataFrame,
    *,
    share: float = 0.5,
    within: int | None = None,
    level: float = LEVEL,
    resamples: int = 2000,
    seed: int = 0,
) -> Difference:
    """How much more of its table one task needs than another: the difference of their data efficiencies, by the bootstrap over seeds.

    Where both tasks were trained with the same seeds, a seed is drawn for both at once. Brackets are subtracted at their far ends: two
    tasks that change between the same two fractions differ by less than the distance of these, in either direction.
    """
    needed = [data_efficiency(table, share=share, within=within, level=level, resamples=1).fraction for table in (first, second)]
    grids = [_grid(table, within) for table in (first, second)]
    stream = np.random.default_rng(seed)
    draws = [_draws(len(grids[0].seeds), resamples, stream)]
    draws.append(draws[0] if grids[0].seeds == grids[1].seeds else _draws(len(grids[1].seeds), resamples, stream))
    (low1, high1), (low2, high2) = (grid.ends(_distinct_crossings(grid, drawn, share)) for grid, drawn in zip(grids, draws, strict=True))
    low, high = percentiles(np.sort(low1 - high2), level)[0], percentiles(np.sort(high1 - low2), level)[1]
    difference = None if needed[0] is None or needed[1] is None else needed[0] - needed[1]
    return Difference(difference, Interval(finite(low), finite(high), level, "bootstrap"))


def still_going(table: pl.DataFrame) -> pl.Series:
    """Which runs of a table may yet generalize: not ended by their budget, by their stop rule or by diverging."""
    if "status" not in table.columns:
        return pl.Series(np.zeros(table.height, dtype=np.bool_))
    return table["status"].is_in(["running", "interrupted"]).fill_null(value=False) & table["generalized_at"].is_null()


def _grid(table: pl.DataFrame, within: int | None) -> _Grid:
    missing = [name for name in ("train_fraction", "seed") if name not in table.columns]
    if missing:
        raise ValueError(f"data_efficiency: got a table without {', '.join(missing)}; expected a row for each fraction and seed.")
    known = with_results(table).with_columns(generalized=pl.col("generalized_at").is_not_null())
    if within is None:
        known = known.filter(~still_going(known))
    else:
        in_time = (pl.col("generalized_at") <= within).fill_null(value=False)
        never = pl.col("status") == "diverged" if "status" in known.columns else pl.lit(value=False)
        known = known.filter(in_time | never | (pl.col(WATCHED) >= within)).with_columns(generalized=in_time)
    if known.is_empty():
        raise ValueError("data_efficiency: got no run with results up to the budget; expected at least one.")
    twice = known.filter(pl.struct("train_fraction", "seed").is_duplicated())
    if not twice.is_empty():
        cell = twice.row(0, named=True)
        raise ValueError(
            f"data_efficiency: got several runs of fraction {cell['train_fraction']} and seed {cell['seed']}; expected one. "
            "Select one setting of the sweep."
        )
    fractions, seeds = known["train_fraction"].unique().sort(), known["seed"].unique().sort().to_list()
    tried = np.zeros((len(seeds), len(fractions)), dtype=np.bool_)
    generalized = tried.copy()
    places = (
        known["seed"].replace_strict(seeds, list(range(len(seeds)))).to_numpy(),
        fractions.search_sorted(known["train_fraction"]).to_numpy(),
    )
    tried[places], generalized[places] = True, known["generalized"].to_numpy()
    return _Grid(fractions.cast(pl.Float64).to_numpy(), seeds, tried, generalized)


def _draws(seeds: int, resamples: int, stream: np.random.Generator) -> NDArray[np.int64]:
    return stream.multinomial(seeds, np.full(seeds, 1 / seeds), size=resamples)


def _distinct_crossings(grid: _Grid, drawn: NDArray[np.int64], share: float) -> NDArray[np.int64]:
    """Crossings of many draws, each different one computed once: three seeds can be drawn in ten ways only."""
    different, which = np.unique(drawn, axis=0, return_inverse=True)
    return grid.crossings(different, share)[which.ravel()]


def _tested(grid: _Grid, share: float, level: float) -> tuple[float, float]:
    """The ends of the exact interval: tests from the outermost fractions inwards, until the first that does not reject."""
    seeds, successes = grid.tried.sum(axis=0), (grid.tried & grid.generalized).sum(axis=0)
    ranks = [order_ranks(int(runs), share, level) for runs in seeds]
    low = high = 0
    # P(K ≤ k) is small if k < l, P(K ≥ k) if k ≥ u, where K is binomial(seeds, share) and l, u are the ranks
    while low < len(seeds) and successes[low] < ranks[low][0]:
        low += 1
    while high < len(seeds) and successes[-1 - high] >= ranks[-1 - high][1]:
        high += 1
    return float(grid.fractions[low - 1]) if low else 0.0, float(grid.fractions[-high]) if high else np.inf


def _interpolated(fractions: Numbers, rising: Numbers, crossing: int, share: float) -> float | None:
    if crossing in (0, len(fractions)):
        return None
    (x0, x1), (y0, y1) = fractions[crossing - 1 : crossing + 1], rising[crossing - 1 : crossing + 1]
    return float(x0 + (share - y0) / (y1 - y0) * (x1 - x0))
