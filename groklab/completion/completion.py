"""`groklab complete`: the blanks of a user's table, filled by networks that have found its rule, or an honest no.

The known cells are a task like any other: networks of several seeds are trained on nine tenths of them, each on others, and what each
gets right of the last tenth is the evidence. Answers on the blanks are put to the vote of the networks that have passed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from groklab import registry
from groklab.arguments.training import PRESETS
from groklab.completion.blanks import Blanks, blanks_of
from groklab.completion.calibration import confidence_of
from groklab.completion.votes import (
    Evidence,
    Network,
    Suspicion,
    as_completed,
    corrected,
    evidence_of,
    facts_of,
    suspicions,
    votes,
)
from groklab.config.checks import FieldError, RunError, type_problems
from groklab.config.fields import Budget, Seeds, Task, leaves
from groklab.config.options import Options
from groklab.config.presets import preset_named
from groklab.config.run import Run
from groklab.data.contradictions import Contradictions, as_far_as_ruled_out, contradictions_of
from groklab.data.identification import Structure, structure_of
from groklab.data.splits import split_of
from groklab.data.table import Table
from groklab.data.tables import table_of
from groklab.outside.printable import command
from groklab.registry.signatures import checked
from groklab.results.answers import read_answers
from groklab.results.files import StoreError
from groklab.results.store import RunFolder
from groklab.text.values import shown
from groklab.workers.pool import train_all
from groklab.workers.tally import Tally

if TYPE_CHECKING:
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
    blanks: Blanks
    """Which blanks the known cells can speak for, by where they are."""
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
        """Whether blanks are filled by a rule that was seen to hold on held-out cells like them: see ``supported`` for which."""
        return self.evidence.verdict == "found"

    @cached_property
    def supported(self) -> npt.NDArray[np.bool_]:
        """Of every cell whether it is known, or a blank of which something is promised; (cells,)."""
        supported = self.known.known.copy()
        if self.is_found:
            supported[self.blanks.compared] = True
        return supported

    @cached_property
    def completed(self) -> Table:
        """The table with its blanks filled as far as there is evidence; with guesses in all of them where nothing was found."""
        answer = votes(self.known, self.voters).answer
        return as_completed(self.known, np.where(self.supported, answer, -1) if self.is_found else answer)

    @cached_property
    def table(self) -> polars.DataFrame:
        """The completed table, a row for each cell: x, y, z, filled, supported, confidence, agreement.

        filled: whether z is the voters' answer. supported: whether the cell is known, or a blank of which something is promised; the others have
        no z where a rule was found, and a guess where not. Agreement: the share of the voters that give their commonest answer, on known
        cells that answer z. Confidence: the mean over the voters of the probability of z, calibrated on the cells held out of them
        (``calibration``); None for blanks that no held-out cell speaks for. On known cells z is the user's, whatever the voters say.
        """
        return self._cells(self.completed)

    @cached_property
    def guesses(self) -> polars.DataFrame:
        """The same with the voters' answers in all blanks. What is not supported is a guess, however many networks agree."""
        return self._cells(as_completed(self.known, votes(self.known, self.voters).answer))

    def _cells(self, filled: Table) -> polars.DataFrame:
        import polars

        known, agreement = self.known, votes(self.known, self.voters).agreement
        z = [known.elements[number] if number >= 0 else None for number in filled.z.tolist()]
        columns = {"x": known.names[known.x], "y": known.names[known.y], "filled": filled.known & ~known.known, "supported": self.supported}
        spoken_for = known.known.copy()
        spoken_for[self.blanks.compared] = self.evidence.promised > 0
        sure = [
            value if calibrated else None for value, calibrated in zip(self.confidence.round(5).tolist(), spoken_for.tolist(), strict=True)
        ]
        frame = polars.DataFrame({name: values.tolist() for name, values in columns.items()})
        return frame.with_columns(
            polars.Series("z", z, dtype=polars.String),
            polars.Series("confidence", sure, dtype=polars.Float64),
            polars.Series("agreement", agreement.round(5).tolist(), dtype=polars.Float64),
        ).select("x", "y", "z", "filled", "supported", "confidence", "agreement")

    @cached_property
    def contradictions(self) -> Contradictions:
        """What the known cells alone rule out."""
        return contradictions_of(self.known)

    @cached_property
    def structure(self) -> Structure:
        """What the completed table is: commutative, a group, which. What it lacks is open (None) unless known cells rule it out, as filled ones
        may be wrong."""
        return as_far_as_ruled_out(structure_of(self.completed), self.contradictions)

    @cached_property
    def suspicions(self) -> list[Suspicion]:
        """Known cells that may be mistakes; none where nothing was found, for then the networks know no better, or where all cells make a group."""
        return suspicions(self.known, self.voters) if self.is_found and not self.structure.group else []

    @cached_property
    def corrected(self) -> Structure | None:
        """What the completed table would be with the networks' answers in the place of suspicious ones; None where there are none."""
        return structure_of(corrected(self.completed, self.suspicions)) if self.suspicions else None

    def to_dict(self) -> dict[str, Any]:
        """What ``groklab complete --json`` prints, the file that was written apart."""
        known, guesses = self.known, self.guesses
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
            "question": self.blanks.question,
            "left_out": [dataclasses.asdict(line) for line in self.blanks.lines],
            "contradictions": dataclasses.asdict(self.contradictions),
            "structure": self.structure.to_dict(),
            "corrected": self.corrected and self.corrected.to_dict(),
            "suspicious": [dataclasses.asdict(suspicion) for suspicion in self.suspicions],
            "notes": list(known.notes),
            "filled": guesses.filter(guesses["filled"]).drop("filled").to_dicts(),
        }

    def __repr__(self) -> str:
        evidence = self.evidence
        return (
            f"<completion of {self.file}: {evidence.verdict}; {int((~self.known.known).sum())} blanks, {evidence.promised_right} of "
            f"{evidence.promised} promised right, {len(evidence.voters)} of {evidence.networks} networks vote, {evidence.right} of "
            f"{evidence.held_out} held-out cells right>"
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
    answers_seen: bool = False,
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
    training and budget depart from each. ``answers_seen``: the user knows that every answer which occurs is among the known ones. Networks are stored among ``runs`` like any others, and trained once. See
    ``gl.sweep`` for the rest. ValueError where the table is not one that can be completed: nothing is blank, fewer than 20 cells are
    known, or all of these have one answer. Whether the answer can be believed is in ``evidence``, and of which blanks in ``supported``.
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
    table = table_to_complete(file)
    asked = [[_run(file, name, seed, fields) for seed in numbers] for name in names]
    for network in asked:
        network[0].check()
    blanks = blanks_of(table, answers_seen=answers_seen)
    best: Completion | None = None
    for name, wanted in zip(names, asked, strict=True):
        options = Options(Path(runs), workers, ray, keep_state=True, plugins=plugins)
        tally = train_all(wanted, options, on_progress=on_progress, should_stop=should_stop)
        evidence = partial(evidence_of, required=required_accuracy, recipes=len(names))
        found = _completion(file, names[: names.index(name) + 1], blanks, tally, Path(runs), evidence)
        if best is None or found.evidence.likely > best.evidence.likely:
            best = found
        best = dataclasses.replace(best, tried=found.tried)
        if found.evidence.verdict in ("found", "withheld"):
            return found  # what is withheld for where the blanks are, no other recipe can give
    assert best is not None
    return best


def table_to_complete(file: Path) -> Table:
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


def _completion(
    file: Path, tried: tuple[str, ...], blanks: Blanks, tally: Tally, folder: Path, evidence_from: Callable[..., Evidence]
) -> Completion:
    """What the networks of one recipe say; StoreError where none could be trained."""
    failed = {job.run.id: job.message for job in tally.jobs if job.status != "complete"}
    networks = tuple(_network(folder, job.run) for job in tally.jobs if job.status == "complete")
    if not networks:
        name, reason = next(iter(failed.items()))
        raise StoreError(f"none of the {len(failed)} networks could be trained; {name}: {reason}")
    table = blanks.table
    evidence = evidence_from(table, networks, blanks, asked=len(tally.jobs))
    voters = _voters(networks, evidence)
    confidence = confidence_of(table, voters, votes(table, voters).answer, runs=str(folder))
    return Completion(file, tried[-1], tried, table, blanks, networks, evidence, confidence, failed)


def _voters(networks: tuple[Network, ...], evidence: Evidence) -> tuple[Network, ...]:
    return tuple(network for network in networks if network.id in evidence.voters) or networks


def _network(folder: Path, run: Run) -> Network:
    """The newest stored answers of a run."""
    split = split_of(run)
    table = table_of(run.task)
    step, answer, probability = read_answers(RunFolder(folder / run.id), None, cells=len(table.x), elements=table.n)
    return Network(run.id, run.seeds.seed, step, answer, probability, split.train, split.validation)
