"""What a slot reads: token ids, with the chunks of pictures among them.

A chunk stands in the list of ids as that many negative ones, made from its content: two sequences that begin with the same
picture begin with the same ids, in this process and in the next.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any


class ProjectorLoadError(Exception):
    """mtmd could not load a projector, or it is another model's; without a text where llama.cpp's log has the reason."""


class PictureUnreadable(Exception):
    """A picture cannot be read, or the model cannot see."""


@dataclass(slots=True, eq=False, weakref_slot=True)
class Chunk:
    """A run of embeddings that a picture, or a part of it, becomes."""

    handle: Any
    """mtmd's."""
    ids: list[int]
    n_positions: int
    """By which the position of what follows is further: with M-RoPE fewer than the ids."""
    embeddings: Any = None
    """A C array of floats, once it is encoded."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A chunk and where it begins."""

    start: int
    chunk: Chunk

    @property
    def end(self) -> int:
        """One past its last id."""
        return self.start + len(self.chunk.ids)


@dataclass(slots=True)
class Sequence:
    """A prompt, and the answer that is added to it."""

    tokens: list[int] = field(default_factory=list)
    placed: list[Placed] = field(default_factory=list)

    @classmethod
    def of(cls, items: Iterable[int | Chunk]) -> "Sequence":
        """From token ids and chunks."""
        sequence = cls()
        for item in items:
            if isinstance(item, int):
                sequence.tokens.append(item)
            else:
                sequence.placed.append(Placed(len(sequence.tokens), item))
                sequence.tokens += item.ids
        return sequence

    def position(self, index: int) -> int:
        """The position of the id at an index that is not inside a chunk."""
        saved = (len(each.chunk.ids) - each.chunk.n_positions for each in self.placed if each.end <= index)
        return index - sum(saved)

    def whole(self, length: int) -> int:
        """So many ids or a few less, so that no chunk is cut."""
        return next((each.start for each in self.placed if each.start < length < each.end), length)

    def chunk_at(self, index: int) -> Placed | None:
        """The chunk that begins there."""
        return next((each for each in self.placed if each.start == index), None)

    def text_end(self, index: int) -> int:
        """Where the run of tokens ends that begins at an index: at the next chunk, or with the sequence."""
        return next((each.start for each in self.placed if each.start >= index), len(self.tokens))
