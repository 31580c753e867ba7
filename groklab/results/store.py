"""One folder per run: what is in it, and the only code that writes there.

runs/<id>/run.json            the run, versions, machine, segments, status
runs/<id>/history.jsonl       one line per evaluation, appended and flushed
runs/<id>/checkpoints/        parameters at logarithmically spaced steps
runs/<id>/answers/            the answer and its probability for every cell, with each checkpoint
runs/<id>/measures/           measures taken later (measures.py)
runs/<id>/state.safetensors   the newest full training state
runs/<id>/again/              history, checkpoints, answers and state of a run that had no state and is computed from its beginning
                              once more, until they reach further than what was stored
runs/<id>/table.csv           a copy of the table, where it came from a file
runs/<id>/plugins/            copies of the plugins that the run uses
runs/<id>/figures/            what was drawn
"""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import re
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from groklab import registry
from groklab.config.checks import RunError, type_problems
from groklab.config.fields import leaves
from groklab.config.run import Run
from groklab.config.table_file import as_stored, content_of
from groklab.results.description import FORMAT, part_problem
from groklab.results.files import (
    DamagedError,
    StoreError,
    damaged,
    make_folder,
    make_part,
    read_arrays,
    read_json,
    unwritable,
    write_arrays,
    write_json,
    write_whole,
)
from groklab.results.history import Evaluations, checksum, read_evaluations, within
from groklab.results.lock import STALE, InProgressError, Lock, owner_of
from groklab.results.plugins import Trust, keep_plugins, load_stored
from groklab.results.sizes import checkpoint_limit, state_limit
from groklab.text.values import shown


class Reading(NamedTuple):
    """What one look at a run's folder finds, each file read once: for whoever reads thousands of them."""

    description: dict[str, Any]
    """What run.json holds."""
    run: Run
    """As ``RunFolder.settings`` gives it."""
    evaluations: Evaluations
    status: str


