"""An answer that was cut goes on where it ended: the same message, with more text."""

import pytest

from hychat.domain.choices import Style
from hychat.domain.errors import EngineCrashed, UsageError
from hychat.domain.event import Channel
from hychat.domain.generation import GenerationSettings, StopReason
from hychat.domain.message import Conversation
from hychat.engine.echo import EchoEngine, Step
from hychat.engine.prompt.hunyuan import family_a, family_b, hy_v3
from hychat.engine.prompt.jinja import JinjaBuilder
from hychat.engine.prompt.segments import ChatTurn, PromptBuilder, begun
from hychat.engine.prompt.thought import ThoughtParser
from hychat.session.chat import ChatSession
from tests.sessions import Shelf, answer_in, ask, asked, failure, finished, go_on

CUT = StopReason.LENGTH


def cut_session(*entries: list[Step], can_think: bool = False) -> tuple[ChatSession, EchoEngine, Shelf]:
    """A session whose first answer was written."""
    engine = EchoEngine(entries, can_think=can_think)
    session = ChatSession(engine, Conversation(), store=(shelf := Shelf()))
    session.settings = GenerationSettings(think=can_think)
    ask(session, "count")
    return session, engine, shelf


def test_the_same_message_grows_and_is_kept_in_its_place() -> None:
    session, _engine, shelf = cut_session(["one", CUT], [" two"])
    (_question, cut) = session.conversation.messages
    events = go_on(session)

    whole = finished(events)
    assert (whole.id, whole.created, whole.text, whole.stop) == (cut.id, cut.created, "one two", StopReason.COMPLETE)
    assert session.conversation.messages[1] == shelf.saved[-1] == whole
    assert answer_in(events) == " two"


def test_the_answer_stands_open_at_the_end_of_the_same_prompt() -> None:
    session, engine, _shelf = cut_session(["one", CUT], [" two"])
    go_on(session)

    assert asked(engine) == asked(engine, 0) + "one"
    assert not engine.prompts[-1][-1].is_control


@pytest.mark.parametrize(
    ("before", "after", "whole"),
    [
        ("Hel", "lo", "Hello"),
        ("one ", "two", "one two"),
        ("one", " two", "one two"),
        ("你", "好", "你好"),
        ("a\n", "\nb", "a\n\nb"),
    ],
)
def test_white_space_at_the_seam_is_as_the_model_wrote_it(before: str, after: str, whole: str) -> None:
    session, _engine, _shelf = cut_session([before, CUT], [after])

    assert finished(go_on(session)).text == whole


def test_an_answer_can_go_on_again_and_again() -> None:
    session, _engine, _shelf = cut_session(["a", CUT], ["b", CUT], ["c"])
    go_on(session)

    assert finished(go_on(session)).text == "abc"


def test_an_answer_that_was_cut_in_its_thought_thinks_on() -> None:
    session, engine, _shelf = cut_session(["so far", CUT], [" so good</think>yes"], can_think=True)
    events = go_on(session)

    assert asked(engine) == asked(engine, 0) + "so far"
    assert answer_in(events, Channel.THOUGHT) == " so good"
    assert (finished(events).thought, finished(events).text) == ("so far so good", "yes")


def test_an_answer_that_was_cut_behind_its_thought_goes_on_behind_it() -> None:
    session, engine, _shelf = cut_session(["hmm</think>ye", CUT], ["s"], can_think=True)

    assert finished(go_on(session)).text == "yes"
    assert asked(engine) == asked(engine, 0) + "hmm</think>ye"


def test_the_style_is_that_of_the_answer() -> None:
    session, engine, _shelf = cut_session(["one", CUT], [" two"])
    session.style = Style.FORMAL

    assert finished(go_on(session)).style is None
    assert asked(engine).startswith(asked(engine, 0))


def test_a_grammar_does_not_begin_in_the_middle() -> None:
    session, engine, _shelf = cut_session(["{", CUT], ["}"])
    session.settings = GenerationSettings(json_schema="{}")
    go_on(session)

    assert engine.settings[-1].json_schema is None


