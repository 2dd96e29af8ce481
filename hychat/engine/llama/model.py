"""A loaded model: its vocabulary, and what is known of it."""

import ctypes
import os
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, Final, TypeVar

from hychat.engine.footprint import is_on_machine
from hychat.engine.llama.bindings import lib
from hychat.engine.llama.offload import Offload

_BUFFER: Final = re.compile(r"(\S+) +(model|KV|compute|output) buffer size = +([\d.]+) MiB")
_MIB: Final = 1 << 20
_USER_DEFINED: Final = 1 << 4  # llama_token_attr
_MARKER: Final = re.compile(r"<[|｜].+[|｜]>", re.DOTALL)
"""How control tokens are written, by whatever name a vocabulary files them."""
_BEFORE_REASON: Final = re.compile(r"^(.*(error loading model|failed to load model '[^']*'): )?(\w+: (error: )?)?")
"""What llama.cpp's code says of itself in front of a reason."""
_NO_REASON: Final = re.compile("failed to load model$|Failed to load CLIP model")
"""What it adds when the reason is told."""
_THOUGHT_TAG: Final = re.compile(rb"</?(think|answer)(:opensource)?>")
"""Tags that some vocabularies hold as one control token; the thought parser needs to see them."""

F16: Final = 1
NOTHING_OFFLOADED: Final = Offload()

SegmentList = Iterable[tuple[str, bool] | list[Any]]


_Item = TypeVar("_Item")


class ModelLoadError(Exception):
    """llama.cpp could not load the file."""


_KEPT_CALLBACKS: Final[list[Any]] = []
"""llama.cpp keeps bare pointers to them, so they live as long as the process."""


class LogTail:
    """llama.cpp's log: everything goes to the process's stderr (the engine log), the last errors are kept."""

    def __init__(self) -> None:
        self.errors: list[str] = []
        self.buffers: dict[str, dict[str, int]] = {}
        """Bytes that were taken, by memory (`CPU`, `CPU_Mapped`, `CUDA0`) and use: model, KV, compute, output."""
        self._level = 0
        self.callback = lib.llama_log_callback(self._take)
        _KEPT_CALLBACKS.append(self.callback)
        lib.llama_log_set(self.callback, ctypes.c_void_p(0))

    def _take(self, level: int, text: bytes, _user_data: object) -> None:
        line = (text or b"").decode("utf-8", "replace")
        continued, error = 5, 4  # ggml_log_level
        self._level = self._level if level == continued else level
        if found := _BUFFER.search(line):
            self._note(found[1], found[2], int(float(found[3]) * _MIB))
        if self._level == error and line.strip():
            self.errors = [*self.errors[-9:], line.strip()]
        if self._level > 1:  # debug lines would fill the log
            os.write(2, line.encode())

    def _note(self, memory: str, use: str, size: int) -> None:
        """A model can have several buffers in one memory; of a context that has grown the newest counts."""
        held = self.buffers.setdefault(memory, {})
        held[use] = held.get(use, 0) + size if use == "model" else size

    @property
    def has_weights_on_devices(self) -> bool:
        """Whether a device took weights of the model."""
        return any(held.get("model") for memory, held in self.buffers.items() if not is_on_machine(memory))

    def last_error(self) -> str:
        """The newest errors in one line, oldest first, each as its reason alone."""
        reasons = [_BEFORE_REASON.sub("", line) for line in self.errors[-3:] if not _NO_REASON.search(line)]
        return "; ".join(reasons or self.errors[-1:])


