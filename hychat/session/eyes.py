"""How a picture is put into words on this machine: a model that sees looks at it, else its text is read."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Protocol

from hychat.domain.attachment import OCR, Attachment
from hychat.domain.cancel import CancelToken
from hychat.domain.errors import CannotSee, EngineError, ModelUnusable
from hychat.messages import _

_ASK: Final = "Describe this picture in detail, and write down every text in it, word for word."
_ASK_ABOUT: Final = f"{_ASK} Somebody asks about it: {{question}}"
_ASKED_CHARACTERS: Final = 600


class Onlooker(Protocol):
    """A model that sees, in an engine of its own."""

    @property
    def name(self) -> str:
        """What the user calls it."""
        ...

    def describe(self, picture: bytes, request: str, cancel: CancelToken) -> str:
        """What it says of a picture.

        Raises:
            Interrupted: `cancel` was set.
            HychatError: It cannot be loaded, or its engine failed.
        """
        ...


@dataclass(frozen=True, slots=True)
class MachineEyes:
    """What this machine has to look with."""

    find_onlooker: Callable[[], Onlooker | None]
    """An installed model that sees and fits into memory beside the one that runs."""
    find_ocr: Callable[[], Callable[[bytes, str], str] | None]
    """What reads text out of a picture, where it is installed."""

    def read(self, picture: Attachment, question: str, cancel: CancelToken) -> Attachment:
        """As `seeing.Eyes`. A model that fails to look leaves it to OCR."""
        onlooker, read_text = self.find_onlooker(), self.find_ocr()
        if onlooker is not None:
            try:
                request = _ASK_ABOUT.format(question=question[:_ASKED_CHARACTERS]) if question.strip() else _ASK
                return replace(picture, text=onlooker.describe(picture.data, request, cancel), read_by=onlooker.name)
            except (EngineError, ModelUnusable):
                if read_text is None:
                    raise
        if read_text is not None:
            return replace(picture, text=read_text(picture.data, picture.name), read_by=OCR)
        raise CannotSee(
            _("{name} is a picture, which this model cannot see.").format(name=picture.name),
            hint=_(
                "Fetch a model that can: hychat models pull qwen3-vl-2b. It looks in this one's place, or answers itself with "
                "-m qwen3-vl-2b. To have only text read out of pictures: pipx inject hychat rapidocr onnxruntime"
            ),
        )
