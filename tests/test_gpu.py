"""What a GPU needs: plans made ahead, updates recorded and replayed, nothing that waits. Exercised on the CPU as far as that can be."""

import contextlib
from functools import partial

import numpy as np
import pytest
import torch
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from groklab import registry
from groklab.config.run import Run
from groklab.data.streams import batch_order
from groklab.registry import intervention
from groklab.training import capture, engine, memory, plans
from groklab.training.answering import Questions
from groklab.training.batches import Batch
from groklab.training.engine import Advanced, Checkpoint, Ended, Evaluated, Noted, Past
from groklab.training.moments import Moment

TINY = dict(operation="addition", modulus=7, width=16, heads=2, layers=1, train_fraction=0.6, stop="never")
INTERVENTIONS, OPTIMIZERS = registry.entries("intervention"), registry.entries("optimizer")
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def tiny(*interventions, **fields):
    return Run.of(**{**TINY, "interventions": interventions, **fields})


def three(*interventions, **fields):
    return [tiny(*interventions, seed=seed, **fields) for seed in range(3)]


def call(name):
    """An intervention that acts within a few updates."""
    return "grokfast_ma(window=3)" if name == "grokfast_ma" else name


def trained(runs, steps=12, **options):
    batch = Batch(runs, device="cpu", **options)
    for _ in range(steps):
        batch.update()
    return batch


def contents(batch):
    """Everything that training changes."""
    return [batch.state(r).arrays for r in range(len(batch.runs))]


def assert_same(ours, theirs):
    for mine, yours in zip(contents(ours), contents(theirs), strict=True):
        assert mine.keys() == yours.keys()
        for name in mine:
            assert mine[name].tobytes() == yours[name].tobytes(), name


def final(events, runs):
    return [[e.parameters for e in events if isinstance(e, Checkpoint) and e.run == run][-1] for run in range(runs)]


# — plans —


@pytest.mark.parametrize("fields", [{}, {"batch_size": "full"}, {"batch_size": 4}, {"batch_size": 1}])
def test_the_planned_order_is_that_of_the_stream(fields, monkeypatch):
    monkeypatch.setattr(plans, "UPDATES", 5)
    runs = three(**fields)
    batch = Batch(runs, device="cpu")
    for step in (*range(17), 1000, 1001, 3):
        batch.step = step
        expected = [batch_order(run.seeds.of("order"), 29, step * batch.size, batch.size) for run in runs]
        assert batch.chosen().tolist() == np.stack(expected).tolist()


def test_a_plan_is_shorter_where_many_examples_are_drawn_together(monkeypatch):
    monkeypatch.setattr(plans, "EXAMPLES", 100)
    short = trained(three(batch_size=10))
    assert short.plan.updates == 3
    monkeypatch.undo()
    usual = trained(three(batch_size=10))
    assert usual.plan.updates == plans.UPDATES
    assert_same(short, usual)


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize(
    "fields",
    [
        [dict(), dict()],
        [dict(learning_rate=1e-3), dict(learning_rate=3e-3)],
        [dict(warmup=3), dict(warmup=7)],
        [dict(schedule="cosine(horizon=20)"), dict(schedule="linear(horizon=9)", learning_rate=0.1)],
    ],
)
def test_planned_rates_are_those_of_single_updates(fields, precision):
    runs = [tiny(precision=precision, **own) for own in fields]
    batch = Batch(runs, device="cpu")
    rates = batch._numbers([run.resolved()["learning_rate"] for run in runs])
    for step in range(30):
        batch.step = step
        factors = []
        for run in runs:
            text = registry.parse_call(run.training.schedule)
            scheduled = registry.look_up("schedule", text.name).function(step + 1, **dict(text.settings))
            factors.append(min(1.0, (step + 1) / run.training.warmup) * scheduled)
        expected = rates * batch._numbers(factors)
        assert torch.equal(torch.as_tensor(batch.moment().rate), torch.as_tensor(expected))
        on_device, number = batch.plan.rate_and_step(step)
        assert torch.equal(on_device, torch.as_tensor(expected, dtype=batch.dtype).expand(2, 1))
        assert number == step + 1


