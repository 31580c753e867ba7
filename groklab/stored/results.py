"""The results of a run, as they lie in a folder: read within the run's budget, where torch need not be installed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from groklab.analysis.grokking import Summary, summary
from groklab.config.fields import leaves
from groklab.config.run import Run
from groklab.config.stops import end_of
from groklab.data.tables import notes_of
from groklab.registry.signatures import checked
from groklab.results.history import in_sequence
from groklab.results.plugins import check_known
from groklab.results.store import RunFolder

if TYPE_CHECKING:
    import polars


@dataclass(frozen=True)
class StoredResults:
    """The results of a run, as they are read; ``StoredRun`` adds what is drawn and measured of them."""

    folder: RunFolder
    run: Run
    """As asked for, with the budget up to which the results are reported."""

    @property
    def id(self) -> str:
        """The run's id."""
        return self.folder.id

    @property
    def values(self) -> dict[str, Any]:
        """Task, model and training field by field, with the values that unset ones stood for; read, not computed."""
        resolved = self.folder.description()["resolved"]
        asked = {name: value for name, value in self.run.flat().items() if leaves()[name] not in ("seeds", "budget")}
        return {name: resolved.get(name) if value is None or name == "file" else value for name, value in asked.items()}

    def check_known(self) -> None:
        """ValueError where its table or network is of a plugin that is not loaded here, or of another version of it."""
        check_known(self.run, self.id, self.folder.description()["plugins"])

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Evaluations within the budget, one dictionary each."""
        return self.folder.history(self.steps)

    @property
    def steps(self) -> int:
        """Updates made, or the end of the budget where more are stored."""
        ended, reached = end_and_reached(self.folder, self.run)
        return reached if ended is None else ended

    @property
    def history(self) -> polars.DataFrame:
        """Evaluations within the budget as a table, one row each."""
        from groklab.results.tables import history_table

        return history_table({self.id: self.rows})

    @property
    def measured(self) -> polars.DataFrame:
        """Numbers that ``groklab measure`` has kept of its checkpoints: a row per step, a column ``measure`` or ``measure.part`` for each.

        Of a measure with other settings than the usual ones the settings stand behind its name, ``restricted_loss.variant=blocks``.
        """
        import polars

        from groklab.results.measures import kept_numbers

        rows: dict[int, dict[str, Any]] = {}
        for name, by_step in kept_numbers(self.folder).items():
            _, _, settings = name.partition("-")
            for step, values in by_step.items():
                named = {column + (f".{settings}" if settings else ""): value for column, value in values.items()}
                rows.setdefault(step, {"step": step}).update(named)
        return polars.DataFrame([rows[step] for step in sorted(rows)], infer_schema_length=None)

    @property
    def summary(self) -> Summary:
        """Memorized at, generalized at, delay, and the last accuracies and losses."""
        return summary(self.rows, steps=self.steps, threshold=self.run.budget.threshold)

    @property
    def status(self) -> str:
        """running | interrupted | complete | diverged | damaged; complete also where a smaller budget's end is stored."""
        stored = self.folder.status()
        if stored not in ("running", "interrupted", "diverged"):
            return stored
        ended, reached = end_and_reached(self.folder, self.run)
        return "complete" if ended is not None and (ended < reached or stored != "running") else stored

    @property
    def lacks(self) -> list[str]:
        """What was asked for and was not stored when the run was trained: denser evaluations or checkpoints, more measures; in words."""
        asked, stored = self.run.budget, self.folder.settings().budget
        spacings = ("evaluations_per_decade", "checkpoints_per_decade")
        told = [(name, getattr(asked, name), getattr(stored, name)) for name in spacings]
        lacking = [f"{name} {wanted} (stored: {there})" for name, wanted, there in told if wanted > there]
        return lacking + [f"measure {name}" for name in asked.measures if name not in stored.measures]

    @checked
    def stored_steps(self, kind: str) -> list[int]:
        """Steps of the stored ``checkpoints`` or ``answers`` within the budget, rising."""
        steps = self.steps
        return [step for step in self.folder.steps_of(kind) if step <= steps]

    def last_step(self, kind: str) -> int | None:
        """The last of them; None where there is none."""
        return next(reversed(self.stored_steps(kind)), None)

    @checked
    def answers(self, step: int | None = None) -> polars.DataFrame:
        """The table's cells with the network's answers at a checkpoint, by default the last within the budget."""
        from groklab.analysis.tables import cells_table

        self.check_known()
        return cells_table(self.folder, self.run, self.last_step("answers") if step is None else step)

    def to_dict(self) -> dict[str, Any]:
        """What ``groklab train --json`` prints."""
        result = {"id": self.id, "status": self.status, **self.summary.to_dict()}
        message = self.folder.description().get("message", "")
        notes = {"notes": list(notes_of(self.run.task))} if self.run.task.file is not None else {}
        return result | ({"message": message} if message else {}) | notes | {"folder": str(self.folder.path)}


def landmarks(run: StoredResults) -> list[int]:
    """Steps of the checkpoints that tell a run's story: the first that had memorized and not yet generalized, if there is one, and the last."""
    steps = run.stored_steps("checkpoints")
    memorized = [step for step in steps[:-1] if moment_of(run, step) == "memorized"]
    return memorized[:1] + steps[-1:]


def moment_of(run: StoredResults, step: int) -> str:
    """What a run had done by a step: memorized, generalized, or nothing."""
    result = run.summary
    if result.generalized_at is not None and step >= result.generalized_at:
        return "generalized"
    return "memorized" if result.memorized_at is not None and step >= result.memorized_at else ""


def end_and_reached(folder: RunFolder, run: Run) -> tuple[int | None, int]:
    """Where a run ends in what is stored of it, if it does, and how far that reaches."""
    rows, reached = folder.evaluations()
    return end_of(run, in_sequence(rows), reached) if rows else None, reached
