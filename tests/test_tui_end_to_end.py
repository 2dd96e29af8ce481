"""The chat in a real terminal, with the real starter model: what a person sees, and what the terminal is left as."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.programs import HYCHAT, Terminal, children_of, run_hychat

ESCAPE = "\x1b"
ENTER = "\r"
F3, F4, F8 = "\x1bOR", "\x1bOS", "\x1b[19~"
CTRL_C, CTRL_D = "\x03", "\x04"
LONG = "Write a long story about a dragon and a princess."


@contextmanager
def chat(*arguments: str, **env: str) -> Iterator[Terminal]:
    """The chat, ready to be asked."""
    settings = {"HYCHAT_MODEL": "starter", "HYCHAT_SEED": "1", "COLORTERM": "truecolor", **env}
    with Terminal.running(*arguments, columns=90, lines=24, env=settings) as terminal:
        terminal.wait_until_shown("CPU")
        yield terminal


def ask(terminal: Terminal, text: str) -> None:
    terminal.type(text)
    terminal.wait_until_shown(text[-30:])
    terminal.type(ENTER)


def is_left_as_it_was(terminal: Terminal) -> bool:
    """The alternate screen, the mouse, bracketed paste and the cursor, by the last word on each."""
    last_words = {"1049": "l", "1000": "l", "2004": "l", "25": "h"}
    is_back = all(_last_word(terminal.written, mode) == word for mode, word in last_words.items())
    return is_back and terminal.has_its_modes_back


def _last_word(written: str, mode: str) -> str:
    return max("hl", key=lambda word: written.rfind(f"\x1b[?{mode}{word}"))


def test_a_chat_is_asked_stopped_styled_and_left() -> None:
    with chat() as terminal:
        ask(terminal, LONG)
        terminal.wait_until(lambda shown: "dragon" in shown.replace(LONG, ""))
        terminal.type(ESCAPE)
        terminal.wait_until_shown("stopped")
        terminal.type(F3)
        terminal.wait_until_shown("formal")
        terminal.type(F4)
        terminal.wait_until_shown("temp 0.3")
        ask(terminal, "/set max_tokens 5")
        terminal.wait_until_shown("max_tokens is now 5")
        ask(terminal, "Say hello.")
        terminal.wait_until(lambda shown: "formal  ·  0.3" in shown)
        terminal.type(CTRL_D)
        assert terminal.end() == 0
        assert is_left_as_it_was(terminal)
    told = run_hychat("history", "list")
    assert "dragon" in told.out


def test_an_engine_that_is_killed_is_a_sentence_and_the_next_question_works() -> None:
    with chat(HYCHAT_MAX_TOKENS="200") as terminal:
        ask(terminal, LONG)
        terminal.wait_until(lambda shown: "dragon" in shown.replace(LONG, ""))
        for child in children_of(terminal.pid):
            os.kill(child, signal.SIGKILL)
        terminal.wait_until_shown("The engine ended unexpectedly (SIGKILL).")
        ask(terminal, "/set max_tokens 5")
        ask(terminal, "Say hello.")
        terminal.wait_until_shown("cut at the longest length")


def test_the_next_run_goes_on_with_the_chat() -> None:
    with chat(HYCHAT_MAX_TOKENS="5") as terminal:
        ask(terminal, "My name is Ann.")
        terminal.wait_until_shown("cut at the longest length")
        ask(terminal, "/exit")
        assert terminal.end() == 0
    with chat("-c", HYCHAT_MAX_TOKENS="5") as terminal:
        terminal.wait_until_shown("My name is Ann.")
        terminal.type("\x1b[A")  # Up
        terminal.wait_until(lambda shown: shown.count("My name is Ann.") == 2)


def test_theme_and_language_are_switched_live() -> None:
    with chat() as terminal:
        before = len(terminal.written)
        ask(terminal, "/theme paper")
        terminal.wait_until(lambda _shown: "48;2;251;250;246" in terminal.written[before:])
        terminal.type(F8)
        terminal.wait_until_shown("上下文")


def test_a_question_on_the_command_line_is_sent_at_once() -> None:
    with chat("-i", "Say hello.", HYCHAT_MAX_TOKENS="5") as terminal:
        terminal.wait_until_shown("cut at the longest length")
        assert any("Say hello." in row for row in terminal.screen.display())


def test_piped_data_goes_before_the_question_and_keys_come_from_the_terminal(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("The meeting is on Monday.")
    line = f"cat {tmp_path}/notes.txt | {' '.join(HYCHAT)} -i 'When is the meeting?'"
    settings = {"HYCHAT_MODEL": "starter", "HYCHAT_MAX_TOKENS": "5"}
    with Terminal.running("/bin/bash", "-c", line, columns=90, lines=24, env=settings) as terminal:
        terminal.wait_until_shown("cut at the longest length")
        assert any("stdin" in row for row in terminal.screen.display())
        terminal.type(CTRL_D)
        assert terminal.end() == 0


def test_without_a_terminal_there_is_no_chat() -> None:
    ended = run_hychat("-i", "hello")
    assert ended.code == 2
    assert "needs a terminal" in ended.error


def test_keys_typed_before_the_model_is_loaded_are_not_lost() -> None:
    with Terminal.running(columns=90, lines=24, env={"HYCHAT_MODEL": "starter"}) as terminal:
        terminal.wait_until_shown("Ask anything")
        terminal.type("precious")
        terminal.wait_until_shown("precious")


@pytest.mark.parametrize("size", [(60, 18), (80, 24), (200, 60)])
def test_nothing_overflows_at_any_size(size: tuple[int, int]) -> None:
    columns, lines = size
    with Terminal.running(columns=columns, lines=lines, env={"HYCHAT_MODEL": "starter"}) as terminal:
        terminal.wait_until_shown("CPU")
        terminal.type("\x1bOP")  # F1
        terminal.wait_until_shown("Keys and commands")
        assert len(terminal.screen.display()) == lines
        terminal.type(ESCAPE)
        terminal.wait_until_shown("Ask anything")
