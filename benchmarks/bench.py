"""What a training step costs: `python -m benchmarks.bench` from the root of the repository, or `make bench`.

A step is forward, backward and AdamW update. See `docs/performance.md` for what is compared and how to read it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Any

import torch

import groklab
from benchmarks.floor import Floor, Product, multiply_adds, products
from benchmarks.peer import Peer, Reference
from benchmarks.timing import Contender, interleaved, ratio, spread
from groklab.config.run import Run
from groklab.config.steps import logarithmic_steps
from groklab.training.batches import Batch, batch_size, network
from groklab.training.engine import evaluation, prepare_process

Figures = dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """What is measured, and how long."""

    run: Run = field(default_factory=Run)
    rounds: int = 60
    row_rounds: int = 15
    """Rounds for a row of the tables after the main one."""
    seconds: float = 30.0
    """No new round begins after this time."""
    row_seconds: float = 12.0
    together: int = 4
    """Runs that share every call in the main table."""
    variations: Mapping[str, Sequence[int]] = field(
        default_factory=lambda: {"batch_size": (32, 128, 512), "modulus": (23, 97, 197, 397), "layers": (1, 2, 3), "runs": (1, 4, 16)}
    )
    all_cores: bool = True
    evaluation: bool = True


QUICK = Plan(rounds=40, seconds=18.0, variations={}, all_cores=False, evaluation=False)


def seeds(run: Run, count: int) -> list[Run]:
    """The same run with ``count`` different seeds."""
    return [run.replace(seed=seed) for seed in range(count)]


def fast(runs: Sequence[Run], name: str = "fast") -> Contender:
    """The fast path; several runs share every call."""
    return Contender(name, Batch(runs, device="cpu").update, len(runs))


def shared_products(run: Run) -> list[Product]:
    """The products of `floor.py` at the sizes of this run."""
    table, split, _ = network(run)
    values = run.resolved()
    return products(table.n, batch_size(run, len(split.train)), values["width"], values["mlp_width"], values["layers"])


def main_table(plan: Plan, rounds: int) -> dict[str, Figures]:
    """Peer, reference, fast path alone and with several runs, and floor."""
    contenders = [
        Contender("peer", Peer(plan.run).update),
        Contender("reference", Reference(plan.run).update),
        fast([plan.run], "fast, R = 1"),
        fast(seeds(plan.run, plan.together), f"fast, R = {plan.together}"),
        Contender("floor", Floor(shared_products(plan.run)).update),
    ]
    measured = interleaved(contenders, rounds=rounds, seconds=plan.seconds)
    return {
        name: {
            "milliseconds": spread(times),
            "times_faster_than_peer": ratio(measured["peer"], times),
            "times_the_floor": ratio(times, measured["floor"]),
            "rounds": len(times),
        }
        for name, times in measured.items()
    }


def variation(plan: Plan, what: str, values: Sequence[int]) -> Iterator[Figures]:
    """Reference and fast path for every value of one field, or of R (``runs``, per run)."""
    for value in values:
        if what == "runs":
            run, count = plan.run, value
        elif what == "modulus":
            run, count = plan.run.replace(operation="addition", modulus=value, train_fraction=0.5), 1
        else:
            run, count = plan.run.replace(**{what: value}), 1
        contenders = [Contender("reference", Reference(run).update), fast(seeds(run, count))]
        measured = interleaved(contenders, rounds=plan.row_rounds, seconds=plan.row_seconds)
        yield {
            what: value,
            "examples": batch_size(run, len(network(run)[1].train)),
            "reference": spread(measured["reference"]),
            "fast": spread(measured["fast"]),
            "times_faster": ratio(measured["reference"], measured["fast"]),
        }


def evaluation_cost(plan: Plan, steps: int = 10_000) -> Figures:
    """One evaluation of the whole table, as the engine makes it, beside a step of the fast path."""
    run = plan.run
    batch, looked = Batch([run], device="cpu"), Batch([run], device="cpu")

    def evaluate() -> None:
        evaluation(run, looked.tables[0], looked.splits[0], looked.answers()[0], 0)

    measured = interleaved([Contender("step", batch.update), Contender("look", evaluate)], rounds=plan.row_rounds, seconds=plan.row_seconds)
    in_steps = ratio(measured["look"], measured["step"])
    count = sum(1 for _ in takewhile(lambda step: step <= steps, logarithmic_steps(run.budget.evaluations_per_decade)))
    spent = in_steps["median"] * count
    return {
        "milliseconds": spread(measured["look"]),
        "in_steps": in_steps,
        "cells": len(batch.tables[0].x),
        "steps": steps,
        "evaluations": count,
        "share": spent / (spent + steps),
    }


def machine() -> Figures:
    """Where this runs."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        named = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = named[0] if named else model
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "groklab": groklab.__version__,
        "vector_instructions": torch.backends.cpu.get_cpu_capability(),
        "load_before": round(os.getloadavg()[0], 2),
    }


