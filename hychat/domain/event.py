"""What a turn tells its reader: any number of events, then exactly one terminal one."""

from dataclasses import dataclass
from enum import StrEnum

from hychat.domain.attachment import Attachment
from hychat.domain.errors import HistoryError, HychatError
from hychat.domain.generation import Usage
from hychat.domain.message import Message
from hychat.domain.safety import SafetyVerdict


class Channel(StrEnum):
    """Where a piece of text belongs."""

    THOUGHT = "thought"
    ANSWER = "answer"


@dataclass(frozen=True, slots=True)
class HistoryDropped:
    """The oldest turns did not fit the context and were left out of the prompt."""

    turns: int
    context_tokens: int


@dataclass(frozen=True, slots=True)
class DataTruncated:
    """The data of the prompt was cut, as the user allowed."""

    tokens: int
    """Of the prompt as it was."""
    kept_tokens: int


@dataclass(frozen=True, slots=True)
class HistoryNotSaved:
    """The conversation cannot be kept; the turn goes on."""

    error: HistoryError


@dataclass(frozen=True, slots=True)
class LoadProgress:
    """How much of the model is loaded, 0 to 1."""

    fraction: float


@dataclass(frozen=True, slots=True)
class PrefillProgress:
    """How far the prompt is read, in tokens."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class ReadingPicture:
    """Somebody looks at a picture, and still does."""

    name: str
    """The picture's."""
    reader: str
    """The model that looks, or `OCR`."""
    fraction: float | None = None
    """How much of the picture is read, 0 to 1; None where nobody knows."""


@dataclass(frozen=True, slots=True)
class PictureRead:
    """A picture was turned into words, for a model that cannot see."""

    attachment: Attachment
    """With the words, and who read them."""
    advice: str = ""
    """What would let the model see itself, where that is known."""


@dataclass(frozen=True, slots=True)
class PictureUnseen:
    """The model cannot see an earlier picture of the chat, and nothing on this machine puts it into words."""

    name: str


@dataclass(frozen=True, slots=True)
class SafetyEvent:
    """A guard spoke."""

    verdict: SafetyVerdict


@dataclass(frozen=True, slots=True)
class TokenEvent:
    """The next piece of text."""

    text: str
    channel: Channel


@dataclass(frozen=True, slots=True)
class TurnFinished:
    """The turn ended with an answer, whole or partial (`message.stop` says which)."""

    message: Message
    usage: Usage


@dataclass(frozen=True, slots=True)
class TurnFailed:
    """The turn ended with an error; what had been written is kept in `partial`."""

    error: HychatError
    partial: Message | None = None


TurnEvent = (
    LoadProgress
    | HistoryDropped
    | DataTruncated
    | HistoryNotSaved
    | ReadingPicture
    | PictureRead
    | PictureUnseen
    | PrefillProgress
    | SafetyEvent
    | TokenEvent
    | TurnFinished
    | TurnFailed
)
