"""The chat on the whole screen: its first frame, its keys while an answer streams, long chats, large texts."""

import asyncio
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from fcntl import ioctl
from pathlib import Path
from statistics import quantiles
from struct import pack
from termios import TIOCSWINSZ
from typing import Final, Self

from textual import events

from hychat.config.schema import Config
from hychat.domain.generation import Receipt
from hychat.domain.message import Conversation, Message, Role, TextPart
from hychat.engine.echo import EchoEngine
from tests.bench.programs import MODEL, Environment, fresh_home, hychat, hychat_json
from tests.bench.row import Row, alternating, at_least, at_most
from tests.tui import ask, chat_of, running, until

_FRAME: Final = Row(
    "tui-first-frame",
    "shell to a usable prompt: `hychat` over a bare Textual app with one Markdown and one Input",
    "s",
    at_most(1.5),
)
_OPEN: Final = Row(
    "tui-long-chat", "`hychat -c` with 2,000 messages, 1 M characters, over one with none", "s", at_most(2)
)
_SCROLL: Final = Row("tui-long-scroll", "the longest of 100 page-ups in that chat, over 100 ms", "ms", at_most(1))
_MEMORY: Final = Row("tui-long-memory", "resident memory of the UI with that chat, over 150 MiB", "MiB", at_most(1))
_IDLE: Final = Row("tui-idle", "CPU of the UI in 10 idle seconds, over 1 % of a core", "%", at_most(1))
_KEYS: Final = Row("tui-keys", "key to echo while the starter answers, 95th percentile, over 50 ms", "ms", at_most(1))
_RATE: Final = Row("tui-decode", "tokens/s of the same answer in the chat over `hychat`'s own", "t/s", at_least(0.95))
_CPU: Final = Row("tui-cpu", "CPU of the UI while the starter answers, over 40 % of a core", "%", at_most(1))
_LARGE: Final = {
    "tui-long-line": "a 100 KB answer in one line",
    "tui-large-table": "a 10,000-row table",
    "tui-large-paste": "a 200 KB paste",
    "tui-fast-engine": "an answer at 1,000 tokens a second",
}
_LONG: Final = "Write a long story about a dragon and a princess."
_LETTER: Final = "Ж"
"""No answer has it."""
_BARE: Final = """
from textual.app import App
from textual.widgets import Input, Markdown
class Bare(App):
    def compose(self):
        yield Markdown("# hello")
        yield Input(placeholder="type here")
Bare().run()
"""
_PATIENCE_SECONDS: Final = 60.0


