"""Writes a GGUF anew with its matrices in other number formats, by llama.cpp's own quantizer.

What it does to each tensor is only in its log, a line each (`llama_model_quantize_impl` in `llama-quant.cpp`): they are read for
progress and for the formats that were chosen, so that no rule of the quantizer is told twice.
"""

import ctypes
import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from hychat.engine.imatrix import read_imatrix
from hychat.engine.llama.bindings import lib
from hychat.engine.llama.threads import usable_cores
from hychat.engine.task_host import CannotDo, Tell
from hychat.messages import _

_ROWS_BYTES: Final = 1 << 30
"""Rows of one tensor in memory at once. llama.cpp's own 8 GiB are no faster, and as much as many machines have."""
_TENSOR: Final = re.compile(r"\[ *(\d+)/ *(\d+)\] +(\S+) +- \[([\d, ]+)\], type = +(\w+), (?:converting to (\w+) )?")
_FORECAST: Final = re.compile(r"MiB \((\w+)\)$")
_RESUMED: Final = re.compile(r"converting to (\w+) ")
"""The rest of a tensor's line, where a remark about its importance came between."""
_FALLBACK: Final = re.compile(r"warning: +(\S+) +- ncols")
_ERROR: Final = re.compile(r"failed to quantize: (.*)")
_DISK: Final = "iostream error"

TensorRow = tuple[str, list[int], str, str]
"""Name, shape (the contiguous dimension first), format before and after."""


def run(  # noqa: PLR0913 - the quantizer's own parameters
    tell: Tell,
    *,
    source: str,
    target: str | None,
    file_type: int,
    overrides: Sequence[tuple[str, int]],
    imatrix: str | None,
    threads: int | None,
    allows_requantizing: bool,
) -> dict[str, Any]:
    """Quantize `source` into `target`; without a target nothing is written, and the answer tells what would be.

    Returns:
        `tensors`: a `TensorRow` for each; `fallbacks`: names of those whose rows fit no block of the format.

    Raises:
        CannotDo: llama.cpp says why.
    """
    log = _Log(lambda done, total: tell(done=done, total=total))
    params = lib.llama_model_quantize_default_params()
    params.ftype = file_type
    params.nthread = threads or usable_cores()
    params.allow_requantize = allows_requantizing
    params.dry_run = target is None
    params.max_buf_size = _ROWS_BYTES
    kept = [_set_overrides(params, overrides), _set_imatrix(params, imatrix)]
    code = lib.llama_model_quantize(os.fsencode(source), os.fsencode(target or os.devnull), ctypes.byref(params))
    kept.clear()  # until here the quantizer reads from them
    if code:
        raise _failure(log.error)
    return {"tensors": log.tensors, "fallbacks": log.fallbacks}


class _Log:
    """llama.cpp's log, from pieces to lines, and what they tell."""

    def __init__(self, on_tensor: Callable[[int, int], None]) -> None:
        self.tensors: list[TensorRow] = []
        self.fallbacks: list[str] = []
        self.error = ""
        self._on_tensor = on_tensor
        self._line = ""
        self._callback = lib.llama_log_callback(self._take)  # llama.cpp keeps a bare pointer
        lib.llama_log_set(self._callback, ctypes.c_void_p(0))

    def _take(self, _level: int, text: bytes, _user_data: object) -> None:
        os.write(2, text)
        *lines, self._line = (self._line + text.decode("utf-8", "replace")).split("\n")
        for line in lines:
            self._read(line)

    def _read(self, line: str) -> None:
        if found := _ERROR.search(line):  # first: it may end the line of the tensor that failed
            self.error = found[1].strip()
        elif found := _TENSOR.match(line):
            done, total, name, shape, before, after = found.groups()
            forecast = _FORECAST.search(line)
            now = after or (forecast[1] if forecast else before)
            self.tensors.append((name, [int(length) for length in shape.split(",")], before, now))
            self._on_tensor(int(done), int(total))
        elif found := _RESUMED.match(line):
            self.tensors[-1] = (*self.tensors[-1][:3], found[1])
        elif found := _FALLBACK.match(line):
            self.fallbacks.append(found[1])


def _set_overrides(params: Any, overrides: Sequence[tuple[str, int]]) -> object:
    """Formats by patterns of names; what must live as long as the parameters."""
    if not overrides:
        return None
    array = (lib.llama_model_tensor_override * (len(overrides) + 1))()  # the last one's pattern is NULL
    for entry, (pattern, type_id) in zip(array, overrides, strict=False):
        entry.pattern, entry.type = pattern.encode(), type_id
    params.tt_overrides = array
    return array


def _set_imatrix(params: Any, path: str | None) -> object:
    """The importance of each column, and a note of where it came from in the new header; what must live as long."""
    if path is None:
        return None
    matrix = read_imatrix(path)
    weights = dict(matrix.weights())
    array = (lib.llama_model_imatrix_data * (len(weights) + 1))()
    for entry, (name, values) in zip(array, weights.items(), strict=False):
        entry.name, entry.size = name.encode(), values.size
        entry.data = values.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
    params.imatrix = array
    notes = _notes(
        {
            "quantize.imatrix.file": os.path.basename(path),  # noqa: PTH119 - no part of the path is anybody's business
            "quantize.imatrix.entries_count": len(weights),
            "quantize.imatrix.chunks_count": matrix.chunks,
        }
    )
    params.kv_overrides = notes
    return array, weights, notes


def _notes(keys: Mapping[str, str | int]) -> Any:
    """Keys for the new header, as llama-quantize writes them."""
    array = (lib.llama_model_kv_override * (len(keys) + 1))()  # the last one's key is empty
    for entry, (key, value) in zip(array, keys.items(), strict=False):
        entry.key = key.encode()
        if isinstance(value, int):
            entry.tag, entry.value.val_i64 = lib.LLAMA_KV_OVERRIDE_TYPE_INT, value
        else:
            entry.tag, entry.value.val_str = lib.LLAMA_KV_OVERRIDE_TYPE_STR, os.fsencode(value)[:127]
    return array


def _failure(error: str) -> CannotDo:
    if _DISK in error:
        return CannotDo(
            _("The new file cannot be written to its end."),
            _("The disk may be full; make room, or name another folder."),
        )
    return CannotDo(_("llama.cpp cannot quantize it: {reason}.").format(reason=error or "?"))
