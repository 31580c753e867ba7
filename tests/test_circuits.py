"""Fourier measures of networks whose frequencies are known by construction, and of random ones, which have none."""

import gc
import math
import os
import re
import subprocess
import sys
import weakref
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from groklab import registry
from groklab.config.presets import gromov, nanda
from groklab.config.run import Run
from groklab.measures import responses
from groklab.measures.activations import activations_of, all_pairs, logits_of
from groklab.measures.circuits import EXCLUDED, RESTRICTED, cosine_coefficients, excluded_loss, restricted_loss, trig_share
from groklab.measures.clock import circularity, distance_irrelevance, gradient_symmetricity
from groklab.measures.fourier import sum_directions
from groklab.measures.frequencies import RULES, key_frequencies, key_frequencies_of, neuron_frequencies, single_frequency_neurons
from groklab.measures.responses import responses_of
from groklab.measures.spectra import fourier_spectra, gini, inverse_participation_ratio
from groklab.measures.task import MeasuredTask
from groklab.model.parameters import Parameters
from groklab.model.solutions import gromov_solution
from groklab.training.batches import initial_of, network

SOLVED = [("addition", 23), ("addition", 24), ("subtraction", 23), ("subtraction", 22), ("multiplication", 23), ("division", 23)]
KEYS = [1, 5, 7]  # of which none is twice another, whatever the order below


def measured(run: Run, parameters: Parameters | None = None) -> tuple[Parameters, MeasuredTask]:
    table, split, layout = network(run)
    parameters = initial_of(run, layout) if parameters is None else parameters
    return parameters, MeasuredTask(run, table, split, parameters, 0)


def solved(operation="addition", modulus=23, frequencies=KEYS, answer_logit=30.0, **fields):
    run = gromov().replace(operation=operation, modulus=modulus, mlp_width=120, precision="float64", **fields)
    return measured(run, gromov_solution(run, frequencies, answer_logit=answer_logit))


def loss_of(parameters, task, cells, labels):
    pairs = tuple(torch.from_numpy(side[cells]).long() for side in (task.table.x, task.table.y))
    return float(F.cross_entropy(logits_of(parameters, task, pairs), torch.from_numpy(labels[cells]).long()))


# — networks made by hand —


@pytest.mark.parametrize(("operation", "modulus"), [("addition", 97), ("addition", 24), ("multiplication", 97), ("division", 31)])
def test_the_solution_of_all_frequencies_answers_every_cell(operation, modulus):
    run = gromov().replace(operation=operation, modulus=modulus, precision="float64")
    parameters, task = measured(run, gromov_solution(run, answer_logit=5.0))
    pairs = tuple(torch.tensor(side).long() for side in (task.table.x, task.table.y))
    inside = pairs[0] > 0 if operation == "division" else torch.ones_like(pairs[0], dtype=torch.bool)
    answers = torch.tensor(task.table.z).long()
    logits = logits_of(parameters, task, pairs)
    assert (logits.argmax(-1) == answers)[inside].all()
    torch.testing.assert_close(logits.gather(1, answers[:, None])[inside], torch.full((int(inside.sum()), 1), 5.0).double())


@pytest.mark.parametrize(("operation", "modulus"), SOLVED)
@pytest.mark.parametrize("rule", RULES)
def test_every_rule_finds_the_planted_frequencies(operation, modulus, rule):
    parameters, task = solved(operation, modulus)
    assert key_frequencies_of(parameters, task, rule=rule) == KEYS
    numbers = key_frequencies(parameters, task, rule=rule)
    assert numbers["count"] == 3
    assert numbers["strongest"] in KEYS
    # Squares of waves put a fifth of the neurons' variance at twice their frequency.
    assert numbers["share"] == pytest.approx(0.8 if rule == "neurons" else 1, abs=1e-9)


