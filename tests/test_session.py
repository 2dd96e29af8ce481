"""One turn of chat, with the scripted engine: what is told, what is asked, what is kept."""

import pytest

from hychat.domain.cancel import CancelToken
from hychat.domain.choices import Style, Truncate
from hychat.domain.errors import EngineCrashed, HistoryError, PromptTooLong
from hychat.domain.event import (
    DataTruncated,
    HistoryDropped,
    HistoryNotSaved,
    TokenEvent,
    TurnEvent,
    TurnFailed,
    TurnFinished,
)
from hychat.domain.generation import GenerationSettings, StopReason
from hychat.domain.message import Conversation, Message, Role, TextPart
from hychat.engine.echo import EchoEngine
from hychat.session.chat import ChatSession
from tests.sessions import Shelf, answer_in, ask, asked, data, failure, finished


def test_a_turn_ends_with_the_answer_that_was_told() -> None:
    events = ask(ChatSession(EchoEngine([["Hello", " there"]]), Conversation()), "hi")

    assert answer_in(events) == finished(events).text == "Hello there"
    assert sum(isinstance(event, TurnFinished | TurnFailed) for event in events) == 1


def test_question_and_answer_are_kept_in_order_and_linked() -> None:
    shelf = Shelf()
    session = ChatSession(EchoEngine([["one"], ["two"]]), Conversation(), store=shelf)
    ask(session, "first")
    ask(session, "second")

    assert [message.role for message in shelf.saved] == [Role.USER, Role.ASSISTANT] * 2
    assert [message.parent for message in shelf.saved] == [None, *(message.id for message in shelf.saved[:-1])]
    assert session.conversation.title == "first"


def test_the_second_prompt_begins_with_the_first_and_its_answer() -> None:
    engine = EchoEngine([["one"], ["two"]])
    session = ChatSession(engine, Conversation(), style=Style.FORMAL)
    ask(session, "first")
    session.style = Style.CASUAL
    ask(session, "second")

    assert asked(engine, 1).startswith(asked(engine, 0) + "one")


def test_a_message_keeps_the_style_it_was_asked_with() -> None:
    session = ChatSession(EchoEngine(), Conversation(), style=Style.FRIENDLY)
    ask(session, "hi")

    assert [message.style for message in session.conversation.messages] == [Style.FRIENDLY] * 2


def test_thoughts_are_told_apart_and_not_asked_again() -> None:
    engine = EchoEngine([["<think>", "hmm", "</think>", "yes"], ["two"]], can_think=True)
    session = ChatSession(engine, Conversation())
    events = ask(session, "first")
    ask(session, "second")

    assert answer_in(events) == "yes"
    assert finished(events).thought == "hmm"
    assert "hmm" not in asked(engine)


def test_data_stands_fenced_before_the_words() -> None:
    engine = EchoEngine()
    ask(ChatSession(engine, Conversation()), [data("a ``` b"), TextPart("summarise")])

    assert "````notes.txt\na ``` b\n````\n\nsummarise" in asked(engine)


def test_every_answer_knows_the_seed_it_was_made_with() -> None:
    engine = EchoEngine()
    receipt = finished(ask(ChatSession(engine, Conversation()), "hi")).receipt

    assert receipt is not None
    assert receipt.settings.seed == engine.settings[0].seed is not None


def test_a_cancelled_turn_keeps_what_was_said() -> None:
    session = ChatSession(EchoEngine([["one", " two", " three"]]), Conversation(), store=(shelf := Shelf()))
    cancel = CancelToken()
    events: list[TurnEvent] = []
    for event in session.turn("count", cancel):
        events.append(event)
        if isinstance(event, TokenEvent):
            cancel.set()

    assert finished(events).stop is StopReason.CANCELLED
    assert shelf.saved[-1].text == answer_in(events) == "one"


def test_an_engine_that_dies_keeps_what_was_said_and_the_next_turn_works() -> None:
    engine = EchoEngine([["part", EngineCrashed("gone")], ["whole"]])
    session = ChatSession(engine, Conversation(), store=(shelf := Shelf()))
    failed = failure(ask(session, "first"))

    assert isinstance(failed.error, EngineCrashed)
    assert failed.partial is not None
    assert shelf.saved[-1] == failed.partial
    assert failed.partial.text == "part"
    assert finished(ask(session, "second")).text == "whole"


