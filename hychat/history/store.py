"""The conversations of one user, in one SQLite file that several hychats may use at once.

Import this module where a history is opened, not at start: it brings sqlite3.
"""

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Final

from hychat.domain.codec import moment_to_json
from hychat.domain.errors import HistoryError
from hychat.domain.message import Conversation, Message
from hychat.history import rows, schema, search
from hychat.history.database import TransactionKind, connect, database_errors_told, transaction
from hychat.history.lookup import resolve
from hychat.history.results import ConversationSummary, SearchHit
from hychat.messages import _

_INSERT_CONVERSATION: Final = """
    INSERT INTO conversations (id, title, model, system, created, updated)
    VALUES (:id, :title, :model, :system, :created, :created)
    ON CONFLICT (id) DO NOTHING
"""
# A title that stands stays: this process may not know yet that another one renamed the conversation.
_UPDATE_CONVERSATION: Final = """
    UPDATE conversations
    SET title = CASE title WHEN '' THEN :title ELSE title END, model = :model, system = :system, tip = :tip,
        updated = max(updated, :newest)
    WHERE id = :id
"""
# Not REPLACE: a message that is saved again keeps its row, and so its place among the others.
_SAVE_MESSAGE: Final = """
    INSERT INTO messages (conversation, id, parent, role, created, style, stop, receipt, folded, parts)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (conversation, id) DO UPDATE SET
        parent = excluded.parent, role = excluded.role, created = excluded.created, style = excluded.style,
        stop = excluded.stop, receipt = excluded.receipt, folded = excluded.folded, parts = excluded.parts
"""
_SAVE_POSITION: Final = "UPDATE conversations SET tip = ? WHERE id = ?"
_CONVERSATION: Final = "SELECT id, title, model, system, created, tip FROM conversations WHERE id = ?"
_MESSAGES: Final = """
    SELECT id, parent, role, created, style, stop, receipt, parts FROM messages WHERE conversation = ? ORDER BY row
"""
_QUESTIONS: Final = """
    SELECT id, parent, role, created, style, stop, receipt, parts FROM messages WHERE role = 'user'
    ORDER BY row DESC LIMIT ?
"""
_NEWEST: Final = "SELECT id FROM conversations ORDER BY updated DESC, row DESC LIMIT 1"
_SUMMARY: Final = "SELECT id, title, model, created, updated, message_count FROM summaries WHERE id = ?"
_SUMMARIES: Final = """
    SELECT id, title, model, created, updated, message_count FROM summaries ORDER BY updated DESC, row DESC LIMIT ?
"""
# CROSS JOIN makes SQLite walk the messages, newest first, and stop at the limit.
_SCAN_MESSAGES: Final = """
    SELECT s.id, s.title, s.model, s.created, s.updated, s.message_count, m.id, m.role, m.created, m.parts
    FROM messages AS m CROSS JOIN summaries AS s ON s.id = m.conversation
    WHERE holds(m.folded, ?) ORDER BY m.row DESC LIMIT ?
"""
_ASK_INDEX: Final = """
    SELECT s.id, s.title, s.model, s.created, s.updated, s.message_count, m.id, m.role, m.created, m.parts
    FROM messages AS m CROSS JOIN summaries AS s ON s.id = m.conversation
    WHERE m.row IN (SELECT rowid FROM message_index WHERE message_index MATCH ?) AND holds(m.folded, ?)
    ORDER BY m.row DESC LIMIT ?
"""
_SCAN_TITLES: Final = """
    SELECT id, title, model, created, updated, message_count FROM summaries
    WHERE holds(fold(title), ?) ORDER BY updated DESC, row DESC LIMIT ?
"""


