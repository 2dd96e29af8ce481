"""Answer now: a thought is closed where it is, and the answer goes on from the same KV cache."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from hychat.domain.cancel import CancelToken
from hychat.domain.event import Channel, TokenEvent, TurnEvent, TurnFailed, TurnFinished
from hychat.domain.generation import GenerationSettings, StopReason, Usage
from hychat.domain.message import Conversation
from hychat.engine.echo import EchoEngine, Step
from hychat.engine.process import EngineProcess
from hychat.engine.prompt.hunyuan import hy_v3
from hychat.engine.prompt.segments import Prompt, control
from hychat.engine.protocol import Done, EngineEvent
from hychat.session.chat import ChatSession
from tests.engines import closing, engine_for
from tests.sessions import Shelf, answer_in, asked, finished
from tests.tiny_models import write_hunyuan_dense, write_hy_v3

THINKING = GenerationSettings(think=True)


def thinking_session(*entries: Sequence[Step]) -> tuple[ChatSession, EchoEngine]:
    engine = EchoEngine(entries, can_think=True)
    return ChatSession(engine, Conversation(), settings=THINKING, store=Shelf()), engine


def hurried(session: ChatSession, *, at: str, cancel: CancelToken | None = None) -> list[TurnEvent]:
    """A turn in which the reader asks for the answer when it reads a text."""
    hurry, events = CancelToken(), []
    for event in session.turn("why?", cancel or CancelToken(), hurry=hurry):
        events.append(event)
        if isinstance(event, TokenEvent) and at in event.text:
            hurry.set()
    return events


def test_the_thought_is_closed_and_the_answer_follows_in_one_turn() -> None:
    session, engine = thinking_session(["let me", " see", " more"], ["yes"])
    events = hurried(session, at="let")

    answer = finished(events)
    assert (answer.thought, answer.text, answer.stop) == ("let me", "yes", StopReason.COMPLETE)
    assert asked(engine, 1) == asked(engine, 0) + "let me</think>"
    assert sum(isinstance(event, TurnFinished | TurnFailed) for event in events) == 1


def test_only_the_closing_of_the_thought_is_control_text() -> None:
    session, engine = thinking_session(["let me", " see"], ["yes"])
    hurried(session, at="let")

    assert [segment.is_control for segment in engine.prompts[1][-2:]] == [False, True]


def test_in_an_answer_a_hurry_does_nothing() -> None:
    session, engine = thinking_session(["hmm</think>", "one", " two"])
    events = hurried(session, at="one")

    assert finished(events).text == "one two"
    assert len(engine.prompts) == 1


def test_a_hurry_before_the_first_thought_takes_its_first_word() -> None:
    session, _engine = thinking_session(["let me", " see"], ["yes"])
    hurry = CancelToken()
    hurry.set()
    answer = finished(list(session.turn("why?", CancelToken(), hurry=hurry)))

    assert (answer.thought, answer.text) == ("let me", "yes")


def test_a_model_that_thinks_again_is_hurried_again() -> None:
    session, engine = thinking_session(["one", " more"], ["<think>two", " more"], ["yes"])
    answer = finished(hurried(session, at="one"))

    assert (answer.thought, answer.text) == ("onetwo", "yes")
    assert asked(engine).endswith("one</think><think>two</think>")


def test_a_cancel_after_a_hurry_ends_the_turn() -> None:
    session, _engine = thinking_session(["let me", " see"], ["yes", " no"])
    hurry, cancel, events = CancelToken(), CancelToken(), []
    for event in session.turn("why?", cancel, hurry=hurry):
        events.append(event)
        if isinstance(event, TokenEvent):
            (cancel if event.channel is Channel.ANSWER else hurry).set()

    assert (finished(events).text, finished(events).stop) == ("yes", StopReason.CANCELLED)


def test_figures_of_both_runs_add_up() -> None:
    session, engine = thinking_session(["let me", " see"], ["yes", " sir"])
    session.settings = replace(THINKING, max_tokens=5)
    events = hurried(session, at="let")

    assert isinstance(events[-1], TurnFinished)
    usage, receipt = events[-1].usage, events[-1].message.receipt
    assert receipt is not None
    assert receipt.usage == usage
    assert usage.generated_tokens == 3
    assert [settings.max_tokens for settings in engine.settings] == [5, 4]


def test_a_thought_can_be_hurried_when_it_is_gone_on_with() -> None:
    session, engine = thinking_session(["let me", StopReason.LENGTH], [" see", " more"], ["yes"])
    hurry = CancelToken()
    list(session.turn("why?", CancelToken()))
    hurry.set()
    answer = finished(list(session.go_on(CancelToken(), hurry=hurry)))

    assert (answer.thought, answer.text) == ("let me see", "yes")
    assert asked(engine) == asked(engine, 0) + "let me see</think>"


# With a model


class Heard:
    """An engine that takes down what each of its streams cost."""

    def __init__(self, engine: EngineProcess) -> None:
        self._engine = engine
        self.open, self.count, self.keep, self.recall = engine.open, engine.count, engine.keep, engine.recall
        self.bench, self.close, self.places = engine.bench, engine.close, engine.places
        self.adapt, self.adapters, self.watch_experts = engine.adapt, engine.adapters, engine.watch_experts
        self.costs: list[Usage] = []

    def stream(self, prompt: Prompt, settings: GenerationSettings, cancel: CancelToken) -> Iterator[EngineEvent]:
        for event in self._engine.stream(prompt, settings, cancel):
            if isinstance(event, Done):
                self.costs.append(event.usage)
            yield event


@pytest.fixture
def thinker(tmp_path: Path) -> Iterator[Heard]:
    """A small model whose prompt opens its thought; what it writes means nothing."""
    with closing(engine_for(write_hy_v3(tmp_path / "tiny.gguf"))) as engine:
        yield Heard(engine)


def costs_of_hurry(thinker: Heard, seed: int) -> list[Usage]:
    """What each stream cost of an answer that was hurried at the second word of its thought, and stopped at its first."""
    settings = GenerationSettings(think=True, temperature=0.3, top_k=0, top_p=1.0, seed=seed, max_tokens=1500)
    session = ChatSession(thinker, Conversation(), settings=settings)
    thinker.costs, told = [], 0
    hurry, cancel = CancelToken(), CancelToken()
    for event in session.turn("why? " * 20, cancel, hurry=hurry):
        if isinstance(event, TokenEvent):
            told += 1
            if event.channel is Channel.ANSWER:
                cancel.set()
            elif told > 1:
                hurry.set()
    return thinker.costs


def test_the_engine_reads_the_end_of_the_thought_only(thinker: Heard) -> None:
    thought, answer = next(costs for seed in range(20) if len(costs := costs_of_hurry(thinker, seed)) == 2)
    (end_tokens,) = thinker.count([(control(hy_v3(has_suffix=True).thought_end),)], CancelToken())

    assert thought.generated_tokens > 1
    assert answer.prompt_tokens > thought.prompt_tokens
    assert answer.prompt_tokens - answer.reused_tokens <= end_tokens + 1


def test_an_answer_that_goes_on_reads_little_of_what_was_read(tmp_path: Path) -> None:
    with closing(engine_for(write_hunyuan_dense(tmp_path / "tiny.gguf"))) as engine:
        heard = Heard(engine)
        session = ChatSession(heard, Conversation(), settings=GenerationSettings(seed=3, max_tokens=8, think=False))
        events = list(session.turn("hello " * 30, CancelToken()))
        list(session.go_on(CancelToken()))
        first, second = heard.costs

    assert answer_in(events)
    assert second.reused_tokens >= first.prompt_tokens - 1
