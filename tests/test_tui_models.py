"""The models in the TUI: the list, the licence, the download behind the chat, and the first run; a hub of the tests' own."""

import os
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from hychat import messages
from hychat.catalogue import records
from hychat.catalogue.find import locate
from hychat.config.load import load
from hychat.config.schema import Config
from hychat.domain.message import Part, TextPart
from hychat.domain.pull import PullDone, PullProgress, PullStarted
from hychat.engine.echo import EchoEngine
from hychat.engine.protocol import Engine
from hychat.paths import config_file
from hychat.runtime import Runtime
from hychat.tui.app import HychatApp
from hychat.tui.desk import Desk
from hychat.tui.screens.chat import ChatScreen
from hychat.tui.screens.licence import LicenceScreen
from hychat.tui.screens.models import ModelsScreen
from tests.hub import Hub, nobody_listens
from tests.hub_trouble import flip, stall, status
from tests.tiny_models import write_hunyuan_dense
from tests.tui import ask, chat_of, shown, until

REPOSITORY = "owner/tiny-GGUF"
FILE = "tiny-Q4_0.gguf"
FREE_BYTES = 3 << 20
DEFAULT = "hunyuan-0.5b"
SIZES = [(60, 18), (80, 24), (120, 40)]


def catalogue(*, has_starter: bool = True) -> None:
    """The default model is one that the tests' hub has; a free one lies beside it, and one that fits no machine."""
    folder = Path(os.environ["XDG_CONFIG_HOME"]) / "hychat" / "catalogue"
    folder.mkdir(parents=True)
    text = f"""
family: tests
licences:
  - id: strict-2026-01-01
    title: Strict Licence
    url: https://example.com/licence
    excluded_regions: [EU]
    terms: {{en: Do no harm., zh: 不可为恶。}}
models:
  - name: {DEFAULT}
    title: Tiny Hunyuan
    architecture: hunyuan-dense
    licence: strict-2026-01-01
    files: [{{repository: {REPOSITORY}, file: {FILE}}}]
  - name: free
    title: Free Model
    architecture: hunyuan-dense
    capabilities: [text, translate]
    files: [{{repository: {REPOSITORY}, file: free-Q4_0.gguf}}]
  - name: giant
    title: Giant
    architecture: hunyuan-dense
    files: [{{repository: {REPOSITORY}, file: giant-Q4_0.gguf, bytes: 99000000000000}}]
"""
    if not has_starter:
        text += """
  - name: starter
    title: Starter
    architecture: llama
    extra: starter
    files: [{package: no_such_package, file: x.gguf}]
"""
    (folder / "tests.yaml").write_text(text, encoding="utf-8")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_hunyuan_dense(tmp_path_factory.mktemp("tiny") / "tiny.gguf", "A").read_bytes()


@pytest.fixture
def hub(tiny: bytes, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with Hub() as made:
        made.add(REPOSITORY, {FILE: tiny, "free-Q4_0.gguf": tiny + bytes(FREE_BYTES)})
        monkeypatch.setenv("HF_ENDPOINT", made.endpoint)
        yield made


def echo_of(name: str) -> Engine:
    """A scripted engine, for a model that is here."""
    if name != "echo":
        locate(name)
    return EchoEngine(name=name)


@asynccontextmanager
async def chat(
    model: str | None = "echo",
    *,
    size: tuple[int, int] = (80, 24),
    first: tuple[Part, ...] = (),
    open_engine: Callable[[str], Engine] = echo_of,
) -> AsyncIterator[tuple[HychatApp, Pilot[int]]]:
    config = Config(model=model)
    app = HychatApp(Desk(config, lambda: Runtime(config, open_engine=open_engine)), first)
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: isinstance(app.screen, ChatScreen | ModelsScreen))
        yield app, pilot
        app.desk.close()


async def open_models(app: HychatApp, pilot: Pilot[int]) -> ModelsScreen:
    await until(pilot, lambda: app.desk.has_model)
    await pilot.press("f2")
    return await models_of(app, pilot)


async def models_of(app: HychatApp, pilot: Pilot[int]) -> ModelsScreen:
    """The models, once they are listed."""

    def is_listed() -> bool:
        screen = app.screen
        return isinstance(screen, ModelsScreen) and screen.is_mounted and bool(screen.list.items)

    await until(pilot, is_listed)
    assert isinstance(app.screen, ModelsScreen)
    return app.screen


