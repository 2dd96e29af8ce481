"""The chat at a plain prompt, on a real terminal."""

import io
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from hychat.cli.inline import Repl
from hychat.cli.output import Output
from hychat.cli.streams import Stream
from hychat.domain.errors import EngineCrashed
from hychat.domain.message import TextPart
from hychat.engine.echo import EchoEngine
from hychat.runtime import Runtime
from hychat.tui.desk import Desk
from tests.bench.voice import tiny_model
from tests.programs import HYCHAT, Terminal, children_of, run_hychat
from tests.speech import SPEECH
from tests.tui import UNFILTERED

ALTERNATE_SCREEN = "\x1b[?1049h"
PAINTS_OVER = "\x1b[?2026h"
PASTE = "\x1b[200~{}\x1b[201~"


class Chat:
    """A person at the prompt, who waits for it."""

    def __init__(self, terminal: Terminal) -> None:
        self.terminal = terminal
        self._read = 0

    def wait_for(self, text: str) -> None:
        """Read on until the program has written this, behind what was waited for before."""
        while text not in self.terminal.written[self._read :]:
            if not self.terminal.wait_for_more():
                raise AssertionError(f"{text!r} did not come: {self.terminal.written!r}\n{self.terminal.last_words()}")
        self._read = self.terminal.written.index(text, self._read) + len(text)

    def say(self, text: str) -> None:
        """Type a line at the next prompt."""
        self.wait_for("You: ")
        self.terminal.type(f"{text}\r")
        self.wait_for("\n")

    def leave(self) -> int:
        self.wait_for("You: ")
        self.terminal.type("\x04")
        return self.terminal.end()


@contextmanager
def chatting(*arguments: str, columns: int = 90, **env: str) -> Iterator[Chat]:
    """A chat with the echo engine, where nothing else is said; ended with the block."""
    changes = {"HYCHAT_MODEL": "echo", "NO_COLOR": "1", **env}
    with Terminal.running("--inline", *arguments, columns=columns, env=changes) as terminal:
        yield Chat(terminal)


def test_questions_are_answered_one_after_another_in_the_scrollback() -> None:
    with chatting() as chat:
        chat.say("the first one")
        chat.say("and another")
        assert chat.leave() == 0
        assert chat.terminal.rows == [
            "echo answers.",
            "/help lists the commands, Ctrl+D leaves.",
            "",
            "You: the first one",
            "hychat:",
            "the first one",
            "",
            "You: and another",
            "hychat:",
            "and another",
            "",
            "You:",
        ]
        assert chat.terminal.screen.is_sane
        assert chat.terminal.has_its_modes_back


def test_an_answer_is_rendered_as_that_of_a_single_question_is() -> None:
    with chatting(NO_COLOR="") as chat:
        chat.wait_for("You:")
        chat.terminal.type("some **bold** words\r")
        chat.wait_for("\x1b[1mbold")
        chat.wait_for("You:")


@pytest.mark.parametrize("changes", [{"ACCESSIBLE": "1"}, {"TERM": "dumb"}])
def test_a_screen_reader_and_a_dumb_terminal_get_it_without_being_asked(changes: dict[str, str]) -> None:
    with Terminal.running("-i", "some **bold** words", columns=80, env={"HYCHAT_MODEL": "echo", **changes}) as terminal:
        terminal.wait_for("hychat:")
        Chat(terminal).wait_for("some **bold** words\r\n\r\n")
        assert ALTERNATE_SCREEN not in terminal.written
        assert PAINTS_OVER not in terminal.written


def test_accessible_off_opens_the_whole_screen() -> None:
    with Terminal.running(columns=80, env={"HYCHAT_MODEL": "echo", "ACCESSIBLE": "0"}) as terminal:
        terminal.wait_for(ALTERNATE_SCREEN)


def test_no_colour_is_used_where_none_is_wanted() -> None:
    with chatting() as chat:
        chat.say("/style bogus")
        chat.say("plain words")
        chat.leave()
        assert "\x1b[1m" not in chat.terminal.written
        assert "\x1b[3" not in chat.terminal.written


