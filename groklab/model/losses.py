"""What is minimized: a loss per example from logits over the elements, in nats.

Logits have shape (R, B, N) or (B, N), answers (R, B) or (B,). Settings are numbers, or (R, 1) tensors where runs of a batch differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jaxtyping import Float, Int

from groklab.model.torch_later import F, Tensor, torch
from groklab.registry import loss
from groklab.text.values import shown

Logits = Float[Tensor, "*R B N"]
Answers = Int[Tensor, "*R B"]
Losses = Float[Tensor, "*R B"]


@loss(source="Power et al. 2022")
def cross_entropy(logits: Logits, answers: Answers) -> Losses:
    """Negative log-probability of the answer under softmax (Power et al. 2022), in the precision of the logits."""
    return logits.logsumexp(-1) - _of_answer(logits, answers)


def _amount(settings: Mapping[str, Any], **context: Any) -> list[str]:
    amount = settings["amount"]
    is_number = isinstance(amount, (int, float)) and not isinstance(amount, bool)
    return [] if is_number and 0 <= amount < 1 else [f"amount: got {shown(amount)}; expected a number in [0, 1)."]


@loss(source="Szegedy et al. 2016", check=_amount, identity={"amount": 0.0})
def label_smoothing(logits: Logits, answers: Answers, *, amount: float | Tensor = 0.1) -> Losses:
    """Cross-entropy against (1 − amount) of the answer and amount / N of every element (Szegedy et al. 2016), as torch's label_smoothing."""
    normalizer = logits.logsumexp(-1)
    return normalizer - (1 - amount) * _of_answer(logits, answers) - amount * logits.mean(-1)


@loss(source="Prieto et al. 2025")
def stablemax(logits: Logits, answers: Answers) -> Losses:
    """−log of s(z_answer) / Σ s(z), with s(z) = z + 1 for z ≥ 0 and 1 / (1 − z) below, in float64 (Prieto et al. 2025).

    It grows linearly where softmax grows exponentially, so that large logits do not swallow the small ones.
    """
    z = logits.double()
    # Each branch sees only its own side, so that the other's pole has no gradient; one of them is chosen, for both have one at 0.
    log_s = torch.where(z < 0, -(-z).clamp(min=0).log1p(), z.clamp(min=0).log1p())
    return log_s.logsumexp(-1) - _of_answer(log_s, answers)


@loss(source="Gromov 2023; Liu et al. 2023")
def squared_error(logits: Logits, answers: Answers) -> Losses:
    """Mean over the elements of the squared difference between logits and the one-hot answer (Gromov 2023), as torch's mse_loss."""
    return (logits - F.one_hot(answers, logits.shape[-1]).to(logits.dtype)).square().mean(-1)


def _of_answer(values: Tensor, answers: Tensor) -> Tensor:
    return values.gather(-1, answers[..., None])[..., 0]
