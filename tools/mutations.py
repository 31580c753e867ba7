"""Would the tests notice? Lines of the science broken on purpose, one at a time in a copy, each of which some test must catch.

python -m tools.mutations            all; `make mutations`
python -m tools.mutations warm       those whose name contains a word
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
COPIED = (
    "groklab",
    "tests",
    "benchmarks",
    "tools",
    "docs",
    "pyproject.toml",
    "README.md",
    "CHANGELOG.md",
    "CITATION.cff",
    "LOG.md",
    "Makefile",
)


class Mutation(NamedTuple):
    """One line changed."""

    name: str
    file: str
    """In the package."""
    before: str
    """Occurs once in the file."""
    after: str
    tests: str
    """The file of tests that must fail, with a selection if there is one."""


MUTATIONS = (
    Mutation(
        "sign of the decoupled decay",
        "training/batches.py",
        "weights.sub_(self._decayed(weights).mul_(rate))",
        "weights.add_(self._decayed(weights).mul_(rate))",
        "test_optimizers.py",
    ),
    Mutation(
        "bias correction of AdamW by the other beta",
        "training/optimizers.py",
        "(1 - moment.power(betas[1])) ** 0.5",
        "(1 - moment.power(betas[0])) ** 0.5",
        "test_optimizers.py",
    ),
    Mutation(
        "warm-up off by one",
        "training/schedules.py",
        "min(1.0, (step - from_zero) / warmup)",
        "min(1.0, (step + 1 - from_zero) / warmup)",
        "test_training.py",
    ),
    Mutation(
        "split from the end of the permutation",
        "data/splits.py",
        'permutation("split", seed, size=len(known))[:wanted]',
        'permutation("split", seed, size=len(known))[-wanted:]',
        "test_splits.py",
    ),
    Mutation(
        "every run reads the rows of the first",
        "model/batched.py",
        "(position.index + offset)",
        "(position.index + 0 * offset)",
        "test_networks.py",
    ),
    Mutation(
        "the right factor of permutations acts first",
        "data/groups.py",
        "np.searchsorted(numbers, images[:, x] @ weights) for x in images",
        "np.searchsorted(numbers, x[images] @ weights) for x in images",
        "test_groups.py",
    ),
    Mutation(
        "generalized only above the threshold",
        "analysis/grokking.py",
        "row[column] >= threshold",
        "row[column] > threshold",
        "test_summary.py",
    ),
    Mutation(
        "a delay upside down",
        "analysis/grokking.py",
        "delay=generalized / memorized",
        "delay=memorized / generalized",
        "test_summary.py",
    ),
    Mutation(
        "losses summed in single precision",
        "training/answering.py",
        "forward(parameters, run.model, given, table.n)[0].cpu().double()",
        "forward(parameters, run.model, given, table.n)[0].cpu()",
        "test_training.py",
    ),
    Mutation(
        "censored runs counted as reached",
        "analysis/survival.py",
        "np.array([at is not None for at in reached_at], dtype=np.bool_)",
        "np.array([True for at in reached_at], dtype=np.bool_)",
        "test_statistics.py",
    ),
    Mutation(
        "runs that have got there stay at risk",
        "analysis/survival.py",
        'np.searchsorted(np.sort(sample.steps), events, side="left")',
        "np.searchsorted(np.sort(sample.steps), 0 * events)",
        "test_statistics.py",
    ),
    Mutation(
        "the budget is part of the id",
        "config/run.py",
        'if leaves()[name] != "budget" and (value',
        "if (value",
        "test_run.py",
    ),
    Mutation(
        "LayerNorm's gradient without its mean",
        "model/kernels.c",
        "dy[e] = scale[i] * (dy[e] - mean - normalized[e] * along)",
        "dy[e] = scale[i] * (dy[e] - normalized[e] * along)",
        "test_fused.py",
    ),
)


def copied(folder: Path) -> Path:
    """A copy of what the tests need."""
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    return folder


def ending(folder: Path, tests: str) -> int:
    """Exit status of pytest on these tests and the package of a folder: 0 passed, 1 failed."""
    variables = os.environ | {"PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    words = ["-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-m", "not slow", f"tests/{tests}"]
    return subprocess.run([sys.executable, *words], cwd=folder, env=variables, capture_output=True).returncode


def is_caught(mutation: Mutation, folder: Path) -> bool:
    """Whether the tests fail with the line changed; AssertionError where the line is not there, or where they do not run."""
    file = folder / "groklab" / mutation.file
    source = file.read_text(encoding="utf-8")
    assert source.count(mutation.before) == 1, f"{mutation.name}: {mutation.before!r} occurs {source.count(mutation.before)} times"
    file.write_text(source.replace(mutation.before, mutation.after), encoding="utf-8")
    try:
        status = ending(folder, mutation.tests)
    finally:
        file.write_text(source, encoding="utf-8")
    assert status in (0, 1), f"{mutation.name}: pytest ended with status {status}"
    return status == 1


def main(words: list[str]) -> int:
    """Try the mutations; 1 where one is not caught."""
    chosen = [mutation for mutation in MUTATIONS if all(word in mutation.name for word in words)]
    if not chosen:
        raise SystemExit(f"no mutation's name contains {' and '.join(words)}; there are: {', '.join(one.name for one in MUTATIONS)}")
    missed: list[str] = []
    with tempfile.TemporaryDirectory() as made:
        folder = copied(Path(made))
        # A test that fails anyway catches nothing.
        for tests in dict.fromkeys(mutation.tests for mutation in chosen):
            if ending(folder, tests) != 0:
                raise SystemExit(f"{tests} fails with nothing broken: run it by itself first")
        for mutation in chosen:
            began = time.monotonic()
            caught = is_caught(mutation, folder)
            missed += [] if caught else [mutation.name]
            print(f"{'caught' if caught else 'MISSED'}  {mutation.name}  ({mutation.tests}, {time.monotonic() - began:.0f} s)", flush=True)
    print(f"{len(chosen) - len(missed)} of {len(chosen)} mutations are caught.")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
