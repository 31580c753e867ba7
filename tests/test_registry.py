"""Names: registration, calls as text, and plugins."""

import subprocess
import sys
from pathlib import Path

import pytest

from groklab import registry
from groklab.claims.expectations import can_decide
from groklab.claims.rules import Judgment
from groklab.config.run import Run
from groklab.laboratory.runs import train
from groklab.registry import Call, canonical_call, look_up, nearest, parse_call
from groklab.registry.sources import source_hash_of
from groklab.results.files import DamagedError
from groklab.results.store import RunFolder

PLUGIN = '''
from groklab.registry import operation

@operation(symbol="{factor}x + y (mod n)")
def {name}(x, y, n):
    """A sum of one's own."""
    return ({factor} * x + y) % n
'''


@pytest.fixture(autouse=True)
def _own_registry(own_registry):
    """What a test registers is forgotten after it."""


def plugin(folder: Path, *, name: str = "my_sum", factor: int = 2, file: str = "my_lab.py") -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / file
    path.write_text(PLUGIN.format(name=name, factor=factor), encoding="utf-8")
    return path


# — calls —


def test_a_call_is_read_from_its_syntax_tree():
    assert parse_call("adamw") == Call("adamw")
    assert parse_call(" f( b=2, a='x', c=-1.5, d=(1, [2]) ) ").settings == (("a", "x"), ("b", 2), ("c", -1.5), ("d", (1, [2])))
    assert str(parse_call("product(cyclic(3),dihedral( 4 ))")) == "product(cyclic(3), dihedral(4))"


@pytest.mark.parametrize(
    "text",
    ["", "1", "a.b", "a.b()", "a()()", "f(x)", "f(a=b)", "f(**{})", "f(a=1, a=2)", "f(a=1+1)", "f({1})", "f(a=f'')", "a b", "x" * 3000, "(" * 500]
    + ["__import__('os').system('true')", "f(a=b'')", "f(lambda: 1)"],
)  # fmt: skip
def test_what_is_not_a_call_is_refused(text):
    with pytest.raises(ValueError, match="expected"):
        parse_call(text)


def test_one_call_has_one_canonical_form():
    assert canonical_call("stop", "generalized( confirmations = 3 )") == "generalized"
    assert canonical_call("stop", "generalized(confirmations=5)") == "generalized(confirmations=5)"
    assert canonical_call("group", "product( cyclic(3),dihedral(4) )") == "product(cyclic(3), dihedral(4))"


def test_unknown_names_are_answered_with_the_nearest():
    with pytest.raises(ValueError, match=r"unknown operation 'additon'. Did you mean 'addition'"):
        look_up("operation", "additon")
    assert nearest("zzz", ["a", "b"]) == "Known: a, b."
    assert nearest("zzz", []) == "None is registered."


# — registration —


def test_a_name_is_taken_once():
    with pytest.raises(ValueError, match="'addition' is already registered by groklab.data"):

        @registry.operation(symbol="x")
        def addition(x, y, n):
            """Another addition."""


def test_names_are_in_snake_case_and_functions_have_docstrings():
    with pytest.raises(ValueError, match="snake_case"):
        registry.operation(symbol="x", name="MyOperation")(lambda x, y, n: x)
    with pytest.raises(ValueError, match="no docstring"):
        registry.operation(symbol="x", name="mine")(lambda x, y, n: x)


def test_what_is_declared_of_an_operation_is_checked():
    with pytest.raises(ValueError, match="got over='groups'; expected one of modulus, group, fixed group, file"):
        registry.operation(symbol="x", over="groups")
    with pytest.raises(TypeError, match="symbl"):
        registry.operation(symbl="x")

    with pytest.raises(ValueError, match="operation 'scaled': got the setting 'factor'; expected a function of x, y and n"):

        @registry.operation(symbol="factor * x")
        def scaled(x, y, n, *, factor=2):
            """Scaled."""
            return factor * x % n


