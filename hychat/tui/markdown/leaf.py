"""The block that lines are being added to, and where it is cut when it grows long."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from hychat.tui.markdown.block import Alignment, Kind
from hychat.tui.markdown.characters import CLOSING, graphemes

LONGEST_TEXT: Final = 2_000
"""Characters of a paragraph or heading in one piece. A line that is longer is text, whatever it looks like."""
LONGEST_LINES: Final = 4_000
"""Characters of code, math or table rows in one piece."""
MOST_LINES: Final = 50
"""Lines of code, math or table rows in one piece."""

TEXTS: Final = frozenset({Kind.PARAGRAPH, Kind.HEADING})
"""What is made of sentences, not of lines."""
_SENTENCE_ENDS: Final = ("。", "！", "？", "；", ". ", "! ", "? ", "; ")


@dataclass(slots=True)
class Leaf:
    """An open block: its text so far, less the pieces that were taken off."""

    kind: Kind
    is_spaced: bool = False
    """Whether an empty line stood before it."""
    text: str = ""
    n_lines: int = 0
    """Lines in `text`; 0 before the first, which may be empty."""
    n_blank_lines: int = 0
    """Empty lines after indented code, which belong to it only if more code follows."""
    line: int = 1
    """Number of the first line of `text` in the whole block."""
    joins: str = ""
    """What stood between the piece that was taken off last and `text`."""
    is_continued: bool = False
    """Whether pieces were taken off."""
    language: str = ""
    fence: str = ""
    """What the fence of code, or what ends math, consists of; empty for indented code."""
    fence_indent: int = 0
    level: int = 0
    """Of a heading."""
    header: str = ""
    alignments: tuple[Alignment, ...] = ()
    sample: str | None = None
    """The first rows of a table, once they were taken off."""

    def copy(self) -> "Leaf":
        """Another one that may grow otherwise."""
        return replace(self)

    @property
    def is_long(self) -> bool:
        """Whether pieces are to be taken off."""
        if self.kind in TEXTS:
            return len(self.text) > LONGEST_TEXT
        return self.n_lines > MOST_LINES or len(self.text) > LONGEST_LINES

    def add_line(self, line: str) -> None:
        """Begin the next line."""
        self.text = f"{self.text}\n{line}" if self.n_lines else line
        self.n_lines += 1

    def take_pieces(self) -> Iterator[str]:
        """Take off what is too long. Where it is cut depends on nothing but the text before the cut and one character.

        What is taken off is described by the leaf as it stands at each step.
        """
        text, start = self.text, 0
        if self.n_lines > MOST_LINES and self.kind not in TEXTS:
            start = text.rindex("\n") + 1
            yield text[: start - 1]
            self._go_on(text[: start - 1], "\n")
        longest = LONGEST_TEXT if self.kind in TEXTS else LONGEST_LINES
        while len(text) - start > longest:
            end = _cut_in_text(text, start) if self.kind in TEXTS else _cut_in_lines(text, start)
            piece = text[start:end]
            yield piece
            joins = text[end] if text[end] in " \n" and (self.kind in TEXTS or text[end] == "\n") else ""
            self._go_on(piece, joins)
            start = end + len(joins)
        if start:
            self.text = text[start:]
            self.n_lines = self.text.count("\n") + 1

    def _go_on(self, piece: str, joins: str) -> None:
        self.line += piece.count("\n") + (joins == "\n")
        self.joins = joins
        self.is_continued = True


def _cut_in_text(text: str, start: int) -> int:
    """Where to cut a paragraph: best at the end of a line or a sentence, else between words, else anywhere."""
    half, end = start + LONGEST_TEXT // 2, start + LONGEST_TEXT
    if (newline := text.rfind("\n", half, end + 1)) >= 0:
        return newline
    cut = max(text.rfind(mark, half, end) for mark in _SENTENCE_ENDS) + 1
    while 0 < cut < end and text[cut] in CLOSING:
        cut += 1
    if cut > 0:
        return cut
    if (space := text.rfind(" ", half, end + 1)) >= 0:
        return space
    return _cut_anywhere(text, start, end)


def _cut_in_lines(text: str, start: int) -> int:
    """Where to cut code: between lines, or within a line that is longer than a piece."""
    end = start + LONGEST_LINES
    newline = text.rfind("\n", start, end + 1)
    return newline if newline >= 0 else _cut_anywhere(text, start, end)


def _cut_anywhere(text: str, start: int, end: int) -> int:
    """The last place from `start` to `end` that does not split a character as people see it."""
    piece = text[start : end + 1]
    if piece.isascii():
        return end
    return start + max((last[0] for last in graphemes(piece)[-1:] if last[0] > 0), default=end - start)
