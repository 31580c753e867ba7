"""What every registered function must be, the day it is written."""

import re

import numpy as np
import pytest

from groklab import registry
from groklab.config.run import Run
from groklab.laboratory.conformance import TINY, problems_of, untested_of
from groklab.measures.task import MeasuredTask, take
from groklab.training.batches import Batch, initial_of, network
from groklab.training.moments import Moment

ALL = [(kind, name) for kind in registry.HOMES for name in registry.entries(kind)]


@pytest.mark.parametrize(("kind", "name"), ALL)
def test_every_entry_is_what_its_kind_must_be(kind, name):
    entry = registry.entries(kind)[name]
    assert untested_of(entry) == []
    assert problems_of(entry) == []
    assert re.fullmatch(r"[a-z][a-z0-9_]*", name)


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


def test_a_moment_counts_updates_from_one():
    moment = Batch([Run.of(**TINY)], device="cpu").moment()
    assert isinstance(moment, Moment)
    assert (moment.step, moment.rate) == (1, pytest.approx(1e-4))