def rows(rounds: int) -> Iterator[Row]:
    """In a pseudo-terminal of 120 by 40, with the starter model."""
    with fresh_home() as home:
        environment = {**home, "HYCHAT_MODEL": MODEL, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
        bare = [sys.executable, "-c", _BARE]
        ours, placeholder = hychat(), "sk anything"
        _start_seconds(ours, environment, placeholder)
        pairs = alternating(
            rounds,
            lambda: _start_seconds(ours, environment, placeholder),
            lambda: _start_seconds(bare, environment, "ype here"),
        )
        yield _FRAME.measured(pairs)
        yield from _while_answering(environment)
        yield from _long_chat(environment, rounds)
        yield from asyncio.run(_all(_large_texts()))


async def _all(rows: AsyncIterator[Row]) -> list[Row]:
    return [row async for row in rows]


class _Screen:
    """A program on a terminal, its output as it comes."""

    def __init__(self, command: list[str], environment: Environment) -> None:
        self._keyboard, terminal = pty.openpty()
        ioctl(terminal, TIOCSWINSZ, pack("HHHH", 40, 120, 0, 0))
        self._process = subprocess.Popen(
            command, stdin=terminal, stdout=terminal, stderr=terminal, env=environment, start_new_session=True
        )
        os.close(terminal)
        self.written = ""

    @classmethod
    @contextmanager
    def running(cls, command: list[str], environment: Environment) -> Iterator[Self]:
        """Killed with the block."""
        screen = cls(command, environment)
        try:
            yield screen
        finally:
            screen._process.kill()
            screen._process.wait()
            os.close(screen._keyboard)

    def type(self, keys: str) -> None:
        os.write(self._keyboard, keys.encode())

    def wait_for(self, text: str) -> float:
        """Read until the text comes; the seconds that took."""
        started, read = time.perf_counter(), ""
        while text not in read:
            if time.perf_counter() - started > _PATIENCE_SECONDS:
                raise TimeoutError(text)
            read += self.read(_PATIENCE_SECONDS)
        return time.perf_counter() - started

    def read(self, patience_seconds: float) -> str:
        """What comes next; nothing where nothing comes."""
        if not select.select([self._keyboard], [], [], patience_seconds)[0]:
            return ""
        text = os.read(self._keyboard, 1 << 16).decode(errors="replace")
        self.written += text
        return text

    def cpu_seconds(self) -> float:
        """Of the UI's process alone."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident_mebibytes(self) -> float:
        """Of the UI's process alone."""
        pages = int(Path(f"/proc/{self._process.pid}/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def _start_seconds(command: list[str], environment: Environment, shown: str) -> float:
    with _Screen.running(command, environment) as screen:
        return screen.wait_for(shown)


def _while_answering(environment: Environment) -> Iterator[Row]:
    """Type while a long answer comes; then the same answer without a screen."""
    answer: Mapping[str, str] = {**environment, "HYCHAT_SEED": "4", "HYCHAT_MAX_TOKENS": "500"}
    with _Screen.running(hychat(), answer) as screen:
        screen.wait_for("CPU")
        screen.type(f"{_LONG}\r")
        screen.wait_for("dragon")
        began, cpu = time.perf_counter(), screen.cpu_seconds()
        echoes: list[float] = []
        while "tokens/s" not in screen.written:
            screen.read(0.15)
            if "tokens/s" not in screen.written:
                screen.type(_LETTER)
                echoes.append(1000 * screen.wait_for(_LETTER))
        load = 100 * (screen.cpu_seconds() - cpu) / (time.perf_counter() - began)
    yield _KEYS.measured([(quantiles(echoes, n=20)[-1], 50.0)])
    yield _CPU.measured([(load, 40.0)])
    plain = hychat_json([_LONG, "-n"], answer)["timings"]["decode_tokens_per_second"]
    receipt = _history(answer).latest_receipt()
    yield _RATE.measured([(receipt.usage.decode_tokens_per_second, plain)])


class _History:
    """The history of the benchmark's own home."""

    def __init__(self, environment: Environment) -> None:
        from hychat.history.store import HistoryStore

        folder = Path(environment["XDG_DATA_HOME"]) / "hychat"
        folder.mkdir(parents=True, exist_ok=True)
        self._store = HistoryStore(str(folder / "history.sqlite3"))

    def latest_receipt(self) -> Receipt:
        """Of the last answer."""
        conversation = self._store.latest()
        receipts = [message.receipt for message in conversation.messages if message.receipt] if conversation else []
        return receipts[-1]

    def add(self, messages: int, characters: int) -> None:
        """One conversation more, the newest."""
        conversation, parent = Conversation(title="bench", model=MODEL), None
        for nth in range(messages):
            role = Role.ASSISTANT if nth % 2 else Role.USER
            message = Message(role, (TextPart(_text(nth, characters // messages)),), parent=parent)
            conversation, parent = conversation.with_message(message), message.id
        *before, last = conversation.messages
        self._store.save_message(replace(conversation, messages=tuple(before)), last)
        self._store.close()


def _history(environment: Environment) -> _History:
    return _History(environment)


def _text(nth: int, characters: int) -> str:
    kinds = (
        "The sky scatters blue light more than red light. ",
        "天空散射蓝光比红光更强，所以看起来是蓝色的。",
        "- an item of a list\n",
        "```python\ndef f(x):\n    return x + 1\n```\n\n",
    )
    kind = kinds[nth % len(kinds)]
    return (kind * (characters // len(kind) + 1))[:characters]


def _long_chat(environment: Environment, rounds: int) -> Iterator[Row]:
    """Open, scroll, rest."""
    with fresh_home() as other:
        empty = {**environment, **{name: other[name] for name in other if name.startswith("XDG_")}}
        _history(environment).add(2000, 1_000_000)
        _history(empty).add(2, 200)
        opening = [*hychat(), "-c"]
        yield _OPEN.measured(
            alternating(
                rounds,
                lambda: _start_seconds(opening, environment, "sk anything"),
                lambda: _start_seconds(opening, empty, "sk anything"),
            )
        )
    with _Screen.running(opening, environment) as screen:
        screen.wait_for("CPU")
        stalls = []
        for _page in range(100):
            screen.type("\x1b[5~")
            started = time.perf_counter()
            screen.read(_PATIENCE_SECONDS)
            stalls.append(1000 * (time.perf_counter() - started))
        yield _SCROLL.measured([(max(stalls), 100.0)])
        yield _MEMORY.measured([(screen.resident_mebibytes(), 150.0)])
        while screen.read(1.0):
            pass
        before = screen.cpu_seconds()
        time.sleep(10)
        yield _IDLE.measured([(10 * (screen.cpu_seconds() - before), 1.0)])


async def _large_texts() -> AsyncIterator[Row]:
    """The longest time for which the event loop did nothing else, over 200 ms."""
    line = ("The sky scatters blue light 天空散射蓝光 " * 3000)[:100_000]
    table = "| n | name | value |\n|---|---|---|\n" + "".join(f"| {n} | name {n} | {n * n} |\n" for n in range(10_000))
    answers = {"tui-long-line": [line], "tui-large-table": table.splitlines(keepends=True)}
    for name, pieces in answers.items():
        yield _lag_row(name, await _longest_lag(EchoEngine([pieces], context_tokens=10**7)))
    many = [f"word{n} " for n in range(3000)]
    fast = EchoEngine([many], context_tokens=10**7, tokens_per_second=1000)
    yield _lag_row("tui-fast-engine", await _longest_lag(fast))
    yield _lag_row("tui-large-paste", await _longest_lag(EchoEngine(context_tokens=10**7), pasted="word " * 40_000))


def _lag_row(name: str, seconds: float) -> Row:
    compared = f"longest freeze with {_LARGE[name]}, over 200 ms"
    return Row(name, compared, "ms", at_most(1)).measured([(1000 * seconds, 200.0)])


async def _longest_lag(engine: EchoEngine, pasted: str = "") -> float:
    async with running(engine, Config(model="echo", save=False), size=(120, 40)) as (app, pilot):
        watch = _Watch()
        task = asyncio.create_task(watch.run())
        if pasted:
            chat_of(app).prompt.post_message(events.Paste(pasted))
            await pilot.pause(0.3)
        await ask(pilot, "go")
        await until(pilot, lambda: len(app.desk.conversation.messages) > 1 and not app.desk.is_busy)
        for y in (0, 10**6):
            chat_of(app).transcript.scroll_to(y=y, animate=False)
            await pilot.pause(0.1)
        task.cancel()
        return watch.longest


class _Watch:
    """How long the event loop was busy with one thing at most."""

    def __init__(self) -> None:
        self.longest = 0.0

    async def run(self) -> None:
        """Until it is cancelled."""
        last = time.perf_counter()
        while True:
            await asyncio.sleep(0.002)
            now = time.perf_counter()
            self.longest, last = max(self.longest, now - last - 0.002), now
