"""The KV cache of a chat on disk holds what the user was shown, and nothing that was kept from him."""

from array import array
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from hychat.domain.cancel import CancelToken
from hychat.domain.choices import SafetyLevel
from hychat.domain.errors import Interrupted
from hychat.domain.generation import GenerationSettings, StopReason
from hychat.domain.message import Conversation
from hychat.engine.echo import EchoEngine
from hychat.engine.llama.context import tokens_in_state
from hychat.engine.llama.model import Model
from hychat.engine.process import EngineProcess
from hychat.history.states import KvStates
from hychat.safety.guard import Guard, Layers
from hychat.safety.guard_model import Ruling
from hychat.safety.words import Entry, Tier, WordList
from hychat.session import chat as session_chat
from hychat.session.chat import ChatSession
from tests.engines import starter_engine, starter_path
from tests.sessions import Shelf, ask, finished

QUESTION = "What is the capital of France?"
_HEADER_BYTES = 12


@pytest.fixture(scope="module")
def engine() -> Iterator[EngineProcess]:
    with closing(starter_engine()) as engine:
        yield engine


@pytest.fixture(autouse=True)
def every_state_is_worth_keeping(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_chat, "_WORTH_KEEPING_SECONDS", 0.0)


def answered(engine: EngineProcess, states: KvStates, words: WordList) -> ChatSession:
    chat = ChatSession(
        engine,
        Conversation(),
        settings=GenerationSettings(seed=1, max_tokens=24),
        store=Shelf(),
        states=states,
        guard=Guard(SafetyLevel.STANDARD, Layers(lambda: words, lambda: None)),
    )
    finished(ask(chat, QUESTION))
    return chat


def text_in(state: Path, model: Model) -> str:
    with state.open("rb") as file:
        file.seek(_HEADER_BYTES)
        tokens = array("i", file.read(4 * tokens_in_state(str(state))))
    return b"".join(map(model.piece, tokens)).decode(errors="replace")


def test_the_state_of_an_answer_holds_it_and_of_a_blocked_one_there_is_none(
    engine: EngineProcess, starter_model: Model, tmp_path: Path
) -> None:
    folder = tmp_path / "states"
    states = KvStates(folder, starter_path())
    allowed = answered(engine, states, WordList([]))
    (kept,) = folder.iterdir()
    assert "Paris" in text_in(kept, starter_model)

    blocked = answered(engine, states, WordList([Entry("paris", "own", Tier.BLOCK)]))
    assert blocked.conversation.messages[-1].stop is StopReason.BLOCKED
    assert [*folder.iterdir()] == [kept]
    assert states.find(allowed.conversation.id) is not None


class Keeping(EchoEngine):
    """An engine with a KV cache."""

    def keep(self, path: str) -> bool:
        Path(path).write_bytes(b"state")
        return True


class Impatient:
    """A guard model whose user does not wait until it has read an answer."""

    def prompt(self, text: str, cancel: CancelToken | None = None) -> Ruling:  # noqa: ARG002 - the protocol's
        return Ruling("safe", ())

    def reply(self, prompt: str, text: str, cancel: CancelToken | None = None) -> Ruling:  # noqa: ARG002 - the protocol's
        raise Interrupted("Stopped.")


def test_there_is_no_state_of_an_answer_whose_end_was_not_checked(tmp_path: Path) -> None:
    folder = tmp_path / "states"
    guard = Guard(SafetyLevel.STANDARD, Layers(lambda: WordList([]), lambda: None))
    unread = Guard(SafetyLevel.STANDARD, Layers(lambda: WordList([]), lambda: None), Impatient())
    chat = ChatSession(Keeping(), Conversation(), store=Shelf(), states=KvStates(folder, "model"), guard=unread)
    finished(ask(chat, "hello"))
    assert not folder.exists()
    chat.guard = guard
    finished(ask(chat, "hello"))
    assert len([*folder.iterdir()]) == 1