def test_an_unknown_name_is_answered_with_the_command_that_lists_its_kind():
    with pytest.raises(ValueError, match="`groklab list losses` shows all"):
        look_up("loss", "zzz")
    assert (registry.KINDS["losses"], registry.KINDS["measures"]) == ("loss", "measure")


# — functions of a script or notebook —


def by_a_script(source: str) -> str:
    """The id of a run with the operation that a script registers."""
    scope: dict = {"__name__": "__main__"}
    exec(source, scope)
    return Run.of(operation="my_sum", modulus=7).id


def test_what_a_script_has_defined_is_in_the_id():
    script = PLUGIN.replace("{name}", "my_sum")
    first, again, edited = (by_a_script(script.replace("{factor}", str(factor))) for factor in (2, 2, 3))
    assert first == again != edited
    assert first.startswith("my_sum-7-f0.50-s0-")


def test_the_source_of_a_function_is_part_of_its_hash_with_its_decorator():
    def first(x):
        """Mine."""
        return x

    def second(x):
        """Mine."""
        return x + 1

    assert source_hash_of(first) == source_hash_of(first) != source_hash_of(second)
    assert source_hash_of(eval("lambda x: x in {1, 'a', 'b'}")) == source_hash_of(eval("lambda x: x in {'b', 'a', 1}"))
    assert source_hash_of(eval("lambda x: x + 1")) != source_hash_of(eval("lambda x: x + 2"))


# — plugins —


def test_a_plugin_registers_under_the_hash_of_its_source(tmp_path):
    path = plugin(tmp_path)
    registry.load_plugin(path)
    entry = look_up("operation", "my_sum")
    assert entry.plugin == path
    assert entry.source_hash is not None
    assert canonical_call("operation", "my_sum") == f"my_sum@{entry.source_hash}"
    assert registry.plugin_source(entry.source_hash) == path.read_bytes()
    assert not list(tmp_path.glob("__pycache__"))


def test_the_same_content_is_imported_once(tmp_path):
    registry.load_plugin(plugin(tmp_path / "a"))
    first = look_up("operation", "my_sum")
    registry.load_plugin(plugin(tmp_path / "b"))
    assert look_up("operation", "my_sum") is first


def test_copies_of_a_plugin_that_runs_keep_take_each_others_place_and_that_of_the_file(tmp_path):
    old = plugin(tmp_path / "old", file="my_lab-0123456789abcdef.py")
    new = plugin(tmp_path / "new", factor=3)
    for path, factor in ((old, 2), (new, 3), (old, 2)):
        registry.load_plugin(path)
        assert look_up("operation", "my_sum").function(1, 0, 7) == factor


def test_two_plugins_of_one_name_in_two_folders_do_not_take_each_others_names(tmp_path):
    registry.load_plugin(plugin(tmp_path / "a"))
    with pytest.raises(ValueError, match=r"operation 'my_sum' is already registered by .*/a/my_lab.py"):
        registry.load_plugin(plugin(tmp_path / "b", factor=3))
    assert look_up("operation", "my_sum").function(1, 0, 7) == 2


def test_a_name_that_an_edit_has_given_up_is_free(tmp_path):
    registry.load_plugin(plugin(tmp_path))
    registry.load_plugin(plugin(tmp_path, name="my_other_sum"))
    assert "my_sum" not in registry.entries("operation")
    registry.load_plugin(plugin(tmp_path, file="other.py", factor=3))
    with pytest.raises(ValueError, match="already registered by .*other.py"):  # the first version again
        registry.load_plugin(plugin(tmp_path))
    assert look_up("operation", "my_sum").function(1, 0, 7) == 3
    assert "my_other_sum" in registry.entries("operation")


def test_an_edit_within_a_second_is_seen(tmp_path):
    for factor in (2, 3, 4):
        registry.load_plugin(plugin(tmp_path, factor=factor))
        assert look_up("operation", "my_sum").function(1, 0, 7) == factor


def test_another_plugin_may_not_take_a_name(tmp_path):
    registry.load_plugin(plugin(tmp_path))
    with pytest.raises(ValueError, match=r"plugin other.py: ValueError: operation 'my_sum' is already registered by .*my_lab.py"):
        registry.load_plugin(plugin(tmp_path, file="other.py", factor=5))
    assert look_up("operation", "my_sum").function(1, 0, 7) == 2


