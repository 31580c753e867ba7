"""Sweeps as tables: a row per setting with medians and intervals over its runs, and p values of the difference of two settings.

All functions take the table of runs (``analysis.tables.runs_table``), one row each: the run's fields, ``memorized_at`` and
``generalized_at`` (null: not reached), ``steps`` (updates made, or asked for), ``validation_accuracy`` (the last),
``best_validation_accuracy`` and, where they are there, ``evaluated_at`` and ``status``.

Which runs count, and as what:

- a run that did not get there is censored at its last evaluation; so is one that is still running or was interrupted;
- a run that *diverged* before it got there never will, however long one waits. It counts as censored at the last step of
  the whole table, or of all tables that are compared. Censoring it where it stopped would say that it would have gone on like the others, and a setting of which two runs
  in three diverge would look as quick as its third;
- a run without any evaluation says nothing and is left out, but counted.

The *delay* is generalized_at ÷ memorized_at, censored where generalization is, at last evaluation ÷ memorized_at. Runs that have not
memorized have none. A slow memorizer is censored at a smaller delay than a quick one; the estimate assumes that how long a run
takes to memorize says nothing about its delay.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from groklab.analysis.comparisons import Alternative, Method, stratified_log_rank
from groklab.analysis.distinctions import told_following
from groklab.analysis.fits import Fit, Law, fit_law, fit_laws
from groklab.analysis.survival import LEVEL, Numbers, Sample, check_share, middle, product_limit, quantile_interval, shown_median
from groklab.text.numbers import GROKKED
from groklab.text.values import shown

Quantity = Literal["memorized_at", "generalized_at", "delay"]

Rows = NDArray[np.int64]
"""Numbers of rows."""

QUANTITIES: tuple[Quantity, ...] = ("memorized_at", "generalized_at", "delay")
ACCURACIES = ("best_validation_accuracy", "validation_accuracy")
WATCHED = "watched_until"
"""Column that ``with_results`` adds: the step up to which is known whether a run got there."""


def with_results(table: pl.DataFrame, *others: pl.DataFrame) -> pl.DataFrame:
    """The runs that were evaluated, with the step at which each would be censored in the column ``watched_until``.

    Diverged runs are censored at the last step of this table and of ``others``, the tables that it is compared with.
    """
    known = _evaluated(table)
    if "status" in known.columns:
        end = max(_last_step(one) for one in (known, *map(_evaluated, others)))
        known = known.with_columns(pl.when(pl.col("status") == "diverged").then(end).otherwise(WATCHED).alias(WATCHED))
    return known


def _evaluated(table: pl.DataFrame) -> pl.DataFrame:
    _need(table, "memorized_at", "generalized_at", "steps")
    watched = pl.col("evaluated_at" if "evaluated_at" in table.columns else "steps").cast(pl.Int64)
    return table.with_columns(watched.alias(WATCHED)).filter(pl.col(WATCHED).is_not_null())


def _last_step(known: pl.DataFrame) -> int:
    return known.select(pl.max_horizontal(pl.col(WATCHED).max(), pl.col("steps").max()).fill_null(0)).item()


def sample_of(table: pl.DataFrame, quantity: Quantity = "generalized_at", *, beside: pl.DataFrame | None = None) -> Sample:
    """What the runs of a table say about one quantity; ValueError where none of them says anything.

    ``beside`` is the table of another setting that the sample is to be compared with: diverged runs of both are then censored at the last step of
    the two together. (``compare`` takes both settings from one table.)
    """
    sample = _Outcomes.of(with_results(table, *([] if beside is None else [beside]))).sample(quantity)
    if sample is None:
        raise ValueError(f"{quantity}: got no run with results; expected at least one.")
    return sample


class _Outcomes(NamedTuple):
    """Columns of many runs as arrays; nan: not reached. A setting's few runs are taken from them much faster than from a table."""

    memorized_at: Numbers
    generalized_at: Numbers
    watched: Numbers

    @classmethod
    def of(cls, known: pl.DataFrame) -> _Outcomes:
        names = ("memorized_at", "generalized_at", WATCHED)
        return cls(*(known[name].cast(pl.Float64).fill_null(float("nan")).to_numpy() for name in names))

    def rows(self, which: Rows) -> _Outcomes:
        return _Outcomes(self.memorized_at[which], self.generalized_at[which], self.watched[which])

    def sample(self, quantity: Quantity) -> Sample | None:
        """None where no run says anything about this quantity."""
        at = self.memorized_at if quantity == "memorized_at" else self.generalized_at
        steps, reached = np.where(np.isnan(at), self.watched, at), ~np.isnan(at)
        if quantity == "delay":
            counts = self.memorized_at > 0
            steps, reached = steps[counts] / self.memorized_at[counts], reached[counts]
        elif quantity not in QUANTITIES:
            raise ValueError(f"got quantity {shown(quantity)}; expected one of {', '.join(QUANTITIES)}.")
        return Sample(steps, reached) if len(steps) else None


