"""Problems of a run that involve more than one field, or that a registered function's own check finds."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from groklab import registry
from groklab.config.checks import FieldError, field_problems
from groklab.config.run import Run, Task


def across_fields(run: Run, wrong: set[str]) -> Iterator[FieldError]:
    """Problems that involve more than one field, or a registered function's own check."""
    found = list(_apart_from_measures(run, wrong))
    yield from found
    if "measures" not in wrong:
        yield from _measure_problems(run, wrong | {problem.field for problem in found})


def _apart_from_measures(run: Run, wrong: set[str]) -> Iterator[FieldError]:
    task, model, training, budget = run.task, run.model, run.training, run.budget
    if not wrong & {"width", "heads"} and model.width % model.heads:
        divisors = [h for h in range(1, model.width + 1) if model.width % h == 0][:8]
        yield FieldError("heads", model.heads, f"a divisor of the width {model.width}", f"Try one of {divisors}, or change the width.")
    if not wrong & {"width", "positions"} and model.positions == "sinusoidal" and model.width % 2:
        yield FieldError("width", model.width, "an even number with sinusoidal positions", "Add 1, or choose positions learned or none.")
    if not isinstance(task.outliers, int) and not 0 < task.outliers < 1 and "outliers" not in wrong:
        yield FieldError("outliers", task.outliers, "a whole number of cells, or a share of the training cells in (0, 1)")
        wrong = wrong | {"outliers"}
    if "betas" not in wrong and not all(0 <= beta < 1 for beta in training.betas):
        yield FieldError("betas", training.betas, "two numbers in [0, 1)")
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", str(budget.device)):
        yield FieldError("device", budget.device, "auto, cpu, cuda, cuda:N or mps")
    yield from _operation_problems(run, wrong)
    for name, kind, text in _calls(run):
        if name not in wrong:
            context = {"run": run} if kind in _NEED_RUN else {}
            for problem in registry.call_problems(kind, text, **context) or _not_numbers(kind, text):
                yield FieldError(name, text, problem=problem)
    yield from _unseen_activations(run, wrong)
    if "interventions" not in wrong:
        yield from _repeated("interventions", "intervention", training.interventions)


_MEASURED = {"operation", "modulus", "group", "expression", "file", "architecture", "optimizer"}
"""Fields that measures ask about: where one is wrong, whether a measure applies is unknown, and only its name is checked."""


def _measure_problems(run: Run, wrong: set[str]) -> Iterator[FieldError]:
    for text in run.budget.measures:
        problems = (
            _unknown(text) if wrong & _MEASURED else registry.call_problems("measure", text, run=run) or _not_numbers("measure", text)
        )
        for problem in problems:
            yield FieldError("measures", text, problem=problem)
        if not problems and registry.look_up("measure", registry.parse_call(text).name).facts.get("arrays"):
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
    names = [text.split("(")[0].strip() for text in texts]
    for repeated in sorted({name for name in names if names.count(name) > 1}):
        yield FieldError(field, repeated, f"each {kind} once", "Merge the settings into one call.")


def _not_numbers(kind: str, text: str) -> list[str]:
    """Settings whose default is a number and whose value is none: what a user's own function without a check relies on."""
    call = registry.parse_call(text)
    defaults = registry.look_up(kind, call.name).settings
    return [
        f"{call.name}: {name}: got {value!r}; expected a number."
        for name, value in call.settings
        if type(defaults[name]) in (int, float) and type(value) not in (int, float, type(None))
    ]


def _unseen_activations(run: Run, wrong: set[str]) -> Iterator[FieldError]:
    """Interventions on activations that the architecture shows to none, so that they would do nothing."""
    if wrong & {"architecture", "interventions"} or registry.call_problems("architecture", run.model.architecture):
        return
    architecture = registry.look_up("architecture", registry.parse_call(run.model.architecture).name)
    known = registry.entries("intervention")
    for text in run.training.interventions:
        name = text.split("(")[0].strip()
        if name in known and known[name].facts["at"] == "activations" and not architecture.facts.get("activations"):
            problem = f"{name}: got the architecture {architecture.name}, which has no residual stream; expected transformer."
            yield FieldError("interventions", text, problem=problem)


_NEED_RUN = ("optimizer", "intervention", "architecture", "schedule", "loss")


def _calls(run: Run) -> Iterator[tuple[str, str, str]]:
    yield "architecture", "architecture", run.model.architecture
    yield "optimizer", "optimizer", run.training.optimizer
    yield "schedule", "schedule", run.training.schedule
    yield "loss", "loss", run.training.loss
    yield "stop", "stop", run.budget.stop
    for text in run.training.interventions:
        yield "interventions", "intervention", text


def _operation_problems(run: Run, wrong: set[str]) -> Iterator[FieldError]:
    task = run.task
    if "operation" in wrong:
        return
    try:
        entry = registry.look_up("operation", task.operation)
    except ValueError as error:
        yield FieldError("operation", task.operation, problem=str(error))
        return
    over = entry.facts.get("over", "modulus")
    wanted = {"modulus": {"modulus"}, "group": {"group"}, "file": {"file"}, "fixed group": set[str]()}[over]
    wanted |= {"expression"} if task.operation == "expression" else set()
    for name in ("modulus", "group", "expression", "file"):
        value = getattr(task, name)
        if value is not None and name not in wanted:
            yield FieldError(
                name, value, f"nothing: the operation {task.operation} takes no {name}", f"Leave {name} out, or change the operation."
            )
        if value is None and name in wanted and name != "modulus":
            yield FieldError(name, value, f"a {name}, which the operation {task.operation} needs")
    if task.group is not None and "group" in wanted and "group" not in wrong:
        for problem in registry.call_problems("group", task.group):
            yield FieldError("group", task.group, problem=problem)
            return
    if not wrong & {"modulus", "group", "expression", "file"}:
        # What is wrong with the split does not hide what is wrong with the table: it is checked with the usual split.
        usual = {name: getattr(Task, name) for name in ("train_fraction", "outliers", "mirror_pairs") if name in wrong}
        yield from _check_of(entry)(run.replace(**usual))


def _check_of(entry: registry.Entry) -> Callable[[Run], Iterator[FieldError]]:
    """An operation's own check; a plugin's operation has that of the built-in ones."""
    return entry.facts.get("check") or registry.look_up("operation", "addition").facts["check"]


def task_problems(run: Run) -> list[FieldError]:
    """What is wrong with the task alone, for those who want its table and no training."""
    found = field_problems(run.task)
    return found + list(_operation_problems(run, {problem.field for problem in found}))
