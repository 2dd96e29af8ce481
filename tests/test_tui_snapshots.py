"""What the chat looks like: one picture a behaviour, kept as SVG in tests/snapshots.

A picture that changed fails, and says where the new one lies. `make snapshots` takes all new ones, to be looked at before
they are handed in.
"""

import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import unified_diff
from pathlib import Path
from threading import Event

import pytest
from textual.pilot import Pilot

from hychat.config.schema import Config
from hychat.domain.choices import Style
from hychat.domain.errors import EngineCrashed
from hychat.domain.message import Conversation, Message, Role, TextPart
from hychat.engine.echo import EchoEngine, Step
from hychat.history.store import HistoryStore
from hychat.messages import choose_language
from hychat.paths import history_file, private_folder
from hychat.tui.app import HychatApp
from tests.pictures.drawing import picture_of
from tests.tui import ask, running, shown, until

FOLDER = Path(__file__).parent / "snapshots"
IS_ACCEPTING = "HYCHAT_SNAPSHOTS" in os.environ
QUESTION = "Why is the sky blue? 天空为什么是蓝色的？"
ANSWER = """天空是**蓝色**的，因为阳光发生*瑞利散射*：短波长的光散射得更强。

## Why it matters

1. Blue light scatters `5.5` times more than red, since $I \\propto \\lambda^{-4}$.
2. At sunset the path is longer:
   - blue is gone
   - red is left

```python
def strength(wavelength: float) -> float:
    return 1 / wavelength**4  # Rayleigh
```

| Colour 颜色 | Wavelength | Strength |
|:------------|-----------:|---------:|
| Blue 蓝     | 450 nm     | 4.6      |
| Red 红      | 660 nm     | 1.0      |

> Not the sky, but the [light](https://example.org/light). 👩‍🔬 𠮷
"""

Act = Callable[[HychatApp, Pilot[int]], Awaitable[None]]


@dataclass(frozen=True)
class Case:
    """A picture: its name, and how it comes to be."""

    name: str
    act: Act
    script: tuple[tuple[Step, ...], ...] = ((ANSWER,),)
    size: tuple[int, int] = (80, 24)
    theme: str = "night"
    language: str = "en"
    can_think: bool = False


async def _rest(app: HychatApp, pilot: Pilot[int]) -> None:
    """Let everything come to rest."""
    await until(pilot, lambda: app.desk.context[1] > 0 or bool(app.desk.conversation.messages))
    await pilot.pause(0.05)


async def _nothing(app: HychatApp, pilot: Pilot[int]) -> None:
    await _rest(app, pilot)


async def _answer(app: HychatApp, pilot: Pilot[int]) -> None:
    await ask(pilot, QUESTION)
    await until(pilot, lambda: len(app.desk.conversation.messages) > 1 and not app.desk.is_busy)


async def _open_thought(app: HychatApp, pilot: Pilot[int]) -> None:
    await ask(pilot, "/think on")
    await _answer(app, pilot)
    await pilot.press("ctrl+t")


async def _half_an_answer(app: HychatApp, pilot: Pilot[int]) -> None:
    await ask(pilot, QUESTION)
    await until(pilot, lambda: "Half" in shown(app))
    await ask(pilot, "And the sea? 那大海呢？")
    await until(pilot, lambda: "And the sea?" in shown(app))


async def _stopped(app: HychatApp, pilot: Pilot[int]) -> None:
    await ask(pilot, QUESTION)
    await until(pilot, lambda: "Half" in shown(app))
    await pilot.press("escape")
    await until(pilot, lambda: not app.desk.is_busy)


async def _three_styles(app: HychatApp, pilot: Pilot[int]) -> None:
    await ask(pilot, "/compare Say hello.")
    await until(pilot, lambda: len(app.desk.conversation.messages) > 3 and not app.desk.is_busy)


async def _second_version(app: HychatApp, pilot: Pilot[int]) -> None:
    await _answer(app, pilot)
    await pilot.press("f5")
    await until(pilot, lambda: "2/2" in shown(app) and not app.desk.is_busy)


def _pressing(*keys: str, until_shown: str) -> Act:
    async def act(app: HychatApp, pilot: Pilot[int]) -> None:
        await _rest(app, pilot)
        await pilot.press(*keys)
        await until(pilot, lambda: until_shown in shown(app))

    return act


