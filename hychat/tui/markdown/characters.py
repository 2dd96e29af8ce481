"""How text falls into characters as people see them, and which of them a row must not begin or end with."""

from typing import Final

from rich.cells import split_graphemes

CLOSING: Final = "。，、；：？！）】》」』〉〕〗”’…％℃"
"""No row begins with one of these."""
OPENING: Final = "（【《「『〈〔〖“‘"
"""No row ends with one of these."""
CJK: Final = (
    "\u2e80-\u312f\u3190-\u4dbf\u4e00-\u9fff\uf900-\ufaff\ufe30-\ufe4f\uff01-\uff60\uffe0-\uffe6\U00020000-\U0003ffff"
)
"""Ideographs, kana and full-width signs, for a regular expression: text may be broken on both sides of each."""

_FLAG_LETTERS: Final = range(0x1F1E6, 0x1F200)
"""Two of them are a flag."""


def graphemes(text: str) -> list[tuple[int, int, int]]:
    """Start, end and cells of each character as people see it: with its accents, an emoji of several, a flag."""
    spans: list[tuple[int, int, int]] = []
    is_half_flag = False
    for start, end, cells in split_graphemes(text)[0]:
        is_letter = end == start + 1 and ord(text[start]) in _FLAG_LETTERS
        if is_half_flag and is_letter:
            spans[-1] = (spans[-1][0], end, spans[-1][2] + cells)
        else:
            spans.append((start, end, cells))
        is_half_flag = is_letter and not is_half_flag
    return spans
