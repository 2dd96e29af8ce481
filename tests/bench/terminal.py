"""A program in a pseudo-terminal, typed into and read as a terminal emulator would."""

import codecs
import os
import pty
import re
import select
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fcntl import ioctl
from itertools import cycle
from pathlib import Path
from struct import pack
from termios import TIOCSWINSZ
from time import perf_counter, sleep
from typing import Final, Self

from hychat.domain.errors import HychatError
from tests.bench.programs import Environment

_ROWS, _COLUMNS = 40, 120
_PATIENCE_SECONDS: Final = 60.0
_GLANCE_SECONDS: Final = 0.03
"""Less than a terminal's buffer of 4 KiB takes to fill."""
_FRAME_MODE: Final = "2026"
"""DEC private mode of synchronized output, which Textual asks for; with it every frame has an end."""
FRAME_END: Final = f"\x1b[?{_FRAME_MODE}l"
_MODE_QUERY: Final = re.compile(r"\x1b\[\?(\d+)\$p")
_LETTERS: Final = [chr(code) for code in range(0x48A, 0x530)]
"""Rare Cyrillic ones of one cell. No text here has them, and none comes again before it is forgotten."""
_BACKSPACE: Final = "\x7f"


class Terminal:
    """A program on a terminal of 120 by 40."""

    def __init__(self, command: list[str], environment: Environment) -> None:
        self.started = perf_counter()
        """Before the program was."""
        self._command = command
        self._keyboard, terminal = pty.openpty()
        ioctl(terminal, TIOCSWINSZ, pack("HHHH", _ROWS, _COLUMNS, 0, 0))
        os.set_blocking(self._keyboard, False)
        looks = {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
        self._process = subprocess.Popen(
            command,
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            env={**environment, **looks},
            start_new_session=True,
        )
        os.close(terminal)
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._unused_letters = cycle(_LETTERS)
        self._unread = ""
        self._tail = ""
        """The end of all that came, to be told when something is wrong."""

    @classmethod
    @contextmanager
    def running(cls, command: list[str], environment: Environment) -> Iterator[Self]:
        """Killed with the block."""
        terminal = cls(command, environment)
        try:
            yield terminal
        finally:
            terminal._process.kill()
            terminal._process.wait()
            os.close(terminal._keyboard)

    def type(self, keys: str) -> None:
        """Write what keys send, and read meanwhile; what is read is kept for the next read."""
        rest = keys.encode()
        while rest:
            readable, writable, _ = select.select([self._keyboard], [self._keyboard], [], _PATIENCE_SECONDS)
            if readable:
                self._unread += self._receive()
            if writable:
                with suppress(BlockingIOError):
                    rest = rest[os.write(self._keyboard, rest) :]

    def read(self, patience_seconds: float) -> str:
        """What comes next; nothing where nothing comes. Raises as `wait_for`."""
        if self._unread:
            text, self._unread = self._unread, ""
            return text
        return self._receive() if select.select([self._keyboard], [], [], patience_seconds)[0] else ""

    def _receive(self) -> str:
        try:
            text = self._decoder.decode(os.read(self._keyboard, 1 << 16))
        except OSError as error:  # EIO: nobody has the terminal open any more
            raise HychatError(f"{self._command} has ended: {self._tail[-500:]!r}") from error
        self._tail = (self._tail + text)[-1000:]
        if "$p" in text:
            self._tell_modes(text)
        return text

    def _tell_modes(self, text: str) -> None:
        for mode in _MODE_QUERY.findall(text):
            self.type(f"\x1b[?{mode};{2 if mode == _FRAME_MODE else 0}$y")

    def wait_for(self, *texts: str) -> str:
        """Read until all of these came; what came.

        Raises:
            HychatError: They do not come, or the program has ended.
        """
        read, deadline = "", perf_counter() + _PATIENCE_SECONDS
        missing = list(texts)
        while missing:
            if perf_counter() > deadline:
                raise HychatError(f"{missing[0]!r} never came, only {self._tail[-500:]!r}")
            searched = max(0, len(read) - 100)  # none of the texts is longer
            read += self.read(1.0)
            missing = [text for text in missing if read.find(text, searched) < 0]
        return read

    def glance_until(self, text: str) -> None:
        """As `wait_for`, but looking now and then, to take as little as can be of the cores that the program needs."""
        seen, deadline = "", perf_counter() + _PATIENCE_SECONDS
        while text not in seen:
            if perf_counter() > deadline:
                raise HychatError(f"{text!r} never came, only {self._tail[-500:]!r}")
            sleep(_GLANCE_SECONDS)
            seen = seen[-100:] + self.read(0.0)

    def glance_until_over(self) -> None:
        """The same until the program has ended."""
        with suppress(HychatError):
            while self._process.poll() is None:
                sleep(_GLANCE_SECONDS)
                self.read(0.0)
        self._process.wait(_PATIENCE_SECONDS)

    def rest(self, seconds: float) -> str:
        """Read for so long."""
        read, end = "", perf_counter() + seconds
        while (left := end - perf_counter()) > 0:
            read += self.read(left)
        return read

    def settle(self, seconds: float) -> None:
        """Read until nothing comes for so long."""
        while self.read(seconds):
            pass

    def seconds_to(self, keys: str, *texts: str) -> float:
        """From keys to what they bring about."""
        started = perf_counter()
        self.type(keys)
        self.wait_for(*texts)
        return perf_counter() - started

    def echoes_until(self, end: str, placeholder: str, pause_seconds: float = 0.1) -> list[float]:
        """Type a letter and delete it, until a text comes; the seconds from each key to what it changed.

        `placeholder` is shown where nothing is typed. Raises as `wait_for`.
        """
        echoes, read, deadline = [], "", perf_counter() + _PATIENCE_SECONDS
        while end not in read:
            if perf_counter() > deadline:
                raise HychatError(f"{end!r} never came")
            read = read[-100:]
            letter = next(self._unused_letters)
            for key, echo in ((letter, letter), (_BACKSPACE, placeholder)):
                started = perf_counter()
                self.type(key)
                read += self.wait_for(echo)
                echoes.append(perf_counter() - started)
                read += self.rest(pause_seconds)
        return echoes

    def echo_seconds(self) -> float:
        """From a key to its letter on the screen; the letter stays in the prompt."""
        letter = next(self._unused_letters)
        return self.seconds_to(letter, letter)

    def cpu_seconds(self) -> float:
        """Of this process alone, not of its children."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident_mebibytes(self) -> float:
        """Of this process alone."""
        pages = int(Path(f"/proc/{self._process.pid}/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)
