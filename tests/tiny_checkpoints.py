"""Writes Hugging Face checkpoints of a few hundred kilobytes: random weights under transformers' names, in safetensors.

The weights come from numpy's RandomState, whose numbers never change, so that `parity/convert.npz` can hold what
transformers computes with them. Vocabularies are byte-level with a few merges, then the family's special tokens.
"""

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import ml_dtypes
import numpy as np

from tests.tiny_models import FAMILY_A, FAMILY_B, HY_V3, PLAIN_TEXT_EOS, Family, byte_pairs

Weights = Mapping[str, np.ndarray[Any, Any]]

EMBEDDING, HEADS, KV_HEADS, HEAD_LENGTH, FEED_FORWARD, LAYERS = 64, 4, 2, 16, 96, 2
EXPERTS, EXPERTS_USED, EXPERT_FEED_FORWARD = 8, 2, 32
LOGIT_IDS: Final = tuple((7 * number + 3) % 256 for number in range(64))
"""Tokens that the tiny models read in `parity/convert.npz`: all of plain text, which every vocabulary has."""
FAMILY_A_SPLITS: Final = (
    r"\p{N}{1,3}",
    "[一-龥぀-ゟ゠-ヿ]+",
    (
        "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+"
        "| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+"
    ),
)
FAMILY_B_SPLIT: Final = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""How the two families cut text, as their tokenizers' files say."""


@dataclass(frozen=True, slots=True)
class Tiny:
    """A checkpoint to write."""

    config: dict[str, Any]
    weights: Callable[[int], Weights]
    """By the number of tokens."""
    family: Family
    generation: dict[str, Any] = field(default_factory=dict)
    tokenizer_config: dict[str, Any] = field(default_factory=dict)

    def write(
        self,
        folder: Path,
        *,
        dtype: str = "F32",
        shards: int = 1,
        config: Mapping[str, Any] | None = None,
        tokenizer: Path | None = None,
    ) -> Path:
        """Write it all; `config` changes keys of config.json, `tokenizer` is a file to take. Returns the folder."""
        folder.mkdir(parents=True, exist_ok=True)
        plain = self._write_tokenizer(folder, tokenizer)
        count = plain + len(self.special)
        ids = self._special_ids(plain)
        write_json(folder / "config.json", {**self.config, "vocab_size": count, **ids, **(config or {})})
        write_json(folder / "generation_config.json", {"eos_token_id": ids["eos_token_id"], **self.generation})
        tokens = {"bos_token": self.family.bos, "eos_token": self.family.eos, "chat_template": self.family.template}
        write_json(folder / "tokenizer_config.json", {**tokens, **self.tokenizer_config})
        (folder / "README.md").write_text(CARD, encoding="utf-8")
        write_shards(folder, self.weights(count), dtype, shards)
        return folder

    @property
    def special(self) -> list[str]:
        """The control tokens, which stand behind all others."""
        return special_of_b() if self.family is FAMILY_B else [*self.family.control]

    def _special_ids(self, plain: int) -> dict[str, int]:
        """As the published configs have them: a dollar sign ends a document of family B."""
        bos, eos = (plain + self.special.index(text) for text in (self.family.bos, self.family.eos))
        eod = PLAIN_TEXT_EOS if self.family is FAMILY_B else eos
        return {"bos_token_id": bos, "eos_token_id": eos, "eod_token_id": eod, "pad_token_id": plain + 2}

    def _write_tokenizer(self, folder: Path, given: Path | None) -> int:
        """How many tokens stand for text."""
        name = "hy.tiktoken" if self.family is FAMILY_B else "tokenizer.json"
        if given:
            (folder / name).write_bytes(given.read_bytes())
        elif self.family is FAMILY_B:
            write_tiktoken(folder / name, byte_ranks())
        else:
            write_json(folder / name, tokenizer_json(*byte_pairs(), self.family.control))
        text = (folder / name).read_text(encoding="utf-8")
        return len(text.splitlines()) if self.family is FAMILY_B else len(json.loads(text)["model"]["vocab"])


CARD: Final = """---
license: other
license_name: tencent-hunyuan-community
license_link: https://example.org/LICENSE
language: [en, zh]
tags:
  - text-generation
---

# A tiny model
"""


def special_of_b() -> list[str]:
    """Family B's special tokens in their order, though not all of its 205 extras."""
    named = ["<|endoftext|>", "<|startoftext|>", "<|bos|>", "<|eos|>", "<|pad|>"]
    return named + [f"<|extra_{number}|>" for number in range(8)]


