"""What a GGUF is made of, worked out from its header."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from hychat.domain.errors import ModelUnusable
from hychat.engine.audit import audit
from hychat.engine.gguf import TENSOR_TYPES, GgufHeader, TensorInfo

_GROUPS: Final = (
    ("experts", re.compile(r"\.ffn_(up|down|gate)_exps")),
    ("shared", re.compile(r"\.ffn_(up|down|gate)_shexp")),
    ("router", re.compile(r"\.(ffn_gate_inp|exp_probs_b)")),
    ("norms", re.compile(r"norm")),
    ("attention", re.compile(r"\.(attn|ssm|shortconv)")),
    ("feed_forward", re.compile(r"\.ffn_")),
    ("embeddings", re.compile(r"^(token_embd|output|position_embd|per_layer)")),
)
GROUP_NAMES: Final = ("embeddings", "attention", "feed_forward", "experts", "shared", "router", "norms", "others")


@dataclass(frozen=True, slots=True)
class TensorGroup:
    """Tensors with one use."""

    name: str
    """One of `GROUP_NAMES`."""
    tensors: int
    elements: int
    bytes: int
    types: tuple[tuple[str, int], ...]
    """Names of number formats, each with its bytes, most first."""

    @property
    def bits_per_weight(self) -> float:
        """On average."""
        return 8 * self.bytes / self.elements if self.elements else 0.0


@dataclass(frozen=True, slots=True)
class Inspection:
    """A model, all its parts together."""

    header: GgufHeader
    """Of the first part."""
    parts: int
    groups: tuple[TensorGroup, ...]
    refusal: str
    """Why hychat would not load it; empty where it would."""

    @property
    def bytes(self) -> int:
        """Of all weights."""
        return sum(group.bytes for group in self.groups)

    @property
    def parameters(self) -> int:
        """Weights of all tensors."""
        return sum(group.elements for group in self.groups)

    @property
    def active_parameters(self) -> int:
        """Weights that compute one token: all but those of experts that it does not use."""
        experts = next((group.elements for group in self.groups if group.name == "experts"), 0)
        count, used = self.header.expert_count, self.header.expert_used_count
        return self.parameters - experts + (experts * used // count if count else 0)

    @property
    def bits_per_weight(self) -> float:
        """On average."""
        return 8 * self.bytes / self.parameters if self.parameters else 0.0

    @property
    def main_type(self) -> str:
        """The number format that most bytes are in."""
        types: Counter[str] = Counter()
        for group in self.groups:
            types.update(dict(group.types))
        return max(types, key=lambda name: types[name], default="")


def inspect(parts: Sequence[GgufHeader]) -> Inspection:
    """Look at a model, by the headers of its parts."""
    tensors = [tensor for part in parts for tensor in part.tensors]
    by_group: dict[str, list[TensorInfo]] = {}
    for tensor in tensors:
        by_group.setdefault(_group_of(tensor.name), []).append(tensor)
    groups = tuple(_group(name, by_group[name]) for name in GROUP_NAMES if name in by_group)
    return Inspection(parts[0], len(parts), groups, _refusal(parts[0]))


def _group_of(name: str) -> str:
    return next((group for group, pattern in _GROUPS if pattern.search(name)), "others")


def _group(name: str, tensors: Sequence[TensorInfo]) -> TensorGroup:
    types: Counter[str] = Counter()
    for tensor in tensors:
        kind = TENSOR_TYPES.get(tensor.type_id)
        types[kind.name if kind else f"type {tensor.type_id}"] += tensor.bytes
    return TensorGroup(
        name,
        len(tensors),
        sum(_elements(tensor) for tensor in tensors),
        sum(tensor.bytes for tensor in tensors),
        tuple(types.most_common()),
    )


def _elements(tensor: TensorInfo) -> int:
    count = 1
    for length in tensor.shape:
        count *= length
    return count


def _refusal(header: GgufHeader) -> str:
    try:
        audit(header)
    except ModelUnusable as error:
        return error.message
    return ""
