"""The second stage: the lower layers of the base with two heads and the categories, fine-tuned."""

import time
from collections.abc import Iterator, Sequence
from random import Random
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from hychat.safety.model.pieces import FIRST_PIECE, UNKNOWN
from hychat.safety.training.base import WIDTH, Base, Floats
from hychat.safety.training.examples import Example
from hychat.safety.training.rows import CATEGORIES

HEADS: Final = 12
POSITIONS: Final = 192
_EPSILON: Final = 1e-12
_LENGTHS: Final = (16, 24, 32, 48, 64, 96, 128, POSITIONS)
_BATCH_PIECES: Final = 2048
_DROPPED_PIECES: Final = 0.08
_SMOOTHING: Final = 0.02
_CATEGORY_SHARE: Final = 0.3


class Layer(nn.Module):
    """Self-attention and a feed-forward net, each followed by a norm."""

    def __init__(self, base: Base, index: int) -> None:
        super().__init__()
        for name, inputs, outputs in (
            ("q", WIDTH, WIDTH), ("k", WIDTH, WIDTH), ("v", WIDTH, WIDTH), ("ao", WIDTH, WIDTH),
            ("fi", WIDTH, 4 * WIDTH), ("fo", 4 * WIDTH, WIDTH),
        ):  # fmt: skip
            linear = nn.Linear(inputs, outputs)
            linear.weight.data = torch.from_numpy(base.tensor(f"l{index}.{name}.w").reshape(outputs, inputs))
            linear.bias.data = torch.from_numpy(base.tensor(f"l{index}.{name}.b"))
            self.add_module(name, linear)
        self.aln, self.oln = (_norm(base, f"l{index}.{name}") for name in ("aln", "oln"))

    def forward(self, x: Tensor, hidden: Tensor) -> Tensor:
        """`hidden` is added to the attention's weights: far below zero where there is no piece."""
        batch, length, _width = x.shape
        q, k, v = (
            self.get_submodule(name)(x).float().view(batch, length, HEADS, -1).transpose(1, 2)
            for name in ("q", "k", "v")
        )
        with torch.autocast("cpu", enabled=False):
            weights = functional.softmax(q @ k.transpose(2, 3) * (WIDTH // HEADS) ** -0.5 + hidden, dim=-1)
            seen = (weights @ v).transpose(1, 2).reshape(batch, length, WIDTH)
        x = self.aln(x + self.get_submodule("ao")(seen).float())
        inner = functional.gelu(self.get_submodule("fi")(x), approximate="tanh")
        y: Tensor = self.oln(x + self.get_submodule("fo")(inner).float())
        return y


class Encoder(nn.Module):
    """Pieces in, logits out: the prompt's harm, the reply's harm, the categories."""

    def __init__(self, base: Base, words: Floats, n_layers: int) -> None:
        """`words` holds a row for each piece that was kept; they stay as they are."""
        super().__init__()
        self.words = nn.Embedding.from_pretrained(torch.from_numpy(words), freeze=True)
        self.positions = nn.Parameter(torch.from_numpy(base.tensor("emb.pos").reshape(-1, WIDTH)[:POSITIONS].copy()))
        kinds = base.tensor("emb.type")[:WIDTH]
        self.kinds = nn.Parameter(torch.from_numpy(np.stack([kinds, kinds])))
        self.norm = _norm(base, "emb.ln")
        self.layers = nn.ModuleList(Layer(base, index) for index in range(n_layers))
        self.head = nn.Linear(2 * WIDTH, 2 + len(CATEGORIES))
        self.drop = nn.Dropout(0.1)

    def forward(self, numbers: Tensor, is_piece: Tensor, is_reply: Tensor, is_judged: Tensor) -> Tensor:
        """The logits of each text of a batch."""
        x = (
            self.words(numbers)
            + self.positions[: numbers.shape[1]]
            + self.kinds[0]
            + is_reply[:, :, None] * (self.kinds[1] - self.kinds[0])
        )
        x = self.norm(x)
        hidden = torch.where(is_piece, 0.0, -1e4)[:, None, None, :]
        for layer in self.layers:
            x = layer(x, hidden)
        share = is_judged.float() / is_judged.sum(1, keepdim=True)
        pooled = torch.cat([x[:, 0], (x * share[:, :, None]).sum(1)], 1)
        logits: Tensor = self.head(self.drop(pooled)).float()
        return logits


def _norm(base: Base, name: str) -> nn.LayerNorm:
    norm = nn.LayerNorm(WIDTH, eps=_EPSILON)
    norm.weight.data, norm.bias.data = (torch.from_numpy(base.tensor(f"{name}.{part}")) for part in ("w", "b"))
    return norm


def batch_of(chosen: Sequence[Example]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Texts side by side, the short ones filled up."""
    longest = _padded(max(len(example.numbers) for example in chosen))
    numbers = torch.full((len(chosen), longest), UNKNOWN)
    is_piece, is_reply = (torch.zeros(len(chosen), longest, dtype=torch.bool) for _ in range(2))
    for row, example in enumerate(chosen):
        numbers[row, : len(example.numbers)] = torch.tensor(example.numbers)
        is_piece[row, : len(example.numbers)] = True
        if example.reply_at:
            is_reply[row, example.reply_at : len(example.numbers)] = True
    is_judged = torch.where(is_reply.any(1, keepdim=True), is_reply, is_piece)
    return numbers, is_piece, is_reply, is_judged


def _padded(length: int) -> int:
    """The next of few lengths: a product of a shape not met before is costly to prepare."""
    return next(most for most in _LENGTHS if length <= most)


def batches(found: Sequence[Example], random: Random) -> Iterator[list[Example]]:
    """Texts of about one length together, in a shuffled order."""
    rooms: dict[int, list[Example]] = {most: [] for most in _LENGTHS}
    for example in random.sample(found, len(found)):
        rooms[_padded(len(example.numbers))].append(example)
    groups = [
        room[start : start + _BATCH_PIECES // most]
        for most, room in rooms.items()
        for start in range(0, len(room), _BATCH_PIECES // most)
    ]
    random.shuffle(groups)
    yield from groups


def loss_of(logits: Tensor, chosen: Sequence[Example]) -> Tensor:
    """Of the head each example speaks to, and of its category."""
    harm = torch.tensor([float(example.is_harmful) for example in chosen]) * (1 - 2 * _SMOOTHING) + _SMOOTHING
    head = torch.tensor([int(example.reply_at > 0) for example in chosen])
    weight = torch.tensor([example.weight for example in chosen])
    found = functional.binary_cross_entropy_with_logits(
        logits.gather(1, head[:, None])[:, 0], harm, weight, reduction="mean"
    )
    category = torch.tensor([example.category for example in chosen])
    if (category >= 0).any():
        named = functional.cross_entropy(logits[:, 2:], category, ignore_index=-1)
        found = found + _CATEGORY_SHARE * named * (category >= 0).float().mean()
    return found


def fine_tune(model: Encoder, epochs: Sequence[Sequence[Example]], seed: int, rate: float = 1.5e-4) -> None:
    """A pass over each of the epochs; the rate climbs for a twentieth of the way, then falls to nothing."""
    random = Random(seed)  # noqa: S311 - repeatable, not secret
    torch.manual_seed(seed)
    plan = [group for epoch in epochs for group in batches(epoch, random)]
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, rate, total_steps=len(plan) + 1, pct_start=0.05, anneal_strategy="linear"
    )
    is_quick_in_16_bits = torch.backends.cpu.get_cpu_capability() == "AVX512"
    model.train()
    started, total = time.monotonic(), 0.0
    for step, chosen in enumerate(plan, 1):
        numbers, *masks = batch_of(chosen)
        numbers[(torch.rand(numbers.shape) < _DROPPED_PIECES) & (numbers >= FIRST_PIECE)] = UNKNOWN
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=is_quick_in_16_bits):
            logits = model(numbers, *masks)
        loss = loss_of(logits, chosen)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad(set_to_none=True)
        total += loss.item()
        if step % 100 == 0:
            print(f"step {step}/{len(plan)} loss {total / 100:.3f} {time.monotonic() - started:.0f} s", flush=True)  # noqa: T201 - it takes long
            total = 0.0
    model.eval()
