"""Text that is handed over beside the words of a question: a file, a pipe, a long paste."""

import os
import select
from contextlib import suppress
from pathlib import Path
from typing import Final

from hychat.domain.attachment import Attachment, AttachmentKind
from hychat.domain.errors import InputUnreadable
from hychat.domain.message import FilePart
from hychat.domain.text import readable
from hychat.messages import _

UTF_16_MARKS: Final = (b"\xff\xfe", b"\xfe\xff")
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
    """All of a file, as `decoded` reads it; a byte order mark is dropped.

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
    return decoded(b"".join(chunks))


def decoded(data: bytes) -> str:
    """As UTF-8, by a UTF-16 mark, or as GB 18030, in which many a Chinese file is; else with replacement characters."""
    encodings = ("utf-16",) if data.startswith(UTF_16_MARKS) else ("utf-8-sig", "gb18030")
    for encoding in encodings:
        with suppress(UnicodeDecodeError):
            return data.decode(encoding).replace("\r\n", "\n")
    return data.decode("utf-8-sig", "replace").replace("\r\n", "\n")


def _read(descriptor: int) -> bytes:
    """What comes next, however slowly; nothing at the end. Ctrl+C interrupts it."""
    while True:
        try:
            return os.read(descriptor, _READ_BYTES)
        except BlockingIOError:  # a parent may have left its end so
            select.select([descriptor], [], [])


def pasted_text(text: str, number: int) -> FilePart:
    """A paste that is too long to stand among the words, under a name of its own."""
    return text_part(text, _("paste {number}").format(number=number))
