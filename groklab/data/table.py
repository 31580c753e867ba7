"""The value ``Table``: the cells (x, y) of an operation, their answers z, and the elements that x, y and z are."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Table:
    """All cells of a binary operation, in row-major order; x, y and z are places in ``elements``."""

    operation: str
    """Registered name of the operation."""
    symbol: str
    """The operation as it is written, such as x / y (mod 97)."""
    elements: tuple[str, ...]
    """How each element is written; N of them."""
    x: npt.NDArray[np.int32]
    y: npt.NDArray[np.int32]
    z: npt.NDArray[np.int32]
    """The answer of each cell; −1 where it is unknown."""
    notes: tuple[str, ...] = field(default=(), kw_only=True)
    """What was done to read it from a file, and what may be meant otherwise: sentences."""

    def __post_init__(self) -> None:
        for column in (self.x, self.y, self.z):
            column.setflags(write=False)

    @property
    def n(self) -> int:
        """Number of elements (N)."""
        return len(self.elements)

    @property
    def cells(self) -> int:
        """Number of cells, those of unknown answer included."""
        return len(self.x)

    @cached_property
    def known(self) -> npt.NDArray[np.bool_]:
        """Which cells have a known answer."""
        return self.z >= 0

    @cached_property
    def names(self) -> npt.NDArray[np.str_]:
        """The elements as an array, so that ``table.names[table.x]`` writes a column out."""
        return np.array(self.elements)

    @cached_property
    def _keys(self) -> Integers:
        return self.x.astype(np.int64) * self.n + self.y

    def find(self, x: npt.ArrayLike, y: npt.ArrayLike) -> Integers:
        """Numbers of the cells (x, y); −1 where the table has no such cell."""
        wanted = np.asarray(x, dtype=np.int64) * self.n + np.asarray(y, dtype=np.int64)
        place = np.minimum(np.searchsorted(self._keys, wanted), self.cells - 1)
        return np.where(self._keys[place] == wanted, place, -1)

    @cached_property
    def mirror(self) -> Integers:
        """For each cell (x, y) the number of the cell (y, x); its own on the diagonal, −1 where there is none."""
        return self.find(self.y, self.x)
