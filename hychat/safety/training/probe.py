"""A guess at the encoder's verdict from its first layers, which settles what needs no more."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from hychat.safety.model.inputs import Input
from hychat.safety.model.reader import Reader
from hychat.safety.training.base import Floats

_STEPS: Final = 400
_RATE: Final = 3e-3
_DECAY: Final = 0.05


def fit(reader: Reader, inputs: Sequence[Input], linear: Floats, share: float, seed: int) -> tuple[Floats, float]:
    """Weights and bias that come nearest to what the whole encoder says of these prompts.

    `linear` holds the first stage's logits, of which a share is added to the encoder's and to the probe's.
    """
    torch.manual_seed(seed)
    seen = reader.begun(inputs)
    rows = [row[0] for row in reader.logits(inputs) if row is not None]
    offsets = torch.from_numpy(share * linear)
    wanted = torch.sigmoid(torch.tensor(rows) + offsets)
    mean, deviation = seen.mean(0), seen.std(0) + 1e-6
    features = torch.from_numpy((seen - mean) / deviation)
    line = nn.Linear(features.shape[1], 1)
    optimizer = torch.optim.AdamW(line.parameters(), _RATE, weight_decay=_DECAY)
    for _step in range(_STEPS):
        loss = functional.binary_cross_entropy_with_logits(line(features)[:, 0] + offsets, wanted)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    weight = np.asarray(line.weight.detach().numpy()[0] / deviation, dtype=np.float32)
    return weight, float(line.bias.detach()) - float(weight @ mean)
