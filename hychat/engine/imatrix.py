"""An importance matrix on disk: for each matrix of a model, how large the numbers are that meet its columns.

llama.cpp's own format, so that its tools read ours and ours theirs (`tools/imatrix/imatrix.cpp`, `common/imatrix-loader.cpp`):
a GGUF of type "imatrix" with two tensors of 32-bit floats for each matrix, `NAME.in_sum2` (columns x experts: sums of the
squared inputs) and `NAME.counts` (1 x experts: how many rows were summed).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from hychat.domain.errors import ConversionError, HychatError
from hychat.engine.gguf import GgufHeader, TensorInfo, read_header
from hychat.messages import _

if TYPE_CHECKING:
    from numpy.typing import NDArray

KIND: Final = "imatrix"
"""`general.type` of such a file."""
SUMS, COUNTS = ".in_sum2", ".counts"
DATASETS_KEY: Final = "imatrix.datasets"
CHUNKS_KEY: Final = "imatrix.chunk_count"
CHUNK_TOKENS_KEY: Final = "imatrix.chunk_size"
_F32: Final = 0
_FLOAT_BYTES: Final = 4


@dataclass(frozen=True, slots=True)
class Entry:
    """Where the numbers of one matrix stand."""

    sums: TensorInfo
    counts: TensorInfo

    @property
    def experts(self) -> int:
        """Experts that are counted apart; 1 for a dense matrix."""
        return _elements(self.counts)

    @property
    def columns(self) -> int:
        """Of the matrix, which is the length of its inputs."""
        return _elements(self.sums) // self.experts


@dataclass(frozen=True, slots=True)
class ImportanceMatrix:
    """The file's header; the numbers stay on disk."""

    header: GgufHeader
    entries: Mapping[str, Entry]
    """By the name of the model's tensor."""
    chunks: int
    """Of text that were read for it."""

    def weights(self) -> "Iterator[tuple[str, NDArray[Any]]]":
        """For each matrix the mean of the squares, 32-bit floats, expert after expert; 1 for an expert that never was asked.

        Raises:
            ModelDamaged: The file is not what its header says any more.
        """
        import numpy as np

        for name, entry in self.entries.items():
            sums, counts = self._floats(entry.sums), self._floats(entry.counts)
            rows = sums.reshape(entry.experts, entry.columns)
            means = np.where(counts[:, None] > 0, rows / np.maximum(counts, 1)[:, None], 1.0)
            yield name, np.ascontiguousarray(means, np.float32).reshape(-1)

    def _floats(self, tensor: TensorInfo) -> "NDArray[Any]":
        import numpy as np

        start = self.header.data_offset + tensor.offset
        return np.fromfile(self.header.path, "<f4", _elements(tensor), offset=start).astype(np.float64)


def read_imatrix(path: str) -> ImportanceMatrix:
    """The header of an importance matrix.

    Raises:
        ConversionError: It is not one, or not whole.
    """
    try:
        header = read_header(path)
    except HychatError as error:
        raise ConversionError(
            _("{path} is no importance matrix: {reason}").format(path=path, reason=error.message), hint=_hint()
        ) from error
    tensors = {tensor.name: tensor for tensor in header.tensors}
    names = [name.removesuffix(SUMS) for name in tensors if name.endswith(SUMS)]
    if header.text("general.type") != KIND or not names:
        raise ConversionError(_("{path} is a GGUF, but no importance matrix.").format(path=path), hint=_hint())
    entries = {}
    for name in names:
        sums, counts = tensors[name + SUMS], tensors.get(name + COUNTS)
        if counts is None or not _is_sound(header, sums, counts):
            raise ConversionError(
                _("{path} is damaged: what it says of {name} does not fit together.").format(path=path, name=name),
                hint=_hint(),
            )
        entries[name] = Entry(sums, counts)
    return ImportanceMatrix(header, entries, header.integer(CHUNKS_KEY) or 0)


def _is_sound(header: GgufHeader, sums: TensorInfo, counts: TensorInfo) -> bool:
    end = max(tensor.offset + tensor.bytes for tensor in (sums, counts)) + header.data_offset
    experts = _elements(counts)
    is_of_floats = sums.type_id == counts.type_id == _F32
    return is_of_floats and end <= header.file_bytes and experts > 0 and _elements(sums) % experts == 0


def _elements(tensor: TensorInfo) -> int:
    return tensor.bytes // _FLOAT_BYTES


def _hint() -> str:
    return _("Make one with: {command}").format(command="hychat gguf imatrix MODEL -f TEXT -o FILE")
