"""Which cells are trained on, which validate, and which training answers are made wrong.

One permutation of all known cells per seed decides: the training set is its beginning, so that the splits of one seed are
nested across train fractions. Outliers are nested in their number in the same way.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from groklab.config.fields import Task
from groklab.config.run import Run
from groklab.data.streams import permutation, words
from groklab.data.table import Table
from groklab.data.tables import table_of

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Split:
    """The known cells of a table on two sides; all arrays of cells are sorted."""

    train: Integers
    """Cells trained on."""
    validation: Integers
    """The other known cells."""
    labels: npt.NDArray[np.int32]
    """For every cell of the table the answer as trained: z, except for the wrong answers of outliers."""
    corrupted: Integers
    """Training cells with a wrong answer."""
    mirrored: npt.NDArray[np.bool_]
    """Of each validation cell (x, y) whether (y, x) is another cell, and trained on."""

    def __post_init__(self) -> None:
        for column in (self.train, self.validation, self.labels, self.corrupted, self.mirrored):
            column.setflags(write=False)


def split_of(run: Run) -> Split:
    """The split of a run; it follows from the task and the seeds of its streams ``split`` and ``labels``."""
    task = run.task
    table = table_of(task)
    return _split(table, task.train_fraction, task.outliers, task.mirror_pairs, run.seeds.of("split"), run.seeds.of("labels"))


@lru_cache(maxsize=16)
def _split(table: Table, fraction: float, outliers: int | float, mirror_pairs: str, split_seed: int, labels_seed: int) -> Split:
    train = training_cells(table, fraction, mirror_pairs, split_seed)
    trained = np.zeros(table.cells, dtype=bool)
    trained[train] = True
    validation = np.flatnonzero(table.known & ~trained)
    corrupted, wrong = _outliers(table, train, outlier_count(outliers, len(train)), labels_seed)
    labels = table.z.copy()
    labels[corrupted] = wrong
    mirror = table.mirror[validation]
    mirrored = (mirror >= 0) & (mirror != validation) & trained[mirror]
    return Split(train, validation, labels, corrupted, mirrored)


def training_count(table: Table, fraction: float) -> int:
    """Training cells that a fraction asks for: of the known cells, rounded."""
    return round(fraction * int(table.known.sum()))


def outlier_count(outliers: int | float, trained: int) -> int:
    """Outliers that a whole number counts, or that a share of the training cells comes to."""
    return outliers if isinstance(outliers, int) else round(outliers * trained)


def training_cells(table: Table, fraction: float, mirror_pairs: str, seed: int) -> Integers:
    """The training cells, sorted: the beginning of the seed's permutation of all known cells, or of all known pairs."""
    known = np.flatnonzero(table.known)
    wanted = training_count(table, fraction)
    if mirror_pairs == "apart":
        return np.sort(known[permutation("split", seed, size=len(known))[:wanted]])
    mirror = table.mirror[known]
    paired = (mirror >= 0) & table.known[mirror]
    # Of a pair the smaller cell stands for both; a cell without a known mirror, or on the diagonal, stands for itself.
    units = np.flatnonzero(~paired | (known <= mirror))
    units = units[permutation("split", seed, size=len(units))]
    sizes = np.where(paired[units] & (mirror[units] != known[units]), 2, 1)
    taken = units[: int(np.searchsorted(np.cumsum(sizes), wanted, side="right"))]
    return np.unique(np.concatenate([known[taken], mirror[taken][paired[taken]]]))


def _outliers(table: Table, train: Integers, count: int, seed: int) -> tuple[Integers, npt.NDArray[np.int32]]:
    """The training cells of the smallest keys, with a wrong answer each; keys and answers are drawn for every cell, trained or not."""
    if not count:
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int32)
    keys = words("labels", seed, 0, size=table.cells)
    cells = np.sort(train[np.argsort(keys[train], kind="stable")[:count]])
    # One of the other N − 1 elements: those from the right answer on move up by one.
    drawn = (words("labels", seed, 1, size=table.cells)[cells] % np.uint64(table.n - 1)).astype(np.int32)
    return cells, drawn + (drawn >= table.z[cells])


def split_problem(task: Task, table: Table, seed: int) -> tuple[str, str, str] | None:
    """What is wrong with the sizes of a split, as field, expected and advice; None where both sides have cells."""
    known = int(table.known.sum())
    trained = training_count(table, task.train_fraction)
    pairs = ""
    if task.mirror_pairs == "together" and 1 <= trained < known:
        trained, pairs = len(training_cells(table, task.train_fraction, task.mirror_pairs, seed)), " (mirror pairs stay together)"
    if not 1 <= trained < known:
        advice = f"The table has {known:,} known cells{pairs}: this leaves {trained:,} to train and {known - trained:,} to validate."
        return "train_fraction", "a share that leaves at least one cell on both sides", advice
    count = outlier_count(task.outliers, trained)
    if count > trained:
        return "outliers", f"at most the {trained:,} training cells", "Ask for fewer, or raise train_fraction."
    if count and table.n < 2:
        return "outliers", "none in a table with a single element", "There is no wrong answer to give."
    return None
