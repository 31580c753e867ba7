"""How a device and the host work side by side without one waiting for the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from groklab.config.fields import Model
from groklab.model import batched
from groklab.model.batched import Examples
from groklab.model.parameters import Parameters
from groklab.model.transformer import sinusoidal

Forward = Callable[..., Tensor]


def to_device(array: np.ndarray, device: str) -> Tensor:
    """On the device, without waiting for it where it is a CUDA device."""
    tensor = torch.from_numpy(array)
    if device.startswith("cuda"):
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def to_host(tensors: Sequence[Tensor]) -> list[np.ndarray]:
    """Copies on the host, which waits once for all of them."""
    if not any(tensor.is_cuda for tensor in tensors):
        return [tensor.cpu().numpy().copy() for tensor in tensors]
    pinned = [torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True).copy_(tensor, non_blocking=True) for tensor in tensors]
    torch.cuda.current_stream(tensors[0].device).synchronize()
    return [tensor.numpy().copy() for tensor in pinned]  # not to keep pinned memory as long as a result is kept


def arrays_of(parameters: Parameters, r: int) -> dict[str, np.ndarray]:
    """Run r's parameters as named arrays, its whole block copied at once."""
    if parameters.flat.device.type == "cpu":
        return parameters.to_numpy(r)
    (row,) = to_host([parameters.flat[r : r + 1].detach()])
    return Parameters(parameters.layout, torch.from_numpy(row)).to_numpy()


def all_rows(a: Int[Tensor, "R B"], b: Int[Tensor, "R B"], n: int) -> Examples:
    """Rows for all n elements whatever the examples: to find those that occur, the host would have to wait for the device."""
    every = torch.arange(n, device=a.device).expand(a.shape[0], n)
    return Examples(every, a, every, b, a.shape[1])


def with_fixed_positions(forward: Forward, model: Model, device: str, dtype: torch.dtype) -> Forward:
    """The pass with its sinusoidal positions already on the device, where a pass by itself brings them there and waits."""
    if forward is not batched.forward or model.positions != "sinusoidal":
        return forward
    length = 3 + model.operator_token + model.begin_token
    positions = sinusoidal(length, model.width).to(device, dtype)[None]
    as_given = replace(model, positions="learned")

    def placed(p: Mapping[str, Tensor], _: Model, *arguments: Any, **options: Any) -> Tensor:
        return forward({**p, "positions": positions}, as_given, *arguments, **options)

    return placed
