"""Names: registration, calls as text, and plugins."""

from pathlib import Path

import pytest

from groklab import registry
from groklab.registry import Call, canonical_call, look_up, nearest, parse_call

PLUGIN = '''
from groklab.registry import operation

@operation(symbol="{factor}x + y (mod n)")
def {name}(x, y, n):
    """A sum of one's own."""
    return ({factor} * x + y) % n
'''


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch):
    """What a test registers is forgotten after it."""
    for kind in ("operation", "group"):
        registry.entries(kind)
    monkeypatch.setattr(registry, "_entries", {kind: dict(registry.entries(kind)) for kind in registry.HOMES})
    monkeypatch.setattr(registry, "_plugins", dict(registry._plugins))


def plugin(folder: Path, *, name: str = "my_sum", factor: int = 2, file: str = "my_lab.py") -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / file
    path.write_text(PLUGIN.format(name=name, factor=factor))
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


def test_another_version_of_a_plugin_takes_the_place_of_the_first_and_back(tmp_path):
    old, new = plugin(tmp_path / "old"), plugin(tmp_path / "new", factor=3)
    for path, factor in ((old, 2), (new, 3), (old, 2)):
        registry.load_plugin(path)
        assert look_up("operation", "my_sum").function(1, 0, 7) == factor


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
    path.write_text(path.read_text() + "\n1 / 0\n")
    with pytest.raises(ValueError, match=r"plugin my_lab.py: ZeroDivisionError: division by zero. Nothing of it was registered."):
        registry.load_plugin(path)
    with pytest.raises(ValueError, match="unknown operation"):
        look_up("operation", "my_sum")


@pytest.mark.parametrize("name", ["addition", "division"])
def test_a_plugin_may_not_take_the_name_of_a_built_in(tmp_path, name):
    with pytest.raises(ValueError, match=f"operation '{name}' is already registered by groklab.data"):
        registry.load_plugin(plugin(tmp_path, name=name))


@pytest.mark.parametrize("content", ["def", "x = (", "import nothing_of_that_name", "\x00"])
def test_a_plugin_that_is_not_python_is_refused(tmp_path, content):
    (tmp_path / "my_lab.py").write_text(content)
    with pytest.raises(ValueError, match="Nothing of it was registered"):
        registry.load_plugin(tmp_path / "my_lab.py")


def test_a_plugin_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ValueError, match="No such file"):
        registry.load_plugin(tmp_path / "my_lab.py")
