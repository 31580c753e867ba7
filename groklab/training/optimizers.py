"""Directions of an update: functions on the parameters of R runs.

An optimizer says where to go; the engine goes there, W ← W + rate · direction. Its facts say which moments it keeps (``memory``),
its usual learning rate and weight decay, and what the decay means: ``decay="decoupled"`` (W ← W − rate · decay · W beside the
update) or ``decay="gradient"`` (decay · W is added to the gradient). Settings are plain numbers where all runs of a batch share
them and (R, 1) tensors where they differ. ``capturable=True`` says that one recording of its calls serves every step: it asks
``moment.power(base)`` instead of ``moment.step``, changes its memory in place and reads no number back to the host.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from jaxtyping import Float

from groklab.config.checks import FieldError
from groklab.config.run import Run
from groklab.model.parameters import Layout, Parameters
from groklab.model.torch_later import Tensor
from groklab.registry import optimizer
from groklab.text.values import shown
from groklab.training.moments import Moment, Number

Memory = Mapping[str, Parameters]
Betas = tuple[Number, Number]


_LARGEST = 1e18
"""Of a setting: what torch takes of a whole number, and far more than any network bears."""


def number_problem(name: str, value: Any, low: float, high: float, *, low_included: bool = True, high_included: bool = False) -> list[str]:
    """The problem of a setting that is not a number of the given range, as a list of none or one."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if is_number and value >= low and value > _LARGEST and high > _LARGEST:
        return [f"{name}: got {shown(value)}; expected a number of at most {_LARGEST:.0e}."]
    if is_number and low <= value <= high and (low_included or value > low) and (high_included or value < high):
        return []
    at_top = "]" if high_included else ")"
    top = "∞" if high == float("inf") else f"{high:g}"
    return [f"{name}: got {shown(value)}; expected a number in {'[' if low_included else '('}{low:g}, {top}{at_top}."]


def _eps(settings: Mapping[str, Any], **context: Any) -> list[str]:
    return number_problem("eps", settings["eps"], 0, 1, low_included=False)


def _adam(gradient: Parameters, memory: Memory, moment: Moment, betas: Betas, eps: Number) -> Tensor:
    """−m̂ / (√v̂ + eps), with both moments corrected for their start at zero."""
    first, second, g = memory["first_moment"].flat, memory["second_moment"].flat, gradient.flat
    first.mul_(betas[0]).add_(g * (1 - betas[0]))
    second.mul_(betas[1]).add_((g * g).mul_(1 - betas[1]))
    denominator = second.sqrt().div_((1 - moment.power(betas[1])) ** 0.5).add_(eps)
    return (first / denominator).mul_(-1 / (1 - moment.power(betas[0])))


@optimizer(
    source="Loshchilov & Hutter 2019",
    capturable=True,
    memory=("first_moment", "second_moment"),
    compiled="adam",
    corrects_first_moment=True,
    learning_rate=1e-3,
    weight_decay=1.0,
    decay="decoupled",
    not_settings=("betas",),
    check=_eps,
)
def adamw(gradient: Parameters, memory: Memory, moment: Moment, *, betas: Betas, eps: Number = 1e-8) -> Tensor:
    """Adam with decoupled weight decay, W ← W − rate · decay · W (Loshchilov & Hutter 2019); the paper's default."""
    return _adam(gradient, memory, moment, betas, eps)


@optimizer(
    source="Kingma & Ba 2015",
    capturable=True,
    memory=("first_moment", "second_moment"),
    compiled="adam",
    corrects_first_moment=True,
    learning_rate=1e-3,
    weight_decay=0.0,
    decay="gradient",
    not_settings=("betas",),
    check=_eps,
)
def adam(gradient: Parameters, memory: Memory, moment: Moment, *, betas: Betas, eps: Number = 1e-8) -> Tensor:
    """Adam (Kingma & Ba 2015); weight decay, if any, is L2: added to the gradient."""
    return _adam(gradient, memory, moment, betas, eps)


def _momentum(settings: Mapping[str, Any], **context: Any) -> list[str]:
    problems = number_problem("momentum", settings["momentum"], 0, 1)
    if not isinstance(settings["nesterov"], bool):
        problems.append(f"nesterov: got {shown(settings['nesterov'])}; expected True or False.")
    elif settings["nesterov"] and settings["momentum"] == 0:
        problems.append("nesterov: got True with momentum 0; expected a momentum above 0.")
    return problems


@optimizer(
    source="Sutskever et al. 2013",
    capturable=True,
    memory=("momentum",),
    learning_rate=0.1,
    weight_decay=0.0,
    decay="gradient",
    check=_momentum,
)
def sgd(gradient: Parameters, memory: Memory, moment: Moment, *, momentum: Number = 0.0, nesterov: bool = False) -> Tensor:
    """Gradient descent with momentum, buffer ← momentum · buffer + gradient, as torch's SGD (Sutskever et al. 2013)."""
    buffer = memory["momentum"].flat.mul_(momentum).add_(gradient.flat)
    return -(gradient.flat + momentum * buffer) if nesterov else -buffer


