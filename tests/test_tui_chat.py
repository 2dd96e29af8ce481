import re
from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest
from textual import events

from hychat.domain.choices import Style
from hychat.domain.errors import EngineCrashed, ModelTooLarge
from hychat.domain.generation import StopReason
from hychat.domain.message import FilePart, Role, TextPart
from hychat.engine.echo import EchoEngine
from hychat.paths import user_themes_folder
from hychat.tui.app import HychatApp
from hychat.tui.entries import Answer
from hychat.tui.screens.chat import ChatScreen
from tests.pictures.drawing import picture_of
from tests.tui import UNFILTERED, ask, chat_of, running, shown, until


async def test_a_question_and_its_answer_stand_one_under_the_other() -> None:
    async with running(EchoEngine([["Because", " of", " scattering."]])) as (app, pilot):
        await ask(pilot, "Why is the sky blue?")
        await until(pilot, lambda: "Because of scattering." in shown(app))
        rows = shown(app).split("\n")
        question = next(n for n, row in enumerate(rows) if "Why is the sky blue?" in row)
        answer = next(n for n, row in enumerate(rows) if "Because of scattering." in row)
        assert question < answer
        assert rows[question].startswith("▎ ")
        assert rows[answer].startswith("  ")


async def test_an_answer_is_seen_while_it_is_written() -> None:
    gate = Event()
    async with running(EchoEngine([["The first half", gate, " and the second."]])) as (app, pilot):
        await ask(pilot, "Tell me")
        await until(pilot, lambda: "The first half" in shown(app))
        assert "the second" not in shown(app)
        gate.set()
        await until(pilot, lambda: "The first half and the second." in shown(app))


async def test_escape_stops_the_answer_and_keeps_its_text() -> None:
    async with running(EchoEngine([["One", " two", Event(), " three"]])) as (app, pilot):
        await ask(pilot, "Count")
        await until(pilot, lambda: "One two" in shown(app))
        await pilot.press("escape")
        await until(pilot, lambda: not app.desk.is_busy)
        await until(pilot, lambda: "stopped" in shown(app))
        assert app.desk.conversation.messages[-1].stop is StopReason.CANCELLED
        assert app.desk.conversation.messages[-1].text == "One two"


async def test_a_prompt_sent_meanwhile_waits_in_sight_and_is_asked_next() -> None:
    gate = Event()
    async with running(EchoEngine([["First", gate, "."], ["Second."]])) as (app, pilot):
        await ask(pilot, "one")
        await until(pilot, lambda: "First" in shown(app))
        await ask(pilot, "two")
        await until(pilot, lambda: "next: two" in shown(app))
        gate.set()
        await until(pilot, lambda: "Second." in shown(app))
        assert "next: two" not in shown(app)


async def test_stopping_puts_what_waits_back_into_the_prompt() -> None:
    async with running(EchoEngine([["First", Event()]])) as (app, pilot):
        await ask(pilot, "one")
        await until(pilot, lambda: "First" in shown(app))
        await ask(pilot, "two")
        await pilot.press("escape")
        await until(pilot, lambda: chat_of(app).prompt.text == "two")


async def test_the_style_key_walks_through_the_styles_and_the_next_answer_shows_its_own() -> None:
    async with running(EchoEngine([["Good day."]])) as (app, pilot):
        await until(pilot, lambda: "no style" in shown(app))
        await pilot.press("f3")
        await until(pilot, lambda: "formal" in shown(app))
        await ask(pilot, "Hello")
        await until(pilot, lambda: "Good day." in shown(app))
        assert app.desk.conversation.messages[-1].style is Style.FORMAL


async def test_the_temperature_key_goes_a_step_warmer_and_the_other_a_step_cooler() -> None:
    async with running() as (app, pilot):
        await until(pilot, lambda: "0.7" in shown(app))
        await pilot.press("f4")
        await until(pilot, lambda: "0.8" in shown(app))
        await pilot.press("shift+f4", "shift+f4")
        await until(pilot, lambda: "0.6" in shown(app))


async def test_an_unknown_command_is_not_sent_and_the_nearest_is_named() -> None:
    async with running() as (app, pilot):
        await ask(pilot, "/stile formal")
        await until(pilot, lambda: "/style" in shown(app))
        assert not app.desk.conversation.messages
        assert chat_of(app).prompt.text == "/stile formal"


