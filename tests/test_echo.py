"""The scripted engine plays what a model can do, at the pace of who watches."""

import threading

import pytest

from hychat.domain.cancel import CancelToken
from hychat.domain.errors import EngineCrashed, HychatError, Interrupted, ModelDamaged
from hychat.domain.event import LoadProgress, PrefillProgress
from hychat.domain.generation import GenerationSettings, StopReason
from hychat.engine.echo import EchoEngine, Step
from hychat.engine.prompt.segments import plain
from hychat.engine.protocol import Done, EngineEvent, Piece, result_of

PROMPT = (plain("why is it so"),)


def played(*steps: Step, cancel: CancelToken | None = None) -> list[EngineEvent]:
    return list(EchoEngine([steps]).stream(PROMPT, GenerationSettings(), cancel or CancelToken()))


def said(events: list[EngineEvent]) -> list[str]:
    return [event.text for event in events if isinstance(event, Piece)]


def stop(events: list[EngineEvent]) -> StopReason:
    assert isinstance(events[-1], Done)
    return events[-1].stop


def test_a_pause_lasts_until_it_is_ended() -> None:
    pause = threading.Event()
    events = EchoEngine([["one", pause, "two"]]).stream(PROMPT, GenerationSettings(), CancelToken())
    heard = [next(events), next(events)]
    assert said(heard) == ["one"]
    pause.set()

    assert said(list(events)) == ["two"]


def test_a_cancel_ends_a_pause() -> None:
    cancel = CancelToken()
    events = EchoEngine([["one", threading.Event(), "two"]]).stream(PROMPT, GenerationSettings(), cancel)
    heard = [next(events), next(events)]
    cancel.set()

    assert stop(heard + list(events)) is StopReason.CANCELLED


def test_an_answer_ends_as_the_script_says() -> None:
    assert stop(played("one", StopReason.LOOP, "two")) is StopReason.LOOP


def test_a_prompt_is_read_in_the_steps_of_the_script() -> None:
    steps = [PrefillProgress(1, 4), PrefillProgress(4, 4)]

    assert played(*steps, "one")[:2] == steps


def test_a_prompt_is_read_at_once_where_the_script_says_nothing() -> None:
    assert played("one")[0] == PrefillProgress(4, 4)


def test_an_engine_dies_where_the_script_says_so() -> None:
    with pytest.raises(EngineCrashed):
        played("one", EngineCrashed("gone"))


def test_a_function_may_find_what_is_said() -> None:
    engine = EchoEngine(lambda prompt: [prompt[-1].text.upper()])

    assert said(list(engine.stream(PROMPT, GenerationSettings(), CancelToken()))) == ["WHY IS IT SO"]


def test_a_model_loads_in_the_steps_of_the_script_and_once() -> None:
    engine = EchoEngine(load=[0.5, 1.0])

    assert list(engine.open(CancelToken())) == [LoadProgress(0.5), LoadProgress(1.0)]
    assert not list(engine.open(CancelToken()))


def test_a_load_that_fails_can_be_begun_again() -> None:
    engine = EchoEngine(load=[ModelDamaged("broken"), 1.0])
    with pytest.raises(HychatError):
        list(engine.open(CancelToken()))

    assert result_of(engine.open(CancelToken())).name == "echo"


def test_a_load_that_waits_can_be_cancelled() -> None:
    cancel = CancelToken()
    cancel.set()
    with pytest.raises(Interrupted):
        list(EchoEngine(load=[threading.Event()]).open(cancel))
