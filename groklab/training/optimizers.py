"""Directions of an update, and how the learning rate runs: functions on the parameters of R runs.

An optimizer says where to go; the engine goes there: W ← W + rate · direction. Its facts say what the weight decay means:
``decay="decoupled"`` (W ← W · (1 − rate · decay) beside the update) or ``decay="gradient"`` (decay · W is added to the gradient).
Settings are plain numbers where all runs of a batch share them and (R, 1) tensors where they differ.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from torch import Tensor

from groklab.config.checks import FieldError
from groklab.model.parameters import Parameters
from groklab.registry import optimizer, schedule

Number = float | Tensor
"""One number for all runs, or one for each, (R, 1)."""


class Moment(NamedTuple):
    """Where training stands when an update is made."""

    step: int
    """The update being made, counted from 1."""
    rate: Number
    """Learning rate of this update, warm-up and schedule included."""


def _open_at_one(settings: Mapping[str, Any], **context: Any) -> list[str]:
    eps = settings["eps"]
    is_number = isinstance(eps, (int, float)) and not isinstance(eps, bool)
    return [] if is_number and 0 < eps < 1 else [f"eps: got {eps!r}; expected a number in (0, 1)."]


def _adam(gradient: Parameters, memory: dict[str, Parameters], moment: Moment, betas: tuple[Number, Number], eps: Number) -> Tensor:
    """−m̂ / (√v̂ + eps), with both moments corrected for their start at zero."""
    first, second = memory["first_moment"].flat, memory["second_moment"].flat
    g = gradient.flat
    first.mul_(betas[0]).add_(g * (1 - betas[0]))
    second.mul_(betas[1]).add_((g * g).mul_(1 - betas[1]))
    denominator = second.sqrt().div_((1 - betas[1] ** moment.step) ** 0.5).add_(eps)
    return (first / denominator).mul_(-1 / (1 - betas[0] ** moment.step))


@optimizer(
    source="Loshchilov & Hutter 2019",
    memory=("first_moment", "second_moment"),
    learning_rate=1e-3,
    weight_decay=1.0,
    decay="decoupled",
    not_settings=("betas",),
    check=_open_at_one,
)
def adamw(
    gradient: Parameters, memory: dict[str, Parameters], moment: Moment, *, betas: tuple[Number, Number], eps: Number = 1e-8
) -> Tensor:
    """Adam with decoupled weight decay, W ← W · (1 − rate · decay) (Loshchilov & Hutter 2019); the paper's default."""
    return _adam(gradient, memory, moment, betas, eps)


@optimizer(
    source="Kingma & Ba 2015",
    memory=("first_moment", "second_moment"),
    learning_rate=1e-3,
    weight_decay=0.0,
    decay="gradient",
    not_settings=("betas",),
    check=_open_at_one,
)
def adam(
    gradient: Parameters, memory: dict[str, Parameters], moment: Moment, *, betas: tuple[Number, Number], eps: Number = 1e-8
) -> Tensor:
    """Adam (Kingma & Ba 2015); weight decay, if any, is added to the gradient (L2)."""
    return _adam(gradient, memory, moment, betas, eps)


@schedule(source="Power et al. 2022")
def constant(step: int) -> float:
    """The rate stays what it is after the warm-up (Power et al. 2022)."""
    return 1.0


def warmed_up(step: int, warmup: int, *, from_zero: bool) -> float:
    """Factor on the rate of update ``step``, counted from 1: linear up to 1 (design §5)."""
    if warmup == 0:
        return 1.0
    return min(1.0, (step - from_zero) / warmup)


def decay_problems(patterns: tuple[str, ...], names: list[str]) -> Iterator[FieldError]:
    """Patterns that match no parameter of the network."""
    from fnmatch import fnmatchcase

    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            yield FieldError("decay_parameters", pattern, "patterns of parameter names", f"This network has {', '.join(names)}.")
