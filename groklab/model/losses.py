"""What is minimized: a loss per example from logits over the elements, in nats."""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor

from groklab.registry import loss


@loss(source="Power et al. 2022")
def cross_entropy(logits: Float[Tensor, "*R B N"], answers: Int[Tensor, "*R B"]) -> Float[Tensor, "*R B"]:
    """Negative log-probability of the answer under softmax (Power et al. 2022), in the precision of the logits."""
    return logits.logsumexp(-1) - logits.gather(-1, answers[..., None])[..., 0]
