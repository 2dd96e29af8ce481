"""llama-cpp-python's ctypes bindings, and the few functions of ggml that it leaves out."""

import ctypes
import os
import sys
from importlib import import_module
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any, Final

PACKAGE: Final = "llama_cpp"


class BindingsUnavailable(ImportError):
    """llama-cpp-python is missing, or its library does not load (a CUDA build without a driver, say)."""


def _import_bindings() -> Any:
    """The module `llama_cpp.llama_cpp`, without running the package's `__init__`.

    That one imports numpy, jinja2, diskcache and every chat handler: 140 ms and 30 MiB, against 25 ms for the bindings alone.
    """
    spec = PathFinder.find_spec(PACKAGE)
    if spec is None or spec.submodule_search_locations is None:
        raise BindingsUnavailable("llama-cpp-python is not installed")
    shell = ModuleType(PACKAGE)
    shell.__path__ = list(spec.submodule_search_locations)
    shell.__spec__ = spec
    sys.modules[PACKAGE] = shell
    try:
        return import_module(f"{PACKAGE}.llama_cpp")
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        raise BindingsUnavailable(str(error)) from error


lib: Final = _import_bindings()

_LIBRARY_FOLDER: Final = Path(os.environ.get("LLAMA_CPP_LIB_PATH") or Path(lib.__file__).parent / "lib")
_SUFFIXES: Final = (".so", ".dylib")


def ggml(name: str) -> ctypes.CDLL:
    """One of ggml's own shared libraries: `ggml`, `ggml-base`, `ggml-cpu`, `ggml-rpc`."""
    for suffix in _SUFFIXES:
        path = _LIBRARY_FOLDER / f"lib{name}{suffix}"
        if path.exists():
            try:
                return ctypes.CDLL(str(path))
            except OSError as error:
                raise BindingsUnavailable(str(error)) from error
    raise BindingsUnavailable(f"lib{name} is not in {_LIBRARY_FOLDER}")
