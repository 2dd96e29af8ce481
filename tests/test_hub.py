"""The stand-in hub, asked by the real client: what it serves is what the client takes for the hub."""

import hashlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import httpx2
import pytest
from huggingface_hub import HfApi, constants, hf_hub_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.file_download import http_get
from huggingface_hub.hf_api import RepoFile, RepoFolder

from tests.hub import GOOD_TOKEN, Hub, Record, nobody_listens
from tests.hub_files import BLOCK_BYTES, Pattern
from tests.hub_trouble import (
    changed,
    cut,
    flip,
    hang_up,
    lie_about_length,
    range_ignored,
    stall,
    status,
    together,
)

REPO: Final = "owner/name"
MODEL: Final = "model-Q4_K_M.gguf"
DATA: Final = bytes(range(256)) * 40
OTHER: Final = DATA[::-1]
PATIENCE_SECONDS: Final = 60.0
Get = Callable[..., str]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)  # it would look for the real hub
    with Hub() as hub:
        hub.add(REPO, {MODEL: DATA, "README.md": b"# Hello\n", "split/part one.gguf": DATA})
        yield hub


@pytest.fixture
def download(hub: Hub, tmp_path: Path) -> Get:
    """`hf_hub_download` into a cache of this test's own."""

    def get(name: str = MODEL, *, repo: str = REPO, token: str | bool = False, revision: str = "main") -> str:
        return hf_hub_download(
            repo, name, revision=revision, endpoint=hub.endpoint, cache_dir=tmp_path / "cache", token=token
        )

    return get


def api(hub: Hub) -> HfApi:
    return HfApi(endpoint=hub.endpoint, token=False)


def fetch(hub: Hub, name: str = MODEL, **headers: str) -> httpx2.Response:
    """The file in one request and its redirects, without the hub's client."""
    return httpx2.get(f"{hub.endpoint}/{REPO}/resolve/main/{name}", headers=headers, follow_redirects=True)


def fetched_before_the_break(hub: Hub) -> bytes:
    """What came before the connection broke, which it must."""
    blocks: list[bytes] = []

    def read() -> None:
        url = f"{hub.endpoint}/{REPO}/resolve/main/{MODEL}"
        with httpx2.stream("GET", url, follow_redirects=True) as response:
            for block in response.iter_raw():
                blocks.append(block)  # noqa: PERF402 - what came before an error is kept

    with pytest.raises(httpx2.TransportError):
        read()
    return b"".join(blocks)


def summary(records: list[Record]) -> list[tuple[str, str, int]]:
    return [(record.method, record.host, record.status) for record in records]


# What the client needs


def test_a_download_is_the_file_under_its_etag_and_commit(hub: Hub, download: Get) -> None:
    path = Path(download())
    assert path.read_bytes() == DATA
    assert path.resolve().name == hashlib.sha256(DATA).hexdigest()
    assert path.parent.name == api(hub).model_info(REPO).sha


def test_a_file_in_lfs_comes_from_the_second_host(hub: Hub, download: Get) -> None:
    download()
    assert summary(hub.requests) == [("HEAD", "127.0.0.1", 302), ("GET", "localhost", 200)]


def test_a_file_in_git_comes_from_the_hub_itself(hub: Hub, download: Get) -> None:
    assert Path(download("README.md")).read_bytes() == b"# Hello\n"
    assert summary(hub.requests) == [("HEAD", "127.0.0.1", 200), ("GET", "127.0.0.1", 200)]


def test_a_mirror_may_serve_files_in_lfs_itself(hub: Hub, download: Get) -> None:
    hub.add(REPO, {MODEL: DATA}, redirected=False)
    assert Path(download()).read_bytes() == DATA
    assert {record.host for record in hub.requests} == {"127.0.0.1"}


def test_a_name_may_have_folders_and_spaces(download: Get) -> None:
    assert Path(download("split/part one.gguf")).read_bytes() == DATA


def test_a_file_that_is_there_is_not_fetched_again(hub: Hub, download: Get) -> None:
    assert download() == download()
    assert [record.method for record in hub.requests] == ["HEAD", "GET", "HEAD"]


def test_a_commit_is_a_revision(hub: Hub, download: Get) -> None:
    commit = hub.add(REPO, {MODEL: DATA}).commit
    assert Path(download(revision=commit)).parent.name == commit


def test_model_info_tells_sizes_and_checksums(hub: Hub) -> None:
    info = api(hub).model_info(REPO, files_metadata=True)
    assert info.siblings is not None
    model = next(sibling for sibling in info.siblings if sibling.rfilename == MODEL)
    assert model.size == len(DATA)
    assert model.lfs is not None
    assert (model.lfs.sha256, model.lfs.size) == (hashlib.sha256(DATA).hexdigest(), len(DATA))
    assert [sibling.rfilename for sibling in info.siblings] == ["README.md", MODEL, "split/part one.gguf"]
    assert info.siblings[0].lfs is None


