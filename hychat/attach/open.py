"""The one door for what a user attaches: a path, bytes or a drop becomes an attachment, by content and never by extension."""

import os
import re
import shlex
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final
from urllib.parse import unquote_to_bytes, urlsplit

from hychat.attach.documents import is_document, open_document
from hychat.attach.image import MOST_BYTES, is_image, open_image, too_many_bytes
from hychat.attach.text import plain_text, text_part, unreadable
from hychat.domain.attachment import Attachment, AttachmentKind
from hychat.domain.errors import InputUnreadable
from hychat.domain.text import readable
from hychat.messages import _

_MP3_STARTS: Final = (b"\xff\xe2", b"\xff\xe3", b"\xff\xf2", b"\xff\xf3", b"\xff\xfa", b"\xff\xfb")
"""MPEG 2.5, 2 and 1, layer III, with a checksum or without; a UTF-16 text's byte order mark is none of them."""
_SOUND_STARTS: Final = (b"ID3", b"OggS", b"fLaC", *_MP3_STARTS)
_M4A_BRANDS: Final = frozenset({b"M4A ", b"M4B ", b"M4P "})

_ADDRESS: Final = re.compile(r"(?!file:)[A-Za-z][A-Za-z0-9+.-]+:/")
"""How the address of something elsewhere begins; as a path it has lost one of its slashes."""

_LONGEST_DROP_CHARACTERS: Final = 1 << 14
_MOST_DROPPED: Final = 64


def open_attachment(path: Path) -> Attachment:
    """What a file holds.

    Raises:
        InputUnreadable: It is missing, no regular file, too large, or cannot be read as what it is.
    """
    name = readable(str(path))
    try:
        data = _bytes_of(path, name)
    except ValueError as error:  # a NUL among the path's characters
        raise InputUnreadable(_("There is no file of the name {path}.").format(path=repr(name))) from error
    except OSError as error:
        raise address_refused(name) if is_address(name) else unreadable(name, error) from error
    return open_bytes(data, readable(path.name), readable(str(path.absolute())))


def open_bytes(data: bytes, name: str, source: str | None = None) -> Attachment:
    """What these bytes are: from a pipe, the clipboard, or a file that was read.

    Raises:
        InputUnreadable: They are none or too many, or cannot be read as what they are.
    """
    if len(data) > MOST_BYTES:
        raise too_many_bytes(name)
    if not data or data.isspace():
        raise InputUnreadable(_("{name} is empty.").format(name=name))
    for is_it, opened in _KINDS:
        if is_it(data):
            return opened(data, name, source)
    return _open_text(data, name, source)


def _bytes_of(path: Path, name: str) -> bytes:
    """All of a file; of one that is too large or grows, one byte more than is taken."""
    _check_is_file(path.stat().st_mode, name)
    with open(path, "rb", opener=_open_at_once) as file:  # Path.open takes no opener
        _check_is_file(os.fstat(file.fileno()).st_mode, name)
        return file.read(MOST_BYTES + 1)


def _open_at_once(path: str, flags: int) -> int:
    """Even should a pipe have taken the file's place."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # Windows has no such thing


def _check_is_file(mode: int, name: str) -> None:
    if stat.S_ISDIR(mode):
        raise InputUnreadable(_("{path} is a folder.").format(path=name), hint=_("Attach the files in it, one by one."))
    if not stat.S_ISREG(mode):
        raise InputUnreadable(
            _("{path} is a pipe or a device, not a file.").format(path=name),
            hint=_("Pipe its output into hychat and attach `-` instead."),
        )


def is_address(name: str) -> bool:
    """Whether what was named as a file is the address of something elsewhere."""
    return bool(_ADDRESS.match(name))


def address_refused(name: str) -> InputUnreadable:
    """What to raise then."""
    return InputUnreadable(
        _("{address} is an address, and hychat opens none.").format(address=re.sub(":/+", "://", name, count=1)),
        hint=_("Save what is there as a file, and attach that."),
    )


def is_sound(data: bytes) -> bool:
    """Whether it is WAV, MP3, OGG, FLAC or M4A, by its first bytes."""
    if data.startswith(b"RIFF"):
        return data[8:12] == b"WAVE"
    if data[4:8] == b"ftyp":
        return data[8:12] in _M4A_BRANDS
    return data.startswith(_SOUND_STARTS)


def _open_sound(data: bytes, name: str, source: str | None) -> Attachment:
    """Unchecked: who writes it down decodes it."""
    return Attachment(AttachmentKind.SOUND, name, "audio/*", data=data, source=source)


def _open_text(data: bytes, name: str, source: str | None) -> Attachment:
    """What no kind was told of; raises InputUnreadable where it is no text either."""
    return text_part(plain_text(data, name), name, source).attachment


_KINDS: Final[tuple[tuple[Callable[[bytes], bool], Callable[[bytes, str, str | None], Attachment]], ...]] = (
    (is_image, open_image),
    (is_document, open_document),
    (is_sound, _open_sound),
)
"""What is told apart, in this order, and how it is opened; anything else is text."""


def dropped_paths(text: str) -> list[Path]:
    """The files that a terminal pasted because they were dropped on it; none, where any of it is something else.

    Terminals paste absolute paths: bare, quoted, with backslashes, or as `file:` URIs, a line each or between spaces.
    Other words, however many files have such names, are words. No host is ever asked: `file://host/` is no drop.
    """
    if len(text) > _LONGEST_DROP_CHARACTERS:
        return []
    for words in _readings(text):
        paths = [_local_path(word) for word in words] if len(words) <= _MOST_DROPPED else [""]
        if paths and all(paths) and all(os.path.isfile(path) for path in paths):  # noqa: PTH113 - Path's raises
            return [Path(path) for path in paths]
    return []


def typed_path(text: str) -> Path:
    """The file that a user names behind a command: as it is, quoted, with backslashes, or as a `file:` URI; `~` is home.

    Where no such file is found, the text itself, less what quotes it.
    """
    readings = [text, *(words[0] for words in _readings(text) if len(words) == 1)]
    paths = [Path(_path_of_uri(word) or word if word.startswith("file:") else _at_home(word)) for word in readings]
    return next((path for path in paths if os.path.lexists(path)), paths[-1])


def _readings(text: str) -> Iterator[list[str]]:
    """Ways to part it into words."""
    yield [line.strip(" \t\r") for line in text.split("\n") if line.strip()]
    try:
        yield shlex.split(text)
    except ValueError:  # an apostrophe, in a name or in a sentence
        yield text.split()


def _local_path(word: str) -> str:
    """An absolute path on this machine; nothing for any other word."""
    word = _path_of_uri(word) if word.startswith("file:") else _at_home(word)
    return word if word.startswith("/") and not word.startswith("//") else ""  # two of them name a host to Windows


def _at_home(word: str) -> str:
    return os.path.expanduser(word) if word.startswith("~/") else word  # noqa: PTH111 - Path's raises where there is no home


def _path_of_uri(uri: str) -> str:
    try:
        parts = urlsplit(uri)
    except ValueError:  # brackets that hold no address
        return ""
    return os.fsdecode(unquote_to_bytes(parts.path)) if parts.netloc in {"", "localhost"} else ""
