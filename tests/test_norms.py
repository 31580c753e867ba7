"""Norms, ranks, margins, norm products, gradients and attention entropy, each against a formula written down independently."""

import math

import numpy as np
import pytest
import torch

from groklab import registry
from groklab.config.run import Run
from groklab.data.splits import split_of
from groklab.data.tables import table_of
from groklab.measures import margins
from groklab.measures.gradients import gradient_of
from groklab.measures.margins import linear_layers
from groklab.measures.norms import effective_rank, stable_rank
from groklab.measures.task import MeasuredTask, take
from groklab.model.parameters import Parameters, initial_parameters
from groklab.training.batches import initial_of, network
from groklab.training.paths import reference_gradients

MLP = dict(architecture="mlp(inputs='one_hot')", mlp_width=6, layers=1)
TRANSFORMER = dict(width=8, heads=2, layers=2, mlp_width=12, precision="float64")


def measured(*, moved: float = 0.5, **fields) -> tuple[Parameters, MeasuredTask]:
    """A network somewhere else than where it began."""
    run = Run.of(**({"operation": "addition", "modulus": 5, "train_fraction": 0.6} | fields))
    layout = network(run)[2]
    initial = initial_of(run, layout)
    other = initial_parameters(layout, 99, dtype=initial.flat.dtype)
    parameters = Parameters(layout, initial.flat + moved * other.flat)
    return parameters, MeasuredTask(run, table_of(run.task), split_of(run), initial, 7)


def planted(**matrices) -> tuple[Parameters, MeasuredTask]:
    """An MLP on one-hot inputs whose matrices are given."""
    parameters, task = measured(**MLP)
    for name, matrix in matrices.items():
        parameters[name.replace("_", ".")][0] = torch.from_numpy(np.asarray(matrix)).to(parameters.flat)
    return parameters, task


def parts(name, parameters, task):
    return {key.removeprefix(f"{name}."): value for key, value in take((name,), parameters, task).items()}


# — norms and ranks —


@pytest.mark.parametrize("fields", [TRANSFORMER, MLP, TRANSFORMER | {"positions": "learned", "biases": True}])
def test_every_norm_and_rank_is_that_of_numpy(fields):
    parameters, task = measured(**fields)
    arrays = {name: array.astype(np.float64) for name, array in parameters.to_numpy().items()}
    before = {name: array.astype(np.float64) for name, array in task.initial.to_numpy().items()}
    spectral, stable, effective = (parts(name, parameters, task) for name in ("spectral_norms", "stable_ranks", "effective_ranks"))
    matrices = [name for name, array in arrays.items() if array.ndim == 2]
    assert matrices
    assert list(spectral) == list(stable) == list(effective) == matrices
    for name in matrices:
        s = np.sqrt(np.maximum(np.linalg.eigvalsh(arrays[name] @ arrays[name].T), 0))
        p = s[s > 1e-6 * s.max()] / s.sum()
        assert spectral[name] == pytest.approx(s.max(), rel=1e-6)
        assert stable[name] == pytest.approx((arrays[name] ** 2).sum() / s.max() ** 2, rel=1e-6)
        assert effective[name] == pytest.approx(math.exp(-(p * np.log(p)).sum()), rel=1e-4)
    distance = parts("distance_from_initial", parameters, task)
    for name, array in arrays.items():
        assert distance[name] == pytest.approx(np.sqrt(((array - before[name]) ** 2).sum()), rel=1e-6)
    assert distance["total"] == pytest.approx(math.sqrt(sum(value**2 for name, value in distance.items() if name != "total")))


@pytest.mark.parametrize(
    ("spectrum", "effective", "stable"),
    [
        ([3.0, 3.0, 3.0, 3.0], 4, 4),
        ([2.0, 0.0, 0.0, 0.0], 1, 1),
        ([1.0, 1.0, 0.0, 0.0], 2, 2),
        ([2.0, 1.0, 1.0, 0.0], 2 * math.sqrt(2), 1.5),  # entropy of (1/2, 1/4, 1/4): 1.5 log 2
        ([0.0, 0.0, 0.0, 0.0], 0, 0),
    ],
)
def test_ranks_of_a_known_spectrum(spectrum, effective, stable):
    values = torch.tensor(spectrum, dtype=torch.float64)
    assert effective_rank(values) == pytest.approx(effective)
    assert stable_rank(values) == pytest.approx(stable)
    left, right = (np.linalg.qr(np.random.default_rng(seed).normal(size=(size, 4)))[0] for seed, size in ((0, 5), (1, 6)))
    parameters, task = planted(output=left @ np.diag(spectrum) @ right.T)
    if max(spectrum):
        assert parts("effective_ranks", parameters, task)["output"] == pytest.approx(effective, rel=1e-4)
        assert parts("stable_ranks", parameters, task)["output"] == pytest.approx(stable, rel=1e-4)


