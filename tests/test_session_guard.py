"""A turn with the filter: what does not reach the model, what does not reach the user, what is kept."""

import io
import json
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from PIL import Image

from hychat.cli.output import Output
from hychat.cli.reader import Wishes, read_turn
from hychat.cli.streams import Stream
from hychat.domain.attachment import Attachment, AttachmentKind
from hychat.domain.cancel import CancelToken
from hychat.domain.choices import SafetyLevel, Style, Truncate
from hychat.domain.errors import Blocked, ConfigError, Interrupted, PromptTooLong, UsageError
from hychat.domain.event import Channel, DataTruncated, SafetyEvent, TokenEvent, TurnEvent, TurnFinished
from hychat.domain.generation import GenerationSettings, StopReason
from hychat.domain.message import Conversation, ImagePart, Part, TextPart
from hychat.domain.safety import SafetyAction
from hychat.engine.echo import EchoEngine
from hychat.history.blocked import keep_blocked
from hychat.safety.fold import Folded
from hychat.safety.guard import Guard, Layers
from hychat.safety.guard_model import Ruling
from hychat.safety.words import Entry, Hit, Tier, WordList
from hychat.session.chat import ChatSession
from tests.sessions import Shelf, answer_in, ask, asked, data, failure, finished, go_on

WORDS = WordList(
    [
        Entry("sell a stolen boat", "fraud", Tier.BLOCK),
        Entry("i feel like sinking", "self-harm", Tier.SUPPORT),
        Entry("我想沉下去", "self-harm", Tier.SUPPORT),
        Entry("silly old boat", "harassment", Tier.WARN),
    ]
)


def session(engine: EchoEngine, shelf: Shelf | None = None) -> ChatSession:
    guard = Guard(SafetyLevel.STANDARD, Layers(lambda: WORDS, lambda: None))
    return ChatSession(engine, Conversation(), store=shelf, guard=guard)


def verdicts(events: list[TurnEvent]) -> list[SafetyAction]:
    return [event.verdict.action for event in events if isinstance(event, SafetyEvent)]


def test_a_question_that_is_blocked_reaches_neither_model_nor_history() -> None:
    engine, shelf = EchoEngine(), Shelf()
    chat = session(engine, shelf)
    events = ask(chat, "How do I s.e.l.l a stolen b0at?")

    assert isinstance(failure(events).error, Blocked)
    assert failure(events).error.exit_code == 6
    assert verdicts(events) == [SafetyAction.BLOCK]
    assert engine.prompts == []
    assert shelf.saved == []
    assert chat.conversation.messages == ()


def test_the_next_question_is_answered() -> None:
    engine = EchoEngine([["Fine."]])
    chat = session(engine)
    ask(chat, "sell a stolen boat")
    assert finished(ask(chat, "hello")).text == "Fine."


def test_a_file_is_read_by_the_filter_too() -> None:
    engine = EchoEngine()
    events = ask(session(engine), [data("please sell a stolen boat"), TextPart("sum this up")])
    assert isinstance(failure(events).error, Blocked)
    assert engine.prompts == []


def test_the_system_text_is_judged_with_each_question_and_read_once() -> None:
    words, engine = Noting(), EchoEngine()
    guard = Guard(SafetyLevel.STANDARD, Layers(lambda: words, lambda: None))
    system = "You are a sailor who speaks of nothing but boats."
    chat = ChatSession(engine, Conversation(system=system), guard=guard)
    finished(ask(chat, "hi"))
    first = words.characters
    finished(ask(chat, "hi"))
    assert first == words.characters - first + len(system)


def test_a_question_under_a_blocked_system_text_does_not_reach_the_model_until_it_is_changed() -> None:
    engine = EchoEngine([["Fine."]])
    chat = session(engine)
    chat.conversation = Conversation(system="Say how to sell a stolen boat.")
    assert isinstance(failure(ask(chat, "go")).error, Blocked)
    assert isinstance(failure(ask(chat, "go on")).error, Blocked)
    assert engine.prompts == []
    chat.conversation = Conversation(system="Say how to sell a boat.")
    assert finished(ask(chat, "go")).text == "Fine."


def png() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize(
    "named",
    [
        data("a long day", "how to sell a stolen boat.txt"),
        ImagePart(Attachment(AttachmentKind.IMAGE, "sell_a_stolen_boat.png", "image/png", data=png())),
    ],
)
def test_the_name_of_what_is_attached_is_read_by_the_filter_too(named: Part) -> None:
    engine = EchoEngine(can_see=True)
    events = ask(session(engine), [named, TextPart("Do what its name says.")])
    assert isinstance(failure(events).error, Blocked)
    assert engine.prompts == []


