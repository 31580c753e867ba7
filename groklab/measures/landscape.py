"""The loss along random directions through the parameters: what is drawn as a landscape (Li et al. 2018)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from groklab.config.run import Run
from groklab.measures.objective import Objective, Vector, Vectors, positive_number, refuse
from groklab.measures.task import MeasuredTask
from groklab.model.parameters import Parameters
from groklab.registry import measure
from groklab.text.values import shown


def _problems(settings: Mapping[str, Any], *, run: Run | None = None) -> list[str]:
    count = settings["count"]
    is_odd = isinstance(count, int) and not isinstance(count, bool) and count >= 3 and count % 2 == 1
    problems = (
        []
        if is_odd
        else [f"count: got {shown(count)}; expected an odd number of points from 3 on, so that one of them is the network itself."]
    )
    return problems + positive_number("radius", settings)


@measure(label="loss along a direction", source="Li et al. 2018", check=_problems, arrays=True)
def loss_line(parameters: Parameters, task: MeasuredTask, *, count: int = 21, radius: float = 1.0) -> dict[str, npt.NDArray[np.float64]]:
    """Loss along one random direction with the norms of the network's own filters (Li et al. 2018), as arrays.

    ``alpha`` (A,), ``count`` points from −radius to radius; ``train`` and ``validation`` (A,), mean losses in nats at
    w + alpha · direction, where a filter's share of the direction is as long as the filter (`filter_normalized`). Logits in the run's
    precision, as in every evaluation. The paper's network on 9,312 cells takes about 0.2 s a point on one core.
    """
    refuse("loss_line", _problems({"count": count, "radius": radius}))
    alpha = points(count, radius)
    train, validation = _losses(parameters, task, "loss_line", alpha[:, None])
    return {"alpha": alpha, "train": train, "validation": validation}


@measure(label="loss in a plane", source="Li et al. 2018", check=_problems, arrays=True)
def loss_surface(parameters: Parameters, task: MeasuredTask, *, count: int = 7, radius: float = 1.0) -> dict[str, npt.NDArray[np.float64]]:
    """Loss in the plane of two random directions with the norms of the network's own filters (Li et al. 2018), as arrays.

    ``alpha`` and ``beta`` (A,), ``count`` points from −radius to radius; ``train`` and ``validation`` (A, A), mean losses in nats at
    w + alpha · first + beta · second, alpha along the first axis. The first direction is that of `loss_line`. Logits in the run's
    precision. The paper's network on 9,312 cells takes about 0.2 s a point on one core; a picture to publish wants ``count=51``.
    """
    refuse("loss_surface", _problems({"count": count, "radius": radius}))
    alpha = points(count, radius)
    grid = np.stack(np.meshgrid(alpha, alpha, indexing="ij"), -1).reshape(-1, 2)
    train, validation = (losses.reshape(count, count) for losses in _losses(parameters, task, "loss_line", grid))
    return {"alpha": alpha, "beta": alpha.copy(), "train": train, "validation": validation}


def points(count: int, radius: float) -> Vector:
    """An odd number of points from −radius to radius, the middle one exactly 0."""
    half = radius * np.arange(1, count // 2 + 1) / (count // 2)
    return np.concatenate([-half[::-1], [0.0], half])


def filter_normalized(arrays: Mapping[str, npt.NDArray[Any]], source: np.random.Generator) -> dict[str, npt.NDArray[np.float64]]:
    """A random direction for every parameter tensor, each filter scaled to the norm of the network's own (Li et al. 2018, §4).

    A filter is what feeds one unit: a row of a weight matrix, and of an embedding the vector of one token. Parameters of one axis,
    biases and the gains of norms, do not move (as in their code).
    """
    found: dict[str, npt.NDArray[np.float64]] = {}
    for name, array in arrays.items():
        if array.ndim < 2:
            found[name] = np.zeros(array.shape)
            continue
        axes = tuple(range(1, array.ndim))
        drawn = source.standard_normal(array.shape)
        lengths = (np.sqrt(np.square(side).sum(axes, keepdims=True)) for side in (array, drawn))
        found[name] = drawn * (next(lengths) / next(lengths))
    return found


def _losses(parameters: Parameters, task: MeasuredTask, name: str, coordinates: Vectors) -> tuple[Vector, Vector]:
    """Train and validation loss at points (count, K) of the space of K directions."""
    source = task.randomness(name)
    arrays = {name: array.astype(np.float64) for name, array in parameters.to_numpy().items()}
    sides = [Objective(parameters, task, side=side, precision="run") for side in ("train", "validation")]
    directions = []
    for _ in range(coordinates.shape[1]):
        whole = np.concatenate([part.ravel() for part in filter_normalized(arrays, source).values()])
        directions.append(sides[0].moving(whole))
    plane, center = np.stack(directions), sides[0].center
    train, validation = (np.array([side.value(center + at @ plane) for at in coordinates]) for side in sides)
    return train, validation
