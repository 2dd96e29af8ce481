"""Hunyuan's three architectures, and a model's sizes.

Facts from transformers 5.23 (`models/hunyuan_v1_dense`, `hunyuan_v1_moe`, `hy_v3`) and from what llama.cpp's loader asks for
(`src/models/hunyuan-*.cpp`, `hy-v3.cpp`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from hychat.conversion.checkpoint import Config
from hychat.domain.errors import ConversionError
from hychat.engine.gguf_cursor import shown
from hychat.messages import _

_MOST_LAYERS: Final = 512
_MOST_EXPERTS: Final = 1024
"""Both are llama.cpp's."""
_LONG_CONTEXT_ALPHA: Final = 1000.0
_LONG_CONTEXT_TOKENS: Final = 262_144
"""Alpha 1000 makes the model reach 256K (Hunyuan-A13B technical report), though configs say 32K."""
_SIGMOID: Final = 2  # llama.cpp's number for the router's function
OTHER_CONVERTER: Final = _("llama.cpp's own converter may: python convert_hf_to_gguf.py FOLDER --outfile OUT.gguf")


@dataclass(frozen=True, slots=True)
class Family:
    """How an architecture of transformers is called in llama.cpp, and how its checkpoint names what differs."""

    architecture: str
    query_norm: str
    key_norm: str
    is_mixture: bool = False
    routers: tuple[str, ...] = ()
    """Names that the router's weights have, below `mlp`."""
    biases: tuple[str, ...] = ()
    """Names of what is added when experts are chosen."""
    shared: tuple[str, ...] = ("shared_mlp",)


FAMILIES: Final[Mapping[str, Family]] = {
    "HunYuanDenseV1ForCausalLM": Family("hunyuan-dense", "query_layernorm", "key_layernorm"),
    "HunYuanMoEV1ForCausalLM": Family(
        "hunyuan-moe", "query_layernorm", "key_layernorm", is_mixture=True, routers=("gate.wg.weight",)
    ),
    "HYV3ForCausalLM": Family(
        "hy_v3",
        "q_norm",
        "k_norm",
        is_mixture=True,
        routers=("router.gate.weight", "gate.weight"),
        biases=("expert_bias", "e_score_correction_bias"),
        shared=("shared_mlp", "shared_experts"),
    ),
}
"""By the class that `config.json` names."""


@dataclass(frozen=True, slots=True)
class Geometry:
    """A model's sizes."""

    family: Family
    vocabulary: int
    layers: int
    embedding: int
    feed_forward: int
    """Of a dense layer; in a mixture without dense layers, of one expert."""
    heads: int
    kv_heads: int
    head_length: int
    context_tokens: int
    norm_epsilon: float
    rope_base: float
    experts: int = 0
    experts_used: int = 0
    experts_shared: int = 0
    expert_feed_forward: int = 0
    shared_feed_forward: int = 0
    router_scale: float = 1.0
    router_normalises: bool = True
    has_own_output: bool = True

    def add_to(self, writer: Any) -> None:
        """Write the keys that llama.cpp reads them from."""
        writer.add_block_count(self.layers)
        writer.add_context_length(self.context_tokens)
        writer.add_embedding_length(self.embedding)
        writer.add_feed_forward_length(self.feed_forward)
        writer.add_head_count(self.heads)
        writer.add_head_count_kv(self.kv_heads)
        writer.add_key_length(self.head_length)
        writer.add_value_length(self.head_length)
        writer.add_rope_dimension_count(self.head_length)
        writer.add_rope_freq_base(self.rope_base)
        writer.add_layer_norm_rms_eps(self.norm_epsilon)
        writer.add_vocab_size(self.vocabulary)
        if self.family.is_mixture:
            writer.add_expert_count(self.experts)
            writer.add_expert_used_count(self.experts_used)
            writer.add_expert_shared_count(self.experts_shared)
            writer.add_expert_feed_forward_length(self.expert_feed_forward)
            writer.add_expert_shared_feed_forward_length(self.shared_feed_forward)
        if self.family.biases:
            writer.add_expert_weights_scale(self.router_scale)
            writer.add_expert_weights_norm(self.router_normalises)
            writer.add_key_value(f"{self.family.architecture}.expert_gating_func", _SIGMOID, _uint32())


def _uint32() -> Any:
    from gguf import GGUFValueType

    return GGUFValueType.UINT32


