"""What an optimizer or an intervention may know of the moment at which it acts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from zlib import crc32

from jaxtyping import Float

from groklab.data.streams import stream_seed
from groklab.model.parameters import Layout, Parameters
from groklab.model.torch_later import Tensor, torch

Number = int | float | Tensor
"""One number for all runs of a batch, or one for each, (R, 1)."""


@dataclass(frozen=True)
class Moment:
    """One update of R runs, and, for an intervention, its own place in it."""

    step: int
    """The update being made, counted from 1."""
    rate: Number
    """Learning rate of this update, warm-up and schedule included."""
    layout: Layout
    weights: Float[Tensor, "R P"]
    """The parameters before this update."""
    initial: Float[Tensor, "R P"]
    """The parameters at step 0."""
    seeds: Sequence[int]
    """Seed of every run's noise stream."""
    gradient_at: Callable[[Tensor], Tensor]
    """Gradient of the loss on this update's examples at other weights, (R, P) to (R, P)."""
    name: str = ""
    """The intervention that acts; its noise depends on it."""
    age: int = 1
    """Updates since it was switched on, this one included."""
    betas: tuple[Number, Number] = (0.9, 0.98)
    """The run's betas, whether or not its optimizer uses them."""
    clock: Tensor | None = None
    """The step, a float64 number on the device, where one recording of an update serves many steps (see capture.py)."""
    masks: dict[str, Tensor] = field(default_factory=lambda: dict[str, Tensor]())
    """What ``mask`` has given in this batch of runs."""

    def named(self, flat: Float[Tensor, "R P"]) -> Parameters:
        """A block seen by the parameters' names."""
        return Parameters(self.layout, flat)

    def power(self, base: Number) -> Number:
        """``base`` to the power of the step; unlike ``step``, right also where one recording of an update serves many steps."""
        return base ** (self.step if self.clock is None else self.clock)

    def mask(self, pattern: str) -> Float[Tensor, " P"]:
        """One where a parameter's name matches the pattern, made and brought to the device once."""
        if pattern not in self.masks:
            self.masks[pattern] = self.layout.mask([pattern]).to(self.weights)
        return self.masks[pattern]

    def generators(self, what: str) -> list[torch.Generator]:
        """A fresh generator for every run: a function of its noise seed, the step and what it is for, and of nothing else."""
        key = crc32(f"{self.name} {what}".encode())
        device = self.weights.device
        return [torch.Generator(device).manual_seed(stream_seed("noise", seed, self.step, key)) for seed in self.seeds]

    def normal(self, shape: Sequence[int] | None = None, what: str = "normal") -> Tensor:
        """Standard normal numbers, (R, *shape), by default one for every parameter."""
        size = tuple(shape) if shape is not None else (self.layout.size,)
        return torch.stack([self.weights.new_empty(size).normal_(generator=generator) for generator in self.generators(what)])

    def uniform(self, shape: Sequence[int], what: str = "uniform") -> Tensor:
        """Uniform numbers in [0, 1), (R, *shape)."""
        return torch.stack([self.weights.new_empty(tuple(shape)).uniform_(generator=generator) for generator in self.generators(what)])
