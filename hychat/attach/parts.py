"""What was attached as a part of a message: a picture that a model may see, or text that it reads."""

import os
import stat
from pathlib import Path

from hychat.attach.image import MOST_BYTES
from hychat.attach.open import open_attachment, open_bytes
from hychat.attach.text import read_file
from hychat.domain.attachment import Attachment, AttachmentKind
from hychat.domain.message import AttachedPart, FilePart, ImagePart
from hychat.messages import _

_READ_BYTES = 1 << 16


def part_of(attachment: Attachment) -> AttachedPart:
    """By its kind."""
    return ImagePart(attachment) if attachment.kind is AttachmentKind.IMAGE else FilePart(attachment)


def part_of_file(path: Path) -> AttachedPart:
    """A file, by its content; a pipe that a shell gives the name of a file (`-f <(command)`) is text.

    Raises:
        InputUnreadable: It is missing, a folder, or cannot be read as what it is.
    """
    return read_file(path) if _is_pipe(path) else part_of(open_attachment(path))


def part_of_stream(descriptor: int, name: str) -> AttachedPart | None:
    """All of a pipe, by its content; None where nothing comes.

    Raises:
        InputUnreadable: It is too much, or cannot be read as what it is.
        OSError: The system refuses to read it.
    """
    chunks: list[bytes] = []
    length = 0
    while length <= MOST_BYTES and (chunk := os.read(descriptor, _READ_BYTES)):
        chunks.append(chunk)
        length += len(chunk)
    data = b"".join(chunks)
    return part_of(open_bytes(data, name)) if data.strip() else None


def picture_in_clipboard() -> ImagePart | None:
    """None where the clipboard holds no picture.

    Raises:
        InputUnreadable: There is no program that reads it, or the picture cannot be read.
    """
    from hychat.attach.clipboard import clipboard_image

    data = clipboard_image()
    return None if data is None else ImagePart(open_bytes(data, _("clipboard")))


def _is_pipe(path: Path) -> bool:
    try:
        return stat.S_ISFIFO(path.stat().st_mode)
    except (OSError, ValueError):  # told where it is opened
        return False
