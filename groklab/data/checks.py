"""Whether a run's table can be made and split: sizes first, without building anything, then the table itself."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from groklab import registry
from groklab.config.checks import FieldError
from groklab.config.fields import Task
from groklab.config.run import Run
from groklab.data.expressions import parse
from groklab.data.groups import CELL_LIMIT, about, group_problems
from groklab.data.lookalikes import same_looks
from groklab.data.splits import split_problem
from groklab.data.table import Table
from groklab.data.tables import table_of


def task_problems(run: Run) -> Iterator[FieldError]:
    """Everything that is wrong with a run's table and split; the check of every operation, a plugin's too."""
    entry = registry.look_up("operation", run.task.operation)
    if _is_incomplete(run.task, entry):
        return
    found = list(_before_building(run.task, entry))
    yield from found
    if found:
        return
    made = _table_or_problem(run.task, entry)
    if isinstance(made, FieldError):
        yield made
        return
    wrong = split_problem(run.task, made, run.seeds.of("split"))
    if wrong is not None:
        field, expected, advice = wrong
        yield FieldError(field, getattr(run.task, field), expected, advice)


def _is_incomplete(task: Task, entry: registry.Entry) -> bool:
    """Whether the group, file or formula is missing, which the check of the run's fields has reported already."""
    over = entry.facts.get("over")
    return (
        (over == "group" and not task.group)
        or (over == "file" and not task.file)
        or (entry.name == "expression" and task.expression is None)
    )


def _before_building(task: Task, entry: registry.Entry) -> Iterator[FieldError]:
    over = entry.facts.get("over", "modulus")
    if over == "modulus":
        modulus = 97 if task.modulus is None else task.modulus
        largest = math.isqrt(CELL_LIMIT)
        if modulus > largest:
            size = about(modulus * modulus)
            yield FieldError("modulus", modulus, f"at most {largest:,}", f"Its table would have {size} cells; the limit is {CELL_LIMIT:,}.")
        elif "requires" in entry.facts:
            yield from _requirement(modulus, entry)
        if entry.name == "expression" and task.expression is not None:
            try:
                parse(task.expression)
            except ValueError as error:
                yield FieldError("expression", task.expression, problem=str(error))
    elif over == "group" and task.group is not None:
        for problem in group_problems(registry.parse_call(task.group)):
            yield FieldError("group", task.group, problem=problem)


def _requirement(modulus: int, entry: registry.Entry) -> Iterator[FieldError]:
    """A requirement answers with what it expects, with that and an advice, or simply with true or false (numpy's as well)."""
    try:
        answer: object = entry.facts["requires"](modulus)
    except Exception as error:
        told = f"{entry.name}: its requires failed for the modulus {modulus} with {type(error).__name__}: {error}."
        yield FieldError("operation", entry.name, problem=told)
        return
    if isinstance(answer, np.bool_):
        answer = bool(answer)
    match answer:
        case None | True:
            return
        case (str(expected), str(advice)):
            yield FieldError("modulus", modulus, expected, advice)
        case str(expected):
            yield FieldError("modulus", modulus, expected)
        case _:
            yield FieldError("modulus", modulus, "a modulus that the operation is defined for")


def _table_or_problem(task: Task, entry: registry.Entry) -> Table | FieldError:
    try:
        made = table_of(task)
    except ValueError as error:
        words = str(error)
        # A plugin's group may fail when it is built, its operation when it is computed; each says so in front.
        field = next((name for name in ("file", "group", "operation") if words.startswith(f"{name} ")), "operation")
        if entry.name == "expression":
            field = "expression"
        return FieldError(field, getattr(task, field), problem=words.removeprefix(f"{field} "))
    if (wrong := same_looks(made.elements)) is not None:
        field = {"file": "file", "group": "group"}.get(entry.facts.get("over", ""), "operation")
        return FieldError(field, getattr(task, field), problem=wrong)
    return made
