"""Messages and conversations: pure values; where they are kept is history's concern."""

import os
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum

from hychat.domain.attachment import Attachment
from hychat.domain.choices import Style
from hychat.domain.generation import Receipt, StopReason


class Role(StrEnum):
    """Who speaks."""

    USER = "user"
    ASSISTANT = "assistant"


@dataclass(frozen=True, slots=True)
class TextPart:
    """Words that were typed, or an answer."""

    text: str


@dataclass(frozen=True, slots=True)
class ThoughtPart:
    """What a model thought before its answer; shown apart, never replayed."""

    text: str


@dataclass(frozen=True, slots=True)
class FilePart:
    """Text that came from a file or a pipe: data, not words of the user."""

    attachment: Attachment


@dataclass(frozen=True, slots=True)
class ImagePart:
    """A picture."""

    attachment: Attachment


Part = TextPart | ThoughtPart | FilePart | ImagePart


def new_id() -> str:
    """A fresh id: 12 hex digits, short enough to type."""
    return os.urandom(6).hex()  # the module `secrets` takes 5 ms to import


def now() -> datetime:
    """This moment, in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Message:
    """One message; it knows the one it follows, so that edits and regenerations branch."""

    role: Role
    parts: tuple[Part, ...]
    parent: str | None = None
    """Id of the message this one follows; None for the first."""
    style: Style | None = None
    """The style the message was asked with."""
    stop: StopReason | None = None
    """Why an answer ended; None for a user's message."""
    receipt: Receipt | None = None
    """What an answer was made with."""
    id: str = field(default_factory=new_id)
    created: datetime = field(default_factory=now)

    @property
    def text(self) -> str:
        """The words alone: no thoughts, no files."""
        return "".join(part.text for part in self.parts if isinstance(part, TextPart))

    @property
    def thought(self) -> str:
        """The thoughts alone."""
        return "".join(part.text for part in self.parts if isinstance(part, ThoughtPart))


@dataclass(frozen=True, slots=True)
class Conversation:
    """A tree of messages, with the model and system text they were made under."""

    title: str = ""
    model: str = ""
    system: str = ""
    messages: tuple[Message, ...] = ()
    """In the order they were written."""
    id: str = field(default_factory=new_id)
    created: datetime = field(default_factory=now)

    def with_message(self, message: Message) -> "Conversation":
        """The same conversation with one message more."""
        return replace(self, messages=(*self.messages, message))

    @property
    def leaf(self) -> Message | None:
        """The message written last, where the conversation goes on."""
        return self.messages[-1] if self.messages else None

    def branch(self, leaf: Message | None = None) -> tuple[Message, ...]:
        """The messages from the first to `leaf` (the newest when not said), oldest first."""
        by_id = {message.id: message for message in self.messages}
        message = leaf or self.leaf
        found: list[Message] = []
        while message is not None:
            found.append(message)
            message = by_id.get(message.parent) if message.parent else None
        return tuple(reversed(found))
