"""What the first stage sees of a text: hashed words, pairs and triples of words, and runs of characters.

A Chinese character is a word. The numbers are FNV-like products in 32 bits, made for all of a text at once.
"""

import re
import zlib
from typing import Final

import numpy as np
import numpy.typing as npt

from hychat.safety.fold import HAN

Buckets = npt.NDArray[np.uint32]
BITS: Final = 18
_WORD: Final = re.compile(rf"[a-z0-9]+|[{HAN}]")
_LATIN: Final = re.compile(r"[a-z0-9]+")
_PRIME: Final = np.uint32(16777619)
_MIX: Final = np.uint32(2654435761)
_RUNS: Final = (4, 5)
"""Lengths of the runs of characters inside and across Latin words."""


def buckets(text: str) -> Buckets:
    """The distinct features of a folded text, in `range(2 ** BITS)`."""
    words = np.array([zlib.crc32(word.encode()) for word in _WORD.findall(text)], dtype=np.uint32)
    kinds = [words]
    joined = words
    for salt, length in enumerate((2, 3), 1):
        if len(words) >= length:
            joined = (joined[: len(words) - length + 1] * _PRIME) ^ words[length - 1 :]
            kinds.append(joined + np.uint32(salt))
    if len(words) > 2:  # noqa: PLR2004 - a word, one between, a word
        kinds.append(((words[:-2] * _PRIME) ^ words[2:]) + np.uint32(9))
    latin = f" {' '.join(_LATIN.findall(text))} "
    if len(latin) > 2:  # noqa: PLR2004 - more than the two spaces
        letters = np.frombuffer(latin.encode("ascii"), dtype=np.uint8).astype(np.uint32)
        run = letters
        for length in range(2, _RUNS[-1] + 1):
            if len(letters) < length:
                break
            run = (run[: len(letters) - length + 1] * _PRIME) ^ letters[length - 1 :]
            if length in _RUNS:
                kinds.append(run + np.uint32(16 + length))
    return np.unique((np.concatenate(kinds) * _MIX) >> np.uint32(32 - BITS))
