"""The second turn of a chat: what is read again, and how soon the answer begins."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Final

from hychat.domain.cancel import CancelToken
from hychat.domain.event import TokenEvent, TurnFailed, TurnFinished
from hychat.domain.generation import StopReason, Usage
from hychat.domain.message import Conversation, Message
from hychat.engine.prompt.segments import plain
from hychat.session.chat import ChatSession
from hychat.session.compose import turns_of
from tests.bench.engines import FULL_CHAIN, Starter, cold_starter
from tests.bench.programs import MODEL, fresh_home, hychat_json
from tests.bench.row import Row, at_most

_FIRST: Final = "Here is the log of a lighthouse. Say what you think of it.\n" + "\n".join(
    f"Day {day}: wind from the north, {day * 3 % 17} ships passed, the lamp burned {day % 5 + 7} hours."
    for day in range(1, 39)
)
_FIRST_ANSWER_TOKENS: Final = 64
_SECOND: Final = "Which day had the most ships?"
_SECOND_ANSWER_TOKENS: Final = 8


@dataclass(frozen=True, slots=True)
class _Turn:
    first_text_seconds: float
    """From the question to the first text, as the reader of the events sees it."""
    usage: Usage
    answer: Message


@dataclass(frozen=True, slots=True)
class _SecondTurn:
    warm: _Turn
    cold: _Turn
    """The same question after the same history, asked of a new process."""
    message_tokens: int
    template_tokens: int
    """What the chat's layout puts between the last answer and the next."""
    unread_tokens: int
    """Of the first answer: its last token was drawn but not fed, where a limit ended it."""

    @property
    def new_tokens(self) -> int:
        """What there is to read."""
        return self.message_tokens + self.template_tokens + self.unread_tokens

    @property
    def tokens_read(self) -> int:
        """What was read."""
        return self.warm.usage.prompt_tokens - self.warm.usage.reused_tokens


def rows(rounds: int) -> Iterator[Row]:
    """Within one process, then from one process to the next."""
    turns = [_second_turn() for _ in range(rounds)]
    last = turns[-1]
    prompt_tokens = last.warm.usage.prompt_tokens
    compared = (
        f"tokens read of {prompt_tokens} in a second turn, over the new ones: message {last.message_tokens}, "
        f"template {last.template_tokens}, end of the first answer {last.unread_tokens}"
    )
    read = Row("second-turn-tokens", compared, "tok", at_most(1))
    yield read.measured([(turn.tokens_read, turn.new_tokens) for turn in turns])
    compared = (
        "time to the first text of a second turn over that of a new process, both loaded; history of "
        f"{prompt_tokens - last.new_tokens} tokens"
    )
    start = Row("second-turn-start", compared, "s", at_most(0.15))
    yield start.measured([(turn.warm.first_text_seconds, turn.cold.first_text_seconds) for turn in turns])
    yield _continued()


def _second_turn() -> _SecondTurn:
    with cold_starter() as starter:
        before, first = _ask(starter, Conversation(model=MODEL), _FIRST, _FIRST_ANSWER_TOKENS)
        after, warm = _ask(starter, before, _SECOND, _SECOND_ANSWER_TOKENS)
        message_tokens, new_tokens = _new_tokens(starter, after, first.answer)
    with cold_starter() as starter:
        _, cold = _ask(starter, before, _SECOND, _SECOND_ANSWER_TOKENS)
    unread = int(first.answer.stop is StopReason.LENGTH)
    return _SecondTurn(warm, cold, message_tokens, new_tokens - message_tokens, unread)


def _ask(starter: Starter, conversation: Conversation, question: str, max_tokens: int) -> tuple[Conversation, _Turn]:
    """One turn of chat, and the conversation after it."""
    session = ChatSession(starter.engine, conversation, settings=replace(FULL_CHAIN, max_tokens=max_tokens))
    started = perf_counter()
    first_text = 0.0
    for event in session.turn(question, CancelToken()):
        match event:
            case TokenEvent():
                first_text = first_text or perf_counter()
            case TurnFinished(answer, usage):
                return session.conversation, _Turn(first_text - started, usage, answer)
            case TurnFailed(error):
                raise error
            case _:
                pass
    raise AssertionError("a turn ends with TurnFinished or TurnFailed")


def _new_tokens(starter: Starter, conversation: Conversation, first_answer: Message) -> tuple[int, int]:
    """Tokens of the second question alone, and of everything that the prompt has after the first answer."""
    *asked, _answer = conversation.branch()
    prompt = starter.model.builder.render("", turns_of(asked, asked[-1].style), think=False)
    end = next(place for place, segment in enumerate(prompt) if segment.text == first_answer.text) + 1
    counts = starter.engine.count([(plain(asked[-1].text),), prompt[end:]], CancelToken())
    return counts[0], counts[1]


def _continued() -> Row:
    """The command line: every turn is a process of its own."""
    with fresh_home() as environment:
        options = ["-m", MODEL, "--seed", "1", "--max-tokens"]
        first = hychat_json([*options, str(_FIRST_ANSWER_TOKENS), _FIRST], environment)
        second = hychat_json(["-c", *options, str(_SECOND_ANSWER_TOKENS), _SECOND], environment)
    usage = second["usage"]
    compared = (
        f"time to the first token of `hychat -c` over that of the turn before; {usage['reused_tokens']} of "
        f"{usage['prompt_tokens']} tokens reused"
    )
    pair = second["timings"]["first_token_seconds"], first["timings"]["first_token_seconds"]
    return Row("continued-start", compared, "s").measured([pair])
