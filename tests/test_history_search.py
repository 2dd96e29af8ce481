"""Finding words in saved conversations, with FTS5's trigram index and without."""

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hychat.domain.attachment import Attachment, AttachmentKind
from hychat.domain.message import Conversation, FilePart, Message, Role, TextPart, ThoughtPart
from hychat.history import schema, search
from hychat.history.results import SearchHit
from hychat.history.store import HistoryStore

NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)


@pytest.fixture(params=["indexed", "scanned"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HistoryStore]:
    """A store of an SQLite with the trigram tokenizer, and of one without."""
    if request.param == "scanned":
        monkeypatch.setattr(schema, "INDEX", schema.INDEX.replace("trigram", "absent"))
    store = HistoryStore(str(tmp_path / "history.sqlite3"))
    yield store
    store.close()


@pytest.fixture
def indexed_path(tmp_path: Path) -> str:
    return str(tmp_path / "indexed.sqlite3")


def say(store: HistoryStore, *texts: str, title: str = "") -> Conversation:
    """A conversation with these messages, a minute apart."""
    conversation = Conversation(title, created=NOON)
    for minute, text in enumerate(texts):
        message = Message(Role.USER, (TextPart(text),), created=NOON + timedelta(minutes=minute))
        conversation = conversation.with_message(message)
        store.save_message(conversation, message)
    return conversation


def matches(hit: SearchHit) -> list[str]:
    return [hit.snippet[first:last] for first, last in hit.spans]


def found(store: HistoryStore, query: str) -> list[str]:
    return [hit.snippet for hit in store.search(query)]


@pytest.mark.parametrize(
    "query",
    [
        "翻译",
        "请翻译",
        "译",
        "请翻译这句话",
        "100%",
        "%",
        "a_b",
        "_",
        '"quoted"',
        '"q',
        "it's",
        "NEAR",
        "near(",
        "NOT",
        "-flag",
        "star*",
        "back\\slash",
        "col:on",
        "^start",
        "{x}",
        "FTS5",
        "ÉCOLE",
        "école",
        "STRASSE",
        "straße",
        "👍🏽",
        "\0nul",
    ],
)
def test_what_was_written_is_found_as_it_was_typed(store: HistoryStore, query: str) -> None:
    say(store, "some other words")
    say(store, '请翻译这句话 100% a_b "quoted" it\'s NEAR(1) NOT -flag star* back\\slash', title="x")
    say(store, "col:on ^start {x} fts5 École Straße 👍🏽 \0nul")
    (hit,) = store.search(query)
    assert matches(hit)


@pytest.mark.parametrize(
    "query", ["n%d", "n_eded", "need*", '"needed"', "nee OR ded", "-needed", "NEAR(needed)", "翻泽"]
)
def test_signs_stand_for_nothing_but_themselves(store: HistoryStore, query: str) -> None:
    say(store, "needed 翻译")
    assert found(store, query) == []


@pytest.mark.parametrize(("query", "is_found"), [("天气 北京", True), ("weather 北京", True), ("北京 rain", False)])
def test_all_words_must_occur_whatever_their_length(store: HistoryStore, query: str, *, is_found: bool) -> None:
    say(store, "北京的天气怎么样? The weather, please.", "rain")
    assert bool(found(store, query)) is is_found


@pytest.mark.parametrize("query", ["", "  \n\u3000"])
def test_no_words_find_nothing(store: HistoryStore, query: str) -> None:
    say(store, "anything")
    assert found(store, query) == []


def test_thoughts_and_files_are_not_searched(store: HistoryStore) -> None:
    file = FilePart(Attachment(AttachmentKind.TEXT, "a.txt", "text/plain", text="needle in a file"))
    message = Message(Role.ASSISTANT, (ThoughtPart("needle in a thought"), file, TextPart("answer")))
    store.save_message(Conversation(), message)
    assert found(store, "needle") == []
    assert found(store, "swer") == ["answer"]


def test_a_hit_tells_the_message_and_its_conversation(store: HistoryStore) -> None:
    conversation = say(store, "one", "two needles", title="Chat")
    (hit,) = store.search("needle")
    assert (hit.message_id, hit.role) == (conversation.messages[1].id, Role.USER)
    assert hit.moment == conversation.messages[1].created
    assert (hit.conversation.id, hit.conversation.title, hit.conversation.message_count) == (conversation.id, "Chat", 2)


def test_a_title_is_found_by_its_words(store: HistoryStore) -> None:
    conversation = say(store, "one", title="Reise nach Köln")
    (hit,) = store.search("KÖLN reise")
    assert (hit.conversation.id, hit.message_id, hit.role) == (conversation.id, None, None)
    assert matches(hit) == ["Reise", "Köln"]


def test_a_title_is_not_told_beside_a_message_of_its_conversation(store: HistoryStore) -> None:
    say(store, "a needle", title="needle")
    assert found(store, "needle") == ["a needle"]


def test_the_newest_hits_come_first_up_to_the_limit(store: HistoryStore) -> None:
    say(store, "needle 1", "needle 2", "needle 3")
    assert [hit.snippet for hit in store.search("needle", limit=2)] == ["needle 3", "needle 2"]


def test_a_replaced_message_is_found_by_its_new_words_only(store: HistoryStore) -> None:
    conversation = say(store, "the first words")
    store.save_message(conversation, replace(conversation.messages[0], parts=(TextPart("other ones"),)))
    assert found(store, "first") == []
    assert found(store, "other") == ["other ones"]


def test_a_deleted_conversation_is_not_found(store: HistoryStore) -> None:
    store.delete(say(store, "needle").id)
    say(store, "pin")
    assert found(store, "needle") == []
    assert found(store, "pin") == ["pin"]


def test_a_snippet_is_one_line_around_the_first_match(store: HistoryStore) -> None:
    say(store, "before " * 30 + "a\nneedle\tand another needle " + "after " * 30)
    (hit,) = store.search("NEEDLE")
    assert hit.snippet.startswith("…")
    assert hit.snippet.endswith("…")
    assert "a needle and another needle after" in hit.snippet
    assert matches(hit) == ["needle", "needle"]


def test_a_very_long_query_is_answered(store: HistoryStore) -> None:
    text = "".join(chr(0x4E00 + number) for number in range(5000))
    say(store, text, text[:-1])
    (hit,) = store.search(text)
    assert hit.spans == ((0, search.SNIPPET_CHARACTERS),)


SCRIPTS = "aAbBßİſÉé翻译%_*\"'-\0"


@given(st.text(SCRIPTS, max_size=12), st.text(SCRIPTS.rstrip("\0"), min_size=1, max_size=3))
def test_the_spans_of_a_snippet_hold_the_word(text: str, word: str) -> None:
    folded = search.fold(word)
    line, spans = search.snippet(text, (folded,))
    assert bool(spans) is search.holds(search.fold(text), folded)
    assert all(folded in search.fold(line[first:last]) for first, last in spans)


@settings(max_examples=40)
@given(st.lists(st.text(SCRIPTS + " ", max_size=12), max_size=6), st.text(SCRIPTS + " ", min_size=1, max_size=8))
def test_index_and_scan_find_what_a_plain_comparison_finds(texts: list[str], query: str) -> None:
    words = query.replace("\0", " ").casefold().split()
    expected = {text for text in texts if words and all(word in text.replace("\0", " ").casefold() for word in words)}
    with TemporaryDirectory() as folder:
        store = HistoryStore(f"{folder}/history.sqlite3")
        chat = say(store, *texts)
        hits = {hit.message_id for hit in store.search(query)}
        store.close()
    assert {message.text for message in chat.messages if message.id in hits} == expected


@given(st.text(max_size=20))
def test_folding_goes_character_by_character(text: str) -> None:
    assert search.fold(text) == "".join(search.fold(character) for character in text)
    assert len(search.fold(text)) >= len(text)


def test_the_index_is_asked_where_there_is_one(indexed_path: str) -> None:
    store = HistoryStore(indexed_path)
    say(store, "a needle", "hay")
    assert store._connection is not None
    asked: list[str] = []
    store._connection.set_trace_callback(asked.append)
    assert found(store, "needle") == ["a needle"]
    store.close()
    assert any("message_index MATCH" in statement for statement in asked)


def test_an_index_that_this_sqlite_cannot_use_stops_no_one(indexed_path: str) -> None:
    store = HistoryStore(indexed_path)
    conversation = say(store, "first needle")
    store.close()
    make_index_unknown(indexed_path)
    store.save_message(conversation, replace(conversation.messages[0], parts=(TextPart("other pin"),)))
    say(store, "second needle")
    assert found(store, "needle") == ["second needle"]
    assert found(store, "pin") == ["other pin"]
    store.close()


def test_an_index_that_was_given_up_is_not_asked_again(indexed_path: str) -> None:
    store = HistoryStore(indexed_path)
    say(store, "first needle")
    store.close()
    make_index_unknown(indexed_path)
    say(store, "second needle")
    store.close()
    make_index_known(indexed_path)
    assert found(store, "needle") == ["second needle", "first needle"]
    store.close()


def make_index_unknown(path: str) -> None:
    """Turn the SQLite of these tests into one without the tokenizer that the file's index asks for."""
    _rewrite_index(path, "trigram", "absent")


def make_index_known(path: str) -> None:
    _rewrite_index(path, "absent", "trigram")


def _rewrite_index(path: str, old: str, new: str) -> None:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA writable_schema = ON")
    change = "UPDATE sqlite_master SET sql = replace(sql, ?, ?) WHERE name = 'message_index'"
    with connection:
        assert connection.execute(change, (old, new)).rowcount == 1
    connection.close()
