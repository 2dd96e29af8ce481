"""Writes a small GGUF by ggml's own functions, which are there wherever llama.cpp is."""

import ctypes
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from hychat.engine.llama.bindings import ggml
from hychat.engine.llama.tensor import F32, CTensor

if TYPE_CHECKING:
    from numpy.typing import NDArray


class _Init(ctypes.Structure):
    """`struct ggml_init_params`."""

    _fields_ = (("mem_size", ctypes.c_size_t), ("mem_buffer", ctypes.c_void_p), ("no_alloc", ctypes.c_bool))


_base: Final = ggml("ggml-base")
_base.ggml_tensor_overhead.restype = ctypes.c_size_t
_base.ggml_init.restype = ctypes.c_void_p
_base.ggml_init.argtypes = [_Init]
_base.ggml_new_tensor_2d.restype = ctypes.POINTER(CTensor)
_base.ggml_new_tensor_2d.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
_base.ggml_set_name.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
_base.gguf_init_empty.restype = ctypes.c_void_p
_base.gguf_set_val_str.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p]
_base.gguf_set_val_u32.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_uint32]
_base.gguf_set_arr_str.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.POINTER(ctypes.c_char_p), ctypes.c_size_t]
_base.gguf_add_tensor.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
_base.gguf_write_to_file.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_bool]
_base.gguf_write_to_file.restype = ctypes.c_bool


class GgufFile:
    """Keys and matrices of 32-bit floats, written at once. Its C memory is the process's to free: a task writes one file."""

    def __init__(self, matrices: int) -> None:
        size = (matrices + 1) * _base.ggml_tensor_overhead()
        self._tensors = _base.ggml_init(_Init(size, None, True))
        self._file = _base.gguf_init_empty()
        self._kept: list[NDArray[Any]] = []

    def add_text(self, key: str, text: str) -> None:
        """A key of text."""
        _base.gguf_set_val_str(self._file, key.encode(), text.encode("utf-8", "replace"))

    def add_texts(self, key: str, texts: Sequence[str]) -> None:
        """A key of several texts."""
        array = (ctypes.c_char_p * len(texts))(*(text.encode("utf-8", "replace") for text in texts))
        _base.gguf_set_arr_str(self._file, key.encode(), array, len(texts))

    def add_number(self, key: str, number: int) -> None:
        """A key of a whole number, 32 bits without a sign."""
        _base.gguf_set_val_u32(self._file, key.encode(), number)

    def add_matrix(self, name: str, numbers: "NDArray[Any]") -> None:
        """A tensor of two dimensions, its rows contiguous."""
        import numpy as np

        data = np.ascontiguousarray(numbers, np.float32)
        tensor = _base.ggml_new_tensor_2d(self._tensors, F32, data.shape[1], data.shape[0])
        _base.ggml_set_name(tensor, name.encode())
        tensor.contents.data = data.ctypes.data
        self._kept.append(data)
        _base.gguf_add_tensor(self._file, tensor)

    def write(self, path: str) -> bool:
        """Write the file; False where the system does not let it be written whole."""
        return bool(_base.gguf_write_to_file(self._file, os.fsencode(path), False))
