"""The last question answered again: another answer beside the first, in the style of the moment."""

from hychat.domain.cancel import CancelToken
from hychat.domain.choices import Style
from hychat.domain.errors import EngineCrashed, UsageError
from hychat.domain.generation import GenerationSettings, StopReason
from hychat.domain.message import Conversation
from hychat.engine.echo import EchoEngine
from hychat.engine.prompt.style import WORDING
from hychat.session.chat import ChatSession
from tests.sessions import Shelf, again, ask, asked, failure, finished

FORMAL, CASUAL = WORDING[Style.FORMAL]["en"], WORDING[Style.CASUAL]["en"]


def test_another_answer_stands_beside_the_first() -> None:
    session = ChatSession(EchoEngine([["one"], ["two"]]), Conversation(), store=(shelf := Shelf()))
    one = finished(ask(session, "hi"))
    two = finished(again(session))

    assert session.conversation.siblings(two) == (one, two)
    assert session.conversation.leaf == shelf.saved[-1] == two


def test_the_question_is_asked_as_it_was_asked_and_kept_once() -> None:
    engine = EchoEngine([["one"], ["two"]])
    session = ChatSession(engine, Conversation(), store=(shelf := Shelf()))
    ask(session, "hi")
    again(session)

    assert asked(engine, 0) == asked(engine, 1)
    assert len(shelf.saved) == 3


def test_another_answer_has_another_seed_unless_one_is_set() -> None:
    engine = EchoEngine()
    session = ChatSession(engine, Conversation())
    ask(session, "hi")
    session.settings = GenerationSettings(seed=7)
    again(session)
    again(session)

    assert [settings.seed for settings in engine.settings[1:]] == [7, 7]


def test_a_question_that_failed_is_answered() -> None:
    session = ChatSession(EchoEngine([[EngineCrashed("gone")], ["whole"]]), Conversation())
    failure(ask(session, "hi"))
    answer = finished(again(session))

    assert [message.text for message in session.conversation.branch()] == ["hi", "whole"]
    assert session.conversation.siblings(answer) == (answer,)


def test_an_answer_that_fails_at_once_leaves_the_chat_where_it_stood() -> None:
    session = ChatSession(EchoEngine([["one"], [EngineCrashed("gone")]]), Conversation())
    one = finished(ask(session, "hi"))
    failure(again(session))

    assert session.conversation.leaf == one


def test_without_a_question_there_is_nothing_to_answer() -> None:
    assert isinstance(failure(again(ChatSession(EchoEngine(), Conversation()))).error, UsageError)


def test_the_question_asks_for_the_style_of_the_answer_to_be_written() -> None:
    engine = EchoEngine([["one"], ["two"]])
    session = ChatSession(engine, Conversation(), style=Style.FORMAL)
    ask(session, "hi")
    session.style = Style.CASUAL
    answer = finished(again(session))

    assert CASUAL in asked(engine)
    assert FORMAL not in asked(engine)
    assert answer.style is Style.CASUAL


def test_a_past_question_asks_for_the_style_of_the_answer_that_follows_it() -> None:
    engine = EchoEngine([["one"], ["two"], ["three"], ["four"]])
    session = ChatSession(engine, Conversation(), style=Style.FORMAL)
    one = finished(ask(session, "hi"))
    session.style = Style.CASUAL
    again(session)
    session.style = None
    ask(session, "more")
    assert asked(engine).startswith(asked(engine, 1) + "two")

    session.conversation = session.conversation.standing_at(one)
    ask(session, "more")
    assert asked(engine).startswith(asked(engine, 0) + "one")


def test_an_edited_question_is_another_branch() -> None:
    engine = EchoEngine([["one"], ["two"]])
    session = ChatSession(engine, Conversation())
    ask(session, "first")
    question = session.conversation.messages[0]
    session.conversation = session.conversation.before(question)
    ask(session, "other")

    assert asked(engine) == asked(engine, 0).replace("first", "other")
    assert [message.text for message in session.conversation.siblings(question)] == ["first", "other"]


def test_the_model_is_known_once_it_is_loaded() -> None:
    session = ChatSession(EchoEngine(context_tokens=99, metadata={"gpu_layers": "7"}), Conversation())
    assert session.model is None
    ask(session, "hi")

    assert session.model is not None
    assert (session.model.context_tokens, session.model.metadata["gpu_layers"]) == (99, "7")


def test_a_cancelled_answer_stands_beside_the_first_too() -> None:
    cancel = CancelToken()
    cancel.set()
    session = ChatSession(EchoEngine([["one"], ["two"]]), Conversation(), store=(shelf := Shelf()))
    ask(session, "hi")
    answer = finished(list(session.again(cancel)))

    assert answer.stop is StopReason.CANCELLED
    assert shelf.saved[-1] == answer