def test_a_plugin_that_fails_registers_nothing(tmp_path):
    path = plugin(tmp_path)
    path.write_text(path.read_text(encoding="utf-8") + "\n1 / 0\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"plugin my_lab.py: ZeroDivisionError: division by zero. Nothing of it was registered."):
        registry.load_plugin(path)
    with pytest.raises(ValueError, match="unknown operation"):
        look_up("operation", "my_sum")


def test_a_plugin_that_ends_the_process_is_refused(tmp_path):
    (tmp_path / "my_lab.py").write_text("import sys\n\nsys.exit()\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"plugin my_lab.py: SystemExit. Nothing of it was registered."):
        registry.load_plugin(tmp_path / "my_lab.py")


FRESH = """
from pathlib import Path
from groklab import registry
from groklab.config.run import Run

Path("my_lab.py").write_text({source!r})
try:
    registry.load_plugin("my_lab.py")
except ValueError as error:
    print(error)
print(Run.of(interventions=("grokfast_ema",)).id, Run.of(loss="squared_error").id, registry.look_up("loss", "cross_entropy").plugin)
"""


def in_a_fresh_process(folder: Path, source: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", FRESH.format(source=source)], cwd=folder, capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_part_of_groklab_that_a_plugin_imports_first_stays_groklabs(tmp_path):
    expected = f"{Run.of(interventions=('grokfast_ema',)).id} {Run.of(loss='squared_error').id} None"
    assert in_a_fresh_process(tmp_path, "from groklab.training.interventions import grokfast_ema\n") == [expected]


def test_a_clash_with_a_built_in_name_is_found_when_the_plugin_is_loaded(tmp_path):
    source = 'from groklab import loss\n\n@loss()\ndef cross_entropy(logits, answers):\n    """Mine."""\n'
    clash, after = in_a_fresh_process(tmp_path, source)
    assert clash.startswith("plugin my_lab.py: ValueError: loss 'cross_entropy' is already registered by groklab.model")
    assert after.endswith(" None")


@pytest.mark.parametrize("name", ["addition", "division"])
def test_a_plugin_may_not_take_the_name_of_a_built_in(tmp_path, name):
    with pytest.raises(ValueError, match=f"operation '{name}' is already registered by groklab.data"):
        registry.load_plugin(plugin(tmp_path, name=name))


@pytest.mark.parametrize("content", ["def", "x = (", "import nothing_of_that_name", "\x00"])
def test_a_plugin_that_is_not_python_is_refused(tmp_path, content):
    (tmp_path / "my_lab.py").write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match="Nothing of it was registered"):
        registry.load_plugin(tmp_path / "my_lab.py")


def test_a_plugin_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ValueError, match="No such file"):
        registry.load_plugin(tmp_path / "my_lab.py")


def test_what_is_registered_in_isolation_is_forgotten_afterwards(tmp_path):
    before = {kind: registry.entries(kind) for kind in registry.HOMES}, registry.plugins(), Run.of(operation="addition").id
    file = plugin(tmp_path, name="tests_of_isolation")
    with registry.isolated():
        registry.load_plugin(file)
        inner = Run.of(operation="tests_of_isolation", modulus=5).id
        assert registry.plugins()[-1][0] == file
        with registry.isolated():

            @registry.stop()
            def tests_of_nesting(history, threshold):
                """Never (of a test)."""
                return False

            assert "tests_of_nesting" in registry.entries("stop")
            assert Run.of(operation="tests_of_isolation", modulus=5).id == inner
        assert "tests_of_nesting" not in registry.entries("stop")
        assert "tests_of_isolation" in registry.entries("operation")
    assert ({kind: registry.entries(kind) for kind in registry.HOMES}, registry.plugins(), Run.of(operation="addition").id) == before
    with pytest.raises(ValueError, match="unknown operation 'tests_of_isolation'"):
        registry.look_up("operation", "tests_of_isolation")


def test_an_error_in_isolation_leaves_everything_as_it_was(tmp_path):
    before, modules = registry.entries("operation"), {name for name in sys.modules if name.startswith("groklab_plugin_")}

    def fails():
        with registry.isolated():
            registry.load_plugin(plugin(tmp_path, name="tests_of_isolation"))
            raise RuntimeError("in between")

    with pytest.raises(RuntimeError, match="in between"):
        fails()
    assert registry.entries("operation") == before
    assert {name for name in sys.modules if name.startswith("groklab_plugin_")} == modules


def test_a_plugin_that_is_loaded_again_in_isolation_keeps_its_module(tmp_path):
    file = plugin(tmp_path, name="tests_of_modules")
    registry.load_plugin(file)
    function = registry.look_up("operation", "tests_of_modules").function
    with registry.isolated():
        registry.forget_plugins()
        registry.load_plugin(file)
        assert registry.look_up("operation", "tests_of_modules").function is not function
    assert registry.look_up("operation", "tests_of_modules").function is function
    assert sys.modules[function.__module__].tests_of_modules is function, "as pickles look for it"


def test_a_stored_stop_rule_is_judged_by_what_is_registered_now(tmp_path):
    def own_rule(history, threshold, *, limit=5):
        """Never (of a test)."""

    def without_settings(history, threshold):
        """Never (of a test), and takes no limit."""

    with registry.isolated():
        registry.stop()(own_rule)
        run = Run.of(operation="addition", modulus=5, width=8, heads=2, layers=1, steps=2, stop="own_rule(limit=2)")
        folder = train(run, runs=tmp_path).folder
        assert RunFolder(folder.path).run() == run
    assert RunFolder(folder.path).run().budget.stop == "own_rule(limit=2)", "nobody knows it, so nobody says that it is wrong"
    with registry.isolated():
        registry.stop(name="own_rule")(without_settings)
        with pytest.raises(DamagedError, match="unknown setting 'limit'"):
            RunFolder(folder.path).run()


def test_a_claim_is_asked_anew_when_another_has_its_name():
    def claimed(verdict):
        @registry.claim(
            id="Z1", paper="mine", place="here", experiment="figure1_center", published="sooner", expects=lambda run: {}, name="own_claim"
        )
        def own_claim(table):
            """Sooner (of a test).

            Rule: whatever it is told.
            """
            return Judgment(verdict=verdict, reason="of a test")

        return registry.look_up("claim", "own_claim")

    for verdict, expected in (("reproduced", True), ("undecided", False)):
        with registry.isolated():
            assert can_decide(claimed(verdict), "smoke") is expected


def test_forgotten_plugins_are_unknown_until_they_are_loaded_again(tmp_path):
    file = plugin(tmp_path, name="tests_of_forgetting")
    registry.load_plugin(file)
    registry.forget_plugins()
    assert "tests_of_forgetting" not in registry.entries("operation")
    assert registry.plugins() == []
    registry.load_plugin(file)
    assert "tests_of_forgetting" in registry.entries("operation")


def test_what_is_computed_from_entries_is_computed_anew_after_a_change(tmp_path):
    first = registry.version()
    assert registry.version() is first
    registry.load_plugin(plugin(tmp_path, name="tests_of_versions"))
    assert registry.version() is not first


def test_only_the_files_that_register_are_imported():
    code = """
import sys
from groklab import registry
for kind in ("operation", "group", "stop", "preset", "experiment", "claim", "schedule"):
    assert registry.entries(kind), kind
print(sorted(name for name in sys.modules if name.startswith("groklab.training.")))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "['groklab.training.schedules']\n"


def test_the_id_of_a_run_follows_the_version_of_its_plugin(tmp_path):
    registry.load_plugin(plugin(tmp_path, factor=2))
    run = Run.of(operation="my_sum", modulus=5)
    first = run.id
    registry.load_plugin(plugin(tmp_path, factor=3))
    assert run.id != first
    registry.load_plugin(plugin(tmp_path, factor=2))
    assert run.id == first
