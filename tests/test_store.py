"""The results folder: written whole, read with care, damaged files named."""

import json
import math
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

import groklab.results.files as files
from groklab.analysis.tables import runs_table
from groklab.config.run import Run
from groklab.laboratory.runs import train
from groklab.results.answers import packed_answers, unpacked_answers
from groklab.results.files import DamagedError, StoreError, read_arrays, write_arrays, write_json, write_whole
from groklab.results.finding import UnknownRunError, empty_folders, find, folders
from groklab.results.store import RunFolder
from groklab.results.tables import history_table, write_table
from groklab.stored.run import load

TINY = {"operation": "addition", "modulus": 5, "width": 8, "layers": 1, "mlp_width": 8, "steps": 12}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A results folder with one complete run; not to be changed."""
    root = tmp_path_factory.mktemp("trained")
    train(runs=root, **TINY)
    return root


@pytest.fixture
def run(trained, tmp_path):
    """A copy of that run which may be damaged."""
    shutil.copytree(trained, tmp_path / "runs")
    return folders(tmp_path / "runs")[0]


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """Waiting for the disk and checking shapes take most of the time of runs as small as these, and are tested elsewhere."""
    monkeypatch.setattr("groklab.results.files.os.fsync", lambda descriptor: None)
    monkeypatch.setattr("jaxtyping.config.jaxtyping_disable", True)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def again(run: RunFolder, **fields):
    return train(runs=run.path.parent, **{**TINY, **fields})


# — what is there —


def test_a_folder_holds_what_the_design_says(run):
    names = {path.name for path in run.path.iterdir()}
    assert names == {"run.json", "history.jsonl", "checkpoints", "answers", "state.safetensors"}
    description = json.loads((run.path / "run.json").read_text(encoding="utf-8"))
    assert description["format"] == 1
    assert description["id"] == run.id == Run.of(**TINY).id
    assert description["status"] == "complete"
    assert description["parameters"]["total"] > description["parameters"]["non_embedding"] > 0
    assert description["resolved"]["modulus"] == 5
    assert description["resolved"]["weight_decay"] == 1.0
    (segment,) = description["segments"]
    assert segment["from_step"] == 0
    assert {"groklab", "torch", "machine", "device", "began"} <= set(segment)
    assert run.run() == Run.of(**TINY)


def test_checkpoints_and_answers_are_at_the_same_steps(run):
    assert run.steps_of("checkpoints") == run.steps_of("answers")
    assert run.steps_of("answers")[0] == 0
    assert run.steps_of("answers")[-1] == 12


def test_a_step_that_is_not_stored_is_answered_with_the_nearest(run):
    with pytest.raises(StoreError, match=r"no answers at step 11; the nearest are at .*12"):
        run.read_step("answers", 11)
    with pytest.raises(StoreError, match="no stored measures"):
        run.read_step("measures")


@pytest.mark.parametrize(("largest", "bytes_each"), [(1999, 2), (65_535, 2), (65_536, 4), (100_000, 4)])
def test_answers_survive_packing(largest, bytes_each):
    answer, probability = np.array([0, 300, largest]), np.array([0.0, 0.25, 1.0])
    assert packed_answers(answer, probability)["answer"].itemsize == bytes_each
    back, chance = unpacked_answers(packed_answers(answer, probability))
    assert back.tolist() == answer.tolist()
    np.testing.assert_allclose(chance, probability, atol=0.5 / 65535)  # half a step of the stored probability


# — writing —


def test_a_file_is_replaced_whole(tmp_path):
    write_whole(tmp_path / "a", b"one")
    write_whole(tmp_path / "a", b"two")
    assert contents(tmp_path) == {"a": b"two"}


def test_an_error_while_writing_leaves_the_old_file(tmp_path, monkeypatch):
    write_whole(tmp_path / "a", b"one")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(StoreError, match=r"While writing .*a: no space is left on the device. Free some"):
        write_whole(tmp_path / "a", b"two")
    assert contents(tmp_path) == {"a": b"one"}


@pytest.mark.parametrize(("number", "words"), [(30, "read-only"), (13, "permission"), (122, "quota"), (5, "Input/output error")])
def test_the_reason_of_a_failure_is_given(tmp_path, monkeypatch, number, words):
    def fail(*names):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(files.os, "replace", fail)
    with pytest.raises(StoreError, match=words):
        write_whole(tmp_path / "a", b"two")


def test_json_never_holds_nan(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"loss": math.nan})
    assert not (tmp_path / "a.json").exists()


def test_a_measure_without_a_value_is_null(tmp_path):
    folder = RunFolder(tmp_path)
    row = {"step": 0, "train_loss": 1.0, "validation_loss": 1.0, "train_accuracy": 0.0, "validation_accuracy": 0.0}
    folder.append(row | {"mine": math.nan, "other": math.inf})
    assert folder.rows() == [row | {"mine": None, "other": None}]


ROW = '{"step": %d, "train_loss": 1.0, "validation_loss": 1.0, "train_accuracy": 0.0, "validation_accuracy": 0.0}\n'


@pytest.mark.parametrize(
    "lines",
    [
        [ROW % 0, (ROW % 1).strip() + ", " + ROW % 2],  # two evaluations in a line
        [ROW % 0, "[" + (ROW % 1).strip() + "]\n"],
        [ROW % 0, '{"step": 1, "train_loss": [\n', ROW % 2, "]}\n"],
        [ROW % 0, (ROW % 1).replace("1.0", "NaN", 1)],
        [ROW % 0, (ROW % 1).replace("1.0", "true", 1)],
        [ROW % 0, (ROW % 1).replace("1.0", "null", 1)],
        [ROW % 0, (ROW % 1).replace('"step": 1', '"step": 1.0')],
        [ROW % 0, "\n", ROW % 1],
    ],
)
def test_a_line_that_is_no_evaluation_is_named_however_the_lines_are_read(tmp_path, lines):
    (tmp_path / "history.jsonl").write_text("".join(lines), encoding="utf-8")
    with pytest.raises(DamagedError, match="line 2 is not an evaluation"):
        RunFolder(tmp_path).rows()
    (tmp_path / "history.jsonl").write_text(ROW % 0 + ROW % 5 + ROW % 5, encoding="utf-8")
    with pytest.raises(DamagedError, match="line 3 does not follow the line before it"):
        RunFolder(tmp_path).rows()


# — arrays —


@pytest.fixture
def arrays(tmp_path):
    path = tmp_path / "state.safetensors"
    write_arrays(path, {"a": np.arange(4, dtype=np.float32), "b": np.zeros((2, 2))}, {"step": "12"})
    return path


def test_arrays_are_read_as_they_were_written(arrays):
    found, facts = read_arrays(arrays)
    assert found["a"].tolist() == [0, 1, 2, 3]
    assert found["b"].shape == (2, 2)
    assert facts == {"step": "12"}


def test_any_flipped_bit_is_noticed(arrays):
    content = arrays.read_bytes()
    expected, facts = read_arrays(arrays)
    for position in range(len(content)):
        for bit in (0, 5) if position % 4 == 0 else (position % 8,):
            arrays.write_bytes(content[:position] + bytes([content[position] ^ (1 << bit)]) + content[position + 1 :])
            try:
                found, told = read_arrays(arrays)
            except DamagedError:
                continue
            assert told == facts, position  # a space of the header's padding may be another, and nothing else
            assert {k: v.tobytes() for k, v in found.items()} == {k: v.tobytes() for k, v in expected.items()}, position


@pytest.mark.parametrize("keep", [0, 1, 7, 8, 9, 100, -1])
def test_a_truncated_file_is_noticed(arrays, keep):
    content = arrays.read_bytes()
    arrays.write_bytes(content[:keep])
    with pytest.raises(DamagedError, match=r"state.safetensors is damaged: .* Nothing was changed. Restore it from a copy, or remove"):
        read_arrays(arrays)


# — damage —


def damage(run: RunFolder, name: str, how: str) -> None:
    path = run.path / name
    content = path.read_bytes()
    match how:
        case "empty":
            path.write_bytes(b"")
        case "half":
            path.write_bytes(content[: len(content) // 2])
        case "garbage":
            path.write_bytes(b"\x00\xff garbage \xfe" * 20 + b"\n")
        case "another type":
            path.write_bytes(b"[1, 2]\n")
        case "flipped":
            middle = len(content) - 9
            path.write_bytes(content[:middle] + bytes([content[middle] ^ 0x40]) + content[middle + 1 :])


@pytest.mark.parametrize("how", ["empty", "half", "garbage", "another type"])
def test_a_damaged_description_is_named(run, how):
    damage(run, "run.json", how)
    before = contents(run.path)
    for act in (lambda: load(run.id, runs=run.path.parent), lambda: again(run), lambda: again(run, steps=20)):
        with pytest.raises(DamagedError, match=r"run.json is damaged: .* Nothing was changed"):
            act()
    assert contents(run.path) == before
    assert run.status() == "damaged"
    assert runs_table([run]).row(0, named=True)["status"] == "damaged"


@pytest.mark.parametrize("part", ["run", "status", "resolved", "parameters", "plugins", "segments", "format"])
def test_a_description_that_lacks_a_part_is_damaged(run, part):
    content = run.description()
    for value in (None, 3.5):
        write_json(run.path / "run.json", {**content, part: value})
        with pytest.raises(DamagedError):
            run.description()


@pytest.mark.parametrize(
    ("group", "name", "value"),
    [("budget", "steps", "many"), ("task", "train_fraction", None), ("seeds", "sead", 1), ("model", "layers", [2])],
)
def test_a_description_of_a_run_that_cannot_be_is_damaged(run, group, name, value):
    content = run.description()
    content["run"][group][name] = value
    write_json(run.path / "run.json", content)
    with pytest.raises(DamagedError, match=name):
        run.run()
    assert runs_table([run]).row(0, named=True)["status"] == "damaged"


@pytest.mark.parametrize("how", ["empty", "half", "garbage", "another type", "flipped"])
def test_a_damaged_history_is_named_and_kept(run, how):
    damage(run, "history.jsonl", how)
    before = contents(run.path)
    for steps in (12, 20):
        with pytest.raises(DamagedError, match=r"history.jsonl is damaged: .* Nothing was changed"):
            again(run, steps=steps)
    assert contents(run.path) == before
    assert runs_table([run]).row(0, named=True)["status"] == "damaged"


def test_a_history_whose_lines_are_missing_repeated_or_swapped_is_damaged(run):
    path = run.path / "history.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    for changed in (lines[:3] + lines[4:], [*lines, lines[-1]], [lines[1], lines[0], *lines[2:]], lines[:-1]):
        path.write_text("".join(changed), encoding="utf-8")
        with pytest.raises(DamagedError, match="history.jsonl is damaged"):
            run.rows()


def test_a_digit_changed_anywhere_in_the_history_is_noticed(run):
    path = run.path / "history.jsonl"
    content = path.read_bytes()
    digits = [position for position, byte in enumerate(content) if byte in b"0123456789"]
    for position in digits[:: len(digits) // 40]:
        other = b"1" if content[position : position + 1] != b"1" else b"2"
        path.write_bytes(content[:position] + other + content[position + 1 :])
        with pytest.raises(DamagedError):
            run.rows()


def test_a_half_written_last_line_is_left_out(run):
    path, rows = run.path / "history.jsonl", run.rows()
    with open(path, "a", encoding="utf-8") as file:
        file.write('{"step": 13, "train_lo')
    assert run.rows() == rows
    longer = again(run, steps=20).rows
    assert [row for row in longer if row["step"] < 12] == [row for row in rows if row["step"] < 12]
    assert b"train_lo\n" not in path.read_bytes()


@pytest.mark.parametrize("how", ["empty", "half", "garbage", "flipped"])
def test_a_damaged_state_is_named_and_everything_kept(run, how):
    damage(run, "state.safetensors", how)
    before = contents(run.path)
    with pytest.raises(DamagedError, match=r"state.safetensors is damaged: .* Nothing was changed"):
        again(run, steps=20)
    assert contents(run.path) == before
    assert again(run).summary.steps == 12, "what was asked for is there"


@pytest.mark.parametrize("how", ["empty", "half", "garbage", "flipped"])
def test_damaged_answers_are_named(run, how):
    last = sorted((run.path / "answers").iterdir())[-1]
    damage(run, f"answers/{last.name}", how)
    with pytest.raises(DamagedError, match=rf"{last.name} is damaged: .*`groklab remove .*{run.id}`"):
        load(run.id, runs=run.path.parent).answers()
    load(run.id, runs=run.path.parent).answers(0)


def test_a_newer_format_is_said_and_not_called_damaged(run):
    write_json(run.path / "run.json", {**run.description(), "format": 2})
    before = contents(run.path)
    for act in (run.run, lambda: again(run), lambda: load(run.id, runs=run.path.parent)):
        with pytest.raises(StoreError, match=r"results format 2; this groklab reads up to 1. Install a newer groklab") as caught:
            act()
        assert not isinstance(caught.value, DamagedError)
    assert contents(run.path) == before
    assert run.status() == "unreadable"
    assert runs_table([run]).row(0, named=True)["status"] == "unreadable"


def test_a_run_whose_process_died_is_interrupted(run):
    run.update(status="running")
    assert run.status() == "interrupted"


def test_damage_to_one_run_leaves_the_table_of_the_others(run):
    train(runs=run.path.parent, **TINY, seed=1)
    damage(run, "run.json", "half")
    table = runs_table(folders(run.path.parent))
    assert table["status"].to_list() == ["damaged", "complete"]
    assert table["validation_accuracy"].null_count() == 1


# — finding —


def test_a_run_is_found_by_id_prefix_path_and_as_the_latest(run, monkeypatch):
    root = run.path.parent
    for text in (run.id, run.id[:-3], "addition", "latest", str(run.path), str(run.path / "run.json"), str(run.path) + "/"):
        assert find(root, text).path.resolve() == run.path.resolve(), text
    monkeypatch.chdir(root)
    assert find(Path("elsewhere"), run.id).path.resolve() == run.path.resolve()


def test_an_ambiguous_or_unknown_name_is_answered(run):
    train(runs=run.path.parent, **TINY, seed=1)
    for text, words in (("addition", "is the beginning of 2 runs"), ("division", "no run 'division' in"), ("/nowhere", "holds no run")):
        with pytest.raises(UnknownRunError, match=words):
            find(run.path.parent, text)
    with pytest.raises(UnknownRunError, match="holds no runs yet. `groklab train` makes one"):
        find(run.path.parent / "empty", "latest")


def test_the_latest_is_the_one_written_last(run):
    other = train(runs=run.path.parent, **TINY, seed=1).folder
    os.utime(run.path / "run.json", (0, 0))
    assert find(run.path.parent, "latest").id == other.id


# — removing —


def test_a_run_that_is_being_trained_is_not_removed(run):
    from groklab.results.lock import Lock

    with Lock(run.path), pytest.raises(StoreError, match="is being trained by process .* stop it first"):
        run.remove()
    run.remove()
    assert not run.path.exists()


def test_a_run_is_removed_under_its_lock_and_its_settings_first(run, monkeypatch):
    from groklab.results.lock import owner_of

    seen = []
    unlink = Path.unlink

    def told(self, missing_ok=False):
        if self.parent == run.path and "lock" not in self.name:
            seen.append((self.name, owner_of(run.path) is not None))
        unlink(self, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", told)
    run.remove()
    assert seen[0] == ("run.json", True)
    assert all(is_owned for _, is_owned in seen)
    assert not run.path.exists()


def test_a_run_begun_anew_while_it_is_removed_is_left_alone(run, monkeypatch):
    rmdir = Path.rmdir

    def late(self):
        if self == run.path:
            (self / "lock").write_text("of another process", encoding="utf-8")
        rmdir(self)

    monkeypatch.setattr(Path, "rmdir", late)
    run.remove()
    assert [path.name for path in run.path.iterdir()] == ["lock"]


def test_folders_of_imports_that_were_killed_are_found(tmp_path):
    (tmp_path / "imported-addition-7-f0.50-s0-0123456789ab").mkdir()
    assert len(empty_folders(tmp_path)) == 1


def test_only_what_groklab_left_counts_as_an_empty_folder(tmp_path):
    for name in ("addition-7-f0.50-s0-0123abcd", "division-97-f0.50-s0-0123abcd", "my-files-notes-all", "run-f0.5-s1-notahash"):
        (tmp_path / name).mkdir()
    (tmp_path / "addition-7-f0.50-s0-0123abcd" / "table.csv").touch()
    (tmp_path / "division-97-f0.50-s0-0123abcd" / "notes.txt").touch()
    assert [folder.id for folder in empty_folders(tmp_path)] == ["addition-7-f0.50-s0-0123abcd"]
    assert empty_folders(tmp_path / "nowhere") == []


# — tables —


def test_histories_with_different_measures_make_one_table():
    table = history_table({"a": [{"step": 0, "m": 1.0}], "b": [{"step": 0, "n": 2}]}, groups={"a": "x", "b": "y"})
    assert table.columns == ["run", "group", "step", "m", "n"]
    assert table["m"].to_list() == [1.0, None]


def test_the_table_of_no_runs_has_its_columns():
    assert {"id", "status", "steps", "memorized_at", "generalized_at"} <= set(runs_table([]).columns)


@pytest.mark.parametrize("name", ["a.csv", "a.parquet", "deep/er/a.csv"])
def test_a_table_is_written_by_its_ending(run, tmp_path, name):
    import polars

    table = runs_table([run])
    write_table(table, tmp_path / name)
    back = polars.read_csv(tmp_path / name) if name.endswith("csv") else polars.read_parquet(tmp_path / name)
    assert back["id"].to_list() == [run.id]


def test_another_ending_is_refused_before_a_folder_is_made(tmp_path):
    with pytest.raises(ValueError, match=r"expected a file that ends in .csv or .parquet"):
        write_table(runs_table([]), tmp_path / "deep" / "a.xlsx")
    assert not (tmp_path / "deep").exists()