# — recorded updates —


@pytest.mark.medium
@pytest.mark.parametrize(
    "fields",
    [
        *({"optimizer": name} for name in OPTIMIZERS),
        *({"interventions": (call(name),)} for name in INTERVENTIONS),
        *({"loss": name} for name in registry.entries("loss")),
        *({"architecture": name, "heads": 4} for name in registry.entries("architecture")),
        {"schedule": "cosine(horizon=10)", "positions": "learned"},
        {"layers": 2, "begin_token": True, "interventions": ("sam", "grokfast_ema", "orthograd")},
    ],
    ids=lambda fields: " ".join(map(str, fields.values())),
)
def test_a_replayed_update_is_the_plain_one(fields):
    """Bit for bit: a rate in a tensor multiplies like the number that was rounded into it, and powers are taken in float64."""
    runs = [tiny(**{"seed": seed, **fields}) for seed in range(3)]
    assert_same(trained(runs, capture=True), trained(runs))


@pytest.mark.medium
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_replayed_update_of_runs_that_differ_is_the_plain_one_to_rounding(optimizer):
    """Where betas differ they are (R, 1) tensors, whose power by a tensor is rounded otherwise than by a small whole number."""
    runs = [
        tiny(optimizer=optimizer, seed=seed, learning_rate=1e-3 * (seed + 1), weight_decay=0.1 * seed, betas=(0.9, 0.9 + 0.02 * seed))
        for seed in range(3)
    ]
    runs = [run.replace(precision="float64") for run in runs]
    ours, theirs = trained(runs, capture=True), trained(runs)
    torch.testing.assert_close(ours.parameters.flat, theirs.parameters.flat, rtol=0, atol=1e-9)


def recordings(monkeypatch):
    """Steps before which an update was recorded."""
    steps, really = [], capture.recorded

    def recorded(make, moment, device):
        steps.append(moment.step)
        return really(make, moment, device)

    monkeypatch.setattr(capture, "recorded", recorded)
    return steps


def test_an_update_is_recorded_again_when_other_interventions_are_at_work(monkeypatch):
    steps = recordings(monkeypatch)
    runs = three("grokfast_ema(start=6)", "weight_decay(start=3, stop=12)")
    ours = trained(runs, 20, capture=True)
    # After three updates call by call each time; from 3 to 5 and from 6 on others are at work.
    assert steps == [9, 15]
    assert_same(ours, trained(runs, 20))


def test_what_is_not_capturable_is_launched_call_by_call_while_it_is_at_work(monkeypatch):
    steps = recordings(monkeypatch)
    runs = three("weight_noise(start=6, stop=8)")
    ours = trained(runs, capture=True)
    assert steps == [4]
    assert_same(ours, trained(runs))


def test_a_memory_keeps_its_place_and_may_be_moved_within_it(own_registry):
    @intervention(at="gradient", capturable=True, memory=lambda value, settings: (value.clone(), torch.zeros_like(value)))
    def own_two_ago(gradient, memory):
        """Gradient plus that of two updates ago."""
        last, before = memory
        return gradient + before, (gradient, last)

    runs = three("own_two_ago")
    ours = Batch(runs, device="cpu", capture=True)
    ours.update()
    places = [part.data_ptr() for part in ours.interventions[0].memory]
    for _ in range(11):
        ours.update()
    assert [part.data_ptr() for part in ours.interventions[0].memory] == places
    assert_same(ours, trained(runs))


def test_what_asks_the_step_in_vain_shows_without_a_gpu(own_registry):
    @intervention(at="gradient", capturable=True)
    def own_misdeclared(gradient, *, moment):
        """Gradient that fades with the step."""
        return gradient / moment.step

    runs = three("own_misdeclared", optimizer="sgd")
    assert not torch.equal(trained(runs, capture=True).parameters.flat, trained(runs).parameters.flat)