async def _chats(app: HychatApp, pilot: Pilot[int]) -> None:
    store = HistoryStore(str(private_folder(history_file().parent) / history_file().name))
    for nth, title in enumerate(("Why is the sky blue?", "请写一首关于秋天的诗", "Plan a week in Kunming")):
        moment = datetime(2024, 5, 1 + nth, 12, tzinfo=UTC)
        question = Message(Role.USER, (TextPart(title),), created=moment)
        store.save_message(Conversation(title=title, model="echo", created=moment), question)
    store.close()
    await _pressing("ctrl+r", until_shown="Plan a week in Kunming")(app, pilot)


GREETINGS: tuple[tuple[Step, ...], ...] = (
    ("Good day. How may I assist you?",),
    ("Hey! What's up?",),
    ("Hello there! So glad you're here!",),
)
CASES = (
    Case("welcome", _nothing),
    Case("welcome-zh", _nothing, language="zh", theme="paper"),
    Case("welcome-narrow", _nothing, size=(60, 18)),
    Case("answer", _answer, size=(80, 40)),
    Case("answer-paper-zh", _answer, size=(100, 40), theme="paper", language="zh"),
    Case("answer-ansi", _answer, size=(80, 40), theme="ansi"),
    Case("answer-contrast", _answer, size=(80, 40), theme="contrast"),
    Case("answer-contrast-light", _answer, size=(80, 40), theme="contrast-light"),
    Case("answer-narrow", _answer, size=(60, 18)),
    Case("answer-wide", _answer, size=(200, 60)),
    Case(
        "thought-open", _open_thought, script=(("Light. Air.", "</think>", "Because of scattering."),), can_think=True
    ),
    Case("streaming-with-queue", _half_an_answer, script=(("Half an answer. ", "And", Event()),)),
    Case("stopped", _stopped, script=(("Half an answer. ", "And", Event()),)),
    Case("second-version", _second_version, script=(("Heads.",), ("Tails.",))),
    Case("compare", _three_styles, script=GREETINGS, size=(120, 40)),
    Case("compare-narrow", _three_styles, script=GREETINGS, size=(60, 24)),
    Case("engine-died", _answer, script=(("It was", EngineCrashed("The engine ended.", hint="Ask again.")),)),
    Case("completion", _pressing("/", "s", until_shown="/system")),
    Case("help", _pressing("f1", until_shown="Keys and commands"), size=(80, 40)),
    Case("settings-zh", _pressing("f9", until_shown="设置"), size=(80, 30), language="zh"),
    Case("themes", _pressing("f7", until_shown="Themes"), theme="paper"),
    Case("chats", _chats),
    Case(
        "completion-narrow-zh", _pressing("/", "s", until_shown="/system"), size=(60, 18), theme="paper", language="zh"
    ),
    Case("help-narrow-zh", _pressing("f1", until_shown="按键与命令"), size=(60, 18), language="zh"),
    Case("settings-narrow", _pressing("f9", until_shown="Settings"), size=(60, 18), theme="contrast"),
    Case("chats-narrow-zh", _chats, size=(60, 18), theme="ansi", language="zh"),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_it_looks_as_it_did(case: Case, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TZ", "UTC")
    choose_language(case.language)
    engine = EchoEngine(_by_style if case.script is GREETINGS else case.script, can_think=case.can_think)
    async with running(engine, Config(model="echo", theme=case.theme), case.size) as (app, pilot):
        await case.act(app, pilot)
        await pilot.pause(0.1)
        picture = picture_of(app)
        app.desk.is_busy = False
    kept = FOLDER / f"{case.name}.svg"
    if IS_ACCEPTING:
        kept.write_text(picture, encoding="utf-8")
    fresh = tmp_path / kept.name
    fresh.write_text(picture, encoding="utf-8")
    assert kept.exists(), f"there is no picture yet; the new one is {fresh}"
    changes = _changes(kept.read_text(encoding="utf-8"), picture)
    assert not changes, f"look at {fresh}; `make snapshots` keeps it. What changed:\n{changes}"


def _changes(before: str, now: str) -> str:
    """Every text that went and every one that came, with its place and colour."""
    return "\n".join(unified_diff(before.splitlines(), now.splitlines(), "kept", "now", n=0, lineterm=""))


def _by_style(prompt: object) -> tuple[Step, ...]:
    """An answer in the style that was asked for, whichever of the three comes first."""
    text = str(prompt)
    return GREETINGS[0 if "formal style" in text else 1 if "casually" in text else 2]


def test_every_picture_belongs_to_a_behaviour() -> None:
    assert {path.stem for path in FOLDER.glob("*.svg")} == {case.name for case in CASES}


def test_the_styles_that_are_compared_have_an_answer_each() -> None:
    assert len(GREETINGS) == len(Style)
