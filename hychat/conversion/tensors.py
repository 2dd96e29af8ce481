"""Which tensors of a checkpoint become which of llama.cpp; the names on both sides, layer by layer."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

from hychat.conversion.checkpoint import CONFIG, Checkpoint
from hychat.conversion.families import OTHER_CONVERTER, Geometry
from hychat.conversion.safetensors import StoredTensor
from hychat.domain.errors import ConversionError, InputUnreadable
from hychat.engine.gguf_cursor import shown
from hychat.messages import _


@dataclass(frozen=True, slots=True)
class PlannedTensor:
    """A tensor of the GGUF, and what it is made of."""

    name: str
    shape: tuple[int, ...]
    """In numpy's order."""
    parts: tuple[StoredTensor, ...]
    """Several are stacked along the first dimension."""
    is_exact: bool = False
    """Whether it stays in 32 bits: a norm, or what chooses experts."""


def as_wide_as_stored(geometry: Geometry, checkpoint: Checkpoint) -> Geometry:
    """The sizes, with the shared expert's from its weights where its config can be read in two ways.

    A `num_shared_expert` of 2 makes it twice as wide in the code that came with A13B, and does nothing in that of
    transformers (`HunYuanMoEV1MLP`), which writes the number all the same.
    """
    if geometry.family.biases or geometry.experts_shared <= 1:
        return geometry
    single = geometry.shared_feed_forward // geometry.experts_shared
    stored = checkpoint.tensors.get(f"model.layers.0.mlp.{geometry.family.shared[0]}.up_proj.weight")
    if stored is None or stored.shape[:1] != (single,):
        return geometry
    return replace(geometry, experts_shared=1, shared_feed_forward=single)


def plan_tensors(geometry: Geometry, checkpoint: Checkpoint) -> list[PlannedTensor]:
    """Every tensor of the GGUF, in the order it is written.

    Raises:
        InputUnreadable: One is missing, or has another shape than the config says.
        ConversionError: One has a type, or is one, that cannot be converted.
    """
    planned = list(_Walk(geometry, checkpoint).all())
    used = {part.name for tensor in planned for part in tensor.parts}
    if left := [name for name in checkpoint.tensors if name not in used and not _is_unneeded(name, geometry)]:
        raise ConversionError(
            _("{path} has a tensor that hychat does not know: {name}.").format(
                path=checkpoint.tensors[left[0]].path, name=shown(left[0])
            ),
            hint=OTHER_CONVERTER,
        )
    return planned


def _is_unneeded(name: str, geometry: Geometry) -> bool:
    """What llama.cpp computes itself, a copy of the embeddings, and layers that only guess the tokens after the next."""
    if name == "lm_head.weight":
        return not geometry.has_own_output
    layer = name.removeprefix("model.layers.").partition(".")[0]
    is_beyond = name.startswith("model.layers.") and layer.isdecimal() and int(layer[:9]) >= geometry.layers
    return is_beyond or name.endswith("rotary_emb.inv_freq")


