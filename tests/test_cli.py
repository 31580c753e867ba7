"""The command line as scripts and people use it."""

import json
import os
import pkgutil
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import groklab
from groklab.cli import VERBS, main
from groklab.config.run import Run

TINY = ["--operation", "addition", "--modulus", "5", "--width", "8", "--layers", "1", "--mlp-width", "8", "--stop", "never"]
PLUGIN = '''
from groklab.registry import operation

@operation(symbol="2x + y (mod n)")
def my_sum(x, y, n):
    """A sum of one's own."""
    return (2 * x + y) % n
'''


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """Waiting for the disk and checking shapes take most of the time of runs as small as these, and are tested elsewhere."""
    monkeypatch.setattr("groklab.results.files.os.fsync", lambda descriptor: None)
    monkeypatch.setattr("jaxtyping.config.jaxtyping_disable", True)


@pytest.fixture
def groklab_in(tmp_path, monkeypatch, capsys):
    """Runs a command in an empty folder: exit status, standard output, standard error."""
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()

    def command(*words):
        try:
            status = main([str(word) for word in words])
        except SystemExit as end:
            status = end.code
        return status, *capsys.readouterr()

    return command


@pytest.fixture(scope="module")
def twelve_steps(tmp_path_factory):
    """A results folder with one run; not to be changed."""
    runs = tmp_path_factory.mktemp("twelve") / "runs"
    assert main([*map(str, ("train", *TINY, "--steps", 12, "--no-figures", "--runs", runs))]) == 0
    return runs


@pytest.fixture
def trained(groklab_in, twelve_steps):
    """The same, in a folder that holds a run of 12 steps."""
    shutil.copytree(twelve_steps, "runs")
    return groklab_in


def result(answer):
    status, out, err = answer
    assert status == 0, err
    assert out.count("\n") == 1, "one JSON object and nothing else"
    return json.loads(out)


# — train —


def test_train_prints_one_json_object(groklab_in):
    found = result(groklab_in("train", *TINY, "--steps", 30, "--seed", 3, "--json", "--no-figures"))
    expected = {"id", "status", "steps", "memorized_at", "generalized_at", "train_accuracy", "validation_accuracy"}
    assert expected | {"train_loss", "validation_loss"} <= set(found)
    assert found["id"] == Run.of(operation="addition", modulus=5, width=8, layers=1, mlp_width=8, seed=3).id
    assert (found["status"], found["steps"]) == ("complete", 30)


def test_asking_again_finds_the_result_and_more_or_fewer_steps_share_it(groklab_in):
    first = result(groklab_in("train", *TINY, "--steps", 20, "--json", "--no-figures"))
    history = next(Path("runs").glob("*/history.jsonl"))
    written = history.stat()
    assert result(groklab_in("train", *TINY, "--steps", 20, "--json", "--no-figures")) == first
    assert (history.stat().st_ino, history.stat().st_mtime_ns) == (written.st_ino, written.st_mtime_ns)
    longer = result(groklab_in("train", *TINY, "--steps", 40, "--json", "--no-figures"))
    assert (longer["id"], longer["steps"]) == (first["id"], 40)
    shorter = result(groklab_in("train", *TINY, "--steps", 10, "--json", "--no-figures"))
    assert (shorter["id"], shorter["steps"], shorter["status"]) == (first["id"], 10, "complete")
    assert len(list(Path("runs").iterdir())) == 1


def test_what_stored_results_lack_of_what_was_asked_is_said(trained):
    _, out, err = trained("train", *TINY, "--steps", 12, "--no-figures", "--evaluations-per-decade", 3, "--measures", "none")
    assert err == ""
    words = ["--evaluations-per-decade", 50, "--checkpoints-per-decade", 20, "--measures", "weight_norm", "softmax_collapse"]
    _, out, err = trained("train", *TINY, "--steps", 12, "--no-figures", *words)
    told = (
        "without evaluations_per_decade 50 (stored: 25), checkpoints_per_decade 20 (stored: 8), measure softmax_collapse. `groklab measure`"
    )
    assert told in err
    assert "results: runs/addition" in out


