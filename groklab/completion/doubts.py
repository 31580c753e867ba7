"""What the answers of trained networks say against taking blanks for cells like the held-out ones.

Where the blanks lie may show nothing (``blanks``), and the networks still do: they are less sure of blanks than of cells which were held out of
them, or give blanks other answers than known cells have. Both are alike, but for chance, if blanks are like known cells.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.stats import mannwhitneyu

from groklab.completion.blanks import LEVEL, Blanks

DRAWS = 999

Cells = npt.NDArray[np.int64]
Reals = npt.NDArray[np.float64]


def doubts(blanks: Blanks, probability: Sequence[Reals], held_out: Sequence[Cells], answer: Cells) -> tuple[str, ...]:
    """Why nothing should be promised of blanks that seemed to be like known cells, a sentence each.

    ``probability``: each voter's of its own answer, for all cells of the table; ``held_out``: the cells held out of each; ``answer``: what
    they answer together, on known cells z.
    """
    told: list[str] = []
    if less_sure(blanks, probability, held_out) <= LEVEL:
        told.append("The networks are less sure of the blanks than of known cells that were held out of them, so that these are not alike.")
    if other_answers(blanks, answer) <= LEVEL:
        told.append("The answers on the blanks are spread otherwise than those of known cells: the blanks have to do with their answers.")
    return tuple(told)


def less_sure(blanks: Blanks, probability: Sequence[Reals], held_out: Sequence[Cells]) -> float:
    """How rarely voters are by chance as much less sure of blanks as of held-out cells: Mann and Whitney's p, the least of all (Bonferroni)."""
    least = 1.0
    for sure, cells in zip(probability, held_out, strict=True):
        seen = cells[blanks.alike[cells]]
        if len(seen) and len(blanks.compared):
            least = min(least, float(mannwhitneyu(sure[blanks.compared], sure[seen], alternative="less", method="asymptotic").pvalue))
    return min(1.0, least * len(probability))


def other_answers(blanks: Blanks, answer: Cells) -> float:
    """How rarely the answers of known cells would be by chance as far from those of all cells: the p of chi squared, by random draws."""
    cells = np.flatnonzero(blanks.alike)
    totals = np.unique(answer[cells], return_inverse=True)[1]
    sizes = np.bincount(totals)
    known = blanks.table.known[cells]
    expected = sizes * known.mean()
    stream = np.random.Generator(np.random.Philox(0))
    drawn = stream.multivariate_hypergeometric(sizes, int(known.sum()), size=DRAWS, method="marginals")
    counts = np.vstack([np.bincount(totals[known], minlength=len(sizes)), drawn])
    far = ((counts - expected) ** 2 / expected).sum(axis=1)
    return float((far >= far[0] * (1 - 1e-9)).mean())
