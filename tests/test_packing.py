"""Which runs are trained together, by how many processes, and on which devices."""

import json
import subprocess
import sys
from functools import partial
from types import SimpleNamespace

import pytest
import torch

from groklab.config.options import Options
from groklab.config.run import Run
from groklab.config.sweep import sweep_of
from groklab.laboratory.runs import train
from groklab.workers import batches as packing
from groklab.workers import pool as workers
from groklab.workers.batches import Waiting, places, processes_on
from groklab.workers.cluster import Board, Cluster, _reason
from groklab.workers.processes import DEATHS, Crew
from groklab.workers.tally import Job, Order, Tally, finish, hear

TINY = {"operation": "addition", "modulus": 7, "width": 16, "layers": 1, "stop": "never", "checkpoints_per_decade": 0}


def jobs_of(**fields):
    return [Job(run) for run in sweep_of(**{**TINY, "steps": 10, **fields}).runs()]


def waiting(jobs, runs_per_batch, *, device="cpu", processes=2):
    return Waiting(jobs, runs_per_batch, device_of=lambda run: device, processes_on=lambda device: processes)


def told(batches):
    return [[(job.run.model.layers, job.run.seeds.seed) for job in batch] for batch in batches]


def taken(pile, place=None, now=0.0):
    found = []
    while batch := pile.take(place, now):
        found.append(batch)
    return found


# — batches —


def test_batches_are_of_one_shape_in_the_order_of_the_runs():
    jobs = [Job(Run.of(**{**TINY, "seed": seed, "layers": layers})) for seed in range(5) for layers in (1, 2)]
    pile = waiting(jobs, 3)
    expected = [[(1, 0), (1, 1), (1, 2)], [(2, 0), (2, 1), (2, 2)], [(1, 3), (1, 4)], [(2, 3), (2, 4)]]
    assert told(pile.batches()) == expected
    assert pile.batches_on() == {"cpu": 4}
    assert told(taken(pile)) == expected
    assert len(pile) == 0


@pytest.mark.parametrize(
    "fields",
    [
        {"seed": [0, 1], "weight_decay": [0.0, 1.0], "learning_rate": [1e-3, 1e-2]},
        {"operation": ["addition", "subtraction"]},
        {"interventions": ["weight_noise(std=0.1)", "weight_noise(std=0.2)"]},
    ],
)
def test_what_runs_may_differ_in(fields):
    assert len(waiting(jobs_of(**fields), 100).batches()) == 1


@pytest.mark.parametrize(
    "fields", [{"modulus": [7, 11]}, {"train_fraction": [0.3, 0.5]}, {"optimizer": ["adamw", "sgd"]}, {"width": [16, 32]}]
)
def test_what_runs_must_agree_in(fields):
    assert len(waiting(jobs_of(**fields), 100).batches()) == 2


def test_by_default_a_cpu_trains_one_run_at_a_time_and_gpus_have_even_shares():
    jobs = jobs_of(seed=range(10))
    assert [len(batch) for batch in waiting(jobs, "auto").batches()] == [1] * 10
    assert [len(batch) for batch in waiting(jobs, "auto", device="cuda", processes=1).batches()] == [10]
    pile = waiting(jobs, "auto", device="cuda", processes=3)
    assert [len(batch) for batch in pile.batches()] == [4, 4, 2]
    assert [len(batch) for batch in taken(pile, "cuda:2")] == [4, 4, 2]  # not shares of what is left


def test_who_is_busy_waits_and_who_was_left_behind_goes_first():
    jobs = jobs_of(seed=range(5))
    jobs[0].not_before = 100.0
    pile = waiting(jobs, 2)
    assert pile.take(None, 50.0) == [jobs[1], jobs[2]]
    pile.put([jobs[2]], first=True)
    assert pile.take(None, 50.0) == [jobs[2], jobs[3]]
    pile.put([jobs[2]])
    assert pile.take(None, 50.0) == [jobs[4], jobs[2]]
    assert pile.take(None, 50.0) == []
    assert pile.take(None, 101.0) == [jobs[0]]


