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

    def read(self, picture: Attachment, question: str, cancel: CancelToken) -> Generator[TurnEvent, None, Attachment]:
        """The picture with words that stand for it, and who found them; `question` is what the user wants of it.

        Raises:
            CannotSee: There is nothing on this machine that can.
            Interrupted: `cancel` was set.
        """
        ...

    def text_in(self, picture: Attachment, cancel: CancelToken) -> Generator[TurnEvent, None, str]:
        """The text in a picture that a model sees itself, for the filter; empty where nothing here reads any.

        Raises:
            Interrupted: `cancel` was set.
        """
        ...

    def advice(self) -> str:
        """What would let the model see which runs; empty where it never could."""
        ...


def pictures_of(question: Message) -> list[Attachment]:
    """What a question shows."""
    return [part.attachment for part in question.parts if isinstance(part, ImagePart)]


def has_unread(question: Message) -> bool:
    """Whether it shows something that is not in words yet."""
    return any(picture.read_by is None for picture in pictures_of(question))


def put_into_words(
    question: Message, eyes: Eyes | None, cancel: CancelToken, *, is_earlier: bool = False
) -> Generator[TurnEvent, None, Message]:
    """A question whose pictures have words, each told as it is read; an earlier one may be left without.

    Raises:
        CannotSee: As `Eyes.read`; or nothing at all was found in its pictures.
        Interrupted: `cancel` was set.
    """
    parts, blank = [*question.parts], []
    advice = eyes.advice() if eyes else ""
    for index, part in enumerate(parts):
        if isinstance(part, ImagePart) and part.attachment.read_by is None:
            if eyes is None:
                raise CannotSee(_("This model cannot see pictures."), hint=how_to_see())
            seen = yield from eyes.read(part.attachment, question.text, cancel)
            parts[index] = ImagePart(seen)
            if seen.is_blank:
                blank.append(seen)
            else:
                yield PictureRead(seen, advice)
    read = replace(question, parts=tuple(parts))
    pictures = pictures_of(read)
    if not is_earlier and all(picture.is_blank for picture in pictures):
        names = ", ".join(picture.name for picture in pictures)
        raise CannotSee(
            _("This model cannot see, and OCR found no text in {name}.").format(name=names),
            hint=advice or how_to_see(),
        )
    yield from (PictureRead(seen, advice) for seen in blank)
    return read


def texts_in(question: Message, eyes: Eyes | None, cancel: CancelToken) -> Generator[TurnEvent, None, list[str]]:
    """The text of each of its pictures, for the filter. Raises as `Eyes.text_in`."""
    texts: list[str] = []
    if eyes is None:
        return texts
    for picture in pictures_of(question):
        text = yield from eyes.text_in(picture, cancel)
        texts.append(text)
    return texts


def how_to_see() -> str:
    """What to do where a model cannot see, and something is to be seen."""
    return _(
        "Fetch a model that can: hychat models pull qwen3-vl-2b. It looks in this one's place, or answers itself with "
        "-m qwen3-vl-2b."
    )


def road_text(picture: Attachment, advice: str = "") -> str:
    """What the user is told of how a picture was put into words, and what would let the model see itself."""
    if picture.is_blank:
        told = _("{name}: this model cannot see, and OCR found no text in the picture.").format(name=picture.name)
        advice = advice or how_to_see()
    elif picture.read_by == OCR:
        told = _("{name}: this model cannot see; OCR read {count} characters out of the picture.").format(
            name=picture.name, count=len(picture.text)
        )
    else:
        told = _("{name}: this model cannot see; {model} looked at the picture and told it what it shows.").format(
            name=picture.name, model=picture.read_by
        )
    return f"{told} {advice}".rstrip()


def reading_text(name: str, reader: str) -> str:
    """What the user is told while a picture is looked at."""
    if reader == OCR:
        return _("reading the text in {name}").format(name=name)
    return _("{model} looks at {name}").format(model=reader, name=name)


def unseen_text(name: str) -> str:
    """What the user is told of an earlier picture that nothing here puts into words."""
    told = _("{name}: this model cannot see this picture of the chat, and goes on without it.").format(name=name)
    return f"{told} {how_to_see()}"