def test_train_for_people_says_what_happened_and_where(groklab_in):
    status, out, err = groklab_in("train", *TINY, "--steps", 12)
    identity = next(Path("runs").iterdir()).name
    assert status == 0
    assert err == ""
    assert f"results: runs/{identity}" in out
    assert f"picture: runs/{identity}/figures/learning_curves.png" in out
    assert out.rstrip().endswith("within 12 steps")
    assert {path.name for path in Path("runs", identity, "figures").iterdir()} == {"learning_curves.png", "operation_table.png"}


def test_the_last_of_a_repeated_flag_wins(groklab_in):
    found = result(groklab_in("train", *TINY, "--steps", 5, "--steps", 7, "--seed", 1, "--seed", 2, "--json", "--no-figures"))
    assert found["steps"] == 7
    assert "-s2-" in found["id"]


def test_a_diverged_run_is_a_failure_that_says_what_to_do(groklab_in):
    flags = [*TINY, "--learning-rate", "1e30", "--norm", "none", "--warmup", 0, "--steps", 30, "--no-figures"]
    for _ in range(2):
        status, _, err = groklab_in("train", *flags)
        assert status == 1
        assert "loss is not finite at step" in err
        assert "Try a smaller learning rate." in err
    status, out, _ = groklab_in("train", *flags, "--json")
    assert status == 1
    assert json.loads(out)["status"] == "diverged"


def test_a_config_gives_the_same_run_and_flags_depart_from_it(trained):
    first = result(trained("show", "--json"))
    path = Path("runs", first["id"])
    for config in (path / "run.json", path):
        again = result(trained("train", "--config", config, "--json", "--no-figures"))
        assert (again["id"], again["steps"]) == (first["id"], 12)
    other = result(trained("train", "--config", path / "run.json", "--seed", 5, "--steps", 6, "--json", "--no-figures"))
    assert other["id"] == Run.of(operation="addition", modulus=5, width=8, layers=1, mlp_width=8, seed=5).id
    Path("tree.json").write_text(json.dumps(json.loads((path / "run.json").read_text(encoding="utf-8"))["run"]), encoding="utf-8")
    assert result(trained("train", "--config", "tree.json", "--json", "--no-figures"))["id"] == first["id"]
    Path("copied.json").write_bytes((path / "run.json").read_bytes())
    assert result(trained("train", "--config=copied.json", "--json", "--no-figures"))["id"] == first["id"]


def test_a_preset_is_where_flags_depart_from(groklab_in):
    flags = ["--operation", "addition", "--modulus", 5, "--width", 8, "--layers", 1, "--steps", 3, "--json", "--no-figures"]
    found = result(groklab_in("train", "--preset", "power_figure1_left", *flags))
    assert found["id"] == Run.of(operation="addition", modulus=5, width=8, layers=1, optimizer="adam", weight_decay=0.0).id
    plain = result(groklab_in("train", "--preset=power_default", *flags))
    assert plain["id"] == Run.of(operation="addition", modulus=5, width=8, layers=1).id


def test_a_plugin_is_named_trained_and_continued_without_its_file(groklab_in, own_registry):
    flags = ["--plugin", "my_lab.py", "--operation", "my_sum", *TINY[2:], "--steps", 5, "--json", "--no-figures"]
    Path("my_lab.py").write_text(PLUGIN, encoding="utf-8")
    first = result(groklab_in("train", *flags))
    assert first["id"].startswith("my_sum-5-f0.50-s0-")
    assert "my_sum" in groklab_in("list", "operations", "--plugin", "my_lab.py")[1]
    Path("my_lab.py").write_text(PLUGIN.replace("2 * x", "3 * x"), encoding="utf-8")
    assert result(groklab_in("train", *flags))["id"] != first["id"]
    Path("my_lab.py").unlink()
    longer = result(groklab_in("continue", first["id"], "--steps", 9, "--json", "--no-figures"))
    assert (longer["id"], longer["steps"]) == (first["id"], 9)
    assert {row["status"] for row in result(groklab_in("list", "runs", "--json"))["runs"]} == {"complete"}


