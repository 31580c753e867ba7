"""Stored runs as tables of results and of histories, with what sets them apart in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from groklab.analysis.distinctions import labels_of, table_of_values
from groklab.analysis.tables import runs_table
from groklab.stored.ends import measures_at_the_end, results_at_the_end
from groklab.stored.results import StoredResults
from groklab.text.numbers import given

if TYPE_CHECKING:
    import polars


def results_table(
    chosen: Sequence[StoredResults], *, apart: str = "", results: Sequence[str] = (), measures: Sequence[str] = ()
) -> polars.DataFrame:
    """Results of runs within their budgets, a row each; those that differ in more than seeds and the field ``apart`` are in groups.

    ``results`` are more columns of the last evaluation, ``measures`` are taken of its checkpoint and null where that is not stored.
    """
    import polars

    table = runs_table([run.folder for run in chosen], [run.run for run in chosen])
    more = results_at_the_end(results, chosen) | measures_at_the_end(measures, chosen)
    table = table.with_columns(polars.Series(name, values, dtype=polars.Float64) for name, values in more.items())
    labels = labels_of(table, within=[apart] if apart in table.columns else [])
    return table.with_columns(setting=polars.Series(labels)) if any(labels) else table


def history_of(chosen: Sequence[StoredResults]) -> polars.DataFrame:
    """Histories of several runs as one table; runs that differ in more than their seeds are in groups named by the difference."""
    import polars

    from groklab.results.tables import history_table

    histories = {run.id: run.rows for run in chosen}
    labels = labels_of(table_of_values(run.values for run in chosen))
    diverged = polars.col("run").is_in([run.id for run in chosen if run.status == "diverged"]).alias("diverged")
    if not any(labels):
        return history_table(histories).with_columns(diverged, title=polars.lit(title_of(chosen[0])))
    groups = {run.id: label for run, label in zip(chosen, labels, strict=True)}
    return history_table(histories, groups=groups).with_columns(diverged)


def title_of(run: StoredResults) -> str:
    """A heading for pictures: the operation as it is written, the share of cells shown, the optimizer and its decay."""
    values = run.values
    share = f"{given(values['train_fraction'])} of the cells shown"
    decay = (
        f", weight decay {values['weight_decay']:g}" if isinstance(values["weight_decay"], (int, float)) and values["weight_decay"] else ""
    )
    return f"{symbol_of(run)} — {share}, {values['optimizer']}{decay}"


def symbol_of(run: StoredResults) -> str:
    """The operation as it is written; its name where it is of a plugin that is not loaded."""
    from groklab.data.tables import table_of

    try:
        run.check_known()
        return table_of(run.run.task).symbol
    except ValueError:
        return run.run.task.operation
