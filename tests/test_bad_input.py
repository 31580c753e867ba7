"""Wrong input: one clear error on standard error, exit status 2, and nothing left behind; failures while working: 1."""

import errno
import os
import subprocess
import sys

import pytest

import groklab as gl
from groklab.cli import main
from groklab.config.run import Run
from groklab.results.files import StoreError

TINY = ["--operation", "addition", "--modulus", "7", "--width", "16", "--layers", "1", "--steps", "5"]


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """Checking shapes takes most of the time of runs as small as these, and is tested elsewhere."""
    monkeypatch.setattr("jaxtyping.config.jaxtyping_disable", True)


@pytest.fixture
def refused(tmp_path, monkeypatch, capsys):
    """Runs a command that must be refused and leave nothing; what it says on standard error, on one line."""
    monkeypatch.chdir(tmp_path)

    def command(*words, status=2, runs="results"):
        present = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
        try:
            found = main([*words, "--runs", runs])
        except SystemExit as end:
            found = end.code
        out, err = capsys.readouterr()
        assert found == status, err
        assert out == ""
        assert "Traceback" not in err
        assert not (tmp_path / "results").exists(), "no folder is left behind"
        assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == present
        return " ".join(err.replace("│", " ").split())

    return command


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("--operation additon", "operation: unknown operation 'additon'. Did you mean 'addition'"),
        ("--group symetric(4)", "group: unknown group 'symetric'. Did you mean 'symmetric'?"),
        ("--group symmetric(4", "expected a name or a call"),
        ("--group symmetric(99)", "expected at most 4,000,000 cells"),
        ("--operation group_product", "group: got None; expected a group, which the operation group_product needs"),
        ("--operation division --modulus 15", "modulus: got 15; expected a prime. The nearest are 13 and 17."),
        ("--modulus 1", "modulus: got 1; expected at least 2."),
        ("--operation addition --modulus 2001", "expected at most 2,000. Its table would have 4,004,001 cells; the limit is 4,000,000"),
        ("--train-fraction nan", "train_fraction: got nan; expected a number"),
        ("--operation addition --modulus 7 --train-fraction 0.001", "The table has 49 known cells: this leaves 0 to train and 49 to validate"),
        ("--operation addition --modulus 7 --train-fraction 0.999", "The table has 49 known cells: this leaves 49 to train and 0 to validate"),
        ("--width 30", "heads: got 4; expected a divisor of the width 30. Try one of"),
        ("--learning-rate nan", "learning_rate: got nan; expected a number."),
        ("--seed 9223372036854775808", "expected a number from 0 to 9,223,372,036,854,775,807"),
        ("--steps -5", "steps: got -5; expected a number from 1"),
        ("--steps 1e5", "1e5"),
        ("--stop nevr", "stop: unknown stop 'nevr'. Did you mean 'never'?"),
        ("--measures weight_nrm", "measures: unknown measure 'weight_nrm'. Did you mean 'weight_norm'"),
        ("--measures weight_norm weight_norm", "measures: got 'weight_norm'; expected each measure once"),
        ("--optimizer adamm", "optimizer: unknown optimizer 'adamm'. Did you mean"),
        ("--optimizer adamw(epsilon=1)", "optimizer: adamw: unknown setting 'epsilon'. Did you mean 'eps'?"),
        ("--device cuda:99", "device: "),
        ("--operation addition --modulus 7 --batch-size 26", "expected at most the 2"),
        ("--decay-parameters nothing.*", "decay_parameters: "),
        ("--preset power_default --config run.json", "--preset and --config: got both; expected one of them"),
        ("--config nowhere.json", "--config: got 'nowhere.json'; expected a run.json"),
        ("--plugin nowhere.py", "plugin: got 'nowhere.py'; expected a Python file"),
        ("--modulous 7", "--modulus"),
        ("--norm layer", "norm"),
        ("--betas 0.9", "--betas"),
        ("nonsense", "nonsense"),
    ],
)  # fmt: skip
def test_a_wrong_flag_is_named(refused, flags, expected):
    assert expected in refused("train", *flags.split())


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("x + z", "found the name 'z'"),
        ("pow(x, y)", "found a call"),
        ("__import__('os')", "found a call"),
        ("x.real", "found an attribute"),
        ("x[0]", "found square brackets"),
        ("x +", "could not read"),
        ("", "empty formula"),
        ("x / y", "at 7 of 49 cells (x, y): (0, 0)"),
        ("x % (y - 2)", "at 7 of 49 cells (x, y): (0, 2)"),
        ("x ** y", "found the exponent y"),
        ("x ** 1001", "found the exponent 1001"),
        ("1.5 * x", "float 1.5"),
        ("x ^ y", "write powers as **"),
    ],
)
def test_a_wrong_formula_is_explained(refused, expression, expected):
    assert expected in refused("train", "--modulus", "7", "--expression", expression)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"x,y,z\n0,0,0\n0,1,1\n0,0,1\n1,0,1\n1,1,0\n", "lines 2 and 4: the cell (0, 0) is given twice"),
        (b"x,y\n0,0\n", "line 1: no column z"),
        (b"x;y;z\n0;0;0\n", "got 1 cells with a known z"),
        (b"x,y,z\n0,,0\n", "line 2: y is empty"),
        (b"x,y,z\n\xe9,1,1\n", "line 2, byte 6: not UTF-8"),
        (b"x,y,z\n0,0,0\n0,1,\n1,0,\n1,1,\n", "got 1 cells with a known z; expected at least 4"),
        (b"", "empty; expected a header"),
        (b"x,y,z\n", "no rows below the header"),
        (b"x,y,z\n0,0\n", "line 2: got 2 fields; expected 3"),
    ],
)
def test_a_wrong_table_is_explained(refused, tmp_path, content, expected):
    (tmp_path / "table.csv").write_bytes(content)
    assert expected in refused("train", "--file", "table.csv")