def test_a_warning_asks_the_model_to_take_care_and_goes_on() -> None:
    engine = EchoEngine([["Well."]])
    events = ask(session(engine), "you silly old boat")
    assert verdicts(events) == [SafetyAction.WARN]
    assert "Take care" in asked(engine, 0)
    assert finished(events).text == "Well."


def test_nothing_is_added_where_nothing_was_found() -> None:
    engine = EchoEngine([["Well."]])
    events = ask(session(engine), "you fine boat")
    assert verdicts(events) == []
    assert "Take care" not in asked(engine, 0)


@pytest.mark.parametrize(("words", "told"), [("I feel like sinking", "988"), ("我想沉下去", "12356")])
def test_who_speaks_of_harming_himself_gets_help_and_no_refusal(words: str, told: str) -> None:
    engine, shelf = EchoEngine(), Shelf()
    events = ask(session(engine, shelf), words)
    assert told in finished(events).text
    assert answer_in(events) == finished(events).text
    assert engine.prompts == []
    assert [message.text for message in shelf.saved] == [words, finished(events).text]


def test_who_speaks_of_harming_himself_in_a_file_is_not_taken_for_the_user() -> None:
    engine = EchoEngine([["Hamlet."]])
    events = ask(session(engine), [data("“I feel like sinking,” says Hamlet."), TextPart("Who speaks in this file?")])
    assert finished(events).text == "Hamlet."
    assert verdicts(events) == [SafetyAction.WARN]
    assert "Take care" in asked(engine, 0)


def test_who_attaches_a_file_and_speaks_of_harming_himself_gets_help() -> None:
    events = ask(session(EchoEngine()), [data("a long day"), TextPart("I feel like sinking")])
    assert "988" in finished(events).text


def test_a_system_text_speaks_for_nobody() -> None:
    chat = session(EchoEngine([["Fine."]]))
    chat.conversation = Conversation(system="Be kind to those who say: I feel like sinking.")
    assert finished(ask(chat, "hello")).text == "Fine."


def test_blocked_words_of_an_answer_are_never_told_nor_kept() -> None:
    shelf = Shelf()
    pieces = ["All is well. ", "You could ", "sell a ", "stolen ", "boat", " now. ", "And so on."]
    events = ask(session(EchoEngine([pieces]), shelf), "what now?")
    assert answer_in(events) == finished(events).text == shelf.saved[-1].text == "All is well. "
    assert finished(events).stop is StopReason.BLOCKED
    assert verdicts(events) == [SafetyAction.BLOCK]
    assert isinstance(events[-1], TurnFinished)


def test_the_last_sentence_is_checked_too() -> None:
    events = ask(session(EchoEngine([["Good. ", "sell a stolen boat"]])), "what now?")
    assert answer_in(events) == "Good. "
    assert finished(events).stop is StopReason.BLOCKED


def test_a_harmless_answer_comes_whole() -> None:
    events = ask(session(EchoEngine([["One. ", "Two", " and", " three"]])), "count")
    assert answer_in(events) == finished(events).text == "One. Two and three"
    assert finished(events).stop is StopReason.COMPLETE


def test_a_thought_is_checked_and_comes_before_its_answer() -> None:
    engine = EchoEngine([["<think>", "hmm", "</think>", "Yes", "."]], can_think=True)
    events = [event for event in ask(session(engine), "well?") if isinstance(event, TokenEvent)]
    assert [(event.text, event.channel) for event in events] == [("hmm", Channel.THOUGHT), ("Yes.", Channel.ANSWER)]


def test_a_thought_with_blocked_words_ends_the_answer() -> None:
    engine = EchoEngine([["<think>", "They sell a stolen boat. ", "</think>", "Yes."]], can_think=True)
    events = ask(session(engine), "well?")
    assert not any(isinstance(event, TokenEvent) for event in events)
    assert finished(events).stop is StopReason.BLOCKED


def test_an_answer_that_was_blocked_is_not_gone_on_with() -> None:
    chat = session(EchoEngine([["Good. sell a stolen boat"]]))
    ask(chat, "what now?")
    assert isinstance(failure(go_on(chat)).error, UsageError)


def test_what_is_gone_on_with_is_judged_with_what_stands_before_it() -> None:
    shelf = Shelf()
    chat = session(EchoEngine([["You could sell a ", StopReason.LENGTH], ["stolen boat. ", "And so on."]]), shelf)
    assert finished(ask(chat, "what now?")).stop is StopReason.LENGTH
    events = go_on(chat)
    assert finished(events).stop is StopReason.BLOCKED
    assert answer_in(events) == ""
    assert shelf.saved[-1].text == "You could sell a "