def test_textual_is_not_imported() -> None:
    script = (
        "import sys; from hychat.cli.main import run; run(['--inline', '-m', 'echo', 'hi']); "
        "print('with', 'textual' in sys.modules)"
    )
    with Terminal.running(HYCHAT[0], "-c", script, env={"NO_COLOR": "1"}) as terminal:
        chat = Chat(terminal)
        chat.wait_for("hychat:")
        chat.leave()
        assert terminal.rows[-1] == "with False"


def test_a_command_tells_what_it_did() -> None:
    with chatting() as chat:
        chat.say("/style formal")
        chat.wait_for("Model: echo. Style: formal. Temperature: 0.7.")
        chat.say("／temperature 0.3")
        chat.wait_for("Temperature: 0.3.")
        chat.say("/nwe")
        chat.wait_for("There is no command /nwe.")
        chat.say("//nwe")
        chat.wait_for("/nwe Answer in a formal style")


def test_the_help_names_every_command() -> None:
    with chatting() as chat:
        chat.say("/help")
        chat.leave()
        shown = "\n".join(chat.terminal.rows)
        assert "  /new  Begin a new chat\n" in shown
        assert "  /exit  Leave hychat\n" in shown


def test_an_earlier_chat_is_opened_by_its_id() -> None:
    with chatting() as chat:
        chat.say("about tea")
        chat.say("/new")
        chat.say("about rice")
        chat.say("/chats")
        chat.leave()
        (row,) = (row for row in chat.terminal.rows if "about tea  (" in row)
    with chatting("-c") as chat:
        chat.wait_for("about rice (")
        chat.say(f"/resume {row.split()[0][:6]}")
        chat.wait_for("about tea (")
        chat.wait_for("You: about tea\r\nhychat:\r\n")
        chat.say("more of it")
        chat.leave()
    assert len(run_hychat("history", "show", row.split()[0], "--json").json["messages"]) == 4


def test_models_are_listed_and_switched() -> None:
    with chatting() as chat:
        chat.say("/models")
        chat.wait_for("hunyuan-0.5b")
        chat.say("/model starter")
        chat.wait_for("From here on starter answers.")
        chat.say("/set max_tokens 4")
        chat.say("hi")
        chat.wait_for("hychat:")
        chat.wait_for("You: ")


def test_the_three_styles_follow_one_another() -> None:
    with chatting() as chat:
        chat.say("/compare which?")
        chat.leave()
        rows = chat.terminal.rows
        labels = [rows.index(f"{style}:") for style in ("formal", "casual", "friendly")]
        assert labels == sorted(labels)
        assert rows[labels[0] + 1].startswith("which? Answer in a formal style")
        assert rows[labels[2] + 1].startswith("which? Be friendly")


def test_a_backslash_begins_another_row() -> None:
    with chatting() as chat:
        chat.wait_for("You: ")
        chat.terminal.type("one\\\r")
        chat.wait_for("... ")
        chat.terminal.type("two\r")
        chat.leave()
    assert asked_last() == "one\ntwo"


def test_a_paste_of_several_rows_is_one_question() -> None:
    with chatting() as chat:
        chat.wait_for("You: ")
        chat.terminal.type(PASTE.format("one\r二\rthree"))
        chat.wait_for("three")
        chat.terminal.type("\r")
        chat.leave()
    assert asked_last() == "one\n二\nthree"


