"""Files and pictures that go with a question in the TUI: staged, shown, taken away, sent."""

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image
from textual import events

from hychat.attach.parts import VOICE_MODEL, opening
from hychat.domain.attachment import Attachment, AttachmentKind, WritingDown
from hychat.domain.cancel import CancelToken
from hychat.domain.message import AttachedPart, FilePart, ImagePart, Part, Role, TextPart
from hychat.engine.echo import EchoEngine
from hychat.runtime import Runtime
from hychat.tui.app import HychatApp
from hychat.tui.desk import Desk
from hychat.tui.screens import attaching
from hychat.tui.screens.chat import ChatScreen
from hychat.tui.widgets.previews import Previews
from tests.bench.voice import tiny_model
from tests.hub import Hub
from tests.speech import SPEECH
from tests.tui import UNFILTERED, ask, chat_of, running, shown, until


def picture(path: Path, size: tuple[int, int] = (64, 48)) -> Path:
    Image.new("RGB", size, "red").save(path, "PNG")
    return path


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    return picture(tmp_path / "cat photo.png")


def tiny_files() -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in Path(tiny_model()).iterdir()}


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Speech is written down by the tiny model."""
    monkeypatch.setenv(VOICE_MODEL, tiny_model())


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Nothing is open before this is set."""
    is_open = threading.Event()

    def slowly(path: Path, cancel: CancelToken) -> Iterator[WritingDown | AttachedPart]:
        is_open.wait()
        yield from opening(path, cancel)

    monkeypatch.setattr(attaching, "opening", slowly)
    return is_open


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """What is opened tells its first step, and goes on when this is set."""
    may_go_on = threading.Event()

    def slowly(path: Path, cancel: CancelToken) -> Iterator[WritingDown | AttachedPart]:
        for step in opening(path, cancel):
            yield step
            may_go_on.wait()

    monkeypatch.setattr(attaching, "opening", slowly)
    return may_go_on


def parts_asked(app: HychatApp) -> list[list[str]]:
    """Of every question: the names of what went with it, and its words."""
    return [
        [part.text if isinstance(part, TextPart) else _name(part) for part in message.parts]
        for message in app.desk.branch
        if message.role is Role.USER
    ]


def _name(part: Part) -> str:
    assert isinstance(part, AttachedPart)
    return part.attachment.name


async def test_an_image_is_staged_with_a_preview_and_sent_with_the_next_question(photo: Path) -> None:
    engine = EchoEngine(can_see=True)
    async with running(engine) as (app, pilot):
        await ask(pilot, f"/image {photo}")
        await until(pilot, lambda: "[Image #1] cat photo.png" in shown(app))
        await until(pilot, lambda: bool(chat_of(app).query_one(Previews).children))
        assert engine.prompts == []
        await ask(pilot, "What is this?")
        await until(pilot, lambda: bool(engine.prompts) and not app.desk.is_busy)
        assert sum(bool(segment.picture) for segment in engine.prompts[0]) == 1
        assert isinstance(app.desk.branch[0].parts[0], ImagePart)
        await until(pilot, lambda: not chat_of(app).query_one(Previews).display)
        assert "▣ cat photo.png" in shown(app)


async def test_backspace_in_an_empty_prompt_takes_the_last_one_away(photo: Path) -> None:
    async with running() as (app, pilot):
        for _time in range(2):
            await ask(pilot, f"/image {photo}")
        await until(pilot, lambda: "[Image #2]" in shown(app))
        await pilot.press("backspace")
        await until(pilot, lambda: "[Image #2]" not in shown(app))
        assert len(chat_of(app).staged.pictures) == 1


async def test_a_click_takes_away_what_it_points_at(photo: Path, tmp_path: Path) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("a note")
    async with running() as (app, pilot):
        await ask(pilot, f"/file {notes}")
        await until(pilot, lambda: "notes.txt" in shown(app))
        await ask(pilot, f"/image {photo}")
        await until(pilot, lambda: "[Image #1]" in shown(app))
        await pilot.click(chat_of(app).staged, offset=(4, 0))
        await until(pilot, lambda: "notes.txt" not in shown(app))
        assert len(chat_of(app).staged.pictures) == 1