def test_where_recording_fails_training_goes_on_and_says_so_once(monkeypatch):
    def recorded(make, moment, device):
        raise RuntimeError("operation not permitted when stream is capturing\nmore")

    runs = [run.replace(steps=12) for run in three()]
    plain = list(engine.train(runs, together=True, runs_per_batch=3))
    monkeypatch.setattr(engine, "Batch", partial(Batch, capture=True))
    monkeypatch.setattr(capture, "recorded", recorded)
    events = list(engine.train(runs, together=True, runs_per_batch=3))
    notes = [event for event in events if isinstance(event, Noted)]
    assert len(notes) == 1
    assert (notes[0].run, notes[0].step) == (0, 4)
    assert "(operation not permitted when stream is capturing); they are launched call by call" in notes[0].message
    for ours, theirs in zip(final(events, 3), final(plain, 3), strict=True):
        assert all(ours[name].tobytes() == theirs[name].tobytes() for name in theirs)


def test_only_what_says_so_is_recorded():
    assert {name for name, entry in OPTIMIZERS.items() if not entry.facts.get("capturable")} == set()
    eager = {name for name, entry in INTERVENTIONS.items() if not entry.facts.get("capturable")}
    assert eager == {"weight_noise", "update_noise", "gradient_noise", "residual_dropout", "random_decay", "grokfast_ma"}


@pytest.mark.medium
def test_a_recorded_batch_continues_bit_for_bit():
    runs = three("grokfast_ema")
    whole, first = trained(runs, 12, capture=True), trained(runs, 7, capture=True)
    assert_same(trained(runs, 5, states=[first.state(r) for r in range(3)], capture=True), whole)


# — nothing waits —

READ_BACK = (
    "item",
    "tolist",
    "__bool__",
    "__int__",
    "__float__",
    "__index__",
    "cpu",
    "numpy",
    "nonzero",
    "unique",
    "repeat_interleave",
    "new_tensor",
)


@contextlib.contextmanager
def nothing_read_back():
    """Whatever would make the host wait for a device, or build a tensor there from Python's numbers, is refused."""

    def refused(*arguments, **options):
        raise AssertionError("the host would wait for the device here")

    with pytest.MonkeyPatch.context() as patch:
        for name in READ_BACK:
            patch.setattr(torch.Tensor, name, refused)
        for name in ("tensor", "as_tensor", "unique", "nonzero"):
            patch.setattr(torch, name, refused)
        yield


def test_the_guard_of_the_next_tests_works():
    with nothing_read_back(), pytest.raises(AssertionError, match="would wait"):
        bool(torch.ones(1) > 0)


@pytest.mark.medium
@pytest.mark.parametrize("captured", [False, True])
@pytest.mark.parametrize(
    "fields",
    [
        *({"optimizer": name} for name in OPTIMIZERS),
        *({"interventions": (call(name),)} for name in INTERVENTIONS),
        *({"loss": name} for name in registry.entries("loss")),
        *({"architecture": name, "heads": 4} for name in registry.entries("architecture")),
    ],
    ids=lambda fields: " ".join(map(str, fields.values())),
)
def test_an_update_reads_nothing_back_to_the_host(fields, captured, monkeypatch):
    monkeypatch.setattr(plans, "UPDATES", 4)
    runs = [tiny(**{"seed": seed, "learning_rate": 1e-3 * (seed + 1), "warmup": seed, **fields}) for seed in range(3)]
    batch = trained(runs, 2, capture=captured)
    with nothing_read_back():
        for _ in range(8):
            batch.update()
    assert batch.step == 10
    assert batch.parameters.flat.isfinite().all()


@pytest.mark.medium
def test_an_update_of_one_run_on_a_device_reads_nothing_back_either():
    batch = trained([tiny()], 2, capture=True)
    with nothing_read_back():
        for _ in range(4):
            batch.update()
    torch.testing.assert_close(batch.parameters.flat, trained([tiny()], 6).parameters.flat)


class NothingCrosses(TorchDispatchMode):
    """Refuses calls that bring a tensor from the host to a device, or back."""

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        result = function(*arguments, **(options or {}))
        devices = {x.device.type for x in pytree.tree_leaves((arguments, options, result)) if isinstance(x, torch.Tensor)}
        if len(devices) > 1:
            raise AssertionError(f"{function} has tensors on {sorted(devices)}")
        return result


