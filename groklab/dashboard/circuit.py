"""What a network computes with, read from its checkpoints: spectra of its layers, norms of its matrices, and measures that were taken.

Spectra and norms are of weights alone and are computed here, checkpoint after checkpoint for as long as a page may take. Losses with and
without the key frequencies and attention patterns need the network, and are taken by other processes (``computing``).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from groklab.analysis.elements import elements_table, matrix_of, order_of
from groklab.dashboard.access import check_file, check_inside
from groklab.dashboard.catalog import Entry
from groklab.dashboard.computing import cache_of
from groklab.dashboard.curves import numbers_of
from groklab.dashboard.network import arrays_at, check_registered, finite_group_of, is_remembered, remembered, run_in, steps_of
from groklab.data.representations import ORDER_LIMIT, representations_of
from groklab.results.files import StoreError
from groklab.results.measures import Measured

LOSSES = {False: ("restricted_loss", "excluded_loss"), True: ("representation_restricted_loss", "representation_excluded_loss")}
"""Measures of the loss with the key frequencies (False) or representations (True) alone, and without them."""
ATTENTION = "attention_patterns"
MOST = 160
"""Checkpoints that are looked at; of more, as many spread over all of them."""
_SECONDS = 0.45


class Weights(NamedTuple):
    """What is kept of the weights of one checkpoint."""

    names: list[str]
    """Frequencies from 1 on, or representations."""
    shares: dict[str, np.ndarray]
    """Layer -> share of its power by frequency, or of its squares by representation."""
    norms: dict[str, float]
    """Parameter tensor -> Frobenius norm."""


class Course(NamedTuple):
    """Weights over checkpoints."""

    steps: list[int]
    weights: list[Weights]
    left: int
    """Checkpoints for which there was no time yet."""


def weights_at(entry: Entry, step: int) -> Weights:
    """Spectra and norms at one checkpoint."""
    return remembered(_key(entry, step), lambda: _weights(entry, step), is_small=True)


def _key(entry: Entry, step: int) -> tuple[Any, ...]:
    return ("weights", str(entry.folder.path), step)


def _weights(entry: Entry, step: int) -> Weights:
    arrays = arrays_at(entry, step)
    norms = {name: float(np.linalg.norm(array.astype(np.float64))) for name, array in arrays.items()}
    names: list[str] = []
    shares: dict[str, np.ndarray] = {}
    for layer in ("output", "embedding"):
        try:
            check_registered(entry)
            found = _spectrum(entry, step, layer)
        except (ValueError, StoreError):
            continue  # no such layer, or no group behind the table
        if found is not None:
            names, shares[layer] = found
    return Weights(names, shares, norms)


def _spectrum(entry: Entry, step: int, layer: str) -> tuple[list[str], np.ndarray] | None:
    """Names and shares; None where the table has no group."""
    run = run_in(entry)
    table = elements_table(entry.folder, run, step, layer=layer)
    matrix = matrix_of(table)
    if not np.isfinite(matrix).all():
        raise ValueError("The weights are not finite. Did the run diverge?")
    order = order_of(table)
    if order is not None and len(order) >= 3:
        power = (np.abs(np.fft.rfft(matrix[order], axis=0)) ** 2).sum(axis=1)
        n = len(order)
        weights = np.full(len(power), 2.0)
        weights[0] = 1.0
        if n % 2 == 0:  # the frequency n / 2 is its own negative
            weights[-1] = 1.0
        power = (power * weights)[1:]
        return [str(k) for k in range(1, len(power) + 1)], power / power.sum() if power.sum() > 0 else power
    group = finite_group_of(entry)
    if group is None or group.order > ORDER_LIMIT or len(matrix) != group.order:
        return None
    parts = [rho for rho in representations_of(group).irreducibles if rho.name != "trivial"]
    squares = np.array([float(np.square(rho.basis.T @ matrix).sum()) for rho in parts])
    return [rho.name for rho in parts], squares / squares.sum() if squares.sum() > 0 else squares


def chosen_steps(entry: Entry) -> list[int]:
    """The checkpoints that are looked at."""
    steps = steps_of(entry, "checkpoints")
    if len(steps) <= MOST:
        return steps
    places = np.unique(np.rint(np.linspace(0, len(steps) - 1, MOST)).astype(int))
    return [steps[place] for place in places]


def course_of(entry: Entry, first: int | None = None) -> Course:
    """Weights at all checkpoints, or at as many as there was time for; the one that is shown comes first."""
    until = time.monotonic() + _SECONDS
    steps = chosen_steps(entry)
    order = sorted(steps, key=lambda step: step != first)
    known: dict[int, Weights] = {}
    for step in order:
        if is_remembered(_key(entry, step)) or time.monotonic() < until or not known:
            known[step] = weights_at(entry, step)
    kept = [step for step in steps if step in known]
    return Course(kept, [known[step] for step in kept], len(steps) - len(kept))


def known_steps(entry: Entry) -> int:
    """How many checkpoints have been looked at."""
    return sum(is_remembered(_key(entry, step)) for step in chosen_steps(entry))


def is_of_group(entry: Entry) -> bool:
    """Whether a run's table is of a finite group, and so of representations instead of frequencies."""
    return finite_group_of(entry) is not None


def losses_of(entry: Entry) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Losses that were measured with the key frequencies or representations alone, and without them: column to steps and values."""
    names = [name for several in LOSSES.values() for name in several]
    return {column: values for column, values in numbers_of(entry).items() if column.split(".")[0] in names}


def measured_checkpoints(entry: Entry, names: Sequence[str]) -> int:
    """Checkpoints of which all of some measures are kept, with their usual settings; one may have been taken of fewer than another."""
    counts = dict.fromkeys(names, 0)
    for column, (steps, _) in losses_of(entry).items():
        name = column.split(".")[0]
        if name in counts and "=" not in column:  # settings stand behind the column of a measure that was taken with others
            counts[name] = max(counts[name], len(steps))
    return min(counts.values(), default=0)


def attention_steps(entry: Entry) -> dict[int, Measured]:
    """Checkpoints of which attention patterns are there, and where."""
    found: dict[int, Measured] = {}
    for folder in (cache_of(entry), entry.folder):
        kept = Measured(folder, ATTENTION)
        if folder is entry.folder:
            root = folder.path.parent
            if check_file(root, kept.arrays_folder) is None:
                continue
            check_inside(root, kept.arrays_folder)
        found |= dict.fromkeys(kept.array_steps(), kept)
    return found


def attention_at(entry: Entry, step: int) -> dict[str, np.ndarray] | None:
    """Attention of ``=``: layer to (H, T, N, N); None where it was not taken at this checkpoint."""
    kept = attention_steps(entry).get(step)
    if kept is None:
        return None
    if entry.folder.path in kept.arrays_folder.parents:
        check_file(entry.folder.path.parent, kept.arrays_file(step))
    found = remembered(("attention", str(kept.arrays_folder), step), lambda: kept.arrays(step))
    return {name: array for name, array in sorted(found.items()) if array.ndim == 4}


def tokens_of(entry: Entry) -> list[str]:
    """What the network reads, in words."""
    model = run_in(entry).model
    return [*(["begin"] if model.begin_token else []), "x", *(["∘"] if model.operator_token else []), "y", "="]
