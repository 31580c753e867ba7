"""Whether what `groklab complete` promises of blanks comes true: patterns of blanks × tables × seeds, each a completion with real networks.

    python -m benchmarks.coverage --output benchmarks/coverage.csv      # the same command goes on
    python -m benchmarks.coverage --output benchmarks/coverage.csv --summary

A case hides some cells of a table whose answers are known here, has it completed by five networks of the recipe `gromov` of width 200,
trained for at most 600 steps, and counts how many of the promised blanks are right: five to twenty seconds. Elements have their numbers as names for even seeds, and names in disorder for odd ones.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest

import groklab as gl
from groklab.data.groups import group_named

STEPS, WIDTH = 600, 200
NETWORKS = 5
ALLOWED = 0.05

Grid = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.int64]


def _formula(n: int, formula: Callable[[Numbers, Numbers], Numbers]) -> Callable[[np.random.Generator], Numbers]:
    x, y = np.indices((n, n))
    return lambda chance: formula(x, y) % n


def _group(name: str) -> Callable[[np.random.Generator], Numbers]:
    return lambda chance: np.asarray(group_named(name).table)


TABLES: dict[str, Callable[[np.random.Generator], Numbers]] = {
    "x + y mod 19": _formula(19, lambda x, y: x + y),
    "dihedral(9)": _group("dihedral(9)"),
    "x² + y² mod 17": _formula(17, lambda x, y: x * x + y * y),
    "x - y mod 19": _formula(19, lambda x, y: x - y),
    "2x + 3y mod 18": _formula(18, lambda x, y: 2 * x + 3 * y),
    "symmetric(4)": _group("symmetric(4)"),
    "max(x, y)": _formula(16, np.maximum),
    "random": lambda chance: chance.integers(0, 16, (16, 16)),
}


def _every(step: int) -> Callable[[int, np.random.Generator], Grid]:
    return lambda n, chance: (np.arange(n * n) % step != 0).reshape(n, n)


def _share(share: float) -> Callable[[int, np.random.Generator], Grid]:
    return lambda n, chance: (chance.permutation(n * n) >= round(share * n * n)).reshape(n, n)


def _also(share: float, blank: Callable[[Numbers, Numbers, int], Grid]) -> Callable[[int, np.random.Generator], Grid]:
    """A pattern of blanks, beside a share of all cells at random."""

    def known(n: int, chance: np.random.Generator) -> Grid:
        x, y = np.indices((n, n))
        return _share(share)(n, chance) & ~blank(x, y, n)

    return known


PATTERNS: dict[str, Callable[[int, np.random.Generator], Grid]] = {
    "15 % at random": _share(0.15),
    "30 % at random": _share(0.3),
    "45 % at random": _share(0.45),
    "a row": _also(0, lambda x, y, n: x == 5),
    "a row, 25 % at random": _also(0.25, lambda x, y, n: x == 5),
    "a column, 25 % at random": _also(0.25, lambda x, y, n: y == 7),
    "an element, 25 % at random": _also(0.25, lambda x, y, n: (x == 3) | (y == 3)),
    "three sparse rows": _also(0.2, lambda x, y, n: (x < 3) & ((3 * x + 2 * y) % 5 != 0)),
    "a block": _also(0, lambda x, y, n: (x < 8) & (y > n - 9)),
    "a block, 25 % at random": _also(0.25, lambda x, y, n: (x < 8) & (y > n - 9)),
    "a triangle": _also(0, lambda x, y, n: x > y),
    "a diagonal": _also(0, lambda x, y, n: (x - y) % n == 4),
    "a diagonal, 25 % at random": _also(0.25, lambda x, y, n: (x - y) % n == 4),
    "the other diagonal, 25 % at random": _also(0.25, lambda x, y, n: (x + y) % n == 4),
    "every 3rd": _every(3),
    "every 7th": _every(7),
    "a checkerboard": _also(0, lambda x, y, n: (x + y) % 2 == 1),
}

COLUMNS: tuple[str, ...] = (
    "pattern", "table", "seed", "known", "blanks", "verdict", "held_out", "held_out_right", "promised", "promised_right", "right", "right_elsewhere",
)  # fmt: skip


class Case(NamedTuple):
    """One table with blanks."""

    pattern: str
    table: str
    seed: int


def cases(seeds: Sequence[int]) -> Iterator[Case]:
    """All of them, one kind of table after the other."""
    return (Case(pattern, table, seed) for table in TABLES for seed in seeds for pattern in PATTERNS)


def completed(case: Case) -> dict[str, object]:
    """The row of one case: what was promised, and how many of the promised blanks and of the others are right."""
    chance = np.random.default_rng([case.seed, list(PATTERNS).index(case.pattern), list(TABLES).index(case.table)])
    product = TABLES[case.table](chance)
    n = len(product)
    known = PATTERNS[case.pattern](n, chance)
    numbers = np.arange(n) if case.seed % 2 == 0 else chance.permutation(n)
    names = [str(number) if case.seed % 2 == 0 else f"e{number}" for number in numbers]
    truth = {(names[x], names[y]): names[product[x, y]] for x in range(n) for y in range(n)}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "table.csv"
        rows = [f"{names[x]},{names[y]},{names[product[x, y]] if known[x, y] else ''}" for x in range(n) for y in range(n)]
        file.write_text("x,y,z\n" + "\n".join(rows) + "\n", encoding="utf-8")
        seeds = range(case.seed * NETWORKS, (case.seed + 1) * NETWORKS)
        found = gl.complete(file, seeds=seeds, presets="gromov", steps=STEPS, mlp_width=WIDTH, workers=1, runs=Path(folder) / "runs")
    evidence, right = found.evidence, {True: 0, False: 0}
    for row in found.guesses.filter("filled").iter_rows(named=True):
        right[bool(row["supported"])] += truth[row["x"], row["y"]] == row["z"]
    given = evidence.verdict == "found"
    row = (
        *case, int(known.sum()), int((~known).sum()), evidence.verdict, evidence.held_out, evidence.right,
        evidence.promised if given else 0, evidence.promised_right if given else 0, right[True], right[False],
    )  # fmt: skip
    return dict(zip(COLUMNS, row, strict=True))


def summary(rows: list[dict[str, str]]) -> Iterator[str]:
    """A line for each pattern, and the share of promises broken against the 5 % allowed (exact binomial test)."""
    yield "| blanks | tables completed | promised for some blanks | least promised | least true | broken |"
    yield "|---|---|---|---|---|---|"
    broken_in_all = 0
    for pattern in PATTERNS:
        those = [row for row in rows if row["pattern"] == pattern]
        given = [row for row in those if int(row["promised"])]
        broken = [row for row in given if int(row["right"]) < int(row["promised_right"])]
        broken_in_all += len(broken)
        least = [
            f"{100 * min((int(row[side]) / int(row['promised']) for row in given), default=0):.1f} %"
            for side in ("promised_right", "right")
        ]
        shown = " | ".join(least) if given else "– | –"
        yield f"| {pattern} | {len(those)} | {len(given)} | {shown} | {len(broken)} |"
    total = sum(bool(int(row["promised"])) for row in rows)
    if total:
        p = binomtest(broken_in_all, total, ALLOWED, alternative="greater").pvalue
        yield ""
        yield f"{broken_in_all} of {total} promises broken; more than {100 * ALLOWED:.0f} % by chance alone with p = {p:.2g}."


def main() -> None:
    """Complete what is missing in the file, or tell what is there."""
    parser = argparse.ArgumentParser(description="whether what `groklab complete` promises comes true")
    parser.add_argument("--output", type=Path, required=True, help="CSV file; cases that it holds are not computed again")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of the tables with blanks")
    parser.add_argument("--summary", action="store_true", help="tell what the file holds, and compute nothing")
    asked = parser.parse_args()
    rows: list[dict[str, str]] = []
    if asked.output.exists():
        with asked.output.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    if not asked.summary:
        done = {(row["pattern"], row["table"], int(row["seed"])) for row in rows}
        asked.output.parent.mkdir(parents=True, exist_ok=True)
        with asked.output.open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter[str](file, COLUMNS, lineterminator="\n")
            if not rows:
                writer.writeheader()
            for case in cases(asked.seeds):
                if case not in done:
                    row = completed(case)
                    writer.writerow(row)
                    file.flush()
                    rows.append({name: str(value) for name, value in row.items()})
                    print(*row.values(), sep=" | ", flush=True)
    print("\n".join(summary(rows)))


if __name__ == "__main__":
    main()