@dataclass(frozen=True)
class RunFolder:
    """The results of one run."""

    path: Path

    # — reading —

    @property
    def id(self) -> str:
        """The run's id: the folder's name, of which bytes that are no text, as other systems make them, stand as a mark each."""
        return self.path.name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")

    @property
    def exists(self) -> bool:
        """Whether anything of this run is stored."""
        return os.path.lexists(self.path / "run.json")

    def description(self) -> dict[str, Any]:
        """What run.json holds; DamagedError or, for a newer format, StoreError."""
        path = self.path / "run.json"
        try:
            content = read_json(path)
        except FileNotFoundError:
            raise StoreError(f"{self.path} holds no run: there is no run.json in it.") from None
        if not isinstance(content, dict) or type(content.get("format")) is not int:
            raise damaged(path, "it is not a run's description")
        if content["format"] > FORMAT:
            raise StoreError(
                f"{path} has results format {shown(content['format'])}; this groklab reads up to {FORMAT}. Install a newer groklab to use it."
            )
        problem = part_problem(content)
        if problem is not None:
            raise damaged(path, problem)
        return content

    def run(self, trust_plugins: Trust = False) -> Run:
        """The run as it was asked for, with its plugins loaded; a table's file is the copy in this folder. Registered checks do not run again.

        Code that lies in this folder is executed only with ``trust_plugins``: UntrustedError otherwise, unless this process has loaded it.
        """
        load_stored(self.path, self.description()["plugins"], trust_plugins)
        return self.settings()

    def settings(self) -> Run:
        """The run as ``run`` gives it, but without its plugins: nothing is executed, and names of theirs may be unknown."""
        return self._settings_in(self.description())

    def _settings_in(self, content: Mapping[str, Any]) -> Run:
        try:
            run = Run.from_dict(as_stored(content["run"]))
        except (ValueError, TypeError) as error:
            first = error.problems[0] if isinstance(error, RunError) else error
            raise damaged(self.path / "run.json", str(first)) from error
        wrong = [str(problem) for problem in type_problems(run)] or _rule_problems(run.budget.stop, registry.version())
        if wrong:
            raise damaged(self.path / "run.json", wrong[0])
        return run.replace(file=str(self.path / "table.csv")) if run.task.file is not None else run

    def status(self) -> str:
        """running | interrupted | complete | diverged | damaged; a run whose process has died is interrupted.

        What only a newer groklab can read is unreadable.
        """
        try:
            return self._status_in(self.description())
        except DamagedError:
            return "damaged"
        except StoreError:
            return "unreadable"

    def problem(self) -> str | None:
        """Why this run cannot be read, in a sentence; None where it can."""
        try:
            self.reading()
        except StoreError as error:
            return str(error)
        return None

    def _status_in(self, content: Mapping[str, Any]) -> str:
        status = str(content["status"])
        return "interrupted" if status == "running" and owner_of(self.path) is None else status

    def reading(self) -> Reading:
        """Description, settings, evaluations and status at once; DamagedError or StoreError as for each of them alone."""
        content = self.description()
        run, evaluations = self._settings_in(content), self.evaluations()
        return Reading(content, run, evaluations, self._status_in(content))

    def evaluations(self) -> Evaluations:
        """All evaluations and how far they reach; a half-written last line is left out, anything else that is wrong is named."""
        return read_evaluations(self.path)

    def rows(self) -> list[dict[str, Any]]:
        """All evaluations in the order of their steps."""
        return self.evaluations().rows

    def reached(self) -> int:
        """Updates that are stored: the step of the last evaluation, or of the training state where that is further."""
        return self.evaluations().reached

    def history(self, steps: int | None = None) -> list[dict[str, Any]]:
        """Evaluations up to a step, those of the fixed sequence and the last one; see ``history.within``."""
        return within(self.rows(), steps)

    def steps_of(self, kind: str) -> list[int]:
        """Steps of the stored ``checkpoints`` or ``answers``, rising."""
        found = (re.fullmatch(r"step_(\d+)\.safetensors", path.name) for path in (self.path / kind).glob("step_*.safetensors"))
        return sorted(int(match[1]) for match in found if match)

    def read_step(self, kind: str, step: int | None = None, *, limit: int | None = None) -> tuple[int, dict[str, np.ndarray]]:
        """Arrays of a checkpoint or of answers, the last by default; StoreError names the nearest steps where there are none.

        A file of more bytes than ``limit``, by default than the run's network can need, is not read.
        """
        stored = self.steps_of(kind)
        if not stored:
            raise StoreError(f"{self.id} has no stored {kind}.")
        chosen = stored[-1] if step is None else step
        if chosen not in stored:
            near = sorted(sorted(stored, key=lambda s: abs(s - chosen))[:3])
            raise StoreError(f"{self.id} has no {kind} at step {chosen:,}; the nearest are at {', '.join(f'{s:,}' for s in near)}.")
        arrays, _ = read_arrays(self.step_path(kind, chosen), limit=checkpoint_limit(self._counted()) if limit is None else limit)
        return chosen, arrays

    def state(self) -> tuple[int, dict[str, np.ndarray]] | None:
        """Step and arrays of the newest training state; None where none is stored."""
        try:
            arrays, facts = read_arrays(self.path / "state.safetensors", limit=state_limit(self._counted()))
        except FileNotFoundError:
            return None
        if not facts.get("step", "").isdigit():
            raise damaged(self.path / "state.safetensors", "it does not say at which step it stands")
        return int(facts["step"]), arrays

    def _counted(self) -> dict[str, Any] | None:
        """What run.json holds, for the sizes of files; None where it cannot be read. What is computed again lies in the run's folder."""
        try:
            return (self if self.exists else RunFolder(self.path.parent)).description()
        except StoreError:
            return None

    def step_path(self, kind: str, step: int) -> Path:
        """Where the checkpoint or the answers of a step are."""
        return self.path / kind / f"step_{step:09d}.safetensors"

    # — writing; only while the run's lock is held —

    def create(self, run: Run, parameters: Mapping[str, int]) -> None:
        """Begin the folder of a run, with copies of what the run depends on."""
        make_folder(self.path)
        tree = run.to_dict()
        if run.task.file is not None:
            write_whole(self.path / "table.csv", content_of(run.task.file))
            tree["task"] |= {"file": "table.csv", "reader": run.table_file.reader}
        values = {k: v for k, v in run.resolved().items() if leaves()[k] not in ("seeds", "budget")}
        if run.task.file is not None:
            values |= {"file": f"{Path(run.task.file).name}@{run.table_hash[:16]}", "reader": run.table_file.reader}
        content = {"format": FORMAT, "id": self.id, "status": "running", "message": "", "run": tree, "resolved": values}
        content |= {"parameters": dict(parameters), "plugins": keep_plugins(self.path, run), "segments": []}
        write_json(self.path / "run.json", content)

    def update(self, **changes: Any) -> None:
        """Replace some entries of run.json."""
        write_json(self.path / "run.json", self.description() | changes)

    def begin(self, run: Run, segment: Mapping[str, Any]) -> None:
        """Say at once that the run is trained, in which segment and to which budget; the budget is not part of its identity."""
        content = self.description()
        content["run"]["budget"] = run.to_dict()["budget"]
        content |= {
            "status": "running",
            "message": "",
            "plugins": keep_plugins(self.path, run),
            "segments": [*content["segments"], segment],
        }
        write_json(self.path / "run.json", content)

    def append(self, row: Mapping[str, Any], *, behind: int | None = None) -> int:
        """Add one evaluation and flush it; a measure that is infinite or nan is written as null. The bytes that the history has then.

        StoreError where it has another number of bytes than ``behind``: somebody else has changed it.
        """
        defined = {name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in row.items()}
        path = self.path / "history.jsonl"
        try:
            with open(path, "r+b" if behind else "ab") as file:
                length = file.seek(0, os.SEEK_END)
                if behind is not None and length != behind:
                    raise StoreError(
                        f"{path} was changed by somebody else while the run was trained: it has {length:,} bytes where {behind:,} were "
                        "written. Nothing more is written."
                    )
                file.write((json.dumps(defined, allow_nan=False) + "\n").encode())
                return file.tell()
        except OSError as error:
            raise unwritable(path, error) from error

    def cut_history(self, step: int | None) -> list[dict[str, Any]]:
        """Drop evaluations after a step (all for None) and a half-written last line; what is left.

        They are of a piece that has no state and will be computed again.
        """
        path = self.path / "history.jsonl"
        rows = [row for row in self.rows() if step is not None and row["step"] <= step]
        content = "".join(json.dumps(row) + "\n" for row in rows).encode()
        if not path.exists() or path.read_bytes() != content:
            write_whole(path, content)
        return rows

    def write_step(self, kind: str, step: int, arrays: Mapping[str, np.ndarray]) -> None:
        """Store a checkpoint or answers."""
        make_part(self.path / kind)
        write_arrays(self.step_path(kind, step), arrays, {"step": str(step)})

    def write_state(self, step: int, arrays: Mapping[str, np.ndarray]) -> None:
        """Replace the training state; the history is on the disk before it."""
        path = self.path / "history.jsonl"
        if path.exists():
            with open(path, "rb") as file:
                os.fsync(file.fileno())
        evaluations = sum(row["step"] <= step for row in self.rows())
        lines = path.read_bytes().splitlines(keepends=True)[:evaluations] if path.exists() else []
        facts = {"step": str(step), "evaluations": str(evaluations), "history": checksum(lines)}
        write_arrays(self.path / "state.safetensors", arrays, facts)

    @property
    def again(self) -> RunFolder:
        """Where history, checkpoints, answers and state lie of a computation that begins again, until it has passed what is stored here."""
        return RunFolder(self.path / "again")

    def take_over(self) -> None:
        """Put what was computed again in the place of what was stored, file by file; nothing where there is none.

        The history goes before the state that belongs to it: a state without a history is what a process killed here has left,
        and taking over once more ends what it began.
        """
        again = self.again
        if not again.path.is_dir():
            return
        try:
            for kind in ("answers", "checkpoints"):
                for step in again.steps_of(kind):
                    make_part(self.path / kind)
                    again.step_path(kind, step).replace(self.step_path(kind, step))
            for name in ("history.jsonl", "state.safetensors"):
                with contextlib.suppress(FileNotFoundError):
                    (again.path / name).replace(self.path / name)
            shutil.rmtree(again.path)
        except OSError as error:
            raise unwritable(self.path, error) from error

    def remove_state(self) -> None:
        """Forget the training state, so that a longer budget begins at step 0."""
        (self.path / "state.safetensors").unlink(missing_ok=True)

    def clean(self) -> None:
        """Remove what a killed process may have left half-written."""
        for path in self.path.rglob(".*.tmp"):
            if path.parent == self.path and path.name.startswith(".lock.") and not _is_left_of_a_lock(path):
                continue  # of a process that asks for the lock just now
            path.unlink(missing_ok=True)

    def remove(self) -> None:
        """Delete the whole folder, its lock held; StoreError where a process is training in it."""
        try:
            with Lock(self.path):
                for path in sorted(self.path.iterdir(), key=lambda path: path.name != "run.json"):  # without it nothing is taken for a run
                    if path.is_dir() and not path.is_symlink():
                        shutil.rmtree(path)
                    elif path.name != "lock":
                        path.unlink(missing_ok=True)
            with contextlib.suppress(FileNotFoundError):
                self.path.rmdir()
        except InProgressError as error:
            raise StoreError(f"{str(error).rstrip('.')}; stop it first.") from error
        except OSError as error:
            if error.errno != errno.ENOTEMPTY:  # another process has just begun the run anew
                raise unwritable(self.path, error) from error


@lru_cache(maxsize=256)
def _rule_problems(stop: str, version: object) -> list[str]:
    """What is wrong with a stop rule that is applied to what is stored; nothing where it is of a plugin that is not loaded.

    Kept for one version of the registry, for a plugin may be loaded later.
    """
    try:
        call = registry.parse_call(stop)
    except ValueError as error:
        return [f"stop: {error}"]
    if call.name not in registry.entries("stop"):
        return []
    return [f"stop: {problem}" for problem in registry.call_problems("stop", stop)]


def _is_left_of_a_lock(path: Path) -> bool:
    """Whether a file beside a lock is older than any process would need it, so that its own was killed."""
    try:
        return time.time() - path.lstat().st_mtime > 10 * STALE
    except OSError:
        return False
