"""Operations: known answers, the paper's counts, declared properties, and the conformance of every registered one."""

from pathlib import Path

import numpy as np
import pytest

from groklab import registry
from groklab.config.fields import Task
from groklab.config.run import Run
from groklab.data.groups import group_named
from groklab.data.operations import prime
from groklab.data.table import Table
from groklab.data.tables import properties, table_of

PAPER = {
    "addition": (9409, True),
    "subtraction": (9409, False),
    "division": (9312, False),
    "division_or_subtraction": (9409, False),
    "sum_of_squares": (9409, True),
    "quadratic_form": (9409, True),
    "quadratic_form_plus_x": (9409, False),
    "cubic_xy": (9409, False),
    "cubic_xyy_plus_y": (9409, False),
    "s5_product": (14400, False),
    "s5_conjugation": (14400, False),
    "s5_sandwich": (14400, False),
    "multiplication": (9216, True),
}


def answer(table: Table, x: str, y: str) -> str:
    cell = int(table.find(table.elements.index(x), table.elements.index(y)))
    assert cell >= 0
    return table.elements[table.z[cell]]


@pytest.mark.parametrize(("name", "count", "symmetric"), [(name, *facts) for name, facts in PAPER.items()])
def test_cells_and_symmetry_are_the_papers(name: str, count: int, symmetric: bool) -> None:
    table = table_of(Task(operation=name))
    assert table.cells == count
    assert table.known.all()
    assert properties(table)["commutative"] is symmetric


@pytest.mark.parametrize(
    ("name", "x", "y", "z"),
    [
        ("addition", 5, 6, 4),
        ("subtraction", 2, 5, 4),
        ("multiplication", 3, 5, 1),
        ("division", 3, 5, 2),
        ("division", 0, 4, 0),
        ("division_or_subtraction", 3, 5, 2),
        ("division_or_subtraction", 3, 4, 6),
        ("division_or_subtraction", 3, 0, 3),
        ("sum_of_squares", 3, 4, 4),
        ("quadratic_form", 2, 3, 5),
        ("quadratic_form_plus_x", 2, 3, 0),
        ("cubic_xy", 2, 3, 0),
        ("cubic_xyy_plus_y", 2, 3, 1),
    ],
)
def test_answers_mod_7(name: str, x: int, y: int, z: int) -> None:
    assert answer(table_of(Task(operation=name, modulus=7)), str(x), str(y)) == str(z)


def test_answers_in_permutations() -> None:
    # x = (0 1), y = (1 2): x·y sends 0 → 1 → 2, 1 → 0 → 0, 2 → 2 → 1.
    x, y = "10234", "02134"
    assert answer(table_of(Task(operation="s5_product")), x, y) == "20134"
    assert answer(table_of(Task(operation="s5_conjugation")), x, y) == "21034"
    assert answer(table_of(Task(operation="s5_sandwich")), x, y) == "21034"
    # With x = (0 1 2), x·y·x differs from x·y·x⁻¹: here x·y = (0 → 2, 1 → 1, 2 → 0).
    assert answer(table_of(Task(operation="s5_product")), "12034", y) == "21034"
    assert answer(table_of(Task(operation="s5_sandwich")), "12034", y) == "02134"
    assert answer(table_of(Task(operation="s5_conjugation")), "12034", y) == "10234"


def test_s5_operations_are_the_group_operations() -> None:
    for name, entry in registry.entries("operation").items():
        if "same_as" in entry.facts:
            operation, group = entry.facts["same_as"]
            own, same = table_of(Task(operation=name)), table_of(Task(operation=operation, group=group))
            assert own.elements == same.elements
            assert (own.z == same.z).all()


# — conformance —


def task_for(name: str, modulus: int, folder: Path) -> Task:
    entry = registry.look_up("operation", name)
    match entry.facts.get("over", "modulus"):
        case "group":
            return Task(operation=name, group="symmetric(3)")
        case "file":
            file = folder / "table.csv"
            file.write_text(
                "x,y,z\n" + "\n".join(f"{x},{y},{(x + y) % modulus}" for x in range(modulus) for y in range(modulus)), encoding="utf-8"
            )
            return Task(operation=name, file=str(file))
        case "fixed group":
            return Task(operation=name)
        case _:
            return Task(operation=name, modulus=modulus, expression="x + 2*y" if name == "expression" else None)


