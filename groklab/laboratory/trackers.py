"""Where else the numbers of runs can go while they are trained: TensorBoard, W&B, MLflow, trackio.

A tracker is a function that opens a run and returns a ``Channel``: records go in and nothing comes back. They are called in threads
beside the training (tracking.py), so they may take their time, and may fail. Each library is imported when its tracker is first
used; they come with ``pip install 'groklab[track]'``, or each with an extra of its own name. All but an online W&B write below the
results folder, in ``runs/trackers``, unless the environment names another place.
"""

from __future__ import annotations

import contextlib
import contextvars
import fcntl
import importlib
import itertools
import logging
import netrc
import os
import re
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from groklab.outside.printable import command, printable
from groklab.registry import nearest
from groklab.text.values import shown
from groklab.version import __version__

PROJECT = "groklab"
"""What the runs are found under in every tracker, unless the environment names another project."""


@dataclass(frozen=True)
class Opening:
    """A run that a tracker is to follow."""

    id: str
    """Of the run, and its name there."""
    fields: Mapping[str, Any]
    """Every field of the run by name, the unset ones with what they stand for."""
    budget: tuple[str, ...]
    """Those of them that may change when it is continued."""
    root: Path
    """Folder for what trackers write, ``runs/trackers``."""
    sent: int
    """The step up to which the tracker has its evaluations; −1 where it does not know the run."""


class Channel(NamedTuple):
    """An opened run."""

    record: Callable[[int, Mapping[str, float]], object]
    """Take the numbers of one evaluation."""
    close: Callable[[str, Mapping[str, float]], object]
    """Take its status and its results: steps, memorized_at, generalized_at, delay."""
    place: str
    """Where to look, in words."""


def text_of(value: Any) -> str | int | float | bool:
    """A field as trackers can filter by it."""
    if isinstance(value, (list, tuple)):
        return " + ".join(map(str, value)) or "none"
    return value if isinstance(value, (str, int, float, bool)) else str(value)


class Tracker(NamedTuple):
    """A tracker, and where it would put runs now."""

    opens: Callable[[Opening], Channel]
    goes_to: Callable[[Path], str]
    """From its root and the environment: which place that is. How much of a run is there is known for each place by itself."""


# — the trackers —


def tensorboard(opening: Opening) -> Channel:
    """Event files in runs/trackers/tensorboard, a folder for each run; its fields as hyperparameters."""
    from torch.utils.tensorboard import SummaryWriter
    from torch.utils.tensorboard.summary import hparams

    folder = opening.root / "tensorboard"
    # What an ended process may have written beyond what is known to be sent is hidden by the purge and written again.
    writer = SummaryWriter(str(folder / opening.id), purge_step=opening.sent + 1)
    fields = {name: text_of(value) for name, value in opening.fields.items()}
    results = dict.fromkeys(("train_accuracy", "validation_accuracy", "memorized_at", "generalized_at"), 0)
    experiment, begin, end = hparams(fields, results)
    if opening.sent < 0:
        for summary in (experiment, begin):
            _of(writer.file_writer).add_summary(summary)
        writer.add_text("run", "\n".join(f"    {name}: {value}" for name, value in fields.items()), 0)

    def record(step: int, numbers: Mapping[str, float]) -> None:
        for name, value in numbers.items():
            writer.add_scalar(name, value, step)
        writer.flush()

    def close(status: str, results: Mapping[str, float]) -> None:
        for name, value in results.items():
            writer.add_scalar(name, value, int(results["steps"]))
        writer.add_text("status", status, int(results["steps"]))
        _of(writer.file_writer).add_summary(end)
        writer.close()

    return Channel(record, close, command("tensorboard", "--logdir", folder))


def tensorboard_goes_to(root: Path) -> str:
    """Below the root, wherever that is moved to."""
    return "event files"


def wandb(opening: Opening) -> Channel:
    """Weights & Biases: as WANDB_MODE says; without it online where there is a login, otherwise offline in runs/trackers/wandb."""
    import wandb as library

    mode: Any = None if _is_wandb_told() else "offline"
    folder = _wandb_folder(opening.root)
    folder.mkdir(parents=True, exist_ok=True)
    # W&B names an offline folder by second and id: one that goes on within the second would write over what is there.
    while any((folder / "wandb").glob(f"offline-run-{time.strftime('%Y%m%d_%H%M%S')}-{opening.id}")):
        time.sleep(0.05)
    run = library.init(
        mode=mode,
        dir=str(folder),
        project=_project("WANDB_PROJECT"),
        id=opening.id,
        name=opening.id,
        config={**opening.fields, "groklab": __version__},
        allow_val_change=True,
        resume="allow",
        reinit="create_new",  # runs of one batch are open at the same time
        settings=library.Settings(silent=True, console="off"),  # standard output may be asked to be JSON
    )
    is_offline = bool(run.settings._offline)
    place = f"{command('wandb', 'sync', folder / 'wandb')}/offline-run-*" if is_offline else str(run.project_url)

    def record(step: int, numbers: Mapping[str, float]) -> None:
        run.log(dict(numbers), step=step)

    def close(status: str, results: Mapping[str, float]) -> None:
        run.summary.update({**results, "status": status})
        run.finish(exit_code=0 if status in ("complete", "interrupted") else 1)

    return Channel(record, close, place)


