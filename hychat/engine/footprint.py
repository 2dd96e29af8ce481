"""The bytes that a model takes, and where: weights, KV cache and compute buffers on the machine and on each device.

What counts is what must be in memory while it answers. Each weight counts once, where it is computed from. On the machine weights
are mapped from the file, and the CPU backend copies some into anonymous memory in another order as it loads them: then the copy
counts, since the file's own pages are not read again. llama.cpp's lines count such weights twice, and all that lies in the file
between the first and the last tensor of a memory besides; held against the pages that an answer touches, the sums here are right
(`tests/test_footprint.py`). Python, llama.cpp's code, its graphs and the vocabulary are not in it: 60 to 150 MiB.

Which layer goes where is llama.cpp's own rule (`load_tensors` in `llama-model.cpp`): the last layers go to the devices, shared
out among them by `tensor_split` or by free memory; the token embeddings stay on the machine; a tied output has a copy of its own
on a device. The KV cache of a layer lies beside its weights. Compute buffers are fitted to what llama.cpp reports for the
published Hunyuan shapes (`tests/test_footprint.py` holds the figures against it).
"""

import os
import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final, NamedTuple

from hychat.engine.gguf import TENSOR_TYPES, GgufHeader, TensorInfo, largest

KV_TYPES: Final = {"f16": 1, "q8_0": 8, "q4_0": 2}
"""Types of the KV cache, with their ids in ggml."""
SHORT_FLASH_TOKENS: Final = 512
"""On the processor, contexts up to this are read with flash attention (`llama.context.Context` says why)."""

_BATCH_TOKENS: Final = 512
_CPU_BATCH_TOKENS: Final = 256
_FLOAT_BYTES: Final = 4
_MASK_BYTES: Final = 2
_PIPELINE_COPIES: Final = 4
_COPIED_ON: Final = {
    "x86_64": {"Q2_K"},
    "aarch64": {"Q5_K", "Q6_K", "Q8_0"},
    "arm64": {"Q5_K", "Q6_K", "Q8_0"},
}
"""Types that the CPU backend copies on some processors only."""
_COPIED_TYPES: Final = {"Q4_0", "Q4_K", "IQ4_NL", "MXFP4"} | _COPIED_ON.get(
    os.uname().machine, set().union(*_COPIED_ON.values())
)
"""Types that it copies on this one; on one that is not known it may be any."""
_COPIED_ROWS: Final = 8
"""So many rows are laid into each other: matrices whose rows are no multiple of it are not copied."""
_LAYER: Final = re.compile(r"blk\.(\d+)\.")
_EXPERTS: Final = re.compile(r"\.ffn_(up|down|gate)_exps")


class Layout(NamedTuple):
    """How a model is laid out."""

    context_tokens: int
    gpu_layers: int = 0
    """Layers on devices, counted from the last; one more than the model has when the output goes along."""
    cpu_expert_layers: int = 0
    """The experts of so many layers, from the first, stay on the machine."""
    kv_type: str = "f16"


class Place(NamedTuple):
    """What lies in one memory, in bytes."""

    name: str
    weights: int
    kv: int
    compute: int
    copied: int = 0
    """How much of the weights the CPU backend copies; on the machine only."""

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.kv + self.compute


class _Layer(NamedTuple):
    """Weights of a layer, in bytes."""

    rest: int
    experts: int
    copied: int
    copied_experts: int


