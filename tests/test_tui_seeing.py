"""What the TUI shows while a picture is put into words, and how that is ended."""

import io
import threading
from collections.abc import Generator
from pathlib import Path

from PIL import Image

from hychat.domain.attachment import OCR, Attachment
from hychat.domain.cancel import CancelToken
from hychat.domain.errors import Interrupted
from hychat.domain.event import ReadingPicture, TurnEvent
from hychat.engine.echo import EchoEngine
from tests.tui import ask, chat_of, running, shown, until


class SlowEyes:
    """Read until somebody stops them."""

    def read(
        self,
        picture: Attachment,
        question: str,  # noqa: ARG002 - the protocol's
        cancel: CancelToken,
    ) -> Generator[TurnEvent, None, Attachment]:
        yield from self.text_in(picture, cancel)
        return picture

    def text_in(self, picture: Attachment, cancel: CancelToken) -> Generator[TurnEvent, None, str]:
        stopped = threading.Event()
        with cancel.waking(stopped.set):
            yield ReadingPicture(picture.name, OCR)
            stopped.wait()
        raise Interrupted("Stopped.")

    def advice(self) -> str:
        return ""


async def test_what_reads_a_picture_is_shown_and_escape_ends_it(tmp_path: Path) -> None:
    file = io.BytesIO()
    Image.new("RGB", (64, 48), "red").save(file, "PNG")
    photo = tmp_path / "cat.png"
    photo.write_bytes(file.getvalue())
    engine = EchoEngine()
    async with running(engine) as (app, pilot):
        await ask(pilot, f"/image {photo}")
        await until(pilot, lambda: "[Image #1]" in shown(app))
        app.desk.session._eyes = SlowEyes()
        await ask(pilot, "What is this?")
        await until(pilot, lambda: "reading the text in cat.png" in shown(app))
        await pilot.press("escape")
        await until(pilot, lambda: not app.desk.is_busy)
        assert engine.prompts == []
        assert len(chat_of(app).staged.pictures) == 1
