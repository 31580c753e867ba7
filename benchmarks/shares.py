"""Where a step spends its time, kind by kind: `python -m benchmarks.shares`, a few seconds.

On the compiled path every kernel call is timed as it is made, in the order and on the buffers of training. On the batched path
`torch.profiler` sees the gradients operation by operation; what an update costs beyond them is timed from outside.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Callable, Iterator
from time import perf_counter
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.contenders import floor
from benchmarks.floor import multiply_adds, shared_products
from benchmarks.text import Table, as_text
from benchmarks.timing import Contender, interleaved, spread
from groklab.config.run import Run
from groklab.training.batches import Batch
from groklab.training.engine import prepare_process
from groklab.training.paths import path_of

Figures = dict[str, Any]

REST = "indices, views, calls and the rest"
AROUND = {
    "adam": "AdamW",
    "look_at": "rows and links of the batch",
    "cross_entropy": "loss and its gradient",
    "chosen": "order of the examples",
}
KERNELS = {
    "attend": "attention",
    "attend_backward": "attention, gradients",
    "layer_norm": "LayerNorm",
    "layer_norm_backward": "LayerNorm, gradients",
    "add_stream": "residual sums",
    "add_rows": "gathers and their gradients",
    "embed": "gathers and their gradients",
    "fill_zero": "zeros",
    "sum_rows": "gradients of biases",
    "activate": "MLP nonlinearity",
    "multiply": "MLP nonlinearity",
}
OPERATIONS = {
    "matrix products": ("aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm"),
    "LayerNorm": ("aten::native_layer_norm", "aten::native_layer_norm_backward"),
    "MLP nonlinearity": ("aten::relu", "aten::clamp_min", "aten::threshold_backward"),
    "gathers and their gradients": ("aten::index_select", "aten::index_add_", "aten::index_add", "aten::gather", "aten::scatter_add_"),
    "stacking and copying": ("aten::cat", "aten::copy_", "aten::stack", "aten::fill_", "aten::zero_"),
    "attention sums and softmax": ("aten::mul", "aten::sum", "aten::div", "aten::_softmax", "aten::_softmax_backward_data"),
    "residual sums": ("aten::add", "aten::add_"),
}


# — the compiled path —


class Clock:
    """Adds up the time of named calls, and what they multiply and add."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.calls: defaultdict[str, int] = defaultdict(int)
        self.operations: defaultdict[str, int] = defaultdict(int)

    def timed(self, kind: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, timed under this name."""

        def call(*arguments: Any, **named: Any) -> Any:
            start = perf_counter()
            result = function(*arguments, **named)
            self.seconds[kind] += perf_counter() - start
            self.calls[kind] += 1
            if kind.startswith("products"):
                rows, columns, inner = (size.value for size in arguments[:3])
                self.operations[kind] += 2 * rows * columns * inner
            return result

        return call

    def taken(self) -> tuple[dict[str, float], dict[str, int], dict[str, int]]:
        """Everything so far, and a new beginning."""
        found = dict(self.seconds), dict(self.calls), dict(self.operations)
        for part in (self.seconds, self.calls, self.operations):
            part.clear()
        return found


def _kind(name: str, arguments: tuple[Any, ...]) -> str:
    """What a kernel call is part of. Products: a transposed A gives a weight's gradient, B as it lies that of the input."""
    if name != "matmul":
        return KERNELS.get(name, name)
    _, _, _, _, step, _, _, down, _ = arguments[:9]
    if step.value == 1:
        return "products, gradients of weights"
    return "products, forward" if down.value == 1 else "products, gradients of inputs"


def compiled_shares(run: Run, steps: int = 60) -> Figures:
    """Milliseconds, calls and GFLOP/s of every kind in a step of the compiled path, and of `torch.mm` in the floor's products."""
    batch, clock = Batch([run.replace(path="compiled")], device="cpu"), Clock()
    untimed = Batch([run.replace(path="compiled")], device="cpu")
    assert batch.compiled is not None
    network = batch.compiled.own
    for calls in (network._forward, network._backward):
        calls[:] = [(clock.timed(_kind(function.__name__, arguments), function), arguments) for function, arguments in calls]
    for owner in (network, batch.compiled, batch):
        for name, kind in AROUND.items():
            if hasattr(owner, name):
                setattr(owner, name, clock.timed(kind, getattr(owner, name)))
    of_steps: list[tuple[dict[str, float], dict[str, int], dict[str, int]]] = []

    def step() -> None:
        clock.taken()
        start = perf_counter()
        batch.update()
        whole = perf_counter() - start
        seconds, calls, operations = clock.taken()
        of_steps.append((seconds | {REST: whole - sum(seconds.values())}, calls, operations))

    products = floor(run)
    timed = interleaved([Contender("step", untimed.update), products, Contender("timed step", step)], rounds=max(3, steps // 3))
    seconds = {kind: statistics.median(s.get(kind, 0.0) for s, _, _ in of_steps) for kind in of_steps[-1][0]}
    _, calls, operations = of_steps[-1]
    whole = sum(seconds.values())
    kinds = {
        kind: {
            "milliseconds": 1e3 * spent,
            "share": spent / whole,
            "calls": calls.get(kind, 0),
            "gflops": statistics.median(o[kind] / s[kind] for s, _, o in of_steps) / 1e9 if kind in operations else None,
        }
        for kind, spent in sorted(seconds.items(), key=lambda item: -item[1])
    }
    of_floor = 6 * multiply_adds(shared_products(run)) / 1e6
    return {
        "step_milliseconds": spread(timed["step"]),
        "timed_step_milliseconds": spread(timed["timed step"]),
        "kinds": kinds,
        "products_gflops": statistics.median(sum(o.values()) / sum(s[kind] for kind in o) for s, _, o in of_steps) / 1e9,
        "torch_gflops": spread([of_floor / milliseconds for milliseconds in timed["floor"]]),
    }


def compiled_table(found: Figures) -> Table:
    """The shares of the compiled path as a table."""
    rows = [
        [kind, f"{of['milliseconds']:.2f}", f"{of['share']:.1%}", str(of["calls"] or ""), f"{of['gflops']:.0f}" if of["gflops"] else ""]
        for kind, of in found["kinds"].items()
    ]
    return Table(
        "Where a step of the compiled path goes", ["kind", "ms a step", "share", "calls", "GFLOP/s"], rows, [compiled_words(found)]
    )


def compiled_words(found: Figures) -> str:
    """What the table does not hold."""
    t = found["torch_gflops"]
    return (
        f"A step takes {found['step_milliseconds']['median']:.1f} ms, {found['timed_step_milliseconds']['median']:.1f} with the clock. "
        f"All its products together reach {found['products_gflops']:.0f} GFLOP/s; `torch.mm` with those of the floor, in turns with "
        f"them, {t['median']:.0f} ({t['min']:.0f}–{t['max']:.0f})."
    )


# — the batched path —


def batched_shares(run: Run, steps: int = 40) -> Iterator[tuple[str, float]]:
    """Kind of work and its share of a step of the batched path, largest first."""
    batch = Batch([run.replace(path="batched")], device="cpu")
    timed = interleaved([Contender("update", batch.update), Contender("gradients", batch.gradients)], rounds=max(3, steps // 2))
    gradients = statistics.median(g / u for g, u in zip(timed["gradients"], timed["update"], strict=True))
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        for _ in range(steps):
            batch.gradients()
    kinds = {operation: kind for kind, operations in OPERATIONS.items() for operation in operations}
    spent: dict[str, float] = {}
    for event in profiler.key_averages():
        kind = kinds.get(event.key, "views, calls and the rest")
        spent[kind] = spent.get(kind, 0.0) + event.self_cpu_time_total
    total = sum(spent.values())
    found = {kind: time / total * gradients for kind, time in spent.items()} | {"AdamW and bookkeeping": 1 - gradients}
    yield from sorted(found.items(), key=lambda item: -item[1])


def batched_table(run: Run, steps: int = 40) -> Table:
    """The shares of the batched path as a table."""
    rows = [[kind, f"{share:.0%}"] for kind, share in batched_shares(run, steps)]
    return Table("Where a step of the batched path goes", ["kind", "share"], rows)


def main() -> None:
    """Both tables, or the second alone where nothing can be compiled."""
    prepare_process()
    run = Run()
    path = path_of(run, "cpu")
    print(f"torch {torch.__version__}, one thread, path: {path}")
    tables = [compiled_table(compiled_shares(run))] if path.name == "compiled" else []
    print("\n".join(line for table in [*tables, batched_table(run)] for line in ("", *as_text(table))))


if __name__ == "__main__":
    main()
