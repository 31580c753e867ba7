"""Fields that mean something beside others only: a modulus of a modular operation, betas of Adam, positions of a transformer.

Whoever departs from a preset or from another run and asks for another table, optimizer or network has not asked for what the start says
of such fields. Where they do not apply to what was asked for they are taken back to their defaults; where they were
asked for too, the checks say that the two do not go together.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from typing import Any, TypeVar

from groklab import registry
from groklab.config.fields import Fields

AnyRun = TypeVar("AnyRun", bound=Fields)

SOURCES = ("operation", "expression", "file", "group")
"""Fields of which each says what the table is."""

_OF_TABLES = ("modulus", "group", "expression", "file")


def fields_of_table(entry: registry.Entry) -> set[str]:
    """The fields, of modulus, group, expression and file, that an operation takes."""
    over = entry.facts.get("over", "modulus")
    wanted = {"modulus": {"modulus"}, "group": {"group"}, "file": {"file"}, "fixed group": set[str]()}[over]
    return wanted | ({"expression"} if entry.name == "expression" else set())


def with_its_operation(run: AnyRun, given: Collection[str]) -> AnyRun:
    """This run with the operation that an expression, a file or a group among the given fields implies, unless they name one."""
    for name, operation in (("expression", "expression"), ("file", "from_file"), ("group", "group_product")):
        is_given = name in given and "operation" not in given and getattr(run.task, name) is not None
        if is_given and not _goes_with(run.task.operation, name):
            return dataclasses.replace(run, task=dataclasses.replace(run.task, operation=operation))
    return run


def _goes_with(operation: str, name: str) -> bool:
    """Whether an operation takes an expression, a file or a group as it is; so may one that nobody knows here."""
    entry = registry.entries("operation").get(operation)
    return entry is None or name in (entry.name, entry.facts.get("over"))


def without_what_does_not_apply(run: AnyRun, given: Collection[str]) -> AnyRun:
    """This run with the fields at their defaults that were not given and do not apply to the table, optimizer or network that was.

    What nobody knows by name, or is of a wrong type, is left to the checks.
    """
    changes: dict[str, dict[str, Any]] = {"task": {}, "model": {}, "training": {}}
    if any(name in given for name in SOURCES):
        changes["task"] = _of_table(run, given)
    if "optimizer" in given and "betas" not in given:
        changes["training"] = _of_optimizer(run)
    if "architecture" in given:
        changes["model"] = _of_architecture(run, given)
    elif "biases" in given and run.model.biases and "mlp_biases" not in given and run.model.mlp_biases:
        changes["model"] = {"mlp_biases": False}  # biases has those of the MLPs
    parts = {part: dataclasses.replace(getattr(run, part), **changed) for part, changed in changes.items() if changed}
    return dataclasses.replace(run, **parts) if parts else run


def _of_table(run: Fields, given: Collection[str]) -> dict[str, Any]:
    left_over = [name for name in (*_OF_TABLES, "reader") if name not in given and getattr(run.task, name) is not None]
    entry = registry.entries("operation").get(run.task.operation) if left_over else None
    if entry is None:
        return {}
    wanted = fields_of_table(entry)
    return {name: None for name in left_over if name not in wanted and not (name == "reader" and "file" in wanted)}


def _of_optimizer(run: Fields) -> dict[str, Any]:
    usual = type(run.training).betas
    entry = _named("optimizer", run.training.optimizer) if run.training.betas != usual else None
    return {} if entry is None or "betas" in entry.facts.get("not_settings", ()) else {"betas": usual}


def _of_architecture(run: Fields, given: Collection[str]) -> dict[str, Any]:
    usual = {field.name: field.default for field in dataclasses.fields(run.model)}
    other = [name for name in usual if name not in given and getattr(run.model, name) != usual[name]]
    entry = _named("architecture", run.model.architecture) if other else None
    if entry is None:
        return {}
    try:
        settings = registry.settings_of("architecture", run.model.architecture)
        unused = set(entry.facts["unused"](settings)) if "unused" in entry.facts else set[str]()
    except (KeyError, ValueError, TypeError):  # settings that its own check refuses
        return {}
    known = entry.facts.get("initializations", (run.model.initialization,))
    return {name: usual[name] for name in other if name in unused or (name == "initialization" and run.model.initialization not in known)}


def _named(kind: str, call: object) -> registry.Entry | None:
    try:
        return registry.entries(kind).get(registry.parse_call(call).name) if isinstance(call, str) else None
    except ValueError:
        return None