async def test_full_width_slashes_are_slashes_and_two_escape_one() -> None:
    async with running(EchoEngine([["fine"]])) as (app, pilot):
        await ask(pilot, "／style casual")
        await until(pilot, lambda: app.desk.style is Style.CASUAL)
        await ask(pilot, "//style is a command")
        await until(pilot, lambda: "fine" in shown(app))
        assert app.desk.conversation.messages[0].text == "/style is a command"


async def test_an_answer_given_again_is_another_version_and_can_be_walked_to() -> None:
    async with running(EchoEngine([["Heads."], ["Tails."]])) as (app, pilot):
        await ask(pilot, "Toss a coin")
        await until(pilot, lambda: "Heads." in shown(app) and not app.desk.is_busy)
        await pilot.press("f5")
        await until(pilot, lambda: "Tails." in shown(app) and "2/2" in shown(app))
        assert "Heads." not in shown(app)
        row = next(n for n, text in enumerate(shown(app).split("\n")) if "2/2" in text)
        column = shown(app).split("\n")[row].index("‹")
        await pilot.click("#transcript", offset=(column, row))
        await until(pilot, lambda: "Heads." in shown(app) and "1/2" in shown(app))


async def test_three_styles_stand_side_by_side_and_one_can_be_gone_on_with() -> None:
    engine = EchoEngine([["Alpha"], ["Beta"], ["Gamma"]])
    async with running(engine, size=(120, 40)) as (app, pilot):
        await ask(pilot, "/compare Say hello")
        await until(pilot, lambda: all(word in shown(app) for word in ("Alpha", "Beta", "Gamma")))
        await until(pilot, lambda: not app.desk.is_busy)
        row = next(row for row in shown(app).split("\n") if "Alpha" in row)
        assert "Beta" in row
        assert "Gamma" in row
        answers = [message for message in app.desk.conversation.messages if message.role is Role.ASSISTANT]
        assert {message.style for message in answers} == {*Style}


async def test_a_thought_is_one_line_that_opens() -> None:
    engine = EchoEngine([["hmm, let me see", "</think>", "It is four."]], can_think=True)
    async with running(engine) as (app, pilot):
        await ask(pilot, "/think on")
        await ask(pilot, "Two and two?")
        await until(pilot, lambda: "It is four." in shown(app) and "▸ Thought" in shown(app))
        assert "let me see" not in shown(app)
        await pilot.press("ctrl+t")
        await until(pilot, lambda: "hmm, let me see" in shown(app))


def _paragraphs(app: HychatApp) -> list[str]:
    return re.findall(r"paragraph \d+", shown(app))


async def test_down_a_long_answer_the_reader_is_not_moved() -> None:
    gate = Event()
    lines = "\n\n".join(f"paragraph {n}" for n in range(60))
    async with running(EchoEngine([[lines, gate, "\n\nthe end"]])) as (app, pilot):
        await ask(pilot, "Tell me a lot")
        await until(pilot, lambda: "paragraph 59" in shown(app))
        await pilot.press("pageup", "pageup")
        before = _paragraphs(app)
        gate.set()
        await until(pilot, lambda: not app.desk.is_busy)
        assert _paragraphs(app) == before
        await pilot.press("ctrl+end")
        await until(pilot, lambda: "the end" in shown(app))


async def test_a_mentioned_file_goes_before_the_question(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "notes.txt").write_text("the data")
    monkeypatch.chdir(tmp_path)
    async with running(EchoEngine([["read"]])) as (app, pilot):
        await pilot.press("@", "n")
        await until(pilot, lambda: "@notes.txt" in shown(app))
        await pilot.press("tab", *"what")
        assert chat_of(app).prompt.text == "@notes.txt what"
        await pilot.press("enter")
        await until(pilot, lambda: len(app.desk.conversation.messages) == 2)
        part = app.desk.conversation.messages[0].parts[0]
        assert isinstance(part, FilePart)
        assert part.attachment.text == "the data"


async def test_enter_on_an_unfinished_command_completes_it() -> None:
    async with running() as (app, pilot):
        await pilot.press(*"/tem")
        await pilot.press("enter")
        await until(pilot, lambda: chat_of(app).prompt.text == "/temperature ")


