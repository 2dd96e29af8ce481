"""The Hugging Face hub, through its own client: which files a repository has, and the content of one.

Everything of the client stays in here, its errors too: what a user can do something about becomes one of ours, what may
pass becomes `TransientTrouble`. The client takes 200 ms to import, so each function imports what it needs of it.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from hychat.domain.errors import HubRefused, HubUnreachable, HychatError, UsageError
from hychat.domain.model import ModelFile
from hychat.messages import _

_DEFAULT_ENDPOINT: Final = "https://huggingface.co"
_TIMEOUT_SECONDS: Final = 15.0
"""Without a byte."""
_PROBE_SECONDS: Final = 5.0
_BLOCK_BYTES: Final = 1 << 20
_MOST_BYTES_IN_ONE: Final = 50 * 10**9
_PIECE_BYTES: Final = 1 << 30
"""A larger file is asked for in such pieces: the hub's CDN answers 400 to a request for all of it, and gives ranges
(huggingface/xet-core issue 238, antirez/ds4 pull request 248; `MAX_HTTP_DOWNLOAD_SIZE` of the client)."""
_COMMIT: Final = re.compile(r"[0-9a-f]{40}")
_ETAG: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z_+-]{0,127}")
"""Both become names of files, so nothing else is taken from a server."""
_TRUE: Final = frozenset({"1", "ON", "YES", "TRUE"})
_PARTIAL_CONTENT: Final = 206
_SERVER_ERROR: Final = 500
_RANGE_NOT_SATISFIABLE: Final = 416


os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # the client would tell huggingface.co what runs here


class TransientTrouble(Exception):
    """Something that may be gone at the next try."""

    def __init__(self, reason: str, retry_after: float | None = None, *, is_unreachable: bool = False) -> None:
        super().__init__(reason)
        self.retry_after = retry_after
        """Seconds that the server asked for."""
        self.is_unreachable = is_unreachable
        """Whether there was no connection at all."""


def hub_endpoint(mirror: str | None = None) -> str:
    """The hub to ask: what was typed, else `HF_ENDPOINT`, else huggingface.co.

    Raises:
        UsageError: That is no address.
    """
    endpoint = (mirror or os.environ.get("HF_ENDPOINT") or _DEFAULT_ENDPOINT).rstrip("/")
    try:
        url = urlsplit(endpoint)
        is_address = url.scheme in {"http", "https"} and url.hostname and not re.search(r"[\s\x00-\x1f]", endpoint)
    except ValueError:
        is_address = False
    if not is_address:
        raise UsageError(
            _("{url} is no address of a hub.").format(url=endpoint), hint=_("It begins with https:// and names a host.")
        )
    return endpoint


def is_offline() -> bool:
    """Whether the user forbids the network (`HF_HUB_OFFLINE`)."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in _TRUE


def host_of(endpoint: str) -> str:
    """The name of the machine that is asked, with its port."""
    return urlsplit(endpoint).netloc or endpoint


class Content(NamedTuple):
    """A response that is being read."""

    starts_over: bool
    """The server sends the whole file though the rest was asked for."""
    end: int
    """Of the file: how far this response goes."""
    blocks: Iterator[bytes]


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What the hub says of a file before it sends it."""

    etag: str
    """Of the content: its SHA-256 where the file is large."""
    commit: str
    bytes: int
    url: str
    """At that commit. The hub sends each request on to another host, under an address that is valid for a while only."""
    token: bool | None
    """None: the user's own; False: none."""

    @contextmanager
    def open_content(self, start: int) -> Iterator[Content]:
        """The content from a byte on, to its end or, of a very large file, some way towards it."""
        from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

        is_huge = self.bytes > _MOST_BYTES_IN_ONE
        end = min(start + _PIECE_BYTES, self.bytes) if is_huge else self.bytes
        headers = {
            **build_hf_headers(token=self.token),
            "Accept-Encoding": "identity",
        }  # a token stays with the hub's own host
        if start or is_huge:
            headers["Range"] = f"bytes={start}-{end - 1 if is_huge else ''}"
        with get_session().stream(
            "GET", self.url, headers=headers, timeout=_TIMEOUT_SECONDS, follow_redirects=True
        ) as response:
            is_part = response.status_code == _PARTIAL_CONTENT
            if response.status_code != _RANGE_NOT_SATISFIABLE:
                hf_raise_for_status(response)
            else:
                raise TransientTrouble(_("the server does not know the rest of the file"))
            yield Content(start > 0 and not is_part, end if is_part else self.bytes, response.iter_bytes(_BLOCK_BYTES))


