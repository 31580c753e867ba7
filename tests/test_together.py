"""Many runs asked for at once: trained side by side, each as if alone, whatever happens to one of them."""

import os
import signal
import subprocess
import sys
import time
from functools import partial

import pytest
import torch

import groklab.laboratory.runs as laboratory
from groklab.config.checks import RunError
from groklab.config.run import Run
from groklab.laboratory.runs import Interrupted, train, train_together
from groklab.results.lock import InProgressError, Lock
from groklab.results.store import RunFolder
from groklab.stored.run import StoredRun
from groklab.training import engine

TINY = {"operation": "addition", "modulus": 7, "width": 16, "layers": 1, "norm": "none", "stop": "never"}
WILD = {"learning_rate": 1e30, "warmup": 0}


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """Waiting for the disk and checking shapes take most of the time of runs as small as these, and are tested elsewhere."""
    monkeypatch.setattr("groklab.results.files.os.fsync", lambda descriptor: None)
    monkeypatch.setattr("jaxtyping.config.jaxtyping_disable", True)


def tiny(seed, **fields):
    return Run.of(**{**TINY, "steps": 60, "seed": seed, **fields})


def without_time(rows):
    return [{name: value for name, value in row.items() if name != "wall_time"} for row in rows]


def contents(run):
    """History and last parameters."""
    _, parameters = run.folder.read_step("checkpoints")
    return without_time(run.rows), {name: value.tobytes() for name, value in parameters.items()}


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """What a run gives that is trained by itself."""
    root, found = tmp_path_factory.mktemp("alone"), {}

    def contents_alone(run):
        if run not in found:
            found[run] = contents(train(run, runs=root / str(run.budget.steps)))
        return found[run]

    return contents_alone


def test_histories_are_those_of_runs_trained_alone(tmp_path, alone):
    runs = [tiny(seed, steps=40 + 10 * seed) for seed in range(3)] + [tiny(3, layers=2)]
    ended, told = [], {k: [] for k in range(4)}
    outcomes = train_together(
        runs,
        runs=tmp_path,
        runs_per_batch=3,
        on_progress=lambda k, progress: told[k].append((progress.run, progress.step)),
        on_end=lambda k, outcome: ended.append((k, outcome)),
    )
    assert [outcome.id for outcome in outcomes] == [run.id for run in runs]
    assert [contents(outcome) for outcome in outcomes] == [alone(run) for run in runs]
    assert all(outcome.folder.status() == "complete" for outcome in outcomes)
    assert ended == list(enumerate(outcomes))  # those that have fewer steps first, and the other shape after all of these
    assert all({run for run, _ in told[k]} == {runs[k]} and told[k][-1][1] == runs[k].budget.steps for k in told)
    assert not list(tmp_path.glob("*/lock"))


def test_runs_advance_side_by_side(tmp_path):
    steps = []
    train_together([tiny(seed) for seed in range(3)], runs=tmp_path, runs_per_batch=2, on_progress=lambda k, p: steps.append((k, p.step)))
    assert [k for k, step in steps if step == 31] == [0, 1, 2]
    assert steps.index((1, 1)) < steps.index((0, 60)) < steps.index((2, 0))


def test_what_is_stored_busy_wrong_or_wild_does_not_stop_the_others(tmp_path, alone):
    stored, busy, wild, good = tiny(0), tiny(1), tiny(2, **WILD), tiny(3)
    train(stored, runs=tmp_path)
    before = (tmp_path / stored.id / "run.json").read_bytes()
    (tmp_path / busy.id).mkdir()
    with Lock(tmp_path / busy.id):
        outcomes = train_together(
            [stored, busy, wild, good, good.replace(modulus=-1)], runs=tmp_path, runs_per_batch=5, on_progress=lambda *_: None
        )
    assert contents(outcomes[0]) == alone(stored)
    assert (tmp_path / stored.id / "run.json").read_bytes() == before
    assert isinstance(outcomes[1], InProgressError)
    assert not (tmp_path / busy.id / "run.json").exists()
    assert outcomes[2].status == "diverged"
    assert "loss is not finite" in outcomes[2].folder.description()["message"]
    assert contents(outcomes[3]) == alone(good)
    assert isinstance(outcomes[4], RunError)


def test_a_run_that_another_process_completes_meanwhile_is_taken(tmp_path, monkeypatch):
    runs = [tiny(seed) for seed in range(2)]
    real, looked = laboratory._stored, []

    def stored(folder, asked):
        looked.append(1)
        found = real(folder, asked)
        if len(looked) == 2:  # both were looked for and not found
            monkeypatch.setattr(laboratory, "_stored", real)
            train(runs[1], runs=tmp_path)
        return found

    monkeypatch.setattr(laboratory, "_stored", stored)
    outcomes = train_together(runs, runs=tmp_path, runs_per_batch=2)
    assert all(outcome.status == "complete" for outcome in outcomes)
    assert len(outcomes[1].folder.description()["segments"]) == 1


