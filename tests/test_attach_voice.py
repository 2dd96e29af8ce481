"""Speech: written down by a real model, from every kind of file; damaged files; models that are not there; the microphone."""

import os
import random
import subprocess
import sys
import wave
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Self

import av
import numpy as np
import pytest

from hychat.attach import voice
from hychat.attach.voice import transcript
from hychat.domain.cancel import CancelToken
from hychat.domain.errors import (
    DownloadError,
    HubUnreachable,
    InputUnreadable,
    Interrupted,
    ModelNotFound,
    ModelUnusable,
)
from tests.bench.voice import SAID, SPEECH, tiny_model, word_error_rate
from tests.hub import Hub, nobody_listens

SOUND = SPEECH.read_bytes()
KINDS = {
    "mp3": ("mp3", "libmp3lame", 16_000),
    "ogg": ("ogg", "libopus", 48_000),
    "flac": ("flac", "flac", 44_100),
    "m4a": ("ipod", "aac", 22_050),
}


@pytest.fixture
def tiny() -> str:
    return tiny_model()


def wav(samples: "np.ndarray", rate: int = 16_000) -> bytes:
    buffer = BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes(samples.astype(np.int16).tobytes())
    return buffer.getvalue()


def encoded(kind: str) -> bytes:
    """The speech as another kind of file."""
    container, codec, rate = KINDS[kind]
    buffer = BytesIO()
    with av.open(BytesIO(SOUND)) as source, av.open(buffer, "w", format=container) as target:
        stream = target.add_stream(codec, rate=rate)
        stream.layout = "mono"
        resampler = av.AudioResampler(format=stream.codec_context.format.name, layout="mono", rate=rate)
        for frame in [*source.decode(audio=0), None]:
            for piece in resampler.resample(frame):
                target.mux(stream.encode(piece))
        target.mux(stream.encode(None))
    return buffer.getvalue()


def test_what_is_said_is_written_down(tiny: str) -> None:
    assert word_error_rate(SAID, transcript(SOUND, "speech.wav", tiny)) <= 0.2


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_file_is_heard(kind: str, tiny: str) -> None:
    assert word_error_rate(SAID, transcript(encoded(kind), f"speech.{kind}", tiny)) <= 0.3


def test_where_nobody_speaks_nothing_is_written(tiny: str) -> None:
    assert transcript(wav(np.zeros(48_000)), "silence.wav", tiny) == ""


def test_writing_stops_when_it_is_cancelled(tiny: str) -> None:
    cancel = CancelToken()
    cancel.set()

    with pytest.raises(Interrupted):
        transcript(SOUND, "speech.wav", tiny, cancel)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello",
        SOUND[:44],
        b"RIFF\0\0\0\0WAVE" + bytes(500),
        b"fLaC" + bytes(500),
        b"OggS" + bytes(500),
        b"\0\0\0\x20ftypM4A " + bytes(500),
        b"ID3\x04" + bytes(500),
        b"\xff\xfb" + bytes(500),
    ],
)
def test_what_is_no_sound_is_refused_by_name(data: bytes, tiny: str) -> None:
    with pytest.raises(InputUnreadable, match=r"note\.wav"):
        transcript(data, "note.wav", tiny)


@pytest.mark.parametrize("head", [b"", b"ID3\x04\0\0\0\0\0\0"])
def test_a_playlist_is_not_followed(head: bytes, tiny: str) -> None:
    with Hub() as hub, pytest.raises(InputUnreadable):
        transcript(head + f"#EXTM3U\n#EXTINF:1,\n{hub.endpoint}/a.ts\n#EXT-X-ENDLIST\n".encode(), "list.mp3", tiny)
    assert hub.requests == []


@pytest.mark.parametrize("kind", ["wav", *KINDS])
def test_a_damaged_file_is_refused_or_heard_in_part(kind: str) -> None:
    whole = SOUND if kind == "wav" else encoded(kind)
    chance = random.Random(kind)  # noqa: S311 - damage, no secret
    for _round in range(20):
        data = bytearray(whole[: chance.randrange(len(whole))] if chance.random() < 0.3 else whole)
        for _byte in range(chance.choice((1, 10, 200))):
            data[chance.randrange(min(len(data), chance.choice((100, 1_000_000))))] = chance.randrange(256)
        try:
            samples = voice._samples(bytes(data), "damaged")
        except InputUnreadable:
            continue
        assert samples.dtype == np.float32
        assert samples.size > 0


def test_more_than_an_hour_is_refused(monkeypatch: pytest.MonkeyPatch, tiny: str) -> None:
    monkeypatch.setattr(voice, "_LONGEST_SECONDS", 3)

    with pytest.raises(InputUnreadable, match="longer than an hour"):
        transcript(SOUND, "speech.wav", tiny)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(voice, "find_spec", lambda _name: None)

    with pytest.raises(InputUnreadable) as told:
        transcript(SOUND, "speech.wav")
    assert "pipx inject hychat faster-whisper" in told.value.hint


