"""What of a model goes where, and how long its context may grow: worked out from the header, before it is loaded.

Which memory counts. KV cache and compute buffers are anonymous memory that llama.cpp writes to at once, so they must
fit what is available now (Linux: `MemAvailable`, which counts the page cache that can be dropped). Weights are mapped
from the file: the kernel may drop them and read them again, so they need no more than the machine's whole memory
(`MemTotal`), but an answer crawls when they are read again for every token. A context beyond `SHORT_CONTEXT_TOKENS` is
therefore only given where everything fits what is available. Weights of the types in `_COPIED_TYPES` are the exception:
the CPU backend copies them into anonymous memory in another order (`ggml-cpu/repack.cpp`), and they count as the KV
cache does.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from hychat.domain.errors import ModelTooLarge
from hychat.engine.gguf import TENSOR_TYPES, GgufHeader, largest
from hychat.messages import _

CONTEXT_STEP_TOKENS: Final = 256
LEAST_CONTEXT_TOKENS: Final = 512
SHORT_CONTEXT_TOKENS: Final = 2_048
USUAL_CONTEXT_TOKENS: Final = 8_192
"""Unless more is asked for, all layers on a device with this context are better than a longer one and fewer layers."""
MOST_CONTEXT_TOKENS: Final = 32_768
"""The longest context that is taken unasked; a Hunyuan header claims 262,144."""

_BATCH_TOKENS: Final = 512
_CPU_BATCH_TOKENS: Final = 256
_FLOAT_BYTES: Final = 4
_MASK_BYTES: Final = 2
_MEMORY_SHARE: Final = 0.9
"""The rest of what is available is left to other programs, and to the moment in which a context grows."""
_DEVICE_RESERVE_BYTES: Final = 256 << 20
_COPIED_TYPES: Final = frozenset(
    type_id
    for type_id, kind in TENSOR_TYPES.items()
    if kind.name in {"Q2_K", "Q4_0", "Q4_K", "Q5_K", "Q6_K", "Q8_0", "IQ4_NL", "MXFP4"}
)


@dataclass(frozen=True, slots=True)
class Device:
    """Something layers can be offloaded to."""

    name: str
    description: str
    kind: str
    """`gpu`, or `igpu` for one that shares the machine's memory."""
    free_bytes: int
    total_bytes: int


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """How to load a model."""

    context_tokens: int
    """The most a run may grow to."""
    gpu_layers: int
    """llama.cpp's `n_gpu_layers`; one more than the model has layers when the output goes along."""
    kv_bytes: int
    """Of the KV cache at that context."""
    reason: str
    """The plan in one sentence, for the user."""


def plan(  # noqa: PLR0913 - what is known of model and machine
    header: GgufHeader,
    *,
    available_memory_bytes: int,
    devices: Sequence[Device] = (),
    context_tokens_wanted: int | None = None,
    total_memory_bytes: int | None = None,
    model_bytes: int | None = None,
) -> LoadPlan:
    """The longest context that fits, and as many layers on devices as fit with it.

    Args:
        header: Of the model, or of its first part.
        available_memory_bytes: Memory that is free or can be freed without swapping.
        devices: What layers can go to; the machine's own memory is left out of them.
        context_tokens_wanted: What the user asked for; None: what is usual.
        total_memory_bytes: The machine's memory; None: as much as is available.
        model_bytes: Weights of all parts together; None: those of this file.

    Raises:
        ModelTooLarge: The model does not fit with the shortest context.
    """
    needs = _Needs.of(header, model_bytes, devices)
    room = _Room(available_memory_bytes, max(total_memory_bytes or 0, available_memory_bytes))
    most = _most_tokens(header, context_tokens_wanted)
    usual = most if context_tokens_wanted else min(most, USUAL_CONTEXT_TOKENS)

    whole = _longest(most, lambda tokens: needs.is_offloaded(tokens) and needs.fits(tokens, room))
    tokens = whole if whole and whole >= usual else _longest(most, lambda tokens: needs.fits(tokens, room))
    if tokens is None:
        raise _too_large(header, needs, room)
    layers = needs.device_layers(tokens)
    return LoadPlan(tokens, layers, needs.kv_bytes(tokens), _reason(needs, tokens, layers))