def test_a_table_from_a_file_is_trained_by_its_content(groklab_in):
    cells = "x,y,z\n" + "".join(f"{x},{y},{(x + 2 * y) % 5}\n" for x in range(5) for y in range(5))
    Path("one.csv").write_text(cells, encoding="utf-8")
    Path("other.csv").write_text(cells, encoding="utf-8")
    flags = [*TINY[4:], "--steps", 5, "--json", "--no-figures"]
    first = result(groklab_in("train", "--file", "one.csv", *flags))
    assert result(groklab_in("train", "--file", "other.csv", "--operation", "from_file", *flags))["id"] == first["id"]
    Path("one.csv").unlink()
    assert result(groklab_in("continue", "latest", "--steps", 8, "--json", "--no-figures"))["steps"] == 8
    Path("other.csv").write_text(cells.replace("4,4,2", "4,4,1"), encoding="utf-8")
    assert result(groklab_in("train", "--file", "other.csv", *flags))["id"] != first["id"]


# — continue —


@pytest.mark.medium
def test_continue_goes_on_with_several_runs(trained):
    trained("train", *TINY, "--steps", 5, "--seed", 1, "--no-figures")
    ids = [row["id"] for row in result(trained("list", "runs", "--json"))["runs"]]
    found = result(trained("continue", *ids, "--steps", 20, "--json", "--no-figures"))
    assert [run["steps"] for run in found["runs"]] == [20, 20]
    assert result(trained("continue", ids[0], "--json", "--no-figures"))["steps"] == 20


@pytest.mark.medium
def test_a_run_that_stands_further_than_asked_is_told_as_it_stands_and_its_pictures_stay(groklab_in):
    train = ["train", *TINY]
    assert groklab_in(*train, "--steps", 20)[0] == 0
    folder = next(Path("runs").iterdir())
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}
    assert any(path.name == "learning_curves.png" for path in before)

    status, out, err = groklab_in("continue", "latest", "--steps", 10)
    assert status == 0
    assert f"{folder.name} stands at step 20 already, past the 10 asked for: nothing was trained or changed." in out
    assert "within 20 steps" in out
    assert "within 10 steps" not in out + err

    status, out, err = groklab_in("continue", "latest", folder.name, "--steps", 10, "--json")
    assert [run["steps"] for run in json.loads(out)["runs"]] == [20, 20]
    assert err.count("stands at step 20 already") == 2

    for words in (train, ["train", "--config", folder / "run.json"]):
        status, out, _ = groklab_in(*words, "--steps", 10)
        assert f"{folder.name} is stored up to step 20; what follows is of its first 10 steps. Nothing was changed." in out
        assert "within 10 steps" in out
    status, out, err = groklab_in(*train, "--steps", 10, "--json")
    assert json.loads(out)["steps"] == 10
    assert "is stored up to step 20" in err

    status, out, _ = groklab_in("sweep", *TINY, "--steps", 10, "--seed", 0, "--workers", 1)
    assert "1 were stored (some for more steps than asked; results are within those asked)" in out
    assert before == {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}

    assert groklab_in("continue", "latest", "--steps", 25)[0] == 0
    assert (folder / "figures" / "learning_curves.png").stat().st_mtime_ns != before[folder / "figures" / "learning_curves.png"][1]


# — show, list, table —


def test_show_prints_a_run(trained):
    status, out, _ = trained("show")
    assert status == 0
    for words in ("addition-5-f0.50-s0-", "12 of 12", "non-embedding", "modulus 5", "complete"):
        assert words in out
    found = result(trained("show", "latest", "--json"))
    assert {"run", "parameters", "segments", "checkpoints"} <= set(found)
    assert found["checkpoints"][-1] == 12
    assert trained("show", found["id"][:12], f"runs/{found['id']}")[0] == 0