async def choose(app: HychatApp, pilot: Pilot[int], name: str) -> None:
    """Put the bar before a model, and press Enter."""
    models = await models_of(app, pilot)
    models.list.mark(name)
    await pilot.press("enter")


def write_filter(models: ModelsScreen, text: str) -> None:
    models.query_one("#filter", Input).value = text


async def say_yes(app: HychatApp, pilot: Pilot[int], *, moves: tuple[str, ...] = ("up",)) -> None:
    await until(pilot, lambda: isinstance(app.screen, LicenceScreen))
    await pilot.press(*moves, "enter")


def titles(models: ModelsScreen) -> list[str]:
    return [item.title for item in models.list.items if item.title]


def is_here(name: str) -> bool:
    from hychat.catalogue.find import is_installed

    return is_installed(name)


# The list


async def test_the_models_stand_in_groups_with_size_licence_and_why_one_does_not_fit() -> None:
    catalogue()
    async with chat("starter") as (app, pilot):
        models = await open_models(app, pilot)
        listed = titles(models)
        assert listed[:2] == ["On this machine", "SmolLM2 135M Instruct"]
        assert listed.index("Tiny Hunyuan") == listed.index("To be fetched") + 1
        giant = listed.index("Giant")
        assert listed[giant - 1].startswith("Too large for this machine (")
        screen = shown(app)
        assert "answers now · 98 MB" in screen
        assert "hunyuan-0.5b · text · Strict Licence" in screen
        write_filter(models, "giant")
        await until(pilot, lambda: "needs 99000.3 GB of memory" in shown(app))


async def test_words_find_models_by_what_they_can_do() -> None:
    catalogue()
    async with chat() as (app, pilot):
        models = await open_models(app, pilot)
        write_filter(models, "translation free")
        await until(pilot, lambda: titles(models)[-1:] == ["Free Model"])


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("tag", ["en", "zh"])
async def test_nothing_overflows(size: tuple[int, int], tag: str, hub: Hub) -> None:
    catalogue()
    messages.choose_language(tag)
    async with chat(size=size) as (app, pilot):
        models = await open_models(app, pilot)
        assert models.list.size.height >= 4
        assert models.query_one("#keys").region.bottom <= size[1]
        await choose(app, pilot, DEFAULT)
        await until(pilot, lambda: isinstance(app.screen, LicenceScreen))
        assert app.screen.query_one("#keys").region.bottom <= size[1]
        assert app.screen.query_one("#list").region.height == 2
    assert hub.requests == []


# Switching


async def test_an_installed_model_is_talked_to_without_leaving_the_chat() -> None:
    async with chat() as (app, pilot):
        await ask(pilot, "hello there")
        await until(pilot, lambda: shown(app).count("hello there") == 2)
        await open_models(app, pilot)
        await choose(app, pilot, "starter")
        await until(pilot, lambda: "From here on starter answers." in shown(app))
        assert shown(app).count("hello there") == 2
        await until(pilot, lambda: app.desk.device != "")
        await ask(pilot, "and now?")
        await until(pilot, lambda: shown(app).count("and now?") == 2)


async def test_the_status_line_tells_how_far_the_other_model_is_loaded() -> None:
    gate = threading.Event()

    def open_engine(name: str) -> Engine:
        return EchoEngine(load=(0.4, gate, 1.0)) if name == "starter" else EchoEngine()

    async with chat(open_engine=open_engine) as (app, pilot):
        await open_models(app, pilot)
        await choose(app, pilot, "starter")
        await until(pilot, lambda: "starter   loading 40 %" in shown(app))
        gate.set()
        await until(pilot, lambda: "starter   CPU" in shown(app))


async def test_a_path_in_the_filter_is_a_model_too(tmp_path: Path, tiny: bytes) -> None:
    path = tmp_path / "own.gguf"
    path.write_bytes(tiny)
    async with chat() as (app, pilot):
        models = await open_models(app, pilot)
        write_filter(models, str(path))
        await until(pilot, lambda: titles(models) == [f"Use the file {path}"])
        await pilot.press("enter")
        await until(pilot, lambda: app.desk.conversation.model == str(path))


async def test_a_path_to_nothing_is_a_sentence() -> None:
    async with chat() as (app, pilot):
        models = await open_models(app, pilot)
        write_filter(models, "no.gguf")
        await until(pilot, lambda: titles(models) == ["Use the file no.gguf"])
        await pilot.press("enter")
        await until(pilot, lambda: "There is no file" in shown(app))


# Licence and download


