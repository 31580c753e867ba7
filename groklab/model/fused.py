"""The network of `transformer.py` for one run on the CPU, by compiled kernels with a backward pass of its own.

Shared as in `batched.py`: the *rows* of a position are its distinct activations, rows of all positions lie in one matrix, and
*links* say which rows an output row sees. What is computed is written down once, as a list of kernel calls on buffers that stay
where they are, and played for every batch; only indices and numbers of rows change.
"""

from __future__ import annotations

from collections.abc import Callable
from ctypes import CDLL, c_int64, c_void_p
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from groklab.config.fields import Model
from groklab.model.parameters import Layout
from groklab.model.transformer import sinusoidal

ACCUMULATE, RELU, MASK = 1, 2, 4
_KINDS = {"gelu": 1, "quadratic": 2}

Calls = list[tuple[Callable[..., Any], tuple[Any, ...]]]


@dataclass(frozen=True)
class _Matrix:
    """Numbers in a buffer: where they begin, and how far apart rows are."""

    address: int
    step: int


class Links:
    """Which rows of a layer's input each row of its attention sees: the row that asks, how many it sees, and which."""

    def __init__(self, rows: int, tokens: int) -> None:
        self.at, self.seen, self.keys = np.zeros(rows, np.int32), np.zeros(rows, np.int32), np.zeros((rows, tokens), np.int32)

    def addresses(self, first: int) -> tuple[int, int, int]:
        """Of the three arrays, from row ``first`` on."""
        return (
            self.at.ctypes.data + 4 * first,
            self.seen.ctypes.data + 4 * first,
            self.keys.ctypes.data + 4 * first * self.keys.shape[1],
        )