def test_show_makes_a_table_of_all_runs_or_of_those_named(trained):
    trained("train", *TINY, "--steps", 5, "--seed", 1, "--no-figures")
    assert len(result(trained("show", "--table", "--json"))["runs"]) == 2
    assert len(result(trained("show", "latest", "--table", "--json"))["runs"]) == 1
    import polars

    for name, read in (("table.csv", polars.read_csv), ("table.parquet", polars.read_parquet)):
        status, out, _ = trained("show", "--table", "--output", name)
        assert (status, out.strip()) == (0, name)
        assert sorted(read(name)["seed"].to_list()) == [0, 1]
    status, _, err = trained("show", "--table", "--output", "table.xlsx")
    assert status == 2
    assert "ends in .csv or .parquet" in err


KINDS = ["operations", "groups", "architectures", "optimizers", "schedules", "losses", "interventions", "stops"]
KINDS += ["measures", "figures", "presets", "experiments", "claims", "runs"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_listed(groklab_in, kind):
    status, out, _ = groklab_in("list", kind)
    assert status == 0
    assert out.strip()
    found = result(groklab_in("list", kind, "--json"))
    assert list(found) == [kind]
    for entry in found[kind]:
        assert entry["name"] in out
        assert entry["description"]


def test_list_runs_says_what_each_did(trained):
    _, out, _ = trained("list", "runs")
    assert "addition-5-f0.50-s0-" in out
    assert "complete" in out
    assert "…" not in out


def test_presets_are_compared(groklab_in):
    found = result(groklab_in("list", "presets", "--diff", "power_default", "power_figure1_left", "--json"))
    assert found["differences"] == {"optimizer": ["adamw", "adam"], "weight_decay": [1.0, 0.0], "steps": [100_000, 1_000_000]}
    status, out, _ = groklab_in("list", "presets", "--diff", "power_default", "power_figure1_left")
    assert status == 0
    assert "1,000,000" in out
    assert "They do not differ." in groklab_in("list", "presets", "--diff", "power_default", "power_default")[1]


def test_a_table_is_printed_in_three_forms(groklab_in):
    flags = ["table", "--operation", "division", "--modulus", 3]
    found = result(groklab_in(*flags, "--format", "json"))
    assert found["count"] == len(found["cells"]) == 6
    assert found["elements"] == ["0", "1", "2"]
    assert found["cells"][0] == {"x": "0", "y": "1", "z": "0"}
    assert set(found["properties"]) == {"commutative", "associative", "latin_square", "group"}
    status, out, _ = groklab_in(*flags, "--format", "csv")
    assert status == 0
    assert out.splitlines()[:2] == ["x,y,z", "0,1,0"]
    assert len(out.splitlines()) == 7
    status, out, _ = groklab_in(*flags)
    assert status == 0
    assert "x / y (mod 3): 6 cells, 3 elements" in out


def test_a_printed_table_is_read_as_a_file(groklab_in):
    Path("table.csv").write_text(groklab_in("table", "--group", "dihedral(3)", "--format", "csv")[1], encoding="utf-8")
    there = result(groklab_in("table", "--file", "table.csv", "--format", "json"))
    assert there["properties"]["group"] is True
    assert there["count"] == 36


@pytest.mark.parametrize("flags", [["--operation", "s5_product"], ["--expression", "x*y + 1", "--modulus", 7], ["--modulus", 199]])
def test_a_large_table_is_cut_to_the_screen(groklab_in, flags):
    status, out, _ = groklab_in("table", *flags)
    assert status == 0
    assert max(map(len, out.splitlines())) <= 120
    assert len(out.splitlines()) <= 32


# — figure —


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("f.png", b"\x89PNG"),
        pytest.param("deep/f.svg", b"<?xml", marks=pytest.mark.medium),
        pytest.param("f.pdf", b"%PDF", marks=pytest.mark.medium),
    ],
)
def test_a_figure_is_drawn_in_the_format_of_its_name(trained, name, start):
    status, out, err = trained("figure", "learning_curves", "latest", "--output", name)
    assert (status, out.strip()) == (0, name), err
    assert Path(name).read_bytes().startswith(start)


