"""A chat with a model: what one turn does, in order, told as events."""

import os
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Protocol, assert_never

from hychat.domain.cancel import CancelToken
from hychat.domain.choices import Style, Truncate
from hychat.domain.errors import HistoryError, HychatError, Interrupted, PromptTooLong
from hychat.domain.event import (
    Channel,
    DataTruncated,
    HistoryDropped,
    HistoryNotSaved,
    LoadProgress,
    PrefillProgress,
    TokenEvent,
    TurnEvent,
    TurnFailed,
    TurnFinished,
)
from hychat.domain.generation import LARGEST_SEED, GenerationSettings, Receipt, StopReason, Usage
from hychat.domain.message import Conversation, FilePart, Message, Part, Role, TextPart, ThoughtPart
from hychat.engine.prompt.segments import Prompt
from hychat.engine.prompt.thought import ThoughtParser
from hychat.engine.protocol import Done, Engine, LoadedModel, Piece
from hychat.session.compose import turn_of
from hychat.session.fit import cut_to_fit, room, split_turns, turns_to_drop

_TITLE_CHARACTERS: Final = 60
_SEED_BYTES: Final = 4
_WORTH_KEEPING_SECONDS: Final = 1.0


class ConversationStore(Protocol):
    """Where messages are kept."""

    def save_message(self, conversation: Conversation, message: Message) -> None:
        """Keep one message more of a conversation.

        Raises:
            HistoryError: It cannot be written.
        """
        ...


class StateCache(Protocol):
    """Where KV caches are kept between runs."""

    def find(self, conversation: str) -> str | None:
        """The file of a conversation's KV cache, if there is one."""
        ...

    def place(self, conversation: str) -> str | None:
        """Where to write one; None where that is not possible."""
        ...

    def settle(self, conversation: str) -> None:
        """The file at `place` is written."""
        ...


@dataclass(slots=True)
class _Draft:
    """An answer while it is written."""

    parser: ThoughtParser | None = None
    """Known once the model is."""
    thought: list[str] = field(default_factory=list)
    answer: list[str] = field(default_factory=list)

    def feed(self, text: str) -> list[TokenEvent]:
        """Take the next text of the model; what it is."""
        return self._take(self.parser.feed(text) if self.parser else [])

    def finish(self) -> list[TokenEvent]:
        """The last of it, which the parser may have held back; a second call has nothing more."""
        parser, self.parser = self.parser, None
        return self._take(parser.finish() if parser else [])

    def _take(self, events: list[TokenEvent]) -> list[TokenEvent]:
        for event in events:
            (self.thought if event.channel is Channel.THOUGHT else self.answer).append(event.text)
        return events

    def parts(self) -> tuple[Part, ...]:
        thought, answer = "".join(self.thought), "".join(self.answer)
        return (*([ThoughtPart(thought)] if thought else []), *([TextPart(answer)] if answer else []))


