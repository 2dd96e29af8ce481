"""Draws the README's pictures of the chat from real runs with the starter model.

`python -m tests.pictures.chat` writes `chat.svg`, `chat-paper.svg`, `compare.svg` and `models.svg` beside this file.
"""

import asyncio
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hychat.config.schema import Config
from hychat.domain.choices import Style
from hychat.messages import choose_language
from hychat.runtime import Runtime
from hychat.tui.app import HychatApp
from hychat.tui.desk import Desk
from tests.pictures.drawing import picture_of
from tests.tui import ask, chat_of, until

_NOTES: Final = "The team met on Monday, and moved the launch from May to June.\n" * 80
_FOLDER: Final = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Scene:
    """One picture."""

    name: str
    typed: Sequence[str]
    config: Config
    size: tuple[int, int]
    language: str = "en"
    keys: Sequence[str] = ()
    """Pressed at the end."""
    attaches: bool = False
    """Whether a file waits for the next question at the end."""


_SCENES: Final = (
    Scene(
        "chat",
        ["Give me three tips for better sleep.", "Write a Python function that adds two numbers."],
        Config(model="starter", seed=1, max_tokens=120, style=Style.FRIENDLY, save=False, theme="night"),
        (96, 32),
        attaches=True,
    ),
    Scene(
        "chat-paper",
        ["Write a haiku about autumn in Kunming."],
        Config(model="starter", seed=3, max_tokens=80, save=False, theme="paper"),
        (96, 20),
        "zh",
    ),
    Scene(
        "compare",
        ["/compare How do I begin to learn to paint?"],
        Config(model="starter", seed=2, max_tokens=60, save=False, theme="night"),
        (112, 24),
    ),
    Scene(
        "models",
        ["Name three rivers of Yunnan."],
        Config(model="starter", seed=1, max_tokens=60, save=False, theme="night"),
        (100, 26),
        keys=["f2"],
    ),
)


async def _draw(scene: Scene) -> None:
    choose_language(scene.language)
    app = HychatApp(Desk(scene.config, lambda: Runtime(scene.config)))
    async with app.run_test(size=scene.size) as pilot:
        for text in scene.typed:
            before = len(app.desk.conversation.messages)
            await ask(pilot, text)
            await until(
                pilot,
                lambda: len(app.desk.conversation.messages) > before + 1 and not app.desk.is_busy,  # noqa: B023 - at once
            )
        await pilot.press(*scene.keys)
        if scene.attaches:
            notes = Path.home() / "notes.md"
            notes.write_text(_NOTES, encoding="utf-8")
            await ask(pilot, f"/file {notes}")
            await until(pilot, lambda: chat_of(app).staged.has_files)
        await pilot.pause(0.2)
        (_FOLDER / f"{scene.name}.svg").write_text(picture_of(app), encoding="utf-8")
        app.desk.close()


def main() -> None:
    """Draw them all, in a home folder of their own."""
    with tempfile.TemporaryDirectory() as home:
        os.environ["HOME"] = home
        for scene in _SCENES:
            asyncio.run(_draw(scene))


if __name__ == "__main__":
    main()
