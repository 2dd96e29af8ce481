"""Matrices and words in 4 bits, as `hychat.safety.model.encoder` reads them."""

from typing import Final

import numpy as np
import numpy.typing as npt

from hychat.safety.training.base import BLOCK_WEIGHTS, Floats

Arrays = dict[str, npt.NDArray[np.generic]]
_LARGEST_FACTOR: Final = 15
"""Times -8 it still fits into 8 bits."""


def matrix(name: str, weight: Floats, bias: Floats) -> Arrays:
    """A matrix of outputs by inputs, stored as inputs by outputs: for each output a scale, for each 32 inputs of it a factor.

    A weight is its number, from -8 to 7, times the factor times the scale. The factors of two outputs share a byte.
    """
    outputs, inputs = weight.shape
    blocks = weight.reshape(outputs, inputs // BLOCK_WEIGHTS, BLOCK_WEIGHTS)
    steps = np.abs(blocks).max(-1) / 7.5
    scale = steps.max(-1) / _LARGEST_FACTOR
    factors = np.clip(np.rint(steps / scale[:, None]), 1, _LARGEST_FACTOR)
    numbers = np.clip(np.rint(blocks / (factors * scale[:, None])[..., None]), -8, 7)
    unsigned = (numbers + 8).astype(np.uint8).transpose(1, 0, 2)
    return {
        f"{name}.w": _in_halves(unsigned).transpose(0, 2, 1),
        f"{name}.factors": _in_halves(factors.T.astype(np.uint8)),
        f"{name}.scale": scale.astype(np.float32),
        f"{name}.b": bias,
    }


def words(rows: Floats) -> Arrays:
    """A row a word, in blocks of 32 weights with a scale each; the largest weight of a block is exact, as in llama.cpp's Q4_0."""
    blocks = rows.reshape(len(rows), -1, BLOCK_WEIGHTS)
    largest = np.take_along_axis(blocks, np.abs(blocks).argmax(-1, keepdims=True), -1)
    scale = (largest / -8).astype(np.float16)
    step = np.where(scale == 0, 1, scale).astype(np.float32)
    numbers = np.clip(np.rint(blocks / step) + 8, 0, 15).astype(np.uint8)
    return {"words": _in_halves(numbers), "word_scales": scale[..., 0]}


def _in_halves(numbers: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Numbers below 16, two to a byte: of the last axis the first half low, the second high."""
    half = numbers.shape[-1] // 2
    high = numbers[..., half:] << 4
    return numbers[..., :half] | high.astype(np.uint8)
