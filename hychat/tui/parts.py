"""What entries are made of: lines, facts, blocks of Markdown; each knows its rows at a width."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Final

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style

from hychat.domain.text import printable
from hychat.messages import _
from hychat.tui.column import Row
from hychat.tui.looks import Looks
from hychat.tui.markdown.wrapping import wrap

if TYPE_CHECKING:
    from hychat.tui.markdown.block import Block

_TAB_CELLS: Final = 4
_HINT_CELLS: Final = 9
DO: Final = "do"
"""Key in a segment's meta: what a click on it does, a word and its arguments."""


def rows_guessed(text: str, width: int) -> int:
    """How many rows a text may take: a letter takes a cell, a Chinese character two and three bytes."""
    characters, octets = len(text), len(text.encode("utf-8", "replace"))
    cells = characters + (octets - characters) // 2
    return max(1, text.count("\n") + ceil(cells / width))


def doing(style: Style, *action: str) -> Style:
    """The style of a text that does something when it is clicked."""
    return style + Style(meta={DO: action})


@dataclass(frozen=True, slots=True, eq=False)
class Lines:
    """Rows that are known as they stand, each a list of texts with the name of their look; folded where they are too long."""

    text: str
    look: str = "muted"
    is_marked: bool = False
    is_band: bool = False

    def guess(self, width: int) -> int:
        """As `Part`."""
        return rows_guessed(self.text, width)

    def rows(self, width: int, looks: Looks) -> list[Row]:
        """As `Part`."""
        style: Style = getattr(looks, self.look)
        found = wrap([(printable(self.text).expandtabs(_TAB_CELLS), style)], width)
        return [Row([Segment(*span) for span in spans], self.is_marked, self.is_band) for spans in found]


_BETWEEN: Final = "  ·  "
Fact = tuple[tuple[str, tuple[str, ...]], ...]
"""Texts that belong together, each with what a click on it does; nothing where that is empty."""


@dataclass(frozen=True, slots=True, eq=False)
class Facts:
    """One row of small facts, some of which do something when they are clicked."""

    facts: tuple[Fact, ...]
    is_spaced: bool = False
    """Whether an empty row goes before it."""

    def guess(self, width: int) -> int:  # noqa: ARG002 - a part's
        """As `Part`."""
        return 1 + self.is_spaced

    def rows(self, width: int, looks: Looks) -> list[Row]:
        """As `Part`."""
        segments: list[Segment] = []
        for fact in self.facts:
            more = [Segment(text, doing(looks.accent, *action) if action else looks.muted) for text, action in fact]
            more = [Segment(_BETWEEN, looks.muted), *more] if segments else more
            if segments and Segment.get_line_length([*segments, *more]) > width:
                break  # whole facts only, the first ones weigh most
            segments += more
        cut = Segment.adjust_line_length(segments, width, pad=False)
        return [*([Row()] if self.is_spaced else ()), Row(tuple(cut))]


@dataclass(frozen=True, slots=True, eq=False)
class MarkdownPart:
    """One block of an answer."""

    block: "Block"
    nth: int
    """Which block of its text it is, counted from 0."""

    def guess(self, width: int) -> int:
        """As `Part`."""
        return rows_guessed(self.block.source.rstrip("\n"), width) + (self.block.opens and self.nth > 0)

    def rows(self, width: int, looks: Looks) -> list[Row]:
        """As `Part`."""
        from hychat.tui.markdown.layout import rows as rows_of_block  # brings the Markdown parser, 20 ms

        rows = [
            Row(self._with_copy(row.segments, looks) if row.copies else tuple(row.segments))
            for row in rows_of_block(self.block, width, looks.markdown)
        ]
        return [Row(), *rows] if self.block.opens and self.nth else rows

    def _with_copy(self, segments: Sequence[Segment], looks: Looks) -> tuple[Segment, ...]:
        """A click on the first row of code, right of the code itself, copies all of it."""
        *code, last = segments
        label = _("copy")
        gap = last.cell_length - cell_len(label) - 1
        if last.text.strip() or gap < 1:  # the language stands there, with one cell behind it
            more = code[-1:] if code and len(code) > 1 else []
            shown = [Segment(part.text, doing(part.style or Style(), "code", str(self.nth))) for part in (*more, last)]
            return (*code[: len(code) - len(more)], *shown)
        style = last.style or Style()
        return (*code, Segment(" " * gap, style), Segment(label, doing(style + looks.muted, "code", str(self.nth))),
                Segment(" ", style))  # fmt: skip


class MarkdownText:
    """Markdown that may still grow, as parts."""

    def __init__(self, text: str = "") -> None:
        from hychat.tui.markdown.blocks import Blocks  # 7 ms

        self._blocks = Blocks()
        self._parts: list[MarkdownPart] = []
        self._pieces: list[str] = []
        self.feed(text)

    @property
    def source(self) -> str:
        """All that was fed."""
        return "".join(self._pieces)

    def feed(self, text: str) -> None:
        """Take the next piece."""
        if text:
            self._pieces.append(text)
            self._blocks.feed(text)

    def parts(self) -> list[MarkdownPart]:
        """A part for each block; the same as before for those that did not change."""
        blocks = self._blocks.blocks
        kept = next(
            (n for n, (part, block) in enumerate(zip(self._parts, blocks, strict=False)) if part.block is not block),
            min(len(self._parts), len(blocks)),
        )
        self._parts[kept:] = [MarkdownPart(block, n) for n, block in enumerate(blocks[kept:], kept)]
        return [*self._parts]

    @property
    def blocks(self) -> "Sequence[Block]":
        """What it is made of."""
        return self._blocks.blocks


@dataclass(frozen=True, slots=True, eq=False)
class Blank:
    """An empty row."""

    def guess(self, width: int) -> int:  # noqa: ARG002 - a part's
        """As `Part`."""
        return 1

    def rows(self, width: int, looks: Looks) -> list[Row]:  # noqa: ARG002 - a part's
        """As `Part`."""
        return [Row()]


@dataclass(frozen=True, slots=True, eq=False)
class Muted:
    """A part of a thought."""

    part: MarkdownPart

    def guess(self, width: int) -> int:
        """As `Part`."""
        return self.part.guess(width - 2)

    def rows(self, width: int, looks: Looks) -> list[Row]:
        """As `Part`."""
        rows = self.part.rows(width - 2, looks)
        return [Row((Segment("  "), *_in(row.segments, looks.muted))) for row in rows]


def _in(segments: Iterable[Segment], style: Style) -> Iterator[Segment]:
    return (Segment(text, own + style if own else style) for text, own, _control in segments)


@dataclass(frozen=True, slots=True, eq=False)
class Hint:
    """A key, and what it is for."""

    key: str
    text: str

    def guess(self, width: int) -> int:
        """As `Part`."""
        return rows_guessed(self.text, width - _HINT_CELLS)

    def rows(self, width: int, looks: Looks) -> list[Row]:
        """As `Part`."""
        rows = wrap([(self.text, looks.muted)], width - _HINT_CELLS)
        keys = [f"{self.key:{_HINT_CELLS}}", *[" " * _HINT_CELLS] * len(rows)]
        return [
            Row((Segment(key, looks.accent), *(Segment(*span) for span in spans)))
            for key, spans in zip(keys, rows, strict=False)
        ]
