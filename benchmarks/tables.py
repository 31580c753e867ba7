"""Milliseconds a step: all contenders at the default run, and reference, fast path and floor as one quantity varies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks import contenders
from benchmarks.timing import Contender, interleaved, ratio, spread
from groklab.config.run import Run
from groklab.training.batches import batch_size, network

Figures = dict[str, Any]
Variations = Mapping[str, Sequence[Mapping[str, Any]]]

ADDITION = {"operation": "addition", "train_fraction": 0.5}
VARIATIONS: Variations = {
    "batch size": [{"batch_size": size} for size in (32, 128, 512, 2048, "full")],
    "elements": [*(ADDITION | {"modulus": n} for n in (23, 97, 197, 397)), ADDITION | {"modulus": 397, "batch_size": 32}],
    "layers": [{"layers": layers} for layers in (1, 2, 3)],
    "R": [{"R": count} for count in (1, 4, 16)],
}
"""For every table the fields of its rows; ``R`` is the number of runs that share every call."""
ON_A_DEVICE = [{"R": count} for count in (1, 4, 16, 64, 256)]

NOISE = 0.97
"""A ratio of two medians of equal contenders comes out so low on a shared machine."""


def main_table(run: Run, *, together: int, rounds: int, seconds: float) -> Figures:
    """Peer, reference, batched path, the fast path under its own name where it is another one, R runs that share calls, and floor."""
    fastest = contenders.fast(run)
    own = [contenders.batched(run)]
    if fastest.name != own[0].name:
        own.append(fastest)
    several = [contenders.batched(run, together)] if together > 1 else []
    all_of_them = [contenders.peer(run), contenders.reference(run), *own, *several, contenders.floor(run)]
    measured = interleaved(all_of_them, rounds=rounds, seconds=seconds)
    found = {
        name: {
            "milliseconds": spread(times),
            "times_faster_than_peer": ratio(measured["peer"], times),
            "times_the_floor": ratio(times, measured["floor"]),
            "rounds": len(times),
        }
        for name, times in measured.items()
    }
    return {"fast": fastest.name, "contenders": found}


def rows(run: Run, changes: Sequence[Mapping[str, Any]], *, rounds: int, seconds: float, device: str = "cpu") -> Iterator[Figures]:
    """One row for each change of the run; sizes that its table or the device does not allow are left out."""
    for change in changes:
        fields = dict(change)
        count = fields.pop("R", 1)
        changed = run.replace(**fields)
        cells = len(network(changed)[1].train)
        if batch_size(changed, cells) > cells or not contenders.that_fit(changed, [count], device):
            continue
        yield dict(change) | {"batch": batch_size(changed, cells)} | _row(changed, count, device, rounds, seconds)


def _row(run: Run, count: int, device: str, rounds: int, seconds: float) -> Figures:
    fast = contenders.fast(run, count, device)
    compared: list[Contender] = [contenders.reference(run, device), fast, contenders.floor(run, count, device)]
    measured = interleaved(compared, rounds=rounds, seconds=seconds)
    return {
        "path": fast.name.partition(",")[0],
        "device": device,
        "reference": spread(measured["reference"]),
        "fast": spread(measured[fast.name]),
        "times_faster": ratio(measured["reference"], measured[fast.name]),
        "times_the_floor": ratio(measured[fast.name], measured["floor"]),
    }


def slower_rows(variations: Mapping[str, Sequence[Figures]]) -> list[str]:
    """The rows, by table and size, at which the fast path is slower than the reference, beyond noise."""
    return [
        f"{name} {label(row)}: {row['times_faster']['median']:.2f} times as fast"
        for name, measured in variations.items()
        for row in measured
        if row["times_faster"]["median"] < NOISE
    ]


def label(row: Mapping[str, Any]) -> str:
    """What a row varies, in a few words."""
    if "modulus" in row:
        return str(row["modulus"]) + (f", batch {row['batch_size']}" if "batch_size" in row else "")
    if "R" in row:
        return f"{row['R']}" + ("" if row.get("device", "cpu") == "cpu" else f" on {row['device']}")
    return str(row.get("batch_size", row.get("layers")))