def test_a_place_takes_what_is_of_its_device():
    jobs = [Job(Run.of(**TINY, steps=10, device=device)) for device in ("cpu", "cuda:1", "cuda", "mps")]
    pile = Waiting(jobs, "auto", device_of=lambda run: run.budget.device, processes_on=lambda device: 1)
    assert pile.take("cuda:0", 0.0) == [jobs[2]]
    assert pile.take("cuda:0", 0.0) == []
    assert pile.take("cuda:1", 0.0) == [jobs[1]]
    assert pile.take("mps", 0.0) == [jobs[3]]
    assert pile.take(None, 0.0) == [jobs[0]]


# — processes —


def test_processes_by_device():
    fake = partial(processes_on, cores=16, gpus=2)
    assert [fake(device) for device in ("cpu", "cuda", "cuda:1", "mps")] == [16, 2, 1, 1]
    assert [fake(device, workers=4) for device in ("cpu", "cuda", "mps")] == [4, 4, 4]


def test_places():
    fake = partial(places, cores=4, gpus=2)
    assert fake({"cpu": 3}) == ["cpu"] * 3
    assert fake({"cpu": 30}) == ["cpu"] * 4
    assert fake({"cuda": 30}) == ["cuda:0", "cuda:1"]
    assert fake({"cuda": 1}) == ["cuda:0"]
    assert fake({"mps": 30}) == ["mps"]
    assert fake({"cuda": 30}, workers=3) == ["cuda:0", "cuda:1", "cuda:0"]
    assert fake({"cpu": 9, "cuda:1": 2, "cuda": 9}) == ["cpu"] * 4 + ["cuda:1", "cuda:0", "cuda:1"]
    assert fake({}) == []


def test_runs_for_two_gpus_go_to_two_processes(tmp_path, monkeypatch):
    found = []

    class Recorded(Crew):
        def work(self, places):
            found.append((places, [len(self.waiting.take(place, 0.0)) for place in places], len(self.waiting)))

    monkeypatch.setattr(workers, "Crew", Recorded)
    monkeypatch.setattr(packing, "_gpus", lambda: 2)
    monkeypatch.setattr("groklab.training.engine.device_of", lambda run: "cuda")
    workers.train_all([job.run for job in jobs_of(seed=range(7))], Options(tmp_path))
    workers.train_all([job.run for job in jobs_of(seed=range(7))], Options(tmp_path, runs_per_batch=2))
    assert found == [(["cuda:0", "cuda:1"], [4, 3], 0), (["cuda:0", "cuda:1"], [2, 2], 3)]


def test_a_batch_in_this_process(tmp_path):
    seen = []
    runs = [job.run for job in jobs_of(seed=range(3), layers=[1, 2], steps=100)]
    tally = workers.train_all(
        runs, Options(tmp_path, workers=1, runs_per_batch=3), on_progress=lambda t: seen.append((t.count("running"), t.count("complete")))
    )
    assert tally.count("complete") == 6
    assert seen[0] == (0, 0)
    assert max(running for running, _ in seen) >= 2, "side by side; progress is told now and then only"
    assert seen[-1] == (0, 6)


@pytest.mark.parametrize("value", [0, -1, False, 1.5, "all"])
def test_a_wrong_number_is_found_before_anything_is_trained(tmp_path, value):
    with pytest.raises(ValueError, match="runs_per_batch: got"):
        workers.train_all([Run.of(**TINY, steps=5)], Options(tmp_path / "runs", runs_per_batch=value))
    assert not (tmp_path / "runs").exists()


# — what dies —


class _Dead:
    """A worker whose process has died."""

    exitcode = -9

    def __init__(self, jobs):
        self.jobs, self.place = dict(enumerate(jobs)), "cpu"
        self.process = self.connection = self

    def close(self):
        pass

    def join(self):
        pass


