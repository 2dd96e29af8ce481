"""The encoder of one language with its vocabulary; this imports numpy."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from hychat.safety.model.encoder import Encoder
from hychat.safety.model.inputs import Input
from hychat.safety.model.pieces import Pieces, UnigramPieces, WordPieces

ENCODERS: Final = "encoders.npz"
Arrays = Mapping[str, npt.NDArray[np.generic]]
_BATCH: Final = 16


class Reader:
    """Inputs to logits: the prompt's harm, the reply's harm, the categories."""

    def __init__(self, arrays: Arrays, language: str) -> None:
        """`arrays` as `hychat.safety.training.export` makes them."""
        words = arrays[f"{language}.pieces"].tobytes().decode().split("\n")
        scores = f"{language}.piece_scores"
        self.pieces: Pieces = (
            UnigramPieces(words, arrays[scores].astype(float).tolist()) if scores in arrays else WordPieces(words)
        )
        self._encoder = Encoder(arrays, language)

    def logits(self, inputs: Sequence[Input], floors: Sequence[float] = ()) -> list[list[float] | None]:
        """Of each input; none where its probe stays below its floor."""
        found: list[list[float] | None] = [None] * len(inputs)
        for chosen in _alike(inputs):
            rows = self._encoder.logits([inputs[i] for i in chosen], [floors[i] for i in chosen] if floors else ())
            for i, row in zip(chosen, rows, strict=True):
                found[i] = None if row is None else row.tolist()
        return found

    def begun(self, inputs: Sequence[Input]) -> npt.NDArray[np.float32]:
        """What the probe sees of each input, inputs x features."""
        order = [i for chosen in _alike(inputs) for i in chosen]
        rows = [self._encoder.begun([inputs[i] for i in chosen]) for chosen in _alike(inputs)]
        return np.concatenate(rows)[np.argsort(order)]

    def probes(self, inputs: Sequence[Input]) -> npt.NDArray[np.float32]:
        """What the probe says of each input."""
        return self._encoder.probes(self.begun(inputs))


def _alike(inputs: Sequence[Input]) -> Iterator[list[int]]:
    """A few of like length at a time, so that they stay in the cache."""
    order = sorted(range(len(inputs)), key=lambda i: len(inputs[i][0]))
    return (order[start : start + _BATCH] for start in range(0, len(order), _BATCH))


def read(folder: Path, language: str) -> Reader:
    """From the file of the encoders; what belongs to other languages is not read."""
    with np.load(folder / ENCODERS) as arrays:
        return Reader(arrays, language)
