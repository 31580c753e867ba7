"""Training: ``train`` yields what happens, and never writes, prints or draws.

For every run it yields an ``Evaluated`` at each step of the fixed sequence of evaluations, a ``Checkpoint`` at each step of that
of checkpoints, an ``Advanced`` after each update, from which the full state can be taken at any moment, and one ``Ended``. Who
stores what is yielded can stop at any ``Advanced`` and go on later from its state with the same history.
"""

from __future__ import annotations

import ctypes
import gc
import platform
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np
import torch

from groklab import registry
from groklab.config.checks import FieldError
from groklab.config.run import Run
from groklab.config.steps import Ahead
from groklab.config.stops import end_of
from groklab.measures.task import MeasuredTask, take
from groklab.model.compiler import UnavailableError
from groklab.text.values import shown
from groklab.training import memory
from groklab.training.answering import Looked, evaluation
from groklab.training.batches import Batch, State, batch_size, network, shape_of
from groklab.training.devices import arrays_of
from groklab.training.memory import memory_problems
from groklab.training.optimizers import decay_problems
from groklab.training.paths import path_of
from groklab.version import __version__


@dataclass(frozen=True)
class Evaluated:
    """One evaluation of one run: a row of its history, without the wall time."""

    run: int
    """Position of the run in the list that was given to ``train``."""
    row: dict[str, Any]


@dataclass(frozen=True)
class Checkpoint:
    """Parameters of one run and its answers in all cells."""

    run: int
    step: int
    parameters: dict[str, np.ndarray]
    answer: np.ndarray
    probability: np.ndarray


@dataclass(frozen=True)
class Advanced:
    """One update was made; everything yielded before belongs to steps up to this one."""

    run: int
    step: int
    state: Callable[[], State]
    drop: Callable[[], None]
    """Ask for nothing more of this run; the others go on."""


@dataclass(frozen=True)
class Ended:
    """A run is complete or has diverged."""

    run: int
    step: int
    status: Literal["complete", "diverged"]
    message: str = ""


@dataclass(frozen=True)
class Noted:
    """Something about a run that its user should know; training goes on."""

    run: int
    step: int
    message: str


Event = Evaluated | Checkpoint | Advanced | Noted | Ended


@dataclass
class Past:
    """Where a run stands when training begins: nowhere, or at a stored state with its history."""

    state: State | None = None
    rows: list[dict[str, Any]] = field(default_factory=lambda: list[dict[str, Any]]())
    """Evaluations of the fixed sequence so far, up to the state's step."""


def device_of(run: Run) -> str:
    """The device that a run trains on; ValueError where it asks for one that is not there."""
    asked = run.budget.device
    if asked == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if asked.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(f"device: got {shown(asked)}; expected a device of this machine. No CUDA device is present; use cpu or auto.")
    if asked.startswith("cuda:") and int(asked[5:]) >= (count := torch.cuda.device_count()):
        there = "cuda:0 is the only one" if count == 1 else f"they are cuda:0 to cuda:{count - 1}"
        raise ValueError(f"device: got {shown(asked)}; expected a CUDA device of this machine: {there}.")
    if asked == "mps" and not torch.backends.mps.is_available():
        raise ValueError(f"device: got {shown(asked)}; expected a device of this machine. MPS is not present; use cpu or auto.")
    return asked


def prepare_process() -> None:
    """Settings of a training process: one thread, no denormal numbers, large blocks of memory kept.

    One thread, because two OpenMP threads beside other work are many times slower than one, and because the order of sums would
    depend on their number. Denormals, because Adam's moments of idle units decay into them and slow every update down. Kept
    memory, because glibc otherwise gives the large temporaries of every step back to the kernel and faults them in again.
    """
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    if sys.platform == "linux":
        try:
            libc = ctypes.CDLL("libc.so.6")
            trim_threshold, mmap_threshold, one_gibibyte = -1, -3, 1 << 30
            libc.mallopt(mmap_threshold, one_gibibyte)
            libc.mallopt(trim_threshold, one_gibibyte)
        except (OSError, AttributeError):  # a libc that is not glibc: nothing to set
            pass


