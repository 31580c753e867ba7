"""Changes to training, each attached at one point of an update:

    forward      the weights as the forward pass sees them (R, P)
    activations  the outputs of the sublayers before they join the residual stream, by name
    gradient     the gradient before the optimizer sees it (R, P)
    update       the direction before it is taken, W ← W + rate · direction (R, P)
    weights      the weights after the update (R, P)

An intervention is ``(value, *, settings) -> value`` or, with a memory, ``(value, memory, *, settings) -> (value, memory)``, where
the memory starts as a copy of the first value, or as its ``memory=`` fact says. One that has a keyword ``moment`` is given the
`Moment`. Settings are numbers, or (R, 1) tensors where the runs of a batch differ. Every intervention also takes ``start=`` and
``stop=``: it acts on the updates k, counted from 1, with start ≤ k < stop. ``identity=`` names the settings at which it does nothing.
``capturable=True`` says that one recording of its calls serves every step (a CUDA graph): it draws no random numbers, asks neither
``moment.step`` nor ``moment.age`` (but ``moment.power(base)``), and reads no number back to the host.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from groklab import registry
from groklab.config.run import Run
from groklab.model.parameters import Layout
from groklab.model.torch_later import Tensor, torch
from groklab.registry import intervention
from groklab.text.values import shown
from groklab.training.moments import Moment, Number
from groklab.training.optimizers import number_problem

Check = Callable[..., list[str]]


def _within(**ranges: tuple[Any, ...]) -> Check:
    """A check that settings are numbers of given ranges: [low, high), or with "()", "[]" or "(]" otherwise."""

    def check(settings: Mapping[str, Any], **context: Any) -> list[str]:
        problems: list[str] = []
        for name, (low, high, *ends) in ranges.items():
            low_end, high_end = str(ends[0]) if ends else "[)"
            problems += number_problem(
                name, settings[name], float(low), float(high), low_included=low_end == "[", high_included=high_end == "]"
            )
        return problems

    return check


_INFINITY = float("inf")


# — the paper's —


@intervention(at="forward", identity={"std": 0.0}, source="Power et al. 2022", check=_within(std=(0, _INFINITY)))
def weight_noise(weights: Tensor, *, moment: Moment, std: Number = 0.01) -> Tensor:
    """Gaussian noise on the weights in the forward pass; its gradient moves the clean weights (Power et al. 2022)."""
    return weights + std * moment.normal()


def _update_noise_problems(settings: Mapping[str, Any], *, run: Run | None = None, **context: Any) -> list[str]:
    problems = _within(std=(0, _INFINITY))(settings)
    corrected = settings["bias_correction"]
    if not isinstance(corrected, bool):
        problems.append(f"bias_correction: got {shown(corrected)}; expected True or False.")
    elif corrected and run is not None and not _corrects_its_first_moment(run.training.optimizer):
        problems.append(
            f"bias_correction: got True with the optimizer {shown(run.training.optimizer)}; expected adam or adamw, whose first moment is corrected."
        )
    return problems


def _corrects_its_first_moment(optimizer: str) -> bool:
    """Whether every direction of an optimizer is divided by 1 − β₁ᵗ; of one that nobody knows its own check says more."""
    try:
        return bool(registry.look_up("optimizer", registry.parse_call(optimizer).name).facts.get("corrects_first_moment"))
    except ValueError:
        return True


@intervention(at="update", identity={"std": 0.0}, source="Power et al. 2022", check=_update_noise_problems)
def update_noise(direction: Tensor, *, moment: Moment, std: Number = 1.0, bias_correction: bool = False) -> Tensor:
    """Gaussian noise on the direction of every update, W ← W + rate · (ΔW + ε) (Power et al. 2022).

    ``bias_correction=True`` divides the noise of update t by 1 − β₁ᵗ, as the official implementation does: there the noise joins Adam's first
    moment before that is corrected, so that it is ten times as large at the first update and the same from about the fiftieth on.
    """
    noise = std * moment.normal()
    return direction + (noise / (1 - moment.power(moment.betas[0])) if bias_correction else noise)


def _dropout_problems(settings: Mapping[str, Any], **context: Any) -> list[str]:
    problems = _within(rate=(0, 1))(settings)
    if settings["after"] not in ("both", "attention", "mlp"):
        problems.append(f"after: got {shown(settings['after'])}; expected 'both', 'attention' or 'mlp'.")
    return problems


@intervention(at="activations", identity={"rate": 0.0}, source="Vaswani et al. 2017; Power et al. 2022", check=_dropout_problems)
def residual_dropout(activation: Tensor, *, name: str, moment: Moment, rate: Number = 0.1, after: str = "both") -> Tensor:
    """Dropout of sublayers' outputs before they join the residual stream, for every example and position apart (Vaswani et al. 2017).

    ``after="both"``: of every attention and every MLP; ``"mlp"`` of the MLPs alone, as the official implementation of Power et al. 2022 does and
    their Figure 2 (left) here; ``"attention"`` of the attention alone. A mask of its own for every example leaves nothing to share, so such
    runs compute every example's rows.
    """
    if after != "both" and not name.endswith({"attention": "hook_attn_out", "mlp": "hook_mlp_out"}[after]):
        return activation
    kept = moment.uniform(activation.shape[1:], name) >= (rate[..., None] if isinstance(rate, torch.Tensor) else rate)
    scale = 1 / (1 - rate)
    return activation * kept * (scale[..., None] if isinstance(scale, torch.Tensor) else scale)


@intervention(at="update", capturable=True, identity={"strength": 0.0}, source="Power et al. 2022", check=_within(strength=(0, _INFINITY)))
def decay_towards_initial(direction: Tensor, *, moment: Moment, strength: Number = 1.0) -> Tensor:
    """Decoupled decay towards the initial weights instead of zero, W ← W − rate · strength · (W − W₀) (Power et al. 2022).

    It adds to the decay towards zero: set ``weight_decay`` to 0 to have it alone.
    """
    return direction - strength * (moment.weights - moment.initial)


# — of the official implementation and of common practice —


def _random_decay_problems(settings: Mapping[str, Any], **context: Any) -> list[str]:
    problems = _within(strength=(0, _INFINITY))(settings)
    if not isinstance(settings["before_step"], bool):
        problems.append(f"before_step: got {shown(settings['before_step'])}; expected True or False.")
    return problems


@intervention(
    at="weights",
    identity={"strength": 0.0},
    source="the official implementation of Power et al. 2022",
    check=_random_decay_problems,
)
def random_decay(weights: Tensor, *, moment: Moment, strength: Number = 1.0, before_step: bool = False) -> Tensor:
    """Multiplicative random decay: every parameter tensor times exp(rate · strength · ε), ε normal (the official implementation, ``jiggle``).

    It follows the optimizer's step, W ← exp(…) (W + rate · ΔW). With ``before_step=True`` it comes before, as there, W ← exp(…) W + rate · ΔW, so
    that the step is not scaled.
    """
    noise = moment.normal((len(moment.layout.entries),))
    factors = (moment.rate * strength * noise).exp()
    sizes = [end - start for start, end in moment.layout.places.values()]
    # Put together from views: repeat_interleave would bring the sizes to the device and wait for it.
    factor = torch.cat([factors[:, i : i + 1].expand(-1, size) for i, size in enumerate(sizes)], dim=1)
    return weights + (factor - 1) * moment.weights if before_step else weights * factor


def _pattern_problems(layout: Layout, settings: Mapping[str, Any]) -> list[str]:
    try:
        layout.mask([str(settings["parameters"])])
    except ValueError as error:
        return [f"parameters: {error}"]
    return []


@intervention(
    at="update",
    capturable=True,
    identity={"strength": 0.0},
    source="Loshchilov & Hutter 2019",
    check=_within(strength=(0, _INFINITY)),
    layout_check=_pattern_problems,
)
def weight_decay(direction: Tensor, *, moment: Moment, strength: Number = 1.0, parameters: str = "*") -> Tensor:
    """Decoupled decay of chosen parameters, to be switched on or off at a step; it adds to the field ``weight_decay`` (Loshchilov & Hutter 2019)."""
    return direction - strength * moment.weights * moment.mask(parameters)


@intervention(
    at="gradient", identity={"std": 0.0}, source="Neelakantan et al. 2015", check=_within(std=(0, _INFINITY), power=(0, 10, "[]"))
)
def gradient_noise(gradient: Tensor, *, moment: Moment, std: Number = 0.01, power: Number = 0.0) -> Tensor:
    """Gaussian noise of standard deviation std / step^power on the gradient (Neelakantan et al. 2015: std √η, power γ/2 = 0.275)."""
    return gradient + std / moment.step**power * moment.normal()


@intervention(at="gradient", capturable=True, source="Pascanu et al. 2013", check=_within(norm=(0, _INFINITY, "()")))
def gradient_clipping(gradient: Tensor, *, norm: Number = 1.0) -> Tensor:
    """The whole gradient shortened to a Euclidean norm of at most ``norm``, as torch's clip_grad_norm_ (Pascanu et al. 2013)."""
    return gradient * (norm / (gradient.norm(dim=1, keepdim=True) + 1e-6)).clamp(max=1.0)


