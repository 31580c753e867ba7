"""Evaluations of many runs as one polars table, and tables as files."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from groklab.outside.spreadsheets import FORMULA, NUMBER, as_text
from groklab.results.files import make_folder, write_whole
from groklab.text.values import shown


def history_table(histories: Mapping[str, Sequence[Mapping[str, Any]]], *, groups: Mapping[str, str] | None = None) -> pl.DataFrame:
    """Evaluations of many runs: a row each, with the run's id and, where given, the label of its setting."""
    rows = [
        {"run": name} | ({"group": groups[name]} if groups else {}) | dict(row) for name, history in histories.items() for row in history
    ]
    return pl.DataFrame(rows, infer_schema_length=None)


def arrays_table(arrays: Mapping[str, Any]) -> pl.DataFrame:
    """Named arrays as one table: ``name``, ``shape`` and ``values``, a row each."""
    return pl.DataFrame(
        {
            "name": list(arrays),
            "shape": [list(array.shape) for array in arrays.values()],
            "values": [np.asarray(array, dtype=np.float64).ravel().tolist() for array in arrays.values()],
        },
        schema={"name": pl.String, "shape": pl.List(pl.Int64), "values": pl.List(pl.Float64)},
    )


def write_table(table: pl.DataFrame, path: Path) -> None:
    """Write a table as .csv or .parquet; ValueError for any other ending.

    In a .csv a text that a spreadsheet would execute has an apostrophe in front (`spreadsheets`).
    """
    ending = path.suffix.lower()
    if ending not in (".csv", ".parquet"):
        raise ValueError(f"--output: got {shown(str(path))}; expected a file that ends in .csv or .parquet.")
    make_folder(path.parent)
    buffer = io.BytesIO()
    _for_spreadsheets(table).write_csv(buffer) if ending == ".csv" else table.write_parquet(buffer)
    write_whole(path, buffer.getvalue())


def _for_spreadsheets(table: pl.DataFrame) -> pl.DataFrame:
    text = pl.col(pl.String)
    is_formula = text.str.contains(FORMULA) & ~text.str.contains(NUMBER)
    marked = table.with_columns(pl.when(is_formula).then(pl.lit("'") + text).otherwise(text).name.keep())
    return marked.rename({name: as_text(name) for name in marked.columns})
