"""Margins and sizes of the logits, and what generalization theory makes of norms and margins.

`norm_products` and `generalization_bounds` are those of the official implementation of Power et al. 2022, reported as natural
logarithms, since products over dozens of layers overflow. A *linear layer* is one of its: queries, keys and values of each head
are layers of their own, the output layer counts, embeddings, positions and LayerNorms do not. An MLP's first layer reads both
elements; on one-hot inputs it is a linear layer too. Biases enter the number of parameters and nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from groklab import registry
from groklab.config.run import Run
from groklab.measures.task import MeasuredTask
from groklab.model.batched import examples
from groklab.model.parameters import Parameters
from groklab.model.passes import pass_of
from groklab.model.torch_later import Tensor, torch
from groklab.registry import measure

CHUNK = 1024
"""Cells per forward pass."""

PERCENTILE = 5
"""Of the margins, by which norms are divided."""

Numbers = np.ndarray


# — logits —


@measure(label="margins of the answers", source="Bartlett et al. 2017")
def answer_margins(parameters: Parameters, task: MeasuredTask) -> dict[str, float]:
    """Logit of the label as trained minus the largest other logit over the training cells: ``mean``, ``minimum`` and ``percentile_5`` (Bartlett et al. 2017).

    In logits, divided by nothing, neither norms nor temperature; negative where the answer is wrong.
    """
    margins = margins_of(parameters, task)
    return {"mean": float(margins.mean()), "minimum": float(margins.min()), f"percentile_{PERCENTILE}": _low(margins)}


@measure(label="norms of the logits", source="Prieto et al. 2025")
def logit_norms(parameters: Parameters, task: MeasuredTask) -> dict[str, float]:
    """Euclidean norm of the logits minus their mean over the elements, mean over the ``train`` and over the ``validation`` cells (after Prieto et al. 2025)."""
    norms: dict[str, float] = {}
    for side, cells in (("train", task.split.train), ("validation", task.split.validation)):
        logits = (piece.cpu().double() for piece, _ in logits_of_cells(parameters, task, cells))
        centered = ((z - z.mean(-1, keepdim=True)).norm(dim=-1) for z in logits)
        norms[side] = float(sum(float(piece.sum()) for piece in centered) / len(cells))
    return norms


def margins_of(parameters: Parameters, task: MeasuredTask) -> Numbers:
    """Margin of every training cell, in float64; ValueError in a table of a single element, which has no other logit."""
    if task.table.n < 2:
        raise ValueError(f"margins: got a table of {task.table.n} element; expected 2 or more, for a margin is between two logits.")
    pieces: list[Numbers] = []
    for piece, labels in logits_of_cells(parameters, task, task.split.train):
        logits, labels = piece.cpu().double(), labels.cpu()
        own = logits.gather(-1, labels[:, None])
        others = logits.scatter(-1, labels[:, None], -torch.inf).amax(-1)
        pieces.append((own[:, 0] - others).numpy())
    return np.concatenate(pieces)


def logits_of_cells(
    parameters: Parameters, task: MeasuredTask, cells: np.ndarray
) -> Iterator[tuple[Float[Tensor, "B N"], Int[Tensor, " B"]]]:
    """Logits of some cells, in the run's precision and on its device, with their labels as trained, piece by piece."""
    entry = registry.look_up("architecture", registry.parse_call(task.run.model.architecture).name)
    forward, n, device = pass_of(entry), task.table.n, parameters.flat.device
    columns = [torch.from_numpy(side[cells]).to(torch.int64) for side in (task.table.x, task.table.y, task.split.labels)]
    for piece in zip(*(column.split(CHUNK) for column in columns), strict=True):
        a, b, labels = (side.to(device) for side in piece)
        with torch.no_grad():
            logits = forward(parameters, task.run.model, examples(a[None], b[None], n), n)[0]
        yield logits, labels


def _low(margins: Numbers) -> float:
    return float(np.percentile(margins, PERCENTILE))


# — linear layers —


