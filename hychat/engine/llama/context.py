"""A llama.cpp context: the KV cache, and one batch that is decoded step by step."""

import ctypes
import os
from dataclasses import dataclass
from typing import Any, Final

from hychat.engine.llama.bindings import lib
from hychat.engine.llama.model import F16, Model

BATCH_TOKENS: Final = 512
"""Most tokens of one step: llama.cpp's own micro-batch, so that reading a prompt runs at full speed."""
_SHORT_CONTEXT_TOKENS: Final = 512
_LONG_CONTEXT_MICRO_BATCH_TOKENS: Final = 256
_FLASH_ATTENTION_AUTO: Final = -1
_FLASH_ATTENTION_OFF: Final = 0

_libc: Final = ctypes.CDLL(None)


class ContextTooLarge(Exception):
    """There is no memory for a context of this size."""


class DecodeFailed(Exception):
    """llama_decode gave up on a batch."""


class DecodeAborted(Exception):
    """The abort flag stopped a batch; what it had written to the KV cache must be removed."""


class CacheFull(Exception):
    """The KV cache has no room for the batch; nothing was changed."""


class AbortFlag:
    """Stops a running `llama_decode` on the CPU, from any thread.

    ggml asks its abort callback at every node of the graph. The callback is C's own `strlen` on a two-byte buffer: zero, so
    false, while the buffer is empty. No Python runs between two nodes.
    """

    def __init__(self) -> None:
        self._buffer = ctypes.create_string_buffer(2)
        self.callback = ctypes.cast(_libc.strlen, lib.ggml_abort_callback)
        self.data = ctypes.cast(self._buffer, ctypes.c_void_p)

    def set(self) -> None:
        """Stop the step that runs."""
        self._buffer[0] = b"x"

    @property
    def is_set(self) -> bool:
        """Whether a step shall stop."""
        return self._buffer[0] != b"\0"

    def clear(self) -> None:
        """Let the next step run."""
        self._buffer[0] = b"\0"


@dataclass(slots=True)
class Entry:
    """A run of tokens of one sequence in a batch."""

    sequence: int
    position: int
    """Of the first token."""
    tokens: list[int]
    wants_logits: bool
    """Of the last token."""
    logits_index: int = -1
    """Where the batch has them; filled in by `decode`."""


