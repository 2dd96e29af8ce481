"""The TUI in tests: a real application with the scripted engine, driven by keys."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from textual.app import App
from textual.pilot import Pilot

from hychat.config.schema import Config
from hychat.domain.choices import SafetyLevel
from hychat.engine.echo import EchoEngine
from hychat.engine.protocol import Engine
from hychat.runtime import Runtime
from hychat.tui.app import HychatApp
from hychat.tui.desk import Desk
from hychat.tui.screens.chat import ChatScreen

UNFILTERED = Config(model="echo", safety=SafetyLevel.OFF)
"""So that an answer is seen word by word; the filter holds a sentence back."""
_MOST_STEPS = 6000


async def until(pilot: Pilot[int], is_so: Callable[[], bool]) -> None:
    """Let the application run until something is so."""
    for _step in range(_MOST_STEPS):
        if is_so():
            return
        await pilot.pause(0.01)
    raise AssertionError("it never came to be")


def app_with(engine: Engine | None = None, config: Config | None = None) -> HychatApp:
    """The application with a scripted engine."""
    settings = config or UNFILTERED
    scripted = engine or EchoEngine()
    return HychatApp(Desk(settings, lambda: Runtime(settings, open_engine=lambda _name: scripted)))


@asynccontextmanager
async def running(
    engine: Engine | None = None, config: Config | None = None, size: tuple[int, int] = (80, 24)
) -> AsyncIterator[tuple[HychatApp, Pilot[int]]]:
    """The application, ready for a question."""
    app = app_with(engine, config)
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: isinstance(app.screen, ChatScreen))
        yield app, pilot
        if isinstance(app.screen, ChatScreen):
            await app.screen.finish()
        app.desk.close()


def chat_of(app: App[int]) -> ChatScreen:
    """The chat, on top."""
    assert isinstance(app.screen, ChatScreen)
    return app.screen


async def ask(pilot: Pilot[int], text: str) -> None:
    """Type and send."""
    chat = chat_of(pilot.app)
    chat.prompt.set_text(text)
    await pilot.press("enter")


def rows(app: HychatApp) -> list[str]:
    """What the whole screen shows, row by row."""
    strips = app.screen._compositor.render_strips()
    return ["".join(segment.text for segment in strip).rstrip() for strip in strips]


def shown(app: HychatApp) -> str:
    """What the whole screen shows."""
    return "\n".join(rows(app))
