"""What every registered function must be: the checks that groklab's own parts pass in its tests, and users' parts in ``groklab check``.

A part is tried on tables and networks so small that each check takes a moment. A check says in sentences what is wrong and what was expected;
it never raises, whatever the part does.
"""

from __future__ import annotations

import inspect
import math
import re
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from groklab import registry
from groklab.claims.expectations import expected_table
from groklab.claims.rules import VERDICTS, judge
from groklab.config.experiments import SCALES, settings_of
from groklab.config.run import Run
from groklab.config.stops import end_of
from groklab.data.groups import group_named
from groklab.data.tables import table_of
from groklab.laboratory.runs import train
from groklab.registry import HOMES, Entry
from groklab.stored.drawing import drawn, filmed
from groklab.text.values import nearest, shown

if TYPE_CHECKING:
    from groklab.stored.run import StoredRun

TINY: dict[str, Any] = {"operation": "addition", "modulus": 7, "width": 16, "heads": 2, "layers": 1, "train_fraction": 0.6}
"""The run on which parts are tried."""
MODULI = (7, 5, 11, 13, 4, 6, 8, 9, 97)
"""Of which an operation takes the first that its own checks allow."""

_SHARED_FACTS = {"check", "label", "more_settings", "name", "not_settings", "source"}
"""Facts that every kind may have."""


def problems_of(entry: Entry) -> list[str]:
    """What is wrong with a registered function, in sentences; empty where it is as it must be."""
    found = [*_described(entry), *_unknown_facts(entry)]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for problem in _CHECKS[entry.kind](entry):
                found.append(problem)  # noqa: PERF402 (what was found before a failure is kept)
        return found
    except Exception as error:  # of a function of anybody's
        return [
            *found,
            f"it failed with {type(error).__name__}: {str(error)[:300] or 'no message'}. Expected it to work on {_told_of(TINY)}.",
        ]


def untested_of(entry: Entry) -> list[str]:
    """What cannot be tried of a registered function: settings without a default, of which nobody here knows a value."""
    needed = [name for name, default in entry.settings.items() if default is inspect.Parameter.empty]
    if not needed or entry.kind in ("schedule", "group"):
        return []
    return [f"it was not tried: {', '.join(needed)} must be given. Give {'it' if len(needed) == 1 else 'them'} a default."]


