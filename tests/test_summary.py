"""What one history says: the quantities that grokking is about, on histories whose answers are known; and every example in a docstring."""

import doctest
import importlib
from pathlib import Path

import pytest

import groklab
from groklab.analysis.grokking import first_reaching, summary, told

PACKAGE = Path(groklab.__file__).parent
WITH_EXAMPLES = sorted(path for path in PACKAGE.rglob("*.py") if ">>> " in path.read_text(encoding="utf-8"))


def history(*rows):
    """Rows of step, train and validation accuracy."""
    return [{"step": s, "train_accuracy": t, "validation_accuracy": v, "train_loss": 1 - t, "validation_loss": 1 - v} for s, t, v in rows]


def test_the_threshold_itself_counts_as_reached():
    rows = history((0, 0.0, 0.0), (10, 0.99, 0.5), (100, 1.0, 0.99), (200, 0.98, 1.0))
    made = summary(rows, steps=200, threshold=0.99)
    assert (made.memorized_at, made.generalized_at, made.delay) == (10, 100, 10.0)
    assert first_reaching(rows, "train_accuracy", 0.991) == 100
    assert summary(rows, steps=200, threshold=1.0).generalized_at == 200
    assert told(made) == "grokked: memorized at step 10, generalized at step 100 (10.0 times later)"


def test_the_last_evaluation_is_told_and_the_best_one():
    made = summary(history((0, 0.0, 0.1), (5, 0.5, 0.7), (9, 0.4, 0.2)), steps=12, threshold=0.99)
    assert (made.steps, made.evaluated_at) == (12, 9)
    assert (made.train_accuracy, made.validation_accuracy, made.best_validation_accuracy) == (0.4, 0.2, 0.7)
    assert (made.train_loss, made.validation_loss) == (0.6, 0.8)
    assert (made.memorized_at, made.generalized_at, made.delay) == (None, None, None)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([], "not evaluated yet"),
        ([(0, 0.1, 0.1)], "neither memorized nor generalized within 50 steps"),
        ([(0, 0.1, 0.1), (5, 1.0, 0.3)], "memorized at step 5, not generalized within 50 steps (best validation accuracy 30.0 %)"),
        ([(0, 0.1, 0.1), (5, 1.0, 1.0)], "memorized at step 5, generalized at step 5 (together)"),
        ([(0, 0.1, 0.1), (5, 0.2, 1.0)], "not memorized, generalized at step 5"),
        ([(0, 0.1, 0.1), (5, 0.2, 1.0), (20, 1.0, 1.0)], "memorized at step 20, generalized at step 5 (4.0 times earlier)"),
        ([(0, 0.1, 1.0), (20, 1.0, 1.0)], "memorized at step 20, generalized at step 0 (earlier)"),
        ([(0, 0.1, 0.1), (100, 1.0, 0.5), (104, 1.0, 1.0)], "memorized at step 100, generalized at step 104 (together)"),
        ([(0, 0.1, 0.1), (100, 1.0, 0.5), (110, 1.0, 1.0)], "grokked: memorized at step 100, generalized at step 110 (1.1 times later)"),
        ([(0, 1.0, 0.1), (5, 1.0, 1.0)], "memorized at step 0, generalized at step 5"),
    ],
)
def test_each_ending_has_its_words(rows, words):
    assert told(summary(history(*rows), steps=50, threshold=0.99)) == words


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_the_examples_of_docstrings_are_true(path):
    if "dashboard" in path.parts:
        pytest.importorskip("dash", reason="the dashboard is an extra")
    name = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    results = doctest.testmod(importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    assert results.attempted > 0
    assert results.failed == 0
