"""How much more of its table one task needs than another, from how long both take at the same fractions.

Near any fraction the logarithm of steps falls about linearly with it (Power et al. 2022, Figure 1 center). For two tasks,

    log steps = a₁ − B·f + σ·ε     and     log steps = a₂ − B·f + σ·ε,

the first needs (a₁ − a₂) / B more of its table to take as many steps as the second. That is a difference in data which does not depend
on the budget, and it is known more finely than the fractions that were tried. Censored runs count by the chance to take longer (Tobin 1958,
see ``fits``). Intervals are of the bootstrap over seeds, a seed drawn for both tasks and all its fractions at once. Few seeds drawn again vary
less than new ones would: each end is moved away from the estimate by the factor √(n / (n − 1)) · t / z, with n seeds and the quantiles of
Student's distribution with n − 1 degrees of freedom and of the normal one (Hesterberg 2015, §5.3).
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from groklab.analysis.fits import least_scatter, maximum
from groklab.analysis.statistics import steps_by_fraction, with_results
from groklab.analysis.survival import LEVEL, Interval, Numbers, finite, percentiles


class Shift(NamedTuple):
    """By how much two tasks differ in the data that they need."""

    fraction: float
    """Of the table: what the first needs more than the second."""
    interval: Interval
    rate: float
    """B: by how much log steps fall per unit of fraction."""
    runs: int


def fraction_shift(first: pl.DataFrame, second: pl.DataFrame, *, level: float = LEVEL, resamples: int = 1000, seed: int = 0) -> Shift:
    """What the first task needs more of its table than the second, in train fraction.

    Each table has a row per run, with ``train_fraction``, ``seed``, ``generalized_at``, ``steps``. ValueError where the tasks share fewer than two
    fractions, or the runs that generalized do not tell how steps depend on the fraction and on the task, or steps do not fall with the fraction.
    Seeds drawn again that do not tell it count as unbounded on both sides, and an end that they reach is open.
    """
    shared = sorted(set(first["train_fraction"].to_list()) & set(second["train_fraction"].to_list()))
    if len(shared) < 2:
        raise ValueError(f"fraction_shift: got {len(shared)} fractions at which both tasks ran; expected two or more.")
    tables = [table.filter(pl.col("train_fraction").is_in(shared)) for table in (first, second)]
    runs = [_columns(with_results(table, *tables)) for table in tables]
    for columns in runs:
        if columns["reached"].sum() < 2:
            raise ValueError("fraction_shift: got a task of which fewer than two runs generalized; expected two or more. Train longer.")
    found, rate = _shift(*runs)
    seeds = [np.unique(columns["seed"]) for columns in runs]
    paired = np.array_equal(seeds[0], seeds[1])
    stream, drawn = np.random.default_rng(seed), np.full(resamples, np.nan)
    for place in range(resamples):
        picks = [stream.choice(seeds[0], len(seeds[0]))]
        picks.append(picks[0] if paired else stream.choice(seeds[1], len(seeds[1])))
        again = [_drawn(columns, chosen) for columns, chosen in zip(runs, picks, strict=True)]
        with contextlib.suppress(ValueError):
            drawn[place] = _shift(*again)[0]
    # A draw that tells nothing may lie on either side: it counts as below all others for the lower end, and above for the upper.
    low = percentiles(np.sort(np.where(np.isnan(drawn), -np.inf, drawn)), level)[0]
    high = percentiles(np.sort(np.where(np.isnan(drawn), np.inf, drawn)), level)[1]
    wider = _widening(min(len(one) for one in seeds), level)
    low, high = found - wider * (found - low), found + wider * (high - found)
    total = sum(len(columns["seed"]) for columns in runs)
    return Shift(found, Interval(finite(low), finite(high), level, "bootstrap"), rate, total)


def _widening(seeds: int, level: float) -> float:
    """By how much an interval of the bootstrap over so few seeds is too narrow."""
    from scipy.special import ndtri, stdtrit

    if seeds < 2:
        return math.inf
    tail = (1 + level) / 2
    return math.sqrt(seeds / (seeds - 1)) * float(stdtrit(seeds - 1, tail)) / float(ndtri(tail))


def _columns(known: pl.DataFrame) -> dict[str, NDArray[np.float64]]:
    fractions, sample, runs = steps_by_fraction(known)
    if (sample.steps <= 0).any():
        raise ValueError("fraction_shift: got a run of 0 steps, which has no logarithm; expected runs that took a step or more.")
    return {
        "fraction": fractions,
        "seed": runs["seed"].to_numpy(),
        "log_steps": np.log(sample.steps),
        "reached": sample.reached.astype(np.float64),
    }


def _drawn(columns: Mapping[str, NDArray[np.float64]], seeds: Numbers) -> dict[str, NDArray[np.float64]]:
    """The runs of the seeds drawn, as often as each was."""
    rows = np.concatenate([np.flatnonzero(columns["seed"] == seed) for seed in seeds])
    return {name: values[rows] for name, values in columns.items()}


def _shift(first: Mapping[str, NDArray[np.float64]], second: Mapping[str, NDArray[np.float64]]) -> tuple[float, float]:
    fraction, log_steps, reached = (np.concatenate([first[name], second[name]]) for name in ("fraction", "log_steps", "reached"))
    middle, offset = float(fraction.mean()), float(log_steps.mean())
    is_first = np.concatenate([np.ones(len(first["fraction"])), np.zeros(len(second["fraction"]))])
    design = np.stack([np.ones_like(fraction), fraction - middle, is_first], axis=1)
    got_there = reached.astype(np.bool_)
    if np.linalg.matrix_rank(design[got_there]) < design.shape[1]:
        # Censored runs alone bound the line on one side: its likelihood grows the steeper it is, without a maximum.
        raise ValueError(
            "fraction_shift: got runs that generalized at one fraction only, or each task's at another; expected both tasks to at one and "
            "either of them at a second. Train longer."
        )
    _, slope, apart = maximum(log_steps - offset, got_there, design, least_scatter()).coefficients
    if slope >= 0:
        raise ValueError(
            "fraction_shift: got steps that do not fall with the train fraction; expected a task that is learned sooner from more data."
        )
    return apart / -slope, -slope
