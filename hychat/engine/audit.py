"""Would this model answer as it was trained to? Asked of the header before anything is loaded.

llama.cpp loads more than it can run well: a projector, a model that ends its answers with a dollar sign, private tensor
types whose numbers mean something else by now, a base model that never saw a chat. Some counts abort the process when
they are out of range (`GGML_ASSERT` in `llama-model.cpp`). All of these are refused here, with the reason.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Final

from hychat.domain.errors import ModelRefused
from hychat.engine.gguf import TENSOR_TYPES, GgufHeader, check_whole
from hychat.engine.gguf_cursor import damaged, shown
from hychat.messages import _

LLAMA_CPP_PYTHON: Final = "0.3.36"
"""The release that the facts in this module were taken from."""

_CHAT_ARCHITECTURES = """
    afmoe apertus arcee arctic arwkv7 baichuan bailingmoe bailingmoe2 bailingmoe3 bitnet bloom chameleon chatglm
    codeshell cogvlm cohere2 cohere2moe command-r dbrx deci deepseek deepseek2 deepseek2-ocr deepseek32 deepseek4
    dots1 dots3note ernie4_5 ernie4_5-moe exaone exaone-moe exaone4 falcon falcon-h1 gemma gemma2 gemma3 gemma3n
    gemma4 glm-dsa glm4 glm4moe glm5-next gpt-oss gpt2 gptneox granite granite_swa granitehybrid granitemoe
    graniteswitch grok grovemoe hrm_text hunyuan-dense hunyuan-moe hunyuan_vl hy_v3 hy_v4 internlm2 jais jais2
    jamba kimi-k3 kimi-linear laguna lfm2 lfm2moe llama llama4 maincoder mamba mamba2 maple mellum mimo2 minicpm
    minicpm3 minimax-01 minimax-m2 minimax-m3 mistral3 mistral4 mpt muse-glimmer nanbeige nemotron nemotron_h
    nemotron_h_moe olmo olmo2 olmoe openelm orion paddleocr pangu-embedded phi2 phi3 phimoe plamo plamo2 plamo3 plm
    qwen qwen2 qwen2moe qwen2vl qwen3 qwen35 qwen35moe qwen3moe qwen3next qwen3vl qwen3vlmoe qwen4exp refact rwkv6
    rwkv6qwen2 rwkv7 seed_oss smallthinker smollm3 spark2_5 stablelm starcoder starcoder2 step35 talkie xverse
"""
CHAT_ARCHITECTURES: Final = frozenset(_CHAT_ARCHITECTURES.split())
"""Architectures that llama-cpp-python 0.3.36 loads and that write text token by token (`src/llama-arch.cpp`)."""

_ENCODERS: Final = frozenset(
    (
        *(
            "bert",
            "eurobert",
            "gemma-embedding",
            "jina-bert-v2",
            "jina-bert-v3",
            "llama-embed",
            "modern-bert",
            "neo-bert",
        ),
        *("nomic-bert", "nomic-bert-moe", "t5", "t5encoder"),
    )
)
_OTHER_TASKS: Final = frozenset(
    (
        *("dream", "llada", "llada-moe", "rnd1"),  # diffusion: all tokens at once
        *("dflash", "eagle3", "gemma4-assistant"),  # draft heads
        *("pockettts", "qwen3tts", "wavtokenizer-dec"),  # speech
    )
)
_PROJECTOR: Final = "clip"
_MODEL_TYPES: Final = (None, "", "model")

_PRIVATE_TYPE_IDS: Final = (40, 42)
"""Ids that AngelSlim's patched llama.cpp writes for STQ1_0 and Q2_0C; in ggml they are NVFP4 and Q2_0."""
_PRIVATE_TYPE_NAMES: Final = ("angelslim", "stq")

_LAYERS_LIMIT: Final = 512
_EXPERTS_LIMIT: Final = 1024
_ROPE_SCALINGS: Final = (None, "none", "linear", "yarn", "longrope")

EOS_KEY: Final = "tokenizer.ggml.eos_token_id"
_TOKENS_KEY: Final = "tokenizer.ggml.tokens"
_CONTROL_TYPES: Final = (3, 4)  # control, user defined
_DEFAULT_EOS: Final = {"gpt2": 11, "llama": 2}
"""What llama.cpp takes for EOS when the header does not say, by `tokenizer.ggml.model` (`llama-vocab.cpp`)."""

_HUNYUAN_EOS: Final = {
    "hunyuan": ("<|eos|>",),
    "hunyuan-dense": ("<｜hy_place▁holder▁no▁2｜>",),
}
"""The right EOS of Hunyuan's two token families, by `tokenizer.ggml.pre`; 127960 and 120020 in the published models."""
_HY_V3_EOS: Final = ("<｜hy_eos:opensource｜>", "<｜hy_eos｜>", "<eos:6124c78e>", "<｜hy_place▁holder▁no▁2｜>")
_OWN_LAYOUTS: Final = ("hunyuan-dense", "hunyuan-moe", "hy_v3")
"""Architectures whose prompts our own builders lay out, whether or not the file carries a template."""


