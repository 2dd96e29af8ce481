"""Numbers from a checkpoint's types to a GGUF's, a piece at a time."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from hychat.conversion.tensors import PlannedTensor

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]

BLOCK_ELEMENTS: Final = 32
"""Of Q8_0, in a row."""
_BLOCK_BYTES: Final = 34


class Format(NamedTuple):
    """A type of llama.cpp's tensors."""

    name: str
    type_id: int
    file_type: int
    """What `general.file_type` says of a file that is mostly of it."""

    def bytes_of(self, elements: int) -> int:
        """Of so many numbers."""
        if self is Q8_0:
            return elements // BLOCK_ELEMENTS * _BLOCK_BYTES
        return elements * (4 if self is F32 else 2)


F32: Final = Format("f32", 0, 0)
F16: Final = Format("f16", 1, 1)
Q8_0: Final = Format("q8_0", 8, 7)
BF16: Final = Format("bf16", 30, 32)
FORMATS: Final[Mapping[str, Format]] = {format_.name: format_ for format_ in (F16, BF16, Q8_0, F32)}


class DoesNotFit(Exception):
    """A number is too large for the type."""


def format_of(tensor: PlannedTensor, wanted: Format) -> Format:
    """The type a tensor is written in: some stay exact, and rows that are no whole blocks cannot be Q8_0."""
    if tensor.is_exact:
        return F32
    return F16 if wanted is Q8_0 and tensor.shape[-1] % BLOCK_ELEMENTS else wanted


def encoder(dtype: str, to: Format, row_elements: int) -> "Callable[[Bytes], Any]":
    """Takes whole rows of a checkpoint's bytes, and gives the GGUF's.

    The function raises DoesNotFit where a number is too large for the type, infinite, or none.
    """
    import ml_dtypes
    import numpy as np

    types = {"F32": np.dtype(np.float32), "F16": np.dtype(np.float16), "BF16": np.dtype(ml_dtypes.bfloat16)}
    source, bits = types[dtype], np.dtype(f"u{types[dtype].itemsize}")
    magnitude = bits.type(np.iinfo(bits).max >> 1)
    limit = _limit(dtype, to)

    def encode(piece: "Bytes") -> Any:
        if int((piece.view(bits) & magnitude).max()) >= limit:
            raise DoesNotFit
        if dtype == to.name.upper():
            return piece
        if to is Q8_0:
            return _as_q8_0(piece.view(source).astype(np.float32).reshape(-1, row_elements))
        return piece.view(source).astype(types[to.name.upper()]).view(np.uint8)

    return encode


_F32_INFINITY: Final = 0x7F80_0000
_F32_LIMITS: Final = {
    F32: _F32_INFINITY,
    BF16: 0x7F7F_8000,  # rounds up to infinity
    F16: 0x477F_F000,  # 65,520, which rounds up to infinity as well
    Q8_0: 0x4AFD_E041,  # above 127 x 65,504, as the scale of a block is F16
}
"""Bits of the smallest number of 32 bits that does not fit; without their sign, bits are in the order of the numbers."""
_F16_INFINITY: Final = 0x7C00
_BF16_BITS: Final = 16
"""BF16 is the upper half of a number of 32 bits."""


def _limit(dtype: str, to: Format) -> int:
    """Bits of the smallest number of this type that does not fit the other."""
    if dtype == "F16":
        return _F16_INFINITY
    limit = _F32_LIMITS[to]
    if dtype == "F32":
        return limit
    return min(-(-limit >> _BF16_BITS), _F32_INFINITY >> _BF16_BITS)


def _as_q8_0(rows: Any) -> Any:
    from gguf import GGMLQuantizationType
    from gguf.quants import quantize

    return quantize(rows, GGMLQuantizationType.Q8_0)
