"""`hychat web`: what a browser gets, and what is left when it goes."""

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Final

import pytest
from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType, WSServerHandshakeError

from hychat.cli import web
from hychat.domain.errors import UsageError
from tests.programs import PATIENCE_SECONDS, children_of, run_hychat, started, wait_until_gone

ALTERNATE_SCREEN: Final = b"\x1b[?1049h"
READY: Final = b"F1 help"
STORY: Final = "Write a long story about a dragon and a princess."
NAMED_HOST: Final = re.compile(r"(?:\w+:)?//[\w\[][\w.:\]-]*")
WEB_ADDRESS: Final = re.compile(r"\b(?:https?|wss?)://\w")
COMMENT: Final = re.compile(r"/\*.*?\*/", re.DOTALL)
NAMED_FILE: Final = re.compile(r"""(?:src|href)="([^"]+)"|url\("([^"]+)"\)""")


@dataclass(frozen=True)
class Served:
    """A server that runs."""

    process: "subprocess.Popen[bytes]"
    url: str
    key: str

    @property
    def host(self) -> str:
        return self.url.removeprefix("http://").rstrip("/")

    def chats(self) -> list[int]:
        """The processes of the pages that are open."""
        return children_of(self.process.pid)


@contextmanager
def serving(*arguments: str, model: str = "echo") -> Iterator[Served]:
    """A server at a free port."""
    with started("web", "--port", "0", *arguments, HYCHAT_MODEL=model, HYCHAT_SEED="4") as process:
        assert process.stderr is not None
        told = process.stderr.readline().decode()
        found = re.search(r"(http://\S+/)\?key=([\w-]+)", told)
        assert found, told
        yield Served(process, found[1], found[2])


def cookie_of(served: Served) -> dict[str, str]:
    """What the page has sent ever since it was opened with the key."""
    return {"Cookie": f"hychat-{served.host.rpartition(':')[2]}={served.key}"}


@asynccontextmanager
async def page_of(served: Served, **headers: str) -> AsyncIterator[ClientWebSocketResponse]:
    """An open page, as far as the server can tell."""
    async with (
        ClientSession() as client,
        client.ws_connect(f"{served.url}ws?width=80&height=24", headers={**cookie_of(served), **headers}) as socket,
    ):
        yield socket


async def read_until(socket: ClientWebSocketResponse, wanted: bytes) -> bytes:
    """What comes, up to a message that completes the wanted bytes."""
    read = b""
    while wanted not in read:
        message = await socket.receive(PATIENCE_SECONDS)
        assert message.type in {WSMsgType.BINARY, WSMsgType.TEXT}, f"{wanted!r} did not come, but {read!r}"
        read += message.data if message.type is WSMsgType.BINARY else b""
    return read


async def test_the_page_and_all_it_loads_name_no_other_host() -> None:
    with serving() as served:
        async with ClientSession(served.url) as client:
            left, seen = {"/"}, set[str]()
            while left:
                path = left.pop()
                seen.add(path)
                async with client.get(path, headers=cookie_of(served)) as response:
                    assert response.status == 200, path
                    content = (await response.read()).decode("utf-8", "replace")
                if path.endswith((".ttf", ".svg")):
                    continue  # a font is no text, and an SVG names its own namespace
                content = COMMENT.sub("", content)
                if path.endswith(".js"):
                    assert not WEB_ADDRESS.search(content), path
                else:
                    left |= {file for found in NAMED_FILE.findall(content) for file in found if file} - seen
                    assert set(NAMED_HOST.findall(content)) <= {f"ws://{served.host}"}, path
    assert {"/static/js/textual.js", "/static/css/xterm.css", "/page/page.css", "/page/icon.svg"} <= seen
    assert [path for path in seen if not path.startswith("/")] == []


async def test_the_browser_is_forbidden_to_ask_other_hosts() -> None:
    with serving() as served:
        async with ClientSession(served.url) as client, client.get("/", headers=cookie_of(served)) as response:
            policy = response.headers["Content-Security-Policy"]
            assert policy.startswith("default-src 'none'; script-src 'self'; ")
            assert set(NAMED_HOST.findall(policy)) == {f"ws://{served.host}", f"wss://{served.host}"}
            assert "<title>hychat</title>" in await response.text()


