"""What is in a ZIP file, unpacked within bounds whatever it says of itself."""

from io import BytesIO
from typing import Final
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

MOST_ENTRIES: Final = 10_000
CONTENT_TYPES: Final = "[Content_Types].xml"

_MOST_TYPES_BYTES: Final = 1_000_000
_ENTRY: Final = b"PK\1\2"
_READ_BYTES: Final = 1 << 16


def content_types(data: bytes) -> bytes:
    """What an Office file says that it is; nothing where it is none, or damaged."""
    try:
        with opened(data) as archive:
            entry = archive.getinfo(CONTENT_TYPES)
            return unpacked(archive, entry) if entry.file_size <= _MOST_TYPES_BYTES else b""
    except Exception:  # noqa: BLE001 - zipfile raises anything: BadZipFile, KeyError, zlib.error, NotImplementedError
        return b""


def is_whole(data: bytes) -> bool:
    """Whether its list of entries can be read, or is too long to try."""
    if data.count(_ENTRY) > MOST_ENTRIES:
        return True
    try:
        with opened(data):
            return True
    except Exception:  # noqa: BLE001 - as above
        return False


def opened(data: bytes) -> ZipFile:
    """Its entries, of which nothing is unpacked yet.

    Raises:
        Exception: It has too many, or is damaged, in whatever way.
    """
    if data.count(_ENTRY) > MOST_ENTRIES:
        raise BadZipFile
    return ZipFile(BytesIO(data))


def unpacked(archive: ZipFile, entry: ZipInfo) -> bytes:
    """An entry's content, never more than it says to have: `ZipFile.read` would unpack all there is and then cut it.

    Raises:
        Exception: It is damaged, or packed by a method that unpacks without bounds.
    """
    if entry.compress_type not in {ZIP_STORED, ZIP_DEFLATED}:
        raise BadZipFile
    with archive.open(entry) as file:
        return b"".join(iter(lambda: file.read(_READ_BYTES), b""))
