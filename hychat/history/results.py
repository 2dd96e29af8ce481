"""What the history tells of a conversation without opening it."""

from dataclasses import dataclass
from datetime import datetime

from hychat.domain.message import Role


@dataclass(frozen=True, slots=True)
class ConversationSummary:
    """One line of a list of conversations."""

    id: str
    title: str
    model: str
    created: datetime
    updated: datetime
    """When its newest message was created."""
    message_count: int


@dataclass(frozen=True, slots=True)
class SearchHit:
    """A message, or a conversation's title, that holds all words of a search."""

    conversation: ConversationSummary
    message_id: str | None
    """None where the title was found."""
    role: Role | None
    """Who wrote the message; None where the title was found."""
    moment: datetime
    """When the message was created; for a title, when the conversation's newest message was."""
    snippet: str
    """One line around the first match, with `…` where text was cut off."""
    spans: tuple[tuple[int, int], ...]
    """Each match in the snippet: its first character and one past its last, in order."""
