"""HTTP/1.1 on 127.0.0.1 for the stand-in hub: requests in, answers out, broken ones too, and nothing on stderr."""

import json
import socket
import struct
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

_HANG_UP_AT_ONCE: Final = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str
    """As it came, still encoded, without the query."""
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    """By lower-case name."""
    body: bytes = b""

    @property
    def token(self) -> str | None:
        return self.headers.get("authorization", "").removeprefix("Bearer ") or None


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent back. Fewer bytes than `Content-Length` says end the connection; so does an OSError from a block."""

    status: int
    headers: Mapping[str, str]
    blocks: Iterable[bytes] = ()
    start: int = 0
    """Where in the file the first block begins."""


def told(status: int, value: Any, **headers: str) -> Answer:
    """JSON; a header's underscores are hyphens."""
    body = json.dumps(value).encode()
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return Answer(status, {"Content-Type": "application/json", "Content-Length": str(len(body)), **named}, [body])


class Server(ThreadingHTTPServer):
    daemon_threads = False  # so that closing waits for them
    request_queue_size = 128

    def __init__(self, answer: Callable[[Request], Answer], port: int) -> None:
        self.answer = answer
        self._open: set[socket.socket] = set()
        super().__init__(("127.0.0.1", port), _Handler)

    def server_bind(self) -> None:
        TCPServer.server_bind(self)  # HTTPServer's own looks the host's name up, which may take long

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def break_connections(self) -> None:
        for connection in [*self._open]:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), OSError):  # a client that went away, or was hung up on, is no news
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body are two writes
    server: Server

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(headers.get("content-length", 0)))
        answer = self.server.answer(Request(self.command, url.path, query, headers, body))
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self._send(answer)

    do_HEAD = do_POST = do_GET  # noqa: N815 - http.server's names

    def _send(self, answer: Answer) -> None:
        left = int(answer.headers["Content-Length"])
        try:
            for block in answer.blocks:
                self.wfile.write(block)
                left -= len(block)
        except ConnectionResetError:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _HANG_UP_AT_ONCE)
            self.rfile.close()  # the last but one that holds the socket
            self.connection.close()
            raise
        self.close_connection = self.close_connection or left != 0

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        """Say nothing: the records tell."""
