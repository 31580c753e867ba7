"""The elements of a table as a network sees them: the rows of its embedding and output layer, as a table that can be drawn."""

from __future__ import annotations

import numpy as np
import polars as pl

from groklab import registry
from groklab.config.run import Run
from groklab.data.tables import table_of
from groklab.outside.printable import printable
from groklab.results.files import StoreError, damaged
from groklab.results.store import RunFolder
from groklab.text.values import shown

LAYERS = ("output", "embedding")


def elements_table(folder: RunFolder, run: Run, step: int | None = None, *, layer: str = "output") -> pl.DataFrame:
    """A row per element, from a checkpoint (the last by default).

    ``element`` (its number), ``name`` (as it is written), ``vector`` (its row of the output layer or of the embedding; both sides one after
    the other where each has its own), ``place`` (in the order of the cyclic group behind the table: the residue itself, or its discrete
    logarithm; null where there is none), ``group`` (the finite group, for a product, conjugation or sandwich in one; else null), ``step``.
    """
    if layer not in LAYERS:
        raise ValueError(f"layer: got {shown(layer)}; expected {' or '.join(LAYERS)}.")
    table = table_of(run.task)
    chosen, arrays = folder.read_step("checkpoints", step)
    n = table.n
    places = _places(run, table.elements)
    return pl.DataFrame(
        {
            "element": np.arange(n),
            "name": list(table.elements),
            "vector": _checked(_rows(arrays, layer, n, folder.id), n, folder, chosen).astype(np.float64).tolist(),
            "place": pl.Series(places, dtype=pl.Int64),
            "group": pl.Series([group_of(run)] * n, dtype=pl.String),
            "step": np.full(n, chosen),
        }
    )


def matrix_of(table: pl.DataFrame) -> np.ndarray:
    """The vectors of such a table, (N, E)."""
    return np.array(table["vector"].to_list(), dtype=np.float64)


def order_of(table: pl.DataFrame) -> np.ndarray | None:
    """Rows in the order of the cyclic group; None where the table has none."""
    placed = table.with_row_index("row").filter(pl.col("place").is_not_null()).sort("place")
    return placed["row"].to_numpy().astype(np.int64) if placed.height else None


def group_of(run: Run) -> str | None:
    """The finite group that a run's operation is of; None for modular tables and files."""
    facts = registry.look_up("operation", run.task.operation).facts
    return facts.get("on") or (run.task.group if facts.get("over") == "group" else None)


def _places(run: Run, elements: tuple[str, ...]) -> list[int | None]:
    """The place of each element in the order of the cyclic group behind a modular table."""
    from groklab.data.cyclic import powers_of_root

    if registry.look_up("operation", run.task.operation).facts.get("over", "modulus") != "modulus":
        return [None] * len(elements)
    residues = [int(name) for name in elements]
    if run.task.operation not in ("multiplication", "division"):
        return list(residues)
    place = {int(power): number for number, power in enumerate(powers_of_root(max(residues) + 1))}
    return [place.get(residue) for residue in residues]


def _checked(rows: np.ndarray, n: int, folder: RunFolder, step: int) -> np.ndarray:
    """Rows that can be those of all elements; DamagedError otherwise."""
    if rows.ndim != 2 or len(rows) != n or rows.shape[1] == 0:
        size = " × ".join(f"{length:,}" for length in rows.shape)
        raise damaged(folder.step_path("checkpoints", step), f"a layer has {size} numbers, and not a row for each of the {n:,} elements")
    return rows


def _rows(arrays: dict[str, np.ndarray], layer: str, n: int, name: str) -> np.ndarray:
    whole = {key: array for key, array in arrays.items() if array.ndim == 2 and array.dtype.kind in "fiu"}
    if layer == "output" and "output" in whole:
        return whole["output"][:n]
    if layer == "embedding" and "embedding" in whole:
        return whole["embedding"][:n]
    both = [f"embedding.{side}" for side in ("left", "right")]
    if layer == "embedding" and all(part in whole and len(whole[part]) >= n for part in both):
        return np.concatenate([whole[part][:n] for part in both], axis=1)
    first = [f"layers.0.{side}" for side in ("left", "right")]
    if layer == "embedding" and all(
        part in whole and whole[part].shape[1] == n for part in first
    ):  # one-hot: the columns are the embedding
        return np.concatenate([whole[part].T for part in first], axis=1)
    raise StoreError(
        f"{name}: its network has no {layer} of a known name; it has {', '.join(printable(key)[:60] for key in sorted(arrays)[:20])}."
    )
