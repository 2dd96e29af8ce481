"""What the tests of a chat session ask, and how they read what it tells."""

from collections.abc import Iterable, Sequence

from hychat.domain.attachment import Attachment, AttachmentKind
from hychat.domain.cancel import CancelToken
from hychat.domain.choices import Truncate
from hychat.domain.errors import HistoryError
from hychat.domain.event import Channel, TokenEvent, TurnEvent, TurnFailed, TurnFinished
from hychat.domain.message import Conversation, FilePart, Message, Part
from hychat.engine.echo import EchoEngine
from hychat.session.chat import ChatSession


class Shelf:
    """A store in memory, which can be made to fail."""

    def __init__(self, error: HistoryError | None = None) -> None:
        self.saved: list[Message] = []
        self.conversation: Conversation | None = None
        self._error = error

    def save_message(self, conversation: Conversation, message: Message) -> None:
        assert message in conversation.messages
        if self._error:
            raise self._error
        self.saved.append(message)
        self.conversation = conversation


def ask(session: ChatSession, prompt: str | Sequence[Part], truncate: Truncate | None = None) -> list[TurnEvent]:
    return list(session.turn(prompt, CancelToken(), truncate=truncate))


def again(session: ChatSession) -> list[TurnEvent]:
    return list(session.again(CancelToken()))


def go_on(session: ChatSession) -> list[TurnEvent]:
    return list(session.go_on(CancelToken()))


def answer_in(events: Iterable[TurnEvent], channel: Channel = Channel.ANSWER) -> str:
    return "".join(event.text for event in events if isinstance(event, TokenEvent) and event.channel is channel)


def finished(events: list[TurnEvent]) -> Message:
    assert isinstance(events[-1], TurnFinished), events[-1]
    return events[-1].message


def failure(events: list[TurnEvent]) -> TurnFailed:
    assert isinstance(events[-1], TurnFailed)
    return events[-1]


def asked(engine: EchoEngine, index: int = -1) -> str:
    return "".join(segment.text for segment in engine.prompts[index])


def data(text: str, name: str = "notes.txt") -> FilePart:
    return FilePart(Attachment(AttachmentKind.TEXT, name, "text/plain", text=text))
