"""The end that comes from outside: a signal leaves the application as the user would, its terminal's modes put back.

Textual has no handlers of its own in a terminal: SIGTERM would leave the alternate screen, the mouse reports and a hidden cursor.
"""

import asyncio
import os
import select
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Final

_SIGNALS: Final = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
_PATIENCE_SECONDS: Final = 15
_SIGNAL_CODE: Final = 128


def hear_signals(leave: Callable[[int], object]) -> None:
    """Have `leave` called with the exit code when a signal asks for the end; one that is ignored (`nohup`) stays so."""
    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            loop.add_signal_handler(number, leave, _SIGNAL_CODE + number)
            if number is signal.SIGHUP:
                signal.signal(number, _hang_up)  # at once; the loop calls `leave` when it comes to it


def hear_hang_up(leave: Callable[[int], object]) -> None:
    """Have `leave` called when the terminal is gone and no signal tells it: it has no session, or SIGHUP is ignored.

    Textual's reader would ask for keys for ever, as fast as it can.
    """
    loop = asyncio.get_running_loop()
    hang_up = select.poll()
    hang_up.register(0, 0)

    def wait() -> None:
        if any(happened & select.POLLHUP for _descriptor, happened in hang_up.poll()):
            _let_go_of_terminal()
            loop.call_soon_threadsafe(leave, _SIGNAL_CODE + signal.SIGHUP)

    threading.Thread(target=wait, name="hang-up", daemon=True).start()


def _hang_up(_number: int, _frame: FrameType | None) -> None:
    """With a closed terminal comes SIGCONT, at which Textual would begin anew."""
    signal.signal(signal.SIGCONT, lambda *_arguments: None)
    _let_go_of_terminal()


def _let_go_of_terminal() -> None:
    """Where it is closed, write to nowhere: an error would end Textual's writer, and the application waits for that.

    The alarm ends a process that waits all the same.
    """
    signal.alarm(_PATIENCE_SECONDS)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(3):
        if not os.isatty(descriptor):
            os.dup2(nowhere, descriptor)
    os.close(nowhere)