@dataclass(frozen=True, slots=True)
class Footprint:
    """The figures of one model that decide what it takes."""

    header: GgufHeader
    layers: tuple[_Layer, ...]
    embedding: int
    """The token embeddings: their rows are looked up on the machine."""
    is_embedding_copied: bool
    """Whether an output that is made from them on the machine would be a copy."""
    inputs: int
    """All weights that stay on the machine, those among them."""
    output: int
    """Weights that go with the output."""
    copied_output: int
    is_tied: bool
    """Whether the output is made from the token embeddings."""
    projector: int = 0
    """What lets the model see."""

    @classmethod
    def of(cls, header: GgufHeader, tensors: Sequence[TensorInfo] = (), projector_bytes: int = 0) -> "Footprint":
        """`tensors` are those of all parts of a split model; those of the header without."""
        rows = [_Layer(0, 0, 0, 0)] * max(1, header.block_count or 1)
        embedding = inputs = output = copied_output = 0
        is_tied, is_embedding_copied = True, False
        for tensor in tensors or header.tensors:
            copied = tensor.bytes if _is_copied(tensor) else 0
            found = _LAYER.match(tensor.name)
            if found and int(found[1]) < len(rows):
                row, is_expert = rows[int(found[1])], bool(_EXPERTS.search(tensor.name))
                rows[int(found[1])] = _with(row, tensor.bytes, copied, is_expert=is_expert)
            elif tensor.name.startswith("output"):
                output += tensor.bytes
                copied_output += copied
                is_tied = is_tied and tensor.name != "output.weight"
            else:
                inputs += tensor.bytes
                if tensor.name == "token_embd.weight":
                    embedding, is_embedding_copied = tensor.bytes, bool(copied)
        return cls(
            header,
            tuple(rows),
            embedding,
            is_embedding_copied,
            inputs,
            output,
            copied_output,
            is_tied,
            projector_bytes,
        )

    @property
    def has_experts(self) -> bool:
        """Whether it is a mixture of experts."""
        return any(layer.experts for layer in self.layers)

    @property
    def weights(self) -> int:
        """Of all layers, in and out, and of what sees."""
        return self.projector + self.inputs + self.output + sum(layer.rest + layer.experts for layer in self.layers)

    def kv_bytes(self, layout: Layout) -> int:
        """Of the whole KV cache."""
        return self.header.kv_bytes_per_token(KV_TYPES[layout.kv_type]) * layout.context_tokens

    def places(
        self, layout: Layout, names: Sequence[str] = (), shares: Sequence[float] = (), *, sees_on: int = 0
    ) -> tuple[Place, ...]:
        """What the machine holds, then what each device does.

        Args:
            layout: How it is laid out.
            names: Of the devices.
            shares: Of the layers on devices, what each of them gets, in any unit; all the same without.
            sees_on: Where the projector goes: 0 for the machine, else the place of a device, counted from 1.
        """
        count = len(self.layers)
        ends = [*accumulate(shares or [1.0] * len(names))]
        on_devices = min(layout.gpu_layers, count + 1) if names else 0
        start = count + 1 - on_devices
        kv_layer = self.kv_bytes(layout) // count
        weights, kv, copied = [0] * (len(names) + 1), [0] * (len(names) + 1), 0
        weights[0] = self.inputs
        for index, layer in enumerate(self.layers):
            place = _device(index - start, on_devices, ends)
            stays = index < layout.cpu_expert_layers
            weights[place] += layer.rest + (0 if stays else layer.experts)
            weights[0] += layer.experts if stays else 0
            kv[place] += kv_layer
            if not place:
                copied += layer.copied + (0 if stays else layer.copied_experts)
        last = _device(count - start, on_devices, ends)
        own_embedding = self.embedding if self.is_tied and (last or self.is_embedding_copied) else 0
        weights[last] += self.output + own_embedding
        if not last:
            copied += self.copied_output + own_embedding
        weights[sees_on if on_devices else 0] += self.projector
        compute = self._compute(layout, on_devices, len(names))
        return tuple(
            Place(name, weights[place], kv[place], compute[min(place, 1)] if weights[place] or kv[place] else 0, copied)
            if not place
            else Place(name, weights[place], kv[place], compute[1] if weights[place] else 0)
            for place, name in enumerate(["CPU", *names])
        )

    def _compute(self, layout: Layout, on_devices: int, devices: int) -> tuple[int, int]:
        """Compute buffers of the machine and of one device."""
        tokens = layout.context_tokens
        if not on_devices:
            return compute_bytes(self.header, tokens, is_flash=layout.kv_type != "f16"), 0
        width = self.header.embedding_length or 0
        row, mask = _BATCH_TOKENS * _FLOAT_BYTES, _BATCH_TOKENS * tokens * _MASK_BYTES
        has_all = on_devices > len(self.layers)
        on_device = compute_bytes(self.header, tokens, is_flash=True)
        on_machine = on_device if not has_all else mask + 2 * width * row
        if layout.cpu_expert_layers and self.has_experts:
            used, inner = self.header.expert_used_count, _expert_rows(self.header)
            on_machine = max(on_machine, mask + max(3 * inner + width, (2 * used + 2) * width) * row)
            if layout.cpu_expert_layers >= len(self.layers):
                dense = largest(self.header.feed_forward_length)
                on_device = mask + max(4 * width + 3 * dense, (used + 4) * width) * row
        elif devices > 1 and has_all:  # llama.cpp then keeps copies of the inputs, to overlap the devices' work
            on_device += (_PIPELINE_COPIES - 1) * mask + 2 * _PIPELINE_COPIES * width * row
            on_machine *= _PIPELINE_COPIES - 1
        return on_machine, on_device


