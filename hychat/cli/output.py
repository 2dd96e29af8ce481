"""The only owner of stdout and stderr.

stdout carries the answer or JSON, nothing else; stderr everything else. On a terminal an answer is rendered Markdown,
in a pipe or file raw text without any escape code. What models, users and files wrote is made harmless either way.
"""

import json
import re
import sys
from contextlib import suppress
from enum import IntEnum
from typing import Any, Final, Protocol, Self

from hychat.cli.plain import PlainWriter
from hychat.cli.progress import ProgressLine
from hychat.cli.streams import OutputClosed, Stream
from hychat.domain.errors import HychatError
from hychat.domain.event import Channel
from hychat.domain.text import printable
from hychat.messages import _

_NARROWEST_COLUMNS: Final = 20
_DIM_ITALIC: Final = "2;3"
_BOLD_RED: Final = "1;31"
_YELLOW: Final = "33"
_UNSAFE_IN_JSON: Final = "[\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
"""What `json.dumps` leaves as it is, though a terminal may obey it or UTF-8 cannot hold it."""


class Verbosity(IntEnum):
    """How much is told on stderr; errors always are."""

    QUIET = 0
    NORMAL = 1
    VERBOSE = 2


class Writer(Protocol):
    """Streams one text."""

    def feed(self, text: str) -> None:
        """Write the next piece, now or soon."""
        ...

    def pause(self) -> None:
        """Make room for other text on the same terminal."""
        ...

    def finish(self) -> None:
        """Write what is still open, and end the line."""
        ...

    def abort(self) -> None:
        """Leave a sane terminal, whatever was interrupted."""
        ...


