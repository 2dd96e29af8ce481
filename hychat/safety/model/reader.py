"""The encoder of one language with its vocabulary; this imports numpy."""

from collections.abc import Mapping, Sequence
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

    def logits(self, inputs: Sequence[Input]) -> list[list[float]]:
        """Of each input, a few of like length at a time so that they stay in the cache."""
        order = sorted(range(len(inputs)), key=lambda i: len(inputs[i][0]))
        found: list[list[float]] = [[] for _input in inputs]
        for start in range(0, len(order), _BATCH):
            chosen = order[start : start + _BATCH]
            for i, row in zip(chosen, self._encoder.logits([inputs[i] for i in chosen]).tolist(), strict=True):
                found[i] = row
        return found


def read(folder: Path, language: str) -> Reader:
    """From the file of the encoders; what belongs to other languages is not read."""
    with np.load(folder / ENCODERS) as arrays:
        return Reader(arrays, language)
