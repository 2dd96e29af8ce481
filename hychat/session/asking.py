"""The prompt of a question: as much of the chat before it as fits, and its data cut where that is allowed."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace

from hychat.domain.cancel import CancelToken
from hychat.domain.choices import Style, Truncate
from hychat.domain.errors import PromptTooLong
from hychat.domain.event import DataTruncated, HistoryDropped, TurnEvent
from hychat.domain.generation import GenerationSettings
from hychat.domain.message import ImagePart, Message
from hychat.engine.prompt.segments import Prompt
from hychat.engine.prompt.style import careful
from hychat.engine.protocol import Engine, LoadedModel
from hychat.messages import _
from hychat.session.compose import turns_of
from hychat.session.fit import cut_to_fit, room, split_turns, turns_to_drop


@dataclass(frozen=True, slots=True)
class Fitted:
    """A question with its prompt."""

    question: Message
    prompt: Prompt
    first_kept: str
    """Id of the oldest message in the prompt."""


@dataclass(frozen=True, slots=True)
class Asking:
    """How a model is asked one question."""

    engine: Engine
    model: LoadedModel
    settings: GenerationSettings
    system: str
    style: Style | None
    begun: Prompt
    """What is written of the answer already."""
    cancel: CancelToken
    is_careful: bool = False
    """Whether the model is told to take care, behind the question."""

    def fit(
        self, history: Sequence[Message], question: Message, truncate: Truncate | None
    ) -> Generator[TurnEvent, None, Fitted]:
        """The question, its data cut if it had to be, and the prompt with as much history as fits.

        Raises:
            PromptTooLong: The question alone does not fit.
        """
        limits = room(self.model.context_tokens, self.settings.max_tokens)
        turns = split_turns(history)
        kept = _flat(turns)
        tokens = self._tokens(kept, question)
        if turns and tokens > limits.with_history:
            dropped = turns_to_drop(len(turns), lambda n: self._tokens(_flat(turns[n:]), question), limits)
            kept = _flat(turns[dropped:])
            yield HistoryDropped(dropped, self.model.context_tokens)
            tokens = self._tokens(kept, question)
        if tokens > limits.alone:
            question = self._cut(question, truncate, limits.alone, tokens)
            yield DataTruncated(tokens, self._tokens((), question))
        return Fitted(question, self._prompt(kept, question), kept[0].id if kept else question.id)

    def _prompt(self, history: Sequence[Message], question: Message) -> Prompt:
        turns = turns_of((*history, question), self.style, can_see=self.model.can_see)
        if self.is_careful:
            turns[-1] = replace(turns[-1], text=careful(turns[-1].text))
        think = bool(self.settings.think)
        return (*self.model.builder.render(self.system, turns, think=think), *self.begun)

    def _tokens(self, history: Sequence[Message], question: Message) -> int:
        return self.engine.count([self._prompt(history, question)], self.cancel)[0]

    def _cut(self, question: Message, truncate: Truncate | None, limit: int, tokens: int) -> Message:
        """The question with its data cut.

        Raises:
            PromptTooLong: It may not be cut, or cutting is not enough.
        """
        if truncate is None:
            raise PromptTooLong(tokens, limit, hint=self._pictures_to_blame(question, tokens, limit))
        parts = cut_to_fit(
            question.parts,
            truncate,
            lambda parts: self._tokens((), replace(question, parts=parts)),
            limit,
            can_see=self.model.can_see,
        )
        cut = replace(question, parts=parts)
        if (left := self._tokens((), cut)) > limit:
            hint = _("The data is cut as far as it can be: shorten the words, or take a longer context (--ctx).")
            raise PromptTooLong(left, limit, hint=self._pictures_to_blame(cut, left, limit) or hint)
        return cut

    def _pictures_to_blame(self, question: Message, tokens: int, limit: int) -> str:
        """What to do where the question would fit without its pictures, which are never cut; nothing where it would not."""
        words = tuple(part for part in question.parts if not isinstance(part, ImagePart))
        left = self._tokens((), replace(question, parts=words)) if self.model.can_see else tokens
        if left > limit:
            return ""
        hint = _("Its pictures take {count} of them: attach fewer or smaller ones, or take a longer context (--ctx).")
        return hint.format(count=tokens - left)


def _flat(turns: Sequence[Sequence[Message]]) -> list[Message]:
    return [message for turn in turns for message in turn]
