"""What a user hands over beside the words of a question: piped data and files, read as text."""

import errno
import os
import select
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hychat.cli.typed import readable
from hychat.domain.attachment import Attachment, AttachmentKind
from hychat.domain.errors import InputUnreadable
from hychat.domain.message import FilePart
from hychat.messages import _

if TYPE_CHECKING:
    from hychat.cli.output import Output

STDIN_NAME: Final = "stdin"
_READ_BYTES: Final = 1 << 16


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
        text = _text(0, STDIN_NAME)
    except OSError as error:
        if error.errno == errno.EBADF:  # not open for reading: what nohup makes of a terminal
            return None
        raise _unreadable(STDIN_NAME, error) from error
    return _part(text, STDIN_NAME, None) if text.strip() else None


def read_file(path: Path) -> FilePart:
    """A text file.

    Raises:
        InputUnreadable: It is missing, a folder, or not text.
    """
    try:
        with path.open("rb") as file:
            text = _text(file.fileno(), str(path))
    except OSError as error:
        raise _unreadable(str(path), error) from error
    return _part(text, readable(path.name), readable(str(path.absolute())))


def _unreadable(name: str, error: OSError) -> InputUnreadable:
    return InputUnreadable(_("{path} cannot be read: {reason}.").format(path=name, reason=error.strerror or error))


def _text(descriptor: int, name: str) -> str:
    """All of a file as UTF-8, with a replacement character for what is not; a byte order mark is dropped.

    Raises:
        InputUnreadable: There are NUL bytes, so it is not text; the rest, which may be endless, is not waited for.
    """
    chunks: list[bytes] = []
    while chunk := _read(descriptor):
        if b"\0" in chunk:
            raise InputUnreadable(
                _("{name} is not text: it holds NUL bytes.").format(name=name),
                hint=_("hychat reads text here; turn the file into text first."),
            )
        chunks.append(chunk)
    return b"".join(chunks).decode("utf-8-sig", "replace").replace("\r\n", "\n")


def _read(descriptor: int) -> bytes:
    """What comes next, however slowly; nothing at the end. Ctrl+C interrupts it."""
    while True:
        try:
            return os.read(descriptor, _READ_BYTES)
        except BlockingIOError:  # a parent may have left its end so
            select.select([descriptor], [], [])


def _part(text: str, name: str, source: str | None) -> FilePart:
    return FilePart(Attachment(AttachmentKind.TEXT, name, "text/plain", text=text, source=source))


def can_ask(output: "Output") -> bool:
    """Whether somebody sits at the terminal who can be asked something."""
    return stdin_is_terminal() and output.stderr.is_terminal