async def test_down_goes_through_the_completions() -> None:
    async with running() as (app, pilot):
        await pilot.press(*"/st")
        await pilot.press("down", "tab")
        await until(pilot, lambda: chat_of(app).prompt.text == "/stats ")


async def test_a_long_paste_stands_beside_the_words() -> None:
    async with running(EchoEngine([["ok"]])) as (app, pilot):
        chat_of(app).prompt.post_message(events.Paste("x" * 10_000))
        await until(pilot, lambda: "paste 1" in shown(app))
        await ask(pilot, "what is it?")
        await until(pilot, lambda: len(app.desk.conversation.messages) == 2)
        assert [type(part) for part in app.desk.conversation.messages[0].parts] == [FilePart, TextPart]


async def test_an_engine_that_dies_is_a_sentence_and_the_next_question_works() -> None:
    dying = EchoEngine([["It was", EngineCrashed("The engine ended.", hint="Ask again.")], ["fine"]])
    async with running(dying) as (app, pilot):
        await ask(pilot, "one")
        await until(pilot, lambda: "The engine ended." in shown(app) and "It was" in shown(app))
        await ask(pilot, "two")
        await until(pilot, lambda: "fine" in shown(app))


async def test_a_question_that_could_not_be_asked_comes_back_into_the_prompt() -> None:
    no_room = ModelTooLarge("There is not enough memory.")
    engine = EchoEngine(load=[no_room, no_room])
    async with running(engine) as (app, pilot):
        await until(pilot, lambda: "not enough memory" in shown(app))
        await ask(pilot, "precious words")
        await until(pilot, lambda: chat_of(app).prompt.text == "precious words")


async def test_all_is_said_in_the_other_language_at_once() -> None:
    async with running() as (app, pilot):
        await until(pilot, lambda: "no style" in shown(app))
        await pilot.press("f8")
        await until(pilot, lambda: "不限风格" in shown(app))
        await pilot.press("f8")
        await until(pilot, lambda: "no style" in shown(app))


async def test_ctrl_c_clears_a_draft_then_asks_once_more_before_it_leaves() -> None:
    async with running() as (app, pilot):
        await pilot.press(*"draft")
        await pilot.press("ctrl+c")
        assert chat_of(app).prompt.text == ""
        await pilot.press("up")
        assert chat_of(app).prompt.text == "draft"
        await pilot.press("ctrl+c", "ctrl+c", "ctrl+c")
        await until(pilot, lambda: app._exit)


async def test_a_broken_theme_is_told_and_the_chat_opens() -> None:
    folder = user_themes_folder()
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text("background: nocolour\n")
    async with running(config=replace(UNFILTERED, theme="mine")) as (app, pilot):
        await until(pilot, lambda: "mine.yaml" in shown(app))


async def test_an_earlier_question_is_changed_on_a_branch_of_its_own() -> None:
    async with running(EchoEngine([["one!"], ["two!"], ["three!"]])) as (app, pilot):
        for text in ("first", "second"):
            await ask(pilot, text)
            await until(pilot, lambda: not app.desk.is_busy and text in shown(app))  # noqa: B023 - used at once
        await pilot.press("alt+up", "alt+up")
        await until(pilot, lambda: chat_of(app).prompt.text == "first" and "Changing an earlier question" in shown(app))
        assert "two!" in shown(app)
        await ask(pilot, "other")
        await until(pilot, lambda: "three!" in shown(app))
        assert "second" not in shown(app)
        assert "2/2" in shown(app)


async def test_escape_leaves_an_earlier_question_as_it_was() -> None:
    async with running(EchoEngine([["one!"]])) as (app, pilot):
        await ask(pilot, "first")
        await until(pilot, lambda: "one!" in shown(app) and not app.desk.is_busy)
        await ask(pilot, "/edit")
        await until(pilot, lambda: chat_of(app).prompt.text == "first")
        await pilot.press("escape")
        await until(pilot, lambda: chat_of(app).prompt.text == "")
        assert len(app.desk.branch) == 2