def test_runs_that_stand_at_different_steps_go_on(tmp_path, alone):
    runs = [tiny(seed) for seed in range(3)]
    train(runs[1].replace(steps=25), runs=tmp_path)
    outcomes = train_together(runs, runs=tmp_path, runs_per_batch=3)
    assert [contents(outcome) for outcome in outcomes] == [alone(run) for run in runs]
    assert [s["from_step"] for s in outcomes[1].folder.description()["segments"]] == [0, 25]


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("after", [150, 151, 152])
def test_a_stop_saves_all_at_one_step(tmp_path, monkeypatch, alone, shared, after):
    """``shared``: as on a GPU, where the runs of a batch share every call."""
    monkeypatch.setattr(engine, "train", partial(engine.train, together=shared))
    runs, asked = [tiny(seed, steps=80) for seed in range(3)], []
    outcomes = train_together(runs, runs=tmp_path, runs_per_batch=3, should_stop=lambda: asked.append(1) or len(asked) > after)
    assert all(isinstance(outcome, Interrupted) for outcome in outcomes)
    assert len({outcome.step for outcome in outcomes}) == 1
    assert all(outcome.run.folder.state()[0] == outcome.step > 30 for outcome in outcomes)
    assert all(outcome.run.folder.status() == "interrupted" for outcome in outcomes)
    assert not list(tmp_path.glob("*/lock"))
    again = train_together(runs, runs=tmp_path, runs_per_batch=3)
    if not shared:
        assert [contents(outcome) for outcome in again] == [alone(run) for run in runs]
    for outcome, run in zip(again, runs, strict=True):
        rows, expected = without_time(outcome.rows), alone(run)[0]
        assert [row["step"] for row in rows] == [row["step"] for row in expected]
        assert rows[10]["train_loss"] == pytest.approx(expected[10]["train_loss"], rel=1e-4)


def test_a_stop_leaves_those_that_wait_for_their_turn_where_they_are(tmp_path):
    ahead, behind, other = tiny(0), tiny(1), tiny(2, layers=2)
    train(ahead.replace(steps=25), runs=tmp_path)
    seen = []
    outcomes = train_together(
        [behind, ahead, other], runs=tmp_path, runs_per_batch=3, on_progress=lambda k, p: seen.append(p.step), should_stop=lambda: 9 in seen
    )
    assert [outcome.step for outcome in outcomes[:2]] == [9, 25]
    assert type(outcomes[2]) is KeyboardInterrupt  # its batch was not begun
    assert not (tmp_path / other.id).exists()
    assert all(outcome.status == "complete" for outcome in train_together([behind, ahead, other], runs=tmp_path, runs_per_batch=3))


def test_a_stop_at_the_last_step_of_one_is_too_late_for_it(tmp_path, alone):
    runs = [tiny(0, steps=30), tiny(1)]
    seen = []
    outcomes = train_together(
        runs, runs=tmp_path, runs_per_batch=2, on_progress=lambda k, p: seen.append((k, p.step)), should_stop=lambda: (0, 30) in seen
    )
    assert contents(outcomes[0]) == alone(runs[0])
    assert isinstance(outcomes[1], Interrupted)


class Killed(BaseException):
    """Stands for kill -9: nothing that follows is written."""


@pytest.mark.parametrize("call", [1, 2, 3, pytest.param(40, marks=pytest.mark.medium), pytest.param(41, marks=pytest.mark.medium)])
@pytest.mark.parametrize("name", ["write_state", "append"])
def test_a_batch_killed_anywhere_goes_on_to_the_same_histories(tmp_path, monkeypatch, alone, name, call):
    runs, calls, original = [tiny(seed) for seed in range(3)], [], getattr(RunFolder, name)

    def killed(self, *given, **named):
        calls.append(1)
        if len(calls) >= call:
            raise Killed
        return original(self, *given, **named)

    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, name, killed)
        patch.setattr(laboratory, "STATE_INTERVAL", 0)
        patch.setattr(laboratory, "SAVING_PAUSE", 0)
        with pytest.raises(Killed):
            train_together(runs, runs=tmp_path, runs_per_batch=3)
    stood = [state[0] for run in runs if (state := RunFolder(tmp_path / run.id).state()) is not None]
    assert max(stood, default=0) - min(stood, default=0) <= 1
    assert len(calls) >= call
    outcomes = train_together(runs, runs=tmp_path, runs_per_batch=3)
    assert [contents(outcome) for outcome in outcomes] == [alone(run) for run in runs]


def test_states_are_saved_at_the_same_steps(tmp_path, monkeypatch):
    saved, original = [], RunFolder.write_state

    def write_state(self, step, arrays):
        saved.append((step, self.id))
        time.sleep(0.002)
        return original(self, step, arrays)

    monkeypatch.setattr(RunFolder, "write_state", write_state)
    monkeypatch.setattr(laboratory, "STATE_INTERVAL", 0.01)
    monkeypatch.setattr(laboratory, "SAVING_PAUSE", 1)
    runs = [tiny(seed, steps=150) for seed in range(3)]
    train_together(runs, runs=tmp_path, runs_per_batch=3, keep_state=False)
    assert len(saved) >= 6
    assert saved == [(step, run.id) for step in sorted({step for step, _ in saved}) for run in runs]


