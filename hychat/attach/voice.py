"""Speech on this machine: written down by faster-whisper, and taken up from a microphone."""

import os
import re
import threading
from collections.abc import Generator, Iterator
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hychat.domain.attachment import Listening, WritingDown
from hychat.domain.cancel import CancelToken
from hychat.domain.errors import InputUnreadable, Interrupted, ModelNotFound, ModelUnusable, SpeechModelMissing
from hychat.messages import _

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

DEFAULT_MODEL: Final = "small"
"""Multilingual: `Systran/faster-whisper-small` on the hub, about 0.5 GB."""
MODEL_FILES: Final = ("config.json", "model.bin", "tokenizer.json")
"""Without the last, faster-whisper would fetch one."""
_CONTAINERS: Final = {
    "wav": re.compile(rb"RIFF....WAVE", re.DOTALL),
    "flac": re.compile(rb"fLaC"),
    "ogg": re.compile(rb"OggS"),
    "mp4": re.compile(rb"....ftyp", re.DOTALL),
    "mp3": re.compile(rb"ID3|\xFF[\xE2-\xE7\xF2-\xF7\xFA-\xFF]"),
}
"""FFmpeg's names, and how such files begin."""
_RATE_HZ: Final = 16_000
"""Whisper's own."""
_LONGEST_SECONDS: Final = 3600
"""An hour is 0.2 GB of samples, and more while Whisper makes its features of them."""
_HEARD_AT_ONCE: Final = _RATE_HZ // 10
_MOST_THREADS: Final = 4

_writing = threading.Lock()


def is_installed() -> bool:
    """Whether the package of the extra `voice` is there; it is not imported."""
    return find_spec("faster_whisper") is not None


def transcript(data: bytes, name: str, model: str | None = None, cancel: CancelToken | None = None) -> str:
    """What `writing_down` ends with. Raises as that does."""
    steps = writing_down(data, name, model, cancel or CancelToken())
    while True:
        try:
            next(steps)
        except StopIteration as end:
            text: str = end.value
            return text


def writing_down(data: bytes, name: str, model: str | None, cancel: CancelToken) -> Generator[WritingDown, None, str]:
    """Tell how it gets on, and end with what is said in a WAV, MP3, OGG, FLAC or M4A; empty where nobody speaks.

    The model is a folder, a size that faster-whisper knows, or `owner/name` on the hub. It is looked for in the hub's
    cache, and the last one is kept.

    Raises:
        InputUnreadable: It is no sound that can be decoded, or too much, or the package is missing.
        ModelNotFound: There is no such model.
        SpeechModelMissing: It is not on this machine.
        ModelUnusable: It is there, but cannot be loaded.
        Interrupted: `cancel` was set; it is looked at after each sentence or so.
    """
    _check_installed(name)
    beginning = WritingDown(name, 0.0, 1.0)
    yield beginning
    samples = _samples(data, name)
    folder = _folder(model or DEFAULT_MODEL)
    yield beginning  # what takes half a second is told, if it is told again
    with _writing:
        return (yield from _written(samples, name, _model(folder), cancel)).strip()


def speaking(
    seconds: float, name: str, model: str | None, ends: CancelToken, cancel: CancelToken
) -> Generator[Listening | WritingDown, None, str]:
    """Take up speech for so long or until `ends` is set; tell and end as `writing_down`.

    The model is looked for first: nobody should speak in vain. Raises as `heard` and `writing_down`.
    """
    _check_installed(name)
    _folder(model or DEFAULT_MODEL)
    pieces: list[bytes] = []
    for piece in heard(seconds, ends):
        if not pieces:
            yield Listening()
        pieces.append(piece)
    return (yield from writing_down(_wav(b"".join(pieces)), name, model, cancel))


def _check_installed(name: str) -> None:
    if not is_installed():
        raise InputUnreadable(
            _("{name}: speech is written down by a package that is not installed.").format(name=name),
            hint="pipx inject hychat faster-whisper",
        )


def heard(seconds: float, ends: CancelToken) -> Iterator[bytes]:
    """The microphone's sound, for so long or until `ends` is set: samples of 16 bits, 16 kHz, in mono, as they come.

    Raises:
        InputUnreadable: The package is missing, or its library, or there is no microphone.
    """
    try:
        import sounddevice
    except ImportError as error:
        raise InputUnreadable(
            _("The microphone is used by a package that is not installed."), hint="pipx inject hychat sounddevice"
        ) from error
    except OSError as error:
        raise InputUnreadable(
            _("The microphone cannot be used: the library PortAudio is missing."),
            hint=_("Install it: sudo apt install libportaudio2, or brew install portaudio."),
        ) from error
    left = round(seconds * _RATE_HZ)
    try:
        with sounddevice.RawInputStream(samplerate=_RATE_HZ, channels=1, dtype="int16") as microphone:
            while left > 0 and not ends.is_set:
                samples, _has_gap = microphone.read(min(left, _HEARD_AT_ONCE))
                yield bytes(samples)
                left -= _HEARD_AT_ONCE
    except sounddevice.PortAudioError as error:
        raise InputUnreadable(
            _("No microphone was found, or it does not record: {reason}.").format(reason=error),
            hint=_("Record it with another program, and attach the file."),
        ) from error


