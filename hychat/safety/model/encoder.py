"""The second stage at run time: a small BERT in numpy, over texts laid end to end.

Devlin et al., "BERT" (2019). Its matrices stay in 8 bits and become floats for the moment of a product, which costs nothing: the
product waits for memory anyway.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from hychat.safety.model.inputs import Input

Floats = npt.NDArray[np.float32]
Arrays = Mapping[str, npt.NDArray[np.generic]]
HEADS: Final = 12
PROBED_LAYERS: Final = 2
"""After these a text may be settled."""
_EPSILON: Final = np.float32(1e-12)
_GELU: Final = np.float32(0.7978845608028654)
"""The root of 2 / pi, of the tanh form."""


class Encoder:
    """Numbers of pieces in, logits out."""

    def __init__(self, arrays: Arrays, language: str) -> None:
        """`arrays` as the trainer writes them, see `hychat.safety.training.export`; each is asked for once, as it is needed."""
        self._words = arrays[f"{language}.words"]
        self._word_scales = arrays[f"{language}.word_scales"]
        self._positions, self._kinds = (_floats(arrays[f"{language}.{name}"]) for name in ("positions", "kinds"))
        self._norm = _floats_of(arrays, f"{language}.norm")
        self._layers = [_Layer(arrays, f"{language}.layers.{i}") for i in range(len(arrays[f"{language}.layers"]))]
        self._head = _floats_of(arrays, f"{language}.head")
        self._probe = _floats_of(arrays, f"{language}.probe")

    def logits(self, texts: Sequence[Input], floors: Sequence[float] = ()) -> list[Floats | None]:
        """A row of logits for each text: its pieces, and where the reply begins in them (0: all of it is judged).

        With `floors`, one a text, a text whose probe stays below its own goes no further, and has no row.
        """
        x, spans = self._begun(texts)
        left = [*range(len(texts))]
        for depth, layer in enumerate(self._layers):
            if depth == PROBED_LAYERS and floors:
                probes = self.probes(self._pooled(x, spans, texts))
                left = [number for number in left if probes[number] >= floors[number]]
                if not left:
                    break
                x, spans = _only(x, [spans[number] for number in left])
            x = layer(x, spans)
        found: list[Floats | None] = [None] * len(texts)
        if left:
            weight, bias = self._head
            rows = self._pooled(x, spans, [texts[number] for number in left]) @ weight.T + bias
            for number, row in zip(left, rows, strict=True):
                found[number] = row
        return found

    def begun(self, texts: Sequence[Input]) -> Floats:
        """What the probe sees of each text, after the first layers."""
        x, spans = self._begun(texts)
        for layer in self._layers[:PROBED_LAYERS]:
            x = layer(x, spans)
        return self._pooled(x, spans, texts)

    def probes(self, pooled: Floats) -> Floats:
        """A guess at the prompt's harm, as a logit, from what is seen after the first layers."""
        weight, bias = self._probe
        return np.asarray(pooled @ weight + bias, dtype=np.float32)

    def _begun(self, texts: Sequence[Input]) -> tuple[Floats, list[tuple[int, int]]]:
        """The texts laid end to end, and where each lies."""
        numbers = np.concatenate([np.asarray(pieces, dtype=np.intp) for pieces, _at in texts])
        ends = np.cumsum([len(pieces) for pieces, _at in texts])
        spans = [(int(end) - len(pieces), int(end)) for (pieces, _at), end in zip(texts, ends, strict=True)]
        places = np.concatenate([np.arange(last - first) for first, last in spans])
        x = self._word_rows(numbers) + self._positions[places]
        for (first, last), (_pieces, reply_at) in zip(spans, texts, strict=True):
            cut = first + reply_at if reply_at else last
            x[first:cut] += self._kinds[0]
            x[cut:last] += self._kinds[1]
        return _normed(x, *self._norm), spans

    @staticmethod
    def _pooled(x: Floats, spans: Sequence[tuple[int, int]], texts: Sequence[Input]) -> Floats:
        """Of each text the first piece, and the mean of what is judged."""
        return np.stack(
            [
                np.concatenate([x[first], x[first + reply_at : last].mean(0)])
                for (first, last), (_pieces, reply_at) in zip(spans, texts, strict=True)
            ]
        )

    def _word_rows(self, numbers: npt.NDArray[np.intp]) -> Floats:
        """Each block holds 32 weights: the low halves of its bytes, then the high halves, and one scale."""
        weights = _from_halves(self._words[numbers]).astype(np.float32) - np.float32(8)
        weights *= self._word_scales[numbers].astype(np.float32)[..., None]
        return weights.reshape(len(numbers), -1)


