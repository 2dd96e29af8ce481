"""What the filter has to do with a turn: its question before the model reads it, its answer before anybody does."""

from collections.abc import Generator, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from hychat.domain.errors import Blocked
from hychat.domain.event import Channel, SafetyEvent, TokenEvent, TurnEvent
from hychat.domain.message import FilePart, Message, TextPart
from hychat.domain.safety import SafetyAction, SafetyVerdict
from hychat.messages import _

if TYPE_CHECKING:
    from hychat.safety.guard import Guard

_ALLOWED: Final = SafetyVerdict(SafetyAction.ALLOW)


def question_verdict(guard: "Guard | None", question: Message) -> Generator[TurnEvent, None, SafetyVerdict]:
    """What the filter says of a question and its files, the heaviest.

    Raises:
        Blocked: The model must not read it.
    """
    if guard is None:
        return _ALLOWED
    order = [*SafetyAction]
    verdict = max(map(guard.prompt, _texts(question)), key=lambda each: order.index(each.action), default=_ALLOWED)
    if verdict.action is SafetyAction.BLOCK:
        from hychat.safety.telling import blocked_text

        yield SafetyEvent(verdict)
        raise Blocked(
            blocked_text(verdict), hint=_("/why tells what was found. To switch the filter: --safety, or /safety.")
        )
    if verdict.action is SafetyAction.WARN:
        yield SafetyEvent(verdict)
    return verdict


def _texts(question: Message) -> Iterator[str]:
    """Data may hold instructions of its own."""
    for part in question.parts:
        if isinstance(part, TextPart):
            yield part.text
        elif isinstance(part, FilePart):
            yield part.attachment.text


class AnswerCheck:
    """The answer's thought and text, each through a window of its own."""

    def __init__(self, guard: "Guard", question: str) -> None:
        from hychat.safety.window import Window

        def check(text: str, shown: int) -> SafetyVerdict:
            return guard.reply(question, text, shown)

        self._windows = {channel: Window(check) for channel in Channel}

    @property
    def verdict(self) -> SafetyVerdict | None:
        """Why nothing more comes, once it is so."""
        return next((window.verdict for window in self._windows.values() if window.verdict), None)

    def feed(self, events: Sequence[TokenEvent]) -> list[TokenEvent]:
        """What may be shown, of these and of what was held back."""
        shown: list[TokenEvent] = []
        for event in events:
            if event.channel is Channel.ANSWER:
                shown += self._rest(Channel.THOUGHT)
            if self.verdict is None and (text := self._windows[event.channel].feed(event.text)):
                shown.append(TokenEvent(text, event.channel))
        return shown

    def finish(self) -> list[TokenEvent]:
        """The rest that may be shown."""
        return [*self._rest(Channel.THOUGHT), *self._rest(Channel.ANSWER)]

    def _rest(self, channel: Channel) -> list[TokenEvent]:
        text = "" if self.verdict else self._windows[channel].finish()
        return [TokenEvent(text, channel)] if text else []
