"""Finite groups: their axioms, their written names, and every way of asking wrongly."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groklab import registry
from groklab.config.fields import Task
from groklab.config.run import Run
from groklab.data.groups import FiniteGroup, group_named, group_problems, order_of
from groklab.data.properties import is_associative, is_latin_square
from groklab.data.tables import table_of
from groklab.registry.sources import is_built_in

EXAMPLES = [
    "cyclic(1)",
    "cyclic(12)",
    "dihedral(1)",
    "dihedral(5)",
    "symmetric(1)",
    "symmetric(4)",
    "alternating(1)",
    "alternating(2)",
    "alternating(5)",
    "quaternion()",
    "quaternion",
    "product(cyclic(3), dihedral(4))",
    "product(cyclic(2), product(cyclic(2), quaternion()))",
    "product(cyclic(2), cyclic(3), symmetric(3))",
]


def named(group: FiniteGroup, left: str, right: str) -> str:
    return group.elements[int(group.multiply(group.elements.index(left), group.elements.index(right)))]


def check_axioms(group: FiniteGroup) -> None:
    number = np.arange(group.order)
    assert is_latin_square(group.table)
    x, y, z = np.random.default_rng(0).integers(0, group.order, (3, 2000))
    assert (group.multiply(group.multiply(x, y), z) == group.multiply(x, group.multiply(y, z))).all()
    assert (group.multiply(number, group.identity) == number).all()
    assert (group.multiply(group.identity, number) == number).all()
    assert (group.multiply(number, group.inverse(number)) == group.identity).all()
    assert (group.multiply(group.inverse(number), number) == group.identity).all()
    assert len(set(group.elements)) == group.order


@pytest.mark.parametrize("text", EXAMPLES)
def test_axioms_and_stated_order(text: str) -> None:
    group = group_named(text)
    check_axioms(group)
    assert is_associative(group.table) is True
    assert order_of(registry.parse_call(text)) == group.order


def test_every_registered_group_has_an_example() -> None:
    own = {name for name, entry in registry.entries("group").items() if is_built_in(entry.function)}  # other tests register some as well
    assert own <= {text.split("(")[0] for text in EXAMPLES}


small = st.one_of(
    st.integers(1, 7).map(lambda n: f"cyclic({n})"),
    st.integers(1, 4).map(lambda n: f"dihedral({n})"),
    st.integers(1, 3).map(lambda n: f"symmetric({n})"),
    st.integers(1, 4).map(lambda n: f"alternating({n})"),
    st.just("quaternion()"),
)


@settings(max_examples=25, deadline=None)
@given(st.lists(small, min_size=2, max_size=3))
def test_axioms_of_products(factors: list[str]) -> None:
    group = group_named(f"product({', '.join(factors)})")
    check_axioms(group)
    assert group.order == math.prod(group_named(f).order for f in factors)
    assert all(name.count("|") == len(factors) - 1 for name in group.elements)


def test_elements_as_they_are_written() -> None:
    assert group_named("cyclic(3)").elements == ("0", "1", "2")
    assert group_named("dihedral(3)").elements == ("r0", "r1", "r2", "s0", "s1", "s2")
    assert group_named("symmetric(3)").elements == ("012", "021", "102", "120", "201", "210")
    assert group_named("alternating(3)").elements == ("012", "120", "201")
    assert group_named("quaternion()").elements == ("1", "-1", "i", "-i", "j", "-j", "k", "-k")
    assert group_named("product(cyclic(2), dihedral(1))").elements == ("0|r0", "0|s0", "1|r0", "1|s0")


def test_the_left_factor_acts_first() -> None:
    # (x·y)[i] = y[x[i]]: 0 goes to 1 by x and then to 2 by y.
    group = group_named("symmetric(5)")
    assert named(group, "10234", "02134") == "20134"
    assert named(group, "02134", "10234") == "12034"


def test_relations_of_the_dihedral_group() -> None:
    group = group_named("dihedral(5)")
    for k in range(5):
        assert named(group, f"r{k}", "s0") == f"s{k}"
        assert named(group, "s0", f"r{k}") == f"s{-k % 5}"
    assert named(group, "s2", "s2") == "r0"
    assert named(group, "s3", "s1") == "r2"


def test_hamilton() -> None:
    group = group_named("quaternion()")
    assert [named(group, *p) for p in ("ij", "jk", "ki", "ji", "ii")] == ["k", "i", "j", "-k", "-1"]
    assert named(group, "-i", "j") == "-k"
    assert named(group, "-1", "-1") == "1"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("symetric(3)", "Did you mean 'symmetric'"),
        ("product(cyclic(3), dihedrall(4))", "Did you mean 'dihedral'"),
        ("cyclic(0)", "got 0; expected a positive whole number"),
        ("cyclic(-3)", "got -3; expected a positive whole number"),
        ("cyclic(2.5)", "got 2.5; expected a positive whole number"),
        ("cyclic(True)", "got True; expected a positive whole number"),
        ("cyclic('a')", "got 'a'; expected a positive whole number"),
        ("cyclic(cyclic(3))", "got cyclic(3); expected a positive whole number"),
        ("cyclic", "expected cyclic(n)"),
        ("cyclic(2, 3)", "expected cyclic(n)"),
        ("cyclic(n=3)", "expected cyclic(n)"),
        ("quaternion(8)", "expected quaternion()"),
        ("product(cyclic(2))", "expected product(first, second, *others)"),
        ("product(cyclic(2), 3)", "got 3; expected a group such as cyclic(3)"),
        ("cyclic(2001)", "4,004,001 cells; expected at most 4,000,000"),
        ("symmetric(7)", "has 5,040 elements"),
        ("symmetric(99)", "about 10^311 cells; expected at most 4,000,000"),
        ("symmetric(1000000000)", "cells; expected at most 4,000,000"),
        ("alternating(1000000000)", "cells; expected at most 4,000,000"),
        ("product(symmetric(999999), symmetric(5))", "cells; expected at most 4,000,000"),
        (f"cyclic(1{'0' * 1900})", "about 10^3800 cells"),
        (f"product(cyclic(1{'0' * 900}), cyclic(1{'0' * 900}))", "cells; expected at most 4,000,000"),
        ("product(" * 150 + "cyclic(2)" + ")" * 150, "nested 151 deep"),
    ],
)
def test_wrong_groups_are_refused_before_they_are_built(text: str, words: str) -> None:
    """Most of them would fill the memory."""
    problems = registry.call_problems("group", text)
    assert any(words in problem for problem in problems), problems
    with pytest.raises(ValueError, match="group"):
        group_named(text)


def test_several_problems_at_once() -> None:
    assert len(group_problems(registry.parse_call("product(cyclic(0), dihedral('a'))"))) == 2


PLUGIN = '''
import numpy as np
from groklab.data.groups import FiniteGroup
from groklab.registry import group

@group(order=lambda n: 2**n)
def tests_of_bits(n: int, /):
    """Bits under exclusive or."""
    i = np.arange(2**n)
    return FiniteGroup(f"tests_of_bits({n})", tuple(f"{k:0{n}b}" for k in i), i[:, None] ^ i)

@group(order=lambda n: n)
def tests_of_subtraction(n: int, /):
    """Not a group: subtraction."""
    i = np.arange(n)
    return FiniteGroup("no", tuple(map(str, i)), (i[:, None] - i) % n)

@group(order=lambda: 3)
def tests_of_failure():
    """Raises."""
    raise KeyError("oops")
'''


def test_a_plugin_registers_groups(tmp_path) -> None:
    file = tmp_path / "lab.py"
    file.write_text(PLUGIN, encoding="utf-8")
    registry.load_plugin(file)
    check_axioms(group_named("tests_of_bits(3)"))
    check_axioms(group_named("product(tests_of_bits(2), cyclic(3))"))
    with pytest.raises(ValueError, match="not associative"):
        group_named("tests_of_subtraction(5)")
    with pytest.raises(ValueError, match="oops"):
        group_named("tests_of_failure()")
    with pytest.raises(ValueError, match="expected at most 4,000,000"):
        group_named("tests_of_bits(30)")
    with pytest.raises(ValueError, match="expected a positive whole number"):
        group_named("tests_of_bits(0)")


EDITED = """
import numpy as np
from groklab.data.groups import FiniteGroup
from groklab.registry import group

