"""Reads a text through a model in chunks of equal length, each from an empty cache, as llama-perplexity and llama-imatrix do."""

import ctypes
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from hychat.engine.llama.bindings import lib
from hychat.engine.llama.devices import offload_devices
from hychat.engine.llama.model import LogTail, Model, ModelLoadError
from hychat.engine.llama.offload import Offload
from hychat.engine.llama.threads import default_threads
from hychat.engine.task_host import CannotDo
from hychat.messages import _, ngettext

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BATCH_TOKENS: Final = 512
"""Most tokens of one step: so many rows of logits are in memory, however long a chunk is."""


class Piece(NamedTuple):
    """Some tokens of a chunk that are read in one step."""

    position: int
    tokens: list[int]
    first_wanted: int
    """The first of them whose logits are wanted; all that follow have them too."""


def load(path: str, *, gpu_layers: int) -> Model:
    """Load a model.

    Raises:
        CannotDo: llama.cpp refused it, or there is no GPU for layers that are to go there.
    """
    if gpu_layers and not offload_devices():
        raise _no_gpu(gpu_layers)
    log = LogTail()
    try:
        model = Model.load(path, offload=Offload(gpu_layers))
    except ModelLoadError as error:
        raise CannotDo(
            _("{path} cannot be loaded: {reason}.").format(path=path, reason=log.last_error() or "?")
        ) from error
    if gpu_layers and not log.has_weights_on_devices:
        raise _no_gpu(gpu_layers)
    return model


def _no_gpu(layers: int) -> CannotDo:
    return CannotDo(
        _("--gpu-layers {number}: there is no GPU that llama.cpp can use.").format(number=layers),
        _("Leave it out to compute on the CPU. What is here: hychat doctor"),
    )


def length(wished_tokens: int, *models: Model) -> int:
    """Tokens of a chunk: as many as were wished, but no more than these models were trained to read in one piece."""
    return min(wished_tokens, *(model.trained_context_tokens for model in models))


def cut(model: Model, text: str, chunk_tokens: int, *, most: int | None) -> list[list[int]]:
    """The text's tokens in whole chunks, at most `most` of them; what is left over at the end is dropped.

    Raises:
        CannotDo: It does not fill one.
    """
    tokens = model.with_bos(model.tokenize([(text, False)]))
    count = len(tokens) // chunk_tokens
    if not count:
        message = ngettext(
            "The text has {tokens} token; at least {least} are needed.",
            "The text has {tokens} tokens; at least {least} are needed.",
            len(tokens),
        )
        raise CannotDo(message.format(tokens=len(tokens), least=chunk_tokens), _("Give a longer text."))
    chosen = min(count, most or count)
    return [
        _begun(model, tokens[start : start + chunk_tokens]) for start in range(0, chosen * chunk_tokens, chunk_tokens)
    ]


def _begun(model: Model, chunk: list[int]) -> list[int]:
    """The chunk; where texts of this vocabulary begin with BOS, that stands in the place of its first token."""
    bos: int = lib.llama_vocab_bos(model.vocab)
    return [bos, *chunk[1:]] if lib.llama_vocab_get_add_bos(model.vocab) and bos >= 0 else chunk


def pieces(chunk: list[int], first_wanted: int) -> Iterator[Piece]:
    """The chunk in steps; logits are wanted from position `first_wanted` on."""
    for start in range(0, len(chunk), _BATCH_TOKENS):
        tokens = chunk[start : start + _BATCH_TOKENS]
        yield Piece(start, tokens, min(max(0, first_wanted - start), len(tokens)))


class Reader:
    """A model with a context for one chunk; `on_tensor` is its eval callback."""

    def __init__(self, model: Model, chunk_tokens: int, *, threads: int | None, on_tensor: Any = None) -> None:
        """Reserve the cache.

        Raises:
            CannotDo: There is no memory for it.
        """
        self._vocab_size = model.vocab_size
        params = lib.llama_context_default_params()
        params.n_ctx = chunk_tokens
        params.n_batch = params.n_ubatch = min(chunk_tokens, _BATCH_TOKENS)
        params.n_seq_max = 1
        params.n_threads = params.n_threads_batch = threads or default_threads()
        if on_tensor is not None:
            params.cb_eval = on_tensor
        self._on_tensor = on_tensor  # llama.cpp keeps a bare pointer
        self._handle = lib.llama_init_from_model(model.handle, params)
        if not self._handle:
            raise CannotDo(
                _("There is not enough memory to read chunks of {tokens} tokens.").format(tokens=chunk_tokens)
            )
        self._memory = lib.llama_get_memory(self._handle)
        self._batch = lib.llama_batch_init(params.n_batch, 0, 1)

    def read(self, piece: Piece) -> "NDArray[Any]":
        """The logits that are wanted, tokens x vocabulary; they stand in llama.cpp's own memory until the next step.

        Raises:
            CannotDo: llama.cpp gave up.
        """
        import numpy as np

        if piece.position == 0:
            lib.llama_memory_clear(self._memory, True)
        self._fill(piece)
        if code := lib.llama_decode(self._handle, self._batch):
            raise CannotDo(_("llama.cpp could not read the text (llama_decode returned {code}).").format(code=code))
        shape = len(piece.tokens) - piece.first_wanted, self._vocab_size
        if not shape[0]:
            lib.llama_synchronize(self._handle)
            return np.empty(shape, np.float32)
        first = lib.llama_get_logits(self._handle)
        return np.ctypeslib.as_array(ctypes.cast(first, ctypes.POINTER(ctypes.c_float)), shape)

    def _fill(self, piece: Piece) -> None:
        batch = self._batch
        for row, token in enumerate(piece.tokens):
            batch.token[row] = token
            batch.pos[row] = piece.position + row
            batch.n_seq_id[row] = 1
            batch.seq_id[row][0] = 0
            batch.logits[row] = row >= piece.first_wanted
        batch.n_tokens = len(piece.tokens)
