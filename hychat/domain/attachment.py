"""What a user adds to a message beside the words."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

OCR: Final = "OCR"


class AttachmentKind(StrEnum):
    """What an attachment is to a model."""

    TEXT = "text"
    IMAGE = "image"
    SOUND = "sound"
    """Speech, which is written down before a model reads it."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file, an image or piped data, opened and checked."""

    kind: AttachmentKind
    name: str
    """What the user knows it by: a file name, or `stdin`."""
    media_type: str
    text: str = ""
    """The content of a text attachment; of an image what was read out of it for a model that cannot see."""
    data: bytes = b""
    """The content of any other: of an image a PNG or JPEG file."""
    read_by: str | None = None
    """Who read the text out of an image: the model that looked at it, or `OCR`."""
    source: str | None = None
    """The path it was read from."""
    estimated_tokens: int | None = None
