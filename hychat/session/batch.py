"""Many questions, several at once, answers in the order of the questions.

Each question is a chat of its own. The engine runs as many side by side as it has slots, one batch a step, and a beginning that
they share is read once.
"""

import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from hychat.attach.parts import part_of_file
from hychat.domain.attachment import Attachment
from hychat.domain.cancel import CancelToken
from hychat.domain.choices import Style
from hychat.domain.errors import HychatError
from hychat.domain.event import PictureRead, SafetyEvent, TurnEvent, TurnFailed, TurnFinished
from hychat.domain.generation import GenerationSettings
from hychat.domain.message import Conversation, Message, TextPart
from hychat.domain.safety import SafetyVerdict
from hychat.engine.protocol import Engine
from hychat.session.chat import ChatSession
from hychat.session.seeing import Eyes

if TYPE_CHECKING:
    from hychat.safety.guard import Guard


class Outcome(NamedTuple):
    """How it went with a question."""

    ended: Message | HychatError
    """The answer, or why there is none."""
    pictures: tuple[Attachment, ...] = ()
    """Those that were put into words for a model that cannot see."""
    verdicts: tuple[SafetyVerdict, ...] = ()
    """What the filter found."""


@dataclass(frozen=True, slots=True)
class Task:
    """One question of a batch."""

    prompt: str
    system: str = ""
    style: Style | None = None
    files: tuple[Path, ...] = ()
    """What goes with it; opened when its turn comes, so that a long batch is not in memory at once."""


def answer_all(  # noqa: PLR0913 - the parts of a chat
    engine: Engine,
    tasks: Iterable[Task],
    settings: GenerationSettings,
    *,
    parallel: int,
    cancel: CancelToken,
    guard: "Guard | None" = None,
    eyes: Eyes | None = None,
) -> Iterator[Outcome]:
    """How it went with each task, in order; `cancel` ends what runs and starts nothing more."""
    shared = _SharedEyes(eyes) if eyes else None
    with ThreadPoolExecutor(parallel, thread_name_prefix="batch") as pool:
        running: deque[Future[Outcome]] = deque()
        waiting = iter(tasks)
        try:
            while True:
                while len(running) < 2 * parallel and not cancel.is_set and (task := next(waiting, None)) is not None:
                    running.append(pool.submit(_answer, engine, task, settings, cancel, guard, shared))
                if not running:
                    return
                yield running.popleft().result()
        finally:
            cancel.set()
            for future in running:
                future.cancel()


class _SharedEyes:
    """One picture at a time is looked at, by the one onlooker of all chats."""

    def __init__(self, eyes: Eyes) -> None:
        self._eyes = eyes
        self._looking = threading.Lock()

    def read(self, picture: Attachment, question: str, cancel: CancelToken) -> Generator[TurnEvent, None, Attachment]:
        """As `Eyes`."""
        with self._looking:
            return (yield from self._eyes.read(picture, question, cancel))

    def text_in(self, picture: Attachment, cancel: CancelToken) -> Generator[TurnEvent, None, str]:
        """As `Eyes`."""
        with self._looking:
            return (yield from self._eyes.text_in(picture, cancel))

    def advice(self) -> str:
        """As `Eyes`."""
        return self._eyes.advice()


def _answer(  # noqa: PLR0913 - the parts of a chat
    engine: Engine,
    task: Task,
    settings: GenerationSettings,
    cancel: CancelToken,
    guard: "Guard | None",
    eyes: Eyes | None,
) -> Outcome:
    try:
        parts = (*map(part_of_file, task.files), TextPart(task.prompt))
    except HychatError as unreadable:
        return Outcome(unreadable)
    conversation = Conversation(system=task.system)
    session = ChatSession(engine, conversation, settings=settings, style=task.style, guard=guard, eyes=eyes)
    pictures: list[Attachment] = []
    verdicts: list[SafetyVerdict] = []
    for event in session.turn(parts, cancel):
        match event:
            case PictureRead(attachment):
                pictures.append(attachment)
            case SafetyEvent(verdict):
                verdicts.append(verdict)
            case TurnFinished(message):
                return Outcome(message, tuple(pictures), tuple(verdicts))
            case TurnFailed(error):
                return Outcome(error, tuple(pictures), tuple(verdicts))
            case _:
                pass
    raise AssertionError(task.prompt)
