"""The peer: what a user of PyTorch would write.

It trains on the same cells, with the same batch size and sizes of the network, as the paths of this package.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from groklab.config.run import Run
from groklab.model import transformer
from groklab.training.batches import batch_size, network


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
