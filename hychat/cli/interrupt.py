"""Ctrl+C while an answer is written: the first ends the answer in order, the second ends the program."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from queue import SimpleQueue
from types import FrameType
from typing import TypeVar

from hychat.domain.cancel import CancelToken

_T = TypeVar("_T")


@contextmanager
def cancelled_by_ctrl_c() -> Iterator[CancelToken]:
    """A token that the first Ctrl+C sets; the second ends the program."""
    cancel = CancelToken()

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        if cancel.is_set:
            raise KeyboardInterrupt
        cancel.set()

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield cancel
    finally:
        signal.signal(signal.SIGINT, before)


def aside(steps: Iterator[_T], cancel: CancelToken) -> Iterator[_T]:
    """The same steps, made in a thread: Ctrl+C ends the wait at once, however long a step takes, and `cancel` is set then."""
    made: SimpleQueue[_T | _End] = SimpleQueue()

    def make() -> None:
        end = _End()
        try:
            for step in steps:
                made.put(step)
        except Exception as error:  # noqa: BLE001 - raised again where it is waited for
            end = _End(error)
        made.put(end)

    threading.Thread(target=make, name="aside", daemon=True).start()
    try:
        while not isinstance(step := made.get(), _End):
            yield step
    finally:
        cancel.set()
    if step.error is not None:
        raise step.error


@dataclass(frozen=True, slots=True)
class _End:
    """No more steps come."""

    error: Exception | None = None
