"""Code on a band of its own background, in the colours of its language."""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final

from rich.cells import cell_len, chop_cells
from rich.segment import Segment
from rich.style import Style

from hychat.tui.markdown.block import Block
from hychat.tui.markdown.look import Look, Span
from hychat.tui.markdown.wrapping import fold

_PADDING: Final = 1
"""Cells on both sides of the code."""


def code_rows(block: Block, width: int, look: Look) -> Iterator[list[Segment]]:
    """The band, as wide as there is room. The language stands at the right of its first row."""
    room = width - 2 * _PADDING
    label = "" if block.continues else chop_cells(block.language, room)[0] if block.language else ""
    for line in _lines(block, look):
        for row in fold(line, room):
            n_cells = sum(cell_len(text) for text, _ in row)
            if label and n_cells and n_cells + 1 + cell_len(label) > room:
                yield _band([], 0, label, room, look)
                label = ""
            yield _band(row, n_cells, label, room, look)
            label = ""


def _band(row: list[Span], n_cells: int, label: str, room: int, look: Look) -> list[Segment]:
    gap = " " * (room - n_cells - cell_len(label))
    segments = [Segment(" " * _PADDING, look.code_block)]
    segments += [Segment(text, style) for text, style in row if text]
    if label:
        segments += [Segment(gap, look.code_block), Segment(label, look.code_block + look.language)]
        gap = ""
    return [*segments, Segment(gap + " " * _PADDING, look.code_block)]


def _lines(block: Block, look: Look) -> list[list[Span]]:
    """The lines of the code in the colours of its tokens. A piece is read as if it were the beginning."""
    code = block.source.expandtabs(4)
    lexer = _lexer(block.language.lower()) if block.language else None
    if lexer is None:
        return [[(line, look.code_block)] for line in code.split("\n")]
    styles: dict[object, Style] = {}
    lines: list[list[Span]] = [[]]
    for token, text in lexer.get_tokens(code):
        style = styles.get(token)
        if style is None:
            style = styles[token] = look.code_block + _token_style(str(token).removeprefix("Token."), look)
        first, *more = text.split("\n")
        lines[-1].append((first, style))
        lines += [[(line, style)] for line in more]
    return lines[: code.count("\n") + 1]  # the lexer ends the last line


def _token_style(name: str, look: Look) -> Style:
    """The style of a token type such as `Name.Function.Magic`, or of the nearest type that it is a kind of."""
    while name and name not in look.tokens:
        name = name.rpartition(".")[0]
    return look.tokens.get(name, Style.null())


@lru_cache(maxsize=64)
def _lexer(language: str) -> Any:
    """Pygments' reader of a language; None for one not known, which is found out only among all installed packages."""
    # Pygments takes a while to import, and most conversations have no code.
    from rich.syntax import Syntax

    return Syntax("", language).lexer