def _wav(samples: bytes) -> bytes:
    import wave
    from io import BytesIO

    buffer = BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setparams((1, 2, _RATE_HZ, 0, "NONE", ""))
        file.writeframes(samples)
    return buffer.getvalue()


def _written(
    samples: "NDArray[float32]", name: str, model: Any, cancel: CancelToken
) -> Generator[WritingDown, None, str]:
    """Only where somebody speaks: of silence Whisper makes words."""
    import numpy as np
    from faster_whisper.vad import collect_chunks, get_speech_timestamps

    yield WritingDown(name, 0.0, 1.0)
    if not (spoken := get_speech_timestamps(samples)):
        return ""
    pieces, _places = collect_chunks(samples, spoken)
    speech = np.concatenate(pieces)
    segments, _info = model.transcribe(speech)
    text = ""
    for segment in segments:
        if cancel.is_set:
            raise Interrupted(_("Stopped."))
        text += segment.text
        yield WritingDown(name, segment.end, speech.size / _RATE_HZ)
    return text


def _samples(data: bytes, name: str) -> "NDArray[float32]":
    """At Whisper's rate, in mono.

    FFmpeg is told what it is given: left to guess it would take a playlist for sound, and open the addresses in it.
    """
    import av
    import numpy as np

    container = next((name for name, begins in _CONTAINERS.items() if begins.match(data)), None)
    if container is None:
        raise _no_sound(name)
    pieces: list[NDArray[float32]] = []
    heard = 0
    try:
        for piece in _decoded(data, container):
            pieces.append(piece)
            heard += piece.size
            if heard > _LONGEST_SECONDS * _RATE_HZ:
                raise InputUnreadable(
                    _("{name} is longer than an hour.").format(name=name), hint=_("Cut it into shorter parts.")
                )
    except (av.FFmpegError, ValueError, IndexError, MemoryError) as error:
        raise _no_sound(name) from error
    if not heard:
        raise _no_sound(name)
    return np.concatenate(pieces)


def _no_sound(name: str) -> InputUnreadable:
    return InputUnreadable(
        _("{name} is not a sound file that can be read.").format(name=name),
        hint=_("hychat reads WAV, MP3, OGG, FLAC and M4A."),
    )


def _decoded(data: bytes, container: str) -> Iterator["NDArray[float32]"]:
    """Piece by piece; a packet that is damaged is left out, as players do. Raises what FFmpeg does."""
    from io import BytesIO

    import av

    resampler = av.AudioResampler(format="flt", layout="mono", rate=_RATE_HZ)
    with av.open(BytesIO(data), format=container, metadata_errors="ignore") as file:
        for packet in file.demux(audio=0):
            try:
                frames = packet.decode()
            except av.error.InvalidDataError:
                continue
            for frame in frames:
                frame.pts = None  # gaps in time are not of interest
                yield from (piece.to_ndarray()[0] for piece in resampler.resample(frame))
        yield from (piece.to_ndarray()[0] for piece in resampler.resample(None))


@lru_cache(maxsize=1)
def _model(folder: str) -> Any:
    """Kept.

    Raises:
        ModelNotFound: The folder holds none.
        ModelUnusable: It cannot be loaded.
    """
    from faster_whisper import WhisperModel

    if missing := _missing(folder):
        raise ModelNotFound(
            _("{folder} holds no model for faster-whisper: {file} is missing.").format(folder=folder, file=missing[0])
        )
    threads = min(_MOST_THREADS, os.cpu_count() or 1)
    try:
        return WhisperModel(folder, device="cpu", compute_type="int8", cpu_threads=threads)
    except Exception as error:  # a damaged tokenizer.json raises no other
        raise ModelUnusable(
            _("The speech model in {folder} cannot be loaded: {reason}").format(folder=folder, reason=error),
            hint=_("Fetch the file again."),
        ) from error


def _missing(folder: str) -> list[str]:
    """Files of a model that are not there."""
    return [file for file in MODEL_FILES if not (Path(folder) / file).is_file()]


def _folder(model: str) -> str:
    """Where a model is. Raises as `writing_down`."""
    if Path(model).is_dir():
        return model
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    from faster_whisper.utils import _MODELS, download_model

    repository = model if "/" in model else _MODELS.get(model)
    if repository is None:
        raise ModelNotFound(
            _("There is no speech model named {name}.").format(name=model),
            hint=_("Name a folder, a repository on the hub, or one of: {names}.").format(names=", ".join(_MODELS)),
        )
    try:
        folder = str(download_model(repository, local_files_only=True))
    except FileNotFoundError as error:
        raise SpeechModelMissing(model, repository) from error
    except ValueError as error:
        raise ModelNotFound(
            _("{repository} is no name of a repository.").format(repository=repository),
            hint=_("Names have the form owner/name."),
        ) from error
    if _missing(folder):  # a download that was stopped
        raise SpeechModelMissing(model, repository)
    return folder
