"""Memory of GPUs that this build of llama.cpp can use, found without loading it: a list of models need not wait for it."""

import os
import shutil
import subprocess
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryFile
from typing import Final

_QUERY: Final = ("--query-gpu=memory.total", "--format=csv,noheader,nounits")
_PATIENCE_SECONDS: Final = 3.0
_KILL_SECONDS: Final = 1.0
_NOT_BACKENDS: Final = frozenset({"base"})
_NO_GPU: Final = frozenset({"", "-1"})
"""In CUDA_VISIBLE_DEVICES."""


def gpu_memory_bytes() -> int:
    """All memory of the NVIDIA GPUs together; 0 where there are none, or this build leaves them unused.

    Not only what is free: a model that is loaded now makes room for the next.
    """
    is_usable = "cuda" in backend_libraries() and os.environ.get("CUDA_VISIBLE_DEVICES") not in _NO_GPU
    program = shutil.which("nvidia-smi") if is_usable else None
    if program is None:
        return 0
    try:
        code, told = told_by([program, *_QUERY], _PATIENCE_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return 0
    mebibytes = [int(line) for line in told.split("\n") if line.strip().isdecimal()] if code == 0 else []
    return sum(mebibytes) << 20


def backend_libraries() -> list[str]:
    """The backends in the folder of the installed llama-cpp-python, whether or not they load: `cpu`, `cuda`."""
    package = find_spec("llama_cpp")
    folders = [Path(place) / "lib" for place in package.submodule_search_locations or ()] if package else []
    if said := os.environ.get("LLAMA_CPP_LIB_PATH"):
        folders = [Path(said)]
    names = {file.name.split(".")[0].removeprefix("libggml-") for place in folders for file in place.glob("libggml-*")}
    return sorted(names - _NOT_BACKENDS)


def told_by(command: list[str], patience_seconds: float) -> tuple[int, str]:
    """Exit code and output. One that hangs is given up: where its driver hangs, not even SIGKILL may end it.

    Raises:
        OSError: It cannot be started.
        subprocess.TimeoutExpired: It hangs.
    """
    with TemporaryFile() as told:  # a pipe would stay open as long as anything that it started
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=told, stderr=subprocess.STDOUT)  # noqa: S603 - as the user would type it
        try:
            code = process.wait(patience_seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            with suppress(subprocess.TimeoutExpired):
                process.wait(_KILL_SECONDS)
            raise
        told.seek(0)
        return code, told.read().decode("utf-8", "replace")
