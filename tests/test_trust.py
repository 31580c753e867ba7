"""Code that lies with results: verified, never executed to read them, and otherwise only where somebody says so."""

import io
import json
import os
import shutil

import pytest

from groklab import registry
from groklab.arguments.start import run_in
from groklab.cli import main
from groklab.config.options import Options
from groklab.laboratory.runs import continued, load, train
from groklab.registry.sources import hash_of
from groklab.results.files import DamagedError, StoreError
from groklab.results.plugins import UntrustedError, stored_plugins
from groklab.stored.measurements import measure
from groklab.workers.pool import train_all
from groklab.workers.sweeps import sweep

PLUGIN = '''
from groklab import operation

with open({marker!r}, "a") as file:
    file.write("executed ")


@operation(symbol="2 x + y (mod n)")
def my_sum(x, y, n):
    """Twice the one and once the other."""
    return (2 * x + y) % n
'''
TINY = {"modulus": 5, "steps": 5, "layers": 1, "width": 8, "heads": 1}


@pytest.fixture
def fresh(own_registry):
    """A registry that has loaded no plugin, as another process has it; and what makes it so again."""
    own_registry.forget_plugins()
    return own_registry.forget_plugins


@pytest.fixture
def foreign(tmp_path, fresh):
    """A run of a plugin, in a process that does not know the plugin; and the file that appears where it is executed."""
    marker = tmp_path / "marker"
    (tmp_path / "my_lab.py").write_text(PLUGIN.format(marker=str(marker)))
    registry.load_plugin(tmp_path / "my_lab.py")
    run = train(operation="my_sum", runs=tmp_path / "runs", **TINY)
    (tmp_path / "my_lab.py").rename(tmp_path / "given.py")
    fresh()
    marker.unlink()
    return run.folder, marker


def words(verb, folder, *more):
    return [*verb, folder.id, *more, "--runs", str(folder.path.parent)]


READING = {
    "show": ["show"],
    "table of runs": ["show", "--table"],
    "learning curves": ["figure", "learning_curves"],
    "results": ["figure", "steps_against"],
}


@pytest.mark.parametrize("name", READING)
def test_reading_executes_nothing_and_does_without(foreign, name, tmp_path, capsys):
    folder, marker = foreign
    more = ["--output", str(tmp_path / "a.png")] if "figure" in READING[name] else []
    assert main(words(READING[name], folder, *more)) == 0
    assert main(["list", "runs", "--runs", str(folder.path.parent)]) == 0
    assert not marker.exists()


def test_what_cannot_be_read_without_code_says_which_file_it_wants(foreign, fresh, tmp_path, capsys):
    folder, marker = foreign
    forget, copy = fresh, next((folder.path / "plugins").iterdir())
    for verb, ending in ((["figure", "operation_table"], "png"), (["export"], "safetensors")):
        more = ["--output", str(tmp_path / f"a.{ending}"), *(["--to", "safetensors"] if verb == ["export"] else [])]
        assert main(words(verb, folder, *more)) == 2
        assert f"give the file in {folder.id}/plugins with --plugin" in capsys.readouterr().err
        assert not marker.exists()
        assert main(words(verb, folder, *more, "--plugin", str(copy))) == 0
        assert marker.exists()  # the user gave it
        marker.unlink()
        forget()


EXECUTING = {
    "measure": lambda folder: words(["measure", "weight_norm"], folder),
    "continue": lambda folder: words(["continue"], folder, "--steps", "9", "--no-figures"),
    "train": lambda folder: ["train", "--config", str(folder.path), "--seed", "1", "--runs", str(folder.path.parent), "--no-figures"],
    "sweep": lambda folder: ["sweep", "--config", str(folder.path), "--seed", "1", "--runs", str(folder.path.parent), "--workers", "1"],
}


@pytest.mark.parametrize("name", EXECUTING)
def test_what_needs_the_code_refuses_it_without_a_word_and_takes_it_with(foreign, name, capsys):
    folder, marker = foreign
    before = {path.name for path in folder.path.parent.iterdir()}
    assert main(EXECUTING[name](folder)) == 2
    told = capsys.readouterr().err
    assert "--trust-plugins" in told
    assert str(next((folder.path / "plugins").iterdir())) in told
    assert "Nothing was executed" in told
    assert not marker.exists()
    assert {path.name for path in folder.path.parent.iterdir()} == before
    assert main([*EXECUTING[name](folder), "--trust-plugins"]) == 0
    assert marker.exists()


