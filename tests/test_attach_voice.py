"""Speech: written down by a real model, from every kind of file; damaged files; models that are not there; the microphone."""

import random
import subprocess
import sys
import time
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
from hychat.attach.parts import VOICE_MODEL, spoken_words
from hychat.attach.voice import heard, transcript, writing_down
from hychat.domain.attachment import Listening
from hychat.domain.cancel import CancelToken
from hychat.domain.errors import InputUnreadable, Interrupted, ModelNotFound, ModelUnusable, SpeechModelMissing
from tests.bench.voice import tiny_model, word_error_rate
from tests.hub import Hub, nobody_listens
from tests.programs import Ended, Terminal, run_hychat
from tests.speech import SAID, SPEECH, STORY, TOLD

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


def test_a_longer_story_is_written_down(tiny: str) -> None:
    assert word_error_rate(TOLD, transcript(STORY.read_bytes(), STORY.name, tiny)) <= 0.1


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


def test_it_is_told_how_writing_gets_on(tiny: str) -> None:
    steps = [*writing_down(SOUND, "speech.wav", tiny, CancelToken())]
    assert steps[0].done_seconds == 0
    assert 0 < steps[-1].done_seconds <= steps[-1].total_seconds + 0.5


def written(tmp_path: Path, *options: str, **environment: str) -> Ended:
    """By the program, with a hub's cache of its own."""
    spoken = ("-m", "echo", "-n", "-a", str(SPEECH), *options)
    return run_hychat(*spoken, env={"HF_HOME": str(tmp_path), "NO_PROXY": "*", VOICE_MODEL: "tiny.en", **environment})


@pytest.fixture
def hub(tiny: str) -> Iterator[Hub]:
    with Hub() as made:
        made.add("Systran/faster-whisper-tiny.en", {file.name: file.read_bytes() for file in Path(tiny).iterdir()})
        yield made


def test_a_model_is_fetched_once_after_a_yes_from_the_mirror_into_the_hubs_cache(hub: Hub, tmp_path: Path) -> None:
    first = written(tmp_path, "--yes", HF_ENDPOINT=hub.endpoint)
    assert word_error_rate(SAID, first.out) <= 0.2
    assert "Fetch the speech model tiny.en (" in first.error
    assert "Fetching model.bin (" in first.error
    asked = len(hub.requests)
    again = written(tmp_path, HF_ENDPOINT=hub.endpoint)

    assert again.out == first.out
    assert "Fetch" not in again.error
    assert len(hub.requests) == asked
    assert (tmp_path / "hub" / "models--Systran--faster-whisper-tiny.en").is_dir()


def test_a_download_that_was_stopped_goes_on(hub: Hub, tmp_path: Path) -> None:
    written(tmp_path, "--yes", HF_ENDPOINT=hub.endpoint)
    (weights,) = (tmp_path / "hub").rglob("model.bin")
    weights.unlink()
    again = written(tmp_path, HF_ENDPOINT=hub.endpoint)
    assert (again.code, again.out) == (3, "")
    assert word_error_rate(SAID, written(tmp_path, "--yes", HF_ENDPOINT=hub.endpoint).out) <= 0.2


def test_where_nobody_can_be_asked_nothing_is_fetched(hub: Hub, tmp_path: Path) -> None:
    ended = written(tmp_path, HF_ENDPOINT=hub.endpoint)
    assert (ended.code, ended.out) == (3, "")
    assert ended.error.startswith("hychat: The speech model tiny.en is not on this machine.")
    assert "--yes" in ended.error
    assert hub.requests == []


@pytest.mark.parametrize("yes", [(), ("--yes",)])
def test_offline_nothing_is_fetched(yes: tuple[str, ...], hub: Hub, tmp_path: Path) -> None:
    ended = written(tmp_path, "--offline", *yes, HF_ENDPOINT=hub.endpoint)
    assert ended.code == 3
    assert "offline" in ended.error
    assert hub.requests == []


@pytest.mark.parametrize(("answer", "is_fetched"), [("n", False), ("y", True)])
def test_on_a_terminal_it_is_asked_first(answer: str, *, is_fetched: bool, hub: Hub, tmp_path: Path) -> None:
    env = {"HF_HOME": str(tmp_path), "NO_PROXY": "*", VOICE_MODEL: "tiny.en", "HF_ENDPOINT": hub.endpoint}
    with Terminal.running("-m", "echo", "-n", "-a", str(SPEECH), columns=120, env=env) as terminal:
        terminal.wait_until_shown("Fetch it now? [y/N]")
        assert not any("model.bin" in request.path for request in hub.requests)
        terminal.type(f"{answer}\r")
        assert terminal.end() == (0 if is_fetched else 3)
    assert any("model.bin" in request.path for request in hub.requests) is is_fetched


