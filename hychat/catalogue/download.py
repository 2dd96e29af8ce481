"""Fetching one file into the Hugging Face cache: resumed after any cut, and checked before anybody sees it.

The hub's client knows the hub (addresses, tokens, redirects, errors, locks), but throws a partial file away when it is
stopped; so the loop that writes the file is here. The content is hashed while it arrives, in a second thread.
"""

import errno
import hashlib
import os
import re
import shutil
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from hychat.catalogue.cache import OURS, PARTIAL_SUFFIX, cached_path, is_locked, lock_file, place, repository_folder
from hychat.catalogue.hub import TransientTrouble, file_facts, host_of
from hychat.catalogue.retry import Wait, until_it_works
from hychat.domain.errors import DiskFull, DownloadDamaged, ModelUnusable
from hychat.domain.model import ModelFile
from hychat.domain.numbers import size
from hychat.domain.pull import (
    PullDone,
    PullEvent,
    PullProgress,
    PullRestarted,
    PullStarted,
    PullWaiting,
)
from hychat.messages import _

if TYPE_CHECKING:
    from hychat.catalogue.hub import FileFacts

_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_BLOCK_BYTES: Final = 1 << 20
_SPARE_BYTES: Final = 64 << 20
"""Of the disk, that a download leaves to others."""

Check = Callable[[Path], None]
"""Raises ModelUnusable where a file must not be offered."""


def no_check(_path: Path) -> None:
    """Take any file."""


def pull(  # noqa: PLR0913 - what is known of the file, and what is done with it
    file: ModelFile,
    cache: Path,
    *,
    endpoint: str,
    recorded_sha256: str | None = None,
    check: Check = no_check,
    wait: Wait = time.sleep,
) -> Generator[PullEvent, None, None]:
    """Fetch a file of the hub; the last event says where it is. Whoever stops iterating leaves a partial file to go on from.

    A file that is there already is not fetched again, and the hub is not even asked where its revision is known.
    `recorded_sha256` is what the file had when it first came; it counts where neither catalogue nor hub have a checksum.
    `check` looks at the whole file before it gets its name; what was fetched here and is refused is deleted.

    Raises:
        ModelUnusable: `check` refused it.
        HubUnreachable: There is no connection, and several tries changed nothing.
        HubRefused: The hub has no such file, or does not give it away.
        DownloadDamaged: What came is not what was to come.
        DiskFull: There is no room.
    """
    present = cached_path(cache, file) if file.revision or file.sha256 else None
    if present is not None:
        check(present)
        yield PullDone(str(present), None)
        return
    for is_last_try in (False, True):
        facts = yield from until_it_works(lambda: _ask(file, endpoint), endpoint, wait)
        target = _Target(file, facts, cache, recorded_sha256)
        target.check_promise()
        try:
            with _writing_errors(cache):
                done = yield from _fetch(target, endpoint, check, wait)
        except _WrongContent as wrong:
            if is_last_try or not wrong.came_in_pieces:
                raise target.damaged(wrong.sha256, endpoint) from wrong
            yield PullRestarted(file.file)
        else:
            yield done
            return


class _WrongContent(Exception):
    """The checksum is another one; what came was deleted."""

    def __init__(self, sha256: str, *, came_in_pieces: bool) -> None:
        super().__init__(sha256)
        self.sha256 = sha256
        self.came_in_pieces = came_in_pieces
        """So the pieces may not belong together."""


def _ask(file: ModelFile, endpoint: str) -> "Generator[PullEvent, None, FileFacts]":
    yield from ()
    return file_facts(file, endpoint)


@dataclass(frozen=True, slots=True)
class _Target:
    """What is to come, and where it goes."""

    file: ModelFile
    facts: "FileFacts"
    cache: Path
    recorded_sha256: str | None

    @property
    def folder(self) -> Path:
        return repository_folder(self.cache, self.file.repository or "")

    @property
    def blob(self) -> Path:
        return self.folder / "blobs" / self.facts.etag

    @property
    def partial(self) -> Path:
        return self.blob.with_name(self.blob.name + PARTIAL_SUFFIX)

    @property
    def sha256(self) -> str | None:
        """What the catalogue says, else what the hub says (the etag of a large file is its checksum), else what it was."""
        of_the_hub = self.facts.etag if is_sha256(self.facts.etag) else None
        return self.file.sha256 or of_the_hub or self.recorded_sha256

    def check_promise(self) -> None:
        """What the hub is about to send, against what the catalogue knows.

        Raises:
            DownloadDamaged: It is another file.
        """
        wrong_size = self.file.bytes is not None and self.facts.bytes != self.file.bytes
        wrong_sum = self.file.sha256 and is_sha256(self.facts.etag) and self.facts.etag != self.file.sha256
        if wrong_size or wrong_sum:
            raise DownloadDamaged(
                _("{repository} now holds another {file} than the one hychat knows; nothing was fetched.").format(
                    repository=self.file.repository, file=self.file.file
                ),
                hint=_("To take it as it is: hychat models pull hf:{repository}:{file}").format(
                    repository=self.file.repository, file=self.file.file
                ),
            )

    def check_room(self, done_bytes: int) -> None:
        """Whether the rest fits the disk.

        Raises:
            DiskFull: It does not.
        """
        free, needed = shutil.disk_usage(self.blob.parent).free, self.facts.bytes - done_bytes
        if needed and free < needed + _SPARE_BYTES:
            raise DiskFull(
                _("{file} needs {needed} more; {folder} has {free} free.").format(
                    file=self.file.file, needed=size(needed), folder=self.blob.parent, free=size(free)
                ),
                hint=_("Make room (`hychat models prune` shows what may go), or set HF_HOME to a larger disk."),
            )

    def damaged(self, sha256: str, endpoint: str) -> DownloadDamaged:
        """The error that says so."""
        message = _("{file} from {host} is damaged: its SHA-256 is {found}, not {expected}. It was deleted.")
        return DownloadDamaged(
            message.format(file=self.file.file, host=host_of(endpoint), found=sha256, expected=self.sha256),
            hint=_("Try again later, or take another mirror with --mirror."),
        )


