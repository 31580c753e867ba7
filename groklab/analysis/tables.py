"""Stored runs as tables: one row per run, and one row per cell of a run's table."""

from __future__ import annotations

import dataclasses
import os
import typing
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import polars as pl

from groklab.analysis.grokking import Summary, summary
from groklab.config.run import Run
from groklab.config.stops import end_of
from groklab.config.sweep import hints as field_hints
from groklab.data.splits import Split, split_of
from groklab.data.table import Table
from groklab.data.tables import table_of
from groklab.registry.signatures import options_of
from groklab.results.answers import read_answers
from groklab.results.files import DamagedError, InaccessibleError, StoreError
from groklab.results.history import in_sequence, within
from groklab.results.store import Reading, RunFolder


def cells_table(folder: RunFolder, run: Run, step: int | None = None) -> pl.DataFrame:
    """The cells of a run's table in its order, with split and labels, and the network's answers at a stored step.

    Columns: x, y, z (elements by number, −1 unknown), label, split (train | validation | unknown), corrupted, answer,
    probability, step, and the names x_name, y_name, z_name, answer_name.
    """
    table, split = table_of(run.task), split_of(run)
    chosen, answer, probability = read_answers(folder, step, cells=len(table.x), elements=table.n)
    return bare_cells(table, split).with_columns(
        answer=pl.Series(answer),
        probability=pl.Series(probability),
        answer_name=pl.Series([table.elements[i] for i in answer]),
        step=pl.lit(chosen),
    )


def bare_cells(table: Table, split: Split) -> pl.DataFrame:
    """The cells of a table with its split, without any answers."""
    sides = np.full(len(table.x), "unknown", dtype=object)
    sides[split.train], sides[split.validation] = "train", "validation"
    names = [*table.elements, None]
    return pl.DataFrame(
        {
            "x": table.x.astype("int64"),
            "y": table.y.astype("int64"),
            "z": table.z.astype("int64"),
            "label": split.labels.astype("int64"),
            "split": sides.tolist(),
            "corrupted": np.isin(np.arange(len(table.x)), split.corrupted),
            "x_name": [names[i] for i in table.x],
            "y_name": [names[i] for i in table.y],
            "z_name": [names[i] for i in table.z],
        },
        schema_overrides={"z_name": pl.String},
    )


def runs_table(stored: Sequence[RunFolder], asked: Sequence[Run] | None = None) -> pl.DataFrame:
    """Many stored runs: a row each with id, status, results and every field; damaged ones have only their id and status.

    Fields that were left open have the values that they stood for (AdamW's weight decay of 1, a modulus of 97 …); those that are lists are
    text, as is what may be a word or a number (outliers, batch_size). ``asked`` are the runs as they were asked for, with
    the budgets up to which their results are reported; otherwise all that is stored counts.
    """
    as_asked: Sequence[Run | None] = [None] * len(stored) if asked is None else asked
    return table_of_rows([_run_row(folder, run) for folder, run in zip(stored, as_asked, strict=True)])


def table_of_rows(rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """The table of runs from its rows, each as ``row_of`` makes it."""
    columns = {name: [row.get(name) for row in rows] for name in _schema()}
    # What a column cannot hold, as in a run.json that was edited by hand, is null and not the end of the whole table.
    return pl.DataFrame([pl.Series(name, columns[name], dtype=kind, strict=False) for name, kind in _schema().items()])


MIXED = ("outliers", "batch_size")
"""Fields whose values have several types: a column of text holds them all."""


@lru_cache(maxsize=1)
def _schema() -> dict[str, pl.DataType]:
    """Columns of the table of runs: results first, then the fields of a run in their order."""
    schema: dict[str, Any] = {"id": pl.String, "status": pl.String}
    hints = typing.get_type_hints(Summary)
    schema |= {result.name: pl.Int64 if int in options_of(hints[result.name]) else pl.Float64 for result in dataclasses.fields(Summary)}
    for run_field, hint in field_hints().items():
        kind = next(part for part in options_of(hint) if part is not type(None))
        schema.setdefault(run_field, pl.String if run_field in MIXED else _COLUMN_OF.get(kind, pl.String))
    return schema


_COLUMN_OF: dict[Any, Any] = {int: pl.Int64, float: pl.Float64, bool: pl.Boolean}


def _run_row(folder: RunFolder, asked: Run | None) -> dict[str, Any]:
    try:
        return row_of(folder.id, folder.reading(), asked)
    except DamagedError:
        return {"id": folder.id, "status": "damaged"}
    except InaccessibleError:
        return {"id": folder.id, "status": "unreadable"}
    except StoreError:
        return {"id": folder.id, "status": folder.status()}


def problems_of(stored: Sequence[RunFolder], table: pl.DataFrame) -> dict[str, str]:
    """Why runs that have no results in their table cannot be read, by id: a few words each."""
    unknown = set(table.filter(pl.col("status").is_in(["damaged", "unreadable"]))["id"])
    told = {folder.id: (folder.path, folder.problem()) for folder in stored if folder.id in unknown}
    return {
        name: problem.partition(". Nothing was changed.")[0].replace(f"{path}{os.sep}", "")
        for name, (path, problem) in told.items()
        if problem is not None
    }


def row_of(run_id: str, reading: Reading, asked: Run | None = None) -> dict[str, Any]:
    """A run's row in the table of runs, from what was read of it; ``asked`` as for ``runs_table``."""
    description, stored, (rows, steps), status = reading
    run = stored if asked is None else asked
    if asked is not None and rows:
        ended = end_of(asked, in_sequence(rows), steps)
        if ended is not None:
            if status in ("interrupted", "diverged") or (status == "running" and ended < steps):
                status = "complete"  # as far as it was asked for
            steps = ended
    result = summary(within(rows, steps), steps=steps, threshold=run.budget.threshold).to_dict()
    fields: dict[str, Any] = {**result, **{name: value for name, value in run.flat().items() if name not in result}}
    resolved = description["resolved"]
    for name, kind in _schema().items():
        if name not in fields:
            continue
        value = resolved.get(name) if fields[name] is None or name == "file" else fields[name]
        fields[name] = str(value) if kind == pl.String and value is not None else value
    return {"id": run_id, "status": status, **fields}
