"""Asking for a run: trained once, found again, continued, and reported up to where it was asked for."""

import contextlib
import ctypes
import json
import os
import re
import shutil
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

import groklab.laboratory.runs as laboratory
from groklab.config.checks import RunError
from groklab.config.run import Run
from groklab.laboratory.runs import Interrupted, continued, drawn, load, train, train_together
from groklab.registry.sources import hash_of
from groklab.results.files import StoreError
from groklab.results.lock import InProgressError, Lock
from groklab.results.store import RunFolder
from groklab.stored.tables import history_of, title_of
from groklab.training import engine

TINY = {"operation": "addition", "modulus": 5, "width": 8, "layers": 1, "mlp_width": 8, "stop": "never"}


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """Waiting for the disk and checking shapes take most of the time of runs as small as these, and are tested elsewhere."""
    monkeypatch.setattr("groklab.results.files.os.fsync", lambda descriptor: None)
    monkeypatch.setattr("jaxtyping.config.jaxtyping_disable", True)


def ask(root, **fields):
    return train(runs=root, **{**TINY, **fields})


def without_time(rows):
    return [{name: value for name, value in row.items() if name != "wall_time"} for row in rows]


@pytest.fixture
def updates(monkeypatch):
    """Counts the updates that are made."""
    made = []
    original = engine.Batch.update

    def update(self):
        made.append(self.step)
        return original(self)

    monkeypatch.setattr(engine.Batch, "update", update)
    return made


# — once, further, and less —


def test_a_run_is_trained_once(tmp_path, updates):
    first = ask(tmp_path, steps=12)
    assert len(updates) == 12
    before = {path: path.read_bytes() for path in first.folder.path.rglob("*") if path.is_file()}
    second = ask(tmp_path, steps=12)
    assert len(updates) == 12
    assert second.to_dict() == first.to_dict()
    assert {path: path.read_bytes() for path in first.folder.path.rglob("*") if path.is_file()} == before


def test_a_larger_budget_goes_on(tmp_path, updates):
    ask(tmp_path, steps=12)
    longer = ask(tmp_path, steps=30)
    assert updates == list(range(30))
    assert longer.steps == 30
    assert [segment["from_step"] for segment in longer.folder.description()["segments"]] == [0, 12]


@pytest.mark.parametrize("pieces", [(12, 30), pytest.param((11, 13, 29, 30), marks=pytest.mark.medium)])
def test_a_history_does_not_depend_on_its_pieces(tmp_path, pieces):
    for steps in pieces:
        run = ask(tmp_path / "pieces", steps=steps)
    whole = ask(tmp_path / "whole", steps=30)
    assert without_time(run.rows) == without_time(whole.rows)
    assert run.history.drop("wall_time").equals(whole.history.drop("wall_time"))
    first, second = (r.folder.read_step("checkpoints", 30)[1] for r in (run, whole))
    assert all(np.array_equal(first[name], second[name]) for name in second)
    ended, other = run.to_dict(), whole.to_dict()
    assert {**ended, "folder": ""} == {**other, "folder": ""}


@pytest.mark.parametrize("steps", [1, 11, 29])
def test_a_smaller_budget_is_reported_up_to_there(tmp_path, updates, steps):
    ask(tmp_path, steps=30)
    less = ask(tmp_path, steps=steps)
    assert len(updates) == 30
    assert less.steps == less.summary.steps == steps
    assert less.status == "complete"
    assert less.rows[-1]["step"] <= steps
    assert less.history["step"].max() <= steps
    assert without_time(less.rows) == [r for r in without_time(ask(tmp_path, steps=30).rows) if r["step"] <= steps]
    assert load("latest", runs=tmp_path).steps == 30


def test_what_is_made_of_checkpoints_ends_with_the_budget_too(tmp_path):
    ask(tmp_path, steps=30)
    less, short = ask(tmp_path, steps=10), ask(tmp_path / "short", steps=10)
    assert less.answers().equals(short.answers())
    assert less.model().flat.equal(short.model().flat)
    assert [found.step for found in less.measure("weight_norm")] == less.stored_steps("checkpoints") == short.folder.steps_of("checkpoints")
    assert drawn("embeddings", [less]).axes


def test_a_smaller_budget_of_an_interrupted_run_is_complete(tmp_path, updates):
    interrupt(tmp_path, at=20, steps=100)
    for steps in (7, 19):  # 19 is beyond the last evaluation, and the state is there
        less = ask(tmp_path, steps=steps)
        assert (less.status, less.steps) == ("complete", steps)
    assert load("latest", runs=tmp_path).status == "interrupted"
    assert len(updates) == 20


