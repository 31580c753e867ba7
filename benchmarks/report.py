"""What was measured, as tables: those of the terminal and, in Markdown, those of `docs/performance.md`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.machine import summary
from benchmarks.shares import compiled_table
from benchmarks.tables import NOISE, label, slower_rows
from benchmarks.text import Table, as_markdown, as_text, written

Figures = Mapping[str, Any]


def text(found: Figures) -> Iterator[str]:
    """The whole report for a terminal."""
    yield from _head(found)
    for table in tables(found):
        yield from ("", *as_text(table))


def markdown(found: Figures) -> Iterator[str]:
    """The whole report as sections of a page."""
    for k, line in enumerate(_head(found)):
        yield from ((line,) if k == 0 else ("", line))
    for table in tables(found):
        yield from ("", *as_markdown(table))


def _head(found: Figures) -> Iterator[str]:
    yield from summary(found["machine"])
    yield f"run {found['run']}; floor: {found['floor_multiply_adds_per_example_in_d2']:.1f} · width² multiply-adds an example forward"
    yield "Every number is a median over rounds (smallest–largest); milliseconds are per step and run."


def tables(found: Figures) -> Iterator[Table]:
    """Every table for which there are numbers."""
    yield _main(found["main"])
    if found.get("variations"):
        yield _variations(found["variations"])
    if "throughput" in found:
        yield _throughput(found["throughput"])
    if "watching" in found:
        yield _watching(found["watching"], found.get("stored_run"))
    if "start" in found:
        yield _process(found["start"], found["memory_mb"])
    if "shares" in found:
        yield compiled_table(found["shares"])


def _main(main: Figures) -> Table:
    columns = (("milliseconds", 1), ("times_faster_than_peer", 2), ("times_the_floor", 2))
    rows = [
        [name + (" (the default)" if name == main["fast"] else ""), *(written(of[key], digits) for key, digits in columns)]
        for name, of in main["contenders"].items()
    ]
    return Table("A step of the default run", ["one thread", "ms a step and run", "times faster than peer", "times the floor"], rows)


def _variations(variations: Mapping[str, Sequence[Figures]]) -> Table:
    rows = [
        [
            *(name, label(row), str(row["batch"]), row["path"], written(row["reference"]), written(row["fast"])),
            *(written(row["times_faster"], 2), written(row["times_the_floor"], 2)),
        ]
        for name, measured in variations.items()
        for row in measured
    ]
    slower = slower_rows(variations)
    note = f"Slower than the reference, beyond {1 - NOISE:.0%} of noise: {'; '.join(slower)}." if slower else NOWHERE_SLOWER
    head = ["varied", "value", "batch", "path", "reference, ms", "fast, ms", "times faster", "times the floor"]
    return Table("The same at other sizes", head, rows, [note])


NOWHERE_SLOWER = "The fast path is nowhere slower than the reference."


def _throughput(found: Figures) -> Table:
    rows = [["1", written(found["one"]), "1"], [str(found["processes"]), written(found["all"]), written(found["times_one"], 2)]]
    busy = found["busy"]["median"]
    note = f"With all of them at work each had {busy:.2f} of a core."
    if busy < 0.95:
        note += " Other work took the rest, so that the ratio says little."
    return Table("Training on all cores, one process on each", ["processes", "steps a second", "times one"], rows, [note])


def _watching(found: Figures, stored: Figures | None) -> Table:
    rows = [
        [name, written(of["milliseconds"], 2), written(of["in_steps"], 3), f"{of['count']:,}", f"{of['share_of_updates']:.2%}"]
        for name, of in found["kinds"].items()
    ]
    notes = [f"Together they are {found['share']:.1%} of the time of a run of {found['steps']:,} steps."]
    if stored is not None:
        notes.append(
            f"Measured in a stored run of {stored['steps']:,} steps ({stored['path']}): {stored['seconds']:.1f} s from its first update to "
            f"its end, {stored['in_updates']:.1f} s of them inside of updates, {stored['share']:.1%} outside; {stored['evaluations']} "
            f"evaluations, {stored['checkpoints']} checkpoints."
        )
    title = f"Watching a run of {found['steps']:,} steps"
    return Table(title, ["what", "ms", "in steps", "times", "against updates"], rows, notes)


def _process(start: Figures, megabytes: float) -> Table:
    rows = [
        ["`groklab train`, until its first update", f"{written(start['first_update'], 2)} s"],
        ["the same where the kernels have to be compiled first", f"{start['first_update_ever']:.1f} s"],
        ["`groklab --help`", f"{written(start['help'], 2)} s"],
        ["peak memory of a training process, its pictures drawn", f"{megabytes:.0f} MB"],
    ]
    return Table("A process", ["what", "measured"], rows)