def compute_bytes(header: GgufHeader, tokens: int, *, is_offloaded: bool) -> int:
    """Bytes of the compute buffer at this context, fitted to what llama.cpp reports.

    With flash attention (see `llama.context.Context`) 4 rows of the residual stream and 3 of the feed-forward layer live at a
    time, beside the mask between batch and context. Without, attention needs most: the scores of every head and the mask,
    4 rows of the queries and one of the residual stream.
    """
    stream, widest = header.embedding_length or 0, _widest_feed_forward(header)
    mask_tokens = tokens if is_offloaded else LEAST_CONTEXT_TOKENS
    flash = _BATCH_TOKENS * ((4 * stream + 3 * widest) * _FLOAT_BYTES + mask_tokens * _MASK_BYTES)
    heads = largest(header.head_count)
    attention = stream + 4 * heads * (header.key_length or 0) + tokens * (heads + 1)
    needed = flash if is_offloaded else max(flash, _CPU_BATCH_TOKENS * attention * _FLOAT_BYTES)
    return needed + header.vocabulary_size * _FLOAT_BYTES


def _widest_feed_forward(header: GgufHeader) -> int:
    experts = header.expert_used_count * (header.integer(f"{header.architecture}.expert_feed_forward_length") or 0)
    return max(largest(header.feed_forward_length), experts)


class _Room(NamedTuple):
    """Memory for the parts that stay on the machine, in bytes."""

    available: int
    total: int


