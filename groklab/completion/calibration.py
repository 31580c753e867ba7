"""Probabilities of several networks' answers that mean what they say: softmax at a temperature that held-out cells decide.

What a softmax gives at temperature 1 depends on loss and decay more than on how often a network is right: one trained on squared error
has outputs near 0 and 1, so that it gives 7 % to answers that are always right. Temperature scaling (Guo et al. 2017, On calibration of
modern neural networks) divides all logits by one number. Here it is the one at which the mean probability of the answers on held-out
cells is the share of them that is right, by Laplace's rule of succession, (right + 1) / (cells + 2), which leaves room for the
mistakes that were not seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from scipy.optimize import root_scalar
from scipy.special import log_softmax

from groklab.completion.votes import Cells, Network
from groklab.data.table import Table
from groklab.stored.run import load

PIECE = 4096
"""Cells of one forward pass."""
RANGE = (1e-4, 1e4)
"""Temperatures that are tried."""

Reals = npt.NDArray[np.float64]


def confidence_of(table: Table, networks: Sequence[Network], answer: Cells, *, runs: str) -> Reals:
    """For every cell the mean over the networks of their calibrated probability of an answer, (cells,); all share one temperature."""
    known = [logits for network in networks for logits in _logits(network, table, network.held_out, runs)]
    warmth = temperature(np.concatenate(known), np.concatenate([table.z[network.held_out] for network in networks]))
    total, cells = np.zeros(table.cells), np.arange(table.cells)
    for network in networks:
        done = 0
        for logits in _logits(network, table, cells, runs):
            piece = slice(done, done + len(logits))
            total[piece] += np.exp(log_softmax(logits / warmth, axis=1)[np.arange(len(logits)), answer[piece]])
            done += len(logits)
    return total / len(networks)


def temperature(logits: Reals, answers: npt.NDArray[np.integer]) -> float:
    """The temperature for logits of cells with known answers, (B, N) and (B,): between 0.0001 and 10,000."""
    right = int((logits.argmax(axis=1) == answers).sum())
    wanted = (right + 1) / (len(answers) + 2)

    def excess(logarithm: float) -> float:
        return float(np.exp(log_softmax(logits / np.exp(logarithm), axis=1).max(axis=1)).mean()) - wanted

    coldest, hottest = np.log(RANGE)
    if excess(coldest) <= 0:
        return RANGE[0]
    if excess(hottest) >= 0:
        return RANGE[1]
    return float(np.exp(root_scalar(excess, bracket=(coldest, hottest)).root))


def _logits(network: Network, table: Table, cells: Cells, runs: str) -> Iterator[Reals]:
    """Logits of a network on some cells, (piece, N) at a time."""
    import torch

    from groklab.measures.activations import logits_of
    from groklab.stored.measurements import checkpoint_of

    parameters, task = checkpoint_of(load(network.id, runs=runs), network.steps)
    for start in range(0, len(cells), PIECE):
        piece = cells[start : start + PIECE]
        a, b = (torch.from_numpy(side[piece].astype(np.int64)) for side in (table.x, table.y))
        yield logits_of(parameters, task, (a, b)).numpy()
