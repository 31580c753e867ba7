"""Every intervention, optimizer and loss: the same in a batch as alone, exact when continued, nothing at strength zero, and true."""

import inspect
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from groklab import registry
from groklab.config.checks import RunError
from groklab.config.experiments import settings_of
from groklab.config.run import Run
from groklab.laboratory import runs as laboratory
from groklab.model.losses import cross_entropy
from groklab.training import engine
from groklab.training.batches import Batch
from groklab.training.engine import Advanced, Past
from groklab.training.plans import Plan

TINY = dict(operation="addition", modulus=7, width=16, heads=2, layers=1, train_fraction=0.6, precision="float64", warmup=0)
INTERVENTIONS = registry.entries("intervention")
REQUIRED = {"horizon": 100}
"""Values for settings without a default."""


def tiny(*interventions, **fields):
    return Run.of(**{**TINY, "interventions": interventions, **fields})


def after(run, steps=12, states=None):
    batch = Batch([run], device="cpu", states=states)
    for _ in range(steps):
        batch.update()
    return batch


def written(kind, name, **settings):
    entry = registry.entries(kind)[name]
    required = {key: REQUIRED[key] for key, default in entry.settings.items() if default is inspect.Parameter.empty}
    return str(registry.Call(name, (), tuple(sorted((required | settings).items()))))


# — conformance —


@pytest.mark.medium
@pytest.mark.parametrize("name", INTERVENTIONS)
def test_an_intervention_changes_training_and_keeps_it_finite(name):
    changed, plain = after(tiny(name)), after(tiny())
    assert changed.parameters.flat.isfinite().all()
    if name == "grokfast_ma":  # it waits for a hundred gradients
        changed = after(tiny("grokfast_ma(window=3)"))
    assert not torch.equal(changed.parameters.flat, plain.parameters.flat)


@pytest.mark.medium
@pytest.mark.parametrize("name", [name for name, entry in INTERVENTIONS.items() if "identity" in entry.facts])
def test_strength_zero_is_the_identity(name):
    call = written("intervention", name, **INTERVENTIONS[name].facts["identity"])
    torch.testing.assert_close(after(tiny(call)).parameters.flat, after(tiny()).parameters.flat, rtol=0, atol=1e-12)


def test_those_without_a_zero_are_known():
    assert {name for name, entry in INTERVENTIONS.items() if "identity" not in entry.facts} == {
        "gradient_clipping",
        "norm_clamp",
        "orthograd",
    }
    torch.testing.assert_close(
        after(tiny("gradient_clipping(norm=1e9)")).parameters.flat, after(tiny()).parameters.flat, rtol=0, atol=1e-12
    )


def variants(kind, name):
    """Two calls with different decimal settings, so that a batch of runs has to keep them apart."""
    defaults = registry.entries(kind)[name].settings
    decimal = next((key for key, value in defaults.items() if isinstance(value, float) and key not in ("eps", "other_learning_rate")), None)
    return [written(kind, name), written(kind, name, **({decimal: defaults[decimal] * 0.5} if decimal else {}))]


OFFICIAL = {
    "residual_dropout, official": "residual_dropout(rate={}, after='mlp')",
    "update_noise, official": "update_noise(std={}, bias_correction=True)",
    "random_decay, official": "random_decay(strength={}, before_step=True)",
}
"""Settings at which they are as in the official implementation of Power et al. 2022."""

CASES = [
    (kind, field, name)
    for kind, field in (("intervention", "interventions"), ("optimizer", "optimizer"), ("loss", "loss"))
    for name in registry.entries(kind)
]
WITH_OFFICIAL = [*CASES, *(("intervention", "interventions", name) for name in OFFICIAL)]


def runs_of(kind, field, name):
    calls = [OFFICIAL[name].format(number) for number in (0.5, 0.25)] if name in OFFICIAL else variants(kind, name)
    options = [{field: (call,) if kind == "intervention" else call} for call in calls]
    return [Run.of(**{**TINY, "seed": seed, "learning_rate": 0.001 * (seed + 1), **option}) for seed, option in enumerate(options)]


