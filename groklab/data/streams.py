"""Named random streams: every random number of a run is a function of a name, a seed and a position.

Nothing here has a state, so a run that is continued, or trained beside others, draws the same numbers. Permutations are made
from the raw words of Philox (Salmon et al. 2011, counter-based), which numpy guarantees never to change; its higher-level
methods carry no such promise.
"""

from __future__ import annotations

from functools import lru_cache
from zlib import crc32

import numpy as np
import numpy.typing as npt

from groklab.text.values import shown


def _philox(name: str, seed: int, position: tuple[int, ...]) -> np.random.Philox:
    """The bit generator of a place in a stream; two 32-bit words for each number, so that no two places share their words."""
    words = [crc32(name.encode()), len(position)]
    for number in (seed, *position):
        if not 0 <= number < 2**64:
            raise ValueError(f"random stream {shown(name)}: got {number}; expected seeds and positions from 0 to 2**64 - 1.")
        words += [number & 0xFFFFFFFF, number >> 32]
    return np.random.Philox(np.random.SeedSequence(words))


def stream(name: str, seed: int, *position: int) -> np.random.Generator:
    """A fresh generator for one place of a named stream, such as ``stream("noise", seed, step)``."""
    return np.random.Generator(_philox(name, seed, position))


def stream_seed(name: str, seed: int, *position: int) -> int:
    """63 bits from one place of a named stream, to seed a generator of another library."""
    return int(words(name, seed, *position, size=1)[0] >> np.uint64(1))


def words(name: str, seed: int, *position: int, size: int) -> npt.NDArray[np.uint64]:
    """The first 64-bit words of one place of a named stream."""
    return np.asarray(_philox(name, seed, position).random_raw(size), dtype=np.uint64)


def permutation(name: str, seed: int, *position: int, size: int) -> npt.NDArray[np.int64]:
    """A random order of 0 … size−1: that of the stream's words."""
    return np.argsort(words(name, seed, *position, size=size), kind="stable").astype(np.int64, copy=False)


@lru_cache(maxsize=64)
def _order(seed: int, size: int, number: int) -> npt.NDArray[np.int64]:
    order = permutation("order", seed, number, size=size)
    order.setflags(write=False)
    return order


def batch_order(seed: int, size: int, start: int, count: int) -> npt.NDArray[np.int64]:
    """Places start … start+count−1 of an endless row of successive permutations of 0 … size−1.

    Permutation k depends on the seed and k alone: the batches of a continued run follow from its step.
    """
    if size < 1 or start < 0 or count < 0:
        raise ValueError(f"batch order: got size {size}, start {start}, count {count}; expected a size above 0, the others not negative.")
    first, last = start // size, (start + count + size - 1) // size
    if first >= last:
        return np.empty(0, dtype=np.int64)
    row = np.concatenate([_order(seed, size, number) for number in range(first, last)])
    return row[start - first * size : start - first * size + count]