def file_facts(file: ModelFile, endpoint: str) -> FileFacts:
    """Ask the hub about a file; the token that the hub's own tools use goes along.

    Raises:
        HubRefused: There is no such file, or it is not for this user.
        HubUnreachable: Offline.
        TransientTrouble: The hub does not answer now.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    check_online()
    with as_our_errors(endpoint, file):
        url = hf_hub_url(file.repository or "", file.file, revision=file.revision, endpoint=endpoint)
        token = _token_for(endpoint)
        found = get_hf_file_metadata(url, token=token, timeout=_TIMEOUT_SECONDS, endpoint=endpoint)
    etag, commit = found.etag or "", found.commit_hash or ""
    if not _ETAG.fullmatch(etag) or not _COMMIT.fullmatch(commit) or found.size is None:
        raise _no_hub(endpoint)
    pinned = hf_hub_url(file.repository or "", file.file, revision=commit, endpoint=endpoint)
    return FileFacts(etag, commit, found.size, pinned, _token_for(endpoint))


def read_range(facts: FileFacts, start: int, end: int) -> bytes:
    """The bytes of a file from `start` up to `end`; fewer where it ends before. Raises as the hub's client.

    A server that sends the whole file instead is read no further than that.
    """
    from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

    headers = {
        **build_hf_headers(token=facts.token),
        "Accept-Encoding": "identity",
        "Range": f"bytes={start}-{end - 1}",
    }
    read = bytearray()
    with get_session().stream(
        "GET", facts.url, headers=headers, timeout=_TIMEOUT_SECONDS, follow_redirects=True
    ) as response:
        hf_raise_for_status(response)
        skipped = 0 if response.status_code == _PARTIAL_CONTENT else start
        for block in response.iter_bytes(_BLOCK_BYTES):
            read += block
            if len(read) >= skipped + end - start:
                break
    return bytes(read[skipped : skipped + end - start])


def _no_hub(endpoint: str) -> HubRefused:
    return HubRefused(
        _("{host} does not answer as a Hugging Face hub does.").format(host=host_of(endpoint)),
        hint=_("Check HF_ENDPOINT and --mirror, and whether a proxy stands in between."),
    )


def _token_for(endpoint: str) -> bool | None:
    """The user's token is for the hub, or for what HF_ENDPOINT names; a mirror that was only typed does not get it."""
    return None if endpoint == hub_endpoint() or endpoint == _DEFAULT_ENDPOINT else False


class RemoteFile(NamedTuple):
    """A file in a repository's listing."""

    name: str
    bytes: int | None
    sha256: str | None


def repository_files(repository: str, revision: str | None, endpoint: str) -> tuple[str, list[RemoteFile]]:
    """The commit that a revision stands for, and the GGUFs in it. Raises as `file_facts`."""
    listing = list_repository(repository, revision, endpoint)
    return listing.commit, [file for file in listing.files if file.name.lower().endswith(".gguf")]


class Listing(NamedTuple):
    """A repository at a commit."""

    commit: str
    files: list[RemoteFile]
    licence: str
    """What its page says; `other` for one that is not among the known ones, then by name. Empty where it says nothing."""
    licence_name: str
    licence_link: str


def list_repository(repository: str, revision: str | None, endpoint: str) -> Listing:
    """What a repository holds at a revision. Raises as `file_facts`."""
    from huggingface_hub import HfApi

    check_online()
    with as_our_errors(endpoint, ModelFile(file="", repository=repository, revision=revision)):
        info = HfApi(endpoint=endpoint, token=_token_for(endpoint)).model_info(
            repository, revision=revision, files_metadata=True, timeout=_TIMEOUT_SECONDS
        )
    if not _COMMIT.fullmatch(info.sha or ""):
        raise _no_hub(endpoint)
    files = [
        RemoteFile(sibling.rfilename, sibling.size, sibling.lfs.sha256 if sibling.lfs else None)
        for sibling in info.siblings or ()
    ]
    said = [info.card_data.get(key) if info.card_data else None for key in ("license", "license_name", "license_link")]
    return Listing(info.sha or "", files, *(value if isinstance(value, str) else "" for value in said))


