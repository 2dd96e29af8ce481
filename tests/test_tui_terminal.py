"""The whole screen on a real terminal: whatever ends it, the terminal is as it was, and no word is lost."""

import os
import re
import signal
import time

import pytest

from tests.programs import HYCHAT, Terminal, children_of, run_hychat, wait_until_gone

SEEDED = {"HYCHAT_SEED": "4"}
"""With it the story begins with Once."""
STORY = "Write a long story about a dragon and a princess."
PRIVATE_MODE = re.compile(r"\x1b\[\?([\d;]+)([hl])")
SHOWN_AT_FIRST = {"7", "25"}
"""Line wrap and the cursor: what a terminal begins with. All other private modes begin switched off."""
KITTY_PUSH, KITTY_POP = re.compile(r"\x1b\[>\d+u"), "\x1b[<u"


def left_modes(written: str) -> set[str]:
    """The private modes that are not as a terminal begins with them."""
    modes: dict[str, str] = {}
    for numbers, switch in PRIVATE_MODE.findall(written):
        modes.update(dict.fromkeys(numbers.split(";"), switch))
    return {mode for mode, switch in modes.items() if (switch == "h") is not (mode in SHOWN_AT_FIRST)}


def assert_left_as_it_was(terminal: Terminal) -> None:
    assert left_modes(terminal.written) == set()
    assert terminal.written.count(KITTY_POP) == len(KITTY_PUSH.findall(terminal.written))
    assert terminal.has_its_modes_back
    assert "Traceback" not in terminal.written


def answers() -> list[str]:
    """The answers of the newest chat."""
    chat = run_hychat("history", "list", "--json").json[0]["id"]
    messages = run_hychat("history", "show", chat, "--json").json["messages"]
    return [message["text"] for message in messages if message["role"] == "assistant"]


def test_the_screen_switches_modes_that_must_be_put_back() -> None:
    with Terminal.running("-m", "echo", columns=80, lines=24) as terminal:
        terminal.wait_for("echo")
        assert {"1049", "1003", "2004", "25"} <= left_modes(terminal.written)


def test_leaving_puts_them_back() -> None:
    with Terminal.running("-m", "echo", columns=80, lines=24) as terminal:
        terminal.wait_for("echo")
        terminal.type("\x11")
        assert terminal.end() == 0
        assert_left_as_it_was(terminal)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_puts_them_back(number: signal.Signals) -> None:
    with Terminal.running("-m", "echo", columns=80, lines=24) as terminal:
        terminal.wait_for("echo")
        os.kill(terminal.pid, number)
        assert terminal.end() == 128 + number
        assert_left_as_it_was(terminal)


def test_a_signal_while_an_answer_is_written_keeps_what_is_there_and_ends_the_engine() -> None:
    with Terminal.running("-m", "starter", "-i", STORY, columns=80, lines=24, env=SEEDED) as terminal:
        terminal.wait_for("Once")
        (engine,) = children_of(terminal.pid)
        os.kill(terminal.pid, signal.SIGTERM)
        assert terminal.end() == 128 + signal.SIGTERM
        assert_left_as_it_was(terminal)
        wait_until_gone(engine)
    assert answers()[0].startswith("Once")


def test_leaving_while_an_answer_is_written_keeps_what_is_there() -> None:
    with Terminal.running("-m", "starter", "-i", STORY, columns=80, lines=24, env=SEEDED) as terminal:
        terminal.wait_for("Once")
        terminal.type("\x11")
        assert terminal.end() == 0
    assert answers()[0].startswith("Once")


def test_a_window_that_is_closed_ends_it_soon_and_keeps_the_answer() -> None:
    with Terminal.running("-m", "starter", "-i", STORY, columns=80, lines=24, env=SEEDED) as terminal:
        terminal.wait_for("Once")
        began = time.monotonic()
        terminal.hang_up()
        assert terminal.end() == 128 + signal.SIGHUP  # by itself, and not by the alarm
        assert time.monotonic() - began < 4
    assert answers()[0].startswith("Once")


def test_a_terminal_that_goes_without_a_signal_ends_it_too() -> None:
    script = """
import os, signal, sys
signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup and a shell's disown have it
from hychat.__main__ import main
main()
"""
    with Terminal.running(
        HYCHAT[0], "-c", script, "-m", "starter", "-i", STORY, columns=80, lines=24, env=SEEDED
    ) as terminal:
        terminal.wait_for("Once")
        terminal.hang_up()
        assert terminal.end() == 128 + signal.SIGHUP
    assert answers()[0].startswith("Once")


def test_an_error_nobody_expected_puts_them_back_and_is_a_sentence() -> None:
    script = """
from hychat.tui.screens.chat import ChatScreen
from hychat.__main__ import main

ChatScreen.action_scroll_to_start = lambda screen: 1 / 0
main()
"""
    with Terminal.running(HYCHAT[0], "-c", script, "-m", "echo", columns=80, lines=24) as terminal:
        terminal.wait_for("echo")
        terminal.type("\x1b[1;5H")
        assert terminal.end() == 1
        assert_left_as_it_was(terminal)
        assert "Something unexpected went wrong: ZeroDivisionError" in terminal.written