def test_a_table_of_too_many_cells_or_of_no_file_is_refused(refused, tmp_path):
    (tmp_path / "table.csv").write_text("x,y,z\n" + "".join(f"a{i},b{i},c\n" for i in range(2001)), encoding="utf-8")
    assert "expected at most 4,000,000" in refused("train", "--file", "table.csv")
    assert "no such file" in refused("train", "--file", "nowhere.csv")
    assert "not a file" in refused("train", "--file", ".")


def test_several_mistakes_are_reported_together(refused):
    told = refused("train", "--operation", "additon", "--train-fraction", "2", "--width", "30", "--stop", "nevr", "--seed", "-1")
    assert told.startswith("groklab: 5 things to put right:")
    for field in ("operation:", "train_fraction:", "heads:", "stop:", "seed:"):
        assert field in told


@pytest.mark.parametrize(
    ("content", "expected"),
    [("{", "not JSON"), ("[]", "holds no run"), ('{"task": {"modulos": 3}}', "modulus"), ('{"tsk": {}}', "task"), ("\x00", "not JSON")],
)
def test_a_wrong_config_is_explained(refused, tmp_path, content, expected):
    (tmp_path / "run.json").write_text(content, encoding="utf-8")
    assert expected in refused("train", "--config", "run.json")


def test_a_config_is_checked_like_flags(refused, tmp_path):
    (tmp_path / "mine.json").write_text('{"task": {"train_fraction": "half"}, "budget": {"steps": 1.5}}', encoding="utf-8")
    told = refused("train", "--config", "mine.json")
    assert "train_fraction: got 'half'" in told
    assert "steps: got 1.5" in told


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("trian", "unknown verb 'trian'. Did you mean 'train'?"),
        ("show nothing", "no run 'nothing'"),
        ("show", "holds no runs yet"),
        ("show ./nowhere", "holds no run"),
        ("continue", ""),
        ("continue latest", "holds no runs yet"),
        ("figure learning_curvs latest", "unknown figure 'learning_curvs'. Did you mean 'learning_curves'?"),
        ("figure learning_curves latest", "holds no runs yet"),
        ("list runz", "runz"),
        ("list presets --diff power_default power", "unknown preset 'power'"),
        ("list operations --diff a b", "--diff: got it with operations; expected presets"),
        ("remove", "RUN: got none; expected ids"),
        ("remove nothing", "no run 'nothing'"),
    ],
)
def test_other_verbs_refuse_too(refused, words, expected):
    assert expected in refused(*words.split())


def test_the_table_verb_refuses(refused, capsys):
    for words, expected in (
        (["--operation", "additon"], "Did you mean 'addition'"),
        (["--operation", "division", "--modulus", "8"], "expected a prime"),
        (["--group", "symmetric(99)"], "4,000,000"),
        (["--expression", "x/y", "--modulus", "5"], "y = 0"),
    ):
        assert main(["table", *words]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert expected in err


# — failures while working —


def test_a_file_in_the_way_is_said(tmp_path, capsys):
    (tmp_path / "results").write_text("mine", encoding="utf-8")
    assert main(["train", *TINY, "--runs", str(tmp_path / "results")]) == 1
    assert "Choose another folder with --runs" in capsys.readouterr().err
    assert (tmp_path / "results").read_text(encoding="utf-8") == "mine"


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs a file system that nobody can write")
def test_a_place_that_cannot_be_written_is_said(capsys):
    assert main(["train", *TINY, "--runs", "/proc/groklab"]) == 1
    assert "While writing /proc/groklab" in capsys.readouterr().err


@pytest.mark.parametrize("after", [0, 1, 8])
def test_a_full_disk_is_said_and_what_was_stored_goes_on(tmp_path, monkeypatch, capsys, after):
    import groklab.results.files as files

    real, written = os.fsync, []

    def full(descriptor):
        written.append(1)
        if len(written) > after:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "fsync", full)
        assert main(["train", *TINY, "--runs", str(tmp_path)]) == 1
    err = capsys.readouterr().err
    assert "no space is left on the device. Free some and run the same command again. What was stored is intact." in err
    assert "Traceback" not in err
    assert not list(tmp_path.rglob("*.tmp"))
    assert main(["train", *TINY, "--runs", str(tmp_path), "--json", "--no-figures"]) == 0
    assert '"status": "complete"' in capsys.readouterr().out