def summarize(table: pl.DataFrame, by: Sequence[str] = (), *, level: float = LEVEL) -> pl.DataFrame:
    """One row per setting, a setting being what the columns ``by`` hold, in the order in which they first occur.

    ``runs`` are those with results, ``left_out`` those without, ``diverged`` those of the first that diverged. For each Q of memorized_at,
    generalized_at and delay: ``Q_reached`` and ``Q_censored`` runs, ``Q_median`` (the first step by which half of the runs got
    there, see ``shown_median``; null: not known, longer than anything seen), its confidence interval ``Q_lower`` and ``Q_upper`` (null:
    open; see ``quantile_interval``), ``Q_min`` of the quickest run that got there and ``Q_max`` of the slowest (null where a run is censored).
    ``best_validation_accuracy`` and ``validation_accuracy`` (the last) are medians over all runs with results, ``_min`` and ``_max`` beside them.
    """
    _need(table, *ACCURACIES, *by)
    known = with_results(table)
    outcomes, settings = _Outcomes.of(known), rows_by_setting(known, by)
    diverged = (
        (known["status"] == "diverged").fill_null(value=False).to_numpy() if "status" in known.columns else np.zeros(known.height, bool)
    )
    accuracies = {name: known[name].cast(pl.Float64).fill_null(float("nan")).to_numpy() for name in ACCURACIES}
    rows: list[dict[str, Any]] = []
    for key, asked in rows_by_setting(table, by).items():
        which = settings.get(key, np.zeros(0, dtype=np.int64))
        row = {**dict(zip(by, key, strict=True)), "runs": len(which), "left_out": len(asked) - len(which)}
        row["diverged"] = int(diverged[which].sum())
        of_setting = outcomes.rows(which)
        for quantity in QUANTITIES:
            row |= {f"{quantity}_{name}": value for name, value in _quantity_row(of_setting.sample(quantity), level).items()}
        for name, values in accuracies.items():
            row |= _spread(name, values[which])
        rows.append(row)
    return pl.DataFrame(rows, schema={**{name: table.schema[name] for name in by}, **_summary_schema()})


def _quantity_row(sample: Sample | None, level: float) -> dict[str, Any]:
    if sample is None:
        return {"reached": 0, "censored": 0}
    curve, interval = product_limit(sample), quantile_interval(sample, level=level)
    reached = int(sample.reached.sum())
    return {
        "reached": reached,
        "censored": len(sample) - reached,
        "median": shown_median(sample),
        "lower": interval.lower,
        "upper": interval.upper,
        "min": float(curve.steps[0]) if reached else None,
        "max": float(curve.steps[-1]) if reached == len(sample) else None,
    }


def thresholds_of(table: pl.DataFrame, by: Sequence[str] = ()) -> list[tuple[float, ...]]:
    """The thresholds of the runs of each row of ``summarize(table, by)``: on which side of them its accuracies lie must show.

    Those of a table that does not say are the usual one.
    """
    known = table if "threshold" in table.columns else table.with_columns(threshold=pl.lit(GROKKED))
    return [tuple(known[which]["threshold"].unique(maintain_order=True).to_list()) for which in rows_by_setting(table, by).values()]


def _spread(name: str, values: Numbers) -> dict[str, Any]:
    """Median and range of what is known; a run that diverged may have ended with nan."""
    known = values[~np.isnan(values)]
    if not len(known):
        return {}
    return {name: middle(known), f"{name}_min": float(known.min()), f"{name}_max": float(known.max())}


