"""Where a step of the fast path spends its time: `python -m benchmarks.shares`, a few seconds.

The gradients are seen by `torch.profiler`, operation by operation; what an update costs beyond them is timed from outside.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.bench import lines
from benchmarks.timing import Contender, interleaved
from groklab.config.run import Run
from groklab.training.batches import Batch
from groklab.training.engine import prepare_process

KINDS = {
    "matrix products": ("aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm"),
    "LayerNorm": ("aten::native_layer_norm", "aten::native_layer_norm_backward"),
    "MLP nonlinearity": ("aten::relu", "aten::clamp_min", "aten::threshold_backward"),
    "gathers and their gradients": ("aten::index_select", "aten::index_add_", "aten::index_add", "aten::gather", "aten::scatter_add_"),
    "stacking and copying": ("aten::cat", "aten::copy_", "aten::stack", "aten::fill_", "aten::zero_"),
    "attention sums and softmax": ("aten::mul", "aten::sum", "aten::div", "aten::_softmax", "aten::_softmax_backward_data"),
    "residual sums": ("aten::add", "aten::add_"),
}


def shares(run: Run, steps: int = 40) -> Iterator[tuple[str, float]]:
    """Kind of work and its share of a step, largest first."""
    prepare_process()
    batch = Batch([run], device="cpu")
    timed = interleaved([Contender("update", batch.update), Contender("gradients", batch.gradients)], rounds=steps // 2)
    gradients = statistics.median(g / u for g, u in zip(timed["gradients"], timed["update"], strict=True))
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        for _ in range(steps):
            batch.gradients()
    kinds = {operation: kind for kind, operations in KINDS.items() for operation in operations}
    spent: dict[str, float] = {}
    for event in profiler.key_averages():
        kind = kinds.get(event.key, "views, calls and the rest")
        spent[kind] = spent.get(kind, 0.0) + event.self_cpu_time_total
    total = sum(spent.values())
    found = {kind: time / total * gradients for kind, time in spent.items()} | {"AdamW and bookkeeping": 1 - gradients}
    yield from sorted(found.items(), key=lambda item: -item[1])


if __name__ == "__main__":
    print(f"torch {torch.__version__}, one thread")
    print("\n".join(lines(["", "share of a step"], [[kind, f"{share:.0%}"] for kind, share in shares(Run())])))
