"""Text into the pieces of an encoder's vocabulary, as its base has it: WordPiece for English, a unigram model for Chinese."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Final, Protocol

START: Final = 0
END: Final = 1
UNKNOWN: Final = 2
FIRST_PIECE: Final = 3
"""Numbers below it mean no text."""
_WORD_MARK: Final = "\u2581"
_LONGEST_RUN: Final = 48
"""Characters of one run without spaces that are segmented at once."""
_UNKNOWN_COST: Final = 10.0
"""What a character outside the vocabulary costs more than the rarest piece, as SentencePiece has it."""
_CACHED_WORDS: Final = 4096
_INSIDE: Final = "##"
"""Before a piece that does not begin a word."""
_WORD: Final = re.compile(r"[a-z0-9]+|[^\sa-z0-9]")
_LONGEST_WORD: Final = 100
"""Characters; a longer one is unknown, as BERT has it."""


class Pieces(Protocol):
    """A vocabulary."""

    def numbers(self, text: str, most: int) -> list[int]:
        """The pieces of a text, at most so many."""
        ...


class WordPieces:
    """A vocabulary without frequencies: the longest piece first (Schuster and Nakajima 2012)."""

    def __init__(self, pieces: Sequence[str]) -> None:
        """Piece `i` has the number `FIRST_PIECE + i`."""
        self._known = {piece: number for number, piece in enumerate(pieces, FIRST_PIECE)}
        self._longest = max(map(len, pieces), default=1)
        self._numbers = lru_cache(maxsize=_CACHED_WORDS)(self._split)

    def numbers(self, text: str, most: int) -> list[int]:
        """As `Pieces`."""
        return _first(most, (found[0] for found in _WORD.finditer(text)), self._numbers)

    def _split(self, word: str) -> tuple[int, ...]:
        numbers: list[int] = []
        start = 0 if len(word) <= _LONGEST_WORD else len(word)
        while start < len(word):
            for end in range(min(len(word), start + self._longest), start, -1):
                if number := self._known.get(_INSIDE * (start > 0) + word[start:end]):
                    numbers.append(number)
                    start = end
                    break
            else:
                return (UNKNOWN,)
        return tuple(numbers) or (UNKNOWN,)


class UnigramPieces:
    """A vocabulary with the logarithms of the pieces' frequencies: the likeliest segmentation (Kudo 2018)."""

    def __init__(self, pieces: Sequence[str], scores: Sequence[float]) -> None:
        """Piece `i` has the number `FIRST_PIECE + i`."""
        self._known: Mapping[str, tuple[int, float]] = {
            piece: (number, score)
            for number, (piece, score) in enumerate(zip(pieces, scores, strict=True), FIRST_PIECE)
        }
        self._longest = max(map(len, pieces), default=1)
        self._unknown_score = min(scores, default=0.0) - _UNKNOWN_COST
        self._numbers = lru_cache(maxsize=_CACHED_WORDS)(self._segment)

    def numbers(self, text: str, most: int) -> list[int]:
        """As `Pieces`."""
        marked = (_WORD_MARK + word for word in text.split())
        runs = (word[i : i + _LONGEST_RUN] for word in marked for i in range(0, len(word), _LONGEST_RUN))
        return _first(most, runs, self._numbers)

    def _segment(self, run: str) -> tuple[int, ...]:
        """Viterbi: the best way to each character is the best way to an earlier one and a piece between them."""
        size = len(run)
        best = [0.0] + [-1e30] * size
        came_by = [(0, UNKNOWN)] * (size + 1)
        for start in range(size):
            here = best[start]
            if here + self._unknown_score > best[start + 1]:
                best[start + 1], came_by[start + 1] = here + self._unknown_score, (start, UNKNOWN)
            for end in range(start + 1, min(start + self._longest, size) + 1):
                if (piece := self._known.get(run[start:end])) and here + piece[1] > best[end]:
                    best[end], came_by[end] = here + piece[1], (start, piece[0])
        numbers: list[int] = []
        end = size
        while end:
            end, number = came_by[end]
            numbers.append(number)
        return tuple(reversed(numbers))


def _first(most: int, words: Iterable[str], numbers: Callable[[str], Sequence[int]]) -> list[int]:
    found: list[int] = []
    for word in words:
        found += numbers(word)
        if len(found) >= most:
            return found[:most]
    return found