def test_a_figure_goes_beside_its_run_unless_told_otherwise(trained):
    found = result(trained("figure", "learning_curves", "latest", "--json"))
    assert Path(found["output"]).exists()
    assert found["output"] == f"runs/{found['runs'][0]}/figures/learning_curves.png"
    assert trained("figure", "operation_table", "latest", "--checkpoint", 0)[0] == 0


@pytest.mark.parametrize(
    ("words", "status", "expected"),
    [
        (["learning_curves", "latest", "--output", "new/f.jpg"], 2, "expected a name that ends in"),
        (["learning_curves", "latest", "--output", "new/f"], 2, "expected a name that ends in"),
        (["learning_curves", "latest", "--checkpoint", "3"], 2, "shows the whole history"),
        (["operation_table", "latest", "--checkpoint", "9999"], 1, "the nearest are at"),
        (["learning_curves"], 2, "RUN"),
    ],
)
def test_a_figure_that_cannot_be_drawn_is_explained(trained, words, status, expected):
    found, out, err = trained("figure", *words)
    assert found == status
    assert expected in err
    assert out == ""
    assert not Path("new").exists()


# — remove —


def test_remove_asks_and_needs_somebody_to_ask(trained, monkeypatch):
    import io

    status, _, err = trained("remove", "latest")
    assert status == 2
    assert "got 1 run and nobody to ask; expected --yes. Nothing was removed." in err
    for answer, left in (("n\n", 1), ("\n", 1), ("", 1), ("yes\n", 0)):
        stream = io.StringIO(answer)
        stream.isatty = lambda: True
        monkeypatch.setattr(sys, "stdin", stream)
        status, out, err = trained("remove", "latest")
        assert status == 0
        assert "Remove 1 run for good?" in err
        assert len(list(Path("runs").iterdir())) == left
        assert ("nothing was removed." in out) == bool(left)


def test_remove_with_yes_says_what_it_removed(trained):
    identity = next(Path("runs").iterdir()).name
    assert result(trained("remove", identity, "--yes", "--json")) == {"removed": [identity], "refused": []}
    assert result(trained("remove", "--prune", "--yes", "--json")) == {"removed": [], "refused": []}


def test_remove_of_a_run_prunes_as_well_where_it_is_asked(trained):
    trained("train", *TINY, "--steps", 5, "--seed", 7, "--no-figures")
    damaged, named = next(Path("runs").glob("*-s7-*")), next(Path("runs").glob("*-s0-*"))
    (damaged / "run.json").write_text("{", encoding="utf-8")
    removed = result(trained("remove", named.name, "--prune", "--yes", "--json"))["removed"]
    assert sorted(removed) == sorted([damaged.name, named.name])


@pytest.mark.parametrize(
    ("verb", "flag"), [(("replicate", "figure1_left", "--dry-run"), "--output"), (("measure", "weight_norm", "latest"), "--into")]
)
@pytest.mark.parametrize("place", ["taken", "taken/inside"])
def test_a_place_for_a_folder_that_is_a_file_is_named_before_anything_is_done(trained, verb, flag, place):
    Path("taken").write_text("mine", encoding="utf-8")
    status, _, err = trained(*verb, flag, place)
    assert status == 2
    assert f"{flag}: got '{place}'; expected a folder, or a place for one. 'taken' is no folder." in err
    assert Path("taken").read_text(encoding="utf-8") == "mine"


def test_prune_removes_what_is_damaged_diverged_or_empty_and_nothing_else(trained):
    flags = ["--learning-rate", "1e30", "--norm", "none", "--warmup", 0, "--steps", 30, "--no-figures"]
    trained("train", *TINY, *flags)
    for seed in (1, 2, 3):
        trained("train", *TINY, "--steps", 5, "--seed", seed, "--no-figures")
    first, second, newer = (next(Path("runs").glob(f"*-s{seed}-*")) for seed in (1, 2, 3))
    (first / "run.json").write_text("{", encoding="utf-8")
    (second / "history.jsonl").write_bytes(b"garbage\n")
    (newer / "run.json").write_text(
        (newer / "run.json").read_text(encoding="utf-8").replace('"format": 1', '"format": 2'), encoding="utf-8"
    )
    left = Path("runs", "addition-97-f0.50-s0-0123abcd")
    left.mkdir()
    mine = Path("runs", "my-figures-for-s1-paper")
    mine.mkdir()
    removed = result(trained("remove", "--prune", "--yes", "--json"))["removed"]
    assert len(removed) == 4
    assert {first.name, second.name, left.name} <= set(removed)
    assert mine.exists()
    assert newer.exists()
    assert len(list(Path("runs").iterdir())) == 3


