"""Measures of representations: networks that were built to use them, and networks that use none."""

import math

import numpy as np
import pytest
import torch

from benchmarks.yardstick import yardsticks
from groklab import registry
from groklab.config.checks import RunError
from groklab.config.presets import chughtai_s5_mlp
from groklab.config.run import Run
from groklab.data.groups import group_named
from groklab.data.representations import Irreducible, representations_of
from groklab.data.splits import split_of
from groklab.data.tables import table_of
from groklab.measures.activations import activations_of, logits_of
from groklab.measures.products import group_of, products_of
from groklab.measures.representations import (
    key_representations,
    logit_similarity,
    representation_embedding_fve,
    representation_excluded_loss,
    representation_hidden_fve,
    representation_logit_fve,
    representation_restricted_loss,
    representation_unembedding_fve,
)
from groklab.measures.task import MeasuredTask, take
from groklab.model.parameters import Entry, Layout, Parameters, initial_parameters
from groklab.training.batches import network

MEASURES = (
    "logit_similarity",
    "key_representations",
    "representation_logit_fve",
    "representation_embedding_fve",
    "representation_unembedding_fve",
    "representation_hidden_fve",
    "representation_restricted_loss",
    "representation_excluded_loss",
)
S5 = {"operation": "s5_product"}


def measured(run: Run) -> tuple[Parameters, MeasuredTask]:
    dtype = torch.float64 if run.training.precision == "float64" else torch.float32
    parameters = initial_parameters(network(run)[2], run.seeds.seed, dtype=dtype)
    return parameters, MeasuredTask(run, table_of(run.task), split_of(run), parameters, 0)


def cube(task: MeasuredTask, rho: Irreducible) -> np.ndarray:
    """tr ρ(x·y·z⁻¹) from the matrices, (N², N)."""
    product = rho.matrices[task.table.z]
    return np.einsum("bij,zij->bz", product, rho.matrices)


