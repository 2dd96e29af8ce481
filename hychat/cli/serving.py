"""What a browser gets: a page of our own around textual-serve, which runs a chat in a process for every page that is open.

The page asks no other host for anything, and may not: its Content-Security-Policy forbids it. A page of another site cannot
reach the chat through the user's browser: the names that are answered to are this machine's, and a socket opens for our own
page only. Other users of the machine lack the key, which is part of the address that is told once.
"""

import asyncio
import ipaddress
import re
import secrets
import signal
import socket
from collections.abc import Awaitable, Callable
from html import escape
from pathlib import Path
from string import Template
from typing import Final
from urllib.parse import urlsplit

import textual_serve
from aiohttp import web
from textual_serve.server import Server

from hychat.cli.full_screen import BROWSER_DRIVER
from hychat.domain.errors import UsageError
from hychat.messages import _, language

_PAGE: Final = Path(__file__).parent / "page"
_STATIC: Final = Path(textual_serve.__file__).parent / "static"
_HOST: Final = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[\w.-]+)(:\d+)?")
_SHIPPED: Final = ("/page/", "/static/")
_FONT_PIXELS: Final = 16
_PATIENCE_SECONDS: Final = 8.0
"""How long chats that must end are waited for."""

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Site:
    """The pages, and the chats behind them."""

    def __init__(self, command: str) -> None:
        """`command` is the shell's line that opens a chat."""
        # The shell's own assignment comes after the variables that textual-serve gives.
        self._server = Server(f"TEXTUAL_DRIVER={BROWSER_DRIVER} exec {command}", title="hychat")
        self._chats: set[asyncio.Task[object]] = set()
        self._names: frozenset[str] = frozenset()
        self._key = secrets.token_urlsafe(16)

    def serve(self, host: str, port: int, tell: Callable[[str], None]) -> None:
        """Serve until a signal asks for the end; `tell` gets the address.

        Raises:
            UsageError: It cannot listen there.
        """
        asyncio.run(self._serve(host, port, tell))

    async def _serve(self, host: str, port: int, tell: Callable[[str], None]) -> None:
        self._names = frozenset({"localhost", host.lower(), *_names_of_machine()})
        runner = web.AppRunner(self.application(), access_log=None, shutdown_timeout=_PATIENCE_SECONDS)
        await runner.setup()
        try:
            site = web.TCPSite(runner, host.strip("[]"), port)
            try:
                await site.start()
            except OSError as error:
                raise UsageError(
                    _("{host}:{port} cannot be listened at: {reason}.").format(
                        host=host, port=port, reason=error.strerror or error
                    ),
                    hint=_("Choose another port: hychat web --port {port}").format(port=port + 1),
                ) from error
            ended = _ended_by_signal()
            tell(f"http://{_in_url(host)}:{runner.addresses[0][1]}/?key={self._key}")
            await ended.wait()
        finally:
            await runner.cleanup()

    def application(self) -> web.Application:
        """The addresses that are answered."""
        application = web.Application(middlewares=[self._refuse_strangers, self._ask_for_key])
        application.add_routes(
            [
                web.get("/", self._page),
                web.get("/ws", self._chat),
                web.get("/download/{key}", self._server.handle_download),
                web.static("/page", _PAGE),
                web.static("/static", _STATIC),
            ]
        )
        application.on_response_prepare.append(_forbid_other_hosts)
        application.on_shutdown.append(self._end_chats)
        return application

    @web.middleware
    async def _refuse_strangers(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        """Answer to this machine's names only, and to no script of another page.

        https://cheatsheetseries.owasp.org/cheatsheets/WebSocket_Security_Cheat_Sheet.html
        """
        name = _HOST.fullmatch(request.host)
        origin = request.headers.get("Origin")
        if name is None or not self._is_ours(name["name"].lower()):
            raise web.HTTPForbidden(text="hychat is not known by this name.\n")
        if origin is not None and urlsplit(origin).netloc != request.host:
            raise web.HTTPForbidden(text="hychat answers to its own page only.\n")
        return await handler(request)

    @web.middleware
    async def _ask_for_key(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        """The page takes it from its address and keeps it as a cookie, of this port alone; what is shipped needs none."""
        if request.path.startswith(_SHIPPED):
            return await handler(request)
        cookie = f"hychat-{request.url.port}"
        keys = (request.query.get("key", ""), request.cookies.get(cookie, ""))
        if not any(secrets.compare_digest(key.encode(), self._key.encode()) for key in keys):
            raise web.HTTPForbidden(text=_("Open the whole address that `hychat web` told, with its key.") + "\n")
        response = await handler(request)
        if not response.prepared:  # a socket is
            response.set_cookie(cookie, self._key, httponly=True, samesite="Strict")
        return response

    def _is_ours(self, name: str) -> bool:
        """An address is: another site's page can be made to come under a name of its own, not under an address."""
        try:
            ipaddress.ip_address(name.strip("[]"))
        except ValueError:
            return name in self._names
        return True

    async def _page(self, request: web.Request) -> web.Response:
        """The page; `?fontsize=20` is for eyes that want larger letters."""
        wanted = request.query.get("fontsize", "")
        values = {
            "language": language(),
            "opening": _("The chat is being opened …"),
            "closed": _("The chat is over."),
            "again": _("Open it again"),
            "no_script": _("The chat needs JavaScript."),
            "socket": f"{'wss' if request.secure else 'ws'}://{request.host}/ws",
            "font_pixels": str(int(wanted) if wanted.isascii() and wanted.isdigit() else _FONT_PIXELS),
        }
        page = Template((_PAGE / "index.html").read_text(encoding="utf-8"))
        text = page.substitute({name: escape(value) for name, value in values.items()})
        return web.Response(text=text, content_type="text/html", headers={"Cache-Control": "no-store"})

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        """A chat, until its page is closed; its process ends with it."""
        task: asyncio.Task[object] | None = asyncio.current_task()
        if task is not None:
            self._chats.add(task)
            task.add_done_callback(self._chats.discard)
        return await self._server.handle_websocket(request)

    async def _end_chats(self, _application: web.Application) -> None:
        """End every chat in order: an answer that is being written is kept as far as it came."""
        chats = [*self._chats]
        for chat in chats:
            chat.cancel()
        if chats:
            await asyncio.wait(chats, timeout=_PATIENCE_SECONDS)


async def _forbid_other_hosts(request: web.Request, response: web.StreamResponse) -> None:
    """Only what is served here is loaded, and no other page shows this one in a frame."""
    here = f"'self' ws://{request.host} wss://{request.host}"  # 'self' alone is no socket in older browsers
    response.headers["Content-Security-Policy"] = (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; font-src 'self'; img-src 'self'; "
        f"connect-src {here}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "no-referrer"


def _ended_by_signal() -> asyncio.Event:
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            asyncio.get_running_loop().add_signal_handler(number, ended.set)
    return ended


def _names_of_machine() -> set[str]:
    name = socket.gethostname().lower()
    return {name, f"{name}.local"}


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host
