"""From the events of a turn to what the transcript shows of it."""

import time
from collections.abc import Iterable, Iterator
from typing import assert_never

from hychat.domain.choices import Style
from hychat.domain.event import (
    Channel,
    DataTruncated,
    HistoryDropped,
    HistoryNotSaved,
    LoadProgress,
    PictureRead,
    PictureUnseen,
    PrefillProgress,
    ReadingPicture,
    SafetyEvent,
    TokenEvent,
    TurnEvent,
    TurnFailed,
    TurnFinished,
)
from hychat.domain.generation import StopReason
from hychat.domain.message import Conversation, Message, Role
from hychat.domain.safety import SafetyAction, SafetyVerdict
from hychat.messages import _, ngettext
from hychat.safety.telling import event_text
from hychat.session.seeing import reading_text, road_text, unseen_text
from hychat.tui.comparison import Comparison
from hychat.tui.effects import Tone
from hychat.tui.entries import Answer, Note, error_text


class Narrator:
    """Writes one answer."""

    def __init__(self, answer: Answer, *, is_compared: bool = False) -> None:
        """What is compared stands beside its other versions, and need not lead to them."""
        self.entry = answer
        self._is_compared = is_compared
        self._thought_began: float | None = None
        self._verdict: SafetyVerdict | None = None
        answer.tell("…")

    def take(self, events: Iterable[TurnEvent], conversation: Conversation) -> list[Note]:
        """Show events; what is to be said beside the answer."""
        return [note for event in events for note in self._take(event, conversation)]

    def _take(self, event: TurnEvent, conversation: Conversation) -> Iterator[Note]:
        answer = self.entry
        match event:
            case LoadProgress() | PrefillProgress() | ReadingPicture():
                answer.tell(_step(event))
            case TokenEvent(text, channel):
                self._time(channel)
                answer.take(text, channel)
            case TurnFinished(message):
                answer.finish(message, self._place(message, conversation))
                yield from self._tell_end(message)
            case TurnFailed(error, partial):
                if partial is not None:
                    answer.finish(partial, self._place(partial, conversation))
                else:
                    answer.tell("")
                yield Note(error_text(error), Tone.ERROR)
            case PictureRead() | PictureUnseen():
                yield Note(_road(event), Tone.INFO)
            case HistoryDropped() | DataTruncated() | HistoryNotSaved():
                yield Note(_warning(event), Tone.WARNING)
            case SafetyEvent(verdict):
                yield from self._tell_verdict(verdict)
            case _:
                assert_never(event)

    def _tell_verdict(self, verdict: SafetyVerdict) -> Iterator[Note]:
        """What is blocked is told at the end: a question with its error, an answer behind what was shown of it."""
        self._verdict = verdict
        if verdict.action in {SafetyAction.WARN, SafetyAction.ALLOW}:
            yield Note(event_text(verdict), Tone.WARNING)

    def _tell_end(self, message: Message) -> Iterator[Note]:
        if message.stop is StopReason.BLOCKED and self._verdict is not None:
            yield Note(event_text(self._verdict), Tone.WARNING)

    def _place(self, message: Message, conversation: Conversation) -> tuple[int, int]:
        return (1, 1) if self._is_compared else place_of(message, conversation)

    def _time(self, channel: Channel) -> None:
        """Tell how long the thought takes."""
        if channel is Channel.THOUGHT:
            now = time.monotonic()
            self._thought_began = self._thought_began or now
            self.entry.tell_thought(now - self._thought_began)


def _step(event: LoadProgress | PrefillProgress | ReadingPicture) -> str:
    """What is being done before the answer begins."""
    match event:
        case LoadProgress(fraction):
            return _("loading the model, {percent:.0f} %").format(percent=100 * fraction)
        case PrefillProgress(done, total):
            return _("reading, {done} of {total} tokens").format(done=f"{done:,}", total=f"{total:,}")
        case ReadingPicture(name, reader, fraction):
            share = "" if fraction is None else f", {100 * fraction:.0f} %"
            return f"{reading_text(name, reader)}{share}"


def _road(event: PictureRead | PictureUnseen) -> str:
    """How a model that cannot see comes by a picture."""
    return road_text(event.attachment, event.advice) if isinstance(event, PictureRead) else unseen_text(event.name)


def _warning(event: HistoryDropped | DataTruncated | HistoryNotSaved) -> str:
    """What the user should know of how the question was asked."""
    match event:
        case HistoryDropped(turns, context_tokens):
            return ngettext(
                "The oldest question is left out: the context has {tokens} tokens.",
                "The {count} oldest questions are left out: the context has {tokens} tokens.",
                turns,
            ).format(count=turns, tokens=f"{context_tokens:,}")
        case DataTruncated(tokens, kept_tokens):
            return _("The data was cut: {kept} of {tokens} tokens are read.").format(kept=kept_tokens, tokens=tokens)
        case HistoryNotSaved(error):
            return _("This chat is not being kept: {reason}").format(reason=error.message)


class CompareNarrator:
    """Writes the answers of a comparison."""

    def __init__(self, comparison: Comparison) -> None:
        self.entry = comparison
        self._narrators = {style: Narrator(answer, is_compared=True) for style, answer in comparison.answers.items()}

    def take(self, events: Iterable[tuple[Style, TurnEvent]], conversation: Conversation) -> list[Note]:
        """As a narrator's."""
        return [note for style, event in events for note in self._narrators[style].take((event,), conversation)]


def place_of(message: Message, conversation: Conversation) -> tuple[int, int]:
    """Which of how many versions a message is."""
    return places_of(conversation).get(message.id, (1, 1))


def places_of(conversation: Conversation) -> dict[str, tuple[int, int]]:
    """Which of how many versions each message is, by id."""
    versions: dict[tuple[str | None, Role], list[Message]] = {}
    for message in conversation.messages:
        versions.setdefault((message.parent, message.role), []).append(message)
    return {
        message.id: (nth, len(group))
        for group in versions.values()
        for nth, message in enumerate(sorted(group, key=lambda each: each.created), 1)
    }
