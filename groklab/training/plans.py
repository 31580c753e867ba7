"""What the coming updates of R runs need from the host, prepared for many updates at once.

The order of the examples and the factors on the learning rate are functions of a seed and a step, so they can be written down
ahead. A device gets them in one copy from pinned memory and takes each update's share from there: no update waits for the host.
The numbers are those that each update would ask for by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from groklab import registry
from groklab.config.run import Run
from groklab.data.streams import batch_order
from groklab.training.devices import to_device
from groklab.training.moments import Number
from groklab.training.schedules import warmed_up

#: Updates that are prepared together.
UPDATES = 64

#: Numbers of examples at most that are prepared together, 32 MiB of them.
EXAMPLES = 1 << 22


class Plan:
    """Examples and learning rates of the updates from ``first`` on, K of them; made anew where another step is asked for."""

    def __init__(self, runs: Sequence[Run], train_counts: Sequence[int], size: int, *, device: str, dtype: torch.dtype) -> None:
        self.seeds = [run.seeds.of("order") for run in runs]
        self.train_counts, self.size, self.device, self.dtype = list(train_counts), size, device, dtype
        self.updates = max(1, min(UPDATES, EXAMPLES // (len(runs) * size)))
        self.learning_rates = np.array([run.resolved()["learning_rate"] for run in runs], np.float64)
        self.factors, self.factor_of = _factors(runs)
        self.first = self.end = 0
        """Steps at which the planned updates begin: first, …, end − 1."""

    def chosen(self, step: int) -> Tensor:
        """(R, B) positions in the training set of the examples of the update that begins at this step."""
        place = self._place(step)
        return self.order[place]

    def rate(self, step: int) -> Number:
        """Learning rate of the update that begins at this step: one number, or (R, 1) where runs differ."""
        place = self._place(step)
        common = self.common_rates[place]
        return self.rates[place] if common is None else common

    def rate_and_step(self, step: int) -> tuple[Tensor, Tensor]:
        """Learning rates, (R, 1), and the update's number, (), both on the device."""
        place = self._place(step)
        return self.rates[place], self.numbers[place]

    def _place(self, step: int) -> int:
        if not self.first <= step < self.end:
            self._prepare(step)
        return step - self.first

    def _prepare(self, first: int) -> None:
        count, size = self.updates, self.size
        rows = [batch_order(seed, n, first * size, count * size) for seed, n in zip(self.seeds, self.train_counts, strict=True)]
        self.order = to_device(np.stack([row.reshape(count, size) for row in rows], axis=1), self.device)
        self.common_rates, rates = self._rates(first, count)
        self.rates = to_device(rates, self.device)
        self.numbers = to_device(np.arange(first + 1, first + count + 1), self.device)
        self.first, self.end = first, first + count

    def _rates(self, first: int, count: int) -> tuple[list[float | None], np.ndarray]:
        """Rates that all runs share, as plain numbers, and those of every run, (K, R, 1), rounded as the run's precision multiplies them."""
        single = np.float64 if self.dtype == torch.float64 else np.float32
        factors = np.array([[factor(step) for factor in self.factors] for step in range(first + 1, first + count + 1)])[:, self.factor_of]
        are_common = (factors == factors[:, :1]).all(1) & bool((self.learning_rates == self.learning_rates[0]).all())
        products = self.learning_rates * factors
        rounded = self.learning_rates.astype(single) * factors.astype(single)
        rates = np.where(are_common[:, None], products.astype(single), rounded)
        common = [float(row[0]) if is_common else None for row, is_common in zip(products, are_common, strict=True)]
        return common, rates[:, :, None]


def _factors(runs: Sequence[Run]) -> tuple[list[Callable[[int], float]], list[int]]:
    """Different factors on the learning rate, functions of the update's number, and which of them each run has."""
    kinds = [(run.training.schedule, run.training.warmup, run.training.warmup_from_zero) for run in runs]
    different = list(dict.fromkeys(kinds))
    return [_factor(*kind) for kind in different], [different.index(kind) for kind in kinds]


def _factor(schedule: str, warmup: int, from_zero: bool) -> Callable[[int], float]:
    call = registry.parse_call(schedule)
    entry = registry.look_up("schedule", call.name)
    known = {"full_at": warmup + from_zero} if "full_at" in entry.facts.get("not_settings", ()) else {}
    scheduled = partial(entry.function, **dict(call.settings), **known)
    return lambda step: warmed_up(step, warmup, from_zero=from_zero) * scheduled(step)
