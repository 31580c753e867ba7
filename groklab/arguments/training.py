"""What the verbs that train take: train, continue, sweep, replicate, complete."""

from __future__ import annotations

from dataclasses import dataclass, field, make_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from groklab.arguments.parsing import Runs, Where, field_words
from groklab.config.fields import leaves
from groklab.config.options import Options
from groklab.config.run import Run
from groklab.config.sweep import hints, is_several

PRESETS = ("gromov", "quick_transformer")
"""Recipes by which a table is completed, tried one after the other (LOG.md): seconds a network, and minutes."""


@dataclass(frozen=True)
class TrainArguments:
    """Train a network on the table of an operation, go on where a stored run stands, and draw its curves.

    Without any flag: division mod 97 at 50 %, AdamW with weight decay 1 (Power et al. 2022).
    """

    run: Annotated[Run, tyro.conf.arg(name="")] = field(default_factory=Run)
    where: Annotated[Where, tyro.conf.arg(name="")] = field(default_factory=Where)
    preset: str | None = None
    """Named recipe from which the other flags depart; `groklab list presets` has them all."""
    config: Path | None = None
    """A stored run.json from which the other flags depart."""
    trust_plugins: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Execute the plugins that lie beside the run.json of --config, without asking."""
    plugin: tuple[Path, ...] = ()
    """Python files that register operations, measures … of your own."""
    keep_state: bool = True
    """Keep the full training state of a complete run, so that it can be continued."""
    figures: bool = True
    """Draw the learning curves and the table into the run's folder."""
    picture: Path | None = None
    """Another file for the learning curves, .png, .svg or .pdf."""
    track: tuple[str, ...] = ()
    """Trackers that get the numbers too: tensorboard, wandb, mlflow, trackio; local in RUNS/trackers, but for a wandb with a login."""


@dataclass(frozen=True)
class ContinueArguments:
    """Train stored runs further, to their own budget or to another number of steps."""

    which: Runs
    """Id, unique prefix of one, path, or latest."""
    steps: int | None = None
    """New total number of updates; also goes on with a run that its stop rule has ended."""
    device: str | None = None
    """Another device than the runs were trained on: auto, cpu, cuda, cuda:N or mps."""
    path: Literal["auto", "compiled", "batched", "reference"] | None = None
    """Another path: what computes the gradients."""
    plugin: tuple[Path, ...] = ()
    """Python files to import first."""
    trust_plugins: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Execute the copies of plugins that the runs keep, without asking."""
    where: Annotated[Where, tyro.conf.arg(name="")] = field(default_factory=Where)
    figures: bool = True
    """Draw the learning curves and the table into the run's folder."""
    track: tuple[str, ...] = ()
    """Trackers that get the numbers too: tensorboard, wandb, mlflow, trackio; local in RUNS/trackers, but for a wandb with a login."""


@dataclass(frozen=True)
class SweepArguments:
    """Train many runs: every field of a run takes several values, which are crossed.

    A value of --interventions, --measures, --betas or --decay-parameters is one alternative, its parts joined by +; none is the
    empty one. Runs that are stored are not trained again; what is missing is trained in local processes.
    """

    zip: tuple[str, ...] = ()
    """Fields whose values are taken side by side, first with first, instead of crossed."""
    workers: int | None = None
    """Processes, one thread each; by default one per core, on GPUs one per GPU; 1 trains in this process."""
    ray: str | None = None
    """Address of a Ray cluster that trains the runs, or auto for the one that is running."""
    runs_per_batch: int | Literal["auto"] = "auto"
    """Runs of one shape that a process trains side by side; auto: one on a CPU, on a GPU as many as its memory holds."""
    dry_run: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Tell how many runs there are, how many are stored, what disk and time the others may take, and train nothing."""
    preset: str | None = None
    """Named recipe from which the flags depart."""
    config: Path | None = None
    """A stored run.json from which the flags depart."""
    trust_plugins: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Execute the plugins that lie beside the run.json of --config, without asking."""
    plugin: tuple[Path, ...] = ()
    """Python files that register operations, measures … of your own."""
    keep_state: bool = False
    """Keep the full training state of complete runs, so that they can be continued."""
    track: tuple[str, ...] = ()
    """Trackers that get the numbers too: tensorboard, wandb, mlflow, trackio; local in RUNS/trackers, but for a wandb with a login."""
    where: Annotated[Where, tyro.conf.arg(name="")] = field(default_factory=Where)

    @property
    def options(self) -> Options:
        """How the runs are trained."""
        return Options(self.where.runs, self.workers, self.ray, self.runs_per_batch, self.keep_state, self.plugin, self.track)