def test_a_thought_that_is_gone_on_with_is_judged_with_what_stands_before_it() -> None:
    engine = EchoEngine([["<think>They sell a ", StopReason.LENGTH], ["stolen boat. ", "</think>Yes."]], can_think=True)
    chat = session(engine)
    ask(chat, "well?")
    assert finished(go_on(chat)).stop is StopReason.BLOCKED


@pytest.mark.parametrize(
    "answer", [["That is good. ", "sell a stolen boat. ", "And so on."], ["That is good. ", "sell a stolen boat"]]
)
def test_a_blocked_answer_that_cannot_be_kept_for_who_wants_that_fails_its_turn_alone(
    answer: list[str], tmp_path: Path
) -> None:
    chat = session(EchoEngine([answer, ["Fine."]]))
    assert chat.guard is not None
    chat.guard.keep = partial(keep_blocked, tmp_path)  # a folder
    events = ask(chat, "what now?")
    assert str(tmp_path) in failure(events).error.message
    assert answer_in(events) == "That is good. "
    assert finished(ask(chat, "and now?")).text == "Fine."


def test_a_comparison_is_filtered_as_one_question_and_its_answers_each() -> None:
    engine = EchoEngine([["Good. sell a stolen boat"], ["Fine."]])
    chat = session(engine)
    told = [*chat.compare("hello", [Style.FORMAL, Style.CASUAL], CancelToken())]
    stops = {style: event.message.stop for style, event in told if isinstance(event, TurnFinished)}
    assert sorted(filter(None, stops.values())) == [StopReason.BLOCKED, StopReason.COMPLETE]
    blocked = [*chat.compare("sell a stolen boat", [Style.FORMAL, Style.CASUAL], CancelToken())]
    assert not any(isinstance(event, TurnFinished | TokenEvent) for _style, event in blocked)


class Stopped:
    """A guard model whose user loses patience while it reads an answer."""

    def __init__(self) -> None:
        self.cancel = CancelToken()

    def prompt(self, text: str, cancel: CancelToken | None = None) -> Ruling:  # noqa: ARG002 - the protocol's
        return Ruling("safe", ())

    def reply(self, prompt: str, text: str, cancel: CancelToken | None = None) -> Ruling:  # noqa: ARG002 - the protocol's
        self.cancel.set()
        assert cancel is not None
        assert cancel.is_set
        raise Interrupted("Stopped.")


@pytest.mark.parametrize("answer", [["One boat. "] * 300, ["One boat."]])
def test_a_ruling_on_an_answer_can_be_stopped_and_nothing_unchecked_is_shown(answer: list[str]) -> None:
    ruler = Stopped()
    guard = Guard(SafetyLevel.STANDARD, Layers(lambda: WORDS, lambda: None), ruler)
    chat = ChatSession(EchoEngine([answer]), Conversation(), guard=guard)
    events = [*chat.turn("hello", ruler.cancel)]
    assert finished(events).stop is StopReason.CANCELLED
    assert answer_in(events) == ""


def test_a_blocked_answer_ends_the_command_with_its_own_exit_code() -> None:
    chat = session(EchoEngine([["Good. ", "sell a stolen boat"]]))
    shown, told = io.StringIO(), io.StringIO()
    output = Output(Stream(shown, {}), Stream(told, {}))
    assert read_turn(chat.turn("what now?", CancelToken()), output, Wishes()) == Blocked.exit_code
    assert shown.getvalue().strip() == "Good."
    assert "stopped the answer here: fraud" in told.getvalue()


def read(chat: ChatSession, question: str, wishes: Wishes) -> tuple[int, str, str]:
    """The exit code, stdout and stderr of a command that asks this."""
    shown, told = io.StringIO(), io.StringIO()
    code = read_turn(chat.turn(question, CancelToken()), Output(Stream(shown, {}), Stream(told, {})), wishes)
    return code, shown.getvalue(), told.getvalue()


SCHEMA = GenerationSettings(json_schema='{"type": "object"}')


def test_a_blocked_answer_after_a_schema_is_told_with_its_verdict_and_no_part_of_it() -> None:
    chat = session(EchoEngine([['{"a": "Fine. ', 'We sell a stolen boat."}']]))
    chat.settings = SCHEMA
    code, shown, _told = read(chat, "what now?", Wishes(as_json=True, must_parse=True))
    answer = json.loads(shown)
    assert code == Blocked.exit_code
    assert (answer["answer"], answer["stop"]) == (None, "blocked")
    assert [verdict["action"] for verdict in answer["safety"]] == ["block"]


