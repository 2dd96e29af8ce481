"""The engine as the rest of hychat holds it: a model in a child process, asked through the process boundary."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from itertools import count
from math import inf
from time import perf_counter
from typing import Final

from hychat.domain.cancel import CancelToken
from hychat.domain.generation import GenerationSettings, StopReason, Usage
from hychat.engine.process import EngineOptions, EngineProcess
from hychat.engine.prompt.segments import ChatTurn, Prompt
from hychat.engine.protocol import Done, Piece, result_of
from tests.bench.programs import MODEL, model_file

LONG_ANSWER_TOKENS: Final = 256
_CHARACTERS_PER_TOKEN: Final = 4.3
"""Of the starter's English."""
LONG_QUESTION: Final = (
    "Write a long story about a lighthouse keeper, his daughter and a storm that lasts for nine days."
)
LONG_QUESTION_TOKENS: Final = 50
"""Of the whole prompt that asks it, as the starter model counts."""
FULL_CHAIN: Final = GenerationSettings(temperature=0.7, top_k=20, top_p=0.8, min_p=0.0, repeat_penalty=1.05, seed=0)


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, as the reader of the stream saw it."""

    first_piece: float
    """When it came (`time.perf_counter`)."""
    last_piece: float
    stop: StopReason
    usage: Usage

    @property
    def tokens_per_second(self) -> float:
        """From the first piece to the last."""
        return (self.usage.generated_tokens - 1) / (self.last_piece - self.first_piece)


class Starter:
    """The starter model, loaded."""

    def __init__(self, engine: EngineProcess) -> None:
        self.engine = engine
        self.model = result_of(engine.open(CancelToken()))

    def prompt(self, question: str) -> Prompt:
        """One question, laid out for the model."""
        return self.model.builder.render("", [ChatTurn(is_user=True, text=question)], think=False)

    def ask(self, question: str, settings: GenerationSettings, *, enough_characters: float = inf) -> Answer:
        """Read an answer to its end, or stop it when there is enough of it."""
        times: list[float] = []
        characters = 0
        cancel = CancelToken()
        for event in self.engine.stream(self.prompt(question), settings, cancel):
            match event:
                case Piece(text=text):
                    times.append(perf_counter())
                    characters += len(text)
                    if characters >= enough_characters:
                        cancel.set()
                case Done(stop, usage):
                    return Answer(times[0], times[-1], stop, usage)
                case _:
                    pass
        raise AssertionError("a stream ends with Done")


@contextmanager
def cold_starter(*, threads: int | None = None, slots: int = 1) -> Iterator[Starter]:
    """A new child with the model loaded and nothing in its cache."""
    engine = EngineProcess(EngineOptions(model_file(), MODEL, threads=threads, slots=slots))
    try:
        yield Starter(engine)
    finally:
        engine.close()


@cache
def long_answer_settings() -> GenerationSettings:
    """The full chain, no limit, with the first seed whose answer to `LONG_QUESTION` is long."""
    with cold_starter() as starter:
        seeded = (replace(FULL_CHAIN, seed=seed) for seed in count(1))
        return next(settings for settings in seeded if _is_long(starter, settings))


def _is_long(starter: Starter, settings: GenerationSettings) -> bool:
    limited = replace(settings, max_tokens=LONG_ANSWER_TOKENS + LONG_ANSWER_TOKENS // 4)
    return starter.ask(LONG_QUESTION, limited).stop is StopReason.LENGTH


def long_answer_speed(*, threads: int | None = None, tokens: int = LONG_ANSWER_TOKENS) -> float:
    """Tokens per second of the first part of a long answer from a cold engine, asked as a user asks it: without a limit."""
    settings = long_answer_settings()
    with cold_starter(threads=threads) as starter:
        answer = starter.ask(LONG_QUESTION, settings, enough_characters=tokens * _CHARACTERS_PER_TOKEN)
        return answer.tokens_per_second
