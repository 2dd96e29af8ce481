"""Conversations on disk: what is saved comes back, and is found by its id."""

import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hychat.domain.attachment import Attachment, AttachmentKind
from hychat.domain.choices import Style
from hychat.domain.errors import ConversationNotFound, HistoryError
from hychat.domain.generation import GenerationSettings, Receipt, StopReason, Usage
from hychat.domain.message import Conversation, FilePart, ImagePart, Message, Role, TextPart, ThoughtPart, new_id
from hychat.history import schema
from hychat.history.store import HistoryStore

NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "data" / "history.sqlite3")


@pytest.fixture
def store(path: str) -> Iterator[HistoryStore]:
    store = HistoryStore(path)
    yield store
    store.close()


def said(text: str = "hi", *, minute: int = 0, parent: Message | None = None) -> Message:
    moment = NOON + timedelta(minutes=minute)
    return Message(Role.USER, (TextPart(text),), parent=parent.id if parent else None, created=moment)


def saved(store: HistoryStore, *, minute: int = 0, conversation_id: str = "", title: str = "") -> Conversation:
    """A conversation of one message, on disk."""
    message = said(minute=minute)
    conversation = Conversation(title, messages=(message,), id=conversation_id or new_id(), created=message.created)
    store.save_message(conversation, message)
    return conversation


def with_raw(path: str, statement: str, *values: str) -> list[tuple[object, ...]]:
    """What SQLite itself says of the file."""
    connection = sqlite3.connect(path)
    with connection:
        rows = connection.execute(statement, values).fetchall()
    connection.close()
    return rows


WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
FLOATS = st.floats(allow_nan=False)
NUMBERS = st.integers(-(2**63), 2**63)
MOMENTS = st.datetimes(datetime(1970, 1, 2), datetime(2999, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - st's rule
ATTACHMENTS = st.builds(
    Attachment,
    st.sampled_from(AttachmentKind),
    WORDS,
    WORDS,
    WORDS,
    st.binary(max_size=40),
    st.none() | WORDS,
    st.none() | NUMBERS,
)
PARTS = st.one_of(
    st.builds(TextPart, WORDS),
    st.builds(ThoughtPart, WORDS),
    st.builds(FilePart, ATTACHMENTS),
    st.builds(ImagePart, ATTACHMENTS),
)
RECEIPTS = st.builds(
    Receipt,
    WORDS,
    st.builds(
        GenerationSettings,
        temperature=st.none() | FLOATS,
        top_k=st.none() | NUMBERS,
        seed=st.none() | NUMBERS,
        think=st.none() | st.booleans(),
        json_schema=st.none() | WORDS,
    ),
    st.builds(Usage, prompt_tokens=NUMBERS, decode_seconds=FLOATS),
)
MESSAGES = st.builds(
    Message,
    st.sampled_from(Role),
    st.lists(PARTS, max_size=4).map(tuple),
    style=st.none() | st.sampled_from(Style),
    stop=st.none() | st.sampled_from(StopReason),
    receipt=st.none() | RECEIPTS,
    created=MOMENTS,
)


@st.composite
def trees(draw: st.DrawFn) -> Conversation:
    """A conversation whose messages follow any earlier one."""
    conversation = Conversation(draw(WORDS), draw(WORDS), draw(WORDS), created=draw(MOMENTS))
    for message in draw(st.lists(MESSAGES, max_size=5)):
        parent = draw(st.sampled_from([None, *(earlier.id for earlier in conversation.messages)]))
        conversation = conversation.with_message(replace(message, parent=parent))
    return conversation


@settings(max_examples=60)
@given(trees())
def test_a_conversation_comes_back_as_it_was(conversation: Conversation) -> None:
    with TemporaryDirectory() as folder:
        store = HistoryStore(f"{folder}/history.sqlite3")
        growing = replace(conversation, messages=())
        for message in conversation.messages:
            growing = growing.with_message(message)
            store.save_message(growing, message)
        store.close()
        assert store.latest() == (conversation if conversation.messages else None)
        store.close()


def test_a_message_saved_again_is_replaced_in_its_place(store: HistoryStore) -> None:
    first, second = said("first"), said("second")
    conversation = Conversation(messages=(first, second))
    for message in conversation.messages:
        store.save_message(conversation, message)
    better = replace(first, parts=(TextPart("better"),), stop=StopReason.CANCELLED)
    store.save_message(conversation, better)
    assert store.load(conversation.id).messages == (better, second)


def test_a_new_conversation_is_saved_with_the_messages_it_already_has(store: HistoryStore) -> None:
    first, second = said("first"), said("second")
    conversation = Conversation(messages=(first, second))
    store.save_message(conversation, second)
    assert store.load(conversation.id) == conversation


def test_a_copy_of_a_conversation_keeps_its_own_messages(store: HistoryStore) -> None:
    original = saved(store)
    copy = replace(original, id=new_id())
    more = said("more", parent=copy.leaf)
    store.save_message(copy, more)
    assert store.load(original.id) == original
    assert store.load(copy.id) == copy.with_message(more)


def test_the_model_and_system_text_in_use_are_kept(store: HistoryStore) -> None:
    conversation = replace(saved(store), model="hunyuan-4b", system="Be brief.")
    message = said("and?")
    store.save_message(conversation, message)
    assert store.load(conversation.id) == conversation.with_message(message)


def test_a_title_given_elsewhere_survives_the_next_message(store: HistoryStore) -> None:
    conversation = saved(store, title="first words")
    store.rename(conversation.id, "Trip to 杭州")
    store.save_message(conversation, said("and then?"))
    assert store.load(conversation.id).title == "Trip to 杭州"


def test_an_empty_title_is_filled_by_the_next_message(store: HistoryStore) -> None:
    conversation = saved(store, title="")
    store.save_message(replace(conversation, title="Trip"), said("and then?"))
    assert store.load(conversation.id).title == "Trip"


def test_a_lone_surrogate_becomes_a_question_mark(store: HistoryStore) -> None:
    message = said("a\udcffb")
    store.save_message(Conversation(title="\ud800", messages=(message,), id="chat"), message)
    assert (store.load("chat").title, store.load("chat").messages[0].text) == ("?", "a?b")


def test_fields_of_a_later_version_do_not_matter(store: HistoryStore, path: str) -> None:
    receipt = Receipt("starter", GenerationSettings(seed=1), Usage(prompt_tokens=2))
    file = FilePart(Attachment(AttachmentKind.TEXT, "a.txt", "text/plain", text="a"))
    message = replace(said(), parts=(TextPart("hi"), file), receipt=receipt)
    conversation = Conversation(messages=(message,))
    store.save_message(conversation, message)
    ((parts, stored_receipt),) = with_raw(path, "SELECT parts, receipt FROM messages")
    later_parts = json.loads(str(parts))
    later_parts[1]["attachment"]["pages"] = 3
    later_parts.append({"type": "video", "frames": []})
    later_parts.append({"type": "file", "attachment": {**later_parts[1]["attachment"], "kind": "voice"}})
    later_receipt = json.loads(str(stored_receipt)) | {"device": "CUDA0"}
    later_receipt["settings"]["mirostat"] = 2
    later_receipt["usage"]["joules"] = 9.5
    with_raw(path, "UPDATE messages SET parts = ?, receipt = ?", json.dumps(later_parts), json.dumps(later_receipt))
    with_raw(path, "UPDATE messages SET style = 'pirate', stop = 'bored'")
    assert store.load(conversation.id) == conversation


def test_the_latest_conversation_has_the_newest_message(store: HistoryStore) -> None:
    older, newer = saved(store, minute=0), saved(store, minute=1)
    assert store.latest() == newer
    message = said("again", minute=2)
    store.save_message(older, message)
    assert store.latest() == older.with_message(message)


def test_recent_conversations_are_summed_up_newest_first(store: HistoryStore) -> None:
    older, newer = saved(store, title="older"), saved(store, minute=1)
    store.save_message(older, said(minute=-1))
    newest, oldest = store.recent()
    assert newest.id == newer.id
    assert (oldest.id, oldest.title, oldest.message_count) == (older.id, "older", 2)
    assert (oldest.created, oldest.updated) == (NOON, NOON)


def test_recent_stops_at_the_limit(store: HistoryStore) -> None:
    chats = [saved(store, minute=minute) for minute in range(3)]
    assert [summary.id for summary in store.recent(2)] == [chats[2].id, chats[1].id]


def test_an_empty_history_has_no_conversations(store: HistoryStore) -> None:
    assert store.latest() is None
    assert store.recent() == ()
    assert store.search("anything") == ()


def test_the_beginning_of_an_id_is_enough(store: HistoryStore) -> None:
    conversation = saved(store, conversation_id="abcd12345678")
    saved(store, conversation_id="abce12345678")
    assert store.load("abcd") == conversation


def test_a_whole_id_wins_over_longer_ones(store: HistoryStore) -> None:
    conversation = saved(store, conversation_id="abcd")
    saved(store, conversation_id="abcd12345678")
    assert store.load("abcd") == conversation


def test_an_ambiguous_beginning_names_the_conversations(store: HistoryStore) -> None:
    saved(store, conversation_id="abcd12345678", title="Trip")
    saved(store, conversation_id="abcd87654321", minute=1)
    with pytest.raises(ConversationNotFound, match="Several conversations have an id that begins with abcd") as caught:
        store.load("abcd")
    assert caught.value.hint == "Type more of one of these: abcd87654321, abcd12345678 (Trip)."


def test_a_mistyped_id_names_the_nearest(store: HistoryStore) -> None:
    saved(store, conversation_id="abcd12345678", title="Trip")
    saved(store, conversation_id="999999999999")
    with pytest.raises(ConversationNotFound, match="No conversation has the id abce12") as caught:
        store.load("abce12")
    assert caught.value.hint == "Nearest: abcd12345678 (Trip); `hychat history list` shows all of them."


@pytest.mark.parametrize(("typed", "hint"), [("abc", "at least 4 characters"), ("", "at least 4"), ("zzzzzz", "list")])
def test_an_id_that_is_like_none_says_how_to_find_one(store: HistoryStore, typed: str, hint: str) -> None:
    saved(store, conversation_id="abcd12345678")
    with pytest.raises(ConversationNotFound) as caught:
        store.load(typed)
    assert hint in caught.value.hint


def test_an_id_is_not_a_pattern(store: HistoryStore) -> None:
    saved(store, conversation_id="abcd12345678")
    with pytest.raises(ConversationNotFound):
        store.load("%____%")


def test_no_id_is_found_in_an_empty_history(store: HistoryStore) -> None:
    with pytest.raises(ConversationNotFound) as caught:
        store.load("abcd")
    assert caught.value.hint == "No conversation is saved yet."


def test_renaming_tells_what_the_conversation_is_now(store: HistoryStore) -> None:
    conversation = saved(store, title="old")
    assert store.rename(conversation.id[:6], "new").title == "new"
    assert store.load(conversation.id).title == "new"


def test_deleting_removes_the_conversation_and_its_messages(store: HistoryStore, path: str) -> None:
    gone, kept = saved(store, title="gone"), saved(store)
    assert store.delete(gone.id).title == "gone"
    assert [summary.id for summary in store.recent()] == [kept.id]
    assert with_raw(path, "SELECT conversation FROM messages") == [(kept.id,)]


@pytest.mark.parametrize("use", [HistoryStore.load, HistoryStore.delete])
def test_an_unknown_conversation_is_told(store: HistoryStore, use: Callable[[HistoryStore, str], object]) -> None:
    with pytest.raises(ConversationNotFound):
        use(store, "abcdef")


def test_nothing_is_created_before_the_first_use(path: str) -> None:
    HistoryStore(path).close()
    assert not Path(path).parent.exists()


def test_only_the_owner_may_read_the_history(store: HistoryStore, path: str) -> None:
    saved(store)
    folder = Path(path).parent
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {file.name: file.stat().st_mode & 0o777 for file in folder.iterdir()} == {
        "history.sqlite3": 0o600,
        "history.sqlite3-shm": 0o600,
        "history.sqlite3-wal": 0o600,
    }


def test_the_store_works_on_after_it_was_closed(store: HistoryStore) -> None:
    conversation = saved(store)
    store.close()
    store.close()
    assert store.load(conversation.id) == conversation


def test_the_history_is_a_wal_that_waits_for_other_writers(store: HistoryStore) -> None:
    saved(store)
    assert store._connection is not None
    pragmas = ("journal_mode", "synchronous", "busy_timeout", "foreign_keys")
    assert [store._connection.execute(f"PRAGMA {name}").fetchone()[0] for name in pragmas] == ["wal", 1, 5000, 1]


def test_an_existing_history_opens_in_five_milliseconds(store: HistoryStore, path: str) -> None:
    conversation = saved(store)
    store.close()

    def opening_seconds() -> float:
        another = HistoryStore(path)
        begun = time.perf_counter()
        another.load(conversation.id)
        taken = time.perf_counter() - begun
        another.close()
        return taken

    assert min(opening_seconds() for _ in range(10)) < 0.005


def test_threads_share_one_store(store: HistoryStore) -> None:
    conversation = Conversation()
    messages = [[said(f"{thread} {number}") for number in range(20)] for thread in range(4)]

    def write(own: list[Message]) -> None:
        for message in own:
            store.save_message(conversation, message)

    threads = [Thread(target=write, args=(own,)) for own in messages]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {message.id for message in store.load(conversation.id).messages} == {
        message.id for own in messages for message in own
    }


def test_a_later_version_finds_its_tables_and_the_old_conversations(
    store: HistoryStore, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    conversation = saved(store)
    store.close()
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, ("ALTER TABLE conversations ADD COLUMN pinned",)))
    assert store.load(conversation.id) == conversation
    assert with_raw(path, "PRAGMA user_version") == [(len(schema.MIGRATIONS),)]
    assert with_raw(path, "SELECT pinned FROM conversations") == [(None,)]


def test_a_migration_that_fails_changes_nothing(
    store: HistoryStore, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    conversation = saved(store)
    store.close()
    step = ("ALTER TABLE conversations ADD COLUMN pinned", "ALTER TABLE nowhere ADD COLUMN pinned")
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, step))
    with pytest.raises(HistoryError):
        store.load(conversation.id)
    monkeypatch.undo()
    assert with_raw(path, "PRAGMA user_version") == [(len(schema.MIGRATIONS),)]
    assert store.load(conversation.id) == conversation


def test_the_history_of_a_newer_hychat_is_left_alone(store: HistoryStore, path: str) -> None:
    saved(store)
    store.close()
    with_raw(path, "PRAGMA user_version = 99")
    with pytest.raises(HistoryError, match="newer hychat") as caught:
        store.recent()
    assert "Update hychat" in caught.value.hint


def test_a_damaged_message_names_its_conversation(store: HistoryStore, path: str) -> None:
    conversation, other = saved(store), saved(store)
    with_raw(path, "UPDATE messages SET parts = '{' WHERE conversation = ?", conversation.id)
    with pytest.raises(
        HistoryError, match=f"Conversation {conversation.id} in the history .* cannot be read"
    ) as caught:
        store.load(conversation.id)
    assert f"`hychat history rm {conversation.id}`" in caught.value.hint
    assert store.load(other.id) == other
    store.delete(conversation.id)


def test_the_last_questions_are_told_the_newest_last(store: HistoryStore) -> None:
    conversation = Conversation()
    for text in ("one", "two", "three"):
        message = Message(Role.USER, (TextPart(text),))
        store.save_message(conversation, message)
        conversation = conversation.with_message(message)
    assert store.recent_questions(2) == ("two", "three")
