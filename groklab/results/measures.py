"""Measures that were taken of stored checkpoints, kept beside them.

runs/<id>/measures/NAME.jsonl                 numbers: a line per step, with the measure as it was called
runs/<id>/measures/NAME/step_*.safetensors    named arrays of one step

NAME is the measure, with its settings where they are not the usual ones: ``restricted_loss-variant=blocks``. What is kept is a
function of the checkpoint alone, so that it can be removed at any time and taken again.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from groklab.config.checks import matches
from groklab.outside.files import parsed_json
from groklab.results.files import DamagedError, make_folder, make_part, read_arrays, read_stored, write_arrays, write_whole
from groklab.results.store import RunFolder

MEASURES_LIMIT = 64_000_000
"""Bytes of the numbers of one measure."""
_LONGEST = 100
"""Characters of a file's name."""


class Measured:
    """What is kept of one measure of one run; ``call`` is the measure with its settings, in its canonical form."""

    def __init__(self, folder: RunFolder, call: str) -> None:
        self.call, self.name = call, file_name(call)
        self.is_run = folder.exists
        self.file = folder.path / "measures" / f"{self.name}.jsonl"
        self.arrays_folder = folder.path / "measures" / self.name

    def numbers(self) -> dict[int, dict[str, float | None]]:
        """Step to named numbers, steps rising; null: not finite."""
        try:
            lines = read_stored(self.file, MEASURES_LIMIT).splitlines()
        except FileNotFoundError:
            return {}
        found: dict[int, dict[str, float | None]] = {}
        for number, line in enumerate(lines, 1):
            try:
                row = parsed_json(line)
            except ValueError:
                row = None
            if not isinstance(row, dict) or not matches(row.get("step"), int) or not isinstance(row.get("values"), dict):
                raise _damaged(self.file, f"line {number} is not a measurement")
            found[row["step"]] = row["values"]
        return dict(sorted(found.items()))

    def keep_numbers(self, values: Mapping[int, Mapping[str, float]]) -> None:
        """Add the numbers of some steps to those that are kept."""
        known: dict[int, Mapping[str, Any]] = {**self.numbers(), **values}
        rows = [
            {"step": step, "measure": self.call, "values": {name: _defined(value) for name, value in known[step].items()}}
            for step in sorted(known)
        ]
        self._make_folder()
        write_whole(self.file, "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows).encode())

    def _make_folder(self) -> None:
        """The folder of measures: in a run's folder, which is not made anew where it has disappeared, or in one for measures alone."""
        (make_part if self.is_run else make_folder)(self.file.parent)

    def array_steps(self) -> list[int]:
        """The steps of which arrays are kept, rising."""
        found = (re.fullmatch(r"step_(\d+)\.safetensors", path.name) for path in self.arrays_folder.glob("step_*.safetensors"))
        return sorted(int(match[1]) for match in found if match)

    def arrays(self, step: int) -> dict[str, np.ndarray]:
        """The named arrays of one step."""
        return read_arrays(self.arrays_file(step))[0]

    def keep_arrays(self, step: int, arrays: Mapping[str, np.ndarray]) -> None:
        """Keep the named arrays of one step."""
        self._make_folder()
        make_part(self.arrays_folder)
        write_arrays(self.arrays_file(step), arrays, {"step": str(step), "measure": self.call})

    def arrays_file(self, step: int) -> Path:
        """Where the arrays of a step are."""
        return self.arrays_folder / f"step_{step:09d}.safetensors"


def file_name(call: str) -> str:
    """A measure with its settings as the name of a file, with a hash where that is too long or has characters that files should not.

    >>> file_name("restricted_loss(variant='blocks')")
    'restricted_loss-variant=blocks'
    """
    told = re.sub(r"[() '\"\[\]]+", "", call.replace("(", "-", 1))
    written = re.sub(r"[^A-Za-z0-9_.,=@-]+", "", told).rstrip("-")
    if len(written) <= _LONGEST and written == told.removesuffix("-"):
        return written
    return f"{written[: _LONGEST - 9]}-{hashlib.sha256(call.encode()).hexdigest()[:8]}"


def kept_numbers(folder: RunFolder) -> dict[str, dict[int, dict[str, float | None]]]:
    """All numbers that are kept of a run: file name of the measure to step to named numbers."""
    files = sorted((folder.path / "measures").glob("*.jsonl"))
    return {file.stem: Measured(folder, file.stem).numbers() for file in files}


def _defined(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else float(value)


def _damaged(path: Path, what: str) -> DamagedError:
    return DamagedError(f"{path} is damaged: {what}. Nothing was changed. Remove this file and take the measure again.")