async def test_a_licence_is_shown_and_a_no_fetches_nothing(hub: Hub) -> None:
    catalogue()
    async with chat() as (app, pilot):
        await open_models(app, pilot)
        await choose(app, pilot, DEFAULT)
        await until(pilot, lambda: isinstance(app.screen, LicenceScreen))
        screen = shown(app)
        for text in ("Strict Licence", "Do no harm.", "Not granted in: EU", "https://example.com/licence", "127.0.0.1"):
            assert text in screen
        await pilot.press("enter")  # the bar stands before the no
        await models_of(app, pilot)
        assert not hub.requests
        assert not records.is_accepted("strict-2026-01-01")


async def test_the_terms_are_told_in_the_users_language(hub: Hub) -> None:  # noqa: ARG001 - nothing is asked of it
    catalogue()
    messages.choose_language("zh")
    async with chat() as (app, pilot):
        await open_models(app, pilot)
        await choose(app, pilot, DEFAULT)
        await until(pilot, lambda: "不可为恶。" in shown(app))


async def test_a_yes_is_remembered_and_the_model_is_offered_when_it_is_here(hub: Hub) -> None:
    catalogue()
    async with chat() as (app, pilot):
        await open_models(app, pilot)
        await choose(app, pilot, DEFAULT)
        await say_yes(app, pilot)
        await until(pilot, lambda: "Tiny Hunyuan is here. Enter: talk to it." in shown(app))
        assert records.is_accepted("strict-2026-01-01")
        models = await models_of(app, pilot)
        await until(pilot, lambda: models.list.item is not None and models.list.item.key == DEFAULT)
        await pilot.press("enter")
        await until(pilot, lambda: f"From here on {DEFAULT} answers." in shown(app))
    assert any(FILE in request.path for request in hub.requests)


async def test_a_model_of_the_hub_is_named_in_the_filter(hub: Hub) -> None:
    async with chat() as (app, pilot):
        models = await open_models(app, pilot)
        write_filter(models, f"hf:{REPOSITORY}:{FILE}")
        await until(pilot, lambda: titles(models) == [f"Fetch hf:{REPOSITORY}:{FILE}"])
        await pilot.press("enter")
        await say_yes(app, pilot, moves=())
        await until(pilot, lambda: "is here. Enter: talk to it." in shown(app))
        await pilot.press("enter")
        await until(pilot, lambda: app.desk.conversation.model == f"hf:{REPOSITORY}:{FILE}")
    assert hub.requests


async def test_the_chat_goes_on_while_a_model_comes(hub: Hub) -> None:
    catalogue()
    gate = threading.Event()
    hub.on("free-Q4_0.gguf", stall(gate, after_bytes=100_000))
    async with chat() as (app, pilot):
        await open_models(app, pilot)
        await choose(app, pilot, "free")
        await say_yes(app, pilot, moves=())
        await until(pilot, lambda: "Fetching Free Model" in shown(app) and "━" in shown(app))
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, ChatScreen) and "fetching" in shown(app))
        await ask(pilot, "hello")
        await until(pilot, lambda: shown(app).count("hello") == 2)
        gate.set()
        await until(pilot, lambda: "Free Model is here. To talk to it: /model free" in shown(app))
        assert "fetching" not in shown(app)


