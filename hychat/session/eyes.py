"""How a picture is put into words on this machine: a model that sees looks at it, else its text is read."""

from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Final, Protocol, assert_never

from hychat.domain.attachment import OCR, Attachment
from hychat.domain.cancel import CancelToken
from hychat.domain.errors import CannotSee, EngineError, ModelUnusable
from hychat.domain.event import LoadProgress, PrefillProgress, ReadingPicture, TurnEvent
from hychat.engine.protocol import Piece
from hychat.messages import _
from hychat.session.seeing import how_to_see

_ASK: Final = "Describe this picture in detail, and write down every text in it, word for word."
_ASK_ABOUT: Final = f"{_ASK} Somebody asks about it: {{question}}"
_ASKED_CHARACTERS: Final = 600


Description = Generator[LoadProgress | PrefillProgress | Piece, None, str]
"""What a model says of a picture, with what comes on the way."""


class Onlooker(Protocol):
    """A model that sees, in an engine of its own."""

    @property
    def name(self) -> str:
        """What the user calls it."""
        ...

    def describe(self, picture: bytes, request: str, cancel: CancelToken) -> Description:
        """What it says of a picture.

        Raises:
            Interrupted: `cancel` was set.
            HychatError: It cannot be loaded, or its engine failed.
        """
        ...


class TextReader(Protocol):
    """Reads text out of pictures."""

    def __call__(self, picture: bytes, name: str, cancel: CancelToken) -> Generator[None, None, str]:
        """The text in a PNG or JPEG, empty where there is none; a sign of life comes several times a second.

        Raises:
            Interrupted: `cancel` was set.
            HychatError: It cannot be read.
        """
        ...


@dataclass(frozen=True, slots=True)
class MachineEyes:
    """What this machine has to look with."""

    find_onlooker: Callable[[], Onlooker | None]
    """An installed model that sees and fits into memory beside the one that runs."""
    find_ocr: Callable[[], TextReader | None]
    """What reads text out of a picture, where it is installed."""
    lost_sight: Callable[[], str] = lambda: ""
    """The command that lets the model see which runs, where it could and its projector is missing."""

    def read(self, picture: Attachment, question: str, cancel: CancelToken) -> Generator[TurnEvent, None, Attachment]:
        """As `seeing.Eyes`. A model that fails to look leaves it to OCR."""
        onlooker, read_text = self.find_onlooker(), self.find_ocr()
        if onlooker is not None:
            try:
                return (yield from _described(picture, question, onlooker, cancel))
            except (EngineError, ModelUnusable):
                if read_text is None:
                    raise
        if read_text is not None:
            text = yield from _text_of(picture, read_text, cancel)
            return replace(picture, text=text, read_by=OCR)
        raise CannotSee(
            _("{name} is a picture, which this model cannot see.").format(name=picture.name), hint=self._what_helps()
        )

    def text_in(self, picture: Attachment, cancel: CancelToken) -> Generator[TurnEvent, None, str]:
        """As `seeing.Eyes`."""
        read_text = self.find_ocr()
        return "" if read_text is None else (yield from _text_of(picture, read_text, cancel))

    def advice(self) -> str:
        """As `seeing.Eyes`."""
        command = self.lost_sight()
        told = _("It could see, but its projector is not on this machine. Fetch it with: {command}")
        return told.format(command=command) if command else ""

    def _what_helps(self) -> str:
        if advice := self.advice():
            return advice
        read_only = _("To have only text read out of pictures: pipx inject hychat rapidocr onnxruntime")
        return f"{how_to_see()} {read_only}"


def _described(
    picture: Attachment, question: str, onlooker: Onlooker, cancel: CancelToken
) -> Generator[TurnEvent, None, Attachment]:
    request = _ASK_ABOUT.format(question=question[:_ASKED_CHARACTERS]) if question.strip() else _ASK
    with closing(onlooker.describe(picture.data, request, cancel)) as describing:
        text = yield from _followed(describing, picture.name, onlooker.name)
    return replace(picture, text=text, read_by=onlooker.name)


def _followed(describing: Description, name: str, reader: str) -> Generator[TurnEvent, None, str]:
    """What a description says in the end, and on the way how far it is with the picture of that name."""
    while True:
        try:
            event = next(describing)
        except StopIteration as end:
            text: str = end.value
            return text
        match event:
            case LoadProgress():
                yield event
            case PrefillProgress(done, total):
                yield ReadingPicture(name, reader, done / total if total else None)
            case Piece():
                yield ReadingPicture(name, reader)
            case _:
                assert_never(event)


def _text_of(picture: Attachment, read_text: TextReader, cancel: CancelToken) -> Generator[TurnEvent, None, str]:
    with closing(read_text(picture.data, picture.name, cancel)) as reading:
        while True:
            yield ReadingPicture(picture.name, OCR)
            try:
                next(reading)
            except StopIteration as end:
                text: str = end.value
                return text