def check_online() -> None:
    """Whether the network may be used.

    Raises:
        HubUnreachable: It may not.
    """
    if is_offline():
        raise HubUnreachable(
            _("hychat is offline (--offline or HF_HUB_OFFLINE), so nothing can be fetched."),
            hint=_("`hychat models list` shows what is on this machine."),
        )


def trouble_with(endpoint: str) -> str:
    """Why an endpoint cannot be reached; empty where it answers, whatever it says."""
    from huggingface_hub.utils import get_session

    try:
        with as_our_errors(endpoint):
            status = get_session().head(endpoint, timeout=_PROBE_SECONDS).status_code
    except (TransientTrouble, HychatError) as problem:
        return str(problem)
    if status >= _SERVER_ERROR:
        return _("{host} answers with an error ({status})").format(host=host_of(endpoint), status=status)
    return ""


@contextmanager
def as_our_errors(endpoint: str, file: ModelFile | None = None) -> Iterator[None]:
    """The client's errors as ours."""
    import httpx2
    from huggingface_hub import constants
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

    host = host_of(endpoint)
    try:
        yield
    except OfflineModeIsEnabled:
        check_online()
        raise
    except HFValidationError as error:
        raise HubRefused(
            _("{repository} is no name of a repository.").format(repository=file.repository if file else ""),
            hint=_("Names have the form owner/name."),
        ) from error
    except HfHubHTTPError as error:
        raise _refusal(error, host, file) from error
    except (httpx2.ConnectError, httpx2.TimeoutException, httpx2.NetworkError, httpx2.ProtocolError) as error:
        is_unreachable = isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout)
        raise TransientTrouble(_reason(error, host), is_unreachable=is_unreachable) from error
    except httpx2.HTTPError as error:
        raise HubUnreachable(
            _("{host} cannot be reached: {reason}.").format(host=host, reason=error),
            hint=_("Check the network and the proxy settings, or take another mirror with --mirror."),
        ) from error
    except OSError as error:
        if error.filename != constants.HF_TOKEN_PATH:
            raise
        raise UsageError(
            _("{file} cannot be read: {reason}.").format(file=error.filename, reason=error.strerror),
            hint=_("The hub's token may lie there: set HF_HOME to a folder that you may read, or HF_TOKEN_PATH."),
        ) from error
    except UnicodeEncodeError as error:  # of a header, and the only one that the user writes is the token
        raise UsageError(_("HF_TOKEN has letters that no token has."), hint=_("Copy it again, or unset it.")) from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:  # an answer that the client cannot read
        raise _no_hub(endpoint) from error


def _reason(error: Exception, host: str) -> str:
    import httpx2

    if isinstance(error, httpx2.ConnectError):
        return _("{host} cannot be reached").format(host=host)
    if isinstance(error, httpx2.TimeoutException):
        return _("{host} is silent").format(host=host)
    return _("the connection to {host} was cut").format(host=host)


_BUSY: Final = frozenset({408, 425, 429, 500, 502, 503, 504})


def _refusal(error: Exception, host: str, file: ModelFile | None) -> Exception:
    """A status that is no success: worth another try, or the end."""
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HfHubHTTPError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    repository, name = (file.repository or "", file.file) if file else ("", "")
    match error:
        case GatedRepoError():
            return HubRefused(
                _("{host} gives {repository} only to those who asked for it there.").format(
                    host=host, repository=repository
                ),
                hint=_("Ask on its page, then set HF_TOKEN to a token of yours."),
            )
        case RevisionNotFoundError() | EntryNotFoundError():
            return HubRefused(
                _("{repository} on {host} has no file {file}.").format(repository=repository, host=host, file=name),
                hint=_("`hychat models pull hf:{repository}` shows what it has.").format(repository=repository),
            )
        case RepositoryNotFoundError():
            return HubRefused(
                _("{host} has no repository {repository}, or keeps it private.").format(
                    host=host, repository=repository
                ),
                hint=_("Check the name; for a private one set HF_TOKEN."),
            )
        case HfHubHTTPError() if error.response.status_code in _BUSY:
            after = error.response.headers.get("Retry-After", "")
            busy = _("{host} is busy (status {status})").format(host=host, status=error.response.status_code)
            return TransientTrouble(busy, float(after) if after.isascii() and after.isdigit() else None)
        case HfHubHTTPError():
            return HubRefused(
                _("{host} refused (status {status}).").format(host=host, status=error.response.status_code),
                hint=_("Check HF_TOKEN, HF_ENDPOINT and --mirror."),
            )
        case _:
            return error
