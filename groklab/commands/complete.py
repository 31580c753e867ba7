"""`groklab complete`: networks trained on a table with blanks, and what is told of them: evidence, what the table is, what to make of it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from groklab.arguments.parsing import parse
from groklab.arguments.training import CompleteArguments, complete_arguments
from groklab.commands.plugins import load_plugins
from groklab.completion.blanks import blanks_of
from groklab.completion.completion import Completion, complete, table_to_complete
from groklab.completion.votes import CONFIDENCE, Network
from groklab.config.fields import leaves
from groklab.data.contradictions import Contradictions
from groklab.data.identification import Structure
from groklab.display.sweep import TerminalSweep
from groklab.display.tables import Columns, number, print_screen, screen_of
from groklab.laboratory.interruption import stop_requests
from groklab.outside.streams import aside, say, write_json
from groklab.results.files import check_output
from groklab.results.tables import write_table
from groklab.text.numbers import given, percent
from groklab.text.values import shown

SHOWN = 5
"""Lines of a list of cells."""


def complete_table(words: list[str]) -> int:
    """Fill in the blanks of a table."""
    load_plugins(words)
    asked = parse(complete_arguments(), "complete", words)
    with stop_requests() as should_stop:
        return _complete(asked, should_stop)


def _complete(asked: CompleteArguments, should_stop: Callable[[], bool]) -> int:
    """Do what the flags ask for; the exit status."""
    table = table_to_complete(asked.table)
    for note in table.notes:
        aside(f"note: {asked.table}: {note}")
    output = asked.output or asked.table.with_name(f"{asked.table.stem}-completed.csv")
    blanks = blanks_of(table, answers_seen=asked.answers_seen)
    _check_output(output, asked.table, asked.force)
    fields = {name: value for name in leaves() if (value := getattr(asked, name, None)) is not None}
    if not blanks.compared.size:
        told = " ".join(["the blanks are not like the known cells, so that nothing will be promised of them.", *blanks.reasons])
        aside(f"groklab: {told}")
    with TerminalSweep(sys.stderr if asked.where.json else sys.stdout, title="complete") as screen:
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
                answers_seen=asked.answers_seen,
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
        write_table(found.guesses if asked.with_guesses else found.table, output)
    tell(found, output if is_written else None, is_json=asked.where.json, with_guesses=asked.with_guesses)
    return 0 if is_written else 1


def _check_output(output: Path, table: Path, force: bool) -> None:
    """A file that could not be written, or must not be, is found before training, not after."""
    if output.exists() and os.path.samefile(output, table):
        raise ValueError(f"--output: got {shown(str(output))}, which is the table itself; expected another file.")
    check_output("--output", output, (".csv", ".parquet"))
    if output.exists() and not force:
        raise ValueError(f"--output: got {shown(str(output))}, which is there already. Choose another file, or write over it with --force.")


def tell(found: Completion, output: Path | None, *, is_json: bool, with_guesses: bool = False) -> None:
    """Print a completion, for people or as one JSON object; warnings go to standard error."""
    if output is not None and not found.is_found:
        nothing = "nothing can be promised" if found.evidence.verdict == "withheld" else "nothing was found"
        aside(f"groklab: written with --force, though {nothing}: its filled cells are guesses.")
    if is_json:
        write_json(found.to_dict() | {"output": None if output is None else str(output)})
        return
    known = found.known
    blanks = known.cells - int(known.known.sum())
    _say(f"{found.file}: {known.n:,} elements, {known.cells:,} cells, {known.cells - blanks:,} of them known, {blanks:,} to fill")
    columns: Columns = {
        "network": lambda row: row["id"],
        "steps": lambda row: number(row["steps"]),
        "train": lambda row: percent(row["train"], threshold=found.evidence.required),
        "held out, right": lambda row: f"{row['right']:,} of {row['held_out']:,}",
        "votes": lambda row: "yes" if row["votes"] else "no",
    }
    print_screen(screen_of(columns, [_row(found, network) for network in found.networks], left=("network",)))
    for name, reason in found.failed.items():
        aside(f"failed: {name}: {reason}")
    _say(verdict_of(found))
    _say(*_of_no_evidence(found, with_guesses=with_guesses))
    if found.evidence.promised and (found.is_found or output is not None):
        _say(*_of_blanks(found))
    _say(*_of_known_cells(found.contradictions))
    is_on_one_set = known.cells == known.n**2
    if found.is_found or output is not None:
        left = int((~found.completed.known).sum())
        cells = f", {left:,} of whose cells are left blank," if left else ""
        _say(f"The completed table{cells} is " + ", ".join(told_of(found.structure, is_on_one_set=is_on_one_set)) + ".")
    if found.suspicions:
        unseen = f"{found.evidence.held_out:,} of {int(known.known.sum()):,} known cells were held out of a network that votes"
        _say(f"Perhaps mistakes in the table ({unseen}; more --seeds hold out more):")
        _say(*[f"  {suspicion}" for suspicion in found.suspicions[:SHOWN]])
        _say(*[f"  and {len(found.suspicions) - SHOWN} more (--json has them all)"] * (len(found.suspicions) > SHOWN))
        if found.corrected is not None:
            _say("With the networks' answers there it would be " + ", ".join(told_of(found.corrected, is_on_one_set=is_on_one_set)) + ".")
    if found.blanks.question:
        _say(found.blanks.question)
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
    right = f"{evidence.right:,} of {evidence.held_out:,} held-out cells ({percent(evidence.accuracy, threshold=evidence.required)})"
    guess = f"always answering {shown(evidence.commonest)} would get {percent(evidence.by_guessing)}"
    blanks = int((~found.known.known).sum())
    of = f"the {blanks:,} blanks" if evidence.promised == blanks else f"{evidence.promised:,} of the {blanks:,} blanks"
    sure = f"of {of} at least {evidence.promised_right:,} ({percent(evidence.at_least, threshold=evidence.required)}) are right, with {given(CONFIDENCE)} confidence"
    voters = f"{len(evidence.voters)} of {evidence.networks} networks"
    match evidence.verdict:
        case "found":
            return f"Found: {voters} have found a rule. Together they get {right} right; {sure}; {guess}."
        case "withheld":
            return (
                f"Withheld: {voters} have found a rule that holds on held-out cells: together they get {right} right. But the blanks are not like "
                "these cells, so that nothing can be promised of them."
            )
        case "undecided" if not evidence.is_above_guessing:
            return f"Undecided: {voters} get most held-out cells right, {right}, but {guess}: that they have found more than this does not show."
        case "undecided":
            return (
                f"Undecided: {voters} get most held-out cells right, {right}, but that shows no more than that {sure}, where "
                f"{percent(evidence.required, threshold=evidence.required)} is asked for. More --seeds hold out more cells; a smaller --required-accuracy asks for less."
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
                f"Nothing was found: most of the networks do not even know {percent(evidence.required, threshold=evidence.required)} of the cells that they were shown. They "
                f"may need more --steps; {right} right."
            )


def _of_no_evidence(found: Completion, *, with_guesses: bool) -> Iterator[str]:
    """Which blanks nothing is promised of, and why."""
    evidence, known = found.evidence, found.known
    left = np.flatnonzero(~found.supported)
    if evidence.verdict not in ("found", "withheld") or not left.size:
        return
    told = "filled with guesses" if with_guesses else "left blank; --with-guesses fills them"
    if found.is_found:
        yield f"Without evidence, and {told}: {left.size:,} blanks."
    yield from (f"  {reason}" for reason in evidence.reasons)
    if found.is_found:
        cells = [f"({known.elements[known.x[cell]]}, {known.elements[known.y[cell]]})" for cell in left[:SHOWN].tolist()]
        yield "  These are " + ", ".join(cells) + (f" and {left.size - SHOWN:,} more" if left.size > SHOWN else "") + "."


def _of_blanks(found: Completion) -> Iterator[str]:
    table = found.table.filter(found.table["filled"] & found.table["confidence"].is_not_null())
    agreed = int((table["agreement"] == 1).sum())
    voters = len(found.voters)
    who = "the one that votes" if voters == 1 else f"all {voters} that vote"
    least = percent(table["confidence"].min())  # pyright: ignore[reportArgumentType]
    yield f"Blanks: {who} agree on {agreed:,} of {table.height:,}; the least confidence is {least}."
    doubtful = table.filter(table["agreement"] < 1).sort("confidence")
    for row in doubtful.head(SHOWN).iter_rows(named=True):
        yield f"  in doubt: ({row['x']}, {row['y']}) = {row['z']}, agreement {percent(row['agreement'])}, confidence {percent(row['confidence'])}"


def _of_known_cells(known: Contradictions) -> Iterator[str]:
    """What the known cells rule out, and what they leave open."""
    counted = [("commutative", known.unequal, known.pairs, "pair"), ("associative", known.broken, known.triples, "triple")]
    told = [
        (name, differing > 0, f"{differing:,} of {of:,} {each}s differ" if differing else _agreeing(of, each))
        for name, differing, of, each in counted
        if differing is not None and of is not None
    ]
    told.append(("a Latin square", known.repeats, ""))
    if known.is_group_possible is not None:
        told.append(("a group", not known.is_group_possible, ""))
    for is_ruled_out, words in (
        (True, "The known cells rule out that the table is"),
        (False, "The known cells do not rule out that the table is"),
    ):
        names = [name + (f" ({counts})" if counts else "") for name, out, counts in told if out is is_ruled_out]
        if names:
            yield f"{words} {', '.join(names)}."


def _agreeing(number: int, of: str) -> str:
    return f"{number:,} {of}s agree" if number else f"no {of} is known both ways"


def told_of(structure: Structure, *, is_on_one_set: bool) -> list[str]:
    """What a completed table is, in words."""
    told = [_property("commutative", structure.commutative, structure.commutative_share, "pairs")]
    if structure.group:
        name = structure.isomorphic_to
        return [
            *told,
            f"a group with the neutral element {structure.neutral_element}",
            f"isomorphic to {name}" if name else "which has no name here",
        ]
    if is_on_one_set:
        told.append(_property("associative", structure.associative, structure.associative_share, "triples"))
        told.append("no group" if structure.group is False else "perhaps a group")
        if structure.neutral_element:
            told.append(f"with the neutral element {structure.neutral_element}")
        elif structure.inverses is False:
            told.append("without a neutral element")
    else:
        told.append("not an operation on one set, so that it can be no group")
    return [*told, {True: "a Latin square", False: "no Latin square", None: "perhaps a Latin square"}[structure.latin_square]]


def _property(word: str, holds: bool | None, share: float | None, of: str) -> str:
    words = {True: word, False: f"not {word}", None: f"perhaps {word}"}[holds]
    return words if share is None or holds else f"{words} ({percent(share)} of the {of})"