class Layer(NamedTuple):
    """A linear layer, float64."""

    weight: Float[Tensor, "O I"]
    initial: Float[Tensor, "O I"]


def linear_layers(parameters: Parameters, task: MeasuredTask) -> dict[str, Layer]:
    """The linear layers of a transformer or an MLP by name, with their initial weights, in the order of the network."""
    heads = task.run.model.heads
    now, before = _matrices(parameters), _matrices(task.initial)
    layers: dict[str, Layer] = {}
    for name, weight in now.items():
        if name.split(".")[-1] in ("query", "key", "value"):
            pairs = zip(weight.chunk(heads), before[name].chunk(heads), strict=True)
            layers |= {f"{name}.{head}": Layer(*pair) for head, pair in enumerate(pairs)}
        else:
            layers[name] = Layer(weight, before[name])
    return layers


def _matrices(parameters: Parameters) -> dict[str, Tensor]:
    """Weights of the linear layers, the two halves of an MLP's first layer put together."""
    weights = {name: tensor[0].detach().cpu().double() for name, tensor in parameters.items() if tensor.ndim == 3}
    found: dict[str, Tensor] = {}
    for name, weight in weights.items():
        if name == "layers.0.left":
            found["layers.0"] = torch.cat([weight, weights["layers.0.right"]], 1)
        elif name != "layers.0.right" and not name.startswith(("embedding", "positions")):
            found[name] = weight
    return found


def _parameter_count(parameters: Parameters) -> int:
    """Weights and biases of the linear layers."""
    entries = parameters.layout.entries
    is_counted = {name: len(entry.shape) == 2 and not name.startswith(("embedding", "positions")) for name, entry in entries.items()}
    return sum(math.prod(entry.shape) for name, entry in entries.items() if is_counted[name] or name.endswith("_bias"))


def _layer_problems(settings: Mapping[str, Any], *, run: Run | None = None, **context: Any) -> list[str]:
    if run is None or registry.parse_call(run.model.architecture).name in ("transformer", "mlp"):
        return []
    return [f"got the architecture {run.model.architecture}, whose linear layers are not known; expected transformer or mlp."]


# — norms —


def entry_norm(weight: Float[Tensor, "O I"], p: float, q: float) -> float:
    """L_{p,q} norm: the q-norm over the outputs of the p-norms of their incoming weights (Neyshabur et al. 2015)."""
    return float(weight.norm(p, dim=1).norm(q))


def log_products(layers: Mapping[str, Layer]) -> dict[str, float]:
    """Logarithm of the product over the layers of each norm; −∞ where a layer is zero.

    ``L_1_inf``, ``frobenius`` (L_{2,2}) and ``L_3_1.5``; ``spectral``, ``schatten_1.5`` and ``trace``, the ∞-, 1.5- and 1-norm of the
    singular values. What the official implementation
    calls the L_1.5 operator norm is the Schatten norm, of singular values, and no operator norm.
    """
    sums: dict[str, float] = dict.fromkeys(("L_1_inf", "frobenius", "L_3_1.5", "spectral", "schatten_1.5", "trace"), 0.0)
    for weight, _ in layers.values():
        values = torch.linalg.svdvals(weight)
        sums["L_1_inf"] += _log(entry_norm(weight, 1, math.inf))
        sums["frobenius"] += _log(entry_norm(weight, 2, 2))
        sums["L_3_1.5"] += _log(entry_norm(weight, 3, 1.5))
        sums["spectral"] += _log(float(values[0]))
        sums["schatten_1.5"] += _log(float(values.norm(1.5)))
        sums["trace"] += _log(float(values.sum()))
    return sums