def test_help_is_no_answer_after_a_schema() -> None:
    chat = session(EchoEngine())
    chat.settings = SCHEMA
    code, shown, told = read(chat, "I feel like sinking", Wishes(must_parse=True))
    assert (code, shown) == (Blocked.exit_code, "")
    assert "988" in told
    code, shown, _told = read(chat, "I feel like sinking", Wishes(as_json=True, must_parse=True))
    answer = json.loads(shown)
    assert (code, answer["answer"]) == (Blocked.exit_code, None)
    assert "988" in answer["error"]


def test_that_an_answer_is_help_and_not_the_models_is_in_its_json() -> None:
    code, shown, _told = read(session(EchoEngine()), "I feel like sinking", Wishes(as_json=True))
    answer = json.loads(shown)
    assert code == 0
    assert "988" in answer["answer"]
    assert [verdict["action"] for verdict in answer["safety"]] == ["support"]


def test_a_filter_that_is_not_ready_gets_so_beside_the_load_of_the_model() -> None:
    may_go_on = threading.Event()
    loaded: list[str] = []

    def words() -> WordList:
        loaded.append("words")
        may_go_on.set()
        return WORDS

    engine = EchoEngine(load=[0.5, may_go_on, 1.0])  # stands still until the filter is there
    guard = Guard(SafetyLevel.STANDARD, Layers(words, lambda: None))
    chat = ChatSession(engine, Conversation(), guard=guard)
    assert finished(ask(chat, "hello")).text == "hello"
    finished(ask(chat, "hello again"))
    assert loaded == ["words"]


def test_a_blocked_question_does_not_wait_for_the_end_of_the_load() -> None:
    never = threading.Event()
    layers = Layers(lambda: WORDS, lambda: None)

    def progress() -> Iterator[float | threading.Event]:
        yield 0.1
        layers.loaded()
        yield 0.2
        yield never

    engine = EchoEngine(load=progress())
    chat = ChatSession(engine, Conversation(), guard=Guard(SafetyLevel.STANDARD, layers))
    assert isinstance(failure(ask(chat, "sell a stolen boat")).error, Blocked)


def test_words_of_ones_own_that_cannot_be_read_are_an_error_of_the_turn() -> None:
    def broken() -> WordList:
        raise ConfigError("words.yaml: no list")

    chat = ChatSession(EchoEngine(), Conversation(), guard=Guard(SafetyLevel.STANDARD, Layers(broken, lambda: None)))
    assert isinstance(failure(ask(chat, "hello")).error, ConfigError)


def test_the_verdict_of_the_last_turn_is_remembered() -> None:
    chat = session(EchoEngine([["Hello."], ["You may sell a stolen boat here."]]))
    assert chat.verdict is None
    ask(chat, "hello")
    assert chat.verdict is not None
    assert chat.verdict.action is SafetyAction.ALLOW
    ask(chat, "and now?")
    assert chat.verdict.reason == "sell a stolen boat"
    ask(chat, "silly old boat")
    assert chat.verdict.action is SafetyAction.WARN


class Noting(WordList):
    """Lists that note how much they were given to read."""

    def __init__(self) -> None:
        super().__init__([])
        self.characters = 0

    def hits(self, folded: Folded) -> list[Hit]:
        self.characters += len(folded.text)
        return super().hits(folded)


BOOK = data("The boats lie still. " * 20_000)


def test_what_is_far_too_long_is_refused_before_the_filter_reads_it() -> None:
    words = Noting()
    guard = Guard(SafetyLevel.STANDARD, Layers(lambda: words, lambda: None))
    error = failure(ask(ChatSession(EchoEngine(), Conversation(), guard=guard), [BOOK, TextPart("Sum up.")])).error
    assert isinstance(error, PromptTooLong)
    assert words.characters == 0


def test_of_what_is_cut_the_filter_reads_what_is_left() -> None:
    words, engine = Noting(), EchoEngine([["Fine."]])
    guard = Guard(SafetyLevel.STANDARD, Layers(lambda: words, lambda: None))
    chat = ChatSession(engine, Conversation(), guard=guard)
    events = ask(chat, [BOOK, TextPart("Sum up.")], Truncate.TAIL)
    finished(events)
    assert len([event for event in events if isinstance(event, DataTruncated)]) == 1
    assert 0 < words.characters < 2 * len(asked(engine))


def test_a_filter_that_is_stopped_in_a_long_text_ends_the_turn_as_stopped() -> None:
    cancel = CancelToken()
    words = Noting()
    guard = Guard(SafetyLevel.STANDARD, Layers(lambda: words, lambda: None))
    chat = ChatSession(EchoEngine(context_tokens=1_000_000), Conversation(), guard=guard)
    cancel.set()
    assert finished(list(chat.turn([BOOK, TextPart("Sum up.")], cancel))).stop is StopReason.CANCELLED
    assert words.characters == 0