async def test_a_dropped_file_is_attached_and_its_path_is_not_typed(photo: Path) -> None:
    async with running() as (app, pilot):
        chat_of(app).prompt.post_message(events.Paste(f"'{photo}'"))
        await until(pilot, lambda: "[Image #1] cat photo.png" in shown(app))
        assert chat_of(app).prompt.text == ""


async def test_a_pasted_sentence_is_typed(photo: Path) -> None:
    async with running() as (app, pilot):
        chat_of(app).prompt.post_message(events.Paste(f"look at {photo.name} please"))
        await until(pilot, lambda: chat_of(app).prompt.text == "look at cat photo.png please")


async def test_a_file_that_cannot_be_read_is_told_of_and_nothing_is_staged(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    async with running() as (app, pilot):
        await ask(pilot, f"/image {tmp_path / 'broken.png'}")
        await until(pilot, lambda: "damaged" in shown(app))
        assert not chat_of(app).staged.has_files


async def test_a_named_file_goes_with_the_question_by_its_content(photo: Path) -> None:
    engine = EchoEngine(can_see=True)
    async with running(engine) as (app, pilot):
        await ask(pilot, f'What is in @"{photo}"?')
        await until(pilot, lambda: bool(engine.prompts) and not app.desk.is_busy)
        assert any(segment.picture for segment in engine.prompts[0])


async def test_without_a_program_for_the_clipboard_the_user_hears_which_one_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DISPLAY", ":9")
    monkeypatch.setenv("PATH", "")
    async with running() as (app, pilot):
        await ask(pilot, "/image")
        await until(pilot, lambda: "Install xclip" in shown(app))


async def test_a_question_that_is_stopped_gives_its_picture_back(photo: Path) -> None:
    async with running(EchoEngine()) as (app, pilot):
        await ask(pilot, f"/image {photo}")
        await until(pilot, lambda: "[Image #1]" in shown(app))
        chat_of(app).desk.session._eyes = None
        await ask(pilot, "What is this?")
        await until(pilot, lambda: "cannot see" in shown(app))
        assert len(chat_of(app).staged.pictures) == 1
        assert chat_of(app).prompt.text == "What is this?"


async def test_ocr_tasks_are_drafted() -> None:
    async with running() as (app, pilot):
        await ask(pilot, "/ocr where")
        await until(pilot, lambda: "coordinates" in chat_of(app).prompt.text)
        await ask(pilot, "/ocr nothing")
        await until(pilot, lambda: "Choose one of text, where, document, fields" in shown(app))


async def test_a_document_is_no_picture(tmp_path: Path) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("a note")
    async with running() as (app, pilot):
        await ask(pilot, f"/image {notes}")
        await until(pilot, lambda: "[File #1] notes.txt ~2 tokens" in shown(app))
        assert isinstance(chat_of(app).staged.parts((), "")[0], FilePart)


@pytest.mark.parametrize("written", [lambda path: f'"{path}"', lambda path: str(path).replace(" ", "\\ "), Path.as_uri])
async def test_a_path_behind_a_command_may_be_quoted(written: Callable[[Path], str], photo: Path) -> None:
    async with running() as (app, pilot):
        await ask(pilot, f"/image {written(photo)}")
        await until(pilot, lambda: "[Image #1] cat photo.png" in shown(app))


async def test_a_path_behind_a_command_is_completed(photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(photo.parent)
    async with running() as (app, pilot):
        await pilot.press(*"/image c")
        await until(pilot, lambda: "/image cat photo.png" in shown(app))
        await pilot.press("tab", "enter")
        await until(pilot, lambda: "[Image #1] cat photo.png" in shown(app))


async def test_a_file_that_is_dropped_behind_a_command_is_its_file(photo: Path) -> None:
    async with running() as (app, pilot):
        await pilot.press(*"/image ")
        chat_of(app).prompt.post_message(events.Paste(str(photo)))
        await until(pilot, lambda: "[Image #1] cat photo.png" in shown(app))
        assert chat_of(app).prompt.text == ""


async def test_tasks_of_ocr_are_told_apart() -> None:
    async with running(size=(100, 30)) as (app, pilot):
        await pilot.press(*"/ocr ")
        await until(pilot, lambda: "each text with the place where it stands" in shown(app))


async def test_what_is_sent_while_a_picture_is_opened_waits_for_it(photo: Path, gate: threading.Event) -> None:
    engine = EchoEngine(can_see=True)
    async with running(engine) as (app, pilot):
        await ask(pilot, f"/image {photo}")
        await until(pilot, lambda: "opening cat photo.png" in shown(app))
        await ask(pilot, "What is this?")
        await ask(pilot, "And then?")
        await until(pilot, lambda: "next: What is this?" in shown(app) and "next: And then?" in shown(app))
        assert engine.prompts == []
        gate.set()
        await until(pilot, lambda: len(engine.prompts) == 2 and not app.desk.is_busy)
        assert parts_asked(app) == [["cat photo.png", "What is this?"], ["And then?"]]
        assert "opening" not in shown(app)


async def test_keys_work_while_a_named_file_is_opened(photo: Path, gate: threading.Event) -> None:
    async with running(EchoEngine(can_see=True)) as (app, pilot):
        await ask(pilot, f'@"{photo}" what is this?')
        await until(pilot, lambda: "opening cat photo.png" in shown(app))
        await pilot.press(*"typed meanwhile")
        assert chat_of(app).prompt.text == "typed meanwhile"
        gate.set()
        await until(pilot, lambda: len(app.desk.branch) == 2 and not app.desk.is_busy)
        assert chat_of(app).prompt.text == "typed meanwhile"


async def test_escape_leaves_what_is_being_opened_and_gives_the_question_back(
    photo: Path, gate: threading.Event
) -> None:
    engine = EchoEngine(can_see=True)
    async with running(engine) as (app, pilot):
        await ask(pilot, f"/image {photo}")
        await ask(pilot, "What is this?")
        await until(pilot, lambda: "next: What is this?" in shown(app))
        await pilot.press("escape")
        await until(pilot, lambda: chat_of(app).prompt.text == "What is this?")
        assert "opening" not in shown(app)
        gate.set()
        await ask(pilot, "Anything?")
        await until(pilot, lambda: parts_asked(app) == [["Anything?"]])


@pytest.mark.parametrize("text", ["what is in @nothere.png?", "看看@nothere.png好吗", "/compare @nothere.png?"])
async def test_a_named_file_that_is_missing_is_told_and_nothing_is_sent(text: str) -> None:
    engine = EchoEngine(can_see=True)
    async with running(engine) as (app, pilot):
        await ask(pilot, text)
        await until(pilot, lambda: "There is no file nothere.png." in shown(app))
        assert engine.prompts == []
        assert chat_of(app).prompt.text == text


async def test_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    async with running() as (app, pilot):
        await ask(pilot, f"/image {tmp_path / 'fifo'}")
        await until(pilot, lambda: "is a pipe or a device" in " ".join(shown(app).split()))


@pytest.mark.usefixtures("tiny")
async def test_speech_that_a_question_names_is_shown_before_it_is_sent(begun: threading.Event) -> None:
    engine = EchoEngine()
    async with running(engine) as (app, pilot):
        await ask(pilot, f"Sum up @{SPEECH}")
        await until(pilot, lambda: "writing speech.wav down" in shown(app))
        begun.set()
        await until(pilot, lambda: chat_of(app).prompt.text.startswith("Sum up The keeper"))
        assert engine.prompts == []
        await pilot.press("enter")
        await until(pilot, lambda: bool(engine.prompts))


@pytest.mark.usefixtures("tiny")
async def test_a_question_that_was_sent_behind_speech_comes_back_with_its_words(begun: threading.Event) -> None:
    engine = EchoEngine()
    async with running(engine) as (app, pilot):
        await ask(pilot, f"/voice {SPEECH}")
        await ask(pilot, "Sum up:")
        begun.set()
        await until(pilot, lambda: chat_of(app).prompt.text.startswith("Sum up: The keeper"))
        assert engine.prompts == []


async def test_a_speech_model_is_asked_about_before_it_is_fetched(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(VOICE_MODEL, "tiny.en")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    with Hub() as hub:
        hub.add("Systran/faster-whisper-tiny.en", tiny_files())
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        async with running() as (app, pilot):
            await ask(pilot, f"/voice {SPEECH}")
            await until(pilot, lambda: "Fetch the speech model tiny.en" in shown(app))
            assert not any("model.bin" in request.path for request in hub.requests)
            await pilot.press("enter")
            await until(pilot, lambda: isinstance(app.screen, ChatScreen))
            await until(pilot, lambda: chat_of(app).prompt.text.startswith("The keeper"))


@pytest.mark.parametrize("first", [[], [TextPart("What is this?")]])
async def test_the_chat_may_begin_with_a_picture_which_goes_with_the_first_question(
    photo: Path, first: list[Part]
) -> None:
    engine = EchoEngine(can_see=True)
    app = HychatApp(
        Desk(UNFILTERED, lambda: Runtime(UNFILTERED, open_engine=lambda _name: engine)), [_part(photo), *first]
    )
    async with app.run_test(size=(80, 24)) as pilot:
        if not first:
            await until(pilot, lambda: "[Image #1] cat photo.png" in shown(app) and "CPU" in shown(app))
            assert engine.prompts == []
            await ask(pilot, "What is this?")
        await until(pilot, lambda: parts_asked(app) == [["cat photo.png", "What is this?"]])
        await chat_of(app).finish()
    app.desk.close()


async def test_the_chat_may_begin_with_speech_which_is_read_first() -> None:
    engine = EchoEngine()
    spoken = FilePart(Attachment(AttachmentKind.TEXT, "note.wav", "audio/*", text="Buy bread."))
    desk = Desk(UNFILTERED, lambda: Runtime(UNFILTERED, open_engine=lambda _name: engine))
    app = HychatApp(desk, [spoken, TextPart("What am I to do?")])
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: chat_of(app).prompt.text == "Buy bread. What am I to do?" and "CPU" in shown(app))
        assert engine.prompts == []
    desk.close()


def _part(path: Path) -> AttachedPart:
    (part,) = opening(path, CancelToken())
    assert isinstance(part, ImagePart)
    return part


async def test_a_question_is_changed_with_what_was_attached_to_it(photo: Path, tmp_path: Path) -> None:
    other = picture(tmp_path / "other.png")
    async with running(EchoEngine(can_see=True)) as (app, pilot):
        await ask(pilot, f'@"{photo}" What is this?')
        await until(pilot, lambda: len(app.desk.branch) == 2 and not app.desk.is_busy)
        await ask(pilot, f"/image {other}")
        await until(pilot, lambda: "[Image #1] other.png" in shown(app))
        await pilot.press("alt+up")
        await until(pilot, lambda: "[Image #1] cat photo.png" in shown(app))
        assert "[Image #1] other.png" not in shown(app)
        await pilot.press("escape")
        await until(pilot, lambda: "[Image #1] other.png" in shown(app))
        await pilot.press("alt+up")
        await until(pilot, lambda: "[Image #1] cat photo.png" in shown(app))
        chat_of(app).prompt.set_text("What else?")
        await pilot.press("enter")
        await until(pilot, lambda: parts_asked(app) == [["cat photo.png", "What else?"]] and not app.desk.is_busy)
        assert "[Image #1] other.png" in shown(app)


async def test_a_comparison_takes_what_is_attached_and_what_its_question_names(photo: Path, tmp_path: Path) -> None:
    other = picture(tmp_path / "other.png")
    engine = EchoEngine(can_see=True)
    async with running(engine) as (app, pilot):
        await ask(pilot, f"/image {photo}")
        await until(pilot, lambda: "[Image #1]" in shown(app))
        await ask(pilot, f"/compare How do they differ from @{other}?")
        await until(pilot, lambda: len(engine.prompts) == 3 and not app.desk.is_busy)
        assert parts_asked(app) == [["cat photo.png", "other.png", f"How do they differ from @{other}?"]]
        assert not chat_of(app).staged.has_files


async def test_any_of_many_pictures_is_taken_away_by_a_click(tmp_path: Path) -> None:
    async with running() as (app, pilot):
        chat = chat_of(app)
        chat.attach_files([picture(tmp_path / f"p{number}.png") for number in range(1, 11)])
        await until(pilot, lambda: len(chat.staged.pictures) == 10)
        await until(pilot, lambda: "[Image #10] p10.png ×" in shown(app))
        row = next(row for row in shown(app).split("\n") if "[Image #7]" in row)
        assert "[Image #7] p7.png ×" in row
        top = chat.staged.region.y
        x, y = row.index("[Image #7]") + 3, shown(app).split("\n").index(row)
        await pilot.click(chat.staged, offset=(x - chat.staged.region.x, y - top))
        await until(pilot, lambda: len(chat.staged.pictures) == 9)
        assert "p7.png" not in [attachment.name for attachment in chat.staged.pictures]


async def test_where_there_is_no_room_the_first_ones_are_counted(tmp_path: Path) -> None:
    async with running(size=(60, 24)) as (app, pilot):
        long = "a very long name of a picture " * 3
        chat_of(app).attach_files([picture(tmp_path / f"{number} {long}.png") for number in range(6)])
        await until(pilot, lambda: len(chat_of(app).staged.pictures) == 6)
        await until(pilot, lambda: "[Image #6] 5 a very long name" in shown(app))
        await until(pilot, lambda: "+2" in shown(app))


async def test_labels_speak_the_users_language(photo: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("a note")
    async with running() as (app, pilot):
        chat_of(app).attach_files([photo, tmp_path / "notes.txt"])
        await until(pilot, lambda: "[File #1]" in shown(app))
        await ask(pilot, "/lang zh")
        await until(pilot, lambda: "[图片 #1]" in shown(app) and "[文件 #1]" in shown(app))


async def test_a_waiting_question_shows_what_goes_with_it(photo: Path) -> None:
    engine = EchoEngine([["An answer that does not end ", threading.Event()]], can_see=True)
    async with running(engine) as (app, pilot):
        await ask(pilot, "first")
        await until(pilot, lambda: app.desk.is_busy)
        await ask(pilot, f'@"{photo}" and this?')
        await until(pilot, lambda: "next: ▣ cat photo.png" in shown(app))
        await pilot.press("escape")


@pytest.mark.parametrize("size", [(2000, 20), (20, 2000), (300, 200)])
async def test_a_preview_has_the_pictures_shape(size: tuple[int, int], tmp_path: Path) -> None:
    async with running(size=(120, 40)) as (app, pilot):
        await ask(pilot, f"/image {picture(tmp_path / 'picture.png', size)}")
        await until(pilot, lambda: bool(chat_of(app).query_one(Previews).children))
        (preview,) = chat_of(app).query_one(Previews).children
        await until(pilot, lambda: preview.size.width > 0)
        width, height = preview.size
        assert width <= 40
        assert height <= 6
        assert (
            width == 1 or height == 1 or abs(width * 10 / (height * 20) - size[0] / size[1]) < 0.2 * size[0] / size[1]
        )
