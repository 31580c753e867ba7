"""How far the loss can rise in a small box around the parameters (Keskar et al. 2016).

The published code of Power et al. (2022) for this measure minimizes where the definition maximizes; here is the definition.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import scipy.optimize

from groklab.config.run import Run
from groklab.measures.objective import Gradient, Objective, Vector, Vectors, positive_number, refuse, whole_number
from groklab.measures.task import MeasuredTask
from groklab.model.parameters import Parameters
from groklab.registry import measure


def _problems(settings: Mapping[str, Any], *, run: Run | None = None) -> list[str]:
    lows = {"dimension": 0, "iterations": 1, "starts": 0}
    return positive_number("epsilon", settings) + [problem for name, low in lows.items() for problem in whole_number(name, settings, low)]


@measure(label="sharpness", source="Keskar et al. 2016; Power et al. 2022", check=_problems)
def sharpness(
    parameters: Parameters, task: MeasuredTask, *, epsilon: float = 1e-3, dimension: int = 10, iterations: int = 10, starts: int = 1
) -> float:
    """Sharpness φ = 100 · (max L − L) / (1 + L) of the training loss in a small box (Keskar et al. 2016, Metric 2.1), without unit.

    The box is that of `box_sharpness`, in a random subspace of ``dimension`` dimensions, or in that of all parameters for 0. The
    maximum is searched by L-BFGS-B, ``iterations`` of it and at most twice as many gradients, from the parameters themselves and from
    ``starts`` random points of the box, because at a minimum the gradient says nothing. The best point counts, so φ is a bound from
    below. In float64. The paper's network takes 10 to 20 s on one core with 4,656 training cells, about twice that with
    the 10,080 of S₅ at 70 %.
    """
    refuse("sharpness", _problems({"epsilon": epsilon, "dimension": dimension, "iterations": iterations, "starts": starts}))
    objective = Objective(parameters, task)
    x, source = objective.center, task.randomness("sharpness")
    if dimension > len(x):
        raise ValueError(
            f"sharpness: dimension: got {dimension}; expected at most the {len(x):,} parameters of this network, or 0 for all of them."
        )
    inverse = random_subspace(dimension, len(x), source) if dimension else None
    return box_sharpness(objective.gradient, x, source, inverse=inverse, epsilon=epsilon, iterations=iterations, starts=starts)


def random_subspace(dimension: int, size: int, source: np.random.Generator) -> Vectors:
    """A⁺, (dimension, size): rows uniform in [−1, 1], each divided by its norm (as in the code of Power et al. 2022)."""
    rows = source.uniform(-1, 1, (dimension, size))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def box_sharpness(
    gradient: Gradient,
    x: Vector,
    source: np.random.Generator,
    *,
    inverse: Vectors | None = None,
    epsilon: float = 1e-3,
    iterations: int = 10,
    starts: int = 1,
) -> float:
    """φ = 100 · (max L(x + Ay) − L(x)) / (1 + L(x)) over |y_i| ≤ ε (|(A⁺x)_i| + 1) (Keskar et al. 2016, equation 4 and Metric 2.1).

    ``gradient`` gives the loss and its gradient at a point (D,). ``inverse`` is A⁺, (K, D), and A its pseudo-inverse; without it both are the
    identity. nan where the loss at x is not finite; ValueError where it is −1 or less, for which φ means nothing.
    """
    center, at_center = gradient(x)
    if not np.isfinite(center):
        return float("nan")
    if center <= -1:
        raise ValueError(f"sharpness: got a loss of {center:.4g}; expected one above −1, as φ is relative to 1 + L.")
    basis = None if inverse is None else np.linalg.pinv(inverse)
    sides = epsilon * (np.abs(x if inverse is None else inverse @ x) + 1)
    highest = center

    def asked(z: Vector) -> tuple[float, Vector]:
        """Loss and gradient at a place of the unit box, [−1, 1] along every side."""
        nonlocal highest
        y = sides * z
        loss, slope = gradient(x + (y if basis is None else basis @ y))
        if loss > highest:  # the best of all points, wherever a line search ends
            highest = loss
        return loss, sides * (slope if basis is None else slope @ basis)

    for z in _starts(at_center, sides, starts, source):
        _climb(asked, z, iterations)
    return 100 * (highest - center) / (1 + center)


def _starts(at_center: Vector, sides: Vector, starts: int, source: np.random.Generator) -> Iterator[Vector]:
    """Places of the unit box where searches begin: its center, unless the gradient there is zero, and random ones."""
    if np.any(at_center):
        yield np.zeros(len(sides))
    for _ in range(starts):
        yield source.uniform(-1, 1, len(sides))


def _climb(asked: Gradient, start: Vector, iterations: int) -> None:
    """L-BFGS-B upwards in the unit box, the loss in units of its slope at the start: a loss of 1e-7 must not pass for converged."""
    first, slope = asked(start)
    unit = float(np.abs(slope).max())
    if not np.isfinite(first) or not np.isfinite(unit) or unit == 0:
        return
    known: tuple[float, Vector] | None = (first, slope)  # the search asks for its start once more

    def downwards(z: Vector) -> tuple[float, Vector]:
        nonlocal known
        loss, slope = known if known is not None else asked(z)
        known = None
        return (first - loss) / unit, -slope / unit

    scipy.optimize.minimize(
        downwards,
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=[(-1.0, 1.0)] * len(start),
        options={"maxiter": iterations, "maxfun": 2 * iterations, "ftol": 0.0, "gtol": 0.0},
    )