def test_model_info_without_blobs_tells_names_alone(hub: Hub) -> None:
    info = api(hub).model_info(REPO, revision="main")
    assert info.siblings is not None
    assert {sibling.size for sibling in info.siblings} == {None}


def test_a_tree_has_folders(hub: Hub) -> None:
    entries = [*api(hub).list_repo_tree(REPO)]
    assert [entry.path for entry in entries] == ["README.md", MODEL, "split"]
    assert isinstance(entries[2], RepoFolder)


def test_a_recursive_tree_has_the_files_in_them(hub: Hub) -> None:
    entries = [*api(hub).list_repo_tree(REPO, recursive=True)]
    assert [entry.path for entry in entries] == ["README.md", MODEL, "split", "split/part one.gguf"]
    assert isinstance(entries[3], RepoFile)
    assert entries[3].lfs is not None
    assert entries[3].lfs.sha256 == hashlib.sha256(DATA).hexdigest()


def test_paths_are_told_of_when_named(hub: Hub) -> None:
    (found,) = api(hub).get_paths_info(REPO, [MODEL, "not-there"])
    assert isinstance(found, RepoFile)
    assert found.size == len(DATA)


def test_the_endpoint_may_come_from_the_environment(hub: Hub, tmp_path: Path) -> None:
    script = f"import huggingface_hub as h; print(h.hf_hub_download({REPO!r}, {MODEL!r}, token=False))"
    env = {**os.environ, "HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path)}
    ended = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True)
    assert Path(ended.stdout.strip()).read_bytes() == DATA
    assert [record.method for record in hub.requests] == ["HEAD", "GET"]


# What is not there, or not for everybody


def test_an_unknown_repository_is_not_found(hub: Hub, download: Get) -> None:
    with pytest.raises(RepositoryNotFoundError):
        download(repo="owner/other")
    with pytest.raises(RepositoryNotFoundError):
        api(hub).model_info("owner/other")


def test_an_unknown_file_is_not_found(download: Get) -> None:
    with pytest.raises(RemoteEntryNotFoundError):
        download("other.gguf")


def test_an_unknown_revision_is_not_found(hub: Hub, download: Get) -> None:
    with pytest.raises(RevisionNotFoundError):
        download(revision="v2")
    with pytest.raises(RevisionNotFoundError):
        [*api(hub).list_repo_tree(REPO, revision="v2")]


@pytest.mark.parametrize(("token", "code"), [(False, 401), ("hf_bad", 403)])
def test_a_gated_file_needs_the_right_token(hub: Hub, download: Get, token: str | bool, code: int) -> None:
    hub.add(REPO, {MODEL: DATA}, gated=True)
    with pytest.raises(GatedRepoError) as refused:
        download(token=token)
    assert refused.value.response.status_code == code


def test_the_right_token_is_not_sent_on_to_the_second_host(hub: Hub, download: Get) -> None:
    hub.add(REPO, {MODEL: DATA}, gated=True)
    assert Path(download(token=GOOD_TOKEN)).read_bytes() == DATA
    assert [record.token for record in hub.requests] == [GOOD_TOKEN, None]


def test_the_second_host_wants_the_signature_and_no_token(hub: Hub) -> None:
    location = httpx2.head(f"{hub.endpoint}/{REPO}/resolve/main/{MODEL}").headers["Location"]
    assert httpx2.get(location).status_code == 200
    assert httpx2.get(location.replace("Signature=", "Signature=0")).status_code == 403
    assert httpx2.get(location, headers={"Authorization": f"Bearer {GOOD_TOKEN}"}).status_code == 400


# Ranges


@pytest.mark.parametrize(
    ("asked", "start", "stop"), [("100-199", 100, 200), ("10000-", 10_000, 10_240), ("-5", 10_235, 10_240)]
)
def test_a_range_is_that_part(hub: Hub, asked: str, start: int, stop: int) -> None:
    part = fetch(hub, Range=f"bytes={asked}")
    assert part.status_code == 206
    assert part.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{len(DATA)}"
    assert part.content == DATA[start:stop]


def test_a_range_past_the_end_is_refused_with_the_size(hub: Hub) -> None:
    refused = fetch(hub, Range=f"bytes={len(DATA)}-")
    assert (refused.status_code, refused.headers["Content-Range"]) == (416, f"bytes */{len(DATA)}")


