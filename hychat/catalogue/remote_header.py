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
from hychat.domain.errors import DiskFull, ModelDamaged, ModelUnusable
from hychat.domain.model import ModelFile
from hychat.engine.gguf import GgufHeader, header_at
from hychat.engine.gguf_cursor import Cursor
from hychat.messages import _

_FIRST_BYTES: Final = 1 << 20
_MOST_BYTES_AT_ONCE: Final = 1 << 23


@contextmanager
def remote_headers(
    files: Sequence[ModelFile], endpoint: str, *, wait: Wait = time.sleep
) -> Iterator[tuple[GgufHeader, ...]]:
    """The headers of a model's parts; they can be read as long as the block runs.

    Raises:
        HubRefused: There is no such file, or it is not for this user.
        HubUnreachable: The hub cannot be asked.
        ModelUnusable: What comes is no GGUF, or the block says so; named is the file on the hub.
        DiskFull: There is no room for the header in the folder of temporary files.
    """
    with ExitStack() as stack:
        folder = _folder(stack)
        stack.enter_context(_named_as_on_the_hub(folder, files))
        yield tuple(_header_of(file, folder, endpoint, wait) for file in files)


def _folder(stack: ExitStack) -> Path:
    try:
        return Path(stack.enter_context(TemporaryDirectory(prefix="hychat-", ignore_cleanup_errors=True)))
    except OSError as error:
        raise _no_room(error) from error


@contextmanager
def _named_as_on_the_hub(folder: Path, files: Sequence[ModelFile]) -> Iterator[None]:
    """Errors about a file name it as the user knows it, not as it lies in the folder."""
    try:
        yield
    except ModelUnusable as error:
        message = error.message.replace(f"{folder}/", f"{files[0].repository}/")
        is_damaged = isinstance(error, ModelDamaged)
        hint = _("The hub has it so: take another file of the model.") if is_damaged else error.hint
        raise type(error)(message, hint=hint) from error


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
        remote.have(header.data_offset)  # arrays that were passed over are read later
    return header


class _Fetched(FileIO):
    """A local file that begins as the remote one does; more of it comes when it is read, each time twice as much."""

    def __init__(self, path: str, facts: FileFacts, fetch: Callable[[int, int], bytes]) -> None:
        super().__init__(path, "r+")
        self._most = facts.bytes
        self._fetch = fetch
        self._here = 0

    def have(self, end: int) -> None:
        """Fetch up to a byte, and some more.

        Raises:
            DiskFull: It cannot be kept.
        """
        end, place = min(self._most, end), self.tell()
        self.seek(self._here)
        while self._here < end:
            step = min(max(_FIRST_BYTES, self._here), _MOST_BYTES_AT_ONCE)
            came = self._fetch(self._here, min(self._here + step, self._most))
            if not came:  # the file has become shorter: its reader tells
                break
            try:
                self._here += self.write(came)
            except OSError as error:
                raise _no_room(error) from error
        self.seek(place)

    def read(self, size: int | None = -1, /) -> bytes:
        """Read from where it stands, once that much is here."""
        self.have(self.tell() + (size if size is not None and size >= 0 else self._most))
        return super().read(-1 if size is None else size)


def _no_room(error: OSError) -> DiskFull:
    message = _("The file's header cannot be kept for a moment: {reason}.")
    hint = _("Make room in the folder of temporary files, or name another with TMPDIR.")
    return DiskFull(message.format(reason=error.strerror or error), hint=hint)