async def test_a_stopped_download_goes_on_from_where_it_was(hub: Hub) -> None:
    catalogue()
    hub.on("free-Q4_0.gguf", held := stall(threading.Event(), after_bytes=FREE_BYTES // 2))
    async with chat() as (app, pilot):
        await open_models(app, pilot)
        await choose(app, pilot, "free")
        await say_yes(app, pilot, moves=())
        await until(pilot, held.reached.is_set)
        await pilot.press("ctrl+x")
        await until(pilot, lambda: "Stopped. What has come is kept" in shown(app))
        assert "Fetching" not in shown(app)
        held.released.set()
        await until(pilot, lambda: not any(thread.name == "turn" for thread in threading.enumerate()))
        assert not is_here("free")
        await pilot.press("enter")
        await say_yes(app, pilot, moves=())
        await until(pilot, lambda: "Free Model is here." in shown(app))
    assert [request.range for request in hub.requests if request.range]


async def test_what_is_told_of_a_download_never_goes_back() -> None:
    from hychat.catalogue.pulling import Wanted
    from hychat.domain.model import ModelFile
    from hychat.tui.fetching import Fetch

    fetch = Fetch(Wanted("two", (ModelFile("a", bytes=100), ModelFile("b", bytes=300))), "http://hub")
    told = []
    for event in (
        PullStarted("a", 0, 100), PullProgress(60, 100), PullStarted("a", 0, 100), PullProgress(100, 100),
        PullDone("a", None), PullStarted("b", 0, 300), PullProgress(150, 300), PullProgress(300, 300),
    ):  # fmt: skip
        fetch.take(event)
        told.append(fetch.fraction)
    assert told == sorted(told)
    assert told[1] == 0.15
    assert told[-1] == 1.0


async def test_one_download_at_a_time(hub: Hub) -> None:
    catalogue()
    gate = threading.Event()
    hub.on("free-Q4_0.gguf", stall(gate))
    async with chat() as (app, pilot):
        await open_models(app, pilot)
        await choose(app, pilot, "free")
        await say_yes(app, pilot, moves=())
        await until(pilot, lambda: "Fetching Free Model" in shown(app))
        await choose(app, pilot, DEFAULT)
        await until(pilot, lambda: "One download at a time" in shown(app))
        gate.set()
        await until(pilot, lambda: "Free Model is here." in shown(app))


# Trouble


async def test_a_hub_that_refuses_is_a_sentence(hub: Hub) -> None:
    catalogue()
    hub.on("free-Q4_0.gguf", status(403), method="HEAD")
    async with chat() as (app, pilot):
        await open_models(app, pilot)
        await choose(app, pilot, "free")
        await say_yes(app, pilot, moves=())
        await until(pilot, lambda: "refused (status 403)" in shown(app))


async def test_a_damaged_file_is_a_sentence(hub: Hub) -> None:
    catalogue()
    hub.on("free-Q4_0.gguf", flip(5000))
    async with chat() as (app, pilot):
        await open_models(app, pilot)
        await choose(app, pilot, "free")
        await say_yes(app, pilot, moves=())
        await until(pilot, lambda: "is damaged" in shown(app))
        assert not is_here("free")


async def test_offline_nothing_is_asked_and_that_is_said(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    catalogue()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    async with chat() as (app, pilot):
        await open_models(app, pilot)
        await choose(app, pilot, "free")
        await until(pilot, lambda: "hychat is offline" in shown(app))
    assert not hub.requests


async def test_an_error_is_told_in_the_chat_where_the_user_is(hub: Hub) -> None:
    catalogue()
    gate = threading.Event()
    hub.on("free-Q4_0.gguf", stall(gate), status(403))
    async with chat() as (app, pilot):
        await open_models(app, pilot)
        await choose(app, pilot, "free")
        await say_yes(app, pilot, moves=())
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, ChatScreen))
        hub.down()
        hub.up()
        await until(pilot, lambda: "refused (status 403)" in shown(app))


async def test_a_broken_catalogue_is_a_sentence() -> None:
    folder = Path(os.environ["XDG_CONFIG_HOME"]) / "hychat" / "catalogue"
    folder.mkdir(parents=True)
    (folder / "broken.yaml").write_text("models: 7", encoding="utf-8")
    async with chat() as (app, pilot):
        await until(pilot, lambda: app.desk.has_model)
        await pilot.press("f2")
        await until(pilot, lambda: "broken.yaml" in shown(app))


# Deleting


async def test_a_model_is_deleted_at_the_second_time_the_key_is_pressed(hub: Hub) -> None:
    catalogue()
    async with chat() as (app, pilot):
        models = await open_models(app, pilot)
        await choose(app, pilot, "free")
        await say_yes(app, pilot, moves=())
        await until(pilot, lambda: "Free Model is here." in shown(app))
        await until(pilot, lambda: "Ctrl+X: delete" in shown(app))
        await pilot.press("ctrl+x")
        await until(pilot, lambda: "Delete Free Model (" in shown(app))
        await pilot.press("down")
        await until(pilot, lambda: "Delete Free Model (" not in shown(app))
        assert is_here("free")
        models.list.mark("free")
        await pilot.pause()
        await pilot.press("ctrl+x")
        await until(pilot, lambda: "Delete Free Model (" in shown(app))
        await pilot.press("ctrl+x")
        await until(pilot, lambda: "Deleted Free Model" in shown(app))
        assert not is_here("free")
    assert hub.requests


async def test_a_model_that_a_package_brought_stays() -> None:
    async with chat() as (app, pilot):
        models = await open_models(app, pilot)
        models.list.mark("starter")
        await pilot.pause()
        await pilot.press("ctrl+x")
        await until(pilot, lambda: "was not fetched by hychat" in shown(app))
        assert is_here("starter")


async def test_the_model_that_answers_is_not_deleted() -> None:
    async with chat("starter") as (app, pilot):
        await open_models(app, pilot)
        await pilot.press("ctrl+x")
        await until(pilot, lambda: "answers now; talk to another one first" in shown(app))


# The first run


async def test_without_a_model_the_default_is_recommended_fetched_and_talked_to(hub: Hub) -> None:
    catalogue(has_starter=False)
    async with chat(None) as (app, pilot):
        models = await models_of(app, pilot)
        assert titles(models)[:2] == ["To begin with", "Tiny Hunyuan"]
        assert "recommended" in shown(app)
        await pilot.press("enter")
        await say_yes(app, pilot)
        await until(pilot, lambda: isinstance(app.screen, ChatScreen) and app.desk.device != "")
        assert app.desk.conversation.model == DEFAULT
        await ask(pilot, "hello")
        await until(pilot, lambda: shown(app).count("hello") == 2)
    assert hub.requests


async def test_escape_leaves_the_first_run_for_a_chat_that_says_what_to_do() -> None:
    catalogue(has_starter=False)
    async with chat(None) as (app, pilot):
        await models_of(app, pilot)
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, ChatScreen) and "F2 shows the models" in shown(app))


