"""Do the paths of computation grok alike? Steps to memorize and to generalize over several seeds, by each path: the table in LOG.md.

    python -m benchmarks.paths --runs runs/paths --seeds 20

Histories of one seed agree until rounding separates them; after that only their distributions can be compared. Resumable: runs
that are stored are not trained again.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import groklab as gl
from benchmarks.interventions import TASK, row
from groklab.analysis.comparisons import log_rank
from groklab.analysis.survival import Sample

PATHS = ("compiled", "batched", "reference")


def trained(runs: Path, path: str, seeds: int) -> list[gl.StoredRun]:
    """The cheap task by one path; a folder for each, because runs that differ in their path alone have one id."""
    return [gl.train(runs=runs / path, path=path, seed=seed, **TASK) for seed in range(seeds)]


def steps_to(found: list[gl.StoredRun], name: str) -> np.ndarray:
    """Steps until memorized or generalized; infinite where the budget was not enough, which is later than any step."""
    return np.array([np.inf if (step := getattr(run.summary, name)) is None else step for run in found], float)


def main() -> None:
    """Train what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=Path("runs/paths"))
    parser.add_argument("--seeds", type=int, default=20)
    asked = parser.parse_args()
    found = {path: trained(asked.runs, path, asked.seeds) for path in PATHS}
    print("| path | memorized at, median (range) | generalized at, median (range) | generalized at |\n|---|---|---|---|")
    for path, runs in found.items():
        told = [
            f"{np.median(steps):,.0f} ({steps.min():,.0f}–{steps.max():,.0f})"
            for steps in (steps_to(runs, name) for name in ("memorized_at", "generalized_at"))
        ]
        print(f"| {path} | {told[0]} | {told[1]} | {row(runs, 'generalized_at')} |")
    for path in PATHS[:2]:
        for name in ("memorized_at", "generalized_at"):
            samples = (Sample.of([getattr(run.summary, name) for run in found[one]], TASK["steps"]) for one in (path, "reference"))
            print(f"{path} against reference, {name.replace('_', ' ')}: p = {log_rank(*samples).p_value:.2f} (log-rank)")


if __name__ == "__main__":
    main()
