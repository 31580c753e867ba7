"""Flatness of minima: sharpness, curvature, landscapes and learning coefficients, where the answer is known."""

import inspect
import itertools
import math

import numpy as np
import pytest
import scipy.integrate
import torch
from torch.autograd.functional import hessian

from groklab import registry
from groklab.config.presets import gromov
from groklab.config.run import Run
from groklab.measures.curvature import hessian_eigenvalue, hessian_trace, largest_eigenvalue, trace
from groklab.measures.landscape import filter_normalized, loss_line, loss_surface, points
from groklab.measures.learning_coefficient import coefficient_of, learning_coefficient, learning_coefficient_calibration, sample
from groklab.measures.objective import Objective
from groklab.measures.sharpness import box_sharpness, random_subspace, sharpness
from groklab.measures.task import MeasuredTask
from groklab.model.passes import pass_of
from groklab.training.answering import answers_of, evaluation
from groklab.training.batches import Batch, initial_of, network

TINY = dict(operation="addition", modulus=5, width=8, heads=2, layers=1, mlp_width=12, train_fraction=0.6, activation="gelu")
NETWORKS = {
    "transformer": Run.of(**TINY),
    "two layers, smoothed labels": Run.of(**TINY).replace(layers=2, norm="pre", loss="label_smoothing(amount=0.2)", biases=True),
    "frozen attention": Run.of(**TINY).replace(attention="frozen", loss="stablemax"),
    "float64, no norm": Run.of(**TINY).replace(precision="float64", norm="none", positions="learned"),
    "quadratic MLP": gromov().replace(modulus=5, mlp_width=12),
    "embedded MLP": Run.of(**TINY).replace(architecture="mlp", heads=4),
}


def trained(run, steps=10):
    """Parameters of a run after some steps, and what a measure may know of it."""
    batch = Batch([run], device="cpu")
    for _ in range(steps):
        batch.update()
    table, split, layout = network(run)
    return batch.parameters, MeasuredTask(run, table, split, initial_of(run, layout), batch.step)


def reference_loss(run, task, parameters):
    """Mean training loss as a function of all parameters, (P,), by the reference network in float64."""
    entry = registry.look_up("architecture", registry.parse_call(run.model.architecture).name)
    call = registry.parse_call(run.training.loss)
    loss = registry.look_up("loss", call.name).function
    a, b, labels = (torch.tensor(side[task.split.train].astype(np.int64)) for side in (task.table.x, task.table.y, task.split.labels))
    layout = parameters.layout

    def of(flat):
        named = {name: flat[slice(*layout.places[name])].view(entry_.shape) for name, entry_ in layout.entries.items()}
        return loss(pass_of(entry, "reference")(named, run.model, a, b, task.table.n), labels, **dict(call.settings)).mean()

    return of


def quadratic(matrix, center=0.0, floor=0.0):
    """½ (w − center)ᵀ H (w − center) + floor, and its gradient."""
    matrix = np.asarray(matrix, float)

    def gradient(w):
        away = w - center
        return floor + 0.5 * float(away @ matrix @ away), matrix @ away

    return gradient


def random_symmetric(eigenvalues, seed=0):
    source = np.random.default_rng(seed)
    basis, _ = np.linalg.qr(source.standard_normal((len(eigenvalues), len(eigenvalues))))
    return basis @ np.diag(eigenvalues) @ basis.T


# — the run's loss —