class Output:
    """What a command says, and where."""

    def __init__(self, stdout: Stream, stderr: Stream, verbosity: Verbosity = Verbosity.NORMAL) -> None:
        self.stdout = stdout
        self.stderr = stderr
        self._verbosity = verbosity
        self._progress = ProgressLine(stderr)
        self._channel: Channel | None = None
        self._writer: Writer = PlainWriter(self._write_out)

    @classmethod
    def of_process(cls, verbosity: Verbosity = Verbosity.NORMAL) -> Self:
        """Speak through this process's own stdout and stderr."""
        return cls(Stream(sys.stdout), Stream(sys.stderr), verbosity)

    def prepare(self) -> None:
        """Import what rendering needs (70 ms), best while the engine is loading; without it the first piece waits."""
        if self.stdout.can_animate:
            import hychat.cli.live  # noqa: F401

    def answer(self, text: str) -> None:
        """Write the next piece of an answer to stdout.

        Raises:
            OutputClosed: Nobody reads stdout any more.
            HychatError: It cannot be written, as on a full disk. So for all that write to stdout.
        """
        self._feed(Channel.ANSWER, text)

    def thought(self, text: str) -> None:
        """Write the next piece of a thought, dim: above the answer on a terminal, else to stderr."""
        self._feed(Channel.THOUGHT, text)

    def end(self) -> None:
        """End the answer or thought with a newline; nothing, if there is none."""
        self._progress.clear()
        if self._channel is not None:
            self._channel = None
            self._writer.finish()

    def abort(self) -> None:
        """Leave a sane terminal on the way out, whatever was interrupted."""
        self._progress.clear()
        if self._channel is not None:
            self._channel = None
            self._writer.abort()

    def text(self, text: str) -> None:
        """Write text that is not Markdown to stdout: a table, an extract. It ends in one newline."""
        self.end()
        writer = PlainWriter(self._write_out)
        writer.feed(text)
        writer.finish()

    def marked(self, mark: str, text: str, *, sgr: str) -> None:
        """Write a line to stdout that begins with a word in the look `sgr`, where there are colours."""
        self.end()
        shown = f"\x1b[{sgr}m{mark}\x1b[0m" if self.stdout.has_colour else mark
        self._write_out(f"{shown}{printable(text)}\n")

    def styled(self, line: str) -> None:
        """Write a line of our own making to stdout, with the escape codes that are in it."""
        self.end()
        self._write_out(f"{line}\n")

    def json(self, value: Any) -> None:
        """Write JSON to stdout: on one line, or laid out on a terminal."""
        self._write_json(value, indent=2 if self.stdout.is_terminal else None)

    def json_line(self, value: Any) -> None:
        """Write JSON to stdout, on one line in any case."""
        self._write_json(value, indent=None)

    def _write_json(self, value: Any, *, indent: int | None) -> None:
        self.end()
        text = json.dumps(value, ensure_ascii=not self.stdout.is_unicode, indent=indent)
        self._write_out(re.sub(_UNSAFE_IN_JSON, lambda found: f"\\u{ord(found[0]):04x}", text) + "\n")

    def progress(self, step: str, done: int, total: int) -> None:
        """Tell how far a slow step is, until an answer begins."""
        if self._verbosity >= Verbosity.NORMAL and self._channel is None:
            self._progress.show(step, done, total)

    def report(self, text: str) -> None:
        """Tell what was asked for, such as `--stats`, even when quiet."""
        self._tell(text, Verbosity.QUIET)

    def paragraph(self, text: str, mark: str = "") -> None:
        """Tell a text in lines that fit the terminal, all under the first one's text; for what nobody copies."""
        from hychat.cli.wrapping import wrapped

        if not self.stderr.is_terminal:
            self.report(mark + text)
            return
        lines = wrapped(text, max(_NARROWEST_COLUMNS, self.stderr.size().columns - len(mark) - 1))
        for nth, line in enumerate(lines):
            self.report((" " * len(mark) if nth else mark) + line)

    def note(self, text: str) -> None:
        """Tell what is good to know."""
        self._tell(text, Verbosity.NORMAL)

    def detail(self, text: str) -> None:
        """Tell what only `-v` asks for."""
        self._tell(text, Verbosity.VERBOSE)

    def warn(self, text: str) -> None:
        """Tell what may surprise."""
        self._tell(text, Verbosity.NORMAL, name_sgr=_YELLOW)

    def error(self, error: HychatError) -> None:
        """Tell what went wrong, and what to do next, below the answer as far as it came."""
        with suppress(OutputClosed, HychatError):  # the first error is the one to tell
            self.end()
        hint = error.hint.replace("\n", "\n  ")
        self._tell(error.message + (f"\n  {hint}" if hint else ""), Verbosity.QUIET, name_sgr=_BOLD_RED)

    def _feed(self, channel: Channel, text: str) -> None:
        if not text:
            return
        if channel is not self._channel:
            self._begin(channel)
        self._writer.feed(text)

    def _begin(self, channel: Channel) -> None:
        """Start a text; a thought and its answer are parted by an empty line where they share a terminal."""
        follows_other = self._channel is not None
        self.end()
        if follows_other and self.stdout.is_terminal:
            self._write_out("\n")
        self._writer = self._thought_writer() if channel is Channel.THOUGHT else self._answer_writer()
        self._channel = channel

    def _answer_writer(self) -> Writer:
        if not self.stdout.can_animate:
            return PlainWriter(self._write_out)
        from hychat.cli.live import MarkdownWriter

        return MarkdownWriter(self._write_out, self.stdout.size, has_colour=self.stdout.has_colour)

    def _thought_writer(self) -> Writer:
        stream, write = (self.stdout, self._write_out) if self.stdout.is_terminal else (self.stderr, self._write_error)
        return PlainWriter(write, sgr=_DIM_ITALIC if stream.has_styles else "")

    def _tell(self, text: str, at: Verbosity, *, name_sgr: str = "") -> None:
        """Write a line to stderr, signed with the program's name where it has a colour for it."""
        if self._verbosity < at:
            return
        self._progress.clear()
        if self._channel is not None and self._shares_a_terminal():
            self._writer.pause()
        name = "hychat: " if name_sgr else ""
        if name_sgr and self.stderr.has_colour:
            name = f"\x1b[{name_sgr}mhychat:\x1b[0m "
        self._write_error(f"{name}{printable(text)}\n")

    def _shares_a_terminal(self) -> bool:
        """Whether the open text and stderr are seen in one place."""
        writes_to_stderr = self._channel is Channel.THOUGHT and not self.stdout.is_terminal
        return writes_to_stderr or (self.stdout.is_terminal and self.stderr.is_terminal)

    def _write_out(self, text: str) -> None:
        try:
            self.stdout.write(text)
        except BrokenPipeError:
            raise OutputClosed from None
        except OSError as error:
            message = _("Cannot write to standard output: {reason}.").format(reason=error.strerror)
            raise HychatError(message) from error

    def _write_error(self, text: str) -> None:
        with suppress(OSError):  # there is nobody to tell that nobody reads
            self.stderr.write(text)
