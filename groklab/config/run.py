"""One training as a frozen value: ``Run``, checked before step 0 and hashed to its name.

A run is a tree of small dataclasses. The names of its leaves are unique, so that the same word is the keyword in Python, the
flag on the command line and the key in ``run.json``:

    Run.of(operation="addition", train_fraction=0.4, seed=3)

What the id depends on: task, model, training, interventions, precision and seeds, each field that differs from its default.
What it does not depend on, because it cannot change the history: budget, stop rule, evaluation and checkpoint spacing, measures,
device.
"""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from groklab import registry
from groklab.config.checks import FieldError, RunError, field_problems
from groklab.config.consistency import across_fields
from groklab.config.dependents import with_its_operation, without_what_does_not_apply
from groklab.config.fields import GROUPS, Fields, Model, Task, Training, leaves, resolved
from groklab.config.identity import as_annotated, identity, paper_name
from groklab.config.table_file import TableFile, table_file
from groklab.text.values import as_python, shown


@dataclass(frozen=True, kw_only=True)
class Run(Fields):
    """One training. Without any argument: the preset ``power_default``, division mod 97 at 50 % with AdamW (Power et al. 2022)."""

    @classmethod
    def of(cls, start: Run | None = None, /, **fields: Any) -> Run:
        """A run from the names of its leaves: ``Run.of(operation="addition", seed=3)``; RunError for unknown names and wrong types."""
        if start is not None and not isinstance(start, Run):
            raise TypeError(f"Run.of: start: got {shown(start)}; expected a Run, such as that of a preset.")
        run = start or cls()
        places = leaves()
        problems: list[FieldError] = []
        changes: dict[str, dict[str, Any]] = {}
        for name, value in fields.items():
            if name not in places:
                problems.append(FieldError(name, value, "a field of a run", registry.nearest(name, list(places))))
                continue
            changes.setdefault(places[name], {})[name] = _frozen(value)
        if problems:
            raise RunError(problems)
        groups = {g: dataclasses.replace(getattr(run, g), **new) for g, new in changes.items()}
        return dataclasses.replace(run, **groups).implied(fields)

    def replace(self, **fields: Any) -> Run:
        """This run with some leaves changed."""
        return Run.of(self, **fields)

    def implied(self, given: Collection[str]) -> Run:
        """This run with the operation that an expression, a file or a group among the given fields implies, unless they name one.

        What does not apply to the table, optimizer or network among the given fields and was not given either is at its default again.
        """
        return without_what_does_not_apply(with_its_operation(self, given), given)

    def at(self, file: str) -> Run:
        """This run with its table's file in another place; the table that was asked for stays the same."""
        moved = dataclasses.replace(self, task=dataclasses.replace(self.task, file=file))
        vars(moved)["table_file"] = self.table_file
        return moved

    # — identity —

    @cached_property
    def table_file(self) -> TableFile:
        """Content and reader of the table's file, as it was when this run was first asked for it: an edit does not change its id."""
        if self.task.file is None:
            raise ValueError(f"table_file: got a run of {self.task.operation}; expected one whose table comes from a file.")
        return table_file(self.task.file, self.task.reader)

    @property
    def table_hash(self) -> str:
        """Hash of the file that the table comes from."""
        return self.table_file.hash

    def canonical(self) -> dict[str, Any]:
        """What the id is the hash of: every field that can change the history and differs from its default."""
        values = self.resolved()
        default = resolved(_usual() | {name: values[name] for name in ("optimizer", "operation", "width")})
        kept = {
            name: value
            for name, value in values.items()
            if leaves()[name] != "budget" and (value != default[name] or name in ("operation", "optimizer", "width"))
        }
        for name, usual in (("operation", Task.operation), ("optimizer", Training.optimizer), ("width", Model.width)):
            if kept[name] == usual:
                del kept[name]
        for name in _STREAM_SEEDS:
            if kept.get(name) == values["seed"]:
                del kept[name]
        kept.pop("reader", None)
        if "file" in kept:
            kept |= self.table_file.canonical()
        if "group" in kept:
            kept["group"] = registry.canonical_call("group", kept["group"])
        if "expression" in kept:
            kept["expression"] = ast.unparse(ast.parse(kept["expression"].strip(), mode="eval"))
        for name, kind in (("optimizer", "optimizer"), ("schedule", "schedule"), ("loss", "loss"), ("architecture", "architecture")):
            if name in kept:
                kept[name] = registry.canonical_call(kind, kept[name])
                if kept[name] == _usual()[name]:  # the default written another way, as in adamw( )
                    del kept[name]
        if "interventions" in kept:
            kept["interventions"] = [registry.canonical_call("intervention", call) for call in kept["interventions"]]
        entry = registry.look_up("operation", values["operation"])
        if entry.source_hash is not None:
            kept["operation"] = f"{entry.name}@{entry.source_hash}"
        alias = paper_name(kept)
        if alias is not None:
            kept.pop("group", None)
            kept["operation"] = alias
        return {name: as_annotated(name, value) for name, value in sorted(kept.items())}

    @property
    def id(self) -> str:
        """Readable prefix and hash, such as ``division-97-f0.50-s0-3f2a91c4``; equal runs have equal ids on every machine."""
        version, found = vars(self).get("_identified", (None, ""))
        if version is not registry.version():  # a plugin that is loaded again may give its operation another hash
            found = identity(self.canonical(), self.resolved())
            vars(self)["_identified"] = registry.version(), found
        return found

    # — as text —

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """The whole tree, as ``from_dict`` reads it."""
        tree = dataclasses.asdict(self)
        return {g: {k: list(v) if isinstance(v, tuple) else v for k, v in tree[g].items()} for g in GROUPS}

    @classmethod
    def from_dict(cls, tree: Mapping[str, Any]) -> Run:
        """Read what ``to_dict`` wrote; RunError names unknown groups and fields. Fields that are absent have their defaults."""
        if not isinstance(tree, Mapping):
            raise TypeError(f"Run.from_dict: got {shown(tree)}; expected what Run.to_dict gives.")
        problems = [
            FieldError(group, tree[group], "a part of a run", registry.nearest(group, list(GROUPS)))
            for group in tree
            if group not in GROUPS
        ]
        flat: dict[str, Any] = {}
        for group in GROUPS:
            part = tree.get(group, {})
            if not isinstance(part, Mapping):
                problems.append(FieldError(group, part, "an object with the fields of a run"))
                continue
            for name, value in part.items():
                if leaves().get(str(name)) != group:
                    problems.append(FieldError(f"{group}.{name}", value, "a field of a run", registry.nearest(str(name), list(leaves()))))
                else:
                    flat[str(name)] = value
        if problems:
            raise RunError(problems)
        return cls.of(**flat)

    # — checks —

    def problems(self) -> list[FieldError]:
        """Everything that is wrong with this run, all at once; empty where it can be trained."""
        found = [p for group in GROUPS for p in field_problems(getattr(self, group))]
        wrong = {p.field for p in found}
        return found + [p for p in across_fields(self, wrong) if p.field not in wrong]

    def check(self) -> Run:
        """This run, if nothing is wrong with it; RunError with every problem otherwise."""
        found = self.problems()
        if found:
            raise RunError(found)
        return self


_STREAM_SEEDS = ("split_seed", "labels_seed", "weights_seed", "order_seed", "noise_seed")


def _frozen(value: Any, depth: int = 5) -> Any:
    """A list as a tuple, and those in it; what lies deeper than any field's value is left to the check of types."""
    value = as_python(value)
    return tuple(_frozen(v, depth - 1) for v in value) if depth and isinstance(value, (list, tuple)) else value


@lru_cache(maxsize=1)
def _usual() -> dict[str, Any]:
    """All leaves of the default run."""
    return Run().flat()
