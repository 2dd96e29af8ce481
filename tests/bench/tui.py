"""The chat on the whole screen: its first frame, and its keys, speed and work while an answer streams."""

import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import quantiles
from time import perf_counter
from typing import Final, NamedTuple

from hychat.domain.cancel import CancelToken
from hychat.domain.generation import GenerationSettings, Receipt
from tests.bench import echo_chat
from tests.bench.programs import MODEL, Environment, fresh_home, hychat
from tests.bench.row import Row, alternating, at_least, at_most
from tests.bench.terminal import Terminal

PLACEHOLDER: Final = "sk anything"
"""What the prompt shows while it is empty; the caret stands on its first letter."""
IS_LOADED: Final = "CPU"
"""What the status line shows once the model is there."""
HAS_ANSWERED: Final = "tokens/s"
"""What stands under an answer, and nowhere before it."""

_FRAME: Final = Row(
    "tui-first-frame",
    "shell to a usable prompt: `hychat` over a bare Textual app with one Markdown and one Input",
    "s",
    at_most(1.5),
)
_KEYS: Final = Row("tui-keys", "key to echo while the starter answers, 95th percentile, over 50 ms", "ms", at_most(1))
_CPU: Final = Row("tui-cpu", "CPU of the UI while the starter answers and keys are typed, over 40 %", "%", at_most(1))
_RATE: Final = Row(
    "tui-decode",
    "speed of the starter's answer in `hychat -i` over that in `hychat`, both 500 tokens on a terminal",
    "tok/s",
    at_least(0.95),
)
_TYPED_RATE: Final = Row("tui-decode-typing", "the same while eight keys a second are typed and deleted, once", "tok/s")
_FAST_KEYS: Final = Row("tui-fast-keys", "as tui-keys, the echo engine at 1,000 tokens/s", "ms", at_most(1))
_FAST_CPU: Final = Row(
    "tui-fast-cpu", "as tui-cpu; the engine runs in the UI's process and is counted", "%", at_most(1)
)
_FAST_RATE: Final = Row(
    "tui-fast-decode", "speed of that answer on the screen over the engine alone", "tok/s", at_least(0.95)
)
_KEYS_MS: Final = 50.0
_CPU_PERCENT: Final = 40.0

_QUESTION: Final = "Write a long story about a dragon and a princess."
_LONG_ANSWER: Final = {"HYCHAT_SEED": "4", "HYCHAT_MAX_TOKENS": "500"}
"""With this seed it does not end by itself before that."""
_BARE: Final = """
from textual.app import App
from textual.widgets import Input, Markdown
class Bare(App):
    def compose(self):
        yield Markdown("# hello")
        yield Input(placeholder="ask anything")
Bare().run()
"""


def rows(rounds: int) -> Iterator[Row]:
    """In a pseudo-terminal of 120 by 40."""
    with fresh_home() as home:
        environment = {**home, "HYCHAT_MODEL": MODEL}
        yield _first_frame(rounds, environment)
        yield from _starter_answers(rounds, {**environment, **_LONG_ANSWER})
        yield from _fast_engine_answers(rounds, environment)


# From the shell


def start_seconds(command: list[str], environment: Environment, *shown: str) -> float:
    """From before the process to the frame that shows these."""
    with Terminal.running(command, environment) as terminal:
        terminal.wait_for(*shown)
        return perf_counter() - terminal.started


def _first_frame(rounds: int, environment: Environment) -> Row:
    def ours() -> float:
        return start_seconds(hychat(), environment, PLACEHOLDER)

    def bare() -> float:
        return start_seconds([sys.executable, "-c", _BARE], environment, PLACEHOLDER)

    ours(), bare()  # warms page cache and bytecode
    return _FRAME.measured(alternating(rounds, ours, bare))


# While an answer streams


class _Typed(NamedTuple):
    """What was seen while somebody typed beside an answer."""

    keys_ms: float
    """95th percentile of key to echo."""
    cpu_percent: float