def byte_ranks() -> list[bytes]:
    """The tokens of `byte_pairs` as bytes, in order of rank."""
    tokens, _merges = byte_pairs()
    letters = {letter: byte for byte, letter in _letters().items()}
    return [bytes(letters[letter] for letter in token) for token in tokens]


def _letters() -> dict[int, str]:
    from hychat.conversion.byte_pairs import letters

    return letters()


def tokenizer_json(tokens: list[str], merges: list[str], control: tuple[str, ...]) -> dict[str, Any]:
    """A `tokenizer.json` of family A."""
    splits = [
        {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
        for pattern in FAMILY_A_SPLITS
    ]
    to_bytes = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {
        "version": "1.0",
        "added_tokens": [{"id": len(tokens) + n, "content": text, **flags} for n, text in enumerate(control)],
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [*splits, to_bytes]},
        "decoder": to_bytes,
        "post_processor": None,
        "model": {"type": "BPE", "vocab": {text: number for number, text in enumerate(tokens)}, "merges": merges},
    }


def write_tiktoken(path: Path, tokens: list[bytes]) -> None:
    """Tokens in order of rank."""
    lines = (f"{base64.b64encode(token).decode()} {rank}\n" for rank, token in enumerate(tokens))
    path.write_text("".join(lines), encoding="ascii")


def write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")


_DTYPES: Final = {"F32": np.dtype(np.float32), "F16": np.dtype(np.float16), "BF16": np.dtype(ml_dtypes.bfloat16)}


def write_shards(folder: Path, weights: Weights, dtype: str, shards: int) -> None:
    """One file, or several with their index; a layer's experts lie in several of them."""
    if shards == 1:
        write_safetensors(folder / "model.safetensors", weights, dtype)
        return
    names = [f"model-{number + 1:05}-of-{shards:05}.safetensors" for number in range(shards)]
    places = {name: names[number % shards] for number, name in enumerate(weights)}
    for shard in names:
        write_safetensors(folder / shard, {n: w for n, w in weights.items() if places[n] == shard}, dtype)
    write_json(folder / "model.safetensors.index.json", {"metadata": {}, "weight_map": places})


def write_safetensors(path: Path, weights: Weights, dtype: str) -> None:
    """The format's header, then the tensors one behind the other."""
    data = {name: np.ascontiguousarray(weight.astype(_DTYPES[dtype])).tobytes() for name, weight in weights.items()}
    header, begin = dict[str, Any](), 0
    for name, weight in weights.items():
        end = begin + len(data[name])
        header[name] = {"dtype": dtype, "shape": list(weight.shape), "data_offsets": [begin, end]}
        begin = end
    text = json.dumps({"__metadata__": {"format": "pt"}, **header}).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(data.values()))


class _Random:
    """Weights that keep the size of what passes through them."""

    def __init__(self, seed: int) -> None:
        self._state = np.random.RandomState(seed)
        self.weights: dict[str, np.ndarray[Any, Any]] = {}

    def add(self, name: str, *shape: int, scale: float = 1.0) -> None:
        weight = self._state.standard_normal(shape) * scale * shape[-1] ** -0.5
        self.weights[name] = weight.astype(np.float32)

    def add_norm(self, name: str, length: int) -> None:
        self.weights[name] = (1 + 0.1 * self._state.standard_normal(length)).astype(np.float32)

    def add_vector(self, name: str, length: int, scale: float) -> None:
        self.weights[name] = (scale * self._state.standard_normal(length)).astype(np.float32)

    def add_ends(self, count: int, *, has_output: bool) -> None:
        self.add("model.embed_tokens.weight", count, EMBEDDING, scale=4.0)
        self.add_norm("model.norm.weight", EMBEDDING)
        if has_output:
            self.add("lm_head.weight", count, EMBEDDING)

    def add_attention(self, layer: str, norms: tuple[str, str]) -> None:
        self.add(f"{layer}.self_attn.q_proj.weight", HEADS * HEAD_LENGTH, EMBEDDING)
        self.add(f"{layer}.self_attn.k_proj.weight", KV_HEADS * HEAD_LENGTH, EMBEDDING)
        self.add(f"{layer}.self_attn.v_proj.weight", KV_HEADS * HEAD_LENGTH, EMBEDDING)
        self.add(f"{layer}.self_attn.o_proj.weight", EMBEDDING, HEADS * HEAD_LENGTH)
        for norm in norms:
            self.add_norm(f"{layer}.self_attn.{norm}.weight", HEAD_LENGTH)
        self.add_norm(f"{layer}.input_layernorm.weight", EMBEDDING)
        self.add_norm(f"{layer}.post_attention_layernorm.weight", EMBEDDING)

    def add_gated(self, name: str, length: int) -> None:
        self.add(f"{name}.gate_proj.weight", length, EMBEDDING)
        self.add(f"{name}.up_proj.weight", length, EMBEDDING)
        self.add(f"{name}.down_proj.weight", EMBEDDING, length)

    def add_experts(self, mixture: str, length: int) -> None:
        for expert in range(EXPERTS):
            self.add_gated(f"{mixture}.experts.{expert}", length)


