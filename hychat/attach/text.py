"""Text that is handed over beside the words of a question: a file, a pipe, a long paste."""

import os
import select
from pathlib import Path
from typing import Final

from hychat.attach.charset import UTF_16_MARKS, decoded
from hychat.domain.attachment import Attachment, AttachmentKind
from hychat.domain.errors import InputUnreadable
from hychat.domain.message import FilePart
from hychat.domain.text import readable
from hychat.messages import _

_READ_BYTES: Final = 1 << 16


def read_file(path: Path) -> FilePart:
    """A text file.

    Raises:
        InputUnreadable: It is missing, a folder, or not text.
    """
    try:
        with path.open("rb") as file:
            text = read_text(file.fileno(), str(path))
    except OSError as error:
        raise unreadable(str(path), error) from error
    return text_part(text, readable(path.name), readable(str(path.absolute())))


def text_part(text: str, name: str, source: str | None = None) -> FilePart:
    """A text under a name."""
    return FilePart(Attachment(AttachmentKind.TEXT, name, "text/plain", text=text, source=source))


def unreadable(name: str, error: OSError) -> InputUnreadable:
    """What to raise where the system refuses."""
    return InputUnreadable(_("{path} cannot be read: {reason}.").format(path=name, reason=error.strerror or error))


def read_text(descriptor: int, name: str) -> str:
    """All of a file, as `plain_text`.

    Raises:
        InputUnreadable: It is not text; where NUL bytes tell that, the rest, which may be endless, is not waited for.
    """
    chunks: list[bytes] = []
    while chunk := read_some(descriptor):
        chunks.append(chunk)
        if b"\0" in chunk and not chunks[0].startswith(UTF_16_MARKS):
            break
    return plain_text(b"".join(chunks), name)


def plain_text(data: bytes, name: str) -> str:
    r"""As `decoded`, its lines ended by `\n`.

    Raises:
        InputUnreadable: There are NUL characters, so it is not text.
    """
    text = decoded(data)
    if "\0" in text:
        raise InputUnreadable(
            _("{name} is not text: it holds NUL bytes.").format(name=name),
            hint=_("hychat reads text here; turn the file into text first."),
        )
    return text.replace("\r\n", "\n")


def read_some(descriptor: int) -> bytes:
    """What comes next, however slowly; nothing at the end. Ctrl+C interrupts it."""
    while True:
        try:
            return os.read(descriptor, _READ_BYTES)
        except BlockingIOError:  # a parent may have left its end so
            select.select([descriptor], [], [])


def pasted_text(text: str, number: int) -> FilePart:
    """A paste that is too long to stand among the words, under a name of its own."""
    return text_part(text, _("paste {number}").format(number=number))
