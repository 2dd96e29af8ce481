"""stdout and stderr as they may be: closed from the start, in an old encoding, no longer read, or a terminal."""

import codecs
import io
import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Final, TextIO

FALLBACK_SIZE: Final = os.terminal_size((80, 24))
_TERMINALS_WITHOUT_ESCAPES: Final = frozenset({"dumb", "unknown"})


class OutputClosed(Exception):
    """Nobody reads stdout any more (`| head`); the program ends without a word."""


def is_accessible(environment: Mapping[str, str]) -> bool:
    """Whether a screen reader reads along."""
    return environment.get("ACCESSIBLE", "") not in {"", "0"}


def wants_plain_prompt(environment: Mapping[str, str]) -> bool:
    """Whether a chat on the whole screen cannot be read, or not be drawn."""
    return is_accessible(environment) or environment.get("TERM") in _TERMINALS_WITHOUT_ESCAPES


def fill_closed_descriptors() -> None:
    """Open `/dev/null` as 0, 1 and 2 where they are closed (`>&-`).

    Otherwise the next file or pipe to be opened becomes this process's stdout, and receives what is written there.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:  # noqa: PLR2004 - stderr
        pass
    os.close(descriptor)


class Stream:
    """One of stdout and stderr. Every write arrives at once."""

    def __init__(self, file: TextIO | None, environment: Mapping[str, str] = os.environ) -> None:
        """Take over a text file of this process; None stands for one that was closed from the start."""
        self._file = file
        self.is_terminal = file is not None and not file.closed and file.isatty()
        self.has_styles = self.is_terminal and environment.get("TERM") not in _TERMINALS_WITHOUT_ESCAPES
        """Whether it obeys escape sequences."""
        self.can_animate = self.has_styles and not is_accessible(environment)
        """Whether rows may be painted over; a screen reader would read them again and again."""
        wants_colour = self.has_styles or bool(environment.get("FORCE_COLOR"))
        self.has_colour = wants_colour and not environment.get("NO_COLOR")
        """Colours what is ours; FORCE_COLOR does not turn a piped answer into a rendered one."""
        self.is_unicode = take_any_character(file)

    def write(self, text: str) -> None:
        """Write text and flush it.

        Raises:
            OSError: It cannot be written. Nothing arrives from now on, and a later write raises nothing.
        """
        if self._file is None:
            return
        try:
            self._file.write(text)
            self._file.flush()
        except OSError:
            self._discard_from_now_on()
            raise

    def size(self) -> os.terminal_size:
        """Columns and lines of the terminal, now."""
        with suppress(OSError, ValueError):
            size = os.get_terminal_size(self._file.fileno() if self._file else -1)
            if size.columns and size.lines:
                return size
        return FALLBACK_SIZE

    def _discard_from_now_on(self) -> None:
        """Point the descriptor at `/dev/null`, so that Python's own flush at exit finds nothing to complain about.

        https://docs.python.org/3/library/signal.html#note-on-sigpipe
        """
        file, self._file = self._file, None
        with suppress(OSError, ValueError):
            descriptor = file.fileno() if file else -1
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, descriptor)
            os.close(null)


def take_any_character(file: TextIO | None) -> bool:
    """Make sure that no character raises an error, and tell whether all of them can be written.

    ASCII is what a missing locale looks like, so it becomes UTF-8. Any other encoding is what the terminal reads.
    """
    if not isinstance(file, io.TextIOWrapper):
        return True
    is_ascii = codecs.lookup(file.encoding).name == "ascii"
    file.reconfigure(encoding="utf-8" if is_ascii else None, errors="replace")
    return codecs.lookup(file.encoding).name.startswith("utf")
