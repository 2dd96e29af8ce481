"""The headers of GGUFs on the hub: the first megabytes are fetched, the weights are not."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from io import FileIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from hychat.catalogue.hub import FileFacts, as_our_errors, file_facts, read_range
from hychat.catalogue.retry import Wait, patiently
from hychat.domain.model import ModelFile
from hychat.engine.gguf import GgufHeader, header_at
from hychat.engine.gguf_cursor import Cursor

_BLOCK_BYTES: Final = 1 << 20


@contextmanager
def remote_headers(
    files: Sequence[ModelFile], endpoint: str, *, wait: Wait = time.sleep
) -> Iterator[tuple[GgufHeader, ...]]:
    """The headers of a model's parts; they can be read as long as the block runs.

    Raises:
        HubRefused: There is no such file, or it is not for this user.
        HubUnreachable: The hub cannot be asked.
        ModelDamaged: What comes is no GGUF.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="hychat-")))
        yield tuple(_header_of(file, folder, endpoint, wait) for file in files)


def _header_of(file: ModelFile, folder: Path, endpoint: str, wait: Wait) -> GgufHeader:
    facts = patiently(lambda: file_facts(file, endpoint), endpoint, wait)

    def fetch(start: int, end: int) -> bytes:
        def attempt() -> bytes:
            with as_our_errors(endpoint, file):
                return read_range(facts, start, end)

        return patiently(attempt, endpoint, wait)

    path = folder / Path(file.file).name
    path.touch()
    with _Fetched(str(path), facts, fetch) as remote:
        header = header_at(Cursor(remote, str(path), facts.bytes))
        remote.have(min(header.data_offset, facts.bytes))  # arrays that were passed over are read later
        remote.truncate(facts.bytes)  # a hole, in the place of the weights
    return header


class _Fetched(FileIO):
    """A local file that begins as the remote one does; more of it comes when it is read."""

    def __init__(self, path: str, facts: FileFacts, fetch: Callable[[int, int], bytes]) -> None:
        super().__init__(path, "r+")
        self._most = facts.bytes
        self._fetch = fetch
        self._here = 0

    def have(self, end: int) -> None:
        """Fetch up to a byte."""
        end = min(self._most, -(-end // _BLOCK_BYTES) * _BLOCK_BYTES)
        if end > self._here:
            place = self.tell()
            self.seek(self._here)
            self.write(self._fetch(self._here, end))
            self.seek(place)
            self._here = end

    def read(self, size: int | None = -1, /) -> bytes:
        """Read from where it stands, once that much is here."""
        self.have(self.tell() + (size if size is not None and size >= 0 else self._most))
        return super().read(-1 if size is None else size)
