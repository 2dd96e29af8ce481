"""How well two models foresee a text, and how far the second one's forecasts are from the first one's.

Counted as llama.cpp's `tools/perplexity/perplexity.cpp` counts: chunks of equal length, each from an empty cache, and only the
tokens of a chunk's second half are judged, so that each has some text before it.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from hychat.engine.llama import chunks
from hychat.engine.task_host import CannotDo, Tell
from hychat.messages import _

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ROWS: Final = 32
"""Tokens that are judged at once: a vocabulary of 128,000 takes 16 MB for each array of them."""
_PERCENTILE: Final = 99


def run(  # noqa: PLR0913 - what a user may say of it
    tell: Tell,
    *,
    reference: str,
    other: str,
    text: str,
    chunk_tokens: int,
    most_chunks: int | None,
    gpu_layers: int,
    threads: int | None,
) -> dict[str, Any]:
    """Read the text with both, step by step, so that no more than one step's logits of each are in memory.

    Returns:
        `tokens` judged, in `chunks`; `reference` and `other`: perplexity, and its standard error; `kl_mean` and `kl_p99`: the
        Kullback-Leibler divergence from the reference's forecast to the other's, in nats a token; `top_agreement`: the share of
        tokens for which both hold the same token for the likeliest.

    Raises:
        CannotDo: A model or the text is not fit for it.
    """
    models = [chunks.load(path, gpu_layers=gpu_layers) for path in (reference, other)]
    chunk_tokens = chunks.length(chunk_tokens, *models)
    cuts = [chunks.cut(model, text, chunk_tokens, most=most_chunks) for model in models]
    if cuts[0] != cuts[1] or models[0].vocab_size != models[1].vocab_size:
        raise CannotDo(
            _("The two models do not cut the text into the same tokens, so they cannot be compared."),
            _("Compare files that were made from one model."),
        )
    readers = [chunks.Reader(model, chunk_tokens, threads=threads) for model in models]
    scores = Scores()
    for done, chunk in enumerate(cuts[0]):
        tell(done=done, total=len(cuts[0]))
        _judge(readers, chunk, scores)
    tell(done=len(cuts[0]), total=len(cuts[0]))
    return {"chunks": len(cuts[0]), **scores.summary()}


def _judge(readers: Sequence[chunks.Reader], chunk: list[int], scores: "Scores") -> None:
    half = len(chunk) // 2
    for piece in chunks.pieces(chunk, half):
        logits = [reader.read(piece) for reader in readers]
        first = piece.position + piece.first_wanted
        following = chunk[first + 1 : piece.position + len(piece.tokens) + 1]
        for start in range(0, len(following), _ROWS):
            rows = slice(start, min(start + _ROWS, len(following)))
            scores.add(logits[0][rows], logits[1][rows], following[rows])


class Scores:
    """What each judged token adds; a few numbers a token."""

    def __init__(self) -> None:
        self._reference: list[NDArray[Any]] = []
        self._other: list[NDArray[Any]] = []
        self._divergences: list[NDArray[Any]] = []
        self._same_top = 0

    def add(self, reference: "NDArray[Any]", other: "NDArray[Any]", following: Sequence[int]) -> None:
        """Logits of both, tokens x vocabulary, and the tokens that follow in the text."""
        import numpy as np

        expected, forecast = log_softmax(reference), log_softmax(other)
        row = np.arange(len(following))
        self._reference.append(-expected[row, following])
        self._other.append(-forecast[row, following])
        self._divergences.append(np.einsum("rv,rv->r", np.exp(expected), expected - forecast, dtype=np.float64))
        self._same_top += int((reference.argmax(1) == other.argmax(1)).sum())

    def summary(self) -> dict[str, Any]:
        """All that was judged, in a few figures."""
        import numpy as np

        divergences = np.concatenate(self._divergences)
        return {
            "tokens": len(divergences),
            "reference": _perplexity(np.concatenate(self._reference)),
            "other": _perplexity(np.concatenate(self._other)),
            "kl_mean": float(divergences.mean()),
            "kl_p99": float(np.percentile(divergences, _PERCENTILE)),
            "top_agreement": self._same_top / len(divergences),
        }


def log_softmax(logits: "NDArray[Any]") -> "NDArray[Any]":
    """Logarithms of the probabilities, row by row; the sums in 64 bits."""
    import numpy as np

    shifted = logits - logits.max(axis=1, keepdims=True)
    sums = np.exp(shifted).sum(axis=1, keepdims=True, dtype=np.float64)
    result: NDArray[Any] = shifted - np.log(sums).astype(np.float32)
    return result


def _perplexity(surprises: "NDArray[Any]") -> tuple[float, float]:
    """Exp of the mean negative log-likelihood, and its standard error (by the delta method: perplexity x that of the mean)."""
    import numpy as np

    mean = float(surprises.mean(dtype=np.float64))
    error = float(surprises.std(dtype=np.float64)) / math.sqrt(max(1, len(surprises) - 1))
    return math.exp(mean), math.exp(mean) * error
