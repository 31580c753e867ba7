"""Words cannot drift from code: what the README shows is run."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from commands import smaller

import groklab
from groklab import cli

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_the_readme_is_short():
    assert len(README.splitlines()) < 150


def test_the_readme_opens_with_the_scorecard_that_is_kept():
    kept = json.loads((ROOT / "replication" / "laptop" / "report.json").read_text(encoding="utf-8"))
    opening = " ".join(README.split("## Try it")[0].split())
    assert kept["summary"] in opening
    assert "replication/laptop/figure1_left.png" in opening


@pytest.mark.medium
def test_the_code_of_the_readme_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for block in blocks("python"):
        if block.startswith("# my_lab.py"):
            Path("my_lab.py").write_text(block, encoding="utf-8")
        else:
            exec(compile(block, "README.md", "exec"), {})
    assert "addition-7-f0.70-s0-" in capsys.readouterr().out
    assert Path("curves.png").stat().st_size > 10_000


@pytest.mark.medium
def test_the_commands_of_the_readme_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("my_lab.py").write_text(next(block for block in blocks("python") if block.startswith("# my_lab.py")), encoding="utf-8")
    commands = [line for block in blocks("bash") for line in block.splitlines() if line.startswith("groklab ")]
    assert len(commands) >= 4
    for command in commands:
        words = shlex.split(command)[1:]
        if words[0] == "train":
            words += ["--steps", "30"]
        assert cli.main(words) == 0, command
    assert Path("table.svg").exists()


@pytest.mark.medium
def test_what_the_page_on_sweeps_shows_works(tmp_path, monkeypatch, capsys):
    """Its commands on smaller networks, one after the other in one folder; its code as it is."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("groklab.results.files.os.fsync", lambda descriptor: None)
    text = (ROOT / "docs" / "sweeps.md").read_text(encoding="utf-8")
    small = "--modulus 7 --width 16 --heads 2 --layers 1 --steps 20 --workers 1"
    commands = [line for block in re.findall(r"```bash\n(.*?)```", text, flags=re.DOTALL) for line in block.splitlines()]
    assert len(commands) >= 10
    for command in commands:
        words = shlex.split(command)
        if words[1] == "sweep":
            words = smaller(words, shlex.split(small))
        assert words[0] == "groklab"
        assert cli.main(words[1:]) == 0, command
        out, err = capsys.readouterr()
        assert out, command
        assert "Traceback" not in err
    assert (tmp_path / "runs.csv").read_text(encoding="utf-8").startswith("id,status,steps")
    (code,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    exec(compile(code, "sweeps.md", "exec"), {})
    assert "<sweep of 18 runs in runs: 18 trained" in capsys.readouterr().out
    assert Path("first.png").stat().st_size > 10_000


@pytest.mark.medium
def test_the_page_on_understanding_runs(tmp_path, monkeypatch, capsys):
    """Its commands on a smaller network, one after the other in one folder; its code as it is."""
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs" / "understanding.md").read_text(encoding="utf-8")
    small = "--modulus 13 --width 16 --heads 2 --layers 1 --steps 40 --checkpoints-per-decade 2 --no-figures"
    for block in re.findall(r"```bash\n(.*?)```", text, flags=re.DOTALL):
        for command in block.splitlines():
            words = shlex.split(f"{command} {small}" if command.startswith("groklab train") else command)
            assert cli.main(words[1:]) == 0, command
            assert capsys.readouterr().out, command
    (code,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    exec(compile(code, "understanding.md", "exec"), {})
    assert "'blocks.0.attn.hook_pattern': (169, 2, 4, 4)" in capsys.readouterr().out
    for name in re.findall(r"\]\((pictures/[^)]+)\)", text):
        assert (ROOT / "docs" / name).exists(), name


def commands_of(text, small, capsys):
    """Run the commands of a page, on a smaller network, one after the other in one folder; how many there are."""
    commands = [line for block in re.findall(r"```bash\n(.*?)```", text, flags=re.DOTALL) for line in block.splitlines()]
    for command in commands:
        words = shlex.split(command)
        if words[1] in ("train", "sweep"):
            words = smaller(words, shlex.split(small))
        files = [sorted(map(str, Path().glob(word))) if "*" in word else [word] for word in words[1:]]  # as a shell does
        assert cli.main([word for some in files for word in some]) == 0, command
        assert capsys.readouterr().out, command
    return len(commands)


@pytest.mark.medium
def test_the_page_on_flatness_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs" / "flatness.md").read_text(encoding="utf-8")
    assert commands_of(text, "--modulus 7 --width 16 --heads 2 --steps 40 --checkpoints-per-decade 2 --no-figures", capsys) >= 8
    for name in re.findall(r"\]\((pictures/[^)]+)\)", text):
        assert (ROOT / "docs" / name).stat().st_size < 150_000, name


@pytest.mark.medium
def test_the_page_on_outliers_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs" / "outliers.md").read_text(encoding="utf-8")
    assert commands_of(text, "--modulus 17 --width 16 --heads 2 --layers 1 --steps 40", capsys) >= 5
    assert Path("outliers.png").exists()


@pytest.mark.medium
def test_what_the_page_on_completing_shows_works(tmp_path, monkeypatch, capsys):
    """Its commands and its code, as they are, one after the other in one folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("groklab.results.files.os.fsync", lambda descriptor: None)
    text = (ROOT / "docs" / "completing.md").read_text(encoding="utf-8")
    for language, block in re.findall(r"```(bash|python)\n(.*?)```", text, flags=re.DOTALL):
        if language == "python":
            exec(compile(block, "completing.md", "exec"), {})
            continue
        for command in block.splitlines():
            assert cli.main(shlex.split(command)[1:]) == 0, command
    out = capsys.readouterr().out
    assert "isomorphic to dihedral(8)" in out
    assert "found 0.9" in out
    assert Path("riddle-completed.csv").exists()


def test_the_files_that_the_readme_names_exist():
    for name in re.findall(r"\]\(((?!http)[^)]+)\)", README) + re.findall(r"`(groklab/[a-z_/.]+)`", README):
        base = Path(groklab.__file__).parent.parent if name.startswith("groklab/") else ROOT  # the package may be installed elsewhere
        assert (base / name).exists(), name


def test_the_version_is_the_same_everywhere():
    from groklab import __version__

    assert f"version: {__version__}" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"{{{__version__}}}" in README
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


@pytest.mark.medium
def test_every_extension_of_the_documentation_works(tmp_path):
    """In a process of its own, so that the names do not stay registered here."""
    text = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
    (tmp_path / "my_lab.py").write_text("\n".join(re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)), encoding="utf-8")
    words = "--plugin my_lab.py --runs runs --width 16 --heads 2 --layers 1 --steps 40 --modulus 7"
    commands = [
        f"train {words} --operation squares_and_triples --measures largest_weight --stop loss_below(limit=0.001)",
        f"train {words} --operation addition --interventions leaky_momentum(leak=0.9) kick(every=5,start=10)",
        f"train {words} --operation addition --optimizer sign_momentum --schedule halved(every=20) --loss hinge",
        "check my_lab.py",
        "figure loss_only latest --plugin my_lab.py --runs runs --output loss.png",
        "replicate two_widths --plugin my_lab.py --scale smoke --workers 1 --output out",
    ]
    code = "import sys; from groklab.cli import main; sys.exit(any(main(command.split()) for command in sys.argv[1:]))"
    done = subprocess.run([sys.executable, "-c", code, *commands], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "loss.png").stat().st_size > 5_000
    assert "W1" in (tmp_path / "out" / "report.md").read_text(encoding="utf-8")


@pytest.mark.medium
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_commands_of_the_page_on_exchange_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs" / "exchange.md").read_text(encoding="utf-8")
    for block in re.findall(r"```bash\n(.*?)```", text, flags=re.DOTALL):
        for command in block.splitlines():
            assert cli.main(shlex.split(command)[1:]) == 0, command
    assert Path("table.svg").exists()
    assert len(list(Path("elsewhere").iterdir())) == 1
    pytest.importorskip("transformer_lens.HookedTransformer", reason="the page's Python loads the export into TransformerLens 2 or 3")
    (program,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    names: dict = {}
    exec(compile(program, "exchange.md", "exec"), names)
    assert names["logits"].shape == (7,)
