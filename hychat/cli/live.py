"""Rendered Markdown on a terminal while it is being written."""

import math
import time
from collections.abc import Callable, Sequence
from os import terminal_size
from typing import Final

from hychat.cli.markdown import GrowingMarkdown, Renderer, Unit
from hychat.domain.text import printable

SHORTEST_INTERVAL_SECONDS: Final = 1 / 15
LARGEST_LOAD: Final = 0.1
"""The part of one core that drawing may take: the engine decodes on the same cores."""

_BEGIN_UPDATE: Final = "\x1b[?2026h"
_END_UPDATE: Final = "\x1b[?2026l"
_WRAP_OFF: Final = "\x1b[?7l"
_WRAP_ON: Final = "\x1b[?7h"


class LiveRegion:
    """The last rows of a terminal, painted over and over, above them what is written for good.

    The cursor rests at the end of the last live row, so it need not be hidden and nothing must be put right when the
    process is killed. Live rows are written with the terminal's line wrap off: whatever width it gives a character, a
    row is a row. A terminal that is made narrower may fold live rows; what then stands above the region stays there,
    since going further up could destroy finished text.
    """

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._painted: list[str] = []

    def show(self, finished: list[str], live: list[str], *, repaint: bool = False) -> None:
        """Put `finished` rows in the region's place for good and `live` rows below.

        Live rows on top that did not change are left alone, unless all are to be painted again.
        """
        if not (finished or repaint) and live == self._painted:
            return
        kept = 0 if finished or repaint else min(_common_length(self._painted, live), max(len(live) - 1, 0))
        above = "".join(f"{row}\n" for row in finished)
        below = "\n".join(live[kept:])
        self._write(f"{_BEGIN_UPDATE}{self._back_to(kept)}{above}{_WRAP_OFF}{below}{_WRAP_ON}{_END_UPDATE}")
        self._painted = live

    def leave(self) -> None:
        """Let the live rows stand and go on below them, whatever was interrupted."""
        self._write(_WRAP_ON + _END_UPDATE + ("\n" if self._painted else ""))
        self._painted = []

    def _back_to(self, row: int) -> str:
        """Moves the cursor to the start of a live row, and clears what is there and below."""
        if row == len(self._painted):
            return "\n" if row else ""
        up = len(self._painted) - 1 - row
        return "\r" + (f"\x1b[{up}A" if up else "") + "\x1b[J"


def _common_length(one: Sequence[str], other: Sequence[str]) -> int:
    """How many elements are equal from the first on."""
    pairs = zip(one, other, strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


class MarkdownWriter:
    """Streams Markdown to a terminal: finished parts for good, the part in progress live.

    The terminal's own scrollback ends up with the rendering of the whole text, once. A part in progress that is taller
    than the terminal shows its end only, except code, whose lines are given to the scrollback as they come.
    """

    def __init__(
        self,
        write: Callable[[str], None],
        size: Callable[[], terminal_size],
        *,
        has_colour: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Write through `write` to a terminal of `size()`, asked before each drawing."""
        self._size = size
        self._clock = clock
        self._text = GrowingMarkdown()
        self._renderer = Renderer(has_colour=has_colour)
        self._region = LiveRegion(write)
        self._columns = 0
        self._is_first = True
        """Whether nothing was written for good yet."""
        self._next_drawing = -math.inf

    def feed(self, text: str) -> None:
        """Take the next piece, and draw when it is time."""
        self._text.feed(printable(text))
        started = self._clock()
        if started < self._next_drawing:
            return
        self._draw()
        ended = self._clock()
        self._next_drawing = ended + max(SHORTEST_INTERVAL_SECONDS, (ended - started) / LARGEST_LOAD)

    def pause(self) -> None:
        """Take the live part off the screen, so that other text can be written; the next piece brings it back."""
        self._region.show([], [])
        self._next_drawing = -math.inf

    def finish(self) -> None:
        """Write what is still open for good, as far as it came, and end the line."""
        columns, _ = self._size()
        self._region.show(self._rows(self._text.rest(), columns), [])

    def abort(self) -> None:
        """Leave the screen as it is, with a sane cursor on a new line."""
        self._region.leave()

    def _draw(self) -> None:
        columns, lines = self._size()
        room = max(lines - 1, 1)
        finished = self._finished_rows(self._text.take_finished(), columns)
        live = self._rows(self._text.rest(), columns)
        if len(live) > room and (code := self._text.take_code(keep=max(room // 2, 1))):
            finished += self._finished_rows(code, columns)
            live = self._rows(self._text.rest(), columns)
        self._region.show(finished, live[-room:], repaint=columns != self._columns)
        self._columns = columns

    def _finished_rows(self, units: Sequence[Unit], columns: int) -> list[str]:
        rows = self._rows(units, columns)
        self._is_first = self._is_first and not rows
        return rows

    def _rows(self, units: Sequence[Unit], columns: int) -> list[str]:
        return self._renderer.rows(units, columns, is_first=self._is_first)