@pytest.mark.parametrize("name", NETWORKS)
def test_loss_gradient_and_curvature_are_those_of_the_reference_network(name):
    run = NETWORKS[name]
    parameters, task = trained(run)
    of, objective = reference_loss(run, task, parameters), Objective(parameters, task)
    flat = parameters.flat[0].detach().double().requires_grad_()
    (expected,) = torch.autograd.grad(of(flat), flat)
    loss, gradient = objective.gradient(objective.center)
    assert loss == pytest.approx(float(of(flat.detach())), rel=1e-12)
    assert objective.value(objective.center) == pytest.approx(loss, rel=1e-12)
    assert gradient == pytest.approx(objective.moving(expected.numpy()), abs=1e-12)
    if name == "frozen attention":
        assert 0 < len(gradient) == parameters.flat.shape[1] - 2 * 8 * 8
    source = np.random.default_rng(0)
    vectors = source.standard_normal((2, len(gradient)))
    products = objective.curvature(objective.center, vectors)
    for vector, product in zip(vectors, products, strict=True):
        h = 1e-5
        (_, above), (_, below) = (objective.gradient(objective.center + side * vector) for side in (h, -h))
        assert product == pytest.approx((above - below) / (2 * h), abs=1e-6 * np.abs(product).max())


def test_chunks_and_batches_add_up_to_the_whole(monkeypatch):
    parameters, task = trained(NETWORKS["transformer"])
    objective = Objective(parameters, task)
    w, vector = objective.center, np.ones((1, len(objective.center)))
    whole = objective.gradient(w), objective.curvature(w, vector), objective.by_cell(w)
    monkeypatch.setattr("groklab.measures.objective.CHUNK", 4)
    assert objective.gradient(w)[0] == pytest.approx(whole[0][0])
    assert objective.gradient(w)[1] == pytest.approx(whole[0][1], abs=1e-12)
    assert objective.curvature(w, vector) == pytest.approx(whole[1], abs=1e-10)
    assert objective.by_cell(w) == pytest.approx(whole[2])
    assert objective.gradients(np.stack([w, w]), np.array([[3, 5], [0, 1]]))[0] == pytest.approx(
        [whole[2][[3, 5]].mean(), whole[2][:2].mean()]
    )


def test_a_loss_without_gradient_is_refused(own_registry):
    @registry.loss()
    def mistakes(logits, answers):
        """Share of wrong answers (of a test)."""
        return (logits.argmax(-1) != answers).to(logits.dtype)

    parameters, task = trained(NETWORKS["transformer"], steps=0)
    task = MeasuredTask(task.run.replace(loss="mistakes"), task.table, task.split, task.initial, 0)
    for measure in (sharpness, hessian_trace, learning_coefficient):
        with pytest.raises(ValueError, match="the loss mistakes of the architecture transformer, which has no gradient"):
            measure(parameters, task)
    assert np.isfinite(loss_line(parameters, task, count=3)["train"]).all(), "which needs none"


# — sharpness —


def test_sharpness_of_a_diagonal_quadratic_is_that_of_a_corner():
    curvatures, x, minimum = np.array([3.0, 0.5, 2.0, 40.0]), np.array([1.0, -2.0, 0.0, 0.3]), np.array([0.9, -2.1, 0.2, 0.1])
    epsilon, floor = 0.05, 0.7
    base = floor + 0.5 * curvatures @ (x - minimum) ** 2
    # Seen along one axis the farther side is the one away from the minimum.
    highest = floor + 0.5 * curvatures @ (np.abs(x - minimum) + epsilon * (np.abs(x) + 1)) ** 2
    found = box_sharpness(quadratic(np.diag(curvatures), minimum, floor), x, np.random.default_rng(0), epsilon=epsilon, starts=0)
    assert found == pytest.approx(100 * (highest - base) / (1 + base), rel=1e-9)


@pytest.mark.parametrize("scale", [1.0, 1e-9])
def test_at_a_minimum_random_starts_find_what_the_gradient_does_not_tell(scale):
    curvatures, x = scale * np.array([3.0, 0.5, 2.0]), np.array([1.0, -2.0, 0.0])
    loss = quadratic(np.diag(curvatures), x)
    expected = 100 * 0.5 * curvatures @ (1e-3 * (np.abs(x) + 1)) ** 2
    assert box_sharpness(loss, x, np.random.default_rng(0), starts=1) == pytest.approx(expected, rel=1e-9)
    assert box_sharpness(loss, x, np.random.default_rng(0), starts=0) == 0.0


