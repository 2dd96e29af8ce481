"""What a command wants from the face it was given in: the TUI and the plain prompt each do it in their way."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from hychat.domain.choices import Style
from hychat.domain.event import TurnEvent
from hychat.domain.message import Message, Part


class Tone(Enum):
    """How a note is meant."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Place(Enum):
    """Another screen."""

    HELP = "help"
    CHATS = "chats"
    MODELS = "models"
    SETTINGS = "settings"
    THEMES = "themes"
    EXPERTS = "experts"


@dataclass(frozen=True, slots=True)
class Say:
    """Tell the user."""

    text: str
    tone: Tone = Tone.INFO


@dataclass(frozen=True, slots=True)
class Ask:
    """Send this as if it had been typed."""

    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Again:
    """Answer the last question once more."""


@dataclass(frozen=True, slots=True)
class GoOn:
    """Continue the last answer."""


@dataclass(frozen=True, slots=True)
class Compare:
    """Answer a question that was asked before in every style."""

    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class CompareNew:
    """Answer a new question so, with what was attached to go with the next one."""

    words: str


@dataclass(frozen=True, slots=True)
class Compact:
    """Go on from a summary."""


@dataclass(frozen=True, slots=True)
class AnswerNow:
    """End the thought."""


@dataclass(frozen=True, slots=True)
class Change:
    """Put an earlier question into the prompt; when it is sent, it stands in the place of the one it was."""

    question: Message


@dataclass(frozen=True, slots=True)
class Draft:
    """Put this into the prompt, to be edited and sent."""

    text: str


@dataclass(frozen=True, slots=True)
class Attach:
    """Put this file before the next question."""

    path: Path


@dataclass(frozen=True, slots=True)
class AttachClipboard:
    """Put the picture in the clipboard before the next question."""


@dataclass(frozen=True, slots=True)
class Voice:
    """Take up speech, and put its words into the prompt; a second one ends it."""


@dataclass(frozen=True, slots=True)
class Copy:
    """Put this into the clipboard."""

    text: str


@dataclass(frozen=True, slots=True)
class Go:
    """Open another screen."""

    place: Place


@dataclass(frozen=True, slots=True)
class ShowChat:
    """The conversation is another one, or stands elsewhere: show it anew."""


@dataclass(frozen=True, slots=True)
class Refresh:
    """A setting is another one: show it."""


@dataclass(frozen=True, slots=True)
class SwitchModel:
    """Talk to another model."""

    name: str


@dataclass(frozen=True, slots=True)
class SwitchTheme:
    """Look different."""

    name: str


@dataclass(frozen=True, slots=True)
class SwitchLanguage:
    """Speak another language."""

    tag: str


@dataclass(frozen=True, slots=True)
class Leave:
    """End hychat."""


Effect = (
    Say
    | Ask
    | Again
    | GoOn
    | Compare
    | CompareNew
    | Compact
    | AnswerNow
    | Change
    | Draft
    | Attach
    | AttachClipboard
    | Voice
    | Copy
    | Go
    | ShowChat
    | Refresh
    | SwitchModel
    | SwitchTheme
    | SwitchLanguage
    | Leave
)
Effects = Iterator[Effect]
StyledEvents = Iterator[tuple[Style, TurnEvent]]
