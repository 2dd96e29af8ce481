"""A tensor of a running graph, as the eval callback is handed it."""

import ctypes
from typing import TYPE_CHECKING, Any, Final

from hychat.engine.llama.bindings import ggml

if TYPE_CHECKING:
    from numpy.typing import NDArray

_DIMENSIONS, _SOURCES, _PARAMETER_WORDS, _NAME_BYTES = 4, 10, 16, 64
_OPERATIONS_LIMIT: Final = 256

_base: Final = ggml("ggml-base")
_base.ggml_op_name.restype = ctypes.c_char_p
_base.ggml_get_name.restype = ctypes.c_char_p
_base.ggml_get_name.argtypes = [ctypes.c_void_p]
_base.ggml_nbytes.restype = ctypes.c_size_t
_base.ggml_nbytes.argtypes = [ctypes.c_void_p]
_base.ggml_backend_tensor_get.restype = None
_base.ggml_backend_tensor_get.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t]

F32: Final = 0
"""`GGML_TYPE_F32`."""


class CTensor(ctypes.Structure):
    """`struct ggml_tensor` of ggml 0.25.3 (`ggml.h`); `ne` elements and `nb` bytes of each dimension, contiguous one first."""


CTensor._fields_ = (
    ("type", ctypes.c_int),
    ("buffer", ctypes.c_void_p),
    ("ne", ctypes.c_int64 * _DIMENSIONS),
    ("nb", ctypes.c_size_t * _DIMENSIONS),
    ("op", ctypes.c_int),
    ("op_params", ctypes.c_int32 * _PARAMETER_WORDS),
    ("flags", ctypes.c_int32),
    ("src", ctypes.POINTER(CTensor) * _SOURCES),
    ("view_src", ctypes.c_void_p),
    ("view_offs", ctypes.c_size_t),
    ("data", ctypes.c_void_p),
    ("name", ctypes.c_char * _NAME_BYTES),
    ("extra", ctypes.c_void_p),
    ("padding", ctypes.c_char * 8),
)


def operation(name: str) -> int:
    """The number of one of ggml's operations, such as `MUL_MAT`; they move from release to release.

    Raises:
        LookupError: ggml has none of that name.
    """
    for number in range(_OPERATIONS_LIMIT):
        if _base.ggml_op_name(number) == name.encode():
            return number
    raise LookupError(name)


def tensor_at(address: int) -> Any:
    """The tensor at this address, a `CTensor`."""
    return CTensor.from_address(address)


def name_at(address: int) -> bytes:
    """The name of the tensor at this address, asked of ggml itself."""
    name: bytes = _base.ggml_get_name(address)
    return name


def weight_name(tensor: Any) -> str:
    """The name of a weight in its file: a copy on a device is called `CUDA0#NAME#0`."""
    name: str = tensor.name.decode("utf-8", "replace")
    return name.split("#")[1] if "#" in name else name


def values(tensor: Any, kind: str) -> "NDArray[Any]":
    """A computed tensor's numbers (`kind`: numpy's name of their type), copied from wherever it is; contiguous dimension last."""
    import numpy as np

    size = _base.ggml_nbytes(ctypes.addressof(tensor))
    buffer = np.empty(size, np.uint8)
    _base.ggml_backend_tensor_get(ctypes.addressof(tensor), buffer.ctypes.data, 0, size)
    return np.ndarray(tuple(tensor.ne)[::-1], kind, buffer.data, strides=tuple(tensor.nb)[::-1])
