"""The history beside other processes, and when the disk, the file or the process fails."""

import resource
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from hychat.domain.errors import HistoryError
from hychat.domain.message import Conversation, Message, Role, TextPart
from hychat.history import database
from hychat.history.store import HistoryStore

# Saves `argv[2]` messages and prints the id of each once it is saved; begins when a line comes.
WRITER = """
import sys
from hychat.domain.message import Conversation, Message, Role, TextPart
from hychat.history.store import HistoryStore

store, chat = HistoryStore(sys.argv[1]), Conversation(id=sys.argv[3])
print("ready", flush=True)
sys.stdin.readline()
for number in range(int(sys.argv[2])):
    message = Message(Role.USER, (TextPart("words " * 50),))
    store.save_message(chat, message)
    print(message.id, flush=True)
store.close()
"""

# Writes a message and stays inside the transaction.
HANGING_WRITER = """
import sys
from hychat.domain.message import Conversation, Message, Role, TextPart
from hychat.history.store import HistoryStore

store, message = HistoryStore(sys.argv[1]), Message(Role.USER, (TextPart("lost"),))
store.save_message(Conversation(), message)
with store._transaction("IMMEDIATE") as connection:
    connection.execute("UPDATE messages SET parts = 'half'")
    connection.execute("UPDATE conversations SET title = 'half'")
    print("inside", flush=True)
    sys.stdin.read()
"""

# What one who may not write the history is told, as `nobody` where the tests run as root.
STRANGER = """
import os, sys
from hychat.domain.errors import HistoryError
from hychat.domain.message import Conversation, Message, Role, TextPart
from hychat.history.store import HistoryStore

if os.geteuid() == 0:
    os.setuid(65534)
store, message = HistoryStore(sys.argv[1]), Message(Role.USER, (TextPart("hi"),))
try:
    print(store.load(sys.argv[2]).title)
    store.save_message(Conversation(), message)
except HistoryError as error:
    print(error, error.hint)
"""


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "history.sqlite3")


@pytest.fixture
def store(path: str) -> Iterator[HistoryStore]:
    store = HistoryStore(path)
    yield store
    store.close()


def said(text: str = "hi") -> Message:
    return Message(Role.USER, (TextPart(text),))


def saved(store: HistoryStore) -> Conversation:
    message = said()
    conversation = Conversation("Trip", messages=(message,))
    store.save_message(conversation, message)
    return conversation


def started(program: str, *arguments: str) -> subprocess.Popen[str]:
    """A program that has printed its first line."""
    command = [sys.executable, "-c", program, *arguments]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    return process


def integrity(path: str) -> str:
    connection = sqlite3.connect(path)
    (answer,) = connection.execute("PRAGMA integrity_check").fetchone()
    connection.execute("INSERT INTO message_index (message_index) VALUES ('integrity-check')")
    connection.close()
    return str(answer)


def test_four_processes_that_create_and_write_at_once_lose_nothing(store: HistoryStore, path: str) -> None:
    chats = ["mine", "mine", "third", "fourth"]
    writers = [started(WRITER, path, "50", chat) for chat in chats]
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
    told = [writer.communicate()[0].split() for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0, 0, 0]
    assert sorted(summary.message_count for summary in store.recent()) == [50, 50, 100]
    kept = {message.id for summary in store.recent() for message in store.load(summary.id).messages}
    assert kept == {message_id for ids in told for message_id in ids}
    assert integrity(path) == "ok"


@pytest.mark.parametrize("after", [1, 7, 40])
def test_a_writer_that_is_killed_leaves_all_that_it_saved(store: HistoryStore, path: str, after: int) -> None:
    writer = started(WRITER, path, "1000000", "chat")
    assert writer.stdin is not None
    assert writer.stdout is not None
    writer.stdin.write("go\n")
    writer.stdin.flush()
    told = [writer.stdout.readline().strip() for _ in range(after)]
    writer.send_signal(signal.SIGKILL)
    told += writer.stdout.read().split()  # not communicate(): it forgets what readline() has read ahead
    writer.communicate()
    kept = [message.id for message in store.load("chat").messages]
    assert kept[: len(told)] == told
    assert len(kept) <= len(told) + 1
    assert integrity(path) == "ok"


def test_a_writer_that_is_killed_inside_a_write_leaves_what_was_before(store: HistoryStore, path: str) -> None:
    writer = started(HANGING_WRITER, path)
    writer.send_signal(signal.SIGKILL)
    writer.communicate()
    latest = store.latest()
    assert latest is not None
    assert (latest.title, latest.messages[0].text) == ("", "lost")
    saved(store)


