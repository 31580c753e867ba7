"""Steps to generalize for every optimizer, loss and intervention on one cheap task: the table in LOG.md.

    python -m benchmarks.interventions --runs runs/interventions --seeds 3

Resumable: runs that are stored are not trained again.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterator
from typing import Any

import groklab as gl
from groklab import registry

TASK: dict[str, Any] = {
    "operation": "addition",
    "modulus": 31,
    "train_fraction": 0.6,
    "layers": 1,
    "width": 64,
    "learning_rate": 0.003,
    "steps": 6_000,
    "stop": "generalized(confirmations=1)",
    "checkpoints_per_decade": 0,
}
ADAM: dict[str, Any] = {"optimizer": "adam", "weight_decay": 0.0}
SETTINGS = {"gradient_noise": "(std=0.001)", "grokfast_ma": "(window=100, strength=5.0)", "residual_dropout": "(rate=0.1)"}


def settings() -> Iterator[tuple[str, dict[str, Any]]]:
    """Label and fields of every row: each intervention on Adam without decay and on AdamW with decay 1, then optimizers and losses."""
    yield "AdamW, weight decay 1", {}
    yield "Adam, no decay", ADAM
    yield "Adam, no decay, full batch", {**ADAM, "batch_size": "full"}
    yield "Adam, no decay, learning rate 3·10⁻⁴", {**ADAM, "learning_rate": 0.0003}
    yield "Adam, no decay, learning rate 10⁻²", {**ADAM, "learning_rate": 0.01}
    yield "Adam, L2 in the gradient 0.001", {**ADAM, "weight_decay": 0.001}
    for name in registry.entries("intervention"):
        call = name + SETTINGS.get(name, "")
        yield f"Adam + `{call}`", {**ADAM, "interventions": (call,)}
        if name not in ("weight_decay", "decay_towards_initial"):
            yield f"AdamW + `{call}`", {"interventions": (call,)}
    yield "`sgd(momentum=0.9)`, learning rate 0.1", {"optimizer": "sgd(momentum=0.9)", "learning_rate": 0.1}
    yield "`lion`, learning rate 3·10⁻⁴, decay 3", {"optimizer": "lion", "learning_rate": 0.0003, "weight_decay": 3.0}
    yield "`muon`, decay 0.01", {"optimizer": "muon", "learning_rate": 0.02}
    yield (
        "`muon(other_learning_rate=0.003)`, decay 1",
        {"optimizer": "muon(other_learning_rate=0.003)", "learning_rate": 0.02, "weight_decay": 1.0},
    )
    for name in registry.entries("loss"):
        if name != "cross_entropy":
            yield f"AdamW, loss `{name}`", {"loss": name}
    yield "Adam, no decay, loss `stablemax`", {**ADAM, "loss": "stablemax"}
    yield "AdamW, cosine to 0 over 6,000", {"schedule": "cosine(horizon=6000)"}
    yield "AdamW, initial scale 0.5", {"initial_scale": 0.5}
    yield "AdamW, initial scale 2", {"initial_scale": 2.0}


def main() -> None:
    """Train what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", default="runs/interventions")
    parser.add_argument("--seeds", type=int, default=3)
    asked = parser.parse_args()
    print("| setting | memorized at | generalized at | best validation accuracy |\n|---|---|---|---|")
    for label, fields in settings():
        found = [gl.train(runs=asked.runs, seed=seed, **{**TASK, **fields}) for seed in range(asked.seeds)]
        print(f"| {label} | {row(found, 'memorized_at')} | {row(found, 'generalized_at')} | {best(found)} |", flush=True)


def row(found: list[gl.StoredRun], name: str) -> str:
    """The steps of all seeds, rising, censored ones as >budget, diverged ones by name."""
    reached = sorted(value for run in found if (value := getattr(run.summary, name)) is not None)
    diverged = sum(run.status == "diverged" for run in found)
    censored = len(found) - len(reached) - diverged
    return ", ".join([f"{value:,}" for value in reached] + [f">{TASK['steps']:,}"] * censored + ["diverged"] * diverged)


def best(found: list[gl.StoredRun]) -> str:
    """Median over the seeds of the best validation accuracy."""
    return f"{100 * statistics.median(run.summary.best_validation_accuracy or 0.0 for run in found):.1f} %"


if __name__ == "__main__":
    main()