@pytest.mark.parametrize("at", [17, 20, 25])  # 25 has an evaluation of its own
def test_a_budget_that_ends_where_a_run_was_stopped_has_all_its_results(tmp_path, updates, at):
    interrupt(tmp_path / "stopped", at=at, steps=100)
    stored = ask(tmp_path / "stopped", steps=at)
    assert (stored.status, stored.folder.status(), stored.steps) == ("complete", "complete", at)
    assert laboratory.stored_as_asked(stored.run, runs=tmp_path / "stopped") is not None
    assert len(updates) == at
    whole = ask(tmp_path / "whole", steps=at)
    assert without_time(stored.rows) == without_time(whole.rows)
    assert stored.answers().equals(whole.answers())
    longer = ask(tmp_path / "stopped", steps=30)
    assert without_time(longer.rows) == without_time(ask(tmp_path / "whole", steps=30).rows)


def test_wall_time_goes_on_where_it_was(tmp_path):
    ask(tmp_path, steps=12)
    times = [row["wall_time"] for row in ask(tmp_path, steps=30).rows]
    assert times == sorted(times)


def test_a_stop_rule_ends_a_run_and_another_goes_on(tmp_path, updates):
    early = ask(tmp_path, steps=30, stop="generalized(confirmations=0)", threshold=1e-9)
    assert early.status == "complete"
    ended = early.steps
    assert ended < 30
    assert len(updates) == ended
    assert ask(tmp_path, steps=30).steps == 30
    again = ask(tmp_path, steps=30, stop="generalized(confirmations=0)", threshold=1e-9)
    assert again.steps == ended
    assert again.summary == early.summary


def test_continuing_a_run_that_its_stop_rule_ended_goes_on_all_the_same(tmp_path):
    early = ask(tmp_path, steps=30, stop="generalized(confirmations=0)", threshold=1e-9)
    assert continued("latest", runs=tmp_path).steps == early.steps
    longer = continued("latest", runs=tmp_path, steps=40)
    assert longer.steps == 40
    assert longer.run.budget.stop == "never"