def test_a_folder_without_a_model_is_told_apart_from_a_damaged_one(tmp_path: Path, tiny: str) -> None:
    with pytest.raises(ModelNotFound, match=r"config\.json"):
        transcript(SOUND, "speech.wav", str(tmp_path))
    for file in ("config.json", "model.bin"):
        (tmp_path / file).symlink_to(Path(tiny) / file)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelUnusable):
        transcript(SOUND, "speech.wav", str(tmp_path))


def test_a_name_that_no_model_has_brings_the_names_that_some_have() -> None:
    with pytest.raises(ModelNotFound) as told:
        transcript(SOUND, "speech.wav", "tiniest")
    assert "small" in told.value.hint


PROGRAM = """
import sys
from hychat.attach.voice import is_installed, transcript
from hychat.domain.errors import HychatError
assert is_installed() and not {'faster_whisper', 'av', 'numpy', 'sounddevice'} & {*sys.modules}
try:
    print(transcript(sys.stdin.buffer.read(), 'speech.wav', 'tiny.en'))
except HychatError as error:
    print(type(error).__name__, error.exit_code, error.message)
"""


def written(tmp_path: Path, **environment: str) -> str:
    """By a process of its own, with a hub of its own, for the hub's client reads its variables when it is imported."""
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input=SOUND,
        capture_output=True,
        check=True,
        env={**os.environ, "HF_HOME": str(tmp_path), "NO_PROXY": "*", **environment},
    )
    assert ended.stderr == b""
    return ended.stdout.decode()


@pytest.fixture
def hub(tiny: str) -> Iterator[Hub]:
    with Hub() as made:
        made.add("Systran/faster-whisper-tiny.en", {file.name: file.read_bytes() for file in Path(tiny).iterdir()})
        yield made


def test_a_model_is_fetched_once_from_the_mirror_into_the_hubs_cache(hub: Hub, tmp_path: Path) -> None:
    assert word_error_rate(SAID, written(tmp_path, HF_ENDPOINT=hub.endpoint)) <= 0.2
    asked = len(hub.requests)
    again = written(tmp_path, HF_ENDPOINT=hub.endpoint)

    assert word_error_rate(SAID, again) <= 0.2
    assert len(hub.requests) == asked
    assert (tmp_path / "hub" / "models--Systran--faster-whisper-tiny.en").is_dir()


def test_offline_a_model_that_is_not_there_is_missing(tmp_path: Path) -> None:
    assert written(tmp_path, HF_HUB_OFFLINE="1").startswith(f"{ModelNotFound.__name__} 3 ")


def test_a_hub_that_does_not_answer_is_told(tmp_path: Path) -> None:
    with nobody_listens() as nowhere:
        assert written(tmp_path, HF_ENDPOINT=nowhere).startswith(f"{HubUnreachable.__name__} 3 ")


def test_a_hub_that_refuses_is_told(tmp_path: Path) -> None:
    with Hub() as empty:
        assert written(tmp_path, HF_ENDPOINT=empty.endpoint).startswith(f"{DownloadError.__name__} 3 ")


class Microphone:
    """What sounddevice opens, on a machine that has none: it hears a rising line, and sets a token on the way."""

    def __init__(self, cancel: CancelToken | None = None, cancelled_after: int = 0) -> None:
        self.cancel, self.left = cancel, cancelled_after

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def read(self, frames: int) -> tuple[bytes, bool]:
        self.left -= 1
        if self.cancel and self.left == 0:
            self.cancel.set()
        return np.arange(frames, dtype=np.int16).tobytes(), False


def with_microphone(monkeypatch: pytest.MonkeyPatch, microphone: Microphone) -> None:
    module = SimpleNamespace(RawInputStream=lambda **_format: microphone, PortAudioError=RuntimeError)
    monkeypatch.setitem(sys.modules, "sounddevice", module)


def test_a_recording_is_a_wav_as_long_as_it_was_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    with_microphone(monkeypatch, Microphone())

    with wave.open(BytesIO(voice.record(1.25, CancelToken()))) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth(), file.getnframes()) == (
            16_000,
            1,
            2,
            20_000,
        )


def test_a_recording_that_is_cancelled_keeps_what_was_said(monkeypatch: pytest.MonkeyPatch) -> None:
    cancel = CancelToken()
    with_microphone(monkeypatch, Microphone(cancel, cancelled_after=3))

    with wave.open(BytesIO(voice.record(60, cancel))) as file:
        assert file.getnframes() == 4_800


def test_a_machine_without_microphone_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def open_none(**_format: object) -> Microphone:
        raise RuntimeError("Error querying device -1")

    monkeypatch.setitem(
        sys.modules, "sounddevice", SimpleNamespace(RawInputStream=open_none, PortAudioError=RuntimeError)
    )

    with pytest.raises(InputUnreadable, match="No microphone"):
        voice.record(1, CancelToken())


def test_without_its_package_the_microphone_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)

    with pytest.raises(InputUnreadable) as told:
        voice.record(1, CancelToken())
    assert "pipx inject hychat sounddevice" in told.value.hint
