"""A conversation is a tree, and knows where in it it stands."""

from datetime import UTC, datetime, timedelta

from hychat.domain.message import Conversation, Message, Role, TextPart

NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)


def message(name: str, parent: str | None, role: Role = Role.ASSISTANT) -> Message:
    return Message(role, (TextPart(name),), parent=parent, id=name, created=NOON)


Q1 = message("q1", None, Role.USER)
A1 = message("a1", "q1")
Q2 = message("q2", "a1", Role.USER)
A2 = message("a2", "q2")
A1B = message("a1b", "q1")
CHAT = Conversation(messages=(Q1, A1, Q2, A2, A1B))


def names(conversation: Conversation) -> list[str]:
    return [each.id for each in conversation.branch()]


def test_a_chat_goes_on_at_its_newest_message() -> None:
    assert names(CHAT) == ["q1", "a1b"]


def test_an_empty_chat_stands_nowhere() -> None:
    assert Conversation().leaf is None


def test_answers_to_one_question_are_siblings_and_the_question_is_none_of_them() -> None:
    assert CHAT.siblings(A1B) == CHAT.siblings(A1) == (A1, A1B)
    assert CHAT.siblings(Q1) == (Q1,)


def test_siblings_stand_in_the_order_they_were_begun() -> None:
    early = Message(Role.ASSISTANT, (), parent="q1", id="early", created=NOON - timedelta(seconds=1))

    assert CHAT.with_message(early).siblings(A1) == (early, A1, A1B)


def test_stepping_to_a_sibling_leads_to_the_end_of_its_branch() -> None:
    assert names(CHAT.at(A1)) == ["q1", "a1", "q2", "a2"]
    assert CHAT.at(A1).at(A1B) == CHAT


def test_standing_before_a_message_leads_to_the_one_it_follows() -> None:
    assert names(CHAT.before(Q2)) == ["q1", "a1"]


def test_before_the_first_message_there_is_none() -> None:
    assert CHAT.before(Q1).leaf is None
    assert names(CHAT.before(Q1)) == []


def test_a_new_message_is_where_the_chat_stands() -> None:
    other = message("other", None, Role.USER)

    assert names(CHAT.before(Q1).with_message(other)) == ["other"]


def test_a_message_that_is_there_is_replaced_in_its_place_and_stood_at() -> None:
    longer = Message(Role.ASSISTANT, (TextPart("longer"),), parent="q1", id="a1", created=NOON)
    changed = CHAT.with_message(longer)

    assert changed.messages == (Q1, longer, Q2, A2, A1B)
    assert changed.leaf == longer


def test_a_place_that_is_gone_is_the_newest_message() -> None:
    assert names(Conversation(messages=CHAT.messages, tip="gone")) == names(CHAT)