def test_an_engine_that_dies_before_a_word_leaves_no_answer() -> None:
    failed = failure(ask(ChatSession(EchoEngine([[EngineCrashed("gone")]]), Conversation(), store=Shelf()), "hi"))

    assert failed.partial is None


def test_a_history_that_cannot_be_written_is_told_once_and_costs_no_answer() -> None:
    session = ChatSession(EchoEngine([["one"], ["two"]]), Conversation(), store=Shelf(HistoryError("disk full")))
    first, second = ask(session, "a"), ask(session, "b")

    assert sum(isinstance(event, HistoryNotSaved) for event in first + second) == 1
    assert (finished(first).text, finished(second).text) == ("one", "two")


class TestFitting:
    def test_the_oldest_turns_are_left_out_and_it_is_told(self) -> None:
        engine = EchoEngine([["word " * 20]] * 12, context_tokens=200)
        session = ChatSession(engine, Conversation(system="be brief"))
        told = [ask(session, f"question{number} " + "more " * 10) for number in range(12)]

        dropped = [event for events in told for event in events if isinstance(event, HistoryDropped)]
        assert dropped
        assert "be brief" in asked(engine)
        assert "question0" not in asked(engine)
        assert "question11" in asked(engine)

    def test_what_was_left_out_stays_out_so_that_prompts_grow_at_their_end(self) -> None:
        engine = EchoEngine([["word " * 20]] * 12, context_tokens=200)
        session = ChatSession(engine, Conversation())
        for number in range(12):
            ask(session, f"question{number} " + "more " * 10)

        grown = [asked(engine, n + 1).startswith(asked(engine, n)) for n in range(11)]
        assert sum(grown) > len(grown) / 2

    def test_a_prompt_that_is_too_long_alone_fails_with_both_numbers_and_is_not_kept(self) -> None:
        session = ChatSession(EchoEngine(context_tokens=100), Conversation(), store=(shelf := Shelf()))
        error = failure(ask(session, "word " * 500)).error

        assert isinstance(error, PromptTooLong)
        assert error.prompt_tokens > 500
        assert error.context_tokens <= 100
        assert str(error.prompt_tokens) in error.message
        assert not shelf.saved

    @pytest.mark.parametrize("truncate", Truncate)
    def test_data_is_cut_at_the_end_that_was_allowed(self, truncate: Truncate) -> None:
        engine = EchoEngine(context_tokens=200)
        words = [f"w{number}" for number in range(1000)]
        events = ask(ChatSession(engine, Conversation()), [data(" ".join(words)), TextPart("sum up")], truncate)

        (cut,) = (event for event in events if isinstance(event, DataTruncated))
        assert cut.kept_tokens <= 200 < cut.tokens
        kept = asked(engine)
        assert kept.rstrip().endswith("sum up<assistant>")
        assert ("w0 " in kept, " w999" in kept) == ((True, False) if truncate is Truncate.TAIL else (False, True))

    def test_cutting_keeps_as_much_as_fits(self) -> None:
        engine = EchoEngine(context_tokens=1000)
        events = ask(
            ChatSession(engine, Conversation(), settings=GenerationSettings(max_tokens=8)),
            [data("word " * 5000), TextPart("sum up")],
            Truncate.TAIL,
        )

        (cut,) = (event for event in events if isinstance(event, DataTruncated))
        assert cut.kept_tokens > 950


class TestStates:
    class Folder:
        """A state cache that only remembers what it was asked."""

        def __init__(self) -> None:
            self.calls: list[str] = []

        def find(self, conversation: str) -> str | None:
            self.calls.append(f"find {conversation}")
            return None

        def place(self, conversation: str) -> str | None:
            self.calls.append(f"place {conversation}")
            return None

        def settle(self, conversation: str) -> None:
            self.calls.append(f"settle {conversation}")

    def test_a_new_chat_looks_for_no_state(self) -> None:
        folder = self.Folder()
        ask(ChatSession(EchoEngine(), Conversation(), states=folder), "hi")

        assert not folder.calls

    def test_an_earlier_chat_looks_for_its_state_once(self) -> None:
        folder = self.Folder()
        earlier = Conversation().with_message(Message(Role.USER, (TextPart("hi"),)))
        session = ChatSession(EchoEngine([["a"], ["b"]]), earlier, states=folder)
        ask(session, "one")
        ask(session, "two")

        assert folder.calls == [f"find {earlier.id}"]
