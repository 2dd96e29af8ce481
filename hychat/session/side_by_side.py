"""Several answers at once: a thread for each, and one reader for all."""

from collections.abc import Generator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import TypeVar

from hychat.domain.cancel import CancelToken
from hychat.domain.errors import HychatError
from hychat.domain.event import TurnEvent
from hychat.engine.protocol import Done

Key = TypeVar("Key")
Writer = Generator[TurnEvent, None, Done]


def merged(
    writers: Mapping[Key, Writer], cancel: CancelToken
) -> Generator[tuple[Key, TurnEvent | Done | HychatError], None, None]:
    """What the writers tell, as it comes, and how each ended. When nobody reads on, `cancel` ends them all."""
    told: SimpleQueue[tuple[Key, TurnEvent | None]] = SimpleQueue()

    def read(key: Key, writer: Writer) -> Done:
        try:
            while True:
                told.put((key, next(writer)))
        except StopIteration as end:
            done: Done = end.value
            return done
        finally:
            told.put((key, None))

    with ThreadPoolExecutor(len(writers), thread_name_prefix="compare") as pool:
        running = {key: pool.submit(read, key, writer) for key, writer in writers.items()}
        try:
            while running:
                key, event = told.get()
                yield key, _outcome(running.pop(key)) if event is None else event
        finally:
            if running:
                cancel.set()


def _outcome(ended: Future[Done]) -> Done | HychatError:
    try:
        return ended.result()
    except HychatError as error:
        return error