def _fetch(target: _Target, endpoint: str, check: Check, wait: Wait) -> Generator[PullEvent, None, PullDone]:
    """Until the content is there under its name, by whoever fetches it; with its checksum where it was us.

    The lock is kept until the name stands: a content without one is what `prune` deletes.
    """
    from huggingface_hub.utils import WeakFileLock

    lock = lock_file(target.cache, target.file.repository or "", target.facts.etag)
    for folder in (target.blob.parent, lock.parent):
        folder.mkdir(parents=True, exist_ok=True)
    if is_locked(lock):
        yield PullWaiting(target.file.file)
    with WeakFileLock(lock):
        sha256 = None
        if target.blob.exists() and target.blob.stat().st_size == target.facts.bytes:
            check(target.blob)
        else:
            target.blob.unlink(missing_ok=True)  # another program left it so
            sha256 = yield from _fetch_content(target, endpoint, wait)
            _check_or_delete(target.partial, check)
            target.partial.replace(target.blob)
        return PullDone(str(place(target.cache, target.file, target.blob, target.facts.commit)), sha256)


def _fetch_content(target: _Target, endpoint: str, wait: Wait) -> Generator[PullEvent, None, str]:
    """Make the partial file whole; its checksum, which is the right one."""
    (target.folder / OURS).touch()
    resumed = target.partial.stat().st_size if target.partial.exists() else 0
    if resumed > target.facts.bytes:
        target.partial.unlink()
        resumed = 0
    target.check_room(resumed)
    yield PullStarted(target.file.file, resumed, target.facts.bytes)
    sha256, pieces = yield from _stream_to_end(target, endpoint, wait)
    if target.sha256 not in {None, sha256}:
        target.partial.unlink()
        raise _WrongContent(sha256, came_in_pieces=resumed > 0 or pieces > 1)
    return sha256


def _check_or_delete(partial: Path, check: Check) -> None:
    try:
        check(partial)
    except ModelUnusable:
        partial.unlink()
        raise


def _stream_to_end(target: _Target, endpoint: str, wait: Wait) -> Generator[PullEvent, None, tuple[str, int]]:
    """Write the partial file until it is whole; its checksum, and in how many pieces it came."""
    pieces = 0
    with target.partial.open("ab") as output, closing(_Hash()) as digest:
        digest.read(target.partial)

        def stream() -> Generator[PullEvent, None, None]:
            nonlocal pieces
            pieces += 1
            yield from _stream(target, output, digest)

        yield from until_it_works(stream, endpoint, wait, target.file)
        output.flush()
        os.fsync(output.fileno())  # a name must not outlive its content when the power fails
        return digest.hexdigest(), pieces


def _stream(target: _Target, output: BinaryIO, digest: "_Hash") -> Generator[PullEvent, None, None]:
    """The rest of the file. Raises `TransientTrouble` where a connection ends before it should."""
    total = target.facts.bytes
    done = output.seek(0, os.SEEK_END)
    while done < total:
        with target.facts.open_content(done) as content:
            if content.starts_over:
                done = 0
                output.truncate(0)
                digest.restart()
            for block in content.blocks:
                done += len(block)
                if done > total:
                    output.truncate(0)
                    digest.restart()
                    raise TransientTrouble(_("more came than was announced"))
                output.write(block)
                digest.update(block)
                yield PullProgress(done, total)
        if done < content.end:
            raise TransientTrouble(_("the connection ended early"))


class _Hash:
    """SHA-256 of what is written, computed beside the writing."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._worker = ThreadPoolExecutor(1)
        self._last: Future[None] | None = None

    def read(self, path: Path) -> None:
        """Take what a file holds."""
        with path.open("rb") as file:
            while block := file.read(_BLOCK_BYTES):
                self.update(block)

    def update(self, block: bytes) -> None:
        """Take a block; waits for the one before, so that only two are in memory."""
        self._join()
        self._last = self._worker.submit(self._hash.update, block)

    def restart(self) -> None:
        """Forget everything."""
        self._join()
        self._hash = hashlib.sha256()

    def hexdigest(self) -> str:
        """Of all that was taken."""
        self._join()
        return self._hash.hexdigest()

    def close(self) -> None:
        """End the thread."""
        self._worker.shutdown()

    def _join(self) -> None:
        if self._last is not None:
            self._last.result()


@contextmanager
def _writing_errors(cache: Path) -> Iterator[None]:
    """What the disk says, as an error of ours; what was written stays."""
    try:
        yield
    except OSError as error:
        is_full = error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
        make_room = _("What has come is kept; make room and give the same command again.")
        raise DiskFull(
            _("{folder} cannot be written: {reason}.").format(
                folder=error.filename or cache, reason=error.strerror or error
            ),
            hint=make_room if is_full else _("Set HF_HOME to a folder that you may write to."),
        ) from error


def is_sha256(text: str) -> bool:
    """Whether it can be such a checksum."""
    return bool(_SHA256.fullmatch(text))
