"""Fetching files from the hub, through the real client: cuts, storms, lies, and two at once."""

import hashlib
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import pytest
from huggingface_hub.utils import WeakFileLock

from hychat.catalogue import hub as hub_module
from hychat.catalogue import records
from hychat.catalogue.cache import Leftover, cached_files, cached_path, delete, leftovers, lock_file, place, remove
from hychat.catalogue.download import pull
from hychat.catalogue.pulling import Wanted, pull_model
from hychat.domain.errors import DiskFull, DownloadDamaged, HubRefused, HubUnreachable, ModelUnusable
from hychat.domain.model import ModelFile
from hychat.domain.pull import PullDone, PullEvent, PullProgress, PullRestarted, PullRetry, PullStarted
from tests.hub import GOOD_TOKEN, Hub, Trouble, nobody_listens
from tests.hub_files import Pattern
from tests.hub_http import Answer
from tests.hub_trouble import changed, cut, flip, lie_about_length, range_ignored, stall, status
from tests.programs import environment
from tests.tiny_models import write_hunyuan_dense

REPOSITORY = "owner/model-GGUF"
NAME = "model-Q4_K_M.gguf"
BIG = Pattern(3 << 20)


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as made:
        made.add(REPOSITORY, {NAME: BIG})
        yield made


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "hub"


@pytest.fixture
def header(tmp_path: Path) -> bytes:
    """What makes a model of the bytes behind it."""
    return write_hunyuan_dense(tmp_path / "tiny.gguf", "A").read_bytes()


def model_file(sha256: str | None = None, size: int | None = None, name: str = NAME) -> ModelFile:
    return ModelFile(file=name, repository=REPOSITORY, sha256=sha256, bytes=size)


def events_of(hub: Hub, cache: Path, file: ModelFile | None = None) -> list[PullEvent]:
    return list(pull(file or model_file(), cache, endpoint=hub.endpoint, wait=lambda _seconds: None))


def fetched(events: list[PullEvent]) -> Path:
    assert isinstance(events[-1], PullDone)
    return Path(events[-1].path)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def gets(hub: Hub) -> int:
    """How often the content itself was asked for."""
    return sum(record.method == "GET" and record.status in {200, 206} for record in hub.requests)


@dataclass(frozen=True, slots=True)
class Named(Trouble):
    """Another value of a header."""

    name: str
    value: str

    def after(self, _hub: Hub, answer: Answer) -> Answer:
        linked = {"X-Linked-Etag": self.value} if self.name == "ETag" else {}
        return replace(answer, headers={**answer.headers, self.name: self.value, **linked})


# A plain download


def test_a_file_arrives_whole_and_is_found_in_the_cache(hub: Hub, cache: Path) -> None:
    path = fetched(events_of(hub, cache))
    assert sha256(path) == BIG.sha256
    assert cached_path(cache, model_file()) == path
    assert [file.file for file in cached_files(cache)] == [NAME]


def test_progress_only_grows_and_ends_with_all(hub: Hub, cache: Path) -> None:
    done = [event.done_bytes for event in events_of(hub, cache) if isinstance(event, PullProgress)]
    assert done == sorted(done)
    assert done[-1] == BIG.size


def test_a_file_that_is_here_is_not_fetched_again(hub: Hub, cache: Path) -> None:
    first = fetched(events_of(hub, cache))
    before = gets(hub)
    assert fetched(events_of(hub, cache)) == first
    assert gets(hub) == before


def test_a_known_file_needs_no_network(hub: Hub, cache: Path) -> None:
    known = model_file(BIG.sha256, BIG.size)
    first = fetched(events_of(hub, cache, known))
    hub.down()
    assert fetched(events_of(hub, cache, known)) == first