def _dense_weights(count: int) -> Weights:
    random = _Random(1)
    random.add_ends(count, has_output=False)
    for layer in range(LAYERS):
        random.add_attention(f"model.layers.{layer}", ("query_layernorm", "key_layernorm"))
        random.add_gated(f"model.layers.{layer}.mlp", FEED_FORWARD)
    return random.weights


def _mixture_weights(count: int) -> Weights:
    random = _Random(2)
    random.add_ends(count, has_output=True)
    for layer in range(LAYERS):
        mixture = f"model.layers.{layer}.mlp"
        random.add_attention(f"model.layers.{layer}", ("query_layernorm", "key_layernorm"))
        random.add(f"{mixture}.gate.wg.weight", EXPERTS, EMBEDDING)
        random.add_experts(mixture, EXPERT_FEED_FORWARD)
        random.add_gated(f"{mixture}.shared_mlp", EXPERT_FEED_FORWARD)
    return random.weights


def _hy_v3_weights(count: int) -> Weights:
    random = _Random(3)
    random.add_ends(count, has_output=True)
    for layer in range(LAYERS):
        mixture = f"model.layers.{layer}.mlp"
        random.add_attention(f"model.layers.{layer}", ("q_norm", "k_norm"))
        if layer == 0:
            random.add_gated(mixture, FEED_FORWARD)
            continue
        random.add(f"{mixture}.router.gate.weight", EXPERTS, EMBEDDING)
        random.add_vector(f"{mixture}.expert_bias", EXPERTS, 0.1)
        random.add_experts(mixture, EXPERT_FEED_FORWARD)
        random.add_gated(f"{mixture}.shared_mlp", EXPERT_FEED_FORWARD)
    return random.weights


_SIZES: Final[dict[str, Any]] = {
    "hidden_size": EMBEDDING,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "num_key_value_heads": KV_HEADS,
    "head_dim": HEAD_LENGTH,
    "hidden_act": "silu",
    "rms_norm_eps": 1e-5,
    "max_position_embeddings": 32768,
}
_ALPHA: Final = {"type": "dynamic", "alpha": 1000.0, "factor": 1.0}

DENSE: Final = Tiny(
    {
        **_SIZES,
        "architectures": ["HunYuanDenseV1ForCausalLM"],
        "model_type": "hunyuan_v1_dense",
        "intermediate_size": FEED_FORWARD,
        "tie_word_embeddings": True,
        "rope_theta": 10000.0,
        "rope_scaling": _ALPHA,
    },
    _dense_weights,
    FAMILY_A,
    generation={"do_sample": True, "temperature": 0.7, "top_k": 20, "top_p": 0.8, "repetition_penalty": 1.05},
)
MIXTURE: Final = Tiny(
    {
        **_SIZES,
        "architectures": ["HunYuanMoEV1ForCausalLM"],
        "model_type": "hunyuan_v1_moe",
        "intermediate_size": EXPERT_FEED_FORWARD,
        "moe_intermediate_size": [EXPERT_FEED_FORWARD] * LAYERS,
        "num_experts": EXPERTS,
        "num_shared_expert": [1] * LAYERS,
        "moe_topk": [EXPERTS_USED] * LAYERS,
        "rope_theta": 10000.0,
        "rope_scaling": _ALPHA,
    },
    _mixture_weights,
    FAMILY_B,
)
HY3: Final = Tiny(
    {
        **_SIZES,
        "architectures": ["HYV3ForCausalLM"],
        "model_type": "hy_v3",
        "intermediate_size": FEED_FORWARD,
        "moe_intermediate_size": EXPERT_FEED_FORWARD,
        "num_experts": EXPERTS,
        "num_shared_experts": 1,
        "num_experts_per_tok": EXPERTS_USED,
        "router_scaling_factor": 2.826,
        "rope_parameters": {"rope_type": "default", "rope_theta": 11158840.0},
    },
    _hy_v3_weights,
    HY_V3,
)
ALL: Final = {"dense": DENSE, "mixture": MIXTURE, "hy3": HY3}