class _Needs(NamedTuple):
    """What a model takes, in bytes."""

    layers: int
    weights: int
    layer: int
    """Weights of one layer."""
    output: int
    """Weights that go to a device after the last layer."""
    copied_share: float
    """How much of a layer the CPU backend copies."""
    kv_per_token: int
    header: GgufHeader
    devices: tuple[Device, ...]
    """Those that are used: GPUs, else such as share the machine's memory, as llama.cpp takes them."""

    @classmethod
    def of(cls, header: GgufHeader, model_bytes: int | None, devices: Sequence[Device]) -> "_Needs":
        """Read off the header."""
        sizes = {tensor.name: tensor.bytes for tensor in header.tensors}
        inputs = sizes.get("token_embd.weight", 0)
        output = sizes.get("output.weight", inputs)  # tied: a device gets a copy of its own
        weights = model_bytes or header.tensor_bytes
        layers = max(1, header.block_count or 1)
        in_layers = max(0, weights - inputs - sizes.get("output.weight", 0))
        copied = sum(tensor.bytes for tensor in header.tensors if tensor.type_id in _COPIED_TYPES)
        gpus = tuple(device for device in devices if device.kind == "gpu")
        return cls(
            layers=layers,
            weights=weights,
            layer=in_layers // layers,
            output=output,
            copied_share=min(1.0, copied / max(1, header.tensor_bytes)),
            kv_per_token=header.kv_bytes_per_token(),
            header=header,
            devices=gpus or tuple(device for device in devices if device.kind == "igpu"),
        )

    def kv_bytes(self, tokens: int) -> int:
        """Of the KV cache."""
        return self.kv_per_token * tokens

    def compute_bytes(self, tokens: int) -> int:
        """Of the compute buffer on the machine."""
        on_cpu = compute_bytes(self.header, tokens, is_offloaded=False)
        return max(on_cpu, compute_bytes(self.header, tokens, is_offloaded=True)) if self.devices else on_cpu

    def device_layers(self, tokens: int) -> int:
        """How many layers the devices take."""
        compute = compute_bytes(self.header, tokens, is_offloaded=True)
        free = sum(max(0, device.free_bytes - _DEVICE_RESERVE_BYTES - compute) for device in self.devices)
        layer = max(1, self.layer + self.kv_bytes(tokens) // self.layers)
        is_whole = free >= layer * self.layers + self.output
        return self.layers + 1 if is_whole and self.devices else min(self.layers, free // layer)

    def is_offloaded(self, tokens: int) -> bool:
        """Whether the devices take all layers."""
        return self.device_layers(tokens) > self.layers

    def anonymous_bytes(self, tokens: int) -> int:
        """Memory of the machine that is written to."""
        share = self._share_on_machine(tokens)
        return int((self.kv_bytes(tokens) + self.weights * self.copied_share) * share) + self.compute_bytes(tokens)

    def mapped_bytes(self, tokens: int) -> int:
        """Memory of the machine that is only read, and could be read again from the file."""
        on_machine = self.weights - self.layer * self.layers + self.layer * self.layers * self._share_on_machine(tokens)
        return int(on_machine * (1 - self.copied_share))

    def fits(self, tokens: int, room: _Room) -> bool:
        """Whether what stays on the machine fits."""
        anonymous = self.anonymous_bytes(tokens)
        whole = room.total if tokens <= SHORT_CONTEXT_TOKENS else room.available
        is_written_fitting = anonymous <= room.available * _MEMORY_SHARE
        return is_written_fitting and anonymous + self.mapped_bytes(tokens) <= whole * _MEMORY_SHARE

    def _share_on_machine(self, tokens: int) -> float:
        """Which share of the layers is in the machine's memory."""
        if any(device.kind == "igpu" for device in self.devices):
            return 1.0
        return 1 - min(self.layers, self.device_layers(tokens)) / self.layers


def _most_tokens(header: GgufHeader, wanted: int | None) -> int:
    trained = header.context_tokens or MOST_CONTEXT_TOKENS
    steps = min(-(-(wanted or MOST_CONTEXT_TOKENS) // CONTEXT_STEP_TOKENS), trained // CONTEXT_STEP_TOKENS)
    return max(LEAST_CONTEXT_TOKENS, steps * CONTEXT_STEP_TOKENS)


def _longest(most: int, fits: Callable[[int], bool]) -> int | None:
    """The longest context that fits; None when not even the shortest does. What fits also fits shorter."""
    contexts = range(LEAST_CONTEXT_TOKENS, most + 1, CONTEXT_STEP_TOKENS)
    fitting = bisect_left(contexts, True, key=lambda tokens: not fits(tokens))
    return contexts[fitting - 1] if fitting else None


def _too_large(header: GgufHeader, needs: _Needs, room: _Room) -> ModelTooLarge:
    needed = needs.anonymous_bytes(LEAST_CONTEXT_TOKENS) + needs.mapped_bytes(LEAST_CONTEXT_TOKENS)
    message = _(
        "{path} needs {needed} of memory with the shortest context ({tokens} tokens); {available} is available."
    )
    text = message.format(
        path=header.path, needed=_size(needed), tokens=LEAST_CONTEXT_TOKENS, available=_size(room.available)
    )
    return ModelTooLarge(text, hint=_("Take a smaller model or a smaller quantization, or close other programs."))


def _reason(needs: _Needs, tokens: int, layers: int) -> str:
    names = ", ".join(device.name for device in needs.devices)
    if layers > needs.layers:
        message = _("All {all} layers on {devices}, context up to {tokens} tokens ({kv}).")
    elif layers:
        message = _("{layers} of {all} layers on {devices}, the rest on the CPU, context up to {tokens} tokens ({kv}).")
    elif needs.devices:
        message = _("No layer fits {devices}: all {all} on the CPU, context up to {tokens} tokens ({kv}).")
    else:
        message = _("All {all} layers on the CPU, context up to {tokens} tokens ({kv}).")
    kv = _size(needs.kv_bytes(tokens))
    return message.format(layers=layers, all=needs.layers, devices=names, tokens=tokens, kv=kv)


def _size(count: int) -> str:
    gib = count / 2**30
    return f"{gib:.1f} GiB" if gib >= 1 else f"{count / 2**20:.0f} MiB"