@pytest.mark.medium
@pytest.mark.parametrize(("count", "captured"), [(1, False), (3, True)])
@pytest.mark.parametrize(
    "fields",
    [
        *({"optimizer": name} for name in OPTIMIZERS),
        *({"interventions": (call(name),)} for name in INTERVENTIONS),
        *({"loss": name} for name in registry.entries("loss")),
        *({"architecture": name, "heads": 4} for name in registry.entries("architecture")),
        {"layers": 2, "attention": "frozen", "decay_parameters": ("blocks.*",), "begin_token": True},
    ],
    ids=lambda fields: " ".join(map(str, fields.values())),
)
def test_an_update_on_a_device_without_numbers_needs_none(fields, captured, count, monkeypatch):
    """On torch's meta device a number cannot be read back, by Python or below it, and a tensor from the host is seen."""
    monkeypatch.setattr(Moment, "generators", lambda moment, what: [None] * len(moment.seeds))  # there are none for this device
    runs = [tiny(**{"seed": seed, "learning_rate": 1e-3 * (seed + 1), **fields}) for seed in range(count)]
    batch = Batch(runs, device="meta", capture=captured)
    for _ in range(2):
        batch.update()
    with NothingCrosses():
        for _ in range(4):
            batch.update()
    assert batch.step == 6
    assert not (captured and batch.capture.message)


def test_the_guard_of_the_last_test_works():
    with NothingCrosses(), pytest.raises(AssertionError, match="has tensors on"):
        torch.ones(2).to("meta")


# — evaluation —


@pytest.mark.medium
@pytest.mark.parametrize(
    "fields",
    [
        [{}, {"seed": 1}, {"seed": 2, "outliers": 0.1}],
        [{"loss": "label_smoothing(amount=0.1)"}, {"loss": "label_smoothing(amount=0.3)"}],
        [{"operation": "addition", "batch_size": 5}, {"operation": "division", "batch_size": 5}],
        [{"loss": "stablemax"}, {"loss": "stablemax", "seed": 3}],
        [{"architecture": "mlp", "heads": 4}] * 2,
        [{}],
    ],
)
def test_runs_asked_together_answer_as_one_by_one(fields):
    runs = [tiny(**{**own, "precision": "float64"}) for own in fields]
    for options in ({}, {"capture": True}):
        batch = trained(runs, 5, **options)
        alone, together = batch.look(range(len(runs))), batch.look_together()
        assert alone.has_vanished == together.has_vanished
        assert alone.first_bad_step == together.first_bad_step
        for r in range(len(runs)):
            ours, theirs = together.answers[r], alone.answers[r]
            assert np.array_equal(ours.answer, theirs.answer)
            assert (ours.loss.dtype, ours.probability.dtype) == (np.float64, np.float64)
            np.testing.assert_allclose(ours.probability, theirs.probability, rtol=1e-11)
            np.testing.assert_allclose(ours.loss, theirs.loss, rtol=1e-11)


@pytest.mark.parametrize("count", [1, 3])
def test_an_evaluation_on_a_device_brings_nothing_to_the_host_before_its_end(count):
    batch = Batch([tiny(seed=seed) for seed in range(count)], device="meta")
    questions = Questions(batch.tables, batch.splits, "meta")
    with NothingCrosses():
        answer, probability, loss = questions.ask(batch.forward, batch.runs[0], batch.parameters, batch.loss, {})
    assert answer.shape == probability.shape == loss.shape == (count, 49)


def test_cells_of_unknown_answer_have_no_loss_when_asked_together(tmp_path):
    lines = [f"{x},{y},{(x + y) % 5 if (x, y) != (2, 3) else ''}" for x in range(5) for y in range(5) if (x, y) != (4, 4)]
    (tmp_path / "t.csv").write_text("x,y,z\n" + "\n".join(lines), encoding="utf-8")
    runs = [Run.of(file=str(tmp_path / "t.csv"), width=8, heads=2, layers=1, seed=seed) for seed in range(2)]
    batch = Batch(runs, device="cpu")
    for ours, theirs in zip(batch.look_together().answers.values(), batch.answers(), strict=True):
        np.testing.assert_allclose(ours.loss, theirs.loss, rtol=1e-6)
        assert np.isnan(ours.loss).sum() == np.isnan(theirs.loss).sum() > 0


