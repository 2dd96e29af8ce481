"""Headers of the published models at their full size: every tensor has its shape, type and place, and the file is a hole.

Sizes are those of the models' configurations; where one is not published it is marked. Types are those that llama.cpp's quantizer
gives in Q4_K_M. A file of 49 GB so takes a few megabytes of the disk.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import gguf
import numpy as np
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

from tests.tiny_models import FAMILY_A, FAMILY_B, HY_V3, Family, byte_pairs

_F32, _Q4_K, _Q6_K = GGMLQuantizationType.F32, GGMLQuantizationType.Q4_K, GGMLQuantizationType.Q6_K


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes of a model."""

    architecture: str
    family: Family
    layers: int
    width: int
    heads: int
    kv_heads: int
    feed_forward: int
    vocabulary: int
    head_length: int = 128
    experts: int = 0
    experts_used: int = 0
    expert_feed_forward: int = 0
    dense_layers: int = 0
    """How many layers have no experts, in a mixture."""


SHAPES: Final = {
    "hunyuan-0.5b": Shape("hunyuan-dense", FAMILY_A, 24, 1024, 16, 8, 3584, 120_818),
    "hunyuan-7b": Shape("hunyuan-dense", FAMILY_B, 32, 4096, 32, 8, 14_336, 128_167),
    "hunyuan-a13b": Shape(
        "hunyuan-moe", FAMILY_B, 32, 4096, 32, 8, 3072, 128_167, experts=64, experts_used=8, expert_feed_forward=3072
    ),
    # Width and feed-forward sizes are not published: these give the size of Tencent's own Q4_K_M file within 1 %.
    "hy-mt2-30b-a3b": Shape(
        "hy_v3", HY_V3, 48, 2048, 32, 4, 6144, 120_832,
        experts=128, experts_used=8, expert_feed_forward=768, dense_layers=1,
    ),
}  # fmt: skip


def write_whole(path: Path, shape: Shape, *, context_tokens: int = 262_144) -> Path:
    """Write a model's header, and a hole in the place of its weights; returns the path."""
    writer = gguf.GGUFWriter(path, shape.architecture)
    _add_sizes(writer, shape, context_tokens)
    _add_tokenizer(writer, shape)
    for name, (dimensions, kind) in _tensors(shape):
        block, block_bytes = GGML_QUANT_SIZES[kind]
        size = int(np.prod(dimensions)) // block * block_bytes
        writer.add_tensor_info(f"{name}.weight", dimensions, np.dtype(np.float32), size, kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()
    padded = sum(-(-tensor.nbytes // 32) * 32 for shard in writer.tensors for tensor in shard.values())
    os.truncate(path, -(-path.stat().st_size // 32) * 32 + padded)
    return path


_Tensor = tuple[str, tuple[tuple[int, ...], GGMLQuantizationType]]


def _tensors(shape: Shape) -> Iterator[_Tensor]:
    width, queries, keys = shape.width, shape.heads * shape.head_length, shape.kv_heads * shape.head_length
    is_tied = shape.architecture != "hy_v3"
    yield "token_embd", ((shape.vocabulary, width), _Q6_K if is_tied else _Q4_K)
    if not is_tied:
        yield "output", ((shape.vocabulary, width), _Q6_K)
    yield "output_norm", ((width,), _F32)
    for layer in range(shape.layers):
        finer = _Q6_K if _is_finer(layer, shape.layers) else _Q4_K
        block = f"blk.{layer}."
        for norm, length in (("attn_norm", width), ("ffn_norm", width), *_head_norms(shape)):
            yield block + norm, ((length,), _F32)
        yield block + "attn_q", ((queries, width), _Q4_K)
        yield block + "attn_k", ((keys, width), _Q4_K)
        yield block + "attn_v", ((keys, width), finer)
        yield block + "attn_output", ((width, queries), _Q4_K)
        for name, tensor in _feed_forward(shape, layer, finer):
            yield block + name, tensor


def _head_norms(shape: Shape) -> tuple[tuple[str, int], ...]:
    return (("attn_q_norm", shape.head_length), ("attn_k_norm", shape.head_length))


def _feed_forward(shape: Shape, layer: int, finer: GGMLQuantizationType) -> Iterator[_Tensor]:
    width = shape.width
    if layer < shape.dense_layers or not shape.experts:
        yield from _mlp("", (), width, shape.feed_forward, finer)
        return
    yield "ffn_gate_inp", ((shape.experts, width), _F32)
    yield from _mlp("_exps", (shape.experts,), width, shape.expert_feed_forward, finer)
    yield from _mlp("_shexp", (), width, shape.expert_feed_forward, finer)


def _mlp(
    suffix: str, experts: tuple[int, ...], width: int, inner: int, finer: GGMLQuantizationType
) -> Iterator[_Tensor]:
    yield f"ffn_gate{suffix}", ((*experts, inner, width), _Q4_K)
    yield f"ffn_up{suffix}", ((*experts, inner, width), _Q4_K)
    yield f"ffn_down{suffix}", ((*experts, width, inner), finer)


def _is_finer(layer: int, layers: int) -> bool:
    """Which layers' values and down projections Q4_K_M keeps in Q6_K: the first and last eighth, and every third between."""
    eighth = layers // 8
    return layer < eighth or layer >= 7 * layers // 8 or (layer - eighth) % 3 == 2


def _add_sizes(writer: gguf.GGUFWriter, shape: Shape, context_tokens: int) -> None:
    writer.add_name("Full-size shape")
    writer.add_context_length(context_tokens)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_key_length(shape.head_length)
    writer.add_value_length(shape.head_length)
    writer.add_rope_dimension_count(shape.head_length)
    writer.add_rope_freq_base(11_158_840.0)
    writer.add_layer_norm_rms_eps(1e-5)
    if shape.experts:
        writer.add_expert_count(shape.experts)
        writer.add_expert_used_count(shape.experts_used)
        writer.add_expert_shared_count(1)
        writer.add_expert_feed_forward_length(shape.expert_feed_forward)
        writer.add_expert_shared_feed_forward_length(shape.expert_feed_forward)
    if shape.dense_layers:
        writer.add_leading_dense_block_count(shape.dense_layers)


def _add_tokenizer(writer: gguf.GGUFWriter, shape: Shape) -> None:
    plain, merges = byte_pairs()
    control = shape.family.control
    fillers = [f"filler{number}" for number in range(shape.vocabulary - len(plain) - len(control))]
    texts = [*plain, *fillers, *control]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(shape.family.pre)
    writer.add_token_list(texts)
    writer.add_token_types([1] * (len(texts) - len(control)) + [3] * len(control))
    writer.add_token_merges(merges)
    writer.add_bos_token_id(texts.index(shape.family.bos))
    writer.add_eos_token_id(texts.index(shape.family.eos))
    writer.add_chat_template(shape.family.template)
