"""What was attached as a part of a message: a picture that a model may see, or text that it reads."""

import os
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

from hychat.attach.image import MOST_BYTES
from hychat.attach.open import open_attachment, open_bytes
from hychat.attach.text import read_some, unreadable
from hychat.domain.attachment import Attachment, AttachmentKind, Listening, WritingDown
from hychat.domain.cancel import CancelToken
from hychat.domain.errors import InputUnreadable
from hychat.domain.message import AttachedPart, FilePart, ImagePart
from hychat.domain.text import readable
from hychat.messages import _

VOICE_MODEL: Final = "HYCHAT_VOICE_MODEL"
"""The environment's name for the speech model: a folder, a size that faster-whisper knows, or `owner/name` on the hub."""
_THOUSAND: Final = 1000


def becoming_part(attachment: Attachment, cancel: CancelToken) -> Iterator[WritingDown | AttachedPart]:
    """How an attachment becomes a part of a message, which is the last that is told: speech is written down.

    Raises:
        InputUnreadable: Nobody speaks in it.
        HychatError: As `writing_down`.
    """
    match attachment.kind:
        case AttachmentKind.IMAGE:
            yield ImagePart(attachment)
        case AttachmentKind.SOUND:
            from hychat.attach.voice import writing_down

            text = yield from writing_down(attachment.data, attachment.name, _voice_model(), cancel)
            if not text:
                raise InputUnreadable(_("{name}: nobody speaks in it.").format(name=attachment.name))
            yield FilePart(replace(attachment, kind=AttachmentKind.TEXT, text=text, data=b""))
        case AttachmentKind.TEXT:
            yield FilePart(attachment)


def opening(path: Path, cancel: CancelToken) -> Iterator[WritingDown | AttachedPart]:
    """A file, by its content; as `becoming_part`.

    Raises:
        InputUnreadable: It is missing, a folder or a pipe, or cannot be read as what it is.
        HychatError: As `becoming_part`.
    """
    yield from becoming_part(open_attachment(path), cancel)


def part_of_file(path: Path) -> AttachedPart:
    """What `opening` ends with. Raises as that does."""
    (part,) = [step for step in opening(path, CancelToken()) if isinstance(step, AttachedPart)]
    return part


def open_argument(path: Path) -> Attachment:
    """A file that a command line names; a shell also gives a pipe the name of a file (`-f <(command)`).

    Raises:
        InputUnreadable: As `open_attachment`, and where nothing comes out of the pipe, or too much.
    """
    if not _is_pipe(path):
        return open_attachment(path)
    name = readable(str(path))
    try:
        with path.open("rb", buffering=0) as pipe:
            return open_stream(pipe.fileno(), name)
    except OSError as error:
        raise unreadable(name, error) from error


def open_stream(descriptor: int, name: str) -> Attachment:
    """All of a pipe, by its content.

    Raises:
        InputUnreadable: It is empty, too much, or cannot be read as what it is.
        OSError: The system refuses to read it.
    """
    chunks: list[bytes] = []
    length = 0
    while length <= MOST_BYTES and (chunk := read_some(descriptor)):
        chunks.append(chunk)
        length += len(chunk)
    return open_bytes(b"".join(chunks), name)


def spoken_words(seconds: float, ends: CancelToken, cancel: CancelToken) -> Iterator[Listening | WritingDown | str]:
    """What is said into the microphone, for so long or until `ends` is set: how it gets on, then the words.

    Raises as `voice.speaking`.
    """
    from hychat.attach.voice import speaking

    yield (yield from speaking(seconds, _("microphone"), _voice_model(), ends, cancel))


def picture_in_clipboard() -> ImagePart | None:
    """None where the clipboard holds no picture.

    Raises:
        InputUnreadable: There is no program that reads it, or the picture cannot be read.
    """
    from hychat.attach.clipboard import clipboard_image

    data = clipboard_image()
    return None if data is None else ImagePart(open_bytes(data, _("clipboard")))


def is_speech(part: AttachedPart) -> bool:
    """Whether it was spoken: its words are shown before they are sent, for nobody has read them yet."""
    return part.attachment.media_type.startswith("audio/")


def tokens_told(attachment: Attachment) -> str:
    """`~850 tokens` or `~1.2k tokens`, an estimate; nothing of a picture."""
    tokens = attachment.estimated_tokens
    if tokens is None:
        return ""
    return _("~{count} tokens").format(count=tokens if tokens < _THOUSAND else f"{tokens / _THOUSAND:.1f}k")


def _voice_model() -> str | None:
    return os.environ.get(VOICE_MODEL) or None


def _is_pipe(path: Path) -> bool:
    try:
        return stat.S_ISFIFO(path.stat().st_mode)
    except (OSError, ValueError):  # told where it is opened
        return False
