"""The documentation site: built without a warning, its reference made from the code, its commands and code run."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from commands import smaller

import groklab
from groklab import cli, registry
from groklab.config.fields import leaves

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
pytestmark = pytest.mark.skipif(not (ROOT / "mkdocs.yml").exists(), reason="the site is made in a checkout")


def page(name):
    return (DOCS / name).read_text(encoding="utf-8")


def test_the_reference_is_what_the_code_says(capsys):
    from tools import reference

    assert reference.main(["--check"]) == 0, capsys.readouterr().err


@pytest.mark.parametrize("kind", registry.HOMES)
def test_the_reference_has_every_name(kind):
    text = page("reference/names.md")
    for name, entry in registry.entries(kind).items():
        if entry.plugin is None and entry.function.__module__.startswith("groklab."):
            assert f"| `{name}` |" in text, f"{kind} {name}"


def test_the_reference_has_every_verb_with_its_flags_every_field_and_every_public_name():
    from tools import reference

    text = page("reference/command-line.md")
    for verb in cli.VERBS:
        section = text.split(f"## groklab {verb}\n")[1].split("\n## ")[0]
        assert section.strip()
    assert "`--track NAME …`" in text
    assert "`--workers N`" in text
    assert "--keep-state, --no-keep-state" in text
    for name in leaves():
        assert f"`--{name.replace('_', '-')}" in page("reference/fields.md"), name
    for name in groklab.__all__:
        assert f"## gl.{name}\n" in page("reference/python.md")
    assert next(flag.written for flag in reference.flags(reference.arguments_of("measure"))) == "NAME… RUN…"


def test_a_stale_reference_is_found(tmp_path, monkeypatch, capsys):
    from tools import reference

    monkeypatch.setattr(reference, "FOLDER", tmp_path)
    assert reference.main(["--check"]) == 1
    assert "docs/reference/names.md is not what the code says" in capsys.readouterr().err
    assert reference.main([]) == 0
    assert reference.main(["--check"]) == 0
    (tmp_path / "names.md").write_text("old", encoding="utf-8")
    assert reference.main(["--check"]) == 1


@pytest.mark.medium
def test_the_site_is_built_without_a_warning_and_asks_nothing_of_other_hosts(tmp_path):
    pytest.importorskip("material", reason="mkdocs-material builds the site")
    import os

    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(tmp_path / "site")]
    made = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True, encoding="utf-8"
    )
    assert made.returncode == 0, made.stderr
    for name in ("index", "sweeps/index", "notebooks/first_run/index", "reference/names/index", "log/index"):
        text = (tmp_path / "site" / f"{name}.html").read_text(encoding="utf-8")
        assert not re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="https?://[^"]+"', text), name
    assert len(list((tmp_path / "site" / "notebooks").glob("first_run-*.png"))) >= 3


def test_every_page_is_found_from_the_navigation():
    named = re.findall(r"[\w/-]+\.md", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    written = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}
    assert written <= set(named), written - set(named)


@pytest.mark.medium
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("name", ["index.md", "trackers.md"])
def test_what_a_page_shows_works(name, tmp_path, monkeypatch, capsys):
    """Its commands on smaller networks, one after the other in one folder; its code as it is."""
    for library in ("tensorboard", "mlflow"):
        pytest.importorskip(library, reason=f"{library} is not installed")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("groklab.results.files.os.fsync", lambda descriptor: None)
    small = "--modulus 7 --width 16 --heads 2 --layers 1"
    extra = {"train": f"{small} --steps 20 --no-figures", "sweep": f"{small} --steps 20 --workers 1", "continue": "--steps 30"}
    blocks = re.findall(r"```(bash|python)\n(.*?)```", page(name), flags=re.DOTALL)
    assert len(blocks) >= 2
    for language, block in blocks:
        if language == "python":
            exec(compile(block, name, "exec"), {})
            continue
        for command in block.splitlines():
            words = shlex.split(command)
            if words[0] == "groklab":
                assert cli.main(smaller(words[1:], shlex.split(extra.get(words[1], "")))) == 0, command
    assert "failed" not in capsys.readouterr().err
    assert (tmp_path / "runs" / "trackers" / "tensorboard").exists()


def test_the_map_of_the_house_has_every_file():
    plan = page("design.md").split("```")[1]
    modules = {path.name for path in Path(groklab.__file__).parent.rglob("*.py") if path.stem not in ("__init__", "__main__")}
    # A pair such as `circuit.py, circuit_page.py` names both; a longer name does not name the shorter one.
    named = set(re.findall(r"[\w]+\.py", plan))
    assert sorted(modules - named) == []
    assert sorted(named - modules) == []


def test_files_that_words_name_with_their_folder_exist():
    root = Path(groklab.__file__).parent
    texts = [*root.rglob("*.py"), *(root.parent / "docs").glob("*.md"), root.parent / "README.md"]
    rooms = "|".join(sorted(path.name for path in root.iterdir() if path.is_dir() and path.name != "__pycache__"))
    named = {(text.name, name) for text in texts for name in re.findall(rf"\b((?:{rooms})/\w+\.py)\b", text.read_text(encoding="utf-8"))}
    assert len(named) > 20
    assert sorted((text, name) for text, name in named if not (root / name).exists()) == []


PROSE = [ROOT / name for name in ("README.md", "CHANGELOG.md", "LOG.md")] + sorted((ROOT / "docs").glob("*.md"))


@pytest.mark.parametrize("path", PROSE, ids=lambda path: path.name)
def test_lines_of_prose_are_at_most_120_columns(path):
    is_code, long = False, []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if line.lstrip().startswith("```"):
            is_code = not is_code
        if not is_code and len(line) > 120 and not line.startswith("|"):
            long.append((number, line[:60]))
    assert long == []