def test_gains_are_one_where_training_begins_and_their_root_mean_square_afterwards():
    parameters, task = measured(**TRANSFORMER)
    assert set(parts("layernorm_gains", task.initial, task).values()) == {1.0}
    parameters["blocks.1.mlp_norm.gain"][0] = torch.tensor([3.0, 4.0] * 4)
    found = parts("layernorm_gains", parameters, task)
    assert len(found) == 4
    assert found["blocks.1.mlp_norm"] == pytest.approx(math.sqrt(12.5))


def test_nothing_has_moved_where_training_begins():
    _, task = measured(**TRANSFORMER)
    assert set(parts("distance_from_initial", task.initial, task).values()) == {0.0}


# — margins —


def test_margins_and_logit_norms_by_hand():
    parameters, task = planted()
    matrices = parameters.to_numpy()
    table, split = task.table, task.split

    def logits(x, y):
        return matrices["output"] @ np.maximum(matrices["layers.0.left"][:, x] + matrices["layers.0.right"][:, y], 0)

    margins = []
    for cell in split.train:
        z, label = logits(table.x[cell], table.y[cell]), split.labels[cell]
        margins.append(z[label] - max(z[k] for k in range(5) if k != label))
    found = parts("answer_margins", parameters, task)
    assert found["mean"] == pytest.approx(np.mean(margins), rel=1e-5)
    assert found["minimum"] == pytest.approx(min(margins), rel=1e-5)
    assert found["percentile_5"] == pytest.approx(np.percentile(margins, 5), rel=1e-5)
    norms = parts("logit_norms", parameters, task)
    for side, cells in (("train", split.train), ("validation", split.validation)):
        of_cells = [logits(table.x[cell], table.y[cell]) for cell in cells]
        assert norms[side] == pytest.approx(np.mean([np.linalg.norm(z - z.mean()) for z in of_cells]), rel=1e-5)


def separating(scale=1.0, **fields):
    """An MLP of two layers that looks addition mod 5 up, with a margin of its scale, and its two matrices."""
    parameters, task = measured(operation="addition", **(MLP | {"mlp_width": 25} | fields))
    left, right, output = np.zeros((25, 5)), np.zeros((25, 5)), np.zeros((5, 25))
    for x in range(5):
        for y in range(5):
            unit = 5 * x + y
            # The unit of a pair is 1 for it, and 0 for pairs that share one element or none, by the negative weights of the others.
            left[unit], right[unit] = -1, -1
            left[unit, x] = right[unit, y] = 0.5
            output[(x + y) % 5, unit] = scale
    for name, matrix in (("layers.0.left", left), ("layers.0.right", right), ("output", output)):
        parameters[name][0] = torch.from_numpy(matrix).to(parameters.flat)
    return parameters, task, np.concatenate([left, right], 1), output


@pytest.mark.parametrize(("scale", "collapsed", "without_loss"), [(1, 0, 0), (30, 1, 11 / 15)])
def test_rounding_swallows_what_lies_far_below_the_largest_logit(monkeypatch, scale, collapsed, without_loss):
    # Of fifteen training cells four have wrong labels: their loss is as large as the margin, though their softmax has collapsed.
    monkeypatch.setattr(margins, "CHUNK", 4)
    parameters, task = separating(scale, outliers=4)[:2]
    found = take(("softmax_collapse", "zero_loss_share"), parameters, task)
    assert found == pytest.approx({"softmax_collapse": collapsed, "zero_loss_share": without_loss})


def by_hand(W, kind):
    """Norms of a matrix, with rows the outputs."""
    s = np.linalg.svd(W, compute_uv=False)
    rows = {p: (np.abs(W) ** p).sum(1) ** (1 / p) for p in (1, 2, 3)}
    return {
        "L_1_inf": rows[1].max(),
        "frobenius": math.sqrt((W**2).sum()),
        "L_3_1.5": (rows[3] ** 1.5).sum() ** (1 / 1.5),
        "spectral": s.max(),
        "schatten_1.5": (s**1.5).sum() ** (1 / 1.5),
        "trace": s.sum(),
    }[kind]


KINDS = ("L_1_inf", "frobenius", "L_3_1.5", "spectral", "schatten_1.5", "trace")


