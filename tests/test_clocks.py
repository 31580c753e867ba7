"""No test of `make test` depends on the time that other work leaves it: what it asserts is not read from a clock.

To wait for an event, with a limit that no machine reaches, is no such assertion: it stands in a ``while``.
"""

import ast
import re
from pathlib import Path

import pytest

TESTS = sorted(set(Path(__file__).parent.glob("*.py")) - {Path(__file__)})
CLOCKS = {
    "time",
    "monotonic",
    "perf_counter",
    "process_time",
    "thread_time",
    "clock_gettime",
    "getrusage",
    "times",
    "default_timer",
    "timeit",
}
CLOCKS |= {f"{name}_ns" for name in CLOCKS} | {"yardsticks"}
"""Functions that read a clock, of the wall or of a processor, and what measures by one."""
SHORTEST = 100
"""Seconds that a test at least waits for something before it fails."""


def reads_a_clock(node, names=frozenset()):
    """Whether an expression calls a clock or has a name that holds what one has said."""
    return any(
        (isinstance(part, ast.Call) and name_of(part.func) in CLOCKS) or (isinstance(part, ast.Name) and part.id in names)
        for part in ast.walk(node)
    )


def name_of(function):
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def names_in(target):
    return {part.id for part in ast.walk(target) if isinstance(part, ast.Name)}


def is_slow(node):
    return any("slow" in ast.unparse(mark) for mark in getattr(node, "decorator_list", []))


def offences(text):
    """Lines of a test file in which an assertion depends on a clock, or waits less than it could have to."""
    tree = ast.parse(text)
    marks = [ast.unparse(node) for node in tree.body if isinstance(node, ast.Assign) and names_in(node.targets[0]) == {"pytestmark"}]
    slow_as_a_whole = any("mark.slow" in mark for mark in marks)
    for function in [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and not (slow_as_a_whole or is_slow(node))]:
        told: set[str] = set()
        for _ in range(3):  # what is reckoned from what a clock has said
            for node in ast.walk(function):
                if (
                    isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign)
                    and node.value is not None
                    and reads_a_clock(node.value, told)
                ):
                    told |= {name for target in getattr(node, "targets", [getattr(node, "target", None)]) for name in names_in(target)}
                if isinstance(node, ast.Call) and name_of(node.func) == "append" and any(reads_a_clock(given, told) for given in node.args):
                    told |= names_in(node.func)
        waiting = {id(part) for node in ast.walk(function) if isinstance(node, ast.While) for part in ast.walk(node)}
        for node in ast.walk(function):
            if isinstance(node, ast.Assert) and id(node) not in waiting and reads_a_clock(node.test, told):
                yield node.lineno, ast.unparse(node)
    for node in ast.walk(tree):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add) and reads_a_clock(node.left) and too_short(node.right):
            yield node.lineno, ast.unparse(node)
        if isinstance(node, ast.keyword) and node.arg == "timeout" and too_short(node.value):
            yield node.lineno, ast.unparse(node)
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and re.search(r"(perf_counter|process_time|thread_time)(_ns)?\(", node.value)
        ):
            yield node.lineno, "a program that reads a clock"


def too_short(node):
    return isinstance(node, ast.Constant) and isinstance(node.value, int | float) and node.value < SHORTEST


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.stem)
def test_nothing_that_is_asserted_is_read_from_a_clock(path):
    assert list(offences(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("def test_it():\n    began = time.monotonic()\n    work()\n    assert time.monotonic() - began < 5", [4]),
        (
            "def test_it():\n    began = clock.perf_counter_ns()\n    work()\n    passed = now() - began\n    share = passed / 2\n    assert share < 5",
            [6],
        ),
        ("def test_it():\n    found = []\n    found.append(process_time())\n    assert min(found) < 2", [4]),
        ("@pytest.mark.slow\ndef test_it():\n    assert yardsticks(work) < 5", []),
        ("def test_it():\n    assert yardsticks(work) < 5", [2]),
        ("def until(condition):\n    end = time.monotonic() + 300\n    while not condition():\n        assert time.monotonic() < end", []),
        ("def until(condition):\n    end = time.monotonic() + 20\n    while not condition():\n        assert time.monotonic() < end", [2]),
        ("def test_it():\n    process.communicate(timeout=30)", [2]),
        ("CODE = 'print(time.process_time())'", [1]),
        ("def test_it():\n    began = time.time()\n    make(began)\n    assert is_made()", []),
    ],
)
def test_clocks_in_assertions_are_found(text, lines):
    assert [line for line, _ in offences(text)] == lines
