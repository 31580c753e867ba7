"""The fast network equals the readable one, in value and in gradient, and the readable one is the paper's."""

import itertools

import pytest
import torch

from groklab import registry
from groklab.config.fields import Model
from groklab.config.run import Run
from groklab.model import batched, transformer
from groklab.model.losses import cross_entropy
from groklab.model.parameters import Parameters, initial_parameters, parameters_from
from groklab.model.passes import pass_of

TOLERANCE = {torch.float64: 1e-11, torch.float32: 2e-4}
"""Rounding of sums of a few hundred terms of order one to ten, with a wide margin."""


def network_of(n=11, R=1, dtype=torch.float64, **fields):
    run = Run.of(**{"width": 16, "heads": 4, **fields})
    call = registry.parse_call(run.model.architecture)
    layout = registry.look_up("architecture", call.name).function(run, n, **dict(call.settings))
    flat = torch.cat([initial_parameters(layout, seed, dtype=dtype).flat for seed in range(R)])
    return run.model, Parameters(layout, flat.requires_grad_())


def both(model, parameters, a, b, n, *, shared=True):
    """Logits of the fast and of the readable network, (R, B, N) each."""
    entry = registry.look_up("architecture", registry.parse_call(model.architecture).name)
    fast = pass_of(entry)(parameters, model, batched.examples(a, b, n, shared=shared), n)
    readable = pass_of(entry, "reference")
    runs = [{name: view[r] for name, view in parameters.items()} for r in range(a.shape[0])]
    return fast, torch.stack([readable(p, model, a[r], b[r], n) for r, p in enumerate(runs)])


@pytest.mark.parametrize(
    ("layers", "norm", "begin_token", "R"), list(itertools.product((1, 2, 3), ("post", "pre", "none"), (False, True), (1, 4)))
)
def test_batched_equals_the_reference_in_logits_and_gradients(layers, norm, begin_token, R):
    n = 11
    model, parameters = network_of(n, R, layers=layers, norm=norm, begin_token=begin_token)
    generator = torch.Generator().manual_seed(layers)
    a, b, answers = (torch.randint(n, (R, 40), generator=generator) for _ in range(3))
    fast, readable = both(model, parameters, a, b, n)
    torch.testing.assert_close(fast, readable, rtol=0, atol=TOLERANCE[torch.float64])
    gradients = [torch.autograd.grad(cross_entropy(logits, answers).mean(-1).sum(), parameters.flat)[0] for logits in (fast, readable)]
    assert gradients[0].abs().max() > 1e-3
    torch.testing.assert_close(*gradients, rtol=0, atol=TOLERANCE[torch.float64])


@pytest.mark.parametrize("positions", ["sinusoidal", "learned", "none"])
@pytest.mark.parametrize("activation", ["relu", "gelu", "quadratic"])
@pytest.mark.parametrize("biases", [False, True])
def test_batched_equals_the_reference_for_every_other_field(positions, activation, biases):
    n = 7
    model, parameters = network_of(n, 2, positions=positions, activation=activation, biases=biases, mlp_width=24, heads=2)
    a, b = (torch.randint(n, (2, 9), generator=torch.Generator().manual_seed(s)) for s in (0, 1))
    torch.testing.assert_close(*both(model, parameters, a, b, n), rtol=0, atol=TOLERANCE[torch.float64])


@pytest.mark.parametrize("fields", [{"operator_token": False, "begin_token": True}, {"attention": "uniform"}, {"mlp_biases": True}])
@pytest.mark.parametrize("layers", [1, 2, 3])
def test_batched_equals_the_reference_for_the_transformer_s_variants(fields, layers):
    n = 7
    model, parameters = network_of(n, 2, layers=layers, **fields)
    a, b = (torch.randint(n, (2, 9), generator=torch.Generator().manual_seed(s)) for s in (0, 1))
    torch.testing.assert_close(*both(model, parameters, a, b, n), rtol=0, atol=TOLERANCE[torch.float64])


