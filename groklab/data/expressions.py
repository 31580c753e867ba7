"""Formulas in x, y and n as a user types them, such as ``"x**2 + 3*x*y + 5"`` or ``"x/y if y % 2 == 1 else x - y"``.

A formula is read from Python's syntax tree through a list of what is allowed, and never by ``eval``. Its conventions:

- x and y are the representatives 0 … n−1, n is the modulus; arithmetic, ``//``, ``%`` and comparisons act on exact integers;
- ``/`` gives the representative of division mod n; reduction mod n comes last;
- a comparison counts as 0 or 1; ``and``, ``or`` and ``not`` are Python's, with 0 as false;
- a branch of ``if … else``, and what follows ``and`` or ``or``, sees only the cells that reach it.
"""

from __future__ import annotations

import ast
import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from groklab.data.arithmetic import LARGEST_MODULUS, Evaluation
from groklab.text.values import shown

_LONGEST = 1000
_DEEPEST = 100
#: cells computed at a time, which bounds the memory of exact values
_CHUNK = 1 << 16

LARGEST_EXPONENT = 1000
ALLOWED = "x, y, n, whole numbers, + - * / // %, ** with an exponent from 0 to 1,000, comparisons, and/or/not, and `a if condition else b`"

_OPERATORS = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow)
_SIGNS = (ast.UAdd, ast.USub, ast.Not)
_COMPARISONS = (ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE)
_FOUND: dict[type[ast.AST], str] = {
    ast.Is: "`is`",
    ast.IsNot: "`is not`",
    ast.In: "`in`",
    ast.NotIn: "`not in`",
    ast.Call: "a call",
    ast.Attribute: "an attribute",
    ast.Subscript: "square brackets after a value",
    ast.Lambda: "a lambda",
    ast.NamedExpr: "an assignment (:=)",
    ast.JoinedStr: "a text",
    ast.Tuple: "a comma",
    ast.List: "a list",
    ast.Dict: "braces",
    ast.Set: "braces",
    ast.Starred: "a star in front of a value",
    ast.BitXor: "the operator ^ (write powers as **)",
    ast.BitAnd: "the operator & (write `and`)",
    ast.BitOr: "the operator | (write `or`)",
    ast.Invert: "the operator ~",
    ast.MatMult: "the operator @",
    ast.LShift: "the operator <<",
    ast.RShift: "the operator >>",
}


@dataclass(frozen=True)
class Expression:
    """A formula that has been read and holds nothing but what is allowed."""

    text: str
    tree: ast.expr


def parse(text: str) -> Expression:
    """Read a formula; ValueError says what was found that is not allowed, and what is."""
    if len(text) > _LONGEST:
        raise ValueError(f"got a formula of {len(text):,} characters; expected at most {_LONGEST:,}.")
    if not text.strip():
        raise ValueError(f"got an empty formula; expected one of {ALLOWED}.")
    try:
        with warnings.catch_warnings():
            # Python warns of `1if x else y`; whether a formula is allowed is decided below.
            warnings.simplefilter("ignore")
            tree = ast.parse(text.strip(), mode="eval").body
    except SyntaxError as error:
        where = f" at character {error.offset}" if error.offset else ""
        raise ValueError(f"could not read {shown(_short(text))}{where}: {error.msg}. Allowed are {ALLOWED}.") from None
    except (RecursionError, MemoryError, ValueError) as error:
        raise ValueError(f"could not read {shown(_short(text))}: {error}. Allowed are {ALLOWED}.") from None
    if _depth(tree) > _DEEPEST:
        raise ValueError(f"got {shown(_short(text))}, nested {_depth(tree)} deep; expected at most {_DEEPEST}.")
    found = _refused(tree)
    if found:
        raise ValueError(f"found {found} in {shown(_short(text))}. Allowed are {ALLOWED}.")
    return Expression(text.strip(), tree)


def evaluate(expression: Expression, x: npt.ArrayLike, y: npt.ArrayLike, n: int) -> npt.NDArray[np.int64]:
    """The answers 0 … n−1 of a formula at pairs of representatives; ValueError names the cells where it has none."""
    if not 1 <= n <= LARGEST_MODULUS:
        raise ValueError(f"got the modulus {n}; expected 1 to {LARGEST_MODULUS:,}.")
    pairs = np.broadcast_arrays(np.asarray(x, dtype=np.int64), np.asarray(y, dtype=np.int64))
    evaluation = Evaluation(pairs[0].ravel(), pairs[1].ravel(), n)
    answers = np.empty(pairs[0].size, dtype=np.int64)
    for start in range(0, answers.size, _CHUNK):
        cells = np.arange(start, min(start + _CHUNK, answers.size))
        answers[cells] = evaluation.residues(expression.tree, cells, n)
    if evaluation.failures:
        raise ValueError(f"{shown(_short(expression.text))} has no answer: " + " ".join(evaluation.failure_sentences()))
    return answers.reshape(pairs[0].shape)


def _short(text: str) -> str:
    return text if len(text) <= 80 else text[:77] + "…"


def _depth(tree: ast.AST) -> int:
    """Levels of a syntax tree, counted without recursion."""
    depth, level = 0, [tree]
    while level:
        depth += 1
        level = [child for node in level for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr)]
    return depth


def _refused(tree: ast.expr) -> str | None:
    """The first thing in a tree that is not allowed, in words."""
    exponents = {id(node.right) for node in ast.walk(tree) if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow)}
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name):
                found = None if name in ("x", "y", "n") else f"the name {shown(name)}"
            case ast.Constant(value=value):
                found = None if type(value) is int else f"{type(value).__name__} {shown(value)}" if value is not ... else "..."
            case ast.BinOp(op=operator):
                found = None if isinstance(operator, _OPERATORS) else _in_words(operator)
            case ast.UnaryOp(op=operator):
                found = None if isinstance(operator, _SIGNS) else _in_words(operator)
            case ast.Compare(ops=operators):
                found = next((_in_words(o) for o in operators if not isinstance(o, _COMPARISONS)), None)
            case ast.BoolOp() | ast.IfExp() | ast.expr_context() | ast.operator() | ast.unaryop() | ast.cmpop() | ast.boolop():
                found = None
            case _:
                found = _in_words(node)
        if found is None and id(node) in exponents and not (isinstance(node, ast.Constant) and 0 <= _whole(node) <= LARGEST_EXPONENT):
            found = f"the exponent {_short(ast.unparse(node))}"
        if found:
            return found
    return None


def _whole(node: ast.Constant) -> int:
    return node.value if isinstance(node.value, int) else -1


def _in_words(node: ast.AST) -> str:
    return _FOUND.get(type(node), type(node).__name__)