@pytest.mark.parametrize(("operation", "modulus"), SOLVED)
@pytest.mark.parametrize("variant", RESTRICTED)
def test_the_key_frequencies_alone_are_as_good_as_the_network(operation, modulus, variant):
    parameters, task = solved(operation, modulus)
    labels = task.table.z
    cells = task.split.validation if variant == "activations" else range(task.table.cells)
    cells = [cell for cell in cells if operation != "division" or task.table.x[cell] > 0]
    assert restricted_loss(parameters, task, variant=variant) == pytest.approx(loss_of(parameters, task, cells, labels), rel=1e-9)
    without = restricted_loss(parameters, task, variant=variant, frequencies=(1, 5))
    assert without > 2 * restricted_loss(parameters, task, variant=variant)


@pytest.mark.parametrize(("operation", "modulus"), SOLVED)
def test_without_the_key_frequencies_the_network_guesses(operation, modulus):
    parameters, task = solved(operation, modulus)
    guessing = pytest.approx(math.log(task.table.n), rel=1e-9)
    assert excluded_loss(parameters, task) == guessing
    assert excluded_loss(parameters, task, variant="activations") == guessing


def test_the_frequency_at_half_of_an_even_order_is_one_like_the_others():
    parameters, task = solved("addition", 24, [3, 12])
    for rule in RULES:
        assert key_frequencies_of(parameters, task, rule=rule) == [3, 12]
    assert excluded_loss(parameters, task) == pytest.approx(math.log(24))
    assert trig_share(parameters, task)["keys"] == pytest.approx(1)
    assert cosine_coefficients(parameters, task)["coefficient"][[2, 11]] == pytest.approx(15.0)


@pytest.mark.parametrize(("operation", "modulus"), SOLVED)
def test_the_logits_are_the_cosines_that_were_planted(operation, modulus):
    parameters, task = solved(operation, modulus)
    assert trig_share(parameters, task) == pytest.approx({"keys": 1, "all": 1, "keys_within_pairs": 1})
    assert trig_share(parameters, task, frequencies=(1,))["keys"] == pytest.approx(1 / 3)
    coefficients = cosine_coefficients(parameters, task)
    planted = [10.0 if k in KEYS else 0.0 for k in coefficients["frequency"]]
    assert coefficients["coefficient"] == pytest.approx(planted, abs=1e-9)


def test_a_number_added_to_all_logits_of_a_pair_is_not_seen_within_pairs():
    parameters, task = solved()
    parameters["output"][0, :, 3] += 5
    shares = trig_share(parameters, task)
    assert shares["keys"] < 0.9
    assert shares["keys_within_pairs"] == pytest.approx(1)


def test_planted_neurons_have_their_frequency_and_idle_ones_none():
    parameters, task = solved()
    arrays = neuron_frequencies(parameters, task, threshold=0.75)
    assert arrays["frequency"][:27].tolist() == [1] * 9 + [5] * 9 + [7] * 9
    assert arrays["score"][:27] == pytest.approx(0.8)
    assert not arrays["frequency"][27:].any()
    assert {k: n for k, n in enumerate(arrays["count"]) if n} == {0: 93, 1: 9, 5: 9, 7: 9}
    assert single_frequency_neurons(parameters, task, threshold=0.75) == {"count": 27, "share": 27 / 120, "frequencies": 3}
    assert single_frequency_neurons(parameters, task)["count"] == 0


def test_weights_of_three_frequencies_are_sparse():
    parameters, task = solved("multiplication")
    spectra = fourier_spectra(parameters, task)
    for name in ("left", "right", "output", "neuron_logit_map"):
        assert [k for k, power in enumerate(spectra[name]) if power > 1e-9] == KEYS
    assert spectra["left"].sum() == pytest.approx(float(parameters["layers.0.left"].square().sum()))
    assert [(i, j) for i, j in zip(*(spectra["logits"] > 1e-9).nonzero(), strict=True)] == [(k, k) for k in KEYS]
    # 6 equal components of 22, to the rounding of phases that share amplitudes unequally between cosine and sine
    assert gini(parameters, task) == pytest.approx({"embedding": 16 / 22, "output": 16 / 22})
    run = task.run.replace(mlp_width=27)
    assert inverse_participation_ratio(*measured(run, gromov_solution(run, KEYS))) == pytest.approx(1)