def test_a_run_in_progress_is_not_removed(trained):
    from groklab.results.lock import Lock

    folder = next(Path("runs").iterdir())
    with Lock(folder):
        status, _, err = trained("remove", folder.name, "--yes")
    assert status == 1
    assert "is being trained by process" in err
    assert folder.exists()


# — the door itself —


def test_help_names_every_verb_and_no_verb_is_an_error(groklab_in):
    for words in (["--help"], ["-h"], ["help"]):
        status, out, _ = groklab_in(*words)
        assert status == 0
        assert all(verb in out for verb in VERBS)
    assert groklab_in()[0] == 2
    assert groklab_in("--version") == (0, f"groklab {groklab.__version__}\n", "")


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(groklab_in, verb):
    status, out, _ = groklab_in(verb, "--help")
    assert status == 0
    assert f"usage: groklab {verb}" in out
    if verb not in ("table", "check"):  # which are about no results
        assert "--runs" in out


def python(code, **options):
    return subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, **options, encoding="utf-8")


def test_help_loads_nothing_heavy():
    code = "import sys; from groklab.cli import main; main(['--help']); print([m for m in ('torch', 'tyro', 'numpy', 'polars') if m in sys.modules])"
    done = python(code)
    assert done.stdout.endswith("[]\n"), done.stderr


def test_the_reading_half_never_imports_torch():
    import groklab.analysis
    import groklab.arguments
    import groklab.config
    import groklab.data
    import groklab.figures
    import groklab.results

    names = [
        "groklab.registry",
        "groklab.laboratory.runs",
        "groklab.stored.run",
        "groklab.display.tables",
        *(f"groklab.commands.{verb}" for verb in ("show", "show_table", "list", "table", "figure", "remove", "dashboard")),
        "groklab.display.terminal",
        "groklab.cli",
    ]
    for package in (groklab.arguments, groklab.config, groklab.data, groklab.results, groklab.analysis, groklab.figures):
        names += [module.name for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")]
    done = python(
        f"import importlib, sys\nfor name in {names!r}:\n importlib.import_module(name)\n assert 'torch' not in sys.modules, name"
    )
    assert done.returncode == 0, done.stderr


WITHOUT_TORCH = """
import sys

class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "torch":
            raise ModuleNotFoundError("No module named 'torch'", name=name)

sys.meta_path.insert(0, NoTorch())
from groklab.cli import main
for words in {commands!r}:
    status = main(words)
    assert status == 0, (words, status)
"""


@pytest.mark.medium
def test_stored_results_are_read_on_a_machine_without_torch(trained, tmp_path):
    identity = next(Path("runs").iterdir()).name
    commands = [
        ["list", "runs"],
        ["list", "runs", "--json"],
        ["list", "operations"],
        ["list", "figures"],
        ["show", identity],
        ["show", "latest", "--json"],
        ["show", "--table", "--output", "table.csv"],
        ["show", "--table", "--by", "operation"],
        ["show", "--table", "--statistic", "law"],
        ["table", "--operation", "division", "--modulus", "7"],
        ["figure", "learning_curves", "latest", "--output", "curves.png"],
        ["figure", "operation_table", "latest", "--output", "table.svg"],
        ["remove", identity, "--yes"],
    ]
    path = os.pathsep.join(filter(None, [str(Path(groklab.__file__).parent.parent), os.environ.get("PYTHONPATH")]))
    done = python(WITHOUT_TORCH.format(commands=commands), cwd=tmp_path, env={**os.environ, "PYTHONPATH": path})
    assert done.returncode == 0, done.stderr
    assert Path("curves.png").exists()
    assert Path("table.svg").exists()


def test_a_pipe_whose_reader_leaves_is_no_error():
    command = f"{sys.executable} -W error -m groklab table --modulus 97 --format csv | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, encoding="utf-8")
    assert done.stdout == "x,y,z\n"
    assert done.stderr == ""


def test_an_operation_that_is_asked_for_is_not_replaced_by_one_that_is_implied(capsys):
    assert main(["table", "--group", "cyclic(3)"]) == 0
    assert main(["table", "--operation", "division", "--group", "cyclic(3)"]) == 2
    assert "group: got 'cyclic(3)'; expected nothing: the operation division takes no group" in capsys.readouterr().err
    assert main(["train", "--operation=division", "--expression", "x"]) == 2
    assert "expression: got 'x'; expected nothing: the operation division takes no expression" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["--plugin", "a.py", "--seed", "1", "--plugin", "b.py", "--steps", "5"],
        ["--plugin=a.py", "--plugin=b.py", "--steps", "5", "--seed=1"],
        ["--seed", "1", "--steps", "5", "--plugin", "a.py", "b.py"],
    ],
)
def test_plugins_may_be_named_together_or_one_by_one(words):
    from groklab.arguments.parsing import parse, value_of
    from groklab.arguments.training import sweep_arguments

    asked = parse(sweep_arguments(), "sweep", words)
    assert value_of("--plugin", words) == ["a.py", "b.py"]
    assert [str(path) for path in asked.plugin] == ["a.py", "b.py"]
    assert (asked.seed, asked.steps) == ((1,), (5,))


