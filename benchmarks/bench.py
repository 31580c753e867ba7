"""What training costs: `python -m benchmarks.bench` from the root of the repository, or `make bench`.

A step is forward, backward and AdamW update. See `docs/performance.md` for what is compared and how to read it.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from benchmarks import processes, report, tables
from benchmarks.floor import multiply_adds, shared_products
from benchmarks.machine import machine
from benchmarks.shares import compiled_shares
from benchmarks.watching import watching
from groklab.config.run import Run
from groklab.training.batches import batch_size, network
from groklab.training.engine import prepare_process
from groklab.training.paths import path_of

Figures = dict[str, Any]
PARTS = ("throughput", "watching", "start", "shares")


@dataclass(frozen=True)
class Plan:
    """What is measured, and how long."""

    run: Run = field(default_factory=Run)
    words: tuple[str, ...] = ()
    """The same run in words of the command line."""
    rounds: int = 60
    seconds: float = 25.0
    """No new round of the main table begins after this time."""
    row_rounds: int = 15
    """Rounds for a row of the tables after the main one."""
    row_seconds: float = 6.0
    together: int = 4
    """Runs that share every call in the main table."""
    variations: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=lambda: tables.VARIATIONS)
    device: str = "cpu"
    """Where the table of R is measured: the CPU, or a device beside it."""
    parts: tuple[str, ...] = PARTS
    turns: int = 5
    turn_seconds: float = 2.0
    times: int = 3
    """Fresh processes of each kind."""
    steps: int = 10_000
    """Of the run whose evaluations, checkpoints and states are counted."""
    stored_run: bool = False
    """Whether such a run is made and timed."""


QUICK = Plan(rounds=40, seconds=18.0, variations={}, parts=())


def measure(plan: Plan, tell: Callable[[str], object] = lambda _: None) -> Figures:
    """Everything that the plan asks for; this process becomes a training process, of one thread."""
    prepare_process()
    run = plan.run
    width, examples = run.resolved()["width"], batch_size(run, len(network(run)[1].train))
    per_example = multiply_adds(shared_products(run)) / width**2 / examples
    found: Figures = {"machine": machine(run), "run": run.id, "floor_multiply_adds_per_example_in_d2": per_example}
    tell("a step of the default run")
    found["main"] = {"threads": torch.get_num_threads()} | tables.main_table(
        run, together=plan.together, rounds=plan.rounds, seconds=plan.seconds
    )
    for name, changes in plan.variations.items():
        tell(f"cost against {name}")
        measured = list(tables.rows(run, changes, rounds=plan.row_rounds, seconds=plan.row_seconds))
        if name == "R" and plan.device != "cpu":
            tell(f"cost against R on {plan.device}")
            measured += tables.rows(run, tables.ON_A_DEVICE, rounds=plan.row_rounds, seconds=plan.row_seconds, device=plan.device)
        found.setdefault("variations", {})[name] = measured
    for part in plan.parts:
        found |= _part(part, plan, tell)
    if plan.stored_run:
        tell(f"a stored run of {plan.steps:,} steps")
        found["stored_run"] = processes.stored_run(plan.steps, plan.words)
    return found


def _part(part: str, plan: Plan, tell: Callable[[str], object]) -> Figures:
    """One of `PARTS`, under its name; nothing where it cannot be measured here."""
    if part == "throughput":
        count = processes.cores()
        tell(f"training on {count} cores")
        return {part: processes.throughput(plan.run, processes=count, turns=plan.turns, seconds=plan.turn_seconds)}
    if part == "watching":
        tell("evaluations, checkpoints and states")
        return {part: watching(plan.run, steps=plan.steps, rounds=plan.row_rounds, seconds=2 * plan.row_seconds)}
    if part == "start":
        tell("fresh processes")
        start: Figures = {
            "first_update": processes.first_update(plan.words, times=plan.times),
            "first_update_ever": processes.first_update_ever(plan.words),
            "help": processes.help_text(plan.times),
        }
        return {part: start, "memory_mb": processes.memory(plan.words)}
    if path_of(plan.run, "cpu").name != "compiled":
        return {}
    tell("kinds of work in a step")
    return {part: compiled_shares(plan.run, 4 * plan.row_rounds)}


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bench", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="the main table only; under 40 seconds")
    parser.add_argument("--run", action="store_true", help="also train and store a whole run of 10,000 steps; two minutes more")
    parser.add_argument(
        "--device", default="auto", help="also measure R runs that share calls there: cuda, cpu for not, auto for cuda if present"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="one JSON object on standard output and nothing else")
    form.add_argument("--markdown", action="store_true", help="the tables of docs/performance.md")
    parser.add_argument("--from", dest="stored", type=Path, metavar="FILE", help="measure nothing; write what --json has written")
    asked = parser.parse_args(arguments)
    if asked.stored is not None:
        found = json.loads(asked.stored.read_text(encoding="utf-8"))
    else:
        found = measure(_plan(asked), tell=lambda part: print(f"… {part}", file=sys.stderr, flush=True))
    if asked.json:
        print(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        print("\n".join(report.markdown(found) if asked.markdown else report.text(found)))


def _plan(asked: argparse.Namespace) -> Plan:
    device = asked.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return replace(QUICK if asked.quick else Plan(), device=device, stored_run=asked.run)


if __name__ == "__main__":
    main()