@pytest.mark.medium
def test_a_computation_that_fails_for_one_run_fails_for_it_alone(tmp_path, monkeypatch, alone):
    """Which of them it is the engine does not say; that is found by halves."""
    original = engine.evaluation

    def evaluation(run, table, split, answers, step):
        if run.seeds.seed == 2 and step > 20:
            raise ArithmeticError("this one is not to be evaluated")
        return original(run, table, split, answers, step)

    runs = [tiny(seed) for seed in range(5)]
    with monkeypatch.context() as patch:
        patch.setattr(engine, "evaluation", evaluation)
        outcomes = train_together(runs, runs=tmp_path, runs_per_batch=5)
    assert isinstance(outcomes[2], ArithmeticError)
    for k in (0, 1, 3, 4):
        assert contents(outcomes[k]) == alone(runs[k])
    assert not list(tmp_path.glob("*/lock"))
    assert contents(train(runs[2], runs=tmp_path)) == alone(runs[2])


def test_a_run_that_cannot_be_written_fails_alone_and_is_not_computed_further(tmp_path, monkeypatch, alone):
    runs, updates = [tiny(seed) for seed in range(3)], []
    append, update = RunFolder.append, engine.Batch.update

    def full(self, row, **named):
        if self.id == runs[1].id and row["step"] > 5:
            raise OSError(28, "No space left on device")
        return append(self, row, **named)

    def counted(self):
        updates.append(self.runs[0].id)
        return update(self)

    monkeypatch.setattr(RunFolder, "append", full)
    monkeypatch.setattr(engine.Batch, "update", counted)
    outcomes = train_together(runs, runs=tmp_path, runs_per_batch=3, on_progress=lambda *_: time.sleep(0.001))
    assert isinstance(outcomes[1], OSError)
    assert [contents(outcomes[k]) for k in (0, 2)] == [alone(runs[0]), alone(runs[2])]
    assert updates.count(runs[0].id) == 60
    assert updates.count(runs[1].id) < 50
    assert not list(tmp_path.glob("*/lock"))


@pytest.mark.parametrize("value", [0, -3, True, 2.0, "all", None])
def test_a_wrong_number_of_runs_per_batch_is_named(tmp_path, value):
    kind = ValueError if type(value) is int else TypeError
    with pytest.raises(kind, match=rf"runs_per_batch: got {value!r}; expected (auto or )?a whole number"):
        train_together([tiny(0)], runs=tmp_path / "runs", runs_per_batch=value)
    assert not (tmp_path / "runs").exists()


COMMAND = "import sys, groklab.laboratory.runs as l; l.STATE_INTERVAL = 0.1; l.SAVING_PAUSE = 0; from groklab.cli import main; sys.exit(main(sys.argv[1:]))"


@pytest.mark.slow
@pytest.mark.parametrize(("workers", "size"), [("1", "3"), ("2", "2")])
def test_processes_that_train_batches_killed_twice(tmp_path, alone, workers, size):
    runs = [tiny(seed, steps=3000, checkpoints_per_decade=0) for seed in range(3)]
    flags = [word for name, value in TINY.items() for word in (f"--{name}", str(value))]
    flags += ["--seed", "0", "1", "2", "--steps", "3000", "--runs-per-batch", size, "--workers", workers, "--runs", str(tmp_path)]
    words = [sys.executable, "-c", COMMAND, "sweep", *flags]
    for lines in (20, 45):
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        end = time.monotonic() + 300
        while not all((tmp_path / r.id / "history.jsonl").exists() for r in runs) or any(
            (tmp_path / r.id / "history.jsonl").read_bytes().count(b"\n") < lines for r in runs
        ):
            assert time.monotonic() < end, "it did not happen in time"
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        # The last of the group may still be dying, and on a slow machine a run may have been complete before.
        while not {RunFolder(tmp_path / run.id).status() for run in runs} <= {"interrupted", "complete"}:
            assert time.monotonic() < end, "it did not happen in time"
            time.sleep(0.01)
    assert subprocess.run(words, capture_output=True, timeout=300).returncode == 0
    assert [contents(StoredRun(RunFolder(tmp_path / run.id), run)) for run in runs] == [alone(run) for run in runs]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu_a_batch_is_as_large_as_the_memory_holds(tmp_path, alone):
    runs = [tiny(seed, device="cuda") for seed in range(4)]
    outcomes = train_together(runs, runs=tmp_path)
    for outcome, run in zip(outcomes, runs, strict=True):
        rows, expected = without_time(outcome.rows), alone(run.replace(device="cpu"))[0]
        assert rows[10]["train_loss"] == pytest.approx(expected[10]["train_loss"], rel=1e-3)
    began = [RunFolder(tmp_path / run.id).rows()[1]["wall_time"] for run in runs]
    assert max(began) < min(outcome.folder.rows()[-1]["wall_time"] for outcome in outcomes)
