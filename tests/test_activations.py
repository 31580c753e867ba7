"""Activations under the field's names, and forward passes in which some are replaced."""

import pytest
import torch

from groklab.config.run import Run
from groklab.data.splits import split_of
from groklab.data.tables import table_of
from groklab.measures.activations import activations_of, all_pairs, logits_of
from groklab.measures.task import MeasuredTask
from groklab.model.parameters import Parameters, initial_parameters
from groklab.training.batches import network


def measured(**fields) -> tuple[Parameters, MeasuredTask]:
    run = Run.of(**({"operation": "addition", "modulus": 5, "width": 8, "heads": 2, "layers": 1} | fields))
    parameters = initial_parameters(network(run)[2], run.seeds.seed)
    return parameters, MeasuredTask(run, table_of(run.task), split_of(run), parameters, 0)


def test_activations_have_the_names_and_shapes_of_the_field():
    parameters, task = measured()
    seen = activations_of(parameters, task)
    assert seen["blocks.0.attn.hook_pattern"].shape == (25, 2, 4, 4)
    assert seen["blocks.0.mlp.hook_post"].shape == (25, 4, 32)
    torch.testing.assert_close(seen["hook_logits"].double(), logits_of(parameters, task))
    torch.testing.assert_close(seen["blocks.0.attn.hook_pattern"].sum(-1), torch.ones(25, 2, 4))


def test_an_mlp_has_names_too():
    parameters, task = measured(architecture="mlp", mlp_width=16)
    assert activations_of(parameters, task, ["layers.0.hook_post"])["layers.0.hook_post"].shape == (25, 16)


def test_pairs_are_in_the_order_of_the_full_table():
    _, task = measured()
    a, b = all_pairs(task)
    assert (a * 5 + b).tolist() == list(range(25))


def test_an_ablated_mlp_adds_nothing_to_the_residual_stream():
    parameters, task = measured(norm="none")
    seen = activations_of(parameters, task, replace={"blocks.0.hook_mlp_out": torch.zeros_like})
    torch.testing.assert_close(seen["blocks.0.hook_resid_post"], seen["blocks.0.hook_resid_mid"])
    assert not torch.allclose(logits_of(parameters, task), seen["hook_logits"].double())


def test_patching_with_another_runs_last_activation_gives_its_logits():
    parameters, task = measured()
    other, other_task = measured(seed=1)
    last = activations_of(other, other_task, ["blocks.0.hook_resid_post"])
    patched = logits_of(parameters, task, replace=last)
    expected = last["blocks.0.hook_resid_post"][:, -1] @ parameters["output"][0].T
    torch.testing.assert_close(patched, expected.double())


def test_an_unknown_activation_is_answered_with_the_nearest():
    parameters, task = measured()
    with pytest.raises(ValueError, match="hook_pattern"):
        activations_of(parameters, task, ["blocks.0.attn.pattern"])
    with pytest.raises(ValueError, match="none of that name"):
        logits_of(parameters, task, replace={"blocks.7.mlp.hook_post": torch.zeros_like})


def test_a_replacement_of_another_shape_is_refused():
    parameters, task = measured()
    with pytest.raises(ValueError, match=r"shape \(3,\); expected \(25, 4, 8\)"):
        logits_of(parameters, task, replace={"blocks.0.hook_mlp_out": torch.zeros(3)})