def test_the_hub_s_own_client_finds_what_was_fetched(hub: Hub, cache: Path) -> None:
    from huggingface_hub import hf_hub_download

    path = fetched(events_of(hub, cache))
    before = gets(hub)
    assert hf_hub_download(REPOSITORY, NAME, cache_dir=cache, endpoint=hub.endpoint) == str(path)
    assert gets(hub) == before


def test_what_the_hub_s_own_client_fetched_is_used(hub: Hub, cache: Path) -> None:
    from huggingface_hub import hf_hub_download

    path = hf_hub_download(REPOSITORY, NAME, cache_dir=cache, endpoint=hub.endpoint)
    before = gets(hub)
    assert fetched(events_of(hub, cache)) == Path(path)
    assert gets(hub) == before


# Cuts


def test_a_hundred_downloads_that_are_cut_anywhere_resume_to_the_same_files(hub: Hub, cache: Path) -> None:
    for case in range(100):
        random = Random(case)  # noqa: S311 - no secret
        content = Pattern(random.randrange(1, 3 << 20), seed=case)
        hub.add(REPOSITORY, {NAME: content})
        hub.on(NAME, *(cut(random.randrange(content.size), is_reset=random.random() < 0.3) for _cut in range(3)))
        path = fetched(events_of(hub, cache / str(case)))
        assert sha256(path) == content.sha256


def stopped(hub: Hub, cache: Path) -> list[Leftover]:
    """What a download leaves that is stopped in the middle."""
    events = pull(model_file(), cache, endpoint=hub.endpoint)
    for event in events:
        if isinstance(event, PullProgress) and event.done_bytes >= 1 << 20:
            break
    events.close()
    return [*leftovers(cache)]


def test_whoever_stops_in_the_middle_goes_on_from_there(hub: Hub, cache: Path) -> None:
    assert [leftover.is_partial for leftover in stopped(hub, cache)] == [True]
    second = events_of(hub, cache)
    started = next(event for event in second if isinstance(event, PullStarted))
    assert started.done_bytes >= 1 << 20
    assert sha256(fetched(second)) == BIG.sha256
    assert not list(leftovers(cache))


def test_a_server_that_ignores_the_range_is_understood(hub: Hub, cache: Path) -> None:
    hub.on(NAME, cut(1 << 20), range_ignored())
    assert sha256(fetched(events_of(hub, cache))) == BIG.sha256


def test_storms_of_refusals_are_outlived(hub: Hub, cache: Path) -> None:
    hub.on(NAME, status(429, retry_after=0), status(503), status(503), cut(100), status(500), status(429))
    hub.on(NAME, status(503), method="HEAD")
    events = events_of(hub, cache)
    assert sha256(fetched(events)) == BIG.sha256
    assert sum(isinstance(event, PullRetry) for event in events) >= 6


def test_a_hub_that_stays_busy_is_given_up_with_its_name(hub: Hub, cache: Path) -> None:
    hub.on(NAME, *[status(503)] * 50)
    with pytest.raises(HubUnreachable, match=rf"127\.0\.0\.1:{hub.port}.*503"):
        events_of(hub, cache)


def test_waits_grow_and_have_a_cap(hub: Hub, cache: Path) -> None:
    hub.on(NAME, *[status(503)] * 50)
    waits: list[float] = []
    with pytest.raises(HubUnreachable):
        list(pull(model_file(), cache, endpoint=hub.endpoint, wait=waits.append))
    assert waits == sorted(waits)
    assert waits[-1] == 30.0


def test_a_server_that_stalls_is_left_and_asked_again(hub: Hub, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "_TIMEOUT_SECONDS", 0.3)
    hub.on(NAME, stall(threading.Event(), after_bytes=1 << 20))
    events = events_of(hub, cache)
    assert any(isinstance(event, PullRetry) and "silent" in event.reason for event in events)
    assert sha256(fetched(events)) == BIG.sha256


