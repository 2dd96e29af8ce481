"""Many questions, several at once, answers in the order of the questions.

Each question is a chat of its own. The engine runs as many side by side as it has slots, one batch a step, and a beginning that
they share is read once.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hychat.domain.cancel import CancelToken
from hychat.domain.choices import Style
from hychat.domain.errors import HychatError
from hychat.domain.event import TurnFailed, TurnFinished
from hychat.domain.generation import GenerationSettings
from hychat.domain.message import Conversation, Message
from hychat.engine.protocol import Engine
from hychat.session.chat import ChatSession

if TYPE_CHECKING:
    from hychat.safety.guard import Guard

Outcome = Message | HychatError


@dataclass(frozen=True, slots=True)
class Task:
    """One question of a batch."""

    prompt: str
    system: str = ""
    style: Style | None = None


def answer_all(  # noqa: PLR0913 - the parts of a chat
    engine: Engine,
    tasks: Iterable[Task],
    settings: GenerationSettings,
    *,
    parallel: int,
    cancel: CancelToken,
    guard: "Guard | None" = None,
) -> Iterator[Outcome]:
    """The answer to each task, or the error that stands for it, in order; `cancel` ends what runs and starts nothing more."""
    with ThreadPoolExecutor(parallel, thread_name_prefix="batch") as pool:
        running: deque[Future[Outcome]] = deque()
        waiting = iter(tasks)
        try:
            while True:
                while len(running) < 2 * parallel and not cancel.is_set and (task := next(waiting, None)) is not None:
                    running.append(pool.submit(_answer, engine, task, settings, cancel, guard))
                if not running:
                    return
                yield running.popleft().result()
        finally:
            cancel.set()
            for future in running:
                future.cancel()


def _answer(
    engine: Engine, task: Task, settings: GenerationSettings, cancel: CancelToken, guard: "Guard | None"
) -> Outcome:
    conversation = Conversation(system=task.system)
    session = ChatSession(engine, conversation, settings=settings, style=task.style, guard=guard)
    for event in session.turn(task.prompt, cancel):
        match event:
            case TurnFinished(message):
                return message
            case TurnFailed(error):
                return error
            case _:
                pass
    raise AssertionError(task.prompt)