@pytest.mark.parametrize("more", [[], ["--plugin", "b.py"]])
def test_a_flag_with_a_space_in_its_value_is_no_value_of_the_flag_before_it(more):
    from groklab.arguments.parsing import parse, value_of
    from groklab.arguments.training import sweep_arguments

    words = ["--plugin", "a.py", "--expression=x + y", *more]
    assert value_of("--plugin", words) == ["a.py", *more[1:]]
    asked = parse(sweep_arguments(), "sweep", words)
    assert [str(path) for path in asked.plugin] == ["a.py", *more[1:]]
    assert asked.expression == ("x + y",)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--workers", "0"], "workers: got 0; expected a number of processes from 1 on"),
        (["--workers", "2", "--ray", "auto"], "workers and ray: got both"),
        (["--batch-size", "100"], "batch_size: got 100; expected at most the 24 training cells"),
        (["--decay-parameters", "nonsense"], "decay_parameters: got 'nonsense'; expected patterns of parameter names"),
    ],
)
def test_a_dry_run_refuses_what_the_run_itself_would(tmp_path, capsys, words, expected):
    flags = ["sweep", "--operation", "addition", "--modulus", "7", "--seed", "0", "1", *words, "--runs", str(tmp_path / "runs")]
    for more in ([], ["--dry-run"]):
        assert main([*flags, *more]) == 2
        assert expected in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("picture", "expected"),
    [
        ("a.jpg", "--picture: got 'a.jpg'; expected a file that ends in .png, .svg or .pdf"),
        ("/proc/nowhere/a.png", "--picture: got '/proc/nowhere/a.png'; expected a place that can be written"),
        ("folder.png", "--picture: got 'folder.png', a folder; expected a file"),
    ],
)
def test_a_picture_that_could_not_be_written_is_found_before_training(tmp_path, monkeypatch, capsys, picture, expected):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.png").mkdir()
    assert main(["train", "--modulus", "7", "--steps", "5", "--picture", picture]) == 2
    assert expected in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_a_table_may_be_asked_for_as_json_like_everything_else(capsys):
    assert main(["table", "--operation", "addition", "--modulus", "3", "--json", "--runs", "elsewhere"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert main(["table", "--operation", "addition", "--modulus", "3", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == found
    assert found["count"] == 9