def test_a_server_s_own_wish_for_a_pause_is_heard(hub: Hub, cache: Path) -> None:
    hub.on(NAME, status(429, retry_after=7))
    waits: list[float] = []
    list(pull(model_file(), cache, endpoint=hub.endpoint, wait=waits.append))
    assert waits == [7.0]


# Wrong content


def test_a_flipped_byte_is_found_wherever_it_is_and_the_file_is_deleted(hub: Hub, cache: Path) -> None:
    random = Random(1)  # noqa: S311 - no secret
    for offset in (0, BIG.size - 1, *(random.randrange(BIG.size) for _case in range(30))):
        hub.on(NAME, flip(offset))
        with pytest.raises(DownloadDamaged, match="SHA-256"):
            events_of(hub, cache)
        assert not list(cached_files(cache))
        assert not list(leftovers(cache))


def test_a_file_that_changes_between_two_pieces_is_fetched_anew(hub: Hub, cache: Path) -> None:
    other = Pattern(3 << 20, seed=9)
    hub.on(NAME, cut(1 << 20), changed(other))
    events = events_of(hub, cache)
    assert any(isinstance(event, PullRestarted) for event in events)
    assert sha256(fetched(events)) == other.sha256


def test_another_file_than_the_catalogue_knows_is_not_fetched_at_all(hub: Hub, cache: Path) -> None:
    with pytest.raises(DownloadDamaged, match="another"):
        events_of(hub, cache, model_file("0" * 64))
    assert gets(hub) == 0


@pytest.mark.parametrize("extra", [-1000, 1000])
def test_a_server_that_lies_about_the_length_is_found_out(hub: Hub, cache: Path, extra: int) -> None:
    hub.on(NAME, *[lie_about_length(extra)] * 50, method="HEAD")
    with pytest.raises((DownloadDamaged, HubUnreachable)):
        events_of(hub, cache)
    assert not list(cached_files(cache))


def test_a_checksum_that_nobody_published_is_recorded_at_first_use(hub: Hub, cache: Path, header: bytes) -> None:
    def unpublished(content: Pattern) -> None:
        repo = hub.add(REPOSITORY, {NAME: content})
        repo.files = {NAME: replace(repo.files[NAME], sha256="")}
        repo._commits.add(repo.commit)

    tried = Wanted("tiny", (model_file(),))
    first = Pattern(3 << 20, head=header)
    unpublished(first)
    list(pull_model(tried, cache, hub.endpoint))
    assert records.known_checksum(REPOSITORY, NAME) == first.sha256
    unpublished(Pattern(3 << 20, seed=5, head=header))
    remove(cache, REPOSITORY, NAME)
    with pytest.raises(DownloadDamaged, match=first.sha256):
        list(pull_model(tried, cache, hub.endpoint))


def test_a_new_version_on_the_hub_may_replace_the_one_that_came_first(hub: Hub, cache: Path, header: bytes) -> None:
    tried = Wanted("tiny", (model_file(),))
    for content in (Pattern(2 << 20, head=header), Pattern(2 << 20, seed=7, head=header)):
        hub.add(REPOSITORY, {NAME: content})
        list(pull_model(tried, cache, hub.endpoint))
        assert records.known_checksum(REPOSITORY, NAME) == content.sha256


def test_a_partial_file_that_is_being_fetched_is_no_leftover(hub: Hub, cache: Path) -> None:
    events = pull(model_file(), cache, endpoint=hub.endpoint)
    assert any(isinstance(event, PullProgress) for event in events)
    assert not list(leftovers(cache))
    events.close()


# Refusals


def test_a_repository_that_does_not_exist_is_named(hub: Hub, cache: Path) -> None:
    with pytest.raises(HubRefused, match="no/such"):
        events_of(hub, cache, ModelFile(file=NAME, repository="no/such"))


def test_a_file_that_does_not_exist_is_named(hub: Hub, cache: Path) -> None:
    with pytest.raises(HubRefused, match=r"other\.gguf"):
        events_of(hub, cache, model_file(name="other.gguf"))