class Context:
    """The KV cache of one model, shared by up to `slots` sequences.

    On the CPU flash attention is for short contexts: its kernel there reads a prompt 5 to 10 % faster, but writes slower the
    longer the context is (Hunyuan 0.5B, Q4_0: 0.87 of the speed at 1,000 tokens, 0.64 at 3,000; heads of 64: 0.6 and 0.43), and
    sums in 16 bits. A smaller micro-batch makes up for most of the first, and for the larger compute buffer.
    """

    def __init__(  # noqa: PLR0913 - each is one choice
        self, model: Model, *, tokens: int, slots: int, threads: int, abort: AbortFlag, on_tensor: Any = None
    ) -> None:
        """Reserve the cache; `on_tensor` is an eval callback, which sees what is computed and takes time.

        Raises:
            ContextTooLarge: There is no memory for it.
        """
        params = lib.llama_context_default_params()
        params.n_ctx = tokens
        params.n_batch = BATCH_TOKENS
        params.type_k = params.type_v = model.kv_type
        is_needed = model.is_offloaded or model.kv_type != F16  # without it values cannot be quantized
        is_flash = is_needed or (tokens <= _SHORT_CONTEXT_TOKENS and not model.sees)
        params.flash_attn_type = _FLASH_ATTENTION_AUTO if is_flash else _FLASH_ATTENTION_OFF
        params.n_ubatch = BATCH_TOKENS if is_flash else _LONG_CONTEXT_MICRO_BATCH_TOKENS
        params.n_seq_max = slots
        params.n_outputs_max = slots  # only a prompt's last token and decode tokens need logits
        params.n_threads = threads
        params.n_threads_batch = threads
        params.kv_unified = True  # sequences share cells, and may share a prefix
        params.abort_callback = abort.callback
        params.abort_callback_data = abort.data
        if on_tensor is not None:
            params.cb_eval = on_tensor
        self._on_tensor = on_tensor  # llama.cpp keeps a bare pointer
        self._handle = lib.llama_init_from_model(model.handle, params)
        if not self._handle:
            raise ContextTooLarge
        self._memory = lib.llama_get_memory(self._handle)
        self._batch = lib.llama_batch_init(BATCH_TOKENS, 0, 1)
        self._abort = abort  # its buffer must outlive the context
        self.tokens = tokens
        self._threads = threads

    @property
    def handle(self) -> Any:
        """The C pointer, for samplers."""
        return self._handle

    def close(self) -> None:
        """Free the memory."""
        lib.llama_batch_free(self._batch)
        lib.llama_free(self._handle)

    def set_threads(self, threads: int) -> None:
        """Use this many threads from the next step on."""
        if threads != self._threads:
            self._threads = threads
            lib.llama_set_n_threads(self._handle, threads, threads)

    def decode(self, entries: list[Entry]) -> None:
        """Run one batch: the KV cache takes the entries' tokens, and those that want logits have them.

        Raises:
            CacheFull: There is no room for it.
            DecodeAborted: The abort flag was set.
            DecodeFailed: llama.cpp cannot run this batch.
        """
        self._fill(entries)
        result: int = lib.llama_decode(self._handle, self._batch)
        if result == 1:
            raise CacheFull
        if result == 2:  # noqa: PLR2004 - llama_decode's own code for an abort
            raise DecodeAborted
        if result:
            raise DecodeFailed(f"llama_decode returned {result}")

    def _fill(self, entries: list[Entry]) -> None:
        batch, row = self._batch, 0
        for entry in entries:
            for offset, token in enumerate(entry.tokens):
                batch.token[row] = token
                batch.pos[row] = entry.position + offset
                batch.n_seq_id[row] = 1
                batch.seq_id[row][0] = entry.sequence
                batch.logits[row] = 0
                row += 1
            if entry.wants_logits:
                batch.logits[row - 1] = 1
                entry.logits_index = row - 1
        batch.n_tokens = row

    def synchronize(self) -> None:
        """Wait until the last step is computed."""
        lib.llama_synchronize(self._handle)

    def forget(self, sequence: int, start: int) -> bool:
        """Drop a sequence's cells from position `start` on; False where the model's memory cannot be cut there."""
        return bool(lib.llama_memory_seq_rm(self._memory, sequence, start, -1))

    def forget_all(self, sequence: int) -> None:
        """Drop all of a sequence's cells."""
        lib.llama_memory_seq_rm(self._memory, sequence, -1, -1)

    def share(self, source: int, target: int, end: int) -> None:
        """Let `target` have the cells of `source` up to position `end`; none is copied."""
        lib.llama_memory_seq_cp(self._memory, source, target, 0, end)

    def copy_state(self, sequence: int) -> Any:
        """The KV cells of a sequence, as a C buffer that `restore_state` of another context takes."""
        size: int = lib.llama_state_seq_get_size(self._handle, sequence)
        buffer = (ctypes.c_uint8 * size)()
        lib.llama_state_seq_get_data(self._handle, buffer, size, sequence)
        return buffer

    def restore_state(self, sequence: int, state: Any) -> bool:
        """Take the cells of `copy_state`; False where they do not fit."""
        return bool(lib.llama_state_seq_set_data(self._handle, state, len(state), sequence))

    def save_state(self, sequence: int, tokens: list[int], path: str) -> bool:
        """Write a sequence's cells and their tokens to a file."""
        array = (ctypes.c_int32 * len(tokens))(*tokens)
        return bool(lib.llama_state_seq_save_file(self._handle, os.fsencode(path), sequence, array, len(tokens)))

    def load_state(self, sequence: int, path: str) -> list[int] | None:
        """Read a sequence's cells from a file; their tokens, or None where the file does not fit this model or context."""
        array = (ctypes.c_int32 * self.tokens)()
        count = ctypes.c_size_t()
        done = lib.llama_state_seq_load_file(
            self._handle, os.fsencode(path), sequence, array, self.tokens, ctypes.byref(count)
        )
        return array[: count.value] if done else None


def tokens_in_state(path: str) -> int:
    """Tokens of a state file: the third 32-bit word of its header (`llama_state_seq_save_file`: magic, version, count)."""
    with open(path, "rb") as file:  # noqa: PTH123 - pathlib adds nothing
        header = file.read(12)
    return int.from_bytes(header[8:12], "little")