async def test_a_compacted_chat_goes_on_from_its_summary() -> None:
    engine = EchoEngine([["a long answer"], ["They talked."], ["yes"]])
    async with running(engine) as (app, pilot):
        await ask(pilot, "first")
        await until(pilot, lambda: "a long answer" in shown(app) and not app.desk.is_busy)
        whole = app.desk.conversation.id
        await ask(pilot, "/compact")
        await until(pilot, lambda: app.desk.conversation.id != whole and not app.desk.is_busy)
        assert "They talked." in app.desk.conversation.system
        assert not app.desk.conversation.messages
        assert len(app.desk.runtime.history().load(whole).messages) == 2
        await ask(pilot, "and then?")
        await until(pilot, lambda: "yes" in shown(app))


async def test_up_goes_back_to_what_was_asked_in_earlier_runs() -> None:
    async with running(EchoEngine([["hello"]])) as (app, pilot):
        await ask(pilot, "from another day")
        await until(pilot, lambda: "hello" in shown(app) and not app.desk.is_busy)
    async with running() as (app, pilot):
        await until(pilot, lambda: bool(chat_of(app).prompt.sent))
        await pilot.press("up")
        assert chat_of(app).prompt.text == "from another day"


async def test_leaving_in_the_middle_of_an_answer_keeps_what_was_written() -> None:
    async with running(EchoEngine([["half an answer", Event()]])) as (app, pilot):
        await ask(pilot, "go on")
        await until(pilot, lambda: "half an answer" in shown(app))
        await pilot.press("ctrl+q")
        await until(pilot, lambda: app._exit)
        last = app.desk.runtime.history().latest()
        assert last is not None
        assert [message.text for message in last.messages] == ["go on", "half an answer"]


async def test_keys_keep_their_order_while_the_screen_is_busy() -> None:
    async with running() as (app, pilot):
        prompt = chat_of(app).prompt
        for key, character in [("x", "x"), ("backspace", None), ("y", "y"), ("left", None), ("z", "z")]:
            prompt.post_message(events.Key(key, character))
        await until(pilot, lambda: prompt.text == "zy")


async def test_a_growing_answer_is_painted_as_if_all_of_it_were_painted() -> None:
    gates = [Event() for _nth in range(12)]
    text = [
        "# A title\n\n",
        "Some **bold",
        "** words.\n\n",
        "- one\n",
        "- two\n\n",
        "| a | b |\n|---|---|\n",
        "| 1 | 2 |\n",
    ]
    text += ["\n```python\ndef f():\n", "    return 1\n```\n", "天空是蓝色的。\n\n", "word\n\n" * 12, "the end"]
    steps = [step for piece, gate in zip(text, gates, strict=True) for step in (piece, gate)]
    async with running(EchoEngine([steps]), size=(60, 18)) as (app, pilot):
        await ask(pilot, "Tell me")
        for nth, gate in enumerate(gates):
            source = "".join(text[: nth + 1])
            await until(pilot, lambda: _answered(chat_of(app)) == source.rstrip())  # noqa: B023 - at once
            await pilot.pause()
            seen = picture_of(app)
            chat_of(app).transcript.refresh()
            await pilot.pause()
            assert picture_of(app) == seen
            gate.set()
        await until(pilot, lambda: not app.desk.is_busy)
        bar = chat_of(app).transcript.vertical_scrollbar
        assert bar.position == bar.window_virtual_size - bar.window_size


def _answered(chat: ChatScreen) -> str:
    last = chat.transcript.column.entries[-1]
    return last._written(last._text).rstrip() if isinstance(last, Answer) else ""


async def test_a_reader_in_a_long_answer_stays_there_when_the_window_changes() -> None:
    answer = "".join(f"paragraph {nth} with some words that are long enough for rows.\n\n" for nth in range(60))
    async with running(EchoEngine([[answer]])) as (app, pilot):
        await ask(pilot, "Tell me")
        await until(pilot, lambda: not app.desk.is_busy and "paragraph 59" in shown(app))
        await pilot.press(*["pageup"] * 4)
        await pilot.pause()
        first = _paragraphs(app)[0]
        await pilot.resize_terminal(60, 24)
        await pilot.pause()
        assert _paragraphs(app)[0] == first
        await pilot.resize_terminal(80, 24)
        await pilot.pause()
        assert _paragraphs(app)[0] == first
