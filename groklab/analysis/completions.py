"""What several networks say of the blanks of one table, and how far they can be believed.

Each network was trained without some of the known cells. What it answers there is the evidence for what it answers where nobody knows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy.stats import beta

from groklab.data.tables import Table

CONFIDENCE = 0.95
"""Of the lower bound on the share of held-out cells that are right."""

Cells = npt.NDArray[np.int64]
Verdict = Literal["found", "undecided", "memorized", "not learned"]


@dataclass(frozen=True, eq=False)
class Network:
    """One trained network: its answers on all cells of the table, and which known cells it was not shown."""

    id: str
    """Of its run."""
    seed: int
    steps: int
    """Updates after which these are its answers."""
    answer: Cells
    """Number of the element that it answers, for every cell."""
    probability: npt.NDArray[np.float64]
    """Softmax of its logits there, as stored: what one network gives to different cells can be compared, but see ``calibration``."""
    trained: Cells
    """The cells that it was trained on."""
    held_out: Cells
    """The other known cells."""

    def right(self, table: Table, cells: Cells) -> int:
        """How many of some known cells it has right."""
        return int((self.answer[cells] == table.z[cells]).sum())

    def accuracy(self, table: Table, cells: Cells) -> float:
        """The share of some known cells that it has right."""
        return self.right(table, cells) / len(cells)


@dataclass(frozen=True)
class Evidence:
    """What held-out cells say of several networks."""

    verdict: Verdict
    """found: most networks get held-out cells right, with confidence; undecided: most do, but the cells are too few to be sure, or a constant
    answer does as well; memorized: most know what they were shown, and not the rest; not learned: not even that."""
    networks: int
    """Networks asked for; those that diverged are among them and do not vote."""
    voters: tuple[str, ...]
    """Ids of those that get the required share of their held-out cells right."""
    held_out: int
    """Cells held out of a voter, or of any network where nothing was found; each counts once, whoever it was held out of."""
    right: int
    """Those of them that every such network gets right."""
    at_least: float
    """Lower bound on the share of unseen cells that are right, of 95 % confidence by the binomial distribution (Clopper and Pearson 1934),
    whichever networks vote (Bonferroni)."""
    required: float
    """What the bound has to reach."""
    commonest: str
    """The answer that most known cells have."""
    by_guessing: float
    """The share of the known cells that have it."""

    @property
    def accuracy(self) -> float:
        """Share of the held-out cells that are right."""
        return self.right / self.held_out if self.held_out else 0.0

    @property
    def is_above_guessing(self) -> bool:
        """Whether the networks know more of unseen cells than their commonest answer, with confidence."""
        return self.at_least > self.by_guessing


def evidence_of(table: Table, networks: Sequence[Network], *, asked: int, required: float) -> Evidence:
    """The verdict on networks that were trained, of as many as were asked for.

    A network votes if it has the required share of its own held-out cells right. Of the cells that were held out of voters, one is
    right if all voters that were not shown it have it right; cells are counted once, for the same cell held out of two networks is not
    two observations.

    Voters are chosen by the very cells that the bound rests on. It holds all the same, as it is made for every majority that might have voted
    at once (Bonferroni): see ``confidence_of``.
    """
    voting = [network for network in networks if network.accuracy(table, network.held_out) >= required]
    judged = voting if 2 * len(voting) > asked else list(networks)
    held_out = np.unique(np.concatenate([network.held_out for network in judged]))
    wrong = np.concatenate([network.held_out[network.answer[network.held_out] != table.z[network.held_out]] for network in judged])
    right = len(held_out) - len(np.unique(wrong))
    counts = np.bincount(table.z[table.known], minlength=table.n)
    commonest = int(counts.argmax())
    bound = at_least(right, len(held_out), confidence_of(len(judged), len(networks), asked))
    guessed = float(counts[commonest] / counts.sum())
    if 2 * len(voting) > asked:
        verdict: Verdict = "found" if bound >= required and bound > guessed else "undecided"
    else:
        memorizing = sum(network.accuracy(table, network.trained) >= required for network in networks)
        verdict = "memorized" if 2 * memorizing > asked else "not learned"
    ids = tuple(network.id for network in voting)
    return Evidence(verdict, asked, ids, len(held_out), right, bound, required, table.elements[commonest], guessed)


def confidence_of(chosen: int, networks: int, asked: int) -> float:
    """Confidence of a bound on the networks chosen, so that all bounds that might have been given hold together with 95 %.

    Half of the errors allowed are for all networks together, half for the smaller majorities that might have been chosen instead, alike. Where
    there is none, as of one network or two, nothing is chosen.

    >>> [round(confidence_of(chosen, 3, 3), 4) for chosen in (3, 2)], confidence_of(2, 2, 2)
    ([0.975, 0.9917], 0.95)
    """
    smaller = sum(math.comb(networks, size) for size in range(asked // 2 + 1, networks))
    allowed = 1 - CONFIDENCE
    if not smaller:
        return CONFIDENCE
    return 1 - allowed / 2 / (1 if chosen == networks else smaller)


def at_least(right: int, of: int, confidence: float = CONFIDENCE) -> float:
    """Lower confidence bound on a probability, from how often it came true (Clopper and Pearson 1934)."""
    return float(beta.ppf(1 - confidence, right, of - right + 1)) if right else 0.0


@dataclass(frozen=True, eq=False)
class Votes:
    """The answers of several networks, taken together for every cell."""

    answer: Cells
    """What most of them answer; of answers with equally many votes the one with the larger sum of probabilities. Of a known cell z."""
    agreement: npt.NDArray[np.float64]
    """The share of the networks that answer so."""


def votes(table: Table, networks: Sequence[Network]) -> Votes:
    """What networks answer together on blanks, and how many of them answer so there and on the known cells."""
    answers = np.stack([network.answer for network in networks])
    probability = np.stack([network.probability for network in networks])
    # (voter, cell): how many answer as this one, and by the sum of their probabilities, at most their number, which of equally many.
    alike = [answers == answer for answer in answers]
    support = np.stack([same.sum(axis=0) + np.where(same, probability, 0).sum(axis=0) / (len(networks) + 1) for same in alike])
    chosen = answers[support.argmax(axis=0), np.arange(table.cells)]
    answer = np.where(table.known, table.z, chosen)
    return Votes(answer, (answers == answer).mean(axis=0))


@dataclass(frozen=True)
class Suspicion:
    """A known cell that all voters which were not shown it answer otherwise, and all alike: perhaps a mistake in the table."""

    x: str
    y: str
    z: str
    """As the table has it."""
    answer: str
    """What the networks say."""
    networks: int
    """Of how many it was held out."""

    def __str__(self) -> str:
        several = f"{self.networks} networks that were" if self.networks > 1 else "the one network that was"
        return f"({self.x}, {self.y}) is {self.z} in the table; {several} not shown it: {self.answer}"


def suspicions(table: Table, networks: Sequence[Network]) -> list[Suspicion]:
    """Known cells that may be mistakes, those that the most networks contradict first."""
    found: list[Suspicion] = []
    unshown: dict[int, list[int]] = {}
    for network in networks:
        for cell in network.held_out.tolist():
            unshown.setdefault(cell, []).append(int(network.answer[cell]))
    for cell, answers in sorted(unshown.items()):
        if len(set(answers)) == 1 and answers[0] != table.z[cell]:
            x, y, z = (table.elements[column[cell]] for column in (table.x, table.y, table.z))
            found.append(Suspicion(x, y, z, table.elements[answers[0]], len(answers)))
    return sorted(found, key=lambda suspicion: -suspicion.networks)


def corrected(table: Table, found: Sequence[Suspicion]) -> Table:
    """A table with the networks' answers in the place of those that may be mistakes."""
    place = {name: number for number, name in enumerate(table.elements)}
    z = table.z.copy()
    for suspicion in found:
        z[table.find(place[suspicion.x], place[suspicion.y])] = place[suspicion.answer]
    return Table(table.operation, table.symbol, table.elements, table.x, table.y, z)


