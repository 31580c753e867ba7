"""A user's own interventions and optimizers may be written plainly: what they return is neither overwritten nor overwrites."""

import pytest
import torch

from groklab.config.run import Run
from groklab.registry import intervention, optimizer
from groklab.training.acting import shared_settings
from groklab.training.batches import Batch

TINY = dict(operation="addition", modulus=7, width=16, heads=2, layers=1, train_fraction=0.6, precision="float64", warmup=0)


def tiny(*interventions, **fields):
    return Run.of(**{**TINY, "interventions": interventions, **fields})


@pytest.fixture(autouse=True)
def _own_parts(own_registry):
    """What these tests register is gone after them."""


def history(run, steps=5, at=None):
    """Gradients and parameters of some updates; from ``at`` on continued from the stored state."""
    batch, gradients = Batch([run], device="cpu"), []
    for step in range(steps):
        if step == at:
            batch = Batch([run], device="cpu", states=[batch.state(0)])
        batch.update()
        gradients.append(batch.gradient.flat.clone())
    return gradients, batch.parameters.flat


@pytest.mark.parametrize("at", [None, 3])
def test_a_memory_may_be_the_gradient_itself(at):
    @intervention(at="gradient")
    def own_difference(gradient, memory):
        """Gradient plus its change since the last update."""
        return 2 * gradient - memory, gradient

    sgd = dict(optimizer="sgd", learning_rate=0.1, weight_decay=0.0)
    gradients, weights = history(tiny("own_difference", **sgd), at=at)
    expected = Batch([tiny()], device="cpu").parameters.flat
    for before, now in zip([gradients[0], *gradients], gradients, strict=False):
        expected = expected - 0.1 * (2 * now - before)
    torch.testing.assert_close(weights, expected, rtol=0, atol=1e-12)


def test_a_memory_may_be_a_tuple_that_holds_the_weights_and_starts_late():
    @intervention(at="weights", memory=lambda value, settings: (torch.zeros_like(value), value))
    def own_pair(weights, memory, *, share=0.1):
        """Weights pushed on along their last change."""
        count, last = memory
        return weights + share * (weights - last), (count + 1, weights)

    run = tiny("own_pair(start=2)")
    whole, continued = history(run)[1], history(run, at=3)[1]
    assert torch.equal(whole, continued)
    assert not torch.equal(whole, history(tiny())[1])


def test_a_memory_of_another_kind_is_refused_in_words():
    @intervention(at="gradient")
    def own_dictionary(gradient, memory):
        """Remembers by name."""
        return gradient, {"last": gradient}

    with pytest.raises(TypeError, match="memory of type dict; expected a tensor or a tuple of tensors"):
        Batch([tiny("own_dictionary")], device="cpu").update()


def test_a_moment_need_not_be_a_keyword_only_parameter():
    @intervention(at="gradient")
    def own_moment(gradient, moment):
        """Nothing, knowing the step."""
        assert moment.step == 1
        return gradient

    Batch([tiny("own_moment")], device="cpu").update()


def test_on_the_weights_the_moment_tells_those_before_the_update():
    moved = []

    @intervention(at="weights")
    def own_look(weights, *, moment):
        """Nothing, but looks."""
        moved.append((moment.weights.clone(), weights.clone()))
        return weights

    batch = Batch([tiny("own_look")], device="cpu")
    before = batch.parameters.flat.clone()
    batch.update()
    assert torch.equal(moved[0][0], before)
    assert torch.equal(moved[0][1], batch.parameters.flat)
    assert not torch.equal(before, batch.parameters.flat)


def test_a_direction_may_be_the_optimizer_s_memory_itself():
    @optimizer(learning_rate=0.1, weight_decay=0.0, decay="decoupled", memory=("velocity",))
    def own_heavy_ball(gradient, memory, moment, *, momentum=0.9):
        """Momentum as it is often written."""
        return memory["velocity"].flat.mul_(momentum).sub_(gradient.flat)

    ours = history(tiny(optimizer="own_heavy_ball", learning_rate=0.1))[1]
    theirs = history(tiny(optimizer="sgd(momentum=0.9)", learning_rate=0.1, weight_decay=0.0))[1]
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


def test_settings_without_a_check_must_be_numbers_where_the_default_is_one():
    @intervention(at="gradient")
    def own_scale(gradient, *, factor=2.0, every=1):
        """Gradient times a factor."""
        return gradient * factor

    problems = [str(problem) for problem in tiny("own_scale(factor='a', every=True)").problems()]
    assert problems == [
        "interventions: own_scale: every: got True; expected a number.",
        "interventions: own_scale: factor: got 'a'; expected a number.",
    ]
    assert not tiny("own_scale(factor=1, every=2)").problems()
    same = [shared_settings("intervention", f"own_scale(factor={factor})") for factor in (1, 2.5, None)]
    assert same[0] == same[1] != same[2], "None cannot stand in one tensor with numbers"


def test_an_intervention_on_activations_needs_an_architecture_that_shows_them():
    @intervention(at="activations")
    def own_shrinking(activation, *, factor=0.5):
        """Activations times a factor."""
        return activation * factor

    assert not tiny("own_shrinking").problems()
    for name in ("own_shrinking", "residual_dropout"):
        problems = [str(problem) for problem in tiny(name, architecture="mlp", heads=4).problems()]
        assert len(problems) == 1
        assert f"{name}: got the architecture mlp, which has no residual stream" in problems[0]
