"""Which runs can decide a claim: its rule, applied to what they would give if the paper's sentence were right.

A claim's fact ``expects`` is a function of a run to the results that the sentence promises of it, and to the findings that the rule
reads: steps of memorizing and generalizing, if they fall into the budget, and more columns by name. Seeds differ by a few percent. Nothing here
says anything about what is true; a scale whose runs cannot decide even then has too few of them, or too short ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import polars as pl

from groklab import registry
from groklab.claims.rules import judge
from groklab.config.experiments import settings_of
from groklab.config.run import Run

_WHOLE = ("memorized_at", "generalized_at", "steps", "evaluated_at")
_TOLD = ("operation", "modulus", "train_fraction", "learning_rate", "weight_decay", "seed")


def can_decide(entry: registry.Entry, scale: str) -> bool:
    """Whether the runs of its experiment that a claim rests on, all of them complete at this scale, can decide it."""
    return _can_decide(entry.name, scale, registry.version())


@lru_cache(maxsize=256)
def _can_decide(name: str, scale: str, version: object) -> bool:
    """Kept for one version of the registry: another claim may have the name in the next, or another experiment decide it."""
    entry = registry.look_up("claim", name)
    table = expected_table(entry, scale)
    if table.is_empty():
        return False
    return entry.facts["expects"] is None or judge(entry, table).verdict != "undecided"


def expected_table(entry: registry.Entry, scale: str) -> pl.DataFrame:
    """The results of the runs that a claim rests on, as its paper has them: a row each, like those of ``groklab replicate``."""
    expects = entry.facts["expects"]
    rows = [
        {"setting": label, **_row(run, {} if expects is None else expects(run))}
        for label, runs in settings_of(str(entry.facts["experiment"]), scale).items()
        for run in runs
        if entry.facts["runs"](run)
    ]
    return pl.DataFrame(rows, schema_overrides=dict.fromkeys(_WHOLE, pl.Int64), infer_schema_length=None)


def _row(run: Run, expected: Mapping[str, Any]) -> dict[str, Any]:
    values, scatter = run.resolved(), 1 + 0.01 * (run.seeds.seed % 5 - 2)
    at = {
        name: None if expected.get(name, usual) is None else round(scatter * expected.get(name, usual))
        for name, usual in (("memorized_at", 1_000), ("generalized_at", None))
    }
    stop = {"memorized": at["memorized_at"], "generalized": at["generalized_at"]}.get(run.budget.stop.partition("(")[0])
    end = min(run.budget.steps, run.budget.steps if stop is None else stop)
    reached = {name: step if step is not None and step <= end else None for name, step in at.items()}
    accuracy = 0.02 if reached["generalized_at"] is None else 1.0
    outliers = values["outliers"]
    return {
        **{name: values[name] for name in _TOLD},
        "id": run.id, "status": "complete", "as_asked": True, "steps": end, "evaluated_at": end,
        "outliers": float(outliers) if outliers else 0.0,
        "train_accuracy": 0.02 if reached["memorized_at"] is None else 1.0,
        "validation_accuracy": accuracy, "best_validation_accuracy": accuracy,
        **{name: value for name, value in expected.items() if name not in at},
        **reached,
    }  # fmt: skip