def test_a_gated_repository_asks_for_a_token(hub: Hub, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add(REPOSITORY, {NAME: BIG}, gated=True)
    with pytest.raises(HubRefused) as refused:
        events_of(hub, cache)
    assert "HF_TOKEN" in refused.value.hint
    monkeypatch.setenv("HF_TOKEN", GOOD_TOKEN)
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
    assert sha256(fetched(events_of(hub, cache))) == BIG.sha256


def test_a_token_is_not_shown_to_another_host(hub: Hub, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", GOOD_TOKEN)
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
    events_of(hub, cache)
    tokens = {record.host: record.token for record in hub.requests}
    assert tokens == {"127.0.0.1": GOOD_TOKEN, "localhost": None}


def test_a_mirror_that_was_only_typed_gets_no_token(hub: Hub, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", GOOD_TOKEN)
    events_of(hub, cache)
    assert {record.token for record in hub.requests} == {None}


@pytest.mark.parametrize("name", ["ETag", "X-Repo-Commit"])
def test_a_server_cannot_choose_where_a_file_is_written(hub: Hub, cache: Path, name: str) -> None:
    hub.on(NAME, Named(name, '"../../../../pwned"'), method="HEAD")
    with pytest.raises(HubRefused, match="does not answer as"):
        events_of(hub, cache)
    assert not list(cache.parent.rglob("pwned*"))


def test_a_content_that_was_cut_short_by_somebody_is_fetched_again(hub: Hub, cache: Path) -> None:
    path = fetched(events_of(hub, cache))
    os.truncate(path, 1000)
    assert sha256(fetched(events_of(hub, cache, model_file(BIG.sha256, BIG.size)))) == BIG.sha256


def test_a_partial_file_that_somebody_goes_on_with_is_not_deleted(hub: Hub, cache: Path) -> None:
    (leftover,) = stopped(hub, cache)
    events = pull(model_file(), cache, endpoint=hub.endpoint)
    assert any(isinstance(event, PullProgress) for event in events)
    assert not delete(leftover)
    assert sha256(fetched([*events])) == BIG.sha256


def test_a_content_that_got_its_name_meanwhile_is_not_deleted(hub: Hub, cache: Path) -> None:
    path = fetched(events_of(hub, cache))
    hub.add(REPOSITORY, {NAME: Pattern(2 << 20, seed=7)})
    fetched(events_of(hub, cache))
    blob = path.resolve()
    path.unlink()
    (leftover,) = leftovers(cache)
    assert leftover.path.resolve() == blob
    place(cache, model_file(), blob, path.parent.name)
    assert not delete(leftover)
    assert path.exists()


def test_a_content_whose_fetcher_has_not_named_it_yet_is_no_leftover(hub: Hub, cache: Path) -> None:
    path = fetched(events_of(hub, cache))
    hub.add(REPOSITORY, {NAME: Pattern(2 << 20, seed=7)})
    fetched(events_of(hub, cache))
    path.unlink()
    with WeakFileLock(lock_file(cache, REPOSITORY, BIG.sha256)):
        assert not [*leftovers(cache)]
    (leftover,) = leftovers(cache)
    assert delete(leftover)
    assert not leftover.path.exists()


def test_a_very_large_file_is_asked_for_in_pieces(hub: Hub, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "_MOST_BYTES_IN_ONE", BIG.size - 1)
    monkeypatch.setattr(hub_module, "_PIECE_BYTES", 1_000_000)
    hub.on(NAME, cut(400_000))
    assert sha256(fetched(events_of(hub, cache))) == BIG.sha256
    ranges = [record.range or "" for record in hub.requests if record.status == 206]
    assert ranges[0] == "bytes=0-999999"
    assert ranges[-1].endswith(f"-{BIG.size - 1}")
    assert len(ranges) == 5


def test_a_server_without_ranges_sends_a_very_large_file_whole(
    hub: Hub, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_module, "_MOST_BYTES_IN_ONE", BIG.size - 1)
    monkeypatch.setattr(hub_module, "_PIECE_BYTES", 1_000_000)
    hub.on(NAME, range_ignored())
    assert sha256(fetched(events_of(hub, cache))) == BIG.sha256
    assert gets(hub) == 1


def test_what_another_tool_began_to_fetch_is_no_leftover(cache: Path) -> None:
    blobs = cache / "models--other--tool" / "blobs"
    blobs.mkdir(parents=True)
    (blobs / "abc.incomplete").write_bytes(b"x")
    (blobs / "whole").write_bytes(b"x")
    assert not list(leftovers(cache))


def test_a_model_that_another_tool_fetched_is_not_deleted_when_it_cannot_be_used(hub: Hub, cache: Path) -> None:
    path = fetched(events_of(hub, cache))
    with pytest.raises(ModelUnusable):
        list(pull_model(Wanted("tiny", (model_file(BIG.sha256, BIG.size),)), cache, hub.endpoint))
    assert path.exists()


def test_an_unreachable_hub_is_named_soon(cache: Path) -> None:
    waits: list[float] = []
    with (
        nobody_listens() as endpoint,
        pytest.raises(HubUnreachable, match=endpoint.removeprefix("http://").replace(".", r"\.")),
    ):
        list(pull(model_file(), cache, endpoint=endpoint, wait=waits.append))
    assert sum(waits) < 2


def test_offline_is_said_and_nothing_is_asked(hub: Hub, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(HubUnreachable, match="offline"):
        events_of(hub, cache)
    assert not hub.requests


# Disk


def test_a_file_larger_than_the_disk_is_refused_before_it_begins(hub: Hub, cache: Path) -> None:
    hub.add(REPOSITORY, {NAME: Pattern(1 << 50, claimed_sha256="a" * 64)})
    with pytest.raises(DiskFull, match="free"):
        events_of(hub, cache)
    assert gets(hub) == 0


def test_a_disk_that_fills_in_the_middle_keeps_what_came(hub: Hub, cache: Path) -> None:
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 << 20, old[1]))  # writes beyond it fail, as on a full disk
    try:
        with pytest.raises(DiskFull):
            events_of(hub, cache)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, handler)
    assert [leftover.bytes for leftover in leftovers(cache)] == [2 << 20]
    assert sha256(fetched(events_of(hub, cache))) == BIG.sha256


def test_a_file_that_is_removed_frees_its_room(hub: Hub, cache: Path) -> None:
    events_of(hub, cache)
    assert remove(cache, REPOSITORY, NAME) == BIG.size
    assert not [
        path for path in cache.rglob("*") if path.is_file() and ".locks" not in path.parts and path.suffix != ".TAG"
    ]


# Two at once

PULL = """
import sys
from pathlib import Path
from hychat.catalogue.download import pull
from hychat.domain.model import ModelFile
for event in pull(ModelFile(file=sys.argv[3], repository=sys.argv[2]), Path(sys.argv[1]), endpoint=sys.argv[4]):
    print(type(event).__name__, flush=True)
"""


def test_two_processes_that_want_the_same_file_fetch_it_once(hub: Hub, cache: Path) -> None:
    released = threading.Event()
    pause = stall(released, after_bytes=1 << 20)
    hub.on(NAME, pause)
    command = [sys.executable, "-c", PULL, os.fspath(cache), REPOSITORY, NAME, hub.endpoint]
    first = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment(), text=True)
    assert pause.reached.wait(30)
    second = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment(), text=True)
    assert second.stdout is not None
    assert second.stdout.readline().strip() == "PullWaiting"
    released.set()
    assert first.wait(60) == second.wait(60) == 0
    assert first.stdout is not None
    first.stdout.close()
    second.stdout.close()
    assert gets(hub) == 1
