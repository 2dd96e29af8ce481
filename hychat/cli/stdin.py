"""What is piped in, and whether somebody sits at the other end."""

import errno
import os
import select
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from hychat.attach.charset import UTF_16_MARKS
from hychat.attach.parts import open_stream
from hychat.attach.text import plain_text, read_some, read_text, text_part, unreadable
from hychat.domain.attachment import Attachment
from hychat.domain.errors import InputUnreadable
from hychat.domain.message import FilePart
from hychat.messages import _

if TYPE_CHECKING:
    from hychat.cli.output import Output

STDIN_NAME: Final = "stdin"


def stdin_is_terminal() -> bool:
    """Whether a person types into stdin; no where it is closed."""
    try:
        return os.isatty(0)
    except OSError:
        return False


def read_stdin() -> FilePart | None:
    """Piped data, to its end; None where stdin is a terminal, closed, or has nothing but white space.

    Raises:
        InputUnreadable: It cannot be read, or is not text.
    """
    if stdin_is_terminal():
        return None
    try:
        text = read_text(0, STDIN_NAME)
    except OSError as error:
        if error.errno == errno.EBADF:  # not open for reading: what nohup makes of a terminal
            return None
        raise unreadable(STDIN_NAME, error) from error
    return text_part(text, STDIN_NAME) if text.strip() else None


def piped_lines() -> Iterator[list[str]]:
    """The lines that are piped in, as they come, none of them cut; no line at all where none is waiting just now.

    Raises:
        InputUnreadable: As `read_stdin`.
    """
    if stdin_is_terminal():
        return
    try:
        for data in _whole_lines(0):
            yield plain_text(data, STDIN_NAME).split("\n") if data is not None else []
    except OSError as error:
        if error.errno != errno.EBADF:
            raise unreadable(STDIN_NAME, error) from error


def _whole_lines(descriptor: int) -> Iterator[bytes | None]:
    """What comes in, cut at ends of lines only; UTF-16, whose ends of lines are others, in one. None before a wait."""
    held: list[bytes] = []
    while True:
        if not select.select([descriptor], [], [], 0)[0]:
            yield None
        chunk = read_some(descriptor)
        if not chunk:
            break
        held.append(chunk)
        is_utf_16 = held[0].startswith(UTF_16_MARKS)
        if b"\0" in chunk and not is_utf_16:  # no text, and perhaps without an end
            break
        lines, end, rest = chunk.rpartition(b"\n")
        if end and not is_utf_16:
            yield b"".join([*held[:-1], lines])
            held = [rest]
    if any(held):
        yield b"".join(held)


def attached_stdin() -> Attachment:
    """What is piped in, told by its content; for who asks for it by name.

    Raises:
        InputUnreadable: Nothing is, or nothing that can be attached.
    """
    if stdin_is_terminal():
        raise _nothing_piped()
    try:
        return open_stream(0, STDIN_NAME)
    except OSError as error:
        raise _nothing_piped() if error.errno == errno.EBADF else unreadable(STDIN_NAME, error) from error


def _nothing_piped() -> InputUnreadable:
    return InputUnreadable(
        _("Nothing is piped in, so there is no stdin to attach."), hint=_("As in: cat photo.jpg | hychat -a -")
    )


def can_ask(output: "Output") -> bool:
    """Whether somebody sits at the terminal who can be asked something."""
    return stdin_is_terminal() and output.stderr.is_terminal
