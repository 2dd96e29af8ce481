"""One question, an answer in every style, written side by side."""

import threading
from collections.abc import Sequence

from hychat.domain.cancel import CancelToken
from hychat.domain.choices import Style
from hychat.domain.errors import EngineCrashed, ModelDamaged
from hychat.domain.event import TokenEvent, TurnEvent, TurnFailed, TurnFinished
from hychat.domain.generation import StopReason
from hychat.domain.message import Conversation, Role
from hychat.engine.echo import EchoEngine, Step
from hychat.engine.prompt.segments import Prompt
from hychat.engine.prompt.style import WORDING
from hychat.session.chat import ChatSession
from tests.sessions import Shelf, ask, asked

STYLES = (Style.FORMAL, Style.CASUAL, Style.FRIENDLY)
Told = list[tuple[Style, TurnEvent]]


def by_style(entries: dict[Style, Sequence[Step]]) -> EchoEngine:
    """An engine that has an entry for each style."""

    def entry(prompt: Prompt) -> Sequence[Step]:
        question = prompt[-2].text
        return next(said for style, said in entries.items() if WORDING[style]["en"] in question)

    return EchoEngine(entry)


def compare(session: ChatSession, cancel: CancelToken | None = None) -> Told:
    return list(session.compare("hi", STYLES, cancel or CancelToken()))


def texts(told: Told) -> dict[Style, str]:
    return {style: event.message.text for style, event in told if isinstance(event, TurnFinished)}


def test_every_style_has_its_answer_and_one_end() -> None:
    session = ChatSession(by_style({style: [style.value, "!"] for style in STYLES}), Conversation())
    told = compare(session)

    assert texts(told) == {style: f"{style.value}!" for style in STYLES}
    assert sum(isinstance(event, TurnFinished | TurnFailed) for _style, event in told) == 3


def test_answers_are_written_at_the_same_time() -> None:
    others = threading.Barrier(3, timeout=30)  # each waits until all have begun

    def entry(_prompt: Prompt) -> Sequence[Step]:
        others.wait()
        return ["yes"]

    assert list(texts(compare(ChatSession(EchoEngine(entry), Conversation()))).values()) == ["yes"] * 3


def test_the_question_is_kept_once_and_its_answers_stand_in_the_order_of_the_styles() -> None:
    last = threading.Event()
    engine = by_style({Style.FORMAL: [last, "a"], Style.CASUAL: ["b"], Style.FRIENDLY: ["c"]})
    session = ChatSession(engine, Conversation(), store=(shelf := Shelf()))
    for _style, event in session.compare("hi", STYLES, CancelToken()):
        if isinstance(event, TurnFinished) and sum(m.role is Role.ASSISTANT for m in shelf.saved) == 2:
            last.set()

    leaf = session.conversation.leaf
    assert leaf is not None
    assert [message.text for message in session.conversation.siblings(leaf)] == ["a", "b", "c"]
    assert [message.role for message in shelf.saved] == [Role.USER, *[Role.ASSISTANT] * 3]


def test_the_chat_goes_on_with_the_answer_of_the_first_style() -> None:
    engine = by_style({style: [style.value] for style in STYLES})
    session = ChatSession(engine, Conversation(), store=(shelf := Shelf()))
    compare(session)

    assert session.conversation.leaf is not None
    assert session.conversation.leaf.style is Style.FORMAL
    assert shelf.conversation == session.conversation


def test_the_next_prompt_begins_with_that_answer() -> None:
    engine = by_style({style: [style.value] for style in STYLES})
    session = ChatSession(engine, Conversation(), style=Style.CASUAL)
    compare(session)
    ask(session, "more")

    assert f"{WORDING[Style.FORMAL]['en']}<assistant>formal<user>more" in asked(engine)


def test_an_answer_that_fails_leaves_the_others() -> None:
    engine = by_style({Style.FORMAL: [EngineCrashed("gone")], Style.CASUAL: ["b"], Style.FRIENDLY: ["c"]})
    session = ChatSession(engine, Conversation())
    told = compare(session)

    assert texts(told) == {Style.CASUAL: "b", Style.FRIENDLY: "c"}
    assert [style for style, event in told if isinstance(event, TurnFailed)] == [Style.FORMAL]
    assert session.conversation.leaf is not None
    assert session.conversation.leaf.text in {"b", "c"}


def test_a_model_that_does_not_load_fails_them_all() -> None:
    session = ChatSession(EchoEngine(load=[ModelDamaged("broken")]), Conversation())

    assert [type(event) for _style, event in compare(session)] == [TurnFailed] * 3
    assert not session.conversation.messages


def test_a_cancel_keeps_what_was_said() -> None:
    never = threading.Event()
    session = ChatSession(by_style({style: ["one", never, "two"] for style in STYLES}), Conversation())
    cancel, said = CancelToken(), 0
    ends = []
    for _style, event in session.compare("hi", STYLES, cancel):
        said += isinstance(event, TokenEvent)
        if said == 3:
            cancel.set()
        if isinstance(event, TurnFinished):
            ends.append((event.message.text, event.message.stop))

    assert ends == [("one", StopReason.CANCELLED)] * 3


def test_a_reader_that_goes_away_ends_them_all() -> None:
    never, cancel = threading.Event(), CancelToken()
    session = ChatSession(by_style({style: ["one", never] for style in STYLES}), Conversation())
    events = session.compare("hi", STYLES, cancel)
    next(event for event in events if isinstance(event[1], TokenEvent))
    del events

    assert cancel.is_set
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("compare")]
