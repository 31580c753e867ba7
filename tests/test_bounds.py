"""Whatever comes from outside has a bound that is checked before it is paid for."""

import io
import os
import pickle
import tarfile
import zipfile

import numpy as np
import pytest
import torch

from groklab.cli import main
from groklab.model.weights import read_weights
from groklab.replication import archive as archives
from groklab.results.files import StoreError


@pytest.mark.parametrize("place", ["/dev/zero", "pipe", "folder", "large", "deep", "missing"])
def test_a_config_that_is_no_small_file_is_refused_at_once(tmp_path, place, capsys):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "large").touch()
    os.truncate(tmp_path / "large", 10**10)
    (tmp_path / "deep").write_bytes(b"[" * 100_000)
    assert main(["train", "--config", str(tmp_path / place), "--runs", str(tmp_path / "runs")]) == 2
    told = capsys.readouterr().err
    assert told.startswith("groklab: --config: got ")
    assert told.count("\n") == 1
    assert not (tmp_path / "runs").exists()


def packed(path, *entries):
    with tarfile.open(path, mode="w:xz") as archive:
        for entry, content in entries:
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))


def plain(name="runs/a/history.jsonl"):
    return tarfile.TarInfo(name)


def other(name="runs/a/link", *, kind=tarfile.SYMTYPE, to="/etc/passwd"):
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, to
    return entry


def test_a_small_archive_that_unpacks_to_much_is_stopped_before_it_fills_the_disk(tmp_path):
    path, into = tmp_path / archives.NAME, tmp_path / "into"
    packed(path, *[(plain(f"runs/{i}/history.jsonl"), bytes(10_000_000)) for i in range(8)])
    assert path.stat().st_size < 100_000
    with pytest.raises(StoreError, match="unpacks to more than 64,000,000 bytes"):
        archives.unpack(path, into)
    assert sum(file.stat().st_size for file in into.rglob("*") if file.is_file()) <= 70_000_000


@pytest.mark.parametrize(
    "entry",
    [
        other(), other(kind=tarfile.LNKTYPE), other(kind=tarfile.FIFOTYPE), other(kind=tarfile.CHRTYPE), other(kind=tarfile.DIRTYPE),
        plain("../evil"), plain("runs/../evil"), plain("/etc/evil"), plain("runs/a/../../evil"), plain("evil"), plain("runs/a"),
        plain("runs/a/b/c/d/e"),
    ],
    ids=lambda entry: f"{entry.name} {entry.type!r}",
)  # fmt: skip
def test_an_archive_holds_plain_files_of_runs_and_nothing_else(tmp_path, entry):
    packed(tmp_path / archives.NAME, (plain(), b"{}"), (entry, b""))
    with pytest.raises(StoreError, match="is not a plain file of a run"):
        archives.unpack(tmp_path / archives.NAME, tmp_path / "into")
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] in (
        [archives.NAME, "history.jsonl"],
        ["history.jsonl", archives.NAME],
    )


@pytest.mark.parametrize("length", [0, 5, 100])
def test_an_archive_that_is_cut_off_is_an_error(tmp_path, length):
    packed(tmp_path / "whole", (plain(), np.random.default_rng(0).bytes(1000)))
    (tmp_path / archives.NAME).write_bytes((tmp_path / "whole").read_bytes()[:length])
    with pytest.raises(StoreError, match="cannot be unpacked"):
        archives.unpack(tmp_path / archives.NAME, tmp_path / "into")


def test_weights_are_read_as_before(tmp_path):
    torch.save({"a": torch.arange(6.0).reshape(2, 3)}, tmp_path / "a.pt")
    torch.save({"a": torch.arange(6.0)}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    assert read_weights(tmp_path / "a.pt")[0]["a"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert read_weights(tmp_path / "old.pt")[0]["a"].tolist() == [0, 1, 2, 3, 4, 5]


def test_a_compressed_file_of_weights_is_refused_before_it_is_unpacked(tmp_path):
    torch.save({"a": torch.zeros(1_000_000)}, tmp_path / "a.pt")
    with zipfile.ZipFile(tmp_path / "a.pt") as whole, zipfile.ZipFile(tmp_path / "b.pt", "w", zipfile.ZIP_DEFLATED) as small:
        for entry in whole.infolist():
            small.writestr(entry.filename, whole.read(entry))
    assert (tmp_path / "b.pt").stat().st_size < 100_000
    with pytest.raises(ValueError, match="got a compressed archive"):
        read_weights(tmp_path / "b.pt")


def test_one_number_seen_a_billion_times_is_no_network(tmp_path):
    torch.save({"a": torch.zeros(1).expand(1_000_000_000)}, tmp_path / "a.pt")
    with pytest.raises(ValueError, match="expected every number once"):
        read_weights(tmp_path / "a.pt")


@pytest.mark.parametrize("name", ["a.safetensors", "a.pt"])
def test_a_file_of_weights_that_is_none_is_refused_at_once(tmp_path, name):
    path = tmp_path / name
    for make in (os.mkfifo, os.mkdir, lambda p: os.symlink("/dev/zero", p), lambda p: os.symlink(p, p)):
        make(path)
        with pytest.raises(ValueError, match="expected a file of weights that can be read"):
            read_weights(path)
        os.rmdir(path) if path.is_dir() else os.unlink(path)
    path.touch()
    os.truncate(path, 3 << 30)
    with pytest.raises(ValueError, match="at most 1,073,741,824 are read"):
        read_weights(path)
    os.truncate(path, 0)
    with pytest.raises(ValueError, match=r"a\."):
        read_weights(path)


@pytest.mark.parametrize("length", [2**62, 100_000_000, 10])
def test_a_header_that_claims_more_than_there_is_is_refused(tmp_path, length):
    path = tmp_path / "a.safetensors"
    path.write_bytes(length.to_bytes(8, "little") + b"{}")
    with pytest.raises(ValueError, match="header is cut off"):
        read_weights(path)


def test_a_pickle_that_asks_for_memory_or_code_is_refused(tmp_path):
    for number, content in enumerate((pickle.dumps(io.BytesIO), b"\x80\x02cbuiltins\nbytearray\nK\x05\x85R.", b"\x80\x02" + b"(" * 1000)):
        path = tmp_path / f"{number}.pt"
        path.write_bytes(content)
        with pytest.raises(ValueError, match=rf"{number}\.pt"):
            read_weights(path)
