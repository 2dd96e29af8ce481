"""The engine as the rest of hychat holds it: a model in a child process, asked through the process boundary."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from itertools import count
from time import perf_counter
from typing import Final

from hychat.domain.cancel import CancelToken
from hychat.domain.generation import GenerationSettings, StopReason, Usage
from hychat.engine.process import EngineOptions, EngineProcess
from hychat.engine.prompt.segments import ChatTurn, Prompt
from hychat.engine.protocol import Done, Piece, result_of
from tests.bench.programs import MODEL, model_file

LONG_ANSWER_TOKENS: Final = 256
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

    def ask(self, question: str, settings: GenerationSettings) -> Answer:
        """Read an answer to its end."""
        times: list[float] = []
        for event in self.engine.stream(self.prompt(question), settings, CancelToken()):
            match event:
                case Piece():
                    times.append(perf_counter())
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
    """The full chain, with the first seed whose answer to `LONG_QUESTION` does not end by itself."""
    limited = replace(FULL_CHAIN, max_tokens=LONG_ANSWER_TOKENS)
    with cold_starter() as starter:
        seeded = (replace(limited, seed=seed) for seed in count(1))
        return next(s for s in seeded if starter.ask(LONG_QUESTION, s).stop is StopReason.LENGTH)


def long_answer_speed(*, threads: int | None = None, max_tokens: int = LONG_ANSWER_TOKENS) -> float:
    """Tokens per second of a long answer from a cold engine."""
    settings = replace(long_answer_settings(), max_tokens=max_tokens)
    with cold_starter(threads=threads) as starter:
        return starter.ask(LONG_QUESTION, settings).tokens_per_second