@dataclass(frozen=True, slots=True)
class ModelFamily:
    """What tells how a model's prompts are laid out."""

    architecture: str
    tokenizer_pre: str
    """Empty when the header does not say."""
    template: str | None
    """The model's own Jinja text; None when it carries none and our own builder knows the family."""
    bos: str
    """Text of the token a prompt begins with; empty when there is none."""
    eos: str


@dataclass(frozen=True, slots=True)
class AuditVerdict:
    """The model may be loaded."""

    family: ModelFamily
    overrides: Mapping[str, int] = field(default_factory=dict)
    """Header keys that have to be loaded with another value (llama.cpp's `kv_overrides`)."""


def audit(header: GgufHeader, *, known_architectures: Collection[str] | None = None) -> AuditVerdict:
    """Whether and how the model may be loaded; architectures are this module's unless others are given.

    Raises:
        ModelRefused: It would not answer as it was trained to; the error says why.
        ModelDamaged: Its tensors or keys do not fit together, or bytes are missing.
    """
    architecture = check_sound(header, known_architectures=known_architectures)
    overrides = _eos_override(header, architecture)
    eos_id = overrides.get(EOS_KEY, _eos_id(header))
    family = ModelFamily(
        architecture=architecture,
        tokenizer_pre=header.tokenizer_pre or "",
        template=_template(header, architecture),
        bos=header.token_text(header.bos_token_id),
        eos=header.token_text(eos_id),
    )
    return AuditVerdict(family, overrides)


def check_sound(header: GgufHeader, *, known_architectures: Collection[str] | None = None) -> str:
    """Whether llama.cpp can load it and have it write text, whatever it would answer in a chat; its architecture.

    Raises:
        ModelRefused: It is no such model, or in a number format that would be read as another.
        ModelDamaged: Its tensors or keys do not fit together, or bytes are missing.
    """
    architecture = _chat_architecture(header, known_architectures)
    _check_tensor_types(header, architecture)
    _check_places(header)
    _check_counts(header)
    return architecture


def _chat_architecture(header: GgufHeader, known: Collection[str] | None) -> str:
    architecture = header.architecture or ""
    if architecture == _PROJECTOR or header.text("general.type") == "mmproj":
        raise _refused(
            header,
            _("{path} is a projector (mmproj), which lets a model see images, not a model."),
            _("Give the model's own file; the projector belongs beside it."),
        )
    if header.text("general.type") not in _MODEL_TYPES:
        kind = shown(header.text("general.type") or "")
        raise _refused(header, _("{path} is not a model: it says of itself that it is of type {kind}."), kind=kind)
    if not architecture:
        raise damaged(_("{path} is damaged: it does not name its architecture."), header.path)
    if architecture in _ENCODERS:
        message = _("{path} is an encoder ({architecture}): it reads text and writes none.")
        raise _refused(header, message, architecture=architecture)
    if architecture in _OTHER_TASKS:
        message = _("{path} is of the architecture {architecture}, which does not chat.")
        raise _refused(header, message, architecture=architecture)
    if architecture not in (CHAT_ARCHITECTURES if known is None else known):
        raise _unknown_architecture(header, architecture)
    return architecture


def _unknown_architecture(header: GgufHeader, architecture: str) -> ModelRefused:
    message = _("{path} is of the architecture {architecture}, which this build of llama.cpp does not know.")
    hint = _("Look for a llama-cpp-python newer than {version} that knows it.").format(version=LLAMA_CPP_PYTHON)
    return _refused(header, message, hint, architecture=shown(architecture))


def _check_tensor_types(header: GgufHeader, architecture: str) -> None:
    if not header.tensors and header.split_count == 1:
        raise _refused(header, _("{path} holds a vocabulary only, no weights."))
    is_suspect = _is_hunyuan(architecture) or _names_private_types(header)
    for tensor in header.tensors:
        if tensor.type_id not in TENSOR_TYPES:
            message = _("{path} has tensors of type {type_id}, which this build of llama.cpp does not know.")
            hint = _("Take a file quantized as Q4_K_M, Q4_0 or Q8_0.")
            raise _refused(header, message, hint, type_id=tensor.type_id)
        if is_suspect and tensor.type_id in _PRIVATE_TYPE_IDS:
            message = _("{path} is quantized with a private type ({type_id}) that only a patched llama.cpp reads.")
            hint = _("Take the model's Q4_K_M file; 1.25-bit and 2-bit Hunyuan files answer with garbage here.")
            raise _refused(header, message, hint, type_id=tensor.type_id)


def _is_hunyuan(architecture: str) -> bool:
    return architecture.startswith(("hunyuan", "hy_v"))


def _names_private_types(header: GgufHeader) -> bool:
    keys = ("general.name", "general.quantized_by", "general.organization", "general.repo_url")
    said = " ".join((PurePath(header.path).name, *(header.text(key) or "" for key in keys))).lower()
    return any(name in said for name in _PRIVATE_TYPE_NAMES)


