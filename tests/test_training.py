"""Training: the optimizers are torch's, a run does not know its neighbours, and what is yielded is what happened."""

import numpy as np
import pytest
import torch

from groklab.config.run import Run
from groklab.config.stops import generalized
from groklab.data.splits import split_of
from groklab.data.tables import table_of
from groklab.model.losses import cross_entropy
from groklab.model.parameters import Parameters
from groklab.training import engine
from groklab.training.answering import Questions, answers_of
from groklab.training.batches import Batch, batch_size
from groklab.training.engine import Advanced, Checkpoint, Ended, Evaluated, Past

TINY = dict(operation="addition", modulus=7, width=16, heads=2, layers=1, train_fraction=0.6, steps=30, stop="never")


def tiny(**fields):
    return Run.of(**{**TINY, **fields})


def events_of(*runs, **options):
    return list(engine.train(runs, **options))


def rows_of(events, run=0):
    return [event.row for event in events if isinstance(event, Evaluated) and event.run == run]


def final_parameters(events, run=0):
    return [event.parameters for event in events if isinstance(event, Checkpoint) and event.run == run][-1]


# — optimizers —


def torch_history(run, optimizer_class, steps, **options):
    """Parameters after some updates with an optimizer of torch, on the same batches and rates."""
    ours = Batch([run], device="cpu")
    theirs = {name: view[0].clone().requires_grad_() for name, view in ours.parameters.items()}
    optimizer = optimizer_class(list(theirs.values()), lr=1.0, betas=run.training.betas, **options)
    for k in range(1, steps + 1):
        with torch.no_grad():
            for name, value in theirs.items():
                ours.parameters[name][0].copy_(value)
        ours.gradients()
        for name, value in theirs.items():
            value.grad = ours.gradient[name][0].clone()
        optimizer.param_groups[0]["lr"] = run.resolved()["learning_rate"] * min(1, k / 10)
        optimizer.step()
        ours.step = k
    return theirs


@pytest.mark.parametrize(
    ("name", "decay", "optimizer_class"),
    [
        ("adamw", 1.0, torch.optim.AdamW),
        ("adamw", 0.0, torch.optim.AdamW),
        ("adam", 0.0, torch.optim.Adam),
        ("adam", 0.1, torch.optim.Adam),
    ],
)
def test_adam_and_adamw_equal_those_of_torch(name, decay, optimizer_class):
    run = tiny(optimizer=name, weight_decay=decay, precision="float64", learning_rate=0.01)
    ours = Batch([run], device="cpu")
    for _ in range(25):
        ours.update()
    theirs = torch_history(run, optimizer_class, 25, weight_decay=decay, eps=1e-8)
    for parameter, value in theirs.items():
        torch.testing.assert_close(ours.parameters[parameter][0], value.detach(), rtol=0, atol=1e-10)


def test_decay_acts_on_all_parameters_unless_some_are_chosen():
    quiet = dict(weight_decay=1.0, learning_rate=0.1, warmup=0, steps=1)
    for patterns, decaying in (
        (("*",), {"output", "embedding", "blocks.0.attention_norm.gain"}),
        (("embedding", "blocks.*.mlp.*"), {"embedding"}),
    ):
        batch = Batch([tiny(decay_parameters=patterns, **quiet)], device="cpu")
        free = Batch([tiny(**{**quiet, "weight_decay": 0.0})], device="cpu")
        before = batch.parameters.clone()
        batch.update()
        free.update()
        for name in ("output", "embedding", "blocks.0.attention_norm.gain"):
            pulled = free.parameters[name] - batch.parameters[name]
            expected = 0.1 * before[name] if name in decaying else torch.zeros_like(pulled)
            torch.testing.assert_close(pulled, expected, rtol=0, atol=1e-6)


def test_a_pattern_that_matches_no_parameter_is_refused():
    problems = [str(problem) for problem in engine.run_problems(tiny(decay_parameters=("blocks.7.*",)))]
    assert len(problems) == 1
    assert "blocks.7.*" in problems[0]
    assert "embedding" in problems[0]


@pytest.mark.parametrize(
    ("fields", "factors"), [({}, [0.1, 0.2, 1.0]), ({"warmup_from_zero": True}, [0.0, 0.1, 1.0]), ({"warmup": 0}, [1, 1, 1])]
)
def test_the_rate_rises_over_the_warm_up(fields, factors):
    batch = Batch([tiny(learning_rate=0.5, **fields)], device="cpu")
    found = []
    for step in (0, 1, 30):
        batch.step = step
        found.append(batch.moment().rate / 0.5)
    assert found == pytest.approx(factors)


def test_the_first_update_of_the_official_form_changes_nothing():
    batch = Batch([tiny(warmup_from_zero=True)], device="cpu")
    before = batch.parameters.flat.clone()
    batch.update()
    assert torch.equal(batch.parameters.flat, before)