def test_others_read_while_one_writes(store: HistoryStore, path: str) -> None:
    writer = started(HANGING_WRITER, path)
    assert [summary.title for summary in store.recent()] == [""]
    writer.communicate("")


def test_a_write_that_waits_too_long_says_who_is_in_the_way(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.01)
    store = HistoryStore(path)
    writer = started(HANGING_WRITER, path)
    with pytest.raises(HistoryError, match="in use by another process") as caught:
        store.save_message(Conversation(), said())
    assert caught.value.hint == "Close other programs that use it, and try again."
    writer.communicate("")
    saved(store)
    store.close()


def test_a_full_disk_is_told_and_harms_nothing(store: HistoryStore, path: str) -> None:
    conversation = saved(store)
    assert store._connection is not None
    (pages,) = store._connection.execute("PRAGMA page_count").fetchone()
    store._connection.execute(f"PRAGMA max_page_count = {pages + 1}")
    with pytest.raises(HistoryError, match=f"The disk is full; the history {path}") as caught:
        store.save_message(conversation, said("long " * 10_000))
    assert caught.value.hint == "Free some space; what was saved before is intact."
    assert store.load(conversation.id) == conversation
    store._connection.execute("PRAGMA max_page_count = 1000000")
    store.save_message(conversation, said("again"))
    assert integrity(path) == "ok"


def test_a_file_that_may_not_grow_is_told_and_harms_nothing(store: HistoryStore, path: str) -> None:
    conversation = saved(store)
    store.close()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(HistoryError, match="cannot be read or written") as caught:
            store.save_message(conversation, said("long " * 100_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "Check the disk" in caught.value.hint
    assert store.load(conversation.id) == conversation
    assert integrity(path) == "ok"


@pytest.mark.parametrize("content", [b"this is not a database, but it is long enough to look at\n" * 50, b"\0" * 5000])
def test_a_file_that_is_no_database_is_told_and_left_as_it_is(store: HistoryStore, path: str, content: bytes) -> None:
    Path(path).write_bytes(content)
    with pytest.raises(HistoryError, match="is damaged, or is no history") as caught:
        saved(store)
    assert "Move the file away" in caught.value.hint
    assert Path(path).read_bytes() == content


def test_a_damaged_file_is_told(store: HistoryStore, path: str) -> None:
    conversation = saved(store)
    store.close()
    with Path(path).open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 8192)
    with pytest.raises(HistoryError, match="is damaged"):
        store.load(conversation.id)


def test_a_folder_in_the_files_place_is_told(store: HistoryStore, path: str) -> None:
    Path(path).mkdir()
    with pytest.raises(HistoryError, match="cannot be read or written"):
        store.recent()


def test_a_file_in_the_folders_place_is_told(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    with pytest.raises(HistoryError, match="cannot be opened") as caught:
        HistoryStore(str(tmp_path / "data" / "history.sqlite3")).recent()
    assert "--no-save" in caught.value.hint


def told_to_a_stranger(folder: str, *, file_mode: int, folder_mode: int) -> str:
    """What someone reads and is told who tries to load and then to save."""
    path = f"{folder}/history.sqlite3"
    store = HistoryStore(path)
    conversation = saved(store)
    store.close()
    Path(path).chmod(file_mode)
    Path(folder).chmod(folder_mode)
    command = [sys.executable, "-c", STRANGER, path, conversation.id]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    Path(folder).chmod(0o700)
    return told


def test_a_read_only_file_can_still_be_read() -> None:
    with TemporaryDirectory() as folder:  # not pytest's own, which another user may not enter
        told = told_to_a_stranger(folder, file_mode=0o444, folder_mode=0o777)
    assert told.startswith("Trip\n")
    assert "may not be written. Check the permissions" in told


def test_a_folder_that_may_not_be_entered_is_told() -> None:
    with TemporaryDirectory() as folder:
        told = told_to_a_stranger(folder, file_mode=0o600, folder_mode=0o000)
    assert "cannot be opened: Permission denied. Check the folder's permissions" in told


def test_a_read_only_folder_is_told() -> None:
    with TemporaryDirectory() as folder:
        told = told_to_a_stranger(folder, file_mode=0o444, folder_mode=0o555)
    assert "may not be written" in told
