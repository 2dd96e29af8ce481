"""Lines that fit the terminal, by how wide characters are."""

import re
from collections.abc import Iterator
from typing import Final
from unicodedata import east_asian_width

_UNBREAKABLE: Final = re.compile(r"[\u2e80-\u9fff][、。，：；？！）」]*|[^\s\u2e80-\u9fff]+[、。，：；？！）」]*|\s+")
"""Chinese may be broken after any character, but a line does not begin with punctuation."""


def wrapped(text: str, columns: int) -> list[str]:
    """The text in lines of at most so many columns, where its words allow it."""
    lines, line, width = [], "", 0
    for piece in _pieces(text):
        if line and width + width_of(piece.rstrip()) > columns:
            lines.append(line.rstrip())
            line, width = "", 0
        if line or not piece.isspace():
            line += piece
            width += width_of(piece)
    return [*lines, line.rstrip()] if line else lines


def width_of(text: str) -> int:
    """The columns that a line takes."""
    return sum(2 if east_asian_width(character) in "WF" else 1 for character in text)


def _pieces(text: str) -> Iterator[str]:
    return (found[0] for found in _UNBREAKABLE.finditer(text))
