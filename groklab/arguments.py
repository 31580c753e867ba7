"""What each verb of the command line takes, as dataclasses from which tyro builds the parsers."""

from __future__ import annotations

import ast
import inspect
import itertools
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, make_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import tyro

from groklab.config.run import Model, Run, Seeds, Task, Training, leaves
from groklab.config.sweep import hints, is_several

Runs = Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
Filter = Annotated[tuple[str, ...], tyro.conf.arg(metavar="FIELD=VALUE")]
Fields = Annotated[tuple[str, ...], tyro.conf.arg(metavar="FIELD")]
RUN_HELP = "id, unique prefix of one, path, or latest"


@dataclass(frozen=True)
class Where:
    """Where results are."""

    runs: Path = Path("runs")
    """Folder of the results."""
    json: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Print one JSON object on standard output and nothing else."""


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
    plugin: tuple[Path, ...] = ()
    """Python files that register operations, measures … of your own."""
    keep_state: bool = True
    """Keep the full training state of a complete run, so that it can be continued."""
    figures: bool = True
    """Draw the learning curves and the table into the run's folder."""
    picture: Path | None = None
    """Another file for the learning curves, .png, .svg or .pdf."""


@dataclass(frozen=True)
class ContinueArguments:
    """Train stored runs further, to their own budget or to another number of steps."""

    which: Runs
    """Id, unique prefix of one, path, or latest."""
    steps: int | None = None
    """New total number of updates; also goes on with a run that its stop rule has ended."""
    where: Annotated[Where, tyro.conf.arg(name="")] = field(default_factory=Where)
    figures: bool = True
    """Draw the learning curves and the table into the run's folder."""


@dataclass(frozen=True)
class ShowArguments:
    """Print stored runs with their settings and results, or many of them as one table, a row for each run or each setting."""

    which: Runs = ()
    """Id, unique prefix of one, path, or latest, which is meant by none; with --table none means all."""
    table: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Many runs as one table, a row each; with --by, --statistic or --compare a row for each setting."""
    filter: Filter = ()
    """Only runs that satisfy all of these: a column of the table of runs, one of = != < <= > >=, and a value or none."""
    by: Fields = ()
    """One row for every combination of the values of these fields; with --statistic alone, of all that differ."""
    statistic: Literal["summary", "efficiency", "law"] | None = None
    """Of each setting: medians with intervals (summary, the default of --by), the train fraction that it needs (efficiency), or how steps grow as the data shrink (law)."""
    compare: Annotated[tuple[str, str, str] | None, tyro.conf.arg(metavar="FIELD A B")] = None
    """Log-rank test of the runs whose field is A against those where it is B; with --by one for each setting."""
    strata: Fields = ()
    """Compare runs within each value of these fields only, for one p value over all of them."""
    quantity: Literal["memorized_at", "generalized_at", "delay"] | None = None
    """What laws and comparisons are about, generalized_at by default; of a summary, the only one that is told."""
    level: float | None = None
    """Confidence level of intervals, 0.9 by default."""
    output: Path | None = None
    """Write that table to a file, .csv or .parquet."""
    where: Annotated[Where, tyro.conf.arg(name="")] = field(default_factory=Where)


@dataclass(frozen=True)
class ListArguments:
    """Print what there is of one kind."""

    kind: Annotated[
        Literal[
            "runs", "operations", "groups", "architectures", "optimizers", "schedules", "losses", "interventions", "stops",
            "measures", "figures", "presets", "experiments", "claims",
        ],
        tyro.conf.Positional,
    ]  # fmt: skip
    """What to list."""
    diff: tuple[str, str] | None = None
    """Two presets: print the fields in which they differ."""
    filter: Filter = ()
    """Of runs, only those that satisfy all of these, such as operation=addition 'train_fraction>=0.3' status!=complete."""
    plugin: tuple[Path, ...] = ()
    """Python files to import first."""
    where: Annotated[Where, tyro.conf.arg(name="")] = field(default_factory=Where)


@dataclass(frozen=True)
class TableArguments:
    """Print the table of an operation, its elements and its properties."""

    operation: str = "division"
    """Name of the operation; `groklab list operations` has them all."""
    modulus: int | None = None
    """Elements of a modular table; 97 unless given."""
    group: str | None = None
    """The group of a group operation, such as "symmetric(4)"."""
    expression: str | None = None
    """A formula in x, y and n."""
    file: str | None = None
    """A CSV file with columns x, y, z."""
    format: Literal["text", "csv", "json"] = "text"
    """text for reading, csv: x,y,z of every cell, json: operation, elements, cells, count, properties."""
    plugin: tuple[Path, ...] = ()
    """Python files to import first."""


@dataclass(frozen=True)
class MeasureArguments:
    """Take measures of the stored checkpoints of stored runs, and keep them with the runs."""

    what: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="NAME… RUN…")] = ()
    """Measures, with their settings as in "restricted_loss(variant='blocks')", then runs: ids, unique prefixes, paths, or latest."""
    checkpoint: str = "all"
    """Step of the checkpoint, or all."""
    plugin: tuple[Path, ...] = ()
    """Python files to import first."""
    where: Annotated[Where, tyro.conf.arg(name="")] = field(default_factory=Where)


@dataclass(frozen=True)
class FigureArguments:
    """Draw stored runs."""

    name: Annotated[str, tyro.conf.Positional]
    """Name of the figure; `groklab list figures` has them all."""
    which: Runs
    """Id, unique prefix of one, path, or latest."""
    checkpoint: int | None = None
    """Step of the stored answers to draw, where the figure shows answers; the last by default."""
    output: Path | None = None
    """File to write, .png, .svg or .pdf; by default NAME.png in the folder of the (first) run."""
    plugin: tuple[Path, ...] = ()
    """Python files to import first."""
    where: Annotated[Where, tyro.conf.arg(name="")] = field(default_factory=Where)


@dataclass(frozen=True)
class RemoveArguments:
    """Delete stored runs; asks first."""

    which: Runs = ()
    """Id, unique prefix of one, path, or latest."""
    prune: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """All runs that are damaged or have diverged, and folders left empty."""
    yes: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Do not ask."""
    where: Annotated[Where, tyro.conf.arg(name="")] = field(default_factory=Where)


