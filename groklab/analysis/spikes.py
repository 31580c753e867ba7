"""Spikes of the training loss, and slingshots: spikes that come with a burst of growth of the weights (Thilak et al. 2022).

A *spike* is where the loss rises above a multiple of its running median and falls below it again. A *slingshot* is one that a rapid
growth of the weights leads to and a plateau of their norm follows; Thilak et al. describe it, and put no numbers to it, so that
those here are groklab's.

A history knows the loss at its evaluations only, logarithmically spaced unless a run says otherwise: spikes between two of them
are not seen, and where one begins and ends is known to their spacing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from groklab.text.values import shown

Numbers = NDArray[np.float64]

SCHEMA = {
    "step": pl.Int64,
    "started": pl.Int64,
    "ended": pl.Int64,
    "width": pl.Int64,
    "height": pl.Float64,
    "baseline": pl.Float64,
    "ratio": pl.Float64,
}
GROWTH = {"growth": pl.Float64, "growth_after": pl.Float64, "is_slingshot": pl.Boolean}


def spikes(history: pl.DataFrame, *, column: str = "train_loss", factor: float = 5.0, window: int = 5, floor: float = 1e-3) -> pl.DataFrame:
    """Spikes of a history, or of those of many runs where it has a column ``run``: a row each, in the order of their steps.

    The baseline is the median of the ``window`` evaluations before that are not of a spike, or ``floor`` where that is larger (rises
    from 10⁻⁷ to 10⁻⁵ are noise of what is learned). A spike begins where the column is more than ``factor`` times the baseline and ends
    where it is not any more; what never falls again is a change of level and no spike. Columns: ``run`` where there is one, ``step``
    and ``height`` of the peak, ``started`` (first evaluation above), ``ended`` (first one below again), ``width`` (ended − started, in
    steps), ``baseline`` and ``ratio`` (height ÷ baseline). ValueError where a column is missing or a setting is out of range.
    """
    _check(history, ("step", column), factor=factor, window=window, floor=floor)
    rows = [
        named | _told(spike)
        for named, steps, values in _curves(history, column)
        for spike in _found(steps, values[0], factor, window, floor)
    ]
    return pl.DataFrame(rows, schema=_named(history) | SCHEMA)


def slingshots(
    history: pl.DataFrame,
    *,
    norm: str = "weight_norm",
    least_growth: float = 0.01,
    column: str = "train_loss",
    factor: float = 5.0,
    window: int = 5,
    floor: float = 1e-3,
) -> pl.DataFrame:
    """The table of `spikes` with the growth of a norm around each and whether it is a slingshot (after Thilak et al. 2022).

    ``norm`` names the column of the norm; Thilak et al. watch the last layer's, ``matrix_norms.output``. ``growth`` is the change of
    log norm from ``window`` evaluations before the spike to its end, ``growth_after`` that over the ``window`` evaluations after
    it (null where the history ends there). A slingshot has a ``growth`` of ``least_growth`` or more, and grows afterwards less than half as
    fast by the step; null where nothing is known of afterwards.
    """
    _check(history, ("step", column, norm), factor=factor, window=window, floor=floor)
    if not least_growth >= 0:
        raise ValueError(f"least_growth: got {shown(least_growth)}; expected a change of the logarithm of the norm, 0 or more.")
    rows: list[dict[str, Any]] = []
    for named, steps, (losses, norms) in _curves(history, column, norm):
        if not (norms > 0).all():
            raise ValueError(f"{norm}: got values that are not positive; expected norms. Choose another column.")
        found = _found(steps, losses, factor, window, floor)
        rows += [named | _told(spike) | _growth(spike, steps, np.log(norms), window, least_growth) for spike in found]
    return pl.DataFrame(rows, schema=_named(history) | SCHEMA | GROWTH)


class _Spike(NamedTuple):
    """Places of a spike in the history."""

    first: int
    """First evaluation above."""
    end: int
    """First one that is not."""
    steps: NDArray[np.int64]
    values: Numbers
    baseline: float


def _found(steps: NDArray[np.int64], values: Numbers, factor: float, window: int, floor: float) -> list[_Spike]:
    """All spikes of one curve."""
    quiet: list[float] = []  # the evaluations before that are not of a spike
    found: list[_Spike] = []
    i = 0
    while i < len(values):
        if len(quiet) >= window:
            baseline = max(float(np.median(quiet[-window:])), floor)
            below = np.flatnonzero(values[i:] <= factor * baseline)
            if values[i] > factor * baseline and len(below):
                found.append(_Spike(i, i + int(below[0]), steps, values, baseline))
                i = found[-1].end
                continue
        quiet.append(float(values[i]))  # also where it never falls again: then this is the level from here on
        i += 1
    return found


def _told(spike: _Spike) -> dict[str, Any]:
    peak = spike.first + int(np.argmax(spike.values[spike.first : spike.end]))
    started, ended, height = int(spike.steps[spike.first]), int(spike.steps[spike.end]), float(spike.values[peak])
    return {
        "step": int(spike.steps[peak]),
        "started": started,
        "ended": ended,
        "width": ended - started,
        "height": height,
        "baseline": spike.baseline,
        "ratio": height / spike.baseline,
    }


def _growth(spike: _Spike, steps: NDArray[np.int64], logs: Numbers, window: int, least: float) -> dict[str, Any]:
    before, after = max(spike.first - window, 0), min(spike.end + window, len(logs) - 1)
    growth = float(logs[spike.end] - logs[before])
    if after == spike.end:
        return {"growth": growth, "growth_after": None, "is_slingshot": None if growth >= least else False}
    later = float(logs[after] - logs[spike.end])
    speed, speed_later = growth / float(steps[spike.end] - steps[before]), later / float(steps[after] - steps[spike.end])
    return {"growth": growth, "growth_after": later, "is_slingshot": growth >= least and speed_later < speed / 2}


def _curves(history: pl.DataFrame, *columns: str) -> list[tuple[dict[str, Any], NDArray[np.int64], list[Numbers]]]:
    """Of every run its name, its steps in their order, and the columns, where all of them are known."""
    groups = history.group_by("run", maintain_order=True) if "run" in history.columns else [(None, history)]
    found: list[tuple[dict[str, Any], NDArray[np.int64], list[Numbers]]] = []
    for name, rows in groups:
        known = rows.select("step", *columns).drop_nulls().sort("step")
        values = [known[column].cast(pl.Float64).to_numpy() for column in columns]
        is_finite = np.logical_and.reduce([np.isfinite(value) for value in values])
        steps = known["step"].cast(pl.Int64).to_numpy()[is_finite]
        found.append(({} if name is None else {"run": name[0]}, steps, [value[is_finite] for value in values]))
    return found


def _named(history: pl.DataFrame) -> dict[str, Any]:
    return {"run": history.schema["run"]} if "run" in history.columns else {}


def _check(history: pl.DataFrame, columns: Sequence[str], *, factor: float, window: int, floor: float) -> None:
    missing = [name for name in columns if name not in history.columns]
    if missing:
        raise ValueError(
            f"history: got no column {shown(missing[0])}; expected one of {', '.join(history.columns)}. Measures that training does not record are "
            "taken of checkpoints by `groklab measure`."
        )
    if not (math.isfinite(factor) and factor > 1):
        raise ValueError(f"factor: got {shown(factor)}; expected a number above 1, by which a spike exceeds the running median.")
    if isinstance(window, bool) or not isinstance(window, int) or window < 1:
        raise ValueError(f"window: got {shown(window)}; expected a whole number of evaluations from 1 on.")
    if not (math.isfinite(floor) and floor > 0):
        raise ValueError(f"floor: got {shown(floor)}; expected a positive loss, below which nothing counts as a baseline.")
