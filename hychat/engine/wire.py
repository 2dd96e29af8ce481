"""What the parent and the engine's child process say to each other, and how it crosses the pipe.

A frame is a 4-byte little-endian length and a JSON array: the message's name, then its fields in order. Both ends are the
same build, so there is no version. Requests carry an id; several may be open at once. Frames are named tuples: both
processes make these classes at every start, and a frozen dataclass takes 0.4 ms to make.
"""

import json
import os
import struct
import threading
from enum import StrEnum
from typing import Any, BinaryIO, Final, NamedTuple

_LENGTH: Final = struct.Struct("<I")
FRAME_BYTES_LIMIT: Final = 256 << 20
"""A length beyond this is noise from a dying child, not a frame."""


class Failure(StrEnum):
    """Why the child could not do what it was asked."""

    UNAVAILABLE = "unavailable"  # llama.cpp's library cannot be loaded
    RPC = "rpc"  # this build reaches no workers
    DEVICE = "device"  # devices took nothing of what was meant for them
    MODEL = "model"  # the model file cannot be loaded
    ADAPTER = "adapter"  # a LoRA adapter cannot be used; detail: its path and why
    PROJECTOR = "projector"  # the projector cannot, or is another model's
    PICTURE = "picture"  # a picture cannot be read
    MEMORY = "memory"  # not enough memory for the model or its context
    TOO_LONG = "too_long"  # figures: prompt tokens, context tokens
    GRAMMAR = "grammar"
    DECODE = "decode"  # llama_decode gave up
    STATE = "state"  # a KV state file cannot be read or written


BLIND: Final = "it does not read pictures"
"""The detail of `Failure.PROJECTOR` where the reason is ours and not llama.cpp's."""


class Sampling(NamedTuple):
    """A sampler chain, every choice made."""

    temperature: float
    top_k: int
    top_p: float
    min_p: float
    repeat_penalty: float
    seed: int
    max_tokens: int | None
    grammar: str | None
    """GBNF, already checked."""


# From the parent


class Describe(NamedTuple):
    """Tell about this build of llama.cpp, or, once a model is loaded, what it takes; the reply is `Described`."""

    request: int


class Reach(NamedTuple):
    """Tell about the devices of a worker; the reply is `Reached`, or `Failed` in a build without RPC. Asked before `Load`."""

    request: int
    endpoint: str
    """`host:port`."""


class Load(NamedTuple):
    """Load a model; the reply is any number of `LoadProgress`, then `Loaded` or `Failed`."""

    request: int
    path: str
    log_file: str | None
    context_tokens: int
    """The most tokens the context may grow to."""
    threads: int | None
    slots: int
    """Most requests that run at once."""
    overrides: dict[str, int]
    """GGUF metadata to replace, by key."""
    gpu_layers: int
    devices: list[str]
    """Those that take layers, by name."""
    shares: list[float]
    """Of the layers on devices, in any unit."""
    cpu_expert_layers: int
    """The experts of so many layers, from the first, stay on the machine."""
    kv_type: int
    """The KV cache's, as ggml numbers types."""
    projector: str | None = None
    """The file that lets the model see."""


class Count(NamedTuple):
    """Count the tokens of prompts; the reply is `Counted`."""

    request: int
    prompts: list[list[list[Any]]]
    """Prompts of segments, each `[text, is_control]`, or `[file, None]` for a picture: a PNG or JPEG in base64."""


class Generate(NamedTuple):
    """Answer a prompt; the reply is `Prefill` and `Piece` messages, then `Done` or `Failed`."""

    request: int
    prompt: list[list[Any]]
    sampling: Sampling


class Cancel(NamedTuple):
    """Stop a request; it answers with `Done` and what it has."""

    request: int


class Adapt(NamedTuple):
    """Put LoRA adapters over the model, in the place of those there; the reply is `Adapted` or `Failed`."""

    request: int
    adapters: list[list[Any]]
    """Each `[path, scale]`."""


class Watch(NamedTuple):
    """Count from now on which experts are chosen; the reply is `Routed` with the counts so far, or `Failed`."""

    request: int
    experts: int
    """Of a layer."""


class SaveState(NamedTuple):
    """Write the KV cache that a finished request left to a file; the reply is `StateReady`."""

    request: int
    of_request: int
    path: str


class LoadState(NamedTuple):
    """Read a KV cache from a file; the reply is `StateReady`."""

    request: int
    path: str


class Bench(NamedTuple):
    """Measure prompt and generation speed; the reply is `Prefill` messages, then `Benched`."""

    request: int
    prompt_tokens: int
    generated_tokens: int
    repetitions: int


# From the child


class Hello(NamedTuple):
    """llama.cpp is loaded; the first frame of every child, unless it is `Failed`."""

    devices: list[list[Any]]
    """Each `[name, description, kind, free bytes, total bytes]`."""
    request: int = 0


class Described(NamedTuple):
    """What this build of llama.cpp is, or what a model takes."""

    request: int
    facts: dict[str, str]
    """`version` and `commit` of ggml, `backends` (names, comma-separated), `system` (llama.cpp's own line of features).

    With a model: `buffers`, a JSON object of bytes by memory and use.
    """


class Reached(NamedTuple):
    """The devices of a worker, as in `Hello`."""

    request: int
    devices: list[list[Any]]