class ChatSession:
    """One conversation with one model.

    `conversation`, `style` and `settings` may be set between turns; a turn takes them as it finds them.
    """

    def __init__(  # noqa: PLR0913 - the parts of a chat
        self,
        engine: Engine,
        conversation: Conversation,
        *,
        settings: GenerationSettings = GenerationSettings(),  # noqa: B008 - frozen
        style: Style | None = None,
        store: ConversationStore | None = None,
        states: StateCache | None = None,
    ) -> None:
        """Without a store nothing is kept; without `states` a later run reads the whole chat again."""
        self._engine = engine
        self._store = store
        self._states = states
        self._is_recalled = not conversation.messages
        self._first_kept: str | None = None
        self.conversation = conversation
        self.settings = settings
        self.style = style

    def turn(
        self, prompt: str | Sequence[Part], cancel: CancelToken, *, truncate: Truncate | None = None
    ) -> Iterator[TurnEvent]:
        """Ask, and tell what happens: any number of events, then one `TurnFinished` or `TurnFailed`.

        What was written before an error or a cancel is kept. `truncate` allows over-long data to be cut.
        """
        parts = (TextPart(prompt),) if isinstance(prompt, str) else tuple(prompt)
        draft = _Draft()
        leaf = self.conversation.leaf
        question = Message(Role.USER, parts, parent=leaf.id if leaf else None, style=self.style)
        try:
            yield from self._answer(question, draft, cancel, truncate)
        except Interrupted:
            yield from draft.finish()
            answer = self._message(question, draft, StopReason.CANCELLED, None)
            yield TurnFinished(answer, Usage())
        except HychatError as error:
            yield from draft.finish()
            partial = self._message(question, draft, StopReason.CANCELLED, None) if draft.parts() else None
            if partial is not None:
                yield from self._keep(partial)
            yield TurnFailed(error, partial)

    def _answer(
        self, question: Message, draft: _Draft, cancel: CancelToken, truncate: Truncate | None
    ) -> Iterator[TurnEvent]:
        model = yield from self._engine.open(cancel)
        settings = self.settings.over(model.defaults)
        think = bool(settings.think) and model.builder.can_think
        settings = replace(settings, think=think, seed=_seed(settings))
        self._recall()
        question, prompt = yield from self._fit(model, question, settings, cancel, truncate)
        yield from self._keep(question)

        draft.parser = ThoughtParser(model.builder.starts_in_thought(think=think))
        for event in self._engine.stream(prompt, settings, cancel):
            match event:
                case Piece(text):
                    yield from draft.feed(text)
                case PrefillProgress() | LoadProgress():
                    yield event
                case Done(stop, usage):
                    yield from draft.finish()
                    answer = self._message(question, draft, stop, Receipt(model.name, settings, usage))
                    yield from self._keep(answer)
                    self._keep_state(usage)
                    yield TurnFinished(answer, usage)
                case _:
                    assert_never(event)

    @staticmethod
    def _message(question: Message, draft: _Draft, stop: StopReason, receipt: Receipt | None) -> Message:
        return Message(
            Role.ASSISTANT, draft.parts(), parent=question.id, style=question.style, stop=stop, receipt=receipt
        )

    def _keep(self, message: Message) -> Iterator[TurnEvent]:
        """Add a message to the conversation, and store it; a store that fails costs no answer."""
        conversation = self.conversation
        if not conversation.title and message.role is Role.USER:
            conversation = replace(conversation, title=title_of(message))
        self.conversation = conversation.with_message(message)
        if self._store is not None:
            try:
                self._store.save_message(self.conversation, message)
            except HistoryError as error:
                self._store = None  # one warning is enough
                yield HistoryNotSaved(error)

    # The KV cache between runs

    def _recall(self) -> None:
        """Once, before the first turn that goes on with an earlier run's chat: take the KV cache it left."""
        if self._is_recalled or self._states is None:
            return
        self._is_recalled = True
        path = self._states.find(self.conversation.id)
        if path is not None:
            self._engine.recall(path)

    def _keep_state(self, usage: Usage) -> None:
        """Keep the KV cache where reading the chat again would take noticeable time."""
        speed = usage.prefill_tokens_per_second
        seconds = (usage.prompt_tokens + usage.generated_tokens) / speed if speed else 0.0
        if self._states is None or self._store is None or seconds < _WORTH_KEEPING_SECONDS:
            return
        path = self._states.place(self.conversation.id)
        if path is not None and self._engine.keep(path):
            self._states.settle(self.conversation.id)

    # Fitting

    def _fit(
        self,
        model: LoadedModel,
        question: Message,
        settings: GenerationSettings,
        cancel: CancelToken,
        truncate: Truncate | None,
    ) -> Generator[TurnEvent, None, tuple[Message, Prompt]]:
        """The question, its data cut if it had to be, and the prompt with as much history as fits.

        Raises:
            PromptTooLong: The question alone does not fit.
        """
        limits = room(model.context_tokens, settings.max_tokens)
        think = bool(settings.think)

        def prompt_of(history: Sequence[Message], asked: Message) -> Prompt:
            turns = [turn_of(message) for message in (*history, asked)]
            return model.builder.render(self.conversation.system, turns, think=think)

        def tokens_of(history: Sequence[Message], asked: Message) -> int:
            return self._engine.count([prompt_of(history, asked)], cancel)[0]

        turns = self._kept_turns()
        history = _flat(turns)
        tokens = tokens_of(history, question)
        if turns and tokens > limits.with_history:
            dropped = turns_to_drop(len(turns), lambda n: tokens_of(_flat(turns[n:]), question), limits)
            history = _flat(turns[dropped:])
            self._first_kept = history[0].id if history else question.id
            yield HistoryDropped(dropped, model.context_tokens)
            tokens = tokens_of(history, question)
        if tokens > limits.alone:
            question = self._cut(question, truncate, lambda asked: tokens_of((), asked), limits.alone, tokens)
            yield DataTruncated(tokens, tokens_of((), question))
        return question, prompt_of(history, question)

    def _kept_turns(self) -> tuple[tuple[Message, ...], ...]:
        """The turns of the branch, without those that earlier turns had to drop."""
        branch = self.conversation.branch()
        kept = next((index for index, message in enumerate(branch) if message.id == self._first_kept), 0)
        return split_turns(branch[kept:])

    @staticmethod
    def _cut(question: Message, truncate: Truncate | None, tokens_of: "TokensOf", limit: int, tokens: int) -> Message:
        """The question with its data cut.

        Raises:
            PromptTooLong: It may not be cut, or cutting is not enough.
        """
        if truncate is None:
            raise PromptTooLong(tokens, limit)
        parts = cut_to_fit(question.parts, truncate, lambda parts: tokens_of(replace(question, parts=parts)), limit)
        cut = replace(question, parts=parts)
        if (left := tokens_of(cut)) > limit:
            raise PromptTooLong(left, limit)
        return cut


def _flat(turns: Sequence[Sequence[Message]]) -> list[Message]:
    return [message for turn in turns for message in turn]


class TokensOf(Protocol):
    """Counts the tokens of a prompt that asks a question."""

    def __call__(self, asked: Message, /) -> int:
        """Its tokens, control tokens and system text included."""
        ...


def _seed(settings: GenerationSettings) -> int:
    """The seed asked for, else a fresh one: every answer knows the seed it was made with."""
    return int.from_bytes(os.urandom(_SEED_BYTES)) % (LARGEST_SEED + 1) if settings.seed is None else settings.seed


def title_of(message: Message) -> str:
    """A conversation's title: the first words of its first question, or the name of its data."""
    names = [part.attachment.name for part in message.parts if isinstance(part, FilePart)]
    words = " ".join((message.text or " ".join(names)).split())
    return words if len(words) <= _TITLE_CHARACTERS else words[: _TITLE_CHARACTERS - 1] + "…"