@pytest.mark.parametrize("modulus", [5, 7, 11, 97])
@pytest.mark.parametrize("name", list(registry.entries("operation")))
def test_conformance(name: str, modulus: int, tmp_path: Path) -> None:
    entry = registry.look_up("operation", name)
    task = task_for(name, modulus, tmp_path)
    assert not Run(task=task).problems()
    table = table_of(task)
    assert table is table_of(task)
    assert entry.description
    assert entry.facts["symbol"]
    assert table.x.dtype == table.y.dtype == table.z.dtype == np.int32
    keys = table.x.astype(np.int64) * table.n + table.y
    assert (np.diff(keys) > 0).all(), "cells are in row-major order"
    assert ((table.z >= 0) & (table.z < table.n)).all()
    assert set(np.concatenate([table.x, table.y, table.z]).tolist()) == set(range(table.n)), "every element occurs"
    found = properties(table)
    for fact in ("commutative", "group"):
        if fact in entry.facts:
            assert found[fact] is entry.facts[fact]
    if entry.facts.get("over", "modulus") == "modulus":
        settings = {"formula": task.expression} if name == "expression" else {}
        residue = np.array([int(e) for e in table.elements])
        for _ in range(2):
            again = entry.function(residue[table.x], residue[table.y], modulus, **settings)
            assert (again == residue[table.z]).all()


@pytest.mark.parametrize(
    "name", [n for n, e in registry.entries("operation").items() if e.facts.get("over", "modulus") == "modulus" and n != "expression"]
)
def test_exact_at_the_largest_modulus(name: str) -> None:
    n = 1999
    x, y = np.random.default_rng(1).integers(1, n, (2, 300))
    z = registry.look_up("operation", name).function(x, y, n)
    inverse = {int(v): pow(int(v), -1, n) for v in y}
    formulas = {
        "addition": lambda a, b: a + b,
        "subtraction": lambda a, b: a - b,
        "multiplication": lambda a, b: a * b,
        "division": lambda a, b: a * inverse[b],
        "division_or_subtraction": lambda a, b: a * inverse[b] if b % 2 else a - b,
        "sum_of_squares": lambda a, b: a**2 + b**2,
        "quadratic_form": lambda a, b: a**2 + a * b + b**2,
        "quadratic_form_plus_x": lambda a, b: a**2 + a * b + b**2 + a,
        "cubic_xy": lambda a, b: a**3 + a * b,
        "cubic_xyy_plus_y": lambda a, b: a**3 + a * b**2 + b,
    }
    assert z.tolist() == [formulas[name](a, b) % n for a, b in zip(x.tolist(), y.tolist(), strict=True)]


# — C12: the same task with renamed elements —


@pytest.mark.parametrize(("p", "root"), [(5, 2), (7, 3), (11, 2), (97, 5)])
def test_multiplication_is_addition_renamed_by_a_primitive_root(p: int, root: int) -> None:
    rename = [str(pow(root, k, p)) for k in range(p - 1)]
    added, multiplied = table_of(Task(operation="addition", modulus=p - 1)), table_of(Task(operation="multiplication", modulus=p))
    assert sorted(rename) == sorted(multiplied.elements)
    for x, y, z in zip(added.x, added.y, added.z, strict=True):
        assert answer(multiplied, rename[x], rename[y]) == rename[z]


@pytest.mark.parametrize(("p", "root"), [(7, 3), (97, 5)])
def test_division_is_subtraction_renamed_by_a_primitive_root(p: int, root: int) -> None:
    rename = [str(pow(root, k, p)) for k in range(p - 1)]
    subtracted, divided = table_of(Task(operation="subtraction", modulus=p - 1)), table_of(Task(operation="division", modulus=p))
    for x, y, z in zip(subtracted.x, subtracted.y, subtracted.z, strict=True):
        assert answer(divided, rename[x], rename[y]) == rename[z]
    assert (divided.names[divided.x] != "0").sum() == subtracted.cells


def test_a_formula_equals_the_operation_it_writes() -> None:
    for name, formula in (("division_or_subtraction", "x/y if y % 2 == 1 else x - y"), ("cubic_xyy_plus_y", "x**3 + x*y**2 + y")):
        assert (table_of(Task(operation=name)).z == table_of(Task(operation="expression", expression=formula)).z).all()
    assert table_of(Task(operation="expression", expression="x + y", modulus=5)).symbol == "x + y (mod 5)"
    assert table_of(Task(operation="group_product", group="dihedral( 3 )")).symbol == "x · y in dihedral(3)"


# — checks —


def problems(**fields: object) -> list[str]:
    return [str(problem) for problem in Run.of(**fields).problems()]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"modulus": 96}, "modulus: got 96; expected a prime. The nearest are 89 and 97."),
        ({"operation": "multiplication", "modulus": 9}, "expected a prime. The nearest are 7 and 11."),
        ({"operation": "division_or_subtraction", "modulus": 4}, "expected a prime. The nearest are 3 and 5."),
        ({"operation": "addition", "modulus": 2001}, "modulus: got 2001; expected at most 2,000. Its table would have 4,004,001 cells"),
        ({"operation": "addition", "modulus": 10**30}, "about 10^60 cells"),
        ({"group": "symmetric(99)"}, "about 10^311 cells; expected at most 4,000,000"),
        ({"operation": "group_product"}, "group: got None; expected a group"),
        ({"operation": "from_file"}, "file: got None; expected a file"),
        ({"file": ""}, "file: got ''; expected a file"),
        ({"group": ""}, "group: got ''; expected a group"),
        ({"operation": "expression"}, "expression: got None; expected an expression, which"),
        ({"expression": "foo(x)"}, "expression: found a call"),
        ({"expression": "x/y"}, "y = 0 has no inverse mod 97 at 97 of 9,409 cells"),
        ({"file": "nowhere.csv"}, "file: nowhere.csv: no such file"),
        ({"train_fraction": 1e-5}, "9,312 known cells: this leaves 0 to train and 9,312 to validate"),
        ({"train_fraction": 0.99999}, "this leaves 9,312 to train and 0 to validate"),
        ({"group": "cyclic(1)"}, "1 known cells: this leaves 0 to train and 1 to validate"),
        ({"outliers": 4657}, "outliers: got 4657; expected at most the 4,656 training cells"),
    ],
)
def test_wrong_tasks_are_explained(fields: dict[str, object], words: str) -> None:
    found = problems(**fields)
    assert any(words in problem for problem in found), found
    assert len(found) == 1


