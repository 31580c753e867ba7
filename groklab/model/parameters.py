"""Parameters of R runs in one block of memory, seen by name.

Optimizers and norms work on the block, (R, P); networks on the named views, (R, …). Gradients, moments and noise have the same
form, so that whatever is stored or exchanged has the parameters' names.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Literal
from zlib import crc32

import numpy as np

from groklab.data.streams import stream
from groklab.model.torch_later import Tensor, torch
from groklab.text.values import shown


@dataclass(frozen=True)
class Entry:
    """One parameter: its shape, how its initial values are drawn, and whether it counts as embedding."""

    shape: tuple[int, ...]
    initial: Literal["normal", "uniform", "zeros", "ones"]
    spread: float = 1.0
    """Standard deviation of a normal, bound of a uniform distribution."""
    is_embedding: bool = False
    """Embedding, learned positions and output layer; the literature's "non-embedding parameters" leave these out."""


@dataclass(frozen=True)
class Layout:
    """Names and shapes of one run's parameters, in the order in which they lie in memory."""

    entries: Mapping[str, Entry]
    places: Mapping[str, tuple[int, int]] = field(init=False)

    def __post_init__(self) -> None:
        places: dict[str, tuple[int, int]] = {}
        end = 0
        for name, entry in self.entries.items():
            start, end = end, end + math.prod(entry.shape)
            places[name] = (start, end)
        object.__setattr__(self, "places", places)

    @property
    def size(self) -> int:
        """Number of parameters, P."""
        return max((end for _, end in self.places.values()), default=0)

    @property
    def non_embedding(self) -> int:
        """Parameters outside embedding, learned positions and output layer (claim C22)."""
        return sum(math.prod(entry.shape) for entry in self.entries.values() if not entry.is_embedding)

    def mask(self, patterns: Sequence[str]) -> Tensor:
        """(P,) one where a parameter's name matches one of the patterns; ValueError for a pattern that matches none."""
        chosen = torch.zeros(self.size)
        for pattern in patterns:
            names = [name for name in self.entries if fnmatchcase(name, pattern)]
            if not names:
                raise ValueError(f"got {shown(pattern)}; expected patterns of parameter names. This network has {', '.join(self.entries)}.")
            for name in names:
                chosen[slice(*self.places[name])] = 1
        return chosen


class Parameters(Mapping[str, Tensor]):
    """Named views, (R, …), of one block ``flat``, (R, P)."""

    def __init__(self, layout: Layout, flat: Tensor) -> None:
        assert flat.shape[-1] == layout.size, "the block does not fit the layout"
        self.layout = layout
        self.flat = flat
        self._views: dict[str, Tensor] = {}  # made when asked for: many blocks are only ever seen whole

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._views:
            start, end = self.layout.places[name]
            self._views[name] = self.flat[..., start:end].view(*self.flat.shape[:-1], *self.layout.entries[name].shape)
        return self._views[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.layout.entries)

    def __len__(self) -> int:
        return len(self.layout.entries)

    def zeros(self) -> Parameters:
        """Zeros of the same form."""
        return Parameters(self.layout, torch.zeros_like(self.flat))

    def clone(self) -> Parameters:
        """A copy with memory of its own."""
        return Parameters(self.layout, self.flat.clone())

    def of_run(self, r: int) -> Parameters:
        """The parameters of run r alone, (1, P), in the same memory."""
        return Parameters(self.layout, self.flat[r : r + 1])

    def to_numpy(self, r: int = 0) -> dict[str, np.ndarray]:
        """Copies of run r's parameters without the run axis, for storing."""
        return {name: view[r].detach().cpu().numpy().copy() for name, view in self.items()}


def parameters_from(
    layout: Layout, arrays: Mapping[str, np.ndarray], *, device: str = "cpu", dtype: torch.dtype, of: str = ""
) -> Parameters:
    """One run's parameters, (1, P), from named arrays; ValueError begins with ``of`` and names what is missing, extra or misshapen."""
    wrong = [f"{name} is missing" for name in layout.entries if name not in arrays]
    wrong += [f"{name} does not belong to this network" for name in arrays if name not in layout.entries]
    wrong += [
        f"{name} has shape {arrays[name].shape}, expected {entry.shape}"
        for name, entry in layout.entries.items()
        if name in arrays and tuple(arrays[name].shape) != entry.shape
    ]
    wrong += [f"{name} holds {array.dtype}, expected numbers" for name, array in arrays.items() if array.dtype.kind not in "fiu"]
    if wrong:
        raise ValueError(f"{of}these parameters are of another network: " + "; ".join(wrong[:6]) + ("; …" if len(wrong) > 6 else "") + ".")
    flat = np.concatenate([np.asarray(arrays[name]).ravel() for name in layout.entries])
    return Parameters(layout, torch.from_numpy(flat).to(device=device, dtype=dtype)[None])


def initial_parameters(layout: Layout, seed: int, *, scale: float = 1.0, dtype: torch.dtype | None = None) -> Parameters:
    """One run's initial parameters, (1, P), float32 unless given, each tensor from a stream of its own: PyTorch's default distributions times ``scale``."""
    arrays: dict[str, np.ndarray] = {}
    for name, entry in layout.entries.items():
        source = stream("weights", seed, crc32(name.encode()))
        if entry.initial == "normal":
            values = source.normal(0.0, entry.spread, entry.shape)
        elif entry.initial == "uniform":
            values = source.uniform(-entry.spread, entry.spread, entry.shape)
        else:
            values = np.full(entry.shape, 0.0 if entry.initial == "zeros" else 1.0)
        arrays[name] = values * scale
    return parameters_from(layout, arrays, dtype=torch.float32 if dtype is None else dtype)