def train(
    runs: Sequence[Run],
    *,
    pasts: Sequence[Past] | None = None,
    runs_per_batch: int | Literal["auto"] = "auto",
    together: bool | None = None,
) -> Generator[Event]:
    """Train runs, each from where it stands, and yield what happens.

    Runs whose shapes agree advance side by side, up to ``runs_per_batch`` (auto: one on the CPU, on a GPU as many as its memory
    holds; half of them where that was too many). ``together`` says whether they share every call; by default they do on a GPU
    only, because on the CPU sharing gains nothing and would let a run's rounding depend on its neighbours.
    """
    prepare_process()
    given = list(pasts) if pasts is not None else [Past() for _ in runs]
    for members in _batches(runs, given, runs_per_batch):
        device = device_of(runs[members[0]])
        shared = together if together is not None else device != "cpu"
        groups = [members] if shared else [[member] for member in members]
        lanes = [
            _advance([_Watch(m, runs[m], given[m]) for m in group], [given[m].state for m in group], device, len(runs)) for group in groups
        ]
        while lanes:
            for lane in list(lanes):
                for event in lane:
                    yield event
                    if isinstance(event, Advanced):
                        break
                else:
                    lanes.remove(lane)


def _batches(runs: Sequence[Run], pasts: Sequence[Past], runs_per_batch: int | Literal["auto"]) -> Iterator[list[int]]:
    """Positions of runs that advance side by side, in the order given."""
    families: dict[Any, list[int]] = {}
    for position, (run, past) in enumerate(zip(runs, pasts, strict=True)):
        step = 0 if past.state is None else past.state.step
        families.setdefault((shape_of(run), step), []).append(position)
    for members in families.values():
        first = runs[members[0]]
        most = runs_at_once(first, len(members)) if runs_per_batch == "auto" else runs_per_batch
        if first.budget.path == "reference":
            most = 1  # it computes one run
        for start in range(0, len(members), most):
            yield members[start : start + most]


def runs_at_once(run: Run, count: int) -> int:
    """How many of ``count`` runs of one shape advance side by side where nobody says; on a GPU what its free memory holds now."""
    device = device_of(run)
    if device == "cpu" or run.budget.path == "reference":
        return 1
    return min(count, memory.runs_that_fit(run, memory.free_bytes(device))) if device.startswith("cuda") else count


def _advance(watches: Sequence[_Watch], states: Sequence[State | None], device: str, of: int) -> Iterator[Event]:
    """Train one batch of runs to the end of its last, or, where the device cannot hold it, its halves one after the other."""
    try:
        yield from _advance_together(watches, states, device, of)
        return
    except torch.cuda.OutOfMemoryError:
        live, kept = _kept(watches, states)
        if len(live) < 2 or kept is None:
            raise
    gc.collect()  # outside the except clause, whose traceback holds the batch
    torch.cuda.empty_cache()
    yield Noted(live[0].position, max(0, live[0].told), HALVED.format(count=len(live)))
    middle = (len(live) + 1) // 2
    for half in (slice(0, middle), slice(middle, None)):
        yield from _advance(live[half], kept[half], device, of)


def _kept(watches: Sequence[_Watch], states: Sequence[State | None]) -> tuple[list[_Watch], list[State | None] | None]:
    """The runs of a batch that go on, and their states; None where an update was broken off that cannot be made again."""
    live = [(watch, state) for watch, state in zip(watches, states, strict=True) if not watch.has_ended]
    kept: list[State | None] = [state for _, state in live]
    batch = live[0][0].batch
    if batch is not None:
        if batch.is_whole:
            kept = [batch.state(watch.r) for watch, _ in live]
        elif batch.step != batch.first_step:
            return [watch for watch, _ in live], None
    for (watch, _), state in zip(live, kept, strict=True):
        watch.leave(state)
    return [watch for watch, _ in live], kept


