"""What a user adds to a message beside the words."""

from dataclasses import dataclass
from enum import StrEnum
from math import ceil
from typing import Final

OCR: Final = "OCR"
_NARROW_CHARACTERS_PER_TOKEN: Final = 4.0
_WIDE_CHARACTERS_PER_TOKEN: Final = 1.5


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

    @property
    def is_blank(self) -> bool:
        """Whether it is a picture in which OCR found no text, of which therefore nothing is known."""
        return self.read_by == OCR and not self.text.strip()

    @property
    def estimated_tokens(self) -> int | None:
        """About how many tokens its text takes; None for a picture, of which each model makes its own number."""
        return None if self.kind is AttachmentKind.IMAGE else _estimated_tokens(self.text)


@dataclass(frozen=True, slots=True)
class WritingDown:
    """So much of a recording is written down."""

    name: str
    done_seconds: float
    total_seconds: float
    """Of speech: where nobody speaks, there is nothing to do."""


@dataclass(frozen=True, slots=True)
class Listening:
    """The microphone takes up what is said from now on."""


def _estimated_tokens(text: str) -> int:
    """About how many tokens a text takes: one for some 4 characters of English, or 1.5 of Chinese.

    The bytes of UTF-8 tell them apart: English has one a character, Chinese three; what has two, as Cyrillic, lies between.
    """
    characters, octets = len(text), len(text.encode("utf-8", "replace"))
    wide = (octets - characters) / 2
    return ceil((characters - wide) / _NARROW_CHARACTERS_PER_TOKEN + wide / _WIDE_CHARACTERS_PER_TOKEN)
