"""One way to stop a turn, for every face: Esc, Ctrl+C, a closed client, an exit, a timeout."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager


class CancelToken:
    """Says once that a turn must stop. One per turn, never reused.

    `set()` may be called from any thread and from a signal handler, so what is subscribed must be reentrant
    (`queue.SimpleQueue.put` is).
    """

    __slots__ = ("_is_set", "_wakers")

    def __init__(self) -> None:
        self._is_set = False
        self._wakers: tuple[Callable[[], None], ...] = ()

    @property
    def is_set(self) -> bool:
        """Whether the turn must stop."""
        return self._is_set

    def set(self) -> None:
        """Ask the turn to stop; a second call changes nothing."""
        if not self._is_set:
            self._is_set = True
            for wake in self._wakers:
                wake()

    @contextmanager
    def waking(self, wake: Callable[[], None]) -> Iterator[None]:
        """Call `wake` when the token is set while the block runs, at once if it already is."""
        self._wakers = (*self._wakers, wake)
        if self._is_set:
            wake()
        try:
            yield
        finally:
            self._wakers = tuple(other for other in self._wakers if other is not wake)
