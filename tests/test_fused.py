"""The compiled path: equal to the reference in value and gradient, absent without a compiler, and named."""

import ctypes
import os
import platform
import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from groklab.config.run import Run
from groklab.model import compiled, transformer
from groklab.model.fused import Fused
from groklab.model.parameters import initial_parameters
from groklab.training.batches import Batch, network
from groklab.training.paths import path_of

missing = compiled.why_not("float32")
needs_compiler = pytest.mark.skipif(bool(missing), reason=missing or "there is a compiler")

SETTINGS = st.fixed_dictionaries(
    {
        "modulus": st.integers(2, 11),
        "heads": st.sampled_from([1, 2, 3]),
        "layers": st.integers(1, 3),
        "mlp_width": st.integers(1, 40),
        "norm": st.sampled_from(["post", "pre", "none"]),
        "positions": st.sampled_from(["sinusoidal", "learned", "none"]),
        "activation": st.sampled_from(["relu", "gelu", "quadratic"]),
        "biases": st.booleans(),
        "begin_token": st.booleans(),
        "operator_token": st.booleans(),
        "attention": st.sampled_from(["learned", "uniform", "frozen"]),
    }
)


def both(run, count, seed):
    """Logits, loss and gradients by the kernels and by the reference, on random weights and examples."""
    torch.manual_seed(seed)
    layout, dtype, n = network(run)[2], getattr(torch, run.training.precision), run.resolved()["modulus"]
    p = initial_parameters(layout, seed, dtype=dtype)
    p.flat.add_(torch.randn_like(p.flat) * 0.05)
    slopes = p.zeros()
    slopes.flat.fill_(torch.nan)  # everything must be written
    fused = Fused(compiled.kernels(run.training.precision), run.model, layout, n, count, p.flat, slopes.flat)
    for _ in range(2):  # buffers hold what the first batch left
        a, b, answers = (torch.randint(n, (count,)) for _ in range(3))
        fused.look_at(a, b)
        ours = [fused.forward().clone(), fused.cross_entropy(answers).clone(), fused.backward()]
    alone = Fused(compiled.kernels(run.training.precision), run.model, layout, n, count, p.flat)
    alone.look_at(a, b)
    assert torch.equal(alone.forward(), ours[0])  # without a backward pass, in memory that its layers share
    leaves = {name: view[0].detach().requires_grad_() for name, view in p.items()}
    logits = transformer.of_equations(leaves, run.model, a, b, n)
    loss = torch.nn.functional.cross_entropy(logits, answers)
    gradients = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True, materialize_grads=True)
    return ours, [logits, loss[None], torch.cat([g.flatten() for g in gradients])[None]]


@needs_compiler
@settings(max_examples=60, deadline=None)
@given(fields=SETTINGS, head_width=st.sampled_from([1, 4, 6, 32]), count=st.integers(1, 40), seed=st.integers(0, 99))
@pytest.mark.parametrize(("precision", "tolerance"), [("float64", 1e-11), ("float32", 3e-5)])
def test_the_kernels_equal_the_reference(precision, tolerance, fields, head_width, count, seed):
    # LayerNorm of one number divides rounding by √eps; in float32 that is all there would be to see.
    width = fields["heads"] * (head_width if precision == "float64" else max(head_width, 4))
    run = Run.of(operation="addition", precision=precision, width=width, **fields)
    for ours, theirs in zip(*both(run, count, seed), strict=True):
        # Relative to the largest entry: a quadratic network without LayerNorm has large numbers.
        assert (ours - theirs).abs().max() <= tolerance * (1 + theirs.abs().max())


@needs_compiler
@pytest.mark.parametrize(("precision", "tolerance"), [("float64", 1e-13), ("float32", 3e-6)])
def test_the_paper_s_network_at_full_size(precision, tolerance):
    for ours, theirs in zip(*both(Run.of(operation="addition", precision=precision), 512, 0), strict=True):
        assert (ours - theirs).abs().max() <= tolerance * (1 + theirs.abs().max())


@needs_compiler
@pytest.mark.parametrize("precision", ["float32", "float64"])
@settings(max_examples=40, deadline=None)
@given(
    sizes=st.tuples(*[st.integers(1, 70)] * 2, st.integers(1, 600)),
    flags=st.sampled_from([0, 1, 2, 4, 5]),
    turned=st.tuples(st.booleans(), st.booleans()),
)
def test_products_of_all_shapes(precision, sizes, flags, turned):
    (m, n, k), dtype = sizes, getattr(torch, precision)
    a, b, c, bias, mask = (torch.randn(shape, dtype=dtype) for shape in ((m, k), (k, n), (m, n), (n,), (m, n)))
    expected = a.double() @ b.double() + bias + (c if flags & 1 else 0)
    expected = expected.clamp(min=0) if flags & 2 else expected * (mask > 0) if flags & 4 else expected
    left, right = (x.T.contiguous().T if is_turned else x for x, is_turned in zip((a, b), turned, strict=True))
    numbers = [m, n, k, left, *left.stride(), right, *right.stride(), c, n, flags, bias, mask]
    passed = [ctypes.c_void_p(x.data_ptr()) if isinstance(x, torch.Tensor) else ctypes.c_int64(x) for x in numbers]
    compiled.kernels(precision).matmul(*passed)
    assert torch.allclose(c.double(), expected.double(), atol=1e-3 if precision == "float32" else 1e-11)


