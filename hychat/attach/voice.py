"""Speech on this machine: written down by faster-whisper, and taken up from a microphone."""

import os
import re
import threading
from collections.abc import Iterator
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hychat.domain.cancel import CancelToken
from hychat.domain.errors import (
    DownloadError,
    HubUnreachable,
    InputUnreadable,
    Interrupted,
    ModelNotFound,
    ModelUnusable,
)
from hychat.messages import _

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

DEFAULT_MODEL: Final = "small"
"""Multilingual: `Systran/faster-whisper-small` on the hub, about 0.5 GB."""
_MODEL_FILES: Final = ("config.json", "model.bin", "tokenizer.json")
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
_TRUE: Final = frozenset({"1", "ON", "YES", "TRUE"})

_writing = threading.Lock()


def is_installed() -> bool:
    """Whether the package of the extra `voice` is there; it is not imported."""
    return find_spec("faster_whisper") is not None


def transcript(data: bytes, name: str, model: str | None = None, cancel: CancelToken | None = None) -> str:
    """What is said in a WAV, MP3, OGG, FLAC or M4A; empty where nobody speaks.

    The model is a folder, a size that faster-whisper knows, or `owner/name` on the hub. It is looked for in the hub's
    cache, fetched where it is not there, and the last one is kept.

    Raises:
        InputUnreadable: It is no sound that can be decoded, or too much, or the package is missing.
        ModelNotFound: There is no such model, or it is not on this machine and hychat is offline.
        DownloadError: It could not be fetched.
        ModelUnusable: It is there, but cannot be loaded.
        Interrupted: `cancel` was set; it is looked at after each sentence or so.
    """
    if not is_installed():
        raise InputUnreadable(
            _("{name}: speech is written down by a package that is not installed.").format(name=name),
            hint="pipx inject hychat faster-whisper",
        )
    samples = _samples(data, name)
    with _writing:
        return "".join(_segments(samples, _model(_folder(model or DEFAULT_MODEL)), cancel or CancelToken())).strip()


def record(seconds: float, cancel: CancelToken) -> bytes:
    """From the microphone, for so long or until `cancel` is set: a WAV of 16 kHz, in mono.

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
    heard: list[bytes] = []
    left = round(seconds * _RATE_HZ)
    try:
        with sounddevice.RawInputStream(samplerate=_RATE_HZ, channels=1, dtype="int16") as microphone:
            while left > 0 and not cancel.is_set:
                samples, _has_gap = microphone.read(min(left, _HEARD_AT_ONCE))
                heard.append(bytes(samples))
                left -= _HEARD_AT_ONCE
    except sounddevice.PortAudioError as error:
        raise InputUnreadable(
            _("No microphone was found, or it does not record: {reason}.").format(reason=error),
            hint=_("Record it with another program, and attach the file."),
        ) from error
    return _wav(b"".join(heard))


def _wav(samples: bytes) -> bytes:
    import wave
    from io import BytesIO

    buffer = BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setparams((1, 2, _RATE_HZ, 0, "NONE", ""))
        file.writeframes(samples)
    return buffer.getvalue()


def _segments(samples: "NDArray[float32]", model: Any, cancel: CancelToken) -> Iterator[str]:
    """Where somebody speaks: of silence Whisper makes words."""
    import numpy as np
    from faster_whisper.vad import collect_chunks, get_speech_timestamps

    if not (spoken := get_speech_timestamps(samples)):
        return
    pieces, _places = collect_chunks(samples, spoken)
    segments, _info = model.transcribe(np.concatenate(pieces))
    for segment in segments:
        if cancel.is_set:
            raise Interrupted(_("Stopped."))
        yield segment.text


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

    missing = [file for file in _MODEL_FILES if not (Path(folder) / file).is_file()]
    if missing:
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


def _folder(model: str) -> str:
    """Where a model is, after fetching it where that is needed. Raises as `transcript`."""
    if Path(model).is_dir():
        return model
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    from faster_whisper.utils import available_models, download_model

    try:
        return str(download_model(model, local_files_only=True))
    except ValueError as error:
        raise ModelNotFound(
            _("There is no speech model named {name}.").format(name=model),
            hint=_("Name a folder, a repository on the hub, or one of: {names}.").format(
                names=", ".join(available_models())
            ),
        ) from error
    except FileNotFoundError as error:
        if os.environ.get("HF_HUB_OFFLINE", "").upper() in _TRUE:
            raise ModelNotFound(
                _("The speech model {name} is not on this machine.").format(name=model),
                hint=_("hychat is offline (--offline or HF_HUB_OFFLINE), so nothing can be fetched."),
            ) from error
    return _fetched(model)


def _fetched(model: str) -> str:
    """By faster-whisper, through the hub's own client, which knows the mirror and the cache folder."""
    import httpx2
    from faster_whisper.utils import download_model

    try:
        return str(download_model(model))
    except (OSError, httpx2.HTTPError) as error:  # FileNotFoundError is what the client says where nobody answers
        kind = HubUnreachable if isinstance(error, FileNotFoundError) else DownloadError
        reason = str(error.__cause__ or error).strip().partition("\n")[0]
        raise kind(
            _("The speech model {name} could not be fetched: {reason}").format(name=model, reason=reason),
            hint=_("Check the network, HF_ENDPOINT and HF_TOKEN, or name a folder that has a model."),
        ) from error