@pytest.mark.medium
@pytest.mark.parametrize(("kind", "field", "name"), WITH_OFFICIAL)
def test_a_batch_of_runs_with_different_settings_is_each_of_them_alone(kind, field, name):
    runs = runs_of(kind, field, name)
    together = Batch(runs, device="cpu")
    alone = [Batch([run], device="cpu") for run in runs]
    for _ in range(6):
        together.update()
        for batch in alone:
            batch.update()
    expected = torch.cat([batch.parameters.flat for batch in alone])
    # Newton-Schulz amplifies rounding where singular values nearly agree; everything else is elementwise.
    torch.testing.assert_close(together.parameters.flat, expected, rtol=0, atol=1e-7 if name in ("muon", "lion") else 1e-10)
    answers = zip(together.answers(), [batch.answers()[0] for batch in alone], strict=True)
    for ours, theirs in answers:
        np.testing.assert_allclose(ours.loss, theirs.loss, rtol=0, atol=1e-6)


@pytest.mark.medium
@pytest.mark.parametrize(("kind", "field", "name"), WITH_OFFICIAL)
def test_continuing_is_exact(kind, field, name):
    run = runs_of(kind, field, name)[0].replace(precision="float32", steps=15, stop="never")
    whole = [event for event in engine.train([run]) if isinstance(event, Advanced)]
    for event in engine.train([run]):
        if isinstance(event, Advanced) and event.step == 7:
            state = event.state()
            break
    rest = [event for event in engine.train([run], pasts=[Past(state, [])]) if isinstance(event, Advanced)]
    ours, theirs = rest[-1].state(), whole[-1].state()
    assert ours.step == theirs.step == 15
    assert ours.arrays.keys() == theirs.arrays.keys()
    for key, value in theirs.arrays.items():
        assert ours.arrays[key].tobytes() == value.tobytes(), key


@pytest.mark.medium
@pytest.mark.parametrize("name", INTERVENTIONS)
def test_an_intervention_acts_from_start_until_stop(name):
    call = written("intervention", name, start=4, stop=6, **({"window": 1} if name == "grokfast_ma" else {}))
    # One path for both: dropout has no other.
    plain, switched = (Batch([run.replace(path="batched")], device="cpu") for run in (tiny(), tiny(call)))
    equal = []
    for _ in range(6):
        plain.update()
        switched.update()
        equal.append(torch.equal(plain.parameters.flat, switched.parameters.flat))
    assert equal[:3] == [True] * 3
    assert not equal[5]


@pytest.mark.parametrize("name", INTERVENTIONS)
def test_settings_are_checked(name):
    bad = {key: -1.0 for key, value in INTERVENTIONS[name].settings.items() if isinstance(value, float)} | {"start": -1}
    problems = [str(problem) for problem in tiny(written("intervention", name, **bad), "bla(x=1)").problems()]
    assert any("unknown intervention 'bla'" in problem for problem in problems)
    for key in bad:
        assert any(f"{key}: got -1" in problem for problem in problems), (key, problems)


@pytest.mark.parametrize(
    ("kind", "field", "name"), [*CASES, *(("architecture", "architecture", name) for name in registry.entries("architecture"))]
)
def test_unknown_settings_and_settings_out_of_range_are_refused(kind, field, name):
    entry = registry.entries(kind)[name]
    decimals = [key for key, value in entry.settings.items() if isinstance(value, float)]
    for bad in [{"nonsense": 1}, *({key: float("-3")} for key in decimals), *({key: "many"} for key in decimals)]:
        call = written(kind, name, **bad)
        problems = Run.of(**{field: (call,) if kind == "intervention" else call}).problems()
        assert len(problems) == 1, (call, problems)
        assert problems[0].field == field
        assert next(iter(bad)) in str(problems[0])


def test_combinations_that_make_no_sense_are_refused_together():
    run = Run.of(
        architecture="mlp(inputs='one_hot')",
        layers=1,
        interventions=("residual_dropout", "sam(rho=0.1)", "sam", "weight_noise(sdt=1)", "orthograd(start=5, stop=5)"),
        optimizer="muon(momentum=2)",
        loss="label_smoothing(amount=1)",
        schedule="cosine",
    )
    told = "\n".join(map(str, run.problems()))
    assert "stop: got 1; expected a step after start=1" in str(*tiny("sam(stop=1)").problems())
    assert "power: got 1000; expected a number in [0, 10]" in str(*tiny("gradient_noise(power=1000)").problems())
    for part in (
        "no residual stream",
        "'sam'; expected each intervention once",
        "unknown setting 'sdt'. Did you mean 'std'",
        "stop: got 5; expected a step after start=5",
        "momentum: got 2; expected a number in [0, 1)",
        "amount: got 1; expected a number in [0, 1)",
        "setting 'horizon' must be given",
    ):
        assert part in told, part


