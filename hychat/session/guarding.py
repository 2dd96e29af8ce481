"""What the filter has to do with a turn: its question before the model reads it, its answer before anybody does."""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from hychat.domain.cancel import CancelToken
from hychat.domain.errors import Blocked, HychatError, Interrupted
from hychat.domain.event import Channel, SafetyEvent, TokenEvent, TurnEvent
from hychat.domain.message import AttachedPart, FilePart, ImagePart, Message, TextPart
from hychat.domain.safety import SafetyAction, SafetyVerdict

if TYPE_CHECKING:
    from hychat.safety.guard import Guard

_ASKED_CHARACTERS: Final = 600
"""Of a question, that an answer is judged with at each sentence."""
_SLOWLY_CHECKED_CHARACTERS: Final = 800
"""Of an answer, that a guard model is asked about at once: it needs seconds on a CPU."""
_ALLOWED: Final = SafetyVerdict(SafetyAction.ALLOW)


def question_verdict(guard: "Guard | None", question: Message, system: str, cancel: CancelToken) -> SafetyVerdict:
    """What the filter says of a question, what is attached to it, and the system text above it, the heaviest.

    Raises Interrupted.
    """
    if guard is None:
        return _ALLOWED
    above = [guard.system(system, cancel)] if system.strip() else []
    typed = [part.text for part in question.parts if isinstance(part, TextPart)]
    read = guard.prompts([*typed, *_data(question)], cancel)
    pictures = (part.attachment.data for part in question.parts if isinstance(part, ImagePart))
    return heaviest([*read[: len(typed)], *map(_quoted, [*above, *read[len(typed) :]]), *map(guard.picture, pictures)])


def texts_verdict(guard: "Guard | None", texts: Sequence[str], cancel: CancelToken) -> SafetyVerdict:
    """What the filter says of texts that were found in pictures, the heaviest. Raises Interrupted."""
    return heaviest([*map(_quoted, guard.prompts(texts, cancel))]) if guard and texts else _ALLOWED


def heaviest(verdicts: Sequence[SafetyVerdict]) -> SafetyVerdict:
    """The one that weighs most, the first of its kind; that all is well, where there is none."""
    order = [*SafetyAction]
    return max(verdicts, key=lambda each: order.index(each.action), default=_ALLOWED)


def told(verdict: SafetyVerdict) -> Generator[TurnEvent, None, SafetyVerdict]:
    """Tell what was found in a question.

    Raises:
        Blocked: The model must not read it.
    """
    is_noted = verdict.action is SafetyAction.ALLOW and verdict.reason
    if verdict.action is not SafetyAction.ALLOW or is_noted:
        yield SafetyEvent(verdict)
    if verdict.action is SafetyAction.BLOCK:
        from hychat.safety.telling import blocked_hint, blocked_text

        raise Blocked(blocked_text(verdict), hint=blocked_hint(verdict))
    return verdict


def _quoted(verdict: SafetyVerdict) -> SafetyVerdict:
    """Of what the user did not say himself: who speaks there of harming himself is somebody else."""
    return replace(verdict, action=SafetyAction.WARN) if verdict.action is SafetyAction.SUPPORT else verdict


def _data(question: Message) -> Iterator[str]:
    """What may hold instructions of its own: files, and the names of all that is attached.

    The names stand before the words, as for the model: alone they are less than a semantic model can judge.
    """
    yield from (part.attachment.text for part in question.parts if isinstance(part, FilePart))
    names = [part.attachment.name for part in question.parts if isinstance(part, AttachedPart)]
    if names:
        yield "\n".join([*names, question.text])


class AnswerCheck:
    """The answer's thought and text, each through a window of its own."""

    def __init__(self, guard: "Guard", question: str, begun: Message, cancel: CancelToken) -> None:
        """`begun` is the answer as it was shown before, where it is gone on with."""
        from hychat.safety.window import Window

        asked = question[:_ASKED_CHARACTERS]

        def check(text: str, shown: int) -> SafetyVerdict:
            try:
                return guard.reply(asked, text, shown, cancel)
            except HychatError:
                self.is_stopped = True
                raise

        least = _SLOWLY_CHECKED_CHARACTERS if guard.is_slow else 0
        self.is_stopped = False
        """Whether a check came to no end, as the user did not wait for it, or it failed; nothing more is shown then."""
        shown = {Channel.THOUGHT: begun.thought, Channel.ANSWER: begun.text}
        self._windows = {channel: Window(check, least, shown=shown[channel]) for channel in Channel}

    @property
    def verdict(self) -> SafetyVerdict | None:
        """Why nothing more comes, once it is so."""
        return next((window.verdict for window in self._windows.values() if window.verdict), None)

    def feed(self, events: Sequence[TokenEvent]) -> list[TokenEvent]:
        """What may be shown, of these and of what was held back. Raises Interrupted."""
        shown: list[TokenEvent] = []
        for event in events:
            if event.channel is Channel.ANSWER:
                shown += self._rest(Channel.THOUGHT)
            if self._goes_on and (text := self._windows[event.channel].feed(event.text)):
                shown.append(TokenEvent(text, event.channel))
        return shown

    def finish(self) -> list[TokenEvent]:
        """The rest that may be shown; nothing of it where the user does not wait for its check."""
        return [*self._rest(Channel.THOUGHT), *self._rest(Channel.ANSWER)]

    @property
    def _goes_on(self) -> bool:
        return self.verdict is None and not self.is_stopped

    def _rest(self, channel: Channel) -> list[TokenEvent]:
        try:
            text = self._windows[channel].finish() if self._goes_on else ""
        except Interrupted:
            text = ""
        return [TokenEvent(text, channel)] if text else []