class LoadProgress(NamedTuple):
    """The share of the model that is loaded, 0 to 1."""

    request: int
    fraction: float


class Loaded(NamedTuple):
    """The model is ready."""

    request: int
    metadata: dict[str, str]


class Adapted(NamedTuple):
    """The adapters are in use."""

    request: int


class Routed(NamedTuple):
    """Which experts were chosen since they are watched: each layer's number, then the count of each expert."""

    request: int
    layers: list[list[int]]


class Counted(NamedTuple):
    """Tokens of each prompt."""

    request: int
    tokens: list[int]


class Prefill(NamedTuple):
    """Prompt tokens read so far, the reused ones included; for `Bench` a sign of life."""

    request: int
    done: int
    total: int


class Piece(NamedTuple):
    """The next text of an answer."""

    request: int
    text: str


class Done(NamedTuple):
    """The end of an answer: `StopReason`'s value and the figures of `Usage`, in its order."""

    request: int
    stop: str
    usage: list[float]


class StateReady(NamedTuple):
    """A KV state was written or read."""

    request: int
    tokens: int
    """Its tokens; 0 where there was none to write, or it did not fit."""


class Benched(NamedTuple):
    """Tokens per second of each repetition, first reading, then writing."""

    request: int
    prefill: list[float]
    decode: list[float]


class Failed(NamedTuple):
    """The request failed; the process goes on."""

    request: int
    failure: str
    detail: str
    figures: list[int]


Request = Describe | Reach | Load | Count | Generate | Cancel | Adapt | Watch | SaveState | LoadState | Bench
Reply = (
    Hello
    | Described
    | Reached
    | LoadProgress
    | Loaded
    | Adapted
    | Routed
    | Counted
    | Prefill
    | Piece
    | Done
    | StateReady
    | Benched
    | Failed
)
Frame = Request | Reply

_TYPES: Final = {
    kind.__name__: kind
    for kind in (
        *(Describe, Reach, Load, Count, Generate, Cancel, Adapt, Watch, SaveState, LoadState, Bench),
        *(
            Hello,
            Described,
            Reached,
            LoadProgress,
            Loaded,
            Adapted,
            Routed,
            Counted,
            Prefill,
            Piece,
            Done,
            StateReady,
            Benched,
            Failed,
        ),
    )
}


class BrokenWire(Exception):
    """The other end is gone, or what came is not a frame."""


def encode(frame: Frame) -> bytes:
    """The frame's bytes, length first."""
    payload = json.dumps([type(frame).__name__, *frame], separators=(",", ":")).encode("ascii")
    return _LENGTH.pack(len(payload)) + payload


def decode(payload: bytes) -> Frame:
    """The frame in a payload.

    Raises:
        BrokenWire: The payload is not a frame.
    """
    try:
        name, *values = json.loads(payload)
        if name == "Generate":
            values[2] = Sampling(*values[2])
        frame: Frame = _TYPES[name](*values)
        hash(frame.request)  # what replies are told apart by
    except (ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
        raise BrokenWire(str(error)) from error
    return frame


class Wire:
    """One end of the two pipes. `send` may be called by any thread; `receive` by one."""

    def __init__(self, read_fd: int, write_fd: int, *, stall_seconds: float | None = None) -> None:
        """With `stall_seconds`, sending gives up on an other end that takes nothing for so long."""
        self._reader: BinaryIO = open(read_fd, "rb")  # noqa: SIM115 - closed by close_reading()
        self._write_fd = write_fd
        self._stall_seconds = stall_seconds
        self._write_lock = threading.Lock()
        self._is_open = True
        os.set_blocking(write_fd, False)

    def send(self, frame: Frame) -> None:
        """Write a frame.

        Raises:
            BrokenWire: The other end is gone, or takes nothing.
        """
        data = memoryview(encode(frame))
        with self._write_lock:
            if not self._is_open:
                raise BrokenWire("closed")
            try:
                while data:
                    data = data[self._write(data) :]
            except OSError as error:
                raise BrokenWire(str(error)) from error

    def _write(self, data: memoryview) -> int:
        """Write what the pipe takes; wait for room where it takes nothing."""
        try:
            return os.write(self._write_fd, data)
        except BlockingIOError:
            import select  # rarely needed, and half a millisecond at every start

            poll = select.poll()
            poll.register(self._write_fd, select.POLLOUT)
            if not poll.poll(None if self._stall_seconds is None else self._stall_seconds * 1000):
                raise BrokenWire("stalled") from None
            return 0

    def receive(self) -> Frame:
        """Wait for the next frame.

        Raises:
            BrokenWire: The other end is gone.
        """
        length = _LENGTH.unpack(self._read(_LENGTH.size))[0]
        if not 0 < length <= FRAME_BYTES_LIMIT:
            raise BrokenWire("not a frame")
        return decode(self._read(length))

    def _read(self, length: int) -> bytes:
        try:
            data = self._reader.read(length)
        except (OSError, ValueError) as error:
            raise BrokenWire(str(error)) from error
        if len(data) < length:
            raise BrokenWire("end of stream")
        return data

    def close_writing(self) -> None:
        """Close the sending side; the other end reads an end of stream."""
        with self._write_lock:
            if self._is_open:
                self._is_open = False
                os.close(self._write_fd)

    def close_reading(self) -> None:
        """Close the receiving side; only when no thread waits in `receive`."""
        self._reader.close()