def _told_of(fields: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={shown(value)}" for name, value in fields.items())


def _described(entry: Entry) -> Iterator[str]:
    if not entry.description.rstrip().endswith((".", ")")):
        yield f"its docstring begins with {shown(entry.description[-60:])}; expected a sentence, which `groklab list` shows. End it with a period."
    elif len(entry.description) <= 20:
        yield f"its docstring is {shown(entry.description)}; expected a sentence that says what it does."


def _unknown_facts(entry: Entry) -> Iterator[str]:
    """Facts of the decorator that nothing in groklab reads for this kind: most are misspelled."""
    built_in = [other for other in registry.entries(entry.kind).values() if other.plugin is None and other.source_hash is None]
    known = _SHARED_FACTS.union(*(other.facts for other in built_in)) | _ALSO_READ.get(entry.kind, set())
    for name in sorted(set(entry.facts) - known):
        yield f"its decorator has {name}=, which nothing reads. {nearest(name, sorted(known))}"


_ALSO_READ: dict[str, set[str]] = {
    "operation": {"symbol", "over", "on", "domain", "requires", "commutative", "group", "same_as", "reader_of"},
    "optimizer": {"frozen", "memory", "step", "capturable", "decay"},
    "intervention": {"at", "memory", "capturable", "once", "rates"},
    "measure": {"arrays", "needs_initial", "label"},
    "figure": {"needs", "takes", "animated", "results", "measures", "measure", "of_ends", "x"},
    "experiment": {"figure", "results", "measures", "findings"},
}
"""Facts that no built-in entry of a kind may happen to have, and that are read all the same."""


# — by kind —


def _operation(entry: Entry) -> Iterator[str]:
    over, fields = entry.facts.get("over", "modulus"), {**TINY, "operation": entry.name}
    if over == "file":
        return
    choices: list[dict[str, Any]] = [{"modulus": n} for n in MODULI] if over == "modulus" else [{"modulus": None, "group": "symmetric(3)"}]
    choices = [{"modulus": None}] if over == "fixed group" else choices
    if entry.name == "expression":
        choices = [{"modulus": 7, "expression": "x + y"}]
    asked = [Run.of(**{**fields, **choice}) for choice in choices]
    run = next((run for run in asked if not run.problems()), None)
    if run is None:
        told = " ".join(str(problem).removeprefix(f"operation: {entry.name}: ") for problem in asked[0].problems())
        yield f"no table could be made of it; with modulus {MODULI[0]}: {told}" if over == "modulus" else told
        return
    table = table_of(run.task)
    if not table.known.any():
        yield "its table has no cell with a known answer; expected at least one."
    again = (
        entry.function(*_arguments(entry, run))
        if over == "modulus" and not entry.facts.get("domain") and entry.name != "expression"
        else None
    )
    if again is not None and not np.array_equal(np.asarray(again).ravel(), np.asarray(entry.function(*_arguments(entry, run))).ravel()):
        yield "two calls with the same x and y gave two answers; expected the same table each time."
    yield from _trains(run)


def _arguments(entry: Entry, run: Run) -> tuple[Any, ...]:
    n = int(run.resolved()["modulus"])
    x, y = np.divmod(np.arange(n * n), n)
    return x, y, n


def _group(entry: Entry) -> Iterator[str]:
    wrong: list[str] = []
    for arguments in ("", "3", "4", "2", "5", "cyclic(2), cyclic(3)", "3, 4", "7, 3"):
        try:
            group = group_named(f"{entry.name}({arguments})")
        except (ValueError, TypeError) as error:
            wrong.append(str(error))
            continue
        if len(group.elements) != len(group.table):
            yield f"{entry.name}({arguments}) has {len(group.elements)} names and a table of {len(group.table)} rows; expected as many of both."
        return
    yield f"no group could be made of it: {wrong[0] if wrong else 'no arguments fit'}"


def _architecture(entry: Entry) -> Iterator[str]:
    yield from _trains(Run.of(Run.of(**TINY), architecture=entry.name))


def _optimizer(entry: Entry) -> Iterator[str]:
    run = Run.of(**TINY, optimizer=entry.name, weight_decay=0.0, batch_size="full", warmup=0)
    before, after = _losses(run, 10)
    if not after < before:
        yield f"ten updates took the loss from {before:.4g} to {after:.4g}; expected it to fall."
    yield from _trains(Run.of(**TINY, optimizer=entry.name))


def _schedule(entry: Entry) -> Iterator[str]:
    settings = {name: 100 for name, default in entry.settings.items() if default is inspect.Parameter.empty}
    for step in (1, 10, 1000):
        factor = entry.function(step, **settings)
        if not (isinstance(factor, (int, float)) and math.isfinite(factor) and 0 <= factor <= 1):
            yield f"at step {step} it is {shown(factor)}; expected a factor from 0 to 1."


def _loss(entry: Entry) -> Iterator[str]:
    import torch

    logits = torch.eye(5, dtype=torch.float64) * 6
    losses = torch.stack([entry.function(logits, torch.full((5,), answer)) for answer in range(5)])
    if losses.shape != (5, 5):
        yield f"of five examples it gives the shape {tuple(losses.shape[1:])}; expected (5,), a loss for each."
        return
    if not bool(losses.isfinite().all()):
        yield "of logits 6 and 0 it is not finite; expected a number."
    elif not torch.equal(losses.argmin(0), torch.arange(5)):
        yield "it is not smallest where the answer is right; expected that of the largest logit to be."
    given = logits.clone().requires_grad_()
    total = entry.function(given, torch.arange(5)).sum()
    if total.requires_grad:
        (gradient,) = torch.autograd.grad(total, given)
        if not bool(gradient.isfinite().all()):
            yield "its gradient is not finite; expected numbers."
        yield from _trains(Run.of(**TINY, loss=entry.name))
    else:
        yield "it has no gradient; expected one, by which networks are trained."


def _intervention(entry: Entry) -> Iterator[str]:
    yield from _trains(Run.of(**TINY, interventions=(entry.name,)))


def _stop(entry: Entry) -> Iterator[str]:
    row = {"train_loss": 0.1, "validation_loss": 1.0, "train_accuracy": 1.0, "validation_accuracy": 0.1}
    rising = [row | {"step": step, "validation_accuracy": min(1.0, step / 50)} for step in range(0, 101, 10)]
    for rows in (rising[:1], rising):
        try:
            end_of(Run.of(**TINY, stop=entry.name, steps=1000), rows, int(rows[-1]["step"]))
        except ValueError as error:
            yield str(error).removeprefix("stop: ")
            return


def _measure(entry: Entry) -> Iterator[str]:
    import torch

    from groklab.measures.task import MeasuredTask, take
    from groklab.training.batches import Batch, initial_of, network

    runs = [Run.of(**TINY), Run.of(Run.of(**TINY), architecture="mlp", mlp_width=16)]  # the first to which it applies
    told = [registry.call_problems("measure", entry.name, run=run) for run in runs]
    run = next((run for run, problems in zip(runs, told, strict=True) if not problems), None)
    if run is None:
        yield f"it applies to neither network that it was tried on: {' '.join(map(str, told[0]))}"
        return
    table, split, layout = network(run)
    batch = Batch([run], device="cpu")
    for updates in (0, 20):
        for _ in range(updates):
            batch.update()
        task = MeasuredTask(run, table, split, initial_of(run, layout), batch.step)
        before = batch.parameters.flat.clone()
        if entry.facts.get("arrays"):
            first, second = ({name: np.asarray(value) for name, value in entry.function(batch.parameters, task).items()} for _ in range(2))
            same = first.keys() == second.keys() and all(np.array_equal(second[name], value) for name, value in first.items())
            finite = bool(first) and all(np.isfinite(value).all() for value in first.values())
        else:
            first, second = (take((entry.name,), batch.parameters, task) for _ in range(2))
            same, finite = first == second, bool(first) and all(math.isfinite(value) for value in first.values())
        if not finite:
            yield f"after {batch.step} updates it gives {shown(first)}; expected finite numbers."
        elif not same:
            yield "taken twice of the same weights it gave two answers; expected the same. Draw nothing at random, or from a seed of its own."
        if not torch.equal(batch.parameters.flat, before):
            yield "it changed the weights that it measured; expected them as they were. Work on a copy."


def _figure(entry: Entry) -> Iterator[str]:
    from matplotlib.figure import Figure

    with tempfile.TemporaryDirectory() as folder:
        small = {**TINY, "modulus": 8}  # whose group has subgroups
        runs = [train(Run.of(**small, steps=60, stop="never", seed=seed), runs=Path(folder)) for seed in (0, 1)]
        kept = {"weight_norm"} | {registry.parse_call(name).name for name in entry.facts.get("measures", ())}
        for run in runs:
            run.measure(*kept)
        made = _pictures(entry, runs)
        wrong = [picture for picture in made if not isinstance(picture, Figure)]
        if wrong or not made:
            yield f"it gives {shown(wrong[0]) if wrong else 'nothing'}; expected a matplotlib Figure, made with Figure() and not with pyplot."


def _pictures(entry: Entry, runs: list[StoredRun]) -> list[Any]:
    if entry.facts.get("animated"):
        return list(filmed(entry.name, runs[0]))
    return [drawn(entry.name, runs if entry.facts["takes"] in ("history", "runs") else runs[:1])]


def _preset(entry: Entry) -> Iterator[str]:
    run = entry.function()
    if not isinstance(run, Run):
        yield f"it gives {shown(run)}; expected a Run."
        return
    yield from (str(problem) for problem in run.problems())
    if "source" not in entry.facts:
        yield 'its decorator has no source=; expected where the recipe is from, such as source="Power et al. 2022, Figure 1" or source="mine".'


def _experiment(entry: Entry) -> Iterator[str]:
    figure = registry.parse_call(str(entry.facts.get("figure", ""))).name if entry.facts.get("figure") else ""
    if figure not in registry.entries("figure"):
        yield f"its figure is {shown(entry.facts.get('figure'))}. {nearest(figure, list(registry.entries('figure')))}"
    for scale in SCALES:
        for label, runs in settings_of(entry.name, scale).items():
            for run in runs:
                if problems := run.problems():
                    yield f"at scale {scale}, setting {shown(label)}: {problems[0]}"
                    return


def _claim(entry: Entry) -> Iterator[str]:
    if "\n\n" not in inspect.cleandoc(entry.function.__doc__ or ""):
        yield "its docstring is one paragraph; expected the sentence of the paper, an empty line, and the rule by which it is judged."
    tables = [None] if entry.facts.get("experiment") is None else [None, *(expected_table(entry, scale) for scale in SCALES)]
    for table in tables:
        found = judge(entry, table)
        if found.verdict not in VERDICTS:
            yield f"its verdict is {shown(found.verdict)}; expected one of {', '.join(VERDICTS)}."
        if table is None and entry.facts.get("experiment") is not None and found.verdict != "undecided":
            yield f"without any run its verdict is {found.verdict}; expected undecided."


_CHECKS: dict[str, Callable[[Entry], Iterator[str]]] = {
    "operation": _operation,
    "group": _group,
    "architecture": _architecture,
    "optimizer": _optimizer,
    "schedule": _schedule,
    "loss": _loss,
    "intervention": _intervention,
    "stop": _stop,
    "measure": _measure,
    "figure": _figure,
    "preset": _preset,
    "experiment": _experiment,
    "claim": _claim,
}
assert set(_CHECKS) == set(HOMES)


# — training —


def _losses(run: Run, updates: int) -> tuple[float, float]:
    """The loss on the batch before and after so many updates."""
    from groklab.training.batches import Batch

    batch = Batch([run], device="cpu")
    before = batch.gradients()[0].item()
    for _ in range(updates):
        batch.update()
    return before, batch.gradients()[0].item()


def _trains(run: Run, updates: int = 8) -> Iterator[str]:
    """Whether a run trains: finite weights, the same twice, and the same where it was stopped half-way and continued from its stored state."""
    import torch

    from groklab.training.batches import Batch

    if problems := run.problems():
        yield from (re.sub(r"\s+", " ", str(problem)) for problem in problems)
        return
    whole = Batch([run], device="cpu")
    for _ in range(updates):
        whole.update()
    if not bool(whole.parameters.flat.isfinite().all()):
        yield f"after {updates} updates not all weights are finite; expected numbers."
        return
    halves = Batch([run], device="cpu")
    for step in range(updates):
        if step == updates // 2:
            halves = Batch([run], device="cpu", states=[halves.state(0)])
        halves.update()
    if not torch.equal(halves.parameters.flat, whole.parameters.flat):
        yield (
            f"stopped after {updates // 2} updates and continued, a training came to other weights after {updates}; expected the same to the last "
            "bit. Draw noise from the moment, and keep what an update needs of the ones before in the memory or the state."
        )
