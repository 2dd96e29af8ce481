"""The tables, how they came to be version by version, and the search index beside them.

`PRAGMA user_version` is the number of migrations that a file has been through. JSON columns may gain fields without a
new version (readers leave out what they do not know); a change of tables needs one.
"""

import sqlite3
from typing import Final

from hychat.domain.errors import HistoryError
from hychat.history.database import transaction
from hychat.messages import _

# `row` gives messages their order and the index its key. What is long comes last: SQLite reads a row from its front.
_FIRST_TABLES: Final = (
    """
    CREATE TABLE conversations (
        row INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        created TEXT NOT NULL,
        updated TEXT NOT NULL,
        title TEXT NOT NULL,
        model TEXT NOT NULL,
        system TEXT NOT NULL
    )
    """,
    "CREATE INDEX conversations_by_updated ON conversations (updated)",
    """
    CREATE TABLE messages (
        row INTEGER PRIMARY KEY,
        conversation TEXT NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
        id TEXT NOT NULL,
        parent TEXT,
        role TEXT NOT NULL,
        created TEXT NOT NULL,
        style TEXT,
        stop TEXT,
        receipt TEXT,
        folded TEXT NOT NULL,
        parts TEXT NOT NULL,
        UNIQUE (conversation, id)
    )
    """,
    """
    CREATE VIEW summaries AS
    SELECT row, id, title, model, created, updated,
        (SELECT count(*) FROM messages WHERE messages.conversation = conversations.id) AS message_count
    FROM conversations
    """,
)

_POSITIONS: Final = ("ALTER TABLE conversations ADD COLUMN tip TEXT",)

MIGRATIONS: Final[tuple[tuple[str, ...], ...]] = (_FIRST_TABLES, _POSITIONS)
"""Statements that lead from each version to the next; what has been released here never changes."""

# `holds` decides what matches, so the index keeps no positions and no sizes: 0.6 of the bytes, 0.8 of the time.
INDEX: Final = """
    CREATE VIRTUAL TABLE message_index USING fts5 (
        folded, content = 'messages', content_rowid = 'row', tokenize = 'trigram case_sensitive 1',
        detail = none, columnsize = 0
    )
"""
_INDEX_TRIGGERS: Final = (
    """
    CREATE TRIGGER message_indexed AFTER INSERT ON messages BEGIN
        INSERT INTO message_index (rowid, folded) VALUES (new.row, new.folded);
    END
    """,
    """
    CREATE TRIGGER message_unindexed AFTER DELETE ON messages BEGIN
        INSERT INTO message_index (message_index, rowid, folded) VALUES ('delete', old.row, old.folded);
    END
    """,
    """
    CREATE TRIGGER message_reindexed AFTER UPDATE OF folded ON messages BEGIN
        INSERT INTO message_index (message_index, rowid, folded) VALUES ('delete', old.row, old.folded);
        INSERT INTO message_index (rowid, folded) VALUES (new.row, new.folded);
    END
    """,
)
_FORGET_TRIGGERS: Final = (
    "DROP TRIGGER IF EXISTS message_indexed",
    "DROP TRIGGER IF EXISTS message_unindexed",
    "DROP TRIGGER IF EXISTS message_reindexed",
)


def prepare(connection: sqlite3.Connection) -> None:
    """Make the file ready for this version of hychat, and the index for this build of SQLite.

    Raises:
        HistoryError: A newer hychat has changed the tables.
        sqlite3.Error: The file cannot be read or written.
    """
    if _version(connection) != len(MIGRATIONS):
        _migrate(connection)
    if has_index(connection) and not _index_answers(connection):
        _give_up_index(connection)


def has_index(connection: sqlite3.Connection) -> bool:
    """Whether the index is kept up with the messages."""
    triggers = "SELECT count(*) FROM sqlite_master WHERE type = 'trigger' AND name = 'message_indexed'"
    return bool(connection.execute(triggers).fetchone()[0])


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _migrate(connection: sqlite3.Connection) -> None:
    with transaction(connection, "IMMEDIATE"):
        version = _version(connection)  # read again: another process may have been quicker
        _refuse_newer(version)
        for number, statements in enumerate(MIGRATIONS[version:], start=version + 1):
            for statement in statements:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {number}")
        if version == 0:
            _create_index(connection)


def _refuse_newer(version: int) -> None:
    if version > len(MIGRATIONS):
        raise HistoryError(
            _("The history was written by a newer hychat."),
            hint=_("Update hychat, or chat without saving: `--no-save`."),
        )


def _create_index(connection: sqlite3.Connection) -> None:
    """Create the index where SQLite has FTS5 with trigrams (3.34 and later, most builds)."""
    try:
        connection.execute(INDEX)
    except sqlite3.OperationalError as error:
        if not _is_index_unknown(error):
            raise
    else:
        for trigger in _INDEX_TRIGGERS:
            connection.execute(trigger)


def _index_answers(connection: sqlite3.Connection) -> bool:
    try:
        connection.execute("SELECT rowid FROM message_index LIMIT 0")
    except sqlite3.OperationalError as error:
        if not _is_index_unknown(error):
            raise
        return False
    return True


def _is_index_unknown(error: sqlite3.OperationalError) -> bool:
    """Whether this build of SQLite has no FTS5, or no trigram tokenizer; it says so in words only."""
    return str(error).startswith(("no such module", "no such tokenizer", "error in tokenizer constructor"))


def _give_up_index(connection: sqlite3.Connection) -> None:
    """Leave an index that another build of SQLite made: its triggers would refuse every message here."""
    with transaction(connection, "IMMEDIATE"):
        for statement in _FORGET_TRIGGERS:
            connection.execute(statement)
