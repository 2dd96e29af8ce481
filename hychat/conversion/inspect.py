"""What a GGUF is made of, worked out from its header."""

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from hychat.domain.errors import ModelUnusable
from hychat.engine.audit import EOS_KEY, audit
from hychat.engine.gguf import TENSOR_TYPES, GgufHeader, TensorInfo, all_parts, read_header

_GROUPS: Final = (
    ("experts", re.compile(r"\.ffn_(up|down|gate|gate_up)_(ch)?exps")),
    ("shared", re.compile(r"\.ffn_(up|down|gate|gate_up|gate_inp)_shexp")),
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
    """Those that were looked at; the header's `split_count` is how many there are."""
    groups: tuple[TensorGroup, ...]
    refusal: ModelUnusable | None
    """Why hychat would not load it."""
    corrects_eos: bool = False
    """Whether it would load it with another EOS than the file's."""

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


def inspect(parts: Sequence[GgufHeader], trouble: ModelUnusable | None = None) -> Inspection:
    """Look at a model, by the headers of its parts; `trouble` is why they are not all there."""
    tensors = [tensor for part in parts for tensor in part.tensors]
    by_group: dict[str, list[TensorInfo]] = {}
    for tensor in tensors:
        by_group.setdefault(_group_of(tensor.name), []).append(tensor)
    groups = tuple(_group(name, by_group[name]) for name in GROUP_NAMES if name in by_group)
    refusal, corrects_eos = _verdict(parts[0])
    return Inspection(parts[0], len(parts), groups, trouble or refusal, corrects_eos)


def inspect_file(path: str) -> Inspection:
    """Look at a model's file, and at its other parts where they lie beside it.

    Raises:
        ModelNotFound: There is no such file.
        ModelUnusable: It is no GGUF. Trouble with other parts becomes the verdict.
    """
    header = read_header(path)
    try:
        return inspect(all_parts(header))
    except ModelUnusable as trouble:
        return inspect([header], trouble)


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
        sum(math.prod(tensor.shape) for tensor in tensors),
        sum(tensor.bytes for tensor in tensors),
        tuple(types.most_common()),
    )


def _verdict(header: GgufHeader) -> tuple[ModelUnusable | None, bool]:
    """Why it would not be loaded, and whether it would with another EOS."""
    try:
        return None, EOS_KEY in audit(header).overrides
    except ModelUnusable as error:
        return error, False
