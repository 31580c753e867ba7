"""Formulas: against an evaluator of Python integers written by itself, and every way of writing a wrong one."""

import ast

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from groklab.data.expressions import evaluate, parse


def grid(n: int) -> tuple[np.ndarray, np.ndarray]:
    number = np.arange(n)
    return np.repeat(number, n), np.tile(number, n)


def answers(text: str, n: int) -> np.ndarray:
    return evaluate(parse(text), *grid(n), n)


class NoAnswerError(Exception):
    pass


def by_definition(node: ast.AST, x: int, y: int, n: int) -> int:
    """One cell, with Python's own integers and short circuits."""

    def value(part: ast.AST) -> int:
        return by_definition(part, x, y, n)

    match node:
        case ast.Name(id=name):
            return {"x": x, "y": y, "n": n}[name]
        case ast.Constant(value=constant):
            return constant
        case ast.UnaryOp(op=ast.USub()):
            return -value(node.operand)
        case ast.UnaryOp(op=ast.Not()):
            return int(not value(node.operand))
        case ast.IfExp():
            return value(node.body) if value(node.test) else value(node.orelse)
        case ast.BoolOp():
            result = value(node.values[0])
            for part in node.values[1:]:
                if bool(result) != isinstance(node.op, ast.And):
                    return result
                result = value(part)
            return result
        case ast.Compare():
            left = value(node.left)
            for operator, part in zip(node.ops, node.comparators, strict=True):
                right = value(part)
                compared = {
                    "Eq": left == right,
                    "NotEq": left != right,
                    "Lt": left < right,
                    "LtE": left <= right,
                    "Gt": left > right,
                    "GtE": left >= right,
                }
                if not compared[type(operator).__name__]:
                    return 0
                left = right
            return 1
    left, right = value(node.left), value(node.right)
    match node.op:
        case ast.Add():
            return left + right
        case ast.Sub():
            return left - right
        case ast.Mult():
            return left * right
        case ast.Pow():
            return left**right
    if isinstance(node.op, ast.Div):
        inverse = next((k for k in range(n) if k * right % n == 1 % n), None)
        if inverse is None:
            raise NoAnswerError
        return left * inverse % n
    if right == 0:
        raise NoAnswerError
    return left % right if isinstance(node.op, ast.Mod) else left // right


leaves = st.sampled_from(["x", "y", "n", "0", "1", "2", "3", "7", "97", "4611686018427387904", "12345678901234567890"])


def combined(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "*", "/", "//", "%", "+", "*", "%"]), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        st.tuples(inner, st.sampled_from([0, 1, 2, 3, 5, 11])).map(lambda t: f"({t[0]})**{t[1]}"),
        st.tuples(inner, st.sampled_from(["==", "!=", "<", "<=", ">", ">="]), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        st.tuples(inner, inner, inner).map(lambda t: f"({t[0]} < {t[1]} <= {t[2]})"),
        st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        st.tuples(inner, inner, inner).map(lambda t: f"({t[0]} if {t[1]} else {t[2]})"),
        inner.map(lambda t: f"(not {t})"),
        inner.map(lambda t: f"(-{t})"),
    )


@settings(max_examples=400, deadline=None)
@given(st.recursive(leaves, combined, max_leaves=8), st.integers(2, 7))
def test_agrees_with_the_definition(text: str, n: int) -> None:
    expression = parse(text)
    x, y = grid(n)
    expected: list[int | None] = []
    for a, b in zip(x.tolist(), y.tolist(), strict=True):
        try:
            exact = by_definition(expression.tree, a, b, n)
            assume(abs(exact) < 10**4000)
            expected.append(exact % n)
        except NoAnswerError:
            expected.append(None)
    if None in expected:
        with pytest.raises(ValueError, match=rf"at \d+ of {n * n} cells|In all {expected.count(None)} cells"):
            evaluate(expression, x, y, n)
    else:
        assert evaluate(expression, x, y, n).tolist() == expected


def test_known_answers() -> None:
    x, y = np.array([4, 0, 3]), np.array([3, 0, 6])
    assert evaluate(parse("x**2 + 3*x*y + 5"), x, y, 7).tolist() == [57 % 7, 5, 68 % 7]
    assert evaluate(parse("x / 2"), x, y, 7).tolist() == [2, 0, 5]
    assert evaluate(parse("(x + y) % 2"), x, y, 7).tolist() == [1, 0, 1]
    assert evaluate(parse("(x - y) // 2"), x, y, 7).tolist() == [0, 0, 5]
    assert evaluate(parse("x > y"), x, y, 7).tolist() == [1, 0, 0]
    assert evaluate(parse("n - 1 - 0*x"), x, y, 7).tolist() == [6, 6, 6]