@pytest.mark.parametrize("seed", range(5))
def test_sharpness_in_a_subspace_is_the_highest_corner_of_its_box(seed):
    source = np.random.default_rng(seed)
    matrix, x = random_symmetric([9.0, 5.0, 3.0, 1.0, 0.5, 0.1, 0.1], seed), source.standard_normal(7)
    inverse = random_subspace(3, 7, source)
    assert np.linalg.norm(inverse, axis=1) == pytest.approx(1)
    basis = np.linalg.pinv(inverse)
    loss, epsilon = quadratic(matrix), 0.2
    sides = epsilon * (np.abs(inverse @ x) + 1)
    highest = max(loss(x + basis @ (sides * np.array(corner)))[0] for corner in itertools.product((-1, 1), repeat=3))
    expected = 100 * (highest - loss(x)[0]) / (1 + loss(x)[0])
    found = box_sharpness(loss, x, source, inverse=inverse, epsilon=epsilon, iterations=20, starts=10)
    assert found == pytest.approx(expected, rel=1e-9)


def test_sharpness_needs_a_loss_above_minus_one_and_passes_on_what_is_not_finite():
    x = np.ones(2)
    with pytest.raises(ValueError, match="got a loss of -2; expected one above −1"):
        box_sharpness(quadratic(np.eye(2), x, -2.0), x, np.random.default_rng(0))
    assert math.isnan(box_sharpness(quadratic(np.eye(2), x, math.nan), x, np.random.default_rng(0)))


@pytest.mark.medium
def test_sharpness_of_a_network_is_above_any_point_of_its_box():
    parameters, task = trained(NETWORKS["transformer"], steps=200)
    objective = Objective(parameters, task)
    x, source = objective.center, np.random.default_rng(1)
    base = objective.value(x)
    corners = (np.sign(source.standard_normal(len(x))) * 1e-2 * (np.abs(x) + 1) for _ in range(50))
    tried = max(100 * (objective.value(x + corner) - base) / (1 + base) for corner in corners)
    found = sharpness(parameters, task, epsilon=1e-2, dimension=0)
    assert found > max(tried, 0)
    assert sharpness(parameters, task, epsilon=1e-2, dimension=0, iterations=30, starts=3) >= found
    assert 0 < sharpness(parameters, task, epsilon=1e-2) < found, "a small subspace holds less"
    with pytest.raises(ValueError, match=r"dimension: got 10000; expected at most the \d+ parameters"):
        sharpness(parameters, task, dimension=10_000)


# — curvature —


@pytest.mark.parametrize("eigenvalues", [[5.0, 4.9, 1.0, 0.0, -3.0], [2.0, 2.0, 2.0], [-1.0, -4.0], [0.0, 0.0, 0.0], [7.0]])
def test_largest_eigenvalue_of_a_known_spectrum(eigenvalues):
    matrix = random_symmetric(eigenvalues)
    found = largest_eigenvalue(lambda v: v @ matrix, len(matrix), np.random.default_rng(0), iterations=20, tolerance=1e-6)
    assert found.value == pytest.approx(max(eigenvalues), abs=1e-9)
    assert found.products <= len(eigenvalues)


def test_the_residual_bounds_the_error_and_few_products_suffice():
    eigenvalues = np.concatenate([[50.0, 30.0], np.linspace(0, 5, 298)])
    matrix = random_symmetric(eigenvalues)
    products = {}
    for tolerance in (0.1, 0.01, 1e-6):
        found = largest_eigenvalue(lambda v: v @ matrix, 300, np.random.default_rng(2), iterations=60, tolerance=tolerance)
        assert found.value <= 50 + 1e-9
        assert abs(found.value - 50) <= found.residual <= tolerance * found.value
        products[tolerance] = found.products
    assert products[0.1] < products[0.01] < products[1e-6] < 30
    cut = largest_eigenvalue(lambda v: v @ matrix, 300, np.random.default_rng(2), iterations=3, tolerance=1e-6)
    assert cut.products == 3
    assert cut.residual > 1e-6 * cut.value


