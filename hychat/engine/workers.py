"""Workers on other machines that take layers over llama.cpp's RPC: their addresses, and whether they answer."""

from collections.abc import Iterable
from typing import Final, NamedTuple

from hychat.domain.errors import EngineError, UsageError
from hychat.messages import _, listed

PORT: Final = 50_052
"""Where a worker listens unless it is told otherwise, as llama.cpp's own does."""
_PATIENCE_SECONDS: Final = 3.0
_PORTS: Final = range(1, 65_536)


class Endpoint(NamedTuple):
    """Where a worker listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def endpoints(text: str) -> tuple[Endpoint, ...]:
    """Addresses as they are typed: `host[:port],...`.

    Raises:
        UsageError: One is no address.
    """
    return tuple(_endpoint(part.strip()) for part in text.split(",") if part.strip())


def _endpoint(text: str) -> Endpoint:
    host, colon, port = text.rpartition(":")
    if not colon:
        return Endpoint(text, PORT)
    if not host or ":" in host or not port.isascii() or not port.isdecimal() or int(port) not in _PORTS:
        raise UsageError(
            _("{text} is no address of a worker.").format(text=text),
            hint=_("Write host:port, such as 127.0.0.1:50052."),
        )
    return Endpoint(host, int(port))


def answers(endpoint: Endpoint) -> bool:
    """Whether something listens there."""
    import socket  # 2 ms at every start, and few have workers

    try:
        socket.create_connection(endpoint, timeout=_PATIENCE_SECONDS).close()
    except OSError:
        return False
    return True


def silent(workers: Iterable[Endpoint]) -> tuple[Endpoint, ...]:
    """Those that do not answer."""
    return tuple(worker for worker in workers if not answers(worker))


def not_answering(workers: Iterable[Endpoint]) -> EngineError:
    """The error for workers that are not there."""
    return EngineError(
        _("No worker answers at {places}.").format(places=listed(map(str, workers))),
        hint=_("Start one on that machine (hychat rpc-worker), or leave it out of --rpc."),
    )


def busy(worker: Endpoint) -> EngineError:
    """The error for a worker that takes the call and says nothing."""
    return EngineError(
        _("The worker at {place} says nothing; it serves one chat at a time.").format(place=worker),
        hint=_("End the other chat that uses it, or leave it out of --rpc."),
    )


def no_worker(place: Endpoint) -> EngineError:
    """The error for something that answers, and is none, or another version's."""
    return EngineError(
        _("What answers at {place} is no worker that this llama.cpp can use.").format(place=place),
        hint=_("Look at host and port; hychat rpc-worker there must be of the same llama-cpp-python as here."),
    )


def lost(workers: Iterable[Endpoint], log: str) -> EngineError:
    """The error for workers that went away while they computed."""
    hint = _("Ask again: the next question is answered without it. Once it is back, start hychat anew to use it.")
    return EngineError(
        _("The worker at {places} is gone, and the answer with it.").format(places=listed(map(str, workers))),
        hint=f"{hint}\n{log}".rstrip(),
    )
