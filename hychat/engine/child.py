"""The parent's end of the engine's child process: start, requests and replies, and how it ended."""

import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from typing import Final

from hychat.domain.cancel import CancelToken
from hychat.domain.errors import EngineCrashed, EngineError, EngineSilent, EngineUnavailable, HychatError
from hychat.engine import wire
from hychat.engine.spawn import Spawned, spawn
from hychat.messages import _

_EXIT_GRACE_SECONDS: Final = 2.0
"""How long a process may take to be gone once its end was seen or ordered."""
_LOG_TAIL_BYTES: Final = 4096
_LOG_TAIL_LINES: Final = 4

SILENCE_SECONDS: Final = 20.0
"""How often a child that says nothing is looked at: one that also used no processor meanwhile is stuck."""
LONGEST_SILENCE_SECONDS: Final = 300.0
"""A child that says nothing to anybody for so long is given up, busy or not."""

Inbox = queue.SimpleQueue[wire.Reply | None]
"""Replies to one request; None wakes the reader: the child is dead, or the request was cancelled."""


class Child:
    """One engine process; it ends with this process, whatever happens."""

    def __init__(self, spawned: Spawned) -> None:
        self._pid = spawned.pid
        self._wire = wire.Wire(spawned.read_fd, spawned.write_fd, stall_seconds=SILENCE_SECONDS)
        self._ids = count(1)
        self._hello: Inbox = queue.SimpleQueue()
        self._greeting: wire.Reply | None = None
        self._inboxes: dict[int, Inbox] = {0: self._hello}
        self._is_alive = True
        self._is_closed = self._was_stuck = False
        self._heard = time.monotonic()
        self._exit_status: int | None = None
        self._exit_lock = threading.Lock()
        self._log_file: str | None = None
        self._log_start = 0
        self._reader = threading.Thread(target=self._read, name="engine-reader", daemon=True)
        self._reader.start()

    @classmethod
    def start(cls) -> "Child":
        """Start a process.

        Raises:
            EngineUnavailable: The system cannot start one now.
        """
        try:
            return cls(spawn())
        except OSError as error:
            is_no_program = isinstance(error, PermissionError | FileNotFoundError)
            other_user = _("This user must be able to run {program}.").format(program=sys.executable)
            raise EngineUnavailable(
                _("The engine cannot be started: {reason}.").format(reason=error.strerror or error),
                hint=other_user if is_no_program else _("Free some memory or end other programs, then try again."),
            ) from error

    @property
    def is_alive(self) -> bool:
        """Whether it can be asked."""
        return self._is_alive

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._pid

    def hello(self, cancel: CancelToken) -> wire.Reply | None:
        """Its first words: `Hello`, or `Failed` where llama.cpp does not load; None when cancelled, or it died.

        Raises:
            EngineSilent: It is stuck; it was ended.
        """
        if self._greeting is None:
            with cancel.waking(lambda: self._hello.put(None)):
                self._greeting = self.next_reply(self._hello)
        return self._greeting

    def watch_log(self, path: str | None) -> None:
        """Remember where in the engine log this child's lines begin."""
        self._log_file = path
        with suppress(OSError):
            self._log_start = os.path.getsize(path) if path else 0  # noqa: PTH202

    @contextmanager
    def request(self) -> Iterator[tuple[int, Inbox]]:
        """A fresh request id and where its replies come, for as long as the block runs."""
        number, inbox = next(self._ids), queue.SimpleQueue[wire.Reply | None]()
        self._inboxes[number] = inbox
        if not self._is_alive:
            inbox.put(None)
        try:
            yield number, inbox
        finally:
            del self._inboxes[number]

    def send(self, frame: wire.Request) -> None:
        """Ask it; a dead child is told by the reply that does not come."""
        with suppress(wire.BrokenWire):
            self._wire.send(frame)

    def next_reply(self, inbox: Inbox) -> wire.Reply | None:
        """Wait for a reply; None when the reader was woken.

        Raises:
            EngineSilent: The child is stuck; it was ended.
        """
        asked, ticks = time.monotonic(), self._processor_ticks()
        while True:
            try:
                return inbox.get(timeout=SILENCE_SECONDS)
            except queue.Empty:
                before, ticks = ticks, self._processor_ticks()
            is_idle = ticks is not None and ticks == before
            silence = time.monotonic() - max(asked, self._heard)  # what it says to other requests counts
            if silence >= (SILENCE_SECONDS if is_idle else LONGEST_SILENCE_SECONDS):
                self._was_stuck = True
                self.close()
                raise self.ended()

    def _processor_ticks(self) -> int | None:
        """Processor time it has used so far, in clock ticks; None where /proc does not tell."""
        try:
            with open(f"/proc/{self.pid}/stat", encoding="ascii", errors="replace") as file:  # noqa: PTH123
                after_name = file.read().rpartition(")")[2].split()
            return int(after_name[11]) + int(after_name[12])  # utime and stime, proc(5)
        except (OSError, ValueError, IndexError):
            return None

    def _read(self) -> None:
        while True:
            try:
                frame = self._wire.receive()
            except wire.BrokenWire:
                break
            self._heard = time.monotonic()
            if isinstance(frame, wire.Reply) and (inbox := self._inboxes.get(frame.request)) is not None:
                inbox.put(frame)
        self._is_alive = False
        self._wire.close_reading()
        for waiting in list(self._inboxes.values()):
            waiting.put(None)

    def ended(self) -> HychatError:
        """What to say of a child that ended by itself, was given up, or was closed by another thread."""
        hint = _("Ask again: the next question starts a new one.")
        if self._was_stuck:
            return EngineSilent(_("The engine stopped answering and was ended."), hint=hint)
        if self._is_closed:
            return EngineError(_("The engine was closed."))
        reason = self.end_reason()
        if self.end_signal() == signal.SIGKILL:
            hint = _("Most often the machine ran out of memory; a smaller model or context needs less.")
        lines = self.log_tail()
        return EngineCrashed(
            _("The engine ended unexpectedly ({reason}).").format(reason=reason), hint=f"{hint}\n{lines}".rstrip()
        )

    def end_signal(self) -> int | None:
        """The signal that ended it; None for an exit by itself."""
        code = self._exit_code()
        return -code if code < 0 else None

    def end_reason(self) -> str:
        """How it ended, in a word: `SIGSEGV`, `exit 1`."""
        code = self._exit_code()
        if code >= 0:
            return f"exit {code}"
        with suppress(ValueError):
            return signal.Signals(-code).name
        return f"signal {-code}"

    def _exit_code(self) -> int:
        """Its exit code, a signal as a negative number; waits for its end, which is forced after a moment."""
        self._reader.join(_EXIT_GRACE_SECONDS)  # the pipe closes when the process is gone
        if self._reader.is_alive():
            self._signal_kill()
            self._reader.join(_EXIT_GRACE_SECONDS)
        with self._exit_lock:
            if self._exit_status is None:
                self._exit_status = self._wait()
        return os.waitstatus_to_exitcode(self._exit_status)

    def _wait(self) -> int:
        """Its exit status. One that the system cannot end now, stuck in a driver, is not waited for."""
        try:
            return os.waitpid(self._pid, os.WNOHANG if self._reader.is_alive() else 0)[1]
        except ChildProcessError:  # somebody else waited for it
            return 0

    def _signal_kill(self) -> None:
        with self._exit_lock, suppress(ProcessLookupError):
            if self._exit_status is None:  # afterwards the id may be another process's
                os.kill(self._pid, signal.SIGKILL)

    def log_tail(self) -> str:
        """The last lines it wrote to the engine log."""
        try:
            with open(self._log_file or os.devnull, "rb") as file:  # noqa: PTH123
                size = os.fstat(file.fileno()).st_size
                start = self._log_start if self._log_start <= size else 0  # a log that grew large was begun anew
                file.seek(max(start, size - _LOG_TAIL_BYTES))
                lines = file.read().decode("utf-8", "replace").split("\n")
        except OSError:
            return ""
        return "\n".join([line.strip() for line in lines if line.strip()][-_LOG_TAIL_LINES:])

    def close(self) -> None:
        """End it, whatever it does, and wait until it has ended; a second call does nothing.

        It has nothing to finish: what it said is here, and the system frees its memory faster than it would itself.
        """
        self._is_closed = self._is_closed or self._is_alive  # one that died by itself is told so for ever
        self._is_alive = False
        self._signal_kill()
        self._wire.close_writing()
        self._exit_code()
