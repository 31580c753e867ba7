"""Words cannot drift from code: what the README shows is run."""

import re
import shlex
from pathlib import Path

import pytest

from groklab import cli

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_the_readme_is_short():
    assert len(README.splitlines()) < 150


@pytest.mark.medium
def test_the_code_of_the_readme_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for block in blocks("python"):
        if block.startswith("# my_lab.py"):
            Path("my_lab.py").write_text(block)
        else:
            exec(compile(block, "README.md", "exec"), {})
    assert "addition-7-f0.70-s0-" in capsys.readouterr().out
    assert Path("curves.png").stat().st_size > 10_000


@pytest.mark.medium
def test_the_commands_of_the_readme_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("my_lab.py").write_text(next(block for block in blocks("python") if block.startswith("# my_lab.py")))
    commands = [line for block in blocks("bash") for line in block.splitlines() if line.startswith("groklab ")]
    assert len(commands) >= 4
    for command in commands:
        words = shlex.split(command)[1:]
        if words[0] == "train":
            words += ["--steps", "30"]
        assert cli.main(words) == 0, command
    assert Path("table.svg").exists()


def test_the_files_that_the_readme_names_exist():
    for name in re.findall(r"\]\(((?!http)[^)]+)\)", README) + re.findall(r"`(groklab/[a-z_/.]+)`", README):
        assert (ROOT / name).exists(), name


def test_the_version_is_the_same_everywhere():
    from groklab import __version__

    assert f"version: {__version__}" in (ROOT / "CITATION.cff").read_text()
    assert f"{{{__version__}}}" in README
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text()