def _summary_schema() -> dict[str, Any]:
    schema: dict[str, Any] = dict.fromkeys(("runs", "left_out", "diverged"), pl.Int64)
    for quantity in QUANTITIES:
        schema |= {f"{quantity}_{name}": pl.Int64 for name in ("reached", "censored")}
        kind = pl.Float64 if quantity == "delay" else pl.Int64
        schema |= {f"{quantity}_{name}": kind for name in ("median", "lower", "upper", "min", "max")}
    return schema | {f"{name}{end}": pl.Float64 for name in ACCURACIES for end in ("", "_min", "_max")}


def compare(
    table: pl.DataFrame,
    field: str,
    first: Any,
    second: Any,
    *,
    quantity: Quantity = "generalized_at",
    by: Sequence[str] = (),
    strata: Sequence[str] = (),
    alternative: Alternative = "two-sided",
    method: Method = "auto",
) -> pl.DataFrame:
    """Whether runs whose ``field`` is ``first`` get there sooner or later than those where it is ``second``: log-rank tests.

    One test for each setting ``by``, in which runs are compared within each of the ``strata`` only: ``strata=["train_fraction"]`` gives
    one p value for all fractions, ``by=["train_fraction"]`` one for each. Runs of strata that hold one of the two values only are not
    counted; where no stratum holds both, ``p_value`` is null. ``median_first`` and ``median_second`` are null where runs of several strata are pooled.
    ``also_differs`` are the fields that the two differ in besides, as the decay follows from the optimizer, with both values; null: none.
    ``alternative`` is about the first: two-sided, sooner or later. See ``stratified_log_rank`` for ``z``, ``method`` and ``permutations``.
    """
    _need(table, field, *by, *strata)
    if first == second:
        raise ValueError(f"compare: got {field}={shown(first)} twice; expected two values.")
    known = with_results(table)
    outcomes = _Outcomes.of(known)
    sides = [np.array([there == value for there in known[field]], dtype=np.bool_) for value in (first, second)]
    for value, side in zip((first, second), sides, strict=True):
        if not side.any():
            present = ", ".join(repr(there) for there in known[field].unique(maintain_order=True).to_list()[:10])
            raise ValueError(f"compare: got {field}={shown(value)}, which no run with results has; expected one of {present}.")
    within = list(rows_by_setting(known, strata).values())
    rows: list[dict[str, Any]] = []
    for key, setting in rows_by_setting(known, by).items():
        cells = (np.intersect1d(setting, stratum) for stratum in within)
        samples = ([outcomes.rows(cell[side[cell]]).sample(quantity) for side in sides] for cell in cells)
        pairs = [(one, other) for one, other in samples if one is not None and other is not None]
        row: dict[str, Any] = {**dict(zip(by, key, strict=True)), "first": str(first), "second": str(second)}
        for place, name in enumerate(("first", "second")):
            row |= {f"runs_{name}": sum(len(pair[place]) for pair in pairs)}
            row |= {f"reached_{name}": sum(int(pair[place].reached.sum()) for pair in pairs)}
            row |= {f"median_{name}": shown_median(pairs[0][place]) if len(pairs) == 1 else None}
        if pairs:
            found = stratified_log_rank(pairs, alternative=alternative, method=method)
            row |= {"z": found.z, "p_value": found.p_value, "method": found.method, "permutations": found.permutations}
        row["also_differs"] = told_following(known[setting], field, (first, second), within=strata)
        rows.append(row)
    schema: dict[str, Any] = {name: table.schema[name] for name in by}
    for name in ("first", "second"):
        schema |= {name: pl.String, f"runs_{name}": pl.Int64, f"reached_{name}": pl.Int64, f"median_{name}": pl.Float64}
    schema |= {"z": pl.Float64, "p_value": pl.Float64, "method": pl.String, "permutations": pl.Int64, "also_differs": pl.String}
    return pl.DataFrame(rows, schema=schema)


def fit_steps(table: pl.DataFrame, law: Law = "exponential", *, quantity: Quantity = "generalized_at", level: float = LEVEL) -> Fit:
    """The law of steps against ``train_fraction`` that the runs of a table follow; see ``fits.fit_law``."""
    _need(table, "train_fraction")
    fractions, sample, _ = steps_by_fraction(with_results(table), quantity)
    return fit_law(fractions, sample, law, level=level)


