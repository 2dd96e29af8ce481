"""Writes GGUFs of a few hundred kilobytes that llama.cpp loads and decodes: random weights, right shapes and tokens.

The vocabulary is byte-level BPE: 256 bytes, a few merges, then the family's real special tokens as control tokens. Ids
differ from those of the published models, but for `$`, which is 3 in both. Templates are a plain stand-in that writes
the family's layout; the published ones are not ours to copy.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

import gguf
import numpy as np
from numpy.typing import NDArray

PLAIN_TEXT_EOS: Final = 3
"""The id of `$`, which a converter once wrote as EOS."""

_WORDS: Final = ("the", " the", " and", " you", "ing", " model", " hello", "Hello", " world", "你好", "。", "\n\n")
_NORMAL, _CONTROL, _USER_DEFINED = 1, 3, 4  # token types
_EXTRA_TENSOR: Final = "extra"
_EMBEDDING, _HEADS, _KV_HEADS, _HEAD_LENGTH, _FEED_FORWARD, _LAYERS = 64, 4, 2, 16, 64, 2
_EXPERTS, _EXPERTS_USED = 4, 2

Weights = NDArray[np.float32]


_TEMPLATE_A: Final = (
    "{{ '<｜hy_begin▁of▁sentence｜>' }}{% for m in messages %}"
    "{% if m.role == 'system' %}{{ m.content + '<｜hy_place▁holder▁no▁3｜>' }}"
    "{% elif m.role == 'user' %}{{ '<｜hy_User｜>' + m.content }}"
    "{% else %}{{ '<｜hy_Assistant｜>' + m.content + '<｜hy_place▁holder▁no▁2｜>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<｜hy_Assistant｜>' }}{% endif %}"
)
_TEMPLATE_B: Final = (
    "{% for m in messages %}"
    "{% if m.role == 'system' %}{{ '<|startoftext|>' + m.content + '<|extra_4|>' }}"
    "{% elif m.role == 'user' %}{% if loop.index0 != 1 or messages[0].role != 'system' %}{{ '<|startoftext|>' }}"
    "{% endif %}{{ m.content + '<|extra_0|>' }}"
    "{% else %}{{ m.content + '<|eos|>' }}{% endif %}{% endfor %}"
)
_TEMPLATE_CHATML: Final = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
_TEMPLATE_HY_V3: Final = (
    "{{ '<｜hy_begin_of_sentence:opensource｜>' }}{% for m in messages %}"
    "{% if m.role == 'system' %}{{ m.content }}"
    "{% elif m.role == 'user' %}{{ '<｜hy_User:opensource｜>' + m.content }}"
    "{% else %}{{ '<｜hy_Assistant:opensource｜>' + m.content + '<｜hy_eos:opensource｜>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}"
    "{{ '<｜hy_Assistant:opensource｜><think:opensource></think:opensource>' }}{% endif %}"
)


@dataclass(frozen=True, slots=True)
class Family:
    """The special tokens of a model family, what they are for, and how a chat is laid out with them."""

    pre: str
    control: tuple[str, ...]
    bos: str
    eos: str
    template: str


FAMILY_A: Final = Family(
    pre="hunyuan-dense",
    control=(
        "<｜hy_begin▁of▁sentence｜>",
        "<｜hy_User｜>",
        "<｜hy_Assistant｜>",
        "<｜hy_place▁holder▁no▁2｜>",
        "<｜hy_place▁holder▁no▁3｜>",
        "<｜hy_place▁holder▁no▁8｜>",
    ),
    bos="<｜hy_begin▁of▁sentence｜>",
    eos="<｜hy_place▁holder▁no▁2｜>",
    template=_TEMPLATE_A,
)
FAMILY_B: Final = Family(
    pre="hunyuan",
    control=("<|startoftext|>", "<|bos|>", "<|eos|>", "<|pad|>", "<|extra_0|>", "<|extra_4|>", "<|eod|>"),
    bos="<|startoftext|>",
    eos="<|eos|>",
    template=_TEMPLATE_B,
)
HY_V3: Final = Family(
    pre="hunyuan-dense",
    control=(
        "<｜hy_begin_of_sentence:opensource｜>",
        "<｜hy_User:opensource｜>",
        "<｜hy_Assistant:opensource｜>",
        "<｜hy_eos:opensource｜>",
        "<｜reasoning_mode:opensource｜>",
        "<think:opensource>",
        "</think:opensource>",
    ),
    bos="<｜hy_begin_of_sentence:opensource｜>",
    eos="<｜hy_eos:opensource｜>",
    template=_TEMPLATE_HY_V3,
)
CHATML: Final = Family(
    pre="gpt-2",
    control=("<|im_start|>", "<|im_end|>", "<|endoftext|>"),
    bos="<|im_start|>",
    eos="<|im_end|>",
    template=_TEMPLATE_CHATML,
)


@dataclass(frozen=True, slots=True)
class Faults:
    """Things to get wrong on purpose."""

    eos_is_plain_text: bool = False
    """EOS is `$`; the right one stands in the header as EOT, as in the files that have this fault."""
    names_eot: bool = True
    """Whether such a file names the EOT."""
    control_is_user_defined: bool = False
    """Special tokens have the type that tokenizers find in any text."""
    has_template: bool = True
    architecture: str | None = None
    """Written as `general.architecture`, whatever the tensors are."""
    extra_tensor_type: int | None = None
    """Type id of one more tensor, whether ggml knows it or not."""


NO_FAULTS: Final = Faults()


def write_hunyuan_dense(
    path: Path, family: Literal["A", "B"] = "A", *, faults: Faults = NO_FAULTS, seed: int = 1
) -> Path:
    """A dense Hunyuan model of either token family; returns the path."""
    writer = Writer(path, "hunyuan-dense", FAMILY_A if family == "A" else FAMILY_B, faults, seed)
    writer.add_model(attention_with_norms, dense)
    return writer.close()


def write_hunyuan_moe(path: Path, *, faults: Faults = NO_FAULTS, seed: int = 2) -> Path:
    """A Hunyuan mixture of 4 experts, 2 of them and a shared one used; returns the path."""
    family = replace(FAMILY_B, bos="<|bos|>")  # as A13B's converter writes it
    writer = Writer(path, "hunyuan-moe", family, faults, seed)
    writer.add_model(attention_with_norms, _mixture)
    return writer.close()


def write_hy_v3(path: Path, *, faults: Faults = NO_FAULTS, seed: int = 3) -> Path:
    """A Hy3 mixture, its first layer dense; returns the path."""
    writer = Writer(path, "hy_v3", HY_V3, faults, seed)
    writer.add_model(attention_with_norms, _mixture_after_dense)
    return writer.close()


def write_llama(path: Path, *, faults: Faults = NO_FAULTS, seed: int = 4) -> Path:
    """A Llama model with ChatML tokens; returns the path."""
    writer = Writer(path, "llama", CHATML, faults, seed)
    writer.add_model(attention, dense)
    return writer.close()


class Writer:
    """One GGUF in the making."""

    context_tokens = 2048

    def __init__(self, path: Path, architecture: str, family: Family, faults: Faults, seed: int) -> None:
        self.path = path
        self.architecture = architecture
        self.random = np.random.default_rng(seed)
        self.faults = faults
        self.gguf: Any = gguf.GGUFWriter(path, faults.architecture or architecture)
        self.vocabulary_size = self._add_tokenizer(family)
        if faults.has_template:
            self.gguf.add_chat_template(family.template)

    def add_model(self, attention: "_Part", feed_forward: "_Part") -> None:
        """All keys and tensors; the output is tied to the embeddings."""
        self.add_sizes()
        self.add("token_embd", self.vocabulary_size, _EMBEDDING)
        self.add_norm("output_norm", _EMBEDDING)
        for layer in range(_LAYERS):
            self.add_norm(f"blk.{layer}.attn_norm", _EMBEDDING)
            self.add_norm(f"blk.{layer}.ffn_norm", _EMBEDDING)
            attention(self, layer)
            feed_forward(self, layer)
        if self.faults.extra_tensor_type is not None:
            self.add_norm(_EXTRA_TENSOR, _EMBEDDING)

    def add(self, name: str, *shape: int) -> None:
        """A tensor of random weights, its shape in numpy's order, scaled so that activations keep their size."""
        weights: Weights = self.random.standard_normal(shape, dtype=np.float32) * np.float32(shape[-1] ** -0.5)
        self.gguf.add_tensor(f"{name}.weight", weights.astype(np.float16) if len(shape) > 1 else weights)

    def add_norm(self, name: str, length: int) -> None:
        """A normalisation's weights."""
        self.gguf.add_tensor(f"{name}.weight", np.ones(length, dtype=np.float32))

    def close(self) -> Path:
        """Write the file."""
        self.gguf.write_header_to_file()
        self.gguf.write_kv_data_to_file()
        self.gguf.write_tensors_to_file()
        self.gguf.close()
        if self.faults.extra_tensor_type is not None:
            _set_tensor_type(self.path, f"{_EXTRA_TENSOR}.weight", self.faults.extra_tensor_type)
        return self.path

    def add_sizes(self) -> None:
        self.gguf.add_name("Tiny test model")
        self.gguf.add_context_length(self.context_tokens)
        self.gguf.add_embedding_length(_EMBEDDING)
        self.gguf.add_block_count(_LAYERS)
        self.gguf.add_feed_forward_length(_FEED_FORWARD)
        self.gguf.add_head_count(_HEADS)
        self.gguf.add_head_count_kv(_KV_HEADS)
        self.gguf.add_key_length(_HEAD_LENGTH)
        self.gguf.add_value_length(_HEAD_LENGTH)
        self.gguf.add_rope_dimension_count(_HEAD_LENGTH)
        self.gguf.add_rope_freq_base(10_000.0)
        self.gguf.add_layer_norm_rms_eps(1e-5)
        if self.architecture in {"hunyuan-moe", "hy_v3"}:
            self.gguf.add_expert_count(_EXPERTS)
            self.gguf.add_expert_used_count(_EXPERTS_USED)
            self.gguf.add_expert_shared_count(1)
            self.gguf.add_expert_feed_forward_length(_FEED_FORWARD)
            self.gguf.add_expert_shared_feed_forward_length(_FEED_FORWARD)

    def _add_tokenizer(self, family: Family) -> int:
        plain, merges = byte_pairs()
        texts = [*plain, *family.control]
        eos = texts.index(family.eos)
        self.gguf.add_tokenizer_model("gpt2")
        self.gguf.add_tokenizer_pre(family.pre)
        self.gguf.add_token_list(texts)
        special = _USER_DEFINED if self.faults.control_is_user_defined else _CONTROL
        self.gguf.add_token_types([_NORMAL] * len(plain) + [special] * len(family.control))
        self.gguf.add_token_merges(merges)
        self.gguf.add_bos_token_id(texts.index(family.bos))
        self.gguf.add_eos_token_id(PLAIN_TEXT_EOS if self.faults.eos_is_plain_text else eos)
        if self.faults.eos_is_plain_text and self.faults.names_eot:
            self.gguf.add_eot_token_id(eos)
        self.gguf.add_add_bos_token(False)
        return len(texts)