@dataclass(frozen=True)
class ExportArguments:
    """Write the network of a stored run to one .safetensors file, and what it is to a .json file beside it."""

    which: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Id, unique prefix of one, path, or latest."""
    to: Literal["safetensors", "transformer_lens"]
    """safetensors: under groklab's own names, to be read back; transformer_lens: the state dict of a HookedTransformer."""
    output: Path
    """File to write, .safetensors; the description goes to the same name with .json after it."""
    checkpoint: int | None = None
    """Step of the stored checkpoint; the last by default."""
    where: Annotated[Where, tyro.conf.arg(name="")] = field(default_factory=Where)


@dataclass(frozen=True)
class ImportArguments:
    """Make a stored run of a network in a file: one that groklab exported, or a state dict of the official implementation.

    Which task an official network has learned does not stand in its file: the flags say it, as they do for train.
    """

    source: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FILE")]
    """.safetensors, or a PyTorch file (.pt, .ckpt …) of tensors; one whose reading would execute code is refused."""
    task: Annotated[Task, tyro.conf.arg(name="")] = field(default_factory=Task)
    model: Annotated[Model, tyro.conf.arg(name="")] = field(default_factory=Model)
    training: Annotated[Training, tyro.conf.arg(name="")] = field(default_factory=Training)
    seeds: Annotated[Seeds, tyro.conf.arg(name="")] = field(default_factory=Seeds)
    step: int | None = None
    """Updates that the network was trained for, where its file does not say it."""
    vocabulary: Path | None = None
    """JSON file with the number of every token by its text, where an official network has a vocabulary of its own."""
    plugin: tuple[Path, ...] = ()
    """Python files that register what the run uses."""
    where: Annotated[Where, tyro.conf.arg(name="")] = field(default_factory=Where)

    def fields(self, words: Sequence[str]) -> dict[str, Any]:
        """The fields of a run that these words name, with their values; what they do not name is the file's to say."""
        flags = {word.split("=", 1)[0].removeprefix("--").replace("-", "_").removeprefix("no_") for word in words if word.startswith("--")}
        parts = {"task": self.task, "model": self.model, "training": self.training, "seeds": self.seeds}
        return {name: getattr(parts[group], name) for name, group in leaves().items() if name in flags and group in parts}


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
    plugin: tuple[Path, ...] = ()
    """Python files that register operations, measures … of your own."""
    keep_state: bool = False
    """Keep the full training state of complete runs, so that they can be continued."""
    where: Annotated[Where, tyro.conf.arg(name="")] = field(default_factory=Where)


