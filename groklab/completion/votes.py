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
from scipy.stats import beta, hypergeom

from groklab.completion.blanks import Blanks
from groklab.completion.doubts import doubts
from groklab.data.table import Table

CONFIDENCE = 0.95
"""Of the promise that so many of the blanks are right."""

Cells = npt.NDArray[np.int64]
Verdict = Literal["found", "undecided", "withheld", "memorized", "not learned"]


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
    answer does as well; withheld: most do, but no blank is like these cells; memorized: most know what they were shown, and not the rest;
    not learned: not even that."""
    networks: int
    """Networks asked for; those that diverged are among them and do not vote."""
    voters: tuple[str, ...]
    """Ids of those that get the required share of their held-out cells right."""
    held_out: int
    """Cells held out of a voter, or of any network where nothing was found; each counts once, whoever it was held out of. Only those in rows
    and columns that are compared with blanks, where there are any."""
    right: int
    """Those of them that every such network gets right."""
    promised: int
    """Blanks that are like these cells, of which alone something is promised."""
    promised_right: int
    """How many of them are right at least, with 95 % confidence: see ``promise``."""
    likely: float
    """Lower bound of the same confidence on the probability that a cell like the held-out ones is right (Clopper and Pearson 1934)."""
    required: float
    """The share of the promised blanks that has to be right."""
    commonest: str
    """The answer that most known cells have."""
    by_guessing: float
    """The share of the known cells that have it."""
    reasons: tuple[str, ...]
    """Why nothing is promised of some blanks, or of any, a sentence each."""

    @property
    def accuracy(self) -> float:
        """Share of the held-out cells that are right."""
        return self.right / self.held_out if self.held_out else 0.0

    @property
    def at_least(self) -> float | None:
        """The share of the promised blanks that is right at least, with 95 % confidence; None where nothing is promised of any."""
        return self.promised_right / self.promised if self.promised else None

    @property
    def is_above_guessing(self) -> bool:
        """Whether the networks know more of unseen cells than their commonest answer, with confidence."""
        return self.likely > self.by_guessing


def evidence_of(table: Table, networks: Sequence[Network], blanks: Blanks, *, asked: int, required: float, recipes: int = 1) -> Evidence:
    """The verdict on networks that were trained, of as many as were asked for, by one of so many recipes.

    A network votes if it has the required share of its own held-out cells right. Of the cells that were held out of voters, one is
    right if all voters that were not shown it have it right; cells are counted once, for the same cell held out of two networks is not
    two observations. Of the blanks only those get a promise that are like these cells, by where they are and by what the voters answer.

    Voters are chosen by the very cells that the promise rests on. It holds all the same, as it is made for every majority that might have voted
    at once, and for every recipe that might have been the first to find a rule (Bonferroni): see ``confidence_of``.
    """
    voting = [network for network in networks if network.accuracy(table, network.held_out) >= required]
    is_majority = 2 * len(voting) > asked
    judged = voting if is_majority else list(networks)
    counts = np.bincount(table.z[table.known], minlength=table.n)
    commonest = int(counts.argmax())
    guessed = float(counts[commonest] / counts.sum())
    confidence = confidence_of(len(judged), len(networks), asked, recipes)
    compared, reasons = blanks.compared, blanks.reasons
    held_out, right = _held_out(table, judged, blanks.alike if len(compared) else table.known)
    together = votes(table, judged)
    if is_majority and len(compared):
        told = doubts(blanks, [network.probability for network in judged], [network.held_out for network in judged], together.answer)
        compared, reasons = (compared[:0] if told else compared), (*reasons, *told)
    promised_right = promise(held_out - right, held_out, together.agreement[compared], confidence)
    if promised_right is None and is_majority:
        compared, reasons = compared[:0], (*reasons, _CONTRADICTION)
    likely = at_least(right, held_out, confidence)
    if is_majority:
        is_sure = len(compared) and (promised_right or 0) >= required * len(compared) and likely > guessed
        verdict: Verdict = "withheld" if not len(compared) else "found" if is_sure else "undecided"
    else:
        memorizing = sum(network.accuracy(table, network.trained) >= required for network in networks)
        verdict = "memorized" if 2 * memorizing > asked else "not learned"
    return Evidence(
        verdict, asked, tuple(network.id for network in voting), held_out, right, len(compared), promised_right or 0, likely, required,
        table.elements[commonest], guessed, reasons,
    )  # fmt: skip


_CONTRADICTION = (
    "The networks contradict each other on the blanks more than their mistakes on held-out cells allow, so that these are not alike."
)


def _held_out(table: Table, networks: Sequence[Network], inside: npt.NDArray[np.bool_]) -> tuple[int, int]:
    """Cells inside that were held out of networks, and how many of them all such networks have right."""
    held_out, wrong = np.zeros(table.cells, dtype=bool), np.zeros(table.cells, dtype=bool)
    for network in networks:
        held_out[network.held_out] = True
        wrong[network.held_out[network.answer[network.held_out] != table.z[network.held_out]]] = True
    return int((held_out & inside).sum()), int((held_out & ~wrong & inside).sum())


def confidence_of(chosen: int, networks: int, asked: int, recipes: int = 1) -> float:
    """Confidence of a bound on the networks chosen, so that all bounds that might have been given hold together with 95 %.

    The errors allowed are shared by the recipes alike. Of each recipe's, half are for all networks together, half for the smaller majorities
    that might have been chosen instead, alike. Where there is none, as of one network or two, nothing is chosen.

    >>> [round(confidence_of(chosen, 3, 3), 4) for chosen in (3, 2)], confidence_of(2, 2, 2), confidence_of(2, 2, 2, recipes=2)
    ([0.975, 0.9917], 0.95, 0.975)
    """
    smaller = sum(math.comb(networks, size) for size in range(asked // 2 + 1, networks))
    allowed = (1 - CONFIDENCE) / recipes
    if not smaller:
        return 1 - allowed
    return 1 - allowed / 2 / (1 if chosen == networks else smaller)


def promise(wrong: int, held_out: int, agreement: npt.NDArray[np.float64], confidence: float) -> int | None:
    """How many blanks are right at least, if the held-out cells were drawn at random from these and the blanks together.

    So many of the held-out cells are wrong. By the hypergeometric distribution that bounds how many blanks a voter has wrong, on the average of
    the voters. ``agreement``, (blanks,), is the share of voters that give the answer taken. It tells the rest: of a blank on which
    half of them or more agree, the others are wrong if the answer is right, and as many as agree if it is wrong. None where the voters
    contradict each other on the blanks more than the bound allows.

    >>> promise(0, 100, np.ones(50), 0.95), promise(0, 100, np.ones(1), 0.95), promise(0, 10, np.full(50, 0.5), 0.95)
    (48, 1, None)
    """
    low, high = 0, len(agreement)
    while low < high:
        middle = (low + high + 1) // 2
        if hypergeom.cdf(wrong, held_out + len(agreement), wrong + middle, held_out) > 1 - confidence:
            low = middle
        else:
            high = middle - 1
    spare = low - (1 - agreement).sum()
    if spare < -1e-9:
        return None
    costs = np.sort(np.maximum(2 * agreement - 1, 0)).cumsum()
    return len(agreement) - int(np.searchsorted(costs, spare + 1e-9, side="right"))


def at_least(right: int, of: int, confidence: float = CONFIDENCE) -> float:
    """Lower confidence bound on a probability, from how often it came true (Clopper and Pearson 1934); 0 where it never did."""
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


def facts_of(evidence: Evidence) -> dict[str, Any]:
    """The evidence by name, as JSON tells it."""
    return {
        "verdict": evidence.verdict,
        "networks": evidence.networks,
        "voters": len(evidence.voters),
        "held_out": evidence.held_out,
        "right": evidence.right,
        "accuracy": evidence.accuracy,
        "promised": evidence.promised,
        "promised_right": evidence.promised_right if evidence.promised else None,
        "at_least": evidence.at_least,
        "reasons": list(evidence.reasons),
        "required_accuracy": evidence.required,
        "commonest_answer": evidence.commonest,
        "accuracy_by_guessing": evidence.by_guessing,
    }
