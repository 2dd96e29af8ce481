"""Files and pictures that go with a question in the TUI: staged, shown, taken away, sent."""

import io
from pathlib import Path

import pytest
from PIL import Image
from textual import events

from hychat.domain.message import FilePart, ImagePart
from hychat.engine.echo import EchoEngine
from hychat.tui.widgets.previews import Previews
from tests.tui import ask, chat_of, running, shown, until


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "cat photo.png"
    file = io.BytesIO()
    Image.new("RGB", (64, 48), "red").save(file, "PNG")
    path.write_bytes(file.getvalue())
    return path


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
