"""The part of a model that sees, through llama.cpp's mtmd: pictures to chunks, chunks to embeddings, those into the KV cache.

A picture becomes one chunk or, with some projectors, several with tokens between; each is encoded once and remembered.
"""

import base64
import ctypes
import hashlib
import os
import re
import weakref
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

from hychat.engine import wire
from hychat.engine.gguf import read_header
from hychat.engine.llama.bindings import PACKAGE
from hychat.engine.llama.context import BATCH_TOKENS, AbortFlag, CacheFull, Context, DecodeAborted, DecodeFailed
from hychat.engine.llama.model import LogTail, Model
from hychat.engine.llama.sequence import Chunk, PictureUnreadable, ProjectorLoadError
from hychat.engine.llama.tensor import name_at

_REMEMBERED_BYTES: Final = 64 << 20
"""Of pixels and embeddings, beside what runs: some thirty pictures of 200 tokens in a model of 2,048 floats a token."""
_SIGN_OF_LIFE_NODES: Final = 24
"""Of the encoder's graph, between two looks whether it shall stop."""
_LAYER: Final = re.compile(rb"-(\d+)")
"""Where the name of a node in the encoder's graph ends in the number of its layer (`clip_graph::cb`)."""
_TEXT: Final = 0  # mtmd_input_chunk_type
_TINY_SIDE: Final = 28
_ID_BYTES: Final = 4
_BYTES_PER_FLOAT: Final = 4


@dataclass(slots=True)
class _Picture:
    """What a picture is in a prompt."""

    items: list[int | Chunk]
    pixel_bytes: int
    """Of the picture as it was taken apart, which is let go when its embeddings are there."""

    @property
    def bytes(self) -> int:
        """Of memory, about."""
        chunks = [item for item in self.items if isinstance(item, Chunk)]
        waiting = any(chunk.embeddings is None for chunk in chunks)
        return self.pixel_bytes * waiting + sum(ctypes.sizeof(chunk.embeddings) for chunk in chunks if chunk.embeddings)


class _Handle:
    """A chunk of mtmd's, freed with the last who knows it."""

    __slots__ = ("__weakref__", "pointer")

    def __init__(self, pointer: Any, free: Callable[[Any], None]) -> None:
        self.pointer = pointer
        weakref.finalize(self, free, pointer)


@dataclass(slots=True)
class _Progress:
    """How far an encoder is."""

    tell: Callable[[float], None]
    nodes: int = 0
    layer: int = 0