@pytest.mark.parametrize("inputs", ["concatenated", "summed", "one_hot"])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize(("activation", "biases", "R"), [("relu", False, 1), ("quadratic", True, 3)])
def test_the_batched_mlp_equals_its_reference_in_logits_and_gradients(inputs, layers, activation, biases, R):
    n = 7
    width = {} if inputs == "one_hot" else {"width": 12}
    architecture = f"mlp(inputs={inputs!r})"
    model, parameters = network_of(
        n, R, **{"width": 128, **width}, architecture=architecture, layers=layers, activation=activation, biases=biases, mlp_width=10
    )
    a, b, answers = (torch.randint(n, (R, 30), generator=torch.Generator().manual_seed(s)) for s in range(3))
    fast, readable = both(model, parameters, a, b, n)
    torch.testing.assert_close(fast, readable, rtol=0, atol=TOLERANCE[torch.float64])
    gradients = [torch.autograd.grad(cross_entropy(logits, answers).mean(-1).sum(), parameters.flat)[0] for logits in (fast, readable)]
    torch.testing.assert_close(*gradients, rtol=0, atol=TOLERANCE[torch.float64])


@pytest.mark.parametrize(("layers", "begin_token", "R"), [(1, False, 1), (2, True, 2), (3, False, 2)])
def test_the_unshared_path_equals_the_reference(layers, begin_token, R):
    n = 7
    model, parameters = network_of(n, R, layers=layers, begin_token=begin_token)
    a, b = (torch.randint(n, (R, 9), generator=torch.Generator().manual_seed(s)) for s in (0, 1))
    torch.testing.assert_close(*both(model, parameters, a, b, n, shared=False), rtol=0, atol=TOLERANCE[torch.float64])


@pytest.mark.parametrize("B", [1, 5, 200])
def test_batched_equals_the_reference_in_float32_for_few_and_many_examples(B):
    n = 23
    model, parameters = network_of(n, 1, torch.float32, width=32)
    a, b = (torch.randint(n, (1, B), generator=torch.Generator().manual_seed(s)) for s in (0, 1))
    torch.testing.assert_close(*both(model, parameters, a, b, n), rtol=0, atol=TOLERANCE[torch.float32])


def test_only_the_elements_of_a_small_batch_have_rows():
    a, b = torch.tensor([[5, 5, 2]]), torch.tensor([[1, 1, 1]])
    given = batched.examples(a, b, 97)
    assert given.a.tolist() == [[2, 5]]
    assert given.b.tolist() == [[1]]
    assert given.a.gather(1, given.a_index).tolist() == a.tolist()


def test_parameters_of_the_paper_number_about_four_hundred_thousand():
    """C22: 394,240 non-embedding parameters, the count of the official implementation."""
    layout = transformer.transformer(Run(), 97)
    assert layout.non_embedding == 394_240
    assert layout.size == 394_240 + (97 + 2) * 128 + 97 * 128


def test_initial_parameters_have_the_default_distributions_of_torch():
    run = Run.of(biases=True, positions="learned")
    layout = transformer.transformer(run, 97)
    drawn = initial_parameters(layout, 0)
    linear = torch.nn.Linear(512, 128)
    for name, theirs in (("blocks.0.mlp.out", linear.weight), ("blocks.0.mlp.out_bias", linear.bias)):
        ours = drawn[name][0]
        assert ours.abs().max() <= 1 / 512**0.5
        assert ours.std() == pytest.approx(theirs.std().item(), rel=0.2)
    assert drawn["embedding"].std() == pytest.approx(1, abs=0.02)
    assert drawn["blocks.1.mlp_norm.gain"].eq(1).all()
    assert drawn["blocks.1.mlp_norm.bias"].eq(0).all()