@measure(label="log of norm products over the margin", source="Power et al. 2022; Neyshabur et al. 2015", check=_layer_problems)
def norm_products(parameters: Parameters, task: MeasuredTask) -> dict[str, float]:
    """Logarithm of the product over the linear layers of six norms, and of that divided by the margin (the official implementation of Power et al. 2022).

    ``L_1_inf``, ``frobenius``, ``L_3_1.5`` (q-norm over outputs of p-norms of incoming weights), ``spectral``, ``schatten_1.5`` and
    ``trace`` (p-norms of singular values), and each again as ``…_over_margin``. The margin is the 5th percentile over the training
    cells; where it is not positive what is divided by it is undefined and left out.
    """
    products = log_products(linear_layers(parameters, task))
    margin = _low(margins_of(parameters, task))
    divided = {f"{name}_over_margin": value - math.log(margin) for name, value in products.items()} if margin > 0 else {}
    return _finite(products | divided)


@measure(
    label="log of generalization bounds",
    source="Power et al. 2022; Bartlett et al. 2017; Neyshabur et al. 2018",
    check=_layer_problems,
    needs_initial=True,
)
def generalization_bounds(parameters: Parameters, task: MeasuredTask) -> dict[str, float]:
    """Logarithm of five norm-based bounds without constants and additive logarithms, and the ``margin`` γ that they are divided by (the official implementation of Power et al. 2022).

    With m training cells, L linear layers W of h outputs, their initial weights W₀, P parameters in them, d inputs of the first
    layer, α = √(L + log d²), and γ the 5th percentile of the margins:

    - ``L1_max`` (Bartlett & Mendelson 2002): α·Π‖W‖_{1,∞} / (γ√m)
    - ``frobenius`` (Neyshabur et al. 2015): α·Π‖W‖_F / (γ√m)
    - ``L_3_1.5`` (Neyshabur et al. 2015): α·Π‖W‖_{3,1.5} / (γ·m^{1/3})
    - ``spectral_L_2_1`` (Bartlett et al. 2017): log m · log P · Π‖W‖₂ · (Σ(‖W−W₀‖_{2,1}/‖W‖₂)^{2/3})^{3/2} / (γ√m)
    - ``spectral_frobenius`` (Neyshabur et al. 2018): L·Π‖W‖₂ · (Σ h‖W−W₀‖_F²/‖W‖₂²)^{1/2} / (γ√m)

    They are taken for what they are worth: nothing of their proofs covers attention and LayerNorm. α is that of Golowich et al. 2018.
    A bound is left out where it is undefined: γ is not positive, a layer is zero, or none has moved yet.
    """
    margin = _low(margins_of(parameters, task))
    found = {"margin": margin}
    layers = linear_layers(parameters, task)
    products = log_products(layers)
    if margin <= 0 or not all(map(math.isfinite, products.values())):
        return found
    m, depth = len(task.split.train), len(layers)
    alpha = 0.5 * math.log(depth + 2 * math.log(_inputs(layers)))
    sizes = [float(torch.linalg.matrix_norm(weight, 2)) for weight, _ in layers.values()]
    moved = [weight - initial for weight, initial in layers.values()]
    of_rows = sum((entry_norm(change, 2, 1) / size) ** (2 / 3) for change, size in zip(moved, sizes, strict=True))
    of_all = sum(len(change) * (entry_norm(change, 2, 2) / size) ** 2 for change, size in zip(moved, sizes, strict=True))
    beta = _log(math.log(m)) + _log(math.log(_parameter_count(parameters)))
    bounds = {
        "L1_max": alpha + products["L_1_inf"],
        "frobenius": alpha + products["frobenius"],
        "L_3_1.5": alpha + products["L_3_1.5"] + math.log(m) / 6,
        "spectral_L_2_1": beta + products["spectral"] + 1.5 * _log(of_rows),
        "spectral_frobenius": math.log(depth) + products["spectral"] + 0.5 * _log(of_all),
    }
    return found | _finite({name: value - math.log(margin) - 0.5 * math.log(m) for name, value in bounds.items()})


def _inputs(layers: Mapping[str, Layer]) -> int:
    """Numbers that the first linear layer reads: the width of a transformer, both elements of an MLP."""
    return next(iter(layers.values())).weight.shape[1]


def _log(value: float) -> float:
    return math.log(value) if value > 0 else -math.inf


def _finite(values: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in values.items() if math.isfinite(value)}