async def test_the_page_speaks_the_users_language() -> None:
    with serving("--lang", "zh") as served:
        async with ClientSession(served.url) as client, client.get("/", headers=cookie_of(served)) as response:
            assert '<html lang="zh">' in await response.text()


async def test_a_chat_is_the_same_as_in_a_terminal() -> None:
    with serving() as served:
        async with page_of(served) as socket:
            assert ALTERNATE_SCREEN in await read_until(socket, READY)
            await socket.send_json(["stdin", "some **bold** words 你好\r"])
            shown = await read_until(socket, b"mbold\x1b[0m")
            assert "words 你好" in shown.decode(errors="replace")


async def test_a_page_that_is_closed_ends_its_process_and_the_answer_is_kept() -> None:
    with serving(model="starter") as served:
        async with page_of(served) as socket:
            await read_until(socket, READY)
            await socket.send_json(["stdin", f"{STORY}\r"])
            await read_until(socket, b"Once")
            (chat,) = served.chats()
        wait_until_gone(chat)
    (listed,) = run_hychat("history", "list", "--json").json
    messages = run_hychat("history", "show", listed["id"], "--json").json["messages"]
    assert messages[-1]["text"].startswith("Once")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGKILL])
async def test_a_server_that_ends_takes_the_chats_with_it(number: signal.Signals) -> None:
    with serving() as served:
        async with page_of(served) as socket:
            await read_until(socket, READY)
            (chat,) = served.chats()
            os.kill(served.process.pid, number)
            while not socket.closed:
                await socket.receive(PATIENCE_SECONDS)
            code = await asyncio.to_thread(served.process.wait, PATIENCE_SECONDS)
            assert code == (-number if number is signal.SIGKILL else 0)
        wait_until_gone(chat)


@pytest.mark.parametrize("headers", [{"Host": "elsewhere.example"}, {"Origin": "http://elsewhere.example"}])
async def test_a_page_of_another_site_opens_no_chat(headers: dict[str, str]) -> None:
    with serving() as served:
        with pytest.raises(WSServerHandshakeError, match="403"):
            async with page_of(served, **headers):
                pass
        assert served.chats() == []


async def test_nobody_without_the_key_opens_a_chat() -> None:
    with serving() as served, pytest.raises(WSServerHandshakeError, match="403"):
        async with page_of(served, Cookie=f"{cookie_of(served)['Cookie']}x"):
            pass


async def test_the_address_with_the_key_opens_the_page_and_gives_it_the_cookie() -> None:
    with serving() as served:
        async with ClientSession(served.url) as client:
            async with client.get("/") as refused:
                assert refused.status == 403
                assert "key" in await refused.text()
            async with client.get(f"/?key={served.key}") as response:
                assert response.status == 200
                (cookie,) = response.cookies.values()
                assert f"{cookie.key}={cookie.value}" == cookie_of(served)["Cookie"]
                assert cookie["httponly"]
                assert cookie["samesite"] == "Strict"


async def test_its_own_page_does() -> None:
    with serving() as served:
        async with page_of(served, Origin=served.url.rstrip("/")) as socket:
            await read_until(socket, ALTERNATE_SCREEN)


def test_other_machines_are_let_in_only_where_that_is_said() -> None:
    refused = run_hychat("web", "--host", "0.0.0.0")  # noqa: S104 - what must be refused
    assert refused.code == 2
    assert "--allow-remote" in refused.error


@pytest.mark.parametrize(
    ("host", "is_loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("[::1]", True),
        ("LOCALHOST", True),
        ("0.0.0.0", False),  # noqa: S104 - what is not
        ("::", False),
        ("192.168.0.7", False),
        ("localhost.example", False),
    ],
)
def test_only_this_machine_reaches_a_loopback_address(host: str, *, is_loopback: bool) -> None:
    assert web._is_loopback(host) is is_loopback


def test_a_port_that_is_taken_is_a_sentence() -> None:
    with serving() as served:
        refused = run_hychat("web", "--port", served.host.partition(":")[2])
    assert refused.code == 2
    assert "cannot be listened at" in refused.error
    assert "hychat web --port" in refused.error


def test_without_the_extra_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "hychat.cli.serving", raising=False)
    monkeypatch.setitem(sys.modules, "textual_serve", None)
    with pytest.raises(UsageError) as refused:
        web._site("hychat")
    assert refused.value.hint == "pip install 'hychat[web]'"