# — batches —


@pytest.mark.parametrize(("n_train", "expected"), [(4656, 512), (1024, 512), (1023, 512), (1022, 511), (35, 18), (1, 1)])
def test_half_a_batch_is_the_paper_s(n_train, expected):
    assert batch_size(Run(), n_train) == expected


def test_full_batches_hold_every_training_cell_once():
    run = tiny(batch_size="full")
    batch = Batch([run], device="cpu")
    for _ in range(3):
        assert sorted(batch.chosen()[0].tolist()) == list(range(len(split_of(run).train)))
        batch.step += 1


def test_every_epoch_shows_every_cell_once_whatever_the_batch_size():
    run = tiny(batch_size=4)
    batch = Batch([run], device="cpu")
    count = len(split_of(run).train)
    seen = []
    while len(seen) < 2 * count:
        seen += batch.chosen()[0].tolist()
        batch.step += 1
    assert sorted(seen[:count]) == list(range(count))
    assert sorted(seen[count : 2 * count]) == list(range(count))
    assert seen[:count] != seen[count : 2 * count]


def test_a_batch_larger_than_the_training_set_is_refused():
    assert "at most the 29 training cells" in str(*engine.run_problems(tiny(batch_size=100)))


# — what is yielded —


def test_evaluations_are_at_the_fixed_steps_and_the_last():
    steps = [row["step"] for row in rows_of(events_of(tiny(evaluations_per_decade=3, steps=30)))]
    assert steps == [0, 1, 2, 5, 10, 22, 30]


def test_an_evaluation_is_exact():
    run = tiny(precision="float64", outliers=3, steps=4)
    events = events_of(run)
    split, batch = split_of(run), Batch([run], device="cpu")
    for _ in range(4):
        batch.update()
    answers, row = batch.answers()[0], rows_of(events)[-1]
    assert row["train_accuracy"] == np.mean(answers.answer[split.train] == split.labels[split.train])
    clean = np.setdiff1d(split.train, split.corrupted)
    assert row["train_accuracy_clean"] == np.mean(answers.answer[clean] == split.labels[clean])
    assert row["train_accuracy_corrupted"] == np.mean(answers.answer[split.corrupted] == split.labels[split.corrupted])
    mirrored = split.validation[split.mirrored]
    assert row["validation_accuracy_mirrored"] == np.mean(answers.answer[mirrored] == split.labels[mirrored])
    assert row["train_loss"] == pytest.approx(answers.loss[split.train].mean(), abs=1e-12)
    assert len(split.corrupted) == 3


@pytest.mark.parametrize("together", [False, True])
def test_losses_are_told_below_the_rounding_of_single_precision(together):
    """A network that has memorized has losses that vanish beside 1 in float32: log(1 + 4 e^-20) is 4 e^-20 in float64, and 0 in float32."""
    run = Run.of(operation="addition", modulus=5)
    table, split = table_of(run.task), split_of(run)
    logits = torch.zeros(1, table.cells, 5)
    logits[0, torch.arange(table.cells), torch.from_numpy(table.z.astype(np.int64))] = 20.0
    parameters = Batch([run], device="cpu").parameters
    if together:
        questions = Questions([table], [split], "cpu")
        (answers,) = questions.apart(*map(np.asarray, questions.ask(lambda *given: logits, run, parameters, cross_entropy, {})))
    else:
        answers = answers_of(run, table, split, parameters, lambda *given: logits)
    assert (answers.answer == table.z).all()
    assert answers.loss == pytest.approx(np.full(table.cells, 4 * np.exp(-20.0)), rel=1e-5, abs=0.0)


def test_cells_of_unknown_answer_count_neither_as_train_nor_as_validation(tmp_path):
    lines = [f"{x},{y},{(x + y) % 5 if (x, y) != (2, 3) else ''}" for x in range(5) for y in range(5) if (x, y) != (4, 4)]
    (tmp_path / "t.csv").write_text("x,y,z\n" + "\n".join(lines), encoding="utf-8")
    run = Run.of(file=str(tmp_path / "t.csv"), width=8, heads=2, layers=1, steps=3)
    events = events_of(run)
    checkpoint = next(event for event in events if isinstance(event, Checkpoint))
    split = split_of(run)
    assert len(split.train) + len(split.validation) == 23
    assert len(checkpoint.answer) == 25
    assert all(np.isfinite(row["validation_loss"]) for row in rows_of(events))


def test_a_run_ends_once_further_evaluations_have_confirmed_that_it_generalized():
    run = tiny(stop="generalized(confirmations=2)", threshold=0.01, steps=1000)
    rows = rows_of(events_of(run))
    above = [row["step"] for row in rows if row["validation_accuracy"] >= 0.01]
    assert rows[-1]["step"] == above[-1] < 1000
    assert len(above) == 3


