"""The chat in a real terminal, with the real starter model: what a person sees, and what the terminal is left as."""

import os
import shlex
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.programs import HYCHAT, Terminal, children_of, run_hychat

ENTER, ESCAPE, UP = "\r", "\x1b", "\x1b[A"
F1, F3, F4, F8 = "\x1bOP", "\x1bOR", "\x1bOS", "\x1b[19~"
CTRL_D = "\x04"
LONG = "Write a long story about a dragon and a princess."
IS_CUT = "cut at the longest length"
AT_THE_END = {"1049": "l", "1000": "l", "1003": "l", "1006": "l", "1004": "l", "2004": "l", "25": "h"}
"""Private modes and how they must be left: alternate screen, mouse, focus and bracketed paste off, the cursor shown."""
PAPER = "48;2;251;250;246"
"""The background of the theme, as a terminal is told it."""


def settings(**more: str) -> dict[str, str]:
    """The environment of a run: the same answer each time, and all colours."""
    return {"HYCHAT_MODEL": "starter", "HYCHAT_SEED": "1", "COLORTERM": "truecolor", **more}


@contextmanager
def chat(*arguments: str, size: tuple[int, int] = (90, 24), **env: str) -> Iterator[Terminal]:
    """The chat, its model loaded."""
    with Terminal.running(*arguments, columns=size[0], lines=size[1], env=settings(**env)) as terminal:
        terminal.wait_until_shown("CPU")
        yield terminal


def ask(terminal: Terminal, text: str) -> None:
    terminal.type(text)
    terminal.wait_until_shown(text[-30:])
    terminal.type(ENTER)


def wait_until_it_tells_the_story(terminal: Terminal) -> None:
    terminal.wait_until(lambda shown: "dragon" in shown.replace(LONG, ""))


def is_left_as_it_was(terminal: Terminal) -> bool:
    """By the last word on each mode, and by the terminal's own settings."""
    is_back = all(_last_word(terminal.written, mode) == word for mode, word in AT_THE_END.items())
    return is_back and terminal.has_its_modes_back


def _last_word(written: str, mode: str) -> str:
    return max("hl", key=lambda word: written.rfind(f"\x1b[?{mode}{word}"))


def test_an_answer_is_stopped_and_the_next_has_another_style_and_temperature() -> None:
    with chat() as terminal:
        ask(terminal, LONG)
        wait_until_it_tells_the_story(terminal)
        terminal.type(ESCAPE)
        terminal.wait_until(lambda shown: "stopped" in shown and "dragon" in shown.replace(LONG, ""))
        terminal.type(F3)
        terminal.wait_until_shown("formal")
        terminal.type(F4)
        terminal.wait_until_shown("temp 0.3")
        ask(terminal, "/set max_tokens 5")
        terminal.wait_until_shown("max_tokens is now 5")
        ask(terminal, "Say hello.")
        terminal.wait_until_shown("formal  ·  temp 0.3")
        terminal.type(CTRL_D)
        assert terminal.end() == 0
        assert is_left_as_it_was(terminal)
    assert "dragon" in run_hychat("history", "list").out


def test_an_engine_that_is_killed_is_a_sentence_and_the_next_question_works() -> None:
    with chat(HYCHAT_MAX_TOKENS="200") as terminal:
        ask(terminal, LONG)
        wait_until_it_tells_the_story(terminal)
        for child in children_of(terminal.pid):
            os.kill(child, signal.SIGKILL)
        terminal.wait_until_shown("The engine ended unexpectedly (SIGKILL).")
        ask(terminal, "/set max_tokens 5")
        ask(terminal, "Say hello.")
        terminal.wait_until_shown(IS_CUT)


def test_the_next_run_goes_on_with_the_chat() -> None:
    with chat(HYCHAT_MAX_TOKENS="5") as terminal:
        ask(terminal, "My name is Ann.")
        terminal.wait_until_shown(IS_CUT)
        ask(terminal, "/exit")
        assert terminal.end() == 0
        assert is_left_as_it_was(terminal)
    with chat("-c", HYCHAT_MAX_TOKENS="5") as terminal:
        terminal.wait_until_shown("My name is Ann.")

        def is_walked_to(shown: str) -> bool:
            terminal.type(UP)  # does nothing before the history is read, and nothing above its first question
            return shown.count("My name is Ann.") == 2

        terminal.wait_until(is_walked_to)


def test_theme_and_language_are_switched_live() -> None:
    with chat() as terminal:
        before = len(terminal.written)
        ask(terminal, "/theme paper")
        terminal.wait_until(lambda _shown: PAPER in terminal.written[before:])
        terminal.type(F8)
        terminal.wait_until_shown("上下文")


def test_a_question_on_the_command_line_is_sent_at_once() -> None:
    with chat("-i", "Say hello.", HYCHAT_MAX_TOKENS="5") as terminal:
        terminal.wait_until_shown(IS_CUT)
        assert any("Say hello." in row for row in terminal.screen.display())


def test_piped_data_goes_before_the_question_and_keys_come_from_the_terminal(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("The meeting is on Monday.", encoding="utf-8")
    line = f"cat {tmp_path}/notes.txt | {shlex.join(HYCHAT)} -i 'When is the meeting?'"
    env = settings(HYCHAT_MAX_TOKENS="5")
    with Terminal.running("/bin/bash", "-c", line, columns=90, lines=24, env=env) as terminal:
        terminal.wait_until_shown(IS_CUT)
        assert any("stdin" in row for row in terminal.screen.display())
        terminal.type(CTRL_D)
        assert terminal.end() == 0


def test_a_pipe_alone_does_not_open_the_chat() -> None:
    with Terminal.running("/bin/bash", "-c", f"{shlex.join(HYCHAT)} < /dev/null", env=settings()) as terminal:
        assert terminal.end() == 2
        assert "\x1b[?1049h" not in terminal.written
        assert terminal.rows[0] == "hychat: There is nothing to ask."


def test_without_a_terminal_there_is_no_chat() -> None:
    ended = run_hychat("-i", "hello")
    assert ended.code == 2
    assert ended.error.startswith("hychat: The chat needs a terminal")


def test_keys_typed_before_the_model_is_loaded_are_not_lost() -> None:
    with Terminal.running(columns=90, lines=24, env=settings()) as terminal:
        terminal.wait_until_shown("Ask anything")
        terminal.type("precious")
        terminal.wait_until(lambda shown: "precious" in shown and "CPU" in shown)


@pytest.mark.parametrize("size", [(60, 18), (200, 60)])
def test_prompt_and_status_stand_at_the_bottom_at_any_size(size: tuple[int, int]) -> None:
    with chat(size=size) as terminal:
        terminal.wait_until(_has_prompt_and_status_at_the_bottom)
        terminal.type(F1)
        terminal.wait_until_shown("Keys and commands")
        terminal.type(ESCAPE)
        terminal.wait_until(_has_prompt_and_status_at_the_bottom)


def _has_prompt_and_status_at_the_bottom(shown: str) -> bool:
    *_rest, prompt, _empty, status = (row.strip() for row in shown.split("\n"))
    return prompt.startswith("▎ Ask anything") and status.startswith("starter   CPU")