def test_the_analytic_solution_says_for_what_it_is():
    with pytest.raises(ValueError, match=r"expected mlp\(inputs='one_hot'\) with 1 layer and quadratic"):
        gromov_solution(Run.of(operation="addition"))
    with pytest.raises(ValueError, match="got 20 neurons"):
        gromov_solution(gromov().replace(mlp_width=20), KEYS)
    with pytest.raises(ValueError, match="expected some of 1 to 48"):
        gromov_solution(gromov(), [49])


# — definitions —


def random_transformer(**fields):
    small = {"operation": "addition", "modulus": 9, "width": 16, "heads": 2, "layers": 1, "norm": "none", "precision": "float64"}
    return measured(Run.of(**(small | fields)))


@pytest.mark.parametrize(("operation", "sign"), [("addition", 1), ("subtraction", -1)])
@pytest.mark.parametrize("scale", [1.0, 2000.0])  # the second: logits whose exponentials float64 does not hold
def test_excluded_losses_are_what_their_definition_says(operation, sign, scale):
    parameters, task = random_transformer(operation=operation, modulus=8)
    parameters["output"].mul_(scale)
    logits = logits_of(parameters, task).unflatten(0, (8, 8))
    assert (float(logits.max() - logits.min()) > 800) == (scale > 1)
    x, y = (torch.from_numpy(side[task.split.train]).long() for side in (task.table.x, task.table.y))
    labels = torch.from_numpy(task.split.labels[task.split.train]).long()

    def without(*frequencies):
        left = logits
        for k in frequencies:
            directions = sum_directions(8, k, sign)
            left = left - torch.einsum("iab,ixy,xyc->abc", directions, directions, logits)
        return float(F.cross_entropy(left[x, y], labels))

    by_frequency = excluded_loss(parameters, task, variant="per_frequency")
    assert by_frequency == pytest.approx({f"k{k}": without(k) for k in range(1, 5)})
    assert excluded_loss(parameters, task, variant="largest") == max(by_frequency.values())
    assert excluded_loss(parameters, task, frequencies=(1, 4)) == pytest.approx(without(1, 4))


def test_restricted_losses_are_what_their_definition_says():
    parameters, task = random_transformer()
    logits = logits_of(parameters, task).unflatten(0, (9, 9))
    a, b = torch.meshgrid(torch.arange(9), torch.arange(9), indexing="ij")
    w = 2 * torch.pi * 2 / 9
    one, cos, sin = torch.ones(9).double(), (w * torch.arange(9)).double().cos(), (w * torch.arange(9)).double().sin()

    def kept(factors):
        waves = torch.stack([torch.outer(f, g) for f, g in factors]).flatten(1)
        waves = waves / waves.norm(dim=1, keepdim=True)
        projected = waves.T @ (waves @ logits.flatten(0, 1))
        return float(F.cross_entropy(projected, ((a + b) % 9).flatten()))

    products = [(cos, cos), (cos, sin), (sin, cos), (sin, sin)]
    linear = [(one, one), (cos, one), (sin, one), (one, cos), (one, sin)]
    assert restricted_loss(parameters, task, variant="blocks", frequencies=(2,)) == pytest.approx(kept([(one, one), *products]))
    assert restricted_loss(parameters, task, variant="wide_blocks", frequencies=(2,)) == pytest.approx(kept([*linear, *products]))


