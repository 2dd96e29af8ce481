"""A stand-in for the Hugging Face hub on 127.0.0.1, for the real client: its paths, its headers, its second host name.

A file in LFS is served from `localhost` at `/cdn/...` with a signature, as the hub sends clients to its CDN. No Xet
headers are offered, so the client fetches by plain HTTP. What it takes for granted about the hub was read in
huggingface_hub 2.4.0: `file_download.py`, `hf_api.py`, `utils/_http.py`.
"""

import hashlib
import re
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Self
from urllib.parse import parse_qs, quote, unquote

from tests.hub_files import Content, File, Repo
from tests.hub_http import Answer, Request, Server, told

GOOD_TOKEN: Final = "hf_good"  # noqa: S105 - no secret
"""The one with access to gated repositories."""
_STOP_POLL_SECONDS: Final = 0.02


@dataclass(frozen=True, slots=True)
class Record:
    """A request that was answered."""

    method: str
    path: str
    """Decoded, without the query."""
    range: str | None
    status: int
    host: str
    """The name it was sent to: 127.0.0.1 is the hub, localhost the CDN."""
    token: str | None

    @classmethod
    def of(cls, request: Request, answer: Answer) -> Self:
        host = request.headers.get("host", "").partition(":")[0]
        path, span = unquote(request.path), request.headers.get("range")
        return cls(request.method, path, span, answer.status, host, request.token)


class Trouble:
    """Something that goes wrong with one request; the kinds stand in `tests.hub_trouble`."""

    def before(self, _hub: "Hub", request: Request) -> Request:
        """Change what is asked, or the hub."""
        return request

    def after(self, _hub: "Hub", answer: Answer) -> Answer:
        """Change what is answered."""
        return answer


class _Refused(Exception):
    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.answer = told(
            status, {"error": message}, **({"X_Error_Code": code} if code else {}), X_Error_Message=message
        )


class Hub:
    """`with Hub() as hub:` it listens, on a port of its own."""

    def __init__(self) -> None:
        self.port = 0
        self._server: Server | None = None
        self._lock = threading.Lock()
        self._repos: dict[str, Repo] = {}
        self._records: list[Record] = []
        self._scripts: list[tuple[str, str, deque[Trouble]]] = []
        self._held: list[threading.Event] = []

    def __enter__(self) -> Self:
        self.up()
        return self

    def __exit__(self, *_: object) -> None:
        self.down()

    @property
    def endpoint(self) -> str:
        """For the client's `endpoint`, or `HF_ENDPOINT`."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def requests(self) -> list[Record]:
        """Everything answered so far, in the order of the answers' beginnings."""
        with self._lock:
            return [*self._records]

    @property
    def troubles_left(self) -> int:
        """How many that were scripted have not yet come to pass."""
        with self._lock:
            return sum(len(troubles) for _, _, troubles in self._scripts)

    def add(
        self, name: str, files: Mapping[str, bytes | Content], *, gated: bool = False, redirected: bool = True
    ) -> Repo:
        """A repository; with `redirected` off its LFS files come from the endpoint itself, as from some mirrors."""
        repo = self._repos[name] = Repo(name, files, is_gated=gated, is_redirected=redirected)
        return repo

    def on(self, path_suffix: str, *troubles: Trouble, method: str = "GET") -> None:
        """What befalls the next requests to a path that ends so, one each; a GET that is only redirected is none."""
        with self._lock:
            self._scripts.append((method, path_suffix, deque(troubles)))

    def up(self) -> None:
        """Listen, after `down` on the same port."""
        server = self._server = Server(self.answer, self.port)
        self.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, args=[_STOP_POLL_SECONDS], daemon=True).start()

    def down(self) -> None:
        """Break every connection and stop listening."""
        server, self._server = self._server, None
        if server:
            server.shutdown()
            server.break_connections()
            with self._lock:
                held, self._held = self._held, []
            for event in held:
                event.set()
            server.server_close()

    def hold(self, event: threading.Event) -> None:
        """Wait for an event, which the hub sets itself when it goes down."""
        with self._lock:
            if self._server is None:
                return
            self._held.append(event)
        event.wait()

    def replace(self, path: str, content: bytes | Content) -> None:
        """Give the file at a request's path other bytes."""
        for pattern in (_RESOLVE, _CDN):
            if match := pattern.fullmatch(path):
                self._repo(unquote(match["repo"])).replace(unquote(match["name"]), content)

    def answer(self, request: Request) -> Answer:
        """With whatever was scripted for it, and recorded."""
        answer = self._serve(request)
        is_passed_on = request.method == "GET" and answer.status == 302
        if not is_passed_on and (trouble := self._next_trouble(request)):
            answer = trouble.after(self, self._serve(trouble.before(self, request)))
        if request.path != _CLIENTS_OWN:
            with self._lock:
                self._records.append(Record.of(request, answer))
        return answer

    def _next_trouble(self, request: Request) -> Trouble | None:
        with self._lock:
            for method, suffix, troubles in self._scripts:
                if troubles and method == request.method and unquote(request.path).endswith(suffix):
                    return troubles.popleft()
        return None

    def _serve(self, request: Request) -> Answer:
        for pattern, serve in _ROUTES:
            if match := pattern.fullmatch(request.path):
                parts = {name: unquote(part or "") for name, part in match.groupdict().items()}
                try:
                    return serve(self, request, **parts)
                except _Refused as refused:
                    return refused.answer
        return told(404, {"error": "No such page"})

    def _harnesses(self, _request: Request) -> Answer:
        return told(200, {"standardEnvVars": [], "harnesses": {}})

    def _info(self, request: Request, repo: str, revision: str) -> Answer:
        found, commit = self._at(repo, revision or "main")
        return told(200, found.info(commit, with_blobs=_is_true(request.query.get("blobs"))))

    def _tree(self, request: Request, repo: str, revision: str, folder: str) -> Answer:
        found, commit = self._at(repo, revision)
        entries = found.entries(folder, is_recursive=_is_true(request.query.get("recursive")))
        if folder and not entries:
            raise _Refused(404, "EntryNotFound", "Entry not found")
        return told(200, entries, X_Repo_Commit=commit)

    def _paths_info(self, request: Request, repo: str, revision: str) -> Answer:
        found, _commit = self._at(repo, revision)
        wanted = parse_qs(request.body.decode()).get("paths", [])
        return told(200, [entry for entry in found.entries() if entry["path"] in wanted])

    def _resolve(self, request: Request, repo: str, revision: str, name: str) -> Answer:
        found, commit = self._at(repo, revision)
        _check_access(found, request.token)
        file = found.files.get(name)
        if file is None:
            raise _Refused(404, "EntryNotFound", "Entry not found")
        headers = {"X-Repo-Commit": commit, "ETag": f'"{file.etag}"'}
        if file.sha256:
            headers |= {"X-Linked-Size": str(file.size), "X-Linked-Etag": f'"{file.sha256}"'}
        if not (file.sha256 and found.is_redirected):
            return _file_answer(request, file, headers)
        path = f"/cdn/{repo}/{file.sha256}/{quote(name)}"
        location = f"http://localhost:{self.port}{path}?Expires=4102444800&Signature={_signature(path)}"
        return Answer(302, {**headers, "Location": location, "Content-Length": "0"})

    def _cdn(self, request: Request, repo: str, name: str) -> Answer:
        if request.token:
            raise _Refused(400, "", "Only one auth mechanism allowed")  # as S3 does: a token must not be sent on
        file = self._repo(repo).files.get(name)
        if file is None or request.query.get("Signature") != _signature(request.path):
            raise _Refused(403, "", "Access denied")
        return _file_answer(request, file, {"ETag": f'"{file.etag}"'})

    def _repo(self, name: str) -> Repo:
        if name not in self._repos:
            raise _Refused(404, "RepoNotFound", "Repository not found")
        return self._repos[name]

    def _at(self, name: str, revision: str) -> tuple[Repo, str]:
        repo = self._repo(name)
        commit = repo.commit_of(revision)
        if commit is None:
            raise _Refused(404, "RevisionNotFound", "Invalid rev id")
        return repo, commit


