"""Arguments of a wrong kind: public functions and settings of registered functions name them, in groklab's words, before anything is done."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

import groklab as gl
from groklab import registry
from groklab.config.run import Run
from groklab.registry.signatures import checked, described, matches


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: gl.train(5), "train: run: got 5; expected a Run."),
        (lambda: gl.train(operation="addition", runs=5), "train: runs: got 5; expected text or a path."),
        (lambda: gl.train(should_stop=1), "train: should_stop: got 1; expected a function."),
        (lambda: gl.train(wait="no"), "train: wait: got 'no'; expected true or false."),
        (lambda: gl.load(None), "load: text: got None; expected text."),
        (lambda: gl.load("latest", runs=b"runs"), "load: runs: got b'runs'; expected text or a path."),
        (lambda: gl.stored_runs(3.5), "stored_runs: runs: got 3.5; expected text or a path."),
        (lambda: gl.continued(["a"]), "continued: text: got ['a']; expected text."),
        (lambda: gl.continued("latest", steps=1.5), "continued: steps: got 1.5; expected a whole number."),
        (lambda: gl.table(5), "table: task: got 5; expected a Task."),
        (lambda: gl.sweep("addition"), "sweep: start: got 'addition'; expected a Run."),
        (lambda: gl.sweep(workers="two"), "sweep: workers: got 'two'; expected a whole number."),
        (lambda: gl.complete(None), "complete: path: got None; expected text or a path."),
        (lambda: gl.complete("t.csv", seeds=[1, "x"]), "complete: seeds: got [1, 'x']; expected a whole number or several of: a whole number."),
        (lambda: gl.Run(task=5), "Run: task: got 5; expected a Task. Run.of takes the fields by their names."),
        (lambda: gl.Run.of(5), "Run.of: start: got 5; expected a Run, such as that of a preset."),
        (lambda: gl.measure(5), "measure: got 5; expected facts by name, or none: write @measure() above a function."),
        (lambda: gl.operation(lambda x, y, n: x), "expected facts by name, or none: write @operation() above a function."),
        (lambda: gl.loss()("text"), "loss: got 'text'; expected a function below the decorator."),
    ],
)  # fmt: skip
def test_a_wrong_kind_is_named(call, told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TypeError, match=re.escape(told)):
        call()
    assert not list(tmp_path.iterdir())


def test_a_field_nested_without_end_is_a_wrong_field():
    deep: list[Any] = []
    for _ in range(5000):
        deep = [deep]
    assert any(problem.field == "operation" for problem in Run.of(operation=deep).problems())


@pytest.mark.parametrize(
    ("kind", "call", "told"),
    [
        ("figure", "steps_against(x=5)", "steps_against: x: got 5; expected text."),
        ("figure", "learning_curves(threshold='a')", "learning_curves: threshold: got 'a'; expected a number."),
        ("figure", "operation_table(names_up_to=1.5)", "operation_table: names_up_to: got 1.5; expected a whole number."),
    ],
)
def test_a_setting_of_a_wrong_kind_is_named_by_the_signature(kind, call, told):
    assert told in [str(problem) for problem in registry.call_problems(kind, call)]


@pytest.mark.parametrize(
    ("value", "hint", "fits"),
    [
        (5, int, True), (True, int, False), (5, float, True), (float("nan"), float, False), (10**400, float, False), ("a", str | None, True), (None, str | None, True),
        ("a", Literal["a", "b"], True), ("c", Literal["a", "b"], False), ((1, 2), tuple[int, ...], True), ((1, "x"), tuple[int, ...], False), ([1], Sequence[int], True),
        ("ab", Sequence[str], False), (["a", 1], Sequence[str], False), (len, Callable[[int], int], True), (5, Callable[[int], int], False), (Path("a"), str | Path, True),
        (5, Any, True), ({"a": 1}, dict[str, int], True), (range(10**9), Sequence[int], True),
    ],
)  # fmt: skip
def test_values_against_annotations(value, hint, fits):
    assert matches(value, hint) is fits


def test_numbers_of_numpy_are_numbers():
    @checked
    def doubled(value: int, more: Sequence[float] = ()) -> int:
        return 2 * value

    assert doubled(np.int64(3), more=np.arange(2.0)) == 6
    with pytest.raises(TypeError, match="more: got"):
        doubled(1, more=np.array(["a"]))
    assert described(int | None) == "a whole number"


def test_every_public_function_checks_its_arguments():
    for name in gl.__all__:
        found = getattr(gl, name)
        if not isinstance(found, type):
            assert hasattr(found, "__wrapped__"), f"{name}: decorate it with signatures.checked"
