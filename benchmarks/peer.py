"""Who is compared: what a user of PyTorch would write, and this package's own reference.

Both train on the same cells, with the same batch size and sizes of the network, as the fast path (`training/batches.py`).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from groklab.config.run import Run
from groklab.model import transformer
from groklab.training.batches import Batch, batch_size, network
from groklab.training.moments import Moment


class PeerNetwork(nn.Module):
    """The paper's network from PyTorch's own parts: post-norm encoder layers with a causal mask on ``a ∘ b =``.

    Beside the reference's parameters it has the biases that `nn.TransformerEncoderLayer` has by default: 9 · width in a layer
    with an MLP four times as wide (3 for query, key and value, 1 for the output, 4 and 1 for the MLP).
    """

    def __init__(self, n: int, *, layers: int, width: int, heads: int, mlp_width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(n + 2, width)
        layer = nn.TransformerEncoderLayer(width, heads, mlp_width, dropout=0.0, activation="relu", batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.output = nn.Linear(width, n, bias=False)
        self.register_buffer("positions", transformer.sinusoidal(4, width).float())
        self.register_buffer("mask", nn.Transformer.generate_square_subsequent_mask(4))

    def forward(self, sequence: Tensor) -> Tensor:
        """Logits over the elements at ``=``, (B, N)."""
        x = self.embedding(sequence) + self.positions
        return self.output(self.encoder(x, mask=self.mask, is_causal=True)[:, -1])


class Peer:
    """`PeerNetwork` with `torch.optim.AdamW` on one run's training cells, shuffled anew for every pass."""

    def __init__(self, run: Run) -> None:
        table, split, _ = network(run)
        values = run.resolved()
        self.network = PeerNetwork(table.n, **{name: values[name] for name in ("layers", "width", "heads", "mlp_width")})
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=values["learning_rate"], weight_decay=values["weight_decay"], betas=values["betas"]
        )
        a, b, self.labels = (torch.from_numpy(side[split.train]).long() for side in (table.x, table.y, split.labels))
        self.sequences = transformer.tokens(a, b, table.n, begin_token=False)
        self.size = batch_size(run, len(split.train))
        self.order = torch.empty(0, dtype=torch.int64)

    def update(self) -> None:
        """One optimizer update."""
        if len(self.order) < self.size:
            self.order = torch.randperm(len(self.labels))
        chosen, self.order = self.order[: self.size], self.order[self.size :]
        self.optimizer.zero_grad()
        nn.functional.cross_entropy(self.network(self.sequences[chosen]), self.labels[chosen]).backward()
        self.optimizer.step()


class Reference(Batch):
    """One run whose gradients come from `model/transformer.py`; batches and AdamW are the engine's own."""

    def __init__(self, run: Run) -> None:
        super().__init__([run], device="cpu")

    def gradients(self, moment: Moment | None = None, weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Fill ``self.gradient`` for the next update's examples; the loss, (1,), and the gradient, (1, P)."""
        chosen = self.chosen()[0]
        a, b, labels = (side[0][chosen] for side in (self.train_a, self.train_b, self.train_labels))
        model = self.runs[0].model
        leaves = {name: view[0].detach().requires_grad_() for name, view in self.parameters.items()}
        with torch.enable_grad():
            logits = transformer.forward(
                leaves, model, transformer.tokens(a, b, self.n, begin_token=model.begin_token, operator_token=model.operator_token)
            )
            loss = self.loss(logits, labels, **self.loss_settings).mean()
            gradients = torch.autograd.grad(loss, list(leaves.values()))
        for name, gradient in zip(leaves, gradients, strict=True):
            self.gradient[name][0].copy_(gradient)
        return loss.detach()[None], self.gradient.flat