def test_the_trace_of_a_diagonal_matrix_is_exact_and_of_others_within_its_error():
    diagonal = np.array([3.0, -1.0, 4.0, 0.5])
    exact = trace(lambda v: v * diagonal, 4, np.random.default_rng(0), probes=3)
    assert exact.estimate == pytest.approx(6.5)
    assert exact.standard_error == pytest.approx(0, abs=1e-12)
    matrix = random_symmetric(np.linspace(-1, 10, 60))
    found = [trace(lambda v: v @ matrix, 60, np.random.default_rng(seed), probes=40) for seed in range(200)]
    deviations = np.array([(one.estimate - np.trace(matrix)) / one.standard_error for one in found])
    assert abs(deviations.mean()) < 3 / math.sqrt(200)
    assert deviations.std() == pytest.approx(1, abs=0.15)
    # The variance of a probe of random signs is twice the squares off the diagonal (Hutchinson 1990).
    off = 2 * (np.sum(matrix**2) - np.sum(np.diag(matrix) ** 2))
    assert np.mean([one.standard_error**2 * 40 for one in found]) == pytest.approx(off, rel=0.1)


@pytest.mark.medium
@pytest.mark.parametrize("name", ["transformer", "quadratic MLP"])
def test_eigenvalue_and_trace_of_a_network_are_those_of_its_full_hessian(name):
    run = NETWORKS[name]
    parameters, task = trained(run, steps=100)
    matrix = hessian(reference_loss(run, task, parameters), parameters.flat[0].detach().double()).numpy()
    assert 150 < len(matrix) < 1000
    found = hessian_eigenvalue(parameters, task, iterations=60, tolerance=1e-5)
    assert found["largest"] == pytest.approx(np.linalg.eigvalsh(matrix)[-1], rel=1e-8)
    by_default = hessian_eigenvalue(parameters, task)
    assert by_default["largest"] == pytest.approx(found["largest"], rel=0.01)
    probed = hessian_trace(parameters, task, probes=200)
    assert abs(probed["estimate"] - np.trace(matrix)) < 3.5 * probed["standard_error"]
    assert probed["standard_error"] < 0.1 * abs(np.trace(matrix))


# — landscapes —


def test_directions_have_the_norms_of_the_filters():
    parameters, task = trained(NETWORKS["two layers, smoothed labels"])
    arrays = parameters.to_numpy()
    direction = filter_normalized(arrays, task.randomness("of a test"))
    assert list(direction) == list(arrays)
    for name, array in arrays.items():
        assert direction[name].shape == array.shape
        if array.ndim == 1:
            assert not direction[name].any(), "biases and gains stay"
        else:
            assert np.linalg.norm(direction[name], axis=1) == pytest.approx(np.linalg.norm(array, axis=1), rel=1e-6)
            cosines = (direction[name] * array).sum(1) / np.square(array).sum(1)
            assert np.abs(cosines).max() < 1 - 1e-6
    nothing = filter_normalized({"w": np.zeros((2, 3))}, np.random.default_rng(0))
    assert not nothing["w"].any()


@pytest.mark.parametrize("name", ["transformer", "frozen attention", "quadratic MLP"])
def test_line_and_surface_meet_at_the_network_itself(name):
    run = NETWORKS[name]
    parameters, task = trained(run)
    entry = registry.look_up("architecture", registry.parse_call(run.model.architecture).name)
    row = evaluation(run, task.table, task.split, answers_of(run, task.table, task.split, parameters, pass_of(entry)), task.step)
    line, surface = loss_line(parameters, task, count=5, radius=0.5), loss_surface(parameters, task, count=5, radius=0.5)
    assert line["alpha"].tolist() == [-0.5, -0.25, 0.0, 0.25, 0.5]
    for side in ("train", "validation"):
        assert line[side][2] == pytest.approx(row[f"{side}_loss"], rel=1e-6)
        assert surface[side].shape == (5, 5)
        assert surface[side][:, 2] == pytest.approx(line[side], rel=1e-12), "alpha runs along the first axis"
        assert len(np.unique(surface[side])) == 25
    wider = loss_line(parameters, task, count=3, radius=0.25)
    assert wider["train"] == pytest.approx(line["train"][1:4], rel=1e-12), "the direction does not depend on the points"


