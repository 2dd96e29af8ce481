"""What a user hands over beside the words of a question: piped data and files, read as text."""

import os
from pathlib import Path
from typing import Final

from hychat.domain.attachment import Attachment, AttachmentKind
from hychat.domain.errors import InputUnreadable
from hychat.domain.message import FilePart
from hychat.messages import _

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
        InputUnreadable: It is not text.
    """
    if stdin_is_terminal():
        return None
    try:
        data = _read_all(0)
    except OSError:  # closed, or a folder: the same as nothing
        return None
    text = _text(data, STDIN_NAME)
    return _part(text, STDIN_NAME, None) if text.strip() else None


def read_file(path: Path) -> FilePart:
    """A text file.

    Raises:
        InputUnreadable: It is missing, a folder, or not text.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputUnreadable(
            _("{path} cannot be read: {reason}.").format(path=path, reason=error.strerror or error)
        ) from error
    return _part(_text(data, str(path)), path.name, str(path.absolute()))


def _read_all(fd: int) -> bytes:
    """Everything up to the end of the stream, however slowly it comes; Ctrl+C interrupts it."""
    chunks: list[bytes] = []
    while chunk := os.read(fd, _READ_BYTES):
        chunks.append(chunk)
    return b"".join(chunks)


def _text(data: bytes, name: str) -> str:
    """UTF-8, with a replacement character for what is not; a byte order mark is dropped.

    Raises:
        InputUnreadable: There are NUL bytes, so it is not text.
    """
    if b"\0" in data:
        raise InputUnreadable(
            _("{name} is not text: it holds NUL bytes.").format(name=name),
            hint=_("hychat reads text here; turn the file into text first."),
        )
    return data.decode("utf-8-sig", "replace").replace("\r\n", "\n")


def _part(text: str, name: str, source: str | None) -> FilePart:
    return FilePart(Attachment(AttachmentKind.TEXT, name, "text/plain", text=text, source=source))