def sweep_arguments() -> type[SweepArguments]:
    """`SweepArguments` with every field of a run, each taking several values."""
    told = field_words()
    fields: list[tuple[str, Any, Any]] = []
    for name, hint in hints().items():
        one = str if is_several(name) else hint
        several = Annotated[tuple[one, ...], tyro.conf.arg(help=told[name])]  # pyright: ignore[reportInvalidTypeForm]
        fields.append((name, several, field(default=())))
    made = make_dataclass("SweepArguments", fields, bases=(SweepArguments,), frozen=True, kw_only=True)
    made.__doc__ = SweepArguments.__doc__
    return made


@dataclass(frozen=True)
class ReplicateArguments:
    """Train the runs of published figures as far as they are missing, draw the figures, and judge the claims they are evidence for.

    It can be stopped at any moment; the same command goes on.
    """

    names: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="NAME")] = ()
    """Experiments, or all; `groklab list experiments` has them, and --dry-run tells what they cost."""
    scale: Literal["smoke", "laptop", "paper"] = "smoke"
    """smoke: seconds, to see that it works; laptop: hours on two cores; paper: the full grid, for a cluster."""
    train: bool = True
    """Train what is missing; without, the figures show what is stored."""
    workers: int | None = None
    """Processes, one thread each; by default one per core, on GPUs one per GPU; 1 trains in this process."""
    ray: str | None = None
    """Address of a Ray cluster that trains the runs, or auto for the one that is running."""
    runs_per_batch: int | Literal["auto"] = "auto"
    """Runs of one shape that a process trains side by side; auto: one on a CPU, on a GPU as many as its memory holds."""
    dry_run: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Tell how many runs there are, how many are stored, what disk and time the others may take, and train nothing."""
    output: Path | None = None
    """Folder for the report, figures and tables; replication/SCALE by default."""
    archive: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Also keep histories and pictured layers in one file there, from which `groklab report` makes everything again."""
    plugin: tuple[Path, ...] = ()
    """Python files that register experiments, operations … of your own."""
    where: Annotated[Where, tyro.conf.arg(name="")] = field(default_factory=Where)

    @property
    def options(self) -> Options:
        """How the runs are trained."""
        return Options(self.where.runs, self.workers, self.ray, self.runs_per_batch, plugins=self.plugin)


@dataclass(frozen=True)
class CompleteArguments:
    """Fill in the blanks of a table: train networks on the known cells, write what they answer on the others, tell what the table is.

    A blank is an empty z, or a pair of names that no row holds. A tenth of the known cells is held out of each network. Where the
    networks only memorize the others, or where the blanks are not like the known cells, nothing is written, and the exit status is 1. It can be stopped at any moment; the same
    command goes on.
    """

    table: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="TABLE.csv")]
    """CSV file with columns x, y, z; any names are elements."""
    output: Path | None = None
    """File to write, .csv or .parquet; TABLE-completed.csv beside the table by default."""
    seeds: int = 5
    """Networks, each with its own initial weights and its own held-out cells."""
    required_accuracy: float = 0.9
    """Share of the blanks that must be right, with 95 % confidence by held-out cells, for them to be filled."""
    force: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Write the file even where nothing was found, and over one that is there."""
    with_guesses: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Also fill in blanks that nothing speaks for; the column supported tells them apart."""
    answers_seen: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """You know that every answer which occurs is among the known cells, although some elements are never an answer."""
    preset: tuple[str, ...] = PRESETS
    """Recipes, tried one after the other until one finds the rule; the flags below depart from each."""
    workers: int | None = None
    """Processes, one thread each; one per core by default, 1 trains in this process."""
    ray: str | None = None
    """Address of a Ray cluster that trains the networks, or auto for the one that is running."""
    plugin: tuple[Path, ...] = ()
    """Python files that register optimizers, presets … of your own."""
    where: Annotated[Where, tyro.conf.arg(name="")] = field(default_factory=Where)


def complete_arguments() -> type[CompleteArguments]:
    """`CompleteArguments` with the fields of a run's model, training and budget, each left open unless given."""
    told, kept = field_words(), ("model", "training", "budget")
    fields: list[tuple[str, Any, Any]] = [
        (name, Annotated[hint | None, tyro.conf.arg(help=told[name])], field(default=None))  # pyright: ignore[reportInvalidTypeForm]
        for name, hint in hints().items()
        if leaves()[name] in kept
    ]
    made = make_dataclass("CompleteArguments", fields, bases=(CompleteArguments,), frozen=True, kw_only=True)
    made.__doc__ = CompleteArguments.__doc__
    return made