def test_what_only_the_network_s_layout_tells_is_told_with_the_rest(tmp_path):
    with pytest.raises(RunError) as caught:
        laboratory.train(tiny("weight_noise(std=-1)", decay_parameters=("bloks.*",)), runs=tmp_path / "runs")
    assert {problem.field for problem in caught.value.problems} == {"interventions", "decay_parameters"}
    assert not (tmp_path / "runs").exists()


def test_muon_needs_hidden_matrices():
    run = Run.of(architecture="mlp(inputs='one_hot')", layers=1, optimizer="muon", batch_size="full", modulus=7, operation="addition")
    hidden = [str(problem) for problem in engine.run_problems(run)]
    assert len(hidden) == 1
    assert "hidden matrices" in hidden[0]


def test_a_pattern_of_parameters_that_matches_none_is_refused():
    problems = [str(problem) for problem in engine.run_problems(tiny("weight_decay(parameters='bloks.*')"))]
    assert len(problems) == 1
    assert "parameters: got 'bloks.*'" in problems[0]


# — independent truths —


def step_of(run):
    """A batch before and after one update, with the gradient of that update."""
    batch = Batch([run], device="cpu")
    before = batch.parameters.clone()
    batch.update()
    return before, batch.gradient.clone(), batch.parameters


SGD = dict(optimizer="sgd", learning_rate=0.5, weight_decay=0.0)


def test_grokfast_ema_by_hand():
    ours = Batch([tiny("grokfast_ema(alpha=0.9, strength=3.0)", **SGD)], device="cpu")
    weights, slow = ours.parameters.flat.clone(), None
    for _ in range(5):
        ours.update()
        gradient = ours.gradient.flat
        slow = gradient.clone() if slow is None else 0.9 * slow + 0.1 * gradient
        weights = weights - 0.5 * (gradient + 3.0 * slow)
        torch.testing.assert_close(ours.parameters.flat, weights, rtol=0, atol=1e-12)


def test_grokfast_ma_by_hand():
    ours = Batch([tiny("grokfast_ma(window=3, strength=5.0)", **SGD)], device="cpu")
    weights, seen = ours.parameters.flat.clone(), []
    for _ in range(7):
        ours.update()
        seen.append(ours.gradient.flat.clone())
        slow = sum(seen[-3:]) / 3 if len(seen) >= 3 else 0
        weights = weights - 0.5 * (seen[-1] + 5.0 * slow)
        torch.testing.assert_close(ours.parameters.flat, weights, rtol=0, atol=1e-12)


def test_orthograd_is_orthogonal_to_the_weights_and_keeps_the_norm():
    before, gradient, now = step_of(tiny("orthograd", **SGD))
    moved = (before.flat - now.flat) / 0.5
    for name, g in gradient.items():
        start, end = before.layout.places[name]
        direction, weights = moved[0, start:end], before[name].flatten()
        assert abs(direction @ weights) < 1e-9 * direction.norm() * weights.norm() + 1e-12
        if weights.abs().max() > 0:
            assert direction.norm().item() == pytest.approx(g.norm().item(), rel=1e-6)


def test_decay_towards_the_initial_weights_has_them_as_its_fixed_point():
    batch = Batch([tiny("decay_towards_initial(strength=1.0)", optimizer="sgd", learning_rate=0.1, weight_decay=0.0)], device="cpu")
    batch.gradients = lambda moment=None, weights=None: (torch.zeros(1, dtype=torch.float64), torch.zeros_like(batch.parameters.flat))
    batch.update()
    assert torch.equal(batch.parameters.flat, batch.initial.flat)
    batch.parameters.flat.add_(1.0)
    for _ in range(3):
        batch.update()
    torch.testing.assert_close(batch.parameters.flat - batch.initial.flat, torch.full_like(batch.initial.flat, 0.9**3))


def test_weight_decay_as_an_intervention_is_that_of_adamw():
    by_field = after(tiny(weight_decay=0.7, decay_parameters=("blocks.*",)))
    by_call = after(tiny("weight_decay(strength=0.7, parameters='blocks.*')", weight_decay=0.0))
    torch.testing.assert_close(by_field.parameters.flat, by_call.parameters.flat, rtol=0, atol=1e-12)


