"""The bytes that a model takes, and where: weights, KV cache and compute buffers on the machine and on each device.

Which layer goes where is llama.cpp's own rule (`load_tensors` in `llama-model.cpp`): the last layers go to the devices, shared
out among them by `tensor_split` or by free memory; the token embeddings stay on the machine; a tied output has a copy of its own
on a device. The KV cache of a layer lies beside its weights. Compute buffers are fitted to what llama.cpp reports for the
published Hunyuan shapes (`tests/test_footprint.py` holds the figures against it).
"""

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
_COPIED_TYPES: Final = frozenset(
    type_id
    for type_id, kind in TENSOR_TYPES.items()
    if kind.name in {"Q2_K", "Q4_0", "Q4_K", "Q5_K", "Q6_K", "Q8_0", "IQ4_NL", "MXFP4"}
)
"""Types that the CPU backend copies into anonymous memory in another order (`ggml-cpu/repack.cpp`)."""
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
    inputs: int
    """Weights that stay on the machine: the token embeddings."""
    copied_inputs: int
    output: int
    """Weights that go with the output."""
    is_tied: bool

    @classmethod
    def of(cls, header: GgufHeader, tensors: Sequence[TensorInfo] = ()) -> "Footprint":
        """`tensors` are those of all parts of a split model; those of the header without."""
        rows = [_Layer(0, 0, 0, 0)] * max(1, header.block_count or 1)
        inputs = copied_inputs = output = 0
        is_tied = True
        for tensor in tensors or header.tensors:
            copied = tensor.bytes if tensor.type_id in _COPIED_TYPES else 0
            found = _LAYER.match(tensor.name)
            if found and int(found[1]) < len(rows):
                row, is_expert = rows[int(found[1])], bool(_EXPERTS.search(tensor.name))
                rows[int(found[1])] = _with(row, tensor.bytes, copied, is_expert=is_expert)
            elif tensor.name.startswith("output"):
                output += tensor.bytes
                is_tied = is_tied and tensor.name != "output.weight"
            else:
                inputs += tensor.bytes
                copied_inputs += copied
        return cls(header, tuple(rows), inputs, copied_inputs, output, is_tied)

    @property
    def has_experts(self) -> bool:
        """Whether it is a mixture of experts."""
        return any(layer.experts for layer in self.layers)

    @property
    def weights(self) -> int:
        """Of all layers, in and out."""
        return self.inputs + self.output + sum(layer.rest + layer.experts for layer in self.layers)

    def kv_bytes(self, layout: Layout) -> int:
        """Of the whole KV cache."""
        return self.header.kv_bytes_per_token(KV_TYPES[layout.kv_type]) * layout.context_tokens

    def places(self, layout: Layout, names: Sequence[str] = (), shares: Sequence[float] = ()) -> tuple[Place, ...]:
        """What the machine holds, then what each device does.

        Args:
            layout: How it is laid out.
            names: Of the devices.
            shares: Of the layers on devices, what each of them gets, in any unit; all the same without.
        """
        count = len(self.layers)
        ends = [*accumulate(shares or [1.0] * len(names))]
        on_devices = min(layout.gpu_layers, count + 1) if names else 0
        start = count + 1 - on_devices
        kv_layer = self.kv_bytes(layout) // count
        weights, kv, copied = [0] * (len(names) + 1), [0] * (len(names) + 1), self.copied_inputs
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
        weights[last] += self.output + (self.inputs if last and self.is_tied else 0)
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
    time, or, in a mixture, two of every expert used and 5 of the stream, beside the mask between batch and context. Without,
    attention needs most: the scores of every head and the mask, 4 rows of the queries and one of the residual stream.
    """
    width, logits = header.embedding_length or 0, header.vocabulary_size * _FLOAT_BYTES
    used, inner = header.expert_used_count, _expert_rows(header)
    if is_flash or tokens <= SHORT_FLASH_TOKENS:
        rows = max(
            4 * width + 3 * max(largest(header.feed_forward_length), inner), (2 * used + 5) * width if used else 0
        )
        return _BATCH_TOKENS * (rows * _FLOAT_BYTES + tokens * _MASK_BYTES) + logits
    heads = largest(header.head_count)
    attention = width + 4 * heads * (header.key_length or 0) + tokens * (heads + 1)
    mixture = inner + width + 2 * header.expert_count if header.architecture == "hunyuan-moe" else 0
    return _CPU_BATCH_TOKENS * (attention + mixture) * _FLOAT_BYTES + logits


def is_on_machine(memory: str) -> bool:
    """Whether a buffer of this name (`CPU_Mapped`, `CPU_REPACK`, `CUDA_Host`) lies in the machine's memory."""
    return memory.startswith("CPU") or memory.endswith("_Host")


def _expert_rows(header: GgufHeader) -> int:
    """Values of the feed-forward layers of all experts that one token uses."""
    return header.expert_used_count * (header.integer(f"{header.architecture}.expert_feed_forward_length") or 0)


def _with(row: _Layer, size: int, copied: int, *, is_expert: bool) -> _Layer:
    if is_expert:
        return row._replace(experts=row.experts + size, copied_experts=row.copied_experts + copied)
    return row._replace(rest=row.rest + size, copied=row.copied + copied)


def _device(index: int, on_devices: int, ends: Sequence[float]) -> int:
    """Which device takes a layer, from 1; 0 for the machine. `index` counts from the first layer on devices."""
    if index < 0 or not on_devices or not ends:
        return 0
    return min(bisect_right([end / ends[-1] for end in ends], index / on_devices), len(ends) - 1) + 1
