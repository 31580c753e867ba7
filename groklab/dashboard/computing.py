"""What needs the network: measures of checkpoints, taken by other processes when they are asked for.

    python -m groklab measure NAME … RUN --into CACHE --no-stored-plugins

is what runs, one process at a time, at the lowest priority and on one thread, so that a training beside it hardly notices. What it finds goes
to a cache of the user's, ``$XDG_CACHE_HOME/groklab/measures``, and not into the results: a dashboard reads, also results that are
somebody else's or on a disk that cannot be written. ``groklab measure`` without --into keeps the same with the run. For the same reason no
code that lies in the results is executed: only the plugins with which the dashboard was started.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from groklab.dashboard.catalog import Entry
from groklab.results.store import RunFolder


@dataclass
class Job:
    """Measures of one run that are being taken, or will be."""

    run: str
    names: tuple[str, ...]
    folder: Path
    """Of the run."""
    into: Path
    """Where they are kept."""
    step: int | None = None
    """The checkpoint, None for all of them."""
    state: str = "waiting"
    """waiting | working | done | failed"""
    message: str = ""


@dataclass
class Computing:
    """The processes of one dashboard."""

    plugins: Sequence[Path] = ()
    """The user's own files, which the processes load as this one has."""
    jobs: list[Job] = field(default_factory=lambda: list[Job]())
    _process: subprocess.Popen[bytes] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _worker: threading.Thread | None = None
    _is_over: bool = False

    def ask(self, entry: Entry, names: Sequence[str], folder: Path, *, step: int | None = None) -> None:
        """Take measures of one or all checkpoints of a run, unless that is being done."""
        with self._lock:
            if self._is_over or self._pending(entry.id, names, step) is not None:
                return
            self.jobs = [*self.jobs[-50:], Job(entry.id, tuple(names), entry.folder.path, folder, step)]
            if self._worker is None or not self._worker.is_alive():
                self._worker = threading.Thread(target=self._work, name="groklab measures", daemon=True)
                self._worker.start()

    def _pending(self, run: str, names: Sequence[str], step: int | None) -> Job | None:
        wanted = (run, tuple(names), step)
        return next((job for job in self.jobs if (job.run, job.names, job.step) == wanted and job.state in ("waiting", "working")), None)

    def of(self, run: str) -> list[Job]:
        """What was asked for of a run, the newest last."""
        return [job for job in self.jobs if job.run == run]

    def stamp(self, run: str) -> str:
        """Changes with the state of what was asked for of a run."""
        return ",".join(job.state for job in self.of(run))

    def _work(self) -> None:
        while True:
            with self._lock:
                job = next((job for job in self.jobs if job.state == "waiting"), None)
                if job is None or self._is_over:
                    self._worker = None
                    return
                job.state = "working"
            try:
                job.message = self._run(job)
            except OSError as error:
                job.message = f"the process could not be started: {error}"
            job.state = "failed" if job.message else "done"

    def _run(self, job: Job) -> str:
        """Take the measures of one job in a process of its own; what went wrong, or nothing."""
        if importlib.util.find_spec("torch") is None:
            return "it needs PyTorch, which is not installed on this machine."
        words = ["nice", "-n", "19", sys.executable, "-m", "groklab", "measure", *job.names, str(job.folder)]
        words += ["--into", str(job.into), "--no-stored-plugins", "--json"]
        if job.step is not None:
            words += ["--checkpoint", str(job.step)]
        for plugin in self.plugins:
            words += ["--plugin", str(plugin)]
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as errors:
            self._process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors,
                env=os.environ | threads | {"PYTHONIOENCODING": "utf-8"}, start_new_session=True,
            )  # fmt: skip
            if self._is_over:
                self._process.terminate()
            status = self._process.wait()
            self._process = None
            errors.seek(0)
            lines = errors.read()[-4000:].strip().splitlines()
        if status == 0:
            return ""
        return (lines[-1] if lines else f"the process ended with status {status}").removeprefix("groklab: ")

    def close(self) -> None:
        """End what is running."""
        self._is_over = True
        process = self._process
        if process is not None:
            process.terminate()


def cache_of(entry: Entry) -> RunFolder:
    """Where measures of a run are kept that were taken for a dashboard: another place for every folder and every beginning of a run."""
    caches = os.environ.get("XDG_CACHE_HOME")
    home = Path(caches) if caches else Path(os.path.expanduser("~")) / ".cache"
    segments = entry.description.get("segments") or [{}]
    began = str(segments[0].get("began", "")) if isinstance(segments[0], dict) else ""  # pyright: ignore[reportUnknownMemberType]
    key = hashlib.sha256(os.fsencode(entry.folder.path) + f"\n{began}".encode()).hexdigest()[:12]
    return RunFolder(home / "groklab" / "measures" / f"{entry.id[:80]}-{key}")