def test_a_hub_that_does_not_answer_is_told(tmp_path: Path) -> None:
    with nobody_listens() as nowhere:
        ended = written(tmp_path, "--yes", HF_ENDPOINT=nowhere)
    assert ended.code == 3
    assert "cannot be reached" in ended.error


def test_a_hub_that_refuses_is_told(tmp_path: Path) -> None:
    with Hub() as empty:
        ended = written(tmp_path, "--yes", HF_ENDPOINT=empty.endpoint)
    assert ended.code == 3
    assert "has no repository Systran/faster-whisper-tiny.en" in ended.error


def test_a_repository_without_such_a_model_is_told(tmp_path: Path) -> None:
    with Hub() as other:
        other.add("Systran/faster-whisper-tiny.en", {"config.json": b"{}", "model.bin": b"weights"})
        ended = written(tmp_path, "--yes", HF_ENDPOINT=other.endpoint)
    assert ended.code == 3
    assert "tokenizer.json is missing" in ended.error


def test_neither_package_is_imported_before_there_is_speech() -> None:
    program = (
        "import sys; from hychat.attach import parts, voice; assert voice.is_installed(); "
        "print({'faster_whisper', 'av', 'numpy', 'sounddevice'} & {*sys.modules})"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout == b"set()\n"


def test_ctrl_c_ends_it_at_once(tiny: str, tmp_path: Path) -> None:
    long = tmp_path / "long.wav"
    with wave.open(BytesIO(SOUND)) as speech:
        samples = np.frombuffer(speech.readframes(speech.getnframes()), np.int16)
    long.write_bytes(wav(np.tile(samples, 40)))
    with Terminal.running("-m", "echo", "-n", "-a", str(long), columns=120, env={VOICE_MODEL: tiny}) as terminal:
        terminal.wait_until_shown("Writing long.wav down")
        terminal.press_ctrl_c()
        pressed = time.monotonic()
        assert terminal.end() == 130
        assert time.monotonic() - pressed < 5


class Microphone:
    """What sounddevice opens, on a machine that has none: it hears a rising line, or speech, and sets a token on the way."""

    def __init__(self, cancel: CancelToken | None = None, cancelled_after: int = 0, *, speech: bool = False) -> None:
        self.cancel, self.left = cancel, cancelled_after
        self.speech = BytesIO(SOUND[44:]) if speech else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def read(self, frames: int) -> tuple[bytes, bool]:
        self.left -= 1
        if self.cancel and self.left == 0:
            self.cancel.set()
        if self.speech is not None:
            return self.speech.read(2 * frames), False
        return np.arange(frames, dtype=np.int16).tobytes(), False


def with_microphone(monkeypatch: pytest.MonkeyPatch, microphone: Microphone) -> None:
    module = SimpleNamespace(RawInputStream=lambda **_format: microphone, PortAudioError=RuntimeError)
    monkeypatch.setitem(sys.modules, "sounddevice", module)


def test_the_microphone_is_heard_as_long_as_it_was_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    with_microphone(monkeypatch, Microphone())
    assert len(b"".join(heard(1.25, CancelToken()))) == 2 * 20_000


def test_a_recording_that_is_ended_keeps_what_was_said(monkeypatch: pytest.MonkeyPatch) -> None:
    ends = CancelToken()
    with_microphone(monkeypatch, Microphone(ends, cancelled_after=3))
    assert len(b"".join(heard(60, ends))) == 2 * 4_800


def test_what_is_said_into_the_microphone_is_written_down(monkeypatch: pytest.MonkeyPatch, tiny: str) -> None:
    with_microphone(monkeypatch, Microphone(speech=True))
    monkeypatch.setenv(VOICE_MODEL, tiny)
    first, *_between, words = spoken_words(len(SOUND) / 32_000, CancelToken(), CancelToken())
    assert isinstance(first, Listening)
    assert isinstance(words, str)
    assert word_error_rate(SAID, words) <= 0.2


def test_nobody_speaks_in_vain(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with_microphone(monkeypatch, Microphone())
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(SpeechModelMissing):
        next(spoken_words(1, CancelToken(), CancelToken()))


def test_a_machine_without_microphone_says_so_before_anybody_speaks(monkeypatch: pytest.MonkeyPatch, tiny: str) -> None:
    def open_none(**_format: object) -> Microphone:
        raise RuntimeError("Error querying device -1")

    monkeypatch.setitem(
        sys.modules, "sounddevice", SimpleNamespace(RawInputStream=open_none, PortAudioError=RuntimeError)
    )
    monkeypatch.setenv(VOICE_MODEL, tiny)

    with pytest.raises(InputUnreadable, match="No microphone"):
        next(spoken_words(1, CancelToken(), CancelToken()))


def test_without_its_package_the_microphone_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)

    with pytest.raises(InputUnreadable) as told:
        next(heard(1, CancelToken()))
    assert "pipx inject hychat sounddevice" in told.value.hint
