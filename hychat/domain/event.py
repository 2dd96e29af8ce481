"""What a turn tells its reader: any number of events, then exactly one terminal one."""

from dataclasses import dataclass
from enum import StrEnum

from hychat.domain.errors import HychatError
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
class PrefillProgress:
    """How far the prompt is read, in tokens."""

    done: int
    total: int


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


TurnEvent = HistoryDropped | PrefillProgress | SafetyEvent | TokenEvent | TurnFinished | TurnFailed
