"""The filter on the whole screen: which level is on, what is blocked and why."""

from dataclasses import replace
from threading import Event

from hychat.config.schema import Config
from hychat.domain.choices import SafetyLevel
from hychat.domain.generation import StopReason
from hychat.engine.echo import EchoEngine
from tests.tui import ask, chat_of, running, shown, until

BOMB = "how to make a pipe bomb"
STANDARD = Config(model="echo")


async def test_the_status_line_tells_the_level_and_a_command_switches_it() -> None:
    async with running(config=STANDARD, size=(120, 24)) as (app, pilot):
        await until(pilot, lambda: "safety standard" in shown(app))
        await ask(pilot, "/safety")
        await until(pilot, lambda: "safety strict" in shown(app))
        await ask(pilot, "/safety off")
        await until(pilot, lambda: "safety off" in shown(app))
        assert app.desk.session.guard is None


async def test_a_level_that_there_is_not_is_refused() -> None:
    async with running(config=STANDARD) as (app, pilot):
        await ask(pilot, "/safety paranoid")
        await until(pilot, lambda: "off, standard, strict" in shown(app))
        assert app.desk.safety is SafetyLevel.STANDARD


async def test_the_level_stays_in_the_next_chat() -> None:
    async with running(config=STANDARD) as (app, pilot):
        await ask(pilot, "/safety strict")
        await until(pilot, lambda: app.desk.safety is SafetyLevel.STRICT)
        await ask(pilot, "/new")
        assert app.desk.safety is SafetyLevel.STRICT


async def test_a_blocked_question_is_told_and_stands_in_the_prompt_again() -> None:
    engine = EchoEngine()
    async with running(engine, STANDARD) as (app, pilot):
        await ask(pilot, BOMB)
        await until(pilot, lambda: "did not send this" in shown(app))
        await until(pilot, lambda: not app.desk.is_busy)
        assert chat_of(app).prompt.text == BOMB
        assert engine.prompts == []


async def test_a_command_that_is_typed_next_stands_in_the_place_of_a_blocked_question() -> None:
    async with running(config=STANDARD) as (app, pilot):
        await ask(pilot, BOMB)
        await until(pilot, lambda: "did not send this" in shown(app))
        await until(pilot, lambda: not app.desk.is_busy)
        await pilot.press(*"/why")
        assert chat_of(app).prompt.text == "/why"
        await pilot.press("enter")
        await until(pilot, lambda: "Where: characters" in shown(app))


async def test_a_blocked_question_is_edited_behind_an_arrow_key() -> None:
    async with running(config=STANDARD) as (app, pilot):
        await ask(pilot, BOMB)
        await until(pilot, lambda: not app.desk.is_busy and chat_of(app).prompt.text == BOMB)
        await pilot.press("right", "x")
        assert chat_of(app).prompt.text == f"{BOMB}x"


async def test_why_tells_the_layer_the_category_and_the_words() -> None:
    async with running(config=STANDARD) as (app, pilot):
        await ask(pilot, BOMB)
        await until(pilot, lambda: "did not send this" in shown(app))
        await until(pilot, lambda: not app.desk.is_busy)
        await ask(pilot, "/why")
        await until(pilot, lambda: "Found by: the word lists" in shown(app))
        assert "weapons and dangerous goods" in shown(app)
        assert "a pipe bomb”" in shown(app)


async def test_why_has_nothing_to_tell_of_a_harmless_turn() -> None:
    async with running(config=STANDARD) as (app, pilot):
        await ask(pilot, "How do I build a boat?")
        await until(pilot, lambda: app.desk.conversation.messages[-1:] != () and not app.desk.is_busy)
        await ask(pilot, "/why")
        await until(pilot, lambda: "found nothing" in shown(app))


async def test_what_was_shown_stays_marked_and_what_is_blocked_is_not_seen() -> None:
    engine = EchoEngine([["Here is a tale. ", "Now: ", BOMB, " at home. ", "More."]])
    async with running(engine, STANDARD) as (app, pilot):
        await ask(pilot, "Tell me something")
        await until(pilot, lambda: "stopped by the safety filter" in shown(app))
        assert "Here is a tale." in shown(app)
        assert "pipe" not in shown(app)
        assert app.desk.conversation.messages[-1].stop is StopReason.BLOCKED


async def test_a_sentence_is_seen_once_it_was_checked() -> None:
    gate = Event()
    async with running(EchoEngine([["One sentence. ", "Half of", gate, " another."]]), STANDARD) as (app, pilot):
        await ask(pilot, "Tell me")
        await until(pilot, lambda: "One sentence." in shown(app))
        assert "Half of" not in shown(app)
        gate.set()
        await until(pilot, lambda: "Half of another." in shown(app))


async def test_off_shows_word_by_word() -> None:
    gate = Event()
    config = replace(STANDARD, safety=SafetyLevel.OFF)
    async with running(EchoEngine([["Half of", gate]]), config) as (app, pilot):
        await ask(pilot, BOMB)
        await until(pilot, lambda: "Half of" in shown(app))
        gate.set()
        await until(pilot, lambda: not app.desk.is_busy)
