"""The devices that this build of llama.cpp can offload to."""

import ctypes
from typing import Final

from hychat.engine.llama.bindings import ggml

_KINDS: Final = {1: "gpu", 2: "igpu"}
"""ggml_backend_dev_type; CPUs and accelerators of the CPU (BLAS, AMX) take no layers."""


def offload_devices() -> list[list[str | int]]:
    """Name, description, kind (`gpu` or `igpu`), free and total bytes of each."""
    registry, base = ggml("ggml"), ggml("ggml-base")
    registry.ggml_backend_dev_count.restype = ctypes.c_size_t
    registry.ggml_backend_dev_get.restype = ctypes.c_void_p
    registry.ggml_backend_dev_get.argtypes = [ctypes.c_size_t]
    for name in ("name", "description"):
        getattr(base, f"ggml_backend_dev_{name}").restype = ctypes.c_char_p
    for name in ("name", "description", "type", "memory"):
        getattr(base, f"ggml_backend_dev_{name}").argtypes = [ctypes.c_void_p]
    size_pointer = ctypes.POINTER(ctypes.c_size_t)
    base.ggml_backend_dev_memory.argtypes = [ctypes.c_void_p, size_pointer, size_pointer]

    devices: list[list[str | int]] = []
    for index in range(registry.ggml_backend_dev_count()):
        device = registry.ggml_backend_dev_get(index)
        kind = _KINDS.get(base.ggml_backend_dev_type(device))
        if kind is not None:
            free, total = ctypes.c_size_t(), ctypes.c_size_t()
            base.ggml_backend_dev_memory(device, ctypes.byref(free), ctypes.byref(total))
            name, description = base.ggml_backend_dev_name(device), base.ggml_backend_dev_description(device)
            devices.append([name.decode(), description.decode("utf-8", "replace"), kind, free.value, total.value])
    return devices