def test_of_a_batch_whose_processes_die_the_run_that_kills_them_is_found(tmp_path, monkeypatch):
    jobs = jobs_of(seed=range(8))
    order = Order(Tally(jobs), Options(tmp_path, runs_per_batch=8), [], lambda tally: None, lambda: False)
    crew = Crew(order, waiting(jobs, 8))
    monkeypatch.setattr(crew, "_hired", lambda place: None)
    sizes, deadly = [], jobs[5]
    while batch := crew.waiting.take("cpu", 0.0):
        sizes.append(len(batch))
        if deadly in batch:
            dead = _Dead(batch)
            crew.workers = [dead]
            crew._bury(dead)
        else:
            for job in batch:
                job.status = "complete"
    assert [job.status for job in jobs] == ["complete"] * 5 + ["failed"] + ["complete"] * 2
    assert "processes died while they trained it, the last one by signal 9" in deadly.message
    assert sizes == [8, 8, 4, 4, 2, 1, 1, 2]  # once more together, then in halves
    assert deadly.deaths == 5
    assert all(job.deaths <= deadly.deaths - 1 for job in jobs if job is not deadly)


class _Ending(_Dead):
    """A worker that still has something to say when it is told to end."""

    def __init__(self, jobs, *words):
        super().__init__(jobs)
        self.words, self.told = list(words), []

    def send(self, words):
        self.told.append(words)

    def poll(self, patience=0.0):
        return bool(self.words)

    def recv(self):
        return self.words.pop(0)

    def is_alive(self):
        return bool(self.words)

    def join(self, patience=None):
        pass


def test_what_workers_say_while_they_end_is_heard(tmp_path):
    jobs = jobs_of(seed=range(3))
    for job in jobs:
        job.status = "running"
    train(jobs[0].run, runs=tmp_path)
    crew = Crew(Order(Tally(jobs), Options(tmp_path, runs_per_batch=1), [], lambda tally: None, lambda: False), waiting([], 1))
    crew.workers = [_Ending(jobs, ("ended", 0), ("failed", 1, "no space"), ("at", 2, 7, None))]
    crew._dismiss(patience=60)
    assert [(job.status, job.message) for job in jobs] == [("complete", ""), ("failed", "no space"), ("waiting", "")]
    assert jobs[2].step == 7


def test_results_that_can_no_longer_be_read_fail_one_run_alone(tmp_path):
    (job,) = jobs_of()
    (train(job.run, runs=tmp_path).folder.path / "history.jsonl").write_text("{}\n", encoding="utf-8")
    hear(Tally([job]), job, tmp_path, "ended")
    assert job.status == "failed"
    assert "history.jsonl is damaged" in job.message


def test_a_run_that_has_generalized_counts_as_that_whatever_its_last_evaluation():
    from groklab.display.sweep import counts_of

    jobs = jobs_of(seed=range(3))
    for job, accuracies in zip(jobs, ([0.1, 1.0, 0.9], [0.1, 0.2, 0.9], [0.1, 0.2, 1.0]), strict=True):
        rows = [
            {"step": step, "train_accuracy": 1.0, "validation_accuracy": accuracy, "train_loss": 0.0, "validation_loss": 1.0}
            for step, accuracy in enumerate(accuracies)
        ]
        finish(job, SimpleNamespace(rows=rows, steps=10, status="complete"))
    assert counts_of(Tally(jobs)) == ["3 of 3 done", "2 generalized"]


def test_of_a_batch_whose_task_fails_on_a_cluster_the_halves_are_tried(tmp_path):
    jobs = jobs_of(seed=range(3))
    cluster = Cluster(Order(Tally(jobs), Options(tmp_path, runs_per_batch=3), [], lambda tally: None, lambda: False))
    assert cluster._ends_of_failed(jobs, "out of memory") == {}
    pile = waiting(jobs, 3)
    assert [len(batch) for batch in taken(pile)] == [2, 1]
    assert cluster._ends_of_failed(jobs[:1], "out of memory") == {0: ("failed", "out of memory")}


