"""Trackers get what the history holds, go on where they were, and never disturb a training."""

import shlex
import struct
import threading
import time
import types

import pytest

from benchmarks.yardstick import yardsticks
from groklab import cli
from groklab.config.run import Run
from groklab.laboratory import runs as laboratory
from groklab.laboratory import trackers, tracking
from groklab.laboratory.progress import Progress, Telling
from groklab.workers.sweeps import sweep

RUN = Run.of(operation="addition", modulus=5, width=16, heads=2, layers=1, train_fraction=0.6, steps=30, stop="never")
FLAGS = [
    "--operation",
    "addition",
    "--modulus",
    "5",
    "--width",
    "16",
    "--heads",
    "2",
    "--layers",
    "1",
    "--train-fraction",
    "0.6",
    "--stop",
    "never",
]

pytestmark = pytest.mark.filterwarnings("default")  # of the libraries', in their threads


@pytest.fixture(autouse=True)
def alone(monkeypatch, tmp_path):
    """No login, no setting and no folder of whoever runs the tests."""
    for name in (
        "WANDB_MODE",
        "WANDB_API_KEY",
        "WANDB_DIR",
        "WANDB_PROJECT",
        "MLFLOW_TRACKING_URI",
        "MLFLOW_EXPERIMENT_NAME",
        "TRACKIO_DIR",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))


# — what their own libraries read —


def tensorboard_points(root, run, name):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(root / "tensorboard" / run))
    events.Reload()
    return [(event.step, event.value) for event in events.Scalars(name)], events.Tensors("run/text_summary")[0].tensor_proto


def mlflow_points(root, run, name):
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{root / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("groklab")
    (found,) = client.search_runs([experiment.experiment_id], f"tags.`groklab.id` = '{run}'")
    assert found.info.status == "FINISHED"
    return [(point.step, point.value) for point in client.get_metric_history(found.info.run_id, name)], found.data.params


def wandb_points(root, run, name):
    """W&B's offline file is a log of length-prefixed pieces in blocks of 32 KiB, with its own protocol buffers inside."""
    import json

    from wandb.proto.wandb_internal_pb2 import Record

    points, config = [], {}
    for file in sorted((root / "wandb").glob(f"offline-run-*-{run}/run-*.wandb")):
        content, place, whole = file.read_bytes(), 7, b""
        while place + 7 <= len(content):
            left = 32768 - place % 32768
            if left < 7:
                place += left
                continue
            _, length, kind = struct.unpack("<IHB", content[place : place + 7])
            whole += content[place + 7 : place + 7 + length]
            place += 7 + length
            if kind in (1, 4):  # whole, or the last piece
                record, whole = Record.FromString(whole), b""
                if record.HasField("run"):
                    assert record.run.run_id == run
                    config |= {item.key: json.loads(item.value_json) for item in record.run.config.update}
                items = {"".join(item.nested_key) or item.key: item.value_json for item in record.history.item}
                if name in items:
                    points.append((int(items["_step"]), float(items[name])))
    return points, config


def trackio_points(root, run, name):
    import trackio.utils
    from trackio.sqlite_storage import SQLiteStorage

    assert root / "trackio" == trackio.utils.TRACKIO_DIR
    rows = SQLiteStorage.get_logs("groklab", run)
    return [(row["step"], row[name]) for row in rows if name in row], SQLiteStorage.get_run_config("groklab", run)


POINTS = {"tensorboard": tensorboard_points, "mlflow": mlflow_points, "wandb": wandb_points, "trackio": trackio_points}


@pytest.mark.medium
@pytest.mark.parametrize("name", trackers.TRACKERS)
def test_a_tracker_has_the_history_after_an_interruption_and_a_longer_budget(name, tmp_path, capfd):
    pytest.importorskip(name, reason=f"{name} is not installed")
    if name == "trackio":
        forget_trackio()
    updates = []
    with pytest.raises(laboratory.Interrupted):
        laboratory.train(RUN, runs=tmp_path, track=name, should_stop=lambda: len(updates) >= 12, on_progress=updates.append)
    laboratory.train(RUN, runs=tmp_path, track=[name])
    result = laboratory.train(RUN, runs=tmp_path, track=name, steps=60)
    told = capfd.readouterr()
    assert told.out == ""
    assert "failed" not in told.err
    assert told.err.count(f"{name} has it too: ") == 3
    expected = [(row["step"], row["validation_loss"]) for row in result.rows]
    points, config = POINTS[name](tmp_path / "trackers", result.id, "validation_loss")
    known = {step for step, _ in expected}
    points = [point for point in points if point[0] in known]  # not the ends of the smaller budget, which lie outside the sequence
    assert [step for step, _ in points] == [step for step, _ in expected]
    assert [loss for _, loss in points] == pytest.approx([loss for _, loss in expected], rel=1e-6)
    if name == "tensorboard":
        assert b"train_fraction: 0.6" in config.string_val[0]
    else:
        assert str(config["train_fraction"]) == "0.6"
        assert str(config["weight_decay"]) == "1.0"
    assert [folder.id for folder in laboratory.stored_runs(tmp_path)] == [result.id]
    laboratory.train(RUN, runs=tmp_path, track=name, steps=60)
    assert POINTS[name](tmp_path / "trackers", result.id, "validation_loss")[0][-1] == points[-1]
    assert "has it too" not in capfd.readouterr().err, "what a tracker has is not passed on again"


def forget_trackio():
    """It reads its folder when it is imported; the next import reads it anew."""
    import sys

    for module in [module for module in sys.modules if module.split(".")[0] == "trackio"]:
        del sys.modules[module]


@pytest.mark.medium
def test_a_sweep_of_two_processes_fills_one_store_and_tells_it_once(tmp_path, capfd):
    pytest.importorskip("mlflow", reason="mlflow is not installed")
    words = ["sweep", *FLAGS, "--steps", "20", "--seed", "0", "1", "2", "--workers", "2", "--track", "mlflow", "--runs", str(tmp_path)]
    assert cli.main(words) == 0
    assert capfd.readouterr().err.count("mlflow has it too") == 1
    for folder in laboratory.stored_runs(tmp_path):
        points, _ = mlflow_points(tmp_path / "trackers", folder.id, "train_accuracy")
        assert points == [(row["step"], row["train_accuracy"]) for row in folder.history()]


@pytest.mark.medium
def test_a_store_that_no_process_can_reach_is_told_once_and_the_sweep_is_done(tmp_path, capfd, monkeypatch):
    pytest.importorskip("mlflow", reason="mlflow is not installed")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "no-such-scheme://nowhere")
    made = sweep(RUN, seed=range(3), runs=tmp_path, workers=2, track="mlflow")
    assert made.counts["trained"] == 3
    told = capfd.readouterr().err
    assert told.count("tracker mlflow failed") == 1
    assert "the training goes on without it" in told


