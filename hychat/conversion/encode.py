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
    """Takes whole rows of a checkpoint's bytes and gives an array whose bytes are the GGUF's.

    The function raises DoesNotFit where the numbers are too large for F16 or Q8_0, or are none.
    """
    import ml_dtypes
    import numpy as np

    source = np.dtype({"F32": np.float32, "F16": np.float16, "BF16": ml_dtypes.bfloat16}[dtype])
    if dtype == to.name.upper():
        return lambda piece: piece
    if to is Q8_0:
        return lambda piece: _as_q8_0(piece.view(source).astype(np.float32).reshape(-1, row_elements))
    if to is F16 and dtype == "BF16":
        return _bf16_as_f16
    target = np.dtype({F32: np.float32, F16: np.float16, BF16: ml_dtypes.bfloat16}[to])
    return lambda piece: _cast(piece.view(source), target)


def _cast(values: Any, target: Any) -> Any:
    import numpy as np

    try:
        with np.errstate(over="raise"):
            return values.astype(target).view(np.uint8)
    except FloatingPointError:
        raise DoesNotFit from None


_F16_OVERFLOWS_FROM: Final = 0x4780
"""65,536 in BF16's bits, without the sign; the next smaller number still fits F16. Infinity and NaN lie above."""


def _bf16_as_f16(piece: "Bytes") -> Any:
    import ml_dtypes
    import numpy as np

    if int((piece.view(np.uint16) & 0x7FFF).max()) >= _F16_OVERFLOWS_FROM:
        raise DoesNotFit
    return piece.view(ml_dtypes.bfloat16).astype(np.float16).view(np.uint8)


def _as_q8_0(rows: Any) -> Any:
    import numpy as np
    from gguf import GGMLQuantizationType
    from gguf.quants import quantize

    try:
        with np.errstate(over="raise", invalid="raise"):
            return quantize(rows, GGMLQuantizationType.Q8_0)
    except FloatingPointError:
        raise DoesNotFit from None