def planted(weights: dict[str, float], **fields) -> tuple[Parameters, MeasuredTask]:
    """A network with a hidden unit for every pair, whose logits are exactly a sum of character cubes."""
    run = Run.of(**({"train_fraction": 0.5} | fields))
    n = table_of(run.task).n
    run = run.replace(architecture="mlp(inputs='one_hot')", layers=1, mlp_width=n * n, biases=True, precision="float64")
    parameters, task = measured(run.check())
    found = representations_of(group_of(run.task, task.table))
    pair = torch.arange(n * n)
    parameters.flat.zero_()
    parameters["layers.0.left"][0, pair, pair // n] = 1
    parameters["layers.0.right"][0, pair, pair % n] = 1
    parameters["layers.0.right_bias"].fill_(-1)
    parameters["output"][0] = torch.from_numpy(sum(weight * cube(task, found[name]) for name, weight in weights.items())).T
    return parameters, task


PLANTED = [
    ({"group": "symmetric(3)"}, {"sign": 3.0, "standard": 4.0}),
    ({"group": "symmetric(4)"}, {"2": 2.0, "standard⊗sign": 3.0}),
    ({"group": "quaternion()"}, {"1b": 3.0, "4": 2.0}),
    ({"operation": "addition", "modulus": 7}, {"frequency_1": 6.0, "frequency_3": 8.0}),
    ({"operation": "multiplication", "modulus": 7}, {"frequency_1": 6.0, "frequency_2": 8.0}),
]


@pytest.mark.parametrize(("fields", "weights"), PLANTED)
def test_planted_representations_are_found_and_no_others(fields, weights):
    parameters, task = planted(weights, **fields)
    n = task.table.n
    found = representations_of(group_of(task.run.task, task.table))
    # A character's squares sum to e times the order, so a cube's to e times N³; cubes are orthogonal.
    whole = math.sqrt(sum(weight**2 * found[name].commuting for name, weight in weights.items()))
    expected = {rho.name: weights.get(rho.name, 0.0) * math.sqrt(rho.commuting) / whole for rho in found.irreducibles[1:]}
    assert logit_similarity(parameters, task) == pytest.approx(expected, abs=1e-12)
    keys = key_representations(parameters, task)
    assert keys == {"count": 2.0} | {name: float(name in weights) for name in expected}
    assert representation_logit_fve(parameters, task) == pytest.approx(1)

    logits = sum(weight * cube(task, found[name]) for name, weight in weights.items())
    log_probability = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    loss = -log_probability[np.arange(n * n), task.table.z].mean()
    for level in ("hidden", "logits"):
        assert representation_restricted_loss(parameters, task, level=level) == pytest.approx(loss, rel=1e-9, abs=1e-12)
        assert representation_excluded_loss(parameters, task, level=level) == pytest.approx(math.log(n), rel=1e-9)
    # One hidden unit for every pair: the layer's variance is spread evenly over all N² − 1 directions.
    shares = representation_hidden_fve(parameters, task)
    for name in weights:
        for of in ("x", "y", "xy"):
            assert shares[f"{of}.{name}"] == pytest.approx(found[name].basis.shape[1] / (n * n - 1))
    assert shares["sum"] == pytest.approx(sum(3 * found[name].basis.shape[1] for name in weights) / (n * n - 1))
    # Logits that are functions of tr ρ(z⁻¹ ·) alone: the output layer lies in the planted representations.
    unembedding = representation_unembedding_fve(parameters, task)
    assert sum(unembedding[name] for name in weights) == pytest.approx(1)
    # One-hot inputs read by a unit for every pair: every direction of the embedding is used alike.
    embedding = representation_embedding_fve(parameters, task)
    for rho in found.irreducibles:
        for side in ("left", "right"):
            assert embedding[f"{side}.{rho.name}"] == pytest.approx(rho.basis.shape[1] / n)


def test_named_representations_take_the_place_of_the_key_ones():
    parameters, task = planted({"sign": 3.0, "standard": 4.0}, group="symmetric(3)")
    found = representations_of(group_of(task.run.task, task.table))
    alone = 3 * cube(task, found["sign"])
    loss = (np.log(np.exp(alone).sum(1)) - alone[np.arange(36), task.table.z]).mean()
    for level in ("hidden", "logits"):
        assert representation_restricted_loss(parameters, task, level=level, representations=("sign",)) == pytest.approx(loss)
        without = representation_excluded_loss(parameters, task, level=level, representations=("standard",))
        train = task.split.train
        assert without == pytest.approx((np.log(np.exp(alone).sum(1)) - alone[np.arange(36), task.table.z])[train].mean())
    shares = representation_hidden_fve(parameters, task, representations=("sign",))
    assert shares["sum"] == pytest.approx(3 / 35)
    assert key_representations(parameters, task, threshold=0.7) == {"count": 1.0, "sign": 0.0, "standard": 1.0}
    with pytest.raises(ValueError, match="unknown 'standart'. Did you mean 'standard'"):
        representation_excluded_loss(parameters, task, representations=("standart",))


def projector(functions: np.ndarray) -> np.ndarray:
    """Orthogonal projection on the columns, by their QR decomposition without those that depend on others."""
    q, r = np.linalg.qr(functions)
    return q @ q.T if np.abs(np.diag(r)).min() > 1e-9 else functions @ np.linalg.pinv(functions, rcond=1e-9)


@pytest.mark.parametrize(
    "fields",
    [
        {"group": "symmetric(3)", "layers": 1, "norm": "none", "activation": "gelu"},
        {"group": "quaternion()", "layers": 2, "norm": "pre", "mlp_biases": True},
        {"operation": "addition", "modulus": 5, "layers": 1, "norm": "post"},
        {"group": "symmetric(3)", "architecture": "mlp", "layers": 2, "biases": True},
        {"group": "dihedral(4)", "architecture": "mlp(inputs='summed')", "layers": 1},
    ],
)
def test_the_short_cuts_equal_the_plain_formulas(fields):
    """Bases of size N² × d² and matrices of the whole table, on networks that nobody built."""
    run = Run.of(**({"width": 8, "heads": 2, "mlp_width": 24, "precision": "float64", "train_fraction": 0.5} | fields))
    if "mlp" in run.model.architecture:
        run = run.replace(heads=4)
    parameters, task = measured(run.check())
    n, last = task.table.n, run.model.layers - 1
    found = representations_of(group_of(run.task, task.table))
    names = (found.names[1], found.names[-1])
    logits = logits_of(parameters, task).numpy()
    centered = logits - logits.mean(1, keepdims=True)
    for rho in found.irreducibles[1:]:
        T = cube(task, rho)
        cosine = (centered * T).sum() / np.sqrt((centered**2).sum() * (T**2).sum())
        assert logit_similarity(parameters, task)[rho.name] == pytest.approx(cosine, abs=1e-12)

    is_mlp = "mlp" in run.model.architecture
    layer = f"layers.{last}.hook_post" if is_mlp else f"blocks.{last}.mlp.hook_post"
    whole = activations_of(parameters, task, [layer])[layer]
    hidden = (whole if is_mlp else whole[:, -1]).numpy()
    spread = hidden - hidden.mean(0)
    shares = representation_hidden_fve(parameters, task, representations=names)
    for rho in found.irreducibles[1:]:
        for of, column in (("x", task.table.x), ("y", task.table.y), ("xy", task.table.z)):
            kept = projector(rho.matrices[column].reshape(n * n, -1)) @ spread
            assert shares[f"{of}.{rho.name}"] == pytest.approx((kept**2).sum() / (spread**2).sum(), abs=1e-12)
    assert shares["sum"] == pytest.approx(sum(shares[f"{of}.{name}"] for of in ("x", "y", "xy") for name in names))
    assert shares["sum"] <= 1

    P = sum(projector(found[name].matrices[task.table.z].reshape(n * n, -1)) for name in names)

    def loss(logits: torch.Tensor, cells: np.ndarray) -> float:
        return float(torch.nn.functional.cross_entropy(logits[cells.tolist()], torch.from_numpy(task.table.z[cells]).long()))

    def with_hidden(rows: np.ndarray) -> torch.Tensor:
        changed = torch.from_numpy(rows)
        if not is_mlp:
            changed = torch.cat([whole[:, :-1], changed[:, None]], dim=1)
        return logits_of(parameters, task, replace={layer: changed})

    every, train = np.arange(n * n), task.split.train
    for keeps_mean in (False, True):
        options = {"representations": names, "keeps_mean": keeps_mean}
        restricted = with_hidden(P @ hidden + keeps_mean * hidden.mean(0))
        assert representation_restricted_loss(parameters, task, **options) == pytest.approx(loss(restricted, every), rel=1e-10)
        restricted = torch.from_numpy(P @ logits + keeps_mean * logits.mean(0))
        assert representation_restricted_loss(parameters, task, level="logits", **options) == pytest.approx(
            loss(restricted, every), rel=1e-10
        )
    excluded = representation_excluded_loss(parameters, task, representations=names)
    assert excluded == pytest.approx(loss(with_hidden(hidden - P @ hidden), train), rel=1e-10)
    excluded = representation_excluded_loss(parameters, task, level="logits", representations=names)
    assert excluded == pytest.approx(loss(torch.from_numpy(logits - P @ logits), train), rel=1e-10)


def test_shares_of_planted_embeddings():
    run = Run.of(group="symmetric(3)", layers=1, width=8, heads=2, norm="none", train_fraction=0.5).check()
    parameters, task = measured(run)
    found = representations_of(group_named("symmetric(3)"))
    own = dict(parameters.items())
    own["embedding"].normal_()  # the rows of ∘ and = count for nothing
    own["embedding"][0, :6] = torch.from_numpy(found["standard"].matrices.reshape(6, 4) @ np.ones((4, 8)))
    assert representation_embedding_fve(parameters, task) == pytest.approx({"trivial": 0, "sign": 0, "standard": 1}, abs=1e-6)
    own["output"][0] = torch.from_numpy(found["sign"].basis @ np.ones((1, 8)) + found["trivial"].basis @ np.ones((1, 8)))
    for through in ("output", "mlp"):
        shares = representation_unembedding_fve(parameters, task, through=through)
        assert shares == pytest.approx({"trivial": 0.5, "sign": 0.5, "standard": 0}, abs=1e-6)


def test_an_embedding_of_an_mlp_is_taken_with_the_weights_that_read_it():
    parameters, task = measured(Run.of(group="symmetric(3)", architecture="mlp", layers=1, width=8, train_fraction=0.5).check())
    found = representations_of(group_named("symmetric(3)"))
    parameters["embedding.left"].zero_()
    parameters["embedding.left"][0, :, 0] = torch.tensor(found["sign"].character)
    parameters["embedding.left"][0, :, 1] = torch.tensor(found["standard"].character)
    parameters["layers.0.left"][0, :, 1] = 0  # nothing reads the second coordinate
    shares = representation_embedding_fve(parameters, task)
    assert {name: shares[f"left.{name}"] for name in found.names} == pytest.approx({"trivial": 0, "sign": 1, "standard": 0}, abs=1e-6)
    assert sum(shares[f"right.{name}"] for name in found.names) == pytest.approx(1)


def test_a_random_network_uses_no_representation():
    for fields in ({"architecture": "mlp", "layers": 1, "width": 32}, {"layers": 1, "width": 32}):
        parameters, task = measured(Run.of(**S5, **fields, train_fraction=0.4).check())
        assert max(map(abs, logit_similarity(parameters, task).values())) < 0.03
        assert representation_logit_fve(parameters, task) < 0.01


def test_a_network_of_zeros_has_shares_of_zero():
    parameters, task = measured(Run.of(group="symmetric(3)", architecture="mlp", layers=1, width=8, train_fraction=0.5).check())
    parameters.flat.zero_()
    assert set(logit_similarity(parameters, task).values()) == {0.0}
    assert set(representation_hidden_fve(parameters, task).values()) == {0.0}
    assert set(representation_embedding_fve(parameters, task).values()) == {0.0}
    assert representation_restricted_loss(parameters, task) == pytest.approx(math.log(6))


def test_one_look_is_shared_and_never_out_of_date():
    parameters, task = planted({"sign": 3.0, "standard": 4.0}, group="symmetric(3)")
    first = products_of(parameters, task)
    assert products_of(parameters.clone(), task) is first
    parameters["output"].mul_(-1)
    assert products_of(parameters, task) is not first
    assert logit_similarity(parameters, task)["standard"] == pytest.approx(-0.8)
    narrower = Run.of(task.run, train_fraction=0.4)
    assert products_of(parameters, MeasuredTask(narrower, task.table, split_of(narrower), parameters, 0)).logit_power > 0


def test_measures_by_name_as_training_takes_them():
    parameters, task = planted({"sign": 3.0, "standard": 4.0}, group="symmetric(3)")
    numbers = take(("logit_similarity", "representation_restricted_loss(level='logits', representations=('sign',))"), parameters, task)
    assert numbers["logit_similarity.sign"] == pytest.approx(0.6)
    assert set(numbers) == {"logit_similarity.sign", "logit_similarity.standard", "representation_restricted_loss"}
    Run.of(**S5, measures=MEASURES).check()


@pytest.mark.parametrize(
    ("fields", "call", "words"),
    [
        (
            {"operation": "subtraction"},
            "logit_similarity",
            "subtraction, whose table is not declared to be a group; expected one of addition, group_product",
        ),
        ({"group": "symmetric(4)", "operation": "group_conjugation"}, "key_representations", "expected one of addition"),
        ({"operation": "division"}, "representation_hidden_fve", "got the operation division"),
        ({"operation": "addition", "modulus": 1201}, "logit_similarity", "addition mod 1201 has 1,201 elements; expected at most 1,000"),
        ({"group": "dihedral(700)"}, "logit_similarity", "has 1,400 elements; expected at most 1,000"),
        (S5, "key_representations(threshold=1.5)", r"threshold: got 1.5; expected a similarity in \[0, 1\)"),
        (S5, "key_representations(threshold='all')", "threshold: got 'all'"),
        (S5, "representation_excluded_loss(level='middle')", "level: got 'middle'; expected hidden or logits"),
        (S5, "representation_restricted_loss(keeps_mean=3)", "keeps_mean: got 3; expected True or False"),
        (S5, "representation_excluded_loss(representations='sign')", "representations: got 'sign'; expected names"),
        (S5, "representation_excluded_loss(representations=('standart',))", "unknown 'standart'. Did you mean 'standard'"),
        (S5, "representation_unembedding_fve(through='mlp')", "got 'mlp' with norm post; expected a transformer with norm none"),
        (S5, "representation_unembedding_fve(through='layer')", "through: got 'layer'; expected output or mlp"),
    ],
)
def test_what_a_measure_does_not_apply_to_is_said_before_step_0(fields, call, words):
    with pytest.raises(RunError, match=words):
        Run.of(**fields, measures=(call,)).check()


def test_a_measure_that_is_called_directly_refuses_too():
    for fields in ({"operation": "subtraction", "modulus": 7}, {"operation": "division", "modulus": 7}):
        parameters, task = measured(Run.of(**fields, width=8, heads=2, layers=1))
        for name in MEASURES:
            with pytest.raises(ValueError, match="expected one of addition, group_product, multiplication, s5_product"):
                take((name,), parameters, task)

    parameters, task = measured(Run.of(group="symmetric(3)", width=8, heads=2, layers=1, train_fraction=0.5))
    with pytest.raises(ValueError, match="expected a transformer with norm none"):
        representation_unembedding_fve(parameters, task, through="mlp")
    with pytest.raises(ValueError, match="expected hidden or logits"):
        representation_excluded_loss(parameters, task, level="middle")


def test_the_logits_of_any_architecture_can_be_measured(own_registry):
    """An architecture of somebody's own has no known hidden layer: all logits come from one table of its parameters."""

    @registry.architecture(reference=lambda p, model, a, b, n, *, see: p["cells"][a * n + b], forward=None)
    def tests_of_cells(run, n):
        """A logit for every cell and answer."""
        return Layout({"cells": Entry((n * n, n), "normal")})

    parameters, task = measured(Run.of(group="symmetric(3)", architecture="tests_of_cells", precision="float64", train_fraction=0.5))
    parameters["cells"][0] = torch.tensor(5 * cube(task, representations_of(group_named("symmetric(3)"))["standard"]))
    assert logit_similarity(parameters, task) == pytest.approx({"sign": 0, "standard": 1})
    assert representation_excluded_loss(parameters, task, level="logits") == pytest.approx(math.log(6))
    assert representation_restricted_loss(parameters, task, level="logits") < 0.01
    for name in ("representation_hidden_fve", "representation_excluded_loss", "representation_embedding_fve"):
        with pytest.raises(ValueError, match="got the architecture tests_of_cells; expected transformer or mlp"):
            take((name,), parameters, task)


def test_one_mistake_does_not_hide_behind_a_measure():
    with pytest.raises(RunError, match="symetric"):
        Run.of(group="symetric(5)", measures=("representation_excluded_loss(representations=('sign',))",)).check()
    with pytest.raises(RunError, match="unknown operation"):
        Run.of(operation="adition", measures=("logit_similarity",)).check()
    with pytest.raises(RunError, match="tranformer"):
        Run.of(**S5, architecture="tranformer(", measures=("representation_hidden_fve",)).check()


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.parametrize("run", [chughtai_s5_mlp(), Run.of(**S5), Run.of(**S5, layers=1, norm="none")], ids=["mlp", "paper", "one layer"])
def test_all_measures_of_an_s5_checkpoint_take_less_than_five_seconds(run):
    parameters, task = measured(run)
    taken = []

    def take_all():
        representations_of.cache_clear()
        taken.append(take(MEASURES, parameters, task))

    assert yardsticks(take_all) < 50
    assert all(math.isfinite(value) for value in taken[0].values())