@pytest.mark.medium
def test_a_stored_run_is_passed_on_when_it_is_asked_for_with_a_tracker(tmp_path, capfd):
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    assert cli.main(["train", *FLAGS, "--steps", "20", "--no-figures", "--runs", str(tmp_path)]) == 0
    assert not (tmp_path / "trackers").exists()
    (folder,) = laboratory.stored_runs(tmp_path)
    assert cli.main(["train", *FLAGS, "--steps", "20", "--no-figures", "--track", "tensorboard", "--json", "--runs", str(tmp_path)]) == 0
    points, _ = tensorboard_points(tmp_path / "trackers", folder.id, "train_accuracy")
    assert [step for step, _ in points] == [row["step"] for row in folder.history()]


# — trackers that misbehave —


def own(monkeypatch, record=lambda step, numbers: None, close=lambda status, results: None, *, opens=None, goes_to=lambda root: "here"):
    """A tracker named `own`, which is registered while a test runs."""
    opens = opens or (lambda opening: trackers.Channel(record, close, "here"))
    monkeypatch.setitem(trackers.TRACKERS, "own", trackers.Tracker(opens, goes_to))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    return without_time(laboratory.train(RUN, runs=tmp_path_factory.mktemp("undisturbed")))


def without_time(result):
    return [{name: value for name, value in row.items() if name != "wall_time"} for row in result.rows]


@pytest.mark.parametrize("when", ["opening", "record", "close"])
def test_a_tracker_that_raises_is_told_once_and_changes_nothing(when, tmp_path, monkeypatch, capfd, undisturbed):
    def fail(*given):
        raise SystemExit("the server\nis gone")

    if when == "opening":
        own(monkeypatch, opens=fail)
    else:
        own(monkeypatch, **{when: fail})
    result = laboratory.train(RUN, runs=tmp_path, track="own")
    assert without_time(result) == undisturbed
    told = capfd.readouterr().err
    assert told.count("tracker own failed (SystemExit: the server is gone)") == 1
    assert laboratory.load(result.id, runs=tmp_path).status == "complete"


