"""Stored runs as tables: one row per run, and one row per cell of a run's table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from groklab.analysis.grokking import summary
from groklab.config.run import Run
from groklab.data.splits import Split, split_of
from groklab.data.tables import Table, table_of
from groklab.results.files import DamagedError, StoreError
from groklab.results.store import RunFolder, unpacked_answers


def cells_table(folder: RunFolder, run: Run, step: int | None = None) -> pl.DataFrame:
    """The cells of a run's table in its order, with split and labels, and the network's answers at a stored step.

    Columns: x, y, z (elements by number, −1 unknown), label, split (train | validation | unknown), corrupted, answer,
    probability, step, and the names x_name, y_name, z_name, answer_name.
    """
    table, split = table_of(run.task), split_of(run)
    chosen, arrays = folder.read_step("answers", step)
    answer, probability = unpacked_answers(arrays)
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


def runs_table(stored: Sequence[RunFolder]) -> pl.DataFrame:
    """Many stored runs: a row each with id, status, results and every field; damaged ones have only their id and status."""
    rows = [_run_row(folder) for folder in stored]
    numbers: dict[str, type[pl.DataType]] = dict.fromkeys(("steps", "memorized_at", "generalized_at"), pl.Int64)
    numbers |= dict.fromkeys(("delay", "train_accuracy", "validation_accuracy"), pl.Float64)
    empty = {"id": pl.String, "status": pl.String, **numbers}
    return pl.DataFrame(rows, infer_schema_length=None, schema_overrides=numbers) if rows else pl.DataFrame(schema=empty)


def _run_row(folder: RunFolder) -> dict[str, Any]:
    try:
        run, rows, steps = folder.settings(), folder.history(), folder.reached()
    except DamagedError:
        return {"id": folder.id, "status": "damaged"}
    except StoreError:
        return {"id": folder.id, "status": folder.status()}
    result = summary(rows, steps=steps, threshold=run.budget.threshold).to_dict()
    fields = {name: str(value) if isinstance(value, (tuple, str)) or name in MIXED else value for name, value in run.flat().items()}
    return {"id": folder.id, "status": folder.status(), **result, **{k: v for k, v in fields.items() if k not in result}}


#: Fields whose values have several types: a column of text holds them all.
MIXED = ("outliers", "batch_size")