TINY = {"operation": "addition", "modulus": 7, "layers": 1, "width": 16, "train_fraction": 0.7}


@needs_compiler
@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"loss": "stablemax"},
        {"loss": "label_smoothing(amount=0.2)"},
        {"loss": "squared_error"},
        {"attention": "frozen"},
        {"optimizer": "muon"},
        {"optimizer": "adam", "weight_decay": 0.01},
        {"batch_size": 3},
        {"interventions": ("weight_noise", "sam", "gradient_noise", "norm_clamp")},
        {"interventions": ("decay_towards_initial",), "decay_parameters": ("blocks.*",)},
    ],
)
def test_paths_agree_until_rounding_separates_them(fields):
    run = Run.of(**TINY, precision="float64", **fields)
    batches = [Batch([run.replace(path=path)], device="cpu") for path in ("compiled", "batched", "reference")]
    for _ in range(20):
        for batch in batches:
            batch.update()
    ours, *others = (batch.parameters.flat for batch in batches)
    for theirs in others:
        assert torch.allclose(ours, theirs, rtol=0, atol=1e-8)
    ours, *others = (batch.answers()[0] for batch in batches)
    for theirs in others:
        assert (ours.answer == theirs.answer).all()
        assert abs(ours.probability - theirs.probability).max() < 1e-8


@needs_compiler
def test_a_gradient_that_vanishes_vanishes_here_too():
    batch = Batch([Run.of(**TINY)], device="cpu")
    batch.parameters["output"].mul_(1e4)
    losses, _ = batch.gradients()
    other = Batch([Run.of(**TINY, path="batched")], device="cpu")
    other.parameters["output"].mul_(1e4)
    assert torch.allclose(losses, other.gradients()[0])


def test_what_the_kernels_do_not_do_is_said():
    assert path_of(Run.of(interventions=("residual_dropout",)), "cpu") == (
        "batched",
        "residual_dropout needs the activations of every example",
    )
    assert path_of(Run.of(architecture="mlp"), "cpu") == ("batched", "the architecture mlp has no compiled form")
    assert path_of(Run(), "cuda") == ("batched", "the device is cuda")
    assert str(path_of(Run.of(path="reference"), "cpu")) == "reference"
    with pytest.raises(ValueError, match="cannot be used: the device is cuda"):
        path_of(Run.of(path="compiled"), "cuda")
    with pytest.raises(ValueError, match="residual_dropout acts on the activations"):
        path_of(Run.of(path="reference", interventions=("residual_dropout",)), "cpu")


def train_in_another_process(runs, **environment):
    words = [sys.executable, "-m", "groklab", "train", "--steps", "30", "--no-figures", "--runs", str(runs)]
    words += ["--operation", "addition", "--modulus", "7", "--layers", "1", "--width", "16"]
    return subprocess.run(words, capture_output=True, text=True, env=os.environ | environment, timeout=300, encoding="utf-8")


@pytest.mark.medium
@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"CC": "no-such-compiler"}, "path: batched (no C compiler: no-such-compiler was not found)"),
        ({"CC": 'gcc "'}, 'path: batched (no C compiler: CC is gcc ", which is no command (no closing quotation))'),
    ],
)
def test_without_a_compiler_training_goes_on_and_says_so(tmp_path, environment, told):
    done = train_in_another_process(tmp_path, **environment)
    assert done.returncode == 0, done.stderr
    assert told in done.stdout


@needs_compiler
@pytest.mark.medium
@pytest.mark.skipif(platform.machine() != "x86_64", reason="these compiler flags are of x86 processors")
def test_kernels_for_narrower_registers_are_equal_too(tmp_path):
    if compiled.vector_bits(compiled.kernels("float32")) < 512:
        pytest.skip("the other tests have just used them")
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__, "-k", "equal_the_reference or full_size or products"]
    environment = os.environ | {"CC": "cc -mno-avx512f", "GROKLAB_CACHE": str(tmp_path)}
    done = subprocess.run(words, capture_output=True, text=True, env=environment, timeout=300, encoding="utf-8")
    assert done.returncode == 0, done.stdout
    assert "skipped" not in done.stdout
    environment["CC"] = "cc -mno-avx512f -mno-avx2 -mno-avx"
    asked = [sys.executable, "-c", "from groklab.model import compiled; print(compiled.why_not('float32'))"]
    told = subprocess.run(asked, capture_output=True, text=True, env=environment, timeout=300, encoding="utf-8").stdout
    assert "no vector registers of 256 bits" in told


@needs_compiler
@pytest.mark.medium
def test_kernels_are_compiled_once(tmp_path):
    cache = tmp_path / "cache"
    for turn in range(2):
        done = train_in_another_process(tmp_path / str(turn), GROKLAB_CACHE=str(cache))
        assert done.returncode == 0, done.stderr
        assert "path: compiled" in done.stdout
        library, record = sorted(path.name for path in cache.iterdir())
        assert library.startswith("kernels-float32-")
        assert library.endswith(".so")
        assert record == f"{library}.sha256"