def test_random_decay_multiplies_every_tensor_by_one_number():
    before, _, now = step_of(
        tiny("random_decay(strength=2.0)", optimizer="sgd", learning_rate=1e-12 + 0.1, weight_decay=0.0, loss="squared_error")
    )
    plain = step_of(tiny(optimizer="sgd", learning_rate=1e-12 + 0.1, weight_decay=0.0, loss="squared_error"))[2]
    factors = {name: (now[name] / plain[name]).flatten() for name in before if plain[name].abs().min() > 0}
    for ratio in factors.values():
        torch.testing.assert_close(ratio, ratio[:1].expand_as(ratio))
    assert len({round(ratio[0].item(), 9) for ratio in factors.values()}) == len(factors)


def test_noise_has_the_stated_size_and_is_a_function_of_seed_and_step():
    gradients = [step_of(tiny(f"gradient_noise(std={std})", **SGD)) for std in (0.0, 0.3)]
    noise = (gradients[0][2].flat - gradients[1][2].flat) / 0.5
    assert noise.std().item() == pytest.approx(0.3, rel=0.05)
    updates = [step_of(tiny(f"update_noise(std={std})", **SGD))[2].flat for std in (0.0, 1.0)]
    assert (updates[1] - updates[0]).std().item() == pytest.approx(0.5, rel=0.05)
    batch = Batch([tiny(noise_seed=5)], device="cpu")
    moment = batch.moment()
    assert torch.equal(moment.normal(), moment.normal())
    batch.update()
    assert not torch.equal(batch.moment().normal(), moment.normal())


def test_weight_noise_is_seen_by_the_forward_pass_alone():
    before, gradient, now = step_of(tiny("weight_noise(std=0.1)", **SGD))
    clean = step_of(tiny(**SGD))[1]
    assert not torch.allclose(gradient.flat, clean.flat)
    torch.testing.assert_close(now.flat, before.flat - 0.5 * gradient.flat)


def test_gradient_clipping_equals_that_of_torch():
    before, gradient, now = step_of(tiny("gradient_clipping(norm=0.01)", **SGD))
    parameter = torch.zeros_like(gradient.flat[0], requires_grad=True)
    parameter.grad = gradient.flat[0].clone()
    torch.nn.utils.clip_grad_norm_([parameter], 0.01)
    torch.testing.assert_close((before.flat - now.flat)[0] / 0.5, parameter.grad, rtol=0, atol=1e-12)


def test_sam_takes_the_gradient_where_the_loss_is_higher():
    batch = Batch([tiny("sam(rho=0.1)", **SGD)], device="cpu")
    before = batch.parameters.clone()
    _, gradient = batch.gradients()
    expected = batch.gradients(weights=before.flat + 0.1 * gradient / gradient.norm())[1]
    batch.update()
    torch.testing.assert_close(batch.parameters.flat, before.flat - 0.5 * expected, rtol=0, atol=1e-10)


def test_norm_clamp_keeps_the_initial_norm():
    batch = after(tiny("norm_clamp(scale=0.5)", learning_rate=0.01))
    assert batch.parameters.flat.norm().item() == pytest.approx(0.5 * batch.initial.flat.norm().item())


def test_norm_clamp_and_weights_that_stay_as_they_began_are_refused_together():
    assert "norm_clamp" in str(*tiny("norm_clamp(scale=0.5)", attention="frozen").problems())
    assert not tiny("norm_clamp(scale=0.5)").problems()


def test_dropout_drops_the_stated_share_and_keeps_the_mean():
    moment = Batch([tiny()], device="cpu").moment()
    function = INTERVENTIONS["residual_dropout"].function
    kept = function(torch.ones(1, 200, 300, dtype=torch.float64), name="here", moment=moment, rate=0.25)
    assert (kept == 0).double().mean().item() == pytest.approx(0.25, abs=0.01)
    assert kept.max().item() == pytest.approx(1 / 0.75)


def test_stablemax_by_hand():
    function = registry.entries("loss")["stablemax"].function
    z = torch.tensor([[2.0, -1.0, 0.0]])
    s = [3.0, 0.5, 1.0]
    for answer in range(3):
        assert function(z, torch.tensor([answer])).item() == pytest.approx(-np.log(s[answer] / sum(s)))
    logits = torch.tensor([[0.0, 1.0, -1.0]], dtype=torch.float64, requires_grad=True)
    function(logits, torch.tensor([0])).sum().backward()
    slopes = torch.tensor([1.0, 0.5, 0.5], dtype=torch.float64)  # of log s(z), at 0 too
    s = torch.tensor([1.0, 2.0, 0.5], dtype=torch.float64)
    torch.testing.assert_close(logits.grad[0], slopes * (s / s.sum() - torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64)))
    extreme = torch.tensor([[1e6, -1e6]], requires_grad=True)
    function(extreme, torch.tensor([1])).sum().backward()
    assert extreme.grad.isfinite().all()