@optimizer(
    source="Chen et al. 2023",
    capturable=True,
    memory=("momentum",),
    learning_rate=1e-4,
    weight_decay=0.0,
    decay="decoupled",
    not_settings=("betas",),
)
def lion(gradient: Parameters, memory: Memory, moment: Moment, *, betas: Betas) -> Tensor:
    """Sign of an interpolation of momentum and gradient, with decoupled decay (Chen et al. 2023).

    It takes the run's betas, 0.9 and 0.98 unless given; its authors recommend 0.9 and 0.99.
    """
    buffer, g = memory["momentum"].flat, gradient.flat
    direction = -(buffer * betas[0] + g * (1 - betas[0])).sign()
    buffer.mul_(betas[1]).add_(g * (1 - betas[1]))
    return direction


# — Muon —


def hidden_matrices(layout: Layout) -> list[str]:
    """The matrices between the embedding and the output layer, which Muon orthogonalizes."""
    return [name for name, entry in layout.entries.items() if len(entry.shape) == 2 and not entry.is_embedding]


def orthogonalized(matrix: Float[Tensor, "R O I"], steps: int = 5) -> Float[Tensor, "R O I"]:
    """The nearest matrices with singular values near one, by Newton–Schulz iterations in the matrix's precision (Jordan et al. 2024).

    X ← aX + (bA + cA²)X with A = XXᵀ and (a, b, c) = (3.4445, −4.7750, 2.0315), from X divided by its Frobenius norm; the
    coefficients trade exactness (singular values end between about 0.7 and 1.2) for speed.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    is_tall = matrix.shape[-2] > matrix.shape[-1]
    x = matrix.mT if is_tall else matrix
    x = x / (x.flatten(1).norm(dim=1)[:, None, None] + 1e-7)
    for _ in range(steps):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return x.mT if is_tall else x


def _muon_problems(settings: Mapping[str, Any], *, run: Run | None = None, **context: Any) -> list[str]:
    problems = number_problem("momentum", settings["momentum"], 0, 1)
    problems += number_problem("other_learning_rate", settings["other_learning_rate"], 0, float("inf"), low_included=False)
    problems += _eps(settings)
    iterations = settings["iterations"]
    if not isinstance(iterations, int) or isinstance(iterations, bool) or not 1 <= iterations <= 50:
        problems.append(f"iterations: got {shown(iterations)}; expected a whole number from 1 to 50.")
    if not isinstance(settings["nesterov"], bool):
        problems.append(f"nesterov: got {shown(settings['nesterov'])}; expected True or False.")
    return problems


def _muon_layout(layout: Layout, settings: Mapping[str, Any]) -> list[str]:
    if hidden_matrices(layout):
        return []
    return ["got a network without hidden matrices; expected some between embedding and output layer. Add a layer, or use adamw."]


def _muon_rates(layout: Layout, settings: Mapping[str, Any], learning_rate: float) -> Tensor:
    """(P,) factors on the learning rate: 1 for the hidden matrices, other_learning_rate / learning_rate elsewhere."""
    hidden = layout.mask(hidden_matrices(layout)).double()
    return hidden + (1 - hidden) * (settings["other_learning_rate"] / learning_rate)


@optimizer(
    source="Jordan et al. 2024",
    capturable=True,
    memory=("momentum", "first_moment", "second_moment"),
    learning_rate=0.02,
    weight_decay=0.01,
    decay="decoupled",
    not_settings=("betas",),
    check=_muon_problems,
    layout_check=_muon_layout,
    rates=_muon_rates,
)
def muon(
    gradient: Parameters,
    memory: Memory,
    moment: Moment,
    *,
    betas: Betas,
    momentum: Number = 0.95,
    nesterov: bool = True,
    iterations: int = 5,
    other_learning_rate: float = 3e-4,
    eps: Number = 1e-8,
) -> Tensor:
    """Orthogonalized momentum for the hidden matrices, AdamW with ``other_learning_rate`` for everything else (Jordan et al. 2024).

    The orthogonalized update of a matrix is scaled by √max(1, rows / columns). It is computed in the run's precision, where the
    original uses bfloat16. AdamW has the run's betas (0.9, 0.98) and eps 10⁻⁸ where the original has 0.9, 0.95 and 10⁻¹⁰.
    """
    del other_learning_rate  # it is in the rates
    direction = moment.named(_adam(gradient, memory, moment, betas, eps))
    buffer = memory["momentum"].flat
    buffer.add_((gradient.flat - buffer) * (1 - momentum))
    mixed = moment.named(gradient.flat + (buffer - gradient.flat) * momentum if nesterov else buffer)
    for name in hidden_matrices(moment.layout):
        rows, columns = moment.layout.entries[name].shape
        direction[name].copy_(orthogonalized(mixed[name], iterations).mul_(-(max(1.0, rows / columns) ** 0.5)))
    return direction.flat


def decay_problems(patterns: tuple[str, ...], names: list[str]) -> Iterator[FieldError]:
    """Patterns that match no parameter of the network."""
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            yield FieldError("decay_parameters", pattern, "patterns of parameter names", f"This network has {', '.join(names)}.")