@group()
def tests_of_an_edit():
    \"\"\"Four elements in a cycle, or with one square.\"\"\"
    i = np.arange(4)
    return FiniteGroup("edited", tuple("abcd"), {table})
"""


@pytest.mark.parametrize("is_plugin", [True, False])
def test_a_group_that_is_edited_and_loaded_again_has_a_table_of_its_own(tmp_path, is_plugin, own_registry) -> None:
    tables = []
    for table in ("(i[:, None] + i) % 4", "i[:, None] ^ i"):
        source = EDITED.format(table=table)
        if is_plugin:
            (tmp_path / "lab.py").write_text(source, encoding="utf-8")
            registry.load_plugin(tmp_path / "lab.py")
        else:
            exec(source, {"__name__": "__main__"})
        task = Task(operation="group_product", group="product(tests_of_an_edit(), cyclic(2))")
        tables.append((group_named("tests_of_an_edit()").table[1, 1], table_of(task).z.tolist(), Run(task=task).id))
    assert all(first != second for first, second in zip(*tables, strict=True))


def test_a_group_of_a_script_has_to_prove_that_it_is_one(own_registry) -> None:
    exec(EDITED.format(table="(i[:, None] - i) % 4"), {"__name__": "__main__"})
    with pytest.raises(ValueError, match="not associative"):
        group_named("tests_of_an_edit()")


def test_a_group_without_its_brackets_is_answered_with_how_to_write_it() -> None:
    with pytest.raises(ValueError, match=r"such as quaternion\(\)"):
        group_named("product(quaternion, cyclic(2))")


def test_tables_that_are_no_groups() -> None:
    with pytest.raises(ValueError, match="expected one row and column"):
        FiniteGroup("wrong", ("a", "b"), np.zeros((2, 3), dtype=np.int64))
    with pytest.raises(ValueError, match="written twice"):
        FiniteGroup("wrong", ("a", "a"), np.zeros((2, 2), dtype=np.int64))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 4).flatmap(lambda n: st.lists(st.integers(0, n - 1), min_size=n * n, max_size=n * n)))
def test_associativity_agrees_with_its_definition(values: list[int]) -> None:
    n = math.isqrt(len(values))
    table = np.array(values).reshape(n, n)
    triples = [(x, y, z) for x in range(n) for y in range(n) for z in range(n)]
    assert is_associative(table) is all(table[table[x, y], z] == table[x, table[y, z]] for x, y, z in triples)