def wandb_goes_to(root: Path) -> str:
    """Mode, server, owner and project, or the folder of an offline run."""
    mode = os.environ.get("WANDB_MODE", "online" if _is_wandb_told() else "offline")
    server = os.environ.get("WANDB_BASE_URL", "") if mode == "online" else str(_wandb_folder(root).resolve()) if mode == "offline" else ""
    return " ".join((mode, server, os.environ.get("WANDB_ENTITY", ""), _project("WANDB_PROJECT")))


def _wandb_folder(root: Path) -> Path:
    return Path(os.environ.get("WANDB_DIR") or root)


def _is_wandb_told() -> bool:
    return "WANDB_MODE" in os.environ or _has_wandb_login()


def _has_wandb_login() -> bool:
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    host = re.sub(r"^https?://|[:/].*$", "", os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai"))
    named = os.environ.get("NETRC")
    for file in [Path(named)] if named else [Path.home() / ".netrc", Path.home() / "_netrc"]:
        with contextlib.suppress(OSError, netrc.NetrcParseError):
            if netrc.netrc(str(file)).authenticators(host) is not None:
                return True
    return False


def mlflow(opening: Opening) -> Channel:
    """MLflow: at MLFLOW_TRACKING_URI, otherwise a local SQLite store, runs/trackers/mlflow.db."""
    from mlflow.entities import Metric, Param, RunTag
    from mlflow.tracking import MlflowClient

    for name in ("mlflow.store.db.utils", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)  # they tell of every table that they create
    root = opening.root.resolve()
    address, experiment = _mlflow_address(root), _project("MLFLOW_EXPERIMENT_NAME")
    with _alone(root / "mlflow.lock"), _without_strays(address):  # tables and the experiment are made once, by one of the processes
        client = MlflowClient(tracking_uri=address)
        known = client.get_experiment_by_name(experiment)
        is_local = not os.environ.get("MLFLOW_TRACKING_URI")
        artifacts = (root / "mlflow-artifacts").as_uri() if is_local else None
        number = client.create_experiment(experiment, artifacts) if known is None else known.experiment_id
    found = client.search_runs([number], f"tags.`groklab.id` = '{opening.id}'", max_results=1)
    tags = {"groklab.id": opening.id, "groklab.version": __version__}
    run = found[0].info.run_id if found else client.create_run(number, run_name=opening.id, tags=tags).info.run_id
    if found:
        client.update_run(run, status="RUNNING")
    # A parameter of MLflow is written once and never changed; the budget of a run may grow.
    texts = {name: str(text_of(value)) for name, value in opening.fields.items()}
    parameters = [] if found else [Param(name, text) for name, text in texts.items() if name not in opening.budget]
    client.log_batch(run, params=parameters, tags=[RunTag(f"groklab.{name}", texts[name]) for name in opening.budget])

    def metrics(step: int, numbers: Mapping[str, float]) -> list[Metric]:
        now = int(time.time() * 1000)
        return [Metric(re.sub(r"[^\w./: -]", "_", name), value, now, step) for name, value in numbers.items()]

    def record(step: int, numbers: Mapping[str, float]) -> None:
        client.log_batch(run, metrics=metrics(step, numbers))

    def close(status: str, results: Mapping[str, float]) -> None:
        client.log_batch(run, metrics=metrics(int(results["steps"]), results), tags=[RunTag("groklab.status", status)])
        client.set_terminated(run, {"complete": "FINISHED", "interrupted": "KILLED"}.get(status, "FAILED"))

    shown = command("mlflow", "ui", "--backend-store-uri", address) if address.startswith("sqlite") else address
    return Channel(record, close, shown)


def mlflow_goes_to(root: Path) -> str:
    """Store and experiment."""
    return f"{_mlflow_address(root.resolve())} {_project('MLFLOW_EXPERIMENT_NAME')}"


def _mlflow_address(root: Path) -> str:
    return os.environ.get("MLFLOW_TRACKING_URI") or _sqlite_address(root / "mlflow.db")


def _sqlite_address(path: Path) -> str:
    """The address of a SQLite file, with what has a meaning there (%, ?) escaped as this version of SQLAlchemy reads it."""
    from sqlalchemy import URL, make_url

    if make_url(f"sqlite:///{path}").database == str(path):
        return f"sqlite:///{path}"
    escaped = URL.create("sqlite", database=str(path)).render_as_string(hide_password=False)
    if make_url(escaped).database != str(path):
        raise RuntimeError(f"it cannot keep its store in {printable(path)}; choose another folder of results, or set MLFLOW_TRACKING_URI")
    return escaped


@contextlib.contextmanager
def _without_strays(address: str) -> Generator[None]:
    """Within it, MLflow makes the folders of a SQLite address as if it were not escaped; those that were not there are taken away."""
    folder = Path(address.removeprefix("sqlite:///")).parent
    made = [one for one in (folder, *folder.parents) if not one.exists()] if address.startswith("sqlite:///") else []
    try:
        yield
    finally:
        for one in made:
            with contextlib.suppress(OSError):  # it holds something, as the folder of the store itself does
                one.rmdir()


def trackio(opening: Opening) -> Channel:
    """trackio: its local store at TRACKIO_DIR, otherwise in runs/trackers/trackio; one place for all of a process."""
    wanted = _trackio_folder(opening.root)
    with _environment("TRACKIO_DIR", str(wanted)):
        library = importlib.import_module("trackio")  # which reads the variable once, here
        parts = [importlib.import_module(f"trackio.{name}") for name in ("run", "utils")]
    place = Path(parts[1].TRACKIO_DIR)
    if place.resolve() != wanted:
        raise RuntimeError(f"trackio keeps to the first folder of a process, {place}; for {wanted} start another one, or set TRACKIO_DIR")
    modules = (library, *parts)
    # It knows one run at a time for a context; runs of one batch are open at the same time.
    context = contextvars.copy_context()
    project = _project("TRACKIO_PROJECT")

    def quietly(act: Callable[..., Any], *given: Any, **options: Any) -> Any:
        """Call without words on standard output, which may be asked to be JSON; a user's own trackio keeps its words."""
        for module in modules:
            vars(module)["print"] = _quiet
        try:
            return context.run(act, *given, **options)
        finally:
            for module in modules:
                vars(module).pop("print", None)

    run = quietly(
        library.init,
        project,
        name=opening.id,
        config={name: text_of(value) for name, value in opening.fields.items()} | {"groklab": __version__},
        resume="allow",
        embed=False,
        auto_log_gpu=False,
        auto_log_cpu=False,
    )

    def record(step: int, numbers: Mapping[str, float]) -> None:
        quietly(run.log, dict(numbers), step)

    def close(status: str, results: Mapping[str, float]) -> None:
        quietly(run.log, {f"result/{name}": value for name, value in results.items()} | {"status": status}, int(results["steps"]))
        quietly(run.finish)

    return Channel(record, close, f"TRACKIO_DIR={command(place)} {command('trackio', 'show', '--project', project)}")


def trackio_goes_to(root: Path) -> str:
    """Folder and project."""
    return f"{_trackio_folder(root)} {_project('TRACKIO_PROJECT')}"


def _trackio_folder(root: Path) -> Path:
    return Path(os.environ.get("TRACKIO_DIR") or root / "trackio").resolve()


_MOST = 20
"""Names that are looked at."""

TRACKERS: dict[str, Tracker] = {
    "tensorboard": Tracker(tensorboard, tensorboard_goes_to),
    "wandb": Tracker(wandb, wandb_goes_to),
    "mlflow": Tracker(mlflow, mlflow_goes_to),
    "trackio": Tracker(trackio, trackio_goes_to),
}


def names_of(names: str | Iterable[str]) -> list[str]:
    """The names of trackers, of one or several; ValueError where they are more than anybody has."""
    chosen = [names] if isinstance(names, str) else list(itertools.islice(names, _MOST + 1))
    if len(chosen) > _MOST:
        raise ValueError(f"track: got {shown(names)}, more than {_MOST} names; expected some of {', '.join(TRACKERS)}.")
    return chosen


def named(names: str | Iterable[str]) -> dict[str, Tracker]:
    """Trackers by name; ValueError for an unknown one with the nearest names."""
    chosen = names_of(names)
    unknown = [
        f"track: got {shown(name)}; expected {', '.join(TRACKERS)}. {nearest(str(name), list(TRACKERS))}"
        for name in chosen
        if not isinstance(name, str) or name not in TRACKERS
    ]
    if unknown:
        raise ValueError("\n".join(unknown))
    return {name: TRACKERS[name] for name in chosen}


# — what they need —


def _project(variable: str) -> str:
    return os.environ.get(variable) or PROJECT


def _of(writer: Any) -> Any:
    """TensorBoard's writer of event files, which is None only where its SummaryWriter is closed."""
    return writer


def _quiet(*told: Any, **options: Any) -> None:
    """Print nothing."""


@contextlib.contextmanager
def _environment(name: str, value: str) -> Generator[None]:
    """Within it, a variable has a value unless the user has given it one."""
    is_given = name in os.environ
    os.environ.setdefault(name, value)
    try:
        yield
    finally:
        if not is_given:
            del os.environ[name]


@contextlib.contextmanager
def _alone(path: Path) -> Generator[None]:
    """Within it, no other process of this machine is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
