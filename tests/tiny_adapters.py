"""LoRA adapters of a few kilobytes for the tiny models, and the same change made in the weights themselves."""

from pathlib import Path
from typing import Any, Final

import gguf
import numpy as np
from numpy.typing import NDArray

from hychat.engine.gguf import GgufHeader, TensorInfo, read_header

RANK: Final = 4
ALPHA: Final = 8.0
TARGETS: Final = ("blk.0.attn_q.weight", "blk.0.ffn_up.weight", "blk.1.attn_output.weight", "blk.1.ffn_down.weight")

Weights = NDArray[np.float32]


def write_adapter(path: Path, model: Path, *, architecture: str | None = None, base: str = "Tiny test model") -> Path:
    """An adapter for a model of `tests.tiny_models`, of random weights; returns the path."""
    header = read_header(str(model))
    writer: Any = gguf.GGUFWriter(path, architecture or str(header.architecture))
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", ALPHA)
    writer.add_string("general.base_model.0.name", base)
    for name, (a, b) in _pairs(header).items():
        writer.add_tensor(f"{name}.lora_a", a)
        writer.add_tensor(f"{name}.lora_b", b)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def write_merged(path: Path, model: Path, scale: float) -> Path:
    """The model with an adapter's change in its weights: W + scale * alpha / rank * B A; returns the path."""
    header = read_header(str(model))
    data = bytearray(model.read_bytes())
    for name, (a, b) in _pairs(header).items():
        tensor = _tensor(header, name)
        start = header.data_offset + tensor.offset
        weights = np.frombuffer(data, np.float16, count=tensor.bytes // 2, offset=start).astype(np.float32)
        changed = weights.reshape(tensor.shape[1], tensor.shape[0]) + scale * ALPHA / RANK * (b @ a)
        data[start : start + tensor.bytes] = changed.astype(np.float16).tobytes()
    path.write_bytes(data)
    return path


def _pairs(header: GgufHeader) -> dict[str, tuple[Weights, Weights]]:
    """For each target A [rank, in] and B [out, rank], the same at every call."""
    random = np.random.default_rng(7)
    pairs = {}
    for name in TARGETS:
        inputs, outputs = _tensor(header, name).shape
        a = random.standard_normal((RANK, inputs), dtype=np.float32) * np.float32(0.1)
        pairs[name] = (a, random.standard_normal((outputs, RANK), dtype=np.float32) * np.float32(0.1))
    return pairs


def _tensor(header: GgufHeader, name: str) -> TensorInfo:
    return next(tensor for tensor in header.tensors if tensor.name == name)
