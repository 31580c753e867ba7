"""What every registered function must be, the day it is written."""

import inspect
import math
import re

import numpy as np
import pytest
import torch

from groklab import registry
from groklab.config.presets import gromov
from groklab.config.run import Run
from groklab.measures.task import MeasuredTask, take
from groklab.training.batches import Batch, initial_of, network
from groklab.training.moments import Moment

ALL = [(kind, name) for kind in registry.HOMES for name in registry.entries(kind)]
TINY = dict(operation="addition", modulus=7, width=16, heads=2, layers=1, train_fraction=0.6)
MEASURED = [Run.of(**TINY), gromov().replace(modulus=7, mlp_width=16)]
"""A measure is tried on the first of these to which it applies."""


@pytest.mark.parametrize(("kind", "name"), ALL)
def test_every_entry_is_described_in_a_sentence_and_has_named_settings(kind, name):
    entry = registry.entries(kind)[name]
    assert entry.description.rstrip().endswith((".", ")")), "the first paragraph is a sentence"
    assert len(entry.description) > 20
    assert re.fullmatch(r"[a-z][a-z0-9_]*", name)


@pytest.mark.parametrize("name", registry.entries("measure"))
@pytest.mark.parametrize("is_trained", [False, True])
def test_a_measure_is_finite_repeatable_and_leaves_its_input_alone(name, is_trained):
    run = next(run for run in MEASURED if not registry.call_problems("measure", name, run=run))
    batch = Batch([run], device="cpu")
    for _ in range(20 if is_trained else 0):
        batch.update()
    table, split, layout = network(run)
    task = MeasuredTask(run, table, split, initial_of(run, layout), batch.step)
    before = batch.parameters.flat.clone()
    entry = registry.entries("measure")[name]
    if entry.facts.get("arrays"):
        arrays = entry.function(batch.parameters, task)
        assert arrays
        assert all(np.isfinite(value).all() for value in arrays.values())
        again = entry.function(batch.parameters, task)
        assert all(np.array_equal(again[part], value) for part, value in arrays.items())
    else:
        numbers = take((name,), batch.parameters, task)
        assert numbers
        assert all(math.isfinite(value) for value in numbers.values())
        assert take((name,), batch.parameters, task) == numbers
    assert torch.equal(batch.parameters.flat, before)


def test_norms_by_hand():
    run = Run.of(**TINY)
    batch = Batch([run], device="cpu")
    table, split, layout = network(run)
    task = MeasuredTask(run, table, split, initial_of(run, layout), 0)
    numbers = take(("weight_norm", "matrix_norms"), batch.parameters, task)
    arrays = batch.parameters.to_numpy()
    assert numbers["weight_norm"] == pytest.approx(np.sqrt(sum((a.astype(np.float64) ** 2).sum() for a in arrays.values())))
    for matrix, array in arrays.items():
        assert numbers[f"matrix_norms.{matrix}"] == pytest.approx(np.linalg.norm(array.astype(np.float64)))


@pytest.mark.parametrize("name", registry.entries("optimizer"))
def test_an_optimizer_gives_a_finite_direction_that_lowers_the_loss(name):
    run = Run.of(**TINY, optimizer=name, weight_decay=0.0, batch_size="full", warmup=0)
    batch = Batch([run], device="cpu")
    first, _ = batch.gradients()
    for _ in range(10):
        batch.update()
    assert batch.parameters.flat.isfinite().all()
    assert batch.gradients()[0].item() < first.item()


@pytest.mark.parametrize("name", registry.entries("schedule"))
def test_a_schedule_is_a_factor_between_zero_and_one(name):
    entry = registry.entries("schedule")[name]
    settings = {key: 100 for key, default in entry.settings.items() if default is inspect.Parameter.empty}
    assert all(0 <= entry.function(step, **settings) <= 1 for step in (1, 10, 1000))


@pytest.mark.parametrize("name", registry.entries("loss"))
def test_a_loss_is_finite_and_smallest_for_the_right_answer(name):
    function = registry.entries("loss")[name].function
    logits = torch.eye(5, dtype=torch.float64) * 6
    losses = torch.stack([function(logits, torch.full((5,), answer)) for answer in range(5)])
    assert losses.isfinite().all()
    assert torch.equal(losses.argmin(0), torch.arange(5))


@pytest.mark.parametrize("name", registry.entries("preset"))
def test_a_preset_can_be_trained(name):
    run = registry.entries("preset")[name].function()
    assert run.check() is run
    assert "source" in registry.entries("preset")[name].facts


def test_a_moment_counts_updates_from_one():
    moment = Batch([Run.of(**TINY)], device="cpu").moment()
    assert isinstance(moment, Moment)
    assert (moment.step, moment.rate) == (1, pytest.approx(1e-4))