class Keyboard(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("name", ["measure", "continue", "train"])
@pytest.mark.parametrize(("answer", "is_executed"), [("y\n", True), ("n\n", False), ("\n", False), ("", False)])
def test_at_a_terminal_one_is_asked_once_with_the_file_and_its_hash(foreign, name, answer, is_executed, monkeypatch, capsys):
    folder, marker = foreign
    monkeypatch.setattr("sys.stdin", Keyboard(answer))
    assert main(EXECUTING[name](folder)) == (0 if is_executed else 2)
    told = capsys.readouterr().err
    copy = next((folder.path / "plugins").iterdir())
    assert told.count("[y/N]") == 1
    assert f"{copy} (hash {hash_of(copy.read_bytes())})" in told
    assert marker.exists() == is_executed


def test_the_users_own_file_of_the_same_content_is_trusted(foreign, tmp_path):
    folder, marker = foreign
    for name in ("measure", "continue", "train"):
        assert main([*EXECUTING[name](folder), "--plugin", str(tmp_path / "given.py")]) == 0
    assert marker.read_text() == "executed "


def test_without_stored_plugins_nobody_is_asked_and_nothing_executed(foreign, monkeypatch, capsys):
    folder, marker = foreign
    monkeypatch.setattr("sys.stdin", Keyboard("y\n"))
    assert main([*EXECUTING["measure"](folder), "--no-stored-plugins"]) == 2
    assert "[y/N]" not in capsys.readouterr().err
    assert not marker.exists()


def test_python_asks_by_an_argument(foreign):
    folder, marker = foreign
    runs = folder.path.parent
    found = load(folder.id, runs=runs)
    assert found.history.height > 1
    assert found.plot() is not None
    for act in (
        lambda: continued(folder.id, runs=runs, steps=9),
        lambda: measure(["weight_norm"], found),
        lambda: found.measure("weight_norm"),
        lambda: found.answers(),
        lambda: found.model(),
        lambda: folder.run(),
        lambda: run_in(folder.path),
    ):
        with pytest.raises(UntrustedError, match="trust_plugins=True"):
            act()
    assert not marker.exists()
    assert load(folder.id, runs=runs, trust_plugins=True).answers().height == 25
    assert continued(folder.id, runs=runs, steps=9).steps == 9
    assert marker.read_text() == "executed "


def test_a_loaded_version_comes_back_for_the_run_that_was_trained_with_it(foreign, tmp_path):
    folder, _ = foreign
    text = (tmp_path / "given.py").read_text()
    (tmp_path / "my_lab.py").write_text(text.replace("2 * x", "3 * x"))
    registry.load_plugin(tmp_path / "my_lab.py")
    with pytest.raises(UntrustedError, match="of another version of its plugin"):
        load(folder.id, runs=folder.path.parent).answers()
    registry.load_source(tmp_path / "my_lab.py", text.encode())
    (tmp_path / "my_lab.py").write_text(text.replace("2 * x", "3 * x"))
    registry.load_plugin(tmp_path / "my_lab.py")
    answers = load(folder.id, runs=folder.path.parent).answers()  # executed before: the first version is known
    assert answers.filter(x=1, y=0)["z"].to_list() == [2]


NAMES = (
    "../../../evil.py", "/tmp/evil.py", "..", ".hidden-0123456789abcdef.py", "evil.py", "a/b-0123456789abcdef.py", "json-XYZ.py",
    "a\0b-0123456789abcdef.py", "a\\b-0123456789abcdef.py", "a\n-0123456789abcdef.py", "x" * 5000 + "-0123456789abcdef.py",
    "-0123456789abcdef.pyc", "", 5, None, ["a"], {"a": 1}, True,
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES, ids=lambda name: repr(name)[:30])
def test_names_that_are_not_of_a_copy_are_refused_where_code_is_wanted_and_never_followed(foreign, tmp_path, name, capsys):
    folder, marker = foreign
    evil = next((folder.path / "plugins").iterdir()).read_text()
    (tmp_path / "evil.py").write_text(evil)
    (folder.path.parent / "evil.py").write_text(evil)
    folder.update(plugins=[name])
    with pytest.raises(DamagedError, match="names the plugin"):
        stored_plugins(folder.path, [name])
    for verb in EXECUTING.values():
        assert main([*verb(folder), "--trust-plugins"]) == 1
        assert "Nothing was executed" in capsys.readouterr().err
    assert main(words(["show"], folder)) == 0
    assert main(words(["figure", "learning_curves"], folder)) == 0
    assert not marker.exists()


def damage_content(copy):
    copy.write_text(copy.read_text() + "\n")


def damage_link(copy):
    copy.rename(copy.parent.parent / "elsewhere.py")
    copy.symlink_to("../elsewhere.py")


def damage_folder_link(copy):
    copy.parent.rename(copy.parent.parent / "elsewhere")
    copy.parent.symlink_to("elsewhere")


def damage_pipe(copy):
    copy.unlink()
    os.mkfifo(copy)


def damage_size(copy):
    os.truncate(copy, 3_000_000_000)


def damage_missing(copy):
    shutil.rmtree(copy.parent)


@pytest.mark.parametrize("damage", [damage_content, damage_link, damage_folder_link, damage_pipe, damage_size, damage_missing])
def test_a_copy_that_is_not_what_its_name_says_is_never_executed(foreign, damage, monkeypatch, capsys):
    folder, marker = foreign
    damage(next((folder.path / "plugins").iterdir()))
    monkeypatch.setattr("sys.stdin", Keyboard("y\n"))
    for verb in EXECUTING.values():
        assert main([*verb(folder), "--trust-plugins"]) == 1
        assert main(verb(folder)) == 1
        assert "[y/N]" not in capsys.readouterr().err  # nobody is asked about what will be refused
    with pytest.raises(StoreError):
        load(folder.id, runs=folder.path.parent, trust_plugins=True)
    assert main(words(["show"], folder)) == 0
    assert not marker.exists()


def test_a_config_elsewhere_brings_no_code(foreign, tmp_path, capsys):
    folder, marker = foreign
    content = json.loads((folder.path / "run.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(content))
    assert main(["train", "--config", str(tmp_path / "config.json"), "--runs", str(tmp_path / "runs")]) == 2
    assert "unknown operation 'my_sum'" in capsys.readouterr().err
    assert not marker.exists()


@pytest.mark.medium
def test_other_processes_execute_what_was_trusted_here_whatever_lies_in_the_folder_by_then(foreign, tmp_path):
    folder, marker = foreign
    run = run_in(folder.path, trust_plugins=True)
    copy = next((folder.path / "plugins").iterdir())
    copy.write_text(copy.read_text().replace("executed", "CHANGED"))
    tally = train_all([run.replace(seed=seed) for seed in (1, 2)], Options(tmp_path / "others", workers=2))
    assert tally.count("complete") == 2, [job.message for job in tally.jobs]
    assert marker.read_text() == "executed " * 3
    assert sweep(run, seed=[1, 2], runs=tmp_path / "others", workers=1).counts["stored"] == 2