async def test_a_model_that_comes_while_the_chat_has_none_answers_at_once(hub: Hub) -> None:
    catalogue(has_starter=False)
    gate = threading.Event()
    hub.on("free-Q4_0.gguf", stall(gate))
    async with chat(None) as (app, pilot):
        await choose(app, pilot, "free")
        await say_yes(app, pilot, moves=())
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, ChatScreen))
        gate.set()
        await until(pilot, lambda: "From here on free answers." in shown(app))


async def test_a_question_typed_before_the_first_run_is_not_lost() -> None:
    catalogue(has_starter=False)
    async with chat(None, first=(TextPart("why is the sky blue?"),)) as (app, pilot):
        await until(pilot, lambda: "F2 shows the models" in shown(app))
        assert chat_of(app).prompt.text == "why is the sky blue?"
        await pilot.press("enter")
        await models_of(app, pilot)
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, ChatScreen))
        assert chat_of(app).prompt.text == "why is the sky blue?"


async def test_the_starter_that_is_here_is_offered_and_remembered() -> None:
    catalogue()
    async with chat(None) as (app, pilot):
        models = await models_of(app, pilot)
        assert titles(models)[:3] == ["To begin with", "Tiny Hunyuan", "SmolLM2 135M Instruct"]
        assert models.list.item is not None
        assert models.list.item.key == DEFAULT
        await pilot.press("down", "enter")
        await until(pilot, lambda: isinstance(app.screen, ChatScreen))
        assert load(config_file(), {}).model == "starter"


async def test_a_hub_that_cannot_be_reached_brings_the_starter_up(monkeypatch: pytest.MonkeyPatch) -> None:
    catalogue(has_starter=False)
    records.accept("strict-2026-01-01")
    with nobody_listens() as nowhere:
        monkeypatch.setenv("HF_ENDPOINT", nowhere)
        async with chat(None) as (app, pilot):
            models = await models_of(app, pilot)
            await pilot.press("enter")
            await say_yes(app, pilot, moves=())
            await until(pilot, lambda: titles(models)[1:3] == ["Tiny Hunyuan", "Starter"])
            await choose(app, pilot, "starter")
            await until(pilot, lambda: "hychat[starter]" in shown(app))


async def test_offline_the_starter_is_offered_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    catalogue(has_starter=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    async with chat(None) as (app, pilot):
        assert titles(await models_of(app, pilot))[1:3] == ["Tiny Hunyuan", "Starter"]


async def test_offline_the_starter_that_is_here_answers_without_a_question(monkeypatch: pytest.MonkeyPatch) -> None:
    catalogue()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    async with chat(None) as (app, pilot):
        await until(pilot, lambda: app.desk.device != "")
        assert isinstance(app.screen, ChatScreen)


async def test_a_model_that_is_named_and_not_here_is_marked() -> None:
    catalogue()
    async with chat("free") as (app, pilot):
        models = await models_of(app, pilot)
        assert "The model free is not on this machine." in shown(app)
        await until(pilot, lambda: models.list.item is not None and models.list.item.key == "free")


async def test_a_name_that_is_none_is_told() -> None:
    async with chat("hunyan-0.5b") as (app, pilot):
        await models_of(app, pilot)
        assert "There is no model named hunyan-0.5b." in shown(app)