def test_norm_products_of_two_layers_by_hand():
    parameters, task, first, second = separating(scale=3.0)
    margin = take(("answer_margins",), parameters, task)["answer_margins.percentile_5"]
    assert margin == pytest.approx(3.0)
    found = parts("norm_products", parameters, task)
    assert set(found) == {*KINDS, *(f"{kind}_over_margin" for kind in KINDS)}
    for kind in KINDS:
        product = by_hand(first, kind) * by_hand(second, kind)
        assert found[kind] == pytest.approx(math.log(product), rel=1e-6)
        assert found[f"{kind}_over_margin"] == pytest.approx(math.log(product / 3.0), rel=1e-6)


def test_a_network_scaled_in_one_layer_has_the_same_product_over_its_margin():
    small, large = (parts("norm_products", *separating(scale)[:2]) for scale in (1.0, 8.0))
    for kind in KINDS:
        assert large[kind] == pytest.approx(small[kind] + math.log(8))
        assert large[f"{kind}_over_margin"] == pytest.approx(small[f"{kind}_over_margin"])


def test_bounds_of_two_layers_by_hand():
    parameters, task, first, second = separating(scale=2.0)
    before = task.initial.to_numpy()
    starts = [np.concatenate([before["layers.0.left"], before["layers.0.right"]], 1), before["output"]]
    layers, m, gamma = [first, second], len(task.split.train), 2.0
    product = {kind: by_hand(first, kind) * by_hand(second, kind) for kind in KINDS}
    alpha = math.sqrt(2 + math.log(10**2))
    spectral = [by_hand(W, "spectral") for W in layers]
    moved = [W - start for W, start in zip(layers, starts, strict=True)]
    of_rows = [np.linalg.norm(change, axis=1).sum() / s for change, s in zip(moved, spectral, strict=True)]
    of_all = [math.sqrt(len(change)) * np.linalg.norm(change) / s for change, s in zip(moved, spectral, strict=True)]
    count = first.size + second.size
    expected = {
        "L1_max": alpha * product["L_1_inf"] / gamma / m**0.5,
        "frobenius": alpha * product["frobenius"] / gamma / m**0.5,
        "L_3_1.5": alpha * product["L_3_1.5"] / gamma / m ** (1 / 3),
        "spectral_L_2_1": math.log(m) * math.log(count) * product["spectral"] / gamma * sum(r ** (2 / 3) for r in of_rows) ** 1.5 / m**0.5,
        "spectral_frobenius": 2 * product["spectral"] / gamma * math.sqrt(sum(r**2 for r in of_all)) / m**0.5,
    }
    found = parts("generalization_bounds", parameters, task)
    assert found.pop("margin") == pytest.approx(gamma)
    assert set(found) == set(expected)
    for name, value in expected.items():
        assert found[name] == pytest.approx(math.log(value), rel=1e-5), name


def test_what_is_divided_by_no_positive_margin_is_left_out():
    parameters, task = measured(**TRANSFORMER)
    assert take(("answer_margins",), parameters, task)["answer_margins.percentile_5"] < 0
    assert set(parts("norm_products", parameters, task)) == set(KINDS)
    assert set(parts("generalization_bounds", parameters, task)) == {"margin"}


def test_the_linear_layers_are_those_of_the_official_implementation():
    parameters, task = measured(**TRANSFORMER)
    layers = linear_layers(parameters, task)
    assert len(layers) == 2 * (3 * 2 + 1 + 2) + 1
    assert layers["blocks.1.attention.key.1"].weight.shape == (4, 8)
    np.testing.assert_array_equal(layers["blocks.1.attention.key.1"].weight.numpy(), parameters.to_numpy()["blocks.1.attention.key"][4:])
    names = {name.rsplit(".", 1)[0] if name[-1].isdigit() else name for name in layers}
    assert not any(name.startswith(("embedding", "positions")) or "norm" in name for name in names)
    assert {"output", "blocks.0.attention.output", "blocks.0.mlp.in"} <= names
    assert set(linear_layers(*measured(architecture="mlp", layers=2, mlp_width=6))) == {"layers.0", "layers.1", "output"}


# — gradients —