class _Layer:
    def __init__(self, arrays: Arrays, name: str) -> None:
        self._qkv, self._ao, self._fi, self._fo = (
            Matrix(arrays, f"{name}.{part}") for part in ("qkv", "ao", "fi", "fo")
        )
        self._aln, self._oln = (_floats_of(arrays, f"{name}.{part}") for part in ("aln", "oln"))

    def __call__(self, x: Floats, spans: Sequence[tuple[int, int]]) -> Floats:
        qkv = self._qkv(x).reshape(len(x), 3, HEADS, -1).transpose(1, 2, 0, 3)
        seen = np.empty_like(x)
        scale = np.float32(qkv.shape[-1] ** -0.5)
        for first, last in spans:
            q, k, v = qkv[:, :, first:last]
            weights = (q * scale) @ k.transpose(0, 2, 1)
            weights -= weights.max(-1, keepdims=True)
            np.exp(weights, out=weights)
            weights /= weights.sum(-1, keepdims=True)
            seen[first:last] = (weights @ v).transpose(1, 0, 2).reshape(last - first, -1)
        x = _normed(x + self._ao(seen), *self._aln)
        return _normed(x + self._fo(_gelu(self._fi(x))), *self._oln)


class Matrix:
    """Inputs by outputs in 8 bits, a scale an output; stored in 4 bits with a whole factor for each 32 inputs of an output."""

    def __init__(self, arrays: Arrays, name: str) -> None:
        """`arrays` as `hychat.safety.training.quantize` makes them."""
        nibbles, factors = arrays[f"{name}.w"], _from_halves(arrays[f"{name}.factors"])
        blocks, half, outputs = nibbles.shape
        weights = np.empty((blocks, 2 * half, outputs), dtype=np.int8)
        np.bitwise_and(nibbles, 15, out=weights[:, :half], casting="unsafe")
        np.right_shift(nibbles, 4, out=weights[:, half:], casting="unsafe")
        weights -= 8
        weights *= factors[:, None].view(np.int8)
        self._weights = weights.reshape(-1, outputs)
        self._scale = _floats(arrays[f"{name}.scale"])
        self._bias = _floats(arrays[f"{name}.b"])

    def __call__(self, x: Floats) -> Floats:
        """Rows of inputs to rows of outputs."""
        y: Floats = x @ self._weights.astype(np.float32)
        y *= self._scale
        y += self._bias
        return y


def _only(x: Floats, spans: Sequence[tuple[int, int]]) -> tuple[Floats, list[tuple[int, int]]]:
    """Some of the texts, end to end again."""
    ends = np.cumsum([last - first for first, last in spans]).tolist()
    return np.concatenate([x[slice(*span)] for span in spans]), [*zip([0, *ends], ends, strict=False)]


def _from_halves(array: npt.NDArray[np.generic]) -> npt.NDArray[np.uint8]:
    """Of bytes the low halves, then the high ones, along the last axis."""
    numbers = array.astype(np.uint8, copy=False)
    return np.concatenate([numbers & 15, numbers >> 4], axis=-1)


def _floats_of(arrays: Arrays, name: str) -> tuple[Floats, Floats]:
    """Weight and bias."""
    return _floats(arrays[f"{name}.w"]), _floats(arrays[f"{name}.b"])


def _floats(array: npt.NDArray[np.generic]) -> Floats:
    return array.astype(np.float32)


def _normed(x: Floats, weight: Floats, bias: Floats) -> Floats:
    x = x - x.mean(-1, keepdims=True)
    x /= np.sqrt((x * x).mean(-1, keepdims=True) + _EPSILON)
    x *= weight
    x += bias
    return x


def _gelu(x: Floats) -> Floats:
    inner = x * x
    inner *= np.float32(0.044715)
    inner += np.float32(1)
    inner *= x
    inner *= _GELU
    np.tanh(inner, out=inner)
    inner += np.float32(1)
    inner *= x
    inner *= np.float32(0.5)
    return inner