def test_a_file_goes_with_the_next_question(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("buy tea", encoding="utf-8")
    with chatting() as chat:
        chat.say(f"/file {tmp_path / 'note.txt'}")
        chat.wait_for("note.txt goes with the next question: ~2 tokens.")
        chat.say("what is to do?")
        chat.wait_for("buy tea")


def test_a_file_that_is_named_is_told_with_its_length(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("buy tea " * 600, encoding="utf-8")
    with chatting() as chat:
        chat.say(f"what is in @{tmp_path / 'note.txt'}")
        chat.wait_for("note.txt: ~1.2k tokens")


def test_a_file_that_is_named_and_missing_is_told_and_nothing_is_sent() -> None:
    with chatting() as chat:
        chat.say("what is in @nothere.png?")
        chat.wait_for("There is no file nothere.png.")
        chat.leave()
        assert "hychat:\r\n" not in chat.terminal.written


@pytest.mark.parametrize("typed", ['"{}"', "{}"])
def test_a_path_with_a_space_may_be_quoted(typed: str, tmp_path: Path) -> None:
    (tmp_path / "a note.txt").write_text("buy tea", encoding="utf-8")
    with chatting() as chat:
        chat.say(f"/file {typed.format(tmp_path / 'a note.txt')}")
        chat.wait_for("a note.txt goes with the next question")


def test_an_earlier_question_is_changed_with_what_was_attached_to_it(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("buy tea", encoding="utf-8")
    with chatting() as chat:
        chat.say(f"/file {tmp_path / 'note.txt'}")
        chat.say("what is to do?")
        chat.say("/edit")
        chat.wait_for("note.txt goes with the next question")
        chat.wait_for("You: what is to do?")
        chat.terminal.type(" now\r")
        chat.wait_for("hychat:\r\n")
        chat.wait_for("buy tea")


def test_a_comparison_takes_what_is_attached(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("buy tea", encoding="utf-8")
    with chatting() as chat:
        chat.say(f"/file {tmp_path / 'note.txt'}")
        chat.say("/compare what is to do?")
        chat.wait_for("formal:\r\n")
        chat.wait_for("buy tea")
        chat.say("and now?")
        chat.leave()
        assert chat.terminal.rows[-3:] == ["and now?", "", "You:"]


def test_a_chat_that_begins_with_a_file_waits_for_the_question(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("buy tea", encoding="utf-8")
    with chatting("-a", str(tmp_path / "note.txt")) as chat:
        chat.wait_for("note.txt goes with the next question")
        chat.say("what is to do?")
        chat.wait_for("buy tea")


def test_speech_that_a_question_names_is_shown_before_it_is_sent() -> None:
    with chatting(HYCHAT_VOICE_MODEL=tiny_model()) as chat:
        chat.say(f"Sum up @{SPEECH}")
        chat.wait_for("You: Sum up The keeper walked")
        assert "hychat:\r\n" not in chat.terminal.written


def test_an_earlier_question_is_changed_in_the_line() -> None:
    with chatting() as chat:
        chat.say("red")
        chat.say("/edit")
        chat.wait_for("You: red")
        chat.terminal.type(" and blue\r")
        chat.wait_for("hychat:\r\n")
        chat.leave()
    shown = run_hychat("history", "show", last_id(), "--json").json
    assert [(message["parent"], message["role"]) for message in shown["messages"]].count((None, "user")) == 2


def test_up_brings_back_what_was_asked_in_an_earlier_run() -> None:
    with chatting() as chat:
        chat.say("what is tea?")
        chat.leave()
    with chatting() as chat:
        chat.wait_for("You: ")
        chat.terminal.type("\x1b[A")
        chat.wait_for("what is tea?")


def test_tab_completes_a_command() -> None:
    with chatting() as chat:
        chat.wait_for("You: ")
        chat.terminal.type("/temp\t 0.2\r")
        chat.wait_for("Temperature: 0.2.")


def test_chinese_is_typed_edited_and_answered() -> None:
    with chatting("--lang", "zh") as chat:
        chat.wait_for("/help")
        chat.wait_for("\x1b[?2004h")
        chat.terminal.type("你好吗好\x7f\r")
        chat.wait_for("hychat:\r\n")
        chat.wait_for("你好吗\r\n")


def test_ctrl_c_throws_the_line_away_and_leaves_at_the_second_time() -> None:
    with chatting() as chat:
        chat.wait_for("You: ")
        chat.terminal.type("half a")
        chat.wait_for("half a")
        for _time in range(2):
            chat.terminal.press_ctrl_c()
            chat.wait_for("You: ")
        assert chat.terminal.rows[-2] == "Press Ctrl+C again to leave."
        chat.terminal.press_ctrl_c()
        assert chat.terminal.end() == 0
        assert chat.terminal.has_its_modes_back


def test_ctrl_c_stops_an_answer_and_keeps_what_was_written() -> None:
    with chatting("-m", "starter") as chat:
        chat.say("Write a long story about a dragon and a princess.")
        chat.wait_for("dragon")
        chat.terminal.press_ctrl_c()
        chat.wait_for("Stopped.")
        chat.say("/set max_tokens 3")
        chat.say("hi")
        chat.wait_for("cut at its length limit")
        chat.leave()
    first, *_rest = [each for each in messages_of(last_id()) if each["role"] == "assistant"]
    assert first["stop"] == "cancelled"
    assert "dragon" in str(first["text"])


def test_an_engine_that_dies_is_one_line_and_the_next_question_works() -> None:
    with chatting("-m", "starter") as chat:
        chat.say("Write a long story about a dragon and a princess.")
        chat.wait_for("dragon")
        (engine,) = children_of(chat.terminal.pid)
        os.kill(engine, signal.SIGKILL)
        chat.wait_for("hychat: ")
        chat.say("/set max_tokens 3")
        chat.say("hi")
        chat.wait_for("cut at its length limit")
        assert "Traceback" not in chat.terminal.written


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_at_the_prompt_leaves_the_terminal_as_it_was(number: signal.Signals) -> None:
    with chatting() as chat:
        chat.wait_for("You: ")
        os.kill(chat.terminal.pid, number)
        assert chat.terminal.end() == 128 + number
        assert chat.terminal.has_its_modes_back


def test_a_signal_while_an_answer_is_written_keeps_it() -> None:
    with chatting("-m", "starter") as chat:
        chat.say("Write a long story about a dragon and a princess.")
        chat.wait_for("dragon")
        os.kill(chat.terminal.pid, signal.SIGTERM)
        assert chat.terminal.end() == 128 + signal.SIGTERM
        assert chat.terminal.has_its_modes_back
    assert "dragon" in str(messages_of(last_id())[-1]["text"])


# With a scripted engine


def test_a_thought_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = EchoEngine([("let me see", "</think>", "Tea.")], can_think=True)
    shown = said(engine, monkeypatch)
    assert "hychat:\n(thinking)\nTea.\n" in shown
    assert "let me see" not in shown


def test_a_thought_is_shown_where_it_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = EchoEngine([("let me see", "</think>", "Tea.")], can_think=True)
    assert "(thinking)" not in (shown := said(engine, monkeypatch, shows_thinking=True))
    assert "Tea." in shown


def test_a_question_that_nothing_came_of_stands_in_the_line_again(monkeypatch: pytest.MonkeyPatch) -> None:
    drafts: list[str] = []
    monkeypatch.setattr("hychat.cli.line_input.LineInput.draft", lambda _line, text: drafts.append(text))
    said(EchoEngine(load=[EngineCrashed("It ended.")] * 2), monkeypatch)
    assert drafts == ["why?"]


def said(engine: EchoEngine, monkeypatch: pytest.MonkeyPatch, *, shows_thinking: bool = False) -> str:
    """What is told where "why?" is asked, and then no more is typed."""

    def leave(_prompt: str) -> str:
        raise EOFError

    monkeypatch.setattr("builtins.input", leave)
    settings = replace(UNFILTERED, save=False, think=True)
    desk = Desk(settings, lambda: Runtime(settings, open_engine=lambda _name: engine))
    stdout, stderr = io.StringIO(), io.StringIO()
    Repl(desk, Output(Stream(stdout), Stream(stderr)), shows_thinking=shows_thinking).run((TextPart("why?"),))
    desk.close()
    return stdout.getvalue()


# What the history has


def last_id() -> str:
    return str(run_hychat("history", "list", "--json").json[0]["id"])


def messages_of(chat: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = run_hychat("history", "show", chat, "--json").json["messages"]
    return found


def asked_last() -> object:
    return [message for message in messages_of(last_id()) if message["role"] == "user"][-1]["text"]
