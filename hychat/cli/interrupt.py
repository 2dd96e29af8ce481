"""Ctrl+C, and signals that ask for the end: the first ends the work in order, the second ends the program."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from queue import SimpleQueue
from types import FrameType
from typing import Final, TypeVar

from hychat.domain.cancel import CancelToken

_ENDINGS: Final = (signal.SIGTERM, signal.SIGHUP)
_SIGNAL_CODE: Final = 128
"""What a shell adds to the number of the signal that ended a program."""
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


@contextmanager
def cancelled_by_any_signal() -> Iterator[CancelToken]:
    """The same, and SIGTERM and SIGHUP set it too, after which the program ends; one that is ignored (`nohup`) stays so.

    Raises:
        SystemExit: One of these came, and what was begun is cleared away.
    """
    asked: list[int] = []
    with cancelled_by_ctrl_c() as cancel:

        def end(number: int, _frame: FrameType | None) -> None:
            if cancel.is_set:
                raise KeyboardInterrupt
            asked.append(number)
            cancel.set()

        heard = [number for number in _ENDINGS if signal.getsignal(number) is not signal.SIG_IGN]
        before = {number: signal.signal(number, end) for number in heard}
        try:
            yield cancel
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            if asked:
                raise SystemExit(_SIGNAL_CODE + asked[0])


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