def test_an_engine_that_dies_again_keeps_both_parts() -> None:
    session, _engine, shelf = cut_session(["one", CUT], [" two", EngineCrashed("gone")])
    failed = failure(go_on(session))

    assert failed.partial == shelf.saved[-1]
    assert shelf.saved[-1].text == "one two"


def test_an_engine_that_dies_before_a_word_leaves_the_answer_as_it_was() -> None:
    session, _engine, _shelf = cut_session(["one", CUT], [EngineCrashed("gone")])
    before = session.conversation

    assert failure(go_on(session)).partial is None
    assert session.conversation == before


def test_an_answer_that_says_nothing_yet_begins() -> None:
    session, engine, _shelf = cut_session([StopReason.CANCELLED], ["one"])

    assert finished(go_on(session)).text == "one"
    assert asked(engine) == asked(engine, 0)


def test_without_an_answer_there_is_nothing_to_go_on_with() -> None:
    session, _engine, _shelf = cut_session([EngineCrashed("gone")])

    assert isinstance(failure(go_on(session)).error, UsageError)


# How each family has it

OPENING = "{% for m in messages %}{{ m.content }}{% endfor %}{% if enable_thinking %}<think>\n{% endif %}"
"""A template that opens the thought itself."""
CLOSED = "{% for m in messages %}{{ m.content }}{% endfor %}{# <think> #}"

FAMILIES = {
    "A": (family_a(), "<think>\nhmm", "<think>\nhmm\n</think>\n<answer>\nyes", "<answer>\nyes"),
    "B": (family_b(), "<think>\nhmm", "<think>\nhmm\n</think>\n<answer>\nyes", "<answer>\nyes"),
    "translation": (family_a(can_think=False), None, None, "yes"),
    "hy_v3": (hy_v3(has_suffix=True), "hmm", "hmm</think:opensource>yes", "yes"),
    "a template that opens the thought": (JinjaBuilder(OPENING, "", ""), "hmm", "hmm\n</think>\n\nyes", "yes"),
    "another template": (JinjaBuilder(CLOSED, "", ""), "<think>\nhmm", "<think>\nhmm\n</think>\n\nyes", "yes"),
}


@pytest.mark.parametrize(("builder", "in_thought", "behind_thought", "in_answer"), FAMILIES.values(), ids=FAMILIES)
def test_what_was_written_stands_as_the_model_would_have_written_it(
    builder: PromptBuilder, in_thought: str | None, behind_thought: str | None, in_answer: str
) -> None:
    def text(thought: str, answer: str) -> str:
        return "".join(segment.text for segment in begun(builder, thought, answer))

    assert text("", "yes") == in_answer
    if in_thought is not None:
        assert text("hmm", "") == in_thought
        assert text("hmm", "yes") == behind_thought


def test_what_a_model_wrote_is_plain_text_and_its_tags_are_not() -> None:
    written = begun(family_a(), "a", "b")

    assert [segment.is_control for segment in written] == [True, False, True, False]


@pytest.mark.parametrize("builder", [entry[0] for entry in FAMILIES.values()], ids=FAMILIES)
def test_nothing_written_adds_nothing(builder: PromptBuilder) -> None:
    assert begun(builder, "", "") == ()


@pytest.mark.parametrize("builder", [entry[0] for entry in FAMILIES.values()], ids=FAMILIES)
def test_the_end_of_a_thought_is_read_as_one(builder: PromptBuilder) -> None:
    parser = ThoughtParser(starts_in_thought=True)
    events = parser.feed(f"hmm{builder.thought_end}yes") + parser.finish()

    assert answer_in(events) == "yes"
    assert answer_in(events, Channel.THOUGHT) == "hmm"


def test_the_prompt_before_what_was_written_is_that_of_the_question() -> None:
    turns = [ChatTurn(is_user=True, text="hi")]

    assert "".join(s.text for s in family_a().render("", turns, think=False)).endswith("</think>\n")


def test_a_closing_tag_behind_the_seam_is_left_out() -> None:
    parser = ThoughtParser.resumed(Channel.ANSWER)

    assert answer_in(parser.feed("lo\n</answer>\n") + parser.finish()) == "lo"
