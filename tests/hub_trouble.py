"""What can go wrong between a client and the hub, for `Hub.on`; each is about one request."""

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain

from tests.hub import Hub, Trouble
from tests.hub_files import Content
from tests.hub_http import Answer, Request, told


@dataclass(frozen=True, slots=True)
class _Cut(Trouble):
    after_bytes: int
    is_reset: bool

    def after(self, _hub: Hub, answer: Answer) -> Answer:
        return replace(answer, blocks=_paused(answer.blocks, self.after_bytes, self._hang_up))

    def _hang_up(self) -> None:
        raise ConnectionResetError if self.is_reset else ConnectionAbortedError


class _HungUp(Trouble):
    def after(self, _hub: Hub, _answer: Answer) -> Answer:
        raise ConnectionAbortedError


@dataclass(frozen=True, slots=True)
class _Status(Trouble):
    status: int
    retry_after: int | None

    def after(self, _hub: Hub, _answer: Answer) -> Answer:
        waits = {} if self.retry_after is None else {"Retry_After": str(self.retry_after)}
        return told(self.status, {"error": f"scripted {self.status}"}, **waits)


@dataclass(frozen=True, slots=True)
class Stall(Trouble):
    released: threading.Event
    after_bytes: int = 1
    reached: threading.Event = field(default_factory=threading.Event)
    """Set when the bytes before the pause are sent."""

    def after(self, hub: Hub, answer: Answer) -> Answer:
        def pause() -> None:
            self.reached.set()
            hub.hold(self.released)

        return replace(answer, blocks=_paused(answer.blocks, self.after_bytes, pause))


@dataclass(frozen=True, slots=True)
class _Lie(Trouble):
    extra: int
    is_sent: bool

    def after(self, _hub: Hub, answer: Answer) -> Answer:
        headers = dict(answer.headers)
        for name in {"Content-Length", "X-Linked-Size"} & headers.keys():
            headers[name] = str(int(headers[name]) + self.extra)
        if "Content-Range" in headers:
            span, _, total = headers["Content-Range"].rpartition("/")
            headers["Content-Range"] = f"{span}/{int(total) + self.extra}"
        padding = [bytes(self.extra)] if self.is_sent else []
        whole = chain(answer.blocks, padding)
        return replace(answer, headers=headers, blocks=_first(whole, int(headers["Content-Length"])))


@dataclass(frozen=True, slots=True)
class _Flip(Trouble):
    offset: int

    def after(self, _hub: Hub, answer: Answer) -> Answer:
        return replace(answer, blocks=_flipped(answer.blocks, self.offset - answer.start))


@dataclass(frozen=True, slots=True)
class _Changed(Trouble):
    content: bytes | Content

    def before(self, hub: Hub, request: Request) -> Request:
        hub.replace(request.path, self.content)
        return request


class _RangeIgnored(Trouble):
    def before(self, _hub: Hub, request: Request) -> Request:
        return replace(request, headers={name: value for name, value in request.headers.items() if name != "range"})


@dataclass(frozen=True, slots=True)
class _Together(Trouble):
    troubles: tuple[Trouble, ...]

    def before(self, hub: Hub, request: Request) -> Request:
        for trouble in self.troubles:
            request = trouble.before(hub, request)
        return request

    def after(self, hub: Hub, answer: Answer) -> Answer:
        for trouble in self.troubles:
            answer = trouble.after(hub, answer)
        return answer


def cut(after_bytes: int, *, is_reset: bool = False) -> Trouble:
    """Hang up after so many bytes of the body; a reset also loses what is still on its way."""
    return _Cut(after_bytes, is_reset)


def hang_up() -> Trouble:
    """Close the connection without an answer; there is no record of it."""
    return _HungUp()


def status(code: int, *, retry_after: int | None = None) -> Trouble:
    """An error instead of the answer, with `Retry-After` in seconds."""
    return _Status(code, retry_after)


def stall(released: threading.Event, *, after_bytes: int = 1) -> Stall:
    """Send part, then nothing until the event; the hub sets it when it goes down, with the connection broken by then."""
    return Stall(released, after_bytes)


def lie_about_length(extra: int, *, is_sent: bool = False) -> Trouble:
    """Say so many bytes more, or fewer, than the file has: in a GET or, for `on(..., method="HEAD")`, in a HEAD.

    The body ends where the file ends and the connection with it, or where the lie says. With `is_sent` zeros follow.
    """
    return _Lie(extra, is_sent)


def flip(offset: int) -> Trouble:
    """Spoil the byte at this offset of the file, where the answer holds it."""
    return _Flip(offset)


def changed(content: bytes | Content) -> Trouble:
    """From this request on the file has other bytes and another etag, at every URL and in every revision."""
    return _Changed(content)


def range_ignored() -> Trouble:
    """The whole file, with status 200, whatever range is asked for."""
    return _RangeIgnored()


def together(*troubles: Trouble) -> Trouble:
    """Several with one request, in this order."""
    return _Together(troubles)


def _paused(blocks: Iterable[bytes], count: int, pause: Callable[[], None]) -> Iterator[bytes]:
    """The same bytes, with a pause after the first `count`, if there are more."""
    for block in blocks:
        if 0 <= count < len(block):
            yield block[:count]
            pause()
            yield block[count:]
        else:
            yield block
        count -= len(block)


def _first(blocks: Iterable[bytes], count: int) -> Iterator[bytes]:
    for block in blocks:
        yield block[: max(count, 0)]
        count -= len(block)


def _flipped(blocks: Iterable[bytes], at: int) -> Iterator[bytes]:
    for block in blocks:
        if 0 <= at < len(block):
            yield block[:at] + bytes([block[at] ^ 0xFF]) + block[at + 1 :]
        else:
            yield block
        at -= len(block)