@pytest.mark.parametrize("norm", ["none", "post", "pre"])
@pytest.mark.parametrize("begin_token", [False, True])
def test_losses_at_the_activations_run_the_rest_of_the_network(norm, begin_token):
    parameters, task = random_transformer(norm=norm, layers=2, begin_token=begin_token)
    for name in parameters:
        if name.endswith(("gain", "norm.bias")):  # so that norms are not the identity up to scale
            parameters[name].add_(0.3 * torch.randn(16, dtype=torch.float64, generator=torch.Generator().manual_seed(1)))
    seen = activations_of(parameters, task, ["blocks.1.mlp.hook_post", "blocks.1.hook_resid_mid"])
    hidden, stream = seen["blocks.1.mlp.hook_post"][:, -1], seen["blocks.1.hook_resid_mid"][:, -1]
    directions = torch.cat([sum_directions(9, k) for k in (1, 3)]).flatten(1)
    along_keys = directions.T @ (directions @ hidden)

    def loss(hidden, stream, chosen, labels):
        def normed(x, name):
            return F.layer_norm(x, (16,), parameters[f"{name}.gain"][0], parameters[f"{name}.bias"][0])

        x = stream + hidden @ parameters["blocks.1.mlp.out"][0].T
        x = normed(x, "blocks.1.mlp_norm") if norm == "post" else normed(x, "output_norm") if norm == "pre" else x
        logits = x @ parameters["output"][0].T
        a, b = torch.from_numpy(task.table.x[chosen]).long(), torch.from_numpy(task.table.y[chosen]).long()
        return float(F.cross_entropy(logits[a * 9 + b], torch.from_numpy(labels[chosen]).long()))

    mean = stream.mean(0).expand_as(stream)
    restricted = loss(hidden.mean(0) + along_keys, mean, task.split.validation, task.table.z)
    excluded = loss(hidden - along_keys, stream, task.split.train, task.split.labels)
    assert restricted_loss(parameters, task, variant="activations", frequencies=(1, 3)) == pytest.approx(restricted, rel=1e-9)
    assert excluded_loss(parameters, task, variant="activations", frequencies=(1, 3)) == pytest.approx(excluded, rel=1e-9)


def test_the_map_from_neurons_to_logits_says_what_a_neuron_changes():
    parameters, task = random_transformer()
    a, b = all_pairs(task)
    name = "blocks.0.mlp.hook_post"
    bump = torch.zeros(64).double()
    bump[5] = 1
    changed = logits_of(parameters, task, (a, b), replace={name: lambda value: value + bump}) - logits_of(parameters, task, (a, b))
    torch.testing.assert_close(changed, responses.neuron_logit_map(parameters, task)[:, 5].expand(81, -1))


# — no structure —


def test_random_networks_have_no_structure():
    parameters, task = measured(gromov().replace(modulus=59))
    assert gini(parameters, task)["embedding"] < 0.1
    assert trig_share(parameters, task)["keys"] < 0.01
    assert inverse_participation_ratio(parameters, task) == pytest.approx(2 / 30, rel=0.25)
    assert single_frequency_neurons(parameters, task)["count"] == 0
    assert len(key_frequencies_of(parameters, task, rule="output")) == 29
    parameters, task = measured(nanda().replace(modulus=31))
    assert circularity(parameters, task) < 0.4
    for name, variants, function in (("restricted", RESTRICTED, restricted_loss), ("excluded", EXCLUDED, excluded_loss)):
        for variant in variants:
            if variant != "per_frequency":
                assert function(parameters, task, variant=variant) == pytest.approx(math.log(31), rel=0.1), (name, variant)


# — clock and pizza —


def test_gradients_of_inputs_that_are_added_are_equal_and_of_opposite_weights_opposite():
    parameters, task = measured(Run.of(operation="addition", modulus=11, architecture="mlp(inputs='summed')", mlp_width=16))
    assert gradient_symmetricity(parameters, task) == pytest.approx(1)
    assert not parameters.flat.requires_grad
    parameters, task = measured(Run.of(operation="addition", modulus=11, architecture="mlp", mlp_width=16))
    parameters["layers.0.right"].copy_(-parameters["layers.0.left"])
    assert gradient_symmetricity(parameters, task, samples=7) == pytest.approx(-1)


@pytest.mark.parametrize("begin_token", [False, True])
@pytest.mark.parametrize("operator_token", [False, True])
def test_gradients_of_a_transformer_are_those_of_its_two_elements(begin_token, operator_token):
    """Without attention to anything but sums, exchanging a and b changes nothing: uniform attention, no positions."""
    run = Run.of(operation="addition", modulus=11, width=16, heads=2, layers=1, positions="none", attention="uniform")
    parameters, task = measured(run.replace(begin_token=begin_token, operator_token=operator_token))
    assert gradient_symmetricity(parameters, task) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(("sign", "expected"), [(1, 0), (-1, 1)])
