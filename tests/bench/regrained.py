"""The starter anew, for measuring what quantizing costs: the same model, without the grain of its first quantization.

The starter is in Q4_1, and its rows of 576 fill no block of 256. Quantized once more as it is, it would say little of other
models: most of its matrices fit no K format, and each block of 32 weights lies on 16 steps already, which formats with the same
blocks hit again by themselves. What a model computes does not depend on the order of its channels, nor on channels that are zero.
So here channels stand in another order, which mixes the blocks, and zeros fill them up to 768 with heads to match.
"""

from pathlib import Path
from typing import Any, Final

import gguf
import numpy as np
from numpy.typing import NDArray

_LAYERS: Final = 30
_WIDTH, _HEADS, _KV_HEADS, _HEAD_LENGTH, _FEED_FORWARD = 576, 9, 3, 64, 1536
_WIDER, _MORE_HEADS, _MORE_KV_HEADS = 768, 12, 4
_SHARE: Final = _WIDTH / _WIDER
"""Of the mean of a row, once zeros count in it too; norms and their epsilon make up for it."""
_F16: Final = 1
_OTHERS: Final = (
    "general.architecture", "general.file_type", "llama.embedding_length", "llama.attention.head_count",
    "llama.attention.head_count_kv", "llama.attention.layer_norm_rms_epsilon",
)  # fmt: skip
"""Keys with other values here."""

Matrix = NDArray[np.float32]


def write_regrained(path: Path, starter: Path) -> Path:
    """Write it at 16 bits; returns the path."""
    reader: Any = gguf.GGUFReader(starter)
    writer: Any = gguf.GGUFWriter(path, "llama")
    _add_keys(writer, reader)
    weights = {tensor.name: tensor for tensor in reader.tensors}
    for name, weight in _Regrained(weights).all():
        writer.add_tensor(name, weight.astype(np.float16) if weight.ndim > 1 else weight)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add_keys(writer: Any, reader: Any) -> None:
    for key, field in reader.fields.items():
        if key not in _OTHERS and not key.startswith("GGUF."):
            kind, *item_kinds = field.types
            writer.add_key_value(key, field.contents(), kind, sub_type=item_kinds[0] if item_kinds else None)
    writer.add_file_type(_F16)
    writer.add_embedding_length(_WIDER)
    writer.add_head_count(_MORE_HEADS)
    writer.add_head_count_kv(_MORE_KV_HEADS)
    writer.add_key_length(_HEAD_LENGTH)
    writer.add_value_length(_HEAD_LENGTH)
    writer.add_layer_norm_rms_eps(_SHARE * reader.fields["llama.attention.layer_norm_rms_epsilon"].contents())


class _Regrained:
    """The weights in their new order."""

    def __init__(self, weights: dict[str, Any]) -> None:
        self._weights = weights
        self._random = np.random.RandomState(1)
        self._channels = self._random.permutation(_WIDTH)

    def all(self) -> "list[tuple[str, Matrix]]":
        tensors = [
            ("token_embd.weight", self._reads("token_embd")),
            ("output_norm.weight", self._norm("output_norm")),
        ]
        for layer in range(_LAYERS):
            parts = {**self._attention(f"blk.{layer}"), **self._feed_forward(f"blk.{layer}")}
            tensors += [(f"blk.{layer}.{name}.weight", weight) for name, weight in parts.items()]
        return tensors

    def _attention(self, block: str) -> dict[str, Matrix]:
        within_head = self._random.permutation(_HEAD_LENGTH)
        values = self._reads(f"{block}.attn_v").reshape(_KV_HEADS, _HEAD_LENGTH, _WIDER)[:, within_head]
        outputs = self._old(f"{block}.attn_output").reshape(_WIDTH, _HEADS, _HEAD_LENGTH)[:, :, within_head]
        queries, keys = _MORE_HEADS * _HEAD_LENGTH, _MORE_KV_HEADS * _HEAD_LENGTH
        return {
            "attn_norm": self._norm(f"{block}.attn_norm"),
            "attn_q": _filled(self._reads(f"{block}.attn_q"), queries, _WIDER),
            "attn_k": _filled(self._reads(f"{block}.attn_k"), keys, _WIDER),
            "attn_v": _filled(values.reshape(-1, _WIDER), keys, _WIDER),
            "attn_output": _filled(outputs.reshape(_WIDTH, -1)[self._channels], _WIDER, queries),
        }

    def _feed_forward(self, block: str) -> dict[str, Matrix]:
        inner = self._random.permutation(_FEED_FORWARD)
        return {
            "ffn_norm": self._norm(f"{block}.ffn_norm"),
            "ffn_gate": self._reads(f"{block}.ffn_gate")[inner],
            "ffn_up": self._reads(f"{block}.ffn_up")[inner],
            "ffn_down": _filled(self._old(f"{block}.ffn_down")[self._channels][:, inner], _WIDER, _FEED_FORWARD),
        }

    def _old(self, name: str) -> Matrix:
        tensor = self._weights[f"{name}.weight"]
        weight: Matrix = gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        return weight

    def _reads(self, name: str) -> Matrix:
        """A matrix whose inputs are the channels."""
        weight = self._old(name)[:, self._channels]
        return _filled(weight, len(weight), _WIDER)

    def _norm(self, name: str) -> Matrix:
        weight = self._old(name)[self._channels] * np.float32(_SHARE**0.5)
        return np.append(weight, np.zeros(_WIDER - _WIDTH, np.float32))


def _filled(weight: Matrix, rows: int, columns: int) -> Matrix:
    """With zeros behind its rows and columns."""
    height, width = weight.shape
    return np.pad(weight, ((0, rows - height), (0, columns - width)))