def peak_memory() -> float:
    """The most memory that this process has held so far, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def measure(plan: Plan, tell: Callable[[str], object] = lambda _: None) -> Figures:
    """Everything that the plan asks for; sets the process to one thread, and to all cores at the end where it asks for that."""
    prepare_process()
    needed, width = shared_products(plan.run), plan.run.resolved()["width"]
    per_example = multiply_adds(needed) / width**2 / batch_size(plan.run, len(network(plan.run)[1].train))
    found: Figures = {"machine": machine(), "run": plan.run.id, "floor_multiply_adds_per_example_in_d2": per_example}
    tell("one thread")
    found["one_thread"] = {"threads": torch.get_num_threads(), "contenders": main_table(plan, plan.rounds)}
    found["peak_memory_mib"] = {"main_table": peak_memory()}
    for what, values in plan.variations.items():
        tell(f"cost against {what}")
        found.setdefault("variations", {})[what] = list(variation(plan, what, values))
    if plan.evaluation:
        tell("evaluation")
        found["evaluation"] = evaluation_cost(plan)
    cores = os.cpu_count() or 1
    if plan.all_cores and cores > 1:
        tell(f"{cores} threads")
        torch.set_num_threads(cores)
        found["all_cores"] = {"threads": cores, "contenders": main_table(plan, plan.rounds // 2)}
        torch.set_num_threads(1)
    found["peak_memory_mib"]["all"] = peak_memory()
    return found


# — as text —


def written(value: Mapping[str, float], digits: int = 1) -> str:
    """Median and, in parentheses, smallest and largest."""
    return f"{value['median']:.{digits}f} ({value['min']:.{digits}f}–{value['max']:.{digits}f})"


def lines(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """A table with aligned columns: the first to the left, the others to the right."""
    widths = [max(len(row[k]) for row in [head, *rows]) for k in range(len(head))]
    for row in [head, ["─" * width for width in widths], *rows]:
        yield "  ".join(cell.ljust(width) if k == 0 else cell.rjust(width) for k, (cell, width) in enumerate(zip(row, widths, strict=True)))


def text(found: Figures) -> Iterator[str]:
    """The whole report."""
    m = found["machine"]
    yield f"{m['processor']}, {m['cores']} cores, {m['vector_instructions']}, {m['system']}, load {m['load_before']} before"
    yield f"torch {m['torch']}, Python {m['python']}, groklab {m['groklab']}; run {found['run']}"
    yield f"floor: {found['floor_multiply_adds_per_example_in_d2']:.1f} · width² multiply-adds an example forward, twice that backward"
    yield "Every number is a median over rounds (smallest–largest); milliseconds are per step and run."
    for part in ("one_thread", "all_cores"):
        if part in found:
            yield from ("", f"threads: {found[part]['threads']}")
            rows = [
                [name, *(written(c[key], k) for key, k in (("milliseconds", 1), ("times_faster_than_peer", 2), ("times_the_floor", 2)))]
                for name, c in found[part]["contenders"].items()
            ]
            yield from lines(["", "ms a step", "times faster than peer", "times the floor"], rows)
    for what, rows in found.get("variations", {}).items():
        yield ""
        table = [
            [str(row[what]), str(row["examples"]), written(row["reference"]), written(row["fast"]), written(row["times_faster"], 2)]
            for row in rows
        ]
        yield from lines([what, "batch", "reference, ms", "fast, ms", "times faster"], table)
    if "evaluation" in found:
        e = found["evaluation"]
        yield from ("", f"evaluation of all {e['cells']:,} cells: {written(e['milliseconds'])} ms, {written(e['in_steps'])} steps;")
        yield f"{e['evaluations']} of them are {e['share']:.1%} of a run of {e['steps']:,} steps"
    peak = found["peak_memory_mib"]
    yield from ("", f"peak memory of the process: {peak['main_table']:.0f} MiB after the first table, {peak['all']:.0f} MiB in the end")


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bench", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="the main table on one thread only; under 40 seconds")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output and nothing else")
    asked = parser.parse_args(arguments)
    found = measure(QUICK if asked.quick else Plan(), tell=lambda part: print(f"… {part}", file=sys.stderr, flush=True))
    print(json.dumps(found, indent=2, ensure_ascii=False) if asked.json else "\n".join(text(found)))


if __name__ == "__main__":
    main()
