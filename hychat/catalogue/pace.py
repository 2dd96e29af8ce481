"""How far a download is, how fast it runs, and how long it will take."""

import time
from collections.abc import Callable

from hychat.domain.numbers import size
from hychat.messages import _


class Pace:
    """Follows the bytes of a download; what it tells never goes back."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = clock()
        self._began_bytes = 0
        self._last_bytes = 0
        self.done_bytes = 0
        """The most that were here."""
        self.total_bytes = 0

    def begin(self, done_bytes: int, total_bytes: int) -> None:
        """Measure from here on: what is here already took no time."""
        self._began, self._began_bytes = self._clock(), done_bytes
        self.total_bytes = total_bytes
        self.move(done_bytes)

    def move(self, done_bytes: int) -> None:
        """So much is here now."""
        self._last_bytes = done_bytes
        self.done_bytes = max(self.done_bytes, done_bytes)

    @property
    def fraction(self) -> float:
        """How much of it is here, 0 to 1."""
        return min(1.0, self.done_bytes / self.total_bytes) if self.total_bytes else 0.0

    @property
    def bytes_per_second(self) -> float:
        """Since it began."""
        return max(0, self._last_bytes - self._began_bytes) / max(1e-3, self._clock() - self._began)

    def figures(self) -> str:
        """Bytes, speed and time left."""
        return _("{done} of {total}  {speed}/s  {left} left").format(
            done=size(self.done_bytes),
            total=size(self.total_bytes),
            speed=size(int(self.bytes_per_second)),
            left=self._time_left(),
        )

    def _time_left(self) -> str:
        speed = self.bytes_per_second
        if speed < 1:
            return "–:––"
        seconds = max(0, int((self.total_bytes - self._last_bytes) / speed))
        hours, minutes = divmod(seconds // 60, 60)
        return f"{hours}:{minutes:02}:{seconds % 60:02}" if hours else f"{minutes}:{seconds % 60:02}"