@pytest.mark.parametrize("amount", [0.0, 0.3])
def test_label_smoothing_and_squared_error_equal_those_of_torch(amount):
    logits, answers = torch.randn(6, 9, dtype=torch.float64), torch.randint(9, (6,))
    smoothed = registry.entries("loss")["label_smoothing"].function(logits, answers, amount=amount)
    theirs = torch.nn.functional.cross_entropy(logits, answers, label_smoothing=amount, reduction="none")
    torch.testing.assert_close(smoothed, theirs)
    squared = registry.entries("loss")["squared_error"].function(logits, answers).mean()
    one_hot = torch.nn.functional.one_hot(answers, 9).double()
    torch.testing.assert_close(squared, torch.nn.functional.mse_loss(logits, one_hot))
    if amount == 0:
        torch.testing.assert_close(smoothed, cross_entropy(logits, answers))


def test_cosine_and_linear_schedules_by_hand():
    cosine, linear = (registry.entries("schedule")[name].function for name in ("cosine", "linear"))
    assert [cosine(k, horizon=100) for k in (0, 50, 100, 200)] == pytest.approx([1, 0.5, 0, 0])
    assert [linear(k, horizon=100, floor=0.2) for k in (0, 50, 100, 200)] == pytest.approx([1, 0.6, 0.2, 0.2])


@pytest.mark.parametrize("attention", ["frozen", "uniform"])
def test_frozen_attention_stays_as_it_began_and_uniform_attention_has_no_queries(attention):
    batch = after(tiny("update_noise", attention=attention))
    names = [name for name in batch.layout.entries if "query" in name or "key" in name]
    assert len(names) == (2 if attention == "frozen" else 0)
    for name in names:
        assert torch.equal(batch.parameters[name], batch.initial[name])
        assert not batch.gradient[name].any(), "what is frozen has no share in a clipped or a sharpness-aware gradient"
    assert not torch.equal(batch.parameters["output"], batch.initial["output"])


# — as the paper prints it, and as the official implementation of Power et al. 2022 has it —


def test_dropout_after_the_mlp_alone_leaves_attention_as_it_is():
    seen = {}
    for after in ("both", "attention", "mlp"):
        batch = Batch([tiny(f"residual_dropout(rate=0.5, after={after!r})", path="batched", layers=2)], device="cpu")
        see, dropped = batch._see(batch.moment()), set()
        for block in range(2):
            for name in (f"blocks.{block}.hook_attn_out", f"blocks.{block}.hook_mlp_out"):
                given = torch.ones(1, 6, 4, 16, dtype=torch.float64)
                if not torch.equal(see(name, given), given):
                    dropped.add(name.rpartition("hook_")[2])
        seen[after] = dropped
    assert seen == {"both": {"attn_out", "mlp_out"}, "attention": {"attn_out"}, "mlp": {"mlp_out"}}


def test_dropout_everywhere_is_the_run_that_it_was():
    plain, spelled = tiny("residual_dropout(rate=0.2)"), tiny("residual_dropout(rate=0.2, after='both')")
    assert plain.id == spelled.id != tiny("residual_dropout(rate=0.2, after='mlp')").id
    assert torch.equal(after(plain).parameters.flat, after(spelled).parameters.flat)


def test_settings_of_the_official_implementation_at_their_defaults_leave_ids_as_they_were():
    pairs = {
        "update_noise": "update_noise(bias_correction=False)",
        "random_decay(strength=0.5)": "random_decay(strength=0.5, before_step=False)",
    }
    for plain, spelled in pairs.items():
        assert tiny(plain).id == tiny(spelled).id
    assert Run.of(schedule="cosine(horizon=9)").id == Run.of(schedule="cosine(horizon=9, after_warmup=False, floor=0)").id


def test_corrected_update_noise_is_that_of_the_official_optimizer():
    """W ← W − rate / (1 − β₁ᵗ) · (m / denominator − noise): the noise joins the moment before it is corrected."""
    run, betas = tiny("update_noise(std=0.3, bias_correction=True)", optimizer="adam", betas=(0.8, 0.95), learning_rate=0.01), (0.8, 0.95)
    batch, first, second = Batch([run], device="cpu"), 0.0, 0.0
    weights = batch.parameters.flat.clone()
    for t in range(1, 6):
        noise = replace(batch.moment(), name="update_noise").normal()
        _, gradient = batch.gradients()
        first = betas[0] * first + (1 - betas[0]) * gradient
        second = betas[1] * second + (1 - betas[1]) * gradient**2
        moved = first / ((second / (1 - betas[1] ** t)).sqrt() + 1e-8) - 0.3 * noise
        weights = weights - 0.01 / (1 - betas[0] ** t) * moved
        batch.update()
        torch.testing.assert_close(batch.parameters.flat, weights, rtol=0, atol=1e-12)


