"""Who computes a run's gradients: the compiled kernels, the batched network under autograd, or the reference.

All three compute the same numbers up to rounding. The choice depends on the run and the machine alone, never on a measurement,
so that asking again gives the same history.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from ctypes import c_double, c_int64, c_void_p
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from groklab import registry
from groklab.config.run import Run
from groklab.model import compiled
from groklab.model.fused import Fused
from groklab.model.parameters import Layout, Parameters
from groklab.model.passes import pass_of
from groklab.training.answering import EVALUATION_CHUNK, Answers
from groklab.training.moments import Moment

LossOf = Callable[..., Tensor]
Examples = tuple[Tensor, Tensor, Tensor]


class Path(NamedTuple):
    """The path that a run takes here."""

    name: str
    """compiled, batched or reference"""
    reason: str = ""
    """Why it is not the compiled one, where that was not asked for."""

    def __str__(self) -> str:
        return f"{self.name} ({self.reason})" if self.reason else self.name


def path_of(run: Run, device: str) -> Path:
    """The path of a run that trains alone on a device.

    ValueError where it asks for one that it cannot take; UnavailableError where it asks for kernels and the machine has none.
    """
    asked = run.budget.path
    if asked in ("batched", "reference"):
        if asked == "reference" and (what := _activations(run)):
            raise ValueError(
                f"path: got 'reference'; expected auto, compiled or batched. {what} acts on the activations of the batched network."
            )
        return Path(asked)
    reason = _why_not_compiled(run, device)
    if reason and asked == "compiled":
        raise ValueError(f"path: got 'compiled'; expected auto, batched or reference. The compiled kernels cannot be used: {reason}.")
    if not reason and (reason := compiled.why_not(run.training.precision)) and asked == "compiled":
        raise compiled.UnavailableError(
            f"they cannot be used: {reason}. Name a C compiler with the environment variable CC, or leave out `--path compiled`: "
            "training then takes the batched path."
        )
    return Path("batched", reason) if reason else Path("compiled")


def _why_not_compiled(run: Run, device: str) -> str:
    """What of the run keeps it from the compiled path on any machine."""
    if device != "cpu":
        return f"the device is {device}"
    if "compiled" not in _architecture(run).facts:
        return f"the architecture {run.model.architecture} has no compiled form"
    if what := _activations(run):
        return f"{what} needs the activations of every example"
    return ""


def _activations(run: Run) -> str:
    """The first intervention that acts on activations."""
    names = [registry.parse_call(text).name for text in run.training.interventions]
    return next((name for name in names if registry.look_up("intervention", name).facts["at"] == "activations"), "")


class CompiledPath:
    """Losses, gradients and logits of one run by the compiled kernels, at the run's own weights or at others."""

    def __init__(self, run: Run, layout: Layout, n: int, count: int, weights: Tensor, gradient: Tensor) -> None:
        make = pass_of(_architecture(run), "compiled")
        library = compiled.kernels(run.training.precision)

        def network(count: int, weights: Tensor, gradient: Tensor | None) -> Fused:
            found = make(library, run.model, layout, n, count, weights, gradient)
            assert isinstance(found, Fused)
            return found

        self._network, self.library = network, library
        self.own = network(count, weights, gradient)
        self.elsewhere: Fused | None = None
        self.evaluating: Fused | None = None
        self.is_cross_entropy = registry.parse_call(run.training.loss).name == "cross_entropy"

    def gradients(self, weights: Tensor, examples: Examples, loss: LossOf, settings: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """Mean loss, (1,), and gradient, (1, P), the latter in memory that the next call writes to; a, b and answers are (B,) each."""
        network, (a, b, answers) = self._at(weights), examples
        network.look_at(a, b)
        logits = network.forward()
        assert network.slopes is not None
        if self.is_cross_entropy:
            mean = network.cross_entropy(answers)
        else:
            with torch.enable_grad():
                leaf = logits[None].detach().requires_grad_()
                mean = loss(leaf, answers[None], **settings).mean(-1)
                (slopes,) = torch.autograd.grad(mean.sum(), leaf)
            network.slopes.copy_(slopes.squeeze(0))
        return mean.detach().clone(), network.backward()

    def answers(self, x: np.ndarray, y: np.ndarray, labels: np.ndarray, loss: LossOf, settings: dict[str, Any]) -> Answers:
        """For every cell the answer, its probability and its loss, nan where there is no label (−1), both in float64."""
        cells = len(x)
        pieces = -(-cells // EVALUATION_CHUNK)
        size = -(-cells // pieces)  # pieces of one size, so that little is computed for nothing
        network = self.evaluating = self.evaluating or self._network(size, self.own.weights, None)
        # The last piece is filled up with the first cell.
        a, b = (np.zeros(pieces * size, np.int64) for _ in range(2))
        a[:cells], b[:cells], a[cells:], b[cells:] = x, y, x[0], y[0]
        answer, probability, losses = np.empty(cells, np.int64), np.empty(cells), np.empty(cells)
        wanted = np.ascontiguousarray(labels, np.int64)
        for start in range(0, cells, size):
            stop = min(start + size, cells)
            network.look_at(*(torch.from_numpy(side[start : start + size]) for side in (a, b)))
            logits = network.forward()
            arrays = [array[start:stop] for array in (wanted, answer, probability, losses)]
            addresses = [c_void_p(array.ctypes.data) for array in arrays]
            self.library.answers(c_int64(stop - start), c_int64(network.n), c_void_p(logits.data_ptr()), *addresses)
            if not self.is_cross_entropy:
                known = torch.from_numpy(wanted[start:stop])
                of_piece = loss(logits[: stop - start].double(), known.clamp(min=0), **settings)
                losses[start:stop] = of_piece.masked_fill(known < 0, torch.nan).numpy()
        return Answers(answer, probability, losses)

    def adam(
        self, weights: Tensor, gradient: Tensor, memory: Mapping[str, Parameters], moment: Moment, *, decay: float, betas: Any, eps: float
    ) -> None:
        """The whole update of Adam or AdamW in one pass over memory: moments, decoupled decay and step."""
        blocks = [weights, gradient, memory["first_moment"].flat, memory["second_moment"].flat]
        assert all(block.is_contiguous() for block in blocks)
        rate, (first, second) = float(moment.rate), betas
        numbers = [rate, rate * decay, first, second, eps, 1 - first**moment.step, (1 - second**moment.step) ** 0.5]
        self.library.adam(c_int64(weights.numel()), *(c_void_p(block.data_ptr()) for block in blocks), *map(c_double, numbers))

    def _at(self, weights: Tensor) -> Fused:
        if weights.data_ptr() == self.own.weights.data_ptr():
            return self.own
        if self.elsewhere is None:  # weight noise and the like: the kernels' addresses stay, so the weights come to them
            self.elsewhere = self._network(self.own.count, torch.empty_like(self.own.weights), torch.empty_like(self.own.weights))
        self.elsewhere.weights.copy_(weights)
        return self.elsewhere


def reference_gradients(
    run: Run, layout: Layout, n: int, weights: Tensor, examples: Examples, loss: LossOf, settings: dict[str, Any]
) -> tuple[Tensor, Tensor]:
    """The same from the architecture's reference under autograd: slow, and the judge of the others."""
    forward, (a, b, answers) = pass_of(_architecture(run), "reference"), examples
    leaves = {name: view.squeeze(0).detach().requires_grad_() for name, view in Parameters(layout, weights).items()}
    with torch.enable_grad():
        mean = loss(forward(leaves, run.model, a, b, n), answers, **settings).mean()
        gradients = torch.autograd.grad(mean, list(leaves.values()), allow_unused=True, materialize_grads=True)
    into = Parameters(layout, torch.empty_like(weights))
    for name, gradient in zip(leaves, gradients, strict=True):
        into[name].squeeze(0).copy_(gradient)
    return mean.detach()[None], into.flat


def _architecture(run: Run) -> registry.Entry:
    return registry.look_up("architecture", registry.parse_call(run.model.architecture).name)
