"""Where a chat stands comes back with it, and a deleted chat can be put back."""

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hychat.domain.message import Conversation, Message, Role, TextPart
from hychat.history import schema
from hychat.history.store import HistoryStore


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "history.sqlite3")


@pytest.fixture
def store(path: str) -> Iterator[HistoryStore]:
    store = HistoryStore(path)
    yield store
    store.close()


def said(text: str, parent: Message | None = None, role: Role = Role.USER) -> Message:
    return Message(role, (TextPart(text),), parent=parent.id if parent else None)


QUESTION = said("question")
ONE = said("one", QUESTION, Role.ASSISTANT)
TWO = said("two", QUESTION, Role.ASSISTANT)
CHAT = Conversation("Trip", "starter", "Be brief.", messages=(QUESTION, ONE, TWO))


def saved(store: HistoryStore, conversation: Conversation = CHAT) -> Conversation:
    store.save_message(conversation, conversation.messages[-1])
    return conversation


def test_a_chat_opens_where_it_was_left(store: HistoryStore) -> None:
    saved(store)
    store.save_position(CHAT.at(ONE))

    assert store.load(CHAT.id) == CHAT.at(ONE)


def test_a_chat_that_was_left_before_its_first_message_opens_there(store: HistoryStore) -> None:
    saved(store)
    store.save_position(CHAT.before(QUESTION))

    assert store.load(CHAT.id).leaf is None


def test_a_message_that_is_saved_brings_its_position(store: HistoryStore) -> None:
    saved(store)
    longer = CHAT.with_message(replace(ONE, parts=(TextPart("one and more"),)))
    store.save_message(longer, longer.messages[1])

    assert store.load(CHAT.id) == longer
    assert store.load(CHAT.id).leaf == longer.messages[1]


def test_looking_around_does_not_make_a_chat_the_latest(store: HistoryStore) -> None:
    saved(store)
    newer = saved(store, Conversation(messages=(said("hi"),)))
    store.save_position(CHAT.at(ONE))

    assert store.latest() == newer


def test_the_position_of_a_chat_that_is_not_saved_is_nothing(store: HistoryStore) -> None:
    store.save_position(CHAT)

    assert store.recent() == ()


def test_a_file_of_the_first_version_opens(store: HistoryStore, path: str) -> None:
    connection = sqlite3.connect(path)
    with connection:
        for statement in schema.MIGRATIONS[0]:
            connection.execute(statement)
        connection.execute("PRAGMA user_version = 1")
        connection.execute(
            "INSERT INTO conversations (id, created, updated, title, model, system)"
            " VALUES ('old1', '2026-01-01T00:00:00+00:00', '2026-01-01T00:00:00+00:00', 'Old', 'starter', '')"
        )
    connection.close()

    assert store.load("old1").title == "Old"
    assert store.load("old1").tip is None


def test_a_deleted_chat_is_put_back_as_it_was(store: HistoryStore) -> None:
    saved(store, CHAT.at(ONE))
    before = store.recent()
    conversation = store.load(CHAT.id)
    store.delete(CHAT.id)
    store.restore(conversation)

    assert store.recent() == before
    assert store.load(CHAT.id) == CHAT.at(ONE)
    assert store.search("two")


def test_a_chat_that_is_there_is_not_put_back_twice(store: HistoryStore) -> None:
    saved(store)
    store.restore(CHAT)

    assert store.load(CHAT.id) == CHAT
