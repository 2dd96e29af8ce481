"""Memory of GPUs that this build of llama.cpp can use, found without loading it: a list of models need not wait for it."""

import shutil
import subprocess
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Final

_QUERY: Final = ("--query-gpu=memory.total", "--format=csv,noheader,nounits")
_PATIENCE_SECONDS: Final = 3.0


def gpu_memory_bytes() -> int:
    """All memory of the NVIDIA GPUs together; 0 where there are none, or this build leaves them unused."""
    program = shutil.which("nvidia-smi") if _build_has_cuda() else None
    if program is None:
        return 0
    with suppress(OSError, subprocess.SubprocessError, ValueError):
        told = subprocess.run(  # noqa: S603 - as the user would type it
            [program, *_QUERY], capture_output=True, text=True, timeout=_PATIENCE_SECONDS, check=True
        )
        return sum(int(line) << 20 for line in told.stdout.split())  # told in MiB
    return 0


def _build_has_cuda() -> bool:
    """Whether the installed llama-cpp-python ships ggml's CUDA library."""
    package = find_spec("llama_cpp")
    folders = package.submodule_search_locations if package else None
    return any(next(Path(folder).glob("lib/*ggml-cuda*"), None) for folder in folders or ())