def test_a_range_of_another_state_of_the_file_is_the_whole_file(hub: Hub) -> None:
    whole = fetch(hub, **{"Range": "bytes=100-", "If-Range": '"another"'})
    assert (whole.status_code, whole.content) == (200, DATA)


def test_a_range_may_be_ignored(hub: Hub) -> None:
    hub.on(MODEL, range_ignored())
    assert fetch(hub, Range="bytes=100-").content == DATA
    assert hub.requests[-1].range == "bytes=100-"


# Big files


def test_a_pattern_is_the_same_from_wherever_it_is_read() -> None:
    pattern = Pattern(3 * BLOCK_BYTES + 5, head=b"GGUF")
    whole = pattern.read()
    assert len(whole) == pattern.size
    assert whole.startswith(b"GGUF")
    assert hashlib.sha256(whole).hexdigest() == pattern.sha256
    for start, stop in [(0, 3), (BLOCK_BYTES - 1, 2 * BLOCK_BYTES + 1), (pattern.size - 1, pattern.size)]:
        assert b"".join(pattern.blocks(start, stop)) == whole[start:stop]


def test_no_two_blocks_or_seeds_of_a_pattern_are_alike() -> None:
    blocks = [*Pattern(4 * BLOCK_BYTES).blocks(0, 4 * BLOCK_BYTES), *Pattern(8, seed=1).blocks(0, 8)]
    assert len({*blocks}) == 5


def test_a_pattern_is_downloaded(hub: Hub, download: Get) -> None:
    pattern = Pattern(24 * BLOCK_BYTES)
    hub.add(REPO, {MODEL: pattern})
    with Path(download()).open("rb") as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == pattern.sha256


def test_a_size_nobody_reads_is_cheap_to_claim(hub: Hub) -> None:
    hub.add(REPO, {MODEL: Pattern(1 << 40, claimed_sha256="ab" * 32)})
    assert httpx2.head(f"{hub.endpoint}/{REPO}/resolve/main/{MODEL}").headers["X-Linked-Size"] == str(1 << 40)


# Troubles


def test_a_cut_comes_after_so_many_bytes_and_once(hub: Hub) -> None:
    hub.on(MODEL, cut(1000))
    assert fetched_before_the_break(hub) == DATA[:1000]
    assert fetch(hub).content == DATA


def test_the_client_goes_on_from_where_it_was_cut(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 100)  # what is short of a chunk, it loses
    hub.on(MODEL, cut(1000))
    with (tmp_path / "file").open("w+b") as file:
        http_get(f"{hub.endpoint}/{REPO}/resolve/main/{MODEL}", file)
        file.seek(0)
        assert file.read() == DATA
    assert [record.range for record in hub.requests if record.host == "localhost"] == [None, "bytes=1000-"]


def test_a_reset_breaks_the_connection_otherwise(hub: Hub) -> None:
    hub.on(MODEL, cut(1000, is_reset=True))
    with pytest.raises(httpx2.ReadError):
        fetch(hub)


def test_a_connection_may_end_without_an_answer(hub: Hub) -> None:
    hub.on(MODEL, hang_up())
    with pytest.raises(httpx2.RemoteProtocolError):
        fetch(hub)