# — memory —


def test_a_run_needs_more_memory_the_larger_it_is():
    small = memory.bytes_of_run(tiny())
    wider, longer = memory.bytes_of_run(tiny(width=32)), memory.bytes_of_run(tiny(batch_size="full"))
    assert small < longer < wider
    assert memory.bytes_of_run(tiny(precision="float64")) > 1.5 * small - 1e6
    size = Batch([tiny()], device="cpu").layout.size
    remembering = memory.bytes_of_run(tiny("grokfast_ma(window=100)"))
    assert remembering - small == 100 * size * 4
    assert small - memory.bytes_of_run(tiny(optimizer="sgd")) == size * 4


def test_the_paper_s_network_needs_tens_of_megabytes():
    assert 20e6 < memory.bytes_of_run(Run()) < 200e6


def test_as_many_runs_fit_as_the_safe_share_of_free_memory_holds():
    one = memory.bytes_of_run(tiny())
    for count in (1, 7, 300):
        assert memory.runs_that_fit(tiny(), int((count + 0.5) * one / memory.SAFE_SHARE)) == count
    assert memory.runs_that_fit(tiny(), 0) == 1


def test_on_a_gpu_auto_asks_the_memory_and_on_the_cpu_it_is_one_run(monkeypatch):
    runs = [tiny(seed=seed) for seed in range(7)]
    pasts = [Past() for _ in runs]
    assert [len(members) for members in engine._batches(runs, pasts, "auto")] == [1] * 7
    monkeypatch.setattr(engine, "device_of", lambda run: "cuda")
    monkeypatch.setattr(memory, "free_bytes", lambda device: int(3.5 * memory.bytes_of_run(runs[0]) / memory.SAFE_SHARE))
    assert [len(members) for members in engine._batches(runs, pasts, "auto")] == [3, 3, 1]
    assert [len(members) for members in engine._batches(runs, pasts, 5)] == [5, 2]


class OutOfMemory:
    """A method of `Batch` that finds no memory where more than ``holds`` runs come to a step."""

    def __init__(self, method, *, holds, at, is_late=False):
        self.really, self.holds, self.at, self.is_late, self.failures = getattr(Batch, method), holds, at, is_late, 0

    def __get__(self, batch, owner):
        def method(*arguments, **options):
            if len(batch.runs) > self.holds and batch.step >= self.at:
                self.failures += 1
                if self.is_late:
                    batch.is_whole = False
                raise torch.cuda.OutOfMemoryError("CUDA out of memory (pretended)")
            return self.really(batch, *arguments, **options)

        return method


@pytest.mark.medium
@pytest.mark.parametrize("method", ["update", "look", "gradients"])
@pytest.mark.parametrize("at", [0, 4])
def test_a_batch_that_does_not_fit_goes_on_in_halves(method, at, monkeypatch):
    runs = [tiny("grokfast_ema", seed=seed, steps=6 + seed, precision="float64") for seed in range(5)]
    plain = list(engine.train(runs, together=True, runs_per_batch=5))
    failing = OutOfMemory(method, holds=2, at=at)
    monkeypatch.setattr(Batch, method, failing)
    events = list(engine.train(runs, together=True, runs_per_batch=5))
    assert failing.failures == 2, "five, then three of them"
    notes = [event.message for event in events if isinstance(event, Noted)]
    assert [note.split(" runs")[0].split()[-1] for note in notes] == ["5", "3"]
    for run in range(5):
        ours, theirs = ([e for e in told if e.run == run and not isinstance(e, Noted)] for told in (events, plain))
        assert [(type(e), getattr(e, "step", None)) for e in ours] == [(type(e), getattr(e, "step", None)) for e in theirs]
        rows = [[e.row for e in told if isinstance(e, Evaluated)] for told in (ours, theirs)]
        for mine, yours in zip(*rows, strict=True):
            assert mine == pytest.approx(yours, rel=1e-9)
    for ours, theirs in zip(final(events, 5), final(plain, 5), strict=True):
        for name in theirs:
            np.testing.assert_allclose(ours[name], theirs[name], rtol=0, atol=1e-12)


