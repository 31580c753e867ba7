"""Claims of work that came after the paper about what networks compute: progress measures of Nanda, networks of groups of Chughtai."""

from __future__ import annotations

from typing import Any

import polars as pl

from groklab.analysis.statistics import sample_of
from groklab.claims.budgets import Verdict, count
from groklab.claims.rules import FEWEST, Judgment, in_range, part, seeds_in, told_steps, undecided
from groklab.claims.structure import NEARLY_ALL, told_unmeasured, trained_out, unmeasured
from groklab.config.run import Run
from groklab.registry import claim

NANDA, CHUGHTAI = "Nanda et al. 2023", "Chughtai et al. 2023"


def _numbers(table: pl.DataFrame, column: str) -> list[float]:
    if column not in table.columns:
        return []
    return [float(value) for value in table.filter(pl.col("generalized_at").is_not_null())[column].drop_nulls()]


def _expect_circuit(run: Run) -> dict[str, float]:
    return {"generalized_at": 9_000, "key_frequencies": 4.0, "restricted_loss": 1e-5, "excluded_loss": 4.0, "validation_loss": 2e-5}


@claim(id="N1", paper=NANDA, place="§4", experiment="nanda_progress_measures", published="3 to 5", expects=_expect_circuit)
def few_key_frequencies(table: pl.DataFrame) -> Judgment:
    """A network that has generalized addition mod 113 uses a handful of key frequencies (Nanda et al. 2023).

    Rule: of three generalized networks or more, the number of key frequencies (rule of their neurons) is within a factor of two of 3 to 5 in
    nine of ten (reproduced), or outside in most (not reproduced).

    Parts: every network, as the sentence is about a network and not about most. Settled where all have the published 4·10⁴ updates.
    """
    counts = sorted(_numbers(table, "key_frequencies"))
    facts: dict[str, Any] = {
        "value": counts[len(counts) // 2] if counts else None,
        "quantity": "key frequencies, median of networks",
        "runs": len(counts),
        "details": (f"in {len(counts)} networks: {', '.join(f'{count:.0f}' for count in counts)}",) if counts else (),
    }
    if len(counts) < 3:
        return undecided(f"{len(counts)} generalized networks have been measured; three decide", **facts)
    inside = sum(1.5 <= number <= 10 for number in counts)
    unknown = unmeasured(table, "key_frequencies")
    verdict = _of_networks(inside, len(counts), unknown)
    told = f"{inside} of {len(counts)} networks have 2 to 10{told_unmeasured(unknown)}"
    return Judgment(verdict=verdict, reason=told, settled=_trained(table, verdict), **facts)


def _of_networks(holds: int, networks: int, unknown: int = 0) -> Verdict:
    """A sentence about a network: reproduced if it holds in nine of ten, not if it fails in most."""
    if holds >= NEARLY_ALL * (networks + unknown):
        return "reproduced"
    return "not reproduced" if 2 * (holds + unknown) < networks + unknown else "undecided"


def _trained(table: pl.DataFrame, verdict: Verdict) -> bool | None:
    """Whether networks that generalized had as many updates as the published ones; nothing to say where they decide nothing even then."""
    full = trained_out(table.filter(pl.col("generalized_at").is_not_null()), 40_000)
    return full if verdict != "undecided" else None if full else False


@claim(
    id="N2",
    paper=NANDA,
    place="Figure 7",
    experiment="nanda_progress_measures",
    published="restricted below full, excluded far above",
    expects=_expect_circuit,
)
def the_loss_rests_on_the_key_frequencies(table: pl.DataFrame) -> Judgment:
    """Restricted to the key frequencies the network loses nothing, and without them it knows nothing (Nanda et al. 2023).

    Rule: in nine of ten of three generalized networks or more, the restricted loss (all cells) is at most 1.5 times the validation loss plus 10⁻⁴ and the
    excluded loss (training cells) is above 1 nat; not reproduced if in most one of the two fails.

    Parts: two, "loses nothing" and "knows nothing", both in the same network, and every network. Settled where all have the published 4·10⁴ updates.
    """
    known = table.filter(pl.col("generalized_at").is_not_null())
    names = ("restricted_loss", "excluded_loss", "validation_loss")
    known = (
        known.filter(pl.all_horizontal([pl.col(name).is_not_null() for name in names]))
        if set(names) <= set(known.columns)
        else known.clear()
    )
    holds = known.filter((pl.col("restricted_loss") <= 1.5 * pl.col("validation_loss") + 1e-4) & (pl.col("excluded_loss") > 1))
    excluded = sorted(_numbers(known, "excluded_loss"))
    facts: dict[str, Any] = {
        "value": excluded[len(excluded) // 2] if excluded else None,
        "quantity": "excluded loss in nats, median",
        "runs": known.height,
        "details": tuple(
            f"seed {row['seed']}: restricted {row['restricted_loss']:.2e}, validation {row['validation_loss']:.2e}, excluded {row['excluded_loss']:.2f}"
            for row in known.iter_rows(named=True)
        ),
    }
    if known.height < 3:
        return undecided(f"{known.height} generalized networks have been measured; three decide", **facts)
    unknown = unmeasured(table, *names)
    verdict = _of_networks(holds.height, known.height, unknown)
    reason = f"holds in {holds.height} of {known.height} networks{told_unmeasured(unknown)}"
    return Judgment(verdict=verdict, reason=reason, settled=_trained(known, verdict), **facts)


def _expect_chughtai(run: Run) -> dict[str, float]:
    return {"memorized_at": 340, "generalized_at": 90_000}


@claim(id="R1", paper=CHUGHTAI, place="committed runs", experiment="chughtai_s5", published="329 to 346 updates", expects=_expect_chughtai)
def the_mlp_of_s5_memorizes_at_once(table: pl.DataFrame) -> Judgment:
    """The MLP of composition in S₅ at 40 % memorizes at 329 to 346 updates (Chughtai et al. 2023, 50 seeds).

    Rule: the 90 % interval of the median of five seeds or more lies within a factor of two of that (reproduced), or outside (not reproduced).

    Parts: one, a range.
    """
    found = in_range(sample_of(table, "memorized_at"), 329, 346, fewest=FEWEST)
    reason = f"median {told_steps(found.center.median)} of {found.runs} seeds"
    return Judgment(
        verdict=found.verdict if seeds_in(table) >= FEWEST else "undecided",
        settled=found.settled if found.verdict != "undecided" else None if found.settled else False,
        reason=reason,
        value=found.center.median,
        interval=found.center[1:],
        quantity="steps to 99 % train accuracy",
        runs=found.runs,
    )


@claim(
    id="R2",
    paper=CHUGHTAI,
    place="committed runs",
    experiment="chughtai_s5",
    published="38,675 to 218,023 updates",
    expects=_expect_chughtai,
)
def the_mlp_of_s5_groks_in_every_seed(table: pl.DataFrame) -> Judgment:
    """… and every seed groks, at 38,675 to 218,023 updates (Chughtai et al. 2023, 50 seeds).

    Rule: of five seeds or more, all generalize within 2.5·10⁵ updates, each within a factor of two of that range. Not reproduced if one does not
    generalize in 2.5·10⁵ updates, or the 90 % interval of the median lies outside.

    Parts: "every seed": one that does not is enough for a no. One that stopped before is unknown, and with it the claim is not reproduced yet.
    """
    known = count(table, 250_000)
    facts: dict[str, Any] = {"quantity": "steps to 99 % validation accuracy", "runs": table.height}
    told = f"{known.reached} of {known.runs} seeds generalized" + (f", {known.open} stopped before 2.5·10⁵ updates" if known.open else "")
    if known.reached + known.failed < FEWEST or seeds_in(table) < FEWEST:
        few = f"{known.reached + known.failed} seeds have 2.5·10⁵ updates or have generalized; five decide"
        return undecided(few, settled=False if known.open else None, **facts)
    sample = sample_of(part(table, budget=250_000))
    found = in_range(sample, 38_675, 218_023, fewest=FEWEST)
    facts |= {"value": found.center.median, "interval": found.center[1:]}
    if known.failed or found.verdict == "not reproduced":
        return Judgment(verdict="not reproduced", reason=told, settled=True, **facts)
    each = bool(((sample.steps >= 38_675 / 2) & (sample.steps <= 2 * 218_023)).all())
    if not known.open and found.verdict == "reproduced" and each:
        return Judgment(verdict="reproduced", reason=told, settled=True, **facts)
    return undecided(
        told + ("" if each else "; one is further than a factor of two from the range"), settled=False if known.open else None, **facts
    )