def test_several_problems_at_once() -> None:
    assert len(problems(expression="foo(x)", modulus=5000)) == 2


def test_right_tasks_pass() -> None:
    for fields in ({}, {"outliers": 4656}, {"outliers": 0.001}, {"modulus": 2}, {"group": "cyclic(2)"}, {"mirror_pairs": "together"}):
        assert problems(**fields) == []


def test_nearest_primes() -> None:
    assert prime(97) is None
    assert prime(1) == ("a prime", "The nearest is 2.")
    assert prime(2000) == ("a prime", "The nearest are 1999 and 2003.")


PLUGIN = '''
import numpy as np
from groklab.registry import operation

@operation(symbol="max(x, y)", commutative=True)
def tests_maximum(x, y, n):
    """The larger of two."""
    return np.maximum(x, y)

@operation(symbol="x y^2", domain=lambda x, y, n: x != y, requires=lambda n: n % 2 == 1)
def tests_partial(x, y, n):
    """Not on the diagonal; it works in place."""
    x *= y
    x *= y
    return x % n

@operation(symbol="x y^2", domain=lambda x, y, n: x != x)
def tests_empty_domain(x, y, n):
    """Nowhere."""
    return x

@operation(symbol="x + y")
def tests_unreduced(x, y, n):
    """Forgets to reduce."""
    return x + y

@operation(symbol="x / y")
def tests_decimals(x, y, n):
    """Decimals."""
    return x / (y + 1)

@operation(symbol="1")
def tests_scalar(x, y, n):
    """One number."""
    return 1

@operation(symbol="x / y")
def tests_raises(x, y, n):
    """Divides by zero."""
    return x // y

@operation(symbol="x + y", requires=lambda n: np.bool_(n > 5))
def tests_numpys_truth(x, y, n):
    """For more than five elements."""
    return (x + y) % n

@operation(symbol="x + y", requires=lambda n: 1 / (n - 7) > 0)
def tests_raising_requires(x, y, n):
    """Fails to say what it requires."""
    return (x + y) % n
'''


def test_a_plugin_registers_operations(tmp_path: Path, own_registry: object) -> None:
    file = tmp_path / "lab.py"
    file.write_text(PLUGIN, encoding="utf-8")
    registry.load_plugin(file)
    table = table_of(Task(operation="tests_maximum", modulus=9))
    assert (table.cells, table.n) == (81, 9)
    assert properties(table) == {"commutative": True, "associative": True, "latin_square": False, "group": False}
    partial = table_of(Task(operation="tests_partial", modulus=5))
    assert partial.cells == 20
    assert answer(partial, "3", "2") == "2"
    assert properties(partial)["group"] is None
    for name, words in (
        ("tests_empty_domain", "its domain mod 97 is empty"),
        ("tests_unreduced", r"got 97 at x = 1, y = 96, and 4,656 of 9,409 answers outside 0 … 96. Reduce in the function"),
        ("tests_decimals", "got values of type float64; expected whole numbers"),
        ("tests_scalar", r"got shape \(\) from its function; expected \(9409,\)"),
        ("tests_raises", "its function failed with FloatingPointError: divide by zero"),
    ):
        with pytest.raises(ValueError, match=words):
            table_of(Task(operation=name))
    assert Run.of(operation="tests_numpys_truth", modulus=7).problems() == []
    assert [p.field for p in Run.of(operation="tests_numpys_truth", modulus=5).problems()] == ["modulus"]
    told = [str(problem) for problem in Run.of(operation="tests_raising_requires", modulus=7).problems()]
    failure = "its requires failed for the modulus 7 with ZeroDivisionError: division by zero."
    assert told == [f"operation: tests_raising_requires: {failure}"]


def test_group_operations_use_inverses() -> None:
    group = group_named("dihedral(4)")
    table = table_of(Task(operation="group_conjugation", group="dihedral(4)"))
    for x, y, z in zip(table.x.tolist(), table.y.tolist(), table.z.tolist(), strict=True):
        assert group.multiply(z, x) == group.multiply(x, y)