def test_why_a_task_failed_is_told_by_its_own_error_and_deaths_are_counted_where_it_died():
    exceptions = pytest.importorskip("ray.exceptions")
    ray = SimpleNamespace(exceptions=exceptions)
    error = exceptions.RayTaskError("train_task", "\x1b[36mray::train_task()\x1b[39m\nlines", ValueError("no such file: my_lab.py"))
    for raised in (error, error.as_instanceof_cause()):
        assert _reason(ray, raised) == "its task failed on the cluster: ValueError: no such file: my_lab.py"
    died = exceptions.WorkerCrashedError()
    assert _reason(ray, died).startswith(f"its task died {DEATHS} times on the cluster: The worker died unexpectedly")


def test_the_board_tells_ends_once():
    board = Board()
    board.end("a", "failed", "why")
    board.end("b", "ended")
    assert board.all_ends() == {"a": ("failed", "why"), "b": ("ended", "")}
    assert board.all_ends() == {}


# — from the command line —

FLAGS = ["--modulus", "7", "--width", "16", "--stop", "never", "--operation", "addition"]


def groklab(*words):
    return subprocess.run([sys.executable, "-m", "groklab", *words], capture_output=True, text=True, timeout=300, encoding="utf-8")


@pytest.mark.medium
def test_a_dry_run_tells_the_batches(tmp_path):
    flags = ["sweep", *FLAGS, "--layers", "1", "2", "--seed", "0", "1", "2", "3", "--steps", "50", "--runs", str(tmp_path), "--dry-run"]
    flags += ["--workers", "2", "--device", "cpu"]
    assert "2 processes of one thread, a run at a time each\n" in groklab(*flags).stdout
    assert "2 processes of one thread, up to 3 runs at a time each: 4 batches\n" in groklab(*flags, "--runs-per-batch", "3").stdout
    found = json.loads(groklab(*flags, "--runs-per-batch", "4", "--json").stdout)
    assert (found["workers"], found["batches"], found["runs_per_batch"], found["places"]) == (2, 2, 4, ["cpu", "cpu"])
    assert not list(tmp_path.iterdir())


@pytest.mark.medium
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("0", "runs_per_batch: got 0; expected auto or a whole number"),
        ("some", "--runs-per-batch: got 'some'; expected a whole number or auto"),
    ],
)
def test_bad_values(tmp_path, value, expected):
    for more in ([], ["--dry-run"]):
        done = groklab("sweep", *FLAGS, "--steps", "5", "--runs", str(tmp_path / "runs"), "--runs-per-batch", value, *more)
        assert done.returncode == 2
        assert expected in done.stderr
    assert not (tmp_path / "runs").exists()


@pytest.mark.medium
def test_a_measure_that_kills_the_process_of_a_batch(tmp_path):
    plugin = tmp_path / "deadly.py"
    plugin.write_text(
        "import os\nfrom groklab import measure\n\n@measure()\ndef deadly(parameters, task):\n"
        '    """End the process at the last step of seed 1 (my own)."""\n'
        "    if task.run.seeds.seed == 1 and task.step:\n        os._exit(9)\n    return 0.0\n",
        encoding="utf-8",
    )
    flags = [*FLAGS, "--layers", "1", "--steps", "50", "--seed", "0", "1", "2", "--plugin", str(plugin), "--measures", "deadly"]
    flags += ["--runs", str(tmp_path / "runs"), "--json", "--workers", "2", "--runs-per-batch", "2"]
    found = json.loads(groklab("sweep", *flags).stdout)
    assert [run["status"] for run in found["runs"]] == ["complete", "failed", "complete"]
    assert "processes died" in found["runs"][1]["message"]


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices")
def test_two_gpus_share_a_sweep(tmp_path):
    runs = [job.run.replace(device="cuda") for job in jobs_of(seed=range(4), steps=50)]
    assert workers.train_all(runs, Options(tmp_path)).count("complete") == 4
