"""What was attached as a part of a message: a picture that a model may see, or text that it reads."""

import os
import stat
from dataclasses import replace
from pathlib import Path
from typing import Final

from hychat.attach.image import MOST_BYTES
from hychat.attach.open import open_attachment, open_bytes
from hychat.attach.text import read_file
from hychat.domain.attachment import Attachment, AttachmentKind
from hychat.domain.cancel import CancelToken
from hychat.domain.message import AttachedPart, FilePart, ImagePart
from hychat.messages import _

VOICE_MODEL: Final = "HYCHAT_VOICE_MODEL"
"""The environment's name for the speech model: a folder, a size that faster-whisper knows, or `owner/name` on the hub."""
_READ_BYTES: Final = 1 << 16
_THOUSAND: Final = 1000


def part_of(attachment: Attachment) -> AttachedPart:
    """By its kind; speech is written down. Raises as `voice.transcript`."""
    match attachment.kind:
        case AttachmentKind.IMAGE:
            return ImagePart(attachment)
        case AttachmentKind.SOUND:
            from hychat.attach.voice import transcript

            text = transcript(attachment.data, attachment.name, os.environ.get(VOICE_MODEL) or None)
            return FilePart(replace(attachment, kind=AttachmentKind.TEXT, text=text, data=b""))
        case AttachmentKind.TEXT:
            return FilePart(attachment)


def is_speech(part: AttachedPart) -> bool:
    """Whether it was spoken: its words are shown before they are sent, for nobody has read them yet."""
    return part.attachment.media_type.startswith("audio/")


def tokens_told(attachment: Attachment) -> str:
    """`~850 tokens` or `~1.2k tokens`, an estimate; nothing of a picture."""
    tokens = attachment.estimated_tokens
    if tokens is None:
        return ""
    return _("~{count} tokens").format(count=tokens if tokens < _THOUSAND else f"{tokens / _THOUSAND:.1f}k")


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


def spoken_words(seconds: float, ends: CancelToken) -> str:
    """What is said into the microphone, for so long or until `ends` is set. Raises as `voice.record` and `voice.transcript`."""
    from hychat.attach.voice import record, transcript

    return transcript(record(seconds, ends), _("microphone"), os.environ.get(VOICE_MODEL) or None)


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