@pytest.mark.parametrize("name", ["run.json", "state.safetensors"])
def test_a_damaged_run_is_said_and_the_others_are_listed(tmp_path, capsys, name):
    runs = str(tmp_path / "runs")
    for seed in ("0", "1"):
        assert main(["train", *TINY, "--seed", seed, "--runs", runs, "--no-figures"]) == 0
    damaged = sorted((tmp_path / "runs").iterdir())[0] / name
    damaged.write_bytes(damaged.read_bytes()[:40])
    capsys.readouterr()
    assert main(["train", *TINY, "--steps", "9", "--runs", runs]) == 1
    out, err = capsys.readouterr()
    assert f"{name} is damaged" in err
    assert "groklab remove" in err
    assert damaged.stat().st_size == 40
    assert main(["list", "runs", "--runs", runs]) == 0
    out, _ = capsys.readouterr()
    assert out.count("addition-7") == 2
    assert main(["show", "addition-7-f0.50-s1", "--runs", runs]) == 0


@pytest.mark.medium
def test_a_full_file_system_leaves_what_was_stored(tmp_path):
    mounted = tmp_path / "small"
    mounted.mkdir()
    if (
        os.geteuid() != 0
        or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(mounted)], capture_output=True).returncode
    ):
        pytest.skip("needs the right to mount a small file system")
    try:
        words = [sys.executable, "-m", "groklab", "train", *TINY[:-2], "--steps", "3000", "--stop", "never", "--runs", str(mounted)]
        done = subprocess.run(words, capture_output=True, text=True, encoding="utf-8")
        assert done.returncode == 1
        assert "no space is left on the device" in done.stderr
        assert "Traceback" not in done.stderr
        assert subprocess.run([*words[:3], "list", "runs", "--runs", str(mounted)], capture_output=True).returncode == 0
    finally:
        subprocess.run(["umount", str(mounted)], check=True)


@pytest.mark.parametrize("display", [type, int, lambda *given: None, lambda: None])
def test_what_is_no_display_is_named(display, tmp_path):
    with pytest.raises(TypeError, match=r"display: got .*; expected a function of what is trained and whether to stop"):
        gl.train(operation="addition", modulus=5, width=8, heads=2, layers=1, steps=3, runs=tmp_path, display=display)
    with pytest.raises(TypeError, match=r"display: got "):
        gl.sweep(operation="addition", modulus=5, width=8, heads=2, layers=1, steps=3, runs=tmp_path, workers=1, display=display)
    assert not list(tmp_path.iterdir())


def test_a_name_that_no_file_system_has_is_cut_in_the_message(tmp_path):
    with pytest.raises(StoreError, match="File name too long") as told:
        gl.train(operation="addition", modulus=5, width=8, heads=2, layers=1, steps=3, runs=tmp_path / ("x" * 5000))
    assert len(str(told.value)) < 500


def test_a_number_of_thousands_of_digits_is_cut_where_another_field_is_wrong():
    told = [str(problem) for problem in Run.of(architecture="mlp", width=10**5000, modulus=7).problems()]
    assert any("width" in problem for problem in told)
    assert max(map(len, told)) < 500
    told = [str(problem) for problem in Run.of(architecture="mlp", layers=10**5000, measures=("neuron_frequencies",)).problems()]
    assert max(map(len, told)) < 800


def test_a_range_of_a_billion_numbers_is_no_list_of_names(tmp_path):
    with pytest.raises(TypeError, match=r"complete: presets: got range\(0, 1000000000\)"):
        gl.complete(tmp_path / "table.csv", presets=range(10**9))
    with pytest.raises(TypeError, match=r"sweep: zip: got range\(0, 1000000000\)"):
        gl.sweep(zip=range(10**9))


def test_a_file_whose_name_no_file_system_has_is_cut_in_the_message():
    with pytest.raises(ValueError, match="File name too long") as told:
        gl.complete("x" * 5000)
    assert len(str(told.value)) < 500