def test_corrected_update_noise_of_runs_with_different_betas_is_each_run_s_own():
    runs = [tiny("update_noise(std=0.3, bias_correction=True)", betas=betas, seed=3) for betas in ((0.5, 0.98), (0.9, 0.98))]
    together = Batch(runs, device="cpu")
    together.update()
    for r, run in enumerate(runs):
        torch.testing.assert_close(together.parameters.flat[r], after(run, 1).parameters.flat[0], rtol=0, atol=1e-12)


def test_corrected_update_noise_needs_an_optimizer_that_corrects_its_first_moment():
    for optimizer in ("sgd", "lion", "muon"):
        told = str(*tiny("update_noise(bias_correction=True)", optimizer=optimizer).problems())
        assert f"got True with the optimizer {optimizer!r}; expected adam or adamw" in told
    assert not tiny("update_noise(bias_correction=True)", optimizer="adam(eps=1e-10)").problems()


def test_random_decay_before_the_step_does_not_scale_the_step():
    before, gradient, now = step_of(tiny("random_decay(strength=0.7, before_step=True)", **SGD))
    moment = replace(Batch([tiny(**SGD)], device="cpu").moment(), name="random_decay")
    factors = (0.5 * 0.7 * moment.normal((len(before.layout.entries),))).exp()[0]
    for factor, (name, view) in zip(factors, before.items(), strict=True):
        torch.testing.assert_close(now[name], factor * view - 0.5 * gradient[name], rtol=0, atol=1e-12)


@pytest.mark.parametrize(("warmup", "from_zero"), [(10, True), (10, False), (0, False), (3, True)])
def test_a_schedule_after_the_warm_up_begins_at_the_first_update_at_the_full_rate(warmup, from_zero):
    def official(k):
        step = k - 1 if from_zero else k
        if step <= warmup and warmup:
            return step / warmup
        return 0.1 + 0.9 * (1 + math.cos(math.pi * min((step - warmup) / 50, 1))) / 2

    run = tiny(schedule="cosine(horizon=50, floor=0.1, after_warmup=True)", warmup=warmup, warmup_from_zero=from_zero, learning_rate=2.0)
    plan = Plan([run], [10], 5, device="cpu", dtype=torch.float64)
    assert [plan.rate(k - 1) for k in range(1, 90)] == pytest.approx([2.0 * official(k) for k in range(1, 90)])
    line = registry.entries("schedule")["linear"].function
    assert [line(k, horizon=10, after_warmup=True, full_at=5) for k in (1, 5, 10, 15, 20)] == pytest.approx([1, 1, 0.5, 0, 0])


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"interventions": ("residual_dropout(after='ffn')",)}, "after: got 'ffn'; expected 'both', 'attention' or 'mlp'"),
        ({"interventions": ("update_noise(bias_correction=1)",)}, "bias_correction: got 1; expected True or False"),
        ({"interventions": ("random_decay(before_step='yes')",)}, "before_step: got 'yes'; expected True or False"),
        ({"schedule": "cosine(horizon=5, after_warmup=1)"}, "after_warmup: got 1; expected True or False"),
        ({"schedule": "cosine(horizon=5, full_at=3)"}, "unknown setting 'full_at'"),
    ],
)
def test_settings_of_the_official_implementation_are_checked(fields, told):
    assert told in str(*Run.of(**TINY, **fields).problems())


def test_the_figure_of_the_paper_has_the_official_dropout():
    for scale in ("laptop", "paper"):
        runs = settings_of("figure2_left", scale)["Adam, dropout 0.1"]
        assert {run.training.interventions for run in runs} == {("residual_dropout(rate=0.1, after='mlp')",)}


def test_a_setting_that_no_number_of_torch_holds_is_named() -> None:
    for text in (f"grokfast_ema(strength={'9' * 40})", f"weight_noise(std={'9' * 19})", f"grokfast_ma(strength={'9' * 400})"):
        (problem,) = registry.call_problems("intervention", text)
        assert "expected a number of at most 1e+18" in str(problem)
