"""`groklab complete`: the blanks of a user's table, filled by networks that have found its rule, or an honest no.

The known cells are a task like any other: networks of several seeds are trained on nine tenths of them, each on others, and what each
gets right of the last tenth is the evidence. Answers on the blanks are put to the vote of the networks that have passed.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from groklab import registry
from groklab.analysis.completions import (
    Evidence,
    Network,
    Suspicion,
    as_completed,
    corrected,
    evidence_of,
    facts_of,
    remarks,
    suspicions,
    votes,
)
from groklab.arguments.training import PRESETS, CompleteArguments
from groklab.calibration import confidence_of
from groklab.config.checks import FieldError, RunError, type_problems
from groklab.config.presets import preset_named
from groklab.config.run import Budget, Run, Seeds, Task, leaves
from groklab.data.identification import Structure, structure_of
from groklab.data.splits import split_of
from groklab.data.tables import Table, table_of
from groklab.printable import command
from groklab.results.files import StoreError, check_output
from groklab.results.store import RunFolder, unpacked_answers
from groklab.signatures import checked
from groklab.tally import Tally
from groklab.terminal import aside
from groklab.values import shown

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import polars

SHOWN = 0.9
"""Share of the known cells that each network is trained on."""
MOST_SEEDS = 1000
"""Networks on one table."""
FEWEST_KNOWN = 20
"""Known cells below which a tenth of them says nothing."""
BUDGET = Budget(steps=5_000, stop="generalized(confirmations=10)", threshold=0.95, checkpoints_per_decade=0, measures=())
"""Unless flags say otherwise. After held-out cells are right training goes on for about one and a half times as long again."""


@dataclass(frozen=True, repr=False, eq=False)
class Completion:
    """A table with its blanks filled, and what speaks for it."""

    file: Path
    preset: str
    """The recipe whose networks these are."""
    tried: tuple[str, ...]
    """All recipes that were tried."""
    known: Table
    """The table as it was given."""
    networks: tuple[Network, ...]
    evidence: Evidence
    confidence: npt.NDArray[np.float64]
    """Of every cell of the completed table, see ``table``."""
    failed: dict[str, str]
    """Id and reason of networks that diverged or could not be trained."""

    @property
    def voters(self) -> tuple[Network, ...]:
        """The networks whose answers are taken together: those that have passed, or all where none has."""
        return _voters(self.networks, self.evidence)

    @property
    def is_found(self) -> bool:
        """Whether the blanks are filled by a rule that was seen to hold on held-out cells."""
        return self.evidence.verdict == "found"

    @cached_property
    def completed(self) -> Table:
        """The table without blanks."""
        return as_completed(self.known, votes(self.known, self.voters).answer)

    @cached_property
    def table(self) -> polars.DataFrame:
        """The completed table, a row for each cell: x, y, z, filled, confidence, agreement.

        filled: whether the cell was blank. Agreement: the share of the voters that answer z. Confidence: the mean over the voters of the
        probability of z, calibrated on the cells held out of them (``calibration``). On known cells z is the user's, whatever the voters say.
        """
        import polars

        known, result = self.known, votes(self.known, self.voters)
        columns = {"x": known.names[known.x], "y": known.names[known.y], "z": known.names[result.answer], "filled": ~known.known}
        rounded = {"confidence": self.confidence.round(5), "agreement": result.agreement.round(5)}
        return polars.DataFrame({name: values.tolist() for name, values in (columns | rounded).items()})

    @cached_property
    def structure(self) -> Structure:
        """What the completed table is: commutative, a group, which."""
        return structure_of(self.completed)

    @cached_property
    def suspicions(self) -> list[Suspicion]:
        """Known cells that may be mistakes; none where nothing was found, for then the networks know no better, or where all cells make a group."""
        return suspicions(self.known, self.voters) if self.is_found and not self.structure.group else []

    @cached_property
    def corrected(self) -> Structure | None:
        """What the completed table would be with the networks' answers in the place of suspicious ones; None where there are none."""
        return structure_of(corrected(self.completed, self.suspicions)) if self.suspicions else None

    @property
    def remarks(self) -> list[str]:
        """What the known cells do not tell."""
        return remarks(self.known)

    def to_dict(self) -> dict[str, Any]:
        """What ``groklab complete --json`` prints, the file that was written apart."""
        known, table = self.known, self.table
        networks = [
            {
                "id": network.id,
                "seed": network.seed,
                "steps": network.steps,
                "train_accuracy": network.accuracy(known, network.trained),
                "held_out": len(network.held_out),
                "right": network.right(known, network.held_out),
                "votes": network.id in self.evidence.voters,
            }
            for network in self.networks
        ]
        return {
            "file": str(self.file),
            "elements": list(known.elements),
            "cells": known.cells,
            "known": int(known.known.sum()),
            "preset": self.preset,
            "tried": list(self.tried),
            **facts_of(self.evidence),
            "runs": networks,
            "failed": self.failed,
            "structure": self.structure.to_dict(),
            "corrected": self.corrected and self.corrected.to_dict(),
            "suspicious": [dataclasses.asdict(suspicion) for suspicion in self.suspicions],
            "remarks": self.remarks,
            "notes": list(known.notes),
            "filled": table.filter(table["filled"]).drop("filled").to_dicts(),
        }

    def __repr__(self) -> str:
        evidence = self.evidence
        return (
            f"<completion of {self.file}: {evidence.verdict}; {int((~self.known.known).sum())} blanks, {len(evidence.voters)} of "
            f"{evidence.networks} networks vote, {evidence.right} of {evidence.held_out} held-out cells right>"
        )


