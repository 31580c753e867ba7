"""Problems of a run that involve more than one field, or that a registered function's own check finds."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from groklab import registry
from groklab.config.checks import FieldError, field_problems
from groklab.config.dependents import fields_of_table
from groklab.config.fields import Fields, Task, Training, leaves
from groklab.text.values import shown


def across_fields(run: Fields, wrong: set[str]) -> Iterator[FieldError]:
    """Problems that involve more than one field, or a registered function's own check."""
    run = _bounded(run, wrong)
    found = list(_apart_from_measures(run, wrong))
    yield from found
    if "measures" not in wrong:
        yield from _measure_problems(run, wrong | {problem.field for problem in found})


_HUGE = 10**40
"""No field is so large; Python itself refuses to write numbers of thousands of digits, which a check would put into its message."""


def _bounded(run: Fields, wrong: set[str]) -> Fields:
    """The run with the usual value of every wrong field that holds a huge number: the other fields are checked beside that."""
    for name in wrong & leaves().keys():
        part = getattr(run, leaves()[name])
        value = getattr(part, name)
        if isinstance(value, int) and abs(value) >= _HUGE:
            usual = {leaf.name: leaf.default for leaf in dataclasses.fields(part)}[name]
            run = dataclasses.replace(run, **{leaves()[name]: dataclasses.replace(part, **{name: usual})})
    return run


def _apart_from_measures(run: Fields, wrong: set[str]) -> Iterator[FieldError]:
    task, training, budget = run.task, run.training, run.budget
    if not isinstance(task.outliers, int) and not 0 < task.outliers < 1 and "outliers" not in wrong:
        yield FieldError("outliers", task.outliers, "a whole number of cells, or a share of the training cells in (0, 1)")
        wrong = wrong | {"outliers"}
    if "betas" not in wrong and not all(0 <= beta < 1 for beta in training.betas):
        yield FieldError("betas", training.betas, "two numbers in [0, 1)")
        wrong = wrong | {"betas"}
    yield from _unused_betas(run, wrong)
    if "device" not in wrong and not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", budget.device):
        yield FieldError("device", budget.device, "auto, cpu, cuda, cuda:N or mps")
    yield from _operation_problems(run, wrong)
    for name, kind, text in _calls(run):
        if name not in wrong:
            context = {"run": run} if kind in _NEED_RUN else {}
            for problem in registry.call_problems(kind, text, **context) or _not_numbers(kind, text):
                yield problem if isinstance(problem, FieldError) else FieldError(name, text, problem=str(problem))
    yield from _unseen_activations(run, wrong)
    if "interventions" not in wrong:
        yield from _repeated("interventions", "intervention", training.interventions)


_MEASURED = {"operation", "modulus", "group", "expression", "file", "architecture", "optimizer"}
"""Fields that measures ask about: where one is wrong, whether a measure applies is unknown, and only its name is checked."""


def _measure_problems(run: Fields, wrong: set[str]) -> Iterator[FieldError]:
    for text in run.budget.measures:
        problems = (
            _unknown(text) if wrong & _MEASURED else registry.call_problems("measure", text, run=run) or _not_numbers("measure", text)
        )
        for problem in problems:
            yield problem if isinstance(problem, FieldError) else FieldError("measures", text, problem=str(problem))
        if not problems and _fact("measure", text, "arrays"):
            advice = "Take it of stored checkpoints, with `groklab measure`."
            yield FieldError("measures", text, "measures that give numbers; this one gives arrays", advice)
    yield from _repeated("measures", "measure", run.budget.measures)


def _unknown(text: str) -> list[str]:
    try:
        registry.look_up("measure", registry.parse_call(text).name)
    except ValueError as error:
        return [str(error)]
    return []


def _repeated(field: str, kind: str, texts: Sequence[str]) -> Iterator[FieldError]:
    names = [name for text in texts if (name := _name(text))]
    for repeated in sorted({name for name in names if names.count(name) > 1}):
        yield FieldError(field, repeated, f"each {kind} once", "Merge the settings into one call.")


def _not_numbers(kind: str, text: str) -> list[str]:
    """Settings whose default is a number and whose value is none: what a user's own function without a check relies on."""
    call = registry.parse_call(text)
    defaults = registry.look_up(kind, call.name).settings
    return [
        f"{call.name}: {name}: got {shown(value)}; expected a number."
        for name, value in call.settings
        if type(defaults[name]) in (int, float) and type(value) not in (int, float, type(None))
    ]