@dataclass(frozen=True)
class ReplicateArguments:
    """Train the runs of published figures as far as they are missing, and draw the figures.

    It can be stopped at any moment; the same command goes on.
    """

    names: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="NAME")] = ()
    """Experiments, or all; `groklab list experiments` has them with their costs."""
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
    """Folder for figures and tables; replication/SCALE by default."""
    plugin: tuple[Path, ...] = ()
    """Python files that register experiments, operations … of your own."""
    where: Annotated[Where, tyro.conf.arg(name="")] = field(default_factory=Where)


@dataclass(frozen=True)
class CompleteArguments:
    """Fill in the blanks of a table: train networks on the known cells, write what they answer on the others, tell what the table is.

    A blank is an empty z, or a pair of names that no row holds. A tenth of the known cells is held out of each network. Where the
    networks only memorize the others nothing is written, and the exit status is 1. It can be stopped at any moment; the same
    command goes on.
    """

    table: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="TABLE.csv")]
    """CSV file with columns x, y, z; any names are elements."""
    output: Path | None = None
    """File to write, .csv or .parquet; TABLE-completed.csv beside the table by default."""
    seeds: int = 5
    """Networks, each with its own initial weights and its own held-out cells."""
    required_accuracy: float = 0.9
    """Share of the held-out cells that must be right, with 95 % confidence, for the blanks to be filled."""
    force: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Write the file even where nothing was found, and over one that is there."""
    preset: tuple[str, ...] = ("gromov", "quick_transformer")
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


def field_words() -> dict[str, str]:
    """What stands under every field of a run in the source of `config/run.py`."""
    found: dict[str, str] = {}
    for part in ast.walk(ast.parse(inspect.getsource(inspect.getmodule(Run) or Run))):
        if isinstance(part, ast.ClassDef):
            for one, below in itertools.pairwise(part.body):
                if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name) and isinstance(below, ast.Expr):
                    found[one.target.id] = str(ast.literal_eval(below.value))
    return found


ARGUMENTS: dict[str, type] = {
    "train": TrainArguments,
    "sweep": SweepArguments,
    "replicate": ReplicateArguments,
    "complete": CompleteArguments,
    "continue": ContinueArguments,
    "show": ShowArguments,
    "list": ListArguments,
    "table": TableArguments,
    "measure": MeasureArguments,
    "figure": FigureArguments,
    "remove": RemoveArguments,
    "export": ExportArguments,
    "import": ImportArguments,
}

Parsed = TypeVar("Parsed")


def parse(kind: type[Parsed], verb: str, given: Sequence[str], default: Any = None) -> Parsed:
    """The flags of one verb; exits with status 2 and a message where they are wrong."""
    marked = tyro.conf.OmitArgPrefixes[kind]  # pyright: ignore[reportInvalidTypeArguments]
    options: dict[str, Any] = {} if default is None else {"default": default}
    return tyro.cli(marked, args=list(given), prog=f"groklab {verb}", use_underscores=False, console_outputs=True, **options)


def value_of(flag: str, given: Sequence[str]) -> list[str]:
    """Values of a flag that has to be known before the parser is built (--preset, --config, --plugin)."""
    found: list[str] = []
    arguments = list(given)
    for position, argument in enumerate(arguments):
        if argument.startswith(f"{flag}="):
            found.append(argument.split("=", 1)[1])
        elif argument == flag:
            for value in arguments[position + 1 :]:
                if value.startswith("--"):
                    break
                found.append(value)
    return found


def is_terminal() -> bool:
    """Whether a person is at the keyboard, to be asked."""
    return sys.stdin is not None and sys.stdin.isatty()
