"""KV caches on disk: found for their model only, few enough, gone with their chat."""

import os
from pathlib import Path

from hychat.history.states import KvStates, forget_state


def model_in(folder: Path, content: bytes = b"weights") -> str:
    path = folder / "model.gguf"
    path.write_bytes(content)
    return str(path)


def write(states: KvStates, conversation: str, size: int = 10) -> None:
    place = states.place(conversation)
    assert place is not None
    Path(place).write_bytes(b"x" * size)
    states.settle(conversation)


def test_a_written_state_is_found(tmp_path: Path) -> None:
    states = KvStates(tmp_path / "states", model_in(tmp_path))
    write(states, "chat1")

    assert states.find("chat1") is not None
    assert states.find("chat2") is None


def test_a_state_that_was_not_settled_is_not_found(tmp_path: Path) -> None:
    states = KvStates(tmp_path / "states", model_in(tmp_path))
    place = states.place("chat1")
    assert place is not None
    Path(place).write_bytes(b"half")

    assert states.find("chat1") is None


def test_the_state_of_a_model_that_changed_is_not_found(tmp_path: Path) -> None:
    write(KvStates(tmp_path / "states", model_in(tmp_path)), "chat1")

    assert KvStates(tmp_path / "states", model_in(tmp_path, b"other weights")).find("chat1") is None


def test_a_chat_has_one_state_whatever_models_it_met(tmp_path: Path) -> None:
    write(KvStates(tmp_path / "states", model_in(tmp_path)), "chat1")
    write(KvStates(tmp_path / "states", model_in(tmp_path, b"other weights")), "chat1")

    assert len(list((tmp_path / "states").iterdir())) == 1


def test_the_oldest_states_go_when_there_are_too_many(tmp_path: Path) -> None:
    states = KvStates(tmp_path / "states", model_in(tmp_path), limit_bytes=25)
    for age, chat in enumerate(["old", "middle", "new"]):
        write(states, chat)
        found = states.find(chat)
        assert found is not None
        os.utime(found, (age, age))
    write(states, "newest")

    assert [states.find(chat) is not None for chat in ("old", "middle", "new", "newest")] == [False, False, True, True]


def test_a_deleted_chat_leaves_no_state(tmp_path: Path) -> None:
    states = KvStates(tmp_path / "states", model_in(tmp_path))
    write(states, "chat1")
    forget_state(tmp_path / "states", "chat1")

    assert states.find("chat1") is None


def test_a_folder_that_cannot_be_made_only_means_no_state(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    states = KvStates(tmp_path / "file" / "states", model_in(tmp_path))

    assert states.place("chat1") is None
    assert states.find("chat1") is None