_CLIENTS_OWN: Final = "/api/agent-harnesses"
"""Asked for by the client for its user agent, once a day: served, but no concern of a test."""
_REPO: Final = r"(?P<repo>[^/]+/[^/]+)"
_RESOLVE: Final = re.compile(rf"/{_REPO}/resolve/(?P<revision>[^/]+)/(?P<name>.+)")
_CDN: Final = re.compile(rf"/cdn/{_REPO}/[0-9a-f]{{64}}/(?P<name>.+)")
_ROUTES: Final[tuple[tuple[re.Pattern[str], Callable[..., Answer]], ...]] = (
    (re.compile(re.escape(_CLIENTS_OWN)), Hub._harnesses),
    (re.compile(rf"/api/models/{_REPO}(/revision/(?P<revision>[^/]+))?"), Hub._info),
    (re.compile(rf"/api/models/{_REPO}/tree/(?P<revision>[^/]+)(/(?P<folder>.+))?"), Hub._tree),
    (re.compile(rf"/api/models/{_REPO}/paths-info/(?P<revision>[^/]+)"), Hub._paths_info),
    (_CDN, Hub._cdn),
    (_RESOLVE, Hub._resolve),
)


def _is_true(value: str | None) -> bool:
    return (value or "").lower() in {"true", "1"}


def _signature(path: str) -> str:
    return hashlib.sha256(f"signed {path}".encode()).hexdigest()


def _check_access(repo: Repo, token: str | None) -> None:
    if repo.is_gated and token != GOOD_TOKEN:
        status = 403 if token else 401
        raise _Refused(status, "GatedRepo", f"Access to model {repo.name} is restricted.")


def _file_answer(request: Request, file: File, headers: Mapping[str, str]) -> Answer:
    """The whole file, or the range that is asked for, unless `If-Range` names another state of it."""
    asked = re.fullmatch(r"bytes=(\d*)-(\d*)", request.headers.get("range", ""))
    headers = {**headers, "Content-Type": "application/octet-stream", "Accept-Ranges": "bytes"}
    if not asked or request.headers.get("if-range", headers["ETag"]) != headers["ETag"]:
        return Answer(200, {**headers, "Content-Length": str(file.size)}, file.content.blocks(0, file.size))
    first, last = asked.groups()
    start = int(first) if first else max(file.size - int(last or 0), 0)
    stop = min(int(last) + 1, file.size) if first and last else file.size
    if start >= stop:
        return Answer(416, {**headers, "Content-Range": f"bytes */{file.size}", "Content-Length": "0"})
    headers |= {"Content-Range": f"bytes {start}-{stop - 1}/{file.size}", "Content-Length": str(stop - start)}
    return Answer(206, headers, file.content.blocks(start, stop), start)


@contextmanager
def nobody_listens() -> Iterator[str]:
    """An endpoint that refuses connections: its port is taken, so nothing else comes to listen there."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"
