"""From a generator that runs in a thread to batches of its events on the event loop."""

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Iterator
from typing import Final, Generic, TypeVar

_T = TypeVar("_T")
_FRAME_SECONDS: Final = 1 / 20
"""What comes within it is shown at once: reading has no use for more, and the model decodes on the same cores."""


async def batches(events: Iterator[_T], frame_seconds: float = _FRAME_SECONDS) -> AsyncIterator[list[_T]]:
    """The events of a generator, which runs in a thread of its own; those of one frame together, the first ones at once.

    Whoever stops iterating leaves the thread to its generator: it ends when that does.

    Raises:
        Exception: What the generator raised.
    """
    reading = _Reading(events)
    while True:
        batch = await reading.next_batch()
        if batch:
            yield batch
        if reading.is_over and not reading.has_more:
            break
        await asyncio.sleep(frame_seconds)
    if reading.error is not None:
        raise reading.error


class _Reading(Generic[_T]):
    """A thread that reads a generator, and what it has read."""

    def __init__(self, events: Iterator[_T]) -> None:
        self._events = events
        self._read: deque[_T] = deque()
        self._loop = asyncio.get_running_loop()
        self._has_news = asyncio.Event()
        self._is_told = False
        """Whether the loop knows that something waits."""
        self.is_over = False
        self.error: Exception | None = None
        threading.Thread(target=self._run, name="turn", daemon=True).start()

    @property
    def has_more(self) -> bool:
        """Whether events wait."""
        return bool(self._read)

    async def next_batch(self) -> list[_T]:
        """All that was read since the last call, once there is something; empty at the end."""
        await self._has_news.wait()
        self._has_news.clear()
        self._is_told = False  # before what waits is taken: what comes from here on is told anew
        batch = []
        while self._read:
            batch.append(self._read.popleft())
        if self.is_over:
            self._has_news.set()
        return batch

    def _run(self) -> None:
        try:
            for event in self._events:
                self._read.append(event)
                if not self._is_told:
                    self._tell()
        except Exception as error:  # noqa: BLE001 - raised again on the loop
            self.error = error
        self.is_over = True
        self._tell()

    def _tell(self) -> None:
        self._is_told = True
        try:
            self._loop.call_soon_threadsafe(self._has_news.set)
        except RuntimeError:  # the loop is closed: nobody reads any more
            return
