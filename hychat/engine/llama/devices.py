"""The devices that layers can go to: those of this build of llama.cpp, and those of workers on other machines."""

import ctypes
from collections.abc import Iterable
from typing import Final

from hychat.engine.llama.bindings import ggml

_KINDS: Final = {1: "gpu", 2: "igpu"}
"""ggml_backend_dev_type; CPUs and accelerators of the CPU (BLAS, AMX) take no layers."""
_CPU: Final = 0

_POINTERS: Final[dict[str, int]] = {}
"""Of the devices that were told of, by name."""


def offload_devices() -> list[list[str | int]]:
    """Name, description, kind (`gpu` or `igpu`), free and total bytes of each."""
    registry = ggml("ggml")
    registry.ggml_backend_dev_count.restype = ctypes.c_size_t
    registry.ggml_backend_dev_get.restype = ctypes.c_void_p
    registry.ggml_backend_dev_get.argtypes = [ctypes.c_size_t]
    devices = [registry.ggml_backend_dev_get(index) for index in range(registry.ggml_backend_dev_count())]
    return _told((_base().ggml_backend_dev_name(device).decode(), device) for device in devices)


def worker_devices(endpoint: str) -> list[list[str | int]]:
    """The same, of a worker at `host:port`, by the names of their buffers; none where it has none to lend.

    llama.cpp ends the process where nothing answers there, or what answers is no worker.

    Raises:
        BindingsUnavailable: This build has no RPC.
    """
    rpc, base = ggml("ggml-rpc"), _base()
    rpc.ggml_backend_rpc_add_server.restype = ctypes.c_void_p
    rpc.ggml_backend_rpc_add_server.argtypes = [ctypes.c_char_p]
    base.ggml_backend_reg_dev_count.restype = ctypes.c_size_t
    base.ggml_backend_reg_dev_count.argtypes = [ctypes.c_void_p]
    base.ggml_backend_reg_dev_get.restype = ctypes.c_void_p
    base.ggml_backend_reg_dev_get.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    worker = rpc.ggml_backend_rpc_add_server(endpoint.encode())
    count = base.ggml_backend_reg_dev_count(worker) if worker else 0
    return _told((f"RPC{index}[{endpoint}]", base.ggml_backend_reg_dev_get(worker, index)) for index in range(count))


def serve_as_worker(endpoint: str, *, threads: int) -> None:
    """Compute for others at `host:port` on this machine's devices, else on its processor; never returns.

    Raises:
        BindingsUnavailable: This build has no RPC.
    """
    rpc, registry = ggml("ggml-rpc"), ggml("ggml")
    registry.ggml_backend_dev_by_type.restype = ctypes.c_void_p
    offload_devices()
    pointers = [*_POINTERS.values()] or [registry.ggml_backend_dev_by_type(_CPU)]
    array = (ctypes.c_void_p * len(pointers))(*pointers)
    start = rpc.ggml_backend_rpc_start_server
    start.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_size_t, ctypes.c_void_p]
    start(endpoint.encode(), None, threads, len(pointers), array)


def pointer_of(name: str) -> int:
    """The pointer to a device that was told of."""
    return _POINTERS[name]


def _told(devices: Iterable[tuple[str, int]]) -> list[list[str | int]]:
    base = _base()
    told: list[list[str | int]] = []
    for name, device in devices:
        kind = _KINDS.get(base.ggml_backend_dev_type(device))
        if kind is not None:
            free, total = ctypes.c_size_t(), ctypes.c_size_t()
            base.ggml_backend_dev_memory(device, ctypes.byref(free), ctypes.byref(total))
            description = base.ggml_backend_dev_description(device).decode("utf-8", "replace")
            _POINTERS[name] = device
            told.append([name, description, kind, free.value, total.value])
    return told


def _base() -> ctypes.CDLL:
    base = ggml("ggml-base")
    for name in ("name", "description"):
        getattr(base, f"ggml_backend_dev_{name}").restype = ctypes.c_char_p
    for name in ("name", "description", "type", "memory"):
        getattr(base, f"ggml_backend_dev_{name}").argtypes = [ctypes.c_void_p]
    size_pointer = ctypes.POINTER(ctypes.c_size_t)
    base.ggml_backend_dev_memory.argtypes = [ctypes.c_void_p, size_pointer, size_pointer]
    return base
