"""One run with several chats, and another model in the middle of it."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from hychat.catalogue.find import find
from hychat.config.schema import Config
from hychat.domain.cancel import CancelToken
from hychat.domain.choices import SafetyLevel
from hychat.domain.errors import Blocked, ModelNotFound
from hychat.domain.event import SafetyEvent
from hychat.domain.message import Conversation
from hychat.domain.model import LocalModel
from hychat.domain.safety import SafetyAction
from hychat.engine.echo import EchoEngine
from hychat.engine.memory import Memory
from hychat.runtime import Runtime
from tests.sessions import ask, failure, finished
from tests.tiny_guard import write_guard


class House:
    """Engines by the name of their model, and which were closed."""

    def __init__(self) -> None:
        self.opened: list[str] = []
        self.closed: list[str] = []

    def open(self, model: str) -> EchoEngine:
        if model == "missing":
            raise ModelNotFound("no such model")
        house = self

        class Closable(EchoEngine):
            def close(self) -> None:
                house.closed.append(model)

        self.opened.append(model)
        return Closable(name=model)


@pytest.fixture
def house() -> House:
    return House()


@pytest.fixture
def runtime(house: House) -> Iterator[Runtime]:
    runtime = Runtime(Config(model="first"), open_engine=house.open)
    yield runtime
    runtime.close()


def test_all_chats_of_a_run_have_one_engine(runtime: Runtime, house: House) -> None:
    for conversation in (None, Conversation(model="first"), Conversation(model="another")):
        session = runtime.session(conversation)
        finished(ask(session, "hi"))
        assert session.conversation.model == "first"

    assert house.opened == ["first"]


def test_the_first_chat_decides_for_its_own_model(runtime: Runtime) -> None:
    assert runtime.session(Conversation(model="another")).conversation.model == "another"


def test_another_model_goes_on_with_the_chat_and_the_old_engine_ends(runtime: Runtime, house: House) -> None:
    session = runtime.session()
    finished(ask(session, "hi"))
    runtime.switch_model("second")
    session = runtime.session(session.conversation)
    answer = finished(ask(session, "and now"))

    assert house.closed == ["first"]
    assert answer.receipt is not None
    assert answer.receipt.model == session.conversation.model == "second"
    assert len(session.conversation.branch()) == 4


def test_a_model_that_is_not_there_leaves_the_old_one(runtime: Runtime, house: House) -> None:
    session = runtime.session()
    with pytest.raises(ModelNotFound):
        runtime.switch_model("missing")

    assert runtime.config.model == "first"
    assert not house.closed
    assert finished(ask(session, "hi")).text == "hi"


def test_the_same_model_stays(runtime: Runtime, house: House) -> None:
    runtime.session()
    runtime.switch_model("first")

    assert (house.opened, house.closed) == (["first"], [])


def test_a_chat_opens_where_it_was(runtime: Runtime) -> None:
    session = runtime.session()
    one = finished(ask(session, "hi"))
    list(session.again(CancelToken()))
    runtime.history().save_position(session.conversation.at(one))

    assert runtime.session(runtime.history().latest()).conversation.leaf == one


class Mapped(EchoEngine):
    """An engine whose model stands in memory, part of it as the file that it is."""

    def places(self) -> dict[str, dict[str, int]]:
        return {"CPU_Mapped": {"model": 6000}, "CPU": {"model": 500, "KV": 500}}


def test_an_onlooker_fits_beside_the_model_that_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = {"qwen3-vl-2b": tmp_path / "large.gguf", "smolvlm-500m": tmp_path / "small.gguf"}
    for path, size in zip(paths.values(), (3000, 1000), strict=True):
        path.write_bytes(bytes(size))
    monkeypatch.setattr("hychat.catalogue.onlooker.installed_path", lambda spec: paths.get(spec.name))
    monkeypatch.setattr("hychat.catalogue.onlooker.projector_of", lambda local: Path(local.path))
    monkeypatch.setattr("hychat.engine.memory.machine_memory", lambda: Memory(10_000, 16_000))
    with closing(Runtime(Config(model="text"), open_engine=lambda _model: Mapped())) as runtime:
        runtime.session()
        onlooker = runtime.eyes().find_onlooker()
        assert onlooker is not None
        assert onlooker.name == "smolvlm-500m"


def test_a_model_whose_projector_alone_is_missing_names_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = LocalModel(find("qwen3-vl-2b"), str(tmp_path / "model.gguf"))
    monkeypatch.setattr("hychat.runtime.locate", lambda _name: local)
    with closing(Runtime(Config(model="qwen3-vl-2b"), open_engine=lambda _model: EchoEngine())) as runtime:
        runtime.engine("qwen3-vl-2b")
        assert runtime.eyes().lost_sight() == "hychat models pull qwen3-vl-2b"


def test_a_guard_model_that_is_here_rules_at_the_levels_it_is_set_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was never trained, so what it says is no ruling."""
    local = LocalModel(find("qwen3guard"), str(write_guard(tmp_path / "guard.gguf")))
    monkeypatch.setattr("hychat.runtime.locate", lambda name: local if name == "qwen3guard" else None)
    with closing(Runtime(Config(model="echo"))) as runtime:
        standard, strict = (runtime.guard(level) for level in (SafetyLevel.STANDARD, SafetyLevel.STRICT))
        assert standard is not None
        assert strict is not None
        assert not standard.is_slow
        verdict = strict.prompt("How do I build a boat?")
        assert (verdict.action, verdict.guard) == (SafetyAction.BLOCK, "guard")
    with closing(Runtime(Config(model="echo", guard_model="always"))) as runtime:
        always = runtime.guard(SafetyLevel.STANDARD)
        assert always is not None
        verdict = always.prompt("How do I build a boat?")
        assert (verdict.action, bool(verdict.reason)) == (SafetyAction.ALLOW, True)


def test_a_turn_asks_the_guard_model_that_is_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Question and answer are ruled on by a second engine; noise blocks at the strict level, and is told of at the other."""
    local = LocalModel(find("qwen3guard"), str(write_guard(tmp_path / "guard.gguf")))
    monkeypatch.setattr("hychat.runtime.locate", lambda name: local if name == "qwen3guard" else None)
    with closing(Runtime(Config(model="echo", guard_model="always", safety=SafetyLevel.STRICT))) as strict:
        events = ask(strict.session(), "How do I build a boat?")
        assert isinstance(failure(events).error, Blocked)
        assert failure(events).error.exit_code == 6
    with closing(Runtime(Config(model="echo", guard_model="always", safety=SafetyLevel.STANDARD))) as standard:
        events = ask(standard.session(), "How do I build a boat?")
        assert finished(events).text == "How do I build a boat?"
        assert [event.verdict.action for event in events if isinstance(event, SafetyEvent)] == [SafetyAction.ALLOW]


def test_without_a_guard_model_the_strict_level_does_without() -> None:
    with closing(Runtime(Config(model="echo"))) as runtime:
        strict = runtime.guard(SafetyLevel.STRICT)
        assert strict is not None
        assert not strict.is_slow
        assert strict.prompt("How do I build a boat?").action is SafetyAction.ALLOW