def test_the_state_of_a_run_that_waits_for_its_half_can_be_stored(monkeypatch):
    runs = [tiny(seed=seed, steps=6) for seed in range(2)]
    monkeypatch.setattr(Batch, "update", OutOfMemory("update", holds=1, at=3))
    events, newest = engine.train(runs, together=True, runs_per_batch=2), {}
    for event in events:
        if isinstance(event, Advanced):
            newest[event.run] = event
        if isinstance(event, Ended):
            break
    assert (newest[0].step, newest[1].step) == (6, 3)
    assert newest[1].state().step == 3


def test_an_update_broken_off_halfway_is_not_continued(monkeypatch):
    runs = [tiny(seed=seed, steps=6) for seed in range(2)]
    monkeypatch.setattr(Batch, "update", OutOfMemory("update", holds=1, at=3, is_late=True))
    with pytest.raises(torch.cuda.OutOfMemoryError):
        list(engine.train(runs, together=True, runs_per_batch=2))
    monkeypatch.undo()
    monkeypatch.setattr(Batch, "update", OutOfMemory("update", holds=1, at=0, is_late=True))
    events = list(engine.train(runs, together=True, runs_per_batch=2))  # nothing was made yet: it begins again
    assert sum(isinstance(event, Ended) for event in events) == 2


def test_one_run_that_does_not_fit_says_so(monkeypatch):
    monkeypatch.setattr(Batch, "update", OutOfMemory("update", holds=0, at=0))
    with pytest.raises(torch.cuda.OutOfMemoryError):
        list(engine.train([tiny(steps=6)]))


# — with a GPU —


@needs_cuda
@pytest.mark.parametrize("fields", [{}, {"optimizer": "muon"}, {"interventions": ("weight_noise", "residual_dropout", "random_decay")}])
@pytest.mark.parametrize("captured", [False, True])
def test_an_update_on_cuda_does_not_synchronize(fields, captured):
    batch = Batch([tiny(**{"seed": seed, **fields}) for seed in range(3)], device="cuda", capture=captured)
    for _ in range(6):
        batch.update()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(plans.UPDATES + 2):
            batch.update()
    finally:
        torch.cuda.set_sync_debug_mode("default")


@needs_cuda
@pytest.mark.parametrize("name", [*OPTIMIZERS, *(name for name, entry in INTERVENTIONS.items() if entry.facts.get("capturable"))])
def test_a_graph_on_cuda_gives_what_single_launches_give(name):
    fields = {"optimizer": name} if name in OPTIMIZERS else {"interventions": (name,)}
    runs = [tiny(**{"seed": seed, "precision": "float64", **fields}) for seed in range(3)]
    batches = [Batch(runs, device="cuda", capture=captured) for captured in (False, True)]
    for batch in batches:
        for _ in range(12):
            batch.update()
    assert not batches[1].capture.message
    torch.testing.assert_close(batches[0].parameters.flat, batches[1].parameters.flat, rtol=0, atol=1e-8)


@needs_cuda
def test_training_on_cuda_agrees_with_the_cpu():
    runs = [tiny(seed=seed, precision="float64", steps=30) for seed in range(4)]
    on_gpu = list(engine.train([run.replace(device="cuda") for run in runs]))
    on_cpu = list(engine.train([run.replace(device="cpu") for run in runs]))
    assert not [event for event in on_gpu if isinstance(event, Noted)]
    for ours, theirs in zip(final(on_gpu, 4), final(on_cpu, 4), strict=True):
        for name in theirs:
            np.testing.assert_allclose(ours[name], theirs[name], rtol=0, atol=1e-8)


@needs_cuda
def test_the_estimate_of_memory_is_not_below_what_is_used():
    runs = [Run.of(seed=seed, steps=10, device="cuda") for seed in range(16)]
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    list(engine.train(runs))
    assert torch.cuda.max_memory_reserved() < 16 * memory.bytes_of_run(runs[0]) / memory.SAFE_SHARE + 512e6
