"""Every optimizer against an independent truth: torch's own, or its formula worked by hand (Adam and AdamW are in test_training.py)."""

import pytest
import torch

from groklab.config.run import Run
from groklab.training.batches import Batch
from groklab.training.optimizers import hidden_matrices, orthogonalized

TINY = dict(operation="addition", modulus=7, width=16, heads=2, layers=1, train_fraction=0.6, precision="float64", warmup=0)


def tiny(*interventions, **fields):
    return Run.of(**{**TINY, "interventions": interventions, **fields})


SGD = dict(optimizer="sgd", learning_rate=0.5, weight_decay=0.0)


def step_of(run):
    """A batch before and after one update, with the gradient of that update."""
    batch = Batch([run], device="cpu")
    before = batch.parameters.clone()
    batch.update()
    return before, batch.gradient.clone(), batch.parameters


def test_sgd_by_hand():
    before, gradient, now = step_of(tiny(**SGD))
    torch.testing.assert_close(now.flat, before.flat - 0.5 * gradient.flat)


@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd_with_momentum_equals_that_of_torch(nesterov):
    run = tiny(optimizer=f"sgd(momentum=0.9, nesterov={nesterov})", learning_rate=0.1, weight_decay=0.01)
    ours = Batch([run], device="cpu")
    theirs = ours.parameters.flat[0].clone().requires_grad_()
    optimizer = torch.optim.SGD([theirs], lr=0.1, momentum=0.9, nesterov=nesterov, weight_decay=0.01)
    for _ in range(10):
        ours.update()
        theirs.grad = ours.gradient.flat[0].clone()
        optimizer.step()
    torch.testing.assert_close(ours.parameters.flat[0], theirs.detach(), rtol=0, atol=1e-12)


def test_lion_by_hand():
    run = tiny(optimizer="lion", betas=(0.9, 0.99), learning_rate=0.01, weight_decay=0.5)
    ours = Batch([run], device="cpu")
    weights, momentum = ours.parameters.flat.clone(), torch.zeros_like(ours.parameters.flat)
    for _ in range(5):
        ours.update()
        gradient = ours.gradient.flat
        weights = weights * (1 - 0.01 * 0.5) - 0.01 * (0.9 * momentum + 0.1 * gradient).sign()
        momentum = 0.99 * momentum + 0.01 * gradient
        torch.testing.assert_close(ours.parameters.flat, weights, rtol=0, atol=1e-12)


@pytest.mark.parametrize("shape", [(1, 16, 64), (2, 64, 16), (1, 32, 32)])
def test_muon_s_update_has_singular_values_near_one(shape):
    matrix = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(orthogonalized(matrix))
    assert values.min() > 0.5
    assert values.max() < 1.25
    u, _, vh = torch.linalg.svd(matrix, full_matrices=False)
    assert torch.nn.functional.cosine_similarity(orthogonalized(matrix).flatten(1), (u @ vh).flatten(1)).min() > 0.98


def test_muon_equals_that_of_torch_on_hidden_matrices_and_adamw_elsewhere():
    run = tiny(optimizer="muon", learning_rate=0.02, weight_decay=0.1, precision="float32")
    ours = Batch([run], device="cpu")
    hidden = hidden_matrices(ours.layout)
    theirs = {name: view[0].clone().requires_grad_() for name, view in ours.parameters.items()}
    optimizers = [torch.optim.AdamW([v for k, v in theirs.items() if k not in hidden], lr=3e-4, betas=(0.9, 0.98), weight_decay=0.1)]
    if hasattr(torch.optim, "Muon"):
        optimizers.append(torch.optim.Muon([theirs[k] for k in hidden], lr=0.02, weight_decay=0.1, momentum=0.95, nesterov=True))
    # Gradients of full rank: where a singular value is nearly zero, orthogonalizing amplifies the rounding that is compared here.
    ours.gradients = lambda moment=None, weights=None: (torch.zeros(1), ours.gradient.flat)
    for step in range(4):
        ours.gradient.flat.copy_(torch.randn(ours.gradient.flat.shape, generator=torch.Generator().manual_seed(step)))
        for name, value in theirs.items():
            value.grad = ours.gradient[name][0].clone()
        ours.update()
        for optimizer in optimizers:
            optimizer.step()
    for name, value in theirs.items():
        # torch orthogonalizes in bfloat16: eight bits of mantissa on updates of 0.02 with entries of about 0.25, four times.
        tolerance = 2e-3 if name in hidden else 1e-6
        if name not in hidden or len(optimizers) == 2:
            torch.testing.assert_close(ours.parameters[name][0], value.detach(), rtol=0, atol=tolerance)