def family_of(name: str, config: Config) -> Family:
    """How to convert a checkpoint.

    Raises:
        ConversionError: hychat does not convert it; the hint names what does.
    """
    family = FAMILIES.get(name)
    if family is None:
        raise ConversionError(
            _("hychat does not convert {architecture}, only {known}.").format(
                architecture=shown(name) if name else _("a checkpoint that names no architecture"),
                known=", ".join(FAMILIES),
            ),
            hint=OTHER_CONVERTER,
        )
    if config.get("quantization_config") is not None:
        raise ConversionError(
            _("{path} says that the checkpoint is quantized already.").format(path=config.path),
            hint=_("Convert the one in BF16, of the same name without -FP8, -AWQ-Int4 or -GPTQ-Int4."),
        )
    if config.truth("use_cla", default=False) or config.truth("attention_bias", default=False):
        raise ConversionError(
            _("{path} has use_cla or attention_bias, which llama.cpp cannot run.").format(path=config.path)
        )
    return family


def read_geometry(family: Family, config: Config) -> Geometry:
    """The sizes that a config gives.

    Raises:
        InputUnreadable: One is missing, or makes no sense.
        ConversionError: llama.cpp cannot run a model of this kind.
    """
    embedding, heads = config.integer("hidden_size"), config.integer("num_attention_heads")
    head_length = config.integer("head_dim", "attention_head_dim", default=max(1, embedding // heads))
    rope = config.section("rope_parameters", "rope_scaling")
    geometry = partial(
        Geometry,
        family,
        vocabulary=config.integer("vocab_size"),
        layers=_at_most(_MOST_LAYERS, config, "num_hidden_layers"),
        embedding=embedding,
        heads=heads,
        kv_heads=config.integer("num_key_value_heads", default=heads),
        head_length=head_length,
        context_tokens=_context_tokens(config, rope),
        norm_epsilon=config.number("rms_norm_eps", default=1e-5),
        rope_base=_rope_base(config, rope, head_length),
        has_own_output=not config.truth("tie_word_embeddings", default=False),
    )
    dense = config.integer("intermediate_size")
    if not family.is_mixture:
        return geometry(feed_forward=dense)
    expert = config.integer("moe_intermediate_size", "intermediate_size")
    shared_count = config.integer("num_shared_expert", "num_shared_experts", default=1)
    return geometry(
        feed_forward=dense if family.biases else expert,
        experts=_at_most(_MOST_EXPERTS, config, "num_experts", "num_local_experts"),
        experts_used=config.integer("moe_topk", "num_experts_per_tok"),
        experts_shared=shared_count,
        expert_feed_forward=expert,
        shared_feed_forward=(expert if family.biases else dense) * shared_count,
        router_scale=config.number("router_scaling_factor", default=1.0),
        router_normalises=config.truth("route_norm", default=True),
    )


def _at_most(most: int, config: Config, *names: str) -> int:
    count = config.integer(*names)
    if count > most:
        raise ConversionError(
            _("{path}: {name} is {count}, and llama.cpp takes {most} at most.").format(
                path=config.path, name=names[0], count=count, most=most
            )
        )
    return count


def _rope_type(rope: Config) -> str:
    kind = rope.get("rope_type", "type")
    return kind if isinstance(kind, str) else "default"


def _rope_base(config: Config, rope: Config, head_length: int) -> float:
    """The base of the rotary frequencies, with alpha baked in: base * alpha^(d / (d - 2)) for heads of d elements.

    That is what transformers computes for `dynamic` with an alpha (`hunyuan_v1_dense`); the frequencies do not depend on
    the length of the text then.
    """
    base = rope.number("rope_theta", default=config.number("rope_theta", default=10_000.0))
    kind = _rope_type(rope)
    if kind == "dynamic" and rope.get("alpha") is not None and head_length > 2:  # noqa: PLR2004 - the formula's
        return float(base * rope.number("alpha") ** (head_length / (head_length - 2)))
    if kind == "default" or rope.number("factor", default=1.0) == 1.0:
        return base
    raise ConversionError(
        _("{path}: positions scaled as {kind} cannot be converted.").format(path=config.path, kind=kind)
    )


def _context_tokens(config: Config, rope: Config) -> int:
    said = config.integer("max_position_embeddings", default=_LONG_CONTEXT_TOKENS)
    is_long = _rope_type(rope) == "dynamic" and rope.number("alpha", default=1.0) >= _LONG_CONTEXT_ALPHA
    return max(said, _LONG_CONTEXT_TOKENS) if is_long else said