def test_normal_embeddings_have_their_width_as_fan_in():
    """Both networks, as in Nanda et al. and Chughtai et al.: N(0, 1 / width)."""
    for architecture, names in (("transformer", ("embedding",)), ("mlp", ("embedding.left", "embedding.right"))):
        _, parameters = network_of(120, width=256, architecture=architecture, initialization="normal")
        for name in names:
            assert parameters[name].std().item() == pytest.approx(1 / 16, rel=0.03)


def test_initial_scale_multiplies_every_parameter():
    layout = transformer.transformer(Run(), 7)
    torch.testing.assert_close(initial_parameters(layout, 3, scale=8.0).flat, 8 * initial_parameters(layout, 3).flat)


def test_each_parameter_has_a_stream_of_its_own():
    """A field that adds parameters leaves the initial values of the others as they were."""
    with_biases, without = (initial_parameters(transformer.transformer(Run.of(biases=b), 7), 5) for b in (True, False))
    for name in without:
        assert torch.equal(with_biases[name], without[name])


def test_attention_is_causal():
    """The residual stream at a and ∘ does not depend on b: what the sharing rests on."""
    model, parameters = network_of(7)
    p = {name: view[0] for name, view in parameters.items()}
    streams = []
    for b in (1, 4):
        seen = {}
        sequence = transformer.tokens(torch.tensor([3]), torch.tensor([b]), 7, begin_token=False)
        transformer.forward(p, model, sequence, see=transformer.recorder(seen))
        streams.append(seen["blocks.1.hook_resid_post"])
    assert torch.equal(streams[0][:, :2], streams[1][:, :2])
    assert not torch.allclose(streams[0][:, 2:], streams[1][:, 2:])


def test_activations_have_names_and_can_be_replaced():
    model, parameters = network_of(7, heads=2)
    p = {name: view[0] for name, view in parameters.items()}
    sequence = transformer.tokens(torch.tensor([3, 1]), torch.tensor([2, 2]), 7, begin_token=False)
    seen = {}
    logits = transformer.forward(p, model, sequence, see=transformer.recorder(seen))
    assert seen["blocks.0.attn.hook_pattern"].shape == (2, 2, 4, 4)
    torch.testing.assert_close(seen["blocks.0.attn.hook_pattern"].sum(-1), torch.ones(2, 2, 4, dtype=torch.float64))
    assert seen["blocks.1.mlp.hook_post"].min() >= 0
    assert torch.equal(seen["hook_logits"], logits)

    def without_mlp(name, activation):
        return torch.zeros_like(activation) if name == "blocks.1.mlp.hook_post" else activation

    assert not torch.allclose(transformer.forward(p, model, sequence, see=without_mlp), logits)


def test_sinusoidal_positions_by_hand():
    table = transformer.sinusoidal(4, 6)
    assert table[0].tolist() == [0, 1, 0, 1, 0, 1]
    assert table[3, 2].item() == pytest.approx(torch.tensor(3 / 10000 ** (2 / 6)).sin().item())
    assert table[3, 5].item() == pytest.approx(torch.tensor(3 / 10000 ** (4 / 6)).cos().item())


def test_cross_entropy_equals_torch():
    logits, answers = torch.randn(2, 5, 7, dtype=torch.float64), torch.randint(7, (2, 5))
    theirs = torch.nn.functional.cross_entropy(logits.flatten(0, 1), answers.flatten(), reduction="none")
    torch.testing.assert_close(cross_entropy(logits, answers).flatten(), theirs)


def test_parameters_of_another_network_are_refused_by_name():
    layout = transformer.transformer(Run(model=Model(width=16)), 7)
    arrays = initial_parameters(layout, 0).to_numpy()
    del arrays["output"]
    arrays["blocks.0.mlp.in"] = arrays["blocks.0.mlp.in"][:3]
    with pytest.raises(ValueError, match=r"output is missing.*blocks\.0\.mlp\.in has shape \(3, 16\), expected \(64, 16\)"):
        parameters_from(layout, arrays, dtype=torch.float32)