_Part = Callable[[Writer, int], None]
"""Adds one part of a layer."""


def attention(writer: Writer, layer: int) -> None:
    writer.add(f"blk.{layer}.attn_q", _HEADS * _HEAD_LENGTH, _EMBEDDING)
    writer.add(f"blk.{layer}.attn_k", _KV_HEADS * _HEAD_LENGTH, _EMBEDDING)
    writer.add(f"blk.{layer}.attn_v", _KV_HEADS * _HEAD_LENGTH, _EMBEDDING)
    writer.add(f"blk.{layer}.attn_output", _EMBEDDING, _HEADS * _HEAD_LENGTH)


def attention_with_norms(writer: Writer, layer: int) -> None:
    attention(writer, layer)
    writer.add_norm(f"blk.{layer}.attn_q_norm", _HEAD_LENGTH)
    writer.add_norm(f"blk.{layer}.attn_k_norm", _HEAD_LENGTH)


def dense(writer: Writer, layer: int) -> None:
    writer.add(f"blk.{layer}.ffn_gate", _FEED_FORWARD, _EMBEDDING)
    writer.add(f"blk.{layer}.ffn_up", _FEED_FORWARD, _EMBEDDING)
    writer.add(f"blk.{layer}.ffn_down", _EMBEDDING, _FEED_FORWARD)


