"""Tables for a terminal and for a page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Table:
    """One table with a title above and sentences below."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = field(default_factory=tuple)


def written(value: Mapping[str, float], digits: int = 1) -> str:
    """Median and, in parentheses, smallest and largest."""
    return f"{value['median']:.{digits}f} ({value['min']:.{digits}f}–{value['max']:.{digits}f})"


def as_text(table: Table) -> Iterator[str]:
    """Aligned columns: the first to the left, the others to the right."""
    yield table.title
    widths = [max(len(row[k]) for row in [table.head, *table.rows]) for k in range(len(table.head))]
    for row in [table.head, ["─" * width for width in widths], *table.rows]:
        aligned = (cell.ljust(width) if k == 0 else cell.rjust(width) for k, (cell, width) in enumerate(zip(row, widths, strict=True)))
        yield "  ".join(aligned).rstrip()
    yield from table.notes


def as_markdown(table: Table) -> Iterator[str]:
    """A section of a page."""
    yield from (f"### {table.title}", "")
    for row in [table.head, ["---"] * len(table.head), *table.rows]:
        yield "| " + " | ".join(row) + " |"
    for note in table.notes:
        yield from ("", note)
