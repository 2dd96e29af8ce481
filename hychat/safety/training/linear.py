"""The first stage: one weight a hashed feature, learned from the labels and from what the encoder thinks of the rows."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from hychat.safety.model.features import BITS

Floats = npt.NDArray[np.float32]


def train_linear(
    found: Sequence[npt.NDArray[np.int64]], targets: Floats, weights: Floats, seed: int, epochs: int = 4
) -> tuple[Floats, float]:
    """Weights of the features and a bias: logistic regression on the mean over the root of the number of features."""
    torch.manual_seed(seed)
    order = np.random.default_rng(seed)
    table = nn.EmbeddingBag(1 << BITS, 1, mode="sum", sparse=True)
    nn.init.zeros_(table.weight)
    bias = nn.Parameter(torch.zeros(1))
    fast, slow = torch.optim.SparseAdam(table.parameters(), 0.03), torch.optim.Adam([bias], 0.01)
    scales = np.array([1 / max(len(b), 1) ** 0.5 for b in found], dtype=np.float32)
    steps, size = 0, 256
    total = epochs * (len(found) // size + 1)
    for _epoch in range(epochs):
        shuffled = order.permutation(len(found))
        for start in range(0, len(found), size):
            chosen = shuffled[start : start + size]
            lengths = np.array([len(found[i]) for i in chosen])
            offsets = torch.from_numpy(np.concatenate([[0], np.cumsum(lengths)[:-1]]))
            inputs = torch.from_numpy(np.concatenate([found[i] for i in chosen]))
            logits = table(inputs, offsets)[:, 0] * torch.from_numpy(scales[chosen]) + bias
            loss = functional.binary_cross_entropy_with_logits(
                logits, torch.from_numpy(targets[chosen]), torch.from_numpy(weights[chosen])
            )
            loss.backward()
            steps += 1
            for optimizer in (fast, slow):
                for group in optimizer.param_groups:
                    group["lr"] = (0.03 if optimizer is fast else 0.01) * (1 - steps / (total + 1))
                optimizer.step()
                optimizer.zero_grad()
    return table.weight.detach().numpy()[:, 0].copy(), float(bias.detach())