class Model:
    """One GGUF in memory."""

    def __init__(self, handle: Any, *, is_offloaded: bool = False) -> None:
        self._handle = handle
        self.is_offloaded = is_offloaded
        """Whether some of its layers are on a device."""
        self.kv_type = F16
        """ggml's type of the KV caches of its contexts."""
        self.sees = False
        """Whether its prompts may hold pictures, so that its contexts are never short."""
        self.vocab = lib.llama_model_get_vocab(handle)
        self.vocab_size: int = lib.llama_vocab_n_tokens(self.vocab)
        self._pieces: dict[int, bytes] = {}
        self._markers: dict[int, str] = {}

    @classmethod
    def load(
        cls,
        path: str,
        *,
        offload: Offload = NOTHING_OFFLOADED,
        overrides: Mapping[str, int] | None = None,
        on_progress: Callable[[float], None] = lambda _fraction: None,
    ) -> "Model":
        """Load a file; `on_progress` takes the share loaded, 0 to 1.

        Raises:
            ModelLoadError: llama.cpp refused the file.
        """
        params = lib.llama_model_default_params()
        kept = offload.put_into(params)
        params.check_tensors = False
        params.use_extra_bufts = not _has_amx()

        def go_on(fraction: float, _user_data: object) -> bool:
            on_progress(fraction)
            return True

        callback = lib.llama_progress_callback(go_on)
        params.progress_callback = callback
        override_array = _override_array(overrides or {})
        if override_array is not None:
            params.kv_overrides = override_array
        handle = lib.llama_model_load_from_file(os.fsencode(path), params)
        del kept
        if not handle:
            raise ModelLoadError(path)
        return cls(handle, is_offloaded=offload.gpu_layers != 0)

    @property
    def handle(self) -> Any:
        """The C pointer."""
        return self._handle

    def close(self) -> None:
        """Free the memory."""
        lib.llama_model_free(self._handle)

    def tokenize(self, segments: SegmentList) -> list[int]:
        """Token ids of a prompt; control tokens are recognised in control segments only."""
        tokens: list[int] = []
        for text, is_control in segments:
            if is_control:
                tokens += self._tokenize_text(text, parse_special=True)
            else:
                tokens += self._tokenize_plain(text)
        return tokens

    def _tokenize_plain(self, text: str) -> list[int]:
        """Plain text holds no control token.

        llama.cpp finds tokens that a vocabulary calls "user defined" in any text, and a few vocabularies call their end token
        so; its text is then cut after the first character, and no token spans the cut.
        """
        markers: set[str] = set()
        while True:
            parts = _cut(text, markers)
            tokens = [token for part in parts for token in self._tokenize_text(part, parse_special=False)]
            found = {marker for token in set(tokens) if (marker := self._marker(token))} - markers
            if not found:
                return tokens
            markers |= found

    def _marker(self, token: int) -> str:
        """The text of a token that must not stand in plain text and yet may be found there; empty for all others."""
        known = self._markers.get(token)
        if known is None:
            text = self._piece(token, special=True).decode("utf-8", "replace")
            is_found_anywhere = lib.llama_vocab_get_attr(self.vocab, token) & _USER_DEFINED
            is_marker = len(text) > 1 and (
                self.ends_generation(token) or (is_found_anywhere and _MARKER.fullmatch(text))
            )
            known = self._markers[token] = text if is_marker else ""
        return known

    def _tokenize_text(self, text: str, *, parse_special: bool) -> list[int]:
        data = text.encode("utf-8", "replace")
        return self._tokenize_bytes(data, parse_special=parse_special) if data else []

    def _tokenize_bytes(self, data: bytes, *, parse_special: bool) -> list[int]:
        capacity = len(data) + 8
        while True:
            buffer = (ctypes.c_int32 * capacity)()
            count = lib.llama_tokenize(self.vocab, data, len(data), buffer, capacity, False, parse_special)
            if count >= 0:
                return buffer[:count]
            capacity = -count

    def with_bos(self, tokens: Sequence[int | _Item]) -> list[int | _Item]:
        """The prompt with the BOS token that its vocabulary asks for, where the template did not write it."""
        bos: int = lib.llama_vocab_bos(self.vocab)
        needs_bos = lib.llama_vocab_get_add_bos(self.vocab) and bos >= 0 and tokens[:1] != [bos]
        return [bos, *tokens] if needs_bos else [*tokens]

    def piece(self, token: int) -> bytes:
        """The bytes a token stands for; nothing for a control token, but for the tags of thoughts."""
        known = self._pieces.get(token)
        if known is None:
            known = self._piece(token, special=False)
            if not known:
                text = self._piece(token, special=True)
                known = text if _THOUGHT_TAG.fullmatch(text) else b""
            self._pieces[token] = known
        return known

    def _piece(self, token: int, *, special: bool) -> bytes:
        capacity = 64
        while True:
            buffer = ctypes.create_string_buffer(capacity)
            length: int = lib.llama_token_to_piece(self.vocab, token, buffer, capacity, 0, special)
            if length >= 0:
                return buffer.raw[:length]
            capacity = -length  # a negative length says how much room it needs

    def is_text(self, token: int) -> bool:
        """Whether the token stands for text, and is no control token."""
        return bool(self._piece(token, special=False))

    def ends_generation(self, token: int) -> bool:
        """Whether the token ends an answer (EOS, EOT and their kin)."""
        return bool(lib.llama_vocab_is_eog(self.vocab, token))

    @cached_property
    def control_tokens(self) -> list[int]:
        """Control tokens that end nothing: an answer never needs one."""
        tokens = range(self.vocab_size)
        return [t for t in tokens if lib.llama_vocab_is_control(self.vocab, t) and not self.ends_generation(t)]

    @property
    def keeps_every_position(self) -> bool:
        """Whether the KV cache can be cut and shared at any position; recurrent models keep one state a sequence."""
        return not (lib.llama_model_is_recurrent(self._handle) or lib.llama_model_is_hybrid(self._handle))

    @property
    def embedding_width(self) -> int:
        """Floats that stand for a token of a picture."""
        return int(lib.llama_model_n_embd_inp(self._handle))

    @property
    def trained_context_tokens(self) -> int:
        """The context that the header claims."""
        return int(lib.llama_model_n_ctx_train(self._handle))

    def metadata(self) -> dict[str, str]:
        """What to show of the model and of this build."""
        buffer = ctypes.create_string_buffer(256)
        lib.llama_model_desc(self._handle, buffer, len(buffer))
        return {
            "description": buffer.value.decode("utf-8", "replace"),
            "parameters": str(lib.llama_model_n_params(self._handle)),
            "bytes": str(lib.llama_model_size(self._handle)),
            "layers": str(lib.llama_model_n_layer(self._handle)),
            "trained_context_tokens": str(self.trained_context_tokens),
            "system": lib.llama_print_system_info().decode("utf-8", "replace").strip(),
        }


def _cut(text: str, markers: Collection[str]) -> list[str]:
    """The text in parts, cut after the first character of every marker."""
    if not markers:
        return [text]
    any_marker = "|".join(re.escape(marker) for marker in markers)
    return re.split(f"(?<=(?={any_marker}).)", text, flags=re.DOTALL)


def _has_amx() -> bool:
    """Whether this build multiplies with Intel's AMX tiles.

    Its kernels end the process on many machines: the tile permission is asked for one thread only, and GCC drops the tile
    configuration from the stack (ggml-org/llama.cpp pull request 26954, issue 20824). Without llama.cpp's extra buffer types
    the plain kernels are used.
    """
    return b"AMX_INT8 = 1" in lib.llama_print_system_info()


def _override_array(overrides: Mapping[str, int]) -> Any:
    """A C array of integer overrides, ended by an empty key; None for none."""
    if not overrides:
        return None
    array = (lib.llama_model_kv_override * (len(overrides) + 1))()
    for entry, (key, value) in zip(array, overrides.items(), strict=False):
        entry.tag = lib.LLAMA_KV_OVERRIDE_TYPE_INT
        entry.key = key.encode()
        entry.value.val_i64 = value
    return array
