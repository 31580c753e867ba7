"""Real processes: killed, stopped by signals, waiting for one another; the history never shows it."""

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from groklab.results.finding import folders
from groklab.stored.run import load

RUN = ["--operation", "addition", "--modulus", "7", "--width", "16", "--layers", "1", "--stop", "never", "--no-figures"]
#: The command line with a state saved many times a second, so that kills fall between states, into one and beside it.
COMMAND = "import sys, groklab.laboratory.runs as l; l.STATE_INTERVAL = {interval}; l.SAVING_PAUSE = 0; from groklab.cli import main; sys.exit(main(sys.argv[1:]))"


def start(runs, *flags, verb="train", interval=0.05):
    words = [sys.executable, "-W", "error", "-c", COMMAND.format(interval=interval), verb, *flags, "--runs", str(runs)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8")


def finished(process, *, status=0):
    out, err = process.communicate(timeout=300)
    assert process.returncode == status, err
    return out, err


def wait_for_history(runs, *, lines=1):
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        found = list(Path(runs).glob("*/history.jsonl"))
        if found and found[0].read_bytes().count(b"\n") >= lines:
            return
        time.sleep(0.005)
    raise AssertionError("no history within five minutes")


def comparable(runs):
    (folder,) = folders(runs)
    run = load("latest", runs=runs)
    assert run.status == folder.status() == "complete"
    rows = [{name: value for name, value in row.items() if name != "wall_time"} for row in run.rows]
    _, parameters = folder.read_step("checkpoints")
    return rows, {name: value.tobytes() for name, value in parameters.items()}, folder.steps_of("answers")


def killed_and_continued(tmp_path, *, kills, steps):
    """The history of a run killed at random moments, and that of an undisturbed one."""
    flags = [*RUN, "--steps", str(steps)]
    undisturbed = start(tmp_path / "whole", *flags)
    chance = random.Random(7)
    for kill in range(kills):
        process = start(tmp_path / "killed", *flags)
        wait_for_history(tmp_path / "killed", lines=1 if kill == 0 else 2)
        time.sleep(chance.uniform(0, 1.5) if kill else chance.uniform(0, 0.3))
        process.kill()
        process.communicate()
        assert load("latest", runs=tmp_path / "killed").status in ("interrupted", "complete")
    finished(start(tmp_path / "killed", *flags))
    finished(undisturbed)
    return comparable(tmp_path / "killed"), comparable(tmp_path / "whole")


@pytest.mark.medium
def test_a_run_killed_twice_has_the_history_of_an_undisturbed_one(tmp_path):
    killed, whole = killed_and_continued(tmp_path, kills=2, steps=600)
    assert killed == whole


@pytest.mark.slow
def test_a_run_killed_ten_times_has_the_history_of_an_undisturbed_one(tmp_path):
    killed, whole = killed_and_continued(tmp_path, kills=10, steps=6000)
    assert killed == whole


@pytest.mark.medium
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_after_the_step_and_says_how_to_go_on(tmp_path, number):
    runs = tmp_path / "runs"
    process = start(runs, *RUN, "--steps", "1000000", interval=1000)
    wait_for_history(runs, lines=5)
    process.send_signal(number)
    out, _ = finished(process, status=130)
    run = load("latest", runs=runs)
    steps = run.steps
    assert run.status == run.folder.status() == "interrupted"
    assert not (run.folder.path / "lock").exists()
    assert f"stopped after step {steps:,}; saved. Go on with: groklab continue {run.id} --runs {runs}" in out
    assert run.folder.state()[0] == steps
    out, _ = finished(start(runs, run.id, "--steps", str(steps + 5), "--json", "--no-figures", verb="continue"))
    assert json.loads(out)["status"] == "complete"
    finished(start(tmp_path / "whole", *RUN, "--steps", str(steps + 5)))
    assert comparable(runs)[:2] == comparable(tmp_path / "whole")[:2]


@pytest.mark.medium
def test_a_second_process_waits_and_gives_the_same_result(tmp_path):
    flags = [*RUN, "--steps", "20000", "--json"]
    first = start(tmp_path, *flags)
    wait_for_history(tmp_path)
    second = start(tmp_path, *flags)
    out, _ = finished(first)
    other, told = finished(second)
    assert json.loads(out) == json.loads(other)
    assert f"is being trained by process {first.pid} on this machine. Waiting for it." in told
    assert len(load("latest", runs=tmp_path).folder.description()["segments"]) == 1


@pytest.mark.medium
def test_who_waits_can_be_interrupted(tmp_path):
    first = start(tmp_path, *RUN, "--steps", "1000000")
    wait_for_history(tmp_path)
    second = start(tmp_path, *RUN, "--steps", "1000000")
    while "Waiting for it" not in second.stderr.readline():
        pass
    second.send_signal(signal.SIGINT)
    _, told = finished(second, status=130)
    assert told.strip().endswith("groklab: stopped.")
    first.kill()
    first.communicate()