@dataclass(frozen=True, slots=True)
class _Walk:
    """Through a checkpoint, layer by layer."""

    geometry: Geometry
    checkpoint: Checkpoint

    def all(self) -> Iterator[PlannedTensor]:
        size = self.geometry
        yield self._one("token_embd.weight", "model.embed_tokens.weight", size.vocabulary, size.embedding)
        yield self._one("output_norm.weight", "model.norm.weight", size.embedding)
        if size.has_own_output:
            yield self._one("output.weight", "lm_head.weight", size.vocabulary, size.embedding)
        for layer in range(size.layers):
            yield from self._attention(f"blk.{layer}", f"model.layers.{layer}")
            yield from self._feed_forward(f"blk.{layer}", f"model.layers.{layer}")

    def _attention(self, ours: str, theirs: str) -> Iterator[PlannedTensor]:
        size = self.geometry
        queries, keys = size.heads * size.head_length, size.kv_heads * size.head_length
        attention = f"{theirs}.self_attn"
        yield self._one(f"{ours}.attn_norm.weight", f"{theirs}.input_layernorm.weight", size.embedding)
        yield self._one(f"{ours}.attn_q.weight", f"{attention}.q_proj.weight", queries, size.embedding)
        yield self._one(f"{ours}.attn_k.weight", f"{attention}.k_proj.weight", keys, size.embedding)
        yield self._one(f"{ours}.attn_v.weight", f"{attention}.v_proj.weight", keys, size.embedding)
        yield self._one(f"{ours}.attn_output.weight", f"{attention}.o_proj.weight", size.embedding, queries)
        for name, norm in (("attn_q_norm", size.family.query_norm), ("attn_k_norm", size.family.key_norm)):
            yield self._one(f"{ours}.{name}.weight", f"{attention}.{norm}.weight", size.head_length)
        yield self._one(f"{ours}.ffn_norm.weight", f"{theirs}.post_attention_layernorm.weight", size.embedding)

    def _feed_forward(self, ours: str, theirs: str) -> Iterator[PlannedTensor]:
        size = self.geometry
        if not size.family.is_mixture or f"{theirs}.mlp.gate_proj.weight" in self.checkpoint.tensors:
            yield from self._gated(ours, "", f"{theirs}.mlp", size.feed_forward)
            return
        mixture, family = f"{theirs}.mlp", size.family
        router = self._either(mixture, family.routers)
        yield self._one(f"{ours}.ffn_gate_inp.weight", router, size.experts, size.embedding, is_exact=True)
        if family.biases:
            yield self._one(f"{ours}.exp_probs_b", self._either(mixture, family.biases), size.experts)
        yield from self._experts(ours, f"{mixture}.experts")
        shared = self._either(mixture, tuple(f"{name}.up_proj.weight" for name in family.shared))
        yield from self._gated(ours, "_shexp", shared.removesuffix(".up_proj.weight"), size.shared_feed_forward)

    def _gated(self, ours: str, suffix: str, theirs: str, length: int) -> Iterator[PlannedTensor]:
        embedding = self.geometry.embedding
        for kind, shape in (("gate", (length, embedding)), ("up", (length, embedding)), ("down", (embedding, length))):
            yield self._one(f"{ours}.ffn_{kind}{suffix}.weight", f"{theirs}.{kind}_proj.weight", *shape)

    def _experts(self, ours: str, theirs: str) -> Iterator[PlannedTensor]:
        size = self.geometry
        length, embedding = size.expert_feed_forward, size.embedding
        for kind, shape in (("gate", (length, embedding)), ("up", (length, embedding)), ("down", (embedding, length))):
            names = (f"{theirs}.{expert}.{kind}_proj.weight" for expert in range(size.experts))
            parts = tuple(self._stored(name, shape) for name in names)
            yield PlannedTensor(f"{ours}.ffn_{kind}_exps.weight", (size.experts, *shape), parts)

    def _either(self, theirs: str, names: Collection[str]) -> str:
        """The first of these names that the checkpoint has; else the first, which is then said to be missing."""
        full = [f"{theirs}.{name}" for name in names]
        return next((name for name in full if name in self.checkpoint.tensors), full[0])

    def _one(self, ours: str, theirs: str, *shape: int, is_exact: bool = False) -> PlannedTensor:
        return PlannedTensor(ours, shape, (self._stored(theirs, shape),), is_exact or len(shape) == 1)

    def _stored(self, name: str, shape: tuple[int, ...]) -> StoredTensor:
        tensor = self.checkpoint.tensors.get(name)
        if tensor is None:
            raise InputUnreadable(
                _("{path} has no tensor {name}.").format(path=self.checkpoint.folder, name=name),
                hint=_("A file of the checkpoint may be missing; fetch it again."),
            )
        if tensor.shape != shape:
            message = _("{path}: {name} is of shape {found}, and {config} asks for {wanted}.")
            raise InputUnreadable(
                message.format(path=tensor.path, name=name, found=list(tensor.shape), config=CONFIG, wanted=list(shape))
            )
        if tensor.dtype not in {"F32", "F16", "BF16"}:
            raise ConversionError(
                _("{path}: {name} is in {dtype}; only BF16, F16 and F32 can be converted.").format(
                    path=tensor.path, name=name, dtype=tensor.dtype
                ),
                hint=_("Convert the checkpoint in BF16, of the same name without -FP8, -AWQ-Int4 or -GPTQ-Int4."),
            )
        return tensor
