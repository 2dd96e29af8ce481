"""One question answered in several styles, as an entry of the transcript."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Final

from rich.segment import Segment

from hychat.domain.choices import Style
from hychat.messages import _
from hychat.tui.column import Part, Row
from hychat.tui.entries import Answer, style_name
from hychat.tui.looks import Looks
from hychat.tui.parts import doing

_COMPARISON_ROWS: Final = 12
_GAP_CELLS: Final = 3
_NARROWEST_COLUMN: Final = 24


class Comparison:
    """Answers to one question in several styles, side by side where there is room."""

    def __init__(self, styles: Iterable[Style]) -> None:
        self.answers: dict[Style, Answer] = {style: Answer() for style in styles}

    def guess(self, width: int) -> int:  # noqa: ARG002 - an entry's
        """As `Entry`."""
        return _COMPARISON_ROWS

    def parts(self) -> list[Part]:
        """As `Entry`."""
        return [_SideBySide(tuple((style, tuple(answer.parts())) for style, answer in self.answers.items()), self)]

    def head(self, style: Style) -> tuple[str, tuple[str, ...]]:
        """What stands above an answer: its style, and once it is written what takes it."""
        message = self.answers[style].message
        name = style_name(style)
        return (_("{style}: go on from here").format(style=name), ("take", message.id)) if message else (name, ())


@dataclass(frozen=True, slots=True, eq=False)
class _SideBySide:
    """Several answers in columns, or one under another where columns would be too narrow."""

    answers: tuple[tuple[Style, tuple[Part, ...]], ...]
    comparison: Comparison

    def guess(self, width: int) -> int:
        return max(sum(part.guess(width) for part in parts) for _style, parts in self.answers) + 2

    def rows(self, width: int, looks: Looks) -> list[Row]:
        count = len(self.answers)
        column = (width - _GAP_CELLS * (count - 1)) // count
        if column < _NARROWEST_COLUMN:
            return [row for style, parts in self.answers for row in (*self._column(style, parts, width, looks), Row())]
        columns = [self._column(style, parts, column, looks) for style, parts in self.answers]
        return [self._beside(cells, column) for cells in zip_longest(*columns, fillvalue=Row())]

    def _column(self, style: Style, parts: Iterable[Part], width: int, looks: Looks) -> list[Row]:
        text, action = self.comparison.head(style)
        look = doing(looks.accent, *action) if action else looks.accent
        head = Row(tuple(Segment.adjust_line_length([Segment(text, look)], width, pad=False)))
        return [head, Row(), *(row for part in parts for row in part.rows(width, looks))]

    @staticmethod
    def _beside(cells: Sequence[Row], width: int) -> Row:
        segments: list[Segment] = []
        for nth, cell in enumerate(cells):
            if nth:
                segments.append(Segment(" " * _GAP_CELLS))
            segments += Segment.adjust_line_length([*cell.segments], width)
        return Row(tuple(segments))
