"""Draws what the application shows as SVG: pinned fonts and sizes, no id, nothing of another host."""

import re
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from itertools import groupby
from typing import Final

from rich.cells import cell_len, split_graphemes
from rich.color import Color
from rich.segment import Segment
from rich.style import Style
from rich.terminal_theme import SVG_EXPORT_THEME
from textual.app import App

_CELL_WIDTH: Final = 8.4
_CELL_HEIGHT: Final = 18.0
_BASELINE: Final = 13.5
_MARGIN: Final = 12.0
_BAR: Final = "▎"
"""Drawn as a rectangle: as a letter it leaves gaps between the rows."""
_BAR_WIDTH: Final = _CELL_WIDTH / 4
_APART: Final = re.compile(rf"({_BAR}| {{2,}})")
_WIDE_FONT: Final = 16
"""Chinese fills its two cells."""
_FONT: Final = "Menlo, Consolas, 'DejaVu Sans Mono', 'Noto Sans Mono CJK SC', monospace"


def picture_of(app: App[int]) -> str:
    """What the application shows now, as SVG: a line for each text of one look, so that a change can be read."""
    rows = [list(strip) for strip in app.screen._compositor.render_strips()]
    background = _hex(app.screen.rich_style.bgcolor, is_text=False)
    width, height = (f"{value:g}" for value in _size_of(*app.size))
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'font-family="{_FONT}" font-size="14">'
    )
    ground = f'<rect width="100%" height="100%" rx="8" fill="{background}"/>'
    drawn = (line for nth, row in enumerate(rows) for line in _draw_row(row, nth, background))
    return "\n".join([head, ground, *drawn, "</svg>", ""])


def _size_of(columns: int, lines: int) -> tuple[float, float]:
    return columns * _CELL_WIDTH + 2 * _MARGIN, lines * _CELL_HEIGHT + 2 * _MARGIN


def _draw_row(row: Sequence[Segment], nth: int, background: str) -> Iterator[str]:
    """First what is behind the texts of a row, then the texts."""
    top = _MARGIN + nth * _CELL_HEIGHT
    placed = [*_placed(row)]
    for colour, run in groupby(placed, key=lambda each: _colours(each[2])[1] or background):
        cells = [*run]
        if colour != background:
            width = sum(cell_len(text) for _column, text, _style in cells)
            yield _rectangle(cells[0][0], top, width * _CELL_WIDTH, colour)
    for column, text, style in placed:
        colour = _colours(style)[0]
        if text == _BAR:
            yield _rectangle(column, top, _BAR_WIDTH, colour)
        elif text.strip():
            yield _letters(column, top, text, style, colour)


def _rectangle(column: int, top: float, width: float, colour: str) -> str:
    return (
        f'<rect x="{_left(column)}" y="{top:g}" width="{width:.1f}" height="{_CELL_HEIGHT:g}" fill="{colour}" '
        'shape-rendering="crispEdges"/>'
    )


def _letters(column: int, top: float, text: str, style: Style, colour: str) -> str:
    looks = [
        ' font-weight="bold"' if style.bold else "",
        ' font-style="italic"' if style.italic else "",
        ' opacity="0.6"' if style.dim else "",
        ' text-decoration="underline"' if style.underline else "",
        ' text-decoration="line-through"' if style.strike else "",
        f' font-size="{_WIDE_FONT}"' if cell_len(text) == 2 * len(text) else "",
    ]
    column += len(text) - len(text.lstrip(" "))
    text = text.strip(" ")
    return (
        f'<text x="{_left(column)}" y="{top + _BASELINE:g}" textLength="{cell_len(text) * _CELL_WIDTH:.1f}" '
        f'fill="{colour}"{"".join(looks)}>{escape(text, quote=False)}</text>'
    )


def _left(column: int) -> str:
    return f"{_MARGIN + column * _CELL_WIDTH:.1f}"


def _placed(row: Iterable[Segment]) -> Iterator[tuple[int, str, Style]]:
    """Texts of one look and one width a letter, each with its column; bars and gaps stand alone."""
    column = 0
    for style, run in groupby(row, key=lambda segment: _look(segment.style)):
        for text in _pieces("".join(segment.text for segment in run)):
            yield column, text, style
            column += cell_len(text)


def _look(style: Style | None) -> Style:
    """Without what is not seen: what a click does, and where a link leads."""
    return style.clear_meta_and_links() if style else Style.null()


def _pieces(text: str) -> Iterator[str]:
    """A wide letter is not as wide as two cells in every font: those get texts of their own."""
    for part in _APART.split(text):
        letters = [(part[start:end], cells) for start, end, cells in split_graphemes(part)[0]]
        for _width, alike in groupby(letters, key=lambda letter: letter[1]):
            yield "".join(letter for letter, _cells in alike)


def _colours(style: Style) -> tuple[str, str]:
    """Of the letters, and of what is behind them; none for the terminal's own."""
    letters = _hex(style.color, is_text=True)
    behind = "" if style.bgcolor is None or style.bgcolor.is_default else _hex(style.bgcolor, is_text=False)
    return (behind or _hex(None, is_text=False), letters) if style.reverse else (letters, behind)


def _hex(colour: Color | None, *, is_text: bool) -> str:
    return (colour or Color.default()).get_truecolor(SVG_EXPORT_THEME, foreground=is_text).hex
