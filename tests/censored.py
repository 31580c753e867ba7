"""Samples in which some runs never got there, for the tests of statistics."""

import numpy as np
from hypothesis import strategies as st

from groklab.analysis.survival import Sample

TREATED = Sample.of(
    [6, 6, 6, 7, 10, 13, 16, 22, 23, *[None] * 12], [0] * 9 + [6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35]
)  # weeks of remission, Freireich et al. 1963: the textbook example of censored data (Kalbfleisch & Prentice 2002, Table 1.2)
CONTROL = Sample.of([1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23], 0)


def drawn(stream, runs, *, censored=True, grid=None):
    """Runs with exponential times of median log 2, censored by an independent time of mean 2; on a grid there are ties."""
    times, ends = stream.exponential(size=runs), stream.exponential(2, size=runs) if censored else np.full(runs, np.inf)
    steps = np.minimum(times, ends)
    return Sample(steps if grid is None else np.ceil(steps * grid), times <= ends)


samples = st.lists(st.tuples(st.integers(1, 30), st.booleans()), min_size=1, max_size=12).map(
    lambda pairs: Sample(np.array([p[0] for p in pairs], dtype=float), np.array([p[1] for p in pairs]))
)
