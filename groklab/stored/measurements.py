"""Measures of the stored checkpoints of runs: taken where they are not kept, and kept with the runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from groklab import registry
from groklab.results.measures import Measured
from groklab.results.plugins import Trust
from groklab.results.store import RunFolder
from groklab.stored.results import StoredResults

if TYPE_CHECKING:
    from groklab.measures.task import MeasuredTask
    from groklab.model.parameters import Parameters


@dataclass(frozen=True)
class Measurement:
    """One measure of one checkpoint."""

    run: str
    measure: str
    step: int
    values: Mapping[str, float | None] | Mapping[str, np.ndarray]
    """Named numbers (null: not finite) or named arrays."""
    file: Path
    """Where it is kept."""

    @property
    def has_arrays(self) -> bool:
        """Whether the values are arrays."""
        return any(isinstance(value, np.ndarray) for value in self.values.values())

    def to_dict(self) -> dict[str, Any]:
        """As JSON tells it: numbers, or the shapes of arrays."""
        told: dict[str, Any] = {"run": self.run, "measure": self.measure, "step": self.step}
        if self.has_arrays:
            told["arrays"] = {name: list(np.asarray(value).shape) for name, value in self.values.items()}
        else:
            told["values"] = dict(self.values)
        return told | {"file": str(self.file)}


def measure(
    names: Sequence[str],
    run: StoredResults,
    *,
    steps: Sequence[int] | None = None,
    into: Path | None = None,
    trust_plugins: Trust = False,
    on_step: Callable[[int], None] | None = None,
) -> list[Measurement]:
    """Measures of a stored run's checkpoints (all of them unless steps are given), taken where they are not kept already.

    They are kept with the run, or in the folder ``into`` where the run's is not to be changed. A plugin that the run was trained with is
    executed from the copy in its folder only with ``trust_plugins``; UntrustedError where the measures need it and it is not loaded.

    ValueError where a measure is unknown or does not apply to the run, naming those that do; StoreError where a checkpoint is missing,
    naming the nearest.
    """
    from groklab.results.files import StoreError

    if trust_plugins:
        run.folder.run(trust_plugins)
    run.check_known()
    calls = calls_of(names, run)
    stored = run.folder.steps_of("checkpoints")
    if not stored:
        raise StoreError(
            f"{run.id} has no stored checkpoints. Measures are taken of them; copy them into its folder, or remove the run and train it again."
        )
    for step in steps or ():
        if step not in stored:
            run.folder.read_step("checkpoints", step)  # which says what there is
    found: list[Measurement] = []
    for step in steps or stored:
        found += _of_checkpoint(run, calls, step, into)
        if on_step is not None:
            on_step(step)
    return found


def _of_checkpoint(run: StoredResults, calls: Mapping[str, str], step: int, into: Path | None) -> Iterator[Measurement]:
    """Every measure of one checkpoint, whose parameters are read only where something is missing."""
    surroundings: tuple[Parameters, MeasuredTask] | None = None
    for call, text in calls.items():
        kept = Measured(run.folder, call)
        if into is not None and step not in kept.numbers() and step not in kept.array_steps():
            kept = Measured(RunFolder(into), call)
        numbers = kept.numbers()
        if step in numbers:
            yield Measurement(run.id, call, step, numbers[step], kept.file)
        elif step in kept.array_steps():
            yield Measurement(run.id, call, step, kept.arrays(step), kept.arrays_file(step))
        else:
            from groklab.measures.task import take_one

            surroundings = surroundings or checkpoint_of(run, step)
            values = take_one(text, *surroundings)
            if any(isinstance(value, np.ndarray) for value in values.values()):
                arrays = {name: np.asarray(value) for name, value in values.items()}
                kept.keep_arrays(step, arrays)
                yield Measurement(run.id, call, step, arrays, kept.arrays_file(step))
            else:
                kept.keep_numbers({step: {name: float(value) for name, value in values.items()}})
                yield Measurement(run.id, call, step, kept.numbers()[step], kept.file)


def parameters_at(run: StoredResults, step: int | None = None) -> Parameters:
    """The parameters of a checkpoint, by default the last within the budget, with a run axis of one: (1, P)."""
    from groklab.model.parameters import parameters_from
    from groklab.training.batches import DTYPES, network

    run.check_known()
    _, _, layout = network(run.run)
    chosen, arrays = run.folder.read_step("checkpoints", run.last_step("checkpoints") if step is None else step)
    of = f"{run.id}, checkpoint at step {chosen:,}: "
    return parameters_from(layout, arrays, dtype=DTYPES[run.run.training.precision], of=of)


def checkpoint_of(run: StoredResults, step: int) -> tuple[Parameters, MeasuredTask]:
    """What measures and forward passes take: the parameters of a stored checkpoint, (1, P), and the task around them.

    ValueError where the checkpoint is of another network, or not all of its weights are finite: measures would answer in ways of their own.
    """
    from groklab.measures.task import MeasuredTask
    from groklab.training.batches import initial_of, network
    from groklab.training.engine import prepare_process

    prepare_process()
    table, split, layout = network(run.run)
    parameters = parameters_at(run, step)
    if amount := int((~parameters.flat.isfinite()).sum()):
        raise ValueError(
            f"the checkpoint of {run.id} at step {step:,}: {amount:,} of its weights are not finite; expected numbers. Measure an earlier step."
        )
    return parameters, MeasuredTask(run.run, table, split, initial_of(run.run, layout), step)


def calls_of(names: Sequence[str], run: StoredResults) -> dict[str, str]:
    """Measures as they were asked for, by their canonical form; ValueError where one is unknown or does not apply to the run."""
    return {_checked(text, run): text for text in names}


def _checked(text: str, run: StoredResults) -> str:
    """A measure in its canonical form; ValueError where it is unknown or does not apply to the run."""
    problems = _problems(text, run)
    if problems:
        known = registry.entries("measure")
        apply = ""
        if registry.parse_call(text).name in known:
            names = [name for name in known if not _problems(name, run)]
            apply = f" Measures that apply to {run.id}: {', '.join(names)}."
        raise ValueError(f"measure: {' '.join(problems)}{apply}")
    return registry.canonical_call("measure", text)


def _problems(text: str, run: StoredResults) -> list[str]:
    """Why a measure cannot be taken of a run; a state dict of others does not tell the weights from which training began."""
    problems = [str(problem) for problem in registry.call_problems("measure", text, run=run.run)]
    if problems or not registry.look_up("measure", registry.parse_call(text).name).facts.get("needs_initial"):
        return problems
    source = run.folder.description().get("imported", {})
    if source.get("from") != "official":
        return []
    return [f"{text}: it needs the initial weights, and those of {run.id} are unknown: it was imported from {source.get('file')}."]
