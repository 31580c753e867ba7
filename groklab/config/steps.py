"""The steps at which training is looked at: fixed sequences that do not depend on the budget."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import takewhile


def logarithmic_steps(per_decade: int) -> Iterator[int]:
    """0, then the distinct values of round(10^(j / per_decade)) for j = 0, 1, 2, … without end.

    >>> from itertools import islice
    >>> list(islice(logarithmic_steps(3), 8))
    [0, 1, 2, 5, 10, 22, 46, 100]
    """
    yield 0
    last, j = 0, 0
    while True:
        step = round(10 ** (j / per_decade))
        if step > last:
            yield step
            last = step
        j += 1


def steps_up_to(last: int, per_decade: int) -> list[int]:
    """The sequence as far as a step; without a density, step 0 alone.

    >>> steps_up_to(20, 3)
    [0, 1, 2, 5, 10]
    """
    return list(takewhile(lambda step: step <= last, logarithmic_steps(per_decade))) if per_decade else [0]


class Ahead:
    """Whether a step belongs to a sequence, asked in rising order."""

    def __init__(self, per_decade: int) -> None:
        self._steps = logarithmic_steps(per_decade) if per_decade else iter((0,))
        self._next: int | None = next(self._steps)

    def reaches(self, step: int) -> bool:
        """True where the sequence holds this step."""
        while self._next is not None and self._next < step:
            self._next = next(self._steps, None)
        return self._next == step