def test_points_hold_the_middle_exactly():
    for count in (3, 21, 51):
        alpha = points(count, 0.7)
        assert (len(alpha), alpha[count // 2], alpha[0], alpha[-1]) == (count, 0.0, -0.7, 0.7)
        assert np.diff(alpha) == pytest.approx(1.4 / (count - 1))


# — learning coefficients —


def coefficient(gradients, size, *, nbeta, chains=16, **settings):
    """λ̂ of a loss without cells around zero, where it is zero; ``gradients`` takes and gives rows."""
    sources = np.random.default_rng(0).spawn(chains)
    settings = {"localization": 0.0, **settings}
    trace = sample(lambda w, places: gradients(w), np.zeros(size), np.zeros(1), sources, batch=1, nbeta=nbeta, **settings)
    return coefficient_of(trace, nbeta)


def quartic(w):
    return w[:, 0] ** 4, 4 * w**3


def agrees(found, expected, within=0.05):
    """Whether the expected value lies within four standard errors, which are small themselves."""
    assert found.standard_error < within / 2 * expected
    return abs(found.estimate - expected) < 4 * found.standard_error


@pytest.mark.parametrize("localization", [0.0, 30.0])
@pytest.mark.parametrize("epsilon", [3e-4, 3e-3])
def test_the_coefficient_of_a_regular_minimum_is_half_the_dimension(localization, epsilon):
    curvatures, nbeta = np.array([1.0, 2.0, 3.0, 5.0, 8.0, 10.0]), 50.0
    found = coefficient(
        lambda w: (0.5 * w**2 @ curvatures, w * curvatures),
        6,
        epsilon=epsilon,
        localization=localization,
        nbeta=nbeta,
        draws=6000,
        burn_in=1000,
        chains=12,
    )
    # A chain on a quadratic is an autoregression: its variance is known for every step size ε and pull γ.
    precision = nbeta * curvatures + localization
    expected = 0.5 * np.sum(nbeta * curvatures / (precision * (1 - epsilon * precision / 4)))
    assert agrees(found, expected)
    assert abs(found.drift) < 0.2 * expected
    if not localization and epsilon < 1e-3:
        assert expected == pytest.approx(6 / 2, rel=0.02)
        assert found.estimate == pytest.approx(6 / 2, rel=0.06)


@pytest.mark.parametrize("nbeta", [30.0, 300.0])
def test_the_coefficient_of_a_quartic_is_a_quarter_at_any_temperature(nbeta):
    # L = w⁴ has λ = 1/4 (Watanabe 2009), and nβ E[L] is exactly that under exp(−nβ w⁴).
    found = coefficient(quartic, 1, epsilon=0.02 / math.sqrt(nbeta) / 4, nbeta=nbeta, draws=20_000, burn_in=500)
    assert agrees(found, 0.25, within=0.1)


def test_coefficients_add_over_independent_directions():
    def mixed(w):
        return w[:, 0] ** 4 + w[:, 1] ** 2, np.stack([4 * w[:, 0] ** 3, 2 * w[:, 1]], 1)

    found = coefficient(mixed, 2, epsilon=4e-4, nbeta=100.0, draws=20_000, burn_in=500)
    assert agrees(found, 0.25 + 0.5, within=0.1)


def test_the_coefficient_of_a_crossing_of_valleys():
    # L = (w₁ w₂)² has λ = 1/2 with multiplicity two, so at a finite nβ the estimate is lower by a logarithm; the integral is known.
    nbeta, pull = 200.0, 2.0

    def of_first(a):  # the second is normal, given the first
        return math.exp(-pull / 2 * a * a) / math.sqrt(2 * nbeta * a * a + pull)

    below, _ = scipy.integrate.quad(of_first, 0, 10, points=[0.1, 1])
    above, _ = scipy.integrate.quad(lambda a: of_first(a) * nbeta * a * a / (2 * nbeta * a * a + pull), 0, 10, points=[0.1, 1])
    expected = above / below
    assert 0.3 < expected < 0.5

    def crossing(w):
        return (w[:, 0] * w[:, 1]) ** 2, 2 * (w[:, 0] * w[:, 1])[:, None] * w[:, ::-1]

    found = coefficient(crossing, 2, epsilon=1e-3, localization=pull, nbeta=nbeta, draws=30_000, burn_in=2000)
    assert agrees(found, expected, within=0.1)


@pytest.mark.medium
@pytest.mark.parametrize("batch", [400, 100])
def test_the_coefficient_of_a_model_whose_minima_form_a_curve(batch):
    # y = a·b·x: two parameters, but every (a, b) on a hyperbola is a minimum, so that λ = 1/2 and not 1 (Watanabe 2009).
    source = np.random.default_rng(5)
    x = source.standard_normal(400)
    y = 1.3 * x + 0.5 * source.standard_normal(400)
    slope = (x @ y) / (x @ x)
    center, losses = np.full(2, math.sqrt(slope)), 0.5 * (slope * x - y) ** 2

    def gradients(w, places):
        x_, residual = x[places], w[:, :1] * w[:, 1:] * x[places] - y[places]
        return 0.5 * (residual**2).mean(1), np.stack([(residual * x_ * w[:, 1:]).mean(1), (residual * x_ * w[:, :1]).mean(1)], 1)

    nbeta, pull, epsilon = 400 / math.log(400), 2.0, 4e-4
    sources = np.random.default_rng(1).spawn(16)
    settings = dict(draws=4000, burn_in=500, epsilon=epsilon, localization=pull, nbeta=nbeta, batch=batch)
    found = coefficient_of(sample(gradients, center, losses, sources, **settings), nbeta)
    across = nbeta * (x @ x) / 400 * 2 * slope  # the curvature across the valley, times nβ
    assert 0.5 * across / (across + pull) == pytest.approx(0.5, abs=0.02)
    assert agrees(found, 0.5, within=0.12)


def test_a_batch_is_compared_with_itself():
    offsets = np.linspace(-5, 5, 20)  # easy and hard cells

    def gradients(w, places):
        return offsets[places].mean(1) + 0.5 * (w**2).sum(1), w

    sources = np.random.default_rng(0).spawn(2)
    settings = dict(epsilon=1e-6, localization=0.0, nbeta=10.0, draws=100)
    trace = sample(gradients, np.zeros(3), offsets, sources, batch=4, **settings)
    assert 0 < np.abs(trace).max() < 1e-2, "though the mean losses of batches differ by several nats"


def test_a_chain_that_overflows_is_not_a_number_and_its_neighbors_are():
    sources = np.random.default_rng(0).spawn(2)
    settings = dict(localization=0.0, nbeta=100.0, draws=50, batch=1)
    both = sample(lambda w, places: quartic(w), np.zeros(1), np.zeros(1), sources, epsilon=np.array([10.0, 1e-3]), **settings)
    assert np.isnan(both[0]).all()
    (alone,) = sample(
        lambda w, places: quartic(w), np.zeros(1), np.zeros(1), np.random.default_rng(0).spawn(2)[1:], epsilon=1e-3, **settings
    )
    assert np.array_equal(both[1], alone)
    assert math.isnan(coefficient_of(both, 100.0).estimate)


def test_the_calibration_is_the_coefficient_for_every_setting():
    parameters, task = trained(NETWORKS["transformer"], steps=50)
    grid = learning_coefficient_calibration(parameters, task, epsilons=(1e-7, 1e-6), nbetas=(5.0, 20.0, 50.0), chains=2, draws=10)
    assert {name: array.shape for name, array in grid.items()} == {
        "epsilon": (2,),
        "nbeta": (3,),
        "estimate": (2, 3),
        "drift": (2, 3),
        "trace": (2, 3, 10),
        "is_finite": (2, 3),
    }
    assert grid["is_finite"].all()
    assert grid["estimate"] == pytest.approx(grid["nbeta"] * grid["trace"].mean(-1))
    wild = learning_coefficient_calibration(parameters, task, epsilons=(1e-7, 1e3), nbetas=(5.0,), draws=100)
    assert wild["is_finite"].tolist() == [[1], [0]]
    assert np.isfinite(wild["estimate"]).tolist() == [[True], [False]]
    single = learning_coefficient(parameters, task, chains=1, draws=10, burn_in=5)
    several = learning_coefficient(parameters, task, chains=3, draws=10, burn_in=5)
    assert set(several) - set(single) == {"standard_error"}
    assert several["standard_error"] > 0
    assert all(math.isfinite(value) for value in several.values())


# — bad input —


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ("sharpness(epsilon=0)", "sharpness: epsilon: got 0; expected a finite number above 0."),
        ("sharpness(dimension=-1)", "sharpness: dimension: got -1; expected a whole number from 0 on."),
        ("sharpness(iterations=0)", "sharpness: iterations: got 0; expected a whole number from 1 on."),
        ("sharpness(starts=1.5)", "sharpness: starts: got 1.5; expected a whole number from 0 on."),
        ("hessian_eigenvalue(iterations=1)", "hessian_eigenvalue: iterations: got 1; expected a whole number from 2 on."),
        ("hessian_eigenvalue(tolerance=1)", "hessian_eigenvalue: tolerance: got 1; expected a number in (0, 1)."),
        ("hessian_trace(probes=True)", "hessian_trace: probes: got True; expected a whole number from 2 on."),
        (
            "loss_line(count=4)",
            "loss_line: count: got 4; expected an odd number of points from 3 on, so that one of them is the network itself.",
        ),
        ("loss_surface(radius='1')", "loss_surface: radius: got '1'; expected a finite number above 0."),
        ("learning_coefficient(chains=0)", "learning_coefficient: chains: got 0; expected a whole number from 1 on."),
        ("learning_coefficient(draws=1)", "learning_coefficient: draws: got 1; expected a whole number from 2 on."),
        ("learning_coefficient(nbeta=0.0)", "learning_coefficient: nbeta: got 0.0; expected a finite number above 0."),
        ("learning_coefficient(localization=-1)", "learning_coefficient: localization: got -1; expected a finite number of at least 0."),
        (
            "learning_coefficient(epsilon=0.1)",
            "learning_coefficient: epsilon: got 0.1 with a localization of 100000.0; expected a product below 4, or every chain runs away.",
        ),
        ("learning_coefficient(batch=99)", "learning_coefficient: batch: got 99; expected at most the 15 training cells."),
        (
            "learning_coefficient_calibration(epsilons=())",
            "learning_coefficient_calibration: epsilons: got (); expected one or more finite numbers above 0, such as (1e-6, 1e-5).",
        ),
        (
            "learning_coefficient_calibration(nbetas=5.0)",
            "learning_coefficient_calibration: nbetas: got 5.0; expected one or more finite numbers above 0, such as (1e-6, 1e-5).",
        ),
    ],
)
def test_settings_out_of_range_are_refused(call, expected):
    run = NETWORKS["transformer"]
    assert registry.call_problems("measure", call, run=run) == [expected]
    parameters, task = trained(run, steps=0)
    parsed = registry.parse_call(call)
    # Without the hook that checks types while tests run, the measure itself must refuse.
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        inspect.unwrap(registry.look_up("measure", parsed.name).function)(parameters, task, **dict(parsed.settings))
    assert str(caught.value) == expected


def test_more_passes_than_a_day_are_refused_before_the_first():
    for text in (
        f"learning_coefficient_calibration(burn_in={'9' * 40})",
        "learning_coefficient(draws=1000001)",
        f"sharpness(iterations={10**9})",
    ):
        (problem,) = registry.call_problems("measure", text)
        assert "at most 1,000,000" in str(problem)
