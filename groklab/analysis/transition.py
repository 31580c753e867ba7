"""Where a transition lies and how sharp it is: an error function fitted to an accuracy (Miller et al. 2024, arXiv 2402.08946).

    A(t) = a·erf(s·(t − t*)) + b

Two scales of t, which are two different curves: ``steps``, as Miller et al. have it, with s per step; and ``log10``, the decimal
logarithm of steps, with s per decade, which suits histories that are evaluated at logarithmically spaced steps and delays of orders
of magnitude (there step 0 is left out). Between 16 % and 84 % of the rise lies a width of √2/s.

All evaluations count alike. The plateaus b − a and b + a are kept within [0, 1], as accuracies are. Standard errors are those of
least squares, from the scatter of the residuals; they take the evaluations for independent and the curve for an error function.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple, cast

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import least_squares
from scipy.special import erf, fdtrc

from groklab.text.numbers import percent
from groklab.text.values import shown

Scale = Literal["log10", "steps"]
Numbers = NDArray[np.float64]

LEAST_RISE = 0.1
"""Rise of the accuracy, 2a, below which a history counts as flat."""

FEWEST = 6
"""Evaluations that a curve of four parameters needs."""

LEAST_SHARE = 0.5
"""Share of the variance that the curve must explain; the scatter of a flat history leaves it far less."""

LARGEST_P = 1e-3
"""p value of the F test against a constant from which on a rise counts as chance."""

WATCHED = 0.9
"""Share of its rise that a fitted curve must have made by the last evaluation."""


@dataclass(frozen=True)
class Transition:
    """A fitted transition, or why there is none: then its numbers are None."""

    scale: Scale
    step: float | None = None
    """t*, in steps on both scales."""
    step_error: float | None = None
    """Standard error of t*, in steps; on the scale log10 to first order."""
    center: float | None = None
    """t*, as the scale has it: in steps, or in decades."""
    center_error: float | None = None
    sharpness: float | None = None
    """s, per step or per decade; None where the rise is steeper than the spacing of evaluations shows."""
    sharpness_error: float | None = None
    amplitude: float | None = None
    """a, half of the rise."""
    amplitude_error: float | None = None
    """Given that accuracies end at 0 and 1: a plateau that lies there adds nothing."""
    offset: float | None = None
    """b, the accuracy at t*."""
    offset_error: float | None = None
    residual: float | None = None
    """Root mean square of the residuals, over n − 4."""
    evaluations: int = 0
    why: str | None = None
    """Why there is no transition, or no sharpness; None where all was fitted."""

    @property
    def found(self) -> bool:
        """Whether there is a transition."""
        return self.step is not None

    def at(self, steps: ArrayLike) -> Numbers:
        """The fitted curve at some steps; ValueError where there is none, or no sharpness."""
        if self.center is None or self.sharpness is None or self.amplitude is None or self.offset is None:
            raise ValueError(f"transition: there is no curve to draw: {self.why}.")
        x = np.asarray(steps, dtype=np.float64)
        with np.errstate(divide="ignore"):
            x = np.log10(x) if self.scale == "log10" else x
        return self.amplitude * erf(self.sharpness * (x - self.center)) + self.offset


def fit_transition(steps: ArrayLike, accuracy: ArrayLike, *, scale: Scale = "log10", least_rise: float = LEAST_RISE) -> Transition:
    """The error function of least squares through accuracies at steps, which are equally many and in any order.

    There is no transition where the accuracy is flat (2a below ``least_rise``), falls, scatters so that the curve explains less than
    half of the variance or no more than chance, or where its middle or its end lies outside of what was watched. Where fewer than two evaluations
    lie within the rise (5 to 95 % of it) the curve has no sharpness: t* is then the middle of the rise, interpolated, with the error
    of a uniform distribution between the evaluations around it. ValueError where steps or accuracies are not numbers of that kind.
    """
    t, y = _checked(steps, accuracy, scale, least_rise)
    if scale == "log10":
        t, y = t[t > 0], y[t > 0]
    order = np.argsort(t, kind="stable")
    t, y = t[order], y[order]
    x = np.log10(t) if scale == "log10" else t
    n = len(x)
    if n < FEWEST or len(np.unique(x)) < FEWEST:
        return Transition(scale, evaluations=n, why=f"got {n} evaluations; a fit needs {FEWEST} or more")
    if float(np.ptp(y)) < least_rise:
        return Transition(scale, evaluations=n, why=f"flat: the accuracy changes by {np.ptp(y):.3f}, less than {least_rise:g}")
    curve = _fitted(x, y)
    problem = _problem(curve, x, y, least_rise)
    return Transition(scale, evaluations=n, why=problem) if problem else _transition(curve, x, y, scale)


def transitions(histories: pl.DataFrame, *, scale: Scale = "log10", least_rise: float = LEAST_RISE) -> pl.DataFrame:
    """Transitions of train and validation accuracy of many runs: a row each.

    ``histories`` has the columns ``step``, ``train_accuracy``, ``validation_accuracy`` and, of several runs, ``run``. The table has ``run``,
    ``scale``, every field of `Transition` as ``train_…`` and ``validation_…``, and, null where one of the two is missing,

    - ``relative_gap``: (t*_validation − t*_train) / t*_train, in steps on both scales;
    - ``gap``: log10(t*_validation / t*_train), in decades.

    ValueError where a column is missing.
    """
    needed = ("step", "train_accuracy", "validation_accuracy")
    missing = [name for name in needed if name not in histories.columns]
    if missing:
        raise ValueError(f"histories: got no column {shown(missing[0])}; expected {', '.join(needed)} and, of several runs, run.")
    groups = histories.group_by("run", maintain_order=True) if "run" in histories.columns else [(None, histories)]
    rows: list[dict[str, Any]] = []
    for name, rows_of_run in groups:
        train, validation = (
            _of_column(rows_of_run, column, scale=scale, least_rise=least_rise) for column in ("train_accuracy", "validation_accuracy")
        )
        row = {} if name is None else {"run": name[0]}
        rows.append(row | {"scale": scale} | _named(train, "train") | _named(validation, "validation") | gaps(train, validation)._asdict())
    schema: dict[str, Any] = {"run": histories.schema["run"]} if "run" in histories.columns else {}
    return pl.DataFrame(rows, schema=schema | _SCHEMA)


class Gaps(NamedTuple):
    """How far two transitions lie apart; None where one of them is not there."""

    relative_gap: float | None
    """(t*_validation − t*_train) / t*_train, in steps."""
    gap: float | None
    """log10(t*_validation / t*_train), in decades."""


def gaps(train: Transition, validation: Transition) -> Gaps:
    """How much later the accuracy on validation cells makes its transition than that on training cells (after Miller et al. 2024)."""
    if train.step is None or validation.step is None or train.step <= 0 or validation.step <= 0:
        return Gaps(None, None)
    return Gaps((validation.step - train.step) / train.step, math.log10(validation.step / train.step))


# — the fit —


class _Curve(NamedTuple):
    """A(x) = low + (high − low)·(1 + erf(s(x − center)))/2, which keeps the plateaus apart."""

    center: float
    sharpness: float
    low: float
    high: float

    def share(self, x: Numbers) -> Numbers:
        """Of the rise, by x."""
        return (1 + erf(self.sharpness * (x - self.center))) / 2

    def at(self, x: Numbers) -> Numbers:
        return self.low + (self.high - self.low) * self.share(x)


def _fitted(x: Numbers, y: Numbers) -> _Curve:
    """The least squares, from the best point of a grid of centers and sharpnesses, where the plateaus are a linear problem."""
    span, spacing = float(x[-1] - x[0]), float(np.diff(np.unique(x)).min())
    steepest = 4 / spacing  # beyond that nothing changes: the rise is between two evaluations
    start = _start(x, y, np.geomspace(1 / span, max(steepest, 2 / span), 24))
    # Centers in spans and sharpnesses as logarithms: numbers of like size, on whatever scale.
    low = [-0.5, math.log(0.1 / span), 0.0, 0.0]
    high = [1.5, math.log(max(steepest, 2 / span)) + 1e-9, 1.0, 1.0]
    first = [(start.center - x[0]) / span, math.log(start.sharpness), start.low, start.high]

    def curve(p: Numbers) -> _Curve:
        return _Curve(float(x[0] + span * p[0]), math.exp(p[1]), float(p[2]), float(p[3]))

    def residuals(p: Numbers) -> Numbers:
        return curve(p).at(x) - y

    inside = np.clip(first, np.asarray(low) + 1e-9, np.asarray(high) - 1e-9)
    result = least_squares(residuals, inside, bounds=(low, high), xtol=1e-12, ftol=1e-12, gtol=1e-12, max_nfev=500)
    return curve(cast(Numbers, result.x))


def _start(x: Numbers, y: Numbers, sharpnesses: Numbers) -> _Curve:
    """The best of a grid; for each center and sharpness the plateaus of least squares, pushed into [0, 1]."""
    edges = np.unique(x)
    centers = np.unique(np.concatenate([edges, (edges[1:] + edges[:-1]) / 2, np.linspace(x[0], x[-1], 40)]))
    shares = (1 + erf(sharpnesses[:, None, None] * (x - centers[:, None]))) / 2  # (sharpnesses, centers, n)
    mean = shares.mean(-1)
    spread = ((shares - mean[..., None]) ** 2).sum(-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = np.where(spread > 1e-12, ((shares - mean[..., None]) * (y - y.mean())).sum(-1) / spread, 0.0)
    low = np.clip(y.mean() - slope * mean, 0, 1)
    high = np.clip(low + slope, 0, 1)
    cost = ((low[..., None] + (high - low)[..., None] * shares - y) ** 2).sum(-1)
    i, j = np.unravel_index(int(cost.argmin()), cost.shape)
    return _Curve(float(centers[j]), float(sharpnesses[i]), float(low[i, j]), float(high[i, j]))


def _problem(curve: _Curve, x: Numbers, y: Numbers, least_rise: float) -> str | None:
    """Why a fitted curve is no transition; None where it is one."""
    rise, n = curve.high - curve.low, len(x)
    if rise < 0:
        return f"the accuracy falls by {-rise:.3f} instead of rising"
    if rise < least_rise:
        return f"flat: the curve rises by {rise:.3f}, less than {least_rise:g}"
    left, total = float(((curve.at(x) - y) ** 2).sum()), float(((y - y.mean()) ** 2).sum())
    explained = 1 - left / total
    if explained < LEAST_SHARE:
        return f"noisy: the curve explains {percent(max(explained, 0.0), places=0, threshold=LEAST_SHARE)} of the variance, less than {percent(LEAST_SHARE, places=0)}"
    if left > 0 and float(fdtrc(3, n - 4, (total - left) / 3 / (left / (n - 4)))) > LARGEST_P:
        return f"noisy: by chance {n} evaluations would look like this too"
    if not x[0] <= curve.center <= x[-1]:
        return "the middle of the rise lies outside of what was watched"
    made = float(curve.share(x[-1:])[0])
    if made < WATCHED:
        return f"the fitted rise is not finished: {percent(made, places=0, threshold=WATCHED)} of it is seen"
    return None


def _transition(curve: _Curve, x: Numbers, y: Numbers, scale: Scale) -> Transition:
    """The fit with its errors, with a sharpness where the evaluations show one."""
    residuals, n = curve.at(x) - y, len(x)
    variance = float(residuals @ residuals) / (n - 4)
    share = curve.share(x)
    inside = int(((share > 0.05) & (share < 0.95)).sum())
    amplitude, offset = (curve.high - curve.low) / 2, (curve.high + curve.low) / 2
    facts: dict[str, Any] = {"amplitude": amplitude, "offset": offset, "residual": math.sqrt(variance), "evaluations": n}
    # Columns: center, sharpness, low, high. A plateau at the end of [0, 1] is held there.
    bell = (curve.high - curve.low) / math.sqrt(math.pi) * np.exp(-((curve.sharpness * (x - curve.center)) ** 2))
    slopes = np.stack([-bell * curve.sharpness, bell * (x - curve.center), 1 - share, share], axis=1)
    is_free = np.array([inside >= 2, inside >= 2, curve.low > 1e-6, curve.high < 1 - 1e-6])
    covariance = np.zeros((4, 4))
    free = slopes[:, is_free]
    covariance[np.ix_(is_free, is_free)] = variance * np.linalg.pinv(free.T @ free)
    for name, weights in (("amplitude", (0, 0, -0.5, 0.5)), ("offset", (0, 0, 0.5, 0.5))):
        facts[f"{name}_error"] = math.sqrt(max(float(np.asarray(weights) @ covariance @ np.asarray(weights)), 0.0))
    if inside >= 2:
        center, error = curve.center, math.sqrt(covariance[0, 0])
        facts |= {"sharpness": curve.sharpness, "sharpness_error": math.sqrt(covariance[1, 1])}
    else:
        center, error = _between(x, y, curve)
        facts["why"] = "the rise lies between evaluations too far apart to show how sharp it is"
    step = 10**center if scale == "log10" else center
    return Transition(
        scale,
        step=step,
        step_error=step * math.log(10) * error if scale == "log10" else error,
        center=center,
        center_error=error,
        **facts,
    )


def _between(x: Numbers, y: Numbers, curve: _Curve) -> tuple[float, float]:
    """The middle of a rise that no two evaluations lie within, and its error: interpolated between those around it."""
    after = int(np.clip(np.searchsorted(x, curve.center, side="left"), 1, len(x) - 1))
    middle, low, high = (curve.low + curve.high) / 2, float(y[after - 1]), float(y[after])
    part = min(max((middle - low) / (high - low), 0.0), 1.0) if high > low else 0.5
    width = float(x[after] - x[after - 1])
    return float(x[after - 1]) + part * width, width / math.sqrt(12)


# — tables —

_TYPES: Mapping[str, Any] = {"evaluations": pl.Int64, "why": pl.String}
_FIELDS = [name for name in Transition.__dataclass_fields__ if name != "scale"]
_SCHEMA: dict[str, Any] = (
    {"scale": pl.String}
    | {f"{side}_{name}": _TYPES.get(name, pl.Float64) for side in ("train", "validation") for name in _FIELDS}
    | dict.fromkeys(Gaps._fields, pl.Float64)
)


def _named(found: Transition, side: str) -> dict[str, Any]:
    return {f"{side}_{name}": value for name, value in asdict(found).items() if name != "scale"}


def _of_column(rows: pl.DataFrame, column: str, *, scale: Scale, least_rise: float) -> Transition:
    known = rows.select("step", column).drop_nulls()
    return fit_transition(known["step"].to_numpy(), known[column].to_numpy(), scale=scale, least_rise=least_rise)


def _checked(steps: ArrayLike, accuracy: ArrayLike, scale: str, least_rise: float) -> tuple[Numbers, Numbers]:
    t, y = np.asarray(steps, dtype=np.float64), np.asarray(accuracy, dtype=np.float64)
    if scale not in ("log10", "steps"):
        raise ValueError(f"scale: got {shown(scale)}; expected log10 or steps.")
    if not 0 < least_rise < 1:
        raise ValueError(f"least_rise: got {shown(least_rise)}; expected a share in (0, 1).")
    if t.ndim != 1 or t.shape != y.shape:
        raise ValueError(
            f"transition: got steps of shape {t.shape} and accuracies of shape {y.shape}; expected one accuracy for each step."
        )
    if not (np.isfinite(t).all() and (t >= 0).all()):
        raise ValueError("steps: got values that are negative or not finite; expected steps of evaluations, from 0 on.")
    if not (np.isfinite(y).all() and (y >= 0).all() and (y <= 1).all()):
        raise ValueError("accuracy: got values outside [0, 1]; expected shares, not percentages.")
    return t, y
