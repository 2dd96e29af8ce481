"""What quantizing cost: two files of one model, held against each other at a text."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from hychat.conversion.imatrix import Reading, as_counts
from hychat.domain.cancel import CancelToken
from hychat.engine.task import run_task


class Perplexity(NamedTuple):
    """How well a model foresees a text: among how many tokens it wavers, on the average."""

    value: float
    standard_error: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two models at one text."""

    chunks: int
    tokens: int
    """That were judged: those of each chunk's second half."""
    reference: Perplexity
    other: Perplexity
    kl_mean: float
    """Kullback-Leibler divergence from the reference's forecasts to the other's: mean over the tokens, in nats."""
    kl_p99: float
    """Its 99th percentile."""
    top_agreement: float
    """The share of tokens for which both hold the same one for the likeliest."""

    @property
    def perplexity_ratio(self) -> float:
        """The other's perplexity over the reference's; 1 where nothing was lost."""
        return self.other.value / self.reference.value


def compare(
    reference: Path,
    other: Path,
    reading: Reading,
    cancel: CancelToken,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Comparison:
    """Read the text with both; `on_progress` takes chunks done and all chunks.

    Raises:
        ConversionError: A model or the text is not fit for it, or the models do not belong together.
        Interrupted: It was stopped.
        EngineError: llama.cpp's process failed.
    """
    told = run_task(
        "perplexity",
        {
            "reference": str(reference),
            "other": str(other),
            "text": reading.text.text,
            "chunk_tokens": reading.chunk_tokens,
            "most_chunks": reading.most_chunks,
            "gpu_layers": reading.gpu_layers,
            "threads": reading.threads,
        },
        cancel,
        as_counts(on_progress),
    )
    return Comparison(
        chunks=told["chunks"],
        tokens=told["tokens"],
        reference=Perplexity(*told["reference"]),
        other=Perplexity(*told["other"]),
        kl_mean=told["kl_mean"],
        kl_p99=told["kl_p99"],
        top_agreement=told["top_agreement"],
    )
