"""Making an importance matrix from a model and a text."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hychat.conversion.whole_file import whole_file
from hychat.domain.attachment import Attachment
from hychat.domain.cancel import CancelToken
from hychat.engine.gguf import all_parts, read_header
from hychat.engine.imatrix import read_imatrix
from hychat.engine.task import Progress, run_task

CHUNK_TOKENS: Final = 512
"""As llama.cpp's tools cut a text."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How models read a text, to be measured at it."""

    text: Attachment
    """Its name goes into the importance matrix that is made with it."""
    chunk_tokens: int = CHUNK_TOKENS
    most_chunks: int | None = None
    """None: the whole text."""
    gpu_layers: int = 0
    """Layers on the GPU; -1 for all."""
    threads: int | None = None


@dataclass(frozen=True, slots=True)
class Measured:
    """What an importance matrix was made of."""

    chunks: int
    tokens: int
    entries: int
    """Matrices of the model."""
    unseen: Mapping[str, int]
    """Experts that no token was sent to, by the name of their matrix."""


def make_imatrix(  # noqa: PLR0913 - what is read with what, where to, and how it is watched
    model: Path,
    reading: Reading,
    target: Path,
    cancel: CancelToken,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
    *,
    overwrites: bool = False,
) -> Measured:
    """Read the text with the model and write the matrix; `on_progress` takes chunks done and all chunks.

    Raises:
        UsageError: The target cannot be.
        ConversionError: The model or the text is not fit for it, or the file cannot be written.
        ModelUnusable: The model is damaged.
        Interrupted: It was stopped.
        EngineError: llama.cpp's process failed.
    """
    sources = [part.path for part in all_parts(read_header(str(model)))]
    if reading.text.source:
        sources.append(reading.text.source)
    with whole_file(target, sources=map(Path, sources), overwrites=overwrites) as part:
        told = run_task(
            "imatrix",
            {
                "model": str(model),
                "text": reading.text.text,
                "dataset": reading.text.name,
                "target": str(part),
                "chunk_tokens": reading.chunk_tokens,
                "most_chunks": reading.most_chunks,
                "gpu_layers": reading.gpu_layers,
                "threads": reading.threads,
            },
            cancel,
            as_counts(on_progress),
        )
        read_imatrix(str(part))
    return Measured(told["chunks"], told["tokens"], told["entries"], told["unseen"])


def as_counts(on_progress: Callable[[int, int], None]) -> Callable[[Progress], None]:
    """A task's `done` and `total`, handed on."""
    return lambda progress: on_progress(int(progress["done"]), int(progress["total"]))