def test_distance_irrelevance_by_hand(sign, expected):
    """Neurons (cos a + cos b)² and (sin a ± sin b)² add up to 2 + 2 cos(a ∓ b)."""
    parameters, task = solved(frequencies=KEYS)
    parameters.flat.zero_()
    angle = 2 * torch.pi * torch.arange(23).double() / 23
    for neuron, (left, right) in enumerate([(angle.cos(), angle.cos()), (angle.sin(), sign * angle.sin())]):
        parameters["layers.0.left"][0, neuron], parameters["layers.0.right"][0, neuron] = left, right
        parameters["output"][0, :, neuron] = 1
    assert distance_irrelevance(parameters, task) == pytest.approx(expected, abs=1e-9)


def test_an_embedding_of_circles_is_circular():
    parameters, task = measured(nanda().replace(modulus=31))
    angle = 2 * torch.pi * torch.arange(31) / 31
    parameters["embedding"].zero_()
    for place, k in enumerate((3, 5)):
        parameters["embedding"][0, :31, 2 * place] = (place + 1) * (k * angle).cos()
        parameters["embedding"][0, :31, 2 * place + 1] = (place + 1) * (k * angle).sin()
    assert circularity(parameters, task) == pytest.approx(1)
    assert key_frequencies_of(parameters, task, rule="embedding") == [3, 5]
    parameters["embedding"][0, :, 2:] = 0  # two dimensions are left
    assert circularity(parameters, task) == pytest.approx(1)
    parameters["embedding"].fill_(1)
    assert circularity(parameters, task) == 0


# — once per checkpoint, and never of another —


def test_one_forward_pass_serves_all_measures_and_is_made_again_for_other_parameters(monkeypatch):
    parameters, task = random_transformer()
    calls = []
    monkeypatch.setattr(responses, "activations_of", lambda *given: calls.append(1) or activations_of(*given))
    first = trig_share(parameters, task)
    pieces = len(calls)
    restricted_loss(parameters, task)
    assert len(calls) == pieces
    parameters.flat.mul_(1.5)
    assert trig_share(parameters, task) != first
    assert len(calls) == 2 * pieces
    trig_share(parameters, replace(task, table=replace(task.table)))
    assert len(calls) == 3 * pieces, "another table"


def test_what_is_kept_goes_with_its_task():
    parameters, task = random_transformer()
    seen = weakref.ref(responses_of(parameters, task))
    assert responses_of(parameters.clone(), task) is seen()
    later = MeasuredTask(task.run, task.table, task.split, task.initial, 1)
    assert responses_of(parameters, later) is seen()
    del task
    gc.collect()
    assert responses_of(parameters, later) is seen(), "it lives as long as the last task that it was given for"
    del later
    gc.collect()
    assert seen() is None


# — what is refused —


