"""What `groklab complete` tells: networks, evidence, what the table is, and what to make of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from groklab.analysis.completions import CONFIDENCE, Network
from groklab.completing import Completion
from groklab.data.identification import Structure
from groklab.display import percent
from groklab.screens import Columns, number, print_screen, screen_of
from groklab.terminal import aside, say, write_json
from groklab.values import shown

SHOWN = 5
"""Lines of a list of cells."""


def tell(found: Completion, output: Path | None, *, is_json: bool) -> None:
    """Print a completion, for people or as one JSON object; warnings go to standard error."""
    if output is not None and not found.is_found:
        aside("groklab: written with --force, though nothing was found: its filled cells are guesses.")
    if is_json:
        write_json(found.to_dict() | {"output": None if output is None else str(output)})
        return
    known = found.known
    blanks = known.cells - int(known.known.sum())
    _say(f"{found.file}: {known.n:,} elements, {known.cells:,} cells, {known.cells - blanks:,} of them known, {blanks:,} to fill")
    columns: Columns = {
        "network": lambda row: row["id"],
        "steps": lambda row: number(row["steps"]),
        "train": lambda row: percent(row["train"]),
        "held out, right": lambda row: f"{row['right']:,} of {row['held_out']:,}",
        "votes": lambda row: "yes" if row["votes"] else "no",
    }
    print_screen(screen_of(columns, [_row(found, network) for network in found.networks], left=("network",)))
    for name, reason in found.failed.items():
        aside(f"failed: {name}: {reason}")
    _say(verdict_of(found))
    if found.is_found or output is not None:
        _say(*_of_blanks(found))
        _say("The completed table is " + ", ".join(told_of(found.structure)) + ".")
    if found.suspicions:
        unseen = f"{found.evidence.held_out:,} of {int(known.known.sum()):,} known cells were held out of a network that votes"
        _say(f"Perhaps mistakes in the table ({unseen}; more --seeds hold out more):")
        _say(*[f"  {suspicion}" for suspicion in found.suspicions[:SHOWN]])
        _say(*[f"  and {len(found.suspicions) - SHOWN} more (--json has them all)"] * (len(found.suspicions) > SHOWN))
        if found.corrected is not None:
            _say("With the networks' answers there it would be " + ", ".join(told_of(found.corrected)) + ".")
    _say(*[f"Note: {remark}." for remark in found.remarks])
    if output is None:
        _say("No file was written; --force writes what the networks answer all the same.")
    else:
        _say(f"written: {output}")


def _say(*lines: str) -> None:
    for line in lines:
        say(line)


def _row(found: Completion, network: Network) -> dict[str, object]:
    known = found.known
    return {
        "id": network.id,
        "steps": network.steps,
        "train": network.accuracy(known, network.trained),
        "right": network.right(known, network.held_out),
        "held_out": len(network.held_out),
        "votes": network.id in found.evidence.voters,
    }


def verdict_of(found: Completion) -> str:
    """The verdict in words, with the numbers it rests on."""
    evidence = found.evidence
    right = f"{evidence.right:,} of {evidence.held_out:,} held-out cells ({percent(evidence.accuracy)})"
    guess = f"always answering {shown(evidence.commonest)} would get {percent(evidence.by_guessing)}"
    sure = f"at least {percent(evidence.at_least)} of unseen cells, with {100 * CONFIDENCE:.0f} % confidence"
    voters = f"{len(evidence.voters)} of {evidence.networks} networks"
    match evidence.verdict:
        case "found":
            return f"Found: {voters} have found a rule. Together they get {right} right, {sure}; {guess}."
        case "undecided" if not evidence.is_above_guessing:
            return f"Undecided: {voters} get most held-out cells right, {right}, but {guess}: that they have found more than this does not show."
        case "undecided":
            return (
                f"Undecided: {voters} get most held-out cells right, {right}, but that shows no more than {sure}, where "
                f"{percent(evidence.required)} is asked for. More --seeds hold out more cells; a smaller --required-accuracy asks for less."
            )
        case "memorized" if evidence.is_above_guessing:
            return (
                f"Not found: the networks know what they were shown, and {right} besides: more than by guessing ({guess}), but not the rule. "
                f"They may need more --steps, more known cells, or another recipe than {', '.join(found.tried)}."
            )
        case "memorized":
            return (
                f"Nothing was found: the networks have only memorized what they were shown. They get {right} right; {guess}. "
                f"Either there is no rule, or networks like these ({', '.join(found.tried)}) cannot find it in so few cells."
            )
        case "not learned":
            return (
                f"Nothing was found: most of the networks do not even know {percent(evidence.required)} of the cells that they were shown. They "
                f"may need more --steps; {right} right."
            )


def _of_blanks(found: Completion) -> Iterator[str]:
    filled = found.table.filter(found.table["filled"])
    agreed = int((filled["agreement"] == 1).sum())
    voters = len(found.voters)
    who = "the one that votes" if voters == 1 else f"all {voters} that vote"
    yield f"Blanks: {who} agree on {agreed:,} of {filled.height:,}; the least confidence is {percent(filled['confidence'].min())}."  # pyright: ignore[reportArgumentType]
    doubtful = filled.filter(filled["agreement"] < 1).sort("confidence")
    for row in doubtful.head(SHOWN).iter_rows(named=True):
        yield f"  in doubt: ({row['x']}, {row['y']}) = {row['z']}, agreement {percent(row['agreement'])}, confidence {percent(row['confidence'])}"


def told_of(structure: Structure) -> list[str]:
    """What a table is, in words."""
    told = [_property("commutative", structure.commutative, structure.commutative_share, "pairs")]
    if structure.group:
        name = structure.isomorphic_to
        return [
            *told,
            f"a group with the neutral element {structure.neutral_element}",
            f"isomorphic to {name}" if name else "which has no name here",
        ]
    if structure.associative is None and structure.inverses is None:
        told.append("not an operation on one set, so that it can be no group")
    else:
        told.append(_property("associative", structure.associative, structure.associative_share, "triples"))
        told.append("no group" if structure.group is False else "perhaps a group")
        told.append(f"with the neutral element {structure.neutral_element}" if structure.neutral_element else "without a neutral element")
    return [*told, "a Latin square" if structure.latin_square else "no Latin square"]


def _property(word: str, holds: bool | None, share: float | None, of: str) -> str:
    if holds is None:
        return f"of open {word.replace('ive', 'ivity')}"
    return word if holds else f"not {word}" + ("" if share is None else f" ({percent(share)} of the {of})")
