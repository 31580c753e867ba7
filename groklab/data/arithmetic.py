"""Formulas computed at many cells at once: mod m where only the residue matters, exactly where the integer itself does.

A value that flows through + − · and ** into the final reduction is needed mod n only, and a value in front of ``% 7`` mod 7
only; int64 holds both. The operands of ``//``, of comparisons and of other ``%`` are computed exactly: in int64 where bounds
prove that nothing overflows, as Python integers otherwise.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

#: the product of two residues must fit int64
LARGEST_MODULUS = 3_000_000_000
_SAFE = 2**62
_DIGITS = 10_000
_BITS = 33_220
#: estimated seconds of big-integer work after which a formula is refused, so that none seems to hang
_PATIENCE = 20.0

Integers = npt.NDArray[np.int64]
#: int64, or object arrays of Python integers
Exact = npt.NDArray[Any]

_COMPARED: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


class Evaluation:
    """One formula at all its cells: the values of x and y, and the cells at which some step had no answer."""

    def __init__(self, x: Integers, y: Integers, n: int) -> None:
        self.x, self.y, self.n = x, y, n
        self.failures: dict[str, list[int]] = {}
        """What went wrong -> the cells at which it was the first thing to go wrong."""
        self._failed = np.zeros(len(x), dtype=bool)
        self._seconds = 0.0

    # — mod m —

    def residues(self, node: ast.expr, cells: Integers, m: int) -> Integers:
        """Values mod m at some cells."""
        match node:
            case ast.BinOp(op=ast.Add()):
                return (self.residues(node.left, cells, m) + self.residues(node.right, cells, m)) % m
            case ast.BinOp(op=ast.Sub()):
                return (self.residues(node.left, cells, m) - self.residues(node.right, cells, m)) % m
            case ast.BinOp(op=ast.Mult()):
                return self.residues(node.left, cells, m) * self.residues(node.right, cells, m) % m
            case ast.BinOp(op=ast.Pow()):
                return power(self.residues(node.left, cells, m), _literal(node.right), m)
            case ast.UnaryOp(op=ast.USub()):
                return -self.residues(node.operand, cells, m) % m
            case ast.UnaryOp(op=ast.UAdd()):
                return self.residues(node.operand, cells, m)
            case ast.IfExp():
                truth = self.exact(node.test, cells) != 0
                values = np.empty(cells.size, dtype=np.int64)
                values[truth] = self.residues(node.body, cells[truth], m) if truth.any() else 0
                values[~truth] = self.residues(node.orelse, cells[~truth], m) if not truth.all() else 0
                return values
            case _:
                return (self.exact(node, cells) % m).astype(np.int64)

    def _quotients(self, node: ast.BinOp, cells: Integers) -> Integers:
        """Representatives of a division mod n."""
        above, below = self.residues(node.left, cells, self.n), self.residues(node.right, cells, self.n)
        divisors, which = np.unique(below, return_inverse=True)
        inverses = np.array([_inverse(int(divisor), self.n) for divisor in divisors], dtype=np.int64)[which.reshape(-1)]
        bad = inverses < 0
        if bad.any():
            self._fail(
                cells[bad], below[bad], lambda value: f"{ast.unparse(node)}: {_equation(node.right, value)} has no inverse mod {self.n}"
            )
        return above * np.where(bad, 0, inverses) % self.n

    # — exactly —

    def exact(self, node: ast.expr, cells: Integers) -> Exact:
        """Values as integers at some cells."""
        match node:
            case ast.Name(id=name):
                return {"x": self.x, "y": self.y}[name][cells] if name != "n" else np.full(cells.size, self.n)
            case ast.Constant(value=int(value)):
                return np.full(cells.size, value, dtype=np.int64 if value < _SAFE else object)
            case ast.BinOp(op=ast.Div()):
                return self._quotients(node, cells)
            case ast.BinOp(op=ast.Mod(), right=right) if 1 <= (m := self._constant(right)) <= LARGEST_MODULUS:
                return self.residues(node.left, cells, m)
            case ast.BinOp(op=ast.Mod() | ast.FloorDiv()):
                return self._whole_division(node, cells)
            case ast.BinOp(op=ast.Pow()):
                return self._power(node, self.exact(node.left, cells), cells)
            case ast.BinOp():
                return self._arithmetic(node, self.exact(node.left, cells), self.exact(node.right, cells), cells)
            case ast.UnaryOp(op=ast.Not()):
                return (self.exact(node.operand, cells) == 0).astype(np.int64)
            case ast.UnaryOp():
                values = self.exact(node.operand, cells)
                return -values if isinstance(node.op, ast.USub) else values
            case ast.IfExp():
                truth = self.exact(node.test, cells) != 0
                return self._joined(truth, node.body, node.orelse, cells)
            case ast.BoolOp():
                return self._connected(node, cells)
            case ast.Compare():
                return self._compared(node, cells)
            case _:
                raise AssertionError(f"{type(node).__name__} passed the check of formulas")

    def _constant(self, node: ast.expr) -> int:
        """The value of a literal or of n; 0 for anything else."""
        if isinstance(node, ast.Name) and node.id == "n":
            return self.n
        return _literal(node) if isinstance(node, ast.Constant) else 0

    def _arithmetic(self, node: ast.BinOp, left: Exact, right: Exact, cells: Integers) -> Exact:
        a, b = _largest(left), _largest(right)
        multiplies = isinstance(node.op, ast.Mult)
        self._account(node, a.bit_length() + b.bit_length() if multiplies else max(a.bit_length(), b.bit_length()), cells.size)
        if (a * b if multiplies else a + b) >= _SAFE:
            left = left.astype(object)
        function = operator.mul if multiplies else operator.add if isinstance(node.op, ast.Add) else operator.sub
        return self._within_digits(node, function(left, right), cells)

    def _power(self, node: ast.BinOp, base: Exact, cells: Integers) -> Exact:
        exponent, largest = _literal(node.right), _largest(base)
        bits = largest.bit_length() * exponent
        # |base| ≥ 2^(bits − 1): this refuses only what has too many digits, and before it is computed.
        if (largest.bit_length() - 1) * exponent > _BITS:
            self._too_many_digits(node, int(cells[int(np.argmax(abs(base)))]))
        self._account(node, bits, cells.size)
        return self._within_digits(node, (base if bits <= 62 else base.astype(object)) ** exponent, cells)

    def _whole_division(self, node: ast.BinOp, cells: Integers) -> Exact:
        left, right = self.exact(node.left, cells), self.exact(node.right, cells)
        bad = np.asarray(right == 0, dtype=bool)
        if bad.any():
            self._fail(cells[bad], right[bad], lambda value: f"{ast.unparse(node)}: {_equation(node.right, value)} divides by zero")
            right = np.where(bad, 1, right)
        self._account(node, max(_largest(left).bit_length(), _largest(right).bit_length()), cells.size)
        return _shrunk(left % right if isinstance(node.op, ast.Mod) else left // right)

    def _joined(self, truth: npt.NDArray[np.bool_], body: ast.expr, otherwise: ast.expr, cells: Integers) -> Exact:
        empty = np.empty(0, dtype=np.int64)
        chosen = self.exact(body, cells[truth]) if truth.any() else empty
        other = self.exact(otherwise, cells[~truth]) if not truth.all() else empty
        values = np.empty(cells.size, dtype=np.result_type(chosen, other))
        values[truth], values[~truth] = chosen, other
        return values

    def _connected(self, node: ast.BoolOp, cells: Integers) -> Exact:
        """``a and b`` is a where a is 0 and b elsewhere; ``a or b`` the reverse."""
        values = self.exact(node.values[0], cells)
        for operand in node.values[1:]:
            reaches = (values != 0) if isinstance(node.op, ast.And) else (values == 0)
            if reaches.any():
                further = self.exact(operand, cells[reaches])
                values = values.astype(np.result_type(values, further))
                values[reaches] = further
        return values

    def _compared(self, node: ast.Compare, cells: Integers) -> Exact:
        """Chains as in Python: ``a < b < c`` looks at c only where a < b."""
        holds = np.ones(cells.size, dtype=bool)
        left = self.exact(node.left, cells)
        for comparison, operand in zip(node.ops, node.comparators, strict=True):
            reached = np.flatnonzero(holds)
            if not reached.size:
                break
            right = self.exact(operand, cells[reached])
            holds[reached] = _COMPARED[type(comparison)](left, right)
            left = right[holds[reached]]
        return holds.astype(np.int64)

    # — limits and failures —

    def _account(self, node: ast.expr, bits: int, count: int) -> None:
        """Refuse work beyond patience before it is begun; the estimate fits Python's integers on an ordinary core."""
        if bits > 62:
            self._seconds += count * (1e-7 + 8e-11 * (0.3 * bits) ** 1.6)
        if self._seconds > _PATIENCE:
            raise ValueError(
                f"{_shortened(node)}: exact values of up to {int(0.302 * bits):,} digits in {len(self.x):,} cells take too long. "
                "Reduce with % earlier, or choose a smaller modulus."
            )

    def _within_digits(self, node: ast.expr, values: Exact, cells: Integers) -> Exact:
        if values.dtype == object and _largest(values).bit_length() > _BITS:
            self._too_many_digits(node, int(cells[int(np.argmax(abs(values)))]))
        return _shrunk(values)

    def _too_many_digits(self, node: ast.expr, cell: int) -> None:
        raise ValueError(
            f"{_shortened(node)}: its exact value at x = {self.x[cell]}, y = {self.y[cell]} has more than {_DIGITS:,} digits. "
            "Reduce with % earlier, or use smaller exponents."
        )

    def _fail(self, cells: Integers, values: Exact, sentence: Callable[[int], str]) -> None:
        """Record the cells of a step without an answer, each at its first failure; the step goes on with a placeholder."""
        fresh = ~self._failed[cells]
        self._failed[cells] = True
        for cell, value in zip(cells[fresh].tolist(), values[fresh].tolist(), strict=True):
            self.failures.setdefault(sentence(int(value)), []).append(cell)

    def failure_sentences(self) -> list[str]:
        """Every kind of failure with the number of its cells and the first few of them."""
        sentences: list[str] = []
        for words, cells in list(self.failures.items())[:4]:
            first = ", ".join(f"({self.x[c]}, {self.y[c]})" for c in cells[:4]) + (", …" if len(cells) > 4 else "")
            sentences.append(f"{words} at {len(cells):,} of {len(self.x):,} cells (x, y): {first}.")
        if len(self.failures) > 4:
            sentences.append(f"In all {int(self._failed.sum()):,} cells have none.")
        return sentences


def power(base: Integers, exponent: int, m: int) -> Integers:
    """base**exponent mod m by repeated squaring, for residues of an m up to ``LARGEST_MODULUS``."""
    result = np.full_like(base, 1 % m)
    while exponent:
        if exponent & 1:
            result = result * base % m
        base = base * base % m
        exponent >>= 1
    return result


def _inverse(number: int, n: int) -> int:
    try:
        return pow(number, -1, n)
    except ValueError:
        return -1


def _literal(node: ast.expr) -> int:
    assert isinstance(node, ast.Constant)
    assert isinstance(node.value, int)
    return node.value


def _largest(values: Exact) -> int:
    return max(abs(int(values.max())), abs(int(values.min()))) if values.size else 0


def _shrunk(values: Exact) -> Exact:
    return values.astype(np.int64) if values.dtype == object and _largest(values) < _SAFE else values


def _equation(node: ast.expr, value: int) -> str:
    return f"{_shortened(node)} = {value}" if not isinstance(node, ast.Constant) else str(value)


def _shortened(node: ast.expr) -> str:
    text = ast.unparse(node)
    return text if len(text) <= 60 else text[:57] + "…"
