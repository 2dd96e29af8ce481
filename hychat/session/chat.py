"""A chat with a model: what one turn does, in order, told as events."""

import os
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from hychat.domain.cancel import CancelToken
from hychat.domain.choices import Style, Truncate
from hychat.domain.errors import CannotSee, HistoryError, HychatError, Interrupted, UsageError
from hychat.domain.event import (
    Channel,
    HistoryNotSaved,
    LoadProgress,
    PictureUnseen,
    TokenEvent,
    TurnEvent,
    TurnFailed,
    TurnFinished,
)
from hychat.domain.generation import LARGEST_SEED, GenerationSettings, Receipt, StopReason, Usage
from hychat.domain.message import AttachedPart, Conversation, FilePart, Message, Part, Role, TextPart
from hychat.domain.safety import SafetyAction, SafetyVerdict
from hychat.engine.prompt.segments import begun
from hychat.engine.protocol import Done, Engine, LoadedModel
from hychat.messages import _
from hychat.session.answering import Draft, Writing
from hychat.session.asking import Asking
from hychat.session.guarding import AnswerCheck, heaviest, question_verdict, texts_verdict, told
from hychat.session.seeing import Eyes, has_unread, pictures_of, put_into_words, texts_in

if TYPE_CHECKING:
    from hychat.safety.guard import Guard

_TITLE_CHARACTERS: Final = 60
_SEED_BYTES: Final = 4
_WORTH_KEEPING_SECONDS: Final = 1.0
_LONG_CHARACTERS: Final = 100_000
"""Of a question that is cut to what the model reads before the filter judges it: of so many it needs a tenth of a second."""

_Result = TypeVar("_Result")


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