def compute_bytes(header: GgufHeader, tokens: int, *, is_flash: bool) -> int:
    """Bytes of the compute buffer where one memory holds all layers, fitted to what llama.cpp reports.

    With flash attention (see `llama.context.Context`) 4 rows of the residual stream and 3 of the feed-forward layer live at a
    time, or, in a mixture, 3 of the stream and 3 of all experts used, beside the mask between batch and context. Without,
    attention needs most: the scores of every head and the mask, 4 rows of the queries, one of keys and values each, and one of
    the residual stream. What the experts used give, a row of the stream each, is written over what they were given where that
    is large enough; then it takes no room of its own with flash attention, and comes on top of the attention's without.
    """
    width, logits = header.embedding_length or 0, header.vocabulary_size * _FLOAT_BYTES
    used, inner = header.expert_used_count, _expert_rows(header)
    is_written_over = 2 * inner >= used * width
    if is_flash or tokens <= SHORT_FLASH_TOKENS:
        mixture = 3 * inner + 3 * width + (0 if is_written_over else used * width) if used else 0
        rows = max(4 * width + 3 * largest(header.feed_forward_length), mixture)
        return _BATCH_TOKENS * (rows * _FLOAT_BYTES + tokens * _MASK_BYTES) + logits
    heads, kv_heads = largest(header.head_count), largest(header.head_count_kv)
    attention = width + (4 * heads + 2 * kv_heads) * (header.key_length or 0) + tokens * (heads + 1)
    mixture = (used - 1) * width if used and is_written_over else 0
    return _CPU_BATCH_TOKENS * (attention + mixture) * _FLOAT_BYTES + logits


def is_on_machine(memory: str) -> bool:
    """Whether a buffer of this name (`CPU_Mapped`, `CPU_REPACK`, `CUDA_Host`) lies in the machine's memory."""
    return memory.startswith("CPU") or memory.endswith("_Host")


def _expert_rows(header: GgufHeader) -> int:
    """Values of the feed-forward layers of all experts that one token uses."""
    return header.expert_used_count * (header.integer(f"{header.architecture}.expert_feed_forward_length") or 0)


def _is_copied(tensor: TensorInfo) -> bool:
    """Whether the CPU backend copies a matrix that it multiplies with (`ggml-cpu/repack.cpp`), or may copy it."""
    kind = TENSOR_TYPES.get(tensor.type_id)
    has_whole_rows = len(tensor.shape) > 1 and tensor.shape[1] % _COPIED_ROWS == 0
    return kind is not None and kind.name in _COPIED_TYPES and has_whole_rows


def _with(row: _Layer, size: int, copied: int, *, is_expert: bool) -> _Layer:
    if is_expert:
        return row._replace(experts=row.experts + size, copied_experts=row.copied_experts + copied)
    return row._replace(rest=row.rest + size, copied=row.copied + copied)


def _device(index: int, on_devices: int, ends: Sequence[float]) -> int:
    """Which device takes a layer, from 1; 0 for the machine. `index` counts from the first layer on devices."""
    if index < 0 or not on_devices or not ends:
        return 0
    return min(bisect_right([end / ends[-1] for end in ends], index / on_devices), len(ends) - 1) + 1