def _check_places(header: GgufHeader) -> None:
    """Tensors must stand one after the other, as `gguf.cpp` wants them, and whole."""
    if header.split_number:
        message = _("{path} is part {number} of a model in {count} files.")
        hint = _("Give the first of them: its name ends in -00001-of-{count:05}.gguf.").format(count=header.split_count)
        raise _refused(header, message, hint, number=header.split_number + 1, count=header.split_count)
    end = 0
    for tensor in header.tensors:
        if tensor.offset != -(-end // header.alignment) * header.alignment:
            message = _("{path} is damaged: the tensor {name} does not stand where the one before it ends.")
            raise damaged(message, header.path, name=shown(tensor.name))
        end = tensor.offset + tensor.bytes
    check_whole(header)


def _check_counts(header: GgufHeader) -> None:
    """The counts that llama.cpp cannot do without, within the limits that abort it."""
    name = header.architecture
    experts, used = header.expert_count, header.expert_used_count
    rules: dict[str, bool] = {
        f"{name}.block_count": 1 <= (header.block_count or 0) <= _LAYERS_LIMIT,
        f"{name}.context_length": (header.context_tokens or 0) > 0,
        f"{name}.embedding_length": (header.embedding_length or 0) > 0,
        f"{name}.expert_count": 0 <= experts <= _EXPERTS_LIMIT,
        f"{name}.expert_used_count": (1 <= used <= experts) if experts else used == 0,
        f"{name}.rope.dimension_count": name not in _OWN_LAYOUTS or _turns_whole_heads(header),
        f"{name}.rope.scaling.type": header.text(f"{name}.rope.scaling.type") in _ROPE_SCALINGS,
        "tokenizer.ggml.model": bool(header.text("tokenizer.ggml.model")),
        _TOKENS_KEY: header.vocabulary_size > 0,
    }
    for key, is_sound in rules.items():
        if not is_sound:
            message = _("{path} is damaged: its key {key} is missing or has an impossible value.")
            raise damaged(message, header.path, key=key)


def _turns_whole_heads(header: GgufHeader) -> bool:
    """Whether keys, values and the part of them that RoPE turns are of one length, as Hunyuan's graphs insist."""
    turned = header.integer(f"{header.architecture}.rope.dimension_count")
    return header.value_length == header.key_length and turned in {None, header.key_length}


def _eos_id(header: GgufHeader) -> int | None:
    said = header.eos_token_id
    return _DEFAULT_EOS.get(header.text("tokenizer.ggml.model") or "") if said is None else said


def _eos_override(header: GgufHeader, architecture: str) -> dict[str, int]:
    """The key that corrects the token an answer ends with, where the header names a token of plain text.

    Such a file stops at the first `$` it writes: the converter confused two ids of the 7B's.
    """
    if _is_control(header, _eos_id(header)):
        return {}
    for token_id in _eos_candidates(header, architecture):
        if _is_control(header, token_id):
            return {EOS_KEY: token_id}
    message = _("{path} ends its answers with {eos}, which is no control token: they would break off in the middle.")
    hint = _("Take another conversion of the model.")
    raise _refused(header, message, hint, eos=shown(header.token_text(_eos_id(header))))


def _eos_candidates(header: GgufHeader, architecture: str) -> Iterator[int]:
    known = _known_eos(header, architecture)
    if known:
        ids = {text: token_id for token_id, text in enumerate(header.array_items(_TOKENS_KEY)) if text in known}
        yield from (ids[text] for text in known if text in ids)
    end_of_turn = header.integer("tokenizer.ggml.eot_token_id")
    if end_of_turn is not None:
        yield end_of_turn


def _known_eos(header: GgufHeader, architecture: str) -> tuple[str, ...]:
    if architecture == "hy_v3":
        return _HY_V3_EOS
    return _HUNYUAN_EOS.get(header.tokenizer_pre or "", ()) if _is_hunyuan(architecture) else ()


def _is_control(header: GgufHeader, token_id: int | None) -> bool:
    if token_id is None or token_id >= header.vocabulary_size:
        return False
    return header.token_type(token_id) in _CONTROL_TYPES


def _template(header: GgufHeader, architecture: str) -> str | None:
    """The model's own template; only Hunyuan's text models may lack one, because our own builders know them.

    HY-MT1.5 is published without.
    """
    template = header.chat_template
    is_known = architecture in _OWN_LAYOUTS and bool(_known_eos(header, architecture))
    if template is None and not is_known:
        message = _("{path} carries no chat template: it is a base model, or its conversion lost it.")
        raise _refused(header, message, _("Take the model's instruct or chat version."))
    return template


def _refused(header: GgufHeader, message: str, hint: str = "", **values: object) -> ModelRefused:
    text = message.format(path=header.path, **values)
    return ModelRefused(text, hint=hint or _("Give the .gguf file of a chat model."))
