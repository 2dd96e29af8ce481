"""Breaks text into rows, in English and in Chinese."""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from rich.cells import cell_len

from hychat.tui.markdown.characters import CJK, CLOSING, OPENING, graphemes
from hychat.tui.markdown.look import Span

_SPACES: Final = " \u3000"
_OPENS: Final = re.escape(OPENING + "([{<")
_CLOSES_CHINESE: Final = re.escape(CLOSING + ")]},.:;!?")
_JOINED: Final = (
    r"(?:[\u0300-\u036f\u20d0-\u20ff\u3099\u309a\ufe00-\ufe0f\U0001f3fb-\U0001f3ff\U000e0100-\U000e01ef]|\u200d.?)*"
)
"""Accents and the like, which stay with the character before."""
_CHUNK: Final = re.compile(
    rf"(?P<space>[{_SPACES}]+)"
    rf"|[{_OPENS}]*"
    rf"(?:(?![{_OPENS}{CLOSING}])[{CJK}]{_JOINED}[{_CLOSES_CHINESE}]*"
    rf"|[^{_SPACES}{CJK}]*[^{_SPACES}{CJK}{_OPENS}](?:(?<=\u200d)[^{_SPACES}]{_JOINED})?[{CLOSING}]*)"
    rf"|[{CLOSING}]+|[{_OPENS}]+|."
)
"""What is not broken: a word or a Chinese character, with the punctuation around it."""

Range = tuple[int, int]
"""Start and end of a part of a text."""


def wrap(spans: Sequence[Span], width: int) -> list[list[Span]]:
    """The rows of a text, each at most `width` (at least 2) cells wide. Spaces where it is broken are dropped."""
    text = "".join(span[0] for span in spans)
    return _slices(spans, list(_ranges(text, width)))


def fold(spans: Sequence[Span], width: int) -> list[list[Span]]:
    """The rows of a line of code: broken wherever a row is full, so that every character is kept."""
    text = "".join(span[0] for span in spans)
    return _slices(spans, list(_fold(text, 0, len(text), width)) or [(0, 0)])


def _ranges(text: str, width: int) -> Iterator[Range]:
    start = 0
    for line in text.split("\n"):
        end = start + len(line.rstrip(_SPACES))
        if end - start <= width and line.isascii():
            yield start, end
        elif line.isascii():
            yield from _break_ascii(text, start, end, width)
        else:
            yield from _break(text, start, end, width)
        start += len(line) + 1


def _break_ascii(text: str, start: int, end: int, width: int) -> Iterator[Range]:
    while end - start > width:
        space = text.rfind(" ", start, start + width + 1)
        shown = text[start:space].rstrip(" ") if space > start else ""
        if shown:
            yield start, start + len(shown)
            start = space + 1
            while text[start] == " ":
                start += 1
        else:
            yield start, start + width
            start += width
    yield start, end


def _break(text: str, start: int, end: int, width: int) -> Iterator[Range]:
    """Break between chunks; `start` and `row_end` are those of the row that is being filled."""
    row_end, n_cells, n_space_cells = start, 0, 0
    for chunk in _CHUNK.finditer(text, start, end):
        cells = cell_len(chunk[0])
        if chunk["space"]:
            n_space_cells = cells
            continue
        if n_cells + n_space_cells + cells > width:
            if n_cells:
                yield start, row_end
            start, n_cells, n_space_cells = chunk.start(), 0, 0
            if cells > width:
                *full, (start, _) = _fold(text, chunk.start(), chunk.end(), width)
                yield from full
                cells = cell_len(text[start : chunk.end()])
        n_cells += n_space_cells + cells
        row_end, n_space_cells = chunk.end(), 0
    yield start, row_end


def _fold(text: str, start: int, end: int, width: int) -> Iterator[Range]:
    piece = text[start:end]
    if piece.isascii():
        for at in range(start, end, width):
            yield at, min(at + width, end)
        return
    row_start, n_cells = 0, 0
    for at, _, cells in graphemes(piece):
        if n_cells + cells > width:
            yield start + row_start, start + at
            row_start, n_cells = at, 0
        n_cells += cells
    yield start + row_start, end


def _slices(spans: Sequence[Span], ranges: Sequence[Range]) -> list[list[Span]]:
    """The parts of a text in their styles. The ranges are in order."""
    if len(spans) == 1:
        text, style = spans[0]
        return [[(text[start:end], style)] for start, end in ranges]
    rows: list[list[Span]] = []
    index = offset = 0
    for start, end in ranges:
        row: list[Span] = []
        while index < len(spans):
            text, style = spans[index]
            if part := text[max(start - offset, 0) : max(end - offset, 0)]:
                row.append((part, style))
            if offset + len(text) > end:
                break
            offset += len(text)
            index += 1
        rows.append(row)
    return rows