def test_a_spike_between_the_confirmations_does_not_prolong_a_run():
    rows = [{"step": step, "validation_accuracy": accuracy} for step, accuracy in enumerate([0.1, 1.0, 0.6, 0.99, None, 1.0, 1.0])]
    for confirmations, end in ((0, 1), (1, 3), (2, 5), (3, 6)):
        assert generalized(rows, 0.99, confirmations=confirmations) == end
    assert generalized(rows, 0.99, confirmations=4) is None


def test_a_run_that_diverges_is_named_and_does_not_stop_the_others():
    wild = dict(learning_rate=1e30, norm="none", warmup=0)
    events = events_of(tiny(seed=3, **wild), tiny(seed=4))
    ended = {event.run: event for event in events if isinstance(event, Ended)}
    assert ended[0].status == "diverged"
    assert ended[0].message.startswith("run 1 of 2 (seed 3, learning_rate 1e+30, weight_decay 1.0): loss is not finite at step ")
    assert ended[1].status == "complete"
    assert all(np.isfinite(row["train_loss"]) for row in rows_of(events, 0))


# — independence —


def comparable(events, run=0):
    return rows_of(events, run), {name: value.tobytes() for name, value in final_parameters(events, run).items()}


@pytest.mark.medium
@pytest.mark.parametrize("runs_per_batch", [2, 3])
def test_a_run_does_not_depend_on_its_neighbors(runs_per_batch):
    runs = [tiny(seed=seed, weight_decay=decay) for seed, decay in ((0, 1.0), (1, 0.0), (2, 3.0))]
    together = events_of(*runs, runs_per_batch=runs_per_batch)
    for position, run in enumerate(runs):
        assert comparable(together, position) == comparable(events_of(run))


@pytest.mark.medium
def test_runs_that_share_every_call_agree_with_single_ones_to_rounding():
    """The path that a GPU takes, on the CPU."""
    runs = [
        tiny(seed=seed, weight_decay=decay, learning_rate=rate, betas=betas, precision="float64")
        for seed, decay, rate, betas in ((0, 1.0, 1e-3, (0.9, 0.98)), (1, 0.0, 1e-2, (0.8, 0.98)), (2, 3.0, 1e-3, (0.9, 0.9)))
    ]
    together = events_of(*runs, together=True, runs_per_batch="auto" if torch.cuda.is_available() else 3)
    for position, run in enumerate(runs):
        alone = events_of(run)
        for name, value in final_parameters(alone).items():
            np.testing.assert_allclose(final_parameters(together, position)[name], value, rtol=0, atol=1e-9)
        losses = [[row["train_loss"] for row in rows] for rows in (rows_of(alone), rows_of(together, position))]
        np.testing.assert_allclose(*losses, rtol=1e-9)


@pytest.mark.medium
def test_runs_of_different_shapes_are_trained_apart_and_all_of_them():
    events = events_of(tiny(), tiny(width=8), tiny(seed=1), runs_per_batch=8)
    assert sorted(event.run for event in events if isinstance(event, Ended)) == [0, 1, 2]


@pytest.mark.medium
@pytest.mark.parametrize("stop_at", [1, 13, 29])
def test_a_continued_run_has_the_same_history_bit_for_bit(stop_at):
    run = tiny(optimizer="adamw", outliers=0.1)
    whole = events_of(run)
    rows = []
    for event in engine.train([run]):
        if isinstance(event, Evaluated):
            rows.append(event.row)
        if isinstance(event, Advanced) and event.step == stop_at:
            state = event.state()
            break
    rest = events_of(run, pasts=[Past(state, list(rows))])
    assert rows + rows_of(rest) == rows_of(whole)
    assert comparable(rest)[1] == comparable(whole)[1]


def test_the_process_uses_one_thread():
    engine.prepare_process()
    assert torch.get_num_threads() == 1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_agrees_with_the_cpu_to_rounding():
    runs = [tiny(seed=seed, precision="float64") for seed in (0, 1)]
    on_gpu = events_of(*(run.replace(device="cuda") for run in runs))
    for position, run in enumerate(runs):
        for name, value in final_parameters(events_of(run.replace(device="cpu"))).items():
            np.testing.assert_allclose(final_parameters(on_gpu, position)[name], value, rtol=0, atol=1e-8)


def test_parameters_and_gradients_are_views_of_one_block():
    batch = Batch([tiny()], device="cpu")
    batch.gradients()
    flat = torch.cat([batch.gradient[name].flatten() for name in batch.layout.entries])
    assert torch.equal(flat, batch.gradient.flat[0])
    assert isinstance(batch.parameters, Parameters)
