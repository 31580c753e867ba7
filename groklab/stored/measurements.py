"""`groklab measure`: take measures of the stored checkpoints of stored runs, and keep them with the runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.table import Table as Screen

from groklab import registry
from groklab.commands.trust import trust_of
from groklab.outside.streams import console, say, write_json
from groklab.results.files import check_folder
from groklab.results.finding import find
from groklab.results.measures import Measured
from groklab.results.plugins import Trust
from groklab.results.store import RunFolder
from groklab.stored.run import StoredRun
from groklab.text.values import shown

if TYPE_CHECKING:
    from groklab.arguments.reading import MeasureArguments
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
    run: StoredRun,
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
    calls = _calls(names, run)
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


def _of_checkpoint(run: StoredRun, calls: Mapping[str, str], step: int, into: Path | None) -> Iterator[Measurement]:
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


def checkpoint_of(run: StoredRun, step: int) -> tuple[Parameters, MeasuredTask]:
    """What measures and forward passes take: the parameters of a stored checkpoint, (1, P), and the task around them.

    ValueError where the checkpoint is of another network, or not all of its weights are finite: measures would answer in ways of their own.
    """
    from groklab.measures.task import MeasuredTask
    from groklab.training.batches import initial_of, network
    from groklab.training.engine import prepare_process

    prepare_process()
    table, split, layout = network(run.run)
    parameters = run.model(step)
    if amount := int((~parameters.flat.isfinite()).sum()):
        raise ValueError(
            f"the checkpoint of {run.id} at step {step:,}: {amount:,} of its weights are not finite; expected numbers. Measure an earlier step."
        )
    return parameters, MeasuredTask(run.run, table, split, initial_of(run.run, layout), step)


def _calls(names: Sequence[str], run: StoredRun) -> dict[str, str]:
    """Measures as they were asked for, by their canonical form; ValueError where one is unknown or does not apply to the run."""
    return {_checked(text, run): text for text in names}


def _checked(text: str, run: StoredRun) -> str:
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


def _problems(text: str, run: StoredRun) -> list[str]:
    """Why a measure cannot be taken of a run; a state dict of others does not tell the weights from which training began."""
    problems = [str(problem) for problem in registry.call_problems("measure", text, run=run.run)]
    if problems or not registry.look_up("measure", registry.parse_call(text).name).facts.get("needs_initial"):
        return problems
    source = run.folder.description().get("imported", {})
    if source.get("from") != "official":
        return []
    return [f"{text}: it needs the initial weights, and those of {run.id} are unknown: it was imported from {source.get('file')}."]


# — the verb —


def measure_verb(asked: MeasureArguments) -> int:
    """Take the measures that the words name of the runs that they name."""
    names, words = _apart(asked.what)
    steps = _steps(asked.checkpoint)
    # An id and `latest` may be one run.
    folders = list({folder.path.resolve(): folder for folder in (find(asked.where.runs, text) for text in words)}.values())
    trust = trust_of(asked.trust_plugins)
    runs = [StoredRun(folder, folder.run(trust) if asked.stored_plugins else folder.settings()) for folder in folders]
    if asked.into is not None:
        check_folder("--into", asked.into)
        if len(runs) > 1:
            raise ValueError(f"--into: got {asked.into} for {len(runs)} runs; expected one run. Each needs a folder of its own.")
    for run in runs:  # all that can be wrong is found before anything is computed
        run.check_known()
        _calls(names, run)
        for step in steps or ():
            run.folder.read_step("checkpoints", step)
    found: list[Measurement] = []
    for run in runs:
        found += measure(names, run, steps=steps, into=asked.into)
    if asked.where.json:
        write_json({"measures": [one.to_dict() for one in found]})
        return 0
    for run in runs:
        for call in _calls(names, run):
            _print([one for one in found if one.run == run.id and one.measure == call])
    return 0


def _apart(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Measures and runs among the words: measures are those that are registered, or written as a call."""
    known = registry.entries("measure")
    names = [word for word in words if word.split("(")[0] in known]
    runs = [word for word in words if word not in names]
    if not names:
        near = registry.nearest(words[0].split("(")[0], list(known)) if words else ""
        raise ValueError(f"NAME: got no measure; expected names of measures, then runs. {near} `groklab list measures` shows all.")
    if not runs:
        raise ValueError("RUN: got none; expected ids, unique prefixes, paths, or latest. `groklab list runs` shows what is stored.")
    unknown = [word for word in runs if "(" in word]
    if unknown:
        raise ValueError(f"NAME: unknown measure {shown(unknown[0])}. {registry.nearest(unknown[0].split('(')[0], list(known))}")
    return names, runs


def _steps(text: str) -> list[int] | None:
    if text == "all":
        return None
    try:
        return [int(text.replace(",", ""))]
    except ValueError:
        raise ValueError(f"--checkpoint: got {shown(text)}; expected a step, or all.") from None


def _print(found: Sequence[Measurement]) -> None:
    """One measure of one run as a table, a row a checkpoint."""
    if found[0].has_arrays:
        shapes = ", ".join(f"{name} {np.asarray(value).shape}" for name, value in found[-1].values.items())
        steps = f"step {found[0].step:,}" if len(found) == 1 else f"{len(found)} checkpoints"
        say(f"{found[0].measure} of {found[0].run}, {steps}: {shapes}\n  {found[0].file.parent}")
        return
    columns = list(dict.fromkeys(name for one in found for name in one.values))
    say(f"{found[0].measure} of {found[0].run}")
    screen = Screen(box=None, padding=(0, 2, 0, 2))
    screen.add_column("step", justify="right")
    for name in columns[:_COLUMNS]:
        screen.add_column(name.removeprefix(f"{name.split('.')[0]}."), justify="right")
    for one in found:
        screen.add_row(f"{one.step:,}", *(_number(one.values.get(name)) for name in columns[:_COLUMNS]))
    console(width=160).print(screen)
    more = f"{len(columns) - _COLUMNS} more columns in " if len(columns) > _COLUMNS else ""
    say(f"  {more}{found[0].file}")


_COLUMNS = 7
"""Numbers of one measure that a terminal shows."""


def _number(value: Any) -> str:
    return "–" if value is None else f"{value:.5g}"
