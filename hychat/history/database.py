"""One SQLite file: how it is opened and created, what a transaction is, and what its failures are called."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final, Literal

from hychat.domain.errors import HistoryError
from hychat.messages import _

TransactionKind = Literal["DEFERRED", "IMMEDIATE"]
"""To see the data of one moment, or to write."""

BUSY_SECONDS: Final = 5.0
"""How long to wait for another process's write; ours take milliseconds."""


def connect(path: str) -> sqlite3.Connection:
    """Open the file, which only its owner may read; create it and its folder where they are missing.

    The connection may be handed from thread to thread, one at a time, and begins no transaction by itself.

    Raises:
        OSError: The folder or the file cannot be created.
        sqlite3.Error: SQLite cannot use the file.
    """
    if not os.path.exists(path):  # noqa: PTH110 - the path is a string, and pathlib would add nothing
        _create(path)
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        _choose_modes(connection)
    except sqlite3.Error:
        connection.close()
        raise
    return connection


@contextmanager
def transaction(connection: sqlite3.Connection, kind: TransactionKind) -> Iterator[None]:
    """Do all that the block does, or nothing of it."""
    try:
        connection.execute(f"BEGIN {kind}")
        yield
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:  # SQLite has rolled back by itself after some errors
            connection.execute("ROLLBACK")


@contextmanager
def database_errors_told(path: str) -> Iterator[None]:
    """Raise what goes wrong in the block as a HistoryError that names the file and the next step."""
    try:
        yield
    except sqlite3.Error as error:
        raise _told(error, path) from error
    except OSError as error:
        raise HistoryError(
            _("The history {path} cannot be opened: {reason}.").format(path=path, reason=error.strerror or error),
            hint=_("Check the folder's permissions, or chat without saving: `--no-save`."),
        ) from error


def _create(path: str) -> None:
    folder = os.path.dirname(path)  # noqa: PTH120 - as above
    if folder:
        os.makedirs(folder, mode=0o700, exist_ok=True)  # noqa: PTH103 - as above
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # SQLite gives its -wal and -shm the same mode


def _choose_modes(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA foreign_keys = ON")
    # Where two processes create the file at once, SQLite may refuse them both; then the next to open it switches.
    # Any real trouble speaks again at the next statement.
    with suppress(sqlite3.OperationalError):
        connection.execute("PRAGMA journal_mode = WAL")
    # With a WAL, NORMAL may lose the last messages to a power cut, to nothing less, and never harms the file.
    connection.execute("PRAGMA synchronous = NORMAL")


def _told(error: sqlite3.Error, path: str) -> HistoryError:
    """Name the failure by SQLite's primary result code (sqlite.org/rescode.html): the low byte of the extended one."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    match code:
        case sqlite3.SQLITE_FULL:
            message = _("The disk is full; the history {path} could not be written.")
            hint = _("Free some space; what was saved before is intact.")
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            message = _("The history {path} is in use by another process for too long.")
            hint = _("Close other programs that use it, and try again.")
        case sqlite3.SQLITE_NOTADB | sqlite3.SQLITE_CORRUPT:
            message = _("The history {path} is damaged, or is no history: {reason}.")
            hint = _("Move the file away to begin a new one; `sqlite3 FILE .recover` may save what is in it.")
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM | sqlite3.SQLITE_AUTH:
            message = _("The history {path} may not be written.")
            hint = _("Check the permissions of the file and its folder, or chat without saving: `--no-save`.")
        case _:
            message = _("The history {path} cannot be read or written: {reason}.")
            hint = _("Check the disk and the file's permissions, or chat without saving: `--no-save`.")
    return HistoryError(message.format(path=path, reason=error), hint=hint)
