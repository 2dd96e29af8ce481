"""The chat on the whole screen with much in it: a long conversation, large pastes and answers."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Final

from hychat.domain.message import Conversation, Message, Role, TextPart
from tests.bench import echo_chat
from tests.bench.programs import MODEL, Environment, fresh_home, hychat
from tests.bench.row import Row, alternating, at_most
from tests.bench.terminal import FRAME_END, Terminal
from tests.bench.tui import IS_LOADED, PLACEHOLDER, echo_chat_command, history_of, start_seconds

_OPEN: Final = Row(
    "tui-long-chat", "`hychat -c` with 2,000 messages of 1 M characters over `hychat` with none", "s", at_most(2)
)
_PAGE: Final = Row(
    "tui-long-page", "longest of 100 page-ups in that chat, key to whole frame, over 100 ms", "ms", at_most(1)
)
_HELD: Final = Row("tui-long-held", "longest time without a frame while page-up is held, over 100 ms", "ms", at_most(1))
_JUMP: Final = Row("tui-long-jump", "longest of 5 jumps each to start and end, over 100 ms", "ms", at_most(1))
_MEMORY: Final = Row("tui-long-memory", "resident memory of the UI after that, over 150 MiB", "MiB", at_most(1))
_IDLE: Final = Row("tui-idle", "CPU of the UI in 10 idle seconds with that chat, over 1 %", "%", at_most(1))
_STALL_MS: Final = 100.0
_MEMORY_MIB: Final = 150.0
_IDLE_PERCENT: Final = 1.0
_IDLE_SECONDS: Final = 10.0

_FREEZE_MS: Final = 200.0
_LARGE: Final = {
    "tui-line": ("line-at-once", "an answer of 100 KB in one line, all at once"),
    "tui-words": ("line-in-words", "the same in words as fast as they come"),
    "tui-table": ("table-at-once", "an answer with a table of 10,000 rows, all at once"),
    "tui-rows": ("table-in-rows", "the same in rows as fast as they come"),
}
_PASTE: Final = "word 词语 " * 20_000
"""200 KB and more."""

_MESSAGES: Final = 2000
_CHARACTERS: Final = 1_000_000
_FIRST_MARK: Final = "Incipit"
_LAST_MARK: Final = "Explicit"
_PAGE_UP: Final = "\x1b[5~"
_CTRL_HOME: Final = "\x1b[1;5H"
_CTRL_END: Final = "\x1b[1;5F"
_REPEAT_SECONDS: Final = 1 / 30
"""Of a key that is held."""
_KINDS: Final = (
    "The sky scatters **blue** light more than red light, as `1 / wave**4` tells.\n",
    "天空散射蓝光比红光更强，所以看起来是蓝色的；日落时光线穿过更厚的大气。\n",
    "- an item of a list\n- 列表的另一项\n",
    "\n```python\ndef f(x: int) -> int:\n    return x + 1\n```\n\n",
    "\n| colour | wave |\n|---|---|\n| blue 蓝 | 450 nm |\n\n",
)


def rows(rounds: int) -> Iterator[Row]:
    """In a pseudo-terminal of 120 by 40."""
    with fresh_home() as home, fresh_home() as empty:
        long = {**home, "HYCHAT_MODEL": MODEL}
        _save_long_chat(long)
        yield _opening(rounds, long, {**empty, "HYCHAT_MODEL": MODEL})
        yield from _long_chat(long)
        yield from _large_texts(long)


# A long conversation


def _save_long_chat(environment: Environment) -> None:
    from hychat.history.store import HistoryStore

    conversation, parent = Conversation(title="long", model=MODEL), None
    for text in _texts():
        role = Role.ASSISTANT if len(conversation.messages) % 2 else Role.USER
        message = Message(role, (TextPart(text),), parent=parent)
        conversation, parent = conversation.with_message(message), message.id
    *before, last = conversation.messages
    history = HistoryStore(str(history_of(environment)))
    history.save_message(replace(conversation, messages=tuple(before)), last)
    history.close()


def _texts() -> Iterator[str]:
    """Questions of one line, answers of all kinds; together as many characters as there should be."""
    left = _CHARACTERS
    for nth in range(_MESSAGES):
        size = 50 if nth % 2 == 0 else left // (_MESSAGES - nth) * 2 - 50
        kinds = _KINDS[nth // 2 % len(_KINDS) :] + _KINDS[: nth // 2 % len(_KINDS)]
        text = ("".join(kinds) * (size // 100 + 1) if nth % 2 else kinds[0].strip())[:size]
        mark = {0: f"{_FIRST_MARK}. ", _MESSAGES - 1: f"\n```\n\n{_LAST_MARK}."}.get(nth, "")
        left -= len(text)
        yield f"{mark}{text}" if nth == 0 else f"{text}{mark}"


def _opening(rounds: int, long: Environment, empty: Environment) -> Row:
    def full() -> float:
        return start_seconds([*hychat(), "-c"], long, PLACEHOLDER, _LAST_MARK)

    def bare() -> float:
        return start_seconds(hychat(), empty, PLACEHOLDER)

    full(), bare()  # warms page cache and bytecode
    return _OPEN.measured(alternating(rounds, full, bare))


def _long_chat(environment: Environment) -> Iterator[Row]:
    with Terminal.running([*hychat(), "-c"], environment) as terminal:
        terminal.wait_for(PLACEHOLDER, _LAST_MARK, IS_LOADED)
        terminal.settle(0.5)
        yield _PAGE.measured([(1000 * max(_page_seconds(terminal) for _page in range(100)), _STALL_MS)])
        yield _HELD.measured([(1000 * _longest_gap(terminal), _STALL_MS)])
        yield _JUMP.measured([(1000 * max(_jump_seconds(terminal) for _jump in range(5)), _STALL_MS)])
        yield _MEMORY.measured([(terminal.resident_mebibytes(), _MEMORY_MIB)])
        terminal.settle(1.0)
        before = terminal.cpu_seconds()
        terminal.rest(_IDLE_SECONDS)
        percent = 100 * (terminal.cpu_seconds() - before) / _IDLE_SECONDS
        yield _IDLE.measured([(percent, _IDLE_PERCENT)])


def _page_seconds(terminal: Terminal) -> float:
    seconds = terminal.seconds_to(_PAGE_UP, FRAME_END)
    terminal.settle(0.02)
    return seconds


def _longest_gap(terminal: Terminal) -> float:
    """From frame to frame, three seconds long."""
    longest, last = 0.0, perf_counter()
    for _key in range(round(3 / _REPEAT_SECONDS)):
        terminal.type(_PAGE_UP)
        end = perf_counter() + _REPEAT_SECONDS
        while (left := end - perf_counter()) > 0:
            if FRAME_END in terminal.read(left):
                now = perf_counter()
                longest, last = max(longest, now - last), now
    terminal.settle(0.2)
    return longest


def _jump_seconds(terminal: Terminal) -> float:
    """The slower of there and back."""
    there = terminal.seconds_to(_CTRL_HOME, _FIRST_MARK)
    terminal.settle(0.1)
    back = terminal.seconds_to(_CTRL_END, _LAST_MARK)
    terminal.settle(0.1)
    return max(there, back)


# Large texts


def _large_texts(environment: Environment) -> Iterator[Row]:
    for name, (answer, what) in _LARGE.items():
        yield from _freeze_rows(name, what, answer, environment)
    yield from _freeze_rows("tui-paste", "a paste of 200 KB", "", environment)


def _freeze_rows(name: str, what: str, answer: str, environment: Environment) -> Iterator[Row]:
    """The longest of what a user feels, and of what the event loop knows."""
    with TemporaryDirectory(prefix="hychat-bench-") as folder:
        told = Path(folder, "lags")
        with Terminal.running(echo_chat_command(answer or echo_chat.FAST, str(told)), environment) as terminal:
            terminal.wait_for(PLACEHOLDER)
            terminal.settle(0.5)
            began = perf_counter()
            echo_seconds = _answer(terminal) if answer else _paste(terminal)
            terminal.settle(0.2)
        lag_seconds = _longest_lag(told, began)
    row = Row(name, f"longest key to echo with {what}, over 200 ms", "ms", at_most(1))
    yield row.measured([(1000 * echo_seconds, _FREEZE_MS)])
    row = Row(f"{name}-loop", "longest that the event loop did one thing meanwhile, over 200 ms", "ms", at_most(1))
    yield row.measured([(1000 * lag_seconds, _FREEZE_MS)])


def _answer(terminal: Terminal) -> float:
    """Have it, type meanwhile, and go to its start and back."""
    terminal.type("go\r")
    longest = max(terminal.echoes_until(echo_chat.END, PLACEHOLDER, pause_seconds=0.03))
    for jump in (_CTRL_HOME, _CTRL_END):
        terminal.type(jump)
        longest = max(longest, terminal.echo_seconds())
    return longest


def _paste(terminal: Terminal) -> float:
    """From before the paste to the echo of a key after it."""
    began = perf_counter()
    terminal.type(f"\x1b[200~{_PASTE}\x1b[201~")
    terminal.echo_seconds()
    return perf_counter() - began


def _longest_lag(told: Path, began: float) -> float:
    lines = (line.split() for line in told.read_text(encoding="ascii").splitlines())
    return max((float(seconds) for moment, seconds in lines if float(moment) > began), default=0.0)