def _advance_together(watches: Sequence[_Watch], states: Sequence[State | None], device: str, of: int) -> Iterator[Event]:
    """Train one batch of runs; one that has ended keeps its place, and nothing more is said of it."""
    batch = Batch([watch.run for watch in watches], device=device, states=states)
    for r, watch in enumerate(watches):
        watch.enter(batch, r)
    has_told_failure = False
    while live := [watch for watch in watches if not watch.has_ended]:
        if all(watch.told >= batch.step for watch in live):
            batch.update()
        due = [watch for watch in live if watch.told < batch.step and watch.is_due(batch.step)]
        # On a GPU asking whether a loss was finite waits for it, so it is asked only when evaluating.
        looked = batch.look([watch.r for watch in due]) if due or device == "cpu" else None
        if batch.capture is not None and batch.capture.message and not has_told_failure:
            has_told_failure = True
            yield Noted(live[0].position, batch.step, batch.capture.message)
        for watch in live:
            if looked is not None and looked.first_bad_step[watch.r]:
                yield watch.diverged(looked.first_bad_step[watch.r], of)
        for watch in live:
            if not watch.has_ended and watch.told < batch.step:
                if watch in due and looked is not None:
                    yield from watch.look(batch, looked, of)
                if not watch.has_ended:
                    yield watch.advanced(batch.step)


class _Watch:
    """What one run of a batch is asked, and when."""

    def __init__(self, position: int, run: Run, past: Past) -> None:
        self.position, self.run, self.rows = position, run, list(past.rows)
        standing = -1 if past.state is None else past.state.step
        if past.state is not None and end_of(run, self.rows, standing) is not None:
            # It stands at its end and nothing says so: its evaluation and checkpoint may be missing, so it is looked at, not updated.
            standing, self.rows = standing - 1, [row for row in self.rows if row["step"] < past.state.step]
        self.evaluations = Ahead(run.budget.evaluations_per_decade)
        self.checkpoints = Ahead(run.budget.checkpoints_per_decade)
        self.has_ended = self.has_warned = False
        self.told = standing
        """The last step of which everything was said."""
        self.batch: Batch | None = None
        self.r = 0
        self.kept = past.state

    def enter(self, batch: Batch, r: int) -> None:
        """Become run r of a batch."""
        self.batch, self.r, self.kept = batch, r, None

    def leave(self, state: State | None) -> None:
        """Wait, in this state, for another batch."""
        self.batch, self.kept = None, state

    def state(self) -> State:
        """Everything that the run needs to go on from where it stands."""
        if self.batch is not None:
            return self.batch.state(self.r)
        assert self.kept is not None, "a run of which something was said has a state"
        return self.kept

    def is_due(self, step: int) -> bool:
        return self.evaluations.reaches(step) or self.checkpoints.reaches(step) or step >= self.run.budget.steps

    def look(self, batch: Batch, looked: Looked, of: int) -> Iterator[Event]:
        """Evaluation, checkpoint and end, as far as they are due at the batch's step."""
        step, answers = batch.step, looked.answers[self.r]
        in_sequence = self.evaluations.reaches(step)
        row = evaluation(self.run, batch.tables[self.r], batch.splits[self.r], answers, step)
        if not all(np.isfinite(row[name]) for name in ("train_loss", "validation_loss")):
            yield self.diverged(step, of)
            return
        initial, parameters = batch.initial.of_run(self.r), batch.parameters.of_run(self.r)
        task = MeasuredTask(self.run, batch.tables[self.r], batch.splits[self.r], initial, step)
        row |= take(self.run.budget.measures, parameters, task)
        is_last = step >= self.run.budget.steps
        if in_sequence:
            self.rows.append(row)
            is_last = is_last or end_of(self.run, self.rows, step) is not None
        if looked.has_vanished[self.r] and not self.has_warned:
            self.has_warned = True
            yield Noted(self.position, step, VANISHED.format(step=step))
        if in_sequence or is_last:
            yield Evaluated(self.position, row if in_sequence else row | {"extra": True})
        if self.checkpoints.reaches(step) or is_last:
            yield Checkpoint(self.position, step, arrays_of(batch.parameters, self.r), answers.answer, answers.probability)
        if is_last:
            yield self.advanced(step)
            self.has_ended = True
            yield Ended(self.position, step, "complete")

    def advanced(self, step: int) -> Advanced:
        self.told = step
        return Advanced(self.position, step, self.state, self.drop)

    def drop(self) -> None:
        """Keep the place in the batch, and be told of no more."""
        self.has_ended = True

    def diverged(self, step: int, of: int) -> Ended:
        self.has_ended = True
        values = self.run.resolved()
        told = f"seed {values['seed']}, learning_rate {values['learning_rate']}, weight_decay {values['weight_decay']}"
        which = f"run {self.position + 1} of {of}" if of > 1 else "the run"
        return Ended(self.position, step, "diverged", f"{which} ({told}): loss is not finite at step {step:,}")


