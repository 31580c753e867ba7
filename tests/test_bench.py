"""The benchmark compares like with like, counts what it says, prints what it promises, and what training costs is held to."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import bench, contenders, floor, processes, report, shares, tables, timing, watching
from benchmarks.peer import Peer
from groklab.config.run import Run
from groklab.model import compiled, transformer
from groklab.training.batches import Batch, network

ROOT = Path(__file__).parents[1]
TINY = Run.of(modulus=7, width=16, heads=2)
WORDS = ("--modulus", "7", "--width", "16", "--heads", "2")
PAPER = Run()
IS_COMPILED = not compiled.why_not("float32")


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
    torch.set_flush_denormal(False)


@pytest.mark.medium
def test_peer_has_the_references_parameters_and_the_biases_of_its_layers() -> None:
    layout = network(PAPER)[2]
    own = dict(Peer(PAPER).network.named_parameters())
    biases = sum(p.numel() for name, p in own.items() if name.endswith("bias") and ".norm" not in name)
    assert sum(p.numel() for p in own.values()) == layout.size + biases
    assert biases == 9 * 128 * 2
    assert own["embedding.weight"].shape == layout.entries["embedding"].shape == (97 + 2, 128)
    assert own["output.weight"].shape == layout.entries["output"].shape == (97, 128)


def test_peer_computes_the_references_logits_when_given_its_weights() -> None:
    peer, reference = Peer(TINY), Batch([TINY.replace(path="reference")], device="cpu")
    p = {name: view[0] for name, view in reference.parameters.items()}
    own = {"embedding.weight": p["embedding"], "output.weight": p["output"]}
    for k in range(2):
        a, b = f"blocks.{k}", f"encoder.layers.{k}"
        own[f"{b}.self_attn.in_proj_weight"] = torch.cat([p[f"{a}.attention.{name}"] for name in ("query", "key", "value")])
        own |= {f"{b}.self_attn.out_proj.weight": p[f"{a}.attention.output"]}
        own |= {f"{b}.linear1.weight": p[f"{a}.mlp.in"], f"{b}.linear2.weight": p[f"{a}.mlp.out"]}
        for ours, theirs in (("attention_norm", "norm1"), ("mlp_norm", "norm2")):
            own |= {f"{b}.{theirs}.weight": p[f"{a}.{ours}.gain"], f"{b}.{theirs}.bias": p[f"{a}.{ours}.bias"]}
    with torch.no_grad():
        for name, parameter in peer.network.named_parameters():
            parameter.copy_(own.get(name, torch.zeros_like(parameter)))
        logits = peer.network(peer.sequences)
    torch.testing.assert_close(logits, transformer.forward(p, TINY.model, peer.sequences), rtol=1e-4, atol=1e-5)


def test_peer_learns() -> None:
    torch.manual_seed(0)
    peer = Peer(TINY)

    def loss() -> float:
        with torch.no_grad():
            return float(torch.nn.functional.cross_entropy(peer.network(peer.sequences), peer.labels))

    before = loss()
    for _ in range(60):
        peer.update()
    assert loss() < 0.7 * before


@pytest.mark.parametrize("path", ["auto", "batched"])
def test_what_is_compared_makes_the_same_updates(path: str) -> None:
    run = TINY.replace(precision="float64")
    reference, batch = (Batch([run.replace(path=own)], device="cpu") for own in ("reference", path))
    for _ in range(5):
        reference.update()
        batch.update()
    torch.testing.assert_close(reference.parameters.flat, batch.parameters.flat, rtol=1e-8, atol=1e-9)


def test_contenders_are_named_by_what_they_are() -> None:
    assert contenders.fast(TINY).name == ("compiled, R = 1" if IS_COMPILED else "batched, R = 1")
    several = contenders.fast(TINY, 3)
    assert (several.name, several.runs) == ("batched, R = 3", 3)
    assert [made(TINY).name for made in (contenders.peer, contenders.reference, contenders.batched)] == [
        "peer",
        "reference",
        "batched, R = 1",
    ]
    assert contenders.that_fit(TINY, [1, 999], "cpu") == [1, 999]


def test_floor_has_the_multiply_adds_of_the_design() -> None:
    n, B, d = 97, 512, 128
    shared = 8 * (2 * B + 2 * n) + 4 * (2 * n + 2) + 2 * (2 * B + 2 * n) + (1 + 1 + 8) * B
    found = floor.multiply_adds(floor.shared_products(PAPER))
    assert found == shared * d**2 + B * d * n
    assert found / d**2 / B == pytest.approx(36, abs=0.2)


def test_floor_has_no_rows_for_elements_that_a_batch_does_not_hold() -> None:
    small = PAPER.replace(operation="addition", modulus=397, batch_size=32)
    found = {product.name: product for product in floor.shared_products(small)}
    assert 28 <= (found["0.key"].rows - 2) / 2 <= 32
    assert found["logits"].outputs == 397


@pytest.mark.parametrize("runs", [None, 3])
def test_floor_makes_every_product_and_both_gradients(runs: int | None) -> None:
    made = floor.Floor(floor.shared_products(TINY), runs=runs)
    made.update()
    for x, weight, gradient, product, to_input, to_weight in made.buffers:
        x, weight = x.requires_grad_(), weight.requires_grad_()
        expected = x @ weight.mT
        torch.testing.assert_close(product, expected)
        for mine, theirs in zip((to_input, to_weight), torch.autograd.grad(expected, (x, weight), gradient), strict=True):
            torch.testing.assert_close(mine, theirs)


def test_products_of_one_and_three_layers() -> None:
    n, B, d, F = 5, 11, 4, 16
    one = floor.products(n, B, d, F, layers=1)
    assert [p.rows for p in one] == [1, 12, 12, 12, B, B, B]
    middle = [p for p in floor.products(n, B, d, F, layers=3) if p.name.startswith("1.")]
    assert len(middle) == 6
    assert all(p.rows == 2 * B + 2 * n for p in middle)


def test_every_contender_gets_every_round_and_time_is_per_run() -> None:
    calls: list[str] = []
    contenders = [timing.Contender(name, lambda name=name: calls.append(name), runs) for name, runs in (("x", 1), ("y", 4))]
    measured = timing.interleaved(contenders, rounds=7)
    assert [len(times) for times in measured.values()] == [7, 7]
    assert len(timing.interleaved(contenders, rounds=50, seconds=0)["x"]) == 3
    assert set(calls) == {"x", "y"}
    assert timing.ratio([2.0, 6.0, 4.0], [1.0, 1.0, 1.0]) == {"median": 4.0, "min": 2.0, "max": 6.0}


def test_a_turn_ends_when_its_device_has_finished() -> None:
    calls: list[str] = []
    contender = timing.Contender("x", lambda: calls.append("step"), finish=lambda: calls.append("finish"))
    timing.interleaved([contender], rounds=3)
    assert calls[-1] == "finish"
    assert calls.count("finish") == timing.WARMUP_STEPS + 3


def test_rows_that_a_table_does_not_allow_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "SHORTEST_TURN", 0.0)
    cells = len(network(TINY)[1].train)
    changes = [{"batch_size": cells}, {"batch_size": cells + 1}, {"R": 2}]
    found = list(tables.rows(TINY, changes, rounds=3, seconds=0))
    assert [row["batch"] for row in found] == [cells, 11]
    assert [tables.label(row) for row in found] == [str(cells), "2"]
    assert found[1]["path"] == "batched"


def test_a_row_that_is_slower_than_the_reference_is_said() -> None:
    def row(median: float) -> dict[str, Any]:
        same = {"median": median, "min": median, "max": median}
        return {"layers": 3, "batch": 5, "path": "batched", "reference": same, "fast": same, "times_faster": same, "times_the_floor": same}

    assert tables.slower_rows({"layers": [row(0.98)]}) == []
    assert tables.slower_rows({"layers": [row(0.9)]}) == ["layers 3: 0.90 times as fast"]


@pytest.mark.skipif(not IS_COMPILED, reason="no compiled path on this machine")
def test_shares_are_of_every_kernel_call_and_sum_to_a_step() -> None:
    found = shares.compiled_shares(TINY, steps=6)
    assert sum(kind["share"] for kind in found["kinds"].values()) == pytest.approx(1)
    products = {name: kind for name, kind in found["kinds"].items() if name.startswith("products")}
    assert {name: kind["calls"] for name, kind in products.items()} == {
        f"products, {what}": 13 for what in ("forward", "gradients of weights", "gradients of inputs")
    }
    assert all(kind["gflops"] > 0 for kind in products.values())
    assert set(found["kinds"]) >= {"attention", "attention, gradients", "LayerNorm", "AdamW", "loss and its gradient", shares.REST}


@pytest.mark.medium
def test_shares_of_the_batched_path_sum_to_a_step() -> None:
    assert sum(share for _, share in shares.batched_shares(TINY, steps=6)) == pytest.approx(1, abs=0.01)


def test_watching_counts_what_a_run_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "SHORTEST_TURN", 0.0)
    found = watching.watching(TINY, steps=10_000, rounds=3, seconds=0)
    counts = {name: kind["count"] for name, kind in found["kinds"].items()}
    assert counts["evaluation"] == len({0} | {round(10 ** (j / 25)) for j in range(101)})
    assert counts["checkpoint"] == len({0} | {round(10 ** (j / 8)) for j in range(33)})
    assert counts["saved state"] >= 1
    assert counts["telling of a step"] == 10_000
    spent = sum(kind["share_of_updates"] for kind in found["kinds"].values())
    assert found["share"] == pytest.approx(spent / (1 + spent))


@pytest.mark.medium
def test_json_has_what_is_promised(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    monkeypatch.setattr(timing, "SHORTEST_TURN", 0.0)
    monkeypatch.setattr(processes, "cores", lambda: 2)
    variations = {"batch size": [{"batch_size": 4}], "elements": [{"modulus": 5}], "layers": [{"layers": 1}], "R": [{"R": 2}]}
    short = {"rounds": 3, "row_rounds": 2, "turns": 2, "turn_seconds": 0.05, "times": 1, "steps": 40}
    plan = bench.Plan(run=TINY, words=WORDS, variations=variations, **short)
    monkeypatch.setattr(bench, "Plan", lambda: plan)
    bench.main(["--run", "--device", "cpu", "--json"])
    written = capsys.readouterr().out
    found = json.loads(written)
    parts = {"variations", "throughput", "watching", "start", "memory_mb", "stored_run"}
    assert set(found) - {"shares"} == {"machine", "run", "floor_multiply_adds_per_example_in_d2", "main"} | parts
    assert {"processor", "cores", "caches", "torch", "compiler", "path", "kernel_vector_bits"} <= set(found["machine"])
    assert found["main"]["threads"] == 1
    measured = found["main"]["contenders"]
    assert set(measured) == {"peer", "reference", "batched, R = 1", found["main"]["fast"], "batched, R = 4", "floor"}
    for contender in measured.values():
        for key in ("milliseconds", "times_faster_than_peer", "times_the_floor"):
            assert set(contender[key]) == {"median", "min", "max"}
    assert measured["peer"]["times_faster_than_peer"]["median"] == measured["floor"]["times_the_floor"]["median"] == 1
    assert {
        name: [change.items() <= row.items() for change, row in zip(variations[name], rows, strict=True)]
        for name, rows in found["variations"].items()
    } == {name: [True] for name in variations}
    assert found["throughput"]["processes"] == 2
    assert 0 < found["watching"]["share"] < 1
    assert all(found["start"][what]["median"] > 0 for what in ("help", "first_update"))
    assert 50 < found["memory_mb"] < 2000
    stored = found["stored_run"]
    assert (stored["steps"], 0 < stored["share"] < 1) == (40, True)
    assert stored["in_updates"] < stored["seconds"]

    (tmp_path / "found.json").write_text(written, encoding="utf-8")
    bench.main(["--from", str(tmp_path / "found.json")])
    told = capsys.readouterr().out
    for line in ("times faster than peer", "batched, R = 4", "floor", "peak memory", "until its first update", "stored run of 40 steps"):
        assert line in told


def test_the_page_has_the_tables_that_are_printed() -> None:
    page = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    one = {"median": 1.0, "min": 1.0, "max": 1.0}
    kind = {"milliseconds": one, "in_steps": one, "count": 1, "share_of_updates": 0.0}
    row = {"layers": 1, "batch": 5, "path": "compiled", "reference": one, "fast": one, "times_faster": one, "times_the_floor": one}
    found = {
        "main": {"fast": "x", "contenders": {"x": {"milliseconds": one, "times_faster_than_peer": one, "times_the_floor": one}}},
        "variations": {"layers": [row]},
        "throughput": {"processes": 2, "one": one, "all": one, "times_one": one, "busy": one},
        "watching": {"steps": 10_000, "kinds": {"evaluation": kind}, "share": 0.0},
        "start": {"first_update": one, "first_update_ever": 1.0, "help": one},
        "memory_mb": 1.0,
        "shares": {"kinds": {}, "step_milliseconds": one, "timed_step_milliseconds": one, "products_gflops": 1.0, "torch_gflops": one},
    }
    for table in report.tables(found):
        assert f"### {table.title}\n\n| {' | '.join(table.head)} |\n" in page, table.title


# — what is promised: `make slow`, with nothing else at work —


@pytest.fixture(scope="module")
def measured() -> dict[str, Any]:
    """The whole benchmark, once."""
    command = [sys.executable, "-W", "error", "-m", "benchmarks.bench", "--json", "--device", "cpu"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def _told(found: dict[str, Any]) -> str:
    return "\n" + "\n".join(report.text(found))


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.skipif(not IS_COMPILED, reason="no compiled path on this machine")
def test_the_fast_path_is_many_times_as_fast_as_the_peer_and_near_the_floor(measured: dict[str, Any]) -> None:
    contenders = measured["main"]["contenders"]
    fast, floor = contenders[measured["main"]["fast"]], contenders["floor"]
    # How often the floor goes into the peer belongs to the processor, not to this package: where torch's products already run at its peak
    # (AVX2, or registers of 512 bits that are worked off in two halves), nothing that makes them can be 4.5 times as fast as the peer.
    within_reach = min(4.5, floor["times_faster_than_peer"]["median"] / 1.5)
    assert fast["times_faster_than_peer"]["median"] >= within_reach, _told(measured)
    assert fast["times_the_floor"]["median"] <= 1.5, _told(measured)


@pytest.mark.slow
@pytest.mark.alone
def test_the_fast_path_is_nowhere_slower_than_the_reference(measured: dict[str, Any]) -> None:
    assert not tables.slower_rows(measured["variations"]), _told(measured)
    assert sum(map(len, measured["variations"].values())) == sum(map(len, tables.VARIATIONS.values()))


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.skipif(processes.cores() < 2, reason="one core")
def test_all_cores_train_at_once(measured: dict[str, Any]) -> None:
    found = measured["throughput"]
    if found["busy"]["median"] < 0.95:
        pytest.skip(f"the cores are busy with other work: a training process had {found['busy']['median']:.2f} of one")
    # The promise is 0.9 for the median of an idle host. What the host of a virtual machine does besides is not seen from inside and slows
    # two processes more than one, so here the best turn has to keep it, and the median must not be far below.
    assert found["times_one"]["max"] >= 0.9 * found["processes"], _told(measured)
    assert found["times_one"]["median"] >= 0.8 * found["processes"], _told(measured)


def _seconds_of(code: str) -> float:
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.monotonic() - began


@pytest.mark.slow
@pytest.mark.alone
def test_a_process_is_small_and_starts_soon(measured: dict[str, Any]) -> None:
    assert measured["memory_mb"] < 700, _told(measured)
    # In times of what torch alone takes to be imported, between 1.2 and 2.5 seconds by processor and disk.
    torch_alone = sorted(_seconds_of("import torch") for _ in range(3))[1]
    assert measured["start"]["first_update"]["median"] < 2.5 * torch_alone, _told(measured)
    assert measured["start"]["help"]["median"] < 0.25 * torch_alone, _told(measured)


@pytest.mark.slow
@pytest.mark.alone
def test_watching_a_run_costs_little(measured: dict[str, Any]) -> None:
    assert measured["watching"]["kinds"]["evaluation"]["share_of_updates"] < 0.05, _told(measured)
    assert measured["watching"]["share"] < 0.06, _told(measured)
