"""What the first stage sees of a text: hashed words, pairs and triples of words, and runs of characters.

A Chinese character is a word. The hash is CRC-32, which Python has built in.
"""

import re
from itertools import chain, pairwise
from typing import Final
from zlib import crc32

from hychat.safety.fold import HAN

BITS: Final = 18
_MASK: Final = (1 << BITS) - 1
_WORD: Final = re.compile(rf"[a-z0-9]+|[{HAN}]")
_LATIN: Final = re.compile(r"[a-z0-9]+")
_RUNS: Final = (4, 5)
"""Lengths of the runs of characters inside and across Latin words."""


def buckets(text: str) -> set[int]:
    """The features of a folded text, in `range(2 ** BITS)`."""
    words = [word.encode() for word in _WORD.findall(text)]
    pairs = (b"%b %b" % pair for pair in pairwise(words))
    triples = (b"%b %b %b" % triple for triple in zip(words, words[1:], words[2:], strict=False))
    around = (b"%b _ %b" % pair for pair in zip(words, words[2:], strict=False))
    latin = f" {' '.join(_LATIN.findall(text))} ".encode()
    runs = (b"-" + latin[at : at + length] for length in _RUNS for at in range(len(latin) - length + 1))
    return {crc32(feature) & _MASK for feature in chain(words, pairs, triples, around, runs)}
