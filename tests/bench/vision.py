"""Pictures: the second question about one, against the first and against llama-cpp-python's own handler."""

import contextlib
import io
import os
import re
import sys
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any, Final

import numpy as np
from PIL import Image

from hychat.attach.parts import part_of_file
from hychat.domain.cancel import CancelToken
from hychat.domain.event import TurnFinished
from hychat.domain.generation import GenerationSettings
from hychat.domain.message import Conversation, TextPart
from hychat.engine.process import EngineOptions, EngineProcess
from hychat.engine.prompt.segments import ChatTurn
from hychat.engine.protocol import LoadedModel, Piece, result_of
from hychat.session.chat import ChatSession
from tests.bench.memory import children
from tests.bench.row import Row, at_most
from tests.tiny_vision import write_smolvlm

_SECOND: Final = Row(
    "vision-second", "time to the first text of a second question about a picture of 448 px, over that of the first", "s",
    at_most(0.1),
)  # fmt: skip
_HANDLER: Final = Row("vision-handler", "the same over that of MTMDChatHandler's second", "s", at_most(0.1))
_PARENT: Final = Row(
    "vision-memory-parent",
    "resident memory after 200 rounds of attach and send, over that after 20",
    "MiB",
    at_most(1.02),
)
_ENGINE: Final = Row(
    "vision-memory-engine",
    "the same of the engine's process, which remembers embeddings, 25 kB a picture here and 64 MiB at most",
    "MiB",
    at_most(1.15),
)
_ROUNDS: Final = 200
_ROUNDS_BEFORE: Final = 20
"""Until then libraries are loaded, and the allocators find their size."""
_PHOTO_SIZE: Final = 1200, 900
_RESIDENT: Final = re.compile(r"^VmRSS:\s+(\d+) kB", re.MULTILINE)
_SETTINGS: Final = GenerationSettings(temperature=0.0, top_k=1, seed=1, max_tokens=4)
_FIRST, _SECOND_WORDS = "What is this?", "And what colour is it?"
_SIDE: Final = 448


def rows(rounds: int) -> Iterator[Row]:
    """A tiny model whose encoder has many layers; with 12, each side's own overhead is most of it (ratios 0.20 and 0.31)."""
    with TemporaryDirectory() as folder:
        model, projector = write_smolvlm(Path(folder), encoder_layers=96)
        ours = [_ours(model, projector, _picture(number)) for number in range(rounds)]
        with _quiet():  # `verbose=False` does not reach mtmd
            theirs = _theirs(model, projector, [_picture(number) for number in range(rounds)])
    yield _SECOND.measured([(second, first) for first, second in ours])
    yield _HANDLER.measured([(second, other) for (_first, second), other in zip(ours, theirs, strict=True)])
    if not Path("/proc/self/status").exists():
        yield _PARENT.not_measured("needs Linux's /proc")
        return
    before, after = _resident_while_sending()
    yield _PARENT.measured([(after[0], before[0])])
    yield _ENGINE.measured([(after[1], before[1])])


def _resident_while_sending() -> tuple[tuple[float, float], tuple[float, float]]:
    """MiB of this process and of the engine's: after some rounds, and after all. Each has a chat and a photo of its own."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        model, projector = write_smolvlm(folder)
        engine = EngineProcess(EngineOptions(str(model), "tiny", projector=str(projector)))
        with contextlib.closing(engine):
            seen = [_sent(engine, folder / "photo.png", number) for number in range(1, _ROUNDS + 1)]
        return seen[_ROUNDS_BEFORE - 1], seen[-1]


def _sent(engine: EngineProcess, photo: Path, number: int) -> tuple[float, float]:
    """Attach a photo, ask, and look at the memory; the engine is the newest process of this one."""
    photo.write_bytes(_picture(number, _PHOTO_SIZE))
    session = ChatSession(engine, Conversation(), settings=_SETTINGS)
    *_before, last = session.turn([part_of_file(photo), TextPart(_FIRST)], CancelToken())
    assert isinstance(last, TurnFinished), last
    return _resident_mib(os.getpid()), _resident_mib(max(children(os.getpid())))


def _resident_mib(process: int) -> float:
    found = _RESIDENT.search(Path(f"/proc/{process}/status").read_text(encoding="ascii"))
    return int(found[1]) / 1024 if found else 0.0


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what C code says on stderr."""
    saved, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)


def _picture(seed: int, size: tuple[int, int] = (_SIDE, _SIDE)) -> bytes:
    file = io.BytesIO()
    noise = np.random.default_rng(seed).integers(0, 255, (16, 16, 3), dtype=np.uint8)
    Image.fromarray(noise).resize(size).save(file, "PNG")
    return file.getvalue()


def _ours(model: Path, projector: Path, picture: bytes) -> tuple[float, float]:
    engine = EngineProcess(EngineOptions(str(model), "tiny", projector=str(projector)))
    with contextlib.closing(engine):
        loaded = result_of(engine.open(CancelToken()))
        first, answer = _asked(engine, loaded, [ChatTurn(is_user=True, text=_FIRST, pictures=(picture,))])
        turns = [
            ChatTurn(is_user=True, text=_FIRST, pictures=(picture,)),
            ChatTurn(is_user=False, text=answer),
            ChatTurn(is_user=True, text=_SECOND_WORDS),
        ]
        return first, _asked(engine, loaded, turns)[0]


def _asked(engine: EngineProcess, loaded: LoadedModel, turns: list[ChatTurn]) -> tuple[float, str]:
    """Seconds to the first text, and the answer."""
    started, first, said = perf_counter(), 0.0, ""
    for event in engine.stream(loaded.builder.render("", turns, think=False), _SETTINGS, CancelToken()):
        if isinstance(event, Piece):
            first = first or perf_counter() - started
            said += event.text
    return first or perf_counter() - started, said


def _theirs(model: Path, projector: Path, pictures: list[bytes]) -> list[float]:
    """Seconds to the first chunk of the second question, with llama-cpp-python's own class and handler."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "llama_cpp"]:
        del sys.modules[name]  # the engine's bindings stand there without their package
    from llama_cpp import Llama
    from llama_cpp.llama_chat_format import MTMDChatHandler

    handler: Any = MTMDChatHandler(clip_model_path=str(projector), verbose=False)
    llama: Any = Llama(str(model), chat_handler=handler, n_ctx=2048, n_threads=2, verbose=False)
    seconds = []
    for picture in pictures:
        url = f"data:image/png;base64,{b64encode(picture).decode()}"
        shown = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": _FIRST}]
        messages: list[dict[str, object]] = [{"role": "user", "content": shown}]
        first = llama.create_chat_completion(messages=messages, max_tokens=4, temperature=0)
        answer = first["choices"][0]["message"]["content"]
        messages += [{"role": "assistant", "content": answer}, {"role": "user", "content": _SECOND_WORDS}]
        started = perf_counter()
        chunks = llama.create_chat_completion(messages=messages, max_tokens=4, temperature=0, stream=True)
        next(chunks)  # tells the role, before anything is read
        next(chunks, None)
        seconds.append(perf_counter() - started)
        for _chunk in chunks:
            pass
    return seconds
