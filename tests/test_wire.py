"""What parent and child say to each other: every frame arrives whole, and noise is never taken for one."""

import os
import struct
import threading
from collections.abc import Iterator
from typing import Any, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hychat.engine import wire
from hychat.engine.wire import BrokenWire, Sampling, Wire

FRAME_TYPES = tuple(wire._TYPES.values())

text = st.text(max_size=40)
integers = st.integers(-(2**63), 2**63)
floats = st.floats(allow_nan=False)
VALUES: dict[Any, st.SearchStrategy[Any]] = {
    int: integers,
    str: text,
    float: floats,
    str | None: st.none() | text,
    int | None: st.none() | integers,
    dict[str, int]: st.dictionaries(text, integers, max_size=3),
    dict[str, str]: st.dictionaries(text, text, max_size=3),
    list[int]: st.lists(integers, max_size=3),
    list[str]: st.lists(text, max_size=3),
    list[float]: st.lists(floats, max_size=3),
    list[list[int]]: st.lists(st.lists(integers, max_size=3), max_size=3),
    list[list[Any]]: st.lists(st.lists(text | st.booleans() | integers, max_size=3), max_size=3),
    list[list[list[Any]]]: st.lists(st.lists(st.lists(text | st.booleans(), max_size=2), max_size=2), max_size=2),
}


def values_of(kind: Any) -> st.SearchStrategy[Any]:
    """Frames of a kind, or of a part of one."""
    if kind in VALUES:
        return VALUES[kind]
    return st.builds(kind, **{n: values_of(t) for n, t in get_type_hints(kind).items()})


frames: st.SearchStrategy[wire.Frame] = st.one_of(*(values_of(kind) for kind in FRAME_TYPES))


class Ends:
    """A wire to the test itself: what `left` sends, `right` receives."""

    def __init__(self, *, stall_seconds: float | None = None) -> None:
        right_reads, left_writes = os.pipe()
        left_reads, right_writes = os.pipe()
        self.left = Wire(left_reads, left_writes, stall_seconds=stall_seconds)
        self.right = Wire(right_reads, right_writes)
        self.left_fd = left_writes

    def close(self) -> None:
        for end in (self.left, self.right):
            end.close_writing()
            end.close_reading()


@pytest.fixture
def ends() -> Iterator[Ends]:
    both = Ends()
    yield both
    both.close()


@given(frame=frames)
def test_every_frame_comes_back_as_it_was(frame: wire.Frame) -> None:
    arrived = wire.decode(wire.encode(frame)[4:])
    assert arrived == frame
    assert type(arrived) is type(frame)


def test_all_messages_have_a_request_id() -> None:
    assert {kind for kind in FRAME_TYPES if "request" not in kind._fields} == set()


@pytest.mark.parametrize("alone", ["\ud800", "a\udcffb"])
def test_a_lone_surrogate_crosses(alone: str) -> None:
    assert wire.decode(wire.encode(wire.Piece(1, alone))[4:]) == wire.Piece(1, alone)


@given(frame=frames, data=st.data())
def test_a_frame_that_is_cut_anywhere_is_no_frame(frame: wire.Frame, data: st.DataObject) -> None:
    whole = wire.encode(frame)
    received = bytes_received(whole[: data.draw(st.integers(0, len(whole) - 1))])
    assert received is None


@given(noise=st.binary(max_size=200))
def test_noise_is_never_taken_for_a_frame(noise: bytes) -> None:
    assert bytes_received(noise) is None


@given(payload=st.recursive(st.none() | text | integers, lambda part: st.lists(part, max_size=4)))
def test_json_that_is_no_frame_is_refused(payload: Any) -> None:
    with pytest.raises(BrokenWire):
        wire.decode(repr(payload).replace("'", '"').encode("utf-8", "replace"))


@pytest.mark.parametrize(
    "payload",
    [
        *(b"", b"null", b"[]", b"{}", b"\xff\xfe", b"[" * 100_000),
        *(b'["Piece"]', b'["Piece",1]', b'["Nobody",1]', b'[["Piece"],1,"x"]', b'["Piece",[],"x"]'),
        *(b'["Generate",1,[],"xy"]', b'["Generate",1,[]]'),
    ],
)
def test_a_payload_that_is_no_frame_is_refused(payload: bytes) -> None:
    with pytest.raises(BrokenWire):
        wire.decode(payload)


@pytest.mark.parametrize("length", [0, wire.FRAME_BYTES_LIMIT + 1, 2**32 - 1])
def test_an_absurd_length_is_refused_before_anything_is_read(length: int, ends: Ends) -> None:
    os.write(ends.left_fd, struct.pack("<I", length) + b"x")
    with pytest.raises(BrokenWire):
        ends.right.receive()  # would wait for ever for bytes that do not come


def test_ten_megabytes_cross_while_both_ends_work(ends: Ends) -> None:
    sent = wire.Generate(1, [["x" * 10_000_000, False]], Sampling(0.5, 1, 1.0, 0.0, 1.0, 1, None, None))
    sender = threading.Thread(target=ends.left.send, args=(sent,))
    sender.start()
    assert ends.right.receive() == sent
    sender.join()


def test_frames_of_several_threads_do_not_mix(ends: Ends) -> None:
    def send_many(request: int) -> None:
        for _turn in range(50):
            ends.left.send(wire.Piece(request, str(request) * 3_000))

    senders = [threading.Thread(target=send_many, args=(request,)) for request in range(1, 5)]
    for sender in senders:
        sender.start()
    received = [ends.right.receive() for _frame in range(200)]
    for sender in senders:
        sender.join()
    assert all(isinstance(frame, wire.Piece) and frame.text == str(frame.request) * 3_000 for frame in received)


def test_sending_to_nobody_is_told(ends: Ends) -> None:
    ends.right.close_reading()
    with pytest.raises(BrokenWire):
        ends.left.send(wire.Cancel(1))


def test_sending_after_closing_is_told(ends: Ends) -> None:
    ends.left.close_writing()
    with pytest.raises(BrokenWire):
        ends.left.send(wire.Cancel(1))


def test_sending_gives_up_on_an_end_that_takes_nothing() -> None:
    ends = Ends(stall_seconds=0.01)
    with pytest.raises(BrokenWire, match="stalled"):
        ends.left.send(wire.Piece(1, "x" * 1_000_000))
    ends.close()


def test_the_other_end_reads_an_end_of_stream_after_closing(ends: Ends) -> None:
    ends.left.close_writing()
    with pytest.raises(BrokenWire):
        ends.right.receive()


def bytes_received(data: bytes) -> wire.Frame | None:
    """What a wire makes of bytes that then end; None for a broken wire."""
    ends = Ends()
    try:
        os.write(ends.left_fd, data)
        ends.left.close_writing()
        return ends.right.receive()
    except BrokenWire:
        return None
    finally:
        ends.close()
