"""One answer while it is written: what it says so far, and the streams of the engine that it comes from."""

import time
from collections.abc import Generator
from dataclasses import dataclass, field, replace

from hychat.domain.cancel import CancelToken
from hychat.domain.choices import Style
from hychat.domain.event import Channel, SafetyEvent, TokenEvent, TurnEvent
from hychat.domain.generation import GenerationSettings, Receipt, StopReason, Usage
from hychat.domain.message import Message, Part, Role, TextPart, ThoughtPart
from hychat.domain.safety import SafetyVerdict
from hychat.engine.prompt.segments import Prompt, control, plain
from hychat.engine.prompt.thought import ThoughtParser
from hychat.engine.protocol import Done, Engine, LoadedModel, Piece
from hychat.session.guarding import AnswerCheck


@dataclass(slots=True)
class Draft:
    """An answer while it is written."""

    message: Message
    """As it was when its writing began; one that is gone on with says something already."""
    tip: str | None = None
    """Where the conversation stands when it is kept; None: at this answer."""
    parser: ThoughtParser | None = None
    """Known once the model is."""
    thought: list[str] = field(default_factory=list)
    answer: list[str] = field(default_factory=list)
    thought_began: float | None = None
    """Seconds of the clock that only goes forward, as `thought_ended`."""
    thought_ended: float = 0.0
    is_careful: bool = False
    """Whether the model is told to take care, as the filter found something in the question."""
    check: AnswerCheck | None = None
    """What holds it back until it was judged."""

    @classmethod
    def of(cls, question: Message, style: Style | None) -> "Draft":
        """An answer of which nothing is written."""
        return cls(Message(Role.ASSISTANT, (), parent=question.id, style=style))

    def begin(self, *, starts_in_thought: bool) -> None:
        """Get ready for the model's text; that of a message which says something is in the middle of it."""
        if self.message.text:
            self.parser = ThoughtParser.resumed(Channel.ANSWER)
        elif self.message.thought:
            self.parser = ThoughtParser.resumed(Channel.THOUGHT)
        else:
            self.parser = ThoughtParser(starts_in_thought)

    @property
    def is_in_thought(self) -> bool:
        """Whether the model is thinking."""
        return self.parser is not None and self.parser.is_in_thought

    @property
    def verdict(self) -> SafetyVerdict | None:
        """Why the filter ended it, once it has."""
        return self.check.verdict if self.check else None

    @property
    def hides_text(self) -> bool:
        """Whether the model wrote more than may be seen: what was blocked, or what nobody waited to have checked."""
        return self.check is not None and (self.check.verdict is not None or self.check.is_stopped)

    @property
    def has_grown(self) -> bool:
        """Whether something was written."""
        return bool(self.thought or self.answer)

    def feed(self, text: str) -> list[TokenEvent]:
        """Take the next text of the model; what it is."""
        return self._take(self.parser.feed(text) if self.parser else [])

    def finish(self) -> list[TokenEvent]:
        """The last of it, which the parser may have held back; a second call has nothing more."""
        parser, self.parser = self.parser, None
        events = self._take(parser.finish() if parser else [])
        return events + self._keep(self.check.finish() if self.check else [])

    def _take(self, events: list[TokenEvent]) -> list[TokenEvent]:
        return self._keep(self.check.feed(events) if self.check else events)

    def _keep(self, events: list[TokenEvent]) -> list[TokenEvent]:
        for event in events:
            if event.channel is Channel.THOUGHT:
                self.thought.append(event.text)
                self.thought_ended = time.monotonic()
                self.thought_began = self.thought_began or self.thought_ended
            else:
                self.answer.append(event.text)
        return events

    @property
    def _thought_seconds(self) -> float | None:
        """How long the model thought, an earlier part of the same answer included."""
        before, began = self.message.thought_seconds, self.thought_began
        return before if began is None else (before or 0.0) + self.thought_ended - began

    def written(self, stop: StopReason, receipt: Receipt | None = None) -> Message:
        """The message, as far as it is written."""
        thought = self.message.thought + "".join(self.thought)
        answer = self.message.text + "".join(self.answer)
        parts: list[Part] = [ThoughtPart(thought, self._thought_seconds)] if thought else []
        parts += [TextPart(answer)] if answer else []
        return replace(self.message, parts=tuple(parts), stop=stop, receipt=receipt or self.message.receipt)


@dataclass(frozen=True, slots=True)
class Writing:
    """An answer that can be written now."""

    engine: Engine
    model: LoadedModel
    prompt: Prompt
    settings: GenerationSettings
    draft: Draft
    cancel: CancelToken
    hurry: CancelToken
    """Set when the answer shall come without more thought."""

    def run(self) -> Generator[TurnEvent, None, Done]:
        """Write it. Raises as the engine's `stream`; what was written before stands in the draft."""
        draft, raw = self.draft, ""
        done = Done(StopReason.CANCELLED, Usage())
        brake = CancelToken()
        with self.cancel.waking(brake.set):
            for event in self.engine.stream(self.prompt, self.settings, brake):
                match event:
                    case Piece(text):
                        raw += text
                        yield from draft.feed(text)
                        if draft.verdict or (draft.is_in_thought and self.hurry.is_set):
                            brake.set()
                    case Done():
                        done = event
                    case _:
                        yield event
        is_braked = brake.is_set and not self.cancel.is_set and done.stop is StopReason.CANCELLED
        if is_braked and draft.verdict is None:
            return (yield from self._answer_now(raw, done))
        yield from draft.finish()
        if draft.verdict is not None:
            yield SafetyEvent(draft.verdict)
            return replace(done, stop=StopReason.BLOCKED)
        is_cut = draft.check is not None and draft.check.is_stopped
        return replace(done, stop=StopReason.CANCELLED) if is_cut else done

    def _answer_now(self, raw: str, done: Done) -> Generator[TurnEvent, None, Done]:
        """Go on behind what was written, its thought closed, where the engine still has it in its KV cache."""
        end = self.model.builder.thought_end if self.draft.is_in_thought else ""
        yield from self.draft.feed(end)
        most = self.settings.max_tokens
        rest = replace(
            self,
            prompt=(*self.prompt, plain(raw), *([control(end)] if end else [])),
            settings=replace(self.settings, max_tokens=most and max(1, most - done.usage.generated_tokens)),
        )
        ended = yield from rest.run()
        return Done(ended.stop, _as_one(done.usage, ended.usage))


def _as_one(first: Usage, second: Usage) -> Usage:
    """The figures of an answer that was written in two runs: for its reader the second's reading is a pause in writing."""
    return replace(
        first,
        generated_tokens=first.generated_tokens + second.generated_tokens,
        decode_seconds=first.decode_seconds + second.first_token_seconds + second.decode_seconds,
    )
