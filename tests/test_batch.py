"""Many questions at once."""

from collections.abc import Iterator

from hychat.domain.cancel import CancelToken
from hychat.domain.errors import EngineCrashed
from hychat.domain.generation import GenerationSettings, StopReason
from hychat.domain.message import Message
from hychat.engine.echo import EchoEngine
from hychat.session.batch import Outcome, Task, answer_all


def run(engine: EchoEngine, prompts: list[str], parallel: int = 3) -> list[Outcome]:
    tasks = [Task(prompt) for prompt in prompts]
    return list(answer_all(engine, tasks, GenerationSettings(), parallel=parallel, cancel=CancelToken()))


def test_answers_come_in_the_order_of_the_questions() -> None:
    prompts = [f"question {number}" for number in range(20)]

    assert [
        outcome.ended.text for outcome in run(EchoEngine(), prompts) if isinstance(outcome.ended, Message)
    ] == prompts


def test_an_error_stands_in_its_place_and_the_others_are_answered() -> None:
    outcomes = run(EchoEngine([["a"], [EngineCrashed("gone")], ["c"]]), ["1", "2", "3"], parallel=1)

    assert [isinstance(outcome.ended, EngineCrashed) for outcome in outcomes] == [False, True, False]


def test_no_questions_give_no_answers() -> None:
    assert run(EchoEngine(), []) == []


def test_a_cancel_starts_nothing_more() -> None:
    cancel = CancelToken()
    taken: list[int] = []

    def tasks() -> Iterator[Task]:
        for number in range(100):
            taken.append(number)
            yield Task(f"question {number}")

    for outcome in answer_all(EchoEngine(), tasks(), GenerationSettings(), parallel=2, cancel=cancel):
        assert isinstance(outcome.ended, Message)
        cancel.set()
    assert len(taken) <= 6


def test_a_cancel_ends_what_runs() -> None:
    cancel = CancelToken()
    engine = EchoEngine([["word"] * 10_000], tokens_per_second=1000)
    outcomes = answer_all(engine, [Task("go")], GenerationSettings(), parallel=1, cancel=cancel)
    cancel.set()

    assert [outcome.ended.stop for outcome in outcomes if isinstance(outcome.ended, Message)] in (
        [],
        [StopReason.CANCELLED],
    )
