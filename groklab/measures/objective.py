"""A run's loss as a function of its parameters in one vector: value, gradient and curvature, for measures that leave the checkpoint.

The loss is the one that the run minimizes, its mean over training or validation cells; decay, dropout and interventions are no part
of it. Vectors are numpy arrays of the D parameters that training moves (all P but those that the architecture freezes), in float64.
The network is `batched.py` or its like, whose backward pass can be differentiated again; the compiled network cannot.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from jaxtyping import Float, Int

from groklab import registry
from groklab.measures.task import MeasuredTask
from groklab.model.batched import examples
from groklab.model.parameters import Parameters
from groklab.model.passes import pass_of
from groklab.model.torch_later import Tensor, torch
from groklab.registry.signatures import is_finite
from groklab.text.values import shown

CHUNK = 1200
"""Cells of one pass, at most: what a backward pass of the paper's network keeps for so many is about half a gigabyte."""

Vector = npt.NDArray[np.float64]
"""(D,), a point or a direction."""
Vectors = npt.NDArray[np.float64]
"""Several of them, (K, D)."""
Places = npt.NDArray[np.int64]
"""Which of the C cells, by their place among them."""


class Objective:
    """The mean loss of one run's network, (1, P), over the cells of one side of its table.

    ``precision="run"`` computes logits in the run's own precision, otherwise in float64; losses are always taken and summed in
    float64. ValueError, at the first gradient, where the run's loss or architecture comes from a plugin that has none.
    """

    def __init__(
        self,
        parameters: Parameters,
        task: MeasuredTask,
        *,
        side: Literal["train", "validation"] = "train",
        precision: Literal["run", "float64"] = "float64",
    ) -> None:
        run = task.run
        entry = registry.look_up("architecture", registry.parse_call(run.model.architecture).name)
        call = registry.parse_call(run.training.loss)
        self.forward = pass_of(entry)
        self.loss = registry.look_up("loss", call.name).function
        self.loss_settings = dict(call.settings)
        self.names = f"the loss {call} of the architecture {entry.name}"
        self.model, self.n, self.layout = run.model, task.table.n, parameters.layout
        # Apple's GPUs have no float64.
        device = parameters.flat.device
        self.device = torch.device("cpu") if device.type == "mps" else device
        self.dtype = parameters.flat.dtype if precision == "run" else torch.float64
        self.whole = parameters.flat.detach().to(self.device, torch.float64)[0].clone()
        frozen = entry.facts["frozen"](run.model) if "frozen" in entry.facts else ()
        self.free = torch.nonzero(self.layout.mask(frozen) == 0)[:, 0].to(self.device) if frozen else None
        cells = task.split.train if side == "train" else task.split.validation
        columns = (task.table.x, task.table.y, task.split.labels)
        self.a, self.b, self.labels = (torch.tensor(column[cells].astype(np.int64)).to(self.device) for column in columns)

    @property
    def cells(self) -> int:
        """C, the cells whose losses are averaged."""
        return len(self.labels)

    @property
    def center(self) -> Vector:
        """(D,) the parameters as they stand."""
        return self.moving(self.whole.cpu().numpy())

    def moving(self, whole: Vector) -> Vector:
        """(D,) of a vector (P,) of all parameters the places that training moves."""
        return whole.copy() if self.free is None else whole[self.free.cpu().numpy()]

    def by_cell(self, w: Vector) -> Vector:
        """(C,) the loss of every cell, in nats."""
        with torch.no_grad():
            flat = self._flat(torch.from_numpy(w)[None])
            return torch.cat([self._losses(flat, chosen[None])[0] for chosen in self._chunks()]).cpu().numpy()

    def value(self, w: Vector) -> float:
        """The mean loss."""
        return float(self.by_cell(w).mean())

    def gradient(self, w: Vector) -> tuple[float, Vector]:
        """The mean loss and its gradient, (D,)."""
        total, gradient = 0.0, np.zeros_like(w)
        for chosen in self._chunks():
            loss, part = self._sums(w[None], chosen[None])
            total, gradient = total + float(loss[0]), gradient + part[0]
        return total / self.cells, gradient / self.cells

    def gradients(self, points: Vectors, places: Places) -> tuple[Vector, Vectors]:
        """Mean loss, (K,), and its gradient, (K, D), at each of K points over a batch of its own, (K, B), of the places 0 … C−1."""
        together = max(1, 2 * CHUNK // places.shape[1])
        chosen = torch.from_numpy(places).to(self.device)
        starts = range(0, len(points), together)
        parts = [self._sums(points[k : k + together], chosen[k : k + together]) for k in starts]
        losses, gradients = (np.concatenate(side) for side in zip(*parts, strict=True))
        return losses / places.shape[1], gradients / places.shape[1]

    def _sums(self, points: Vectors, chosen: Int[Tensor, "K B"]) -> tuple[Vector, Vectors]:
        """Summed losses, (K,), and their gradients, (K, D), of as many networks at once."""
        with torch.enable_grad():
            at = torch.from_numpy(points).to(self.device).requires_grad_()
            losses = self._losses(self._flat(at), chosen).sum(1)
            (gradients,) = torch.autograd.grad(self._differentiable(losses.sum()), at)
        return losses.detach().cpu().numpy(), gradients.cpu().numpy()

    def curvature(self, w: Vector, vectors: Vectors) -> Vectors:
        """Hessian of the mean loss times each of K vectors, (K, D): the gradient of the gradient along it (Pearlmutter 1994)."""
        along = torch.from_numpy(vectors).to(self.device)
        products = torch.zeros_like(along)
        with torch.enable_grad():
            for chosen in self._chunks():
                point = torch.from_numpy(w).to(self.device).requires_grad_()
                loss = self._differentiable(self._losses(self._flat(point[None]), chosen[None]).sum())
                (gradient,) = torch.autograd.grad(loss, point, create_graph=True)
                if not gradient.requires_grad:  # a loss that is linear in the parameters
                    continue
                for k, vector in enumerate(along):
                    (product,) = torch.autograd.grad(gradient, point, vector, retain_graph=k + 1 < len(along), materialize_grads=True)
                    products[k] += product
        return products.cpu().numpy() / self.cells

    def _flat(self, points: Float[Tensor, "K D"]) -> Float[Tensor, "K P"]:
        """All parameters, those that are frozen as they stand, in the precision of the pass."""
        points = points.to(self.device)
        if self.free is not None:
            points = self.whole.expand(len(points), -1).index_copy(1, self.free, points)
        return points.to(self.dtype)

    def _chunks(self) -> Iterator[Tensor]:
        return iter(torch.arange(self.cells, device=self.device).tensor_split(math.ceil(self.cells / CHUNK)))

    def _losses(self, flat: Float[Tensor, "K P"], chosen: Int[Tensor, "K B"]) -> Float[Tensor, "K B"]:
        """Losses of some cells of each network, in float64."""
        given = examples(self.a[chosen], self.b[chosen], self.n)
        logits = self.forward(Parameters(self.layout, flat), self.model, given, self.n)
        return self.loss(logits.double(), self.labels[chosen], **self.loss_settings).double()

    def _differentiable(self, loss: Tensor) -> Tensor:
        if not loss.requires_grad:
            raise ValueError(
                f"got {self.names}, which has no gradient with respect to the parameters; expected one that torch differentiates."
            )
        return loss


# — what settings may be —


MOST_PASSES = 1_000_000
"""Steps, draws or iterations of one measure at most: a day of a small network's passes."""


def whole_number(name: str, settings: Mapping[str, Any], low: int) -> list[str]:
    """What is wrong with a setting that counts something."""
    value = settings[name]
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    if is_whole and low <= value <= MOST_PASSES:
        return []
    return [
        f"{name}: got {shown(value)}; expected a whole number from {low} on{f', at most {MOST_PASSES:,}' if is_whole and value > low else ''}."
    ]


def is_positive(value: Any) -> bool:
    """Whether a value is a finite number above zero."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and is_finite(value) and value > 0


def positive_number(name: str, settings: Mapping[str, Any], *, zero_allowed: bool = False) -> list[str]:
    """What is wrong with a setting that is a size."""
    value = settings[name]
    if is_positive(value) or (zero_allowed and not isinstance(value, bool) and value == 0):
        return []
    return [f"{name}: got {shown(value)}; expected a finite number {'of at least' if zero_allowed else 'above'} 0."]


def refuse(measure_name: str, problems: Sequence[str]) -> None:
    """ValueError with what is wrong with the settings of a measure that is called from Python, where nothing checked them before."""
    if problems:
        raise ValueError(f"{measure_name}: {' '.join(problems)}")


Gradient = Callable[[Vector], tuple[float, Vector]]
"""The loss and its gradient at a point."""
