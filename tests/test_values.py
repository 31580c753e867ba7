"""Values in messages: as Python writes them, at most a line long, whatever was given."""

import ast
from pathlib import Path

import pytest

import groklab
from groklab.config.run import Run
from groklab.text.values import shown

PACKAGE = Path(groklab.__file__).parent

WRITTEN_IN_FULL = {
    ("__init__.py", "name"),
    ("text/values.py", "value[:30] + '…' + value[-20:]"),
    ("stored/drawing.py", "settings[setting]"),
    ("commands/list.py", "default"),
    ("data/lookalikes.py", "printable(name, limit=40)"),
}
"""Places where a value is part of a call, or cannot be long."""


def test_no_message_of_the_package_writes_a_value_without_bound():
    found = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FormattedValue) and node.conversion == ord("r"):
                found.add((path.relative_to(PACKAGE).as_posix(), ast.unparse(node.value)))
    assert found <= WRITTEN_IN_FULL, "write {shown(value)} instead of {value!r}, so that a value of 5,000 characters is no message of 5,000"


HUGE = ["x" * 5000, "\x1b[31m" * 1000, ["y" * 900] * 50, {"a": "z" * 4000}, 10**5000, -(10**5000), b"q" * 9000, [[[[[[]]]]]] * 99]


@pytest.mark.parametrize("value", HUGE, ids=range(len(HUGE)))
def test_a_value_is_shown_in_a_line(value):
    told = shown(value)
    assert len(told) < 300
    assert "\x1b" not in told


def test_an_object_that_cannot_be_written_is_named_by_its_kind():
    class Broken:
        def __repr__(self):
            raise RuntimeError("no")

    assert shown(Broken()) == "a Broken"
    assert "a Broken" in shown([Broken()])


def test_numbers_and_short_text_are_as_python_writes_them():
    for value in ("additon", 0.5, 97, None, True, (0.9, 0.98), ["a", 1], float("nan"), "é\n"):
        assert shown(value) == repr(value)


def test_a_wrong_field_of_5000_characters_is_named_in_a_line():
    run = Run.of(operation="o" * 5000, optimizer="adamw(" + "eps=1" * 300 + ")", device="d" * 5000, seed=10**5000, measures=("m" * 5000,))
    told = [str(problem) for problem in run.problems()]
    assert len(told) >= 5
    assert max(map(len, told)) < 1000


def test_tags_in_a_report_are_text_and_numbers_below_others_stay():
    from groklab.replication.markdown import without_html

    told = without_html({"reason": "<script>x</script>\n<img src=x>, p < 0.01", "value": 0.5, "notes": ["a <b"]})
    assert told == {"reason": "\\<script>x\\</script> \\<img src=x>, p < 0.01", "value": 0.5, "notes": ["a \\<b"]}
