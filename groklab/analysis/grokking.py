"""When a run memorized and when it generalized: the quantities that grokking is about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from groklab.text.numbers import GROKKED, percent

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Summary:
    """What one history says (design §9)."""

    steps: int
    """Updates made so far, or asked for where more are stored."""
    evaluated_at: int | None
    """Step of the evaluation that the accuracies and losses are from."""
    memorized_at: int | None
    """First evaluated step with train accuracy at the threshold; None: censored."""
    generalized_at: int | None
    """First evaluated step with validation accuracy at the threshold; None: censored."""
    delay: float | None
    """generalized_at ÷ memorized_at."""
    train_accuracy: float | None
    validation_accuracy: float | None
    best_validation_accuracy: float | None
    train_loss: float | None
    """Mean over the training cells, in nats."""
    validation_loss: float | None

    def to_dict(self) -> dict[str, Any]:
        """All of it by name."""
        return asdict(self)


def first_reaching(rows: Rows, column: str, threshold: float) -> int | None:
    """First evaluated step at which a column reaches the threshold; None where it never does."""
    return next((int(row["step"]) for row in rows if row.get(column) is not None and row[column] >= threshold), None)


def summary(rows: Rows, *, steps: int, threshold: float) -> Summary:
    """Summary of the evaluations up to ``steps``; an empty history gives a summary of Nones."""
    memorized = first_reaching(rows, "train_accuracy", threshold)
    generalized = first_reaching(rows, "validation_accuracy", threshold)
    last: Mapping[str, Any] = rows[-1] if rows else {}
    best = [row["validation_accuracy"] for row in rows if row.get("validation_accuracy") is not None]
    return Summary(
        steps=steps,
        evaluated_at=last.get("step"),
        memorized_at=memorized,
        generalized_at=generalized,
        delay=generalized / memorized if memorized and generalized is not None else None,
        train_accuracy=last.get("train_accuracy"),
        validation_accuracy=last.get("validation_accuracy"),
        best_validation_accuracy=max(best, default=None),
        train_loss=last.get("train_loss"),
        validation_loss=last.get("validation_loss"),
    )


def told(result: Summary, *, threshold: float = GROKKED) -> str:
    """One line for people; ``threshold`` is the accuracy that counts as generalized, across which none is rounded.

    >>> rows = [{"step": 0, "train_accuracy": 0.0, "validation_accuracy": 0.0}, {"step": 5, "train_accuracy": 1.0, "validation_accuracy": 0.1}]
    >>> told(summary(rows, steps=9, threshold=0.99))
    'memorized at step 5, not generalized within 9 steps (best validation accuracy 10.0 %)'
    """
    if result.evaluated_at is None:
        return "not evaluated yet"
    if result.memorized_at is None and result.generalized_at is None:
        return f"neither memorized nor generalized within {result.steps:,} steps"
    memorized = "not memorized" if result.memorized_at is None else f"memorized at step {result.memorized_at:,}"
    if result.generalized_at is None:
        best = result.best_validation_accuracy or 0.0
        return f"{memorized}, not generalized within {result.steps:,} steps (best validation accuracy {percent(best, threshold=threshold)})"
    if result.delay is None:
        return f"{memorized}, generalized at step {result.generalized_at:,}"
    ratio = _compared(result.delay)
    verdict = "grokked: " if ratio.endswith("later") else ""
    return f"{verdict}{memorized}, generalized at step {result.generalized_at:,} ({ratio})"


def _compared(delay: float) -> str:
    """A delay in words, as far as the digits that are shown tell it from none."""
    if not delay:
        return "earlier"
    times = f"{max(delay, 1 / delay):.1f}"
    return "together" if times == "1.0" else f"{times} times {'later' if delay > 1 else 'earlier'}"