def laws(
    table: pl.DataFrame, by: Sequence[str] = (), *, quantity: Quantity = "generalized_at", level: float = LEVEL, percent: float = 1.0
) -> pl.DataFrame:
    """How steps grow as the data shrink, a row per setting: the exponential law and the power law over its train fractions.

    ``runs`` and ``reached`` are those with results, and of them those that got there; ``fractions`` how many train fractions they have.
    ``L_rate`` with ``L_rate_lower`` and ``L_rate_upper`` is B of the law L, exponential or power (``fits.Fit``). ``factor`` with its
    interval is by what the exponential law multiplies the median steps for ``percent`` of the table less, exp(B · percent / 100).
    ``aic_difference`` is AIC of the power law − AIC of the exponential; positive: the exponential describes better, below about 4, hardly.
    Where a law cannot be fitted its columns are null, and ``why`` says why.
    """
    _need(table, "train_fraction", *by)
    if "train_fraction" in by:
        raise ValueError("laws: got by train_fraction; expected other columns, as a law is over the train fractions of a setting.")
    if quantity not in QUANTITIES:
        raise ValueError(f"laws: got quantity {shown(quantity)}; expected one of {', '.join(QUANTITIES)}.")
    check_share("level", level)
    known = with_results(table)
    rows: list[dict[str, Any]] = []
    for key, which in rows_by_setting(known, by).items():
        of_setting = known[which]
        row: dict[str, Any] = {**dict(zip(by, key, strict=True)), "runs": len(which), "fractions": of_setting["train_fraction"].n_unique()}
        try:
            fractions, sample, _ = steps_by_fraction(of_setting, quantity)
            row |= {"runs": len(sample), "reached": int(sample.reached.sum())}
            both = fit_laws(fractions, sample, level=level)
        except ValueError as error:
            rows.append(row | {"why": str(error)})
            continue
        for fit in both:
            row |= {f"{fit.law}_rate": fit.rate, f"{fit.law}_rate_lower": fit.rate_interval.lower}
            row |= {f"{fit.law}_rate_upper": fit.rate_interval.upper}
        interval = both.exponential.factor_interval(less=percent / 100)
        row |= {"factor": both.exponential.factor(less=percent / 100), "factor_lower": interval.lower, "factor_upper": interval.upper}
        rows.append(row | {"aic_difference": both.aic_difference})
    schema: dict[str, Any] = {name: table.schema[name] for name in by} | dict.fromkeys(("runs", "reached", "fractions"), pl.Int64)
    for name in ("exponential_rate", "power_rate", "factor"):
        schema |= {f"{name}{end}": pl.Float64 for end in ("", "_lower", "_upper")}
    return pl.DataFrame(rows, schema={**schema, "aic_difference": pl.Float64, "why": pl.String})


class ByFraction(NamedTuple):
    """What runs say about one quantity, at the train fraction of each."""

    fractions: Numbers
    sample: Sample
    runs: pl.DataFrame
    """Their rows."""


def steps_by_fraction(known: pl.DataFrame, quantity: Quantity = "generalized_at") -> ByFraction:
    """The runs ``with_results`` whose steps have a logarithm, as laws of steps need; ValueError where there is none.

    A run that was looked at before its first update only says nothing about the steps that it takes, and is left out.
    """
    known = known.filter(pl.col(WATCHED) > 0)
    if quantity == "delay":
        known = known.filter(pl.col("memorized_at") > 0)
    sample = _Outcomes.of(known).sample(quantity)
    if sample is None:
        raise ValueError(f"{quantity}: got no run with results; expected at least one.")
    return ByFraction(known["train_fraction"].cast(pl.Float64).to_numpy(), sample, known)


def rows_by_setting(table: pl.DataFrame, by: Sequence[str]) -> dict[tuple[Any, ...], Rows]:
    """The rows of each setting, settings in the order in which they first occur; of an empty ``by`` all rows are one."""
    if not by:
        return {(): np.arange(table.height)}
    row = "row of the table"
    found = table.select(by).with_row_index(row).group_by(list(by), maintain_order=True).agg(row)
    return {tuple(values): np.array(rows, dtype=np.int64) for *values, rows in found.iter_rows()}


def _need(table: pl.DataFrame, *columns: str) -> None:
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise ValueError(
            f"got a table without {', '.join(missing)}; expected one row per run with these columns. It has {', '.join(table.columns)}."
        )