def test_a_status_comes_instead_with_its_retry_after(hub: Hub) -> None:
    hub.on(MODEL, status(429, retry_after=0), status(503))
    answers = [fetch(hub) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [429, 503, 200]
    assert [answer.headers.get("Retry-After") for answer in answers] == ["0", None, None]


def test_the_client_outlives_too_many_requests(hub: Hub, download: Get) -> None:
    hub.on(MODEL, status(429, retry_after=0))
    assert Path(download()).read_bytes() == DATA
    assert [record.status for record in hub.requests] == [302, 429, 200]


def test_trouble_can_befall_a_head_and_the_api(hub: Hub) -> None:
    hub.on(MODEL, status(503), method="HEAD")
    hub.on(f"models/{REPO}", status(500))
    assert httpx2.head(f"{hub.endpoint}/{REPO}/resolve/main/{MODEL}").status_code == 503
    with pytest.raises(HfHubHTTPError):
        api(hub).model_info(REPO)
    assert api(hub).model_info(REPO).id == REPO


def test_a_stall_sends_part_and_the_rest_when_it_is_released(hub: Hub) -> None:
    pause = stall(threading.Event(), after_bytes=1000)
    hub.on(MODEL, pause)
    url = f"{hub.endpoint}/{REPO}/resolve/main/{MODEL}"
    with httpx2.stream("GET", url, follow_redirects=True) as response:
        blocks = response.iter_raw()
        begin = next(blocks)
        assert pause.reached.wait(PATIENCE_SECONDS)
        pause.released.set()
        assert begin + b"".join(blocks) == DATA


def test_a_hub_that_goes_down_ends_a_stall(hub: Hub) -> None:
    pause = stall(threading.Event())
    hub.on(MODEL, pause)

    def close() -> None:
        pause.reached.wait(PATIENCE_SECONDS)
        hub.down()

    closing = threading.Thread(target=close)
    closing.start()
    assert fetched_before_the_break(hub) == DATA[:1]
    closing.join()


def test_a_length_may_be_too_long(hub: Hub) -> None:
    hub.on(MODEL, lie_about_length(5))
    assert fetched_before_the_break(hub) == DATA


def test_a_length_may_be_too_short(hub: Hub) -> None:
    hub.on(MODEL, lie_about_length(-5))
    assert fetch(hub).content == DATA[:-5]


def test_a_file_may_be_longer_than_it_was_said_to_be(hub: Hub, download: Get) -> None:
    hub.on(MODEL, lie_about_length(5, is_sent=True))
    with pytest.raises(OSError, match=rf"should be of size {len(DATA)} but has size {len(DATA) + 5}"):
        download()


def test_a_head_may_lie_too(hub: Hub) -> None:
    hub.on(MODEL, lie_about_length(5), method="HEAD")
    assert httpx2.head(f"{hub.endpoint}/{REPO}/resolve/main/{MODEL}").headers["X-Linked-Size"] == str(len(DATA) + 5)


@pytest.mark.parametrize("begin", [0, 3000])
def test_a_flipped_byte_is_at_its_offset_in_the_file(hub: Hub, begin: int) -> None:
    hub.on(MODEL, flip(4000))
    got = fetch(hub, Range=f"bytes={begin}-").content
    assert [begin + at for at, byte in enumerate(got) if byte != DATA[begin + at]] == [4000]


def test_a_file_may_change_between_two_ranges(hub: Hub) -> None:
    hub.on(MODEL, cut(1000), changed(OTHER))
    assert fetched_before_the_break(hub) == DATA[:1000]
    rest = fetch(hub, Range="bytes=1000-")
    assert rest.content == OTHER[1000:]
    assert rest.headers["ETag"] == f'"{hashlib.sha256(OTHER).hexdigest()}"'


def test_a_changed_file_is_another_commit_for_the_client(hub: Hub, download: Get) -> None:
    before = download()
    hub.on(MODEL, changed(OTHER))
    fetch(hub)
    after = download()
    assert Path(after).read_bytes() == OTHER
    assert Path(after).parent != Path(before).parent


def test_an_earlier_commit_goes_on_being_a_revision(hub: Hub) -> None:
    repo = hub.add(REPO, {MODEL: DATA})
    earlier = repo.commit
    repo.replace(MODEL, OTHER)
    assert api(hub).model_info(REPO, revision=earlier).sha == earlier != repo.commit


def test_troubles_come_together(hub: Hub) -> None:
    hub.on(MODEL, together(flip(10), cut(20)))
    got = fetched_before_the_break(hub)
    assert len(got) == 20
    assert got[10] == DATA[10] ^ 0xFF


def test_troubles_that_are_left_are_counted(hub: Hub) -> None:
    hub.on(MODEL, flip(1), flip(2))
    fetch(hub)
    assert hub.troubles_left == 1


# Up and down


def test_a_hub_goes_down_and_comes_back_at_the_same_address(hub: Hub) -> None:
    endpoint = hub.endpoint
    hub.down()
    with pytest.raises(httpx2.ConnectError):
        fetch(hub)
    hub.up()
    assert hub.endpoint == endpoint
    assert fetch(hub).content == DATA


def test_nobody_listens_where_nobody_should() -> None:
    with nobody_listens() as endpoint, pytest.raises(httpx2.ConnectError):
        httpx2.get(endpoint)


def test_nothing_is_said_on_stderr(hub: Hub, capfd: pytest.CaptureFixture[str]) -> None:
    hub.add(REPO, {MODEL: Pattern(64 * BLOCK_BYTES)})
    with httpx2.stream("GET", f"{hub.endpoint}/{REPO}/resolve/main/{MODEL}", follow_redirects=True) as response:
        next(response.iter_raw())
    hub.on(MODEL, cut(5), cut(5, is_reset=True))
    for _ in range(2):
        with pytest.raises(httpx2.TransportError):
            fetch(hub)
    hub.down()
    assert capfd.readouterr().err == ""


def test_a_hundred_downloads_are_a_hundred_files(hub: Hub, download: Get) -> None:
    names = [f"{number}.gguf" for number in range(100)]
    hub.add(REPO, {name: name.encode() for name in names})
    assert [Path(download(name)).read_bytes().decode() for name in names] == names
    assert len(hub.requests) == 200