class Vision:
    """A loaded projector."""

    def __init__(self, model: Model, path: str, *, threads: int, log: LogTail | None = None) -> None:
        """Load the file; `log` takes what mtmd says.

        Raises:
            ProjectorLoadError: mtmd refused it.
        """
        self._lib: Any = import_module(f"{PACKAGE}.mtmd_cpp")
        if log is not None:
            self._lib.mtmd_helper_log_set(log.callback, None)  # mtmd's own log with it
        self._model = model
        model.sees = True
        self.abort = AbortFlag()
        """Stops the encoder too."""
        self._progress: _Progress | None = None
        params = self._lib.mtmd_context_params_default()
        params.use_gpu = model.is_offloaded
        params.print_timings = False
        params.n_threads = threads
        params.warmup = False
        self._callback = type(params.cb_eval)(self._look_up)
        params.cb_eval = self._callback
        self._handle = self._lib.mtmd_init_from_file(os.fsencode(path), model.handle, params)
        if not self._handle:
            raise ProjectorLoadError
        if not self._lib.mtmd_support_vision(self._handle):
            raise ProjectorLoadError(wire.BLIND)
        self._has_grid = bool(self._lib.mtmd_decode_use_mrope(self._handle))
        self._layers = read_header(path).integer("clip.vision.block_count") or 1
        self._pictures: OrderedDict[tuple[bytes, int], _Picture] = OrderedDict()
        """By the digest of their file, and by their number in the prompt where that counts."""

    def close(self) -> None:
        """Free the memory; chunks must not be used any more."""
        self._pictures.clear()
        self._lib.mtmd_free(self._handle)

    # Pictures to chunks

    def items(self, file: str, nth: int) -> list[int | Chunk]:
        """What stands in a prompt for its `nth` picture: tokens of the projector's own, and chunks.

        Raises:
            PictureUnreadable: The base64 text holds no PNG or JPEG, or a picture that the projector does not take.
        """
        data = base64.b64decode(file)
        digest = hashlib.sha256(data).digest()
        key = digest, nth if self._has_grid else 0  # some models tell pictures apart by their number in the prompt
        picture = self._pictures.get(key)
        if picture is None:
            picture = self._pictures[key] = self._laid_out(data, *key)
            self._forget_oldest()
        self._pictures.move_to_end(key)
        return picture.items

    def _forget_oldest(self) -> None:
        while len(self._pictures) > 1 and sum(each.bytes for each in self._pictures.values()) > _REMEMBERED_BYTES:
            self._pictures.popitem(last=False)

    def _laid_out(self, data: bytes, digest: bytes, nth: int) -> _Picture:
        bitmap = self._bitmap(data)
        before = (ctypes.c_uint8 * (3 * _TINY_SIDE * _TINY_SIDE))()
        tiny = self._lib.mtmd_bitmap_init(_TINY_SIDE, _TINY_SIDE, before)
        try:
            skipped = nth * len(self._flat([tiny])) if nth else 0
            items = self._flat([tiny] * nth + [bitmap])[skipped:]
        finally:
            self._lib.mtmd_bitmap_free(tiny)
            pixels = self._lib.mtmd_bitmap_get_n_bytes(bitmap)
            self._lib.mtmd_bitmap_free(bitmap)
        chunks = [item for item in items if isinstance(item, Chunk)]
        for number, chunk in enumerate(chunks):
            chunk.ids = _ids(digest + bytes([number % 256, nth % 256]), len(chunk.ids))
        return _Picture(items, _BYTES_PER_FLOAT * pixels)

    def _bitmap(self, data: bytes) -> Any:
        buffer = (ctypes.c_uint8 * len(data)).from_buffer_copy(data)
        bitmap = self._lib.mtmd_helper_bitmap_init_from_buf(self._handle, buffer, len(data), False)
        if not bitmap:
            raise PictureUnreadable
        return bitmap

    def _flat(self, bitmaps: list[Any]) -> list[int | Chunk]:
        """Pictures side by side as tokens and chunks, whose ids are not known yet."""
        lib = self._lib
        chunks = lib.mtmd_input_chunks_init()
        try:
            parts = [lib.mtmd_input_part(None, bitmap) for bitmap in bitmaps]
            array = (ctypes.POINTER(lib.mtmd_input_part) * len(parts))(*map(ctypes.pointer, parts))
            if lib.mtmd_tokenize_from_parts(self._handle, chunks, array, len(parts), False):
                raise PictureUnreadable
            items: list[int | Chunk] = []
            for index in range(lib.mtmd_input_chunks_size(chunks)):
                items += self._items_of(lib.mtmd_input_chunks_get(chunks, index))
        finally:
            lib.mtmd_input_chunks_free(chunks)
        return items

    def _items_of(self, chunk: Any) -> list[int | Chunk]:
        lib = self._lib
        if lib.mtmd_input_chunk_get_type(chunk) == _TEXT:
            count = ctypes.c_size_t()
            tokens = lib.mtmd_input_chunk_get_tokens_text(chunk, ctypes.byref(count))
            return [*tokens[: count.value]]
        ids = [0] * lib.mtmd_input_chunk_get_n_tokens(chunk)
        handle = _Handle(lib.mtmd_input_chunk_copy(chunk), lib.mtmd_input_chunk_free)
        return [Chunk(handle, ids, lib.mtmd_input_chunk_get_n_pos(chunk))]

    # Chunks to embeddings

    def encode(self, chunk: Chunk, tell: Callable[[float], None]) -> None:
        """Give a chunk its embeddings; `tell` takes the share that is done, 0 to 1.

        Raises:
            DecodeAborted: The abort flag was set; nothing was changed.
            DecodeFailed: mtmd gave up.
        """
        if chunk.embeddings is not None:
            return
        size = len(chunk.ids)
        self._progress = _Progress(tell)
        try:
            failed = self._lib.mtmd_encode_chunk(self._handle, chunk.handle.pointer)
            if self.abort.is_set:
                raise DecodeAborted
            if failed:
                raise DecodeFailed(f"mtmd_encode_chunk returned {failed}")
        finally:
            self._progress = None
        floats = size * self._model.embedding_width
        chunk.embeddings = (ctypes.c_float * floats)()
        ctypes.memmove(chunk.embeddings, self._lib.mtmd_get_output_embd(self._handle), ctypes.sizeof(chunk.embeddings))
        without_pixels = self._lib.mtmd_input_chunk_get_placeholder(chunk.handle.pointer)
        if without_pixels:
            chunk.handle = _Handle(without_pixels, self._lib.mtmd_input_chunk_free)

    def _look_up(self, address: int, is_question: bool, _user_data: Any) -> bool:
        """Ggml asks of each node whether it is of interest, and tells when such a one is computed."""
        progress = self._progress
        if progress is None:
            return not is_question
        if is_question:
            progress.nodes += 1
            if found := _LAYER.search(name_at(address)):
                progress.layer = max(progress.layer, int(found[1]))
            return progress.nodes % _SIGN_OF_LIFE_NODES == 0
        progress.tell(min(progress.layer / self._layers, 1.0))
        return not self.abort.is_set

    # Embeddings into the KV cache

    def read(self, context: Context, sequence: int, chunk: Chunk, position: int) -> None:
        """Let a sequence read an encoded chunk.

        Raises:
            CacheFull: There is no room for it; some of it may have been read.
            DecodeAborted: The abort flag was set; some of it may have been read.
            DecodeFailed: llama.cpp cannot run it.
        """
        after = ctypes.c_int32()
        result: int = self._lib.mtmd_helper_decode_image_chunk(
            self._handle, context.handle, chunk.handle.pointer, chunk.embeddings, position, sequence, BATCH_TOKENS,
            ctypes.byref(after), self._lib.mtmd_helper_post_decode_callback(), None,
        )  # fmt: skip
        if result == 1:
            raise CacheFull
        if result == 2:  # noqa: PLR2004 - llama_decode's own code for an abort
            raise DecodeAborted
        if result:
            raise DecodeFailed(f"llama_decode returned {result} for a picture")


def _ids(key: bytes, count: int) -> list[int]:
    """Negative numbers made from a chunk's content: nothing else has the same ones."""
    noise = hashlib.shake_256(key).digest(_ID_BYTES * count)
    numbers = (int.from_bytes(noise[at : at + _ID_BYTES], "little") for at in range(0, len(noise), _ID_BYTES))
    return [-1 - (number & 0x7FFFFFFE) for number in numbers]
