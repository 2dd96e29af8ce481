"""Walking through a file that is not trusted: nothing is read or allocated before it is known to be there."""

import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from struct import Struct
from typing import Final

from hychat.domain.errors import ModelDamaged, ModelNotFound
from hychat.messages import _

HEADER_BYTES_LIMIT: Final = 1 << 28
"""Longest header that is walked; a vocabulary of 262,144 tokens with its merges takes about 20 MB."""
MARK_EVERY: Final = 1024
UINT32: Final = Struct("<I")
UINT64: Final = Struct("<Q")

_WINDOW_BYTES: Final = 1 << 20
_NAME_LENGTH_SHOWN: Final = 60


class Cursor:
    """A place in the header, and a window of the file's bytes around it.

    Every method raises `ModelDamaged` where the file ends too early.
    """

    __slots__ = ("_base", "_end", "_file", "_window", "file_bytes", "path", "position")

    def __init__(self, file: FileIO, path: str, file_bytes: int) -> None:
        self.path = path
        self.file_bytes = file_bytes
        self.position = 0
        self._file = file
        self._end = min(file_bytes, HEADER_BYTES_LIMIT)
        self._base = 0
        self._window = b""

    def take(self, count: int) -> bytes:
        """The next bytes."""
        at = self._hold(count)
        self.position += count
        return self._window[at : at + count]

    def skip(self, count: int) -> None:
        """Pass over bytes."""
        if self.position + count > self._end:
            raise self._too_short()
        self.position += count

    def number(self, kind: Struct) -> float | bool:
        """The next number."""
        at = self._hold(kind.size)
        self.position += kind.size
        value: float | bool = kind.unpack_from(self._window, at)[0]
        return value

    def numbers(self, kind: Struct, count: int) -> tuple[float | bool, ...]:
        """The next numbers, all of one kind."""
        return tuple(value for (value,) in kind.iter_unpack(self.take(count * kind.size)))

    def count(self, *, item_bytes: int, most: int = HEADER_BYTES_LIMIT) -> int:
        """The next 64-bit number, as the count of items that take so many bytes each, or more."""
        count = int(self.number(UINT64))
        if count > most or count * item_bytes > self._end - self.position:
            raise self._too_many(count)
        return count

    def text(self, *, most_bytes: int = HEADER_BYTES_LIMIT, errors: str = "strict") -> str:
        """The next string."""
        start = self.position
        count = self.count(item_bytes=1, most=most_bytes)
        try:
            return self.take(count).decode(errors=errors)
        except UnicodeDecodeError:
            raise damaged(
                _("{path} is damaged: the text at byte {start} is not UTF-8."), self.path, start=start
            ) from None

    def skip_texts(self, count: int) -> tuple[int, ...]:
        """Pass over strings; returns the places of the first and every 1,024th after it, so that one is found fast."""
        marks = []
        for first in range(0, count, MARK_EVERY):
            marks.append(self.position)
            self._skip_run(min(MARK_EVERY, count - first))
        return tuple(marks)

    def _skip_run(self, count: int) -> None:
        """The one loop that has to be fast: a vocabulary is 10^5 strings, and as many merges."""
        length_at, window, at = UINT64.unpack_from, self._window, self.position - self._base
        for _string in range(count):
            try:
                at += 8 + length_at(window, at)[0]
            except (struct.error, OverflowError):  # the window ends here
                self.position = self._base + at
                at = self._hold(UINT64.size)
                window = self._window
                at += 8 + length_at(window, at)[0]
        self.position = self._base + at
        self.skip(0)

    def _hold(self, count: int) -> int:
        """Make the window hold the next bytes; returns where in it they start."""
        if self.position + count > self._end:
            raise self._too_short()
        at = self.position - self._base
        if not 0 <= at <= len(self._window) - count:
            self._file.seek(self.position)
            self._window, self._base, at = self._file.read(max(count, _WINDOW_BYTES)), self.position, 0
            if len(self._window) < count:  # the file shrank
                raise self._too_short()
        return at

    def _too_short(self) -> ModelDamaged:
        return damaged(_("{path} is damaged: its header does not end before byte {end}."), self.path, end=self._end)

    def _too_many(self, count: int) -> ModelDamaged:
        message = _("{path} is damaged: before byte {position} it announces {count} items, more than there can be.")
        return damaged(message, self.path, position=self.position, count=count)


@contextmanager
def opened(path: str) -> Iterator[Cursor]:
    """A cursor at the start of the file.

    Raises:
        ModelNotFound: There is no such file.
        ModelDamaged: It cannot be read.
    """
    try:
        status = Path(path).stat()
        if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for its writer
            raise ModelDamaged(_("{path} is not a file.").format(path=path), hint=_("Give the path of a .gguf file."))
        with FileIO(path) as file:
            yield Cursor(file, path, status.st_size)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ModelNotFound(_("There is no file {path}.").format(path=path)) from error
    except OSError as error:
        message = _("{path} cannot be read: {reason}.").format(path=path, reason=error.strerror)
        raise ModelDamaged(message, hint=_("Look at the permissions of the file and its folder.")) from error
    except ValueError as error:  # a NUL in the path
        raise ModelNotFound(_("There is no file {path}.").format(path=shown(path))) from error


def damaged(message: str, path: str, **values: object) -> ModelDamaged:
    """The error for a file that breaks the format; `message` is filled with the path and the values."""
    return ModelDamaged(message.format(path=path, **values), hint=_("Fetch the file again."))


def shown(name: str) -> str:
    """A name out of an untrusted file, short and without control characters, fit for a message."""
    return repr(name if len(name) <= _NAME_LENGTH_SHOWN else name[:_NAME_LENGTH_SHOWN] + "…")