class ChatSession:
    """One conversation with one model.

    `conversation`, `style` and `settings` may be set between turns; a turn takes them as it finds them, and goes on where
    the conversation stands. A turn tells any number of events, then one `TurnFinished` or `TurnFailed`; what was written
    before an error or a cancel is kept. Where `hurry` is set while the model thinks, it answers at once.
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
        guard: "Guard | None" = None,
        eyes: Eyes | None = None,
    ) -> None:
        """Without a store nothing is kept; without `states` a later run reads the whole chat again.

        Without a guard nothing is filtered; it may be set between turns too. `eyes` look where the model cannot, and read
        the text in pictures for the guard.
        """
        self.engine = engine
        self._store = store
        self._states = states
        self._eyes = eyes
        self._is_recalled = not conversation.messages
        self._first_kept: str | None = None
        self._unseen: set[str] = set()
        """Ids of earlier messages whose pictures stay unseen, as the user was told."""
        self.conversation = conversation
        self.settings = settings
        self.style = style
        self.guard = guard
        self.verdict: SafetyVerdict | None = None
        """What the filter said of the last turn; None before there was one."""
        self.model: LoadedModel | None = None
        """What is known of the model, its context and devices among it; None before it is loaded."""

    def open(self, cancel: CancelToken) -> Generator[LoadProgress, None, LoadedModel]:
        """Load the model, and beside it the filter; a turn does it too. Raises as the engine's `open`."""
        if self.guard is not None:
            self.guard.prepare_aside()
        self.model = yield from self.engine.open(cancel)
        self._recall()
        return self.model

    # Turns

    def turn(
        self,
        prompt: str | Sequence[Part],
        cancel: CancelToken,
        *,
        truncate: Truncate | None = None,
        hurry: CancelToken | None = None,
    ) -> Iterator[TurnEvent]:
        """Ask. `truncate` allows over-long data to be cut."""
        question = self._question(prompt, self.style)
        draft = Draft.of(question, self.style)
        yield from self._told(draft, self._answered(question, draft, cancel, hurry, truncate))

    def again(self, cancel: CancelToken, *, hurry: CancelToken | None = None) -> Iterator[TurnEvent]:
        """Answer the last question of the branch again, in the present style: another answer beside those it has."""
        questions = [message for message in self.conversation.branch() if message.role is Role.USER]
        if questions:
            draft = Draft.of(questions[-1], self.style)
            yield from self._told(draft, self._answered(questions[-1], draft, cancel, hurry))
        else:
            yield TurnFailed(UsageError(_("There is no question yet.")))

    def go_on(self, cancel: CancelToken, *, hurry: CancelToken | None = None) -> Iterator[TurnEvent]:
        """Go on with the answer where the conversation stands: the same message grows, and knows how its end was made."""
        match self.conversation.branch():
            case (*_, Message(role=Role.ASSISTANT, stop=StopReason.BLOCKED)):
                yield TurnFailed(UsageError(_("The safety filter ended this answer; ask in another way.")))
            case (*_, Message(role=Role.USER) as question, Message(role=Role.ASSISTANT) as answer):
                draft = Draft(answer)
                yield from self._told(draft, self._answered(question, draft, cancel, hurry))
            case _branch:
                yield TurnFailed(UsageError(_("There is no answer to go on with.")))

    def compare(
        self,
        prompt: str | Sequence[Part],
        styles: Sequence[Style],
        cancel: CancelToken,
        *,
        truncate: Truncate | None = None,
        hurry: CancelToken | None = None,
    ) -> Iterator[tuple[Style, TurnEvent]]:
        """Ask once and answer in every style, side by side; a turn for each style, and the chat goes on with the first's."""
        from hychat.session.side_by_side import merged  # brings threads

        question = self._question(prompt, styles[0])
        drafts = {style: Draft.of(question, style) for style in styles}
        for draft in drafts.values():
            draft.tip = drafts[styles[0]].message.id
        writings: dict[Style, Writing] = {}
        try:
            question, verdict = yield from _of(
                styles[0], self._judged(question, drafts[styles[0]].message, cancel, truncate)
            )
            if verdict.action is SafetyAction.SUPPORT:
                for style, draft in drafts.items():
                    yield from _of(style, self._supported(question, draft))
                return
            for style, draft in drafts.items():
                draft.is_careful = verdict.action is SafetyAction.WARN
                writings[style] = yield from _of(style, self._prepared(question, draft, cancel, hurry, truncate))
        except HychatError as error:
            for style, draft in drafts.items():
                yield from _of(style, self._failed(draft, error))
            return
        with closing(merged({style: writing.run() for style, writing in writings.items()}, cancel)) as told:
            for style, event in told:
                match event:
                    case Done():
                        yield from _of(style, self._finished(writings[style], event))
                    case HychatError():
                        yield from _of(style, self._failed(drafts[style], event))
                    case _:
                        yield style, event

    # What every turn does

    def _question(self, prompt: str | Sequence[Part], style: Style | None) -> Message:
        parts = (TextPart(prompt),) if isinstance(prompt, str) else tuple(prompt)
        leaf = self.conversation.leaf
        return Message(Role.USER, parts, parent=leaf.id if leaf else None, style=style)

    def _told(self, draft: Draft, steps: Iterator[TurnEvent]) -> Iterator[TurnEvent]:
        try:
            yield from steps
        except HychatError as error:
            yield from self._failed(draft, error)

    def _answered(
        self,
        question: Message,
        draft: Draft,
        cancel: CancelToken,
        hurry: CancelToken | None,
        truncate: Truncate | None = None,
    ) -> Iterator[TurnEvent]:
        question, verdict = yield from self._judged(question, draft.message, cancel, truncate)
        if verdict.action is SafetyAction.SUPPORT:
            yield from self._supported(question, draft)
            return
        draft.is_careful = verdict.action is SafetyAction.WARN
        writing = yield from self._prepared(question, draft, cancel, hurry, truncate)
        done = yield from writing.run()
        yield from self._finished(writing, done)

    def _judged(
        self, question: Message, answer: Message, cancel: CancelToken, truncate: Truncate | None
    ) -> Generator[TurnEvent, None, tuple[Message, SafetyVerdict]]:
        """The question as the model is to read it, and what the filter says of it and of what it shows.

        Raises as `told`, PromptTooLong, CannotSee, and Interrupted.
        """
        self.verdict = None
        question = yield from self._within_reach(question, answer, cancel, truncate)
        verdict = yield from self._words_judged(question, cancel)
        if verdict.action is SafetyAction.SUPPORT or not pictures_of(question):
            return question, verdict
        question, texts = yield from self._looked_at(question, cancel)
        return question, heaviest([verdict, (yield from self._texts_judged(texts, cancel))])

    def _within_reach(
        self, question: Message, answer: Message, cancel: CancelToken, truncate: Truncate | None
    ) -> Generator[TurnEvent, None, Message]:
        """A question of which there is no more than the model reads; only of a very long one that is asked so early.

        Raises PromptTooLong.
        """
        if self.guard is None or _characters(question) < _LONG_CHARACTERS:
            return question
        model = yield from self.open(cancel)
        asking = self._asking(model, answer, self._chosen(model, answer), cancel, is_careful=True)
        return (yield from asking.fit((), question, truncate)).question

    def _words_judged(self, question: Message, cancel: CancelToken) -> Generator[TurnEvent, None, SafetyVerdict]:
        """What the filter says of a question. One that is not ready gets so beside the model's load.

        Raises as `told`, and Interrupted.
        """
        guard = self.guard
        if guard is not None and not guard.is_ready:
            with closing(self.open(cancel)) as loading:
                for progress in loading:
                    yield progress
                    if guard.is_ready:
                        self.verdict = question_verdict(guard, question, self.conversation.system, cancel)
                        yield from told(self.verdict)
                        yield from loading
                        return self.verdict
        self.verdict = question_verdict(guard, question, self.conversation.system, cancel)
        return (yield from told(self.verdict))

    def _looked_at(
        self, question: Message, cancel: CancelToken
    ) -> Generator[TurnEvent, None, tuple[Message, list[str]]]:
        """A question, its pictures in words where the model cannot see, and the texts that were found in them."""
        model = yield from self.open(cancel)
        if model.can_see:
            return question, (yield from texts_in(question, self._eyes, cancel)) if self.guard else []
        seen = yield from put_into_words(question, self._eyes, cancel)
        if self.conversation.find(question.id) is not None:
            yield from self._change(seen)
        return seen, [picture.text for picture in pictures_of(seen)]

    def _texts_judged(self, texts: Sequence[str], cancel: CancelToken) -> Generator[TurnEvent, None, SafetyVerdict]:
        """What the filter says of texts in pictures. Raises as `told`, and Interrupted."""
        found = texts_verdict(self.guard, texts, cancel)
        self.verdict = heaviest([self.verdict or found, found])
        return (yield from told(found))

    def _look_back(self, history: Sequence[Message], cancel: CancelToken) -> Generator[TurnEvent, None, SafetyVerdict]:
        """Put the pictures of earlier messages into words, which another model saw itself; what the filter says of those.

        Raises as `_texts_judged`.
        """
        verdicts: list[SafetyVerdict] = []
        for message in history:
            if not has_unread(message) or message.id in self._unseen:
                continue
            try:
                seen = yield from put_into_words(message, self._eyes, cancel, is_earlier=True)
            except CannotSee:
                self._unseen.add(message.id)
                yield from (PictureUnseen(picture.name) for picture in pictures_of(message) if not picture.read_by)
            else:
                verdict = yield from self._texts_judged([picture.text for picture in pictures_of(seen)], cancel)
                verdicts.append(verdict)
                yield from self._change(seen)
        return heaviest(verdicts)

    def _asking(
        self,
        model: LoadedModel,
        answer: Message,
        settings: GenerationSettings,
        cancel: CancelToken,
        *,
        is_careful: bool,
    ) -> Asking:
        start, system = begun(model.builder, answer.thought, answer.text), self.conversation.system
        return Asking(self.engine, model, settings, system, answer.style, start, cancel, is_careful=is_careful)

    def _prepared(
        self,
        question: Message,
        draft: Draft,
        cancel: CancelToken,
        hurry: CancelToken | None,
        truncate: Truncate | None,
    ) -> Generator[TurnEvent, None, Writing]:
        """Load the model, lay out its prompt, and keep a question that is new."""
        model = yield from self.open(cancel)
        settings = self._chosen(model, draft.message)
        asked = self.conversation.find(question.id)
        if not model.can_see:
            verdict = yield from self._look_back(self._before(asked), cancel)
            draft.is_careful = draft.is_careful or verdict.action is not SafetyAction.ALLOW
        asking = self._asking(model, draft.message, settings, cancel, is_careful=draft.is_careful)
        fitted = yield from asking.fit(self._before(asked), asked or question, truncate)
        self._first_kept = fitted.first_kept
        if asked is None:
            yield from self._keep(fitted.question)
        draft.check = AnswerCheck(self.guard, question.text, draft.message, cancel) if self.guard else None
        draft.begin(starts_in_thought=model.builder.starts_in_thought(think=bool(settings.think)))
        return Writing(self.engine, model, fitted.prompt, settings, draft, cancel, hurry or CancelToken())

    def _supported(self, question: Message, draft: Draft) -> Generator[TurnEvent, None, None]:
        """Answer with help; the model is not asked."""
        from hychat.engine.prompt.style import language_of
        from hychat.safety.telling import support_text

        if self.conversation.find(question.id) is None:
            yield from self._keep(question)
        text = support_text(language_of(question.text))
        draft.answer.append(text)
        yield TokenEvent(text, Channel.ANSWER)
        answer = draft.written(StopReason.COMPLETE)
        yield from self._keep(answer, draft.tip)
        yield TurnFinished(answer, Usage())

    def _chosen(self, model: LoadedModel, answer: Message) -> GenerationSettings:
        """Every setting of an answer; one that is gone on with stays as it began, and no grammar starts in its middle."""
        settings = self.settings.over(model.defaults)
        think = bool(settings.think) and model.builder.can_think
        if answer.parts:
            think, settings = bool(answer.thought), replace(settings, json_schema=None)
        return replace(settings, think=think, seed=_seed(settings))

    def _before(self, asked: Message | None) -> Sequence[Message]:
        """What was said before a question, or before a new one, without what earlier turns had to drop."""
        branch = self.conversation.branch(asked)[:-1] if asked else self.conversation.branch()
        kept = next((index for index, message in enumerate(branch) if message.id == self._first_kept), 0)
        return branch[kept:]

    def _finished(self, writing: Writing, done: Done) -> Generator[TurnEvent, None, None]:
        self.verdict = writing.draft.verdict or self.verdict
        receipt = Receipt(writing.model.name, writing.settings, done.usage)
        answer = writing.draft.written(done.stop, receipt)
        yield from self._keep(answer, writing.draft.tip)
        is_one_of_several = writing.draft.tip is not None  # which leave that to the next turn
        if not (is_one_of_several or writing.draft.hides_text):
            self._keep_state(done.usage)
        yield TurnFinished(answer, done.usage)

    def _failed(self, draft: Draft, error: HychatError) -> Generator[TurnEvent, None, None]:
        yield from draft.finish()
        partial = draft.written(StopReason.CANCELLED)
        if draft.has_grown:
            yield from self._keep(partial, draft.tip)
        if isinstance(error, Interrupted):
            yield TurnFinished(partial, Usage())
        else:
            yield TurnFailed(error, partial if draft.has_grown else None)

    def _keep(self, message: Message, tip: str | None = None) -> Iterator[TurnEvent]:
        """Add a message to the conversation, and store it; a store that fails costs no answer.

        The conversation then stands at that message, or at `tip`.
        """
        conversation = self.conversation
        if not conversation.title and message.role is Role.USER:
            conversation = replace(conversation, title=title_of(message))
        conversation = conversation.with_message(message)
        self.conversation = replace(conversation, tip=tip) if tip else conversation
        yield from self._store_message(message)

    def _change(self, message: Message) -> Iterator[TurnEvent]:
        """Have a message in the place of the one with its id, in the store too."""
        if message != self.conversation.find(message.id):
            self.conversation = self.conversation.with_changed(message)
            yield from self._store_message(message)

    def _store_message(self, message: Message) -> Iterator[TurnEvent]:
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
            self.engine.recall(path)

    def _keep_state(self, usage: Usage) -> None:
        """Keep the KV cache where reading the chat again would take noticeable time."""
        speed = usage.prefill_tokens_per_second
        seconds = (usage.prompt_tokens + usage.generated_tokens) / speed if speed else 0.0
        if self._states is None or self._store is None or seconds < _WORTH_KEEPING_SECONDS:
            return
        path = self._states.place(self.conversation.id)
        if path is not None and self.engine.keep(path):
            self._states.settle(self.conversation.id)


def _of(style: Style, events: Generator[TurnEvent, None, _Result]) -> Generator[tuple[Style, TurnEvent], None, _Result]:
    """The events of one answer of several, and what their generator returns."""
    while True:
        try:
            event = next(events)
        except StopIteration as end:
            result: _Result = end.value
            return result
        yield style, event


def _seed(settings: GenerationSettings) -> int:
    """The seed asked for, else a fresh one: every answer knows the seed it was made with."""
    return int.from_bytes(os.urandom(_SEED_BYTES)) % (LARGEST_SEED + 1) if settings.seed is None else settings.seed


def _characters(question: Message) -> int:
    """Of its words and its files."""
    files = (part.attachment.text for part in question.parts if isinstance(part, FilePart))
    return len(question.text) + sum(map(len, files))


def title_of(message: Message) -> str:
    """A conversation's title: the first words of its first question, or the names of what came with it."""
    names = [part.attachment.name for part in message.parts if isinstance(part, AttachedPart)]
    words = " ".join((message.text or " ".join(names)).split())
    return words if len(words) <= _TITLE_CHARACTERS else words[: _TITLE_CHARACTERS - 1] + "…"