@checked
def complete(
    path: str | Path,
    *,
    seeds: int | Sequence[int] = 5,
    required_accuracy: float = 0.9,
    presets: str | Sequence[str] = PRESETS,
    runs: str | Path = "runs",
    workers: int | None = None,
    ray: str | None = None,
    plugins: str | Path | Sequence[str | Path] = (),
    on_progress: Callable[[Tally], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
    **fields: Any,
) -> Completion:
    """Complete a user's table: a CSV file with columns x, y, z, in which blanks are an empty z, or pairs that no row holds.

        result = gl.complete("table.csv")
        if result.is_found:
            result.table.write_csv("completed.csv")

    Networks of several seeds are trained on nine tenths of the known cells; those that get ``required_accuracy`` of their other
    tenth right vote. ``presets`` are recipes that are tried in turn until one finds the rule, and ``fields`` of a run's model,
    training and budget depart from each. Networks are stored among ``runs`` like any others, and trained once. See
    ``workers.train_all`` for the rest. ValueError where the table is not one that can be completed: nothing is blank, fewer than 20 cells are
    known, or all of these have one answer. Whether the answer can be believed is in ``evidence``.
    """
    registry.load_plugins(plugins)
    names = (presets,) if isinstance(presets, str) else tuple(dict.fromkeys(presets))
    if (isinstance(seeds, int) and seeds > MOST_SEEDS) or (
        isinstance(seeds, range) and abs(seeds.stop - seeds.start) > MOST_SEEDS * abs(seeds.step)
    ):
        raise ValueError(f"seeds: got {shown(seeds)}; expected at most {MOST_SEEDS:,} networks.")
    numbers = range(seeds) if isinstance(seeds, int) else tuple(dict.fromkeys(seeds))
    if not names or len(numbers) < 1:
        raise ValueError(f"presets and seeds: got {names} and {seeds}; expected at least one of each.")
    if not 0 < required_accuracy < 1:
        raise ValueError(f"required_accuracy: got {required_accuracy}; expected a share between 0 and 1, such as 0.9.")
    file = Path(path)
    table = _table_to_complete(file)
    asked = [[_run(file, name, seed, fields) for seed in numbers] for name in names]
    for network in asked:
        network[0].check()
    best: Completion | None = None
    for name, wanted in zip(names, asked, strict=True):
        from groklab.workers import train_all

        tally = train_all(
            wanted,
            folder=runs,
            workers=workers,
            ray=ray,
            keep_state=True,
            plugins=plugins,
            on_progress=on_progress,
            should_stop=should_stop,
        )
        found = _completion(file, names[: names.index(name) + 1], table, tally, Path(runs), required_accuracy)
        if best is None or found.evidence.at_least > best.evidence.at_least:
            best = found
        best = dataclasses.replace(best, tried=found.tried)
        if found.is_found:
            return found
    assert best is not None
    return best


def _table_to_complete(file: Path) -> Table:
    """The table in a file; ValueError where there is nothing to complete, or nothing to complete it from."""
    table = table_of(Task(operation="from_file", file=str(file)))
    known = int(table.known.sum())
    if known == table.cells:
        raise ValueError(
            f"file {file}: nothing to complete: all {known:,} cells have an answer. Leave z empty, or the row out, where the answer is to be "
            f"found; `{command('groklab', 'table', '--operation', 'from_file', '--file', file)}` tells what the table is."
        )
    if known < FEWEST_KNOWN:
        raise ValueError(
            f"file {file}: got {known} cells with a known z; expected at least {FEWEST_KNOWN}, for a tenth of them is held out to see "
            "whether the networks have found the rule. Fill in more."
        )
    answers = {int(z) for z in table.z[table.known]}
    if len(answers) == 1:
        name = table.elements[answers.pop()]
        raise ValueError(
            f"file {file}: all {known:,} known cells have the answer {shown(name)}, from which nothing but that can be learned."
        )
    return table


def _run(file: Path, preset: str, seed: int, fields: dict[str, Any]) -> Run:
    """The run of one network: a preset's model and training, with the fields that were given."""
    outside = [name for name in fields if leaves().get(name) in ("task", "seeds")]
    if outside:
        raise RunError([FieldError(name, fields[name], "no such field: the table and the seeds are given already") for name in outside])
    task = Task(operation="from_file", file=str(file), train_fraction=SHOWN)
    start = dataclasses.replace(preset_named(preset), task=task, seeds=Seeds(seed=seed), budget=BUDGET)
    run = start.replace(**fields)
    problems = type_problems(run)
    if problems:
        raise RunError(problems)
    return run


def _completion(file: Path, tried: tuple[str, ...], table: Table, tally: Tally, folder: Path, required: float) -> Completion:
    """What the networks of one recipe say; StoreError where none could be trained."""
    failed = {job.run.id: job.message for job in tally.jobs if job.status != "complete"}
    networks = tuple(_network(folder, job.run) for job in tally.jobs if job.status == "complete")
    if not networks:
        name, reason = next(iter(failed.items()))
        raise StoreError(f"none of the {len(failed)} networks could be trained; {name}: {reason}")
    evidence = evidence_of(table, networks, asked=len(tally.jobs), required=required)
    voters = _voters(networks, evidence)
    confidence = confidence_of(table, voters, votes(table, voters).answer, runs=str(folder))
    return Completion(file, tried[-1], tried, table, networks, evidence, confidence, failed)


def _voters(networks: tuple[Network, ...], evidence: Evidence) -> tuple[Network, ...]:
    return tuple(network for network in networks if network.id in evidence.voters) or networks


def _network(folder: Path, run: Run) -> Network:
    """The newest stored answers of a run."""
    split = split_of(run)
    step, arrays = RunFolder(folder / run.id).read_step("answers")
    answer, probability = unpacked_answers(arrays)
    return Network(run.id, run.seeds.seed, step, answer, probability, split.train, split.validation)


# — the command —


def complete_verb(asked: CompleteArguments, should_stop: Callable[[], bool]) -> int:
    """Do what the flags ask for; the exit status."""
    from groklab.results.tables import write_table
    from groklab.sweeping import Screen

    output = asked.output or asked.table.with_name(f"{asked.table.stem}-completed.csv")
    for note in _table_to_complete(asked.table).notes:
        aside(f"note: {asked.table}: {note}")
    _check_output(output, asked.table, asked.force)
    fields = {name: value for name in leaves() if (value := getattr(asked, name, None)) is not None}
    with Screen(sys.stderr if asked.where.json else sys.stdout, title="complete") as screen:
        try:
            found = complete(
                asked.table,
                seeds=asked.seeds,
                required_accuracy=asked.required_accuracy,
                presets=asked.preset,
                runs=asked.where.runs,
                workers=asked.workers,
                ray=asked.ray,
                plugins=asked.plugin,
                on_progress=screen,
                should_stop=should_stop,
                **fields,
            )
        except KeyboardInterrupt:
            found = None
    if found is None:
        aside("stopped; every network's state is saved. The same command goes on from there.")
        return 130
    is_written = found.is_found or asked.force
    if is_written:
        write_table(found.table, output)
    from groklab.completed import tell

    tell(found, output if is_written else None, is_json=asked.where.json)
    return 0 if is_written else 1


def _check_output(output: Path, table: Path, force: bool) -> None:
    """A file that could not be written, or must not be, is found before training, not after."""
    if output.exists() and os.path.samefile(output, table):
        raise ValueError(f"--output: got {shown(str(output))}, which is the table itself; expected another file.")
    check_output("--output", output, (".csv", ".parquet"))
    if output.exists() and not force:
        raise ValueError(f"--output: got {shown(str(output))}, which is there already. Choose another file, or write over it with --force.")
