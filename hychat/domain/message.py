"""Messages and conversations: pure values; where they are kept is history's concern."""

import os
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

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
    seconds: float | None = None
    """How long it thought; None where nobody measured."""


@dataclass(frozen=True, slots=True)
class FilePart:
    """Text that came from a file or a pipe: data, not words of the user."""

    attachment: Attachment


@dataclass(frozen=True, slots=True)
class ImagePart:
    """A picture."""

    attachment: Attachment


AttachedPart = FilePart | ImagePart
Part = TextPart | ThoughtPart | AttachedPart


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
    """The style an answer was made in; a question's is the one it was first asked with."""
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

    @property
    def thought_seconds(self) -> float | None:
        """How long the model thought; None where nobody measured."""
        measured = [part.seconds for part in self.parts if isinstance(part, ThoughtPart) and part.seconds is not None]
        return sum(measured) if measured else None


BEGINNING: Final = ""
"""The tip of a conversation that stands before its first message."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """A tree of messages, with the model and system text they were made under, and the place where it is read."""

    title: str = ""
    model: str = ""
    system: str = ""
    messages: tuple[Message, ...] = ()
    """In the order they were written."""
    tip: str | None = None
    """Id of the message where it goes on; None, and an id that is not there, for the newest; else `BEGINNING`."""
    id: str = field(default_factory=new_id)
    created: datetime = field(default_factory=now)

    @property
    def leaf(self) -> Message | None:
        """The message where the conversation goes on; None before the first."""
        if not self.messages or self.tip == BEGINNING:
            return None
        return self.find(self.tip) or self.messages[-1]

    def find(self, message_id: str | None) -> Message | None:
        """The message with that id; None where there is none."""
        return next((message for message in reversed(self.messages) if message.id == message_id), None)

    def branch(self, leaf: Message | None = None) -> tuple[Message, ...]:
        """The messages from the first to `leaf` (where the conversation goes on when not said), oldest first."""
        by_id = {message.id: message for message in self.messages}
        message = leaf or self.leaf
        found: list[Message] = []
        while message is not None:
            found.append(message)
            message = by_id.get(message.parent) if message.parent else None
        return tuple(reversed(found))

    def siblings(self, message: Message) -> tuple[Message, ...]:
        """The messages that stand in one place, the one given among them, in the order they were begun."""
        place = (message.parent, message.role)
        found = [other for other in self.messages if (other.parent, other.role) == place]
        return tuple(sorted(found, key=lambda other: other.created))

    def with_message(self, message: Message) -> "Conversation":
        """With one message more, or in the place of the one with its id; it stands there then."""
        if self.find(message.id) is None:
            return replace(self, messages=(*self.messages, message), tip=None)
        return self.with_changed(message).standing_at(message)

    def with_changed(self, message: Message) -> "Conversation":
        """With a message in the place of the one with its id; it goes on where it did."""
        return replace(self, messages=tuple(message if other.id == message.id else other for other in self.messages))

    def at(self, message: Message) -> "Conversation":
        """Standing at the newest end of a branch through a message of it."""
        under, end = {message.id}, message
        for other in self.messages:
            if other.parent in under:
                under.add(other.id)
                end = other
        return self.standing_at(end)

    def standing_at(self, message: Message) -> "Conversation":
        """Standing at a message itself, whatever follows it."""
        return replace(self, tip=None if message.id == self.messages[-1].id else message.id)

    def before(self, message: Message) -> "Conversation":
        """Standing before a message, as for asking that otherwise."""
        return replace(self, tip=message.parent or BEGINNING)