def test_arithmetic_before_a_remainder_is_exact() -> None:
    # 5 + 4 is 9, odd, although 9 mod 7 is 2.
    assert evaluate(parse("(x + y) % 2"), np.array([5]), np.array([4]), 7).tolist() == [1]
    assert answers("(x**50 + y) % 10", 11).tolist() == [(x**50 + y) % 10 % 11 for x in range(11) for y in range(11)]
    assert answers("(x**50 * y) // 3**20", 11).tolist() == [x**50 * y // 3**20 % 11 for x in range(11) for y in range(11)]


def test_a_branch_sees_only_its_cells() -> None:
    table = answers("x/y if y % 2 == 1 else x - y", 97).reshape(97, 97)
    assert table[5, 0] == 5
    assert table[1, 3] * 3 % 97 == 1
    assert answers("y and x/y", 5).reshape(5, 5)[:, 0].tolist() == [0] * 5
    assert answers("y == 0 or x % y", 5).reshape(5, 5)[:, 0].tolist() == [1] * 5
    assert answers("0 < y < 5/y", 5).reshape(5, 5)[:, 0].tolist() == [0] * 5


@pytest.mark.parametrize(
    ("text", "n", "words"),
    [
        ("x/y", 97, r"y = 0 has no inverse mod 97 at 97 of 9,409 cells \(x, y\): \(0, 0\), \(1, 0\), \(2, 0\), \(3, 0\), …"),
        ("x/y", 6, r"y = 4 has no inverse mod 6 at 6 of 36 cells"),
        ("x % y", 5, r"y = 0 divides by zero at 5 of 25 cells"),
        ("x // (y - 2)", 5, r"y - 2 = 0 divides by zero at 5 of 25 cells"),
        ("x % 0", 5, r"0 divides by zero at 25 of 25"),
        ("x / n", 5, r"no inverse mod 5 at 25 of 25"),
        ("1 / (x*y)", 30, r"In all 836 cells have none"),
    ],
)
def test_cells_without_an_answer_are_named(text: str, n: int, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        answers(text, n)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty formula"),
        ("   ", "empty formula"),
        ("x^2", r"the operator \^ \(write powers as \*\*\)"),
        ("x & y", "the operator &"),
        ("x | y", "the operator |"),
        ("~x", "the operator ~"),
        ("x @ y", "the operator @"),
        ("x << 2", "the operator <<"),
        ("z + x", "the name 'z'"),
        ("__import__('os')", "a call"),
        ("x.real", "an attribute"),
        ("x[0]", "square brackets"),
        ("1.5 * x", "float 1.5"),
        ("2j", "complex 2j"),
        ("'a'", "str 'a'"),
        ("f'{x}'", "a text"),
        ("True", "bool True"),
        ("None", "NoneType None"),
        ("...", r"\.\.\."),
        ("(x := 3)", "an assignment"),
        ("lambda: x", "a lambda"),
        ("x, y", "a comma"),
        ("[x]", "a list"),
        ("{x: y}", "braces"),
        ("x is y", "`is`"),
        ("x in (y,)", "`in`|a comma"),
        ("[x for x in y]", "ListComp"),
        ("x**y", "the exponent y"),
        ("x**-1", "the exponent -1"),
        ("x**1001", "the exponent 1001"),
        ("x**2**3", r"the exponent 2 \*\* 3"),
        ("2x", "could not read"),
        ("x = 3", "could not read"),
        ("x if y", "could not read"),
        ("x\0", "could not read"),
        ("(" * 300 + "x" + ")" * 300, "could not read"),
        ("-" * 900 + "x", "nested 901 deep|could not read"),
        ("x" + "+x" * 300, "nested 302 deep|nested 301 deep"),
        ("x" * 1001, "1,001 characters"),
    ],
)
def test_what_is_refused(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse(text)


@pytest.mark.medium
def test_enormous_values_are_either_quick_or_refused() -> None:
    """Otherwise this takes hours."""
    assert answers("((x**1000)**1000)**1000", 97).tolist() == [pow(x, 10**9, 97) for x in range(97) for _ in range(97)]
    assert answers("((x**1000)**1000)**1000 % 7", 97).tolist() == [pow(x, 10**9, 7) for x in range(97) for _ in range(97)]
    with pytest.raises(ValueError, match="more than 10,000 digits"):
        answers("((x**1000)**1000)**1000 > 1", 97)
    with pytest.raises(ValueError, match="more than 10,000 digits"):
        answers("(x**1000 * y**1000) * (x**1000 * y**1000) * (x**1000 * y**1000) // 2", 97)


@pytest.mark.medium
def test_work_beyond_patience_is_refused() -> None:
    with pytest.raises(ValueError, match="take too long"):
        answers("(((x+y)**1000 + 1) * ((x+y)**1000 + 3)) // ((x+y)**1000 + 1)" + " + (x+y)**1000 // 3" * 40, 600)


def test_the_deepest_formula_is_computed() -> None:
    text = "x" + "+x" * 95
    assert answers(text, 5).tolist() == [96 * x % 5 for x in range(5) for _ in range(5)]
    assert ast.unparse(parse(text).tree)


def test_the_modulus_has_bounds() -> None:
    with pytest.raises(ValueError, match="got the modulus 0"):
        evaluate(parse("x"), np.array([0]), np.array([0]), 0)
    large = 2_999_999_929
    x = np.array([large - 1])
    assert evaluate(parse("x*x*x"), x, x, large).tolist() == [(large - 1) ** 3 % large]