def as_completed(table: Table, answer: Cells) -> Table:
    """The table with all its blanks filled."""
    return Table(table.operation, table.symbol, table.elements, table.x, table.y, answer.astype(np.int32))


def remarks(table: Table) -> list[str]:
    """What a table lacks that no network can make up for."""
    known = table.known
    told: list[str] = []
    unmentioned = set(table.x.tolist() + table.y.tolist()) - set(table.x[known].tolist() + table.y[known].tolist())
    if unmentioned:
        told.append(f"no known cell has {_few(table, unmentioned)} as x or y: what is filled in for them is a guess")
    never = set(table.x.tolist() + table.y.tolist()) - set(table.z[known].tolist())
    if never and len(set(table.z[known].tolist()) - set(table.x.tolist() + table.y.tolist())) == 0:
        told.append(f"no known cell has the answer {_few(table, never)}: where that is right, the networks cannot know it")
    return told


def _few(table: Table, numbers: set[int]) -> str:
    names = [table.elements[i] for i in sorted(numbers)]
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def facts_of(evidence: Evidence) -> dict[str, Any]:
    """The evidence by name, as JSON tells it."""
    return {
        "verdict": evidence.verdict,
        "networks": evidence.networks,
        "voters": len(evidence.voters),
        "held_out": evidence.held_out,
        "right": evidence.right,
        "accuracy": evidence.accuracy,
        "at_least": evidence.at_least,
        "required_accuracy": evidence.required,
        "commonest_answer": evidence.commonest,
        "accuracy_by_guessing": evidence.by_guessing,
    }
