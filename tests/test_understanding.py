"""What a real network learned: addition mod 97 from beginning to end, seen by measures and pictures."""

import math

import pytest

from groklab.analysis.elements import elements_table, matrix_of, order_of
from groklab.analysis.structure import circularity, number_line
from groklab.figures.style import save
from groklab.laboratory.runs import train
from groklab.stored.drawing import drawn
from groklab.stored.measurements import measure


def circle(run, step):
    table = elements_table(run.folder, run.run, step)
    return circularity(matrix_of(table), order_of(table), permutations=199)


@pytest.mark.slow
def test_addition_is_learned_as_circles_of_a_few_frequencies(tmp_path):
    """About a minute of one core: 40 % of addition mod 97, the paper's recipe."""
    run = train(operation="addition", train_fraction=0.4, seed=0, steps=10_000, runs=tmp_path)
    found = run.summary
    assert found.memorized_at < 1_000 < found.generalized_at
    steps = run.folder.steps_of("checkpoints")
    memorized = next(step for step in steps if step >= found.memorized_at)
    last = steps[-1]
    assert memorized < found.generalized_at / 2

    numbers = {}
    for one in measure(["key_frequencies", "restricted_loss", "excluded_loss", "trig_share", "gini"], run, steps=[0, memorized, last]):
        numbers.setdefault(one.step, {}).update(one.values)
    end, then = numbers[last], numbers[memorized]
    assert end["key_frequencies.count"] <= 12 < then["key_frequencies.count"]
    assert end["key_frequencies.share"] > 0.85
    assert end["restricted_loss"] < 2 * found.validation_loss + 0.05
    assert then["restricted_loss"] > 0.3
    assert end["excluded_loss"] > 0.8 * math.log(97) > 1.5 * then["excluded_loss"]
    assert end["trig_share.keys"] > 0.85
    assert then["trig_share.keys"] < 0.2
    assert end["gini.output"] > 2 * then["gini.output"] > 0

    untrained, memorizing, generalizing = (circle(run, step) for step in (0, memorized, last))
    assert generalizing.p_value < 0.01
    assert generalizing.score > 0.5
    assert generalizing.score > 3 * max(untrained.score, memorizing.score)
    assert untrained.score < 1.3 * untrained.chance

    line = number_line(matrix_of(elements_table(run.folder, run.run)), permutations=199)
    assert line.p_value < 0.01
    for name in ("number_line", "embeddings", "spectra", "neurons", "attention", "measures"):
        assert save(drawn(name, [run]), tmp_path / f"{name}.png").stat().st_size > 20_000