class HistoryStore:
    """Conversations on disk. Thread-safe; nothing is opened or created before the first use.

    One connection behind one lock, not one a thread: each use takes milliseconds, worker threads come and go, and
    `close` can close what another thread opened. Every method raises HistoryError when the file cannot be used.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    def save_message(self, conversation: Conversation, message: Message) -> None:
        """Append a message to a conversation, and note where it stands; a message saved again is replaced in its place.

        A conversation that is not there yet is saved with all the messages it has.
        """
        with self._transaction("IMMEDIATE") as connection:
            _save(connection, conversation, (message,), newest=message.created)

    def save_position(self, conversation: Conversation) -> None:
        """Note where a conversation stands; one that is not there is left so."""
        with self._transaction("IMMEDIATE") as connection:
            connection.execute(_SAVE_POSITION, (conversation.tip, conversation.id))

    def restore(self, conversation: Conversation) -> None:
        """Put back a conversation as it was when it was loaded, before it was deleted."""
        newest = max((message.created for message in conversation.messages), default=conversation.created)
        with self._transaction("IMMEDIATE") as connection:
            _save(connection, conversation, (), newest=newest)

    def load(self, id_or_prefix: str) -> Conversation:
        """The conversation with that id, or the only one whose id begins so (4 characters or more).

        Raises:
            ConversationNotFound: There is none, or there are several; the hint names them, or the nearest.
        """
        with self._transaction("DEFERRED") as connection:
            return self._read(connection, resolve(connection, id_or_prefix))

    def latest(self) -> Conversation | None:
        """The conversation with the newest message; None when there is none yet."""
        with self._transaction("DEFERRED") as connection:
            newest = connection.execute(_NEWEST).fetchone()
            return self._read(connection, newest[0]) if newest else None

    def recent(self, limit: int | None = None) -> tuple[ConversationSummary, ...]:
        """The conversations, the one with the newest message first; all of them when no limit is said."""
        with self._transaction("DEFERRED") as connection:
            found = connection.execute(_SUMMARIES, (-1 if limit is None else limit,)).fetchall()
        return tuple(rows.summary_from_row(row) for row in found)

    def recent_questions(self, limit: int) -> tuple[str, ...]:
        """What the user asked last, in whichever conversation, the newest last; one that cannot be read is left out."""
        with self._transaction("DEFERRED") as connection:
            found = connection.execute(_QUESTIONS, (limit,)).fetchall()
        texts: list[str] = []
        for row in reversed(found):
            with suppress(KeyError, TypeError, ValueError):
                texts.append(rows.message_from_row(row).text)
        return tuple(filter(None, texts))

    def search(self, text: str, limit: int = 20) -> tuple[SearchHit, ...]:
        """What holds every word of the text, whatever the case, newest first: users' and models' words, and titles.

        Thoughts and files are not searched. A title is told where no message of its conversation is.
        """
        words = search.folded_words(text)
        if not words:
            return ()
        with self._transaction("DEFERRED") as connection:
            messages = _find_messages(connection, words, limit)
            titles = connection.execute(_SCAN_TITLES, (" ".join(words), limit)).fetchall()
        said = [self._message_hit(row, words) for row in messages]
        told = {hit.conversation.id for hit in said}
        hits = said + [rows.title_hit_from_row(row, words) for row in titles if row[0] not in told]
        return tuple(sorted(hits, key=lambda hit: hit.moment, reverse=True)[:limit])

    def rename(self, id_or_prefix: str, title: str) -> ConversationSummary:
        """Give a conversation another title, and tell what it is now.

        Raises:
            ConversationNotFound: As `load` does.
        """
        with self._transaction("IMMEDIATE") as connection:
            found = resolve(connection, id_or_prefix)
            connection.execute("UPDATE conversations SET title = ? WHERE id = ?", (rows.utf8(title), found))
            return rows.summary_from_row(connection.execute(_SUMMARY, (found,)).fetchone())

    def delete(self, id_or_prefix: str) -> ConversationSummary:
        """Remove a conversation with its messages, and tell what it was; `restore` takes one that was loaded before.

        Raises:
            ConversationNotFound: As `load` does.
        """
        with self._transaction("IMMEDIATE") as connection:
            found = resolve(connection, id_or_prefix)
            summary = rows.summary_from_row(connection.execute(_SUMMARY, (found,)).fetchone())
            connection.execute("DELETE FROM conversations WHERE id = ?", (found,))
            return summary

    def close(self) -> None:
        """Close the file; a second call does nothing, a later use opens it again."""
        with self._lock, database_errors_told(self._path):
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.close()

    @contextmanager
    def _transaction(self, kind: TransactionKind) -> Iterator[sqlite3.Connection]:
        with self._lock, database_errors_told(self._path):
            if self._connection is None:
                self._connection = _open(self._path)
            with transaction(self._connection, kind):
                yield self._connection

    def _read(self, connection: sqlite3.Connection, conversation_id: str) -> Conversation:
        conversation = connection.execute(_CONVERSATION, (conversation_id,)).fetchone()
        messages = connection.execute(_MESSAGES, (conversation_id,)).fetchall()
        with self._damage_told(conversation_id):
            return rows.conversation_from_rows(conversation, messages)

    def _message_hit(self, row: rows.Row, words: tuple[str, ...]) -> SearchHit:
        with self._damage_told(row[0]):
            return rows.message_hit_from_row(row, words)

    @contextmanager
    def _damage_told(self, conversation_id: str) -> Iterator[None]:
        try:
            yield
        except (KeyError, TypeError, ValueError) as error:
            raise HistoryError(
                _("Conversation {id} in the history {path} cannot be read: {reason}.").format(
                    id=conversation_id, path=self._path, reason=repr(error)
                ),
                hint=_("The others are not affected; `hychat history rm {id}` removes this one.").format(
                    id=conversation_id
                ),
            ) from error


def _open(path: str) -> sqlite3.Connection:
    connection = connect(path)
    try:
        connection.create_function("holds", 2, search.holds, deterministic=True)
        connection.create_function("fold", 1, search.fold, deterministic=True)
        schema.prepare(connection)
    except (sqlite3.Error, HistoryError):
        connection.close()
        raise
    return connection


def _save(
    connection: sqlite3.Connection, conversation: Conversation, messages: Sequence[Message], *, newest: datetime
) -> None:
    columns = rows.conversation_to_columns(conversation) | {"newest": moment_to_json(newest)}
    is_new = connection.execute(_INSERT_CONVERSATION, columns).rowcount == 1
    unsaved = (*conversation.messages, *messages) if is_new else messages
    connection.executemany(_SAVE_MESSAGE, [rows.message_to_row(conversation.id, each) for each in unsaved])
    connection.execute(_UPDATE_CONVERSATION, columns)


def _find_messages(connection: sqlite3.Connection, words: tuple[str, ...], limit: int) -> list[rows.Row]:
    asked = search.index_query(words)
    if asked and schema.has_index(connection):
        return connection.execute(_ASK_INDEX, (asked, " ".join(words), limit)).fetchall()
    return connection.execute(_SCAN_MESSAGES, (" ".join(words), limit)).fetchall()