@pytest.mark.parametrize(
    ("call", "fields", "expected"),
    [
        ("restricted_loss", {"operation": "sum_of_squares"}, "got the operation sum_of_squares; expected addition"),
        ("gini", {"operation": "s5_product", "modulus": None}, "got the operation s5_product"),
        ("gini", {"operation": "multiplication", "modulus": 3}, "got 2 elements of the group; expected at least 3"),
        ("restricted_loss(variant='all')", {}, "variant: got 'all'; expected one of sum_directions, blocks"),
        ("excluded_loss(variant='sum_directions')", {}, "variant: got 'sum_directions'; expected one of all, per_frequency"),
        ("excluded_loss(variant='largest', rule='output')", {}, "with a rule or frequencies; expected neither"),
        ("trig_share(rule='largest')", {}, "rule: got 'largest'; expected one of neurons, output, embedding"),
        ("trig_share(rule='output', frequencies=(1, 2))", {}, "expected one of the two"),
        ("trig_share(frequencies=5)", {}, r"frequencies: got 5; expected whole numbers such as"),
        ("trig_share(frequencies=(1, 60))", {}, "frequencies: got 60; expected 1 to 48 for 97 elements"),
        ("trig_share(frequencies=(49,))", {"operation": "multiplication"}, "expected 1 to 48 for 96 elements"),
        ("neuron_frequencies(threshold=2)", {}, r"threshold: got 2; expected a share of the variance in \(0, 1\]"),
        ("trig_share", {"modulus": 1009}, r"expected at most 200,000,000 numbers"),
        ("inverse_participation_ratio", {}, "got the architecture transformer; expected an mlp"),
        ("inverse_participation_ratio", {"architecture": "mlp", "layers": 2}, "got 2 layers; expected 1"),
        ("gradient_symmetricity(samples=0)", {}, "samples: got 0; expected a whole number"),
        ("gradient_symmetricity", {"architecture": "mlp(inputs='one_hot')"}, "which has no embedding"),
    ],
)
def test_a_measure_that_does_not_apply_says_why(call, fields, expected):
    run = Run.of(**({"operation": "addition", "modulus": 97} | fields))
    problems = registry.call_problems("measure", call, run=run)
    assert len(problems) == 1
    assert re.search(expected, problems[0])


def test_what_is_wrong_is_also_said_without_a_check():
    parameters, task = random_transformer()
    for call, expected in [
        (lambda: restricted_loss(parameters, task, variant="all"), "variant"),
        (lambda: excluded_loss(parameters, task, variant="blocks"), "variant"),
        (lambda: excluded_loss(parameters, task, variant="largest", frequencies=(1,)), "expected neither"),
        (lambda: trig_share(parameters, task, frequencies=(5,)), "expected 1 to 4"),
        (lambda: key_frequencies(parameters, task, rule="all"), "rule"),
        (lambda: inverse_participation_ratio(parameters, task), "expected an mlp"),
        (lambda: gini(*random_transformer(operation="sum_of_squares")), "sum_of_squares"),
    ]:
        with pytest.raises(ValueError, match=expected):
            call()


def test_arrays_are_not_asked_for_during_training():
    problems = Run.of(operation="addition", measures=("fourier_spectra",)).problems()
    assert len(problems) == 1
    assert "groklab measure" in str(problems[0])


# — speed —


TIMED = """
from dataclasses import replace

from benchmarks.yardstick import yardsticks
from groklab import registry
from groklab.config.presets import nanda
from groklab.data.splits import split_of
from groklab.data.tables import table_of
from groklab.measures.circuits import EXCLUDED, RESTRICTED
from groklab.measures.task import MeasuredTask
from groklab.training.batches import initial_of, network

run = nanda()
table, split, layout = table_of(run.task), split_of(run), network(run)[2]
names = [
    "fourier_spectra", "key_frequencies", "neuron_frequencies", "single_frequency_neurons", "gini", "trig_share",
    "cosine_coefficients", "gradient_symmetricity", "distance_irrelevance", "circularity",
    *(f"restricted_loss(variant='{variant}')" for variant in RESTRICTED),
    *(f"excluded_loss(variant='{variant}')" for variant in EXCLUDED),
]
calls = [registry.parse_call(name) for name in names]
parameters = initial_of(run, layout)
def measure_all():
    task = MeasuredTask(run, replace(table), split, parameters, 0)  # a table of its own, so that nothing is kept from the time before
    for call in calls:
        registry.look_up("measure", call.name).function(parameters, task, **dict(call.settings))
measure_all()
print(yardsticks(measure_all))
"""


@pytest.mark.slow
@pytest.mark.alone
def test_all_fourier_measures_of_one_checkpoint_take_less_than_a_second_of_one_core():
    # In a process of its own: here every call has its types checked.
    alone = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", TIMED],
        capture_output=True,
        text=True,
        check=True,
        env=alone,
        cwd=Path(__file__).parents[1],
        encoding="utf-8",
    )
    assert float(done.stdout) < 15  # eight on an idle machine