HALVED = "the GPU's memory does not hold {count} runs at once; they go on in two halves, one after the other."

VANISHED = (
    "at step {step:,} every entry of the gradient is zero in this precision: weight decay and momentum still move the weights, the loss "
    "does not (softmax collapse, Prieto et al. 2025). Try --precision float64 or --loss stablemax."
)


def run_problems(run: Run) -> Iterator[FieldError]:
    """What only the network's layout and the machine can tell of a run that is otherwise right."""
    too_large = list(memory_problems(run))
    if too_large:
        yield from too_large
        return
    _, split, layout = network(run)
    yield from decay_problems(run.training.decay_parameters, list(layout.entries))
    calls = [("optimizer", "optimizer", run.training.optimizer)]
    calls += [("interventions", "intervention", text) for text in run.training.interventions]
    for field_name, kind, text in calls:
        call = registry.parse_call(text)
        entry = registry.look_up(kind, call.name)
        if "layout_check" in entry.facts:
            for problem in entry.facts["layout_check"](layout, registry.settings_of(kind, text)):
                yield FieldError(field_name, text, problem=f"{call.name}: {problem}")
    if run.task.outliers and not len(split.corrupted):
        advice = f"Choose a whole number, or a share of at least {1 / len(split.train):.2g}."
        yield FieldError("outliers", run.task.outliers, f"at least one of the {len(split.train):,} training cells", advice)
    size = batch_size(run, len(split.train))
    if size > len(split.train):
        advice = "Choose fewer, or full."
        yield FieldError("batch_size", run.training.batch_size, f"at most the {len(split.train):,} training cells", advice)
    try:
        device_of(run)
    except ValueError as error:
        yield FieldError("device", run.budget.device, problem=str(error).removeprefix("device: "))
        return
    if run.budget.device == "mps" and (run.training.precision == "float64" or registry.parse_call(run.training.loss).name == "stablemax"):
        yield FieldError("device", "mps", "cpu or cuda: MPS has no float64, which precision='float64' and loss='stablemax' need")
    try:
        path_of(run, device_of(run))
    except UnavailableError as error:
        yield FieldError("compiled kernels", run.budget.path, problem=str(error))
    except ValueError as error:
        yield FieldError("path", run.budget.path, problem=str(error).removeprefix("path: "))


def parameter_counts(run: Run) -> dict[str, int]:
    """Numbers of parameters: all, and those outside embedding and output layer."""
    _, _, layout = network(run)
    return {"total": layout.size, "non_embedding": layout.non_embedding}


def segment(run: Run, first_step: int) -> dict[str, Any]:
    """What the numbers from this step on were computed with; histories of different segments may differ by rounding."""
    return {
        "from_step": first_step,
        "began": datetime.now(UTC).isoformat(timespec="seconds"),
        "groklab": __version__,
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "machine": platform.node(),
        "processor": platform.processor() or platform.machine(),
        "system": platform.platform(),
        "device": device_of(run),
        "path": str(path_of(run, device_of(run))),
    }
