"""What is piped in, and whether somebody sits at the other end."""

import errno
import os
from typing import TYPE_CHECKING, Final

from hychat.attach.parts import part_of_stream
from hychat.attach.text import read_text, text_part, unreadable
from hychat.domain.message import AttachedPart, FilePart

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


def attached_stdin() -> AttachedPart | None:
    """What is piped in, told by its content; None as `read_stdin`.

    Raises:
        InputUnreadable: It cannot be read, or is nothing that can be attached.
    """
    if stdin_is_terminal():
        return None
    try:
        return part_of_stream(0, STDIN_NAME)
    except OSError as error:
        if error.errno == errno.EBADF:
            return None
        raise unreadable(STDIN_NAME, error) from error


def can_ask(output: "Output") -> bool:
    """Whether somebody sits at the terminal who can be asked something."""
    return stdin_is_terminal() and output.stderr.is_terminal