# — later methods —


@intervention(
    at="gradient",
    capturable=True,
    identity={"strength": 0.0},
    source="Lee et al. 2024",
    check=_within(alpha=(0, 1), strength=(0, _INFINITY)),
)
def grokfast_ema(gradient: Tensor, memory: Tensor, *, alpha: Number = 0.98, strength: Number = 2.0) -> tuple[Tensor, Tensor]:
    """Amplifies the slow component of the gradient: an exponential average that starts as the first gradient (Lee et al. 2024)."""
    memory = alpha * memory + (1 - alpha) * gradient
    return gradient + strength * memory, memory


def _queue(gradient: Tensor, settings: Mapping[str, Any]) -> Tensor:
    return gradient.new_zeros(gradient.shape[0], settings["window"], gradient.shape[1])


def _grokfast_ma_problems(settings: Mapping[str, Any], **context: Any) -> list[str]:
    problems = number_problem("strength", settings["strength"], 0, _INFINITY)
    window = settings["window"]
    if not isinstance(window, int) or isinstance(window, bool) or not 1 <= window <= 10_000:
        problems.append(f"window: got {shown(window)}; expected a whole number of gradients from 1 to 10,000.")
    return problems


@intervention(at="gradient", identity={"strength": 0.0}, source="Lee et al. 2024", memory=_queue, check=_grokfast_ma_problems)
def grokfast_ma(gradient: Tensor, memory: Tensor, *, moment: Moment, window: int = 100, strength: Number = 5.0) -> tuple[Tensor, Tensor]:
    """Amplifies the slow component of the gradient: the mean of the last ``window`` gradients, once there are so many (Lee et al. 2024).

    Their code's ``filter_type='sum'`` is a strength ``window`` times as large; its option to begin before there are so many is not offered.
    """
    memory[:, (moment.age - 1) % window] = gradient
    return (gradient + strength * memory.mean(1) if moment.age >= window else gradient), memory