def test_the_training_does_not_wait_for_a_tracker(tmp_path, monkeypatch, undisturbed):
    """The tracker does not return from its first call before the training has come to its last step."""
    is_over, seen = threading.Event(), []

    def record(step, numbers):
        assert is_over.wait(300)
        seen.append(step)

    def note(progress):
        if progress.row is not None and progress.step == RUN.budget.steps:
            is_over.set()

    own(monkeypatch, record)
    result = laboratory.train(RUN, runs=tmp_path, track="own", on_progress=note)
    assert without_time(result) == undisturbed
    assert seen == [row["step"] for row in result.rows]


@pytest.mark.slow
@pytest.mark.alone
def test_an_update_costs_a_training_with_trackers_a_few_microseconds(tmp_path, monkeypatch):
    def fail(*given):
        raise OSError("no network")

    own(monkeypatch, fail)
    with tracking.tracking(["own"], tmp_path) as made:
        quiet = Telling(lambda *told: None, lambda *told: None, lambda *told: None, lambda: False)
        tell, update = made.around(quiet, [RUN]), Progress(RUN, 1, None, 0, 0.0)
        assert yardsticks(lambda: [tell.progress(0, update) for _ in range(10_000)]) < 2  # twenty microseconds each


def test_a_tracker_that_does_not_end_is_left_behind(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(tracking, "PATIENCE", 0.2)
    release = threading.Event()
    own(monkeypatch, close=lambda status, results: release.wait(300))
    laboratory.train(RUN, runs=tmp_path, track="own")
    release.set()
    assert "tracker own did not come to an end within 0.2 s" in capfd.readouterr().err


def test_trackers_that_hang_cost_no_more_than_one(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(tracking, "PATIENCE", 0.5)
    release = threading.Event()
    own(monkeypatch, close=lambda status, results: release.wait(300))
    names = ["own", "another", "a third"]
    for name in names[1:]:
        monkeypatch.setitem(trackers.TRACKERS, name, trackers.TRACKERS["own"])
    made = tracking.Tracking(names, tmp_path)
    result = laboratory.train(RUN, runs=tmp_path, track=made)
    assert result.status == "complete"
    since, close = [], tracking.Follower.close
    monkeypatch.setattr(tracking.Follower, "close", lambda self, at: since.append(at) or close(self, at))
    made.close()
    assert (len(since), len(set(since))) == (3, 1), "they are waited for from the same moment on"
    release.set()
    assert capfd.readouterr().err.count("did not come to an end within 0.5 s") == 3


def test_another_place_gets_all_of_a_run_and_the_same_one_nothing_twice(tmp_path, monkeypatch):
    there, seen = ["one"], []
    own(monkeypatch, lambda step, numbers: seen.append((there[0], step)), goes_to=lambda root: there[0])
    steps = [row["step"] for row in laboratory.train(RUN, runs=tmp_path, track="own").rows]
    laboratory.train(RUN, runs=tmp_path, track="own")
    assert seen == [("one", step) for step in steps]
    there[0] = "two"
    laboratory.train(RUN, runs=tmp_path, track="own")
    assert seen[len(steps) :] == [("two", step) for step in steps]


def test_after_a_kill_a_tracker_gets_what_it_lacks_and_the_end(tmp_path, monkeypatch):
    seen, ends = [], []
    own(monkeypatch, lambda step, numbers: seen.append(step), lambda status, results: ends.append(status))
    result = laboratory.train(RUN, runs=tmp_path)
    killed = tracking.Tracking("own", tmp_path)  # its process ends after five records, and nobody closes it
    killed.around(Telling(*[lambda *told: None] * 3, lambda: False), [RUN]).begin(0, result.rows[:5], {})
    killed.followers[0].close(time.monotonic())
    assert (len(seen), ends) == (5, [])
    laboratory.train(RUN, runs=tmp_path, track="own")
    assert seen == [row["step"] for row in result.rows]
    assert ends == ["complete"]
    laboratory.train(RUN, runs=tmp_path, track="own")
    assert ends == ["complete"]


@pytest.mark.medium
def test_a_second_folder_of_trackio_is_told_and_nothing_goes_to_the_first(tmp_path, capfd):
    pytest.importorskip("trackio", reason="trackio is not installed")
    forget_trackio()
    laboratory.train(RUN, runs=tmp_path / "a", track="trackio")
    result = laboratory.train(RUN, runs=tmp_path / "b", track="trackio")
    told = capfd.readouterr()
    assert told.out == ""
    assert "trackio keeps to the first folder of a process" in told.err
    assert len(trackio_points(tmp_path / "a" / "trackers", result.id, "validation_loss")[0]) == len(result.rows)
    import trackio

    assert "print" not in vars(trackio)


def test_records_that_find_no_room_are_left_out(tmp_path, monkeypatch, capfd, undisturbed):
    monkeypatch.setattr(tracking, "WAITING", 3)
    is_over = threading.Event()
    own(monkeypatch, lambda step, numbers: is_over.wait(300))
    result = laboratory.train(RUN, runs=tmp_path, track="own", on_progress=lambda told: is_over.set() if told.step >= 29 else None)
    assert without_time(result) == undisturbed
    assert capfd.readouterr().err.count("slower than the training") == 1


def test_a_tracker_that_is_not_installed_is_told_with_what_to_do(tmp_path, monkeypatch, capfd, undisturbed):
    monkeypatch.setitem(__import__("sys").modules, "wandb", None)
    assert without_time(laboratory.train(RUN, runs=tmp_path, track="wandb")) == undisturbed
    told = capfd.readouterr().err
    assert told.count("\n") == 1
    assert "pip install 'groklab[track]'" in told


def test_an_unknown_tracker_is_refused_before_anything_is_written(tmp_path, capsys):
    for words in (["train", *FLAGS], ["sweep", *FLAGS], ["sweep", *FLAGS, "--dry-run"]):
        assert cli.main([*words, "--track", "tensorbord", "own", "--runs", str(tmp_path / "runs")]) == 2
        told = capsys.readouterr().err
        assert "Did you mean 'tensorboard'?" in told
        assert "got 'own'" in told
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("variables", "netrc", "mode"),
    [
        ({}, "", "offline"),
        ({"WANDB_API_KEY": "0" * 40}, "", None),
        ({"WANDB_MODE": "disabled"}, "", None),
        ({}, "machine api.wandb.ai login user password secret", None),
        ({"WANDB_BASE_URL": "https://wandb.example.org:8080/"}, "machine api.wandb.ai login user password secret", "offline"),
    ],
)
def test_wandb_is_online_only_where_there_is_a_login(variables, netrc, mode, tmp_path, monkeypatch):
    asked = {}

    def init(**options):
        asked.update(options)
        return types.SimpleNamespace(settings=types.SimpleNamespace(_offline=True))

    monkeypatch.setitem(__import__("sys").modules, "wandb", types.SimpleNamespace(init=init, Settings=dict))
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "netrc").write_text(netrc, encoding="utf-8")
    (tmp_path / "netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    trackers.wandb(trackers.Opening("an-id", {"seed": 1}, (), tmp_path, -1))
    assert asked["mode"] == mode
    assert asked["id"] == "an-id"
    assert asked["resume"] == "allow"
    assert trackers.wandb_goes_to(tmp_path).split()[0] == ("disabled" if variables.get("WANDB_MODE") else mode or "online")


@pytest.mark.parametrize("name", ["runs", "a b é", "a%20b?x=1", "a#b&c;d", "100%", "%2e%2e", "a:b", "'q'"])
def test_the_address_of_a_store_is_read_as_the_path_that_it_was_made_of(tmp_path, name, monkeypatch):
    sqlalchemy = pytest.importorskip("sqlalchemy", reason="mlflow is not installed")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    address = trackers._mlflow_address(tmp_path / name)
    assert sqlalchemy.make_url(address).database == str(tmp_path / name / "mlflow.db")
    if name == "runs":
        assert address == f"sqlite:///{tmp_path / name / 'mlflow.db'}", "so it was always written: what is sent is known by it"


@pytest.mark.medium
def test_a_store_lies_in_the_results_folder_whatever_that_is_called(tmp_path, monkeypatch, capsys):
    pytest.importorskip("mlflow", reason="mlflow is not installed")
    from sqlalchemy import make_url

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    runs = "a%20b?x=1 'é#"
    assert cli.main(["train", *FLAGS, "--steps", "10", "--track", "mlflow", "--runs", runs]) == 0
    assert [path.name for path in tmp_path.iterdir()] == [runs]
    assert (tmp_path / runs / "trackers" / "mlflow.db").stat().st_size > 0
    said = next(line for line in capsys.readouterr().err.splitlines() if "mlflow ui" in line)
    words = shlex.split(said.partition("too: ")[2])
    assert words[:3] == ["mlflow", "ui", "--backend-store-uri"]
    assert make_url(words[3]).database == str(tmp_path / runs / "trackers" / "mlflow.db")
