"""Files of arrays in a results folder: of another table or network, or larger than the run can need, they are one clear error."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import groklab as gl
from groklab import cli
from groklab.results.answers import read_answers
from groklab.results.files import DamagedError, InaccessibleError, read_arrays, write_arrays
from groklab.results.sizes import checkpoint_limit, state_limit
from groklab.results.store import RunFolder

NET = ["--operation", "addition", "--modulus", "7", "--width", "8", "--heads", "1", "--layers", "1", "--steps", "5", "--no-figures"]


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    path = tmp_path_factory.mktemp("kept") / "runs"
    assert cli.main(["train", *NET, "--runs", str(path), "--seed", "0"]) == 0
    assert cli.main(["train", *NET, "--runs", str(path), "--seed", "1"]) == 0
    return path


@pytest.fixture
def runs(kept, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(kept, "runs")
    return Path("runs")


def victim(runs):
    return next(path for path in runs.iterdir() if "-s0-" in path.name)


def last(folder, kind):
    return sorted((folder / kind).glob("*.safetensors"))[-1]


def answers(cells=49, element=0, dtype=np.uint16, chance=np.uint16):
    return {"answer": np.full(cells, element, dtype), "probability": np.zeros(cells, chance)}


WRONG_ANSWERS = {
    "too few": (answers(48), "answer is for 48 cells, and the table has 49"),
    "too many": (answers(50), "answer is for 50 cells, and the table has 49"),
    "no element": (answers(element=7), "it answers with element 7, and the table has 7"),
    "far away": (answers(element=65535), "element 65,535"),
    "decimals": (answers(dtype=np.float32), "answer is of the type float32"),
    "signed": (answers(element=-1, dtype=np.int16), "answer is of the type int16"),
    "not a number": (answers(chance=np.float32) | {"probability": np.full(49, np.nan, np.float32)}, "probability is of the type float32"),
    "a square": ({name: array.reshape(7, 7) for name, array in answers().items()}, "answer is for 7 × 7 cells"),
    "one number": ({"answer": np.array(1, np.uint16), "probability": np.array(1, np.uint16)}, "answer is for 1 cells"),
    "no answer": ({"probability": np.zeros(49, np.uint16)}, "it holds no answer of the cells"),
    "no probability": ({"answer": np.zeros(49, np.uint16)}, "it holds no probability of the cells"),
    "nothing": ({}, "it holds no answer of the cells"),
}


@pytest.mark.parametrize("what", WRONG_ANSWERS)
def test_answers_that_do_not_fit_the_table_are_named(runs, what):
    arrays, told = WRONG_ANSWERS[what]
    folder = victim(runs)
    write_arrays(last(folder, "answers"), arrays)
    with pytest.raises(DamagedError, match="is damaged") as wrong:
        gl.load(folder.name).answers()
    assert told in str(wrong.value)
    assert last(folder, "answers").name in str(wrong.value)


def test_answers_that_fit_are_read(runs):
    arrays = answers(element=6) | {"probability": np.full(49, 65535, np.uint16)}
    write_arrays(last(victim(runs), "answers"), arrays)
    _, answer, probability = read_answers(RunFolder(victim(runs)), None, cells=49, elements=7)
    assert answer.tolist() == [6] * 49
    assert probability.tolist() == [1.0] * 49


VERBS = {
    "figure": ["figure", "operation_table", "{id}", "--output", "a.png"],
    "film": ["figure", "film", "{id}", "--output", "a.gif"],
    "plot": ["figure", "embedding_projection", "{id}", "--output", "b.png"],
    "measure": ["measure", "weight_norm", "{id}", "--into", "into"],
    "export": ["export", "{id}", "--to", "safetensors", "--output", "c.safetensors"],
    "cells": ["export", "{id}", "--to", "transformer_lens", "--output", "d.safetensors"],
}


def complaint(words, name, capsys):
    status = cli.main([word.replace("{id}", name) for word in words])
    return status, capsys.readouterr().err


@pytest.mark.medium
@pytest.mark.parametrize("verb", ["figure", "film"])
def test_verbs_name_answers_of_another_table_and_take_the_other_run(runs, verb, capsys):
    folder = victim(runs)
    write_arrays(last(folder, "answers"), answers(48))
    status, told = complaint(VERBS[verb], folder.name, capsys)
    assert status == 1
    assert "48 cells, and the table has 49" in told
    assert told.count("\n") < 4
    other = next(path.name for path in runs.iterdir() if path != folder)
    assert complaint(VERBS[verb], other, capsys)[0] == 0
    assert cli.main(["show", folder.name]) == 0  # whose curves are as they were


WRONG_CHECKPOINTS = {
    "one less": lambda arrays: arrays | {"output": arrays["output"][:-1]},
    "turned": lambda arrays: arrays | {"output": np.ascontiguousarray(arrays["output"].T)},
    "flat": lambda arrays: arrays | {"output": arrays["output"].ravel()},
    "without numbers": lambda arrays: arrays | {"output": np.zeros((0, 8), np.float32)},
    "left out": lambda arrays: {name: array for name, array in arrays.items() if name != "output"},
    "another": lambda arrays: arrays | {"strange": np.zeros(3, np.float32)},
    "yes or no": lambda arrays: arrays | {"output": arrays["output"] > 0},
    "empty": lambda arrays: {},
}


@pytest.mark.parametrize("what", WRONG_CHECKPOINTS)
def test_checkpoints_that_do_not_fit_the_network_are_named(runs, what, capsys):
    folder = victim(runs)
    path = last(folder, "checkpoints")
    write_arrays(path, WRONG_CHECKPOINTS[what](read_arrays(path)[0]))
    for verb in ("measure", "export"):
        status, told = complaint(VERBS[verb], folder.name, capsys)
        assert status in (1, 2)
        assert "of another network" in told
        assert folder.name in told
        assert told.count("\n") < 4
        assert not any(word in told for word in ("Traceback", "dtype", "broadcast", "IndexError"))


def test_a_state_of_another_network_stops_the_run_and_changes_nothing(runs, capsys):
    folder = victim(runs)
    arrays, facts = read_arrays(folder / "state.safetensors")
    for name, change in (
        ("parameters/output", lambda array: array[:-1]),
        ("first_moment/output", lambda array: array[:, :-1]),
        ("second_moment/output", lambda array: array > 0),
    ):
        write_arrays(folder / "state.safetensors", arrays | {name: np.ascontiguousarray(change(arrays[name]))}, facts)
        before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        assert cli.main(["continue", folder.name, "--steps", "8", "--no-figures"]) == 1
        told = capsys.readouterr().err
        assert "state.safetensors is damaged" in told
        assert f"{name.partition('/')[0]}: these parameters are of another network" in told
        assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != "lock"} == before


def sparse(path, gigabytes=3):
    """A file of arrays as large as asked for, of which the header alone lies on the disk."""
    header = json.dumps({"output": {"dtype": "F32", "shape": [gigabytes << 28], "data_offsets": [0, gigabytes << 30]}}).encode()
    path.unlink()
    with open(path, "wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + (gigabytes << 30))


@pytest.mark.parametrize(("kind", "read"), [("checkpoints", "model"), ("answers", "answers")])
def test_a_file_larger_than_the_run_can_need_is_not_read(runs, kind, read):
    folder = victim(runs)
    sparse(last(folder, kind))
    with pytest.raises(InaccessibleError, match=r"has 3,221,\d{3},\d{3} bytes; at most [\d,]+ are read"):
        getattr(gl.load(folder.name), read)()


def test_a_state_larger_than_the_run_can_need_is_not_read(runs, capsys):
    folder = victim(runs)
    sparse(folder / "state.safetensors")
    with pytest.raises(InaccessibleError, match=r"has 3,221,\d{3},\d{3} bytes; at most [\d,]+ are read"):
        RunFolder(folder).state()


@pytest.mark.parametrize(
    "interventions", [(), ("grokfast_ma",), ("grokfast_ma(window=2000)",), ("grokfast_ema", "grokfast_ma(window=300)")]
)
def test_every_state_that_training_writes_is_within_its_bound(interventions):
    run = gl.Run.of(operation="addition", modulus=7, interventions=interventions)
    remembered = {"grokfast_ma": 100, "grokfast_ma(window=2000)": 2000, "grokfast_ema": 1, "grokfast_ma(window=300)": 300}
    total = 50_000_000
    described = {"run": run.to_dict(), "parameters": {"total": total}}
    numbers = 3 + sum(remembered[name] for name in interventions)
    assert min(16 << 30, 8 * total * numbers) <= state_limit(described)
    assert 8 * total <= checkpoint_limit(described) < 100 * total


def test_without_a_description_there_is_a_bound_all_the_same():
    assert checkpoint_limit(None) == state_limit(None) == 1 << 30
    assert checkpoint_limit({"run": {}, "parameters": {}}) == 1 << 30
    assert state_limit({"run": {"training": 5}, "parameters": {"total": 10**18}}) == 16 << 30