@pytest.mark.parametrize(
    "fields",
    [TRANSFORMER, TRANSFORMER | {"loss": "label_smoothing(amount=0.2)"}, MLP | {"precision": "float64"}, TRANSFORMER | {"outliers": 3}],
)
def test_the_gradient_is_that_of_the_reference(fields):
    parameters, task = measured(**fields)
    table, split = task.table, task.split
    examples = tuple(torch.from_numpy(side[split.train]).long() for side in (table.x, table.y, split.labels))
    call = registry.parse_call(task.run.training.loss)
    loss = registry.look_up("loss", call.name).function
    _, expected = reference_gradients(task.run, parameters.layout, table.n, parameters.flat, examples, loss, dict(call.settings))
    torch.testing.assert_close(gradient_of(parameters, task).flat, expected, rtol=1e-9, atol=1e-12)
    found = parts("training_gradient", parameters, task)
    assert found["norm"] == pytest.approx(float(expected.norm()))
    assert found["cosine_with_weights"] == pytest.approx(float(torch.cosine_similarity(expected, parameters.flat)[0]))


def test_the_gradient_is_that_of_finite_differences_over_several_pieces(monkeypatch):
    monkeypatch.setattr("groklab.measures.gradients.CHUNK", 4)
    parameters, task = measured(**TRANSFORMER, activation="gelu")
    gradient = gradient_of(parameters, task).flat
    table, split, n = task.table, task.split, task.table.n
    direction = initial_parameters(parameters.layout, 5, dtype=torch.float64).flat

    def loss_at(distance):
        from groklab.model.transformer import of_equations

        own = {name: value[0] for name, value in Parameters(parameters.layout, parameters.flat + distance * direction).items()}
        a, b, labels = (torch.from_numpy(side[split.train]).long() for side in (table.x, table.y, split.labels))
        return float(torch.nn.functional.cross_entropy(of_equations(own, task.run.model, a, b, n), labels))

    assert float((gradient * direction).sum()) == pytest.approx((loss_at(1e-5) - loss_at(-1e-5)) / 2e-5, rel=1e-6)


def test_frozen_parameters_have_no_gradient():
    parameters, task = measured(**TRANSFORMER, attention="frozen")
    gradient = gradient_of(parameters, task)
    assert not gradient["blocks.0.attention.query"].any()
    assert gradient["blocks.0.attention.value"].any()


def test_a_gradient_of_zero_has_no_cosine():
    parameters, task = measured(**MLP)
    parameters["output"][0] = 0.0
    parameters["layers.0.left"][0] = -1.0
    parameters["layers.0.right"][0] = -1.0  # no unit is on, and none can be turned on
    assert parts("training_gradient", parameters, task) == {"norm": 0.0}


# — attention —


@pytest.mark.parametrize(("begin", "tokens"), [(False, 4), (True, 5)])
def test_uniform_attention_has_the_entropy_of_the_tokens(begin, tokens):
    parameters, task = measured(**TRANSFORMER, attention="uniform", begin_token=begin)
    assert parts("attention_entropy", parameters, task) == pytest.approx({"blocks.0": math.log(tokens), "blocks.1": math.log(tokens)})


def test_attention_to_one_token_has_no_entropy_and_one_of_no_scores_that_of_all():
    parameters, task = measured(**TRANSFORMER)
    for name in ("query", "key"):
        parameters[f"blocks.0.attention.{name}"][0] *= 1e3
        parameters[f"blocks.1.attention.{name}"][0] = 0.0
    found = parts("attention_entropy", parameters, task)
    assert found["blocks.0"] < 0.01
    assert found["blocks.1"] == pytest.approx(math.log(4))


def test_attention_entropy_is_the_mean_over_cells_and_heads(monkeypatch):
    monkeypatch.setattr("groklab.measures.activations.PIECE", 7)
    parameters, task = measured(**TRANSFORMER, operation="division")
    from groklab.measures.activations import activations_of

    pairs = tuple(torch.from_numpy(side.astype(np.int64)) for side in (task.table.x, task.table.y))
    pattern = activations_of(parameters, task, ["blocks.1.attn.hook_pattern"], pairs)["blocks.1.attn.hook_pattern"].numpy()
    by_cell = [-(row * np.log(row)).sum() for cell in pattern for row in cell[:, -1]]
    assert parts("attention_entropy", parameters, task)["blocks.1"] == pytest.approx(np.mean(by_cell))


# — refusals —


@pytest.mark.parametrize(
    ("name", "fields", "told"),
    [
        ("attention_entropy", MLP, "which has no attention; expected transformer"),
        ("layernorm_gains", MLP, "which has no LayerNorm; expected transformer"),
        ("layernorm_gains", TRANSFORMER | {"norm": "none"}, "got norm 'none'"),
    ],
)
def test_a_measure_says_to_what_it_does_not_apply(name, fields, told):
    run = Run.of(operation="addition", modulus=5, **fields)
    assert any(told in problem for problem in registry.call_problems("measure", name, run=run))