def _starter_answers(rounds: int, environment: Environment) -> Iterator[Row]:
    with Terminal.running(hychat(), environment) as terminal:
        terminal.wait_for(IS_LOADED)
        terminal.type(f"{_QUESTION}\r")
        terminal.wait_for("dragon")  # the question's own, as it goes up
        typed = _type_beside(terminal, HAS_ANSWERED)
    typed_receipt = _last_receipt(environment)
    yield _KEYS.measured([(typed.keys_ms, _KEYS_MS)])
    yield _CPU.measured([(typed.cpu_percent, _CPU_PERCENT)])
    pairs = alternating(rounds, lambda: _screen_speed(environment), lambda: _command_speed(environment))
    yield _RATE.measured(pairs)
    yield _TYPED_RATE.measured([(typed_receipt.usage.decode_tokens_per_second, anchor) for _ours, anchor in pairs])


def _type_beside(terminal: Terminal, end: str) -> _Typed:
    began, cpu_seconds = perf_counter(), terminal.cpu_seconds()
    echoes = terminal.echoes_until(end, PLACEHOLDER)
    cpu = (terminal.cpu_seconds() - cpu_seconds) / (perf_counter() - began)
    return _Typed(1000 * quantiles(echoes, n=20)[-1], 100 * cpu)


def _screen_speed(environment: Environment) -> float:
    with Terminal.running([*hychat(), "-i", _QUESTION], environment) as terminal:
        terminal.glance_until(HAS_ANSWERED)
    return _last_receipt(environment).usage.decode_tokens_per_second


def _command_speed(environment: Environment) -> float:
    with Terminal.running([*hychat(), _QUESTION], environment) as terminal:
        terminal.glance_until_over()
    return _last_receipt(environment).usage.decode_tokens_per_second


def _last_receipt(environment: Environment) -> Receipt:
    """Of the newest answer that was kept."""
    from hychat.history.store import HistoryStore

    history = HistoryStore(str(history_of(environment)))
    conversation = history.latest()
    history.close()
    return next(m.receipt for m in reversed(conversation.messages if conversation else ()) if m.receipt)


def history_of(environment: Environment) -> Path:
    """The file of the history in a benchmark's own home."""
    folder = Path(environment["XDG_DATA_HOME"]) / "hychat"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / "history.sqlite3"


def echo_chat_command(answer: str, *told: str) -> list[str]:
    """The chat with the scripted engine."""
    return [sys.executable, "-m", echo_chat.__name__, answer, *told]


def _fast_engine_answers(rounds: int, environment: Environment) -> Iterator[Row]:
    with Terminal.running(echo_chat_command(echo_chat.FAST), environment) as terminal:
        terminal.wait_for(PLACEHOLDER)
        terminal.type("go\r")
        terminal.wait_for(echo_chat.BEGIN)
        typed = _type_beside(terminal, echo_chat.END)
    yield _FAST_KEYS.measured([(typed.keys_ms, _KEYS_MS)])
    yield _FAST_CPU.measured([(typed.cpu_percent, _CPU_PERCENT)])
    yield _FAST_RATE.measured(alternating(rounds, lambda: _fast_screen_speed(environment), _fast_engine_speed))


def _fast_screen_speed(environment: Environment) -> float:
    """Tokens per second from the first word on the screen to the last."""
    with Terminal.running(echo_chat_command(echo_chat.FAST), environment) as terminal:
        terminal.wait_for(PLACEHOLDER)
        terminal.type("go\r")
        terminal.wait_for(echo_chat.BEGIN)
        began = perf_counter()
        terminal.wait_for(echo_chat.END)
        return len(echo_chat.ANSWERS[echo_chat.FAST]) / (perf_counter() - began)


def _fast_engine_speed() -> float:
    began = perf_counter()
    for _event in echo_chat.engine(echo_chat.FAST).stream((), GenerationSettings(), CancelToken()):
        pass
    return len(echo_chat.ANSWERS[echo_chat.FAST]) / (perf_counter() - began)
