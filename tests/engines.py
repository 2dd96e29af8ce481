"""Engines in processes of their own, and what the tests ask of them."""

import os
import select
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hychat.catalogue.find import locate
from hychat.domain.cancel import CancelToken
from hychat.domain.event import LoadProgress, PrefillProgress
from hychat.domain.generation import GenerationSettings
from hychat.engine.process import EngineOptions, EngineProcess
from hychat.engine.prompt.segments import Prompt
from hychat.engine.protocol import Done, EngineEvent, LoadedModel, Piece, result_of
from tests.desk import chatml

CAPITAL: Final = chatml("What is the capital of France?")
STORY: Final = chatml("Tell me a long story about a dragon and a village.")
LONG: Final = chatml("Summarise this. " + "The sea is wide and the wind is cold. " * 56)
"""More tokens than one chunk takes."""
GREEDY: Final = GenerationSettings(temperature=0.0, top_k=1, repeat_penalty=1.0, seed=1, max_tokens=40)
ENDLESS: Final = GenerationSettings(temperature=0.8, seed=1, max_tokens=2000)
PATIENCE_SECONDS: Final = 60.0


def starter_path() -> str:
    return locate("starter").path


def starter_engine(*, log_file: Path | None = None, threads: int | None = 1, slots: int = 4) -> EngineProcess:
    """Not yet open. One thread: two crawl where the machine has something else to do."""
    log = str(log_file) if log_file else None
    return EngineProcess(EngineOptions(starter_path(), "starter", threads=threads, slots=slots, log_file=log))


def engine_for(path: Path, *, log_file: Path | None = None) -> EngineProcess:
    return EngineProcess(EngineOptions(str(path), "tiny", threads=1, log_file=str(log_file) if log_file else None))


@contextmanager
def closing(engine: EngineProcess) -> Iterator[EngineProcess]:
    try:
        yield engine
    finally:
        engine.close()


def opened(engine: EngineProcess) -> LoadedModel:
    return result_of(engine.open(CancelToken()))


def pid_of(engine: EngineProcess) -> int:
    child = engine._child
    assert child is not None
    return child.pid


@dataclass(frozen=True, slots=True)
class Heard:
    """What came of a stream."""

    events: tuple[EngineEvent, ...]
    error: Exception | None = None

    @property
    def text(self) -> str:
        return "".join(event.text for event in self.events if isinstance(event, Piece))

    @property
    def done(self) -> Done:
        assert self.error is None, self.error
        last = self.events[-1]
        assert isinstance(last, Done)
        return last

    @property
    def progress(self) -> list[PrefillProgress]:
        return [event for event in self.events if isinstance(event, PrefillProgress)]


Act = Callable[[EngineEvent], None]


def hear(  # noqa: PLR0913 - each is one way to ask
    engine: EngineProcess,
    prompt: Prompt = CAPITAL,
    settings: GenerationSettings = GREEDY,
    *,
    cancel: CancelToken | None = None,
    on_event: Act = lambda _event: None,
    catch: type[Exception] | tuple[type[Exception], ...] = (),
) -> Heard:
    """Ask, and take down what is said; `on_event` is called with each event, errors of the kinds to catch are kept."""
    events: list[EngineEvent] = []
    try:
        for event in engine.stream(prompt, settings, cancel or CancelToken()):
            events.append(event)
            on_event(event)
    except catch as error:
        return Heard(tuple(events), error)
    return Heard(tuple(events))


def first(kind: type[EngineEvent], act: Callable[[], None]) -> Act:
    """Does something at the first event of a kind."""
    is_done = False

    def look(event: EngineEvent) -> None:
        nonlocal is_done
        if isinstance(event, kind) and not is_done:
            is_done = True
            act()

    return look


def load_fractions(engine: EngineProcess) -> list[float]:
    """The progress of a load."""
    return [event.fraction for event in engine.open(CancelToken()) if isinstance(event, LoadProgress)]


def ends(pid: int) -> bool:
    """Whether a process that may be anybody's ends; waits for it."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        return bool(poll.poll(PATIENCE_SECONDS * 1000))
    finally:
        os.close(handle)


def in_thread(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread
