"""What a user adds to a message beside the words."""

from dataclasses import dataclass
from enum import StrEnum


class AttachmentKind(StrEnum):
    """What an attachment is to a model."""

    TEXT = "text"
    IMAGE = "image"


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file, an image or piped data, opened and checked."""

    kind: AttachmentKind
    name: str
    """What the user knows it by: a file name, or `stdin`."""
    media_type: str
    text: str = ""
    """The content of a text attachment."""
    data: bytes = b""
    """The content of any other."""
    source: str | None = None
    """The path it was read from."""
    estimated_tokens: int | None = None