def _mixture(writer: Writer, layer: int) -> None:
    writer.add(f"blk.{layer}.ffn_gate_inp", _EXPERTS, _EMBEDDING)
    for name, experts in (("exps", (_EXPERTS,)), ("shexp", ())):
        writer.add(f"blk.{layer}.ffn_gate_{name}", *experts, _FEED_FORWARD, _EMBEDDING)
        writer.add(f"blk.{layer}.ffn_up_{name}", *experts, _FEED_FORWARD, _EMBEDDING)
        writer.add(f"blk.{layer}.ffn_down_{name}", *experts, _EMBEDDING, _FEED_FORWARD)


def _mixture_after_dense(writer: Writer, layer: int) -> None:
    (_mixture if layer else dense)(writer, layer)


def byte_pairs(words: tuple[str, ...] = _WORDS) -> tuple[list[str], list[str]]:
    """A byte-level vocabulary that holds these words, and its merges."""
    letters = _byte_letters()
    tokens, merges = list(letters.values()), list[tuple[str, str]]()
    for word in words:
        symbols = [letters[byte] for byte in word.encode()]
        for pair in merges:
            symbols = _merged(symbols, pair)
        while len(symbols) > 1:
            merges.append((symbols[0], symbols[1]))
            symbols = _merged(symbols, merges[-1])
            tokens.append(symbols[0])
    return tokens, [" ".join(pair) for pair in merges]


def _merged(symbols: list[str], pair: tuple[str, str]) -> list[str]:
    merged: list[str] = []
    for symbol in symbols:
        if merged and (merged[-1], symbol) == pair:
            merged[-1] += symbol
        else:
            merged.append(symbol)
    return merged


def _byte_letters() -> dict[int, str]:
    """GPT-2's letter for each byte: printable bytes stand for themselves and come first, others move past U+0100."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    moved = {byte: chr(256 + index) for index, byte in enumerate(others)}
    return {byte: chr(byte) for byte in printable} | moved


def _set_tensor_type(path: Path, name: str, type_id: int) -> None:
    """Change the type in a tensor's entry: it stands after the name, the number of dimensions and one dimension."""
    data = bytearray(path.read_bytes())
    place = data.index(name.encode()) + len(name) + 4 + 8
    data[place : place + 4] = type_id.to_bytes(4, "little")
    path.write_bytes(bytes(data))
