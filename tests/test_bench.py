"""The benchmark compares like with like, counts what it says, and prints what it promises."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # the benchmarks are not part of the installed package

from benchmarks import bench, floor, timing  # noqa: E402
from benchmarks.peer import Peer, Reference  # noqa: E402
from groklab.config.run import Run  # noqa: E402
from groklab.model import transformer  # noqa: E402
from groklab.training.batches import Batch, network  # noqa: E402

TINY = Run.of(modulus=7, width=16, heads=2)
PAPER = Run()


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
    peer, reference = Peer(TINY), Reference(TINY)
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


def test_reference_and_fast_path_make_the_same_updates() -> None:
    run = TINY.replace(precision="float64")
    reference, batch = Reference(run), Batch([run], device="cpu")
    for _ in range(5):
        reference.update()
        batch.update()
    torch.testing.assert_close(reference.parameters.flat, batch.parameters.flat, rtol=1e-8, atol=1e-9)


def test_floor_has_the_multiply_adds_of_the_design() -> None:
    n, B, d = 97, 512, 128
    shared = 8 * (2 * B + 2 * n) + 4 * (2 * n + 2) + 2 * (2 * B + 2 * n) + (1 + 1 + 8) * B
    found = floor.multiply_adds(bench.shared_products(PAPER))
    assert found == shared * d**2 + B * d * n
    assert found / d**2 / B == pytest.approx(36, abs=0.2)


def test_floor_makes_every_product_and_both_gradients() -> None:
    made = floor.Floor(bench.shared_products(TINY))
    made.update()
    for x, weight, gradient, product, to_input, to_weight in made.buffers:
        x, weight = x.requires_grad_(), weight.requires_grad_()
        expected = x @ weight.T
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


@pytest.mark.medium
def test_json_has_what_is_promised(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(timing, "SHORTEST_TURN", 0.0)
    variations = {"batch_size": (4,), "modulus": (5,), "layers": (1,), "runs": (2,)}
    plan = bench.Plan(run=TINY, rounds=3, row_rounds=2, variations=variations, all_cores=False)
    monkeypatch.setattr(bench, "Plan", lambda: plan)
    bench.main(["--json"])
    found = json.loads(capsys.readouterr().out)
    assert set(found) == {
        *("machine", "run", "floor_multiply_adds_per_example_in_d2", "one_thread"),
        *("variations", "evaluation", "peak_memory_mib"),
    }
    assert {"processor", "cores", "torch"} <= set(found["machine"])
    assert found["one_thread"]["threads"] == 1
    contenders = found["one_thread"]["contenders"]
    assert set(contenders) == {"peer", "reference", "fast, R = 1", "fast, R = 4", "floor"}
    for contender in contenders.values():
        for key in ("milliseconds", "times_faster_than_peer", "times_the_floor"):
            assert set(contender[key]) == {"median", "min", "max"}
    assert contenders["peer"]["times_faster_than_peer"]["median"] == contenders["floor"]["times_the_floor"]["median"] == 1
    assert {what: [row[what] for row in rows] for what, rows in found["variations"].items()} == {k: list(v) for k, v in variations.items()}
    assert found["evaluation"]["evaluations"] == len({0} | {round(10 ** (j / 25)) for j in range(101)})
    assert 0 < found["evaluation"]["share"] < 1
    report = "\n".join(bench.text(found))
    for line in ("times faster than peer", "fast, R = 4", "floor", "evaluation of all 42 cells", "peak memory"):
        assert line in report


@pytest.mark.slow
def test_fast_path_is_at_least_twice_as_fast_as_the_peer() -> None:
    command = [sys.executable, "-W", "error", "-m", "benchmarks.bench", "--quick", "--json"]
    found = json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout)
    assert found["one_thread"]["contenders"]["fast, R = 1"]["times_faster_than_peer"]["median"] >= 2
