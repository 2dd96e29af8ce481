"""Pictures for a model that cannot see: another model looks, or their text is read; else the user hears what helps."""

from collections.abc import Generator
from dataclasses import replace
from typing import Protocol

from hychat.domain.attachment import OCR, Attachment
from hychat.domain.cancel import CancelToken
from hychat.domain.errors import CannotSee
from hychat.domain.event import PictureRead, TurnEvent
from hychat.domain.message import ImagePart, Message
from hychat.messages import _


class Eyes(Protocol):
    """Turns pictures into words."""

    def read(self, picture: Attachment, question: str, cancel: CancelToken) -> Attachment:
        """The picture with words that stand for it, and who found them; `question` is what the user wants of it.

        Raises:
            CannotSee: There is nothing on this machine that can.
            Interrupted: `cancel` was set.
        """
        ...


def has_pictures(question: Message) -> bool:
    """Whether a question shows something."""
    return any(isinstance(part, ImagePart) for part in question.parts)


def put_into_words(question: Message, eyes: Eyes | None, cancel: CancelToken) -> Generator[TurnEvent, None, Message]:
    """A question whose pictures have words, each told as it is read. Raises as `Eyes.read`."""
    parts = [*question.parts]
    for index, part in enumerate(parts):
        if isinstance(part, ImagePart) and part.attachment.read_by is None:
            if eyes is None:
                raise CannotSee(_("This model cannot see pictures."))
            seen = eyes.read(part.attachment, question.text, cancel)
            parts[index] = ImagePart(seen)
            yield PictureRead(seen)
    return replace(question, parts=tuple(parts))


def road_text(picture: Attachment) -> str:
    """What the user is told of how a picture was put into words."""
    if picture.read_by == OCR:
        if not picture.text.strip():
            return _("{name}: this model cannot see, and OCR found no text in the picture.").format(name=picture.name)
        return _("{name}: this model cannot see; OCR read {count} characters out of the picture.").format(
            name=picture.name, count=len(picture.text)
        )
    return _("{name}: this model cannot see; {model} looked at the picture and told it what it shows.").format(
        name=picture.name, model=picture.read_by
    )