def contents(folder):
    return {path.relative_to(folder): (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


def test_continuing_to_fewer_steps_than_are_stored_gives_the_run_as_it_stands_and_touches_nothing(tmp_path, updates):
    whole = ask(tmp_path, steps=30)
    before, made = contents(whole.folder.path), len(updates)
    for steps in (1, 10, 30):
        stands = continued("latest", runs=tmp_path, steps=steps)
        assert (stands.steps, stands.summary) == (30, whole.summary)
    assert len(updates) == made
    assert contents(whole.folder.path) == before
    with pytest.raises(RunError, match="steps: got 0"):
        continued("latest", runs=tmp_path, steps=0)


def test_other_evaluations_of_a_stored_run_are_those_that_are_stored(tmp_path, updates):
    first = ask(tmp_path, steps=12)
    assert ask(tmp_path, steps=12, evaluations_per_decade=3).rows == first.rows
    longer = ask(tmp_path, steps=40, evaluations_per_decade=3)
    assert [row["step"] for row in longer.rows if row["step"] > 12] == [22, 40]
    assert len(updates) == 40


def test_a_measure_asked_for_later_is_taken_from_then_on(tmp_path):
    ask(tmp_path, steps=12, measures=())
    table = ask(tmp_path, steps=30).history
    assert table.filter(table["step"] < 12)["weight_norm"].null_count() == (table["step"] < 12).sum()
    assert table.filter(table["step"] > 12)["weight_norm"].null_count() == 0


def test_without_state_a_longer_budget_begins_again(tmp_path, updates):
    short = train(runs=tmp_path, keep_state=False, **TINY, steps=12)
    assert not (short.folder.path / "state.safetensors").exists()
    assert ask(tmp_path, steps=12).status == "complete"
    assert len(updates) == 12
    assert ask(tmp_path, steps=20).steps == 20
    assert len(updates) == 32


def files_of(run):
    return {
        path.relative_to(run.folder.path): path.read_bytes()
        for path in sorted(run.folder.path.rglob("*"))
        if path.is_file() and path.name != "run.json"
    }


def test_results_without_a_state_are_kept_until_they_are_computed_again(tmp_path, updates):
    short = train(runs=tmp_path / "runs", keep_state=False, **TINY, steps=20)
    before = files_of(short)
    for at, made in ((7, 27), (19, 39)):  # the second time it goes on from 7
        stopped = interrupt(tmp_path / "runs", at=at, steps=40).run
        assert {path: content for path, content in files_of(stopped).items() if path.parts[0] != "again"} == before
        assert len(updates) == made
        assert (stopped.status, stopped.steps) == ("interrupted", 20)
        assert ask(tmp_path / "runs", steps=20).summary == short.summary
        assert len(updates) == made
    longer = ask(tmp_path / "runs", steps=40)
    assert len(updates) == 60
    assert not longer.folder.again.path.exists()
    assert (longer.status, longer.steps) == ("complete", 40)
    whole = ask(tmp_path / "whole", steps=40)
    assert without_time(longer.rows) == without_time(whole.rows)
    assert longer.answers().equals(whole.answers())
    assert longer.folder.state()[0] == 40


def test_what_is_computed_again_takes_over_as_soon_as_it_is_further(tmp_path):
    train(runs=tmp_path, keep_state=False, **TINY, steps=12)
    stopped = interrupt(tmp_path, at=25, steps=40).run
    assert not stopped.folder.again.path.exists()
    assert (stopped.steps, stopped.folder.state()[0]) == (25, 25)


@pytest.mark.parametrize("call", [1, 3, pytest.param(2, marks=pytest.mark.medium), pytest.param(4, marks=pytest.mark.medium)])
def test_a_process_killed_while_the_new_takes_the_place_of_the_old_loses_nothing(tmp_path, monkeypatch, undisturbed, call):
    train(runs=tmp_path, keep_state=False, **TINY, checkpoints_per_decade=0, steps=9)
    replace = Path.replace

    def killed(self, target):
        if self.parent.parent.name == "again" or self.parent.name == "again":
            calls.append(1)
            if len(calls) == call:
                raise Killed
        return replace(self, target)

    calls = []
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        patch.setattr(laboratory, "STATE_INTERVAL", 0)
        patch.setattr(laboratory, "SAVING_PAUSE", 0)
        with pytest.raises(Killed):
            train(runs=tmp_path, **TINY, checkpoints_per_decade=0, steps=20)
    run = load("latest", runs=tmp_path)
    assert run.steps >= 9
    whole = load("latest", runs=undisturbed / "20")
    finished = ask(tmp_path, steps=20)
    assert without_time(finished.rows) == without_time(whole.rows)
    assert finished.answers().equals(whole.answers())
    assert not finished.folder.again.path.exists()


def test_an_old_state_does_not_outlive_its_use(tmp_path, monkeypatch):
    monkeypatch.setattr(laboratory, "STATE_INTERVAL", 0)
    monkeypatch.setattr(laboratory, "SAVING_PAUSE", 0)
    run = train(runs=tmp_path, keep_state=False, **TINY, steps=12)
    assert not (run.folder.path / "state.safetensors").exists()


def test_results_are_found_where_neither_their_device_nor_their_path_is(tmp_path, monkeypatch, updates):
    ask(tmp_path, steps=12)
    for elsewhere in ({"device": "cuda:7"}, {"device": "mps"}):
        monkeypatch.setattr("torch.cuda.is_available", lambda: False)
        assert ask(tmp_path, steps=12, **elsewhere).steps == 12
        with pytest.raises(RunError, match="expected a device of this machine"):
            ask(tmp_path, steps=13, **elsewhere)
    with pytest.raises(RunError, match="modulus"):
        ask(tmp_path, steps=12, modulus=-1)
    assert len(updates) == 12


def test_a_run_of_another_machine_goes_on_here(tmp_path, monkeypatch):
    run = ask(tmp_path, steps=12)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    description = run.folder.description()
    description["run"]["budget"]["device"] = "cuda"
    run.folder.update(run=description["run"])
    with pytest.raises(RunError, match="No CUDA device is present"):
        continued("latest", runs=tmp_path, steps=20)
    longer = continued("latest", runs=tmp_path, steps=20, device="cpu", path="batched")
    assert (longer.id, longer.steps, longer.run.budget.device) == (run.id, 20, "cpu")
    assert longer.folder.description()["segments"][-1]["path"] == "batched"


def test_a_gpu_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    for count, told in ((1, "cuda:0 is the only one"), (4, "they are cuda:0 to cuda:3")):
        monkeypatch.setattr("torch.cuda.device_count", lambda count=count: count)
        with pytest.raises(RunError, match=told):
            laboratory.check(Run.of(**TINY, device="cuda:7"))
        laboratory.check(Run.of(**TINY, device=f"cuda:{count - 1}"))


@pytest.mark.parametrize("fields", [{"precision": "float64"}, {"loss": "stablemax"}])
def test_what_needs_float64_is_refused_on_mps(monkeypatch, fields):
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: True)
    with pytest.raises(RunError, match="MPS has no float64"):
        laboratory.check(Run.of(**TINY, **fields, device="mps"))
    laboratory.check(Run.of(**TINY, precision="float32", device="mps"))


def test_the_reference_trains_one_run_at_a_time_whatever_is_asked(monkeypatch):
    runs = [Run.of(**TINY, seed=seed, path="reference", steps=2) for seed in range(3)]
    assert [len(members) for members in engine._batches(runs, [engine.Past()] * 3, 4)] == [1, 1, 1]


# — interrupted —


def interrupt(root, *, at, **fields):
    """Ask for a run and stop it after a step."""
    seen = []
    with pytest.raises(Interrupted) as caught:
        train(runs=root, on_progress=lambda p: seen.append(p.step), should_stop=lambda: seen[-1] >= at, **{**TINY, **fields})
    return caught.value


def test_a_stop_saves_the_state_and_says_how_to_go_on(tmp_path, updates):
    stopped = interrupt(tmp_path, at=17, steps=30)
    assert stopped.step == 17
    assert stopped.run.status == "interrupted"
    assert stopped.run.steps == 17
    assert f"groklab continue {stopped.run.id}" in str(stopped)
    assert not (stopped.run.folder.path / "lock").exists()
    assert continued("latest", runs=tmp_path).status == "complete"
    assert updates == list(range(30))


@pytest.mark.parametrize("fields", [{"steps": 12}, {"steps": 50, "stop": "generalized(confirmations=0)", "threshold": 1e-9}])
def test_a_stop_at_the_last_step_is_too_late(tmp_path, fields):
    whole = ask(tmp_path / "whole", **fields)
    seen = []
    run = train(
        runs=tmp_path / "stopped",
        on_progress=lambda p: seen.append(p.step),
        should_stop=lambda: seen[-1] >= whole.steps,
        **{**TINY, **fields},
    )
    assert run.status == run.folder.status() == "complete"
    assert without_time(run.rows) == without_time(whole.rows)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The run of 13 steps and that of 20, each trained in one piece; not to be changed."""
    root = tmp_path_factory.mktemp("undisturbed")
    for steps in (13, 20):
        ask(root / str(steps), steps=steps)
    return root


class Killed(BaseException):
    """Stands for kill -9: nothing that follows is written."""


@contextmanager
def killed_at(monkeypatch, owner, name, *, call, after=False):
    """Let the n-th call of a method be the last thing that a process does."""
    original, calls = getattr(owner, name), []

    def killed(self, *given, **named):
        calls.append(1)
        if len(calls) < call:
            return original(self, *given, **named)
        if after:
            original(self, *given, **named)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, killed)
        patch.setattr(laboratory, "STATE_INTERVAL", 0)
        patch.setattr(laboratory, "SAVING_PAUSE", 0)
        yield


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("write_state", 14),
        ("update", 1),
        *(
            pytest.param(name, call, marks=pytest.mark.medium)
            for name, call in [
                ("append", 4),
                ("create", 1),
                ("write_state", 1),
                ("begin", 1),
                ("append", 1),
                ("write_step", 1),
                ("write_step", 2),
                ("write_step", 5),
                ("write_state", 7),
                ("write_state", 13),
            ]
        ),
    ],
)
def test_a_run_killed_anywhere_goes_on_to_the_same_history(tmp_path, monkeypatch, undisturbed, name, call, after):
    whole = load("latest", runs=undisturbed / "13")
    with killed_at(monkeypatch, RunFolder, name, call=call, after=after), pytest.raises(Killed):
        ask(tmp_path / "killed", steps=13)
    folder = RunFolder(tmp_path / "killed" / whole.id)
    if folder.exists and not (name == "update" and after):
        assert folder.status() == "interrupted"
    run = ask(tmp_path / "killed", steps=13)
    assert run.status == run.folder.status() == "complete"
    assert without_time(run.rows) == without_time(whole.rows)
    assert run.folder.steps_of("checkpoints") == whole.folder.steps_of("checkpoints")
    assert without_time(ask(tmp_path / "killed", steps=20).rows) == without_time(load("latest", runs=undisturbed / "20").rows)


def test_what_a_killed_process_left_half_written_is_removed(tmp_path):
    run = interrupt(tmp_path, at=5, steps=12).run
    (run.folder.path / ".run.json.1.abcd.tmp").write_text("{", encoding="utf-8")
    (run.folder.path / "answers" / ".step.1.abcd.tmp").write_text("{", encoding="utf-8")
    ask(tmp_path, steps=12)
    assert not list(run.folder.path.rglob("*.tmp"))


# — another process —


def test_a_run_in_progress_is_waited_for(tmp_path, updates):
    folder = tmp_path / Run.of(**TINY).id
    folder.mkdir(parents=True)
    told, lock = [], Lock(folder)
    lock.__enter__()
    is_given_back = threading.Event()

    def give_back():
        is_given_back.set()
        lock.__exit__(None, None, None)

    timer = threading.Timer(0.7, give_back)
    timer.start()
    run = train(runs=tmp_path, on_wait=told.append, **TINY, steps=3)
    assert is_given_back.is_set()
    assert len(told) == 1
    assert "is being trained by process" in told[0]
    assert run.steps == 3
    timer.join()


def test_who_does_not_want_to_wait_is_told(tmp_path):
    folder = tmp_path / Run.of(**TINY).id
    folder.mkdir(parents=True)
    with Lock(folder), pytest.raises(InProgressError, match="is being trained by process"):
        train(runs=tmp_path, wait=False, **TINY, steps=3)


def test_who_waits_can_be_stopped(tmp_path):
    folder = tmp_path / Run.of(**TINY).id
    folder.mkdir(parents=True)
    with Lock(folder), pytest.raises(KeyboardInterrupt) as caught:
        train(runs=tmp_path, should_stop=lambda: True, **TINY, steps=3)
    assert not isinstance(caught.value, Interrupted)


def test_what_a_run_in_progress_has_behind_it_is_given_at_once(tmp_path):
    run = ask(tmp_path, steps=30)
    run.folder.update(status="running")
    with Lock(run.folder.path):
        less = train(runs=tmp_path, wait=False, **TINY, steps=10)
        assert (less.status, less.steps) == ("complete", 10)
        with pytest.raises(InProgressError):  # its end is being written just now
            train(runs=tmp_path, wait=False, **TINY, steps=30)


def test_a_result_that_comes_while_we_reach_for_the_lock_is_taken(tmp_path, monkeypatch, updates):
    real, looks = laboratory._stored, []

    def stored(folder, asked):
        looks.append(1)
        if len(looks) == 1:
            other = real(folder, asked)
            with monkeypatch.context() as patch:
                patch.setattr(laboratory, "_stored", real)
                ask(tmp_path, steps=12)
            return other
        return real(folder, asked)

    monkeypatch.setattr(laboratory, "_stored", stored)
    assert ask(tmp_path, steps=12).status == "complete"
    assert len(updates) == 12


def test_a_process_that_was_robbed_of_its_lock_writes_nothing_more(tmp_path):
    seen = []

    def rob(progress):
        if progress.step == 5 and not seen:
            time.sleep(0.2)  # what was asked for is written beside the computation
            seen.append({p: p.read_bytes() for p in tmp_path.rglob("*.*") if p.is_file()})
            lock = tmp_path / Run.of(**TINY).id / "lock"
            lock.write_text(json.dumps({"host": "elsewhere", "process": 1, "started": None, "token": "other"}), encoding="utf-8")

    with pytest.raises(InProgressError, match="taken over by another process"):
        train(runs=tmp_path, wait=False, on_progress=rob, **TINY, steps=30)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*.*") if p.is_file()} == seen[0]


def test_every_kind_of_warning_is_kept_once(tmp_path, monkeypatch):
    told = {3: "at step 3 one thing.", 5: "another thing of 1,240 runs.", 7: "at step 7 one thing.", 9: "another thing of 620 runs."}
    train_quietly = engine.train

    def train_and_warn(*given, **named):
        for event in train_quietly(*given, **named):
            if isinstance(event, engine.Advanced) and event.step in told:
                yield engine.Noted(event.run, event.step, told[event.step])
            yield event

    monkeypatch.setattr(engine, "train", train_and_warn)
    run = ask(tmp_path, steps=12)
    assert run.folder.description()["warnings"] == [told[3], told[5]]


# — diverged —

WILD = {**TINY, "learning_rate": 1e30, "warmup": 0, "norm": "none", "precision": "float32"}


def test_a_diverged_run_says_so_and_is_not_tried_again(tmp_path, updates):
    run = train(runs=tmp_path, **WILD, steps=30)
    assert run.status == "diverged"
    made = len(updates)
    assert made < 30
    assert "loss is not finite at step" in run.to_dict()["message"]
    for steps in (30, 100):
        again = train(runs=tmp_path, **WILD, steps=steps)
        assert again.status == "diverged"
    assert continued("latest", runs=tmp_path, steps=200).status == "diverged"
    assert len(updates) == made


def test_a_state_that_is_not_to_be_kept_is_not_kept_of_a_diverged_run(tmp_path, monkeypatch):
    monkeypatch.setattr(laboratory, "STATE_INTERVAL", 0)
    monkeypatch.setattr(laboratory, "SAVING_PAUSE", 0)
    for keep_state in (True, False):
        run = train(runs=tmp_path / str(keep_state), keep_state=keep_state, **WILD, steps=30)
        assert run.status == "diverged"
        assert (run.folder.state() is not None) is keep_state


def test_what_is_stored_says_that_it_is_trained_on_in_one_write(tmp_path, monkeypatch):
    ask(tmp_path, steps=12)
    written = []
    write = RunFolder.begin

    def begin(self, run, segment):
        before = self.description()
        write(self, run, segment)
        after = self.description()
        written.append((before["status"], after["status"], after["run"]["budget"]["steps"], len(after["segments"])))

    monkeypatch.setattr(RunFolder, "begin", begin)
    told = []
    with pytest.raises(Killed):
        train(
            runs=tmp_path,
            on_begin=lambda rows, segment: told.append(load("latest", runs=tmp_path).status) or killed_now(),
            **TINY,
            steps=30,
        )
    assert written == [("complete", "running", 30, 2)]
    assert told == ["running"]


def killed_now():
    raise Killed


def test_a_diverged_run_has_results_before_its_end(tmp_path):
    run = train(runs=tmp_path, **WILD, steps=30)
    last = run.rows[-1]["step"]
    if last > 0:
        assert train(runs=tmp_path, **WILD, steps=last).status == "complete"


# — copies of what a run depends on —

PLUGIN = '''
from groklab.registry import measure, operation

@operation(symbol="2x + y (mod n)")
def my_sum(x, y, n):
    """A sum of one's own."""
    return (2 * x + y) % n

@measure(label="mine")
def my_measure(parameters, task):
    """A number of one's own."""
    return float(task.step)
'''


def test_a_run_goes_on_from_its_copy_of_a_plugin(tmp_path, own_registry):
    file = tmp_path / "my_lab.py"
    file.write_text(PLUGIN, encoding="utf-8")
    own_registry.load_plugin(file)
    first = ask(tmp_path / "runs", steps=5, operation="my_sum")
    assert [path.read_text(encoding="utf-8") for path in (first.folder.path / "plugins").iterdir()] == [PLUGIN]
    file.unlink()
    own_registry.forget_plugins()
    assert continued("latest", runs=tmp_path / "runs", steps=9, trust_plugins=True).id == first.id
    assert load("latest", runs=tmp_path / "runs").steps == 9


def test_two_versions_of_a_plugin_are_two_runs_in_one_table(tmp_path, own_registry):
    from groklab.analysis.tables import runs_table
    from groklab.results.finding import folders

    runs = tmp_path / "runs"
    ids = []
    for text in (PLUGIN, PLUGIN.replace("2 * x", "3 * x")):
        (tmp_path / "my_lab.py").write_text(text, encoding="utf-8")
        own_registry.load_plugin(tmp_path / "my_lab.py")
        ids.append(ask(runs, steps=5, operation="my_sum").id)
    assert ids[0] != ids[1]
    own_registry.forget_plugins()
    assert runs_table(folders(runs))["status"].to_list() == ["complete", "complete"]
    first, second = (load(i, runs=runs) for i in ids)
    assert continued(ids[0], runs=runs, steps=6, trust_plugins=True).id == first.id
    assert continued(ids[1], runs=runs, steps=6, trust_plugins=True).id == second.id


def test_a_plugin_that_a_later_budget_brings_is_kept_too(tmp_path, own_registry):
    ask(tmp_path / "runs", steps=5)
    (tmp_path / "my_lab.py").write_text(PLUGIN, encoding="utf-8")
    own_registry.load_plugin(tmp_path / "my_lab.py")
    ask(tmp_path / "runs", steps=8, measures=("my_measure",))
    own_registry.forget_plugins()
    assert continued("latest", runs=tmp_path / "runs", steps=12, trust_plugins=True).rows[-1]["my_measure"] == 12


def test_a_changed_copy_of_a_plugin_is_not_taken_for_the_run(tmp_path, own_registry):
    (tmp_path / "my_lab.py").write_text(PLUGIN, encoding="utf-8")
    own_registry.load_plugin(tmp_path / "my_lab.py")
    run = ask(tmp_path / "runs", steps=5, operation="my_sum")
    own_registry.forget_plugins()
    (copy,) = (run.folder.path / "plugins").iterdir()
    copy.write_text(PLUGIN.replace("2 * x", "3 * x"), encoding="utf-8")
    with pytest.raises(StoreError, match="the copy was changed. Nothing was executed"):
        continued("latest", runs=tmp_path / "runs", steps=9, trust_plugins=True)
    renamed = copy.with_name(f"my_lab-{hash_of(copy.read_bytes())}.py")
    copy.rename(renamed)
    run.folder.update(plugins=[renamed.name])
    with pytest.raises(StoreError, match="one of them was changed. Nothing was changed now"):
        continued("latest", runs=tmp_path / "runs", steps=9, trust_plugins=True)
    assert [path.name for path in (tmp_path / "runs").iterdir()] == [run.id]


CELLS = "x,y,z\n" + "".join(f"{x},{y},{(x * y + 1) % 5}\n" for x in range(5) for y in range(5))


def test_a_run_goes_on_from_its_copy_of_a_table(tmp_path):
    file = tmp_path / "deep" / "table.csv"
    file.parent.mkdir()
    file.write_text(CELLS, encoding="utf-8")
    fields = {name: value for name, value in TINY.items() if name not in ("operation", "modulus")}
    first = train(runs=tmp_path / "runs", file=str(file), **fields, steps=5)
    assert str(tmp_path) not in (first.folder.path / "run.json").read_text(encoding="utf-8")
    (tmp_path / "elsewhere.csv").write_text(CELLS, encoding="utf-8")
    assert train(runs=tmp_path / "runs", file=str(tmp_path / "elsewhere.csv"), **fields, steps=5).id == first.id
    file.unlink()
    longer = continued("latest", runs=tmp_path / "runs", steps=9)
    assert (longer.id, longer.steps) == (first.id, 9)
    assert len(load("latest", runs=tmp_path / "runs").answers()) == 25
    file.write_text(CELLS.replace("4,4,2", "4,4,3"), encoding="utf-8")
    assert train(runs=tmp_path / "runs", file=str(file), **fields, steps=5).id != first.id
    (first.folder.path / "table.csv").write_text(CELLS.replace("4,4,2", "4,4,3"), encoding="utf-8")
    with pytest.raises(StoreError, match="was changed"):
        continued(first.id, runs=tmp_path / "runs", steps=12)


# — in Python —


def test_a_stored_run_has_history_answers_model_and_picture(tmp_path):
    run = ask(tmp_path, steps=12)
    same = load(run.id[:-2], runs=tmp_path)
    assert same.history["step"].to_list() == [row["step"] for row in run.rows]
    assert same.answers()["step"].unique().to_list() == [12]
    assert same.answers(0)["step"].unique().to_list() == [0]
    right = same.answers().filter(same.answers()["split"] == "train")
    assert (right["answer"] == right["label"]).mean() == pytest.approx(run.summary.train_accuracy)
    assert same.model().of_run(0) is not None
    assert "x + y (mod 5)" in title_of(same)
    assert same.plot().axes


@pytest.mark.medium
def test_runs_of_different_settings_are_drawn_in_groups(tmp_path):
    several = [ask(tmp_path, steps=12, seed=s, weight_decay=d) for s in (0, 1) for d in (0.0, 1.0)]
    assert drawn("learning_curves", several).axes
    table = history_of(several)
    assert set(table["group"]) == {"weight_decay 0", "weight_decay 1"}
    with pytest.raises(ValueError, match="got 4 runs; expected one"):
        drawn("operation_table", several)
    with pytest.raises(ValueError, match="shows the whole history"):
        drawn("learning_curves", several, checkpoint=3)


@pytest.mark.medium
def test_the_same_run_is_numbers_for_numbers_the_same_in_another_folder(tmp_path):
    assert without_time(ask(tmp_path / "a", steps=12).rows) == without_time(ask(tmp_path / "b", steps=12).rows)


# — tables from files —


def table_in(file, last):
    file.write_text(
        "x,y,z\n" + "".join(f"{x},{y},{(x + y) % 5}\n" for x in range(5) for y in range(5) if (x, y) != (4, 4)) + f"4,4,{last}\n",
        encoding="utf-8",
    )
    return str(file)


def test_a_table_that_is_edited_while_its_run_is_trained_does_not_move_the_run(tmp_path):
    file = tmp_path / "a.csv"
    run = Run.of(file=table_in(file, 3), **{**TINY, "operation": "from_file", "modulus": None}, steps=12)
    identity = run.id
    result = train(run, runs=tmp_path / "runs", on_progress=lambda told: table_in(file, 2))
    assert result.id == identity
    assert [path.name for path in (tmp_path / "runs").iterdir()] == [identity]
    assert (result.folder.path / "table.csv").read_text(encoding="utf-8").endswith("4,4,3\n")


def test_a_table_that_was_edited_before_its_run_is_trained_is_not_trained_under_its_id(tmp_path):
    file = tmp_path / "a.csv"
    run = Run.of(file=table_in(file, 3), **{**TINY, "operation": "from_file", "modulus": None}, steps=12)
    identity = run.id
    table_in(file, 2)
    (outcome,) = laboratory.train_together([run], runs=tmp_path / "runs")
    assert isinstance(outcome, ValueError)
    assert f"it was changed while {identity} waited to be trained" in str(outcome)
    assert not (tmp_path / "runs" / identity / "run.json").exists()


# — stop rules of one's own —


@pytest.fixture
def end_by(own_registry):
    """Where a run ends after three evaluations, by a registered rule that always gives the same answer."""
    from groklab import registry
    from groklab.config.stops import end_of

    def end(answer):
        @registry.stop()
        def my_rule(history, threshold):
            """Answers what it is told to (my own)."""
            return answer

        rows = [{"step": step, "train_accuracy": 0.0, "validation_accuracy": 0.0} for step in (0, 1, 2)]
        return end_of(Run.of(stop="my_rule"), rows, 2)

    return end


@pytest.mark.parametrize("answer", [True, False, np.True_, 2.5, 10**6, -1, "end", (1, 2)])
def test_a_stop_rule_that_answers_with_no_evaluated_step_is_named(end_by, answer):
    with pytest.raises(ValueError, match=r"stop: got .* from my_rule after step 2; expected the step of one of the evaluations"):
        end_by(answer)


@pytest.mark.parametrize("answer", [None, 1, np.int64(1)])
def test_a_stop_rule_answers_with_an_evaluated_step_or_none(end_by, answer):
    assert end_by(answer) == (None if answer is None else 1)


def moved(folder, place):
    folder.rename(place)


def removed(folder, place):
    folder.rename(place)  # at once: a thread that writes may put a file into a folder that is removed file by file
    shutil.rmtree(place)


def exchanged(one, other):
    """Two folders have each other's names, at once: in a moment between, the run's folder would have disappeared."""
    at_here, exchange = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of Linux
    system = ctypes.CDLL(None, use_errno=True)
    if not hasattr(system, "renameat2"):
        pytest.skip("needs the renameat2 of Linux, which exchanges two folders at once")
    assert system.renameat2(at_here, os.fsencode(one), at_here, os.fsencode(other), exchange) == 0, os.strerror(ctypes.get_errno())


def replaced_by_another(folder, place):
    place.mkdir()
    for name in ("run.json", "history.jsonl"):
        shutil.copy(folder / name, place / name)
    exchanged(folder, place)


def emptied(folder, place):
    gone = place.with_name("gone")
    gone.mkdir()
    for path in sorted(folder.iterdir(), key=lambda path: {"run.json": 0, "lock": 1}.get(path.name, 2)):
        with contextlib.suppress(FileNotFoundError):  # one that was written beside and has its name by now
            path.rename(gone / path.name)


def cut_short(folder, place):
    history = folder / "history.jsonl"
    history.write_bytes(history.read_bytes().splitlines(keepends=True)[0])


VANISHING = {
    "removed": (removed, "has disappeared"),
    "moved": (moved, "has disappeared"),
    "replaced": (replaced_by_another, "another folder lies in the place of"),
    "emptied": (emptied, "were removed"),
    "history cut": (cut_short, "was changed by somebody else|are not the"),
}


@pytest.mark.parametrize("name", VANISHING)
def test_a_folder_that_disappears_while_its_run_is_trained_is_an_error_and_nothing_is_made_anew(tmp_path, name):
    make, words = VANISHING[name]
    runs, trained = tmp_path / "runs", list[int]()
    folder = runs / Run.of(**TINY, steps=60).id

    def watch(progress):
        trained.append(progress.step)
        if progress.step == 20 and trained.count(20) == 1:
            make(folder, tmp_path / "elsewhere")

    with pytest.raises(StoreError, match=words) as caught:
        train(Run.of(**TINY, steps=60), runs=runs, on_progress=watch)
    assert not isinstance(caught.value, InProgressError)
    assert trained == sorted(trained)  # it did not begin at step 0 once more
    if name in ("removed", "moved"):
        assert not folder.exists()
        assert folder.name in str(caught.value)
        assert re.search(r"at step [0-9]+ ", str(caught.value))
    if name == "moved":
        assert (tmp_path / "elsewhere" / "run.json").exists()


@pytest.mark.parametrize("name", VANISHING)
def test_a_folder_that_disappears_between_the_look_at_it_and_the_write_is_named_as_well(tmp_path, monkeypatch, name):
    make, words = VANISHING[name]
    run, append = Run.of(**TINY, steps=60), RunFolder.append

    def late(folder, row, **known):
        if row["step"] == 21:
            make(folder.path, tmp_path / "elsewhere")
        return append(folder, row, **known)

    monkeypatch.setattr(RunFolder, "append", late)
    with pytest.raises(StoreError, match=words) as caught:
        train(run, runs=tmp_path / "runs")
    assert not isinstance(caught.value, InProgressError)
    if name != "history cut":
        assert re.search(r"at step [0-9]+ ", str(caught.value))


def test_the_other_runs_of_a_batch_go_on_where_one_loses_its_folder(tmp_path):
    asked = [Run.of(**TINY, steps=60, seed=seed) for seed in range(3)]

    def watch(position, progress):
        if position == 1 and progress.step == 20 and progress.row is None:
            removed(tmp_path / asked[1].id, tmp_path / "elsewhere")

    outcomes = train_together(asked, runs=tmp_path, runs_per_batch=3, on_progress=watch)
    assert [outcome.steps for outcome in (outcomes[0], outcomes[2])] == [60, 60]
    assert "has disappeared" in str(outcomes[1])
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(run.id for run in (asked[0], asked[2]))
