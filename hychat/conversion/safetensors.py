"""Reads safetensors: the header whole, the weights piece by piece, so that no tensor need fit into memory.

    8 bytes     length of the header, little endian
    header      JSON: name -> {"dtype", "shape", "data_offsets": [begin, end]}, and "__metadata__"
    data        the tensors, without gaps

Layout and limits: the README of huggingface/safetensors. A mapped file would count as memory of this process, hence reads.
"""

import json
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hychat.domain.errors import InputUnreadable
from hychat.engine.gguf_cursor import shown
from hychat.messages import _

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DTYPE_BYTES: Final = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2", "F8_E8M0"), 1),
    **dict.fromkeys(("U16", "I16", "F16", "BF16"), 2),
    **dict.fromkeys(("U32", "I32", "F32"), 4),
    **dict.fromkeys(("U64", "I64", "F64"), 8),
}
_LENGTH_BYTES: Final = 8
_HEADER_LIMIT: Final = 100_000_000
"""The format's own."""
_MOST_DIMENSIONS: Final = 8
_MOST_ELEMENTS: Final = 1 << 48


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """Where a tensor lies."""

    name: str
    path: Path
    dtype: str
    """As the format names it: `BF16`, `F16`, `F32`."""
    shape: tuple[int, ...]
    """In numpy's order."""
    offset: int
    """Bytes from the beginning of the file."""
    bytes: int

    @property
    def row_bytes(self) -> int:
        """Of the last dimension."""
        return (self.shape[-1] if self.shape else 1) * DTYPE_BYTES[self.dtype]

    def pieces(self, piece_bytes: int) -> "Iterator[NDArray[np.uint8]]":
        """The tensor's bytes, in whole rows of the last dimension; each piece is overwritten by the next.

        Raises:
            InputUnreadable: The file ends early, or the disk fails.
        """
        import numpy as np

        rows = max(1, piece_bytes // self.row_bytes)
        buffer = np.empty(min(rows * self.row_bytes, self.bytes), dtype=np.uint8)
        try:
            with self.path.open("rb", buffering=0) as file:
                file.seek(self.offset)
                for start in range(0, self.bytes, len(buffer)):
                    piece = buffer[: self.bytes - start]
                    _fill(file.fileno(), piece.data, self.path)
                    yield piece
        except OSError as error:
            raise unreadable(self.path, error) from error


def _fill(descriptor: int, view: memoryview, path: Path) -> None:
    """Read until it is full; the system hands over 2 GiB at most."""
    while view:
        count = os.readv(descriptor, [view])
        if not count:
            raise damaged(path, _("it ends early"))
        view = view[count:]


def read_shard(path: Path) -> dict[str, StoredTensor]:
    """What a file holds, by name.

    Raises:
        InputUnreadable: It cannot be read, or breaks the format; the error says where.
    """
    try:
        with path.open("rb") as file:
            file_bytes = os.fstat(file.fileno()).st_size
            start = file.read(_LENGTH_BYTES)
            length = int.from_bytes(start, "little")
            if len(start) < _LENGTH_BYTES or not 0 < length <= min(_HEADER_LIMIT, file_bytes - _LENGTH_BYTES):
                raise damaged(path, _("it is too short for its header"))
            header = file.read(length)
    except OSError as error:
        raise unreadable(path, error) from error
    data = _LENGTH_BYTES + length
    entries = _parse(header, path)
    tensors = {name: _tensor(name, entry, path, data) for name, entry in entries.items()}
    _check_places(tensors, path, data, file_bytes)
    return tensors


def _parse(header: bytes, path: Path) -> dict[str, Any]:
    try:
        entries = json.loads(header, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        raise damaged(path, _("its header is no JSON")) from error
    if not isinstance(entries, dict):
        raise damaged(path, _("its header is no JSON"))
    entries.pop("__metadata__", None)
    return entries


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    unique = dict(pairs)
    if len(unique) < len(pairs):
        raise ValueError
    return unique


def _tensor(name: str, entry: Any, path: Path, data: int) -> StoredTensor:
    match entry:
        case {"dtype": str(dtype), "shape": [*shape], "data_offsets": [int(begin), int(end)]} if (
            dtype in DTYPE_BYTES and _is_shape(shape) and 0 <= begin <= end
        ):
            if math.prod(shape) * DTYPE_BYTES[dtype] == end - begin:
                return StoredTensor(name, path, dtype, tuple(shape), data + begin, end - begin)
    raise damaged(path, _("the entry of {name} makes no sense").format(name=shown(name)))


def _is_shape(sizes: list[Any]) -> bool:
    return len(sizes) <= _MOST_DIMENSIONS and all(type(size) is int and 0 <= size < _MOST_ELEMENTS for size in sizes)


def _check_places(tensors: dict[str, StoredTensor], path: Path, data: int, file_bytes: int) -> None:
    """The tensors fill the file from its header to its end."""
    end = data
    for tensor in sorted(tensors.values(), key=lambda tensor: (tensor.offset, tensor.bytes)):
        if tensor.offset != end:
            raise damaged(
                path, _("{name} does not begin where the tensor before it ends").format(name=shown(tensor.name))
            )
        end += tensor.bytes
    if end > file_bytes:
        raise damaged(path, _("it ends early"))
    if end < file_bytes:
        raise damaged(path, _("more follows than its header says"))


def damaged(path: Path, reason: str) -> InputUnreadable:
    """The error for a file that breaks its format."""
    return InputUnreadable(
        _("{path} is damaged: {reason}.").format(path=path, reason=reason), hint=_("Fetch the file again.")
    )


def unreadable(path: Path, error: OSError) -> InputUnreadable:
    """The error for a file that the system does not give."""
    return InputUnreadable(_("{path} cannot be read: {reason}.").format(path=path, reason=error.strerror or error))
