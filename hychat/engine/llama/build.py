"""What this build of llama.cpp is."""

import ctypes

from hychat.engine.llama.bindings import ggml, lib


def build_facts() -> dict[str, str]:
    """The version and commit of ggml, the backends that are registered, and llama.cpp's line of what they were compiled with."""
    registry, base = ggml("ggml"), ggml("ggml-base")
    registry.ggml_backend_reg_count.restype = ctypes.c_size_t
    registry.ggml_backend_reg_get.restype = ctypes.c_void_p
    registry.ggml_backend_reg_get.argtypes = [ctypes.c_size_t]
    base.ggml_backend_reg_name.restype = ctypes.c_char_p
    base.ggml_backend_reg_name.argtypes = [ctypes.c_void_p]
    base.ggml_version.restype = base.ggml_commit.restype = ctypes.c_char_p
    backends = [
        base.ggml_backend_reg_name(registry.ggml_backend_reg_get(index)).decode()
        for index in range(registry.ggml_backend_reg_count())
    ]
    return {
        "version": base.ggml_version().decode(),
        "commit": base.ggml_commit().decode(),
        "backends": ", ".join(backends),
        "system": lib.llama_print_system_info().decode("utf-8", "replace"),
    }
