"""One line on stderr that says how far a slow step is."""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from hychat.cli.streams import Stream
from hychat.domain.text import printable
from hychat.messages import _

PATIENCE_SECONDS: Final = 0.5
"""How long a step runs before it is spoken of."""

_WRAP_OFF: Final = "\x1b[?7l"
_WRAP_ON: Final = "\x1b[?7h"
_CLEAR_TO_END: Final = "\x1b[K"


class ProgressLine:
    """Paints over itself on a terminal; elsewhere each step is told once."""

    def __init__(self, stream: Stream, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._step = ""
        self._started = 0.0
        self._shown = ""

    def show(self, step: str, done: int, total: int) -> None:
        """Tell that `done` of `total` of a step are done; it is known by its words, so they must not change."""
        if step != self._step:
            self._step, self._started = step, self._clock()
        if self._clock() - self._started < PATIENCE_SECONDS:
            return
        if self._stream.can_animate:
            share = _("{step}: {percent}%").format(step=step, percent=100 * done // total) if total else step
            self._put(share, f"\r{_WRAP_OFF}{printable(share)}{_WRAP_ON}{_CLEAR_TO_END}")
        else:
            self._put(step, f"{printable(step)}\n")

    def clear(self) -> None:
        """Take the line off the screen, if it is there."""
        if self._stream.can_animate and self._shown:
            self._put("", f"\r{_CLEAR_TO_END}")

    def _put(self, shown: str, sequence: str) -> None:
        if shown != self._shown:
            self._shown = shown
            with suppress(OSError):  # there is nobody to tell that nobody reads
                self._stream.write(sequence)