@intervention(at="gradient", capturable=True, source="Prieto et al. 2025")
def orthograd(gradient: Tensor, *, moment: Moment) -> Tensor:
    """The part of every tensor's gradient that is orthogonal to its weights, at the gradient's norm (Prieto et al. 2025).

    g⊥ = g − (w·g) / (w·w + 10⁻³⁰) w, then g⊥ ‖g‖ / (‖g⊥‖ + 10⁻³⁰). The optimizer keeps its betas and eps.
    """
    gradients, weights = moment.named(gradient), moment.named(moment.weights)
    result = moment.named(torch.empty_like(gradient))
    for name, g in gradients.items():
        g, w = g.flatten(1), weights[name].flatten(1)
        across = g - (w * g).sum(1, keepdim=True) / ((w * w).sum(1, keepdim=True) + 1e-30) * w
        across = across * (g.norm(dim=1, keepdim=True) / (across.norm(dim=1, keepdim=True) + 1e-30))
        result[name].copy_(across.view_as(result[name]))
    return result.flat


@intervention(at="gradient", capturable=True, identity={"rho": 0.0}, source="Foret et al. 2021", check=_within(rho=(0, _INFINITY)))
def sam(gradient: Tensor, *, moment: Moment, rho: Number = 0.05) -> Tensor:
    """Sharpness-aware minimization: the gradient at W + rho · g / ‖g‖, on the same examples, at twice the cost (Foret et al. 2021)."""
    return moment.gradient_at(moment.weights + rho * gradient / (gradient.norm(dim=1, keepdim=True) + 1e-12))


def _clamp_problems(settings: Mapping[str, Any], *, run: Run | None = None, **context: Any) -> list[str]:
    problems = _within(scale=(0, _INFINITY, "()"))(settings)
    if run is not None and run.model.attention == "frozen":
        problems.append(
            "got attention='frozen'; expected learned or uniform: weights that stay as they began cannot be rescaled with the others."
        )
    return problems


@intervention(at="weights", capturable=True, source="Liu et al. 2023, Omnigrok", check=_clamp_problems)
def norm_clamp(weights: Tensor, *, moment: Moment, scale: Number = 1.0) -> Tensor:
    """All weights rescaled after every update so that their Euclidean norm stays ``scale`` times the initial one (Liu et al. 2023, Omnigrok)."""
    target = scale * moment.initial.norm(dim=1, keepdim=True)
    return weights * (target / weights.norm(dim=1, keepdim=True))
