"""A growing Markdown text as a sequence of small blocks."""

from collections.abc import Sequence
from typing import Final

from hychat.domain.text import printable
from hychat.tui.markdown.block import Block, Kind
from hychat.tui.markdown.scanner import Scanner

_LONG_LINE: Final = 8_000
"""Characters of a line that is read before its end: longer than every piece, so that its beginning tells what it is."""


class Blocks:
    """The blocks of a text that grows at its end. What was read is not read again."""

    def __init__(self, text: str = "") -> None:
        self._scanner = Scanner()
        self._line = ""
        """The last line, as far as it was not read."""
        self._is_mid_line = False
        """Whether the beginning of the last line was read."""
        self._n_stable = 0
        self._is_current = True
        self.feed(text)

    @property
    def stable(self) -> int:
        """How many of the first blocks no later text can change."""
        return self._n_stable

    @property
    def blocks(self) -> Sequence[Block]:
        """All blocks, as the text reads now. The same sequence is kept up to date: it is to be read only."""
        if not self._is_current:
            rest = self._scanner.copy()
            if self._line:
                _read(rest, self._line, is_mid_line=self._is_mid_line)
            rest.end()
            self._scanner.blocks += rest.blocks
            self._is_current = True
        return self._scanner.blocks

    def feed(self, text: str) -> None:
        """Add the next piece."""
        del self._scanner.blocks[self._n_stable :]
        self._is_current = False
        *lines, self._line = (self._line + printable(text)).split("\n")
        for line in lines:
            _read(self._scanner, line, is_mid_line=self._is_mid_line)
            self._scanner.end_line()
            self._is_mid_line = False
        self._read_long_line()
        self._n_stable = len(self._scanner.blocks)

    def _read_long_line(self) -> None:
        if self._is_mid_line:
            self._scanner.go_on(self._line)
            self._line = ""
        elif len(self._line) > _LONG_LINE:
            ahead = self._scanner.copy()
            ahead.read(self._line)
            if ahead.leaf and ahead.leaf.kind is not Kind.TABLE and not ahead.leaf.n_blank_lines:
                ahead.blocks = [*self._scanner.blocks, *ahead.blocks]
                self._scanner, self._line, self._is_mid_line = ahead, "", True


def _read(scanner: Scanner, line: str, *, is_mid_line: bool) -> None:
    if is_mid_line:
        scanner.go_on(line)
    else:
        scanner.read(line)
