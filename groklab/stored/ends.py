"""What is known of runs at their ends, beyond their summaries: results of the last evaluation, and measures of its checkpoint."""

from __future__ import annotations

import time
from collections.abc import Sequence

from groklab import registry
from groklab.outside.streams import aside
from groklab.results.files import StoreError
from groklab.results.measures import kept_numbers
from groklab.results.plugins import UntrustedError
from groklab.stored.measurements import measure
from groklab.stored.results import StoredResults

_SILENCE = 10.0
"""Seconds after which it is told how many runs have been measured."""


def results_at_the_end(names: Sequence[str], there: Sequence[StoredResults]) -> dict[str, list[float | None]]:
    """Columns of the last evaluation within the budget, by name; None where a run has none of that name."""
    last = [(run.rows or [{}])[-1] for run in there]
    return {name: [row.get(name) for row in last] for name in names}


def measures_at_the_end(names: Sequence[str], there: Sequence[StoredResults]) -> dict[str, list[float | None]]:
    """Measures of one number of every run at its end, by name: kept ones, or taken now; what takes long is told while it does.

    None where the checkpoint of the last evaluation is not stored, or the run diverged.
    """
    return {registry.parse_call(name).name: _measured(name, there) for name in names}


def _measured(text: str, there: Sequence[StoredResults]) -> list[float | None]:
    name, began = registry.parse_call(text).name, time.monotonic()
    values: list[float | None] = []
    for run in there:
        values.append(_at_the_end(run, text))
        if time.monotonic() - began > _SILENCE:
            aside(f"{name}: {len(values):,} of {len(there):,} runs")
            began = time.monotonic()
    return values


def _at_the_end(found: StoredResults, name: str) -> float | None:
    rows = found.rows
    if not rows:
        return None
    evaluated_at = int(rows[-1]["step"])
    kept = kept_numbers(found.folder).get(name, {}).get(evaluated_at, {})
    if kept:  # also where the checkpoint itself was not kept
        return next((float(value) for value in kept.values() if value is not None), None)
    if found.status == "diverged" or evaluated_at not in found.folder.steps_of("checkpoints"):
        return None  # such as the end of a smaller budget, or a run of which only the history was kept
    try:
        values = measure([name], found, steps=[evaluated_at])[0].values
    except (StoreError, UntrustedError) as error:
        aside(f"groklab: {name} was not taken: {error}")
        return None
    return next((float(value) for value in values.values() if value is not None), None)
