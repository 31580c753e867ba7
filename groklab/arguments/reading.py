"""What the verbs that read stored runs and registered names take: show, list, table, measure, figure, dashboard, remove."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from groklab.arguments.parsing import Fields, Filter, Runs, Where
from groklab.registry import KINDS

_KINDS = ("runs", *KINDS)


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

    kind: Annotated[Literal[_KINDS], tyro.conf.Positional]  # pyright: ignore[reportInvalidTypeForm]
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
    """A CSV file, with columns x, y, z or a matrix."""
    reader: int | None = None
    """Version of the reader of files: 1 takes every name as it stands; the newest unless given."""
    format: Literal["text", "csv", "json"] = "text"
    """text for reading, csv: x,y,z of every cell, json (as --json): operation, elements, cells, count, properties, notes."""
    plugin: tuple[Path, ...] = ()
    """Python files to import first."""
    where: Annotated[Where, tyro.conf.arg(name="")] = field(default_factory=Where)


@dataclass(frozen=True)
class MeasureArguments:
    """Take measures of the stored checkpoints of stored runs, and keep them with the runs."""

    what: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="NAME… RUN…")] = ()
    """Measures, with their settings as in "restricted_loss(variant='blocks')", then runs: ids, unique prefixes, paths, or latest."""
    checkpoint: str = "all"
    """Step of the checkpoint, or all."""
    into: Path | None = None
    """Another folder to keep them in, where the runs' own are not to be changed; read from there as well as from the runs."""
    plugin: tuple[Path, ...] = ()
    """Python files to import first."""
    trust_plugins: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Execute the copies of plugins that the runs keep, without asking. Otherwise you are asked, and nothing is executed where you cannot be."""
    stored_plugins: bool = True
    """With --no-stored-plugins nobody is asked: nothing that lies in the results is executed, and runs that need it are refused."""
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
class DashboardArguments:
    """Look at the results in a browser, live, while runs are being trained by whatever process; nothing is changed."""

    folder: Annotated[Path | None, tyro.conf.Positional, tyro.conf.arg(metavar="DIR")] = None
    """Folder of the results; the same as --runs."""
    port: int | None = None
    """Port to serve on, 0 for any that is free; by default 8050 or the next one that is free."""
    host: str = "127.0.0.1"
    """Address to serve on. Any that others can reach asks for a token, which is made and printed."""
    browser: bool = True
    """Open a browser."""
    token: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Ask for a token on this machine's own address too, where others have accounts on it."""
    plugin: tuple[Path, ...] = ()
    """Python files to import first: the copies that runs keep of their plugins are never executed by the dashboard."""
    runs: Path | None = None
    """Folder of the results; runs by default."""

    def root(self) -> Path:
        """The folder that is meant; ValueError where two are."""
        if self.folder is not None and self.runs is not None and self.folder != self.runs:
            raise ValueError(f"DIR: got {self.folder} and --runs {self.runs}; expected one of them.")
        return self.folder or self.runs or Path("runs")


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
class CheckArguments:
    """Try everything that your own files register, on small tables and networks, as groklab's own parts are tried in its tests."""

    files: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="FILE.py")] = ()
    """Python files that register operations, measures … of your own; they are executed."""
    json: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Print one JSON object on standard output and nothing else."""


@dataclass(frozen=True)
class ReportArguments:
    """Make the report of a replication again, scorecard and figures, from the results that it keeps; nothing is trained."""

    folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="DIR")]
    """Folder that `groklab replicate` wrote, or one with such folders in it."""
    runs: Path | None = None
    """Folder of the results; by default the archive in DIR, or where they were when the report was made."""
    plugin: tuple[Path, ...] = ()
    """Python files that register experiments, claims … of your own."""
    json: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Print one JSON object on standard output and nothing else."""