def _unseen_activations(run: Fields, wrong: set[str]) -> Iterator[FieldError]:
    """Interventions on activations that the architecture shows to none, so that they would do nothing."""
    if wrong & {"architecture", "interventions"} or registry.call_problems("architecture", run.model.architecture):
        return
    architecture = registry.look_up("architecture", registry.parse_call(run.model.architecture).name)
    for text in run.training.interventions:
        if _fact("intervention", text, "at") == "activations" and not architecture.facts.get("activations"):
            problem = f"{_name(text)}: got the architecture {architecture.name}, which has no residual stream; expected transformer."
            yield FieldError("interventions", text, problem=problem)


def _name(text: str) -> str | None:
    """The name in a call; None where it cannot be read, which the call's own check reports."""
    try:
        return registry.parse_call(text).name
    except ValueError:
        return None


def _fact(kind: str, text: str, fact: str) -> object:
    """What the function that a call names declares; None where there is no such function or declaration."""
    entry = registry.entries(kind).get(_name(text) or "")
    return None if entry is None else entry.facts.get(fact)


def _unused_betas(run: Fields, wrong: set[str]) -> Iterator[FieldError]:
    """Betas of an optimizer that does not take them: two runs that differ in them alone would be the same training under two ids."""
    training = run.training
    entry = None if wrong & {"betas", "optimizer"} else registry.entries("optimizer").get(_name(training.optimizer) or "")
    if entry is not None and training.betas != Training.betas and "betas" not in entry.facts.get("not_settings", ()):
        yield FieldError("betas", training.betas, f"none, for {entry.name} has no betas", "Leave them out, or choose adamw.")


_NEED_RUN = ("optimizer", "intervention", "architecture", "schedule", "loss")


def _calls(run: Fields) -> Iterator[tuple[str, str, str]]:
    yield "architecture", "architecture", run.model.architecture
    yield "optimizer", "optimizer", run.training.optimizer
    yield "schedule", "schedule", run.training.schedule
    yield "loss", "loss", run.training.loss
    yield "stop", "stop", run.budget.stop
    for text in run.training.interventions:
        yield "interventions", "intervention", text


def _operation_problems(run: Fields, wrong: set[str]) -> Iterator[FieldError]:
    task = run.task
    if "operation" in wrong:
        return
    try:
        entry = registry.look_up("operation", task.operation)
    except ValueError as error:
        yield FieldError("operation", task.operation, problem=str(error))
        return
    wanted = fields_of_table(entry)
    for name in ("modulus", "group", "expression", "file"):
        value = getattr(task, name)
        if value is not None and name not in wanted:
            yield FieldError(
                name, value, f"nothing: the operation {task.operation} takes no {name}", f"Leave {name} out, or change the operation."
            )
        is_missing = value is None or (value == "" and name != "expression")  # of an empty formula its own check says more
        if is_missing and name in wanted and name != "modulus":
            yield FieldError(name, value, f"{'an' if name == 'expression' else 'a'} {name}, which the operation {task.operation} needs")
    if task.reader is not None and task.file is None:
        yield FieldError("reader", task.reader, "nothing, for no file is read", "Leave reader out, or give a file.")
    if task.group and "group" in wanted and "group" not in wrong:
        for problem in registry.call_problems("group", task.group):
            yield FieldError("group", task.group, problem=str(problem))
            return
    if not wrong & {"modulus", "group", "expression", "file"}:
        # What is wrong with the split does not hide what is wrong with the table: it is checked with the usual split.
        usual = {name: getattr(Task, name) for name in ("train_fraction", "outliers", "mirror_pairs") if name in wrong}
        yield from _check_of(entry)(dataclasses.replace(run, task=dataclasses.replace(task, **usual)))


def _check_of(entry: registry.Entry) -> Callable[[Any], Iterator[FieldError]]:
    """An operation's own check; a plugin's operation has that of the built-in ones."""
    return entry.facts.get("check") or registry.look_up("operation", "addition").facts["check"]


def task_problems(run: Fields) -> list[FieldError]:
    """What is wrong with the task alone, for those who want its table and no training."""
    found = field_problems(run.task)
    return found + list(_operation_problems(run, {problem.field for problem in found}))
