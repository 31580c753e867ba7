"""Answers of a network for every cell: small integers in a file, and never more or other ones than the table has."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from groklab.results.files import damaged
from groklab.results.store import RunFolder

_SLACK = 1_000_000
"""Bytes of a file of answers beside its numbers: its header."""
_BYTES_PER_CELL = 16
"""Six are written."""


def packed_answers(answer: np.ndarray, probability: np.ndarray) -> dict[str, np.ndarray]:
    """Answers as small integers: elements, of four bytes where two do not hold them, and probabilities in steps of 1/65,535."""
    elements = np.uint16 if answer.max(initial=0) <= 65535 else np.uint32
    return {"answer": answer.astype(elements), "probability": np.rint(probability * 65535).astype(np.uint16)}


def unpacked_answers(arrays: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Element and probability of every cell."""
    return arrays["answer"].astype(np.int64), arrays["probability"].astype(np.float64) / 65535


def read_answers(folder: RunFolder, step: int | None, *, cells: int, elements: int) -> tuple[int, np.ndarray, np.ndarray]:
    """Step, and element and probability of every cell, of stored answers, the last by default.

    DamagedError where they are not those of a table of so many cells and elements, which is seen before a file that is too large for it
    is read; StoreError as for ``RunFolder.read_step``.
    """
    chosen, arrays = folder.read_step("answers", step, limit=_SLACK + _BYTES_PER_CELL * cells)
    problem = _problem(arrays, cells, elements)
    if problem is not None:
        raise damaged(folder.step_path("answers", chosen), problem)
    return chosen, *unpacked_answers(arrays)


def _problem(arrays: Mapping[str, np.ndarray], cells: int, elements: int) -> str | None:
    """Why arrays cannot be the answers for a table, in words; None where they can."""
    for name, kinds in (("answer", (np.uint16, np.uint32)), ("probability", (np.uint16,))):
        array = arrays.get(name)
        if array is None:
            return f"it holds no {name} of the cells"
        if array.dtype not in kinds:
            return f"{name} is of the type {array.dtype}, and not of the one that answers are written in"
        if array.shape != (cells,):
            return f"{name} is for {' × '.join(f'{length:,}' for length in array.shape)} cells, and the table has {cells:,}"
    largest = int(arrays["answer"].max(initial=0))
    if largest >= max(elements, 1):
        return f"it answers with element {largest:,}, and the table has {elements:,}, counted from 0"
    return None