class Fused:
    """The network at one place in memory for batches of ``count`` examples: ``look_at`` them, ``forward``, ``backward``."""

    def __init__(
        self,
        library: CDLL,
        model: Model,
        layout: Layout,
        n: int,
        count: int,
        weights: Float[Tensor, "1 P"],
        gradient: Float[Tensor, "1 P"] | None = None,
    ) -> None:
        self.library, self.model, self.layout, self.n, self.count = library, model, layout, n, count
        self.weights, self.gradient = weights, gradient
        self.hidden = layout.entries["blocks.0.mlp.in"].shape[0]
        self.logits, self.mean = weights.new_zeros(count, n), weights.new_zeros(1)
        self.slopes = None if gradient is None else weights.new_zeros(count, n)
        """(B, N) the loss's gradient to the logits, from which ``backward`` starts."""
        self._make_rows()
        self._kept: list[Tensor] = []  # what the calls' addresses point to
        self._roles: dict[str, _Matrix] = {}
        self._norms: dict[str, tuple[_Matrix, _Matrix]] = {}
        self._pieces: list[Callable[[], None]] = []
        self._forward: Calls = []
        self._backward: Calls = []
        self._calls = self._forward
        self._write()

    # — which rows there are —

    def _make_rows(self) -> None:
        """Tokens in the first layer: the marks, then the elements at a, then those at b. Rows after it: b, =, begin, a, ∘."""
        model, B, n = self.model, self.count, self.n
        self.names = [*(["begin"] if model.begin_token else []), "a", *(["∘"] if model.operator_token else []), "b", "="]
        vocabulary = {"∘": n, "=": n + model.operator_token, "begin": n + model.operator_token + 1}
        self.marks = [name for name in self.names if name in vocabulary]
        most = min(n, B)
        self.tokens = np.zeros(len(self.marks) + 2 * most, np.int32)
        self.places = np.zeros_like(self.tokens)
        for row, name in enumerate(self.marks):
            self.tokens[row], self.places[row] = vocabulary[name], self.names.index(name)
        going_on = 2 * B + model.begin_token + (1 + model.operator_token) * most
        self.first, self.further = Links(going_on, len(self.names)), Links(going_on, len(self.names))
        self.token_rows, self.rows = c_int64(len(self.tokens)), c_int64(going_on)
        self.index_a, self.index_b, self.scratch = (np.zeros(size, np.int32) for size in (B, B, n))
        self._laid_out_for: tuple[int, int] | None = None

    def look_at(self, a: Int[Tensor, " B"], b: Int[Tensor, " B"]) -> None:
        """Choose the examples of the next passes: rows for the elements that occur, and links to them."""
        marks, a_rows = len(self.marks), self._distinct(a, self.index_a, len(self.marks))
        b_rows = self._distinct(b, self.index_b, marks + a_rows)
        self.token_rows.value = marks + a_rows + b_rows
        self.rows.value = 2 * self.count + self.model.begin_token + (1 + self.model.operator_token) * a_rows
        if self._laid_out_for != (a_rows, b_rows):
            self._lay_out(a_rows, b_rows)
        B, base = self.count, 2 * self.count + self.model.begin_token
        column = self.names.index("a")
        for block in (slice(B), slice(B, 2 * B)):
            np.add(self.index_a, marks, out=self.first.keys[block, column])
            np.add(self.index_b, marks + a_rows, out=self.first.keys[block, self.names.index("b")])
            np.add(self.index_a, base, out=self.further.keys[block, column])
            if self.model.operator_token:
                np.add(self.index_a, base + a_rows, out=self.further.keys[block, column + 1])
        np.add(self.index_b, marks + a_rows, out=self.first.at[:B])

    def _distinct(self, elements: Tensor, index: np.ndarray, row: int) -> int:
        assert elements.dtype == torch.int64
        assert elements.is_contiguous()
        assert len(elements) == self.count
        arguments = (elements.data_ptr(), self.tokens.ctypes.data + 4 * row, index.ctypes.data, self.scratch.ctypes.data)
        return int(self.library.distinct(c_int64(self.count), c_int64(self.n), *map(c_void_p, arguments)))

    def _lay_out(self, a_rows: int, b_rows: int) -> None:
        """All links that depend on the numbers of rows alone."""
        self._laid_out_for = (a_rows, b_rows)
        B, marks, names = self.count, len(self.marks), self.names
        self.places[marks : marks + a_rows], self.places[marks + a_rows : marks + a_rows + b_rows] = names.index("a"), names.index("b")
        before = [name for name in names if name not in ("b", "=")]
        blocks, end = {"b": slice(0, B), "=": slice(B, 2 * B)}, 2 * B
        for name in before:
            blocks[name] = slice(end, end + (1 if name == "begin" else a_rows))
            end = blocks[name].stop
        self.further.at[:end] = np.arange(end)
        for name, block in blocks.items():
            seen = names[: names.index(name) + 1]
            self.first.seen[block] = self.further.seen[block] = len(seen)
            for column, other in enumerate(seen):
                is_own = name in ("a", "∘") and other in ("a", "∘")  # row j of a and ∘ belongs to the same element
                if other in self.marks:
                    self.first.keys[block, column] = self.marks.index(other)
                elif is_own:
                    self.first.keys[block, column] = marks + np.arange(a_rows)
                if other == "begin":
                    self.further.keys[block, column] = blocks[other].start
                elif other == name or is_own or other == "b":
                    self.further.keys[block, column] = np.arange(blocks[other].start, blocks[other].stop)
            if name in self.marks:
                self.first.at[block] = self.marks.index(name)
            elif name == "a":
                self.first.at[block] = marks + np.arange(a_rows)

    # — playing —

    def forward(self) -> Float[Tensor, "B N"]:
        """Logits of the examples looked at; the same tensor every time."""
        for function, arguments in self._forward:
            function(*arguments)
        return self.logits

    def cross_entropy(self, answers: Int[Tensor, " B"]) -> Float[Tensor, " 1"]:
        """The mean loss of the last logits, with its gradient to them."""
        assert answers.dtype == torch.int64
        assert answers.is_contiguous()
        assert len(answers) == self.count
        assert self.slopes is not None
        addresses = (self.logits.data_ptr(), answers.data_ptr(), self.slopes.data_ptr(), self.mean.data_ptr())
        self.library.cross_entropy(c_int64(self.count), c_int64(self.n), *map(c_void_p, addresses))
        return self.mean

    def backward(self) -> Float[Tensor, "1 P"]:
        """The gradient to all parameters, from the loss's gradient to the logits in ``slopes``."""
        assert self.gradient is not None
        for function, arguments in self._backward:
            function(*arguments)
        return self.gradient

    # — writing down —

    def _write(self) -> None:
        """The calls of the forward pass, each followed by what its backward pass will need; then those from the last to the first."""
        model, E, B = self.model, self.model.width, self.count
        x, rows, most = self._embedded(), self.token_rows, len(self.tokens)
        for layer in range(model.layers):
            is_last = layer == model.layers - 1
            out_rows, most_out = (c_int64(B), B) if is_last else (self.rows, len(self.first.at))
            x = self._attention(layer, x, (rows, most), (out_rows, most_out))
            x = self._mlp(layer, x, out_rows, most_out)
            rows, most = out_rows, most_out
        h = self._norm("output_norm", x, rows, most) if model.norm == "pre" else x
        logits = _Matrix(self.logits.data_ptr(), self.n)
        self._linear("output", h, logits, rows)
        if self.slopes is None:
            return
        self._calls = self._backward
        widest = max(len(self.tokens), len(self.first.at))
        # Gradients follow each other through the same memory: of the stream, of what is added to it, and inside attention and MLP.
        self.d_stream, self.d_other = self._buffer("d_stream", widest, E), self._buffer("d_other", widest, E)
        self.d_wide, self.d_hidden = self._buffer("d_wide", widest, 3 * E), self._buffer("d_hidden", widest, self.hidden)
        self._linear_backward("output", _Matrix(self.slopes.data_ptr(), self.n), h, rows, self.d_stream)
        if model.norm == "pre":
            self._norm_backward("output_norm", self.d_stream, rows)
        for piece in reversed(self._pieces):
            piece()

    def _embedded(self) -> _Matrix:
        model, E, x = self.model, self.model.width, self._buffer("out", len(self.tokens), self.model.width)
        positions: _Matrix | None = None
        if model.positions == "learned":
            positions = self._weight("positions")
        elif model.positions == "sinusoidal":
            fixed = sinusoidal(len(self.names), E).to(self.weights.dtype)
            self._kept.append(fixed)
            positions = _Matrix(fixed.data_ptr(), E)
        tokens, places = self.tokens.ctypes.data, self.places.ctypes.data
        self._do("embed", self.token_rows, E, self._weight("embedding"), tokens, positions, places, x)

        def backward() -> None:
            for name, index in (("embedding", tokens), *([("positions", places)] if model.positions == "learned" else [])):
                self._do("fill_zero", self.layout.entries[name].shape[0], E, self._slope(name))
                self._do("add_rows", self.token_rows, E, self.d_stream, index, self._slope(name))

        self._pieces.append(backward)
        return x

    def _attention(self, layer: int, x: _Matrix, given: tuple[c_int64, int], going_on: tuple[c_int64, int]) -> _Matrix:
        """Stream after attention, of the rows that go on; ``given`` and ``going_on`` are numbers of rows, now and at most."""
        model, E, B, block = self.model, self.model.width, self.count, f"blocks.{layer}"
        rows, most = given
        out_rows, most_out = going_on
        is_last, links = layer == model.layers - 1, self.first if layer == 0 else self.further
        norm = f"{block}.attention_norm"
        h = self._norm(norm, x, rows, most) if model.norm == "pre" else x
        wide, kept = self._buffer("wide", most, 3 * E), self._buffer("weights", most_out, model.heads * len(self.names))
        # In the last layer only = asks: one row of the tokens, or the second block of rows.
        asking = 0 if not is_last else self.marks.index("=") if layer == 0 else B
        asking_rows = rows if not is_last else c_int64(1 if layer == 0 else B)
        parts = [("key", 1, 0, rows), ("value", 2, 0, rows)]
        parts = [("query", 0, asking, asking_rows), *parts] if model.attention != "uniform" else parts[1:]
        for name, place, start, count in parts:
            self._linear(f"{block}.attention.{name}", self._at(h, start), self._at(wide, start, place * E), count)
        attended, out = self._buffer("attended", most_out, E), self._buffer("mid", most_out, E)
        at, seen, keys = links.addresses(B if is_last else 0)

        def query_key_value(wide: _Matrix) -> list[_Matrix | None]:
            has_scores = model.attention != "uniform"
            return [self._at(wide, 0, place * E) if has_scores or place == 2 else None for place in range(3)]

        form = (out_rows, model.heads, E // model.heads, len(self.names))
        self._do("attend", *form, *query_key_value(wide), 3 * E, at, seen, keys, attended, kept)
        self._linear(f"{block}.attention.output", attended, out, out_rows)
        self._do("add_stream", out_rows, E, x, at, out)
        after = self._norm(norm, out, out_rows, most_out) if model.norm == "post" else out

        def backward() -> None:
            if model.norm == "post":
                self._norm_backward(norm, self.d_stream, out_rows)
            self._linear_backward(f"{block}.attention.output", self.d_stream, attended, out_rows, self.d_other)
            self._do("fill_zero", rows, 3 * E, self.d_wide)
            of = (*query_key_value(wide), 3 * E, at, seen, keys, self.d_other, kept, *query_key_value(self.d_wide))
            self._do("attend_backward", *form, *of)
            # The stream's rows go back to the rows that they came from, several to one.
            self._do("fill_zero", rows, E, self.d_other)
            self._do("add_rows", out_rows, E, self.d_stream, at, self.d_other)
            self.d_stream, self.d_other = self.d_other, self.d_stream
            into = self.d_other if model.norm == "pre" else self.d_stream
            if model.norm == "pre":
                self._do("fill_zero", rows, E, into)
            for name, place, start, count in parts:
                slope = self._at(self.d_wide, start, place * E)
                self._linear_backward(f"{block}.attention.{name}", slope, self._at(h, start), count, self._at(into, start), ACCUMULATE)
            if model.norm == "pre":
                self._norm_backward(norm, into, rows)
                self._do("add_rows", rows, E, into, None, self.d_stream)

        self._pieces.append(backward)
        return after

    def _mlp(self, layer: int, x: _Matrix, rows: c_int64, most: int) -> _Matrix:
        model, E, block = self.model, self.model.width, f"blocks.{layer}"
        norm, inner, outer = f"{block}.mlp_norm", f"{block}.mlp.in", f"{block}.mlp.out"
        h = self._norm(norm, x, rows, most) if model.norm == "pre" else x
        hidden, out = self._buffer("hidden", most, self.hidden), self._buffer("out", most, E)
        kind = _KINDS.get(model.activation)
        before = hidden if kind is None else self._buffer("before", most, self.hidden)
        self._linear(inner, h, before, rows, RELU if kind is None else 0)
        if kind is not None:
            self._do("activate", rows, self.hidden, kind, before, hidden)
        self._linear(outer, hidden, out, rows)
        self._do("add_stream", rows, E, x, None, out)
        after = self._norm(norm, out, rows, most) if model.norm == "post" else out

        def backward() -> None:
            if model.norm == "post":
                self._norm_backward(norm, self.d_stream, rows)
            self._linear_backward(outer, self.d_stream, hidden, rows, self.d_hidden, mask=hidden if kind is None else None)
            if kind is not None:
                self._do("multiply", rows, self.hidden, before, self.d_hidden)
            if model.norm == "pre":
                self._linear_backward(inner, self.d_hidden, h, rows, self.d_other)
                self._norm_backward(norm, self.d_other, rows)
                self._do("add_rows", rows, E, self.d_other, None, self.d_stream)
            else:
                self._linear_backward(inner, self.d_hidden, h, rows, self.d_stream, ACCUMULATE)

        self._pieces.append(backward)
        return after

    # — parts —

    def _linear(self, name: str, x: _Matrix, y: _Matrix, rows: c_int64, flags: int = 0) -> None:
        """y = x Wᵀ + bias, then ReLU where the flags say so."""
        outputs, inputs = self.layout.entries[name].shape
        bias = self._weight(f"{name}_bias") if f"{name}_bias" in self.layout.entries else None
        self._do("matmul", rows, outputs, inputs, x, x.step, 1, self._weight(name), 1, inputs, y, y.step, flags, bias, None)

    def _linear_backward(
        self, name: str, dy: _Matrix, x: _Matrix, rows: c_int64, into: _Matrix, flags: int = 0, mask: _Matrix | None = None
    ) -> None:
        """Gradients to weight and bias, and, written or added ``into``, to x."""
        outputs, inputs = self.layout.entries[name].shape
        self._do("matmul", outputs, inputs, rows, dy, 1, dy.step, x, x.step, 1, self._slope(name), inputs, 0, None, None)
        if f"{name}_bias" in self.layout.entries:
            self._do("sum_rows", rows, outputs, dy, dy.step, self._slope(f"{name}_bias"))
        flags |= MASK if mask is not None else 0
        self._do("matmul", rows, inputs, outputs, dy, dy.step, 1, self._weight(name), inputs, 1, into, into.step, flags, None, mask)

    def _norm(self, name: str, x: _Matrix, rows: c_int64, most: int) -> _Matrix:
        E = self.model.width
        kind = name.rpartition(".")[2]
        parts = ((f"{kind}.y", E), ("normalized", E), ("scale", 1))
        y, normalized, scale = (self._buffer(part, most, width) for part, width in parts)
        self._norms[name] = normalized, scale
        self._do("layer_norm", rows, E, x, self._weight(f"{name}.gain"), self._weight(f"{name}.bias"), y, normalized, scale)
        return y

    def _norm_backward(self, name: str, d: _Matrix, rows: c_int64) -> None:
        """The gradient to the output becomes that to the input, in place."""
        gain, slopes = self._weight(f"{name}.gain"), (self._slope(f"{name}.gain"), self._slope(f"{name}.bias"))
        self._do("layer_norm_backward", rows, self.model.width, d, *self._norms[name], gain, *slopes)

    # — addresses —

    def _do(self, name: str, *arguments: c_int64 | int | _Matrix | None) -> None:
        """Write down one call; numbers that are addresses stand where the kernel has a pointer."""
        given = [c_void_p(x.address if isinstance(x, _Matrix) else None) if x is None or isinstance(x, _Matrix) else x for x in arguments]
        self._calls.append((getattr(self.library, name), tuple(c_int64(x) if isinstance(x, int) else x for x in given)))

    def _buffer(self, role: str, rows: int, width: int) -> _Matrix:
        """Memory for so many rows at most. Without a backward pass all layers use the same, which then stays in the caches."""
        if self.gradient is None and role in self._roles:
            return self._roles[role]
        widest = max(len(self.tokens), len(self.first.at)) if self.gradient is None else rows
        self._kept.append(self.weights.new_zeros(widest, width))
        self._roles[role] = _Matrix(self._kept[-1].data_ptr(), width)
        return self._roles[role]

    def _at(self, of: _Matrix, row: int, column: int = 0) -> _Matrix:
        """The part that begins at a row and a column."""
        return _Matrix(of.address + (row * of.step + column) * self.weights.element_size(), of.step)

    def _weight(self, name: str) -> _Matrix:
        return self._named(self.weights, name)

    def _slope(self, name: str) -> _Matrix:
        assert self.gradient is not None
        return self._named(self.gradient, name)

    def _named(self, flat: Tensor, name: str) -> _Matrix:
        return _Matrix(flat.data_ptr() + self.layout.places[name][0] * flat.element_size(), self.layout.entries[name].shape[-1])
